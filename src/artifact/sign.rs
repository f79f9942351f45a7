//! Signing manifests, and checking signatures: RSASSA-PKCS1-v1_5 (RFC 8017, section 8.2) and ECDSA
//! on the curve P-256 with the nonce of RFC 6979, both over SHA-256. So the same key signs the same
//! manifest with the same bytes, always.
//!
//! A signature is stored as base64 on one line without a newline; that of ECDSA is r and s in 32
//! bytes each, not DER.

use crate::input_file;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::Signature as EcSignature;
use p256::elliptic_curve::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePublicKey, LineEnding};
use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::pkcs1v15;
use rsa::signature::{SignatureEncoding, Signer as _, Verifier as _};
use rsa::traits::PublicKeyParts;
use sha2::Sha256;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use zeroize::Zeroizing;

/// The size limit of a key file (bytes).
const KEY_FILE_MAX: usize = 64 << 10;

/// The reason why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// An I/O error of the key file.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Larger than any key.
    #[error("the file is larger than {KEY_FILE_MAX} bytes, so it is not a key")]
    TooLarge,
    /// No PEM block of a known type.
    #[error("no {wanted} in PEM form was found")]
    Absent {
        /// `private key` or `public key`.
        wanted: &'static str,
    },
    /// The file holds something else that has to do with keys.
    #[error("the file holds {what}")]
    Other {
        /// What it holds.
        what: &'static str,
        /// The way to a key that can be used, as an imperative.
        way: &'static str,
    },
    /// The key is encrypted with a password.
    #[error("the private key is encrypted, which is not supported")]
    Encrypted,
    /// The key is damaged, or of an unsupported kind.
    #[error("the {kind} cannot be used: {why}")]
    Unusable {
        /// The kind of key according to its PEM label.
        kind: &'static str,
        /// The error of the decoder.
        why: String,
    },
}

fn unusable(kind: &'static str, why: impl fmt::Display) -> KeyError {
    KeyError::Unusable {
        kind,
        why: why.to_string(),
    }
}

/// The error for a private key in PKCS #8 of another algorithm, which the decoder names by its OID
/// (RFC 8410, section 3; RFC 5480, section 2.1.1).
fn of_other_kind(text: &str, error: impl fmt::Display) -> KeyError {
    let what = if text.contains("1.3.101.112") {
        "an Ed25519 key, which update clients do not verify"
    } else if text.contains("1.2.840.10045.2.1") {
        "an EC key of another curve than P-256"
    } else {
        return unusable("private key (RSA or P-256)", error);
    };
    KeyError::Other { what, way: NEW_KEY }
}

/// How to make a key.
const NEW_KEY: &str = "make one that can be used: `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out artifact.key`";

/// What a file without a private key in PEM form holds.
fn other(text: &str) -> KeyError {
    let own_half =
        "the private key of this pair signs; this one belongs in server.verify-key, in PEM form";
    let kinds = [
        (
            "-----BEGIN OPENSSH PRIVATE KEY-----",
            "a private key in the form of OpenSSH",
            "convert a copy of it: `ssh-keygen -p -m PEM -f COPY`; a key of kind ed25519 cannot be converted, make another one",
        ),
        ("PUBLIC KEY-----", "a public key", own_half),
        ("ssh-rsa ", "a public key of OpenSSH", own_half),
        ("ssh-ed25519 ", "a public key of OpenSSH", NEW_KEY),
        ("ecdsa-sha2-", "a public key of OpenSSH", own_half),
        (
            "-----BEGIN CERTIFICATE-----",
            "a certificate",
            "name the private key that belongs to it",
        ),
        ("-----BEGIN PGP ", "an OpenPGP key", NEW_KEY),
        (
            "PuTTY-User-Key-File",
            "a private key in the form of PuTTY",
            "export it: `puttygen KEY -O private-openssh -o artifact.key`",
        ),
    ];
    let found = kinds.into_iter().find(|(mark, ..)| text.contains(mark));
    found.map_or(
        KeyError::Absent {
            wanted: "private key",
        },
        |(_, what, way)| KeyError::Other { what, way },
    )
}

