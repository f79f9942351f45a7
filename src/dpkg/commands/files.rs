//! Commands that create, change and remove files.

use super::super::script_host::ScriptHost;
use super::super::users::{AccountIds, Accounts};
use super::arguments::{CommandResult, has, known, mode, mode_under, options};
use super::copies::{labelled, landing, put};
use crate::stream::Content;
use crate::tree::{DirEntry, Leaf, LeafKind, Node, Stat};

pub(super) fn run(host: &mut ScriptHost<'_, '_>, word: &str, args: &[&str]) -> CommandResult {
    match word {
        "mkdir" => mkdir(host, args),
        "rmdir" => rmdir(host, args),
        "rm" => rm(host, args),
        "chmod" => chmod(host, args),
        "chown" | "chgrp" => chown(host, word, args),
        "touch" => touch(host, args),
        "install" => install(host, args),
        "cmp" => cmp(host, args),
        _ => Ok(None),
    }
}

/// Takes the value of an option such as `-m 755`, `-m755`, `--mode=755` or `--mode 755` out of the
/// arguments; of several, the last counts.
fn take<'a>(args: &mut Vec<&'a str>, short: &str, long: &str) -> Option<&'a str> {
    let mut last = None;
    while let Some(at) = args.iter().position(|arg| {
        arg.starts_with(short) && !arg.starts_with("--") || arg.split('=').next() == Some(long)
    }) {
        let arg = args.remove(at);
        let joined = arg
            .strip_prefix(long)
            .and_then(|rest| rest.strip_prefix('='));
        let joined = joined.or_else(|| {
            arg.strip_prefix(short)
                .filter(|rest| !rest.is_empty() && !arg.starts_with("--"))
        });
        last = joined.or_else(|| (at < args.len()).then(|| args.remove(at)));
        last?;
    }
    last
}

/// Paths are looked up from the root, which is where maintainer scripts run.
fn mkdir(host: &mut ScriptHost<'_, '_>, args: &[&str]) -> CommandResult {
    let mut args = args.to_vec();
    let set = take(&mut args, "-m", "--mode");
    let (options, dirs) = options(&args);
    if !known(&options, "pvZ", &["--parents"]) || has(&options, 'Z') && labelled(host) {
        return Ok(None);
    }
    let parents = has(&options, 'p') || options.contains(&"--parents");
    let mut status = 0;
    for dir in dirs {
        if host.find_nofollow(dir.trim_end_matches('/')).is_some() || host.exists(dir) {
            status |= i32::from(!parents || !host.is_dir(dir));
            continue;
        }
        if dir.is_empty() || !parents && !host.has_parent(dir) {
            status = 1;
            continue;
        }
        if let Some((parent, _)) = dir.trim_end_matches('/').rsplit_once('/') {
            host.mkdir(parent, 0o777 & !host.umask | 0o300)?;
        }
        host.mkdir(dir, 0o777 & !host.umask)?;
        if let Some(text) = set {
            let made = host.stat(dir, true).map_or(0, |stat| stat.mode);
            let Some(mode) = mode_under(text, 0o777 | made & 0o6000, true, host.umask) else {
                return Ok(None);
            };
            host.change_stat(dir, true, |stat| stat.mode = mode)?;
        }
    }
    Ok(Some(status))
}

fn empty_dir(host: &ScriptHost<'_, '_>, path: &str) -> Option<bool> {
    match host.find_nofollow(path)? {
        Node::Dir(dir) => Some(dir.entries.is_empty()),
        Node::Leaf(_) => None,
    }
}

