//! Lays out the disk: from the plan and the sizes of the edited filesystems to offsets.

use super::Prepared;
use crate::artifact::{ArtifactFinding, Demands, Draft, TOO_LARGE, unreadable};
use crate::bytes::is_zero;
use crate::edit::{self, Edited};
use crate::fs::ext4::write::PlannedFilesystem;
use crate::fs::{ext4, fat};
use crate::golden::disk::GoldenDisk;
use crate::golden::{Golden, facts};
use crate::image::table::{self, PartitionTable};
use crate::plan::Plan;
use crate::plan::boot::Environment;
use crate::plan::family::{PartitionSet, Role};
use crate::plan::filesystems::RootSize;
use crate::plan::layout::{self, Layout, Margins, Needs};
use crate::plan::partitions::{Fate, GPT_END, MBR_END};
use crate::plan::raw::{self, Blob};
use crate::platform::{Architecture, Bootloader, TableKind};
use crate::problem::{Problem, Problems};
use crate::stream::{Content, ReadAt};
use crate::tree::Tree;
use crate::tree::editor::TreeEditor;
use crate::units::{Lba, MIB, SECTOR, align_up, enough, human};
use anyhow::{Context, Result};
use std::ops::Range;

/// Where everything is on the disk.
#[derive(Debug)]
pub struct DiskLayout {
    /// The extents of the partitions (bytes).
    pub extents: Layout,
    /// The partition table for these extents.
    pub table: PartitionTable,
    /// The size of the root filesystem (bytes); at most that of a slot.
    pub root_size: u64,
    /// Bytes of the golden image that are copied to the same offset, outside the partitions: its
    /// boot loader, and partitions.
    pub copied: Vec<Blob>,
}

/// The filesystems that do not depend on any checksum, as they are written.
#[derive(Debug, Default)]
pub(super) struct Images {
    /// The root filesystem, as long as itself and not as its slot.
    pub(super) root: Content,
    /// The filesystems of the boot partitions, each as long as its partition.
    pub(super) boots: Vec<Content>,
    /// The same, one after the other.
    pub(super) boot: Content,
}

/// Measures the edited filesystems and places everything. The root filesystem comes with its
/// layout, because it is planned once for both.
///
/// # Errors
/// A filesystem or blob that does not fit, with the sizes that would; anything else that writing
/// would refuse.
pub(super) fn lay_out(
    plan: &Plan,
    golden: &Golden,
    edited: &Edited,
) -> Result<(DiskLayout, Content)> {
    let root = PlannedFilesystem::new(&edited.trees.root, &plan.root.filesystem)
        .context("measuring the root filesystem")?;
    let minimum = root
        .minimum_size()
        .context("measuring the root filesystem")?;
    let layout = place(plan, golden, edited, minimum)?;
    let image = root
        .write(layout.root_size)
        .context("making the root filesystem")?;
    debug_assert_eq!(image.len(), layout.root_size);
    Ok((layout, image))
}

/// Places everything, with a root filesystem that needs `minimum` bytes.
fn place(plan: &Plan, golden: &Golden, edited: &Edited, minimum: u64) -> Result<DiskLayout> {
    let root = plan.root.size.resolve(minimum)?;
    // A data partition that takes the rest leaves no more to the slots than they need.
    let tight = plan.data.size.is_none().then_some(root);
    let mut needs = Needs {
        total: 0,
        alignment: plan.disk.alignment,
        margins: Margins::of(plan.boot.loader),
        set: plan.family.set,
        boot: boot_size(plan, edited)?,
        root,
        slot: plan.root.slot.or(tight),
        data: data_size(plan, &edited.trees.data)?,
    };
    needs.total = match plan.disk.size {
        Some(size) => size,
        None => least_disk(&needs),
    };
    let extents = Layout::new(&needs).map_err(|problem| fitting(problem, plan, minimum))?;
    let root_size = match plan.root.size {
        RootSize::Max { .. } => extents.root_a.len,
        RootSize::Exact(_) | RootSize::Headroom { .. } => root,
    };
    let table = partition_table(plan, &extents);
    let copied = copied(plan, golden, &extents)?;
    let tables = table
        .encode(extents.total)
        .context("making the partition table")?;
    raw::check(&edited.raw, &extents, &tables, &reserved(plan, &copied))?;
    Draft::new(&plan.artifact, root_size, plan.signer.as_ref()).context("making the Artifact")?;
    Ok(DiskLayout {
        extents,
        table,
        root_size,
        copied,
    })
}

/// What may be left of a slot without a word (bytes).
const SPARE: u64 = 1 << 30;

