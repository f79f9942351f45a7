//! SSH host keys: each device makes its own at its first start, on the data partition, where
//! updates leave them alone; `docs/decisions/0013-host-keys.md` says why.

use super::super::{Workspace, startup};
use crate::boot::common::tools;
use crate::golden::facts::is_started_by_units;
use crate::golden::traces::{Trace, TraceKind, gather, named_host_keys};
use crate::problem::Problem;
use crate::tree::edit::EditError;
use crate::tree::{Tree, show};
use std::collections::BTreeSet;

const REASON: &str = "each device makes its own SSH host keys and keeps them over updates";
const SCRIPT: &str = "/usr/lib/goldsmith/host-keys";
const UNIT: &str = "/etc/systemd/system/mender-host-keys.service";
const LINK: &str = "/etc/systemd/system/sysinit.target.wants/mender-host-keys.service";
/// Where the keys are on the device.
const DIR: &str = "/data/ssh";
/// The keys that the servers look for by themselves: OpenSSH from 9 on, Dropbear in Debian.
const OPENSSH: [&str; 3] = [
    "/etc/ssh/ssh_host_rsa_key",
    "/etc/ssh/ssh_host_ecdsa_key",
    "/etc/ssh/ssh_host_ed25519_key",
];
const DROPBEAR: [&str; 3] = [
    "/etc/dropbear/dropbear_rsa_host_key",
    "/etc/dropbear/dropbear_ecdsa_host_key",
    "/etc/dropbear/dropbear_ed25519_host_key",
];
/// Services of images that remove or make host keys at a start of their own choice.
const OTHERS: [&str; 2] = [
    "regenerate_ssh_host_keys.service",
    "ssh-host-keys-generator.service",
];
/// cloud-init removes the host keys of the image when it sees a new instance.
const CLOUD_INIT: &str = "/etc/cloud/cloud.cfg.d/zz-mender-ssh.cfg";
const CLOUD_TEXT: &str =
    "# The device's own service makes the host keys.\nssh_deletekeys: false\nssh_genkeytypes: []\n";

/// The programs that make keys, for the first word of a kind.
const MAKERS: [(&str, &str, &str); 2] = [
    ("openssh", "/usr/bin/ssh-keygen", "openssh-client"),
    ("dropbear", "/usr/bin/dropbearkey", "dropbear-bin"),
];

/// A host key that devices make.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::edit) struct HostKey {
    /// The real path that the server reads.
    path: String,
    /// The argument of the script: program and type.
    kind: String,
}

impl HostKey {
    /// The file that devices make: the path itself if it is on the data partition, otherwise one
    /// there that the path is a link to.
    fn file(&self) -> String {
        if self.path.starts_with("/data/") {
            return self.path.clone();
        }
        let name = self.path.rsplit('/').next().unwrap_or_default();
        format!("{DIR}/{name}")
    }
}

/// Has devices make the keys that the servers of the image read, of which `removed` were there.
/// Keys that `earlier` has are arranged already. Returns all of them.
pub(super) fn arrange(
    work: &mut Workspace<'_>,
    removed: &[String],
    earlier: &BTreeSet<HostKey>,
) -> Result<BTreeSet<HostKey>, EditError> {
    let keys = keys(work.root.tree(), removed);
    if keys.is_subset(earlier) {
        return Ok(keys);
    }
    if let Some(problem) = why_not(work.root.tree(), &keys) {
        work.problems.push(problem);
        return Ok(keys);
    }
    for name in OTHERS {
        let started = startup::acting::started(work.root.tree());
        if started.contains(name) {
            startup::disable(&mut work.root, name, REASON)?;
        }
    }
    let root = &mut work.root;
    let mut arguments = String::new();
    for key in &keys {
        let (path, file) = (&key.path, key.file());
        for end in ["", ".pub"] {
            if *path != file {
                root.symlink(format!("{path}{end}"), format!("{file}{end}"), REASON)?;
            } else if root.tree().walk(path.as_bytes(), true).is_err() {
                // A link to itself, which no key could take the place of.
                root.remove(format!("{path}{end}"), REASON)?;
            }
        }
        arguments.push_str(&format!(" {}={file}", key.kind));
    }
    root.file(SCRIPT, tools::host_keys(), 0o755, REASON)?;
    root.file(UNIT, unit(&arguments), 0o644, REASON)?;
    root.symlink(LINK, "../mender-host-keys.service", REASON)?;
    let cloud = ["/usr/bin/cloud-init", "/etc/cloud/cloud.cfg"];
    if cloud.iter().any(|path| root.tree().file(path).is_some()) {
        root.file(CLOUD_INIT, CLOUD_TEXT, 0o644, REASON)?;
    }
    let names: Vec<&str> = keys.iter().map(|key| key.path.as_str()).collect();
    let list = names.join(", ");
    work.notes.push(format!(
        "sanitize.ssh-host-keys: each device makes its own at the first start, on the data partition ({list})"
    ));
    Ok(keys)
}

