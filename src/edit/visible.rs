//! Files that were added below a mount point: the device shows what is mounted there, not them.
//!
//! | mounted there                      | the files                                         |
//! |------------------------------------|---------------------------------------------------|
//! | a directory of the data partition  | are moved to it, with a note                      |
//! | the data partition, also by a link | are moved to it (`move_data`), with a note        |
//! | the boot partition, anything else  | stay, with a warning: they are hidden             |
//! | `/run`, `/proc`, `/sys`, `/dev`    | the same                                          |
//! | nothing, but a start empties it    | stay, with a warning: they are gone               |

use super::Workspace;
use super::volatile::Volatile;
use crate::golden::fstab::FstabLine;
use crate::golden::references::device::unescape;
use crate::golden::references::units;
use crate::plan::overlays::Target;
use crate::problem::Problem;
use crate::tree::editor::{Action, Change, TreeEditor};
use crate::tree::{Leaf, Node, Stat, Tree, show};
use std::collections::{BTreeMap, BTreeSet};

/// The size limit of `/etc/fstab` (bytes).
const TEXT_LIMIT: u64 = 4 << 20;
const DATA: &str = "/data";

/// Something that the device mounts by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    dir: String,
    /// The file and line, or the unit.
    by: String,
    source: String,
    is_bind: bool,
}

impl Mount {
    fn new(dir: &str, by: String, source: &str, kind: &str, options: &str) -> Option<Self> {
        let has = |wanted: &str| options.split(',').any(|option| option == wanted);
        // An overlay shows the files below it, a bind of itself those that are there.
        let shows = ["overlay", "aufs"].contains(&kind) || source == dir;
        let waits = has("noauto") && !has("x-systemd.automount");
        let dir = dir.trim_end_matches('/');
        (dir.starts_with('/') && !shows && !waits).then(|| Self {
            dir: dir.to_owned(),
            by,
            source: source.trim_end_matches('/').to_owned(),
            is_bind: has("bind") || has("rbind"),
        })
    }

    /// The directory of the data partition that is mounted, from its top.
    fn data_dir(&self) -> Option<&str> {
        let below = self.source.strip_prefix(DATA)?;
        (self.is_bind && below.starts_with('/')).then_some(below)
    }
}

/// The mounts of the system, by `/etc/fstab` and units that something starts.
fn mounts(root: &Tree) -> Vec<Mount> {
    let bytes = root.read("/etc/fstab", TEXT_LIMIT).ok().flatten();
    let text = String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
    let lines = (1..).zip(text.lines()).filter_map(|(number, line)| {
        let line = FstabLine::parse(line)?;
        let (dir, source) = (unescape(line.dir), unescape(line.spec));
        let by = format!("/etc/fstab:{number}");
        Mount::new(&dir, by, &source, line.kind, line.options)
    });
    let mut mounts: Vec<Mount> = lines.collect();
    let listed: BTreeSet<String> = mounts.iter().map(|mount| mount.dir.clone()).collect();
    let units = units::mount_units(root).into_iter();
    let units = units.filter(|unit| unit.mounts() && unit.enabled());
    for unit in units.filter(|unit| unit.wins() || !listed.contains(&unit.dir)) {
        let value = |setting: &Option<units::Setting>| {
            let setting = setting.as_ref();
            setting.map_or_else(String::new, |setting| setting.value.clone())
        };
        let (source, kind) = (value(&unit.what), value(&unit.kind));
        let options = value(&unit.options);
        let by = unit.file.clone().unwrap_or_else(|| unit.name.clone());
        mounts.extend(Mount::new(&unit.dir, by, &source, &kind, &options));
    }
    mounts
}

/// The mount that shows a path of the device; the deepest one counts, of two on one directory the
/// later.
fn owner<'m>(mounts: &'m [Mount], path: &str) -> Option<&'m Mount> {
    let mut all = mounts.iter().filter(|mount| {
        let rest = path.strip_prefix(mount.dir.as_str());
        rest.is_some_and(|rest| rest.starts_with('/'))
    });
    let first = all.next()?;
    Some(all.fold(first, |best, mount| {
        if mount.dir.len() >= best.dir.len() {
            mount
        } else {
            best
        }
    }))
}

