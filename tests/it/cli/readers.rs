//! Commands that only read, when nobody reads on, and when they are ended by a signal.

use super::messages::workplace;
use crate::support::goldsmith;
use rustix::process::{Pid, Signal, kill_process};
use std::io::Read as _;
use std::process::{Command, Stdio};

/// A file that is larger than a pipe.
const LARGE: &str = "golden.img:/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed";

/// `goldsmith ... | head`: the end of the pipe is the end of the command, and no failure.
#[test]
fn a_pipe_that_is_closed_is_no_error() {
    let Some(dir) = workplace() else { return };
    std::fs::copy(dir.path().join("golden.img"), dir.path().join("other.img")).unwrap();
    let plan = "plan -q -c qemux86-64 -s client.required=false -n r1 golden.img";
    for line in [
        &format!("cat {LARGE}"),
        "ls -R golden.img",
        "ls -R --json golden.img",
        "inspect golden.img",
        "diff golden.img other.img",
        "doctor golden.img",
        plan,
        &format!("{plan} --json"),
        "boards",
        "convert --help",
    ] {
        for reader in ["true", "head -c 1"] {
            let script = format!("set -o pipefail; \"$0\" {line} | {reader} >/dev/null");
            let output = Command::new("bash")
                .args(["-c", &script])
                .arg(goldsmith())
                .current_dir(dir.path())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(
                output.status.success() && said.is_empty(),
                "{line} | {reader}: {} {said}",
                output.status
            );
        }
    }
}

/// A signal ends a reader with 128 + its number, and it does not say that nothing was written.
#[test]
fn a_signal_ends_a_reader() {
    let Some(dir) = workplace() else { return };
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129)] {
        let mut child = Command::new(goldsmith())
            .args(["cat", LARGE])
            .current_dir(dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = child.stdout.take().unwrap();
        // It writes, and then waits for a reader.
        let mut piece = [0; 1024];
        output.read_exact(&mut piece).unwrap();
        let pid = Pid::from_child(&child);
        kill_process(pid, signal).unwrap();
        let ended = child.wait_with_output().unwrap();
        assert_eq!(
            (
                ended.status.code(),
                String::from_utf8_lossy(&ended.stderr).as_ref()
            ),
            (Some(code), "\nerror: interrupted\n"),
            "{signal:?}"
        );
    }
}
