//! The forms of the disk image, its block map, and flashing by it: judged by qemu-img, simg2img,
//! bmaptool, e2fsck and fsck.vfat.

use crate::convert::conversions::{Place, partitions};
use crate::support::golden::{client_packages, golden};
use crate::support::{goldsmith, must, noise, root, run, scratch, tool};
use goldsmith::fs::fat;
use goldsmith::image::output::BlockMap;
use goldsmith::platform::Architecture;
use goldsmith::stream::{Codec, Compression, Content, FileSource, Slice};
use goldsmith::tree::dump::dump;
use goldsmith::units::MIB;
use std::fs::{self, File};
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, OnceLock};

/// A small family: no more room than the golden root needs.
const CONFIGURATION: &str = r#"
[board]
device-type = ["qemux86-64"]

[storage]
size = "1 GiB"

[boot]
size = "40 MiB"

[root]
headroom = "4 MiB"

[data]
size = "32 MiB"

[client]
packages = ["DEBS/*.deb"]
managed = false

[artifact]
compression = "none"

[output]
name = "disk"
"#;

/// Converts the golden image into `dir`, its image in the form `form`.
fn convert(dir: &Path, form: &str) -> Option<()> {
    let golden = golden("mini")?;
    let packages = client_packages(Architecture::Amd64, "bookworm")?;
    fs::create_dir_all(dir).unwrap();
    let config = dir.join("family.toml");
    fs::write(
        &config,
        CONFIGURATION.replace("DEBS", packages[0].parent().unwrap().to_str().unwrap()),
    )
    .unwrap();
    let set = format!("output.image={form:?}");
    let name = ["-n", "release-1", "--set", "output.level=1"];
    let mut args: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![
        &"convert",
        &"-q",
        &"--output-dir",
        &dir,
        &"--config",
        &config,
    ];
    args.extend(name.iter().map(|arg| arg as &dyn AsRef<std::ffi::OsStr>));
    args.extend([&"--set" as &dyn AsRef<std::ffi::OsStr>, &set, &golden]);
    must(goldsmith(), &args);
    Some(())
}

/// The directory with the raw image, made once.
fn raw() -> Option<&'static Path> {
    static DONE: OnceLock<Option<PathBuf>> = OnceLock::new();
    let make = || {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("outputs");
        convert(&dir, "raw").map(|()| dir)
    };
    DONE.get_or_init(make).as_deref()
}

#[test]
fn all_forms_hold_the_same_disk() {
    let ([Some(qemu), Some(simg2img)], Some(raw)) = (["qemu-img", "simg2img"].map(tool), raw())
    else {
        return;
    };
    let dir = scratch();
    let image = raw.join("disk.img");
    for form in ["qcow2", "android-sparse", "gz"] {
        convert(&dir.path().join(form), form).unwrap();
    }
    let qcow2 = dir.path().join("qcow2/disk.qcow2");
    must(&qemu, &[&"check", &"-f", &"qcow2", &qcow2]);
    must(
        &qemu,
        &[&"compare", &"-f", &"raw", &"-F", &"qcow2", &image, &qcow2],
    );
    let back = dir.path().join("back");
    must(
        simg2img,
        &[&dir.path().join("android-sparse/disk.simg"), &back],
    );
    must("cmp", &[&image, &back]);
    assert!(!dir.path().join("qcow2/disk.img.bmap").exists());
    must(
        "cmp",
        &[
            &raw.join("disk.img.bmap"),
            &dir.path().join("gz/disk.img.bmap"),
        ],
    );
    must(
        "sh",
        &[
            &"-c",
            &"gzip -dc \"$0\" | cmp - \"$1\"",
            &dir.path().join("gz/disk.img.gz"),
            &image,
        ],
    );
    let record: serde_json::Value =
        serde_json::from_slice(&fs::read(raw.join("disk.json")).unwrap()).unwrap();
    let kinds: Vec<_> = record["outputs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|output| output["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["image", "bmap", "artifact"]);
    assert!(fs::metadata(raw.join("disk.mender")).unwrap().len() > 100 * MIB);
}

/// Fills `path` with `len` bytes of noise.
fn soil(path: &Path, len: u64) {
    let part = noise(1 << 20, 1);
    let mut file = File::create(path).unwrap();
    (0..len / MIB).for_each(|_| file.write_all(&part).unwrap());
}

