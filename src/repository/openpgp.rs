//! OpenPGP (RFC 9580): keyrings, and signatures of texts. The only code that uses the crate `pgp`,
//! and only to verify.

mod certificate;

use super::fingerprint::Fingerprint;
use super::release::MAX_FUTURE;
use super::signature::{Rejection, SignatureError};
use certificate::Certificate;
use pgp::armor::{BlockType, Dearmor};
use pgp::composed::{CleartextSignedMessage, Deserializable as _, SignedPublicKey};
use pgp::packet::{Packet, PacketParser, Signature, SignatureType};
use std::io::Read as _;

const PUBLIC_BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
const PUBLIC_END: &str = "-----END PGP PUBLIC KEY BLOCK-----";
const SIGNED_BEGIN: &[u8] = b"-----BEGIN PGP SIGNED MESSAGE-----";
/// Maximum number of signatures of one text; Debian's releases have up to four.
const MAX_SIGNATURES: usize = 32;
/// Maximum number of packets of a keyring.
const MAX_PACKETS: usize = 1 << 20;
/// Maximum length of a keyring (bytes); that of all Debian developers has less than 64 MiB.
const MAX_KEYRING: usize = 64 << 20;

/// Why a file is not a keyring.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No certificate in it.
    #[error("it contains no OpenPGP public key")]
    Empty,
    /// Certificates that cannot be read.
    #[error("an OpenPGP public key in it cannot be read: {0}")]
    Corrupt(String),
    /// A private key.
    #[error("it contains a private key; give the public key alone (`gpg --export`)")]
    Private,
    /// A file of a kind that only its program reads.
    #[error("it is a keybox of GnuPG; export its keys with `gpg --export`")]
    Keybox,
    /// Longer than any keyring.
    #[error("it has more than {MAX_KEYRING} bytes")]
    TooLarge,
}

/// A text whose signature was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The signed text alone, with line feeds as ends of lines and without blanks before them.
    pub text: Vec<u8>,
    /// The fingerprint of the primary key of the certificate that signed.
    pub signer: Fingerprint,
}

/// Certificates (keys with their owners' statements about them) that are trusted.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    certificates: Vec<Certificate>,
}

