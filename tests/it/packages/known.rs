//! The table of differences that do no harm.

use super::compare::Difference;
use std::fmt;

/// Differences that are known, each with its reason.
pub(super) struct Known {
    /// What differs, the pattern of paths, the reason.
    pub(super) entries: Vec<(String, String, String)>,
    /// How many of them are needed where nothing older is installed: the first ones.
    pub(super) fresh: usize,
}

impl Known {
    pub(super) fn read() -> Self {
        Self::parse(include_str!("known.txt"))
    }

    fn parse(text: &'static str) -> Self {
        let lines = |text: &'static str| {
            text.lines()
                .filter(|line| !line.starts_with('#') && !line.is_empty())
        };
        let entry = |line: &str| {
            let (place, reason) = line.split_once("  ").expect("a path and a reason");
            let (what, path) = place.split_once(' ').expect("what differs and a path");
            assert!(["missing", "extra", "other"].contains(&what), "{line}");
            (what.to_owned(), path.to_owned(), reason.to_owned())
        };
        let (fresh, upgrades) = text.split_once("\n[upgrades]\n").unwrap_or((text, ""));
        let mut entries: Vec<_> = lines(fresh).map(entry).collect();
        let fresh = entries.len();
        entries.extend(lines(upgrades).map(entry));
        Self { entries, fresh }
    }

    /// The number of the entry that explains the difference.
    pub(super) fn explain(&self, difference: &Difference) -> Option<usize> {
        self.entries.iter().position(|(what, pattern, _)| {
            *what == difference.what() && matches(pattern, &difference.path)
        })
    }
}

/// Whether a path is of a pattern, where `*` is any text.
fn matches(pattern: &str, path: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == path;
    };
    let Some(path) = path.strip_prefix(start) else {
        return false;
    };
    (0..=path.len()).any(|at| path.is_char_boundary(at) && matches(rest, &path[at..]))
}

impl Difference {
    fn what(&self) -> &'static str {
        match (&self.ours, &self.theirs) {
            (None, _) => "missing",
            (_, None) => "extra",
            _ => "other",
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Of two texts, the lines that the other has not.
        let lines = |facts: &Option<String>, other: &Option<String>| {
            let facts = facts.clone().unwrap_or_else(|| "nothing".into());
            let other = other.clone().unwrap_or_default();
            let other: Vec<&str> = other.split("\\n").collect();
            let own: Vec<&str> = facts
                .split("\\n")
                .filter(|line| !other.contains(line))
                .collect();
            if own.is_empty() {
                "the same lines".to_owned()
            } else {
                own.join("\n    ")
            }
        };
        let (ours, theirs) = (
            lines(&self.ours, &self.theirs),
            lines(&self.theirs, &self.ours),
        );
        write!(
            f,
            "{}\n  goldsmith: {ours}\n  dpkg:      {theirs}",
            self.path
        )
    }
}

#[test]
fn a_difference_is_known_by_what_differs_and_where() {
    let known = Known::parse("# text\nother /a/*/c  why\nmissing /x  why not\n");
    let difference = |path: &str, ours: Option<&str>, theirs: Option<&str>| Difference {
        path: path.into(),
        ours: ours.map(str::to_owned),
        theirs: theirs.map(str::to_owned),
    };
    let number = |difference| known.explain(&difference);
    assert_eq!(number(difference("/a/b/c", Some("1"), Some("2"))), Some(0));
    assert_eq!(number(difference("/a/b/c", None, Some("2"))), None);
    assert_eq!(number(difference("/a/b", Some("1"), Some("2"))), None);
    assert_eq!(number(difference("/x", None, Some("2"))), Some(1));
    assert_eq!(number(difference("/x", Some("1"), None)), None);
}
