//! Public keys of SSH in the lines of `authorized_keys` (`sshd(8)`, RFC 4253 section 6.6).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The kinds of keys that OpenSSH accepts for log-ins.
const KINDS: [&str; 7] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// Checks a line of `authorized_keys`, which may begin with options.
///
/// # Errors
/// Why it is not one.
pub fn authorized_key(line: &str) -> Result<(), String> {
    if line.contains("PRIVATE KEY") {
        return Err("a private key".to_owned());
    }
    let mut words = line.split_whitespace();
    let Some(kind) = words.find(|word| KINDS.contains(word)) else {
        return Err(format!(
            "not a public SSH key: none of {} is in it",
            KINDS.join(", ")
        ));
    };
    let blob = STANDARD.decode(words.next().unwrap_or_default());
    let blob = blob.map_err(|e| format!("the {kind} key is not in base64: {e}"))?;
    // The key begins with its kind: a length of four bytes, and the text.
    let len = u32::try_from(kind.len()).unwrap_or(u32::MAX);
    let head = [&len.to_be_bytes(), kind.as_bytes()].concat();
    if !blob.starts_with(&head) || blob.len() <= head.len() {
        return Err(format!("the {kind} key is incomplete, or of another kind"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_checked() {
        let key = "AAAAC3NzaC1lZDI1NTE5AAAAIFJ8gXvSW1kJXfFhbRmVn0iVkPl3nQq3m7XKZlJvHnq2";
        for line in [
            format!("ssh-ed25519 {key}"),
            format!("ssh-ed25519 {key} me@example.com"),
            format!("from=\"10.*\",no-pty ssh-ed25519 {key} me"),
        ] {
            assert_eq!(authorized_key(&line), Ok(()), "{line}");
        }
        for (line, expected) in [
            (
                "-----BEGIN OPENSSH PRIVATE KEY-----".to_owned(),
                "a private key",
            ),
            (key.to_owned(), "not a public SSH key"),
            (format!("ssh-rsa {key}"), "of another kind"),
            (format!("ssh-ed25519 {}", &key[..23]), "not in base64"),
            ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5".to_owned(), "incomplete"),
        ] {
            let error = authorized_key(&line).unwrap_err();
            assert!(error.contains(expected), "{line}: {error}");
        }
    }
}
