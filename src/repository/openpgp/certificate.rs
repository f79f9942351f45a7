//! One certificate: a primary key, its subkeys, and what the owner states about them.
//!
//! The owner's statements are signatures by the primary key. Of those about one thing the newest
//! valid one counts (RFC 9580, section 5.2.3.10), so a new date of expiry replaces the old one.
//! Stricter than the format: a key that was ever revoked is revoked, for whatever reason and
//! whatever signature; statements with weak hashes do not count; weak keys are refused.

use super::super::fingerprint::Fingerprint;
use super::super::release::MAX_FUTURE;
use super::super::signature::Rejection;
use pgp::composed::{SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{PublicKey, Signature, SignatureType, SubpacketData};
use pgp::ser::Serialize as _;
use pgp::types::{KeyDetails as _, PublicParams, Tag};
use std::collections::BTreeSet;

/// Smallest length of the modulus of an RSA key (bits).
const MIN_RSA: u16 = 2048;

/// A certificate, and which of its keys are trusted.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    key: SignedPublicKey,
    /// The trusted keys; all if `None`.
    trusted: Option<BTreeSet<Fingerprint>>,
}

/// A key of a certificate.
pub(super) enum Key<'a> {
    Primary(&'a PublicKey),
    Subkey(&'a SignedPublicSubKey),
}

impl Key<'_> {
    pub(super) fn fingerprint(&self) -> Fingerprint {
        match self {
            Self::Primary(key) => Fingerprint::new(key.fingerprint().as_bytes()),
            Self::Subkey(subkey) => Fingerprint::new(subkey.key.fingerprint().as_bytes()),
        }
    }

    /// Fails unless the key made the signature of `data`, and both are strong.
    pub(super) fn verify(&self, signature: &Signature, data: &[u8]) -> Result<(), Rejection> {
        check_form(signature)?;
        let params = match self {
            Self::Primary(key) => key.public_params(),
            Self::Subkey(subkey) => subkey.key.public_params(),
        };
        check_strength(params)?;
        let verified = match self {
            Self::Primary(key) => signature.verify(*key, data),
            Self::Subkey(subkey) => signature.verify(&subkey.key, data),
        };
        verified.map_err(|_| Rejection::Altered)
    }
}

impl Certificate {
    pub(super) fn new(key: SignedPublicKey) -> Self {
        Self { key, trusted: None }
    }

