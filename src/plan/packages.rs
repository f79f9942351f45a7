//! The Debian packages to install.

use super::host::HostFiles;
use crate::config::{self, Config, RepositoryPreset};
use crate::digest::Digest;
use crate::golden::Golden;
use crate::lock::{KeyLocation, LockFile, LockRequest, RepositoryByUrl, RepositoryRequest, system};
use crate::problem::{Problem, Problems};
use crate::repository::{Fingerprint, PackageCache};
use crate::resolve::Want;
use std::path::PathBuf;

/// The packages of `[client]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackagePlan {
    /// The package files on the host, in the order of the configuration.
    pub files: Vec<PathBuf>,
    /// The package files of the lock file, by name and architecture.
    pub locked: Vec<LockedFile>,
    /// Maintainer scripts that are left out.
    pub accepted: Vec<AcceptedScript>,
    /// The names of packages of the golden image that earlier versions may replace.
    pub may_change: Vec<String>,
}

/// A package of the lock file, in the package cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockedFile {
    /// The usual name of the file.
    pub name: String,
    /// Where the cache has it.
    pub path: PathBuf,
    /// The digest that it must have.
    pub sha256: Digest,
    /// Its package.
    pub package: String,
    /// Why it was chosen, if another package only recommends it.
    pub recommended: Option<String>,
}

/// A maintainer script that the user accepts to leave out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedScript {
    /// The name of its package.
    pub package: String,
    /// `preinst`, `postinst`, `prerm` or `postrm`.
    pub script: &'static str,
    /// The one statement that is left out; otherwise all whose effect is unknown.
    pub statement: Option<String>,
    /// Why it is not needed, for the record.
    pub reason: String,
}

impl PackagePlan {
    /// # Errors
    /// Patterns that match no file; directories that cannot be listed; a lock file that is missing
    /// or does not fit; packages of it that the package cache lacks.
    pub(super) fn new(
        config: &Config,
        golden: &Golden,
        host: &HostFiles,
    ) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let mut files = Vec::new();
        for pattern in &config.client.packages {
            match config::expand(pattern) {
                Ok(found) if found.is_empty() => {
                    let shown = pattern.display();
                    problems.push(
                        Problem::new(format!("client.packages: {shown} matches no file")).hint(
                            "relative paths are resolved against the config file's directory",
                        ),
                    );
                }
                Ok(found) => files.extend(found),
                Err(e) => problems.push(Problem::new(format!(
                    "looking for packages {}: {e}",
                    pattern.display()
                ))),
            }
        }
        let locked = locked(config, golden, host).unwrap_or_else(|more| {
            problems.0.extend(more.0);
            Vec::new()
        });
        problems.check()?;
        let accepted = config.client.accept.iter().map(|accept| AcceptedScript {
            package: accept.package.clone(),
            script: accept.script.word(),
            statement: accept.statement.clone(),
            reason: accept.reason.clone(),
        });
        Ok(Self {
            files,
            locked,
            accepted: accepted.collect(),
            may_change: config.client.may_change.clone(),
        })
    }
}

/// What the configuration asks `goldsmith lock` for; `None` if it wants nothing of repositories.
///
/// # Errors
/// A bundle that does not exist; packages and repositories that are not written as they should be.
pub fn lock_request(config: &Config) -> Result<Option<LockRequest>, Problems> {
    let client = &config.client;
    if client.bundle.is_none() && client.install.is_empty() {
        return Ok(None);
    }
    let mut problems = Problems::default();
    let mut keep = |problem| problems.push(problem);
    let bundle = client.bundle.as_deref().map(LockRequest::bundle);
    let bundle = bundle.transpose().unwrap_or_else(|problem| {
        keep(problem);
        None
    });
    let mut install = Vec::new();
    for text in &client.install {
        match Want::parse(text) {
            Ok(want) => install.push(want),
            Err(e) => keep(Problem::new(format!("client.install: {e}"))),
        }
    }
    let mut repositories = Vec::new();
    for one in &config.repository {
        match repository(one) {
            Ok(one) => repositories.push(one),
            Err(problem) => keep(problem),
        }
    }
    if config.repository.is_empty() {
        repositories.push(RepositoryRequest::Image);
        if bundle.is_some_and(|bundle| bundle.repository.is_some()) {
            repositories.push(RepositoryRequest::mender());
        }
    }
    problems.check()?;
    Ok(Some(LockRequest {
        bundle,
        install,
        recommends: client.recommends,
        may_change: client.may_change.clone(),
        repositories,
    }))
}