/// The blocks of the filesystem at `place` that are in use, by dumpe2fs, as ranges of bytes of the
/// disk.
fn in_use(image: &Path, place: Place) -> Vec<Range<u64>> {
    let name = format!("{}?offset={}", image.display(), place.start);
    let text = must(tool("dumpe2fs").expect("e2fsprogs is there"), &[&name]);
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap()
            .trim()
            .parse::<u64>()
            .unwrap()
    };
    assert_eq!(field("Block size:"), 4096);
    let at = |block: u64| place.start + block * 4096;
    let (mut used, mut next) = (vec![], 0);
    for spans in text
        .lines()
        .filter_map(|line| line.strip_prefix("  Free blocks: "))
    {
        for span in spans.split(", ").filter(|span| !span.is_empty()) {
            let (first, last) = span.split_once('-').unwrap_or((span, span));
            let (first, last): (u64, u64) = (first.parse().unwrap(), last.parse().unwrap());
            used.push(at(next)..at(first));
            next = last + 1;
        }
    }
    used.push(at(next)..at(field("Block count:")));
    used
}

/// The first block in which two files differ within `range`.
fn difference(one: &File, other: &File, range: Range<u64>) -> Option<u64> {
    let (mut a, mut b) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    range.clone().step_by(1 << 20).find_map(|at| {
        let len = usize::try_from((range.end - at).min(1 << 20)).unwrap();
        one.read_exact_at(&mut a[..len], at).unwrap();
        other.read_exact_at(&mut b[..len], at).unwrap();
        let differ = || {
            (0..len as u64)
                .step_by(4096)
                .find(|n| a[*n as usize..][..4096] != b[*n as usize..][..4096])
        };
        if a[..len] == b[..len] {
            None
        } else {
            differ().map(|n| at + n)
        }
    })
}

/// Where `device` differs from `image` in what filesystems use; the strangers' verdict on it is
/// asserted.
fn assess(image: &Path, device: &Path, strangers: bool) -> Vec<String> {
    let parts = partitions(image);
    let (one, other) = (File::open(image).unwrap(), File::open(device).unwrap());
    let mut found = Vec::new();
    for number in 2..=4 {
        let used = in_use(image, parts[&number]);
        assert!(
            used.iter()
                .map(|range| range.end - range.start)
                .sum::<u64>()
                > 4 * MIB
        );
        found.extend(
            used.into_iter()
                .filter_map(|range| difference(&one, &other, range))
                .map(|at| format!("{number}: {at}")),
        );
        if strangers {
            must(
                tool("e2fsck").unwrap(),
                &[
                    &"-fn",
                    &format!("{}?offset={}", device.display(), parts[&number].start),
                ],
            );
        }
    }
    let Place { start, size } = parts[&1];
    let boot = |file: File| {
        Arc::new(Slice::new(
            Arc::new(FileSource::new(file, 1 << 30)),
            start,
            size,
        ))
    };
    if strangers {
        assert_eq!(
            dump(&fat::read(boot(one)).unwrap().0).unwrap(),
            dump(&fat::read(boot(other)).unwrap().0).unwrap()
        );
        let scratch = scratch();
        let file = scratch.path().join("boot");
        let [skip, count] = [
            format!("skip={}", start / MIB),
            format!("count={}", size / MIB),
        ];
        must(
            "dd",
            &[
                &format!("if={}", device.display()),
                &format!("of={}", file.display()),
                &"bs=1M",
                &skip,
                &count,
                &"status=none",
            ],
        );
        must(tool("fsck.vfat").unwrap(), &[&"-n", &file]);
        must(tool("sfdisk").unwrap(), &[&"--verify", &device]);
    }
    found
}

