//! Every edit of the golden trees, in order, and what came of it.

use crate::boot;
use crate::config::Config;
use crate::convert::hooks::{Stage, Staged};
use crate::convert::prepare::{Golden, Plan, Request, Trees};
use crate::dpkg;
use crate::edit::user::{Additions, Filesystems};
use crate::edit::{fstab, system};
use crate::golden::disk::{Boot, Survey};
use crate::golden::facts::{self, Facts};
use crate::plan::bootloader;
use crate::plan::family::Role;
use crate::plan::raw::{self, Blob};
use crate::problem::{Problem, Problems};
use crate::tree::editor::{Change, TreeEditor};
use crate::tree::{Stat, Tree};
use anyhow::{Context, Result};

/// Changes of each filesystem, in order.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) root: Vec<Change>,
    pub(crate) boot: Vec<Change>,
    pub(crate) data: Vec<Change>,
}

/// The outcome of all edits.
pub(crate) struct Edited {
    pub(crate) trees: Trees,
    pub(crate) installed: boot::InstalledLoader,
    pub(crate) packages: Vec<dpkg::InstalledPackage>,
    pub(crate) changes: Changes,
    pub(crate) blobs: Vec<Blob>,
    pub(crate) staged: Vec<Staged>,
    pub(crate) notes: Vec<String>,
}

/// Applies every edit to copies of the golden trees. Overlays come after packages and before the
/// integration, so that what they bring is integrated like the rest of the image and cannot switch
/// A/B off.
pub(crate) fn edit(request: &Request, plan: &Plan, golden: &Golden) -> Result<Edited> {
    let time = plan.stamp.time;
    let (facts, golden_boot) = (&golden.facts, golden.boot.as_ref());
    let mut staged = plan.run_hooks(request, golden, Stage::BeforeEdits, &[])?;
    request.report.step("editing the filesystems", None);
    let mut root = golden.root.tree.clone();
    let mut boot = golden_boot.map_or_else(
        || Tree::new(Stat::root(0o755, time)),
        |boot| boot.tree.clone(),
    );
    let mut data = Tree::new(Stat::root(0o755, time));
    let mut root_editor = TreeEditor::new(&mut root, time);
    let mut boot_editor = TreeEditor::new(&mut boot, time);
    let mut data_editor = TreeEditor::new(&mut data, time);
    let mut problems = Problems::default();
    let mut notes = Vec::new();

    let mut additions = Additions {
        config: request.config,
        image: golden.image(),
        problems: &mut problems,
        notes: &mut notes,
    };
    let packages = additions.packages(&mut root_editor)?;
    let mut editors = Filesystems {
        root: &mut root_editor,
        boot: &mut boot_editor,
        data: &mut data_editor,
    };
    additions.staged(&staged, &mut editors, [0; 3]);
    additions.overlays(request.overlays, &mut editors);
    let free = editors.changed();
    // Of the image with all that was added, which may have a clock and a new owner's keys.
    additions.notes.extend(
        facts::gather(editors.root.tree())
            .context("looking at the edited root filesystem")?
            .remarks,
    );
    additions.client(plan, &mut root_editor, &mut data_editor)?;
    notes.extend(
        system::integrate(
            &mut root_editor,
            &the_system(request.config, plan, &golden.survey, facts, golden_boot),
            &mut problems,
        )
        .context("editing the root filesystem")?,
    );
    if facts.partition_tools.is_empty()
        && request.config.data.grow
        && facts.systemd
        && !facts::program(root_editor.tree(), "sfdisk")
    {
        problems.push(
            Problem::new("the data partition cannot grow on the device: the image has none of sfdisk, parted and growpart")
                .hint("install fdisk or parted in the golden image, or set data.grow = false"),
        );
    }
    let partuuids = [Role::RootA, Role::RootB].map(|role| plan.family.partuuid(role));
    let arguments = request.config.root.kernel_args.join(" ");
    let installed = bootloader::bootloader(
        plan,
        request.config,
        facts,
        [&partuuids[0], &partuuids[1]],
        &arguments,
    )
    .map_err(Problems::from)
    .and_then(|loader| loader.integrate(&mut root_editor, &mut boot_editor));
    system::move_data(&mut root_editor, &mut data_editor)?;
    if problems.0.is_empty() && installed.is_ok() {
        let mut editors = Filesystems {
            root: &mut root_editor,
            boot: &mut boot_editor,
            data: &mut data_editor,
        };
        let last = plan.run_hooks(request, golden, Stage::AfterEdits, &editors.paths())?;
        let mut additions = Additions {
            config: request.config,
            image: golden.image(),
            problems: &mut problems,
            notes: &mut notes,
        };
        additions.staged(&last, &mut editors, free);
        staged.extend(last);
    }
    let blobs = raw::read(
        request.config,
        golden.image(),
        root_editor.tree(),
        &mut notes,
        &mut problems,
    );
    let changes = Changes {
        root: root_editor.finish(),
        boot: boot_editor.finish(),
        data: data_editor.finish(),
    };
    let installed = match installed {
        Ok(installed) => Some(installed),
        Err(more) => {
            problems.0.extend(more.0);
            None
        }
    };
    problems.check()?;
    let installed =
        installed.ok_or_else(|| Problem::new("the boot loader could not be integrated"))?;
    notes.extend(installed.notes().iter().cloned());
    Ok(Edited {
        trees: Trees { root, boot, data },
        installed,
        packages,
        changes,
        blobs,
        staged,
        notes,
    })
}

fn the_system<'p>(
    config: &Config,
    plan: &'p Plan,
    survey: &Survey,
    facts: &Facts,
    boot: Option<&Boot>,
) -> system::System<'p> {
    let mut present = fstab::Present {
        golden: survey.specs(),
        ..fstab::Present::default()
    };
    for role in Role::ALL {
        present
            .tags
            .insert(format!("partuuid={}", plan.family.partuuid(role)));
    }
    present
        .boot
        .insert(plan.family.fstab_spec(Role::Boot).to_lowercase());
    if let Some(boot) = boot {
        let id = boot.info.volume_id;
        present
            .boot
            .insert(format!("uuid={:04x}-{:04x}", id >> 16, id & 0xffff));
    }
    present.tags.extend(present.boot.iter().cloned());
    system::System {
        family: &plan.family,
        boot_mount: &plan.boot_mount,
        options: [
            config.boot.options.clone(),
            config.root.options.clone(),
            config.data.options.clone(),
        ],
        root_pass: config.root.fsck_pass,
        data_pass: config.data.fsck_pass,
        grow_data: config.data.grow,
        systemd: facts.systemd,
        present,
    }
}
