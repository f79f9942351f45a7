//! A tree to FAT: metadata in memory, file data as runs; every file in one piece, so block lists of
//! boot loaders hold.

use super::Error;
use super::format::{ENTRY, FatKind, MAX_ENTRIES, attr};
use super::name::{self, Short};
use super::time::to_dos;
use crate::stream::{Content, ReadAt, Run};
use crate::tree::{Dir, DirEntry, LeafKind, Stat, Time, Tree, show};
use crate::units::{KIB, SECTOR, align_up};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Which width the table has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestedKind {
    /// FAT32 where it can be (from about 33 MiB on), else FAT16, else FAT12.
    #[default]
    Auto,
    /// FAT16.
    Fat16,
    /// FAT32.
    Fat32,
}

/// What a new FAT filesystem is made from, besides its tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The serial number, shown as `XXXX-XXXX` and used in `/etc/fstab`.
    pub volume_id: u32,
    /// The label: 1 to 11 ASCII characters.
    pub label: Option<String>,
    /// The label's time.
    pub time: Time,
    /// Which width.
    pub kind: RequestedKind,
    /// The sectors before the partition, for firmware that reads `BPB_HiddSec`.
    pub hidden_sectors: u32,
}

/// The least and most clusters that tell each kind; 16 away from the limits, since readers disagree
/// about them (fatgen103 asks so).
const FAT12_MOST: u64 = 4084 - 16;
const FAT16_LEAST: u64 = 4085 + 16;
const FAT16_MOST: u64 = 65_524 - 16;
const FAT32_LEAST: u64 = 65_525 + 16;
/// The sizes of clusters that every reader takes (bytes).
const CLUSTERS: [u64; 7] = [512, KIB, 2 * KIB, 4 * KIB, 8 * KIB, 16 * KIB, 32 * KIB];
/// Clusters of FAT32 grow beyond 4 KiB only when there would be more than this many.
const FAT32_COMFORT: u64 = 1 << 21;
/// Copies of the table.
const FATS: u64 = 2;
/// The root directory of FAT12 and FAT16 has at least this many entries.
const ROOT_ENTRIES: usize = 512;
/// Media byte of fixed disks.
const MEDIA: u8 = 0xf8;
/// Where FAT32 keeps FSInfo and the copies of its first two sectors (sectors).
const FSINFO: u64 = 1;
const BACKUP: u64 = 6;
/// The largest file: its size has 32 bits.
const MAX_FILE: u64 = u32::MAX as u64;
/// Clusters begin at a multiple of this, as flash memory likes it (bytes).
const ALIGN: u64 = 4 * KIB;

/// Makes a FAT filesystem of `size` bytes that holds `tree`. Owners and modes but the owner's write
/// bit are not kept; a file with several names is written once for each; the root directory has no
/// times. Runs cover everything up to the last cluster in use, so a device may keep what it has
/// behind that.
///
/// # Errors
/// [`Error::Unwritable`] names what FAT cannot hold, [`Error::TooSmall`] the size that would do.
pub fn write(tree: &Tree, size: u64, options: &Options) -> Result<Content, Error> {
    let mut plan = Plan::new(tree)?;
    let label = label_bytes(options.label.as_deref())?;
    if !size.is_multiple_of(SECTOR) {
        return Err(Error::Options(format!(
            "a FAT filesystem of {size} bytes ends within a sector"
        )));
    }
    let layout = layout(size, options.kind, &plan)?.filter(|layout| plan.missing(layout) == 0);
    let Some(layout) = layout else {
        return Err(Error::TooSmall {
            size,
            needed: smallest(&plan, options.kind)?,
        });
    };
    let free = plan.place(&layout);
    Ok(emit(&plan, &layout, options, label, free))
}

/// A size in bytes, a multiple of 512, in which [`write()`] can put `tree`, and hardly more than it
/// needs.
///
/// # Errors
/// [`Error::Unwritable`] names what FAT cannot hold.
pub fn minimum_size(tree: &Tree, options: &Options) -> Result<u64, Error> {
    smallest(&Plan::new(tree)?, options.kind)
}

