//! Linux's driver of a FAT32, by the sectors that it writes.
//!
//! This follows `fs/fat` of Linux: which sectors an operation changes, and to what. Recordings of a
//! real kernel are held against it. The order in which sectors reach the medium is not a part of
//! it: the page cache and the medium may write each of them at any time between two flushes, in any
//! of the versions that it has had since the last one.

use super::fat::{
    CLUSTERS, Disk, END, ENTRIES, Entry, LAST, RESERVED, ROOT, SECTOR, Sector, TABLE, checksum,
    sector_of,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The driver: a medium, and sectors that are not there yet.
#[derive(Clone, Debug)]
pub(crate) struct Driver {
    /// What the medium has for sure.
    pub(crate) durable: Disk,
    /// What the driver sees.
    pub(crate) now: Disk,
    /// Each sector that was written since the last flush, in all its versions, in order.
    pub(crate) pending: Vec<(u32, Sector)>,
    /// Whether the driver stopped writing because of something that cannot be.
    pub(crate) read_only: bool,
    /// Whether clusters are taken from the lowest free one on, which takes those first that were
    /// just freed; else from the one after the last that was taken.
    pub(crate) reuses: bool,
    last: u32,
}

impl Driver {
    pub(crate) fn new(disk: Disk, reuses: bool) -> Self {
        Self {
            durable: disk.clone(),
            now: disk,
            pending: Vec::new(),
            read_only: false,
            reuses,
            last: LAST,
        }
    }

    /// The medium has all that was written.
    pub(crate) fn flush(&mut self) {
        self.durable = self.now.clone();
        self.pending.clear();
    }

    /// `mkfs.vfat`: new tables and an empty root directory; what files had stays in their clusters.
    pub(crate) fn format(&mut self) {
        let empty = Disk::format();
        self.read_only = false;
        for sector in 0..=sector_of(ROOT) {
            self.write(sector, empty.get(sector));
        }
        self.last = LAST;
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
        let numbered = || (1..).map(|number| alias(&name, number));
        let short = exact(&name)
            .into_iter()
            .chain(numbered())
            .find(|short| !taken.contains(&short[..]))
            .unwrap();
        let mut raws = raw_entries(&name, &short, first, is_dir);
        // A short name in capitals has no long one.
        if exact(&name) == Some(short) && !name.contains(|c: char| c.is_ascii_lowercase()) {
            raws.drain(..raws.len() - 1);
        }
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
    pub(crate) fn put(&mut self, path: &str, bytes: &[u8]) {
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
    pub(crate) fn overwrite(&mut self, path: &str, bytes: &[u8]) {
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

    pub(crate) fn remove(&mut self, path: &str) {
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

    pub(crate) fn mkdir(&mut self, path: &str) {
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
    pub(crate) fn rename(&mut self, from: &str, to: &str) {
        let (Some(old), Some(new)) = (self.now.find(from), self.now.find(to)) else {
            return;
        };
        self.update(*new.places.last().unwrap(), old.first, old.size);
        self.strike(&old);
        self.release(new.first);
    }
}

/// A character as short names have it, and whether it is the same but for capitals; `None` for one
/// that they leave out.
fn short_char(c: char) -> Option<(u8, bool)> {
    match c {
        ' ' | '.' => None,
        '[' | ']' | ';' | ',' | '+' | '=' => Some((b'_', false)),
        c if c.is_ascii() => Some((c.to_ascii_uppercase() as u8, true)),
        _ => Some((b'_', false)),
    }
}

/// The short name that says all of this one.
fn exact(name: &str) -> Option<[u8; 11]> {
    let (stem, end) = name.rsplit_once('.').unwrap_or((name, ""));
    let fits = (1..=8).contains(&stem.len()) && end.len() <= 3;
    let mut chars = stem.chars().chain(end.chars());
    if !fits || !chars.all(|c| short_char(c).is_some_and(|(_, same)| same)) {
        return None;
    }
    let mut out = [b' '; 11];
    for (at, byte) in stem.bytes().enumerate() {
        out[at] = byte.to_ascii_uppercase();
    }
    for (at, byte) in end.bytes().enumerate() {
        out[8 + at] = byte.to_ascii_uppercase();
    }
    Some(out)
}

/// A numbered short name for a long one.
fn alias(name: &str, number: u32) -> [u8; 11] {
    let (stem, end) = name.rsplit_once('.').unwrap_or((name, ""));
    let clean = |text: &str, most: usize| -> Vec<u8> {
        let kept = text.chars().filter_map(short_char);
        kept.map(|(byte, _)| byte).take(most).collect()
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
