//! A FAT32 filesystem as Linux's driver writes it, sector by sector, and as others read it.
//!
//! The driver itself cannot be recorded here, so this follows `fs/fat` of Linux: which sectors an
//! operation changes, and to what. The order in which they reach the medium is not a part of it:
//! the page cache and the medium may write each sector at any time between two flushes, in any of
//! the versions that it has had since the last one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

/// The size of a sector, and of a cluster (bytes).
pub(super) const SECTOR: usize = 512;
/// The sectors in front of the first table.
const RESERVED: u32 = 32;
/// The clusters: the fewest that make a FAT32, and some.
const CLUSTERS: u32 = 65_600;
/// The sectors of one table.
const TABLE: u32 = (CLUSTERS + 2).div_ceil(128);
/// The first sector of cluster 2.
const DATA: u32 = RESERVED + 2 * TABLE;
/// The first cluster of the root directory.
const ROOT: u32 = 2;
/// An entry of the table that ends a chain.
const END: u32 = 0x0fff_ffff;
/// The entries of a directory in a sector.
const ENTRIES: usize = SECTOR / 32;

/// The bytes of a sector.
pub(super) type Sector = Arc<[u8; SECTOR]>;

/// A medium: sectors that are not all zeros, by their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Disk {
    sectors: BTreeMap<u32, Sector>,
}

/// A file or directory as a directory has it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) is_dir: bool,
    first: u32,
    size: u32,
    /// Where its entries are: sector and number within it; the last is the short one.
    places: Vec<(u32, usize)>,
}

fn u16_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u16_at(bytes, at) | u16_at(bytes, at + 2) << 16
}

/// The first sector of a cluster.
fn sector_of(cluster: u32) -> u32 {
    DATA + (cluster - 2)
}

/// Whether a sector is one of a directory, a table, or of the volume's own: not of a file's data,
/// as far as its place tells.
pub(super) fn is_table(sector: u32) -> bool {
    sector < DATA
}

