//! Keys made by the test that needs them, their owners' statements, and signatures.

use pgp::composed::{
    ArmorOptions, CleartextSignedMessage, KeyType, SecretKeyParamsBuilder, SignedKeyDetails,
    SignedPublicKey, SignedPublicSubKey, SignedSecretKey, SubkeyParamsBuilder,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{
    KeyFlags, RevocationCode, Signature, SignatureConfig, SignatureType, Subpacket, SubpacketData,
    UserId,
};
use pgp::ser::Serialize as _;
use pgp::types::{Duration, KeyDetails as _, Password, SignedUser, SigningKey, Tag, Timestamp};

/// When all keys are made (seconds since 1970): 2023-11-14.
pub(crate) const MADE: u32 = 1_700_000_000;

/// A private key with a subkey.
pub(crate) struct Owner {
    secret: SignedSecretKey,
    name: UserId,
}

/// What one statement of an owner says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Statement {
    /// When it was made (seconds since 1970).
    pub(crate) made: u32,
    /// How long the key is valid after it was made (seconds); 0 for ever.
    pub(crate) lifetime: u32,
    /// Whether the key may sign.
    pub(crate) sign: bool,
    pub(crate) hash: HashAlgorithm,
}

impl Default for Statement {
    fn default() -> Self {
        Self {
            made: MADE,
            lifetime: 0,
            sign: true,
            hash: HashAlgorithm::Sha256,
        }
    }
}

fn subpackets(made: u32, key: &impl SigningKey, more: Vec<SubpacketData>) -> Vec<Subpacket> {
    let mut all = vec![
        SubpacketData::SignatureCreationTime(Timestamp::from_secs(made)),
        SubpacketData::IssuerFingerprint(key.fingerprint()),
        SubpacketData::IssuerKeyId(key.legacy_key_id()),
    ];
    all.extend(more);
    let regular = |data| Subpacket::regular(data).unwrap();
    all.into_iter().map(regular).collect()
}

fn config(
    key: &impl SigningKey,
    typ: SignatureType,
    made: u32,
    hash: HashAlgorithm,
    more: Vec<SubpacketData>,
) -> SignatureConfig {
    let mut config = SignatureConfig::v4(typ, key.algorithm(), hash);
    config.hashed_subpackets = subpackets(made, key, more);
    config
}

impl Owner {
    /// An owner of Ed25519 keys.
    pub(crate) fn new() -> Self {
        Self::of(KeyType::Ed25519Legacy)
    }

    /// An owner of a primary key of this type.
    pub(crate) fn of(primary: KeyType) -> Self {
        let made = Timestamp::from_secs(MADE);
        let subkey = SubkeyParamsBuilder::default()
            .key_type(KeyType::Ed25519Legacy)
            .can_sign(true)
            .created_at(made)
            .build()
            .unwrap();
        let secret = SecretKeyParamsBuilder::default()
            .key_type(primary)
            .can_certify(true)
            .can_sign(true)
            .created_at(made)
            .primary_user_id("Example repository".to_owned())
            .subkey(subkey)
            .build()
            .unwrap()
            .generate(rand::thread_rng())
            .unwrap();
        let name = secret.details.users[0].id.clone();
        Self { secret, name }
    }

    /// The fingerprint of the primary key.
    pub(crate) fn fingerprint(&self) -> goldsmith::repository::Fingerprint {
        self.secret.fingerprint().to_string().parse().unwrap()
    }

    /// The fingerprint of the subkey.
    pub(crate) fn subkey(&self) -> goldsmith::repository::Fingerprint {
        let subkey = &self.secret.secret_subkeys[0];
        subkey.key.fingerprint().to_string().parse().unwrap()
    }

    fn flags(sign: bool) -> SubpacketData {
        let mut flags = KeyFlags::default();
        flags.set_certify(true);
        flags.set_sign(sign);
        SubpacketData::KeyFlags(flags)
    }

    fn statement(&self, statement: &Statement) -> Signature {
        self.statement_by(self, statement)
    }

    /// A statement about the primary key, signed by another owner.
    fn statement_by(&self, signer: &Self, statement: &Statement) -> Signature {
        let (key, subject) = (&signer.secret.primary_key, &self.secret.primary_key);
        let more = vec![
            Self::flags(statement.sign),
            SubpacketData::KeyExpirationTime(Duration::from_secs(statement.lifetime)),
        ];
        let typ = SignatureType::CertPositive;
        config(key, typ, statement.made, statement.hash, more)
            .sign_certification(
                key,
                subject.public_key(),
                &Password::empty(),
                Tag::UserId,
                &self.name,
            )
            .unwrap()
    }

    /// The certificate with these statements about the primary key; `more` changes it.
    fn build(&self, statements: &[Statement], more: impl FnOnce(&mut SignedPublicKey)) -> Vec<u8> {
        let signatures = statements.iter().map(|s| self.statement(s)).collect();
        let user = SignedUser::new(self.name.clone(), signatures);
        let details = SignedKeyDetails::new(vec![], vec![], vec![user], vec![]);
        let mut key = SignedPublicKey::new(
            self.secret.primary_key.public_key().clone(),
            details,
            vec![],
        );
        more(&mut key);
        key.to_bytes().unwrap()
    }

