//! What is known about bytes by the places that they come from: what was found out about one range
//! holds for all that have the same places.

use super::places::Places;
use super::read_at::ReadAt;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// What is known about ranges of sources, by their places.
#[derive(Debug)]
pub struct Known<T>(Mutex<HashMap<Places, Arc<OnceLock<T>>>>);

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// What is known about a range.
#[derive(Debug)]
pub struct KnownEntry<T> {
    /// The value, once someone has found it out.
    pub value: Arc<OnceLock<T>>,
    /// Whether nobody has asked before.
    pub is_new: bool,
}

impl<T> Known<T> {
    /// The entry of a range of `source` (bytes); `None` if it is not known where its bytes come
    /// from.
    pub fn entry(&self, source: &dyn ReadAt, range: Range<u64>) -> Option<KnownEntry<T>> {
        let mut places = Places::default();
        if !source.places(range, &mut places) {
            return None;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.len();
        let value = Arc::clone(known.entry(places).or_default());
        Some(KnownEntry {
            value,
            is_new: known.len() > before,
        })
    }
}

#[cfg(test)]
pub(crate) mod example {
    use super::*;
    use crate::stream::{MemSource, Source, SourceId};
    use std::io;

    #[derive(Debug)]
    struct Unchanging(SourceId, MemSource);

    impl ReadAt for Unchanging {
        fn len(&self) -> u64 {
            self.1.len()
        }

        fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
            self.1.read_exact_at(offset, buf)
        }

        fn places(&self, range: Range<u64>, places: &mut Places) -> bool {
            places.push(self.0, range.start, range.end - range.start);
            true
        }
    }

    /// These bytes as a source that has a name.
    pub(crate) fn unchanging(bytes: Vec<u8>) -> Source {
        Arc::new(Unchanging(SourceId::unique(), MemSource(bytes.into())))
    }
}

#[cfg(test)]
mod tests {
    use super::example::unchanging;
    use super::*;
    use crate::stream::{Content, MemSource, Run, Slice, Source, Zeros};

    fn run(offset: u64, len: u64, source: &Source, source_offset: u64) -> Run {
        Run {
            offset,
            len,
            source: Arc::clone(source),
            source_offset,
        }
    }

    #[test]
    fn the_same_bytes_have_the_same_places_however_they_are_put_together() {
        let fixed = unchanging(vec![1; 1000]);
        let zeros: Source = Arc::new(Zeros(50));
        let mut whole = Content::hole(0);
        whole.push(run(10, 100, &fixed, 500));
        whole.set_len(130);
        let mut parts = Content::hole(0);
        parts.push(run(5, 5, &zeros, 7));
        parts.push(run(10, 30, &fixed, 500));
        parts.push(run(40, 70, &fixed, 530));
        parts.push(run(115, 15, &zeros, 0));
        let parts: Source = Arc::new(parts);
        let mut outer = Content::hole(3);
        outer.push(run(3, 130, &parts, 0));
        let slice = Slice::new(Arc::new(outer), 3, 130);
        let known = Known::<u32>::default();
        let first = known.entry(&whole, 0..130).unwrap();
        assert!(first.is_new && first.value.set(7).is_ok());
        let second = known.entry(&slice, 0..130).unwrap();
        assert_eq!((second.is_new, second.value.get()), (false, Some(&7)));
        // Other ranges, and the same range of another source.
        for range in [0..129, 1..130, 10..110, 11..111] {
            assert!(known.entry(&slice, range.clone()).unwrap().is_new);
            assert!(!known.entry(&whole, range).unwrap().is_new);
        }
        let other = unchanging(vec![1; 1000]);
        let mut twin = Content::hole(0);
        twin.push(run(10, 100, &other, 500));
        twin.set_len(130);
        assert!(known.entry(&twin, 0..130).unwrap().is_new);
    }

    #[test]
    fn bytes_that_are_not_of_such_a_source_have_none() {
        let fixed = unchanging(vec![1; 1000]);
        let memory: Source = Arc::new(MemSource([1; 10].into()));
        let mut content = Content::hole(0);
        content.push(run(0, 10, &fixed, 0));
        content.push(run(10, 10, &memory, 0));
        let known = Known::<u32>::default();
        assert!(known.entry(&content, 0..10).is_some());
        assert!(known.entry(&content, 0..11).is_none());
        assert!(known.entry(&content, 15..20).is_none());
        assert!(known.entry(&content, 0..0).is_some());
    }
}
