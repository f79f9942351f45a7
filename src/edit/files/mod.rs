//! Edits of single files that the configuration asks for: `[[rootfs.remove]]`, then
//! `[[rootfs.edit]]`. They come after the overlays and before the integration, which sees their
//! result as it sees the golden image.

mod needs;
mod paths;
pub(super) mod text;

pub use paths::matching;

use super::Workspace;
use crate::plan::Plan;
use crate::plan::edits::{Paths, TextChange, TextEdit};
use crate::plan::host::SecretText;
use crate::plan::overlays::Target;
use crate::problem::Problem;
use crate::stream::ReadAt as _;
use crate::tree::edit::EditError;
use crate::tree::{DirEntry, Tree, show};
use crate::units::counted;
use needs::Needs;
use std::collections::BTreeSet;

/// The size limit of files that are edited (bytes).
const LIMIT: u64 = 8 << 20;
/// The most paths of one entry that a refusal names.
const MOST_REFUSED: usize = 3;

/// Makes the edits of the plan.
pub(super) fn edit(work: &mut Workspace<'_>, plan: &Plan) -> Result<(), EditError> {
    let edits = &plan.file_edits;
    work.notes.extend(edits.left_out.iter().cloned());
    if !edits.remove.is_empty() {
        let needs = Needs::new(work.root.tree(), &plan.boot.mount);
        let (mut kernels, mut lacking) = (needs.kernels(work.root.tree()), BTreeSet::new());
        for removal in &edits.remove {
            remove(work, plan, removal, &needs)?;
            let left = needs.kernels(work.root.tree());
            let problems = needs.lost(&removal.from, &kernels, &left, work.root.tree());
            for problem in problems {
                if lacking.insert(problem.message.clone()) {
                    work.problems.push(problem);
                }
            }
            kernels = left;
        }
    }
    for edit in &edits.edit {
        change(work, plan, edit)?;
    }
    Ok(())
}

/// The filesystem of paths, with those that match in it; `None` for those of the data partition,
/// which is a problem.
fn find(
    work: &mut Workspace<'_>,
    plan: &Plan,
    paths: &Paths,
    follow: bool,
) -> Option<(Target, Vec<Vec<u8>>)> {
    let Paths { from, pattern, .. } = paths;
    let boot = pattern.below(&plan.boot.mount);
    if pattern.below("/data").is_some() && boot.is_none() {
        let message = format!("{from}: {pattern} is on the data partition, which starts empty");
        let hint = "give its files with data.overlay";
        work.problems.push(Problem::new(message).hint(hint));
        return None;
    }
    let (target, parts) = match boot.filter(|parts| !parts.is_empty()) {
        Some(parts) => (Target::Boot, parts),
        None => (Target::Root, pattern.parts()),
    };
    let tree = work.editor(target).tree();
    let found = paths::matching(tree, parts, target == Target::Boot, follow);
    Some((target, found))
}

/// Refuses a number of matches that the configuration does not expect.
fn count_problem(paths: &Paths, found: usize, what: &str) -> Option<Problem> {
    let Paths {
        from,
        pattern,
        count,
        optional,
    } = paths;
    let number = u64::try_from(found).unwrap_or(u64::MAX);
    let fits = match count {
        _ if found == 0 => *optional,
        Some(count) => u64::from(*count) == number,
        None => true,
    };
    if fits {
        return None;
    }
    let message = match (found, count) {
        (0, _) => format!("{from}: the image has no {what} {pattern}"),
        (_, count) => format!(
            "{from}: {found} paths match {pattern}, but count is {}",
            count.unwrap_or_default()
        ),
    };
    let hint = match (found, what) {
        (0, "file") => "correct the path; to make the file, set `create = true` or use an overlay",
        (0, _) => "correct the path, or set `optional = true` if it may be missing",
        _ => "correct the pattern, or set `count` to this number",
    };
    Some(Problem::new(message).hint(hint))
}

/// Removes what matches.
fn remove(
    work: &mut Workspace<'_>,
    plan: &Plan,
    paths: &Paths,
    needs: &Needs,
) -> Result<(), EditError> {
    let Some((target, found)) = find(work, plan, paths, false) else {
        return Ok(());
    };
    if let Some(problem) = count_problem(paths, found.len(), "file or directory") {
        work.problems.push(problem);
        return Ok(());
    }
    if target == Target::Root {
        let refused = refused(paths, &found, needs);
        if !refused.is_empty() {
            // Nothing is removed by half: later entries would be blamed for what is missing then.
            work.problems.0.extend(refused);
            return Ok(());
        }
    }
    for path in found {
        work.editor(target).remove(&path, &paths.from)?;
    }
    Ok(())
}

/// Why paths that match cannot be removed: the first ones, and how many more there are.
fn refused(paths: &Paths, found: &[Vec<u8>], needs: &Needs) -> Vec<Problem> {
    let needed = found
        .iter()
        .filter_map(|path| Some((path, needs.of(path)?)));
    let mut messages: Vec<String> = needed
        .map(|(path, (needed, why))| {
            let path = show(path);
            match needed == path {
                true => format!("{}: {path} cannot be removed: {why}", paths.from),
                false => format!("{}: {path} cannot be removed: {needed}, {why}", paths.from),
            }
        })
        .collect();
    let more = messages.len().saturating_sub(MOST_REFUSED);
    if more > 0 {
        messages.truncate(MOST_REFUSED);
        messages.push(format!(
            "{}: {} that {} matches cannot be removed either",
            paths.from,
            counted(more, "more path", "more paths"),
            paths.pattern
        ));
    }
    let hint = "name the files below it that the device can do without";
    let problems = messages.into_iter().map(Problem::new);
    problems.map(|problem| problem.hint(hint)).collect()
}

