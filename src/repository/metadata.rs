//! From the URL of a repository to its packages, each step verified.

use super::fingerprint::Fingerprint;
use super::index::{IndexError, IndexPackage, read_packages};
use super::openpgp::{Keyring, Verified};
use super::release::{Checksum, DateError, ListedFile, Release, ReleaseError, is_below};
use super::signature::SignatureError;
use super::transport::{Transport, TransportError, join};
use crate::digest::{Digest, hex};
use crate::problem::Problem;
use crate::report::Report;
use crate::stream::{Compression, decoder};
use sha2::{Digest as _, Sha256, Sha512};
use std::collections::BTreeSet;
use std::io::{self, BufReader, Read};

/// Maximum length of a release (bytes); Debian's longest have less than one MiB.
const MAX_RELEASE: u64 = 16 << 20;
/// Maximum length of a detached signature (bytes).
const MAX_SIGNATURE: u64 = 1 << 20;
/// Maximum length of an index as it is sent (bytes); Debian's largest has 12 MiB as xz.
const MAX_INDEX: u64 = 512 << 20;
/// Maximum length of an index (bytes); Debian's largest has 60 MiB.
const MAX_PLAIN_INDEX: u64 = 2 << 30;
/// Attempts to read a file whose transfer breaks off.
const ATTEMPTS: u32 = 3;

/// A repository, and how much of it is used.
#[derive(Clone, Debug)]
pub struct Repository {
    /// `http:`, `https:` or `file:` URL, or an absolute path: what is above `dists`.
    pub url: String,
    /// The directory below `dists`, such as `trixie`, or `debian/trixie/stable`.
    pub suite: String,
    /// Components, such as `main`.
    pub components: Vec<String>,
    /// The keys that may sign it.
    pub keyring: Keyring,
}

impl Repository {
    /// The URL of a package with this file name, from [`IndexPackage::filename`].
    #[must_use]
    pub fn package_url(&self, filename: &str) -> String {
        join(&self.url, filename)
    }
}

/// Facts about the release of a repository, verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseFacts {
    /// `Suite`.
    pub suite: Option<String>,
    /// `Codename`.
    pub codename: Option<String>,
    /// `Origin`.
    pub origin: Option<String>,
    /// `Label`.
    pub label: Option<String>,
    /// `Date` (seconds since 1970).
    pub date: u64,
    /// `Valid-Until` (seconds since 1970).
    pub valid_until: Option<u64>,
    /// `NotAutomatic`: its packages are taken only where others do not do.
    pub not_automatic: bool,
    /// SHA-256 of the text that was signed.
    pub sha256: Digest,
    /// Fingerprint of the primary key that signed.
    pub signer: Fingerprint,
}

/// The packages of a repository.
#[derive(Clone, Debug)]
pub struct Index {
    /// The release that lists them.
    pub release: ReleaseFacts,
    /// The packages of all components, each version once, in the order of the indices.
    pub packages: Vec<IndexPackage>,
}

/// Why a repository cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// The configuration of the repository.
    #[error("repository {url}: {reason}")]
    Unsupported {
        /// URL of the repository.
        url: String,
        /// A lower-case fact without a final period.
        reason: String,
        /// Advice, as an imperative without a final period.
        hint: &'static str,
    },
    /// A file cannot be reached.
    #[error("{0}")]
    Transport(#[from] TransportError),
    /// The transfer of a file broke off.
    #[error("{url}: the transfer broke off: {error}")]
    Broken {
        /// URL of the file.
        url: String,
        /// The last error.
        error: io::Error,
    },
    /// No release below the URL.
    #[error("{url}/dists/{suite}: there is neither `InRelease` nor `Release`")]
    NoRelease {
        /// URL of the repository.
        url: String,
        /// The suite.
        suite: String,
    },
    /// The release is not signed by a trusted key.
    #[error("{url}: {error}")]
    Signature {
        /// URL of the signed file.
        url: String,
        /// Why.
        error: SignatureError,
    },
    /// The release cannot be read.
    #[error("{url}: {error}")]
    Release {
        /// URL of the release.
        url: String,
        /// Why.
        error: ReleaseError,
    },
    /// The release must not be used now.
    #[error("{url}: {error}")]
    Date {
        /// URL of the release.
        url: String,
        /// Why.
        error: DateError,
    },
    /// The release has no such architecture or component.
    #[error("{url}: {reason}")]
    Missing {
        /// URL of the release.
        url: String,
        /// A lower-case fact without a final period, with what there is.
        reason: String,
    },
    /// A file is longer than it may be.
    #[error("{url}: it is longer than {limit} bytes")]
    TooLong {
        /// URL of the file.
        url: String,
        /// Its limit, or its length by the release (bytes).
        limit: u64,
    },
    /// A file differs from what the release says.
    #[error("{url}: {what} {found}, and the signed release says {expected}")]
    Differs {
        /// URL of the file.
        url: String,
        /// `it has a length of` or `its digest is`.
        what: &'static str,
        /// As found.
        found: String,
        /// As the release says.
        expected: String,
    },
    /// An index cannot be read.
    #[error("{url}: {error}")]
    Index {
        /// URL of the index.
        url: String,
        /// Why.
        error: IndexError,
    },
}

