//! Reused buffers: one for each chunk in flight, without copies or new allocations for the next
//! chunk.

use std::fmt;
use std::io;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

/// Free buffers.
#[derive(Debug)]
pub(crate) struct Pool {
    /// The length of a new buffer (bytes).
    len: usize,
    free: Mutex<Vec<Vec<u8>>>,
}

impl Pool {
    /// An empty pool of buffers that have `len` bytes, or that begin with none and are filled.
    pub(crate) fn new(len: usize) -> Arc<Self> {
        Arc::new(Self {
            len,
            free: Mutex::default(),
        })
    }

    /// A buffer with unspecified content.
    pub(crate) fn take(self: &Arc<Self>) -> Buffer {
        let free = self
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        Buffer {
            bytes: free.unwrap_or_else(|| vec![0; self.len]),
            used: self.len,
            pool: Arc::clone(self),
        }
    }
}

/// A buffer that returns to its pool when it is dropped.
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    used: usize,
    pool: Arc<Pool>,
}

impl Buffer {
    /// The whole buffer, regardless of [`Self::truncated`].
    pub(crate) fn whole(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The buffer with what `fill` puts in the place of its content.
    ///
    /// # Errors
    /// The error of `fill`.
    pub(crate) fn filled(
        mut self,
        fill: impl FnOnce(&mut Vec<u8>) -> io::Result<()>,
    ) -> io::Result<Self> {
        fill(&mut self.bytes)?;
        self.used = self.bytes.len();
        Ok(self)
    }

    /// Limits the buffer to its first `used` bytes.
    pub(crate) fn truncated(mut self, used: usize) -> Self {
        self.used = used.min(self.bytes.len());
        self
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.used]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.pool
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(bytes);
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} bytes)", self.used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_dropped_is_used_again() {
        let pool = Pool::new(8);
        let mut first = pool.take();
        first.whole()[..3].copy_from_slice(b"abc");
        let first = first.truncated(3);
        let second = pool.take().truncated(9);
        assert_eq!((&*first, second.len()), (&b"abc"[..], 8));
        drop(first);
        assert_eq!(pool.free.lock().unwrap().len(), 1);
        assert_eq!(pool.take().len(), 8);
    }

    #[test]
    fn a_filled_buffer_keeps_its_memory() {
        let pool = Pool::new(0);
        let fill = |bytes: &'static [u8]| {
            pool.take().filled(|buffer| {
                buffer.clear();
                buffer.extend_from_slice(bytes);
                Ok(())
            })
        };
        let first = fill(b"0123456789abcdef").unwrap();
        assert_eq!(&*first, b"0123456789abcdef");
        drop(first);
        let second = fill(b"xy").unwrap();
        assert_eq!((&*second, second.bytes.capacity()), (&b"xy"[..], 16));
        assert!(pool.take().filled(|_| Err(io::Error::other("no"))).is_err());
    }
}
