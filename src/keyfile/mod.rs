//! Keys and certificates in files: what a file holds, and whether a private key is in it, in any of
//! the common forms. Nothing is decrypted and no key is used.
//!
//! | form | recognised by |
//! | --- | --- |
//! | PEM, OpenSSH, OpenPGP, SSH2 | armour (RFC 7468, 4716, 9580) anywhere in the file, also indented, escaped, in base64 or in UTF-16 |
//! | PKCS #1, SEC 1, DSA, PKCS #8, PKCS #12 | the whole file in DER (RFC 8017, 5915, 5958, 7292) |
//! | JKS, OpenPGP, Dropbear | the whole file, binary |
//! | PuTTY, GnuPG, WireGuard, DNSSEC, JWK, age, minisign, Tor, printed by OpenSSL | their keywords |

#![deny(
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing
)]
#![cfg_attr(
    test,
    allow(
        clippy::as_conversions,
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing
    )
)]

mod binary;
mod der;
mod pem;
mod ssh;
mod text;

pub use der::DerKind;
pub use pem::{Block, blocks};
pub use ssh::authorized_key;

use crate::stream::ReadAt;
use std::io;

/// Bytes of a file that are searched at a time.
const WINDOW: u64 = 1 << 20;
/// The largest private key in text (bytes): what two windows share.
const OVERLAP: u64 = 64 << 10;
/// The largest file that is a key as a whole (bytes).
const WHOLE: u64 = 1 << 20;

/// A private key in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateKey {
    /// Its form, as in `RSA PRIVATE KEY`.
    pub form: String,
    /// The bytes from the start of the file to the key.
    pub offset: u64,
}

impl PrivateKey {
    fn new(form: impl Into<String>, offset: usize) -> Self {
        Self {
            form: form.into(),
            offset: u64::try_from(offset).unwrap_or(u64::MAX),
        }
    }
}

/// The first private key in a file that is in memory.
#[must_use]
pub fn private_key(file: &[u8]) -> Option<PrivateKey> {
    if let Some(text) = text::utf16(file) {
        return text::private_key(text.as_bytes());
    }
    let whole = der::kind(file)
        .and_then(DerKind::private)
        .or_else(|| binary::private_key(file));
    let whole = whole.map(|form| PrivateKey::new(form, 0));
    whole.or_else(|| text::private_key(file))
}

/// The first private key in a file, which is read in windows.
///
/// # Errors
/// I/O errors of the file.
pub fn private_key_in(file: &dyn ReadAt) -> io::Result<Option<PrivateKey>> {
    if file.len() <= WHOLE {
        return Ok(private_key(&read(file, 0, file.len())?));
    }
    let mut start = 0_u64;
    while start < file.len() {
        let len = WINDOW.min(file.len().saturating_sub(start));
        let window = read(file, start, len)?;
        if let Some(found) = text::private_key(&window) {
            let offset = found.offset.saturating_add(start);
            return Ok(Some(PrivateKey { offset, ..found }));
        }
        let end = start.saturating_add(len);
        if end >= file.len() {
            break;
        }
        start = end.saturating_sub(OVERLAP);
    }
    Ok(None)
}

fn read(file: &dyn ReadAt, offset: u64, len: u64) -> io::Result<Vec<u8>> {
    let mut out = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    file.read_exact_at(offset, &mut out)?;
    Ok(out)
}

/// What a file holds that should hold a public key or certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFile {
    /// A private key, perhaps after other things.
    Private(PrivateKey),
    /// Blocks in PEM form, at least one.
    Pem(Vec<Block>),
    /// One object in DER form.
    Der(DerKind),
    /// A public key of SSH, on one line.
    Ssh,
    /// None of these.
    Other,
}

/// What `file` holds.
#[must_use]
pub fn examine(file: &[u8]) -> KeyFile {
    if let Some(key) = private_key(file) {
        return KeyFile::Private(key);
    }
    let blocks = blocks(file);
    if !blocks.is_empty() {
        return KeyFile::Pem(blocks);
    }
    if let Some(kind) = der::kind(file) {
        return KeyFile::Der(kind);
    }
    let ssh = ["ssh-", "ecdsa-sha2-", "sk-", "---- BEGIN SSH2 PUBLIC KEY"];
    if ssh.iter().any(|start| file.starts_with(start.as_bytes())) {
        return KeyFile::Ssh;
    }
    KeyFile::Other
}