/// The first PEM block with one of `labels`; other blocks such as `EC PARAMETERS` are skipped.
fn block<'a, 'l>(pem: &'a str, labels: &[&'l str]) -> Option<(&'l str, &'a str)> {
    const BEGIN: &str = "-----BEGIN ";
    let (start, label) = pem.match_indices(BEGIN).find_map(|(start, _)| {
        let block = pem.get(start..)?;
        let rest = block.strip_prefix(BEGIN)?;
        let known = |label: &&&str| {
            let rest = rest.strip_prefix(**label);
            rest.is_some_and(|rest| rest.starts_with("-----"))
        };
        Some((block, *labels.iter().find(known)?))
    })?;
    let last = format!("-----END {label}-----");
    let end = start.find(&last)?.checked_add(last.len())?;
    Some((label, start.get(..end)?))
}

/// The content of a key file, which is wiped when it is dropped, and the file.
fn read_key(path: &Path) -> Result<(Zeroizing<String>, File), KeyError> {
    let mut file = input_file::open(path)?;
    // Reserved in full, so that growing does not leave copies of the key in memory.
    let mut bytes = Zeroizing::new(Vec::with_capacity(const { KEY_FILE_MAX + 2 }));
    (&mut file)
        .take(u64::try_from(const { KEY_FILE_MAX + 1 }).unwrap_or(u64::MAX))
        .read_to_end(&mut bytes)
        .map_err(input_file::waiting)?;
    if bytes.len() > KEY_FILE_MAX {
        return Err(KeyError::TooLarge);
    }
    let text = Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned());
    Ok((text, file))
}

/// Runs `work` and overwrites the stack that it used: arithmetic moves keys by value, and only the
/// last of many copies is wiped. Keys in the result must be boxed.
fn scrubbed<T>(work: impl FnOnce() -> T) -> T {
    /// Its frame and those below it are in the place of that of [`scrub`].
    #[inline(never)]
    fn apart<T>(work: impl FnOnce() -> T) -> T {
        work()
    }
    #[inline(never)]
    fn scrub() {
        // Ten times what a signature takes, an eighth of the stack of a thread.
        std::hint::black_box(&mut [0_u8; 256 << 10]);
    }
    let out = apart(work);
    scrub();
    out
}

/// A private key, which is wiped from memory when it is dropped. The RSA library leaves copies of
/// the primes in freed memory, which the allocator must overwrite, as that of the command does.
pub struct Signer(Private);

enum Private {
    Rsa(Box<pkcs1v15::SigningKey<Sha256>>),
    Ec(Box<p256::ecdsa::SigningKey>),
}

/// Two private keys are the same if their public keys are.
impl PartialEq for Signer {
    fn eq(&self, other: &Self) -> bool {
        self.verifier() == other.verifier()
    }
}

impl PartialEq for Verifier {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Public::Rsa(a), Public::Rsa(b)) => rsa_key(a) == rsa_key(b),
            (Public::Ec(a), Public::Ec(b)) => a == b,
            _ => false,
        }
    }
}

fn rsa_key(key: &pkcs1v15::VerifyingKey<Sha256>) -> &rsa::PublicKey {
    key.as_ref()
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.kind())
    }
}

/// A private key and the permissions of its file.
#[derive(Debug)]
pub struct KeyFile {
    /// The private key, ready to sign.
    pub signer: Signer,
    /// The permission bits of the file when others than its owner may read it: worth a warning.
    pub exposed: Option<u32>,
}

