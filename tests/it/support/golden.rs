//! Golden images for tests, made of real Debian packages and kept under `target/golden/` (see
//! `fixtures/golden.sh`).
#![allow(dead_code)]

use crate::support::{must, root, tool};
use goldsmith::platform::Architecture;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The Debian release of the golden image `variant`: 13 is the first that tests take, 12 the
/// second.
pub(crate) fn release(variant: &str) -> &'static str {
    if variant.ends_with("-trixie") {
        "trixie"
    } else {
        "bookworm"
    }
}

/// The name of the golden image `variant` without its release.
pub(crate) fn any_release(variant: &str) -> &str {
    variant.trim_end_matches("-trixie")
}

/// The golden image called `variant`, made if it is not there yet. `None`, said aloud, when the
/// tools are missing.
pub(crate) fn golden(variant: &str) -> Option<PathBuf> {
    for name in [
        "mmdebstrap",
        "fakeroot",
        "mke2fs",
        "sfdisk",
        "mkfs.vfat",
        "mcopy",
    ] {
        tool(name)?;
    }
    // Programs of a foreign architecture run by emulation, which root arranges.
    let emulator = match any_release(variant) {
        "arm64" | "pi-system" => Some("qemu-aarch64-static"),
        "armhf" => Some("qemu-arm-static"),
        _ => None,
    };
    if emulator.is_some_and(|emulator| {
        !(root()
            && [emulator, "update-binfmts", "arch-test"]
                .iter()
                .all(|name| tool(name).is_some()))
    }) {
        return None;
    }
    let maker = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/golden.sh");
    let output = Command::new(maker)
        .arg(variant)
        .stderr(Stdio::inherit())
        .output()
        .expect("starting the maker of golden images");
    assert!(
        output.status.success(),
        "the golden image {variant} could not be made"
    );
    Some(PathBuf::from(
        String::from_utf8_lossy(&output.stdout).trim_end(),
    ))
}

/// The update client's packages for `arch` with what a golden image of `release` lacks for them,
/// downloaded once. `None`, said aloud, without apt. Debian 13 has no update client: it gets that
/// of Debian 12, with the libraries of its own.
pub(crate) fn client_packages(arch: Architecture, release: &str) -> Option<Vec<PathBuf>> {
    let names: &[&str] = match release {
        "bookworm" => &["mender-client"],
        _ => &[
            "--also=bookworm",
            "mender-client/bookworm",
            "libglib2.0-0t64",
        ],
    };
    packages(arch, release, "debs", names)
}

/// What starts the golden images of `arch` and `release`, as the packages that these have already:
/// the kernel, GRUB and shim.
pub(crate) fn boot_packages(arch: Architecture, release: &str) -> Option<Vec<PathBuf>> {
    let grub = match arch {
        Architecture::I386 => "ia32",
        Architecture::Armhf => "arm",
        _ => arch.name(),
    };
    let mut names: Vec<String> = ["--reinstall", "grub-common", "grub2-common"]
        .map(str::to_owned)
        .into();
    names.extend(["", "-bin"].map(|part| format!("grub-efi-{grub}{part}")));
    // Nothing is signed for 32-bit Arm.
    if arch != Architecture::Armhf {
        names.push(format!("grub-efi-{grub}-signed"));
        names.extend(["shim-signed", "shim-signed-common", "shim-unsigned"].map(str::to_owned));
        names.push(format!("shim-helpers-{}-signed", arch.name()));
    }
    names.push("?narrow(?installed, ?name(^linux-image-[0-9]))".into());
    packages(
        arch,
        release,
        "debs-boot",
        &names.iter().map(String::as_str).collect::<Vec<_>>(),
    )
}

/// The same for the golden image `pi-system`: the kernel, the firmware's files and U-Boot.
pub(crate) fn raspberry_pi_packages() -> Option<Vec<PathBuf>> {
    let kernel = "?narrow(?installed, ?name(^linux-image-[0-9]))";
    packages(
        Architecture::Arm64,
        "bookworm",
        "debs-boot-pi",
        &[
            "--reinstall",
            "--tree=pi-system-tree",
            "raspi-firmware",
            "u-boot-rpi",
            kernel,
        ],
    )
}

/// The packages `names` with what a golden image of `arch` and `release` lacks for them, in the
/// directory `target/DIR` of the checkout, whose name has a foreign architecture and a release
/// other than Debian 12 too. Options of `fixtures/debs.sh` may come first.
fn packages(arch: Architecture, release: &str, dir: &str, names: &[&str]) -> Option<Vec<PathBuf>> {
    tool("apt-get")?;
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let foreign = if arch == Architecture::Amd64 {
        String::new()
    } else {
        format!("-{}", arch.name())
    };
    let (suffix, tree) = match (arch, release) {
        (_, "bookworm") => (String::new(), None),
        (Architecture::Amd64, _) => (
            format!("-{release}"),
            Some(format!("--tree=tree-{release}")),
        ),
        (_, _) => (
            format!("-{release}"),
            Some(format!("--tree={}-tree-{release}", arch.name())),
        ),
    };
    let dir = top.join("target").join(format!("{dir}{foreign}{suffix}"));
    let arch = arch.name();
    let (options, names): (Vec<&&str>, Vec<&&str>) =
        names.iter().partition(|name| name.starts_with("--"));
    let mut arguments: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"--arch", &arch];
    arguments.extend(
        options
            .into_iter()
            .map(|option| option as &dyn AsRef<std::ffi::OsStr>),
    );
    arguments.extend(tree.iter().map(|tree| tree as &dyn AsRef<std::ffi::OsStr>));
    arguments.push(&dir);
    arguments.extend(
        names
            .into_iter()
            .map(|name| name as &dyn AsRef<std::ffi::OsStr>),
    );
    must(top.join("fixtures/debs.sh"), &arguments);
    let files = std::fs::read_dir(&dir)
        .expect("the packages")
        .map(|entry| entry.expect("an entry").path());
    Some(
        files
            .filter(|file| file.extension().is_some_and(|extension| extension == "deb"))
            .collect(),
    )
}
