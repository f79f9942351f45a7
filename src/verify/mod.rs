//! Checks an image with code independent of the writer and simulates every sequence of updates and
//! power cuts.
//!
//! The checks do not depend on how the image was made: images of other converters are checked the
//! same way. Checks of a format share no code with its writer and reader; checks of relations
//! between files use the readers.
//!
//! ```text
//! partition table -> each filesystem by itself -> slots, client, mounts, boot -> Artifact
//!   -> compatibility with an earlier release
//! ```

#![deny(
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing
)]
// Tests may panic.
#![cfg_attr(
    test,
    allow(
        clippy::as_conversions,
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing
    )
)]

pub mod compatibility;
mod disk;
pub mod ext4;
mod fat;
mod finding;
mod numbers;
mod probe;
mod record;
mod relations;
mod request;
mod slots;
mod table;

pub use finding::{CheckGroup, Finding, Location, Log, Outcome, Severity};
pub use relations::{key_files, missing_libraries, required_on_data};
pub use request::{Request, SearchedFiles};

use crate::image::table::DiskId;
use crate::stream::Source;
use disk::{Disk, Roles};
use request::PendingReport;

/// Verifies a disk image, or an image of one filesystem. The Artifact, which takes longest, is read
/// in a separate thread.
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
        let report = || request.artifact_report.cloned().map(Ok).or_else(read);
        disk_image(source, request, Box::new(report))
    })
}

fn disk_image(source: &Source, request: &Request<'_>, report: PendingReport<'_>) -> Outcome {
    let mut log = Log::default();
    if probe::is_ext(&**source) && !probe::has_table(&**source) {
        log.group("filesystem");
        ext4::check(&**source, None, &mut log);
        return log.finish();
    }
    log.group("partition table");
    let Some(table) = table::check(&**source, &mut log) else {
        return log.finish();
    };
    let disk = Disk::read(source, table, request, &mut log);
    log.group("roles");
    let Some(roles) = disk.roles(&mut log) else {
        return log.finish();
    };
    let (device_types, artifact) = relations::check(&disk, &roles, request, report, &mut log);
    if let Some(old) = request.earlier_record {
        log.group("compatibility");
        let contract = compatibility::Contract {
            artifact,
            ..contract(&disk, &roles, device_types)
        };
        let findings = compatibility::check(old, &contract);
        log.passed(compatibility::passed(&findings));
        for finding in findings {
            log.add(finding.severity, finding.code, finding.place, finding.text);
        }
    }
    if let Some(own) = request.record {
        record::check(own, &disk, &roles, &mut log);
    }
    log.finish()
}

/// The properties of the image that devices depend on.
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
        data_dirs: disk
            .files(roles.a)
            .map_or_else(Vec::new, |files| required_on_data(&files.tree)),
        data_files: Vec::new(),
        artifact: None,
    }
}