impl Signer {
    /// Reads the key file at `path`.
    ///
    /// # Errors
    /// As [`Signer::from_pem`], and I/O errors of the file.
    pub fn open(path: &Path) -> Result<KeyFile, KeyError> {
        use std::os::unix::fs::PermissionsExt;
        let (pem, file) = read_key(path)?;
        let mode = file.metadata()?.permissions().mode() & 0o7777;
        Ok(KeyFile {
            signer: Self::from_pem(&pem)?,
            exposed: (mode & 0o044 != 0).then_some(mode),
        })
    }

    /// Takes an RSA key as PKCS#1 or PKCS#8, or a key on P-256 as SEC 1 or PKCS#8.
    ///
    /// # Errors
    /// If there is no key, or none that can be used.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        scrubbed(|| Self::parsed(pem))
    }

    fn parsed(pem: &str) -> Result<Self, KeyError> {
        let labels = [
            "RSA PRIVATE KEY",
            "EC PRIVATE KEY",
            "PRIVATE KEY",
            "ENCRYPTED PRIVATE KEY",
        ];
        let (label, block) = block(pem, &labels).ok_or_else(|| other(pem))?;
        if label == "ENCRYPTED PRIVATE KEY" || block.contains("Proc-Type: 4,ENCRYPTED") {
            return Err(KeyError::Encrypted);
        }
        let rsa = |key| Self(Private::Rsa(Box::new(pkcs1v15::SigningKey::new(key))));
        let ec = |key: p256::SecretKey| Self(Private::Ec(Box::new(key.into())));
        match label {
            "RSA PRIVATE KEY" => rsa::PrivateKey::from_pkcs1_pem(block)
                .map(rsa)
                .map_err(|e| unusable("RSA private key", e)),
            "EC PRIVATE KEY" => p256::SecretKey::from_sec1_pem(block)
                .map(ec)
                .map_err(|e| unusable("EC private key (P-256)", e)),
            _ => match p256::SecretKey::from_pkcs8_pem(block) {
                Ok(key) => Ok(ec(key)),
                Err(_) => rsa::PrivateKey::from_pkcs8_pem(block)
                    .map(rsa)
                    .map_err(|e| of_other_kind(&e.to_string(), e)),
            },
        }
    }

    /// The content of `manifest.sig` for `manifest`; its length is the same for all manifests.
    ///
    /// # Errors
    /// If the key is too small for the signature.
    pub(super) fn sign(&self, manifest: &[u8]) -> Result<String, KeyError> {
        scrubbed(|| self.signed(manifest))
    }

    fn signed(&self, manifest: &[u8]) -> Result<String, KeyError> {
        Ok(match &self.0 {
            Private::Rsa(key) => STANDARD.encode(
                key.try_sign(manifest)
                    .map_err(|e| unusable("RSA private key", e))?
                    .to_bytes(),
            ),
            Private::Ec(key) => {
                let signature: EcSignature = key
                    .try_sign(manifest)
                    .map_err(|e| unusable("EC private key", e))?;
                STANDARD.encode(signature.to_bytes())
            }
        })
    }

    /// `RSA 3072` or `ECDSA P-256`.
    #[must_use]
    pub fn kind(&self) -> String {
        match &self.0 {
            Private::Rsa(key) => {
                use rsa::signature::Keypair;
                rsa_kind(&key.verifying_key())
            }
            Private::Ec(_) => EC.into(),
        }
    }

    /// The key to check its signatures with.
    #[must_use]
    pub fn verifier(&self) -> Verifier {
        use rsa::signature::Keypair;
        match &self.0 {
            Private::Rsa(key) => Verifier(Public::Rsa(Box::new(key.verifying_key()))),
            Private::Ec(key) => Verifier(Public::Ec(*key.verifying_key())),
        }
    }
}

/// The name of the only supported curve.
const EC: &str = "ECDSA P-256";

fn rsa_kind(key: &pkcs1v15::VerifyingKey<Sha256>) -> String {
    let key: &rsa::PublicKey = key.as_ref();
    format!("RSA {}", key.size().saturating_mul(8))
}

/// A public key, RSA or ECDSA with P-256, that verifies signatures.
#[derive(Clone, Debug)]
pub struct Verifier(Public);

