//! Buffers that are used again: one for each chunk in flight, and none is copied, given back or
//! made anew for the next chunk.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

/// Buffers of one length that wait for their next use.
#[derive(Debug)]
pub(crate) struct Pool {
    len: usize,
    free: Mutex<Vec<Vec<u8>>>,
}

impl Pool {
    /// Of buffers of `len` bytes.
    pub(crate) fn new(len: usize) -> Arc<Self> {
        Arc::new(Self {
            len,
            free: Mutex::default(),
        })
    }

    /// A buffer; what is in it is of no meaning.
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

/// A buffer, which goes back to its pool when it is dropped.
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    used: usize,
    pool: Arc<Pool>,
}

impl Buffer {
    /// All of it.
    pub(crate) fn whole(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Leaves the first `used` bytes to be seen.
    pub(crate) fn cut(mut self, used: usize) -> Self {
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
        let first = first.cut(3);
        let second = pool.take().cut(9);
        assert_eq!((&*first, second.len()), (&b"abc"[..], 8));
        drop(first);
        assert_eq!(pool.free.lock().unwrap().len(), 1);
        assert_eq!(pool.take().len(), 8);
    }
}
