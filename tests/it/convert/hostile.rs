//! Input that means harm, or that chance has damaged: the command says what is wrong, within
//! bounded memory and time. It never panics, never hangs, and nothing of the host gets into a
//! result by a path that leaves its root.

mod endless;
mod packages;

use crate::support::images::{BOOT, ROOT, convert, small, unchecked};
use crate::support::{goldsmith, must, noise, scratch, tool};
pub(crate) use packages::package;
use packages::with_package;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

const MIB: u64 = 1 << 20;
/// What a run may take of address space (KiB) and of time (seconds).
const MEMORY: &str = "1500000";
const SECONDS: &str = "20";

/// Runs goldsmith within bounds and returns its exit code, which is 0, 1 or 2, and what it said.
fn bounded<A: Into<OsString>>(arguments: impl IntoIterator<Item = A>, what: &str) -> (i32, String) {
    let script = "ulimit -v \"$0\" && exec timeout \"$1\" \"${@:2}\"";
    let mut command = Command::new("bash");
    command
        .args(["-c", script, MEMORY, SECONDS])
        .arg(goldsmith())
        .args(arguments.into_iter().map(Into::into));
    let output = command
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("bash starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains("panicked at"), "{what}: {said}");
    let code = output.status.code().filter(|code| (0..=2).contains(code));
    (
        code.unwrap_or_else(|| panic!("{what}: {}: {said}", output.status)),
        said,
    )
}

/// The arguments of `plan` or `convert` for `disk`.
fn arguments(verb: &str, disk: &Path, out: &Path) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = convert(disk, out)
        .get_args()
        .map(ToOwned::to_owned)
        .collect();
    arguments[0] = verb.into();
    arguments
}

/// Numbers that chance would give, always the same.
struct Chance(Vec<u8>, usize);

impl Chance {
    fn new(seed: u64) -> Self {
        Self(noise(1 << 16, seed), 0)
    }

    fn below(&mut self, bound: u64) -> u64 {
        let bytes: [u8; 8] = std::array::from_fn(|at| self.0[(self.1 + at) % self.0.len()]);
        self.1 += 8;
        u64::from_le_bytes(bytes) % bound.max(1)
    }

    /// A piece of damage somewhere in `range`: where, and what.
    fn damage(&mut self, range: &Range<u64>) -> (u64, Vec<u8>) {
        let at = range.start + self.below(range.end - range.start);
        let byte = self.below(256) as u8;
        let bytes = match self.below(6) {
            0 => vec![0xff; 4],
            1 => vec![0; 4],
            2 => vec![0xff, 0xff, 0xff, 0x7f],
            3 => vec![0, 0, 0, 0x80],
            4 => vec![byte, 0],
            _ => vec![byte],
        };
        (at, bytes)
    }
}

/// A file that is damaged and mended.
struct Victim {
    file: fs::File,
    damage: Vec<(u64, Vec<u8>)>,
}

impl Victim {
    fn open(path: &Path) -> Self {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .expect("the victim");
        Self {
            file,
            damage: Vec::new(),
        }
    }

    fn hit(&mut self, (at, bytes): (u64, Vec<u8>)) {
        let len = self.file.metadata().expect("its length").len();
        let room = usize::try_from(len.saturating_sub(at))
            .unwrap_or(0)
            .min(bytes.len());
        let mut before = vec![0; room];
        self.file
            .read_exact_at(&mut before, at)
            .expect("reading the victim");
        self.file
            .write_all_at(&bytes[..room], at)
            .expect("damaging the victim");
        self.damage.push((at, before));
    }

    fn mend(&mut self) {
        while let Some((at, bytes)) = self.damage.pop() {
            self.file
                .write_all_at(&bytes, at)
                .expect("mending the victim");
        }
    }
}

/// Damages the file at `path` somewhere in `ranges`, `times` for each of them, and lets `f` look at
/// it; returns how often `f` said that it was refused.
fn damaged(path: &Path, ranges: &[Range<u64>], times: u64, f: impl Fn(u64, &str) -> i32) -> usize {
    let mut victim = Victim::open(path);
    let mut refused = 0;
    for (number, range) in ranges.iter().enumerate() {
        let mut chance = Chance::new(number as u64 + 1);
        for time in 0..times {
            for _ in 0..=chance.below(4) {
                victim.hit(chance.damage(range));
            }
            let what = format!(
                "{} with {:x?}",
                path.display(),
                victim.damage.iter().map(|(at, _)| at).collect::<Vec<_>>()
            );
            refused += usize::from(f(time, &what) != 0);
            victim.mend();
        }
    }
    refused
}

