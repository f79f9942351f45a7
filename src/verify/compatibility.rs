//! Compatibility with an earlier release: whether its devices can install an update.

use crate::artifact::{ClientVersion, Demands, Offer, Signed, Verifier, unreadable};
use crate::digest::hex;
use crate::verify::finding::{Finding, Location, Severity};
use serde_json::Value;

/// The version of the record that is understood.
const FORMAT: u64 = 1;
/// The number of comparisons with a record that is understood.
const COMPARISONS: u64 = 15;

/// The properties of a release that devices depend on.
#[derive(Clone, Debug, Default)]
pub struct Contract {
    /// The device types that the Artifact is for.
    pub device_types: Vec<String>,
    /// Disk GUID, or the MBR's disk signature as eight hexadecimal digits.
    pub disk_id: String,
    /// Role, number and PARTUUID of each partition; roles are `boot`, `root-a`, `root-b`, `data`.
    pub partitions: Vec<(String, u32, String)>,
    /// Device paths of slot A and slot B, as the client knows them.
    pub slots: [String; 2],
    /// Bytes of the root filesystem.
    pub root_size: u64,
    /// The mount point of the boot partition, if it is known.
    pub boot_mount: Option<String>,
    /// The boot loader, if it is known.
    pub boot_loader: Option<String>,
    /// The paths of the copies of its environment; empty if they are unknown.
    pub environment: Vec<String>,
    /// The directories of the data partition that the system cannot start without.
    pub data_dirs: Vec<String>,
    /// The files that the release puts on the data partition, if they are known.
    pub data_files: Vec<String>,
    /// The Artifact, if it is known.
    pub artifact: Option<Offer>,
}

/// Compares `new` with the record (`<name>.json`) of an earlier release, whose devices must be able
/// to install the new root filesystem.
#[must_use]
pub fn check(old: &Value, new: &Contract) -> Vec<Finding> {
    let mut out = Findings(Vec::new());
    let family = field(old, "family");
    if let Some(reason) = not_a_record(old) {
        out.error(
            "field-record",
            format!("the earlier release's record {reason}"),
        );
        return out.0;
    }
    device(family, new, &mut out);
    partitions(field(field(old, "disk"), "partitions"), new, &mut out);
    slots(family, new, &mut out);
    boot(family, new, &mut out);
    data(old, new, &mut out);
    if let Some(offer) = &new.artifact {
        client(old, offer.demands, &mut out);
        release(old, offer, &mut out);
        signature(family, offer, &mut out);
    }
    out.0
}

/// Why a value cannot be compared with: it is not the record that a conversion wrote.
pub(super) fn not_a_record(value: &Value) -> Option<String> {
    const NAME: &str = "a conversion writes it next to the image, as NAME.json";
    let Some(fields) = value.as_object() else {
        return Some(format!("is not a JSON object: {NAME}"));
    };
    match fields.get("format") {
        None => Some(format!("has no format: {NAME}")),
        Some(format) if format.as_u64() != Some(FORMAT) => Some(format!(
            "has the format {format}, and this goldsmith reads {FORMAT}"
        )),
        _ if !field(value, "family").is_object() => Some(format!(
            "does not say what devices depend on (family): {NAME}"
        )),
        _ => None,
    }
}

/// The number of comparisons that passed if `findings` failed.
pub(super) fn passed(findings: &[Finding]) -> u64 {
    let failed = u64::try_from(findings.len()).unwrap_or(u64::MAX);
    COMPARISONS.saturating_sub(failed)
}

/// The findings so far.
struct Findings(Vec<Finding>);

impl Findings {
    fn error(&mut self, code: &'static str, text: String) {
        self.add(Severity::Error, code, text);
    }

    fn warning(&mut self, code: &'static str, text: String) {
        self.add(Severity::Warning, code, text);
    }

    fn add(&mut self, severity: Severity, code: &'static str, text: String) {
        self.0.push(Finding {
            severity,
            code,
            place: Location::whole(),
            text,
        });
    }
}

/// The value at `key`; null if there is none.
fn field<'v>(value: &'v Value, key: &str) -> &'v Value {
    value.get(key).unwrap_or(&Value::Null)
}

/// The text at `key`; empty if there is none.
fn text(value: &Value, key: &str) -> String {
    field(value, key).as_str().unwrap_or_default().to_owned()
}

