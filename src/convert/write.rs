//! A conversion: everything prepared is written, looked at once more, and given its names.

use crate::compress::cache::Cache;
use crate::config::{Config, ImageFormat, SlotB};
use crate::convert::check;
use crate::convert::emit::{DiskParts, Emission, OutputFormat, OutputNames, WrittenOutputs};
use crate::convert::hooks::{self, Stage};
use crate::convert::outputs::{Outputs, Pending};
use crate::convert::prepare::Prepared;
use crate::convert::record::{Output, Record};
use crate::digest::{Digest, hex, sha256};
use crate::fs::ext4::{self, FileLayout};
use crate::image::output::container::Container;
use crate::image::source::Input;
use crate::problem::Problem;
use crate::report::Report;
use crate::stream::{Codec, Compression, Content, FileSource};
use crate::units::KIB;
use anyhow::{Context, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
pub struct How<'a> {
    /// Threads, at least 1.
    pub jobs: usize,
    /// Whether the whole verification runs on the result; without it, it is only read back.
    pub verify: bool,
    /// Frames of earlier conversions.
    pub cache: Option<&'a Cache>,
}

/// Writes image, Artifact and record into `dir`.
///
/// # Errors
/// Whatever stands in the way; nothing then has a final name, and what had one before is untouched.
pub fn write(
    mut prepared: Prepared,
    file: String,
    dir: &Path,
    how: How,
    report: &dyn Report,
) -> Result<Made> {
    let mut outputs = Outputs::new(dir)?;
    let form = form(&prepared.config, prepared.layout.total)?;
    let fixed = prepared.fixed()?;
    let (root, boot) = (prepared.root_image()?, prepared.boot_image()?);
    let prepared = &prepared;
    let config = &prepared.config;
    let emission = Emission {
        disk: DiskParts {
            layout: prepared.layout,
            unpartitioned: &fixed,
            boot: &boot,
            root: &root,
            copy_to_b: config.root.slot_b == SlotB::Copy,
        },
        format: form,
        block_map: config.output.bmap && !matches!(form, OutputFormat::Container(_)),
        meta: &prepared.meta,
        signer: prepared.signer.as_ref(),
        jobs: how.jobs,
        cache: how.cache,
        report,
    };
    let name = &prepared.name;
    let names = OutputNames {
        image: format!("{name}.{}", ending(config.output.image)),
        artifact: format!("{name}.mender"),
        rootfs: config.output.rootfs.then(|| format!("{name}.ext4")),
    };
    keep_golden(prepared, dir, &names)?;
    let data = |sha256: &[u8; 32]| prepared.data_image(sha256);
    let written = emission
        .run(&outputs, &names, &data)
        .map_err(|error| blame(&prepared.input, error))?;
    if let Some(cache) = how.cache {
        cache.report_usage(report);
    }
    report.step("checking what was written", None);
    let checking = check::How {
        fixed: &fixed,
        both: emission.disk.copy_to_b,
        report,
    };
    let planned = how
        .verify
        .then(|| data(&written.root_sha256).map(|data| emission.disk.content(&data)))
        .transpose()?;
    let sums = check::written(prepared, &checking, &written, planned)
        .map_err(|error| blame(&prepared.input, error))?;
    prepared
        .input
        .check_unchanged()
        .map_err(|error| error.problem())
        .context("reading the golden image")?;
    let mut record = Record::new(prepared, file);
    record.root.sha256 = Some(hex(&written.root_sha256));
    record.input.sha256 = input_digest(prepared, config, report)?;
    let extra = after_image(prepared, &outputs, &record, &written, report)?;
    let map = written
        .block_map
        .map(|map| text(&outputs, &format!("{name}.img.bmap"), &map.to_xml()))
        .transpose()?;
    let places = config
        .output
        .file_layout
        .then(|| places(&root))
        .transpose()?;
    let places = places
        .map(|places| text(&outputs, &format!("{name}.places"), &places.to_text()))
        .transpose()?;
    let files = [
        ("image", Some(written.image)),
        ("bmap", map),
        ("artifact", Some(written.artifact)),
        ("rootfs", written.rootfs),
    ];
    let pending = files.into_iter().chain([("places", places)]);
    let pending: Vec<(&str, Pending)> = pending
        .filter_map(|(kind, pending)| Some((kind, pending?)))
        .collect();
    for (kind, pending) in pending {
        let sum = match kind {
            "rootfs" => Some(written.root_sha256),
            "artifact" => Some(sums.artifact),
            // Summing up a raw image would take longer than all else: its block map has the sums.
            "image" if !matches!(form, OutputFormat::Container(_)) => sums.image,
            _ => Some(sum(pending.file())?),
        };
        record.outputs.push(describe(kind, &pending, sum)?);
        outputs.finish(pending);
    }
    for pending in extra {
        let sum = sum(pending.file())?;
        record.outputs.push(describe("hook", &pending, Some(sum))?);
        outputs.finish(pending);
    }
    outputs.finish(text(&outputs, &format!("{name}.json"), &record.json()?)?);
    let files = outputs.publish()?;
    Ok(Made { record, files })
}

