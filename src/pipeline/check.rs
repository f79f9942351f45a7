//! Reads the result back and holds it against the plan.

use super::emit::{Form, Written};
use super::outputs::Pending;
use super::prepare::Prepared;
use super::raw::Blob;
use super::readback::Frames;
use super::streamed::Streamed;
use crate::artifact::{self, Examined, Severity, Signer};
use crate::fs::{ext4, fat};
use crate::image::source;
use crate::image::table::Table;
use crate::problem::{Problem, Problems};
use crate::report::Report;
use crate::stream::{Compression, Content, FileSource, Slice, Source};
use crate::verify;
use anyhow::{Context, Result};
use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

/// How much of an Artifact is read at once (bytes).
const BUFFER: usize = 1 << 18;

/// What a check needs to know of how the result was written.
pub(crate) struct How<'a> {
    pub(crate) form: Form,
    /// Whether slot B holds what slot A does.
    pub(crate) both: bool,
    /// Where progress goes.
    pub(crate) report: &'a dyn Report,
}

/// Opens what was written with the readers that know nothing of how it was made: the partition table, the boot filesystem, the root
/// filesystem in each slot that has one, the data filesystem. An image that is a stream is not looked at.
///
/// # Errors
/// A [`Problem`] that says what differs from the plan.
pub(crate) fn image(prepared: &Prepared, how: &How<'_>, written: &Written) -> Result<()> {
    if !matches!(how.form, Form::Stream(_)) {
        let image = source::in_place(opened(&written.image)?).context("reading the image back")?;
        disk(prepared, how.both, &image).context("reading the image back")?;
    }
    Ok(())
}

