//! The SHA-256 of the root filesystem, chunk by chunk.

use crate::compress::chunker::Chunk;
use sha2::{Digest as _, Sha256};

/// The digest of the chunks so far. Zeros are hashed when data follow them: those at the end, which
/// can be as long as all the rest, are left to [`RootHash::finish`], next to which other work can
/// be done.
#[derive(Clone, Debug, Default)]
pub(super) struct RootHash {
    hash: Sha256,
    /// Zeros that follow what was hashed (bytes).
    zeros: u64,
}

impl RootHash {
    /// Adds the next chunk.
    pub(super) fn add(&mut self, plain: &Chunk) {
        match plain {
            Chunk::Data(bytes) => {
                self.add_zeros();
                self.hash.update(&bytes[..]);
            }
            Chunk::Zero(len) => self.zeros += *len as u64,
        }
    }

    fn add_zeros(&mut self) {
        static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
        let mut left = std::mem::take(&mut self.zeros);
        while left > 0 {
            let part = left.min(ZEROS.len() as u64);
            self.hash.update(&ZEROS[..part as usize]);
            left -= part;
        }
    }

    /// The digest of all chunks.
    pub(super) fn finish(mut self) -> [u8; 32] {
        self.add_zeros();
        self.hash.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress::pool::Pool;
    use std::sync::Arc;

    #[test]
    fn zeros_count_wherever_they_are() {
        let data = |byte| {
            let mut buffer = Pool::new(70_000).take();
            buffer.whole().fill(byte);
            Chunk::Data(Arc::new(buffer))
        };
        let mut hash = RootHash::default();
        let mut whole = Vec::new();
        for chunk in [
            Chunk::Zero(1),
            data(7),
            Chunk::Zero(65_536),
            Chunk::Zero(3),
            data(9),
            Chunk::Zero(200_001),
        ] {
            hash.add(&chunk);
            match chunk {
                Chunk::Data(bytes) => whole.extend_from_slice(&bytes),
                Chunk::Zero(len) => whole.resize(whole.len() + len, 0),
            }
        }
        let expected: [u8; 32] = Sha256::digest(&whole).into();
        assert_eq!(hash.finish(), expected);
        let nothing: [u8; 32] = Sha256::digest([]).into();
        assert_eq!(RootHash::default().finish(), nothing);
    }
}
