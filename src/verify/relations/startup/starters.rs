//! Everything that a start runs, besides the services of systemd.

use super::joined::Reader;
use super::rules;
use super::start::Start;
use super::trace::Files;
use std::collections::BTreeMap;

/// Directories whose programs run when a device starts, and their arguments.
const HOOKS: [(&str, &[&str]); 30] = [
    ("/etc/network/if-pre-up.d", &[]),
    ("/etc/network/if-up.d", &[]),
    ("/etc/NetworkManager/dispatcher.d", &["eth0", "up"]),
    (
        "/etc/NetworkManager/dispatcher.d/pre-up.d",
        &["eth0", "pre-up"],
    ),
    ("/usr/lib/NetworkManager/dispatcher.d", &["eth0", "up"]),
    ("/etc/networkd-dispatcher/carrier.d", &[]),
    ("/etc/networkd-dispatcher/configured.d", &[]),
    ("/etc/networkd-dispatcher/configuring.d", &[]),
    ("/etc/networkd-dispatcher/degraded.d", &[]),
    ("/etc/networkd-dispatcher/routable.d", &[]),
    ("/etc/dhcp/dhclient-enter-hooks.d", &[]),
    ("/etc/dhcp/dhclient-exit-hooks.d", &[]),
    ("/etc/ppp/ip-up.d", &[]),
    ("/etc/systemd/system-generators", &[]),
    ("/usr/local/lib/systemd/system-generators", &[]),
    ("/etc/systemd/system-environment-generators", &[]),
    ("/etc/boot.d", &[]),
    ("/etc/local.d", &["start"]),
    ("/etc/rc.boot", &[]),
    ("/etc/initramfs-tools/scripts/init-top", &[]),
    ("/etc/initramfs-tools/scripts/init-premount", &[]),
    ("/etc/initramfs-tools/scripts/local-top", &[]),
    ("/etc/initramfs-tools/scripts/local-block", &[]),
    ("/etc/initramfs-tools/scripts/local-premount", &[]),
    ("/etc/initramfs-tools/scripts/local-bottom", &[]),
    ("/etc/initramfs-tools/scripts/init-bottom", &[]),
    ("/etc/X11/Xsession.d", &[]),
    ("/var/lib/cloud/scripts/per-boot", &[]),
    ("/var/lib/cloud/scripts/per-instance", &[]),
    ("/var/lib/cloud/scripts/per-once", &[]),
];
/// Scripts that DHCP clients read.
const SOURCED: [&str; 5] = [
    "/etc/dhcpcd.enter-hook",
    "/etc/dhcpcd.exit-hook",
    "/etc/dhclient-enter-hooks",
    "/etc/dhclient-exit-hooks",
    "/etc/udhcpc/default.script",
];

/// All of them; `by_units`: systemd starts the system.
pub(super) fn all(files: &Files<'_>, by_units: bool) -> Vec<Start> {
    const RC_LOCAL: &str = "/etc/rc.local";
    let mut out = Vec::new();
    if files.is_executable(RC_LOCAL) {
        out.push(files.own(RC_LOCAL, files.script(RC_LOCAL, &["start"])));
    }
    if !by_units {
        out.extend(inittab(files));
    }
    out.extend(init_scripts(files, by_units));
    out.extend(tables(files));
    for (dir, arguments) in HOOKS {
        let paths = files.entries(dir).into_iter();
        let paths = paths.filter(|path| files.root.file(path).is_some());
        out.extend(paths.map(|path| files.of_script(&path, arguments)));
    }
    out.extend(SOURCED.iter().map(|path| files.of_script(path, &[])));
    out.extend(services_of_others(files));
    out.extend(interfaces(files));
    out.extend(modules(files));
    out.extend(rules::all(files));
    out.extend(super::sessions::all(files));
    out
}

fn inittab(files: &Files<'_>) -> Vec<Start> {
    const PATH: &str = "/etc/inittab";
    let mut out = Vec::new();
    for (at, line) in files.lines(PATH) {
        let fields: Vec<&str> = line.splitn(4, ':').collect();
        let [_, levels, action, command] = fields[..] else {
            continue;
        };
        let actions = ["sysinit", "boot", "bootwait", "once", "wait", "respawn"];
        if actions.contains(&action) && !matches!(levels, "0" | "6" | "06") {
            out.push(files.own(PATH, files.line(PATH, at, command)));
        }
    }
    out
}

/// The scripts of the run levels; systemd knows those of `/etc/init.d` without a unit.
fn init_scripts(files: &Files<'_>, by_units: bool) -> Vec<Start> {
    let mut found = BTreeMap::new();
    for path in ["S", "2", "3", "4", "5"]
        .iter()
        .flat_map(|level| files.entries(&format!("/etc/rc{level}.d")))
    {
        let name = path.rsplit('/').next().unwrap_or_default();
        let Some(name) = name.strip_prefix('S') else {
            continue;
        };
        let name = name.trim_start_matches(|c: char| c.is_ascii_digit());
        let script = format!("/etc/init.d/{name}");
        let known = files.root.file(&script).is_some();
        let unit = name.trim_end_matches(".sh");
        let dirs = ["/etc", "/usr/local/lib", "/usr/lib", "/lib"].iter();
        let mut units = dirs.map(|dir| format!("{dir}/systemd/system/{unit}.service"));
        let replaced = units.any(|unit| files.root.find_nofollow(unit).is_some());
        if !by_units || (known && !replaced) {
            found.insert(name.to_owned(), if known { script } else { path });
        }
    }
    let scripts = found.into_iter();
    scripts
        .map(|(name, path)| files.started(&name, files.script(&path, &["start"])))
        .collect()
}

