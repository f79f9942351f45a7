//! What a line makes and changes.

use super::super::super::script_host::ScriptHost;
use super::super::super::users::AccountIds;
use super::super::files::below;
use super::acl::Acl;
use super::line::{Line, escapes};
use super::{Done, Entry, within};
use crate::shell::glob;
use crate::tree::edit::EditError;
use crate::tree::{Leaf, LeafKind, Node, Stat};

/// Directories that are not of a filesystem on the disk when scripts run.
const KERNEL: [&str; 3] = ["/dev", "/proc", "/sys"];

pub(super) fn apply(
    host: &mut ScriptHost<'_, '_>,
    entry: &Entry,
    ids: &AccountIds,
) -> Result<Done, EditError> {
    let line = &entry.line;
    if KERNEL.iter().any(|dir| within(&line.path, dir)) || "xXrR".contains(line.kind) {
        return Ok(Done::Yes);
    }
    if line.makes() {
        return make(host, entry);
    }
    let mut paths = glob(host, &line.path);
    if matches!(line.kind, 'Z' | 'A' | 'H' | 'T') {
        paths = paths
            .iter()
            .flat_map(|path| below(host, path, true))
            .collect();
    }
    let mut failed = false;
    for path in paths {
        let done = match line.kind {
            _ if !safe(host, &format!("{path}/")) => Done::Failed,
            'e' if !is_dir(host, &path) => Done::Yes,
            'e' | 'z' | 'Z' => owned(host, entry, &path, false)?,
            'a' | 'A' => acl(host, line, &path, ids)?,
            _ => Done::Unknown,
        };
        if done == Done::Unknown {
            return Ok(done);
        }
        failed |= done == Done::Failed;
    }
    Ok(if failed { Done::Failed } else { Done::Yes })
}

/// Whether the way to a path leads from what a user has to what no other has; with a slash at the
/// end, to the path itself.
fn safe(host: &ScriptHost<'_, '_>, path: &str) -> bool {
    let mut last = 0;
    path.match_indices('/').skip(1).all(|(end, _)| {
        let dir = path.get(..end).unwrap_or_default();
        let uid = host.stat(dir, false).map_or(last, |stat| stat.uid);
        let fine = last == 0 || uid == last;
        last = uid;
        fine
    })
}

/// A directory, symlinks not followed.
fn is_dir(host: &ScriptHost<'_, '_>, path: &str) -> bool {
    matches!(host.find_nofollow(path), Some(Node::Dir(_)))
}

fn make(host: &mut ScriptHost<'_, '_>, entry: &Entry) -> Result<Done, EditError> {
    let line = &entry.line;
    let path = line.path.as_str();
    let there = host.find_nofollow(path).is_some();
    if let Some((parent, _)) = path.rsplit_once('/')
        && !there
    {
        host.mkdir(parent, 0o755)?;
    }
    if !safe(host, path) {
        return Ok(Done::Failed);
    }
    match line.kind {
        'd' | 'D' | 'v' | 'q' | 'Q' => {
            if there && !is_dir(host, path) {
                return Ok(Done::Unknown);
            }
            host.mkdir(path, line.new_mode() & 0o777)?;
        }
        'f' => {
            let file = matches!(
                host.find_nofollow(path),
                Some(Node::Leaf(Leaf {
                    kind: LeafKind::File(_),
                    ..
                }))
            );
            let Some(text) = escapes(line.argument.as_deref().unwrap_or_default()) else {
                return Ok(Done::Unknown);
            };
            if there && !file {
                return Ok(Done::Failed);
            }
            if !there || line.plus {
                host.write_file(path, &text, false)?;
            }
        }
        'L' => return link(host, entry, there),
        'p' if !there => {
            let stat = Stat::root(line.new_mode(), host.editor.time());
            let reason = host.reason();
            let kind = LeafKind::Fifo;
            host.editor.put(path, Leaf { stat, kind }, &reason)?;
            host.inherit(path)?;
        }
        'C' => {
            let empty = match host.find_nofollow(path) {
                None => true,
                Some(Node::Dir(dir)) => dir.entries.is_empty(),
                Some(Node::Leaf(_)) => false,
            };
            if !line.plus && empty {
                let from = factory(line);
                if host.find_nofollow(&from).is_none() {
                    return Ok(Done::Unknown);
                }
                copy(host, &from, entry)?;
            } else if line.plus {
                return Ok(Done::Unknown);
            }
        }
        _ => return Ok(Done::Unknown),
    }
    owned(host, entry, path, !there)
}

