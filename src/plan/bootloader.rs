//! The boot loader of a conversion: which, what its integration must know, and what the disk has
//! for it.

use crate::boot;
use crate::config::{self, Config};
use crate::convert::prepare::Plan;
use crate::golden::bootloader::guess;
use crate::golden::facts::Facts;
use crate::plan::family::Role;
use crate::plan::layout::{Layout, Margins};
use crate::platform::Architecture;
use crate::platform::Bootloader;
use crate::platform::TableKind;
use crate::problem::Problem;
use crate::tree::Tree;
use crate::units::human;
use anyhow::{Context as _, Result};
use std::ops::Range;

use crate::golden::disk::Survey;

/// The grain in which what lies in front of the partitions is copied (bytes).
const GRAIN: usize = 512;
/// The end of a GPT with the usual 128 entries (bytes).
const GPT_END: u64 = 34 * 512;

/// The loader that the configuration names or the image shows.
pub(crate) fn choose(config: &Config, root: &Tree, boot: Option<&Tree>) -> Bootloader {
    match config.boot.bootloader {
        config::BootloaderChoice::GrubEfi => Bootloader::GrubEfi,
        config::BootloaderChoice::UBoot => guess(root, boot, true),
        config::BootloaderChoice::Auto => guess(root, boot, false),
    }
}

/// The room that the loader needs.
pub(crate) fn margins(loader: Bootloader) -> Margins {
    match loader {
        Bootloader::GrubEfi => Margins::EFI,
        Bootloader::UBoot | Bootloader::UBootOnRaspberryPi => Margins::UBOOT,
    }
}

/// The boot loader and what its integration must know. `arguments` are added to the image's own.
pub(crate) fn bootloader<'p>(
    plan: &'p Plan,
    config: &'p Config,
    facts: &Facts,
    partuuids: [&'p str; 2],
    arguments: &'p str,
) -> Result<boot::Integration<'p>, Problem> {
    let arch = facts
        .architecture
        .ok_or_else(|| Problem::new("the architecture of the image is not known"))?;
    let roots = [Role::RootA.number(), Role::RootB.number()];
    let (boot_mount, more_arguments) = (plan.boot_mount.as_str(), arguments);
    if plan.loader == Bootloader::GrubEfi {
        let table = plan.family.scheme;
        let context = boot::grub::GrubOptions {
            roots,
            partuuids,
            table,
            boot_mount,
            arch,
            more_arguments,
        };
        return Ok(boot::Integration::GrubEfi(context));
    }
    if !matches!(arch, Architecture::Arm64 | Architecture::Armhf) {
        let message = format!(
            "boot.bootloader is u-boot, which is integrated for arm64 and armhf; the image is for {}",
            arch.name()
        );
        return Err(Problem::new(message).hint("leave it out, or set it to grub-efi"));
    }
    let program = config.boot.u_boot.as_ref().map(|path| {
        let bytes = std::fs::read(path)
            .map_err(|e| Problem::new(format!("reading boot.u-boot {}: {e}", path.display())))?;
        let name = path
            .file_name()
            .unwrap_or(path.as_os_str())
            .to_string_lossy()
            .into_owned();
        Ok::<_, Problem>((name, bytes))
    });
    Ok(boot::Integration::UBoot(boot::uboot::UBootOptions {
        roots,
        partuuids,
        boot_mount,
        arch,
        more_arguments,
        flavor: config.boot.kernel_flavor.as_deref(),
        program: program.transpose()?,
        storage: storage(config)?,
    }))
}

/// Where U-Boot's environment is kept.
fn storage(config: &Config) -> Result<boot::uboot::EnvStorage, Problem> {
    match (config.boot.environment, &config.storage.device) {
        (config::EnvironmentLocation::Files, _) => Ok(boot::uboot::EnvStorage::Files),
        (config::EnvironmentLocation::Raw, config::Device::Disk(disk)) => {
            Ok(boot::uboot::EnvStorage::Raw { disk: disk.clone(), offsets: raw_offsets(config), size: config.boot.environment_size })
        }
        (config::EnvironmentLocation::Raw, config::Device::PartUuid) => {
            Err(Problem::new("boot.environment is raw, outside of all partitions, but the disk has no name on the device")
                .hint("set storage.device to the disk, such as \"/dev/mmcblk0\", or boot.environment to \"files\""))
        }
    }
}

/// The places of a raw environment: the two alignments that stay free for it.
fn raw_offsets(config: &Config) -> [u64; 2] {
    [config.storage.alignment, 2 * config.storage.alignment]
}