/// The places of a small image that mean something: table, FAT, superblock, group descriptors,
/// inodes, directories.
fn places(image: &Path) -> Vec<Range<u64>> {
    let bytes = fs::read(image).expect("the image");
    let root = ROOT.0 * MIB;
    let word = |at: u64| {
        u64::from(u32::from_le_bytes(std::array::from_fn(|byte| {
            bytes[at as usize + byte]
        })))
    };
    let block = 1024 << word(root + 1024 + 24);
    let descriptors = root + if block == 1024 { 2048 } else { block };
    let inodes = root + word(descriptors + 8) * block;
    let fat = BOOT.0 * MIB;
    let mut places = vec![
        446..512,
        512..1024,
        1024..1536,
        fat..fat + 64,
        fat + 512..fat + 1024,
        fat..fat + 32 * 1024,
        root + 1024..root + 1024 + 264,
        descriptors..descriptors + 384,
        inodes + 128..inodes + 256,
        inodes..inodes + 12 * 1024,
        inodes + 2560..inodes + 64 * 1024,
    ];
    // A directory's block begins with an entry for itself: 12 bytes with a name of one dot.
    let dot = b"\x0c\0\x01\x02.\0\0\0";
    let starts = (root..root + ROOT.1 * MIB)
        .step_by(1024)
        .filter(|at| bytes[*at as usize + 4..].starts_with(dot));
    places.extend(starts.take(6).map(|at| at..at + 96));
    places
}

#[test]
fn damaged_disks_are_refused_or_converted() {
    let Some(unchecked) = unchecked() else { return };
    let scratch = scratch();
    let disk = scratch.path().join("small.img");
    must("cp", &[&"--sparse=always", &unchecked, &disk]);
    let places = places(&disk);
    assert!(places.len() >= 15, "{places:?}");
    let out = scratch.path().join("out");
    let refused = damaged(&disk, &places, 10, |time, what| match time {
        0 => bounded(["inspect".into(), disk.clone().into_os_string()], what).0,
        1 => bounded(arguments("convert", &disk, &out), what).0,
        _ => bounded(arguments("plan", &disk, &out), what).0,
    });
    // Some damage must be noticed, and some hits what nobody reads.
    assert!(
        refused > 30 && refused < 10 * places.len(),
        "{refused} of {}",
        10 * places.len()
    );
}

#[test]
fn a_disk_that_ends_too_early_is_refused() {
    let Some(unchecked) = unchecked() else { return };
    let scratch = scratch();
    let disk = scratch.path().join("small.img");
    must("cp", &[&"--sparse=always", &unchecked, &disk]);
    for len in [
        9 * MIB + 70_000,
        9 * MIB + 1024,
        2 * MIB,
        40_000,
        1024,
        513,
        512,
        100,
        1,
        0,
    ] {
        Victim::open(&disk)
            .file
            .set_len(len)
            .expect("cutting the image");
        let what = format!("{len} bytes");
        assert_eq!(
            bounded(["inspect".into(), disk.clone().into_os_string()], &what).0 & 2,
            0
        );
        assert_eq!(
            bounded(arguments("plan", &disk, scratch.path()), &what).0,
            1,
            "{what}"
        );
    }
}

#[test]
fn damaged_wrappings_are_refused_or_read() {
    let Some(small) = small() else { return };
    let [Some(qemu_img), Some(xz), Some(zstd), Some(gzip), Some(zip)] =
        ["qemu-img", "xz", "zstd", "gzip", "zip"].map(tool)
    else {
        return;
    };
    let scratch = scratch();
    let at = |name: &str| scratch.path().join(name);
    must(
        qemu_img,
        &[&"convert", &"-O", &"qcow2", &small, &at("a.qcow2")],
    );
    must(
        "sh",
        &[
            &"-c",
            &"\"$0\" -0 -c \"$1\" >\"$2\"",
            &xz,
            &small,
            &at("a.xz"),
        ],
    );
    must(
        "sh",
        &[
            &"-c",
            &"\"$0\" -q -1 -c \"$1\" >\"$2\"",
            &zstd,
            &small,
            &at("a.zst"),
        ],
    );
    must(
        "sh",
        &[
            &"-c",
            &"\"$0\" -1 -c \"$1\" >\"$2\"",
            &gzip,
            &small,
            &at("a.gz"),
        ],
    );
    must(zip, &[&"-q", &"-j", &"-1", &at("a.zip"), &small]);
    for name in ["a.qcow2", "a.xz", "a.zst", "a.gz", "a.zip"] {
        let len = fs::metadata(at(name)).expect("a file").len();
        let ranges = [0..112, 0..len, len - 200..len];
        damaged(&at(name), &ranges, 4, |_, what| {
            bounded(["inspect".into(), at(name).into_os_string()], what).0
        });
        assert_eq!(
            bounded(["inspect".into(), at(name).into_os_string()], name).0,
            0,
            "{name} was not mended"
        );
    }
}

