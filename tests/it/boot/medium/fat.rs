//! A FAT32 filesystem, sector by sector, and as it is read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

/// The size of a sector, and of a cluster (bytes).
pub(crate) const SECTOR: usize = 512;
/// The sectors in front of the first table.
pub(crate) const RESERVED: u32 = 32;
/// The clusters: the fewest that make a FAT32, and some.
pub(crate) const CLUSTERS: u32 = 65_600;
/// The sectors of one table.
pub(crate) const TABLE: u32 = (CLUSTERS + 2).div_ceil(128);
/// The first sector of cluster 2.
const DATA: u32 = RESERVED + 2 * TABLE;
/// The first cluster of the root directory.
pub(crate) const ROOT: u32 = 2;
/// The cluster after which a driver looks for free ones first.
pub(crate) const LAST: u32 = 200;
/// The most sectors of a directory: 65,536 entries.
const DIRECTORY: usize = 4096;
/// An entry of the table that ends a chain.
pub(crate) const END: u32 = 0x0fff_ffff;
/// The entries of a directory in a sector.
pub(crate) const ENTRIES: usize = SECTOR / 32;

/// The bytes of a sector.
pub(crate) type Sector = Arc<[u8; SECTOR]>;

/// A medium: sectors that are not all zeros, by their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Disk {
    sectors: BTreeMap<u32, Sector>,
}

/// A file or directory as a directory has it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) is_dir: bool,
    pub(crate) first: u32,
    pub(crate) size: u32,
    /// Where its entries are: sector and number within it; the last is the short one.
    pub(crate) places: Vec<(u32, usize)>,
}

fn u16_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u16_at(bytes, at) | u16_at(bytes, at + 2) << 16
}

/// The first sector of a cluster.
pub(crate) fn sector_of(cluster: u32) -> u32 {
    DATA + (cluster - 2)
}

/// The sectors in front of the tables: the volume's own, and the count of free clusters.
pub(crate) fn first_sectors() -> std::ops::Range<u32> {
    0..RESERVED
}

/// The sectors of a volume.
pub(crate) fn sectors() -> u32 {
    DATA + CLUSTERS
}

/// Whether a sector is one of a directory, a table, or of the volume's own: not of a file's data,
/// as far as its place tells.
pub(crate) fn is_table(sector: u32) -> bool {
    sector < DATA
}

impl Disk {
    /// An empty volume, as `mkfs.vfat` makes it.
    pub(crate) fn format() -> Self {
        let mut disk = Self::default();
        let mut boot = [0_u8; SECTOR];
        boot[..3].copy_from_slice(&[0xeb, 0x58, 0x90]);
        boot[3..11].copy_from_slice(b"mkfs.fat");
        boot[11..13].copy_from_slice(&512_u16.to_le_bytes());
        boot[13] = 1;
        boot[14..16].copy_from_slice(&(RESERVED as u16).to_le_bytes());
        boot[16] = 2;
        boot[21] = 0xf8;
        boot[24] = 32;
        boot[26] = 8;
        boot[32..36].copy_from_slice(&(DATA + CLUSTERS).to_le_bytes());
        boot[36..40].copy_from_slice(&TABLE.to_le_bytes());
        boot[44..48].copy_from_slice(&ROOT.to_le_bytes());
        boot[48..50].copy_from_slice(&1_u16.to_le_bytes());
        boot[50..52].copy_from_slice(&6_u16.to_le_bytes());
        boot[64] = 0x80;
        boot[66] = 0x29;
        boot[67..71].copy_from_slice(&0x1234_5678_u32.to_le_bytes());
        boot[71..82].copy_from_slice(b"NO NAME    ");
        boot[82..90].copy_from_slice(b"FAT32   ");
        boot[510..].copy_from_slice(&[0x55, 0xaa]);
        let mut info = [0_u8; SECTOR];
        info[..4].copy_from_slice(b"RRaA");
        info[484..488].copy_from_slice(b"rrAa");
        info[488..492].copy_from_slice(&u32::MAX.to_le_bytes());
        info[492..496].copy_from_slice(&LAST.to_le_bytes());
        info[510..].copy_from_slice(&[0x55, 0xaa]);
        for (at, bytes) in [(0, boot), (1, info), (6, boot), (7, info)] {
            disk.put(at, Arc::new(bytes));
        }
        let mut table = [0_u8; SECTOR];
        for (at, value) in [(0, 0x0fff_fff8), (1, END), (2, END)] {
            table[at * 4..at * 4 + 4].copy_from_slice(&u32::to_le_bytes(value));
        }
        disk.put(RESERVED, Arc::new(table));
        disk.put(RESERVED + TABLE, Arc::new(table));
        disk
    }

