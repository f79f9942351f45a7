//! A statement of in-toto (Attestation Framework, Statement v1) with the predicate SLSA Provenance
//! v1: which results were made from which inputs.
//!
//! It is not signed: a signature says who vouches for it, which only its owner can.

#![allow(
    clippy::indexing_slicing,
    reason = "keys of JSON objects, which are added"
)]

use crate::digest::{Digest, hex};
use crate::stamp::rfc3339;
use serde_json::{Value, json};

/// A result.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its file name.
    pub name: String,
    /// SHA-256 of the file.
    pub sha256: Digest,
}

/// By what an input is known.
#[derive(Clone, Debug)]
pub enum InputDigest {
    /// SHA-256 of a file.
    Sha256(String),
    /// The digest of the files of a directory, `dirHash` of in-toto.
    Directory(Digest),
}

/// An input.
#[derive(Clone, Debug)]
pub struct Input {
    /// What it was used for: `golden image`, `package`, `overlay`, ...
    pub role: &'static str,
    /// Its name, without directories.
    pub name: String,
    /// A URI that names it for others, such as a package URL.
    pub uri: Option<String>,
    /// Its digest; `None` if it cannot be read again, as a pipe.
    pub digest: Option<InputDigest>,
}

/// What was made from what.
#[derive(Clone, Debug)]
pub struct Statement {
    /// The results.
    pub outputs: Vec<Output>,
    /// What they were made from.
    pub inputs: Vec<Input>,
    /// The name of the release.
    pub artifact_name: String,
    /// The device types.
    pub device_types: Vec<String>,
    /// The built-in boards.
    pub boards: Vec<String>,
    /// The SHA-256 of the configuration.
    pub configuration: Digest,
    /// The time of everything that was made (seconds since 1970).
    pub time: i64,
}

impl Statement {
    /// The statement as JSON.
    #[must_use]
    pub fn json(&self) -> String {
        let subject = self
            .outputs
            .iter()
            .map(|output| json!({"name": output.name, "digest": {"sha256": hex(&output.sha256)}}));
        let dependencies = self.inputs.iter().map(dependency);
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": subject.collect::<Vec<_>>(),
            "predicateType": "https://slsa.dev/provenance/v1",
            "predicate": {
                "buildDefinition": {
                    "buildType": "urn:goldsmith:conversion:1",
                    "externalParameters": {
                        "artifactName": self.artifact_name,
                        "deviceTypes": self.device_types,
                        "boards": self.boards,
                        "configuration": {"digest": {"sha256": hex(&self.configuration)}},
                    },
                    "internalParameters": {"time": rfc3339(self.time)},
                    "resolvedDependencies": dependencies.collect::<Vec<_>>(),
                },
                "runDetails": {
                    "builder": {
                        "id": "urn:goldsmith:convert",
                        "version": {"goldsmith": env!("CARGO_PKG_VERSION")},
                    },
                },
            },
        });
        format!("{statement:#}\n")
    }
}

/// A `ResourceDescriptor` of in-toto.
fn dependency(input: &Input) -> Value {
    let mut out = json!({"name": input.name});
    if let Some(uri) = &input.uri {
        out["uri"] = uri.as_str().into();
    }
    match &input.digest {
        Some(InputDigest::Sha256(digest)) => out["digest"] = json!({"sha256": digest}),
        Some(InputDigest::Directory(digest)) => out["digest"] = json!({"dirHash": hex(digest)}),
        None => {}
    }
    out["annotations"] = json!({"role": input.role});
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_and_inputs_are_bound() {
        let statement = Statement {
            outputs: vec![Output {
                name: "a.img".into(),
                sha256: [1; 32],
            }],
            inputs: vec![
                Input {
                    role: "package",
                    name: "p".into(),
                    uri: Some("pkg:deb/p".into()),
                    digest: Some(InputDigest::Sha256("ab".into())),
                },
                Input {
                    role: "overlay",
                    name: "o".into(),
                    uri: None,
                    digest: Some(InputDigest::Directory([2; 32])),
                },
                Input {
                    role: "golden image",
                    name: "-".into(),
                    uri: None,
                    digest: None,
                },
            ],
            artifact_name: "r1".into(),
            device_types: vec!["d".into()],
            boards: Vec::new(),
            configuration: [3; 32],
            time: 0,
        };
        let read: Value = serde_json::from_str(&statement.json()).unwrap();
        assert_eq!(read["subject"][0]["digest"]["sha256"], "01".repeat(32));
        let definition = &read["predicate"]["buildDefinition"];
        let inputs = &definition["resolvedDependencies"];
        assert_eq!(inputs[0]["uri"], "pkg:deb/p");
        assert_eq!(inputs[0]["digest"]["sha256"], "ab");
        assert_eq!(inputs[1]["digest"]["dirHash"], "02".repeat(32));
        assert_eq!(inputs[2].get("digest"), None);
        assert_eq!(inputs[2]["annotations"]["role"], "golden image");
        let configuration = &definition["externalParameters"]["configuration"];
        assert_eq!(configuration["digest"]["sha256"], "03".repeat(32));
        assert_eq!(
            definition["internalParameters"]["time"],
            "1970-01-01T00:00:00Z"
        );
    }
}
