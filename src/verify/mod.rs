//! Verification of a finished image: everything that a device relies on is read back and held
//! against everything else.
//!
//! Nothing here asks how the image was made: images of other converters are judged the same way.
//! Checks of a format use code that shares nothing with its writer and reader; checks of relations
//! between files use the readers.
//!
//! ```text
//! partition table -> each filesystem by itself -> slots, client, mounts, boot -> Artifact -> devices in the field
//! ```

pub mod compatibility;
mod disk;
pub mod ext4;
mod fat;

mod finding;
mod relations;
mod slots;
mod table;

pub use finding::{CheckGroup, Finding, Location, Log, Outcome, Severity};

use crate::artifact::{ArtifactReport, Verifier};
use crate::image::table::DiskId;
use crate::stream::{ReadAt, Source};
use disk::{Disk, Roles};
use serde_json::Value;
use std::io;

/// What an image is held against besides itself.
#[derive(Debug, Default)]
pub struct Request<'a> {
    /// The Artifact that was made with it.
    pub artifact: Option<Source>,
    /// Who must have signed the Artifact.
    pub key: Option<&'a Verifier>,
    /// The record of an earlier release, whose devices shall take the Artifact.
    pub earlier_record: Option<&'a Value>,
    /// What an Artifact that was read already came to; `artifact` and `key` are not asked then.
    pub artifact_report: Option<&'a ArtifactReport>,
    /// Where two partitions begin (bytes) that hold the same bytes, where whoever made the image
    /// knows: they are not compared then.
    pub identical_slots: Option<[u64; 2]>,
    /// SHA-256 of the filesystem in slot A, where whoever wrote it hashed what was written: it is
    /// not hashed again then.
    pub root_sha256: Option<[u8; 32]>,
}

/// Verifies a disk image, or a filesystem image by itself. The Artifact, which takes longest, is
/// read in a thread of its own.
#[must_use]
pub fn image(source: &Source, request: &Request<'_>) -> Outcome {
    std::thread::scope(|scope| {
        let artifact = request
            .artifact
            .as_ref()
            .map(|artifact| scope.spawn(|| relations::examine(artifact, request.key)));
        let read = || {
            artifact.map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
        };
        let examined = || request.artifact_report.cloned().map(Ok).or_else(read);
        disk_image(source, request, Box::new(examined))
    })
}

/// Waits for what reading the Artifact came to, when there is one.
type Examine<'a> = Box<dyn FnOnce() -> Option<io::Result<ArtifactReport>> + 'a>;

fn disk_image(source: &Source, request: &Request<'_>, examined: Examine<'_>) -> Outcome {
    let mut log = Log::default();
    if is_ext(&**source) && !has_table(&**source) {
        log.group("filesystem");
        ext4::check(&**source, None, &mut log);
        return log.finish();
    }
    log.group("partition table");
    let Some(table) = table::check(&**source, &mut log) else {
        return log.finish();
    };
    let disk = Disk::read(source, table, request.identical_slots, &mut log);
    log.group("roles");
    let Some(roles) = disk.roles(&mut log) else {
        return log.finish();
    };
    let device_types = relations::check(&disk, &roles, request, examined, &mut log);
    if let Some(old) = request.earlier_record {
        log.group("devices in the field");
        let contract = contract(&disk, &roles, device_types.device_types);
        let findings = compatibility::check(old, &contract);
        log.passed(8_u64.saturating_sub(findings.len() as u64));
        for finding in findings {
            log.add(finding.severity, finding.code, finding.place, finding.text);
        }
    }
    log.finish()
}

/// What the image says about its family.
fn contract(disk: &Disk, roles: &Roles, device_types: Vec<String>) -> compatibility::Contract {
    let numbers = [
        ("boot", roles.boot),
        ("root-a", Some(roles.a)),
        ("root-b", Some(roles.b)),
        ("data", Some(roles.data)),
    ];
    let part = |(role, number): (&str, Option<u32>)| {
        number.map(|number| {
            (
                role.to_owned(),
                number,
                disk.table.partuuid(number).unwrap_or_default(),
            )
        })
    };
    compatibility::Contract {
        device_types,
        disk_id: match disk.table.disk_id {
            DiskId::Gpt(id) => id.to_string(),
            DiskId::Mbr(id) => format!("{id:08x}"),
        },
        partitions: numbers.into_iter().filter_map(part).collect(),
        slots: disk.slot_paths(roles),
        root_size: disk.files(roles.a).map_or(0, |files| files.size),
        boot_mount: relations::boot_mount(disk, roles),
        boot_loader: None,
        environment: Vec::new(),
    }
}

/// Whether an ext2, ext3 or ext4 superblock is there.
fn is_ext(source: &dyn ReadAt) -> bool {
    crate::fs::ext4::read::probe(source).unwrap_or(false)
}

/// Whether sector 0 ends like an MBR.
fn has_table(source: &dyn ReadAt) -> bool {
    let mut mark = [0; 2];
    source.read_exact_at(510, &mut mark).is_ok() && mark == [0x55, 0xAA]
}
