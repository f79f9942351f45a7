//! Conversions of real Debian images, run by nobody and judged by strangers: the kernel, e2fsprogs,
//! dosfstools, fdisk and mender-artifact.
#![allow(dead_code)]

use crate::edit::manifest::{Edit, Mount, differences, manifest, unexplained};
use crate::support::golden::{client_packages, golden};
use crate::support::unprivileged::UnprivilegedUser;
use crate::support::{goldsmith, must, root, run, scratch, tool};
use goldsmith::platform::Architecture;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The family of devices that the golden images are converted for.
const CONFIGURATION: &str = r#"
[board]
device-type = ["DEVICE_TYPE"]

[storage]
size = "2 GiB"

[boot]
size = "64 MiB"

[root]
headroom = "50 %"

[data]
size = "128 MiB"

[client]
packages = ["client/*.deb"]
managed = false

[artifact]
compression = "gzip"

[output]
image = "raw"

[[overlay]]
dir = "patient"
"#;

/// What makes its systems wait for disks as long as it takes: emulated ones come late when the host
/// is busy.
const PATIENT: [&str; 2] = [
    "patient/etc/systemd/system.conf.d/patient.conf",
    "[Manager]\nDefaultDeviceTimeoutSec=15min\n",
];

/// Between a system and its parted: udev looks at the data partition again and again while it
/// grows. The lock, descriptor 9, is not held any longer for that.
const BUSY: [&str; 2] = [
    "patient/usr/local/sbin/parted",
    "#!/bin/sh
(
  n=0
  while [ $n -lt 60 ]; do
    /usr/bin/udevadm trigger --action=change /sys/class/block/vda4
    /usr/bin/sleep 0.05
    n=$((n + 1))
  done
) </dev/null >/dev/null 2>&1 9<&- &
exec /usr/sbin/parted \"$@\"
",
];

/// The configuration for the Raspberry Pi, whose golden image has the client already.
const PI_CONFIGURATION: &str = r#"
[board]
device-type = ["DEVICE_TYPE"]

[storage]
size = "1 GiB"
alignment = "4 MiB"
device = "/dev/mmcblk0"
"#;

/// The same for a board with a U-Boot of its own, whose golden image has no boot partition.
const U_BOOT_CONFIGURATION: &str = r#"
extends = ["DEVICE_TYPE"]

[board]
device-type = ["DEVICE_TYPE"]

[storage]
size = "768 MiB"
"#;

/// What both have besides: they start as far as the initial RAM disk.
const START_ONLY: &str = r#"
[root]
headroom = "10 %"
kernel-args = ["panic=-1"]

[data]
grow = false

[client]
managed = false
"#;

/// The device type of conversions of the golden image `variant`: that of a built-in board.
pub(crate) fn device_type(variant: &str) -> &'static str {
    match variant {
        "arm64" => "qemuarm64-uefi",
        "arm64-u-boot" => "qemuarm64-uboot",
        "armhf" => "qemuarm-uefi",
        "i386" => "qemux86",
        "pi" => "raspberrypi3_64",
        "pi-system" => "raspberrypi3-64",
        "pi-armhf" => "raspberrypi3",
        "extlinux" | "extlinux-gpt" | "extlinux-raw" => "generic-u-boot-arm64",
        "extlinux-armhf" => "generic-u-boot-armhf",
        _ => "qemux86-64",
    }
}

/// The architecture of the golden image `variant`, one of those that hold a whole system.
pub(crate) fn architecture(variant: &str) -> Architecture {
    let name = if variant == "pi-system" {
        "arm64"
    } else {
        variant.trim_end_matches("-u-boot")
    };
    Architecture::ALL
        .into_iter()
        .find(|arch| arch.name() == name)
        .unwrap_or(Architecture::Amd64)
}

/// Whether its golden image has no more than what starting needs, and the client.
fn is_small(variant: &str) -> bool {
    ["pi", "pi-armhf"].contains(&variant) || variant.starts_with("extlinux")
}

/// The configuration for it.
fn configuration(variant: &str) -> String {
    match variant {
        "pi" | "pi-armhf" => [PI_CONFIGURATION, START_ONLY].concat(),
        "arm64-u-boot" | "pi-system" => ["extends = [\"DEVICE_TYPE\"]\n", CONFIGURATION].concat(),
        "extlinux" | "extlinux-gpt" | "extlinux-raw" | "extlinux-armhf" => {
            [U_BOOT_CONFIGURATION, START_ONLY].concat()
        }
        _ => CONFIGURATION.into(),
    }
}

