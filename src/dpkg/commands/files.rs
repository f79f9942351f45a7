//! Commands that make, change, move and remove files.

use super::super::users::Names;
use super::super::world::World;
use super::{Ran, has, known, mode, options};
use crate::stream::Content;
use crate::tree::{DirEntry, Leaf, LeafKind, Node, Stat, show};

pub(super) fn run(world: &mut World<'_, '_>, word: &str, args: &[&str]) -> Ran {
    match word {
        "mkdir" => mkdir(world, args),
        "rmdir" => rmdir(world, args),
        "rm" => rm(world, args),
        "chmod" => chmod(world, args),
        "chown" | "chgrp" => chown(world, word, args),
        "ln" => ln(world, args),
        "mv" => mv(world, args),
        "cp" => cp(world, args),
        "touch" => touch(world, args),
        "install" => install(world, args),
        "cmp" => cmp(world, args),
        _ => Ok(None),
    }
}

/// Takes the value of an option such as `-m 755`, `-m755`, `--mode=755` or `--mode 755` out of the
/// arguments.
fn take<'a>(args: &mut Vec<&'a str>, short: &str, long: &str) -> Option<&'a str> {
    let at = args.iter().position(|arg| {
        arg.starts_with(short) && !arg.starts_with("--") || arg.starts_with(long)
    })?;
    let arg = args.remove(at);
    let joined = arg
        .strip_prefix(long)
        .and_then(|rest| rest.strip_prefix('='));
    let joined = joined.or_else(|| {
        arg.strip_prefix(short)
            .filter(|rest| !rest.is_empty() && !arg.starts_with("--"))
    });
    joined.or_else(|| (at < args.len()).then(|| args.remove(at)))
}

/// Paths are looked up from the root, which is where maintainer scripts run.
fn mkdir(world: &mut World<'_, '_>, args: &[&str]) -> Ran {
    let mut args = args.to_vec();
    let set = take(&mut args, "-m", "--mode");
    let (options, dirs) = options(&args);
    if !known(&options, "pv", &["--parents"]) {
        return Ok(None);
    }
    let parents = has(&options, 'p') || options.contains(&"--parents");
    let mut status = 0;
    for dir in dirs {
        if world.exists(dir) {
            status |= i32::from(!parents);
            continue;
        }
        let Some(mode) = set.map_or(Some(0o755), |text| mode(text, 0o777, true)) else {
            return Ok(None);
        };
        world.mkdir(dir, 0o755)?;
        world.change(dir, true, |stat| stat.mode = mode)?;
        world.done(format!("made directory {dir}"));
    }
    Ok(Some(status))
}

fn empty_dir(world: &World<'_, '_>, path: &str) -> Option<bool> {
    match world.find_nofollow(path)? {
        Node::Dir(dir) => Some(dir.entries.is_empty()),
        Node::Leaf(_) => None,
    }
}

fn rmdir(world: &mut World<'_, '_>, args: &[&str]) -> Ran {
    let (options, dirs) = options(args);
    if !known(&options, "p", &["--ignore-fail-on-non-empty", "--parents"]) {
        return Ok(None);
    }
    let lenient = options.contains(&"--ignore-fail-on-non-empty");
    let mut status = 0;
    for dir in dirs {
        let mut path = dir.trim_end_matches('/');
        loop {
            match empty_dir(world, path) {
                Some(true) => _ = world.remove(path)?,
                Some(false) if lenient => break,
                _ => {
                    status = 1;
                    break;
                }
            }
            match path.rsplit_once('/') {
                Some((parent, _)) if has(&options, 'p') && !parent.is_empty() => path = parent,
                _ => break,
            }
        }
    }
    Ok(Some(status))
}

fn rm(world: &mut World<'_, '_>, args: &[&str]) -> Ran {
    let (options, paths) = options(args);
    if !known(&options, "rRfv", &["--force", "--recursive"]) {
        return Ok(None);
    }
    let force = has(&options, 'f') || options.contains(&"--force");
    let recursive = has(&options, 'r') || has(&options, 'R') || options.contains(&"--recursive");
    let mut status = 0;
    for path in paths {
        let bare = path.trim_end_matches('/');
        if bare.is_empty() {
            return Ok(None);
        }
        match world.find_nofollow(bare) {
            None => status |= i32::from(!force),
            Some(Node::Dir(_)) if !recursive => status = 1,
            Some(_) => {
                world.remove(bare)?;
                world.done(format!("removed {bare}"));
            }
        }
    }
    Ok(Some(status))
}

/// The paths below and with each path, where a command works recursively; symlinks on the way are
/// not followed.
fn below(world: &World<'_, '_>, path: &str, recursive: bool) -> Vec<String> {
    let mut out = vec![path.to_owned()];
    let mut todo = vec![path.to_owned()];
    while let Some(base) = todo.pop().filter(|_| recursive) {
        let Some(Node::Dir(dir)) = world.find_nofollow(&base) else {
            continue;
        };
        for (name, entry) in &dir.entries {
            let path = format!(
                "{}/{}",
                base.trim_end_matches('/'),
                String::from_utf8_lossy(name)
            );
            if matches!(entry, DirEntry::Dir(_)) {
                todo.push(path.clone());
            }
            out.push(path);
        }
    }
    out
}

