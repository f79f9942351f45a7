//! What an update needs when it proves itself: the client, its state, a kernel that restarts.

use super::super::super::finding::{Log, Severity};
use super::trace::Files;
use super::units::{Unit, reached};
use super::{Slot, names};

/// Checks all of it.
pub(super) fn check(slot: &Slot<'_>, files: &Files<'_>, by_units: bool, log: &mut Log) {
    if by_units {
        client(slot, files, log);
    }
    state(slot, files, log);
    panic(slot, files, log);
}

/// A client that has a server is started.
fn client(slot: &Slot<'_>, files: &Files<'_>, log: &mut Log) {
    let conf = files.raw_lines("/etc/mender/mender.conf");
    let has_server = conf.iter().any(|(_, line)| line.contains("\"ServerURL\""));
    let started = reached(slot.root);
    for name in ["mender-client", "mender-authd", "mender-updated"] {
        let name = format!("{name}.service");
        let dirs = ["/etc", "/usr/local/lib", "/usr/lib", "/lib"];
        let mut paths = dirs
            .iter()
            .map(|dir| format!("{dir}/systemd/system/{name}"));
        let path = paths.find(|path| slot.root.find_nofollow(path).is_some());
        let Some(path) = path else {
            log.passed(1);
            continue;
        };
        let masked = Unit::read(slot.root, &name).is_none();
        let owners = format!("/etc/systemd/system/{name}");
        let good = slot.accepts([path.as_str(), owners.as_str()]);
        if has_server && (masked || !started.contains(&name)) && !good {
            let text = "nothing starts this service of the update client, which has a server";
            log.add(
                Severity::Warning,
                "client-disabled",
                slot.place(&path),
                text.to_owned(),
            );
        } else {
            log.passed(1);
        }
    }
}

/// Nothing removes the state of the client when the system starts.
fn state(slot: &Slot<'_>, files: &Files<'_>, log: &mut Log) {
    for dir in [
        "/etc/tmpfiles.d",
        "/usr/local/lib/tmpfiles.d",
        "/usr/lib/tmpfiles.d",
    ] {
        for name in names(slot.root, dir) {
            let path = format!("{dir}/{name}");
            // A file in `/etc` takes the place of one of the same name.
            let hidden = dir != "/etc/tmpfiles.d"
                && slot
                    .root
                    .find_nofollow(format!("/etc/tmpfiles.d/{name}"))
                    .is_some();
            for (at, line) in files.lines(&path) {
                let mut fields = line.split_whitespace();
                let kind = fields.next().unwrap_or_default();
                let target = fields
                    .next()
                    .unwrap_or_default()
                    .trim_end_matches(['/', '*']);
                let target = target.trim_end_matches('/');
                let state = [
                    "/data",
                    "/data/mender",
                    "/var/lib/mender",
                    "/var/lib",
                    "/var",
                ];
                let removes = kind.starts_with(['D', 'R', 'r']) && state.contains(&target);
                if removes && !hidden {
                    let text = "each start removes the state of the update client by it";
                    let is_good = slot.accepts([path.as_str()]);
                    let place = slot.place(&path).line(at);
                    slot.report("startup-state", place, text.to_owned(), is_good, log);
                }
            }
        }
    }
}

/// A kernel that gives up restarts.
fn panic(slot: &Slot<'_>, files: &Files<'_>, log: &mut Log) {
    let mut paths = files.entries("/usr/lib/sysctl.d");
    paths.extend(files.entries("/etc/sysctl.d"));
    paths.push("/etc/sysctl.conf".to_owned());
    let mut last = None;
    for path in paths {
        for (at, line) in files.lines(&path) {
            let pair = line.split_once('=');
            let pair = pair.filter(|(key, _)| key.trim_start_matches('-').trim() == "kernel.panic");
            if let Some((_, value)) = pair {
                last = Some((path.clone(), at, value.trim() == "0"));
            }
        }
    }
    if let Some((path, at, true)) = last
        && !slot.accepts([path.as_str()])
    {
        let text = "kernel.panic = 0: a kernel that gives up waits for a person";
        log.add(
            Severity::Warning,
            "startup-panic",
            slot.place(&path).line(at),
            text.to_owned(),
        );
    }
}
