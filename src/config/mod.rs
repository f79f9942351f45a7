//! What the user wants: TOML files, built-in boards and `--set` arguments, laid one on top of the
//! other and read into a [`Config`].
//!
//! Every key has one definition (`schema`), which drives the reader, [`manual`] and [`example`].
//! The text is read without touching the host ([`Layer`], [`Config::from_layers`]); [`load`] is the
//! one function that opens files.

mod boards;
mod check;
mod doc;
mod keys;
mod load;
mod nearest;
mod node;
mod schema;
mod show;
mod text;
mod types;
mod words;

pub use boards::{board, boards};
pub use doc::{example, manual};
pub use load::{beneath, built_in, expand, load};
pub use node::{Location, Origin, OriginKind, quoted};
pub use schema::{
    Accept, Artifact, Board, Boot, Client, Config, Data, Hooks, Ids, Output, Overlay, OwnerRule,
    Raw, Root, Rootfs, Server, Storage,
};
pub use show::Setting;
pub use text::{Device, DiskId, Secret, name};
pub use types::{FilePath, Headroom};
pub use words::{
    BootloaderChoice, Compression, EnvironmentLocation, ImageFormat, MaintainerScript,
    OverlayTarget, Proof, RawSource, SlotB, TableChoice,
};

use crate::problem::{Problem, Problems};
use keys::{DEFAULT, Key, Reader, Section, Shape, join};

use node::{Node, Value};
use std::path::PathBuf;
use std::sync::Arc;

/// Everything that is wrong with a configuration. Whoever reports it exits with status 2.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct ConfigError(pub Problems);

impl From<Problems> for ConfigError {
    fn from(problems: Problems) -> Self {
        Self(problems)
    }
}

/// What a configuration was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Merged {
    /// All values, each with its place.
    node: Node,
    /// The built-in boards that were laid down, in order.
    boards: Vec<String>,
}

/// The largest text that is taken for configuration (bytes), twenty times the example with every
/// key: what it takes to explain a text that is none grows with its square.
const MAX_TEXT: usize = 128 << 10;

/// One file, board or argument, not yet merged with the others.
#[derive(Clone, Debug)]
pub struct Layer(Node);

impl Layer {
    /// Reads TOML text that stands at `origin`. Only its form is checked.
    ///
    /// # Errors
    /// Every place where the text is no TOML.
    pub fn parse(text: &str, origin: Origin) -> Result<Self, ConfigError> {
        if text.len() > MAX_TEXT {
            let message = format!(
                "{}: {} bytes exceeds the limit of {MAX_TEXT} for a configuration",
                origin.name,
                text.len()
            );
            return Err(ConfigError(Problem::new(message).into()));
        }
        Self::new(node::parse(text, &Arc::new(origin))?)
    }

    /// Reads `key.path=value`, as `--set` takes it; the value is TOML, or else a string. Relative
    /// paths stand under `base`.
    ///
    /// # Errors
    /// When it has not that form.
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

    /// What the layer builds upon, each with the place where it says so.
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

impl Config {
    /// Reads one text, with nothing below it.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let origin = Origin {
            kind: OriginKind::File,
            name: "configuration".into(),
            base: PathBuf::new(),
        };
        Self::from_layers(vec![Layer::parse(text, origin)?])
    }

    /// Lays the layers one on top of the other, the last one uppermost, and reads the result.
    /// `extends` was followed before: see [`load`].
    ///
    /// # Errors
    /// Everything that is wrong, in each layer and in the result.
    pub fn from_layers(layers: Vec<Layer>) -> Result<Self, ConfigError> {
        let mut problems = Problems::default();
        let mut merged = Node::empty(&DEFAULT);
        let mut boards = Vec::new();
        for Layer(node) in layers {
            boards.extend(
                node.location
                    .origin
                    .board()
                    .filter(|name| !boards.contains(name)),
            );
            // Each layer alone too: what another one hides would be a surprise on the day that one
            // goes.
            read(&node, &mut problems);
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
        });
        check::check(&config)?;
        Ok(config)
    }

    /// The same with `layers` beneath all of it.
    ///
    /// # Errors
    /// Everything that is wrong in the result.
    fn above(&self, mut layers: Vec<Layer>) -> Result<Self, ConfigError> {
        layers.extend(
            self.source
                .as_ref()
                .map(|source| Layer(source.node.clone())),
        );
        let mut config = Self::from_layers(layers)?;
        if let (Some(merged), Some(source)) = (&mut config.source, &self.source) {
            merged.boards.extend(source.boards.iter().cloned());
        }
        Ok(config)
    }

    /// The built-in boards that it builds upon, the lowest first.
    #[must_use]
    pub fn built_upon(&self) -> &[String] {
        self.source.as_ref().map_or(&[], |source| &source.boards)
    }
}

fn read(node: &Node, problems: &mut Problems) -> Option<Config> {
    match &node.value {
        Value::Table(table) => Config::read(&mut Reader::new(&node.location, table, "", problems)),
        _ => None,
    }
}

/// The full names of all keys, those of tables left out.
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
