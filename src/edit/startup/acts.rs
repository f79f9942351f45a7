//! What a command does to a device that has just started.

use super::command::{Command, Runs};
use super::words::unwrapped;
use std::fmt;

/// Something that must not happen by itself when a root filesystem starts for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Act {
    /// The device restarts or is switched off.
    Restart,
    /// Partitions or filesystems are made, moved or removed.
    Repartition,
    /// A filesystem grows or shrinks.
    Resize,
    /// Firmware or a boot loader outside the partitions is written.
    Firmware,
    /// Files that the device starts from, or the boot environment, are written.
    BootFiles,
    /// The boot or the data partition is mounted read-only.
    ReadOnly,
    /// A device that a rule of udev chooses is mounted.
    Mount,
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Restart => "restarts the device or switches it off",
            Self::Repartition => "changes the partitions",
            Self::Resize => "resizes a filesystem",
            Self::Firmware => "writes firmware",
            Self::BootFiles => "writes files that the device starts from",
            Self::ReadOnly => "makes the boot or the data partition read-only",
            Self::Mount => "mounts the device that it is given",
        })
    }
}

/// Names of files that devices start from.
const BOOT_FILES: [&str; 10] = [
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
/// Variables of the boot environment that choose the root filesystem.
const VARIABLES: [&str; 4] = [
    "bootcount",
    "mender_boot_part",
    "mender_boot_part_hex",
    "upgrade_available",
];

/// What a command does, if that matters.
pub(super) fn act(command: &Command) -> Option<Act> {
    if command
        .outputs
        .iter()
        .any(|path| path == "/proc/sysrq-trigger")
        && ["b", "o", "c"].contains(&command.words.get(1)?.as_str())
    {
        return Some(Act::Restart);
    }
    if command.outputs.iter().any(|path| is_boot_file(path)) {
        return Some(Act::BootFiles);
    }
    if command.outputs.iter().any(|path| is_disk(path)) {
        return Some(Act::Repartition);
    }
    of_words(&command.words)
}

/// When a command that acts does so at the earliest: the device can depend on whoever calls the
/// script, and be a file.
pub(super) fn earliest(command: &Command) -> Runs {
    let words = unwrapped(&command.words);
    let name = words.first().map_or("", String::as_str);
    let name = name.rsplit('/').next().unwrap_or_default();
    let rest: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
    if !formats(name, &rest) || rest.iter().any(|word| is_disk(word)) {
        return Runs::Always;
    }
    match name {
        "dd" | "mkswap" => Runs::Later,
        _ => Runs::If,
    }
}

/// Whether a command mounts a device that depends on whoever calls the script.
pub(super) fn mounts_given(words: &[String]) -> bool {
    let words = unwrapped(words);
    let name = words.first().map_or("", String::as_str);
    let name = name.rsplit('/').next().unwrap_or_default();
    let mounts = ["mount", "systemd-mount", "pmount", "udisksctl"].contains(&name);
    mounts && words.iter().skip(1).any(|word| is_given(word))
}

/// What the command of these words does, if that matters.
pub(super) fn of_words(words: &[String]) -> Option<Act> {
    let words = unwrapped(words);
    let name = words.first()?.rsplit('/').next()?;
    let rest: Vec<&str> = words[1..].iter().map(String::as_str).collect();
    let asks = ["--help", "--version"];
    if rest.iter().any(|word| asks.contains(word)) {
        return None;
    }
    restarts(name, &rest)
        .then_some(Act::Restart)
        .or_else(|| repartitions(name, &rest).then_some(Act::Repartition))
        .or_else(|| resizes(name, &rest).then_some(Act::Resize))
        .or_else(|| flashes(name, &rest).then_some(Act::Firmware))
        .or_else(|| writes_boot_files(name, &rest).then_some(Act::BootFiles))
        .or_else(|| makes_read_only(name, &rest).then_some(Act::ReadOnly))
}

/// Whether the words have this option.
fn has(words: &[&str], option: &str) -> bool {
    words.contains(&option)
}

fn restarts(name: &str, words: &[&str]) -> bool {
    let plain: Vec<&str> = words
        .iter()
        .copied()
        .filter(|word| !word.starts_with('-'))
        .collect();
    match name {
        "reboot" | "poweroff" | "halt" => !has(words, "-w") && !has(words, "--wtmp-only"),
        "shutdown" => {
            let cancels = has(words, "-c") || has(words, "-k");
            // A time of day, or an hour from now, is not a part of the start.
            let soon = plain.first().is_none_or(|time| {
                *time == "now"
                    || time
                        .trim_start_matches('+')
                        .parse::<u64>()
                        .is_ok_and(|minutes| minutes < 60)
            });
            !cancels && soon
        }
        "init" | "telinit" => matches!(plain.first(), Some(&("0" | "6"))),
        "kexec" => has(words, "-e") || has(words, "--exec"),
        "systemctl" => match plain.first() {
            Some(&("reboot" | "poweroff" | "halt" | "kexec" | "soft-reboot")) => true,
            Some(&("start" | "isolate")) => plain.iter().any(|unit| {
                matches!(
                    unit.trim_end_matches(".target"),
                    "reboot" | "poweroff" | "halt" | "kexec"
                )
            }),
            _ => false,
        },
        "busctl" | "dbus-send" | "gdbus" => {
            let logind = words.iter().any(|word| word.contains("login1"));
            let methods = ["Reboot", "PowerOff", "Halt"];
            logind
                && words
                    .iter()
                    .any(|word| methods.iter().any(|method| word.ends_with(method)))
        }
        _ => false,
    }
}

/// Whether a word is a device that depends on a variable.
fn is_given(word: &str) -> bool {
    let path = word.strip_prefix("of=").unwrap_or(word);
    let path = path.strip_prefix("/dev/").unwrap_or(path);
    path.starts_with(['$', '%'])
}

/// Whether a word names a disk, or a partition of one.
fn is_disk(word: &str) -> bool {
    let path = word.strip_prefix("of=").unwrap_or(word);
    [
        "/dev/sd",
        "/dev/vd",
        "/dev/hd",
        "/dev/mmcblk",
        "/dev/nvme",
        "/dev/disk/",
        "/dev/root",
        "/dev/mtd",
        "/dev/xvd",
        "/dev/emmc",
        "/dev/sdcard",
        "/dev/block/",
    ]
    .iter()
    .any(|start| path.starts_with(start))
}

fn repartitions(name: &str, words: &[&str]) -> bool {
    match name {
        "sfdisk" => {
            let asks = [
                "-l",
                "--list",
                "-d",
                "--dump",
                "-J",
                "--json",
                "-s",
                "--show-size",
                "-F",
                "--list-free",
                "-V",
                "--verify",
                "-n",
                "--no-act",
                "-T",
                "--list-types",
                "-v",
                "--disk-id",
                "--part-type",
                "--part-uuid",
                "--part-label",
            ];
            !words.iter().any(|word| asks.contains(word))
        }
        "fdisk" | "cfdisk" => !words
            .iter()
            .any(|word| matches!(*word, "-l" | "--list" | "-s" | "--getsz" | "-v" | "-x")),
        "gdisk" => !has(words, "-l"),
        "sgdisk" => {
            let asks = [
                "-p", "--print", "-i", "--info", "-v", "--verify", "-O", "-P",
            ];
            !words.iter().all(|word| {
                !word.starts_with('-')
                    || asks
                        .iter()
                        .any(|ask| word == ask || word.starts_with(&format!("{ask}=")))
            })
        }
        "parted" => words.iter().any(|word| {
            let first = word.split_whitespace().next().unwrap_or_default();
            matches!(
                first,
                "resizepart" | "mkpart" | "mkpartfs" | "rm" | "mklabel" | "mktable" | "resize"
            )
        }),
        "growpart" => !has(words, "-N") && !has(words, "--dry-run"),
        "systemd-repart" => has(words, "--dry-run=no"),
        "raspi-config" => words.iter().any(|word| word.contains("expand")),
        _ => formats(name, words) && words.iter().any(|word| is_disk(word) || is_given(word)),
    }
}

/// Whether a command overwrites a device.
fn formats(name: &str, words: &[&str]) -> bool {
    match name {
        "wipefs" => words
            .iter()
            .any(|word| word.starts_with("-a") || *word == "--all"),
        "dd" => words.iter().any(|word| word.starts_with("of=")),
        "cryptsetup" => has(words, "luksFormat"),
        "blkdiscard" | "mkswap" | "mke2fs" | "mkdosfs" | "mkntfs" | "pvcreate" => true,
        _ => name.starts_with("mkfs"),
    }
}

fn resizes(name: &str, words: &[&str]) -> bool {
    // The data partition may grow.
    let data = words.iter().any(|word| word.starts_with("/data"));
    match name {
        "resize2fs" | "xfs_growfs" | "systemd-growfs" | "resize.f2fs" => !data && !words.is_empty(),
        "btrfs" => has(words, "resize"),
        _ => false,
    }
}

fn flashes(name: &str, words: &[&str]) -> bool {
    match name {
        "flash_erase" | "flashcp" | "nandwrite" | "flash_eraseall" | "rpi-update" => true,
        "flashrom" => words
            .iter()
            .any(|word| word.starts_with("-w") || *word == "--write"),
        "fwupdmgr" | "fwupdtool" => words
            .iter()
            .any(|word| matches!(*word, "update" | "upgrade" | "install")),
        "rpi-eeprom-update" => words
            .iter()
            .any(|word| matches!(*word, "-a" | "-d" | "-f" | "-A")),
        "mmc" => has(words, "bootpart") || has(words, "bootbus"),
        "mtd_debug" => has(words, "write") || has(words, "erase"),
        _ => false,
    }
}

/// Whether the file is one that a device starts from.
fn is_boot_file(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let is_kernel = name.starts_with("kernel") && name.ends_with(".img");
    path.contains("/boot") && (is_kernel || BOOT_FILES.contains(&name))
}

fn writes_boot_files(name: &str, words: &[&str]) -> bool {
    match name {
        "grub-install" | "flash-kernel" => true,
        "fw_setenv" => words.iter().any(|word| VARIABLES.contains(word)),
        "sed" | "perl" => {
            words
                .iter()
                .any(|word| word.starts_with("-i") || word.starts_with("--in-place"))
                && words.iter().any(|word| is_boot_file(word))
        }
        "cp" | "mv" | "install" => words.last().is_some_and(|word| is_boot_file(word)),
        "rm" | "tee" => words.iter().any(|word| is_boot_file(word)),
        _ => false,
    }
}

fn makes_read_only(name: &str, words: &[&str]) -> bool {
    let read_only = words.iter().any(|word| {
        let options: Vec<&str> = word.trim_start_matches("-o").split(',').collect();
        options.contains(&"remount") && options.contains(&"ro")
    });
    let target = words.last().is_some_and(|word| {
        ["/boot", "/data", "/uboot", "/efi"]
            .iter()
            .any(|dir| word.starts_with(dir))
    });
    name == "mount" && read_only && target
}
