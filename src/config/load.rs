//! Opens the files of a configuration and follows `extends`.

use super::{Config, ConfigError, Layer, Location, Origin, OriginKind, board, boards, conflicts};
use crate::input_file;
use crate::nearest::{nearest, nearest_file};
use crate::pattern::component_matches;
use crate::problem::{Problem, Problems};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// The largest configuration file that is read (bytes).
const MAX_FILE: u64 = 1 << 20;

/// The longest chain of files that extend each other.
const MAX_CHAIN: usize = 16;

/// Reads `files` in order, each after the files that it extends, then `sets` (each
/// `key.path=value`); later values override earlier ones.
///
/// A file may also be the name of a built-in board, which takes precedence. Relative paths in a
/// file are resolved against its directory, those in `sets` against the current directory.
///
/// # Errors
/// All problems in any of them.
pub fn load(files: &[PathBuf], sets: &[String]) -> Result<Config, ConfigError> {
    load_over(&[], files, sets)
}

/// As [`load`]; `defaults` (each `key.path=value`) hold where neither files nor `sets` have a key,
/// also when the image selects a board.
///
/// # Errors
/// All problems in any of them.
pub fn load_over(
    defaults: &[&str],
    files: &[PathBuf],
    sets: &[String],
) -> Result<Config, ConfigError> {
    let sets = sets
        .iter()
        .map(|set| match Layer::set(set, PathBuf::new()) {
            Ok(layer) if !layer.extends().is_empty() => {
                let problem = Problem::new("--set extends: only a file can extend others");
                let problem = problem.hint("name the board or file with --config");
                Err(ConfigError(problem.into()))
            }
            read => read,
        });
    let defaults = defaults.iter().map(|set| Layer::set(set, PathBuf::new()));
    merge(defaults.collect::<Result<_, _>>()?, files, sets)
}

/// As [`load`], with settings that are read already.
///
/// # Errors
/// All problems in any of them.
pub(super) fn load_layers(files: &[PathBuf], sets: Vec<Layer>) -> Result<Config, ConfigError> {
    merge(Vec::new(), files, sets.into_iter().map(Ok))
}

/// `lowest`, then `files` and what they extend, then `sets`.
fn merge(
    lowest: Vec<Layer>,
    files: &[PathBuf],
    sets: impl Iterator<Item = Result<Layer, ConfigError>>,
) -> Result<Config, ConfigError> {
    let mut loader = Loader::default();
    for file in files {
        let parent = match file.to_str().and_then(board) {
            Some(_) => Parent::Board(file.to_string_lossy().into_owned()),
            None => Parent::File(file.clone()),
        };
        loader.add(parent, None);
    }
    for set in sets {
        match set {
            Ok(layer) => loader.layers.push(layer),
            Err(ConfigError(problems)) => loader.problems.0.extend(problems.0),
        }
    }
    loader.check_boards();
    let Loader {
        layers,
        mut problems,
        files: read,
        ..
    } = loader;
    let layers = lowest.into_iter().chain(layers).collect();
    match Config::from_layers(layers) {
        Ok(mut config) => {
            if let Some(source) = &mut config.source {
                source.directory = directory(files);
                source.files = read;
            }
            problems.check().map(|()| config).map_err(ConfigError)
        }
        Err(ConfigError(more)) => {
            problems.0.extend(more.0);
            Err(ConfigError(problems))
        }
    }
}

/// The directory of the last of `files` that is not a built-in board.
fn directory(files: &[PathBuf]) -> PathBuf {
    let is_file = |file: &&PathBuf| file.to_str().and_then(board).is_none();
    let last = files.iter().rev().find(is_file);
    last.and_then(|file| file.parent())
        .unwrap_or(Path::new(""))
        .to_owned()
}

/// `config` merged over the built-in board `name`.
///
/// # Errors
/// All problems of the result.
pub fn beneath(name: &str, config: &Config) -> Result<Config, ConfigError> {
    let mut loader = Loader::default();
    loader.add(Parent::Board(name.to_owned()), None);
    loader.problems.check()?;
    config.above(loader.layers)
}

