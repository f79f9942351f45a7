//! Bytes at rest and in motion: [`ReadAt`], where something can be read, and [`Content`], runs of
//! such places with holes between.
//!
//! A file of the golden image, a filesystem that we write and a whole disk are the same kind of
//! value: a [`Content`]. So each can be read at any offset, in parallel, by whoever needs it,
//! before anything was written.

mod codec;
mod content;
mod packed;
mod read_at;
mod stored;

pub use codec::{Codec, Compression, Lengths, LevelError, decoder};
pub use content::{Content, Run};
pub use packed::Packed;
pub use read_at::{FileSource, HostFile, MemSource, ReadAt, Slice, Source, Zeros};
