//! SSH host keys: each device makes its own at its first start, on the data partition, where
//! updates leave them alone; `docs/decisions/0013-host-keys.md` says why.

use super::super::{Workspace, startup};
use crate::golden::facts::is_started_by_units;
use crate::problem::Problem;
use crate::tree::Tree;
use crate::tree::edit::EditError;
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

/// A host key that devices make.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct HostKey {
    /// The path that the server reads.
    path: String,
    /// The argument of the script: program and type.
    kind: String,
}

/// Has devices make the keys that the servers of the image read, of which `removed` were there.
pub(super) fn arrange(work: &mut Workspace<'_>, removed: &[String]) -> Result<(), EditError> {
    let keys = keys(work.root.tree(), removed);
    if keys.is_empty() {
        return Ok(());
    }
    if !is_started_by_units(work.root.tree()) {
        let message = "sanitize.ssh-host-keys: the init system is not systemd, so nothing would make host keys on devices";
        let hint = "set sanitize.ssh-host-keys = false, and have a script of the image make keys that are missing";
        work.problems.push(Problem::new(message).hint(hint));
        return Ok(());
    }
    for name in OTHERS {
        let started = startup::acting::started(work.root.tree());
        if started.contains(name) {
            startup::disable(&mut work.root, name, REASON)?;
        }
    }
    let root = &mut work.root;
    let mut arguments = String::new();
    for HostKey { path, kind } in &keys {
        let name = path.rsplit('/').next().unwrap_or(path);
        let file = format!("{DIR}/{name}");
        for end in ["", ".pub"] {
            root.symlink(format!("{path}{end}"), format!("{file}{end}"), REASON)?;
        }
        arguments.push_str(&format!(" {kind}={file}"));
    }
    let script = include_str!("../../../configs/device/common/host-keys.sh");
    root.file(SCRIPT, script, 0o755, REASON)?;
    let unit = format!(
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
    );
    root.file(UNIT, unit, 0o644, REASON)?;
    root.symlink(LINK, "../mender-host-keys.service", REASON)?;
    let cloud = ["/usr/bin/cloud-init", "/etc/cloud/cloud.cfg"];
    if cloud.iter().any(|path| root.tree().file(path).is_some()) {
        root.file(CLOUD_INIT, CLOUD_TEXT, 0o644, REASON)?;
    }
    let names: Vec<&str> = keys.iter().map(|key| key.path.as_str()).collect();
    let list = names.join(", ");
    work.notes.push(format!(
        "sanitize.ssh-host-keys: each device makes its own at the first start, in {DIR} ({list})"
    ));
    Ok(())
}

/// The keys that the servers of the image read, sorted.
fn keys(root: &Tree, removed: &[String]) -> BTreeSet<HostKey> {
    let has = |path: &str| root.file(path).is_some();
    let key = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or_default();
        let dropbear = name.starts_with("dropbear_");
        let kinds = ["ed25519", "ecdsa", "rsa"];
        let kind = kinds.into_iter().find(|kind| name.contains(kind));
        let program = if dropbear { "dropbear" } else { "openssh" };
        // A name says nothing about the type of a key, and DSA is not used any more.
        let known = kind.or_else(|| (!name.contains("dsa")).then_some("ed25519"));
        Some(HostKey {
            path: path.to_owned(),
            kind: format!("{program}-{}", known?),
        })
    };
    let mut paths: BTreeSet<&str> = removed
        .iter()
        .map(String::as_str)
        .filter(|path| !path.ends_with(".pub"))
        .collect();
    let of = |name: &str| paths.iter().any(|path| path.contains(name));
    let defaults: [(bool, &[&str]); 2] = [
        (has("/usr/sbin/sshd") && !of("ssh_host_"), &OPENSSH),
        (has("/usr/sbin/dropbear") && !of("dropbear_"), &DROPBEAR),
    ];
    for (wanted, defaults) in defaults {
        if wanted {
            paths.extend(defaults);
        }
    }
    let sshd = has("/usr/sbin/sshd");
    let dropbear = has("/usr/sbin/dropbear");
    let read = |key: &HostKey| match key.kind.starts_with("dropbear") {
        true => dropbear,
        false => sshd,
    };
    paths.into_iter().filter_map(key).filter(read).collect()
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
        let all = ["openssh-ecdsa", "openssh-ed25519", "openssh-rsa"];
        assert_eq!(kinds(found(&[sshd], &[])), all);
        assert_eq!(kinds(found(&[], &removed)), [""; 0]);
        let both = [sshd, "/usr/sbin/dropbear"];
        assert_eq!(found(&both, &[]).len(), 6);
    }
}
