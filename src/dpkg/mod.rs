//! Debian packages are installed into a tree without running anything of them.
//!
//! ```text
//! packages -> read -> relations hold? -> for each: preinst, files, info, paragraph -> for each: postinst -> triggers
//! ```
//!
//! All of it happens on a copy of the tree: with any problem the tree stays as it was, and all
//! problems are told together. Maintainer scripts are read by an interpreter of the shell's
//! language (`shell`) whose commands (`commands`) are models that change the tree; a statement
//! outside of it is a problem, or is accepted by configuration and then left out, aloud.

pub(crate) mod commands;
mod database;
mod incoming;
mod register;
mod relations;
mod scripts;
#[cfg(test)]
mod tests;
mod unpack;
mod users;
pub(crate) mod world;

use crate::problem::{Problem, Problems};
use crate::stream::Source;
use crate::tree::Tree;
use crate::tree::editor::{Action, Change, TreeEditor};
use database::Database;
use incoming::Incoming;
use scripts::Session;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// A statement of a maintainer script that the user takes responsibility for: it is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accept {
    /// The package.
    pub package: String,
    /// The script: `preinst`, `postinst`, `prerm` or `postrm`.
    pub script: String,
    /// A text that the statement's source line contains; any statement of the script without it.
    pub statement: Option<String>,
    /// Why it may be left out, for the report.
    pub reason: String,
}

/// What to install.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Each package's file name, for messages, and its bytes.
    pub debs: Vec<(PathBuf, Source)>,
    /// Whether the services of the update client are enabled; otherwise they are left disabled, as
    /// by a systemd preset.
    pub managed: bool,
    /// Statements that may be left out.
    pub accept: Vec<Accept>,
}

/// A package that was installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstalledPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture.
    pub architecture: String,
    /// SHA-256 of the package file in hexadecimal.
    pub sha256: String,
    /// The package file as the request named it.
    pub file: String,
    /// The version that it replaced.
    pub upgraded_from: Option<String>,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Installed {
    /// The packages in the order in which they were configured.
    pub packages: Vec<InstalledPackage>,
    /// What the models of maintainer scripts did, one line each.
    pub modelled: Vec<String>,
    /// Facts the user should read: kept configuration files, triggers left to the device.
    pub notes: Vec<String>,
    /// What was left out, and the reason that the user gave.
    pub accepted: Vec<String>,
}

/// Installs packages into the tree.
///
/// # Errors
/// All problems at once; the tree is then as it was.
pub fn install(editor: &mut TreeEditor<'_>, request: &Request) -> Result<Installed, Problems> {
    let mut database = Database::read(editor.tree())?;
    let mut problems = Problems::default();
    let mut out = Installed::default();
    let incoming = incoming::read_all(request, &database, &mut out.notes, &mut problems);
    let facts: Vec<_> = incoming.iter().map(|package| &package.facts).collect();
    relations::World::new(&database, &facts).check(&mut problems);
    let order = order(&incoming);

    let mut tree = editor.tree().clone();
    let mut work = TreeEditor::new(&mut tree, editor.time());
    let mut session = Session {
        editor: &mut work,
        database: &mut database,
        out: &mut out,
        problems: &mut problems,
        accept: &request.accept,
        disabled: if request.managed {
            BTreeSet::new()
        } else {
            client_units(&order)
        },
        activated: Vec::new(),
        used: BTreeSet::new(),
    };
    let done = apply(&mut session, &order);
    let changes = work.finish();
    if let Err(e) = done {
        problems.push(e);
    }
    problems.check()?;
    adopt(editor, tree, changes);
    Ok(out)
}

/// The packages in an order in which each comes behind those that it depends on, as far as there is
/// one.
fn order(incoming: &[Incoming]) -> Vec<&Incoming> {
    let mut left: Vec<&Incoming> = incoming.iter().collect();
    let mut out = Vec::new();
    while !left.is_empty() {
        let needs = |package: &Incoming| {
            let facts = &package.facts;
            let wanted: BTreeSet<&str> = facts
                .pre_depends
                .0
                .iter()
                .chain(&facts.depends.0)
                .flatten()
                .map(|relation| relation.name.as_str())
                .collect();
            let gives = |other: &Incoming| {
                let provided = other
                    .facts
                    .provides
                    .0
                    .iter()
                    .flatten()
                    .map(|relation| relation.name.as_str());
                provided
                    .chain([other.facts.name.as_str()])
                    .any(|name| wanted.contains(name))
            };
            left.iter()
                .any(|other| other.facts.name != facts.name && gives(other))
        };
        // In a circle the first of the request goes first.
        let next = left.iter().position(|package| !needs(package)).unwrap_or(0);
        out.push(left.remove(next));
    }
    out
}