#[derive(Clone, Debug)]
enum Public {
    Rsa(Box<pkcs1v15::VerifyingKey<Sha256>>),
    Ec(p256::ecdsa::VerifyingKey),
}

impl Verifier {
    /// Reads the key file at `path`.
    ///
    /// # Errors
    /// As [`Verifier::from_pem`], and I/O errors of the file.
    pub fn open(path: &Path) -> Result<Self, KeyError> {
        Self::from_pem(&read_key(path)?.0)
    }

    /// Takes an RSA or P-256 key as `PUBLIC KEY` (SubjectPublicKeyInfo).
    ///
    /// # Errors
    /// If there is no key, or none that can be used.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let (_, block) = block(pem, &["PUBLIC KEY"]).ok_or(KeyError::Absent {
            wanted: "public key",
        })?;
        if let Ok(key) = p256::ecdsa::VerifyingKey::from_public_key_pem(block) {
            return Ok(Self(Public::Ec(key)));
        }
        let key = rsa::PublicKey::from_public_key_pem(block)
            .map_err(|e| unusable("public key (RSA or P-256)", e))?;
        Ok(Self(Public::Rsa(Box::new(pkcs1v15::VerifyingKey::new(
            key,
        )))))
    }

    /// `RSA 3072` or `ECDSA P-256`.
    #[must_use]
    pub fn kind(&self) -> String {
        match &self.0 {
            Public::Rsa(key) => rsa_kind(key),
            Public::Ec(_) => EC.into(),
        }
    }

    /// The key in PEM form (`PUBLIC KEY`).
    ///
    /// # Errors
    /// If the key cannot be encoded.
    pub fn pem(&self) -> Result<String, KeyError> {
        match &self.0 {
            Public::Rsa(key) => rsa_key(key)
                .to_public_key_pem(LineEnding::LF)
                .map_err(|e| unusable("RSA public key", e)),
            Public::Ec(key) => key
                .to_public_key_pem(LineEnding::LF)
                .map_err(|e| unusable("EC public key", e)),
        }
    }

    /// True when `signature`, decoded, is one of this key over `manifest`.
    pub(super) fn accepts(&self, manifest: &[u8], signature: &[u8]) -> bool {
        match &self.0 {
            Public::Rsa(key) => pkcs1v15::Signature::try_from(signature)
                .is_ok_and(|it| key.verify(manifest, &it).is_ok()),
            Public::Ec(key) => {
                EcSignature::from_slice(signature).is_ok_and(|it| key.verify(manifest, &it).is_ok())
            }
        }
    }
}

/// The decoded content of `manifest.sig`, if it is base64 on one line.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_behind_others() {
        let pem = "x\n-----BEGIN EC PARAMETERS-----\nAA\n-----END EC PARAMETERS-----\n-----BEGIN EC PRIVATE KEY-----\nBB\n-----END EC PRIVATE KEY-----\n";
        let (label, found) = block(pem, &["RSA PRIVATE KEY", "EC PRIVATE KEY"]).unwrap();
        assert_eq!(label, "EC PRIVATE KEY");
        assert!(
            found.starts_with("-----BEGIN EC PRIVATE KEY-----")
                && found.ends_with("-----END EC PRIVATE KEY-----")
        );
        assert!(block(pem, &["PRIVATE KEY"]).is_none());
        assert!(block("-----BEGIN PRIVATE KEY-----\n", &["PRIVATE KEY"]).is_none());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        assert!(matches!(
            Signer::from_pem("hello"),
            Err(KeyError::Absent { .. })
        ));
        let locked =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA\n-----END ENCRYPTED PRIVATE KEY-----";
        assert!(matches!(Signer::from_pem(locked), Err(KeyError::Encrypted)));
        let broken = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----";
        assert!(matches!(
            Signer::from_pem(broken),
            Err(KeyError::Unusable { .. })
        ));
    }
}
