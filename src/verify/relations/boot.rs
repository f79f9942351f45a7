//! The boot process: the first stage on the boot partition, its environment, and the kernels that
//! it looks for.

use super::super::disk::{Disk, Roles};
use super::super::finding::{Location, Log};
use super::boot_partition::BootPartition;
use super::{
    arguments, autoboot, grubenv, kernels, simulation, tryboot, tryboot_partitions, uboot,
    uboot_raw,
};
use crate::boot::state;

/// The mark of our first stage: it reads kernel and arguments from this file of the slot.
const OWN: &str = "mender-slot.env";

/// Checks the boot process from the firmware to a kernel.
pub(super) fn check(disk: &Disk, roles: &Roles, log: &mut Log) {
    let Some(root) = disk.files(roles.a).map(|files| &*files.tree) else {
        return;
    };
    let boot = roles.boot.and_then(|number| {
        Some(BootPartition {
            tree: &disk.files(number)?.tree,
            number,
        })
    });
    let Some(boot) = boot else {
        return log.error(
            "boot-missing",
            Location::whole(),
            "there is no readable boot partition",
        );
    };
    autoboot::check(&boot, tryboot::is_ours(&boot, root), log);
    if tryboot_partitions::is_ours(root) {
        tryboot_partitions::check(disk, roles, root, log);
    } else if tryboot::is_ours(&boot, root) {
        tryboot::check(disk, roles, &boot, root, log);
    } else if uboot::is_ours(&boot, root) {
        uboot::check(disk, roles, &boot, root, log);
    } else if boot.has("/grub-mender-grubenv") || boot.has("/EFI") {
        grubenv::check(&boot, [roles.a, roles.b], log);
        let stage1 = first_stage(disk, roles, &boot, log);
        let own = stage1.is_some_and(|text| text.contains(OWN));
        if kernels::check_grub(root, roles.a, own, log) && own {
            arguments::check(root, roles.a, &boot, log);
            simulate_updates(disk, roles, &boot, log);
        }
    } else if root.file("/etc/fw_env.config").is_some() {
        uboot_raw::check(disk, roles, &boot, root, log);
    } else {
        log.error(
            "boot-missing",
            Location::partition(boot.number),
            "nothing on the boot partition chooses between the slots (no EFI, no grub-mender-grubenv)",
        );
    }
}

/// Simulates every sequence of updates and power cuts, in the model that our first stage
/// implements.
fn simulate_updates(disk: &Disk, roles: &Roles, boot: &BootPartition<'_>, log: &mut Log) {
    let medium = grubenv::medium(boot, [roles.a, roles.b]);
    let outcome = simulation::simulate(medium, [true, disk.files(roles.b).is_some()], |values| {
        state::BlockPair::new([state::EnvCopy::clean(values); 2])
    });
    outcome.report(boot.place("/grub-mender-grubenv"), log);
}

/// Checks the scripts that GRUB reads first and returns their text.
fn first_stage(
    disk: &Disk,
    roles: &Roles,
    boot: &BootPartition<'_>,
    log: &mut Log,
) -> Option<String> {
    let programs = boot.names("/EFI/BOOT");
    let program = programs.iter().any(|name| {
        name.to_ascii_lowercase().starts_with("boot") && name.to_ascii_lowercase().ends_with(".efi")
    });
    log.check(program, "stage1-program", || {
        (
            boot.place("/EFI/BOOT"),
            format!("there is no BOOT*.EFI for the firmware to start, only {programs:?}"),
        )
    });
    let paths = ["/EFI/BOOT/grub.cfg", "/grub-mender-grubenv/grub.cfg"];
    let texts: Vec<(&str, String)> = paths
        .into_iter()
        .filter_map(|path| {
            Some((
                path,
                String::from_utf8_lossy(&boot.read(path)?).into_owned(),
            ))
        })
        .collect();
    log.check(!texts.is_empty(), "stage1-missing", || {
        (
            boot.place(paths[0]),
            "there is no script that chooses between the slots".into(),
        )
    });
    stage1_slots(disk, roles, boot, &texts, log);
    let texts: Vec<String> = texts.into_iter().map(|(_, text)| text).collect();
    (!texts.is_empty()).then(|| texts.join("\n"))
}

/// Checks that the PARTUUIDs in the scripts are those of this disk, and that both slots are named.
fn stage1_slots(
    disk: &Disk,
    roles: &Roles,
    boot: &BootPartition<'_>,
    texts: &[(&str, String)],
    log: &mut Log,
) {
    let known: Vec<String> = disk
        .parts
        .iter()
        .filter_map(|part| disk.table.partuuid(part.number))
        .collect();
    for (path, text) in texts {
        for id in partuuids(text) {
            let ours = known.contains(&id.to_lowercase());
            log.check(ours, "stage1-partuuid", || {
                (
                    boot.place(path),
                    format!("it names PARTUUID {id}, the disk has {}", known.join(", ")),
                )
            });
        }
    }
    let Some((path, _)) = texts.first() else {
        return;
    };
    let names = |id: &String| {
        texts
            .iter()
            .any(|(_, text)| text.to_lowercase().contains(id.as_str()))
    };
    let by_name = texts
        .iter()
        .any(|(_, text)| text.contains("mender_kernel_root_base="));
    let without_ids = texts.iter().all(|(_, text)| partuuids(text).is_empty());
    let slots = [roles.a, roles.b].map(|number| disk.table.partuuid(number).unwrap_or_default());
    let named = by_name || without_ids || slots.iter().all(names);
    log.check(named, "stage1-slots", || {
        (
            boot.place(path),
            format!(
                "it does not name both slots ({} and {})",
                slots[0], slots[1]
            ),
        )
    });
}

/// The PARTUUIDs that a script assigns to variables: GUIDs, or eight and two hexadecimal digits.
fn partuuids(text: &str) -> Vec<&str> {
    let groups: [&[usize]; 2] = [&[8, 4, 4, 4, 12], &[8, 2]];
    let is_id = |word: &&str| {
        let parts: Vec<&str> = word.split('-').collect();
        let hex = parts
            .iter()
            .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_hexdigit()));
        hex && groups.iter().any(|group| {
            parts
                .iter()
                .map(|part| part.len())
                .eq(group.iter().copied())
        })
    };
    let sets = |line: &&str| {
        line.split_once('=')
            .is_some_and(|(name, _)| name.contains("uuid"))
            && !line.contains("search")
    };
    let lines = text.lines().filter(sets);
    lines
        .flat_map(|line| line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')))
        .filter(is_id)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partuuids_are_those_of_assignments() {
        let guid = "6f1a8c1e-5a0b-4d3e-9c55-0123456789ab";
        let text = format!(
            "set uuid_a={guid}\nmender_rootfsb_uuid=12345678-02\nsearch --fs-uuid=12345678-03\nother={guid}\nuuid=12345-02\n"
        );
        assert_eq!(partuuids(&text), [guid, "12345678-02"]);
    }
}
