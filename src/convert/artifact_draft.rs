//! An Artifact while it is written: its payload first, then, with the checksum of the root
//! filesystem, what comes before it.

use super::frame_stream::{FrameStream, StreamInput};
use super::outputs::Pending;
use super::write_log::WriteLog;
use crate::artifact::{self, Meta, Signer};
use anyhow::{Context, Result};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// The expected content of an Artifact.
#[derive(Debug)]
pub(crate) struct HashedPayload {
    /// Log of the whole file.
    pub(crate) log: WriteLog,
    /// Position of the data archive in the file (bytes).
    pub(crate) data: Range<u64>,
    /// Length of the first frame of the data archive, which contains the header of the root
    /// filesystem (bytes).
    pub(crate) first_frame: u64,
    /// Length of the last frame, which contains what follows the root filesystem (bytes).
    pub(crate) last_frame: u64,
}

/// An Artifact whose first bytes, which have the checksum of its payload, are still missing.
pub(super) struct ArtifactDraft<'f> {
    file: &'f Pending,
    draft: artifact::Draft<'f>,
    /// Everything from the data archive on.
    pub(super) payload: FrameStream<'f>,
    /// See [`HashedPayload`].
    first_frame: u64,
    last_frame: u64,
}

impl<'f> ArtifactDraft<'f> {
    /// Begins an Artifact in `file`, up to the root filesystem, which has `root_len` bytes.
    ///
    /// # Errors
    /// What cannot be in an Artifact; I/O errors, with the file name.
    pub(super) fn new(
        file: &'f Pending,
        meta: &'f Meta,
        root_len: u64,
        signer: Option<&'f Signer>,
    ) -> Result<Self> {
        let draft = artifact::Draft::new(meta, root_len, signer).context("making the Artifact")?;
        let head = draft.head()?;
        let payload = FrameStream::new(file.file(), draft.data_offset(), meta.codec);
        let mut begun = Self {
            file,
            draft,
            payload,
            first_frame: head.len() as u64,
            last_frame: 0,
        };
        begun.append(&head)?;
        Ok(begun)
    }

    /// Writes what follows the root filesystem in the data archive.
    ///
    /// # Errors
    /// I/O errors, with the file name.
    pub(super) fn end_payload(&mut self) -> Result<()> {
        let tail = self.draft.tail()?;
        self.last_frame = tail.len() as u64;
        Ok(self.append(&tail)?)
    }

    fn append(&mut self, frame: &[u8]) -> io::Result<()> {
        self.payload
            .append(StreamInput::Frame(frame))
            .map_err(|e| self.file.writing(e))
    }

    /// Completes the Artifact with the SHA-256 of the root filesystem.
    ///
    /// # Errors
    /// What cannot be in an Artifact; I/O errors, with the file name.
    pub(super) fn finish(mut self, sha256: &[u8; 32]) -> Result<HashedPayload> {
        let data = self.draft.data_offset()..self.payload.end();
        let finished = self
            .draft
            .finish(sha256, data.end - data.start)
            .context("making the Artifact")?;
        self.append(&finished.back)?;
        self.file
            .file()
            .write_all_at(&finished.front, 0)
            .map_err(|e| self.file.writing(e))?;
        let mut log = WriteLog::default();
        log.push(&finished.front);
        log.append(&self.payload.log);
        Ok(HashedPayload {
            log,
            data,
            first_frame: self.first_frame,
            last_frame: self.last_frame,
        })
    }
}