    /// The fingerprint of the primary key.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::new(self.key.primary_key.fingerprint().as_bytes())
    }

    pub(super) fn restricted_to(&self, fingerprints: &[Fingerprint]) -> Option<Self> {
        if fingerprints.contains(&self.fingerprint()) {
            return Some(self.clone());
        }
        let subkeys = self.key.public_subkeys.iter().map(Key::Subkey);
        let trusted: BTreeSet<Fingerprint> = subkeys
            .map(|subkey| subkey.fingerprint())
            .filter(|fingerprint| fingerprints.contains(fingerprint))
            .collect();
        (!trusted.is_empty()).then(|| Self {
            key: self.key.clone(),
            trusted: Some(trusted),
        })
    }

    /// Adds the statements of another copy of the same certificate.
    pub(super) fn merge(&mut self, other: Self) {
        let details = &mut self.key.details;
        let theirs = other.key.details;
        append(
            &mut details.revocation_signatures,
            theirs.revocation_signatures,
        );
        append(&mut details.direct_signatures, theirs.direct_signatures);
        for user in theirs.users {
            match details.users.iter_mut().find(|known| known.id == user.id) {
                Some(known) => append(&mut known.signatures, user.signatures),
                None => details.users.push(user),
            }
        }
        for subkey in other.key.public_subkeys {
            let mut known = self.key.public_subkeys.iter_mut();
            match known.find(|known| known.key == subkey.key) {
                Some(known) => append(&mut known.signatures, subkey.signatures),
                None => self.key.public_subkeys.push(subkey),
            }
        }
        self.trusted = match (self.trusted.take(), other.trusted) {
            (Some(ours), Some(theirs)) => Some(ours.union(&theirs).cloned().collect()),
            _ => None,
        };
    }

    /// The trusted keys that the signature names.
    pub(super) fn issuers(&self, signature: &Signature) -> Vec<Key<'_>> {
        let (fingerprints, ids) = (signature.issuer_fingerprint(), signature.issuer_key_id());
        let named = |key: &Key<'_>| {
            let (fingerprint, id) = match key {
                Key::Primary(key) => (key.fingerprint(), key.legacy_key_id()),
                Key::Subkey(subkey) => (subkey.key.fingerprint(), subkey.key.legacy_key_id()),
            };
            fingerprints.contains(&&fingerprint) || ids.contains(&&id)
        };
        let trusted = |key: &Key<'_>| {
            let listed = self.trusted.as_ref();
            listed.is_none_or(|trusted| trusted.contains(&key.fingerprint()))
        };
        let primary = std::iter::once(Key::Primary(&self.key.primary_key));
        let subkeys = self.key.public_subkeys.iter().map(Key::Subkey);
        let keys = primary.chain(subkeys);
        keys.filter(|key| named(key) && trusted(key)).collect()
    }

    /// Fails unless the owner's statements allow `key` to sign at the time `now` (seconds since
    /// 1970), as it did by `signature`.
    pub(super) fn check_key(
        &self,
        key: &Key<'_>,
        signature: &Signature,
        now: u64,
    ) -> Result<(), Rejection> {
        let primary = &self.key.primary_key;
        check_strength(primary.public_params())?;
        let revocations = self.key.details.revocation_signatures.iter();
        check_revoked(revocations, |revocation| {
            revocation.typ() == Some(SignatureType::KeyRevocation)
                && revocation.verify_key(primary).is_ok()
        })?;
        let statement = self.statement(now).ok_or(Rejection::Unbound)?;
        check_expiry(primary.created_at().as_secs(), statement, now)?;
        match key {
            Key::Primary(_) => {
                // Without flags, a primary key may do whatever its algorithm can do.
                if has_flags(statement) && !statement.key_flags().sign() {
                    return Err(Rejection::NotForSigning);
                }
                check_age(primary.created_at().as_secs(), signature)
            }
            Key::Subkey(subkey) => {
                self.check_subkey(subkey, now)?;
                check_age(subkey.key.created_at().as_secs(), signature)
            }
        }
    }

    /// The newest valid statement of the owner about the primary key: one about the key itself, or
    /// one that binds a name to it that is not revoked.
    fn statement(&self, now: u64) -> Option<&Signature> {
        let primary = &self.key.primary_key;
        let direct = self
            .key
            .details
            .direct_signatures
            .iter()
            .filter(|s| s.typ() == Some(SignatureType::Key) && s.verify_key(primary).is_ok());
        let users = self.key.details.users.iter().filter_map(|user| {
            let own = user.signatures.iter().filter(|signature| {
                signature
                    .verify_certification(primary, Tag::UserId, &user.id)
                    .is_ok()
            });
            newest(own, now).filter(|s| s.typ() != Some(SignatureType::CertRevocation))
        });
        newest(newest(direct, now).into_iter().chain(users), now)
    }

    fn check_subkey(&self, subkey: &SignedPublicSubKey, now: u64) -> Result<(), Rejection> {
        let primary = &self.key.primary_key;
        let valid = |signature: &Signature, typ| {
            signature.typ() == Some(typ)
                && signature
                    .verify_subkey_binding(primary, &subkey.key)
                    .is_ok()
        };
        check_revoked(subkey.signatures.iter(), |revocation| {
            valid(revocation, SignatureType::SubkeyRevocation)
        })?;
        let bindings = subkey.signatures.iter();
        let bindings = bindings.filter(|s| valid(s, SignatureType::SubkeyBinding));
        let binding = newest(bindings, now).ok_or(Rejection::Unbound)?;
        check_expiry(subkey.key.created_at().as_secs(), binding, now)?;
        if !binding.key_flags().sign() {
            return Err(Rejection::NotForSigning);
        }
        // The subkey agrees to belong to the primary key (RFC 9580, section 10.1.5). Else anyone
        // could claim its signatures.
        let agreed = binding.embedded_signature().is_some_and(|agreement| {
            check_form(agreement).is_ok()
                && agreement
                    .verify_primary_key_binding(&subkey.key, primary)
                    .is_ok()
        });
        if agreed {
            Ok(())
        } else {
            Err(Rejection::Unbound)
        }
    }
}

fn append(ours: &mut Vec<Signature>, theirs: Vec<Signature>) {
    for signature in theirs {
        if !ours.contains(&signature) {
            ours.push(signature);
        }
    }
}

/// When a signature was made (seconds since 1970).
pub(super) fn created(signature: &Signature) -> Option<u64> {
    signature.created().map(|time| time.as_secs().into())
}