/// Runs the hooks that come after the image, and takes what they staged.
fn after_image(
    prepared: &Prepared,
    outputs: &Outputs,
    record: &Record,
    written: &WrittenOutputs,
    report: &dyn Report,
) -> Result<Vec<Pending>> {
    let programs = crate::convert::prepare::hooks(&prepared.config)
        .filter(|(stage, _)| *stage == Stage::AfterImage);
    let made = [
        ("image", Some(&written.image)),
        ("artifact", Some(&written.artifact)),
        ("rootfs", written.rootfs.as_ref()),
    ];
    let made = || {
        made.iter()
            .filter_map(|(kind, pending)| Some((*kind, (*pending)?)))
    };
    let mut told = serde_json::to_value(record)?;
    for (kind, pending) in made() {
        told["files"][kind] = std::path::absolute(pending.temporary())?
            .to_string_lossy()
            .into();
    }
    let states = || {
        made()
            .map(|(_, pending)| {
                pending
                    .file()
                    .metadata()
                    .map(|m| (m.len(), m.modified().ok()))
            })
            .collect::<Vec<_>>()
    };
    let mut taken: Vec<String> = ["json", "img.bmap", "places"]
        .map(|ending| format!("{}.{ending}", prepared.name))
        .into();
    taken.extend(made().filter_map(|(_, pending)| {
        Some(pending.target().file_name()?.to_string_lossy().into_owned())
    }));
    let mut extra = Vec::new();
    for (stage, program) in programs {
        let before: Vec<_> = states().into_iter().collect::<std::io::Result<_>>()?;
        let staged = hooks::run(stage, program, &told, prepared.stamp.time, report)?;
        let after: Vec<_> = states().into_iter().collect::<std::io::Result<_>>()?;
        let hook = format!("the after-image hook {}", program.display());
        if before != after {
            return Err(
                Problem::new(format!("{hook} changed what was written and checked"))
                    .hint("change a copy of it, in the staging directory")
                    .into(),
            );
        }
        for entry in std::fs::read_dir(staged.dir("output"))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !entry.file_type()?.is_file() || name.starts_with('.') || taken.contains(&name) {
                let problem = Problem::new(format!(
                    "{hook} staged {name}, which cannot be put beside the results"
                ));
                return Err(problem
                    .hint("stage plain files under names of their own")
                    .into());
            }
            let pending = outputs.create(&name)?;
            std::io::copy(&mut std::fs::File::open(entry.path())?, &mut pending.file())
                .map_err(|e| pending.writing(e))?;
            taken.push(name);
            extra.push(pending);
        }
    }
    extra.sort_by(|a, b| a.target().cmp(b.target()));
    Ok(extra)
}

/// The better reason for `error`: that the input was changed while it was read, where that is so.
pub(crate) fn blame(input: &Input, error: anyhow::Error) -> anyhow::Error {
    match input.check_unchanged() {
        Err(changed) => anyhow::Error::from(changed.problem()).context("reading the golden image"),
        Ok(()) => error,
    }
}

/// Fails when an output would take the place of the golden image.
fn keep_golden(prepared: &Prepared, dir: &Path, names: &OutputNames) -> Result<(), Problem> {
    let taken = [
        Some(&names.image),
        Some(&names.artifact),
        names.rootfs.as_ref(),
    ]
    .into_iter()
    .flatten();
    match taken
        .map(|name| dir.join(name))
        .find(|path| prepared.input.is_at(path))
    {
        None => Ok(()),
        Some(path) => Err(Problem::new(format!(
            "the output {} would replace the golden image",
            path.display()
        ))
        .hint("name another --output-dir, or set output.name")),
    }
}

/// The sum of the golden image, where it costs little or is asked for.
fn input_digest(
    prepared: &Prepared,
    config: &Config,
    report: &dyn Report,
) -> Result<Option<String>> {
    let input = &prepared.input;
    if !config
        .output
        .input_digest
        .unwrap_or(input.form.is_compressed())
    {
        return Ok(None);
    }
    report.step("summing up the golden image", None);
    let Some(stored) = input.stored().context("reading the golden image")? else {
        return Ok(None);
    };
    Ok(Some(hex(
        &sha256(&stored).context("reading the golden image")?
    )))
}

fn sum(file: &File) -> Result<Digest> {
    let file = file.try_clone()?;
    let len = file.metadata()?.len();
    Ok(sha256(&FileSource::new(file, len))?)
}

fn describe(kind: &'static str, pending: &Pending, sum: Option<Digest>) -> Result<Output> {
    let file = pending
        .target()
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    Ok(Output {
        kind,
        file,
        size: pending.file().metadata()?.len(),
        sha256: sum.map(|sum| hex(&sum)),
    })
}

/// Where the root filesystem has its files.
fn places(root: &Content) -> Result<FileLayout> {
    let root =
        ext4::read::Filesystem::open(Arc::new(root.clone())).and_then(|root| root.file_layout());
    root.context("listing the places of files")
}

/// A file with this text.
fn text(outputs: &Outputs, name: &str, text: &str) -> Result<Pending> {
    let pending = outputs.create(name)?;
    pending
        .file()
        .write_all_at(text.as_bytes(), 0)
        .map_err(|e| pending.writing(e))?;
    Ok(pending)
}

fn form(config: &Config, total: u64) -> Result<OutputFormat> {
    let kind = match config.output.image {
        ImageFormat::Raw => return Ok(OutputFormat::Raw),
        ImageFormat::Qcow2 => return Ok(OutputFormat::Container(Container::Qcow2)),
        ImageFormat::AndroidSparse if !total.is_multiple_of(4 * KIB) => {
            let message = format!(
                "a disk of {total} bytes cannot be an Android sparse image, which has blocks of 4096 bytes"
            );
            return Err(Problem::new(message)
                .hint("set storage.size to a multiple of \"4 KiB\"")
                .into());
        }
        ImageFormat::AndroidSparse => return Ok(OutputFormat::Container(Container::AndroidSparse)),
        ImageFormat::Gz => Compression::Gzip,
        ImageFormat::Xz => Compression::Xz,
        ImageFormat::Zst => Compression::Zstd,
    };
    Ok(OutputFormat::Stream(Codec::new(kind, config.output.level)?))
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
