//! `systemd-tmpfiles(8) --create`: what `tmpfiles.d(5)` files make, at once and not only when the
//! device starts, since the rest of a script builds upon it.

mod acl;
mod line;
mod make;

use super::super::script_host::ScriptHost;
use super::super::users::AccountIds;
use super::arguments::CommandResult;
use crate::tree::edit::EditError;
use line::{Given, Line};
use std::collections::BTreeSet;

/// Directories in whose place others are when the device runs.
const VOLATILE: [&str; 6] = ["/dev", "/proc", "/run", "/sys", "/tmp", "/var/run"];

/// The status with a line that is not valid (`EX_DATAERR`).
const INVALID: i32 = 65;

/// The status where a line cannot be done (`EX_CANTCREAT`).
const FAILED: i32 = 73;

/// What is called.
#[derive(Debug, Default)]
struct Call<'a> {
    graceful: bool,
    /// Lines for boots too.
    boot: bool,
    only: Vec<&'a str>,
    not: Vec<&'a str>,
    files: Vec<&'a str>,
}

/// A line and where it is from.
struct Entry {
    line: Line,
    /// The line's number, its file, its text.
    place: String,
    owner: Owner,
}

/// The numbers of the owner that a line gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Owner {
    uid: Option<Given<u32>>,
    gid: Option<Given<u32>>,
}

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Yes,
    /// systemd does not do it, and fails.
    Failed,
    /// Outside of the model.
    Unknown,
}

pub(super) fn run(host: &mut ScriptHost<'_, '_>, args: &[&str]) -> CommandResult {
    let Some(call) = Call::read(args) else {
        return Ok(None);
    };
    let ids = AccountIds::read(host.editor.tree())?;
    let (mut entries, mut status) = (Vec::new(), 0);
    for name in &call.files {
        let Some((path, text)) = file(host, name)? else {
            return Ok(Some(1));
        };
        for (number, text) in (1..).zip(text.lines().map(str::trim)) {
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let place = format!("line {number} of {path} (`{text}`)");
            let Some(line) = Line::read(text) else {
                refuse(host, text.split_whitespace().nth(1), &place);
                continue;
            };
            if !call.wants(&line) {
                continue;
            }
            match Owner::of(&line, &ids) {
                Some(owner) => entries.push(Entry { line, place, owner }),
                // A user or group that does not exist.
                None if call.graceful => {}
                None => status = INVALID,
            }
        }
    }
    for entry in ordered(&entries) {
        match make::apply(host, entry, &ids)? {
            Done::Yes => {}
            Done::Failed if entry.line.lenient => {}
            Done::Failed if status == INVALID => {}
            Done::Failed => status = FAILED,
            Done::Unknown => refuse(host, Some(&entry.line.path), &entry.place),
        }
    }
    Ok(Some(status))
}

/// A line that is not understood makes the result wrong, but where its path is not on the device's
/// disk.
fn refuse(host: &mut ScriptHost<'_, '_>, path: Option<&str>, place: &str) {
    if !path.is_some_and(volatile) {
        host.refused.push(format!(
            "calls systemd-tmpfiles, and the effect of {place} is unknown"
        ));
    }
}

/// Whether a path is in one of the directories of the running device.
fn volatile(path: &str) -> bool {
    VOLATILE.iter().any(|dir| within(path, dir))
}

fn within(path: &str, dir: &str) -> bool {
    path.strip_prefix(dir.trim_end_matches('/'))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The file of a name, and its text.
fn file(host: &ScriptHost<'_, '_>, name: &str) -> Result<Option<(String, String)>, EditError> {
    let dirs = ["/etc", "/run", "/usr/local/lib", "/usr/lib"];
    let path = if name.starts_with('/') {
        Some(name.to_owned())
    } else {
        dirs.iter()
            .map(|dir| format!("{dir}/tmpfiles.d/{name}"))
            .find(|path| host.exists(path))
    };
    let Some(path) = path else { return Ok(None) };
    Ok(host.text(&path)?.map(|text| (path, text)))
}

/// The lines of one path: those that make it, or those that concern what a pattern matches.
struct Group<'a> {
    path: &'a str,
    makes: bool,
    entries: Vec<&'a Entry>,
}

