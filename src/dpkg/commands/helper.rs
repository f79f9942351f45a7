//! `dpkg-maintscript-helper(1)`: what happens to configuration files and directories that a new
//! version drops or moves.

use super::super::md5::md5_at;
use super::super::script_host::ScriptHost;
use super::arguments::CommandResult;
use super::{copies, dpkg};
use crate::tree::DirEntry;
use crate::tree::edit::EditError;

/// A call: the operands before `--`, and the parameters of the script after it.
struct Call<'a> {
    operands: &'a [&'a str],
    last_version: &'a str,
    package: String,
    action: &'a str,
    version: &'a str,
}

pub(super) fn run(host: &mut ScriptHost<'_, '_>, args: &[&str]) -> CommandResult {
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
            .map_or_else(|| host.package.base.clone(), |name| (*name).to_owned()),
        action,
        version: after.get(2).copied().unwrap_or_default(),
    };
    match *command {
        "rm_conffile" => rm_conffile(host, &call)?,
        "mv_conffile" => mv_conffile(host, &call)?,
        "symlink_to_dir" => symlink_to_dir(host, &call)?,
        _ => return dir_to_symlink(host, &call),
    }
    Ok(Some(0))
}

impl Call<'_> {
    /// Whether the version at hand is one that the change is for.
    fn concerns(&self, host: &ScriptHost<'_, '_>) -> bool {
        let phase = match host.package.script.as_str() {
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

fn owns(host: &ScriptHost<'_, '_>, package: &str, path: &str) -> bool {
    let base = host
        .database
        .named(package)
        .map(|stanza| stanza.facts.base());
    let owners = host.database.owners.get(path.as_bytes());
    base.zip(owners)
        .is_some_and(|(base, owners)| owners.contains(&base))
}

/// Whether a configuration file is as the package shipped it.
fn unchanged(host: &ScriptHost<'_, '_>, package: &str, path: &str) -> Result<bool, EditError> {
    let conffiles = host
        .database
        .named(package)
        .map(super::super::database::Stanza::conffiles)
        .unwrap_or_default();
    let old = conffiles
        .into_iter()
        .find(|conffile| conffile.path == path)
        .map(|conffile| conffile.md5);
    let now = md5_at(host.editor.tree(), path.as_bytes())?;
    Ok(now.is_some() && now == old)
}

fn rm_conffile(host: &mut ScriptHost<'_, '_>, call: &Call<'_>) -> Result<(), EditError> {
    let path = call.operand(0);
    if !call.concerns(host) {
        return Ok(());
    }
    if host.package.script == "postinst" {
        if host.exists(&format!("{path}.dpkg-backup")) {
            copies::move_path(
                host,
                &format!("{path}.dpkg-backup"),
                &format!("{path}.dpkg-bak"),
            )?;
        }
        host.remove(&format!("{path}.dpkg-remove"))?;
    } else if host.exists(path) && owns(host, &call.package, path) {
        let suffix = if unchanged(host, &call.package, path)? {
            "dpkg-remove"
        } else {
            "dpkg-backup"
        };
        copies::move_path(host, path, &format!("{path}.{suffix}"))?;
    }
    Ok(())
}

fn mv_conffile(host: &mut ScriptHost<'_, '_>, call: &Call<'_>) -> Result<(), EditError> {
    let (old, new) = (call.operand(0), call.operand(1));
    if !call.concerns(host) {
        return Ok(());
    }
    if host.package.script == "preinst" {
        if host.exists(old)
            && owns(host, &call.package, old)
            && unchanged(host, &call.package, old)?
        {
            copies::move_path(host, old, &format!("{old}.dpkg-remove"))?;
        }
        return Ok(());
    }
    host.remove(&format!("{old}.dpkg-remove"))?;
    if host.exists(old) && owns(host, &call.package, old) {
        if host.exists(new) {
            copies::move_path(host, new, &format!("{new}.dpkg-new"))?;
        }
        copies::move_path(host, old, new)?;
    }
    Ok(())
}

fn leads_to(host: &ScriptHost<'_, '_>, path: &str, target: &str) -> Result<bool, EditError> {
    let real = host.editor.tree().walk(path.as_bytes(), true)?.path();
    Ok(host
        .link_target(path)
        .is_some_and(|to| to == target || real == target.as_bytes()))
}

fn symlink_to_dir(host: &mut ScriptHost<'_, '_>, call: &Call<'_>) -> Result<(), EditError> {
    let (path, target) = (call.operand(0), call.operand(1));
    let backup = format!("{path}.dpkg-backup");
    if host.package.script == "preinst" {
        if call.concerns(host) && leads_to(host, path, target)? {
            copies::move_path(host, path, &backup)?;
        }
    } else if host.package.script == "postinst"
        && call.action == "configure"
        && leads_to(host, &backup, target)?
    {
        host.remove(&backup)?;
    }
    Ok(())
}

fn dir_to_symlink(host: &mut ScriptHost<'_, '_>, call: &Call<'_>) -> CommandResult {
    let (path, target) = (call.operand(0).trim_end_matches('/'), call.operand(1));
    let backup = format!("{path}.dpkg-backup");
    let staging = format!("{path}/.dpkg-staging-dir");
    let real_dir = host.link_target(path).is_none() && host.is_dir(path);
    if host.package.script == "preinst" {
        if call.concerns(host) && real_dir {
            if !all_owned(host, &call.package, path) {
                return Ok(Some(1));
            }
            copies::move_path(host, path, &backup)?;
            host.mkdir(path, 0o755)?;
            host.write_file(&staging, b"", false)?;
        }
    } else if host.package.script == "postinst"
        && call.action == "configure"
        && real_dir
        && host.is_file(&staging)
    {
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let absolute = if target.starts_with('/') {
            target.to_owned()
        } else {
            format!("{parent}/{target}")
        };
        host.remove(&staging)?;
        for name in names(host, path) {
            copies::move_path(
                host,
                &format!("{path}/{name}"),
                &format!("{absolute}/{name}"),
            )?;
        }
        host.remove(path)?;
        host.symlink(path, target)?;
        host.remove(&backup)?;
    }
    Ok(Some(0))
}

fn names(host: &ScriptHost<'_, '_>, path: &str) -> Vec<String> {
    let dir = host.editor.tree().dir(host.at(path).as_bytes());
    dir.into_iter()
        .flat_map(|dir| dir.entries.keys())
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect()
}

/// Whether a package has everything in a directory in its list.
fn all_owned(host: &ScriptHost<'_, '_>, package: &str, path: &str) -> bool {
    let mut todo = vec![path.to_owned()];
    while let Some(path) = todo.pop() {
        if !owns(host, package, &path) {
            return false;
        }
        let Some(dir) = host
            .editor
            .tree()
            .dir(&path)
            .filter(|_| host.link_target(&path).is_none())
        else {
            continue;
        };
        for (name, entry) in &dir.entries {
            let path = format!("{path}/{}", String::from_utf8_lossy(name));
            match entry {
                DirEntry::Dir(_) => todo.push(path),
                DirEntry::Leaf(_) if !owns(host, package, &path) => return false,
                DirEntry::Leaf(_) => {}
            }
        }
    }
    true
}
