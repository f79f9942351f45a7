//! Installs the packages of the plan.

use super::Workspace;
use crate::digest;
use crate::dpkg::{self, InstalledPackage};
use crate::plan::packages::{LockedFile, PackagePlan};
use crate::problem::{Problem, Problems};
use crate::stream::{FileSource, Source};
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::sync::Arc;

/// What decides about the installation of packages, besides the tree.
#[derive(Clone, PartialEq)]
pub(super) struct PackageInputs {
    pub(super) packages: PackagePlan,
    /// Whether the update client is managed by a server.
    pub(super) managed: bool,
    /// The settings of the update client.
    pub(super) settings: Map<String, Value>,
}

/// Installs all packages, or none when one of them cannot be installed.
pub(super) fn install(work: &mut Workspace<'_>, plan: &PackageInputs) -> Vec<InstalledPackage> {
    let accept = plan
        .packages
        .accepted
        .iter()
        .map(|accepted| dpkg::AcceptedScript {
            package: accepted.package.clone(),
            script: accepted.script.to_owned(),
            statement: accepted.statement.clone(),
            reason: accepted.reason.clone(),
        });
    let request = dpkg::InstallRequest {
        debs: open(work, plan),
        managed: plan.managed,
        accept: accept.collect(),
        defaults: client_settings(plan),
        downgrades: plan.packages.may_change.clone(),
    };
    if request.debs.is_empty() {
        let all = 0..request.accept.len();
        work.warnings.extend(unused(&request, all, &[]));
        return Vec::new();
    }
    let result = dpkg::install(&mut work.root, &request);
    let result = result.map_err(|Problems(all)| {
        let all = all.into_iter().map(|one| recommended(one, plan));
        Problems(all.collect())
    });
    let Some(mut installed) = work.keep(result) else {
        return Vec::new();
    };
    work.notes.append(&mut installed.notes);
    work.notes.append(&mut installed.accepted);
    let left = installed.unused.iter().copied();
    work.warnings
        .extend(unused(&request, left, &installed.packages));
    installed.packages
}

/// A problem with a package, and how to do without one that is only recommended.
fn recommended(problem: Problem, plan: &PackageInputs) -> Problem {
    let mut locked = plan.packages.locked.iter();
    let found = locked.find_map(|one| {
        let start = format!("package {} ", one.package);
        let why = one.recommended.as_ref()?;
        problem.message.starts_with(&start).then_some(why)
    });
    let Some(why) = found else {
        return problem;
    };
    let hint = format!("leave it out with client.recommends = false and `goldsmith lock`: {why}");
    let hint = match &problem.hint {
        Some(more) => format!("{hint}; or {more}"),
        None => hint,
    };
    problem.hint(hint)
}

/// Warnings about entries of the request that accept nothing, by their positions.
fn unused(
    request: &dpkg::InstallRequest,
    entries: impl Iterator<Item = usize>,
    installed: &[InstalledPackage],
) -> Vec<String> {
    let entries = entries.filter_map(|at| Some((at, request.accept.get(at)?)));
    let sentence = |(at, entry): (usize, &dpkg::AcceptedScript)| {
        let dpkg::AcceptedScript {
            package, script, ..
        } = entry;
        let why = match &entry.statement {
            _ if !installed.iter().any(|one| one.name == *package) => {
                format!("client.packages installs no package {package}")
            }
            Some(statement) => {
                format!("`{statement}` is not a statement that had to be left out of its {script}")
            }
            None => format!("nothing in its {script} had to be left out"),
        };
        format!(
            "[[client.accept]] number {} (package {package}, script {script}) has no effect: {why}; take the entry out, or correct it",
            at.saturating_add(1)
        )
    };
    entries.map(sentence).collect()
}

/// The settings of the update client, which `mender-setup` would ask for, or fill with those of a
/// server of its own, where there are none when it is configured.
fn client_settings(plan: &PackageInputs) -> Vec<dpkg::DefaultFile> {
    let text = serde_json::to_string_pretty(&plan.settings).unwrap_or_default();
    vec![dpkg::DefaultFile {
        package: "mender-setup".into(),
        path: "/etc/mender/mender.conf".into(),
        bytes: format!("{text}\n").into_bytes(),
        mode: 0o600,
    }]
}

/// The package files that can be opened.
fn open(work: &mut Workspace<'_>, plan: &PackageInputs) -> Vec<(PathBuf, Source)> {
    let mut debs = Vec::new();
    for path in &plan.packages.files {
        if path.is_dir() {
            let shown = path.display();
            let problem = Problem::new(format!("the package {shown} is a directory"));
            let hint = format!("name the files in it: \"{shown}/*.deb\"");
            work.problems.push(problem.hint(hint));
            continue;
        }
        match FileSource::open(path) {
            Ok(source) => debs.push((path.clone(), Arc::new(source) as Source)),
            Err(e) => work.problems.push(Problem::new(format!(
                "opening the package {}: {e}",
                path.display()
            ))),
        }
    }
    for locked in &plan.packages.locked {
        match open_locked(locked) {
            Ok(source) => debs.push((PathBuf::from(&locked.name), source)),
            Err(problem) => work.problems.push(problem),
        }
    }
    debs
}

/// A package of the lock file, if the package cache has it as it was chosen.
fn open_locked(locked: &LockedFile) -> Result<Source, Problem> {
    let LockedFile {
        name, path, sha256, ..
    } = locked;
    let failed = |e: std::io::Error| {
        let path = path.display();
        Problem::new(format!("reading the package {name} in {path}: {e}"))
    };
    let source: Source = Arc::new(FileSource::open(path).map_err(failed)?);
    let found = digest::sha256(&*source).map_err(failed)?;
    if found == *sha256 {
        return Ok(source);
    }
    Err(Problem::new(format!(
        "the package {name}: the lock file has the digest {}, but {} has {}",
        digest::hex(sha256),
        path.display(),
        digest::hex(&found)
    ))
    .hint("delete that file and run `goldsmith fetch`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_that_accept_nothing_are_warnings() {
        let entry = |package: &str, statement: Option<&str>| dpkg::AcceptedScript {
            package: package.into(),
            script: "postinst".into(),
            statement: statement.map(str::to_owned),
            reason: "x".into(),
        };
        let request = dpkg::InstallRequest {
            accept: vec![
                entry("a", None),
                entry("b", None),
                entry("b", Some("tool --all")),
            ],
            ..dpkg::InstallRequest::default()
        };
        let installed = [InstalledPackage {
            name: "b".into(),
            version: "1".into(),
            architecture: "all".into(),
            sha256: String::new(),
            file: String::new(),
            upgraded_from: None,
        }];
        let found = unused(&request, 0..3, &installed);
        let expected = [
            "[[client.accept]] number 1 (package a, script postinst) has no effect: client.packages installs no package a; ",
            "[[client.accept]] number 2 (package b, script postinst) has no effect: nothing in its postinst had to be left out; ",
            "[[client.accept]] number 3 (package b, script postinst) has no effect: `tool --all` is not a statement ",
        ];
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}");
        }
    }
}
