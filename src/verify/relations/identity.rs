//! Traces of the golden machine that the list in the image says were taken away.

use super::super::disk::{Disk, Roles, read};
use super::super::finding::{Location, Log};
use crate::keyfile;
use crate::stream::ReadAt as _;
use crate::tree::{DirEntry, LeafKind, Node, Tree, show};
use std::collections::BTreeSet;

/// Kinds that were taken away, one a line; with a tab and a path, one that stays.
const LIST: &str = "/usr/lib/goldsmith/sanitized";
/// The largest file that is searched for settings or keys (bytes).
const SEARCHED: u64 = 256 << 10;

/// Checks that nothing is left of the kinds that the list names.
pub(super) fn check(disk: &Disk, roles: &Roles, log: &mut Log) {
    let Some(root) = disk.files(roles.a) else {
        return;
    };
    let Some(list) = read(&root.tree, LIST) else {
        // The image promises nothing.
        return log.passed(1);
    };
    let list = String::from_utf8_lossy(&list).into_owned();
    let kept: BTreeSet<&str> = list
        .lines()
        .filter_map(|line| Some(line.split_once('\t')?.1))
        .collect();
    log.passed(1);
    let kinds = list.lines().filter(|line| !line.contains('\t'));
    let mut trees = vec![(roles.a, "", &*root.tree)];
    trees.extend(
        disk.files(roles.data)
            .map(|files| (roles.data, "/data", &*files.tree)),
    );
    for kind in kinds {
        for (number, dir, tree) in &trees {
            for path in left(kind, tree) {
                let device = format!("{dir}{path}");
                log.check(kept.contains(device.as_str()), "identity-left", || {
                    let text =
                        format!("the image says that {kind} were taken away, but this is left");
                    (Location::partition(*number).path(&path), text)
                });
            }
        }
        if kind == "ssh-host-keys" {
            let brought = list.lines().any(|line| line.starts_with("ssh-host-keys\t"));
            makes_keys(&root.tree, roles.a, brought, log);
        }
    }
}

/// The paths that are left of one kind.
fn left(kind: &str, tree: &Tree) -> Vec<String> {
    match kind {
        "machine-id" => ["/etc/machine-id", "/var/lib/dbus/machine-id"]
            .into_iter()
            .filter(|path| is_file(tree, path) && length(tree, path) > 0)
            .map(str::to_owned)
            .collect(),
        "ssh-host-keys" => {
            let mut out = files(tree, "/etc/ssh");
            out.extend(files(tree, "/etc/dropbear"));
            out.extend(files(tree, "/ssh"));
            out.retain(|path| holds_key(tree, path));
            out
        }
        "random-seed" => present(
            tree,
            &[
                "/var/lib/systemd/random-seed",
                "/var/lib/urandom/random-seed",
            ],
        ),
        "client-keys" => present(
            tree,
            &[
                "/mender/mender-agent.pem",
                "/mender/mender-store",
                "/var/lib/mender/mender-agent.pem",
                "/var/lib/mender/mender-store",
            ],
        ),
        "service-ids" => present(tree, &["/var/lib/systemd/credential.secret"]),
        "dhcp-leases" => {
            let dirs = [
                "/var/lib/dhcp",
                "/var/lib/dhcpcd",
                "/var/lib/NetworkManager",
            ];
            let mut out: Vec<String> = dirs.iter().flat_map(|dir| files(tree, dir)).collect();
            out.retain(|path| path.ends_with(".lease") || path.ends_with(".leases"));
            out
        }
        "wireless-keys" => wireless(tree),
        "histories" => homes(tree)
            .iter()
            .map(|home| format!("{home}/.bash_history"))
            .filter(|path| is_file(tree, path))
            .collect(),
        "logs" => {
            let mut out = files(tree, "/var/log");
            out.retain(|path| length(tree, path) > 0);
            out
        }
        "apt-cache" => {
            let mut out = files(tree, "/var/cache/apt");
            out.extend(files(tree, "/var/lib/apt/lists"));
            out.retain(|path| !path.ends_with("/lock"));
            out.retain(|path| {
                [".bin", ".deb", "_Packages", "Release"]
                    .iter()
                    .any(|end| path.ends_with(end))
            });
            out
        }
        "core-dumps" => {
            let mut out = files(tree, "/var/lib/systemd/coredump");
            out.extend(files(tree, "/var/crash"));
            out
        }
        "cloud-init" => files(tree, "/var/lib/cloud/instances"),
        _ => Vec::new(),
    }
}

