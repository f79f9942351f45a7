//! Follows what is started from script to script.

use super::super::super::disk::read;
use super::apt;
use super::effects::{Effect, effect};
use super::joined::{Reader, joined};
use super::reader::{Step, When, steps};
use super::units::{Unit, Value};
use super::wrappers::is_shell;
use crate::tree::{Node, Tree, show};
use std::collections::{BTreeMap, BTreeSet};

/// How deep scripts call one another.
const DEPTH: usize = 12;
/// The directories of programs that are called by name.
const PATH: [&str; 6] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];
/// Menus, and programs that do what their arguments say.
const NOT_FOLLOWED: [&str; 7] = [
    "raspi-config",
    "armbian-config",
    "orangepi-config",
    "dietpi-config",
    "dietpi-software",
    "service",
    "invoke-rc.d",
];

/// The files of a slot, and of the boot partition below its mount point.
pub(super) struct Files<'a> {
    pub(super) root: &'a Tree,
    pub(super) boot: Option<(&'a Tree, String)>,
}

/// Something that a start does.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) file: String,
    /// Its line, from 1.
    pub(super) line: u32,
    pub(super) effect: Effect,
    pub(super) when: When,
    /// The command.
    pub(super) text: String,
}

/// All that one thing which is started does.
#[derive(Clone, Debug, Default)]
pub(super) struct Trace {
    pub(super) found: Vec<Found>,
    /// The files that were read, in order.
    pub(super) files: Vec<String>,
    /// It is made for the first start: it notes that it ran, or takes itself out.
    pub(super) once: bool,
    /// It asks a person.
    pub(super) asks: bool,
}

/// Where a command is.
struct Place<'a> {
    file: &'a str,
    dir: String,
    depth: usize,
    /// When the script of the command runs.
    when: When,
}

