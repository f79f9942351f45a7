//! Units of systemd: their files with drop-ins (`systemd.unit(5)`), and which of them run when a
//! system starts.

use crate::golden::lines::{Joining, LogicalLine, logical_lines};
use crate::golden::references::unit_names;
use crate::tree::{DirEntry, LeafKind, Node, Tree, show};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The directory of the units of the owner.
const ETC: &str = "/etc/systemd/system";
/// The directories of units, the most important first.
const DIRS: [&str; 6] = [
    "/etc/systemd/system.control",
    ETC,
    "/etc/systemd/system.attached",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
/// The size limit of unit files (bytes).
const LIMIT: u64 = 1 << 20;
/// A delay from which on a timer is not part of the start (seconds).
const LONG_DELAY: u64 = 3600;
/// Targets that no start reaches.
const NOT_STARTED: [&str; 14] = [
    "reboot",
    "poweroff",
    "halt",
    "kexec",
    "soft-reboot",
    "shutdown",
    "final",
    "umount",
    "exit",
    "rescue",
    "emergency",
    "system-update",
    "factory-reset",
    "initrd",
];

/// A setting of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// Its name, such as `ExecStart`.
    pub(super) key: String,
    /// Its value.
    pub(super) value: String,
    /// The file that it is from.
    pub(super) file: String,
    /// Its line, from 1.
    pub(super) line: usize,
}

/// A unit as systemd would load it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    /// Its name.
    pub(super) name: String,
    /// Its file, the real path.
    pub(super) file: String,
    /// The settings of its file and its drop-ins, in order.
    pub(super) settings: Vec<Setting>,
}

impl Unit {
    /// The unit of this name; `None` if there is none or it is masked.
    pub(super) fn load(root: &Tree, name: &str) -> Option<Self> {
        let template = name
            .split_once('@')
            .and_then(|(start, rest)| Some(format!("{start}@.{}", rest.rsplit_once('.')?.1)));
        let names: Vec<&str> = [Some(name), template.as_deref()]
            .into_iter()
            .flatten()
            .collect();
        let path = names.iter().find_map(|name| {
            let paths = DIRS.iter().map(|dir| format!("{dir}/{name}"));
            paths
                .into_iter()
                .find(|path| root.find_nofollow(path).is_some())
        })?;
        let text = text(root, &path)?;
        if text.trim().is_empty() {
            return None;
        }
        let real = root.walk(path.as_bytes(), true).ok()?;
        let file = show(&real.path());
        let mut settings = settings(&text, &file);
        for path in drop_ins(root, &names) {
            let more = self::text(root, &path).unwrap_or_default();
            settings.extend(self::settings(&more, &path));
        }
        for setting in &mut settings {
            setting.value = with_specifiers(&setting.value, name);
        }
        Some(Self {
            name: name.to_owned(),
            file,
            settings,
        })
    }

    /// The unit in a file, without drop-ins.
    pub(super) fn at(root: &Tree, path: &str, name: &str) -> Option<Self> {
        let text = text(root, path)?;
        let file = show(&root.walk(path.as_bytes(), true).ok()?.path());
        Some(Self {
            name: name.to_owned(),
            settings: settings(&text, &file),
            file,
        })
    }

    /// The settings of this name that hold: an empty value takes back those before it.
    pub(super) fn all(&self, key: &str) -> Vec<&Setting> {
        let mut out = Vec::new();
        for setting in self.settings.iter().filter(|setting| setting.key == key) {
            if setting.value.is_empty() {
                out.clear();
            } else {
                out.push(setting);
            }
        }
        out
    }

    /// The last setting of this name.
    pub(super) fn last(&self, key: &str) -> Option<&Setting> {
        self.all(key).pop()
    }

    /// Whether the last setting of this name has this value.
    pub(super) fn is(&self, key: &str, value: &str) -> bool {
        self.last(key).is_some_and(|setting| setting.value == value)
    }

    /// Whether a setting is true.
    pub(super) fn is_set(&self, key: &str) -> bool {
        self.last(key)
            .is_some_and(|setting| is_true(&setting.value))
    }

    /// Whether it runs on the first start of a system only.
    pub(super) fn is_for_first_boot(&self) -> bool {
        self.last("ConditionFirstBoot")
            .is_some_and(|setting| is_true(setting.value.trim_start_matches('|')))
    }

    /// The words of a setting that is a list of units.
    fn units(&self, key: &str) -> Vec<String> {
        let values = self.all(key);
        let words = values.iter().flat_map(|s| s.value.split_whitespace());
        words.map(str::to_owned).collect()
    }
}

