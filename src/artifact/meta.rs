//! The metadata of an Artifact.

use crate::stream::Codec;
use std::collections::BTreeMap;

/// The type of a payload that replaces the root filesystem.
pub const ROOTFS: &str = "rootfs-image";

/// The metadata of an Artifact. All fields but [`Meta::name`] and [`Meta::device_types`] have
/// usable defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// The name of the release; at most 256 bytes without white space.
    pub name: String,
    /// The group that the Artifact puts a device into.
    pub group: Option<String>,
    /// The device types that it may be installed on; at least one.
    pub device_types: Vec<String>,
    /// Names of Artifacts, one of which must be installed; empty: any.
    pub depends_names: Vec<String>,
    /// Groups, one of which the device must be in; empty: any.
    pub depends_groups: Vec<String>,
    /// Key-value pairs that the device provides after the update, in addition to the defaults,
    /// which they override.
    pub provides: BTreeMap<String, String>,
    /// Key-value pairs that the device must provide before the update.
    pub depends: BTreeMap<String, String>,
    /// Patterns of provides (`*` matches anything) that the update removes, in addition to the
    /// defaults. Without any pattern the key is omitted, as by the reference, and clients then
    /// clear everything.
    pub clears: Vec<String>,
    /// The key of the software version.
    pub software: SoftwareVersion,
    /// The key of the checksum of the image.
    pub checksum: ChecksumKey,
    /// Omits the patterns that are cleared by default.
    pub no_default_clears: bool,
    /// State scripts; their order does not matter.
    pub scripts: Vec<StateScript>,
    /// The name of the image within the Artifact, such as `rootfs.ext4`.
    pub payload_name: String,
    /// The compression of image and header.
    pub codec: Codec,
    /// The time of all members, in seconds since 1970.
    pub time: u64,
}

/// The parts of the key `<filesystem>[.<name>].version`, which provides the version of the
/// software, and of the pattern that clears it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SoftwareVersion {
    /// First part of the key; `rootfs-image` by default.
    pub filesystem: Option<String>,
    /// Second part of the key; omitted by default.
    pub name: Option<String>,
    /// Default: the name of the Artifact.
    pub version: Option<String>,
    /// Omits the version if it is not set, and the patterns that are cleared by default.
    pub no_default_version: bool,
}

/// The key under which the checksum of the image is provided; delta updates need it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChecksumKey {
    /// `rootfs-image.checksum`, as clients from 2.5 on know it.
    #[default]
    Modern,
    /// `rootfs_image_checksum`, as clients before 2.5 knew it.
    Legacy,
    /// The checksum is not provided.
    Omitted,
}

/// A program that the client runs at a state of the update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateScript {
    /// `<State>_<Action>_<NN>[_<text>]`, such as `ArtifactInstall_Enter_05_stop-services`.
    pub name: String,
    /// The program, as the client runs it.
    pub bytes: Vec<u8>,
}
