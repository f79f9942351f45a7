//! What tools of the Raspberry Pi read besides the image: an archive for the provisioner, and a
//! manifest for the imager.
//!
//! | file | format |
//! | --- | --- |
//! | `image.json` in the archive | Image Description Provisioning 2.2.0, with a provisioning map 1.4.0: the schemas `idp/v2` and `provisionmap/v1` of rpi-image-gen |
//! | `*.sparse` in the archive | sparse images of Android's `fastboot`, one for each partition |
//! | the manifest | the schema `os-list-schema.json` of Raspberry Pi Imager |

use super::Prepared;
use super::outputs::{Outputs, Pending};
use crate::artifact;
use crate::digest::{Digest, hex, sha256};
use crate::image::output::android_sparse;
use crate::image::table::DiskId;
use crate::plan::family::{PartitionSet, Role};
use crate::plan::provisioning::{IDP, IdpPlan, ImagerPlan, OS_LIST};
use crate::stamp::rfc3339;
use crate::stream::{Codec, Compression, Content, FileSource, ReadAt as _, Source};
use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

/// The version of the description.
const DESCRIPTION: &str = "2.2.0";
/// The version of the provisioning map.
const MAP: &str = "1.4.0";
/// What is compressed at once (bytes).
const CHUNK: u64 = 4 << 20;

/// The filesystems of the partitions, in the order of [`PartitionSet::roles`].
type Filesystems = Vec<Content>;

/// The name of a partition in the description.
fn name(role: Role, set: PartitionSet) -> &'static str {
    match role {
        Role::Autoboot => "autoboot",
        Role::Boot if set == PartitionSet::BootPerSlot => "boot_a",
        Role::Boot => "boot",
        Role::BootB => "boot_b",
        Role::RootA => "root_a",
        Role::RootB => "root_b",
        Role::Data => "data",
    }
}

/// The file of a partition in the archive: both slots have the same content.
fn file(role: Role, set: PartitionSet) -> &'static str {
    match role {
        Role::Autoboot => "autoboot.sparse",
        Role::Boot if set == PartitionSet::BootPerSlot => "boot_a.sparse",
        Role::Boot => "boot.sparse",
        Role::BootB => "boot_b.sparse",
        Role::RootA | Role::RootB => "root.sparse",
        Role::Data => "data.sparse",
    }
}

/// Writes the archive for the provisioner: the description of the image, and its parts.
///
/// # Errors
/// I/O errors; a file that does not contain what was written.
pub(super) fn archive(
    prepared: &Prepared,
    plan: &IdpPlan,
    filesystems: Filesystems,
    outputs: &Outputs,
) -> Result<Pending> {
    let description = description(prepared, plan);
    let text = serde_json::to_string_pretty(&description)? + "\n";
    let mut members = vec![("image.json", Content::bytes(text.into_bytes()))];
    let extents = prepared.layout.extents.partitions();
    let set = prepared.plan.family.set;
    let roles = set.roles().iter().copied();
    for ((role, mut content), extent) in roles.zip(filesystems).zip(extents) {
        let file = file(role, set);
        if role == Role::RootB {
            continue;
        }
        content.set_len(extent.len);
        let content: Source = Arc::new(content);
        let sparse = android_sparse(&content).with_context(|| format!("making {file}"))?;
        members.push((file, sparse));
    }
    let seconds = u64::try_from(prepared.plan.stamp.time.seconds).unwrap_or(0);
    let tar = artifact::tar_of(&members, seconds);
    let pending = outputs.create(&format!("{}.{IDP}", prepared.plan.name))?;
    compress(&tar, &pending)?;
    Ok(pending)
}

/// Writes a content as frames of Zstandard, and reads them back.
fn compress(content: &Content, pending: &Pending) -> Result<()> {
    let codec = Codec::new(Compression::Zstd, None)?;
    let mut sum = Sha256::new();
    let (mut at, mut written) = (0, 0);
    let mut frame = Vec::new();
    while at < content.len() {
        let len = CHUNK.min(content.len() - at);
        let mut chunk = vec![0; usize::try_from(len)?];
        content.read_exact_at(at, &mut chunk)?;
        codec.compress_verified(&chunk, &mut frame)?;
        pending
            .file()
            .write_all_at(&frame, written)
            .map_err(|e| pending.writing(e))?;
        sum.update(&frame);
        written += frame.len() as u64;
        at += len;
    }
    let expected: Digest = sum.finalize().into();
    let found = sha256(&FileSource::new(pending.file().try_clone()?, written))?;
    if found != expected {
        bail!(
            "{} does not contain what was written to it",
            pending.target().display()
        );
    }
    Ok(())
}

/// The description of the image.
fn description(prepared: &Prepared, plan: &IdpPlan) -> Value {
    let (layout, of_plan) = (&prepared.layout, &prepared.plan);
    let table = match layout.table.disk_id {
        DiskId::Gpt(id) => json!({ "label": "gpt", "id": id.to_string() }),
        DiskId::Mbr(id) => json!({ "label": "dos", "id": format!("0x{id:08x}") }),
    };
    let mut images = Map::new();
    let set = of_plan.family.set;
    for role in set.roles().iter().copied() {
        images.insert(name(role, set).to_owned(), partition(prepared, role));
    }
    json!({
        "IGversion": DESCRIPTION,
        "IGmeta": {
            "IGconf_device_class": plan.device_class,
            "IGconf_device_variant": "none",
            "IGconf_device_storage_type": plan.storage,
            "IGconf_device_sector_size": 512,
            "IGconf_image_version": of_plan.artifact.name,
        },
        "attributes": {
            "image-name": of_plan.name,
            "image-size": layout.extents.total,
            "image-palign-bytes": of_plan.disk.alignment.to_string(),
        },
        "layout": {
            "partitiontable": table,
            "partitionimages": images,
            "provisionmap": map(set),
        },
    })
}

