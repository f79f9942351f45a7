//! Patterns: `*`, `?` and brackets (POSIX.1-2024, Shell Command Language, 2.14).

/// A character of a pattern and whether it was quoted: a quoted one matches only itself.
pub(super) type PatternChar = (char, bool);

/// A pattern without any quoting.
pub(super) fn plain(text: &str) -> Vec<PatternChar> {
    text.chars().map(|c| (c, false)).collect()
}

/// Whether the pattern has an unquoted `*`, `?` or `[`.
pub(super) fn is_wild(pattern: &[PatternChar]) -> bool {
    let mark = |wanted: &str, part: &[PatternChar]| {
        let found = |(c, quoted): &PatternChar| !quoted && wanted.contains(*c);
        part.iter().position(found)
    };
    // A bracket that nothing closes is one.
    let open = mark("[", pattern).and_then(|at| pattern.get(at..));
    mark("*?", pattern).is_some() || open.is_some_and(|rest| mark("]", rest).is_some())
}

/// Whether `pattern` matches all of `text`.
pub(super) fn matches(pattern: &[PatternChar], text: &[char]) -> bool {
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

/// Where the inside of the bracket that opens a pattern begins: after the sign that negates it.
fn inside(pattern: &[PatternChar]) -> usize {
    if matches!(pattern.get(1), Some(('!' | '^', false))) {
        2
    } else {
        1
    }
}

/// Where the bracket that opens a pattern is closed; right after the opening one, `]` is an
/// ordinary character.
fn closing(pattern: &[PatternChar]) -> Option<usize> {
    let mut at = inside(pattern);
    let first = at;
    while at < pattern.len() {
        if let Some(len) = class_at(pattern.get(at..)?) {
            at += len;
        } else if at > first && pattern.get(at) == Some(&(']', false)) {
            return Some(at);
        } else {
            at += 1;
        }
    }
    None
}

/// The length of the class that begins here: `[:alpha:]`.
fn class_at(pattern: &[PatternChar]) -> Option<usize> {
    let ([('[', false), (':', false)], rest) = pattern.split_at_checked(2)? else {
        return None;
    };
    let end = rest
        .windows(2)
        .position(|two| matches!(two, [(':', _), (']', _)]))?;
    Some(end + 4)
}

/// Whether a character is of the class of this name.
fn of_class(name: &str, c: char) -> bool {
    match name {
        "alpha" => c.is_alphabetic(),
        "digit" => c.is_ascii_digit(),
        "alnum" => c.is_alphanumeric(),
        "upper" => c.is_uppercase(),
        "lower" => c.is_lowercase(),
        "space" => c.is_whitespace(),
        "blank" => matches!(c, ' ' | '\t'),
        "punct" => c.is_ascii_punctuation(),
        "xdigit" => c.is_ascii_hexdigit(),
        "cntrl" => c.is_control(),
        "print" => !c.is_control(),
        "graph" => !c.is_control() && !c.is_whitespace(),
        _ => false,
    }
}

fn bracket(pattern: &[PatternChar], c: char) -> Option<usize> {
    let (start, end) = (inside(pattern), closing(pattern)?);
    let negated = start == 2;
    let inner = pattern.get(start..end)?;
    let mut found = false;
    let mut at = 0;
    while let Some((low, _)) = inner.get(at) {
        if let Some(len) = class_at(inner.get(at..)?) {
            let name: String = inner
                .get(at + 2..at + len - 2)?
                .iter()
                .map(|(c, _)| c)
                .collect();
            found |= of_class(&name, c);
            at += len;
            continue;
        }
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

/// The largest work of matching a text of `len` characters against a pattern, where reading a byte
/// counts as 1.
pub(super) fn cost(pattern: &[PatternChar], len: usize) -> u64 {
    (pattern.len() as u64).saturating_mul(len as u64) / 2
}

/// One part of a pattern: what it matches.
enum Token<'p> {
    /// `*`: any characters, or none.
    Any,
    /// One character, by its own pattern.
    One(&'p [PatternChar]),
}

fn tokens(pattern: &[PatternChar]) -> Vec<Token<'_>> {
    let mut out = Vec::new();
    let mut rest = pattern;
    while let Some(first) = rest.first() {
        let closed = if *first == ('[', false) {
            closing(rest)
        } else {
            None
        };
        let (one, after) = rest.split_at(closed.map_or(1, |end| end + 1));
        out.push(if *first == ('*', false) {
            Token::Any
        } else {
            Token::One(one)
        });
        rest = after;
    }
    out
}

/// For each length, whether so many of the characters match all tokens. All lengths are found in
/// one pass over the characters.
fn hits<'p>(tokens: &[&Token<'p>], chars: impl Iterator<Item = char>) -> Vec<bool> {
    // Which tokens may come next; the last means that all were matched.
    let mut states = vec![false; tokens.len() + 1];
    states[0] = true;
    let skip_stars = |states: &mut [bool]| {
        for (at, token) in tokens.iter().enumerate() {
            if states[at] && matches!(token, Token::Any) {
                states[at + 1] = true;
            }
        }
    };
    skip_stars(&mut states);
    let mut out = vec![states[tokens.len()]];
    for c in chars {
        let mut next = vec![false; states.len()];
        for (at, token) in tokens.iter().enumerate().filter(|(at, _)| states[*at]) {
            match token {
                Token::Any => next[at] = true,
                Token::One(one) => next[at + 1] |= self::one(one, Some(c)) == Some(one.len()),
            }
        }
        skip_stars(&mut next);
        states = next;
        out.push(states[tokens.len()]);
    }
    out
}

