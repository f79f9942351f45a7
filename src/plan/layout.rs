//! From sizes to offsets: arithmetic only. Nothing is opened, read or written here.
//!
//! ```text
//! | table | boot | root A | root B | data | rest |
//! 0       A      A+boot   ...
//!
//! | table | autoboot | boot A | boot B | root A | root B | data | rest |
//!         |<------- boot area ------->|
//! ```
//! Every partition starts at a multiple of the alignment `A` and the next one begins where it ends.
//! The rest is at least one alignment, with the backup GPT at the very end.

use super::family::{PartitionSet, Role};
use crate::platform::Bootloader;
use crate::problem::Problem;
use crate::units::{MIB, align_up, enough, human};

/// Room that is kept free around the partitions, in alignments: boot loaders in front of the first
/// partition need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Margins {
    /// Alignments in front of the boot partition: 1 with GRUB on UEFI, 3 with room for two raw
    /// environments.
    pub head: u64,
    /// Alignments outside the partitions altogether: 4 and 6.
    pub overhead: u64,
}

impl Margins {
    /// GRUB on UEFI: only the table is in front of the partitions.
    pub const EFI: Self = Self {
        head: 1,
        overhead: 4,
    };
    /// U-Boot: two alignments for its environments.
    pub const UBOOT: Self = Self {
        head: 3,
        overhead: 6,
    };

    /// The room around the partitions that `loader` needs.
    #[must_use]
    pub fn of(loader: Bootloader) -> Self {
        match loader {
            Bootloader::GrubEfi | Bootloader::RpiTryboot => Self::EFI,
            Bootloader::UBoot | Bootloader::UBootOnRaspberryPi => Self::UBOOT,
        }
    }
}

/// The size of the partition with `autoboot.txt`, before it is aligned (bytes): FAT16, which the
/// firmware of all boards reads, with room to spare.
const AUTOBOOT: u64 = 32 * MIB;

/// The sizes to lay out (bytes).
#[derive(Clone, Copy, Debug)]
pub struct Needs {
    /// The length of the disk.
    pub total: u64,
    /// Every partition starts at a multiple of it; a power of two of at least 1 MiB.
    pub alignment: u64,
    /// Room in front of the partitions and after them.
    pub margins: Margins,
    /// Which partitions there are.
    pub set: PartitionSet,
    /// The boot partition, or each of them, before it is aligned.
    pub boot: u64,
    /// The root filesystem, which must fit into each slot.
    pub root: u64,
    /// The size of each slot, before it is aligned; `None` shares out what the others leave.
    pub slot: Option<u64>,
    /// The data partition, before it grows; the least one if `slot` is set.
    pub data: u64,
}

impl Needs {
    /// All partitions in front of the slots, aligned.
    fn boot_area(&self) -> u64 {
        let boot = align_up(self.boot, self.alignment);
        match self.set {
            PartitionSet::OneBoot => boot,
            PartitionSet::BootPerSlot => boot
                .saturating_mul(2)
                .saturating_add(align_up(AUTOBOOT, self.alignment)),
        }
    }
}

/// A contiguous range of the disk (bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The offset of its first byte.
    pub start: u64,
    /// Its length (bytes).
    pub len: u64,
}

impl Extent {
    /// The first byte after it.
    #[must_use]
    pub fn end(self) -> u64 {
        self.start + self.len
    }
}

/// The extents of all partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The length of the disk.
    pub total: u64,
    /// What is in front of the slots, the first on the disk: the boot partition, or all of them.
    pub boot: Extent,
    /// The length of each boot partition; that of `boot` if there is one.
    pub boot_len: u64,
    /// Which partitions there are.
    pub set: PartitionSet,
    /// The first root slot.
    pub root_a: Extent,
    /// The second root slot, as long as the first.
    pub root_b: Extent,
    /// The data partition, the last on the disk.
    pub data: Extent,
}

impl Layout {
    /// The partitions in the order of [`PartitionSet::roles`].
    #[must_use]
    pub fn partitions(&self) -> Vec<Extent> {
        let roles = self.set.roles().iter();
        roles.map(|role| self.partition(*role)).collect()
    }

    /// A partition; empty if the disk does not have it.
    #[must_use]
    pub fn partition(&self, role: Role) -> Extent {
        // Boot partitions end where the slots begin.
        let boot = |last: u64| {
            let len = self.boot_len;
            let start = self.boot.end().saturating_sub(len.saturating_mul(last));
            Extent { start, len }
        };
        let one = self.set == PartitionSet::OneBoot;
        match role {
            Role::Autoboot | Role::BootB if one => Extent {
                start: self.boot.end(),
                len: 0,
            },
            Role::Autoboot => Extent {
                start: self.boot.start,
                len: boot(2).start.saturating_sub(self.boot.start),
            },
            Role::Boot => boot(if one { 1 } else { 2 }),
            Role::BootB => boot(1),
            Role::RootA => self.root_a,
            Role::RootB => self.root_b,
            Role::Data => self.data,
        }
    }

