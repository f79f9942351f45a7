//! The lock file: TOML, made by `goldsmith lock`, kept with the configuration.

use super::request::{LockRequest, RequestRecord};
use crate::digest::{Digest, unhex};
use crate::input_file;
use crate::problem::Problem;
use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The version of the format that is written, the only one that is read.
const VERSION: u32 = 1;

/// The largest lock file that is read (bytes): 16,000 packages.
const MAX_FILE: u64 = 8 << 20;

/// The first lines of every lock file.
const HEADER: &str = "\
# Made by `goldsmith lock`. Keep it with the configuration; do not edit it.
";

/// A lock file.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockFile {
    /// The version of the format.
    version: u32,
    /// The architecture of the golden image, by Debian's name.
    pub architecture: String,
    /// Its system, such as `debian bookworm`.
    pub system: String,
    /// What the packages were chosen for.
    pub request: RequestRecord,
    /// The repositories as they were.
    #[serde(default, rename = "repository")]
    pub repositories: Vec<LockedRepository>,
    /// The packages to install, sorted by name and architecture.
    #[serde(default, rename = "package")]
    pub packages: Vec<LockedPackage>,
}

/// A repository when the packages were chosen.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedRepository {
    /// The part before `dists`.
    pub url: String,
    /// The directory below `dists`.
    pub suite: String,
    /// The components.
    pub components: Vec<String>,
    /// The field `Date` of its `Release` file, in seconds since 1970. An earlier one is refused
    /// from now on.
    pub date: u64,
    /// The digest of its `Release` file.
    pub release_sha256: String,
    /// The fingerprint of the key that signed it.
    pub signed_by: String,
}

/// A package to install.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture, by Debian's name; `all` if it suits every one.
    pub architecture: String,
    /// Where it is downloaded from.
    pub url: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its digest.
    pub sha256: String,
    /// Why it is needed.
    pub why: String,
    /// Whether it is only recommended by another package.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recommended: bool,
}

impl LockedPackage {
    /// Its digest; `None` only in a lock file that was not read by [`LockFile::read`].
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        unhex(&self.sha256)
    }

    /// The usual name of its file (`NAME_VERSION_ARCHITECTURE.deb`, dpkg-name(1): without the
    /// epoch of the version).
    #[must_use]
    pub fn file_name(&self) -> String {
        let version = &self.version;
        let version = version.split_once(':').map_or(&**version, |(_, rest)| rest);
        format!("{}_{version}_{}.deb", self.name, self.architecture)
    }
}

impl LockFile {
    /// A lock file for `architecture` and `system`; packages are sorted.
    #[must_use]
    pub fn new(
        architecture: String,
        system: String,
        request: RequestRecord,
        repositories: Vec<LockedRepository>,
        mut packages: Vec<LockedPackage>,
    ) -> Self {
        packages.sort_by(|a, b| (&a.name, &a.architecture).cmp(&(&b.name, &b.architecture)));
        Self {
            version: VERSION,
            architecture,
            system,
            request,
            repositories,
            packages,
        }
    }

    /// Reads the lock file at `path`.
    ///
    /// # Errors
    /// A [`Problem`] if it is missing or is not a lock file of this version.
    pub fn read(path: &Path) -> Result<Self, Problem> {
        let shown = path.display();
        let text = input_file::read_text(path, MAX_FILE, "a lock file").map_err(|e| {
            let problem = Problem::new(format!("reading the lock file {shown}: {e}"));
            match e.kind() {
                io::ErrorKind::NotFound => problem.hint(
                    "choose the packages of client.bundle and client.install with `goldsmith lock`",
                ),
                _ => problem,
            }
        })?;
        Self::parse(&text).map_err(|reason| {
            Problem::new(format!("{shown}: {reason}"))
                .hint("make the lock file anew with `goldsmith lock`")
        })
    }

