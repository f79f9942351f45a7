//! `fsck.vfat`, which the units of a start run on the boot partition.

use super::fat::Disk;
use crate::support::{scratch, tool};
use std::fs::File;
use std::path::PathBuf;
use std::process::Command;

/// The program, with a place for media.
pub(crate) struct Fsck {
    dir: tempfile::TempDir,
    program: Option<PathBuf>,
}

impl Fsck {
    pub(crate) fn new() -> Self {
        Self {
            dir: scratch(),
            program: tool("fsck.vfat"),
        }
    }

    /// A medium after `fsck.vfat -a`; the same where that is not installed.
    pub(crate) fn run(&self, disk: &Disk) -> Disk {
        let Some(program) = &self.program else {
            return disk.clone();
        };
        let path = self.dir.path().join("medium");
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .unwrap();
        disk.write_to(&file).unwrap();
        let output = Command::new(program).arg("-a").arg(&path).output().unwrap();
        assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
        disk.reread(&file).unwrap()
    }
}
