//! Slots with a boot partition each, between which the firmware of a Raspberry Pi chooses: what
//! that needs.

use super::boot::choose;
use crate::config::{self, Config};
use crate::golden::Golden;
use crate::platform::{Bootloader, PiChip, TableKind};
use crate::problem::{Problem, Problems};

/// Checks what `boot.tryboot` needs of loader, partition table and models.
///
/// # Errors
/// Each of them that does not fit.
pub(super) fn check(config: &Config, golden: &Golden, scheme: TableKind) -> Result<(), Problems> {
    if config.boot.tryboot != config::TrybootLevel::Partitions {
        return Ok(());
    }
    let mut problems = Problems::default();
    if choose(config, golden) != Bootloader::RpiTryboot {
        let text = "boot.tryboot is \"partitions\", but the firmware of a Raspberry Pi does not \
                    choose the slot of this image";
        let hint = "remove boot.tryboot, or set boot.bootloader to \"rpi-tryboot\"";
        problems.push(Problem::new(text).hint(hint));
        return Err(problems);
    }
    if scheme == TableKind::Mbr {
        let text = "boot.tryboot is \"partitions\", which takes 6 partitions: autoboot.txt, 2 boot \
                    partitions, 2 slots and data; an MBR has 4";
        let hint = "set storage.table to \"gpt\"";
        problems.push(Problem::new(text).hint(hint));
    }
    let mut models = config.board.pi_models.iter();
    if let Some(model) = models.find(|model| model.chip() < PiChip::Bcm2711) {
        let text = format!(
            "boot.tryboot is \"partitions\", which takes a GPT, and the program in the processor of \
             a {} starts from an MBR alone: a Raspberry Pi 4 or later is needed",
            model.title()
        );
        let hint = "remove boot.tryboot: \"files\" tries updates on this model, too";
        problems.push(Problem::new(text).hint(hint));
    }
    problems.check()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::PiModel;

    #[test]
    fn models_that_start_from_a_gpt_are_those_from_the_4_on() {
        let old: Vec<_> = PiModel::ALL
            .into_iter()
            .filter(|model| model.chip() < PiChip::Bcm2711)
            .map(PiModel::name)
            .collect();
        let named = [
            "pi1", "cm1", "pi0", "pi0w", "pi02", "pi2", "pi3", "pi3+", "cm3", "cm3+",
        ];
        assert_eq!(old, named);
    }
}
