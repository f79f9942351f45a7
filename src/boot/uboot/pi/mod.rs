//! Raspberry Pi: the firmware's files on the boot partition, and the services of Raspberry Pi OS
//! that conflict with A/B.
//!
//! The firmware starts U-Boot as it would start a kernel, `config.txt` names it. Device trees and
//! overlays stay with the firmware: both root filesystems share them. A prefix for the names of
//! files (`os_prefix`) stays in force: U-Boot is put where the kernel was.

mod config;
mod delay;
mod flavors;
mod services;
mod start;

use super::kernel::{Kernel, KernelHints, flavor_of};
use super::options::{EnvStorage, UBootOptions};
use super::program::{self, Program};
use crate::boot::common::limits::command_line_limit;
use crate::boot::common::pi::{autoboot, boot_files, cmdline, firmware, ubuntu};
use crate::boot::common::{TEXT_LIMIT, file_names};
use crate::golden::facts;
use crate::platform::{Architecture, PiChip, PiModel};
use crate::problem::{Problem, Problems};
use crate::tree::Tree;
use crate::tree::edit::EditError;
use crate::tree::editor::TreeEditor;

pub use delay::without_delay;
pub(super) use start::GoldenStart;

/// The files that the firmware may read its settings from, besides those that they include.
const CONFIGS: [&str; 3] = ["config.txt", "tryboot.txt", "extraconfig.txt"];
/// The number of files that are followed from each of them.
const MAX_INCLUDES: usize = 64;
/// About what the firmware adds to the arguments of `cmdline.txt` (bytes).
const FIRMWARE_ARGUMENTS: usize = 400;

/// The kernels that suit the models of the board, and that of the golden image's firmware.
///
/// # Errors
/// The board does not say which of several kernels suits.
pub(super) fn kernel_hints(
    root: &Tree,
    boot: &Tree,
    options: &UBootOptions<'_>,
    start: &GoldenStart,
) -> Result<KernelHints, Problem> {
    let names = file_names(root, "/boot");
    let has = |flavor: &str| {
        let mut versions = names
            .iter()
            .filter_map(|name| name.strip_prefix("vmlinuz-"));
        versions.any(|version| flavor_of(version) == flavor)
    };
    Ok(KernelHints {
        flavors: flavors::flavors(options, &has)?,
        of_partition: start.kernel(boot).into_iter().collect(),
    })
}

/// Problems of the golden image's firmware settings that the conversion cannot undo.
fn refusals(
    root: &Tree,
    boot: &Tree,
    options: &UBootOptions<'_>,
    start: &GoldenStart,
) -> Result<(), Problems> {
    let mut problems = Problems::default();
    if let Err(more) = boot_files::check(root, boot, options.models, options.arch) {
        problems.0.extend(more.0);
    }
    let is_armv6 = |model: &&PiModel| model.chip() == PiChip::Bcm2835;
    let os = facts::gather(root).map(|facts| facts.os).ok();
    if let (Some(model), Some(os)) = (options.models.iter().find(is_armv6), os)
        && options.arch == Architecture::Armhf
        && ["debian", "ubuntu"].contains(&os.id.as_str())
    {
        let text = format!(
            "{} for armhf needs an ARMv7 processor, a {} has ARMv6",
            os.pretty,
            model.title()
        );
        let hint = "convert an image of Raspberry Pi OS (ID=raspbian), whose armhf is for ARMv6, \
                    or select the board of another model, such as raspberrypi0-2w";
        problems.push(Problem::new(text).hint(hint));
    }
    for model in firmware::models(options.models, options.arch) {
        let settings = firmware::settings(boot, model);
        let trees = firmware::values(&settings, "device_tree", "").into_iter();
        let mut set = trees.filter_map(|tree| tree.setting);
        if let Some(setting) = set.find(|setting| setting.value.is_empty()) {
            let text = format!(
                "{}: device_tree= without a file: the firmware loads no device tree, and U-Boot \
                 cannot start without one",
                setting.place
            );
            problems.push(Problem::new(text).hint("remove the line in the golden image"));
            break;
        }
    }
    for name in start.cmdlines() {
        let text = firmware::text(boot, name).unwrap_or_default();
        if text.contains('\0') {
            let text =
                format!("{name} of the boot partition is not plain text: it contains NUL bytes");
            problems.push(Problem::new(text).hint("save it as UTF-8, in one line"));
        }
    }
    let more = autoboot::check(boot, options.golden_boot);
    problems.0.extend(more);
    if let Some(unit) = ubuntu::piboot_try(root) {
        let text = format!(
            "the image already uses another A/B update scheme: Ubuntu's piboot-try, which tries new \
             boot files by itself ({unit})"
        );
        let hint = "set boot.bootloader to \"rpi-tryboot\", which takes its place; or remove the \
                    package piboot-try in the golden image";
        problems.push(Problem::new(text).hint(hint));
    }
    problems.check()
}

