//! Findings: a stable code, a severity, a location, and the two facts that disagree.

use super::numbers::widen;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Note,
    /// Devices work, with a limitation.
    Warning,
    /// The image must not be shipped.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// The location of a finding; fields that do not apply are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Location {
    /// The number of the partition, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<u32>,
    /// The number of the inode, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inode: Option<u32>,
    /// Bytes from the start of the partition, or of the disk if no partition is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// The path of the file, from the root of its filesystem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The line of that file, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

impl Location {
    /// The disk or the Artifact as a whole.
    #[must_use]
    pub fn whole() -> Self {
        Self::default()
    }

    /// The partition with this number in the table.
    #[must_use]
    pub fn partition(number: u32) -> Self {
        Self {
            partition: Some(number),
            ..Self::default()
        }
    }

    /// A partition, or all of the checked source if there is none.
    #[must_use]
    pub fn of(partition: Option<u32>) -> Self {
        Self {
            partition,
            ..Self::default()
        }
    }

    /// The same with an inode.
    #[must_use]
    pub fn inode(self, number: u32) -> Self {
        Self {
            inode: Some(number),
            ..self
        }
    }

    /// The same with an offset in bytes.
    #[must_use]
    pub fn offset(self, offset: u64) -> Self {
        Self {
            offset: Some(offset),
            ..self
        }
    }

    /// The same with a path.
    #[must_use]
    pub fn path(self, path: impl Into<String>) -> Self {
        Self {
            path: Some(path.into()),
            ..self
        }
    }

    /// The same with a line of the file.
    #[must_use]
    pub fn line(self, number: u32) -> Self {
        Self {
            line: Some(number),
            ..self
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            self.partition.map(|number| format!("partition {number}")),
            self.inode.map(|number| format!("inode {number}")),
            self.path.as_ref().map(|path| match self.line {
                Some(line) => format!("{path}:{line}"),
                None => path.clone(),
            }),
            self.offset.map(|offset| format!("offset {offset:#x}")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(&parts.join(", "))
    }
}

/// One fault that a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Finding {
    /// Whether the image can be shipped.
    pub severity: Severity,
    /// A name for this kind of finding that stays the same from version to version, such as
    /// `ext4-links`.
    pub code: &'static str,
    /// The place of the fault.
    pub place: Location,
    /// The fault: a lower-case fact with both numbers, without a final period.
    pub text: String,
}

impl Finding {
    /// The finding as a sentence whose reader sees elsewhere how severe it is.
    #[must_use]
    pub fn sentence(&self) -> String {
        let place = self.place.to_string();
        let colon = if place.is_empty() { "" } else { ": " };
        format!("{place}{colon}{} (check {})", self.text, self.code)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.place.to_string();
        let colon = if place.is_empty() { "" } else { ": " };
        write!(
            f,
            "{}[{}]: {place}{colon}{}",
            self.severity, self.code, self.text
        )
    }
}

/// A group of checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CheckGroup {
    /// The subject of the checks, such as `ext4 on partition 2`.
    pub name: String,
    /// The number of single checks that passed.
    pub passed: u64,
    /// The number of single checks that failed.
    pub failed: u64,
}

impl fmt::Display for CheckGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "checked {}: {} passed", self.name, self.passed)?;
        match self.failed {
            0 => Ok(()),
            failed => write!(f, ", {failed} failed"),
        }
    }
}

/// Findings of one code in one group beyond this are counted, not kept.
const KEPT: u64 = 20;

/// Collects findings and counts checks.
#[derive(Clone, Debug, Default)]
pub struct Log {
    findings: Vec<Finding>,
    groups: Vec<CheckGroup>,
    seen: BTreeMap<(usize, &'static str), u64>,
}

impl Log {
    /// Begins the group `name`.
    pub fn group(&mut self, name: impl Into<String>) {
        self.groups.push(CheckGroup {
            name: name.into(),
            passed: 0,
            failed: 0,
        });
    }

    /// Counts one check; if it does not hold, `what` gives the place and the fault, which is an
    /// error. Returns `holds`.
    pub fn check(
        &mut self,
        holds: bool,
        code: &'static str,
        what: impl FnOnce() -> (Location, String),
    ) -> bool {
        if holds {
            self.passed(1);
        } else {
            let (place, text) = what();
            self.add(Severity::Error, code, place, text);
        }
        holds
    }

    /// Counts `count` checks that held.
    pub fn passed(&mut self, count: u64) {
        self.count(|group| group.passed = group.passed.saturating_add(count));
    }