/// Why devices could not make these keys.
fn why_not(root: &Tree, keys: &BTreeSet<HostKey>) -> Option<Problem> {
    if !is_started_by_units(root) {
        let message = "sanitize.ssh-host-keys: the init system is not systemd, so nothing would make host keys on devices";
        let hint = "set sanitize.ssh-host-keys = false, and have a script of the image make keys that are missing";
        return Some(Problem::new(message).hint(hint));
    }
    let lacks = |(kind, program, _): &&(&str, &str, &str)| {
        keys.iter().any(|key| key.kind.starts_with(kind)) && root.file(program).is_none()
    };
    let (_, program, package) = MAKERS.iter().find(lacks)?;
    let message = format!(
        "sanitize.ssh-host-keys: the system has an SSH server and no {program}, so devices could not make host keys"
    );
    let hint = format!(
        "bring {program} (package {package}) with the server: in the golden image, an overlay or client.packages; or set sanitize.ssh-host-keys = false"
    );
    Some(Problem::new(message).hint(hint))
}

/// The unit that makes the keys with these arguments.
fn unit(arguments: &str) -> String {
    format!(
        "[Unit]\n\
         Description=Make the SSH host keys of this device\n\
         DefaultDependencies=no\n\
         RequiresMountsFor=/data\n\
         Before=ssh.service ssh.socket sshd.service sshd.socket sshd-keygen.service dropbear.service dropbear.socket shutdown.target\n\
         Conflicts=shutdown.target\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         RemainAfterExit=yes\n\
         ExecStart={SCRIPT}{arguments}\n"
    )
}

/// The keys that the servers of the image read and that nothing brought, sorted.
fn keys(root: &Tree, removed: &[String]) -> BTreeSet<HostKey> {
    let has = |path: &str| root.file(path).is_some();
    let servers = [
        (has("/usr/sbin/sshd"), "openssh", &OPENSSH),
        (has("/usr/sbin/dropbear"), "dropbear", &DROPBEAR),
    ];
    // Keys that overlays brought are meant, and these servers need no others.
    let brought: Vec<String> = gather(root)
        .iter()
        .filter(|trace| trace.kind == TraceKind::SshHostKeys)
        .map(Trace::shown)
        .collect();
    let mut paths: BTreeSet<String> = removed.iter().cloned().collect();
    paths.extend(named_host_keys(root));
    paths.retain(|path| !path.ends_with(".pub"));
    let mut out = BTreeSet::new();
    for (_, server, defaults) in servers.iter().filter(|(has, ..)| *has) {
        let own = |path: &&String| program(path) == *server;
        let mut read: Vec<String> = paths.iter().filter(own).cloned().collect();
        if read.is_empty() && !brought.iter().any(|path| own(&path)) {
            read.extend(defaults.iter().map(|path| (*path).to_owned()));
        }
        let real = read.iter().map(|path| real_path(root, path));
        let made = real.filter(|path| !brought.contains(path));
        out.extend(made.filter_map(|path| {
            let kind = format!("{server}-{}", key_type(&path)?);
            Some(HostKey { path, kind })
        }));
    }
    out
}

/// The server that reads a key: that of its name.
fn program(path: &str) -> &'static str {
    let name = path.rsplit('/').next().unwrap_or_default();
    match name.starts_with("dropbear_") {
        true => "dropbear",
        false => "openssh",
    }
}

/// The type of the key of this name. A name need say nothing about it, and DSA is not used any
/// more.
fn key_type(path: &str) -> Option<&'static str> {
    let name = path.rsplit('/').next().unwrap_or_default();
    let known = ["ed25519", "ecdsa", "rsa"];
    let kind = known.into_iter().find(|kind| name.contains(kind));
    kind.or_else(|| (!name.contains("dsa")).then_some("ed25519"))
}

