//! A stack: the managed blocks of a file of `/etc/pam.d`.

use super::super::super::md5::md5_of;
use super::profile::Profile;
use crate::stream::Content;
use std::collections::{BTreeMap, BTreeSet};

/// The remarks around the two managed blocks, in their order.
const PRIMARY: &str = "# here are the per-package modules (the \"Primary\" block)";
const FALLBACK: &str = "# here's the fallback if no module succeeds";
const ADDITIONAL: &str = "# and here are more per-package modules (the \"Additional\" block)";
const END: &str = "# end of pam-auth-update config";
/// The line of a primary block that is otherwise empty.
const PERMIT: &str = "[default=1]\t\t\tpam_permit.so\n";

/// What the administrator changed in a stack.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// The profiles of its lines.
    pub(super) profiles: Vec<String>,
    /// Options that were added and removed, by the module with its control.
    add: BTreeMap<String, BTreeSet<String>>,
    remove: BTreeMap<String, BTreeSet<String>>,
}

/// The name of a type of stack as its files have it.
fn plain(kind: &str) -> &str {
    kind.strip_suffix("-noninteractive").unwrap_or(kind)
}

/// A line of a stack without its type: the control with the module, and the options.
fn split(line: &str) -> Option<(&str, &str)> {
    let control = match line.strip_prefix('[') {
        Some(rest) => rest.find(']').filter(|at| *at > 0)? + 2,
        None => line
            .find(|c: char| !(c.is_alphanumeric() || c == '_'))
            .filter(|at| *at > 0)?,
    };
    let rest = line.get(control..)?;
    let module = rest.trim_start();
    let blanks = rest.len() - module.len();
    let len = module.find(char::is_whitespace).unwrap_or(module.len());
    if blanks == 0 || len == 0 {
        return None;
    }
    let (head, options) = line.split_at(control + blanks + len);
    Some((head, options.trim_start()))
}

/// A line without the length of its jump, which changes with the lines after it.
fn without_jump(line: &str) -> String {
    let found = line.find('[').and_then(|open| {
        let start = open + line.get(open..)?.find(|c: char| c.is_ascii_digit())?;
        let digits = line.get(start..)?;
        let len = digits
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(digits.len());
        let after = digits.get(len..)?;
        after
            .contains(']')
            .then(|| format!("{}{after}", &line[..start]))
    });
    found.unwrap_or_else(|| line.to_owned())
}

/// A line without the word that stands for the end of the block in a jump.
fn without_end(line: &str) -> String {
    let found = line.find('[').and_then(|open| {
        let close = line.rfind(']').filter(|close| *close > open)?;
        let inner = line.get(open + 1..close)?;
        let at = open + 1 + inner.rfind("end")?;
        Some(format!("{}{}", line.get(..at)?, line.get(at + 3..)?))
    });
    found.unwrap_or_else(|| line.to_owned())
}

/// What the administrator changed in the stack `current` since its lines were saved; `None` if it
/// has lines that are not saved, or lacks the remarks around the blocks.
pub(super) fn changes(kind: &str, saved: &str, current: &str) -> Option<Changes> {
    let mut known = Vec::new();
    let mut profile = "";
    for line in saved.lines() {
        match line.strip_prefix("Module: ") {
            Some(name) => profile = name,
            None => known.push((profile, without_end(&without_jump(line)))),
        }
    }
    let mut known = known.into_iter();
    let mut out = Changes::default();
    let mut state = 0;
    for line in current.lines() {
        let bare = line
            .strip_prefix(plain(kind))
            .filter(|rest| rest.starts_with(char::is_whitespace))
            .map_or(line, str::trim_start);
        match state {
            0 | 2 => {
                let mark = if state == 0 { PRIMARY } else { ADDITIONAL };
                state += i32::from(line.starts_with(mark));
                continue;
            }
            1 if bare.starts_with(FALLBACK) => {
                state = 2;
                continue;
            }
            3 if line.starts_with(END) => break,
            _ => {}
        }
        let bare = without_jump(bare);
        let found = known.find_map(|(profile, saved)| {
            let (head, options) = split(&saved)?;
            let now = bare.strip_prefix(head)?.trim_start().to_owned();
            Some((profile, head.to_owned(), options.to_owned(), now))
        });
        let (profile, head, before, now) = found?;
        out.profiles.push(profile.to_owned());
        let words = |text: &str| -> BTreeSet<String> {
            text.split_whitespace().map(str::to_owned).collect()
        };
        let (before, now) = (words(&before), words(&now));
        let difference = |a: &BTreeSet<String>, b: &BTreeSet<String>| {
            a.difference(b).cloned().collect::<Vec<_>>()
        };
        out.add
            .entry(head.clone())
            .or_default()
            .extend(difference(&now, &before));
        out.remove
            .entry(head)
            .or_default()
            .extend(difference(&before, &now));
    }
    (state == 3).then_some(out)
}