/// Does everything on the copy of the tree: first all packages are unpacked, then all are
/// configured, then triggers run.
fn apply(session: &mut Session<'_, '_>, order: &[&Incoming]) -> Result<(), Problem> {
    for incoming in order {
        unpack(session, incoming)?;
    }
    if !order.is_empty() {
        register::status(session.editor, session.database)
            .map_err(|e| Problem::new(e.to_string()))?;
    }
    for incoming in order {
        let configured = incoming.configured.as_deref().unwrap_or_default();
        session.incoming(incoming, "postinst", &["configure", configured]);
        session.out.packages.push(InstalledPackage {
            name: incoming.facts.name.clone(),
            version: incoming.facts.version.to_string(),
            architecture: incoming.facts.architecture.clone(),
            sha256: incoming.sha256.clone(),
            file: incoming.file.clone(),
            upgraded_from: incoming.upgraded_from.clone(),
        });
    }
    session.triggers(order);
    session.unused();
    Ok(())
}

/// One package: `preinst`, its files, its place in the database.
fn unpack(session: &mut Session<'_, '_>, incoming: &Incoming) -> Result<(), Problem> {
    let (name, version) = (&incoming.facts.name, incoming.facts.version.to_string());
    let failed = |e: &dyn std::fmt::Display| Problem::new(format!("package {name}: {e}"));
    let old = session
        .database
        .old(&incoming.facts)
        .filter(|_| incoming.upgraded_from.is_some());
    let old = old.map(|stanza| stanza.facts.base());
    if let Some(base) = &old {
        session.installed(base, "prerm", &["upgrade", &version]);
    }
    let arguments = match (&incoming.upgraded_from, &incoming.configured) {
        (Some(old), _) => vec!["upgrade", old, &version],
        (None, Some(left)) => vec!["install", left, &version],
        (None, None) => vec!["install"],
    };
    session.incoming(incoming, "preinst", &arguments);
    let unpacked = unpack::unpack(session.editor, session.database, incoming, session.problems)
        .map_err(|e| failed(&e))?;
    if let Some(base) = &old {
        session.installed(base, "postrm", &["upgrade", &version]);
    }
    register::info(session.editor, incoming, &unpacked).map_err(|e| failed(&e))?;
    register::interests(session.editor, incoming).map_err(|e| failed(&e))?;
    register::enter(session.database, incoming, &unpacked.conffiles).map_err(|e| failed(&e))?;
    session
        .out
        .notes
        .extend(unpacked.notes.iter().map(|note| format!("{name}: {note}")));
    Ok(())
}

/// The units of the update client among the packages: those whose name begins with `mender`.
fn client_units(order: &[&Incoming]) -> BTreeSet<String> {
    let paths = order.iter().flat_map(|incoming| {
        incoming
            .package
            .entries
            .iter()
            .map(|entry| entry.path.as_slice())
    });
    let unit = |path: &[u8]| {
        let (dir, name) = path.split_at(path.iter().rposition(|b| *b == b'/')? + 1);
        let name = std::str::from_utf8(name)
            .ok()
            .filter(|name| name.starts_with("mender"))?;
        dir.ends_with(b"lib/systemd/system/")
            .then(|| name.to_owned())
    };
    paths.filter_map(unit).collect()
}

/// Takes the finished copy and records the difference that it makes at each changed path.
fn adopt(editor: &mut TreeEditor<'_>, tree: Tree, changes: Vec<Change>) {
    let old = std::mem::replace(editor.tree_mut(), tree);
    let mut first: BTreeMap<Vec<u8>, ()> = BTreeMap::new();
    for change in changes {
        if first.insert(change.path.clone(), ()).is_some() {
            continue;
        }
        let (before, after) = (
            old.find_nofollow(&change.path).is_some(),
            editor.tree().find_nofollow(&change.path).is_some(),
        );
        let action = match (before, after) {
            (false, true) => Action::Added,
            (true, true) => Action::Changed,
            (true, false) => Action::Removed,
            (false, false) => continue,
        };
        editor.record(change.path, action, &change.reason);
    }
}
