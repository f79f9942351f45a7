//! `pam-auth-update(8)`: the stacks in `/etc/pam.d/common-*`, made of the profiles in
//! `/usr/share/pam-configs`.
//!
//! A profile has fields: `Name`, `Default`, `Priority`, `Conflicts`, and for each type of stack
//! `TYPE-Type` (`Primary` or `Additional`), `TYPE` and `TYPE-Initial`, which are lines of the stack
//! (the latter if the profile is the first one). A stack has two managed blocks between remarks.
//! `/var/lib/pam` has, for each stack, the lines as they were made, by which changes of the
//! administrator are found and kept, and in `seen` the profiles that were offered.

mod profile;
mod stack;

use super::super::script_host::ScriptHost;
use super::arguments::CommandResult;
use crate::tree::edit::EditError;
use profile::Profile;
use stack::{Changes, Stack};
use std::collections::{BTreeMap, BTreeSet};

const PROGRAM: &str = "pam-auth-update";
const PROFILES: &str = "/usr/share/pam-configs";
const TEMPLATES: &str = "/usr/share/pam";
const STACKS: &str = "/etc/pam.d";
const STATE: &str = "/var/lib/pam";
/// The question of debconf that has the enabled profiles.
const QUESTION: &str = "libpam-runtime/profiles";

/// The types of stack.
const TYPES: [&str; 5] = [
    "auth",
    "account",
    "password",
    "session",
    "session-noninteractive",
];

/// What the call asks for.
#[derive(Debug, Default)]
struct Call<'a> {
    remove: BTreeSet<&'a str>,
    disable: BTreeSet<&'a str>,
    enable: BTreeSet<&'a str>,
}

impl<'a> Call<'a> {
    /// `None` for what only the package of the program itself may ask for.
    fn read(args: &[&'a str]) -> Option<Self> {
        let mut call = Self::default();
        let mut rest = args.iter().peekable();
        while let Some(arg) = rest.next() {
            let names = match *arg {
                "--package" => continue,
                "--remove" => &mut call.remove,
                "--disable" => &mut call.disable,
                "--enable" => &mut call.enable,
                _ => return None,
            };
            while let Some(name) = rest.next_if(|name| !name.starts_with("--")) {
                names.insert(name);
            }
        }
        Some(call)
    }
}

/// What differs between the versions of the program, read from its text.
struct Version {
    /// Digests of stacks without their managed blocks, by type, that are replaced by the template.
    pristine: BTreeMap<&'static str, Vec<String>>,
    /// Whether `Session-Interactive-Only` counts only with the value `yes`.
    needs_yes: bool,
}

impl Version {
    /// `None` for a program that is not the one that is known.
    fn read(text: &str) -> Option<Self> {
        let known = [
            "sub diff_profiles",
            "sub merge_one_line",
            "-Initial",
            "lines_for_module",
        ];
        let (_, table) = text.split_once("%md5sums = (")?;
        let (table, _) = table.split_once(");")?;
        if !known.iter().all(|mark| text.contains(mark)) || text.contains("-Session-Mode") {
            return None;
        }
        let mut pristine = BTreeMap::new();
        for kind in TYPES {
            let (_, list) = table.split_once(&format!("'{kind}' =>"))?;
            let (list, _) = list.split_once(']')?;
            let digests = list
                .split('\'')
                .filter(|word| word.len() == 32 && word.chars().all(|c| c.is_ascii_hexdigit()));
            pristine.insert(kind, digests.map(str::to_owned).collect());
        }
        Some(Self {
            pristine,
            needs_yes: text.contains("'Session-Interactive-Only'} ne 'yes'"),
        })
    }
}

pub(super) fn update(host: &mut ScriptHost<'_, '_>, args: &[&str]) -> CommandResult {
    let Some(call) = Call::read(args) else {
        return Ok(None);
    };
    let program = host.program(PROGRAM).unwrap_or_default();
    let Some(version) = Version::read(&host.text(&program)?.unwrap_or_default()) else {
        return Ok(None);
    };
    let Some(profiles) = profiles(host, &version)? else {
        return Ok(None);
    };
    let mut sorted: Vec<&str> = profiles
        .keys()
        .map(String::as_str)
        .filter(|name| !call.remove.contains(name))
        .collect();
    let by_priority = |names: &mut Vec<&str>| {
        let priority = |name: &str| profiles.get(name).map_or(0, |profile| profile.priority);
        names.sort_by(|a, b| priority(b).cmp(&priority(a)).then(b.cmp(a)));
    };
    by_priority(&mut sorted);

    let mut changes = BTreeMap::new();
    let mut used = Vec::new();
    for kind in TYPES {
        let saved = host.text(&format!("{STATE}/{kind}"))?;
        let current = host.text(&format!("{STACKS}/common-{kind}"))?;
        let found = match (saved, current) {
            (Some(saved), Some(current)) => stack::changes(kind, &saved, &current),
            _ => return Ok(None),
        };
        let Some(found) = found else {
            return Ok(left_alone(host));
        };
        used.extend(found.profiles.iter().cloned());
        changes.insert(kind, found);
    }
    let seen = host.text(&format!("{STATE}/seen"))?.unwrap_or_default();
    let Some(enabled) = enabled(&call, &profiles, &sorted, &used, &seen) else {
        return Ok(None);
    };
    let mut enabled = enabled;
    by_priority(&mut enabled);
    enabled.dedup();
    if conflict(&profiles, &enabled) {
        return Ok(None);
    }
    let Some(files) = files(host, &version, &profiles, &enabled, &mut changes)? else {
        return Ok(None);
    };
    let mut list: String = sorted.iter().flat_map(|name| [name, "\n"]).collect();
    host.write_file(&format!("{STATE}/seen"), list.as_bytes(), false)?;
    for (path, text) in files {
        renew(host, &path, &text)?;
    }
    list = enabled.join(", ");
    host.answers.insert(QUESTION.to_owned(), list);
    Ok(Some(0))
}

/// Stacks that the administrator changed in a way that cannot be kept stay as they are.
fn left_alone(host: &mut ScriptHost<'_, '_>) -> Option<i32> {
    let asked = host.answers.contains_key("libpam-runtime/override");
    let (package, script) = (&host.package.name, &host.package.script);
    let text = format!(
        "package {package}: {script}: `{PROGRAM}` leaves {STACKS}/common-* as they are, since they \
         have changes of the golden image that it does not know: enable the package's modules there \
         if the device needs them"
    );
    host.note(text);
    (!asked).then_some(0)
}

/// All profiles; `None` if one has a form of its own.
fn profiles(
    host: &ScriptHost<'_, '_>,
    version: &Version,
) -> Result<Option<BTreeMap<String, Profile>>, EditError> {
    let names: Vec<String> = match host.editor.tree().dir(PROFILES.as_bytes()) {
        Some(dir) => {
            let names = dir.entries.keys();
            names
                .map(|name| String::from_utf8_lossy(name).into_owned())
                .collect()
        }
        None => return Ok(None),
    };
    let mut profiles = BTreeMap::new();
    for name in names {
        let backup = name.len() > 2 && name.starts_with('#') && name.ends_with('#');
        if name.ends_with('~') || backup {
            continue;
        }
        let Some(text) = host.text(&format!("{PROFILES}/{name}"))? else {
            return Ok(None);
        };
        match Profile::read(&text, version.needs_yes) {
            Some(profile) if profile.disabled => {}
            Some(profile) => _ = profiles.insert(name, profile),
            None => return Ok(None),
        }
    }
    Ok(Some(profiles))
}

/// The profiles that are enabled from now on, some perhaps twice; `None` if there are none.
fn enabled<'p>(
    call: &Call<'_>,
    profiles: &BTreeMap<String, Profile>,
    sorted: &[&'p str],
    used: &[String],
    seen: &str,
) -> Option<Vec<&'p str>> {
    let mut seen: BTreeSet<&str> = seen.lines().collect();
    let used: BTreeSet<&str> = used.iter().map(String::as_str).collect();
    let known = |name: &&&str| used.contains(**name) && !call.disable.contains(**name);
    let mut enabled: Vec<&str> = sorted.iter().filter(known).copied().collect();
    let wanted = sorted.iter().filter(|name| call.enable.contains(**name));
    enabled.extend(wanted.filter(|name| !call.disable.contains(**name)));
    seen.extend(&call.disable);
    if enabled.is_empty() {
        seen.clear();
    }
    let new = sorted.iter().filter(|name| {
        let default = profiles.get(**name).is_some_and(|profile| profile.default);
        default && !seen.contains(**name)
    });
    enabled.extend(new);
    (!enabled.is_empty()).then_some(enabled)
}

