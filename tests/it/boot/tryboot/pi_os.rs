//! Raspberry Pi OS as it is published, and as cards come back: each board takes the kernel that it
//! can run, with both boot loaders, and the firmware starts both slots of the result.

use super::device::Device;
use super::firmware::{Board, PI3, PI4, PI5, Started, start};
use crate::boot::env_tools::SHELLS;
use crate::boot::medium::driver::Driver;
use crate::boot::medium::fat::Disk;
use crate::convert::conversions::partitions;
use crate::plan::boards::{fine, refused, run, text, write};
use crate::plan::raspberry_pi::{ARM, ARM64, u_boot};
use crate::support::{must, scratch, tool};
use goldsmith::boot::common::tools::tryboot_env;
use std::fs;
use std::path::{Path, PathBuf};

/// Small disks.
pub(super) const SMALL: &str = "-q -n r1 -s client.required=false -s storage.size=1GiB -s data.size=16MiB -s artifact.compression=none -s output.bmap=false -s output.name=out";

/// What comes of an image and a board: the end of the kernel's version, or a part of the error.
type Expected = Result<&'static str, &'static str>;

/// A Raspberry Pi Zero 2 W, whose firmware counts the sections of its families.
const ZERO_2_W: Board = Board {
    filters: &["pi02", "pi0w", "pi0"],
    ..PI3
};

/// All boards for the Raspberry Pi.
const BOARDS: [&str; 8] = [
    "raspberrypi0w",
    "raspberrypi0-2w",
    "raspberrypi3",
    "raspberrypi4",
    "raspberrypi0-2w-64",
    "raspberrypi3-64",
    "raspberrypi4-64",
    "raspberrypi5-64",
];

/// What the firmware of each board starts, of the kernels of an image.
fn with_tryboot(image: &str, board: &str) -> Expected {
    if let Some(other) = of_other_architecture(image, board) {
        return Err(other);
    }
    match board {
        "raspberrypi0w" => Err("rpi-tryboot, which is not supported on a Raspberry Pi Zero W"),
        "raspberrypi5-64" if image == "12-arm64-boot-on-boot" => Ok("-v8+"),
        // Ubuntu has one kernel for all models.
        _ if image.starts_with("ubuntu") => Ok("-raspi"),
        "raspberrypi5-64" => Ok("-rpi-2712"),
        _ if image == "12-arm64-boot-on-boot" => Ok("-v8+"),
        _ if board.ends_with("-64") => Ok("-rpi-v8"),
        // The firmware of a BCM2711 prefers a 64-bit kernel that is there, unless it is told so.
        "raspberrypi4" if image == "12-armhf-used" => Ok("-rpi-v7l"),
        "raspberrypi4" => Ok("-rpi-v8"),
        _ if image == "12-armhf-64bit-kernel" => Ok("-rpi-v8"),
        _ => Ok("-rpi-v7"),
    }
}

/// What U-Boot starts: the program for the board is of 32 bits for a system of 32 bits.
fn with_u_boot(image: &str, board: &str) -> Expected {
    if let Some(other) = of_other_architecture(image, board) {
        return Err(other);
    }
    match board {
        _ if image == "12-arm64-boot-on-boot" => Ok("/boot/kernel8.img"),
        _ if image == "ubuntu-26-arm64" => Err("another A/B update scheme: Ubuntu's piboot-try"),
        _ if image.starts_with("ubuntu") => Ok("-raspi"),
        "raspberrypi0w" => Ok("-rpi-v6"),
        "raspberrypi5-64" => Ok("-rpi-2712"),
        _ if board.ends_with("-64") => Ok("-rpi-v8"),
        "raspberrypi4" if image.starts_with("12-") => Ok("-rpi-v7l"),
        // Raspberry Pi OS 13 has no `rpi-v7l`: a U-Boot of 32 bits is left with this one, and a
        // note says that the firmware would start another.
        _ => Ok("-rpi-v7"),
    }
}

fn of_other_architecture(image: &str, board: &str) -> Option<&'static str> {
    match (image.contains("arm64"), board.ends_with("-64")) {
        (true, false) => Some("the board is for armhf, the image for arm64"),
        (false, true) => Some("the board is for arm64, the image for armhf"),
        _ => None,
    }
}

