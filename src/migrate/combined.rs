//! Keys that several variables decide together.

use super::convert::Conversion;
use super::read::{Assigned, Place};
use super::values::{disk, number, partition, percent, size};
use crate::bundle;
use crate::config::quoted;
use crate::mender_convert::Unit;

/// The directory of partitions by ID.
const BY_ID: &str = "/dev/disk/by-partuuid/";

/// The variables of partitions, each with the key of its ID and its number on a converted disk.
const PARTITIONS: [(&str, &str, u32); 4] = [
    ("MENDER_BOOT_PART", "storage.ids.boot", 1),
    ("MENDER_ROOTFS_PART_A", "storage.ids.root-a", 2),
    ("MENDER_ROOTFS_PART_B", "storage.ids.root-b", 3),
    ("MENDER_DATA_PART", "storage.ids.data", 4),
];

/// Variables of parts of the update client and of add-ons: what asks for it, its packages, its
/// version.
const PARTS: [(&str, &[&str], &str); 8] = [
    (
        CLIENT,
        &["mender-auth", "mender-update"],
        "MENDER_CLIENT_VERSION",
    ),
    (CLIENT, &["mender-flash"], "MENDER_FLASH_VERSION"),
    (
        "MENDER_SETUP_INSTALL",
        &["mender-setup"],
        "MENDER_SETUP_VERSION",
    ),
    (
        "MENDER_SNAPSHOT_INSTALL",
        &["mender-snapshot"],
        "MENDER_SNAPSHOT_VERSION",
    ),
    (
        INVENTORY,
        &["mender-client-version-inventory-script"],
        "MENDER_CLIENT_VERSION_INVENTORY_SCRIPT_VERSION",
    ),
    (
        "MENDER_ADDON_CONNECT_INSTALL",
        &[CONNECT],
        "MENDER_ADDON_CONNECT_VERSION",
    ),
    (
        "MENDER_ADDON_CONFIGURE_INSTALL",
        &["mender-configure"],
        "MENDER_ADDON_CONFIGURE_VERSION",
    ),
    (
        "MENDER_DOCKER_COMPOSE_INSTALL",
        &["mender-docker-compose"],
        "MENDER_DOCKER_COMPOSE_VERSION",
    ),
];

/// Whether the client is installed.
const CLIENT: &str = "MENDER_CLIENT_INSTALL";

/// Whether the script that reports the client's version is installed.
const INVENTORY: &str = "MENDER_CLIENT_VERSION_INVENTORY_SCRIPT_INSTALL";

/// The add-on for terminals.
const CONNECT: &str = "mender-connect";

/// Versions that stand for the newest one.
const NEWEST: [&str; 3] = ["", "auto", "latest"];

/// Everything that several variables decide.
pub(super) fn all(conversion: &mut Conversion<'_>) {
    device(conversion);
    root_size(conversion);
    packages(conversion);
    board(conversion);
}

/// `storage.device` and the IDs.
fn device(conversion: &mut Conversion<'_>) {
    let by_id = conversion.value("MENDER_ENABLE_PARTUUID") == "y";
    let choice = conversion.assigned("MENDER_ENABLE_PARTUUID");
    if by_id && let Some(Assigned { place, .. }) = choice {
        conversion.set(
            "storage.device",
            "\"partuuid\"",
            "MENDER_ENABLE_PARTUUID",
            place,
            "",
        );
    }
    if !by_id {
        for name in ["MENDER_STORAGE_DEVICE", "MENDER_STORAGE_DEVICE_BASE"] {
            let assigned = conversion
                .assigned(name)
                .filter(|assigned| !assigned.value.is_empty());
            if let Some(Assigned { value, place }) = assigned {
                conversion.set("storage.device", &quoted(&disk(value)), name, place, "");
            }
        }
    }
    for (name, key, expected) in PARTITIONS {
        let assigned = conversion
            .assigned(name)
            .filter(|assigned| !assigned.value.is_empty());
        if let Some(assigned) = assigned {
            one_partition(conversion, name, key, expected, assigned, by_id);
        }
    }
    if let Some(Assigned { place, .. }) =
        choice.filter(|_| !by_id && !conversion.draft.has("storage.device"))
    {
        let base = quoted(&disk(conversion.value("MENDER_STORAGE_DEVICE_BASE")));
        let note = "the default disk of mender-convert; without this key, partitions are found by ID on any disk";
        conversion.set(
            "storage.device",
            &base,
            "MENDER_ENABLE_PARTUUID",
            place,
            note,
        );
    }
}