/// Whether two of the enabled profiles exclude each other.
fn conflict(profiles: &BTreeMap<String, Profile>, enabled: &[&str]) -> bool {
    enabled.iter().any(|name| {
        let conflicts = profiles.get(*name).map(|profile| &profile.conflicts);
        conflicts.is_some_and(|conflicts| enabled.iter().any(|other| conflicts.contains(*other)))
    })
}

/// The new files: their paths and texts; `None` for a stack without its managed blocks.
fn files(
    host: &ScriptHost<'_, '_>,
    version: &Version,
    profiles: &BTreeMap<String, Profile>,
    enabled: &[&str],
    changes: &mut BTreeMap<&str, Changes>,
) -> Result<Option<Vec<(String, String)>>, EditError> {
    let mut out = Vec::new();
    for kind in TYPES {
        let path = format!("{STACKS}/common-{kind}");
        let mut template = host.text(&path)?.unwrap_or_default();
        let digest = stack::digest(&template);
        let pristine = version.pristine.get(kind);
        if pristine.is_some_and(|digests| digests.contains(&digest)) {
            let shipped = host.text(&format!("{TEMPLATES}/common-{kind}"))?;
            let Some(shipped) = shipped else {
                return Ok(None);
            };
            template = shipped;
        }
        let stack = Stack::new(kind, profiles, enabled);
        let changes = changes.entry(kind).or_default();
        let Some(text) = stack.text(&template, changes) else {
            return Ok(None);
        };
        out.push((path, text));
        out.push((format!("{STATE}/{kind}"), stack.saved()));
    }
    Ok(Some(out))
}

/// A file that is written anew under another name, and then takes that of the old one.
fn renew(host: &mut ScriptHost<'_, '_>, path: &str, text: &str) -> Result<(), EditError> {
    host.remove(path)?;
    host.write_file(path, text.as_bytes(), false)
}
