//! The file `Release` of a repository: who made it and when, and the size and digest of each of its
//! indices.

use super::date::{self, DAY, utc};
use crate::deb::{Paragraph, ParagraphError};
use crate::digest::{Digest, hex, unhex};
use std::collections::BTreeMap;

/// How far `Date` and signatures may be in the future (seconds). A day covers clocks that were set
/// by the time of day in another zone. The date of a release only protects from older ones, so
/// nothing is gained by a date that is a little late.
pub(super) const MAX_FUTURE: u64 = DAY;
/// Largest number of files that a release may list; Debian's have some thousand.
const MAX_FILES: usize = 1 << 20;

/// A digest of a file, as a release lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// From the section `SHA256`.
    Sha256(Digest),
    /// From the section `SHA512`, where there is no other.
    Sha512([u8; 64]),
}

impl Checksum {
    /// The name of the section and of the directory below `by-hash`.
    #[must_use]
    pub fn section(&self) -> &'static str {
        match self {
            Self::Sha256(_) => "SHA256",
            Self::Sha512(_) => "SHA512",
        }
    }

    /// Lower-case hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> String {
        match self {
            Self::Sha256(digest) => hex(digest),
            Self::Sha512(digest) => hex(digest),
        }
    }
}

/// A file that a release lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedFile {
    /// Length (bytes).
    pub size: u64,
    /// Digest of the whole file.
    pub checksum: Checksum,
}

/// The fields of a `Release` that matter here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// `Suite`: a name that moves from release to release, such as `stable`.
    pub suite: Option<String>,
    /// `Codename`: a name that stays, such as `trixie`.
    pub codename: Option<String>,
    /// `Origin`: who distributes.
    pub origin: Option<String>,
    /// `Label`: a name of the repository.
    pub label: Option<String>,
    /// `Date`: when the release was made (seconds since 1970).
    pub date: u64,
    /// `Valid-Until`: when it ends to be valid (seconds since 1970).
    pub valid_until: Option<u64>,
    /// `Architectures`, by Debian's names.
    pub architectures: Vec<String>,
    /// `Components`.
    pub components: Vec<String>,
    /// `Acquire-By-Hash`: indices can also be read by the name of their digest.
    pub acquire_by_hash: bool,
    /// `NotAutomatic`: its packages are taken only where others do not do, as those of backports.
    pub not_automatic: bool,
    /// Packages of architecture `all` are only in indices of their own: `Architectures` has `all`,
    /// and `No-Support-for-Architecture-all` does not have `Packages`.
    pub separate_all: bool,
    /// Files by their path below the directory of the release.
    pub files: BTreeMap<String, ListedFile>,
}

/// Why a text is not a `Release`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// Not a control paragraph.
    #[error("{0}")]
    Paragraph(#[from] ParagraphError),
    /// A field that must be there.
    #[error("the field {0} is missing")]
    Missing(&'static str),
    /// A field with a value of another form.
    #[error("the field {field} is `{value}`, which is not {expected}")]
    Field {
        /// Name of the field.
        field: &'static str,
        /// Its value, or the line of it.
        value: String,
        /// What it must be, as a noun.
        expected: &'static str,
    },
    /// Neither SHA-256 nor SHA-512.
    #[error(
        "it lists files with {0} digests only, which can be forged; SHA256 or SHA512 is required"
    )]
    WeakDigests(&'static str),
    /// The same file with two sizes or digests.
    #[error("the file {0} is listed twice, with different sizes or digests")]
    Twice(String),
    /// More files than any repository has.
    #[error("it lists more than {MAX_FILES} files")]
    TooManyFiles,
}

/// Why a release must not be used now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DateError {
    /// `Valid-Until` has passed.
    #[error("it was valid until {}, and now is {}", utc(*.valid_until), utc(*.now))]
    Expired {
        /// `Valid-Until` (seconds since 1970).
        valid_until: u64,
        /// The time of now (seconds since 1970).
        now: u64,
    },
    /// `Date` is in the future.
    #[error("it was made at {}, and now is {}", utc(*.date), utc(*.now))]
    Future {
        /// `Date` (seconds since 1970).
        date: u64,
        /// The time of now (seconds since 1970).
        now: u64,
    },
    /// Older than one that was seen before.
    #[error(
        "it was made at {}, before the one that was used last, of {}", utc(*.date), utc(*.not_before)
    )]
    Downgraded {
        /// `Date` (seconds since 1970).
        date: u64,
        /// `Date` of the release that was used last (seconds since 1970).
        not_before: u64,
    },
}