/// The firmware of a board, which takes this kernel if `config.txt` names none.
fn firmware(board: &str, kernel: &'static [&'static str]) -> Board {
    let model = match board {
        "raspberrypi0-2w" | "raspberrypi0-2w-64" => ZERO_2_W,
        "raspberrypi3" | "raspberrypi3-64" => PI3,
        "raspberrypi5-64" => PI5,
        _ => PI4,
    };
    Board {
        kernels: kernel,
        ..model
    }
}

/// The name that the firmware knows the kernels of a flavor by.
fn name_of(flavor: &str) -> &'static [&'static str] {
    match flavor {
        "-rpi-v7" => &["kernel7.img"],
        "-rpi-v7l" => &["kernel7l.img"],
        "-rpi-2712" => &["kernel_2712.img"],
        _ => &["kernel8.img"],
    }
}

/// The maker of replicas.
fn maker() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/pi-os.sh")
}

/// Whether all tools are there; says which is not.
pub(super) fn can_run() -> bool {
    let tools = ["mke2fs", "mkfs.vfat", "sfdisk", "mcopy", "mkswap", "xz"];
    let more = ["perl", "debugfs"];
    tools.iter().chain(&more).all(|name| tool(name).is_some())
}

/// The names of all replicas, of one architecture.
fn images(architecture: &str) -> Vec<String> {
    let all = must(maker(), &[]);
    let of_it = all.lines().filter(|name| name.contains(architecture));
    of_it.map(str::to_owned).collect()
}

/// Makes a replica; that for the lite images compressed, as they are published.
pub(super) fn make(at: &Path, name: &str) -> String {
    let end = if name.ends_with("lite") { ".xz" } else { "" };
    let file = format!("{name}.img{end}");
    must(maker(), &[&name, &at.join(&file)]);
    file
}

/// The files of the boot partition of a disk, in a directory.
pub(super) fn boot_files(disk: &Path, to: &Path) {
    let place = partitions(disk)[&1].start;
    let from = format!("{}@@{place}", disk.display());
    fs::create_dir(to).unwrap();
    must(
        tool("mcopy").unwrap(),
        &[&"-s", &"-n", &"-Q", &"-i", &from, &"::/", &to],
    );
}

/// A medium with the files of a directory, but for those that no firmware reads.
fn medium(dir: &Path) -> Disk {
    let mut driver = Driver::new(Disk::format(), true);
    fill(&mut driver, dir, "");
    driver.now
}

pub(super) fn fill(driver: &mut Driver, dir: &Path, prefix: &str) {
    let mut entries: Vec<_> = fs::read_dir(dir).unwrap().map(Result::unwrap).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with('.') || name.contains(' ') {
            continue;
        }
        let path = format!("{prefix}{name}");
        if entry.file_type().unwrap().is_dir() {
            driver.mkdir(&path);
            fill(driver, &entry.path(), &format!("{path}/"));
        } else {
            let bytes = fs::read(entry.path()).unwrap();
            if !bytes.is_empty() {
                driver.put(&path, &bytes);
            }
        }
    }
}

pub(super) fn started(board: &Board, disk: &Disk, flag: bool) -> Started {
    start(board, &[Some(disk)], &mut flag.clone()).unwrap_or_else(|why| panic!("{board:?}: {why}"))
}

/// The settings that a conversion may not change: all but those that it disables, and the comments.
fn settings(started: &Started) -> Vec<&String> {
    let is_kept = |line: &&String| !line.starts_with("auto_initramfs=");
    started.others.iter().filter(is_kept).collect()
}

/// What is started as before the conversion: the same files and settings, the arguments but for the
/// root and those of the first start.
fn same_start(golden: &Started, converted: &Started, slot: &str, what: &str) {
    assert_eq!(converted.prefix, format!("slot-{slot}0/"), "{what}");
    assert!(converted.kernel == golden.kernel, "{what}: another kernel");
    assert_eq!(converted.initramfs, golden.initramfs, "{what}");
    assert!(converted.tree == golden.tree, "{what}: another device tree");
    assert_eq!(converted.overlays, golden.overlays, "{what}");
    let gone = |word: &&str| {
        let starts = [
            "root=",
            "init=",
            "resize",
            "systemd.",
            "mender.slot=",
            "panic=",
        ];
        !starts.iter().any(|start| word.starts_with(start))
    };
    let words = |line: &str| -> Vec<String> {
        let words = line.split_whitespace().filter(gone);
        words.map(str::to_owned).collect()
    };
    assert_eq!(words(&converted.cmdline), words(&golden.cmdline), "{what}");
    let number = if slot == "a" { 2 } else { 3 };
    let own = format!(" mender.slot={number}");
    assert!(
        converted.cmdline.ends_with(&own),
        "{what}: {}",
        converted.cmdline
    );
    let root = format!("-0{number} ");
    assert!(
        converted.cmdline.contains(&root),
        "{what}: {}",
        converted.cmdline
    );
}