/// The digest of a stack without its managed blocks.
pub(super) fn digest(text: &str) -> String {
    let mut out = String::new();
    let mut state = 0;
    for line in text.split_inclusive('\n') {
        match state {
            1 | 3 => {
                let mark = if state == 1 { FALLBACK } else { END };
                if !line.starts_with(mark) {
                    continue;
                }
                state += 1;
            }
            0 => state += i32::from(line.starts_with(PRIMARY)),
            2 => state += i32::from(line.starts_with(ADDITIONAL)),
            _ => {}
        }
        out.push_str(line);
    }
    md5_of(&Content::bytes(out.into_bytes())).unwrap_or_default()
}

/// The lines of one type of stack, by profiles.
pub(super) struct Stack<'a> {
    kind: &'a str,
    /// Profiles with their kind of block and lines.
    parts: Vec<(&'a str, &'a str, Vec<&'a str>)>,
}

impl<'a> Stack<'a> {
    pub(super) fn new(
        kind: &'a str,
        profiles: &'a BTreeMap<String, Profile>,
        enabled: &[&'a str],
    ) -> Self {
        let field = match kind.split_at_checked(1) {
            Some((first, rest)) => first.to_uppercase() + rest,
            None => String::new(),
        };
        let mut parts = Vec::new();
        let mut begun = BTreeSet::new();
        for name in enabled {
            let Some(profile) = profiles.get(*name) else {
                continue;
            };
            let block = profile.field(&format!("{field}-Type"));
            if block.is_empty() {
                continue;
            }
            let first = profile.field(&format!("{field}-Initial"));
            let lines = if begun.insert(block) && !first.is_empty() {
                first
            } else {
                profile.field(&field)
            };
            let lines = lines.split('\n').filter(|line| !line.is_empty()).collect();
            parts.push((*name, block, lines));
        }
        Self { kind, parts }
    }

    fn block(&self, block: &str) -> impl Iterator<Item = &(&'a str, &'a str, Vec<&'a str>)> {
        let parts = self.parts.iter();
        parts.filter(move |(_, own, _)| *own == block)
    }

    /// The file, from one with the remarks; `None` without all of these, and for lines that have
    /// not the form of a stack.
    pub(super) fn text(&self, template: &str, changes: &mut Changes) -> Option<String> {
        let mut out = String::new();
        let mut state = 0;
        for line in template.split_inclusive('\n') {
            match state {
                1 | 3 => {
                    let mark = if state == 1 { FALLBACK } else { END };
                    if line.starts_with(mark) {
                        out.push_str(line);
                        state += 1;
                    }
                    continue;
                }
                _ => out.push_str(line),
            }
            let (mark, block) = match state {
                0 => (PRIMARY, "Primary"),
                2 => (ADDITIONAL, "Additional"),
                _ => continue,
            };
            if line.starts_with(mark) {
                self.lines(block, changes, &mut out)?;
                state += 1;
            }
        }
        (state == 4).then_some(out)
    }

    /// The lines of a block. A jump to the end passes over those that are left, and in the second
    /// block it goes to the last of them.
    fn lines(&self, block: &str, changes: &mut Changes, out: &mut String) -> Option<()> {
        let kind = plain(self.kind);
        let lines: Vec<&str> = self
            .block(block)
            .flat_map(|(_, _, lines)| lines)
            .copied()
            .collect();
        let mut count = i64::try_from(lines.len()).ok()?;
        if block == "Additional" {
            count -= 1;
        } else if count == 0 {
            out.push_str(&format!("{kind}\t{PERMIT}"));
        }
        for line in lines {
            let (head, options) = split(line)?;
            let head = head.replace("end", &count.to_string());
            let key = without_jump(&head);
            let none = BTreeSet::new();
            let removed = changes.remove.get(&key).unwrap_or(&none);
            let mut words = Vec::new();
            for option in options.split_whitespace() {
                if let Some(added) = changes.add.get_mut(&key) {
                    added.remove(option);
                }
                if !removed.contains(option) {
                    words.push(option);
                }
            }
            let added = changes.add.get(&key).unwrap_or(&none);
            words.extend(added.iter().map(String::as_str));
            out.push_str(&format!("{kind}\t{head} {}\n", words.join(" ")));
            count -= 1;
        }
        Some(())
    }

    /// The lines as they are remembered.
    pub(super) fn saved(&self) -> String {
        let mut out = String::new();
        let mut part = |name: &str, lines: &[&str]| {
            if !lines.is_empty() {
                out.push_str(&format!("Module: {name}\n{}\n", lines.join("\n")));
            }
        };
        let mut primary = 0;
        for (name, block, lines) in &self.parts {
            if *block == "Primary" {
                part(name, lines);
                primary += 1;
            }
        }
        if primary == 0 {
            part("null", &[PERMIT.trim_end()]);
        }
        for (name, _, lines) in self.block("Additional") {
            part(name, lines);
        }
        out
    }
}
