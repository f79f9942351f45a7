//! Follows a U-Boot script: which files it loads, and with which arguments it starts the kernel.
//!
//! Values that only a running U-Boot has are marked in texts. A condition that depends on one is
//! neither true nor false: both branches are followed, and variables in which they differ become
//! such values too.

use super::condition::{Truth, is_unknown, readable, test, unknown};
use super::sources::{Place, Site, Sources};
use super::syntax::{Command, List, Statement, parse};
use super::words::Piece;
use std::collections::{BTreeMap, BTreeSet};

/// The most commands that are followed.
const MAX_STEPS: usize = 20_000;
/// How deep `run` and `source` may nest.
const MAX_RUNS: usize = 16;

/// A file that a script loads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Loaded {
    /// The path as the script names it.
    pub(super) path: String,
    /// The file, if the path is known and the image has it.
    pub(super) place: Option<Place>,
}

/// The start of a kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Boot {
    pub(super) kernel: Option<Loaded>,
    pub(super) initrd: Option<Loaded>,
    pub(super) tree: Option<Loaded>,
    pub(super) overlays: Vec<Loaded>,
    /// The value of `bootargs`, marked.
    pub(super) arguments: Option<String>,
}

#[derive(Clone, Debug, Default)]
struct State {
    variables: BTreeMap<String, String>,
    /// By address as it is written.
    loaded: BTreeMap<String, Loaded>,
    overlays: Vec<Loaded>,
    boot: Option<Boot>,
    stopped: bool,
}

/// All that was learned of a script.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    /// The first kernel that it starts; otherwise only the arguments are known.
    pub(super) boot: Boot,
    /// Whether a command that starts a kernel was reached.
    pub(super) starts: bool,
    /// Files whose variables it takes.
    pub(super) imported: Vec<Place>,
    /// Commands that change something that is not carried over.
    pub(super) ignored: Vec<String>,
    /// Variables in the arguments that have no value in any file.
    pub(super) unset: BTreeSet<String>,
    /// The variables at the end.
    pub(super) variables: BTreeMap<String, String>,
}

/// Follows the script `text` on `site`, with these variables.
///
/// # Errors
/// The reason why it cannot be followed.
pub(super) fn follow(
    sources: &Sources<'_>,
    site: Site,
    text: &str,
    variables: BTreeMap<String, String>,
) -> Result<Outcome, String> {
    let mut machine = Machine {
        sources,
        site,
        state: State {
            variables,
            ..State::default()
        },
        steps: 0,
        runs: 0,
        out: Outcome::default(),
    };
    machine.script(text)?;
    let Machine { state, mut out, .. } = machine;
    out.starts = state.boot.is_some();
    out.boot = state.boot.clone().unwrap_or_else(|| Boot {
        arguments: state.variables.get("bootargs").cloned(),
        overlays: state.overlays.clone(),
        ..Boot::default()
    });
    out.variables = state.variables;
    Ok(out)
}

struct Machine<'s, 't> {
    sources: &'s Sources<'t>,
    site: Site,
    state: State,
    steps: usize,
    runs: usize,
    out: Outcome,
}

/// Whether U-Boot itself sets a variable of this name on some board.
fn is_of_u_boot(name: &str) -> bool {
    const NAMES: &str = "? arch baudrate board board_name board_rev boardver bootcmd bootpart console cpu \
                         devnum devtype distro_bootpart ethaddr fdt_file fdtfile filesize \
                         findfdt ipaddr loadaddr mmcbootdev mmcbootpart mmcdev mmcpart mmcroot \
                         partition serial# serverip soc stderr stdin stdout target usbethaddr vendor";
    name.ends_with("addr")
        || name.ends_with("_addr_r")
        || name.ends_with("_high")
        || NAMES.split_whitespace().any(|known| known == name)
}

impl Machine<'_, '_> {
    fn script(&mut self, text: &str) -> Result<Truth, String> {
        let list = parse(text)?;
        self.list(&list)
    }

    fn list(&mut self, list: &List) -> Result<Truth, String> {
        let mut truth = Truth::Yes;
        for statement in list {
            if self.state.stopped {
                break;
            }
            truth = self.statement(statement)?;
        }
        Ok(truth)
    }

    fn statement(&mut self, statement: &Statement) -> Result<Truth, String> {
        let mut truth = self.command(&statement.first)?;
        for (and, command) in &statement.rest {
            let due = if *and { truth } else { truth.not() };
            truth = match due {
                Truth::Yes => self.command(command)?,
                Truth::No => truth,
                Truth::Maybe => {
                    self.both(|machine| machine.command(command), |_| Ok(Truth::Maybe))?
                }
            };
        }
        Ok(truth)
    }

