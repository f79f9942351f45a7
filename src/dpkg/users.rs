//! The image's users and groups: `passwd(5)`, `group(5)`, `shadow(5)` and `gshadow(5)`.

use crate::tree::Tree;
use crate::tree::edit::EditError;
use crate::tree::editor::TreeEditor;
use std::collections::BTreeMap;

/// Largest file of accounts in bytes; those of real systems are far smaller.
const LIMIT: u64 = 16 << 20;

/// A line of one of the files: fields separated by colons.
type AccountLine = Vec<String>;

/// The numbers of users and groups by name.
#[derive(Clone, Debug, Default)]
pub(super) struct AccountIds {
    users: BTreeMap<String, u32>,
    groups: BTreeMap<String, u32>,
}

impl AccountIds {
    pub(super) fn read(tree: &Tree) -> Result<Self, EditError> {
        let accounts = Accounts::read(tree)?;
        let number = |line: &AccountLine| Some((line.first()?.clone(), line.get(2)?.parse().ok()?));
        Ok(Self {
            users: accounts.passwd.iter().filter_map(number).collect(),
            groups: accounts.group.iter().filter_map(number).collect(),
        })
    }

    /// The number of a user, given by name or number.
    pub(super) fn user(&self, name: &str) -> Option<u32> {
        look_up(&self.users, name)
    }

    /// The number of a group, given by name or number.
    pub(super) fn group(&self, name: &str) -> Option<u32> {
        look_up(&self.groups, name)
    }
}

fn look_up(names: &BTreeMap<String, u32>, name: &str) -> Option<u32> {
    if name == "root" {
        return Some(0);
    }
    let number = name.strip_prefix('#').unwrap_or(name);
    names.get(name).copied().or_else(|| number.parse().ok())
}

/// The lines of `passwd`, `group`, `shadow` and `gshadow` in `/etc`, in the order of the files.
#[derive(Clone, Debug, Default)]
pub(super) struct Accounts {
    pub(super) passwd: Vec<AccountLine>,
    pub(super) group: Vec<AccountLine>,
    pub(super) shadow: Option<Vec<AccountLine>>,
    gshadow: Option<Vec<AccountLine>>,
}

/// A system user to be added.
#[derive(Clone, Debug, Default)]
pub(super) struct NewUser {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) comment: String,
    pub(super) home: String,
    pub(super) shell: String,
    /// The password field of `shadow`: `!` or `*`, perhaps `!*`.
    pub(super) password: &'static str,
}

impl Accounts {
    pub(super) fn read(tree: &Tree) -> Result<Self, EditError> {
        let read = |path: &str| -> Result<Option<Vec<AccountLine>>, EditError> {
            let bytes = tree.read(path, LIMIT)?;
            let lines = bytes.map(|bytes| {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                text.lines()
                    .filter(|line| !line.is_empty())
                    .map(|line| line.split(':').map(str::to_owned).collect())
                    .collect()
            });
            Ok(lines)
        };
        Ok(Self {
            passwd: read("/etc/passwd")?.unwrap_or_default(),
            group: read("/etc/group")?.unwrap_or_default(),
            shadow: read("/etc/shadow")?,
            gshadow: read("/etc/gshadow")?,
        })
    }

    /// Writes the files that differ; a missing `shadow` or `gshadow` is not made.
    pub(super) fn write(&self, editor: &mut TreeEditor<'_>, reason: &str) -> Result<(), EditError> {
        let text = |lines: &[AccountLine]| {
            lines
                .iter()
                .map(|line| line.join(":") + "\n")
                .collect::<String>()
        };
        let mut put = |path: &str, lines: &[AccountLine], mode: u16| -> Result<(), EditError> {
            let new = text(lines).into_bytes();
            if editor.read(path, LIMIT)?.as_deref() != Some(&new[..]) {
                editor.rewrite(path, new, mode, reason)?;
            }
            Ok(())
        };
        put("/etc/passwd", &self.passwd, 0o644)?;
        put("/etc/group", &self.group, 0o644)?;
        if let Some(shadow) = &self.shadow {
            put("/etc/shadow", shadow, 0o640)?;
        }
        if let Some(gshadow) = &self.gshadow {
            put("/etc/gshadow", gshadow, 0o640)?;
        }
        Ok(())
    }

