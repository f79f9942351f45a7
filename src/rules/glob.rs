//! Text with `*` and `?`.

use std::fmt;

/// A pattern for a whole text: `*` stands for any characters, `?` for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(String);

impl Glob {
    /// A pattern of this text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Whether it matches all of `text`.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let pattern: Vec<char> = self.0.chars().collect();
        let text: Vec<char> = text.chars().collect();
        let (mut p, mut t) = (0, 0);
        // Where the last `*` is, and how far it reaches.
        let mut star: Option<(usize, usize)> = None;
        while t < text.len() {
            match (pattern.get(p), star) {
                (Some('*'), _) => {
                    star = Some((p, t));
                    p += 1;
                }
                (Some(c), _) if *c == '?' || Some(c) == text.get(t) => {
                    p += 1;
                    t += 1;
                }
                (_, Some((at, reached))) => {
                    star = Some((at, reached + 1));
                    p = at + 1;
                    t = reached + 1;
                }
                (_, None) => return false,
            }
        }
        pattern.iter().skip(p).all(|c| *c == '*')
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_texts_match() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("1:9.2*", "1:9.2p1-2", true),
            ("1:9.2*", "1:9.1", false),
            ("*ready*", "all is ready now", true),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbXbX", false),
            ("?.?", "1.2", true),
            ("?.?", "1.22", false),
            ("ä*", "ä/x", true),
        ] {
            assert_eq!(
                Glob::new(pattern).matches(text),
                expected,
                "{pattern} {text}"
            );
        }
    }
}