/// The version that a stand-in for a kernel says.
fn version(kernel: &[u8]) -> String {
    let mut bytes = Vec::new();
    let is_packed = kernel.starts_with(&[0x1f, 0x8b]);
    if is_packed {
        let mut reader = flate2::read::GzDecoder::new(kernel);
        std::io::Read::read_to_end(&mut reader, &mut bytes).unwrap();
    } else {
        bytes.extend(kernel);
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let at = text.find("Linux version ").expect("a kernel") + 14;
    text[at..]
        .trim_end_matches('k')
        .trim_end_matches(char::from(0))
        .to_owned()
}

/// A converted image in use: the tools of the device, with its boot partition and the root
/// filesystem of slot B.
pub(super) struct InUse<'w> {
    device: Device,
    what: &'w str,
}

impl<'w> InUse<'w> {
    /// `None`, said aloud, when the shell is not installed. `files` are those of the boot
    /// partition.
    pub(super) fn new(image: &Path, files: &Path, what: &'w str) -> Option<Self> {
        let device = Device::new(SHELLS[0], &tryboot_env())?;
        let place = |name: &str| device.path(name);
        for name in ["run", "bytes", "root"] {
            fs::create_dir(place(name)).unwrap();
        }
        must("cp", &[&"-r", &files, &place("boot")]);
        let root = &partitions(image)[&3];
        let slot = format!("{}?offset={}", image.display(), root.start);
        let dump = |path: &str, to: &Path| {
            fs::create_dir_all(to).unwrap();
            let command = format!("rdump {path} {}", to.display());
            must(tool("debugfs").unwrap(), &[&"-R", &command, &slot]);
        };
        dump("/etc/mender_tryboot.config", &place("etc"));
        let config = fs::read_to_string(place("etc/mender_tryboot.config")).unwrap();
        let ids = config
            .lines()
            .find(|line| line.starts_with("PARTUUIDS"))
            .unwrap();
        let other = ids.rsplit(' ').next().unwrap();
        let top = place(&format!("roots/{other}"));
        dump("/boot", &top);
        dump("/usr/lib/goldsmith", &top.join("usr/lib"));
        let boot = place("boot").display().to_string();
        let config = config.replace("BOOT = /boot/firmware", &format!("BOOT = {boot}"));
        fs::write(place("config"), config).unwrap();
        fs::write(place("log"), "").unwrap();
        fs::write(place("count"), "0").unwrap();
        let root = top.display().to_string();
        for tool in ["fw_setenv", "zz-mender"] {
            let text = fs::read_to_string(place(tool)).unwrap();
            let old = format!("\nroot={}\n", place("root").display());
            assert_eq!(text.matches(&old).count(), 1);
            fs::write(place(tool), text.replace(&old, &format!("\nroot={root}\n"))).unwrap();
        }
        Some(Self { device, what })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.device.path(name)
    }

    /// Calls `fw_setenv`, which must succeed, in the slot of partition `running`; returns what it
    /// said.
    pub(super) fn call(&self, running: u32, args: &[&str], input: &str) -> String {
        fs::write(self.path("cmdline"), format!("mender.slot={running}\n")).unwrap();
        let answer = self.device.call("fw_setenv", args, input, None);
        assert_eq!(
            answer.status,
            Some(0),
            "{}: {args:?}: {answer:?}",
            self.what
        );
        answer.err
    }

    /// The client installs an update in slot B: the same release once more.
    pub(super) fn install(&self) {
        let variables =
            "mender_boot_part=3\nmender_boot_part_hex=3\nupgrade_available=1\nbootcount=0\n";
        self.call(2, &["-s", "-"], variables);
        let log = fs::read_to_string(self.path("log")).unwrap();
        assert!(log.ends_with("flag\t1\n"), "{}: {log}", self.what);
    }

