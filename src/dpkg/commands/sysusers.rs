//! `systemd-sysusers(8)`: the accounts of `sysusers.d(5)` files.

use super::super::script_host::ScriptHost;
use super::super::users::{Accounts, NewUser};
use super::accounts::{RANGE, day};
use super::arguments::CommandResult;

/// `systemd-sysusers FILE...`: the accounts of `sysusers.d(5)` files, made now so that files can
/// belong to them.
pub(super) fn sysusers(host: &mut ScriptHost<'_, '_>, args: &[&str]) -> CommandResult {
    let mut accounts = Accounts::read(host.editor.tree())?;
    let mut lines: Vec<Vec<String>> = Vec::new();
    // Without files, all of them are read.
    if args.is_empty() {
        return Ok(None);
    }
    for name in args {
        if name.starts_with('-') {
            return Ok(None);
        }
        let dirs = ["/etc/sysusers.d", "/run/sysusers.d", "/usr/lib/sysusers.d"];
        let path = dirs
            .iter()
            .map(|dir| format!("{dir}/{name}"))
            .find(|path| host.is_file(path));
        let path = path.unwrap_or_else(|| (*name).to_owned());
        let Some(text) = host.text(&path)? else {
            return Ok(Some(1));
        };
        let read = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.extend(read.map(fields));
    }
    // Of all files, groups come first, then users, then who is a member.
    let rank = |line: &Vec<String>| match line.first().map(String::as_str) {
        Some("g") => 0,
        Some("m") => 2,
        _ => 1,
    };
    lines.sort_by_key(rank);
    for line in &lines {
        if sysusers_line(&mut accounts, line, day(host)).is_none() {
            return Ok(None);
        }
    }
    let reason = host.reason();
    accounts.write(host.editor, &reason)?;
    Ok(Some(0))
}

/// The fields of a line, quotes taken off.
fn fields(line: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let (field, after) = match first {
            '"' | '\'' => rest
                .get(1..)
                .unwrap_or_default()
                .split_once(first)
                .unwrap_or((rest.get(1..).unwrap_or_default(), "")),
            _ => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        out.push(field.to_owned());
        rest = after.trim_start();
    }
    out
}

/// `None` for a line outside of the model.
fn sysusers_line(accounts: &mut Accounts, fields: &[String], day: i64) -> Option<()> {
    let field = |at: usize| {
        fields
            .get(at)
            .map(String::as_str)
            .filter(|text| *text != "-" && !text.is_empty())
    };
    let name = field(1)?;
    if fields
        .iter()
        .take(3)
        .any(|field| field.contains(['%', '/']))
    {
        return None;
    }
    match field(0)? {
        "g" => {
            if accounts.group(name).is_none() {
                let gid = field(2).and_then(|id| id.parse().ok());
                let gid = gid.or_else(|| {
                    (RANGE.0..=RANGE.1)
                        .rev()
                        .find(|id| accounts.gid_free(*id) && accounts.uid_free(*id))
                })?;
                accounts.add_group_locked(name, gid);
            }
            Some(())
        }
        "u" | "u!" => sysusers_user(accounts, name, fields, day),
        "m" => {
            let group = field(2)?;
            (accounts.user(name).is_some() && accounts.join(name, group)).then_some(())
        }
        "r" => Some(()),
        _ => None,
    }
}

fn sysusers_user(accounts: &mut Accounts, name: &str, fields: &[String], day: i64) -> Option<()> {
    let field = |at: usize| {
        fields
            .get(at)
            .map(String::as_str)
            .filter(|text| *text != "-" && !text.is_empty())
    };
    if accounts.user(name).is_some() {
        return Some(());
    }
    let (uid, group) = match field(2) {
        Some(id) => id.split_once(':').map_or((Some(id), None), |(uid, group)| {
            (Some(uid).filter(|uid| *uid != "-"), Some(group))
        }),
        None => (None, None),
    };
    let given = match uid {
        Some(uid) => Some(uid.parse::<u32>().ok()?),
        None => accounts
            .gid(name)
            .filter(|gid| group.is_none() && accounts.uid_free(*gid)),
    };
    let both = |id: &u32| accounts.uid_free(*id) && accounts.gid_free(*id);
    let uid = given.or_else(|| (RANGE.0..=RANGE.1).rev().find(both))?;
    let gid = match group {
        Some(group) => accounts.gid(group).or_else(|| group.parse().ok())?,
        None => accounts.gid(name).unwrap_or(uid),
    };
    if group.is_none() && accounts.group(name).is_none() {
        accounts.add_group_locked(name, gid);
    }
    let user = NewUser {
        name: name.to_owned(),
        uid,
        gid,
        comment: field(3).unwrap_or_default().to_owned(),
        home: field(4).unwrap_or("/").to_owned(),
        shell: field(5).unwrap_or("/usr/sbin/nologin").to_owned(),
        password: "!*",
    };
    accounts.add_user(&user, day);
    Some(())
}
