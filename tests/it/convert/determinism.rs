//! Same input, same bytes: whoever converts, where, when, and with how many threads.

use crate::support::images;
use crate::support::unprivileged::UnprivilegedUser;
use crate::support::{goldsmith, must, root, scratch, tool};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Files by name, of a directory of outputs.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entry = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.unwrap();
        (
            entry.file_name().into_string().unwrap(),
            fs::read(entry.path()).unwrap(),
        )
    };
    fs::read_dir(dir).unwrap().map(entry).collect()
}

/// The names of files that differ.
fn differing(left: &BTreeMap<String, Vec<u8>>, right: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let names: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    names
        .into_iter()
        .filter(|name| left.get(*name) != right.get(*name))
        .cloned()
        .collect()
}

/// An overlay and a configuration beside a golden image.
fn materials(dir: &Path) {
    images::golden(dir);
    fs::create_dir_all(dir.join("overlay/etc/app")).unwrap();
    for at in 0..50 {
        fs::write(
            dir.join(format!("overlay/etc/app/{at}.conf")),
            format!("n = {at}\n").repeat(at),
        )
        .unwrap();
    }
    let config = "extends = \"qemux86-64\"\n[storage]\nsize = \"256 MiB\"\nalignment = \"1 MiB\"\n[rootfs]\noverlays = [\"overlay\"]\n\
                  [root]\nsize = \"48 MiB\"\n[data]\nsize = \"16 MiB\"\noverlay = [\"overlay\"]\n[output]\nrootfs = true\n[client]\nrequired = false\n";
    fs::write(dir.join("device.toml"), config).unwrap();
}

fn arguments<'a>(jobs: &'a str, image: &'a str) -> Vec<&'a str> {
    let set = if image == "raw" {
        "output.image=raw"
    } else {
        "output.image=zst"
    };
    vec![
        "convert",
        "-q",
        // What one run compressed would not be compressed by another.
        "--no-cache",
        "-c",
        "device.toml",
        "-n",
        "r1",
        "-s",
        set,
        "-j",
        jobs,
        "golden.img",
    ]
}

