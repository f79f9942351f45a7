//! Everything that the owner of a golden image should know before a fleet has it.
//!
//! [`system`] examines the files of a system, of a golden image or of a converted one; [`golden`]
//! adds what only the golden image shows and what takes long. Nothing is changed, and nothing is
//! refused: each [`Finding`] has a code, a severity, evidence and a remedy. `docs/doctor.md` lists
//! the codes.

mod accounts;
mod client;
mod codes;
mod disks;
mod finding;
mod identity;
mod kernel;
mod md5_crypt;
mod network;
mod passwords;
mod power_cuts;
mod secrets;
mod services;
mod startup;

pub use client::client_comes;
pub use codes::{CODES, Code};
pub use disks::references;
pub use finding::{Evidence, Finding};
pub use passwords::TriedPasswords;
pub use startup::refusals;

use crate::golden::Golden;
use crate::plan::accepted::AcceptedFiles;
use crate::tree::Tree;
use crate::verify::Severity;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

/// The size limit of text files that are read (bytes).
const TEXT_LIMIT: u64 = 4 << 20;

/// The files of a system.
#[derive(Clone, Debug)]
pub struct System<'a> {
    /// The root filesystem.
    pub root: &'a Tree,
    /// The boot partition.
    pub boot: Option<&'a Tree>,
    /// The data partition; a golden image has none.
    pub data: Option<&'a Tree>,
    /// The mount point of the boot partition, absolute.
    pub boot_mount: &'a str,
    /// The files that the configuration accepts.
    pub accepted: &'a AcceptedFiles,
    /// What brought the files that the golden image does not have: reasons by path on the device.
    pub origins: BTreeMap<String, String>,
    /// Passwords that were tried for other systems, or for this one before.
    pub tried: Option<&'a TriedPasswords>,
    /// Files that could not be read, each with the reason.
    unread: RefCell<BTreeMap<String, String>>,
}

impl<'a> System<'a> {
    /// The system of these trees: root filesystem, boot partition with its mount point, data
    /// partition.
    #[must_use]
    pub fn new(
        root: &'a Tree,
        boot: (Option<&'a Tree>, &'a str),
        data: Option<&'a Tree>,
        accepted: &'a AcceptedFiles,
    ) -> Self {
        Self {
            root,
            boot: boot.0,
            data,
            boot_mount: boot.1,
            accepted,
            origins: BTreeMap::new(),
            tried: None,
            unread: RefCell::default(),
        }
    }

    /// The system of a golden image.
    #[must_use]
    pub fn of(golden: &'a Golden, accepted: &'a AcceptedFiles) -> Self {
        let number = golden.boot.as_ref().map(|boot| boot.partition.number);
        let facts = golden.partitions.iter();
        let mut facts = facts.filter(|facts| Some(facts.number) == number);
        let mount = facts.find_map(|facts| facts.mount_point());
        let boot = golden.boot.as_ref().map(|boot| &boot.tree);
        let boot = (boot, mount.unwrap_or("/boot"));
        Self::new(&golden.root.tree, boot, None, accepted)
    }

    /// Each filesystem with the directory that it is mounted on, without a slash at the end.
    fn trees(&self) -> Vec<(&'a str, &'a Tree)> {
        let mut out = vec![("", self.root)];
        out.extend(
            self.boot
                .map(|boot| (self.boot_mount.trim_end_matches('/'), boot)),
        );
        out.extend(self.data.map(|data| ("/data", data)));
        out
    }

    /// The text of a file of the root filesystem; empty if there is none. One that cannot be read,
    /// or is too large, becomes a finding.
    fn text(&self, path: &str) -> String {
        match self.root.read(path, TEXT_LIMIT) {
            Ok(bytes) => String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned(),
            Err(error) => {
                self.not_read(path, error.to_string());
                String::new()
            }
        }
    }

    /// Takes note of a file that could not be examined.
    fn not_read(&self, path: &str, reason: String) {
        // The reason names the file too.
        let start = format!("{path}: ");
        let reason = reason.strip_prefix(&start).unwrap_or(&reason).to_owned();
        self.unread.borrow_mut().insert(path.to_owned(), reason);
    }

    /// The finding about the files that could not be examined.
    fn unread(&self) -> Option<Finding> {
        let places = self.unread.borrow().clone();
        let text = "these files could not be examined";
        (!places.is_empty()).then(|| Finding::new(&codes::UNREAD, text).all(places))
    }
}

/// Examines the files of a system, of a golden image or of a converted one: identities left behind,
/// accounts, the kernel, the clock, the update client, services. Sorted, the worst first.
#[must_use]
pub fn system(system: &System<'_>) -> Vec<Finding> {
    let mut out = identity::examine(system);
    out.extend(accounts::examine(system));
    out.extend(kernel::examine(system));
    out.extend(services::examine(system));
    out.extend(client::examine(system));
    out.extend(network::examine(system));
    out.extend(power_cuts::examine(system));
    out.extend(system.unread());
    sorted(out)
}

/// Begins with what takes longest of [`system`] and needs nothing that edits add: passwords are
/// tried until all were, or `stop` is set. What is left is done when a system asks for it.
pub fn begin(system: &System<'_>, tried: &TriedPasswords, stop: &AtomicBool) {
    accounts::begin(system, tried, stop);
}

/// As [`system`], and with what a golden image alone can show: secrets in any of its files, what
/// acts by itself, and how much room there is. Files that `accepted` names are not findings.
#[must_use]
pub fn golden(golden: &Golden, accepted: &AcceptedFiles) -> Vec<Finding> {
    let of_system = System::of(golden, accepted);
    let mut out = system(&of_system);
    out.extend(secrets::examine(&of_system, accepted));
    out.extend(startup::examine(&of_system, accepted));
    out.extend(client::room(golden));
    out.extend(disks::examine(golden));
    out.extend(services::init(&of_system));
    sorted(out)
}

/// The findings, the worst first, otherwise in the order of the codes.
#[must_use]
pub fn sorted(mut findings: Vec<Finding>) -> Vec<Finding> {
    let position = |finding: &Finding| CODES.iter().position(|code| code.name == finding.code);
    findings.sort_by_key(|finding| (std::cmp::Reverse(finding.severity), position(finding)));
    findings
}

/// The findings that the owner should see whenever the image is converted: errors and warnings, one
/// sentence each.
#[must_use]
pub fn warnings(findings: &[Finding]) -> Vec<String> {
    let serious = findings.iter().filter(|one| one.severity != Severity::Note);
    serious.map(Finding::sentence).collect()
}