/// The files, by why they were added and what hides them: the first and their number.
#[derive(Debug, Default)]
struct Files(BTreeMap<(String, String), (Vec<u8>, usize)>);

impl Files {
    fn add(&mut self, reason: &str, about: String, path: &[u8]) {
        let key = (reason.to_owned(), about);
        let entry = self.0.entry(key).or_insert_with(|| (path.to_vec(), 0));
        entry.1 += 1;
    }

    fn sentences(self) -> impl Iterator<Item = String> {
        self.0.into_iter().map(|((reason, about), (path, count))| {
            let more = match count {
                1 => String::new(),
                2 => " and one more file".to_owned(),
                _ => format!(" and {} more files", count - 1),
            };
            format!("{reason}: {}{more}{about}", show(&path))
        })
    }
}

/// Puts files that were added below a mount point where the device shows them, and warns of those
/// that it hides. `changes` are those that the user made, of each filesystem; `boot` is the mount
/// point of the boot partition.
pub(super) fn place(work: &mut Workspace<'_>, changes: &[Vec<Change>; 3], boot: &str) {
    let mounts = mounts(work.root.tree());
    let volatile = Volatile::new(work.root.tree());
    let mut moved = Files::default();
    let mut hidden = Files::default();
    for ((target, changes), base) in Target::ALL.into_iter().zip(changes).zip(["", boot, DATA]) {
        let mut known = BTreeSet::new();
        let added = changes.iter().rev();
        let added = added.filter(|change| change.action != Action::Removed);
        let mut added: Vec<&Change> = added.filter(|change| known.insert(&change.path)).collect();
        added.sort_by_key(|change| &change.path);
        for change in added {
            let path = [base.as_bytes(), &change.path].concat();
            if target == Target::Root && goes_to_data(work, &path) {
                let about = ": moved to the data partition, which is mounted on /data: updates do not change what is there";
                moved.add(&change.reason, about.to_owned(), &path);
                continue;
            }
            let mount = owner(&mounts, &show(&path));
            let mount = mount.filter(|mount| mount.dir != base);
            let Some(node) = work.editor(target).tree().find_nofollow(&change.path) else {
                continue;
            };
            let lost = volatile.why(&show(&path));
            let Some(mount) = mount.filter(|mount| mount.dir != DATA) else {
                if let Some(why) = lost.filter(|_| matches!(node, Node::Leaf(_))) {
                    hidden.add(&change.reason, why, &path);
                }
                continue;
            };
            let node = match node {
                Node::Dir(dir) => Err(dir.stat.clone()),
                Node::Leaf(leaf) => Ok(leaf.clone()),
            };
            if let Some(dir) = mount.data_dir() {
                let below = path.get(mount.dir.len()..).unwrap_or_default();
                let to = [dir.as_bytes(), below].concat();
                if node.is_ok() {
                    let about = format!(
                        ": moved to {}, which {} mounts on {}: updates do not change what is there",
                        mount.source, mount.by, mount.dir
                    );
                    moved.add(&change.reason, about, &path);
                }
                move_one(work, target, change, &to, node);
            } else if node.is_ok() {
                hidden.add(&change.reason, about_hidden(mount, boot), &path);
            }
        }
    }
    work.notes.extend(moved.sentences());
    work.warnings.extend(hidden.sentences());
}

/// Whether a file that was added at this path is on the data partition in the end: it is below
/// `/data`, or a link leads there, such as that of the update client's directory.
fn goes_to_data(work: &Workspace<'_>, path: &[u8]) -> bool {
    let root = work.root.tree();
    let Ok(walk) = root.walk(path, false) else {
        return false;
    };
    let real = walk.path();
    let Some(below) = real.strip_prefix(DATA.as_bytes()) else {
        return false;
    };
    let is_leaf = |node: Option<Node<'_>>| matches!(node, Some(Node::Leaf(_)));
    below.starts_with(b"/")
        && (is_leaf(root.find_nofollow(&real)) || is_leaf(work.data.tree().find_nofollow(below)))
}

