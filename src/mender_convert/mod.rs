//! The configuration of mender-convert, the converter that is made of bash scripts, and the key of
//! ours that replaces each part of it: variables, hooks, board configurations, options.
//!
//! These tables are the one place for it: `migrate` converts by them, `config` takes its hints from
//! them, and `docs/from-mender-convert.md` is made from them. Names, defaults and meanings are
//! those of mender-convert 5.2 (`configs/mender_convert_config`, `mender-convert-modify` and
//! `mender-convert-package` there) and, where it says so, of earlier releases.

mod boards;
mod hooks;
mod image;
mod options;
mod page;
mod system;
mod variable;
mod variables;

pub use boards::{BOARD_FILES, BoardFile, board_file};
pub use hooks::{HOOKS, Hook, SPECIAL_FUNCTIONS, SpecialFunction};
pub use options::{OPTIONS, ReplacedOption};
pub use page::page;
pub use variable::{Rule, Unit, Variable};
pub use variables::{TOPICS, Topic, variable};

/// The hint for a name of mender-convert in a place where a key of ours is wanted; `None` if it is
/// not one.
#[must_use]
pub fn hint(name: &str) -> Option<String> {
    const REST: &str = "`goldsmith migrate FILE` converts a whole file";
    if let Some(variable) = variable(name) {
        return Some(match variable.rule.keys().as_slice() {
            [] => format!(
                "this variable of mender-convert has no key: {}; {REST}",
                variable.note
            ),
            keys => format!(
                "this variable of mender-convert is now `{}`{}; {REST}",
                keys.join("`, `"),
                variable
                    .rule
                    .form()
                    .map(|form| format!(", {form}"))
                    .unwrap_or_default()
            ),
        });
    }
    if let Some(hook) = HOOKS.iter().find(|hook| hook.array == name) {
        return Some(format!(
            "this list of mender-convert is now {}; {REST}",
            hook.instead()
        ));
    }
    let foreign = name.starts_with("MENDER_")
        && name
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    foreign.then(|| {
        format!("variables of mender-convert are not keys, and it has none of this name; {REST}")
    })
}

/// Whether a text that is not valid TOML looks like a configuration of mender-convert: a line of it
/// assigns one of its variables, or reads one of its files.
#[must_use]
pub fn looks_like(text: &str) -> bool {
    text.lines().take(2000).any(|line| {
        let line = line.trim_start();
        let name = line.split(['=', '+']).next().unwrap_or_default();
        let assigns = line.len() > name.len()
            && (variable(name).is_some() || HOOKS.iter().any(|hook| hook.array == name));
        let reads = line
            .strip_prefix("source ")
            .or_else(|| line.strip_prefix(". "))
            .is_some_and(|file| file.contains("configs/"));
        assigns || reads
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_have_notes() {
        let mut names = BTreeSet::new();
        for variable in TOPICS.iter().flat_map(|topic| topic.variables) {
            assert!(names.insert(variable.name), "{} twice", variable.name);
            assert!(
                !variable.rule.keys().is_empty() || !variable.note.is_empty(),
                "{}: neither a key nor a note",
                variable.name
            );
        }
        for hook in HOOKS {
            assert!(names.insert(hook.array), "{} twice", hook.array);
        }
        assert!(names.len() > 110);
        let mut files = BTreeSet::new();
        assert!(BOARD_FILES.iter().all(|file| files.insert(file.name)));
    }

    #[test]
    fn hints_name_the_key_and_its_form() {
        let hint = |name| hint(name).unwrap_or_default();
        assert_eq!(
            hint("MENDER_STORAGE_TOTAL_SIZE_MB"),
            "this variable of mender-convert is now `storage.size`, with a unit, such as \
             `\"8192 MiB\"`; `goldsmith migrate FILE` converts a whole file"
        );
        assert!(hint("MENDER_USE_BMAP").contains("`output.bmap`, `true` or `false`;"));
        assert!(hint("MENDER_ROOT_PART_MKFS_OPTS").contains("has no key: "));
        assert!(hint("PLATFORM_MODIFY_HOOKS").contains("`hooks.after-edits`"));
        assert!(hint("MENDER_NEVER_HEARD_OF").contains("none of this name"));
        assert_eq!(super::hint("menderly"), None);
        assert_eq!(super::hint("MENDER_mixed"), None);
    }

    #[test]
    fn files_of_the_other_converter_are_recognised() {
        assert!(looks_like(
            "# a\nMENDER_STORAGE_DEVICE_BASE=/dev/mmcblk0p\n"
        ));
        assert!(looks_like("source configs/raspberrypi4_config\n"));
        assert!(looks_like("PLATFORM_MODIFY_HOOKS+=(x)\n"));
        assert!(!looks_like("[board]\ndevice-type = MENDER_X\n"));
    }
}