fn chmod(world: &mut World<'_, '_>, args: &[&str]) -> Ran {
    // A mode such as `-x` looks like an option.
    let (options, operands) = options(args);
    if !known(&options, "Rfv", &["--recursive", "--quiet", "--silent"]) {
        return Ok(None);
    }
    let Some((text, paths)) = operands.split_first() else {
        return Ok(None);
    };
    let mut status = 0;
    for path in paths {
        if !world.exists(path) {
            status = 1;
            continue;
        }
        for path in below(world, path, has(&options, 'R')) {
            let dir = world.is_dir(&path);
            let Some(old) = world.stat(&path, true).map(|stat| stat.mode) else {
                continue;
            };
            let Some(new) = mode(text, old, dir) else {
                return Ok(None);
            };
            world.change(&path, true, |stat| stat.mode = new)?;
        }
        world.done(format!("mode of {path} set to {text}"));
    }
    Ok(Some(status))
}

fn chown(world: &mut World<'_, '_>, word: &str, args: &[&str]) -> Ran {
    let (options, operands) = options(args);
    if !known(
        &options,
        "Rhfv",
        &["--recursive", "--no-dereference", "--quiet"],
    ) {
        return Ok(None);
    }
    let Some((owner, paths)) = operands.split_first() else {
        return Ok(None);
    };
    let names = Names::read(world.editor.tree())?;
    let (user, group) = match owner.split_once([':', '.']) {
        _ if word == "chgrp" => ("", *owner),
        Some((user, group)) => (user, group),
        None => (*owner, ""),
    };
    let look = |name: &str, number: Option<u32>| {
        if name.is_empty() {
            Some(None)
        } else {
            number.map(Some)
        }
    };
    let (Some(uid), Some(gid)) = (
        look(user, names.user(user)),
        look(group, names.group(group)),
    ) else {
        return Ok(Some(1));
    };
    let follow = !(has(&options, 'h') || options.contains(&"--no-dereference"));
    let recursive = has(&options, 'R') || options.contains(&"--recursive");
    let mut status = 0;
    for path in paths {
        if world.find_nofollow(path).is_none() {
            status = 1;
        }
        for path in below(world, path, recursive) {
            world.change(&path, follow && !recursive, |stat| {
                (stat.uid, stat.gid) = (uid.unwrap_or(stat.uid), gid.unwrap_or(stat.gid));
                // chown(2) takes the privileges of an executable file away.
                if stat.mode & 0o111 != 0 && stat.mode & 0o6000 != 0 {
                    stat.mode &= !0o6000;
                }
            })?;
        }
        world.done(format!("owner of {path} set to {owner}"));
    }
    Ok(Some(status))
}

/// Where a file lands that is moved, copied or linked to `to`: inside it when that is a directory.
fn landing(world: &World<'_, '_>, from: &str, to: &str) -> String {
    let name = from
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or(from);
    if world.is_dir(to) {
        format!("{}/{name}", to.trim_end_matches('/'))
    } else {
        to.to_owned()
    }
}

fn ln(world: &mut World<'_, '_>, args: &[&str]) -> Ran {
    let (options, operands) = options(args);
    if !known(
        &options,
        "sfnvT",
        &["--symbolic", "--force", "--no-dereference"],
    ) {
        return Ok(None);
    }
    let [target, path] = operands.as_slice() else {
        return Ok(None);
    };
    if !(has(&options, 's') || options.contains(&"--symbolic")) {
        return Ok(None);
    }
    let as_is = has(&options, 'T') || has(&options, 'n') && world.link_target(path).is_some();
    let path = if as_is {
        (*path).to_owned()
    } else {
        landing(world, target, path)
    };
    if world.find_nofollow(&path).is_some() {
        let force = has(&options, 'f') || options.contains(&"--force");
        if !force || matches!(world.find_nofollow(&path), Some(Node::Dir(_))) {
            return Ok(Some(1));
        }
    }
    world.symlink(&path, target)?;
    world.done(format!("linked {path} to {target}"));
    Ok(Some(0))
}

fn mv(world: &mut World<'_, '_>, args: &[&str]) -> Ran {
    let (options, operands) = options(args);
    if !known(&options, "fnvT", &["--force"]) {
        return Ok(None);
    }
    let [from, to] = operands.as_slice() else {
        return Ok(None);
    };
    if world.find_nofollow(from).is_none() {
        return Ok(Some(1));
    }
    let to = if has(&options, 'T') {
        (*to).to_owned()
    } else {
        landing(world, from, to)
    };
    if has(&options, 'n') && world.find_nofollow(&to).is_some() {
        return Ok(Some(0));
    }
    move_path(world, from, &to)?;
    Ok(Some(0))
}