    /// Reads a lock file from its text.
    ///
    /// # Errors
    /// The reason why it is not a lock file of this version, with the line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lock: Self = toml::from_str(text).map_err(|e| {
            let line = e
                .span()
                .map_or(1, |span| 1 + lines_before(text, span.start));
            format!("line {line}: {}", e.message())
        })?;
        if lock.version != VERSION {
            return Err(format!(
                "version {} of the format; this goldsmith reads version {VERSION}",
                lock.version
            ));
        }
        for repository in &lock.repositories {
            check_url(&repository.url).map_err(|e| format!("repository: {e}"))?;
        }
        for package in &lock.packages {
            package.check()?;
        }
        Ok(lock)
    }

    /// The text of the lock file: the same for the same value.
    ///
    /// # Panics
    /// Never: every value has a form in TOML.
    #[must_use]
    pub fn text(&self) -> String {
        let body = toml::to_string(self).unwrap_or_else(|e| panic!("a lock file as TOML: {e}"));
        format!("{HEADER}{body}")
    }

    /// Writes the lock file to `path`, whole or not at all. A symlink stays one: its target is
    /// written.
    ///
    /// # Errors
    /// I/O errors.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let target = std::fs::canonicalize(path).ok();
        let path = target.as_deref().unwrap_or(path);
        if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            return Err(io::Error::other("it is not a regular file"));
        }
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        // Without the name of the temporary file, which says nothing to the user.
        let mut file = tempfile::NamedTempFile::new_in(directory)
            .map_err(|error| io::Error::from(error.kind()))?;
        file.write_all(self.text().as_bytes())?;
        let readable = std::fs::Permissions::from_mode(0o644);
        file.as_file().set_permissions(readable)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    }

    /// Checks that the lock file was made for `request` and an image of `architecture` and
    /// `system`, as [`system`](super::system) writes it.
    ///
    /// # Errors
    /// A [`Problem`] that names the key that has changed.
    pub fn check(
        &self,
        path: &Path,
        request: &LockRequest,
        architecture: &str,
        system: &str,
    ) -> Result<(), Problem> {
        let stale = |what: String| {
            Problem::new(format!("the lock file {}: {what}", path.display()))
                .hint("choose the packages anew with `goldsmith lock`")
        };
        if self.architecture != architecture {
            return Err(stale(format!(
                "made for {}, but the golden image is {architecture}",
                self.architecture
            )));
        }
        if self.system != system {
            return Err(stale(format!(
                "made for {}, but the golden image is {system}",
                self.system
            )));
        }
        let (old, new) = (&self.request, &request.record());
        let changed = [
            (
                "client.bundle",
                &show(old.bundle.as_ref()),
                &show(new.bundle.as_ref()),
            ),
            ("client.install", &show(&old.install), &show(&new.install)),
            (
                "client.recommends",
                &show([old.recommends]),
                &show([new.recommends]),
            ),
            (
                "client.may-change",
                &show(&old.may_change),
                &show(&new.may_change),
            ),
            (
                "repository",
                &show(&old.repositories),
                &show(&new.repositories),
            ),
        ];
        match changed.into_iter().find(|(_, old, new)| old != new) {
            Some((key, old, new)) => Err(stale(format!(
                "{key} is {new} now, but was {old} when the packages were chosen"
            ))),
            None => Ok(()),
        }
    }
}

impl LockedPackage {
    /// Its name and version as values of a path, its digest and its URL.
    fn check(&self) -> Result<(), String> {
        let fine = |text: &str, more: &str| {
            let known = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
            !text.is_empty() && text.chars().all(known)
        };
        let name = &self.name;
        for (what, text, more) in [
            ("a name of a package", name, "+-."),
            ("a version", &self.version, "+-.:~"),
            ("an architecture", &self.architecture, "-"),
        ] {
            if !fine(text, more) {
                return Err(format!("package {name}: `{text}` is not {what}"));
            }
        }
        if unhex(&self.sha256).is_none() {
            return Err(format!(
                "package {name}: `{}` is not a SHA-256 digest",
                self.sha256
            ));
        }
        if self.size == 0 {
            return Err(format!("package {name}: 0 is not the size of a package"));
        }
        check_url(&self.url).map_err(|e| format!("package {name}: {e}"))
    }
}

/// A URL that can be shown.
fn check_url(url: &str) -> Result<(), String> {
    match url.is_empty() || url.contains(char::is_control) {
        true => Err(format!("{url:?} is not a URL")),
        false => Ok(()),
    }
}

/// Values as text, for a message.
fn show<T: std::fmt::Display>(values: impl IntoIterator<Item = T>) -> String {
    let values: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
    match values.as_slice() {
        [] => "unset".to_owned(),
        values => format!("`{}`", values.join("`, `")),
    }
}