/// The drop-ins of a unit with these names, in the order in which they count: also those of all
/// units whose name begins the same up to a dash, and of all units of its kind. Of the same name
/// the more special one counts.
fn drop_ins(root: &Tree, names: &[&str]) -> Vec<String> {
    let mut stems: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    for name in names {
        let Some((stem, kind)) = name.rsplit_once('.') else {
            continue;
        };
        let dashes: Vec<usize> = stem.match_indices('-').map(|(at, _)| at).collect();
        let starts = dashes.iter().rev().map(|at| &stem[..=*at]);
        stems.extend(starts.map(|start| format!("{start}.{kind}")));
    }
    let kind = names.first().and_then(|name| name.rsplit_once('.'));
    stems.extend(kind.map(|(_, kind)| kind.to_owned()));
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    for stem in stems.iter().rev() {
        for dir in DIRS.iter().rev() {
            let dir = format!("{dir}/{stem}.d");
            for conf in names_in(root, &dir).filter(|name| name.ends_with(".conf")) {
                found.insert(conf.clone(), format!("{dir}/{conf}"));
            }
        }
    }
    found.into_values().collect()
}

/// The value with the specifiers (`systemd.unit(5)`) of the unit of this name.
fn with_specifiers(value: &str, name: &str) -> String {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let (prefix, instance) = stem.split_once('@').unwrap_or((stem, ""));
    let mut out = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let Some(kind) = after.chars().next() else {
            out.push('%');
            return out;
        };
        match kind {
            '%' => out.push('%'),
            'i' => out.push_str(instance),
            'I' => out.push_str(unit_names::path(instance).trim_start_matches('/')),
            'n' => out.push_str(name),
            'N' => out.push_str(stem),
            'p' => out.push_str(prefix),
            'P' => out.push_str(unit_names::path(prefix).trim_start_matches('/')),
            'j' => out.push_str(prefix.rsplit('-').next().unwrap_or_default()),
            'E' => out.push_str("/etc"),
            'S' => out.push_str("/var/lib"),
            'C' => out.push_str("/var/cache"),
            'L' => out.push_str("/var/log"),
            't' => out.push_str("/run"),
            'f' => out.push_str(&unit_names::path(instance)),
            'h' => out.push_str("/root"),
            other => {
                out.push('%');
                out.push(other);
            }
        }
        rest = &after[kind.len_utf8()..];
    }
    out.push_str(rest);
    out
}

/// Whether a value is true for systemd.
fn is_true(value: &str) -> bool {
    matches!(
        value.to_ascii_lowercase().as_str(),
        "1" | "yes" | "y" | "true" | "t" | "on"
    )
}

fn text(root: &Tree, path: &str) -> Option<String> {
    let bytes = root.read(path, LIMIT).ok()??;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The names in a directory; none for a missing directory.
pub(super) fn names_in(root: &Tree, dir: &str) -> impl Iterator<Item = String> + use<> {
    let names: Vec<String> = root
        .dir(dir)
        .map(|dir| dir.entries.keys().map(|name| show(name)).collect())
        .unwrap_or_default();
    names.into_iter()
}

/// The settings in the text of a unit file; lines that end with a backslash go on.
fn settings(text: &str, file: &str) -> Vec<Setting> {
    let lines = logical_lines(text, Joining::Systemd, &['#', ';']).into_iter();
    let setting = |line: LogicalLine| {
        let (key, value) = line.text.split_once('=')?;
        Some(Setting {
            key: key.trim().to_owned(),
            value: value.trim().to_owned(),
            file: file.to_owned(),
            line: line.first,
        })
    };
    lines.filter_map(setting).collect()
}

/// The names of the units that run when the system starts, sorted.
pub(super) fn started(root: &Tree) -> BTreeSet<String> {
    let mut todo: VecDeque<String> = wanted(root).into();
    todo.push_back("default.target".to_owned());
    let mut seen = BTreeSet::new();
    while let Some(name) = todo.pop_front() {
        if is_not_started(&name) || !seen.insert(name.clone()) {
            continue;
        }
        let Some(unit) = Unit::load(root, &name) else {
            continue;
        };
        for key in ["Wants", "Requires", "BindsTo", "Requisite", "Upholds"] {
            todo.extend(unit.units(key));
        }
        todo.extend(wanted_by(root, &name));
        todo.extend(triggered(root, &unit));
    }
    seen
}

fn is_not_started(name: &str) -> bool {
    name.strip_suffix(".target")
        .is_some_and(|name| NOT_STARTED.contains(&name) || name.starts_with("initrd-"))
}

/// The ends of the names of directories with links to units that another unit wants.
const WANTS: [&str; 3] = [".wants", ".requires", ".upholds"];

/// The units that links in the directories of other units want.
fn wanted(root: &Tree) -> Vec<String> {
    let mut out = Vec::new();
    for dir in DIRS {
        for name in names_in(root, dir) {
            let unit = WANTS.iter().find_map(|end| name.strip_suffix(end));
            if unit.is_some_and(|unit| !is_not_started(unit)) {
                out.extend(names_in(root, &format!("{dir}/{name}")));
            }
        }
    }
    out
}

/// The units that links in the directories of this unit want.
fn wanted_by(root: &Tree, unit: &str) -> impl Iterator<Item = String> {
    let dirs = DIRS
        .iter()
        .flat_map(move |dir| WANTS.iter().map(move |end| format!("{dir}/{unit}{end}")));
    dirs.flat_map(|dir| names_in(root, &dir))
}

/// The unit that a timer or a watched path starts soon after the start.
fn triggered(root: &Tree, unit: &Unit) -> Option<String> {
    let (name, kind) = unit.name.rsplit_once('.')?;
    let all = |keys: &'static [&'static str]| keys.iter().flat_map(|key| unit.all(key));
    let soon = match kind {
        "timer" => {
            let stamp = format!("/var/lib/systemd/timers/stamp-{}", unit.name);
            // What was missed since the stamp of the golden image is made up for at once.
            let missed = unit.is_set("Persistent") && root.find(&stamp).is_some();
            let mut delays = all(&["OnBootSec", "OnStartupSec", "OnActiveSec"]);
            delays.any(|setting| seconds(&setting.value) < LONG_DELAY)
                || all(&["OnCalendar"]).any(|setting| missed || is_within_an_hour(&setting.value))
        }
        "path" => {
            let mut paths = all(&["PathExists", "DirectoryNotEmpty"]);
            paths.any(|setting| root.find(&setting.value).is_some())
                || all(&["PathExistsGlob"]).any(|setting| matches_a_file(root, &setting.value))
        }
        _ => false,
    };
    let named = unit.last("Unit").map(|setting| setting.value.clone());
    soon.then(|| named.unwrap_or_else(|| format!("{name}.service")))
}