    /// Places everything.
    ///
    /// # Errors
    /// A [`Problem`] with all sizes and the smallest ones that suffice, if something does not fit.
    pub fn new(needs: &Needs) -> Result<Self, Problem> {
        let Needs {
            total,
            alignment,
            margins,
            ..
        } = *needs;
        let boot = needs.boot_area();
        let data = align_up(needs.data, alignment);
        let fixed = boot
            .saturating_add(data)
            .saturating_add(margins.overhead.saturating_mul(alignment));
        let (slot, data) = match needs.slot {
            None => (align_up(total.saturating_sub(fixed) / 2, alignment), data),
            Some(slot) => chosen_slot(needs, slot, fixed, data)?,
        };
        if total <= fixed || slot < needs.root {
            return Err(too_small(needs, boot, data, slot));
        }
        let boot = Extent {
            start: margins.head * alignment,
            len: boot,
        };
        let root_a = Extent {
            start: boot.end(),
            len: slot,
        };
        let root_b = Extent {
            start: root_a.end(),
            len: slot,
        };
        Ok(Self {
            total,
            boot,
            boot_len: align_up(needs.boot, alignment),
            set: needs.set,
            root_a,
            root_b,
            data: Extent {
                start: root_b.end(),
                len: data,
            },
        })
    }
}

/// The slot of a configured size, and the data partition that takes the rest; `data` is the least
/// one, and `fixed` what everything but the slots takes with it.
fn chosen_slot(needs: &Needs, slot: u64, fixed: u64, data: u64) -> Result<(u64, u64), Problem> {
    let slot = align_up(slot, needs.alignment);
    if slot < needs.root {
        let message = format!(
            "root.slot-size is {} but the root filesystem needs {} ({} bytes)",
            human(slot),
            human(needs.root),
            needs.root
        );
        let least = enough(align_up(needs.root, needs.alignment));
        let hint = format!(
            "set root.slot-size to at least \"{least}\", or make root.size or root.headroom smaller"
        );
        return Err(Problem::new(message).hint(hint));
    }
    let slots = slot.saturating_mul(2);
    let Some(rest) = needs.total.checked_sub(fixed.saturating_add(slots)) else {
        let message = format!(
            "two root partitions of {} (root.slot-size) and everything else need {}, but the disk has {}",
            human(slot),
            human(fixed.saturating_add(slots)),
            human(needs.total)
        );
        let hint = format!(
            "raise storage.size to at least \"{}\", or make root.slot-size smaller",
            enough(fixed.saturating_add(slots))
        );
        return Err(Problem::new(message).hint(hint));
    };
    let rest = rest.checked_div(needs.alignment).unwrap_or(0) * needs.alignment;
    Ok((slot, data.saturating_add(rest)))
}

/// The smallest disk on which everything fits (bytes).
#[must_use]
pub fn least_total(needs: &Needs) -> u64 {
    let boot = needs.boot_area();
    let data = align_up(needs.data, needs.alignment);
    let Some(slot) = needs.slot else {
        return smallest_total(needs, boot, data);
    };
    align_up(slot, needs.alignment)
        .saturating_mul(2)
        .saturating_add(boot)
        .saturating_add(data)
        .saturating_add(needs.margins.overhead.saturating_mul(needs.alignment))
}

/// The smallest disk, in alignments, on which a root filesystem of `root` bytes fits into each
/// slot. Half of what the fixed parts leave is rounded up to a slot, so one alignment less than two
/// slots is enough.
fn smallest_total(needs: &Needs, boot: u64, data: u64) -> u64 {
    let slots = align_up(needs.root, needs.alignment)
        .saturating_mul(2)
        .saturating_sub(needs.alignment);
    slots
        .saturating_add(boot)
        .saturating_add(data)
        .saturating_add(needs.margins.overhead.saturating_mul(needs.alignment))
}

