//! The settings of the update client, from `[server]` and `[client]`.

use super::{host, trust};
use crate::config::Config;
use crate::problem::{Problem, Problems};
use serde_json::{Map, Value};
use std::fmt;
use std::path::Path;

/// What is thought of a result without an update client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WithoutClient {
    /// It is refused.
    #[default]
    Refused,
    /// It gets a warning: boards and settings on the command line are a first try.
    Warned,
    /// The configuration says that it is meant.
    Meant,
}

/// The configuration of the update client.
#[derive(Clone, Default, PartialEq)]
pub struct ClientPlan {
    /// Whether the client asks a server for updates.
    pub managed: bool,
    /// What is thought of a result without a client.
    pub without: WithoutClient,
    /// Settings of `mender.conf`, by the client's own names.
    pub settings: Map<String, Value>,
    /// Files that these settings name.
    pub files: Vec<ClientFile>,
}

/// A file of the device that a setting of the update client names.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientFile {
    /// The absolute path on the device.
    pub path: String,
    /// The content, as on the host.
    pub bytes: Vec<u8>,
    /// The permission bits on the device.
    pub mode: u16,
}

/// Without the values of settings, one of which is a secret.
impl fmt::Debug for ClientPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientPlan")
            .field("managed", &self.managed)
            .field("without", &self.without)
            .field("settings", &self.settings.keys().collect::<Vec<_>>())
            .field("files", &self.files)
            .finish()
    }
}

impl fmt::Debug for ClientFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.path, self.bytes.len())
    }
}

impl ClientPlan {
    /// # Errors
    /// Files of `[server]` that cannot be read, or are not the keys and certificates that they
    /// should be.
    pub(super) fn new(config: &Config) -> Result<Self, Problems> {
        let server = &config.server;
        let mut plan = Self {
            managed: config.client.managed,
            without: match config.client.required {
                Some(true) => WithoutClient::Refused,
                Some(false) => WithoutClient::Meant,
                None if config.files().is_empty() => WithoutClient::Warned,
                None => WithoutClient::Refused,
            },
            ..Self::default()
        };
        if let Some(url) = &server.url {
            plan.set("ServerURL", url.clone().into());
        }
        let mut problems = Problems::default();
        let file = server.tenant_token_file.as_deref();
        match host::secret("server.tenant-token", server.tenant_token.as_ref(), file) {
            Ok(Some(token)) => plan.set("TenantToken", token.expose().into()),
            Ok(None) => {}
            Err(problem) => problems.push(problem),
        }
        if let Some(path) = &server.certificate {
            let target = "/etc/mender/server.crt".into();
            let file = certificates(path);
            let name = plan.file(file, target, &mut problems);
            plan.set("ServerCertificate", name);
        }
        match server.verify_key.as_slice() {
            [] => {}
            [one] => {
                let target = "/etc/mender/artifact-verify-key.pem".into();
                let name = plan.file(verify_key(one), target, &mut problems);
                plan.set("ArtifactVerifyKey", name);
            }
            many => {
                let mut names = Vec::new();
                for (path, number) in many.iter().zip(1..) {
                    let target = format!("/etc/mender/artifact-verify-key-{number}.pem");
                    names.push(plan.file(verify_key(path), target, &mut problems));
                }
                plan.set("ArtifactVerifyKeys", names.into());
            }
        }
        for (key, seconds) in [
            ("UpdatePollIntervalSeconds", server.update_poll_interval),
            (
                "InventoryPollIntervalSeconds",
                server.inventory_poll_interval,
            ),
            ("RetryPollIntervalSeconds", server.retry_poll_interval),
        ] {
            if let Some(seconds) = seconds {
                plan.set(key, seconds.into());
            }
        }
        problems.check()?;
        Ok(plan)
    }

    fn set(&mut self, key: &str, value: Value) {
        self.settings.insert(key.to_owned(), value);
    }

    /// Takes a file of the host, which the device has at `path`; the value of its setting.
    fn file(
        &mut self,
        file: Result<Vec<u8>, Problem>,
        path: String,
        problems: &mut Problems,
    ) -> Value {
        match file {
            Ok(bytes) => self.files.push(ClientFile {
                path: path.clone(),
                bytes,
                mode: 0o644,
            }),
            Err(problem) => problems.push(problem),
        }
        path.into()
    }
}

fn verify_key(path: &Path) -> Result<Vec<u8>, Problem> {
    let bytes = trust::read(path, "server.verify-key")?;
    trust::verify_key(path, &bytes).map(|()| bytes)
}

fn certificates(path: &Path) -> Result<Vec<u8>, Problem> {
    let bytes = trust::read(path, "server.certificate")?;
    trust::certificates(path, &bytes).map(|()| bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_shows_no_secret() {
        let config = Config::parse("[server]\ntenant-token = \"abc123\"\n").unwrap();
        let plan = ClientPlan::new(&config).unwrap();
        assert_eq!(plan.settings["TenantToken"], "abc123");
        let shown = format!("{plan:?}");
        assert!(
            shown.contains("TenantToken") && !shown.contains("abc123"),
            "{shown}"
        );
    }

    #[test]
    fn every_missing_file_is_named() {
        let text = "[server]\ncertificate = \"/no/a.crt\"\nverify-key = [\"/no/b\", \"/no/c\"]\n";
        let problems = ClientPlan::new(&Config::parse(text).unwrap()).unwrap_err();
        let messages: Vec<&str> = problems.0.iter().map(|p| p.message.as_str()).collect();
        assert_eq!(messages.len(), 3);
        let places = [
            "server.certificate: reading /no/a.crt: ",
            "server.verify-key: reading /no/b: ",
            "server.verify-key: reading /no/c: ",
        ];
        for (message, place) in messages.iter().zip(places) {
            assert!(message.starts_with(place), "{message}");
        }
    }
}
