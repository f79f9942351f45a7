//! The firmware of a Raspberry Pi, as its documentation has it: which partition, which of its files
//! and which of their lines it goes by, and what it then loads.
//!
//! Sources: Raspberry Pi documentation, pages `config.txt`, "Conditional filters", "autoboot.txt",
//! "EEPROM boot flow"; the release notes of the boot loaders in the boards' memories.

use crate::boot::medium::fat::Disk;
use std::collections::BTreeSet;

/// A board, with the date of the boot loader in its memory (year, month, day).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Board {
    /// The names of the filters that select it: its own, and that of its family.
    pub(super) filters: &'static [&'static str],
    /// The kernel that it takes where no line names one, the best first.
    pub(super) kernels: &'static [&'static str],
    /// The beginning of the names of its device trees.
    pub(super) tree: &'static str,
    /// Whether its firmware is on the partition (`start*.elf`), or in its memory.
    pub(super) needs: Option<&'static str>,
    /// The date of the boot loader in its memory; models up to 3 have none.
    pub(super) date: (u16, u8, u8),
}

pub(super) const PI3: Board = Board {
    filters: &["pi3"],
    kernels: &["kernel8.img", "kernel7.img"],
    tree: "bcm2710-",
    needs: Some("start.elf"),
    date: (2026, 1, 1),
};

pub(super) const PI4: Board = Board {
    filters: &["pi4"],
    kernels: &["kernel8.img", "kernel7l.img"],
    tree: "bcm2711-",
    needs: Some("start4.elf"),
    date: (2026, 1, 1),
};

pub(super) const CM4: Board = Board {
    filters: &["cm4", "pi4"],
    ..PI4
};

pub(super) const PI5: Board = Board {
    filters: &["pi5"],
    kernels: &["kernel_2712.img", "kernel8.img"],
    tree: "bcm2712-",
    needs: None,
    date: (2026, 1, 1),
};

pub(super) const PI500: Board = Board {
    filters: &["pi500", "pi5"],
    ..PI5
};

/// From this release on, a boot loader for a BCM2711 knows the flag for `tryboot.txt`.
const TRYBOOT: (u16, u8, u8) = (2020, 10, 28);
/// From this release on it knows `[tryboot]` and `tryboot_a_b`.
const TRYBOOT_A_B: (u16, u8, u8) = (2022, 10, 18);
/// From this release on it looks for another partition if one starts nothing.
const PARTITION_WALK: (u16, u8, u8) = (2025, 8, 13);
/// From this release on `auto_initramfs` and `os_prefix` can be combined.
const AUTO_INITRAMFS: (u16, u8, u8) = (2026, 6, 29);

/// What was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Started {
    /// The number of the partition.
    pub(super) partition: usize,
    /// The file with the settings that counted.
    pub(super) settings: &'static str,
    /// Whether the flag was set.
    pub(super) tryboot: bool,
    /// The prefix that counted.
    pub(super) prefix: String,
    /// The firmware's program, where it is on the partition.
    pub(super) program: Option<Vec<u8>>,
    pub(super) kernel: Vec<u8>,
    pub(super) initramfs: Option<Vec<u8>>,
    pub(super) tree: Vec<u8>,
    /// The overlays that were named and found.
    pub(super) overlays: Vec<(String, Vec<u8>)>,
    pub(super) cmdline: String,
    /// All settings that counted, but for those above.
    pub(super) others: Vec<String>,
}

/// The lines of a file that count, of those that it includes too.
fn lines(disk: &Disk, board: &Board, name: &str, tryboot: bool, includes: bool) -> Vec<String> {
    let mut out = Vec::new();
    let mut filters = Filters::default();
    read(
        disk,
        board,
        name,
        tryboot,
        includes,
        0,
        &mut filters,
        &mut out,
    );
    out
}

#[derive(Default)]
struct Filters {
    other_model: bool,
    none: bool,
    no_tryboot: bool,
    unmet: BTreeSet<String>,
}

