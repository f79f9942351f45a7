//! GRUB on UEFI machines: the golden image's own, signed programs, with our script as their
//! configuration.
//!
//! The integration edits two trees: the root filesystem, and the boot partition (the EFI system
//! partition), whose names are found in any case. Shim and GRUB are copied unchanged, so Secure
//! Boot works as before.
//!
//! `grub.cfg` on the boot partition is `configs/device/grub/stage1.cfg`: it loads the kernel itself
//! and so notices when that fails. The root filesystem's own menu, kept by its `update-grub`, can
//! be opened from that script.

mod architecture;
pub mod assemble;
pub mod binary;
pub mod environment;
mod kernel;
mod programs;

use crate::boot::common::arguments::{Arguments, check_length};
use crate::boot::common::divert::divert;
use crate::boot::common::grub_menu;
use crate::boot::common::{GRUB_INSTALL, SLOT_ENV, fill_template, ok_or_push, tools};
use crate::platform::Architecture;
use crate::platform::TableKind;
use crate::problem::{Problem, Problems};
use crate::tree::edit::EditError;
use crate::tree::editor::TreeEditor;
use kernel::Kernels;
use programs::Programs;

/// The values of the plan that the integration of GRUB depends on.
#[derive(Clone, Debug)]
pub struct GrubOptions<'c> {
    /// Partition numbers of the two root filesystems.
    pub roots: [u32; 2],
    /// Their PARTUUIDs, as the kernel takes them.
    pub partuuids: [&'c str; 2],
    /// The partition table's kind.
    pub table: TableKind,
    /// Where the boot partition is mounted: `/boot/efi`.
    pub boot_mount: &'c str,
    /// Architecture that kernel and loader must have.
    pub arch: Architecture,
    /// Kernel arguments to add to the image's own.
    pub more_arguments: &'c str,
}

/// GRUB as it was installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstalledGrub {
    /// The origin of the boot partition's GRUB: a path and, for people, whose path it is.
    pub grub: String,
    /// The origin of its shim; without one the firmware starts GRUB itself.
    pub shim: Option<String>,
    /// Shim, GRUB and the kernel that starts first are signed.
    pub secure_boot: bool,
    /// The kernel that starts first.
    pub kernel: String,
    /// The initial kernel arguments.
    pub arguments: String,
    /// Where they are from: a file of the golden image, or the configuration.
    pub arguments_from: String,
    /// Notes for the user, which the report lists.
    pub notes: Vec<String>,
    /// Warnings for the user.
    pub warnings: Vec<String>,
}

/// Makes `root` and `boot` start and update through GRUB.
///
/// # Errors
/// All [`Problems`] that were found; the trees are then half edited.
pub fn integrate(
    root: &mut TreeEditor<'_>,
    boot: &mut TreeEditor<'_>,
    options: &GrubOptions<'_>,
) -> Result<InstalledGrub, Problems> {
    let mut problems = Problems::default();
    let programs = ok_or_push(
        &mut problems,
        Programs::find(root.tree(), boot.tree(), options.arch),
    );
    let kernels = ok_or_push(&mut problems, Kernels::find(root.tree(), options.arch));
    let waits = kernels
        .as_ref()
        .is_some_and(|kernels| kernels.initrd.is_none());
    let arguments = kernel::arguments(root, options.more_arguments, waits).and_then(|arguments| {
        let kernel = kernels.as_ref().map_or("", |kernels| &kernels.first);
        let in_front = format!(
            "BOOT_IMAGE=(hd0,gpt2){kernel} root=PARTUUID={} mender.slot={} ",
            options.partuuids[0], options.roots[1]
        );
        check_length(&arguments.from, &in_front, &arguments.text, options.arch)?;
        Ok(arguments)
    });
    let arguments = ok_or_push(&mut problems, arguments);
    let (Some(programs), Some(kernels), Some(arguments)) = (programs, kernels, arguments) else {
        return Err(problems);
    };
    let mut notes = arguments.notes.clone();
    notes.extend(kernels.notes.clone());
    let edits = [
        install_programs(boot, &programs, options),
        install_environment(boot, options),
        install_tools(root, options),
        install_kernel(root, &kernels, &arguments),
        protect(root, &mut notes),
    ];
    for edit in edits {
        ok_or_push(&mut problems, edit.map_err(|e| Problem::new(e.to_string())));
    }
    problems.check()?;
    Ok(InstalledGrub {
        secure_boot: programs.secure() && kernels.signed,
        grub: programs.grub.origin,
        shim: programs.shim.map(|shim| shim.origin),
        kernel: kernels.first,
        arguments: arguments.text,
        arguments_from: arguments.from,
        notes,
        warnings: grub_menu::password(root.tree()).into_iter().collect(),
    })
}