/// The lines in the order in which they are done: first what makes its own path, then what concerns
/// the matches of patterns, each after the lines for paths above it.
fn ordered(entries: &[Entry]) -> Vec<&Entry> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for entry in entries {
        let line = &entry.line;
        let group = groups
            .iter_mut()
            .find(|group| group.path == line.path && group.makes == line.makes());
        match group {
            // Of several lines that own a path, the first counts.
            Some(group) if line.owns() && group.entries.iter().any(|e| e.line.owns()) => {}
            Some(group) => group.entries.push(entry),
            None => groups.push(Group {
                path: &line.path,
                makes: line.makes(),
                entries: vec![entry],
            }),
        }
    }
    for group in &mut groups {
        let key = |entry: &&Entry| (!entry.line.owns(), entry.line.kind);
        group.entries.sort_by_key(key);
    }
    groups.sort_by_key(|group| !group.makes);
    let (mut done, mut out) = (BTreeSet::new(), Vec::new());
    for at in 0..groups.len() {
        add(at, &groups, &mut done, &mut out);
    }
    out
}

/// Adds a group after that of the next path above it.
fn add<'a>(at: usize, groups: &[Group<'a>], done: &mut BTreeSet<usize>, out: &mut Vec<&'a Entry>) {
    let Some(group) = groups.get(at).filter(|_| done.insert(at)) else {
        return;
    };
    let above = groups
        .iter()
        .enumerate()
        .filter(|(_, other)| other.path != group.path && within(group.path, other.path))
        // Of two groups of one path, the first.
        .max_by_key(|(at, other)| (other.path.len(), std::cmp::Reverse(*at)));
    if let Some((parent, _)) = above {
        add(parent, groups, done, out);
    }
    out.extend(&group.entries);
}

impl<'a> Call<'a> {
    fn read(args: &[&'a str]) -> Option<Self> {
        let (mut out, mut create) = (Self::default(), false);
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            let (name, joined) = arg
                .split_once('=')
                .filter(|_| arg.starts_with("--"))
                .map_or((*arg, None), |(name, value)| (name, Some(value)));
            match name {
                "--create" => create = true,
                "--boot" => out.boot = true,
                "--graceful" => out.graceful = true,
                // The model works in the root in any case.
                "--root" if matches!(joined, Some("" | "/")) => {}
                "--prefix" => out.only.push(joined.or_else(|| rest.next().copied())?),
                "--exclude-prefix" => out.not.push(joined.or_else(|| rest.next().copied())?),
                "-E" => out.not.extend(["/dev", "/proc", "/run", "/sys"]),
                _ if arg.starts_with('-') => return None,
                _ => out.files.push(arg),
            }
        }
        // Without files, all of them are read.
        (create && !out.files.is_empty()).then_some(out)
    }

    fn wants(&self, line: &Line) -> bool {
        let any = |dirs: &[&str]| dirs.iter().any(|dir| within(&line.path, dir));
        (self.boot || !line.at_boot) && (self.only.is_empty() || any(&self.only)) && !any(&self.not)
    }
}

impl Owner {
    /// `None` with a name that nobody has.
    fn of(line: &Line, ids: &AccountIds) -> Option<Self> {
        let id = |given: &Option<Given<String>>, look: &dyn Fn(&str) -> Option<u32>| match given {
            None => Some(None),
            Some(given) => Some(Some(Given {
                value: look(&given.value)?,
                only_new: given.only_new,
            })),
        };
        Some(Self {
            uid: id(&line.user, &|name| ids.user(name))?,
            gid: id(&line.group, &|name| ids.group(name))?,
        })
    }
}
