//! The index `Packages`: a control paragraph per package, see `deb822(5)`.
//!
//! An index may have tens of thousands of packages, of which few are looked at. So only what every
//! use needs is read at once; relations are kept as text, and read when they are asked for.

use super::release::is_below;
use crate::deb::{RelationError, Relations, Version};
use crate::digest::{Digest, unhex};
use std::io::{self, BufRead};

/// Maximum length of a paragraph (bytes); Debian's longest have some ten thousand.
const MAX_PARAGRAPH: usize = 1 << 20;
/// Maximum number of packages; Debian's largest index has less than a hundred thousand.
const MAX_PACKAGES: usize = 1 << 20;
/// Maximum length of a package (bytes): the archive format has ten decimal digits for its members.
const MAX_SIZE: u64 = 9_999_999_999;

/// Why an index is refused.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// A paragraph that is not one of a package, or one that no honest repository has.
    #[error("{}: {reason}", of(.package, *.line))]
    Package {
        /// Name of the package, if the paragraph has one.
        package: Option<String>,
        /// First line of the paragraph, counted from 1.
        line: u64,
        /// A lower-case fact without a final period.
        reason: String,
    },
    /// More packages than any repository has.
    #[error("more than {MAX_PACKAGES} packages")]
    TooMany,
    /// I/O errors of the source and of decompressors.
    #[error("{0}")]
    Io(#[from] io::Error),
}

fn of(package: &Option<String>, line: u64) -> String {
    match package {
        Some(package) => format!("package {package} (line {line})"),
        None => format!("line {line}"),
    }
}

/// The fields with relations (Debian Policy, chapter 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RelationField {
    /// `Depends`
    Depends,
    /// `Pre-Depends`
    PreDepends,
    /// `Recommends`
    Recommends,
    /// `Conflicts`
    Conflicts,
    /// `Breaks`
    Breaks,
    /// `Replaces`
    Replaces,
    /// `Provides`
    Provides,
}

impl RelationField {
    /// All fields.
    pub const ALL: [Self; 7] = [
        Self::Depends,
        Self::PreDepends,
        Self::Recommends,
        Self::Conflicts,
        Self::Breaks,
        Self::Replaces,
        Self::Provides,
    ];

    /// The name of the field.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Depends => "Depends",
            Self::PreDepends => "Pre-Depends",
            Self::Recommends => "Recommends",
            Self::Conflicts => "Conflicts",
            Self::Breaks => "Breaks",
            Self::Replaces => "Replaces",
            Self::Provides => "Provides",
        }
    }
}

/// A version of a package that a repository has.
#[derive(Clone, Debug)]
pub struct IndexPackage {
    /// Name of the package.
    pub package: String,
    /// Its version.
    pub version: Version,
    /// Debian's name of the architecture, or `all`.
    pub architecture: String,
    /// `Multi-Arch`: `same`, `foreign` or `allowed`.
    pub multi_arch: Option<String>,
    /// `Essential: yes`
    pub essential: bool,
    /// `Priority`, such as `optional`.
    pub priority: Option<String>,
    /// The name of the source package, where it is another one.
    pub source: Option<String>,
    /// Path of the package below the URL of the repository: relative, without `..`.
    pub filename: String,
    /// Length of the package (bytes).
    pub size: u64,
    /// Digest of the package.
    pub sha256: Digest,
    /// The fields with relations that the paragraph has.
    relations: Box<[(RelationField, Box<str>)]>,
}

impl IndexPackage {
    /// The text of a field with relations; empty if the package has none.
    #[must_use]
    pub fn relation_text(&self, field: RelationField) -> &str {
        let found = self.relations.iter().find(|(known, _)| *known == field);
        found.map(|(_, text)| text.as_ref()).unwrap_or_default()
    }

    /// The relations of a field, those for other architectures than `architecture` left out; none
    /// if the package has no such field. Each call reads the text again.
    ///
    /// # Errors
    /// [`RelationError`] that names the part.
    pub fn relations(
        &self,
        field: RelationField,
        architecture: &str,
    ) -> Result<Relations, RelationError> {
        Relations::parse(self.relation_text(field), architecture)
    }
}

