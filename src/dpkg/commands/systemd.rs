//! `deb-systemd-helper`: which units are enabled, and the record that it keeps of it (its manual
//! page, and the behaviour of version 1.65 of init-system-helpers).

use super::super::script_host::ScriptHost;
use super::super::units::{UnitFiles, UnitLink};
use super::arguments::{CommandResult, options};
use crate::shell::matches;
use crate::tree::edit::EditError;
use std::collections::BTreeSet;

/// Units that one unit may draw in by `Also=`; real ones name a few.
const MAX_UNITS: usize = 100;

/// The system's units, or those of all users' sessions.
struct Instance {
    name: &'static str,
    enabled: &'static str,
    masked: &'static str,
}

const SYSTEM: Instance = Instance {
    name: "system",
    enabled: "/var/lib/systemd/deb-systemd-helper-enabled",
    masked: "/var/lib/systemd/deb-systemd-helper-masked",
};
const USER: Instance = Instance {
    name: "user",
    enabled: "/var/lib/systemd/deb-systemd-user-helper-enabled",
    masked: "/var/lib/systemd/deb-systemd-user-helper-masked",
};

pub(super) fn helper(host: &mut ScriptHost<'_, '_>, args: &[&str]) -> CommandResult {
    let (options, operands) = options(args);
    if !options
        .iter()
        .all(|option| matches!(*option, "--quiet" | "--user" | "--system"))
    {
        return Ok(None);
    }
    let instance = if options.contains(&"--user") {
        &USER
    } else {
        &SYSTEM
    };
    let Some((action, units)) = operands.split_first() else {
        return Ok(Some(0));
    };
    let mut status = i32::from(matches!(
        *action,
        "is-enabled" | "was-enabled" | "debian-installed"
    ));
    for unit in units {
        let true_status = |yes: bool, status: i32| if yes { 0 } else { status };
        match *action {
            "unmask" => unmask(host, instance, unit)?,
            "mask" => mask(host, instance, unit)?,
            "enable" => {
                if !enable(host, instance, unit)? {
                    return Ok(None);
                }
            }
            "update-state" => update_state(host, instance, unit)?,
            "was-enabled" => status = true_status(was_enabled(host, instance, unit)?, status),
            "debian-installed" => {
                status = true_status(host.is_file(&state_path(instance, unit)), status)
            }
            "is-enabled" => {
                let links = links(host, instance, unit)?;
                status = true_status(
                    links
                        .iter()
                        .all(|link| host.link_target(&link.path).is_some()),
                    status,
                );
            }
            "disable" | "purge" => disable(host, instance, unit, *action == "purge")?,
            _ => return Ok(None),
        }
    }
    Ok(Some(status))
}

fn state_path(instance: &Instance, unit: &str) -> String {
    format!(
        "{}/{}.dsh-also",
        instance.enabled,
        unit.rsplit('/').next().unwrap_or(unit)
    )
}

/// The file of a unit as `deb-systemd-helper` finds it.
fn find_unit(host: &ScriptHost<'_, '_>, instance: &Instance, unit: &str) -> String {
    find_in(host, instance, unit, &["/etc", "/lib", "/usr/lib"])
}

fn find_in(host: &ScriptHost<'_, '_>, instance: &Instance, unit: &str, dirs: &[&str]) -> String {
    let paths = dirs
        .iter()
        .map(|dir| format!("{dir}/systemd/{}/{unit}", instance.name));
    paths
        .into_iter()
        .find(|path| host.is_file(path))
        .unwrap_or_else(|| unit.to_owned())
}

/// The unit files of the image, as systemd finds them.
fn unit_files<'h>(host: &'h ScriptHost<'_, '_>, instance: &Instance) -> UnitFiles<'h> {
    let installed = host.database.named("systemd");
    let version = installed.map(|systemd| &systemd.facts.version);
    UnitFiles::of(host.editor.tree(), instance.name, version)
}

/// The system's unit files.
pub(super) fn system_units<'h>(host: &'h ScriptHost<'_, '_>) -> UnitFiles<'h> {
    unit_files(host, &SYSTEM)
}

/// Paths of links and their targets; `None` where there is nothing to enable a unit by.
type InstallLinks = Option<Vec<(String, String)>>;

