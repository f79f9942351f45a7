//! Units that depend on mounts and swap space that are gone.

use super::super::Workspace;
use super::lines::LineEdits;
use super::names::{Resolution, Verdict};
use super::row::{Row, Treatment};
use crate::golden::references::unit_names;
use crate::golden::references::units::{is_dependency, settings, with_dependencies};
use crate::plan::accepted::AcceptedFiles;

/// Takes dependencies on units that are gone out of other units, and tells of services that need a
/// mount point which nothing mounts any more.
pub(super) fn edit(
    work: &mut Workspace<'_>,
    edits: &mut LineEdits,
    gone: &[String],
    accepted: &AcceptedFiles,
) -> Vec<Row> {
    let mut rows = Vec::new();
    if gone.is_empty() {
        return rows;
    }
    for file in with_dependencies(work.root.tree()) {
        for (key, setting) in settings(work.root.tree(), &file) {
            let words: Vec<&str> = setting.value.split_whitespace().collect();
            let stale: Vec<&str> = words
                .iter()
                .copied()
                .filter(|word| is_gone(&key, word, gone))
                .collect();
            for word in &stale {
                let resolution = Resolution {
                    verdict: Verdict::Gone,
                    golden: "a mount".to_owned(),
                    converted: "not mounted".to_owned(),
                    assumed: false,
                };
                let row = Row::new(&file, setting.line, "unit", word, &resolution);
                if work.used.accepts(accepted, &file) {
                    rows.push(row.action(Treatment::Accepted));
                    continue;
                }
                let place = row.place();
                if !is_dependency(&key) {
                    work.notes.push(format!(
                        "{place}: {key}={word}, which is not mounted on the converted disk"
                    ));
                    rows.push(row.action(Treatment::Noted));
                    continue;
                }
                let target = (false, file.clone());
                match stale.len() == words.len() {
                    true => edits.comment(
                        &target,
                        setting.line,
                        setting.last,
                        "the unit is not on the converted disk",
                    ),
                    false => {
                        let lines = setting.line..=setting.last;
                        edits.replace(work, &target, lines, [word, ""]);
                    }
                }
                work.notes.push(format!(
                    "{place}: {key}={word} is taken out: the unit is not on the converted disk"
                ));
                rows.push(row.action(Treatment::Removed));
            }
        }
    }
    rows
}

/// Whether the word of a setting names a mount or swap space that is gone.
fn is_gone(key: &str, word: &str, gone: &[String]) -> bool {
    match key {
        "RequiresMountsFor" | "ConditionPathIsMountPoint" | "AssertPathIsMountPoint" => gone
            .iter()
            .any(|dir| word == dir || word.starts_with(&format!("{dir}/"))),
        _ if is_dependency(key) => word
            .rsplit_once('.')
            .filter(|(_, kind)| matches!(*kind, "mount" | "automount" | "swap"))
            .is_some_and(|(stem, _)| gone.contains(&unit_names::path(stem))),
        _ => false,
    }
}
