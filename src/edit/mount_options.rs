//! Mount options that the new root filesystem cannot have, wherever the golden image names them
//! besides `/etc/fstab`: `rootflags=` and `rootfstype=` in files of boot loaders, `Options=` in
//! mount units. They are taken out before the boot loader is integrated, which reads those files.

use super::Workspace;
use crate::plan::Plan;
use crate::plan::mount_options::{LostOption, without};
use crate::plan::overlays::Target;
use crate::stream::ReadAt as _;
use crate::tree::edit::EditError;
use crate::tree::editor::TreeEditor;
use crate::tree::{DirEntry, LeafKind, Tree, show};

/// The size limit of files that are searched (bytes).
const LIMIT: u64 = 256 << 10;
/// Directories of the root filesystem with files of boot loaders and of tools that write them.
const PLACES: [&str; 6] = [
    "/boot/",
    "/etc/default/",
    "/etc/kernel/",
    "/etc/grub.d/",
    "/etc/flash-kernel/",
    "/etc/u-boot-menu/",
];
/// Directories of mount units that the owner of a system writes.
const UNITS: [&str; 2] = ["/etc/systemd/system", "/run/systemd/system"];

/// Takes lost options out of all files but `/etc/fstab`.
///
/// # Errors
/// Files that cannot be read or written.
pub(super) fn edit(work: &mut Workspace<'_>, plan: &Plan) -> Result<(), EditError> {
    let lost = &plan.root.lost_options;
    for target in [Target::Root, Target::Boot] {
        let mut notes = Vec::new();
        arguments(work.editor(target), target, lost, &mut notes)?;
        work.notes.extend(notes);
    }
    for (unit, lost) in [("-.mount", lost), ("data.mount", &plan.data.lost_options)] {
        units(&mut work.root, unit, lost, &mut work.notes)?;
    }
    Ok(())
}

/// Edits the files of one filesystem that have kernel arguments.
fn arguments(
    editor: &mut TreeEditor<'_>,
    target: Target,
    lost: &[LostOption],
    notes: &mut Vec<String>,
) -> Result<(), EditError> {
    for path in texts(editor.tree(), target) {
        let Some(bytes) = editor.read(&path, LIMIT)? else {
            continue;
        };
        let Ok(text) = String::from_utf8(bytes) else {
            continue;
        };
        if !text.contains("rootflags=") && !text.contains("rootfstype=") {
            continue;
        }
        let mut edited = String::new();
        for (number, line) in (1..).zip(text.split_inclusive('\n')) {
            let (line, gone) = fitting_arguments(line, lost);
            edited.push_str(&line);
            let place = match target {
                Target::Boot => " of the boot partition",
                _ => "",
            };
            notes.extend(
                gone.iter()
                    .map(|gone| format!("{}{place}, line {number}: {gone}", show(&path))),
            );
        }
        if edited != text {
            editor.rewrite(
                &path,
                edited,
                0o644,
                "mount options that the new root filesystem cannot have",
            )?;
        }
    }
    Ok(())
}

/// The paths of small files that may have kernel arguments.
fn texts(tree: &Tree, target: Target) -> Vec<Vec<u8>> {
    let mut paths = Vec::new();
    tree.visit(&mut |path, entry| {
        let here = target == Target::Boot
            || PLACES
                .iter()
                .any(|place| path.starts_with(place.as_bytes()));
        if let (true, DirEntry::Leaf(id)) = (here, entry)
            && let LeafKind::File(content) = &tree.leaf(*id).kind
            && content.data_len() > 0
            && content.len() <= LIMIT
        {
            paths.push(path.to_vec());
        }
    });
    paths
}

/// A line without arguments that do not fit the new root filesystem, and what was done to it.
fn fitting_arguments(line: &str, lost: &[LostOption]) -> (String, Vec<String>) {
    let mut done = Vec::new();
    let mut out = String::new();
    let mut rest = line;
    let is_end = |c: char| c.is_whitespace() || "\"'\\;".contains(c);
    while let Some(at) = ["rootflags=", "rootfstype="]
        .iter()
        .filter_map(|name| rest.find(name))
        .min()
    {
        let (front, word) = rest.split_at(at);
        let end = word.find(is_end).unwrap_or(word.len());
        let (word, more) = word.split_at(end);
        out.push_str(front);
        rest = more;
        let new = fitting(word, lost, &mut done);
        if new.is_empty() && out.ends_with(' ') {
            out.pop();
        }
        out.push_str(&new);
    }
    out.push_str(rest);
    (out, done)
}