#[allow(clippy::too_many_arguments)]
fn read(
    disk: &Disk,
    board: &Board,
    name: &str,
    tryboot: bool,
    includes: bool,
    depth: usize,
    filters: &mut Filters,
    out: &mut Vec<String>,
) {
    let Some(bytes) = disk.read(name).filter(|_| depth < 8) else {
        return;
    };
    for line in String::from_utf8_lossy(&bytes).lines() {
        let line: String = line.chars().take(98).collect();
        let line = line.trim();
        if let Some(filter) = line.strip_prefix('[') {
            let filter = filter.trim_end_matches(']').to_ascii_lowercase();
            match filter.as_str() {
                "all" => *filters = Filters::default(),
                "none" => filters.none = true,
                "tryboot" => filters.no_tryboot = !tryboot || board.date < TRYBOOT_A_B,
                other if other.starts_with("pi") || other.starts_with("cm") => {
                    filters.other_model = !board.filters.contains(&other);
                }
                // What only a device has: its pins, its serial number, its display.
                other => {
                    let kind = other.split(['=', ':']).next().unwrap_or_default();
                    filters.unmet.insert(kind.to_owned());
                }
            }
            continue;
        }
        let counts = !filters.other_model
            && !filters.none
            && !filters.no_tryboot
            && filters.unmet.is_empty();
        if line.is_empty() || line.starts_with('#') || !counts {
            continue;
        }
        match line.strip_prefix("include ") {
            Some(more) if includes => read(
                disk,
                board,
                more.trim(),
                tryboot,
                includes,
                depth + 1,
                filters,
                out,
            ),
            Some(_) => {}
            None => out.push(line.to_owned()),
        }
    }
}

/// The last value of a setting.
fn value<'l>(lines: &'l [String], name: &str) -> Option<&'l str> {
    lines
        .iter()
        .rev()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}

/// Starts a board from the FAT partitions of its medium; those that are not FAT are `None`. The
/// flag is taken before anything is read.
pub(super) fn start(
    board: &Board,
    partitions: &[Option<&Disk>],
    flag: &mut bool,
) -> Result<Started, String> {
    let flagged = std::mem::take(flag);
    let tryboot = flagged && (board.needs == Some("start.elf") || board.date >= TRYBOOT);
    let fat = |number: usize| partitions.get(number - 1).copied().flatten();
    let first = (1..=partitions.len()).find(|number| fat(*number).is_some());
    let first = first.ok_or("no FAT partition")?;
    let auto = fat(1)
        .map(|disk| lines(disk, board, "autoboot.txt", tryboot, false))
        .unwrap_or_default();
    let a_b = value(&auto, "tryboot_a_b") == Some("1") && board.date >= TRYBOOT_A_B;
    let wanted = value(&auto, "boot_partition").and_then(|number| number.parse().ok());
    let wanted = wanted.filter(|number| *number != 0).unwrap_or(first);
    let settings = if tryboot && !a_b {
        "tryboot.txt"
    } else {
        "config.txt"
    };
    let from = |number: usize| {
        let disk = fat(number).ok_or_else(|| format!("partition {number} is not FAT"))?;
        from_partition(board, disk, number, settings, tryboot)
    };
    let mut started = from(wanted);
    if board.date >= PARTITION_WALK && started.is_err() {
        let others = (1..=partitions.len()).filter(|number| *number != wanted);
        started = others.map(from).find(Result::is_ok).unwrap_or(started);
    }
    started
}

fn from_partition(
    board: &Board,
    disk: &Disk,
    partition: usize,
    settings: &'static str,
    tryboot: bool,
) -> Result<Started, String> {
    if let Some(program) = board.needs
        && disk.read(program).is_none()
    {
        return Err(format!("{program} is missing"));
    }
    let lines = lines(disk, board, settings, tryboot, true);
    let wanted = value(&lines, "os_prefix").unwrap_or_default().to_owned();
    let kernel = |prefix: &str| match value(&lines, "kernel") {
        Some(name) => disk
            .read(&prefixed(prefix, name))
            .map(|bytes| (name.to_owned(), bytes)),
        None => board.kernels.iter().find_map(|name| {
            disk.read(&prefixed(prefix, name))
                .map(|bytes| ((*name).to_owned(), bytes))
        }),
    };
    let tree = |prefix: &str| {
        let dir = prefix.trim_end_matches('/');
        let mut entries = disk.list(dir).into_iter();
        let found = entries.find(|entry| {
            entry.name.starts_with(board.tree) && entry.name.ends_with(".dtb") && !entry.is_dir
        })?;
        disk.content(&found)
    };
    let prefix = if kernel(&wanted).is_some() && tree(&wanted).is_some() {
        wanted
    } else {
        String::new()
    };
    let (name, image) = kernel(&prefix).ok_or_else(|| format!("{settings}: no kernel"))?;
    let device_tree = tree(&prefix).ok_or_else(|| format!("{settings}: no device tree"))?;
    let ours = |line: &String| {
        ["os_prefix=", "kernel=", "initramfs ", "cmdline="]
            .iter()
            .any(|start| line.starts_with(start))
    };
    Ok(Started {
        partition,
        settings,
        tryboot,
        initramfs: ram_disk(board, disk, &lines, &prefix, &name),
        program: board.needs.and_then(|name| disk.read(name)),
        kernel: image,
        tree: device_tree,
        overlays: overlays(disk, &lines, &prefix),
        cmdline: arguments(disk, &lines, &prefix),
        others: lines.iter().filter(|line| !ours(line)).cloned().collect(),
        prefix,
    })
}

