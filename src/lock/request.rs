//! What the configuration asks for.

use crate::bundle::{self, Bundle};
use crate::golden::facts::OsRelease;
use crate::problem::Problem;
use crate::resolve::Want;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::LazyLock;

/// The packages to choose, and where from.
#[derive(Clone, Debug)]
pub struct LockRequest {
    /// The bundle of the update client.
    pub bundle: Option<&'static Bundle>,
    /// More packages.
    pub install: Vec<Want>,
    /// Whether recommended packages are installed where they fit.
    pub recommends: bool,
    /// Packages of the image that may be changed.
    pub may_change: Vec<String>,
    /// The repositories, at least one.
    pub repositories: Vec<RepositoryRequest>,
}

/// The keys of the configuration that a lock file depends on.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RequestRecord {
    /// `client.bundle`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<String>,
    /// `client.install`
    pub install: Vec<String>,
    /// `client.recommends`
    pub recommends: bool,
    /// `client.may-change`
    pub may_change: Vec<String>,
    /// Each `[[repository]]` as a line of text.
    pub repositories: Vec<String>,
}

/// A repository as the configuration names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RepositoryRequest {
    /// Those of the golden image's apt.
    Image,
    /// One by URL.
    Url(RepositoryByUrl),
}

/// A repository by its URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepositoryByUrl {
    /// The name of the preset that it comes from.
    pub preset: Option<&'static str>,
    /// The part before `dists`.
    pub url: String,
    /// The directory below `dists`; `{codename}` and `{family}` stand for parts of it.
    pub suite: String,
    /// The components.
    pub components: Vec<String>,
    /// Where its public keys are; `None` for those of the golden image's apt.
    pub key: Option<KeyLocation>,
    /// The fingerprints of the keys that may sign it, at least one.
    pub fingerprints: Vec<String>,
}

/// Where public keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyLocation {
    /// A file of the host.
    File(PathBuf),
    /// A URL.
    Url(String),
}

/// A repository of `configs/repositories`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Preset {
    url: String,
    suite: String,
    components: Vec<String>,
    key: String,
    fingerprint: Vec<String>,
}

static MENDER: LazyLock<Preset> = LazyLock::new(|| {
    let text = include_str!("../../configs/repositories/mender.toml");
    toml::from_str(text).unwrap_or_else(|e| panic!("configs/repositories/mender.toml: {e}"))
});

impl LockRequest {
    /// The bundle `name`.
    ///
    /// # Errors
    /// A [`Problem`] that names the bundles that there are.
    pub fn bundle(name: &str) -> Result<&'static Bundle, Problem> {
        let mut all = bundle::bundles().iter();
        all.find(|bundle| bundle.name == name).ok_or_else(|| {
            let names = bundle::bundles().iter().map(|bundle| &*bundle.name);
            let names: Vec<&str> = names.collect();
            let begins = |known: &&&str| known.strip_suffix(".0") == Some(name);
            let meant = names.iter().find(begins);
            let meant = meant.map(|known| format!("did you mean `{known}`? "));
            let hint = format!(
                "{}the bundles are {}",
                meant.unwrap_or_default(),
                names.join(", ")
            );
            Problem::new(format!("client.bundle: there is no bundle `{name}`")).hint(hint)
        })
    }

    /// The values that a lock file depends on.
    #[must_use]
    pub fn record(&self) -> RequestRecord {
        RequestRecord {
            bundle: self.bundle.map(|bundle| bundle.name.clone()),
            install: self.install.iter().map(|want| want.text.clone()).collect(),
            recommends: self.recommends,
            may_change: self.may_change.clone(),
            repositories: self.repositories.iter().map(ToString::to_string).collect(),
        }
    }
}

impl RepositoryRequest {
    /// The vendor's repository of the update client.
    ///
    /// # Panics
    /// Never: the built-in data is read by a test.
    #[must_use]
    pub fn mender() -> Self {
        let preset = &*MENDER;
        Self::Url(RepositoryByUrl {
            preset: Some("mender"),
            url: preset.url.clone(),
            suite: preset.suite.clone(),
            components: preset.components.clone(),
            key: Some(KeyLocation::Url(preset.key.clone())),
            fingerprints: preset.fingerprint.clone(),
        })
    }
}

impl std::fmt::Display for RepositoryRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Image => f.write_str("image"),
            Self::Url(one) => write!(
                f,
                "{} {} {} {}",
                one.url,
                one.suite,
                one.components.join(","),
                one.fingerprints.join(",")
            ),
        }
    }
}

impl RepositoryByUrl {
    /// The suite for the system `os`.
    ///
    /// # Errors
    /// A [`Problem`] if its `os-release` lacks what the suite is made of.
    pub fn suite_for(&self, os: &OsRelease) -> Result<String, Problem> {
        let needs = self.suite.contains('{');
        if needs && os.codename.is_empty() {
            return Err(Problem::new(format!(
                "repository {}: the golden image's os-release has no VERSION_CODENAME for the \
                 suite `{}`",
                self.url, self.suite
            ))
            .hint("write the suite out in repository.suite"));
        }
        // Raspberry Pi OS and Armbian have Debian's code names, and take Debian's packages.
        let family = match os.id.as_str() {
            "ubuntu" => "ubuntu",
            _ => "debian",
        };
        let suite = self.suite.replace("{codename}", &os.codename);
        Ok(suite.replace("{family}", family))
    }
}
