//! Everything that runs by itself when a system starts.

use super::follow::{Files, Found, is_own};
use super::units::{self, Unit, names_in};
use super::{lexer, rc_local};
use crate::golden::facts::is_started_by_units;

/// Something that runs by itself.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Its kind, and how it is taken away.
    pub(super) kind: EntryKind,
    /// For people: a service, a file, or the line of one.
    pub(super) name: String,
    /// What it does.
    pub(super) found: Found,
}

/// The kinds of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryKind {
    /// A unit of systemd.
    Service,
    /// A script of SysV init.
    Script,
    /// `/etc/rc.local`, a line of a crontab or of `/etc/inittab`: it is one of the owner's own.
    Own,
    /// What a shell reads that nobody logs in to.
    Login,
    /// What a device, a network or a regular job runs.
    Event,
}

impl Entry {
    /// Whether it is the owner's, so that a condition does not excuse what it does in a file: also
    /// in what the sessions run of users that log in by themselves, unless it asks them.
    pub(super) fn is_own(&self, file: &str) -> bool {
        match self.kind {
            EntryKind::Own => true,
            EntryKind::Login => !self.found.asks && is_own(file),
            _ => false,
        }
    }
}

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
    out.extend(logins(files));
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

/// What the shells and sessions of users run that log in by themselves.
fn logins(files: &Files<'_>) -> Vec<Entry> {
    let mut out = Vec::new();
    let passwd = files.text("/etc/passwd").unwrap_or_default();
    let users = auto_users(files);
    let lingering: Vec<String> = names_in(files.root, "/var/lib/systemd/linger").collect();
    for line in passwd.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let [user, _, _, _, _, home, shell] = fields[..] else {
            continue;
        };
        let logs_in = users.iter().any(|name| name == user);
        if logs_in {
            let scripts = [
                ".profile",
                ".bash_profile",
                ".bash_login",
                ".bashrc",
                ".zprofile",
                ".xinitrc",
                ".xsession",
                ".config/openbox/autostart",
                ".config/labwc/autostart",
            ];
            let paths = scripts.iter().map(|name| format!("{home}/{name}"));
            let paths = paths.chain([shell.to_owned()]);
            out.extend(paths.map(|path| login(path.clone(), files.script(&path, &[]))));
            let dir = format!("{home}/.config/autostart");
            out.extend(desktop_files(files, &dir));
        }
        if logs_in || lingering.iter().any(|name| name == user) {
            out.extend(user_units(files, &format!("{home}/.config/systemd/user")));
            out.extend(user_units(files, "/etc/systemd/user"));
        }
    }
    if !users.is_empty() {
        let dir = "/etc/profile.d";
        let names: Vec<String> = names_in(files.root, dir).collect();
        for name in names.iter().filter(|name| name.ends_with(".sh")) {
            let path = format!("{dir}/{name}");
            out.push(login(path.clone(), files.script(&path, &[])));
        }
        for path in [
            "/etc/profile",
            "/etc/bash.bashrc",
            "/etc/xdg/openbox/autostart",
        ] {
            out.push(login(path.to_owned(), files.script(path, &[])));
        }
        out.extend(desktop_files(files, "/etc/xdg/autostart"));
    }
    out
}

fn login(name: String, found: Found) -> Entry {
    Entry {
        kind: EntryKind::Login,
        name,
        found,
    }
}

/// Users that log in by themselves: by `agetty(8)`, or by a display manager.
fn auto_users(files: &Files<'_>) -> Vec<String> {
    let mut users = Vec::new();
    for name in units::started(files.root) {
        if !name.contains("getty") {
            continue;
        }
        let Some(unit) = Unit::load(files.root, &name) else {
            continue;
        };
        for setting in unit.all("ExecStart") {
            let words = lexer::tokens(&setting.value, 1);
            let words: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
            let next = words
                .iter()
                .position(|word| matches!(*word, "--autologin" | "-a"))
                .and_then(|at| words.get(at + 1).copied());
            let joined = words
                .iter()
                .find_map(|word| word.strip_prefix("--autologin="));
            users.extend(next.or(joined).map(str::to_owned));
        }
    }
    let mut configs = vec![
        "/etc/lightdm/lightdm.conf".to_owned(),
        "/etc/gdm3/daemon.conf".to_owned(),
    ];
    for dir in ["/etc/lightdm/lightdm.conf.d", "/etc/sddm.conf.d"] {
        configs.extend(names_in(files.root, dir).map(|name| format!("{dir}/{name}")));
    }
    for path in configs {
        for line in files.text(&path).unwrap_or_default().lines() {
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            if matches!(key.trim(), "autologin-user" | "AutomaticLogin" | "User") {
                users.push(value.trim().to_owned());
            }
        }
    }
    users
}

/// What the sessions of a desktop start.
fn desktop_files(files: &Files<'_>, dir: &str) -> Vec<Entry> {
    let mut out = Vec::new();
    for name in names_in(files.root, dir).filter(|name| name.ends_with(".desktop")) {
        let path = format!("{dir}/{name}");
        for (at, line) in files.text(&path).unwrap_or_default().lines().enumerate() {
            if let Some(command) = line.strip_prefix("Exec=") {
                let found = files.commands(command, &path, at + 1);
                out.push(login(path.clone(), found));
            }
        }
    }
    out
}

/// The units that a user's service manager starts.
fn user_units(files: &Files<'_>, dir: &str) -> Vec<Entry> {
    let mut out = Vec::new();
    for group in names_in(files.root, dir).filter(|name| name.ends_with(".wants")) {
        for name in names_in(files.root, &format!("{dir}/{group}")) {
            let path = format!("{dir}/{group}/{name}");
            if let Some(unit) = Unit::at(files.root, &path, &name)
                && files.may_start(&unit)
            {
                let found = files.service(&unit);
                out.push(login(unit.file, found));
            }
        }
    }
    out
}
