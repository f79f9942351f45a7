//! Entries of the configuration that accept a file, and which of them are needed.

use super::Trees;
use crate::plan::Plan;
use crate::plan::accepted::AcceptedFiles;
use crate::tree::{Tree, show};
use std::cell::RefCell;
use std::collections::BTreeSet;

/// The entries that something was accepted by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Used(RefCell<BTreeSet<String>>);

impl Used {
    /// Whether a file, in which there is something to accept, is accepted; the entry counts as
    /// needed then.
    pub(super) fn accepts(&self, accepted: &AcceptedFiles, path: &str) -> bool {
        let is_accepted = accepted.accepts(path);
        if is_accepted {
            self.add([path]);
        }
        is_accepted
    }

    /// Entries that are needed.
    pub(super) fn add<'p>(&self, paths: impl IntoIterator<Item = &'p str>) {
        let paths = paths.into_iter().map(str::to_owned);
        self.0.borrow_mut().extend(paths);
    }

    /// Adds those of another part.
    pub(super) fn extend(&self, other: &Self) {
        self.add(other.0.borrow().iter().map(String::as_str));
    }

    /// A note for each entry that is needed, and a warning for each that is not.
    pub(super) fn sentences(&self, plan: &Plan, trees: &Trees) -> (Vec<String>, Vec<String>) {
        let (mut notes, mut warnings) = (Vec::new(), Vec::new());
        for (path, reason) in plan.accepted.iter() {
            if self.0.borrow().contains(path) {
                notes.push(format!("{path}: accepted: {reason}"));
                continue;
            }
            let why = match exists(plan, trees, path) {
                true => "nothing in it has to be accepted",
                false => "the image has no such file",
            };
            warnings.push(format!(
                "[[accept]] file = {path:?} has no effect: {why}; take the entry out, or correct its path"
            ));
        }
        (notes, warnings)
    }
}

/// Whether a path of the device exists, or a unit of this name; arguments have a path of the
/// kernel's.
fn exists(plan: &Plan, trees: &Trees, path: &str) -> bool {
    let below = |mount: &str| {
        let rest = path.strip_prefix(mount);
        rest.filter(|rest| rest.starts_with('/'))
    };
    let on_boot = below(plan.boot.mount.trim_end_matches('/'));
    let on_boot = on_boot.is_some_and(|path| trees.boot.find_ignore_case(path).is_some());
    let on_data = below("/data").is_some_and(|path| trees.data.find(path).is_some());
    let units = [
        "/etc/systemd/system",
        "/usr/lib/systemd/system",
        "/etc/init.d",
    ];
    let is_unit = !path.contains('/')
        && units
            .iter()
            .any(|dir| trees.root.find(format!("{dir}/{path}")).is_some());
    on_boot || on_data || is_unit || path.starts_with("/proc/") || trees.root.find(path).is_some()
}

/// The path without symlinks.
pub(super) fn real(root: &Tree, path: &str) -> String {
    root.walk(path.as_bytes(), true)
        .map_or_else(|_| path.to_owned(), |walk| show(&walk.path()))
}
