//! The user's additions and the order of the edits, on a small golden image.

use super::shared::{FirstEdits, SharedEdits};
use super::user::{self, Guarded};
use super::{Edited, StagedDir, Trees, Workspace, apply, golden_trees};
use crate::config::Config;
use crate::golden::example_tests::{Example, TIME};
use crate::golden::{Golden, facts};
use crate::plan::Plan;
use crate::plan::host::HostFiles;
use crate::tree::Tree;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

pub(super) fn plan(golden: &Golden, text: &str, overlays: &[PathBuf]) -> Plan {
    let config = Config::parse(&format!("{text}\n[artifact]\nname = \"r1\"\n")).unwrap();
    let host = HostFiles {
        disk: Path::new("golden.img"),
        overlays,
        preserve_layout: None,
        modes: Default::default(),
        package_cache: Path::new(""),
        epoch: None,
    };
    Plan::new(&config, golden, &host).unwrap()
}

/// A directory with these files, each with its path as content.
fn directory(files: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in files {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
    dir
}

pub(super) fn content(tree: &Tree, path: &str) -> Option<String> {
    let bytes = tree.read(path, 1 << 20).unwrap()?;
    Some(String::from_utf8(bytes).unwrap())
}

/// The filesystems after all edits of a configuration; its problems otherwise.
pub(super) fn edited(golden: &Golden, text: &str) -> Result<Edited, String> {
    let plan = plan(golden, text, &[]);
    let integrated = apply(&plan, golden, &[], None).map_err(|e| e.to_string())?;
    let edited = integrated.finish(&plan, golden, &[]);
    edited.map_err(|e| e.to_string())
}

/// Whether there is a symbolic link with this target.
pub(super) fn is_link(tree: &Tree, path: &str, target: &str) -> bool {
    facts::symlink(tree, path).as_deref() == Some(target)
}

fn staged(dir: &TempDir) -> [StagedDir; 1] {
    [StagedDir {
        hook: "hook.sh".into(),
        dir: dir.path().to_owned(),
    }]
}

/// The trees after the overlays of a plan, its warnings and its problems.
fn overlaid(golden: &Golden, plan: &Plan) -> (Trees, Vec<String>, String) {
    let mut trees = golden_trees(golden, TIME);
    let mut work = Workspace::new(&mut trees, TIME);
    user::overlays(&mut work, plan);
    let (warnings, problems) = (work.warnings.clone(), work.problems.to_string());
    drop(work);
    (trees, warnings, problems)
}

#[test]
fn overlays_are_copied_in_order_with_their_owners() {
    let golden = Example::new().golden();
    let (first, second) = (directory(&["etc/a", "home/user/x"]), directory(&["etc/a"]));
    fs::write(second.path().join("etc/a"), "second").unwrap();
    let text = format!(
        "[rootfs]\noverlays = [{:?}]\n\
         [[rootfs.owner]]\npath = \"/home/user/**\"\nuid = 1000\ngid = 1001\n\
         [[rootfs.owner]]\npath = \"/nowhere\"\nuid = 1\n",
        first.path()
    );
    let plan = plan(&golden, &text, &[second.path().to_owned()]);
    let (trees, warnings, problems) = overlaid(&golden, &plan);
    assert_eq!(problems, "");
    assert_eq!(content(&trees.root, "/etc/a").as_deref(), Some("second"));
    let mut root = trees.root;
    let stat = root.stat_mut(b"/home/user/x").unwrap();
    assert_eq!((stat.uid, stat.gid), (1000, 1001));
    assert_eq!(root.stat_mut(b"/etc/a").unwrap().uid, 0);
    assert_eq!(
        warnings,
        ["rootfs.owner: no path in an overlay matches /nowhere"]
    );
}

#[test]
fn names_on_the_boot_partition_keep_their_case() {
    let golden = Example::new().golden();
    let dir = directory(&["efi/boot/bootx64.efi", "efi/new/file"]);
    let text = format!("[[overlay]]\ntarget = \"boot\"\ndir = {:?}\n", dir.path());
    let plan = plan(&golden, &text, &[]);
    let (trees, _, problems) = overlaid(&golden, &plan);
    assert_eq!(problems, "");
    let replaced = content(&trees.boot, "/EFI/BOOT/BOOTX64.EFI");
    assert_eq!(replaced.as_deref(), Some("efi/boot/bootx64.efi"));
    assert!(content(&trees.boot, "/EFI/new/file").is_some());
    assert_eq!(trees.boot.root.entries.len(), 1);
}

#[test]
fn overlays_that_cannot_be_read_are_named() {
    let golden = Example::new().golden();
    let plan = plan(&golden, "", &[PathBuf::from("/no/such/directory")]);
    let (_, _, problems) = overlaid(&golden, &plan);
    assert!(problems.starts_with("reading an overlay: "), "{problems}");
    assert!(problems.contains("/no/such/directory"), "{problems}");
}

#[test]
fn first_edits_are_shared_by_plans_that_agree_on_them_alone() {
    let golden = Example::new().golden();
    let shared = SharedEdits::default();
    let board = |name: &str, more: &str| {
        let text = format!("{more}\n[board]\ndevice-type = \"{name}\"\n");
        plan(&golden, &text, &[])
    };
    let first = board("first", "");
    let plans = [
        (&first, 1),
        (&board("second", ""), 1),
        (&board("first", "client.managed = false"), 2),
        (&board("third", ""), 2),
    ];
    for (plan, count) in plans {
        let alone = apply(plan, &golden, &[], None).unwrap();
        let together = apply(plan, &golden, &[], Some(&shared)).unwrap();
        assert_eq!(format!("{together:?}"), format!("{alone:?}"));
        assert_eq!(shared.count(), count);
    }
    // A package that is missing is told of every time.
    let mut plan = first;
    plan.packages.files = vec![PathBuf::from("/no/such.deb")];
    for _ in 0..2 {
        let edits = FirstEdits::new(&plan, &golden, Some(&shared)).unwrap();
        let problems = edits.problems.to_string();
        assert!(
            problems.contains("opening the package /no/such.deb"),
            "{problems}"
        );
    }
    assert_eq!(shared.count(), 3);
}

#[test]
fn hooks_may_not_replace_what_the_integration_wrote() {
    let golden = Example::new().golden();
    let plan = plan(&golden, "", &[]);
    let dir = directory(&["rootfs/etc/fstab", "rootfs/etc/new", "boot/x", "data/y"]);
    let staging = staged(&dir);
    let integrated = apply(&plan, &golden, &[], None).unwrap();
    let paths = integrated.paths();
    assert!(
        paths.contains(&("root", "/etc/fstab".to_owned())),
        "{paths:?}"
    );
    let error = integrated.finish(&plan, &golden, &staging).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("hook hook.sh: /etc/fstab was written by the integration"),
        "{error}"
    );
    // Before the edits it may: the integration works on top of it.
    fs::write(
        dir.path().join("rootfs/etc/fstab"),
        "LABEL=z /mnt ext4 noauto\n",
    )
    .unwrap();
    let integrated = apply(&plan, &golden, &staging, None).unwrap();
    let edited = integrated.finish(&plan, &golden, &[]).unwrap();
    let fstab = content(&edited.trees.root, "/etc/fstab").unwrap();
    assert!(fstab.starts_with("LABEL=z /mnt ext4 noauto\n"), "{fstab}");
    assert!(fstab.contains("/dev/root"), "{fstab}");
    assert_eq!(content(&edited.trees.data, "/y").as_deref(), Some("data/y"));
}

