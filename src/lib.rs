//! goldsmith turns a golden disk image into an A/B image and an update Artifact.
//!
//! Data flows one way: *input image -> tree -> plan -> integrate -> layout -> outputs*. The modules below stand in that order
//! from the ground up; each may use those above it in this list and nothing else (`tests/it/arrows.rs` holds us to it).

pub mod artifact;
pub mod boot;
pub mod cli;
pub mod config;
pub mod deb;
pub mod fs;
pub mod image;
pub mod integrate;
pub mod layout;
pub mod pattern;
pub mod pipeline;
pub mod plan;
pub mod problem;
pub mod report;
pub mod stamp;
pub mod stream;
pub mod tree;
pub mod units;
pub mod verify;