impl Files<'_> {
    /// The text of a script; `None` for what is none.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        let on_boot = self.boot.as_ref().and_then(|(tree, mount)| {
            let rest = path.strip_prefix(mount.as_str())?;
            let rest = rest.strip_prefix('/')?;
            read(tree, &show(&tree.path_ignore_case(format!("/{rest}"))))
        });
        let bytes = on_boot.or_else(|| read(self.root, path))?;
        (!bytes.contains(&0)).then(|| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The lines of a text file with their numbers, from 1, without comments.
    pub(super) fn lines(&self, path: &str) -> Vec<(u32, String)> {
        let text = self.text(path).unwrap_or_default();
        let lines = (1..).zip(text.lines().map(str::trim));
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        lines.map(|(at, line)| (at, line.to_owned())).collect()
    }

    /// The lines of a text file as this reader joins them, with their numbers, from 1.
    pub(super) fn joined(&self, path: &str, reader: Reader) -> Vec<(u32, String)> {
        joined(&self.text(path).unwrap_or_default(), reader)
    }

    /// All lines of a text file with their numbers, from 1.
    pub(super) fn raw_lines(&self, path: &str) -> Vec<(u32, String)> {
        let text = self.text(path).unwrap_or_default();
        (1..).zip(text.lines().map(str::to_owned)).collect()
    }

    /// The entries of a directory, with its path.
    pub(super) fn entries(&self, dir: &str) -> Vec<String> {
        let names = super::names(self.root, dir).into_iter();
        names.map(|name| format!("{dir}/{name}")).collect()
    }

    /// Whether a file may be executed.
    pub(super) fn is_executable(&self, path: &str) -> bool {
        matches!(self.root.find(path), Some(Node::Leaf(leaf)) if leaf.stat.mode & 0o111 != 0)
            && self.root.file(path).is_some()
    }

    fn real(&self, path: &str) -> String {
        let walk = self.root.walk(path.as_bytes(), true);
        walk.map_or_else(|_| path.to_owned(), |walk| show(&walk.path()))
    }

    /// What a script does that is called with these arguments.
    pub(super) fn script(&self, path: &str, arguments: &[&str]) -> Trace {
        let mut trace = Trace {
            once: is_named_once(path),
            ..Trace::default()
        };
        let arguments: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
        let place = Place {
            file: path,
            dir: "/".into(),
            depth: 0,
            when: When::Always,
        };
        self.follow(path, &arguments, None, &place, &mut trace);
        trace
    }

    /// What the commands in a line of a file do.
    pub(super) fn line(&self, file: &str, line: u32, text: &str) -> Trace {
        let mut trace = Trace::default();
        self.value(file, line, text, "/", &BTreeMap::new(), &mut trace);
        trace
    }

    fn value(
        &self,
        file: &str,
        line: u32,
        text: &str,
        dir: &str,
        variables: &BTreeMap<String, String>,
        trace: &mut Trace,
    ) {
        trace.files.push(file.to_owned());
        let place = Place {
            file,
            dir: dir.to_owned(),
            depth: 0,
            when: When::Always,
        };
        let mut found = steps(text, &[], variables);
        for step in &mut found {
            step.line = line;
        }
        self.walk(&found, &place, trace);
    }

    /// What a service does when it starts, and when it ends at once.
    pub(super) fn service(&self, unit: &Unit) -> Trace {
        let mut trace = Trace {
            once: is_named_once(&unit.name),
            files: vec![unit.file.clone()],
            ..Trace::default()
        };
        trace.once |= unit
            .values("ConditionPathExists")
            .iter()
            .any(|condition| condition.text.starts_with('!'));
        let dir = unit.values("WorkingDirectory");
        let dir = dir
            .last()
            .map_or("/", |value| value.text.trim_start_matches('-'));
        let variables = self.environment(unit);
        let mut keys = vec![
            "ExecCondition",
            "ExecStartPre",
            "ExecStart",
            "ExecStartPost",
        ];
        if unit.is("Type", "oneshot") && !unit.is_on("RemainAfterExit") {
            keys.extend(["ExecStop", "ExecStopPost"]);
        }
        for Value { text, file, line } in keys.iter().flat_map(|key| unit.values(key)) {
            let text = text.trim_start_matches(['-', '@', ':', '+', '!', '|']);
            self.value(&file, line, text, dir, &variables, &mut trace);
        }
        for key in ["SuccessAction", "OnSuccess"] {
            for Value { text, file, line } in unit.values(key) {
                let state = ["-force", "-immediate", ".target"]
                    .iter()
                    .fold(text.as_str(), |text, end| text.trim_end_matches(end));
                if ["reboot", "poweroff", "halt", "kexec", "soft-reboot"].contains(&state) {
                    trace.found.push(Found {
                        file,
                        line,
                        effect: Effect::Restarts,
                        when: When::Always,
                        text: format!("{key}={text}"),
                    });
                }
            }
        }
        trace
    }

    fn environment(&self, unit: &Unit) -> BTreeMap<String, String> {
        let mut out = BTreeMap::new();
        let mut lines: Vec<String> = Vec::new();
        for file in unit.values("EnvironmentFile") {
            let path = file.text.trim_start_matches('-');
            let found = self.joined(path, Reader::Shell).into_iter();
            lines.extend(found.map(|(_, line)| line));
        }
        lines.extend(
            unit.values("Environment")
                .into_iter()
                .map(|value| value.text),
        );
        for word in lines.iter().flat_map(|line| line.split_whitespace()) {
            if let Some((name, value)) = word.trim_matches(['"', '\'']).split_once('=') {
                out.insert(name.to_owned(), value.trim_matches(['"', '\'']).to_owned());
            }
        }
        out
    }

    fn follow(
        &self,
        path: &str,
        arguments: &[String],
        program: Option<&str>,
        from: &Place<'_>,
        trace: &mut Trace,
    ) {
        let path = self.real(path);
        if from.depth > DEPTH || trace.files.contains(&path) {
            return;
        }
        let Some(text) = self.text(&path) else {
            return;
        };
        trace.once |= is_named_once(&path);
        trace.files.push(path.clone());
        let first = text.lines().next().unwrap_or_default();
        let named = first.strip_prefix("#!").map(|line| {
            let mut words = line.split_whitespace();
            let name = words.next().unwrap_or_default();
            match name.ends_with("/env") {
                true => words
                    .find(|word| !word.starts_with('-'))
                    .unwrap_or_default(),
                false => name,
            }
        });
        let program = program.or(named).unwrap_or("sh");
        let place = Place {
            file: &path,
            dir: from.dir.clone(),
            depth: from.depth,
            when: from.when,
        };
        if !is_shell(program) && !program.ends_with("busybox") {
            return quoted_commands(&text, program, &place, trace);
        }
        let variables = BTreeMap::from([("0".to_owned(), path.clone())]);
        let mut found = steps(&text, arguments, &variables);
        for step in &mut found {
            step.when = step.when.max(from.when);
        }
        trace.once |= self.notes_that_it_ran(&found);
        self.walk(&found, &place, trace);
    }

    /// Judges commands, and follows them into scripts.
    fn walk(&self, steps: &[Step], place: &Place<'_>, trace: &mut Trace) {
        let mut dir = place.dir.clone();
        for step in steps {
            if step.name() == "cd" {
                let to = step.rest().iter().find(|word| !word.starts_with('-'));
                match to.map(String::as_str) {
                    Some(to) if to.starts_with('/') => to.clone_into(&mut dir),
                    Some(to) if to.contains('$') => dir.clear(),
                    Some(to) if to != "." => dir = format!("{dir}/{to}"),
                    _ => {}
                }
                continue;
            }
            let asking = ["read", "whiptail", "dialog", "zenity", "yad"];
            trace.asks |= asking.contains(&step.name());
            trace.once |= takes_itself_out(step, place.file);
            if let Some((effect, when)) = effect(step) {
                trace.found.push(Found {
                    file: place.file.to_owned(),
                    line: step.line,
                    effect,
                    when,
                    text: step.text(),
                });
                continue;
            }
            let here = Place {
                file: place.file,
                dir: dir.clone(),
                depth: place.depth.saturating_add(1),
                when: step.when,
            };
            self.called(step, &here, trace);
        }
    }

    fn called(&self, step: &Step, here: &Place<'_>, trace: &mut Trace) {
        let name = step.name();
        if NOT_FOLLOWED.contains(&name) {
            return;
        }
        if apt::is_apt(name) && here.depth <= DEPTH {
            self.around_apt(here, trace);
        }
        let first = step.words.first().map_or("", String::as_str);
        let plain = step.rest().iter().position(|word| !word.starts_with('-'));
        let after = plain
            .and_then(|at| step.rest().get(at..))
            .unwrap_or_default();
        let inner = step.rest().iter().any(|word| word == "-c" || word == "-m");
        let (path, arguments, program) = match name {
            "." | "source" => (after.first(), after.get(1..), None),
            "run-parts" => {
                for path in after.first().map_or_else(Vec::new, |dir| self.entries(dir)) {
                    self.follow(&path, &[], None, here, trace);
                }
                return;
            }
            "at" | "batch" => {
                let file = step.rest().windows(2).find_map(|pair| match pair {
                    [option, file] if option == "-f" => Some(file),
                    _ => None,
                });
                (file, None, Some("sh"))
            }
            _ if is_shell(first) || is_language(name) => match inner {
                true => return,
                false => (after.first(), after.get(1..), Some(name)),
            },
            _ => (step.words.first(), Some(step.rest()), None),
        };
        let Some(path) = path.and_then(|path| self.program(path, here)) else {
            return;
        };
        self.follow(&path, arguments.unwrap_or_default(), program, here, trace);
    }

    /// Follows what apt runs when a script calls it.
    fn around_apt(&self, here: &Place<'_>, trace: &mut Trace) {
        let mut hooks = apt::commands(self.root);
        hooks.retain(|(file, ..)| !trace.files.contains(file));
        trace
            .files
            .extend(hooks.iter().map(|(file, ..)| file.clone()));
        for (file, line, text) in hooks {
            let mut found = steps(&text, &[], &BTreeMap::new());
            for hook in &mut found {
                (hook.line, hook.when) = (line, hook.when.max(here.when));
            }
            let place = Place {
                file: &file,
                dir: "/".to_owned(),
                ..*here
            };
            self.walk(&found, &place, trace);
        }
    }

    /// The path of a program.
    fn program(&self, name: &str, here: &Place<'_>) -> Option<String> {
        if name.starts_with('/') {
            return Some(name.to_owned());
        }
        let own = here.file.rsplit_once('/').map_or("", |(dir, _)| dir);
        let short = name.strip_prefix("./").unwrap_or(name);
        let near = [here.dir.as_str(), own].into_iter();
        let near = near.filter(|dir| dir.starts_with('/'));
        let far = PATH.into_iter().filter(|_| !name.contains('/'));
        near.chain(far)
            .map(|dir| format!("{}/{short}", dir.trim_end_matches('/')))
            .find(|path| self.text(path).is_some())
    }

    /// Whether a script makes what it asked for, which is not there yet.
    fn notes_that_it_ran(&self, steps: &[Step]) -> bool {
        let asked: BTreeSet<&str> = steps
            .iter()
            .filter(|step| matches!(step.name(), "[" | "[[" | "test"))
            .flat_map(|step| step.rest().windows(2))
            .filter_map(|pair| match pair {
                [test, path] if matches!(test.as_str(), "-e" | "-f" | "-d" | "-s") => {
                    Some(path.as_str())
                }
                _ => None,
            })
            .collect();
        steps.iter().any(|step| {
            let makes = matches!(step.name(), "touch" | "mkdir");
            let words = step.rest().iter().filter(|_| makes).chain(&step.outputs);
            let mut own = words.filter(|path| !path.starts_with("/var/log/"));
            own.any(|path| {
                let elsewhere = ["/run/", "/tmp/", "/dev/", "/data/", "/proc/", "/sys/"];
                path.starts_with('/')
                    && asked.contains(path.as_str())
                    && !elsewhere.iter().any(|dir| path.starts_with(dir))
                    && self.root.find(path).is_none()
            })
        })
    }
}