fn smallest(plan: &Plan<'_>, kind: RequestedKind) -> Result<u64, Error> {
    let mut size = match kind {
        RequestedKind::Auto => 16 * SECTOR,
        RequestedKind::Fat16 => FAT16_LEAST * SECTOR,
        RequestedKind::Fat32 => FAT32_LEAST * SECTOR,
    };
    loop {
        match layout(size, kind, plan)? {
            Some(layout) if plan.missing(&layout) == 0 => return Ok(size),
            Some(layout) => size += plan.missing(&layout) * layout.cluster,
            None => size += SECTOR,
        }
    }
}

/// A directory or file and the clusters it gets.
struct Node<'t> {
    name: &'t str,
    short: Short,
    stat: &'t Stat,
    what: What<'t>,
    /// Its first cluster; 0: none.
    first: u32,
}

enum What<'t> {
    /// The index of the directory in [`Plan::dirs`].
    Dir(usize),
    File(&'t Content),
}

/// A directory: its entries in the order of their names.
struct DirPlan<'t> {
    nodes: Vec<Node<'t>>,
    stat: &'t Stat,
    parent: usize,
    /// Bytes of its entries.
    len: usize,
    first: u32,
}

/// Everything to write, in the order in which clusters are given: all directories, parents first,
/// then all files.
struct Plan<'t> {
    dirs: Vec<DirPlan<'t>>,
}

fn unwritable(path: &[u8], what: impl Into<String>) -> Error {
    Error::Unwritable {
        path: show(path),
        what: what.into(),
    }
}

impl<'t> Plan<'t> {
    fn new(tree: &'t Tree) -> Result<Self, Error> {
        let mut plan = Self { dirs: Vec::new() };
        let mut todo = vec![(Vec::new(), &tree.root, 0, None)];
        while let Some((path, dir, parent, slot)) = todo.pop() {
            let index = plan.dirs.len();
            let made = dir_plan(tree, dir, &path, parent)?;
            plan.dirs.push(made);
            if let Some(slot) = slot {
                let node: &mut Node<'_> = &mut plan.dirs[parent].nodes[slot];
                node.what = What::Dir(index);
            }
            for (slot, (name, entry)) in dir
                .entries
                .iter()
                .enumerate()
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
            {
                if let DirEntry::Dir(child) = entry {
                    todo.push((join(&path, name), child, index, Some(slot)));
                }
            }
        }
        Ok(plan)
    }

    /// How many clusters of this size all of it takes. The root directory counts: FAT32 has it in
    /// clusters (and the others spare it).
    fn clusters(&self, cluster: u64) -> u64 {
        let files = self
            .dirs
            .iter()
            .flat_map(|dir| &dir.nodes)
            .map(|node| match node.what {
                What::File(content) => content.len().div_ceil(cluster),
                What::Dir(_) => 0,
            });
        self.dirs
            .iter()
            .map(|dir| (dir.len as u64).div_ceil(cluster).max(1))
            .sum::<u64>()
            + files.sum::<u64>()
    }

    /// How many clusters `layout` lacks.
    fn missing(&self, layout: &Layout) -> u64 {
        self.clusters(layout.cluster)
            .saturating_sub(layout.clusters)
    }

    /// Gives everything its clusters and returns the first free one.
    fn place(&mut self, layout: &Layout) -> u32 {
        let mut next = 2;
        let mut take = |len: u64| {
            let first = if len == 0 { 0 } else { next };
            next += u32::try_from(len.div_ceil(layout.cluster)).unwrap_or(u32::MAX);
            first
        };
        let in_clusters = layout.kind == FatKind::Fat32;
        for (index, dir) in self.dirs.iter_mut().enumerate() {
            dir.first = if index > 0 || in_clusters {
                take(dir.len.max(1) as u64)
            } else {
                0
            };
        }
        let firsts: Vec<u32> = self.dirs.iter().map(|dir| dir.first).collect();
        for node in self.dirs.iter_mut().flat_map(|dir| &mut dir.nodes) {
            node.first = match node.what {
                What::Dir(index) => firsts[index],
                What::File(content) => take(content.len()),
            };
        }
        next
    }
}

fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    [path, b"/", name].concat()
}

