//! Reading and judging Artifacts, whoever wrote them.

mod data;
mod header;
mod info;
mod untar;

use super::manifest;
use super::names::{DATA, short};
use super::sign::{self, Verifier};
use crate::digest::{Digest, hex};
use crate::stream::Compression;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};
use untar::{TarEntry, TarEntryKind, TarError, TrailingBytes, Untar};

/// The most that `version`, `manifest.sig`, a manifest and a file of JSON may hold (bytes): a
/// hundred times what they need.
const VERSION_MAX: u64 = 4 << 10;
const SIGNATURE_MAX: u64 = 16 << 10;
const TEXT_MAX: u64 = 1 << 20;
/// How much is hashed at once (bytes).
const BUFFER: usize = 1 << 18;
/// How many findings are kept.
const FINDINGS_MAX: usize = 100;

/// Whether devices mind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Devices install it; some tool refuses it, or something could not be checked.
    Warning,
    /// At least one of the update clients (3.4 and later) refuses it.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// One thing that is wrong with an Artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactFinding {
    /// Whether devices mind.
    pub severity: Severity,
    /// A name for this kind of finding that stays the same, such as `checksum-payload`.
    pub code: &'static str,
    /// What is wrong, as a fact.
    pub text: String,
}

/// A file of the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadFile {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its SHA-256 according to the manifest.
    pub sha256: Option<[u8; 32]>,
}

/// A signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Its length in bytes, decoded.
    pub len: usize,
    /// The kind of key that it was verified with; `None` when it was not, or in vain.
    pub verified: Option<String>,
}

/// What an Artifact says; fields that were not reached are empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Artifact {
    /// The version of the format.
    pub version: Option<u64>,
    /// The name of the release.
    pub name: String,
    /// The group that it puts a device into.
    pub group: Option<String>,
    /// The device types that it is for.
    pub device_types: Vec<String>,
    /// Names of Artifacts one of which must be installed.
    pub depends_names: Vec<String>,
    /// Groups one of which the device must be in.
    pub depends_groups: Vec<String>,
    /// The type of the payload; `None` for none.
    pub payload_type: Option<String>,
    /// What a device provides after the update.
    pub provides: BTreeMap<String, String>,
    /// What it must provide before.
    pub depends: BTreeMap<String, String>,
    /// Patterns of provides that are removed; `None`: all, when the Artifact provides anything.
    pub clears: Option<Vec<String>>,
    /// Names of state scripts.
    pub scripts: Vec<String>,
    /// The files of the payload.
    pub files: Vec<PayloadFile>,
    /// How the header is packed.
    pub compression: Compression,
    /// The signature, if there is one.
    pub signature: Option<Signature>,
}

/// An Artifact and what is wrong with it.
#[derive(Clone, Debug, Default)]
pub struct ArtifactReport {
    /// What it says.
    pub artifact: Artifact,
    /// What is wrong, in the order in which it was met; at most a hundred.
    pub findings: Vec<ArtifactFinding>,
    /// False when reading had to stop early.
    pub complete: bool,
}

impl ArtifactReport {
    /// True when there is no error among the findings.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.findings
            .iter()
            .all(|finding| finding.severity != Severity::Error)
    }
}

/// Reads what an Artifact says, and no further than the names of its files.
///
/// # Errors
/// What `reader` said. Whatever is wrong with the Artifact itself is a finding.
pub fn show(reader: &mut dyn Read) -> io::Result<ArtifactReport> {
    examine(reader, None, false, None)
}

/// Reads all of an Artifact and holds it against every rule and checksum, with `key` also against
/// its signature.
///
/// # Errors
/// What `reader` said. Whatever is wrong with the Artifact itself is a finding.
pub fn validate(reader: &mut dyn Read, key: Option<&Verifier>) -> io::Result<ArtifactReport> {
    examine(reader, None, true, key)
}

