//! Files of the golden image that act by themselves and that the user accepts: `[[accept]]`.

use crate::config::Config;
use crate::problem::accept_entry;
use std::collections::BTreeMap;

/// Accepted files: path on the device, and the reason for the record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcceptedFiles(BTreeMap<String, String>);

impl AcceptedFiles {
    /// The files that `config` accepts.
    pub(super) fn new(config: &Config) -> Self {
        let files = config.accept.iter();
        Self(
            files
                .map(|accept| (accept.file.clone(), accept.reason.clone()))
                .collect(),
        )
    }

    /// Whether the file at this absolute path is accepted.
    #[must_use]
    pub fn accepts(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }

    /// Each path with its reason, in bytewise order of paths.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let files = self.0.iter();
        files.map(|(path, reason)| (path.as_str(), reason.as_str()))
    }

    /// The hint of a problem that is resolved by accepting `path`.
    #[must_use]
    pub fn hint(path: &str) -> String {
        format!(
            "if it is harmless on the device, accept it:{}",
            accept_entry(path)
        )
    }
}