/// Checks one directory's names and leaves, and shortens the names.
fn dir_plan<'t>(
    tree: &'t Tree,
    dir: &'t Dir,
    path: &[u8],
    parent: usize,
) -> Result<DirPlan<'t>, Error> {
    let names = texts(dir, path)?;
    let mut nodes = Vec::with_capacity(names.len());
    for ((entry, name), short) in dir.entries.values().zip(&names).zip(name::shorten(&names)) {
        let path = join(path, name.as_bytes());
        let short = short
            .ok_or_else(|| unwritable(&path, "too many names here have the same short form"))?;
        let (stat, what) = match entry {
            DirEntry::Dir(dir) => (&dir.stat, What::Dir(0)),
            DirEntry::Leaf(id) => {
                let leaf = tree.leaf(*id);
                (&leaf.stat, What::File(file(&leaf.kind, &path)?))
            }
        };
        nodes.push(Node {
            name,
            short,
            stat,
            what,
            first: 0,
        });
    }
    // The root has a label in place of `.` and `..`; room for it is kept even when there is none.
    let entries = 2 + nodes
        .iter()
        .map(|node| 1 + long_len(node) / ENTRY)
        .sum::<usize>();
    if entries > MAX_ENTRIES {
        return Err(unwritable(
            path,
            format!("its {entries} directory entries exceed {MAX_ENTRIES}"),
        ));
    }
    Ok(DirPlan {
        nodes,
        stat: &dir.stat,
        parent,
        len: entries * ENTRY,
        first: 0,
    })
}

fn long_len(node: &Node<'_>) -> usize {
    if name::needs_long(node.name, &node.short) {
        node.name.encode_utf16().count().div_ceil(13) * ENTRY
    } else {
        0
    }
}

/// The names of a directory as text, such as FAT can hold and different in more than case.
fn texts<'t>(dir: &'t Dir, path: &[u8]) -> Result<Vec<&'t str>, Error> {
    let mut folded: BTreeMap<String, &str> = BTreeMap::new();
    let mut out = Vec::with_capacity(dir.entries.len());
    for raw in dir.entries.keys() {
        let here = || join(path, raw);
        let name =
            std::str::from_utf8(raw).map_err(|_| unwritable(&here(), "its name is no UTF-8"))?;
        if let Some(fault) = name::fault(name) {
            return Err(unwritable(&here(), fault));
        }
        if let Some(twin) = folded.insert(name.to_lowercase(), name) {
            return Err(unwritable(
                &here(),
                format!("differs from {twin:?} in case only, which FAT does not tell apart"),
            ));
        }
        out.push(name);
    }
    Ok(out)
}

fn file<'t>(kind: &'t LeafKind, path: &[u8]) -> Result<&'t Content, Error> {
    let what = match kind {
        LeafKind::File(content) if content.len() <= MAX_FILE => return Ok(content),
        LeafKind::File(content) => {
            return Err(unwritable(
                path,
                format!("its {} bytes exceed {MAX_FILE}", content.len()),
            ));
        }
        LeafKind::Symlink(_) => "symbolic link",
        LeafKind::CharDevice { .. } | LeafKind::BlockDevice { .. } => "device",
        LeafKind::Fifo => "fifo",
        LeafKind::Socket => "socket",
    };
    Err(unwritable(
        path,
        format!("is a {what}, which FAT cannot hold"),
    ))
}

/// The label as an entry and boot sector have it; `None` is "no label".
fn label_bytes(label: Option<&str>) -> Result<Option<[u8; 11]>, Error> {
    let Some(label) = label else { return Ok(None) };
    let fits = (1..=11).contains(&label.len()) && !label.starts_with(' ');
    if !fits
        || !label
            .chars()
            .all(|c| (c.is_ascii_graphic() || c == ' ') && !"\"*+,./:;<=>?[\\]|".contains(c))
    {
        return Err(Error::Options(format!(
            "{label:?} is no FAT label (1 to 11 ASCII characters, none of \"*+,./:;<=>?[\\]|)"
        )));
    }
    let mut out = [b' '; 11];
    out[..label.len()].copy_from_slice(label.as_bytes());
    Ok(Some(out))
}

/// Where everything lies; in sectors but for `cluster`.
#[derive(Clone, Debug)]
struct Layout {
    kind: FatKind,
    total: u32,
    reserved: u64,
    fat: u64,
    root: u64,
    /// Bytes of a cluster.
    cluster: u64,
    clusters: u64,
}