/// Moves what stands at a path, over a leaf at the new one.
pub(super) fn move_path(
    world: &mut World<'_, '_>,
    from: &str,
    to: &str,
) -> Result<(), crate::tree::edit::EditError> {
    if let Some(entry) = world.remove(from)? {
        world.place(to, entry)?;
        world.done(format!("moved {from} to {to}"));
    }
    Ok(())
}

fn cp(world: &mut World<'_, '_>, args: &[&str]) -> Ran {
    let (options, operands) = options(args);
    if !known(&options, "pfvPa", &["--preserve", "--force", "--archive"]) {
        return Ok(None);
    }
    let [from, to] = operands.as_slice() else {
        return Ok(None);
    };
    let Some(Node::Leaf(leaf)) = world.find(from) else {
        return Ok(if world.exists(from) { None } else { Some(1) });
    };
    let Leaf {
        kind: LeafKind::File(content),
        stat,
    } = leaf
    else {
        return Ok(None);
    };
    let (content, stat) = (content.clone(), stat.clone());
    let to = landing(world, from, to);
    let keep = has(&options, 'p')
        || has(&options, 'a')
        || options
            .iter()
            .any(|o| matches!(*o, "--preserve" | "--archive"));
    put(
        world,
        &to,
        content,
        (!keep).then_some(stat.mode & 0o755),
        &stat,
    )?;
    world.done(format!("copied {from} to {to}"));
    Ok(Some(0))
}

/// Writes a copy: with the source's stat, or as a new file of `fresh` mode (an existing one keeps
/// its own).
fn put(
    world: &mut World<'_, '_>,
    to: &str,
    content: Content,
    fresh: Option<u16>,
    stat: &Stat,
) -> Result<(), crate::tree::edit::EditError> {
    let reason = world.reason();
    let time = world.editor.time();
    let real = show(&world.editor.tree().walk(to.as_bytes(), true)?.path());
    let stat = match (fresh, world.stat(&real, false)) {
        (None, _) => stat.clone(),
        (Some(_), Some(old)) => Stat {
            mtime: time,
            ctime: time,
            ..old.clone()
        },
        (Some(mode), None) => Stat::root(mode, time),
    };
    world.editor.put(
        &real,
        Leaf {
            stat,
            kind: LeafKind::File(content),
        },
        &reason,
    )?;
    Ok(())
}

fn touch(world: &mut World<'_, '_>, args: &[&str]) -> Ran {
    let (options, paths) = options(args);
    if !options.is_empty() {
        return Ok(None);
    }
    for path in paths {
        let time = world.editor.time();
        if !world.change(path, true, |stat| stat.mtime = time)? {
            world.write(path, b"", false)?;
        }
    }
    Ok(Some(0))
}

/// `install -d [-m MODE] [-o USER] [-g GROUP] DIR...` and `install [...] FILE DEST`.
fn install(world: &mut World<'_, '_>, args: &[&str]) -> Ran {
    let mut args = args.to_vec();
    let set = take(&mut args, "-m", "--mode");
    let (owner, group) = (
        take(&mut args, "-o", "--owner"),
        take(&mut args, "-g", "--group"),
    );
    let (options, operands) = options(&args);
    if !known(&options, "dDcpvT", &["--directory"]) {
        return Ok(None);
    }
    let names = Names::read(world.editor.tree())?;
    let (uid, gid) = (
        owner.map(|name| names.user(name)),
        group.map(|name| names.group(name)),
    );
    if uid == Some(None) || gid == Some(None) {
        return Ok(Some(1));
    }
    let Some(bits) = set.map_or(Some(0o755), |text| mode(text, 0, false)) else {
        return Ok(None);
    };
    let paths: Vec<String> = if has(&options, 'd') || options.contains(&"--directory") {
        for dir in &operands {
            world.mkdir(dir, 0o755)?;
        }
        operands.iter().map(|dir| (*dir).to_owned()).collect()
    } else {
        let [from, to] = operands.as_slice() else {
            return Ok(None);
        };
        let content = match world.content(from) {
            Some(content) => content.clone(),
            None if *from == "/dev/null" => Content::hole(0),
            None => return Ok(Some(1)),
        };
        let to = landing(world, from, to);
        world.remove(&to)?;
        put(
            world,
            &to,
            content,
            Some(bits),
            &Stat::root(bits, world.editor.time()),
        )?;
        vec![to]
    };
    for path in paths {
        world.change(&path, true, |stat| {
            stat.mode = bits;
            stat.uid = uid.flatten().unwrap_or(stat.uid);
            stat.gid = gid.flatten().unwrap_or(stat.gid);
        })?;
        world.done(format!("made {path}"));
    }
    Ok(Some(0))
}

fn cmp(world: &World<'_, '_>, args: &[&str]) -> Ran {
    let (options, operands) = options(args);
    let [a, b] = operands.as_slice() else {
        return Ok(None);
    };
    if !known(&options, "s", &["--quiet", "--silent"]) {
        return Ok(None);
    }
    let (a, b) = (world.text(a)?, world.text(b)?);
    Ok(Some(if a.is_none() || b.is_none() {
        2
    } else {
        i32::from(a != b)
    }))
}
