//! Slots with a boot partition each, between which `autoboot.txt` has the firmware choose.
//!
//! ```text
//! autoboot   autoboot.txt   [all] boot_partition=2   [tryboot] boot_partition=2, or 3 for a trial
//! boot A     the firmware, config.txt, cmdline.txt, slot-a0/ slot-a1/
//! boot B     the firmware, config.txt, cmdline.txt, slot-b0/ slot-b1/
//! ```

use super::options::BootPartitions;
use super::set::{SPARE, USED, cksum};
use crate::boot::common::TEXT_LIMIT;
use crate::golden::facts;
use crate::problem::Problem;
use crate::stream::Content;
use crate::tree::edit::EditError;
use crate::tree::editor::TreeEditor;
use crate::tree::{DirEntry, LeafKind, Node, Stat, Tree, show};
use std::collections::BTreeMap;

/// The rule that makes the link to the running slot's boot partition: after those that find out the
/// identities of partitions.
const RULE: &str = "/etc/udev/rules.d/90-mender-boot.rules";

/// What the root filesystem lacks.
pub(super) fn needs(root: &Tree) -> Vec<Problem> {
    let mut out = Vec::new();
    let udev = [
        "/usr/lib/systemd/systemd-udevd",
        "/lib/systemd/systemd-udevd",
        "/usr/bin/udevadm",
        "/bin/udevadm",
    ];
    let files = "set boot.tryboot to \"files\"";
    if !udev.iter().any(|path| root.find(path).is_some()) {
        let text = "the image has no udev, which gives the boot partition of the running slot the \
                    name that /etc/fstab mounts";
        let hint = format!("install the package udev in the golden image, or {files}");
        out.push(Problem::new(text).hint(hint));
    }
    if !facts::program(root, "mkfs.vfat") {
        let text = "the image has no mkfs.vfat, by which an update makes its boot partition anew";
        let hint = format!("install the package dosfstools in the golden image, or {files}");
        out.push(Problem::new(text).hint(hint));
    }
    out
}

/// The firmware's files on the golden boot partition: what comes before kernels.
pub(super) fn firmware(boot: &Tree) -> BTreeMap<String, Content> {
    let mut out = BTreeMap::new();
    for (name, entry) in &boot.root.entries {
        let name = show(name);
        if let DirEntry::Leaf(id) = entry
            && let LeafKind::File(content) = &boot.leaf(*id).kind
            && is_firmware(&name)
        {
            out.insert(name.to_ascii_lowercase(), content.clone());
        }
    }
    out
}

/// Whether the tool of the device takes a name for that of the firmware: `firmware` there.
fn is_firmware(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is = |start: &str, end: &str| name.starts_with(start) && name.ends_with(end);
    name == "bootcode.bin" || is("start", ".elf") || is("fixup", ".dat")
}

/// The lines of the tool's settings.
pub(super) fn config(partitions: &BootPartitions) -> String {
    let [a, b] = partitions.numbers;
    let [id_a, id_b] = &partitions.partuuids;
    format!(
        "# The boot partitions of the slots, and the partition with autoboot.txt.\nBOOT_PARTITIONS = \
         {a} {b}\nBOOT_PARTUUIDS = {id_a} {id_b}\nAUTOBOOT_PARTUUID = {}\n",
        partitions.autoboot
    )
}

