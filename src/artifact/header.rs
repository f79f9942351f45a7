//! The header: an inner tar with `header-info` and `type-info` as JSON, and the state scripts.

use super::meta::{ChecksumKey, Meta, ROOTFS};
use super::names::SCRIPTS;
use super::tar::{END, append};
use crate::digest::{Digest, hex};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Serialize)]
struct HeaderInfo<'a> {
    payloads: [Payload<'a>; 1],
    artifact_provides: Provides<'a>,
    artifact_depends: Depends<'a>,
}

#[derive(Serialize)]
struct Payload<'a> {
    r#type: Option<&'a str>,
}

#[derive(Serialize)]
struct Provides<'a> {
    artifact_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_group: Option<&'a str>,
}

#[derive(Serialize)]
struct Depends<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    artifact_name: &'a [String],
    device_type: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    artifact_group: &'a [String],
}

#[derive(Serialize)]
struct TypeInfo<'a> {
    r#type: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    artifact_depends: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    artifact_provides: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    clears_artifact_provides: Vec<String>,
}

/// The default filesystem of software versions.
fn filesystem(meta: &Meta) -> &str {
    meta.software.filesystem.as_deref().unwrap_or(ROOTFS)
}

/// The start of the version's key: `<filesystem>[.<name>]`.
fn software(meta: &Meta) -> String {
    match &meta.software.name {
        Some(name) => format!("{}.{name}", filesystem(meta)),
        None => filesystem(meta).to_owned(),
    }
}

/// The pairs that the device provides after the update.
fn provides(meta: &Meta, digest: &Digest) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    match meta.checksum {
        ChecksumKey::Modern => drop(out.insert("rootfs-image.checksum".to_owned(), hex(digest))),
        ChecksumKey::Legacy => drop(out.insert("rootfs_image_checksum".to_owned(), hex(digest))),
        ChecksumKey::Omitted => {}
    }
    let default = (!meta.software.no_default_version).then_some(&meta.name);
    if let Some(version) = meta.software.version.as_ref().or(default) {
        out.insert(format!("{}.version", software(meta)), version.clone());
    }
    out.extend(meta.provides.clone());
    out
}

/// The patterns that the update removes: the user's, then the defaults.
fn clears(meta: &Meta) -> Vec<String> {
    let mut out = meta.clears.clone();
    if meta.no_default_clears || meta.software.no_default_version {
        return out;
    }
    let mut add = |pattern: String| {
        if !out.contains(&pattern) {
            out.push(pattern);
        }
    };
    if filesystem(meta) == ROOTFS && meta.software.name.is_none() {
        add("artifact_group".into());
        add("rootfs_image_checksum".into());
    }
    add(format!("{}.*", software(meta)));
    out
}

/// JSON without white space. These values can always be serialised.
fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