impl Layout {
    /// Lays out `total` sectors; `None` when nothing is left for clusters.
    fn new(kind: FatKind, total: u32, cluster: u64, root_entries: usize) -> Option<Self> {
        let (per_cluster, sectors) = (cluster / SECTOR, u64::from(total));
        let least = if kind == FatKind::Fat32 { 32 } else { 1 };
        let root = if kind == FatKind::Fat32 {
            0
        } else {
            (root_entries * ENTRY) as u64 / SECTOR
        };
        let mut layout = Self {
            kind,
            total,
            reserved: least,
            fat: 1,
            root,
            cluster,
            clusters: 0,
        };
        loop {
            let start = layout.data_of(least);
            layout.reserved = least + align_up(start, (ALIGN.max(cluster)) / SECTOR) - start;
            layout.clusters = sectors.checked_sub(layout.data())? / per_cluster;
            let needed = ((layout.clusters + 2) * kind.bits()).div_ceil(8 * SECTOR);
            if needed <= layout.fat {
                return (layout.clusters > 0).then_some(layout);
            }
            layout.fat = needed;
        }
    }

    fn data_of(&self, reserved: u64) -> u64 {
        reserved + FATS * self.fat + self.root
    }

    /// The sector where cluster 2 begins.
    fn data(&self) -> u64 {
        self.data_of(self.reserved)
    }

    /// Whether the number of clusters says the same kind to every reader.
    fn fits_kind(&self) -> bool {
        let range = match self.kind {
            FatKind::Fat12 => 1..=FAT12_MOST,
            FatKind::Fat16 => FAT16_LEAST..=FAT16_MOST,
            FatKind::Fat32 => FAT32_LEAST..=0x0fff_fff5,
        };
        range.contains(&self.clusters)
    }

    fn root_entries(&self) -> u64 {
        self.root * SECTOR / ENTRY as u64
    }

    /// Where a cluster begins (bytes).
    fn offset(&self, cluster: u32) -> u64 {
        self.data() * SECTOR + u64::from(cluster.saturating_sub(2)) * self.cluster
    }
}

/// Chooses kind and cluster size for a size in bytes; `None` when it is too small (or too large)
/// for the kind.
fn layout(size: u64, kind: RequestedKind, plan: &Plan<'_>) -> Result<Option<Layout>, Error> {
    let total = u32::try_from(size / SECTOR)
        .map_err(|_| Error::Options(format!("{size} bytes are too many for FAT")))?;
    let root = plan.dirs.first().map_or(0, |root| root.len / ENTRY);
    let root_entries = root
        .max(ROOT_ENTRIES)
        .next_multiple_of(ALIGN as usize / ENTRY);
    let make =
        |kind, cluster| Layout::new(kind, total, cluster, root_entries).filter(Layout::fits_kind);
    // The root directory of FAT12 and FAT16 has a 16-bit count of entries.
    let fixed_root = u16::try_from(root_entries).is_ok();
    let small = |kind| {
        CLUSTERS
            .into_iter()
            .filter(|_| fixed_root)
            .find_map(|cluster| make(kind, cluster))
    };
    let fat32 = || {
        let largest = CLUSTERS
            .into_iter()
            .rev()
            .filter(|cluster| *cluster <= 4 * KIB)
            .find_map(|cluster| make(FatKind::Fat32, cluster))?;
        let larger = CLUSTERS
            .into_iter()
            .filter(|cluster| *cluster > largest.cluster)
            .filter_map(|cluster| make(FatKind::Fat32, cluster));
        Some(
            [largest.clone()]
                .into_iter()
                .chain(larger)
                .find(|layout| layout.clusters <= FAT32_COMFORT)
                .unwrap_or(largest),
        )
    };
    Ok(match kind {
        RequestedKind::Auto => fat32()
            .or_else(|| small(FatKind::Fat16))
            .or_else(|| small(FatKind::Fat12)),
        RequestedKind::Fat16 => small(FatKind::Fat16),
        RequestedKind::Fat32 => fat32(),
    })
}