    /// As [`Log::passed`], for a length in memory.
    pub(super) fn passed_all(&mut self, count: usize) {
        self.passed(widen(count));
    }

    /// Adds a finding. An error or warning also counts as a failed check; of one code, a group
    /// keeps only the first few.
    pub fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        place: Location,
        text: impl Into<String>,
    ) {
        if severity != Severity::Note {
            self.count(|group| group.failed = group.failed.saturating_add(1));
        }
        let seen = self.seen.entry((self.groups.len(), code)).or_default();
        *seen = seen.saturating_add(1);
        if *seen <= KEPT {
            self.findings.push(Finding {
                severity,
                code,
                place,
                text: text.into(),
            });
        }
    }

    /// Adds a finding that is an error.
    pub fn error(&mut self, code: &'static str, place: Location, text: impl Into<String>) {
        self.add(Severity::Error, code, place, text);
    }

    /// Adds all that another log has: its groups come after those that were begun here.
    pub(super) fn append(&mut self, other: Self) {
        let begun = self.groups.len();
        self.findings.extend(other.findings);
        self.groups.extend(other.groups);
        for ((group, code), count) in other.seen {
            let seen = self.seen.entry((group.saturating_add(begun), code));
            let seen = seen.or_default();
            *seen = seen.saturating_add(count);
        }
    }

    /// How many errors there are so far.
    pub(super) fn errors(&self) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.severity == Severity::Error)
            .count()
    }

    /// The findings so far, to complete them.
    pub(super) fn findings_mut(&mut self) -> &mut Vec<Finding> {
        &mut self.findings
    }

    /// Counts in the current group; one named `checks` if none was begun.
    fn count(&mut self, update: impl FnOnce(&mut CheckGroup)) {
        if self.groups.is_empty() {
            self.group("checks");
        }
        if let Some(group) = self.groups.last_mut() {
            update(group);
        }
    }

    /// Ends the collection: the worst findings first, otherwise in the order of the checks.
    #[must_use]
    pub fn finish(mut self) -> Outcome {
        self.findings
            .sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        let omitted = self
            .seen
            .values()
            .map(|seen| seen.saturating_sub(KEPT))
            .sum();
        Outcome {
            findings: self.findings,
            groups: self.groups,
            omitted,
        }
    }
}

/// The outcome of all checks.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Outcome {
    /// The faults, the worst first.
    pub findings: Vec<Finding>,
    /// All checks that were made, in their order.
    pub groups: Vec<CheckGroup>,
    /// The number of findings that were left out because many others of their group have the same
    /// code.
    pub omitted: u64,
}

impl Outcome {
    /// True when there is no error.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.findings
            .iter()
            .all(|finding| finding.severity != Severity::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_is_appended_is_as_if_it_had_been_written_there() {
        let part = |log: &mut Log, name: &str| {
            log.group(name);
            log.passed(2);
            for inode in 0..25 {
                log.error("a-code", Location::partition(1).inode(inode), name);
            }
            log.add(Severity::Warning, "b-code", Location::whole(), "by the way");
        };
        let mut whole = Log::default();
        for name in ["one", "two", "three"] {
            part(&mut whole, name);
        }
        let (mut first, mut others) = (Log::default(), Log::default());
        part(&mut first, "one");
        for name in ["two", "three"] {
            part(&mut others, name);
        }
        first.append(others);
        let (whole, first) = (whole.finish(), first.finish());
        assert_eq!(first.findings, whole.findings);
        assert_eq!(first.groups, whole.groups);
        assert_eq!((first.omitted, whole.omitted), (15, 15));
    }

    #[test]
    fn many_alike_are_counted_and_the_worst_come_first() {
        let mut log = Log::default();
        log.group("one");
        log.add(Severity::Note, "a-note", Location::whole(), "by the way");
        for inode in 0..30 {
            log.check(inode > 100, "a-code", || {
                (Location::partition(2).inode(inode), "1 is not 2".into())
            });
        }
        log.group("two");
        assert!(log.check(true, "a-code", || unreachable!()));
        let outcome = log.finish();
        assert_eq!((outcome.findings.len(), outcome.omitted), (21, 10));
        assert_eq!(
            (outcome.groups[0].failed, outcome.groups[1].passed),
            (30, 1)
        );
        assert_eq!(
            outcome.findings[0].to_string(),
            "error[a-code]: partition 2, inode 0: 1 is not 2"
        );
        assert_eq!(outcome.findings[20].to_string(), "note[a-note]: by the way");
        assert!(!outcome.is_good());
    }
}
