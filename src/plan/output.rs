//! The files that a conversion writes.

use super::board::first;
use super::host::HostFiles;
use super::provisioning::{IDP, IdpPlan, ImagerPlan, OS_LIST};
use crate::config::{self, Config};
use crate::golden::Golden;
use crate::problem::{Problem, Problems};
use crate::stream::{Codec, Compression};
use crate::units::KIB;

/// The form of the disk image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageForm {
    /// The bytes of the disk, as a sparse file.
    Raw,
    /// A stream of compressed frames.
    Compressed(Codec),
    /// QEMU's copy-on-write format, version 3.
    Qcow2,
    /// The sparse format of Android's `fastboot`.
    AndroidSparse,
    /// No image is written.
    None,
}

/// The outputs besides the Artifact and the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputPlan {
    /// The form of the disk image.
    pub image: ImageForm,
    /// The extension of its name, such as `img.gz`; `None` if no image is written.
    pub extension: Option<&'static str>,
    /// Whether a block map is written; only for raw and compressed images.
    pub block_map: bool,
    /// Whether the root filesystem is written as a file of its own.
    pub rootfs: bool,
    /// Whether the file layout of the root filesystem is written.
    pub file_layout: bool,
    /// Whether the record gets the SHA-256 of the golden image.
    pub input_digest: bool,
    /// The bills of materials.
    pub sbom: SbomPlan,
    /// The archive for Raspberry Pi's provisioner.
    pub idp: Option<IdpPlan>,
    /// The manifest for Raspberry Pi Imager.
    pub imager: Option<ImagerPlan>,
    /// A note about the settings of the imager.
    imager_note: Option<String>,
}

/// The statements about what is in the results and where it came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SbomPlan {
    /// Whether a bill in CycloneDX is written.
    pub cyclonedx: bool,
    /// Whether a bill in SPDX is written.
    pub spdx: bool,
    /// Whether the statement about inputs and results is written.
    pub provenance: bool,
    /// The e-mail address or URL of who makes the device.
    pub creator: Option<String>,
}

impl SbomPlan {
    fn new(output: &config::Output) -> Self {
        let has = |format| output.sbom.contains(&format);
        Self {
            cyclonedx: has(config::SbomFormat::Cyclonedx),
            spdx: has(config::SbomFormat::Spdx),
            provenance: has(config::SbomFormat::Provenance),
            creator: output.sbom_creator.clone(),
        }
    }

    /// Whether a bill of materials is written.
    #[must_use]
    pub fn has_bill(&self) -> bool {
        self.cyclonedx || self.spdx
    }

    /// What is appended to the base name of each file that is written.
    pub fn extensions(&self) -> impl Iterator<Item = &'static str> {
        let all = [
            (self.cyclonedx, CYCLONEDX),
            (self.spdx, SPDX),
            (self.provenance, PROVENANCE),
        ];
        all.into_iter()
            .filter_map(|(wanted, name)| wanted.then_some(name))
    }

    /// A note that the bills do not say who made them.
    fn note(&self) -> Option<String> {
        let nameless = self.has_bill() && self.creator.is_none();
        nameless.then(|| {
            "the bills of materials do not say who made them, which BSI TR-03183-2 asks for; \
             set output.sbom-creator to an e-mail address or a URL"
                .to_owned()
        })
    }
}

/// The extension of the bill of materials in CycloneDX, as that format recommends.
pub const CYCLONEDX: &str = "cdx.json";
/// The extension of the bill of materials in SPDX 3, as that format recommends.
pub const SPDX: &str = "spdx3.json";
/// The extension of the statement about inputs and results.
pub const PROVENANCE: &str = "provenance.json";

impl OutputPlan {
    /// # Errors
    /// A compression level that the compressor does not have; a disk that the image's format cannot
    /// describe; a block map of no image; what the tools of the Raspberry Pi cannot take.
    pub(super) fn new(config: &Config, golden: &Golden) -> Result<Self, Problems> {
        let mut plan = Self::of(config, golden.input.form.is_compressed())?;
        if let Some(imager) = plan.imager.take() {
            let (imager, note) = imager.with_golden(golden, config);
            (plan.imager, plan.imager_note) = (Some(imager), note);
        }
        Ok(plan)
    }

    /// The files of `config`, for a golden image that is `compressed` or not.
    fn of(config: &Config, compressed: bool) -> Result<Self, Problems> {
        let output = &config.output;
        let mut problems = Problems::default();
        let form = form(config).map_err(|problem| problems.push(problem));
        let idp = IdpPlan::new(config).map_err(|more| problems.0.extend(more.0));
        let imager = ImagerPlan::new(config).map_err(|more| problems.0.extend(more.0));
        problems.check()?;
        let (image, extension) = form.unwrap_or((ImageForm::None, None));
        let sbom = SbomPlan::new(output);
        // A statement about where results came from must say from which image.
        let input_digest = output.input_digest.or(sbom.provenance.then_some(true));
        Ok(Self {
            image,
            extension,
            block_map: output.bmap && matches!(image, ImageForm::Raw | ImageForm::Compressed(_)),
            rootfs: output.rootfs,
            file_layout: output.file_layout,
            input_digest: input_digest.unwrap_or(compressed),
            sbom,
            idp: idp.unwrap_or_default(),
            imager: imager.unwrap_or_default(),
            imager_note: None,
        })
    }

