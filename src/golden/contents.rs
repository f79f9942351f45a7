//! The content of a partition, as far as it can be read: nothing here is a reason to refuse an
//! image.

#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing
)]

use super::areas::{Scan, scan};
use super::disk::{Filesystem, GoldenDisk, GoldenPartition, RootFilesystem};
use super::start_images::StartImage;
use crate::bytes::le64;
use crate::fs::{ext4, fat};
use crate::stamp::Uuid;
use crate::stream::{ReadAt, Source};
use crate::tree::{DirEntry, LeafKind, Tree};
use crate::units::human;

/// Files that operating systems leave on every medium, and that nobody misses.
const TRIVIAL: [&str; 7] = [
    "lost+found",
    "System Volume Information",
    "$RECYCLE.BIN",
    ".Trashes",
    ".fseventsd",
    ".Spotlight-V100",
    ".Trash-0",
];

/// The content of a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Its format, for people: `ext4`, `FAT16`, `swap`, `only zeros`, `unknown data`.
    pub format: String,
    /// The label of its filesystem; empty: none.
    pub label: String,
    /// Its UUID or volume ID, as `fstab(5)` refers to it; empty: none or unknown.
    pub uuid: String,
    /// Bytes in use, if they are known.
    pub used: Option<u64>,
    /// The names in its top directory, sorted.
    pub entries: Vec<String>,
    /// Files other than directories, without those that operating systems leave on every medium.
    pub files: u64,
    /// The bytes of these files.
    pub file_bytes: u64,
    /// Where it was mounted last, by its own superblock; empty: never or unknown.
    pub last_mounted: String,
    /// Why its files cannot be read; `None`: they can, or there is no filesystem.
    pub unreadable: Option<String>,
    /// Whether all of it is zero.
    pub blank: bool,
    /// The loader that starts a kernel from it, without a script: not U-Boot.
    pub loader: Option<&'static str>,
}

impl Contents {
    /// The content of `partition`. That of the `root` filesystem is not read again.
    #[must_use]
    pub fn of(disk: &GoldenDisk, partition: &GoldenPartition, root: &RootFilesystem) -> Self {
        let source = disk.content(partition);
        let known = (partition.number == root.partition.number).then_some(root);
        match partition.filesystem {
            Filesystem::Ext => Self::ext(source, known),
            Filesystem::Fat => Self::fat(source),
            Filesystem::Swap => Self {
                format: "swap".to_owned(),
                uuid: uuid_at(&source, 0x40c),
                label: text_at(&source, 0x41c, 16),
                ..Self::default()
            },
            Filesystem::Other(name) => Self::other(&source, name),
            Filesystem::Unknown => Self::unknown(&source, partition),
        }
    }