    /// The certificate in binary form, with these statements about the primary key.
    pub(crate) fn certificate(&self, statements: &[Statement]) -> Vec<u8> {
        self.build(statements, |_| ())
    }

    /// The certificate with a statement by another owner alone.
    pub(crate) fn certificate_by(&self, signer: &Self) -> Vec<u8> {
        let statement = self.statement_by(signer, &Statement::default());
        self.build(&[], |key| {
            let user = SignedUser::new(self.name.clone(), vec![statement]);
            key.details.users = vec![user];
        })
    }

    /// The certificate, valid for ever, in armour.
    pub(crate) fn armoured(&self) -> String {
        let bytes = self.certificate(&[Statement::default()]);
        let key = <SignedPublicKey as pgp::composed::Deserializable>::from_bytes(&bytes[..]);
        key.unwrap()
            .to_armored_string(ArmorOptions::default())
            .unwrap()
    }

    /// The private key in armour.
    pub(crate) fn private(&self) -> String {
        self.secret
            .to_armored_string(ArmorOptions::default())
            .unwrap()
    }

    /// The certificate with a revocation of the primary key, made at `made`.
    pub(crate) fn revoked(&self, made: u32) -> Vec<u8> {
        let key = &self.secret.primary_key;
        let reason = SubpacketData::RevocationReason(
            RevocationCode::KeySuperseded,
            b"a new key is used".to_vec().into(),
        );
        let typ = SignatureType::KeyRevocation;
        let revocation = config(key, typ, made, HashAlgorithm::Sha256, vec![reason])
            .sign_key(key, &Password::empty(), key.public_key())
            .unwrap();
        self.build(&[Statement::default()], |certificate| {
            certificate.details.revocation_signatures.push(revocation);
        })
    }

    /// The certificate with its subkey; `agreed` tells whether the subkey has signed that it
    /// belongs to it.
    pub(crate) fn with_subkey(&self, agreed: bool, lifetime: u32) -> Vec<u8> {
        let (key, subkey) = (&self.secret.primary_key, &self.secret.secret_subkeys[0].key);
        let hash = HashAlgorithm::Sha256;
        let mut more = vec![
            Self::flags(true),
            SubpacketData::KeyExpirationTime(Duration::from_secs(lifetime)),
        ];
        if agreed {
            let agreement = config(subkey, SignatureType::KeyBinding, MADE, hash, vec![])
                .sign_primary_key_binding(
                    subkey,
                    subkey.public_key(),
                    &Password::empty(),
                    key.public_key(),
                )
                .unwrap();
            more.push(SubpacketData::EmbeddedSignature(agreement.into()));
        }
        let binding = config(key, SignatureType::SubkeyBinding, MADE, hash, more)
            .sign_subkey_binding(
                key,
                key.public_key(),
                &Password::empty(),
                subkey.public_key(),
            )
            .unwrap();
        self.build(&[Statement::default()], |certificate| {
            let bound = SignedPublicSubKey::new(subkey.public_key().clone(), vec![binding]);
            certificate.public_subkeys.push(bound);
        })
    }

    /// `text`, clear-signed by the primary key at the time `made`.
    pub(crate) fn clear_signed(&self, text: &str, made: u32) -> String {
        let hash = HashAlgorithm::Sha256;
        self.clear_signed_with(text, made, hash, vec![], false)
    }

    /// `text`, clear-signed by the subkey at the time `made`.
    pub(crate) fn clear_signed_by_subkey(&self, text: &str, made: u32) -> String {
        let hash = HashAlgorithm::Sha256;
        self.clear_signed_with(text, made, hash, vec![], true)
    }

    /// `text`, clear-signed with this hash and these further statements.
    pub(crate) fn clear_signed_with(
        &self,
        text: &str,
        made: u32,
        hash: HashAlgorithm,
        more: Vec<SubpacketData>,
        by_subkey: bool,
    ) -> String {
        let typ = SignatureType::Text;
        let message = if by_subkey {
            let key = &self.secret.secret_subkeys[0].key;
            let config = config(key, typ, made, hash, more);
            CleartextSignedMessage::new(text, config, key, &Password::empty())
        } else {
            let key = &self.secret.primary_key;
            let config = config(key, typ, made, hash, more);
            CleartextSignedMessage::new(text, config, key, &Password::empty())
        };
        message
            .unwrap()
            .to_armored_string(ArmorOptions::default())
            .unwrap()
    }

    /// A detached signature of `data` in binary form.
    pub(crate) fn detached(&self, data: &[u8], made: u32) -> Vec<u8> {
        let key = &self.secret.primary_key;
        let config = config(
            key,
            SignatureType::Binary,
            made,
            HashAlgorithm::Sha512,
            vec![],
        );
        let signature = config.sign(key, &Password::empty(), data).unwrap();
        let mut out = Vec::new();
        pgp::packet::PacketTrait::to_writer_with_header(&signature, &mut out).unwrap();
        out
    }
}
