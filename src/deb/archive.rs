//! A package as a value: its control paragraph, its control members, and the files of its data
//! archive.

use super::ar;
use super::error::DebError;
use super::paragraph::Paragraph;
use crate::stream::{Content, ReadAt as _, Run, Source};
use crate::tree::show;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Arc;

/// The largest package that is read.
#[derive(Clone, Copy, Debug)]
pub struct DebLimits {
    /// Bytes of the unpacked control archive.
    pub control: u64,
    /// Bytes of the unpacked data archive, which is held in memory. The effective limit is not more
    /// than 64 times the packed length, or 64 MiB if that is larger.
    pub data: u64,
    /// Members of either archive.
    pub entries: u64,
}

impl Default for DebLimits {
    fn default() -> Self {
        Self {
            control: 16 << 20,
            data: 1 << 30,
            entries: 100_000,
        }
    }
}

/// A file of the control archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlFile {
    /// The content of the file.
    pub bytes: Vec<u8>,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u16,
}

/// The type of an entry of the data archive.
#[derive(Clone, Debug)]
pub enum DataEntryKind {
    /// A directory; what is in it are further entries.
    Dir,
    /// A regular file and its content.
    File(Content),
    /// A symbolic link and its target.
    Symlink(Vec<u8>),
    /// One more name of the file with this path.
    Hardlink(Vec<u8>),
    /// A character device: major and minor number.
    CharDevice(u32, u32),
    /// A block device: major and minor number.
    BlockDevice(u32, u32),
    /// A named pipe, which has no content.
    Fifo,
}

/// An entry of the data archive.
#[derive(Clone, Debug)]
pub struct DataEntry {
    /// The absolute path: components separated by single slashes, none of them `.` or `..`; the
    /// root itself is `/`.
    pub path: Vec<u8>,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u16,
    /// User ID in the tar header.
    pub uid: u32,
    /// Group ID in the tar header.
    pub gid: u32,
    /// The owner's name, empty when the archive has none.
    pub user: String,
    /// The group's name, empty when the archive has none.
    pub group: String,
    /// Seconds since 1970-01-01 00:00 UTC.
    pub mtime: i64,
    /// Type, with content, target or numbers.
    pub kind: DataEntryKind,
}

/// A binary package (deb(5)), read completely.
#[derive(Clone, Debug)]
pub struct Package {
    /// The paragraph of the file `control`.
    pub control: Paragraph,
    /// The files of the control archive but `control`, by name.
    pub members: BTreeMap<String, ControlFile>,
    /// The data archive in its order.
    pub entries: Vec<DataEntry>,
}

impl Package {
    /// Reads a package.
    ///
    /// # Errors
    /// [`DebError`]; nothing in a damaged or hostile package makes this panic or take more memory
    /// than `limits` say.
    pub fn read(source: &Source, limits: DebLimits) -> Result<Self, DebError> {
        let members = ar::members(source)?;
        let first = members
            .first()
            .filter(|member| member.name == "debian-binary");
        let first = first
            .ok_or_else(|| DebError::Corrupt("the first member is not debian-binary".into()))?;
        let version = Unpacking::new(source, first, 64, "debian-binary")?.bytes()?;
        if !version.starts_with(b"2.") {
            let version = show(version.trim_ascii());
            return Err(DebError::Unsupported(format!(
                "unsupported package format {version}, only 2.x is supported"
            )));
        }
        let find = |stem: &str| {
            let found = members.iter().find(|member| {
                member
                    .name
                    .strip_prefix(stem)
                    .is_some_and(|rest| rest.starts_with(".tar"))
            });
            found.ok_or_else(|| DebError::Corrupt(format!("no member {stem}.tar")))
        };
        let control = find("control")?;
        let control = Unpacking::new(source, control, limits.control, "control.tar")?.bytes()?;
        let mut members = control_members(&control, limits)?;
        let paragraph = members
            .remove("control")
            .ok_or_else(|| DebError::Corrupt("control.tar has no file control".into()))?;
        let data = Unpacking::new(source, find("data")?, limits.data, "data.tar")?.pieces()?;
        Ok(Self {
            control: Paragraph::parse(&paragraph.bytes)?,
            members,
            entries: entries(Arc::new(data), limits)?,
        })
    }
}

/// Reads a range of a source from its start to its end.
struct Forward {
    source: Source,
    at: u64,
    end: u64,
}

impl Read for Forward {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = usize::try_from(self.end.saturating_sub(self.at))
            .unwrap_or(usize::MAX)
            .min(buf.len());
        let (part, _) = buf.split_at_mut(len);
        self.source.read_exact_at(self.at, part)?;
        self.at = self
            .at
            .saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        Ok(len)
    }
}

/// Memory limit of an xz stream in bytes; `xz -9` needs 65 MiB.
const XZ_MEMORY: u64 = 256 << 20;

/// Any archive may unpack to this many bytes, and a longer one to a multiple of its packed length:
/// real packages stay far below, and memory stays in proportion to the input.
const ALWAYS_ALLOWED: u64 = 64 << 20;
const MAX_RATIO: u64 = 512;