impl MetadataError {
    /// Advice, as an imperative without a final period.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Unsupported { hint, .. } => hint,
            Self::Transport(error) => return error.hint().map(str::to_owned),
            Self::Broken { .. } => "try again later, or use another mirror",
            Self::NoRelease { .. } => {
                "check `url` and `suite`: the URL is the part above `dists`, the suite the part \
                 below it"
            }
            Self::Signature { error, .. } => return error.hint(),
            Self::Date { error, .. } => error.hint(),
            Self::TooLong { .. } | Self::Differs { .. } => {
                "the mirror may be in the middle of an update, or something on the way changes \
                 files: try again in some minutes, then use another mirror"
            }
            Self::Missing { .. } => "check `suite`, `components` and the architecture",
            Self::Release { .. } | Self::Index { .. } => {
                "tell the owner of the repository; until it is repaired, leave it out"
            }
        };
        Some(text.to_owned())
    }

    /// The error as a problem with its hint.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let problem = Problem::new(self.to_string());
        match self.hint() {
            Some(hint) => problem.hint(hint),
            None => problem,
        }
    }
}

/// Reads and verifies the release of `repository` and its indices for `architecture` (Debian's
/// name) at the time `now`. `not_before` is the `Date` of the release that was used last, if there
/// was one (both in seconds since 1970).
///
/// # Errors
/// [`MetadataError`]
pub fn fetch_index(
    repository: &Repository,
    architecture: &str,
    transport: &dyn Transport,
    now: u64,
    not_before: Option<u64>,
    report: &dyn Report,
) -> Result<Index, MetadataError> {
    check(repository)?;
    let source = Source {
        base: join(&repository.url, &format!("dists/{}", repository.suite)),
        repository,
        transport,
        report,
    };
    report.step(&format!("reading {}", source.base), None);
    let (url, verified) = source.release(now)?;
    let release = Release::parse(&verified.text).map_err(|error| MetadataError::Release {
        url: url.clone(),
        error,
    })?;
    release
        .check_dates(now, not_before)
        .map_err(|error| MetadataError::Date {
            url: url.clone(),
            error,
        })?;
    source.check_names(&url, &release);
    let mut packages = Vec::new();
    let mut known = BTreeSet::new();
    for (component, architecture) in indices(&release, repository, architecture, &url)? {
        let directory = format!("{component}/binary-{architecture}");
        for package in source.index(&release, &url, &directory)? {
            // A package of architecture `all` may be in both indices.
            let all = package.architecture == "all";
            let key = || {
                (
                    package.package.clone(),
                    package.version.to_string(),
                    package.sha256,
                )
            };
            if !all || known.insert(key()) {
                packages.push(package);
            }
        }
    }
    Ok(Index {
        release: ReleaseFacts {
            suite: release.suite,
            codename: release.codename,
            origin: release.origin,
            label: release.label,
            date: release.date,
            valid_until: release.valid_until,
            not_automatic: release.not_automatic,
            sha256: Sha256::digest(&verified.text).into(),
            signer: verified.signer,
        },
        packages,
    })
}

fn check(repository: &Repository) -> Result<(), MetadataError> {
    let refused = |reason: String, hint| MetadataError::Unsupported {
        url: repository.url.clone(),
        reason,
        hint,
    };
    let suite = &repository.suite;
    if suite.ends_with('/') || suite == "." || repository.components.is_empty() {
        return Err(refused(
            format!(
                "the suite `{suite}` without components means a flat repository, which is not supported"
            ),
            "use the repository's layout with `dists` and components; a directory of packages can \
             be given as files",
        ));
    }
    for name in repository.components.iter().chain([suite]) {
        if !is_below(name) {
            return Err(refused(
                format!("`{name}` is not a suite or component"),
                "write the names as apt has them",
            ));
        }
    }
    Ok(())
}

