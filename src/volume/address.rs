//! Addresses of files in images, as in `disk.img:2:/etc/fstab`.

use std::fmt;
use std::path::{Path, PathBuf};

/// A partition, as an address names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// By its number in the partition table.
    Number(u32),
    /// By its name in a GPT, or by what it is for: `boot`, `root`, `root-b`, `data`.
    Name(String),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => write!(f, "`{name}`"),
        }
    }
}

/// `FILE`, `FILE:PART`, `FILE:PART:PATH` or `FILE:/PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The image, filesystem or Artifact.
    pub file: PathBuf,
    /// The partition, if one is named.
    pub part: Option<Part>,
    /// The path in its filesystem, if there is one.
    pub path: Option<String>,
}

impl Address {
    /// Reads an address. File names may contain colons: the longest beginning that `is_file` is the
    /// file, and if none is, what is before the first colon.
    #[must_use]
    pub fn parse(text: &str, is_file: &dyn Fn(&Path) -> bool) -> Self {
        let colons = text.match_indices(':').map(|(at, _)| at);
        let ends: Vec<usize> = colons.chain([text.len()]).collect();
        let begins = |end: &&usize| {
            text.get(..**end)
                .is_some_and(|name| is_file(Path::new(name)))
        };
        let end = ends.iter().rev().find(begins).or(ends.first());
        let (file, rest) = text.split_at(end.copied().unwrap_or(text.len()));
        let rest = rest.strip_prefix(':').unwrap_or(rest);
        let (part, path) = match rest.split_once(':') {
            _ if rest.starts_with('/') => ("", rest),
            Some((part, path)) => (part, path),
            None => (rest, ""),
        };
        Self {
            file: PathBuf::from(file),
            part: (!part.is_empty()).then(|| match part.parse() {
                Ok(number) => Part::Number(number),
                Err(_) => Part::Name(part.to_owned()),
            }),
            path: (!path.is_empty()).then(|| path.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_address() {
        let files = ["a.img", "b:2:x", "b"];
        let parse = |text: &str| {
            let is_file = |path: &Path| files.iter().any(|name| Path::new(name) == path);
            let found = Address::parse(text, &is_file);
            let part = found
                .part
                .map_or_else(|| "-".to_owned(), |part| part.to_string());
            let path = found.path.unwrap_or_else(|| "-".to_owned());
            format!("{} {part} {path}", found.file.display())
        };
        for (text, expected) in [
            ("a.img", "a.img - -"),
            ("a.img:", "a.img - -"),
            ("a.img:2", "a.img 2 -"),
            ("a.img:2:", "a.img 2 -"),
            ("a.img:2:/etc/a:b", "a.img 2 /etc/a:b"),
            ("a.img:boot:EFI", "a.img `boot` EFI"),
            ("a.img:/etc/fstab", "a.img - /etc/fstab"),
            ("b:2:x", "b:2:x - -"),
            ("b:2:x:1:/y", "b:2:x 1 /y"),
            ("b:2:y", "b 2 y"),
            ("gone.img:2:/x", "gone.img 2 /x"),
            ("gone", "gone - -"),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
