//! Everything that runs by itself when a system starts.

use super::entry::{Entry, EntryKind};
use super::follow::Files;
use super::units::{self, Unit, names_in};
use super::{rc_local, sessions};
use crate::golden::facts::is_started_by_units;

/// All entries of a system.
pub(super) fn all(files: &Files<'_>) -> Vec<Entry> {
    let systemd = is_started_by_units(files.root);
    let mut out = Vec::new();
    if systemd {
        out.extend(services(files));
    } else {
        out.extend(inittab(files));
    }
    out.extend(scripts(files, systemd));
    out.push(Entry {
        kind: EntryKind::Own,
        name: rc_local::PATH.to_owned(),
        found: rc_local::found(files),
    });
    out.extend(crontabs(files));
    out.extend(jobs_of_at(files));
    out.extend(sessions::logins(files));
    out
}

fn services(files: &Files<'_>) -> Vec<Entry> {
    let mut out = Vec::new();
    for name in units::started(files.root) {
        // The generator's: the script is an entry of its own.
        if !name.ends_with(".service")
            || matches!(name.as_str(), "rc-local.service" | "rc.local.service")
        {
            continue;
        }
        let Some(unit) = Unit::load(files.root, &name) else {
            continue;
        };
        if files.may_start(&unit) {
            out.push(Entry {
                kind: EntryKind::Service,
                found: files.service(&unit),
                name,
            });
        }
    }
    out
}

fn scripts(files: &Files<'_>, systemd: bool) -> Vec<Entry> {
    let mut out = Vec::new();
    for (name, path) in units::sysv_started(files.root) {
        // systemd knows the scripts of `/etc/init.d` alone.
        let is_known = path.starts_with("/etc/init.d/");
        if systemd && (!is_known || units::replaces_script(files.root, &name)) {
            continue;
        }
        out.push(Entry {
            kind: EntryKind::Script,
            found: files.script(&path, &["start".to_owned()]),
            name,
        });
    }
    out
}

/// Lines of `/etc/inittab` that run at a start.
fn inittab(files: &Files<'_>) -> Vec<Entry> {
    const PATH: &str = "/etc/inittab";
    let text = files.text(PATH).unwrap_or_default();
    let mut out = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let fields: Vec<&str> = line.splitn(4, ':').collect();
        let [_, _, action, command] = fields[..] else {
            continue;
        };
        let runs = ["sysinit", "boot", "bootwait", "once", "wait", "respawn"].contains(&action);
        // The levels 0 and 6 are those of the end.
        let at_end = matches!(fields[1], "0" | "6" | "06");
        if runs && !at_end && !line.trim_start().starts_with('#') {
            out.push(own(files, PATH, at + 1, command));
        }
    }
    out
}

fn own(files: &Files<'_>, path: &str, line: usize, command: &str) -> Entry {
    Entry {
        kind: EntryKind::Own,
        name: path.to_owned(),
        found: files.commands(command, path, line),
    }
}

/// The crontabs, and whether their lines name users.
pub(super) fn tables(files: &Files<'_>) -> Vec<(String, bool)> {
    let of = |dir: &str| {
        let names = names_in(files.root, dir);
        let paths: Vec<String> = names.map(|name| format!("{dir}/{name}")).collect();
        paths
    };
    let mut tables = vec![("/etc/crontab".to_owned(), true)];
    let system = of("/etc/cron.d").into_iter();
    tables.extend(system.map(|path| (path, true)));
    let users = of("/var/spool/cron/crontabs").into_iter();
    tables.extend(users.map(|path| (path, false)));
    tables
}

/// `@reboot` in crontabs, which run at each start.
fn crontabs(files: &Files<'_>) -> Vec<Entry> {
    let mut out = Vec::new();
    for (path, has_user) in tables(files) {
        let text = files.text(&path).unwrap_or_default();
        for (at, line) in text.lines().enumerate() {
            let Some(command) = line.trim_start().strip_prefix("@reboot") else {
                continue;
            };
            let mut command = command.trim_start();
            if has_user {
                command = command
                    .split_once(char::is_whitespace)
                    .map_or("", |(_, rest)| rest);
            }
            out.push(own(files, &path, at + 1, command));
        }
    }
    out
}

/// Jobs of `at` that wait in the golden image, whose time has come when a slot starts.
fn jobs_of_at(files: &Files<'_>) -> Vec<Entry> {
    const DIR: &str = "/var/spool/cron/atjobs";
    let runs = files.root.file("/usr/sbin/atd").is_some();
    let paths = names_in(files.root, DIR).map(|name| format!("{DIR}/{name}"));
    let paths = paths.filter(|path| runs && files.root.file(path).is_some());
    paths
        .map(|path| Entry {
            kind: EntryKind::Own,
            found: files.script(&path, &[]),
            name: path,
        })
        .collect()
}
