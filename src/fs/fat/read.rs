//! FAT to a tree. Every cluster may belong to one file only, so loops and crossings end the
//! reading; contents are runs of the source.

#![deny(
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing
)]

use super::Error;
use super::format::{ENTRY, FatKind, Geometry, Info, MAX_ENTRIES, attr, le16, le32};
use super::name::{LongParts, Short, oem_text, show_short};
use super::time::from_dos;
use crate::stream::{Content, ReadAt, Run, Source};
use crate::tree::{Dir, DirEntry, Leaf, LeafKind, Stat, Time, Tree, show};
use crate::units::len_u64;

/// Directories within directories beyond this are taken for damage: no path of a living system is
/// so long.
const MAX_DEPTH: usize = 128;
/// How much of the table is read at once (bytes).
const PAGE: u64 = 4096;

/// Reads the FAT filesystem that `source` holds. Directories are root's with mode 0755, files with
/// 0644, without the write bits where the entry is read-only.
///
/// # Errors
/// [`Error::NotFat`], [`Error::Corrupt`] or [`Error::Io`].
pub fn read(source: Source) -> Result<(Tree, Info), Error> {
    let mut boot = [0; 512];
    read_at(&source, 0, &mut boot)?;
    let geometry = Geometry::parse(&boot, source.len())?;
    let info = Info {
        kind: geometry.kind,
        volume_id: geometry.volume_id,
        label: None,
        cluster_size: u32::try_from(geometry.cluster).unwrap_or(u32::MAX),
        size: geometry.end,
        dirty: false,
        hidden: Vec::new(),
    };
    let seen = vec![0; usize::try_from((geometry.clusters / 64).saturating_add(1)).unwrap_or(0)];
    let tree = Tree::new(Stat::root(0o755, from_dos(0, 0)));
    let mut reader = Reader {
        source,
        geometry,
        page: (u64::MAX, Vec::new()),
        seen,
        tree,
        info,
    };
    reader.info.dirty = reader.geometry.mounted || reader.is_unclean()?;
    let bytes = reader.root_bytes()?;
    let mut root = Dir::new(Stat::root(0o755, from_dos(0, 0)));
    reader.fill(&mut root, &bytes, &mut Vec::new(), 0)?;
    let in_boot = label(&reader.geometry.label);
    reader.info.label = reader.info.label.take().or(in_boot);
    reader.tree.root = root;
    Ok((reader.tree, reader.info))
}

struct Reader {
    source: Source,
    geometry: Geometry,
    /// The page of the table that was read last, by its offset.
    page: (u64, Vec<u8>),
    /// A bit for each cluster that some file has.
    seen: Vec<u64>,
    tree: Tree,
    info: Info,
}

fn read_at(source: &Source, offset: u64, buf: &mut [u8]) -> Result<(), Error> {
    let len = buf.len();
    source
        .read_exact_at(offset, buf)
        .map_err(|source| Error::Io {
            offset,
            len,
            source,
        })
}

fn corrupt(path: &[u8], what: String) -> Error {
    Error::Corrupt {
        path: if path.is_empty() {
            "/".into()
        } else {
            show(path)
        },
        what,
    }
}

/// The entries of a directory up to the one that ends it.
fn entries(bytes: &[u8]) -> impl Iterator<Item = &[u8; ENTRY]> {
    let (entries, _) = bytes.as_chunks();
    entries.iter().take_while(|raw| raw[0] != 0)
}

/// Eleven bytes of a label as text; `None` when blank or the text that means none.
fn label(raw: &[u8; 11]) -> Option<String> {
    // Some programs fill with NUL instead of blanks.
    let end = raw.iter().position(|byte| *byte == 0).unwrap_or(raw.len());
    let text = oem_text(raw.get(..end).unwrap_or_default());
    (!text.is_empty() && text != "NO NAME").then_some(text)
}

/// A clean, present entry's fields.
struct Short32 {
    short: Short,
    attributes: u8,
    case: u8,
    stat: Stat,
    cluster: u32,
    size: u32,
}