/// All built-in boards, sorted by name, each as the only layer of a configuration.
///
/// # Errors
/// Problems in a built-in board. The tests read every board, so there are none.
pub fn built_in() -> Result<Vec<(&'static str, Config)>, ConfigError> {
    boards()
        .map(|name| Ok((name, load(&[name.into()], &[])?)))
        .collect()
}

/// A parent: something that can be extended.
#[derive(Clone)]
enum Parent {
    Board(String),
    File(PathBuf),
}

impl Parent {
    /// The parent that `name` refers to at `location`.
    fn named(name: &str, location: &Location) -> Self {
        if name.contains('/') || name.ends_with(".toml") {
            Self::File(location.origin.base.join(name))
        } else {
            Self::Board(name.to_owned())
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Board(name) => format!("board {name}"),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// A path that is the same for all spellings of the same parent.
    fn identity(&self) -> PathBuf {
        match self {
            Self::Board(name) => Path::new("board:").join(name),
            Self::File(path) => path.canonicalize().unwrap_or_else(|_| path.clone()),
        }
    }

    fn read(&self) -> Result<(String, Origin), Problem> {
        match self {
            Self::Board(name) => {
                let text = board(name).ok_or_else(|| unknown_board(name))?;
                Ok((
                    text.to_owned(),
                    Origin {
                        kind: OriginKind::Board,
                        name: self.show(),
                        base: PathBuf::new(),
                    },
                ))
            }
            Self::File(path) => {
                let text = read_file(path).map_err(|e| unreadable(path, &e))?;
                let base = path.parent().unwrap_or(Path::new("")).to_owned();
                Ok((
                    text,
                    Origin {
                        kind: OriginKind::File,
                        name: self.show(),
                        base,
                    },
                ))
            }
        }
    }
}

/// A missing file whose name has neither an extension nor a directory was most likely meant to be a
/// board.
fn unreadable(path: &Path, error: &io::Error) -> Problem {
    let problem = Problem::new(format!("reading {}: {error}", path.display()));
    let len = path.metadata().map_or(0, |found| found.len());
    if len > MAX_FILE && path.is_file() {
        return problem.hint("-c names a configuration; the golden image is the last argument");
    }
    let near = nearest_file(path).filter(|_| error.kind() == io::ErrorKind::NotFound);
    if let Some(near) = near.filter(|near| near.extension().is_some_and(|one| one == "toml")) {
        return problem.hint(format!("did you mean {}?", near.display()));
    }
    match path.to_str().filter(|name| {
        error.kind() == io::ErrorKind::NotFound && !name.contains('/') && !name.ends_with(".toml")
    }) {
        Some(name) => Problem {
            hint: unknown_board(name).hint,
            ..problem
        },
        None => problem,
    }
}

fn unknown_board(name: &str) -> Problem {
    let problem = Problem::new(format!("no built-in board is named `{name}`"));
    problem.hint(match nearest(name, boards()) {
        Some(near) => {
            format!(
                "did you mean `{near}`? The path of a file must end in `.toml` or contain a `/`"
            )
        }
        None => format!(
            "the built-in boards are {}; the path of a file must end in `.toml` or contain a `/`",
            boards().collect::<Vec<_>>().join(", ")
        ),
    })
}

fn read_file(path: &Path) -> io::Result<String> {
    input_file::read_text(path, MAX_FILE, "a configuration")
}

/// The state of loading.
#[derive(Default)]
struct Loader {
    layers: Vec<Layer>,
    problems: Problems,
    /// The files that were read.
    files: Vec<PathBuf>,
    /// The file or board of each layer of one.
    identities: Vec<PathBuf>,
    /// What each file or board extends by itself.
    edges: BTreeMap<PathBuf, BTreeSet<PathBuf>>,
    /// The parents that have been added.
    done: BTreeSet<PathBuf>,
    /// The files being read, each of which extends the next.
    chain: Vec<(PathBuf, String)>,
}

impl Loader {
    /// Adds `parent` after everything that it extends. `from` is the location that names it. A
    /// parent that the user named is added even if it has been added before.
    fn add(&mut self, parent: Parent, from: Option<&Location>) {
        let identity = parent.identity();
        let at = from.map_or_else(String::new, |location| format!("{location}: "));
        if let Some(start) = self.chain.iter().position(|(open, _)| *open == identity) {
            let names: Vec<&str> = self.chain[start..]
                .iter()
                .map(|(_, name)| name.as_str())
                .collect();
            let last = parent.show();
            self.problems.push(Problem::new(format!(
                "{at}extends itself: {} -> {last}",
                names.join(" -> ")
            )));
            return;
        }
        if self.chain.len() >= MAX_CHAIN {
            self.problems.push(Problem::new(format!(
                "{at}`extends` is nested more than {MAX_CHAIN} files deep"
            )));
            return;
        }
        if from.is_some() && !self.done.insert(identity.clone()) {
            return;
        }
        let read = parent.read().map_err(|problem| Problem {
            message: format!("{at}{}", problem.message),
            ..problem
        });
        let parsed = read
            .map_err(Problems::from)
            .and_then(|(text, origin)| Layer::parse(&text, origin).map_err(|e| e.0));
        match parsed {
            Ok(layer) => {
                self.chain.push((identity.clone(), parent.show()));
                for (location, name) in layer.extends() {
                    let extended = Parent::named(&name, &location);
                    let edges = self.edges.entry(identity.clone()).or_default();
                    edges.insert(extended.identity());
                    self.add(extended, Some(&location));
                }
                self.chain.pop();
                if let Parent::File(path) = &parent
                    && !self.files.contains(path)
                {
                    self.files.push(path.clone());
                }
                self.done.insert(identity.clone());
                self.identities.push(identity);
                self.layers.push(layer);
            }
            Err(problems) => self.problems.0.extend(problems.0),
        }
    }

    /// Finds boards that contradict each other.
    fn check_boards(&mut self) {
        let extends = |later: usize, earlier: usize| {
            let (Some(from), Some(wanted)) =
                (self.identities.get(later), self.identities.get(earlier))
            else {
                return false;
            };
            let mut known = BTreeSet::from([from]);
            let mut open = vec![from];
            while let Some(next) = open.pop() {
                for parent in self.edges.get(next).into_iter().flatten() {
                    if known.insert(parent) {
                        open.push(parent);
                    }
                }
            }
            known.contains(wanted)
        };
        conflicts::check(&self.layers, &extends, &mut self.problems);
    }
}

/// The files that match `path`, sorted: `*` and `?` in its components match any characters except a
/// leading dot. A path without them matches itself, whether it exists or not.
///
/// # Errors
/// I/O errors of listing a directory. A missing directory is empty.
pub fn expand(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = vec![PathBuf::new()];
    for part in path.components() {
        let text = part.as_os_str().as_bytes();
        if !matches!(part, Component::Normal(_))
            || !text.iter().any(|byte| matches!(byte, b'*' | b'?'))
        {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        let mut next = Vec::new();
        for dir in found {
            next.extend(list(&dir, text)?);
        }
        next.sort();
        found = next;
    }
    Ok(found)
}

/// The entries of the directory `dir` that match `pattern`.
fn list(dir: &Path, pattern: &[u8]) -> io::Result<Vec<PathBuf>> {
    let here = if dir.as_os_str().is_empty() {
        Path::new(".")
    } else {
        dir
    };
    let entries = match std::fs::read_dir(here) {
        Ok(entries) => entries,
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        Err(e) => {
            return Err(io::Error::new(
                e.kind(),
                format!("listing {}: {e}", here.display()),
            ));
        }
    };
    let mut out = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let hidden = name.as_bytes().first() == Some(&b'.') && pattern.first() != Some(&b'.');
        if !hidden && component_matches(pattern, name.as_bytes()) {
            out.push(dir.join(name));
        }
    }
    Ok(out)
}
