//! Edits: everything that makes a system updatable, applied to the trees of the golden image.
//!
//! [`apply`] is the order of the edits, a line each. The user's additions come before the
//! integration, so that it is integrated like the rest of the image and cannot switch A/B updates
//! off. Edits work on trees only: no blocks, no clock; the only files of the host that they read
//! are those that the plan names.

mod accepting;
mod bootloader;
pub mod changes;
mod files;
pub mod fstab;
mod imager_settings;
pub mod mender;
mod mount_options;
pub mod overlay;
mod packages;
mod partitions;
mod private_keys;
pub mod references;
mod replaced;
mod sanitize;
mod settings;
mod shared;
mod startup;
mod swap;
pub mod system;
#[cfg(test)]
mod tests;
mod units;
mod user;
mod visible;
mod volatile;

pub use bootloader::other_boot_partitions;
pub use files::matching;
pub use shared::SharedEdits;
pub use startup::StartupNote;
pub use startup::acting as startup_acting;

use crate::boot;
use crate::dpkg::InstalledPackage;
use crate::golden::{Golden, facts};
use crate::plan::Plan;
use crate::plan::client::WithoutClient;
use crate::plan::overlays::Target;
use crate::plan::raw::Blob;
use crate::plan::trust;
use crate::problem::{Problem, Problems};
use crate::stamp::Time;
use crate::tree::editor::{Change, TreeEditor};
use crate::tree::{Stat, Tree, show};
use accepting::Used;
use anyhow::{Context, Result};
use changes::{NetChange, net_changes};
use references::row::Row;
use replaced::Brought;
use sanitize::HostKey;
use shared::FirstEdits;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// The three filesystems of the result.
#[derive(Clone, Debug)]
pub struct Trees {
    /// The root filesystem, the same in both slots.
    pub root: Tree,
    /// The files of the boot partition.
    pub boot: Tree,
    /// The data partition, without what depends on the checksum of the root filesystem.
    pub data: Tree,
}

/// A directory that a hook filled: what it stages for each filesystem is copied over it.
#[derive(Clone, Debug)]
pub struct StagedDir {
    /// The hook's file name.
    pub hook: String,
    /// The directory; it must exist until the image is written.
    pub dir: PathBuf,
}

/// The filesystems after all edits, and what was done.
#[derive(Debug)]
pub struct Edited {
    /// The files of the three filesystems.
    pub trees: Trees,
    /// The integrated boot loader.
    pub boot: boot::InstalledLoader,
    /// Packages that were installed, in the order in which they were configured.
    pub packages: Vec<InstalledPackage>,
    /// Every path that differs from the golden image.
    pub changes: Vec<NetChange>,
    /// Bytes outside the partitions, by offset.
    pub raw: Vec<Blob>,
    /// Every reference of the golden system to a device or mount point.
    pub references: Vec<Row>,
    /// What is said of that which a start runs, with its places; it is among notes and warnings.
    pub startup: Vec<StartupNote>,
    /// Notes for the user, one sentence each.
    pub notes: Vec<String>,
    /// Warnings for the user, one sentence each.
    pub warnings: Vec<String>,
}

/// The changes of each filesystem, notes and warnings.
type Finished = ([Vec<Change>; 3], Vec<String>, Vec<String>);

/// The edits while they are made: an editor for each filesystem, with problems and notes.
struct Workspace<'t> {
    root: TreeEditor<'t>,
    boot: TreeEditor<'t>,
    data: TreeEditor<'t>,
    problems: Problems,
    startup: Vec<StartupNote>,
    notes: Vec<String>,
    warnings: Vec<String>,
    /// The entries of the configuration that something was accepted by.
    used: Used,
}

impl<'t> Workspace<'t> {
    fn new(trees: &'t mut Trees, time: Time) -> Self {
        Self {
            root: TreeEditor::new(&mut trees.root, time),
            boot: TreeEditor::new(&mut trees.boot, time),
            data: TreeEditor::new(&mut trees.data, time),
            problems: Problems::default(),
            startup: Vec::new(),
            notes: Vec::new(),
            warnings: Vec::new(),
            used: Used::default(),
        }
    }