impl Short32 {
    /// Reads an entry of 32 bytes (fatgen103, "FAT Directory Structure").
    fn parse(raw: &[u8; ENTRY], kind: FatKind) -> Self {
        let mut short = [0; 11];
        short.copy_from_slice(&raw[..11]);
        let attributes = raw[11];
        let mtime = from_dos(le16(raw, 24), le16(raw, 22));
        let tenths = u32::from(raw[13].min(199));
        let created = from_dos(le16(raw, 16), le16(raw, 14));
        let created = Time {
            seconds: created.seconds.saturating_add(i64::from(tenths / 100)),
            nanos: (tenths % 100).saturating_mul(10_000_000),
        };
        let mode = if attributes & attr::READ_ONLY != 0 {
            0o555
        } else {
            0o755
        };
        let atime = if le16(raw, 18) == 0 {
            mtime
        } else {
            from_dos(le16(raw, 18), 0)
        };
        let crtime = (le16(raw, 16) != 0).then_some(created);
        let stat = Stat {
            atime,
            crtime,
            ..Stat::root(mode, mtime)
        };
        let high = if kind == FatKind::Fat32 {
            u32::from(le16(raw, 20)) << 16
        } else {
            0
        };
        let cluster = (high | u32::from(le16(raw, 26))) & 0x0fff_ffff;
        Self {
            short,
            attributes,
            case: raw[12],
            stat,
            cluster,
            size: le32(raw, 28),
        }
    }
}

impl Reader {
    /// The table's entry of `cluster`: the next cluster of its file, 0, or a mark.
    fn next(&mut self, cluster: u32) -> Result<u32, Error> {
        let kind = self.geometry.kind;
        let bits = kind.bits();
        let at = u64::from(cluster).saturating_mul(bits) / 8;
        let mut byte = |index| Ok(u32::from(self.table_byte(at.saturating_add(index))?));
        let low = byte(0)? | byte(1)? << 8;
        Ok(match kind {
            FatKind::Fat12 if cluster % 2 == 1 => low >> 4,
            FatKind::Fat12 => low & 0xfff,
            FatKind::Fat16 => low,
            FatKind::Fat32 => (byte(3)? << 24 | byte(2)? << 16 | low) & 0x0fff_ffff,
        })
    }

    fn table_byte(&mut self, at: u64) -> Result<u8, Error> {
        let within = at % PAGE;
        let start = at.saturating_sub(within);
        if self.page.0 != start {
            let offset = self.geometry.fat.saturating_add(start);
            let len = PAGE.min(self.geometry.end.saturating_sub(offset));
            let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
            read_at(&self.source, offset, &mut bytes)?;
            self.page = (start, bytes);
        }
        let index = usize::try_from(within).unwrap_or(usize::MAX);
        Ok(self.page.1.get(index).copied().unwrap_or(0))
    }

    /// Whether entry 1 of the table lacks the marks "unmounted" and "no errors" (fatgen103, "FAT
    /// Volume Initialization").
    fn is_unclean(&mut self) -> Result<bool, Error> {
        let mask = match self.geometry.kind {
            FatKind::Fat12 => return Ok(false),
            FatKind::Fat16 => 0xc000,
            FatKind::Fat32 => 0x0c00_0000,
        };
        Ok(self.next(1)? & mask != mask)
    }

    /// The clusters of the file that begins at `first`, as ranges of the source in the file's
    /// order; `most` bytes at most. A chain that goes on beyond `most` is cut.
    fn chain(&mut self, path: &[u8], first: u32, most: u64) -> Result<Vec<(u64, u64)>, Error> {
        let mut out: Vec<(u64, u64)> = Vec::new();
        let (mut cluster, mut left) = (first, most);
        while left > 0 {
            let Some(offset) = self.geometry.offset(cluster) else {
                return Err(corrupt(
                    path,
                    format!(
                        "its chain leads to cluster {cluster} of {}",
                        self.geometry.clusters
                    ),
                ));
            };
            self.claim(path, cluster)?;
            let part = left.min(self.geometry.cluster);
            match out.last_mut() {
                Some((start, len)) if start.saturating_add(*len) == offset => {
                    *len = len.saturating_add(part)
                }
                _ => out.push((offset, part)),
            }
            left = left.saturating_sub(part);
            let next = self.next(cluster)?;
            if next > self.geometry.kind.marks() {
                break;
            }
            cluster = next;
        }
        Ok(out)
    }

    /// Takes `cluster` for the file at `path`; it must not be taken yet.
    fn claim(&mut self, path: &[u8], cluster: u32) -> Result<(), Error> {
        let index = usize::try_from(cluster / 64).unwrap_or(usize::MAX);
        let bit = 1 << (cluster % 64);
        match self.seen.get_mut(index) {
            Some(word) if *word & bit == 0 => *word |= bit,
            _ => {
                return Err(corrupt(
                    path,
                    format!(
                        "cluster {cluster} belongs to another file too, or comes twice in this one"
                    ),
                ));
            }
        }
        Ok(())
    }