fn flash(image: &Path, device: &Path, more: &[&dyn AsRef<std::ffi::OsStr>]) -> Output {
    run(
        goldsmith(),
        &[
            &[
                &"flash" as &dyn AsRef<std::ffi::OsStr>,
                &"--yes",
                &image,
                &device,
            ],
            more,
        ]
        .concat(),
    )
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_the_map_names_is_all_that_a_device_needs() {
    let tools = ["bmaptool", "e2fsck", "dumpe2fs", "fsck.vfat", "sfdisk"];
    if tools.map(tool).contains(&None) {
        return;
    }
    let Some(raw) = raw() else { return };
    let dir = scratch();
    let (image, device) = (raw.join("disk.img"), dir.path().join("device"));
    soil(&device, 1 << 30);
    let output = flash(&image, &device, &[]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(assess(&image, &device, true), Vec::<String>::new());
    // Where nothing lies, the device keeps what it had.
    let mut rest = [0; 4096];
    File::open(&device)
        .unwrap()
        .read_exact_at(&mut rest, (1 << 30) - 2 * MIB)
        .unwrap();
    assert!(rest[..] == noise(1 << 20, 1)[..4096]);
    // A map of the image file's data alone leaves the device's old bytes where filesystems count on
    // zeros.
    let poor = dir.path().join("poor.bmap");
    must(
        tool("bmaptool").unwrap(),
        &[&"create", &"-o", &poor, &image],
    );
    soil(&device, 1 << 30);
    let output = flash(&image, &device, &[&"--bmap", &poor, &"--no-verify"]);
    assert!(output.status.success(), "{}", text(&output));
    assert!(!assess(&image, &device, false).is_empty());
}

#[test]
fn bmaptool_fills_a_used_device_and_notices_damage() {
    let (Some(bmaptool), Some(losetup)) = (tool("bmaptool"), tool("losetup")) else {
        return;
    };
    let Some(raw) = raw().filter(|_| root()) else {
        return;
    };
    let dir = scratch();
    let (image, device) = (raw.join("disk.img"), dir.path().join("device"));
    // A device: files are emptied by bmaptool before it writes.
    soil(&device, 1 << 30);
    let attached = Loop::new(&losetup, &device);
    must(
        &bmaptool,
        &[
            &"copy",
            &"--bmap",
            &raw.join("disk.img.bmap"),
            &image,
            &attached.0,
        ],
    );
    drop(attached);
    assert_eq!(assess(&image, &device, true), Vec::<String>::new());

    let damaged = dir.path().join("damaged");
    must("cp", &[&"--sparse=always", &image, &damaged]);
    let inode_table = in_use(&image, partitions(&image)[&2])[0].start + 40 * 4096;
    File::options()
        .write(true)
        .open(&damaged)
        .unwrap()
        .write_all_at(b"damage", inode_table)
        .unwrap();
    let map = raw.join("disk.img.bmap");
    assert!(
        !run(
            &bmaptool,
            &[&"copy", &"--bmap", &map, &damaged, &dir.path().join("x")]
        )
        .status
        .success()
    );
    let output = flash(&damaged, &device, &[&"--bmap", &map]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output).contains("do not match the block map") && text(&output).contains("\nhint: "),
        "{}",
        text(&output)
    );
    assert_eq!(
        assess(&image, &device, false),
        Vec::<String>::new(),
        "damaged bytes were written"
    );
}

/// A loop device that goes away with the value.
struct Loop(PathBuf);

impl Loop {
    fn new(losetup: &Path, file: &Path) -> Self {
        Self(must(losetup, &[&"--find", &"--show", &file]).trim().into())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new(tool("losetup").unwrap())
            .arg("-d")
            .arg(&self.0)
            .status();
    }
}

/// 16 MiB of which the map names 7.
fn small() -> Content {
    let mut image = Content::hole(0);
    image.push_bytes(0, noise(1 << 20, 5));
    image.push_bytes(3 * MIB, noise(4 << 20, 6));
    image.set_len(16 * MIB);
    let zeros = 9 * MIB..11 * MIB;
    image.cover(&[zeros], 4096);
    image
}

/// Writes `small` in the form `kind` with its map beside it, and returns its path.
fn save_small(dir: &Path, kind: Compression) -> PathBuf {
    let path = dir.join(format!("small.img{}", kind.suffix()));
    let bytes = Codec::new(kind, Some(kind.levels().0))
        .unwrap()
        .compress(&small().read_all(1 << 30).unwrap())
        .unwrap();
    fs::write(&path, bytes).unwrap();
    fs::write(
        dir.join("small.img.bmap"),
        BlockMap::of(&small()).unwrap().to_xml(),
    )
    .unwrap();
    path
}

#[test]
fn every_form_is_flashed_with_and_without_a_map() {
    let dir = scratch();
    let device = dir.path().join("device");
    let plain = small().read_all(1 << 30).unwrap();
    let old = noise(1 << 20, 1).repeat(18);
    for kind in Compression::ALL {
        let image = save_small(dir.path(), kind);
        for mapped in [true, false] {
            if !mapped {
                fs::remove_file(dir.path().join("small.img.bmap")).unwrap();
            }
            fs::write(&device, &old).unwrap();
            let output = flash(&image, &device, &[]);
            assert!(
                output.status.success(),
                "{kind} {mapped}: {}",
                text(&output)
            );
            let mut expected = old.clone();
            if mapped {
                for range in small().covered(4096) {
                    let range = range.start as usize..range.end as usize;
                    expected[range.clone()].copy_from_slice(&plain[range]);
                }
            } else {
                expected[..plain.len()].copy_from_slice(&plain);
            }
            assert!(fs::read(&device).unwrap() == expected, "{kind} {mapped}");
        }
    }
}

#[test]
fn what_cannot_be_flashed_is_refused_and_left_alone() {
    let dir = scratch();
    let at = |name: &str| dir.path().join(name);
    let image = save_small(dir.path(), Compression::None);
    let device = at("device");
    fs::write(&device, noise((16 << 20) - 512, 1)).unwrap();
    let before = fs::read(&device).unwrap();
    let map = fs::read_to_string(at("small.img.bmap")).unwrap();
    fs::write(at("damaged.bmap"), map.replacen("0-255", "0-254", 1)).unwrap();
    let other = BlockMap {
        size: 15 * MIB,
        ..BlockMap::parse(&map).unwrap()
    };
    fs::write(at("other.bmap"), other.to_xml()).unwrap();
    let refused = |output: Output, code: i32, parts: &[&str]| {
        assert_eq!(output.status.code(), Some(code), "{}", text(&output));
        parts
            .iter()
            .for_each(|part| assert!(text(&output).contains(part), "{}", text(&output)));
        assert!(text(&output).contains("\nhint: "), "{}", text(&output));
        assert!(fs::read(&device).unwrap() == before);
    };
    refused(
        flash(&image, &device, &[]),
        1,
        &["16776704 bytes", "16777216 bytes"],
    );
    refused(
        flash(&image, &device, &[&"--bmap", &at("damaged.bmap")]),
        1,
        &["damaged block map"],
    );
    refused(
        flash(&image, &device, &[&"--bmap", &at("other.bmap")]),
        1,
        &["15728640 bytes"],
    );
    refused(flash(&image, &at("none"), &[]), 1, &["cannot be opened"]);
    refused(
        flash(&image, dir.path(), &[]),
        1,
        &["neither a block device nor a regular file"],
    );
    refused(flash(dir.path(), &device, &[]), 1, &["is a directory"]);
}

#[test]
fn nothing_is_flashed_without_a_yes() {
    let dir = scratch();
    let image = save_small(dir.path(), Compression::None);
    let device = dir.path().join("device");
    fs::write(&device, noise(16 << 20, 1)).unwrap();
    let mut command = Command::new(goldsmith());
    command
        .arg("flash")
        .args([&image, &device])
        .stdin(Stdio::null());
    let before = fs::read(&device).unwrap();
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output).contains("hint: confirm with --yes"),
        "{}",
        text(&output)
    );
    assert!(fs::read(&device).unwrap() == before);
    let Some(script) = tool("script") else { return };
    for (answer, written) in [("no", false), ("yes", true)] {
        let line = format!(
            "{} flash {} {}",
            goldsmith().display(),
            image.display(),
            device.display()
        );
        must(
            "sh",
            &[
                &"-c",
                &"echo $0 | \"$1\" -qc \"$2\" /dev/null",
                &answer,
                &script,
                &line,
            ],
        );
        assert_eq!(fs::read(&device).unwrap() != before, written);
    }
}