impl DiskLayout {
    /// A note about the part of the slots that nothing can ever use: the filesystem of a release is
    /// as large as it was made.
    pub(super) fn unused(&self, grow: bool) -> Option<String> {
        let unused = self.extents.root_a.len.saturating_sub(self.root_size);
        (unused > SPARE).then(|| {
            format!(
                "{} of each root partition stay unused: the root filesystem has {}, and does not grow on the device{}; \
                 data.size = \"rest\" gives the room to the data partition, root.size = \"max\" to the root filesystem",
                human(unused),
                human(self.root_size),
                if grow { "" } else { ", nor does the data partition (data.grow = false)" }
            )
        })
    }

    /// What the Artifact demands of clients.
    pub(super) fn demands(&self, plan: &Plan) -> Demands {
        Demands {
            compression: plan.artifact.codec.kind(),
            size: self.root_size,
        }
    }
}

/// Refuses an Artifact that the update client of the image cannot read in any case. One that is
/// only too large for it is a warning, which is returned: the devices that install it may have
/// another client, and with `upgrade_from` it is known whether they have.
///
/// # Errors
/// Each reason, as [`Problems`]; I/O errors of the package database.
pub(super) fn check_client(
    layout: &DiskLayout,
    plan: &Plan,
    golden: &Golden,
    edited: &Edited,
) -> Result<Vec<String>> {
    let Some((package, version)) = facts::client(&edited.trees.root)? else {
        return Ok(Vec::new());
    };
    let Ok(client) = version.parse() else {
        return Ok(Vec::new());
    };
    let is_32_bit = golden
        .facts
        .architecture
        .map(|architecture| matches!(architecture, Architecture::Armhf | Architecture::I386));
    let findings = unreadable(client, is_32_bit, layout.demands(plan));
    let problem = |finding: &ArtifactFinding| {
        let hint = match finding.code {
            "client-compression" => {
                "set artifact.compression to \"gzip\" or \"xz\", or install a client of 3.5 or later"
            }
            _ => "set root.size to less than \"4 GiB\", or install a client of 4.1 or later",
        };
        let text = &finding.text;
        Problem::new(format!(
            "{package} {version} of the image cannot read the Artifact: {text}"
        ))
        .hint(hint)
    };
    let too_large = |finding: &&ArtifactFinding| finding.code == TOO_LARGE;
    let (sizes, others): (Vec<_>, Vec<_>) = findings.iter().partition(too_large);
    Problems(others.into_iter().map(problem).collect()).check()?;
    let warning = |finding| {
        let problem = problem(finding);
        let hint = problem.hint.unwrap_or_default();
        format!("{}; {hint}", problem.message)
    };
    Ok(sizes.into_iter().map(warning).collect())
}

/// The size of the boot partition, if its files fit, and what an update writes there.
fn boot_size(plan: &Plan, edited: &Edited) -> Result<u64> {
    let tree = &edited.trees.boot;
    let files =
        fat::minimum_size(tree, &plan.boot.filesystem).context("measuring the boot filesystem")?;
    let minimum = files.saturating_add(edited.boot.room_for_updates(tree));
    large_enough("boot.size", plan.boot.size, minimum, plan.disk.alignment)
}

/// The size of the data partition, if its files fit.
fn data_size(plan: &Plan, tree: &Tree) -> Result<u64> {
    // The bootstrap Artifact comes later; a mebibyte is many times what it takes.
    let minimum = ext4::write::minimum_size(tree, &plan.data.filesystem)
        .context("measuring the data filesystem")?
        + MIB;
    match plan.data.size {
        Some(size) => large_enough("data.size", size, minimum, plan.disk.alignment),
        None => Ok(minimum),
    }
}

/// The size of a disk that has room for everything, and no more: a whole number of mebibytes.
fn least_disk(needs: &Needs) -> u64 {
    align_up(layout::least_total(needs), MIB)
}

fn large_enough(key: &str, size: u64, minimum: u64, alignment: u64) -> Result<u64> {
    if align_up(size, alignment) < minimum {
        let message = format!(
            "{key} is {} but its files need {} ({minimum} bytes)",
            human(size),
            human(minimum)
        );
        let hint = format!("set {key} to at least \"{}\"", enough(minimum));
        return Err(Problem::new(message).hint(hint).into());
    }
    Ok(size)
}

/// Adds what else could give way when the slots are too small.
fn fitting(problem: Problem, plan: &Plan, minimum: u64) -> Problem {
    let message = match plan.root.size {
        RootSize::Exact(_) => problem.message,
        RootSize::Headroom { .. } | RootSize::Max { .. } => format!(
            "{} (its files need {}; the rest is root.headroom)",
            problem.message,
            human(minimum)
        ),
    };
    Problem {
        message,
        hint: problem.hint,
    }
}

