//! Installs Debian packages into a tree without running anything of them.
//!
//! ```text
//! packages -> read (incoming) -> check relations (package_set)
//!   -> for each: preinst (scripts), files (extract), database (register)
//!   -> for each: postinst -> triggers
//! ```
//!
//! All of it happens on a copy of the tree: with any problem the tree stays as it was, and all
//! problems are reported together. Maintainer scripts are not run: the interpreter of [`shell`]
//! reads them, and their commands (`commands`) are models that change the tree. Known effects are
//! reproduced; anything else is a problem until the user accepts that it is left out, and then the
//! report says so.
//!
//! [`shell`]: crate::shell

mod commands;
mod database;
mod extract;
mod incoming;
mod install_section;
mod interpreter;
mod md5;
mod package_set;
mod register;
mod request;
mod script_host;
mod scripts;
#[cfg(test)]
mod tests;
mod triggers;
pub mod units;
mod unknown;
mod users;

pub use request::{AcceptedScript, DefaultFile, InstallReport, InstallRequest, InstalledPackage};

use crate::problem::{Problem, Problems};
use crate::tree::Tree;
use crate::tree::editor::{Action, Change, TreeEditor};
use database::Database;
use incoming::Incoming;
use package_set::PackageSet;
use request::Journal;
use scripts::Session;
use std::collections::BTreeSet;

/// Installs packages into the tree.
///
/// # Errors
/// All problems at once; the tree is then as it was.
pub fn install(
    editor: &mut TreeEditor<'_>,
    request: &InstallRequest,
) -> Result<InstallReport, Problems> {
    let mut database = Database::read(editor.tree())?;
    let mut journal = Journal::default();
    let incoming = incoming::read_all(request, &database, &mut journal);
    let facts: Vec<_> = incoming.iter().map(|package| &package.facts).collect();
    let incomplete = PackageSet::new(&database, &facts).check(&mut journal);
    let order = order(&incoming);

    let mut tree = editor.tree().clone();
    let mut work = TreeEditor::new(&mut tree, editor.time());
    let mut session = Session {
        editor: &mut work,
        database: &mut database,
        journal: &mut journal,
        accept: &request.accept,
        disabled: if request.managed {
            BTreeSet::new()
        } else {
            client_units(&order)
        },
        activated: Vec::new(),
        configured: std::collections::BTreeMap::new(),
        removed: BTreeSet::new(),
        answers: std::collections::BTreeMap::new(),
        used: BTreeSet::new(),
        incomplete,
    };
    if let Err(problem) = apply(&mut session, &order, &request.defaults) {
        journal.problem(problem);
    }
    let changes = work.finish();
    let report = journal.finish()?;
    adopt(editor, tree, changes);
    Ok(report)
}

/// The packages in an order in which each comes after those that it depends on, as far as there is
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
        // In a circle, the first of the request goes first.
        let next = left.iter().position(|package| !needs(package)).unwrap_or(0);
        out.push(left.remove(next));
    }
    out
}

/// Does everything on the copy of the tree: first all packages are unpacked, then all are
/// configured, then triggers run.
fn apply(
    session: &mut Session<'_, '_>,
    order: &[&Incoming],
    defaults: &[DefaultFile],
) -> Result<(), Problem> {
    for incoming in order {
        unpack(session, incoming)?;
    }
    if !order.is_empty() {
        register::status(session.editor, session.database)
            .map_err(|e| Problem::new(e.to_string()))?;
    }
    for file in defaults {
        let wanted = order
            .iter()
            .any(|incoming| incoming.facts.name == file.package);
        if wanted && session.editor.tree().find(&file.path).is_none() {
            let reason = format!("needed before package {} is configured", file.package);
            session
                .editor
                .file(&file.path, file.bytes.clone(), file.mode, &reason)
                .map_err(|e| Problem::new(format!("writing {}: {e}", file.path)))?;
        }
    }
    for incoming in order {
        session.configure(incoming);
        session.journal.installed(InstalledPackage {
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

/// Unpacks one package: `preinst`, its files, its entry in the database.
fn unpack(session: &mut Session<'_, '_>, incoming: &Incoming) -> Result<(), Problem> {
    let (name, version) = (&incoming.facts.name, incoming.facts.version.to_string());
    let failed = |e: &dyn std::fmt::Display| Problem::new(format!("package {name}: {e}"));
    let old = session
        .database
        .old(&incoming.facts)
        .filter(|_| incoming.upgraded_from.is_some());
    let old = old.map(|stanza| stanza.facts.base());
    if let Some(base) = &old {
        session.run_installed(base, "prerm", &["upgrade", &version]);
    }
    let arguments = match (&incoming.upgraded_from, &incoming.configured) {
        (Some(old), _) => vec!["upgrade", old, &version],
        (None, Some(left)) => vec!["install", left, &version],
        (None, None) => vec!["install"],
    };
    session.run_incoming(incoming, "preinst", &arguments);
    let extracted = extract::extract(session.editor, session.database, incoming, session.journal)
        .map_err(|e| failed(&e))?;
    if let Some(base) = &old {
        session.run_installed(base, "postrm", &["upgrade", &version]);
    }
    register::info(session.editor, incoming, &extracted).map_err(|e| failed(&e))?;
    triggers::register_interests(session.editor, incoming).map_err(|e| failed(&e))?;
    vanished(session, incoming, &extracted);
    session.removed.extend(extracted.removed);
    let triggers = incoming.script("triggers").map(triggers::Triggers::read);
    session
        .activated
        .extend(triggers.unwrap_or_default().activates);
    let base = incoming.facts.base();
    session.database.under_way.insert(base, "unpacked");
    register::enter(session.database, incoming, &extracted.conffiles).map_err(|e| failed(&e))
}

/// Reports packages of which nothing is left, since others replace all of their files: dpkg then
/// removes them.
fn vanished(session: &mut Session<'_, '_>, incoming: &Incoming, extracted: &extract::Extracted) {
    for base in extracted.displaced.keys() {
        let list = database::text(session.editor.tree(), &format!("info/{base}.list"));
        let list = list.ok().flatten().unwrap_or_default();
        let left = database::lines(&list).any(|path| {
            let dir = session.editor.tree().dir(path).is_some();
            !dir && session
                .database
                .owners
                .get(path)
                .is_some_and(|owners| owners.contains(base))
        });
        if !left {
            let (name, version) = (&incoming.facts.name, &incoming.facts.version);
            let text = format!(
                "package {name} {version} replaces every file of {base}, which dpkg would then remove"
            );
            session.journal.problem(Problem::new(text).hint(format!(
                "remove {base} from the packages, or from the golden system"
            )));
        }
    }
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

/// Replaces the tree by the finished copy, and records the difference at each changed path.
fn adopt(editor: &mut TreeEditor<'_>, tree: Tree, changes: Vec<Change>) {
    let old = std::mem::replace(editor.tree_mut(), tree);
    let mut seen = BTreeSet::new();
    for change in changes {
        if !seen.insert(change.path.clone()) {
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