    /// A start of the slot of partition `running`, in which the unit of each start runs; returns
    /// what it said.
    pub(super) fn restart(&self, running: u32) -> String {
        fs::remove_dir_all(self.path("run")).unwrap();
        fs::create_dir(self.path("run")).unwrap();
        self.call(running, &["--finish-boot"], "")
    }

    /// The boot partition as it is now.
    pub(super) fn disk(&self) -> Disk {
        medium(&self.path("boot"))
    }
}

/// An update of the same release to slot B by the tools of the device, its trial, and its commit.
fn update(image: &Path, files: &Path, golden: &Started, board: &Board, what: &str) {
    let Some(device) = InUse::new(image, files, what) else {
        return;
    };
    device.install();
    let disk = device.disk();
    same_start(golden, &started(board, &disk, false), "a", what);
    let trial = started(board, &disk, true);
    assert_eq!(trial.settings, "tryboot.txt", "{what}");
    same_start(golden, &trial, "b", what);
    // The next start, in which the client commits.
    device.restart(3);
    device.call(3, &["upgrade_available", "0"], "");
    same_start(golden, &started(board, &device.disk(), false), "b", what);
}

/// Programs of U-Boot for all boards.
fn u_boot_programs(at: &Path) {
    for (board, first, cpu, chips) in [
        ("raspberrypi0w", ARM, "arm1176", &[][..]),
        ("raspberrypi0-2w", ARM, "armv7", &[]),
        ("raspberrypi3", ARM, "armv7", &[]),
        (
            "raspberrypi4",
            ARM,
            "armv7",
            &["bcm2711-emmc2", "bcm2711-pcie"],
        ),
        ("raspberrypi0-2w-64", ARM64, "armv8", &[]),
        ("raspberrypi3-64", ARM64, "armv8", &[]),
        ("raspberrypi4-64", ARM64, "armv8", &["bcm2711-emmc2"]),
        ("raspberrypi5-64", ARM64, "armv8", &["bcm2712-sdhci"]),
    ] {
        write(at, &format!("{board}.bin"), u_boot(first, cpu, chips));
    }
}

/// Judges one image with all boards and both boot loaders.
fn judge(name: &str) {
    let dir = scratch();
    let at = dir.path();
    let file = make(at, name);
    let raw = at.join(format!("{name}.raw"));
    if file.ends_with(".xz") {
        let line = format!("xz -dc {} >{}", at.join(&file).display(), raw.display());
        must("sh", &[&"-c", &line]);
    } else {
        fs::hard_link(at.join(&file), &raw).unwrap();
    }
    let golden_files = at.join("golden");
    boot_files(&raw, &golden_files);
    let golden = medium(&golden_files);
    u_boot_programs(at);
    let mut is_first = [true; 2];
    for board in BOARDS {
        let case = Case {
            at,
            file: &file,
            board,
            what: format!("{name} on {board}"),
        };
        match with_tryboot(name, board) {
            Ok(flavor) => case.tryboot(&golden, flavor, std::mem::take(&mut is_first[0])),
            Err(error) => case.refused("-s boot.bootloader=rpi-tryboot", error),
        }
        let u_boot = format!("-s boot.bootloader=u-boot -s boot.u-boot={board}.bin");
        match with_u_boot(name, board) {
            Ok(flavor) => case.u_boot(&u_boot, flavor, std::mem::take(&mut is_first[1])),
            Err(error) => case.refused(&u_boot, error),
        }
    }
    assert!(!is_first[0], "{name} starts on no board");
}

/// An image for a board.
struct Case<'a> {
    at: &'a Path,
    file: &'a str,
    board: &'a str,
    what: String,
}

