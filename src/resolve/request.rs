//! What is to be resolved.

use super::constraint::{ConstraintError, VersionConstraint};
use crate::deb::PackageFacts;

pub use crate::deb::MultiArch;

/// One version of one package: of a repository, or installed.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// What it says of itself; the architecture `all` counts as the image's own.
    pub facts: PackageFacts,
    /// The repository, as an index into [`Request::sources`]. Not used of installed packages.
    pub source: usize,
    /// A number of the caller, which the solution repeats.
    pub id: usize,
}

/// A repository, or a part of one that has a priority of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Its name in messages.
    pub name: String,
    /// Packages of sources with larger numbers are preferred, even if they are older.
    pub priority: i32,
}

/// A package to install.
#[derive(Clone, Debug)]
pub struct Want {
    /// As written, for messages.
    pub text: String,
    /// Name of the package, or of a virtual one.
    pub package: String,
    /// The architecture; the image's own without it.
    pub architecture: Option<String>,
    /// The versions that will do.
    pub constraint: VersionConstraint,
}

impl Want {
    /// Reads `name`, `name=1.2.3-1`, `name=3.*`, `name>=5.1,<<5.2`, each also with `name:arm64`.
    ///
    /// # Errors
    /// [`ConstraintError`] with the forms that are understood.
    pub fn parse(text: &str) -> Result<Self, ConstraintError> {
        let text = text.trim();
        let (name, constraint) = text.split_at(text.find(['=', '<', '>']).unwrap_or(text.len()));
        let (package, architecture) = match name.trim().split_once(':') {
            Some((package, architecture)) => (package, Some(architecture)),
            None => (name.trim(), None),
        };
        let fine = |name: &str, extra: &str| {
            name.starts_with(|c: char| c.is_ascii_alphanumeric())
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
        };
        if !fine(package, "+-.") {
            return Err(ConstraintError::new(
                text,
                format!("`{package}` is not a package name"),
            ));
        }
        if let Some(architecture) = architecture.filter(|name| !fine(name, "-")) {
            return Err(ConstraintError::new(
                text,
                format!("`{architecture}` is not an architecture"),
            ));
        }
        Ok(Self {
            text: text.to_owned(),
            package: package.to_owned(),
            architecture: architecture.map(str::to_owned),
            constraint: VersionConstraint::parse(constraint)
                .map_err(|e| ConstraintError::new(text, e.reason))?,
        })
    }
}

/// All that a choice depends on.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The architecture of the image.
    pub architecture: String,
    /// Further architectures that its dpkg accepts.
    pub foreign: Vec<String>,
    /// The repositories.
    pub sources: Vec<Source>,
    /// The packages of all repositories. Those of other architectures are ignored.
    pub candidates: Vec<Candidate>,
    /// The packages that are installed (`install ok installed`).
    pub installed: Vec<Candidate>,
    /// The packages to install, the most important first: if not all can have their newest
    /// versions, earlier ones come first.
    pub wanted: Vec<Want>,
    /// Whether recommended packages are installed where they fit.
    pub recommends: bool,
    /// Names (also `name:architecture`) of installed packages that may be upgraded if others need
    /// that.
    pub may_change: Vec<String>,
    /// Whether those of [`may_change`](Self::may_change) may be removed too, unless they are
    /// essential.
    pub may_remove: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> crate::deb::Version {
        text.parse().unwrap()
    }

    #[test]
    fn wants_are_read() {
        let want = Want::parse(" mender-connect=3.* ").unwrap();
        assert_eq!(
            (want.text.as_str(), want.package.as_str()),
            ("mender-connect=3.*", "mender-connect")
        );
        assert!(want.constraint.admits(&version("3.0.1-1+debian+bookworm")));
        assert!(!want.constraint.admits(&version("2.3.1-1")));
        let want = Want::parse("libc6:arm64=2.36-9").unwrap();
        assert_eq!(want.architecture.as_deref(), Some("arm64"));
        assert!(want.constraint.admits(&version("2.36-9")));
        assert!(!want.constraint.admits(&version("2.36-9+deb12u1")));
        let want = Want::parse("mender-auth >= 5.1, << 5.2").unwrap();
        assert_eq!(want.package, "mender-auth");
        assert!(want.constraint.admits(&version("5.1.4-1")));
        assert!(!want.constraint.admits(&version("5.2")));
        assert!(Want::parse("chrony").unwrap().constraint.is_any());
    }

    #[test]
    fn wants_that_are_refused() {
        for (bad, word) in [
            ("", "`` is not a package name"),
            ("chr_ony", "`chr_ony` is not a package name"),
            ("=1", "`` is not a package name"),
            ("a:", "`` is not an architecture"),
            ("a:b:c", "`b:c` is not an architecture"),
            ("a=", "empty"),
            ("a==1", "`=1` is not a version"),
            ("a>1", "`>` is ambiguous"),
            ("a>=3.*", "a star"),
            ("a=1.*.2", "a star"),
            ("a=1,", "`` "),
            ("a=1,2", "`2` has no operator"),
        ] {
            let error = Want::parse(bad).unwrap_err().to_string();
            assert!(error.contains(word), "{bad}: {error}");
            assert!(error.contains("name=3.*"), "{error}");
        }
    }
}