/// The argument, or else the path of the same name among what the system ships.
fn factory(line: &Line) -> String {
    line.argument
        .clone()
        .unwrap_or_else(|| format!("/usr/share/factory{}", line.path))
}

fn link(host: &mut ScriptHost<'_, '_>, entry: &Entry, there: bool) -> Result<Done, EditError> {
    let line = &entry.line;
    let target = factory(line);
    if line.if_there {
        let full = match (target.strip_prefix('/'), line.path.rsplit_once('/')) {
            (None, Some((dir, _))) => format!("{dir}/{target}"),
            _ => target.clone(),
        };
        if !host.exists(&full) {
            return Ok(Done::Yes);
        }
    }
    let same = host.link_target(&line.path).as_deref() == Some(&target);
    if !same && there && !line.plus {
        return Ok(Done::Yes);
    }
    if !same && is_dir(host, &line.path) {
        return Ok(Done::Unknown);
    }
    if !same {
        host.symlink(&line.path, &target)?;
    }
    owned(host, entry, &line.path, !same)
}

/// Copies a file, or a directory with all in it; what is copied keeps its owner, unless the line
/// gives one.
fn copy(host: &mut ScriptHost<'_, '_>, from: &str, entry: &Entry) -> Result<(), EditError> {
    for source in below(host, from, true) {
        let rest = source.strip_prefix(from).unwrap_or_default();
        let to = format!("{}{rest}", entry.line.path);
        if is_dir(host, &source) {
            host.mkdir(&to, 0o755)?;
            if let Some(stat) = host.stat(&source, false).cloned() {
                host.change_stat(&to, false, |to| {
                    (to.mode, to.uid, to.gid) = (stat.mode, stat.uid, stat.gid);
                })?;
            }
        } else if let Some(target) = host.link_target(&source) {
            host.symlink(&to, &target)?;
        } else {
            host.copy(&source, &to)?;
        }
        host.change_stat(&to, false, |stat| {
            let (uid, gid) = (&entry.owner.uid, &entry.owner.gid);
            stat.uid = uid.as_ref().map_or(stat.uid, |id| id.value);
            stat.gid = gid.as_ref().map_or(stat.gid, |id| id.value);
        })?;
    }
    Ok(())
}

/// Gives a path the mode and the owner of the line.
fn owned(
    host: &mut ScriptHost<'_, '_>,
    entry: &Entry,
    path: &str,
    new: bool,
) -> Result<Done, EditError> {
    let line = &entry.line;
    let link = host.link_target(path).is_some();
    let dir = is_dir(host, path);
    host.change_stat(path, false, |stat| {
        if let Some(id) = entry.owner.uid.as_ref().filter(|id| new || !id.only_new) {
            stat.uid = id.value;
        }
        if let Some(id) = entry.owner.gid.as_ref().filter(|id| new || !id.only_new) {
            stat.gid = id.value;
        }
        let mode = line.mode.as_ref().filter(|mode| new || !mode.only_new);
        if let Some(mode) = mode.filter(|_| !link) {
            let mut bits = mode.value;
            if line.masked {
                bits = masked(bits, stat.mode, dir);
            }
            stat.mode = bits;
        }
    })?;
    Ok(Done::Yes)
}

/// A mode without the bits of which the present one has none.
fn masked(mode: u16, now: u16, dir: bool) -> u16 {
    let classes = [0o111, 0o222, 0o444];
    let lacking = classes.iter().filter(|bits| now & **bits == 0);
    let special = if dir { 0 } else { 0o7000 };
    mode & !lacking.fold(special, |all, bits| all | bits)
}

fn acl(
    host: &mut ScriptHost<'_, '_>,
    line: &Line,
    path: &str,
    ids: &AccountIds,
) -> Result<Done, EditError> {
    let Some(acl) = line
        .argument
        .as_deref()
        .and_then(|text| Acl::read(text, ids))
    else {
        return Ok(Done::Unknown);
    };
    if host.link_target(path).is_some() {
        return Ok(Done::Yes);
    }
    let dir = is_dir(host, path);
    let mut done = Some(());
    host.change_stat(path, false, |stat| {
        done = acl.apply(stat, dir, line.plus);
    })?;
    Ok(done.map_or(Done::Unknown, |()| Done::Yes))
}
