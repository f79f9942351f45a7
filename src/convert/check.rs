//! Reads the results back and compares them with the plan.

use super::emit::WrittenOutputs;
use super::outputs::Pending;
use super::write::{WriteOptions, WrittenConversion};
use super::{Prepared, Request, details};
use crate::artifact::{self, ArtifactReport, Severity, Signer};
use crate::digest::Digest;
use crate::fs::{ext4, fat};
use crate::image::source;
use crate::image::table::PartitionTable;
use crate::plan::family::Role;
use crate::plan::output::ImageForm;
use crate::plan::raw::Blob;
use crate::problem::{Problem, Problems};
use crate::side_by_side::joined;
use crate::stream::{Content, FileSource, Slice, Source, decoder};
use crate::verify;
use anyhow::{Context, Result};
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// A conversion that passed its checks.
pub(super) struct Checked {
    pub(super) written: WrittenConversion,
    /// Digests of the files.
    pub(super) digests: Digests,
}

/// The digests that reading back gives.
pub(super) struct Digests {
    /// SHA-256 of the image, if it is compressed.
    pub(super) image: Option<Digest>,
    /// SHA-256 of the Artifact.
    pub(super) artifact: Digest,
}

/// The results to check, and what they are compared with.
struct CheckContext<'a> {
    /// The plan and its inputs.
    prepared: &'a Prepared,
    written: &'a WrittenOutputs,
    /// Bytes outside the partitions, with their offsets.
    unpartitioned: &'a [(u64, Vec<u8>)],
    request: &'a Request<'a>,
}

/// Checks everything that was written, and that the golden image did not change meanwhile.
///
/// # Errors
/// As [`check_files`].
pub(super) fn check(
    mut written: WrittenConversion,
    options: WriteOptions,
    request: &Request,
) -> Result<Checked> {
    request.report.step("checking what was written", None);
    let artifact = std::mem::replace(&mut written.files.artifact_sha256, Ok(Digest::default()));
    let image = written.files.image_sha256.take();
    let planned = options.verify.then(|| written.planned_disk()).transpose()?;
    let context = CheckContext {
        prepared: &written.prepared,
        written: &written.files,
        unpartitioned: &written.unpartitioned,
        request,
    };
    let golden = &written.prepared.golden;
    let digests = check_files(&context, (image, artifact), planned)
        .map_err(|error| golden.or_input_changed(error))?;
    golden
        .input
        .check_unchanged()
        .map_err(|error| error.problem())
        .context("reading the golden image")?;
    Ok(Checked { written, digests })
}

/// Each byte of the Artifact, and of an image that is a stream, was compared with what was to be
/// written, which gave these digests; an image that is not a stream is opened with the readers,
/// which are independent of the writers. With `planned`, the disk as planned, all checks
/// of `verify` run too: on the image, or on the planned disk if the image is a stream or there is
/// none. They ran on that before it was written: if what they read was written, only those run
/// again that depend on the checksum of the root filesystem.
///
/// # Errors
/// A [`Problem`] that names the first difference from the plan; all errors of the verification as
/// [`Problems`].
fn check_files(
    context: &CheckContext<'_>,
    (image, artifact): (Option<Result<Digest>>, Result<Digest>),
    planned: Option<Content>,
) -> Result<Digests> {
    let written = context.written;
    // Wrong bytes explain whatever else is wrong.
    let digests = Digests {
        image: image.transpose().context("reading the image back")?,
        artifact: artifact.context("reading the Artifact back")?,
    };
    std::thread::scope(|scope| {
        // Flushing runs meanwhile: publishing, which waits for it too, then finds little to do.
        let files = [
            Some(&written.artifact),
            written.image.as_ref(),
            written.rootfs.as_ref(),
        ];
        let synced = scope.spawn(move || {
            files
                .into_iter()
                .flatten()
                .try_for_each(|pending| pending.file().sync_data().map_err(|e| pending.writing(e)))
        });
        let contents = examine(context)
            .context("reading the Artifact back")
            .and_then(|examined| match planned {
                Some(planned) => {
                    verified(context, planned, &examined).context("verifying the image")
                }
                None => image_of(context).context("reading the image back"),
            });
        joined(synced)?;
        contents.map(|()| digests)
    })
}

/// Opens the image, unless it is a stream, with the readers, which are independent of the writers:
/// the partition table, the boot filesystem, the root filesystem in each slot that has one, the
/// data filesystem.
fn image_of(context: &CheckContext<'_>) -> Result<()> {
    let Some(image) = readable(context) else {
        return Ok(());
    };
    let image = source::in_place(opened(image)?)?;
    disk(context, &image)
}

/// The image, if the readers can open it: if there is one, and it is not a stream.
fn readable<'a>(context: &CheckContext<'a>) -> Option<&'a Pending> {
    let form = context.prepared.plan.output.image;
    let image = context.written.image.as_ref();
    image.filter(|_| !matches!(form, ImageForm::Compressed(_)))
}

