//! Shim and GRUB of the golden image: from its packages' files, else from its old boot partition,
//! else made of what `grub-install` left.

use super::assemble::assemble;
use super::binary::Binary;
use crate::boot::common::TEXT_LIMIT;
use crate::platform::Architecture;
use crate::problem::Problem;
use crate::stream::{Content, ReadAt as _};
use crate::tree::edit::EditError;
use crate::tree::editor::TreeEditor;
use crate::tree::{Leaf, LeafKind, Stat, Tree};

/// The longest file that is read as a program (bytes); GRUB has about 4 MiB.
const PROGRAM_LIMIT: u64 = 64 << 20;

/// A UEFI program and its origin.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) origin: String,
    content: Content,
    binary: Binary,
}

/// The programs that will start the device.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) shim: Option<Program>,
    pub(super) grub: Program,
    /// Shim's key manager, if installed.
    pub(super) manager: Option<Program>,
    /// The directory below `EFI` in which GRUB looks for its configuration first, or from which it
    /// was started so far.
    pub(super) directory: String,
}

impl Programs {
    /// Finds the programs in the files of packages, on the old boot partition, or makes them of
    /// what `grub-install` left.
    pub(super) fn find(root: &Tree, boot: &Tree, arch: Architecture) -> Result<Self, Problem> {
        let suffix = arch.efi_suffix();
        let of_packages = || {
            let platform = arch.grub_platform();
            let signed = format!("/usr/lib/grub/{platform}-signed/grub{suffix}.efi.signed");
            let grub = [
                signed,
                format!("/usr/lib/grub/{platform}/monolithic/grub{suffix}.efi"),
            ];
            let grub = grub.iter().find_map(|path| {
                Program::read(root, path, path.clone(), arch).filter(Program::is_grub)
            })?;
            let other = |name: &str| {
                let path = format!("/usr/lib/shim/{name}{suffix}.efi.signed");
                Program::read(root, &path, path.clone(), arch)
            };
            Some((grub, other("shim"), other("mm")))
        };
        let found = of_packages().or_else(|| Self::of_partition(boot, arch));
        let Some((grub, shim, manager)) = found else {
            return Self::of_installer(root, boot, arch);
        };
        let directory = grub.binary.directory().unwrap_or_default().to_owned();
        // Shim starts nothing that is not signed: in front of an unsigned GRUB it would only be in
        // the way.
        let shim = shim.filter(|_| grub.binary.signed);
        Ok(Self {
            manager: manager.filter(|_| shim.is_some()),
            shim,
            grub,
            directory,
        })
    }

    /// Those of the old boot partition: `EFI/BOOT` first, then the others.
    fn of_partition(
        boot: &Tree,
        arch: Architecture,
    ) -> Option<(Program, Option<Program>, Option<Program>)> {
        let suffix = arch.efi_suffix();
        let mut directories: Vec<String> = child_names(boot, "/EFI")
            .into_iter()
            .filter_map(|name| String::from_utf8(name).ok())
            .collect();
        directories.sort_by_key(|name| !name.eq_ignore_ascii_case("BOOT"));
        directories.iter().find_map(|directory| {
            let read = |name: &str| {
                let path = format!("/EFI/{directory}/{name}{suffix}.efi");
                Program::read(
                    boot,
                    boot.path_ignore_case(&path),
                    format!("{path} of the boot partition"),
                    arch,
                )
            };
            let grub = ["grub", "BOOT"]
                .into_iter()
                .find_map(|name| read(name).filter(Program::is_grub))?;
            let shim = ["shim", "BOOT"]
                .into_iter()
                .find_map(|name| read(name).filter(|program| program.binary.prefix.is_none()));
            Some((grub, shim, read("mm")))
        })
    }