fn header_info(meta: &Meta, kind: Option<&str>, depends: (&[String], &[String])) -> Vec<u8> {
    json(&HeaderInfo {
        payloads: [Payload { r#type: kind }],
        artifact_provides: Provides {
            artifact_name: &meta.name,
            artifact_group: meta.group.as_deref(),
        },
        artifact_depends: Depends {
            artifact_name: depends.0,
            device_type: &meta.device_types,
            artifact_group: depends.1,
        },
    })
}

/// The header of an update by an image with checksum `digest`. Its length does not depend on the
/// digits of `digest`.
pub(super) fn rootfs(meta: &Meta, digest: &Digest) -> Vec<u8> {
    let mut out = Vec::new();
    let info = header_info(
        meta,
        Some(ROOTFS),
        (&meta.depends_names, &meta.depends_groups),
    );
    append(&mut out, "header-info", 0o600, meta.time, &info);
    let mut scripts: Vec<_> = meta.scripts.iter().collect();
    scripts.sort_by(|a, b| a.name.cmp(&b.name));
    for script in scripts {
        append(
            &mut out,
            &format!("{SCRIPTS}{}", script.name),
            0o755,
            meta.time,
            &script.bytes,
        );
    }
    let info = json(&TypeInfo {
        r#type: Some(ROOTFS),
        artifact_depends: meta
            .depends
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect(),
        artifact_provides: provides(meta, digest),
        clears_artifact_provides: clears(meta),
    });
    append(&mut out, "headers/0000/type-info", 0o600, meta.time, &info);
    append(&mut out, "headers/0000/meta-data", 0o600, meta.time, b"");
    out.extend(END);
    out
}

/// The header of an Artifact without payload: no scripts, no depends, no meta-data.
pub(super) fn bootstrap(meta: &Meta, digest: &Digest) -> Vec<u8> {
    let mut out = Vec::new();
    append(
        &mut out,
        "header-info",
        0o600,
        meta.time,
        &header_info(meta, None, (&[], &[])),
    );
    let info = json(&TypeInfo {
        r#type: None,
        artifact_depends: BTreeMap::new(),
        artifact_provides: provides(meta, digest),
        clears_artifact_provides: vec![format!("{}.*", software(meta))],
    });
    append(&mut out, "headers/0000/type-info", 0o600, meta.time, &info);
    out.extend(END);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta() -> Meta {
        Meta {
            name: "release-1".into(),
            device_types: vec!["dev-a".into(), "dev-b".into()],
            ..Meta::default()
        }
    }

    fn keys(meta: &Meta) -> (String, String) {
        let provides: Vec<_> = provides(meta, &[0; 32])
            .into_iter()
            .map(|(k, v)| format!("{k}={}", &v[..v.len().min(9)]))
            .collect();
        (provides.join(" "), clears(meta).join(" "))
    }

    #[test]
    fn header_info_is_compact_and_ordered() {
        let text = String::from_utf8(header_info(&meta(), Some(ROOTFS), (&[], &[]))).unwrap();
        let expected = concat!(
            r#"{"payloads":[{"type":"rootfs-image"}],"artifact_provides":{"artifact_name":"release-1"},"#,
            r#""artifact_depends":{"device_type":["dev-a","dev-b"]}}"#
        );
        assert_eq!(text, expected);
    }

    /// The pairs that the reference writes for its options.
    #[test]
    fn provides_and_clears() {
        let with = |change: &dyn Fn(&mut Meta)| {
            let mut meta = meta();
            change(&mut meta);
            meta
        };
        let all = "artifact_group rootfs_image_checksum rootfs-image.*";
        let sum = "rootfs-image.checksum=000000000";
        let version = "rootfs-image.version=release-1";
        let legacy = "rootfs_image_checksum=000000000";
        let table = [
            (meta(), format!("{sum} {version}"), all),
            (
                with(&|meta| meta.software.version = Some("2.0".into())),
                format!("{sum} rootfs-image.version=2.0"),
                all,
            ),
            (
                with(&|meta| meta.software.name = Some("app".into())),
                format!("rootfs-image.app.version=release-1 {sum}"),
                "rootfs-image.app.*",
            ),
            (
                with(&|meta| meta.software.filesystem = Some("data".into())),
                format!("data.version=release-1 {sum}"),
                "data.*",
            ),
            (
                with(&|meta| meta.software.no_default_version = true),
                sum.into(),
                "",
            ),
            (
                with(&|meta| meta.no_default_clears = true),
                format!("{sum} {version}"),
                "",
            ),
            (
                with(&|meta| meta.checksum = ChecksumKey::Omitted),
                version.into(),
                all,
            ),
            (
                with(&|meta| meta.checksum = ChecksumKey::Legacy),
                format!("{version} {legacy}"),
                all,
            ),
            (
                with(&|meta| {
                    meta.provides = [("a".into(), "b".into())].into();
                    meta.clears = vec!["x.*".into()];
                }),
                format!("a=b {sum} {version}"),
                "x.* artifact_group rootfs_image_checksum rootfs-image.*",
            ),
        ];
        for (meta, provides, clears) in table {
            assert_eq!(keys(&meta), (provides, clears.to_owned()));
        }
    }
}
