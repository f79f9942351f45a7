//! Decisions: the configuration and what the golden image is become a [`Plan`].
//!
//! A plan is a value in which every default is decided: names, identities, sizes, what is edited
//! and what is written. It can be printed, compared and tested without an image being written, and
//! it is made whole or not at all: [`Plan::new`] returns everything that is wrong. The
//! configuration is read here and in `cli` alone; all later steps ask the plan.

pub mod accepted;
pub mod artifact;
pub mod board;
pub mod boot;
pub mod boot_mount;
pub mod client;
pub mod conditions;
pub mod edits;
pub mod family;
pub mod file_layout;
pub mod filesystems;
pub mod hooks;
pub mod host;
pub mod layout;
pub mod mount_options;
pub mod output;
pub mod overlays;
pub mod packages;
pub mod partitions;
mod promises;
pub mod provisioning;
pub mod raw;
pub mod sanitize;
pub mod settings;
mod system;
pub mod trust;
mod tryboot;

#[cfg(test)]
mod tests;

use crate::artifact::{Meta, Signer};
use crate::config::{self, Config};
use crate::digest::Digest;
use crate::golden::{Golden, Selection, condition, mounted};
use crate::pattern::Pattern;
use crate::platform::{Bootloader, TableKind};
use crate::problem::{Problem, Problems};
use crate::stamp::{Stamp, Time};
use crate::tree::{DirEntry, Stat};
use accepted::AcceptedFiles;
use anyhow::Result;
use boot::BootPlan;
use client::ClientPlan;
use conditions::ImageFacts;
use edits::FileEdits;
use family::{Family, Naming, Role};
use filesystems::{DataPlan, RootPlan};
use hooks::Hook;
use host::HostFiles;
use output::OutputPlan;
use overlays::OverlayPlan;
use packages::PackagePlan;
use partitions::{PartitionPlans, Room};
use raw::RawPlan;
use sanitize::SanitizePlan;
use settings::SystemSettings;
use sha2::{Digest as _, Sha256};

/// The inputs of a plan, besides the golden image.
#[derive(Clone, Debug)]
pub struct PlanRequest<'a> {
    /// The configuration, merged from all files and settings.
    pub config: &'a Config,
    /// Files of the host, and what the command line says of them.
    pub host: HostFiles<'a>,
}

impl PlanRequest<'_> {
    /// The partitions of the golden image that the user named.
    #[must_use]
    pub fn selection(&self) -> Selection {
        selection(self.config)
    }

    /// The files of the golden image that the user accepts.
    #[must_use]
    pub fn accepted(&self) -> AcceptedFiles {
        AcceptedFiles::new(self.config)
    }

    /// Whether packages are installed, of which the update client may be one.
    #[must_use]
    pub fn installs_packages(&self) -> bool {
        let client = &self.config.client;
        !client.packages.is_empty() || client.bundle.is_some() || !client.install.is_empty()
    }

    /// The plan for `golden`.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn plan(&self, golden: &Golden) -> Result<Plan> {
        Plan::new(self.config, golden, &self.host)
    }
}

/// The partitions of the golden image that `config` names.
#[must_use]
pub fn selection(config: &Config) -> Selection {
    Selection {
        root: config.root.partition,
        boot: config.boot.partition,
        merge: partitions::merge_requests(config),
    }
}

