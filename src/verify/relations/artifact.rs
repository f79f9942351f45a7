//! The Artifact against the image: what devices take from it is what the image holds.

use super::super::disk::{Disk, Roles};
use super::super::finding::{Location, Log};
use super::super::slots;
use super::client::valid;
use crate::artifact::{self, ArtifactReport, Verifier};
use crate::digest::hex;
use crate::image::source::Reader;
use crate::stream::Source;
use std::io;
use std::sync::Arc;

/// Reads all of an Artifact.
pub(in super::super) fn examine(
    source: &Source,
    key: Option<&Verifier>,
) -> io::Result<ArtifactReport> {
    let mut reader = io::BufReader::with_capacity(1 << 18, Reader::new(Arc::clone(source)));
    artifact::validate(&mut reader, key)
}

/// What is given.
pub(super) struct ArtifactInput {
    /// What reading the Artifact came to.
    pub(super) examined: io::Result<ArtifactReport>,
    /// The digest of the filesystem in slot A.
    pub(super) slot: Option<[u8; 32]>,
}

/// Checks the Artifact and returns the device types that it is for; `kind` is the device's own.
pub(super) fn check(
    disk: &Disk,
    roles: &Roles,
    given: ArtifactInput,
    kind: Option<&str>,
    log: &mut Log,
) -> Vec<String> {
    let place = Location::whole;
    let examined = match given.examined {
        Ok(examined) => examined,
        Err(e) => {
            log.error(
                "artifact-unreadable",
                place(),
                format!("reading the Artifact: {e}"),
            );
            return Vec::new();
        }
    };
    if !valid(&examined, "artifact-invalid", &place(), log) {
        return Vec::new();
    }
    let artifact = &examined.artifact;
    payload(disk, roles, artifact, given.slot, log);
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
                    "it is called `{}`, /etc/mender/artifact_info says `{own}`",
                    artifact.name
                ),
            )
        });
    }
    artifact.device_types.clone()
}

/// The payload is slot A, byte for byte, and fits into both slots.
fn payload(
    disk: &Disk,
    roles: &Roles,
    artifact: &artifact::Artifact,
    slot: Option<[u8; 32]>,
    log: &mut Log,
) {
    let [file] = artifact.files.as_slice() else {
        return log.error(
            "artifact-payload",
            Location::whole(),
            format!("it has {} files as payload, not 1", artifact.files.len()),
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
    let (Some(part), Some(sum), true) = (disk.part(roles.a), file.sha256, fits) else {
        return;
    };
    let due = hex(&sum);
    let known = slot.filter(|_| {
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
