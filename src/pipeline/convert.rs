//! A conversion: everything prepared is written, looked at once more, and given its names.

use super::check;
use super::emit::{Disk, Emission, Form, Names};
use super::outputs::{Outputs, Pending};
use super::prepare::Prepared;
use super::record::{Output, Record, hex};
use crate::config::{Config, ImageFormat, SlotB};
use crate::problem::Problem;
use crate::report::Report;
use crate::stream::{Codec, Compression};
use anyhow::{Context, Result};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What a conversion made.
#[derive(Debug)]
pub struct Made {
    /// All about it, as in `<name>.json`.
    pub record: Record,
    /// The files, each with its final name.
    pub files: Vec<PathBuf>,
}

/// How a conversion is written.
#[derive(Clone, Copy, Debug)]
pub struct How {
    /// Threads, at least 1.
    pub jobs: usize,
    /// Whether the whole verification runs on the image.
    pub verify: bool,
}

/// Writes image, Artifact and record into `dir`.
///
/// # Errors
/// Whatever stands in the way; nothing then has a final name, and what had one before is untouched.
pub fn write(prepared: &Prepared, config: &Config, file: String, dir: &Path, how: How, report: &dyn Report) -> Result<Made> {
    let mut outputs = Outputs::new(dir)?;
    let form = form(config)?;
    if how.verify && form != Form::Raw {
        let problem = Problem::new("only a raw image can be verified while it is made");
        return Err(problem.hint("leave out --verify and run `goldsmith verify` on the result").into());
    }
    let tables = prepared.table.encode(prepared.layout.total).context("making the partition table")?;
    let (root, boot) = (prepared.root_image()?, prepared.boot_image()?);
    let emission = Emission {
        disk: Disk {
            layout: prepared.layout,
            tables: &tables,
            boot: &boot,
            root: &root,
            copy_to_b: config.root.slot_b == SlotB::Copy,
        },
        form,
        meta: &prepared.meta,
        signer: prepared.signer.as_ref(),
        jobs: how.jobs,
        report,
    };
    let name = &prepared.name;
    let names = Names {
        image: format!("{name}.img{}", ending(config.output.image)),
        artifact: format!("{name}.mender"),
        rootfs: config.output.rootfs.then(|| format!("{name}.ext4")),
    };
    let written = emission.run(&outputs, &names, &|sha256| prepared.data_image(sha256))?;
    report.step("checking what was written", None);
    check::written(prepared, form, &written)?;
    if how.verify {
        report.step("verifying the image", None);
        check::verified(prepared, &written).context("verifying the image")?;
    }
    prepared.input.check_unchanged().context("reading the golden image")?;
    let mut record = Record::new(prepared, file);
    record.root.sha256 = Some(hex(&written.root_sha256));
    let pending = [("image", Some(written.image)), ("artifact", Some(written.artifact)), ("rootfs", written.rootfs)];
    for (kind, pending) in pending {
        let Some(pending) = pending else { continue };
        record.outputs.push(describe(kind, &pending)?);
        outputs.finish(pending);
    }
    let json = outputs.create(&format!("{name}.json"))?;
    json.file().write_all_at(record.json()?.as_bytes(), 0).with_context(|| format!("writing {}", json.target().display()))?;
    outputs.finish(json);
    let files = outputs.publish()?;
    Ok(Made { record, files })
}

fn describe(kind: &'static str, pending: &Pending) -> Result<Output> {
    let file = pending.target().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Output { kind, file, size: pending.file().metadata()?.len() })
}

fn form(config: &Config) -> Result<Form> {
    let kind = match config.output.image {
        ImageFormat::Raw => return Ok(Form::Raw),
        ImageFormat::Gz => Compression::Gzip,
        ImageFormat::Xz => Compression::Xz,
        ImageFormat::Zst => Compression::Zstd,
    };
    Ok(Form::Stream(Codec::new(kind, config.output.level)?))
}

fn ending(image: ImageFormat) -> &'static str {
    match image {
        ImageFormat::Gz => ".gz",
        ImageFormat::Xz => ".xz",
        ImageFormat::Zst => ".zst",
        ImageFormat::Raw => "",
    }
}
