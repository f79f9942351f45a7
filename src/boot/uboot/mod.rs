//! U-Boot: our script on the boot partition, next to the board's firmware, chooses the root
//! filesystem.
//!
//! `boot.scr` is `configs/device/u-boot/boot.cmd`, which any U-Boot with the commands of Debian's
//! builds runs by itself. It keeps the environment in two files of the boot partition and loads
//! kernel, initial RAM disk and device tree from the root filesystem that it chose, by the names in
//! `/boot/mender-slot.env`, which hooks of the kernel packages keep current.

mod chain;
mod device_tree;
pub mod environment;
mod examine;
pub mod header;
mod kernel;
mod options;
pub mod pi;
mod program;
pub mod script;
mod settings;

use crate::boot::common::arguments::{Arguments, PassedBy, check_length};
use crate::boot::common::divert::divert;
use crate::boot::common::env_block::{BLOCK, TooLong, block_of};
use crate::boot::common::{GRUB_INSTALL, SLOT_ENV, ok_or_push, tools};
use crate::golden::bootloader::is_raspberry_pi;
use crate::golden::facts;
use crate::problem::{Problem, Problems, accept_entry};
use crate::tree::edit::EditError;
use crate::tree::editor::TreeEditor;
use crate::tree::{Leaf, LeafKind, Stat, Tree};
use chain::sources::Sources;
use kernel::{Kernel, KernelHints};
use std::cell::RefCell;

pub use options::{EnvStorage, UBootOptions};

/// Files that U-Boot starts, or starts from, before it looks for `boot.scr`. Releases from 2023.07
/// on begin with programs for UEFI firmware, found by their usual names or by stored variables.
pub const FIRST: [&str; 7] = [
    "/boot.scr.uimg",
    "/boot/boot.scr.uimg",
    "/extlinux/extlinux.conf",
    "/boot/extlinux/extlinux.conf",
    "/EFI/BOOT/BOOTAA64.EFI",
    "/EFI/BOOT/BOOTARM.EFI",
    "/ubootefi.var",
];

/// Menus of the root filesystem that no boot loader reads any more.
const MENUS: [&str; 2] = ["/boot/extlinux/extlinux.conf", "/boot/grub/grub.cfg"];

/// What the user should know of a U-Boot that comes with the board.
const KEY_NOTE: &str = "while U-Boot waits for a key, any byte on its serial line is one, and it \
    stops: connect nothing that sends there, or build U-Boot with CONFIG_BOOTDELAY=-2";

/// U-Boot as it was installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstalledUBoot {
    /// The origin of U-Boot: a path and, for people, whose path it is.
    pub program: String,
    /// The kernel that starts first.
    pub kernel: String,
    /// The initial kernel arguments.
    pub arguments: String,
    /// Where they are from: a file of the golden image, or the configuration.
    pub arguments_from: String,
    /// The device tree, where the image names one.
    pub device_tree: Option<String>,
    /// The overlays that are applied to it, in their order.
    pub overlays: Vec<String>,
    /// Where the copies of the environment are: paths on the boot partition, or disk, offset and
    /// size.
    pub environment: Vec<String>,
    /// The files that were accepted because the way of the boot loader to the kernel needs it.
    pub accepted: Vec<String>,
    /// Notes for the user, which the report lists.
    pub notes: Vec<String>,
    /// Warnings for the user.
    pub warnings: Vec<String>,
}

