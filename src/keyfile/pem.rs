//! PEM blocks (RFC 7468) and what looks like them: OpenSSH, OpenPGP (RFC 9580) and SSH2 (RFC 4716).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// The longest label (bytes).
const LABEL_MAX: usize = 64;
/// The longest block (bytes).
pub(super) const BLOCK_MAX: usize = 64 << 10;
/// Fewer letters of base64 than any key has: examples in manuals have fewer.
const LETTERS_MIN: usize = 40;

/// A block in PEM form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The label, as in `PUBLIC KEY`.
    pub label: String,
    /// The decoded bytes; `None` if it is not base64, or has no end.
    pub der: Option<Vec<u8>>,
}

/// All blocks of a file, in their order.
#[must_use]
pub fn blocks(file: &[u8]) -> Vec<Block> {
    let mut out = Vec::new();
    for at in memchr::memmem::find_iter(file, b"-----BEGIN ") {
        let rest = file.get(at..).unwrap_or_default();
        let Some((label, body)) = opening(rest) else {
            continue;
        };
        let end = format!("-----END {label}-----");
        let der = memchr::memmem::find(body, end.as_bytes())
            .and_then(|end| body.get(..end))
            .and_then(decoded);
        out.push(Block { label, der });
    }
    out
}

/// The label of the block that begins with `text`, and all that follows its first line.
pub(super) fn opening(text: &[u8]) -> Option<(String, &[u8])> {
    let rest = text
        .strip_prefix(b"-----BEGIN ")
        .or_else(|| text.strip_prefix(b"---- BEGIN "))?;
    let line = rest.get(..rest.len().min(LABEL_MAX))?;
    let len = memchr::memmem::find(line, b"----")?;
    let (label, body) = rest.split_at_checked(len)?;
    let label = label.trim_ascii_end();
    let good =
        |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b" #".contains(byte);
    if label.is_empty() || !label.iter().all(good) {
        return None;
    }
    let dashes = body.iter().take_while(|byte| **byte == b'-').count();
    let label = String::from_utf8_lossy(label).into_owned();
    Some((label, body.get(dashes..)?))
}

/// The bytes of a block's body in base64, without its headers.
fn decoded(body: &[u8]) -> Option<Vec<u8>> {
    let letters = letters(body)?;
    STANDARD_NO_PAD.decode(letters).ok()
}

/// Whether a block with this body has a key in it, and is not an example or a name of the format.
pub(super) fn has_key(body: &[u8]) -> bool {
    let body = body.get(..body.len().min(BLOCK_MAX)).unwrap_or(body);
    let ends = [&b"-----END"[..], b"---- END"].map(|end| memchr::memmem::find(body, end));
    let end = ends.into_iter().flatten().min();
    let body = end.and_then(|end| body.get(..end)).unwrap_or(body);
    let run = if end.is_some() {
        letters(body).map_or(0, |letters| letters.len())
    } else {
        // Cut off: the first letters are enough.
        let lines = unescaped(body);
        let text = after_headers(&lines);
        let is_letter = |byte: &&u8| is_base64(**byte) || byte.is_ascii_whitespace();
        text.iter()
            .take_while(is_letter)
            .filter(|byte| is_base64(**byte))
            .count()
    };
    run >= LETTERS_MIN
}

/// The letters of base64 of a body; `None` if there is anything else in it.
fn letters(body: &[u8]) -> Option<Vec<u8>> {
    let text = unescaped(body);
    let mut out = Vec::new();
    for line in after_headers(&text).split(|byte| *byte == b'\n') {
        // The checksum of OpenPGP.
        if line.trim_ascii().starts_with(b"=") {
            break;
        }
        for byte in line {
            match byte {
                _ if is_base64(*byte) => out.push(*byte),
                b'=' | b'"' | b'\'' | b',' | b'#' | b'>' | b'|' | b'*' => {}
                _ if byte.is_ascii_whitespace() => {}
                _ => return None,
            }
        }
    }
    Some(out)
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/'
}

/// Without the headers `Name: value`, which may continue after a backslash, at the start.
fn after_headers(text: &[u8]) -> &[u8] {
    let mut rest = text;
    let mut continued = false;
    loop {
        let len = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at.saturating_add(1));
        let (line, after) = rest.split_at_checked(len).unwrap_or((rest, &[]));
        let is_header = continued || line.contains(&b':') || line.trim_ascii().is_empty();
        if !is_header || line.is_empty() {
            return rest;
        }
        continued = line.trim_ascii().ends_with(b"\\");
        rest = after;
    }
}

/// With newlines in place of the escapes `\n` and `\r` of JSON, shells and C.
fn unescaped(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let escape = (*byte == b'\\').then(|| rest.first()).flatten();
        match escape {
            Some(b'n' | b'r' | b't' | b'\\') => {
                let next = if rest.first() == Some(&b'\\') {
                    b' '
                } else {
                    b'\n'
                };
                out.push(next);
                // The second of two backslashes may begin an escape of its own.
                if rest.first() != Some(&b'\\') {
                    rest = rest.get(1..).unwrap_or_default();
                }
            }
            _ => out.push(*byte),
        }
    }
    out
}
