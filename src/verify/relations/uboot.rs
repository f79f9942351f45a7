//! Devices that boot with U-Boot and our script: the script, the environment in its two files, the
//! tools that share it, and the files that the firmware of a Raspberry Pi reads.

use super::super::disk::{Disk, Roles, read};
use super::super::finding::{Location, Log};
use super::boot_partition::BootPartition;
use super::{fstab, raspberry_pi, simulation, slot_env};
use crate::boot::state::{SerialCopy, SerialPair};
use crate::boot::state::{Slot, Values};
use crate::boot::uboot::FIRST;
use crate::boot::uboot::environment::{FILES, SIZE, decode};
use crate::boot::uboot::header;
use crate::tree::Tree;

/// Whether this check applies: one of the files exists, or the configuration of the tools names
/// one.
pub(super) fn is_ours(boot: &BootPartition<'_>, root: &Tree) -> bool {
    let config = read(root, "/etc/fw_env.config").unwrap_or_default();
    FILES
        .iter()
        .any(|path| boot.has(path) || String::from_utf8_lossy(&config).contains(path))
}

/// Checks the boot process from U-Boot to a kernel.
pub(super) fn check(
    disk: &Disk,
    roles: &Roles,
    boot: &BootPartition<'_>,
    root: &Tree,
    log: &mut Log,
) {
    script(disk, roles, boot, log);
    let pair = environment(boot, [roles.a, roles.b], log);
    tools(disk, roles, root, log);
    if boot.has("/config.txt") {
        raspberry_pi::check(boot, root, log);
    }
    let loads = slot_env::check(disk, roles, boot, log);
    if !loads[0] {
        return;
    }
    let committed =
        |values| SerialPair::new([0, 1].map(|serial| Some(SerialCopy::good(serial, values))));
    let outcome = simulation::simulate(pair, loads, committed);
    outcome.report(boot.place("/mender"), log);
}

/// The script is intact and names the slots of this disk.
pub(super) fn script(disk: &Disk, roles: &Roles, boot: &BootPartition<'_>, log: &mut Log) {
    let path = "/boot.scr";
    let text = boot
        .read(path)
        .map(|image| header::unwrap(&image).map_err(|e| e.to_string()));
    let text = text.unwrap_or_else(|| Err("the file is missing".into()));
    let Ok(text) = text.map_err(|e| log.error("uboot-script", boot.place(path), e)) else {
        return;
    };
    log.passed(1);
    let slots = [roles.a, roles.b].map(|number| disk.table.partuuid(number).unwrap_or_default());
    log.check(
        slots.iter().all(|id| text.contains(id.as_str())),
        "uboot-slots",
        || {
            (
                boot.place(path),
                format!(
                    "it does not name both slots ({} and {})",
                    slots[0], slots[1]
                ),
            )
        },
    );
    let first = FIRST.into_iter().find(|path| boot.has(path));
    log.check(first.is_none(), "uboot-script", || {
        (
            boot.place(first.unwrap_or_default()),
            "U-Boot starts this instead of the script that chooses the root filesystem".into(),
        )
    });
}

/// Both copies are valid, and the newer one selects slot A. Returns them in the model of the state
/// machine.
fn environment(boot: &BootPartition<'_>, slots: [u32; 2], log: &mut Log) -> SerialPair {
    let pair = SerialPair::new(FILES.map(|path| {
        let bytes = boot.read(path).unwrap_or_default();
        let found = decode(&bytes).filter(|_| bytes.len() == SIZE);
        let sound = log.check(found.is_some(), "uboot-env", || {
            (
                boot.place(path),
                format!(
                    "it is not a copy of the environment: {} bytes, not {SIZE}, or a wrong checksum",
                    bytes.len()
                ),
            )
        });
        let (serial, variables) = found.filter(|_| sound)?;
        let get = |name: &str| variables.get(name).map(String::as_str).unwrap_or_default();
        let bit = |name: &str| {
            ["0", "1"]
                .iter()
                .position(|known| *known == get(name))
                .map(|at| at == 1)
        };
        let part = [Slot::A, Slot::B]
            .into_iter()
            .zip(slots)
            .find(|(_, number)| number.to_string() == get("mender_boot_part"));
        let hex = part.is_some_and(|(_, number)| {
            format!("{number:x}") == get("mender_boot_part_hex").to_lowercase()
        });
        let values = (|| {
            Some(Values {
                part: part?.0,
                upgrade: bit("upgrade_available")?,
                count: bit("bootcount")?,
            })
        })();
        log.check(values.is_some() && hex, "uboot-values", || {
            let names = [
                "mender_boot_part",
                "mender_boot_part_hex",
                "upgrade_available",
                "bootcount",
            ];
            let all: Vec<String> = names
                .iter()
                .map(|name| format!("{name}={}", get(name)))
                .collect();
            (
                boot.place(path),
                format!(
                    "values are out of range or inconsistent: {}",
                    all.join(" ")
                ),
            )
        });
        Some(SerialCopy { serial, values })
    }));
    if let Some(newest) = pair.newest() {
        let copy = pair.copies.get(newest).copied().flatten();
        let values = copy.and_then(|copy| copy.values);
        let path = FILES.get(newest).copied().unwrap_or_default();
        log.check(
            values == Some(Values::committed(Slot::A)),
            "uboot-slot",
            || {
                (
                    boot.place(path),
                    format!(
                        "it does not select slot A ({}) without an update, as on a fresh device",
                        slots[0]
                    ),
                )
            },
        );
    }
    pair
}

/// The client's tools exist, and their configuration names both files.
fn tools(disk: &Disk, roles: &Roles, root: &Tree, log: &mut Log) {
    let config = "/etc/fw_env.config";
    let place = || Location::partition(roles.a).path(config);
    let text = String::from_utf8_lossy(&read(root, config).unwrap_or_default()).into_owned();
    let mount = fstab::boot_mount(disk, roles).unwrap_or_default();
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .map(|line| line.split_whitespace().collect());
    let lines: Vec<Vec<&str>> = lines
        .filter(|words: &Vec<&str>| !words.is_empty())
        .collect();
    let due = FILES.map(|path| format!("{mount}{path}"));
    let number = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    let fits = lines.len() == 2
        && lines.iter().zip(&due).all(|(words, path)| {
            words.first() == Some(&path.as_str())
                && words.get(1).and_then(|offset| number(offset)) == Some(0)
                && words
                    .get(2)
                    .and_then(|size| number(size))
                    .and_then(|size| usize::try_from(size).ok())
                    == Some(SIZE)
        });
    log.check(fits, "uboot-tools", || {
        (
            place(),
            format!(
                "it does not name {} and {} with {SIZE:#x} bytes each",
                due[0], due[1]
            ),
        )
    });
    programs(roles, root, log);
}

/// The programs that the client uses to access the environment.
pub(super) fn programs(roles: &Roles, root: &Tree, log: &mut Log) {
    let place = || Location::partition(roles.a).path("/etc/fw_env.config");
    let missing = ["fw_printenv", "fw_setenv"]
        .into_iter()
        .find(|name| !crate::golden::facts::program(root, name));
    log.check(missing.is_none(), "uboot-tools", || {
        (
            place(),
            format!(
                "{} is missing, which the update client needs",
                missing.unwrap_or_default()
            ),
        )
    });
    log.check(!crate::golden::facts::program(root, "grub-mender-grubenv-print"), "uboot-tools", || {
        (place(), "the update client would use grub-mender-grubenv-print as the tool of this boot loader".into())
    });
}
