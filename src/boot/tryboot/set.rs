//! The boot files of a root filesystem, and the directories of the slots that are made of them.

use super::files::{self, BootFiles};
use super::options::TrybootOptions;
use crate::stream::{Content, ReadAt as _};
use crate::tree::edit::EditError;
use crate::tree::editor::TreeEditor;
use crate::tree::{DirEntry, Leaf, LeafKind, Stat, Tree};
use std::collections::BTreeMap;

/// The directories of the slots that are in use first.
pub(super) const USED: [&str; 2] = ["slot-a0", "slot-b0"];
/// Their other directories.
pub(super) const SPARE: [&str; 2] = ["slot-a1", "slot-b1"];
/// The longest boot file (bytes).
const LIMIT: u64 = 1 << 30;

/// The checksum of `cksum` (POSIX): CRC-32 with the polynomial 0x04c11db7, the most significant bit
/// first, over the bytes and then the octets of their number, least significant first.
pub(super) fn cksum(bytes: &[u8]) -> u32 {
    let mut table = [0_u32; 256];
    for (at, entry) in (0_u32..).zip(table.iter_mut()) {
        let mut value = at << 24;
        for _ in 0..8 {
            let carry = value & 0x8000_0000 != 0;
            value = (value << 1) ^ if carry { 0x04c1_1db7 } else { 0 };
        }
        *entry = value;
    }
    let mut length = bytes.len();
    let octets = std::iter::from_fn(|| {
        let octet = (length > 0).then_some((length & 0xff) as u8);
        length >>= 8;
        octet
    });
    let all = bytes.iter().copied().chain(octets.collect::<Vec<_>>());
    !all.fold(0, |sum: u32, byte| {
        (sum << 8) ^ table[((sum >> 24) as u8 ^ byte) as usize]
    })
}

/// Writes the boot files of a root filesystem, and those of the `firmware`, to a directory: links
/// to files that it has elsewhere, too.
pub(super) fn write_root(
    root: &mut TreeEditor<'_>,
    dir: &str,
    found: &BootFiles,
    added: &str,
    firmware: &BTreeMap<String, Content>,
) -> Result<(), EditError> {
    let reason = "boot files of this root filesystem, which an update copies to the boot partition";
    for (name, content) in firmware {
        let path = format!("{dir}/firmware/{name}");
        let packaged = format!("/usr/lib/raspi-firmware/{name}");
        let own = root.tree().file(&packaged);
        if own.is_some_and(|own| files::is_same(own, content)) {
            root.symlink(path, format!("../../../../..{packaged}"), reason)?;
        } else {
            root.place(path.as_bytes(), file(content.clone(), root), reason)?;
        }
    }
    for (name, content) in &found.members {
        let path = format!("{dir}/{name}");
        if let Some(target) = found.links.get(name) {
            root.symlink(path, format!("../../../..{target}"), reason)?;
        } else {
            root.place(path.as_bytes(), file(content.clone(), root), reason)?;
        }
    }
    let mut kernels =
        "# Kernels that packages replace: the end of their names, the kernel and the \
                       initial RAM disk here.\n"
            .to_owned();
    for replaced in &found.replaced {
        let ram = replaced.initramfs.as_deref().unwrap_or_default();
        let line = format!("{} {} {ram}", replaced.flavor, replaced.kernel);
        kernels.push_str(line.trim_end());
        kernels.push('\n');
    }
    root.file(format!("{dir}/kernels.txt"), kernels, 0o644, reason)?;
    root.file(
        format!("{dir}/args.txt"),
        format!("{added}\n"),
        0o644,
        reason,
    )
}

fn file(content: Content, editor: &TreeEditor<'_>) -> Leaf {
    Leaf {
        stat: Stat::root(0o644, editor.time()),
        kind: LeafKind::File(content),
    }
}

