//! goldsmith converts the disk image of one hand-configured Debian system into an A/B image to
//! flash and a Mender Artifact to update with.
//!
//! Data flows one way: *golden image -> plan -> edits -> layout -> outputs*. The modules are listed
//! from the ground up; each may use those of the floors below it and nothing else, except where
//! `tests/it/house/arrows.rs`, which checks this, says so.

// Ground: the standard library and codecs.
pub mod bytes;
pub mod digest;
pub mod input_file;
pub mod nearest;
pub mod pattern;
pub mod platform;
pub mod problem;
pub mod report;
pub mod stamp;
pub mod stream;
pub mod text_diff;
pub mod units;

// Model: the files of a filesystem as a value.
pub mod tree;

// Formats: bytes to values and back.
pub mod artifact;
pub mod bundle;
pub mod compress;
pub mod config;
pub mod deb;
pub mod fs;
pub mod image;
pub mod keyfile;
pub mod mender_convert;
pub mod repository;
pub mod shell;

// A configuration from those of another converter.
pub mod migrate;

// Facts and decisions: values to values.
pub mod golden;
pub mod init;
pub mod lock;
pub mod plan;
pub mod resolve;

// Edits: a plan applied to trees.
pub mod boot;
pub mod dpkg;
pub mod edit;

// Outputs: written, checked and published; verified; flashed; the golden image examined; many
// conversions in one run.
pub mod convert;
pub mod doctor;
pub mod flash;
pub mod fleet;
pub mod sbom;
pub mod verify;

// Command line: parses, prints, exits.
pub mod cli;
