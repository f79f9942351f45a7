//! How the device starts: the boot partition's first stage, its environment, the kernels that it
//! will look for.

use super::super::disk::{Disk, Roles, read};
use super::super::finding::{Location, Log};
use super::{grubenv, simulation, uboot, uboot_raw};
use crate::boot::state;
use crate::tree::{Tree, show};

/// What our first stage can be told by: it asks the slot for its kernel and arguments.
const OWN: &str = "mender-slot.env";

/// The boot partition. FAT does not tell upper and lower case apart, so neither do look-ups here.
pub(super) struct Boot<'d> {
    tree: &'d Tree,
    number: u32,
}

impl Boot<'_> {
    /// A file, by its path in any case.
    pub(super) fn read(&self, path: &str) -> Option<Vec<u8>> {
        read(self.tree, &self.real(path)?)
    }

    pub(super) fn place(&self, path: &str) -> Location {
        Location::partition(self.number).path(path)
    }

    fn real(&self, path: &str) -> Option<String> {
        let (real, _) = self.tree.find_ignore_case(path)?;
        Some(show(&real))
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.real(path).is_some()
    }

    /// The names in a directory.
    fn names(&self, path: &str) -> Vec<String> {
        let dir = self.real(path).and_then(|real| self.tree.dir(&real));
        dir.map_or_else(Vec::new, |dir| {
            dir.entries.keys().map(|name| show(name)).collect()
        })
    }
}