/// Length of the pieces of a long member (bytes), but for the last one.
const PIECE: u64 = 1 << 18;

/// A member of a package that is decompressed by its suffix.
struct Unpacking {
    reader: Box<dyn Read>,
    /// The most bytes that it may have.
    limit: u64,
    what: &'static str,
}

impl Unpacking {
    fn new(
        source: &Source,
        member: &ar::ArMember,
        limit: u64,
        what: &'static str,
    ) -> Result<Self, DebError> {
        let raw = Forward {
            source: source.clone(),
            at: member.offset,
            end: member.offset.saturating_add(member.len),
        };
        let limit = limit.min(member.len.saturating_mul(MAX_RATIO).max(ALWAYS_ALLOWED));
        let io = |e| DebError::Io(what, e);
        let reader: Box<dyn Read> = match member
            .name
            .rsplit_once('.')
            .map_or("", |(_, suffix)| suffix)
        {
            "" | "tar" => Box::new(raw),
            "gz" => Box::new(flate2::read::MultiGzDecoder::new(raw)),
            "xz" => {
                let stream = liblzma::stream::Stream::new_stream_decoder(
                    XZ_MEMORY,
                    liblzma::stream::CONCATENATED,
                );
                Box::new(liblzma::read::XzDecoder::new_stream(
                    raw,
                    stream.map_err(io::Error::other).map_err(io)?,
                ))
            }
            "zst" => Box::new(zstd::Decoder::new(raw).map_err(io)?),
            other => {
                return Err(DebError::Unsupported(format!(
                    "{what} has the unsupported compression .{other} (supported: .gz, .xz, .zst)"
                )));
            }
        };
        Ok(Self {
            reader,
            limit,
            what,
        })
    }

    /// What `read` makes of the bytes, of which it gets one more than there may be; `len` is how
    /// many it got.
    fn read<T>(
        self,
        read: impl FnOnce(&mut dyn Read) -> io::Result<T>,
        len: impl FnOnce(&T) -> u64,
    ) -> Result<T, DebError> {
        let Self {
            reader,
            limit,
            what,
        } = self;
        let mut reader = reader.take(limit.saturating_add(1));
        let out = read(&mut reader).map_err(|e| DebError::Io(what, e))?;
        if len(&out) > limit {
            return Err(DebError::TooLarge {
                what: what.to_owned(),
                limit,
                unit: "bytes",
            });
        }
        Ok(out)
    }

    /// All bytes in one piece, of a short member.
    fn bytes(self) -> Result<Vec<u8>, DebError> {
        let read = |reader: &mut dyn Read| {
            let mut out = Vec::new();
            reader.read_to_end(&mut out)?;
            Ok(out)
        };
        self.read(read, |out| u64::try_from(out.len()).unwrap_or(u64::MAX))
    }

    /// All bytes in pieces, of a long member: as one it would be moved each time that it grows.
    fn pieces(self) -> Result<Content, DebError> {
        let read = |reader: &mut dyn Read| {
            let mut out = Content::hole(0);
            let mut piece = Vec::new();
            while Read::take(&mut *reader, PIECE).read_to_end(&mut piece)? > 0 {
                out.push_bytes(out.len(), &*piece);
                piece.clear();
            }
            Ok(out)
        };
        self.read(read, Content::len)
    }
}

/// The regular files of the control archive by name.
fn control_members(
    bytes: &[u8],
    limits: DebLimits,
) -> Result<BTreeMap<String, ControlFile>, DebError> {
    let io = |e| DebError::Io("control.tar", e);
    let mut members = BTreeMap::new();
    let mut count = 0;
    for entry in tar::Archive::new(bytes).entries().map_err(io)? {
        let mut entry = entry.map_err(io)?;
        counted(&mut count, limits, "control.tar")?;
        let path = path(&entry.path_bytes(), "control.tar")?;
        let name = path.strip_prefix(b"/").unwrap_or(&path);
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let fine = |b: &u8| b.is_ascii_alphanumeric() || b"-_.".contains(b);
        let name = std::str::from_utf8(name)
            .ok()
            .filter(|name| !name.is_empty() && name.bytes().all(|b| fine(&b)));
        let name = name.ok_or_else(|| {
            DebError::Corrupt(format!(
                "control.tar: {} is not the name of a member",
                show(&path)
            ))
        })?;
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(io)?;
        members.insert(
            name.to_owned(),
            ControlFile {
                bytes,
                mode: mode(entry.header())?,
            },
        );
    }
    Ok(members)
}

fn counted(count: &mut u64, limits: DebLimits, what: &str) -> Result<(), DebError> {
    *count = count.saturating_add(1);
    let over = *count > limits.entries;
    if over {
        Err(DebError::TooLarge {
            what: what.to_owned(),
            limit: limits.entries,
            unit: "entries",
        })
    } else {
        Ok(())
    }
}

