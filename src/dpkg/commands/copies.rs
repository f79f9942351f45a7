//! Commands that give files another place or name: `ln`, `mv`, `cp`.

use super::super::script_host::ScriptHost;
use super::arguments::{CommandResult, has, known, options};
use crate::stream::Content;
use crate::tree::edit::EditError;
use crate::tree::{LeafId, LeafKind, Node, Stat};
use std::collections::BTreeMap;

pub(super) fn run(host: &mut ScriptHost<'_, '_>, word: &str, args: &[&str]) -> CommandResult {
    let (options, operands) = options(args);
    let allowed: (&str, &[&str]) = match word {
        "ln" => (
            "sfnvTr",
            &[
                "--symbolic",
                "--force",
                "--no-dereference",
                "--no-target-directory",
                "--relative",
            ],
        ),
        "mv" => (
            "fnvTZ",
            &["--force", "--no-clobber", "--no-target-directory"],
        ),
        _ => (
            "pfvPadrRLHnTZ",
            &[
                "--preserve",
                "--preserve=all",
                "--force",
                "--archive",
                "--recursive",
                "--no-dereference",
                "--no-clobber",
                "--no-target-directory",
            ],
        ),
    };
    if !known(&options, allowed.0, allowed.1) || has(&options, 'Z') && labelled(host) {
        return Ok(None);
    }
    let (sources, to) = match operands.split_last() {
        // The link gets the name of its target, in the working directory.
        Some((only, [])) if word == "ln" => (vec![*only], "."),
        Some((to, sources)) if !sources.is_empty() => (sources.to_vec(), *to),
        _ => return Ok(None),
    };
    if sources.len() > 1 && !host.is_dir(to) {
        return Ok(Some(1));
    }
    let mut status = 0;
    for from in sources {
        let done = match word {
            "ln" => ln(host, &options, from, to)?,
            "mv" => mv(host, &options, from, to)?,
            _ => cp(host, &options, from, to)?,
        };
        let Some(done) = done else { return Ok(None) };
        status |= done;
    }
    Ok(Some(status))
}

/// Whether files may need labels of SELinux, which are outside of the model.
pub(super) fn labelled(host: &ScriptHost<'_, '_>) -> bool {
    host.exists("/etc/selinux/config")
}

/// Where a file lands that is moved, copied or linked to `to`: inside it when that is a directory.
pub(super) fn landing(host: &ScriptHost<'_, '_>, from: &str, to: &str) -> String {
    let name = from
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or(from);
    if host.is_dir(to) {
        format!("{}/{name}", to.trim_end_matches('/'))
    } else {
        to.to_owned()
    }
}

/// Whether an option is given, by its letter or its long name.
fn given(options: &[&str], letter: char, long: &str) -> bool {
    has(options, letter) || options.contains(&long)
}

fn ln(host: &mut ScriptHost<'_, '_>, options: &[&str], target: &str, path: &str) -> CommandResult {
    let symbolic = given(options, 's', "--symbolic");
    let as_is = given(options, 'T', "--no-target-directory")
        || given(options, 'n', "--no-dereference") && host.link_target(path).is_some();
    let path = if as_is {
        path.to_owned()
    } else {
        landing(host, target, path)
    };
    let found = host.leaf_id(target, false).filter(|_| !symbolic);
    if !symbolic && found.is_none() || !host.has_parent(&path) {
        return Ok(Some(1));
    }
    if host.find_nofollow(&path).is_some() {
        let same = found.is_some() && host.leaf_id(&path, false) == found;
        let dir = matches!(host.find_nofollow(&path), Some(Node::Dir(_)));
        if !given(options, 'f', "--force") || dir || same {
            return Ok(Some(1));
        }
    }
    match found {
        Some(id) => host.hard_link(id, &path)?,
        None if given(options, 'r', "--relative") => {
            let Some(target) = relative(host, target, &path)? else {
                return Ok(None);
            };
            host.symlink(&path, &target)?;
        }
        None => host.symlink(&path, target)?,
    }
    Ok(Some(0))
}

