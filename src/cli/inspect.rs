//! `goldsmith inspect`: shows the content of a disk image.

use super::input::ImageArgs;
use super::{print, progress, terminal};
use crate::golden::disk::{self, GoldenDisk, GoldenPartition};
use crate::golden::facts::{self, Facts};
use crate::golden::{condition, mounted};
use crate::image::table::{PartitionType, types};
use crate::units::human;
use clap::Args;
use serde::Serialize;
use std::fmt::Write;
use std::process::ExitCode;
use std::sync::Arc;

/// Show the partitions, filesystems and operating systems of an image
#[derive(Args, Debug)]
pub(super) struct InspectArgs {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    input: ImageArgs,
}

/// The output of `--json`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Inspection {
    /// How the image is stored.
    form: String,
    /// The length of the disk (bytes).
    size: u64,
    /// The kind of its partition table.
    table: String,
    /// Remarks on the partition table, one sentence each.
    warnings: Vec<String>,
    /// Where the image, or a part of it, is mounted, one sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mounted: Vec<String>,
    /// The partitions, in the order of the table.
    partitions: Vec<PartitionInfo>,
    /// The operating systems that were found.
    systems: Vec<System>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct PartitionInfo {
    /// The number in the table, from 1.
    number: u32,
    /// The offset of the first byte.
    start: u64,
    /// The length (bytes).
    size: u64,
    /// The type in the table: a GUID, or the byte of an MBR in hexadecimal.
    kind: String,
    #[serde(skip)]
    kind_name: String,
    /// The name in a GPT.
    name: String,
    /// What its content is, by its magic numbers.
    holds: String,
    /// The filesystem, if it can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    filesystem: Option<FilesystemInfo>,
    /// Why the filesystem cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<String>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct FilesystemInfo {
    /// `ext4`, `FAT32` and the like.
    kind: String,
    /// The UUID, or the serial number of a FAT.
    id: String,
    /// The label; empty if it has none.
    label: String,
    /// The length (bytes).
    size: Option<u64>,
    /// What no file uses (bytes).
    free: Option<u64>,
    /// The features of an ext4, by the names of `tune2fs`.
    features: Vec<String>,
    /// The blocks that were taken from a journal which was not empty.
    journal_replayed: Option<usize>,
    /// Remarks on its condition, one sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    remarks: Vec<String>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct System {
    /// The number of its partition.
    partition: u32,
    /// What its files say.
    facts: Facts,
}

/// Runs the command.
pub(super) fn run(args: &InspectArgs) -> anyhow::Result<ExitCode> {
    let report = progress::report(true);
    let input = args.input.open(&*report)?;
    let disk = GoldenDisk::new(Arc::clone(&input.source))?;
    let mut found = Inspection {
        form: input.form.to_string(),
        size: input.source.len(),
        table: disk.table.kind().to_string(),
        warnings: disk
            .table
            .warnings
            .iter()
            .map(ToString::to_string)
            .collect(),
        mounted: input
            .backing()
            .map(mounted::mounts)
            .unwrap_or_default()
            .iter()
            .map(mounted::Mounted::describe)
            .collect(),
        partitions: Vec::new(),
        systems: Vec::new(),
    };
    for partition in &disk.partitions {
        let ((filesystem, system), unreadable) = match read_partition(&disk, partition) {
            Ok(found) => (found, None),
            Err(error) => ((None, None), Some(format!("{error:#}"))),
        };
        found.systems.extend(system);
        found.partitions.push(PartitionInfo {
            number: partition.number,
            start: partition.start,
            size: partition.len,
            kind: partition.kind.to_string(),
            kind_name: kind_name(partition.kind),
            name: partition.name.clone(),
            holds: partition.filesystem.name().to_owned(),
            filesystem,
            unreadable: unreadable.or_else(|| partition.read_error.clone()),
        });
    }
    if args.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&found)?))?
    } else {
        print(&terminal::listed(&text(&found)))?
    }
    Ok(ExitCode::SUCCESS)
}

/// The filesystem of a partition, and the system if it is a root filesystem.
///
/// # Errors
/// Why it cannot be read; the image may be fine without it.
fn read_partition(
    disk: &GoldenDisk,
    partition: &GoldenPartition,
) -> anyhow::Result<(Option<FilesystemInfo>, Option<System>)> {
    match partition.filesystem {
        disk::Filesystem::Ext => {
            let filesystem = crate::fs::ext4::read::Filesystem::open(disk.content(partition))?;
            let info = filesystem.info();
            let (tree, losses) = filesystem.tree_and_losses()?;
            let facts = if facts::is_root(&tree) {
                Some(facts::gather(&tree)?)
            } else {
                None
            };
            let remarks = condition::ext(&info, &losses);
            let features = [info.compat, info.incompat, info.ro_compat]
                .into_iter()
                .flat_map(|word| word.names)
                .collect();
            let shown = FilesystemInfo {
                kind: info.kind.to_owned(),
                id: info.uuid.to_string(),
                label: String::from_utf8_lossy(&info.label).into_owned(),
                size: Some(info.blocks * info.block_size),
                free: Some(info.free_blocks * info.block_size),
                features,
                journal_replayed: info.replayed,
                remarks,
            };
            Ok((
                Some(shown),
                facts.map(|facts| System {
                    partition: partition.number,
                    facts,
                }),
            ))
        }
        disk::Filesystem::Fat => {
            let (_, info) = crate::fs::fat::read(disk.content(partition))?;
            let shown = FilesystemInfo {
                kind: info.kind.to_string(),
                id: format!(
                    "{:04X}-{:04X}",
                    info.volume_id >> 16,
                    info.volume_id & 0xffff
                ),
                remarks: condition::fat(&info),
                label: info.label.unwrap_or_default(),
                size: Some(info.size),
                free: None,
                features: Vec::new(),
                journal_replayed: None,
            };
            Ok((Some(shown), None))
        }
        _ => Ok((None, None)),
    }
}

