//! Path patterns: `*` and `?` within a component, `**` across components.

use std::fmt;
use std::str::FromStr;

/// A pattern that is matched against whole paths.
///
/// `*` matches any bytes except `/`, `?` one such byte, and a component `**` any number of
/// components, including none. Everything else matches itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    parts: Vec<Part>,
}

/// A component of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// `**`.
    Any,
    /// One component, which may contain `*` and `?`.
    One(String),
}

impl Part {
    /// The name that this component is, if it matches no other.
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        match self {
            Self::One(text) if !text.contains(['*', '?']) => Some(text),
            Self::One(_) | Self::Any => None,
        }
    }
}

impl Pattern {
    /// The components.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Whether only one path matches: there are no `*` and `?`.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        self.parts.iter().all(|part| part.literal().is_some())
    }

    /// The components below the directory `dir`, if the pattern begins with it literally.
    #[must_use]
    pub fn below(&self, dir: &str) -> Option<&[Part]> {
        let mut rest = self.parts.as_slice();
        for name in dir.split('/').filter(|name| !name.is_empty()) {
            let (first, others) = rest.split_first()?;
            if first.literal() != Some(name) {
                return None;
            }
            rest = others;
        }
        Some(rest)
    }

    /// Whether `path` matches. Leading and repeated slashes of path and pattern are ignored.
    #[must_use]
    pub fn matches(&self, path: &[u8]) -> bool {
        let names: Vec<&[u8]> = path
            .split(|byte| *byte == b'/')
            .filter(|name| !name.is_empty())
            .collect();
        star_match(
            &self.parts,
            &names,
            |part| matches!(part, Part::Any),
            |part, name| match part {
                Part::Any => false,
                Part::One(text) => component_matches(text.as_bytes(), name),
            },
        )
    }
}

/// Whether one component matches `pattern`, which may contain `*` and `?`.
#[must_use]
pub fn component_matches(pattern: &[u8], name: &[u8]) -> bool {
    star_match(
        pattern,
        name,
        |byte| *byte == b'*',
        |pattern, byte| *pattern == b'?' || pattern == byte,
    )
}

/// Matches `items` against `pattern`, in which a star matches any number of items. Only the last
/// star is ever retried, so the time is the product of the lengths at worst.
fn star_match<P, I>(
    pattern: &[P],
    items: &[I],
    star: impl Fn(&P) -> bool,
    equal: impl Fn(&P, &I) -> bool,
) -> bool {
    let (mut p, mut i) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while let Some(item) = items.get(i) {
        match pattern.get(p) {
            Some(part) if star(part) => {
                retry = Some((p + 1, i));
                p += 1;
            }
            Some(part) if equal(part, item) => {
                p += 1;
                i += 1;
            }
            _ => {
                let Some((after, from)) = retry else {
                    return false;
                };
                retry = Some((after, from + 1));
                p = after;
                i = from + 1;
            }
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(star)
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        for name in text.split('/').filter(|name| !name.is_empty()) {
            if name == "." || name == ".." {
                return Err(format!("`{text}` contains the component `{name}`"));
            }
            if name.contains("**") && name != "**" {
                return Err(format!(
                    "`{text}` contains a component with `**` and other characters"
                ));
            }
            parts.push(if name == "**" {
                Part::Any
            } else {
                Part::One(name.to_owned())
            });
        }
        Ok(Self {
            text: text.to_owned(),
            parts,
        })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_patterns() {
        for (pattern, path, expected) in [
            ("/home/user/**", "/home/user/a/b", true),
            ("/home/user/**", "/home/user", true),
            ("/home/user/**", "/home/users/a", false),
            ("/home/*", "/home/a", true),
            ("/home/*", "/home/a/b", false),
            ("/home/*", "/home", false),
            ("/**/x", "/x", true),
            ("/**/x", "/a/b/x", true),
            ("/**/x/**/y", "/a/x/b/x/c/y", true),
            ("/**/x/**/y", "/a/x/b/z", false),
            ("/etc/*.conf", "/etc/a.conf", true),
            ("/etc/*.conf", "/etc/.conf", true),
            ("/etc/*.conf", "/etc/a.conf.d", false),
            ("/etc/a?c", "/etc/abc", true),
            ("/etc/a?c", "/etc/ac", false),
            ("/etc/*a*b*", "/etc/xxaxxbxx", true),
            ("/etc/[a]", "/etc/[a]", true),
            ("/", "/", true),
            ("/", "/a", false),
            ("**", "/", true),
        ] {
            assert_eq!(
                pattern.parse::<Pattern>().unwrap().matches(path.as_bytes()),
                expected,
                "{pattern} {path}"
            );
        }
        assert!("/*".parse::<Pattern>().unwrap().matches(b"/\xff"));
    }

    #[test]
    fn bad_patterns_are_refused() {
        assert_eq!(
            "/a/../b".parse::<Pattern>().unwrap_err(),
            "`/a/../b` contains the component `..`"
        );
        assert_eq!(
            "/a**".parse::<Pattern>().unwrap_err(),
            "`/a**` contains a component with `**` and other characters"
        );
    }

    #[test]
    fn stars_do_not_explode() {
        let pattern: Pattern = format!("/{}b", "*a".repeat(500)).parse().unwrap();
        assert!(!pattern.matches("a".repeat(2000).as_bytes()));
    }
}
