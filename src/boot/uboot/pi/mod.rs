//! Raspberry Pi: the firmware's files on the boot partition, and the services of Raspberry Pi OS
//! that conflict with A/B.
//!
//! The firmware starts U-Boot as it would start a kernel, `config.txt` names it. Device trees and
//! overlays stay with the firmware: both root filesystems share them.

mod cmdline;
mod config;
mod services;

use super::options::UBootOptions;
use super::program;
use crate::boot::common::TEXT_LIMIT;
use crate::problem::Problem;
use crate::tree::Tree;
use crate::tree::edit::EditError;
use crate::tree::editor::TreeEditor;

/// The number of includes that are followed in each file.
const MAX_INCLUDES: usize = 5;

/// The arguments that the firmware will pass on.
pub(super) fn kept_arguments(boot: &Tree) -> String {
    let path = boot.path_ignore_case(format!("/{}", cmdline_name(boot)));
    let text = boot
        .read(path, TEXT_LIMIT)
        .ok()
        .flatten()
        .unwrap_or_default();
    cmdline::edit(&String::from_utf8_lossy(&text)).0
}

/// The file that `config.txt` takes the arguments from.
fn cmdline_name(boot: &Tree) -> String {
    let text = boot
        .read(boot.path_ignore_case("/config.txt"), TEXT_LIMIT)
        .ok()
        .flatten()
        .unwrap_or_default();
    config::value(&String::from_utf8_lossy(&text), "cmdline")
        .unwrap_or_else(|| "cmdline.txt".into())
}

/// Makes the firmware start U-Boot, and the system leave disk and environment alone. Returns the
/// origin of U-Boot, and notes for the user.
pub(super) fn integrate(
    root: &mut TreeEditor<'_>,
    boot: &mut TreeEditor<'_>,
    options: &UBootOptions<'_>,
    flavor: &str,
) -> Result<(String, Vec<String>), Problem> {
    let (origin, bytes) = program::find(root.tree(), boot.tree(), options, flavor)?;
    let mut notes = Vec::new();
    let edits = edit_firmware(boot, options, bytes, &mut notes)
        .and_then(|()| services::disable(root, options, &mut notes));
    edits.map_err(|e| Problem::new(e.to_string()))?;
    Ok((origin, notes))
}

/// Edits the files of the firmware.
fn edit_firmware(
    boot: &mut TreeEditor<'_>,
    options: &UBootOptions<'_>,
    program: Vec<u8>,
    notes: &mut Vec<String>,
) -> Result<(), EditError> {
    let path = boot
        .tree()
        .path_ignore_case(format!("/{}", config::PROGRAM));
    boot.file(
        path,
        program,
        0o644,
        "U-Boot, which the firmware starts instead of a kernel",
    )?;
    let cmdline = format!("/{}", cmdline_name(boot.tree()));
    let path = boot.tree().path_ignore_case(&cmdline);
    let old = boot.text(&path, TEXT_LIMIT)?.unwrap_or_default();
    let (text, gone) = cmdline::edit(&old);
    if !gone.is_empty() {
        notes.push(format!(
            "{cmdline} of the boot partition: taken out: {}",
            gone.join(" ")
        ));
        boot.rewrite(
            path,
            text,
            0o644,
            "the boot script says which root filesystem it is; nothing may resize or restart",
        )?;
    }
    let mut files = vec!["config.txt".to_owned()];
    let mut at = 0;
    while let Some(name) = files.get(at).cloned() {
        let path = boot.tree().path_ignore_case(format!("/{name}"));
        let old = boot.text(&path, TEXT_LIMIT)?.unwrap_or_default();
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
        files.extend(
            config::includes(&old)
                .into_iter()
                .take(MAX_INCLUDES)
                .filter(|name| !files.contains(name))
                .collect::<Vec<_>>(),
        );
        at += 1;
    }
    Ok(())
}