#[test]
fn damaged_artifacts_are_not_valid() {
    let Some(small) = small() else { return };
    let scratch = scratch();
    let out = scratch.path().join("out");
    let mut command = convert(small, &out);
    command
        .args(["--set", "artifact.compression=none", "--quiet"])
        .stdout(Stdio::null());
    assert!(command.status().expect("goldsmith starts").success());
    let artifact = out.join("small-qemux86-64-r1.mender");
    let len = fs::metadata(&artifact).expect("a file").len();
    let check = |verb: &str, what: &str| {
        bounded(
            [
                "artifact".into(),
                verb.into(),
                artifact.clone().into_os_string(),
            ],
            what,
        )
        .0
    };
    let refused = damaged(
        &artifact,
        &[0..4096, 512..20_000, 0..len],
        14,
        |time, what| match time {
            0..4 => check("show", what),
            _ => check("validate", what),
        },
    );
    assert!(refused > 20, "{refused}");
    assert_eq!(check("validate", "mended"), 0);
    fs::OpenOptions::new()
        .write(true)
        .open(&artifact)
        .and_then(|file| file.set_len(len / 2))
        .expect("cutting the Artifact");
    assert_eq!(check("validate", "cut"), 1);
}

#[test]
fn damaged_configurations_are_refused_or_read() {
    let scratch = scratch();
    let file = scratch.path().join("family.toml");
    let text = "extends = [\"qemux86-64\"]\n[board]\ndevice-type = [\"a\", \"b\"]\n[storage]\nsize = \"2 GiB\"\ntable = \"gpt\"\n\
                [root]\nheadroom = \"50 %\"\nkernel-args = [\"quiet\"]\n[[rootfs.owner]]\npath = \"/home/*\"\nuid = 1000\ngid = 1000\n\
                [client]\npackages = [\"a/*.deb\"]\n[artifact]\ncompression = \"xz\"\nlevel = 6\n";
    fs::write(&file, text).expect("a file");
    let show = |what: &str| {
        bounded(
            [
                "plan".into(),
                "--show-config".into(),
                "--config".into(),
                file.clone().into_os_string(),
                "x.img".into(),
            ],
            what,
        )
        .0
    };
    assert_eq!(show("whole"), 0);
    let len = text.len() as u64;
    let refused = damaged(&file, &[0..len, 0..len / 2], 20, |_, what| show(what));
    assert!(refused > 10, "{refused}");
    for (deep, code) in [
        ("[".repeat(50_000), 1),
        (format!("a = {}", "[".repeat(50_000)), 1),
        ("a.".repeat(50_000) + "a = 1", 1),
        ("k = 1\n".repeat(30_000), 1),
    ] {
        fs::write(&file, deep).expect("a file");
        assert_eq!(show("deep"), code);
    }
}

#[test]
fn bombs_do_not_go_off() {
    let tools = ["gzip", "xz", "zstd", "bzip2", "zip", "dpkg-deb"].map(tool);
    let [
        Some(gzip),
        Some(xz),
        Some(zstd),
        Some(bzip2),
        Some(zip),
        Some(dpkg_deb),
    ] = tools
    else {
        return;
    };
    let Some(small) = small() else { return };
    let scratch = scratch();
    let at = |name: &str| scratch.path().join(name);
    // Eight times the card is the limit of decompressed images.
    let bomb = at("bomb.img");
    fs::File::create(&bomb)
        .and_then(|file| file.set_len(8 * 32 * MIB + 1))
        .expect("zeros");
    must(zip, &[&"-q", &"-j", &at("bomb.zip"), &bomb]);
    for (program, level, name) in [
        (gzip, "-1", "bomb.gz"),
        (xz, "-0", "bomb.xz"),
        (zstd, "-1", "bomb.zst"),
        (bzip2, "-1", "bomb.bz2"),
    ] {
        must(
            "sh",
            &[
                &"-c",
                &"exec \"$0\" \"$1\" -c \"$2\" >\"$3\"",
                &program,
                &level,
                &bomb,
                &at(name),
            ],
        );
    }
    for name in ["bomb.gz", "bomb.xz", "bomb.zst", "bomb.bz2", "bomb.zip"] {
        let mut arguments = arguments("convert", &at(name), &at("out"));
        arguments.extend(["--set".into(), "storage.size=32 MiB".into()]);
        let (code, said) = bounded(arguments, name);
        assert!(
            code == 1 && said.contains("unpacks to more than the limit of 256 MiB"),
            "{name}: {said}"
        );
    }
    package(&at("a"));
    fs::rename(&bomb, at("a/usr/bomb")).expect("planting the bomb");
    must(
        dpkg_deb,
        &[
            &"--root-owner-group",
            &"-Zxz",
            &"-z1",
            &"--build",
            &at("a"),
            &at("a.deb"),
        ],
    );
    let (code, said) = bounded(
        with_package("plan", small, &at("a.deb"), &at("out")),
        "a package",
    );
    assert!(
        code == 1 && said.contains("data.tar exceeds the limit of 67108864 bytes"),
        "{said}"
    );
}