/// A partition in the description. Those that the firmware reads are bootable.
fn partition(prepared: &Prepared, role: Role) -> Value {
    let plan = &prepared.plan;
    let set = plan.family.set;
    let at = set.roles().iter().position(|one| *one == role).unwrap_or(0);
    let (name, file) = (name(role, set), file(role, set));
    let mut out = json!({
        "name": name,
        "in-partition-table": "true",
        "size": prepared.layout.extents.partition(role).len,
        "image": file,
        "simage": file,
        "type": if role.is_boot() { "vfat" } else { "ext4" },
        "bootable": if role.is_boot() { "true" } else { "false" },
    });
    let mount = match role {
        Role::Autoboot => None,
        Role::Boot | Role::BootB => Some(plan.boot.mount.as_str()),
        Role::RootA | Role::RootB => Some("/"),
        Role::Data => Some("/data"),
    };
    if let Some(mount) = mount {
        out["mountpoint"] = mount.into();
    }
    let (uuid, label) = match role {
        Role::Autoboot | Role::Boot | Role::BootB => {
            let options = plan.boot.filesystem_of(role);
            let id = options.volume_id;
            let id = format!("{:04X}-{:04X}", id >> 16, id & 0xffff);
            (id, options.label.clone())
        }
        Role::RootA | Role::RootB => (
            plan.root.filesystem.uuid.to_string(),
            text(&plan.root.filesystem.label),
        ),
        Role::Data => (
            plan.data.filesystem.uuid.to_string(),
            text(&plan.data.filesystem.label),
        ),
    };
    out["fs_uuid"] = uuid.into();
    if let Some(label) = label {
        out["fs_label"] = label.into();
    }
    let of_table = prepared.layout.table.partitions.get(at);
    if let Some((entry, id)) = of_table.and_then(|entry| Some((entry, entry.id?))) {
        out["partition-uuid"] = id.to_string().into();
        out["partition-label"] = entry.name.clone().into();
        out["partition-type-uuid"] = entry.kind.to_string().into();
    }
    out
}

/// How the partitions are made on the device: in this order, the last one to the end of the medium.
fn map(set: PartitionSet) -> Value {
    let slot = |letter: &str, role: Role| {
        json!({ "slots": { letter: { "partitions": [{
            "image": name(role, set),
            "static": { "role": if role.is_boot() { "boot" } else { "system" } },
        }]}}})
    };
    let boot = name(Role::Boot, set);
    let mut out = vec![json!({ "attributes": { "PMAPversion": MAP, "system_type": "slotted" } })];
    match set {
        PartitionSet::OneBoot => {
            out.push(json!({ "partitions": [{ "image": boot, "static": { "role": "boot" } }] }));
        }
        PartitionSet::BootPerSlot => {
            out.push(json!({ "partitions": [{ "image": name(Role::Autoboot, set) }] }));
            out.extend([slot("A", Role::Boot), slot("B", Role::BootB)]);
        }
    }
    out.extend([slot("A", Role::RootA), slot("B", Role::RootB)]);
    let data = name(Role::Data, set);
    out.push(json!({ "partitions": [{ "image": data, "expand-to-fit": true }] }));
    Value::Array(out)
}

/// Writes the manifest for the imager; `disk` is the image as it is on a device, `file` and `size`
/// are the name and the length of the file that it is in.
///
/// # Errors
/// I/O errors of the image.
pub(super) fn manifest(
    prepared: &Prepared,
    plan: &ImagerPlan,
    disk: &Content,
    (file, size): (&str, u64),
) -> Result<(String, String)> {
    let of_plan = &prepared.plan;
    let sum = sha256(disk).context("reading the disk for the imager's manifest")?;
    let release = &of_plan.artifact.name;
    let entry = json!({
        "name": format!("{} {release}", plan.title),
        "description": format!("{}, release {release}, with updates by A and B", prepared.golden.facts.os.pretty),
        "icon": "icons/use_custom.png",
        "url": format!("{}{}", plan.url, escaped(file)),
        "extract_size": disk.len(),
        "extract_sha256": hex(&sum),
        "image_download_size": size,
        "release_date": day(of_plan.stamp.time.seconds),
        "init_format": plan.init_format,
        "devices": plan.devices,
        "architecture": plan.architecture,
    });
    let text = serde_json::to_string_pretty(&json!({ "os_list": [entry] }))? + "\n";
    Ok((format!("{}.{OS_LIST}", of_plan.name), text))
}

/// The day of a time, as `YYYY-MM-DD`.
fn day(seconds: i64) -> String {
    let text = rfc3339(seconds);
    text.split('T').next().unwrap_or_default().to_owned()
}

/// A label, where there is one.
fn text(label: &[u8]) -> Option<String> {
    (!label.is_empty()).then(|| String::from_utf8_lossy(label).into_owned())
}

/// A name of a file in an address: all but letters, digits and `-._~` as `%XX` (RFC 3986, 2.1).
fn escaped(name: &str) -> String {
    let escape = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    name.bytes().map(escape).collect()
}
