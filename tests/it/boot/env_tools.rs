//! What the tests of both environments share: the shells, and tools that run as on a device, with a
//! `sync` that fails on demand.

use crate::support::{scratch, tool};
use goldsmith::boot::state::Slot;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A shell, as a command and its first arguments.
pub(crate) type Shell = &'static [&'static str];

/// The shells under which the tools run.
pub(crate) const SHELLS: [Shell; 3] = [&["dash"], &["busybox", "sh"], &["bash"]];

/// The partition numbers that stand for the slots in these tests.
pub(crate) fn number(slot: Slot) -> u32 {
    match slot {
        Slot::A => 2,
        Slot::B => 3,
    }
}

/// What a tool answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The answer of a tool that succeeded and printed `out`.
pub(crate) fn fine(out: &str) -> Answer {
    Answer {
        status: Some(0),
        out: out.into(),
        err: String::new(),
    }
}

/// A directory with tools and their files, and the shell that runs them.
pub(crate) struct Tools {
    pub(crate) shell: Shell,
    pub(crate) dir: tempfile::TempDir,
}

impl Tools {
    /// A directory that contains nothing but `sync`; `None`, said aloud, when the shell is not
    /// installed.
    pub(crate) fn new(shell: Shell, sync: &str) -> Option<Self> {
        tool(shell[0])?;
        tool("flock")?;
        let tools = Self {
            shell,
            dir: scratch(),
        };
        let file = tools.path("sync");
        fs::write(&file, sync).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        Some(tools)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The command that runs the tool `name`.
    pub(crate) fn command(&self, name: &str, args: &[&str], real_sync: bool) -> Command {
        let mut command = Command::new(self.shell[0]);
        command
            .args(&self.shell[1..])
            .arg(self.path(name))
            .args(args);
        let path = std::env::var("PATH").unwrap();
        if !real_sync {
            command.env("PATH", format!("{}:{path}", self.dir.path().display()));
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the tool `name`; with `cut`, the power fails at that write, in that way.
    pub(crate) fn call(
        &self,
        name: &str,
        args: &[&str],
        input: &str,
        cut: Option<(usize, &str)>,
    ) -> Answer {
        let (at, how) = cut.unwrap_or((0, "-"));
        fs::write(self.path("cut"), format!("{at} {how}\n")).unwrap();
        fs::write(self.path("count"), "0\n").unwrap();
        fs::write(self.path("flushed"), "").unwrap();
        let mut child = self.command(name, args, false).spawn().unwrap();
        // A tool that was called wrongly does not read.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Answer {
            status: output.status.code(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// The files by which the last call emptied the cache of the medium, in order.
    pub(crate) fn flushed(&self) -> Vec<PathBuf> {
        let text = fs::read_to_string(self.path("flushed")).unwrap();
        text.lines().map(PathBuf::from).collect()
    }

    /// The number of writes of the last call.
    pub(crate) fn writes(&self) -> usize {
        fs::read_to_string(self.path("count"))
            .unwrap()
            .trim()
            .parse()
            .unwrap()
    }
}

/// Every script of the device writes to the medium by the one function that empties its cache:
/// `sync -f` leaves it full on FAT, and does nothing for a device.
#[test]
fn scripts_reach_the_medium_by_one_function() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/device");
    let mut flushes = 0;
    for dir in fs::read_dir(top).unwrap() {
        for script in fs::read_dir(dir.unwrap().path()).unwrap() {
            let path = script.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            let lines = text.lines().filter(|line| !line.trim().starts_with('#'));
            for line in lines {
                let mut words = line.split(|c: char| !c.is_ascii_alphanumeric());
                assert!(
                    !words.any(|word| word == "sync") || path.ends_with("common/flush.sh"),
                    "{}: {line}",
                    path.display()
                );
                flushes += line.matches("flush \"$").count();
            }
        }
    }
    assert!(flushes > 10, "{flushes}");
}
