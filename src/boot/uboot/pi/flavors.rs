//! Which kernels of Raspberry Pi OS and Debian suit which models.

use super::firmware;
use crate::boot::uboot::options::UBootOptions;
use crate::platform::{Architecture, PiChip};
use crate::problem::Problem;
use std::collections::BTreeSet;

/// The ends of the names of kernels that suit a processor, the best first.
fn of_chip(chip: PiChip, arch: Architecture) -> &'static [&'static str] {
    match (arch, chip) {
        (Architecture::Arm64, PiChip::Bcm2712) => &["rpi-2712", "rpi-v8", "v8+", "arm64"],
        (Architecture::Arm64, _) => &["rpi-v8", "v8+", "arm64"],
        (_, PiChip::Bcm2835) => &["rpi-v6", "rpi"],
        (_, PiChip::Bcm2836 | PiChip::Bcm2837) => {
            &["rpi-v7", "v7+", "rpi-v7l", "armmp", "armmp-lpae"]
        }
        (_, PiChip::Bcm2711 | PiChip::Bcm2712) => {
            &["rpi-v7l", "v7l+", "armmp-lpae", "rpi-v7", "armmp"]
        }
    }
}

/// The ends of the names of kernels for the models of the board, the best first, as far as `has`
/// knows them.
///
/// # Errors
/// The kernels of the image are for several processors, and the board does not say which it has.
pub(in crate::boot::uboot) fn flavors(
    options: &UBootOptions<'_>,
    has: &dyn Fn(&str) -> bool,
) -> Result<Vec<&'static str>, Problem> {
    let chips: BTreeSet<PiChip> = firmware::models(options.models, options.arch)
        .into_iter()
        .map(crate::platform::PiModel::chip)
        .collect();
    if options.arch == Architecture::Arm64 {
        // A kernel for all of them, where there are several.
        let one = match chips.iter().collect::<Vec<_>>().as_slice() {
            [chip] => **chip,
            _ => PiChip::Bcm2837,
        };
        return Ok(of_chip(one, options.arch).to_vec());
    }
    let wanted = chips.iter().map(|chip| {
        let all = of_chip(*chip, options.arch);
        all.iter().copied().filter(|flavor| has(flavor)).collect()
    });
    let wanted: BTreeSet<Vec<&'static str>> = wanted
        .filter(|flavors: &Vec<&'static str>| !flavors.is_empty())
        .collect();
    let first: BTreeSet<&str> = wanted
        .iter()
        .filter_map(|flavors| flavors.first().copied())
        .collect();
    if options.flavor.is_none() && first.len() > 1 {
        let names: Vec<&str> = first.into_iter().collect();
        let text = format!(
            "the image has kernels for several models of the Raspberry Pi ({}), and no board says \
             which it is",
            names.join(", ")
        );
        let hint = "select the board with --config or in extends, such as \"raspberrypi3\", or set \
                    board.pi-models or boot.kernel-flavor";
        return Err(Problem::new(text).hint(hint));
    }
    Ok(wanted.into_iter().next().unwrap_or_default())
}