/// Lines of crontabs that run at each start or several times an hour, the directories that
/// anacron makes up for, and jobs of `at` that wait.
fn tables(files: &Files<'_>) -> Vec<Start> {
    let mut paths = vec![("/etc/crontab".to_owned(), 1)];
    for (dir, users) in [("/etc/cron.d", 1), ("/var/spool/cron/crontabs", 0)] {
        paths.extend(files.entries(dir).into_iter().map(|path| (path, users)));
    }
    let mut out = Vec::new();
    for (path, users) in paths {
        for (at, line) in files.lines(&path) {
            let mut words = line.split_whitespace();
            let first = words.next().unwrap_or_default();
            let often = |field: &str| field == "*" || field == "*/1";
            let (own, fields) = if first == "@reboot" {
                (true, 1)
            } else {
                let hour = words.next().unwrap_or_default();
                let times = first
                    .chars()
                    .all(|c| c.is_ascii_digit() || "*/,-".contains(c));
                if !times || !often(hour) || !first.contains(['*', ',', '/']) {
                    continue;
                }
                (false, 5)
            };
            let skip = usize::saturating_add(fields, users);
            let command: Vec<&str> = line.split_whitespace().skip(skip).collect();
            let trace = files.line(&path, at, &command.join(" "));
            out.push(Start {
                own,
                ..files.started(&path, trace)
            });
        }
    }
    let mut dirs = Vec::new();
    if files.root.file("/usr/sbin/anacron").is_some() {
        dirs.extend(["/etc/cron.daily", "/etc/cron.weekly", "/etc/cron.monthly"]);
    }
    for path in dirs.iter().flat_map(|dir| files.entries(dir)) {
        out.push(files.of_script(&path, &[]));
    }
    if files.root.file("/usr/sbin/atd").is_some() {
        let jobs = files.entries("/var/spool/cron/atjobs").into_iter();
        let jobs = jobs.filter(|path| files.root.file(path).is_some());
        out.extend(jobs.map(|path| files.own(&path, files.script(&path, &[]))));
    }
    out
}

/// Programs of runit and of supervisor.
fn services_of_others(files: &Files<'_>) -> Vec<Start> {
    let mut out = Vec::new();
    let mut paths = vec!["/etc/runit/1".to_owned(), "/etc/runit/2".to_owned()];
    for dir in ["/etc/service", "/etc/runit/runsvdir/default"] {
        let services = files.entries(dir).into_iter();
        paths.extend(services.map(|path| format!("{path}/run")));
    }
    out.extend(paths.iter().map(|path| files.of_script(path, &[])));
    if files.root.file("/usr/bin/supervisord").is_some() {
        for path in files.entries("/etc/supervisor/conf.d") {
            for (at, line) in files.lines(&path) {
                let setting = line.split_once('=');
                if let Some(("command", command)) = setting.map(|(k, v)| (k.trim(), v)) {
                    out.push(files.started(&path, files.line(&path, at, command.trim())));
                }
            }
        }
    }
    out
}

fn interfaces(files: &Files<'_>) -> Vec<Start> {
    let mut paths = vec!["/etc/network/interfaces".to_owned()];
    paths.extend(files.entries("/etc/network/interfaces.d"));
    let mut out = Vec::new();
    for path in paths {
        for (at, line) in files.joined(&path, Reader::Shell) {
            if let Some((key, command)) = line.split_once(char::is_whitespace)
                && ["up", "post-up", "pre-up"].contains(&key)
            {
                out.push(files.started(&path, files.line(&path, at, command)));
            }
        }
    }
    out
}

/// Commands that take the place of kernel modules.
fn modules(files: &Files<'_>) -> Vec<Start> {
    let mut paths = BTreeMap::new();
    for dir in ["/lib", "/usr/lib", "/usr/local/lib", "/etc"] {
        for path in files.entries(&format!("{dir}/modprobe.d")) {
            let name = path.rsplit('/').next().unwrap_or_default().to_owned();
            paths.insert(name, path);
        }
    }
    paths.retain(|name, _| name.ends_with(".conf"));
    let mut out = Vec::new();
    for path in paths.into_values() {
        for (at, line) in files.joined(&path, Reader::Module) {
            let rest = line.strip_prefix("install").unwrap_or_default();
            if rest.starts_with(char::is_whitespace)
                && let Some((_, command)) = rest.trim().split_once(char::is_whitespace)
            {
                out.push(Start {
                    event: true,
                    ..files.started(&path, files.line(&path, at, command))
                });
            }
        }
    }
    out
}
