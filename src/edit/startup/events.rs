//! What events of a start run: networks that come up, kernel modules, generators of units,
//! the initial RAM disk, cloud-init, and regular jobs that come within the hour.

use super::entry::{Entry, EntryKind};
use super::follow::{Files, Found};
use super::units::names_in;
use crate::golden::lines::{Joining, logical_lines};
use std::collections::BTreeSet;

/// Directories whose programs run when something comes up, with the arguments that they get.
const HOOKS: [(&str, &[&str]); 27] = [
    ("/etc/network/if-pre-up.d", &[]),
    ("/etc/network/if-up.d", &[]),
    ("/etc/NetworkManager/dispatcher.d", &["eth0", "up"]),
    (
        "/etc/NetworkManager/dispatcher.d/pre-up.d",
        &["eth0", "pre-up"],
    ),
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
    ("/usr/lib/NetworkManager/dispatcher.d", &["eth0", "up"]),
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
];
/// Scripts of cloud-init, each of which runs on the first start of an instance.
const CLOUD_SCRIPTS: [&str; 3] = [
    "/var/lib/cloud/scripts/per-boot",
    "/var/lib/cloud/scripts/per-instance",
    "/var/lib/cloud/scripts/per-once",
];
/// Scripts that DHCP clients read.
const SOURCED: [&str; 5] = [
    "/etc/dhcpcd.enter-hook",
    "/etc/dhcpcd.exit-hook",
    "/etc/dhclient-enter-hooks",
    "/etc/dhclient-exit-hooks",
    "/etc/udhcpc/default.script",
];
/// Directories with settings of kernel modules; of files with the same name, the one of the first
/// directory counts.
const MODULES: [&str; 4] = [
    "/etc/modprobe.d",
    "/usr/local/lib/modprobe.d",
    "/usr/lib/modprobe.d",
    "/lib/modprobe.d",
];
/// Settings of networks.
const INTERFACES: &str = "/etc/network/interfaces";

/// All of them.
pub(super) fn all(files: &Files<'_>) -> Vec<Entry> {
    let mut out = Vec::new();
    for (dir, arguments) in HOOKS {
        out.extend(programs(files, dir, arguments));
    }
    let is_cloud = files.root.file("/etc/cloud/cloud.cfg").is_some()
        && files.root.find("/etc/cloud/cloud-init.disabled").is_none();
    for dir in CLOUD_SCRIPTS.iter().filter(|_| is_cloud) {
        out.extend(programs(files, dir, &[]));
    }
    out.extend(services_of_runit(files));
    out.extend(interfaces(files));
    out.extend(modules(files));
    out.extend(supervised(files));
    let sourced = SOURCED.iter();
    let sourced = sourced.filter(|path| files.root.file(path).is_some());
    out.extend(sourced.map(|path| entry(path, files.script(path, &[]))));
    out.extend(jobs(files));
    out
}

fn entry(name: &str, found: Found) -> Entry {
    Entry {
        kind: EntryKind::Event,
        name: name.to_owned(),
        found,
    }
}

/// The programs of a directory.
fn programs(files: &Files<'_>, dir: &str, arguments: &[&str]) -> Vec<Entry> {
    let arguments: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
    let mut out = Vec::new();
    for name in names_in(files.root, dir) {
        let path = format!("{dir}/{name}");
        if files.root.file(&path).is_some() {
            out.push(entry(&path, files.script(&path, &arguments)));
        }
    }
    out
}

/// The services of runit, and its own steps of a start.
fn services_of_runit(files: &Files<'_>) -> Vec<Entry> {
    let mut paths: Vec<String> = ["/etc/runit/1", "/etc/runit/2"].map(String::from).into();
    for dir in ["/etc/service", "/etc/runit/runsvdir/default"] {
        paths.extend(names_in(files.root, dir).map(|name| format!("{dir}/{name}/run")));
    }
    paths.retain(|path| files.root.file(path).is_some());
    let found = paths
        .iter()
        .map(|path| entry(path, files.script(path, &[])));
    found.collect()
}

