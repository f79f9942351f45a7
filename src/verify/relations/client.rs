//! The update client: its identity, its information about the release, its programs.

use super::super::disk::{Disk, Roles, read};
use super::super::finding::{Location, Log, Severity};
use super::elf;
use crate::artifact::{self, ArtifactReport};
use crate::bundle;
use crate::digest::hex;
use crate::tree::{Leaf, LeafKind, Node, Tree, show};
use crate::units::counted;
use std::collections::BTreeSet;

/// The files with the identity of a device; two devices must never share them.
const IDENTITY: [&str; 3] = ["mender-agent.pem", "mender-store", "mender-store-lock"];

/// Checks the client; returns the device type. `digest` is that of slot A.
pub(super) fn check(
    disk: &Disk,
    roles: &Roles,
    digest: Option<[u8; 32]>,
    log: &mut Log,
) -> Option<String> {
    let root = &disk.files(roles.a)?.tree;
    let data = &disk.files(roles.data)?.tree;
    let kind = device_type(data, roles.data, log);
    let name = artifact_info(root, roles.a, log);
    bootstrap(
        data,
        roles.data,
        digest,
        name.as_deref(),
        kind.as_deref(),
        log,
    );
    state(root, data, roles, log);
    programs(root, roles.a, log);
    kind
}

/// `device_type=<type>` on one line.
fn device_type(data: &Tree, number: u32, log: &mut Log) -> Option<String> {
    let path = "/mender/device_type";
    let place = || Location::partition(number).path(path);
    let Some(bytes) = read(data, path) else {
        log.error("device-type", place(), "the file is missing");
        return None;
    };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let value = text
        .strip_suffix('\n')
        .and_then(|line| line.strip_prefix("device_type="))
        .unwrap_or_default();
    let good = !value.is_empty() && !value.contains(char::is_whitespace);
    log.check(good, "device-type", || {
        (
            place(),
            format!("it contains {text:?}, not one line `device_type=<type>`"),
        )
    });
    good.then(|| value.to_owned())
}

/// `artifact_name=` in the root filesystem: clients 3.x read the name of the release there.
fn artifact_info(root: &Tree, number: u32, log: &mut Log) -> Option<String> {
    let path = "/etc/mender/artifact_info";
    let bytes = read(root, path);
    let text = bytes
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("artifact_name="))
        .map(|name| name.trim().to_owned());
    let name = name.filter(|name| !name.is_empty());
    log.check(name.is_some(), "artifact-info", || {
        (
            Location::partition(number).path(path),
            "it has no line `artifact_name=<name>`, so a client 3.x does not know its release"
                .into(),
        )
    });
    name
}

/// The bootstrap Artifact, from which a fresh client learns its release.
fn bootstrap(
    data: &Tree,
    number: u32,
    digest: Option<[u8; 32]>,
    name: Option<&str>,
    kind: Option<&str>,
    log: &mut Log,
) {
    let path = "/mender/bootstrap.mender";
    let place = || Location::partition(number).path(path);
    let Some(bytes) = read(data, path) else {
        let text = "the file is missing, so a client from 3.5 on does not know its release";
        return log.add(Severity::Warning, "bootstrap-missing", place(), text);
    };
    let report = artifact::validate(&mut bytes.as_slice(), None).unwrap_or_default();
    if !valid(&report, "bootstrap-invalid", &place(), log) {
        return;
    }
    let found = report
        .artifact
        .provides
        .get("rootfs-image.checksum")
        .cloned()
        .unwrap_or_default();
    if let Some(digest) = digest {
        let due = hex(&digest);
        log.check(found == due, "bootstrap-checksum", || {
            (
                place(),
                format!("it provides the checksum {found}, slot A has {due}"),
            )
        });
    }
    if let Some(name) = name {
        let own = &report.artifact.name;
        log.check(own == name, "bootstrap-name", || {
            (
                place(),
                format!("it is called `{own}`, /etc/mender/artifact_info says `{name}`"),
            )
        });
    }
    if let Some(kind) = kind {
        let types = &report.artifact.device_types;
        let fits = types.iter().any(|one| one == kind);
        log.check(fits, "bootstrap-device-type", || {
            (
                place(),
                format!("it is for {types:?}, the device is a `{kind}`"),
            )
        });
    }
}

