//! Traces of the machine that a golden image was made on: identities, keys, leases, histories, logs
//! and caches, which each device should make for itself.
//!
//! [`gather`] finds them by path, and by content where a file also holds what devices need. Nothing
//! is changed here; each trace says what would take it away.

mod contents;
mod rules;
#[cfg(test)]
mod tests;

pub use contents::{host_keys as named_host_keys, unsearched};

use crate::stream::ReadAt as _;
use crate::tree::{DirEntry, LeafKind, Tree, show};

/// The size limit of files that are searched for settings (bytes).
const TEXT_LIMIT: u64 = 1 << 20;

/// A kind of trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TraceKind {
    /// `/etc/machine-id` with an ID in it, and the copy of D-Bus.
    MachineId,
    /// Host keys of OpenSSH and Dropbear.
    SshHostKeys,
    /// Seeds of random number generators.
    RandomSeed,
    /// The key and the state of the update client.
    ClientKeys,
    /// IDs and keys that other services made for the machine.
    ServiceIds,
    /// Leases and client IDs of DHCP clients, and leases of DHCP servers.
    DhcpLeases,
    /// Passwords of wireless networks, and paired Bluetooth devices.
    WirelessKeys,
    /// Histories of shells, editors and other programs.
    Histories,
    /// Logs and journals.
    Logs,
    /// Package files and indexes that APT downloaded.
    AptCache,
    /// Memory of programs that crashed.
    CoreDumps,
    /// What cloud-init did for its instance.
    CloudInit,
}

impl TraceKind {
    /// All kinds, in the order in which they are shown.
    pub const ALL: [Self; 12] = [
        Self::MachineId,
        Self::SshHostKeys,
        Self::RandomSeed,
        Self::ClientKeys,
        Self::ServiceIds,
        Self::DhcpLeases,
        Self::WirelessKeys,
        Self::Histories,
        Self::Logs,
        Self::AptCache,
        Self::CoreDumps,
        Self::CloudInit,
    ];

    /// The name: the key of `[sanitize]`, and the code of the finding.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MachineId => "machine-id",
            Self::SshHostKeys => "ssh-host-keys",
            Self::RandomSeed => "random-seed",
            Self::ClientKeys => "client-keys",
            Self::ServiceIds => "service-ids",
            Self::DhcpLeases => "dhcp-leases",
            Self::WirelessKeys => "wireless-keys",
            Self::Histories => "histories",
            Self::Logs => "logs",
            Self::AptCache => "apt-cache",
            Self::CoreDumps => "core-dumps",
            Self::CloudInit => "cloud-init",
        }
    }
}

/// What takes a trace away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// The file, or the directory with all below it, is removed.
    Remove,
    /// The file stays and becomes empty.
    Empty,
    /// The file gets this text.
    Rewrite(String),
}

/// A trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Its kind.
    pub kind: TraceKind,
    /// The path in its filesystem, absolute; no symlink in it.
    pub path: Vec<u8>,
    /// Its size (bytes); 0 for directories and symlinks.
    pub size: u64,
    /// What takes it away.
    pub removal: Removal,
}

impl Trace {
    /// The path for messages.
    #[must_use]
    pub fn shown(&self) -> String {
        show(&self.path)
    }
}

/// All traces in the files of a tree, in the order of their paths. Files that cannot be read count
/// as empty.
#[must_use]
pub fn gather(tree: &Tree) -> Vec<Trace> {
    let mut out: Vec<Trace> = Vec::new();
    let mut above: Option<Vec<u8>> = None;
    let named = contents::host_keys(tree);
    tree.visit(&mut |path, entry| {
        let below = |dir: &Vec<u8>| path.starts_with(dir) && path.get(dir.len()) == Some(&b'/');
        if above.as_ref().is_some_and(below) {
            return;
        }
        let text = String::from_utf8_lossy(path);
        let (size, found) = match entry {
            DirEntry::Dir(dir) => (0, rules::directory(&text, dir)),
            DirEntry::Leaf(id) => {
                let leaf = tree.leaf(*id);
                match &leaf.kind {
                    LeafKind::File(content) => {
                        let named = named.contains(text.as_ref());
                        let found = named.then_some((TraceKind::SshHostKeys, Removal::Remove));
                        let found = found
                            .or_else(|| rules::file(&text, content.len()))
                            .or_else(|| contents::file(&text, content));
                        (content.len(), found)
                    }
                    LeafKind::Symlink(_) => (0, rules::link(&text)),
                    _ => (0, None),
                }
            }
        };
        let Some((kind, removal)) = found else { return };
        if matches!(entry, DirEntry::Dir(_)) {
            above = Some(path.to_vec());
        }
        out.push(Trace {
            kind,
            path: path.to_vec(),
            size,
            removal,
        });
    });
    out
}