fn verified(context: &CheckContext<'_>, planned: Content, examined: &ArtifactReport) -> Result<()> {
    let (prepared, written) = (context.prepared, context.written);
    let mut request = verify::Request {
        artifact_report: Some(examined),
        root_sha256: Some(written.root_sha256),
        searched: context.request.shared.map(|shared| &shared.searched),
        ..verify::Request::default()
    };
    let outcome = if let Some(image) = readable(context) {
        let image = source::in_place(opened(image)?).context("reading the image back")?;
        unpartitioned(context, &image).context("reading the image back")?;
        verify::image(&image, &request)
    } else {
        let layout = &prepared.layout.extents;
        request.identical_slots = prepared
            .plan
            .root
            .copy_to_b
            .then_some([layout.root_a.start, layout.root_b.start]);
        let judged = prepared.judged.as_ref();
        request.judged_except_bootstrap = judged
            .is_some_and(|judged| judged.is_written())
            .then_some(layout.data.start);
        verify::image(&(Arc::new(planned) as Source), &request)
    };
    details::checked(&outcome.groups, context.request.report);
    let mut problems = Problems::default();
    for finding in &outcome.findings {
        match finding.severity {
            verify::Severity::Error => problems.push(Problem::new(finding.sentence())),
            verify::Severity::Warning => {
                let text = finding.to_string();
                if !prepared.warnings.contains(&text) {
                    context.request.report.warn(&finding.sentence());
                }
            }
            verify::Severity::Note => {}
        }
    }
    if let Some(last) = problems.0.last_mut() {
        let hint = "this is an error in goldsmith, not in your input, which passed these checks before it \
                    was written: please report it; --no-verify publishes the results anyway";
        last.hint = Some(hint.into());
    }
    problems.check()?;
    Ok(())
}

/// A written file, to be read from its start.
fn opened(pending: &Pending) -> Result<Source> {
    let file = pending.file().try_clone()?;
    let len = file.metadata()?.len();
    Ok(Arc::new(FileSource::new(file, len)))
}

fn unpartitioned(context: &CheckContext<'_>, disk: &Source) -> Result<()> {
    let prepared = context.prepared;
    is_as_planned(
        &prepared.layout.table,
        &prepared.edited.raw,
        context.unpartitioned,
        disk,
    )
}

/// Fails unless the table is as planned, and so is every byte of `unpartitioned`, of which `blobs`
/// have names.
fn is_as_planned(
    planned: &PartitionTable,
    blobs: &[Blob],
    unpartitioned: &[(u64, Vec<u8>)],
    disk: &Source,
) -> Result<()> {
    let table = PartitionTable::read(&**disk)?;
    if table.partitions != planned.partitions || table.disk_id != planned.disk_id {
        return Err(Problem::new("the partition table is not as planned").into());
    }
    for (offset, bytes) in unpartitioned {
        let mut found = vec![0; bytes.len()];
        disk.read_exact_at(*offset, &mut found)
            .context("reading data outside the partitions")?;
        if let Some(at) = (*offset..)
            .zip(found.iter().zip(bytes))
            .find_map(|(at, (a, b))| (a != b).then_some(at))
        {
            let name = blobs
                .iter()
                .find(|blob| blob.offset == *offset)
                .map_or("data outside the partitions", |blob| &blob.name);
            let text = format!("{name}, from byte {offset}, is not as planned from byte {at} on");
            return Err(Problem::new(text).into());
        }
    }
    Ok(())
}

