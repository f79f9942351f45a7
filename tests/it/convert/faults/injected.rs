//! The kernel refuses one call of a conversion, whichever it is, or a signal comes at that moment:
//! strace does both.

use super::{RESULTS, convert, earlier, names, parts, refused, said, small, succeeded, untouched};
use crate::support::{run, scratch, tool};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The tracer, where it may trace.
fn strace() -> Option<PathBuf> {
    let strace = tool("strace")?;
    let works = run(&strace, &[&"-f", &"-qq", &"-e", &"trace=none", &"true"])
        .status
        .success();
    if !works {
        eprintln!("SKIPPED: processes cannot be traced here");
    }
    works.then_some(strace)
}

/// A good result, and what is needed for others.
struct Bench {
    strace: PathBuf,
    small: &'static Path,
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Option<Self> {
        let (strace, small, dir) = (strace()?, small()?, scratch());
        succeeded(
            &convert(small, &dir.path().join("good"))
                .output()
                .expect("goldsmith starts"),
        );
        Some(Self { strace, small, dir })
    }

    /// Converts onto earlier results with `what` at the `number`th call of `call` that a thread
    /// makes; and whether there was one.
    fn run(&self, call: &str, what: &str, number: usize) -> (Output, PathBuf, bool) {
        let (out, log) = (self.dir.path().join("out"), self.dir.path().join("log"));
        let _ = fs::remove_dir_all(&out);
        earlier(&out);
        let goldsmith = convert(self.small, &out);
        let mut command = Command::new(&self.strace);
        command
            .args(["-f", "-qq", "-o"])
            .arg(&log)
            .args(["-e", &format!("trace={call}")]);
        command.args(["-e", &format!("inject={call}:{what}:when={number}")]);
        command
            .arg(goldsmith.get_program())
            .args(goldsmith.get_args())
            // A cache would make other calls in the second run than in the first.
            .args(["--quiet", "--jobs", "1", "--no-cache"]);
        let output = command.output().expect("strace starts");
        let log = fs::read(&log).expect("what strace saw");
        let met = log.windows(10).any(|window| window == b"(INJECTED)")
            || log.windows(4).any(|window| window == b"--- ");
        (output, out, met)
    }

    /// Whether a result is the good one; else it must be the earlier one.
    fn is_good(&self, out: &Path, name: &str) -> bool {
        let (file, good) = (out.join(name), self.dir.path().join("good").join(name));
        let same = run("cmp", &[&"-s", &file, &good]).status.success();
        assert!(
            same || fs::read(&file).expect("a file") == format!("the earlier {name}").into_bytes(),
            "{name} is neither"
        );
        same
    }

    /// All results are good, and nothing else is there.
    fn whole(&self, out: &Path, when: &str) {
        assert_eq!(names(out), RESULTS, "{when}");
        assert!(RESULTS.iter().all(|name| self.is_good(out, name)), "{when}");
    }
}

/// Calls, the error of each, and that every so manyth of them is tried.
const FAULTS: [(&str, &str, usize); 11] = [
    ("openat", "ENOSPC", 1),
    ("flock", "ENOLCK", 1),
    ("ftruncate", "EIO", 1),
    ("pwrite64", "ENOSPC", 3),
    ("copy_file_range", "ENOSPC", 2),
    ("fsync", "EIO", 1),
    ("linkat", "ENOSPC", 1),
    ("rename", "ENOSPC", 1),
    ("unlink", "EIO", 1),
    ("lseek", "EIO", 29),
    ("pread64", "EIO", 97),
];

#[test]
fn a_call_that_fails_leaves_all_or_nothing() {
    let Some(bench) = Bench::new() else { return };
    let (mut failed, mut recovered) = (0, 0);
    for (call, error, step) in FAULTS {
        for number in (1..).step_by(step) {
            let when = format!("{call} number {number} with {error}");
            let (output, out, met) = bench.run(call, &format!("error={error}"), number);
            if !met {
                assert!(number > 1, "there is no {call}");
                succeeded(&output);
                break;
            }
            match output.status.code() {
                // It went another way.
                Some(0) if call == "unlink" => assert!(
                    RESULTS.iter().all(|name| bench.is_good(&out, name)),
                    "{when}"
                ),
                Some(0) => bench.whole(&out, &when),
                // The loader of programs found no library.
                Some(127) => untouched(&out, &when),
                _ if said(&output).contains("all results are published") => {
                    bench.whole(&out, &when)
                }
                _ => {
                    refused(&output, &["error: "]);
                    untouched(&out, &when);
                    failed += 1;
                    continue;
                }
            }
            recovered += 1;
        }
    }
    println!("{failed} faults refused, {recovered} survived");
    assert!(failed > 25 && recovered > 10, "{failed} and {recovered}");
}

/// Calls between which results get their names, and some before.
const MOMENTS: [(&str, usize); 5] = [
    ("pwrite64", 8),
    ("fsync", 2),
    ("linkat", 1),
    ("rename", 1),
    ("unlink", 2),
];

#[test]
fn a_signal_at_any_call_leaves_all_or_nothing() {
    let Some(bench) = Bench::new() else { return };
    let mut after = [0, 0];
    for (call, step) in MOMENTS {
        for number in (1..).step_by(step) {
            let when = format!("SIGTERM at {call} number {number}");
            let (output, out, met) = bench.run(call, "signal=TERM", number);
            if !met {
                break;
            }
            assert!(
                matches!(output.status.code(), Some(0 | 143)),
                "{when}: {}: {}",
                output.status,
                said(&output)
            );
            let good = RESULTS
                .iter()
                .filter(|name| bench.is_good(&out, name))
                .count();
            assert!(
                good == 0 || good == RESULTS.len(),
                "{when}: {good} of the results have their names"
            );
            assert_eq!(names(&out), RESULTS, "{when}");
            after[usize::from(good > 0)] += 1;
        }
    }
    assert!(after.iter().all(|count| *count > 0), "{after:?}");
}

#[test]
fn what_is_killed_at_any_call_is_cleared_by_the_next_run() {
    let Some(bench) = Bench::new() else { return };
    let mut left = 0;
    for (call, step) in MOMENTS {
        for number in (1..).step_by(2 * step) {
            let when = format!("SIGKILL at {call} number {number}");
            let (output, out, _) = bench.run(call, "signal=KILL", number);
            if output.status.success() {
                break;
            }
            // Each name holds one or the other, whole; other names are recognised.
            RESULTS
                .iter()
                .for_each(|name| _ = bench.is_good(&out, name));
            left += usize::from(!parts(&out).is_empty());
            assert_eq!(
                names(&out).len(),
                RESULTS.len() + parts(&out).len(),
                "{when}: {:?}",
                names(&out)
            );
            succeeded(
                &convert(bench.small, &out)
                    .output()
                    .expect("goldsmith starts"),
            );
            bench.whole(&out, &when);
        }
    }
    assert!(left > 5, "{left}");
}