/// Writes the programs and the script to the boot partition.
fn install_programs(
    boot: &mut TreeEditor<'_>,
    programs: &Programs,
    options: &GrubOptions<'_>,
) -> Result<(), EditError> {
    let suffix = options.arch.efi_suffix();
    let removable = format!("/EFI/BOOT/BOOT{}.EFI", suffix.to_uppercase());
    let grub = format!("/EFI/BOOT/grub{suffix}.efi");
    let reason = "boot loader of the image itself, where every firmware finds it";
    match &programs.shim {
        Some(shim) => {
            programs::write_program(boot, &removable, shim, reason)?;
            programs::write_program(boot, &grub, &programs.grub, reason)?;
            if let Some(manager) = &programs.manager {
                programs::write_program(
                    boot,
                    &format!("/EFI/BOOT/mm{suffix}.efi"),
                    manager,
                    reason,
                )?;
            }
        }
        None => programs::write_program(boot, &removable, &programs.grub, reason)?,
    }
    let path = boot.tree().path_ignore_case("/EFI/BOOT/grub.cfg");
    boot.file(
        path,
        stage1(options),
        0o644,
        "script that chooses the root filesystem",
    )?;
    let fallbacks: Vec<Vec<u8>> = programs::child_names(boot.tree(), "/EFI/BOOT")
        .into_iter()
        .filter(|name| is_fallback(name))
        .collect();
    for name in fallbacks {
        let path = [boot.tree().path_ignore_case("/EFI/BOOT"), name].join(&b'/');
        boot.remove(
            path,
            "fallback program: it would make boot entries and start over instead of starting",
        )?;
    }
    let directory = boot
        .tree()
        .path_ignore_case(format!("/EFI/{}", programs.directory));
    if !programs.directory.eq_ignore_ascii_case("BOOT") {
        if boot.tree().dir(&directory).is_some() {
            boot.remove(
                &directory,
                "boot loader's old place: its configuration would be read instead of ours",
            )?;
        }
        boot.file(
            &directory,
            PLACEHOLDER,
            0o644,
            "keeps grub-install from making the old place again",
        )?;
    }
    Ok(())
}

/// Whether this is a program that shim would start from its own directory instead of GRUB.
fn is_fallback(name: &[u8]) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with(b"fb") && name.ends_with(b".efi")
}

/// The content of the file that replaces the boot loader's old directory.
const PLACEHOLDER: &str = "This file keeps grub-install from writing here: the boot loader is in EFI/BOOT, managed for A/B updates.\n";

/// How long ESC leads to the menu of the root filesystem (seconds); 0: never. A device in the field
/// has nobody at its console, and a wait would delay each of its starts.
const MENU_SECONDS: &str = "0";