    fn root_bytes(&mut self) -> Result<Vec<u8>, Error> {
        if self.geometry.kind == FatKind::Fat32 {
            return self.dir_bytes(&[], self.geometry.root_cluster);
        }
        let (offset, len) = self.geometry.root;
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        read_at(&self.source, offset, &mut bytes)?;
        Ok(bytes)
    }

    /// The bytes of a directory up to the entry that ends it.
    fn dir_bytes(&mut self, path: &[u8], first: u32) -> Result<Vec<u8>, Error> {
        let most = len_u64(MAX_ENTRIES * ENTRY);
        let ranges = self.chain(path, first, most)?;
        let mut out = Vec::new();
        for (offset, len) in ranges {
            let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
            read_at(&self.source, offset, &mut bytes)?;
            out.extend_from_slice(&bytes);
        }
        let used = entries(&out).count();
        out.truncate(used.saturating_mul(ENTRY));
        out.shrink_to_fit();
        Ok(out)
    }

    /// Puts the entries in `bytes` into `dir`, and what is below them.
    fn fill(
        &mut self,
        dir: &mut Dir,
        bytes: &[u8],
        path: &mut Vec<u8>,
        depth: usize,
    ) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(corrupt(
                path,
                format!("more than {MAX_DEPTH} directories within each other"),
            ));
        }
        let mut long = LongParts::default();
        for raw in entries(bytes) {
            if raw[0] == 0xe5 {
                long = LongParts::default();
            } else if raw[11] & attr::LONG_NAME_MASK == attr::LONG_NAME {
                long.push(raw);
            } else {
                let entry = Short32::parse(raw, self.geometry.kind);
                let units = long.take(&entry.short);
                self.put(dir, &entry, units, path, depth)?;
            }
        }
        Ok(())
    }

    /// Puts one entry into `dir`.
    fn put(
        &mut self,
        dir: &mut Dir,
        entry: &Short32,
        long: Option<Vec<u16>>,
        path: &mut Vec<u8>,
        depth: usize,
    ) -> Result<(), Error> {
        if entry.attributes & attr::VOLUME_ID != 0 {
            if depth == 0 && self.info.label.is_none() {
                self.info.label = label(&entry.short);
            }
            return Ok(());
        }
        let name = match long {
            Some(units) => String::from_utf16(&units)
                .map_err(|_| corrupt(path, format!("a name is not valid UTF-16: {units:04x?}")))?,
            None => show_short(&entry.short, entry.case),
        };
        if depth > 0 && (name == "." || name == "..") {
            return Ok(());
        }
        if matches!(name.as_str(), "" | "." | "..")
            || name.contains(['/', '\0'])
            || name.len() > 255 * 3
        {
            return Err(corrupt(path, format!("an entry has the name {name:?}")));
        }
        let len = path.len();
        path.push(b'/');
        path.extend_from_slice(name.as_bytes());
        if entry.attributes & (attr::HIDDEN | attr::SYSTEM) != 0 {
            self.info.hidden.push(path.clone());
        }
        let made = if entry.attributes & attr::DIRECTORY != 0 {
            self.dir(entry, path, depth)?.into()
        } else {
            let content = self.content(path, entry.cluster, entry.size)?;
            let stat = Stat {
                mode: entry.stat.mode & 0o666,
                ..entry.stat.clone()
            };
            DirEntry::Leaf(self.tree.add_leaf(Leaf {
                stat,
                kind: LeafKind::File(content),
            }))
        };
        if dir.entries.insert(name.into_bytes(), made).is_some() {
            return Err(corrupt(path, "two entries have this name".into()));
        }
        path.truncate(len);
        Ok(())
    }

    fn dir(&mut self, entry: &Short32, path: &mut Vec<u8>, depth: usize) -> Result<Dir, Error> {
        let mut dir = Dir::new(entry.stat.clone());
        let bytes = self.dir_bytes(path, entry.cluster)?;
        self.fill(&mut dir, &bytes, path, depth.saturating_add(1))?;
        Ok(dir)
    }

    /// A file's bytes where they lie.
    fn content(&mut self, path: &[u8], first: u32, size: u32) -> Result<Content, Error> {
        let mut content = Content::hole(0);
        for (source_offset, len) in self.chain(path, first, u64::from(size))? {
            let source = self.source.clone();
            content.push(Run {
                offset: content.len(),
                len,
                source,
                source_offset,
            });
        }
        if content.len() != u64::from(size) {
            return Err(corrupt(
                path,
                format!("it has {size} bytes, its clusters hold {}", content.len()),
            ));
        }
        Ok(content)
    }
}