fn too_small(needs: &Needs, boot: u64, data: u64, slot: u64) -> Problem {
    let overhead = needs.margins.overhead.saturating_mul(needs.alignment);
    let left = needs
        .total
        .saturating_sub(boot)
        .saturating_sub(data)
        .saturating_sub(overhead);
    let slot = if left == 0 { 0 } else { slot };
    let message = format!(
        "the root filesystem needs {} ({} bytes) but each of the two slots has {}: of {} the {} \
         {}, data {}, and {} stay free for alignment and tables",
        human(needs.root),
        needs.root,
        human(slot),
        human(needs.total),
        match needs.set {
            PartitionSet::OneBoot => "boot partition takes",
            PartitionSet::BootPerSlot => "boot partitions take",
        },
        human(boot),
        human(data),
        human(overhead),
    );
    let smallest = smallest_total(needs, boot, data);
    Problem::new(message).hint(format!(
        "raise `storage.size` to at least \"{}\", or make root.size, root.headroom, boot.size or \
         data.size smaller",
        enough(smallest)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::GIB;

    fn needs() -> Needs {
        Needs {
            total: 8 * GIB,
            alignment: 8 * MIB,
            margins: Margins::EFI,
            set: PartitionSet::OneBoot,
            boot: 40 * MIB,
            root: GIB,
            slot: None,
            data: 128 * MIB,
        }
    }

    #[test]
    fn slots_of_a_size_leave_the_rest_to_data() {
        let chosen = Needs {
            slot: Some(2 * GIB - 1),
            ..needs()
        };
        let layout = Layout::new(&chosen).unwrap();
        assert_eq!([layout.root_a.len, layout.root_b.len], [2 * GIB; 2]);
        // All but the boot partition and four alignments.
        assert_eq!(layout.data.len, 4 * GIB - 40 * MIB - 4 * 8 * MIB);
        assert!(layout.total - layout.data.end() >= 33 * 512);

        let odd = Needs {
            total: 8 * GIB + 3 * MIB,
            ..chosen
        };
        assert_eq!(Layout::new(&odd).unwrap().data.len, layout.data.len);

        for (slot, words) in [
            (GIB - 8 * MIB, "set root.slot-size to at least \"1 GiB\""),
            (4 * GIB, "raise storage.size to at least \"8392 MiB\""),
            (u64::MAX, "make root.slot-size smaller"),
        ] {
            let problem = Layout::new(&Needs {
                slot: Some(slot),
                ..needs()
            });
            let problem = problem.unwrap_err().to_string();
            assert!(problem.contains(words), "{slot}: {problem}");
        }
    }

    #[test]
    fn the_documented_geometry() {
        let layout = Layout::new(&needs()).unwrap();
        assert_eq!(
            layout.boot,
            Extent {
                start: 8 * MIB,
                len: 40 * MIB
            }
        );
        assert_eq!(
            layout.root_a,
            Extent {
                start: 48 * MIB,
                len: 3996 * MIB + 4 * MIB
            }
        );
        assert_eq!(layout.root_b.start, layout.root_a.end());
        assert_eq!(layout.data.start, layout.root_b.end());
        assert!(layout.total - layout.data.end() >= 33 * 512);
    }

    #[test]
    fn the_smallest_size_named_is_enough_and_one_alignment_less_is_not() {
        let tight = Needs {
            root: 5 * GIB,
            ..needs()
        };
        let problem = Layout::new(&tight).unwrap_err();
        assert!(problem.message.contains("needs 5 GiB"), "{problem}");
        let smallest = smallest_total(&tight, 40 * MIB, 128 * MIB);
        assert!(
            Layout::new(&Needs {
                total: smallest,
                ..tight
            })
            .is_ok()
        );
        assert_eq!(least_total(&tight), smallest);
        let chosen = Needs {
            slot: Some(6 * GIB),
            ..tight
        };
        for (less, fits) in [(0, true), (8 * MIB, false)] {
            let total = least_total(&chosen) - less;
            let layout = Layout::new(&Needs { total, ..chosen });
            assert_eq!(layout.is_ok(), fits, "{layout:?}");
        }
        assert!(
            Layout::new(&Needs {
                total: smallest - 8 * MIB,
                ..tight
            })
            .is_err()
        );
        assert!(
            Layout::new(&Needs {
                total: 64 * MIB,
                ..tight
            })
            .is_err()
        );
    }

    #[test]
    fn something_is_always_left_for_the_backup_table() {
        for total in (4 * GIB..4 * GIB + 64 * MIB).step_by(512 * 1013) {
            for alignment in [MIB, 4 * MIB, 8 * MIB] {
                let layout = Layout::new(&Needs {
                    total,
                    alignment,
                    ..needs()
                })
                .unwrap();
                assert!(total - layout.data.end() >= 33 * 512, "{total} {alignment}");
            }
        }
    }

    #[test]
    fn boot_partitions_of_slots_follow_each_other() {
        let needs = Needs {
            set: PartitionSet::BootPerSlot,
            ..needs()
        };
        let layout = Layout::new(&needs).unwrap();
        let all = layout.partitions();
        assert_eq!(all.len(), 6);
        assert!(all.windows(2).all(|two| two[0].end() == two[1].start));
        assert_eq!(all[0].start, 8 * MIB);
        assert_eq!(
            [all[0].len, all[1].len, all[2].len],
            [32, 40, 40].map(|size| size * MIB)
        );
        assert_eq!(layout.boot.end(), layout.root_a.start);
        // The least disk is one on which it fits, and the next smaller one is not.
        let least = least_total(&needs);
        let of = |total| Layout::new(&Needs { total, ..needs });
        assert!(of(least).is_ok() && of(least - 8 * MIB).is_err());
    }
}
