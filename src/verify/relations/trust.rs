//! What devices trust: the keys and certificates that the update client's configuration names, and
//! private keys that every device would share.

use super::super::disk::{Disk, Roles, read};
use super::super::finding::{Location, Log, Severity};
use super::super::request::{Request, SearchedFiles};
use super::ACCEPTED;
use crate::artifact::Verifier;
use crate::digest::sha256;
use crate::golden::packaged::packaged_of;
use crate::keyfile::{self, KeyFile, PrivateKey};
use crate::side_by_side;
use crate::stream::{Content, ReadAt};
use crate::tree::{DirEntry, LeafKind, Tree, show};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

const CONF: &str = "/etc/mender/mender.conf";
/// The configuration on the data partition, which [`CONF`] overrides.
const FALLBACK: &str = "/mender/mender.conf";
/// Larger files are not searched for private keys (bytes).
const SEARCHED: u64 = 256 << 10;

/// Checks the files that the update client's configuration names.
pub(super) fn client_files(disk: &Disk, roles: &Roles, log: &mut Log) {
    let (Some(root), Some(data)) = (disk.files(roles.a), disk.files(roles.data)) else {
        return;
    };
    let settings = |tree: &Tree, path: &str| -> Map<String, Value> {
        let bytes = read(tree, path).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    };
    let mut conf = settings(&data.tree, FALLBACK);
    conf.extend(settings(&root.tree, CONF));
    let paths = |key: &str| -> Vec<String> {
        let value = conf.get(key).cloned().unwrap_or_default();
        let values = match value {
            Value::Array(values) => values,
            one => vec![one],
        };
        let path = |value: &Value| {
            value
                .as_str()
                .filter(|path| !path.is_empty())
                .map(str::to_owned)
        };
        values.iter().filter_map(path).collect()
    };
    let file = |path: &str| match path.strip_prefix("/data/") {
        Some(below) => (roles.data, read(&data.tree, &format!("/{below}"))),
        None => (roles.a, read(&root.tree, path)),
    };
    let token = conf.get("TenantToken").and_then(Value::as_str);
    let blank = token.is_some_and(|token| token.contains(char::is_whitespace));
    log.check(!blank, "client-token", || {
        let place = Location::partition(roles.a).path(CONF);
        let text = "the tenant token has blanks: it is a placeholder, with which the server refuses devices";
        (place, text.to_owned())
    });
    let mut keys = paths("ArtifactVerifyKey");
    keys.extend(paths("ArtifactVerifyKeys"));
    for path in keys {
        let (number, bytes) = file(&path);
        let wrong = wrong_key(bytes);
        log.check(wrong.is_none(), "client-verify-key", || {
            let place = Location::partition(number).path(&path);
            let text = wrong.unwrap_or_default();
            (
                place,
                format!("{text}, but the update client checks Artifacts with it"),
            )
        });
    }
    for path in paths("ServerCertificate") {
        let (number, bytes) = file(&path);
        let wrong = wrong_certificate(bytes);
        log.check(wrong.is_none(), "client-certificate", || {
            let place = Location::partition(number).path(&path);
            let text = wrong.unwrap_or_default();
            (
                place,
                format!("{text}, but the update client trusts it as its server's"),
            )
        });
    }
}

/// Why a file is not a public key that clients can use.
fn wrong_key(bytes: Option<Vec<u8>>) -> Option<String> {
    let Some(bytes) = bytes else {
        return Some("the file is missing".to_owned());
    };
    match keyfile::examine(&bytes) {
        KeyFile::Private(key) => Some(format!("it holds a private key ({})", key.form)),
        KeyFile::Pem(blocks) if matches!(blocks.as_slice(), [one] if one.label == "PUBLIC KEY") => {
            let key = Verifier::from_pem(&String::from_utf8_lossy(&bytes));
            key.err().map(|error| error.to_string())
        }
        _ => Some("it is not one public key in PEM form".to_owned()),
    }
}

/// Why a file is not certificates.
fn wrong_certificate(bytes: Option<Vec<u8>>) -> Option<String> {
    let Some(bytes) = bytes else {
        return Some("the file is missing".to_owned());
    };
    match keyfile::examine(&bytes) {
        KeyFile::Private(key) => Some(format!("it holds a private key ({})", key.form)),
        KeyFile::Pem(blocks) => {
            let good = blocks.iter().all(|block| {
                block.label == "CERTIFICATE"
                    && block.der.as_deref().is_some_and(keyfile::is_certificate)
            });
            (!good).then(|| "it holds something else than certificates".to_owned())
        }
        _ => Some("it is not a certificate in PEM form".to_owned()),
    }
}

