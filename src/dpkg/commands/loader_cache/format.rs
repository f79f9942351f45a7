//! The file `/etc/ld.so.cache` in the form of glibc 2.33 and later: a header, entries of libraries
//! that descend by name, strings that share their ends, and a directory of extensions.

use std::cmp::Ordering;
use std::collections::BTreeMap;

const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const HEADER: usize = 48;
const ENTRY: usize = 24;
/// The byte order of what the header's numbers are in.
const LITTLE_ENDIAN: u8 = 2;
const EXTENSIONS_MAGIC: u32 = 0xEAA4_2174;

/// A library that the loader finds by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) flags: u32,
    pub(super) name: String,
    pub(super) path: String,
}

/// The order of names in which numbers count as such.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        let digit = |text: &[u8]| text.first().is_some_and(u8::is_ascii_digit);
        match (a.split_first(), b.split_first()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some((x, rest_a)), Some((y, rest_b))) => match (digit(a), digit(b)) {
                (true, true) => {
                    let (number_a, after_a) = number(a);
                    let (number_b, after_b) = number(b);
                    if number_a != number_b {
                        return number_a.cmp(&number_b);
                    }
                    (a, b) = (after_a, after_b);
                }
                (true, false) => return Ordering::Greater,
                (false, true) => return Ordering::Less,
                (false, false) if x != y => return x.cmp(y),
                _ => (a, b) = (rest_a, rest_b),
            },
        }
    }
}

/// The number that a text begins with, and what follows it.
fn number(text: &[u8]) -> (u64, &[u8]) {
    let end = text
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let value = digits.iter().fold(0_u64, |value, digit| {
        value
            .saturating_mul(10)
            .saturating_add(u64::from(digit.wrapping_sub(b'0')))
    });
    (value, rest)
}

/// The file with these entries, in the order of their directories; `generator` is what ldconfig
/// calls itself. `None` if it were larger than its numbers can say.
pub(super) fn build(mut entries: Vec<Entry>, generator: &str) -> Option<Vec<u8>> {
    entries.sort_by(|a, b| compare(&b.name, &a.name).then(b.flags.cmp(&a.flags)));
    let all = entries.iter().flat_map(|entry| [&entry.name, &entry.path]);
    let (strings, offsets) = strings(all.map(String::as_str).collect());
    let start = HEADER.checked_add(entries.len().checked_mul(ENTRY)?)?;
    let number = |value: usize| u32::try_from(value).ok();
    let end = start.checked_add(strings.len())?;
    let extensions = end.checked_next_multiple_of(4)?;

    let mut out = MAGIC.to_vec();
    for value in [entries.len(), strings.len()] {
        out.extend(number(value)?.to_le_bytes());
    }
    out.extend([LITTLE_ENDIAN, 0, 0, 0]);
    out.extend(number(extensions)?.to_le_bytes());
    out.resize(HEADER, 0);
    for entry in &entries {
        let at = |text: &str| number(start.checked_add(*offsets.get(text)?)?);
        out.extend(entry.flags.to_le_bytes());
        out.extend(at(&entry.name)?.to_le_bytes());
        out.extend(at(&entry.path)?.to_le_bytes());
        // The oldest kernel, which nobody reads, and features of processors.
        out.extend([0; 12]);
    }
    out.extend(strings);
    out.resize(extensions, 0);
    // One extension: its tag and flags, where it is, how long it is.
    let place = number(extensions.checked_add(24)?)?;
    for value in [EXTENSIONS_MAGIC, 1, 0, 0, place, number(generator.len())?] {
        out.extend(value.to_le_bytes());
    }
    out.extend(generator.as_bytes());
    Some(out)
}

/// The strings one after another, and where each is. Read backwards they descend, so that one that
/// is the end of another comes after it, and needs no place of its own.
fn strings(mut all: Vec<&str>) -> (Vec<u8>, BTreeMap<&str, usize>) {
    all.sort_by(|a, b| b.bytes().rev().cmp(a.bytes().rev()));
    all.dedup();
    let (mut out, mut offsets) = (Vec::new(), BTreeMap::new());
    let mut last = "";
    for text in all {
        let offset = if last.ends_with(text) && !last.is_empty() {
            // The last string is at the end, with a zero after it.
            out.len().saturating_sub(text.len()).saturating_sub(1)
        } else {
            let offset = out.len();
            out.extend(text.as_bytes());
            out.push(0);
            last = text;
            offset
        };
        offsets.insert(text, offset);
    }
    (out, offsets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_count_as_numbers() {
        for (less, more) in [
            ("libz.so.9", "libz.so.10"),
            ("liba.so", "libb.so"),
            ("lib.so", "lib2.so"),
            ("liba.so", "liba.so.1"),
            ("libgcc_s.so.1", "libgcc_s.so.1.2"),
        ] {
            assert_eq!(compare(less, more), Ordering::Less, "{less} {more}");
            assert_eq!(compare(more, less), Ordering::Greater, "{more} {less}");
        }
        assert_eq!(compare("liba.so.01", "liba.so.1"), Ordering::Equal);
    }

    #[test]
    fn strings_share_their_ends() {
        let (bytes, offsets) = strings(vec!["a.so.1", "/l/a.so.1", "b.so.1", "/l/b.so.1", "1"]);
        assert_eq!(bytes, b"/l/b.so.1\0/l/a.so.1\0");
        let at = |text: &str| offsets[text];
        assert_eq!((at("b.so.1"), at("/l/b.so.1")), (3, 0));
        assert_eq!((at("a.so.1"), at("/l/a.so.1"), at("1")), (13, 10, 18));
    }

    #[test]
    fn a_file_of_two_libraries() {
        let entry = |name: &str| Entry {
            flags: 0x303,
            name: name.into(),
            path: format!("/lib/{name}"),
        };
        let file = build(vec![entry("liba.so.1"), entry("libb.so.2")], "ldconfig").unwrap();
        assert_eq!(&file[..20], MAGIC);
        assert_eq!(
            &file[20..36],
            [2, 0, 0, 0, 30, 0, 0, 0, 2, 0, 0, 0, 128, 0, 0, 0]
        );
        // The second library comes first.
        assert_eq!(&file[48..60], [3, 3, 0, 0, 101, 0, 0, 0, 96, 0, 0, 0]);
        assert_eq!(&file[96..126], b"/lib/libb.so.2\0/lib/liba.so.1\0");
        assert_eq!(&file[128..132], [0x74, 0x21, 0xA4, 0xEA]);
        assert_eq!(&file[144..152], [152, 0, 0, 0, 8, 0, 0, 0]);
        assert_eq!(&file[152..], b"ldconfig");
    }
}