    fn command(&mut self, command: &Command) -> Result<Truth, String> {
        if self.state.stopped {
            return Ok(Truth::No);
        }
        self.steps = self.steps.saturating_add(1);
        if self.steps > MAX_STEPS {
            return Err(format!("it runs more than {MAX_STEPS} commands"));
        }
        match command {
            Command::Simple(words) => {
                self.note_unset(words);
                let words: Vec<String> = words.iter().flat_map(|word| self.expand(word)).collect();
                self.simple(&words)
            }
            Command::If {
                branches,
                otherwise,
            } => self.condition(branches, otherwise),
            Command::For { name, words, body } => {
                let words: Vec<String> = words.iter().flat_map(|word| self.expand(word)).collect();
                let mut truth = Truth::Yes;
                for word in words {
                    if self.state.stopped {
                        break;
                    }
                    self.state.variables.insert(name.clone(), word);
                    truth = self.list(body)?;
                }
                Ok(truth)
            }
            Command::While { condition, body } => match self.list(condition)? {
                Truth::No => Ok(Truth::Yes),
                _ => self.both(|machine| machine.list(body), |_| Ok(Truth::Maybe)),
            },
        }
    }

    fn condition(&mut self, branches: &[(List, List)], otherwise: &List) -> Result<Truth, String> {
        let Some(((condition, body), rest)) = branches.split_first() else {
            return self.list(otherwise);
        };
        match self.list(condition)? {
            Truth::Yes => self.list(body),
            Truth::No => self.condition(rest, otherwise),
            Truth::Maybe => self.both(
                |machine| machine.list(body),
                |machine| machine.condition(rest, otherwise),
            ),
        }
    }

    /// Follows both branches of a condition that cannot be decided.
    fn both(
        &mut self,
        one: impl FnOnce(&mut Self) -> Result<Truth, String>,
        other: impl FnOnce(&mut Self) -> Result<Truth, String>,
    ) -> Result<Truth, String> {
        let before = self.state.clone();
        one(self)?;
        let first = std::mem::replace(&mut self.state, before);
        other(self)?;
        let second = std::mem::take(&mut self.state);
        self.state = merged(first, second);
        Ok(Truth::Maybe)
    }

    /// The words that a word becomes.
    fn expand(&mut self, pieces: &[Piece]) -> Vec<String> {
        let mut words = vec![String::new()];
        let mut there = pieces.is_empty();
        for piece in pieces {
            match piece {
                Piece::Text(text) => {
                    there = true;
                    words.last_mut().expect("there is one").push_str(text);
                }
                Piece::Variable { name, quoted } => {
                    let value = self.value(name);
                    there |= *quoted || !value.trim().is_empty();
                    if *quoted {
                        words.last_mut().expect("there is one").push_str(&value);
                        continue;
                    }
                    if value.starts_with(' ') && words.last().is_some_and(|word| !word.is_empty()) {
                        words.push(String::new());
                    }
                    for (at, part) in value.split_whitespace().enumerate() {
                        if at > 0 {
                            words.push(String::new());
                        }
                        words.last_mut().expect("there is one").push_str(part);
                    }
                }
            }
        }
        if there { words } else { Vec::new() }
    }

    fn value(&mut self, name: &str) -> String {
        match self.state.variables.get(name) {
            Some(value) => value.clone(),
            None if is_of_u_boot(name) => unknown(name),
            None => String::new(),
        }
    }

    /// Remembers the variables without a value that `setenv bootargs` uses.
    fn note_unset(&mut self, words: &[Vec<Piece>]) {
        let text = |at: usize, text: &str| {
            words.get(at).map(Vec::as_slice) == Some(&[Piece::Text(text.into())])
        };
        if !text(0, "setenv") || !text(1, "bootargs") {
            return;
        }
        for piece in words.iter().flatten() {
            if let Piece::Variable { name, .. } = piece
                && name != "bootargs"
                && !self.state.variables.contains_key(name)
                && !is_of_u_boot(name)
            {
                self.out.unset.insert(name.clone());
            }
        }
    }