/// Whether a calendar event (`systemd.time(7)`) comes several times an hour.
fn is_within_an_hour(event: &str) -> bool {
    if event == "minutely" {
        return true;
    }
    let Some(time) = event.split_whitespace().find(|word| word.contains(':')) else {
        return false;
    };
    let mut fields = time.split(':');
    let hour = fields.next().unwrap_or_default();
    let minute = fields.next().unwrap_or_default();
    hour.starts_with('*') && minute.contains(['*', '/', ',', '.'])
}

/// Whether the last component of a pattern matches a file.
fn matches_a_file(root: &Tree, pattern: &str) -> bool {
    let Some((dir, pattern)) = pattern.rsplit_once('/') else {
        return false;
    };
    names_in(root, dir).any(|name| crate::shell::matches(pattern, &name))
}

/// A time span (`systemd.time(7)`), in seconds.
pub(super) fn seconds(text: &str) -> u64 {
    let mut total = 0_u64;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = rest[..digits].parse().unwrap_or(0);
        rest = rest[digits..].trim_start();
        let letters = rest.len()
            - rest
                .trim_start_matches(|c: char| c.is_ascii_alphabetic())
                .len();
        let factor = match &rest[..letters] {
            "m" | "min" | "minute" | "minutes" => 60,
            "h" | "hr" | "hour" | "hours" => 3600,
            "d" | "day" | "days" => 86400,
            "w" | "week" | "weeks" => 604_800,
            "" | "s" | "sec" | "second" | "seconds" => 1,
            _ => 0,
        };
        total = total.saturating_add(number.saturating_mul(factor));
        if digits == 0 && letters == 0 {
            break;
        }
        rest = rest[letters..].trim_start();
    }
    total
}

/// The links that enable a unit: those in `/etc`, and whether other files start it too.
pub(super) fn enabling_links(root: &Tree, name: &str) -> (Vec<String>, bool) {
    let mut links = Vec::new();
    let mut elsewhere = false;
    for dir in DIRS {
        for group in names_in(root, dir) {
            let wants = WANTS.iter().any(|end| group.ends_with(end));
            let path = format!("{dir}/{group}/{name}");
            if !wants || root.find_nofollow(&path).is_none() {
                continue;
            }
            if dir == ETC {
                links.push(path);
            } else {
                elsewhere = true;
            }
        }
    }
    (links, elsewhere)
}

/// The scripts of SysV init that run when the system starts: name and path, in order.
pub(super) fn sysv_started(root: &Tree) -> Vec<(String, String)> {
    let mut out: BTreeMap<String, String> = BTreeMap::new();
    for level in ["S", "2", "3", "4", "5"] {
        let Some(dir) = root.dir(format!("/etc/rc{level}.d")) else {
            continue;
        };
        for (file, entry) in &dir.entries {
            let Some(name) = show(file).strip_prefix('S').map(str::to_owned) else {
                continue;
            };
            let DirEntry::Leaf(id) = entry else { continue };
            let name = name.trim_start_matches(|c: char| c.is_ascii_digit());
            let path = match &root.leaf(*id).kind {
                LeafKind::Symlink(_) => format!("/etc/init.d/{name}"),
                LeafKind::File(_) => format!("/etc/rc{level}.d/{}", show(file)),
                _ => continue,
            };
            out.insert(name.to_owned(), path);
        }
    }
    out.into_iter().collect()
}

/// Whether a unit of systemd replaces the script of this name.
pub(super) fn replaces_script(root: &Tree, name: &str) -> bool {
    let name = name.trim_end_matches(".sh");
    DIRS.iter().any(|dir| {
        root.find_nofollow(format!("{dir}/{name}.service"))
            .is_some()
    })
}

/// Whether the file at `path` may be executed.
pub(super) fn is_executable(root: &Tree, path: &str) -> bool {
    matches!(root.find(path), Some(Node::Leaf(leaf))
        if matches!(leaf.kind, LeafKind::File(_)) && leaf.stat.mode & 0o111 != 0)
}
