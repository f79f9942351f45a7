//! The origin of a golden image: who made it and what starts it, found by content, never by
//! position.

use crate::golden::bootloader::has_raspberry_firmware;
use crate::golden::facts::Facts;
use crate::platform::{Architecture, Firmware};
use crate::tree::edit::EditError;
use crate::tree::{DirEntry, Tree, show};
use serde::Serialize;

/// Firmware that can start an image, and the evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Start {
    /// The firmware that finds something to start.
    pub firmware: Firmware,
    /// The file that shows it.
    pub evidence: String,
    /// Whether a boot loader that goldsmith knows is there, not only some program.
    #[serde(skip)]
    pub known: bool,
}

/// The tool that built the image, the board it was built for, and the firmware that starts it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Origin {
    /// The maker's name for its images, such as `Raspberry Pi OS`; `None` if unknown.
    pub maker: Option<String>,
    /// The maker's name for the board; `None` if unknown.
    pub model: Option<String>,
    /// Every firmware that can start it.
    pub starts: Vec<Start>,
    /// Another A/B update scheme that the image uses, and the file that shows it.
    pub own_scheme: Option<String>,
}

impl Origin {
    /// Whether that scheme is the one of the Raspberry Pi's firmware with two boot partitions.
    #[must_use]
    pub fn has_boot_partitions(&self) -> bool {
        let scheme = self.own_scheme.as_ref();
        scheme.is_some_and(|scheme| scheme.starts_with(BOOT_PARTITIONS))
    }

    /// Every firmware that can start it, without the evidence.
    #[must_use]
    pub fn firmware(&self) -> Vec<Firmware> {
        self.starts.iter().map(|start| start.firmware).collect()
    }
}

/// The size limit of text files that are read (bytes).
const TEXT: u64 = 1 << 16;

/// The first FAT partition of a disk, from which the firmware of a Raspberry Pi takes
/// `autoboot.txt`: its number and its files.
pub type FirstFat<'t> = Option<(u32, &'t Tree)>;

/// Gathers the origin from the root filesystem and, if there are any, the boot partition and the
/// first FAT partition.
///
/// # Errors
/// I/O errors of the files that are read.
pub fn gather(
    facts: &Facts,
    root: &Tree,
    boot: Option<&Tree>,
    first: FirstFat<'_>,
) -> Result<Origin, EditError> {
    let (maker, model) = maker(facts, root)?;
    Ok(Origin {
        maker,
        model,
        starts: starts(facts, root, boot),
        own_scheme: own_scheme(root, first)?,
    })
}

