//! Reads the result back and holds it against the plan.

use super::emit::{Form, Written};
use super::outputs::Pending;
use super::prepare::Prepared;
use super::streamed::Streamed;
use crate::artifact::{self, Severity, Signer};
use crate::fs::{ext4, fat};
use crate::image::source;
use crate::image::table::Table;
use crate::problem::{Problem, Problems};
use crate::report::Report;
use crate::stream::{Content, FileSource, Slice, Source};
use crate::verify;
use anyhow::{Context, Result};
use std::io::{Seek, SeekFrom};
use std::sync::Arc;

/// What a check needs to know of how the result was written.
pub(crate) struct How<'a> {
    pub(crate) form: Form,
    /// Whether slot B holds what slot A does.
    pub(crate) both: bool,
    /// Where progress goes.
    pub(crate) report: &'a dyn Report,
}

/// Opens what was written with the readers that know nothing of how it was made: the partition table, the boot filesystem, the root
/// filesystem in each slot that has one, the data filesystem, and the Artifact with all its checksums.
///
/// # Errors
/// A [`Problem`] that says what differs from the plan.
pub(crate) fn written(prepared: &Prepared, how: &How<'_>, written: &Written) -> Result<()> {
    if !matches!(how.form, Form::Stream(_)) {
        let image = source::in_place(opened(&written.image)?).context("reading the image back")?;
        disk(prepared, how.both, &image).context("reading the image back")?;
    }
    artifact(prepared, written).context("reading the Artifact back")
}

/// Runs the whole verification on the image and its Artifact. An image that is a stream is decoded once and must be `planned`, which
/// is verified in its place.
///
/// # Errors
/// All its errors as [`Problems`].
pub(crate) fn verified(prepared: &Prepared, how: &How<'_>, written: &Written, planned: Content) -> Result<()> {
    let verifier = prepared.signer.as_ref().map(Signer::verifier);
    let artifact = Some(opened(&written.artifact)?);
    let request = verify::Request { artifact, key: verifier.as_ref(), field: None, root_sha256: Some(written.root_sha256) };
    let stored = opened(&written.image)?;
    let outcome = if let (Form::Stream(codec), Some(frames)) = (how.form, &written.frames) {
        let planned = Arc::new(planned);
        let stream = Streamed { image: &stored, kind: codec.kind(), layout: &prepared.layout, frames };
        let (root_len, payload) = (prepared.root_size, opened(&written.artifact)?);
        std::thread::scope(|scope| {
            let decoded = scope.spawn(|| stream.check(&planned, root_len, &payload));
            let outcome = verify::image(&(Arc::clone(&planned) as Source), &request);
            decoded.join().expect("the thread that decodes the image").context("reading the image back")?;
            Ok::<_, anyhow::Error>(outcome)
        })?
    } else {
        let image = source::in_place(stored).context("reading the image back")?;
        table(prepared, &image).context("reading the image back")?;
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

/// The table is the planned one.
fn table(prepared: &Prepared, disk: &Source) -> Result<()> {
    let table = Table::read(&**disk)?;
    if table.partitions != prepared.table.partitions || table.disk_id != prepared.table.disk_id {
        return Err(Problem::new("the partition table is not the planned one").into());
    }
    Ok(())
}

fn disk(prepared: &Prepared, both: bool, disk: &Source) -> Result<()> {
    table(prepared, disk)?;
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

fn artifact(prepared: &Prepared, written: &Written) -> Result<()> {
    let mut file = written.artifact.file();
    file.seek(SeekFrom::Start(0))?;
    let verifier = prepared.signer.as_ref().map(Signer::verifier);
    let examined = artifact::validate(&mut file, verifier.as_ref())?;
    match examined.findings.iter().find(|finding| finding.severity == Severity::Error) {
        None => Ok(()),
        Some(finding) => Err(Problem::new(format!("{} ({})", finding.text, finding.code)).into()),
    }
}
