//! What the user adds to the golden image: packages, overlays, and what the update client is told.

use crate::config::{self, Config, OverlayTarget, OwnerRule};
use crate::convert::hooks::Staged;
use crate::convert::prepare::Plan;
use crate::dpkg;
use crate::edit::{mender, overlay};
use crate::plan::board::Image;
use crate::plan::conditions::Conditions;
use crate::problem::{Problem, Problems};
use crate::stream::{FileSource, Source};
use crate::tree::editor::TreeEditor;
use crate::tree::{Dir, DirEntry, Tree, host, show};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The three filesystems being edited.
pub(crate) struct Filesystems<'e, 't> {
    pub(crate) root: &'e mut TreeEditor<'t>,
    pub(crate) boot: &'e mut TreeEditor<'t>,
    pub(crate) data: &'e mut TreeEditor<'t>,
}

impl<'t> Filesystems<'_, 't> {
    /// How many changes were made of each.
    pub(crate) fn changed(&self) -> [usize; 3] {
        [
            self.root.changes().len(),
            self.boot.changes().len(),
            self.data.changes().len(),
        ]
    }

    /// The paths that were changed, each with its filesystem.
    pub(crate) fn paths(&self) -> Vec<(&'static str, String)> {
        let all = [
            ("root", &*self.root),
            ("boot", &*self.boot),
            ("data", &*self.data),
        ];
        let mut paths: Vec<_> = all
            .into_iter()
            .flat_map(|(name, editor)| {
                editor
                    .changes()
                    .iter()
                    .map(move |change| (name, show(&change.path)))
            })
            .collect();
        paths.sort();
        paths.dedup();
        paths
    }

    fn of(&mut self, target: OverlayTarget) -> &mut TreeEditor<'t> {
        match target {
            OverlayTarget::Rootfs => self.root,
            OverlayTarget::Boot => self.boot,
            OverlayTarget::Data => self.data,
        }
    }
}

/// Adds to the trees, and gathers what is wrong and what the user should read.
pub(crate) struct Additions<'a> {
    /// The merged configuration.
    pub(crate) config: &'a Config,
    /// What the golden image is.
    pub(crate) image: Image<'a>,
    /// What stands in the way.
    pub(crate) problems: &'a mut Problems,
    /// What the user should read.
    pub(crate) notes: &'a mut Vec<String>,
}

impl<'a> Additions<'a> {
    /// Installs the packages of `client.packages`.
    ///
    /// # Errors
    /// What listing directories said.
    pub(crate) fn packages(
        &mut self,
        editor: &mut TreeEditor,
    ) -> Result<Vec<dpkg::InstalledPackage>> {
        let client = &self.config.client;
        let mut debs = Vec::new();
        for pattern in &client.packages {
            let found = config::expand(pattern)
                .with_context(|| format!("looking for packages {}", pattern.display()))?;
            if found.is_empty() {
                let problem = Problem::new(format!(
                    "client.packages: {} names no file",
                    pattern.display()
                ));
                self.problems.push(
                    problem.hint(
                        "relative paths stand under the directory of the file that names them",
                    ),
                );
            }
            for path in found {
                match FileSource::open(&path) {
                    Ok(source) => debs.push((path, Arc::new(source) as Source)),
                    Err(e) => self.problems.push(Problem::new(format!(
                        "opening the package {}: {e}",
                        path.display()
                    ))),
                }
            }
        }
        let accept = client.accept.iter().map(|accept| dpkg::AcceptedScript {
            package: accept.package.clone(),
            script: accept.script.word().to_owned(),
            reason: accept.reason.clone(),
        });
        let wanted = dpkg::InstallRequest {
            debs,
            managed: client.managed,
            accept: accept.collect(),
        };
        let installed = if wanted.debs.is_empty() {
            dpkg::InstallReport::default()
        } else {
            self.install(editor, &wanted)
        };
        for accept in &client.accept {
            if !installed
                .packages
                .iter()
                .any(|package| package.name == accept.package)
            {
                self.notes.push(format!(
                    "client.accept: no package {} is installed",
                    accept.package
                ));
            }
        }
        Ok(installed.packages)
    }