/// The pairs of component and architecture whose indices are read.
fn indices(
    release: &Release,
    repository: &Repository,
    architecture: &str,
    url: &str,
) -> Result<Vec<(String, String)>, MetadataError> {
    let missing = |reason: String| MetadataError::Missing {
        url: url.to_owned(),
        reason,
    };
    let offered = &release.architectures;
    if !offered.is_empty()
        && !offered
            .iter()
            .any(|name| name == architecture || name == "all")
    {
        return Err(missing(format!(
            "it has no packages of architecture {architecture} (it has: {})",
            offered.join(", ")
        )));
    }
    let listed = |component: &str, architecture: &str| {
        let plain = format!("{component}/binary-{architecture}/Packages");
        FORMS
            .iter()
            .any(|(suffix, _)| release.files.contains_key(&format!("{plain}{suffix}")))
    };
    let mut out = Vec::new();
    for component in &repository.components {
        let before = out.len();
        let mut wanted = vec![architecture];
        if release.separate_all && architecture != "all" {
            wanted.push("all");
        }
        for architecture in wanted {
            if listed(component, architecture) {
                out.push((component.clone(), architecture.to_owned()));
            }
        }
        if out.len() == before {
            return Err(missing(format!(
                "it has no index of component {component} for architecture {architecture} (its \
                 components: {}; its architectures: {})",
                release.components.join(", "),
                offered.join(", ")
            )));
        }
    }
    Ok(out)
}

/// The forms of an index in the order in which they are tried.
const FORMS: [(&str, Compression); 4] = [
    (".xz", Compression::Xz),
    (".zst", Compression::Zstd),
    (".gz", Compression::Gzip),
    ("", Compression::None),
];

struct Source<'a> {
    /// URL of the directory of the release.
    base: String,
    repository: &'a Repository,
    transport: &'a dyn Transport,
    report: &'a dyn Report,
}

