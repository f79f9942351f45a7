//! Units of systemd (`systemd.unit(5)`, `systemd.mount(5)`, `systemd.swap(5)`): what they mount,
//! and the devices that other units name.

use super::device::{Device, names_in};
use super::{Reference, Removal, entries, files_of, scripts, text, unit_names};
use crate::golden::lines::{Joining, LogicalLine, logical_lines};
use crate::stream::ReadAt;
use crate::tree::Tree;
use std::collections::{BTreeMap, BTreeSet};

/// Directories with units, the ones that win first. Those after the first lose against units that
/// are made of `/etc/fstab`.
pub const UNIT_DIRS: [&str; 4] = [
    "/etc/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// Mounts without which the system does not start, or forgets what it notes.
const SYSTEM_MOUNTS: [&str; 5] = [
    "/-.mount",
    "/boot.mount",
    "/boot-",
    "/efi.mount",
    "/data.mount",
];
/// Dependencies that a unit does not start without.
const REQUIRES: [&str; 3] = ["Requires", "BindsTo", "Requisite"];

/// A setting of a unit, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The path of the unit or drop-in.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The last line, if the setting goes on.
    pub last: usize,
    /// The value, without white space around it.
    pub value: String,
}

/// A unit that mounts something or switches swap space on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountUnit {
    /// Its name, such as `srv.mount`.
    pub name: String,
    /// The mount point that its name stands for; of a swap unit, the device.
    pub dir: String,
    /// The path of the file or symlink with its name; `None`: there are only drop-ins.
    pub file: Option<String>,
    /// Drop-ins, in the order in which they apply.
    pub drop_ins: Vec<String>,
    /// `What=`, the last one that applies.
    pub what: Option<Setting>,
    /// `Options=`, the last one that applies.
    pub options: Option<Setting>,
    /// `Type=`, the last one that applies.
    pub kind: Option<Setting>,
    /// Links that enable it.
    pub links: Vec<String>,
    /// Whether it is masked: a link to `/dev/null`, or an empty file.
    pub masked: bool,
}

impl MountUnit {
    /// Whether it mounts, rather than switches swap space on.
    #[must_use]
    pub fn mounts(&self) -> bool {
        self.name.ends_with(".mount")
    }

    /// Whether its file wins against `/etc/fstab`.
    #[must_use]
    pub fn wins(&self) -> bool {
        let file = self.file.as_deref().unwrap_or_default();
        file.starts_with(UNIT_DIRS[0])
    }

    /// Whether something waits for it.
    #[must_use]
    pub fn enabled(&self) -> bool {
        !self.links.is_empty() && !self.masked
    }
}

/// All units that mount or swap, with or without a file of their own, by name.
#[must_use]
pub fn mount_units(root: &Tree) -> Vec<MountUnit> {
    let mut units: BTreeMap<String, MountUnit> = BTreeMap::new();
    for dir in unit_dirs(root) {
        for path in entries(root, dir) {
            let name = path.rsplit('/').next().unwrap_or_default();
            let unit = name.strip_suffix(".d").unwrap_or(name);
            let Some((stem, kind)) = unit.rsplit_once('.') else {
                continue;
            };
            if !matches!(kind, "mount" | "swap") {
                continue;
            }
            let found = units.entry(unit.to_owned()).or_insert_with(|| MountUnit {
                name: unit.to_owned(),
                dir: unit_names::path(stem),
                ..MountUnit::default()
            });
            if unit != name {
                found.drop_ins.extend(files_of(root, &path, ".conf"));
            } else if found.file.is_none() {
                let empty = root.file(&path).is_none_or(|content| content.is_empty());
                found.masked = empty && root.dir(&path).is_none();
                found.file = Some(path);
            }
        }
    }
    let links = links(root);
    for unit in units.values_mut() {
        unit.drop_ins
            .sort_by_key(|path| path.rsplit('/').next().unwrap_or_default().to_owned());
        unit.links = links.get(&unit.name).cloned().unwrap_or_default();
        for path in unit.file.iter().chain(&unit.drop_ins) {
            for (key, setting) in settings(root, path) {
                match key.as_str() {
                    "What" => unit.what = Some(setting),
                    "Options" => unit.options = Some(setting),
                    "Type" => unit.kind = Some(setting),
                    _ => {}
                }
            }
        }
    }
    units.into_values().collect()
}