    fn simple(&mut self, words: &[String]) -> Result<Truth, String> {
        let Some((name, rest)) = words.split_first() else {
            return Ok(Truth::Yes);
        };
        let argument = |at: usize| rest.get(at).map(String::as_str).unwrap_or_default();
        match name.as_str() {
            "setenv" => Ok(self.set(rest)),
            "env" => match argument(0) {
                "set" => Ok(self.set(rest.get(1..).unwrap_or_default())),
                "delete" => {
                    for name in rest.iter().skip(1) {
                        self.state.variables.remove(name);
                    }
                    Ok(Truth::Yes)
                }
                "import" => Ok(self.import(rest)),
                "exists" => Ok(Truth::of(self.state.variables.contains_key(argument(1)))),
                _ => Ok(Truth::Maybe),
            },
            "load" | "ext2load" | "ext4load" | "fatload" => Ok(self.load(rest)),
            "booti" | "bootz" | "bootm" | "zboot" => Ok(self.boot(rest)),
            "test" => Ok(test(self.sources, self.site, rest)),
            "[" => {
                let rest = rest.split_last().map_or(rest, |(_, rest)| rest);
                Ok(test(self.sources, self.site, rest))
            }
            "run" => self.run(rest),
            "source" => self.source(argument(0)),
            "fdt" => Ok(self.tree(rest)),
            "exit" => {
                self.state.stopped = true;
                Ok(Truth::Yes)
            }
            "true" | "echo" | "printenv" | "print" => Ok(Truth::Yes),
            "false" | "dhcp" | "tftp" | "tftpboot" | "nfs" | "pxe" => Ok(Truth::No),
            "setexpr" => {
                self.assign_unknown(argument(0));
                Ok(Truth::Yes)
            }
            "part" | "fsuuid" | "uuid" | "size" | "fstype" => {
                if let Some(name) = rest.last() {
                    self.assign_unknown(name);
                }
                Ok(Truth::Maybe)
            }
            "unzip" | "cp.b" | "cp" => {
                let loaded = self.state.loaded.get(argument(0)).cloned();
                if let Some(loaded) = loaded {
                    self.state.loaded.insert(argument(1).to_owned(), loaded);
                }
                Ok(Truth::Yes)
            }
            "itest" | "itest.b" | "itest.w" | "itest.l" | "mmc" | "usb" | "scsi" | "sata"
            | "nvme" | "virtio" | "ls" | "sleep" | "reset" | "version" | "bdinfo" => {
                Ok(Truth::Maybe)
            }
            _ => {
                self.ignore(words);
                Ok(Truth::Maybe)
            }
        }
    }

    fn ignore(&mut self, words: &[String]) {
        let text = readable(&words.join(" "));
        if !self.out.ignored.contains(&text) {
            self.out.ignored.push(text);
        }
    }

    fn assign_unknown(&mut self, name: &str) {
        if !name.is_empty() && !is_unknown(name) {
            self.state.variables.insert(name.to_owned(), unknown(name));
        }
    }

    fn set(&mut self, words: &[String]) -> Truth {
        let words = words.iter().filter(|word| *word != "-f");
        let words: Vec<&str> = words.map(String::as_str).collect();
        match words.split_first() {
            Some((name, [])) => drop(self.state.variables.remove(*name)),
            Some((name, values)) => {
                let value = values.join(" ");
                self.state.variables.insert((*name).to_owned(), value);
            }
            None => {}
        }
        Truth::Yes
    }

    /// `env import -t ADDRESS SIZE [NAME...]`.
    fn import(&mut self, words: &[String]) -> Truth {
        let words = words.iter().skip(1).filter(|word| !word.starts_with('-'));
        let words: Vec<&String> = words.collect();
        let loaded = words
            .first()
            .and_then(|address| self.state.loaded.get(*address));
        let Some(place) = loaded.and_then(|loaded| loaded.place.clone()) else {
            return Truth::Maybe;
        };
        let names: Vec<&String> = words.into_iter().skip(2).collect();
        for (name, value) in variables(&self.sources.text(&place).unwrap_or_default()) {
            if names.is_empty() || names.contains(&&name) {
                self.state.variables.insert(name, value);
            }
        }
        if !self.out.imported.contains(&place) {
            self.out.imported.push(place);
        }
        Truth::Yes
    }

    /// `load INTERFACE DEVICE ADDRESS PATH`.
    fn load(&mut self, words: &[String]) -> Truth {
        let [_, partition, address, path, ..] = words else {
            return Truth::Maybe;
        };
        let path = if path.starts_with('/') {
            path.clone()
        } else {
            format!("/{path}")
        };
        let sites = match self.sources.site(partition) {
            Some(site) => vec![site],
            None if self.site == Site::Boot => vec![Site::Boot, Site::Root],
            None => vec![Site::Root, Site::Boot],
        };
        let place = sites
            .into_iter()
            .find_map(|site| self.sources.file(site, &path));
        let truth = match (&place, is_unknown(&path)) {
            (Some(_), _) => Truth::Yes,
            (None, true) => Truth::Maybe,
            (None, false) => return Truth::No,
        };
        let loaded = Loaded { path, place };
        self.state.loaded.insert(address.clone(), loaded);
        self.assign_unknown("filesize");
        truth
    }