/// What besides tables and partitions has a place on the disk: a raw environment, and the pieces of
/// `gap`.
pub(crate) fn reserved(config: &Config, gap: &[(u64, Vec<u8>)]) -> Vec<(String, Range<u64>)> {
    let piece = |(offset, bytes): &(u64, Vec<u8>)| {
        (
            "the golden image's own loader, which boot.copy-gap copies,".to_owned(),
            *offset..offset + bytes.len() as u64,
        )
    };
    let mut reserved: Vec<_> = gap.iter().map(piece).collect();
    if config.boot.environment == config::EnvironmentLocation::Raw {
        let copy = |offset| {
            (
                "the raw environment".to_owned(),
                offset..offset + config.boot.environment_size,
            )
        };
        reserved.extend(raw_offsets(config).map(copy));
    }
    reserved
}

/// What lies in front of the golden image's first partition and belongs in front of ours: the
/// loader of boards whose processor looks for it there. Offsets and bytes; what is not in it stays
/// zero.
///
/// # Errors
/// A [`Problem`] when it has no room there.
pub(crate) fn gap(
    config: &Config,
    plan: &Plan,
    survey: &Survey,
    layout: &Layout,
) -> Result<Vec<(u64, Vec<u8>)>> {
    if !config
        .boot
        .copy_gap
        .unwrap_or(plan.loader == Bootloader::UBoot)
    {
        return Ok(Vec::new());
    }
    let Some(end) = survey
        .partitions
        .iter()
        .map(|partition| partition.start)
        .min()
    else {
        return Ok(Vec::new());
    };
    let start = table_end(survey)?;
    let ours = if plan.family.scheme == TableKind::Gpt {
        GPT_END
    } else {
        512
    };
    let mut pieces: Vec<(u64, Vec<u8>)> = Vec::new();
    let mut at = start;
    while at < end {
        let mut block = vec![0; GRAIN];
        survey
            .disk
            .read_exact_at(at, &mut block)
            .context("reading what lies in front of the first partition")?;
        if block.iter().any(|byte| *byte != 0) {
            fits(config, at, ours, layout.boot.start)?;
            match pieces.last_mut() {
                Some((from, bytes)) if *from + bytes.len() as u64 == at => bytes.extend(block),
                _ => pieces.push((at, block)),
            }
        }
        at += GRAIN as u64;
    }
    Ok(pieces)
}

/// Whether a block of the gap may lie at `at`: behind our table, in front of our first partition,
/// outside of a raw environment.
fn fits(config: &Config, at: u64, table: u64, partition: u64) -> Result<(), Problem> {
    let what = || {
        format!("the golden image has a boot loader in front of its first partition, at byte {at}")
    };
    if at < table {
        return Err(
            Problem::new(format!("{}, where a GPT has its entries", what()))
                .hint("set storage.table to \"mbr\""),
        );
    }
    if at >= partition {
        let message = format!(
            "{}, but here the first partition begins at {}",
            what(),
            human(partition)
        );
        return Err(Problem::new(message).hint("raise storage.alignment"));
    }
    let raw = config.boot.environment == config::EnvironmentLocation::Raw;
    let taken = |range: Range<u64>| raw && range.contains(&at);
    if let Some(offset) = raw_offsets(config)
        .into_iter()
        .find(|offset| taken(*offset..offset + config.boot.environment_size))
    {
        let message = format!(
            "{}, where the raw environment at {} must be empty",
            what(),
            human(offset)
        );
        return Err(
            Problem::new(message).hint("set boot.copy-gap to false where the board does not need it, or another storage.alignment")
        );
    }
    Ok(())
}

/// Where the golden image's own table ends (bytes).
fn table_end(survey: &Survey) -> Result<u64> {
    if survey.table.kind() == TableKind::Mbr {
        return Ok(512);
    }
    // The header says where its entries are (UEFI 5.3.2): 8 bytes at 72, their number and size at
    // 80 and 84.
    let mut header = [0; 92];
    survey
        .disk
        .read_exact_at(512, &mut header)
        .context("reading the header of the GPT")?;
    let number = |at: usize| {
        header[at..at + 4]
            .iter()
            .rev()
            .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
    };
    let entries = number(80).saturating_mul(number(84)).min(1 << 20);
    let begin = (number(72) | number(76) << 32).saturating_mul(512);
    let end = if begin == 1024 { begin + entries } else { 1024 };
    Ok(end.next_multiple_of(512))
}
