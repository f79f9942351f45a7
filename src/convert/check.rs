//! Reads the result back and holds it against the plan.

use crate::artifact::{self, ArtifactReport, Severity, Signer};
use crate::convert::emit::WrittenOutputs;
use crate::convert::outputs::Pending;
use crate::convert::prepare::Prepared;
use crate::digest::Digest;
use crate::fs::{ext4, fat};
use crate::image::source;
use crate::image::table::Table;
use crate::plan::raw::Blob;
use crate::problem::{Problem, Problems};
use crate::report::Report;
use crate::stream::{Content, FileSource, Slice, Source, decoder};
use crate::verify;
use anyhow::{Context, Result};
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// What a check needs to know of how the result was written.
pub(crate) struct How<'a> {
    /// Offsets and bytes of what is beside the partitions.
    pub(crate) fixed: &'a [(u64, Vec<u8>)],
    /// Whether slot B holds what slot A does.
    pub(crate) both: bool,
    /// Where progress goes.
    pub(crate) report: &'a dyn Report,
}

/// The sums of what was written, where reading it back gives one.
pub(crate) struct Sums {
    /// SHA-256 of the image, when it is a stream.
    pub(crate) image: Option<Digest>,
    /// SHA-256 of the Artifact.
    pub(crate) artifact: Digest,
}

/// Looks at everything that was written. Image and Artifact are read back: each byte is held
/// against what it was meant to be, and an image that is no stream is opened with the readers that
/// know nothing of how it was made. With `planned`, the disk as planned, the whole verification
/// runs too: on the image, or on the plan of an image that is a stream.
///
/// # Errors
/// A [`Problem`] that says what differs from the plan; all errors of the verification as
/// [`Problems`].
pub(crate) fn written(
    prepared: &Prepared,
    how: &How<'_>,
    written: &WrittenOutputs,
    planned: Option<Content>,
) -> Result<Sums> {
    let stream = written.image_log.as_ref();
    std::thread::scope(|scope| {
        let image = scope.spawn(|| {
            stream
                .map(|stream| stream.read_back(written.image.file()))
                .transpose()
        });
        let artifact = scope.spawn(|| written.payload.log.read_back(written.artifact.file()));
        // The disk is at work meanwhile: publishing, which waits for it too, then finds little to
        // do.
        let files = [
            Some(&written.artifact),
            Some(&written.image),
            written.rootfs.as_ref(),
        ];
        let synced = scope.spawn(move || {
            files
                .into_iter()
                .flatten()
                .try_for_each(|pending| pending.file().sync_data().map_err(|e| pending.writing(e)))
        });
        let contents = examine(prepared, written)
            .context("reading the Artifact back")
            .and_then(|examined| match planned {
                Some(planned) => verified(prepared, how, written, planned, &examined)
                    .context("verifying the image"),
                None if stream.is_none() => {
                    image_of(prepared, how, written).context("reading the image back")
                }
                None => Ok(()),
            });
        let [image, artifact] = [
            image
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                .context("reading the image back"),
            artifact
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                .map(Some)
                .context("reading the Artifact back"),
        ];
        synced
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        // What was written wrong explains whatever else is wrong.
        let sums = Sums {
            image: image?,
            artifact: artifact?.unwrap_or_default(),
        };
        contents.map(|()| sums)
    })
}

/// Opens what was written with the readers that know nothing of how it was made: the partition
/// table, the boot filesystem, the root filesystem in each slot that has one, the data filesystem.
fn image_of(prepared: &Prepared, how: &How<'_>, written: &WrittenOutputs) -> Result<()> {
    let image = source::in_place(opened(&written.image)?)?;
    disk(prepared, how, &image)
}