/// The kernel's command line of a slot, as the tool of the device makes it.
fn line(id: &str, number: u32, words: &str, added: &[String]) -> String {
    let own = words
        .split_whitespace()
        .chain(added.iter().map(String::as_str));
    let own = own.filter(|word| !word.starts_with("root=") && !word.starts_with("mender.slot="));
    let mut all = vec![format!("root=PARTUUID={id}")];
    all.extend(own.map(str::to_owned));
    if !all.iter().any(|word| word.starts_with("panic=")) {
        all.push("panic=10".into());
    }
    format!("{} mender.slot={number}\n", all.join(" "))
}

/// Moves the boot files into the directories of both slots. Returns the size of one of them
/// (bytes).
pub(super) fn write_slots(
    boot: &mut TreeEditor<'_>,
    found: &BootFiles,
    options: &TrybootOptions<'_>,
    words: &str,
    added: &[String],
) -> Result<u64, EditError> {
    let reason = "boot files of a slot";
    for path in &found.old_paths {
        boot.remove(path, "is in the directory of each slot")?;
    }
    if found
        .old_paths
        .iter()
        .any(|path| path.starts_with("/overlays/"))
    {
        boot.remove("/overlays", "each slot has its own overlays")?;
    }
    let mut sums = String::new();
    for (name, content) in ordered(found) {
        let bytes = content
            .read_all(LIMIT)
            .map_err(|e| EditError::Io(name.clone(), e))?;
        sums.push_str(&format!("{} {} {name}\n", cksum(&bytes), bytes.len()));
    }
    let mut size = 0;
    // Where each slot has a partition, the second one is made of the first.
    let here = if options.partitions.is_some() { 1 } else { 2 };
    let slots = USED.into_iter().zip(options.partuuids).zip(options.roots);
    let slots = slots.take(here);
    for ((dir, id), number) in slots {
        for (name, content) in &found.members {
            let leaf = file(content.clone(), boot);
            boot.place(format!("/{dir}/{name}").as_bytes(), leaf, reason)?;
        }
        let line = line(id, number, words, added);
        let own = format!("{} {} cmdline.txt\n", cksum(line.as_bytes()), line.len());
        boot.file(format!("/{dir}/cmdline.txt"), line, 0o644, reason)?;
        boot.file(
            format!("/{dir}/set.txt"),
            sums.clone() + &own,
            0o644,
            reason,
        )?;
        size = size_of(boot.tree(), dir);
    }
    for dir in SPARE.into_iter().take(here) {
        boot.dir(format!("/{dir}/overlays"), 0o755, "what is written next")?;
    }
    Ok(size)
}

/// The members as the tool of the device lists them: files, then overlays, each sorted by bytes.
fn ordered(found: &BootFiles) -> Vec<(&String, &Content)> {
    let (overlays, files): (Vec<_>, Vec<_>) = found
        .members
        .iter()
        .partition(|(name, _)| name.starts_with("overlays/"));
    files.into_iter().chain(overlays).collect()
}

/// The bytes that the files of a directory and of those below take in clusters of 4 KiB.
fn size_of(boot: &Tree, dir: &str) -> u64 {
    let mut size = 0_u64;
    boot.visit(&mut |path, entry| {
        let path = path.strip_prefix(b"/").unwrap_or(path);
        let below = path.strip_prefix(dir.as_bytes());
        if below.is_some_and(|rest| rest.starts_with(b"/"))
            && let DirEntry::Leaf(id) = entry
            && let LeafKind::File(content) = &boot.leaf(*id).kind
        {
            size = size.saturating_add(content.len().next_multiple_of(4096));
        }
    });
    size
}

/// The room that the boot partition needs besides its files, for the boot files of a slot while
/// they are written: a quarter more than the larger of those that it has (bytes).
#[must_use]
pub fn in_flight(boot: &Tree) -> u64 {
    let largest = USED.map(|dir| size_of(boot, dir)).into_iter().max();
    let largest = largest.unwrap_or_default();
    largest.saturating_add(largest / 4)
}
