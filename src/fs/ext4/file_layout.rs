//! Where the files of a filesystem are: a newer filesystem that keeps this layout leaves unchanged
//! files in their blocks, so a device, or a delta between the two, need not move them.
//!
//! The text form has one line with the size in bytes, then one line per file, by path: the inode
//! number, the blocks in file order (`start+count`, each start relative to the end of the range
//! before it, which keeps the numbers short) and the path, in which the backslash and bytes that
//! are not printable ASCII are written as `\xNN`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;

/// The first line of the text form, before the size.
const HEAD: &str = "goldsmith places 1 size ";

/// Where one file is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileLocation {
    /// Its inode number, from 1.
    pub inode: u32,
    /// Its blocks of 4096 bytes in file order, without holes. Blocks count from the start of the
    /// filesystem.
    pub blocks: Vec<Range<u32>>,
}

/// The locations of all files of a filesystem, by absolute path. A file with several names is
/// listed under the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileLayout {
    /// The length of the filesystem in bytes.
    pub size: u64,
    files: BTreeMap<Vec<u8>, FileLocation>,
}

/// A malformed line, by its number from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {0} of the file layout is malformed")]
pub struct FileLayoutError(usize);

impl FileLayout {
    /// No files yet, in a filesystem of `size` bytes.
    #[must_use]
    pub fn new(size: u64) -> Self {
        Self {
            size,
            files: BTreeMap::new(),
        }
    }

    /// Adds the file at `path`; replaces what was known of that path.
    pub fn insert(&mut self, path: Vec<u8>, location: FileLocation) {
        self.files.insert(path, location);
    }

    /// The location of the file at `path`.
    #[must_use]
    pub fn get(&self, path: &[u8]) -> Option<&FileLocation> {
        self.files.get(path)
    }

    /// Writes the text form.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = format!("{HEAD}{}\n", self.size);
        for (path, location) in &self.files {
            let _ = write!(out, "{}", location.inode);
            let mut end = 0;
            for range in &location.blocks {
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
    /// [`FileLayoutError`] at the first malformed line.
    pub fn parse(text: &str) -> Result<Self, FileLayoutError> {
        let mut lines = text.lines().enumerate();
        let size = lines
            .next()
            .and_then(|(_, line)| line.strip_prefix(HEAD)?.parse().ok())
            .ok_or(FileLayoutError(1))?;
        let mut layout = Self::new(size);
        for (at, line) in lines {
            let (path, location) = parse_file(line).ok_or(FileLayoutError(at + 1))?;
            layout.insert(path, location);
        }
        Ok(layout)
    }
}

/// Parses the line of one file.
fn parse_file(line: &str) -> Option<(Vec<u8>, FileLocation)> {
    let slash = line.find('/')?;
    let mut words = line[..slash].split_ascii_whitespace();
    let mut location = FileLocation {
        inode: words.next()?.parse().ok()?,
        blocks: Vec::new(),
    };
    let mut end = 0_i64;
    for word in words {
        let (start, len) = word.split_once('+')?;
        let start = end.checked_add(start.parse().ok()?)?;
        end = start.checked_add(i64::from(len.parse::<u32>().ok()?))?;
        location
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
    Some((path, location))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_keeps_everything() {
        let mut layout = FileLayout::new(123 << 20);
        layout.insert(
            b"/".to_vec(),
            FileLocation {
                inode: 2,
                blocks: vec![300..301, 310..311],
            },
        );
        layout.insert(
            b"/etc/a b\n\\x00\xff".to_vec(),
            FileLocation {
                inode: 77,
                blocks: vec![1000..1010, 20..21, 4_000_000_000..4_000_000_001],
            },
        );
        layout.insert(
            b"/etc/empty".to_vec(),
            FileLocation {
                inode: 12,
                blocks: Vec::new(),
            },
        );
        let text = layout.to_text();
        assert!(
            text.contains("77 1000+10 -990+1 3999999979+1 /etc/a b\\x0a\\x5cx00\\xff\n"),
            "{text}"
        );
        assert_eq!(FileLayout::parse(&text), Ok(layout));
        for (bad, line) in [
            ("", 1),
            ("goldsmith places 1 size x\n", 1),
            (&text.replace("300+1 9+1", "300"), 2),
            (&text.replace("12 /", "/"), 4),
        ] {
            assert_eq!(FileLayout::parse(bad), Err(FileLayoutError(line)), "{bad}");
        }
        assert!(FileLayout::parse(&text.replace("\\x0a", "\\x0")).is_err());
        assert!(FileLayout::parse(&text.replace("-990+1", "-1100+1")).is_err());
    }
}