/// The directories with units, each once: `/lib` is a link to `/usr/lib` on merged systems.
fn unit_dirs(root: &Tree) -> Vec<&'static str> {
    let mut seen = BTreeSet::new();
    let mut dirs = UNIT_DIRS.to_vec();
    dirs.retain(|dir| {
        let real = root.walk(dir.as_bytes(), true);
        real.is_ok_and(|walk| seen.insert(walk.path()))
    });
    dirs
}

/// The links in directories `*.wants` and `*.requires`, by the unit that they enable.
fn links(root: &Tree) -> BTreeMap<String, Vec<String>> {
    let mut out: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for dir in unit_dirs(root) {
        for path in entries(root, dir) {
            if path.ends_with(".wants") || path.ends_with(".requires") {
                for link in entries(root, &path) {
                    let name = link.rsplit('/').next().unwrap_or_default().to_owned();
                    out.entry(name).or_default().push(link);
                }
            }
        }
    }
    out
}

/// The settings of a unit file, by key, in order. Lines that end in a backslash go on.
#[must_use]
pub fn settings(root: &Tree, path: &str) -> Vec<(String, Setting)> {
    let body = text(root, path).unwrap_or_default();
    let lines = logical_lines(&body, Joining::Systemd, &['#', ';']);
    let parse = |line: LogicalLine| {
        let (key, value) = line.text.split_once('=')?;
        let setting = Setting {
            file: path.to_owned(),
            line: line.first,
            last: line.last,
            value: value.trim().to_owned(),
        };
        Some((key.trim().to_owned(), setting))
    };
    lines.into_iter().filter_map(parse).collect()
}

/// All unit files and drop-ins but those of mounts and swap space.
#[must_use]
pub fn other_units(root: &Tree) -> Vec<String> {
    let mut out = Vec::new();
    let own = |name: &str| {
        let name = name.strip_suffix(".d").unwrap_or(name);
        name.ends_with(".mount") || name.ends_with(".swap")
    };
    for dir in unit_dirs(root) {
        for path in entries(root, dir) {
            let name = path.rsplit('/').next().unwrap_or_default();
            if own(name) {
                continue;
            }
            if name.ends_with(".d") {
                out.extend(files_of(root, &path, ".conf"));
            } else if is_regular(root, &path) {
                out.push(path);
            }
        }
    }
    out
}

/// The files of units that may depend on others: all but those that only say what is mounted.
#[must_use]
pub fn with_dependencies(root: &Tree) -> Vec<String> {
    let mut out = other_units(root);
    for unit in mount_units(root) {
        let files = unit.file.into_iter().chain(unit.drop_ins);
        out.extend(files.filter(|path| is_regular(root, path)));
    }
    out
}

/// Whether there is a regular file at `path`, rather than a link to one.
fn is_regular(root: &Tree, path: &str) -> bool {
    matches!(
        root.find_nofollow(path),
        Some(crate::tree::Node::Leaf(leaf)) if matches!(leaf.kind, crate::tree::LeafKind::File(_))
    )
}

/// The devices that other units name.
pub(super) fn gather(root: &Tree) -> Vec<Reference> {
    let mut out = Vec::new();
    let others = other_units(root);
    for path in with_dependencies(root) {
        let mounts = !others.contains(&path);
        let of_system = mounts && SYSTEM_MOUNTS.iter().any(|name| path.contains(name));
        for (key, setting) in settings(root, &path) {
            let mut add = |text: String, device: Device, removal: Removal| {
                out.push(Reference {
                    file: path.clone(),
                    on_boot: false,
                    line: setting.line,
                    last: setting.line,
                    kind: "unit",
                    text,
                    device,
                    needed: of_system && REQUIRES.contains(&key.as_str()),
                    removal,
                });
            };
            if is_dependency(&key) {
                for unit in setting.value.split_whitespace() {
                    if let Some(path) = unit_names::device(unit) {
                        add(unit.to_owned(), Device::parse(&path), Removal::Word);
                    }
                }
                continue;
            }
            // What a unit mounts is looked at like a line of `/etc/fstab`.
            if mounts {
                continue;
            }
            let destroys = key.starts_with("Exec") && scripts::destroys(&setting.value);
            let removal = match destroys {
                true => Removal::Refuse,
                false => Removal::Tell,
            };
            for (text, device) in names_in(&setting.value) {
                add(text, device, removal);
            }
        }
    }
    out
}

