//! Read errors of the golden root and boot filesystems, which are never ignored: a file that cannot
//! be read is not a file that is missing.

use crate::stream::{Places, ReadAt, Source, SourceId};
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// The first read error of several sources; shared by its clones.
#[derive(Clone, Debug, Default)]
pub struct FirstReadError(Arc<Mutex<Option<(io::ErrorKind, String)>>>);

impl FirstReadError {
    /// `source`, whose read errors are kept here.
    pub(super) fn watch(&self, source: Source) -> Source {
        Arc::new(WatchedSource {
            inner: source,
            id: SourceId::unique(),
            first: self.clone(),
        })
    }

    /// Fails with the first error, if there was one.
    ///
    /// # Errors
    /// The first I/O error of any of the sources.
    pub fn check(&self) -> io::Result<()> {
        let first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*first {
            Some((kind, text)) => Err(io::Error::new(*kind, text.clone())),
            None => Ok(()),
        }
    }

    fn keep<T>(&self, result: io::Result<T>) -> io::Result<T> {
        // Offsets that a damaged filesystem names are errors of the filesystem, not of the disk.
        let failed = |error: &&io::Error| error.kind() != io::ErrorKind::UnexpectedEof;
        if let Some(error) = result.as_ref().err().filter(failed) {
            let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| (error.kind(), error.to_string()));
        }
        result
    }
}

/// A source whose read errors are kept. A conversion fails if its bytes change meanwhile.
#[derive(Debug)]
struct WatchedSource {
    inner: Source,
    id: SourceId,
    first: FirstReadError,
}

impl ReadAt for WatchedSource {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.first.keep(self.inner.read_exact_at(offset, buf))
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        self.first.keep(self.inner.next_data(offset))
    }

    fn places(&self, range: Range<u64>, places: &mut Places) -> bool {
        places.push(self.id, range.start, range.end - range.start);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::MemSource;

    #[derive(Debug)]
    struct Broken;

    impl ReadAt for Broken {
        fn len(&self) -> u64 {
            9
        }

        fn read_exact_at(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
            Err(io::Error::other("a bad sector"))
        }
    }

    #[test]
    fn an_error_is_kept_even_if_nobody_looks_at_it() {
        let errors = FirstReadError::default();
        let good = errors.watch(Arc::new(MemSource([1, 2, 3].into())));
        good.read_exact_at(0, &mut [0; 3]).unwrap();
        good.read_exact_at(2, &mut [0; 3]).unwrap_err();
        errors.check().unwrap();
        let broken = errors.watch(Arc::new(Broken));
        broken.read_exact_at(0, &mut [0; 3]).unwrap_err();
        good.read_exact_at(0, &mut [0; 3]).unwrap();
        assert_eq!(errors.check().unwrap_err().to_string(), "a bad sector");
    }
}
