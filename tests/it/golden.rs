//! Golden images for tests, made of real Debian packages and kept under `target/golden/` (see `fixtures/golden.sh`).
#![allow(dead_code)]

use super::support::{must, tool};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The golden image called `variant`, made if it is not there yet. `None`, said aloud, when the tools are missing.
pub(crate) fn golden(variant: &str) -> Option<PathBuf> {
    for name in ["mmdebstrap", "fakeroot", "mke2fs", "sfdisk", "mkfs.vfat", "mcopy"] {
        tool(name)?;
    }
    let maker = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/golden.sh");
    let output = Command::new(maker).arg(variant).stderr(Stdio::inherit()).output().expect("starting the maker of golden images");
    assert!(output.status.success(), "the golden image {variant} could not be made");
    Some(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end()))
}

/// The update client's packages with what a golden image lacks for them, downloaded once. `None`, said aloud, without apt.
pub(crate) fn client_packages() -> Option<Vec<PathBuf>> {
    tool("apt-get")?;
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    must(top.join("fixtures/debs.sh"), &[&top.join("target/debs")]);
    let files = std::fs::read_dir(top.join("target/debs")).expect("the packages").map(|entry| entry.expect("an entry").path());
    Some(files.filter(|file| file.extension().is_some_and(|extension| extension == "deb")).collect())
}
