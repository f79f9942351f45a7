//! `dpkg-maintscript-helper(1)`: what happens to configuration files and directories that a new
//! version drops or moves.

use super::super::unpack::md5_at;
use super::super::world::World;
use super::{Ran, dpkg, files};
use crate::tree::DirEntry;
use crate::tree::edit::EditError;

/// A call: what stands before `--`, and the parameters of the script behind it.
struct Call<'a> {
    operands: &'a [&'a str],
    last_version: &'a str,
    package: String,
    action: &'a str,
    version: &'a str,
}

pub(super) fn run(world: &mut World<'_, '_>, args: &[&str]) -> Ran {
    let Some((command, rest)) = args.split_first() else {
        return Ok(Some(1));
    };
    if *command == "supports" {
        let known = [
            "rm_conffile",
            "mv_conffile",
            "symlink_to_dir",
            "dir_to_symlink",
        ];
        return Ok(Some(i32::from(
            !rest.first().is_some_and(|name| known.contains(name)),
        )));
    }
    let count = match *command {
        "rm_conffile" => 1,
        "mv_conffile" | "symlink_to_dir" | "dir_to_symlink" => 2,
        _ => return Ok(None),
    };
    let Some(at) = rest.iter().position(|arg| *arg == "--") else {
        return Ok(Some(1));
    };
    let (before, after) = rest.split_at(at);
    let (Some(operands), Some(action)) = (before.get(..count), after.get(1)) else {
        return Ok(Some(1));
    };
    let call = Call {
        operands,
        last_version: before.get(count).copied().unwrap_or_default(),
        package: before
            .get(count + 1)
            .map_or_else(|| world.package.base.clone(), |name| (*name).to_owned()),
        action,
        version: after.get(2).copied().unwrap_or_default(),
    };
    match *command {
        "rm_conffile" => rm_conffile(world, &call)?,
        "mv_conffile" => mv_conffile(world, &call)?,
        "symlink_to_dir" => symlink_to_dir(world, &call)?,
        _ => return dir_to_symlink(world, &call),
    }
    Ok(Some(0))
}

impl Call<'_> {
    /// Whether the version at hand is one that the change is for.
    fn concerns(&self, world: &World<'_, '_>) -> bool {
        let phase = match world.package.script.as_str() {
            "preinst" => matches!(self.action, "install" | "upgrade"),
            "postinst" => self.action == "configure",
            _ => false,
        };
        phase
            && !self.version.is_empty()
            && dpkg::compare(self.version, "le-nl", self.last_version) == Some(true)
    }

    fn operand(&self, at: usize) -> &str {
        self.operands.get(at).copied().unwrap_or_default()
    }
}

fn owns(world: &World<'_, '_>, package: &str, path: &str) -> bool {
    let base = world
        .database
        .named(package)
        .map(|stanza| stanza.facts.base());
    let owners = world.database.owners.get(path.as_bytes());
    base.zip(owners)
        .is_some_and(|(base, owners)| owners.contains(&base))
}

/// Whether a configuration file is as the package shipped it.
fn unchanged(world: &World<'_, '_>, package: &str, path: &str) -> Result<bool, EditError> {
    let conffiles = world
        .database
        .named(package)
        .map(super::super::database::Stanza::conffiles)
        .unwrap_or_default();
    let old = conffiles
        .into_iter()
        .find(|(name, _, _)| name == path)
        .map(|(_, md5, _)| md5);
    let now = md5_at(world.editor.tree(), path.as_bytes())?;
    Ok(now.is_some() && now == old)
}

fn rm_conffile(world: &mut World<'_, '_>, call: &Call<'_>) -> Result<(), EditError> {
    let path = call.operand(0);
    if !call.concerns(world) {
        return Ok(());
    }
    if world.package.script == "postinst" {
        if world.exists(&format!("{path}.dpkg-backup")) {
            files::move_path(
                world,
                &format!("{path}.dpkg-backup"),
                &format!("{path}.dpkg-bak"),
            )?;
        }
        world.remove(&format!("{path}.dpkg-remove"))?;
    } else if world.exists(path) && owns(world, &call.package, path) {
        let suffix = if unchanged(world, &call.package, path)? {
            "dpkg-remove"
        } else {
            "dpkg-backup"
        };
        files::move_path(world, path, &format!("{path}.{suffix}"))?;
    }
    Ok(())
}

