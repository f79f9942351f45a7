//! Whether an update fits devices that were flashed with an earlier release: the contract of the
//! family, compared.

use crate::verify::finding::{Finding, Location, Severity};
use serde_json::Value;

/// The form of the record that is understood.
const FORMAT: u64 = 1;

/// What an image or a conversion says about its family.
#[derive(Clone, Debug, Default)]
pub struct Contract {
    /// The device types that the Artifact is for.
    pub device_types: Vec<String>,
    /// Disk GUID, or eight digits of the MBR's id.
    pub disk_id: String,
    /// Role, number and PARTUUID of each partition; roles are `boot`, `root-a`, `root-b`, `data`.
    pub partitions: Vec<(String, u32, String)>,
    /// Device paths of both slots, as the client knows them.
    pub slots: [String; 2],
    /// Bytes of the root filesystem.
    pub root_size: u64,
    /// Where the boot partition is mounted, where that is known.
    pub boot_mount: Option<String>,
    /// The boot loader, where that is known.
    pub boot_loader: Option<String>,
    /// Where the copies of its environment are, where that is known.
    pub environment: Vec<String>,
}

/// Holds `new` against the record (`<name>.json`) of an earlier release, whose devices shall take
/// the new root filesystem.
#[must_use]
pub fn check(old: &Value, new: &Contract) -> Vec<Finding> {
    let mut out = Vec::new();
    let mut differ = |code: &'static str, text: String| {
        out.push(Finding {
            severity: Severity::Error,
            code,
            place: Location::whole(),
            text,
        })
    };
    let family = &old["family"];
    if old["format"].as_u64() != Some(FORMAT) || !family.is_object() {
        differ(
            "field-record",
            format!(
                "the earlier release's record has the format {}, not {FORMAT}",
                old["format"]
            ),
        );
        return out;
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let kind = text(&family["device_type"]);
    if !new.device_types.contains(&kind) {
        differ(
            "field-device-type",
            format!(
                "devices in the field are `{kind}`, the Artifact is for {:?}",
                new.device_types
            ),
        );
    }
    let disk = text(&family["disk_id"]);
    if !disk.eq_ignore_ascii_case(&new.disk_id) {
        differ(
            "field-disk-id",
            format!(
                "disks in the field have the id {disk}, this one {}",
                new.disk_id
            ),
        );
    }
    for (role, number, partuuid) in &new.partitions {
        let parts = old["disk"]["partitions"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let Some(part) = parts.iter().find(|part| part["role"] == role.as_str()) else {
            differ(
                "field-partitions",
                format!("disks in the field have no partition {role}"),
            );
            continue;
        };
        let (old_number, old_id) = (
            part["number"].as_u64().unwrap_or(0),
            text(&part["partuuid"]),
        );
        if old_number != u64::from(*number) || !old_id.eq_ignore_ascii_case(partuuid) {
            differ(
                "field-partitions",
                format!(
                    "{role} is partition {old_number} ({old_id}) in the field, here {number} ({partuuid})"
                ),
            );
        }
    }
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().map(text).collect()
    };
    let slots = texts(&family["slots"]);
    if slots != new.slots {
        differ(
            "field-slots",
            format!(
                "clients in the field know the slots as {slots:?}, here they are {:?}",
                new.slots
            ),
        );
    }
    let size = family["slot_size"].as_u64().unwrap_or(0);
    if size < new.root_size {
        differ(
            "field-slot-size",
            format!(
                "slots in the field have {size} bytes, the root filesystem needs {}",
                new.root_size
            ),
        );
    }
    for (code, key, what, value) in [
        (
            "field-boot-mount",
            "boot_mount",
            "mount the boot partition at",
            &new.boot_mount,
        ),
        (
            "field-boot-loader",
            "boot_loader",
            "start by",
            &new.boot_loader,
        ),
    ] {
        if let (Some(old), Some(new)) = (family[key].as_str(), value)
            && old != new
        {
            differ(
                code,
                format!("devices in the field {what} {old}, this release {new}"),
            );
        }
    }
    let environment = texts(&family["environment"]);
    if !environment.is_empty() && !new.environment.is_empty() && environment != new.environment {
        let (old, new) = (environment.join(", "), new.environment.join(", "));
        differ(
            "field-environment",
            format!(
                "devices in the field keep their boot environment in {old}, this release in {new}"
            ),
        );
    }
    out
}
