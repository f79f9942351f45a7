//! Conversions of real Debian images, run by nobody and judged by strangers: the kernel, e2fsprogs,
//! dosfstools, fdisk and mender-artifact.
#![allow(dead_code)]

mod variants;

use crate::edit::manifest::{Edit, Mount, differences, manifest, unexplained};
use crate::support::golden::{client_packages, golden, release};
use crate::support::unprivileged::UnprivilegedUser;
use crate::support::{goldsmith, must, root, run, scratch, tool};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use variants::{BUSY, PATIENT, configuration, golden_root, is_small, settings};
pub(crate) use variants::{architecture, device_type};

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

/// Converts the golden image of `variant`.
fn convert(variant: &str, name: &str) -> Option<Converted> {
    // Of the one image, with a table, an environment or a boot loader of another kind.
    let kinds = ["-busy", "-gpt", "-raw", "-u-boot"];
    let golden = golden(
        kinds
            .into_iter()
            .find_map(|kind| variant.strip_suffix(kind))
            .unwrap_or(variant),
    )?;
    convert_image(&golden, variant, variant, name, "")
}

/// Converts the image `golden`, which is of `variant`, as nobody, with what nobody can reach, and
/// takes the results to `target/converted/`. It is called `image`; `more` is added to the
/// configuration.
pub(crate) fn convert_image(
    golden: &Path,
    image: &str,
    variant: &str,
    name: &str,
    more: &str,
) -> Option<Converted> {
    convert_after(golden, image, variant, name, more, |_| Vec::new())
}

/// What is done before a conversion.
pub(crate) struct Before<'a> {
    /// The user who converts.
    pub(crate) user: &'a UnprivilegedUser,
    /// The program.
    pub(crate) program: &'a Path,
    /// The configuration, which may be changed.
    pub(crate) config: &'a Path,
    /// The golden image.
    pub(crate) disk: &'a Path,
}

/// The same after `before`, whose result are more arguments.
pub(crate) fn convert_after(
    golden: &Path,
    image: &str,
    variant: &str,
    name: &str,
    more: &str,
    before: impl FnOnce(&Before<'_>) -> Vec<String>,
) -> Option<Converted> {
    tool("sfdisk")?;
    let workshop = UnprivilegedUser::new();
    let program = workshop.bring(goldsmith(), "goldsmith");
    let disk = workshop.bring(golden, &format!("in/{image}.img"));
    let device_type = device_type(variant);
    for package in if is_small(variant) {
        Vec::new()
    } else {
        client_packages(architecture(variant), release(variant))?
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
    let text = configuration(variant).replace("DEVICE_TYPE", device_type) + more;
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
    let more = before(&Before {
        user: &workshop,
        program: &program,
        config: &config,
        disk: &disk,
    });
    let mut command = workshop.command(program);
    command.args(arguments).arg(&config).args(settings(variant));
    command.args(more);
    let output = command.arg(&disk).output().expect("goldsmith starts");
    assert!(
        output.status.success(),
        "converting {image}: {}",
        String::from_utf8_lossy(&output.stderr)
    );

    let keep = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("converted");
    fs::create_dir_all(&keep).expect("a directory for results");
    let take = |extension: &str| {
        let file = format!("{image}-{device_type}-{name}.{extension}");
        let to = keep.join(&file);
        must("mv", &[&workshop.path().join("out").join(&file), &to]);
        to
    };
    let record = fs::read(take("json")).expect("the report");
    let record = serde_json::from_slice(&record).expect("the report is JSON");
    Some(Converted {
        golden: golden.to_owned(),
        image: take("img"),
        artifact: take("mender"),
        record,
    })
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
    let mut found = unexplained(&differences(&old, &new), &made.edits());
    // Blocks that are allocated but not written are written in the slot: zeros, as they were read.
    let preallocated = "var/lib/goldsmith-hard-cases/preallocated was changed without a plan: \
                        [(\"data\", \"2-3  -> 0-64 \")]";
    found.retain(|line| line != preallocated);
    assert!(
        found.is_empty(),
        "{variant}: {} surprises\n{}",
        found.len(),
        found.join("\n")
    );
}

#[test]
fn a_slot_holds_the_golden_files_and_the_planned_edits() {
    keeps_every_file("mini-trixie");
}

#[test]
fn so_does_one_of_debian_12() {
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
    strangers_accept("mini-trixie");
}

#[test]
fn strangers_accept_the_results_for_debian_12() {
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
