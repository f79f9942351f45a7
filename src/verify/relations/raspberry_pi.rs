//! The files that the firmware of a Raspberry Pi reads: on every model it must start U-Boot, pass
//! on arguments that the boot script can complete, and leave U-Boot no delay.

use super::super::finding::Log;
use super::boot_partition::BootPartition;
use super::raspberry_config::{models, named_models, settings};
use super::raspberry_firmware;
use crate::tree::Tree;
use std::collections::BTreeMap;

/// What the boot script adds to the arguments, at least (bytes).
const OURS: usize = 50;

/// Checks what the firmware of each model of the image starts and passes on.
pub(super) fn check(boot: &BootPartition<'_>, root: &Tree, log: &mut Log) {
    let named = named_models(root);
    raspberry_firmware::check(boot, &models(root), named.is_empty(), log);
    let mut cmdlines = BTreeMap::new();
    let mut program = None;
    for model in models(root) {
        let settings = settings(boot, model, true);
        let all = |name: &str, default: &str| {
            let values = settings.get(name).cloned();
            values.unwrap_or_else(|| vec![default.to_owned()])
        };
        let is_wide = all("arm_64bit", "").iter().any(|value| value == "1");
        let mut bad = None;
        for prefix in all("os_prefix", "") {
            for kernel in all("kernel", "") {
                // Without the kernel the firmware ignores the prefix.
                let named = format!("{prefix}{kernel}");
                let (prefix, named) = if boot.has(&format!("/{named}")) {
                    (prefix.as_str(), named)
                } else {
                    ("", kernel.clone())
                };
                let bytes = boot.read(&format!("/{named}")).unwrap_or_default();
                if !is_u_boot(&bytes) {
                    bad = bad.or(Some(if kernel.is_empty() {
                        "a kernel".to_owned()
                    } else {
                        named
                    }));
                } else if is_64_bit(&bytes).is_some_and(|wide| wide != is_wide) {
                    let bits = if is_wide { "64" } else { "32" };
                    bad = bad.or(Some(format!("{named} in {bits}-bit mode")));
                } else {
                    program = Some(bytes);
                }
                for cmdline in all("cmdline", "cmdline.txt") {
                    cmdlines.insert(format!("/{prefix}{cmdline}"), is_wide);
                }
            }
        }
        let fine = log.check(bad.is_none(), "uboot-program", || {
            let text = format!(
                "on {model}, the firmware starts {}, which is not U-Boot",
                bad.unwrap_or_default()
            );
            (boot.place("/config.txt"), text)
        });
        if !fine {
            break;
        }
    }
    for (path, is_wide) in cmdlines {
        arguments(boot, &path, is_wide, log);
    }
    if let Some(program) = program.filter(|_| boot.has("/uboot.env")) {
        delay(boot, &program, log);
    }
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

fn is_u_boot(bytes: &[u8]) -> bool {
    contains(bytes, b"U-Boot 20")
}

/// Whether a program is for 64 bits, by the branch that it begins with.
fn is_64_bit(bytes: &[u8]) -> Option<bool> {
    match bytes.get(3)? {
        0x14..=0x17 => Some(true),
        0xea => Some(false),
        _ => None,
    }
}

/// What the firmware passes on from one file.
fn arguments(boot: &BootPartition<'_>, path: &str, is_wide: bool, log: &mut Log) {
    let Some(bytes) = boot.read(path) else {
        return;
    };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let wrong = text.split_whitespace().find(|word| {
        let word = word.trim_start_matches('\u{feff}');
        let init = word.starts_with("init=")
            && (word.ends_with("init_resize.sh") || word.ends_with("firstboot"));
        word.starts_with("root=") || word == "resize" || word.starts_with("systemd.run=") || init
    });
    log.check(wrong.is_none(), "uboot-arguments", || {
        let text = format!(
            "it passes {}: the script chooses the root filesystem, and nothing may resize or restart",
            wrong.unwrap_or_default()
        );
        (boot.place(path), text)
    });
    let first = text.lines().next().unwrap_or_default();
    let limit = if is_wide { 2047 } else { 1023 };
    let all = first.trim().len().saturating_add(OURS);
    log.check(all <= limit, "uboot-arguments", || {
        let text = format!(
            "with those of the boot script it passes {all} bytes of arguments, the kernel takes {limit}"
        );
        (boot.place(path), text)
    });
    let is_blank = first.trim().is_empty() && !text.trim().is_empty();
    log.check(!is_blank, "uboot-arguments", || {
        let text = "its first line is empty, and the firmware passes on no other".to_owned();
        (boot.place(path), text)
    });
}

/// The environment that U-Boot takes from its file is its own, without a delay.
fn delay(boot: &BootPartition<'_>, program: &[u8], log: &mut Log) {
    let path = "/uboot.env";
    let bytes = boot.read(path).unwrap_or_default();
    let stored = bytes.first_chunk().map(|first| u32::from_le_bytes(*first));
    let data = bytes.get(4..).unwrap_or_default();
    let sound = bytes.len() == 0x4000 && stored == Some(crc32fast::hash(data));
    if !log.check(sound, "uboot-delay", || {
        let text = format!(
            "it is not an environment that U-Boot takes: {} bytes, not 16384, or a wrong checksum",
            bytes.len()
        );
        (boot.place(path), text)
    }) {
        return;
    }
    let entries = data.split(|byte| *byte == 0);
    let entries: Vec<&[u8]> = entries.take_while(|entry| !entry.is_empty()).collect();
    let delay = entries.iter().any(|entry| *entry == b"bootdelay=-2");
    log.check(delay, "uboot-delay", || {
        let text = "bootdelay is not -2: any byte on the serial line stops U-Boot".to_owned();
        (boot.place(path), text)
    });
    let foreign = entries.iter().find(|entry| {
        let whole = [b"\0", **entry, b"\0"].concat();
        !entry.starts_with(b"bootdelay=") && !contains(program, &whole)
    });
    log.check(foreign.is_none(), "uboot-delay", || {
        let entry = String::from_utf8_lossy(foreign.copied().unwrap_or_default()).into_owned();
        (
            boot.place(path),
            format!("`{entry}` is not a variable of the U-Boot that reads it"),
        )
    });
    let has_command = entries.iter().any(|entry| entry.starts_with(b"bootcmd="));
    log.check(has_command, "uboot-delay", || {
        let text = "it has no bootcmd: U-Boot would stop at its prompt".to_owned();
        (boot.place(path), text)
    });
}
