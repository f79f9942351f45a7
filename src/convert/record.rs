//! `<name>.json`, the record of a conversion: inputs, results and changes, for scripts and for the
//! next release.

use super::Prepared;
use super::golden_record::{self, AreaRecord, GoldenPartitionRecord};
use crate::artifact::Demands;
use crate::digest::hex;
use crate::dpkg::InstalledPackage;
use crate::edit::changes::NetChange;
use crate::edit::references::row::Row;
use crate::golden::facts;
use crate::plan::family::Role;
use crate::plan::hooks::Hook;
use crate::plan::raw::Blob;
use crate::problem::{Problem, Problems};
use crate::verify::{Finding, compatibility};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// The version of the format; it grows when a field changes its meaning.
const FORMAT: u32 = 1;

/// A note that was reworded since this format of the record was first written. Records are outputs,
/// which do not change with the wording of messages.
struct Reworded {
    /// How the note begins and ends now; the part between, which names paths and numbers, stays.
    now: (&'static str, &'static str),
    /// How it begins and ends in records.
    then: (&'static str, &'static str),
}

/// All of them. A note that is the same for all conversions has no end.
const REWORDED: &[Reworded] = &[
    Reworded {
        now: (
            "/usr/share/mender/identity/mender-device-identity: device identity: MAC address of the \
             first network interface",
            "",
        ),
        then: (
            "/usr/share/mender/identity/mender-device-identity: the device is told apart by the \
             hardware address of its first network interface",
            "",
        ),
    },
    Reworded {
        now: (
            "",
            " of the image stays; the package's version is next to it as .dpkg-dist",
        ),
        then: (
            "",
            " of the image stays; the package's version is beside it as .dpkg-dist",
        ),
    },
    Reworded {
        now: (
            "using the board ",
            "; set board.device-type for a fleet of your own",
        ),
        then: (
            "the board is taken to be ",
            ": a fleet of its own sets board.device-type",
        ),
    },
    Reworded {
        now: ("storage.ids has no effect: an MBR has no partition IDs", ""),
        then: (
            "storage.ids has no effect: an MBR keeps no ids of partitions",
            "",
        ),
    },
    Reworded {
        now: ("the key ", "; restrict it with chmod 600"),
        then: ("the key ", ": chmod 600 keeps it yours"),
    },
    Reworded {
        now: (
            "/etc/fstab: the data of ",
            " on /data is not carried over: the data partition is new",
        ),
        then: (
            "/etc/fstab: what ",
            " held on /data does not come along, the data partition is new",
        ),
    },
    Reworded {
        now: (
            "the update client is managed but has no server: set server.url, or client.managed = \
             false to install updates by commands",
            "",
        ),
        then: (
            "the update client is managed but knows no server: set server.url, or client.managed = \
             false for one that waits for commands",
            "",
        ),
    },
    Reworded {
        now: (
            "the image contains no update client: install one in the golden image, or set \
             client.packages",
            "",
        ),
        then: (
            "there is no update client in the image: install one there, or name its packages under \
             client.packages",
            "",
        ),
    },
    Reworded {
        now: (
            "this image was converted before; the content of its data partition is not carried over",
            "",
        ),
        then: (
            "this image was converted before; what its data partition held does not come along",
            "",
        ),
    },
    Reworded {
        now: (
            "partition table: the GPT at the start of the disk is damaged (",
            "); using the backup at its end",
        ),
        then: (
            "partition table: the GPT at the disk's start is damaged (",
            "); used the one at its end",
        ),
    },
    Reworded {
        now: (
            "partition table: the backup GPT at the end of the disk is damaged (",
            "); using the one at its start",
        ),
        then: (
            "partition table: the GPT at the disk's end is damaged (",
            "); used the one at its start",
        ),
    },
    Reworded {
        now: (
            "partition table: the hybrid MBR has partitions of its own; using the GPT",
            "",
        ),
        then: (
            "partition table: a hybrid MBR names partitions of its own; used the GPT",
            "",
        ),
    },
    Reworded {
        now: (
            "partition table: the MBR is followed by an old GPT; using the MBR",
            "",
        ),
        then: (
            "partition table: an old GPT lies behind the MBR; used the MBR",
            "",
        ),
    },
];

/// The text of a note in records.
fn recorded(note: &str) -> String {
    let reworded = |Reworded { now, then }: &Reworded| {
        let middle = note.strip_prefix(now.0)?.strip_suffix(now.1)?;
        let whole = now.1.is_empty() && !middle.is_empty();
        (!whole).then(|| format!("{}{middle}{}", then.0, then.1))
    };
    REWORDED
        .iter()
        .find_map(reworded)
        .or_else(|| accepted_script(note))
        .unwrap_or_else(|| note.to_owned())
}

