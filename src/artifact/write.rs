//! Writing Artifacts.

use super::header;
use super::manifest::render;
use super::meta::Meta;
use super::names::{self, DATA, InvalidName};
use super::sign::{KeyError, Signer};
use super::tar::{END, FIELD_MAX, Member, append, len_of, zeros};
use crate::digest::Digest;
use crate::stream::ReadAt;
use crate::units::{GIB, MIB, human};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::io::{self, Seek, SeekFrom, Write};

/// The content of `version`.
pub(super) const VERSION: &[u8] = br#"{"format":"mender","version":3}"#;
/// From this size of the image on, room is kept for a compressed length that does not fit a ustar
/// header. No codec makes data longer by a seventh.
const WIDE_FROM: u64 = 7 * GIB;
/// The bytes of the image in one frame of [`write()`].
const CHUNK: u64 = 4 * MIB;

/// The reason why an Artifact cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A name that a client or a tool would refuse.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// Without a device type no device could install it.
    #[error("no device type is given")]
    NoDeviceType,
    /// Two scripts with the same name.
    #[error("two state scripts are called `{0}`")]
    ScriptTwice(String),
    /// A time that does not fit into a tar header.
    #[error("the time {0} is after {FIELD_MAX}, the last second of a tar header")]
    Time(u64),
    /// The compressed image is too large for the room in its tar header.
    #[error("the compressed image has {len} bytes ({}), too many for one of {size} bytes", human(*len))]
    TooLarge {
        /// Bytes of the compressed image.
        len: u64,
        /// The length of the image.
        size: u64,
    },
    /// The key could not sign the manifest.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Reading the image or writing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The parts of an Artifact that are known before its image is read.
///
/// ```text
/// 0             data_offset
/// | front       | head frame | frames of the image ... | tail frame | back |
///               |<-------------- compressed_len -------------------->|
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Draft<'a> {
    meta: &'a Meta,
    size: u64,
    signer: Option<&'a Signer>,
    data_offset: u64,
}

/// The bytes around the compressed image.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// The bytes from the start of the file to [`Draft::data_offset`].
    pub front: Vec<u8>,
    /// The bytes after the compressed image, to the end of the file.
    pub back: Vec<u8>,
}

impl<'a> Draft<'a> {
    /// Drafts an Artifact with an image of `size` bytes.
    ///
    /// # Errors
    /// When a name breaks a rule, no device type is given, or signing fails.
    pub fn new(meta: &'a Meta, size: u64, signer: Option<&'a Signer>) -> Result<Self, WriteError> {
        check(meta)?;
        names::payload(&meta.payload_name)?;
        let mut draft = Self {
            meta,
            size,
            signer,
            data_offset: 0,
        };
        draft.data_offset = len_of(&draft.front(&[0; 32], 0)?);
        Ok(draft)
    }

    /// The offset in the file of the compressed stream of the data archive (bytes).
    #[must_use]
    pub fn data_offset(&self) -> u64 {
        self.data_offset
    }

    /// The first frame of the stream: the tar header of the image.
    ///
    /// # Errors
    /// As [`crate::stream::Codec::compress`].
    pub fn head(&self) -> io::Result<Vec<u8>> {
        let Meta {
            payload_name: name,
            time,
            codec,
            ..
        } = self.meta;
        codec.compress(
            &Member {
                name,
                mode: 0o644,
                mtime: *time,
                size: self.size,
            }
            .header(false),
        )
    }

    /// The last frame of the stream: padding of the image and the end of its archive.
    ///
    /// # Errors
    /// As [`crate::stream::Codec::compress`].
    pub fn tail(&self) -> io::Result<Vec<u8>> {
        let mut tail = zeros(self.size);
        tail.extend(END);
        self.meta.codec.compress(&tail)
    }

    /// The bytes around the stream, given the SHA-256 of the image and the length of all frames
    /// from [`Draft::head`] to [`Draft::tail`].
    ///
    /// # Errors
    /// When signing fails, or the frames are longer than any codec makes them.
    pub fn finish(&self, sha256: &[u8; 32], compressed_len: u64) -> Result<Envelope, WriteError> {
        if compressed_len > FIELD_MAX && !self.wide() {
            return Err(WriteError::TooLarge {
                len: compressed_len,
                size: self.size,
            });
        }
        let front = self.front(sha256, compressed_len)?;
        assert_eq!(
            len_of(&front),
            self.data_offset,
            "the length of the front of an Artifact is constant"
        );
        let mut back = zeros(compressed_len);
        back.extend(END);
        Ok(Envelope { front, back })
    }

    /// True when the compressed length may need an extended header.
    fn wide(&self) -> bool {
        self.size >= WIDE_FROM
    }

