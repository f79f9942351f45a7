//! Services of known tools that act on the first start, and what becomes of them.

use super::units::{Unit, enabling_links, names_in};
use crate::tree::edit::EditError;
use crate::tree::editor::TreeEditor;
use crate::tree::{Tree, show};

/// The kind of a known service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It grows the root filesystem or its partition.
    Resizer,
    /// It sets the system up on its first start and restarts.
    FirstBoot,
    /// It writes firmware that no rollback takes back.
    Firmware,
    /// It asks a person for something on the first start.
    Wizard,
    /// It is part of the conversion, or was decided before.
    Ours,
}

/// The services, by name without `.service`, and their origin.
const SERVICES: [(&str, Kind, &str); 24] = [
    ("rpi-resize", Kind::Resizer, "Raspberry Pi OS"),
    ("raspi-resize", Kind::Resizer, "Raspberry Pi OS"),
    ("resize2fs_once", Kind::Resizer, "Raspberry Pi OS"),
    (
        "rpi-set-sysconf",
        Kind::Resizer,
        "Raspberry Pi images of Debian",
    ),
    (
        "rpi-resizerootfs",
        Kind::Resizer,
        "Raspberry Pi images of Debian",
    ),
    ("armbian-resize-filesystem", Kind::Resizer, "Armbian"),
    (
        "orangepi-resize-filesystem",
        Kind::Resizer,
        "Orange Pi images",
    ),
    ("grow_partition", Kind::Resizer, "BeagleBoard.org images"),
    ("resize_filesystem", Kind::Resizer, "BeagleBoard.org images"),
    ("dietpi-fs_partition_resize", Kind::Resizer, "DietPi"),
    ("dietpi-fs_expand", Kind::Resizer, "DietPi"),
    ("systemd-growfs-root", Kind::Resizer, "systemd"),
    ("systemd-growfs@-", Kind::Resizer, "systemd"),
    ("sdm-firstboot", Kind::FirstBoot, "sdm"),
    ("rpi-eeprom-update", Kind::Firmware, "Raspberry Pi OS"),
    ("userconfig", Kind::Wizard, "Raspberry Pi OS"),
    ("nv-oem-config", Kind::Wizard, "Jetson Linux"),
    ("nv-oem-config-gui", Kind::Wizard, "Jetson Linux"),
    ("nv-oem-config-debconf", Kind::Wizard, "Jetson Linux"),
    ("oem-config", Kind::Wizard, "Ubuntu"),
    // It acts by definitions, which are looked at on their own.
    ("systemd-repart", Kind::Ours, ""),
    ("mender-grow-data", Kind::Ours, ""),
    ("mender-ubootenv", Kind::Ours, ""),
    ("mender-grubenv", Kind::Ours, ""),
];

/// The kind and the origin of a service; `files` are those that it runs.
pub(super) fn service(name: &str, files: &[String]) -> Option<(Kind, &'static str)> {
    let name = name.trim_end_matches(".service");
    let known = SERVICES.iter().find(|(service, ..)| *service == name);
    let of_sdm =
        |path: &String| path.starts_with("/usr/local/sdm/") || path.starts_with("/etc/sdm/");
    match known {
        Some((_, kind, origin)) => Some((*kind, origin)),
        None if files.iter().any(of_sdm) => Some((Kind::FirstBoot, "sdm")),
        None => None,
    }
}

/// Whether a name says that the service grows the root filesystem or its partition.
pub(super) fn names_resizing(name: &str) -> bool {
    let name = name.to_lowercase();
    let does = ["resize", "grow", "expand", "repart"];
    let what = [
        "fs", "root", "part", "disk", "card", "storage", "sd", "emmc",
    ];
    does.iter().any(|word| name.contains(word)) && what.iter().any(|word| name.contains(word))
}

/// Takes away whatever starts the unit.
pub(super) fn disable(
    root: &mut TreeEditor<'_>,
    name: &str,
    reason: &str,
) -> Result<(), EditError> {
    let (links, elsewhere) = enabling_links(root.tree(), name);
    let own = format!("/etc/systemd/system/{name}");
    for link in &links {
        root.remove(link, reason)?;
    }
    let still = elsewhere || super::units::started(root.tree()).contains(name);
    if still && Unit::load(root.tree(), name).is_some() {
        // Masked, as by `systemctl mask`.
        root.symlink(own, "/dev/null", reason)?;
    }
    Ok(())
}

/// Takes away the links that start a script of SysV init.
pub(super) fn disable_sysv(
    root: &mut TreeEditor<'_>,
    name: &str,
    reason: &str,
) -> Result<(), EditError> {
    for level in ["0", "1", "2", "3", "4", "5", "6", "S"] {
        let dir = format!("/etc/rc{level}.d");
        let is_link = |link: &String| {
            link.get(1..)
                .map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()))
                == Some(name)
        };
        for link in names_in(root.tree(), &dir).filter(is_link) {
            root.remove(format!("{dir}/{link}"), reason)?;
        }
    }
    Ok(())
}

/// The definitions of `systemd-repart(8)`, which would change the partitions at each start.
pub(super) fn repart_definitions(root: &Tree) -> Vec<String> {
    let mut out = Vec::new();
    for dir in [
        "/etc/repart.d",
        "/usr/local/lib/repart.d",
        "/usr/lib/repart.d",
    ] {
        let Some(found) = root.dir(dir) else { continue };
        let names = found.entries.keys().map(|name| show(name));
        out.extend(
            names
                .filter(|name| name.ends_with(".conf"))
                .map(|name| format!("{dir}/{name}")),
        );
    }
    out
}
