//! Golden images for tests, made of real Debian packages and kept under `target/golden/` (see `fixtures/golden.sh`).
#![allow(dead_code)]

use super::support::tool;
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