/// The entries of the data archive; contents stay where they are in `data`.
fn entries(data: Source, limits: DebLimits) -> Result<Vec<DataEntry>, DebError> {
    let io = |e| DebError::Io("data.tar", e);
    let mut out = Vec::new();
    let mut count = 0;
    let forward = Forward {
        source: data.clone(),
        at: 0,
        end: data.len(),
    };
    for entry in tar::Archive::new(forward).entries().map_err(io)? {
        let entry = entry.map_err(io)?;
        counted(&mut count, limits, "data.tar")?;
        let path = path(&entry.path_bytes(), "data.tar")?;
        let header = entry.header();
        let id = |id: io::Result<u64>| -> Result<u32, DebError> {
            u32::try_from(id.map_err(io)?).map_err(|_| {
                DebError::Corrupt(format!("data.tar: {}: owner out of range", show(&path)))
            })
        };
        let name =
            |name: Option<&[u8]>| String::from_utf8_lossy(name.unwrap_or_default()).into_owned();
        out.push(DataEntry {
            mode: mode(header)?,
            uid: id(header.uid())?,
            gid: id(header.gid())?,
            user: name(header.username_bytes()),
            group: name(header.groupname_bytes()),
            mtime: i64::try_from(header.mtime().map_err(io)?).unwrap_or(i64::MAX),
            kind: kind(&entry, &path, &data)?,
            path,
        });
    }
    Ok(out)
}

fn kind(
    entry: &tar::Entry<'_, Forward>,
    path: &[u8],
    data: &Source,
) -> Result<DataEntryKind, DebError> {
    use tar::EntryType;
    let target = || {
        let link = entry
            .link_name_bytes()
            .map(|link| link.into_owned())
            .filter(|link| !link.is_empty() && !link.contains(&0));
        link.ok_or_else(|| {
            DebError::Corrupt(format!("data.tar: {}: link without a target", show(path)))
        })
    };
    let device = || {
        let number = |n: io::Result<Option<u32>>| n.ok().flatten();
        let both = number(entry.header().device_major()).zip(number(entry.header().device_minor()));
        both.ok_or_else(|| {
            DebError::Corrupt(format!("data.tar: {}: device without numbers", show(path)))
        })
    };
    Ok(match entry.header().entry_type() {
        EntryType::Directory => DataEntryKind::Dir,
        EntryType::Regular | EntryType::Continuous => {
            DataEntryKind::File(content(entry, path, data)?)
        }
        EntryType::Symlink => DataEntryKind::Symlink(target()?),
        EntryType::Link => DataEntryKind::Hardlink(self::path(&target()?, "data.tar")?),
        EntryType::Char => {
            device().map(|(major, minor)| DataEntryKind::CharDevice(major, minor))?
        }
        EntryType::Block => {
            device().map(|(major, minor)| DataEntryKind::BlockDevice(major, minor))?
        }
        EntryType::Fifo => DataEntryKind::Fifo,
        other => {
            let text = format!(
                "data.tar: {}: unsupported entry of type {:?}",
                show(path),
                char::from(other.as_byte())
            );
            return Err(DebError::Unsupported(text));
        }
    })
}

/// The range of the archive that holds a file.
fn content(
    entry: &tar::Entry<'_, Forward>,
    path: &[u8],
    data: &Source,
) -> Result<Content, DebError> {
    let (source_offset, len) = (entry.raw_file_position(), entry.size());
    if source_offset
        .checked_add(len)
        .is_none_or(|end| end > data.len())
    {
        let left = data.len().saturating_sub(source_offset);
        return Err(DebError::Corrupt(format!(
            "data.tar: {}: truncated, {len} bytes expected and {left} left",
            show(path)
        )));
    }
    let mut content = Content::hole(len);
    content.push(Run {
        offset: 0,
        len,
        source: data.clone(),
        source_offset,
    });
    Ok(content)
}

fn mode(header: &tar::Header) -> Result<u16, DebError> {
    let mode = header.mode().map_err(|e| DebError::Io("a mode", e))?;
    Ok(u16::try_from(mode & 0o7777).unwrap_or(0))
}

/// A name of an archive as an absolute path. Names that are absolute or contain `..` are refused:
/// no package has them, and only an attacker would choose them.
fn path(name: &[u8], archive: &str) -> Result<Vec<u8>, DebError> {
    let refuse = |why: &str| DebError::Corrupt(format!("{archive}: the name {} {why}", show(name)));
    if name.starts_with(b"/") {
        return Err(refuse("is absolute"));
    }
    if name.iter().any(|b| matches!(b, 0 | b'\n')) {
        return Err(refuse("contains a line feed or NUL"));
    }
    let mut out = Vec::with_capacity(name.len().saturating_add(1));
    for part in name
        .split(|b| *b == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
    {
        if part == b".." {
            return Err(refuse("contains .."));
        }
        if part.len() > 255 {
            return Err(refuse("has a component of more than 255 bytes"));
        }
        out.push(b'/');
        out.extend_from_slice(part);
    }
    if out.is_empty() {
        out.push(b'/');
    }
    if out.len() > 4095 {
        return Err(refuse("is longer than 4095 bytes"));
    }
    Ok(out)
}
