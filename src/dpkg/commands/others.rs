//! Commands that act on a running system, keep caches, or belong to one program.

use super::super::world::World;
use super::{Ran, text};
use crate::shell::Io;
use crate::shell::pattern::plain;

pub(super) fn run(world: &mut World<'_, '_>, word: &str, args: &[&str], io: &mut Io) -> Ran {
    Ok(match word {
        // Nothing runs in an image, so there is nothing to start, stop or reload.
        "deb-systemd-invoke" | "invoke-rc.d" | "service" | "apparmor_parser" | "udevadm" => {
            world.done(format!("{word} has no effect on an image"));
            Some(0)
        }
        "systemctl" => systemctl(world, args),
        "aa-enabled" | "aa-status" | "ischroot" => Some(1),
        "ldconfig" => {
            world.done(
                "the loader's cache is left as it is: it falls back to the standard directories",
            );
            Some(0)
        }
        "systemd-tmpfiles" => {
            world.done("temporary and state directories of tmpfiles.d are made at every boot");
            Some(0)
        }
        "py3compile" | "py3clean" | "pycompile" | "pyclean" | "update-python-modules" => {
            world.done("Python modules are compiled when they are first used");
            Some(0)
        }
        "mandb"
        | "update-mime-database"
        | "update-desktop-database"
        | "gtk-update-icon-cache"
        | "update-icon-caches" => {
            world.done(format!("{word}: its cache is left as it is"));
            Some(0)
        }
        "glib-compile-schemas" => compile_schemas(world, args),
        "gio-querymodules" => return query_modules(world, args),
        "getcap" => getcap(world, args, io),
        "chronyd" => return chronyd(world, args, io),
        _ => None,
    })
}

fn systemctl(world: &mut World<'_, '_>, args: &[&str]) -> Option<i32> {
    let verb = args.iter().find(|arg| !arg.starts_with('-'))?;
    match *verb {
        "daemon-reload" | "daemon-reexec" | "start" | "stop" | "restart" | "try-restart"
        | "reload" | "reload-or-restart" | "reset-failed" | "kill" => {
            world.done(format!("systemctl {verb} has no effect on an image"));
            Some(0)
        }
        "is-active" | "is-system-running" => Some(1),
        _ => None,
    }
}

/// Schemas are compiled into one binary file, which is beyond the model; without any there is
/// nothing to do.
fn compile_schemas(world: &World<'_, '_>, args: &[&str]) -> Option<i32> {
    let [dir] = args else { return None };
    let schemas = format!("{dir}/*.gschema.xml");
    let found = crate::shell::glob(world.editor.tree(), &plain(&schemas));
    found.is_empty().then_some(i32::from(!world.is_dir(dir)))
}

/// Without modules there is nothing to list, and no cache is kept.
fn query_modules(world: &mut World<'_, '_>, args: &[&str]) -> Ran {
    let [dir] = args else { return Ok(None) };
    let found = crate::shell::glob(world.editor.tree(), &plain(&format!("{dir}/lib*.so")));
    if !found.is_empty() {
        return Ok(None);
    }
    world.remove(&format!("{dir}/giomodule.cache"))?;
    Ok(Some(0))
}

/// Prints the files that have capabilities.
fn getcap(world: &World<'_, '_>, args: &[&str], io: &mut Io) -> Option<i32> {
    let marked = |path: &&&str| {
        world
            .stat(path, true)
            .is_some_and(|s| s.xattrs.contains_key(&b"security.capability"[..]))
    };
    for path in args.iter().filter(marked) {
        text::say(io, &format!("{path} cap"));
    }
    args.iter().all(|arg| !arg.starts_with('-')).then_some(0)
}

/// `chronyd -p`: the configuration with its includes, without remarks.
fn chronyd(world: &World<'_, '_>, args: &[&str], io: &mut Io) -> Ran {
    if args != ["-p"] {
        return Ok(None);
    }
    for line in world
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
                    for file in
                        crate::shell::glob(world.editor.tree(), &plain(&format!("{dir}/*.conf")))
                    {
                        io.out.push_str(&world.text(&file)?.unwrap_or_default());
                    }
                }
            }
            Some("include") => return Ok(None),
            _ => _ = text::say(io, line),
        }
    }
    Ok(Some(0))
}