fn verified(
    prepared: &Prepared,
    how: &How<'_>,
    written: &WrittenOutputs,
    planned: Content,
    examined: &ArtifactReport,
) -> Result<()> {
    let mut request = verify::Request {
        artifact_report: Some(examined),
        root_sha256: Some(written.root_sha256),
        ..verify::Request::default()
    };
    let outcome = if written.image_log.is_some() {
        let layout = &prepared.layout;
        request.identical_slots = how
            .both
            .then_some([layout.root_a.start, layout.root_b.start]);
        verify::image(&(Arc::new(planned) as Source), &request)
    } else {
        let image = source::in_place(opened(&written.image)?).context("reading the image back")?;
        beside(prepared, how.fixed, &image).context("reading the image back")?;
        verify::image(&image, &request)
    };
    let mut problems = Problems::default();
    for finding in &outcome.findings {
        match finding.severity {
            verify::Severity::Error => problems.push(Problem::new(finding.to_string())),
            verify::Severity::Warning => how.report.warn(&finding.to_string()),
            verify::Severity::Note => {}
        }
    }
    if let Some(last) = problems.0.last_mut() {
        last.hint = Some("--no-verify keeps the results all the same".into());
    }
    problems.check()?;
    Ok(())
}

/// A file that was written, to be read from its start.
fn opened(pending: &Pending) -> Result<Source> {
    let file = pending.file().try_clone()?;
    let len = file.metadata()?.len();
    Ok(Arc::new(FileSource::new(file, len)))
}

fn beside(prepared: &Prepared, fixed: &[(u64, Vec<u8>)], disk: &Source) -> Result<()> {
    is_beside(&prepared.table, &prepared.blobs, fixed, disk)
}

/// The table is as planned, and so is every byte of what is `fixed` beside the partitions, of which
/// `blobs` have names.
fn is_beside(
    planned: &Table,
    blobs: &[Blob],
    fixed: &[(u64, Vec<u8>)],
    disk: &Source,
) -> Result<()> {
    let table = Table::read(&**disk)?;
    if table.partitions != planned.partitions || table.disk_id != planned.disk_id {
        return Err(Problem::new("the partition table is not the planned one").into());
    }
    for (offset, bytes) in fixed {
        let mut found = vec![0; bytes.len()];
        disk.read_exact_at(*offset, &mut found)
            .context("reading what is beside the partitions")?;
        if let Some(at) = (*offset..)
            .zip(found.iter().zip(bytes))
            .find_map(|(at, (a, b))| (a != b).then_some(at))
        {
            let name = blobs
                .iter()
                .find(|blob| blob.offset == *offset)
                .map_or("what is beside the partitions", |blob| &blob.name);
            let text = format!(
                "{name}, which begins at byte {offset}, is not what was planned from byte {at} on"
            );
            return Err(Problem::new(text).into());
        }
    }
    Ok(())
}

fn disk(prepared: &Prepared, how: &How<'_>, disk: &Source) -> Result<()> {
    beside(prepared, how.fixed, disk)?;
    let layout = &prepared.layout;
    let part = |extent: crate::plan::layout::Extent| -> Source {
        Arc::new(Slice::new(Arc::clone(disk), extent.start, extent.len))
    };
    let (boot, _) = fat::read(part(layout.boot)).context("reading the boot filesystem")?;
    if boot.root.entries.len() != prepared.trees.boot.root.entries.len() {
        return Err(Problem::new("the boot filesystem has not the planned files").into());
    }
    let slots = [("root A", layout.root_a), ("root B", layout.root_b)];
    for (name, extent) in slots
        .into_iter()
        .take(if how.both { 2 } else { 1 })
        .chain([("data", layout.data)])
    {
        let filesystem = ext4::read::Filesystem::open(part(extent))
            .with_context(|| format!("reading the {name} filesystem"))?;
        filesystem
            .tree()
            .with_context(|| format!("reading the {name} filesystem"))?;
    }
    Ok(())
}

/// Holds the Artifact against all rules, as it is in its file but for the root filesystem: whose
/// frames were unpacked and summed up when they were made.
fn examine(prepared: &Prepared, written: &WrittenOutputs) -> Result<ArtifactReport> {
    let (file, payload) = (written.artifact.file(), &written.payload);
    let (data, end) = (payload.data.clone(), payload.log.end());
    let read = |range: Range<u64>| -> io::Result<Vec<u8>> {
        let mut bytes =
            vec![0; usize::try_from(range.end - range.start).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, range.start)?;
        Ok(bytes)
    };
    let (front, back) = (read(0..data.start)?, read(data.end..end)?);
    let (head, tail) = (
        read(data.start..data.start + payload.first_frame)?,
        read(data.end - payload.last_frame..data.end)?,
    );
    let mut archive = plain(prepared, &head)?
        .chain(io::repeat(0).take(prepared.root_size))
        .chain(plain(prepared, &tail)?);
    let mut whole = front
        .chain(io::repeat(0).take(data.end - data.start))
        .chain(&back[..]);
    let verifier = prepared.signer.as_ref().map(Signer::verifier);
    let held = artifact::HashedPayload {
        archive: &mut archive,
        sha256: written.root_sha256,
    };
    let examined = artifact::validate_hashed(&mut whole, held, verifier.as_ref())?;
    match examined
        .findings
        .iter()
        .find(|finding| finding.severity == Severity::Error)
    {
        None => Ok(examined),
        Some(finding) => Err(Problem::new(format!("{} ({})", finding.text, finding.code)).into()),
    }
}

