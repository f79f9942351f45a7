//! Follows what runs at a start into the scripts that it calls, and judges what is found there.

use super::acts::{Act, act, earliest, mounts_given};
use super::apt_hooks;
use super::command::{Command, Runs};
use super::lexer;
use super::marks::{
    asks, interpreter, is_other_interpreter, is_plain_call, is_program, names_first_start,
    takes_itself_out,
};
use super::script::{Context, commands, commands_in};
use super::units::{Setting, Unit};
use super::variables::Variables;
use super::words::{is_shell, unwrapped};
use crate::golden::lines::{Joining, logical_lines};
use crate::shell::matches;
use crate::tree::{DirEntry, Tree, show};
use std::collections::BTreeSet;

/// The size limit of scripts (bytes).
const LIMIT: u64 = 512 << 10;
/// The number of scripts that call one another and are followed.
const MAX_DEPTH: usize = 20;
/// Where an owner keeps programs of the owner's own.
const OWN: [&str; 7] = [
    "/opt/",
    "/usr/local/",
    "/home/",
    "/root/",
    "/srv/",
    "/etc/",
    "/var/",
];
/// Menus and tools that do what their user or their caller chooses.
const MENUS: [&str; 8] = [
    "raspi-config",
    "armbian-config",
    "orangepi-config",
    "rsetup",
    "dietpi-config",
    "dietpi-software",
    "beagle-config",
    "service",
];
/// The settings that name what a service runs when it starts.
const EXEC: [&str; 4] = [
    "ExecCondition",
    "ExecStartPre",
    "ExecStart",
    "ExecStartPost",
];
/// The settings that name what a service runs when it has ended.
const EXEC_AT_END: [&str; 2] = ["ExecStop", "ExecStopPost"];
/// The settings that restart the device when something goes wrong.
const ON_FAILURE: [&str; 4] = [
    "FailureAction",
    "StartLimitAction",
    "JobTimeoutAction",
    "OnFailure",
];

/// The files of a golden image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Files<'a> {
    /// The root filesystem.
    pub(super) root: &'a Tree,
    /// The boot partition.
    pub(super) boot: &'a Tree,
    /// Where the boot partition is mounted.
    pub(super) boot_mount: &'a str,
}

/// Something that acts by itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Finding {
    /// The file with the command.
    pub(super) file: String,
    /// Its line, from 1.
    pub(super) line: usize,
    /// What it does.
    pub(super) act: Act,
    /// When it runs.
    pub(super) runs: Runs,
    /// The command.
    pub(super) command: String,
}

/// What was found in everything that one entry of the start runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// What acts, each command once.
    pub(super) findings: BTreeSet<Finding>,
    /// Whether something is made for the first start: it takes itself out again.
    pub(super) is_once: bool,
    /// Whether its name says so.
    pub(super) is_named_once: bool,
    /// All files that were read.
    pub(super) files: Vec<String>,
    /// Programs of the owner's that are not scripts.
    pub(super) unread: BTreeSet<String>,
    /// Commands that mount a device which they are given.
    pub(super) mounts: BTreeSet<Finding>,
    /// Whether it asks a person.
    pub(super) asks: bool,
}

impl Found {
    /// The same, but only if an event asks for it.
    pub(super) fn under_condition(mut self) -> Self {
        let findings = std::mem::take(&mut self.findings);
        self.findings = findings
            .into_iter()
            .map(|finding| Finding {
                runs: finding.runs.max(Runs::If),
                ..finding
            })
            .collect();
        self
    }
}

/// Whether a file is the owner's rather than a package's.
pub(super) fn is_own(path: &str) -> bool {
    OWN.iter().any(|dir| path.starts_with(dir)) && !path.starts_with("/etc/init.d/")
}

