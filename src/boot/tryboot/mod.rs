//! The firmware of a Raspberry Pi chooses the slot by itself (`tryboot`).
//!
//! ```text
//! boot partition                    root filesystem of each slot
//!   config.txt   os_prefix=slot-a0/   /usr/lib/goldsmith/boot/   kernel, initial RAM disk, device
//!   tryboot.txt  for one start                                   trees, overlays: what the slot's
//!   cmdline.txt  the device's words                              directory is made of
//!   slot-a0/ slot-a1/ slot-b0/ slot-b1/
//! ```
//! Of the two directories of a slot one is in use, the other one takes what is written next. The
//! tools of the device (`configs/device/tryboot`) copy the files of a new root filesystem, ask the
//! firmware for one start by `tryboot.txt`, and commit by changing the first sector of `config.txt`
//! in place: `docs/decisions/0016-tryboot.md`.
//!
//! Where each slot has a boot partition of its own (`boot.tryboot = "partitions"`), each of them is
//! as above, with the directories of its slot and with the firmware. `autoboot.txt` of another
//! partition has the firmware start one of them, and a commit changes that file in place.

mod config;
mod files;
mod options;
mod partitions;
mod services;
mod set;
mod ubuntu;

use crate::boot::common::arguments::{Arguments, PassedBy};
use crate::boot::common::pi::{autoboot, boot_files, cmdline, firmware};
use crate::boot::common::shell_words::split_words;
use crate::boot::common::{TEXT_LIMIT, ok_or_push, tools};
use crate::golden::bootloader::is_raspberry_pi;
use crate::golden::facts;
use crate::platform::{PiChip, PiModel};
use crate::problem::{Problem, Problems};
use crate::tree::Tree;
use crate::tree::edit::EditError;
use crate::tree::editor::TreeEditor;
use crate::units::human;
use files::BootFiles;

pub use options::{BootPartitions, TrybootOptions};
pub use partitions::{autoboot_partition, second_partition};
pub use set::in_flight;

/// Where the tool is on the device.
const TOOL: &str = "/usr/lib/goldsmith/tryboot-env";

/// The way out for a golden image of a fleet that has U-Boot.
const U_BOOT: &str = "for devices that start U-Boot already, set boot.bootloader to \"u-boot\"";

/// The firmware's own choice between slots, as it was installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstalledTryboot {
    /// The kernel that starts first: a path of the boot partition.
    pub kernel: String,
    /// The initial kernel arguments, without `root=`.
    pub arguments: String,
    /// Where they are from: a file of the golden image, or the configuration.
    pub arguments_from: String,
    /// Notes for the user, which the report lists.
    pub notes: Vec<String>,
    /// Warnings for the user.
    pub warnings: Vec<String>,
    /// Where it is stored which slot starts: a path of the boot partition, or of its own.
    pub state: &'static str,
}

/// Makes `root` and `boot` start and update through the firmware.
///
/// # Errors
/// All [`Problems`] that were found; the trees are then half edited.
pub fn integrate(
    root: &mut TreeEditor<'_>,
    boot: &mut TreeEditor<'_>,
    options: &TrybootOptions<'_>,
) -> Result<InstalledTryboot, Problems> {
    refusals(root.tree(), boot.tree(), options)?;
    let mut notes = firmware::unknown_filters(boot.tree());
    notes.extend(boot_files::notes(boot.tree(), options.models));
    let found = BootFiles::find(root.tree(), boot.tree(), options)?;
    check_kernels(root.tree(), &found)?;
    let arguments = arguments(root.tree(), boot.tree(), &found, options)?;
    notes.extend(arguments.notes.clone());
    let mut problems = Problems::default();
    let edits = install(root, boot, options, &found, &arguments, &mut notes);
    ok_or_push(
        &mut problems,
        edits.map_err(|e| Problem::new(e.to_string())),
    );
    problems.check()?;
    Ok(InstalledTryboot {
        kernel: format!("/slot-a0/{}", found.starts[0].kernel),
        arguments: arguments.text,
        arguments_from: arguments.from,
        notes,
        warnings: Vec::new(),
        state: match options.partitions {
            Some(_) => "/autoboot.txt",
            None => "/config.txt",
        },
    })
}

