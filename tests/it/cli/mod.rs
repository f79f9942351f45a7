//! The command line, its configuration and the pages that are generated from both.

pub(crate) mod commands;
pub(crate) mod config;
