//! No input passes the plan and fails the conversion: odd golden images and configurations, made
//! from a seed.

mod systems;

use super::{Request, WriteOptions, convert, prepare};
use crate::config::Config;
use crate::fs::ext4;
use crate::golden::example_tests::{Example, TIME, add, empty, esp, root};
use crate::image::source::InputImage;
use crate::image::table::types;
use crate::plan::PlanRequest;
use crate::plan::host::HostFiles;
use crate::report::Silent;
use crate::stamp::Uuid;
use crate::stream::Content;
use crate::tree::{Leaf, LeafKind, Stat, Time, Tree};
use crate::units::MIB;
use std::path::Path;

/// A sequence of numbers that a seed determines (xorshift).
struct Numbers(u64);

impl Numbers {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        let at = self.below(list.len());
        list[at]
    }

    fn often(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }
}

/// Lines of `/etc/fstab`.
const FSTAB: &[&str] = &[
    "LABEL=golden / ext4 noatime 0 1",
    "LABEL=golden\t/\text3\tdata=journal,prjquota\t0\t1",
    "/dev/root / auto data=writeback 0 1",
    "/dev/sda2 / ext4 sb=8193,test_dummy_encryption 0 1",
    "LABEL=golden // ext4",
    "PARTUUID=nothing /mnt ext4 nofail 0 0",
    "/dev/sdb1 /mnt ext4 nofail 0 0",
    "/swapfile none swap sw 0 0",
    "/data/swapfile swap swap defaults 0 0",
    "/dev/sda9 none swap sw 0 0",
    "LABEL=ESP /boot/efi vfat ro 0 2",
    "LABEL=ESP /efi vfat defaults 0 2",
    "UUID=\"0000-0007\" /boot/firmware vfat defaults 0 2",
    "/dev/sdb1 /data/ ext4 prjquota,nofail 0 0",
    "tmpfs /data tmpfs defaults 0 0",
    "tmpfs /tmp tmpfs size=1g 0 0",
    "tmpfs /tmp tmpfs size=2g 0 0",
    "proc /proc proc defaults 0 0",
    "/srv /mnt\\040a none bind 0 0",
    "server:/x /nfs nfs defaults 0 0",
    "overlay /etc overlay lowerdir=/a 0 0",
    "# a comment",
    "one two",
    "\r",
    "\u{feff}LABEL=golden / ext4 defaults 0 1",
];

/// Paths of the root filesystem at which something odd may be.
const PATHS: &[&str] = &[
    "/data",
    "/data/mender",
    "/data/mender/bootstrap.mender",
    "/data/mender/mender.conf",
    "/data/mender/device_type",
    "/var/lib/mender",
    "/etc/mender/mender.conf",
    "/etc/mender/artifact_info",
    "/etc/fstab",
    "/etc/fw_env.config",
    "/etc/default/grub",
    "/etc/default/grub.d/zz-mender.cfg",
    "/etc/initramfs-tools/conf.d/resume",
    "/etc/selinux/config",
    "/etc/systemd/system/data.mount",
    "/etc/systemd/system/mender-grow-data.service",
    "/usr/lib/goldsmith/grow-data",
    "/usr/bin/mender-update",
    "/boot/efi",
    "/boot/grub/grub.cfg",
    "/boot/grub/grubenv",
    "/boot/mender-slot.env",
    "/boot/vmlinuz-6.1.0-1",
    "/boot/vmlinuz-9.9.9",
    "/boot/initrd.img-6.1.0-1",
    "/vmlinuz",
    "/initrd.img",
    "/swapfile",
    "/etc/os-release",
    "/usr/sbin/sfdisk",
    "/usr/sbin/grub-install",
];

/// Paths of the boot partition at which something odd may be.
const BOOT_PATHS: &[&str] = &[
    "/EFI/BOOT",
    "/EFI/BOOT/grub.cfg",
    "/EFI/BOOT/BOOTX64.EFI",
    "/EFI/BOOT/grubx64.efi",
    "/grub-mender-grubenv",
    "/grub-mender-grubenv/mender_grubenv1",
    "/grub-mender-grubenv/mender_grubenv1/env",
    "/boot.scr",
    "/cmdline.txt",
    "/config.txt",
    "/a name of more than eight letters.text",
];

