//! A conversion: everything prepared is written, looked at once more, and given its names.

use super::check;
use super::emit::{Disk, Emission, Form, Names};
use super::outputs::{Outputs, Pending};
use super::prepare::Prepared;
use super::record::{Output, Record, hex};
use super::wrapped::Wrap;
use crate::config::{Config, ImageFormat, SlotB};
use crate::image::source::Input;
use crate::problem::Problem;
use crate::report::Report;
use crate::stream::{Codec, Compression};
use crate::units::KIB;
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
    /// Whether the whole verification runs on the result; without it, it is only read back.
    pub verify: bool,
}

/// Writes image, Artifact and record into `dir`.
///
/// # Errors
/// Whatever stands in the way; nothing then has a final name, and what had one before is untouched.
pub fn write(prepared: &Prepared, config: &Config, file: String, dir: &Path, how: How, report: &dyn Report) -> Result<Made> {
    let mut outputs = Outputs::new(dir)?;
    let form = form(config, prepared.layout.total)?;
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
        map: config.output.bmap && !matches!(form, Form::Wrapped(_)),
        meta: &prepared.meta,
        signer: prepared.signer.as_ref(),
        jobs: how.jobs,
        report,
    };
    let name = &prepared.name;
    let names = Names {
        image: format!("{name}.{}", ending(config.output.image)),
        artifact: format!("{name}.mender"),
        rootfs: config.output.rootfs.then(|| format!("{name}.ext4")),
    };
    keep_golden(prepared, dir, &names)?;
    let data = |sha256: &[u8; 32]| prepared.data_image(sha256);
    let written = emission.run(&outputs, &names, &data).map_err(|error| blame(&prepared.input, error))?;
    report.step("checking what was written", None);
    let checking = check::How { form, both: emission.disk.copy_to_b, report };
    if how.verify {
        let planned = emission.disk.content(&data(&written.root_sha256)?);
        check::verified(prepared, &checking, &written, planned).context("verifying the image")
    } else {
        check::written(prepared, &checking, &written)
    }
    .map_err(|error| blame(&prepared.input, error))?;
    prepared.input.check_unchanged().map_err(|error| error.problem()).context("reading the golden image")?;
    let mut record = Record::new(prepared, file);
    record.root.sha256 = Some(hex(&written.root_sha256));
    let map = written.map.map(|map| text(&outputs, &format!("{name}.img.bmap"), &map.to_xml())).transpose()?;
    let pending = [("image", Some(written.image)), ("bmap", map), ("artifact", Some(written.artifact)), ("rootfs", written.rootfs)];
    for (kind, pending) in pending {
        let Some(pending) = pending else { continue };
        record.outputs.push(describe(kind, &pending)?);
        outputs.finish(pending);
    }
    outputs.finish(text(&outputs, &format!("{name}.json"), &record.json()?)?);
    let files = outputs.publish()?;
    Ok(Made { record, files })
}

/// The better reason for `error`: that the input was changed while it was read, where that is so.
pub(super) fn blame(input: &Input, error: anyhow::Error) -> anyhow::Error {
    match input.check_unchanged() {
        Err(changed) => anyhow::Error::from(changed.problem()).context("reading the golden image"),
        Ok(()) => error,
    }
}

/// Fails when an output would take the place of the golden image.
fn keep_golden(prepared: &Prepared, dir: &Path, names: &Names) -> Result<(), Problem> {
    let taken = [Some(&names.image), Some(&names.artifact), names.rootfs.as_ref()].into_iter().flatten();
    match taken.map(|name| dir.join(name)).find(|path| prepared.input.is_at(path)) {
        None => Ok(()),
        Some(path) => Err(Problem::new(format!("the output {} would replace the golden image", path.display()))
            .hint("name another --output-dir, or set output.name")),
    }
}

fn describe(kind: &'static str, pending: &Pending) -> Result<Output> {
    let file = pending.target().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Output { kind, file, size: pending.file().metadata()?.len() })
}

/// A file with this text.
fn text(outputs: &Outputs, name: &str, text: &str) -> Result<Pending> {
    let pending = outputs.create(name)?;
    pending.file().write_all_at(text.as_bytes(), 0).map_err(|e| pending.writing(e))?;
    Ok(pending)
}

fn form(config: &Config, total: u64) -> Result<Form> {
    let kind = match config.output.image {
        ImageFormat::Raw => return Ok(Form::Raw),
        ImageFormat::Qcow2 => return Ok(Form::Wrapped(Wrap::Qcow2)),
        ImageFormat::AndroidSparse if !total.is_multiple_of(4 * KIB) => {
            let message = format!("a disk of {total} bytes cannot be an Android sparse image, which has blocks of 4096 bytes");
            return Err(Problem::new(message).hint("set storage.size to a multiple of \"4 KiB\"").into());
        }
        ImageFormat::AndroidSparse => return Ok(Form::Wrapped(Wrap::AndroidSparse)),
        ImageFormat::Gz => Compression::Gzip,
        ImageFormat::Xz => Compression::Xz,
        ImageFormat::Zst => Compression::Zstd,
    };
    Ok(Form::Stream(Codec::new(kind, config.output.level)?))
}

fn ending(image: ImageFormat) -> &'static str {
    match image {
        ImageFormat::Raw => "img",
        ImageFormat::Gz => "img.gz",
        ImageFormat::Xz => "img.xz",
        ImageFormat::Zst => "img.zst",
        ImageFormat::Qcow2 => "qcow2",
        ImageFormat::AndroidSparse => "simg",
    }
}
