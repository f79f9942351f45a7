//! Names: the short form of 8 + 3 bytes that every entry has, and the long form in UTF-16.

#![deny(
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing
)]

use super::format::{ENTRY, attr, le16};
use std::collections::{BTreeMap, BTreeSet};

/// A short name: 8 bytes and 3 bytes, padded with blanks.
pub(super) type Short = [u8; 11];

/// UTF-16 units in one part of a long name, and their offsets in it.
const UNITS: [usize; 13] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];
/// The most UTF-16 units of a long name.
const MAX_UNITS: usize = 255;

/// Upper half of code page 437, the default of Linux and of the machines that wrote such names.
const CP437: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";

/// The sum of a short name that ties long parts to it (fatgen103, "ChkSum").
pub(super) fn checksum(short: &Short) -> u8 {
    short
        .iter()
        .fold(0u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte))
}

/// A short name as text; `case` are the bits of NT: 0x08 the base, 0x10 the extension in lower
/// case.
pub(super) fn show_short(short: &Short, case: u8) -> String {
    let mut raw = *short;
    if raw[0] == 0x05 {
        raw[0] = 0xe5; // 0xe5 itself would mark a deleted entry
    }
    let text = |part: &[u8], lower: bool| {
        if lower {
            oem_text(part).to_ascii_lowercase()
        } else {
            oem_text(part)
        }
    };
    let (base, extension) = (
        text(&raw[..8], case & 0x08 != 0),
        text(&raw[8..], case & 0x10 != 0),
    );
    if extension.is_empty() {
        base
    } else {
        format!("{base}.{extension}")
    }
}

/// Bytes of code page 437 as text, blanks at the end cut.
pub(super) fn oem_text(bytes: &[u8]) -> String {
    let text: String = bytes.iter().map(|byte| oem(*byte)).collect();
    text.trim_end_matches(' ').to_owned()
}

fn oem(byte: u8) -> char {
    match byte {
        0..=0x7f => char::from(byte),
        _ => CP437
            .chars()
            .nth(usize::from(byte & 0x7f))
            .unwrap_or('\u{fffd}'),
    }
}

/// Collects the parts of a long name, which come before their entry, the last part first.
#[derive(Default)]
pub(super) struct LongParts {
    units: Vec<u16>,
    checksum: u8,
    /// The number of the part that was read last; 0: none is awaited and none was read.
    order: u8,
}

impl LongParts {
    /// Takes one part; parts out of order begin anew.
    pub(super) fn push(&mut self, entry: &[u8; ENTRY]) {
        let (order, checksum) = (entry[0], entry[13]);
        let first = order & 0x40 != 0;
        let number = order & 0x3f;
        let follows = !self.units.is_empty()
            && number.checked_add(1) == Some(self.order)
            && checksum == self.checksum;
        if number == 0
            || usize::from(number) > MAX_UNITS.div_ceil(UNITS.len())
            || !(first || follows)
        {
            *self = Self::default();
            return;
        }
        if first {
            self.units.clear();
        }
        let part = UNITS.iter().map(|at| le16(entry, *at));
        self.units.splice(..0, part);
        (self.order, self.checksum) = (number, checksum);
    }

    /// The long name that belongs to `short`, if all its parts were there; forgets it.
    pub(super) fn take(&mut self, short: &Short) -> Option<Vec<u16>> {
        let parts = std::mem::take(self);
        let whole = parts.order == 1 && parts.checksum == checksum(short);
        let mut units = parts.units;
        if let Some(end) = units.iter().position(|unit| *unit == 0) {
            units.truncate(end);
        }
        (whole && !units.is_empty()).then_some(units)
    }
}

/// Why FAT cannot hold `name`, if it cannot (fatgen103, "Long Directory Entries"; trailing dots and
/// blanks are cut by readers).
pub(super) fn fault(name: &str) -> Option<String> {
    if let Some(bad) = name
        .chars()
        .find(|c| c.is_control() || "\"*/:<>?\\|".contains(*c))
    {
        return Some(format!("FAT holds no name with {bad:?}"));
    }
    if name.ends_with(['.', ' ']) {
        return Some("FAT holds no name that ends in a dot or a blank".into());
    }
    let units = name.encode_utf16().count();
    (units > MAX_UNITS).then(|| format!("a name of {units} UTF-16 units exceeds {MAX_UNITS}"))
}

/// The long parts of `name` for an entry with this short name, in the order in which they are
/// written.
pub(super) fn long_parts(name: &str, short: &Short) -> Vec<u8> {
    let mut units: Vec<u16> = name.encode_utf16().collect();
    let parts = units.len().div_ceil(UNITS.len());
    let room = units.len().next_multiple_of(UNITS.len());
    if units.len() < room {
        units.push(0);
    }
    units.resize(room, 0xffff);
    let mut out = Vec::new();
    for (number, part) in (1u8..)
        .zip(units.chunks(UNITS.len()))
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
    {
        let mut entry = [0; ENTRY];
        entry[0] = if usize::from(number) == parts {
            number | 0x40
        } else {
            number
        };
        (entry[11], entry[13]) = (attr::LONG_NAME, checksum(short));
        for (at, unit) in UNITS.iter().zip(part) {
            let bytes = entry.iter_mut().skip(*at).zip(unit.to_le_bytes());
            bytes.for_each(|(to, from)| *to = from);
        }
        out.extend_from_slice(&entry);
    }
    out
}