/// Whether a program reads scripts of another language.
fn is_language(name: &str) -> bool {
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    ["python", "perl", "ruby", "node", "nodejs", "lua", "php"].contains(&name)
}

/// Commands in quotes of a script in another language, in lines that run whenever it does.
fn quoted_commands(text: &str, program: &str, place: &Place<'_>, trace: &mut Trace) {
    let starts = ["system(", "run(", "call(", "Popen(", "output("];
    let python = program.contains("python");
    for (line, code) in (1..).zip(text.lines()) {
        let plain = code.starts_with(|c: char| c.is_ascii_alphabetic());
        let blocks = [
            "if ", "for ", "while ", "def ", "class ", "elif ", "return ",
        ];
        let other = blocks.iter().any(|word| code.starts_with(word));
        if !python || !plain || other || !starts.iter().any(|call| code.contains(call)) {
            continue;
        }
        let quoted: Vec<&str> = code.split(['"', '\'']).skip(1).step_by(2).collect();
        let found = steps(&quoted.join(" "), &[], &BTreeMap::new());
        for (effect, step) in found
            .iter()
            .filter_map(|step| Some((effect(step)?.0, step)))
        {
            trace.found.push(Found {
                file: place.file.to_owned(),
                line,
                effect,
                when: place.when.max(step.when),
                text: step.text(),
            });
        }
    }
}

/// Whether a name says that it is for the first start.
fn is_named_once(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default().to_lowercase();
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    ["firstboot", "firstrun", "firststart", "onetime", "runonce"]
        .iter()
        .any(|mark| name.contains(mark))
}

/// Whether a command keeps its own script or service from running again.
fn takes_itself_out(step: &Step, file: &str) -> bool {
    let has = |words: &[&str]| {
        step.rest()
            .iter()
            .any(|word| words.contains(&word.as_str()))
    };
    match step.name() {
        "systemctl" => has(&["disable", "mask"]),
        "update-rc.d" => has(&["remove", "disable"]),
        "rm" | "unlink" | "shred" => {
            has(&[file, "${0}"]) || step.rest().iter().any(|word| word.ends_with(".service"))
        }
        "mv" | "cp" => step
            .rest()
            .last()
            .is_some_and(|word| word == "/etc/rc.local"),
        _ => false,
    }
}