/// Whether these bytes are a certificate in DER form (X.509, RFC 5280).
#[must_use]
pub fn is_certificate(der: &[u8]) -> bool {
    der::kind(der) == Some(DerKind::Certificate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Content;

    /// A block with this label, of 3 lines.
    fn block(label: &str) -> String {
        let line = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";
        format!("-----BEGIN {label}-----\n{line}\n{line}\n{line}\n-----END {label}-----\n")
    }

    fn form(text: &str) -> Option<String> {
        private_key(text.as_bytes()).map(|key| key.form)
    }

    #[test]
    fn armour_is_found_wherever_it_is() {
        let key = block("RSA PRIVATE KEY");
        let json = format!("{{\"key\": \"{}\"}}", key.replace('\n', "\\n"));
        let twice = json.replace("\\n", "\\\\n");
        let indented = key.replace('\n', "\n    ");
        let quoted = format!("# {}", key.replace('\n', "\n# "));
        let encrypted = key.replacen(
            '\n',
            "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n",
            1,
        );
        let public = block("PUBLIC KEY");
        for text in [
            &key,
            &key.replace('\n', "\r\n"),
            &json,
            &twice,
            &indented,
            &quoted,
            &encrypted,
            &format!("{public}{key}"),
            &key[..200].to_owned(),
        ] {
            assert_eq!(form(text).as_deref(), Some("RSA PRIVATE KEY"), "{text}");
        }
        let at = private_key(format!("{public}{key}").as_bytes()).unwrap();
        assert_eq!(at.offset, public.len() as u64);
        let utf16: Vec<u8> = [0xFEFF_u16]
            .into_iter()
            .chain(key.encode_utf16())
            .flat_map(u16::to_le_bytes)
            .collect();
        assert!(private_key(&utf16).is_some());
        let pgp = block("PGP PRIVATE KEY BLOCK").replacen('\n', "\nVersion: x\n\n", 1);
        assert_eq!(form(&pgp).as_deref(), Some("PGP PRIVATE KEY BLOCK"));
        let ssh2 = block("SSH2 ENCRYPTED PRIVATE KEY")
            .replace("-----BEGIN", "---- BEGIN")
            .replace("KEY-----", "KEY ----");
        assert_eq!(form(&ssh2).as_deref(), Some("SSH2 ENCRYPTED PRIVATE KEY"));
    }

    #[test]
    fn examples_and_names_of_formats_are_not_keys() {
        for text in [
            "-----BEGIN RSA PRIVATE KEY-----\0-----END RSA PRIVATE KEY-----\0",
            "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC...\n-----END PRIVATE KEY-----\n",
            "-----BEGIN PRIVATE KEY-----\n<your key>\n-----END PRIVATE KEY-----\n",
            "grep -q 'BEGIN PRIVATE KEY' file",
            "PrivateKey = <key>\n",
            "\"kty\": \"EC\", \"d\": \"...\"",
            "privateExponent:\n",
            &block("PUBLIC KEY"),
            &block("CERTIFICATE"),
        ] {
            assert_eq!(form(text), None, "{text}");
        }
    }

    #[test]
    fn other_forms_have_keywords() {
        let key = "mNf8ljbvYk0fJZcJZcJZcJZcJZcJZcJZcJZcJZcJZc0=";
        let hex = "00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:\n    ff:00:11:22:\n";
        let long = "a".repeat(120);
        for (text, expected) in [
            (
                format!("[Interface]\nPrivateKey = {key}\n"),
                "WireGuard private key",
            ),
            (format!("private-key={key}\n"), "WireGuard private key"),
            (
                format!("privateExponent:\n    {hex}"),
                "private key printed by OpenSSL",
            ),
            (format!("Key: (private-key (rsa {hex}"), "GnuPG private key"),
            (
                "PuTTY-User-Key-File-3: ssh-rsa\nPrivate-Lines: 1\n".to_owned(),
                "PuTTY private key",
            ),
            (
                format!("{{\"kty\":\"RSA\", \"d\": \"{long}\"}}"),
                "JSON Web Key with its private part",
            ),
            (
                format!("untrusted comment: minisign secret key\n{long}\n"),
                "minisign private key",
            ),
            (
                format!("AGE-SECRET-KEY-1{}", long.to_uppercase()),
                "age private key",
            ),
        ] {
            assert_eq!(form(&text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn large_files_are_searched_to_their_end() {
        let key = block("EC PRIVATE KEY");
        for before in [WHOLE, WINDOW - 300, WINDOW - 20, 2 * WINDOW] {
            let mut file = Content::hole(before);
            file.push_bytes(before, key.as_bytes());
            let found = private_key_in(&file).unwrap().unwrap();
            assert_eq!(
                (found.offset, found.form.as_str()),
                (before, "EC PRIVATE KEY")
            );
        }
    }
}
