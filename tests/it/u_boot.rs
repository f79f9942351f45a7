//! The U-Boot of Debian's packages, that of a Debian release other than the host's too.
#![allow(dead_code)]

use super::support::{must, tool};
use std::fs;
use std::path::{Path, PathBuf};

/// The program for a board of a Debian release, as its package has it; `None`, said aloud, where it cannot be fetched.
pub(crate) fn program(release: &str, arch: &str, board: &str) -> Option<PathBuf> {
    Some(programs(release, arch)?.join(board).join("u-boot.bin"))
}

/// The programs of a Debian release, unpacked once; `None`, said aloud, where they cannot be fetched.
fn programs(release: &str, arch: &str) -> Option<PathBuf> {
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("u-boot").join(release);
    let dir = if arch == "arm64" { dir } else { dir.with_file_name(format!("{release}-{arch}")) };
    if !dir.is_dir() {
        let mmdebstrap = tool("mmdebstrap")?;
        let part = dir.with_extension("part");
        let _ = fs::remove_dir_all(&part);
        fs::create_dir_all(&part).unwrap();
        let archive = part.join("tree.tar");
        // As of the release: what came since is in a place of its own, which is not always whole.
        let hook = "--setup-hook=sed -i -e /-security/d -e /-updates/d \"$1/etc/apt/sources.list\"";
        let architecture = format!("--architectures={arch}");
        let plain =
            ["--quiet", "--variant=extract", hook, &architecture, "--include=u-boot-rpi,u-boot-qemu", "--format=tar", release];
        let output = std::process::Command::new(mmdebstrap).args(plain).arg(&archive).output().unwrap();
        if !output.status.success() {
            assert!(std::env::var_os("CI").is_none(), "fetching U-Boot: {}", String::from_utf8_lossy(&output.stderr));
            eprintln!("SKIPPED: U-Boot of {release} cannot be fetched");
            return None;
        }
        must("tar", &[&"-C", &part, &"-xf", &archive, &"./usr/lib/u-boot"]);
        fs::remove_file(archive).unwrap();
        fs::rename(part, &dir).unwrap();
    }
    Some(dir.join("usr/lib/u-boot"))
}
