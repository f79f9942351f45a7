//! From the variables to the keys, one by one.

use super::Migration;
use super::draft::Draft;
use super::read::{Assigned, Place, Reading, defaults};
use super::values;
use crate::config::{self, Config, ConfigError, quoted};
use crate::mender_convert::{HOOKS, Rule, TOPICS, Variable, variable};
use crate::nearest::nearest;
use crate::problem::{Problem, Problems};
use crate::shell::Variables;
use std::path::PathBuf;

/// Settings of board configurations that the built-in boards have too.
const OF_THE_BOARD: [&str; 3] = [
    "MENDER_COPY_BOOT_GAP",
    "MENDER_PARTITION_ALIGNMENT",
    "MENDER_GRUB_EFI_INTEGRATION",
];

/// Files of mender-convert that its users edit.
const EDITED: [&str; 2] = ["mender_convert_config", "mender_grub_config"];

/// A conversion under way.
pub(super) struct Conversion<'r> {
    pub(super) reading: &'r Reading,
    pub(super) draft: Draft,
    pub(super) warnings: Vec<String>,
    problems: Problems,
    /// The values that mender-convert sets itself.
    defaults: Variables,
    /// Lines about variables without a key.
    without_key: Vec<String>,
}

impl<'r> Conversion<'r> {
    pub(super) fn new(reading: &'r Reading, problems: Problems) -> Self {
        Self {
            reading,
            draft: Draft::default(),
            warnings: reading.warnings.clone(),
            problems,
            defaults: defaults(),
            without_key: Vec::new(),
        }
    }

