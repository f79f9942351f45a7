//! Packages of two root filesystems, by their dpkg databases.

use crate::deb::{Paragraph, Version, stanzas};
use crate::tree::edit::EditError;
use crate::tree::{DirEntry, Tree};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The limit of a dpkg database, and of the list of a package's files (bytes).
const MAX: u64 = 256 << 20;

/// A package that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PackageChange {
    /// Its name, with its architecture where it is not the only one of that name.
    pub name: String,
    /// Its version in the first filesystem; none if it is not installed there.
    pub old: Option<String>,
    /// Its version in the second filesystem; none if it is not installed there.
    pub new: Option<String>,
    /// Whether the second version is lower than the first.
    pub downgrade: bool,
}

/// Versions by name.
type Installed = BTreeMap<String, String>;

/// The packages that differ, by name.
pub(super) fn compare(old: &Tree, new: &Tree) -> Result<Vec<PackageChange>, EditError> {
    let (old, new) = (installed(old)?, installed(new)?);
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changes = names.into_iter().map(|name| {
        let (old, new) = (old.get(name).cloned(), new.get(name).cloned());
        PackageChange {
            name: name.clone(),
            downgrade: is_lower(new.as_deref(), old.as_deref()),
            old,
            new,
        }
    });
    Ok(changes.filter(|one| one.old != one.new).collect())
}

fn is_lower(one: Option<&str>, other: Option<&str>) -> bool {
    let parse = |text: Option<&str>| text.and_then(|text| text.parse::<Version>().ok());
    match (parse(one), parse(other)) {
        (Some(one), Some(other)) => one < other,
        _ => false,
    }
}

/// The installed packages; none if there is no dpkg database.
fn installed(tree: &Tree) -> Result<Installed, EditError> {
    let status = tree.read("/var/lib/dpkg/status", MAX)?.unwrap_or_default();
    let mut all: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for stanza in stanzas(&status) {
        // A paragraph that cannot be read is a matter of `doctor`.
        let Ok(fields) = Paragraph::parse(stanza) else {
            continue;
        };
        let state = fields.text("Status").split_whitespace().nth(2);
        if state.is_none_or(|state| matches!(state, "config-files" | "not-installed")) {
            continue;
        }
        let text = |name| fields.text(name).to_owned();
        let row = (text("Architecture"), text("Version"));
        all.entry(text("Package")).or_default().push(row);
    }
    let mut out = Installed::new();
    for (name, rows) in all {
        let alone = rows.len() == 1;
        for (architecture, version) in rows {
            let name = match alone {
                true => name.clone(),
                false => format!("{name}:{architecture}"),
            };
            out.insert(name, version);
        }
    }
    Ok(out)
}

/// The files of packages that differ, each with the name of its package: by the lists of both
/// sides, symbolic links in directories followed.
pub(super) fn owners(
    old: &Tree,
    new: &Tree,
    changes: &[PackageChange],
) -> Result<BTreeMap<Vec<u8>, String>, EditError> {
    let mut out = BTreeMap::new();
    for tree in [old, new] {
        for change in changes {
            for list in lists(tree, &change.name) {
                let files = tree.read(&list, MAX)?.unwrap_or_default();
                for file in files.split(|byte| *byte == b'\n') {
                    if let Ok(walk) = tree.walk(file, false)
                        && walk.exists
                    {
                        out.insert(walk.path(), change.name.clone());
                    }
                }
            }
        }
    }
    Ok(out)
}

/// The lists of a package's files in the database: with and without its architecture.
fn lists(tree: &Tree, package: &str) -> Vec<String> {
    let path = |base: &str| format!("/var/lib/dpkg/info/{base}.list");
    let name = package.split(':').next().unwrap_or(package);
    let Some(info) = tree.dir("/var/lib/dpkg/info") else {
        return Vec::new();
    };
    let prefix = format!("{name}:");
    let qualified = info.entries.range(prefix.clone().into_bytes()..);
    let qualified = qualified.take_while(|(name, _)| name.starts_with(prefix.as_bytes()));
    let is_list = |(name, entry): (&Vec<u8>, &DirEntry)| {
        let base = String::from_utf8(name.clone()).ok()?;
        let base = base.strip_suffix(".list")?;
        (entry.as_dir().is_none()).then(|| path(base))
    };
    let mut out: Vec<String> = qualified.filter_map(is_list).collect();
    out.push(path(name));
    out
}