impl DateError {
    /// Advice, as an imperative without a final period.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Expired { .. } => {
                "check the clock of this machine; if it is right, the mirror is not updated any \
                 more, or someone serves an old state of it: use another mirror"
            }
            Self::Future { .. } => "check the clock of this machine",
            Self::Downgraded { .. } => {
                "the mirror may be behind the others, or someone serves an old state of it: try \
                 again later, or use another mirror; if the older state is meant, remove \
                 `goldsmith.lock` first"
            }
        }
    }
}

impl Release {
    /// Reads the text of a release, which must have been verified.
    ///
    /// # Errors
    /// [`ReleaseError`]
    pub fn parse(text: &[u8]) -> Result<Self, ReleaseError> {
        let paragraph = Paragraph::parse(text)?;
        let field = |name| {
            let value = paragraph.get(name).map(str::trim);
            value.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let list = |name| words(paragraph.text(name));
        let architectures = list("Architectures");
        let in_all: Vec<String> = list("No-Support-for-Architecture-all");
        Ok(Self {
            suite: field("Suite"),
            codename: field("Codename"),
            origin: field("Origin"),
            label: field("Label"),
            date: time(&paragraph, "Date")?.ok_or(ReleaseError::Missing("Date"))?,
            valid_until: time(&paragraph, "Valid-Until")?,
            acquire_by_hash: paragraph.text("Acquire-By-Hash").trim() == "yes",
            not_automatic: paragraph.text("NotAutomatic").trim() == "yes",
            separate_all: architectures.iter().any(|name| name == "all")
                && !in_all.iter().any(|name| name == "Packages"),
            components: list("Components"),
            files: files(&paragraph)?,
            architectures,
        })
    }

    /// Fails unless the release may be used at the time `now`, and is not older than `not_before`,
    /// the `Date` of the one that was used last (both in seconds since 1970).
    ///
    /// A `Date` of up to a day after `now` passes.
    ///
    /// # Errors
    /// [`DateError`]
    pub fn check_dates(&self, now: u64, not_before: Option<u64>) -> Result<(), DateError> {
        let date = self.date;
        if date > now.saturating_add(MAX_FUTURE) {
            return Err(DateError::Future { date, now });
        }
        if let Some(valid_until) = self.valid_until.filter(|end| *end < now) {
            return Err(DateError::Expired { valid_until, now });
        }
        match not_before.filter(|earliest| date < *earliest) {
            Some(not_before) => Err(DateError::Downgraded { date, not_before }),
            None => Ok(()),
        }
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn time(paragraph: &Paragraph, field: &'static str) -> Result<Option<u64>, ReleaseError> {
    let Some(text) = paragraph.get(field) else {
        return Ok(None);
    };
    let seconds = date::parse(text).ok_or_else(|| ReleaseError::Field {
        field,
        value: text.to_owned(),
        expected: "a date such as `Sat, 14 Jun 2025 08:20:03 UTC`",
    })?;
    Ok(Some(seconds))
}

fn files(paragraph: &Paragraph) -> Result<BTreeMap<String, ListedFile>, ReleaseError> {
    let sha256 = |digits: &str| unhex(digits).map(Checksum::Sha256);
    let sha512 = |digits: &str| {
        let (first, second) = digits.split_at_checked(64)?;
        let (first, second) = (unhex(first)?, unhex(second)?);
        let bytes: Vec<u8> = [first, second].concat();
        Some(Checksum::Sha512(bytes.try_into().ok()?))
    };
    if let Some(section) = paragraph.get("SHA256") {
        return listed("SHA256", section, &sha256);
    }
    if let Some(section) = paragraph.get("SHA512") {
        return listed("SHA512", section, &sha512);
    }
    Err(
        match ["SHA1", "MD5Sum"]
            .into_iter()
            .find(|name| paragraph.get(name).is_some())
        {
            Some(weak) => ReleaseError::WeakDigests(weak),
            None => ReleaseError::Missing("SHA256"),
        },
    )
}

/// The lines `DIGEST SIZE PATH` of a section.
fn listed(
    field: &'static str,
    section: &str,
    checksum: &dyn Fn(&str) -> Option<Checksum>,
) -> Result<BTreeMap<String, ListedFile>, ReleaseError> {
    let mut out = BTreeMap::new();
    for line in section.lines().filter(|line| !line.trim().is_empty()) {
        let bad = || ReleaseError::Field {
            field,
            value: line.trim().to_owned(),
            expected: "a digest, a size and the path of a file below the release",
        };
        let words: Vec<&str> = line.split_whitespace().collect();
        let [digest, size, path] = words.as_slice() else {
            return Err(bad());
        };
        let file = ListedFile {
            size: size.parse().map_err(|_| bad())?,
            checksum: checksum(digest).ok_or_else(bad)?,
        };
        if !is_below(path) {
            return Err(bad());
        }
        if out.len() >= MAX_FILES {
            return Err(ReleaseError::TooManyFiles);
        }
        if out
            .insert((*path).to_owned(), file)
            .is_some_and(|other| other != file)
        {
            return Err(ReleaseError::Twice((*path).to_owned()));
        }
    }
    Ok(out)
}

/// Whether `path` is relative and stays below its start.
pub(super) fn is_below(path: &str) -> bool {
    !path.is_empty()
        && !path.contains(|c: char| c.is_control() || c == '\\')
        && path.split('/').all(|part| !part.is_empty() && part != "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGITS: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn text(more: &str) -> String {
        format!(
            "Origin: Example\nSuite: stable\nCodename: trixie\nDate: Sat, 14 Jun 2025 08:20:03 UTC\n\
             Architectures: all amd64\nComponents: main extra\n{more}"
        )
    }

    fn parse(more: &str) -> Result<Release, ReleaseError> {
        Release::parse(text(more).as_bytes())
    }

    #[test]
    fn fields() {
        let release = parse(&format!(
            "Acquire-By-Hash: yes\nMD5Sum:\n x y z\nSHA256:\n {DIGITS}   3 main/binary-amd64/Packages\n"
        ))
        .unwrap();
        assert_eq!(release.date, 1_749_889_203);
        assert_eq!(release.components, ["main", "extra"]);
        assert!(release.acquire_by_hash && release.separate_all && !release.not_automatic);
        let backports = parse("NotAutomatic: yes\nButAutomaticUpgrades: yes\nSHA256:\n").unwrap();
        assert!(backports.not_automatic);
        let file = release.files.get("main/binary-amd64/Packages").unwrap();
        assert_eq!((file.size, file.checksum.hex().as_str()), (3, DIGITS));
        let section = format!("SHA512:\n {DIGITS}{DIGITS} 3 a\n");
        let release = parse(&format!(
            "No-Support-for-Architecture-all: Packages\n{section}"
        ))
        .unwrap();
        assert!(!release.separate_all);
        assert_eq!(release.files.get("a").unwrap().checksum.section(), "SHA512");
    }

    #[test]
    fn refused() {
        let message = |more: &str| parse(more).unwrap_err().to_string();
        for (section, expected) in [
            ("MD5Sum:\n x 1 a\nSHA1:\n x 1 a\n", "it lists files with SHA1 digests only, which can be forged; SHA256 or SHA512 is required".to_owned()),
            ("", "the field SHA256 is missing".to_owned()),
            (&format!("SHA256:\n {DIGITS} 1 a\n {DIGITS} 2 a\n"), "the file a is listed twice, with different sizes or digests".to_owned()),
        ] {
            assert_eq!(message(section), expected);
        }
        for line in [
            "x 1 a",
            &format!("{DIGITS} 1"),
            &format!("{DIGITS} -1 a"),
            &format!("{DIGITS} 1 ../a"),
            &format!("{DIGITS} 1 /a"),
        ] {
            let message = message(&format!("SHA256:\n {line}\n"));
            assert!(
                message.contains(line) && message.contains("is not a digest, a size"),
                "{message}"
            );
        }
        let without = text("SHA256:\n").replace("Date", "Datum");
        assert_eq!(
            Release::parse(without.as_bytes()),
            Err(ReleaseError::Missing("Date"))
        );
        let bad = text("SHA256:\n").replace("Jun", "Jux");
        assert!(
            Release::parse(bad.as_bytes())
                .unwrap_err()
                .to_string()
                .contains("not a date")
        );
    }

    #[test]
    fn dates() {
        let made = 1_749_889_203;
        let release = parse("Valid-Until: Sat, 21 Jun 2025 08:20:03 UTC\nSHA256:\n").unwrap();
        let check = |now, not_before| {
            let result = release.check_dates(now, not_before);
            result.map_err(|e| e.to_string()).err().unwrap_or_default()
        };
        assert_eq!(check(made, None), "");
        assert_eq!(check(made + 7 * DAY, Some(made)), "");
        assert_eq!(check(made - DAY, None), "");
        assert_eq!(
            check(made - DAY - 1, None),
            "it was made at 2025-06-14 08:20:03 UTC, and now is 2025-06-13 08:20:02 UTC"
        );
        assert_eq!(
            check(made + 7 * DAY + 1, None),
            "it was valid until 2025-06-21 08:20:03 UTC, and now is 2025-06-21 08:20:04 UTC"
        );
        assert_eq!(
            check(made, Some(made + 1)),
            "it was made at 2025-06-14 08:20:03 UTC, before the one that was used last, of 2025-06-14 08:20:04 UTC"
        );
    }
}