/// A partition: its ID, or its disk.
fn one_partition(
    conversion: &mut Conversion<'_>,
    name: &str,
    key: &str,
    expected: u32,
    assigned: &Assigned,
    by_id: bool,
) {
    let Assigned { value, place } = assigned;
    let found = match value.strip_prefix(BY_ID) {
        Some(id) if by_id => match id.split_once('-') {
            Some((disk, number)) if disk.len() == 8 && number.len() == 2 => {
                conversion.set("storage.disk-id", &quoted(disk), name, place, "");
                u32::from_str_radix(number, 16).ok()
            }
            _ => {
                conversion.set(key, &quoted(id), name, place, "");
                return;
            }
        },
        Some(_) => {
            let note =
                "mender-convert reads IDs only with MENDER_ENABLE_PARTUUID=y, and refuses this";
            return conversion.without_key(name, assigned, note);
        }
        None if by_id => {
            return conversion.refuse(name, assigned, "is not a path in /dev/disk/by-partuuid");
        }
        None => match partition(value) {
            Some((disk, number)) => {
                conversion.set("storage.device", &quoted(&disk), name, place, "");
                Some(number)
            }
            None => {
                let reason = format!("`{value}` is not a partition such as /dev/mmcblk0p2");
                return conversion.refuse(name, assigned, &reason);
            }
        },
    };
    if found != Some(expected) {
        let note = format!("its number on a converted disk is always {expected}");
        conversion.without_key(name, assigned, &note);
        conversion.warnings.push(format!("{place}: {name}: {note}"));
    }
}

/// `root.size` or `root.headroom`.
fn root_size(conversion: &mut Conversion<'_>) {
    let names = [
        "IMAGE_ROOTFS_SIZE",
        "IMAGE_ROOTFS_EXTRA_SPACE",
        "IMAGE_OVERHEAD_FACTOR",
    ];
    let [base, extra, factor] = names.map(|name| conversion.assigned(name));
    let kib = |conversion: &mut Conversion<'_>, name, assigned: Option<&Assigned>| {
        let Some(assigned) = assigned else { return 0 };
        number(&assigned.value).unwrap_or_else(|reason| {
            conversion.refuse(name, assigned, &reason);
            0
        })
    };
    let more = kib(conversion, names[1], extra);
    if let Some(base) = base {
        if base.value.trim() == "-1" {
            let whole = quoted("max");
            return conversion.set("root.size", &whole, names[0], &base.place, "");
        }
        let least = kib(conversion, names[0], Some(base));
        if least > 0 {
            let total = quoted(&size(least.saturating_add(more), Unit::Kib));
            let note = "fixed: mender-convert makes the filesystem larger where its files need it, goldsmith refuses them then";
            return conversion.set("root.size", &total, names[0], &base.place, note);
        }
    }
    let percentage = percent(conversion.value(names[2]));
    let percentage = match (percentage, factor) {
        (Ok(percentage), _) => percentage,
        (Err(reason), Some(factor)) => return conversion.refuse(names[2], factor, &reason),
        (Err(_), None) => return,
    };
    if let Some(extra) = extra.filter(|_| more > 0) {
        let room = quoted(&size(more, Unit::Kib));
        let note = format!(
            "mender-convert takes the larger of this and {percentage} % of the files (IMAGE_OVERHEAD_FACTOR)"
        );
        conversion.set("root.headroom", &room, names[1], &extra.place, &note);
    } else if let Some(factor) = factor {
        let room = quoted(&format!("{percentage} %"));
        conversion.set("root.headroom", &room, names[2], &factor.place, "");
    }
}

