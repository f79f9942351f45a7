//! Units of systemd: their settings with drop-ins, and which of them a start reaches.

use super::super::super::disk::read;
use super::joined::{Reader, joined};
use super::names;
use crate::tree::{Tree, show};
use std::collections::{BTreeMap, BTreeSet};

/// Directories of units, the first one decides.
const DIRS: [&str; 6] = [
    "/etc/systemd/system.control",
    "/etc/systemd/system",
    "/etc/systemd/system.attached",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
/// Targets of the end, and of starts that are none of a device in use.
const UNREACHED: [&str; 15] = [
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
    "suspend",
];

/// A value of a setting, and where it is.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) text: String,
    pub(super) file: String,
    /// The line, from 1.
    pub(super) line: u32,
}

/// A unit with its drop-ins.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    pub(super) name: String,
    pub(super) file: String,
    settings: Vec<(String, Value)>,
}

impl Unit {
    /// Reads a unit; `None` if it does not exist or is masked.
    pub(super) fn read(root: &Tree, name: &str) -> Option<Self> {
        let names = aliases(name);
        let paths = names
            .iter()
            .flat_map(|name| DIRS.iter().map(move |dir| format!("{dir}/{name}")));
        let path = paths
            .into_iter()
            .find(|path| root.find_nofollow(path).is_some())?;
        let mut unit = Self::in_file(root, &path, name)?;
        for path in drop_ins(root, &names) {
            unit.take(root, &path);
        }
        let instance = name.split_once('@').map_or("", |(_, rest)| rest);
        let instance = instance
            .rsplit_once('.')
            .map_or("", |(instance, _)| instance);
        for (_, value) in &mut unit.settings {
            let text = value.text.replace("%i", instance).replace("%I", instance);
            value.text = text.replace("%n", name).replace("%%", "%");
        }
        Some(unit)
    }

    /// The unit in one file.
    pub(super) fn in_file(root: &Tree, path: &str, name: &str) -> Option<Self> {
        let real = show(&root.walk(path.as_bytes(), true).ok()?.path());
        let mut unit = Self {
            name: name.to_owned(),
            file: real.clone(),
            settings: Vec::new(),
        };
        unit.take(root, &real);
        (!unit.settings.is_empty()).then_some(unit)
    }

    /// Adds the settings of a file.
    fn take(&mut self, root: &Tree, path: &str) {
        let bytes = read(root, path).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        for (line, text) in joined(&text, Reader::Unit) {
            if let Some((key, value)) = text.split_once('=') {
                let value = Value {
                    text: value.trim().to_owned(),
                    file: path.to_owned(),
                    line,
                };
                self.settings.push((key.trim().to_owned(), value));
            }
        }
    }

    /// The values of a setting; an empty one takes back those before it.
    pub(super) fn values(&self, key: &str) -> Vec<Value> {
        let all = self.settings.iter().filter(|(name, _)| name == key);
        let all: Vec<&Value> = all.map(|(_, value)| value).collect();
        let from = all.iter().rposition(|value| value.text.is_empty());
        let from = from.map_or(0, |at| at.saturating_add(1));
        all.into_iter().skip(from).cloned().collect()
    }

    fn last(&self, key: &str) -> Option<String> {
        Some(self.values(key).pop()?.text)
    }

    pub(super) fn is(&self, key: &str, value: &str) -> bool {
        self.last(key).as_deref() == Some(value)
    }

    pub(super) fn is_on(&self, key: &str) -> bool {
        self.last(key).is_some_and(|value| is_yes(&value))
    }

    fn words(&self, key: &str) -> Vec<String> {
        let words = |value: Value| -> Vec<String> {
            value.text.split_whitespace().map(str::to_owned).collect()
        };
        self.values(key).into_iter().flat_map(words).collect()
    }

    /// Whether its conditions can hold on the first start of a slot.
    pub(super) fn may_start(&self, root: &Tree) -> bool {
        let first = self.last("ConditionFirstBoot");
        if first.is_some_and(|value| is_yes(value.trim_start_matches('|'))) {
            return false;
        }
        let keys = [
            "ConditionPathExists",
            "ConditionFileNotEmpty",
            "ConditionDirectoryNotEmpty",
        ];
        keys.iter().flat_map(|key| self.values(key)).all(|value| {
            let path = value.text.as_str();
            let live = [
                "/run/",
                "/proc/",
                "/sys/",
                "/dev/",
                "/tmp/",
                "/data/",
                "/var/run/",
            ];
            let plain = path.trim_start_matches('!');
            if path.starts_with('|') || live.iter().any(|dir| plain.starts_with(dir)) {
                return true;
            }
            root.find(plain).is_some() != path.starts_with('!')
        })
    }
}

fn is_yes(value: &str) -> bool {
    ["1", "yes", "y", "true", "t", "on"].contains(&value.to_lowercase().as_str())
}

/// The name, and that of its template.
fn aliases(name: &str) -> Vec<String> {
    let mut out = vec![name.to_owned()];
    if let Some((start, rest)) = name.split_once('@')
        && let Some((_, kind)) = rest.rsplit_once('.')
    {
        out.push(format!("{start}@.{kind}"));
    }
    out
}

