//! Keys and certificates that devices get: that they are what they should be, and that no private
//! key is among them.

use crate::artifact::{KeyError, Signer, Verifier};
use crate::input_file;
use crate::keyfile::{self, DerKind, KeyFile, PrivateKey};
use crate::problem::Problem;
use std::io::Read as _;
use std::path::Path;

/// The largest file with keys or certificates (bytes).
const MAX: u64 = 4 << 20;

/// The file at `path`, which `key` of the configuration names.
///
/// # Errors
/// I/O errors; a file that is too large.
pub(super) fn read(path: &Path, key: &str) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    let shown = path.display();
    input_file::open(path)
        .and_then(|file| file.take(MAX + 1).read_to_end(&mut bytes))
        .map_err(input_file::waiting)
        .map_err(|e| Problem::new(format!("{key}: reading {shown}: {e}")))?;
    if bytes.len() as u64 > MAX {
        return Err(Problem::new(format!(
            "{key}: {shown} has more than {MAX} bytes, so it is not a key or certificate"
        )));
    }
    Ok(bytes)
}

/// Checks that `bytes` are one public key in the form that clients read.
///
/// # Errors
/// Anything else, with a way to the right form.
pub(super) fn verify_key(path: &Path, bytes: &[u8]) -> Result<(), Problem> {
    let shown = path.display();
    let wrong = |what: &str| Problem::new(format!("server.verify-key: {shown} {what}"));
    let word = shell_word(path);
    let save = "> artifact-public.pem";
    match keyfile::examine(bytes) {
        KeyFile::Private(key) => Err(private(path, &key, bytes)),
        KeyFile::Pem(blocks) => {
            let [block] = blocks.as_slice() else {
                let labels: Vec<&str> = blocks.iter().map(|block| block.label.as_str()).collect();
                let what = format!(
                    "has {} blocks ({}), but clients read only one of a file",
                    blocks.len(),
                    labels.join(", ")
                );
                return Err(wrong(&what).hint(
                    "put each public key into a file of its own, and list them: server.verify-key = \
                     [\"a.pem\", \"b.pem\"]",
                ));
            };
            let hint = match block.label.as_str() {
                "PUBLIC KEY" => return usable(path, bytes),
                "RSA PUBLIC KEY" => {
                    format!("openssl rsa -RSAPublicKey_in -in {word} -pubout {save}")
                }
                "CERTIFICATE" => format!("openssl x509 -in {word} -noout -pubkey {save}"),
                _ => {
                    return Err(
                        wrong(&format!("is a {}, not a public key", block.label)).hint(PAIR)
                    );
                }
            };
            let what = format!("is a {}, which clients do not read", block.label);
            Err(wrong(&what).hint(format!("take the key out of it: {hint}")))
        }
        KeyFile::Der(DerKind::Public) => {
            Err(wrong("is a public key in DER form, clients read PEM")
                .hint(format!("openssl pkey -pubin -inform DER -in {word} {save}")))
        }
        KeyFile::Der(DerKind::RsaPublic) => {
            let hint =
                format!("openssl rsa -RSAPublicKey_in -inform DER -in {word} -pubout {save}");
            Err(wrong("is a public key in DER form, clients read PEM").hint(hint))
        }
        KeyFile::Der(DerKind::Certificate) => {
            let hint = format!("openssl x509 -inform DER -in {word} -noout -pubkey {save}");
            Err(wrong("is a certificate, which clients do not read")
                .hint(format!("take the key out of it: {hint}")))
        }
        KeyFile::Ssh if is_ed25519(bytes) => Err(wrong("is a public key of SSH").hint(PAIR)),
        KeyFile::Ssh => Err(wrong("is a public key of SSH, which clients do not read")
            .hint(format!("ssh-keygen -e -m PKCS8 -f {word} {save}"))),
        KeyFile::Der(_) | KeyFile::Other => Err(wrong("is not a public key").hint(PAIR)),
    }
}

/// How to make a pair of keys.
const PAIR: &str = "name the public half of the key that signs Artifacts, in PEM form; to make a pair: \
                    openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out artifact.key && \
                    openssl pkey -in artifact.key -pubout -out artifact-public.pem";

