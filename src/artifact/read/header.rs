//! The header archive.

use super::super::names::{self, SCRIPTS, short};
use super::TEXT_MAX;
use super::examiner::{Examiner, Outer, Stopped};
use super::readers::Hashing;
use super::untar::{TarEntry, TarEntryKind, Untar};
use crate::stream::{Compression, decoder};
use std::io::Read;

/// The limit of state scripts.
const SCRIPTS_MAX: usize = 10_000;

/// The last member that was read. The order is that of the members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum HeaderPosition {
    Start,
    Info,
    Scripts,
    TypeInfo,
    MetaData,
}

/// The codec whose suffix follows `stem` in `name`.
pub(super) fn suffix(name: &str, stem: &str) -> Option<Compression> {
    let rest = name.strip_prefix(stem)?;
    Compression::ALL
        .into_iter()
        .find(|kind| kind.suffix() == rest)
}

impl Examiner<'_> {
    /// The member after manifest and signature.
    pub(super) fn header(
        &mut self,
        tar: &mut Outer<'_, '_>,
        entry: Option<TarEntry>,
    ) -> Result<(), Stopped> {
        let Some(entry) = entry else {
            return self.stop("structure", "the Artifact ends before `header.tar`");
        };
        let Some(kind) = suffix(&entry.name, "header.tar") else {
            let code = if entry.name == "manifest-augment" {
                "augment"
            } else {
                "structure"
            };
            return self.stop(
                code,
                format!("`{}` is in the place of `header.tar`", short(&entry.name)),
            );
        };
        self.out.artifact.compression = kind;
        let before = self.out.findings.len();
        let mut stored = Hashing::new(tar);
        let outcome = self.archive(kind, &mut stored);
        // Damaged content follows from the wrong checksum, which is therefore reported first.
        let after = self.out.findings.split_off(before);
        match stored.finish() {
            Ok(digest) => self.compare("checksum-header", &entry.name, digest),
            Err(e) => {
                return self.stop(
                    "unreadable",
                    format!("`{}` cannot be read: {e}", entry.name),
                );
            }
        }
        self.out.findings.extend(after);
        outcome
    }

    fn archive(&mut self, kind: Compression, stored: &mut impl Read) -> Result<(), Stopped> {
        let mut tar = match decoder(kind, stored) {
            Ok(reader) => Untar::new(reader),
            Err(e) => return self.stop("unreadable", format!("the header cannot be read: {e}")),
        };
        let mut position = HeaderPosition::Start;
        loop {
            match tar.next() {
                Ok(Some(entry)) => self.header_member(&mut tar, &entry, &mut position)?,
                Ok(None) => break,
                Err(e) => return self.broken("the header", &e),
            }
        }
        if position < HeaderPosition::TypeInfo {
            let missing = if position == HeaderPosition::Start {
                "header-info"
            } else {
                "headers/0000/type-info"
            };
            return self.stop("header-incomplete", format!("the header lacks `{missing}`"));
        }
        self.end(&mut tar, "the header", kind != Compression::None)
    }

    fn header_member(
        &mut self,
        tar: &mut impl Read,
        entry: &TarEntry,
        position: &mut HeaderPosition,
    ) -> Result<(), Stopped> {
        let name = short(&entry.name);
        if let TarEntryKind::Other(kind) = entry.kind {
            self.error(
                "header-member",
                format!("`{name}` in the header is a {kind}; only plain files may be there"),
            );
            return Ok(());
        }
        let (is, repeats) = match entry.name.as_str() {
            "header-info" => (HeaderPosition::Info, false),
            "headers/0000/type-info" => (HeaderPosition::TypeInfo, false),
            "headers/0000/meta-data" => (HeaderPosition::MetaData, false),
            other if other.starts_with(SCRIPTS) => (HeaderPosition::Scripts, true),
            other if other.starts_with("headers/") => {
                self.error(
                    "header-member",
                    format!(
                        "`{name}` does not belong to the first payload, which must be the only one"
                    ),
                );
                return Ok(());
            }
            _ => {
                self.error(
                    "header-member",
                    format!("`{name}` is not a known file of a header"),
                );
                return Ok(());
            }
        };
        let follows = if repeats {
            *position <= is
        } else {
            *position < is
        };
        let complete = (*position >= HeaderPosition::Info || is == HeaderPosition::Info)
            && (*position >= HeaderPosition::TypeInfo || is != HeaderPosition::MetaData);
        if !(follows && complete) {
            return self.stop(
                "header-order",
                format!("`{name}` is at the wrong position in the header, or there twice"),
            );
        }
        *position = is;
        match is {
            HeaderPosition::Info => self
                .small(tar, entry, TEXT_MAX)
                .and_then(|text| self.header_info(&text)),
            HeaderPosition::TypeInfo => self
                .small(tar, entry, TEXT_MAX)
                .and_then(|text| self.type_info(&text)),
            HeaderPosition::MetaData => self
                .small(tar, entry, TEXT_MAX)
                .map(|text| self.meta_data(&text)),
            HeaderPosition::Scripts | HeaderPosition::Start => self.script(&entry.name),
        }
    }

    fn script(&mut self, path: &str) -> Result<(), Stopped> {
        let name = path.strip_prefix(SCRIPTS).unwrap_or(path);
        if let Err(invalid_name) = names::script(name) {
            self.error("script-name", invalid_name.to_string());
        }
        if self.out.artifact.scripts.len() >= SCRIPTS_MAX {
            return self.stop(
                "script-count",
                format!("there are more than {SCRIPTS_MAX} state scripts"),
            );
        }
        self.out.artifact.scripts.push(short(name));
        Ok(())
    }
}