/// Where a path leads, be it that nothing is there: a server opens that. A link that leads to
/// itself is a place like one that is empty.
fn real_path(root: &Tree, path: &str) -> String {
    let walk = |follow| root.walk(path.as_bytes(), follow);
    let real = walk(true).or_else(|_| walk(false));
    real.map_or_else(|_| path.to_owned(), |walk| show(&walk.path()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Stat, Time};

    fn found(programs: &[&str], removed: &[&str]) -> Vec<(String, String)> {
        let mut tree = Tree::new(Stat::root(0o755, Time::default()));
        for program in programs {
            let stat = Stat::root(0o755, Time::default());
            tree.put_file(program, "x", stat).unwrap();
        }
        let removed: Vec<String> = removed.iter().map(|path| (*path).to_owned()).collect();
        let keys = keys(&tree, &removed).into_iter();
        keys.map(|key| (key.kind, key.path)).collect()
    }

    #[test]
    fn devices_make_the_keys_that_the_servers_read() {
        let sshd = "/usr/sbin/sshd";
        let kinds = |found: Vec<(String, String)>| -> Vec<String> {
            found.into_iter().map(|(kind, _)| kind).collect()
        };
        let removed = [
            "/etc/ssh/ssh_host_ed25519_key",
            "/etc/ssh/ssh_host_ed25519_key.pub",
            "/etc/ssh/ssh_host_dsa_key",
        ];
        assert_eq!(kinds(found(&[sshd], &removed)), ["openssh-ed25519"]);
        let mut all = kinds(found(&[sshd], &[]));
        all.sort();
        assert_eq!(all, ["openssh-ecdsa", "openssh-ed25519", "openssh-rsa"]);
        assert_eq!(kinds(found(&[], &removed)), [""; 0]);
        let both = [sshd, "/usr/sbin/dropbear"];
        assert_eq!(found(&both, &[]).len(), 6);
        // A key that was brought is the only one, and stays.
        assert_eq!(found(&[sshd, "/etc/ssh/ssh_host_rsa_key"], &[]), []);
        let dropbear = [sshd, "/usr/sbin/dropbear", "/etc/ssh/ssh_host_rsa_key"];
        assert_eq!(found(&dropbear, &[]).len(), 3);
    }

    #[test]
    fn keys_are_made_where_links_lead() {
        let made = |links: &[(&str, &str)], files: &[(&str, &str)]| -> Vec<(String, String)> {
            let mut tree = Tree::new(Stat::root(0o755, Time::default()));
            for (path, text) in [("/usr/sbin/sshd", "x")].iter().chain(files) {
                let stat = Stat::root(0o755, Time::default());
                tree.put_file(path, *text, stat).unwrap();
            }
            for (path, target) in links {
                tree.put_symlink(path, *target, Time::default()).unwrap();
            }
            let keys = keys(&tree, &[]).into_iter();
            keys.map(|key| (key.path.clone(), key.file())).collect()
        };
        let pair = |path: &str, file: &str| (path.to_owned(), file.to_owned());
        let config = "/etc/ssh/sshd_config";
        // A key that leads to itself.
        let own = "/etc/ssh/ssh_host_rsa_key";
        let files = [(config, "HostKey /etc/ssh/ssh_host_rsa_key\n")];
        let expected = [pair(own, "/data/ssh/ssh_host_rsa_key")];
        assert_eq!(made(&[(own, "ssh_host_rsa_key")], &files), expected);
        // The directory is on the data partition, and with it the keys.
        let data = "/data/ssh/ssh_host_rsa_key";
        let links = [("/etc/ssh", "/data/ssh"), (data, data)];
        let found = made(&links, &[("/data/ssh/sshd_config", "")]);
        assert_eq!(found.len(), 3);
        assert!(found.contains(&pair(data, data)), "{found:?}");
        assert!(found.iter().all(|(path, file)| path == file), "{found:?}");
        // A link to a place of the owner's.
        let links = [(own, "/data/keys/rsa")];
        let expected = [pair("/data/keys/rsa", "/data/keys/rsa")];
        assert_eq!(made(&links, &files), expected);
        let files = [(config, "HostKey /srv/key\n")];
        assert_eq!(made(&[], &files), [pair("/srv/key", "/data/ssh/key")]);
    }
}