/// The way from the directory of a link to its target, both without symlinks.
fn relative(
    host: &ScriptHost<'_, '_>,
    target: &str,
    link: &str,
) -> Result<Option<String>, EditError> {
    let tree = host.editor.tree();
    let target = tree.walk(host.at(target).as_bytes(), true)?.path();
    let link = tree.walk(host.at(link).as_bytes(), false)?.path();
    let (Ok(target), Ok(link)) = (String::from_utf8(target), String::from_utf8(link)) else {
        return Ok(None);
    };
    let parts = |path: &str| -> Vec<String> {
        let parts = path.split('/').filter(|part| !part.is_empty());
        parts.map(str::to_owned).collect()
    };
    let (target, mut link) = (parts(&target), parts(&link));
    link.pop();
    let shared = target.iter().zip(&link).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..", link.len().saturating_sub(shared));
    let down = target.iter().skip(shared).map(String::as_str);
    let way: Vec<&str> = up.chain(down).collect();
    Ok(Some(if way.is_empty() {
        ".".into()
    } else {
        way.join("/")
    }))
}

fn mv(host: &mut ScriptHost<'_, '_>, options: &[&str], from: &str, to: &str) -> CommandResult {
    if host.find_nofollow(from).is_none() {
        return Ok(Some(1));
    }
    let to = if given(options, 'T', "--no-target-directory") {
        to.to_owned()
    } else {
        landing(host, from, to)
    };
    if given(options, 'n', "--no-clobber") && host.find_nofollow(&to).is_some() {
        return Ok(Some(0));
    }
    if !host.has_parent(&to) || to.trim_end_matches('/') == from.trim_end_matches('/') {
        return Ok(Some(1));
    }
    match (
        host.find_nofollow(from),
        host.find_nofollow(to.trim_end_matches('/')),
    ) {
        (Some(Node::Dir(_)), Some(Node::Leaf(_))) => return Ok(Some(1)),
        (Some(_), Some(Node::Dir(dir))) => {
            if !dir.entries.is_empty() {
                return Ok(Some(1));
            }
            return Ok(None);
        }
        // A name that ends in a slash is that of a directory.
        (Some(Node::Leaf(_)), None) if to.ends_with('/') => return Ok(Some(1)),
        _ => {}
    }
    move_path(host, from, &to)?;
    Ok(Some(0))
}

/// Moves the entry at a path; a file at the new path is replaced.
pub(super) fn move_path(
    host: &mut ScriptHost<'_, '_>,
    from: &str,
    to: &str,
) -> Result<(), EditError> {
    if let Some(entry) = host.remove(from)? {
        host.insert(to, entry)?;
    }
    Ok(())
}

/// What a call of `cp` does with each file.
#[derive(Debug, Default)]
struct Copying {
    /// Links are copied as links.
    links: bool,
    recursive: bool,
    /// Mode, owner and time are kept.
    keep: bool,
    /// Names of one file stay so.
    names: bool,
    /// Files that are there stay.
    no_clobber: bool,
    /// What was copied, and to where.
    done: BTreeMap<LeafId, LeafId>,
}

fn cp(host: &mut ScriptHost<'_, '_>, options: &[&str], from: &str, to: &str) -> CommandResult {
    let archive = given(options, 'a', "--archive");
    let recursive = archive || given(options, 'r', "--recursive") || has(options, 'R');
    let as_link = archive || has(options, 'd') || given(options, 'P', "--no-dereference");
    let mut copying = Copying {
        links: (as_link || recursive) && !has(options, 'L'),
        recursive,
        keep: archive || given(options, 'p', "--preserve") || options.contains(&"--preserve=all"),
        names: archive || has(options, 'd') || options.contains(&"--preserve=all"),
        no_clobber: given(options, 'n', "--no-clobber"),
        done: BTreeMap::new(),
    };
    let target = if given(options, 'T', "--no-target-directory") {
        to.to_owned()
    } else {
        landing(host, from, to)
    };
    // The link that is named itself is followed, those below are not.
    if has(options, 'H') && host.link_target(from).is_some() {
        if host.is_dir(from) {
            return Ok(None);
        }
        copying.links = false;
    }
    copy(host, &mut copying, from, &target)
}