fn text(tree: &Tree, path: &str) -> Result<Option<String>, EditError> {
    Ok(tree
        .read(path, TEXT)?
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// The maker, recognised by files that only its images have, and its name for the board.
fn maker(facts: &Facts, root: &Tree) -> Result<(Option<String>, Option<String>), EditError> {
    if let Some(release) = text(root, "/etc/armbian-release")? {
        let board = release
            .lines()
            .find_map(|line| line.strip_prefix("BOARD="))
            .map(|name| name.trim().trim_matches('"').to_owned());
        return Ok((Some("Armbian".into()), board));
    }
    let name = if root.file("/etc/rpi-issue").is_some() || facts.os.id == "raspbian" {
        "Raspberry Pi OS"
    } else if root.file("/etc/dogtag").is_some() {
        "BeagleBoard.org"
    } else if facts.os.id == "ubuntu" {
        "Ubuntu"
    } else if facts.os.id == "debian" && root.file("/etc/cloud/cloud.cfg").is_some() {
        "Debian cloud"
    } else {
        return Ok((None, None));
    };
    Ok((Some(name.to_owned()), None))
}

/// Every firmware that finds something to start, and what it finds.
fn starts(facts: &Facts, root: &Tree, boot: Option<&Tree>) -> Vec<Start> {
    let known = |evidence: String| (evidence, true);
    let is_pc = facts.architecture.is_some_and(Architecture::is_pc);
    let bios = || bios_grub(root).or_else(|| syslinux(root, boot).filter(|_| is_pc));
    let found = [
        (Firmware::Uefi, efi_program(facts.architecture, root, boot)),
        (Firmware::Bios, bios().map(known)),
        (
            Firmware::RaspberryPi,
            boot.filter(|tree| has_raspberry_firmware(tree))
                .map(|_| known("config.txt on the boot partition".to_owned())),
        ),
        (Firmware::UBoot, u_boot(root, boot, is_pc).map(known)),
    ];
    found
        .into_iter()
        .filter_map(|(firmware, found)| {
            let (evidence, known) = found?;
            Some(Start {
                firmware,
                evidence,
                known,
            })
        })
        .collect()
}

/// A UEFI program on the boot partition, or a GRUB in the root filesystem that can be installed
/// there; and whether there is a GRUB in either place.
fn efi_program(
    architecture: Option<Architecture>,
    root: &Tree,
    boot: Option<&Tree>,
) -> Option<(String, bool)> {
    let programs = boot.map(efi_programs).unwrap_or_default();
    let grub = programs.iter().find(|path| is_grub(path));
    let on_boot = |path: &String| format!("{path} on the boot partition");
    let platform = match architecture? {
        Architecture::Amd64 => "x86_64-efi",
        Architecture::I386 => "i386-efi",
        Architecture::Arm64 => "arm64-efi",
        Architecture::Armhf => "arm-efi",
    };
    let dirs = [
        format!("/usr/lib/grub/{platform}-signed"),
        format!("/usr/lib/grub/{platform}"),
        format!("/boot/grub/{platform}"),
    ];
    let in_root = dirs.into_iter().find(|dir| root.dir(dir).is_some());
    match (grub.or(programs.first()), in_root) {
        (Some(path), in_root) => Some((on_boot(path), grub.is_some() || in_root.is_some())),
        (None, in_root) => in_root.map(|dir| (dir, true)),
    }
}

/// The UEFI programs on a boot partition, as `EFI/BOOT/BOOTX64.EFI`.
fn efi_programs(boot: &Tree) -> Vec<String> {
    let Some((name, efi)) = boot.root.get_ignore_case("efi") else {
        return Vec::new();
    };
    let dirs = efi.as_dir().into_iter().flat_map(|efi| &efi.entries);
    let files = dirs.flat_map(|(dir, entry)| {
        let inside = entry
            .as_dir()
            .into_iter()
            .flat_map(|inside| &inside.entries);
        inside.map(move |(file, _)| (dir, file))
    });
    files
        .filter(|(_, file)| file.to_ascii_lowercase().ends_with(b".efi"))
        .map(|(dir, file)| format!("{}/{}/{}", show(name), show(dir), show(file)))
        .collect()
}

/// Whether a UEFI program is GRUB, or shim, which starts it.
fn is_grub(path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or_default().to_lowercase();
    file.starts_with("grub") || file.starts_with("shim")
}

/// The directory that `grub-install` makes for a BIOS.
fn bios_grub(root: &Tree) -> Option<String> {
    let path = "/boot/grub/i386-pc";
    root.dir(path).map(|_| path.to_owned())
}

/// A file by which SYSLINUX, which a BIOS starts, is known on PCs: its program, or its menu.
fn syslinux(root: &Tree, boot: Option<&Tree>) -> Option<String> {
    let names = ["ldlinux.sys", "syslinux.cfg", "extlinux.conf", "extlinux"];
    let dirs = ["", "/boot", "/boot/extlinux", "/boot/syslinux"];
    let in_root = || dirs.iter().find_map(|dir| named(root, dir, &names));
    boot.and_then(|tree| on_boot(tree, &names)).or_else(in_root)
}

/// A file that the usual scripts of U-Boot look for, on the boot partition or in `/boot`. On PCs,
/// the menu that is called extlinux is that of SYSLINUX.
fn u_boot(root: &Tree, boot: Option<&Tree>, is_pc: bool) -> Option<String> {
    let names = [
        "boot.scr",
        "boot.scr.uimg",
        "uEnv.txt",
        "armbianEnv.txt",
        "extlinux",
    ];
    let names = &names[..names.len() - usize::from(is_pc)];
    boot.and_then(|tree| on_boot(tree, names))
        .or_else(|| named(root, "/boot", names))
}

/// One of `names` on a boot partition, in words.
fn on_boot(boot: &Tree, names: &[&str]) -> Option<String> {
    let path = named(boot, "", names)?;
    Some(format!(
        "{} on the boot partition",
        path.trim_start_matches('/')
    ))
}

/// The path of the first file in the directory `dir` that has one of `names`, in any case; a
/// directory `extlinux` counts if it has a menu: tools that make images leave empty ones.
fn named(tree: &Tree, dir: &str, names: &[&str]) -> Option<String> {
    let inside = match dir {
        "" => &tree.root,
        dir => tree.dir(dir)?,
    };
    let counts = |entry: &DirEntry| {
        let dir = entry.as_dir();
        dir.is_none_or(|dir| dir.get_ignore_case("extlinux.conf").is_some())
    };
    let mut entries = inside.entries.iter();
    let (name, _) = entries.find(|(name, entry)| {
        let mut names = names.iter();
        names.any(|wanted| name.eq_ignore_ascii_case(wanted.as_bytes())) && counts(entry)
    })?;
    Some(format!("{dir}/{}", show(name)))
}

/// An A/B scheme of systems or boot files that the image already uses: it and ours would undo each
/// other.
fn own_scheme(root: &Tree, first: FirstFat<'_>) -> Result<Option<String>, EditError> {
    if root.file("/etc/rauc/system.conf").is_some() {
        return Ok(Some(
            "RAUC, another update client (/etc/rauc/system.conf)".to_owned(),
        ));
    }
    if root.dir("/ostree/repo").is_some() {
        return Ok(Some(
            "OSTree, which keeps several systems in one filesystem (/ostree/repo)".to_owned(),
        ));
    }
    let release = text(root, "/etc/os-release")?.unwrap_or_default();
    if release
        .lines()
        .any(|line| line.trim().replace('"', "") == "ID=balena-os")
    {
        return Ok(Some(
            "balenaOS, which updates its own two root partitions (/etc/os-release)".to_owned(),
        ));
    }
    first.map_or(Ok(None), |(number, boot)| boot_partitions(number, boot))
}

/// The beginning of the description of [`boot_partitions`].
const BOOT_PARTITIONS: &str = "the Raspberry Pi firmware's tryboot with two boot partitions";

/// Two boot partitions, between which `autoboot.txt` has the firmware choose: one of its own for
/// trials. With `tryboot_a_b` alone, trials start from the same partition.
fn boot_partitions(first: u32, tree: &Tree) -> Result<Option<String>, EditError> {
    let Some((name, _)) = tree.root.get_ignore_case("autoboot.txt") else {
        return Ok(None);
    };
    let settings = text(tree, &format!("/{}", show(name)))?.unwrap_or_default();
    let mut section = String::new();
    let (mut starts, mut tries) = (None, None);
    for line in settings.trim_start_matches('\u{feff}').lines() {
        let line = line.trim().to_ascii_lowercase();
        if let Some(name) = line.strip_prefix('[') {
            section = name.split(']').next().unwrap_or_default().to_owned();
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or((&line, ""));
        let value = value.split('#').next().unwrap_or_default().trim();
        match key.trim() {
            "boot_partition" if section == "tryboot" => tries = Some(value.to_owned()),
            "boot_partition" => starts = Some(value.to_owned()),
            _ => {}
        }
    }
    if tries.is_none() || tries == starts {
        return Ok(None);
    }
    let named = |number: Option<String>| number.unwrap_or_else(|| "that it finds first".into());
    Ok(Some(format!(
        "{BOOT_PARTITIONS} ({} of partition {first}: the firmware starts partition {}, and for a \
         trial partition {})",
        show(name),
        named(starts),
        named(tries)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::facts;
    use crate::tree::{Stat, Time};

    /// A tree of files, each with its text.
    fn tree(files: &[(&str, &str)]) -> Tree {
        let mut tree = Tree::new(Stat::root(0o755, Time::default()));
        for (path, text) in files {
            tree.put_file(path, *text, Stat::root(0o644, Time::default()))
                .unwrap();
        }
        tree
    }

    fn look(id: &str, root: &[(&str, &str)], boot: Option<&[(&str, &str)]>) -> Origin {
        look_for(183, id, root, boot)
    }

    /// As [`look`], for the machine with this number in ELF headers.
    fn look_for(
        machine: u8,
        id: &str,
        root: &[(&str, &str)],
        boot: Option<&[(&str, &str)]>,
    ) -> Origin {
        let mut elf = vec![0; 64];
        elf[..4].copy_from_slice(b"\x7fELF");
        elf[18] = machine;
        let mut root = tree(root);
        root.put_file("/bin/sh", elf, Stat::root(0o755, Time::default()))
            .unwrap();
        root.put_file(
            "/etc/os-release",
            format!("ID={id}\n"),
            Stat::root(0o644, Time::default()),
        )
        .unwrap();
        let facts = facts::gather(&root).unwrap();
        let boot = boot.map(tree);
        let first = boot.as_ref().map(|boot| (1, boot));
        gather(&facts, &root, boot.as_ref(), first).unwrap()
    }

    #[test]
    fn makers_are_known_by_their_files() {
        let names = |platform: Origin| {
            (
                platform.maker.unwrap_or_default(),
                platform.model.unwrap_or_default(),
            )
        };
        let armbian = [(
            "/etc/armbian-release",
            "# x\nBOARD=rock64\nBOARD_NAME=\"Rock 64\"\n",
        )];
        assert_eq!(
            names(look("debian", &armbian, None)),
            ("Armbian".into(), "rock64".into())
        );
        assert_eq!(
            names(look("debian", &[("/etc/rpi-issue", "")], None)).0,
            "Raspberry Pi OS"
        );
        assert_eq!(names(look("raspbian", &[], None)).0, "Raspberry Pi OS");
        assert_eq!(
            names(look("ubuntu", &[("/etc/cloud/cloud.cfg", "")], None)).0,
            "Ubuntu"
        );
        assert_eq!(
            names(look("debian", &[("/etc/cloud/cloud.cfg", "")], None)).0,
            "Debian cloud"
        );
        assert_eq!(
            names(look(
                "debian",
                &[("/etc/dogtag", "BeagleBoard.org Debian")],
                None
            ))
            .0,
            "BeagleBoard.org"
        );
        assert_eq!(look("debian", &[], None).maker, None);
    }

    #[test]
    fn extlinux_is_of_u_boot_or_of_syslinux_and_needs_a_menu() {
        let starts = |machine, root: &[(&str, &str)], boot: Option<&[(&str, &str)]>| {
            let found = look_for(machine, "debian", root, boot).starts;
            let mut found = found.into_iter();
            let first = found
                .next()
                .map(|one| format!("{}: {}", one.firmware.name(), one.evidence));
            assert!(found.next().is_none());
            first.unwrap_or_default()
        };
        let (pc, arm) = (62, 183);
        let menu = [("/boot/extlinux/extlinux.conf", "")];
        assert_eq!(starts(pc, &menu, None), "bios: /boot/extlinux");
        assert_eq!(starts(arm, &menu, None), "u-boot: /boot/extlinux");
        let no_menu = [("/boot/extlinux/themes", "")];
        assert_eq!(starts(pc, &no_menu, None), "");
        assert_eq!(starts(arm, &no_menu, None), "");
        let program = [("/LDLINUX.SYS", "")];
        let said = "bios: LDLINUX.SYS on the boot partition";
        assert_eq!(starts(pc, &[], Some(&program)), said);
        assert_eq!(starts(arm, &[], Some(&program)), "");
        let script = [("/boot/boot.scr", "")];
        assert_eq!(starts(pc, &script, None), "u-boot: /boot/boot.scr");
    }

    #[test]
    fn what_starts_an_image_is_known_by_what_it_finds() {
        let starts = |root: &[(&str, &str)], boot: Option<&[(&str, &str)]>| -> Vec<String> {
            look("debian", root, boot)
                .starts
                .into_iter()
                .map(|start| format!("{}: {}", start.firmware.name(), start.evidence))
                .collect()
        };
        assert!(starts(&[], None).is_empty());
        assert_eq!(
            starts(&[], Some(&[("/efi/boot/BOOTAA64.EFI", "")])),
            ["uefi: efi/boot/BOOTAA64.EFI on the boot partition"]
        );
        assert_eq!(
            starts(&[("/usr/lib/grub/arm64-efi/x.mod", "")], None),
            ["uefi: /usr/lib/grub/arm64-efi"]
        );
        // The programs of another architecture start nothing here.
        assert!(
            starts(
                &[("/usr/lib/grub/x86_64-efi/x.mod", "")],
                Some(&[("/EFI/readme", "")])
            )
            .is_empty()
        );
        assert_eq!(
            starts(&[("/boot/grub/i386-pc/x.mod", "")], None),
            ["bios: /boot/grub/i386-pc"]
        );
        let pi: &[(&str, &str)] = &[("/config.txt", ""), ("/START4.ELF", "")];
        assert_eq!(
            starts(&[], Some(pi)),
            ["raspberrypi: config.txt on the boot partition"]
        );
        assert!(starts(&[], Some(&[("/config.txt", "")])).is_empty());
        assert_eq!(
            starts(&[("/boot/boot.scr", "")], None),
            ["u-boot: /boot/boot.scr"]
        );
        assert_eq!(
            starts(&[], Some(&[("/extlinux/extlinux.conf", "")])),
            ["u-boot: extlinux on the boot partition"]
        );
    }

    #[test]
    fn schemes_of_their_own_are_noticed() {
        let own = |root: &[(&str, &str)], boot: Option<&[(&str, &str)]>| {
            look("ubuntu", root, boot).own_scheme.unwrap_or_default()
        };
        assert!(own(&[("/etc/rauc/system.conf", "")], None).starts_with("RAUC"));
        assert!(own(&[("/ostree/repo/config", "")], None).starts_with("OSTree"));
        let balena = look("balena-os", &[], None).own_scheme;
        assert!(balena.is_some_and(|scheme| scheme.starts_with("balenaOS")));
        let auto = |text: &str| own(&[], Some(&[("/autoboot.txt", text)]));
        let both =
            "[all]\r\n tryboot_a_b = 1\r\nboot_partition=2\r\n[tryboot]\r\nboot_partition=3\r\n";
        let said = auto(both);
        let effect = "autoboot.txt of partition 1: the firmware starts partition 2, and for a trial \
                      partition 3";
        assert!(said.contains(effect), "{said}");
        let one = "boot_partition=2\n[tryboot]\nboot_partition=3\n";
        assert!(auto(one).contains(effect));
        for none in [
            "[all]\nboot_partition=1\n",
            "tryboot_a_b=1\nboot_partition=1\n[tryboot]\nboot_partition=1\n",
            "[all]\ntryboot_a_b=1\n",
            "# tryboot_a_b=1\n",
        ] {
            assert_eq!(auto(none), "", "{none}");
        }
        assert_eq!(own(&[], None), "");
    }
}