/// Writes the rule by which the boot partition of the running slot has one name in both slots.
pub(super) fn write_rule(
    root: &mut TreeEditor<'_>,
    roots: [u32; 2],
    partitions: &BootPartitions,
) -> Result<(), EditError> {
    let link = partitions.link.trim_start_matches("/dev/");
    let mut text =
        "# The boot partition of the running slot, which /etc/fstab mounts by this name.\n\
                    ACTION==\"remove\", GOTO=\"mender_boot_end\"\n\
                    SUBSYSTEM!=\"block\", GOTO=\"mender_boot_end\"\n\
                    ENV{ID_PART_ENTRY_UUID}!=\"?*\", GOTO=\"mender_boot_end\"\n\
                    IMPORT{cmdline}=\"mender.slot\"\n"
            .to_owned();
    for (slot, id) in roots.iter().zip(&partitions.partuuids) {
        text.push_str(&format!(
            "ENV{{mender.slot}}==\"{slot}\", ENV{{ID_PART_ENTRY_UUID}}==\"{id}\", SYMLINK+=\"{link}\"\n"
        ));
    }
    text.push_str("LABEL=\"mender_boot_end\"\n");
    let reason = "gives the boot partition of the running slot its name";
    root.file(RULE, text, 0o644, reason)
}

/// The files of the partition with `autoboot.txt`, whose owner and times are those of `file`: the
/// boot partition with the first number starts.
///
/// # Errors
/// None that a new tree can have.
pub fn autoboot_partition(numbers: [u32; 2], file: Stat) -> Result<Tree, EditError> {
    let mut tree = Tree::new(Stat::root(0o755, file.mtime));
    let [first, _] = numbers;
    let text = format!(
        "[all]\ntryboot_a_b=1\nboot_partition={first}\n[tryboot]\nboot_partition={first}\n"
    );
    tree.put_file("/autoboot.txt", text, file)?;
    Ok(tree)
}

/// The boot partition of the second slot, made of that of the first: `roots` and `partuuids` are
/// those of the slots.
///
/// # Errors
/// Files of the first one that cannot be read.
pub fn second_partition(
    first: &Tree,
    roots: [u32; 2],
    partuuids: [String; 2],
) -> Result<Tree, EditError> {
    let mut tree = first.clone();
    for dirs in [USED, SPARE] {
        let [from, to] = dirs.map(|dir| dir.as_bytes().to_vec());
        if let Some(entry) = tree.root.entries.remove(&from) {
            tree.root.entries.insert(to, entry);
        }
    }
    let [dir, other] = USED;
    let config = tree.path_ignore_case("/config.txt");
    replace(&mut tree, &config, |text| {
        text.replacen(
            &format!("os_prefix={dir}/"),
            &format!("os_prefix={other}/"),
            1,
        )
    })?;
    let [id_a, id_b] = partuuids;
    let [a, b] = roots;
    let line = |text: String| {
        let text = text.replacen(
            &format!("root=PARTUUID={id_a} "),
            &format!("root=PARTUUID={id_b} "),
            1,
        );
        match text.trim_end().strip_suffix(&format!(" mender.slot={a}")) {
            Some(words) => format!("{words} mender.slot={b}\n"),
            None => text,
        }
    };
    let path = format!("/{other}/cmdline.txt").into_bytes();
    let own = replace(&mut tree, &path, line)?;
    let own = format!("{} {} cmdline.txt\n", cksum(own.as_bytes()), own.len());
    let list = format!("/{other}/set.txt").into_bytes();
    replace(&mut tree, &list, |text| {
        let others = text.lines().filter(|line| !line.ends_with(" cmdline.txt"));
        let others: String = others.map(|line| format!("{line}\n")).collect();
        others + &own
    })?;
    Ok(tree)
}

/// Changes a text file that exists; returns the new text.
fn replace(
    tree: &mut Tree,
    path: &[u8],
    change: impl FnOnce(String) -> String,
) -> Result<String, EditError> {
    let bytes = tree.read(path, TEXT_LIMIT)?.unwrap_or_default();
    // Bytes, not characters: the owner's settings can be in any encoding.
    let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
    let text = change(text);
    let bytes: Vec<u8> = text
        .chars()
        .map(|c| u8::try_from(c).unwrap_or(b'?'))
        .collect();
    let time = tree.root.stat.mtime;
    let stat = match tree.find(path) {
        Some(Node::Leaf(leaf)) => leaf.stat.clone(),
        _ => Stat::root(0o644, time),
    };
    tree.put_file(path, bytes, stat)?;
    Ok(text)
}
