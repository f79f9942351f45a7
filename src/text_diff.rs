//! The lines in which two texts differ, in the unified form of `diff -u` (POSIX `diff`).

use std::fmt::Write as _;

/// Lines of context around a change.
const CONTEXT: usize = 3;
/// The largest table of line pairs that is compared; beyond it, everything that differs counts as
/// replaced.
const MAX_PAIRS: usize = 4 << 20;

/// A line of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line<'t> {
    Both(&'t str),
    Old(&'t str),
    New(&'t str),
}

/// The differences as hunks, without the lines that name the files; empty if there are none.
#[must_use]
pub fn unified(old: &str, new: &str) -> String {
    let old: Vec<&str> = old.split_inclusive('\n').collect();
    let new: Vec<&str> = new.split_inclusive('\n').collect();
    let lines = compare(&old, &new);
    let changed = |line: &Line<'_>| !matches!(line, Line::Both(_));
    let mut out = String::new();
    let mut at = 0;
    while let Some(first) = lines.iter().skip(at).position(changed) {
        let first = at + first;
        let mut end = first;
        // A hunk goes on as long as the context of two changes meets.
        while let Some(next) = lines
            .iter()
            .skip(end)
            .take(2 * CONTEXT + 1)
            .position(changed)
        {
            end += next + 1;
        }
        let start = first.saturating_sub(CONTEXT).max(at);
        let end = (end + CONTEXT).min(lines.len());
        hunk(&lines, start, end, &mut out);
        at = end;
    }
    out
}

/// Writes the hunk of the lines from `start` to `end`.
fn hunk(lines: &[Line<'_>], start: usize, end: usize, out: &mut String) {
    let count = |lines: &[Line<'_>], without: fn(&Line<'_>) -> bool| {
        lines.iter().filter(|line| !without(line)).count()
    };
    let is_new: fn(&Line<'_>) -> bool = |line| matches!(line, Line::New(_));
    let is_old: fn(&Line<'_>) -> bool = |line| matches!(line, Line::Old(_));
    let before = lines.get(..start).unwrap_or_default();
    let here = lines.get(start..end).unwrap_or_default();
    let range = |without| {
        let (skipped, len) = (count(before, without), count(here, without));
        // An empty range names the line before it.
        let first = if len == 0 { skipped } else { skipped + 1 };
        format!("{first},{len}")
    };
    let _ = writeln!(out, "@@ -{} +{} @@", range(is_new), range(is_old));
    for line in here {
        let (mark, text) = match line {
            Line::Both(text) => (' ', text),
            Line::Old(text) => ('-', text),
            Line::New(text) => ('+', text),
        };
        let _ = writeln!(out, "{mark}{}", text.strip_suffix('\n').unwrap_or(text));
        if !text.ends_with('\n') {
            out.push_str("\\ No newline at end of file\n");
        }
    }
}

/// All lines of both texts: those of a longest common subsequence once.
fn compare<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<Line<'t>> {
    let same = |pair: &(&&str, &&str)| pair.0 == pair.1;
    let head = old.iter().zip(new).take_while(same).count();
    let (common, old) = old.split_at(head);
    let new = new.get(head..).unwrap_or_default();
    let tail = old
        .iter()
        .rev()
        .zip(new.iter().rev())
        .take_while(same)
        .count();
    let (old, end) = old.split_at(old.len() - tail);
    let new = new.get(..new.len() - tail).unwrap_or_default();
    let both = |lines: &[&'t str]| {
        lines
            .iter()
            .map(|line| Line::Both(line))
            .collect::<Vec<_>>()
    };
    let mut out = both(common);
    out.extend(differing(old, new));
    out.extend(both(end));
    out
}

/// As [`compare`], for texts that neither begin nor end with the same line.
fn differing<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<Line<'t>> {
    let width = new.len() + 1;
    if old.len().saturating_mul(new.len()) > MAX_PAIRS {
        let old = old.iter().map(|line| Line::Old(line));
        return old.chain(new.iter().map(|line| Line::New(line))).collect();
    }
    // The length of the longest common subsequence from line `i` of the old and `j` of the new on.
    let mut lengths = vec![0_u32; (old.len() + 1) * width];
    let at = |i: usize, j: usize| i * width + j;
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            lengths[at(i, j)] = match old[i] == new[j] {
                true => lengths[at(i + 1, j + 1)] + 1,
                false => lengths[at(i + 1, j)].max(lengths[at(i, j + 1)]),
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut out = Vec::new();
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            out.push(Line::Both(old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || i < old.len() && lengths[at(i + 1, j)] >= lengths[at(i, j + 1)]
        {
            out.push(Line::Old(old[i]));
            i += 1;
        } else {
            out.push(Line::New(new[j]));
            j += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hunks_are_those_of_diff() {
        assert_eq!(unified("a\nb\n", "a\nb\n"), "");
        assert_eq!(unified("", "a\n"), "@@ -0,0 +1,1 @@\n+a\n");
        assert_eq!(
            unified("a\nb", "a\nc\n"),
            "@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+c\n"
        );
        let old: String = (1..=20).map(|number| format!("{number}\n")).collect();
        let new = old.replace("5\n6\n", "5\nx\n").replace("20\n", "");
        let expected = "@@ -3,7 +3,7 @@\n 3\n 4\n 5\n-6\n+x\n 7\n 8\n 9\n\
                        @@ -17,4 +17,3 @@\n 17\n 18\n 19\n-20\n";
        assert_eq!(unified(&old, &new), expected);
        // Changes whose context meets are one hunk.
        let near = old.replace("5\n6\n", "5\n").replace("11\n", "y\n");
        assert_eq!(unified(&old, &near).matches("@@ -").count(), 1);
    }

    #[test]
    fn a_comparison_has_every_line_of_both() {
        let old = ["a", "b", "c", "a", "b", "b", "a"];
        let new = ["c", "b", "a", "b", "a", "c"];
        let lines = compare(&old, &new);
        let of = |skip: fn(&Line<'_>) -> bool| {
            let lines = lines.iter().filter(|line| !skip(line));
            let texts = lines.map(|line| match line {
                Line::Both(text) | Line::Old(text) | Line::New(text) => *text,
            });
            texts.collect::<Vec<_>>()
        };
        assert_eq!(of(|line| matches!(line, Line::New(_))), old);
        assert_eq!(of(|line| matches!(line, Line::Old(_))), new);
        let common = lines.iter().filter(|line| matches!(line, Line::Both(_)));
        assert_eq!(common.count(), 4);
    }
}