fn about_hidden(mount: &Mount, boot: &str) -> String {
    let what = if mount.dir == boot {
        "the boot partition"
    } else {
        mount.source.as_str()
    };
    let way = if mount.dir == boot {
        "; [[overlay]] target = \"boot\" puts files there"
    } else {
        ""
    };
    format!(
        ": hidden on the device, where {} mounts {what} on {}{way}",
        mount.by, mount.dir
    )
}

/// Moves a directory, by its properties, or another file to the path `to` of the data partition.
fn move_one(
    work: &mut Workspace<'_>,
    target: Target,
    change: &Change,
    to: &[u8],
    node: Result<Leaf, Stat>,
) {
    let moved = match node {
        Err(stat) => directory(&mut work.data, to, &stat, &change.reason),
        Ok(leaf) => work
            .data
            .place(to, leaf, &change.reason)
            .and_then(|()| work.editor(target).remove(&change.path, &change.reason))
            .map(drop),
    };
    if let Err(e) = moved {
        let text = format!(
            "{}: {} cannot be moved to the data partition: {e}",
            change.reason,
            show(&change.path)
        );
        work.problems.push(Problem::new(text));
    }
}

fn directory(
    data: &mut TreeEditor<'_>,
    to: &[u8],
    stat: &Stat,
    reason: &str,
) -> Result<(), crate::tree::edit::EditError> {
    if data.tree().find(to).is_some() {
        return Ok(());
    }
    data.dir(to, stat.mode, reason)?;
    if let Some(there) = data.tree_mut().stat_mut(to) {
        *there = stat.clone();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::Time;

    fn tree(files: &[(&str, &str)]) -> Tree {
        let stat = || Stat::root(0o644, Time::default());
        let mut tree = Tree::new(Stat::root(0o755, Time::default()));
        for (path, text) in files {
            tree.put_file(path, text.as_bytes().to_vec(), stat())
                .unwrap();
        }
        tree
    }

    const FSTAB: &str = "/dev/root / ext4 defaults 0 1\n\
        PARTUUID=1-1 /boot/efi vfat defaults 0 2\n\
        PARTUUID=1-4 /data ext4 defaults 0 2\n\
        /data/home /home none bind 0 0\n\
        tmpfs /var/log tmpfs size=1m 0 0\n\
        /data/var /var/cache none noauto,bind 0 0\n\
        over /etc overlay lowerdir=/etc,upperdir=/data/a,workdir=/data/b 0 0\n";

    const TMPFILES: &str = "d /srv 0755 root root -\nD! /spool 0755 root root -\nr /srv/*.pid\n";

    /// The three trees after files were added to each, with notes and warnings.
    fn placed(added: [&[&str]; 3]) -> ([Tree; 3], Vec<String>, Vec<String>) {
        let mut trees = [
            tree(&[
                ("/etc/fstab", FSTAB),
                ("/home/old", "o"),
                ("/usr/lib/tmpfiles.d/a.conf", TMPFILES),
            ]),
            tree(&[]),
            tree(&[("/home/there", "t")]),
        ];
        let [root, boot, data] = &mut trees;
        root.put_symlink("/client", "/data/client", Time::default())
            .unwrap();
        let mut work = Workspace {
            root: TreeEditor::new(root, Time::default()),
            boot: TreeEditor::new(boot, Time::default()),
            data: TreeEditor::new(data, Time::default()),
            problems: crate::problem::Problems::default(),
            startup: Vec::new(),
            notes: Vec::new(),
            warnings: Vec::new(),
            used: Default::default(),
        };
        for (target, paths) in Target::ALL.into_iter().zip(added) {
            for path in paths {
                let text = b"new".to_vec();
                let editor = work.editor(target);
                editor.file(path, text, 0o640, "overlay mine").unwrap();
            }
        }
        let changes = [&work.root, &work.boot, &work.data].map(|editor| editor.changes().to_vec());
        place(&mut work, &changes, "/boot/efi");
        let (_, notes, warnings) = work.finish().unwrap();
        (trees, notes, warnings)
    }

    #[test]
    fn files_are_put_where_the_device_shows_them() {
        let added = [
            "/home/me/.profile",
            "/home/there",
            "/etc/new",
            "/var/cache/x",
        ];
        let ([root, _, data], notes, warnings) = placed([&added, &["/a"], &["/x"]]);
        for path in ["/home/me/.profile", "/home/there"] {
            assert_eq!(data.read(path, 9).unwrap().unwrap(), b"new", "{path}");
            assert!(root.find(path).is_none(), "{path}");
        }
        let dir = data.dir("/home/me").unwrap();
        assert_eq!(dir.stat.mode, 0o755);
        assert!(root.find("/home/old").is_some() && root.find("/etc/new").is_some());
        assert_eq!(
            notes,
            [
                "overlay mine: /home/me/.profile and one more file: moved to /data/home, which \
              /etc/fstab:4 mounts on /home: updates do not change what is there"
            ]
        );
        assert!(warnings.is_empty(), "{warnings:?}");
    }

    #[test]
    fn files_that_the_device_hides_are_warned_of() {
        let added = ["/boot/efi/EFI/x", "/var/log/a", "/var/log/b", "/var/log/c"];
        let ([root, ..], notes, warnings) = placed([&added, &[], &[]]);
        assert!(
            root.find("/var/log/a").is_some() && notes.is_empty(),
            "{notes:?}"
        );
        assert_eq!(
            warnings,
            [
                "overlay mine: /boot/efi/EFI/x: hidden on the device, where /etc/fstab:2 mounts the \
                 boot partition on /boot/efi; [[overlay]] target = \"boot\" puts files there",
                "overlay mine: /var/log/a and 2 more files: hidden on the device, where \
                 /etc/fstab:5 mounts tmpfs on /var/log",
            ]
        );
    }

    #[test]
    fn files_that_do_not_outlive_a_start_are_warned_of() {
        let added = [
            "/run/a",
            "/dev/b",
            "/proc/c",
            "/sys/d",
            "/tmp/e",
            "/spool/f",
            "/srv/x.pid",
            "/srv/y",
        ];
        let ([root, ..], notes, warnings) = placed([&added, &[], &[]]);
        assert!(
            root.find("/run/a").is_some() && notes.is_empty(),
            "{notes:?}"
        );
        let memory = "hidden on the device, where each start mounts a filesystem of the kernel on";
        let gone = "gone on the device: each start";
        assert_eq!(
            warnings,
            [
                format!(
                    "overlay mine: /spool/f: {gone} empties /spool (/usr/lib/tmpfiles.d/a.conf:2)"
                ),
                format!("overlay mine: /tmp/e: {gone} empties /tmp"),
                format!(
                    "overlay mine: /srv/x.pid: {gone} removes it (/usr/lib/tmpfiles.d/a.conf:3)"
                ),
                format!("overlay mine: /dev/b: {memory} /dev"),
                format!("overlay mine: /proc/c: {memory} /proc"),
                format!("overlay mine: /run/a: {memory} /run"),
                format!("overlay mine: /sys/d: {memory} /sys"),
            ]
        );
    }

    #[test]
    fn files_for_the_data_partition_are_said() {
        let added = ["/data/app/x", "/data/y", "/client/z"];
        let (_, notes, warnings) = placed([&added, &[], &[]]);
        let moved = "moved to the data partition, which is mounted on /data: updates do not change what is there";
        assert_eq!(
            notes,
            [format!(
                "overlay mine: /data/app/x and 2 more files: {moved}"
            )]
        );
        assert!(warnings.is_empty(), "{warnings:?}");
    }
}
