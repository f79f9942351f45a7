//! Edits of single files: `[[rootfs.remove]]` and `[[rootfs.edit]]`.

use super::conditions::{Conditions, ImageFacts};
use super::host::{self, SecretText};
use crate::config::{self, AssignmentStyle, Config};
use crate::pattern::Pattern;
use crate::problem::Problems;

/// The files that an edit is about, and where the configuration asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// The key, the file of the configuration (without directories) and the line.
    pub from: String,
    /// The paths on the device.
    pub pattern: Pattern,
    /// The number of paths that must match; `None` for at least one.
    pub count: Option<u32>,
    /// Whether it is fine that nothing matches.
    pub optional: bool,
}

/// A text file to edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextEdit {
    /// The files.
    pub paths: Paths,
    /// What changes in each of them.
    pub change: TextChange,
    /// What `{secret}` stands for in the texts of the change.
    pub secret: Option<SecretText>,
    /// Whether the file is made if it is missing.
    pub create: bool,
}

/// A change of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextChange {
    /// One text instead of another.
    Replace {
        /// The text to replace, not empty.
        old: String,
        /// The text instead of it.
        new: String,
        /// The number of places in all files; `None` for at least one in each.
        places: Option<u32>,
    },
    /// A line at the end, unless the file has it.
    Append(String),
    /// The value of a key.
    Set {
        /// How the file assigns values.
        style: Style,
        /// The key.
        key: String,
        /// The value, one line.
        value: String,
    },
}

/// How a file assigns values to keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Style {
    /// `key=value` in the section of this name; `None` for the lines before the first one.
    Ini(Option<String>),
    /// `KEY="value"`.
    Shell,
}

/// All edits of single files whose conditions are met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileEdits {
    /// Files and directories to remove.
    pub remove: Vec<Paths>,
    /// Text files to edit, after that.
    pub edit: Vec<TextEdit>,
    /// A sentence for each entry that is left out, since one of its conditions is not met.
    pub left_out: Vec<String>,
}

impl FileEdits {
    /// # Errors
    /// Secrets that cannot be read.
    pub(super) fn new(config: &Config, image: ImageFacts<'_>) -> Result<Self, Problems> {
        let mut plan = Self::default();
        let mut problems = Problems::default();
        for (at, one) in config.rootfs.remove.iter().flatten().enumerate() {
            let paths = Paths {
                from: origin(config, "rootfs.remove", at),
                pattern: one.path.clone(),
                count: one.count,
                optional: one.optional,
            };
            let conditions = Conditions {
                board: &one.board,
                arch: &one.arch,
                release: &one.release,
            };
            if plan.applies(&conditions, config, image, &paths) {
                plan.remove.push(paths);
            }
        }
        for (at, one) in config.rootfs.edit.iter().flatten().enumerate() {
            let paths = Paths {
                from: origin(config, "rootfs.edit", at),
                pattern: one.path.clone(),
                count: one.count,
                optional: false,
            };
            let conditions = Conditions {
                board: &one.board,
                arch: &one.arch,
                release: &one.release,
            };
            if let Some(change) = change(one)
                && plan.applies(&conditions, config, image, &paths)
            {
                let key = format!("rootfs.edit[{at}].secret");
                let file = one.secret_file.as_deref();
                let secret = host::secret(&key, one.secret.as_ref(), file);
                plan.edit.push(TextEdit {
                    paths,
                    change,
                    secret: secret.unwrap_or_else(|problem| {
                        problems.push(problem);
                        None
                    }),
                    create: one.create,
                });
            }
        }
        problems.check().map(|()| plan)
    }

    /// Whether the conditions of an entry are met; says so otherwise.
    fn applies(
        &mut self,
        conditions: &Conditions<'_>,
        config: &Config,
        image: ImageFacts<'_>,
        paths: &Paths,
    ) -> bool {
        let unmet = conditions.unmet(config, image);
        if let Some(why) = &unmet {
            let Paths { from, pattern, .. } = paths;
            self.left_out
                .push(format!("{from}: {pattern} is left out: {why}"));
        }
        unmet.is_none()
    }
}

/// The key of an entry, and where it is written.
fn origin(config: &Config, key: &str, at: usize) -> String {
    place(config, key, &format!("{key}[{at}].path"))
}

/// `key`, and where the value of `path` is written.
pub(super) fn place(config: &Config, key: &str, path: &str) -> String {
    match config.location(path) {
        Some(location) => format!("{key} ({})", location.short()),
        None => key.to_owned(),
    }
}

/// The change that an entry asks for; one that asks for none is refused before.
fn change(edit: &config::TextEdit) -> Option<TextChange> {
    if let Some(old) = &edit.replace {
        return Some(TextChange::Replace {
            old: old.clone(),
            new: edit.with.clone().unwrap_or_default(),
            places: edit.places,
        });
    }
    if let Some(line) = &edit.append {
        return Some(TextChange::Append(line.clone()));
    }
    let key = edit.set.clone()?;
    let style = match edit.style {
        AssignmentStyle::Ini => Style::Ini(edit.section.clone()),
        AssignmentStyle::Shell => Style::Shell,
    };
    Some(TextChange::Set {
        style,
        key,
        value: edit.value.clone().unwrap_or_default(),
    })
}
