//! Bytes at rest and in motion: [`ReadAt`], where something can be read, and [`Content`], runs of
//! such places with holes between.
//!
//! A file of the golden image, a filesystem that we write and a whole disk are the same kind of
//! value: a [`Content`]. So each can be read at any offset, in parallel, by whoever needs it,
//! before anything was written.

mod codec;
mod compressed_bytes;
mod content;
mod read_at;
mod stored;

pub use codec::{ChunkLengths, Codec, Compression, LevelError, decoder};
pub use compressed_bytes::CompressedBytes;
pub use content::{Content, Run};
pub use read_at::{FileSource, HostFile, MemSource, ReadAt, Slice, Source, Zeros};
