//! What a command does to the device or its disk.

use super::reader::{Step, When};

/// Something that must not happen by itself in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Effect {
    Restarts,
    Partitions,
    Resizes,
    Flashes,
    WritesBootFiles,
}

impl Effect {
    /// The code of the finding.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Restarts => "startup-restarts",
            Self::Partitions => "startup-partitions",
            Self::Resizes => "startup-resizes",
            Self::Flashes => "startup-firmware",
            Self::WritesBootFiles => "startup-boot-files",
        }
    }

    /// What it does, for a sentence.
    pub(super) fn does(self) -> &'static str {
        match self {
            Self::Restarts => "restarts the device or switches it off",
            Self::Partitions => "changes partitions or formats them",
            Self::Resizes => "resizes a filesystem",
            Self::Flashes => "writes firmware",
            Self::WritesBootFiles => "writes what the device starts from",
        }
    }
}

/// Beginnings of names of disks below `/dev`.
const DISKS: [&str; 12] = [
    "sd", "vd", "hd", "xvd", "mmcblk", "nvme", "disk/", "root", "mtd", "emmc", "sdcard", "block/",
];
/// Names that only ask, list or pretend.
const ASKS: [&str; 10] = [
    "--help",
    "--version",
    "--dry-run",
    "--no-act",
    "--list",
    "--dump",
    "--print",
    "--simulate",
    "--verify",
    "--json",
];

/// What the device of a command is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Device {
    /// A disk or a partition.
    Disk,
    /// It depends on a variable.
    Unknown,
    /// A file, or a device in memory.
    Other,
}

fn device(words: &[&str]) -> Device {
    let one = |word: &&str| {
        let path = word.strip_prefix("of=").unwrap_or(word);
        let below = path.strip_prefix("/dev/").unwrap_or_default();
        if DISKS.iter().any(|disk| below.starts_with(disk)) {
            Device::Disk
        } else if below.starts_with(['$', '%']) || path.starts_with(['$', '%']) {
            Device::Unknown
        } else {
            Device::Other
        }
    };
    let all: Vec<Device> = words.iter().map(one).collect();
    [Device::Disk, Device::Unknown]
        .into_iter()
        .find(|kind| all.contains(kind))
        .unwrap_or(Device::Other)
}

/// What a command does, and when at the earliest.
pub(super) fn effect(step: &Step) -> Option<(Effect, When)> {
    let rest: Vec<&str> = step.rest().iter().map(String::as_str).collect();
    if let Some(effect) = of_outputs(&step.outputs, &rest) {
        return Some((effect, step.when));
    }
    if rest.iter().any(|word| ASKS.contains(word)) {
        return None;
    }
    let name = step.name();
    if restarts(name, &rest) {
        return Some((Effect::Restarts, step.when));
    }
    if partitions(name, &rest) {
        return Some((Effect::Partitions, step.when));
    }
    match formats(name, &rest).then(|| device(&rest)) {
        Some(Device::Disk) => return Some((Effect::Partitions, step.when)),
        // It can be a file.
        Some(Device::Unknown) if matches!(name, "dd" | "mkswap") => return None,
        Some(Device::Unknown) => return Some((Effect::Partitions, step.when.max(When::Maybe))),
        _ => {}
    }
    if resizes(name, &rest) {
        return Some((Effect::Resizes, step.when));
    }
    if flashes(name, &rest) {
        return Some((Effect::Flashes, step.when));
    }
    writes_boot_files(name, &rest).then_some((Effect::WritesBootFiles, step.when))
}

fn of_outputs(outputs: &[String], words: &[&str]) -> Option<Effect> {
    for path in outputs {
        let sysrq = matches!(words.first(), Some(&("b" | "o" | "c")));
        if path == "/proc/sysrq-trigger" && sysrq {
            return Some(Effect::Restarts);
        }
        if is_boot_file(path) {
            return Some(Effect::WritesBootFiles);
        }
        if device(&[path]) == Device::Disk {
            return Some(Effect::Partitions);
        }
    }
    None
}

fn restarts(name: &str, words: &[&str]) -> bool {
    let plain = || words.iter().filter(|word| !word.starts_with('-'));
    match name {
        "reboot" | "poweroff" | "halt" => !words.iter().any(|w| matches!(*w, "-w" | "--wtmp-only")),
        "shutdown" => {
            let minutes = |time: &str| time.trim_start_matches('+').parse::<u32>();
            let soon = plain()
                .next()
                .is_none_or(|time| *time == "now" || minutes(time).is_ok_and(|at| at < 60));
            soon && !words.iter().any(|word| matches!(*word, "-c" | "-k"))
        }
        "init" | "telinit" => plain()
            .next()
            .is_some_and(|level| matches!(*level, "0" | "6")),
        "kexec" => words.iter().any(|word| matches!(*word, "-e" | "--exec")),
        "systemctl" => {
            let states = ["reboot", "poweroff", "halt", "kexec", "soft-reboot"];
            let mut plain = plain();
            match plain.next() {
                Some(&("start" | "isolate")) => plain.any(|unit| {
                    let target = unit.strip_suffix(".target").unwrap_or(unit);
                    states.contains(&target)
                }),
                Some(verb) => states.contains(verb),
                None => false,
            }
        }
        "dbus-send" | "busctl" | "gdbus" => {
            let ends = ["Reboot", "PowerOff", "Halt"];
            words.iter().any(|word| word.contains("login1"))
                && words
                    .iter()
                    .any(|word| ends.iter().any(|end| word.ends_with(end)))
        }
        _ => false,
    }
}