/// The initial RAM disk, that is named or belongs to the kernel.
fn ram_disk(
    board: &Board,
    disk: &Disk,
    lines: &[String],
    prefix: &str,
    kernel: &str,
) -> Option<Vec<u8>> {
    let mut named = lines.iter().rev();
    let named = named.find_map(|line| line.strip_prefix("initramfs "));
    if let Some(rest) = named {
        let name = rest.split_whitespace().next()?;
        return disk.read(&prefixed(prefix, name));
    }
    if value(lines, "auto_initramfs") != Some("1") {
        return None;
    }
    let name = kernel
        .trim_end_matches(".img")
        .replace("kernel", "initramfs");
    // Older releases put the prefix in front twice.
    let times = if board.date < AUTO_INITRAMFS { 2 } else { 1 };
    disk.read(&format!("{}{name}", prefix.repeat(times)))
}

/// The overlays that are named and found: those behind the prefix if a README is there.
fn overlays(disk: &Disk, lines: &[String], prefix: &str) -> Vec<(String, Vec<u8>)> {
    let has_own = disk.read(&format!("{prefix}overlays/README")).is_some();
    let prefix = if has_own { prefix } else { "" };
    lines
        .iter()
        .filter_map(|line| line.strip_prefix("dtoverlay="))
        .map(|rest| rest.split(',').next().unwrap_or_default())
        .filter_map(|name| {
            let bytes = disk.read(&format!("{prefix}overlays/{name}.dtbo"))?;
            Some((name.to_owned(), bytes))
        })
        .collect()
}

/// The first line of the file with the kernel's arguments.
fn arguments(disk: &Disk, lines: &[String], prefix: &str) -> String {
    let name = value(lines, "cmdline").unwrap_or("cmdline.txt");
    let bytes = disk.read(&prefixed(prefix, name)).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    text.lines().next().unwrap_or_default().to_owned()
}