/// The text of a note about an accepted maintainer script in another language than that of the
/// shell: `PACKAGE: SCRIPT is not ...`.
fn accepted_script(note: &str) -> Option<String> {
    let (package, rest) = note.split_once(": ")?;
    let (script, rest) = rest.split_once(' ')?;
    let scripts = ["preinst", "postinst", "prerm", "postrm"];
    let rest = rest.strip_prefix("is not a shell script (`")?;
    let known = scripts.contains(&script) && !package.contains(' ');
    known.then(|| format!("{package}: {script} is no shell script (`{rest}"))
}

/// The record of one conversion.
#[derive(Clone, Debug, Serialize)]
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
    /// Notes for the user, one sentence each.
    pub notes: Vec<String>,
    /// The written files; none in a plan.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<OutputRecord>,
}

/// The golden image that was converted.
#[derive(Clone, Debug, Serialize)]
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
pub struct PartitionRecord {
    /// The number in the table, from 1.
    pub number: u32,
    /// `boot`, `root-a`, `root-b`, `data`.
    pub role: &'static str,
    /// The offset of the first byte.
    pub start: u64,
    /// The length (bytes).
    pub size: u64,
    /// The PARTUUID as udev writes it, in lower case.
    pub partuuid: String,
}

/// The identities that all releases of a family share.
#[derive(Clone, Debug, Serialize)]
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
    /// The boot loader: `grub-efi` or `u-boot`.
    pub boot_loader: String,
    /// The copies of its environment: paths on the boot partition, or disk, offset and size.
    pub environment: Vec<String>,
    /// The version of the package of the update client, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

/// The root filesystem of the release.
#[derive(Clone, Debug, Serialize)]
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
pub struct BootRecord {
    /// The boot loader: `grub-efi` or `u-boot`.
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
        let partitions =
            Role::ALL
                .into_iter()
                .zip(layout.extents.partitions())
                .map(|(role, extent)| PartitionRecord {
                    number: role.number(),
                    role: role.name(),
                    start: extent.start,
                    size: extent.len,
                    partuuid: family.partuuid(role),
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
            client: facts::client(&edited.trees.root)
                .ok()
                .flatten()
                .map(|(_, version)| version),
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
pub struct OutputRecord {
    /// `image`, `bmap`, `artifact`, `rootfs`, `places`, or `hook` for files that hooks staged.
    pub kind: &'static str,
    /// Its name, without directories.
    pub file: String,
    /// Its length (bytes).
    pub size: u64,
    /// Its SHA-256. A sparse image has none: its block map has the checksums of its data.
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
            notes: prepared.notes().map(|note| recorded(note)).collect(),
            outputs: Vec::new(),
        }
    }

    /// Checks that devices running the release of the record `old` can install this one, whose
    /// Artifact demands something of their clients.
    ///
    /// # Errors
    /// Every incompatibility.
    pub fn fits(&self, old: &serde_json::Value, demands: Demands) -> Result<(), Problems> {
        let family = &self.family;
        let partition =
            |part: &PartitionRecord| (part.role.to_owned(), part.number, part.partuuid.clone());
        let new = compatibility::Contract {
            device_types: self.device_types.clone(),
            disk_id: family.disk_id.clone(),
            partitions: self.disk.partitions.iter().map(partition).collect(),
            slots: family.slots.clone(),
            root_size: self.root.size,
            boot_mount: Some(family.boot_mount.clone()),
            boot_loader: Some(family.boot_loader.clone()),
            environment: family.environment.clone(),
            artifact: Some(demands),
        };
        let problem =
            |finding: Finding| Problem::new(format!("{} ({})", finding.text, finding.code));
        Problems(
            compatibility::check(old, &new)
                .into_iter()
                .map(problem)
                .collect(),
        )
        .check()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reworded_notes_are_recorded_as_before() {
        for Reworded { now, then } in REWORDED {
            let middle = if now.1.is_empty() { "" } else { "x" };
            let note = format!("{}{middle}{}", now.0, now.1);
            let expected = format!("{}{middle}{}", then.0, then.1);
            assert_eq!(recorded(&note), expected);
        }
        assert_eq!(
            recorded(
                "/etc/fstab: the data of /dev/sda5 on /data is not carried over: the data \
                 partition is new"
            ),
            "/etc/fstab: what /dev/sda5 held on /data does not come along, the data partition is new"
        );
        assert_eq!(
            recorded("a-package: postinst is not a shell script (`#!/bin/perl`); accepted: why"),
            "a-package: postinst is no shell script (`#!/bin/perl`); accepted: why"
        );
    }

    #[test]
    fn texts_of_users_are_recorded_as_they_are() {
        for note in [
            "a note",
            "overlay /a/using the board x is left out: for board zz",
            "overlay using the board x is left out: for board zz",
            "/etc/fstab: the data of x on /mnt is commented out: no such device",
            "raw: /a: postinst is not a shell script (`x is left out: for release y",
            "client.accept: no package using the board is installed",
        ] {
            assert_eq!(recorded(note), note);
        }
    }
}
