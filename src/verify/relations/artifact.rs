//! The Artifact compared with the image: devices install from it what the image contains.

use super::super::disk::{Disk, Roles};
use super::super::finding::{Location, Log, Severity};
use super::super::slots;
use super::client::valid;
use super::elf;
use crate::artifact::{self, ArtifactReport, ClientVersion, Demands, Offer, Verifier, unreadable};
use crate::digest::hex;
use crate::golden::facts;
use crate::image::source::Reader;
use crate::stream::Source;
use std::io;
use std::sync::Arc;

/// Reads and validates all of an Artifact.
pub(in super::super) fn examine(
    source: &Source,
    key: Option<&Verifier>,
) -> io::Result<ArtifactReport> {
    let mut reader = io::BufReader::with_capacity(1 << 18, Reader::new(Arc::clone(source)));
    artifact::validate(&mut reader, key)
}

/// The input of the comparison.
pub(super) struct ArtifactInput {
    /// The report on the Artifact.
    pub(super) report: io::Result<ArtifactReport>,
    /// SHA-256 of the filesystem in slot A, if it is known.
    pub(super) slot_sha256: Option<[u8; 32]>,
}

/// Checks the Artifact and returns its device types and what decides whether devices install it,
/// if it is valid; `kind` is the device type of the image.
pub(super) fn check(
    disk: &Disk,
    roles: &Roles,
    input: ArtifactInput,
    kind: Option<&str>,
    log: &mut Log,
) -> Option<(Vec<String>, Offer)> {
    let place = Location::whole;
    let report = match input.report {
        Ok(report) => report,
        Err(e) => {
            log.error(
                "artifact-unreadable",
                place(),
                format!("reading the Artifact: {e}"),
            );
            return None;
        }
    };
    if !valid(&report, "artifact-invalid", &place(), log) {
        return None;
    }
    let artifact = &report.artifact;
    payload(disk, roles, artifact, input.slot_sha256, log);
    if let Some(kind) = kind {
        let types = &artifact.device_types;
        log.check(
            types.iter().any(|one| one == kind),
            "artifact-device-type",
            || {
                (
                    place(),
                    format!("it is for {types:?}, the image's device is a `{kind}`"),
                )
            },
        );
    }
    let name = disk
        .files(roles.a)
        .and_then(|files| super::super::disk::read(&files.tree, "/etc/mender/artifact_info"));
    if let Some(text) = name.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()) {
        let own = text
            .lines()
            .find_map(|line| line.strip_prefix("artifact_name="))
            .unwrap_or_default()
            .trim()
            .to_owned();
        log.check(own == artifact.name, "artifact-name", || {
            (
                place(),
                format!(
                    "it is called `{}`, /etc/mender/artifact_info has `{own}`",
                    artifact.name
                ),
            )
        });
    }
    readable(disk, roles, artifact.demands(), log);
    Some((artifact.device_types.clone(), Offer::of(artifact)))
}

/// The update client of the image can read the Artifact.
fn readable(disk: &Disk, roles: &Roles, demands: Demands, log: &mut Log) {
    let Some(root) = disk.files(roles.a).map(|files| &*files.tree) else {
        return;
    };
    let Ok(Some((package, version))) = facts::client(root) else {
        return;
    };
    let Ok(client) = version.parse::<ClientVersion>() else {
        return;
    };
    let findings = unreadable(
        client,
        elf::is_32_bit(root, "/usr/bin/mender-update"),
        demands,
    );
    if findings.is_empty() {
        log.passed(1);
    }
    for finding in findings {
        // Devices that install the Artifact run the release before, perhaps with another client.
        let severity = match finding.severity {
            artifact::Severity::Error if finding.code != artifact::TOO_LARGE => Severity::Error,
            _ => Severity::Warning,
        };
        let text = format!(
            "{package} {version} of the image cannot read it: {}",
            finding.text
        );
        log.add(severity, "artifact-client", Location::whole(), text);
    }
}

/// The payload equals slot A, byte for byte, and fits into both slots.
fn payload(
    disk: &Disk,
    roles: &Roles,
    artifact: &artifact::Artifact,
    slot_sha256: Option<[u8; 32]>,
    log: &mut Log,
) {
    let [file] = artifact.files.as_slice() else {
        return log.error(
            "artifact-payload",
            Location::whole(),
            format!("its payload has {} files, not 1", artifact.files.len()),
        );
    };
    let lengths =
        [roles.a, roles.b].map(|number| disk.part(number).map_or(0, |part| part.source.len()));
    let fits = lengths.iter().all(|len| *len >= file.size);
    log.check(fits, "artifact-size", || {
        (
            Location::whole(),
            format!(
                "the payload has {} bytes, the slots {} and {}",
                file.size, lengths[0], lengths[1]
            ),
        )
    });
    let (Some(part), Some(payload_sha256), true) = (disk.part(roles.a), file.sha256, fits) else {
        return;
    };
    let due = hex(&payload_sha256);
    let known = slot_sha256.filter(|_| {
        part.files
            .as_ref()
            .is_some_and(|files| files.size == file.size)
    });
    match known.map_or_else(|| slots::digest(&*part.source, file.size), Ok) {
        Ok(found) => {
            let found = hex(&found);
            log.check(found == due, "artifact-payload", || {
                (
                    Location::partition(roles.a),
                    format!("slot A has the checksum {found}, the payload {due}"),
                )
            });
        }
        Err(e) => log.error(
            "slot-unreadable",
            Location::partition(roles.a),
            e.to_string(),
        ),
    }
    if let Some(provided) = artifact.provides.get("rootfs-image.checksum") {
        log.check(*provided == due, "artifact-checksum", || {
            (
                Location::whole(),
                format!("it provides the checksum {provided}, its payload has {due}"),
            )
        });
    }
}
