//! The device that an image goes to: what it is, and whether anything uses it. What Linux tells of
//! block devices is read from `/sys/dev/block` (`Documentation/ABI/stable/sysfs-block` of Linux),
//! `/proc/self/mountinfo` and `/proc/swaps` (proc(5)).

use crate::image::table::Table;
use crate::problem::Problem;
use crate::stream::FileSource;
use crate::units::{Lba, MIB, human};
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A block device or regular file, open for writing.
#[derive(Debug)]
pub struct Target {
    /// Its path, as the user gave it.
    pub path: PathBuf,
    /// Its length in bytes.
    pub size: u64,
    /// Whether it is a block device.
    pub device: bool,
    /// What it calls itself.
    pub model: Option<String>,
    /// What it holds now, a line for each partition.
    pub holds: Vec<String>,
    file: File,
}

impl Target {
    /// Opens the device or file at `path`, unless something uses it.
    ///
    /// # Errors
    /// A [`Problem`] that names what uses it, or why it cannot be opened.
    pub fn open(path: &Path) -> Result<Self> {
        let metadata = fs::metadata(path).map_err(|e| missing(path, &e))?;
        let kind = metadata.file_type();
        if !kind.is_block_device() && !kind.is_file() {
            let message = format!(
                "{} is neither a block device nor a regular file",
                path.display()
            );
            return Err(Problem::new(message)
                .hint("name the whole disk, such as /dev/sdX or /dev/mmcblkN")
                .into());
        }
        let device = kind.is_block_device();
        let known = if device {
            Known::of(&metadata)
        } else {
            Known::default()
        };
        known.check(path, &metadata)?;
        let file = open(path, device)?;
        let size = (&file)
            .seek(SeekFrom::End(0))
            .with_context(|| format!("asking for the size of {}", path.display()))?;
        let holds = holds(&file, size);
        Ok(Self {
            path: path.to_owned(),
            size,
            device,
            model: known.model,
            holds,
            file,
        })
    }

    /// Writes bytes at an offset.
    pub(super) fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    /// Reads bytes from an offset.
    pub(super) fn read(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }

    /// Makes zeros of a range: without moving them where the device or filesystem can.
    pub(super) fn zero(&self, range: Range<u64>) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{FallocateFlags, fallocate};
            let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            let how = if self.device {
                FallocateFlags::ZERO_RANGE
            } else {
                hole
            };
            if fallocate(&self.file, how, range.start, range.end - range.start).is_ok() {
                return Ok(());
            }
        }
        let zeros = vec![0; MIB as usize];
        range.clone().step_by(MIB as usize).try_for_each(|at| {
            let len =
                usize::try_from(range.end - at).map_or(zeros.len(), |left| left.min(zeros.len()));
            self.write(at, &zeros[..len])
        })
    }

    /// Waits until everything is on the device.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Lets the kernel forget what it has of the device in memory, so that reading asks the device.
    pub(super) fn forget(&self) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::DontNeed)?;
        Ok(())
    }
}

fn missing(path: &Path, error: &io::Error) -> Problem {
    let problem = Problem::new(format!("{} cannot be opened: {error}", path.display()));
    match error.kind() {
        io::ErrorKind::NotFound => problem.hint(
            "plug the device in and look with `lsblk`; a file must be made before, with `truncate`",
        ),
        _ => problem,
    }
}

/// Opens for reading and writing; a block device only if nobody else has it to himself (open(2),
/// `O_EXCL`).
fn open(path: &Path, device: bool) -> Result<File, Problem> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    if device {
        options.custom_flags(i32::try_from(rustix::fs::OFlags::EXCL.bits()).unwrap_or(0));
    }
    options.open(path).map_err(|e| {
        let problem = Problem::new(format!(
            "{} cannot be opened for writing: {e}",
            path.display()
        ));
        match e.kind() {
            io::ErrorKind::PermissionDenied => {
                problem.hint("writing to a device needs root, or membership in its group")
            }
            io::ErrorKind::ResourceBusy => {
                problem.hint("find what uses it with `lsblk` and stop that")
            }
            io::ErrorKind::ReadOnlyFilesystem => problem.hint("look for a write-protection switch"),
            _ => problem,
        }
    })
}

/// The partitions on it now, in words.
fn holds(file: &File, size: u64) -> Vec<String> {
    let Ok(file) = file.try_clone() else {
        return Vec::new();
    };
    let Ok(table) = Table::read(&FileSource::new(file, size)) else {
        return Vec::new();
    };
    let line = |part: &crate::image::table::Partition| {
        let name = if part.name.is_empty() {
            String::new()
        } else {
            format!(" {:?}", part.name)
        };
        format!(
            "partition {}: {}{name}",
            part.number,
            human(Lba(part.sectors).bytes())
        )
    };
    table.partitions.iter().map(line).collect()
}

/// What the kernel knows of a block device.
#[derive(Debug, Default)]
struct Known {
    /// Its number and those of its partitions.
    numbers: BTreeSet<(u32, u32)>,
    partition: bool,
    model: Option<String>,
    /// Names of devices that are made of it.
    holders: Vec<String>,
}