    pub(crate) fn get(&self, sector: u32) -> [u8; SECTOR] {
        self.sectors
            .get(&sector)
            .map_or([0; SECTOR], |bytes| **bytes)
    }

    pub(crate) fn put(&mut self, sector: u32, bytes: Sector) {
        self.sectors.insert(sector, bytes);
    }

    /// Writes the medium to a file of the host.
    pub(crate) fn write_to(&self, file: &File) -> io::Result<()> {
        file.set_len(0)?;
        file.set_len(u64::from(DATA + CLUSTERS) * SECTOR as u64)?;
        for (sector, bytes) in &self.sectors {
            file.write_all_at(&**bytes, u64::from(*sector) * SECTOR as u64)?;
        }
        Ok(())
    }

    /// The medium as a file of the host has it, which was written from this one, and of which no
    /// sector that is all zeros was changed.
    pub(crate) fn reread(&self, file: &File) -> io::Result<Self> {
        let mut out = Self::default();
        for sector in self.sectors.keys() {
            let mut bytes = [0; SECTOR];
            file.read_exact_at(&mut bytes, u64::from(*sector) * SECTOR as u64)?;
            out.put(*sector, Arc::new(bytes));
        }
        Ok(out)
    }

    pub(crate) fn next(&self, cluster: u32) -> u32 {
        let bytes = self.get(RESERVED + cluster / 128);
        u32_at(&bytes, (cluster % 128) as usize * 4) & END
    }

    /// The clusters of a chain, and whether it ends as it should; no more than the volume has.
    pub(crate) fn chain(&self, first: u32) -> (Vec<u32>, bool) {
        let mut out = Vec::new();
        let mut at = first;
        while (2..CLUSTERS + 2).contains(&at) && out.len() < CLUSTERS as usize {
            out.push(at);
            at = self.next(at);
        }
        (out, at >= 0x0fff_fff8)
    }

    pub(crate) fn slots(&self, dir: u32) -> Vec<(u32, usize, [u8; 32])> {
        let sectors = self.chain(dir).0.into_iter().map(sector_of);
        sectors
            .take(DIRECTORY)
            .flat_map(|sector| {
                let bytes = self.get(sector);
                (0..ENTRIES).map(move |at| {
                    let raw = bytes[at * 32..at * 32 + 32].try_into().unwrap();
                    (sector, at, raw)
                })
            })
            .collect()
    }

    /// The entries of the directory that begins at a cluster, but for `.` and `..`.
    fn entries(&self, dir: u32) -> Vec<Entry> {
        let mut out = Vec::new();
        let mut long: Vec<(u8, Vec<u16>)> = Vec::new();
        let mut places = Vec::new();
        for (sector, at, raw) in self.slots(dir) {
            match raw[0] {
                0 => break,
                0xe5 => {
                    long.clear();
                    places.clear();
                    continue;
                }
                _ => places.push((sector, at)),
            }
            if raw[11] == 0x0f {
                if raw[0] & 0x40 != 0 {
                    long.clear();
                    places = vec![(sector, at)];
                }
                let chars = [1..11, 14..26, 28..32].into_iter().flatten();
                let units: Vec<u16> = chars
                    .step_by(2)
                    .map(|at| u16::from_le_bytes([raw[at], raw[at + 1]]))
                    .take_while(|unit| *unit != 0 && *unit != 0xffff)
                    .collect();
                long.insert(0, (raw[13], units));
                continue;
            }
            let short: [u8; 11] = raw[..11].try_into().unwrap();
            let is_long = !long.is_empty() && long.iter().all(|part| part.0 == checksum(&short));
            let name = if is_long {
                let units: Vec<u16> = long.iter().flat_map(|part| part.1.clone()).collect();
                String::from_utf16_lossy(&units)
            } else {
                short_name(&short)
            };
            let own = places.len();
            let places_of = std::mem::take(&mut places);
            long.clear();
            if raw[11] & 0x08 != 0 || name == "." || name == ".." {
                continue;
            }
            out.push(Entry {
                name,
                is_dir: raw[11] & 0x10 != 0,
                first: u16_at(&raw, 20) << 16 | u16_at(&raw, 26),
                size: u32_at(&raw, 28),
                places: if is_long {
                    places_of
                } else {
                    places_of[own - 1..].to_vec()
                },
            });
        }
        out
    }