/// `client.packages`, `client.bundle` and `client.install`.
fn packages(conversion: &mut Conversion<'_>) {
    let inputs = own(conversion, "MENDER_INSTALL_INPUT_PACKAGES", "y");
    if let Some(Assigned { place, .. }) = inputs {
        let directory = conversion
            .value("MENDER_INSTALL_INPUT_PACKAGES_PATH")
            .trim_end_matches('/');
        let list = format!("[{}]", quoted(&format!("{directory}/*.deb")));
        let name = "MENDER_INSTALL_INPUT_PACKAGES";
        conversion.set("client.packages", &list, name, place, "");
    }
    let wanted = |name: &str| matches!(conversion.value(name), "y" | "auto");
    let client = wanted(CLIENT);
    let bundle = if client {
        bundle_of_client(conversion)
    } else {
        None
    };
    let mut install = Vec::new();
    let mut origins = Vec::new();
    for (asks, packages, version) in PARTS {
        let asked = match asks {
            // Parts of the client, which come with it alone.
            "MENDER_SETUP_INSTALL" | "MENDER_SNAPSHOT_INSTALL" => client && wanted(asks),
            INVENTORY => client && conversion.value(asks) == "y",
            _ => wanted(asks),
        };
        let version = conversion.value(version);
        let newest = NEWEST.contains(&version);
        // The client requires the program that writes Artifacts, and recommends the script.
        let comes_along = newest && (asks == CLIENT || asks == INVENTORY) && bundle.is_some();
        if asked && !comes_along {
            install.extend(packages.iter().map(|package| match newest {
                true => (*package).to_owned(),
                // What follows is the revision of the package.
                false if version.contains('-') => format!("{package}={version}*"),
                false => format!("{package}={version}-*"),
            }));
            origins.push(asks);
        }
    }
    let shell = "MENDER_ADDON_SHELL_INSTALL";
    if conversion.value(shell) == "y" && !install.iter().any(|entry| entry.starts_with(CONNECT)) {
        install.push(CONNECT.to_owned());
        origins.push(shell);
    }
    if client && bundle.is_none() {
        return from_files(conversion, &install, inputs.is_some());
    }
    if !client && install.is_empty() && inputs.is_none() {
        // The golden image may have a client, but it need not.
        set_by_default(conversion, "client.required", "false", &[CLIENT]);
    }
    if let Some(bundle) = bundle {
        set_by_default(conversion, "client.bundle", &quoted(bundle), &[CLIENT]);
    }
    if !install.is_empty() {
        let list: Vec<String> = install.iter().map(|entry| quoted(entry)).collect();
        let list = format!("[{}]", list.join(", "));
        set_by_default(conversion, "client.install", &list, &origins);
        if bundle.is_none() {
            let text = "Name the repositories of these packages too: [[repository]] with preset = \"image\", and one with preset = \"mender\".";
            conversion.draft.comment("client", text);
        }
    }
    if bundle.is_some() || !install.is_empty() {
        let text = "The packages are chosen and downloaded before a conversion: `goldsmith lock -c FILE IMAGE`, then `goldsmith fetch -c FILE`.";
        conversion.draft.comment("client", text);
    }
}

/// The bundle of a repository that has the client in the version that is asked for.
fn bundle_of_client(conversion: &Conversion<'_>) -> Option<&'static str> {
    let version = conversion.value("MENDER_CLIENT_VERSION");
    let bundle = if NEWEST.contains(&version) {
        bundle::bundles().last()
    } else {
        bundle::of_client(version.parse().ok()?)
    };
    let bundle = bundle.filter(|bundle| bundle.repository.is_some())?;
    Some(&bundle.name)
}

/// Sets a key that follows from variables, most of which have a default.
fn set_by_default(conversion: &mut Conversion<'_>, key: &str, value: &str, names: &[&str]) {
    let assigned = names
        .iter()
        .find_map(|name| Some((*name, conversion.assigned(name)?)));
    match assigned {
        Some((name, Assigned { place, .. })) => conversion.set(key, value, name, place, ""),
        None => {
            let place = Place {
                file: "its default".to_owned(),
                ..Place::default()
            };
            conversion.set(key, value, names.first().unwrap_or(&""), &place, "");
        }
    }
}

/// Says which packages must be given as files: no bundle has them.
fn from_files(conversion: &mut Conversion<'_>, packages: &[String], inputs: bool) {
    let place = if inputs {
        "into the directory above, or another one in the list"
    } else {
        "into a directory, and name it: packages = [\"client/*.deb\"]"
    };
    let version = conversion.value("MENDER_CLIENT_VERSION");
    let list = packages.join(", ");
    conversion.draft.comment(
        "client",
        format!("No bundle has the client in version {version}: `client.bundle` cannot install it. Put its packages ({list}) and the dependencies that the golden image lacks {place}; or choose a bundle (docs/client.md)."),
    );
    conversion.warnings.push(format!(
        "no bundle has version {version} of the client: its packages must be given as files in client.packages: {list}"
    ));
}

/// What a configuration for a Raspberry Pi requires of the golden image.
fn board(conversion: &mut Conversion<'_>) {
    let required = [
        ("RASPBERRYPI_OS_NEEDS_32BIT", "armhf"),
        ("RASPBERRYPI_OS_NEEDS_64BIT", "arm64"),
    ];
    for (name, architecture) in required {
        if let Some(Assigned { place, .. }) = own(conversion, name, "y") {
            let list = format!("[{}]", quoted(architecture));
            conversion.set("board.architecture", &list, name, place, "");
        }
    }
    let release = conversion.assigned("RASPBERRYPI_OS_REQUIRED_ID");
    if let Some(Assigned { value, place }) =
        release.filter(|release| !release.value.is_empty() && !converted(&release.place))
    {
        conversion.set(
            "board.release",
            &format!("[{}]", quoted(value)),
            "RASPBERRYPI_OS_REQUIRED_ID",
            place,
            "",
        );
    }
}

/// The variable `name`, if a file of the user sets it to `value`.
fn own<'r>(conversion: &Conversion<'r>, name: &str, value: &str) -> Option<&'r Assigned> {
    conversion
        .assigned(name)
        .filter(|assigned| assigned.value == value && !converted(&assigned.place))
}

/// Whether the place is in a file whose board has the setting.
fn converted(place: &Place) -> bool {
    place.board.is_some()
}