/// The data of an Artifact for whoever has unpacked it and summed up its one file already.
pub struct HashedPayload<'k> {
    /// The data archive. Of the file only the length matters.
    pub archive: &'k mut (dyn Read + 'k),
    /// The SHA-256 of the file.
    pub sha256: Digest,
}

/// As [`validate`] where the data is `held`: then nothing of it is unpacked or hashed.
///
/// # Errors
/// What `reader` said. Whatever is wrong with the Artifact itself or with the archive is a finding.
pub fn validate_hashed<'k>(
    reader: &mut dyn Read,
    held: HashedPayload<'k>,
    key: Option<&'k Verifier>,
) -> io::Result<ArtifactReport> {
    examine(reader, Some(held), true, key)
}

fn examine<'k>(
    reader: &mut dyn Read,
    held: Option<HashedPayload<'k>>,
    whole: bool,
    key: Option<&'k Verifier>,
) -> io::Result<ArtifactReport> {
    let mut source = InputReader {
        reader,
        failed: None,
    };
    let mut examiner = Examiner {
        key,
        whole,
        held,
        out: ArtifactReport::default(),
        listed: BTreeMap::new(),
    };
    examiner.out.complete = examiner.walk(&mut Untar::new(&mut source)).is_ok();
    match source.failed {
        Some(error) => Err(error),
        None => Ok(examiner.out),
    }
}

/// Keeps apart what the file's reader says from what decompressors say on the way.
struct InputReader<'a> {
    reader: &'a mut dyn Read,
    failed: Option<io::Error>,
}

impl Read for InputReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buf).map_err(|error| {
            let kind = error.kind();
            if kind != io::ErrorKind::Interrupted {
                self.failed = Some(error);
            }
            kind.into()
        })
    }
}

/// A reader that hashes what passes.
struct Hashing<R> {
    reader: R,
    hash: Sha256,
}

impl<R: Read> Hashing<R> {
    fn new(reader: R) -> Self {
        Self {
            reader,
            hash: Sha256::new(),
        }
    }