/// A frame of the Artifact, unpacked.
fn plain<'f>(prepared: &Prepared, frame: &'f [u8]) -> io::Result<Box<dyn Read + 'f>> {
    decoder(prepared.meta.codec.kind(), frame)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::table::{DiskId, Partition, types};
    use crate::stamp::Uuid;
    use crate::stream::MemSource;
    use crate::units::{Lba, MIB};

    #[test]
    fn one_wrong_byte_beside_the_partitions_is_found() {
        let partition = Partition::new(
            1,
            Lba::from_bytes(MIB),
            2048,
            types::GPT_LINUX,
            Some(Uuid([1; 16])),
        );
        let planned = Table {
            disk_id: DiskId::Gpt(Uuid([9; 16])),
            partitions: vec![partition],
            warnings: Vec::new(),
        };
        let blobs =
            [("first", 20_000, 500), ("second", 40_001, 3)].map(|(name, offset, len)| Blob {
                name: name.into(),
                offset,
                bytes: vec![0xA5; len],
            });
        let mut disk = vec![0; 4 << 20];
        let boot_code = [(0, vec![0xCD; 5])];
        let parts = planned
            .encode(4 << 20)
            .unwrap()
            .into_iter()
            .chain(boot_code)
            .chain(blobs.iter().map(|blob| (blob.offset, blob.bytes.clone())));
        for (at, bytes) in parts {
            disk[at as usize..at as usize + bytes.len()].copy_from_slice(&bytes);
        }
        let fixed: Vec<(u64, Vec<u8>)> = [(0, vec![0xCD; 5])]
            .into_iter()
            .chain(blobs.iter().map(|blob| (blob.offset, blob.bytes.clone())))
            .collect();
        let said = |disk: Vec<u8>| -> String {
            let disk: Source = Arc::new(MemSource(disk.into()));
            is_beside(&planned, &blobs, &fixed, &disk)
                .map_or_else(|e| format!("{e:#}"), |()| String::new())
        };
        assert_eq!(said(disk.clone()), "");
        let flipped = |at: usize| {
            let mut disk = disk.clone();
            disk[at] ^= 1;
            said(disk)
        };
        for (name, start, at) in [
            ("first", 20_000, 20_000),
            ("first", 20_000, 20_499),
            ("second", 40_001, 40_003),
        ] {
            assert_eq!(
                flipped(at),
                format!(
                    "{name}, which begins at byte {start}, is not what was planned from byte {at} on"
                )
            );
        }
        assert_eq!(
            flipped(3),
            "what is beside the partitions, which begins at byte 0, is not what was planned from byte 3 on"
        );
        for at in [5, 19_999, 20_500, 40_000, 40_004] {
            assert_eq!(flipped(at), "", "byte {at} is nobody's");
        }
        // One sector less than planned.
        let mut other = planned.clone();
        other.partitions[0].sectors -= 1;
        let disk: Source = Arc::new(MemSource(disk.clone().into()));
        assert_eq!(
            is_beside(&other, &blobs, &fixed, &disk)
                .unwrap_err()
                .to_string(),
            "the partition table is not the planned one"
        );
        let short: Source = Arc::new(Slice::new(disk, 0, 4 << 20));
        let far = [((4 << 20) - 1, vec![0; 2])];
        assert_eq!(
            is_beside(&planned, &[], &far, &short)
                .unwrap_err()
                .to_string(),
            "reading what is beside the partitions"
        );
    }
}