/// What the golden image lacks, or has and cannot keep.
fn refusals(root: &Tree, boot: &Tree, options: &TrybootOptions<'_>) -> Result<(), Problems> {
    let mut problems = Problems::default();
    if !is_raspberry_pi(boot) {
        let text = "boot.bootloader is rpi-tryboot, but the boot partition is not that of a \
                    Raspberry Pi: it has no config.txt with the files of the firmware";
        return Err(Problem::new(text).hint("remove boot.bootloader").into());
    }
    if let Err(more) = boot_files::check(root, boot, options.models, options.arch) {
        problems.0.extend(more.0);
    }
    problems
        .0
        .extend(autoboot::check(boot, options.golden_boot));
    let old = |model: &&PiModel| matches!(model.chip(), PiChip::Bcm2835 | PiChip::Bcm2836);
    if let Some(model) = options.models.iter().find(old) {
        let text = format!(
            "boot.bootloader is rpi-tryboot, which is not supported on a {}",
            model.title()
        );
        problems.push(Problem::new(text).hint("set boot.bootloader to \"u-boot\""));
    }
    for (program, packages, why) in [
        (
            "vcmailbox",
            "raspi-utils (raspi-utils-core; in Debian 11 libraspberrypi-bin)",
            "by which an update asks the firmware for its trial",
        ),
        (
            "fsck.vfat",
            "dosfstools",
            "which checks the boot partition at each start: an update that the power cut leaves \
             files there that nothing else removes safely",
        ),
    ] {
        if !facts::program(root, program) {
            let text = format!("the image has no {program}, {why}");
            let hint = format!("install the package {packages} in the golden image; {U_BOOT}");
            problems.push(Problem::new(text).hint(hint));
        }
    }
    if options.partitions.is_some() {
        problems.0.extend(partitions::needs(root));
    }
    problems.check()
}

/// Refuses kernels whose settings say that they have no `/dev/vcio`, as those of Debian: without
/// it no update can ask the firmware for its trial.
fn check_kernels(root: &Tree, found: &BootFiles) -> Result<(), Problem> {
    for version in found.versions() {
        let path = format!("/boot/config-{version}");
        let text = root.read(&path, TEXT_LIMIT).ok().flatten();
        let text = text.unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let has = |name: &str| text.lines().any(|line| line.starts_with(name));
        if has("CONFIG_RASPBERRYPI_FIRMWARE=") && !has("CONFIG_BCM_VCIO=") {
            let text = format!(
                "the kernel {version} has no /dev/vcio ({path}: no CONFIG_BCM_VCIO), by which an \
                 update asks the firmware for its trial"
            );
            let hint = "take a kernel of Raspberry Pi OS (linux-image-rpi-v8 and the like), or set \
                        boot.bootloader to \"u-boot\"";
            return Err(Problem::new(text).hint(hint));
        }
    }
    Ok(())
}

/// The arguments of the kernel: those of the device, and those that its slot adds.
fn arguments(
    root: &Tree,
    boot: &Tree,
    found: &BootFiles,
    options: &TrybootOptions<'_>,
) -> Result<Arguments, Problem> {
    let text = firmware::text(boot, &found.cmdline).unwrap_or_default();
    let words = split_words(cmdline::edit(&text).line());
    let origin = Some(found.cmdline.as_str());
    Arguments::new(
        root,
        origin,
        words,
        options.more_arguments,
        PassedBy::Firmware,
    )
}

/// Writes everything.
fn install(
    root: &mut TreeEditor<'_>,
    boot: &mut TreeEditor<'_>,
    options: &TrybootOptions<'_>,
    found: &BootFiles,
    arguments: &Arguments,
    notes: &mut Vec<String>,
) -> Result<(), EditError> {
    let words = device_words(boot, found, notes)?;
    let programs = match options.partitions {
        Some(_) => partitions::firmware(boot.tree()),
        None => Default::default(),
    };
    let files = options.files();
    set::write_root(root, files, found, &arguments.added.join(" "), &programs)?;
    let size = set::write_slots(boot, found, options, &words, &arguments.added)?;
    config::edit(boot, found, options.partitions.is_some(), notes)?;
    ubuntu::arrange(root, boot, notes)?;
    let per_slot = options.partitions.is_some();
    notes.push(format!(
        "boot partition: the boot files of a slot take {}; there is room for those of {}, \
         and of one that is written",
        human(size),
        if per_slot { "its slot" } else { "both slots" }
    ));
    notes.push(format!(
        "trials: {} sets dtparam=watchdog=on and kernel_watchdog_timeout=60, so that a \
         kernel that hangs is reset and the committed slot starts",
        if per_slot {
            "[tryboot] in config.txt"
        } else {
            "tryboot.txt"
        }
    ));
    if !found.skipped.is_empty() {
        notes.push(format!(
            "boot partition: not copied to the slots, since no boot file has such a name: {}",
            found.skipped.join(", ")
        ));
    }
    for kernel in found.not_replaced() {
        notes.push(format!(
            "{kernel}: not the kernel of a package in /boot of the root filesystem: apt does not \
             replace what starts, updates do"
        ));
    }
    services::arrange(root, options, notes)?;
    install_tools(root, options)
}

