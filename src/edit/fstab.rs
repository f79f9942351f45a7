//! Merges `/etc/fstab` (`fstab(5)`): our mounts, the owner's own lines, and a note for each line
//! whose device is gone or another one.

use super::references::names::{Names, Verdict};
use super::references::row::{Row, Treatment};
use crate::golden::fstab::{FstabLine, same_dir};
use crate::golden::references::device::{Device, unescape};
use crate::golden::references::unit_names;
use crate::plan::family::Role;
use crate::plan::mount_options::{LostOption, without};
use crate::problem::Problem;
use std::collections::BTreeSet;

const FSTAB: &str = "/etc/fstab";

/// One mount of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The first field: the device.
    pub spec: String,
    /// The second field: the mount point.
    pub dir: String,
    /// The third field: the filesystem type.
    pub kind: String,
    /// Options that replace those of the golden image; `None` keeps them.
    pub options: Option<String>,
    /// The options if neither the configuration nor the golden image has any.
    pub default_options: String,
    /// Options that are always there.
    pub required: Vec<String>,
    /// Options of the golden image that no longer apply.
    pub dropped: Vec<String>,
    /// Options that the filesystem cannot be mounted with.
    pub lost: Vec<LostOption>,
    /// The sixth field: the order of checks at boot, 0 for none.
    pub pass: u32,
}

/// What lines are compared with.
pub struct Surroundings<'a> {
    /// The names of both disks.
    pub names: &'a Names,
    /// Mount points of units that were taken out.
    pub gone: &'a [String],
    /// Whether the root filesystem has this path.
    pub exists: &'a dyn Fn(&str) -> bool,
}

/// Directories without which a system does not start or is incomplete.
const NEEDED: [&str; 7] = [
    "/boot",
    "/etc",
    "/opt",
    "/usr",
    "/usr/local",
    "/var",
    "/var/lib",
];

/// The merged text, and the lines that could not be kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// The new text of `/etc/fstab`.
    pub text: String,
    /// One sentence for each line that was commented out.
    pub notes: Vec<String>,
    /// Parts of the system on partitions of their own, which would be gone.
    pub problems: Vec<Problem>,
    /// All lines that name a device or a path.
    pub rows: Vec<Row>,
    /// Mount points that nothing mounts any more, and devices of swap space that is gone.
    pub gone: Vec<String>,
}

/// Merges `old` with our mounts: a line of ours replaces the line with the same mount point; lines
/// whose device is gone or another one are commented out with a note; everything else is kept.
#[must_use]
pub fn merge(old: &str, mounts: &[Mount], around: &Surroundings<'_>) -> Merged {
    let mut merged = Merged {
        gone: around.gone.to_vec(),
        ..Merged::default()
    };
    let reasons = objections(old, mounts, around, &mut merged.gone);
    let mut done: BTreeSet<&str> = BTreeSet::new();
    for ((number, line), reason) in (1..).zip(old.lines()).zip(reasons) {
        let Some(entry) = FstabLine::parse(line) else {
            merged.line(line);
            if !line.trim().is_empty() && !line.trim_start().starts_with('#') {
                merged.notes.push(format!(
                    "{FSTAB}:{number}: `{}` is kept, though it mounts nothing: it has no type of a \
                     filesystem",
                    line.trim().escape_debug()
                ));
            }
            continue;
        };
        let ours = mounts.iter().find(|mount| is_on(&entry, &mount.dir));
        let resolution = around.names.resolve(&Device::parse(entry.spec));
        let what = format!("{} on {}", entry.spec, entry.dir);
        let row = Row::new(FSTAB, number, "fstab", &what, &resolution);
        let action = if let Some(mount) = ours {
            if done.insert(&mount.dir) {
                let golden = fits(&entry, mount).then_some(entry.options);
                merged.line(&mount.line(golden));
                merged.notes.extend(mount.lost_notes(number, golden));
                merged.notes.extend(left_behind(&entry, mount, &row));
            }
            match entry.spec == mount.spec {
                true => Treatment::Kept,
                false => Treatment::Rewritten,
            }
        } else if let Some(problem) = needed(&entry, around.names) {
            merged.problems.push(problem);
            Treatment::Noted
        } else if let Some(why) = reason {
            merged.line(&format!("# {why}; the line was:"));
            merged.line(&format!("# {line}"));
            merged.notes.push(format!(
                "{FSTAB}:{number}: {} on {} is commented out: {why}",
                entry.spec, entry.dir
            ));
            Treatment::Removed
        } else {
            merged.keep(line, number, &entry, around.names)
        };
        if Device::parse(entry.spec) != Device::Other {
            merged.rows.push(row.action(action));
        }
    }
    for mount in mounts
        .iter()
        .filter(|mount| !done.contains(mount.dir.as_str()))
    {
        merged.line(&mount.line(None));
    }
    merged
}

