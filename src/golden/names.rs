//! The names of the golden image's partitions: what `fstab(5)`, `crypttab(5)` and others refer to
//! them by.

#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing
)]

use super::disk::{Filesystem, GoldenDisk, GoldenPartition};
use super::references::device::Device;
use crate::fs::{ext4, fat};
use crate::stream::ReadAt;
use std::collections::BTreeMap;

/// The form of an identifier in a superblock.
#[derive(Clone, Copy)]
enum Form {
    /// 16 bytes, written as a UUID.
    Uuid,
    /// 16 bytes, written as `mdadm.conf(5)` does: four groups of eight digits.
    Array,
    /// 8 bytes, little-endian, as NTFS writes its serial number.
    Serial,
    /// Text with zeros at its end, in so many bytes.
    Text(usize),
}

/// Identifiers of formats that are not opened: content, tag, offset and form. Offsets are those of
/// `libblkid/src/superblocks/` of util-linux.
const IDENTIFIERS: [(&str, &str, u64, Form); 13] = [
    ("swap", "UUID", 0x40c, Form::Uuid),
    ("swap", "LABEL", 0x41c, Form::Text(16)),
    ("an encrypted volume (LUKS)", "UUID", 168, Form::Text(40)),
    ("XFS", "UUID", 32, Form::Uuid),
    ("XFS", "LABEL", 108, Form::Text(12)),
    ("btrfs", "UUID", 0x1_0020, Form::Uuid),
    ("btrfs", "LABEL", 0x1_012b, Form::Text(256)),
    ("F2FS", "UUID", 0x46c, Form::Uuid),
    ("NTFS", "UUID", 0x48, Form::Serial),
    ("EROFS", "UUID", 0x430, Form::Uuid),
    ("EROFS", "LABEL", 0x440, Form::Text(16)),
    (RAID, "UUID", 0x1010, Form::Uuid),
    (RAID, "ARRAY", 0x1010, Form::Array),
];

/// The name of a partition's content that is part of a RAID array.
pub const RAID: &str = "a member of a RAID array";

/// All names of partitions, as keys of [`Device::Tag`], each with the number of its partition. The
/// key `ARRAY=...` is the identity of the RAID array that the partition belongs to.
#[must_use]
pub fn names(disk: &GoldenDisk) -> BTreeMap<String, u32> {
    let mut names = BTreeMap::new();
    for partition in &disk.partitions {
        let number = partition.number;
        let mut add = |tag: &str, value: &str| {
            if !value.is_empty() {
                names.entry(Device::key(tag, value)).or_insert(number);
            }
        };
        add("PARTLABEL", &partition.name);
        add("PARTUUID", &disk.table.partuuid(number).unwrap_or_default());
        for (tag, value) in identifiers(disk, partition) {
            add(tag, &value);
        }
    }
    names
}

/// The identifiers in a partition's content. A filesystem that cannot be opened has no name to
/// refer to.
fn identifiers(disk: &GoldenDisk, partition: &GoldenPartition) -> Vec<(&'static str, String)> {
    let source = disk.content(partition);
    match partition.filesystem {
        Filesystem::Ext => {
            let Ok(filesystem) = ext4::read::Filesystem::open(source) else {
                return Vec::new();
            };
            let info = filesystem.info();
            vec![
                ("UUID", info.uuid.to_string()),
                ("LABEL", String::from_utf8_lossy(&info.label).into_owned()),
            ]
        }
        Filesystem::Fat => {
            let Ok((_, info)) = fat::read(source) else {
                return Vec::new();
            };
            let id = info.volume_id;
            vec![
                ("UUID", format!("{:04x}-{:04x}", id >> 16, id & 0xffff)),
                ("LABEL", info.label.unwrap_or_default()),
            ]
        }
        Filesystem::Swap | Filesystem::Other(_) | Filesystem::Unknown => {
            let content = partition.filesystem.name();
            let of = IDENTIFIERS.iter().filter(|(name, ..)| *name == content);
            of.filter_map(|(_, tag, offset, form)| Some((*tag, form.read(&*source, *offset)?)))
                .collect()
        }
    }
}

impl Form {
    fn read(self, source: &dyn ReadAt, offset: u64) -> Option<String> {
        let len = match self {
            Self::Uuid | Self::Array => 16,
            Self::Serial => 8,
            Self::Text(len) => len,
        };
        let mut bytes = vec![0; len];
        source.read_exact_at(offset, &mut bytes).ok()?;
        let hex = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
        Some(match self {
            Self::Uuid => {
                let bytes: [u8; 16] = bytes.try_into().ok()?;
                crate::stamp::Uuid(bytes).to_string()
            }
            Self::Array => {
                let groups: Vec<String> = bytes.chunks(4).map(hex).collect();
                groups.join(":")
            }
            Self::Serial => {
                bytes.reverse();
                hex(&bytes)
            }
            Self::Text(_) => {
                let text = bytes.split(|b| *b == 0).next().unwrap_or_default();
                String::from_utf8_lossy(text).into_owned()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::example_tests::Example;
    use crate::image::table::types;
    use crate::stream::Content;

    #[test]
    fn partitions_have_the_names_of_table_and_content() {
        let mut example = Example::new();
        let mut swap = Content::hole(8 << 20);
        swap.push_bytes(0x40c, [0xab; 16]);
        swap.push_bytes(0x41c, *b"sleep");
        swap.push_bytes(4086, *b"SWAPSPACE2");
        swap.set_len(8 << 20);
        let mut raid = Content::hole(8 << 20);
        raid.push_bytes(0x1000, *b"\xfc\x4e\x2b\xa9");
        raid.push_bytes(0x1010, [0x12; 16]);
        raid.set_len(8 << 20);
        example.partitions.push((types::GPT_LINUX, swap));
        example.partitions.push((types::GPT_LINUX, raid));
        let names = names(&example.golden().disk);
        let of = |key: &str| names.get(key).copied();
        assert_eq!(of("LABEL=golden"), Some(2));
        assert_eq!(of("UUID=01010101-0101-0101-0101-010101010101"), Some(2));
        assert_eq!(of("UUID=0000-0007"), Some(1));
        assert_eq!(of("LABEL=ESP"), Some(1));
        assert_eq!(of("PARTUUID=01010101-0101-0101-0101-010101010101"), Some(1));
        assert_eq!(of("UUID=abababab-abab-abab-abab-abababababab"), Some(3));
        assert_eq!(of("LABEL=sleep"), Some(3));
        assert_eq!(of("ARRAY=12121212:12121212:12121212:12121212"), Some(4));
        assert_eq!(of("LABEL=other"), None);
    }
}
