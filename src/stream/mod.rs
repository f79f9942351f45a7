//! Sources of bytes: [`ReadAt`], which can be read at any offset; [`Content`], a sequence of runs
//! of sources and holes; and codecs.
//!
//! A file of the golden image, a filesystem to be written and a whole disk are values of the same
//! type, [`Content`]. Each can therefore be read at any offset and in parallel, before anything is
//! written.

mod codec;
mod compressed_bytes;
mod content;
mod gzip;
mod known;
mod places;
mod read_at;
mod stored;

pub use codec::{ChunkLengths, Codec, Compression, LevelError, decoder};
pub use compressed_bytes::CompressedBytes;
pub use content::{Content, Run};
#[cfg(test)]
pub(crate) use known::example::unchanging;
pub use known::{Known, KnownEntry};
pub use places::{Places, SourceId};
pub(crate) use read_at::common_len;
pub use read_at::{FileSource, HostFile, MemSource, ReadAt, Slice, Source, Zeros};
