//! Golden images for tests, made of real Debian packages and kept under `target/golden/` (see `fixtures/golden.sh`).
#![allow(dead_code)]

use super::support::{must, root, tool};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The golden image called `variant`, made if it is not there yet. `None`, said aloud, when the tools are missing.
pub(crate) fn golden(variant: &str) -> Option<PathBuf> {
    for name in ["mmdebstrap", "fakeroot", "mke2fs", "sfdisk", "mkfs.vfat", "mcopy"] {
        tool(name)?;
    }
    // Programs of a foreign architecture run by emulation, which root arranges.
    let emulator = match variant {
        "arm64" => Some("qemu-aarch64-static"),
        "armhf" => Some("qemu-arm-static"),
        _ => None,
    };
    if emulator
        .is_some_and(|emulator| !(root() && [emulator, "update-binfmts", "arch-test"].iter().all(|name| tool(name).is_some())))
    {
        return None;
    }
    let maker = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/golden.sh");
    let output = Command::new(maker).arg(variant).stderr(Stdio::inherit()).output().expect("starting the maker of golden images");
    assert!(output.status.success(), "the golden image {variant} could not be made");
    Some(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end()))
}

/// The update client's packages for amd64 or `arm64` with what a golden image lacks for them, downloaded once. `None`, said aloud,
/// without apt.
pub(crate) fn client_packages(arm64: bool) -> Option<Vec<PathBuf>> {
    let (arch, dir) = if arm64 { ("arm64", "target/debs-arm64") } else { ("amd64", "target/debs") };
    packages(arch, dir, &["mender-client"])
}

/// What starts the golden images of amd64 or `arm64`, as the packages that these have already: the kernel, GRUB and shim.
pub(crate) fn boot_packages(arm64: bool) -> Option<Vec<PathBuf>> {
    let (arch, dir) = if arm64 { ("arm64", "target/debs-boot-arm64") } else { ("amd64", "target/debs-boot") };
    let kernel = "?narrow(?installed, ?name(^linux-image-[0-9]))";
    let grub = ["grub-common", "grub2-common", "grub-efi-@", "grub-efi-@-bin", "grub-efi-@-signed"];
    let shim = ["shim-signed", "shim-signed-common", "shim-unsigned", "shim-helpers-@-signed"];
    let names = ["--reinstall"].into_iter().chain(grub).chain(shim).chain([kernel]).map(|name| name.replace('@', arch));
    let names: Vec<String> = names.collect();
    packages(arch, dir, &names.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The packages `names` with what a golden image of `arch` lacks for them, in the directory `dir` of the checkout. Options of
/// `fixtures/debs.sh` may come first.
fn packages(arch: &str, dir: &str, names: &[&str]) -> Option<Vec<PathBuf>> {
    tool("apt-get")?;
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = top.join(dir);
    let (options, names): (Vec<&&str>, Vec<&&str>) = names.iter().partition(|name| name.starts_with("--"));
    let mut arguments: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"--arch", &arch];
    arguments.extend(options.into_iter().map(|option| option as &dyn AsRef<std::ffi::OsStr>));
    arguments.push(&dir);
    arguments.extend(names.into_iter().map(|name| name as &dyn AsRef<std::ffi::OsStr>));
    must(top.join("fixtures/debs.sh"), &arguments);
    let files = std::fs::read_dir(&dir).expect("the packages").map(|entry| entry.expect("an entry").path());
    Some(files.filter(|file| file.extension().is_some_and(|extension| extension == "deb")).collect())
}