impl Source<'_> {
    /// The verified text of the release, and the URL that it is from.
    fn release(&self, now: u64) -> Result<(String, Verified), MetadataError> {
        let keyring = &self.repository.keyring;
        let url = join(&self.base, "InRelease");
        let signature = |url: &str| {
            let url = url.to_owned();
            |error| MetadataError::Signature { url, error }
        };
        if let Some(text) = optional(self.read(&url, MAX_RELEASE))? {
            let verified = keyring.verify_clearsigned(&text, now);
            return Ok((url.clone(), verified.map_err(signature(&url))?));
        }
        let url = join(&self.base, "Release");
        let Some(text) = optional(self.read(&url, MAX_RELEASE))? else {
            return Err(MetadataError::NoRelease {
                url: self.repository.url.trim_end_matches('/').to_owned(),
                suite: self.repository.suite.clone(),
            });
        };
        let signed = join(&self.base, "Release.gpg");
        let Some(detached) = optional(self.read(&signed, MAX_SIGNATURE))? else {
            let nothing = "there is neither `InRelease` nor `Release.gpg`".to_owned();
            return Err(signature(&url)(SignatureError::NotSigned(nothing)));
        };
        let verified = keyring.verify_detached(&text, &detached, now);
        Ok((url.clone(), verified.map_err(signature(&url))?))
    }

    /// Warns if the release calls itself by other names than the one it was asked for by.
    fn check_names(&self, url: &str, release: &Release) {
        let asked = &self.repository.suite;
        let names: Vec<&str> = [&release.suite, &release.codename]
            .into_iter()
            .filter_map(|name| name.as_deref())
            .collect();
        let last = asked.rsplit('/').next().unwrap_or(asked);
        if !names.is_empty() && !names.iter().any(|name| name == asked || *name == last) {
            self.report.warn(&format!(
                "{url}: it was asked for as {asked}, and calls itself {}",
                names.join(" and ")
            ));
        }
    }

    /// The packages of the index in `directory`, in the first form that the repository has.
    fn index(
        &self,
        release: &Release,
        release_url: &str,
        directory: &str,
    ) -> Result<Vec<IndexPackage>, MetadataError> {
        let plain = release.files.get(&format!("{directory}/Packages"));
        for (suffix, compression) in FORMS {
            let path = format!("{directory}/Packages{suffix}");
            let Some(file) = release.files.get(&path) else {
                continue;
            };
            if let Some((url, bytes)) = self.listed(release, directory, &path, file)? {
                return unpack(&bytes, compression, plain)
                    .map_err(|error| MetadataError::Index { url, error });
            }
        }
        Err(MetadataError::Missing {
            url: release_url.to_owned(),
            reason: format!("it lists {directory}/Packages, and the server has it in no form"),
        })
    }

    /// A file that the release lists, verified; `None` if the server does not have it.
    fn listed(
        &self,
        release: &Release,
        directory: &str,
        path: &str,
        file: &ListedFile,
    ) -> Result<Option<(String, Vec<u8>)>, MetadataError> {
        let checksum = &file.checksum;
        let by_hash = format!(
            "{directory}/by-hash/{}/{}",
            checksum.section(),
            checksum.hex()
        );
        let mut urls = vec![join(&self.base, path)];
        if release.acquire_by_hash {
            urls.insert(0, join(&self.base, &by_hash));
        }
        for url in urls {
            if file.size > MAX_INDEX {
                return Err(MetadataError::TooLong {
                    url,
                    limit: MAX_INDEX,
                });
            }
            let Some(bytes) = optional(self.read(&url, file.size))? else {
                continue;
            };
            let found = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            if found != file.size {
                return Err(MetadataError::Differs {
                    url,
                    what: "it has a length of",
                    found: found.to_string(),
                    expected: file.size.to_string(),
                });
            }
            let found = match checksum {
                Checksum::Sha256(_) => hex(&Sha256::digest(&bytes)),
                Checksum::Sha512(_) => hex(&Sha512::digest(&bytes)),
            };
            if found != checksum.hex() {
                return Err(MetadataError::Differs {
                    url,
                    what: "its digest is",
                    found,
                    expected: checksum.hex(),
                });
            }
            return Ok(Some((url, bytes)));
        }
        Ok(None)
    }

    /// The file at `url`, of at most `limit` bytes.
    fn read(&self, url: &str, limit: u64) -> Result<Vec<u8>, MetadataError> {
        let too_long = || MetadataError::TooLong {
            url: url.to_owned(),
            limit,
        };
        let mut attempt = 1_u32;
        loop {
            let reply = self.transport.get(url, 0, limit.saturating_add(1))?;
            if reply.length.is_some_and(|length| length > limit) {
                return Err(too_long());
            }
            let mut out = Vec::new();
            match copy(reply.body, &mut out, self.report) {
                Ok(length) if length > limit => return Err(too_long()),
                Ok(_) => return Ok(out),
                Err(_) if attempt < ATTEMPTS => attempt = attempt.saturating_add(1),
                Err(error) => {
                    return Err(MetadataError::Broken {
                        url: url.to_owned(),
                        error,
                    });
                }
            }
        }
    }
}

fn copy(mut from: impl Read, to: &mut Vec<u8>, report: &dyn Report) -> io::Result<u64> {
    let mut total = 0_u64;
    let mut buf = vec![0; 1 << 16];
    loop {
        let read = match from.read(&mut buf) {
            Ok(0) => return Ok(total),
            Ok(read) => read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        to.extend_from_slice(buf.get(..read).unwrap_or_default());
        let read = u64::try_from(read).unwrap_or(u64::MAX);
        report.advance(read);
        total = total.saturating_add(read);
    }
}

/// `None` for a file that is not there.
fn optional<T>(result: Result<T, MetadataError>) -> Result<Option<T>, MetadataError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(MetadataError::Transport(TransportError::NotFound { .. })) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads a verified index. It may not be longer than the release says.
fn unpack(
    bytes: &[u8],
    compression: Compression,
    plain: Option<&ListedFile>,
) -> Result<Vec<IndexPackage>, IndexError> {
    let limit = plain.map_or(MAX_PLAIN_INDEX, |file| file.size.min(MAX_PLAIN_INDEX));
    let reader = Bounded {
        inner: decoder(compression, bytes)?,
        left: limit,
        limit,
    };
    read_packages(BufReader::with_capacity(1 << 16, reader))
}

/// Fails where a source delivers more than its limit.
struct Bounded<R> {
    inner: R,
    left: u64,
    limit: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf)?;
        let length = u64::try_from(read).unwrap_or(u64::MAX);
        let Some(left) = self.left.checked_sub(length) else {
            return Err(io::Error::other(format!(
                "it decompresses to more than {} bytes",
                self.limit
            )));
        };
        self.left = left;
        Ok(read)
    }
}
