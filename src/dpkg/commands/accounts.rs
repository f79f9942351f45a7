//! Commands that add users and groups: `adduser(8)`, `useradd(8)`, `groupadd(8)`, `usermod(8)`,
//! `getent(1)`. Numbers are chosen as each of them chooses, from what the
//! image has, so they are the same every time.

use super::super::script_host::ScriptHost;
use super::super::users::{Accounts, NewUser};
use super::arguments::CommandResult;
use super::files;
use super::{dpkg, text};
use crate::shell::Io;
use crate::tree::edit::EditError;

/// The lowest and highest number for system accounts, as `/etc/adduser.conf` has them by default.
pub(super) const RANGE: (u32, u32) = (100, 999);

pub(super) fn run(
    host: &mut ScriptHost<'_, '_>,
    word: &str,
    args: &[&str],
    io: &mut Io,
) -> CommandResult {
    match word {
        "adduser" | "addgroup" => adduser(host, word, args),
        "useradd" => useradd(host, args),
        "groupadd" => groupadd(host, args),
        "usermod" | "gpasswd" => usermod(host, word, args),
        "getent" => getent(host, args, io),
        _ => Ok(None),
    }
}

/// Options with and without values, and operands.
#[derive(Debug, Default)]
struct Parsed<'a> {
    flags: Vec<&'a str>,
    values: Vec<(&'a str, &'a str)>,
    operands: Vec<&'a str>,
}

impl<'a> Parsed<'a> {
    /// `with_value` names the options that take one, `flags` those that do not; any other is
    /// outside of the model.
    fn read(args: &[&'a str], with_value: &[&str], flags: &[&str]) -> Option<Self> {
        let mut out = Self::default();
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            let (name, joined) = arg
                .split_once('=')
                .map_or((*arg, None), |(name, value)| (name, Some(value)));
            if !arg.starts_with('-') {
                out.operands.push(arg);
            } else if with_value.contains(&name) {
                out.values
                    .push((name, joined.or_else(|| rest.next().copied())?));
            } else if flags.contains(arg) {
                out.flags.push(arg);
            } else {
                return None;
            }
        }
        Some(out)
    }

    /// The value of an option; of several, the last counts.
    fn value(&self, names: &[&str]) -> Option<&'a str> {
        self.values
            .iter()
            .rev()
            .find(|(name, _)| names.contains(name))
            .map(|(_, value)| *value)
    }

    fn flag(&self, names: &[&str]) -> bool {
        self.flags.iter().any(|flag| names.contains(flag))
    }
}

/// A setting of a file of `KEY=value` or `KEY value` lines.
fn setting(host: &ScriptHost<'_, '_>, path: &str, key: &str) -> Result<Option<String>, EditError> {
    let text = host.text(path)?.unwrap_or_default();
    let find = |line: &str| {
        let rest = line.trim().strip_prefix(key)?;
        let value = rest
            .strip_prefix(['=', ' ', '\t'])?
            .trim()
            .trim_matches('"');
        Some(value.to_owned())
    };
    Ok(text.lines().find_map(find))
}

fn number(
    host: &ScriptHost<'_, '_>,
    path: &str,
    key: &str,
    default: u32,
) -> Result<u32, EditError> {
    Ok(setting(host, path, key)?
        .and_then(|value| value.parse().ok())
        .unwrap_or(default))
}

/// The day of the conversion's time, counted from 1970-01-01.
pub(super) fn day(host: &ScriptHost<'_, '_>) -> i64 {
    host.editor.time().seconds.div_euclid(86_400)
}

fn save(host: &mut ScriptHost<'_, '_>, accounts: &Accounts) -> CommandResult {
    let reason = host.reason();
    accounts.write(host.editor, &reason)?;
    Ok(Some(0))
}

fn adduser(host: &mut ScriptHost<'_, '_>, word: &str, args: &[&str]) -> CommandResult {
    let with_value = [
        "--home",
        "--shell",
        "--uid",
        "--gid",
        "--ingroup",
        "--gecos",
        "--comment",
        "--stdoutmsglevel",
        "--stderrmsglevel",
        "--logmsglevel",
    ];
    let flags = [
        "--system",
        "--group",
        "--quiet",
        "--no-create-home",
        "--disabled-password",
        "--disabled-login",
        "--force-badname",
        "--allow-bad-names",
        "--allow-all-names",
        "--allow-badname",
        "-q",
    ];
    let Some(parsed) = Parsed::read(args, &with_value, &flags) else {
        return Ok(None);
    };
    match parsed.operands.as_slice() {
        [user, group] => join(host, user, group),
        [name]
            if word == "addgroup" || parsed.flag(&["--group"]) && !parsed.flag(&["--system"]) =>
        {
            if parsed.flag(&["--system"]) {
                system_group(host, name, &parsed)
            } else {
                Ok(None)
            }
        }
        [name] if parsed.flag(&["--system"]) => system_user(host, name, &parsed),
        _ => Ok(None),
    }
}

