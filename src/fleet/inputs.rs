//! The files that the conversion of a target reads, found by its configuration alone, and where
//! they are in the directory of an action.

use crate::config::{self, Config, Fleet, FleetTarget, HostReference};
use crate::digest::{Digest, sha256};
use crate::lock::LockFile;
use crate::plan::packages::lock_request;
use crate::problem::{Problem, Problems};
use crate::repository::PackageCache;
use crate::stream::FileSource;
use crate::tree::host::normal;
use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The directory in that of an action for files that are not the fleet's own.
pub(super) const OWN: &str = ".goldsmith";

/// What is at a path of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// A file of the host.
    File {
        /// Its path on the host.
        source: PathBuf,
        /// Its digest.
        sha256: Digest,
        /// Its length (bytes).
        size: u64,
        /// Whether it can be executed.
        executable: bool,
    },
    /// A text that is made.
    Text(String),
    /// A symbolic link and its target.
    Link(String),
    /// A directory without files.
    Empty,
}

/// The files of an action by their paths, and the permission bits of its overlays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Inputs {
    pub(super) entries: BTreeMap<String, Entry>,
    pub(super) modes: BTreeMap<String, u16>,
}

/// Finds the files of targets; a file that several have is read once.
pub(super) struct Finder<'f> {
    /// The directory that paths of actions begin in: the one with all files of the fleet.
    pub(super) top: PathBuf,
    /// The directory of the fleet, below `top`.
    pub(super) home: PathBuf,
    /// The package cache.
    package_cache: &'f dyn Fn(&Config) -> anyhow::Result<PathBuf>,
    digests: BTreeMap<PathBuf, (Digest, u64)>,
}

impl<'f> Finder<'f> {
    /// A finder for the files of `fleet`.
    ///
    /// # Errors
    /// I/O errors of the current directory.
    pub(super) fn new(
        fleet: &Fleet,
        configs: &[(&FleetTarget, Config)],
        package_cache: &'f dyn Fn(&Config) -> anyhow::Result<PathBuf>,
    ) -> io::Result<Self> {
        let home = absolute(&fleet.directory)?;
        let mut top = home.clone();
        for (target, config) in configs {
            for path in named(target, config) {
                let path = absolute(&path)?;
                while !path.starts_with(&top) && top.pop() {}
            }
        }
        Ok(Self {
            top,
            home,
            package_cache,
            digests: BTreeMap::new(),
        })
    }

    /// The path of a file of the fleet in an action.
    pub(super) fn inside(&self, path: &Path) -> io::Result<String> {
        let path = absolute(path)?;
        let below = path.strip_prefix(&self.top).unwrap_or(&path);
        match below.to_str() {
            Some("") => Ok(".".to_owned()),
            Some(text) => Ok(text.to_owned()),
            None => Err(io::Error::other(format!(
                "{}: a path that is not UTF-8 cannot be in an action",
                path.display()
            ))),
        }
    }

    /// The files that the conversion of `target` reads, but for the program.
    ///
    /// # Errors
    /// Files that cannot be read, or that an action cannot have.
    pub(super) fn find(
        &mut self,
        target: &FleetTarget,
        config: &Config,
    ) -> Result<Inputs, Problems> {
        let mut problems = Problems::default();
        let mut inputs = Inputs::default();
        for path in plain_files(target, config) {
            self.add(&mut inputs, &path, false, &mut problems);
        }
        if let Some(record) = target.preserve_layout.as_deref().filter(is_json) {
            let layout = record.with_extension("places");
            if layout.exists() {
                self.add(&mut inputs, &layout, false, &mut problems);
            }
        }
        for overlay in &target.overlay {
            self.add(&mut inputs, overlay, true, &mut problems);
        }
        for reference in config.host_references() {
            self.add_reference(&mut inputs, &reference, &mut problems);
        }
        self.add_packages(&mut inputs, config, &mut problems);
        problems.check()?;
        Ok(inputs)
    }

    /// Adds the program that an action runs, and returns its path there.
    ///
    /// # Errors
    /// I/O errors of reading it.
    pub(super) fn add_program(&mut self, inputs: &mut Inputs, tool: &Path) -> io::Result<String> {
        let (sha256, size) = self.digest(tool)?;
        let path = format!("{OWN}/goldsmith");
        let entry = Entry::File {
            source: tool.to_owned(),
            sha256,
            size,
            executable: true,
        };
        inputs.entries.insert(path.clone(), entry);
        Ok(path)
    }

    fn add_reference(
        &mut self,
        inputs: &mut Inputs,
        reference: &HostReference,
        problems: &mut Problems,
    ) {
        let HostReference {
            key,
            location,
            given,
            path,
        } = reference;
        if Path::new(given).is_absolute() {
            let message = format!(
                "{}: `{given}` is an absolute path, which an action does not have",
                location.with_key(key)
            );
            let hint = "write a path from the directory of the file";
            problems.push(Problem::new(message).hint(hint));
            return;
        }
        let is_overlay = matches!(
            key.as_str(),
            "rootfs.overlays" | "data.overlay" | "overlay.dir"
        );
        // The lock file and its packages are added together.
        if key == "client.lock-file" {
            return;
        }
        match config::expand(path) {
            Ok(found) if found.is_empty() => {
                let message = format!("{}: `{given}` matches no file", location.with_key(key));
                problems.push(Problem::new(message));
            }
            Ok(found) => {
                for path in found {
                    self.add(inputs, &path, is_overlay, problems);
                }
            }
            Err(e) => problems.push(Problem::new(e.to_string())),
        }
    }

