//! Everything before the first byte is written: the input is read, planned, edited in memory and
//! measured. `plan` ends here.

use crate::artifact::{ChecksumKey, Draft, KeyFile, Meta, Signer, SoftwareVersion, StateScript};
use crate::boot;
use crate::config::{self, Config};
use crate::convert::hooks::{Hook, Stage, Staged};
use crate::convert::write::blame;
use crate::dpkg;
use crate::edit::apply::{Edited, edit};
use crate::edit::changes::{Edit, net};
use crate::fs::{ext4, fat};
use crate::golden::disk::{Boot, Root, Survey};
use crate::golden::facts::{self, Facts};
use crate::golden::origin::Platform;
use crate::image::source::Input;
use crate::image::table;
use crate::plan::board::{self, Image};
use crate::plan::boot_mount::boot_mount;
use crate::plan::bootloader;
use crate::plan::family::{Family, Naming, Role};
use crate::plan::layout::{Layout, Needs};
use crate::plan::raw::{self, Blob};
use crate::plan::sizes::{boot_options, boot_size, data_size, fitting, root_size, table};
use crate::platform::Bootloader;
use crate::platform::TableKind;
use crate::problem::{Problem, Problems, Usage};
use crate::report::Report;
use crate::stamp::{Stamp, Time};
use crate::stream::{Codec, Compression};
use crate::tree::{DirEntry, Stat, Tree};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// What the user asked for.
pub struct Request<'a> {
    /// The merged configuration.
    pub config: &'a Config,
    /// The golden image.
    pub disk: &'a Path,
    /// More overlays of the root filesystem, after those of the configuration.
    pub overlays: &'a [PathBuf],
    /// The places of an earlier release's files, which are kept.
    pub like: Option<std::sync::Arc<ext4::FileLayout>>,
    /// `SOURCE_DATE_EPOCH`, in seconds.
    pub epoch: Option<i64>,
    /// Whether the hooks run.
    pub hooks: bool,
    /// Where progress goes.
    pub report: &'a dyn Report,
}

/// The three filesystems of the result.
#[derive(Debug)]
pub struct Trees {
    /// Root, the same in both slots.
    pub root: Tree,
    /// The boot partition.
    pub boot: Tree,
    /// The data partition, without what depends on the checksum of the root filesystem.
    pub data: Tree,
}

/// A conversion that is ready to be written.
#[derive(Debug)]
pub struct Prepared {
    /// The configuration, with the board beneath it that the image is for.
    pub config: Config,
    /// The input, kept open.
    pub input: Input,
    /// Its table and partitions.
    pub survey: Survey,
    /// The number of the golden root partition and what its superblock said.
    pub golden_root: (u32, ext4::read::Info),
    /// The number of the golden boot partition.
    pub golden_boot: Option<u32>,
    /// What the root tree revealed.
    pub facts: Facts,
    /// Who made the image and what starts it.
    pub platform: Platform,
    /// The base of the names of all outputs.
    pub name: String,
    /// Device types; the first is the device's.
    pub device_types: Vec<String>,
    /// Time and identities.
    pub stamp: Stamp,
    /// The contract of the family.
    pub family: Family,
    /// Where everything goes.
    pub layout: Layout,
    /// The partition table.
    pub table: table::Table,
    /// What is written beside the partitions, by offset.
    pub blobs: Vec<Blob>,
    /// The hooks of the configuration.
    pub hooks: Vec<Hook>,
    /// What of the golden image lies in front of the boot partition: offsets and bytes.
    pub gap: Vec<(u64, Vec<u8>)>,
    /// The filesystems.
    pub trees: Trees,
    /// Size of the root filesystem, in bytes.
    pub root_size: u64,
    /// Options of the root filesystem.
    pub root_options: ext4::write::Options,
    /// Options of the data filesystem.
    pub data_options: ext4::write::Options,
    /// Options of the boot filesystem.
    pub boot_options: fat::Options,
    /// The Artifact.
    pub meta: Meta,
    /// Who signs it.
    pub signer: Option<Signer>,
    /// Where the boot partition is mounted on the device.
    pub boot_mount: String,
    /// What the boot integration found and did.
    pub boot: boot::InstalledLoader,
    /// Packages that were installed.
    pub packages: Vec<dpkg::InstalledPackage>,
    /// Paths that differ from the golden image.
    pub edits: Vec<Edit>,
    /// What the user should read.
    pub notes: Vec<String>,
    /// What hooks staged: kept, since its files are read when the image is written.
    pub(crate) _staged: Vec<Staged>,
}