fn join(host: &mut ScriptHost<'_, '_>, user: &str, group: &str) -> CommandResult {
    let mut accounts = Accounts::read(host.editor.tree())?;
    if accounts.user(user).is_none() || !accounts.join(user, group) {
        return Ok(Some(1));
    }
    save(host, &accounts)
}

fn first_free(range: (u32, u32), free: impl Fn(u32) -> bool) -> Option<u32> {
    (range.0..=range.1).find(|number| free(*number))
}

fn system_range(host: &ScriptHost<'_, '_>, kind: &str) -> Result<(u32, u32), EditError> {
    let get = |which: &str, default| {
        number(
            host,
            "/etc/adduser.conf",
            &format!("{which}_SYSTEM_{kind}"),
            default,
        )
    };
    Ok((get("FIRST", RANGE.0)?, get("LAST", RANGE.1)?))
}

fn system_group(host: &mut ScriptHost<'_, '_>, name: &str, parsed: &Parsed<'_>) -> CommandResult {
    let mut accounts = Accounts::read(host.editor.tree())?;
    let range = system_range(host, "GID")?;
    if let Some(gid) = accounts.gid(name) {
        let system = (range.0..=range.1).contains(&gid);
        return Ok(Some(i32::from(!system)));
    }
    let given = parsed.value(&["--gid"]).and_then(|gid| gid.parse().ok());
    let Some(gid) = given.or_else(|| first_free(range, |gid| accounts.gid_free(gid))) else {
        return Ok(Some(1));
    };
    accounts.add_group(name, gid);
    save(host, &accounts)
}

/// What adduser adds to a comment: until 3.134 it calls chfn(1), which writes all of its parts;
/// later ones call usermod(8).
fn comment_tail(host: &ScriptHost<'_, '_>) -> &'static str {
    let version = host
        .database
        .named("adduser")
        .map(|s| s.facts.version.to_string());
    let later = version.is_some_and(|version| dpkg::compare(&version, "gt", "3.134") == Some(true));
    if later { "" } else { ",,," }
}

fn system_user(host: &mut ScriptHost<'_, '_>, name: &str, parsed: &Parsed<'_>) -> CommandResult {
    let mut accounts = Accounts::read(host.editor.tree())?;
    let range = system_range(host, "UID")?;
    if let Some(line) = accounts.user(name) {
        let uid: u32 = line.get(2).and_then(|uid| uid.parse().ok()).unwrap_or(0);
        return Ok(Some(i32::from(!(range.0..=range.1).contains(&uid))));
    }
    let own_group = parsed.flag(&["--group"]);
    let existing = accounts.gid(name).filter(|_| own_group);
    let given: Option<u32> = parsed.value(&["--uid"]).and_then(|uid| uid.parse().ok());
    let Some(uid) = given.or_else(|| first_free(range, |uid| accounts.uid_free(uid))) else {
        return Ok(Some(1));
    };
    let group = parsed.value(&["--ingroup", "--gid"]).unwrap_or("nogroup");
    // Without `--uid`, user and group each take the first number that is free.
    let own_gid = || given.or_else(|| first_free(range, |gid| accounts.gid_free(gid)));
    let gid = if own_group {
        existing.or_else(own_gid)
    } else {
        accounts.gid(group)
    };
    let Some(gid) = gid else { return Ok(Some(1)) };
    if own_group && existing.is_none() {
        accounts.add_group(name, gid);
    }
    let home = parsed
        .value(&["--home"])
        .unwrap_or("/nonexistent")
        .to_owned();
    let user = NewUser {
        name: name.to_owned(),
        uid,
        gid,
        comment: parsed
            .value(&["--gecos", "--comment"])
            .map(|comment| format!("{comment}{}", comment_tail(host)))
            .unwrap_or_default(),
        home: home.clone(),
        shell: parsed
            .value(&["--shell"])
            .unwrap_or("/usr/sbin/nologin")
            .to_owned(),
        password: "!",
    };
    accounts.add_user(&user, day(host));
    if !parsed.flag(&["--no-create-home"]) && home != "/nonexistent" && !host.exists(&home) {
        host.mkdir(&home, 0o755)?;
        host.change_stat(&home, true, |stat| (stat.uid, stat.gid) = (uid, gid))?;
    }
    save(host, &accounts)
}

