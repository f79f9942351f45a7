//! The bytes of the filesystem: boot sector, FSInfo, tables, directories and the runs of files.

use super::super::format::FatKind;
use super::Options;
use super::dirs::{dir_bytes, put};
use super::layout::{FATS, Layout};
use super::plan::{NodeKind, Plan};
use crate::stream::{Content, ReadAt as _, Run};
use crate::units::SECTOR;
use std::sync::Arc;

/// Media byte of fixed disks.
const MEDIA: u8 = 0xf8;
/// Where FAT32 keeps FSInfo and the copies of its first two sectors (sectors).
const FSINFO: u64 = 1;
const BACKUP: u64 = 6;
/// The volume, first byte to last.
pub(super) fn volume(
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
        if let NodeKind::File(content) = node.kind {
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
        if let NodeKind::File(content) = node.kind {
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