/// Contents of files.
const TEXTS: &[&str] = &[
    "",
    "text",
    "{",
    "{\"RootfsPartA\": \"/dev/sda2\", \"ServerURL\": \"https://x\"}",
    "[1]",
    "device_type=another\n",
    "artifact_name=r0\n",
    "RESUME=UUID=1\n",
    "SELINUX=enforcing\n",
    "GRUB_CMDLINE_LINUX=\"quiet rootflags=prjquota rootfstype=ext3\"\n",
    "GRUB_CMDLINE_LINUX=\"a='b c' $x\"\nGRUB_DEFAULT=saved\n",
    "menuentry 'x' {\n linux /vmlinuz root=/dev/sda2 ro quiet rootflags=sb=8193\n initrd /initrd.img\n}\n",
    "menuentry 'x' {\n linux /vmlinuz $extra `id`\n}\n",
    "[Mount]\nWhat=/dev/sda5\nWhere=/data\nOptions=prjquota,noatime\n",
    "ID=debian\n",
    "ID=fedora\nVERSION_ID=40\n",
    "/boot/env 0 0x4000\n",
];

/// Settings of the configuration.
const SETTINGS: &[(&str, &[&str])] = &[
    (
        "storage.size",
        &[
            "\"32 MiB\"",
            "\"64 MiB\"",
            "\"97 MiB\"",
            "100000001",
            "\"3 TiB\"",
        ],
    ),
    ("storage.alignment", &["\"2 MiB\"", "\"16 MiB\"", "3000000"]),
    ("storage.table", &["\"mbr\"", "\"gpt\""]),
    (
        "storage.device",
        &["\"/dev/sda\"", "\"/dev/mmcblk0\"", "\"sda\""],
    ),
    (
        "boot.size",
        &["\"1 MiB\"", "\"5 MiB\"", "\"40 MiB\"", "4097"],
    ),
    (
        "boot.mount",
        &[
            "\"/boot\"",
            "\"/efi\"",
            "\"/bin/sh\"",
            "\"/data\"",
            "\"/a b\"",
            "\"relative\"",
        ],
    ),
    ("boot.options", &["\"ro\"", "\"noauto\"", "\"a b\""]),
    ("boot.copy-gap", &["true"]),
    ("boot.bootloader", &["\"grub-efi\"", "\"u-boot\""]),
    (
        "root.size",
        &["\"1 MiB\"", "\"8 MiB\"", "\"20 MiB\"", "\"1 TiB\""],
    ),
    ("root.headroom", &["\"0 %\"", "\"500 %\"", "\"1 MiB\""]),
    ("root.slot-b", &["\"empty\""]),
    (
        "root.options",
        &[
            "\"prjquota\"",
            "\"noatime,data=journal\"",
            "\"a b\"",
            "\"\"",
        ],
    ),
    (
        "root.kernel-args",
        &[
            "[\"quiet\"]",
            "[\"a b\"]",
            "[\"rootfstype=ext2\"]",
            "[\"x='y\"]",
            "[\"panic=0\"]",
        ],
    ),
    ("root.fsck-pass", &["0", "2"]),
    (
        "data.size",
        &["\"1 MiB\"", "\"3 MiB\"", "\"9 MiB\"", "\"60 MiB\""],
    ),
    (
        "data.options",
        &["\"sb=1\"", "\"noatime\"", "\"x-systemd.growfs\""],
    ),
    ("data.grow", &["false"]),
    (
        "artifact.name",
        &[
            "\"r 1\"",
            "\"é\"",
            "\"a/b\"",
            "\"LONG\"",
            "\".\"",
            "\"a\\nb\"",
        ],
    ),
    ("artifact.group", &["\"a b\"", "\"stable\"", "\"é\""]),
    ("artifact.compression", &["\"none\"", "\"xz\"", "\"zstd\""]),
    ("artifact.level", &["1", "19", "99"]),
    (
        "artifact.payload-name",
        &["\"a/b\"", "\"LONG\"", "\"..\"", "\"x y\""],
    ),
    (
        "artifact.provides",
        &[
            "{ a = \"b\" }",
            "{ \"rootfs-image.version\" = \"\" }",
            "{ \"\" = \"x\" }",
        ],
    ),
    (
        "artifact.depends",
        &["{ device_type = \"x\" }", "{ a = \"\" }"],
    ),
    ("artifact.software-name", &["\"\"", "\"a.b\"", "\"a b\""]),
    ("artifact.clears", &["[\"*\"]", "[\"\"]"]),
    ("artifact.depends-names", &["[\"r0\"]", "[\"\"]"]),
    (
        "output.name",
        &[
            "\"LONG\"",
            "\".\"",
            "\"..\"",
            "\"a/b\"",
            "\"é x\"",
            "\".hidden\"",
            "\"-\"",
        ],
    ),
    (
        "output.image",
        &[
            "\"gz\"",
            "\"xz\"",
            "\"zst\"",
            "\"qcow2\"",
            "\"android-sparse\"",
            "\"simg\"",
        ],
    ),
    ("output.bmap", &["false"]),
    ("output.file-layout", &["true"]),
    (
        "board.device-type",
        &[
            "[\"a\", \"b\"]",
            "[\"a b\"]",
            "[\"é\"]",
            "[\"LONG\"]",
            "[\"a\", \"a\"]",
        ],
    ),
    ("client.managed", &["false"]),
    ("server.url", &["\"https://example.com\"", "\"nonsense\""]),
];