/// The array of texts at `key`; empty if there is none.
fn texts(value: &Value, key: &str) -> Vec<String> {
    let items = field(value, key).as_array().into_iter().flatten();
    items
        .map(|item| item.as_str().unwrap_or_default().to_owned())
        .collect()
}

/// Device type and disk ID.
fn device(family: &Value, new: &Contract, out: &mut Findings) {
    let kind = text(family, "device_type");
    if !new.device_types.contains(&kind) {
        out.error(
            "field-device-type",
            format!(
                "the earlier release is for `{kind}`, the Artifact for {:?}",
                new.device_types
            ),
        );
    }
    let disk = text(family, "disk_id");
    if !disk.eq_ignore_ascii_case(&new.disk_id) {
        out.error(
            "field-disk-id",
            format!(
                "the disk of the earlier release has the id {disk}, this one {}",
                new.disk_id
            ),
        );
    }
}

/// Numbers and PARTUUIDs of all partitions.
fn partitions(old: &Value, new: &Contract, out: &mut Findings) {
    let old = old.as_array().map(Vec::as_slice).unwrap_or_default();
    for (role, number, partuuid) in &new.partitions {
        let Some(part) = old.iter().find(|part| text(part, "role") == *role) else {
            out.error(
                "field-partitions",
                format!("the earlier release has no partition {role}"),
            );
            continue;
        };
        let old_number = field(part, "number").as_u64().unwrap_or(0);
        let old_id = text(part, "partuuid");
        if old_number != u64::from(*number) || !old_id.eq_ignore_ascii_case(partuuid) {
            out.error(
                "field-partitions",
                format!(
                    "{role} is partition {old_number} ({old_id}) in the earlier release, here {number} ({partuuid})"
                ),
            );
        }
    }
}

/// Device paths and size of the slots.
fn slots(family: &Value, new: &Contract, out: &mut Findings) {
    let slots = texts(family, "slots");
    if slots != new.slots {
        out.error(
            "field-slots",
            format!(
                "the earlier release's client knows the slots as {slots:?}, this one as {:?}",
                new.slots
            ),
        );
    }
    let size = field(family, "slot_size").as_u64().unwrap_or(0);
    if size < new.root_size {
        out.error(
            "field-slot-size",
            format!(
                "the slots of the earlier release have {size} bytes, the root filesystem needs {}",
                new.root_size
            ),
        );
    }
}

/// Whether the client of the earlier release reads the Artifact, as far as both are known.
fn client(old: &Value, demands: Demands, out: &mut Findings) {
    let version = text(field(old, "family"), "client");
    let Ok(client) = version.parse::<ClientVersion>() else {
        return;
    };
    let architecture = text(field(old, "input"), "architecture");
    let is_32_bit = ["armhf", "i386"].contains(&architecture.as_str());
    for finding in unreadable(client, Some(is_32_bit), demands) {
        out.error(
            "field-client",
            format!(
                "the update client {version} of the earlier release cannot read the Artifact: {}",
                finding.text
            ),
        );
    }
}

/// Mount point of the boot partition, boot loader and its environment, as far as both are known.
fn boot(family: &Value, new: &Contract, out: &mut Findings) {
    for (code, key, verb, value) in [
        (
            "field-boot-mount",
            "boot_mount",
            "mounts the boot partition at",
            &new.boot_mount,
        ),
        (
            "field-boot-loader",
            "boot_loader",
            "boots with",
            &new.boot_loader,
        ),
    ] {
        if let (Some(old), Some(new)) = (field(family, key).as_str(), value)
            && old != new
        {
            out.error(
                code,
                format!("the earlier release {verb} {old}, this one {new}"),
            );
        }
    }
    let environment = texts(family, "environment");
    if !environment.is_empty() && !new.environment.is_empty() && environment != new.environment {
        let (old, new) = (environment.join(", "), new.environment.join(", "));
        out.error(
            "field-environment",
            format!("the earlier release has its boot environment in {old}, this one in {new}"),
        );
    }
}

