//! Traces by path: where programs keep what they made for one machine.

use super::{Removal, TraceKind};
use crate::tree::Dir;

/// A kind, and what takes the trace away.
pub(super) type Found = (TraceKind, Removal);

/// Directories whose files come from packages and are the same everywhere.
const PACKAGED: [&str; 6] = [
    "/usr/bin/",
    "/usr/include/",
    "/usr/lib/",
    "/usr/share/",
    "/etc/skel/",
    "/usr/src/",
];

/// Histories, by file name; every name of the form `.NAME_history` is one too.
const HISTORIES: [&str; 8] = [
    ".lesshst",
    ".viminfo",
    ".wget-hsts",
    ".histfile",
    ".zhistory",
    ".mysql_history",
    ".joe_state",
    ".node_repl_history",
];

/// The trace that a directory is as a whole. `cloud-init clean` removes these of cloud-init's;
/// seeds and the owner's scripts stay.
pub(super) fn directory(path: &str, dir: &Dir) -> Option<Found> {
    let state = ["instances", "data", "sem", "handlers"];
    let name = path.strip_prefix("/var/lib/cloud/")?;
    let used = state.contains(&name) && !dir.entries.is_empty();
    used.then_some((TraceKind::CloudInit, Removal::Remove))
}

/// The trace that a symlink is.
pub(super) fn link(path: &str) -> Option<Found> {
    (path == "/var/lib/cloud/instance").then_some((TraceKind::CloudInit, Removal::Remove))
}

/// The trace that a file of `len` bytes is, by its path alone.
pub(super) fn file(path: &str, len: u64) -> Option<Found> {
    if PACKAGED.iter().any(|dir| path.starts_with(dir)) {
        return None;
    }
    let name = path.rsplit('/').next().unwrap_or_default();
    let kind = if is_host_key(name) {
        TraceKind::SshHostKeys
    } else if is_seed(path, name) {
        TraceKind::RandomSeed
    } else if is_of_client(path, name) {
        TraceKind::ClientKeys
    } else if is_service_id(path) {
        TraceKind::ServiceIds
    } else if is_lease(path, name) {
        TraceKind::DhcpLeases
    } else if is_wireless(path, name) {
        TraceKind::WirelessKeys
    } else if is_history(path, name) {
        TraceKind::Histories
    } else if path.starts_with("/var/log/") || is_client_log(path, name) {
        return log(path, name, len);
    } else if is_cache(path, name) {
        TraceKind::AptCache
    } else if is_dump(path) {
        TraceKind::CoreDumps
    } else {
        return machine_copy(path, len);
    };
    Some((kind, Removal::Remove))
}

/// The machine ID of D-Bus, from which systemd would take that of the machine.
fn machine_copy(path: &str, len: u64) -> Option<Found> {
    let is_copy = path == "/var/lib/dbus/machine-id" && len > 0;
    is_copy.then_some((TraceKind::MachineId, Removal::Remove))
}

/// Whether a file name is that of a host key of OpenSSH or Dropbear, or of its public half.
fn is_host_key(name: &str) -> bool {
    let name = name.strip_suffix(".pub").unwrap_or(name);
    let name = name.strip_suffix("-cert").unwrap_or(name);
    let openssh = name.starts_with("ssh_host_") && name.ends_with("_key");
    openssh || (name.starts_with("dropbear_") && name.ends_with("_host_key"))
}

fn is_seed(path: &str, name: &str) -> bool {
    let state = path.starts_with("/var/lib/") || path.starts_with("/etc/");
    // systemd-boot keeps one on the EFI system partition.
    let of_boot = path.to_ascii_lowercase();
    (state && name == "random-seed") || of_boot.ends_with("/loader/random-seed")
}

fn is_of_client(path: &str, name: &str) -> bool {
    let names = [
        "mender-agent.pem",
        "mender-store",
        "mender-store-lock",
        "authtentoken",
    ];
    names.contains(&name) && !path.starts_with("/usr/")
}

fn is_service_id(path: &str) -> bool {
    const FILES: [&str; 9] = [
        "/var/lib/systemd/credential.secret",
        "/var/lib/NetworkManager/secret_key",
        "/var/lib/tailscale/tailscaled.state",
        "/var/lib/zerotier-one/identity.secret",
        "/var/lib/zerotier-one/identity.public",
        "/var/lib/dhcpcd/duid",
        "/var/lib/dhcpcd/secret",
        "/etc/dhcpcd.duid",
        "/etc/dhcpcd.secret",
    ];
    FILES.contains(&path)
}

fn is_lease(path: &str, name: &str) -> bool {
    if !path.starts_with("/var/lib/") && !path.starts_with("/var/db/") {
        return false;
    }
    let name = name.trim_end_matches('~');
    let lease = [".lease", ".leases", ".lease6", ".leases6"];
    let state = [
        "/var/lib/NetworkManager/timestamps",
        "/var/lib/NetworkManager/seen-bssids",
    ];
    lease.iter().any(|end| name.ends_with(end)) || state.contains(&path)
}

/// Whether a file belongs to one wireless network or paired device alone.
fn is_wireless(path: &str, name: &str) -> bool {
    let iwd = [".psk", ".8021x", ".open"];
    (path.starts_with("/var/lib/iwd/") && iwd.iter().any(|end| name.ends_with(end)))
        || path.starts_with("/var/lib/connman/wifi_")
        || path.starts_with("/var/lib/bluetooth/")
}

fn is_history(path: &str, name: &str) -> bool {
    let of_a_user = !path.starts_with("/etc/") && !path.starts_with("/usr/");
    let named = HISTORIES.contains(&name) || (name.starts_with('.') && name.ends_with("_history"));
    let nano = path.contains("/.local/share/nano/") || path.ends_with("/.nano_history");
    let fish = path.ends_with("/fish/fish_history");
    of_a_user && (named || nano || fish)
}

/// Whether a file is a log of a deployment of the update client.
fn is_client_log(path: &str, name: &str) -> bool {
    let dir = ["/var/lib/mender/", "/data/mender/"];
    let deployment = name.starts_with("deployments.") && name.ends_with(".log");
    deployment && dir.iter().any(|dir| path.starts_with(dir))
}

/// A log: one that is still written to becomes empty, since its owner and mode are needed; others
/// are removed.
fn log(path: &str, name: &str, len: u64) -> Option<Found> {
    let rotated = [".gz", ".xz", ".bz2", ".zst", ".old", ".1", ".0"];
    let number = name.rsplit('.').next().unwrap_or_default();
    let old = rotated.iter().any(|end| name.ends_with(end))
        || (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
        || path.starts_with("/var/log/journal/")
        || path.starts_with("/var/log/installer/")
        || !path.starts_with("/var/log/");
    match (old, len) {
        (true, _) => Some((TraceKind::Logs, Removal::Remove)),
        (false, 0) => None,
        (false, _) => Some((TraceKind::Logs, Removal::Empty)),
    }
}

fn is_cache(path: &str, name: &str) -> bool {
    let archive = path.starts_with("/var/cache/apt/archives/") && name != "lock";
    let index = path.starts_with("/var/lib/apt/lists/") && name != "lock";
    let compiled = path.starts_with("/var/cache/apt/") && name.ends_with(".bin");
    archive || index || compiled
}

fn is_dump(path: &str) -> bool {
    let dirs = [
        "/var/lib/systemd/coredump/",
        "/var/crash/",
        "/var/lib/apport/coredump/",
    ];
    dirs.iter().any(|dir| path.starts_with(dir))
}