fn partition_table(plan: &Plan, extents: &Layout) -> PartitionTable {
    let family = &plan.family;
    let grub = plan.boot.loader == Bootloader::GrubEfi;
    let per_slot = family.set == PartitionSet::BootPerSlot;
    let mut partitions = Vec::new();
    for ((role, extent), guid) in family
        .set
        .roles()
        .iter()
        .copied()
        .zip(extents.partitions())
        .zip(family.guids.iter().copied())
    {
        let kind = match (family.scheme, role) {
            // As the maker of the board does it; systemd mounts an EFI system partition.
            (TableKind::Gpt, role) if role.is_boot() && per_slot => table::types::GPT_BASIC_DATA,
            (TableKind::Gpt, Role::Boot) => table::types::GPT_ESP,
            (TableKind::Gpt, _) => table::types::GPT_LINUX,
            // The firmware of some boards reads FAT partitions of this type only.
            (TableKind::Mbr, Role::Boot) if !grub => table::types::MBR_FAT32_LBA,
            (TableKind::Mbr, Role::Boot) => table::types::MBR_ESP,
            (TableKind::Mbr, _) => table::types::MBR_LINUX,
        };
        let gpt = family.scheme == TableKind::Gpt;
        let start = Lba::from_bytes(extent.start);
        let sectors = Lba::from_bytes(extent.len).0;
        let id = gpt.then_some(guid);
        let mut partition = table::Partition::new(family.number(role), start, sectors, kind, id);
        // U-Boot looks for its script on partitions that are marked for it.
        if !grub && role.is_boot() {
            match family.scheme {
                TableKind::Gpt => partition.attributes = table::BIOS_BOOTABLE,
                TableKind::Mbr => partition.active = true,
            }
        }
        if gpt {
            partition.name = role.name().to_owned();
        }
        partitions.push(partition);
    }
    let disk_id = match family.scheme {
        TableKind::Gpt => table::DiskId::Gpt(family.disk_guid),
        TableKind::Mbr => table::DiskId::Mbr(family.disk_id),
    };
    PartitionTable {
        disk_id,
        partitions,
        warnings: Vec::new(),
    }
}

/// Bytes of the disk that are in use outside tables and partitions: a raw environment, and what is
/// `copied`.
fn reserved(plan: &Plan, copied: &[Blob]) -> Vec<(String, Range<u64>)> {
    let copy = |range| ("the raw environment".to_owned(), range);
    let environment = plan.boot.environment.ranges();
    copied
        .iter()
        .map(|blob| (blob.name.clone(), blob.range()))
        .chain(environment.into_iter().map(copy))
        .collect()
}

/// Bytes of the golden image that belong to the same offset of the new disk: the boot loader of
/// boards whose processor looks for it there, and partitions that the plan copies. Blocks of zeros
/// are left out.
///
/// # Errors
/// I/O errors of the golden image; a [`Problem`] when there is no room.
fn copied(plan: &Plan, golden: &Golden, extents: &Layout) -> Result<Vec<Blob>> {
    let table = match plan.family.scheme {
        TableKind::Gpt => GPT_END,
        TableKind::Mbr => MBR_END,
    };
    let mut blobs: Vec<Blob> = Vec::new();
    for area in plan.partitions.areas.iter().filter(|area| area.copied) {
        let name = "the golden image's boot loader (boot.copy-gap)";
        let check = |at| has_room(&plan.boot.environment, at, table, extents.boot.start);
        blobs.extend(sectors(&golden.disk, name, &area.range, &check)?);
    }
    for partition in &plan.partitions.partitions {
        if partition.fate == Fate::Copied {
            let name = format!("partition {} of the golden image", partition.number);
            // The plan has found room for it.
            blobs.extend(sectors(&golden.disk, &name, &partition.range, &|_| Ok(()))?);
        }
    }
    blobs.sort_by_key(|blob| blob.offset);
    Ok(blobs)
}

/// The sectors of `range` that are not zero, each of which passes `check`.
fn sectors(
    disk: &GoldenDisk,
    name: &str,
    range: &Range<u64>,
    check: &dyn Fn(u64) -> Result<(), Problem>,
) -> Result<Vec<Blob>> {
    let mut blobs: Vec<Blob> = Vec::new();
    let context = || format!("reading bytes {} to {}", range.start, range.end);
    let mut at = range.start;
    while at < range.end {
        let data = disk.source.next_data(at).with_context(context)?;
        let Some(data) = data.filter(|data| data.start < range.end) else {
            break;
        };
        if data.start >= at + SECTOR {
            at += (data.start - at) / SECTOR * SECTOR;
        }
        let mut sector = [0; SECTOR as usize];
        disk.source
            .read_exact_at(at, &mut sector)
            .with_context(context)?;
        if !is_zero(&sector) {
            check(at)?;
            match blobs.last_mut() {
                Some(blob) if blob.range().end == at => blob.bytes.extend(sector),
                _ => blobs.push(Blob {
                    name: name.to_owned(),
                    offset: at,
                    bytes: sector.to_vec(),
                }),
            }
        }
        at += SECTOR;
    }
    Ok(blobs)
}

