//! Units that mount the boot partition: those in `/etc` come before lines of `/etc/fstab`
//! (`systemd.mount(5)`), and the boot environment must be written.

use super::Judge;
use super::units::{Setting, Unit, names_in};
use crate::golden::fstab::same_dir;
use crate::tree::edit::EditError;
use crate::tree::editor::TreeEditor;

/// Takes options out by which the boot partition could not be written.
pub(super) fn make_writable(
    root: &mut TreeEditor<'_>,
    boot_mount: &str,
    judge: &mut Judge<'_>,
) -> Result<(), EditError> {
    let dirs = ["/etc/systemd/system", "/usr/lib/systemd/system"];
    let names: Vec<String> = dirs
        .iter()
        .flat_map(|dir| names_in(root.tree(), dir))
        .filter(|name| name.ends_with(".mount"))
        .collect();
    for name in names {
        let Some(unit) = Unit::load(root.tree(), &name) else {
            continue;
        };
        let mounts = unit
            .last("Where")
            .is_some_and(|setting| same_dir(&setting.value, boot_mount));
        for setting in unit.all("Options").into_iter().filter(|_| mounts) {
            without_read_only(root, setting, boot_mount, judge)?;
        }
    }
    Ok(())
}

/// Rewrites a line with options, if one of them is `ro`.
fn without_read_only(
    root: &mut TreeEditor<'_>,
    setting: &Setting,
    boot_mount: &str,
    judge: &mut Judge<'_>,
) -> Result<(), EditError> {
    let options: Vec<&str> = setting.value.split(',').map(str::trim).collect();
    if !options.contains(&"ro") || judge.accepts(&[&setting.file]) {
        return Ok(());
    }
    let kept: Vec<&str> = options
        .into_iter()
        .filter(|option| *option != "ro")
        .collect();
    let new = if kept.is_empty() {
        "Options=defaults".to_owned()
    } else {
        format!("Options={}", kept.join(","))
    };
    let text = root
        .text(&setting.file, super::TEXT_LIMIT)?
        .unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let lines: Vec<&str> = lines
        .iter()
        .enumerate()
        .map(|(at, line)| {
            if at + 1 == setting.line {
                new.as_str()
            } else {
                *line
            }
        })
        .collect();
    let reason = "the boot environment must be written";
    root.rewrite(&setting.file, lines.join("\n") + "\n", 0o644, reason)?;
    judge.notes.push(format!(
        "{}:{}: option ro is dropped: the boot environment is on {boot_mount}, and no update could be installed",
        setting.file, setting.line
    ));
    Ok(())
}
