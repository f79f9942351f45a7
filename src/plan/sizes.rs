//! Sizes of the three filesystems from what their files need, the partition table from the layout,
//! and the filesystems themselves.

use crate::config::Config;
use crate::fs::{ext4, fat};
use crate::golden::disk::Boot;
use crate::image::table;
use crate::plan::family::{Family, Role};
use crate::plan::layout::Layout;
use crate::platform::Bootloader;
use crate::platform::TableKind;
use crate::problem::Problem;
use crate::stamp::Stamp;
use crate::tree::Tree;
use crate::units::{Lba, MIB, align_up, enough, human};
use anyhow::{Context, Result};

/// The size of the root filesystem: as configured, or that of the `older` one it is laid out by, or
/// from what its files need.
pub(crate) fn root_size(config: &Config, minimum: u64, older: Option<u64>) -> Result<u64, Problem> {
    let wanted = match (config.root.size, config.root.headroom) {
        (Some(size), _) if size < minimum => {
            let message = format!(
                "root.size is {} ({size} bytes) but the files need {} ({minimum} bytes)",
                human(size),
                human(minimum)
            );
            return Err(Problem::new(message)
                .hint(format!("set root.size to at least \"{}\"", enough(minimum))));
        }
        (Some(size), _) => size,
        (None, _) if older.is_some_and(|older| older >= minimum) => older.unwrap_or(minimum),
        (None, room) => room.above(minimum),
    };
    Ok(align_up(wanted, MIB))
}

/// Volume id and label of the golden boot filesystem, where there is one.
pub(crate) fn boot_options(stamp: &Stamp, boot: Option<&Boot>) -> fat::Options {
    let (volume_id, label) = match boot {
        Some(boot) => (boot.info.volume_id, boot.info.label.clone()),
        None => (stamp.id32("boot filesystem"), Some("BOOT".to_owned())),
    };
    fat::Options {
        volume_id,
        label,
        time: stamp.time,
        kind: fat::RequestedKind::Auto,
        hidden_sectors: 0,
    }
}

/// The boot partition: as configured, or 40 MiB, or as large as the golden one.
pub(crate) fn boot_size(
    config: &Config,
    boot: Option<&Boot>,
    tree: &Tree,
    options: &fat::Options,
) -> Result<u64> {
    let golden = boot.map_or(0, |boot| boot.partition.len);
    let size = config.boot.size.unwrap_or((40 * MIB).max(golden));
    let minimum = fat::minimum_size(tree, options).context("measuring the boot filesystem")?;
    if align_up(size, config.storage.alignment) < minimum {
        let message = format!(
            "boot.size is {} but its files need {} ({minimum} bytes)",
            human(size),
            human(minimum)
        );
        return Err(Problem::new(message)
            .hint(format!("set boot.size to at least \"{}\"", enough(minimum)))
            .into());
    }
    Ok(size)
}

/// The data partition: as configured when its files fit.
pub(crate) fn data_size(
    config: &Config,
    tree: &Tree,
    options: &ext4::write::Options,
) -> Result<u64> {
    let size = config.data.size;
    // The bootstrap Artifact comes later; a mebibyte is many times what it takes.
    let minimum =
        ext4::write::minimum_size(tree, options).context("measuring the data filesystem")? + MIB;
    if align_up(size, config.storage.alignment) < minimum {
        let message = format!(
            "data.size is {} but its files need {} ({minimum} bytes)",
            human(size),
            human(minimum)
        );
        return Err(Problem::new(message)
            .hint(format!("set data.size to at least \"{}\"", enough(minimum)))
            .into());
    }
    Ok(size)
}

/// Adds what else could give way when the slots are too small.
pub(crate) fn fitting(problem: Problem, config: &Config, minimum: u64) -> Problem {
    let message = match config.root.size {
        Some(_) => problem.message,
        None => format!(
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

/// The partition table of the result.
pub(crate) fn table(family: &Family, loader: Bootloader, layout: &Layout) -> table::Table {
    let extents = [layout.boot, layout.root_a, layout.root_b, layout.data];
    let mut partitions = Vec::new();
    for (role, extent) in Role::ALL.into_iter().zip(extents) {
        let kind = match (family.scheme, role) {
            (TableKind::Gpt, Role::Boot) => table::types::GPT_ESP,
            (TableKind::Gpt, _) => table::types::GPT_LINUX,
            // The firmware of some boards reads FAT partitions of this type only.
            (TableKind::Mbr, Role::Boot) if loader != Bootloader::GrubEfi => {
                table::types::MBR_FAT32_LBA
            }
            (TableKind::Mbr, Role::Boot) => table::types::MBR_ESP,
            (TableKind::Mbr, _) => table::types::MBR_LINUX,
        };
        let id =
            (family.scheme == TableKind::Gpt).then(|| family.guids[role.number() as usize - 1]);
        let sectors = Lba::from_bytes(extent.len).0;
        let mut partition = table::Partition::new(
            role.number(),
            Lba::from_bytes(extent.start),
            sectors,
            kind,
            id,
        );
        // U-Boot looks for its script on partitions that are marked for it.
        if loader != Bootloader::GrubEfi && role == Role::Boot {
            match family.scheme {
                TableKind::Gpt => partition.attributes = table::BIOS_BOOTABLE,
                TableKind::Mbr => partition.active = true,
            }
        }
        if family.scheme == TableKind::Gpt {
            partition.name = role.name().to_owned();
        }
        partitions.push(partition);
    }
    let disk_id = match family.scheme {
        TableKind::Gpt => table::DiskId::Gpt(family.disk_guid),
        TableKind::Mbr => table::DiskId::Mbr(family.disk_id),
    };
    table::Table {
        disk_id,
        partitions,
        warnings: Vec::new(),
    }
}