    /// Goes on where the first edits ended.
    fn after(trees: &'t mut Trees, time: Time, first: Begun) -> Self {
        let [root, boot, data] = first.changes;
        Self {
            root: TreeEditor::resume(&mut trees.root, time, root),
            boot: TreeEditor::resume(&mut trees.boot, time, boot),
            data: TreeEditor::resume(&mut trees.data, time, data),
            problems: first.problems,
            startup: Vec::new(),
            notes: first.notes,
            warnings: first.warnings,
            used: Used::default(),
        }
    }

    fn editor(&mut self, target: Target) -> &mut TreeEditor<'t> {
        match target {
            Target::Root => &mut self.root,
            Target::Boot => &mut self.boot,
            Target::Data => &mut self.data,
        }
    }

    /// The value, or one more problem.
    fn keep<T>(&mut self, result: Result<T, Problems>) -> Option<T> {
        result.map_err(|more| self.problems.0.extend(more.0)).ok()
    }

    /// The number of changes of each filesystem so far, in the order of [`Target::ALL`].
    fn change_counts(&self) -> [usize; 3] {
        [&self.root, &self.boot, &self.data].map(|editor| editor.changes().len())
    }

    /// The changes of each filesystem that were made before the numbers `until`.
    fn changes_until(&self, until: [usize; 3]) -> [Vec<Change>; 3] {
        let [root, boot, data] = until;
        let of = |editor: &TreeEditor<'_>, until: usize| {
            let changes = editor.changes();
            changes.get(..until).unwrap_or(changes).to_vec()
        };
        [
            of(&self.root, root),
            of(&self.boot, boot),
            of(&self.data, data),
        ]
    }

    /// The changes of each filesystem, notes and warnings.
    ///
    /// # Errors
    /// All problems.
    fn finish(self) -> Result<Finished, Problems> {
        let changes = [self.root, self.boot, self.data].map(TreeEditor::finish);
        self.problems.check()?;
        Ok((changes, self.notes, self.warnings))
    }
}

/// What was done by the first edits.
struct Begun {
    changes: [Vec<Change>; 3],
    problems: Problems,
    notes: Vec<String>,
    warnings: Vec<String>,
}

/// Edits that are complete but for what hooks stage after them.
#[derive(Debug)]
pub struct Integrated {
    trees: Trees,
    boot: boot::InstalledLoader,
    packages: Vec<InstalledPackage>,
    /// The changes of each filesystem, in the order of [`Target::ALL`].
    changes: [Vec<Change>; 3],
    /// The data partition with nothing but files of the golden image.
    carried: Tree,
    /// The first changes that the integration made.
    integration: [usize; 3],
    /// The SSH host keys that devices make.
    host_keys: BTreeSet<HostKey>,
    /// The paths of SSH host keys of the golden image that were taken away.
    removed_keys: Vec<String>,
    references: Vec<Row>,
    used: Used,
    startup: Vec<StartupNote>,
    notes: Vec<String>,
    warnings: Vec<String>,
}