    /// The variable `name`, if a file has set it.
    pub(super) fn assigned(&self, name: &str) -> Option<&'r Assigned> {
        self.reading.assigned.get(name)
    }

    /// The value of `name`, or its default.
    pub(super) fn value(&self, name: &str) -> &'r str {
        let default = || variable(name).and_then(|variable| variable.default);
        match self.assigned(name) {
            Some(assigned) => &assigned.value,
            None => default().unwrap_or_default(),
        }
    }

    /// The comment that says where a key comes from.
    pub(super) fn origin(name: &str, place: &Place) -> String {
        format!("{name} ({place})")
    }

    /// Sets a key, or says in a comment and a warning why goldsmith would refuse the value.
    pub(super) fn set(&mut self, key: &str, value: &str, name: &str, place: &Place, note: &str) {
        let origin = Self::origin(name, place);
        if let Err(reason) = self.draft.set(key, value, &origin, note) {
            let table = key.rsplit_once('.').map_or("", |(table, _)| table);
            self.draft
                .comment(table, format!("not set, from {origin}: {reason}"));
            self.warnings.push(format!(
                "{place}: {name} is left out, since goldsmith would refuse it: {reason}"
            ));
        }
    }

    /// Adds a problem of the value of a variable.
    pub(super) fn refuse(&mut self, name: &str, assigned: &Assigned, reason: &str) {
        let problem = Problem::new(format!("{}: {name}: {reason}", assigned.place));
        let hint =
            "correct the value in a copy of the file, as mender-convert would not take it either";
        self.problems.push(problem.hint(hint));
    }

    /// Says what to do instead of a variable.
    pub(super) fn without_key(&mut self, name: &str, assigned: &Assigned, note: &str) {
        let value = quoted(&assigned.value);
        self.without_key
            .push(format!("{name}={value} ({}): {note}", assigned.place));
    }

    /// The comment at the top.
    pub(super) fn head(&mut self, files: &[PathBuf]) {
        let names: Vec<String> = files
            .iter()
            .map(|file| file.display().to_string())
            .collect();
        self.draft.head(format!(
            "Converted from {} by `goldsmith migrate`. Relative paths begin at the directory of this file.",
            names.join(", ")
        ));
        self.draft.head("Read the comments, then see what a conversion would do: goldsmith plan -c FILE -n RELEASE IMAGE");
    }

    /// `extends`, for the board configurations that were read.
    pub(super) fn boards(&mut self) {
        let reading = self.reading;
        let mut boards: Vec<&str> = Vec::new();
        for file in reading.boards.iter().filter(|file| !file.board.is_empty()) {
            if !boards.contains(&file.board) {
                boards.push(file.board);
            }
        }
        let Some((first, others)) = boards.split_first() else {
            return;
        };
        let file = reading.boards.iter().find(|file| file.board == *first);
        let name = file.map_or("", |file| file.name);
        let place = Place {
            file: "`goldsmith boards` lists them".to_owned(),
            ..Place::default()
        };
        self.set("extends", &format!("[{}]", quoted(first)), name, &place, "");
        let text = config::board(first).unwrap_or_default();
        if text.contains("bootloader = \"rpi-tryboot\"") {
            let note = "devices that mender-convert made start by U-Boot; the board's own default \
                        is for new ones";
            self.set("boot.bootloader", &quoted("u-boot"), name, &place, note);
        }
        for other in others.iter().filter(|other| !text.contains(&quoted(other))) {
            self.warnings.push(format!(
                "the files name the board {other} too, which `extends` does not have"
            ));
        }
        for missing in &reading.missing {
            self.warnings.push(format!(
                "{}: `source {}`: there is no such file; the board is known by its name",
                missing.place, missing.text
            ));
        }
    }

    /// Whether an assignment is one of the files of mender-convert that nobody edits.
    fn of_the_converter(place: &Place) -> bool {
        place.board.is_some_and(|name| !EDITED.contains(&name))
    }

    /// All variables of the tables that are decided alone.
    pub(super) fn variables(&mut self) {
        for variable in TOPICS.iter().flat_map(|topic| topic.variables) {
            if let Some(assigned) = self.assigned(variable.name) {
                self.variable(variable, assigned);
            }
        }
    }

    fn variable(&mut self, variable: &Variable, assigned: &Assigned) {
        let Variable {
            name, rule, note, ..
        } = variable;
        let own = Self::of_the_converter(&assigned.place);
        if let Some(elements) = self.reading.arrays.get(*name).filter(|list| list.len() > 1) {
            self.warnings.push(format!(
                "{}: {name} is an array of {}: mender-convert takes its first element alone",
                assigned.place,
                elements.len()
            ));
        }
        if own && OF_THE_BOARD.contains(name) && self.draft.has("extends") {
            return;
        }
        match rule {
            Rule::Combined(_) => {}
            Rule::Automatic | Rule::Nothing => {
                let same = self.defaults.get(*name) == Some(&assigned.value);
                if !same && !own {
                    self.without_key(name, assigned, note);
                }
            }
            rule => match values::convert(rule, &assigned.value) {
                Ok(Some(_)) if self.is_small_boot(name, assigned) => {
                    self.draft.comment("boot", format!("size: {name} ({}) is at most 40 MiB, which is the least without this key; a larger boot partition of the golden image keeps its size", assigned.place));
                }
                Ok(Some(value)) => {
                    let keys = rule.keys();
                    let key = keys.first().copied().unwrap_or_default();
                    let worth =
                        matches!(*name, "MENDER_GRUB_KERNEL_BOOT_ARGS") || assigned.value == "zip";
                    let note = if worth { note } else { "" };
                    self.set(key, &value, name, &assigned.place, note);
                }
                Ok(None) => {}
                Err(reason) => self.refuse(name, assigned, &reason),
            },
        }
    }

    /// A size of the boot partition that the golden image's may exceed.
    fn is_small_boot(&self, name: &str, assigned: &Assigned) -> bool {
        name == "MENDER_BOOT_PART_SIZE_MB"
            && values::number(&assigned.value).is_ok_and(|size| size <= 40)
    }

    /// `rootfs.overlays`.
    pub(super) fn overlays(&mut self, overlays: &[PathBuf]) {
        let place = Place {
            file: "mender-convert keeps the owners on the host".to_owned(),
            ..Place::default()
        };
        if !overlays.is_empty() {
            let list: Vec<String> = overlays
                .iter()
                .map(|dir| quoted(&dir.display().to_string()))
                .collect();
            let note = "files belong to root, unless [[rootfs.owner]] says otherwise";
            self.set(
                "rootfs.overlays",
                &format!("[{}]", list.join(", ")),
                "--overlay",
                &place,
                note,
            );
        }
        self.draft.comment("server", "url, tenant-token, certificate: the server, unless /etc/mender/mender.conf of the golden image or of an overlay names it");
    }

    /// Variables that mender-convert does not have, and statements that are not assignments.
    pub(super) fn rest(&mut self) {
        let reading = self.reading;
        let lines = std::mem::take(&mut self.without_key);
        if !lines.is_empty() {
            self.draft
                .remark("Variables without a key, and what to do instead:", lines);
        }
        let mut lines: Vec<String> = Vec::new();
        for file in reading.boards.iter().filter(|file| !file.note.is_empty()) {
            let line = format!("{}: {}", file.name, file.note.replace('`', ""));
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        if !lines.is_empty() {
            let title = "Files of mender-convert, and what their functions are now:";
            self.draft.remark(title, lines);
        }
        let known: Vec<&str> = TOPICS
            .iter()
            .flat_map(|topic| topic.variables)
            .map(|variable| variable.name)
            .collect();
        let mut lines = Vec::new();
        for (name, assigned) in &reading.assigned {
            let hook = HOOKS.iter().any(|hook| hook.array == name);
            if known.contains(&name.as_str()) || hook || Self::of_the_converter(&assigned.place) {
                continue;
            }
            let place = &assigned.place;
            let near = nearest(name, known.iter().copied());
            let advice = near
                .map(|near| format!("; did you mean {near}?"))
                .unwrap_or_default();
            self.warnings.push(format!(
                "{place}: mender-convert has no variable {name}{advice}"
            ));
            lines.push(format!(
                "{name}={} ({place}){advice}",
                quoted(&assigned.value)
            ));
        }
        if !lines.is_empty() {
            self.draft.remark("Variables that mender-convert does not have; where others use them, their values were filled in:", lines);
        }
        let ignored: Vec<_> = reading
            .ignored
            .iter()
            .filter(|statement| !Self::of_the_converter(&statement.place))
            .collect();
        if !ignored.is_empty() {
            let mut lines = Vec::new();
            for statement in ignored {
                let first = statement.text.lines().next().unwrap_or_default();
                self.warnings.push(format!(
                    "{}: `{first}` was left out: no command is run",
                    statement.place
                ));
                lines.push(format!("{}:", statement.place));
                lines.extend(statement.text.lines().map(|line| format!("  {line}")));
            }
            self.draft.remark(
                "Commands outside of functions; nothing of them was run:",
                lines,
            );
        }
    }

    /// The result, if there are no problems.
    pub(super) fn finish(self) -> Result<Migration, Problems> {
        let Self {
            mut draft,
            mut warnings,
            problems,
            ..
        } = self;
        problems.check()?;
        for title in draft.shorten(config::MAX_TEXT) {
            let title = title
                .split(['.', ','])
                .next()
                .unwrap_or_default()
                .trim_end_matches(':');
            warnings.push(format!(
                "{title}: its code is left out of the comment, which would be too long"
            ));
        }
        let text = draft.text();
        if text.len() > config::MAX_TEXT {
            let (len, limit) = (text.len(), config::MAX_TEXT);
            let what =
                format!("the configuration would have {len} bytes, and goldsmith reads {limit}");
            let hint = "convert a copy of the files without what no setting needs";
            return Err(Problem::new(what).hint(hint).into());
        }
        if let Err(ConfigError(problems)) = check(&text) {
            for problem in problems.0 {
                warnings.push(format!(
                    "the settings contradict each other: {}",
                    problem.message
                ));
            }
        }
        Ok(Migration { text, warnings })
    }
}

/// Whether goldsmith accepts the text together with the board that it extends.
fn check(text: &str) -> Result<(), ConfigError> {
    let config = Config::parse(text)?;
    match config.extends.first() {
        Some(board) => config::beneath(board, &config).map(|_| ()),
        None => Ok(()),
    }
}