impl<'a> Files<'a> {
    /// The text of a file of the root filesystem or, below its mount point, the boot partition.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        let bytes = match self.on_boot(path) {
            Some(path) => self
                .boot
                .read(self.boot.path_ignore_case(path), LIMIT)
                .ok()??,
            None => self.root.read(path, LIMIT).ok()??,
        };
        (!bytes.contains(&0)).then(|| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The path on the boot partition.
    fn on_boot(&self, path: &'a str) -> Option<&'a str> {
        let rest = path.strip_prefix(self.boot_mount)?;
        rest.starts_with('/').then_some(rest)
    }

    /// Whether a path exists; `None` if only the device knows.
    pub(super) fn exists(&self, path: &str) -> Option<bool> {
        let of_device = [
            "/run/",
            "/proc/",
            "/sys/",
            "/dev/",
            "/tmp/",
            "/data/",
            "/var/run/",
        ];
        if of_device.iter().any(|dir| path.starts_with(dir)) || !path.starts_with('/') {
            return None;
        }
        if let Some(rest) = path
            .strip_prefix(self.boot_mount)
            .filter(|r| r.starts_with('/'))
        {
            return Some(self.boot.find_ignore_case(rest).is_some());
        }
        Some(self.root.find(path).is_some())
    }

    /// What a service does when it starts.
    pub(super) fn service(&self, unit: &Unit) -> Found {
        let mut found = Found {
            is_once: names_first_start(&unit.name),
            is_named_once: names_first_start(&unit.name),
            files: vec![unit.file.clone()],
            ..Found::default()
        };
        for condition in unit.all("ConditionPathExists") {
            found.is_once |= condition.value.starts_with('!');
        }
        // What runs once at the start has ended then.
        let ends = unit.is("Type", "oneshot") && !unit.is_set("RemainAfterExit");
        let at_end = EXEC_AT_END.iter().filter(|_| ends);
        for setting in EXEC.iter().chain(at_end).flat_map(|key| unit.all(key)) {
            self.setting(setting, unit, &mut found);
        }
        let on_success = ["SuccessAction", "OnSuccess"].map(|key| (key, Runs::Always));
        let on_failure = ON_FAILURE.map(|key| (key, Runs::Later));
        for (key, runs) in on_success.into_iter().chain(on_failure) {
            for setting in unit.all(key) {
                let value = setting.value.trim_end_matches("-force");
                let value = value
                    .trim_end_matches("-immediate")
                    .trim_end_matches(".target");
                if matches!(
                    value,
                    "reboot" | "poweroff" | "halt" | "kexec" | "soft-reboot"
                ) {
                    found.findings.insert(Finding {
                        file: setting.file.clone(),
                        line: setting.line,
                        act: Act::Restart,
                        runs,
                        command: format!("{key}={}", setting.value),
                    });
                }
            }
        }
        found
    }

    fn setting(&self, setting: &Setting, unit: &Unit, found: &mut Found) {
        let text = setting
            .value
            .trim_start_matches(['-', '@', ':', '+', '!', '|']);
        let directory = unit.last("WorkingDirectory");
        let directory = directory.map_or("/", |directory| directory.value.trim_start_matches('-'));
        let context = Context {
            variables: self.environment(unit),
            dir: directory.to_owned(),
            ..Context::default()
        };
        for mut command in commands_in(text, context) {
            command.line = setting.line;
            self.command(&command, &setting.file, 0, found);
        }
    }

    /// The variables that a unit sets.
    fn environment(&self, unit: &Unit) -> Variables {
        let mut variables = Variables::default();
        let mut set = |line: &str| {
            for word in lexer::tokens(line, 1) {
                if let Some((name, value)) = word.text.split_once('=') {
                    variables.set(name, value);
                }
            }
        };
        for file in unit.all("EnvironmentFile") {
            let text = self.text(file.value.trim_start_matches('-'));
            let lines = logical_lines(&text.unwrap_or_default(), Joining::Shell, &['#', ';']);
            lines.iter().for_each(|line| set(&line.text));
        }
        for setting in unit.all("Environment") {
            set(&setting.value);
        }
        variables
    }

    /// What a script does that is called with `arguments`.
    pub(super) fn script(&self, path: &str, arguments: &[String]) -> Found {
        let mut found = Found {
            is_once: names_first_start(path),
            is_named_once: names_first_start(path),
            ..Found::default()
        };
        let call = Call {
            arguments,
            ..Call::default()
        };
        self.follow(path, &call, &mut found);
        found
    }

    /// What the commands of a text do, which is part of a file.
    pub(super) fn commands(&self, text: &str, file: &str, line: usize) -> Found {
        let mut found = Found::default();
        let texts = commands(text, &[]);
        found.is_once = self.notes_that_it_ran(&texts);
        for mut command in texts {
            command.line += line - 1;
            self.command(&command, file, 0, &mut found);
        }
        found
    }

    fn follow(&self, path: &str, call: &Call<'_>, found: &mut Found) {
        let path = self.real(path);
        if call.depth > MAX_DEPTH || found.files.contains(&path) {
            return;
        }
        let Some(text) = self.text(&path) else {
            if is_own(&path) && self.root.file(&path).is_some() {
                found.unread.insert(path);
            }
            return;
        };
        found.is_named_once |= names_first_start(&path);
        found.files.push(path.clone());
        let first = text.lines().next().unwrap_or_default();
        let interpreter = call.interpreter.clone().or_else(|| interpreter(first));
        match interpreter {
            Some(program) if !is_shell(&program) && !program.ends_with("busybox") => {
                self.other_language(&text, &path, &program, call.runs, found);
            }
            _ => {
                let load = |name: &str, dir: &str| {
                    let path = self.real(&self.program(name, &[dir])?);
                    let text = self.text(&path)?;
                    Some((path, text))
                };
                let context = Context {
                    arguments: call.arguments,
                    variables: Variables::of_script(&path),
                    dir: call.dir.clone(),
                    load: Some(&load),
                };
                let commands = commands_in(&text, context);
                found.is_once |= self.notes_that_it_ran(&commands);
                for mut command in commands {
                    command.runs = command.runs.max(call.runs);
                    self.command(&command, &path, call.depth, found);
                }
            }
        }
    }

    /// Whether the commands make a file whose absence they asked for, which is missing now.
    fn notes_that_it_ran(&self, commands: &[Command]) -> bool {
        let tests = ["[", "[[", "test"];
        let asked: BTreeSet<&String> = commands
            .iter()
            .filter(|command| tests.contains(&command.words[0].as_str()))
            .flat_map(|command| {
                let pairs = command.words.windows(2);
                pairs.filter(|pair| matches!(pair[0].as_str(), "-e" | "-f" | "-d" | "-s"))
            })
            .map(|pair| &pair[1])
            .collect();
        let made = commands.iter().flat_map(|command| {
            let makes = matches!(command.words[0].as_str(), "touch" | "mkdir");
            let words = command.words.iter().skip(1).filter(move |_| makes);
            words.chain(&command.outputs)
        });
        made.filter(|path| asked.contains(path))
            .any(|path| !path.starts_with("/var/log/") && self.exists(path) == Some(false))
    }

    /// The path without symlinks.
    fn real(&self, path: &str) -> String {
        if self.on_boot_owned(path) {
            return path.to_owned();
        }
        self.root
            .walk(path.as_bytes(), true)
            .map_or_else(|_| path.to_owned(), |walk| show(&walk.path()))
    }

    fn on_boot_owned(&self, path: &str) -> bool {
        path.strip_prefix(self.boot_mount)
            .is_some_and(|rest| rest.starts_with('/'))
    }

    /// Scripts of other languages: commands in quotes, which run at an unknown time.
    fn other_language(
        &self,
        text: &str,
        path: &str,
        language: &str,
        runs: Runs,
        found: &mut Found,
    ) {
        let is_python = language.contains("python");
        for (at, line) in text.lines().enumerate() {
            if line.trim_start().starts_with('#') {
                continue;
            }
            // `["systemctl", "reboot"]` is one command as much as "systemctl reboot".
            let quoted: Vec<&str> = line.split(['"', '\'']).skip(1).step_by(2).collect();
            let texts = quoted.iter().map(|text| (*text).to_owned());
            let found_act = [quoted.join(" ")]
                .into_iter()
                .chain(texts)
                .flat_map(|text| commands(&text, &[]))
                .filter(|command| is_program(&command.words[0]))
                .find_map(|command| Some((act(&command)?, command.words.join(" "))));
            if let Some((act, command)) = found_act {
                found.findings.insert(Finding {
                    file: path.to_owned(),
                    line: at + 1,
                    act,
                    runs: match is_python && is_plain_call(line) {
                        true => runs,
                        false => runs.max(Runs::Unknown),
                    },
                    command,
                });
            }
        }
    }

    fn command(&self, command: &Command, file: &str, depth: usize, found: &mut Found) {
        let file = command.file.as_deref().unwrap_or(file);
        let words = unwrapped(&command.words);
        let Some(first) = words.first() else { return };
        found.is_once |= takes_itself_out(words, file);
        let finding = |act, runs| Finding {
            file: file.to_owned(),
            line: command.line,
            act,
            runs,
            command: command.text(),
        };
        if let Some(act) = act(command) {
            let runs = command.runs.max(earliest(command));
            found.findings.insert(finding(act, runs));
            return;
        }
        if mounts_given(words) {
            found.mounts.insert(finding(Act::Mount, Runs::If));
        }
        let name = first.rsplit('/').next().unwrap_or_default();
        found.asks |= asks(name);
        if MENUS.contains(&name) || matches!(name, "." | "source") {
            return;
        }
        let dir_of_file = file.rsplit_once('/').map_or("", |(dir, _)| dir);
        let dirs = [command.dir.as_str(), dir_of_file];
        let at = words.iter().skip(1).position(|word| !word.starts_with('-'));
        let argument = at.and_then(|at| words.get(at + 1..));
        let mut call = Call {
            arguments: words.get(1..).unwrap_or_default(),
            runs: command.runs,
            depth: depth + 1,
            dir: command.dir.clone(),
            interpreter: None,
        };
        let called = if matches!(name, "at" | "batch") {
            let mut pairs = words.windows(2);
            call.interpreter = Some("sh".to_owned());
            pairs
                .find(|pair| pair[0] == "-f")
                .map(|pair| pair[1].clone())
        } else if name == "run-parts" {
            let dir = argument.and_then(|words| words.first()).cloned();
            dir.map(|dir| format!("{}/*", dir.trim_end_matches('/')))
        } else if is_shell(first) || is_other_interpreter(name) {
            if words.iter().any(|word| word == "-c" || word == "-m") {
                return;
            }
            call.arguments = argument
                .and_then(|words| words.get(1..))
                .unwrap_or_default();
            call.interpreter = Some(name.to_owned());
            argument.and_then(|words| words.first()).cloned()
        } else {
            Some(first.clone())
        };
        let Some(called) = called else { return };
        if apt_hooks::are_run_by(name) {
            self.apt_hooks(&call, found);
        }
        for path in self.programs(&called, &dirs) {
            self.follow(&path, &call, found);
        }
    }

    /// Follows what apt runs when a script calls it.
    fn apt_hooks(&self, call: &Call<'_>, found: &mut Found) {
        let mut hooks = apt_hooks::all(self.root);
        hooks.retain(|hook| call.depth <= MAX_DEPTH && !found.files.contains(&hook.file));
        found
            .files
            .extend(hooks.iter().map(|hook| hook.file.clone()));
        for hook in hooks {
            for mut command in commands(&hook.value, &[]) {
                command.line = hook.line;
                command.runs = command.runs.max(call.runs);
                self.command(&command, &hook.file, call.depth, found);
            }
        }
    }

    /// The programs that a word names, which may be a pattern.
    fn programs(&self, word: &str, dirs: &[&str]) -> Vec<String> {
        let Some((dir, pattern)) = word.rsplit_once('/').filter(|_| word.contains('*')) else {
            return self.program(word, dirs).into_iter().collect();
        };
        let Some(found) = self.root.dir(dir) else {
            return Vec::new();
        };
        let files = found.entries.iter();
        let files = files.filter(|(_, entry)| matches!(entry, DirEntry::Leaf(_)));
        let names = files.map(|(name, _)| show(name));
        names
            .filter(|name| matches(pattern, name))
            .map(|name| format!("{dir}/{name}"))
            .collect()
    }

    /// The path of a program, which may be a name, or a path in one of the directories.
    fn program(&self, name: &str, dirs: &[&str]) -> Option<String> {
        if name.starts_with('/') {
            return Some(name.to_owned());
        }
        let near = dirs.iter().filter(|dir| dir.starts_with('/'));
        let name = name.strip_prefix("./").unwrap_or(name);
        let mut near = near.map(|dir| format!("{}/{name}", dir.trim_end_matches('/')));
        let is_there = |path: &String| self.text(path).is_some() || self.root.file(path).is_some();
        if let Some(path) = near.find(is_there) {
            return Some(path);
        }
        if name.contains('/') {
            return None;
        }
        let dirs = [
            "/usr/local/sbin",
            "/usr/local/bin",
            "/usr/sbin",
            "/usr/bin",
            "/sbin",
            "/bin",
        ];
        dirs.iter()
            .map(|dir| format!("{dir}/{name}"))
            .find(|path| self.root.file(path).is_some())
    }

    /// Whether the conditions of a unit hold when a root filesystem starts for the first time, as
    /// far as its files tell.
    pub(super) fn may_start(&self, unit: &Unit) -> bool {
        // The id of the machine is never missing, see `machine_id`.
        if unit.is_for_first_boot() {
            return false;
        }
        [
            "ConditionPathExists",
            "ConditionFileNotEmpty",
            "ConditionDirectoryNotEmpty",
        ]
        .iter()
        .flat_map(|key| unit.all(key))
        .all(|condition| {
            let (negated, path) = condition
                .value
                .strip_prefix('!')
                .map_or((false, condition.value.as_str()), |path| (true, path));
            self.exists(path).is_none_or(|exists| exists != negated)
        })
    }
}

/// How a script is called.
struct Call<'a> {
    arguments: &'a [String],
    runs: Runs,
    depth: usize,
    /// The directory in which it runs; empty: it is not known.
    dir: String,
    /// The program that reads it; `None`: its first line says so.
    interpreter: Option<String>,
}

impl Default for Call<'_> {
    fn default() -> Self {
        Self {
            arguments: &[],
            runs: Runs::Always,
            depth: 0,
            dir: "/".to_owned(),
            interpreter: None,
        }
    }
}