/// Edits the files that match.
fn change(work: &mut Workspace<'_>, plan: &Plan, edit: &TextEdit) -> Result<(), EditError> {
    let TextEdit {
        paths,
        change,
        secret,
        create,
    } = edit;
    let secret = secret.as_ref().map(SecretText::expose);
    let Some((target, mut found)) = find(work, plan, paths, true) else {
        return Ok(());
    };
    if !paths.pattern.is_literal() {
        found.retain(|path| work.editor(target).tree().file(path).is_some());
    }
    if found.is_empty() && *create {
        return make(work, plan, target, edit);
    }
    if let Some(problem) = count_problem(paths, found.len(), "file") {
        work.problems.push(problem);
        return Ok(());
    }
    let mut places = 0;
    for path in found {
        let editor = work.editor(target);
        let shown = match target {
            Target::Boot => format!("{}{}", plan.boot.mount, show(&path)),
            Target::Root | Target::Data => show(&path),
        };
        let old = match read(editor.tree(), &path)? {
            Ok(old) => old,
            Err(what) => {
                let message = format!("{}: {shown} {what}", paths.from);
                work.problems.push(Problem::new(message));
                continue;
            }
        };
        match text::changed(&old, change, secret) {
            Ok(changed) => {
                places += changed.places;
                let names = other_names(editor.tree(), &path);
                editor.rewrite(&path, changed.text, 0o644, &paths.from)?;
                if !names.is_empty() {
                    work.warnings.push(format!(
                        "{}: {shown} has other names, which keep the old text: {}",
                        paths.from,
                        names.join(", ")
                    ));
                }
            }
            Err(what) => {
                let message = format!("{}: {shown}: {what}", paths.from);
                work.problems.push(Problem::new(message));
            }
        }
    }
    if let TextChange::Replace {
        places: Some(wanted),
        ..
    } = change
        && u64::from(*wanted) != places
        && places > 0
    {
        let message = format!(
            "{}: the text is at {places} places, but places is {wanted}",
            paths.from
        );
        let hint = "replace a longer text that is only there, or set `places` to this number";
        work.problems.push(Problem::new(message).hint(hint));
    }
    Ok(())
}

/// Makes a file that is missing.
fn make(
    work: &mut Workspace<'_>,
    plan: &Plan,
    target: Target,
    edit: &TextEdit,
) -> Result<(), EditError> {
    let Paths { from, pattern, .. } = &edit.paths;
    let path = match target {
        Target::Boot => below(&edit.paths, &plan.boot.mount),
        Target::Root | Target::Data => pattern.to_string().into_bytes(),
    };
    let secret = edit.secret.as_ref().map(SecretText::expose);
    match text::changed("", &edit.change, secret) {
        Ok(changed) => work.editor(target).file(path, changed.text, 0o644, from)?,
        Err(what) => {
            let message = format!("{from}: {pattern}: {what}");
            work.problems.push(Problem::new(message));
        }
    }
    Ok(())
}

/// A literal path below the mount point of the boot partition, from the top of that partition.
fn below(paths: &Paths, mount: &str) -> Vec<u8> {
    let parts = paths.pattern.below(mount).unwrap_or_default();
    let names = parts.iter().filter_map(|part| part.literal());
    names
        .flat_map(|name| ["/", name])
        .collect::<String>()
        .into()
}

/// The text of a file; why it has none otherwise.
fn read(tree: &Tree, path: &[u8]) -> Result<Result<String, String>, EditError> {
    let Some(content) = tree.file(path) else {
        let what = match tree.find_nofollow(path) {
            Some(_) => "is not a regular file",
            None => "does not exist, though a symbolic link leads there",
        };
        return Ok(Err(what.to_owned()));
    };
    if content.len() > LIMIT {
        let len = content.len();
        return Ok(Err(format!(
            "has {len} bytes: text of more than {LIMIT} bytes is not edited"
        )));
    }
    let bytes = tree.read(path, LIMIT)?.unwrap_or_default();
    Ok(match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err("is not a text file in UTF-8: replace it by an overlay or a hook".to_owned()),
    })
}

/// The other names of the file at the real path `path`: hard links, which are not edited.
fn other_names(tree: &Tree, path: &[u8]) -> Vec<String> {
    let slash = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    let (dir, name) = path.split_at(slash);
    let dir = tree.dir(dir);
    let entry = dir.and_then(|dir| dir.entries.get(name.get(1..).unwrap_or_default()));
    let Some(DirEntry::Leaf(id)) = entry else {
        return Vec::new();
    };
    let mut names = Vec::new();
    tree.visit(&mut |other, entry| {
        if matches!(entry, DirEntry::Leaf(other) if other == id) && other != path {
            names.push(show(other));
        }
    });
    names
}

#[cfg(test)]
mod tests;
