//! Text files whose lines are commented out or changed, by their numbers in the golden file.

use super::super::Workspace;
use crate::golden::references::TEXT_LIMIT;
use crate::problem::Problem;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// What becomes of a line.
enum Change {
    /// It is commented out, for this reason, which only the first of several lines has.
    Comment(Option<String>),
    /// It is replaced.
    Text(String),
}

/// Changes of files, which are made together.
#[derive(Default)]
pub(super) struct LineEdits {
    files: BTreeMap<(bool, String), BTreeMap<usize, Change>>,
    reasons: BTreeMap<(bool, String), String>,
}

impl LineEdits {
    /// Comments the lines `from..=to` of a file out.
    pub(super) fn comment(&mut self, file: &(bool, String), from: usize, to: usize, why: &str) {
        let lines = self.files.entry(file.clone()).or_default();
        for line in from..=to {
            let reason = (line == from).then(|| why.to_owned());
            lines.insert(line, Change::Comment(reason));
        }
    }

    /// Replaces `old` by `new` in each of these lines, which are one setting; a line that is
    /// commented out stays so. It is a problem if none of them has it.
    pub(super) fn replace(
        &mut self,
        work: &mut Workspace<'_>,
        file: &(bool, String),
        numbers: RangeInclusive<usize>,
        [old, new]: [&str; 2],
    ) {
        let text = read(work, file).unwrap_or_default();
        let lines = self.files.entry(file.clone()).or_default();
        let mut found = false;
        let first = *numbers.start();
        for number in numbers {
            let line = match lines.get(&number) {
                Some(Change::Comment(_)) => {
                    found = true;
                    continue;
                }
                Some(Change::Text(text)) => text.clone(),
                None => {
                    let found = text.lines().nth(number.saturating_sub(1));
                    found.unwrap_or_default().to_owned()
                }
            };
            let after = replaced(&line, old, new);
            found |= after != line;
            lines.insert(number, Change::Text(after));
        }
        if !found {
            let message = format!(
                "{}:{first}: {old} is not a word of one line, so it cannot be taken out",
                file.1
            );
            let hint = "write it in one line in the golden image, or take it out there";
            work.problems.push(Problem::new(message).hint(hint));
        }
    }

    /// The reason of the change of a file, for the record.
    pub(super) fn because(&mut self, file: &(bool, String), reason: &str) {
        self.reasons.insert(file.clone(), reason.to_owned());
    }

    /// Makes all changes.
    pub(super) fn apply(self, work: &mut Workspace<'_>) {
        for (file, changes) in self.files {
            let Some(old) = read(work, &file) else {
                let message = format!(
                    "{} names devices that are not on the converted disk, and cannot be edited: \
                     it is not a text in UTF-8",
                    file.1
                );
                let hint = "change the file in the golden image";
                work.problems.push(Problem::new(message).hint(hint));
                continue;
            };
            let mut text = String::new();
            for (number, line) in (1..).zip(old.lines()) {
                match changes.get(&number) {
                    None => text.push_str(line),
                    Some(Change::Text(line)) => text.push_str(line),
                    Some(Change::Comment(why)) => {
                        if let Some(why) = why {
                            text.push_str(&format!("# {why}; the line was:\n"));
                        }
                        text.push_str("# ");
                        text.push_str(line.trim_end_matches('\\'));
                    }
                }
                text.push('\n');
            }
            let reason = self.reasons.get(&file);
            let reason = reason.map_or("references to devices that are gone", String::as_str);
            let editor = match file.0 {
                true => &mut work.boot,
                false => &mut work.root,
            };
            if let Err(error) = editor.rewrite(&file.1, text, 0o644, reason) {
                work.problems.push(Problem::new(error.to_string()));
            }
        }
    }
}

fn read(work: &Workspace<'_>, (on_boot, path): &(bool, String)) -> Option<String> {
    let editor = match on_boot {
        true => &work.boot,
        false => &work.root,
    };
    editor.text(path, TEXT_LIMIT).ok().flatten()
}

/// The line with `old` replaced, where it is a word; a word that is taken out leaves no second
/// blank.
fn replaced(line: &str, old: &str, new: &str) -> String {
    let whole = |at: usize| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        let after = line.get(at.saturating_add(old.len())..);
        let after = after.and_then(|text| text.chars().next());
        let apart = |c: Option<char>| c.is_none_or(|c| c.is_whitespace() || "\"'=,;:".contains(c));
        apart(before) && apart(after)
    };
    let Some((at, _)) = line.match_indices(old).find(|(at, _)| whole(*at)) else {
        return line.to_owned();
    };
    let (before, after) = line.split_at(at);
    let after = after.get(old.len()..).unwrap_or_default();
    match new {
        "" if before.ends_with(' ') => format!("{}{after}", before.trim_end_matches(' ')),
        "" => format!("{before}{}", after.trim_start_matches(' ')),
        _ => format!("{before}{new}{after}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::Trees;
    use crate::stamp::Time;
    use crate::tree::{Stat, Tree};

    #[test]
    fn words_are_taken_out_whole() {
        for (line, expected) in [
            ("A=\"quiet resume=UUID=1 splash\"", "A=\"quiet splash\""),
            ("A=\"resume=UUID=1 splash\"", "A=\"splash\""),
            ("A=\"quiet resume=UUID=1\"", "A=\"quiet\""),
            ("A=\"resume=UUID=1\"", "A=\"\""),
            ("resume=UUID=12", "resume=UUID=12"),
            ("xresume=UUID=1", "xresume=UUID=1"),
            ("resume=UUID=12 resume=UUID=1", "resume=UUID=12"),
        ] {
            assert_eq!(replaced(line, "resume=UUID=1", ""), expected);
        }
        assert_eq!(replaced("RESUME=UUID=1", "UUID=1", "none"), "RESUME=none");
    }
    #[test]
    fn words_are_taken_out_of_the_line_that_has_them() {
        let stat = |mode| Stat::root(mode, Time::default());
        let empty = || Tree::new(stat(0o755));
        let mut trees = Trees {
            root: empty(),
            boot: empty(),
            data: empty(),
        };
        let path = "/etc/default/grub";
        let text = "A=\"quiet \\\nresume=UUID=1 splash\"\n";
        let root = &mut trees.root;
        root.put_file(path, text.as_bytes().to_vec(), stat(0o644))
            .unwrap();
        let mut work = Workspace::new(&mut trees, Time::default());
        let file = (false, path.to_owned());
        let mut edits = LineEdits::default();
        edits.replace(&mut work, &file, 1..=2, ["resume=UUID=1", ""]);
        assert!(work.problems.0.is_empty());
        // What is no longer there cannot be taken out: that is said.
        edits.replace(&mut work, &file, 1..=2, ["resume=UUID=1", ""]);
        let problem = work.problems.0.pop().unwrap();
        assert!(
            problem
                .message
                .starts_with("/etc/default/grub:1: resume=UUID=1 ")
        );
        edits.apply(&mut work);
        let text = work.root.text(path, 99).unwrap();
        assert_eq!(text.as_deref(), Some("A=\"quiet \\\nsplash\"\n"));
    }
}