/// Everything that a conversion does, decided; sizes and offsets that depend on the edited files
/// are left to the layout.
#[derive(Debug, PartialEq)]
pub struct Plan {
    /// The file name of the golden image, without directories; `-` for standard input.
    pub input_name: String,
    /// The base name of all outputs.
    pub name: String,
    /// SHA-256 of the configuration: of a line `key = value` for each key that has a value, in the
    /// order of the manual, but for `[cache]`, which affects no result. Secrets are `"***"`, paths
    /// as they are written.
    pub configuration: Digest,
    /// The built-in boards that the configuration builds upon.
    pub boards: Vec<String>,
    /// Device types, at least one; the first is that of the device itself.
    pub device_types: Vec<String>,
    /// The time of everything that is made, and the origin of derived identities.
    pub stamp: Stamp,
    /// The identities of disk and partitions, which all releases for these devices share.
    pub family: Family,
    /// Size and alignment of the disk.
    pub disk: DiskPlan,
    /// The boot partition and what starts the system.
    pub boot: BootPlan,
    /// The root filesystem and its two slots.
    pub root: RootPlan,
    /// The data partition and its filesystem.
    pub data: DataPlan,
    /// What becomes of each partition of the golden image.
    pub partitions: PartitionPlans,
    /// Files of the golden image that act by themselves, which the user accepts.
    pub accepted: AcceptedFiles,
    /// Traces of the golden machine that are taken away.
    pub sanitize: SanitizePlan,
    /// Debian packages to install.
    pub packages: PackagePlan,
    /// Directories of the host that are copied over the filesystems.
    pub overlays: OverlayPlan,
    /// Single files that are removed and edited, after that.
    pub file_edits: FileEdits,
    /// Units, host name, time zone, locale and users.
    pub settings: SystemSettings,
    /// Bytes outside the partitions.
    pub raw: RawPlan,
    /// Settings of the update client.
    pub client: ClientPlan,
    /// Name, dependencies, scripts and compression of the update Artifact.
    pub artifact: Meta,
    /// The key that signs the Artifact; `None` leaves it unsigned.
    pub signer: Option<Signer>,
    /// The user's programs, in the order in which they run.
    pub hooks: Vec<Hook>,
    /// The files of the golden image that hooks before the image can read.
    pub hook_files: Vec<Pattern>,
    /// The files to write.
    pub output: OutputPlan,
    /// Notes for the user, one sentence each.
    pub notes: Vec<String>,
}

/// The disk of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskPlan {
    /// The length of the image (bytes); `None` is the least on which everything fits.
    pub size: Option<u64>,
    /// Every partition starts at a multiple of this (bytes): a power of two, at least 1 MiB.
    pub alignment: u64,
}

impl DiskPlan {
    fn new(config: &Config) -> Self {
        Self {
            size: config.storage.size,
            alignment: config.storage.alignment,
        }
    }
}

impl Plan {
    /// Makes the plan for `golden`.
    ///
    /// # Errors
    /// [`Problems`] with everything that is wrong: first what is incomplete, then the rest.
    pub fn new(config: &Config, golden: &Golden, host: &HostFiles) -> Result<Self> {
        let (config, board_note) = complete(config, golden)?;
        let config = &config;
        let device_types = config.board.device_type.clone().unwrap_or_default();
        let release = config.artifact.name.clone().unwrap_or_default();
        let stamp = Stamp {
            time: time(host, golden),
            family: device_types.first().cloned().unwrap_or_default(),
        };
        let (family, mut notes) = family(config, &stamp, golden)?;
        notes.extend(table_notes(golden).chain(condition_notes(golden)));
        let mut problems = Problems::default();
        let mut keep = Keep(&mut problems);
        let signer = keep.one(artifact::signer(config));
        let meta = keep.one(artifact::meta(config, &release, &device_types, &stamp));
        let boot = keep.all(BootPlan::new(config, golden, &stamp));
        keep.all(tryboot::check(config, golden, family.scheme));
        let client = keep.all(ClientPlan::new(config));
        let packages = keep.all(PackagePlan::new(config, golden, host));
        let output = keep.all(OutputPlan::new(config, golden));
        let name = output::base_name(config, host, &stamp.family, &release);
        if let Some(output) = &output {
            keep.one(output::check_name(&name, output));
        }
        let raw = keep.all(RawPlan::new(config, ImageFacts::of(golden)));
        let edits = keep.all(configured_edits(config, golden));
        let room = boot.as_ref().zip(raw.as_ref()).map(|(boot, raw)| Room {
            boot,
            raw,
            scheme: family.scheme,
            alignment: config.storage.alignment,
        });
        let partitions = room.and_then(|room| keep.all(PartitionPlans::new(config, golden, &room)));
        problems.check()?;
        let (Some((signer, signer_note)), Some(artifact)) = (signer, meta) else {
            return Err(undecided());
        };
        let (Some(boot), Some(client), Some(packages), Some(output), Some(raw), Some(partitions)) =
            (boot, client, packages, output, raw, partitions)
        else {
            return Err(undecided());
        };
        let (file_edits, settings) = edits.ok_or_else(undecided)?;
        let (root, data, promises) =
            promises::filesystems(config, golden, host, &stamp, boot.loader)?;
        notes.extend(signer_note);
        notes.extend(output.notes());
        notes.extend(boot::kept_u_boot(config, golden));
        notes.extend(board_note);
        notes.extend(partitions.notes.iter().cloned());
        notes.extend(image_notes(config, golden, boot.loader).chain(promises));
        Ok(Self {
            input_name: host.input_name(),
            name,
            configuration: digest(config),
            boards: config.built_upon().to_vec(),
            device_types,
            family,
            disk: DiskPlan::new(config),
            boot,
            partitions,
            accepted: AcceptedFiles::new(config),
            sanitize: SanitizePlan::new(config),
            root,
            data,
            packages,
            overlays: OverlayPlan::new(config, ImageFacts::of(golden), host),
            file_edits,
            settings,
            raw,
            client,
            artifact,
            signer,
            hooks: hooks::hooks(config),
            hook_files: config.hooks.golden_files.clone().unwrap_or_default(),
            output,
            notes,
            stamp,
        })
    }
}

