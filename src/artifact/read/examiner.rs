//! The state of reading one Artifact, and the steps that all its parts share.

use super::super::names::{DATA, short};
use super::super::sign::Verifier;
use super::readers::{InputReader, PayloadWriter};
use super::report::{ArtifactFinding, ArtifactReport, Severity};
use super::untar::{TarEntry, TarEntryKind, TarError, TrailingBytes, Untar};
use crate::digest::{Digest, hex};
use std::collections::BTreeMap;
use std::io::Read;

/// The number of findings that are kept.
const FINDINGS_MAX: usize = 100;

/// A payload that the caller has unpacked and hashed already.
pub struct HashedPayload<'k> {
    /// The unpacked data archive. Of its file only the length is used.
    pub archive: &'k mut (dyn Read + 'k),
    /// The SHA-256 of the file in it.
    pub sha256: Digest,
}

/// Reading cannot continue; a finding gives the reason.
#[derive(Debug)]
pub(super) struct Stopped;

/// A line of the manifest.
#[derive(Debug)]
pub(super) struct ManifestEntry {
    pub(super) digest: Digest,
    /// The file was found in the Artifact.
    pub(super) found: bool,
}

/// The Artifact itself as an archive.
pub(super) type Outer<'a, 'b> = Untar<&'a mut InputReader<'b>>;

/// The state of reading one Artifact.
pub(super) struct Examiner<'k> {
    /// The key that must have signed the Artifact.
    pub(super) key: Option<&'k Verifier>,
    /// The payload, if the caller has unpacked it; taken when it is read.
    pub(super) hashed: Option<HashedPayload<'k>>,
    /// Where the root filesystem of the payload is written to.
    pub(super) unpacked: Option<PayloadWriter<'k>>,
    /// Read everything, not only the names of the payload's files.
    pub(super) whole: bool,
    pub(super) out: ArtifactReport,
    /// The files that the manifest lists.
    pub(super) listed: BTreeMap<String, ManifestEntry>,
}

impl Examiner<'_> {
    fn note(&mut self, severity: Severity, code: &'static str, text: impl Into<String>) {
        if self.out.findings.len() < FINDINGS_MAX {
            self.out.findings.push(ArtifactFinding {
                severity,
                code,
                text: text.into(),
            });
        }
    }

    /// Adds a finding that is an error.
    pub(super) fn error(&mut self, code: &'static str, text: impl Into<String>) {
        self.note(Severity::Error, code, text);
    }

    /// Adds a finding that is a warning.
    pub(super) fn warn(&mut self, code: &'static str, text: impl Into<String>) {
        self.note(Severity::Warning, code, text);
    }

    /// Adds the error that ends the reading.
    pub(super) fn stop<T>(
        &mut self,
        code: &'static str,
        text: impl Into<String>,
    ) -> Result<T, Stopped> {
        // The reason must not be lost after a hundred lesser findings.
        self.out.findings.truncate(const { FINDINGS_MAX - 1 });
        self.error(code, text);
        Err(Stopped)
    }

    /// The next member of the file, which must be a plain file.
    pub(super) fn member(&mut self, tar: &mut Outer<'_, '_>) -> Result<Option<TarEntry>, Stopped> {
        match tar.next() {
            Ok(Some(TarEntry {
                name,
                kind: TarEntryKind::Other(kind),
                ..
            })) => self.stop(
                "member-kind",
                format!(
                    "`{}` is a {kind}; only plain files may be in an Artifact",
                    short(&name)
                ),
            ),
            Ok(entry) => Ok(entry),
            Err(e) => self.broken("the Artifact", &e),
        }
    }

    /// The next member, which must have this name.
    pub(super) fn expect(
        &mut self,
        tar: &mut Outer<'_, '_>,
        name: &str,
    ) -> Result<TarEntry, Stopped> {
        match self.member(tar)? {
            Some(entry) if entry.name == name => Ok(entry),
            Some(entry) => self.stop(
                "structure",
                format!("`{}` is in the place of `{name}`", short(&entry.name)),
            ),
            None => self.stop("structure", format!("the Artifact ends before `{name}`")),
        }
    }

    /// Stops because an archive is damaged.
    pub(super) fn broken<T>(&mut self, place: &str, error: &TarError) -> Result<T, Stopped> {
        let code = if matches!(error, TarError::Io(_)) {
            "unreadable"
        } else {
            "archive"
        };
        self.stop(code, format!("{place} cannot be read: {error}"))
    }

    /// The content of a member of at most `max` bytes.
    pub(super) fn small(
        &mut self,
        reader: &mut impl Read,
        entry: &TarEntry,
        max: u64,
    ) -> Result<Vec<u8>, Stopped> {
        let name = short(&entry.name);
        if entry.size > max {
            return self.stop(
                "member-size",
                format!("`{name}` has {} bytes, more than {max}", entry.size),
            );
        }
        let mut out = Vec::new();
        match reader.read_to_end(&mut out) {
            Ok(_) => Ok(out),
            Err(e) => self.stop("unreadable", format!("`{name}` cannot be read: {e}")),
        }
    }

    /// Reads the bytes after the end of an archive. Zeros are harmless, unless they are compressed
    /// with the content: a client that expects plain zeros reads other bytes.
    pub(super) fn end<R: Read>(
        &mut self,
        tar: &mut Untar<R>,
        place: &str,
        packed: bool,
    ) -> Result<(), Stopped> {
        match tar.tail() {
            Ok(TrailingBytes::Data) => {
                self.error("trailing-data", format!("{place} continues after its end"))
            }
            Ok(TrailingBytes::Zeros) if packed => self.error(
                "trailing-zeros",
                format!("{place} is padded after its two blocks of zeros"),
            ),
            Ok(TrailingBytes::Zeros | TrailingBytes::Nothing) => {}
            Err(e) => {
                return self.stop(
                    "unreadable",
                    format!("{place} cannot be read after its end: {e}"),
                );
            }
        }
        Ok(())
    }

    /// Compares the digest of a file with its line of the manifest.
    pub(super) fn compare(&mut self, code: &'static str, name: &str, found: Digest) {
        match self.listed.get_mut(name) {
            None => self.error(
                "manifest-missing",
                format!("`{}` is not listed in the manifest", short(name)),
            ),
            Some(listed) => {
                listed.found = true;
                let due = listed.digest;
                if due != found {
                    let (found, due) = (hex(&found), hex(&due));
                    self.error(
                        code,
                        format!(
                            "`{}` has the checksum {found}, the manifest has {due}",
                            short(name)
                        ),
                    );
                }
            }
        }
    }

    /// The number of the payload's files in the manifest.
    pub(super) fn payload_count(&self) -> usize {
        self.listed
            .keys()
            .filter(|name| name.starts_with(DATA))
            .count()
    }
}