/// True when `needle` is somewhere in the file.
pub(crate) fn holds(path: &Path, needle: &[u8]) -> bool {
    use std::io::Read;
    let mut file = fs::File::open(path).expect("a result");
    let (mut buf, mut kept) = (vec![0; (1 << 20) + needle.len()], 0);
    loop {
        let read = file.read(&mut buf[kept..]).expect("reading a result");
        if read == 0 {
            return false;
        }
        let end = kept + read;
        if contains(&buf[..end], needle) {
            return true;
        }
        let keep = (needle.len() - 1).min(end);
        buf.copy_within(end - keep..end, 0);
        kept = keep;
    }
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    let first = needle[0];
    let mut at = 0;
    while let Some(found) = bytes[at..].iter().position(|byte| *byte == first) {
        at += found;
        if bytes[at..].starts_with(needle) {
            return true;
        }
        at += 1;
    }
    false
}

#[test]
fn nothing_of_the_host_comes_in_through_links() -> io::Result<()> {
    let (Some(small), Some(dpkg_deb)) = (small(), tool("dpkg-deb")) else {
        return Ok(());
    };
    let scratch = scratch();
    let at = |name: &str| scratch.path().join(name);
    let marker = b"a-secret-of-the-host-and-nothing-else";
    fs::create_dir_all(at("host/dir"))?;
    fs::write(at("host/secret"), marker)?;
    fs::write(at("host/dir/secret"), marker)?;
    // The overlay leads to it by links; the package writes through links of its own.
    let climb = |to: &str| format!("{}{}", "../".repeat(30), at(to).display());
    fs::create_dir_all(at("overlay/etc"))?;
    std::os::unix::fs::symlink(at("host/secret"), at("overlay/etc/fstab"))?;
    std::os::unix::fs::symlink(climb("host/secret"), at("overlay/etc/hostname"))?;
    std::os::unix::fs::symlink(at("host/dir"), at("overlay/etc/default"))?;
    std::os::unix::fs::symlink(climb("host/dir"), at("overlay/out"))?;
    package(&at("a"));
    fs::create_dir_all(at("a/out"))?;
    fs::write(at("a/out/planted"), "planted")?;
    must(
        dpkg_deb,
        &[&"--root-owner-group", &"--build", &at("a"), &at("a.deb")],
    );
    let overlay = ["--overlay".into(), at("overlay").into()];
    let mut links = arguments("convert", small, &at("out"));
    links.extend(overlay.clone());
    let (code, said) = bounded(links, "links");
    assert!(code == 0 && !said.contains("a-secret-of"), "{said}");
    assert_eq!(fs::read_dir(at("out"))?.count(), 4);
    assert!(
        holds(&at("out/small-qemux86-64-r1.img"), b"A small Debian"),
        "the search finds nothing at all"
    );
    for entry in fs::read_dir(at("out"))? {
        assert!(
            !holds(&entry?.path(), marker),
            "a secret of the host came in"
        );
    }
    // The package makes a directory where the overlay has the link.
    let mut through = with_package("convert", small, &at("a.deb"), &at("out"));
    through.extend(overlay);
    let (code, said) = bounded(through, "a package and links");
    assert!(code == 1 && said.contains("overlay overlay: "), "{said}");
    let mut names: Vec<_> = fs::read_dir(at("host/dir"))?
        .map(|entry| entry.map(|e| e.file_name()))
        .collect::<io::Result<_>>()?;
    assert_eq!(names.pop().as_deref(), Some("secret".as_ref()));
    assert!(
        names.is_empty(),
        "something was written on the host: {names:?}"
    );
    Ok(())
}