/// The volume, first byte to last.
fn emit(
    plan: &Plan<'_>,
    layout: &Layout,
    options: &Options,
    label: Option<[u8; 11]>,
    free: u32,
) -> Content {
    let mut out = Content::hole(0);
    let boot = boot_sector(layout, options, label);
    out.push_bytes(0, boot);
    if layout.kind == FatKind::Fat32 {
        let info = fsinfo(layout, free);
        out.push_bytes(FSINFO * SECTOR, info);
        out.push_bytes(BACKUP * SECTOR, boot);
        out.push_bytes((BACKUP + FSINFO) * SECTOR, info);
    }
    let table: Arc<[u8]> = table(plan, layout).into();
    for copy in 0..FATS {
        out.push_bytes(
            (layout.reserved + copy * layout.fat) * SECTOR,
            table.clone(),
        );
    }
    for (index, dir) in plan.dirs.iter().enumerate() {
        let at = if dir.first == 0 {
            (layout.data() - layout.root) * SECTOR
        } else {
            layout.offset(dir.first)
        };
        out.push_bytes(at, dir_bytes(plan, index, label, options.time));
    }
    for node in plan
        .dirs
        .iter()
        .flat_map(|dir| &dir.nodes)
        .filter(|node| node.first != 0)
    {
        if let What::File(content) = node.what {
            push_file(&mut out, layout.offset(node.first), content);
        }
    }
    out.set_len(u64::from(layout.total) * SECTOR);
    let used = 0..layout.offset(free);
    out.cover(&[used], SECTOR);
    out
}

fn push_file(out: &mut Content, offset: u64, content: &Content) {
    for run in content.runs() {
        out.push(Run {
            offset: offset + run.offset,
            ..run.clone()
        });
    }
}

/// Writes a number into a sector.
fn put(sector: &mut [u8], at: usize, bytes: &[u8]) {
    sector[at..at + bytes.len()].copy_from_slice(bytes);
}

fn boot_sector(layout: &Layout, options: &Options, label: Option<[u8; 11]>) -> [u8; 512] {
    let wide = layout.kind == FatKind::Fat32;
    let extra = if wide { 64 } else { 36 };
    let mut out = [0; 512];
    // Jump over the BPB to code that hands on to the next boot device (int 18h) and halts.
    put(&mut out, 0, &[0xeb, if wide { 0x58 } else { 0x3c }, 0x90]);
    put(
        &mut out,
        if wide { 0x5a } else { 0x3e },
        &[0xcd, 0x18, 0xf4, 0xeb, 0xfd],
    );
    put(&mut out, 3, b"MSWIN4.1");
    put(&mut out, 11, &512u16.to_le_bytes());
    out[13] = u8::try_from(layout.cluster / SECTOR).unwrap_or(u8::MAX);
    put(
        &mut out,
        14,
        &u16::try_from(layout.reserved)
            .unwrap_or(u16::MAX)
            .to_le_bytes(),
    );
    out[16] = 2;
    put(
        &mut out,
        17,
        &u16::try_from(layout.root_entries())
            .unwrap_or(u16::MAX)
            .to_le_bytes(),
    );
    let narrow = u16::try_from(layout.total).ok().filter(|_| !wide);
    put(&mut out, 19, &narrow.unwrap_or(0).to_le_bytes());
    out[21] = MEDIA;
    put(&mut out, 24, &32u16.to_le_bytes());
    put(&mut out, 26, &64u16.to_le_bytes());
    put(&mut out, 28, &options.hidden_sectors.to_le_bytes());
    put(
        &mut out,
        32,
        &if narrow.is_some() { 0 } else { layout.total }.to_le_bytes(),
    );
    if wide {
        put(
            &mut out,
            36,
            &u32::try_from(layout.fat).unwrap_or(u32::MAX).to_le_bytes(),
        );
        put(&mut out, 44, &2u32.to_le_bytes());
        put(&mut out, 48, &[1, 0, 6, 0]);
    } else {
        put(
            &mut out,
            22,
            &u16::try_from(layout.fat).unwrap_or(u16::MAX).to_le_bytes(),
        );
    }
    out[extra] = 0x80;
    out[extra + 2] = 0x29;
    put(&mut out, extra + 3, &options.volume_id.to_le_bytes());
    put(&mut out, extra + 7, &label.unwrap_or(*b"NO NAME    "));
    put(
        &mut out,
        extra + 18,
        format!("{:<8}", layout.kind.to_string()).as_bytes(),
    );
    put(&mut out, 510, &[0x55, 0xaa]);
    out
}

fn fsinfo(layout: &Layout, free: u32) -> [u8; 512] {
    let mut out = [0; 512];
    let left = layout.clusters - u64::from(free - 2);
    put(&mut out, 0, b"RRaA");
    put(&mut out, 484, b"rrAa");
    put(
        &mut out,
        488,
        &u32::try_from(left).unwrap_or(u32::MAX).to_le_bytes(),
    );
    let hint = if left == 0 { u32::MAX } else { free };
    put(&mut out, 492, &hint.to_le_bytes());
    put(&mut out, 510, &[0x55, 0xaa]);
    out
}