/// A partition of an image, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) start: u64,
    pub(crate) size: u64,
}

/// The partitions of a disk image by number, as sfdisk reads them.
pub(crate) fn partitions(image: &Path) -> BTreeMap<u32, Place> {
    let text = must(
        tool("sfdisk").expect("looked for before"),
        &[&"--json", &image],
    );
    let table: serde_json::Value = serde_json::from_str(&text).expect("sfdisk speaks JSON");
    let number = |value: &serde_json::Value| value.as_u64().expect("a number");
    let part = |entry: &serde_json::Value| {
        let node = entry["node"].as_str().expect("a name");
        let digits = node.len() - node.bytes().rev().take_while(u8::is_ascii_digit).count();
        let place = Place {
            start: number(&entry["start"]) * 512,
            size: number(&entry["size"]) * 512,
        };
        (node[digits..].parse().expect("a number"), place)
    };
    table["partitiontable"]["partitions"]
        .as_array()
        .expect("partitions")
        .iter()
        .map(part)
        .collect()
}

/// What a conversion made.
#[derive(Debug)]
pub(crate) struct Converted {
    /// The golden image.
    pub(crate) golden: PathBuf,
    /// The disk image.
    pub(crate) image: PathBuf,
    /// The Artifact.
    pub(crate) artifact: PathBuf,
    /// The report.
    pub(crate) record: serde_json::Value,
}

impl Converted {
    /// The edits of the root filesystem, from the report.
    fn edits(&self) -> Vec<Edit> {
        let edits: Vec<Edit> =
            serde_json::from_value(self.record["edits"].clone()).expect("the edits");
        edits
            .into_iter()
            .filter(|edit| edit.filesystem == "root")
            .collect()
    }

    /// Partition `number` of the converted image.
    pub(crate) fn part(&self, number: u32) -> Place {
        partitions(&self.image)[&number]
    }

    /// Copies partition `number` of the converted image into a file.
    pub(crate) fn extract(&self, number: u32, to: &Path) {
        let Place { start, size } = self.part(number);
        let mib = |bytes: u64| (bytes >> 20).to_string();
        let [skip, count] = [
            format!("skip={}", mib(start)),
            format!("count={}", mib(size)),
        ];
        let [from, to] = [
            format!("if={}", self.image.display()),
            format!("of={}", to.display()),
        ];
        must(
            "dd",
            &[
                &from,
                &to,
                &"bs=1M",
                &skip,
                &count,
                &"conv=sparse",
                &"status=none",
            ],
        );
    }
}

/// The golden image `variant` converted as release `name`; done once for all tests. `None`, said
/// aloud, when tools are missing.
pub(crate) fn converted(variant: &str, name: &str) -> Option<Arc<Converted>> {
    static DONE: Mutex<BTreeMap<String, Arc<Converted>>> = Mutex::new(BTreeMap::new());
    let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
    let key = format!("{variant}-{name}");
    if let Some(found) = done.get(&key) {
        return Some(Arc::clone(found));
    }
    let made = Arc::new(convert(variant, name)?);
    done.insert(key, Arc::clone(&made));
    Some(made)
}

/// Settings that a variant needs besides its configuration.
fn settings(variant: &str) -> &'static [&'static str] {
    match variant {
        "rich" => &["--set", "storage.size=\"4 GiB\""],
        // Room for a kernel beside the old one, and for Artifacts on the data partition.
        "pi-system" => &[
            "--set",
            "storage.size=\"4 GiB\"",
            "--set",
            "boot.size=\"192 MiB\"",
            "--set",
            "root.headroom=\"90 %\"",
            "--set",
            "data.size=\"512 MiB\"",
        ],
        "extlinux-gpt" => &["--set", "storage.table=\"gpt\""],
        "extlinux-raw" => &[
            "--set",
            "boot.environment=\"raw\"",
            "--set",
            "storage.device=\"/dev/mmcblk0\"",
        ],
        _ => &[],
    }
}

