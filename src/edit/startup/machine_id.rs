//! `/etc/machine-id` (`machine-id(5)`): without it, or with `uninitialized` in it, each start of a
//! new root filesystem is a first boot to systemd, so every update would be one.

use super::note::StartupNote;
use super::units::{Unit, started};
use crate::stream::ReadAt as _;
use crate::tree::edit::EditError;
use crate::tree::editor::TreeEditor;
use crate::tree::{LeafKind, Node, Tree};

const PATH: &str = "/etc/machine-id";
/// Where `dbus` keeps an id, which systemd takes for that of a machine that has none.
const DBUS: &str = "/var/lib/dbus/machine-id";
/// Services of systemd itself for the first boot, which change nothing that a golden image lacks.
const SYSTEMD: [&str; 2] = ["systemd-firstboot.service", "first-boot-complete.target"];

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MachineId {
    /// An id: all devices will have it.
    Set,
    /// An empty file: each start of a new root filesystem makes an id, and is not a first boot.
    Empty,
    /// It does not exist.
    Missing,
    /// It has no valid id.
    Uninitialized,
}

fn state(root: &Tree) -> MachineId {
    let Ok(Some(bytes)) = root.read(PATH, super::TEXT_LIMIT) else {
        return MachineId::Missing;
    };
    let text = String::from_utf8_lossy(&bytes);
    let id = text.trim();
    match id {
        "" => MachineId::Empty,
        _ if id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) => MachineId::Set,
        _ => MachineId::Uninitialized,
    }
}

/// Makes the file empty, unless it has an id. Returns notes.
pub(super) fn repair(root: &mut TreeEditor<'_>) -> Result<Vec<StartupNote>, EditError> {
    let mut notes = Vec::new();
    let state = state(root.tree());
    let reason = "with an empty file, a new root filesystem is not a first boot";
    let why = match state {
        MachineId::Set | MachineId::Empty => None,
        MachineId::Missing => Some("does not exist"),
        MachineId::Uninitialized => Some("has no id"),
    };
    if let Some(why) = why {
        if root.tree().find_nofollow(PATH).is_some() {
            root.remove(PATH, reason)?;
        }
        root.file(PATH, "", 0o444, reason)?;
        let note = format!(
            "{PATH} {why}: each update would be a first boot; it is an empty file now, and each root filesystem makes an id on its first start"
        );
        notes.push(StartupNote::of(PATH, 0, note));
    }
    if state != MachineId::Set {
        one_id(root, &mut notes)?;
    }
    first_boot_units(root, &mut notes)?;
    Ok(notes)
}

/// Makes the id of `dbus` that of the machine: systemd would give it to all devices.
fn one_id(root: &mut TreeEditor<'_>, notes: &mut Vec<StartupNote>) -> Result<(), EditError> {
    let is_file = match root.tree().find_nofollow(DBUS) {
        Some(Node::Leaf(leaf)) => {
            matches!(&leaf.kind, LeafKind::File(content) if content.len() > 0)
        }
        _ => false,
    };
    if is_file {
        let reason = "systemd would take the id in it for that of every device";
        root.symlink(DBUS, PATH, reason)?;
        let note = format!("{DBUS} is a link to {PATH} now: {reason}");
        notes.push(StartupNote::of(DBUS, 0, note));
    }
    Ok(())
}

/// Units that run on a first boot only: host keys are made without one, others are named.
fn first_boot_units(
    root: &mut TreeEditor<'_>,
    notes: &mut Vec<StartupNote>,
) -> Result<(), EditError> {
    let (mut left, mut first) = (Vec::new(), None);
    for name in started(root.tree()) {
        let Some(unit) = Unit::load(root.tree(), &name) else {
            continue;
        };
        if !unit.is_for_first_boot() || SYSTEMD.contains(&name.as_str()) {
            continue;
        }
        if name == "sshd-keygen.service" {
            keys(root, &name, notes)?;
        } else {
            first.get_or_insert_with(|| unit.file.clone());
            left.push(format!("{name} ({})", unit.file));
        }
    }
    if let Some(first) = first {
        let note = format!(
            "no start is a first boot to systemd, so these units with ConditionFirstBoot= never run: {}; give them a condition of their own, such as ConditionPathExists=!/data/done, or do their work in the golden image",
            left.join(", ")
        );
        notes.push(StartupNote::of(&first, 0, note));
    }
    Ok(())
}

/// Lets the service that makes host keys run whenever a key is missing.
fn keys(
    root: &mut TreeEditor<'_>,
    name: &str,
    notes: &mut Vec<StartupNote>,
) -> Result<(), EditError> {
    let path = format!("/etc/systemd/system/{name}.d/mender.conf");
    let text = "# No start is a first boot: see machine-id(5).\n[Unit]\nConditionFirstBoot=\nConditionPathExists=!/etc/ssh/ssh_host_ed25519_key\n";
    let reason = "makes host keys on the first start of each root filesystem";
    let known = root.tree().find_nofollow(&path).is_some();
    root.file(&path, text, 0o644, reason)?;
    if !known {
        let note = format!("{name} runs whenever host keys are missing, not on a first boot only");
        notes.push(StartupNote::of(&path, 0, note));
    }
    Ok(())
}
