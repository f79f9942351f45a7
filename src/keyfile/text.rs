//! Private keys in text, anywhere in a file.

use super::PrivateKey;
use super::pem::{BLOCK_MAX, has_key, opening};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use memchr::memmem;

/// Base64 of `-----BEGIN `, in whose place other letters could only begin later.
const ENCODED: &[u8] = b"LS0tLS1CRUdJTi";
/// The letters of a key of 32 bytes in base64, without the padding.
const KEY_32: usize = 43;

/// The text of a file in UTF-16 with a byte order mark.
pub(super) fn utf16(file: &[u8]) -> Option<String> {
    let (rest, is_little) = match file {
        [0xFF, 0xFE, rest @ ..] => (rest, true),
        [0xFE, 0xFF, rest @ ..] => (rest, false),
        _ => return None,
    };
    let unit = |pair: &[u8; 2]| {
        if is_little {
            u16::from_le_bytes(*pair)
        } else {
            u16::from_be_bytes(*pair)
        }
    };
    let units = rest.as_chunks::<2>().0.iter().map(unit);
    let chars = char::decode_utf16(units).map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER));
    Some(chars.collect())
}

/// The first private key in `text`.
pub(super) fn private_key(text: &[u8]) -> Option<PrivateKey> {
    let found = [armoured(text), encoded(text), keywords(text), json(text)];
    found.into_iter().flatten().min_by_key(|found| found.offset)
}

/// A block whose label says that it is a private key.
fn armoured(text: &[u8]) -> Option<PrivateKey> {
    memmem::find_iter(text, b"PRIVATE KEY").find_map(|at| {
        let before = text.get(at.saturating_sub(BEFORE)..at)?;
        let start = memmem::rfind(before, b"---- BEGIN ")
            .or_else(|| memmem::rfind(before, b"-----BEGIN "))?;
        let start = at.saturating_sub(before.len().saturating_sub(start));
        let (label, body) = opening(text.get(start..)?)?;
        let is_private = label.ends_with("PRIVATE KEY") || label.ends_with("PRIVATE KEY BLOCK");
        (is_private && has_key(body)).then(|| PrivateKey::new(label, start))
    })
}

/// The longest start of a block before `PRIVATE KEY` (bytes).
const BEFORE: usize = 48;

/// A block that is in base64 as a whole, as in secrets of Kubernetes.
fn encoded(text: &[u8]) -> Option<PrivateKey> {
    memmem::find_iter(text, ENCODED).find_map(|at| {
        let rest = text.get(at..)?;
        let rest = rest.get(..rest.len().min(BLOCK_MAX)).unwrap_or(rest);
        let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+/\r\n \t\\".contains(byte);
        let letters: Vec<u8> = rest
            .iter()
            .take_while(is_part)
            .filter(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(byte))
            .copied()
            .collect();
        let whole = letters.len().saturating_sub(letters.len() % 4);
        let decoded = STANDARD_NO_PAD.decode(letters.get(..whole)?).ok()?;
        let found = armoured(&decoded)?;
        Some(PrivateKey::new(format!("{} in base64", found.form), at))
    })
}

/// Part of most keywords: a file without it is searched for the others alone.
const STEM: &[u8] = b"rivate";

/// What follows a keyword if it is a private key.
type Follows = fn(&[u8]) -> bool;

