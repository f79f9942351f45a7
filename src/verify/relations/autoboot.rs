//! `autoboot.txt` of a Raspberry Pi: it must not lead the firmware away from the boot partition.

use super::super::finding::Log;
use super::boot_partition::BootPartition;

/// The file that the firmware reads before all others, on the first FAT partition.
const PATH: &str = "/autoboot.txt";

/// Checks each line that chooses a partition, in whatever section it is; where the firmware makes
/// the `trials` of updates, also where it looks for their settings.
pub(super) fn check(boot: &BootPartition<'_>, trials: bool, log: &mut Log) {
    if !boot.has("/config.txt") {
        return;
    }
    let own = boot.number.to_string();
    let bytes = boot.read(PATH).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    for line in text.trim_start_matches('\u{feff}').lines().map(str::trim) {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        let is_other = name == "boot_partition" && value != own && value != "0";
        log.check(!is_other, "boot-autoboot", || {
            let text = format!("`{line}`: the firmware starts from that partition, not from {own}");
            (boot.place(PATH), text)
        });
        let by_turns = trials && name == "tryboot_a_b" && value != "0";
        log.check(!by_turns, "boot-autoboot", || {
            let text = format!(
                "`{line}`: for the trial of an update, the firmware reads config.txt, and no \
                 tryboot.txt"
            );
            (boot.place(PATH), text)
        });
    }
}