/// Applies all edits to copies of the golden trees, in order. `staged` is what hooks of the stage
/// `before-edits` staged; `shared` has edits of other conversions of the same golden image.
///
/// # Errors
/// All problems at once; errors of the golden filesystems.
pub fn apply(
    plan: &Plan,
    golden: &Golden,
    staged: &[StagedDir],
    shared: Option<&SharedEdits>,
) -> Result<Integrated> {
    let FirstEdits {
        mut trees,
        changes,
        carried,
        added_from,
        packages,
        problems,
        notes,
        warnings,
    } = FirstEdits::new(plan, golden, shared)?;
    let begun = Begun {
        changes,
        problems,
        notes,
        warnings,
    };
    let mut work = Workspace::after(&mut trees, plan.stamp.time, begun);
    let removed_keys =
        sanitize::clean(&mut work, plan).context("taking traces of the golden machine away")?;
    user::staged(&mut work, staged, plan, &Default::default());
    user::overlays(&mut work, plan);
    files::edit(&mut work, plan).context("editing files as configured")?;
    units::edit(&mut work, plan).context("enabling and disabling units")?;
    settings::edit(&mut work, plan).context("editing settings of the system")?;
    let integration = work.change_counts();
    let brought = Brought::new(&work, added_from);
    let host_keys = sanitize::host_keys(&mut work, plan, &removed_keys, &Default::default())?;
    remarks(&mut work)?;
    swap::edit(&mut work).context("looking for swap files")?;
    mount_options::edit(&mut work, plan).context("editing mount options")?;
    client(&mut work, plan);
    startup::integrate(&mut work, plan).context("editing what runs by itself")?;
    let references = system(&mut work, plan, golden)?;
    let boot = bootloader::integrate(&mut work, plan, golden);
    imager_settings::arrange(&mut work, &plan.boot.mount)?;
    if let Some(boot) = &boot {
        startup::check_arguments(&mut work, plan, boot.arguments());
        startup::check_kernel(&mut work, plan, boot.kernel());
    }
    let added = work.changes_until(integration);
    visible::place(&mut work, &added, &plan.boot.mount);
    system::move_data(&mut work.root, &mut work.data)?;
    brought.say(&mut work);
    if let Some(boot) = &boot {
        work.used.add(boot.accepted());
    }
    let used = work.used.clone();
    let startup = std::mem::take(&mut work.startup);
    let (changes, notes, warnings) = work.finish()?;
    let boot = boot.ok_or_else(|| Problem::new("the boot loader could not be integrated"))?;
    Ok(Integrated {
        trees,
        boot,
        packages,
        changes,
        carried,
        integration,
        host_keys,
        removed_keys,
        references,
        used,
        startup,
        notes,
        warnings,
    })
}

impl Integrated {
    /// The paths that changed, each with the name of its filesystem, sorted.
    #[must_use]
    pub fn paths(&self) -> Vec<(&'static str, String)> {
        let of = |(target, changes): (Target, &Vec<Change>)| {
            let path = move |change: &Change| (target.name(), show(&change.path));
            changes.iter().map(path).collect::<Vec<_>>()
        };
        let mut paths: Vec<_> = Target::ALL
            .into_iter()
            .zip(&self.changes)
            .flat_map(of)
            .collect();
        paths.sort();
        paths.dedup();
        paths
    }

    /// Adds what hooks of the stage `after-edits` staged, which may not replace what the
    /// integration wrote, and takes stock of all changes.
    ///
    /// # Errors
    /// All problems at once.
    pub fn finish(self, plan: &Plan, golden: &Golden, staged: &[StagedDir]) -> Result<Edited> {
        let Self {
            mut trees,
            boot,
            packages,
            mut changes,
            carried,
            integration,
            host_keys,
            removed_keys,
            references,
            used,
            startup,
            mut notes,
            mut warnings,
        } = self;
        let guarded = user::Guarded::new(&changes, integration);
        let mut work = Workspace::new(&mut trees, plan.stamp.time);
        user::staged(&mut work, staged, plan, &guarded);
        // A hook may bring the server.
        if !staged.is_empty() {
            sanitize::host_keys(&mut work, plan, &removed_keys, &host_keys)?;
        }
        let added = work.changes_until([usize::MAX; 3]);
        visible::place(&mut work, &added, &plan.boot.mount);
        system::move_data(&mut work.root, &mut work.data)?;
        sanitize::accepted(&mut work, plan, &used);
        sanitize::list(&mut work, plan)?;
        let raw = plan.raw.resolve(work.root.tree());
        let raw = work.keep(raw).unwrap_or_default();
        let (more, more_notes, more_warnings) = work.finish()?;
        for (changes, more) in changes.iter_mut().zip(more) {
            changes.extend(more);
        }
        let known = private_keys::Known::new(golden, &carried);
        private_keys::check(plan, &known, &trees, &changes, &used)?;
        let (accepted, unused) = used.sentences(plan, &trees);
        notes.extend(accepted);
        warnings.extend(unused);
        notes.extend(more_notes);
        warnings.extend(more_warnings);
        notes.extend(plan.raw.left_out.iter().cloned());
        notes.extend(boot.notes().iter().cloned());
        warnings.extend(boot.warnings().iter().cloned());
        let changes = all_net_changes(golden, &trees, &changes);
        Ok(Edited {
            trees,
            boot,
            packages,
            changes,
            raw,
            references,
            startup,
            notes,
            warnings,
        })
    }
}

