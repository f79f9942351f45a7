//! Writes the results of a conversion, under temporary names.

use super::disk_parts::DiskParts;
use super::emit::{Emission, OutputFormat, OutputNames, WrittenOutputs, common_chunk_lengths};
use super::layout::Images;
use super::outputs::Outputs;
use super::{Prepared, Request};
use crate::compress::cache::{Cache, FrameCounts};
use crate::compress::parallel::threads;
use crate::image::output::container::Container;
use crate::plan::Plan;
use crate::plan::output::ImageForm;
use crate::plan::provisioning::{IDP, OS_LIST};
use crate::problem::Problem;
use crate::stream::Content;
use anyhow::Result;
use std::path::Path;

/// How results are written and checked.
#[derive(Clone, Copy, Debug)]
pub struct WriteOptions<'a> {
    /// Threads, at least 1; their number changes no byte.
    pub jobs: usize,
    /// Whether the results must pass all checks of `verify`; otherwise they are only read back.
    pub verify: bool,
    /// Compressed chunks of earlier conversions.
    pub cache: Option<&'a Cache>,
}

/// Results that are written and have no final names yet.
pub(super) struct WrittenConversion {
    /// The plan and its inputs.
    pub(super) prepared: Prepared,
    /// Everything outside the partitions, by offset.
    pub(super) unpartitioned: Vec<(u64, Vec<u8>)>,
    /// The filesystems of the boot partitions, each as long as its partition.
    boots: Vec<Content>,
    /// The same, one after the other.
    boot: Content,
    /// The root filesystem, as long as itself and not as its slot.
    pub(super) root: Content,
    pub(super) files: WrittenOutputs,
    /// The output directory.
    pub(super) outputs: Outputs,
}

impl WrittenConversion {
    /// The disk as it was planned, with the data filesystem for the written root filesystem.
    ///
    /// # Errors
    /// As [`Prepared::data_image`].
    pub(super) fn planned_disk(&self) -> Result<Content> {
        let data = self.prepared.data_image(&self.files.root_sha256)?;
        let disk = disk(&self.prepared, &self.unpartitioned, &self.boot, &self.root);
        Ok(disk.content(&data))
    }

    /// The filesystems of the partitions, in the order of
    /// [`PartitionSet::roles`](crate::plan::family::PartitionSet::roles).
    ///
    /// # Errors
    /// As [`Prepared::data_image`].
    pub(super) fn filesystems(&self) -> Result<Vec<Content>> {
        let data = self.prepared.data_image(&self.files.root_sha256)?;
        let root = || self.root.clone();
        let mut all = self.boots.clone();
        all.extend([root(), root(), data]);
        Ok(all)
    }
}

/// The parts of the disk that are known before the root filesystem is read.
pub(super) fn disk<'a>(
    prepared: &Prepared,
    unpartitioned: &'a [(u64, Vec<u8>)],
    boot: &'a Content,
    root: &'a Content,
) -> DiskParts<'a> {
    DiskParts {
        layout: prepared.layout.extents,
        unpartitioned,
        boot,
        root,
        copy_to_b: prepared.plan.root.copy_to_b,
    }
}

/// Writes image, Artifact and, if planned, the root filesystem into `dir`, under temporary names.
///
/// # Errors
/// I/O errors; an output that would replace the golden image; a filesystem that cannot hold its
/// files.
pub(super) fn write(
    mut prepared: Prepared,
    dir: &Path,
    options: WriteOptions,
    request: &Request,
) -> Result<WrittenConversion> {
    let report = request.report;
    let outputs = Outputs::new(dir)?;
    if let Some(warning) = prepared.check_outputs(dir)? {
        report.warn(&warning);
    }
    let unpartitioned = prepared.unpartitioned()?;
    let Images { root, boot, boots } = std::mem::take(&mut prepared.images);
    let (plan, golden) = (&prepared.plan, &prepared.golden);
    let mut emission = Emission {
        disk: disk(&prepared, &unpartitioned, &boot, &root),
        format: match plan.output.image {
            ImageForm::Raw => OutputFormat::Raw,
            ImageForm::Compressed(codec) => OutputFormat::Stream(codec),
            ImageForm::Qcow2 => OutputFormat::Container(Container::Qcow2),
            ImageForm::AndroidSparse => OutputFormat::Container(Container::AndroidSparse),
            ImageForm::None => OutputFormat::None,
        },
        block_map: plan.output.block_map,
        meta: &plan.artifact,
        signer: plan.signer.as_ref(),
        jobs: options.jobs,
        cache: options.cache,
        known_digests: request.shared.map(|shared| &shared.digests),
        known_roots: request.shared.map(|shared| &shared.roots),
        judged: prepared.judged.clone(),
        frames: FrameCounts::default(),
        report,
    };
    let codecs = emission.codecs();
    emission.jobs = threads(options.jobs, &codecs, common_chunk_lengths(&codecs));
    if emission.jobs < options.jobs {
        report.note(&format!(
            "{} of {} threads compress, so that they take less than 1 GiB of memory",
            emission.jobs, options.jobs
        ));
    }
    let names = names(plan);
    let data = |sha256: &[u8; 32]| prepared.data_image(sha256);
    let files = emission
        .run(&outputs, &names, &data)
        .map_err(|error| golden.or_input_changed(error))?;
    Ok(WrittenConversion {
        prepared,
        unpartitioned,
        boots,
        boot,
        root,
        files,
        outputs,
    })
}

/// The names of the large outputs.
fn names(plan: &Plan) -> OutputNames {
    let name = &plan.name;
    OutputNames {
        image: plan
            .output
            .extension
            .map(|extension| format!("{name}.{extension}")),
        artifact: format!("{name}.mender"),
        rootfs: plan.output.rootfs.then(|| format!("{name}.ext4")),
    }
}

/// Fails when an output would replace the golden image or a directory in `dir`.
pub(super) fn check_names(prepared: &Prepared, dir: &Path) -> Result<(), Problem> {
    let plan = &prepared.plan;
    let OutputNames {
        image,
        artifact,
        rootfs,
    } = names(plan);
    let output = &plan.output;
    let with = |extension: &str| format!("{}.{extension}", plan.name);
    let block_map = output.block_map.then(|| with("img.bmap"));
    let layout = output.file_layout.then(|| with("places"));
    let record = Some(with("json"));
    let bills: Vec<String> = output.sbom.extensions().map(with).collect();
    let idp = output.idp.as_ref().map(|_| with(IDP));
    let list = output.imager.as_ref().map(|_| with(OS_LIST));
    let names = [
        image,
        Some(artifact),
        record,
        rootfs,
        block_map,
        layout,
        idp,
        list,
    ];
    let names = names.into_iter().flatten().chain(bills);
    for path in names.map(|name| dir.join(name)) {
        let what = if prepared.golden.input.is_at(&path) {
            "the golden image"
        } else if path.is_dir() {
            "a directory"
        } else {
            continue;
        };
        return Err(Problem::new(format!(
            "the output {} would replace {what}",
            path.display()
        ))
        .hint("name another --output-dir, or set output.name"));
    }
    Ok(())
}
