//! What a fleet comes to as actions: for each target the program with its arguments, the files that
//! it reads with their digests, and the files that it writes.
//!
//! The list is a function of the files alone: nothing is run, no golden image is opened as one. An
//! action has a directory of its own with its input files and is run in it, so it means the same on
//! any machine. The words are those of the Remote Execution API
//! (`build/bazel/remote/execution/v2/remote_execution.proto`).

use super::inputs::{Entry, Finder, Inputs, OWN, PACKAGES};
use crate::config::{Config, Fleet, FleetTarget, SecretPlace};
use crate::digest::{Digest, hex};
use crate::plan::host::HostFiles;
use crate::plan::output;
use crate::problem::{Problem, Problems};
use crate::tree::host::Modes;
use anyhow::{Context, Result};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The version of the format; it grows when a field changes its meaning.
const FORMAT: u32 = 1;

/// What decides about actions besides the fleet.
pub struct ActionOptions<'a> {
    /// The program that actions run.
    pub program: &'a Path,
    /// The package cache for a configuration.
    pub package_cache: &'a dyn Fn(&Config) -> Result<PathBuf>,
    /// `SOURCE_DATE_EPOCH`.
    pub epoch: Option<i64>,
    /// Properties of the machines that may run actions, by name.
    pub platform: BTreeMap<String, String>,
}

/// The actions of a fleet.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ActionList {
    /// The version of the format.
    pub format: u32,
    /// The actions, in the order of the fleet's targets.
    pub actions: Vec<Action>,
}

/// The conversion of one target.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Action {
    /// The name of the target.
    pub target: String,
    /// The board, the release and the variant.
    pub axes: BTreeMap<&'static str, String>,
    /// The program, by its path from the directory of the action, and its arguments.
    pub arguments: Vec<String>,
    /// Environment variables; no others are needed.
    pub environment: BTreeMap<&'static str, String>,
    /// What must be in the directory of the action, by path.
    pub inputs: Vec<Input>,
    /// The paths of the results.
    pub outputs: Vec<String>,
    /// Properties of the machines that may run it.
    pub platform: BTreeMap<String, String>,
    /// Where the results belong on this machine.
    #[serde(skip)]
    pub(super) directory: PathBuf,
    /// The files, to be brought there.
    #[serde(skip)]
    pub(super) files: BTreeMap<String, Entry>,
    /// Why another machine should not run it, if there is a reason.
    #[serde(skip)]
    pub(super) local: Option<Problem>,
    /// What the other machine would come to know if it ran it: each secret by its key, with its
    /// location.
    #[serde(skip)]
    pub(super) secrets: Vec<String>,
}

impl Action {
    /// Where the results belong on this machine.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

/// What is at a path of the directory of an action.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Input {
    /// A regular file.
    File {
        /// The path.
        path: String,
        /// SHA-256, in hexadecimal.
        sha256: String,
        /// The length (bytes).
        size: u64,
        /// Whether it must be executable.
        executable: bool,
        /// The content, of a file that is made for the action.
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<String>,
    },
    /// A symbolic link.
    Link {
        /// The path.
        path: String,
        /// Where it leads.
        target: String,
    },
    /// A directory without files.
    Directory {
        /// The path.
        path: String,
    },
}

impl Input {
    /// The length of a file (bytes); 0 for anything else.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Self::File { size, .. } => *size,
            Self::Link { .. } | Self::Directory { .. } => 0,
        }
    }
}