/// Converts `variant` as nobody, with what nobody can reach, and takes the results to
/// `target/converted/`.
fn convert(variant: &str, name: &str) -> Option<Converted> {
    tool("sfdisk")?;
    // Of the one image, with a table, an environment or a boot loader of another kind.
    let kinds = ["-busy", "-gpt", "-raw", "-u-boot"];
    let golden = golden(
        kinds
            .into_iter()
            .find_map(|kind| variant.strip_suffix(kind))
            .unwrap_or(variant),
    )?;
    let workshop = UnprivilegedUser::new();
    let program = workshop.bring(goldsmith(), "goldsmith");
    let disk = workshop.bring(&golden, &format!("in/{variant}.img"));
    let device_type = device_type(variant);
    for package in if is_small(variant) {
        Vec::new()
    } else {
        client_packages(architecture(variant))?
    } {
        let file = package
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        workshop.bring(&package, &format!("client/{file}"));
    }
    let overlay = std::iter::once((PATIENT, 0o644))
        .chain(variant.ends_with("-busy").then_some((BUSY, 0o755)));
    for ([path, text], mode) in overlay {
        let path = workshop.path().join(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(&path, text).expect("writing an overlay");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its mode");
    }
    let config = workshop.path().join("family.toml");
    let text = configuration(variant).replace("DEVICE_TYPE", device_type);
    fs::write(&config, text).expect("writing the configuration");
    let arguments = [
        "convert",
        "--quiet",
        "--output-dir",
        "out",
        "--artifact-name",
        name,
        "--config",
    ];
    let mut command = workshop.command(program);
    command.args(arguments).arg(&config).args(settings(variant));
    let output = command.arg(&disk).output().expect("goldsmith starts");
    assert!(
        output.status.success(),
        "converting {variant}: {}",
        String::from_utf8_lossy(&output.stderr)
    );

    let keep = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("converted");
    fs::create_dir_all(&keep).expect("a directory for results");
    let take = |extension: &str| {
        let file = format!("{variant}-{device_type}-{name}.{extension}");
        let to = keep.join(&file);
        must("mv", &[&workshop.path().join("out").join(&file), &to]);
        to
    };
    let record = fs::read(take("json")).expect("the report");
    let record = serde_json::from_slice(&record).expect("the report is JSON");
    Some(Converted {
        golden,
        image: take("img"),
        artifact: take("mender"),
        record,
    })
}

/// The number of the root partition of a golden image.
fn golden_root(variant: &str) -> u32 {
    match variant {
        "cloud" | "extlinux" => 1,
        "mbr" => 5,
        _ => 2,
    }
}

/// Holds slot A against the golden root, file by file, and that against the edits in the report.
fn keeps_every_file(variant: &str) {
    if !root() {
        return;
    }
    let Some(made) = converted(variant, "release-1") else {
        return;
    };
    let old = partitions(&made.golden)[&golden_root(variant)];
    let new = made.part(2);
    let old = manifest(
        Mount::new(&made.golden, old.start, old.size)
            .expect("root")
            .path(),
    );
    let new = manifest(
        Mount::new(&made.image, new.start, new.size)
            .expect("root")
            .path(),
    );
    assert!(
        old.len() > if is_small(variant) { 500 } else { 9_000 },
        "the golden root holds a system"
    );
    let found = unexplained(&differences(&old, &new), &made.edits());
    assert!(
        found.is_empty(),
        "{variant}: {} surprises\n{}",
        found.len(),
        found.join("\n")
    );
}

#[test]
fn a_slot_holds_the_golden_files_and_the_planned_edits() {
    keeps_every_file("mini");
}

#[test]
fn so_does_one_of_a_cloud_image() {
    keeps_every_file("cloud");
}

#[test]
fn so_does_one_of_a_dos_disk() {
    keeps_every_file("mbr");
}

#[test]
fn so_does_one_of_a_raspberry_pi() {
    keeps_every_file("pi");
}

#[test]
fn so_does_one_of_a_raspberry_pi_of_32_bits() {
    keeps_every_file("pi-armhf");
}

#[test]
fn so_does_one_of_a_board_without_a_boot_partition() {
    keeps_every_file("extlinux");
}

/// Lets the owners of every format look at the results for `variant`.
fn strangers_accept(variant: &str) {
    let tools = ["sfdisk", "e2fsck", "fsck.vfat", "mender-artifact"];
    let [
        Some(sfdisk),
        Some(e2fsck),
        Some(fsck_vfat),
        Some(mender_artifact),
    ] = tools.map(tool)
    else {
        return;
    };
    let Some(made) = converted(variant, "release-1") else {
        return;
    };
    must(sfdisk, &[&"--verify", &made.image]);
    let scratch = scratch();
    let file = |number: u32| scratch.path().join(format!("part-{number}"));
    for number in 1..=4 {
        made.extract(number, &file(number));
    }
    must(fsck_vfat, &[&"-n", &file(1)]);
    for number in 2..=4 {
        must(&e2fsck, &[&"-f", &"-n", &file(number)]);
    }
    must("cmp", &[&file(2), &file(3)]);

    must(&mender_artifact, &[&"validate", &made.artifact]);
    let said = must(mender_artifact, &[&"read", &made.artifact]);
    assert!(
        said.contains("Name: release-1") && said.contains(device_type(variant)),
        "{said}"
    );
    let payload = made.record["root"]["sha256"]
        .as_str()
        .expect("the payload's digest");
    assert!(
        said.contains(payload),
        "the Artifact holds another image than the report says: {said}"
    );
    let length = made.record["root"]["size"]
        .as_u64()
        .expect("the payload's size");
    let slot = must(
        "sh",
        &[
            &"-c",
            &format!("head -c {length} \"$0\" | sha256sum"),
            &file(2),
        ],
    );
    assert_eq!(
        slot.split(' ').next(),
        Some(payload),
        "slot A holds another image than the Artifact"
    );
}

#[test]
fn strangers_accept_the_results() {
    strangers_accept("mini");
}

#[test]
fn strangers_accept_the_results_for_a_dos_disk() {
    strangers_accept("mbr");
}

#[test]
fn strangers_accept_the_results_for_a_raspberry_pi() {
    strangers_accept("pi");
    let [Some(sfdisk), Some(mkimage), Some(mcopy)] = ["sfdisk", "mkimage", "mcopy"].map(tool)
    else {
        return;
    };
    let Some(made) = converted("pi", "release-1") else {
        return;
    };
    // What its firmware reads: a FAT partition that is marked as such, and as the one to boot from.
    let table = must(&sfdisk, &[&"-d", &made.image]);
    assert!(
        table
            .lines()
            .any(|line| line.contains("start=       24576") && line.ends_with("type=c, bootable")),
        "{table}"
    );
    let scratch = scratch();
    let script = scratch.path().join("boot.scr");
    must(
        &mcopy,
        &[
            &"-i",
            &format!("{}@@12M", made.image.display()),
            &"::/boot.scr",
            &script,
        ],
    );
    let said = must(mkimage, &[&"-l", &script]);
    assert!(said.contains("ARM Linux Script"), "{said}");
    // Nothing lies between the table and the boot partition.
    let front = format!(
        "head -c {} \"$0\" | tail -c +513 | tr -d '\\000' | wc -c",
        12 << 20
    );
    assert_eq!(must("sh", &[&"-c", &front, &made.image]).trim(), "0");
}

#[test]
fn what_starts_by_u_boot_is_verified() {
    for variant in ["pi", "pi-armhf", "extlinux"] {
        let Some(made) = converted(variant, "release-1") else {
            return;
        };
        must(
            goldsmith(),
            &[&"verify", &made.image, &"--artifact", &made.artifact],
        );
    }
}

#[test]
fn strangers_refuse_what_is_damaged() {
    let [Some(e2fsck), Some(mender_artifact)] = ["e2fsck", "mender-artifact"].map(tool) else {
        return;
    };
    let Some(made) = converted("mini", "release-1") else {
        return;
    };
    let scratch = scratch();
    let [slot, artifact] = ["slot", "artifact"].map(|name| scratch.path().join(name));
    made.extract(2, &slot);
    // The superblock's size of an inode.
    must(
        "sh",
        &[
            &"-c",
            &"printf damage | dd of=\"$0\" bs=1 seek=$((1024 + 88)) conv=notrunc status=none",
            &slot,
        ],
    );
    assert!(
        !run(e2fsck, &[&"-f", &"-n", &slot]).status.success(),
        "a damaged superblock passes"
    );
    fs::copy(&made.artifact, &artifact).expect("copying the Artifact");
    must(
        "sh",
        &[
            &"-c",
            &"printf damage | dd of=\"$0\" bs=1 seek=5000000 conv=notrunc status=none",
            &artifact,
        ],
    );
    assert!(
        !run(mender_artifact, &[&"validate", &artifact])
            .status
            .success(),
        "a damaged payload passes"
    );
}
