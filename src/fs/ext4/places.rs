//! Where a filesystem has its files: what a newer one is laid out by, so that what did not change
//! stays where it is and a device, or a delta between the two, need not move it.
//!
//! The text form has a line of the size in bytes, then one for each file, by its path: the inode,
//! the blocks in the order of the file (`start+count`, each but the first from the end of the one
//! before, so that numbers are short), the path, its bytes beyond printable ASCII and the backslash
//! as `\xNN`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;

/// The first line of the text form, before the size.
const HEAD: &str = "goldsmith places 1 size ";

/// The place of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Its inode.
    pub inode: u32,
    /// Its blocks of 4096 bytes in the order of the file, holes left out.
    pub blocks: Vec<Range<u32>>,
}

/// The places of all files of a filesystem, by absolute path. A file with several names stands here
/// by the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// The length of the filesystem in bytes.
    pub size: u64,
    files: BTreeMap<Vec<u8>, Place>,
}

/// A line that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {0} of the list of places cannot be read")]
pub struct LineError(usize);

impl Places {
    /// No files yet, in a filesystem of `size` bytes.
    #[must_use]
    pub fn new(size: u64) -> Self {
        Self {
            size,
            files: BTreeMap::new(),
        }
    }

    /// Notes the place of the file at `path`.
    pub fn insert(&mut self, path: Vec<u8>, place: Place) {
        self.files.insert(path, place);
    }

    /// The place of the file at `path`.
    #[must_use]
    pub fn get(&self, path: &[u8]) -> Option<&Place> {
        self.files.get(path)
    }

    /// The text form.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = format!("{HEAD}{}\n", self.size);
        for (path, place) in &self.files {
            let _ = write!(out, "{}", place.inode);
            let mut end = 0;
            for range in &place.blocks {
                let _ = write!(
                    out,
                    " {}+{}",
                    i64::from(range.start) - end,
                    range.end - range.start
                );
                end = i64::from(range.end);
            }
            out.push(' ');
            for byte in path {
                match byte {
                    b'\\' | 0..0x20 | 0x7f.. => _ = write!(out, "\\x{byte:02x}"),
                    _ => out.push(char::from(*byte)),
                }
            }
            out.push('\n');
        }
        out
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// [`LineError`] at the first line that is not of this form.
    pub fn parse(text: &str) -> Result<Self, LineError> {
        let mut lines = text.lines().enumerate();
        let size = lines
            .next()
            .and_then(|(_, line)| line.strip_prefix(HEAD)?.parse().ok())
            .ok_or(LineError(1))?;
        let mut places = Self::new(size);
        for (at, line) in lines {
            let (path, place) = file(line).ok_or(LineError(at + 1))?;
            places.insert(path, place);
        }
        Ok(places)
    }
}

/// One line of the text form.
fn file(line: &str) -> Option<(Vec<u8>, Place)> {
    let slash = line.find('/')?;
    let mut words = line[..slash].split_ascii_whitespace();
    let mut place = Place {
        inode: words.next()?.parse().ok()?,
        blocks: Vec::new(),
    };
    let mut end = 0_i64;
    for word in words {
        let (start, len) = word.split_once('+')?;
        let start = end.checked_add(start.parse().ok()?)?;
        end = start.checked_add(i64::from(len.parse::<u32>().ok()?))?;
        place
            .blocks
            .push(u32::try_from(start).ok()?..u32::try_from(end).ok()?);
    }
    let mut path = Vec::new();
    let mut rest = &line[slash..];
    while let Some((plain, escaped)) = rest.split_once("\\x") {
        path.extend(plain.as_bytes());
        path.push(u8::from_str_radix(escaped.get(..2)?, 16).ok()?);
        rest = &escaped[2..];
    }
    path.extend(rest.as_bytes());
    Some((path, place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_keeps_everything() {
        let mut places = Places::new(123 << 20);
        places.insert(
            b"/".to_vec(),
            Place {
                inode: 2,
                blocks: vec![300..301, 310..311],
            },
        );
        places.insert(
            b"/etc/a b\n\\x00\xff".to_vec(),
            Place {
                inode: 77,
                blocks: vec![1000..1010, 20..21, 4_000_000_000..4_000_000_001],
            },
        );
        places.insert(
            b"/etc/empty".to_vec(),
            Place {
                inode: 12,
                blocks: Vec::new(),
            },
        );
        let text = places.to_text();
        assert!(
            text.contains("77 1000+10 -990+1 3999999979+1 /etc/a b\\x0a\\x5cx00\\xff\n"),
            "{text}"
        );
        assert_eq!(Places::parse(&text), Ok(places));
        for (bad, line) in [
            ("", 1),
            ("goldsmith places 1 size x\n", 1),
            (&text.replace("300+1 9+1", "300"), 2),
            (&text.replace("12 /", "/"), 4),
        ] {
            assert_eq!(Places::parse(bad), Err(LineError(line)), "{bad}");
        }
        assert!(Places::parse(&text.replace("\\x0a", "\\x0")).is_err());
        assert!(Places::parse(&text.replace("-990+1", "-1100+1")).is_err());
    }
}
