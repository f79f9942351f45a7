//! Reads the result back and holds it against the plan.

use super::emit::{Form, Written};
use super::prepare::Prepared;
use super::readback::Frames;
use crate::artifact::{self, Severity, Signer};
use crate::fs::{ext4, fat};
use crate::image::source;
use crate::image::table::Table;
use crate::problem::{Problem, Problems};
use crate::stream::{Compression, FileSource, Slice, Source};
use crate::verify;
use anyhow::{Context, Result};
use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

/// How much of an Artifact is read at once (bytes).
const BUFFER: usize = 1 << 18;

/// Opens what was written with the readers that know nothing of how it was made: the partition table, the boot filesystem, the root
/// filesystem in each slot that has one (`both`), the data filesystem.
///
/// # Errors
/// A [`Problem`] that says what differs from the plan.
pub(crate) fn image(prepared: &Prepared, form: Form, both: bool, written: &Written) -> Result<()> {
    if !matches!(form, Form::Stream(_)) {
        let file = written.image.file().try_clone()?;
        let len = file.metadata()?.len();
        let image = source::in_place(Arc::new(FileSource::new(file, len))).context("reading the image back")?;
        disk(prepared, both, &image).context("reading the image back")?;
    }
    Ok(())
}

/// Runs the whole verification on an image that is no stream, and its Artifact.
///
/// # Errors
/// All its errors as [`Problems`].
pub(crate) fn verified(prepared: &Prepared, written: &Written) -> Result<()> {
    let open = |file: &std::fs::File| -> Result<Source> {
        let file = file.try_clone()?;
        let len = file.metadata()?.len();
        Ok(Arc::new(FileSource::new(file, len)))
    };
    let verifier = prepared.signer.as_ref().map(Signer::verifier);
    let artifact = Some(open(written.artifact.file())?);
    let image = source::in_place(open(written.image.file())?).context("reading the image back")?;
    let outcome = verify::image(&image, &verify::Request { artifact, key: verifier.as_ref(), field: None });
    let errors = outcome.findings.iter().filter(|finding| finding.severity == verify::Severity::Error);
    Problems(errors.map(|finding| Problem::new(finding.to_string())).collect()).check()?;
    Ok(())
}

fn disk(prepared: &Prepared, both: bool, disk: &Source) -> Result<()> {
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
pub(crate) fn artifact(prepared: &Prepared, file: &File, frames: &[Range<u64>], jobs: usize) -> Result<()> {
    examine(prepared, file, frames, jobs).context("reading the Artifact back")
}

fn examine(prepared: &Prepared, mut file: &File, frames: &[Range<u64>], jobs: usize) -> Result<()> {
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::with_capacity(BUFFER, file);
    let verifier = prepared.signer.as_ref().map(Signer::verifier);
    let examined = match prepared.meta.codec.kind() {
        Compression::None => artifact::validate(&mut reader, verifier.as_ref())?,
        kind => Frames { file, kind, places: frames }
            .unpacked(jobs, |data| artifact::validate_unpacked(&mut reader, data, verifier.as_ref()))?,
    };
    match examined.findings.iter().find(|finding| finding.severity == Severity::Error) {
        None => Ok(()),
        Some(finding) => Err(Problem::new(format!("{} ({})", finding.text, finding.code)).into()),
    }
}
