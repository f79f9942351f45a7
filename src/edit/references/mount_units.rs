//! Units of systemd that mount or switch swap space on, looked at like lines of `/etc/fstab`: those
//! in `/etc` win against it, and drop-ins change whatever is made of it.

use super::super::Workspace;
use super::lines::LineEdits;
use super::names::{Names, Resolution, Verdict, describe};
use super::row::{Row, Treatment};
use crate::golden::references::device::Device;
use crate::golden::references::unit_names;
use crate::golden::references::units::{MountUnit, Setting, mount_units, settings};
use crate::plan::family::Role;
use crate::problem::Problem;

/// What was done with units.
#[derive(Debug, Default)]
pub(super) struct UnitEdits {
    /// Rows of the table.
    pub(super) rows: Vec<Row>,
    /// Mount points that nothing mounts any more.
    pub(super) gone: Vec<String>,
}

/// Settings of a mount unit that change what or how it mounts.
const MOUNT_SETTINGS: [&str; 4] = ["What", "Where", "Type", "Options"];

/// Takes units out that hide our mounts at `ours`, or whose device cannot stay. `listed` are the
/// mount points of `/etc/fstab`, which win against units below `/usr`.
pub(super) fn edit(
    work: &mut Workspace<'_>,
    edits: &mut LineEdits,
    names: &Names,
    ours: &[&str],
    listed: &[String],
) -> UnitEdits {
    let mut out = UnitEdits::default();
    for unit in mount_units(work.root.tree()) {
        let result = if unit.mounts() && ours.contains(&unit.dir.as_str()) {
            hiding(work, edits, names, &unit, &mut out)
        } else {
            other(work, edits, names, listed, &unit, &mut out)
        };
        if let Err(error) = result {
            work.problems.push(Problem::new(error.to_string()));
        }
    }
    out
}

/// A unit of one of our own mounts: its file goes where it wins, and drop-ins lose what changes our
/// mount.
fn hiding(
    work: &mut Workspace<'_>,
    edits: &mut LineEdits,
    names: &Names,
    unit: &MountUnit,
    out: &mut UnitEdits,
) -> Result<(), crate::tree::edit::EditError> {
    let tree = work.root.tree();
    let mut found: Vec<(String, Setting)> = Vec::new();
    for path in &unit.drop_ins {
        let settings = settings(tree, path);
        found.extend(
            settings
                .into_iter()
                .filter(|(key, _)| MOUNT_SETTINGS.contains(&key.as_str())),
        );
    }
    let dir = &unit.dir;
    for (key, setting) in found {
        let why = format!("{dir} is mounted by /etc/fstab of the A/B layout");
        edits.comment(
            &(false, setting.file.clone()),
            setting.line,
            setting.line,
            &why,
        );
        work.notes.push(format!(
            "{}:{}: {key}={} is commented out: {why}",
            setting.file, setting.line, setting.value
        ));
        let device = Device::parse(&setting.value);
        let what = format!("{key}={}", setting.value);
        let resolution = names.resolve(&device);
        let row = Row::new(&setting.file, setting.line, "drop-in", &what, &resolution);
        out.rows.push(row.action(Treatment::Removed));
    }
    let Some(file) = &unit.file else {
        return Ok(());
    };
    let what = match &unit.what {
        _ if unit.masked => "masked".to_owned(),
        Some(what) => format!("{} on {dir}", what.value),
        None => dir.clone(),
    };
    let device = unit.what.as_ref().map(|what| Device::parse(&what.value));
    let resolution = names.resolve(&device.unwrap_or(Device::Other));
    let row = Row::new(file, 0, "mount unit", &what, &resolution);
    if !unit.wins() {
        out.rows.push(row);
        return Ok(());
    }
    let why = match unit.masked {
        true => format!("it would keep {dir} from being mounted"),
        false => format!("it would hide the mount of {dir} by /etc/fstab"),
    };
    work.root
        .remove(file, "units may not hide the mounts of the A/B layout")?;
    work.notes.push(format!("{file} is removed: {why}"));
    out.rows.push(row.action(Treatment::Removed));
    Ok(())
}