    fn install(
        &mut self,
        editor: &mut TreeEditor,
        wanted: &dpkg::InstallRequest,
    ) -> dpkg::InstallReport {
        match dpkg::install(editor, wanted) {
            Ok(installed) => {
                self.notes.extend(installed.notes.iter().cloned());
                self.notes.extend(installed.accepted.iter().cloned());
                installed
            }
            Err(more) => {
                self.problems.0.extend(more.0);
                dpkg::InstallReport::default()
            }
        }
    }

    /// Lays the overlays of the configuration, then `more`, over the root filesystem, and those of
    /// the other filesystems over these.
    pub(crate) fn overlays(&mut self, more: &[PathBuf], editors: &mut Filesystems) {
        let config = self.config;
        let mut dirs: [Vec<&Path>; 3] = Default::default();
        dirs[0].extend(config.rootfs.overlays.iter().map(PathBuf::as_path));
        dirs[2].extend(config.data.overlay.iter().map(PathBuf::as_path));
        for overlay in &config.overlay {
            let conditions = Conditions {
                board: &overlay.board,
                arch: &overlay.arch,
                release: &overlay.release,
            };
            match conditions.unmet(config, self.image) {
                None => dirs[overlay.target as usize].push(&overlay.dir),
                Some(why) => self.notes.push(format!(
                    "overlay {} is left out: {why}",
                    overlay.dir.display()
                )),
            }
        }
        dirs[0].extend(more.iter().map(PathBuf::as_path));
        for (target, dirs) in [
            OverlayTarget::Rootfs,
            OverlayTarget::Boot,
            OverlayTarget::Data,
        ]
        .into_iter()
        .zip(dirs)
        {
            self.graft(target, &dirs, editors);
        }
    }

    fn graft(&mut self, target: OverlayTarget, dirs: &[&Path], editors: &mut Filesystems) {
        let (key, owners) = self.owners(target);
        let editor = editors.of(target);
        let mut trees = Vec::new();
        for dir in dirs {
            let name = dir.file_name().map_or_else(
                || "overlay".to_owned(),
                |name| name.to_string_lossy().into_owned(),
            );
            trees.extend(self.lay(target, dir, editor, &format!("overlay {name}"), None));
        }
        for rule in overlay::unused(&trees, owners) {
            self.notes.push(format!(
                "{key}: no path in an overlay matches {}",
                rule.path
            ));
        }
    }

    /// Who owns what overlays bring, and the key that says so. A boot partition has no owners.
    fn owners(&self, target: OverlayTarget) -> (&'static str, &'a [OwnerRule]) {
        match target {
            OverlayTarget::Rootfs => ("rootfs.owner", &self.config.rootfs.owner),
            OverlayTarget::Boot => ("boot", &[]),
            OverlayTarget::Data => ("data.owner", &self.config.data.owner),
        }
    }

    /// Lays what hooks staged over the filesystems. Of the changes that were made of each, those
    /// from `free` on are the integration's: what they wrote stays.
    pub(crate) fn staged(
        &mut self,
        staged: &[Staged],
        editors: &mut Filesystems,
        free: [usize; 3],
    ) {
        for staged in staged {
            let reason = format!("hook {}", staged.hook.program);
            for (target, name) in [
                (OverlayTarget::Rootfs, "rootfs"),
                (OverlayTarget::Boot, "boot"),
                (OverlayTarget::Data, "data"),
            ] {
                let guarded = (staged.hook.stage == crate::convert::hooks::Stage::AfterEdits)
                    .then_some(free[target as usize]);
                self.lay(
                    target,
                    &staged.dir(name),
                    editors.of(target),
                    &reason,
                    guarded,
                );
            }
        }
    }