/// A `[[repository]]`.
fn repository(one: &config::Repository) -> Result<RepositoryRequest, Problem> {
    let own = one.suite.is_some() || one.key.is_some() || !one.fingerprint.is_empty();
    let url = match (one.preset, &one.url) {
        (Some(RepositoryPreset::Image), None) if !own => return Ok(RepositoryRequest::Image),
        (Some(RepositoryPreset::Mender), None) if !own => return Ok(RepositoryRequest::mender()),
        (Some(_), _) => {
            return Err(
                Problem::new("repository: both a preset and keys of its own")
                    .hint("write either `preset`, or `url`, `suite` and `fingerprint`"),
            );
        }
        (None, None) => {
            return Err(Problem::new("repository: neither `preset` nor `url`")
                .hint("write preset = \"image\", preset = \"mender\" or a url"));
        }
        (None, Some(url)) => url.trim_end_matches('/').to_owned(),
    };
    let Some(suite) = one.suite.clone() else {
        return Err(Problem::new(format!("repository {url}: no suite"))
            .hint("write suite = \"{codename}\", or what follows `dists/` in its URLs"));
    };
    if one.fingerprint.is_empty() {
        return Err(Problem::new(format!("repository {url}: no fingerprint of its key")).hint(
            "write fingerprint = \"...\", as `gpg --show-keys FILE` prints it and the maker of the \
             repository publishes it",
        ));
    }
    let mut fingerprints = Vec::new();
    for text in &one.fingerprint {
        let fingerprint: Fingerprint = text
            .parse()
            .map_err(|e| Problem::new(format!("repository {url}: fingerprint `{text}`: {e}")))?;
        fingerprints.push(fingerprint.to_string());
    }
    let key = one.key.as_ref().map(|key| match key.given.contains("://") {
        true => KeyLocation::Url(key.given.clone()),
        false => KeyLocation::File(key.host.clone()),
    });
    Ok(RepositoryRequest::Url(RepositoryByUrl {
        preset: None,
        url,
        suite,
        components: one.components.clone(),
        key,
        fingerprints,
    }))
}

/// The packages of the lock file, each in the package cache.
fn locked(config: &Config, golden: &Golden, host: &HostFiles) -> Result<Vec<LockedFile>, Problems> {
    let Some(request) = lock_request(config)? else {
        return Ok(Vec::new());
    };
    let path = config.lock_file();
    let lock = LockFile::read(&path)?;
    let architecture = golden.facts.architecture.map_or("", |one| one.name());
    let system = system(&golden.facts.os);
    lock.check(&path, &request, architecture, &system)?;
    let cache = PackageCache::open(host.package_cache);
    let mut missing = Vec::new();
    let mut out = Vec::new();
    for package in &lock.packages {
        let name = package.file_name();
        let Some(sha256) = package.digest() else {
            continue;
        };
        if !cache.has(&sha256, package.size) {
            missing.push(name.clone());
        }
        out.push(LockedFile {
            name,
            path: cache.path(&sha256),
            sha256,
            package: package.name.clone(),
            recommended: package.recommended.then(|| package.why.clone()),
        });
    }
    match missing.as_slice() {
        [] => Ok(out),
        [first, rest @ ..] => {
            let more = match rest.len() {
                0 => String::new(),
                1 => " and another package".to_owned(),
                more => format!(" and {more} other packages"),
            };
            let cache = host.package_cache.display();
            Err(Problem::new(format!(
                "the package cache {cache} lacks {first}{more} of {}",
                path.display()
            ))
            .hint("download them with `goldsmith fetch` and the same --config")
            .into())
        }
    }
}