/// Reads, plans, edits and measures.
///
/// # Errors
/// What reading the input said, or all problems of the plan at once.
pub fn prepare(request: &Request, input: Input) -> Result<Prepared> {
    let golden = Golden::read(request.config, request.report, &input)
        .map_err(|error| blame(&input, error))?;
    let (config, note) = golden.settle(request.config)?;
    let request = &Request {
        config: &config,
        like: request.like.clone(),
        ..*request
    };
    let mut plan = Plan::new(request, &golden)?;
    plan.notes.extend(note);
    let edited = edit(request, &plan, &golden).map_err(|error| blame(&input, error))?;
    request.report.step("measuring", None);
    plan.measured(request, input, golden, edited)
}

/// `config` as the golden image completes it: with the board beneath it that the image is for,
/// where it names none.
///
/// # Errors
/// What reading the input said; that no board can be chosen.
pub fn settled(config: &Config, report: &dyn Report, input: &Input) -> Result<Config> {
    let golden = Golden::read(config, report, input).map_err(|error| blame(input, error))?;
    let chosen = board::settle(config, golden.image()).map_err(Usage::from)?;
    Ok(chosen.0)
}

/// What was read of the golden image.
pub(crate) struct Golden {
    pub(crate) survey: Survey,
    pub(crate) root: Root,
    pub(crate) boot: Option<Boot>,
    pub(crate) facts: Facts,
    platform: Platform,
}

impl Golden {
    fn read(config: &Config, report: &dyn Report, input: &Input) -> Result<Self> {
        report.step("reading the golden image", None);
        let survey = Survey::new(std::sync::Arc::clone(&input.source))?;
        let root = survey.root(config.root.partition)?;
        let boot = survey.boot(config.boot.partition)?;
        let facts = facts::gather(&root.tree).context("looking at the root filesystem")?;
        let platform = board::platform(&facts, &root, boot.as_ref())
            .context("looking at the root filesystem")?;
        Ok(Self {
            survey,
            root,
            boot,
            facts,
            platform,
        })
    }

    pub(crate) fn image(&self) -> Image<'_> {
        Image {
            facts: &self.facts,
            platform: &self.platform,
        }
    }

    /// The configuration with its board, and what the user should read; fails where the image
    /// contradicts it.
    fn settle(&self, config: &Config) -> Result<(Config, Option<String>)> {
        if self.facts.architecture.is_none() {
            let message = "the architecture of the image cannot be told: /bin/sh is missing or is no program known here";
            return Err(Problem::new(message).into());
        }
        board::check(config, self.image())?;
        let mut wrong = Problems::default();
        let settled = board::settle(config, self.image())
            .map_err(|problem| wrong.push(problem))
            .ok();
        if config.artifact.name.as_ref().is_none_or(String::is_empty) {
            wrong.push(
                Problem::new("no Artifact name is given")
                    .hint("name the release: --artifact-name release-1"),
            );
        }
        wrong.check().map_err(Usage)?;
        settled.ok_or_else(|| Problem::new("no board is chosen").into())
    }
}

/// Names and identities: what can be said before any edit.
pub(crate) struct Plan {
    name: String,
    pub(crate) artifact_name: String,
    pub(crate) device_types: Vec<String>,
    pub(crate) stamp: Stamp,
    pub(crate) family: Family,
    pub(crate) boot_mount: String,
    pub(crate) loader: Bootloader,
    meta: Meta,
    signer: Option<Signer>,
    notes: Vec<String>,
}

