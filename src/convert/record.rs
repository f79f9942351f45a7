//! `<name>.json`, the record of a conversion: inputs, results and changes, for scripts and for the
//! next release.

use super::Prepared;
use super::golden_record::{self, AreaRecord, GoldenPartitionRecord};
use super::reworded::recorded;
use crate::artifact::{Offer, Verifier};
use crate::digest::hex;
use crate::dpkg::InstalledPackage;
use crate::edit::changes::NetChange;
use crate::edit::mender;
use crate::edit::references::row::Row;
use crate::edit::{StartupNote, Trees};
use crate::golden::facts;
use crate::input_file;
use crate::plan::family::Role;
use crate::plan::hooks::Hook;
use crate::plan::raw::Blob;
use crate::problem::{Problem, Problems};
use crate::verify::{Finding, Severity, compatibility, required_on_data};
use anyhow::Result;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::path::Path;

/// The version of the format; it grows when a field changes its meaning.
const FORMAT: u32 = 1;

/// The largest record that is read (bytes).
const RECORD_MAX: u64 = 16 << 20;

/// Reads the record of an earlier release.
///
/// # Errors
/// I/O errors; text that is not JSON.
pub fn read_record(path: &Path) -> Result<serde_json::Value> {
    let failed = |why: &dyn std::fmt::Display| {
        Problem::new(format!("reading the record {}: {why}", path.display()))
            .hint("a record is the file NAME.json that a conversion writes next to the image")
    };
    let bytes = input_file::read(path, RECORD_MAX, "a record").map_err(|e| failed(&e))?;
    Ok(serde_json::from_slice(&bytes).map_err(|e| failed(&e))?)
}

/// The record of one conversion.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Record {
    /// The version of the format.
    pub format: u32,
    /// Name and version of the program that wrote it.
    pub generator: String,
    /// The golden image, without its path.
    pub input: InputRecord,
    /// The name of the release; a device reports it to its server.
    pub artifact_name: String,
    /// At least one; identities derive from the first.
    pub device_types: Vec<String>,
    /// The time of new files (seconds since 1970).
    pub time: i64,
    /// The partition table, partitions and blobs of the new disk.
    pub disk: DiskRecord,
    /// The identities that all releases of the family share.
    pub family: FamilyRecord,
    /// The filesystem in both slots and in the Artifact.
    pub root: RootRecord,
    /// How the device boots.
    pub boot: BootRecord,
    /// The built-in boards that the configuration builds upon.
    pub boards: Vec<String>,
    /// The user's programs that took part; in a plan, those that would.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<Hook>,
    /// Packages that were installed.
    pub packages: Vec<PackageRecord>,
    /// Every path that differs from the golden image, and why.
    pub edits: Vec<NetChange>,
    /// Every reference of the golden system to a device or mount point, and what became of it.
    pub references: Vec<Row>,
    /// What is said of that which a start runs, with file and line; it is among the notes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub startup: Vec<StartupNote>,
    /// Notes for the user, one sentence each.
    pub notes: Vec<String>,
    /// The written files; none in a plan.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<OutputRecord>,
}

/// The golden image that was converted.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct InputRecord {
    /// Its file name, without directories.
    pub file: String,
    /// How it is stored.
    pub form: String,
    /// The length of the disk (bytes).
    pub size: u64,
    /// The number of its root partition.
    pub root_partition: u32,
    /// The number of its boot partition.
    pub boot_partition: Option<u32>,
    /// Its maker, such as `Raspberry Pi OS`, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maker: Option<String>,
    /// `PRETTY_NAME` of its operating system.
    pub system: String,
    /// Its architecture, by Debian's name.
    pub architecture: String,
    /// The UUID of its root filesystem.
    pub root_uuid: String,
    /// What became of its partitions, in the order of its table.
    pub partitions: Vec<GoldenPartitionRecord>,
    /// What became of bytes outside them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub areas: Vec<AreaRecord>,
    /// SHA-256 of the file as it is stored, if it is compressed or `output.input-digest` is set.
    /// Missing in a plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// The new disk.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DiskRecord {
    /// The kind of partition table: `gpt` or `mbr`.
    pub table: String,
    /// Its length (bytes).
    pub size: u64,
    /// The partitions, by number.
    pub partitions: Vec<PartitionRecord>,
    /// Bytes outside the partitions, by offset.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub raw: Vec<RawRecord>,
}