/// The number that `useradd -r` and `groupadd -r` take: below the lowest one used in the range, or
/// the highest free one (`find_new_uid` of shadow's `libmisc`).
fn downwards(
    host: &ScriptHost<'_, '_>,
    kind: &str,
    used: &[u32],
    free: impl Fn(u32) -> bool,
) -> Result<Option<u32>, EditError> {
    let max = number(host, "/etc/login.defs", &format!("{kind}_MIN"), 1000)?.saturating_sub(1);
    let max = number(host, "/etc/login.defs", &format!("SYS_{kind}_MAX"), max)?;
    let min = number(host, "/etc/login.defs", &format!("SYS_{kind}_MIN"), 101)?;
    let lowest = used
        .iter()
        .copied()
        .filter(|id| (min..=max).contains(id))
        .min()
        .unwrap_or(max.saturating_add(1));
    let below = lowest.checked_sub(1).filter(|id| *id >= min && free(*id));
    Ok(below.or_else(|| (min..=max).rev().find(|id| free(*id))))
}

fn numbers(lines: &[Vec<String>]) -> Vec<u32> {
    lines
        .iter()
        .filter_map(|line| line.get(2)?.parse().ok())
        .collect()
}

fn groupadd(host: &mut ScriptHost<'_, '_>, args: &[&str]) -> CommandResult {
    let Some(parsed) = Parsed::read(args, &["-g", "--gid"], &["-r", "--system", "-f", "--force"])
    else {
        return Ok(None);
    };
    let [name] = parsed.operands.as_slice() else {
        return Ok(None);
    };
    let mut accounts = Accounts::read(host.editor.tree())?;
    if accounts.group(name).is_some() {
        return Ok(Some(if parsed.flag(&["-f", "--force"]) {
            0
        } else {
            9
        }));
    }
    if !parsed.flag(&["-r", "--system"]) && parsed.values.is_empty() {
        return Ok(None);
    }
    let given = parsed
        .value(&["-g", "--gid"])
        .and_then(|gid| gid.parse().ok());
    let chosen = downwards(host, "GID", &numbers(&accounts.group), |gid| {
        accounts.gid_free(gid)
    })?;
    let Some(gid) = given.or(chosen) else {
        return Ok(Some(10));
    };
    accounts.add_group(name, gid);
    save(host, &accounts)
}

/// Options of `useradd` that take a value.
const USERADD_VALUES: [&str; 13] = [
    "-d",
    "--home",
    "--home-dir",
    "-s",
    "--shell",
    "-c",
    "--comment",
    "-g",
    "--gid",
    "-u",
    "--uid",
    "-G",
    "--groups",
];

/// Options of `useradd` that take none.
const USERADD_FLAGS: [&str; 10] = [
    "-r",
    "--system",
    "-M",
    "--no-create-home",
    "-m",
    "--create-home",
    "-U",
    "--user-group",
    "-N",
    "--no-user-group",
];

fn useradd(host: &mut ScriptHost<'_, '_>, args: &[&str]) -> CommandResult {
    let Some(parsed) = Parsed::read(args, &USERADD_VALUES, &USERADD_FLAGS) else {
        return Ok(None);
    };
    let [name] = parsed.operands.as_slice() else {
        return Ok(None);
    };
    if !parsed.flag(&["-r", "--system"]) {
        return Ok(None);
    }
    let mut accounts = Accounts::read(host.editor.tree())?;
    if accounts.user(name).is_some() {
        return Ok(Some(9));
    }
    let given = parsed
        .value(&["-u", "--uid"])
        .and_then(|uid| uid.parse().ok());
    let Some(uid) = given.or(downwards(host, "UID", &numbers(&accounts.passwd), |uid| {
        accounts.uid_free(uid)
    })?) else {
        return Ok(Some(4));
    };
    let gid = match parsed.value(&["-g", "--gid"]) {
        Some(group) => accounts.gid(group),
        None if parsed.flag(&["-N", "--no-user-group"]) => Some(100),
        None if accounts.group(name).is_some() => return Ok(Some(9)),
        None if accounts.gid_free(uid) => Some(uid),
        None => downwards(host, "GID", &numbers(&accounts.group), |gid| {
            accounts.gid_free(gid)
        })?,
    };
    let Some(gid) = gid else { return Ok(Some(6)) };
    if accounts.gid_free(gid) {
        accounts.add_group(name, gid);
    }
    let user = NewUser {
        name: (*name).to_owned(),
        uid,
        gid,
        comment: parsed
            .value(&["-c", "--comment"])
            .unwrap_or_default()
            .to_owned(),
        home: parsed
            .value(&["-d", "--home", "--home-dir"])
            .map_or_else(|| format!("/home/{name}"), str::to_owned),
        shell: parsed
            .value(&["-s", "--shell"])
            .unwrap_or("/bin/sh")
            .to_owned(),
        password: "!",
    };
    accounts.add_user(&user, day(host));
    let groups = parsed.value(&["-G", "--groups"]).unwrap_or_default();
    let mut groups = groups.split(',').filter(|group| !group.is_empty());
    if !groups.all(|group| accounts.join(name, group)) {
        return Ok(Some(6));
    }
    if parsed.flag(&["-m", "--create-home"]) {
        create_home(host, &user)?;
    }
    save(host, &accounts)
}