/// Leaves the words of the device in `/cmdline.txt`, where they are edited on the device, too.
fn device_words(
    boot: &mut TreeEditor<'_>,
    found: &BootFiles,
    notes: &mut Vec<String>,
) -> Result<String, EditError> {
    let old = firmware::text(boot.tree(), &found.cmdline).unwrap_or_default();
    let edited = cmdline::edit(&old);
    let name = &found.cmdline;
    if !edited.gone.is_empty() {
        notes.push(format!(
            "/{name} of the boot partition: taken out: {}",
            edited.gone.join(" ")
        ));
    }
    for note in &edited.notes {
        notes.push(format!("/{name} of the boot partition: {note}"));
    }
    let words = edited.line().to_owned();
    boot.rewrite(
        boot.tree().path_ignore_case("/cmdline.txt"),
        format!("{words}\n"),
        0o644,
        "kernel arguments of the device; those of a slot are made of them",
    )?;
    Ok(words)
}

/// Writes the tools, their settings and their hooks.
fn install_tools(root: &mut TreeEditor<'_>, options: &TrybootOptions<'_>) -> Result<(), EditError> {
    let reason = "tools by which the update client and the firmware agree on the slot";
    let [a, b] = options.roots;
    let [id_a, id_b] = options.partuuids;
    let mut config = format!(
        "# The two slots, and where the boot partition is mounted.\nBOOT = {}\nROOT_PARTITIONS = \
         {a} {b}\nPARTUUIDS = {id_a} {id_b}\n",
        options.boot_mount
    );
    let mut tool = tools::tryboot_env();
    if let Some(partitions) = &options.partitions {
        config.push_str(&partitions::config(partitions));
        partitions::write_rule(root, options.roots, partitions)?;
        tool = tools::tryboot_partitions_env();
    }
    root.file("/etc/mender_tryboot.config", config, 0o644, reason)?;
    let names: Vec<&str> = options.models.iter().map(|model| model.name()).collect();
    if !names.is_empty() {
        let models = format!(
            "# The models of the Raspberry Pi that the image is for.\nPI_MODELS=\"{}\"\n",
            names.join(" ")
        );
        root.file("/etc/default/mender-slot", models, 0o644, reason)?;
    }
    root.file(TOOL, tool, 0o755, reason)?;
    for name in ["fw_printenv", "fw_setenv"] {
        for dir in ["/usr/bin", "/usr/sbin", "/bin", "/sbin"] {
            let path = format!("{dir}/{name}");
            if root.tree().file(&path).is_some() {
                services::divert_to(root, &path, TOOL)?;
            }
        }
        root.symlink(format!("/usr/bin/{name}"), TOOL, reason)?;
    }
    root.remove(
        "/usr/bin/grub-mender-grubenv-print",
        "the update client would take it for the boot loader's tool",
    )?;
    for hook in [
        "/etc/kernel/postinst.d",
        "/etc/kernel/postrm.d",
        "/etc/initramfs/post-update.d",
    ] {
        let reason = "a new kernel is written to a directory of the running slot";
        root.symlink(format!("{hook}/zz-mender"), TOOL, reason)?;
    }
    tools::finish_on_boot(root, "mender-tryboot", TOOL, options.boot_mount)
}

/// The text of a file of the boot partition by its path, if it has one.
fn text_of(boot: &TreeEditor<'_>, name: &str) -> Result<Option<(Vec<u8>, String)>, EditError> {
    let path = boot.tree().path_ignore_case(format!("/{name}"));
    let bytes = boot.read(&path, TEXT_LIMIT)?;
    Ok(bytes.map(|bytes| (path, String::from_utf8_lossy(&bytes).into_owned())))
}

#[cfg(test)]
mod tests;
