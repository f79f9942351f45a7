//! The U-Boot that a Raspberry Pi's firmware starts: one that the user gives, that of Debian's
//! package, or that of the image.

use super::options::UBootOptions;
use crate::platform::Architecture;
use crate::problem::Problem;
use crate::tree::Tree;

/// The longest file that is read as a program (bytes).
const PROGRAM_LIMIT: u64 = 8 << 20;
/// The start of the banner of every U-Boot.
const BANNER: &[u8] = b"U-Boot 20";

/// The origin of the U-Boot to install, and its bytes.
pub(super) fn find(
    root: &Tree,
    boot: &Tree,
    options: &UBootOptions<'_>,
    flavor: &str,
) -> Result<(String, Vec<u8>), Problem> {
    if let Some((origin, bytes)) = options.program.clone() {
        return if is_uboot(&bytes) {
            Ok((origin, bytes))
        } else {
            Err(Problem::new(format!("{origin}: not a U-Boot"))
                .hint("set boot.u-boot to the file `u-boot.bin` that was built for the board"))
        };
    }
    // A build for several models first, then the one for the kernel's.
    let builds: &[&str] = match (options.arch, flavor) {
        (Architecture::Arm64, _) => &["rpi_arm64", "rpi_4", "rpi_3"],
        (_, "rpi-v7l") => &["rpi_4_32b"],
        (_, "rpi-v7") => &["rpi_3_32b", "rpi_2"],
        (_, "rpi-v6") => &["rpi_0_w", "rpi"],
        _ => &["rpi_3_32b", "rpi_4_32b", "rpi_2"],
    };
    let paths = builds
        .iter()
        .map(|build| format!("/usr/lib/u-boot/{build}/u-boot.bin"));
    let mut of_package = paths
        .filter_map(|path| Some((path.clone(), root.file(path)?.read_all(PROGRAM_LIMIT).ok()?)));
    let of_partition = || {
        let names = boot
            .root
            .lowercase_names()
            .into_iter()
            .filter(|name| name.ends_with(".bin") || name.ends_with(".img"));
        let mut files = names.filter_map(|name| {
            let content = boot.file(boot.path_ignore_case(format!("/{name}")))?;
            Some((
                format!("{name} of the boot partition"),
                content.read_all(PROGRAM_LIMIT).ok()?,
            ))
        });
        files.find(|(_, bytes)| is_uboot(bytes))
    };
    of_package
        .find(|(_, bytes)| is_uboot(bytes))
        .or_else(of_partition)
        .ok_or_else(|| {
            Problem::new("no U-Boot for this Raspberry Pi in the image")
                .hint("install u-boot-rpi in the golden image, or set boot.u-boot to a program")
        })
}

fn is_uboot(bytes: &[u8]) -> bool {
    bytes.windows(BANNER.len()).any(|window| window == BANNER)
}