/// Bytes outside the partitions.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RawRecord {
    /// The offset of the first one (bytes).
    pub offset: u64,
    /// The number of bytes.
    pub size: u64,
    /// The name of the host's file, without directories, or the path in the image.
    pub file: String,
    /// SHA-256 of the bytes, in hexadecimal.
    pub sha256: String,
}

/// A partition; offsets and sizes in bytes.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PartitionRecord {
    /// The number in the table, from 1.
    pub number: u32,
    /// `boot`, `root-a`, `root-b`, `data`; with a boot partition for each slot `autoboot` and
    /// `boot-b`, too.
    pub role: &'static str,
    /// The offset of the first byte.
    pub start: u64,
    /// The length (bytes).
    pub size: u64,
    /// The PARTUUID as udev writes it, in lower case.
    pub partuuid: String,
}

/// What the files of a release say about the updates that its devices can install. Read while the
/// trees are complete: composing the root filesystem takes its tree.
#[derive(Debug)]
pub(super) struct UpdateFacts {
    /// The version of the package of the update client, if it is one.
    client: Option<String>,
    /// The public keys (PEM) that the update client checks Artifacts with.
    verify_keys: Vec<String>,
    /// The directories of the data partition that the system cannot start without.
    data_dirs: Vec<String>,
}

impl UpdateFacts {
    /// Those of `trees`.
    pub(super) fn read(trees: &Trees) -> Self {
        let keys = mender::verify_keys(&trees.root, &trees.data);
        let keys = keys
            .iter()
            .filter_map(|bytes| Verifier::from_pem(&String::from_utf8_lossy(bytes)).ok());
        Self {
            client: facts::client(&trees.root)
                .ok()
                .flatten()
                .map(|(_, version)| version),
            verify_keys: keys.filter_map(|key| key.pem().ok()).collect(),
            data_dirs: required_on_data(&trees.root),
        }
    }
}

/// The identities that all releases of a family share.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FamilyRecord {
    /// The device type that identities derive from.
    pub device_type: String,
    /// The disk GUID, or the disk signature of an MBR.
    pub disk_id: String,
    /// The device paths of both slots in the configuration of the update client.
    pub slots: [String; 2],
    /// The size of each slot (bytes).
    pub slot_size: u64,
    /// The mount point of the boot partition.
    pub boot_mount: String,
    /// The boot loader: `grub-efi`, `u-boot` or `rpi-tryboot`.
    pub boot_loader: String,
    /// The copies of its environment: paths on the boot partition, or disk, offset and size.
    pub environment: Vec<String>,
    /// The version of the package of the update client, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The public keys (PEM) that the update client checks Artifacts with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub verify_keys: Vec<String>,
    /// The directories of the data partition that the system cannot start without.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub data_dirs: Vec<String>,
}

/// The root filesystem of the release.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RootRecord {
    /// Its length (bytes).
    pub size: u64,
    /// Its UUID, the same in both slots.
    pub uuid: String,
    /// SHA-256 of its bytes: the Artifact's payload and both slots. Missing in a plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// SHA-256 of the file layout that it preserves: that of the output `places` in the record of
    /// the earlier release, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub like: Option<String>,
}

/// How the device boots.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BootRecord {
    /// The boot loader: `grub-efi`, `u-boot` or `rpi-tryboot`.
    pub loader: String,
    /// The origin of its program.
    pub program: String,
    /// Whether the chain is signed from the firmware to the kernel.
    pub secure_boot: bool,
    /// The kernel that boots first.
    pub kernel: String,
    /// Kernel arguments, without `root=`.
    pub arguments: String,
}

