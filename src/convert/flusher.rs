//! Has the disk take results while they are written: what is left when they are complete, and has
//! to reach it before they get their names, is then short.

use super::outputs::Pending;
use crate::side_by_side::joined;
use std::cell::Cell;
use std::io;
use std::thread::{Scope, ScopedJoinHandle};

/// Bytes after which files are flushed once more.
const EACH: u64 = 64 << 20;

/// Flushes files, each time in a thread of its own.
pub(crate) struct Flusher<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    files: [Option<&'scope Pending>; 2],
    /// Bytes that were written since files were last flushed.
    since: Cell<u64>,
    last: Cell<Option<ScopedJoinHandle<'scope, io::Result<()>>>>,
}

impl<'scope, 'env> Flusher<'scope, 'env> {
    pub(crate) fn new(
        scope: &'scope Scope<'scope, 'env>,
        files: [Option<&'scope Pending>; 2],
    ) -> Self {
        Self {
            scope,
            files,
            since: Cell::new(0),
            last: Cell::new(None),
        }
    }

    /// Another `bytes` were written.
    pub(crate) fn add(&self, bytes: u64) {
        self.since.set(self.since.get() + bytes);
        if self.since.get() < EACH {
            return;
        }
        let last = self.last.take();
        let is_busy = last.as_ref().is_some_and(|last| !last.is_finished());
        self.last.set(last);
        if !is_busy {
            self.now();
        }
    }

    /// Has the files flushed, once they were flushed as asked before.
    pub(crate) fn now(&self) {
        self.since.set(0);
        let (last, files) = (self.last.take(), self.files);
        let next = self.scope.spawn(move || {
            // The kernel tells of each error only once.
            last.map_or(Ok(()), joined)?;
            files.into_iter().flatten().try_for_each(|pending| {
                let flushed = pending.file().sync_data();
                flushed.map_err(|e| pending.writing(e))
            })
        });
        self.last.set(Some(next));
    }

    /// Waits until the files were flushed as asked.
    ///
    /// # Errors
    /// The first error of a file.
    pub(crate) fn finish(self) -> io::Result<()> {
        self.last.take().map_or(Ok(()), joined)
    }
}
