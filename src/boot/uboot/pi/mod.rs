//! Raspberry Pi: the firmware's files on the boot partition, and the services of Raspberry Pi OS
//! that conflict with A/B.
//!
//! The firmware starts U-Boot as it would start a kernel, `config.txt` names it. Device trees and
//! overlays stay with the firmware: both root filesystems share them. A prefix for the names of
//! files (`os_prefix`) stays in force: U-Boot is put where the kernel was.

mod cmdline;
mod config;
mod delay;
mod firmware;
mod flavors;
mod services;

use super::kernel::{Kernel, KernelHints, flavor_of};
use super::options::{EnvStorage, UBootOptions};
use super::program::{self, Program};
use crate::boot::common::limits::command_line_limit;
use crate::boot::common::{TEXT_LIMIT, file_names};
use crate::problem::{Problem, Problems};
use crate::stream::ReadAt as _;
use crate::tree::Tree;
use crate::tree::edit::EditError;
use crate::tree::editor::TreeEditor;
use firmware::Taken;
use std::collections::BTreeSet;

pub use delay::without_delay;

/// The files that the firmware may read its settings from, besides those that they include.
const CONFIGS: [&str; 3] = ["config.txt", "tryboot.txt", "extraconfig.txt"];
/// The number of files that are followed from each of them.
const MAX_INCLUDES: usize = 64;
/// The longest kernel that is compared with others (bytes).
const KERNEL_LIMIT: u64 = 128 << 20;
/// About what the firmware adds to the arguments of `cmdline.txt` (bytes).
const FIRMWARE_ARGUMENTS: usize = 400;

/// What the firmware takes from the golden image's boot partition, for each model of the board and
/// each case that only the device can tell: the one to go by first.
pub(super) struct GoldenStart(Vec<Taken>);

impl GoldenStart {
    pub(super) fn new(boot: &Tree, options: &UBootOptions<'_>) -> Self {
        let models = firmware::models(options.models, options.arch);
        let all = models
            .into_iter()
            .flat_map(|model| firmware::taken(boot, model));
        Self(all.collect())
    }

    fn first(&self) -> Option<&Taken> {
        self.0.first()
    }

    /// A note if the golden image starts another kernel than U-Boot will.
    fn other_kernel(&self, root: &Tree, boot: &Tree, kernel: &Kernel) -> Option<String> {
        let taken = self.first()?;
        let golden = boot.file(boot.path_ignore_case(format!("/{}", taken.kernel)))?;
        let bytes = golden.read_all(KERNEL_LIMIT).ok()?;
        if program::is_uboot(&bytes) || !kernel.copies.is_empty() {
            return None;
        }
        let same = |path: &str| {
            root.file(path).is_some_and(|content| {
                content.len() == golden.len()
                    && content
                        .read_all(KERNEL_LIMIT)
                        .is_ok_and(|other| other == bytes)
            })
        };
        if same(&kernel.path) {
            return None;
        }
        let names = file_names(root, "/boot");
        let names = names.iter().filter(|name| name.starts_with("vmlinuz-"));
        let mut paths = names.map(|name| format!("/boot/{name}"));
        let which = paths.find(|path| same(path)).map_or_else(
            || "a file that is none of the kernels in /boot".to_owned(),
            |path| format!("the same as {path}"),
        );
        let bits = if taken.wide { "64" } else { "32" };
        Some(format!(
            "on a {}, the firmware of the golden image starts {} ({which}, {bits}-bit); U-Boot \
             starts {}",
            taken.model.title(),
            taken.kernel,
            kernel.path
        ))
    }

    /// The kernel that the firmware starts, if it is not a U-Boot, and its initial RAM disk.
    fn kernel(&self, boot: &Tree) -> Option<[String; 2]> {
        let mut all = self.0.iter();
        let taken = all.find(|taken| firmware::has(boot, &taken.kernel))?;
        let content = boot.file(boot.path_ignore_case(format!("/{}", taken.kernel)))?;
        if program::is_uboot(&content.read_all(KERNEL_LIMIT).ok()?) {
            return None;
        }
        let settings = firmware::settings(boot, taken.model);
        let named = settings.iter().rev().find_map(|setting| {
            let value = setting.value.split_whitespace().next()?;
            let names = ["initramfs", "ramfsfile"].contains(&setting.name.as_str());
            names.then(|| format!("{}{value}", taken.prefix.text))
        });
        // The name that the firmware looks for by itself: initramfs8 for kernel8.img.
        let at = taken.kernel.rfind('/').map_or(0, |at| at + 1);
        let (dir, name) = taken.kernel.split_at(at);
        let initrd = named.unwrap_or_else(|| match name.strip_prefix("kernel") {
            Some(rest) => format!("{dir}initramfs{}", rest.trim_end_matches(".img")),
            None => format!("{dir}initrd.img"),
        });
        Some([taken.kernel.clone(), initrd])
    }

    /// The prefixes that count on some model, and none.
    fn prefixes(&self) -> BTreeSet<&str> {
        let some = self.0.iter().map(|taken| taken.prefix.text.as_str());
        some.chain([""]).collect()
    }