fn disk(context: &CheckContext<'_>, disk: &Source) -> Result<()> {
    let prepared = context.prepared;
    unpartitioned(context, disk)?;
    let layout = &prepared.layout.extents;
    let part = |extent: crate::plan::layout::Extent| -> Source {
        Arc::new(Slice::new(Arc::clone(disk), extent.start, extent.len))
    };
    let (boot, _) =
        fat::read(part(layout.partition(Role::Boot))).context("reading the boot filesystem")?;
    if boot.root.entries.len() != prepared.edited.trees.boot.root.entries.len() {
        return Err(Problem::new("the boot filesystem does not contain the planned files").into());
    }
    let slots = [("root A", layout.root_a), ("root B", layout.root_b)];
    for (name, extent) in slots
        .into_iter()
        .take(if prepared.plan.root.copy_to_b { 2 } else { 1 })
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
/// frames were unpacked and hashed when they were made.
fn examine(context: &CheckContext<'_>) -> Result<ArtifactReport> {
    let (prepared, written) = (context.prepared, context.written);
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
    let parts = Parts {
        front,
        head,
        tail,
        back,
        data_len: data.end - data.start,
    };
    examined(prepared, &parts, written.root_sha256)
}

/// The parts of an Artifact around the frames of its root filesystem.
pub(super) struct Parts {
    /// Everything before the data archive.
    pub(super) front: Vec<u8>,
    /// The first and the last frame of the data archive.
    pub(super) head: Vec<u8>,
    pub(super) tail: Vec<u8>,
    /// Everything after the data archive.
    pub(super) back: Vec<u8>,
    /// The length of the data archive (bytes).
    pub(super) data_len: u64,
}

/// Holds an Artifact of these parts against all rules; its root filesystem has the checksum
/// `root_sha256`.
///
/// # Errors
/// The first rule that it breaks.
pub(super) fn examined(
    prepared: &Prepared,
    parts: &Parts,
    root_sha256: [u8; 32],
) -> Result<ArtifactReport> {
    let mut archive = plain(prepared, &parts.head)?
        .chain(io::repeat(0).take(prepared.layout.root_size))
        .chain(plain(prepared, &parts.tail)?);
    let mut whole = parts
        .front
        .chain(io::repeat(0).take(parts.data_len))
        .chain(&parts.back[..]);
    let verifier = prepared.plan.signer.as_ref().map(Signer::verifier);
    let held = artifact::HashedPayload {
        archive: &mut archive,
        sha256: root_sha256,
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
    decoder(prepared.plan.artifact.codec.kind(), frame)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::table::{DiskId, Partition, types};
    use crate::stamp::Uuid;
    use crate::stream::MemSource;
    use crate::units::{Lba, MIB};

    /// A disk with a GPT, blobs and boot code outside its one partition.
    struct Example {
        planned: PartitionTable,
        blobs: [Blob; 2],
        unpartitioned: Vec<(u64, Vec<u8>)>,
        disk: Vec<u8>,
    }

    impl Example {
        fn new() -> Self {
            let start = Lba::from_bytes(MIB);
            let id = Some(Uuid([1; 16]));
            let planned = PartitionTable {
                disk_id: DiskId::Gpt(Uuid([9; 16])),
                partitions: vec![Partition::new(1, start, 2048, types::GPT_LINUX, id)],
                warnings: Vec::new(),
            };
            let blob = |(name, offset, len): (&str, u64, usize)| Blob {
                name: name.into(),
                offset,
                bytes: vec![0xA5; len],
            };
            let blobs = [("first", 20_000, 500), ("second", 40_001, 3)].map(blob);
            let mut unpartitioned = vec![(0, vec![0xCD; 5])];
            unpartitioned.extend(blobs.iter().map(|blob| (blob.offset, blob.bytes.clone())));
            let mut disk = vec![0; 4 << 20];
            let table = planned.encode(4 << 20).unwrap();
            for (at, bytes) in table.iter().chain(&unpartitioned) {
                let at = *at as usize;
                disk[at..at + bytes.len()].copy_from_slice(bytes);
            }
            Self {
                planned,
                blobs,
                unpartitioned,
                disk,
            }
        }

        fn source(&self) -> Source {
            Arc::new(MemSource(self.disk.clone().into()))
        }

        /// The error for the disk with the byte at `at` flipped; empty when there is none.
        fn flipped(&self, at: usize) -> String {
            let mut disk = self.disk.clone();
            disk[at] ^= 1;
            let disk: Source = Arc::new(MemSource(disk.into()));
            is_as_planned(&self.planned, &self.blobs, &self.unpartitioned, &disk)
                .map_or_else(|e| format!("{e:#}"), |()| String::new())
        }
    }

    #[test]
    fn one_wrong_byte_outside_the_partitions_is_found() {
        let example = Example::new();
        let Example {
            planned,
            blobs,
            unpartitioned,
            ..
        } = &example;
        assert!(is_as_planned(planned, blobs, unpartitioned, &example.source()).is_ok());
        for (name, start, at) in [
            ("first", 20_000, 20_000),
            ("first", 20_000, 20_499),
            ("second", 40_001, 40_003),
            ("data outside the partitions", 0, 3),
        ] {
            assert_eq!(
                example.flipped(at),
                format!("{name}, from byte {start}, is not as planned from byte {at} on")
            );
        }
        for at in [5, 19_999, 20_500, 40_000, 40_004] {
            assert_eq!(example.flipped(at), "", "byte {at} is nobody's");
        }
    }

    #[test]
    fn another_table_and_unreadable_bytes_are_found() {
        let example = Example::new();
        let Example {
            planned,
            blobs,
            unpartitioned,
            ..
        } = &example;
        // One sector less than planned.
        let mut other = planned.clone();
        other.partitions[0].sectors -= 1;
        let error = is_as_planned(&other, blobs, unpartitioned, &example.source()).unwrap_err();
        assert_eq!(error.to_string(), "the partition table is not as planned");
        let far = [((4 << 20) - 1, vec![0; 2])];
        let error = is_as_planned(planned, &[], &far, &example.source()).unwrap_err();
        assert_eq!(error.to_string(), "reading data outside the partitions");
    }
}