/// A Debian package that the conversion installed.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PackageRecord {
    /// The field `Package`.
    pub name: String,
    /// The field `Version`.
    pub version: String,
    /// The field `Architecture`; may be `all`.
    pub architecture: String,
    /// SHA-256 of the package file.
    pub sha256: String,
}

impl InputRecord {
    fn new(prepared: &Prepared) -> Self {
        let Prepared { golden, plan, .. } = prepared;
        Self {
            file: plan.input_name.clone(),
            form: golden.input.form.to_string(),
            size: golden.input.source.len(),
            root_partition: golden.root.partition.number,
            boot_partition: golden.boot.as_ref().map(|boot| boot.partition.number),
            maker: golden.origin.maker.clone(),
            system: golden.facts.os.pretty.clone(),
            architecture: golden
                .facts
                .architecture
                .map(|architecture| architecture.name().to_owned())
                .unwrap_or_default(),
            root_uuid: golden.root.info.uuid.to_string(),
            partitions: golden_record::partitions(prepared),
            areas: golden_record::areas(prepared),
            sha256: None,
        }
    }
}

impl DiskRecord {
    fn new(prepared: &Prepared) -> Self {
        let Prepared {
            plan,
            edited,
            layout,
            ..
        } = prepared;
        let family = &plan.family;
        let partitions = family
            .set
            .roles()
            .iter()
            .zip(layout.extents.partitions())
            .map(|(role, extent)| PartitionRecord {
                number: family.number(*role),
                role: role.name(),
                start: extent.start,
                size: extent.len,
                partuuid: family.partuuid(*role),
            });
        Self {
            table: family.scheme.name().to_owned(),
            size: layout.extents.total,
            partitions: partitions.collect(),
            raw: edited.raw.iter().map(RawRecord::from).collect(),
        }
    }
}

impl FamilyRecord {
    fn new(prepared: &Prepared) -> Self {
        let Prepared {
            plan,
            edited,
            layout,
            update_facts,
            ..
        } = prepared;
        let family = &plan.family;
        Self {
            device_type: plan.stamp.family.clone(),
            disk_id: family.disk_id_text(),
            slots: [family.path(Role::RootA), family.path(Role::RootB)],
            slot_size: layout.extents.root_a.len,
            boot_mount: plan.boot.mount.clone(),
            boot_loader: edited.boot.loader().to_owned(),
            environment: edited.boot.environment(),
            client: update_facts.client.clone(),
            verify_keys: update_facts.verify_keys.clone(),
            data_dirs: update_facts.data_dirs.clone(),
        }
    }
}

impl RootRecord {
    fn new(prepared: &Prepared) -> Self {
        let filesystem = &prepared.plan.root.filesystem;
        let preserved = filesystem.preserve_layout.as_ref();
        Self {
            size: prepared.layout.root_size,
            uuid: filesystem.uuid.to_string(),
            sha256: None,
            like: preserved.map(|layout| hex(&Sha256::digest(layout.to_text()))),
        }
    }
}

impl BootRecord {
    fn new(prepared: &Prepared) -> Self {
        let boot = &prepared.edited.boot;
        Self {
            loader: boot.loader().to_owned(),
            program: boot.program().to_owned(),
            secure_boot: boot.secure_boot(),
            kernel: boot.kernel().to_owned(),
            arguments: boot.arguments().to_owned(),
        }
    }
}

impl From<&Blob> for RawRecord {
    fn from(blob: &Blob) -> Self {
        Self {
            offset: blob.offset,
            size: blob.bytes.len() as u64,
            file: blob.name.clone(),
            sha256: hex(&blob.sha256()),
        }
    }
}

impl From<&InstalledPackage> for PackageRecord {
    fn from(package: &InstalledPackage) -> Self {
        Self {
            name: package.name.clone(),
            version: package.version.clone(),
            architecture: package.architecture.clone(),
            sha256: package.sha256.clone(),
        }
    }
}