/// Whether a sector of the gap may be at `at`: after our table (which ends at `table`), in front of
/// our first partition (at `partition`), outside a raw environment; all in bytes.
fn has_room(environment: &Environment, at: u64, table: u64, partition: u64) -> Result<(), Problem> {
    let what = "the golden image has a boot loader in front of its first partition, at byte";
    if at < table {
        let message = format!("{what} {at}, where a GPT has its entries");
        return Err(Problem::new(message).hint("set storage.table to \"mbr\""));
    }
    if at >= partition {
        let start = human(partition);
        let message = format!("{what} {at}, but here the first partition begins at {start}");
        return Err(Problem::new(message).hint("raise storage.alignment"));
    }
    let copies = environment.ranges();
    if let Some(copy) = copies.iter().find(|copy| copy.contains(&at)) {
        let start = human(copy.start);
        let message = format!("{what} {at}, where the raw environment at {start} must be empty");
        let hint = "set boot.copy-gap to false where the board does not need it, or another \
                    storage.alignment";
        return Err(Problem::new(message).hint(hint));
    }
    Ok(())
}

impl Prepared {
    /// Everything outside the partitions, as bytes with their offsets, by offset: the partition
    /// table, the blobs of `[[raw]]`, copied bytes of the golden image, boot code.
    ///
    /// # Errors
    /// When the partition table cannot be written.
    pub(super) fn unpartitioned(&self) -> Result<Vec<(u64, Vec<u8>)>> {
        let DiskLayout {
            table,
            extents,
            copied,
            ..
        } = &self.layout;
        let mut pieces = table
            .encode(extents.total)
            .context("making the partition table")?;
        let blobs = self.edited.raw.iter().chain(copied);
        pieces.extend(blobs.map(|blob| (blob.offset, blob.bytes.clone())));
        pieces.sort_by_key(|(offset, _)| *offset);
        // Unless there is other boot code.
        let free = pieces
            .first()
            .is_none_or(|(offset, _)| *offset >= table::NO_BIOS.len() as u64);
        if table.kind() == TableKind::Mbr && free {
            pieces.insert(0, (0, table::NO_BIOS.to_vec()));
        }
        Ok(pieces)
    }

    /// Composes the boot filesystem, next to the `root` filesystem as it goes into both slots and
    /// the Artifact.
    ///
    /// # Errors
    /// When a tree holds something that FAT cannot.
    pub(super) fn compose(&mut self, root: Content) -> Result<()> {
        let boots = self.boot_images()?;
        let mut boot = Content::hole(0);
        let mut at = 0;
        for image in &boots {
            boot.push_content(at, image);
            at += image.len();
        }
        boot.set_len(at);
        self.images = Images { root, boots, boot };
        Ok(())
    }

    /// The filesystems of the boot partitions in the order of the disk, each as long as its
    /// partition.
    ///
    /// # Errors
    /// When a tree holds something that FAT cannot.
    fn boot_images(&self) -> Result<Vec<Content>> {
        let (plan, extents) = (&self.plan, &self.layout.extents);
        let image = |tree: &Tree, role: Role, options: &fat::Options| {
            fat::write(tree, extents.partition(role).len, options)
                .context("making the boot filesystem")
        };
        let first = &self.edited.trees.boot;
        let boot = image(first, Role::Boot, &plan.boot.filesystem)?;
        let Some(per_slot) = &plan.boot.per_slot else {
            return Ok(vec![boot]);
        };
        let others = edit::other_boot_partitions(plan, first);
        let (autoboot, second) = others.context("making the boot files of the second slot")?;
        Ok(vec![
            image(&autoboot, Role::Autoboot, &per_slot.autoboot)?,
            boot,
            image(&second, Role::BootB, &per_slot.boot_b)?,
        ])
    }

    /// The data filesystem, as long as its partition, with the bootstrap Artifact that names
    /// `root_sha256`.
    ///
    /// # Errors
    /// When the tree holds something that ext4 cannot.
    pub(super) fn data_image(&self, root_sha256: &[u8; 32]) -> Result<Content> {
        let mut data = self.edited.trees.data.clone();
        let bootstrap = crate::artifact::bootstrap(&self.plan.artifact, root_sha256)
            .context("making the bootstrap Artifact")?;
        let mut editor = TreeEditor::new(&mut data, self.plan.stamp.time);
        editor.file(
            "/mender/bootstrap.mender",
            bootstrap,
            0o600,
            "what a fresh device runs",
        )?;
        drop(editor);
        let len = self.layout.extents.data.len;
        let image = ext4::write::write(&data, len, &self.plan.data.filesystem)
            .context("making the data filesystem")?;
        Ok(image)
    }
}
