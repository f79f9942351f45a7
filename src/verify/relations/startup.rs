//! What runs by itself when a slot starts: an update that restarts the device before it proves
//! itself is taken back. The reading is a simple one, line by line: what is reported is sure.

use super::super::disk::{Disk, Roles, read};
use super::super::finding::{Location, Log, Severity};
use super::ACCEPTED;
use crate::tree::{Node, Tree, show};
use std::collections::BTreeSet;

const RC_LOCAL: &str = "/etc/rc.local";
const UNITS: [&str; 3] = [
    "/etc/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
/// Groups of units that a start does not reach.
const AT_THE_END: [&str; 7] = [
    "reboot.target.",
    "poweroff.target.",
    "halt.target.",
    "shutdown.target.",
    "rescue.target.",
    "emergency.target.",
    "system-update.target.",
];

/// Checks slot A; slot B has the same files, or none yet.
pub(super) fn check(disk: &Disk, roles: &Roles, log: &mut Log) {
    let Some(root) = disk.files(roles.a).map(|files| &*files.tree) else {
        return;
    };
    let slot = Slot {
        root,
        number: roles.a,
        accepted: lines(root, ACCEPTED)
            .iter()
            .filter_map(|(_, line)| Some(line.split_once('\t')?.0.to_owned()))
            .collect(),
    };
    slot.rc_local(log);
    slot.units(log);
    slot.machine_id(log);
    for path in [
        "/etc/overlayroot.conf",
        "/etc/overlayroot.local.conf",
        "/boot/mender-slot.env",
    ] {
        overlay(
            &slot,
            root,
            path,
            &Location::partition(roles.a).path(path),
            log,
        );
    }
    if let Some(number) = roles.boot
        && let Some(boot) = disk.files(number)
    {
        let path = show(&boot.tree.path_ignore_case("/cmdline.txt"));
        let place = Location::partition(number).path(path.clone());
        overlay(&slot, &boot.tree, &path, &place, log);
    }
}

/// A slot, and the files in it that may act.
struct Slot<'a> {
    root: &'a Tree,
    number: u32,
    accepted: BTreeSet<String>,
}

/// The lines of a file with their numbers, from 1.
fn lines(tree: &Tree, path: &str) -> Vec<(usize, String)> {
    let bytes = read(tree, path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    (1..).zip(text.lines().map(str::to_owned)).collect()
}

impl Slot<'_> {
    fn place(&self, path: &str) -> Location {
        Location::partition(self.number).path(path)
    }

    /// Adds a finding about a file, which is a note if the file is accepted.
    fn report(&self, code: &'static str, path: &str, text: String, log: &mut Log) {
        let severity = if self.accepted.contains(path) {
            Severity::Note
        } else {
            Severity::Error
        };
        log.add(severity, code, self.place(path), text);
    }

    fn rc_local(&self, log: &mut Log) {
        let runs = match self.root.find(RC_LOCAL) {
            Some(Node::Leaf(leaf)) => leaf.stat.mode & 0o111 != 0,
            _ => false,
        };
        let found = restarts(&lines(self.root, RC_LOCAL)).filter(|_| runs);
        match found {
            None => log.passed(1),
            Some((line, command)) => {
                let text = format!("line {line}, `{command}`, restarts the device on each start");
                self.report("startup-restarts", RC_LOCAL, text, log);
            }
        }
    }

    /// Checks the services that links in the directories of targets start.
    fn units(&self, log: &mut Log) {
        let mut seen = BTreeSet::new();
        for dir in UNITS {
            for group in names(self.root, dir) {
                let wants = group.ends_with(".wants") || group.ends_with(".requires");
                let at_end = AT_THE_END.iter().any(|start| group.starts_with(start));
                if !wants || at_end {
                    continue;
                }
                for name in names(self.root, &format!("{dir}/{group}")) {
                    if name.ends_with(".service") && seen.insert(name.clone()) {
                        self.unit(&name, log);
                    }
                }
            }
        }
    }

    fn unit(&self, name: &str, log: &mut Log) {
        let paths = UNITS.iter().map(|dir| format!("{dir}/{name}"));
        let Some(path) = paths
            .into_iter()
            .find(|path| self.root.find_nofollow(path).is_some())
        else {
            return;
        };
        let mut text = lines(self.root, &path);
        for dir in UNITS {
            let drop_ins = format!("{dir}/{name}.d");
            for conf in names(self.root, &drop_ins) {
                text.extend(lines(self.root, &format!("{drop_ins}/{conf}")));
            }
        }
        let values = |key: &str| -> Vec<&str> {
            let all = text
                .iter()
                .filter_map(|(_, line)| line.trim().strip_prefix(key)?.strip_prefix('='));
            let all: Vec<&str> = all.collect();
            // An empty value takes back those before it.
            let from = all.iter().rposition(|value| value.is_empty());
            all.into_iter()
                .skip(from.map_or(0, |at| at.saturating_add(1)))
                .collect()
        };
        let waits = values("ConditionPathExists")
            .iter()
            .any(|path| !path.starts_with(['!', '|']) && self.root.find(path).is_none());
        if waits || !values("ConditionFirstBoot").is_empty() {
            return log.passed(1);
        }
        for command in values("ExecStart") {
            let command = command.trim_start_matches(['-', '@', ':', '+', '!']);
            let program = command.split_whitespace().next().unwrap_or_default();
            let found = if is_restart(command) {
                Some((path.clone(), command.to_owned()))
            } else {
                let script = lines(self.root, program);
                let is_shell = script
                    .first()
                    .is_some_and(|(_, line)| line.starts_with("#!") && line.contains("sh"));
                restarts(&script)
                    .filter(|_| is_shell)
                    .map(|(line, command)| (program.to_owned(), format!("line {line}, {command}")))
            };
            match found {
                None => log.passed(1),
                Some((file, command)) => {
                    let text = format!("`{command}` restarts the device whenever {name} starts");
                    let file = if self.accepted.contains(&path) {
                        &path
                    } else {
                        &file
                    };
                    self.report("startup-restarts", file, text, log);
                }
            }
        }
    }

    /// Without an id, or an empty file, systemd takes the first start of each slot for that of a
    /// new machine.
    fn machine_id(&self, log: &mut Log) {
        const PATH: &str = "/etc/machine-id";
        let systemd = ["/usr/lib/systemd/systemd", "/lib/systemd/systemd"];
        if !systemd.iter().any(|path| self.root.find(path).is_some()) {
            return;
        }
        let id = read(self.root, PATH);
        let id = id.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
        let why = match id.as_deref() {
            Some("uninitialized") => "it says uninitialized",
            Some(_) => return log.passed(1),
            None => "it does not exist",
        };
        let text = format!("{why}: each update is a first boot to systemd");
        log.add(
            Severity::Warning,
            "startup-first-boot",
            self.place(PATH),
            text,
        );
    }
}

