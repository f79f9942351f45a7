//! The decision about one partition.

use super::{Decision, Fate, Subject};
use crate::config::{Partition, PartitionAction};
use crate::golden::disk::{Filesystem, is_efi_system};
use crate::golden::facts::is_converted;
use crate::golden::partitions::can_hold_files;
use crate::image::table::PartitionType;
use crate::platform::Firmware;
use crate::problem::Problem;
use crate::units::{MIB, human};

/// Types of partitions that hold nothing a converted image needs: BIOS boot, Microsoft reserved,
/// Windows recovery; PReP boot (`systemd-id128 show`, UEFI types of the vendors).
const DISPENSABLE: [(&str, &str); 4] = [
    ("21686148-6449-6e6f-744e-656564454649", "BIOS boot"),
    ("e3c9e316-0b5c-4db8-817d-f92df00215ae", "Microsoft reserved"),
    ("de94bba4-06d1-4d40-a16a-bfd50179d6ac", "Windows recovery"),
    ("9e1a2d38-c612-4316-aa26-8b49521e5a8b", "PReP boot"),
];
/// The largest alignment of partitions that is proposed to make room for bytes to copy (bytes).
const ALIGNMENT: u64 = 64 * MIB;
/// The type byte of hidden recovery partitions of Windows, and of PReP boot partitions.
const DISPENSABLE_BYTES: [(u8, &str); 2] = [(0x27, "Windows recovery"), (0x41, "PReP boot")];
/// The size limit of a partition that is taken for a boot loader (bytes).
const LOADER: u64 = 64 * MIB;
/// Files of an unnamed filesystem, never mounted, that nobody misses (bytes): one block.
const TRIVIAL: u64 = 4096;
/// Directories whose files belong together with the root filesystem: an update replaces both.
const SYSTEM: [&str; 14] = [
    "/bin",
    "/boot",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/sbin",
    "/usr",
    "/usr/bin",
    "/usr/lib",
    "/usr/sbin",
    "/var",
    "/var/lib",
];
/// Labels and names of partitions that say where they belong.
const LABELS: [(&str, &str); 8] = [
    ("home", "/home"),
    ("srv", "/srv"),
    ("var", "/var"),
    ("log", "/var/log"),
    ("opt", "/opt"),
    ("usr", "/usr"),
    ("data", "/data"),
    ("www", "/var/www"),
];

/// The word of the configuration for an action.
pub(super) fn action(action: PartitionAction) -> &'static str {
    match action {
        PartitionAction::Merge => "merge",
        PartitionAction::Data => "data",
        PartitionAction::Copy => "copy",
        PartitionAction::Drop => "drop",
    }
}

