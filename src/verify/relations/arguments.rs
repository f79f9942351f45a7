//! The kernel arguments of a slot: within the kernel's limit, and with `rootwait` where no initial
//! RAM disk waits for the disk.

use super::super::disk::read;
use super::super::finding::{Location, Log, Severity};
use super::boot_partition::BootPartition;
use crate::stream::ReadAt as _;
use crate::tree::Tree;

const PATH: &str = "/boot/mender-slot.env";

/// Checks the arguments of the slot in partition `number`, with those that the firmware of a
/// Raspberry Pi puts in front.
pub(super) fn check(root: &Tree, number: u32, boot: &BootPartition<'_>, log: &mut Log) {
    let text = |bytes: Option<Vec<u8>>| {
        String::from_utf8_lossy(&bytes.unwrap_or_default())
            .trim()
            .to_owned()
    };
    let slot = text(read(root, PATH));
    let value = |name: &str| {
        slot.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
            .filter(|value| !value.is_empty())
    };
    let Some(arguments) = value("args") else {
        return;
    };
    // Without a name the kernel is that of links, which have an initial RAM disk.
    let kernel = value("kernel");
    // The arguments of a Raspberry Pi are checked with its firmware.
    let is_pi = boot.has("/config.txt");
    let firmware = if is_pi {
        text(boot.read("/cmdline.txt"))
    } else {
        String::new()
    };
    let choice = format!("root=PARTUUID={:36} mender.slot={number}", "");
    let all = [firmware.as_str(), &choice, arguments];
    let words: Vec<&str> = all.into_iter().filter(|part| !part.is_empty()).collect();
    let len = words.join(" ").len();
    let limit = limit(root, &format!("/{}", kernel.unwrap_or("vmlinuz")));
    log.check(is_pi || len <= limit, "kernel-arguments", || {
        let text = format!(
            "the kernel takes {limit} bytes of arguments and cuts the rest; these are {len}"
        );
        (Location::partition(number).path(PATH), text)
    });
    let last = words
        .iter()
        .rev()
        .flat_map(|part| part.split_whitespace().rev());
    let panic = last.clone().find(|word| word.starts_with("panic="));
    if panic == Some("panic=0") {
        let text = "panic=0: a kernel that gives up waits for a person and does not go back to the other slot";
        let place = Location::partition(number).path(PATH);
        log.add(Severity::Warning, "boot-panic", place, text.to_owned());
    }
    let waits = words
        .iter()
        .flat_map(|part| part.split_whitespace())
        .any(|word| word == "rootwait" || word.starts_with("rootdelay="));
    let unseen = is_pi && firmware.is_empty();
    let initrd = unseen || kernel.is_none() || value("initrd").is_some();
    log.check(initrd || waits, "kernel-rootwait", || {
        let text = "a kernel without an initrd needs the argument rootwait: the disk may appear \
                    after it looks for it";
        (Location::partition(number).path(PATH), text.to_owned())
    });
}

/// The most bytes of arguments that the kernel takes: 1,023 of 32-bit Arm, whose `zImage` has its
/// magic number at 0x24, else 2,047.
fn limit(root: &Tree, kernel: &str) -> usize {
    const ZIMAGE: [u8; 4] = 0x016f_2818_u32.to_le_bytes();
    let mut magic = [0; 4];
    let found = root
        .file(kernel)
        .filter(|content| content.len() > 0x28)
        .is_some_and(|content| content.read_exact_at(0x24, &mut magic).is_ok());
    if found && magic == ZIMAGE { 1023 } else { 2047 }
}