/// Makes the firmware start U-Boot, and the system leave disk and environment alone. Returns the
/// origin of U-Boot, and notes for the user. `added` are the arguments that the slot adds to those
/// of the firmware.
pub(super) fn integrate(
    root: &mut TreeEditor<'_>,
    boot: &mut TreeEditor<'_>,
    options: &UBootOptions<'_>,
    kernel: &Kernel,
    added: &str,
) -> Result<(String, Vec<String>), Problems> {
    let start = GoldenStart::new(boot.tree(), options);
    refusals(root.tree(), boot.tree(), options, &start)?;
    let program = program::find(root.tree(), boot.tree(), options, &kernel.flavor)?;
    let mut notes = start.notes(boot.tree());
    if !options.models.is_empty() {
        notes.extend(start.remarks(root.tree(), boot.tree()));
    }
    notes.extend(boot_files::notes(boot.tree(), options.models));
    notes.extend(firmware::unknown_filters(boot.tree()));
    let other = start.other_kernel(root.tree(), boot.tree(), kernel, options.arch);
    // Of another kernel the initial RAM disk is another one, too.
    notes.extend(other.or_else(|| start.other_initrd(root.tree(), boot.tree(), kernel)));
    check_lengths(boot.tree(), options, &start, added, &mut notes)?;
    let edits = edit_firmware(boot, options, &start, &program.bytes, &mut notes)
        .and_then(|()| edit_delay(boot, options, &program, &mut notes))
        .and_then(|()| services::disable(root, options, &mut notes));
    edits.map_err(|e| Problem::new(e.to_string()))?;
    Ok((program.origin, notes))
}

/// Whether the kernel reads all of its arguments: those of `cmdline.txt`, ours, and what the
/// firmware adds.
fn check_lengths(
    boot: &Tree,
    options: &UBootOptions<'_>,
    start: &GoldenStart,
    added: &str,
    notes: &mut Vec<String>,
) -> Result<(), Problem> {
    let limit = command_line_limit(options.arch);
    let slot = options.partuuids.iter().map(|id| id.len()).max();
    let ours = " root=PARTUUID=".len() + slot.unwrap_or(0) + " mender.slot=10 ".len() + added.len();
    for name in start.cmdlines() {
        let text = firmware::text(boot, name).unwrap_or_default();
        let own = cmdline::edit(&text).line().len();
        let all = own + ours;
        if all > limit {
            let text = format!(
                "{name} of the boot partition: {own} bytes of arguments and {ours} of ours are \
                 {all}; the kernel takes {limit} and cuts the rest off"
            );
            return Err(Problem::new(text).hint("shorten the arguments in the golden image"));
        }
        if all + FIRMWARE_ARGUMENTS > limit {
            notes.push(format!(
                "{name} of the boot partition: {own} bytes of arguments and {ours} of ours are \
                 {all}; the kernel takes {limit}, and the firmware adds up to about \
                 {FIRMWARE_ARGUMENTS}: the last ones may be cut off, root= is in front of them"
            ));
        }
    }
    Ok(())
}

/// Edits the files of the firmware.
fn edit_firmware(
    boot: &mut TreeEditor<'_>,
    options: &UBootOptions<'_>,
    start: &GoldenStart,
    program: &[u8],
    notes: &mut Vec<String>,
) -> Result<(), EditError> {
    for prefix in start.prefixes() {
        boot.file(
            boot.tree()
                .path_ignore_case(format!("/{prefix}{}", config::PROGRAM)),
            program,
            0o644,
            "U-Boot, which the firmware starts instead of a kernel",
        )?;
    }
    let mut cmdlines = start.cmdlines();
    if !cmdlines.contains(&"cmdline.txt") {
        cmdlines.push("cmdline.txt");
    }
    for cmdline in cmdlines {
        edit_cmdline(boot, cmdline, notes)?;
    }
    for name in CONFIGS {
        if name == "config.txt" || firmware::has(boot.tree(), name) {
            edit_config(boot, name, options, notes)?;
        }
    }
    edit_autoboot(boot, notes)
}