/// Reports private keys in slot A, on the boot and the data partition: those that the golden image
/// does not have are errors, if it is known; without it they are warnings.
pub(super) fn private_keys(disk: &Disk, roles: &Roles, request: &Request<'_>, log: &mut Log) {
    let Some(root) = disk.files(roles.a) else {
        return;
    };
    let accepted = accepted(&root.tree);
    let boot_mount = super::boot_mount(disk, roles).unwrap_or_default();
    let parts = [
        (Some(roles.a), ""),
        (roles.boot, boot_mount.as_str()),
        (Some(roles.data), "/data"),
    ];
    for (number, mount) in parts {
        let Some(number) = number else { continue };
        let Some(files) = disk.files(number) else {
            continue;
        };
        let mut all = 0_usize;
        let mut searched: Vec<&Content> = Vec::new();
        files.tree.visit(&mut |_, entry| {
            let Some(content) = file_of(&files.tree, entry) else {
                return;
            };
            all = all.saturating_add(1);
            if content.len() <= SEARCHED {
                searched.push(content);
            }
        });
        let known = request.searched;
        let keys = side_by_side::map(&searched, |content| private_key_in(content, known));
        // In the same order: paths are made for the files that need them.
        let mut keys = keys.into_iter();
        let mut found: Vec<(Vec<u8>, PrivateKey, &Content)> = Vec::new();
        files.tree.visit(&mut |path, entry| {
            let content = file_of(&files.tree, entry);
            let Some(content) = content.filter(|content| content.len() <= SEARCHED) else {
                return;
            };
            if let Some(key) = keys.next().flatten()
                && !accepted.contains(&format!("{mount}{}", show(path)))
            {
                found.push((path.to_vec(), key, content));
            }
        });
        // Everybody can have what packages bring: examples, and keys for tests.
        let of_root = found.iter().filter(|_| mount.is_empty());
        let paths: Vec<&[u8]> = of_root.map(|(path, ..)| path.as_slice()).collect();
        let packaged = packaged_of(&root.tree, &paths);
        for (path, PrivateKey { form, .. }, content) in &found {
            if packaged.contains(path.as_slice()) {
                continue;
            }
            let (severity, why) = judge(content, request.golden_keys.as_ref());
            log.add(
                severity,
                "private-key",
                Location::partition(number).path(show(path)),
                format!("it holds a private key ({form}), {why}"),
            );
        }
        log.passed_all(all);
    }
}

/// The content of an entry that is a regular file.
fn file_of<'t>(tree: &'t Tree, entry: &DirEntry) -> Option<&'t Content> {
    let DirEntry::Leaf(id) = entry else {
        return None;
    };
    match &tree.leaf(*id).kind {
        LeafKind::File(content) => Some(content),
        _ => None,
    }
}

/// The first private key in a file; none if it cannot be read, which other checks find.
fn private_key_in(content: &Content, searched: Option<&SearchedFiles>) -> Option<PrivateKey> {
    let search = || keyfile::private_key_in(content).ok().flatten();
    let entry = searched.and_then(|searched| searched.entry(content, 0..content.len()));
    match entry {
        Some(entry) => entry.value.get_or_init(search).clone(),
        None => search(),
    }
}

/// How bad a private key is, and why.
fn judge(content: &Content, golden: Option<&BTreeSet<[u8; 32]>>) -> (Severity, &'static str) {
    let Some(golden) = golden else {
        return (Severity::Warning, "which is the same on every device");
    };
    let digest = sha256(content).ok();
    if digest.is_some_and(|digest| golden.contains(&digest)) {
        (
            Severity::Note,
            "as in the golden image; it is the same on every device",
        )
    } else {
        (Severity::Error, "which the golden image does not have")
    }
}

/// The paths that the owner of the image accepts.
fn accepted(root: &Tree) -> BTreeSet<String> {
    let bytes = read(root, ACCEPTED).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let paths = text.lines().filter_map(|line| line.split_once('\t'));
    paths.map(|(path, _)| path.to_owned()).collect()
}

/// The SHA-256 of each file of a tree that holds a private key.
///
/// # Errors
/// I/O errors of the files.
pub fn key_files(tree: &Tree) -> std::io::Result<BTreeSet<[u8; 32]>> {
    let mut out = BTreeSet::new();
    let mut failed = None;
    tree.visit(&mut |_, entry| {
        let DirEntry::Leaf(id) = entry else { return };
        let LeafKind::File(content) = &tree.leaf(*id).kind else {
            return;
        };
        if content.len() > SEARCHED {
            return;
        }
        match keyfile::private_key_in(content) {
            Ok(None) => {}
            Ok(Some(_)) => match sha256(content) {
                Ok(digest) => drop(out.insert(digest)),
                Err(error) => failed = Some(error),
            },
            Err(error) => failed = Some(error),
        }
    });
    failed.map_or(Ok(out), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::unchanging;
    use std::sync::Arc;

    #[test]
    fn files_of_the_same_bytes_are_searched_once() {
        let line = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n";
        let (label, lines) = ("RSA PRIVATE KEY-----\n", line.repeat(3));
        let key = format!("-----BEGIN {label}{lines}-----END {label}").into_bytes();
        let source = unchanging(key.clone());
        let [one, twin] = [&source, &source].map(|source| Content::whole(Arc::clone(source)));
        let searched = SearchedFiles::default();
        let found = private_key_in(&one, Some(&searched));
        assert_eq!(found.unwrap().form, "RSA PRIVATE KEY");
        let entry = searched.entry(&twin, 0..twin.len()).unwrap();
        assert!(!entry.is_new && entry.value.get().is_some());
        // What is known is believed.
        let other = Content::whole(unchanging(key.clone()));
        let entry = searched.entry(&other, 0..other.len()).unwrap();
        entry.value.set(None).unwrap();
        assert!(private_key_in(&other, Some(&searched)).is_none());
        assert!(private_key_in(&other, None).is_some());
        // Bytes of another file are searched in any case.
        let plain = Content::bytes(key);
        assert!(private_key_in(&plain, Some(&searched)).is_some());
    }
}
