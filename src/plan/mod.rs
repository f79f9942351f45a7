//! Decisions: values in, values out.

pub mod facts;
pub mod family;
pub mod loader;
pub mod platform;
