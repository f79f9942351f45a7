//! The edits that make an image updatable: each sees the tree and nothing else.

pub mod overlay;