/// Reads the packages of an index, in its order.
///
/// # Errors
/// [`IndexError`] for the first paragraph that is not one of a package: a field twice, no digest,
/// a file name that leaves the repository, a size that no package has.
pub fn read_packages(mut reader: impl BufRead) -> Result<Vec<IndexPackage>, IndexError> {
    let mut out = Vec::new();
    let mut paragraph = Vec::new();
    let (mut line, mut start) = (0_u64, 1_u64);
    loop {
        let before = paragraph.len();
        let room = MAX_PARAGRAPH.saturating_sub(before).saturating_add(1);
        let room = u64::try_from(room).unwrap_or(u64::MAX);
        let read = io::Read::take(&mut reader, room).read_until(b'\n', &mut paragraph)?;
        line = line.saturating_add(1);
        if paragraph.len() > MAX_PARAGRAPH {
            return Err(IndexError::Package {
                package: None,
                line: start,
                reason: format!("a paragraph of more than {MAX_PARAGRAPH} bytes"),
            });
        }
        let last = paragraph.get(before..).unwrap_or_default();
        if read > 0 && !last.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        paragraph.truncate(before);
        if !paragraph.is_empty() {
            if out.len() >= MAX_PACKAGES {
                return Err(IndexError::TooMany);
            }
            out.push(read_package(&paragraph, start)?);
            paragraph.clear();
        }
        start = line.saturating_add(1);
        if read == 0 {
            return Ok(out);
        }
    }
}

/// The values of the fields that are used, by the order of [`FIELDS`].
#[derive(Default)]
struct Fields<'a> {
    values: [Option<&'a str>; FIELDS.len()],
}

const FIELDS: [&str; 17] = [
    "Package",
    "Version",
    "Architecture",
    "Multi-Arch",
    "Essential",
    "Priority",
    "Source",
    "Filename",
    "Size",
    "SHA256",
    "Depends",
    "Pre-Depends",
    "Recommends",
    "Conflicts",
    "Breaks",
    "Replaces",
    "Provides",
];

impl<'a> Fields<'a> {
    /// Reads the lines of a paragraph. Continuation lines of used fields are part of the value.
    fn read(text: &'a str) -> Result<Self, String> {
        let mut out = Self::default();
        // Start of the value of a used field, and its slot.
        let mut open: Option<(usize, usize)> = None;
        let mut at = 0_usize;
        let mut any = false;
        for line in text.split_inclusive('\n') {
            let end = at.saturating_add(line.len());
            if line.starts_with([' ', '\t']) {
                if !any {
                    return Err("it begins with a continuation line".to_owned());
                }
                if let Some((start, slot)) = open
                    && let Some(value) = out.values.get_mut(slot)
                {
                    *value = text.get(start..end).map(str::trim);
                }
            } else if !line.starts_with('#') {
                let Some((name, value)) = line.split_once(':') else {
                    return Err(format!("`{}` is not a field", line.trim_end()));
                };
                any = true;
                open = None;
                if let Some(slot) = FIELDS.iter().position(|known| is(known, name))
                    && let Some(place) = out.values.get_mut(slot)
                {
                    if place.is_some() {
                        return Err(format!("the field {name} occurs twice"));
                    }
                    *place = Some(value.trim());
                    let start = at.saturating_add(name.len()).saturating_add(1);
                    open = Some((start, slot));
                }
            }
            at = end;
        }
        Ok(out)
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        let slot = FIELDS.iter().position(|known| *known == name)?;
        let value = self.values.get(slot).copied().flatten();
        value.filter(|value| !value.is_empty())
    }

    fn required(&self, name: &str) -> Result<&'a str, String> {
        self.get(name)
            .ok_or_else(|| format!("the field {name} is missing"))
    }
}

fn is(known: &str, name: &str) -> bool {
    known.len() == name.len() && known.eq_ignore_ascii_case(name)
}

fn read_package(bytes: &[u8], line: u64) -> Result<IndexPackage, IndexError> {
    let refused = |package: Option<&str>, reason| IndexError::Package {
        package: package.map(str::to_owned),
        line,
        reason,
    };
    let text = std::str::from_utf8(bytes).map_err(|_| refused(None, "not UTF-8".to_owned()))?;
    let named = || text.lines().find_map(|line| line.strip_prefix("Package:"));
    let fields = Fields::read(text).map_err(|reason| refused(named().map(str::trim), reason))?;
    package_of(&fields).map_err(|reason| refused(fields.get("Package"), reason))
}