fn mv_conffile(world: &mut World<'_, '_>, call: &Call<'_>) -> Result<(), EditError> {
    let (old, new) = (call.operand(0), call.operand(1));
    if !call.concerns(world) {
        return Ok(());
    }
    if world.package.script == "preinst" {
        if world.exists(old)
            && owns(world, &call.package, old)
            && unchanged(world, &call.package, old)?
        {
            files::move_path(world, old, &format!("{old}.dpkg-remove"))?;
        }
        return Ok(());
    }
    world.remove(&format!("{old}.dpkg-remove"))?;
    if world.exists(old) && owns(world, &call.package, old) {
        if world.exists(new) {
            files::move_path(world, new, &format!("{new}.dpkg-new"))?;
        }
        files::move_path(world, old, new)?;
    }
    Ok(())
}

fn leads_to(world: &World<'_, '_>, path: &str, target: &str) -> Result<bool, EditError> {
    let real = world.editor.tree().walk(path.as_bytes(), true)?.path();
    Ok(world
        .link_target(path)
        .is_some_and(|to| to == target || real == target.as_bytes()))
}

fn symlink_to_dir(world: &mut World<'_, '_>, call: &Call<'_>) -> Result<(), EditError> {
    let (path, target) = (call.operand(0), call.operand(1));
    let backup = format!("{path}.dpkg-backup");
    if world.package.script == "preinst" {
        if call.concerns(world) && leads_to(world, path, target)? {
            files::move_path(world, path, &backup)?;
        }
    } else if world.package.script == "postinst"
        && call.action == "configure"
        && leads_to(world, &backup, target)?
    {
        world.remove(&backup)?;
    }
    Ok(())
}

fn dir_to_symlink(world: &mut World<'_, '_>, call: &Call<'_>) -> Ran {
    let (path, target) = (call.operand(0).trim_end_matches('/'), call.operand(1));
    let backup = format!("{path}.dpkg-backup");
    let staging = format!("{path}/.dpkg-staging-dir");
    let real_dir = world.link_target(path).is_none() && world.is_dir(path);
    if world.package.script == "preinst" {
        if call.concerns(world) && real_dir {
            if !all_owned(world, &call.package, path) {
                return Ok(Some(1));
            }
            files::move_path(world, path, &backup)?;
            world.mkdir(path, 0o755)?;
            world.write(&staging, b"", false)?;
        }
    } else if world.package.script == "postinst"
        && call.action == "configure"
        && real_dir
        && world.is_file(&staging)
    {
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let absolute = if target.starts_with('/') {
            target.to_owned()
        } else {
            format!("{parent}/{target}")
        };
        world.remove(&staging)?;
        for name in names(world, path) {
            files::move_path(
                world,
                &format!("{path}/{name}"),
                &format!("{absolute}/{name}"),
            )?;
        }
        world.remove(path)?;
        world.symlink(path, target)?;
        world.remove(&backup)?;
    }
    Ok(Some(0))
}

fn names(world: &World<'_, '_>, path: &str) -> Vec<String> {
    let dir = world.editor.tree().dir(path);
    dir.into_iter()
        .flat_map(|dir| dir.entries.keys())
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect()
}

/// Whether a package has everything in a directory in its list.
fn all_owned(world: &World<'_, '_>, package: &str, path: &str) -> bool {
    let mut todo = vec![path.to_owned()];
    while let Some(path) = todo.pop() {
        if !owns(world, package, &path) {
            return false;
        }
        let Some(dir) = world
            .editor
            .tree()
            .dir(&path)
            .filter(|_| world.link_target(&path).is_none())
        else {
            continue;
        };
        for (name, entry) in &dir.entries {
            let path = format!("{path}/{}", String::from_utf8_lossy(name));
            match entry {
                DirEntry::Dir(_) => todo.push(path),
                DirEntry::Leaf(_) if !owns(world, package, &path) => return false,
                DirEntry::Leaf(_) => {}
            }
        }
    }
    true
}