impl Plan {
    /// Decides, or returns everything that is wrong.
    fn new(request: &Request, golden: &Golden) -> Result<Self> {
        let Golden {
            survey, root, boot, ..
        } = golden;
        let config = request.config;
        let device_types = config.board.device_type.clone().unwrap_or_default();
        let artifact_name = config.artifact.name.clone().unwrap_or_default();
        let stamp = Stamp {
            time: time(request, root),
            family: device_types.first().cloned().unwrap_or_default(),
        };
        let mut notes = Vec::new();
        let family = family(config, &stamp, survey, &mut notes)?;
        notes.extend(
            survey
                .table
                .warnings
                .iter()
                .map(|warning| format!("partition table: {warning}")),
        );
        let (signer, note) = signer(config)?;
        notes.extend(note);
        let meta = meta(config, &artifact_name, &device_types, &stamp)?;
        let stem = stem(request.disk);
        let name = config.output.name.clone().unwrap_or_else(|| {
            format!("{stem}-{}-{artifact_name}", device_types[0]).replace('/', "_")
        });
        let loader = bootloader::choose(config, &root.tree, boot.as_ref().map(|boot| &boot.tree));
        let boot_mount = config
            .boot
            .mount
            .clone()
            .unwrap_or_else(|| boot_mount(&root.tree, loader));
        Ok(Self {
            name,
            artifact_name,
            device_types,
            stamp,
            family,
            boot_mount,
            loader,
            meta,
            signer,
            notes,
        })
    }

    /// Runs the hooks of one stage before the image is written, when hooks run; `edited` are the
    /// paths that were changed so far.
    pub(crate) fn run_hooks(
        &self,
        request: &Request,
        golden: &Golden,
        stage: Stage,
        edited: &[(&str, String)],
    ) -> Result<Vec<Staged>> {
        let programs = hooks(request.config).filter(|(when, _)| *when == stage && request.hooks);
        let file = request
            .disk
            .file_name()
            .map_or_else(|| "-".into(), |name| name.to_string_lossy().into_owned());
        let told = serde_json::json!({
            "format": 1,
            "input": file,
            "system": golden.facts.os,
            "architecture": golden.facts.architecture.map(crate::platform::Architecture::name),
            "maker": golden.platform.maker,
            "model": golden.platform.model,
            "boards": request.config.built_upon(),
            "device_types": self.device_types,
            "artifact_name": self.artifact_name,
            "name": self.name,
            "time": self.stamp.time.seconds,
            "disk_id": self.family.disk_id_text(),
            "slots": [self.family.path(Role::RootA), self.family.path(Role::RootB)],
            "boot_mount": self.boot_mount,
            "edited": edited.iter().map(|(filesystem, path)| serde_json::json!({ "filesystem": filesystem, "path": path })).collect::<Vec<_>>(),
        });
        let run = |program: &Path| {
            crate::convert::hooks::run(stage, program, &told, self.stamp.time, request.report)
        };
        Ok(programs
            .map(|(_, program)| run(program))
            .collect::<Result<Vec<_>, Problem>>()?)
    }