/// Commands of `/etc/network/interfaces`.
fn interfaces(files: &Files<'_>) -> Vec<Entry> {
    let mut paths = vec![INTERFACES.to_owned()];
    let dir = format!("{INTERFACES}.d");
    paths.extend(names_in(files.root, &dir).map(|name| format!("{dir}/{name}")));
    let mut out = Vec::new();
    for path in paths {
        let text = files.text(&path).unwrap_or_default();
        // ifupdown joins lines as a shell does, with comments as they are.
        for line in logical_lines(&text, Joining::Shell, &['#']) {
            let Some((key, command)) = line.text.trim().split_once(char::is_whitespace) else {
                continue;
            };
            if matches!(key, "up" | "post-up" | "pre-up") {
                out.push(entry(&path, files.commands(command, &path, line.first)));
            }
        }
    }
    out
}

/// Commands that run in the place of kernel modules (`modprobe.d(5)`).
fn modules(files: &Files<'_>) -> Vec<Entry> {
    let mut out = Vec::new();
    let mut seen = BTreeSet::new();
    for dir in MODULES {
        let names = names_in(files.root, dir).filter(|name| name.ends_with(".conf"));
        for name in names.filter(|name| seen.insert(name.clone())) {
            let path = format!("{dir}/{name}");
            let text = files.text(&path).unwrap_or_default();
            for line in logical_lines(&text, Joining::Modprobe, &['#']) {
                let mut words = line.text.trim().splitn(3, char::is_whitespace);
                if words.next() != Some("install") {
                    continue;
                }
                if let Some(command) = words.nth(1) {
                    let found = files.commands(command, &path, line.first);
                    out.push(entry(&path, found.under_condition()));
                }
            }
        }
    }
    out
}

/// Programs of supervisor.
fn supervised(files: &Files<'_>) -> Vec<Entry> {
    const DIR: &str = "/etc/supervisor/conf.d";
    let mut out = Vec::new();
    if files.root.file("/usr/bin/supervisord").is_none() {
        return out;
    }
    for name in names_in(files.root, DIR) {
        let path = format!("{DIR}/{name}");
        for (at, line) in files.text(&path).unwrap_or_default().lines().enumerate() {
            if let Some((key, command)) = line.split_once('=')
                && key.trim() == "command"
            {
                out.push(entry(&path, files.commands(command.trim(), &path, at + 1)));
            }
        }
    }
    out
}

/// Regular jobs of cron that come within the hour, and those of anacron, which makes up for what
/// was missed.
fn jobs(files: &Files<'_>) -> Vec<Entry> {
    let mut out = Vec::new();
    if files.root.file("/usr/sbin/anacron").is_some() {
        for dir in ["/etc/cron.daily", "/etc/cron.weekly", "/etc/cron.monthly"] {
            out.extend(programs(files, dir, &[]));
        }
    }
    for (path, has_user) in super::entries::tables(files) {
        for (at, line) in files.text(&path).unwrap_or_default().lines().enumerate() {
            if let Some(command) = job(line, has_user) {
                out.push(entry(&path, files.commands(&command, &path, at + 1)));
            }
        }
    }
    out
}

/// The command of a line of a crontab that runs in every hour.
fn job(line: &str, has_user: bool) -> Option<String> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let is_time = |field: &&str| {
        field
            .chars()
            .all(|c| c.is_ascii_digit() || "*/,-".contains(c))
    };
    let [minute, hour, ..] = fields[..] else {
        return None;
    };
    let times = fields.iter().take(5).filter(|field| is_time(field)).count();
    if times < 2 || !(hour == "*" || hour == "*/1") || !minute.contains(['*', ',', '/']) {
        return None;
    }
    let skip = 5 + usize::from(has_user);
    Some(fields.get(skip..)?.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_that_run_in_every_hour() {
        for line in [
            "* * * * * root /opt/x",
            "*/5 * * * *\troot /opt/x",
            "0,30 * * * 1-5 root /opt/x",
        ] {
            assert_eq!(job(line, true).as_deref(), Some("/opt/x"), "{line}");
        }
        for line in [
            "0 4 * * * root /opt/x",
            "17 * * * * root /opt/x",
            "# * * * * * root x",
            "A=b",
            "",
        ] {
            assert_eq!(job(line, true), None, "{line}");
        }
    }
}