    /// A GRUB made of what `grub-install` left in the root filesystem.
    fn of_installer(root: &Tree, boot: &Tree, arch: Architecture) -> Result<Self, Problem> {
        let (suffix, dir) = (
            arch.efi_suffix(),
            format!("/boot/grub/{}", arch.grub_platform()),
        );
        let hint = format!(
            "install {} in the golden image, or run grub-install there",
            arch.grub_packages()
        );
        let mut cores = ["core", "grub"].iter().filter_map(|name| {
            let path = format!("{dir}/{name}.efi");
            Program::read(root, &path, path.clone(), arch)
                .filter(|program| program.binary.prefix.is_some() && !program.binary.signed)
        });
        let core = cores.next().ok_or_else(|| {
            let text = format!("no GRUB for UEFI: no signed or monolithic grub{suffix}.efi in the root filesystem");
            Problem::new(format!("{text}, none on the boot partition whose prefix lies below /EFI, and no {dir}/core.efi"))
                .hint(&hint)
        })?;
        let failed = |e: &dyn std::fmt::Display| {
            Problem::new(format!("{}: cannot be made into a GRUB: {e}", core.origin)).hint(&hint)
        };
        let read = |path: String| root.file(path)?.read_all(PROGRAM_LIMIT).ok();
        let dependencies = root
            .read(format!("{dir}/moddep.lst"), TEXT_LIMIT)
            .map_err(|e| failed(&e))?
            .unwrap_or_default();
        let module = |name: &str| read(format!("{dir}/{name}.mod"));
        let core_bytes = core
            .content
            .read_all(PROGRAM_LIMIT)
            .map_err(|e| failed(&e))?;
        let bytes = assemble(
            &core_bytes,
            &String::from_utf8_lossy(&dependencies),
            module,
            "/EFI/BOOT",
        )
        .map_err(|e| failed(&e))?;
        let binary = Binary::parse(&bytes).map_err(|e| failed(&e))?;
        let origin = format!("made of {} and its modules", core.origin);
        let grub = Program {
            origin,
            content: Content::bytes(bytes),
            binary,
        };
        // Where grub-install put the same program.
        let placed = |directory: &&String| {
            let path = boot.path_ignore_case(format!("/EFI/{directory}/grub{suffix}.efi"));
            Program::read(boot, path, String::new(), arch)
                .is_some_and(|program| program.binary.prefix.is_some())
        };
        let directories: Vec<String> = child_names(boot, "/EFI")
            .into_iter()
            .filter_map(|name| String::from_utf8(name).ok())
            .collect();
        let directory = directories
            .iter()
            .find(placed)
            .map_or("BOOT", |name| name)
            .to_owned();
        Ok(Self {
            shim: None,
            grub,
            manager: None,
            directory,
        })
    }

    /// Whether firmware with Secure Boot enabled starts them.
    pub(super) fn secure(&self) -> bool {
        self.grub.binary.signed && self.shim.as_ref().is_some_and(|shim| shim.binary.signed)
    }
}

impl Program {
    /// The program at `path`, when there is one for `arch`.
    fn read(
        tree: &Tree,
        path: impl AsRef<[u8]>,
        origin: String,
        arch: Architecture,
    ) -> Option<Self> {
        let content = tree.file(path)?.clone();
        let binary = Binary::parse(&content.read_all(PROGRAM_LIMIT).ok()?).ok()?;
        (binary.machine == arch.pe_machine()).then_some(Self {
            origin,
            content,
            binary,
        })
    }

    /// Whether it is a GRUB that would read our configuration.
    fn is_grub(&self) -> bool {
        self.binary.directory().is_some()
    }
}

/// Writes a program to the boot partition.
pub(super) fn write_program(
    boot: &mut TreeEditor<'_>,
    path: &str,
    program: &Program,
    reason: &str,
) -> Result<(), EditError> {
    let path = boot.tree().path_ignore_case(path);
    let leaf = Leaf {
        stat: Stat::root(0o644, boot.time()),
        kind: LeafKind::File(program.content.clone()),
    };
    boot.place(
        &path,
        leaf,
        &format!(
            "{reason} ({}, {} bytes)",
            program.origin,
            program.content.len()
        ),
    )
}

/// The names in a directory of the boot partition, its path in any case.
pub(super) fn child_names(boot: &Tree, path: &str) -> Vec<Vec<u8>> {
    boot.dir_ignore_case(path)
        .map_or_else(Vec::new, |dir| dir.entries.keys().cloned().collect())
}