/// The actions of all targets of `fleet`.
///
/// # Errors
/// All problems of configurations; files that cannot be read; results whose names are not known.
pub fn actions(fleet: &Fleet, options: &ActionOptions<'_>) -> Result<ActionList> {
    let mut problems = Problems::default();
    let mut configs = Vec::new();
    for target in &fleet.targets {
        match target.load() {
            Ok(config) => configs.push((target, config)),
            Err(error) => problems.0.extend(of_target(target, error.0).0),
        }
    }
    problems.check()?;
    let mut problems = Problems::default();
    let finder = Finder::new(fleet, &configs, options.package_cache);
    let mut finder = finder.context("looking for the files of the fleet")?;
    let mut actions = Vec::new();
    for (target, config) in &configs {
        match action(target, config, &mut finder, options)? {
            Ok(action) => actions.push(action),
            Err(more) => problems.0.extend(of_target(target, more).0),
        }
    }
    problems.check()?;
    Ok(ActionList {
        format: FORMAT,
        actions,
    })
}

/// Problems that begin with the name of the target.
fn of_target(target: &FleetTarget, problems: Problems) -> Problems {
    let named = |problem: Problem| Problem {
        message: format!("target {}: {}", target.name, problem.message),
        ..problem
    };
    Problems(problems.0.into_iter().map(named).collect())
}

fn action(
    target: &FleetTarget,
    config: &Config,
    finder: &mut Finder<'_>,
    options: &ActionOptions<'_>,
) -> Result<Result<Action, Problems>> {
    let mut problems = Problems::default();
    let mut inputs = match finder.find(target, config) {
        Ok(inputs) => inputs,
        Err(more) => {
            problems.0.extend(more.0);
            Inputs::default()
        }
    };
    let names = match output::file_names(config, &host_files(target)) {
        Ok(names) => names,
        Err(problem) => {
            problems.push(problem);
            Vec::new()
        }
    };
    if finder.home != finder.top {
        problems.0.extend(moved_settings(config, finder));
    }
    if !problems.0.is_empty() {
        return Ok(Err(problems));
    }
    let program = options.program;
    let name = finder
        .add_program(&mut inputs, program)
        .with_context(|| format!("reading {}", program.display()))?;
    let output_dir = format!("deploy/{}", target.name);
    // An action has no directory of a user, and its results are cached by who runs it.
    let mut arguments = vec![name, "convert".to_owned(), "--no-cache".to_owned()];
    arguments.extend(arguments_of(target, config, finder, &mut inputs)?);
    arguments.extend(["--output-dir".to_owned(), output_dir.clone()]);
    arguments.push(finder.inside(&target.golden_image)?);
    let epoch = options
        .epoch
        .map(|epoch| ("SOURCE_DATE_EPOCH", epoch.to_string()));
    Ok(Ok(Action {
        target: target.name.clone(),
        axes: target.axes.clone(),
        arguments,
        environment: epoch.into_iter().collect(),
        inputs: inputs
            .entries
            .iter()
            .map(|(path, entry)| input(path, entry))
            .collect(),
        outputs: names
            .iter()
            .map(|name| format!("{output_dir}/{name}"))
            .collect(),
        platform: options.platform.clone(),
        directory: target.output_dir.clone(),
        files: inputs.entries,
        local: local(config),
        secrets: config
            .secrets()
            .iter()
            .map(|one| one.location.with_key(&one.key))
            .collect(),
    }))
}

/// What decides about the names of results.
fn host_files(target: &FleetTarget) -> HostFiles<'_> {
    HostFiles {
        disk: &target.golden_image,
        overlays: &[],
        preserve_layout: None,
        modes: Arc::default(),
        package_cache: Path::new(""),
        epoch: None,
    }
}

/// Problems of paths in `set`: their meaning depends on the directory of the fleet, which is not
/// that of the action.
fn moved_settings(config: &Config, finder: &Finder<'_>) -> Vec<Problem> {
    let files: Vec<String> = config
        .files()
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    let references = config.host_references().into_iter();
    let of_fleet = references.filter(|one| {
        let name = &one.location.origin.name;
        !files.contains(name) && !name.starts_with("board ")
    });
    let top = finder.top.display();
    let problem = |one: crate::config::HostReference| {
        let message = format!(
            "{}: a path in `set`, but the files of the fleet are not all in its directory, so \
             actions begin in {top}",
            one.location.with_key(&one.key)
        );
        Problem::new(message).hint("set it in a file that `config` names")
    };
    of_fleet.map(problem).collect()
}

