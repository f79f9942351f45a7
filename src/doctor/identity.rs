//! What the golden machine left behind: see [`traces`].

use super::codes::{self, Code};
use super::{Finding, System};
use crate::golden::traces::{self, Trace, TraceKind};
use crate::units::human;

/// Findings about traces, one for each kind, and about a machine ID that is missing.
pub(super) fn examine(system: &System<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (dir, tree) in system.trees() {
        let traces = traces::gather(tree).into_iter();
        found.extend(traces.map(|trace| (format!("{dir}{}", trace.shown()), trace)));
    }
    let mut out = Vec::new();
    found.retain(|(path, _)| !system.accepted.accepts(path));
    for (dir, tree) in system.trees() {
        for (path, len) in traces::unsearched(tree) {
            let reason = format!("{} is more than is searched for keys", human(len));
            system.not_read(&format!("{dir}{path}"), reason);
        }
    }
    let is_brought = |path: &String| system.origins.contains_key(path);
    out_of_place(system, &found, &mut out);
    found.retain(|(path, _)| !is_brought(path));
    for kind in TraceKind::ALL {
        let of_kind = found.iter().filter(|(_, trace)| trace.kind == kind);
        let places: Vec<(String, String)> = of_kind
            .clone()
            .map(|(path, trace)| (path.clone(), human(trace.size)))
            .collect();
        if places.is_empty() {
            continue;
        }
        let size = of_kind.map(|(_, trace)| trace.size);
        let size = human(size.fold(0, u64::saturating_add));
        let code = code(kind);
        let text = match kind {
            TraceKind::Logs | TraceKind::AptCache | TraceKind::CoreDumps => {
                format!("{} ({size})", text(kind))
            }
            _ => text(kind).to_owned(),
        };
        out.push(Finding::new(&code, text).all(places));
    }
    out.extend(missing_id(system));
    out
}

/// Traces that overlays, hooks and packages bring: nothing takes these away.
fn out_of_place(system: &System<'_>, found: &[(String, Trace)], out: &mut Vec<Finding>) {
    for kind in TraceKind::ALL {
        let of_kind = found.iter().filter(|(_, trace)| trace.kind == kind);
        let places = of_kind.filter_map(|(path, _)| {
            let origin = system.origins.get(path)?;
            Some((path.clone(), origin.clone()))
        });
        let places: Vec<(String, String)> = places.collect();
        let Some((path, origin)) = places.first() else {
            continue;
        };
        let remedy = format!(
            "leave it out of the {origin}; if every device is meant to have it, accept it with [[accept]] file = {path:?}"
        );
        out.push(
            Finding::new(&code(kind), text(kind))
                .all(places)
                .remedy(remedy),
        );
    }
}

/// Where a machine has no ID that lasts, to systemd.
fn missing_id(system: &System<'_>) -> Option<Finding> {
    const PATH: &str = "/etc/machine-id";
    let value = match system.root.file(PATH) {
        None => "missing".to_owned(),
        Some(_) => match system.text(PATH).trim() {
            "" => return None,
            "uninitialized" => "uninitialized".to_owned(),
            id if id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                return None;
            }
            _ => "not a machine ID".to_owned(),
        },
    };
    crate::golden::facts::is_started_by_units(system.root).then(|| {
        let text = "the image has no machine ID file, so each update would be a first boot";
        Finding::new(&codes::MACHINE_ID_MISSING, text).at(PATH, value)
    })
}

fn code(kind: TraceKind) -> Code {
    match kind {
        TraceKind::MachineId => codes::MACHINE_ID,
        TraceKind::SshHostKeys => codes::SSH_HOST_KEYS,
        TraceKind::RandomSeed => codes::RANDOM_SEED,
        TraceKind::ClientKeys => codes::CLIENT_KEYS,
        TraceKind::ServiceIds => codes::SERVICE_IDS,
        TraceKind::DhcpLeases => codes::DHCP_LEASES,
        TraceKind::WirelessKeys => codes::WIRELESS_KEYS,
        TraceKind::Histories => codes::HISTORIES,
        TraceKind::Logs => codes::LOGS,
        TraceKind::AptCache => codes::APT_CACHE,
        TraceKind::CoreDumps => codes::CORE_DUMPS,
        TraceKind::CloudInit => codes::CLOUD_INIT,
    }
}

fn text(kind: TraceKind) -> &'static str {
    match kind {
        TraceKind::MachineId => "the machine ID is set, so every device will have the same one",
        TraceKind::SshHostKeys => "the image has SSH host keys, which every device will share",
        TraceKind::RandomSeed => "the image has a random seed, which every device will start with",
        TraceKind::ClientKeys => {
            "an update client ran in the image, and its identity would be cloned"
        }
        TraceKind::ServiceIds => "services made IDs or keys, which every device will share",
        TraceKind::DhcpLeases => "the image has DHCP leases of the golden machine",
        TraceKind::WirelessKeys => "every device will have the keys of wireless connections",
        TraceKind::Histories => "the image has histories of its users",
        TraceKind::Logs => "the image has logs of the golden machine",
        TraceKind::AptCache => "the image has downloads of APT",
        TraceKind::CoreDumps => "the image has core dumps",
        TraceKind::CloudInit => "cloud-init has state of the golden machine",
    }
}