/// Makes `root` and `boot` start and update through U-Boot.
///
/// # Errors
/// All [`Problems`] that were found; the trees are then half edited.
pub fn integrate(
    root: &mut TreeEditor<'_>,
    boot: &mut TreeEditor<'_>,
    options: &UBootOptions<'_>,
) -> Result<InstalledUBoot, Problems> {
    let mut problems = Problems::default();
    let mut notes = Vec::new();
    let is_pi = is_raspberry_pi(boot.tree());
    let options = &if is_pi {
        program::with_architecture(options)
    } else {
        options.clone()
    };
    let Start {
        kernel,
        arguments,
        accepted,
    } = start(root.tree(), boot.tree(), options, is_pi)?;
    notes.extend(kernel.notes.clone());
    notes.extend(arguments.notes.clone());
    let program = if is_pi {
        let added = arguments.added.join(" ");
        match pi::integrate(root, boot, options, &kernel, &added) {
            Ok((program, more)) => {
                notes.extend(more);
                program
            }
            Err(found) => {
                problems.0.extend(found.0);
                String::new()
            }
        }
    } else {
        notes.push(KEY_NOTE.into());
        "the board's own".to_owned()
    };
    // The firmware of a Raspberry Pi adds the arguments of cmdline.txt, which stays on the boot
    // partition.
    let of_slot = if is_pi {
        arguments.added.join(" ")
    } else {
        arguments.text.clone()
    };
    let edits = [
        install_script(boot, options, is_pi),
        install_tools(root, options, &mut notes),
        install_kernel(root, &kernel, &of_slot, options),
        protect(root, arguments.origin.as_deref(), &mut notes),
    ];
    for edit in edits {
        ok_or_push(&mut problems, edit.map_err(|e| Problem::new(e.to_string())));
    }
    problems.check()?;
    let environment = match &options.storage {
        EnvStorage::Files => environment::FILES.map(str::to_owned).to_vec(),
        EnvStorage::Raw { .. } => options.storage.raw_lines(),
    };
    Ok(InstalledUBoot {
        program,
        kernel: kernel.path,
        warnings: unknown_arguments(&arguments).into_iter().collect(),
        arguments: arguments.text,
        arguments_from: arguments.from,
        device_tree: kernel.fdt,
        overlays: kernel.overlays,
        environment,
        accepted,
        notes,
    })
}

/// What starts first, and how.
struct Start {
    kernel: Kernel,
    arguments: Arguments,
    /// The files that were accepted.
    accepted: Vec<String>,
}

/// Follows the image's own boot chain to kernel, device tree and arguments.
fn start(
    root: &Tree,
    boot: &Tree,
    options: &UBootOptions<'_>,
    is_pi: bool,
) -> Result<Start, Problems> {
    let mut problems = Problems::default();
    let sources = Sources {
        root,
        boot,
        mount: options.boot_mount,
        numbers: [options.golden_root, options.golden_boot.unwrap_or(u32::MAX)],
    };
    let pi = is_pi.then(|| pi::GoldenStart::new(boot, options));
    let mut chain = if is_pi {
        None
    } else {
        chain::of_image(&sources)
    };
    let hints = pi.as_ref().map_or_else(
        || Ok(KernelHints::default()),
        |pi| pi::kernel_hints(root, boot, options, pi),
    );
    let kernel = hints.and_then(|hints| Kernel::find(&sources, chain.as_ref(), options, &hints));
    let mut kernel = ok_or_push(&mut problems, kernel);
    let mut notes = Vec::new();
    let accepted = RefCell::new(Vec::new());
    let accepts = |path: &str| {
        let is_accepted = options.accepted.contains(&path);
        let path = is_accepted.then(|| path.to_owned());
        accepted.borrow_mut().extend(path);
        is_accepted
    };
    ok_or_push(&mut problems, without_barebox(&sources, &accepts));
    if let Some(chain) = &mut chain {
        if let Some(kernel) = &mut kernel {
            device_tree::take(kernel, &sources, chain);
        }
        let known = !options.more_arguments.is_empty();
        ok_or_push(&mut problems, chain.check(&sources, known, &accepts));
        notes = std::mem::take(&mut chain.notes);
    }
    if let (Some(kernel), false) = (&mut kernel, is_pi) {
        device_tree::unnamed(kernel, &sources, chain.as_ref());
    }
    let read = settings::arguments(root, boot, chain.as_ref(), pi.as_ref())
        .map_err(|e| Problem::new(e.to_string()));
    let arguments = read.and_then(|(origin, words)| {
        let by = if is_pi {
            PassedBy::Firmware
        } else {
            PassedBy::Script
        };
        let origin = origin.as_deref();
        let arguments = Arguments::new(root, origin, words, options.more_arguments, by)?;
        if !is_pi {
            let in_front = script::arguments_in_front(options);
            check_length(&arguments.from, &in_front, &arguments.text, options.arch)?;
        }
        Ok(arguments)
    });
    let arguments = ok_or_push(&mut problems, arguments);
    problems.check()?;
    match (kernel, arguments) {
        (Some(mut kernel), Some(mut arguments)) => {
            if !is_pi {
                arguments.notes.insert(0, arguments_note(&arguments));
            }
            kernel.notes.extend(notes);
            Ok(Start {
                kernel,
                arguments,
                accepted: accepted.into_inner(),
            })
        }
        _ => Err(Problem::new("the kernel is unknown").into()),
    }
}