/// A file that the conversion published.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OutputRecord {
    /// `image`, `bmap`, `artifact`, `rootfs`, `places`, `cyclonedx`, `spdx`, `provenance`, `idp`,
    /// `imager`, or `hook` for files that hooks staged.
    pub kind: &'static str,
    /// Its name, without directories.
    pub file: String,
    /// Its length (bytes).
    pub size: u64,
    /// Its SHA-256. A sparse image has none unless the provenance is written: its block map has the
    /// checksums of its data. The provenance has none, since it has the digest of this record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

impl Record {
    /// The record of a conversion before anything is written: without digests and outputs.
    #[must_use]
    pub fn new(prepared: &Prepared) -> Self {
        let Prepared { plan, edited, .. } = prepared;
        Self {
            format: FORMAT,
            generator: concat!("goldsmith ", env!("CARGO_PKG_VERSION")).to_owned(),
            input: InputRecord::new(prepared),
            artifact_name: plan.artifact.name.clone(),
            device_types: plan.device_types.clone(),
            time: plan.stamp.time.seconds,
            disk: DiskRecord::new(prepared),
            family: FamilyRecord::new(prepared),
            root: RootRecord::new(prepared),
            boot: BootRecord::new(prepared),
            boards: plan.boards.clone(),
            hooks: plan.hooks.clone(),
            packages: edited.packages.iter().map(PackageRecord::from).collect(),
            edits: edited.changes.clone(),
            references: edited.references.clone(),
            startup: edited.startup.clone(),
            notes: prepared.notes().map(|note| recorded(note)).collect(),
            outputs: Vec::new(),
        }
    }

    /// Checks that devices running the release of the record `old` can install this one, whose
    /// Artifact is `offer`. Returns what they will not have of it.
    ///
    /// # Errors
    /// Every incompatibility.
    pub fn fits(&self, old: &serde_json::Value, offer: Offer) -> Result<Vec<String>, Problems> {
        let family = &self.family;
        let partition =
            |part: &PartitionRecord| (part.role.to_owned(), part.number, part.partuuid.clone());
        let on_data = self.edits.iter().filter(|edit| edit.filesystem == "data");
        let new = compatibility::Contract {
            device_types: self.device_types.clone(),
            disk_id: family.disk_id.clone(),
            partitions: self.disk.partitions.iter().map(partition).collect(),
            slots: family.slots.clone(),
            root_size: self.root.size,
            boot_mount: Some(family.boot_mount.clone()),
            boot_loader: Some(family.boot_loader.clone()),
            environment: family.environment.clone(),
            data_dirs: family.data_dirs.clone(),
            data_files: on_data.map(|edit| edit.path.clone()).collect(),
            artifact: Some(offer),
        };
        let (errors, others): (Vec<_>, Vec<_>) = compatibility::check(old, &new)
            .into_iter()
            .partition(|finding| finding.severity == Severity::Error);
        Problems(errors.into_iter().map(problem).collect()).check()?;
        let text = |finding: Finding| format!("{} ({})", finding.text, finding.code);
        Ok(others.into_iter().map(text).collect())
    }

    /// The record as JSON.
    ///
    /// # Errors
    /// Never for these types; the caller passes it on.
    pub fn json(&self) -> serde_json::Result<String> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(text)
    }
}

/// A finding about an earlier release, with its way out.
fn problem(finding: Finding) -> Problem {
    let problem = Problem::new(format!("{} ({})", finding.text, finding.code));
    match finding.code {
        "field-name" => problem.hint(
            "give this release another name (artifact.name), or compare it with the release that \
             devices run",
        ),
        "field-depends" => problem.hint(
            "add the name of the earlier release to artifact.depends-names, or compare with a release \
             that it lists",
        ),
        "field-signature" => problem.hint(
            "sign with the key whose public half the devices have (artifact.key); to change keys, first \
             release an update that is signed with the old key and has both in server.verify-key",
        ),
        "field-data" => problem.hint(
            "keep these files in the root filesystem (do = \"merge\"), or add `nofail` to the line and \
             let a service of the release make the directory",
        ),
        _ => problem,
    }
}
