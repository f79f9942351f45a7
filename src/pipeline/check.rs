//! Reads the result back and holds it against the plan.

use super::emit::{Form, Written};
use super::outputs::Pending;
use super::prepare::Prepared;
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
        beside(prepared, &image).context("reading the image back")?;
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
fn beside(prepared: &Prepared, disk: &Source) -> Result<()> {
    let table = Table::read(&**disk)?;
    if table.partitions != prepared.table.partitions || table.disk_id != prepared.table.disk_id {
        return Err(Problem::new("the partition table is not the planned one").into());
    }
    for blob in &prepared.blobs {
        let mut found = vec![0; blob.bytes.len()];
        disk.read_exact_at(blob.offset, &mut found).context("reading what is beside the partitions")?;
        if found != blob.bytes {
            return Err(Problem::new(format!("{} at byte {} is not what was planned", blob.name, blob.offset)).into());
        }
    }
    Ok(())
}

fn disk(prepared: &Prepared, both: bool, disk: &Source) -> Result<()> {
    beside(prepared, disk)?;
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