/// Whether a command changes a partition table.
fn partitions(name: &str, words: &[&str]) -> bool {
    let short = |letters: &str| {
        words.iter().any(|word| {
            word.strip_prefix('-')
                .is_some_and(|option| option.len() == 1 && letters.contains(option))
        })
    };
    match name {
        "sfdisk" => {
            let one = [
                "--disk-id",
                "--part-type",
                "--part-uuid",
                "--part-label",
                "--part-attrs",
            ];
            !short("ldJsFVnTv")
                && !words
                    .iter()
                    .any(|word| one.contains(word) || *word == "--show-size")
        }
        "fdisk" | "cfdisk" => !short("lsvx") && !words.contains(&"--getsz"),
        "gdisk" => !short("l"),
        "sgdisk" => words.iter().any(|word| {
            let option = word.split('=').next().unwrap_or_default();
            word.starts_with('-') && !matches!(option, "-p" | "-i" | "--info" | "-v" | "-O" | "-P")
        }),
        "parted" => words.iter().any(|word| {
            let verb = word.split(' ').next().unwrap_or_default();
            [
                "resizepart",
                "mkpart",
                "mkpartfs",
                "rm",
                "mklabel",
                "mktable",
                "resize",
            ]
            .contains(&verb)
        }),
        "growpart" => !short("N"),
        "raspi-config" => words.iter().any(|word| word.contains("expand")),
        "systemd-repart" => words.contains(&"--dry-run=no"),
        _ => false,
    }
}

/// Whether a command overwrites a device.
fn formats(name: &str, words: &[&str]) -> bool {
    match name {
        "wipefs" => words
            .iter()
            .any(|word| word.starts_with("-a") || *word == "--all"),
        "dd" => words.iter().any(|word| word.starts_with("of=")),
        "cryptsetup" => words.contains(&"luksFormat"),
        "blkdiscard" | "mkswap" | "mke2fs" | "mkdosfs" | "mkntfs" | "pvcreate" => true,
        _ => name.starts_with("mkfs"),
    }
}

fn resizes(name: &str, words: &[&str]) -> bool {
    let of_data = words
        .iter()
        .any(|word| *word == "/data" || word.starts_with("/data/"));
    match name {
        "resize2fs" | "xfs_growfs" | "systemd-growfs" | "resize.f2fs" => {
            !of_data && !words.is_empty() && !words.contains(&"-P")
        }
        "btrfs" => words.contains(&"resize"),
        _ => false,
    }
}

fn flashes(name: &str, words: &[&str]) -> bool {
    let has = |options: &[&str]| words.iter().any(|word| options.contains(word));
    match name {
        "flashcp" | "flash_erase" | "flash_eraseall" | "nandwrite" | "rpi-update" => true,
        "flashrom" => words
            .iter()
            .any(|word| word.starts_with("-w") || *word == "--write"),
        "fwupdmgr" | "fwupdtool" => has(&["update", "upgrade", "install"]),
        "rpi-eeprom-update" => has(&["-a", "-A", "-d", "-f"]),
        "mmc" => has(&["bootpart", "bootbus"]),
        "mtd_debug" => has(&["write", "erase"]),
        _ => false,
    }
}

/// Whether a path is that of a file which a device starts from.
fn is_boot_file(path: &str) -> bool {
    let Some((dir, name)) = path.rsplit_once('/') else {
        return false;
    };
    let names = [
        "cmdline.txt",
        "config.txt",
        "boot.scr",
        "boot.ini",
        "uEnv.txt",
        "armbianEnv.txt",
        "orangepiEnv.txt",
        "extlinux.conf",
        "uboot.env",
        "mender-slot.env",
    ];
    let kernel = name.starts_with("kernel") && name.ends_with(".img");
    dir.contains("/boot") && (kernel || names.contains(&name))
}

fn writes_boot_files(name: &str, words: &[&str]) -> bool {
    let named = || words.iter().any(|word| is_boot_file(word));
    match name {
        "grub-install" | "flash-kernel" => true,
        "fw_setenv" => words.iter().any(|word| {
            word.starts_with("mender_boot_part")
                || matches!(*word, "bootcount" | "upgrade_available")
        }),
        "sed" | "perl" => {
            named()
                && words
                    .iter()
                    .any(|word| word.starts_with("-i") || word.starts_with("--in-place"))
        }
        "cp" | "mv" | "install" => words.last().is_some_and(|word| is_boot_file(word)),
        "rm" | "tee" => named(),
        _ => false,
    }
}
