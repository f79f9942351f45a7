//! Follows what runs at a start into the scripts that it calls, and judges what is found there.

use super::acts::{Act, act};
use super::script::{Command, Runs, commands};
use super::units::{Setting, Unit};
use super::words::{is_shell, unwrapped};
use crate::tree::{Tree, show};
use std::collections::BTreeSet;

/// The size limit of scripts (bytes).
const LIMIT: u64 = 512 << 10;
/// The number of scripts that call one another and are followed.
const MAX_DEPTH: usize = 3;
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
const EXEC: [&str; 3] = ["ExecStartPre", "ExecStart", "ExecStartPost"];

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
        for setting in EXEC.iter().flat_map(|key| unit.all(key)) {
            self.setting(setting, &mut found);
        }
        let ends = [("SuccessAction", "ends"), ("OnSuccess", "succeeds")];
        for (key, _) in ends {
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
                        runs: Runs::Always,
                        command: format!("{key}={}", setting.value),
                    });
                }
            }
        }
        found
    }

    fn setting(&self, setting: &Setting, found: &mut Found) {
        let text = setting
            .value
            .trim_start_matches(['-', '@', ':', '+', '!', '|']);
        for mut command in commands(text, &[]) {
            command.line = setting.line;
            self.command(&command, &setting.file, 0, found);
        }
    }

    /// What a script does that is called with `arguments`.
    pub(super) fn script(&self, path: &str, arguments: &[String]) -> Found {
        let mut found = Found {
            is_once: names_first_start(path),
            is_named_once: names_first_start(path),
            ..Found::default()
        };
        self.follow(path, arguments, Runs::Always, 0, &mut found);
        found
    }

    /// What the commands of a text do, which is part of a file.
    pub(super) fn commands(&self, text: &str, file: &str, line: usize) -> Found {
        let mut found = Found::default();
        for mut command in commands(text, &[]) {
            command.line += line - 1;
            self.command(&command, file, 0, &mut found);
        }
        found
    }

    fn follow(
        &self,
        path: &str,
        arguments: &[String],
        runs: Runs,
        depth: usize,
        found: &mut Found,
    ) {
        let path = self.real(path);
        if depth > MAX_DEPTH || found.files.contains(&path) {
            return;
        }
        let Some(text) = self.text(&path) else { return };
        found.is_named_once |= names_first_start(&path);
        found.files.push(path.clone());
        let first = text.lines().next().unwrap_or_default();
        let interpreter = first.strip_prefix("#!").map(|line| {
            let mut words = line.split_whitespace();
            let program = words.next().unwrap_or_default();
            let program = if program.ends_with("/env") {
                words
                    .find(|word| !word.starts_with('-'))
                    .unwrap_or_default()
            } else {
                program
            };
            program.to_owned()
        });
        match interpreter {
            Some(program) if !is_shell(&program) && !program.ends_with("busybox") => {
                self.other_language(&text, &path, runs, found);
            }
            _ => {
                for mut command in commands(&text, arguments) {
                    command.runs = command.runs.max(runs);
                    self.command(&command, &path, depth, found);
                }
            }
        }
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
    fn other_language(&self, text: &str, path: &str, runs: Runs, found: &mut Found) {
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
                .find_map(|command| Some((act(&command)?, command.words.join(" "))));
            if let Some((act, command)) = found_act {
                found.findings.insert(Finding {
                    file: path.to_owned(),
                    line: at + 1,
                    act,
                    runs: runs.max(Runs::Unknown),
                    command,
                });
            }
        }
    }

    fn command(&self, command: &Command, file: &str, depth: usize, found: &mut Found) {
        let words = unwrapped(&command.words);
        let Some(first) = words.first() else { return };
        found.is_once |= takes_itself_out(words, file);
        if let Some(act) = act(command) {
            found.findings.insert(Finding {
                file: file.to_owned(),
                line: command.line,
                act,
                runs: command.runs,
                command: command.words.join(" "),
            });
            return;
        }
        let name = first.rsplit('/').next().unwrap_or_default();
        if MENUS.contains(&name) {
            return;
        }
        let script_of = |words: &[String]| {
            let at = words.iter().position(|word| !word.starts_with('-'))?;
            Some((words[at].clone(), words[at + 1..].to_vec()))
        };
        let called = if is_shell(first) || matches!(name, "." | "source") {
            if words.iter().any(|word| word == "-c") {
                return;
            }
            script_of(&words[1..])
        } else {
            Some((first.clone(), words[1..].to_vec()))
        };
        let Some((path, arguments)) = called else {
            return;
        };
        if let Some(path) = self.program(&path) {
            self.follow(&path, &arguments, command.runs, depth + 1, found);
        }
    }

    /// The path of a program, which may be a name.
    fn program(&self, name: &str) -> Option<String> {
        if name.contains('/') {
            return name.starts_with('/').then(|| name.to_owned());
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

/// Whether a name says that it is for the first start.
fn names_first_start(name: &str) -> bool {
    let name: String = name
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .to_lowercase()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric())
        .collect();
    [
        "firstboot",
        "firstrun",
        "firststart",
        "onetime",
        "runonce",
        "resizeonce",
    ]
    .iter()
    .any(|mark| name.contains(mark))
}

/// Whether a command takes its own script or service out, as what runs once does.
fn takes_itself_out(words: &[String], file: &str) -> bool {
    let name = words[0].rsplit('/').next().unwrap_or_default();
    let rest = &words[1..];
    let has = |text: &str| rest.iter().any(|word| word == text);
    match name {
        "systemctl" => has("disable") || has("mask"),
        "update-rc.d" => has("remove") || has("disable"),
        "rm" | "unlink" | "shred" => rest.iter().any(|word| {
            word == file
                || word == "$0"
                || word.contains("${BASH_SOURCE")
                || word.ends_with(".service")
        }),
        "mv" | "cp" => rest.last().is_some_and(|word| word == "/etc/rc.local"),
        _ => false,
    }
}
