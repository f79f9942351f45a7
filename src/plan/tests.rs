//! Plans for a small golden image: nothing is edited or written.

use super::host::HostFiles;
use super::overlays::Target;
use super::{Plan, selection};
use crate::config::Config;
use crate::golden::Golden;
use crate::golden::example_tests::{Example, TIME};
use crate::plan::boot::Environment;
use crate::plan::filesystems::{Headroom, RootSize};
use crate::plan::output::ImageForm;
use crate::platform::{Bootloader, TableKind};
use crate::units::{GIB, MIB};
use std::path::{Path, PathBuf};

fn golden() -> Golden {
    Example::new().golden()
}

fn host(overlays: &[PathBuf]) -> HostFiles<'_> {
    HostFiles {
        disk: Path::new("/somewhere/golden.img.xz"),
        overlays,
        preserve_layout: None,
        modes: Default::default(),
        package_cache: Path::new(""),
        epoch: None,
    }
}

fn plan(text: &str) -> anyhow::Result<Plan> {
    let config = Config::parse(text).unwrap();
    Plan::new(&config, &golden(), &host(&[]))
}

#[test]
fn every_default_is_decided() {
    let plan = plan("[artifact]\nname = \"r1\"\n").unwrap();
    assert_eq!(plan.boards, ["generic-x86-64"]);
    assert_eq!(plan.device_types, ["generic-x86-64"]);
    assert_eq!(plan.name, "golden-generic-x86-64-r1");
    assert_eq!(plan.input_name, "golden.img.xz");
    assert_eq!(plan.stamp.time, TIME);
    assert_eq!(plan.family.scheme, TableKind::Gpt);
    assert_eq!(plan.disk.size, Some(8 * GIB));
    assert_eq!(plan.boot.loader, Bootloader::GrubEfi);
    assert_eq!(
        (plan.boot.mount.as_str(), plan.boot.size),
        ("/boot/efi", 40 * MIB)
    );
    assert_eq!(plan.boot.filesystem.label.as_deref(), Some("ESP"));
    assert_eq!(plan.boot.environment, Environment::Files);
    assert_eq!(plan.root.filesystem.label, b"golden");
    let headroom = RootSize::Headroom {
        headroom: Headroom::Percent(50),
        preserved: None,
    };
    assert_eq!(plan.root.size, headroom);
    assert!(plan.root.copy_to_b && plan.data.grow && plan.client.managed);
    assert_eq!(plan.output.image, ImageForm::Raw);
    assert!(plan.output.block_map && !plan.output.input_digest);
    assert!(plan.hooks.is_empty() && plan.signer.is_none());
    assert!(plan.notes[0].starts_with("using the board generic-x86-64"));
}

#[test]
fn plans_are_equal_if_their_inputs_are() {
    let text = "[artifact]\nname = \"r1\"\n[server]\nurl = \"https://a\"\n";
    assert_eq!(plan(text).unwrap(), plan(text).unwrap());
    let other = plan(&format!("{text}update-poll-interval = 60\n")).unwrap();
    assert_ne!(plan(text).unwrap(), other);
}

#[test]
fn the_release_changes_nothing_that_devices_depend_on() {
    let of = |name: &str| plan(&format!("[artifact]\nname = \"{name}\"\n")).unwrap();
    let (old, new) = (of("r1"), of("r2"));
    assert_eq!((old.family, old.boot), (new.family, new.boot));
    assert_ne!(old.name, new.name);
}

#[test]
fn the_root_filesystem_alone_has_identities_that_all_boards_share() {
    let of = |text: &str| {
        let plan = plan(&format!("[artifact]\nname = \"r1\"\n{text}")).unwrap();
        (plan.family, plan.root.filesystem, plan.data.filesystem)
    };
    let (a, b) = (
        of("[board]\ndevice-type = \"atlas\"\n"),
        of("[board]\ndevice-type = \"boreas\"\n"),
    );
    assert_eq!((a.1.uuid, a.1.hash_seed), (b.1.uuid, b.1.hash_seed));
    assert_ne!(a.2.uuid, b.2.uuid);
    assert_ne!(a.2.hash_seed, b.2.hash_seed);
    assert_ne!(a.1.uuid, a.2.uuid);
    assert_ne!(a.0.disk_guid, b.0.disk_guid);
    assert!(a.0.guids.iter().all(|guid| !b.0.guids.contains(guid)));
    let id = "3a9e1d52-8c44-4b5e-b5a7-2f1d6f3c7e10";
    let set = of(&format!("[root]\nuuid = \"{id}\"\n"));
    assert_eq!(set.1.uuid.to_string(), id);
}

#[test]
fn what_is_incomplete_is_refused() {
    let error = plan("").unwrap_err();
    assert!(error.to_string().starts_with("the Artifact has no name"));
    let text = "[artifact]\nname = \"r1\"\n[storage]\ntable = \"keep\"\ndisk-id = \"8f2c11d0\"\n";
    let error = plan(text).unwrap_err();
    assert!(error.to_string().contains("does not fit the disk's GPT"));
}

#[test]
fn all_problems_are_reported_at_once() {
    let text = "[artifact]\nname = \"r1\"\nkey = \"/no/key\"\nscripts = [\"/no/script\"]\n\
                [client]\npackages = [\"/no/*.deb\"]\n[server]\ncertificate = \"/no/crt\"\n\
                [[raw]]\nfile = \"/no/loader\"\noffset = \"8 KiB\"\n";
    let error = plan(text).unwrap_err().to_string();
    for part in [
        "reading the signing key /no/key: ",
        "reading the state script /no/script: ",
        "client.packages: /no/*.deb matches no file",
        "server.certificate: reading /no/crt: ",
        "raw: reading /no/loader: ",
    ] {
        assert!(error.contains(part), "{part}\n{error}");
    }
}

#[test]
fn overlays_whose_conditions_are_not_met_are_left_out_with_a_reason() {
    let text = "[artifact]\nname = \"r1\"\n\
                [[overlay]]\ndir = \"/a\"\narch = [\"amd64\"]\n\
                [[overlay]]\ndir = \"/host/b\"\narch = [\"arm64\"]\n\
                [[overlay]]\ndir = \"/c\"\ntarget = \"boot\"\n";
    let config = Config::parse(text).unwrap();
    let more = [PathBuf::from("/more")];
    let plan = Plan::new(&config, &golden(), &host(&more)).unwrap();
    let dirs = |target| plan.overlays.of(target).dirs.clone();
    assert_eq!(dirs(Target::Root), ["/a", "/more"].map(PathBuf::from));
    assert_eq!(dirs(Target::Boot), [PathBuf::from("/c")]);
    assert_eq!(
        plan.overlays.left_out,
        ["overlay b is left out: for architecture arm64"]
    );
}

#[test]
fn the_user_selects_partitions() {
    let config = Config::parse("[root]\npartition = 2\n[boot]\npartition = 1\n").unwrap();
    let selection = selection(&config);
    assert_eq!((selection.root, selection.boot), (Some(2), Some(1)));
}