/// The output without `--json`.
fn text(found: &Inspection) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{} image, {}, {} table",
        found.form,
        human(found.size),
        found.table
    );
    for warning in found.warnings.iter().chain(&found.mounted) {
        let _ = writeln!(out, "warning: {warning}");
    }
    let _ = writeln!(
        out,
        "\n  {:<3} {:>10} {:>10}  {:<10}  content",
        "#", "start", "size", "type"
    );
    for part in &found.partitions {
        let content = match &part.filesystem {
            Some(fs) => {
                let label = if fs.label.is_empty() {
                    String::new()
                } else {
                    format!(" \"{}\"", fs.label.trim_end())
                };
                let free = fs
                    .free
                    .map(|free| format!(", {} free", human(free)))
                    .unwrap_or_default();
                format!("{} {}{label}{free}", fs.kind, fs.id)
            }
            None => match &part.unreadable {
                Some(why) => format!("{}, not readable: {why}", part.holds),
                None => part.holds.clone(),
            },
        };
        let _ = writeln!(
            out,
            "  {:<3} {:>10} {:>10}  {:<10}  {content}",
            part.number,
            human(part.start),
            human(part.size),
            part.kind_name
        );
    }
    for part in &found.partitions {
        let remarks = part.filesystem.iter().flat_map(|fs| &fs.remarks);
        for remark in remarks {
            let _ = writeln!(out, "remark on partition {}: {remark}", part.number);
        }
    }
    for system in &found.systems {
        system_text(&mut out, system);
    }
    out
}

/// Types of partitions that are only named: type GUIDs (Discoverable Partitions Specification;
/// those of other systems by their documentation) and type bytes.
const KINDS: [(&str, &str); 27] = [
    ("0657fd6d-a4ab-43c4-84e5-0933c84b4f4f", "Linux swap"),
    ("ca7d7ccb-63ed-4c53-861c-1742536059cc", "LUKS"),
    ("7ffec5c9-2d00-49b7-8941-3ea10a5586b7", "dm-crypt"),
    ("a19d880f-05fc-4d3b-a006-743f0f84911e", "Linux RAID"),
    ("933ac7e1-2eb4-4f13-b844-0e14e2aef915", "Linux home"),
    ("3b8f8425-20e0-4f3b-907f-1a25a76f98e8", "Linux srv"),
    ("4d21b016-b534-45c2-a9fb-5c16e091fd2d", "Linux var"),
    ("7ec6f557-3bc5-4aca-b293-16ef5df639d1", "Linux tmp"),
    ("bc13c2ff-59e6-4262-a352-b275fd6f7172", "Linux boot"),
    ("4f68bce3-e8cd-4db1-96e7-fbcaf984b709", "Linux root"),
    ("44479540-f297-41b2-9af7-d131d5f0458a", "Linux root"),
    ("b921b045-1df0-41c3-af44-4c6f280d3fae", "Linux root"),
    ("69dad710-2ce4-4e3c-b16c-21a1d49abed3", "Linux root"),
    ("e3c9e316-0b5c-4db8-817d-f92df00215ae", "MS reserved"),
    ("de94bba4-06d1-4d40-a16a-bfd50179d6ac", "Windows RE"),
    ("9e1a2d38-c612-4316-aa26-8b49521e5a8b", "PReP boot"),
    ("fe3a2a5d-4f32-41a7-b725-accc3285a309", "ChromeOS"),
    ("0x05", "extended"),
    ("0x0f", "extended"),
    ("0x82", "Linux swap"),
    ("0x85", "extended"),
    ("0x07", "NTFS/exFAT"),
    ("0x01", "FAT12"),
    ("0x06", "FAT16"),
    ("0x0b", "FAT32"),
    ("0xe8", "LUKS"),
    ("0xfd", "Linux RAID"),
];

/// A description of the partition type, or its code in the table. Only the first part of a GUID is
/// shown; `--json` contains all of it.
fn kind_name(kind: PartitionType) -> String {
    let name = match kind {
        types::GPT_ESP | types::MBR_ESP => "EFI system",
        types::GPT_LINUX | types::MBR_LINUX => "Linux",
        types::GPT_BIOS_BOOT => "BIOS boot",
        types::GPT_LVM | types::MBR_LVM => "Linux LVM",
        types::GPT_BASIC_DATA => "basic data",
        types::MBR_FAT16_LBA | types::MBR_FAT32_LBA => "FAT",
        other => {
            let code = other.to_string();
            let lower = code.to_lowercase();
            let known = KINDS.iter().find(|(kind, _)| *kind == lower);
            let short = code.split('-').next().unwrap_or_default();
            return known.map_or(short, |(_, name)| *name).to_owned();
        }
    };
    name.to_owned()
}

fn system_text(out: &mut String, System { partition, facts }: &System) {
    let architecture = facts
        .architecture
        .map_or("unknown architecture", crate::platform::Architecture::name);
    let _ = writeln!(
        out,
        "\nSystem on partition {partition}: {}, {architecture}",
        facts.os.pretty
    );
    for kernel in &facts.kernels {
        let initrd = kernel.initrd.as_deref().unwrap_or("no initrd");
        let _ = writeln!(out, "  kernel {} ({initrd})", kernel.version);
    }
    for remark in &facts.remarks {
        let _ = writeln!(out, "  remark: {remark}");
    }
}
