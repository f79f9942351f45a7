//! Room for the results where they are written to, before the first byte is.

use super::Prepared;
use crate::bytes::is_zero;
use crate::plan::output::ImageForm;
use crate::problem::Problem;
use crate::stream::{Compression, Content, ReadAt as _};
use crate::units::{align_down, enough, human};
use anyhow::{Context as _, Result};
use std::io;
use std::path::Path;

/// The unit in which zeros become holes (bytes).
const BLOCK: usize = 4096;
/// Length of one read (bytes), a multiple of [`BLOCK`].
const PIECE: u64 = 1 << 20;
/// The most that compression is expected to save: a result of a fourth of the data.
const COMPRESSED: u64 = 4;
/// Types of filesystems of Linux that never store the same block of two files once, by
/// `linux/magic.h`: ext2, ext3 and ext4; tmpfs.
#[cfg(target_os = "linux")]
const WHOLE_COPIES: [u64; 2] = [0xEF53, 0x0102_1994];

/// How often the root filesystem is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Copies {
    /// As it is.
    plain: u64,
    /// Compressed.
    compressed: u64,
}

impl Copies {
    fn of(prepared: &Prepared) -> Self {
        let plan = &prepared.plan;
        let slots = 1 + u64::from(plan.root.copy_to_b);
        let rootfs = u64::from(plan.output.rootfs);
        let image = match plan.output.image {
            ImageForm::Raw | ImageForm::Qcow2 | ImageForm::AndroidSparse => Self {
                plain: slots,
                compressed: 0,
            },
            ImageForm::Compressed(_) => Self {
                plain: 0,
                compressed: slots,
            },
            ImageForm::None => Self::default(),
        };
        let plain = plan.artifact.codec.kind() == Compression::None;
        Self {
            plain: image.plain + rootfs + u64::from(plain),
            compressed: image.compressed + u64::from(!plain),
        }
    }

    /// The bytes that a root filesystem with `data` bytes takes at least; less where files can
    /// share blocks.
    fn least(self, data: u64, shared: bool) -> u64 {
        data * if shared {
            self.plain.min(1)
        } else {
            self.plain
        }
    }

    /// The bytes that it is expected to take.
    fn expected(self, data: u64, shared: bool) -> u64 {
        self.least(data, shared) + self.compressed * data / COMPRESSED
    }
}

/// Fails if this user cannot make files in the directory `dir`.
pub(super) fn may_write(dir: &Path) -> io::Result<()> {
    use rustix::fs::{Access, AtFlags, CWD, accessat};
    let needed = Access::WRITE_OK | Access::EXEC_OK;
    Ok(accessat(CWD, dir, needed, AtFlags::EACCESS)?)
}

/// Room on a filesystem.
struct Room {
    /// Bytes that this user can still write.
    free: u64,
    /// Whether files may share blocks there.
    shared: bool,
}

impl Room {
    /// The room for files in `dir`, which may not exist yet.
    fn below(dir: &Path) -> io::Result<Self> {
        let there = dir.ancestors().find(|dir| dir.is_dir());
        let there = there.filter(|dir| !dir.as_os_str().is_empty());
        let there = there.unwrap_or(Path::new("."));
        let room = rustix::fs::statvfs(there)?;
        // Root may use the blocks that are kept for it.
        let blocks = match rustix::process::geteuid().is_root() {
            true => room.f_bfree,
            false => room.f_bavail,
        };
        Ok(Self {
            free: blocks.saturating_mul(room.f_frsize),
            shared: may_share_blocks(there)?,
        })
    }
}

/// Whether files of the filesystem at `path` may share blocks.
#[cfg(target_os = "linux")]
fn may_share_blocks(path: &Path) -> io::Result<bool> {
    let kind = u64::try_from(rustix::fs::statfs(path)?.f_type).unwrap_or_default();
    Ok(!WHOLE_COPIES.contains(&kind))
}

/// Whether files of the filesystem at `path` may share blocks: elsewhere than on Linux, that is not
/// known.
#[cfg(not(target_os = "linux"))]
fn may_share_blocks(_: &Path) -> io::Result<bool> {
    Ok(true)
}

/// Compares what the results need with the room in `dir`. Returns a warning if it may not be
/// enough.
///
/// # Errors
/// A [`Problem`] if it cannot be enough; I/O errors.
pub(super) fn check(prepared: &Prepared, dir: &Path) -> Result<Option<String>> {
    let Ok(room) = Room::below(dir) else {
        // Writing says what is wrong with the directory.
        return Ok(None);
    };
    let (root, copies) = (&prepared.images.root, Copies::of(prepared));
    if room.free >= copies.expected(root.data_len(), room.shared) {
        return Ok(None);
    }
    // Now it is worth to count the zeros that no file stores.
    let data = data_len(root).context("measuring the root filesystem")?;
    let (least, expected) = (
        copies.least(data, room.shared),
        copies.expected(data, room.shared),
    );
    let free = format!("{} has {} free", dir.display(), human(room.free));
    if room.free < least {
        let missing = enough(least - room.free);
        return Err(Problem::new(format!(
            "the results take at least {} ({least} bytes), but {free} ({} bytes)",
            human(least),
            room.free
        ))
        .hint(format!(
            "free {missing} there (earlier results are replaced only once the new ones are complete), or name another \
             directory with --output-dir; compressed results take less: output.image = \"zst\""
        ))
        .into());
    }
    Ok((room.free < expected).then(|| {
        format!(
            "the results may take more than there is room for: about {} are expected, and {free}",
            human(expected)
        )
    }))
}

/// The bytes of the blocks that are not all zeros.
fn data_len(content: &Content) -> io::Result<u64> {
    let mut total = 0;
    let mut piece = vec![0; usize::try_from(PIECE).map_err(io::Error::other)?];
    let mut done = 0;
    for run in content.runs() {
        let mut at = align_down(run.offset, BLOCK as u64).max(done);
        while at < run.end() {
            let len = PIECE.min(content.len() - at);
            let bytes = &mut piece[..usize::try_from(len).map_err(io::Error::other)?];
            content.read_exact_at(at, bytes)?;
            let blocks = bytes.chunks(BLOCK).filter(|block| !is_zero(block));
            total += blocks.map(|block| block.len() as u64).sum::<u64>();
            at += len;
        }
        done = done.max(at);
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Run;

    #[test]
    fn zeros_and_holes_take_no_room() {
        let mut content = Content::hole(5 << 20);
        content.push_bytes(0, vec![1; 10]);
        content.push_bytes(4096, vec![0; 8192]);
        content.push_bytes(3 << 20, vec![1; 2 * BLOCK + 1]);
        assert_eq!(data_len(&content).unwrap(), 4 * BLOCK as u64);
        assert_eq!(
            content.runs().iter().map(|run: &Run| run.len).sum::<u64>(),
            10 + 8192 + 8193
        );
        assert_eq!(data_len(&Content::hole(1 << 40)).unwrap(), 0);
    }

    #[test]
    fn copies_count_once_where_blocks_are_shared() {
        let copies = Copies {
            plain: 3,
            compressed: 1,
        };
        assert_eq!(
            (copies.least(100, false), copies.least(100, true)),
            (300, 100)
        );
        assert_eq!(
            (copies.expected(100, false), copies.expected(100, true)),
            (325, 125)
        );
        assert_eq!(Copies::default().least(100, true), 0);
    }
}