impl Known {
    fn of(metadata: &Metadata) -> Self {
        let own = number(metadata.rdev());
        let dir = PathBuf::from(format!("/sys/dev/block/{}:{}", own.0, own.1));
        let mut known = Self {
            partition: dir.join("partition").exists(),
            ..Self::default()
        };
        known.numbers.insert(own);
        known.holders.extend(names(&dir.join("holders")));
        for part in names(&dir)
            .into_iter()
            .map(|name| dir.join(name))
            .filter(|part| part.join("partition").exists())
        {
            known.numbers.extend(
                fs::read_to_string(part.join("dev"))
                    .ok()
                    .and_then(|text| parse(&text)),
            );
            known.holders.extend(names(&part.join("holders")));
        }
        // Disks have a model, cards a name.
        let model = ["device/model", "device/name"]
            .iter()
            .find_map(|file| fs::read_to_string(dir.join(file)).ok());
        known.model = model
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty());
        known
    }

    /// Fails when the device is in use.
    fn check(&self, path: &Path, metadata: &Metadata) -> Result<(), Problem> {
        let busy = |how: String, hint: &str| {
            Err(Problem::new(format!("{} {how}", path.display())).hint(hint))
        };
        if self.partition {
            return busy(
                "is a partition, the image is a whole disk".into(),
                "name the disk that the partition is on",
            );
        }
        let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
        if let Some(place) = mounted(&read("/proc/self/mountinfo"), &|number| {
            self.numbers.contains(&number)
        }) {
            return busy(
                format!("is mounted on {place}"),
                &format!("check that it is the right device, then `umount {place}`"),
            );
        }
        if let Some(swap) = swaps(&read("/proc/swaps"))
            .find(|swap| device_number(swap).is_some_and(|n| self.numbers.contains(&n)))
        {
            return busy(
                format!("is used for swapping ({swap})"),
                &format!("check that it is the right device, then `swapoff {swap}`"),
            );
        }
        if let Some(holder) = self.holders.first() {
            return busy(
                format!("is part of {holder}"),
                &format!("close {holder} first (lvchange, cryptsetup, mdadm)"),
            );
        }
        if let Some(name) = backs(metadata).filter(|_| self.numbers.is_empty()) {
            return busy(
                format!("is in use as /dev/{name}"),
                &format!("check that it is the right file, then `losetup -d /dev/{name}`"),
            );
        }
        Ok(())
    }
}

fn number(device: u64) -> (u32, u32) {
    (rustix::fs::major(device), rustix::fs::minor(device))
}

/// `MAJOR:MINOR`.
fn parse(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The number of the block device at a path.
fn device_number(path: &str) -> Option<(u32, u32)> {
    let metadata = fs::metadata(path)
        .ok()
        .filter(|metadata| metadata.file_type().is_block_device())?;
    Some(number(metadata.rdev()))
}

/// The names in a directory in order; none where there is no such directory.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Where a device with one of the wanted numbers is mounted, by the text of `/proc/self/mountinfo`.
/// The number in it is that of the filesystem, which is not the device's for some; then the
/// device's path is asked too.
fn mounted(text: &str, wanted: &dyn Fn((u32, u32)) -> bool) -> Option<String> {
    text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        let separator = fields.iter().position(|field| *field == "-")?;
        let source = fields
            .get(separator + 2)
            .map(|source| plain(source))
            .filter(|source| source.starts_with('/'));
        let by_number = fields
            .get(2)
            .and_then(|field| parse(field))
            .is_some_and(wanted);
        let by_path = || {
            source
                .as_deref()
                .and_then(device_number)
                .is_some_and(wanted)
        };
        if by_number || by_path() {
            fields.get(4).map(|place| plain(place))
        } else {
            None
        }
    })
}

/// The paths in the text of `/proc/swaps`.
fn swaps(text: &str) -> impl Iterator<Item = String> {
    text.lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .map(plain)
}

/// The kernel writes space, tab, newline and backslash as three octal digits behind a backslash.
fn plain(text: &str) -> String {
    [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// The loop device that shows a file as a disk.
fn backs(metadata: &Metadata) -> Option<String> {
    names(Path::new("/sys/block"))
        .into_iter()
        .filter(|name| name.starts_with("loop"))
        .find(|name| {
            let backing = fs::read_to_string(format!("/sys/block/{name}/loop/backing_file"))
                .unwrap_or_default();
            let same =
                |other: Metadata| (other.dev(), other.ino()) == (metadata.dev(), metadata.ino());
            fs::metadata(backing.trim_end_matches('\n')).is_ok_and(same)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_found_by_number() {
        let text = "22 27 0:21 / /proc rw,relatime - proc proc rw\n\
                    30 1 179:2 / /media/my\\040card rw shared:1 master:2 - ext4 /dev/none rw\n";
        assert_eq!(
            mounted(text, &|number| number == (179, 2)).as_deref(),
            Some("/media/my card")
        );
        assert_eq!(mounted(text, &|number| number == (179, 0)), None);
        assert_eq!(mounted("garbage\n\n1 2 3 4 -", &|_| true), None);
    }

    #[test]
    fn swaps_and_numbers() {
        let text = "Filename\tType\tSize\tUsed\tPriority\n/dev/sdb3   partition\t1024\t0\t-2\n/swap\\040file file 1 0 -3\n";
        assert_eq!(swaps(text).collect::<Vec<_>>(), ["/dev/sdb3", "/swap file"]);
        assert_eq!(
            (parse("8:17\n"), parse("8"), parse("x:1")),
            (Some((8, 17)), None, None)
        );
    }
}
