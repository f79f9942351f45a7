//! Bind mounts in `/etc/fstab`: directories of the data partition that are mounted elsewhere.

use super::super::disk::{Disk, Roles};
use super::super::finding::{Location, Log};
use super::fstab::{FSTAB, FstabLine, lines};
use crate::tree::{Node, Tree};

/// Whether a path is a directory or another file, in the filesystem that it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Directory,
    File,
    Nothing,
    /// It is on a filesystem that is not checked.
    Unknown,
}

/// Checks that every bind mount has a source, and a mount point of the same kind.
pub(super) fn check(disk: &Disk, roles: &Roles, log: &mut Log) {
    let Some(root) = disk.files(roles.a).map(|files| &*files.tree) else {
        return;
    };
    let Some(data) = disk.files(roles.data).map(|files| &*files.tree) else {
        return;
    };
    let list = lines(root);
    let place = || Location::partition(roles.a).path(FSTAB);
    for line in list.iter().filter(|line| is_bind(line)) {
        let source = find(&line.spec, &list, root, data);
        let target = find(&line.dir, &list, root, data);
        if source == Found::Unknown || target == Found::Unknown {
            continue;
        }
        let there = log.check(source != Found::Nothing, "fstab-bind", || {
            let text = format!(
                "{} is mounted on {}, but does not exist",
                line.spec, line.dir
            );
            (place().line(line.number), text)
        });
        if there {
            log.check(source == target, "fstab-mount-point", || {
                let what = match target {
                    Found::Nothing => "does not exist",
                    Found::Directory => "is a directory",
                    _ => "is not a directory",
                };
                let text = format!("{} is mounted on {}, which {what}", line.spec, line.dir);
                (place().line(line.number), text)
            });
        }
    }
}

/// Whether a line mounts a directory that is elsewhere, and the system does not go without.
pub(super) fn is_bind(line: &FstabLine) -> bool {
    let options = || line.options.split(',');
    let bind = options().any(|option| matches!(option, "bind" | "rbind"));
    let optional = options().any(|option| matches!(option, "nofail" | "noauto"));
    bind && !optional && line.spec.starts_with('/') && line.dir.starts_with('/')
}

/// What is at `path` of the running system, as far as its mounts lead to root or data partition.
fn find(path: &str, list: &[FstabLine], root: &Tree, data: &Tree) -> Found {
    let below = |dir: &str| {
        path.strip_prefix(dir)
            .filter(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let mounts = list
        .iter()
        .filter(|line| line.dir.len() > 1 && line.dir != path);
    let inner = mounts
        .filter(|line| below(&line.dir).is_some())
        .max_by_key(|line| line.dir.len());
    let (tree, path) = match (inner, below("/data")) {
        (None, _) => (root, path),
        (Some(line), Some(rest)) if line.dir == "/data" => (data, rest),
        (Some(_), _) => return Found::Unknown,
    };
    match tree.find(path) {
        Some(Node::Dir(_)) => Found::Directory,
        Some(Node::Leaf(_)) => Found::File,
        None => Found::Nothing,
    }
}