fn copy(
    host: &mut ScriptHost<'_, '_>,
    copying: &mut Copying,
    from: &str,
    to: &str,
) -> CommandResult {
    let Some(id) = host.leaf_id(from, !copying.links) else {
        return match host.find(from.trim_end_matches('/')) {
            None => Ok(Some(1)),
            Some(Node::Dir(_)) if copying.recursive => copy_dir(host, copying, from, to),
            // A directory is left out.
            Some(_) => Ok(Some(1)),
        };
    };
    if copying.no_clobber && host.find_nofollow(to).is_some() {
        return Ok(Some(0));
    }
    if !host.has_parent(to) || host.is_dir(to) && host.link_target(to).is_none() {
        return Ok(Some(1));
    }
    if host.leaf_id(to, true) == Some(id) {
        return Ok(Some(1));
    }
    if let Some(done) = copying.done.get(&id).copied().filter(|_| copying.names) {
        host.hard_link(done, to)?;
        return Ok(Some(0));
    }
    let leaf = host.editor.tree().leaf(id).clone();
    match leaf.kind {
        LeafKind::Symlink(target) => {
            host.symlink(to, &String::from_utf8_lossy(&target))?;
            if copying.keep {
                host.change_stat(to, false, |stat| {
                    (stat.uid, stat.gid) = (leaf.stat.uid, leaf.stat.gid)
                })?;
            }
        }
        LeafKind::File(content) => {
            if host.is_dir(to) {
                return Ok(Some(1));
            }
            let fresh = (!copying.keep).then_some(leaf.stat.mode & 0o777 & !host.umask);
            put(host, to, content, fresh, &leaf.stat)?;
        }
        _ => return Ok(None),
    }
    if let Some(made) = host.leaf_id(to, false) {
        copying.done.insert(id, made);
    }
    Ok(Some(0))
}

fn copy_dir(
    host: &mut ScriptHost<'_, '_>,
    copying: &mut Copying,
    from: &str,
    to: &str,
) -> CommandResult {
    let real = |path: &str| host.real_dir(path);
    let inside = match (
        real(from),
        real(to),
        to.rsplit_once('/').and_then(|(p, _)| real(p)),
    ) {
        (Some(from), Some(to), _) | (Some(from), None, Some(to)) => {
            format!("{to}/").starts_with(&format!("{from}/"))
        }
        _ => false,
    };
    // A directory within itself has no end.
    if inside {
        return Ok(None);
    }
    let Some(Node::Dir(dir)) = host.find(from) else {
        return Ok(Some(1));
    };
    let (stat, names): (Stat, Vec<String>) = (
        dir.stat.clone(),
        dir.entries
            .keys()
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect(),
    );
    let new = !host.is_dir(to);
    if new {
        if host.find_nofollow(to.trim_end_matches('/')).is_some() || !host.has_parent(to) {
            return Ok(Some(1));
        }
        host.mkdir(to, stat.mode & 0o777 & !host.umask)?;
    }
    let mut status = 0;
    let (from, to) = (from.trim_end_matches('/'), to.trim_end_matches('/'));
    for name in names {
        match copy(
            host,
            copying,
            &format!("{from}/{name}"),
            &format!("{to}/{name}"),
        )? {
            Some(done) => status |= done,
            None => return Ok(None),
        }
    }
    if copying.keep {
        host.change_stat(to, true, |new| *new = stat)?;
    }
    Ok(Some(status))
}

/// Writes a copy: with the source's stat, or as a new file of `fresh` mode (an existing one keeps
/// its own).
pub(super) fn put(
    host: &mut ScriptHost<'_, '_>,
    to: &str,
    content: Content,
    fresh: Option<u16>,
    stat: &Stat,
) -> Result<(), EditError> {
    host.write_content(to, content, fresh.unwrap_or(stat.mode))?;
    if fresh.is_none() {
        host.change_stat(to, true, |new| *new = stat.clone())?;
    }
    Ok(())
}