/// Where the arguments are from, for the user.
fn arguments_note(arguments: &Arguments) -> String {
    let from = &arguments.from;
    let origin = arguments.origin.as_deref();
    let menu = origin.filter(|origin| MENUS.contains(origin) && from.starts_with(origin));
    let Some(menu) = menu else {
        return format!("kernel arguments: from {from}");
    };
    let more = from.strip_prefix(menu).unwrap_or_default();
    let more = more.replace(" and ", "; and from ");
    format!(
        "kernel arguments: from {menu}, which is read no more: /boot/mender-slot.env names kernel \
         and arguments{more}"
    )
}

/// A warning where no file says with which arguments the golden image starts: then U-Boot's own
/// environment does, which is a part of its program or outside the partitions.
fn unknown_arguments(arguments: &Arguments) -> Option<String> {
    let is_known = arguments.origin.is_some() || arguments.from == "root.kernel-args";
    (!is_known).then(|| {
        format!(
            "no file of the image has kernel arguments, so U-Boot's own environment has them on the golden device, which is not known here: the kernel gets `{}`; set root.kernel-args to what the board needs, its console for one",
            arguments.text
        )
    })
}

/// Fails when the boot partition has barebox, which would not run the script, unless `accepts` the
/// file.
fn without_barebox(sources: &Sources<'_>, accepts: &dyn Fn(&str) -> bool) -> Result<(), Problem> {
    let found = chain::barebox(sources);
    let Some(place) = found.filter(|place| !accepts(&sources.on_device(place))) else {
        return Ok(());
    };
    let message = format!(
        "{}: is barebox, which does not run the boot script that chooses between the root \
         filesystems",
        sources.name(&place)
    );
    let hint = format!(
        "if a U-Boot starts the device (place one with [[raw]] or on the boot partition), accept \
         that barebox is not used:{}",
        accept_entry(&sources.on_device(&place))
    );
    Err(Problem::new(message).hint(hint))
}

/// Writes the script and the environment to the boot partition.
fn install_script(
    boot: &mut TreeEditor<'_>,
    options: &UBootOptions<'_>,
    is_pi: bool,
) -> Result<(), EditError> {
    let reason = "script that chooses the root filesystem";
    let image = header::wrap(&script::text(options, is_pi));
    boot.file(
        boot.tree().path_ignore_case("/boot.scr"),
        image,
        0o644,
        reason,
    )?;
    for other in FIRST.into_iter().chain(["/extlinux", "/boot/extlinux"]) {
        boot.remove(
            boot.tree().path_ignore_case(other),
            "U-Boot would take it instead of the script that chooses the root filesystem",
        )?;
    }
    if options.storage == EnvStorage::Files {
        let copies = environment::factory(options.roots[0]);
        for (path, copy) in environment::FILES.into_iter().zip(copies) {
            boot.file(
                boot.tree().path_ignore_case(path),
                copy,
                0o644,
                "environment that boot loader and update client share",
            )?;
        }
        if !is_pi {
            boot.remove(
                boot.tree().path_ignore_case("/uboot.env"),
                "U-Boot's own stored environment: the script takes its defaults",
            )?;
        }
    }
    Ok(())
}

/// Writes the tools of the environment to the root filesystem.
fn install_tools(
    root: &mut TreeEditor<'_>,
    options: &UBootOptions<'_>,
    notes: &mut Vec<String>,
) -> Result<(), EditError> {
    let reason = "environment tools of the update client";
    let config = match &options.storage {
        EnvStorage::Files => {
            let line = |file: &str| {
                format!(
                    "{}{file} 0x0 {:#x}\n",
                    options.boot_mount,
                    environment::SIZE
                )
            };
            environment::FILES.map(line).concat()
        }
        EnvStorage::Raw { .. } => options.storage.raw_lines().join("\n") + "\n",
    };
    root.file(
        "/etc/fw_env.config",
        config,
        0o644,
        "where the boot environment is",
    )?;
    let tool = "/usr/lib/goldsmith/uboot-env";
    root.file(tool, tools::uboot_env(), 0o755, reason)?;
    let own = ["fw_printenv", "fw_setenv"].map(|name| facts::program(root.tree(), name));
    if own != [true; 2] {
        for name in ["fw_printenv", "fw_setenv"] {
            root.symlink(format!("/usr/bin/{name}"), tool, reason)?;
        }
    }
    if root
        .tree()
        .find("/usr/bin/grub-mender-grubenv-print")
        .is_some()
    {
        notes.push("grub-mender-grubenv-print is in the image: the update client would take it for the boot loader's tool".into());
        root.remove(
            "/usr/bin/grub-mender-grubenv-print",
            "the update client would take it for the boot loader's tool",
        )?;
    }
    if options.storage == EnvStorage::Files {
        let [a, b] = options.roots;
        root.file(
            "/etc/mender_ubootenv.config",
            format!("ROOT_PARTITIONS = {a} {b}\n"),
            0o644,
            reason,
        )?;
        tools::finish_on_boot(root, "mender-ubootenv", tool, options.boot_mount)?;
    }
    Ok(())
}