/// Makes a home directory with what `/etc/skel` has, as `useradd -m`; one that exists stays.
fn create_home(host: &mut ScriptHost<'_, '_>, user: &NewUser) -> Result<(), EditError> {
    if host.exists(&user.home) {
        return Ok(());
    }
    let mode = setting(host, "/etc/login.defs", "HOME_MODE")?;
    let mode = mode.and_then(|mode| u16::from_str_radix(&mode, 8).ok());
    host.mkdir(&user.home, 0o755)?;
    for path in files::below(host, "/etc/skel", true).into_iter().skip(1) {
        let Some(rest) = path.strip_prefix("/etc/skel/") else {
            continue;
        };
        let to = format!("{}/{rest}", user.home.trim_end_matches('/'));
        if let Some(target) = host.link_target(&path) {
            host.symlink(&to, &target)?;
        } else if host.is_dir(&path) {
            let mode = host.stat(&path, true).map_or(0o755, |stat| stat.mode);
            host.mkdir(&to, mode)?;
        } else {
            host.copy(&path, &to)?;
        }
        host.change_stat(&to, false, |stat| {
            (stat.uid, stat.gid) = (user.uid, user.gid)
        })?;
    }
    host.change_stat(&user.home, true, |stat| {
        (stat.uid, stat.gid) = (user.uid, user.gid);
        stat.mode = mode.unwrap_or(0o755);
    })?;
    Ok(())
}

/// `usermod -aG GROUP USER` and `gpasswd -a USER GROUP`.
fn usermod(host: &mut ScriptHost<'_, '_>, word: &str, args: &[&str]) -> CommandResult {
    match (word, args) {
        (
            "usermod",
            ["-aG" | "-Ga", groups, user] | ["-a", "-G", groups, user] | ["-G", groups, "-a", user],
        ) => {
            for group in groups.split(',') {
                if join(host, user, group)? != Some(0) {
                    return Ok(Some(6));
                }
            }
            Ok(Some(0))
        }
        ("gpasswd", ["-a", user, group]) => join(host, user, group),
        ("usermod", [option, value, user]) => set_field(host, option, value, user),
        ("usermod", ["-L" | "--lock", user]) => lock(host, user),
        _ => Ok(None),
    }
}

/// Gives a user another comment, home directory or shell.
fn set_field(
    host: &mut ScriptHost<'_, '_>,
    option: &str,
    value: &str,
    user: &str,
) -> CommandResult {
    let at = match option {
        "-c" | "--comment" => 4,
        "-d" | "--home" => 5,
        "-s" | "--shell" => 6,
        _ => return Ok(None),
    };
    if value.contains([':', '\n']) {
        return Ok(Some(3));
    }
    let mut accounts = Accounts::read(host.editor.tree())?;
    let mut lines = accounts.passwd.iter_mut();
    let Some(line) = lines.find(|line| line.first().is_some_and(|name| name == user)) else {
        return Ok(Some(6));
    };
    let Some(field) = line.get_mut(at) else {
        return Ok(None);
    };
    *field = value.to_owned();
    save(host, &accounts)
}

/// Locks the password of a user; one that is locked stays as it is.
fn lock(host: &mut ScriptHost<'_, '_>, user: &str) -> CommandResult {
    let mut accounts = Accounts::read(host.editor.tree())?;
    if accounts.user(user).is_none() {
        return Ok(Some(6));
    }
    let mut lines = accounts.shadow.iter_mut().flatten();
    let line = lines.find(|line| line.first().is_some_and(|name| name == user));
    let Some(password) = line.and_then(|line| line.get_mut(1)) else {
        return Ok(None);
    };
    if !password.starts_with('!') {
        password.insert(0, '!');
    }
    save(host, &accounts)
}

fn getent(host: &ScriptHost<'_, '_>, args: &[&str], io: &mut Io) -> CommandResult {
    let [database @ ("passwd" | "group"), name] = args else {
        return Ok(None);
    };
    let accounts = Accounts::read(host.editor.tree())?;
    let line = if *database == "passwd" {
        accounts.user(name)
    } else {
        accounts.group(name)
    };
    Ok(Some(match line {
        Some(line) => text::say(io, &line.join(":")).unwrap_or(0),
        None => 2,
    }))
}
