//! The configuration: TOML files, built-in boards and `--set` arguments, merged in this order and
//! read into a [`Config`].
//!
//! Every key has one definition (`schema`), which drives the reader, [`manual`] and [`example`].
//! The text is read without touching the host ([`Layer`], [`Config::from_layers`]); [`load`] is the
//! one function that opens files.

mod boards;
mod check;
mod conflicts;
mod doc;
mod edits;
mod fleet;
mod host_files;
mod json_schema;
mod keys;
mod load;
mod node;
mod schema;
mod secrets;
mod show;
mod sizes;
mod text;
mod text_edit;
mod types;
mod units;
mod words;

pub use boards::{board, boards};
pub use doc::{example, help, manual};
pub use edits::{OwnerRule, Removal, Rootfs, System, Systemd, TextEdit, User};
pub use fleet::{Fleet, FleetExclusion, FleetFile, FleetPart, FleetShare, FleetTarget, fleet_keys};
pub use host_files::HostReference;
pub use json_schema::json_schema;
use load::load_layers;
pub use load::{beneath, built_in, expand, load, load_over};
pub use node::{Location, Origin, OriginKind, quoted};
pub use schema::{
    Accept, AcceptFile, Artifact, Board, Boot, Cache, Client, Config, Data, Hooks, Ids, Output,
    Overlay, Partition, Raw, Repository, Root, Server, Storage,
};
pub use secrets::{SecretPlace, SecretReference};
pub use show::{Setting, may_hold_secret};
pub use sizes::{Headroom, RootFilesystemSize};
pub use text::{Device, DiskId, Secret, name};
pub use types::FilePath;
pub use words::{
    AssignmentStyle, BootloaderChoice, Compression, EnvironmentLocation, ImageFormat,
    MaintainerScript, OverlayTarget, PartitionAction, Proof, RawSource, RepositoryPreset,
    SbomFormat, SlotB, TableChoice, TrybootLevel,
};

use crate::mender_convert;
use crate::problem::{Problem, Problems};
use keys::{DEFAULT, Key, Reader, Section, Shape, join};

use node::{Node, Value};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// All problems of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct ConfigError(pub Problems);

impl From<Problems> for ConfigError {
    fn from(problems: Problems) -> Self {
        Self(problems)
    }
}

/// The merged TOML that a configuration was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Merged {
    /// All values, each with its location.
    node: Node,
    /// The built-in boards that were applied, in order.
    boards: Vec<String>,
    /// The directory of the last file that was named; empty for the current directory.
    directory: PathBuf,
    /// The files that were read, in the order in which they apply.
    files: Vec<PathBuf>,
}

/// The largest text that is read as configuration (bytes), twenty times the size of the example
/// with every key. The TOML parser's time to explain an invalid text grows with its square.
pub const MAX_TEXT: usize = 128 << 10;

/// One file, board or argument, not yet merged with the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer(Node);

impl Layer {
    /// Parses TOML text from `origin`. Only syntax and older names of keys are checked.
    ///
    /// # Errors
    /// Every location where the text is not valid TOML, and keys under both of their names.
    pub fn parse(text: &str, origin: Origin) -> Result<Self, ConfigError> {
        if text.len() > MAX_TEXT {
            let message = format!(
                "{}: {} bytes exceeds the limit of {MAX_TEXT} for a configuration",
                origin.name,
                text.len()
            );
            return Err(ConfigError(Problem::new(message).into()));
        }
        let origin = Arc::new(origin);
        let node = node::parse(text, &origin)
            .map_err(|problems| in_another_form(problems, text, &origin))?;
        Self::new(node)
    }

    /// Parses `key.path=value`, the argument of `--set`. A value that is not valid TOML is a
    /// string. Relative paths are resolved against `base`.
    ///
    /// # Errors
    /// If it does not have this form.
    pub fn set(argument: &str, base: PathBuf) -> Result<Self, ConfigError> {
        Self::new(node::parse_set(argument, base)?)
    }

    /// The layer with every key under its present name, so that layers merge whichever name they
    /// use.
    fn new(mut node: Node) -> Result<Self, ConfigError> {
        let mut problems = Problems::default();
        keys::resolve_aliases(&mut node, "", &Config::keys(), &mut problems);
        problems.check()?;
        Ok(Self(node))
    }

    /// What the layer extends, each with the location of the entry.
    fn extends(&self) -> Vec<(Location, String)> {
        let entry = |node: &Node| match &node.value {
            Value::String(name) => Some((node.location.clone(), name.clone())),
            _ => None,
        };
        match self.0.get("extends") {
            Some(Node {
                value: Value::Array(items),
                ..
            }) => items.iter().filter_map(entry).collect(),
            Some(node) => entry(node).into_iter().collect(),
            None => Vec::new(),
        }
    }
}

