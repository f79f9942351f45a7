//! The redundant environment of GRUB, made of four environment blocks.
//!
//! The boot partition holds `grub-mender-grubenv/mender_grubenv{1,2}/{env,lock,lock.sha256sum}`,
//! names and contents as the update client's own tools for GRUB make them, so that those work on
//! our devices and ours on theirs.

use crate::boot::common::env_block::{BLOCK, block_of};
use crate::digest::hex;
use sha2::{Digest, Sha256};

/// Where the environment is on the boot partition.
pub const DIRECTORY: &str = "/grub-mender-grubenv";

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
}