/// The links that systemd makes to enable a system unit: `None` where its file is not understood,
/// and within it `None` where there is no such file, or it has nothing to enable it by.
pub(super) fn install_links(
    host: &ScriptHost<'_, '_>,
    unit: &str,
) -> Result<Option<InstallLinks>, EditError> {
    let files = system_units(host);
    if files.file(unit).is_none() {
        return Ok(Some(None));
    }
    let Some(links) = files.links(unit)? else {
        return Ok(None);
    };
    let pairs: Vec<_> = links
        .into_iter()
        .map(|link| (link.path, link.target))
        .collect();
    Ok(Some(Some(pairs).filter(|pairs| !pairs.is_empty())))
}

/// The links of a unit as `deb-systemd-helper` reads its file, line by line, in the order in which
/// it records them: first those of the units that it names by `Also=`.
fn links(
    host: &ScriptHost<'_, '_>,
    instance: &Instance,
    unit: &str,
) -> Result<Vec<UnitLink>, EditError> {
    let mut out = Vec::new();
    unit_links(host, instance, unit, &mut BTreeSet::new(), &mut out)?;
    Ok(out)
}

fn unit_links(
    host: &ScriptHost<'_, '_>,
    instance: &Instance,
    unit: &str,
    seen: &mut BTreeSet<String>,
    out: &mut Vec<UnitLink>,
) -> Result<(), EditError> {
    if seen.len() >= MAX_UNITS || !seen.insert(unit.to_owned()) {
        return Ok(());
    }
    let target = find_unit(host, instance, unit);
    let text = host.text(&target)?.unwrap_or_default();
    let name = target.rsplit('/').next().unwrap_or(unit).to_owned();
    let mut wanted = name.clone();
    let mut dirs = Vec::new();
    let etc = format!("/etc/systemd/{}", instance.name);
    for line in text.lines() {
        let Some((key, value)) = line.trim_start().split_once('=') else {
            continue;
        };
        let values = words(value)
            .into_iter()
            .map(|value| value.trim_matches(['"', '\'']).to_owned());
        match key {
            "WantedBy" => dirs.extend(values.map(|value| format!("{etc}/{value}.wants"))),
            "RequiredBy" => dirs.extend(values.map(|value| format!("{etc}/{value}.requires"))),
            "Also" => {
                for also in values.filter(|value| *value != name) {
                    unit_links(host, instance, &also, seen, out)?;
                }
            }
            // The link of each name has all of the names.
            "Alias" => out.extend(values.filter(|alias| *alias != name).map(|_| UnitLink {
                path: format!("{etc}/{value}"),
                target: target.clone(),
            })),
            "DefaultInstance" => {
                if let Some((stem, suffix)) = name.split_once("@.") {
                    wanted = format!("{stem}@{}.{suffix}", value.trim().trim_matches(['"', '\'']));
                }
            }
            _ => {}
        }
    }
    out.extend(dirs.into_iter().map(|dir| UnitLink {
        path: format!("{dir}/{wanted}"),
        target: target.clone(),
    }));
    Ok(())
}

/// The words of a value as Perl splits it: with a blank before them, the first one is empty.
fn words(value: &str) -> Vec<&str> {
    let empty = value.starts_with(|c: char| c.is_ascii_whitespace());
    let first = Some("").filter(|_| empty);
    first.into_iter().chain(value.split_whitespace()).collect()
}

fn was_enabled(
    host: &ScriptHost<'_, '_>,
    instance: &Instance,
    unit: &str,
) -> Result<bool, EditError> {
    let state = host.text(&state_path(instance, unit))?.unwrap_or_default();
    Ok(state.lines().all(|link| host.link_target(link).is_some()))
}

/// Whether the image's presets, or the setting that the update client stays off, allow a unit to be
/// enabled (`systemd.preset(5)`: files by name, the first of a name counts; the first rule that
/// fits; without one: enabled).
fn preset(host: &ScriptHost<'_, '_>, instance: &Instance, unit: &str) -> Result<bool, EditError> {
    let mut files = std::collections::BTreeMap::new();
    for dir in ["/etc", "/run", "/usr/local/lib", "/usr/lib"] {
        let dir = format!("{dir}/systemd/{}-preset", instance.name);
        let names = host
            .editor
            .tree()
            .dir(&dir)
            .into_iter()
            .flat_map(|dir| dir.entries.keys());
        for name in names
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .filter(|name| name.ends_with(".preset"))
        {
            files
                .entry(name.clone())
                .or_insert_with(|| format!("{dir}/{name}"));
        }
    }
    for path in files.values() {
        for line in host.text(path)?.unwrap_or_default().lines() {
            let mut words = line.split_whitespace();
            let (Some(verb @ ("enable" | "disable")), Some(pattern)) = (words.next(), words.next())
            else {
                continue;
            };
            if matches(pattern, unit) {
                return Ok(verb == "enable");
            }
        }
    }
    Ok(true)
}