    /// The line of a user, by name or number.
    pub(super) fn user(&self, name: &str) -> Option<&AccountLine> {
        find(&self.passwd, name)
    }

    /// The line of a group, by name or number.
    pub(super) fn group(&self, name: &str) -> Option<&AccountLine> {
        find(&self.group, name)
    }

    /// The line of a user, by name alone.
    pub(super) fn user_named(&self, name: &str) -> Option<&AccountLine> {
        named(&self.passwd, name)
    }

    /// The line of a group, by name alone.
    pub(super) fn group_named(&self, name: &str) -> Option<&AccountLine> {
        named(&self.group, name)
    }

    /// Whether a group of this name may have this number: no group has it, and no user of another
    /// name.
    pub(super) fn free_for(&self, id: u32, name: &str) -> bool {
        self.gid_free(id) && held_by_none_but(&self.passwd, id, name)
    }

    /// Whether a user of this name may have this number: no user has it, and no group of another
    /// name.
    pub(super) fn user_may_have(&self, id: u32, name: &str) -> bool {
        self.uid_free(id) && held_by_none_but(&self.group, id, name)
    }

    /// Locks an account by a date of expiry in the past.
    pub(super) fn expire(&mut self, name: &str) {
        let lines = self.shadow.iter_mut().flatten();
        for line in lines.filter(|line| line.first().is_some_and(|first| first == name)) {
            if let Some(date) = line.get_mut(7) {
                *date = "1".into();
            }
        }
    }

    /// The number of a group that exists.
    pub(super) fn gid(&self, name: &str) -> Option<u32> {
        self.group(name)?.get(2)?.parse().ok()
    }

    /// Whether no user has this number.
    pub(super) fn uid_free(&self, uid: u32) -> bool {
        free(&self.passwd, uid)
    }

    /// Whether no group has this number.
    pub(super) fn gid_free(&self, gid: u32) -> bool {
        free(&self.group, gid)
    }

    /// Adds a group at the end, as `groupadd` writes it.
    pub(super) fn add_group(&mut self, name: &str, gid: u32) {
        self.push_group(name, gid, "!");
    }

    /// Adds a group at the end, as `systemd-sysusers` writes it.
    pub(super) fn add_group_locked(&mut self, name: &str, gid: u32) {
        self.push_group(name, gid, "!*");
    }

    fn push_group(&mut self, name: &str, gid: u32, password: &str) {
        self.group.push(vec![
            name.into(),
            "x".into(),
            gid.to_string(),
            String::new(),
        ]);
        if let Some(gshadow) = &mut self.gshadow {
            gshadow.push(vec![
                name.into(),
                password.into(),
                String::new(),
                String::new(),
            ]);
        }
    }

    /// Adds a user at the end; `day` counts from 1970-01-01 and is the day of the password's last
    /// change.
    pub(super) fn add_user(&mut self, user: &NewUser, day: i64) {
        let password = if self.shadow.is_some() {
            "x"
        } else {
            user.password
        };
        let numbers = (user.uid.to_string(), user.gid.to_string());
        let tail = [user.comment.clone(), user.home.clone(), user.shell.clone()];
        let head = [user.name.clone(), password.to_owned(), numbers.0, numbers.1];
        self.passwd.push(head.into_iter().chain(tail).collect());
        if let Some(shadow) = &mut self.shadow {
            let mut line = vec![user.name.clone(), user.password.to_owned(), day.to_string()];
            line.resize(9, String::new());
            shadow.push(line);
        }
    }

    /// Makes a user a member of a group as `systemd-sysusers` does, which sorts the members; `None`
    /// if the group does not exist.
    pub(super) fn join_sorted(&mut self, user: &str, group: &str) -> Option<()> {
        let before = self.group_named(group)?.clone();
        self.join(user, group);
        if self.group_named(group) == Some(&before) {
            return Some(());
        }
        let lines = self
            .group
            .iter_mut()
            .chain(self.gshadow.iter_mut().flatten());
        let of_group = |line: &&mut AccountLine| line.first().is_some_and(|name| name == group);
        for members in lines.filter(of_group).filter_map(|line| line.get_mut(3)) {
            let mut names: Vec<&str> = members.split(',').collect();
            names.sort_unstable();
            *members = names.join(",");
        }
        Some(())
    }

