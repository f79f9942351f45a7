//! Why a signature is not accepted, in words.

use super::date::utc;
use std::fmt;

/// Why a text is not verified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is no signature.
    #[error("it is not signed: {0}")]
    NotSigned(String),
    /// What should be a signature cannot be read.
    #[error("its signature cannot be read: {0}")]
    Malformed(String),
    /// None of the signatures is accepted. Each with its key: the fingerprint where the key is
    /// known, else the key ID that the signature names.
    #[error("{}", rejected(.0))]
    Rejected(Vec<(String, Rejection)>),
}

/// Why one signature is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// No key of the keyring made it.
    UnknownKey,
    /// It is one of another text: the text was changed.
    Altered,
    /// It uses a hash function for which other texts of the same hash can be made.
    WeakHash(String),
    /// It was made by a key that is too weak.
    WeakKey(String),
    /// The key expired at this time (seconds since 1970).
    KeyExpired(u64),
    /// The key was revoked by its owner.
    KeyRevoked {
        /// When (seconds since 1970), if the revocation says so.
        at: Option<u64>,
        /// The owner's reason, as a text of the owner; may be empty.
        reason: String,
    },
    /// The certificate has no valid signature of its own on the key.
    Unbound,
    /// The owner did not make the key for signatures.
    NotForSigning,
    /// The signature was made in the future (seconds since 1970).
    Future(u64),
    /// The signature expired at this time (seconds since 1970).
    Expired(u64),
    /// A form that is not supported.
    Unsupported(String),
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey => f.write_str("the key is not known"),
            Self::Altered => f.write_str("the text was changed after it was signed"),
            Self::WeakHash(hash) => write!(f, "the signature uses the weak hash {hash}"),
            Self::WeakKey(key) => write!(f, "the key is weak: {key}"),
            Self::KeyExpired(at) => write!(f, "the key expired on {}", utc(*at)),
            Self::KeyRevoked { at, reason } => {
                f.write_str("the key was revoked by its owner")?;
                if let Some(at) = at {
                    write!(f, " on {}", utc(*at))?;
                }
                if !reason.is_empty() {
                    write!(f, " ({reason})")?;
                }
                Ok(())
            }
            Self::Unbound => f.write_str("the certificate has no valid signature on the key"),
            Self::NotForSigning => f.write_str("the key is not one for signatures"),
            Self::Future(made) => {
                write!(f, "the signature was made in the future, at {}", utc(*made))
            }
            Self::Expired(at) => write!(f, "the signature expired on {}", utc(*at)),
            Self::Unsupported(what) => write!(f, "not supported: {what}"),
        }
    }
}

fn rejected(all: &[(String, Rejection)]) -> String {
    if all.iter().all(|(_, why)| *why == Rejection::UnknownKey) {
        let keys: Vec<&str> = all.iter().map(|(key, _)| key.as_str()).collect();
        let (noun, not) = match keys.len() {
            1 => ("the key", "which is not known"),
            _ => ("the keys", "none of which is known"),
        };
        return format!("it is signed by {noun} {}, {not}", keys.join(", "));
    }
    let each: Vec<String> = all
        .iter()
        .map(|(key, why)| format!("key {key}: {why}"))
        .collect();
    format!("no signature is good: {}", each.join("; "))
}

impl SignatureError {
    /// Advice, as an imperative without a final period.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let Self::Rejected(all) = self else {
            return None;
        };
        // The reason that is nearest to a good signature.
        let best = all.iter().min_by_key(|(_, why)| match why {
            Rejection::KeyExpired(_) => 0,
            Rejection::Altered => 1,
            Rejection::KeyRevoked { .. } => 2,
            Rejection::Future(_) | Rejection::Expired(_) => 3,
            Rejection::UnknownKey => 5,
            _ => 4,
        })?;
        let (key, why) = best;
        Some(match why {
            Rejection::KeyExpired(_) => format!(
                "owners renew a key by a new date of expiry, and its fingerprint stays {key}: get \
                 the newest copy of the key from where it came from, and replace the key file \
                 with it (a package of keys: take its newest version); if the copy is the newest, \
                 check the clock of this machine"
            ),
            Rejection::Altered => {
                "someone, or something such as a proxy or a mirror during its update, changed the \
                 file: try again, then use another mirror"
                    .to_owned()
            }
            Rejection::KeyRevoked { .. } => {
                "the repository has another key now: get it, and its fingerprint, from the owner \
                 of the repository"
                    .to_owned()
            }
            Rejection::Future(_) => "check the clock of this machine".to_owned(),
            Rejection::UnknownKey => {
                "check that the URL is the right one; if it is, compare these keys with what the \
                 owner of the repository publishes elsewhere, and add the key and its fingerprint"
                    .to_owned()
            }
            _ => "ask the owner of the repository for a signature of today's kind".to_owned(),
        })
    }
}