/// Writes the names of the kernel and its files, and the hooks that keep them current.
fn install_kernel(
    root: &mut TreeEditor<'_>,
    kernel: &Kernel,
    arguments: &str,
    options: &UBootOptions<'_>,
) -> Result<(), EditError> {
    for (path, content) in &kernel.copies {
        let leaf = Leaf {
            stat: Stat::root(0o644, root.time()),
            kind: LeafKind::File(content.clone()),
        };
        root.place(
            path.as_bytes(),
            leaf,
            "each root filesystem starts its own kernel",
        )?;
    }
    let block = slot_env(kernel, arguments)
        .map_err(|e| EditError::Io(SLOT_ENV.into(), std::io::Error::other(e)))?;
    root.file(
        SLOT_ENV,
        block,
        0o644,
        "kernel and arguments of this root filesystem",
    )?;
    let reason = "keeps the names of the kernel current";
    root.file(
        "/usr/lib/goldsmith/slot-env",
        tools::slot_env(),
        0o755,
        reason,
    )?;
    let flavor = format!(
        "# The kernels that may start: vmlinuz-VERSION-$FLAVOR; counts of builds, such as -r72, are not a part of\n\
         # it. \"none\": kernels whose name is only a version.\nFLAVOR=\"{}\"\n",
        kernel.flavor
    );
    let names: Vec<&str> = options.models.iter().map(|model| model.name()).collect();
    let models = if names.is_empty() {
        String::new()
    } else {
        format!(
            "# The models of the Raspberry Pi that the image is for.\nPI_MODELS=\"{}\"\n",
            names.join(" ")
        )
    };
    root.file("/etc/default/mender-slot", flavor + &models, 0o644, reason)?;
    for hook in [
        "/etc/kernel/postinst.d",
        "/etc/kernel/postrm.d",
        "/etc/initramfs/post-update.d",
    ] {
        root.symlink(
            format!("{hook}/zz-mender"),
            "/usr/lib/goldsmith/slot-env",
            reason,
        )?;
    }
    Ok(())
}

/// The block that names the kernel of a slot.
fn slot_env(kernel: &Kernel, arguments: &str) -> Result<Vec<u8>, TooLong> {
    let relative = |path: &str| path.trim_start_matches('/').to_owned();
    let mut variables = vec![("kernel", relative(&kernel.path))];
    variables.extend(
        kernel
            .initrd
            .as_deref()
            .map(|path| ("initrd", relative(path))),
    );
    variables.extend(
        kernel
            .tree
            .as_deref()
            .map(|path| ("fdtdir", relative(path))),
    );
    variables.extend(kernel.fdt.as_deref().map(|path| ("fdt", relative(path))));
    if !kernel.overlays.is_empty() {
        let paths: Vec<String> = kernel.overlays.iter().map(|path| relative(path)).collect();
        variables.push(("overlays", paths.join(" ")));
    }
    variables.push(("args", arguments.to_owned()));
    let variables: Vec<(&str, &str)> = variables
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    block_of(&variables, BLOCK).or_else(|TooLong(needed)| block_of(&variables, needed))
}

/// Keeps package updates on the device from undoing the integration.
fn protect(
    root: &mut TreeEditor<'_>,
    arguments_from: Option<&str>,
    notes: &mut Vec<String>,
) -> Result<(), EditError> {
    for (program, reason) in [
        (
            "/usr/sbin/flash-kernel",
            "it would replace the boot script: diverted as dpkg-divert does",
        ),
        (
            GRUB_INSTALL,
            "U-Boot would start what it installs instead of the boot script: diverted as dpkg-divert does",
        ),
    ] {
        if root.tree().file(program).is_some() {
            notes.extend(divert(root, program, reason)?);
        }
    }
    let others = MENUS
        .into_iter()
        .filter(|menu| Some(*menu) != arguments_from);
    for menu in others.filter(|menu| root.tree().file(menu).is_some()) {
        notes.push(format!(
            "{menu}: is read no more; kernel and arguments are named in /boot/mender-slot.env"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