    /// Measures the edited trees and places everything.
    fn measured(
        self,
        request: &Request,
        input: Input,
        golden: Golden,
        edited: Edited,
    ) -> Result<Prepared> {
        let config = request.config;
        let Golden {
            survey,
            root,
            boot,
            facts,
            platform,
        } = golden;
        let Edited {
            trees,
            installed,
            packages,
            changes,
            blobs,
            staged,
            notes,
        } = edited;
        let label = root.info.label.clone();
        let uuid = |configured: Option<crate::stamp::Uuid>, purpose: &str| {
            configured.unwrap_or_else(|| self.stamp.uuid(purpose))
        };
        let seed = self.stamp.uuid("directory hash");
        let mut root_options = ext4::write::Options::new(
            uuid(config.root.uuid, "root filesystem"),
            seed,
            self.stamp.time,
        );
        root_options.label = label;
        root_options.preserve_layout.clone_from(&request.like);
        let mut data_options = ext4::write::Options::new(
            uuid(config.data.uuid, "data filesystem"),
            seed,
            self.stamp.time,
        );
        data_options.label = b"data".to_vec();
        let minimum = ext4::write::minimum_size(&trees.root, &root_options)
            .context("measuring the root filesystem")?;
        let root_size = root_size(config, minimum, request.like.as_ref().map(|like| like.size))?;
        let boot_options = boot_options(&self.stamp, boot.as_ref());
        let needs = Needs {
            total: config.storage.size,
            alignment: config.storage.alignment,
            margins: bootloader::margins(self.loader),
            boot: boot_size(config, boot.as_ref(), &trees.boot, &boot_options)?,
            root: root_size,
            data: data_size(config, &trees.data, &data_options)?,
        };
        let layout = Layout::new(&needs).map_err(|problem| fitting(problem, config, minimum))?;
        let table = table(&self.family, self.loader, &layout);
        let gap = bootloader::gap(config, &self, &survey, &layout)?;
        // What writing would refuse is found before anything is written, and by `plan`.
        let tables = table
            .encode(layout.total)
            .context("making the partition table")?;
        raw::check(
            &blobs,
            &layout,
            &tables,
            &bootloader::reserved(config, &gap),
        )?;
        Draft::new(&self.meta, root_size, self.signer.as_ref()).context("making the Artifact")?;
        let golden_boot_tree = boot.as_ref().map_or_else(
            || Tree::new(trees.boot.root.stat.clone()),
            |boot| boot.tree.clone(),
        );
        let empty = Tree::new(trees.data.root.stat.clone());
        let mut edits = net("root", &root.tree, &trees.root, &changes.root);
        edits.extend(net("boot", &golden_boot_tree, &trees.boot, &changes.boot));
        edits.extend(net("data", &empty, &trees.data, &changes.data));
        Ok(Prepared {
            config: config.clone(),
            input,
            survey,
            golden_root: (root.partition.number, root.info),
            golden_boot: boot.map(|boot| boot.partition.number),
            facts,
            platform,
            name: self.name,
            device_types: self.device_types,
            stamp: self.stamp,
            family: self.family,
            layout,
            table,
            blobs,
            hooks: hooks(config)
                .map(|(stage, program)| Hook::new(stage, program))
                .collect(),
            gap,
            trees,
            root_size,
            root_options,
            data_options,
            boot_options,
            meta: self.meta,
            signer: self.signer,
            boot_mount: self.boot_mount,
            boot: installed,
            packages,
            edits,
            notes: self.notes.into_iter().chain(notes).collect(),
            _staged: staged,
        })
    }
}

/// The time that everything made carries: `SOURCE_DATE_EPOCH`, or the newest change of a file in
/// the golden root filesystem. Files that claim to be newer than the last write to their filesystem
/// are no witnesses.
fn time(request: &Request, root: &Root) -> Time {
    if let Some(seconds) = request.epoch {
        return Time { seconds, nanos: 0 };
    }
    let limit = root.info.write_time.seconds;
    let mut newest = 0;
    let mut look = |stat: &Stat| {
        if stat.mtime.seconds <= limit {
            newest = newest.max(stat.mtime.seconds);
        }
    };
    root.tree.visit(&mut |_, entry| match entry {
        DirEntry::Dir(dir) => look(&dir.stat),
        DirEntry::Leaf(id) => look(&root.tree.leaf(*id).stat),
    });
    Time {
        seconds: newest,
        nanos: 0,
    }
}

/// The contract of the family: derived, where the configuration says nothing else.
fn family(
    config: &Config,
    stamp: &Stamp,
    survey: &Survey,
    notes: &mut Vec<String>,
) -> Result<Family> {
    let scheme = match config.storage.table {
        config::TableChoice::Gpt => TableKind::Gpt,
        config::TableChoice::Mbr => TableKind::Mbr,
        config::TableChoice::Keep => survey.table.kind(),
    };
    let naming = match &config.storage.device {
        config::Device::PartUuid => Naming::Partuuid,
        config::Device::Disk(disk) => Naming::Device(disk.clone()),
    };
    let mut family = Family::derive(stamp, scheme, naming);
    match (config.storage.disk_id, scheme) {
        (Some(config::DiskId::Gpt(id)), TableKind::Gpt) => family.disk_guid = id,
        (Some(config::DiskId::Mbr(id)), TableKind::Mbr) => family.disk_id = id,
        (Some(_), _) => {
            let message = format!(
                "storage.disk-id is not of the kind that the disk's {} has",
                scheme.name().to_uppercase()
            );
            let hint = "write 8 hexadecimal digits for an MBR, a GUID for a GPT, or choose the table with storage.table";
            return Err(Usage::from(Problem::new(message).hint(hint)).into());
        }
        (None, _) => {}
    }
    let ids = &config.storage.ids;
    for (guid, configured) in family
        .guids
        .iter_mut()
        .zip([ids.boot, ids.root_a, ids.root_b, ids.data])
    {
        *guid = configured.unwrap_or(*guid);
    }
    if scheme == TableKind::Mbr
        && [ids.boot, ids.root_a, ids.root_b, ids.data]
            .iter()
            .any(Option::is_some)
    {
        notes.push("storage.ids has no effect: an MBR keeps no ids of partitions".to_owned());
    }
    Ok(family)
}