/// The problems of a text that is not TOML; if it is a configuration of mender-convert, the first
/// one, which says what to do with it.
fn in_another_form(problems: Problems, text: &str, origin: &Origin) -> Problems {
    let hint = if mender_convert::looks_like(text) {
        format!(
            "this is a configuration of mender-convert: convert it with `goldsmith migrate {}`",
            origin.name
        )
    } else if let Some(form) = other_form(text) {
        format!(
            "this looks like {form}; a configuration is TOML: a line `[storage]`, and below it \
             `size = \"8 GiB\"` (docs/configuration.md)"
        )
    } else {
        return problems;
    };
    let first = problems.0.into_iter().next();
    first.map_or_else(Problems::default, |problem| problem.hint(hint).into())
}

/// The form of a text that is not TOML, if its first line tells.
fn other_form(text: &str) -> Option<&'static str> {
    let mut lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    let first = lines
        .find(|line| !line.is_empty() && (!line.starts_with('#') || line.starts_with("#!")))?;
    let key = |sign: char| {
        let (name, rest) = first.split_once(sign)?;
        let word = |c: char| c.is_ascii_alphanumeric() || "-_.\"".contains(c);
        (!name.is_empty() && name.chars().all(word)).then_some(rest)
    };
    if first.starts_with('{') {
        Some("JSON")
    } else if first.starts_with("#!")
        || first.starts_with("source ")
        || first.starts_with("export ")
    {
        Some("a script")
    } else if first.starts_with('<') {
        Some("XML")
    } else if first == "---"
        || key(':').is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    {
        Some("YAML")
    } else {
        None
    }
}

impl Config {
    /// Reads a configuration from one text.
    ///
    /// # Errors
    /// All problems of the text.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let origin = Origin {
            kind: OriginKind::File,
            name: "configuration".into(),
            base: PathBuf::new(),
        };
        Self::from_layers(vec![Layer::parse(text, origin)?])
    }

    /// Merges the layers, later ones over earlier ones, and reads the result. `extends` is not
    /// followed: see [`load`].
    ///
    /// # Errors
    /// All problems of each layer and of the result.
    pub fn from_layers(layers: Vec<Layer>) -> Result<Self, ConfigError> {
        let mut problems = Problems::default();
        let mut merged = Node::empty(&DEFAULT);
        let mut boards = Vec::new();
        for Layer(mut node) in layers {
            boards.extend(
                node.location
                    .origin
                    .board()
                    .filter(|name| !boards.contains(name)),
            );
            // Each layer is checked on its own too: removing a layer must not reveal errors in
            // those below it.
            read(&node, &mut problems);
            units::join(&merged, &mut node);
            merged.merge(node);
        }
        problems.check()?;
        let mut problems = Problems::default();
        let config = read(&merged, &mut problems);
        problems.check()?;
        let Some(mut config) = config else {
            return Err(ConfigError(
                Problem::new("configuration: unreadable").into(),
            ));
        };
        config.source = Some(Merged {
            node: merged,
            boards,
            directory: PathBuf::new(),
            files: Vec::new(),
        });
        check::check(&config)?;
        Ok(config)
    }

    /// The configuration merged over `layers`.
    ///
    /// # Errors
    /// All problems of the result.
    fn above(&self, mut layers: Vec<Layer>) -> Result<Self, ConfigError> {
        layers.extend(
            self.source
                .as_ref()
                .map(|source| Layer(source.node.clone())),
        );
        let mut config = Self::from_layers(layers)?;
        if let (Some(merged), Some(source)) = (&mut config.source, &self.source) {
            merged.boards.extend(source.boards.iter().cloned());
            merged.directory.clone_from(&source.directory);
            merged.files.clone_from(&source.files);
        }
        Ok(config)
    }

    /// The built-in boards that the configuration builds on, in the order in which they apply.
    #[must_use]
    pub fn built_upon(&self) -> &[String] {
        self.source.as_ref().map_or(&[], |source| &source.boards)
    }

    /// The files that the configuration was read from, in the order in which they apply.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        self.source.as_ref().map_or(&[], |source| &source.files)
    }

    /// The lock file: `client.lock-file`, or `goldsmith.lock` next to the last file of the
    /// configuration.
    #[must_use]
    pub fn lock_file(&self) -> PathBuf {
        let directory = self
            .source
            .as_ref()
            .map(|source| source.directory.as_path());
        let default = || directory.unwrap_or(Path::new("")).join("goldsmith.lock");
        self.client.lock_file.clone().unwrap_or_else(default)
    }
}

fn read(node: &Node, problems: &mut Problems) -> Option<Config> {
    match &node.value {
        Value::Table(table) => Config::read(&mut Reader::new(&node.location, table, "", problems)),
        _ => None,
    }
}

/// The full names of all keys except tables, in the order of their definitions.
#[must_use]
pub fn key_names() -> Vec<String> {
    all_keys()
}

/// The full names of all keys except tables.
fn all_keys() -> Vec<String> {
    fn collect(at: &str, keys: Vec<Key>, out: &mut Vec<String>) {
        for key in keys {
            let path = join(at, &key.name);
            match key.shape {
                Shape::Table(_, keys) | Shape::Tables(_, keys) => collect(&path, keys, out),
                Shape::Plain(_) | Shape::Secret => out.push(path),
            }
        }
    }
    let mut out = Vec::new();
    collect("", Config::keys(), &mut out);
    out
}