    /// Reads to the end and returns the digest of everything.
    fn finish(mut self) -> io::Result<Digest> {
        let mut buf = vec![0; BUFFER];
        loop {
            match self.read(&mut buf) {
                Ok(0) => return Ok(self.hash.finalize().into()),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.reader.read(buf)?;
        self.hash.update(&buf[..got]);
        Ok(got)
    }
}

/// Reading cannot go on; the finding that says why was made.
#[derive(Debug)]
struct Stopped;

/// A line of the manifest.
#[derive(Debug)]
struct ManifestEntry {
    digest: Digest,
    met: bool,
}

/// The file itself as an archive.
type Outer<'a, 'b> = Untar<&'a mut InputReader<'b>>;

struct Examiner<'k> {
    key: Option<&'k Verifier>,
    /// The data, where somebody else unpacks it.
    held: Option<HashedPayload<'k>>,
    /// Whether to read on behind what [`show`] needs.
    whole: bool,
    out: ArtifactReport,
    listed: BTreeMap<String, ManifestEntry>,
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

    fn error(&mut self, code: &'static str, text: impl Into<String>) {
        self.note(Severity::Error, code, text);
    }

    fn warn(&mut self, code: &'static str, text: impl Into<String>) {
        self.note(Severity::Warning, code, text);
    }

    fn stop<T>(&mut self, code: &'static str, text: impl Into<String>) -> Result<T, Stopped> {
        // What stops the reading must not be lost among a hundred lesser findings.
        self.out.findings.truncate(FINDINGS_MAX - 1);
        self.error(code, text);
        Err(Stopped)
    }

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

    /// The next member of the file, which must be a plain file.
    fn member(&mut self, tar: &mut Outer<'_, '_>) -> Result<Option<TarEntry>, Stopped> {
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
    fn expect(&mut self, tar: &mut Outer<'_, '_>, name: &str) -> Result<TarEntry, Stopped> {
        match self.member(tar)? {
            Some(entry) if entry.name == name => Ok(entry),
            Some(entry) => self.stop(
                "structure",
                format!("`{}` stands where `{name}` is due", short(&entry.name)),
            ),
            None => self.stop(
                "structure",
                format!("the Artifact ends where `{name}` is due"),
            ),
        }
    }

    /// Stops because an archive is damaged.
    fn broken<T>(&mut self, place: &str, error: &TarError) -> Result<T, Stopped> {
        let code = if matches!(error, TarError::Io(_)) {
            "unreadable"
        } else {
            "archive"
        };
        self.stop(code, format!("{place} cannot be read: {error}"))
    }

    /// All of a member that must be small.
    fn small(
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

    /// Reads what stands behind the end of an archive. Zeros there are harmless as they are, but
    /// behind packed content they are packed too, and a client that looks for zeros finds others.
    fn end<R: Read>(
        &mut self,
        tar: &mut Untar<R>,
        place: &str,
        packed: bool,
    ) -> Result<(), Stopped> {
        match tar.tail() {
            Ok(TrailingBytes::Data) => {
                self.error("trailing-data", format!("{place} goes on behind its end"))
            }
            Ok(TrailingBytes::Zeros) if packed => self.error(
                "trailing-zeros",
                format!("{place} is padded behind its two blocks of zeros"),
            ),
            Ok(TrailingBytes::Zeros | TrailingBytes::Nothing) => {}
            Err(e) => {
                return self.stop(
                    "unreadable",
                    format!("{place} cannot be read behind its end: {e}"),
                );
            }
        }
        Ok(())
    }

    /// The member `version`; returns its digest.
    fn version(&mut self, tar: &mut Outer<'_, '_>, entry: &TarEntry) -> Result<Digest, Stopped> {
        let text = self.small(tar, entry, VERSION_MAX)?;
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        let version = value["version"].as_u64();
        self.out.artifact.version = version;
        if value["format"] != "mender" {
            return self.stop(
                "version-format",
                "`version` does not say that the format is `mender`",
            );
        }
        match version {
            Some(3) => Ok(Sha256::digest(&text).into()),
            Some(other) => self.stop(
                "version-unsupported",
                format!("version {other} of the format is not supported, only 3 is"),
            ),
            None => self.stop("version-format", "`version` holds no version"),
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
        for (at, line) in text
            .strip_suffix('\n')
            .unwrap_or(text)
            .split('\n')
            .enumerate()
        {
            match manifest::parse(line) {
                Ok((name, digest)) => {
                    if self
                        .listed
                        .insert(name.to_owned(), ManifestEntry { digest, met: false })
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
                    self.error(code, format!("line {} of the manifest {what}", at + 1));
                }
            }
        }
        Ok(())
    }

    /// Holds the digest of a file against its line of the manifest.
    fn compare(&mut self, code: &'static str, name: &str, found: Digest) {
        match self.listed.get_mut(name) {
            None => self.error(
                "manifest-missing",
                format!("`{}` is not listed in the manifest", short(name)),
            ),
            Some(listed) => {
                listed.met = true;
                let due = listed.digest;
                if due != found {
                    let (found, due) = (hex(&found), hex(&due));
                    self.error(
                        code,
                        format!(
                            "`{}` has the checksum {found} where the manifest has {due}",
                            short(name)
                        ),
                    );
                }
            }
        }
    }

    /// Reports files of the manifest that the Artifact does not hold.
    fn surplus(&mut self) {
        let missing: Vec<String> = self
            .listed
            .iter()
            .filter(|(_, listed)| !listed.met)
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
                "manifest.sig does not end with its base64; clients compare the lengths",
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
                    "manifest.sig ({} bytes) is no signature of the manifest by this {} key",
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
        });
    }

    /// The names of the payload's files in the manifest.
    fn payload_count(&self) -> usize {
        self.listed
            .keys()
            .filter(|name| name.starts_with(DATA))
            .count()
    }
}