/// `text` without the shortest or longest beginning that matches.
pub(super) fn strip_prefix(pattern: &[PatternChar], text: &str, longest: bool) -> String {
    let tokens = tokens(pattern);
    let hits = hits(&tokens.iter().collect::<Vec<_>>(), text.chars());
    let len = if longest {
        hits.iter().rposition(|hit| *hit)
    } else {
        hits.iter().position(|hit| *hit)
    };
    text.chars().skip(len.unwrap_or(0)).collect()
}

/// `text` without the shortest or longest end that matches.
pub(super) fn strip_suffix(pattern: &[PatternChar], text: &str, longest: bool) -> String {
    let tokens = tokens(pattern);
    let hits = hits(&tokens.iter().rev().collect::<Vec<_>>(), text.chars().rev());
    let len = if longest {
        hits.iter().rposition(|hit| *hit)
    } else {
        hits.iter().position(|hit| *hit)
    };
    text.chars()
        .take(hits.len() - 1 - len.unwrap_or(0))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let is =
            |pattern: &str, text: &str| matches(&plain(pattern), &text.chars().collect::<Vec<_>>());
        for (pattern, text) in [
            ("*", ""),
            ("a*c", "abbc"),
            ("?[a-c]x", "qbx"),
            ("[!a]", "b"),
            ("*.d/*", "x.d/y"),
            ("[", "["),
            ("[]a]", "]"),
            ("[[:digit:]x]", "7"),
            ("[![:alpha:]_]", "7"),
        ] {
            assert!(is(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("a", "b"),
            ("a*c", "abd"),
            ("[!a]", "a"),
            ("?", ""),
            ("[ab", "a"),
            ("[[:digit:]]", ":"),
            ("[![:alpha:]]", "a"),
        ] {
            assert!(!is(pattern, text), "{pattern} {text}");
        }
        assert!(!matches(&[('*', true)], &['a']));
        assert_eq!(strip_prefix(&plain("*/"), "a/b/c", false), "b/c");
        assert_eq!(strip_prefix(&plain("*/"), "a/b/c", true), "c");
        assert_eq!(strip_suffix(&plain(".*"), "a.b.c", false), "a.b");
        assert_eq!(strip_suffix(&plain(".*"), "a.b.c", true), "a");
        assert_eq!(strip_suffix(&plain("x"), "abc", true), "abc");
        assert_eq!(strip_suffix(&plain("[0-9]*"), "a1b2", false), "a1b");
        assert_eq!(strip_suffix(&plain("[0-9]*"), "a1b2", true), "a");
        assert_eq!(strip_prefix(&plain("?[!]x]"), "]a[", false), "[");
        assert_eq!(strip_prefix(&plain("[]a]b"), "]bc", true), "c");
        assert_eq!(
            (
                strip_prefix(&plain(""), "ab", true),
                strip_suffix(&plain("*"), "ab", true)
            ),
            ("ab".into(), "".into())
        );
        assert_eq!(strip_suffix(&plain("[b"), "a[b", true), "a");
    }

    /// However long the pattern and the text are, each pair of positions is visited once.
    #[test]
    fn stars_do_not_multiply() {
        let stars = plain(&"*a".repeat(300));
        let text = "a".repeat(20_000);
        assert_eq!(strip_suffix(&stars, &text, false).len(), 20_000 - 300);
        assert_eq!(
            strip_prefix(&[&stars[..], &plain("b")].concat(), &text, true).len(),
            20_000
        );
        assert!(cost(&stars, text.len()) > 500_000);
    }
}