/// What an update does not bring: it does not change the data partition.
fn data(old: &Value, new: &Contract, out: &mut Findings) {
    let mut dirs = texts(field(old, "family"), "data_dirs");
    let partitions = field(field(old, "input"), "partitions").as_array();
    for partition in partitions.into_iter().flatten() {
        let dir = format!("/data{}", text(partition, "path"));
        if text(partition, "fate") == "data" && !dirs.contains(&dir) {
            dirs.push(dir);
        }
    }
    for dir in new.data_dirs.iter().filter(|dir| !dirs.contains(dir)) {
        out.error(
            "field-data",
            format!(
                "/etc/fstab mounts {dir}, which devices of the earlier release do not have: an update \
                 does not change the data partition"
            ),
        );
    }
    for dir in dirs.iter().filter(|dir| !new.data_dirs.contains(dir)) {
        out.warning(
            "field-data-unused",
            format!(
                "devices of the earlier release keep files in {dir}, which this one does not mount: they \
                 stay on the data partition, where nothing uses them"
            ),
        );
    }
    let edits = field(old, "edits").as_array().into_iter().flatten();
    let before: Vec<String> = edits
        .filter(|edit| text(edit, "filesystem") == "data")
        .map(|edit| text(edit, "path"))
        .collect();
    let added = new.data_files.iter().filter(|path| !before.contains(path));
    let added: Vec<&String> = added.collect();
    if let Some(first) = added.first() {
        let others = match added.len() {
            1 => " is".to_owned(),
            2 => " and another file are".to_owned(),
            count => format!(" and {} other files are", count.saturating_sub(1)),
        };
        out.warning(
            "field-data-files",
            format!(
                "/data{first}{others} not on devices of the earlier release: an update does not change \
                 the data partition"
            ),
        );
    }
}

/// Whether devices take the Artifact for one that they do not have, and as the next of their own.
fn release(old: &Value, offer: &Offer, out: &mut Findings) {
    let name = text(old, "artifact_name");
    let digest = text(field(old, "root"), "sha256");
    let same = offer.payload_sha256.is_some_and(|own| hex(&own) == digest);
    if name == offer.name && !same {
        out.error(
            "field-name",
            format!(
                "the earlier release has the name {name} too: its devices take the Artifact for the \
                 one that they run and do not install it"
            ),
        );
    }
    let names = &offer.depends_names;
    if !names.is_empty() && !names.contains(&name) {
        let names = names.join(", ");
        out.error(
            "field-depends",
            format!("the Artifact is for devices that run {names}, the earlier release is {name}"),
        );
    }
    for (key, value) in &offer.depends {
        if key == "rootfs-image.checksum" && !digest.is_empty() {
            if *value != digest {
                out.error(
                    "field-depends",
                    format!(
                        "the Artifact is for devices whose root filesystem has the checksum {value}, \
                         that of the earlier release is {digest}"
                    ),
                );
            }
        } else {
            out.warning(
                "field-depends",
                format!(
                    "the Artifact is for devices that provide {key} = {value}: whether those of the \
                     earlier release do is not known"
                ),
            );
        }
    }
}

/// Whether the devices accept the signature.
fn signature(family: &Value, offer: &Offer, out: &mut Findings) {
    let keys = texts(family, "verify_keys");
    let mut parsed = keys.iter().map(|pem| Verifier::from_pem(pem));
    if keys.is_empty() || parsed.any(|key| key.is_ok_and(|key| offer.signed.is_of(&key))) {
        return;
    }
    let what = if matches!(offer.signed, Signed::No) {
        "is not signed"
    } else {
        "is signed with another key"
    };
    let count = match keys.len() {
        1 => "a key".to_owned(),
        many => format!("{many} keys"),
    };
    out.error(
        "field-signature",
        format!(
            "the Artifact {what}: devices of the earlier release check Artifacts with {count} and \
             refuse it"
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_record_is_named_as_such() {
        for (text, part) in [
            ("null", "is not a JSON object"),
            ("[]", "is not a JSON object"),
            ("{}", "has no format"),
            (
                "{\"format\":2}",
                "has the format 2, and this goldsmith reads 1",
            ),
            ("{\"format\":1}", "does not say what devices depend on"),
            (
                "{\"format\":1,\"family\":null}",
                "does not say what devices depend on",
            ),
        ] {
            let old = serde_json::from_str(text).unwrap();
            let found = check(&old, &Contract::default());
            let texts: Vec<&str> = found.iter().map(|one| one.text.as_str()).collect();
            assert!(
                matches!(texts.as_slice(), [text] if text.contains(part)),
                "{texts:?}"
            );
        }
    }
}
