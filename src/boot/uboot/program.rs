//! The U-Boot that a Raspberry Pi's firmware starts: one that the user gives, that of Debian's
//! package, or that of the image. Each is looked into before it is taken.

use super::examine::{UBoot, examine};
use super::options::UBootOptions;
use crate::platform::{Architecture, PiChip, PiModel};
use crate::problem::Problem;
use crate::tree::Tree;
use std::collections::BTreeSet;

/// The longest file that is read as a program (bytes).
const PROGRAM_LIMIT: u64 = 8 << 20;

/// A U-Boot to install.
#[derive(Clone, Debug)]
pub(super) struct Program {
    /// A path and, for people, whose path it is.
    pub(super) origin: String,
    pub(super) bytes: Vec<u8>,
    pub(super) uboot: UBoot,
}

impl Program {
    fn new(origin: String, bytes: Vec<u8>) -> Option<Self> {
        let uboot = examine(&bytes)?;
        Some(Self {
            origin,
            bytes,
            uboot,
        })
    }

    /// The reasons why it cannot start on all models of the board.
    fn misfit(&self, options: &UBootOptions<'_>) -> Option<String> {
        let Self { origin, uboot, .. } = self;
        let name = format!("{origin}: U-Boot {}", uboot.version);
        let Some(arch) = uboot.arch else {
            return Some(format!(
                "{name} begins neither like a program for arm64 nor like one for armhf"
            ));
        };
        if arch != options.arch {
            return Some(format!(
                "{name} is built for {}, the system for {}",
                arch.name(),
                options.arch.name()
            ));
        }
        if let Some(soc) = uboot.variable("soc").filter(|soc| !soc.starts_with("bcm")) {
            return Some(format!("{name} is built for {soc}, not for a Raspberry Pi"));
        }
        let models = options.models.iter();
        models
            .filter_map(|model| uboot.lacks(*model).map(|lacks| (model, lacks)))
            .map(|(model, lacks)| format!("{name} does not start on a {}: {lacks}", model.title()))
            .next()
    }
}

impl UBoot {
    /// What keeps it from starting on a model.
    fn lacks(&self, model: PiModel) -> Option<String> {
        let chip = model.chip();
        if let Some(other) = self.model.as_deref().filter(|name| !is_for(name, model)) {
            return Some(format!("it is built for {other} only"));
        }
        let cpu = self.variable("cpu").unwrap_or_default();
        let is_32_bit = self.arch == Some(Architecture::Armhf);
        match chip {
            PiChip::Bcm2835 if !cpu.is_empty() && cpu != "arm1176" => Some(format!(
                "it is built for {cpu}, the processor is an arm1176"
            )),
            PiChip::Bcm2835 if self.arch == Some(Architecture::Arm64) => {
                Some("the processor has 32 bits".into())
            }
            PiChip::Bcm2711 | PiChip::Bcm2712 | PiChip::Bcm2837 if cpu == "arm1176" => {
                Some("it is built for arm1176, another processor".into())
            }
            PiChip::Bcm2711 if !self.knows_bcm2711 || (is_32_bit && !self.drives_pcie) => {
                Some("it does not know the processor, a BCM2711".into())
            }
            // Builds of 32 bits are for one processor.
            PiChip::Bcm2836 | PiChip::Bcm2837 if is_32_bit && self.drives_pcie => {
                Some("it is built for another processor, a BCM2711".into())
            }
            PiChip::Bcm2712 if !self.knows_bcm2712 => {
                Some("it does not know the processor, a BCM2712".into())
            }
            _ => None,
        }
    }
}

/// Whether a device tree that is built in, such as that of `raspberrypi,3-model-b`, is for `model`.
fn is_for(name: &str, model: PiModel) -> bool {
    let rest = name.strip_prefix("raspberrypi,").unwrap_or(name);
    match model.chip() {
        PiChip::Bcm2835 => rest.starts_with("model-") || rest.starts_with("compute-module"),
        PiChip::Bcm2836 => rest.starts_with("2-"),
        PiChip::Bcm2837 => rest.starts_with("3-") || rest.starts_with("model-zero-2"),
        PiChip::Bcm2711 => rest.starts_with('4'),
        PiChip::Bcm2712 => rest.starts_with('5'),
    }
}

/// The directories of Debian's package with builds for the board, the best first.
fn builds(options: &UBootOptions<'_>, flavor: &str) -> Vec<&'static str> {
    let of_chip = |chip: PiChip| -> &'static [&'static str] {
        match (options.arch, chip) {
            (Architecture::Arm64, PiChip::Bcm2712) => &["rpi_arm64"],
            (Architecture::Arm64, PiChip::Bcm2711) => &["rpi_arm64", "rpi_4"],
            (Architecture::Arm64, _) => &["rpi_arm64", "rpi_3"],
            (_, PiChip::Bcm2835) => &["rpi_0_w", "rpi"],
            (_, PiChip::Bcm2836) => &["rpi_2"],
            (_, PiChip::Bcm2837) => &["rpi_3_32b"],
            (_, PiChip::Bcm2711 | PiChip::Bcm2712) => &["rpi_4_32b"],
        }
    };
    let chips: BTreeSet<PiChip> = options.models.iter().map(|model| model.chip()).collect();
    if !chips.is_empty() {
        // A build for several models first: each list begins with it.
        return chips
            .iter()
            .rev()
            .flat_map(|chip| of_chip(*chip))
            .copied()
            .collect();
    }
    match (options.arch, flavor) {
        (Architecture::Arm64, _) => vec!["rpi_arm64", "rpi_4", "rpi_3"],
        (_, "rpi-v7l") => vec!["rpi_4_32b"],
        (_, "rpi-v7") => vec!["rpi_3_32b", "rpi_2"],
        (_, "rpi-v6") => vec!["rpi_0_w", "rpi"],
        _ => vec!["rpi_3_32b", "rpi_4_32b", "rpi_2"],
    }
}