/// `false` where the unit's file is not understood.
fn enable(
    host: &mut ScriptHost<'_, '_>,
    instance: &Instance,
    unit: &str,
) -> Result<bool, EditError> {
    let wanted = links(host, instance, unit)?;
    let systemctl = ["/bin/systemctl", "/usr/bin/systemctl"]
        .iter()
        .any(|path| host.exists(path));
    let known = host.is_file(&state_path(instance, unit));
    let kept_off = host.disabled.contains(unit);
    let create = if systemctl && known {
        wanted
            .iter()
            .any(|link| host.link_target(&link.path).is_some())
    } else {
        !kept_off && (!systemctl || preset(host, instance, unit)?)
    };
    // Where systemctl is, the first installation asks it for the links, and it makes all of them.
    let preset_links = create && systemctl && !known;
    if preset_links {
        let Some(links) = unit_files(host, instance).links(unit)? else {
            return Ok(false);
        };
        for link in links {
            if host.link_target(&link.path).is_none() {
                host.symlink(&link.path, &link.target)?;
            }
        }
    }
    for link in &wanted {
        record(host, instance, unit, &link.path)?;
        let state = marker(instance.enabled, instance, &link.path);
        if host.exists(&state) {
            continue;
        }
        if create && !preset_links && host.link_target(&link.path).is_none() {
            host.symlink(&link.path, &link.target)?;
        }
        host.mkdir(state.rsplit_once('/').map_or("/", |(dir, _)| dir), 0o755)?;
        host.write_file(&state, b"", false)?;
    }
    Ok(true)
}

/// The file that remembers a link.
fn marker(dir: &str, instance: &Instance, link: &str) -> String {
    format!(
        "{dir}{}",
        link.strip_prefix(&format!("/etc/systemd/{}", instance.name))
            .unwrap_or(link)
    )
}

fn record(
    host: &mut ScriptHost<'_, '_>,
    instance: &Instance,
    unit: &str,
    link: &str,
) -> Result<(), EditError> {
    let path = state_path(instance, unit);
    let mut text = host.text(&path)?.unwrap_or_default();
    if !text.lines().any(|line| line == link) {
        text.push_str(&format!("{link}\n"));
        host.write_file(&path, text.as_bytes(), false)?;
    }
    Ok(())
}

fn update_state(
    host: &mut ScriptHost<'_, '_>,
    instance: &Instance,
    unit: &str,
) -> Result<(), EditError> {
    let text: String = links(host, instance, unit)?
        .iter()
        .map(|link| format!("{}\n", link.path))
        .collect();
    host.write_file(&state_path(instance, unit), text.as_bytes(), false)
}

fn disable(
    host: &mut ScriptHost<'_, '_>,
    instance: &Instance,
    unit: &str,
    purge: bool,
) -> Result<(), EditError> {
    let state = state_path(instance, unit);
    let text = host.text(&state)?.unwrap_or_default();
    for link in text.lines() {
        let there = host.link_target(link).is_some();
        if purge || there {
            host.remove(&marker(instance.enabled, instance, link))?;
        }
        if there {
            host.remove(link)?;
        }
    }
    if purge {
        host.remove(&state)?;
    }
    Ok(())
}

fn mask_path(instance: &Instance, unit: &str) -> String {
    format!(
        "/etc/systemd/{}/{}",
        instance.name,
        unit.rsplit('/').next().unwrap_or(unit)
    )
}

fn unmask(host: &mut ScriptHost<'_, '_>, instance: &Instance, unit: &str) -> Result<(), EditError> {
    let path = mask_path(instance, unit);
    let state = marker(instance.masked, instance, &path);
    if host.link_target(&path).as_deref() == Some("/dev/null") && host.exists(&state) {
        host.remove(&path)?;
        host.remove(&state)?;
    }
    Ok(())
}

fn mask(host: &mut ScriptHost<'_, '_>, instance: &Instance, unit: &str) -> Result<(), EditError> {
    let path = mask_path(instance, unit);
    if host.find_nofollow(&path).is_none() {
        host.symlink(&path, "/dev/null")?;
        let state = marker(instance.masked, instance, &path);
        host.write_file(&state, b"", false)?;
    }
    Ok(())
}