fn package_of(fields: &Fields<'_>) -> Result<IndexPackage, String> {
    let package = fields.required("Package")?;
    if !is_name(package) {
        return Err("the name has other characters than a-z, 0-9, `+`, `-` and `.`".to_owned());
    }
    let architecture = fields.required("Architecture")?;
    if !is_name(architecture) {
        return Err(format!("`{architecture}` is not an architecture"));
    }
    let filename = fields.required("Filename")?;
    let filename = filename.strip_prefix("./").unwrap_or(filename);
    if !is_below(filename) {
        return Err(format!("the file name `{filename}` leaves the repository"));
    }
    let size = fields.required("Size")?;
    let size = size
        .parse::<u64>()
        .ok()
        .filter(|size| (1..=MAX_SIZE).contains(size))
        .ok_or_else(|| format!("the size is `{size}`, not a number from 1 to {MAX_SIZE}"))?;
    let sha256 = fields.required("SHA256")?;
    let sha256 = unhex(sha256).ok_or_else(|| format!("`{sha256}` is not a SHA-256 digest"))?;
    let version = fields.required("Version")?;
    let owned = |name| fields.get(name).map(str::to_owned);
    Ok(IndexPackage {
        package: package.to_owned(),
        version: version.parse().map_err(|e| format!("{e}"))?,
        architecture: architecture.to_owned(),
        multi_arch: owned("Multi-Arch").filter(|value| value != "no"),
        essential: fields.get("Essential") == Some("yes"),
        priority: owned("Priority"),
        // The version in parentheses is that of the source package.
        source: owned("Source")
            .and_then(|source| source.split_whitespace().next().map(str::to_owned)),
        filename: filename.to_owned(),
        size,
        sha256,
        relations: RelationField::ALL
            .into_iter()
            .filter_map(|field| Some((field, fields.get(field.name())?.into())))
            .collect(),
    })
}

/// Whether `text` has the characters of names of packages (Debian Policy, 5.6.7) and architectures.
fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGITS: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn paragraph(more: &str) -> String {
        format!(
            "Package: a\nVersion: 1:2-3\nArchitecture: amd64\nFilename: ./pool/a_2.deb\nSize: 10\n\
             SHA256: {DIGITS}\n{more}"
        )
    }

    fn read(text: &str) -> Result<Vec<IndexPackage>, IndexError> {
        read_packages(text.as_bytes())
    }

    #[test]
    fn fields_and_relations() {
        let first = paragraph(
            "Depends: b (>= 1),\n c | d\nDescription: x\n y: z\nprovides: e (= 1)\nSource: s (3)\n",
        );
        let second = paragraph("Multi-Arch: no\nEssential: yes");
        let read = read(&format!("\n\n{first}\n \n{second}")).unwrap();
        let [first, second] = read.as_slice() else {
            panic!("{read:?}");
        };
        let relations = |field| first.relations(field, "amd64").unwrap().to_string();
        assert_eq!(relations(RelationField::Depends), "b (>= 1), c | d");
        assert_eq!(relations(RelationField::Provides), "e (= 1)");
        assert_eq!(relations(RelationField::Breaks), "");
        assert_eq!(first.source.as_deref(), Some("s"));
        assert_eq!(first.filename, "pool/a_2.deb");
        assert_eq!((first.size, second.essential), (10, true));
        assert_eq!(second.multi_arch, None);
    }

    #[test]
    fn hostile_paragraphs() {
        let digit = paragraph("");
        for (text, expected) in [
            (paragraph("Size: 10\n"), "package a (line 1): the field Size occurs twice".to_owned()),
            (digit.replace("./pool", "../pool"), "package a (line 1): the file name `../pool/a_2.deb` leaves the repository".to_owned()),
            (digit.replace("./pool", "/pool"), "package a (line 1): the file name `/pool/a_2.deb` leaves the repository".to_owned()),
            (digit.replace("SHA256", "MD5sum"), "package a (line 1): the field SHA256 is missing".to_owned()),
            (digit.replace(&DIGITS[1..], ""), "package a (line 1): `b` is not a SHA-256 digest".to_owned()),
            (digit.replace("10", "10000000000"), "package a (line 1): the size is `10000000000`, not a number from 1 to 9999999999".to_owned()),
            (digit.replace("10", "0"), "package a (line 1): the size is `0`, not a number from 1 to 9999999999".to_owned()),
            (digit.replace("1:2-3", "1_2"), "package a (line 1): `1_2` is not a version: invalid character".to_owned()),
            (digit.replace("Package: a", "Package: a/b"), "package a/b (line 1): the name has other characters than a-z, 0-9, `+`, `-` and `.`".to_owned()),
            (digit.replace("Package: a\n", ""), "line 1: the field Package is missing".to_owned()),
            (format!("{digit}\nPackage: b\nx\n"), "package b (line 8): `x` is not a field".to_owned()),
            (" x\n".to_owned(), "line 1: it begins with a continuation line".to_owned()),
            (paragraph(&"x".repeat(MAX_PARAGRAPH)), "line 1: a paragraph of more than 1048576 bytes".to_owned()),
        ] {
            assert_eq!(read(&text).unwrap_err().to_string(), expected);
        }
    }
}