/// The table as far as it is used; the rest is zeros, which mean free.
fn table(plan: &Plan<'_>, layout: &Layout) -> Vec<u8> {
    let end = layout.kind.marks() | 0xf;
    let mut entries = vec![end & !0xff | u32::from(MEDIA), end];
    let mut chain = |first: u32, len: u64| {
        let count = u32::try_from(len.div_ceil(layout.cluster)).unwrap_or(0);
        if first != 0 {
            entries.extend((1..count).map(|index| first + index));
            entries.push(end);
        }
    };
    for dir in &plan.dirs {
        chain(dir.first, dir.len.max(1) as u64);
    }
    for node in plan.dirs.iter().flat_map(|dir| &dir.nodes) {
        if let What::File(content) = node.what {
            chain(node.first, content.len());
        }
    }
    match layout.kind {
        FatKind::Fat16 => entries
            .iter()
            .flat_map(|entry| entry.to_le_bytes().into_iter().take(2))
            .collect(),
        FatKind::Fat32 => entries
            .iter()
            .flat_map(|entry| entry.to_le_bytes())
            .collect(),
        FatKind::Fat12 => {
            let pair = |pair: &[u32]| pair[0] | pair.get(1).copied().unwrap_or(0) << 12;
            entries
                .chunks(2)
                .flat_map(|both| pair(both).to_le_bytes().into_iter().take(3))
                .collect()
        }
    }
}

/// One directory's entries.
fn dir_bytes(plan: &Plan<'_>, index: usize, label: Option<[u8; 11]>, time: Time) -> Vec<u8> {
    let dir = &plan.dirs[index];
    let mut out = Vec::with_capacity(dir.len);
    if index > 0 {
        let parent = &plan.dirs[dir.parent];
        out.extend(entry(
            b".          ",
            dir.stat,
            attr::DIRECTORY,
            dir.first,
            0,
        ));
        // The root is meant by cluster 0, also where it has clusters (fatgen103, "Contents of a
        // directory").
        let above = if dir.parent == 0 { 0 } else { parent.first };
        out.extend(entry(
            b"..         ",
            parent.stat,
            attr::DIRECTORY,
            above,
            0,
        ));
    } else if let Some(label) = label {
        out.extend(entry(
            &label,
            &Stat::root(0o755, time),
            attr::VOLUME_ID,
            0,
            0,
        ));
    }
    for node in &dir.nodes {
        if long_len(node) > 0 {
            out.extend(name::long_parts(node.name, &node.short));
        }
        let read_only = if node.stat.mode & 0o200 == 0 {
            attr::READ_ONLY
        } else {
            0
        };
        let (attributes, size) = match node.what {
            What::Dir(_) => (attr::DIRECTORY, 0),
            What::File(content) => (attr::ARCHIVE, content.len()),
        };
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        out.extend(entry(
            &node.short,
            node.stat,
            attributes | read_only,
            node.first,
            size,
        ));
    }
    out
}

fn entry(short: &Short, stat: &Stat, attributes: u8, first: u32, size: u32) -> [u8; ENTRY] {
    let created = stat.crtime.unwrap_or(stat.mtime);
    let ((day, time), (created_day, created_time)) = (to_dos(stat.mtime), to_dos(created));
    let in_range = super::time::from_dos(created_day, created_time)
        .seconds
        .abs_diff(created.seconds)
        < 2;
    let hundredths = if in_range {
        created.seconds.rem_euclid(2) * 100 + i64::from(created.nanos / 10_000_000)
    } else {
        0
    };
    let mut out = [0; ENTRY];
    put(&mut out, 0, short);
    out[11] = attributes;
    out[13] = u8::try_from(hundredths).unwrap_or(0);
    put(&mut out, 14, &created_time.to_le_bytes());
    put(&mut out, 16, &created_day.to_le_bytes());
    put(&mut out, 18, &day.to_le_bytes());
    put(
        &mut out,
        20,
        &u16::try_from(first >> 16).unwrap_or(0).to_le_bytes(),
    );
    put(&mut out, 22, &time.to_le_bytes());
    put(&mut out, 24, &day.to_le_bytes());
    put(&mut out, 26, &first.to_le_bytes()[..2]);
    put(&mut out, 28, &size.to_le_bytes());
    out
}
