//! Reading and validating Artifacts of any writer.

mod data;
mod examiner;
mod header;
mod info;
mod readers;
mod report;
mod untar;

use super::manifest;
use super::names::short;
use super::sign::{self, Verifier};
use crate::digest::Digest;
use examiner::{Examiner, ManifestEntry, Outer, Stopped};
use readers::{InputReader, PayloadWriter};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use untar::{TarEntry, Untar};

pub use examiner::HashedPayload;
pub use report::{Artifact, ArtifactFinding, ArtifactReport, PayloadFile, Severity, Signature};

/// The limits of `version`, `manifest.sig`, a manifest and a JSON file (bytes): a hundred times
/// their usual size.
const VERSION_MAX: u64 = 4 << 10;
const SIGNATURE_MAX: u64 = 16 << 10;
const TEXT_MAX: u64 = 1 << 20;

/// Reads an Artifact up to the names of its files.
///
/// # Errors
/// I/O errors of `reader`. Faults of the Artifact are findings.
pub fn show(reader: &mut dyn Read) -> io::Result<ArtifactReport> {
    examine(reader, Examination::default())
}

/// Reads all of an Artifact and checks every rule and checksum, with `key` also its signature.
///
/// # Errors
/// I/O errors of `reader`. Faults of the Artifact are findings.
pub fn validate(reader: &mut dyn Read, key: Option<&Verifier>) -> io::Result<ArtifactReport> {
    let examination = Examination {
        whole: true,
        key,
        ..Examination::default()
    };
    examine(reader, examination)
}

/// As [`validate`] without a key; the root filesystem of the payload is written to `out`.
///
/// # Errors
/// I/O errors of `reader` and `out`. Faults of the Artifact are findings.
pub fn unpack(reader: &mut dyn Read, out: &mut dyn Write) -> io::Result<ArtifactReport> {
    let examination = Examination {
        whole: true,
        unpacked: Some(PayloadWriter {
            writer: out,
            failed: None,
        }),
        ..Examination::default()
    };
    examine(reader, examination)
}

/// As [`validate`], with a payload that the caller has unpacked and hashed.
///
/// # Errors
/// I/O errors of `reader`. Faults of the Artifact and of the archive are findings.
pub fn validate_hashed<'k>(
    reader: &mut dyn Read,
    hashed: HashedPayload<'k>,
    key: Option<&'k Verifier>,
) -> io::Result<ArtifactReport> {
    let examination = Examination {
        hashed: Some(hashed),
        whole: true,
        key,
        ..Examination::default()
    };
    examine(reader, examination)
}

/// How an Artifact is read; see the fields of [`Examiner`].
#[derive(Default)]
struct Examination<'k> {
    key: Option<&'k Verifier>,
    hashed: Option<HashedPayload<'k>>,
    unpacked: Option<PayloadWriter<'k>>,
    whole: bool,
}

fn examine(reader: &mut dyn Read, how: Examination<'_>) -> io::Result<ArtifactReport> {
    let mut source = InputReader {
        reader,
        failed: None,
    };
    let mut examiner = Examiner {
        key: how.key,
        whole: how.whole,
        hashed: how.hashed,
        unpacked: how.unpacked,
        out: ArtifactReport::default(),
        listed: BTreeMap::new(),
    };
    examiner.out.complete = examiner.walk(&mut Untar::new(&mut source)).is_ok();
    let written = examiner.unpacked.and_then(|writer| writer.failed);
    match source.failed.or(written) {
        Some(error) => Err(error),
        None => Ok(examiner.out),
    }
}