/// A block `PUBLIC KEY` that clients can use.
fn usable(path: &Path, bytes: &[u8]) -> Result<(), Problem> {
    let shown = path.display();
    Verifier::from_pem(&String::from_utf8_lossy(bytes))
        .map(|_| ())
        .map_err(|e: KeyError| {
            Problem::new(format!("server.verify-key: {shown}: {e}")).hint(format!(
                "clients check signatures with RSA and with EC on P-256; {PAIR}"
            ))
        })
}

/// Checks that `bytes` are certificates in the form that clients read.
///
/// # Errors
/// Anything else, with a way to the right form.
pub(super) fn certificates(path: &Path, bytes: &[u8]) -> Result<(), Problem> {
    let shown = path.display();
    let wrong = |what: &str| Problem::new(format!("server.certificate: {shown} {what}"));
    let word = shell_word(path);
    match keyfile::examine(bytes) {
        KeyFile::Private(key) => Err(wrong(&format!(
            "holds a private key ({}), which every device would have",
            key.form
        ))
        .hint(format!(
            "put its certificates alone into a file: sed -n '/BEGIN CERTIFICATE/,/END CERTIFICATE/p' \
             {word} > server.pem"
        ))),
        KeyFile::Pem(blocks) => {
            for (block, number) in blocks.iter().zip(1..) {
                let label = &block.label;
                if label != "CERTIFICATE" {
                    let what = format!("has a {label} (block {number}), not only certificates");
                    let hint = "name a file with blocks BEGIN CERTIFICATE alone";
                    return Err(wrong(&what).hint(hint));
                }
                let der = block.der.as_deref().unwrap_or_default();
                if !keyfile::is_certificate(der) {
                    let what = format!("is damaged: block {number} is not an X.509 certificate");
                    return Err(wrong(&what).hint("copy the certificate once more, as a whole"));
                }
            }
            Ok(())
        }
        KeyFile::Der(DerKind::Certificate) => {
            let hint = format!("openssl x509 -inform DER -in {word} -out server.pem");
            Err(wrong("is a certificate in DER form, clients read PEM").hint(hint))
        }
        KeyFile::Der(_) | KeyFile::Ssh | KeyFile::Other => Err(wrong("is not a certificate")
            .hint("name the server's certificate, or that of its authority, in PEM form")),
    }
}

/// The error of a private key among the verify keys.
fn private(path: &Path, key: &PrivateKey, bytes: &[u8]) -> Problem {
    let word = shell_word(path);
    let form = key.form.as_str();
    let public = match form {
        _ if !is_plain(key, bytes) || is_ed25519(bytes) => String::new(),
        _ if form.starts_with("OPENSSH") => format!("ssh-keygen -e -m PKCS8 -f {word}"),
        _ if form.starts_with("PKCS #12") => {
            format!("openssl pkcs12 -in {word} -clcerts -nokeys | openssl x509 -noout -pubkey")
        }
        _ if form.ends_with("DER") => format!("openssl pkey -inform DER -in {word} -pubout"),
        _ if form.ends_with("PRIVATE KEY") && !form.starts_with("SSH2") => {
            format!("openssl pkey -in {word} -pubout")
        }
        _ => String::new(),
    };
    let hint = if public.is_empty() {
        PAIR.to_owned()
    } else {
        format!("name its public half instead: {public} > artifact-public.pem")
    };
    Problem::new(format!(
        "server.verify-key: {} holds a private key ({form}), which every device would have",
        path.display()
    ))
    .hint(hint)
}

/// Whether a key begins its line, without indentation or quotes: other programs do not find it
/// otherwise.
fn is_plain(key: &PrivateKey, bytes: &[u8]) -> bool {
    let offset = usize::try_from(key.offset).unwrap_or(usize::MAX);
    let before = offset.checked_sub(1).and_then(|at| bytes.get(at));
    before.is_none_or(|byte| *byte == b'\n') && !key.form.ends_with("base64")
}

