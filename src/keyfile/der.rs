//! Keys and certificates in DER (X.690), by their structure.

/// What a DER file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DerKind {
    /// A private key of this form.
    Private(&'static str),
    /// A public key: SubjectPublicKeyInfo.
    Public,
    /// A public RSA key: PKCS #1.
    RsaPublic,
    /// An X.509 certificate.
    Certificate,
    /// A sequence of something else.
    Other,
}

impl DerKind {
    /// The form of the private key, if it is one.
    #[must_use]
    pub fn private(self) -> Option<&'static str> {
        match self {
            Self::Private(form) => Some(form),
            _ => None,
        }
    }
}

const INTEGER: u8 = 2;
const BITS: u8 = 3;
const OCTETS: u8 = 4;
const OID: u8 = 6;
const SEQUENCE: u8 = 0x30;
/// The context-specific tag 0, of the version of a certificate.
const VERSION: u8 = 0xA0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// Encryption schemes: PKCS #5, and those of PKCS #12.
const ENCRYPTION: [&[u8]; 2] = [
    b"\x2A\x86\x48\x86\xF7\x0D\x01\x05",
    b"\x2A\x86\x48\x86\xF7\x0D\x01\x0C\x01",
];
/// The object IDs of a key and of an encrypted key in PKCS #12.
const KEY_BAGS: [&[u8]; 2] = [
    b"\x06\x0B\x2A\x86\x48\x86\xF7\x0D\x01\x0C\x0A\x01\x01",
    b"\x06\x0B\x2A\x86\x48\x86\xF7\x0D\x01\x0C\x0A\x01\x02",
];
/// More elements than any key has.
const ELEMENTS: usize = 64;

type Element<'a> = (u8, &'a [u8]);

/// What the whole of `bytes` is; `None` if it is not one DER sequence.
pub(super) fn kind(bytes: &[u8]) -> Option<DerKind> {
    let (tag, content) = match element(bytes) {
        Some((element, rest)) if rest.iter().all(u8::is_ascii_whitespace) => element,
        // PKCS #12 is often in BER, whose lengths are indefinite.
        _ if bytes.starts_with(b"\x30\x80\x02\x01\x03") => return Some(pkcs12(bytes)),
        _ => return None,
    };
    if tag != SEQUENCE {
        return None;
    }
    let Some(parts) = elements(content) else {
        return Some(DerKind::Other);
    };
    Some(sequence(&parts, bytes))
}

fn sequence(parts: &[Element<'_>], whole: &[u8]) -> DerKind {
    let small = |number: &[u8], max: u8| matches!(number, [one] if *one <= max);
    let integers = parts.iter().all(|(tag, _)| *tag == INTEGER);
    match parts {
        [(INTEGER, version), ..] if integers && parts.len() == 9 && small(version, 1) => {
            DerKind::Private("RSA private key, DER")
        }
        [(INTEGER, version), ..] if integers && parts.len() == 6 && small(version, 0) => {
            DerKind::Private("DSA private key, DER")
        }
        [(INTEGER, version), (SEQUENCE, algorithm), (OCTETS, _), ..]
            if small(version, 1) && starts_with_oid(algorithm) =>
        {
            DerKind::Private("PKCS #8 private key, DER")
        }
        [(INTEGER, version), (OCTETS, _), ..] if small(version, 1) => {
            DerKind::Private("EC private key, DER")
        }
        [(SEQUENCE, algorithm), (OCTETS, _)] if is_encryption(algorithm) => {
            DerKind::Private("encrypted PKCS #8 private key, DER")
        }
        [(INTEGER, [3]), (SEQUENCE, _), ..] => pkcs12(whole),
        [(INTEGER, _), (INTEGER, _)] => DerKind::RsaPublic,
        [(SEQUENCE, algorithm), (BITS, _)] if starts_with_oid(algorithm) => DerKind::Public,
        [(SEQUENCE, body), (SEQUENCE, algorithm), (BITS, _)]
            if starts_with_oid(algorithm) && is_certificate_body(body) =>
        {
            DerKind::Certificate
        }
        _ => DerKind::Other,
    }
}

/// PKCS #12 names the kinds of its contents in the clear.
fn pkcs12(bytes: &[u8]) -> DerKind {
    let holds_key = KEY_BAGS
        .iter()
        .any(|id| memchr::memmem::find(bytes, id).is_some());
    if holds_key {
        DerKind::Private("PKCS #12 private key")
    } else {
        DerKind::Other
    }
}

fn starts_with_oid(sequence: &[u8]) -> bool {
    element(sequence).is_some_and(|((tag, _), _)| tag == OID)
}

fn is_encryption(sequence: &[u8]) -> bool {
    element(sequence).is_some_and(|((tag, id), _)| {
        tag == OID && ENCRYPTION.iter().any(|scheme| id.starts_with(scheme))
    })
}

/// The signed part of a certificate: serial number, algorithm, issuer, validity, subject, key.
fn is_certificate_body(body: &[u8]) -> bool {
    let Some(parts) = elements(body) else {
        return false;
    };
    let parts = match parts.as_slice() {
        [(VERSION, _), rest @ ..] => rest,
        all => all,
    };
    let [
        (INTEGER, _),
        (SEQUENCE, algorithm),
        (SEQUENCE, _),
        (SEQUENCE, validity),
        (SEQUENCE, _),
        (SEQUENCE, key),
        ..,
    ] = parts
    else {
        return false;
    };
    let is_time = |(tag, _): &Element<'_>| matches!(*tag, UTC_TIME | GENERALIZED_TIME);
    let times =
        elements(validity).is_some_and(|times| times.len() == 2 && times.iter().all(is_time));
    let key = elements(key).is_some_and(|key| matches!(key.as_slice(), [(SEQUENCE, _), (BITS, _)]));
    starts_with_oid(algorithm) && times && key
}

/// The elements that fill `content`.
fn elements(mut content: &[u8]) -> Option<Vec<Element<'_>>> {
    let mut out = Vec::new();
    while !content.is_empty() {
        let (one, rest) = element(content)?;
        out.push(one);
        if out.len() > ELEMENTS {
            return None;
        }
        content = rest;
    }
    Some(out)
}

/// The first element of `bytes`, and the bytes after it.
fn element(bytes: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (len, rest) = match first.checked_sub(0x80) {
        None => (usize::from(*first), rest),
        Some(count @ 1..=4) => {
            let (digits, rest) = rest.split_at_checked(count.into())?;
            let len = digits.iter().try_fold(0_usize, |len, digit| {
                len.checked_mul(256)?.checked_add(usize::from(*digit))
            })?;
            (len, rest)
        }
        Some(_) => return None,
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some(((*tag, content), rest))
}
