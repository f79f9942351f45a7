//! The data archive with the payload.

use super::super::meta::ROOTFS;
use super::super::names::{self, DATA, short};
use super::examiner::{Examiner, Outer, Stopped};
use super::header::suffix;
use super::readers::Hashing;
use super::report::PayloadFile;
use super::untar::{TarEntry, TarEntryKind, Untar};
use crate::digest::{Digest, hex};
use crate::stream::{Compression, decoder};
use crate::units::SECTOR;
use std::io::{self, Read};

impl Examiner<'_> {
    /// The members after the header. False if reading stopped before the end, because no more was
    /// requested.
    pub(super) fn data(&mut self, tar: &mut Outer<'_, '_>) -> Result<bool, Stopped> {
        let Some(entry) = self.member(tar)? else {
            if self.out.artifact.payload_type.is_some() {
                return self.stop("structure", "the Artifact ends before `data/0000.tar`");
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
                    "`{}` is in the place of `data/0000.tar`",
                    short(&entry.name)
                ),
            );
        };
        self.out.artifact.data_compression = kind;
        let header = self.out.artifact.compression;
        if kind != header {
            self.warn(
                "suffix-mixed",
                format!("the header is compressed as {header}, the data as {kind}"),
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
                    "`{}` follows the data, which must be the last member",
                    short(&entry.name)
                ),
            ),
        }
    }

    /// The files of the payload. False if all names are known and nothing else is requested.
    fn files(&mut self, kind: Compression, stored: &mut impl Read) -> Result<bool, Stopped> {
        let (unpacked, known): (io::Result<Box<dyn Read + '_>>, _) = match self.hashed.take() {
            Some(hashed) => (Ok(Box::new(hashed.archive)), Some(hashed.sha256)),
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

    /// The next file, whose digest may be `known`.
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
        if listed.found {
            return self.stop("payload-twice", format!("`{name}` is in the data twice"));
        }
        let sha256 = Some(listed.digest);
        self.check_rootfs(&entry, listed.digest);
        if self.whole {
            let rootfs = self.out.artifact.payload_type.as_deref() == Some(ROOTFS);
            let unpacked = self.unpacked.as_mut().filter(|_| rootfs);
            let digest = match (known, unpacked) {
                (Some(known), _) => Ok(known),
                (None, Some(out)) => Hashing::new(tar).copy(out),
                (None, None) => Hashing::new(tar).finish(),
            };
            match digest {
                Ok(found) => self.compare("checksum-payload", &path, found),
                Err(e) => {
                    return self.stop(
                        "unreadable",
                        format!("`{name}` in the data cannot be read: {e}"),
                    );
                }
            }
        } else if let Some(listed) = self.listed.get_mut(&path) {
            listed.found = true;
        }
        self.out.artifact.files.push(PayloadFile {
            name: entry.name,
            size: entry.size,
            sha256,
        });
        Ok(())
    }

    /// The rules for the image of a root filesystem.
    fn check_rootfs(&mut self, entry: &TarEntry, digest: [u8; 32]) {
        if self.out.artifact.payload_type.as_deref() != Some(ROOTFS) {
            return;
        }
        if !entry.size.is_multiple_of(SECTOR) {
            let text = format!(
                "`{}` has {} bytes, not a multiple of {SECTOR}",
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
                    format!("the provided `{key}` is not the checksum of the image"),
                );
            }
        }
    }

    /// Compares the number of files with the type of the payload.
    fn count(&mut self) {
        let count = self.out.artifact.files.len();
        match self.out.artifact.payload_type.as_deref() {
            None if count > 0 => self.error(
                "payload-count",
                format!("there are {count} files in a payload without a type"),
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
