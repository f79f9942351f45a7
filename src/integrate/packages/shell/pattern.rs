//! Patterns: `*`, `?` and brackets (POSIX.1-2024, Shell Command Language, 2.14).

/// A character of a pattern and whether it was quoted, which makes it stand for itself.
pub(in super::super) type PatternChar = (char, bool);

/// A pattern without any quoting.
pub(in super::super) fn plain(text: &str) -> Vec<PatternChar> {
    text.chars().map(|c| (c, false)).collect()
}

/// Whether the pattern has a character that stands for others.
pub(in super::super) fn is_wild(pattern: &[PatternChar]) -> bool {
    pattern.iter().any(|(c, quoted)| !quoted && "*?[".contains(*c))
}

/// Whether `pattern` matches all of `text`.
pub(in super::super) fn matches(pattern: &[PatternChar], text: &[char]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&('*', false)) {
            star = Some((p, t));
            p += 1;
        } else if let Some(len) = one(pattern.get(p..).unwrap_or_default(), text.get(t).copied()) {
            p += len;
            t += 1;
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            (p, t) = (at + 1, from + 1);
        } else {
            return false;
        }
    }
    pattern.iter().skip(p).all(|c| *c == ('*', false))
}

/// How many characters of the pattern match the one character, when they do.
fn one(pattern: &[PatternChar], c: Option<char>) -> Option<usize> {
    let c = c?;
    match pattern.first()? {
        ('?', false) => Some(1),
        ('[', false) => bracket(pattern, c).or_else(|| (c == '[').then_some(1)),
        (other, _) => (*other == c).then_some(1),
    }
}

fn bracket(pattern: &[PatternChar], c: char) -> Option<usize> {
    let negated = matches!(pattern.get(1), Some(('!' | '^', false)));
    let start = if negated { 2 } else { 1 };
    let end = (start + 1..pattern.len()).find(|at| pattern.get(*at) == Some(&(']', false)))?;
    let inner = pattern.get(start..end)?;
    let mut found = false;
    let mut at = 0;
    while let Some((low, _)) = inner.get(at) {
        match (inner.get(at + 1), inner.get(at + 2)) {
            (Some(('-', false)), Some((high, _))) => {
                found |= (*low..=*high).contains(&c);
                at += 3;
            }
            _ => {
                found |= *low == c;
                at += 1;
            }
        }
    }
    (found != negated).then_some(end + 1)
}

/// `text` without the shortest or longest beginning that matches.
pub(in super::super) fn strip_prefix(pattern: &[PatternChar], text: &str, longest: bool) -> String {
    let chars: Vec<char> = text.chars().collect();
    let hit = |len: &usize| chars.get(..*len).is_some_and(|part| matches(pattern, part));
    let len = if longest { (0..=chars.len()).rev().find(hit) } else { (0..=chars.len()).find(hit) };
    chars.into_iter().skip(len.unwrap_or(0)).collect()
}

/// `text` without the shortest or longest end that matches.
pub(in super::super) fn strip_suffix(pattern: &[PatternChar], text: &str, longest: bool) -> String {
    let chars: Vec<char> = text.chars().collect();
    let hit = |at: &usize| chars.get(*at..).is_some_and(|part| matches(pattern, part));
    let at = if longest { (0..=chars.len()).find(hit) } else { (0..=chars.len()).rev().find(hit) };
    chars.into_iter().take(at.unwrap_or(usize::MAX)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let is = |pattern: &str, text: &str| matches(&plain(pattern), &text.chars().collect::<Vec<_>>());
        for (pattern, text) in
            [("*", ""), ("a*c", "abbc"), ("?[a-c]x", "qbx"), ("[!a]", "b"), ("*.d/*", "x.d/y"), ("[", "["), ("[]a]", "]")]
        {
            assert!(is(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a", "b"), ("a*c", "abd"), ("[!a]", "a"), ("?", ""), ("[ab", "a")] {
            assert!(!is(pattern, text), "{pattern} {text}");
        }
        assert!(!matches(&[('*', true)], &['a']));
        assert_eq!(strip_prefix(&plain("*/"), "a/b/c", false), "b/c");
        assert_eq!(strip_prefix(&plain("*/"), "a/b/c", true), "c");
        assert_eq!(strip_suffix(&plain(".*"), "a.b.c", false), "a.b");
        assert_eq!(strip_suffix(&plain(".*"), "a.b.c", true), "a");
        assert_eq!(strip_suffix(&plain("x"), "abc", true), "abc");
    }
}