impl Subject<'_> {
    /// What the configuration says.
    pub(super) fn configured(&self, entry: &Partition) -> Result<Decision, Problem> {
        let described = self.describe();
        let path = entry.path.clone();
        let path = path.or_else(|| self.facts.mount_point().map(str::to_owned));
        let said = |fate: Fate, note: String| {
            Ok(Decision {
                fate,
                note: Some(note),
            })
        };
        match entry.r#do {
            PartitionAction::Drop => said(Fate::Dropped, self.left_out("as configured")),
            PartitionAction::Copy => {
                self.fits()?;
                said(Fate::Copied, self.copied())
            }
            PartitionAction::Merge => {
                let path = self.usable(path, entry.r#do)?;
                match &self.facts.merged {
                    Some(Ok(merged)) => {
                        let gone = replaced(merged.mounted, &path, &merged.replaced);
                        let note = format!(
                            "{described} is merged into {path} of both root filesystems{gone}"
                        );
                        said(Fate::Merged(path), note)
                    }
                    Some(Err(why)) => Err(self.cannot(entry.r#do, why)),
                    None => Err(self.cannot(entry.r#do, "it is not a partition with files")),
                }
            }
            PartitionAction::Data => {
                let path = self.usable(path, entry.r#do)?;
                if let Some(why) = &self.facts.contents.unreadable {
                    return Err(self.cannot(entry.r#do, why));
                }
                if !self.has_filesystem() {
                    return Err(self.cannot(entry.r#do, "it is not a partition with files"));
                }
                if SYSTEM.contains(&path.as_str()) {
                    let why = format!(
                        "an update replaces the files of {path} together with the root filesystem"
                    );
                    return Err(self.cannot(entry.r#do, &why));
                }
                said(Fate::Data(path.clone()), self.moved(&path))
            }
        }
    }

    /// What becomes of it if the configuration does not say.
    pub(super) fn default(&self) -> Result<Decision, Problem> {
        let contents = &self.facts.contents;
        let dropped = |why: &str| {
            Ok(Decision {
                fate: Fate::Dropped,
                note: Some(self.left_out(why)),
            })
        };
        if contents.blank {
            return dropped("it is empty");
        }
        if self.partition.filesystem == Filesystem::Swap {
            // The line that uses it has a note of its own.
            let used = self.facts.mounts.iter().any(|mount| mount.unit.is_none());
            let decision = Decision::new(Fate::Dropped);
            return if used {
                Ok(decision)
            } else {
                dropped("the device has no swap partition")
            };
        }
        if let Some(kind) = self.dispensable() {
            return dropped(&format!("a {kind} partition has no use on the device"));
        }
        if is_converted(&self.golden.root.tree) {
            return dropped("the image was converted before");
        }
        match self.partition.filesystem {
            Filesystem::Unknown => self.unknown(),
            _ => self.filesystem(),
        }
    }

    /// A partition whose content is not recognised.
    fn unknown(&self) -> Result<Decision, Problem> {
        if let Some(problem) = self.started_elsewhere() {
            return Err(problem);
        }
        let front = self.partition.start < self.golden.root.partition.start;
        let small = self.partition.len <= LOADER;
        if !self.facts.mounts.is_empty() {
            return Err(self.undecided(None));
        }
        if front && small {
            if let Some(name) = self.replaced_by_raw() {
                let why = format!("[[raw]] writes {name} in its place");
                return Ok(Decision {
                    fate: Fate::Dropped,
                    note: Some(self.left_out(&why)),
                });
            }
            self.fits()?;
            return Ok(Decision {
                fate: Fate::Copied,
                note: Some(self.copied()),
            });
        }
        if self.room.is_u_boot() {
            return Err(self.undecided(None));
        }
        Ok(Decision {
            fate: Fate::Dropped,
            note: Some(self.left_out("its content is not known")),
        })
    }

    /// The problem of a kernel that a loader starts from the partition: it would not run the boot
    /// script. UEFI firmware that starts GRUB needs none.
    fn started_elsewhere(&self) -> Option<Problem> {
        let loader = self.facts.contents.loader?;
        let starts = &self.golden.origin.starts;
        let has_efi = starts
            .iter()
            .any(|start| start.known && start.firmware == Firmware::Uefi && !self.room.is_u_boot());
        if has_efi || self.replaced_by_raw().is_some() {
            return None;
        }
        let message = format!(
            "{} is what {loader} starts or checks; such a loader does not run the boot script that \
             chooses between the root filesystems",
            self.describe()
        );
        let hint = format!(
            "if a U-Boot that runs boot.scr starts the device (place one with [[raw]] where the \
             device has none) and needs nothing of the partition, leave it out (\"copy\" instead of \
             \"drop\" keeps its bytes at the same offset, if it fits in front of the first \
             partition):\n{}",
            self.toml("drop", None)
        );
        Some(Problem::new(message).hint(hint))
    }

    /// A partition with a filesystem or volume.
    fn filesystem(&self) -> Result<Decision, Problem> {
        let contents = &self.facts.contents;
        let dropped = |why: &str| {
            Ok(Decision {
                fate: Fate::Dropped,
                note: Some(self.left_out(why)),
            })
        };
        let readable = self.has_filesystem() && contents.unreadable.is_none();
        if readable && contents.files == 0 {
            return dropped("it holds no files");
        }
        if let Some(dir) = self.facts.mount_point() {
            if dir == "/data" && readable {
                return Ok(Decision {
                    fate: Fate::Data(dir.to_owned()),
                    note: Some(self.moved(dir)),
                });
            }
            if dir == "/tmp" || dir.starts_with("/tmp/") {
                return dropped("the files of /tmp do not outlive a start");
            }
            return Err(self.undecided(Some(dir)));
        }
        if let Some((dir, _)) = self.evidence() {
            return Err(self.undecided(Some(&dir)));
        }
        if !readable {
            return dropped("nothing mounts it");
        }
        if self.partition.filesystem == Filesystem::Fat {
            let efi = is_efi_system(self.partition.kind);
            return if self.room.is_u_boot() && !efi {
                Err(self.undecided(None))
            } else {
                dropped("nothing mounts it")
            };
        }
        let named = !self.label().is_empty() || !contents.last_mounted.is_empty();
        if named || contents.file_bytes > TRIVIAL {
            return Err(self.undecided(None));
        }
        dropped("nothing mounts it")
    }

    fn has_filesystem(&self) -> bool {
        matches!(self.partition.filesystem, Filesystem::Ext | Filesystem::Fat)
    }

    /// The name of a type that has no use on converted devices.
    fn dispensable(&self) -> Option<&'static str> {
        let found = match self.partition.kind {
            PartitionType::Gpt(kind) => {
                let kind = kind.to_string();
                DISPENSABLE
                    .iter()
                    .find(|(id, _)| *id == kind)
                    .map(|(_, name)| *name)
            }
            PartitionType::Mbr(kind) => {
                let mut bytes = DISPENSABLE_BYTES.iter();
                bytes.find(|(byte, _)| *byte == kind).map(|(_, name)| *name)
            }
        };
        found.filter(|_| self.facts.mounts.is_empty())
    }

    /// Where its files belong by its own superblock or label, and which of them says so.
    fn evidence(&self) -> Option<(String, String)> {
        let last = self.facts.contents.last_mounted.trim_end_matches('/');
        let elsewhere = ["/mnt", "/media", "/tmp", "/run", "/target"];
        let usual = !elsewhere.iter().any(|dir| last.starts_with(dir));
        if last.starts_with('/') && usual && can_hold_files(last) {
            return Some((last.to_owned(), "its last mount point".to_owned()));
        }
        let label = self.label().to_lowercase();
        let known = LABELS.iter().find(|(name, _)| *name == label);
        known.map(|(_, dir)| ((*dir).to_owned(), "its label".to_owned()))
    }

    /// The directory for its files, checked.
    fn usable(&self, path: Option<String>, what: PartitionAction) -> Result<String, Problem> {
        let what = action(what);
        let Some(path) = path.filter(|path| path.starts_with('/')) else {
            let message = format!(
                "[[partition]]: {} is {}; do = \"{what}\" needs a directory",
                self.describe(),
                self.mounted()
            );
            let hint = "add the directory: path = \"/srv/files\"";
            return Err(Problem::new(message).hint(hint));
        };
        if !can_hold_files(&path) {
            let message = format!(
                "[[partition]]: the files of {} cannot be in {path}",
                self.describe()
            );
            return Err(Problem::new(message).hint("choose another `path`"));
        }
        Ok(path)
    }

    /// Whether its bytes can be at the same offset of the new disk.
    fn fits(&self) -> Result<(), Problem> {
        let (range, free) = (self.range(), self.room.free());
        let last = range.end.saturating_sub(1);
        let place = format!("bytes {} to {last}", range.start);
        let hint = |first: &str| {
            format!(
                "{first}; or leave it out, and place a boot loader that the device needs with \
                 [[raw]]:\n{}",
                self.toml("drop", None)
            )
        };
        if range.start < free.start {
            let message = format!(
                "{} is at {place} of the golden image, where the new partition table ends at byte \
                 {}: it cannot be copied in place",
                self.describe(),
                free.start
            );
            return Err(Problem::new(message).hint(hint("set storage.table to \"mbr\"")));
        }
        if range.end > free.end {
            let message = format!(
                "{} is at {place} of the golden image, but the first new partition begins at byte \
                 {} ({}): it cannot be copied in place",
                self.describe(),
                free.end,
                human(free.end)
            );
            let parts = free.end / self.room.alignment.max(1);
            let needed = range.end.div_ceil(parts.max(1)).next_power_of_two();
            if needed <= ALIGNMENT {
                let first = format!("raise storage.alignment to \"{}\"", human(needed));
                return Err(Problem::new(message).hint(hint(&first)));
            }
            // An alignment that large would waste the disk.
            if self.has_filesystem() && self.facts.contents.unreadable.is_none() {
                let path = self.facts.mounts.is_empty().then_some("/srv/files");
                return Err(Problem::new(message).hint(format!(
                    "keep its files on the data partition:\n{}",
                    self.toml("data", path)
                )));
            }
            let first = "only what is near the start of the disk can be copied in place: if the \
                         device needs the bytes, give them as files, or place them with [[raw]]";
            return Err(Problem::new(message).hint(hint(first)));
        }
        let environment = self.room.boot.environment.ranges();
        let meets = environment
            .iter()
            .find(|copy| copy.start < range.end && range.start < copy.end);
        if let Some(copy) = meets {
            let message = format!(
                "{} is at {place} of the golden image, where the raw environment at byte {} must \
                 be empty: it cannot be copied in place",
                self.describe(),
                copy.start
            );
            return Err(Problem::new(message).hint(hint("set another storage.alignment")));
        }
        Ok(())
    }

    /// The blob of `[[raw]]` that is written into its range.
    fn replaced_by_raw(&self) -> Option<&str> {
        let range = self.range();
        let raw = self.room.raw;
        let host = raw.host.iter().find(|blob| {
            let blob = blob.range();
            blob.start < range.end && range.start < blob.end
        });
        let image = || raw.image.iter().find(|blob| range.contains(&blob.offset));
        host.map(|blob| blob.name.as_str())
            .or_else(|| image().map(|blob| blob.path.as_str()))
    }

    fn left_out(&self, why: &str) -> String {
        let mounted = if self.facts.mounts.is_empty() || why.contains("mounts it") {
            String::new()
        } else {
            format!(", {},", self.mounted())
        };
        format!("{}{mounted} is left out: {why}", self.describe())
    }

    fn copied(&self) -> String {
        let range = self.range();
        format!(
            "{} is copied in place, to bytes {} to {} of the new disk; it is no longer in the \
             partition table",
            self.describe(),
            range.start,
            range.end.saturating_sub(1)
        )
    }

    fn moved(&self, path: &str) -> String {
        let described = self.describe();
        if path == "/data" {
            return format!("{described}: its files are moved to the data partition");
        }
        let dir = super::PartitionPlans::data_dir(path);
        format!(
            "{described}: its files are moved to {dir} on the data partition, which is mounted on \
             {path}; updates do not touch them"
        )
    }

    fn cannot(&self, what: PartitionAction, why: &str) -> Problem {
        let message = format!(
            "[[partition]]: do = \"{}\" is not possible for {}: {why}",
            action(what),
            self.describe()
        );
        let mut ways = Vec::new();
        if self.has_filesystem() && self.facts.contents.unreadable.is_none() {
            let other = if what == PartitionAction::Merge {
                "data"
            } else {
                "merge"
            };
            ways.push(format!("do = \"{other}\""));
        } else {
            ways.push(
                "copy its files into the root filesystem of the golden image, and set do = \"drop\""
                    .to_owned(),
            );
        }
        Problem::new(message).hint(ways.join(", or "))
    }

    /// The problem of a partition whose loss nobody has agreed to.
    fn undecided(&self, dir: Option<&str>) -> Problem {
        let mut mounted = self.mounted();
        if self.facts.mounts.is_empty()
            && let Some((dir, why)) = self.evidence()
        {
            mounted = format!("{mounted} but belongs to {dir} by {why}");
        }
        let message = format!(
            "{} is {mounted}: it would be left out of the new image, whose partitions are boot, \
             two root filesystems and data",
            self.describe()
        );
        let readable = self.has_filesystem() && self.facts.contents.unreadable.is_none();
        if !readable {
            let first = if self.partition.filesystem == Filesystem::Unknown {
                "to leave it out"
            } else {
                "copy its files into the root filesystem of the golden image if they are needed, \
                 and leave it out"
            };
            let hint = format!(
                "{first} (\"copy\" instead of \"drop\" keeps its bytes at the same offset, if it \
                 fits in front of the first partition):\n{}",
                self.toml("drop", None)
            );
            return Problem::new(message).hint(hint);
        }
        if self.is_system() {
            return Problem::new(message).hint(format!(
                "it holds another system: leave it out (\"data\" instead of \"drop\", with path = \
                 \"/srv/files\", keeps its files on the data partition):\n{}",
                self.toml("drop", None)
            ));
        }
        let system = dir.is_some_and(|dir| SYSTEM.contains(&dir) || dir == "/usr/local");
        let unmounted = self.facts.mounts.is_empty();
        let path = unmounted.then_some(dir.unwrap_or("/srv/files"));
        let hint = if system {
            format!(
                "make its files a part of both root filesystems (or \"drop\" them):\n{}",
                self.toml("merge", path)
            )
        } else {
            format!(
                "keep its files on the data partition, where updates do not touch them (\"merge\" \
                 makes them a part of both root filesystems, \"drop\" leaves them out):\n{}",
                self.toml("data", path)
            )
        };
        Problem::new(message).hint(hint)
    }

    /// Whether it holds an operating system, by the names of its directories.
    fn is_system(&self) -> bool {
        let entries = &self.facts.contents.entries;
        let has = |name: &str| entries.iter().any(|entry| entry == name);
        has("etc") && has("sbin") && has("lib") && (has("usr") || has("bin"))
    }

    /// An entry of the configuration for this partition.
    fn toml(&self, what: &str, path: Option<&str>) -> String {
        let number = self.partition.number;
        let path = path.map(|path| format!("\npath = {path:?}"));
        format!(
            "[[partition]]\nnumber = {number}\ndo = \"{what}\"{}",
            path.unwrap_or_default()
        )
    }
}

/// A clause about the entries of a directory that are gone.
fn replaced(mounted: bool, path: &str, gone: &[String]) -> String {
    const SHOWN: usize = 5;
    if gone.is_empty() {
        return String::new();
    }
    let mut names: Vec<String> = gone.iter().take(SHOWN).cloned().collect();
    if gone.len() > SHOWN {
        names.push(format!("{} more", gone.len() - SHOWN));
    }
    let names = names.join(", ");
    if mounted {
        format!("; the entries of {path} that it hid are removed: {names}")
    } else {
        format!("; it replaces these entries of {path}: {names}")
    }
}
