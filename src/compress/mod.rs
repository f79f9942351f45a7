//! The compression engine: content-defined chunks, compressed in parallel as independent frames,
//! and a cache of them.

pub mod cache;
pub mod chunker;
pub mod frame_stream;
pub mod parallel;
pub mod pool;