    /// A description for messages: format, used space and the names in the top directory.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut text = self.format.clone();
        if let Some(why) = &self.unreadable {
            return format!("{text}, not readable: {why}");
        }
        if let Some(used) = self.used {
            text = format!("{text}, {} used", human(used));
        }
        let names = self.names();
        if !names.is_empty() {
            text = format!("{text}: {names}");
        }
        text
    }

    /// The first names in the top directory, on one line.
    #[must_use]
    pub fn names(&self) -> String {
        const SHOWN: usize = 8;
        let mut names: Vec<String> = self.entries.iter().take(SHOWN).cloned().collect();
        let more = self.entries.len().saturating_sub(SHOWN);
        if more > 0 {
            names.push(format!("{more} more"));
        }
        names.join(", ")
    }

    /// Takes stock of the files.
    pub(super) fn count(&mut self, tree: &Tree) {
        let shown = |name: &Vec<u8>| String::from_utf8_lossy(name).into_owned();
        self.entries = tree.root.entries.keys().map(shown).collect();
        self.entries.retain(|name| name != "lost+found");
        tree.visit(&mut |path, entry| {
            let DirEntry::Leaf(id) = entry else { return };
            let path = String::from_utf8_lossy(path).into_owned();
            let mut parts = path.trim_start_matches('/').split('/');
            let top = parts.next().unwrap_or_default();
            let trivial = TRIVIAL.contains(&top) || path.rsplit('/').next() == Some(".DS_Store");
            if trivial || top.starts_with("._") {
                return;
            }
            self.files = self.files.saturating_add(1);
            if let LeafKind::File(content) = &tree.leaf(*id).kind {
                self.file_bytes = self.file_bytes.saturating_add(content.len());
            }
        });
    }

    fn ext(source: Source, known: Option<&RootFilesystem>) -> Self {
        let mut contents = Self {
            format: "ext2/3/4".to_owned(),
            uuid: uuid_at(&source, 0x468),
            label: text_at(&source, 0x478, 16),
            last_mounted: text_at(&source, 0x488, 64),
            ..Self::default()
        };
        if let Some(root) = known {
            contents.measure(&root.info);
            contents.count(&root.tree);
            return contents;
        }
        let read = ext4::read::Filesystem::open(source).and_then(|filesystem| {
            contents.measure(&filesystem.info());
            filesystem.tree()
        });
        match read {
            Ok(tree) => contents.count(&tree),
            Err(error) => contents.unreadable = Some(error.to_string()),
        }
        contents
    }

    /// Takes format and used space from the superblock.
    fn measure(&mut self, info: &ext4::read::Info) {
        self.format = info.kind.to_owned();
        let used = info.blocks.saturating_sub(info.free_blocks);
        self.used = Some(used.saturating_mul(info.block_size));
    }

    fn fat(source: Source) -> Self {
        let mut contents = Self {
            format: "FAT".to_owned(),
            ..Self::default()
        };
        match fat::read(source) {
            Ok((tree, info)) => {
                contents.format = info.kind.to_string();
                contents.label = info.label.unwrap_or_default();
                let id = info.volume_id;
                contents.uuid = format!("{:04X}-{:04X}", id >> 16, id & 0xffff);
                contents.count(&tree);
                contents.used = Some(contents.file_bytes);
            }
            Err(error) => contents.unreadable = Some(error.to_string()),
        }
        contents
    }

    /// A filesystem or volume that is recognised but not read.
    fn other(source: &Source, name: &'static str) -> Self {
        // Where superblocks keep UUID and label: `libblkid/src/superblocks/` of util-linux.
        let (uuid, label) = match name {
            "XFS" => (uuid_at(source, 32), text_at(source, 108, 12)),
            "btrfs" => (uuid_at(source, 0x1_0020), text_at(source, 0x1_012b, 256)),
            "F2FS" => (uuid_at(source, 0x46c), wide_text_at(source, 0x47c, 512)),
            "an encrypted volume (LUKS)" => (text_at(source, 168, 40), text_at(source, 24, 48)),
            "NTFS" => {
                let serial = le64(&bytes_at(source, 0x48, 8), 0).unwrap_or(0);
                (format!("{serial:016X}"), String::new())
            }
            _ => (String::new(), String::new()),
        };
        Self {
            format: name.to_owned(),
            label,
            uuid,
            unreadable: Some("goldsmith reads ext2, ext3, ext4 and FAT".to_owned()),
            ..Self::default()
        }
    }

    fn unknown(source: &Source, partition: &GoldenPartition) -> Self {
        let blank = matches!(scan(&**source, 0..source.len()), Ok(Scan::Zeros));
        let image = if blank {
            StartImage::default()
        } else {
            StartImage::of_partition(source, partition.kind, &partition.name)
        };
        let format = match image.format {
            _ if blank => "only zeros",
            "" => "unknown data",
            format => format,
        };
        Self {
            format: format.to_owned(),
            blank,
            loader: image.loader,
            ..Self::default()
        }
    }
}

/// Bytes of the source; none where it ends too early or cannot be read.
fn bytes_at(source: &Source, offset: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    match source.read_exact_at(offset, &mut bytes) {
        Ok(()) => bytes,
        Err(_) => Vec::new(),
    }
}

/// The UUID at `offset`; empty if it is nil.
fn uuid_at(source: &Source, offset: u64) -> String {
    match <[u8; 16]>::try_from(bytes_at(source, offset, 16)) {
        Ok(bytes) if bytes != [0; 16] => Uuid(bytes).to_string(),
        _ => String::new(),
    }
}

/// The text at `offset`, at most `len` bytes, up to the first NUL.
fn text_at(source: &Source, offset: u64, len: usize) -> String {
    let bytes = bytes_at(source, offset, len);
    let end = bytes.iter().position(|byte| *byte == 0);
    let text = bytes.get(..end.unwrap_or(len)).unwrap_or_default();
    String::from_utf8_lossy(text).trim_end().to_owned()
}

/// The UTF-16 text at `offset`, at most `len` bytes, up to the first NUL.
fn wide_text_at(source: &Source, offset: u64, len: usize) -> String {
    let bytes = bytes_at(source, offset, len);
    let (units, _) = bytes.as_chunks();
    let units: Vec<u16> = units
        .iter()
        .map(|unit| u16::from_le_bytes(*unit))
        .take_while(|unit| *unit != 0)
        .collect();
    String::from_utf16_lossy(&units)
}
