//! Options of filesystems with which a power cut can damage them.

use super::{Finding, System, codes};
use crate::golden::fstab::FstabLine;

/// Filesystems that write in an order by which a power cut leaves them whole.
const ORDERED: [&str; 5] = ["ext3", "ext4", "btrfs", "f2fs", "auto"];
/// Options that give up that order (ext4(5), btrfs(5), the kernel's page on F2FS).
const UNORDERED: [&str; 2] = ["barrier=0", "nobarrier"];

/// The lines of `fstab` with such an option.
pub(super) fn examine(system: &System<'_>) -> Option<Finding> {
    let fstab = system.text("/etc/fstab");
    let mut places = Vec::new();
    for (at, line) in (1..).zip(fstab.lines()) {
        let Some(line) = FstabLine::parse(line) else {
            continue;
        };
        let is_ordered = line.kind.split(',').any(|kind| ORDERED.contains(&kind));
        let option = line
            .options
            .split(',')
            .find(|option| UNORDERED.contains(option));
        if let Some(option) = option.filter(|_| is_ordered) {
            places.push((
                format!("/etc/fstab:{at}"),
                format!("{option} on {}", line.dir),
            ));
        }
    }
    let text = "filesystems are mounted without write barriers: a power cut can damage them";
    (!places.is_empty()).then(|| Finding::new(&codes::BARRIERS_OFF, text).all(places))
}