/// Runs the whole verification on the image and its Artifact. An image that is a stream is decoded once and must be `planned`, which
/// is verified in its place.
///
/// # Errors
/// All its errors as [`Problems`].
pub(crate) fn verified(prepared: &Prepared, how: &How<'_>, written: &Written, planned: Content) -> Result<()> {
    let examined = Some(&written.examined);
    let request = verify::Request { examined, root_sha256: Some(written.root_sha256), ..verify::Request::default() };
    let stored = opened(&written.image)?;
    let outcome = if let (Form::Stream(codec), Some(copies)) = (how.form, &written.copies) {
        let planned = Arc::new(planned);
        let stream = Streamed { image: &stored, kind: codec.kind(), layout: &prepared.layout, copies };
        let (root_len, payload) = (prepared.root_size, opened(&written.artifact)?);
        std::thread::scope(|scope| {
            let decoded = scope.spawn(|| stream.check(&planned, root_len, &payload));
            let outcome = verify::image(&(Arc::clone(&planned) as Source), &request);
            let decoded = decoded.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            decoded.context("reading the image back").map(|()| outcome)
        })?
    } else {
        let image = source::in_place(stored).context("reading the image back")?;
        beside(&prepared.table, &prepared.blobs, &image).context("reading the image back")?;
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

/// The table and what is beside the partitions are as planned.
fn beside(planned: &Table, blobs: &[Blob], disk: &Source) -> Result<()> {
    let table = Table::read(&**disk)?;
    if table.partitions != planned.partitions || table.disk_id != planned.disk_id {
        return Err(Problem::new("the partition table is not the planned one").into());
    }
    for blob in blobs {
        let mut found = vec![0; blob.bytes.len()];
        disk.read_exact_at(blob.offset, &mut found).context("reading what is beside the partitions")?;
        if let Some(at) = (blob.offset..).zip(found.iter().zip(&blob.bytes)).find_map(|(at, (a, b))| (a != b).then_some(at)) {
            let text = format!("{}, which begins at byte {}, is not what was planned from byte {at} on", blob.name, blob.offset);
            return Err(Problem::new(text).into());
        }
    }
    Ok(())
}

fn disk(prepared: &Prepared, both: bool, disk: &Source) -> Result<()> {
    beside(&prepared.table, &prepared.blobs, disk)?;
    let layout = &prepared.layout;
    let part = |extent: crate::layout::Extent| -> Source { Arc::new(Slice::new(Arc::clone(disk), extent.start, extent.len)) };
    let (boot, _) = fat::read(part(layout.boot)).context("reading the boot filesystem")?;
    if boot.root.entries.len() != prepared.trees.boot.root.entries.len() {
        return Err(Problem::new("the boot filesystem has not the planned files").into());
    }
    let slots = [("root A", layout.root_a), ("root B", layout.root_b)];
    for (name, extent) in slots.into_iter().take(if both { 2 } else { 1 }).chain([("data", layout.data)]) {
        let filesystem = ext4::read::Filesystem::open(part(extent)).with_context(|| format!("reading the {name} filesystem"))?;
        filesystem.tree().with_context(|| format!("reading the {name} filesystem"))?;
    }
    Ok(())
}

/// Reads the Artifact back with all its checksums; `frames` is where the pieces of its data are, which `jobs` threads unpack.
///
/// # Errors
/// A [`Problem`] that says what is wrong with it.
pub(crate) fn artifact(prepared: &Prepared, file: &File, frames: &[Range<u64>], jobs: usize) -> Result<Examined> {
    examine(prepared, file, frames, jobs).context("reading the Artifact back")
}

fn examine(prepared: &Prepared, mut file: &File, frames: &[Range<u64>], jobs: usize) -> Result<Examined> {
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::with_capacity(BUFFER, file);
    let verifier = prepared.signer.as_ref().map(Signer::verifier);
    let examined = match prepared.meta.codec.kind() {
        Compression::None => artifact::validate(&mut reader, verifier.as_ref())?,
        kind => Frames { file, kind, places: frames }
            .unpacked(jobs, |data| artifact::validate_unpacked(&mut reader, data, verifier.as_ref()))?,
    };
    let error = examined.findings.iter().find(|finding| finding.severity == Severity::Error);
    match error {
        None => Ok(examined),
        Some(finding) => Err(Problem::new(format!("{} ({})", finding.text, finding.code)).into()),
    }
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
        let partition = Partition::new(1, Lba::from_bytes(MIB), 2048, types::GPT_LINUX, Some(Uuid([1; 16])));
        let planned = Table { disk_id: DiskId::Gpt(Uuid([9; 16])), partitions: vec![partition], warnings: Vec::new() };
        let blobs = [("first", 20_000, 500), ("second", 40_001, 3)].map(|(name, offset, len)| Blob {
            name: name.into(),
            offset,
            bytes: vec![0xA5; len],
        });
        let mut disk = vec![0; 4 << 20];
        let parts = planned.encode(4 << 20).unwrap().into_iter().chain(blobs.iter().map(|blob| (blob.offset, blob.bytes.clone())));
        for (at, bytes) in parts {
            disk[at as usize..at as usize + bytes.len()].copy_from_slice(&bytes);
        }
        let said = |disk: Vec<u8>| -> String {
            let disk: Source = Arc::new(MemSource(disk.into()));
            beside(&planned, &blobs, &disk).map_or_else(|e| format!("{e:#}"), |()| String::new())
        };
        assert_eq!(said(disk.clone()), "");
        let flipped = |at: usize| {
            let mut disk = disk.clone();
            disk[at] ^= 1;
            said(disk)
        };
        for (name, start, at) in [("first", 20_000, 20_000), ("first", 20_000, 20_499), ("second", 40_001, 40_003)] {
            assert_eq!(flipped(at), format!("{name}, which begins at byte {start}, is not what was planned from byte {at} on"));
        }
        for at in [19_999, 20_500, 40_000, 40_004] {
            assert_eq!(flipped(at), "", "byte {at} is nobody's");
        }
        // One sector less than planned.
        let mut other = planned.clone();
        other.partitions[0].sectors -= 1;
        let disk: Source = Arc::new(MemSource(disk.clone().into()));
        assert_eq!(beside(&other, &blobs, &disk).unwrap_err().to_string(), "the partition table is not the planned one");
        let short: Source = Arc::new(Slice::new(disk, 0, 4 << 20));
        let far = Blob { name: "far".into(), offset: (4 << 20) - 1, bytes: vec![0; 2] };
        assert_eq!(beside(&planned, &[far], &short).unwrap_err().to_string(), "reading what is beside the partitions");
    }
}
