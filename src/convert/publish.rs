//! Gives checked results their final names, all or none.

use super::bills;
use super::check::Checked;
use super::emit::WrittenOutputs;
use super::hooks;
use super::outputs::{Outputs, Pending};
use super::provisioning;
use super::record::{OutputRecord, Record};
use super::write::WrittenConversion;
use super::{Conversion, Prepared};
use crate::digest::{Digest, hex, sha256};
use crate::fs::ext4::{self, FileLayout};
use crate::keyfile::private_key_in;
use crate::plan::hooks::{Hook, Stage};
use crate::plan::output::{CYCLONEDX, ImageForm, PROVENANCE, SPDX};
use crate::plan::provisioning::{IDP, OS_LIST};
use crate::problem::Problem;
use crate::report::Report;
use crate::stream::{Content, FileSource};
use anyhow::{Context, Result};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// Gives checked results their final names, all or none, with the record, the bills of materials
/// and what hooks staged; `jobs` threads read files.
///
/// # Errors
/// I/O errors; hooks that fail or stage what cannot be published.
pub(super) fn publish(checked: Checked, jobs: usize, report: &dyn Report) -> Result<Conversion> {
    let Checked { written, digests } = checked;
    let bills = bills::write(&written, &digests, jobs, report)?;
    let more = for_tools(&written, report)?;
    let WrittenConversion {
        prepared,
        root,
        files,
        mut outputs,
        ..
    } = written;
    let output = &prepared.plan.output;
    let name = &prepared.plan.name;
    let mut record = Record::new(&prepared);
    record.root.sha256 = Some(hex(&files.root_sha256));
    record.input.sha256 = input_digest(&prepared, report)?;
    let staged = after_image(&prepared, &outputs, &record, &files, report)?;
    let map = files.block_map.map(|map| map.to_xml());
    let map = map
        .map(|xml| text_file(&outputs, &format!("{name}.img.bmap"), &xml))
        .transpose()?;
    let layout = output.file_layout.then(|| file_layout(&root)).transpose()?;
    let layout = layout
        .map(|layout| text_file(&outputs, &format!("{name}.places"), &layout.to_text()))
        .transpose()?;
    let root_sha256 = files.root_sha256;
    let as_written = matches!(output.image, ImageForm::Raw | ImageForm::Compressed(_));
    let files = [
        ("image", files.image),
        ("bmap", map),
        ("artifact", Some(files.artifact)),
        ("rootfs", files.rootfs),
        ("places", layout),
    ];
    for (kind, pending) in files {
        let Some(pending) = pending else { continue };
        let digest = match kind {
            "rootfs" => Some(root_sha256),
            "artifact" => Some(digests.artifact),
            // Hashing a raw image would take longer than all else: its block map has checksums. A
            // statement about it needs one.
            "image" if as_written && (digests.image.is_some() || !output.sbom.provenance) => {
                digests.image
            }
            _ => Some(digest(pending.file())?),
        };
        record.outputs.push(describe(kind, &pending, digest)?);
        outputs.finish(pending);
    }
    for (kind, pending) in bills.into_iter().chain(more) {
        let digest = digest(pending.file())?;
        record.outputs.push(describe(kind, &pending, Some(digest))?);
        outputs.finish(pending);
    }
    for pending in staged {
        let digest = digest(pending.file())?;
        record
            .outputs
            .push(describe("hook", &pending, Some(digest))?);
        outputs.finish(pending);
    }
    for pending in finish(&prepared, &outputs, &mut record)? {
        outputs.finish(pending);
    }
    for path in outputs.replaced()? {
        report.note(&format!(
            "{} of an earlier conversion is replaced: its bytes were others",
            path.display()
        ));
    }
    let files = outputs.publish()?;
    Ok(Conversion { record, files })
}

/// What the provisioner and the imager of the Raspberry Pi read, each with its kind.
fn for_tools(
    written: &WrittenConversion,
    report: &dyn Report,
) -> Result<Vec<(&'static str, Pending)>> {
    let (prepared, outputs) = (&written.prepared, &written.outputs);
    let output = &prepared.plan.output;
    let mut out = Vec::new();
    if let Some(plan) = &output.idp {
        report.step("writing the archive for the provisioner", None);
        let filesystems = written.filesystems()?;
        let pending = provisioning::archive(prepared, plan, filesystems, outputs)?;
        out.push(("idp", pending));
    }
    if let (Some(plan), Some(image)) = (&output.imager, &written.files.image) {
        report.step("writing the manifest for the imager", None);
        let disk = written.planned_disk()?;
        let file = target_name(image);
        let size = image.file().metadata()?.len();
        let manifest = provisioning::manifest(prepared, plan, &disk, (&file, size))?;
        out.push(("imager", text_file(outputs, &manifest.0, &manifest.1)?));
    }
    Ok(out)
}

/// The record, which is complete but for the statement about what it lists, and that statement if
/// it is planned. The statement has the digest of the record, so the record has none of it.
fn finish(prepared: &Prepared, outputs: &Outputs, record: &mut Record) -> Result<Vec<Pending>> {
    let plan = &prepared.plan;
    let json = format!("{}.json", plan.name);
    if !plan.output.sbom.provenance {
        return Ok(vec![text_file(outputs, &json, &record.json()?)?]);
    }
    let inputs = bills::inputs(prepared, record.input.sha256.as_deref())?;
    // Its length does not depend on that digest.
    let statement = |record: &Record, digest| bills::statement(prepared, record, &inputs, digest);
    let size = statement(record, Digest::default()).len() as u64;
    let name = format!("{}.{PROVENANCE}", plan.name);
    record.outputs.push(OutputRecord {
        kind: "provenance",
        file: name.clone(),
        size,
        sha256: None,
    });
    let text = record.json()?;
    let sum = Sha256::digest(&text).into();
    let statement = statement(record, sum);
    Ok(vec![
        text_file(outputs, &name, &statement)?,
        text_file(outputs, &json, &text)?,
    ])
}

