//! Commands that act on a running system, keep caches, or belong to one program.

use super::super::script_host::ScriptHost;
use super::arguments::CommandResult;
use super::text;
use crate::shell::{ExitStatus, Io, glob};

pub(super) fn run(
    host: &mut ScriptHost<'_, '_>,
    word: &str,
    args: &[&str],
    io: &mut Io,
) -> CommandResult {
    Ok(match word {
        // Nothing runs in an image, so there is nothing to start, stop or reload.
        "deb-systemd-invoke" | "invoke-rc.d" | "service" | "apparmor_parser" | "udevadm" => Some(0),
        "systemctl" => systemctl(args),
        "aa-enabled" | "aa-status" | "ischroot" => Some(1),
        // The loader falls back to the standard directories.
        "ldconfig" => Some(0),
        // Temporary and state directories are made at every boot.
        "systemd-tmpfiles" => Some(0),
        // Python modules are compiled when they are first used.
        "py3compile" | "py3clean" | "pycompile" | "pyclean" | "update-python-modules" => Some(0),
        // Caches for comfort are left as they are.
        "mandb"
        | "update-mime-database"
        | "update-desktop-database"
        | "gtk-update-icon-cache"
        | "update-icon-caches" => Some(0),
        "glib-compile-schemas" => compile_schemas(host, args),
        "gio-querymodules" => return query_modules(host, args),
        "getcap" => getcap(host, args, io),
        "chronyd" => return chronyd(host, args, io),
        _ => None,
    })
}

fn systemctl(args: &[&str]) -> Option<ExitStatus> {
    let verb = args.iter().find(|arg| !arg.starts_with('-'))?;
    match *verb {
        "daemon-reload" | "daemon-reexec" | "start" | "stop" | "restart" | "try-restart"
        | "reload" | "reload-or-restart" | "reset-failed" | "kill" => Some(0),
        "is-active" | "is-system-running" => Some(1),
        _ => None,
    }
}

/// Schemas are compiled into one binary file, which is beyond the model; without any there is
/// nothing to do.
fn compile_schemas(host: &ScriptHost<'_, '_>, args: &[&str]) -> Option<ExitStatus> {
    let [dir] = args else { return None };
    let schemas = format!("{dir}/*.gschema.xml");
    let found = glob(host, &schemas);
    found.is_empty().then_some(i32::from(!host.is_dir(dir)))
}

/// Without modules there is nothing to list, and no cache is kept.
fn query_modules(host: &mut ScriptHost<'_, '_>, args: &[&str]) -> CommandResult {
    let [dir] = args else { return Ok(None) };
    let found = glob(host, &format!("{dir}/lib*.so"));
    if !found.is_empty() {
        return Ok(None);
    }
    host.remove(&format!("{dir}/giomodule.cache"))?;
    Ok(Some(0))
}

/// Prints the files that have capabilities.
fn getcap(host: &ScriptHost<'_, '_>, args: &[&str], io: &mut Io) -> Option<ExitStatus> {
    let marked = |path: &&&str| {
        host.stat(path, true)
            .is_some_and(|s| s.xattrs.contains_key(&b"security.capability"[..]))
    };
    for path in args.iter().filter(marked) {
        text::say(io, &format!("{path} cap"));
    }
    args.iter().all(|arg| !arg.starts_with('-')).then_some(0)
}

/// `chronyd -p`: the configuration with its includes, without remarks.
fn chronyd(host: &ScriptHost<'_, '_>, args: &[&str], io: &mut Io) -> CommandResult {
    if args != ["-p"] {
        return Ok(None);
    }
    for line in host
        .text("/etc/chrony/chrony.conf")?
        .unwrap_or_default()
        .lines()
        .map(str::trim)
    {
        if line.is_empty() || line.starts_with(['!', ';', '#', '%']) {
            continue;
        }
        let mut words = line.split_whitespace();
        match words.next() {
            Some("confdir") => {
                for dir in words {
                    for file in glob(host, &format!("{dir}/*.conf")) {
                        io.output.push_str(&host.text(&file)?.unwrap_or_default());
                    }
                }
            }
            Some("include") => return Ok(None),
            _ => _ = text::say(io, line),
        }
    }
    Ok(Some(0))
}