/// Whether a short name may contain a character (upper-case form).
fn is_short(c: char) -> bool {
    c.is_ascii_uppercase() || c.is_ascii_digit() || "$%'-_@~`!(){}^#&".contains(c)
}

/// The short name that differs from `name` in nothing but case, if there is one.
fn exact(name: &str) -> Option<Short> {
    let (base, extension) = name.split_once('.').unwrap_or((name, ""));
    let fits = (1..=8).contains(&base.len())
        && extension.len() <= 3
        && (extension.is_empty() != name.contains('.'));
    let plain = base
        .chars()
        .chain(extension.chars())
        .all(|c| is_short(c.to_ascii_uppercase()));
    (fits && plain).then(|| padded(&base.to_ascii_uppercase(), &extension.to_ascii_uppercase()))
}

/// Base and extension (ASCII, short enough) padded with blanks.
fn padded(base: &str, extension: &str) -> Short {
    let mut out = [b' '; 11];
    for (slot, byte) in out[..8].iter_mut().zip(base.bytes()) {
        *slot = byte;
    }
    for (slot, byte) in out[8..].iter_mut().zip(extension.bytes()) {
        *slot = byte;
    }
    out
}

/// `text` in the characters of short names: blanks and dots dropped, others that do not fit
/// replaced.
fn squeezed(text: &str, most: usize) -> String {
    let upper = text
        .chars()
        .filter(|c| !matches!(c, ' ' | '.'))
        .map(|c| c.to_ascii_uppercase());
    upper
        .map(|c| if is_short(c) { c } else { '_' })
        .take(most)
        .collect()
}

/// Short names for all names of a directory, none twice: `README.TXT` as it is, `long name.txt` as
/// `LONGNA~1.TXT`, numbered in the order of the names. `None` in place of a name for which no
/// number is left.
pub(super) fn shorten(names: &[&str]) -> Vec<Option<Short>> {
    let mut out: Vec<Option<Short>> = names.iter().map(|name| exact(name)).collect();
    let mut taken: BTreeSet<Short> = out.iter().flatten().copied().collect();
    let mut next: BTreeMap<(String, String), u32> = BTreeMap::new();
    for (name, slot) in names
        .iter()
        .zip(&mut out)
        .filter(|(_, slot)| slot.is_none())
    {
        let stem = name.trim_start_matches('.');
        let (base, extension) = stem.rsplit_once('.').unwrap_or((stem, ""));
        let (base, extension) = (squeezed(base, 6), squeezed(extension, 3));
        let number = next.entry((base.clone(), extension.clone())).or_insert(1);
        while *number < 1_000_000 {
            let tail = format!("~{number}");
            let base: String = base
                .chars()
                .take(8_usize.saturating_sub(tail.len()))
                .collect();
            *number = number.saturating_add(1);
            let short = padded(&(base + &tail), &extension);
            if taken.insert(short) {
                *slot = Some(short);
                break;
            }
        }
    }
    out
}

/// Whether an entry needs long parts: its short name alone would read differently.
pub(super) fn needs_long(name: &str, short: &Short) -> bool {
    show_short(short, 0) != name
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::indexing_slicing
    )]

    use super::*;

    #[test]
    fn short_names_are_unique_and_long_names_come_back() {
        let names = [
            "LONGNA~1.TXT",
            "README.TXT",
            "kernel8.img",
            "long name.txt",
            "long name2.txt",
            ".profile",
            "größe",
            "a.b.c",
            "x+y",
        ];
        let shorts: Vec<String> = shorten(&names)
            .iter()
            .map(|s| show_short(&s.unwrap(), 0))
            .collect();
        let expected = [
            "LONGNA~1.TXT",
            "README.TXT",
            "KERNEL8.IMG",
            "LONGNA~2.TXT",
            "LONGNA~3.TXT",
            "PROFIL~1",
            "GR__E~1",
            "AB~1.C",
            "X_Y~1",
        ];
        assert_eq!(shorts, expected);
        for name in [
            "x",
            "a name of 13",
            "exactly13char",
            "exactly thirteen x 2 = 26!",
            "größe 😀",
            &"n".repeat(255),
        ] {
            let short = shorten(&[name])[0].unwrap();
            let mut parts = LongParts::default();
            long_parts(name, &short)
                .as_chunks()
                .0
                .iter()
                .for_each(|part| parts.push(part));
            assert_eq!(
                String::from_utf16(&parts.take(&short).unwrap()).unwrap(),
                name
            );
            assert!(parts.take(&short).is_none());
        }
    }

    #[test]
    fn many_alike_stay_unique() {
        let names: Vec<String> = (0..2000)
            .map(|n| format!("very long common prefix {n:05}.conf"))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let unique: BTreeSet<Short> = shorten(&names).into_iter().map(Option::unwrap).collect();
        assert_eq!(unique.len(), 2000);
    }

    #[test]
    fn a_foreign_part_is_no_name() {
        let short = padded("ABC", "");
        let other = padded("ABD", "");
        let mut parts = LongParts::default();
        long_parts("a long name of two parts", &short)
            .as_chunks()
            .0
            .iter()
            .for_each(|part| parts.push(part));
        assert!(parts.take(&other).is_none());
        parts.push(
            long_parts("a long name of two parts", &short)
                .last_chunk()
                .unwrap(),
        );
        assert!(parts.take(&short).is_none());
        assert_eq!(CP437.chars().count(), 128);
        assert_eq!(show_short(b"\x05\x81B     TXT", 0x18), "σüb.txt");
    }
}