/// The text of the script.
#[must_use]
pub fn stage1(options: &GrubOptions<'_>) -> String {
    let [number_a, number_b] = options.roots.map(|number| number.to_string());
    let [uuid_a, uuid_b] = options.partuuids.map(str::to_ascii_lowercase);
    let table = match options.table {
        TableKind::Gpt => "gpt",
        TableKind::Mbr => "msdos",
    };
    fill_template(
        include_str!("../../../configs/device/grub/stage1.cfg"),
        &[
            ("@ROOT_A_NUMBER@", &number_a),
            ("@ROOT_B_NUMBER@", &number_b),
            ("@ROOT_A_PARTUUID@", &uuid_a),
            ("@ROOT_B_PARTUUID@", &uuid_b),
            ("@TABLE@", table),
            ("@MENU_SECONDS@", MENU_SECONDS),
        ],
    )
}

/// Writes the environment to the boot partition.
fn install_environment(
    boot: &mut TreeEditor<'_>,
    options: &GrubOptions<'_>,
) -> Result<(), EditError> {
    for (name, bytes) in environment::factory(options.roots[0]) {
        let path = boot
            .tree()
            .path_ignore_case(format!("{}/{name}", environment::DIRECTORY));
        boot.file(
            path,
            bytes,
            0o644,
            "environment that boot loader and update client share",
        )?;
    }
    Ok(())
}

/// Writes the tools of the environment to the root filesystem.
fn install_tools(root: &mut TreeEditor<'_>, options: &GrubOptions<'_>) -> Result<(), EditError> {
    let reason = "environment tools of the update client";
    root.file(
        "/usr/bin/grub-mender-grubenv-print",
        tools::grubenv(),
        0o755,
        reason,
    )?;
    root.symlink(
        "/usr/bin/grub-mender-grubenv-set",
        "grub-mender-grubenv-print",
        reason,
    )?;
    let [a, b] = options.roots;
    let mount = options.boot_mount;
    let config = format!(
        "ENV_DIR = {mount}{}\nROOT_PARTITIONS = {a} {b}\n",
        environment::DIRECTORY
    );
    root.file("/etc/mender_grubenv.config", config, 0o644, reason)?;
    tools::finish_on_boot(
        root,
        "mender-grubenv",
        "/usr/bin/grub-mender-grubenv-set",
        mount,
    )?;
    Ok(())
}

/// Writes what script and menu need in the root filesystem to start its kernel.
fn install_kernel(
    root: &mut TreeEditor<'_>,
    kernels: &Kernels,
    arguments: &Arguments,
) -> Result<(), EditError> {
    for (path, target) in &kernels.links {
        root.symlink(
            path,
            target.as_bytes(),
            "the boot script takes the kernel that this names",
        )?;
    }
    let slot_env = kernels
        .slot_env(&arguments.text)
        .map_err(|e| EditError::Io(SLOT_ENV.into(), std::io::Error::other(e)))?;
    root.file(
        SLOT_ENV,
        slot_env,
        0o644,
        "kernel arguments of this root filesystem",
    )?;
    let menu = kernels.menu(&arguments.text);
    root.file(
        "/boot/grub/grub.cfg",
        menu,
        0o444,
        "the old one finds its root by a UUID that both root filesystems have",
    )?;
    root.file(
        kernel::SETTINGS,
        kernel::settings(&arguments.added),
        0o644,
        "makes update-grub write a menu that fits both slots",
    )?;
    root.file(
        "/etc/grub.d/42_mender",
        tools::grub_hook(),
        0o755,
        "makes update-grub pass kernel arguments to the boot script",
    )?;
    Ok(())
}

/// Keeps package updates on the device from undoing the integration.
fn protect(root: &mut TreeEditor<'_>, notes: &mut Vec<String>) -> Result<(), EditError> {
    for platform in Architecture::ALL.map(Architecture::grub_platform) {
        for name in ["core.efi", "grub.efi"] {
            root.remove(
                format!("/boot/grub/{platform}/{name}"),
                "package updates run grub-install where this is",
            )?;
        }
    }
    let reason = "grub-install would undo the A/B integration: diverted as dpkg-divert does";
    notes.extend(divert(root, GRUB_INSTALL, reason)?);
    Ok(())
}

#[cfg(test)]
mod tests;