fn signer(config: &Config) -> Result<(Option<Signer>, Option<String>)> {
    let Some(path) = &config.artifact.key else {
        return Ok((None, None));
    };
    let KeyFile { signer, exposed } = Signer::open(path)
        .with_context(|| format!("reading the signing key {}", path.display()))?;
    // Notes are part of the record, which no path of the host belongs in.
    let name = path.file_name().unwrap_or_default().display();
    let note = exposed.map(|mode| {
        format!("the key {name} can be read by others (mode {mode:04o}): chmod 600 keeps it yours")
    });
    Ok((Some(signer), note))
}

fn meta(config: &Config, name: &str, device_types: &[String], stamp: &Stamp) -> Result<Meta> {
    let artifact = &config.artifact;
    let kind = match artifact.compression {
        config::Compression::None => Compression::None,
        config::Compression::Gzip => Compression::Gzip,
        config::Compression::Xz => Compression::Xz,
        config::Compression::Zstd => Compression::Zstd,
    };
    Ok(Meta {
        name: name.to_owned(),
        group: artifact.group.clone(),
        device_types: device_types.to_vec(),
        depends_names: artifact.depends_names.clone(),
        depends_groups: artifact.depends_groups.clone(),
        provides: artifact.provides.clone(),
        depends: artifact.depends.clone(),
        clears: artifact.clears.clone(),
        software: SoftwareVersion {
            filesystem: Some(artifact.software_filesystem.clone()),
            name: artifact.software_name.clone(),
            version: artifact.software_version.clone(),
            no_default_version: !artifact.default_software_version,
        },
        checksum: ChecksumKey::default(),
        no_default_clears: !artifact.default_clears,
        scripts: scripts(&artifact.scripts)?,
        payload_name: artifact.payload_name.clone(),
        codec: Codec::new(kind, artifact.level.filter(|_| kind != Compression::None))?,
        time: u64::try_from(stamp.time.seconds).unwrap_or(0),
    })
}

/// State scripts from files and directories, sorted by name.
fn scripts(paths: &[PathBuf]) -> Result<Vec<StateScript>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            for entry in
                std::fs::read_dir(path).with_context(|| format!("reading {}", path.display()))?
            {
                files.push(entry?.path());
            }
        } else {
            files.push(path.clone());
        }
    }
    let read = |path: PathBuf| {
        let bytes = std::fs::read(&path)
            .with_context(|| format!("reading the state script {}", path.display()))?;
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        Ok(StateScript { name, bytes })
    };
    let mut scripts = files.into_iter().map(read).collect::<Result<Vec<_>>>()?;
    scripts.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(scripts)
}

/// The input's name without the endings of images and compressors.
fn stem(disk: &Path) -> String {
    let mut name = disk.file_name().map_or_else(
        || "image".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    );
    if name == "-" {
        return "image".to_owned();
    }
    for endings in [
        &[".gz", ".xz", ".zst", ".bz2", ".zip"][..],
        &[
            ".img", ".raw", ".qcow2", ".wic", ".sdimg", ".simg", ".iso", ".bin",
        ][..],
    ] {
        if let Some(rest) = endings
            .iter()
            .find_map(|ending| name.strip_suffix(ending))
            .filter(|rest| !rest.is_empty())
        {
            name = rest.to_owned();
        }
    }
    name
}

/// Every hook of the configuration, in the order in which they run.
pub(crate) fn hooks(config: &Config) -> impl Iterator<Item = (Stage, &Path)> {
    let hooks = &config.hooks;
    let all = [
        (Stage::BeforeEdits, &hooks.before_edits),
        (Stage::AfterEdits, &hooks.after_edits),
        (Stage::AfterImage, &hooks.after_image),
    ];
    all.into_iter().flat_map(|(stage, programs)| {
        programs
            .iter()
            .map(move |program| (stage, program.as_path()))
    })
}