/// The argument that takes the place of `word`; empty for none.
fn fitting(word: &str, lost: &[LostOption], done: &mut Vec<String>) -> String {
    if let Some(flags) = word.strip_prefix("rootflags=") {
        let (kept, gone) = without(flags, lost);
        done.extend(
            gone.iter()
                .map(|(option, why)| format!("option {option} of rootflags is dropped: {why}")),
        );
        return match (kept.is_empty(), gone.is_empty()) {
            (_, true) => word.to_owned(),
            (true, false) => String::new(),
            (false, false) => format!("rootflags={kept}"),
        };
    }
    let kinds = word.strip_prefix("rootfstype=").unwrap_or_default();
    let mut kinds = kinds.split(',');
    if kinds.clone().any(|kind| kind == "ext4")
        || !kinds.any(|kind| matches!(kind, "ext2" | "ext3"))
    {
        return word.to_owned();
    }
    done.push(format!(
        "{word} becomes rootfstype=ext4: both root filesystems are ext4"
    ));
    "rootfstype=ext4".to_owned()
}

/// Edits a mount unit and its drop-ins.
fn units(
    editor: &mut TreeEditor<'_>,
    unit: &str,
    lost: &[LostOption],
    notes: &mut Vec<String>,
) -> Result<(), EditError> {
    for dir in UNITS {
        let drop_ins = format!("{dir}/{unit}.d");
        let names = editor.tree().dir(&drop_ins).map(|dir| {
            dir.entries
                .keys()
                .map(|name| [drop_ins.as_bytes(), b"/", name].concat())
                .collect::<Vec<_>>()
        });
        let own = format!("{dir}/{unit}").into_bytes();
        for path in names.into_iter().flatten().chain([own]) {
            unit_file(editor, &path, lost, notes)?;
        }
    }
    Ok(())
}

fn unit_file(
    editor: &mut TreeEditor<'_>,
    path: &[u8],
    lost: &[LostOption],
    notes: &mut Vec<String>,
) -> Result<(), EditError> {
    let file = editor.tree().file(path);
    if file.is_none_or(|content| content.len() > LIMIT) {
        return Ok(());
    }
    let Some(text) = editor.read(path, LIMIT)? else {
        return Ok(());
    };
    let Ok(text) = String::from_utf8(text) else {
        return Ok(());
    };
    let mut edited = String::new();
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        let value = line
            .trim_start()
            .strip_prefix("Options")
            .and_then(|rest| rest.trim_start().strip_prefix('='));
        let (kept, gone) = without(value.unwrap_or_default().trim(), lost);
        if gone.is_empty() {
            edited.push_str(line);
            continue;
        }
        edited.push_str(&format!("Options={kept}\n"));
        notes.extend(gone.iter().map(|(option, why)| {
            format!(
                "{}, line {number}: option {option} is dropped: {why}",
                show(path)
            )
        }));
    }
    if edited != text {
        let reason = "mount options that the new filesystem cannot have";
        editor.rewrite(path, edited, 0o644, reason)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOST: [LostOption; 2] = [
        LostOption {
            name: "prjquota",
            why: "no quota",
        },
        LostOption {
            name: "sb",
            why: "elsewhere",
        },
    ];

    #[test]
    fn arguments_lose_what_does_not_fit() {
        let cases = [
            (
                "\tlinux /k ro rootflags=prjquota quiet\n",
                "\tlinux /k ro quiet\n",
                1,
            ),
            (
                "A=\"rootflags=noatime,sb=8193,prjquota\"\n",
                "A=\"rootflags=noatime\"\n",
                2,
            ),
            (
                "rootfstype=ext3 rootflags=noatime",
                "rootfstype=ext4 rootflags=noatime",
                1,
            ),
            ("rootfstype=ext4,ext3 x", "rootfstype=ext4,ext3 x", 0),
            ("rootfstype=squashfs x", "rootfstype=squashfs x", 0),
            ("quiet\n", "quiet\n", 0),
        ];
        for (line, expected, notes) in cases {
            let (edited, done) = fitting_arguments(line, &LOST);
            assert_eq!(edited, expected);
            assert_eq!(done.len(), notes, "{line}: {done:?}");
        }
    }
}
