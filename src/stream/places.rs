//! Where bytes come from: ranges with the same places have the same bytes.

use std::sync::atomic::{AtomicU64, Ordering};

/// Names a source whose bytes do not change while it is open. No two sources have the same name,
/// even if one of them was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceId(u64);

impl SourceId {
    const ZEROS: Self = Self(0);

    /// One that no other source has.
    #[must_use]
    pub fn unique() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A range of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Place {
    source: SourceId,
    /// Offset in the source, 0 of zeros (bytes).
    offset: u64,
    /// Length, never 0 (bytes).
    len: u64,
}

/// Ranges of sources, one after the other. Neighbours are one range, so that the same bytes have
/// the same value however they were put together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Places(Vec<Place>);

impl Places {
    /// Appends `len` bytes of a source from `offset`.
    pub fn push(&mut self, source: SourceId, offset: u64, len: u64) {
        match self.0.last_mut() {
            _ if len == 0 => {}
            Some(last) if last.source == source && last.offset + last.len == offset => {
                last.len += len;
            }
            _ => self.0.push(Place {
                source,
                offset,
                len,
            }),
        }
    }

    /// Appends `len` zeros.
    pub fn push_zeros(&mut self, len: u64) {
        match self.0.last_mut() {
            Some(last) if last.source == SourceId::ZEROS => last.len += len,
            _ => self.push(SourceId::ZEROS, 0, len),
        }
    }
}