impl Case<'_> {
    /// The arguments of all runs.
    fn line(&self, settings: &str) -> String {
        format!("{SMALL} -c {} {settings} {}", self.board, self.file)
    }

    /// The image is refused, with a way out.
    fn refused(&self, settings: &str, error: &str) {
        let said = refused(self.at, &format!("plan {}", self.line(settings)), 1);
        let is_said = said.contains(error) && said.contains("hint: ");
        assert!(is_said, "{}: {said}", self.what);
    }

    /// Converts it; returns the image.
    fn convert(&self, settings: &str) -> PathBuf {
        let line = format!(
            "convert {} --output-dir {}",
            self.line(settings),
            self.board
        );
        fine(self.at, &line);
        self.at.join(self.board).join("out.img")
    }

    /// The firmware starts this flavor, from both slots.
    fn tryboot(&self, golden: &Disk, flavor: &str, updates: bool) {
        let what = &self.what;
        // The board's own default.
        let image = self.convert("");
        let model = firmware(self.board, name_of(flavor));
        let golden = started(&model, golden, false);
        let version = version(&golden.kernel);
        assert!(version.ends_with(flavor), "{what}: {version}");
        let files = self.at.join(self.board).join("boot");
        boot_files(&image, &files);
        let now = started(&model, &medium(&files), false);
        same_start(&golden, &now, "a", what);
        assert_eq!(settings(&now), settings(&golden), "{what}");
        if updates {
            fine(self.at, &format!("verify {}", image.display()));
            update(&image, &files, &golden, &model, what);
        }
        fs::remove_dir_all(self.at.join(self.board)).unwrap();
    }

    /// U-Boot, which Raspberry Pi OS does not have, starts this flavor.
    fn u_boot(&self, settings: &str, flavor: &str, converts: bool) {
        let what = &self.what;
        let said = run(self.at, &format!("plan {}", self.line(settings)));
        let text = text(&said.stdout);
        let kernel = text.lines().find(|line| line.starts_with("Kernel "));
        let is_taken = kernel.is_some_and(|line| line.ends_with(flavor));
        assert!(is_taken, "{what}: {kernel:?} {said:?}");
        if converts {
            let image = self.convert(settings);
            fine(self.at, &format!("verify {}", image.display()));
            fs::remove_dir_all(self.at.join(self.board)).unwrap();
            let line = self.line("-s boot.bootloader=u-boot");
            let said = refused(self.at, &format!("plan {line}"), 1);
            for part in ["no U-Boot", "u-boot-rpi", "boot.u-boot"] {
                assert!(said.contains(part), "{what}: {said}");
            }
        }
    }
}

/// Judges the images of one architecture by two threads.
/// `GOLDSMITH_PI_OS=WORD` judges those whose name contains the word.
fn judge_all(architecture: &str) {
    if !can_run() {
        return;
    }
    let mut images = images(architecture);
    assert!(images.len() > 5, "{images:?}");
    let filter = std::env::var("GOLDSMITH_PI_OS").unwrap_or_default();
    images.retain(|name| name.contains(&filter));
    let (one, two) = images.split_at(images.len() / 2);
    std::thread::scope(|scope| {
        scope.spawn(|| one.iter().for_each(|name| judge(name)));
        scope.spawn(|| two.iter().for_each(|name| judge(name)));
    });
}

#[test]
fn the_firmware_starts_both_slots_of_64_bit_systems() {
    judge_all("arm64");
}

#[test]
fn the_firmware_starts_both_slots_of_32_bit_systems() {
    judge_all("armhf");
}

#[test]
fn real_kernels_of_a_golden_image_are_in_both_slots() {
    let Some(image) = crate::support::golden::golden("pi") else {
        return;
    };
    let dir = scratch();
    let at = dir.path();
    let golden = image.display();
    let board = "-c raspberrypi3-64 -c more.toml -s boot.bootloader=rpi-tryboot";
    let line = format!("{SMALL} {board} {golden}");
    write(at, "more.toml", "[client]\nmanaged = false\n");
    let said = refused(at, &format!("plan {line}"), 1);
    assert!(said.contains("the image has no vcmailbox"), "{said}");
    for name in ["usr/bin/vcmailbox", "usr/sbin/fsck.vfat"] {
        write(at, &format!("o/{name}"), "#!/bin/sh\n");
        must("chmod", &[&"755", &at.join("o").join(name)]);
    }
    let more = "[client]\nmanaged = false\n[[overlay]]\ndir = \"o\"\n";
    write(at, "more.toml", more);
    fine(at, &format!("convert {line} --output-dir out"));
    let converted = at.join("out/out.img");
    fine(at, &format!("verify {}", converted.display()));
    boot_files(&converted, &at.join("boot"));
    boot_files(&image, &at.join("golden"));
    for slot in ["slot-a0", "slot-b0"] {
        for name in ["kernel8.img", "initramfs8", "bcm2837-rpi-3-b.dtb"] {
            let own = fs::read(at.join("boot").join(slot).join(name)).unwrap();
            assert!(
                own == fs::read(at.join("golden").join(name)).unwrap(),
                "{slot}/{name}"
            );
        }
    }
}
