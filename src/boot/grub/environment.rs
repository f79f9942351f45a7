//! GRUB's environment block, and the redundant environment that is made of four of them.
//!
//! ```text
//! # GRUB Environment Block\n       25 bytes
//! name=value\n ...                 a backslash or newline in a value follows a backslash
//! ####...                          up to byte 1024
//! ```
//! (GRUB manual, "The GRUB environment block"; `grub-core/lib/envblk.c`.) The boot partition holds
//! `grub-mender-grubenv/mender_grubenv{1,2}/{env,lock,lock.sha256sum}`, names and contents as the
//! update client's own tools for GRUB make them, so that those work on our devices and ours on
//! theirs.

use crate::digest::hex;
use sha2::{Digest, Sha256};

/// Where the environment is on the boot partition.
pub const DIRECTORY: &str = "/grub-mender-grubenv";
/// The length of a block (bytes): what `grub-editenv` makes.
pub const BLOCK: usize = 1024;
/// The first line of every block.
const HEADER: &str = "# GRUB Environment Block\n";

/// The values do not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("variables of {0} bytes do not fit into an environment block of {BLOCK} bytes")]
pub struct TooLong(pub usize);

/// A block of `length` bytes with these variables, in this order.
///
/// # Errors
/// [`TooLong`].
pub fn block_of(variables: &[(&str, &str)], length: usize) -> Result<Vec<u8>, TooLong> {
    let mut out = HEADER.to_owned();
    for (name, value) in variables {
        let value = value.replace('\\', "\\\\").replace('\n', "\\\n");
        out.push_str(&format!("{name}={value}\n"));
    }
    let mut out = out.into_bytes();
    if out.len() > length {
        return Err(TooLong(out.len()));
    }
    out.resize(length, b'#');
    Ok(out)
}

/// The variables of a block in their order; `None` when it is none. Like GRUB, takes any length and
/// skips lines that start with `#`.
#[must_use]
pub fn variables(block: &[u8]) -> Option<Vec<(String, String)>> {
    let text = std::str::from_utf8(block).ok()?.strip_prefix(HEADER)?;
    let mut out = Vec::new();
    let mut line = String::new();
    let mut escaped = false;
    for c in text.chars().chain(['\n']) {
        match c {
            _ if escaped => line.push(c),
            '\\' => {
                escaped = true;
                continue;
            }
            '\n' => {
                if let Some((name, value)) = line.split_once('=').filter(|_| !line.starts_with('#'))
                {
                    out.push((name.to_owned(), value.to_owned()));
                }
                line.clear();
            }
            c => line.push(c),
        }
        escaped = false;
    }
    Some(out)
}

/// The two copies, as paths on the boot partition.
#[must_use]
pub fn copies() -> [String; 2] {
    [1, 2].map(|copy| format!("{DIRECTORY}/mender_grubenv{copy}/env"))
}

/// The files of a new environment that starts partition `part`: paths below [`DIRECTORY`] and
/// bytes.
#[must_use]
pub fn factory(part: u32) -> Vec<(String, Vec<u8>)> {
    let part = part.to_string();
    let values = [
        ("bootcount", "0"),
        ("mender_boot_part", part.as_str()),
        ("upgrade_available", "0"),
    ];
    let fits = "a few short variables fit";
    let env = block_of(&values, BLOCK).expect(fits);
    let lock = block_of(&[("editing", "0")], BLOCK).expect(fits);
    let digest = hex(&Sha256::digest(&lock));
    let sum = format!("{digest}  lock\n").into_bytes();
    let files = [("env", env), ("lock", lock), ("lock.sha256sum", sum)];
    let copies = [1, 2].into_iter();
    copies
        .flat_map(|copy| {
            files
                .clone()
                .map(|(name, bytes)| (format!("mender_grubenv{copy}/{name}"), bytes))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(bytes: &[u8]) -> String {
        hex(&Sha256::digest(bytes))
    }

    #[test]
    fn a_new_environment_is_what_other_tools_make() {
        let files = factory(2);
        let named = |name: &str| {
            files
                .iter()
                .find(|(path, _)| path == name)
                .unwrap()
                .1
                .clone()
        };
        let env = "2c309313f803df80cf487bca07d0f9c9676632d91b5f995021b1b2b31b018072";
        let lock = "eba0a3647c8f60f467b15873c9cc87dbac22f928e6e4264f23f1020163498c6e";
        assert_eq!(digest(&named("mender_grubenv1/env")), env);
        assert_eq!(named("mender_grubenv1/env"), named("mender_grubenv2/env"));
        assert_eq!(digest(&named("mender_grubenv2/lock")), lock);
        assert_eq!(
            named("mender_grubenv2/lock.sha256sum"),
            format!("{lock}  lock\n").into_bytes()
        );
        assert_eq!(files.len(), 6);
    }

    #[test]
    fn values_survive_a_block() {
        let values = [
            ("a", "x=y z"),
            ("back", "\\slash\\"),
            ("two", "lines\nhere"),
            ("empty", ""),
        ];
        let block = block_of(&values, BLOCK).unwrap();
        let read = variables(&block).unwrap();
        let read: Vec<(&str, &str)> = read
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(read, values);
        assert_eq!(variables(b"# GRUB Environment Blok\n"), None);
        let long = "x".repeat(BLOCK);
        assert_eq!(block_of(&[("a", &long)], BLOCK), Err(TooLong(1024 + 28)));
    }
}