/// That something makes host keys on the device, if a server reads any but those that were
/// `brought`.
fn makes_keys(root: &Tree, number: u32, brought: bool, log: &mut Log) {
    const UNIT: &str = "/etc/systemd/system/mender-host-keys.service";
    const WANTED: &str = "/etc/systemd/system/sysinit.target.wants/mender-host-keys.service";
    if root.file("/usr/sbin/sshd").is_none() && root.file("/usr/sbin/dropbear").is_none() {
        return;
    }
    let unit = String::from_utf8_lossy(&read(root, UNIT).unwrap_or_default()).into_owned();
    let lines = unit
        .lines()
        .filter_map(|line| line.strip_prefix("ExecStart="));
    let words: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
    let program = words
        .first()
        .is_some_and(|program| root.file(program).is_some());
    let made = |target: &str| {
        let mut words = words.iter();
        words.any(|word| word.split_once('=').is_some_and(|(_, file)| file == target))
    };
    let enabled = root.find(WANTED).is_some() && program;
    log.check(enabled || brought, "identity-host-keys", || {
        let text = "nothing makes the SSH host keys of a device, which were taken away";
        (Location::partition(number).path(UNIT), text.to_owned())
    });
    let makers = [
        ("openssh-", "/usr/bin/ssh-keygen"),
        ("dropbear-", "/usr/bin/dropbearkey"),
    ];
    for (kind, program) in makers {
        let needed = words.iter().any(|word| word.starts_with(kind));
        let good = !needed || root.file(program).is_some();
        log.check(good, "identity-host-keys", || {
            let text =
                format!("SSH host keys are made by {program}, which the image does not have");
            (Location::partition(number).path(UNIT), text)
        });
    }
    let all = links(root, "/etc/ssh").into_iter();
    for (path, target) in all.chain(links(root, "/etc/dropbear")) {
        // Where the server looks in the end.
        let real = root.walk(path.as_bytes(), true).ok();
        let is_there = real.as_ref().is_some_and(|walk| walk.exists);
        let real = real.map_or_else(|| target.clone(), |walk| show(&walk.path()));
        let private = real.strip_suffix(".pub").unwrap_or(&real);
        log.check(is_there || made(private), "identity-host-keys", || {
            let text = format!("it is a link to {target}, which nothing makes");
            (Location::partition(number).path(&path), text)
        });
    }
}

/// The host keys in a directory that are symlinks, with their targets.
fn links(tree: &Tree, dir: &str) -> Vec<(String, String)> {
    let Some(found) = tree.dir(dir) else {
        return Vec::new();
    };
    let link = |(name, entry): (&Vec<u8>, &DirEntry)| {
        let DirEntry::Leaf(id) = entry else {
            return None;
        };
        let LeafKind::Symlink(target) = &tree.leaf(*id).kind else {
            return None;
        };
        let name = show(name);
        let key = name.contains("host_") && name.contains("_key") || name.contains("_host_key");
        key.then(|| (format!("{dir}/{name}"), show(target)))
    };
    found.entries.iter().filter_map(link).collect()
}

/// Files with the secrets of wireless networks.
fn wireless(tree: &Tree) -> Vec<String> {
    let mut out = files(tree, "/var/lib/iwd");
    out.retain(|path| path.ends_with(".psk"));
    let mut settings = files(tree, "/etc/wpa_supplicant");
    settings.extend(files(tree, "/etc/NetworkManager/system-connections"));
    settings.retain(|path| {
        let bytes = read(tree, path).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let mut lines = text.lines().map(str::trim_start);
        lines.any(|line| line.starts_with("psk="))
    });
    out.extend(settings);
    out
}

/// The directories of users, from `/etc/passwd`.
fn homes(tree: &Tree) -> BTreeSet<String> {
    let bytes = read(tree, "/etc/passwd").unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let home = |line: &str| {
        let home = line.split(':').nth(5)?.trim_end_matches('/');
        Some(home.to_owned())
    };
    text.lines().filter_map(home).collect()
}

fn is_file(tree: &Tree, path: &str) -> bool {
    let Some(Node::Leaf(leaf)) = tree.find_nofollow(path) else {
        return false;
    };
    matches!(leaf.kind, LeafKind::File(_))
}

fn length(tree: &Tree, path: &str) -> u64 {
    tree.file(path).map_or(0, |content| content.len())
}

fn present(tree: &Tree, paths: &[&str]) -> Vec<String> {
    let found = paths.iter().filter(|path| is_file(tree, path));
    found.map(|path| (*path).to_owned()).collect()
}

fn holds_key(tree: &Tree, path: &str) -> bool {
    length(tree, path) <= SEARCHED
        && read(tree, path).is_some_and(|bytes| keyfile::private_key(&bytes).is_some())
}

/// The paths of all regular files below a directory.
fn files(tree: &Tree, dir: &str) -> Vec<String> {
    let mut out = Vec::new();
    let start = format!("{dir}/").into_bytes();
    tree.visit(&mut |path, entry| {
        if let DirEntry::Leaf(id) = entry
            && path.starts_with(&start)
            && matches!(tree.leaf(*id).kind, LeafKind::File(_))
        {
            out.push(show(path));
        }
    });
    out
}
