//! What a repository of packages serves, and the lock file that is made of it.

use goldsmith::lock::LockFile;
use goldsmith::repository::{Keyring, RelationField, Release, apt_sources, read_packages};

/// A time between the dates of the inputs (seconds since 1970).
const NOW: u64 = 1_764_000_000;

/// Public keys, a signed text and perhaps a signature of its own, with NUL bytes between them: what
/// is verified is read as a `Release` file.
pub fn signed(data: &[u8]) {
    let mut parts = data.splitn(3, |byte| *byte == 0);
    let keys = parts.next().unwrap_or_default();
    let text = parts.next().unwrap_or_default();
    let signature = parts.next();
    // What nobody signed is read too: the reader of `Release` files must not rely on the signature.
    if let Ok(release) = Release::parse(text) {
        let _ = release.check_dates(NOW, Some(NOW));
    }
    let Ok(keyring) = Keyring::parse(keys) else {
        return;
    };
    let known: Vec<_> = keyring.fingerprints().collect();
    let verified = match signature {
        None => keyring.verify_clearsigned(text, NOW),
        Some(signature) => keyring.verify_detached(text, signature, NOW),
    };
    if let Ok(verified) = verified {
        assert!(known.contains(&verified.signer), "a signer without a key");
        let _ = Release::parse(&verified.text);
    }
}

/// An index of packages, and the sources of an image's apt.
pub fn index(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = apt_sources(&[("a.list", text), ("a.sources", text)]);
    }
    for package in read_packages(data).into_iter().flatten() {
        let path = std::path::Path::new(&package.filename);
        let inside = path
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
        assert!(inside, "{} leaves the repository", package.filename);
        for field in RelationField::ALL {
            let _ = package.relations(field, "amd64");
        }
    }
}

/// A lock file: what can be read is written, and reads the same again.
pub fn lock(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(lock) = LockFile::parse(text) else {
        return;
    };
    for package in &lock.packages {
        assert!(package.digest().is_some(), "a package without a digest");
        assert!(!package.file_name().contains('/'), "a name that is a path");
    }
    assert_eq!(LockFile::parse(&lock.text()), Ok(lock));
}