/// Converts in `dir` under circumstances that must not matter.
fn elsewhere(dir: &Path, image: &str) -> BTreeMap<String, Vec<u8>> {
    let workshop = UnprivilegedUser::new();
    for name in ["golden.img", "device.toml"] {
        must(
            "cp",
            &[
                &"--sparse=always",
                &dir.join(name),
                &workshop.path().join(name),
            ],
        );
    }
    // Made anew, in another order, at another time.
    fs::create_dir_all(workshop.path().join("overlay/etc/app")).unwrap();
    let mut overlay: Vec<_> = fs::read_dir(dir.join("overlay/etc/app"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    overlay.sort_by_key(|path| std::cmp::Reverse(path.clone()));
    for file in overlay {
        fs::write(
            workshop
                .path()
                .join("overlay/etc/app")
                .join(file.file_name().unwrap()),
            fs::read(&file).unwrap(),
        )
        .unwrap();
    }
    must("chmod", &[&"-R", &"u+rwX,go=u-w", &workshop.path()]);
    let program = workshop.bring(goldsmith(), "goldsmith");
    let mut command = workshop.command("sh");
    command
        .args(["-c", "umask 077; exec \"$@\"", "sh"])
        .arg(program)
        .args(arguments("4", image));
    command
        .env("TZ", "Pacific/Chatham")
        .env("LANG", "tr_TR.UTF-8")
        .env("LC_ALL", "C")
        .env("HOME", "/elsewhere")
        .env("USER", "other");
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    files(&workshop.path().join("deploy"))
}

/// Converts in `dir` as the one who runs the tests.
fn here(dir: &Path, image: &str, epoch: Option<&str>) -> BTreeMap<String, Vec<u8>> {
    let mut command = Command::new(goldsmith());
    command
        .args(arguments("1", image))
        .current_dir(dir)
        .env_remove("SOURCE_DATE_EPOCH")
        .env("TZ", "UTC");
    if let Some(epoch) = epoch {
        command.env("SOURCE_DATE_EPOCH", epoch);
    }
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    files(&dir.join("deploy"))
}

#[test]
fn nothing_but_the_input_matters() {
    if !images::can_make() {
        return;
    }
    let dir = scratch();
    materials(dir.path());
    for image in ["raw", "zst"] {
        let (one, two) = (here(dir.path(), image, None), elsewhere(dir.path(), image));
        assert!(one.len() >= 4, "{:?}", one.keys());
        assert_eq!(differing(&one, &two), Vec::<String>::new(), "{image}");
        fs::remove_dir_all(dir.path().join("deploy")).unwrap();
    }
}

/// Filesystems with shared extents and without, where holes are found with other grain or not at
/// all: the same bytes. Where extents can be shared, slot B and the file of the root filesystem are
/// written by sharing those of slot A.
#[test]
fn the_filesystem_of_input_and_results_does_not_matter() {
    if !images::can_make() || !root() {
        return;
    }
    let (Some(btrfs), Some(xfs), Some(filefrag), dir) = (
        tool("mkfs.btrfs"),
        tool("mkfs.xfs"),
        tool("filefrag"),
        scratch(),
    ) else {
        return;
    };
    materials(dir.path());
    let known = fs::read_to_string("/proc/filesystems").unwrap();
    let workshop = UnprivilegedUser::new();
    let program = workshop.bring(goldsmith(), "goldsmith");
    let mut results = BTreeMap::new();
    for (kind, mkfs) in [
        ("tmpfs", None),
        ("btrfs", Some(&btrfs)),
        ("xfs", Some(&xfs)),
        ("ext4", None),
    ] {
        let at = workshop.path().join(kind);
        fs::create_dir(&at).unwrap();
        let mounted = match (kind, mkfs) {
            ("tmpfs", _) => Some(Mounted::new(
                &["-t", "tmpfs", "-o", "size=1g", "tmpfs"],
                &at,
            )),
            (_, Some(_)) if !known.contains(&format!("\t{kind}\n")) => {
                eprintln!("left out: the kernel has no {kind}");
                continue;
            }
            (_, Some(mkfs)) => {
                let disk = workshop.path().join(format!("{kind}.img"));
                fs::File::create(&disk).unwrap().set_len(512 << 20).unwrap();
                must(mkfs, &[&"-q", &disk]);
                let disk = disk.display().to_string();
                Some(Mounted::new(&["-t", kind, "-o", "loop", &disk], &at))
            }
            _ => None,
        };
        for name in ["golden.img", "device.toml", "overlay"] {
            let (from, to) = (dir.path().join(name), at.join(name));
            must("cp", &[&"-r", &"--sparse=always", &from, &to]);
        }
        must("chmod", &[&"-R", &"a+rwX,go-w", &at]);
        must("chown", &[&"-R", &"65534:65534", &at]);
        let mut command = workshop.command(&program);
        let output = command
            .args(arguments("2", "raw"))
            .current_dir(&at)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{kind}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        results.insert(kind, files(&at.join("deploy")));
        if mkfs.is_some() {
            shares_the_root_filesystem(&filefrag, &at.join("deploy"));
        }
        drop(mounted);
    }
    let (kind, first) = results.pop_first().unwrap();
    assert!(!results.is_empty() && first.len() >= 4);
    for (other, files) in &results {
        assert_eq!(
            differing(&first, files),
            Vec::<String>::new(),
            "{kind} and {other}"
        );
    }
}

/// Fails unless slot B of the image and the file of the root filesystem have no block of their own.
fn shares_the_root_filesystem(filefrag: &Path, deploy: &Path) {
    let file = |end: &str| {
        let mut paths = fs::read_dir(deploy)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        paths
            .find(|path| path.display().to_string().ends_with(end))
            .unwrap()
    };
    let record: serde_json::Value =
        serde_json::from_slice(&fs::read(file(".json")).unwrap()).unwrap();
    let slot = &record["disk"]["partitions"][2];
    let start = slot["start"].as_u64().unwrap();
    let slot_b = start..start + slot["size"].as_u64().unwrap();
    for (path, range) in [(file(".img"), slot_b), (file(".ext4"), 0..u64::MAX)] {
        let (mut shared, mut own) = (0, Vec::new());
        // Number, logical range and physical range, length, flags, with colons between them.
        for line in must(filefrag, &[&"-b4096", &"-v", &"-s", &path]).lines() {
            let fields: Vec<&str> = line.split(':').map(str::trim).collect();
            let first = fields.get(1).and_then(|range| range.split("..").next());
            let first = first.and_then(|first| first.trim().parse::<u64>().ok());
            let is_extent = |at: &u64| fields.len() > 4 && range.contains(&(at * 4096));
            let Some(at) = first.filter(is_extent) else {
                continue;
            };
            if fields.last().unwrap().contains("shared") {
                shared += 1;
            } else {
                own.push(at);
            }
        }
        assert!(shared > 0 && own.is_empty(), "{}: {own:?}", path.display());
    }
}

/// A mount that goes away with the value.
struct Mounted(std::path::PathBuf);

impl Mounted {
    fn new(arguments: &[&str], at: &Path) -> Self {
        let mut words: Vec<&dyn AsRef<std::ffi::OsStr>> =
            arguments.iter().map(|word| word as _).collect();
        words.push(&at);
        must("mount", &words);
        Self(at.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        must("umount", &[&self.0]);
    }
}

/// A golden image that comes compressed gives the bytes of one that does not, but for what the
/// record says of it.
#[test]
fn a_packed_input_gives_the_same_image() {
    let (true, Some(zstd), Some(gzip)) = (images::can_make(), tool("zstd"), tool("gzip")) else {
        return;
    };
    let dir = scratch();
    materials(dir.path());
    let plain = here(dir.path(), "raw", None);
    let at = |name: &str| dir.path().join(name);
    fs::rename(at("golden.img"), at("plain")).unwrap();
    let commands: [(&Path, &[&str]); 2] = [(&zstd, &["-q", "-1"]), (&gzip, &["-1"])];
    for (program, options) in commands {
        fs::remove_dir_all(at("deploy")).unwrap();
        let output = Command::new(program)
            .args(options)
            .arg("-c")
            .arg(at("plain"))
            .output()
            .unwrap();
        assert!(output.status.success() && output.stdout.len() < 10 << 20);
        fs::write(at("golden.img"), output.stdout).unwrap();
        let packed = here(dir.path(), "raw", None);
        let record: Vec<&String> = plain
            .keys()
            .filter(|name| name.ends_with(".json"))
            .collect();
        assert_eq!(
            differing(&plain, &packed).iter().collect::<Vec<_>>(),
            record
        );
    }
}

/// The root filesystems of two boards of one golden image differ in the files that name the board
/// or its partitions, and in no metadata: what a fleet pays for each board depends on it.
#[test]
fn root_filesystems_of_two_boards_differ_in_few_blocks() {
    if !images::can_make() {
        return;
    }
    let dir = scratch();
    materials(dir.path());
    let config = fs::read_to_string(dir.path().join("device.toml")).unwrap();
    let root_of = |device_type: &str| {
        let text = format!("{config}[board]\ndevice-type = \"{device_type}\"\n");
        fs::write(dir.path().join("device.toml"), text).unwrap();
        let mut files = here(dir.path(), "raw", None);
        fs::remove_dir_all(dir.path().join("deploy")).unwrap();
        let mut names = files.keys().filter(|name| name.ends_with(".ext4"));
        let name = names.next().expect("the root filesystem").clone();
        files.remove(&name).unwrap()
    };
    let (atlas, delos) = (root_of("atlas"), root_of("delos"));
    assert_eq!(atlas.len(), delos.len());
    let blocks = atlas.chunks(4096).zip(delos.chunks(4096));
    let differing: Vec<usize> = blocks
        .enumerate()
        .filter(|(_, (one, other))| one != other)
        .map(|(at, _)| at)
        .collect();
    assert!((1..=6).contains(&differing.len()), "{differing:?}");
}

#[test]
fn a_different_input_is_seen() {
    if !images::can_make() {
        return;
    }
    let dir = scratch();
    materials(dir.path());
    let (one, two) = (
        here(dir.path(), "raw", Some("1700000000")),
        here(dir.path(), "raw", Some("1700000001")),
    );
    assert_eq!(
        differing(&one, &two).len(),
        one.len(),
        "every output carries the time"
    );
    fs::write(dir.path().join("overlay/etc/app/7.conf"), "other\n").unwrap();
    assert!(!differing(&two, &here(dir.path(), "raw", Some("1700000001"))).is_empty());
}
