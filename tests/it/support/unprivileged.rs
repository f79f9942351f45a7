//! Running goldsmith as someone who may do nothing: user and group 65534, no groups, no
//! capabilities and no way to any, a bare environment.
#![allow(dead_code)]

use crate::support::{must, tool};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The user and the group.
const NOBODY: u32 = 65534;

/// A directory that nobody may write to, with what was brought into it; it goes away with the
/// value.
#[derive(Debug)]
pub(crate) struct UnprivilegedUser {
    dir: tempfile::TempDir,
}

impl UnprivilegedUser {
    /// An empty one. It is outside of the checkout: nobody may not be able to enter that.
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("goldsmith-it-")
            .tempdir_in("/var/tmp")
            .expect("a directory in /var/tmp");
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(dir.path(), Some(NOBODY), Some(NOBODY))
                .expect("giving the directory away");
        }
        Self { dir }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Brings a file in, readable for everyone, under `name`: as another name of the same file
    /// where that is possible.
    pub(crate) fn bring(&self, file: &Path, name: &str) -> PathBuf {
        let to = self.path().join(name);
        fs::create_dir_all(to.parent().expect("below the workshop")).expect("a directory");
        let readable =
            fs::metadata(file).is_ok_and(|data| data.permissions().mode() & 0o444 == 0o444);
        if !readable || fs::hard_link(file, &to).is_err() {
            must("cp", &[&"--sparse=always", &"--reflink=auto", &file, &to]);
            must("chmod", &[&"a+r", &to]);
        }
        to
    }

    /// The command `program` as nobody, in the workshop. An ordinary user runs it as who they are:
    /// as powerless.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = if rustix::process::geteuid().is_root() {
            let mut command = Command::new(tool("setpriv").expect("setpriv is part of util-linux"));
            command.args([
                "--reuid",
                "65534",
                "--regid",
                "65534",
                "--clear-groups",
                "--inh-caps=-all",
                "--ambient-caps=-all",
            ]);
            command
                .args(["--bounding-set=-all", "--no-new-privs", "--"])
                .arg(program);
            command
        } else {
            Command::new(program)
        };
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", "/nonexistent")
            .current_dir(self.path());
        command
    }
}

#[test]
fn nobody_is_powerless() {
    let workshop = UnprivilegedUser::new();
    let output = workshop
        .command("cat")
        .arg("/proc/self/status")
        .output()
        .expect("setpriv starts");
    let status = String::from_utf8(output.stdout).expect("text");
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
            .expect("a field")
    };
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    if rustix::process::geteuid().is_root() {
        assert_eq!(field("CapBnd:"), "0000000000000000");
        assert_eq!(field("NoNewPrivs:"), "1");
        assert_eq!(field("Uid:"), "65534\t65534\t65534\t65534");
        assert_eq!(field("Groups:"), "");
    }
    assert!(
        workshop
            .command("touch")
            .arg("mine")
            .status()
            .expect("setpriv starts")
            .success()
    );
    let secret = workshop.bring(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("Cargo.toml")
            .as_path(),
        "in/Cargo.toml",
    );
    assert!(
        workshop
            .command("cmp")
            .arg(&secret)
            .arg(&secret)
            .status()
            .expect("setpriv starts")
            .success()
    );
}