    /// What follows the base name and a dot in the names of the results.
    pub fn extensions(&self) -> impl Iterator<Item = &'static str> {
        let all = [
            self.extension,
            self.block_map.then_some("img.bmap"),
            Some("mender"),
            Some("json"),
            self.rootfs.then_some("ext4"),
            self.file_layout.then_some("places"),
            self.idp.as_ref().map(|_| IDP),
            self.imager.as_ref().map(|_| OS_LIST),
        ];
        all.into_iter().flatten().chain(self.sbom.extensions())
    }

    /// Notes for the user.
    pub(super) fn notes(&self) -> impl Iterator<Item = String> {
        self.sbom.note().into_iter().chain(self.imager_note.clone())
    }
}

fn form(config: &Config) -> Result<(ImageForm, Option<&'static str>), Problem> {
    // The least size is a multiple of the alignment.
    let total = config.storage.size.unwrap_or(config.storage.alignment);
    let (kind, extension) = match config.output.image {
        config::ImageFormat::Raw => return Ok((ImageForm::Raw, Some("img"))),
        config::ImageFormat::Qcow2 => return Ok((ImageForm::Qcow2, Some("qcow2"))),
        config::ImageFormat::AndroidSparse if !total.is_multiple_of(4 * KIB) => {
            let message = format!(
                "a disk of {total} bytes cannot be an Android sparse image, which has blocks of \
                 4096 bytes"
            );
            let hint = "set storage.size to a multiple of \"4 KiB\"";
            return Err(Problem::new(message).hint(hint));
        }
        config::ImageFormat::AndroidSparse => return Ok((ImageForm::AndroidSparse, Some("simg"))),
        config::ImageFormat::None => {
            return no_block_map(config).map(|()| (ImageForm::None, None));
        }
        config::ImageFormat::Gz => (Compression::Gzip, "img.gz"),
        config::ImageFormat::Xz => (Compression::Xz, "img.xz"),
        config::ImageFormat::Zst => (Compression::Zstd, "img.zst"),
    };
    let codec = Codec::new(kind, config.output.level)
        .map_err(|e| Problem::new(format!("output.level: {e}")))?;
    Ok((ImageForm::Compressed(codec), Some(extension)))
}

/// Fails if the configuration says that a block map is written; by default it is if there is
/// something to map.
fn no_block_map(config: &Config) -> Result<(), Problem> {
    let asked = config
        .location("output.bmap")
        .filter(|_| config.output.bmap);
    asked.map_or(Ok(()), |location| {
        let message = format!("{location}: output.bmap asks for the block map of an image, and output.image = \"none\" for no image");
        Err(Problem::new(message).hint("remove one of them"))
    })
}

/// The problem of a base name that is too long for a file name with what is appended to it, the
/// longest of it is `.img.bmap`.
///
/// # Errors
/// Names of more than 255 bytes, the limit of Linux.
pub(super) fn check_name(name: &str, plan: &OutputPlan) -> Result<(), Problem> {
    const LIMIT: usize = 255;
    let longest = plan.extensions().max_by_key(|end| end.len());
    let end = format!(".{}", longest.unwrap_or_default());
    let len = name.len().saturating_add(end.len());
    if len <= LIMIT {
        return Ok(());
    }
    let message = format!(
        "the name of an output would have {len} bytes, {} of the base name and {} of {end}; names \
         of files have at most {LIMIT}",
        name.len(),
        end.len()
    );
    let most = LIMIT.saturating_sub(end.len());
    Err(Problem::new(message).hint(format!("set output.name to a name of at most {most} bytes")))
}

/// The names of the files that a conversion by `config` writes, sorted, without those that hooks
/// stage.
///
/// # Errors
/// That the golden image or the command line has to decide about a part of the names.
pub fn file_names(config: &Config, host: &HostFiles) -> Result<Vec<String>, Problem> {
    let undecided = |what: &str, hint: &str| {
        let message =
            format!("the configuration has no {what}, so the names of its results are not known");
        Problem::new(message).hint(format!("{hint}, or name a built-in board in `config`"))
    };
    let device_types = config.board.device_type.as_ref();
    let Some(device_type) = device_types.and_then(|types| types.first()) else {
        return Err(undecided("device type", "set board.device-type"));
    };
    let Some(release) = config
        .artifact
        .name
        .as_ref()
        .filter(|name| !name.is_empty())
    else {
        return Err(Problem::new("the Artifact has no name").hint("set artifact.name"));
    };
    // Whether the golden image is compressed decides about no file.
    let plan = OutputPlan::of(config, false).map_err(first)?;
    let name = base_name(config, host, device_type, release);
    let ends = plan.extensions();
    let mut names: Vec<String> = ends.map(|end| format!("{name}.{end}")).collect();
    names.sort();
    Ok(names)
}

/// The base name of all outputs: as configured, or `<input>-<device type>-<release>`.
pub(super) fn base_name(
    config: &Config,
    host: &HostFiles,
    device_type: &str,
    release: &str,
) -> String {
    config
        .output
        .name
        .clone()
        .unwrap_or_else(|| format!("{}-{device_type}-{release}", host.stem()).replace('/', "_"))
}