/// The U-Boot to install.
pub(super) fn find(
    root: &Tree,
    boot: &Tree,
    options: &UBootOptions<'_>,
    flavor: &str,
) -> Result<Program, Problem> {
    let builds = builds(options, flavor);
    if let Some((origin, bytes)) = options.program.clone() {
        let Some(program) = Program::new(origin.clone(), bytes) else {
            return Err(Problem::new(format!("{origin}: not a U-Boot"))
                .hint("set boot.u-boot to the file `u-boot.bin` that was built for the board"));
        };
        return match program.misfit(options) {
            None => Ok(program),
            Some(text) => Err(Problem::new(text).hint(format!(
                "set boot.u-boot to one for the board: {}",
                packaged(options, &builds)
            ))),
        };
    }
    let paths = builds
        .iter()
        .map(|build| format!("/usr/lib/u-boot/{build}/u-boot.bin"));
    let of_package = paths.filter_map(|path| {
        let bytes = root.file(&path)?.read_all(PROGRAM_LIMIT).ok()?;
        Program::new(path, bytes)
    });
    let names = boot.root.lowercase_names();
    let of_partition = names
        .into_iter()
        .filter(|name| name.ends_with(".bin") || name.ends_with(".img"))
        .filter_map(|name| {
            let content = boot.file(boot.path_ignore_case(format!("/{name}")))?;
            let bytes = content.read_all(PROGRAM_LIMIT).ok()?;
            Program::new(format!("{name} of the boot partition"), bytes)
        });
    let mut misfit = None;
    for program in of_package.chain(of_partition) {
        match program.misfit(options) {
            None => return Ok(program),
            Some(text) => misfit = misfit.or(Some(text)),
        }
    }
    let chips: BTreeSet<PiChip> = options.models.iter().map(|model| model.chip()).collect();
    // The firmware of these boards chooses a slot by itself.
    let needs_none = chips.iter().all(|chip| *chip >= PiChip::Bcm2837);
    let other = match needs_none {
        true => {
            "; devices that have no U-Boot yet need none with boot.bootloader = \"rpi-tryboot\""
        }
        false => "",
    };
    let hint = match misfit {
        Some(_) if options.arch == Architecture::Armhf && chips.len() > 1 => {
            "U-Boots of 32 bits are for one processor: make an image for each (board.pi-models), \
             or use a 64-bit system, for which one U-Boot starts on all models from 3 on"
                .to_owned()
        }
        Some(_) => format!(
            "set boot.u-boot to a newer one: {}{other}",
            packaged(options, &builds)
        ),
        None => format!(
            "install u-boot-rpi in the golden image, or set boot.u-boot to a program: {}{other}",
            packaged(options, &builds)
        ),
    };
    let text = misfit.unwrap_or_else(|| "no U-Boot for this Raspberry Pi in the image".into());
    Err(Problem::new(text).hint(hint))
}

/// Where Debian has a U-Boot for the board.
fn packaged(options: &UBootOptions<'_>, builds: &[&str]) -> String {
    let chips = |wanted: PiChip| options.models.iter().any(|model| model.chip() == wanted);
    let build = builds.first().copied().unwrap_or("rpi_arm64");
    let package = if chips(PiChip::Bcm2835) {
        "u-boot-rpi for armel"
    } else if chips(PiChip::Bcm2712) {
        "u-boot-rpi of Debian 13 for arm64"
    } else if options.arch == Architecture::Arm64 {
        "u-boot-rpi for arm64"
    } else {
        "u-boot-rpi for armhf"
    };
    format!("usr/lib/u-boot/{build}/u-boot.bin of {package}")
}

/// The options with the architecture that U-Boot and kernel run in: that of the system, or 64 bits
/// where the user gives such a U-Boot. The firmware starts a kernel of 64 bits for a system of 32
/// bits too.
pub(super) fn with_architecture<'o>(options: &UBootOptions<'o>) -> UBootOptions<'o> {
    let given = options.program.as_ref();
    let of_given = given.and_then(|(_, bytes)| examine(bytes)?.arch);
    let arch = match (options.arch, of_given) {
        (Architecture::Armhf, Some(Architecture::Arm64)) => Architecture::Arm64,
        (arch, _) => arch,
    };
    UBootOptions {
        arch,
        ..options.clone()
    }
}

/// Whether a file is a U-Boot.
pub(super) fn is_uboot(bytes: &[u8]) -> bool {
    examine(bytes).is_some()
}