/// Copies of the golden trees, with an empty data partition.
fn golden_trees(golden: &Golden, time: Time) -> Trees {
    let empty = || Tree::new(Stat::root(0o755, time));
    Trees {
        root: golden.root.tree.clone(),
        boot: golden
            .boot
            .as_ref()
            .map_or_else(empty, |boot| boot.tree.clone()),
        data: empty(),
    }
}

/// Notes about the image with everything that was added, which may have a clock and new keys.
fn remarks(work: &mut Workspace<'_>) -> Result<()> {
    let facts = facts::gather(work.root.tree())
        .context("reading the files of the edited root filesystem")?;
    work.notes.extend(facts.remarks);
    Ok(())
}

/// Configures the update client.
fn client(work: &mut Workspace<'_>, plan: &Plan) {
    let installed = mender::client_programs(work.root.tree());
    let client = mender::Client {
        exists: !installed.is_empty() || !plan.packages.files.is_empty(),
        family: &plan.family,
        device_type: &plan.stamp.family,
        artifact_name: &plan.artifact.name,
        artifact_group: plan.artifact.group.as_deref(),
        settings: &plan.client,
    };
    match mender::integrate(&mut work.root, &mut work.data, &client) {
        Ok(notes) if !client.exists && plan.client.without == WithoutClient::Warned => {
            work.warnings.extend(notes);
        }
        Ok(notes) => work.notes.extend(notes),
        Err(problem) => work.problems.push(problem),
    }
    let keys = mender::verify_keys(work.root.tree(), work.data.tree());
    let signer = plan.signer.as_ref();
    work.notes.extend(trust::unsigned_note(signer, &keys));
    work.warnings
        .extend(trust::signature_warning(signer, &keys));
}

/// Mount points, references to devices and the growth of the data partition.
fn system(work: &mut Workspace<'_>, plan: &Plan, golden: &Golden) -> Result<Vec<Row>> {
    let mut system = system::System::new(plan, golden);
    let references = system::integrate(work, &mut system).context("editing the root filesystem")?;
    let facts = &golden.facts;
    if plan.data.grow
        && facts.systemd
        && facts.partition_tools.is_empty()
        && !facts::program(work.root.tree(), "sfdisk")
    {
        let message = "the data partition cannot grow on the device: the image has none of \
                       sfdisk, parted and growpart";
        work.problems.push(
            Problem::new(message)
                .hint("install fdisk or parted in the golden image, or set data.grow = false"),
        );
    }
    Ok(references)
}

/// Every path of the three filesystems that differs from the golden image.
fn all_net_changes(golden: &Golden, trees: &Trees, changes: &[Vec<Change>; 3]) -> Vec<NetChange> {
    let empty = |tree: &Tree| Tree::new(tree.root.stat.clone());
    let golden_boot = golden
        .boot
        .as_ref()
        .map_or_else(|| empty(&trees.boot), |boot| boot.tree.clone());
    let before = [&golden.root.tree, &golden_boot, &empty(&trees.data)];
    let after = [&trees.root, &trees.boot, &trees.data];
    let mut out = Vec::new();
    for (target, ((before, after), changes)) in Target::ALL
        .into_iter()
        .zip(before.into_iter().zip(after).zip(changes))
    {
        out.extend(net_changes(target.name(), before, after, changes));
    }
    out
}
