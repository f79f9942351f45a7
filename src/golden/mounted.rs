//! Whether an image is mounted while it is read: its filesystems may change at any time then.
//!
//! Everybody may read `/proc/self/mountinfo` and the files of loop devices in `/sys` (proc(5);
//! `Documentation/ABI/testing/sysfs-block`). Where they are missing, nothing is known.

use crate::image::source::Backing;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A mount of a part of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// The directory.
    pub dir: String,
    /// The device, such as `/dev/loop0p2`.
    pub device: String,
    /// Whether the filesystem can be written to.
    pub writable: bool,
}

impl Mounted {
    /// A sentence about it.
    #[must_use]
    pub fn describe(&self) -> String {
        let Self { dir, device, .. } = self;
        if self.writable {
            format!(
                "{device}, a part of the image, is mounted on {dir} and can be written to while the \
                 image is read: unmount it, and start again"
            )
        } else {
            format!("{device}, a part of the image, is mounted read-only on {dir}")
        }
    }
}

/// The mounts of devices that are the image or a part of it.
#[must_use]
pub fn mounts(backing: &Backing) -> Vec<Mounted> {
    let numbers = numbers(backing, Path::new("/sys"));
    if numbers.is_empty() {
        return Vec::new();
    }
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut found: Vec<Mounted> = table
        .lines()
        .filter_map(|line| mount(line, &numbers))
        .collect();
    // The same filesystem may be mounted on several directories.
    found.dedup_by(|one, other| one.device == other.device);
    found
}

/// The device numbers (`7:0`) of the devices that read from the image.
fn numbers(backing: &Backing, sys: &Path) -> Vec<String> {
    let disks = match backing {
        Backing::Device(number) => vec![device(sys, *number)],
        Backing::File(dev, ino) => loops(sys, (*dev, *ino)),
    };
    let mut numbers = Vec::new();
    for disk in disks {
        let parts = entries(&disk)
            .into_iter()
            .filter(|part| part.join("partition").exists());
        for dir in parts.chain([disk.clone()]) {
            let number = std::fs::read_to_string(dir.join("dev")).unwrap_or_default();
            numbers.extend(Some(number.trim().to_owned()).filter(|number| !number.is_empty()));
        }
    }
    numbers
}

/// The directory of a block device.
fn device(sys: &Path, number: u64) -> PathBuf {
    // 12 bits of the major number are between 20 of the minor one; 32 more are above them.
    let major = (number >> 8 & 0xFFF) | (number >> 32 & !0xFFF);
    let minor = (number & 0xFF) | (number >> 12 & 0xFFF_FF00);
    sys.join(format!("dev/block/{major}:{minor}"))
}

/// The directories of the loop devices that read from the file with this device and inode.
fn loops(sys: &Path, file: (u64, u64)) -> Vec<PathBuf> {
    let reads = |disk: &PathBuf| {
        let path = std::fs::read_to_string(disk.join("loop/backing_file")).ok()?;
        let there = std::fs::metadata(path.trim_end_matches('\n')).ok()?;
        Some((there.dev(), there.ino()) == file)
    };
    entries(&sys.join("block"))
        .into_iter()
        .filter(|disk| reads(disk).unwrap_or(false))
        .collect()
}

/// The entries of a directory, sorted; none if it cannot be read.
fn entries(dir: &Path) -> Vec<PathBuf> {
    let found = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = found.map(|entry| entry.path()).collect();
    found.sort();
    found
}

/// The mount of a line of `mountinfo`, if it is of one of the devices `numbers`:
/// `36 35 7:0 / /mnt rw,noatime - ext4 /dev/loop0 rw`.
fn mount(line: &str, numbers: &[String]) -> Option<Mounted> {
    let (front, back) = line.split_once(" - ")?;
    let mut front = front.split(' ').skip(2);
    let number = front.next()?;
    let dir = front.nth(1)?;
    let mut back = back.split(' ').skip(1);
    let (device, options) = (back.next()?, back.next()?);
    numbers
        .iter()
        .any(|known| known == number)
        .then(|| Mounted {
            dir: dir.replace("\\040", " "),
            device: device.to_owned(),
            writable: options.split(',').next() == Some("rw"),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_mountinfo_are_found_by_their_device() {
        let numbers = ["259:2".to_owned(), "7:0".to_owned()];
        let line =
            r"36 35 7:0 / /mnt/a\040b rw,noatime shared:1 - ext4 /dev/loop0 rw,errors=continue";
        let found = mount(line, &numbers).unwrap();
        assert_eq!((found.dir.as_str(), found.writable), ("/mnt/a b", true));
        let read_only = mount(&line.replace("loop0 rw", "loop0 ro"), &numbers).unwrap();
        assert!(!read_only.writable);
        assert!(read_only.describe().ends_with("read-only on /mnt/a b"));
        assert_eq!(mount(&line.replace("7:0", "7:1"), &numbers), None);
        assert_eq!(mount("36 35 7:0 / /mnt rw", &numbers), None);
    }

    #[test]
    fn loop_devices_are_found_by_their_file_with_their_partitions() {
        let dir = tempfile::tempdir().unwrap();
        let sys = dir.path();
        let image = sys.join("disk.img");
        let put = |path: &str, text: &str| {
            let path = sys.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        put("disk.img", "");
        put("block/loop0/loop/backing_file", "/gone\n");
        put("block/loop0/dev", "7:0\n");
        put(
            "block/loop1/loop/backing_file",
            &format!("{}\n", image.display()),
        );
        put("block/loop1/dev", "7:1\n");
        put("block/loop1/loop1p2/dev", "259:2\n");
        put("block/loop1/loop1p2/partition", "2\n");
        put("block/loop1/queue/dev", "9:9\n");
        put("block/sda/dev", "8:0\n");
        let there = std::fs::metadata(&image).unwrap();
        let file = Backing::File(there.dev(), there.ino());
        assert_eq!(numbers(&file, sys), ["259:2", "7:1"]);
        put("dev/block/8:0/dev", "8:0\n");
        assert_eq!(numbers(&Backing::Device(0x800), sys), ["8:0"]);
        assert!(numbers(&Backing::Device(0x801), sys).is_empty());
    }
}