/// Formats that have keywords of their own.
fn keywords(text: &[u8]) -> Option<PrivateKey> {
    let keywords: [(&[u8], &str, Follows); 12] = [
        (b"PuTTY-User-Key-File-", "PuTTY private key", |rest| {
            near(rest, b"Private-Lines:")
        }),
        (b"(11:private-key", "GnuPG private key", any),
        (b"(21:protected-private-key", "GnuPG private key", any),
        (b"Key: (private-key", "GnuPG private key", any),
        (b"Key: (protected-private-key", "GnuPG private key", any),
        (b"PrivateKey", "WireGuard private key", is_assigned_key),
        (b"private-key", "WireGuard private key", is_assigned_key),
        (b"Private-key-format: v", "DNSSEC private key", |rest| {
            near(rest, b"PrivateExponent:") || near(rest, b"PrivateKey:")
        }),
        (b"AGE-SECRET-KEY-1", "age private key", |rest| {
            letters(rest) >= 50
        }),
        (b"== ed25519v1-secret:", "Tor private key", any),
        (
            b"privateExponent:",
            "private key printed by OpenSSL",
            is_hex_dump,
        ),
        (b"\npriv:", "private key printed by OpenSSL", is_hex_dump),
    ];
    let has_stem = memmem::find(text, STEM).is_some();
    let possible = keywords
        .into_iter()
        .filter(|(keyword, ..)| has_stem || memmem::find(keyword, STEM).is_none());
    let found = possible.filter_map(|(keyword, form, follows)| {
        let mut places = memmem::find_iter(text, keyword);
        let at = places.find(|at| {
            let rest = text.get(at.saturating_add(keyword.len())..);
            rest.is_some_and(follows)
        })?;
        Some(PrivateKey::new(form, at))
    });
    found.chain(minisign(text)).min_by_key(|found| found.offset)
}

fn any(_: &[u8]) -> bool {
    true
}

fn near(rest: &[u8], wanted: &[u8]) -> bool {
    let rest = rest.get(..rest.len().min(4 << 10)).unwrap_or(rest);
    memmem::find(rest, wanted).is_some()
}

/// How many letters of base64 `rest` begins with.
fn letters(rest: &[u8]) -> usize {
    let is_letter = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'+' || **byte == b'/';
    rest.iter().take_while(is_letter).count()
}

/// ` = KEY`, a key of 32 bytes in base64.
fn is_assigned_key(rest: &[u8]) -> bool {
    let Some(value) = rest.trim_ascii_start().strip_prefix(b"=") else {
        return false;
    };
    let value = value.trim_ascii_start();
    letters(value) == KEY_32 && value.get(KEY_32) == Some(&b'=')
}

/// Lines of hexadecimal bytes with colons, as OpenSSL prints numbers.
fn is_hex_dump(rest: &[u8]) -> bool {
    let is_digit =
        |byte: &&u8| byte.is_ascii_hexdigit() || **byte == b':' || byte.is_ascii_whitespace();
    let digits = rest.iter().take_while(is_digit);
    digits.filter(|byte| **byte == b':').count() >= 16
}

/// A secret key of minisign or signify: two lines.
fn minisign(text: &[u8]) -> Option<PrivateKey> {
    let mut lines = text.splitn(3, |byte| *byte == b'\n');
    let (comment, key) = (lines.next()?, lines.next()?);
    let is_secret = comment.starts_with(b"untrusted comment:")
        && memmem::find(comment, b"secret key").is_some()
        && letters(key) >= 90;
    is_secret.then(|| PrivateKey::new("minisign private key", 0))
}

/// A JSON Web Key (RFC 7517) with its private part, or the same in XML (XMLDSig).
fn json(text: &[u8]) -> Option<PrivateKey> {
    let jwk = memmem::find_iter(text, br#""kty""#).find(|at| {
        let start = at.saturating_sub(4 << 10);
        let end = at.saturating_add(4 << 10).min(text.len());
        let around = text.get(start..end).unwrap_or_default();
        let has_value = |at: usize| {
            let rest = around.get(at.saturating_add(3)..).unwrap_or_default();
            let value = rest
                .trim_ascii_start()
                .strip_prefix(b":")
                .unwrap_or_default();
            let value = value
                .trim_ascii_start()
                .strip_prefix(b"\"")
                .unwrap_or_default();
            let is_letter = |byte: &&u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
            value.iter().take_while(is_letter).count() >= 40
        };
        let mut private = memmem::find_iter(around, br#""d""#);
        private.any(has_value)
    });
    let jwk = jwk.map(|at| PrivateKey::new("JSON Web Key with its private part", at));
    let xml = memmem::find_iter(text, b"<RSAKeyValue>").find(|at| {
        let rest = text.get(*at..).unwrap_or_default();
        near(rest, b"<D>")
    });
    let xml = xml.map(|at| PrivateKey::new("RSA private key in XML", at));
    jwk.into_iter().chain(xml).min_by_key(|found| found.offset)
}
