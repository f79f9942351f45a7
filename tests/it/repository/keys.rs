//! Keys and signatures: which are accepted, and the words about those that are not.

use super::{NOW, keyring};
use crate::support::openpgp::{MADE, Owner, Statement};
use goldsmith::repository::{KeyError, Keyring, Rejection, SignatureError};
use pgp::composed::{DsaKeySize, KeyType};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::SubpacketData;
use pgp::types::Duration;

const TEXT: &str = "Suite: stable\n- dashed\n-----BEGIN PGP SIGNED MESSAGE-----\nend";
const YEAR: u32 = 365 * 24 * 60 * 60;

/// How the only signature of a text is judged.
fn judged(certificate: &[u8], signed: &str) -> Result<(), Rejection> {
    match keyring(certificate).verify_clearsigned(signed.as_bytes(), NOW) {
        Ok(verified) => {
            assert_eq!(verified.text, TEXT.as_bytes());
            Ok(())
        }
        Err(SignatureError::Rejected(mut all)) => Err(all.remove(0).1),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_text_is_what_was_signed_and_nothing_around_it() {
    let owner = Owner::new();
    let keyring = keyring(&owner.certificate(&[Statement::default()]));
    let signed = owner.clear_signed(TEXT, MADE);
    let verified = keyring.verify_clearsigned(signed.as_bytes(), NOW).unwrap();
    assert_eq!(verified.text, TEXT.as_bytes());
    assert_eq!(verified.signer, owner.fingerprint());
    let carriage_returns = signed.replace('\n', "\r\n");
    let verified = keyring.verify_clearsigned(carriage_returns.as_bytes(), NOW);
    assert_eq!(verified.unwrap().text, TEXT.as_bytes());
    for around in [
        format!("Suite: other\n{signed}"),
        format!("\n{signed}"),
        format!("{signed}Suite: other\n"),
        format!("{signed}{signed}"),
        signed.replace(
            "-----BEGIN PGP SIGNED MESSAGE-----\n",
            "-----BEGIN PGP SIGNED MESSAGE-----\nComment: x\n",
        ),
        signed.replace("-----END", "-----UND"),
        TEXT.to_owned(),
        String::new(),
    ] {
        assert!(
            keyring.verify_clearsigned(around.as_bytes(), NOW).is_err(),
            "{around}"
        );
    }
    for changed in [
        signed.replace("stable", "stably"),
        signed.replace("Suite", "\nSuite"),
        signed.replace("- - dashed", "- - dished"),
    ] {
        assert_ne!(changed, signed);
        let error = keyring
            .verify_clearsigned(changed.as_bytes(), NOW)
            .unwrap_err();
        assert!(
            error
                .to_string()
                .contains("the text was changed after it was signed"),
            "{error}"
        );
        assert!(error.hint().unwrap().contains("another mirror"));
    }
}

#[test]
fn a_detached_signature_covers_every_byte() {
    let owner = Owner::new();
    let keyring = keyring(&owner.certificate(&[Statement::default()]));
    let signature = owner.detached(b"a\nb", MADE);
    assert!(keyring.verify_detached(b"a\nb", &signature, NOW).is_ok());
    for data in [&b"a\nc"[..], b"a\r\nb", b"a\nb\n", b""] {
        assert!(keyring.verify_detached(data, &signature, NOW).is_err());
    }
    for other in [&b""[..], b"x", &signature[..20], &owner.certificate(&[])] {
        assert!(keyring.verify_detached(b"a\nb", other, NOW).is_err());
    }
}

#[test]
fn the_key_ids_of_unknown_keys_are_named() {
    let (owner, other) = (Owner::new(), Owner::new());
    let keyring = keyring(&other.certificate(&[Statement::default()]));
    let signed = owner.clear_signed(TEXT, MADE);
    let error = keyring
        .verify_clearsigned(signed.as_bytes(), NOW)
        .unwrap_err();
    let expected = format!(
        "it is signed by the key {}, which is not known",
        owner.fingerprint()
    );
    assert_eq!(error.to_string(), expected);
    assert!(error.hint().unwrap().contains("fingerprint"));
}

#[test]
fn an_expired_key_is_refused_until_its_renewed_copy_is_there() {
    let owner = Owner::new();
    let signed = owner.clear_signed(TEXT, MADE);
    let first = Statement {
        lifetime: YEAR,
        ..Statement::default()
    };
    let renewed = Statement {
        made: MADE + YEAR,
        lifetime: 20 * YEAR,
        ..Statement::default()
    };
    let old = owner.certificate(&[first]);
    let error = keyring(&old)
        .verify_clearsigned(signed.as_bytes(), NOW)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the key expired on 2024-11-13 22:13:20 UTC"),
        "{error}"
    );
    let hint = error.hint().unwrap();
    assert!(
        hint.contains(&owner.fingerprint().to_string()) && hint.contains("newest copy"),
        "{hint}"
    );
    // On the day before it expired, it was good.
    let earlier = u64::from(MADE + YEAR - 1);
    assert!(
        keyring(&old)
            .verify_clearsigned(signed.as_bytes(), earlier)
            .is_ok()
    );
    // The newest statement counts, wherever it is.
    for statements in [vec![renewed], vec![first, renewed], vec![renewed, first]] {
        assert_eq!(judged(&owner.certificate(&statements), &signed), Ok(()));
    }
    let new = owner.certificate(&[renewed]);
    for both in [
        [old.clone(), new.clone()].concat(),
        [new.clone(), old.clone()].concat(),
    ] {
        assert_eq!(judged(&both, &signed), Ok(()));
    }
    let mut merged = keyring(&old);
    merged.merge(keyring(&new));
    assert_eq!(merged.fingerprints().count(), 1);
    assert!(merged.verify_clearsigned(signed.as_bytes(), NOW).is_ok());
    // A statement of the future does not renew.
    let future = Statement {
        made: 1_900_000_000,
        ..renewed
    };
    let certificate = owner.certificate(&[first, future]);
    assert!(matches!(
        judged(&certificate, &signed),
        Err(Rejection::KeyExpired(_))
    ));
    // A later statement can shorten, too.
    let shortened = Statement {
        made: MADE + 2 * YEAR,
        lifetime: YEAR,
        ..Statement::default()
    };
    let certificate = owner.certificate(&[renewed, shortened]);
    assert!(matches!(
        judged(&certificate, &signed),
        Err(Rejection::KeyExpired(_))
    ));
}

#[test]
fn the_statements_of_another_owner_do_not_count() {
    let (owner, other) = (Owner::new(), Owner::new());
    let signed = owner.clear_signed(TEXT, MADE);
    let none = owner.certificate(&[]);
    assert!(Keyring::parse(&none).is_err() || judged(&none, &signed) == Err(Rejection::Unbound));
    let foreign = owner.certificate_by(&other);
    assert_eq!(judged(&foreign, &signed), Err(Rejection::Unbound));
}

#[test]
fn revoked_keys_and_keys_for_other_purposes() {
    let owner = Owner::new();
    let signed = owner.clear_signed(TEXT, MADE);
    let revoked = judged(&owner.revoked(MADE + YEAR), &signed).unwrap_err();
    assert_eq!(
        revoked.to_string(),
        "the key was revoked by its owner on 2024-11-13 22:13:20 UTC (a new key is used)"
    );
    let both = [
        owner.revoked(MADE + YEAR),
        owner.certificate(&[Statement::default()]),
    ]
    .concat();
    assert!(matches!(
        judged(&both, &signed),
        Err(Rejection::KeyRevoked { .. })
    ));
    let no_signing = Statement {
        sign: false,
        ..Statement::default()
    };
    let certificate = owner.certificate(&[no_signing]);
    assert_eq!(judged(&certificate, &signed), Err(Rejection::NotForSigning));
}

#[test]
fn subkeys() {
    let owner = Owner::new();
    let signed = owner.clear_signed_by_subkey(TEXT, MADE);
    assert_eq!(judged(&owner.with_subkey(true, 0), &signed), Ok(()));
    assert_eq!(
        judged(&owner.with_subkey(false, 0), &signed),
        Err(Rejection::Unbound)
    );
    let expired = judged(&owner.with_subkey(true, YEAR), &signed);
    assert!(matches!(expired, Err(Rejection::KeyExpired(_))));
    let without = owner.certificate(&[Statement::default()]);
    assert_eq!(judged(&without, &signed), Err(Rejection::UnknownKey));
}

#[test]
fn a_keyring_can_be_restricted_to_fingerprints() {
    let (owner, other) = (Owner::new(), Owner::new());
    let bytes = [
        owner.with_subkey(true, 0),
        other.certificate(&[Statement::default()]),
    ]
    .concat();
    let all = keyring(&bytes);
    let by_primary = owner.clear_signed(TEXT, MADE);
    let by_subkey = owner.clear_signed_by_subkey(TEXT, MADE);
    let good = |keyring: &Keyring, signed: &str| {
        keyring.verify_clearsigned(signed.as_bytes(), NOW).is_ok()
    };
    let primary = all.restricted_to(&[owner.fingerprint()]);
    assert!(good(&primary, &by_primary) && good(&primary, &by_subkey));
    assert!(!good(&primary, &other.clear_signed(TEXT, MADE)));
    let subkey = all.restricted_to(&[owner.subkey()]);
    assert!(!good(&subkey, &by_primary) && good(&subkey, &by_subkey));
    assert!(all.restricted_to(&[]).is_empty());
}

#[test]
fn weak_hashes_and_weak_keys() {
    let owner = Owner::of(KeyType::Rsa(2048));
    let certificate = owner.certificate(&[Statement::default()]);
    assert_eq!(
        judged(&certificate, &owner.clear_signed(TEXT, MADE)),
        Ok(())
    );
    for hash in [HashAlgorithm::Md5, HashAlgorithm::Sha1] {
        let signed = owner.clear_signed_with(TEXT, MADE, hash, vec![], false);
        let expected = Rejection::WeakHash(hash.to_string());
        assert_eq!(judged(&certificate, &signed), Err(expected));
    }
    // Its owner renewed it with a weak hash: that does not count.
    let lifetime = YEAR;
    let first = Statement {
        lifetime,
        ..Statement::default()
    };
    let renewed = Statement {
        made: MADE + YEAR,
        hash: HashAlgorithm::Sha1,
        ..Statement::default()
    };
    let judged_renewed = judged(
        &owner.certificate(&[first, renewed]),
        &owner.clear_signed(TEXT, MADE),
    );
    assert!(matches!(judged_renewed, Err(Rejection::KeyExpired(_))));
    let owner = Owner::of(KeyType::Dsa(DsaKeySize::B1024));
    let signed = owner.clear_signed(TEXT, MADE);
    let weak = Rejection::WeakKey("DSA".to_owned());
    assert_eq!(
        judged(&owner.certificate(&[Statement::default()]), &signed),
        Err(weak)
    );
}

#[test]
fn dates_of_signatures() {
    let owner = Owner::new();
    let certificate = owner.certificate(&[Statement::default()]);
    let now = u32::try_from(NOW).unwrap();
    let day = 24 * 60 * 60;
    assert_eq!(
        judged(&certificate, &owner.clear_signed(TEXT, now + day)),
        Ok(())
    );
    let future = judged(&certificate, &owner.clear_signed(TEXT, now + day + 1));
    assert_eq!(future, Err(Rejection::Future(NOW + 86_401)));
    let lifetime = |seconds| {
        vec![SubpacketData::SignatureExpirationTime(Duration::from_secs(
            seconds,
        ))]
    };
    let hash = HashAlgorithm::Sha256;
    let signed = owner.clear_signed_with(TEXT, MADE, hash, lifetime(YEAR), false);
    let expired = u64::from(MADE + YEAR);
    assert_eq!(
        judged(&certificate, &signed),
        Err(Rejection::Expired(expired))
    );
    let signed = owner.clear_signed_with(TEXT, MADE, hash, lifetime(20 * YEAR), false);
    assert_eq!(judged(&certificate, &signed), Ok(()));
    let older = judged(&certificate, &owner.clear_signed(TEXT, MADE - 1));
    assert!(matches!(older, Err(Rejection::Unsupported(_))), "{older:?}");
}

#[test]
fn forms_of_keyrings() {
    let (owner, other) = (Owner::new(), Owner::new());
    let text = format!(
        "A key\n{}\nand another\n{}",
        owner.armoured(),
        other.armoured()
    );
    let found: Vec<_> = keyring(text.as_bytes()).fingerprints().collect();
    assert_eq!(found, [owner.fingerprint(), other.fingerprint()]);
    let certificate = owner.certificate(&[Statement::default()]);
    let cut = [&certificate[..], &certificate[..30]].concat();
    assert_eq!(keyring(&cut).fingerprints().count(), 1);
    for (bytes, expected) in [
        (&b""[..], KeyError::Empty),
        (b"text", KeyError::Empty),
        (owner.private().as_bytes(), KeyError::Private),
        (b"\0\0\0\x20\x01\x01\0\x02KBXf\0\0\0\0", KeyError::Keybox),
    ] {
        assert_eq!(Keyring::parse(bytes).unwrap_err(), expected);
    }
    for bytes in [
        &b"\x99\x01"[..],
        b"\xff\xff\xff\xff\xff\xff",
        &certificate[..30],
    ] {
        assert!(Keyring::parse(bytes).is_err(), "{bytes:?}");
    }
}
