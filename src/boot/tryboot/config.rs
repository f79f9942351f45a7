//! `config.txt` and `tryboot.txt`: the device's settings, below the line that names the slot.

use super::files::BootFiles;
use super::text_of;
use crate::boot::common::pi::firmware::name;
use crate::tree::edit::EditError;
use crate::tree::editor::TreeEditor;
use std::collections::BTreeSet;

/// The prefix of a line that was disabled.
const DISABLED: &str = "#mender# ";
/// Settings that would start something else, in any section.
const STARTS: [&str; 8] = [
    "kernel",
    "initramfs",
    "auto_initramfs",
    "ramfsfile",
    "ramfsaddr",
    "os_prefix",
    "cmdline",
    "upstream_kernel",
];
/// The number of files that are followed from `config.txt`.
const MAX_INCLUDES: usize = 64;

/// The lines in front of the device's settings. The first one is changed in place by the tools of
/// the device, within the first sector.
fn head(found: &BootFiles, per_slot: bool) -> String {
    let mut out = "os_prefix=slot-a0/\n# The line above names the files of the slot that starts. The \
                   tools of the update client change it\n# in place; it stays the first one. Settings \
                   of the device are below the next line.\n"
        .to_owned();
    let lines = |start: &super::files::Start| {
        let ram = start.initramfs.as_ref();
        let ram = ram.map(|names| format!("initramfs {names} followkernel\n"));
        format!("kernel={}\n{}", start.kernel, ram.unwrap_or_default())
    };
    let kinds: BTreeSet<String> = found.starts.iter().map(lines).collect();
    if let [one] = kinds.iter().collect::<Vec<_>>()[..] {
        out.push_str(one);
    } else {
        for start in &found.starts {
            out.push_str(&format!("[{}]\n{}", start.model.name(), lines(start)));
        }
        out.push_str("[all]\n");
    }
    if per_slot {
        out.push_str(
            "# In the trial of an update a kernel that hangs is reset.\n[tryboot]\n\
             dtparam=watchdog=on\nkernel_watchdog_timeout=60\n[all]\n",
        );
    }
    out + "# ---- end of the lines for the slots ----\n"
}

/// The text with each line that starts something commented out, and these lines.
pub(super) fn disabled(text: &str) -> (String, Vec<(usize, String)>) {
    let mut gone = Vec::new();
    let mut out = String::new();
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        if STARTS.contains(&name(line)) {
            out.push_str(DISABLED);
            gone.push((number, line.trim().to_owned()));
        }
        out.push_str(line);
    }
    (out, gone)
}

/// Makes the settings name the first slot.
pub(super) fn edit(
    boot: &mut TreeEditor<'_>,
    found: &BootFiles,
    per_slot: bool,
    notes: &mut Vec<String>,
) -> Result<(), EditError> {
    let mut files = vec!["config.txt".to_owned()];
    let mut at = 0;
    while let Some(name) = files.get(at).cloned() {
        let old = text_of(boot, &name)?;
        at += 1;
        let Some((path, old)) = old
            .or_else(|| (name == "config.txt").then(|| (b"/config.txt".to_vec(), String::new())))
        else {
            continue;
        };
        let plain = old.trim_start_matches('\u{feff}');
        let (text, gone) = disabled(plain);
        for (number, line) in gone {
            let note = format!(
                "{name}:{number}: `{}` is commented out: the lines for the slots say it",
                line.escape_debug()
            );
            if !line.starts_with("auto_initramfs") && !notes.contains(&note) {
                notes.push(note);
            }
        }
        for more in includes(plain) {
            let is_known = files.iter().any(|file| file.eq_ignore_ascii_case(&more));
            if files.len() < MAX_INCLUDES && !is_known {
                files.push(more);
            }
        }
        if at == 1 {
            let text = head(found, per_slot) + &text;
            let reason = "names the slot that starts; the device's settings are below";
            boot.rewrite(path, text.clone(), 0o644, reason)?;
            trial(boot, (!per_slot).then_some(text), notes)?;
        } else if text != plain {
            boot.rewrite(path, text, 0o644, "the lines for the slots say what starts")?;
        }
    }
    let path = boot.tree().path_ignore_case("/autoboot.txt");
    let reason = match per_slot {
        true => "it is on the first partition",
        false => "the boot partition is the first one, which the firmware takes by itself",
    };
    if boot.remove(path, reason)?.is_some() {
        notes.push(format!("autoboot.txt: is removed: {reason}"));
    }
    Ok(())
}

/// Writes `tryboot.txt`, or removes it where the trial has a partition of its own.
fn trial(
    boot: &mut TreeEditor<'_>,
    text: Option<String>,
    notes: &mut Vec<String>,
) -> Result<(), EditError> {
    let path = boot.tree().path_ignore_case("/tryboot.txt");
    let existed = boot.tree().file(&path).is_some();
    let Some(text) = text else {
        let reason = "each slot has config.txt on its own partition";
        boot.remove(path, reason)?;
        if existed {
            notes.push(format!("tryboot.txt: is removed: {reason}"));
        }
        return Ok(());
    };
    if existed {
        notes.push("tryboot.txt: is replaced: it is for the trials of updates".into());
    }
    let reason = "settings of one start, for the trial of an update";
    boot.rewrite(path, text, 0o644, reason)
}

/// The files that the text includes.
fn includes(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| name(line) == "include");
    lines
        .filter_map(|line| line.split_whitespace().nth(1))
        .map(str::to_owned)
        .collect()
}