/// A name behind the prefix; one that begins with a slash goes without.
fn prefixed(prefix: &str, name: &str) -> String {
    match name.strip_prefix('/') {
        Some(whole) => whole.to_owned(),
        None => format!("{prefix}{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::medium::driver::Driver;

    /// A partition with these files, and what all models need.
    fn partition(files: &[(&str, &str)]) -> Disk {
        let mut driver = Driver::new(Disk::format(), true);
        for dir in ["s", "s/overlays", "overlays"] {
            driver.mkdir(dir);
        }
        for name in ["start.elf", "start4.elf"] {
            driver.put(name, b"x");
        }
        for (name, text) in files {
            driver.put(name, text.as_bytes());
        }
        driver.now
    }

    const OWN: [(&str, &str); 6] = [
        ("kernel8.img", "root's"),
        ("bcm2710-rpi-3-b.dtb", "t3"),
        ("bcm2711-rpi-4-b.dtb", "t4"),
        ("bcm2712-rpi-5-b.dtb", "t5"),
        ("cmdline.txt", "words of the root\nnot this\n"),
        ("overlays/o.dtbo", "shared"),
    ];

    fn with(more: &[(&str, &str)]) -> Disk {
        partition(&[&OWN[..], more].concat())
    }

    fn started(board: &Board, disk: &Disk, flag: bool) -> Started {
        let mut left = flag;
        let started = start(board, &[Some(disk)], &mut left).unwrap();
        assert!(!left, "the flag is taken before anything starts");
        started
    }

    #[test]
    fn filters_select_lines() {
        let text = "a=1\n[pi4]\na=4\n[cm4]\na=cm4\n[pi5]\na=5\n[all]\nb=1\n[gpio4=1]\n[pi4]\nb=2\n[none]\nb=3\n[all]\ninclude more.txt\n";
        let disk = with(&[
            ("config.txt", text),
            ("more.txt", "[pi3]\nb=three\n[all]\nc=1\n"),
        ]);
        for (board, a, b) in [
            (PI3, "1", "three"),
            (PI4, "4", "1"),
            (CM4, "cm4", "1"),
            (PI5, "5", "1"),
            (PI500, "5", "1"),
        ] {
            let found = started(&board, &disk, false);
            assert_eq!(value(&found.others, "a"), Some(a), "{board:?}");
            assert_eq!(value(&found.others, "b"), Some(b), "{board:?}");
            assert_eq!(value(&found.others, "c"), Some("1"), "{board:?}");
        }
    }

    #[test]
    fn a_prefix_counts_with_a_kernel_and_a_device_tree() {
        let lines = "os_prefix=s/\ndtoverlay=o\ninitramfs ram followkernel\n";
        let files = [
            ("config.txt", lines),
            ("s/kernel8.img", "own"),
            ("s/bcm2711-rpi-4-b.dtb", "own"),
            ("s/cmdline.txt", "own words\n"),
            ("s/ram", "ram"),
            ("s/overlays/o.dtbo", "own"),
        ];
        let found = started(&PI4, &with(&files[..2]), false);
        assert_eq!(
            (found.prefix.as_str(), found.kernel),
            ("", b"root's".to_vec())
        );
        assert_eq!(found.cmdline, "words of the root");
        let found = started(&PI4, &with(&files), false);
        assert_eq!(
            (found.prefix.as_str(), found.kernel),
            ("s/", b"own".to_vec())
        );
        assert_eq!(found.cmdline, "own words");
        assert_eq!(found.initramfs, Some(b"ram".to_vec()));
        // Without a README the overlays are shared.
        assert_eq!(found.overlays, [("o".to_owned(), b"shared".to_vec())]);
        let more = [&files[..], &[("s/overlays/README", "x")]].concat();
        let found = started(&PI4, &with(&more), false);
        assert_eq!(found.overlays, [("o".to_owned(), b"own".to_vec())]);
    }

    #[test]
    fn auto_initramfs_with_a_prefix_needs_a_recent_firmware() {
        let files = [
            ("config.txt", "os_prefix=s/\nauto_initramfs=1\n"),
            ("s/kernel8.img", "own"),
            ("s/bcm2711-rpi-4-b.dtb", "own"),
            ("s/initramfs8", "ram"),
        ];
        let disk = with(&files);
        assert_eq!(started(&PI4, &disk, false).initramfs, None);
        let recent = Board {
            date: (2026, 7, 1),
            ..PI4
        };
        assert!(started(&recent, &disk, false).initramfs.is_some());
    }

    #[test]
    fn the_flag_selects_tryboot_txt_once_where_it_is_known() {
        let files = [
            ("config.txt", "a=config\n[tryboot]\na=filter\n"),
            ("tryboot.txt", "a=tryboot\n"),
        ];
        let disk = with(&files);
        for (date, a) in [((2020, 9, 3), "config"), ((2021, 3, 18), "tryboot")] {
            let board = Board { date, ..PI4 };
            let found = started(&board, &disk, true);
            assert_eq!(value(&found.others, "a"), Some(a), "{date:?}");
            let found = started(&board, &disk, false);
            assert_eq!(value(&found.others, "a"), Some("config"));
        }
    }

    #[test]
    fn autoboot_txt_and_the_walk_over_partitions() {
        let auto = "[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n";
        let first = partition(&[("autoboot.txt", auto)]);
        let second = with(&[("config.txt", "a=2\n")]);
        let third = with(&[("config.txt", "a=3\n")]);
        let disks = [Some(&first), Some(&second), Some(&third)];
        for (flag, number) in [(false, 2), (true, 3)] {
            let found = start(&PI4, &disks, &mut flag.clone()).unwrap();
            assert_eq!((found.partition, found.settings), (number, "config.txt"));
        }
        // A file that was torn names no partition: newer boot loaders look further.
        let torn = partition(&[("autoboot.txt", "")]);
        let disks = [Some(&torn), None, Some(&third)];
        assert_eq!(start(&PI4, &disks, &mut false).unwrap().partition, 3);
        let old = Board {
            date: (2024, 1, 1),
            ..PI4
        };
        assert!(start(&old, &disks, &mut false).is_err());
    }
}
