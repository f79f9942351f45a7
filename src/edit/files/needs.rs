//! What a device needs to start and to be updated: `[[rootfs.remove]]` refuses to take it away.

use crate::edit::mender;
use crate::problem::Problem;
use crate::tree::{Tree, show};
use std::collections::{BTreeMap, BTreeSet};

/// Paths that a device needs, each with the reason.
#[derive(Debug)]
pub(super) struct Needs {
    paths: BTreeMap<Vec<u8>, &'static str>,
    /// The versions of the kernel that have modules.
    modules: BTreeSet<String>,
}

/// Files and directories that every system needs, if it has them.
const SYSTEM: [(&str, &str); 20] = [
    ("/bin/sh", "the shell"),
    ("/sbin/init", "the program that the kernel starts"),
    ("/etc/init", "the program that the kernel starts"),
    (
        "/usr/lib/systemd/systemd",
        "the program that the kernel starts",
    ),
    ("/etc/fstab", "the list of filesystems"),
    ("/etc/passwd", "the list of users"),
    ("/etc/group", "the list of groups"),
    ("/etc/os-release", "the name of the system"),
    ("/usr/lib/os-release", "the name of the system"),
    ("/var/lib/dpkg/status", "the list of installed packages"),
    (
        "/usr/share/mender/modules/v3/rootfs-image",
        "which installs updates",
    ),
    ("/dev", "a mount point"),
    ("/proc", "a mount point"),
    ("/sys", "a mount point"),
    ("/run", "a mount point"),
    ("/tmp", "the directory for temporary files"),
    ("/data", "the mount point of the data partition"),
    ("/bin", "where programs are looked for"),
    ("/sbin", "where programs are looked for"),
    ("/lib", "where libraries are looked for"),
];

impl Needs {
    /// What the system in `root` needs; `boot` is the mount point of the boot partition.
    pub(super) fn new(root: &Tree, boot: &str) -> Self {
        let mut needs = Self {
            paths: BTreeMap::new(),
            modules: versions(root, "/lib/modules", ""),
        };
        for (path, why) in SYSTEM {
            needs.add(root, path.as_bytes(), why);
        }
        needs.add(
            root,
            boot.as_bytes(),
            "the mount point of the boot partition",
        );
        for path in mender::client_programs(root) {
            needs.add(root, path.as_bytes(), "the update client");
        }
        for dir in ["/lib", "/lib64", "/lib32"] {
            let names = root.dir(dir).into_iter().flat_map(|dir| dir.entries.keys());
            for name in names.filter(|name| name.starts_with(b"ld-")) {
                let path = [dir.as_bytes(), b"/", name].concat();
                needs.add(root, &path, "which loads programs");
            }
            if root.find_nofollow(dir).is_some() {
                needs.add(root, dir.as_bytes(), "where libraries are looked for");
            }
        }
        needs
    }

    fn add(&mut self, root: &Tree, path: &[u8], why: &'static str) {
        for follow in [false, true] {
            let walk = root.walk(path, follow).ok();
            if let Some(walk) = walk.filter(|walk| walk.exists) {
                self.paths.entry(walk.path()).or_insert(why);
            }
        }
    }

    /// The needed path that goes with the real path `path`, and the reason.
    pub(super) fn of(&self, path: &[u8]) -> Option<(String, &'static str)> {
        let dir = match path {
            b"/" => b"/".to_vec(),
            path => [path, b"/"].concat(),
        };
        let is_gone = |needed: &&Vec<u8>| needed.as_slice() == path || needed.starts_with(&dir);
        let needed = self.paths.keys().find(is_gone)?;
        Some((show(needed), self.paths.get(needed)?))
    }

    /// The kernels of the system, by their versions.
    pub(super) fn kernels(&self, root: &Tree) -> BTreeSet<String> {
        versions(root, "/boot", "vmlinuz-")
    }

    /// Problems of a removal: `before` and `left` are the kernels that there were and are.
    pub(super) fn lost(
        &self,
        from: &str,
        before: &BTreeSet<String>,
        left: &BTreeSet<String>,
        root: &Tree,
    ) -> Vec<Problem> {
        if left.is_empty() && !before.is_empty() {
            let names: Vec<&str> = before.iter().map(String::as_str).collect();
            let message = format!(
                "{from}: no kernel is left: {} removed from /boot",
                names.join(", ")
            );
            return vec![Problem::new(message).hint("keep one of them")];
        }
        let modules = versions(root, "/lib/modules", "");
        let lost = left
            .iter()
            .filter(|version| self.modules.contains(*version) && !modules.contains(*version));
        let problem = |version: &String| {
            let message = format!(
                "{from}: /lib/modules/{version} is removed, but the kernel is kept: \
                 /boot/vmlinuz-{version}"
            );
            Problem::new(message).hint(format!(
                "keep its modules, or remove the kernel too: /boot/*-{version}"
            ))
        };
        lost.map(problem).collect()
    }
}

/// The names in a directory that begin with `start`, without it.
fn versions(root: &Tree, dir: &str, start: &str) -> BTreeSet<String> {
    let names = root.dir(dir).into_iter().flat_map(|dir| dir.entries.keys());
    let names = names.map(|name| show(name));
    names
        .filter_map(|name| name.strip_prefix(start).map(str::to_owned))
        .collect()
}