    /// Adds the lock file and its packages in the package cache, if the configuration has such.
    fn add_packages(&mut self, inputs: &mut Inputs, config: &Config, problems: &mut Problems) {
        match lock_request(config) {
            Ok(None) => return,
            Ok(Some(_)) => {}
            Err(more) => return problems.0.extend(more.0),
        }
        let path = config.lock_file();
        let lock = match LockFile::read(&path) {
            Ok(lock) => lock,
            Err(problem) => return problems.push(problem),
        };
        self.add(inputs, &path, false, problems);
        let cache = match (self.package_cache)(config) {
            Ok(dir) => PackageCache::open(&dir),
            Err(e) => return problems.push(Problem::new(e.to_string())),
        };
        let in_action = PackageCache::open(Path::new(PACKAGES));
        for package in &lock.packages {
            let Some(sha256) = package.digest() else {
                continue;
            };
            let source = cache.path(&sha256);
            if !cache.has(&sha256, package.size) {
                let message = format!("the package cache lacks {}", package.file_name());
                let hint = "download it with `goldsmith fetch` and the same configuration";
                problems.push(Problem::new(message).hint(hint));
                continue;
            }
            let entry = Entry::File {
                source,
                sha256,
                size: package.size,
                executable: false,
            };
            let path = in_action.path(&sha256);
            inputs.entries.insert(path.display().to_string(), entry);
        }
    }

    /// Adds a file, or all files of a directory; of an overlay with their permission bits.
    fn add(&mut self, inputs: &mut Inputs, path: &Path, overlay: bool, problems: &mut Problems) {
        if let Err(e) = self.try_add(inputs, path, overlay) {
            problems.push(Problem::new(format!("reading {}: {e}", path.display())));
        }
    }

    fn try_add(&mut self, inputs: &mut Inputs, path: &Path, overlay: bool) -> io::Result<()> {
        let inside = self.inside(path)?;
        let metadata = fs::metadata(path)?;
        self.add_as(inputs, path, inside, &metadata, overlay)
    }

    fn add_as(
        &mut self,
        inputs: &mut Inputs,
        path: &Path,
        inside: String,
        metadata: &Metadata,
        overlay: bool,
    ) -> io::Result<()> {
        let mode = metadata.permissions().mode() & 0o7777;
        if overlay && !metadata.is_symlink() {
            let mode = u16::try_from(mode).map_err(io::Error::other)?;
            inputs.modes.insert(inside.clone(), mode);
        }
        let entry = if metadata.is_symlink() {
            let target = fs::read_link(path)?;
            let target = target.to_str().ok_or_else(|| {
                io::Error::other("a symbolic link whose target is not UTF-8 cannot be in an action")
            })?;
            Entry::Link(target.to_owned())
        } else if metadata.is_dir() {
            let mut names: Vec<PathBuf> = Vec::new();
            for entry in fs::read_dir(path)? {
                names.push(entry?.path());
            }
            names.sort();
            for child in &names {
                let name = child.file_name().and_then(|name| name.to_str());
                let name = name.ok_or_else(|| {
                    let shown = child.display();
                    io::Error::other(format!(
                        "{shown}: a name that is not UTF-8 cannot be in an action"
                    ))
                })?;
                let metadata = fs::symlink_metadata(child)?;
                let inside = match inside.as_str() {
                    "." => name.to_owned(),
                    _ => format!("{inside}/{name}"),
                };
                self.add_as(inputs, child, inside, &metadata, overlay)?;
            }
            if !names.is_empty() {
                return Ok(());
            }
            Entry::Empty
        } else if metadata.is_file() {
            let (sha256, size) = self.digest(path)?;
            Entry::File {
                source: path.to_owned(),
                sha256,
                size,
                executable: mode & 0o111 != 0,
            }
        } else {
            return Err(io::Error::other(format!(
                "{}: only files, directories and symbolic links can be in an action",
                path.display()
            )));
        };
        inputs.entries.insert(inside, entry);
        Ok(())
    }

    /// The digest and the length of a file.
    fn digest(&mut self, path: &Path) -> io::Result<(Digest, u64)> {
        let path = absolute(path)?;
        if let Some(known) = self.digests.get(&path) {
            return Ok(*known);
        }
        let file = crate::input_file::open(&path)?;
        let len = file.metadata()?.len();
        let digest = sha256(&FileSource::new(file, len))?;
        self.digests.insert(path, (digest, len));
        Ok((digest, len))
    }
}

/// The package cache of an action.
pub(super) const PACKAGES: &str = ".goldsmith/packages";

fn is_json(path: &&Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "json")
}

/// The files that a target and its configuration consist of.
fn plain_files(target: &FleetTarget, config: &Config) -> Vec<PathBuf> {
    let files = config.files().iter().chain([&target.golden_image]);
    let earlier = target.upgrade_from.iter().chain(&target.preserve_layout);
    files.chain(earlier).cloned().collect()
}

/// Every path that a target and its configuration name, for the directory that has them all.
fn named(target: &FleetTarget, config: &Config) -> Vec<PathBuf> {
    let mut all = plain_files(target, config);
    all.extend(target.overlay.iter().cloned());
    let references = config.host_references();
    let relative = references
        .iter()
        .filter(|reference| !Path::new(&reference.given).is_absolute());
    all.extend(relative.map(|reference| reference.path.clone()));
    all
}

/// The absolute path, without `.` and `..`.
fn absolute(path: &Path) -> io::Result<PathBuf> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    Ok(normal(&std::path::absolute(path)?))
}
