//! The origin of a golden image: who made it and what starts it, found by content, never by
//! position.

use crate::golden::bootloader::has_raspberry_firmware;
use crate::golden::facts::Facts;
use crate::platform::{Architecture, Firmware};
use crate::tree::edit::EditError;
use crate::tree::{Tree, show};
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
    /// Every firmware that can start it, without the evidence.
    #[must_use]
    pub fn firmware(&self) -> Vec<Firmware> {
        self.starts.iter().map(|start| start.firmware).collect()
    }
}

/// The size limit of text files that are read (bytes).
const TEXT: u64 = 1 << 16;

/// Gathers the origin from the root filesystem and, if there is one, the boot partition.
///
/// # Errors
/// I/O errors of the files that are read.
pub fn gather(facts: &Facts, root: &Tree, boot: Option<&Tree>) -> Result<Origin, EditError> {
    let (maker, model) = maker(facts, root)?;
    Ok(Origin {
        maker,
        model,
        starts: starts(facts, root, boot),
        own_scheme: own_scheme(root, boot)?,
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
    let found = [
        (Firmware::Uefi, efi_program(facts.architecture, root, boot)),
        (Firmware::Bios, bios_grub(root).map(known)),
        (
            Firmware::RaspberryPi,
            boot.filter(|tree| has_raspberry_firmware(tree))
                .map(|_| known("config.txt on the boot partition".to_owned())),
        ),
        (
            Firmware::UBoot,
            boot.and_then(|tree| u_boot(tree, ""))
                .or_else(|| u_boot(root, "/boot"))
                .map(known),
        ),
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

/// A file that the usual scripts of U-Boot look for, in the directory `dir` of `tree`.
fn u_boot(tree: &Tree, dir: &str) -> Option<String> {
    let names = [
        "boot.scr",
        "boot.scr.uimg",
        "extlinux",
        "uEnv.txt",
        "armbianEnv.txt",
    ];
    let entries = if dir.is_empty() {
        &tree.root.entries
    } else {
        &tree.dir(dir)?.entries
    };
    let found = entries.keys().find(|name| {
        names
            .iter()
            .any(|wanted| name.eq_ignore_ascii_case(wanted.as_bytes()))
    })?;
    let place = if dir.is_empty() {
        " on the boot partition"
    } else {
        ""
    };
    Some(format!(
        "{}{}{place}",
        if dir.is_empty() {
            String::new()
        } else {
            format!("{dir}/")
        },
        show(found)
    ))
}

/// An A/B scheme of systems or boot files that the image already uses: it and ours would undo each
/// other.
fn own_scheme(root: &Tree, boot: Option<&Tree>) -> Result<Option<String>, EditError> {
    // Ubuntu for Raspberry Pi from 25.10 on: new boot files are tried from `new/`, proven ones are
    // in `current/`.
    let services = [
        "/usr/lib/systemd/system/piboot-try-validate.service",
        "/lib/systemd/system/piboot-try-validate.service",
    ];
    if let Some(path) = services.iter().find(|path| root.file(path).is_some()) {
        return Ok(Some(format!(
            "Ubuntu's piboot-try, which tries new boot files by itself ({path})"
        )));
    }
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
    let Some(boot) = boot else { return Ok(None) };
    let Some((name, _)) = boot.root.get_ignore_case("autoboot.txt") else {
        return Ok(None);
    };
    let settings = text(boot, &format!("/{}", show(name)))?.unwrap_or_default();
    let by_turns = settings
        .lines()
        .any(|line| line.trim().eq_ignore_ascii_case("tryboot_a_b=1"));
    Ok(by_turns.then(|| {
        "the Raspberry Pi firmware's tryboot with two boot partitions (autoboot.txt)".to_owned()
    }))
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
        let mut elf = vec![0; 64];
        elf[..4].copy_from_slice(b"\x7fELF");
        elf[18] = 183;
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
        gather(&facts, &root, boot.map(tree).as_ref()).unwrap()
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
        let service = [("/usr/lib/systemd/system/piboot-try-validate.service", "")];
        assert!(own(&service, None).starts_with("Ubuntu's piboot-try"));
        assert!(own(&[("/etc/rauc/system.conf", "")], None).starts_with("RAUC"));
        assert!(own(&[("/ostree/repo/config", "")], None).starts_with("OSTree"));
        let balena = look("balena-os", &[], None).own_scheme;
        assert!(balena.is_some_and(|scheme| scheme.starts_with("balenaOS")));
        let turns: &[(&str, &str)] =
            &[("/AUTOBOOT.TXT", "[all]\ntryboot_a_b=1\nboot_partition=2\n")];
        assert!(own(&[], Some(turns)).contains("tryboot"));
        assert_eq!(
            own(&[], Some(&[("/autoboot.txt", "[all]\nboot_partition=1\n")])),
            ""
        );
        assert_eq!(own(&[], None), "");
    }
}
