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
            statement: accepted.statement.clone(),
            reason: accepted.reason.clone(),
        });
    let request = dpkg::InstallRequest {
        debs: open(work, plan),
        managed: plan.client.managed,
        accept: accept.collect(),
        defaults: client_settings(plan),
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

/// The settings of the update client, which `mender-setup` would ask for, or fill with those of a
/// server of its own, where there are none when it is configured.
fn client_settings(plan: &Plan) -> Vec<dpkg::DefaultFile> {
    let text = serde_json::to_string_pretty(&plan.client.settings).unwrap_or_default();
    vec![dpkg::DefaultFile {
        package: "mender-setup".into(),
        path: "/etc/mender/mender.conf".into(),
        bytes: format!("{text}\n").into_bytes(),
        mode: 0o600,
    }]
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