fn lines_before(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::RepositoryRequest;
    use crate::resolve::Want;

    fn request() -> LockRequest {
        LockRequest {
            bundle: LockRequest::bundle("6.0").ok(),
            install: vec![Want::parse("chrony").unwrap()],
            recommends: true,
            may_change: Vec::new(),
            repositories: vec![RepositoryRequest::Image, RepositoryRequest::mender()],
        }
    }

    fn lock() -> LockFile {
        let package = |name: &str| LockedPackage {
            name: name.into(),
            version: "1:5.1.0-1+debian+trixie".into(),
            architecture: "amd64".into(),
            url: format!("https://example.com/pool/{name}.deb"),
            size: 1000,
            sha256: "0a".repeat(32),
            why: "mender-auth depends on dbus \"quoted\"".into(),
            recommended: false,
        };
        LockFile::new(
            "amd64".into(),
            "debian trixie".into(),
            request().record(),
            vec![LockedRepository {
                url: "https://example.com".into(),
                suite: "trixie".into(),
                components: vec!["main".into()],
                date: 1_790_000_000,
                release_sha256: "0b".repeat(32),
                signed_by: "E6C857345575F9218396566224072B80A1B29B00".into(),
            }],
            vec![package("zlib"), package("chrony")],
        )
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("goldsmith.lock");
        lock().write(&path).unwrap();
        assert_eq!(LockFile::read(&path).unwrap(), lock());
        assert_eq!(lock().packages[0].name, "chrony", "sorted");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_is_named_as_dpkg_name_does() {
        let name = lock().packages[0].file_name();
        assert_eq!(name, "chrony_5.1.0-1+debian+trixie_amd64.deb");
    }

    #[test]
    fn damaged_lock_files_are_refused_with_their_line() {
        let text = lock().text();
        let damaged = |from: &str, to: &str| {
            assert!(text.contains(from), "{from}");
            LockFile::parse(&text.replacen(from, to, 1)).unwrap_err()
        };
        for (from, to, reason) in [
            ("version = 1\n", "version = 2\n", "version 2 of the format"),
            ("size = 1000", "size = -1", "line 2"),
            ("size = 1000\n", "", "missing field `size`"),
            (
                "name = \"chrony\"",
                "name = \"../chrony\"",
                "is not a name of a package",
            ),
            ("amd64\"\nurl", "../amd64\"\nurl", "is not an architecture"),
            (&"0a".repeat(32), "0a", "is not a SHA-256 digest"),
            (
                "size = 1000\n",
                "size = 0\n",
                "is not the size of a package",
            ),
            (
                "url = \"",
                "url = \"\\u001b[31m",
                "repository: \"\\u{1b}[31m",
            ),
            ("/pool/", "/pool\\n/", "package chrony: \"https"),
            ("system =", "[system]\nname =", "line 4"),
        ] {
            let error = damaged(from, to);
            assert!(error.contains(reason), "{from}: {error}");
        }
    }

    #[test]
    fn a_lock_file_for_another_request_is_refused() {
        let made_for = lock().system;
        let check = |request: &LockRequest, architecture: &str| {
            let path = Path::new("goldsmith.lock");
            let result = lock().check(path, request, architecture, &made_for);
            result.map_err(|problem| problem.message)
        };
        assert_eq!(check(&request(), "amd64"), Ok(()));
        let other = |change: &dyn Fn(&mut LockRequest)| {
            let mut request = request();
            change(&mut request);
            check(&request, "amd64").unwrap_err()
        };
        assert!(
            check(&request(), "arm64")
                .unwrap_err()
                .contains("made for amd64")
        );
        let other_system = lock().check(Path::new("x"), &request(), "amd64", "debian forky");
        let other_system = other_system.unwrap_err().message;
        assert!(
            other_system.contains("the golden image is debian forky"),
            "{other_system}"
        );
        for (change, words) in [
            (
                &(|one: &mut LockRequest| one.bundle = None) as &dyn Fn(&mut LockRequest),
                "client.bundle is unset now, but was `6.0`",
            ),
            (
                &|one| one.install.clear(),
                "client.install is unset now, but was `chrony`",
            ),
            (
                &|one| one.recommends = false,
                "client.recommends is `false` now",
            ),
            (
                &|one| one.may_change.push("libc6".into()),
                "client.may-change is `libc6` now",
            ),
            (
                &|one| one.repositories.truncate(1),
                "repository is `image` now",
            ),
        ] {
            let message = other(change);
            assert!(message.contains(words), "{message}");
        }
    }

    #[test]
    fn a_missing_lock_file_says_how_to_make_it() {
        let problem = LockFile::read(Path::new("/nowhere/goldsmith.lock")).unwrap_err();
        assert!(problem.hint.unwrap().contains("goldsmith lock"));
    }
}