    /// Lays the directory `dir` over one filesystem, and returns it as a tree. With `guarded`, what
    /// the changes from that number on wrote is not replaced.
    fn lay(
        &mut self,
        target: OverlayTarget,
        dir: &Path,
        editor: &mut TreeEditor,
        reason: &str,
        guarded: Option<usize>,
    ) -> Option<Tree> {
        let mut tree = match host::read(dir, editor.time()) {
            Ok(tree) => tree,
            Err(e) => {
                self.problems
                    .push(Problem::new(format!("taking an overlay: {e}")));
                return None;
            }
        };
        if target == OverlayTarget::Boot {
            tree.root.entries =
                as_named(std::mem::take(&mut tree.root.entries), &editor.tree().root);
        }
        let held = guarded.map_or_else(Vec::new, |from| replaced(&tree, editor, from));
        for path in &held {
            let problem = Problem::new(format!(
                "{reason}: {} was written by the integration and cannot be replaced",
                show(path)
            ));
            self.problems.push(
                problem.hint("stage it before the edits, or set what it says by the configuration"),
            );
        }
        if held.is_empty()
            && let Err(more) = overlay::graft(editor, &tree, self.owners(target).1, reason)
        {
            self.problems.0.extend(more.0);
        }
        Some(tree)
    }

    /// Configures the update client.
    ///
    /// # Errors
    /// What reading the files that `[server]` names said.
    pub(crate) fn client(
        &mut self,
        plan: &Plan,
        root: &mut TreeEditor,
        data: &mut TreeEditor,
    ) -> Result<()> {
        let client = client(self.config, plan)?;
        match mender::integrate(root, data, &client) {
            Ok(more) => self.notes.extend(more),
            Err(problem) => self.problems.push(problem),
        }
        self.notes.extend(no_client(self.config, root.tree()));
        Ok(())
    }
}

/// The paths of the overlay `tree` that one of the editor's changes from number `from` on wrote.
fn replaced(tree: &Tree, editor: &TreeEditor, from: usize) -> Vec<Vec<u8>> {
    let written = editor.changes().get(from..).unwrap_or_default();
    let mut out = Vec::new();
    tree.visit(&mut |path, entry| {
        let real = editor
            .tree()
            .walk(path, false)
            .map(|walk| walk.path())
            .unwrap_or_else(|_| path.to_vec());
        if matches!(entry, DirEntry::Leaf(_)) && written.iter().any(|change| change.path == real) {
            out.push(path.to_vec());
        }
    });
    out
}

/// What an overlay has in a directory, under the names that the directory `there` of the boot
/// partition has already: FAT does not tell cases apart.
fn as_named(brought: Entries, there: &Dir) -> Entries {
    let rename = |(name, entry): (crate::tree::Name, DirEntry)| {
        let known = there.get_ignore_case(&name);
        match (entry, known) {
            (DirEntry::Dir(dir), Some((known, DirEntry::Dir(below)))) => {
                let mut dir = Arc::unwrap_or_clone(dir);
                dir.entries = as_named(dir.entries, below);
                (known.clone(), dir.into())
            }
            (entry, Some((known, _))) => (known.clone(), entry),
            (entry, None) => (name, entry),
        }
    };
    brought.into_iter().map(rename).collect()
}

/// The entries of a directory by name.
type Entries = std::collections::BTreeMap<crate::tree::Name, DirEntry>;

/// What the client is told, from `[server]`.
fn client<'p>(config: &'p Config, plan: &'p Plan) -> Result<mender::Client<'p>> {
    let server = &config.server;
    let mut settings = serde_json::Map::new();
    let mut files = Vec::new();
    let mut read = |path: &Path, target: String| -> Result<String> {
        let bytes = std::fs::read(path)
            .with_context(|| format!("reading {}, which [server] names", path.display()))?;
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
        set(
            "ServerCertificate",
            read(path, "/etc/mender/server.crt".into())?.into(),
        );
    }
    match server.verify_key.as_slice() {
        [] => {}
        [one] => drop(set(
            "ArtifactVerifyKey",
            read(one, "/etc/mender/artifact-verify-key.pem".into())?.into(),
        )),
        many => {
            let mut names = Vec::new();
            for (at, path) in many.iter().enumerate() {
                names.push(read(
                    path,
                    format!("/etc/mender/artifact-verify-key-{}.pem", at + 1),
                )?);
            }
            set("ArtifactVerifyKeys", names.into());
        }
    }
    for (key, seconds) in [
        ("UpdatePollIntervalSeconds", server.update_poll_interval),
        (
            "InventoryPollIntervalSeconds",
            server.inventory_poll_interval,
        ),
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