    pub(crate) fn find(&self, path: &str) -> Option<Entry> {
        let mut dir = ROOT;
        let mut found = None;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let mut entries = self.entries(dir).into_iter();
            let entry = entries.find(|entry| entry.name.eq_ignore_ascii_case(name))?;
            dir = entry.first;
            found = Some(entry);
        }
        found
    }

    /// The entries of a directory, `""` for the root.
    pub(crate) fn list(&self, path: &str) -> Vec<Entry> {
        let dir = if path.is_empty() {
            Some(ROOT)
        } else {
            self.find(path)
                .filter(|entry| entry.is_dir)
                .map(|entry| entry.first)
        };
        dir.map(|dir| self.entries(dir)).unwrap_or_default()
    }

    /// The content of a file: `None` if there is none, or if its chain ends before it does.
    pub(crate) fn read(&self, path: &str) -> Option<Vec<u8>> {
        let entry = self.find(path).filter(|entry| !entry.is_dir)?;
        self.content(&entry)
    }

    pub(crate) fn content(&self, entry: &Entry) -> Option<Vec<u8>> {
        let (chain, _) = self.chain(entry.first);
        let needed = (entry.size as usize).div_ceil(SECTOR);
        let bytes: Vec<u8> = chain
            .get(..needed)?
            .iter()
            .flat_map(|cluster| self.get(sector_of(*cluster)))
            .take(entry.size as usize)
            .collect();
        Some(bytes)
    }

    /// Whether the chain of a file or directory is one that the driver can free or read to its end:
    /// anything else makes it stop writing to the volume.
    pub(crate) fn is_sound(&self, entry: &Entry) -> bool {
        let (chain, ends) = self.chain(entry.first);
        (entry.first == 0 && entry.size == 0)
            || (ends && chain.len() >= (entry.size as usize).div_ceil(SECTOR))
    }

    /// A number for what can be seen of it: names, contents, and which of them cannot be read.
    pub(crate) fn visible(&self) -> u64 {
        let mut all: Vec<_> = self.walk();
        all.sort_by(|one, two| one.0.cmp(&two.0));
        let all = all.into_iter().map(|(path, entry)| {
            let bytes = match entry.is_dir {
                true => None,
                false => self.content(&entry),
            };
            (path, entry.is_dir, bytes)
        });
        super::hash(all.collect::<Vec<_>>())
    }

    /// The paths of all files, a few directories deep.
    pub(crate) fn walk(&self) -> Vec<(String, Entry)> {
        let mut out = Vec::new();
        let mut dirs = vec![(String::new(), ROOT)];
        let mut seen = BTreeSet::from([ROOT]);
        while let Some((path, dir)) = dirs.pop() {
            for entry in self.entries(dir) {
                let path = format!("{path}{}", entry.name);
                if entry.is_dir && path.matches('/').count() < 4 && seen.insert(entry.first) {
                    dirs.push((format!("{path}/"), entry.first));
                }
                out.push((path, entry));
            }
        }
        out
    }
}

pub(crate) fn checksum(short: &[u8; 11]) -> u8 {
    short
        .iter()
        .fold(0, |sum: u8, byte| sum.rotate_right(1).wrapping_add(*byte))
}

/// The file of a set that has its name in capitals.
const CAPITALS: &str = "README";

/// A name without a long one, as the tools write it: a FAT ignores case, the directory that stands
/// for it does not.
fn short_name(short: &[u8; 11]) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_lowercase();
    let name = match text(&short[8..]).as_str() {
        "" => text(&short[..8]),
        end => format!("{}.{end}", text(&short[..8])),
    };
    match name.eq_ignore_ascii_case(CAPITALS) {
        true => CAPITALS.to_owned(),
        false => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::medium::driver::Driver;

    /// Kernels and initial RAM disks are larger than the files of the other tests.
    #[test]
    fn a_large_file_is_read_whole() {
        let mut driver = Driver::new(Disk::format(), false);
        let bytes: Vec<u8> = (0..3_u32 << 20).map(|at| (at / 511) as u8).collect();
        driver.put("kernel8.img", &bytes);
        let entry = driver.now.find("kernel8.img").unwrap();
        assert!(driver.now.is_sound(&entry));
        assert!(driver.now.read("kernel8.img").as_ref() == Some(&bytes));
        driver.remove("kernel8.img");
        assert!(!driver.read_only && driver.now.find("kernel8.img").is_none());
    }
}