/// The drop-ins of a unit, in the order in which they count: also those for all units of its kind,
/// and for all whose name begins the same up to a dash.
fn drop_ins(root: &Tree, names_of: &[String]) -> Vec<String> {
    let mut stems: Vec<String> = names_of.to_vec();
    for name in names_of {
        let Some((stem, kind)) = name.rsplit_once('.') else {
            continue;
        };
        let dashes = stem
            .match_indices('-')
            .filter_map(|(at, _)| stem.get(..=at));
        stems.extend(dashes.map(|start| format!("{start}.{kind}")));
        stems.push(kind.to_owned());
    }
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    // The more general names come first, and the directories that count less.
    for stem in stems.iter().rev() {
        for dir in DIRS.iter().rev() {
            let dir = format!("{dir}/{stem}.d");
            for name in names(root, &dir) {
                if name.ends_with(".conf") {
                    found.insert(name.clone(), format!("{dir}/{name}"));
                }
            }
        }
    }
    found.into_values().collect()
}

/// The units that a start reaches, by name.
pub(super) fn reached(root: &Tree) -> BTreeSet<String> {
    let mut wanted: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for dir in DIRS {
        for group in names(root, dir) {
            let of = [".wants", ".requires", ".upholds"]
                .iter()
                .find_map(|end| group.strip_suffix(end));
            if let Some(of) = of {
                let units = names(root, &format!("{dir}/{group}"));
                wanted.entry(of.to_owned()).or_default().extend(units);
            }
        }
    }
    // What devices and mounts want may come too.
    let groups = wanted.keys().filter(|of| is_reached(of));
    let mut todo: Vec<String> = groups
        .flat_map(|of| wanted.get(of))
        .flatten()
        .cloned()
        .collect();
    todo.push("default.target".to_owned());
    let mut seen = BTreeSet::new();
    while let Some(name) = todo.pop() {
        if !is_reached(&name) || !seen.insert(name.clone()) {
            continue;
        }
        todo.extend(wanted.get(&name).into_iter().flatten().cloned());
        let Some(unit) = Unit::read(root, &name) else {
            continue;
        };
        for key in ["Wants", "Requires", "BindsTo", "Requisite", "Upholds"] {
            todo.extend(unit.words(key));
        }
        todo.extend(triggered(root, &unit));
    }
    seen
}

fn is_reached(name: &str) -> bool {
    let target = name.strip_suffix(".target");
    target.is_none_or(|name| !UNREACHED.contains(&name) && !name.starts_with("initrd-"))
}

/// The unit that a timer starts within the hour, or a path at once.
fn triggered(root: &Tree, unit: &Unit) -> Option<String> {
    let (stem, kind) = unit.name.rsplit_once('.')?;
    let soon = match kind {
        "timer" => {
            let stamp = format!("/var/lib/systemd/timers/stamp-{}", unit.name);
            let missed = unit.is_on("Persistent") && root.find(stamp).is_some();
            let delays = ["OnBootSec", "OnStartupSec", "OnActiveSec"];
            let mut delays = delays.iter().flat_map(|key| unit.values(key));
            let mut events = unit.values("OnCalendar").into_iter();
            delays.any(|value| span(&value.text) < 3600)
                || events.any(|value| missed || is_often(&value.text))
        }
        "path" => {
            let keys = ["PathExists", "DirectoryNotEmpty"];
            let mut paths = keys.iter().flat_map(|key| unit.values(key));
            paths.any(|value| root.find(&value.text).is_some())
        }
        _ => false,
    };
    let named = unit.last("Unit");
    soon.then(|| named.unwrap_or_else(|| format!("{stem}.service")))
}

/// Whether a calendar event comes more than once an hour.
fn is_often(event: &str) -> bool {
    let time = event.split_whitespace().find(|word| word.contains(':'));
    let time = time.and_then(|time| time.split_once(':'));
    event == "minutely"
        || time.is_some_and(|(hour, rest)| {
            let minute = rest.split(':').next().unwrap_or_default();
            hour.starts_with('*') && minute.contains(['*', '/', ',', '.'])
        })
}

/// A time span in seconds (`5min 30s`).
pub(super) fn span(text: &str) -> u64 {
    let mut total = 0_u64;
    let mut number = 0_u64;
    let mut unit = String::new();
    let mut add = |number: &mut u64, unit: &mut String| {
        let factor = match unit.as_str() {
            "m" | "min" | "minute" | "minutes" => 60,
            "h" | "hr" | "hour" | "hours" => 3600,
            "d" | "day" | "days" => 86_400,
            "w" | "week" | "weeks" => 604_800,
            "" | "s" | "sec" | "second" | "seconds" => 1,
            _ => 0,
        };
        total = total.saturating_add(number.saturating_mul(factor));
        *number = 0;
        unit.clear();
    };
    for c in text.chars() {
        match c.to_digit(10) {
            Some(digit) => {
                if !unit.is_empty() {
                    add(&mut number, &mut unit);
                }
                number = number.saturating_mul(10).saturating_add(u64::from(digit));
            }
            None if c.is_ascii_alphabetic() => unit.push(c),
            None => {}
        }
    }
    add(&mut number, &mut unit);
    total
}