/// The names in a directory.
fn names(root: &Tree, dir: &str) -> Vec<String> {
    root.dir(dir)
        .map(|dir| dir.entries.keys().map(|name| show(name)).collect())
        .unwrap_or_default()
}

/// The first line of a script that restarts the device whenever the script runs: outside of
/// conditions, loops, functions and here documents.
fn restarts(script: &[(usize, String)]) -> Option<(usize, String)> {
    let mut depth = 0_i32;
    let mut here: Option<String> = None;
    for (number, line) in script {
        let line = line.trim();
        if let Some(end) = &here {
            if line == end {
                here = None;
            }
            continue;
        }
        if line.starts_with('#') {
            continue;
        }
        if depth == 0 && is_restart(line) {
            return Some((*number, line.to_owned()));
        }
        if depth == 0 && line.split_whitespace().next() == Some("exit") {
            return None;
        }
        for word in line.split(|c: char| c.is_whitespace() || c == ';') {
            match word {
                "if" | "case" | "while" | "until" | "for" | "select" | "{" | "(" => {
                    depth = depth.saturating_add(1);
                }
                "fi" | "esac" | "done" | "}" | ")" => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        if let Some((_, rest)) = line.split_once("<<") {
            let end = rest
                .trim_start_matches(['-', '<', ' '])
                .split(|c: char| c.is_whitespace() || ";&|>".contains(c));
            let end = end.into_iter().next().unwrap_or_default();
            here = Some(end.replace(['\'', '"', '\\'], ""))
                .filter(|end| !end.is_empty() && !rest.starts_with('<'));
        }
    }
    None
}

/// Whether a line begins with a command that restarts the device or switches it off.
fn is_restart(line: &str) -> bool {
    let mut words = line
        .split(|c: char| c.is_whitespace() || c == ';')
        .filter(|word| !word.is_empty())
        .skip_while(|word| matches!(*word, "sudo" | "exec" | "nohup") || word.contains('='));
    let program = words.next().unwrap_or_default();
    let name = program.rsplit('/').next().unwrap_or_default();
    let rest: Vec<&str> = words.collect();
    match name {
        "reboot" | "poweroff" | "halt" => !rest.iter().any(|word| word.starts_with("--")),
        "shutdown" => rest.contains(&"now") && !rest.contains(&"-c"),
        "init" | "telinit" => rest
            .first()
            .is_some_and(|level| matches!(*level, "0" | "6")),
        "systemctl" => rest
            .iter()
            .find(|word| !word.starts_with('-'))
            .is_some_and(|word| matches!(*word, "reboot" | "poweroff" | "halt")),
        _ => false,
    }
}

/// Checks that an overlay of the root filesystem leaves the data partition alone.
fn overlay(slot: &Slot<'_>, tree: &Tree, path: &str, place: &Location, log: &mut Log) {
    for (number, line) in lines(tree, path) {
        if line.trim_start().starts_with('#') && !path.ends_with(".env") {
            continue;
        }
        for word in line.split(|c: char| c.is_whitespace() || "\"'".contains(c)) {
            let value = match word.rsplit_once("overlayroot=") {
                Some(("", "")) => line
                    .split_once("overlayroot=")
                    .map_or("", |(_, value)| value.trim_matches(['"', '\''])),
                Some(("" | "args=", value)) => value,
                _ => continue,
            };
            let covers = value.starts_with("tmpfs") && !value.contains("recurse=0");
            let accepted = slot.accepted.iter().any(|file| file.ends_with(path));
            if covers && !accepted {
                let text = format!(
                    "line {number}: overlayroot={value} covers the data partition too: the update client forgets at each start that it was updating"
                );
                log.error("startup-overlay", place.clone(), text);
            } else {
                log.passed(1);
            }
        }
    }
}