/// For each line, the reason why it cannot stay. A line whose source is below a mount point that is
/// gone cannot either; so the lines are looked at until no more mount points are gone.
fn objections(
    old: &str,
    mounts: &[Mount],
    around: &Surroundings<'_>,
    gone: &mut Vec<String>,
) -> Vec<Option<String>> {
    loop {
        let before = gone.len();
        let mut reasons = Vec::new();
        for line in old.lines() {
            let entry = FstabLine::parse(line)
                .filter(|entry| !mounts.iter().any(|mount| is_on(entry, &mount.dir)));
            let reason = entry.as_ref().and_then(|entry| {
                objection(entry, around.names)
                    .or_else(|| elsewhere(entry, mounts, around.names))
                    .or_else(|| source_gone(entry, gone, around.exists))
            });
            if let (Some(entry), Some(_)) = (&entry, &reason) {
                let name = match entry.dir.starts_with('/') {
                    true => directory(entry.dir),
                    false => entry.spec.to_owned(),
                };
                if !gone.contains(&name) {
                    gone.push(name);
                }
            }
            reasons.push(reason);
        }
        if gone.len() == before {
            return reasons;
        }
    }
}

/// A mount point without escapes and without a slash at its end.
fn directory(dir: &str) -> String {
    let dir = unescape(dir);
    match dir.trim_end_matches('/') {
        "" => "/".to_owned(),
        trimmed => trimmed.to_owned(),
    }
}

fn is_on(entry: &FstabLine<'_>, dir: &str) -> bool {
    same_dir(&unescape(dir), &unescape(entry.dir))
}

fn is_optional(entry: &FstabLine<'_>) -> bool {
    let mut options = entry.options.split(',');
    options.any(|option| matches!(option, "nofail" | "noauto"))
}

/// The reason why the device of this line cannot stay.
fn objection(entry: &FstabLine<'_>, names: &Names) -> Option<String> {
    let device = Device::parse(entry.spec);
    let found = names.resolve(&device);
    if let Some(why) = found.objection(entry.spec, &device, !is_optional(entry)) {
        return Some(why);
    }
    // The journal or log of a filesystem on another device.
    entry.options.split(',').find_map(|option| {
        let (key, value) = option.split_once('=')?;
        if !matches!(key, "journal_path" | "logdev" | "rtdev") {
            return None;
        }
        let device = Device::parse(value);
        names
            .resolve(&device)
            .objection(value, &device, !is_optional(entry))
    })
}

/// The reason why this line would mount the boot partition a second time, if it would. A line that
/// names it by number and may fail can be that of another disk.
fn elsewhere(entry: &FstabLine<'_>, mounts: &[Mount], names: &Names) -> Option<String> {
    let device = Device::parse(entry.spec);
    let verdict = names.resolve(&device).verdict;
    let boot = match (verdict, &device) {
        (Verdict::Moved(Role::Boot), _) => true,
        (Verdict::Same, Device::Tag(_)) => true,
        (Verdict::Same, Device::Number(..) | Device::Link(..)) => !is_optional(entry),
        _ => false,
    };
    let spec = names.spec(Role::Boot);
    let mount = mounts.iter().find(|mount| mount.spec == spec)?;
    let same = boot && names.is_boot(&device);
    same.then(|| format!("the boot partition is mounted on {}", mount.dir))
}

