//! `systemd-sysusers(8)`: the accounts of `sysusers.d(5)` files.

use super::super::script_host::ScriptHost;
use super::super::users::{Accounts, NewUser};
use super::accounts::{RANGE, day};
use super::arguments::CommandResult;
use std::collections::BTreeSet;

/// `systemd-sysusers FILE...`: the accounts of `sysusers.d(5)` files, made now so that files can
/// belong to them.
pub(super) fn sysusers(host: &mut ScriptHost<'_, '_>, args: &[&str]) -> CommandResult {
    let mut lines: Vec<Vec<String>> = Vec::new();
    // Without files, all of them are read.
    if args.is_empty() {
        return Ok(None);
    }
    for name in args {
        // The model works in the root in any case.
        if matches!(*name, "--root=" | "--root=/") {
            continue;
        }
        if name.starts_with('-') {
            return Ok(None);
        }
        let dirs = [
            "/etc/sysusers.d",
            "/run/sysusers.d",
            "/usr/local/lib/sysusers.d",
            "/usr/lib/sysusers.d",
        ];
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
    let mut accounts = Accounts::read(host.editor.tree())?;
    let Some(entries) = Entries::read(&lines) else {
        return Ok(None);
    };
    if entries.apply(&mut accounts, day(host)).is_none() {
        return Ok(None);
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

/// The group of a user, as its line says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Group {
    /// That of the user's name.
    Own,
    Named(String),
    Number(u32),
}

/// A line for a user.
#[derive(Clone, Debug)]
struct UserEntry {
    name: String,
    uid: Option<u32>,
    group: Group,
    comment: String,
    home: String,
    shell: String,
    locked: bool,
}

/// What the lines ask for: groups, then users, then members, each in the order of the lines.
#[derive(Clone, Debug, Default)]
struct Entries {
    groups: Vec<(String, Option<u32>)>,
    users: Vec<UserEntry>,
    /// User and group.
    members: Vec<(String, String)>,
}

impl Entries {
    /// `None` with a line outside of the model.
    fn read(lines: &[Vec<String>]) -> Option<Self> {
        let mut out = Self::default();
        for fields in lines {
            out.line(fields)?;
        }
        // Members bring the users and groups that no line has.
        for (user, group) in out.members.clone() {
            if out.groups.iter().all(|(name, _)| *name != group) {
                out.groups.push((group, None));
            }
            if out.users.iter().all(|entry| entry.name != user) {
                out.users.push(UserEntry::of(user));
            }
        }
        Some(out)
    }

    fn line(&mut self, fields: &[String]) -> Option<()> {
        let field = |at: usize| {
            fields
                .get(at)
                .map(String::as_str)
                .filter(|text| *text != "-" && !text.is_empty())
        };
        // Specifiers, and numbers that the owner of a file gives.
        let beyond = |field: &String| field.contains('%');
        if fields.iter().any(beyond) || field(2).is_some_and(|id| id.contains('/')) {
            return None;
        }
        let name = field(1)?.to_owned();
        match field(0)? {
            "g" => {
                let gid = field(2).map(str::parse).transpose().ok()?;
                if self.groups.iter().all(|(other, _)| *other != name) {
                    self.groups.push((name, gid));
                }
            }
            kind @ ("u" | "u!") => {
                let mut entry = UserEntry::of(name);
                let (uid, group) = field(2).map_or((None, None), |id| match id.split_once(':') {
                    Some((uid, group)) => (Some(uid), Some(group)),
                    None => (Some(id), None),
                });
                entry.uid = uid
                    .filter(|uid| *uid != "-")
                    .map(str::parse)
                    .transpose()
                    .ok()?;
                entry.group = group.map_or(Group::Own, |group| match group.parse() {
                    Ok(gid) => Group::Number(gid),
                    Err(_) => Group::Named(group.to_owned()),
                });
                let text = |at: usize, default: &str| field(at).unwrap_or(default).to_owned();
                entry.comment = text(3, "");
                entry.home = text(4, "/");
                entry.shell = text(5, &entry.shell);
                entry.locked = kind == "u!";
                if self.users.iter().all(|other| other.name != entry.name) {
                    self.users.push(entry);
                }
            }
            "m" => self.members.push((name, field(2)?.to_owned())),
            "r" => return field(2).is_none().then_some(()),
            _ => return None,
        }
        Some(())
    }

    /// `None` where a number or a group is not to be had.
    fn apply(&self, accounts: &mut Accounts, day: i64) -> Option<()> {
        let mut new = BTreeSet::new();
        for (name, gid) in &self.groups {
            if accounts.group_named(name).is_none() {
                add_group(accounts, name, *gid, None)?;
                new.insert(name.as_str());
            }
        }
        for entry in &self.users {
            entry.apply(accounts, &new, day)?;
        }
        for (user, group) in &self.members {
            accounts.join_sorted(user, group)?;
        }
        Some(())
    }
}

/// Adds a group: of the number that its line says, or else that of the user for whom it is, or else
/// the highest that is free.
fn add_group(
    accounts: &mut Accounts,
    name: &str,
    wanted: Option<u32>,
    uid: Option<u32>,
) -> Option<u32> {
    let wanted = wanted.filter(|gid| accounts.gid_free(*gid));
    let of_user = || uid.filter(|gid| accounts.free_for(*gid, name));
    let gid = wanted.or_else(of_user).or_else(|| {
        (RANGE.0..=RANGE.1)
            .rev()
            .find(|gid| accounts.free_for(*gid, name))
    })?;
    accounts.add_group_locked(name, gid);
    Some(gid)
}

impl UserEntry {
    /// A user of whom nothing but the name is said.
    fn of(name: String) -> Self {
        Self {
            name,
            uid: None,
            group: Group::Own,
            comment: String::new(),
            home: "/".into(),
            shell: "/usr/sbin/nologin".into(),
            locked: false,
        }
    }

    /// Adds the user; `new` are the groups of lines for groups that were added.
    fn apply(&self, accounts: &mut Accounts, new: &BTreeSet<&str>, day: i64) -> Option<()> {
        let own = self.name.as_str();
        let (gid, strict) = match &self.group {
            Group::Number(gid) => (*gid, true),
            Group::Named(group) => (accounts.gid(group)?, true),
            Group::Own => match accounts.gid(own) {
                Some(gid) => (gid, new.contains(own)),
                None => (add_group(accounts, own, None, self.uid)?, false),
            },
        };
        if accounts.user_named(own).is_some() {
            return Some(());
        }
        let wanted = self
            .uid
            .filter(|uid| accounts.uid_free(*uid) && (strict || accounts.user_may_have(*uid, own)));
        let uid = wanted
            .or(Some(gid))
            .filter(|uid| wanted.is_some() || accounts.user_may_have(*uid, own));
        let uid = uid.or_else(|| {
            (RANGE.0..=RANGE.1)
                .rev()
                .find(|uid| accounts.user_may_have(*uid, own))
        })?;
        let user = NewUser {
            name: self.name.clone(),
            uid,
            gid,
            comment: self.comment.clone(),
            home: self.home.clone(),
            shell: self.shell.clone(),
            password: "!*",
        };
        accounts.add_user(&user, day);
        if self.locked {
            accounts.expire(own);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Stat, Time, Tree};

    /// `passwd`, `group` and `shadow` after lines.
    fn after(lines: &str) -> Option<(String, String, String)> {
        let mut tree = Tree::new(Stat::root(0o755, Time::default()));
        for (path, text) in [
            (
                "/etc/passwd",
                "root:x:0:0:root:/root:/bin/sh\nz:x:999:4::/:/bin/sh\n",
            ),
            ("/etc/group", "root:x:0:\nadm:x:4:z\nold:x:500:\n"),
            ("/etc/shadow", "root:*:1::::::\n"),
        ] {
            tree.put_file(path, text, Stat::root(0o640, Time::default()))
                .unwrap();
        }
        let mut accounts = Accounts::read(&tree).unwrap();
        let lines: Vec<Vec<String>> = lines.lines().map(fields).collect();
        Entries::read(&lines)?.apply(&mut accounts, 7)?;
        let mut editor = crate::tree::editor::TreeEditor::new(&mut tree, Time::default());
        accounts.write(&mut editor, "a test").unwrap();
        drop(editor);
        let new = |path: &str, lines: usize| {
            let text = String::from_utf8(tree.read(path, 1000).unwrap().unwrap()).unwrap();
            let new: Vec<&str> = text.lines().skip(lines).collect();
            new.join(" ")
        };
        Some((
            new("/etc/passwd", 2),
            new("/etc/group", 1),
            new("/etc/shadow", 1),
        ))
    }

    #[test]
    fn a_user_takes_the_number_of_its_group() {
        let (passwd, group, _) = after("u s -:s \"x y\" /s\ng s -\nm s s\n").unwrap();
        assert_eq!(passwd, "s:x:998:998:x y:/s:/usr/sbin/nologin");
        assert_eq!(group, "adm:x:4:z old:x:500: s:x:998:s");
        let (passwd, group, _) = after("u old -\nu a 12\nu b 12\nu c 13:old\n").unwrap();
        assert_eq!(
            passwd,
            "old:x:500:500::/:/usr/sbin/nologin a:x:12:12::/:/usr/sbin/nologin \
             b:x:998:998::/:/usr/sbin/nologin c:x:13:500::/:/usr/sbin/nologin"
        );
        assert_eq!(group, "adm:x:4:z old:x:500: a:x:12: b:x:998:");
    }

    #[test]
    fn members_bring_users_and_groups_and_are_sorted() {
        let (passwd, group, shadow) = after("m a adm\nm a new\nu! l - - /l /bin/sh\n").unwrap();
        assert_eq!(
            passwd,
            "l:x:997:997::/l:/bin/sh a:x:996:996::/:/usr/sbin/nologin"
        );
        assert_eq!(
            group,
            "adm:x:4:a,z old:x:500: new:x:998:a l:x:997: a:x:996:"
        );
        assert_eq!(shadow, "l:!*:7:::::1: a:!*:7::::::");
    }

    #[test]
    fn lines_beyond_the_model() {
        for line in [
            "u a /usr/bin/x",
            "u a %m",
            "r - 100-200",
            "q a",
            "u a -:none",
        ] {
            assert!(after(line).is_none(), "{line}");
        }
    }
}