impl Examiner<'_> {
    /// All members of the file in their order.
    fn walk(&mut self, tar: &mut Outer<'_, '_>) -> Result<(), Stopped> {
        let version = self.expect(tar, "version")?;
        let version = self.version(tar, &version)?;
        let entry = self.expect(tar, "manifest")?;
        let manifest = self.small(tar, &entry, TEXT_MAX)?;
        self.manifest(&manifest)?;
        self.compare("checksum-version", "version", version);
        let mut entry = self.member(tar)?;
        if let Some(found) = entry.take_if(|entry| entry.name == "manifest.sig") {
            let text = self.small(tar, &found, SIGNATURE_MAX)?;
            self.signature(&manifest, &text);
            entry = self.member(tar)?;
        } else if self.key.is_some() {
            self.error("signature-missing", "the Artifact is not signed");
        }
        self.header(tar, entry)?;
        let done = self.data(tar)?;
        if !done {
            return Ok(());
        }
        self.surplus();
        self.end(tar, "the Artifact", false)
    }

    /// The member `version`; returns its digest.
    fn version(&mut self, tar: &mut Outer<'_, '_>, entry: &TarEntry) -> Result<Digest, Stopped> {
        let text = self.small(tar, entry, VERSION_MAX)?;
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        let version = value.get("version").and_then(serde_json::Value::as_u64);
        self.out.artifact.version = version;
        if value.get("format").and_then(serde_json::Value::as_str) != Some("mender") {
            return self.stop(
                "version-format",
                "`version` does not have the format `mender`",
            );
        }
        match version {
            Some(3) => Ok(Sha256::digest(&text).into()),
            Some(other) => self.stop(
                "version-unsupported",
                format!("version {other} of the format is not supported, only 3 is"),
            ),
            None => self.stop("version-format", "`version` does not contain a version"),
        }
    }

    fn manifest(&mut self, bytes: &[u8]) -> Result<(), Stopped> {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return self.stop("manifest-line", "the manifest is not UTF-8");
        };
        if !text.ends_with('\n') {
            self.error(
                "manifest-unterminated",
                "the last line of the manifest does not end in a newline",
            );
        }
        let lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
        for (number, line) in (1_u64..).zip(lines) {
            match manifest::parse(line) {
                Ok((name, digest)) => {
                    if self
                        .listed
                        .insert(
                            name.to_owned(),
                            ManifestEntry {
                                digest,
                                found: false,
                            },
                        )
                        .is_some()
                    {
                        self.error(
                            "manifest-duplicate",
                            format!("the manifest lists `{}` twice", short(name)),
                        );
                    }
                }
                Err(fault) => {
                    let (code, what) = fault.describe();
                    self.error(code, format!("line {number} of the manifest {what}"));
                }
            }
        }
        Ok(())
    }

    /// Reports files of the manifest that the Artifact does not hold.
    fn surplus(&mut self) {
        let missing: Vec<String> = self
            .listed
            .iter()
            .filter(|(_, listed)| !listed.found)
            .map(|(name, _)| short(name))
            .collect();
        for name in missing {
            self.error(
                "manifest-surplus",
                format!("`{name}` is listed in the manifest but not in the Artifact"),
            );
        }
    }

    fn signature(&mut self, manifest: &[u8], text: &[u8]) {
        let line = text.trim_ascii_end();
        if line.len() != text.len() {
            self.error(
                "signature-newline",
                "manifest.sig continues after its base64; clients compare the lengths",
            );
        }
        let Some(bytes) = sign::decode(line) else {
            self.error("signature-base64", "manifest.sig is not base64 on one line");
            return;
        };
        let mut verified = None;
        match self.key {
            Some(key) if key.accepts(manifest, &bytes) => verified = Some(key.kind()),
            Some(key) => {
                let text = format!(
                    "manifest.sig ({} bytes) is not a signature of the manifest by this {} key",
                    bytes.len(),
                    key.kind()
                );
                self.error("signature-wrong", text);
            }
            None => self.warn(
                "signature-unchecked",
                "the signature was not checked, no key was given",
            ),
        }
        self.out.artifact.signature = Some(Signature {
            len: bytes.len(),
            verified,
            bytes,
            manifest: manifest.to_vec(),
        });
    }
}
