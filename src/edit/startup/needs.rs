//! What an update needs to prove itself: the client that commits it, the state in which the client
//! remembers it, and a kernel that restarts when it gives up.

use super::Judge;
use super::note::StartupNote;
use super::units::{self, Unit, names_in};
use crate::edit::volatile::Volatile;
use crate::tree::Tree;

/// The services of the update client, of its two families.
const SERVICES: [&str; 3] = [
    "mender-client.service",
    "mender-authd.service",
    "mender-updated.service",
];
/// A file of the client's state, by both of its paths.
const STATE: [&str; 2] = ["/data/mender/mender-store", "/var/lib/mender/mender-store"];

/// The services of a `managed` client that no start reaches: problems, and warnings.
pub(super) fn client(root: &Tree, managed: bool, judge: &mut Judge) -> Vec<StartupNote> {
    let mut warnings = Vec::new();
    if !managed {
        return warnings;
    }
    let started = units::started(root);
    for name in SERVICES {
        let path = format!("/etc/systemd/system/{name}");
        let masked = root.find_nofollow(&path).is_some() && Unit::load(root, name).is_none();
        if masked {
            let why = "the service of the update client is masked: no update would ever come, nor be committed";
            let advice = "unmask it in the golden image, or set client.managed = false to install updates by commands";
            judge.problem(&path, 0, why, advice);
        } else if let Some(unit) = Unit::load(root, name)
            && !started.contains(name)
            && !judge.accepted(&[&unit.file, &path])
        {
            let text = "nothing starts this service of the update client: no update would ever come by itself; enable it in the golden image, or set client.managed = false";
            warnings.push(StartupNote::at(&unit.file, 0, text));
        }
    }
    warnings
}

/// Judges what removes the state of the client at each start.
pub(super) fn state(root: &Tree, judge: &mut Judge) {
    let volatile = Volatile::new(root);
    let Some((path, line)) = STATE.iter().find_map(|path| volatile.removed_by(path)) else {
        return;
    };
    let why = "each start removes what the update client must keep: after an update it would not know that there was one";
    judge.problem(&path, line, why, "take the line out of the golden image");
}

/// A warning about a setting by which a kernel that gives up waits for a person.
pub(super) fn panic(root: &Tree, judge: &mut Judge) -> Option<StartupNote> {
    let mut paths = Vec::new();
    for dir in ["/usr/lib/sysctl.d", "/etc/sysctl.d"] {
        let names = names_in(root, dir).filter(|name| name.ends_with(".conf"));
        paths.extend(names.map(|name| format!("{dir}/{name}")));
    }
    paths.push("/etc/sysctl.conf".to_owned());
    let mut last = None;
    for path in paths {
        for (at, line) in judge.lines(root, &path) {
            if let Some((key, value)) = line.split_once('=')
                && matches!(
                    key.trim().trim_start_matches('-'),
                    "kernel.panic" | "kernel/panic"
                )
            {
                last = Some((path.clone(), at, value.trim().to_owned()));
            }
        }
    }
    let (path, at, _) = last.filter(|(_, _, value)| value == "0")?;
    let text = "kernel.panic = 0: a kernel that gives up while an update proves itself waits for a person instead of going back to the other root filesystem";
    (!judge.accepted(&[&path])).then(|| StartupNote::at(&path, at, text))
}