/// The reason why a directory or file that this line needs is gone with the mount point that it was
/// below.
fn source_gone(
    entry: &FstabLine<'_>,
    gone: &[String],
    exists: &dyn Fn(&str) -> bool,
) -> Option<String> {
    let layers = entry.options.split(',').filter_map(|option| {
        let (key, value) = option.split_once('=')?;
        matches!(key, "lowerdir" | "upperdir" | "workdir").then_some(value)
    });
    let paths = layers.flat_map(|value| value.split(':'));
    std::iter::once(entry.spec).chain(paths).find_map(|path| {
        let path = directory(path);
        let below = |dir: &&String| {
            dir.as_str() != "/"
                && path
                    .strip_prefix(dir.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        // Not what this very line mounts.
        let dir = gone
            .iter()
            .filter(|dir| **dir != directory(entry.dir))
            .find(below)?;
        let missing = path == *dir || !exists(&path);
        missing.then(|| format!("{path} was on {dir}, which is not mounted any more"))
    })
}

impl Merged {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Keeps a line, without options that name units or paths that are gone.
    fn keep(
        &mut self,
        line: &str,
        number: usize,
        entry: &FstabLine<'_>,
        names: &Names,
    ) -> Treatment {
        let (kept, dropped): (Vec<&str>, Vec<&str>) = entry
            .options
            .split(',')
            .partition(|option| !self.is_stale(option, names));
        if dropped.is_empty() {
            self.line(line);
            return Treatment::Kept;
        }
        let options = match kept.is_empty() {
            true => "defaults".to_owned(),
            false => kept.join(","),
        };
        let mut fields: Vec<&str> = line.split_whitespace().collect();
        if let Some(field) = fields.get_mut(3) {
            *field = &options;
        }
        self.line(&fields.join(" "));
        self.notes.push(format!(
            "{FSTAB}:{number}: {} on {} loses the option {}, which names what is not on the \
             converted disk",
            entry.spec,
            entry.dir,
            dropped.join(" and ")
        ));
        Treatment::Rewritten
    }

    /// Whether an option makes the mount depend on a device or a mount that is gone.
    fn is_stale(&self, option: &str, names: &Names) -> bool {
        let Some((key, value)) = option.split_once('=') else {
            return false;
        };
        let keys = [
            "x-systemd.requires",
            "x-systemd.requires-mounts-for",
            "x-systemd.wants-mounts-for",
            "x-systemd.after",
            "x-systemd.before",
            "x-systemd.required-by",
            "x-systemd.wanted-by",
        ];
        if !keys.contains(&key) {
            return false;
        }
        let path = match value.rsplit_once('.') {
            Some((stem, "mount" | "swap" | "device" | "automount")) if !value.contains('/') => {
                unit_names::path(stem)
            }
            _ => value.to_owned(),
        };
        let device = Device::parse(&path);
        let found = names.resolve(&device);
        found.objection(&path, &device, true).is_some() || self.gone.contains(&directory(&path))
    }
}

impl Mount {
    /// Notes about options of the golden line `number` that are lost.
    fn lost_notes(&self, number: usize, golden: Option<&str>) -> Vec<String> {
        let golden = golden.filter(|_| self.options.is_none());
        let (_, lost) = without(golden.unwrap_or_default(), &self.lost);
        lost.into_iter()
            .map(|(option, why)| {
                format!(
                    "/etc/fstab, line {number}: option {option} of {} is dropped: {why}",
                    self.dir
                )
            })
            .collect()
    }

    fn line(&self, golden: Option<&str>) -> String {
        let base = self
            .options
            .as_deref()
            .or(golden)
            .unwrap_or(&self.default_options);
        let mut options: Vec<&str> = base
            .split(',')
            .filter(|option| !self.dropped.iter().any(|drop| drop == option))
            .filter(|option| !self.lost.iter().any(|lost| lost.is(option)))
            .collect();
        let missing: Vec<&str> = self
            .required
            .iter()
            .map(String::as_str)
            .filter(|option| !options.contains(option))
            .collect();
        options.extend(missing);
        if options.is_empty() {
            options.push("defaults");
        }
        format!(
            "{:<23} {:<15} {:<7} {} 0 {}",
            self.spec,
            self.dir,
            self.kind,
            options.join(","),
            self.pass
        )
    }
}

/// Whether its options apply to the filesystem of `mount`.
fn fits(line: &FstabLine<'_>, mount: &Mount) -> bool {
    let ext = |kind: &str| matches!(kind, "ext2" | "ext3" | "ext4");
    line.kind
        .split(',')
        .any(|kind| kind == "auto" || kind == mount.kind || (ext(kind) && ext(&mount.kind)))
}

/// A note if the golden image had its own partition on the mount point of our data partition.
fn left_behind(line: &FstabLine<'_>, mount: &Mount, row: &Row) -> Option<String> {
    // The plan says what becomes of a partition of the golden disk.
    let lost = mount.dir == "/data" && line.spec != mount.spec && row.golden.is_empty();
    let place = line.spec.replace('"', "");
    lost.then(|| {
        format!(
            "{FSTAB}: the data of {place} on /data is not carried over: the data partition is new"
        )
    })
}

/// The problem of a system that would be incomplete without the partition of this line.
fn needed(line: &FstabLine<'_>, names: &Names) -> Option<Problem> {
    let dir = NEEDED.into_iter().find(|dir| is_on(line, dir))?;
    let device = Device::parse(line.spec);
    let found = names.resolve(&device);
    // The plan says what becomes of a partition of the golden disk.
    if !found.golden.is_empty() {
        return None;
    }
    found.objection(line.spec, &device, true)?;
    let place = line.spec.replace('"', "");
    let message = format!(
        "{place} is mounted on {dir} by {FSTAB}, but only the root filesystem goes into the \
         slots"
    );
    let hint = format!(
        "copy its files to {dir} of the root filesystem in the golden image, and remove its line \
         from /etc/fstab"
    );
    Some(Problem::new(message).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::super::references::names::tests::example;
    use super::*;

    /// The result on a root filesystem with `/srv/here` alone.
    fn merged(old: &str, names: &Names) -> Merged {
        let around = Surroundings {
            names,
            gone: &["/mnt/unit".to_owned()],
            exists: &|path| path == "/srv/here",
        };
        merge(old, &mounts(), &around)
    }

    /// Whether the text names swap space on a device.
    fn has_device_swap(text: &str) -> bool {
        let lines = text.lines().filter_map(FstabLine::parse);
        lines
            .filter(|line| line.kind == "swap")
            .any(|line| line.spec.contains('=') || line.spec.starts_with("/dev/"))
    }

    fn mounts() -> Vec<Mount> {
        let mount = |spec: &str, dir: &str, kind: &str, pass| Mount {
            spec: spec.into(),
            dir: dir.into(),
            kind: kind.into(),
            options: None,
            default_options: "defaults".into(),
            required: Vec::new(),
            dropped: vec!["x-systemd.growfs".into()],
            lost: Vec::new(),
            pass,
        };
        let data = Mount {
            required: vec!["x-systemd.growfs".into()],
            dropped: Vec::new(),
            ..mount("PARTUUID=d", "/data", "ext4", 0)
        };
        vec![
            mount("/dev/root", "/", "ext4", 1),
            mount("PARTUUID=b", "/boot/efi", "vfat", 0),
            data,
        ]
    }

    #[test]
    fn lines_that_mount_nothing_are_said() {
        let old = "\n# UUID=1 /x\n  \n/dev/sdb1 /srv\nthis is\nUUID=1 / ext4 defaults 0 1\n";
        let merged = self::merged(old, &Names::default());
        let places: Vec<&str> = merged.notes.iter().map(|note| &note[..12]).collect();
        assert_eq!(
            places,
            ["/etc/fstab:4", "/etc/fstab:5"],
            "{:?}",
            merged.notes
        );
        assert!(merged.text.contains("/dev/sdb1 /srv\n"));
    }

    #[test]
    fn the_owners_lines_stay_and_gone_devices_are_noted() {
        let old = "# a comment\nUUID=1 / ext4 errors=remount-ro,x-systemd.growfs 0 1\nUUID=2 /boot/efi/ vfat umask=0077 0 1\nUUID=3 none swap sw 0 0\n\
                   /dev/sda5 /home ext4 defaults 0 2\n/dev/sdb1 /usb auto noauto 0 0\ntmpfs /tmp tmpfs size=1g 0 0\nserver:/x /nfs nfs defaults 0 0\n/swapfile none swap sw 0 0\n";
        let merged = self::merged(old, &Names::default());
        let lines: Vec<&str> = merged.text.lines().collect();
        assert_eq!(lines[0], "# a comment");
        assert_eq!(
            lines[1],
            "/dev/root               /               ext4    errors=remount-ro 0 1"
        );
        assert_eq!(
            lines[2],
            "PARTUUID=b              /boot/efi       vfat    umask=0077 0 0"
        );
        assert_eq!(
            lines[3],
            "# no filesystem of the converted disk has UUID 3; the line was:"
        );
        assert_eq!(lines[4], "# UUID=3 none swap sw 0 0");
        assert_eq!(
            lines[5],
            "# /dev/sda5 is on another disk, for which the system would wait without nofail; the line was:"
        );
        assert_eq!(
            &lines[7..11],
            [
                "/dev/sdb1 /usb auto noauto 0 0",
                "tmpfs /tmp tmpfs size=1g 0 0",
                "server:/x /nfs nfs defaults 0 0",
                "/swapfile none swap sw 0 0"
            ]
        );
        assert_eq!(
            lines[11],
            "PARTUUID=d              /data           ext4    defaults,x-systemd.growfs 0 0"
        );
        assert_eq!(merged.notes.len(), 2);
        assert!(!has_device_swap(&merged.text));
        assert!(has_device_swap(old));
    }

    #[test]
    fn no_mount_point_occurs_twice() {
        let twice = "UUID=1 / ext4 defaults 0 1\nUUID=2 / ext4 defaults 0 1\n";
        let merged = self::merged(twice, &Names::default());
        assert_eq!(
            merged
                .text
                .lines()
                .filter(|line| line.contains(" / "))
                .count(),
            1
        );
        let again = self::merged(&merged.text, &example());
        assert_eq!(again.text, merged.text);
    }

    #[test]
    fn the_boot_partition_is_mounted_once() {
        let merged = self::merged(
            "UUID=12-34 /uboot vfat ro 0 1\nUUID=\"12-34\" /mnt vfat noauto 0 0\n",
            &example(),
        );
        assert_eq!(merged.notes.len(), 2, "{:?}", merged.notes);
        assert!(merged.notes[0].ends_with(
            "UUID=12-34 on /uboot is commented out: the boot partition is mounted on /boot/efi"
        ));
        assert!(
            ["/uboot", "/mnt"]
                .iter()
                .all(|dir| !crate::golden::fstab::mounts(&merged.text, dir)),
            "{}",
            merged.text
        );
    }

    #[test]
    fn a_part_of_the_system_on_its_own_partition_is_no_line_to_lose() {
        let old = "UUID=AB-CD /boot/ ext4 defaults 0 2\n/dev/sda7 /var ext4 nofail 0 2\ntmpfs /var/lib tmpfs defaults 0 0\n/dev/sda8 /home ext4 defaults 0 2\n";
        let merged = self::merged(old, &Names::default());
        let problems: Vec<&str> = merged
            .problems
            .iter()
            .map(|problem| problem.message.as_str())
            .collect();
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(
            problems[0].starts_with("UUID=AB-CD is mounted on /boot by"),
            "{problems:?}"
        );
        assert!(
            problems[1].starts_with("/dev/sda7 is mounted on /var by"),
            "{problems:?}"
        );
        assert_eq!(merged.notes.len(), 1, "{:?}", merged.notes);
    }

    #[test]
    fn options_of_another_filesystem_and_its_files_do_not_come_along() {
        let old = "UUID=1 /data btrfs subvol=@data,compress=zstd 0 0\nUUID=2 / ext3 noatime 0 1\nUUID=3 /boot/efi auto ro 0 0\n";
        let merged = self::merged(old, &Names::default());
        let fields = |dir: &str| {
            let line = merged
                .text
                .lines()
                .find(|line| line.contains(&format!(" {dir} ")))
                .unwrap();
            line.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(fields("/data")[3], "defaults,x-systemd.growfs");
        assert_eq!(fields("/")[3], "noatime");
        assert_eq!(fields("/boot/efi")[3], "ro");
        assert!(merged.notes[0].contains("UUID=1"), "{:?}", merged.notes);
    }

    #[test]
    fn lines_of_other_disks_stay_and_those_of_this_one_go() {
        let old = "/dev/sda3\t/srv/a\text4\tdefaults,nofail\t0\t2\r\n\
                   /dev/sda4 /srv/b auto noauto 0 0\n\
                   LABEL=my\\040swap none swap sw,nofail 0 0\n\
                   /dev/sdb1 /usb auto noauto 0 0\n\
                   UUID=0-9 /usb2 auto nofail 0 0\n\
                   # /dev/sda3 /x ext4\n\
                   /dev/sda1 /media/stick auto nofail 0 0\n";
        let merged = merged(old, &example());
        let actions: Vec<Treatment> = merged.rows.iter().map(|row| row.action).collect();
        let (kept, removed) = (Treatment::Kept, Treatment::Removed);
        assert_eq!(actions, [removed, removed, removed, kept, kept, kept]);
        assert_eq!(
            merged.notes,
            [
                "/etc/fstab:1: /dev/sda3 on /srv/a is commented out: /dev/sda3 is root B on the \
                 converted disk",
                "/etc/fstab:2: /dev/sda4 on /srv/b is commented out: /dev/sda4 is the data \
                 partition on the converted disk",
                "/etc/fstab:3: LABEL=my\\040swap on none is commented out: no filesystem of the \
                 converted disk has LABEL my\\040swap",
            ]
        );
        assert_eq!(merged.rows[0].line, 1);
        assert_eq!(merged.gone[1..], ["/srv/a", "/srv/b", "LABEL=my\\040swap"]);
    }

    #[test]
    fn what_was_below_a_mount_that_is_gone_goes_too() {
        let old = "/srv/files/x /var/www none bind 0 0\n\
                   /dev/sda3 /srv/files ext4 defaults 0 2\n\
                   /var/www/y /a none bind 0 0\n\
                   overlay /b overlay lowerdir=/etc:/mnt/unit/z,upperdir=/u,workdir=/w 0 0\n\
                   /srv/here /c none bind 0 0\n\
                   /mnt/unit2 /d none bind 0 0\n";
        let merged = merged(old, &example());
        let left: Vec<&str> = merged.text.lines().collect();
        let left: Vec<&&str> = left.iter().filter(|line| line.contains("bind")).collect();
        let kept: Vec<&&&str> = left.iter().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(kept.len(), 2, "{left:?}");
        assert_eq!(merged.notes.len(), 4, "{:?}", merged.notes);
        assert!(
            merged.notes[3]
                .ends_with("/mnt/unit/z was on /mnt/unit, which is not mounted any more"),
            "{:?}",
            merged.notes
        );
    }

    #[test]
    fn options_that_name_what_is_gone_are_dropped() {
        let old = "/dev/sda3 /srv ext4 nofail 0 2\n\
                   tmpfs /t tmpfs size=1g,x-systemd.requires=/dev/sda3,x-systemd.after=srv.mount 0 0\n\
                   tmpfs /u tmpfs x-systemd.requires-mounts-for=/srv 0 0\n\
                   tmpfs /v tmpfs x-systemd.requires=network.target 0 0\n\
                   /dev/sdb1 /w ext4 nofail,journal_path=/dev/sda5 0 0\n";
        let merged = merged(old, &example());
        let text = &merged.text;
        assert!(text.contains("tmpfs /t tmpfs size=1g 0 0\n"), "{text}");
        assert!(text.contains("tmpfs /u tmpfs defaults 0 0\n"), "{text}");
        assert!(text.contains("requires=network.target"), "{text}");
        assert!(text.contains("# /dev/sdb1 /w"), "{text}");
        assert_eq!(merged.notes.len(), 4, "{:?}", merged.notes);
    }
}