    /// The files that the firmware may take the arguments from, the one to go by first.
    fn cmdlines(&self) -> Vec<&str> {
        let mut out: Vec<&str> = Vec::new();
        for taken in &self.0 {
            let known = |name: &&str| name.eq_ignore_ascii_case(&taken.cmdline.text);
            if !out.iter().any(known) {
                out.push(&taken.cmdline.text);
            }
        }
        out
    }

    /// The file to take the arguments from.
    pub(super) fn cmdline(&self) -> &str {
        self.first()
            .map_or("cmdline.txt", |taken| taken.cmdline.text.as_str())
    }

    /// The arguments that the firmware will pass on.
    pub(super) fn kept_arguments(&self, boot: &Tree) -> String {
        let text = firmware::text(boot, self.cmdline()).unwrap_or_default();
        cmdline::edit(&text).line().to_owned()
    }

    /// Notes about the lines of `config.txt` that decide where files come from.
    fn notes(&self, boot: &Tree) -> Vec<String> {
        let mut notes = Vec::new();
        let mut push = |note: String| {
            if !notes.contains(&note) {
                notes.push(note);
            }
        };
        for taken in &self.0 {
            let on = |condition: &Option<String>| match condition {
                Some(filter) => format!(" where {filter} applies"),
                None => String::new(),
            };
            if let Some(setting) = &taken.prefix.setting {
                push(format!(
                    "{}: os_prefix={} counts{}: the firmware takes U-Boot, device trees, overlays \
                     and {} from there",
                    setting.place,
                    setting.value,
                    on(&setting.condition),
                    taken.cmdline.text,
                ));
            } else if !taken.prefix.text.is_empty() {
                push(format!(
                    "config.txt: upstream_kernel=1 counts: the firmware takes U-Boot, device \
                     trees, overlays and {} from upstream/",
                    taken.cmdline.text
                ));
            }
            if let Some(setting) = &taken.cmdline.setting {
                push(format!(
                    "{}: cmdline={} counts{}: the kernel arguments are those of {}",
                    setting.place,
                    setting.value,
                    on(&setting.condition),
                    taken.cmdline.text,
                ));
            }
        }
        let of = |name: &str| {
            let models = self.0.iter().filter(|taken| taken.cmdline.text == name);
            let models: BTreeSet<&str> = models.map(|taken| taken.model.title()).collect();
            models.into_iter().collect::<Vec<_>>().join(", ")
        };
        let files = self.cmdlines();
        if files.len() > 1 {
            let each: Vec<String> = files
                .iter()
                .map(|name| format!("{name} ({})", of(name)))
                .collect();
            push(format!(
                "config.txt: the file with the kernel arguments depends on the device: {}; each \
                 device keeps its own",
                each.join(", ")
            ));
        }
        for name in files {
            if !firmware::has(boot, name) {
                push(format!(
                    "{name}: is not on the boot partition: the firmware passes on no arguments \
                     from it ({})",
                    of(name)
                ));
            }
        }
        notes
    }
}

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
fn refusals(boot: &Tree, options: &UBootOptions<'_>, start: &GoldenStart) -> Result<(), Problems> {
    let mut problems = Problems::default();
    for model in firmware::models(options.models, options.arch) {
        let settings = firmware::settings(boot, model);
        let tree = firmware::values(&settings, "device_tree", "").remove(0);
        if let Some(setting) = tree.setting.filter(|setting| setting.value.is_empty()) {
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
    let auto = firmware::text(boot, "autoboot.txt").unwrap_or_default();
    for (at, line) in auto.lines().enumerate() {
        if firmware::name(line) != "boot_partition" {
            continue;
        }
        let number = line
            .split_once('=')
            .map(|(_, value)| value.trim().parse::<u32>());
        if let (Some(Ok(number)), Some(golden)) = (number, options.golden_boot)
            && number != golden
            && number != 0
        {
            let text = format!(
                "autoboot.txt:{}: boot_partition={number}: the firmware starts from partition \
                 {number}, the conversion would start from partition {golden}",
                at + 1
            );
            let hint =
                format!("set boot.partition to {number}, or remove the line in the golden image");
            problems.push(Problem::new(text).hint(hint));
        }
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
    refusals(boot.tree(), options, &start)?;
    let program = program::find(root.tree(), boot.tree(), options, &kernel.flavor)?;
    let mut notes = start.notes(boot.tree());
    notes.extend(start.other_kernel(root.tree(), boot.tree(), kernel));
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
            edit_config(boot, name, options)?;
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
    notes.push(
        "config.txt: enable_uart=1 is set, without which the clock of the serial line changes with \
         that of the processor: U-Boot writes its messages there, to whatever is connected"
            .into(),
    );
    if let Some(file) = delay::environment(&program.uboot) {
        let reason =
            "U-Boot's own environment, with no delay: a byte on the serial line would stop it";
        return boot.file(path, file, 0o644, reason);
    }
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
        let text = config::without_kernels(&old);
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
