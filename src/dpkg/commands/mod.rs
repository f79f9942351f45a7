//! The commands of maintainer scripts. Each is a model: it changes the tree as the command would
//! change the system.
//!
//! A statement is a problem if its command is not here, or is called in a way that the model does
//! not support. Commands that act on a *running* system only (starting services, reloading daemons)
//! succeed without an effect.

mod accounts;
mod alternatives;
mod arguments;
mod awk;
mod catalog;
mod copies;
mod debconf;
mod dpkg;
mod files;
mod find;
mod grep;
mod helper;
mod hwdb;
mod lines;
mod listing;
mod loader_cache;
mod others;
mod pam;
mod regex;
mod regex_groups;
mod sed;
mod sed_script;
mod systemctl;
mod systemd;
mod sysusers;
mod sysv;
mod temporary;
mod test;
mod text;
mod tmpfiles;
mod tools;
mod ucf;
mod xml_catalog;

use super::interpreter::interpreter;
use super::script_host::{ScriptHost, UMASK};
use super::users::Accounts;
use crate::shell::{ExitStatus, Host, HostError, Io, ScriptFile, UnknownStatement, Variables};
use crate::stream::ReadAt as _;
use arguments::CommandResult;

/// Programs that every Debian image has (`Essential: yes`), or that are built into the shell: no
/// need to look for them.
const ALWAYS: [&str; 64] = [
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
    "realpath",
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
    "arch",
    "mktemp",
    "wc",
    "sort",
    "tail",
    "tr",
    "sed",
    "find",
    "ls",
    "diff",
    "egrep",
    "expr",
    "fgrep",
    "md5sum",
    "tee",
    "uniq",
    "whoami",
    "xargs",
];

/// Those of [`ALWAYS`] that make files, or run what does, without a regard for the umask.
const WITH_USUAL_UMASK: [&str; 8] = [
    "install",
    "dpkg-statoverride",
    "dpkg-divert",
    "dpkg-maintscript-helper",
    "update-alternatives",
    "ldconfig",
    "tee",
    "xargs",
];

/// Commands that shells have built in and that are not supported.
const BUILTIN: [&str; 18] = [
    "cd", "umask", "eval", "exec", "pwd", "getopts", "alias", "wait", "[[", "set", "read",
    "export", "readonly", "local", "unset", "times", "jobs", "ulimit",
];

/// Work after which commands call no others: more than the shell allows to a script.
const CALLS_WORK: u64 = 300 << 20;
/// Work of calling a command, and of one that reads much of the tree.
const CALL: usize = 1_000;
const HEAVY: usize = 4 << 20;

/// Commands that read much of the tree.
const HEAVY_COMMANDS: [&str; 5] = [
    "ldconfig",
    "systemd-hwdb",
    "systemd-tmpfiles",
    "systemd-sysusers",
    "pam-auth-update",
];

/// Bytes of a program that is a script; larger ones are not read.
const SCRIPT_LIMIT: u64 = 1 << 20;

impl Host for ScriptHost<'_, '_> {
    fn run(
        &mut self,
        name: &str,
        arguments: &[String],
        variables: &mut Variables,
        io: &mut Io,
    ) -> Result<Option<ExitStatus>, HostError> {
        let args: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Ok(run(self, name, &args, variables, io)?)
    }

    fn script(&self, name: &str) -> Result<Option<ScriptFile>, HostError> {
        let mut start = [0; 2];
        let mut begins = |path: &String| {
            let content = self
                .content(path)
                .filter(|c| c.len() < SCRIPT_LIMIT && c.len() > 2)?;
            content.read_exact_at(0, &mut start).ok()?;
            (start == *b"#!").then_some(())
        };
        let Some(path) = self.program(name) else {
            return Ok(None);
        };
        if begins(&path).is_none() {
            return Ok(None);
        }
        let text = self.text(&path)?.unwrap_or_default();
        let first = text.lines().next().unwrap_or_default();
        let read = interpreter(self.editor.tree(), first);
        Ok(read.map(|(dialect, options)| ScriptFile {
            path,
            dialect,
            options,
            text,
        }))
    }

    fn unknown(&mut self, statement: UnknownStatement) {
        if !self.unknown.contains(&statement) {
            self.unknown.push(statement);
        }
    }

    fn left_out(&mut self, line: usize) -> bool {
        self.left_out.contains(&line)
    }

    fn read(&self, path: &str) -> Result<Option<String>, HostError> {
        Ok(self.text(path)?)
    }

    fn write(&mut self, path: &str, text: &str, append: bool) -> Result<(), HostError> {
        Ok(self.write_file(path, text.as_bytes(), append)?)
    }

    fn is_file(&self, path: &str) -> bool {
        ScriptHost::is_file(self, path)
    }

    fn size(&self, path: &str) -> u64 {
        self.file_size(path)
    }

    fn has_entry(&self, path: &str) -> bool {
        self.find_nofollow(path).is_some()
    }

    fn is_dir(&self, path: &str) -> bool {
        ScriptHost::is_dir(self, path)
    }