/// The arguments between the command and the image.
fn arguments_of(
    target: &FleetTarget,
    config: &Config,
    finder: &Finder<'_>,
    inputs: &mut Inputs,
) -> Result<Vec<String>> {
    let mut out = Vec::new();
    let mut add = |option: &str, value: String| out.extend([option.to_owned(), value]);
    for file in &target.config {
        let board = file.to_str().and_then(crate::config::board).is_some();
        match board {
            true => add("--config", file.display().to_string()),
            false => add("--config", finder.inside(file)?),
        }
    }
    for dir in &target.overlay {
        add("--overlay", finder.inside(dir)?);
    }
    for setting in target.arguments() {
        add("--set", setting);
    }
    if let Some(record) = &target.upgrade_from {
        add("--upgrade-from", finder.inside(record)?);
    }
    if let Some(older) = &target.preserve_layout {
        add("--preserve-layout", finder.inside(older)?);
    }
    if inputs.entries.keys().any(|path| path.starts_with(PACKAGES)) {
        add("--package-cache", PACKAGES.to_owned());
    }
    // The lock file of an action is where the configuration says, as here.
    debug_assert!(config.lock_file().file_name().is_some());
    if !inputs.modes.is_empty() {
        let path = format!("{OWN}/modes");
        let lines = inputs
            .modes
            .iter()
            .map(|(path, mode)| Modes::line(*mode, path));
        let text = lines.collect();
        inputs.entries.insert(path.clone(), Entry::Text(text));
        add("--file-modes", path);
    }
    Ok(out)
}

fn input(path: &str, entry: &Entry) -> Input {
    let path = path.to_owned();
    let digest = |sha256: &Digest| hex(sha256);
    match entry {
        Entry::File {
            sha256,
            size,
            executable,
            ..
        } => Input::File {
            path,
            sha256: digest(sha256),
            size: *size,
            executable: *executable,
            text: None,
        },
        Entry::Text(text) => Input::File {
            path,
            sha256: digest(&Sha256::digest(text).into()),
            size: text.len() as u64,
            executable: false,
            text: Some(text.clone()),
        },
        Entry::Link(target) => Input::Link {
            path,
            target: target.clone(),
        },
        Entry::Empty => Input::Directory { path },
    }
}

/// Why another machine should not convert by `config`, if there is a reason.
fn local(config: &Config) -> Option<Problem> {
    let hooks = &config.hooks;
    let all = [&hooks.before_edits, &hooks.after_edits, &hooks.after_image];
    if let Some(hook) = all.into_iter().flatten().next() {
        let message = format!(
            "the hook {} needs programs of this machine, which an action does not have",
            hook.display()
        );
        return Some(Problem::new(message).hint("stage its files in an overlay"));
    }
    if let Some(key) = &config.artifact.key {
        let message = format!(
            "the private key {} would be stored on the remote machine",
            key.display()
        );
        let hint = "leave artifact.key out, and sign the results with `mender-artifact sign`";
        return Some(Problem::new(message).hint(hint));
    }
    for one in config.secrets() {
        if let SecretPlace::Variable(name) = &one.place {
            let key = one.location.with_key(&one.key);
            let message = format!("{key}: an action has no environment variable {name}");
            let hint = format!("write it to a file, and name that: {}-file", one.key);
            return Some(Problem::new(message).hint(hint));
        }
    }
    if matches!(config.output.image, crate::config::ImageFormat::Raw) {
        let size = config.storage.size.map(crate::units::human);
        let size = size.map_or_else(String::new, |size| format!(" of {size}"));
        let message =
            format!("a raw image{size} would be stored with all its holes on the remote machine");
        return Some(Problem::new(message).hint("set output.image to \"zst\" or \"gz\""));
    }
    None
}
