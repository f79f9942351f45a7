//! What the user adds to the golden image: packages, overlays, and what the update client is told.

use super::prepare::Plan;
use crate::config::{self, Config, OwnerRule};
use crate::integrate::{mender, overlay, packages};
use crate::problem::{Problem, Problems};
use crate::stream::{FileSource, Source};
use crate::tree::editor::Editor;
use crate::tree::{Tree, host};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Adds to the trees, and gathers what is wrong and what the user should read.
pub(super) struct Additions<'a> {
    /// The merged configuration.
    pub(super) config: &'a Config,
    /// What stands in the way.
    pub(super) problems: &'a mut Problems,
    /// What the user should read.
    pub(super) notes: &'a mut Vec<String>,
}

impl Additions<'_> {
    /// Installs the packages of `client.packages`.
    ///
    /// # Errors
    /// What listing directories said.
    pub(super) fn packages(&mut self, editor: &mut Editor) -> Result<Vec<packages::InstalledPackage>> {
        let client = &self.config.client;
        let mut debs = Vec::new();
        for pattern in &client.packages {
            let found = config::expand(pattern).with_context(|| format!("looking for packages {}", pattern.display()))?;
            if found.is_empty() {
                let problem = Problem::new(format!("client.packages: {} names no file", pattern.display()));
                self.problems.push(problem.hint("relative paths stand under the directory of the file that names them"));
            }
            for path in found {
                match FileSource::open(&path) {
                    Ok(source) => debs.push((path, Arc::new(source) as Source)),
                    Err(e) => self.problems.push(Problem::new(format!("opening the package {}: {e}", path.display()))),
                }
            }
        }
        let accept = client.accept.iter().map(|accept| packages::Accept {
            package: accept.package.clone(),
            script: accept.script.word().to_owned(),
            statement: None,
            reason: accept.reason.clone(),
        });
        let wanted = packages::Request { debs, managed: client.managed, accept: accept.collect() };
        let installed = if wanted.debs.is_empty() { packages::Installed::default() } else { self.install(editor, &wanted) };
        for accept in &client.accept {
            if !installed.packages.iter().any(|package| package.name == accept.package) {
                self.notes.push(format!("client.accept: no package {} is installed", accept.package));
            }
        }
        Ok(installed.packages)
    }

    fn install(&mut self, editor: &mut Editor, wanted: &packages::Request) -> packages::Installed {
        match packages::install(editor, wanted) {
            Ok(installed) => {
                self.notes.extend(installed.notes.iter().cloned());
                self.notes.extend(installed.accepted.iter().cloned());
                installed
            }
            Err(more) => {
                self.problems.0.extend(more.0);
                packages::Installed::default()
            }
        }
    }

    /// Lays the overlays of the configuration, then `more`, over the root filesystem, and those of the data partition over that.
    pub(super) fn overlays(&mut self, more: &[PathBuf], root: &mut Editor, data: &mut Editor) {
        let config = self.config;
        let onto_root: Vec<&Path> = config.rootfs.overlays.iter().chain(more).map(PathBuf::as_path).collect();
        let onto_data: Vec<&Path> = config.data.overlay.iter().map(PathBuf::as_path).collect();
        self.graft(&onto_root, root, &config.rootfs.owner, "rootfs.owner");
        self.graft(&onto_data, data, &config.data.owner, "data.owner");
    }

    fn graft(&mut self, dirs: &[&Path], editor: &mut Editor, owners: &[OwnerRule], key: &str) {
        let mut trees = Vec::new();
        for dir in dirs {
            let tree = match host::read(dir, editor.time()) {
                Ok(tree) => tree,
                Err(e) => {
                    self.problems.push(Problem::new(format!("taking an overlay: {e}")));
                    continue;
                }
            };
            let name = dir.file_name().map_or_else(|| "overlay".to_owned(), |name| name.to_string_lossy().into_owned());
            if let Err(more) = overlay::graft(editor, &tree, owners, &format!("overlay {name}")) {
                self.problems.0.extend(more.0);
            }
            trees.push(tree);
        }
        for rule in overlay::unused(&trees, owners) {
            self.notes.push(format!("{key}: no path in an overlay matches {}", rule.path));
        }
    }

    /// Configures the update client.
    ///
    /// # Errors
    /// What reading the files that `[server]` names said.
    pub(super) fn client(&mut self, plan: &Plan, root: &mut Editor, data: &mut Editor) -> Result<()> {
        let client = client(self.config, plan)?;
        match mender::integrate(root, data, &client) {
            Ok(more) => self.notes.extend(more),
            Err(problem) => self.problems.push(problem),
        }
        self.notes.extend(no_client(self.config, root.tree()));
        Ok(())
    }
}

/// What the client is told, from `[server]`.
fn client<'p>(config: &'p Config, plan: &'p Plan) -> Result<mender::Client<'p>> {
    let server = &config.server;
    let mut settings = serde_json::Map::new();
    let mut files = Vec::new();
    let mut read = |path: &Path, target: String| -> Result<String> {
        let bytes = std::fs::read(path).with_context(|| format!("reading {}, which [server] names", path.display()))?;
        files.push((target.clone(), bytes, 0o644));
        Ok(target)
    };
    let mut set = |key: &str, value: serde_json::Value| settings.insert(key.to_owned(), value);
    if let Some(url) = &server.url {
        set("ServerURL", url.clone().into());
    }
    if let Some(token) = &server.tenant_token {
        set("TenantToken", token.expose().into());
    }
    if let Some(path) = &server.certificate {
        set("ServerCertificate", read(path, "/etc/mender/server.crt".into())?.into());
    }
    match server.verify_key.as_slice() {
        [] => {}
        [one] => drop(set("ArtifactVerifyKey", read(one, "/etc/mender/artifact-verify-key.pem".into())?.into())),
        many => {
            let mut names = Vec::new();
            for (at, path) in many.iter().enumerate() {
                names.push(read(path, format!("/etc/mender/artifact-verify-key-{}.pem", at + 1))?);
            }
            set("ArtifactVerifyKeys", names.into());
        }
    }
    for (key, seconds) in [
        ("UpdatePollIntervalSeconds", server.update_poll_interval),
        ("InventoryPollIntervalSeconds", server.inventory_poll_interval),
        ("RetryPollIntervalSeconds", server.retry_poll_interval),
    ] {
        if let Some(seconds) = seconds {
            set(key, seconds.into());
        }
    }
    Ok(mender::Client {
        family: &plan.family,
        device_type: &plan.device_types[0],
        artifact_name: &plan.artifact_name,
        artifact_group: config.artifact.group.as_deref(),
        settings,
        files,
        managed: config.client.managed,
    })
}

/// A word to those whose image has no client at all.
fn no_client(config: &Config, root: &Tree) -> Option<String> {
    let none = mender::client_programs(root).is_empty() && config.client.packages.is_empty();
    none.then(|| "there is no update client in the image: install one there, or name its packages under client.packages".to_owned())
}