/// The edits that the configuration asks for by themselves.
fn configured_edits(
    config: &Config,
    golden: &Golden,
) -> Result<(FileEdits, SystemSettings), Problems> {
    let mut problems = Problems::default();
    let mut keep = Keep(&mut problems);
    let files = keep.all(FileEdits::new(config, ImageFacts::of(golden)));
    let settings = keep.all(SystemSettings::new(config));
    files.zip(settings).ok_or(problems)
}

/// Notes about the golden image.
fn image_notes(
    config: &Config,
    golden: &Golden,
    loader: Bootloader,
) -> impl Iterator<Item = String> {
    let notes = [
        filesystems::narrow_note(golden, loader),
        board::lost_start(config, ImageFacts::of(golden)),
        system::no_packages(golden),
    ];
    notes.into_iter().flatten()
}

impl Plan {
    /// Every secret text of the results, longest first, for those who show files of them.
    #[must_use]
    pub fn secrets(&self) -> Vec<&str> {
        let edits = self.file_edits.edit.iter();
        let edits = edits.filter_map(|edit| edit.secret.as_ref());
        let token = self.client.settings.get("TenantToken");
        let mut all: Vec<&str> = edits
            .map(host::SecretText::expose)
            .chain(token.and_then(|token| token.as_str()))
            .filter(|secret| !secret.is_empty())
            .collect();
        all.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        all
    }
}

/// The digest of all values of `config` that can affect the results.
fn digest(config: &Config) -> Digest {
    let mut hash = Sha256::new();
    let settings = config.origins().into_iter();
    for setting in settings.filter(|setting| !setting.key.starts_with("cache.")) {
        if let Some(value) = setting.value {
            hash.update(format!("{} = {value}\n", setting.key));
        }
    }
    hash.finalize().into()
}

/// Notes about the golden image's partition table.
fn table_notes(golden: &Golden) -> impl Iterator<Item = String> {
    let warnings = golden.disk.table.warnings.iter();
    warnings.map(|warning| format!("partition table: {warning}"))
}

/// Notes about the condition of the golden filesystems, and that they are mounted.
fn condition_notes(golden: &Golden) -> Vec<String> {
    let root = condition::ext(&golden.root.info, &golden.root.losses);
    let of = |name: &str, number: u32, text: String| {
        format!("the golden {name} filesystem (partition {number}): {text}")
    };
    let number = golden.root.partition.number;
    let root = root.into_iter().map(|text| of("root", number, text));
    let boot = golden.boot.iter().flat_map(|boot| {
        let number = boot.partition.number;
        let remarks = condition::fat(&boot.info).into_iter();
        remarks.map(move |text| of("boot", number, text))
    });
    let mounts = golden.input.backing().map(mounted::mounts);
    let mounts = mounts.into_iter().flatten();
    root.chain(boot)
        .chain(mounts.map(|mount| mount.describe()))
        .collect()
}

/// Collects problems instead of failing with the first.
struct Keep<'p>(&'p mut Problems);

impl Keep<'_> {
    fn one<T>(&mut self, result: Result<T, Problem>) -> Option<T> {
        result.map_err(|problem| self.0.push(problem)).ok()
    }

    fn all<T>(&mut self, result: Result<T, Problems>) -> Option<T> {
        result.map_err(|more| self.0.0.extend(more.0)).ok()
    }
}

/// The error of a part that has neither a value nor a problem; no part should.
fn undecided() -> anyhow::Error {
    Problem::new("a part of the plan could not be decided").into()
}

