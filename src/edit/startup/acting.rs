//! What acts by itself in a system that is not converted: the judgement of the edits, without any.

use super::{EntryKind, Judge, everything, report, undone, units};
use crate::edit::startup::follow::Files;
use crate::golden::facts::is_started_by_units;
use crate::plan::accepted::AcceptedFiles;
use crate::tree::Tree;
use std::collections::BTreeSet;

/// Something that acts by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acting {
    /// A service, or the file and the line of a command.
    pub place: String,
    /// What it does, a sentence.
    pub text: String,
    /// What the owner can do about it.
    pub hint: Option<String>,
    /// Whether a conversion disables it.
    pub undone: bool,
}

/// Everything in these filesystems that acts by itself and is not `accepted`; the boot partition is
/// mounted on `boot_mount`.
#[must_use]
pub fn acting(root: &Tree, boot: &Tree, boot_mount: &str, accepted: &AcceptedFiles) -> Vec<Acting> {
    let files = Files {
        root,
        boot,
        boot_mount,
    };
    let mut judge = Judge::new(accepted, root);
    let mut out = Vec::new();
    for entry in everything(&files) {
        let paths: Vec<&str> = entry.found.files.iter().map(String::as_str).collect();
        if judge.accepts(&paths) || judge.accepts(&[&entry.name]) {
            continue;
        }
        match undone(&entry) {
            Some((text, undone)) if !text.is_empty() => out.push(Acting {
                place: entry.name.clone(),
                text,
                hint: None,
                undone: undone || entry.kind == EntryKind::Service,
            }),
            Some(_) => {}
            None => {
                for finding in &entry.found.findings {
                    report(&entry, finding, &mut judge);
                }
            }
        }
    }
    for problem in judge.problems.0 {
        let (place, text) = problem
            .message
            .split_once(": ")
            .unwrap_or(("", &problem.message));
        out.push(Acting {
            place: place.to_owned(),
            text: text.to_owned(),
            hint: problem.hint,
            undone: false,
        });
    }
    out
}

/// The names of the units that run when the system starts, sorted; timers and paths too.
#[must_use]
pub fn started(root: &Tree) -> BTreeSet<String> {
    units::started(root)
}

/// The scripts of SysV init that run when the system starts and that no unit replaces: name and
/// path.
#[must_use]
pub fn sysv_only(root: &Tree) -> Vec<(String, String)> {
    let by_units = is_started_by_units(root);
    let alone = |(name, path): &(String, String)| {
        !by_units || (!units::replaces_script(root, name) && path.starts_with("/etc/init.d/"))
    };
    let scripts = units::sysv_started(root).into_iter();
    scripts.filter(alone).collect()
}