/// Any other unit: it is taken out if its device cannot stay.
fn other(
    work: &mut Workspace<'_>,
    edits: &mut LineEdits,
    names: &Names,
    listed: &[String],
    unit: &MountUnit,
    out: &mut UnitEdits,
) -> Result<(), crate::tree::edit::EditError> {
    let Some(what) = &unit.what else {
        return Ok(());
    };
    let device = Device::parse(&what.value);
    if device == Device::Other {
        return Ok(());
    }
    let found = names.resolve(&device);
    let kind = match unit.mounts() {
        true => "mount unit",
        false => "swap unit",
    };
    let row = Row::new(&what.file, what.line, kind, &what.value, &found);
    let hidden = !unit.wins() && unit.mounts() && listed.contains(&unit.dir);
    let in_drop_in = unit.file.as_ref() != Some(&what.file);
    if hidden && !in_drop_in {
        out.rows.push(row);
        return Ok(());
    }
    let options = unit.options.as_ref().map_or("", |one| one.value.as_str());
    let optional = options
        .split(',')
        .any(|option| matches!(option, "nofail" | "noauto"));
    let needed = unit.enabled() && !optional;
    let why = found
        .objection(&what.value, &device, needed)
        .or_else(|| boot_twice(&found, &device, names));
    let Some(why) = why.filter(|_| !matches!(device, Device::Path(_))) else {
        out.rows.push(row);
        return Ok(());
    };
    let place = format!("{}:{}", what.file, what.line);
    if unit.file.is_none() {
        edits.comment(&(false, what.file.clone()), what.line, what.line, &why);
        work.notes
            .push(format!("{place}: What= is commented out: {why}"));
    } else {
        remove(work, unit, &why)?;
        work.notes
            .push(format!("{place}: the unit is removed: {why}"));
        let gone = match unit.mounts() {
            true => unit.dir.clone(),
            false => what.value.clone(),
        };
        out.gone.push(gone);
    }
    out.rows.push(row.action(Treatment::Removed));
    Ok(())
}

/// The reason why a unit would mount the boot partition a second time, if it would.
fn boot_twice(found: &Resolution, device: &Device, names: &Names) -> Option<String> {
    let same = match found.verdict {
        Verdict::Moved(Role::Boot) => true,
        Verdict::Same => matches!(device, Device::Tag(_)) && names.is_boot(device),
        _ => false,
    };
    same.then(|| format!("{} is mounted by /etc/fstab", describe(Role::Boot)))
}

/// Takes a unit out: its file, what enables it and its automount unit; one below `/usr` is masked.
fn remove(
    work: &mut Workspace<'_>,
    unit: &MountUnit,
    why: &str,
) -> Result<(), crate::tree::edit::EditError> {
    let file = unit.file.as_deref().unwrap_or_default();
    let etc = |name: &str| format!("/etc/systemd/system/{name}");
    if unit.wins() {
        work.root.remove(file, why)?;
    } else {
        work.root.symlink(etc(&unit.name), "/dev/null", why)?;
    }
    for link in &unit.links {
        work.root.remove(link, why)?;
    }
    if unit.mounts() {
        let automount = format!("{}.automount", unit_names::escape(&unit.dir));
        if work.root.tree().find_nofollow(etc(&automount)).is_some() {
            work.root.remove(etc(&automount), why)?;
            work.notes.push(format!(
                "{} is removed with its mount unit",
                etc(&automount)
            ));
        }
        let links = automount_links(work, &automount);
        for link in links {
            work.root.remove(link, why)?;
        }
    }
    Ok(())
}

/// The links that enable an automount unit.
fn automount_links(work: &Workspace<'_>, name: &str) -> Vec<String> {
    use crate::golden::references::entries;
    let tree = work.root.tree();
    let dirs = entries(tree, "/etc/systemd/system").into_iter();
    let dirs = dirs.filter(|dir| dir.ends_with(".wants") || dir.ends_with(".requires"));
    let links = dirs.flat_map(|dir| entries(tree, &dir));
    links
        .filter(|link| link.rsplit('/').next() == Some(name))
        .collect()
}
