//! The data archive.

use super::super::ROOTFS;
use super::super::names::{self, DATA, short};
use super::header::suffix;
use super::untar::{TarEntry, TarEntryKind, Untar};
use super::{Examiner, Hashing, Outer, PayloadFile, Stopped};
use crate::digest::{Digest, hex};
use crate::stream::{Compression, decoder};
use crate::units::SECTOR;
use std::io::Read;

impl Examiner<'_> {
    /// The members behind the header. False when there is more to read but no need to.
    pub(super) fn data(&mut self, tar: &mut Outer<'_, '_>) -> Result<bool, Stopped> {
        let Some(entry) = self.member(tar)? else {
            if self.out.artifact.payload_type.is_some() {
                return self.stop(
                    "structure",
                    "the Artifact ends where `data/0000.tar` is due",
                );
            }
            return Ok(true);
        };
        let Some(kind) = suffix(&entry.name, "data/0000.tar") else {
            let code = if entry.name.starts_with("header-augment") {
                "augment"
            } else {
                "structure"
            };
            return self.stop(
                code,
                format!(
                    "`{}` stands where `data/0000.tar` is due",
                    short(&entry.name)
                ),
            );
        };
        let header = self.out.artifact.compression;
        if kind != header {
            self.warn(
                "suffix-mixed",
                format!("the header is packed as {header}, the data as {kind}"),
            );
        }
        if !self.files(kind, tar)? {
            return Ok(false);
        }
        self.count();
        match self.member(tar)? {
            None => Ok(true),
            Some(entry) => self.stop(
                "structure",
                format!(
                    "`{}` stands behind the data; there must be nothing",
                    short(&entry.name)
                ),
            ),
        }
    }

    /// The files of the payload. False when all names are known and nothing else is wanted.
    fn files(&mut self, kind: Compression, stored: &mut impl Read) -> Result<bool, Stopped> {
        let (unpacked, known) = match self.held.take() {
            Some(held) => (
                Ok(Box::new(held.archive) as Box<dyn Read + '_>),
                Some(held.sha256),
            ),
            None => (decoder(kind, stored), None),
        };
        let mut tar = match unpacked {
            Ok(reader) => Untar::new(reader),
            Err(e) => return self.stop("unreadable", format!("the data cannot be read: {e}")),
        };
        let due = self.payload_count();
        loop {
            if !self.whole && self.out.artifact.files.len() == due {
                return Ok(false);
            }
            match tar.next() {
                Ok(Some(entry)) => self.file(&mut tar, entry, known)?,
                Ok(None) => break,
                Err(e) => return self.broken("the data", &e),
            }
        }
        self.end(&mut tar, "the data archive", kind != Compression::None)?;
        Ok(true)
    }

    /// The next file, whose sum may be `known`.
    fn file(
        &mut self,
        tar: &mut impl Read,
        entry: TarEntry,
        known: Option<Digest>,
    ) -> Result<(), Stopped> {
        let name = short(&entry.name);
        if let TarEntryKind::Other(kind) = entry.kind {
            self.error(
                "payload-kind",
                format!("`{name}` in the data is a {kind}; only plain files may be there"),
            );
            return Ok(());
        }
        if let Err(invalid_name) = names::payload(&entry.name) {
            self.error("payload-name", invalid_name.to_string());
        }
        let path = format!("{DATA}{}", entry.name);
        let Some(listed) = self.listed.get(&path) else {
            return self.stop(
                "manifest-missing",
                format!("`{DATA}{name}` is not listed in the manifest"),
            );
        };
        if listed.met {
            return self.stop("payload-twice", format!("`{name}` is in the data twice"));
        }
        let sha256 = Some(listed.digest);
        self.check_rootfs(&entry, listed.digest);
        if self.whole {
            match known.map_or_else(|| Hashing::new(tar).finish(), Ok) {
                Ok(found) => self.compare("checksum-payload", &path, found),
                Err(e) => {
                    return self.stop(
                        "unreadable",
                        format!("`{name}` in the data cannot be read: {e}"),
                    );
                }
            }
        } else if let Some(listed) = self.listed.get_mut(&path) {
            listed.met = true;
        }
        self.out.artifact.files.push(PayloadFile {
            name: entry.name,
            size: entry.size,
            sha256,
        });
        Ok(())
    }

    /// What holds for the image of a root filesystem only.
    fn check_rootfs(&mut self, entry: &TarEntry, digest: [u8; 32]) {
        if self.out.artifact.payload_type.as_deref() != Some(ROOTFS) {
            return;
        }
        if !entry.size.is_multiple_of(SECTOR) {
            let text = format!(
                "`{}` has {} bytes, no multiple of {SECTOR}",
                short(&entry.name),
                entry.size
            );
            self.warn("payload-size", text);
        }
        for key in ["rootfs-image.checksum", "rootfs_image_checksum"] {
            if self
                .out
                .artifact
                .provides
                .get(key)
                .is_some_and(|provided| *provided != hex(&digest))
            {
                self.warn(
                    "checksum-provide",
                    format!("`{key}` is provided with another checksum than that of the image"),
                );
            }
        }
    }

    /// Holds the number of files against the type of the payload.
    fn count(&mut self) {
        let count = self.out.artifact.files.len();
        match self.out.artifact.payload_type.as_deref() {
            None if count > 0 => self.error(
                "payload-count",
                format!("there are {count} files in a payload without type"),
            ),
            Some(ROOTFS) if count != 1 => {
                self.error(
                    "payload-count",
                    format!("there are {count} files in the payload; a root filesystem is one"),
                );
            }
            _ => {}
        }
    }
}
