//! The compression engine: content-defined chunks, compressed in parallel into independent frames,
//! and a cache of these frames.

pub mod cache;
pub mod chunker;
pub mod parallel;
pub mod pool;