#[test]
fn devices_in_use_are_refused() {
    let (Some(losetup), Some(mke2fs), true) = (tool("losetup"), tool("mke2fs"), root()) else {
        return;
    };
    let dir = scratch();
    let (device, place) = (dir.path().join("device"), dir.path().join("mounted here"));
    let image = save_small(dir.path(), Compression::None);
    soil(&device, 64 * MIB);
    must(mke2fs, &[&"-qF", &device]);
    let attached = Loop::new(&losetup, &device);
    fs::create_dir(&place).unwrap();
    let before = fs::read(&device).unwrap();
    let output = flash(&image, &device, &[]);
    assert!(
        text(&output).contains("is in use as /dev/loop"),
        "{}",
        text(&output)
    );
    must("mount", &[&"-o", &"ro", &attached.0, &place]);
    let output = flash(&image, &attached.0, &[]);
    must("umount", &[&place]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output).contains(&format!("is mounted on {}", place.display())),
        "{}",
        text(&output)
    );
    assert!(fs::read(&device).unwrap() == before);
    let output = flash(&image, &attached.0, &[]);
    assert!(output.status.success(), "{}", text(&output));
    drop(attached);
    assert!(fs::read(&device).unwrap()[..MIB as usize] == noise(1 << 20, 5));
}