/// When a signature expires (seconds since 1970), if it does.
pub(super) fn expires(signature: &Signature) -> Option<u64> {
    let lifetime = signature.signature_expiration_time()?.as_secs();
    created(signature)?
        .checked_add(lifetime.into())
        .filter(|_| lifetime > 0)
}

/// The newest of these signatures that are not of the future, not expired, and strong.
fn newest<'a>(signatures: impl Iterator<Item = &'a Signature>, now: u64) -> Option<&'a Signature> {
    let valid = |signature: &&Signature| {
        created(signature).is_some_and(|made| made <= now.saturating_add(MAX_FUTURE))
            && expires(signature).is_none_or(|at| at > now)
            && check_form(signature).is_ok()
    };
    signatures.filter(valid).max_by_key(|s| created(s))
}

fn check_revoked<'a>(
    signatures: impl Iterator<Item = &'a Signature>,
    revokes: impl Fn(&Signature) -> bool,
) -> Result<(), Rejection> {
    match { signatures }.find(|signature| revokes(signature)) {
        Some(revocation) => Err(Rejection::KeyRevoked {
            at: created(revocation),
            reason: revocation
                .revocation_reason_string()
                .map(|reason| printable(&String::from_utf8_lossy(reason)))
                .unwrap_or_default(),
        }),
        None => Ok(()),
    }
}

/// A text of a foreign file as a message may show it.
fn printable(text: &str) -> String {
    let shown = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    shown.take(200).collect::<String>().trim().to_owned()
}

/// Fails if a key made at `created` has expired at `now` (both in seconds since 1970), by the
/// owner's statement.
fn check_expiry(created: u32, statement: &Signature, now: u64) -> Result<(), Rejection> {
    let lifetime = statement
        .key_expiration_time()
        .map_or(0, |time| time.as_secs());
    let at = u64::from(created).saturating_add(lifetime.into());
    if lifetime > 0 && at <= now {
        return Err(Rejection::KeyExpired(at));
    }
    Ok(())
}

/// Fails if the signature is older than its key.
fn check_age(key: u32, signature: &Signature) -> Result<(), Rejection> {
    match created(signature) {
        Some(made) if made >= u64::from(key) => Ok(()),
        _ => Err(Rejection::Unsupported(
            "a signature older than its key".to_owned(),
        )),
    }
}

fn has_flags(statement: &Signature) -> bool {
    statement.config().is_some_and(|config| {
        let mut subpackets = config.hashed_subpackets();
        subpackets.any(|subpacket| matches!(subpacket.data, SubpacketData::KeyFlags(_)))
    })
}

/// Fails if the signature has a weak hash, or a demand that is not understood.
fn check_form(signature: &Signature) -> Result<(), Rejection> {
    let Some(config) = signature.config() else {
        let version = u8::from(signature.version());
        return Err(Rejection::Unsupported(format!(
            "a signature of version {version}"
        )));
    };
    match config.hash_alg {
        HashAlgorithm::Sha256
        | HashAlgorithm::Sha384
        | HashAlgorithm::Sha512
        | HashAlgorithm::Sha3_256
        | HashAlgorithm::Sha3_512 => {}
        weak => return Err(Rejection::WeakHash(weak.to_string())),
    }
    let unknown = config.hashed_subpackets().find(|subpacket| {
        subpacket.is_critical
            && matches!(
                subpacket.data,
                SubpacketData::Other(..)
                    | SubpacketData::Experimental(..)
                    | SubpacketData::Notation(_)
            )
    });
    match unknown {
        Some(_) => Err(Rejection::Unsupported(
            "a signature with a critical subpacket of unknown meaning".to_owned(),
        )),
        None => Ok(()),
    }
}

fn check_strength(params: &PublicParams) -> Result<(), Rejection> {
    match params {
        PublicParams::RSA(key) => {
            // A multiprecision integer begins with its length in bits (RFC 9580, section 3.2).
            let bytes = key.to_bytes().unwrap_or_default();
            let bits = bytes
                .first_chunk()
                .map_or(0, |bits| u16::from_be_bytes(*bits));
            if bits < MIN_RSA {
                return Err(Rejection::WeakKey(format!(
                    "RSA of {bits} bits, less than {MIN_RSA}"
                )));
            }
            Ok(())
        }
        PublicParams::ECDSA(_)
        | PublicParams::EdDSALegacy(_)
        | PublicParams::Ed25519(_)
        | PublicParams::Ed448(_) => Ok(()),
        PublicParams::DSA(_) => Err(Rejection::WeakKey("DSA".to_owned())),
        _ => Err(Rejection::NotForSigning),
    }
}
