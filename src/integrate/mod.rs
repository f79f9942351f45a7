//! Edits of a tree that make a golden image's root filesystem into an updatable one.

pub mod packages;
