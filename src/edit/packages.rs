//! Installs the packages of the plan.

use super::Workspace;
use crate::dpkg::{self, InstalledPackage};
use crate::plan::Plan;
use crate::problem::Problem;
use crate::stream::{FileSource, Source};
use std::path::PathBuf;
use std::sync::Arc;

/// Installs all packages, or none when one of them cannot be installed.
pub(super) fn install(work: &mut Workspace<'_>, plan: &Plan) -> Vec<InstalledPackage> {
    let accept = plan
        .packages
        .accepted
        .iter()
        .map(|accepted| dpkg::AcceptedScript {
            package: accepted.package.clone(),
            script: accepted.script.to_owned(),
            reason: accepted.reason.clone(),
        });
    let request = dpkg::InstallRequest {
        debs: open(work, plan),
        managed: plan.client.managed,
        accept: accept.collect(),
    };
    let mut installed = dpkg::InstallReport::default();
    if !request.debs.is_empty() {
        let result = dpkg::install(&mut work.root, &request);
        installed = work.keep(result).unwrap_or_default();
        work.notes.append(&mut installed.notes);
        work.notes.append(&mut installed.accepted);
    }
    for accepted in &plan.packages.accepted {
        let package = &accepted.package;
        if !installed.packages.iter().any(|one| one.name == *package) {
            work.notes
                .push(format!("client.accept: no package {package} is installed"));
        }
    }
    installed.packages
}

/// The package files that can be opened.
fn open(work: &mut Workspace<'_>, plan: &Plan) -> Vec<(PathBuf, Source)> {
    let mut debs = Vec::new();
    for path in &plan.packages.files {
        match FileSource::open(path) {
            Ok(source) => debs.push((path.clone(), Arc::new(source) as Source)),
            Err(e) => work.problems.push(Problem::new(format!(
                "opening the package {}: {e}",
                path.display()
            ))),
        }
    }
    debs
}