    /// Makes a user a member of a group; `false` if the group does not exist.
    pub(super) fn join(&mut self, user: &str, group: &str) -> bool {
        let add = |line: &mut AccountLine| {
            if let Some(members) = line.get_mut(3)
                && !members.split(',').any(|member| member == user)
            {
                *members = if members.is_empty() {
                    user.to_owned()
                } else {
                    format!("{members},{user}")
                };
            }
        };
        let named = |line: &&mut AccountLine| line.first().is_some_and(|name| name == group);
        let Some(line) = self.group.iter_mut().find(named) else {
            return false;
        };
        add(line);
        if let Some(line) = self.gshadow.iter_mut().flatten().find(named) {
            add(line);
        }
        true
    }
}

fn find<'a>(lines: &'a [AccountLine], name: &str) -> Option<&'a AccountLine> {
    let by = |field: usize| {
        lines
            .iter()
            .find(|line| line.get(field).is_some_and(|value| value == name))
    };
    by(0).or_else(|| name.parse::<u32>().ok().and_then(|_| by(2)))
}

fn named<'a>(lines: &'a [AccountLine], name: &str) -> Option<&'a AccountLine> {
    lines
        .iter()
        .find(|line| line.first().is_some_and(|first| first == name))
}

fn held_by_none_but(lines: &[AccountLine], number: u32, name: &str) -> bool {
    let number = number.to_string();
    lines
        .iter()
        .filter(|line| line.get(2) == Some(&number))
        .all(|line| line.first().is_some_and(|first| first == name))
}

fn free(lines: &[AccountLine], number: u32) -> bool {
    let number = number.to_string();
    !lines.iter().any(|line| line.get(2) == Some(&number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Stat, Time};

    fn tree() -> Tree {
        let mut tree = Tree::new(Stat::root(0o755, Time::default()));
        for (path, text) in [
            (
                "/etc/passwd",
                "root:x:0:0:root:/root:/bin/sh\n_a:x:101:102::/:/bin/false\n",
            ),
            ("/etc/group", "root:x:0:\nadm:x:4:root\n_a:x:102:\n"),
            ("/etc/shadow", "root:*:1::::::\n"),
        ] {
            tree.put_file(path, text, Stat::root(0o640, Time::default()))
                .unwrap();
        }
        tree
    }

    #[test]
    fn ids_are_looked_up_by_name_and_by_number() {
        let ids = AccountIds::read(&tree()).unwrap();
        assert_eq!((ids.user("_a"), ids.group("_a")), (Some(101), Some(102)));
        assert_eq!((ids.user("7"), ids.group("#8")), (Some(7), Some(8)));
        assert_eq!((ids.user("root"), ids.user("none")), (Some(0), None));
    }

    #[test]
    fn accounts_are_added_to_the_files_that_exist() {
        let mut tree = tree();
        let mut accounts = Accounts::read(&tree).unwrap();
        assert!(!accounts.uid_free(101) && accounts.uid_free(102) && !accounts.gid_free(102));
        accounts.add_group("g", 200);
        let user = NewUser {
            name: "u".into(),
            uid: 201,
            gid: 200,
            comment: "U".into(),
            home: "/h".into(),
            shell: "/s".into(),
            password: "!*",
        };
        accounts.add_user(&user, 42);
        assert!(accounts.join("u", "adm") && accounts.join("u", "adm"));
        assert!(!accounts.join("u", "none"));
        let mut editor = TreeEditor::new(&mut tree, Time::default());
        accounts.write(&mut editor, "a test").unwrap();
        drop(editor);
        let text = |path: &str| String::from_utf8(tree.read(path, 1000).unwrap().unwrap()).unwrap();
        assert!(text("/etc/passwd").ends_with("\nu:x:201:200:U:/h:/s\n"));
        assert_eq!(
            text("/etc/group"),
            "root:x:0:\nadm:x:4:root,u\n_a:x:102:\ng:x:200:\n"
        );
        assert_eq!(text("/etc/shadow"), "root:*:1::::::\nu:!*:42::::::\n");
        assert!(tree.find("/etc/gshadow").is_none());
    }
}
