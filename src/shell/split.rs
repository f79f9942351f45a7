//! Splitting at the characters of `IFS`.

/// The characters of an unset `IFS`.
pub(super) const DEFAULT: &str = " \t\n";

/// What a character of unquoted text is to the splitting.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Part of a field.
    Field,
    /// A blank of `IFS`: several of them separate as one.
    Blank,
    /// Another character of `IFS`: each ends a field, be it an empty one.
    Mark,
}

pub(super) fn class(ifs: &str, c: char) -> Class {
    if !ifs.contains(c) {
        Class::Field
    } else if matches!(c, ' ' | '\t' | '\n') {
        Class::Blank
    } else {
        Class::Mark
    }
}

/// The values that `read` gives to `count` variables: the last one takes the rest of the line. Each
/// character of the line says whether it was quoted by a backslash.
pub(super) fn for_read(line: &[(char, bool)], ifs: &str, count: usize) -> Vec<String> {
    let class = |at: usize| match line.get(at) {
        Some((c, false)) => class(ifs, *c),
        _ => Class::Field,
    };
    let skip = |mut at: usize| {
        while at < line.len() && class(at) == Class::Blank {
            at += 1;
        }
        at
    };
    let text = |from: usize, to: usize| -> String {
        line.get(from..to)
            .unwrap_or_default()
            .iter()
            .map(|(c, _)| c)
            .collect()
    };
    let field = |from: usize| {
        let mut at = from;
        while at < line.len() && class(at) == Class::Field {
            at += 1;
        }
        // Blanks around a mark belong to it.
        let mut next = skip(at);
        if next < line.len() && class(next) == Class::Mark {
            next = skip(next + 1);
        }
        (at, next)
    };
    let mut out = Vec::new();
    let mut at = skip(0);
    while out.len() + 1 < count {
        let (end, next) = field(at);
        out.push(text(at, end));
        at = next;
    }
    // The rest is one field if it has no more, and else all of it without blanks at its end.
    let (end, next) = field(at);
    let mut to = if next >= line.len() { end } else { line.len() };
    while to > at && class(to - 1) == Class::Blank {
        to -= 1;
    }
    out.push(text(at, to));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variables_of_read() {
        let read = |line: &str, ifs: &str, count| {
            let line: Vec<_> = line.chars().map(|c| (c, false)).collect();
            for_read(&line, ifs, count)
        };
        for (line, ifs, count, values) in [
            ("a:b:c d", ":", 3, &["a", "b", "c d"][..]),
            ("a:b:c:d", ":", 2, &["a", "b:c:d"]),
            ("a::c", ":", 3, &["a", "", "c"]),
            ("a:b:", ":", 2, &["a", "b"]),
            ("a\tb  c   d", DEFAULT, 2, &["a", "b  c   d"]),
            ("  lead  trail  ", DEFAULT, 2, &["lead", "trail"]),
            ("  x  ", DEFAULT, 1, &["x"]),
            ("  x  ", "", 1, &["  x  "]),
            ("a , b", ", ", 2, &["a", "b"]),
            ("", DEFAULT, 2, &["", ""]),
        ] {
            assert_eq!(read(line, ifs, count), values, "{line:?} at {ifs:?}");
        }
    }
}
