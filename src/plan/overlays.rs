//! Directories of the host that are copied over the filesystems, and who owns what they bring.

use super::conditions::{Conditions, ImageFacts};
use super::host::HostFiles;
use crate::config::{self, Config};
use crate::pattern::Pattern;
use crate::tree::host::Modes;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The filesystems that are edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The root filesystem, in both slots and in the Artifact.
    Root,
    /// The boot partition, a FAT filesystem.
    Boot,
    /// The data partition; its root is `/data`.
    Data,
}

impl Target {
    /// All targets, in the order in which they are edited.
    pub const ALL: [Self; 3] = [Self::Root, Self::Boot, Self::Data];

    /// The name in records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Boot => "boot",
            Self::Data => "data",
        }
    }

    /// The name of its directory in the staging directory of a hook.
    #[must_use]
    pub fn staging_name(self) -> &'static str {
        match self {
            Self::Root => "rootfs",
            Self::Boot | Self::Data => self.name(),
        }
    }
}

/// The owner of what overlays bring, where it is not root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerRule {
    /// The paths in the overlay, from its top.
    pub path: Pattern,
    /// The user ID.
    pub uid: u32,
    /// The group ID.
    pub gid: u32,
    /// Permission bits; `None` keeps those of the overlay.
    pub mode: Option<u16>,
}

impl From<&config::OwnerRule> for OwnerRule {
    fn from(rule: &config::OwnerRule) -> Self {
        Self {
            path: rule.path.clone(),
            uid: rule.uid,
            gid: rule.gid,
            mode: rule.mode,
        }
    }
}

/// The overlays of one filesystem.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overlays {
    /// The directories, in the order in which they are applied.
    pub dirs: Vec<PathBuf>,
    /// Owners; of several rules for a path the last one counts. A boot partition has none.
    pub owners: Vec<OwnerRule>,
}

/// The overlays of all three filesystems.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OverlayPlan {
    /// Of the root filesystem.
    pub root: Overlays,
    /// Of the boot partition.
    pub boot: Overlays,
    /// Of the data partition.
    pub data: Overlays,
    /// The permission bits that are not those of the host.
    pub modes: Arc<Modes>,
    /// A sentence for each overlay that is not applied, since one of its conditions is not met.
    pub left_out: Vec<String>,
}

impl OverlayPlan {
    pub(super) fn new(config: &Config, image: ImageFacts<'_>, host: &HostFiles) -> Self {
        let owners = |rules: &[config::OwnerRule]| rules.iter().map(OwnerRule::from).collect();
        let mut plan = Self {
            root: Overlays {
                dirs: config.rootfs.overlays.clone(),
                owners: owners(&config.rootfs.owner),
            },
            boot: Overlays::default(),
            data: Overlays {
                dirs: config.data.overlay.clone(),
                owners: owners(&config.data.owner),
            },
            modes: Arc::clone(&host.modes),
            left_out: Vec::new(),
        };
        for overlay in &config.overlay {
            let conditions = Conditions {
                board: &overlay.board,
                arch: &overlay.arch,
                release: &overlay.release,
            };
            let dirs = match overlay.target {
                config::OverlayTarget::Rootfs => &mut plan.root.dirs,
                config::OverlayTarget::Boot => &mut plan.boot.dirs,
                config::OverlayTarget::Data => &mut plan.data.dirs,
            };
            match conditions.unmet(config, image) {
                None => dirs.push(overlay.dir.clone()),
                Some(why) => plan
                    .left_out
                    .push(format!("{} is left out: {why}", shown(&overlay.dir))),
            }
        }
        plan.root.dirs.extend_from_slice(host.overlays);
        plan
    }

    /// The overlays of one filesystem.
    #[must_use]
    pub fn of(&self, target: Target) -> &Overlays {
        match target {
            Target::Root => &self.root,
            Target::Boot => &self.boot,
            Target::Data => &self.data,
        }
    }
}

/// An overlay in plans and records, without the directories of the host that it is in.
#[must_use]
pub fn shown(dir: &Path) -> String {
    match dir.file_name() {
        Some(name) => format!("overlay {}", name.to_string_lossy()),
        None => "overlay overlay".to_owned(),
    }
}