/// Runs the hooks of the stage `after-image`; the files that they staged, by name.
fn after_image(
    prepared: &Prepared,
    outputs: &Outputs,
    record: &Record,
    files: &WrittenOutputs,
    report: &dyn Report,
) -> Result<Vec<Pending>> {
    let plan = &prepared.plan;
    let written = WrittenFiles(files);
    let mut hook_input = serde_json::to_value(record)?;
    for (kind, pending) in written.iter() {
        let path = std::path::absolute(pending.temporary())?;
        hook_input["files"][kind] = path.to_string_lossy().into();
    }
    let ends = ["json", "img.bmap", "places", CYCLONEDX, SPDX, PROVENANCE];
    let ends = ends.into_iter().chain([IDP, OS_LIST]);
    let mut taken: Vec<String> = ends
        .map(|extension| format!("{}.{extension}", plan.name))
        .collect();
    taken.extend(written.iter().map(|(_, pending)| target_name(pending)));
    let mut staged = Vec::new();
    let hooks = plan.hooks.iter();
    for hook in hooks.filter(|hook| hook.stage == Stage::AfterImage) {
        let before = written.states()?;
        let dir = hooks::run(hook, &hook_input, plan.stamp.time, &[], report)?;
        if before != written.states()? {
            let hint = "change a copy of it, in the staging directory";
            return Err(refused(hook, "changed what was written and checked", hint).into());
        }
        for entry in std::fs::read_dir(dir.path("output"))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !entry.file_type()?.is_file() || name.starts_with('.') || taken.contains(&name) {
                let what = format!("staged {name}, which cannot be put next to the results");
                let hint = "stage plain files under names of their own";
                return Err(refused(hook, &what, hint).into());
            }
            no_private_key(hook, &entry.path(), &name)?;
            let pending = outputs.create(&name)?;
            std::io::copy(&mut File::open(entry.path())?, &mut pending.file())
                .map_err(|e| pending.writing(e))?;
            taken.push(name);
            staged.push(pending);
        }
    }
    staged.sort_by(|a, b| a.target().cmp(b.target()));
    Ok(staged)
}

fn refused(hook: &Hook, what: &str, hint: &str) -> Problem {
    let path = hook.path.display();
    Problem::new(format!("the after-image hook {path} {what}")).hint(hint)
}

/// Refuses a staged file with a private key: what is published goes to others.
fn no_private_key(hook: &Hook, path: &Path, name: &str) -> Result<()> {
    let file = FileSource::open(path).with_context(|| format!("reading {}", path.display()))?;
    match private_key_in(&file).with_context(|| format!("reading {}", path.display()))? {
        None => Ok(()),
        Some(key) => {
            let what = format!("staged {name}, which holds a private key ({})", key.form);
            let hint = "write keys to a place of your own, not to the staging directory";
            Err(refused(hook, &what, hint).into())
        }
    }
}

/// The written files that hooks may read.
struct WrittenFiles<'w>(&'w WrittenOutputs);

impl WrittenFiles<'_> {
    fn iter(&self) -> impl Iterator<Item = (&'static str, &Pending)> {
        let files = [
            ("image", self.0.image.as_ref()),
            ("artifact", Some(&self.0.artifact)),
            ("rootfs", self.0.rootfs.as_ref()),
        ];
        files
            .into_iter()
            .filter_map(|(kind, pending)| Some((kind, pending?)))
    }

    /// The length and time of each, which change when a hook writes to one.
    fn states(&self) -> std::io::Result<Vec<(u64, Option<std::time::SystemTime>)>> {
        let state = |(_, pending): (_, &Pending)| {
            let metadata = pending.file().metadata()?;
            Ok((metadata.len(), metadata.modified().ok()))
        };
        self.iter().map(state).collect()
    }
}

/// The SHA-256 of the golden image as it is stored, if the plan asks for it.
fn input_digest(prepared: &Prepared, report: &dyn Report) -> Result<Option<String>> {
    if !prepared.plan.output.input_digest {
        return Ok(None);
    }
    let reading = "reading the golden image";
    report.step("hashing the golden image", None);
    let Some(stored) = prepared.golden.input.stored().context(reading)? else {
        return Ok(None);
    };
    Ok(Some(hex(&sha256(&stored).context(reading)?)))
}

fn digest(file: &File) -> Result<Digest> {
    let file = file.try_clone()?;
    let len = file.metadata()?.len();
    Ok(sha256(&FileSource::new(file, len))?)
}

fn describe(kind: &'static str, pending: &Pending, digest: Option<Digest>) -> Result<OutputRecord> {
    Ok(OutputRecord {
        kind,
        file: target_name(pending),
        size: pending.file().metadata()?.len(),
        sha256: digest.map(|digest| hex(&digest)),
    })
}

/// The final name of a file, without directories.
fn target_name(pending: &Pending) -> String {
    pending
        .target()
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// The file layout of the root filesystem.
fn file_layout(root: &Content) -> Result<FileLayout> {
    let root = ext4::read::Filesystem::open(Arc::new(root.clone()));
    root.and_then(|root| root.file_layout())
        .context("listing the file layout")
}

/// A file with this text.
fn text_file(outputs: &Outputs, name: &str, text: &str) -> Result<Pending> {
    let pending = outputs.create(name)?;
    pending
        .file()
        .write_all_at(text.as_bytes(), 0)
        .map_err(|e| pending.writing(e))?;
    Ok(pending)
}