    /// `booti KERNEL [INITRD[:SIZE]] [TREE]`: comes back only when it fails.
    fn boot(&mut self, words: &[String]) -> Truth {
        let loaded = |at: usize| {
            let address = words.get(at)?.split(':').next()?;
            self.state.loaded.get(address).cloned()
        };
        let boot = Boot {
            kernel: loaded(0),
            initrd: loaded(1),
            tree: loaded(2),
            overlays: self.state.overlays.clone(),
            arguments: self.state.variables.get("bootargs").cloned(),
        };
        self.state.boot.get_or_insert(boot);
        self.state.stopped = true;
        Truth::Yes
    }

    fn run(&mut self, names: &[String]) -> Result<Truth, String> {
        let mut truth = Truth::Yes;
        for name in names {
            let Some(text) = self.state.variables.get(name).cloned() else {
                self.ignore(&["run".to_owned(), name.clone()]);
                truth = Truth::Maybe;
                continue;
            };
            truth = self.nested(&text)?;
        }
        Ok(truth)
    }

    fn nested(&mut self, text: &str) -> Result<Truth, String> {
        self.runs = self.runs.saturating_add(1);
        if self.runs > MAX_RUNS {
            return Err(format!("scripts run each other deeper than {MAX_RUNS}"));
        }
        let truth = self.script(text);
        self.runs = self.runs.saturating_sub(1);
        truth
    }

    fn source(&mut self, address: &str) -> Result<Truth, String> {
        let loaded = self.state.loaded.get(address).cloned();
        let place = loaded.as_ref().and_then(|loaded| loaded.place.clone());
        let text = place.and_then(|place| super::sources::script_text(self.sources, &place).ok());
        let Some(text) = text else {
            let path = loaded.map_or(address.to_owned(), |loaded| loaded.path);
            self.ignore(&["source".to_owned(), path]);
            return Ok(Truth::Maybe);
        };
        self.nested(&text)
    }

    /// `fdt apply ADDRESS`, `fdt get value NAME ...`, or a change of the device tree.
    fn tree(&mut self, words: &[String]) -> Truth {
        let argument = |at: usize| words.get(at).map(String::as_str).unwrap_or_default();
        match argument(0) {
            "apply" => {
                let Some(loaded) = self.state.loaded.get(argument(1)).cloned() else {
                    return Truth::Maybe;
                };
                if !self.state.overlays.contains(&loaded) {
                    self.state.overlays.push(loaded);
                }
                Truth::Yes
            }
            "get" => {
                self.assign_unknown(argument(2));
                Truth::Maybe
            }
            "addr" | "resize" | "move" | "print" | "list" | "header" | "checksign" => Truth::Yes,
            _ => {
                self.ignore(&[&["fdt".to_owned()], words].concat());
                Truth::Yes
            }
        }
    }
}

/// What holds after both branches. One that starts a kernel or ends does not come back.
fn merged(one: State, other: State) -> State {
    let boot = one.boot.clone().or(other.boot.clone());
    let mut state = match (one.stopped, other.stopped) {
        (true, _) => other,
        (false, true) => one,
        (false, false) => {
            let mut state = one.clone();
            for name in one.variables.keys().chain(other.variables.keys()) {
                if one.variables.get(name) != other.variables.get(name) {
                    state.variables.insert(name.clone(), unknown(name));
                }
            }
            for (address, loaded) in other.loaded {
                state.loaded.entry(address).or_insert(loaded);
            }
            for overlay in other.overlays {
                if !state.overlays.contains(&overlay) {
                    state.overlays.push(overlay);
                }
            }
            state
        }
    };
    state.boot = boot;
    state
}

/// The variables of a text file, as `env import -t` takes them: `name=value` lines.
pub(super) fn variables(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().map(str::trim_start);
    let lines = lines.filter(|line| !line.starts_with('#'));
    let variables = lines.filter_map(|line| line.split_once('='));
    variables
        .filter(|(name, _)| !name.is_empty() && !name.contains(char::is_whitespace))
        .map(|(name, value)| (name.to_owned(), value.trim_end().to_owned()))
        .collect()
}