impl Disk {
    /// An empty volume, as `mkfs.vfat` makes it.
    pub(super) fn format() -> Self {
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
        info[492..496].copy_from_slice(&u32::MAX.to_le_bytes());
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

    fn get(&self, sector: u32) -> [u8; SECTOR] {
        self.sectors
            .get(&sector)
            .map_or([0; SECTOR], |bytes| **bytes)
    }

    pub(super) fn put(&mut self, sector: u32, bytes: Sector) {
        self.sectors.insert(sector, bytes);
    }

    /// Writes the medium to a file of the host.
    pub(super) fn write_to(&self, file: &File) -> io::Result<()> {
        file.set_len(0)?;
        file.set_len(u64::from(DATA + CLUSTERS) * SECTOR as u64)?;
        for (sector, bytes) in &self.sectors {
            file.write_all_at(&**bytes, u64::from(*sector) * SECTOR as u64)?;
        }
        Ok(())
    }

    /// The medium as a file of the host has it, which was written from this one, and of which no
    /// sector that is all zeros was changed.
    pub(super) fn reread(&self, file: &File) -> io::Result<Self> {
        let mut out = Self::default();
        for sector in self.sectors.keys() {
            let mut bytes = [0; SECTOR];
            file.read_exact_at(&mut bytes, u64::from(*sector) * SECTOR as u64)?;
            out.put(*sector, Arc::new(bytes));
        }
        Ok(out)
    }

    fn next(&self, cluster: u32) -> u32 {
        let bytes = self.get(RESERVED + cluster / 128);
        u32_at(&bytes, (cluster % 128) as usize * 4) & END
    }

    /// The clusters of a chain, and whether it ends as it should.
    fn chain(&self, first: u32) -> (Vec<u32>, bool) {
        let mut out = Vec::new();
        let mut at = first;
        while (2..CLUSTERS + 2).contains(&at) && out.len() < 4096 {
            out.push(at);
            at = self.next(at);
        }
        (out, at >= 0x0fff_fff8)
    }

    fn slots(&self, dir: u32) -> Vec<(u32, usize, [u8; 32])> {
        let sectors = self.chain(dir).0.into_iter().map(sector_of);
        sectors
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

    fn find(&self, path: &str) -> Option<Entry> {
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
    pub(super) fn list(&self, path: &str) -> Vec<Entry> {
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
    pub(super) fn read(&self, path: &str) -> Option<Vec<u8>> {
        let entry = self.find(path).filter(|entry| !entry.is_dir)?;
        self.content(&entry)
    }

    pub(super) fn content(&self, entry: &Entry) -> Option<Vec<u8>> {
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
    fn is_sound(&self, entry: &Entry) -> bool {
        let (chain, ends) = self.chain(entry.first);
        (entry.first == 0 && entry.size == 0)
            || (ends && chain.len() >= (entry.size as usize).div_ceil(SECTOR))
    }

    /// The paths of all files, a few directories deep.
    pub(super) fn walk(&self) -> Vec<(String, Entry)> {
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

fn checksum(short: &[u8; 11]) -> u8 {
    short
        .iter()
        .fold(0, |sum: u8, byte| sum.rotate_right(1).wrapping_add(*byte))
}

fn short_name(short: &[u8; 11]) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_lowercase();
    match text(&short[8..]).as_str() {
        "" => text(&short[..8]),
        end => format!("{}.{end}", text(&short[..8])),
    }
}

/// The driver: a medium, and sectors that are not there yet.
#[derive(Clone, Debug)]
pub(super) struct Driver {
    /// What the medium has for sure.
    pub(super) durable: Disk,
    /// What the driver sees.
    pub(super) now: Disk,
    /// Each sector that was written since the last flush, in all its versions, in order.
    pub(super) pending: Vec<(u32, Sector)>,
    /// Whether the driver stopped writing because of something that cannot be.
    pub(super) read_only: bool,
    /// Whether clusters are taken from the lowest free one on, which takes those first that were
    /// just freed; else from the one after the last that was taken.
    pub(super) reuses: bool,
    last: u32,
}

impl Driver {
    pub(super) fn new(disk: Disk, reuses: bool) -> Self {
        Self {
            durable: disk.clone(),
            now: disk,
            pending: Vec::new(),
            read_only: false,
            reuses,
            last: 200,
        }
    }

    /// The medium has all that was written.
    pub(super) fn flush(&mut self) {
        self.durable = self.now.clone();
        self.pending.clear();
    }

    fn write(&mut self, sector: u32, bytes: [u8; SECTOR]) {
        if self.read_only || self.now.get(sector) == bytes {
            return;
        }
        let bytes = Arc::new(bytes);
        self.now.put(sector, Arc::clone(&bytes));
        self.pending.push((sector, bytes));
    }

    fn link(&mut self, cluster: u32, next: u32) {
        for table in [RESERVED, RESERVED + TABLE] {
            let mut bytes = self.now.get(table + cluster / 128);
            let at = (cluster % 128) as usize * 4;
            bytes[at..at + 4].copy_from_slice(&next.to_le_bytes());
            self.write(table + cluster / 128, bytes);
        }
    }

    fn allocate(&mut self, after: Option<u32>) -> u32 {
        let start = if self.reuses { 3 } else { self.last + 1 };
        let all = (start..CLUSTERS + 2).chain(3..start);
        let mut free = all.filter(|cluster| self.now.next(*cluster) == 0);
        let cluster = free.next().expect("a free cluster");
        self.last = cluster;
        self.link(cluster, END);
        if let Some(after) = after {
            self.link(after, cluster);
        }
        cluster
    }

    fn release(&mut self, first: u32) {
        let (chain, ends) = self.now.chain(first);
        for cluster in chain {
            self.link(cluster, 0);
        }
        self.read_only |= first != 0 && !ends;
    }

    fn dir(&self, path: &str) -> Option<(u32, String)> {
        match path.rsplit_once('/') {
            None => Some((ROOT, path.to_owned())),
            Some((dir, name)) => {
                let entry = self.now.find(dir).filter(|entry| entry.is_dir)?;
                Some((entry.first, name.to_owned()))
            }
        }
    }

    /// Writes the entries of a new file or directory.
    fn enter(&mut self, path: &str, first: u32, is_dir: bool) -> (u32, usize) {
        let (dir, name) = self.dir(path).expect("its directory");
        let taken: BTreeSet<Vec<u8>> = self
            .now
            .slots(dir)
            .iter()
            .map(|(_, _, raw)| raw[..11].to_vec())
            .collect();
        let short = (1..)
            .map(|number| alias(&name, number))
            .find(|short| !taken.contains(&short[..]))
            .unwrap();
        let raws = raw_entries(&name, &short, first, is_dir);
        let mut places: Vec<(u32, usize)> = Vec::new();
        let mut at_end = false;
        for (sector, at, raw) in self.now.slots(dir) {
            at_end |= raw[0] == 0;
            if at_end || raw[0] == 0xe5 {
                places.push((sector, at));
            } else {
                places.clear();
            }
            if places.len() == raws.len() {
                break;
            }
        }
        if places.len() < raws.len() {
            places.extend(self.extend(dir));
        }
        for (place, raw) in places.iter().zip(&raws) {
            self.set(*place, raw);
        }
        places[raws.len() - 1]
    }

    /// A new cluster of a directory: zeros, then a part of it.
    fn extend(&mut self, dir: u32) -> Vec<(u32, usize)> {
        let last = *self.now.chain(dir).0.last().unwrap();
        let cluster = self.allocate(None);
        self.write(sector_of(cluster), [0; SECTOR]);
        self.link(last, cluster);
        (0..ENTRIES).map(|at| (sector_of(cluster), at)).collect()
    }

    fn set(&mut self, (sector, at): (u32, usize), raw: &[u8]) {
        let mut bytes = self.now.get(sector);
        bytes[at * 32..at * 32 + 32].copy_from_slice(raw);
        self.write(sector, bytes);
    }

    /// Sets first cluster and size of a file, and a time that has passed.
    fn update(&mut self, place: (u32, usize), first: u32, size: u32) {
        let bytes = self.now.get(place.0);
        let mut raw: [u8; 32] = bytes[place.1 * 32..place.1 * 32 + 32].try_into().unwrap();
        raw[20..22].copy_from_slice(&((first >> 16) as u16).to_le_bytes());
        raw[26..28].copy_from_slice(&(first as u16).to_le_bytes());
        raw[28..32].copy_from_slice(&size.to_le_bytes());
        let time = u16::from_le_bytes([raw[22], raw[23]]).wrapping_add(1);
        raw[22..24].copy_from_slice(&time.to_le_bytes());
        self.set(place, &raw);
    }

    /// `open` with `O_CREAT | O_TRUNC`, and writes: what `cp` does.
    pub(super) fn put(&mut self, path: &str, bytes: &[u8]) {
        if self.read_only {
            return;
        }
        let place = match self.now.find(path) {
            Some(entry) => {
                let place = *entry.places.last().unwrap();
                if !self.now.is_sound(&entry) {
                    self.read_only = true;
                    return;
                }
                self.update(place, 0, 0);
                self.release(entry.first);
                place
            }
            None => self.enter(path, 0, false),
        };
        let mut first = 0;
        let mut last = None;
        for chunk in bytes.chunks(SECTOR) {
            let cluster = self.allocate(last);
            if last.is_none() {
                first = cluster;
            }
            last = Some(cluster);
            let mut data = [0; SECTOR];
            data[..chunk.len()].copy_from_slice(chunk);
            self.write(sector_of(cluster), data);
        }
        self.update(place, first, bytes.len() as u32);
    }

    /// A write of the same length into a file: `dd conv=notrunc`.
    pub(super) fn overwrite(&mut self, path: &str, bytes: &[u8]) {
        let Some(entry) = self.now.find(path) else {
            return;
        };
        assert_eq!(entry.size as usize, bytes.len(), "{path}: the same length");
        let (chain, _) = self.now.chain(entry.first);
        for (cluster, chunk) in chain.into_iter().zip(bytes.chunks(SECTOR)) {
            let mut data = [0; SECTOR];
            data[..chunk.len()].copy_from_slice(chunk);
            self.write(sector_of(cluster), data);
        }
        self.update(*entry.places.last().unwrap(), entry.first, entry.size);
    }

    pub(super) fn remove(&mut self, path: &str) {
        let Some(entry) = self.now.find(path).filter(|_| !self.read_only) else {
            return;
        };
        self.strike(&entry);
        self.release(entry.first);
    }

    fn strike(&mut self, entry: &Entry) {
        for (sector, at) in entry.places.iter().rev() {
            let mut bytes = self.now.get(*sector);
            bytes[at * 32] = 0xe5;
            self.write(*sector, bytes);
        }
    }

    pub(super) fn mkdir(&mut self, path: &str) {
        if self.read_only || self.now.find(path).is_some() {
            return;
        }
        let Some((parent, _)) = self.dir(path) else {
            return;
        };
        let cluster = self.allocate(None);
        let mut bytes = [0; SECTOR];
        let dots = [(*b".          ", cluster), (*b"..         ", parent)];
        for (at, (name, first)) in dots.into_iter().enumerate() {
            let first = if first == ROOT { 0 } else { first };
            bytes[at * 32..at * 32 + 11].copy_from_slice(&name);
            bytes[at * 32 + 11] = 0x10;
            bytes[at * 32 + 20..at * 32 + 22]
                .copy_from_slice(&((first >> 16) as u16).to_le_bytes());
            bytes[at * 32 + 26..at * 32 + 28].copy_from_slice(&(first as u16).to_le_bytes());
        }
        self.write(sector_of(cluster), bytes);
        self.enter(path, cluster, true);
    }

    /// `rename` onto a file that exists: its entry gets the new cluster, then the old name goes,
    /// then the clusters that nothing names any more.
    pub(super) fn rename(&mut self, from: &str, to: &str) {
        let (Some(old), Some(new)) = (self.now.find(from), self.now.find(to)) else {
            return;
        };
        self.update(*new.places.last().unwrap(), old.first, old.size);
        self.strike(&old);
        self.release(new.first);
    }
}

/// A short name for a long one.
fn alias(name: &str, number: u32) -> [u8; 11] {
    let (stem, end) = name.rsplit_once('.').unwrap_or((name, ""));
    let clean = |text: &str, most: usize| -> Vec<u8> {
        let kept = text.bytes().filter(u8::is_ascii_alphanumeric);
        kept.map(|byte| byte.to_ascii_uppercase())
            .take(most)
            .collect()
    };
    let mut out = [b' '; 11];
    let tail = format!("~{number}");
    let mut head = clean(stem, 8 - tail.len());
    head.extend(tail.bytes());
    out[..head.len()].copy_from_slice(&head);
    let end = clean(end, 3);
    out[8..8 + end.len()].copy_from_slice(&end);
    out
}

/// The entries of a name: the parts of the long one, the last first, and the short one.
fn raw_entries(name: &str, short: &[u8; 11], first: u32, is_dir: bool) -> Vec<[u8; 32]> {
    let mut units: Vec<u16> = name.encode_utf16().collect();
    if !units.len().is_multiple_of(13) {
        units.push(0);
        units.resize(units.len().next_multiple_of(13), 0xffff);
    }
    let parts = units.chunks(13).count();
    let mut out = Vec::new();
    for (at, part) in units.chunks(13).enumerate().rev() {
        let mut raw = [0_u8; 32];
        raw[0] = (at + 1) as u8 | if at + 1 == parts { 0x40 } else { 0 };
        raw[11] = 0x0f;
        raw[13] = checksum(short);
        let places = [1..11, 14..26, 28..32].into_iter().flatten().step_by(2);
        for (place, unit) in places.zip(part) {
            raw[place..place + 2].copy_from_slice(&unit.to_le_bytes());
        }
        out.push(raw);
    }
    let mut raw = [0_u8; 32];
    raw[..11].copy_from_slice(short);
    raw[11] = if is_dir { 0x10 } else { 0x20 };
    raw[20..22].copy_from_slice(&((first >> 16) as u16).to_le_bytes());
    raw[26..28].copy_from_slice(&(first as u16).to_le_bytes());
    out.push(raw);
    out
}
