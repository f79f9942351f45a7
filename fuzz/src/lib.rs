//! What is fuzzed: a function for each format, and the form in which a whole disk is a short input.
#![forbid(unsafe_code)]

mod repository;
mod sparse;
mod targets;

pub use repository::*;
pub use targets::*;