/// The configuration on top of the board that the image selects, if it names none, and a note about
/// that choice.
///
/// # Errors
/// That the image contradicts the board; that no board can be selected; that the release has no
/// name.
fn complete(config: &Config, golden: &Golden) -> Result<(Config, Option<String>)> {
    let image = ImageFacts::of(golden);
    if golden.facts.architecture.is_none() {
        if let Some(problem) = partitions::missing_usr(golden) {
            return Err(problem.into());
        }
        return Err(system::unknown_architecture(golden).into());
    }
    board::check(config, image)?;
    system::refuse_without_init(golden)?;
    let mut problems = Problems::default();
    let complete = Keep(&mut problems).one(board::with_board(config, image));
    if config.artifact.name.as_ref().is_none_or(String::is_empty) {
        problems.push(
            Problem::new("the Artifact has no name")
                .hint("name the release: --artifact-name release-1"),
        );
    }
    problems.check()?;
    complete.ok_or_else(undecided)
}

/// `config` on top of the board that `golden` selects, if it names no device type.
///
/// # Errors
/// [`Problem`] when no board can be selected.
pub fn with_board(config: &Config, golden: &Golden) -> Result<Config> {
    let (config, _) = board::with_board(config, ImageFacts::of(golden))?;
    Ok(config)
}

/// The time of everything that is made: `SOURCE_DATE_EPOCH`, or the newest modification of a file
/// in the golden root filesystem. Files dated after the last write to that filesystem, by a clock
/// that was wrong, do not count.
fn time(host: &HostFiles, golden: &Golden) -> Time {
    if let Some(seconds) = host.epoch {
        return Time { seconds, nanos: 0 };
    }
    let root = &golden.root;
    let limit = root.info.write_time.seconds;
    let mut newest = 0;
    let mut consider = |stat: &Stat| {
        if stat.mtime.seconds <= limit {
            newest = newest.max(stat.mtime.seconds);
        }
    };
    root.tree.visit(&mut |_, entry| match entry {
        DirEntry::Dir(dir) => consider(&dir.stat),
        DirEntry::Leaf(id) => consider(&root.tree.leaf(*id).stat),
    });
    Time {
        seconds: newest,
        nanos: 0,
    }
}

/// The identities of the disk: derived, except where the configuration sets them; and notes.
///
/// # Errors
/// [`Problem`] when `storage.disk-id` is of the other kind of table.
fn family(config: &Config, stamp: &Stamp, golden: &Golden) -> Result<(Family, Vec<String>)> {
    let mut notes = Vec::new();
    let scheme = match config.storage.table {
        config::TableChoice::Gpt => TableKind::Gpt,
        config::TableChoice::Mbr => TableKind::Mbr,
        config::TableChoice::Keep => golden.disk.table.kind(),
    };
    let naming = match &config.storage.device {
        config::Device::PartUuid => Naming::Partuuid,
        config::Device::Disk(disk) => Naming::Device(disk.clone()),
    };
    let set = boot::partition_set(config, golden);
    let mut family = Family::derive(stamp, scheme, naming, set);
    match (config.storage.disk_id, scheme) {
        (Some(config::DiskId::Gpt(id)), TableKind::Gpt) => family.disk_guid = id,
        (Some(config::DiskId::Mbr(id)), TableKind::Mbr) => family.disk_id = id,
        (Some(_), _) => {
            let message = format!("storage.disk-id does not fit the disk's {scheme}");
            let hint = "write 8 hexadecimal digits for an MBR, a GUID for a GPT, or choose the \
                        table with storage.table";
            return Err(Problem::new(message).hint(hint).into());
        }
        (None, _) => {}
    }
    let ids = &config.storage.ids;
    let configured = |role: Role| match role {
        Role::Boot => ids.boot,
        Role::RootA => ids.root_a,
        Role::RootB => ids.root_b,
        Role::Data => ids.data,
        Role::Autoboot | Role::BootB => None,
    };
    for (guid, role) in family.guids.iter_mut().zip(set.roles()) {
        *guid = configured(*role).unwrap_or(*guid);
    }
    let mut roles = set.roles().iter();
    if scheme == TableKind::Mbr && roles.any(|role| configured(*role).is_some()) {
        notes.push("storage.ids has no effect: an MBR has no partition IDs".to_owned());
    }
    Ok((family, notes))
}
