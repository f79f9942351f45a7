//! Registers a package in the database: its paragraph in `status` and its files in `info`, byte for
//! byte as dpkg writes them.

use super::database::{Conffile, DIR, Database, Stanza, info_files, lines, text};
use super::extract::Extracted;
use super::incoming::Incoming;
use crate::deb::{PackageFacts, Relations};
use crate::tree::edit::EditError;
use crate::tree::editor::TreeEditor;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// The fields that dpkg knows, in the order in which it writes them (`fieldinfos` of its
/// `lib/dpkg/parse.c`, as of 1.21); fields unknown to it follow in the order of the control file.
const ORDER: [&str; 27] = [
    "Package",
    "Essential",
    "Protected",
    "Status",
    "Priority",
    "Section",
    "Installed-Size",
    "Origin",
    "Maintainer",
    "Bugs",
    "Architecture",
    "Multi-Arch",
    "Source",
    "Version",
    "Replaces",
    "Provides",
    "Depends",
    "Pre-Depends",
    "Recommends",
    "Suggests",
    "Breaks",
    "Conflicts",
    "Enhances",
    "Conffiles",
    "Description",
    "Triggers-Pending",
    "Triggers-Awaited",
];

/// Fields of relations, which dpkg writes in a form of its own.
const RELATIONS: [&str; 9] = [
    "Replaces",
    "Provides",
    "Depends",
    "Pre-Depends",
    "Recommends",
    "Suggests",
    "Breaks",
    "Conflicts",
    "Enhances",
];

/// The paragraph of an installed package.
pub(super) fn stanza(incoming: &Incoming, conffiles: &[Conffile]) -> String {
    let control = &incoming.package.control;
    let mut out = String::new();
    for field in ORDER {
        let value = match field {
            "Status" => "install ok installed".to_owned(),
            "Conffiles" => conffiles.iter().fold(String::new(), |mut value, conffile| {
                let obsolete = if conffile.obsolete { " obsolete" } else { "" };
                let removed = if conffile.removed {
                    " remove-on-upgrade"
                } else {
                    ""
                };
                let (path, md5) = (&conffile.path, &conffile.md5);
                let _ = write!(value, "\n {path} {md5}{obsolete}{removed}");
                value
            }),
            _ if RELATIONS.contains(&field) => relations(control.text(field), &incoming.facts),
            _ => control.text(field).to_owned(),
        };
        // dpkg leaves out default values.
        if value.is_empty()
            || value == "no" && matches!(field, "Essential" | "Protected" | "Multi-Arch")
        {
            continue;
        }
        field_line(&mut out, field, &value);
    }
    for (field, value) in control.fields() {
        if !ORDER.iter().any(|known| known.eq_ignore_ascii_case(field)) && !value.is_empty() {
            field_line(&mut out, field, value);
        }
    }
    out
}

fn field_line(out: &mut String, field: &str, value: &str) {
    let blank = if value.starts_with('\n') { "" } else { " " };
    let _ = writeln!(out, "{field}:{blank}{value}");
}

fn relations(text: &str, facts: &PackageFacts) -> String {
    Relations::parse(text, &facts.architecture)
        .map_or_else(|_| text.to_owned(), |relations| relations.to_string())
}

/// Writes the files of the package in `info` and removes those of its older version.
pub(super) fn info(
    editor: &mut TreeEditor<'_>,
    incoming: &Incoming,
    extracted: &Extracted,
) -> Result<(), EditError> {
    let base = incoming.facts.base();
    let reason = format!("package {}", incoming.facts.name);
    for (_, name) in info_files(editor.tree(), &base) {
        editor.remove([DIR.as_bytes(), b"/info/", &name].concat(), &reason)?;
    }
    if editor.tree().file(format!("{DIR}/info/format")).is_none() {
        editor.file(format!("{DIR}/info/format"), "1\n", 0o644, &reason)?;
    }
    let list = extracted
        .list
        .iter()
        .flat_map(|path| [path.as_slice(), b"\n"])
        .collect::<Vec<_>>()
        .concat();
    editor.file(format!("{DIR}/info/{base}.list"), list, 0o644, &reason)?;
    for (name, member) in &incoming.package.members {
        editor.file(
            format!("{DIR}/info/{base}.{name}"),
            member.bytes.clone(),
            member.mode & 0o777,
            &reason,
        )?;
    }
    if !incoming.package.members.contains_key("md5sums") {
        editor.file(
            format!("{DIR}/info/{base}.md5sums"),
            extracted.md5sums.clone(),
            0o644,
            &reason,
        )?;
    }
    for (displaced_base, paths) in &extracted.displaced {
        remove_from_list(editor, displaced_base, paths, &reason)?;
    }
    Ok(())
}

/// Removes paths from the list of the package that no longer has them.
fn remove_from_list(
    editor: &mut TreeEditor<'_>,
    base: &str,
    paths: &BTreeSet<Vec<u8>>,
    reason: &str,
) -> Result<(), EditError> {
    let list = text(editor.tree(), &format!("info/{base}.list"))?.unwrap_or_default();
    let kept: Vec<&[u8]> = lines(&list)
        .filter(|line| !paths.contains(*line))
        .flat_map(|line| [line, b"\n"])
        .collect();
    editor.rewrite(
        format!("{DIR}/info/{base}.list"),
        kept.concat(),
        0o644,
        reason,
    )?;
    Ok(())
}

/// Adds the paragraph of a package to the database, in place of its older one or in the order of
/// names.
pub(super) fn enter(
    database: &mut Database,
    incoming: &Incoming,
    conffiles: &[Conffile],
) -> Result<(), String> {
    let raw = stanza(incoming, conffiles);
    let read = Stanza::read(raw.as_bytes())?;
    let facts = &incoming.facts;
    match database.position(&facts.name, &facts.architecture) {
        Some(at) => database.stanzas[at] = read,
        None => {
            let key = |facts: &PackageFacts| (facts.name.clone(), facts.architecture.clone());
            let after = database
                .stanzas
                .iter()
                .position(|s| key(&s.facts) > key(facts));
            database
                .stanzas
                .insert(after.unwrap_or(database.stanzas.len()), read);
        }
    }
    Ok(())
}

/// Writes `status`; the bytes of other packages' paragraphs stay as they are.
pub(super) fn status(editor: &mut TreeEditor<'_>, database: &Database) -> Result<(), EditError> {
    let mut out = Vec::new();
    for stanza in &database.stanzas {
        out.extend_from_slice(&stanza.raw);
        if !stanza.raw.ends_with(b"\n") {
            out.push(b'\n');
        }
        out.push(b'\n');
    }
    editor.rewrite(format!("{DIR}/status"), out, 0o644, "dpkg database")?;
    Ok(())
}