/// A golden image and a configuration.
struct Odd {
    input: Example,
    /// Whether the disk is in a qcow2 file of the directory.
    qcow2: bool,
    config: String,
}

/// The input for a seed; files of the host are in `dir`.
fn odd(seed: u64, dir: &Path) -> Odd {
    let mut numbers = Numbers::new(seed);
    let numbers = &mut numbers;
    let (mut root, mut boot) = (root(), empty());
    let board = if numbers.often(4) {
        systems::raspberry_pi(&mut root, &mut boot, numbers)
    } else {
        add(&mut boot, "/EFI/BOOT/BOOTX64.EFI", b"");
        Vec::new()
    };
    if numbers.often(3) {
        systems::menu(&mut root, numbers);
    }
    if numbers.often(2) {
        let mut text = String::new();
        for _ in 0..numbers.below(6) {
            text.push_str(numbers.of(FSTAB));
            text.push_str(numbers.of(&["\n", "\n", "\r\n"]));
        }
        add(&mut root, "/etc/fstab", text.as_bytes());
    }
    for _ in 0..numbers.below(4) {
        strange(&mut root, numbers.of(PATHS), 5, numbers);
    }
    for _ in 0..numbers.below(2) {
        strange(&mut boot, numbers.of(BOOT_PATHS), 3, numbers);
    }
    if numbers.often(4) {
        file_of_its_own(&mut root, numbers);
    }
    let mut partitions = vec![
        (types::GPT_ESP, esp(&boot)),
        (types::GPT_LINUX, filesystem(&root, numbers)),
    ];
    let mut set = settings(numbers, &board);
    if numbers.often(8) {
        let path = systems::package(dir, numbers);
        set += &format!("client.packages = [{path:?}]\n");
    }
    if numbers.often(3) {
        let (more, entries) = systems::partitions(numbers);
        partitions.extend(more);
        set += &entries;
    }
    let input = Example { partitions };
    let qcow2 = numbers.often(6);
    if qcow2 {
        systems::qcow2_file(dir, &input.source(), numbers);
    }
    Odd {
        input,
        qcow2,
        config: set,
    }
}

/// Puts something else at `path`, one of `kinds` kinds, of which FAT has three; what is in the way
/// stays.
fn strange(tree: &mut Tree, path: &str, kinds: usize, numbers: &mut Numbers) {
    if numbers.often(2) && tree.remove(path).is_err() {
        return;
    }
    let stat = Stat::root(numbers.of(&[0o644, 0o755, 0o000, 0o4755]), TIME);
    let kind = match numbers.below(kinds) {
        0 => LeafKind::File(Content::bytes(numbers.of(TEXTS).as_bytes())),
        1 => LeafKind::File(Content::hole(numbers.of(&[1, 5000, 1 << 20]))),
        2 => {
            let _ = tree.mkdir(path, &stat);
            return;
        }
        3 => {
            let target = numbers.of(&["/nowhere", "/etc", ".", "/bin/sh"]);
            LeafKind::Symlink(target.as_bytes().to_vec())
        }
        _ => LeafKind::Fifo,
    };
    let _ = tree.put(path, Leaf { stat, kind });
}

/// A file of which only the filesystem can say that it is odd.
fn file_of_its_own(tree: &mut Tree, numbers: &mut Numbers) {
    let mut stat = Stat::root(0o644, TIME);
    let mut kind = LeafKind::File(Content::bytes(*b"text"));
    let mut path = "/srv/file".to_owned();
    match numbers.below(8) {
        0 => path = format!("/srv/{}", "n".repeat(255)),
        1 => kind = LeafKind::Symlink(vec![b't'; numbers.of(&[59, 60, 4000])]),
        2 => kind = LeafKind::File(Content::hole(1 << 40)),
        3 => drop(
            stat.xattrs
                .insert(b"user.x".to_vec(), vec![7; numbers.of(&[10, 3000])]),
        ),
        4 => {
            stat.mtime = Time {
                seconds: numbers.of(&[-5, 1 << 33]),
                nanos: 7,
            }
        }
        5 => stat.flags = crate::tree::flags::IMMUTABLE | crate::tree::flags::JOURNAL_DATA,
        6 => stat.project = 7,
        _ => {
            let (uid, gid) = (u32::MAX, 70_000);
            (stat.uid, stat.gid) = (uid, gid);
        }
    }
    tree.put(&path, Leaf { stat, kind }).unwrap();
}