/// Makes U-Boot look for no key on the serial line, where any byte would be one.
fn edit_delay(
    boot: &mut TreeEditor<'_>,
    options: &UBootOptions<'_>,
    program: &Program,
    notes: &mut Vec<String>,
) -> Result<(), EditError> {
    let path = boot.tree().path_ignore_case(delay::PATH);
    // A U-Boot with an environment outside the partitions was built for it, its delay too.
    if options.storage != EnvStorage::Files {
        return Ok(());
    }
    let uart = "config.txt: enable_uart=1 is set, without which the clock of the serial line changes \
                with that of the processor: U-Boot writes its messages there";
    if let Some(file) = delay::environment(&program.uboot) {
        notes.push(format!(
            "{uart}, and nothing that is sent there stops it (bootdelay=-2 in uboot.env)"
        ));
        let reason =
            "U-Boot's own environment, with no delay: a byte on the serial line would stop it";
        return boot.file(path, file, 0o644, reason);
    }
    notes.push(format!("{uart}, to whatever is connected"));
    boot.remove(
        path,
        "U-Boot's own stored environment: the script takes its defaults",
    )?;
    notes.push(format!(
        "{}: U-Boot {} waits for a key on the serial line before it starts, and any byte there is \
         one: connect nothing that sends, or build U-Boot with CONFIG_BOOTDELAY=-2",
        program.origin, program.uboot.version
    ));
    Ok(())
}

/// Takes out of a file with arguments what the boot script decides.
fn edit_cmdline(
    boot: &mut TreeEditor<'_>,
    name: &str,
    notes: &mut Vec<String>,
) -> Result<(), EditError> {
    let path = boot.tree().path_ignore_case(format!("/{name}"));
    let Some(old) = boot.text(&path, TEXT_LIMIT)? else {
        return Ok(());
    };
    let edited = cmdline::edit(&old);
    if !edited.gone.is_empty() {
        notes.push(format!(
            "/{name} of the boot partition: taken out: {}",
            edited.gone.join(" ")
        ));
    }
    for note in &edited.notes {
        notes.push(format!("/{name} of the boot partition: {note}"));
    }
    if edited.is_changed() {
        boot.rewrite(
            path,
            edited.text,
            0o644,
            "the boot script says which root filesystem it is; nothing may resize or restart",
        )?;
    }
    Ok(())
}

/// Makes the settings of the file `name`, and of those that it includes, start U-Boot.
fn edit_config(
    boot: &mut TreeEditor<'_>,
    name: &str,
    options: &UBootOptions<'_>,
    notes: &mut Vec<String>,
) -> Result<(), EditError> {
    let mut files = vec![name.to_owned()];
    let mut at = 0;
    while let Some(name) = files.get(at).cloned() {
        let path = boot.tree().path_ignore_case(format!("/{name}"));
        let found = boot.text(&path, TEXT_LIMIT)?;
        if at > 0 && found.is_none() {
            at += 1;
            continue;
        }
        let old = found.unwrap_or_default();
        let (text, gone) = config::without_kernels(&old);
        for (number, line) in gone {
            let note = format!(
                "{name}:{number}: `{}` is commented out: the firmware starts U-Boot, which loads \
                 kernel and initial RAM disk from the slot",
                line.escape_debug()
            );
            if !config::is_usual(&line, options.arch) && !notes.contains(&note) {
                notes.push(note);
            }
        }
        let text = if at == 0 {
            config::with_program(&text, options.arch)
        } else {
            text
        };
        if text != old {
            boot.rewrite(
                path,
                text,
                0o644,
                "the firmware starts U-Boot, which loads kernel and initial RAM disk",
            )?;
        }
        let more = config::includes(&old).into_iter().take(MAX_INCLUDES);
        for name in more {
            let known = |file: &String| file.eq_ignore_ascii_case(&name);
            if files.len() < MAX_INCLUDES && !files.iter().any(known) {
                files.push(name);
            }
        }
        at += 1;
    }
    Ok(())
}

/// Makes `autoboot.txt` select the boot partition, which is the first one now.
fn edit_autoboot(boot: &mut TreeEditor<'_>, notes: &mut Vec<String>) -> Result<(), EditError> {
    let path = boot.tree().path_ignore_case("/autoboot.txt");
    let Some(old) = boot.text(&path, TEXT_LIMIT)? else {
        return Ok(());
    };
    let text = config::with_first_partition(&old);
    if text != old {
        notes
            .push("autoboot.txt: boot_partition is 1, the number of the boot partition now".into());
        let reason = "the boot partition is the first one";
        boot.rewrite(path, text, 0o644, reason)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
