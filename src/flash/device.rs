//! The device that an image is written to: its properties, and whether it is in use. Sources are
//! `/sys/dev/block` (`Documentation/ABI/stable/sysfs-block` of Linux), `/proc/self/mountinfo` and
//! `/proc/swaps` (proc(5)).

use crate::image::table::PartitionTable;
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
pub struct FlashTarget {
    /// The path as given by the user.
    pub path: PathBuf,
    /// Length (bytes).
    pub size: u64,
    /// Whether it is a block device; otherwise it is a regular file.
    pub device: bool,
    /// The model (disks) or name (cards) that the device reports.
    pub model: Option<String>,
    /// Its current partitions, one line each.
    pub holds: Vec<String>,
    file: File,
}

impl FlashTarget {
    /// Opens the device or file at `path`, unless it is in use.
    ///
    /// # Errors
    /// A [`Problem`] that names the user of the device, or the reason why it cannot be opened.
    pub fn open(path: &Path) -> Result<Self> {
        let metadata = fs::metadata(path).map_err(|e| missing(path, &e))?;
        let kind = metadata.file_type();
        if !kind.is_block_device() && !kind.is_file() {
            let message = format!(
                "{} is neither a block device nor a regular file",
                path.display()
            );
            return Err(Problem::new(message)
                .hint("give the whole disk, such as /dev/sdX or /dev/mmcblkN")
                .into());
        }
        let device = kind.is_block_device();
        let known = if device {
            DeviceState::of(&metadata)
        } else {
            DeviceState::default()
        };
        known.check(path, &metadata)?;
        let file = open(path, device)?;
        let size = (&file)
            .seek(SeekFrom::End(0))
            .with_context(|| format!("determining the size of {}", path.display()))?;
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

    /// Fills a range with zeros, without transferring them if the device or filesystem can.
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

    /// Flushes everything to the device.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Drops the page cache of the device, so that reads reach the device.
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
            "list the devices with `lsblk`; to write to a file, create it first with `truncate -s SIZE`",
        ),
        _ => problem,
    }
}

/// Opens for reading and writing; a block device only if it is not in use by the system (open(2),
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
                problem.hint("run as root, or join the group of the device")
            }
            io::ErrorKind::ResourceBusy => problem.hint("find its user with `lsblk` and stop it"),
            io::ErrorKind::ReadOnlyFilesystem => problem.hint("check the write-protection switch"),
            _ => problem,
        }
    })
}

/// A line for each partition that is on the device now; none if it has no readable table.
fn holds(file: &File, size: u64) -> Vec<String> {
    let Ok(file) = file.try_clone() else {
        return Vec::new();
    };
    let Ok(table) = PartitionTable::read(&FileSource::new(file, size)) else {
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

/// Properties of a block device, from sysfs; empty for a regular file.
#[derive(Debug, Default)]
struct DeviceState {
    /// Device numbers (major, minor) of the disk and its partitions.
    numbers: BTreeSet<(u32, u32)>,
    partition: bool,
    model: Option<String>,
    /// Names of devices built on it: LVM, RAID, encryption.
    holders: Vec<String>,
}

impl DeviceState {
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

    /// Fails if the device is in use.
    fn check(&self, path: &Path, metadata: &Metadata) -> Result<(), Problem> {
        let busy = |how: String, hint: &str| {
            Err(Problem::new(format!("{} {how}", path.display())).hint(hint))
        };
        if self.partition {
            return busy(
                "is a partition, but the image is a whole disk".into(),
                "give the disk that contains the partition",
            );
        }
        let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
        if let Some(place) = mounted(&read("/proc/self/mountinfo"), &|number| {
            self.numbers.contains(&number)
        }) {
            return busy(
                format!("is mounted on {place}"),
                &format!("check that this is the right device, then run `umount {place}`"),
            );
        }
        if let Some(swap) = swaps(&read("/proc/swaps"))
            .find(|swap| device_number(swap).is_some_and(|n| self.numbers.contains(&n)))
        {
            return busy(
                format!("is in use as swap space ({swap})"),
                &format!("check that this is the right device, then run `swapoff {swap}`"),
            );
        }
        if let Some(holder) = self.holders.first() {
            return busy(
                format!("is part of {holder}"),
                &format!("deactivate {holder} first (lvchange, cryptsetup, mdadm)"),
            );
        }
        if let Some(name) = backs(metadata).filter(|_| self.numbers.is_empty()) {
            return busy(
                format!("is in use as /dev/{name}"),
                &format!("check that this is the right file, then run `losetup -d /dev/{name}`"),
            );
        }
        Ok(())
    }
}

fn number(device: u64) -> (u32, u32) {
    let device = rustix::fs::Dev::try_from(device).unwrap_or_default();
    (rustix::fs::major(device), rustix::fs::minor(device))
}

/// Parses `MAJOR:MINOR`.
fn parse(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The device number (major, minor) of the block device at a path.
fn device_number(path: &str) -> Option<(u32, u32)> {
    let metadata = fs::metadata(path)
        .ok()
        .filter(|metadata| metadata.file_type().is_block_device())?;
    Some(number(metadata.rdev()))
}

/// The sorted names in a directory; empty if it does not exist.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// The mount point of a device with one of the wanted numbers, from the text of
/// `/proc/self/mountinfo`. Its numbers are those of filesystems, which for some (btrfs) differ from
/// the device's, so the path of the device is checked too.
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

/// Decodes a path: the kernel writes space, tab, newline and backslash as a backslash and three
/// octal digits.
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

/// The loop device that is backed by a file.
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
