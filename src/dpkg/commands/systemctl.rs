//! `systemctl(1)` in a system that does not run: units are enabled, disabled and masked by links;
//! there is nothing to start or stop.

use super::super::script_host::ScriptHost;
use super::arguments::{CommandResult, options};
use super::systemd;

const DIR: &str = "/etc/systemd/system";

pub(super) fn run(host: &mut ScriptHost<'_, '_>, args: &[&str]) -> CommandResult {
    let (options, operands) = options(args);
    let Some((verb, units)) = operands.split_first() else {
        return Ok(None);
    };
    match *verb {
        "daemon-reload"
        | "daemon-reexec"
        | "start"
        | "stop"
        | "restart"
        | "try-restart"
        | "reload"
        | "reload-or-restart"
        | "try-reload-or-restart"
        | "reset-failed"
        | "kill"
        | "condrestart" => return Ok(Some(0)),
        "is-active" | "is-system-running" | "is-failed" => return Ok(Some(1)),
        _ => {}
    }
    let known = [
        "--quiet",
        "-q",
        "--now",
        "--no-reload",
        "--system",
        "--force",
        "-f",
        "--no-ask-password",
    ];
    if !options.iter().all(|option| known.contains(option)) || units.is_empty() {
        return Ok(None);
    }
    let mut status = 0;
    for unit in units {
        let unit = if unit.contains('.') {
            (*unit).to_owned()
        } else {
            format!("{unit}.service")
        };
        if unit.contains(['/', '*', '?', '[']) {
            return Ok(None);
        }
        let done = match *verb {
            "enable" => enable(host, &unit)?,
            "disable" => disable(host, &unit)?,
            "mask" => mask(host, &unit)?,
            "unmask" => {
                let path = format!("{DIR}/{unit}");
                if host.link_target(&path).as_deref() == Some("/dev/null") {
                    host.remove(&path)?;
                }
                Some(0)
            }
            _ => None,
        };
        match done {
            Some(done) => status |= done,
            None => return Ok(None),
        }
    }
    Ok(Some(status))
}

fn enable(host: &mut ScriptHost<'_, '_>, unit: &str) -> CommandResult {
    if host.disabled.contains(unit) {
        return Ok(Some(0));
    }
    if host.link_target(&format!("{DIR}/{unit}")).as_deref() == Some("/dev/null") {
        return Ok(Some(1));
    }
    let Some(links) = systemd::install_links(host, unit)? else {
        return Ok(None);
    };
    // A unit that is not there, and one without `[Install]`.
    let Some(links) = links else {
        return Ok(Some(1));
    };
    for (path, target) in links {
        if host.link_target(&path).is_none() {
            host.symlink(&path, &target)?;
        }
    }
    Ok(Some(0))
}

/// Removes all links that enable a unit.
fn disable(host: &mut ScriptHost<'_, '_>, unit: &str) -> CommandResult {
    let mut found = Vec::new();
    for path in super::files::below(host, DIR, true) {
        let Some(target) = host.link_target(&path) else {
            continue;
        };
        let name = path.rsplit('/').next().unwrap_or_default();
        let of_unit = target.rsplit('/').next() == Some(unit) && target != "/dev/null";
        let in_dir = path
            .strip_prefix(DIR)
            .is_some_and(|rest| rest.matches('/').count() == 2);
        if of_unit || in_dir && name == unit {
            found.push(path);
        }
    }
    // The unit itself may be a link to a file elsewhere.
    found.retain(|path| *path != format!("{DIR}/{unit}"));
    for path in found {
        host.remove(&path)?;
    }
    let files = systemd::system_units(host);
    if files.file(unit).is_none() {
        return Ok(Some(1));
    }
    // The units of `Also=` are disabled too.
    Ok(match files.with_also(unit)?.as_deref() {
        Some([_]) => Some(0),
        _ => None,
    })
}

fn mask(host: &mut ScriptHost<'_, '_>, unit: &str) -> CommandResult {
    let path = format!("{DIR}/{unit}");
    if host.find_nofollow(&path).is_some()
        && host.link_target(&path).as_deref() != Some("/dev/null")
    {
        return Ok(Some(1));
    }
    host.symlink(&path, "/dev/null")?;
    Ok(Some(0))
}