/// Whether a setting of this name lists units.
#[must_use]
pub fn is_dependency(key: &str) -> bool {
    matches!(
        key,
        "Requires" | "Requisite" | "BindsTo" | "Wants" | "PartOf" | "Upholds" | "After" | "Before"
    )
}

/// The definitions of partitions that systemd-repart would make or grow at the next start
/// (`repart.d(5)`).
#[must_use]
pub fn repart_definitions(root: &Tree) -> Vec<String> {
    let program = ["/usr/bin/systemd-repart", "/bin/systemd-repart"];
    if !program.iter().any(|path| root.file(path).is_some()) {
        return Vec::new();
    }
    let dirs = [
        "/etc/repart.d",
        "/usr/local/lib/repart.d",
        "/usr/lib/repart.d",
    ];
    let files = dirs.iter().flat_map(|dir| files_of(root, dir, ".conf"));
    files.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::example_tests::{add, empty};
    use crate::tree::Time;

    const ETC: &str = UNIT_DIRS[0];

    #[test]
    fn mount_units_with_drop_ins_and_links() {
        let mut root = empty();
        let unit = "[Mount]\n# What=/dev/sda9\nWhat = /dev/sda3\nWhere=/srv\nOptions=noatime\n";
        add(&mut root, &format!("{ETC}/srv.mount"), unit.as_bytes());
        add(
            &mut root,
            "/usr/lib/systemd/system/srv.mount",
            b"[Mount]\nWhat=/dev/sda5\n",
        );
        add(
            &mut root,
            &format!("{ETC}/data.mount.d/a.conf"),
            b"[Mount]\r\nWhat=UUID=x\r\n",
        );
        root.put_symlink(
            format!("{ETC}/local-fs.target.wants/srv.mount"),
            "../srv.mount",
            Time::default(),
        )
        .unwrap();
        root.put_symlink(format!("{ETC}/efi.mount"), "/dev/null", Time::default())
            .unwrap();
        let units = mount_units(&root);
        let names: Vec<&str> = units.iter().map(|unit| unit.name.as_str()).collect();
        assert_eq!(names, ["data.mount", "efi.mount", "srv.mount"]);
        let [data, efi, srv] = units.as_slice() else {
            panic!()
        };
        assert_eq!((data.file.as_deref(), data.wins()), (None, false));
        let what = data.what.as_ref().unwrap();
        assert_eq!((what.value.as_str(), what.line), ("UUID=x", 2));
        assert!(efi.masked && efi.wins() && !data.masked);
        let what = srv.what.as_ref().unwrap();
        assert_eq!((what.value.as_str(), what.line), ("/dev/sda3", 3));
        assert_eq!(srv.dir, "/srv");
        assert!(srv.enabled() && srv.wins() && srv.mounts());
    }

    #[test]
    fn other_units_that_name_devices() {
        let mut root = empty();
        let unit = "[Unit]\nRequires=dev-sda3.device network.target\n[Service]\n\
                    ExecStart=/sbin/mkfs.ext4 /dev/sda4\nExecStart=/bin/cat /dev/sda5 \\\n /dev/null\n";
        add(&mut root, &format!("{ETC}/x.service"), unit.as_bytes());
        add(&mut root, "/usr/bin/systemd-repart", b"");
        add(
            &mut root,
            "/usr/lib/repart.d/50-root.conf",
            b"[Partition]\n",
        );
        let found: Vec<(usize, String, Removal)> = gather(&root)
            .into_iter()
            .map(|one| (one.line, one.text, one.removal))
            .collect();
        let expected = [
            (2, "dev-sda3.device", Removal::Word),
            (4, "/dev/sda4", Removal::Refuse),
            (5, "/dev/sda5", Removal::Tell),
        ];
        let expected = expected.map(|(line, text, removal)| (line, text.to_owned(), removal));
        assert_eq!(found, expected);
        assert_eq!(
            repart_definitions(&root),
            ["/usr/lib/repart.d/50-root.conf"]
        );
    }
}