    /// The bytes before the stream. Its length is the same for all `sha256` and `compressed_len`.
    fn front(&self, sha256: &Digest, compressed_len: u64) -> Result<Vec<u8>, WriteError> {
        let Meta {
            payload_name,
            time,
            codec,
            ..
        } = self.meta;
        let header = codec.stored_frame(&header::rootfs(self.meta, sha256));
        let mut out = opening(
            self.meta,
            self.signer,
            Some((payload_name, *sha256)),
            &header,
        )?;
        let name = data_name(self.meta);
        out.extend(
            Member {
                name: &name,
                mode: 0o600,
                mtime: *time,
                size: compressed_len,
            }
            .header(self.wide()),
        );
        Ok(out)
    }
}

/// Checks `meta` against the rules for all Artifacts.
fn check(meta: &Meta) -> Result<(), WriteError> {
    names::artifact(&meta.name)?;
    if meta.device_types.is_empty() {
        return Err(WriteError::NoDeviceType);
    }
    let texts = [
        ("artifact group", meta.group.as_slice()),
        ("device type", &meta.device_types),
        ("artifact name to depend on", &meta.depends_names),
        ("artifact group to depend on", &meta.depends_groups),
        ("pattern to clear", &meta.clears),
        ("software filesystem", meta.software.filesystem.as_slice()),
        ("software name", meta.software.name.as_slice()),
        ("software version", meta.software.version.as_slice()),
    ];
    for (what, values) in texts {
        values
            .iter()
            .try_for_each(|value| names::text(what, value))?;
    }
    meta.provides
        .keys()
        .try_for_each(|key| names::key("provide", key))?;
    meta.depends
        .keys()
        .try_for_each(|key| names::key("depend", key))?;
    let mut seen = BTreeSet::new();
    for script in &meta.scripts {
        names::script(&script.name)?;
        if !seen.insert(&script.name) {
            return Err(WriteError::ScriptTwice(script.name.clone()));
        }
    }
    if meta.time > FIELD_MAX {
        Err(WriteError::Time(meta.time))
    } else {
        Ok(())
    }
}

/// The name of the data archive.
fn data_name(meta: &Meta) -> String {
    format!("data/0000.tar{}", meta.codec.kind().suffix())
}

/// The members up to the header.
fn opening(
    meta: &Meta,
    signer: Option<&Signer>,
    payload: Option<(&str, Digest)>,
    header: &[u8],
) -> Result<Vec<u8>, WriteError> {
    let digest = |bytes: &[u8]| -> Digest { Sha256::digest(bytes).into() };
    let header_name = format!("header.tar{}", meta.codec.kind().suffix());
    let payload = payload.map(|(name, digest)| (format!("{DATA}{name}"), digest));
    let mut lines: Vec<(&str, Digest)> = payload
        .iter()
        .map(|(name, digest)| (name.as_str(), *digest))
        .collect();
    lines.push((&header_name, digest(header)));
    lines.push(("version", digest(VERSION)));
    let manifest = render(&lines);
    let mut out = Vec::new();
    append(&mut out, "version", 0o600, meta.time, VERSION);
    append(&mut out, "manifest", 0o600, meta.time, manifest.as_bytes());
    if let Some(signer) = signer {
        append(
            &mut out,
            "manifest.sig",
            0o600,
            meta.time,
            signer.sign(manifest.as_bytes())?.as_bytes(),
        );
    }
    append(&mut out, &header_name, 0o600, meta.time, header);
    Ok(out)
}

/// An Artifact without payload from which a fresh device learns its release: name, provides, and
/// the checksum of its root filesystem. Its path on the device is
/// `/var/lib/mender/bootstrap.mender`; payload, scripts and depends of `meta` are not used.
///
/// # Errors
/// When a name breaks a rule or no device type is given.
pub fn bootstrap(meta: &Meta, sha256: &[u8; 32]) -> Result<Vec<u8>, WriteError> {
    check(meta)?;
    let header = meta.codec.compress(&header::bootstrap(meta, sha256))?;
    let mut out = opening(meta, None, None, &header)?;
    append(
        &mut out,
        &data_name(meta),
        0o600,
        meta.time,
        &meta.codec.compress(&END)?,
    );
    out.extend(END);
    Ok(out)
}