/// Whether a key is one of ED25519, which does not sign Artifacts.
fn is_ed25519(bytes: &[u8]) -> bool {
    const NAMES: [&[u8]; 2] = [b"ssh-ed25519", b"\x06\x03\x2B\x65\x70"];
    let holds = |bytes: &[u8]| {
        let mut names = NAMES.into_iter();
        names.any(|name| bytes.windows(name.len()).any(|window| window == name))
    };
    let blocks = keyfile::blocks(bytes);
    let mut decoded = blocks.iter().filter_map(|block| block.der.as_deref());
    holds(bytes) || decoded.any(holds)
}

/// The path as a word of the shell.
fn shell_word(path: &Path) -> String {
    let path = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if path.chars().all(plain) {
        path.into_owned()
    } else {
        format!("'{}'", path.replace('\'', "'\\''"))
    }
}

/// Refuses a file of the host that becomes part of an output, `what` it is, if it holds a private
/// key.
///
/// # Errors
/// A private key in it.
pub(super) fn no_private_key(what: &str, bytes: &[u8]) -> Result<(), Problem> {
    match keyfile::private_key(bytes) {
        None => Ok(()),
        Some(key) => Err(Problem::new(format!(
            "{what} holds a private key ({}) at byte {}, which every device would have",
            key.form, key.offset
        ))
        .hint("take it out of the file; devices can make or get keys of their own")),
    }
}

/// Whether a file in PEM form holds this signing key.
#[must_use]
pub fn is_key_of(signer: &Signer, file: &[u8]) -> bool {
    Signer::from_pem(&String::from_utf8_lossy(file)).is_ok_and(|found| found == *signer)
}

/// A note about an Artifact without a signature, if devices have `keys` to check one with. It may
/// still be signed elsewhere.
#[must_use]
pub fn unsigned_note(signer: Option<&Signer>, keys: &[Vec<u8>]) -> Option<String> {
    (signer.is_none() && !keys.is_empty()).then(|| {
        "devices install only signed Artifacts, and this one is not signed: set artifact.key, or sign \
         it before it is deployed"
            .to_owned()
    })
}

/// A warning about a signing key whose public half is none of `keys`, the files in PEM form that
/// devices check signatures with.
#[must_use]
pub fn signature_warning(signer: Option<&Signer>, keys: &[Vec<u8>]) -> Option<String> {
    let signer = signer.filter(|_| !keys.is_empty())?;
    let own = signer.verifier();
    let key = |pem: &Vec<u8>| Verifier::from_pem(&String::from_utf8_lossy(pem)).ok();
    let known = keys.iter().filter_map(key).any(|key| key == own);
    (!known).then(|| {
        format!(
            "the Artifact is signed with a key ({}) whose public half is none of the {} that devices \
             check signatures with: they will refuse it; name it in server.verify-key",
            signer.kind(),
            keys.len()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_the_shell() {
        assert_eq!(shell_word(Path::new("/a/b.pem")), "/a/b.pem");
        assert_eq!(shell_word(Path::new("my key's")), "'my key'\\''s'");
    }

    #[test]
    fn what_is_not_a_key_is_refused_with_a_way_out() {
        let path = Path::new("k");
        for (text, message, hint) in [
            ("hello", "is not a public key", "openssl genpkey"),
            ("", "is not a public key", "openssl genpkey"),
            ("ssh-rsa AAAA me", "is a public key of SSH", "ssh-keygen -e"),
            (
                "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n",
                "is a CERTIFICATE, which clients do not read",
                "openssl x509",
            ),
            (
                "-----BEGIN CERTIFICATE REQUEST-----\nAA==\n-----END CERTIFICATE REQUEST-----\n",
                "is a CERTIFICATE REQUEST, not a public key",
                "openssl genpkey",
            ),
        ] {
            let problem = verify_key(path, text.as_bytes()).unwrap_err();
            assert!(problem.message.contains(message), "{problem}");
            assert!(problem.hint.unwrap().contains(hint), "{message}");
        }
        assert!(certificates(path, b"").is_err());
    }
}
