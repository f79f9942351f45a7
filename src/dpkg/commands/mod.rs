//! The commands of maintainer scripts, each a model: it changes the tree as the command would
//! change the system.
//!
//! A command that is not here, or is called in a way that its model does not know, makes the
//! statement a problem. What acts on a *running* system only (starting services, reloading daemons)
//! has no effect on an image and its model says so.

mod accounts;
mod alternatives;
mod debconf;
mod dpkg;
mod files;
mod helper;
mod others;
mod systemd;
mod sysv;
mod test;
mod text;
mod ucf;

use crate::shell::{Io, Shell};
use crate::tree::edit::EditError;

/// `None`: outside of the model.
type Ran = Result<Option<i32>, EditError>;

/// Programs that every Debian image has (`Essential: yes`), or that are built into the shell: no
/// need to look for them.
const ALWAYS: [&str; 45] = [
    ":",
    "true",
    "false",
    "echo",
    "printf",
    "test",
    "[",
    "command",
    "type",
    "which",
    "cat",
    "grep",
    "cut",
    "basename",
    "dirname",
    "readlink",
    "seq",
    "id",
    "head",
    "mkdir",
    "rmdir",
    "rm",
    "chmod",
    "chown",
    "chgrp",
    "ln",
    "mv",
    "cp",
    "touch",
    "install",
    "sync",
    "dpkg",
    "dpkg-query",
    "dpkg-statoverride",
    "dpkg-divert",
    "dpkg-trigger",
    "dpkg-maintscript-helper",
    "update-alternatives",
    "ldconfig",
    ".",
    "hash",
    "uname",
    "stat",
    "sleep",
    "cmp",
];

/// Built into shells, and outside of the model.
const BUILTIN: [&str; 9] = [
    "cd", "umask", "eval", "exec", "pwd", "getopts", "alias", "wait", "[[",
];

/// Runs a command of a script.
pub(crate) fn run(
    shell: &mut Shell<'_, '_, '_>,
    name: &str,
    arguments: &[String],
    io: &mut Io,
) -> Ran {
    let word = name.rsplit('/').next().unwrap_or(name);
    let args: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if word.starts_with("db_") || name == "." {
        return Ok(debconf::run(shell, name, &args));
    }
    if BUILTIN.contains(&name) {
        return Ok(None);
    }
    if !ALWAYS.contains(&word) && shell.world.program(name).is_none() {
        return Ok(Some(127));
    }
    let world = &mut *shell.world;
    match word {
        ":" | "true" | "sync" | "sleep" | "hash" => Ok(Some(0)),
        "false" => Ok(Some(1)),
        "test" => Ok(test::run(world, &args)),
        "[" => Ok(args
            .split_last()
            .filter(|(last, _)| **last == "]")
            .and_then(|(_, args)| test::run(world, args))),
        "echo" | "printf" | "command" | "type" | "which" | "cat" | "grep" | "cut" | "basename"
        | "dirname" | "readlink" | "seq" | "id" | "head" | "uname" | "stat" => {
            text::run(world, word, &args, io)
        }
        "mkdir" | "rmdir" | "rm" | "chmod" | "chown" | "chgrp" | "ln" | "mv" | "cp" | "touch"
        | "install" | "cmp" => files::run(world, word, &args),
        "dpkg" | "dpkg-query" | "dpkg-statoverride" | "dpkg-divert" | "dpkg-trigger" => {
            dpkg::run(world, word, &args, io)
        }
        "dpkg-maintscript-helper" => helper::run(world, &args),
        "update-alternatives" => alternatives::run(world, &args, io),
        "deb-systemd-helper" => systemd::helper(world, &args),
        "systemd-sysusers" | "adduser" | "addgroup" | "useradd" | "groupadd" | "usermod"
        | "gpasswd" | "getent" => accounts::run(world, word, &args, io),
        "update-rc.d" => sysv::update_rc_d(world, &args),
        "ucf" | "ucfr" => ucf::run(world, word, &args),
        _ => others::run(world, word, &args, io),
    }
}

/// Splits options from operands: an argument that begins with `-` is an option until `--`.
fn options<'a>(args: &[&'a str]) -> (Vec<&'a str>, Vec<&'a str>) {
    let end = args
        .iter()
        .position(|arg| *arg == "--")
        .unwrap_or(args.len());
    let (before, after) = args.split_at(end);
    let (mut options, mut operands) = (Vec::new(), Vec::new());
    for arg in before {
        if arg.starts_with('-') && arg.len() > 1 {
            options.push(*arg)
        } else {
            operands.push(*arg)
        }
    }
    operands.extend(after.iter().skip(1));
    (options, operands)
}

/// Whether all options are among the known ones, where single letters may be joined (`-rf`).
fn known(options: &[&str], letters: &str, long: &[&str]) -> bool {
    options
        .iter()
        .all(|option| match option.strip_prefix("--") {
            Some(_) => long.contains(option),
            None => option.chars().skip(1).all(|c| letters.contains(c)),
        })
}

/// Whether a letter is among joined single-letter options.
fn has(options: &[&str], letter: char) -> bool {
    options
        .iter()
        .any(|option| !option.starts_with("--") && option.contains(letter))
}

/// Reads an octal mode or a symbolic one (`u+x,go-w`, `+x`, `a=r`) against the mode there is.
fn mode(text: &str, old: u16, dir: bool) -> Option<u16> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return u16::from_str_radix(text, 8)
            .ok()
            .filter(|mode| *mode <= 0o7777);
    }
    let mut mode = old;
    for clause in text.split(',') {
        let at = clause.find(['+', '-', '='])?;
        let (who, rest) = clause.split_at(at);
        let (sign, what) = rest.split_at(1);
        let mut mask: u16 = 0;
        for c in if who.is_empty() { "a" } else { who }.chars() {
            mask |= match c {
                'u' => 0o4700,
                'g' => 0o2070,
                'o' => 0o1007,
                'a' => 0o7777,
                _ => return None,
            };
        }
        let mut bits = 0;
        for c in what.chars() {
            bits |= match c {
                'r' => 0o444,
                'w' => 0o222,
                'x' => 0o111,
                'X' if dir || old & 0o111 != 0 => 0o111,
                'X' => 0,
                's' => 0o6000,
                't' => 0o1000,
                _ => return None,
            };
        }
        mode = match sign {
            "+" => mode | bits & mask,
            "-" => mode & !(bits & mask),
            _ => mode & !mask | bits & mask,
        };
    }
    Some(mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        for (text, old, new) in [
            ("755", 0, 0o755),
            ("+x", 0o644, 0o755),
            ("u+s", 0o755, 0o4755),
            ("go-rwx", 0o777, 0o700),
            ("a=r", 0o777, 0o444),
        ] {
            assert_eq!(mode(text, old, false), Some(new), "{text}");
        }
        assert_eq!(mode("q+x", 0, false), None);
        assert_eq!(mode("99999", 0, false), None);
    }
}
