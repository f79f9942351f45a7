//! The boot environment on the boot partition: two copies of `env` and `lock`, each a GRUB
//! environment block.

use super::super::finding::Log;
use super::boot_partition::BootPartition;
use crate::boot::state;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

const HEAD: &[u8] = b"# GRUB Environment Block\n";
const LEN: usize = 1024;
/// The variables that select the slot.
const NAMES: [&str; 3] = ["mender_boot_part", "upgrade_available", "bootcount"];

/// Checks both copies; `slots` are the numbers of slot A and B.
pub(super) fn check(boot: &BootPartition<'_>, slots: [u32; 2], log: &mut Log) {
    let copies = [1, 2].map(|copy| check_copy(boot, copy, slots, log));
    let [Some(first), Some(second)] = copies else {
        return;
    };
    let differs = NAMES
        .iter()
        .find(|name| first.get(**name) != second.get(**name));
    log.check(differs.is_none(), "grubenv-copies", || {
        let name = differs.copied().unwrap_or_default();
        let value = |copy: &BTreeMap<String, String>| copy.get(name).cloned().unwrap_or_default();
        (
            boot.place("/grub-mender-grubenv"),
            format!(
                "{name} is {} in the first copy and {} in the second",
                value(&first),
                value(&second)
            ),
        )
    });
    let value = |name: &str| first.get(name).map(String::as_str).unwrap_or_default();
    let (part, pending) = (value("mender_boot_part"), value("upgrade_available"));
    log.check(part == slots[0].to_string() && pending == "0", "grubenv-slot", || {
        let text = format!(
            "it starts partition {part} with upgrade_available={pending}, a fresh device starts slot A ({}) with 0",
            slots[0]
        );
        (boot.place("/grub-mender-grubenv"), text)
    });
}

/// Checks one copy; returns its values if they are valid.
fn check_copy(
    boot: &BootPartition<'_>,
    copy: u32,
    slots: [u32; 2],
    log: &mut Log,
) -> Option<BTreeMap<String, String>> {
    let dir = format!("/grub-mender-grubenv/mender_grubenv{copy}");
    let lock = block(boot, &format!("{dir}/lock"), log)?;
    let path = format!("{dir}/env");
    let env = block(boot, &path, log)?;
    let editing = lock.values.get("editing").cloned().unwrap_or_default();
    let mut good = log.check(editing == "0", "grubenv-lock", || {
        (
            boot.place(&format!("{dir}/lock")),
            format!("editing is `{editing}`, not 0"),
        )
    });
    let checksum: String = Sha256::digest(&lock.bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let stored = boot
        .read(&format!("{dir}/lock.sha256sum"))
        .unwrap_or_default();
    let stored = String::from_utf8_lossy(&stored)
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned();
    good &= log.check(stored == checksum, "grubenv-lock", || {
        (
            boot.place(&format!("{dir}/lock.sha256sum")),
            format!("the checksum of the lock is {checksum}, the file has {stored}"),
        )
    });
    let allowed = [
        slots.map(|number| number.to_string()).to_vec(),
        vec!["0".into(), "1".into()],
        vec!["0".into(), "1".into()],
    ];
    for (name, allowed) in NAMES.iter().zip(allowed) {
        let value = env.values.get(*name).cloned().unwrap_or_default();
        good &= log.check(allowed.contains(&value), "grubenv-values", || {
            (
                boot.place(&path),
                format!("{name} is `{value}`, not {}", allowed.join(" or ")),
            )
        });
    }
    good.then_some(env.values)
}

/// An environment block and its variables.
struct EnvBlock {
    bytes: Vec<u8>,
    values: BTreeMap<String, String>,
}

/// The environment block at `path`; `None`, with a finding, if it is missing or malformed.
fn block(boot: &BootPartition<'_>, path: &str, log: &mut Log) -> Option<EnvBlock> {
    let Some(bytes) = boot.read(path) else {
        log.error("grubenv-format", boot.place(path), "the file is missing");
        return None;
    };
    let good = log.check(
        bytes.len() == LEN && bytes.starts_with(HEAD),
        "grubenv-format",
        || {
            (
                boot.place(path),
                format!(
                    "it is not an environment block: {} bytes, not {LEN}, or another first line",
                    bytes.len()
                ),
            )
        },
    );
    if !good {
        return None;
    }
    let values = values(&bytes);
    Some(EnvBlock { bytes, values })
}

/// Both copies in the model of the state machine.
pub(super) fn medium(boot: &BootPartition<'_>, slots: [u32; 2]) -> state::BlockPair {
    state::BlockPair::new([1, 2].map(|copy| {
        let dir = format!("/grub-mender-grubenv/mender_grubenv{copy}");
        let read = |name: &str| {
            boot.read(&format!("{dir}/{name}"))
                .filter(|bytes| bytes.len() == LEN && bytes.starts_with(HEAD))
        };
        let env = read("env").map(|bytes| values(&bytes));
        let lock = read("lock").map(|bytes| values(&bytes));
        state::EnvCopy {
            lock: model_block(lock.map(|lock| bit(lock.get("editing")))),
            env: model_block(env.map(|env| {
                let part = env.get("mender_boot_part")?;
                let part = [state::Slot::A, state::Slot::B]
                    .into_iter()
                    .zip(slots)
                    .find(|(_, number)| number.to_string() == *part)?
                    .0;
                Some(state::Values {
                    part,
                    upgrade: bit(env.get("upgrade_available"))?,
                    count: bit(env.get("bootcount"))?,
                })
            })),
        }
    }))
}

/// The variables of a block: `name=value` lines.
fn values(bytes: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let pairs = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='));
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// `0` or `1`; `None` for anything else.
fn bit(value: Option<&String>) -> Option<bool> {
    match value?.as_str() {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

/// A block in the model: missing or damaged, without valid values, or valid.
fn model_block<T>(block: Option<Option<T>>) -> state::Block<T> {
    match block {
        None => state::Block::Missing,
        Some(None) => state::Block::Blank,
        Some(Some(values)) => state::Block::Valid(values),
    }
}