/// Writes a whole Artifact to `out` from its start, compressing on this thread.
///
/// # Errors
/// As [`Draft::new`] and [`Draft::finish`], and I/O errors of `image` and `out`.
pub fn write(
    out: &mut (impl Write + Seek),
    meta: &Meta,
    image: &dyn ReadAt,
    signer: Option<&Signer>,
) -> Result<(), WriteError> {
    let draft = Draft::new(meta, image.len(), signer)?;
    out.seek(SeekFrom::Start(draft.data_offset()))?;
    let mut len = 0;
    let mut put = |frame: &[u8]| {
        len = len_of(frame).saturating_add(len);
        out.write_all(frame)
    };
    put(&draft.head()?)?;
    let mut hash = Sha256::new();
    let mut offset = 0;
    while offset < image.len() {
        let size = CHUNK.min(image.len().saturating_sub(offset));
        let mut chunk = vec![0; usize::try_from(size).map_err(io::Error::other)?];
        image.read_exact_at(offset, &mut chunk)?;
        hash.update(&chunk);
        put(&meta.codec.compress(&chunk)?)?;
        offset = offset.saturating_add(size);
    }
    put(&draft.tail()?)?;
    let finished = draft.finish(&hash.finalize().into(), len)?;
    out.write_all(&finished.back)?;
    out.seek(SeekFrom::Start(0))?;
    out.write_all(&finished.front)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::StateScript;
    use crate::stream::{Codec, Compression, MemSource};

    fn meta() -> Meta {
        let payload_name = "rootfs.ext4".into();
        Meta {
            name: "release-1".into(),
            device_types: vec!["dev-a".into()],
            payload_name,
            ..Meta::default()
        }
    }

    fn made(meta: &Meta, image: &[u8]) -> Vec<u8> {
        let mut out = io::Cursor::new(Vec::new());
        write(&mut out, meta, &MemSource(image.into()), None).unwrap();
        out.into_inner()
    }

    #[test]
    fn the_front_has_one_length() {
        for kind in Compression::ALL {
            let meta = Meta {
                codec: Codec::from(kind),
                ..meta()
            };
            for size in [0, 512, WIDE_FROM - 1, WIDE_FROM, 64 * GIB] {
                let draft = Draft::new(&meta, size, None).unwrap();
                assert_eq!(draft.data_offset() % 512, 0);
                for (digest, len) in [([0xff; 32], 1), ([0x5a; 32], FIELD_MAX)] {
                    let finished = draft.finish(&digest, len).unwrap();
                    assert_eq!(finished.front.len() as u64, draft.data_offset());
                }
                assert_eq!(
                    draft.finish(&[0; 32], FIELD_MAX + 1).is_ok(),
                    size >= WIDE_FROM
                );
            }
        }
    }

    #[test]
    fn without_compression_every_byte_has_its_known_place() {
        let meta = Meta {
            codec: Codec::from(Compression::None),
            ..meta()
        };
        let bytes = made(&meta, &[7; 4096]);
        let at = bytes.len() - 1024 - (512 + 4096 + 1024);
        assert!(bytes[at..].starts_with(b"rootfs.ext4\0"));
        assert_eq!(&bytes[at + 512..at + 512 + 4096], &[7; 4096]);
        assert!(bytes[at + 512 + 4096..].iter().all(|byte| *byte == 0));
        assert!(bytes[at - 512..].starts_with(b"data/0000.tar\0"));
        assert_eq!(made(&meta, &[7; 4096]), bytes);
    }

    #[test]
    fn what_somebody_would_refuse_is_not_written() {
        let script = |name: &str| StateScript {
            name: name.into(),
            bytes: Vec::new(),
        };
        let twice = vec![
            script("ArtifactCommit_Enter_01"),
            script("ArtifactCommit_Enter_01"),
        ];
        let table = [
            (
                Meta {
                    name: String::new(),
                    ..meta()
                },
                "artifact name `` is empty",
            ),
            (
                Meta {
                    name: "a b".into(),
                    ..meta()
                },
                "artifact name `a b` contains white space",
            ),
            (
                Meta {
                    device_types: vec![],
                    ..meta()
                },
                "no device type is given",
            ),
            (
                Meta {
                    device_types: vec!["a\n".into()],
                    ..meta()
                },
                "device type `a\\n` contains U+000A, which is not printable",
            ),
            (
                Meta {
                    payload_name: "a+b".into(),
                    ..meta()
                },
                "payload name `a+b` contains `+`; allowed are letters, digits and _ - . ,",
            ),
            (
                Meta {
                    scripts: twice,
                    ..meta()
                },
                "two state scripts are called `ArtifactCommit_Enter_01`",
            ),
            (
                Meta {
                    provides: [("artifact_name".into(), "x".into())].into(),
                    ..meta()
                },
                "provide `artifact_name` is reserved for the Artifact itself",
            ),
            (
                Meta {
                    time: 1 << 33,
                    ..meta()
                },
                "the time 8589934592 is after 8589934591, the last second of a tar header",
            ),
        ];
        for (meta, text) in table {
            assert_eq!(Draft::new(&meta, 512, None).unwrap_err().to_string(), text);
        }
    }
}