#[test]
fn only_changes_of_the_integration_are_guarded() {
    let golden = Example::new().golden();
    let mut trees = golden_trees(&golden, TIME);
    let mut work = Workspace::new(&mut trees, TIME);
    work.root.file("/user", "", 0o644, "by the user").unwrap();
    let from = work.change_counts();
    work.root.file("/ours", "", 0o644, "by us").unwrap();
    let (changes, ..) = work.finish().unwrap();
    let guarded = Guarded::new(&changes, from);
    let dir = directory(&["rootfs/user", "rootfs/ours", "boot/x", "data/y"]);
    let plan = plan(&golden, "", &[]);
    let mut work = Workspace::new(&mut trees, TIME);
    user::staged(&mut work, &staged(&dir), &plan, &guarded);
    let problems = work.problems.to_string();
    assert!(problems.contains("/ours was written"), "{problems}");
    assert!(!problems.contains("/user"), "{problems}");
}

#[test]
fn every_change_has_a_reason() {
    let golden = Example::new().golden();
    let plan = plan(&golden, "", &[]);
    let integrated = apply(&plan, &golden, &[], None).unwrap();
    let edited = integrated.finish(&plan, &golden, &[]).unwrap();
    assert!(
        edited
            .changes
            .iter()
            .all(|change| !change.reason.is_empty())
    );
    let of = |filesystem: &str, path: &str| {
        let mut changes = edited.changes.iter();
        changes.find(|change| change.filesystem == filesystem && change.path == path)
    };
    assert_eq!(of("root", "/etc/fstab").unwrap().action, "changed");
    assert_eq!(of("data", "/mender/device_type").unwrap().action, "added");
    assert_eq!(of("root", "/bin/sh"), None);
    assert_eq!(edited.boot.loader(), "grub-efi");
}