fn rmdir(host: &mut ScriptHost<'_, '_>, args: &[&str]) -> CommandResult {
    let (options, dirs) = options(args);
    if !known(&options, "p", &["--ignore-fail-on-non-empty", "--parents"]) {
        return Ok(None);
    }
    let lenient = options.contains(&"--ignore-fail-on-non-empty");
    let mut status = 0;
    for dir in dirs {
        let mut path = dir.trim_end_matches('/');
        loop {
            match empty_dir(host, path) {
                Some(true) => _ = host.remove(path)?,
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

fn rm(host: &mut ScriptHost<'_, '_>, args: &[&str]) -> CommandResult {
    let (options, paths) = options(args);
    if !known(&options, "rRfv", &["--force", "--recursive"]) {
        return Ok(None);
    }
    let force = has(&options, 'f') || options.contains(&"--force");
    let recursive = has(&options, 'r') || has(&options, 'R') || options.contains(&"--recursive");
    let mut status = 0;
    for path in paths {
        let bare = path.trim_end_matches('/');
        if path.is_empty() {
            status |= i32::from(!force);
            continue;
        }
        if bare.is_empty() {
            return Ok(None);
        }
        match host.find_nofollow(bare) {
            None => status |= i32::from(!force),
            Some(Node::Dir(_)) if !recursive => status = 1,
            Some(_) => {
                host.remove(bare)?;
            }
        }
    }
    Ok(Some(status))
}

/// The paths below and with each path, where a command works recursively; symlinks on the way are
/// not followed.
pub(super) fn below(host: &ScriptHost<'_, '_>, path: &str, recursive: bool) -> Vec<String> {
    let mut out = vec![path.to_owned()];
    let mut todo = vec![path.to_owned()];
    while let Some(base) = todo.pop().filter(|_| recursive) {
        let Some(Node::Dir(dir)) = host.find_nofollow(&base) else {
            continue;
        };
        host.count_entries(dir.entries.len());
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

fn chmod(host: &mut ScriptHost<'_, '_>, args: &[&str]) -> CommandResult {
    let mut args = args.to_vec();
    let reference = take(&mut args, "--reference", "--reference");
    // A mode such as `-x` looks like an option.
    let (options, operands) = options(&args);
    if !known(&options, "Rfv", &["--recursive", "--quiet", "--silent"]) {
        return Ok(None);
    }
    let (text, paths) = match (reference, operands.split_first()) {
        (Some(model), _) => match host.stat(model, true) {
            Some(stat) => (format!("{:05o}", stat.mode), operands.as_slice()),
            None => return Ok(Some(1)),
        },
        (None, Some((text, paths))) => ((*text).to_owned(), paths),
        (None, None) => return Ok(None),
    };
    let mut status = 0;
    for path in paths {
        if !host.exists(path) {
            status = 1;
            continue;
        }
        for path in below(host, path, has(&options, 'R')) {
            let dir = host.is_dir(&path);
            let Some(old) = host.stat(&path, true).map(|stat| stat.mode) else {
                continue;
            };
            let Some(new) = mode_under(&text, old, dir, host.umask) else {
                return Ok(None);
            };
            host.change_stat(&path, true, |stat| stat.mode = new)?;
        }
    }
    Ok(Some(status))
}

fn chown(host: &mut ScriptHost<'_, '_>, word: &str, args: &[&str]) -> CommandResult {
    let mut args = args.to_vec();
    let model = match take(&mut args, "--reference", "--reference") {
        Some(model) => match host.stat(model, true) {
            Some(stat) if word == "chgrp" => Some(stat.gid.to_string()),
            Some(stat) => Some(format!("{}:{}", stat.uid, stat.gid)),
            None => return Ok(Some(1)),
        },
        None => None,
    };
    let (options, mut operands) = options(&args);
    if let Some(owner) = &model {
        operands.insert(0, owner);
    }
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
    let names = AccountIds::read(host.editor.tree())?;
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
    let (Some(uid), Some(mut gid)) = (
        look(user, names.user(user)),
        look(group, names.group(group)),
    ) else {
        return Ok(Some(1));
    };
    // `user:` means the user's own group.
    if gid.is_none() && word == "chown" && owner.ends_with(':') && !user.is_empty() {
        let accounts = Accounts::read(host.editor.tree())?;
        gid = accounts
            .user(user)
            .and_then(|line| line.get(3)?.parse().ok());
        if gid.is_none() {
            return Ok(Some(1));
        }
    }
    let follow = !(has(&options, 'h') || options.contains(&"--no-dereference"));
    let recursive = has(&options, 'R') || options.contains(&"--recursive");
    let mut status = 0;
    for path in paths {
        if host.find_nofollow(path).is_none() {
            status = 1;
        }
        for path in below(host, path, recursive) {
            host.change_stat(&path, follow && !recursive, |stat| {
                (stat.uid, stat.gid) = (uid.unwrap_or(stat.uid), gid.unwrap_or(stat.gid));
            })?;
            privileges_lost(host, &path, follow && !recursive)?;
        }
    }
    Ok(Some(status))
}

/// Clears what chown(2) clears of files that are not directories: setuid, setgid where the group
/// may execute, and capabilities.
fn privileges_lost(
    host: &mut ScriptHost<'_, '_>,
    path: &str,
    follow: bool,
) -> Result<(), crate::tree::edit::EditError> {
    let found = if follow {
        host.find(path)
    } else {
        host.find_nofollow(path)
    };
    let Some(Node::Leaf(Leaf { kind, .. })) = found else {
        return Ok(());
    };
    if matches!(kind, LeafKind::Symlink(_)) {
        return Ok(());
    }
    host.change_stat(path, follow, |stat| {
        stat.mode &= !0o4000;
        if stat.mode & 0o010 != 0 {
            stat.mode &= !0o2000;
        }
        stat.xattrs.remove(&b"security.capability"[..]);
    })?;
    Ok(())
}

fn touch(host: &mut ScriptHost<'_, '_>, args: &[&str]) -> CommandResult {
    let (options, paths) = options(args);
    if !known(&options, "acm", &["--no-create"]) {
        return Ok(None);
    }
    let only_old = has(&options, 'c') || options.contains(&"--no-create");
    for path in paths {
        if only_old && !host.exists(path) {
            continue;
        }
        if !host.exists(path) && !host.has_parent(path) {
            return Ok(Some(1));
        }
        let time = host.editor.time();
        if !host.change_stat(path, true, |stat| stat.mtime = time)? {
            host.write_file(path, b"", false)?;
        }
    }
    Ok(Some(0))
}

/// `install -d [-m MODE] [-o USER] [-g GROUP] DIR...` and `install [...] FILE DEST`.
fn install(host: &mut ScriptHost<'_, '_>, args: &[&str]) -> CommandResult {
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
    let names = AccountIds::read(host.editor.tree())?;
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
            host.mkdir(dir, 0o755)?;
        }
        operands.iter().map(|dir| (*dir).to_owned()).collect()
    } else {
        let [from, to] = operands.as_slice() else {
            return Ok(None);
        };
        let content = match host.content(from) {
            Some(content) => content.clone(),
            None if *from == "/dev/null" => Content::hole(0),
            None => return Ok(Some(1)),
        };
        let to = if has(&options, 'T') {
            (*to).to_owned()
        } else {
            landing(host, from, to)
        };
        if has(&options, 'D') {
            if let Some((parent, _)) = to.rsplit_once('/') {
                host.mkdir(parent, 0o755)?;
            }
        } else if !host.has_parent(&to) {
            return Ok(Some(1));
        }
        host.remove(&to)?;
        put(
            host,
            &to,
            content,
            Some(bits),
            &Stat::root(bits, host.editor.time()),
        )?;
        vec![to]
    };
    for path in paths {
        let inherited = if host.is_dir(&path) {
            host.stat(&path, true).map_or(0, |stat| stat.mode & 0o6000)
        } else {
            0
        };
        host.change_stat(&path, true, |stat| {
            stat.mode = bits | inherited;
            stat.uid = uid.flatten().unwrap_or(stat.uid);
            stat.gid = gid.flatten().unwrap_or(stat.gid);
        })?;
    }
    Ok(Some(0))
}

fn cmp(host: &ScriptHost<'_, '_>, args: &[&str]) -> CommandResult {
    let (options, operands) = options(args);
    let [a, b] = operands.as_slice() else {
        return Ok(None);
    };
    if !known(&options, "s", &["--quiet", "--silent"]) {
        return Ok(None);
    }
    let (a, b) = (host.text(a)?, host.text(b)?);
    Ok(Some(if a.is_none() || b.is_none() {
        2
    } else {
        i32::from(a != b)
    }))
}