    fn home(&self, user: &str) -> Result<Option<String>, HostError> {
        let accounts = Accounts::read(self.editor.tree())?;
        let line = accounts
            .user(user)
            .filter(|line| line.first().is_some_and(|name| name == user));
        Ok(line.and_then(|line| line.get(5)).cloned())
    }

    fn real_dir(&self, path: &str) -> Option<String> {
        ScriptHost::real_dir(self, path)
    }

    fn set_dir(&mut self, real: &str) {
        self.dir = real.to_owned();
    }

    fn set_umask(&mut self, mask: u16) {
        self.umask = mask;
    }

    fn names(&self, dir: &str) -> Option<Vec<String>> {
        let dir = self.editor.tree().dir(self.at(dir).as_bytes())?;
        self.count_entries(dir.entries.len());
        let names = dir.entries.keys();
        let names = names.map(|name| String::from_utf8_lossy(name).into_owned());
        Some(names.collect())
    }

    fn work(&self) -> u64 {
        self.work.get()
    }
}

/// Runs a command for another one, `caller`, which does not run itself. What is not understood
/// prints nothing.
fn run_for(
    host: &mut ScriptHost<'_, '_>,
    caller: &str,
    words: &[&str],
    io: &mut Io,
) -> CommandResult {
    let Some((name, args)) = words.split_first().filter(|(name, _)| **name != caller) else {
        return Ok(None);
    };
    // One that calls others is not called here, and the work of many calls is bounded.
    if matches!(*name, "find" | "xargs" | "env") || host.work.get() > CALLS_WORK {
        return Ok(None);
    }
    let before = io.output.len();
    let done = run(host, name, args, &mut Variables::new(), io)?;
    if done.is_none() {
        io.output.truncate(before);
    }
    Ok(done)
}

/// Runs a command of a script.
fn run(
    host: &mut ScriptHost<'_, '_>,
    name: &str,
    args: &[&str],
    variables: &mut Variables,
    io: &mut Io,
) -> CommandResult {
    let word = name.rsplit('/').next().unwrap_or(name);
    let heavy = HEAVY_COMMANDS.contains(&word);
    host.count_work(if heavy { HEAVY } else { CALL });
    if word.starts_with("db_") || name == "." {
        return debconf::run(host, name, args, variables);
    }
    if BUILTIN.contains(&name) || name.is_empty() {
        return Ok(None);
    }
    if !ALWAYS.contains(&word) && host.program(name).is_none() {
        return Ok(Some(127));
    }
    // What a removed directory and another umask do to other programs is not modelled.
    let any_umask = ALWAYS.contains(&word) && !WITH_USUAL_UMASK.contains(&word);
    if !host.is_dir(&host.dir) || (host.umask != UMASK && !any_umask) {
        return Ok(None);
    }
    match word {
        ":" | "true" | "sync" | "sleep" | "hash" => Ok(Some(0)),
        "false" => Ok(Some(1)),
        "test" => Ok(test::run(host, args)),
        "[" => Ok(args
            .split_last()
            .filter(|(last, _)| **last == "]")
            .and_then(|(_, args)| test::run(host, args))),
        "echo" | "printf" | "command" | "type" | "which" | "cat" | "grep" | "cut" | "basename"
        | "dirname" | "readlink" | "realpath" | "seq" | "id" | "head" | "uname" | "arch"
        | "stat" | "egrep" | "fgrep" | "whoami" | "dpkg-realpath" => {
            text::run(host, word, args, io)
        }
        "sed" => sed::run(host, args, io),
        "tail" | "wc" | "sort" | "tr" => lines::run(host, word, args, io),
        "ls" => listing::ls(host, args, io),
        "awk" | "mawk" | "gawk" | "diff" | "expr" | "md5sum" | "setcap" | "tee" | "uniq"
        | "xargs" => tools::run(host, word, args, io),
        "find" => find::run(host, args, io),
        "mktemp" => temporary::mktemp(host, args, io),
        "mkdir" | "rmdir" | "rm" | "chmod" | "chown" | "chgrp" | "touch" | "install" | "cmp" => {
            files::run(host, word, args)
        }
        "ln" | "mv" | "cp" => copies::run(host, word, args),
        "dpkg" | "dpkg-query" | "dpkg-statoverride" | "dpkg-divert" | "dpkg-trigger" => {
            dpkg::run(host, word, args, io)
        }
        "dpkg-maintscript-helper" => helper::run(host, args),
        "update-alternatives" => alternatives::run(host, args, io),
        "deb-systemd-helper" => systemd::helper(host, args),
        "systemctl" => systemctl::run(host, args),
        "systemd-hwdb" => hwdb::update(host, args),
        "systemd-tmpfiles" => tmpfiles::run(host, args),
        "systemd-sysusers" => sysusers::sysusers(host, args),
        "adduser" | "addgroup" | "useradd" | "groupadd" | "usermod" | "gpasswd" | "getent" => {
            accounts::run(host, word, args, io)
        }
        "update-xmlcatalog" => xml_catalog::update(host, args),
        "update-rc.d" => sysv::update_rc_d(host, args),
        "ucf" | "ucfr" => ucf::run(host, word, args, variables),
        "pam-auth-update" => pam::update(host, args),
        _ => others::run(host, word, args, io),
    }
}