/// Reports the errors for which devices would refuse an Artifact. False if there are any.
pub(super) fn valid(
    report: &ArtifactReport,
    code: &'static str,
    place: &Location,
    log: &mut Log,
) -> bool {
    let errors = report
        .findings
        .iter()
        .filter(|finding| finding.severity == artifact::Severity::Error);
    let mut good = report.complete;
    for finding in errors {
        good = false;
        log.error(
            code,
            place.clone(),
            format!("{} ({})", finding.text, finding.code),
        );
    }
    if good {
        log.passed(1);
    }
    good
}

/// The client's state is on the data partition, and the image contains no state of a single device.
fn state(root: &Tree, data: &Tree, roles: &Roles, log: &mut Log) {
    let place = |path: &str| Location::partition(roles.a).path(path);
    let mounted = root.dir("/data").map(|dir| dir.entries.len());
    log.check(mounted == Some(0), "data-mount", || {
        let text = mounted.map_or_else(
            || "the directory is missing".to_owned(),
            |count| {
                let entries = counted(count, "entry", "entries");
                format!("it contains {entries}, but the data partition is mounted there")
            },
        );
        (place("/data"), text)
    });
    let link = match root.find_nofollow("/var/lib/mender") {
        Some(Node::Leaf(Leaf {
            kind: LeafKind::Symlink(target),
            ..
        })) => show(target),
        Some(_) => "not a link".to_owned(),
        None => "missing".to_owned(),
    };
    log.check(link == "/data/mender", "client-state", || {
        (
            place("/var/lib/mender"),
            format!(
                "it is {link}, expected is a link to /data/mender: updates would lose the client's state"
            ),
        )
    });
    for (tree, number, dir) in [
        (data, roles.data, "/mender"),
        (root, roles.a, "/var/lib/mender"),
        (root, roles.a, "/etc/mender"),
    ] {
        for name in IDENTITY {
            let path = format!("{dir}/{name}");
            log.check(
                tree.find_nofollow(&path).is_none(),
                "client-identity",
                || {
                    (
                        Location::partition(number).path(&path),
                        "it would be the same on every device".into(),
                    )
                },
            );
        }
    }
}

/// The modules for root filesystems that clients with these programs need, each once.
fn modules(programs: &[&String]) -> BTreeSet<&'static String> {
    let clients = bundle::bundles().iter().map(|bundle| &bundle.client);
    let own = clients.filter(|client| {
        let first = client.programs.first();
        first.is_some_and(|program| programs.contains(&program))
    });
    own.filter_map(|client| client.rootfs_module.as_ref())
        .collect()
}

/// The programs exist and find their libraries in the image.
fn programs(root: &Tree, number: u32, log: &mut Log) {
    let found: Vec<&String> = bundle::programs()
        .into_iter()
        .filter(|path| root.file(path).is_some())
        .collect();
    if found.is_empty() {
        let text = "the image has no update client (/usr/bin/mender, mender-update)";
        log.add(
            Severity::Warning,
            "client-missing",
            Location::partition(number),
            text,
        );
    }
    for path in modules(&found) {
        let module = root.find(path);
        let runs = matches!(module, Some(Node::Leaf(leaf)) if leaf.stat.mode & 0o111 != 0);
        log.check(runs, "client-module", || {
            let what = if module.is_some() {
                "it is not a program"
            } else {
                "it is missing"
            };
            let text = format!("{what}, so the client cannot install root filesystems");
            (Location::partition(number).path(path), text)
        });
    }
    for path in found {
        match elf::missing(root, path) {
            Ok(missing) => {
                log.check(missing.is_empty(), "client-library", || {
                    (
                        Location::partition(number).path(path),
                        format!(
                            "it needs {}, which the image does not have",
                            missing.join(", ")
                        ),
                    )
                });
            }
            Err(text) => log.error(
                "client-program",
                Location::partition(number).path(path),
                text,
            ),
        }
    }
}