impl Keyring {
    /// Reads the certificates of a file: binary, as in `/usr/share/keyrings/*.gpg`, or armoured
    /// (`*.asc`), one or several. Several copies of one certificate are merged. A certificate that
    /// cannot be read is left out, as long as there is another.
    ///
    /// # Errors
    /// [`KeyError`]
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        if bytes.len() > MAX_KEYRING {
            return Err(KeyError::TooLarge);
        }
        if bytes.get(8..12) == Some(b"KBXf") {
            return Err(KeyError::Keybox);
        }
        let mut blocks = Vec::new();
        if bytes.first().is_some_and(|first| first & 0x80 != 0) {
            blocks.push(bytes.to_vec());
        } else {
            let text = String::from_utf8_lossy(bytes);
            if text.contains("-----BEGIN PGP PRIVATE KEY BLOCK") {
                return Err(KeyError::Private);
            }
            for piece in text.split(PUBLIC_BEGIN).skip(1) {
                let body = piece.split(PUBLIC_END).next().unwrap_or_default();
                let block = format!("{PUBLIC_BEGIN}{body}{PUBLIC_END}\n");
                blocks.push(
                    dearmor(block.as_bytes(), BlockType::PublicKey).map_err(KeyError::Corrupt)?,
                );
            }
        }
        let mut keyring = Self::default();
        let mut fault = None;
        for block in &blocks {
            // The first octet of a packet of a private key (RFC 9580, section 4.2).
            if matches!(block.first(), Some(0x94..=0x97 | 0xC5)) {
                return Err(KeyError::Private);
            }
            for packets in certificates(block, &mut fault) {
                let packets = packets.into_iter().map(Ok).peekable();
                for key in SignedPublicKey::from_packets(packets) {
                    match key {
                        Ok(key) => keyring.add(Certificate::new(key)),
                        Err(e) => _ = fault.get_or_insert_with(|| brief(&e)),
                    }
                }
            }
        }
        match fault {
            _ if !keyring.certificates.is_empty() => Ok(keyring),
            Some(fault) => Err(KeyError::Corrupt(fault)),
            None => Err(KeyError::Empty),
        }
    }

    /// The certificates with these fingerprints. The fingerprint of a primary key means the whole
    /// certificate, that of a subkey only signatures by this subkey.
    #[must_use]
    pub fn restricted_to(&self, fingerprints: &[Fingerprint]) -> Self {
        let restricted = |certificate: &Certificate| certificate.restricted_to(fingerprints);
        Self {
            certificates: self.certificates.iter().filter_map(restricted).collect(),
        }
    }

    /// Adds the certificates of `other`.
    pub fn merge(&mut self, other: Self) {
        for certificate in other.certificates {
            self.add(certificate);
        }
    }

    /// Whether there is no certificate.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }

    /// The fingerprints of the primary keys.
    pub fn fingerprints(&self) -> impl Iterator<Item = Fingerprint> {
        self.certificates.iter().map(Certificate::fingerprint)
    }

    fn add(&mut self, certificate: Certificate) {
        let fingerprint = certificate.fingerprint();
        let mut known = self.certificates.iter_mut();
        match known.find(|known| known.fingerprint() == fingerprint) {
            Some(known) => known.merge(certificate),
            None => self.certificates.push(certificate),
        }
    }

    /// Verifies a clear-signed text (RFC 9580, section 7), such as `InRelease`, at the time `now`
    /// (seconds since 1970). One good signature is enough.
    ///
    /// # Errors
    /// [`SignatureError`], also if there is anything before or after the signed text.
    pub fn verify_clearsigned(&self, text: &[u8], now: u64) -> Result<Verified, SignatureError> {
        if !text.starts_with(SIGNED_BEGIN) {
            return Err(SignatureError::NotSigned(
                "it does not begin with a PGP signed message".to_owned(),
            ));
        }
        let (message, _) = CleartextSignedMessage::from_armor(text)
            .map_err(|e| SignatureError::Malformed(brief(&e)))?;
        let signed = message.signed_text();
        let signer = self.signer(message.signatures(), signed.as_bytes(), now)?;
        Ok(Verified {
            text: signed.replace("\r\n", "\n").into_bytes(),
            signer,
        })
    }

    /// Verifies `data` with a signature in a file of its own (armoured or binary), such as
    /// `Release.gpg`, at the time `now` (seconds since 1970). One good signature is enough.
    ///
    /// # Errors
    /// [`SignatureError`]
    pub fn verify_detached(
        &self,
        data: &[u8],
        signature: &[u8],
        now: u64,
    ) -> Result<Verified, SignatureError> {
        let binary = if signature.first().is_some_and(|first| first & 0x80 != 0) {
            signature.to_vec()
        } else {
            dearmor(signature, BlockType::Signature).map_err(SignatureError::Malformed)?
        };
        let mut signatures = Vec::new();
        for packet in PacketParser::new(binary.as_slice()) {
            match packet {
                Ok(Packet::Signature(signature)) => signatures.push(signature),
                Ok(_) => {
                    let what = "a packet that is not a signature";
                    return Err(SignatureError::Malformed(what.to_owned()));
                }
                Err(e) => return Err(SignatureError::Malformed(brief(&e))),
            }
        }
        Ok(Verified {
            signer: self.signer(&signatures, data, now)?,
            text: data.to_vec(),
        })
    }

    /// The certificate with a good signature of `data`.
    fn signer(
        &self,
        signatures: &[Signature],
        data: &[u8],
        now: u64,
    ) -> Result<Fingerprint, SignatureError> {
        if signatures.is_empty() {
            return Err(SignatureError::NotSigned(
                "the list of signatures is empty".to_owned(),
            ));
        }
        if signatures.len() > MAX_SIGNATURES {
            return Err(SignatureError::Malformed(format!(
                "{} signatures exceed the limit of {MAX_SIGNATURES}",
                signatures.len()
            )));
        }
        let mut rejected = Vec::new();
        for signature in signatures {
            match self.check(signature, data, now) {
                Ok(signer) => return Ok(signer),
                Err(why) => rejected.push(why),
            }
        }
        Err(SignatureError::Rejected(rejected))
    }

    fn check(
        &self,
        signature: &Signature,
        data: &[u8],
        now: u64,
    ) -> Result<Fingerprint, (String, Rejection)> {
        let mut found = (issuer(signature), Rejection::UnknownKey);
        if !matches!(
            signature.typ(),
            Some(SignatureType::Binary | SignatureType::Text)
        ) {
            found.1 = Rejection::Unsupported("a signature that is not one of a text".to_owned());
            return Err(found);
        }
        for certificate in &self.certificates {
            for key in certificate.issuers(signature) {
                let judged = key
                    .verify(signature, data)
                    .and_then(|()| is_current(signature, now))
                    .and_then(|()| certificate.check_key(&key, signature, now));
                match judged {
                    Ok(()) => return Ok(certificate.fingerprint()),
                    Err(why) => found = (key.fingerprint().to_string(), why),
                }
            }
        }
        Err(found)
    }
}