/// A root filesystem with an odd superblock.
fn filesystem(tree: &Tree, numbers: &mut Numbers) -> Content {
    let mut options = ext4::write::Options::new(Uuid([1; 16]), Uuid([2; 16]), TIME);
    options.label = numbers
        .of(&[&b"golden"[..], b"", b"\xff\xfe label 123456", b"boot"])
        .to_vec();
    options.project = numbers.often(2);
    options.reserved_percent = numbers.of(&[0, 1, 5, 50]);
    options.mount.errors = numbers.of(&[0, 1, 2, 3, 9]);
    options.mount.default_options = numbers.of(&[0, 0xC, 0x2C, 0x6C, 0xFFF]);
    options.mount.options = numbers.of(&[&b""[..], b"sb=8193,noatime"]).to_vec();
    options.metadata_csum = !numbers.often(4);
    ext4::write::write(tree, 8 * MIB, &options).unwrap()
}

/// A configuration with a few odd values, for `board`.
fn settings(numbers: &mut Numbers, board: &[(&'static str, String)]) -> String {
    let mut set = vec![
        ("artifact.name", "\"r1\"".to_owned()),
        ("storage.size", "\"96 MiB\"".to_owned()),
        ("storage.alignment", "\"1 MiB\"".to_owned()),
        ("boot.size", "\"8 MiB\"".to_owned()),
        ("client.required", "false".to_owned()),
        ("data.size", "\"16 MiB\"".to_owned()),
    ];
    set.extend(board.iter().cloned());
    for _ in 0..numbers.below(4) {
        let (key, values) = numbers.of(SETTINGS);
        let value = numbers
            .of(values)
            .replace("LONG", &"n".repeat(numbers.of(&[100, 230, 246, 250, 300])));
        set.retain(|(known, _)| *known != key);
        set.push((key, value));
    }
    set.iter()
        .map(|(key, value)| format!("{key} = {value}\n"))
        .collect()
}

/// What becomes of an input.
enum Outcome {
    Converted,
    /// The plan fails, with this error.
    Refused(String),
    /// The plan is good, the conversion fails.
    Broken(String),
}

fn outcome(seed: u64) -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    let odd = odd(seed, dir.path());
    let refused = |error: &dyn std::fmt::Display| Outcome::Refused(format!("{error:#}"));
    let config = match Config::parse(&odd.config) {
        Ok(config) => config,
        Err(error) => return refused(&error),
    };
    let host = HostFiles {
        disk: Path::new("/somewhere/golden.img"),
        overlays: &[],
        preserve_layout: None,
        modes: Default::default(),
        package_cache: Path::new(""),
        epoch: None,
    };
    let request = Request {
        plan: PlanRequest {
            config: &config,
            host,
        },
        run_hooks: false,
        upgrade_from: None,
        shared: None,
        strict: false,
        report: &Silent,
    };
    let open = || {
        if odd.qcow2 {
            systems::open(dir.path())
        } else {
            Ok(InputImage::of(odd.input.source()))
        }
    };
    let prepared = match open() {
        Ok(input) => prepare(&request, input),
        Err(error) => return refused(&error),
    };
    if let Err(error) = prepared {
        return refused(&error);
    }
    let options = WriteOptions {
        jobs: 1,
        verify: true,
        cache: None,
    };
    let result = convert(&request, open().unwrap(), &dir.path().join("out"), options);
    match result {
        Ok(_) => Outcome::Converted,
        Err(error) => Outcome::Broken(format!("{error:#}\n{}", odd.config)),
    }
}

#[test]
fn what_the_plan_accepts_is_converted() {
    let number = |name: &str, default: u64| {
        let value = std::env::var(name).ok();
        value
            .and_then(|value| value.parse().ok())
            .unwrap_or(default)
    };
    let (first, count) = (number("ODD_FROM", 0), number("ODD_COUNT", 60));
    let (mut converted, mut refused) = (0, 0);
    let mut broken = Vec::new();
    for seed in first..first + count {
        match outcome(seed) {
            Outcome::Converted => converted += 1,
            Outcome::Refused(error) => {
                assert!(
                    !error.contains("error in goldsmith"),
                    "seed {seed}: {error}"
                );
                refused += 1;
                println!("{seed}: {error}");
            }
            Outcome::Broken(error) => broken.push(format!("seed {seed}: {error}")),
        }
    }
    println!("{converted} converted, {refused} refused");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    // Neither outcome is rare, or the inputs show nothing.
    assert!(
        converted * 8 > count && refused * 10 > count || count < 60,
        "{converted}, {refused}"
    );
}
