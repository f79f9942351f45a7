//! The Artifact against the image: what devices take from it is what the image holds.

use super::super::disk::{Disk, Roles};
use super::super::finding::{Log, Place};
use super::super::slots;
use super::client::valid;
use crate::artifact::{self, Verifier};
use crate::digest::hex;
use crate::stream::{ReadAt, Source};
use std::io::{self, Read};

/// A source read from its start.
struct Reader<'s> {
    source: &'s dyn ReadAt,
    at: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.source.len() - self.at;
        let part = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        self.source.read_exact_at(self.at, &mut buf[..part])?;
        self.at += part as u64;
        Ok(part)
    }
}

/// What is given.
pub(super) struct Given<'a> {
    /// The Artifact.
    pub(super) source: &'a Source,
    /// Who must have signed it.
    pub(super) key: Option<&'a Verifier>,
    /// The digest of the filesystem in slot A.
    pub(super) slot: Option<[u8; 32]>,
}

/// Checks the Artifact and returns the device types that it is for; `kind` is the device's own.
pub(super) fn check(disk: &Disk, roles: &Roles, given: &Given<'_>, kind: Option<&str>, log: &mut Log) -> Vec<String> {
    let (source, key) = (given.source, given.key);
    let place = Place::whole;
    let mut reader = io::BufReader::with_capacity(1 << 18, Reader { source: &**source, at: 0 });
    let examined = match artifact::validate(&mut reader, key) {
        Ok(examined) => examined,
        Err(e) => {
            log.error("artifact-unreadable", place(), format!("reading the Artifact: {e}"));
            return Vec::new();
        }
    };
    if !valid(&examined, "artifact-invalid", &place(), log) {
        return Vec::new();
    }
    let artifact = &examined.artifact;
    if key.is_some() {
        log.check(artifact.signature.is_some(), "artifact-unsigned", || {
            (place(), "it is not signed although a key is given".into())
        });
    }
    payload(disk, roles, artifact, given.slot, log);
    if let Some(kind) = kind {
        let types = &artifact.device_types;
        log.check(types.iter().any(|one| one == kind), "artifact-device-type", || {
            (place(), format!("it is for {types:?}, the image's device is a `{kind}`"))
        });
    }
    let name = disk.files(roles.a).and_then(|files| super::super::disk::read(&files.tree, "/etc/mender/artifact_info"));
    if let Some(text) = name.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()) {
        let own = text.lines().find_map(|line| line.strip_prefix("artifact_name=")).unwrap_or_default().trim().to_owned();
        log.check(own == artifact.name, "artifact-name", || {
            (place(), format!("it is called `{}`, /etc/mender/artifact_info says `{own}`", artifact.name))
        });
    }
    artifact.device_types.clone()
}

/// The payload is slot A, byte for byte, and fits into both slots.
fn payload(disk: &Disk, roles: &Roles, artifact: &artifact::Artifact, slot: Option<[u8; 32]>, log: &mut Log) {
    let [file] = artifact.files.as_slice() else {
        return log.error("artifact-payload", Place::whole(), format!("it has {} files as payload, not 1", artifact.files.len()));
    };
    let lengths = [roles.a, roles.b].map(|number| disk.part(number).map_or(0, |part| part.source.len()));
    let fits = lengths.iter().all(|len| *len >= file.size);
    log.check(fits, "artifact-size", || {
        (Place::whole(), format!("the payload has {} bytes, the slots {} and {}", file.size, lengths[0], lengths[1]))
    });
    let (Some(part), Some(sum), true) = (disk.part(roles.a), file.sha256, fits) else { return };
    let due = hex(&sum);
    let known = slot.filter(|_| part.files.as_ref().is_some_and(|files| files.size == file.size));
    match known.map_or_else(|| slots::digest(&*part.source, file.size), Ok) {
        Ok(found) => {
            let found = hex(&found);
            log.check(found == due, "artifact-payload", || {
                (Place::partition(roles.a), format!("slot A has the checksum {found}, the payload {due}"))
            });
        }
        Err(e) => log.error("slot-unreadable", Place::partition(roles.a), e.to_string()),
    }
    if let Some(provided) = artifact.provides.get("rootfs-image.checksum") {
        log.check(*provided == due, "artifact-checksum", || {
            (Place::whole(), format!("it provides the checksum {provided}, its payload has {due}"))
        });
    }
}
