//! goldsmith turns a golden disk image into an A/B image and an update Artifact.
//!
//! Data flows one way: *input image -> tree -> plan -> edits -> layout -> outputs*. The modules
//! stand below from the ground up; each may use those of the floors beneath it and nothing else,
//! save where `tests/it/arrows.rs`, which holds us to it, says so.

// Ground: the standard library and codecs.
pub mod digest;
pub mod pattern;
pub mod problem;
pub mod report;
pub mod stamp;
pub mod stream;
pub mod units;

// Model: the files of a filesystem as a value.
pub mod tree;

// Formats: bytes to values and back.
pub mod artifact;
pub mod config;
pub mod deb;
pub mod fs;
pub mod image;

// Decisions: values to values.
pub mod layout;
pub mod plan;

// Edits: a plan applied to trees.
pub mod boot;
pub mod integrate;

// Story: the places that know every name.
pub mod pipeline;
pub mod verify;

// Shell: parses, prints, exits.
pub mod cli;