/// Checks the way from the firmware to a kernel.
pub(super) fn check(disk: &Disk, roles: &Roles, log: &mut Log) {
    let Some(root) = disk.files(roles.a).map(|files| &*files.tree) else {
        return;
    };
    let boot = roles.boot.and_then(|number| {
        Some(Boot {
            tree: &disk.files(number)?.tree,
            number,
        })
    });
    let Some(boot) = boot else {
        return log.error(
            "boot-missing",
            Location::whole(),
            "there is no boot partition that can be read",
        );
    };
    if uboot::is_ours(&boot, root) {
        uboot::check(disk, roles, &boot, root, log);
    } else if boot.has("/grub-mender-grubenv") || boot.has("/EFI") {
        grubenv::check(&boot, [roles.a, roles.b], log);
        let stage1 = first_stage(disk, roles, &boot, log);
        let loads = kernels(root, roles.a, stage1.as_deref(), log);
        if loads && stage1.is_some_and(|text| text.contains(OWN)) {
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

/// Everything that can happen to a device from here on, in the model that our first stage
/// implements.
fn simulate_updates(disk: &Disk, roles: &Roles, boot: &Boot<'_>, log: &mut Log) {
    let medium = grubenv::medium(boot, [roles.a, roles.b]);
    let outcome = simulation::simulate(medium, [true, disk.files(roles.b).is_some()], |values| {
        state::BlockPair::new([state::EnvCopy::clean(values); 2])
    });
    outcome.report(boot.place("/grub-mender-grubenv"), log);
}

/// The script that GRUB reads first; its PARTUUIDs are those of this disk. Returns its text.
fn first_stage(disk: &Disk, roles: &Roles, boot: &Boot<'_>, log: &mut Log) -> Option<String> {
    let programs = boot.names("/EFI/BOOT");
    let program = programs.iter().any(|name| {
        name.to_ascii_lowercase().starts_with("boot") && name.to_ascii_lowercase().ends_with(".efi")
    });
    log.check(program, "stage1-program", || {
        (
            boot.place("/EFI/BOOT"),
            format!("there is no BOOT*.EFI that firmware would start, only {programs:?}"),
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
    let known: Vec<String> = disk
        .parts
        .iter()
        .filter_map(|part| disk.table.partuuid(part.number))
        .collect();
    for (path, text) in &texts {
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
    let (path, all) = (
        texts.first()?.0,
        texts
            .iter()
            .map(|(_, text)| text.as_str())
            .collect::<Vec<_>>()
            .join("\n"),
    );
    let by_name = all.contains("mender_kernel_root_base=");
    let slots = [roles.a, roles.b].map(|number| disk.table.partuuid(number).unwrap_or_default());
    let named = by_name
        || partuuids(&all).is_empty()
        || slots
            .iter()
            .all(|id| all.to_lowercase().contains(id.as_str()));
    log.check(named, "stage1-slots", || {
        (
            boot.place(path),
            format!(
                "it does not name both slots ({} and {})",
                slots[0], slots[1]
            ),
        )
    });
    Some(all)
}

/// What a script sets variables of PARTUUIDs to: a GUID, or eight and two hexadecimal digits.
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

/// A kernel and its initrd, by their paths.
pub(super) type Pair = (String, Option<String>);

/// A kernel that GRUB will look for is there, with its initrd. True when one can start.
fn kernels(root: &Tree, number: u32, stage1: Option<&str>, log: &mut Log) -> bool {
    let menu = read(root, "/boot/grub-mender-grubenv.cfg")
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let own = stage1.is_some_and(|text| text.contains(OWN));
    let pairs = match menu {
        _ if own => own_pairs(root),
        Some(menu) => menu_pairs(&menu),
        None => vec![(
            "/boot/kernel".to_owned(),
            root.find_nofollow("/boot/initrd")
                .map(|_| "/boot/initrd".to_owned()),
        )],
    };
    loads(root, number, &pairs, log)
}

/// Whether a file is there and holds something.
pub(super) fn there(root: &Tree, path: &str) -> bool {
    root.file(path)
        .is_some_and(|content| crate::stream::ReadAt::len(content) > 0)
}

/// One of the kernels is there, with its initrd where it has one. True when one can start.
pub(super) fn loads(root: &Tree, number: u32, pairs: &[Pair], log: &mut Log) -> bool {
    let there = |path: &str| there(root, path);
    let bootable = pairs
        .iter()
        .any(|(kernel, initrd)| there(kernel) && initrd.as_deref().is_none_or(there));
    let kernel = pairs.iter().find(|(kernel, _)| there(kernel));
    let list = || {
        pairs
            .iter()
            .map(|(kernel, _)| kernel.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    if log.check(kernel.is_some(), "kernel-missing", || {
        (
            Location::partition(number),
            format!(
                "none of the kernels that will be looked for is there: {}",
                list()
            ),
        )
    }) {
        let (kernel, initrd) = kernel.cloned().unwrap_or_default();
        log.check(bootable, "initrd-missing", || {
            (
                Location::partition(number).path(kernel),
                format!("its initrd {} is not there", initrd.unwrap_or_default()),
            )
        });
    }
    bootable
}

/// What our first stage tries, in its order.
fn own_pairs(root: &Tree) -> Vec<Pair> {
    let pair = |kernel: &str, initrd: &str| (kernel.to_owned(), Some(initrd.to_owned()));
    let mut out = Vec::new();
    let slot = read(root, "/boot/mender-slot.env")
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    let value = |name: &str| {
        slot.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
            .filter(|value| !value.is_empty())
    };
    if let Some(kernel) = value("kernel") {
        out.push((
            format!("/{kernel}"),
            value("initrd").map(|initrd| format!("/{initrd}")),
        ));
    }
    out.push(pair("/vmlinuz", "/initrd.img"));
    out.push(pair("/boot/vmlinuz", "/boot/initrd.img"));
    out.push(pair("/vmlinuz.old", "/initrd.img.old"));
    let boot = root
        .dir("/boot")
        .map(|dir| {
            dir.entries
                .keys()
                .map(|name| show(name))
                .collect::<Vec<_>>()
        })
        .unwrap_or_default();
    for version in boot.iter().filter_map(|name| name.strip_prefix("vmlinuz-")) {
        out.push(pair(
            &format!("/boot/vmlinuz-{version}"),
            &format!("/boot/initrd.img-{version}"),
        ));
    }
    out
}

/// The kernels of a menu in GRUB's language.
fn menu_pairs(menu: &str) -> Vec<Pair> {
    let mut out: Vec<Pair> = Vec::new();
    for line in menu.lines() {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("linux" | "linuxefi"), Some(path)) => out.push((path.to_owned(), None)),
            (Some("initrd" | "initrdefi"), Some(path)) => {
                if let Some(last) = out.last_mut() {
                    last.1 = Some(path.to_owned());
                }
            }
            _ => {}
        }
    }
    out
}