/// The packets of each certificate of a keyring. The first error, if any, goes to `fault`.
fn certificates(bytes: &[u8], fault: &mut Option<String>) -> Vec<Vec<Packet>> {
    let mut out: Vec<Vec<Packet>> = Vec::new();
    for packet in PacketParser::new(bytes).take(MAX_PACKETS) {
        match packet {
            Ok(packet @ Packet::PublicKey(_)) => out.push(vec![packet]),
            Ok(
                packet @ (Packet::PublicSubkey(_)
                | Packet::UserId(_)
                | Packet::UserAttribute(_)
                | Packet::Signature(_)),
            ) => {
                if let Some(last) = out.last_mut() {
                    last.push(packet);
                }
            }
            Ok(_) => {}
            Err(e) => _ = fault.get_or_insert_with(|| brief(&e)),
        }
    }
    out
}

/// The beginning of an error of the crate, without the values that it prints.
fn brief(error: &pgp::errors::Error) -> String {
    let text = error.to_string();
    let text = text.split(['{', '(', '[', '\n']).next().unwrap_or_default();
    text.trim_matches([' ', ':']).chars().take(120).collect()
}

/// Fails if the signature is one of the future, or has expired.
fn is_current(signature: &Signature, now: u64) -> Result<(), Rejection> {
    let Some(made) = certificate::created(signature) else {
        return Err(Rejection::Unsupported(
            "a signature without a date".to_owned(),
        ));
    };
    if made > now.saturating_add(MAX_FUTURE) {
        return Err(Rejection::Future(made));
    }
    match certificate::expires(signature).filter(|at| *at <= now) {
        Some(at) => Err(Rejection::Expired(at)),
        None => Ok(()),
    }
}

/// The key that a signature names: its fingerprint or key ID.
fn issuer(signature: &Signature) -> String {
    let by_fingerprint = signature.issuer_fingerprint();
    let by_id = signature.issuer_key_id();
    match (by_fingerprint.first(), by_id.first()) {
        (Some(fingerprint), _) => Fingerprint::new(fingerprint.as_bytes()).to_string(),
        (None, Some(id)) => id.to_string().to_ascii_uppercase(),
        (None, None) => "without a name".to_owned(),
    }
}

/// The bytes of an armoured block, which must be of type `expected`.
fn dearmor(text: &[u8], expected: BlockType) -> Result<Vec<u8>, String> {
    let mut reader = Dearmor::new(text);
    let mut out = Vec::new();
    reader.read_header().map_err(|e| brief(&e))?;
    if reader.typ.as_ref() != Some(&expected) {
        return Err(format!("it is not a {expected}"));
    }
    reader.read_to_end(&mut out).map_err(|e| e.to_string())?;
    Ok(out)
}
