//! Something that a start runs by itself.

use super::follow::{Found, is_own};

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

impl Entry {
    /// What runs a file, for people.
    pub(super) fn cause(&self, file: &str) -> String {
        if self.name != file {
            return format!("{} runs it", self.name);
        }
        match self.kind {
            EntryKind::Login => "a login that needs no person runs it",
            EntryKind::Event => "it runs when a device, a network or a job comes up",
            EntryKind::Own | EntryKind::Service | EntryKind::Script => "each start runs it",
        }
        .to_owned()
    }
}
