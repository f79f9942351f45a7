//! Writes the disk image in a container format: qcow2 or Android sparse. Slot B is copied from slot
//! A within the file, so the root filesystem is read only once.

use crate::image::output::sparse_file::{copy_range, write_content};
use crate::image::output::{android_sparse, qcow2};
use crate::stream::{Content, ReadAt as _, Run, Source};
use crate::units::align_down;
use std::fs::File;
use std::io;
use std::sync::Arc;

/// A container format of disk images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Container {
    /// For QEMU.
    Qcow2,
    /// For `fastboot`.
    AndroidSparse,
}

/// A range of the disk whose bytes occur twice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MirroredRange {
    /// Offset of the original on the disk (bytes).
    pub(crate) from: u64,
    /// Offset of the copy on the disk (bytes), after the original.
    pub(crate) to: u64,
    /// Length (bytes).
    pub(crate) len: u64,
}

/// Unit in which formats store data (bytes). Holes of the written file are multiples of it, so a
/// copy may begin at any multiple.
const GRAIN: u64 = 4096;

/// Writes `disk` in the format `container` into the empty file `file`.
///
/// # Errors
/// I/O errors of source or file; a disk that is too large for the format.
pub(crate) fn write(
    file: &File,
    container: Container,
    disk: Content,
    mirror: MirroredRange,
) -> io::Result<()> {
    let disk: Source = Arc::new(disk);
    let wrapped = match container {
        Container::Qcow2 => qcow2(&disk)?,
        Container::AndroidSparse => android_sparse(&disk)?,
    };
    file.set_len(wrapped.len())?;
    let mut done: Vec<&Run> = Vec::new();
    for run in wrapped.runs() {
        if same(&run.source, &disk) {
            write_run(file, run, &done, mirror)?;
            done.push(run);
        } else {
            write_content(file, run.offset, &part(run, 0, run.len))?;
        }
    }
    Ok(())
}

/// Whether two sources are the same object.
fn same(one: &Source, other: &Source) -> bool {
    Arc::as_ptr(one).cast::<()>() == Arc::as_ptr(other).cast::<()>()
}

/// `len` bytes of a run, from its byte `skip`.
fn part(run: &Run, skip: u64, len: u64) -> Content {
    let mut content = Content::hole(0);
    content.push(Run {
        offset: 0,
        len,
        source: Arc::clone(&run.source),
        source_offset: run.source_offset + skip,
    });
    content
}

/// Writes a run of the disk; the copy of `mirror` is copied from the written original.
fn write_run(file: &File, run: &Run, done: &[&Run], mirror: MirroredRange) -> io::Result<()> {
    let end = run.source_offset + run.len;
    let mut at = run.source_offset;
    while at < end {
        let (stop, origin) = stretch(at, end, done, mirror);
        let offset = run.offset + (at - run.source_offset);
        match origin {
            Some(origin) => copy_range(file, origin, file, offset, stop - at)?,
            None => write_content(file, offset, &part(run, at - run.source_offset, stop - at))?,
        }
        at = stop;
    }
    Ok(())
}

/// The end of the range from `at` on that can be written at once, and the offset in the file from
/// which it can be copied; `None` if it must be read.
fn stretch(at: u64, end: u64, done: &[&Run], mirror: MirroredRange) -> (u64, Option<u64>) {
    let mirror_end = mirror.to + align_down(mirror.len, GRAIN);
    if at < mirror.to {
        return (end.min(mirror.to), None);
    }
    if at >= mirror_end {
        return (end, None);
    }
    let first = at - mirror.to + mirror.from;
    let index = done.partition_point(|run| run.source_offset + run.len <= first);
    match done.get(index) {
        Some(run) if run.source_offset <= first => {
            let there = (run.source_offset + run.len - first).min(mirror_end - at);
            (
                end.min(at + there),
                Some(run.offset + (first - run.source_offset)),
            )
        }
        // The original is not stored, because it is zero, but the format stores the copy.
        Some(run) => (end.min(at + (run.source_offset - first)), None),
        None => (end, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::{MemSource, ReadAt};
    use std::io::Read;
    use std::ops::Range;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Bytes that count how often they are read.
    #[derive(Debug)]
    struct Counted(AtomicU64);

    impl ReadAt for Counted {
        fn len(&self) -> u64 {
            5 << 20
        }

        fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
            self.0.fetch_add(buf.len() as u64, Ordering::Relaxed);
            (offset..)
                .zip(buf)
                .for_each(|(at, byte)| *byte = (at / 1000 + at % 7) as u8 | 1);
            Ok(())
        }

        fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
            Ok((offset < self.len()).then(|| offset..self.len()))
        }
    }

    #[test]
    fn the_second_slot_is_copied_and_equal() {
        for container in [Container::Qcow2, Container::AndroidSparse] {
            let slot = Arc::new(Counted(AtomicU64::new(0)));
            let mut root = Content::hole(6 << 20);
            root.push(Run {
                offset: 4096,
                len: 70_000,
                source: slot.clone(),
                source_offset: 0,
            });
            root.push(Run {
                offset: 1 << 20,
                len: 4 << 20,
                source: slot.clone(),
                source_offset: 100_000,
            });
            let mut disk = Content::hole(0);
            disk.push_bytes(0, vec![1; 1 << 20]);
            disk.push_content(1 << 20, &root);
            disk.push_content(8 << 20, &root);
            disk.push_bytes(14 << 20, vec![2; 4096]);
            disk.set_len(16 << 20);
            let mut file = tempfile::tempfile().unwrap();
            write(
                &file,
                container,
                disk.clone(),
                MirroredRange {
                    from: 1 << 20,
                    to: 8 << 20,
                    len: 6 << 20,
                },
            )
            .unwrap();
            assert!(
                slot.0.load(Ordering::Relaxed) < 5 << 20,
                "{container:?}: read more than once"
            );
            let mut bytes = Vec::new();
            io::Seek::rewind(&mut file).unwrap();
            file.read_to_end(&mut bytes).unwrap();
            let back = crate::image::source::in_place(Arc::new(MemSource(bytes.into()))).unwrap();
            let mut found = vec![0; 16 << 20];
            back.read_exact_at(0, &mut found).unwrap();
            assert!(found == disk.read_all(1 << 30).unwrap(), "{container:?}");
        }
    }
}
