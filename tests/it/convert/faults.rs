//! What happens when something goes wrong in the middle: the disk is full, the input cannot be read
//! or changes, a signal comes. Whatever it is, nothing gets a final name, what had one before keeps
//! its bytes, and no temporary file stays.

mod bad_sector;
mod injected;

use crate::support::images::{ROOT, convert, small};
use crate::support::unprivileged::UnprivilegedUser;
use crate::support::{Memory, Unreadable, goldsmith, must, root, scratch};
use goldsmith::convert::{self, Request, WriteOptions};
use goldsmith::image::source::InputImage;
use goldsmith::plan::PlanRequest;
use goldsmith::plan::host::HostFiles;
use goldsmith::report::Silent;
use goldsmith::stream::FileSource;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The names of the results of `small.img`.
const RESULTS: [&str; 4] = [
    "small-qemux86-64-r1.img",
    "small-qemux86-64-r1.img.bmap",
    "small-qemux86-64-r1.json",
    "small-qemux86-64-r1.mender",
];
/// What takes a conversion long enough to be met in its middle.
const SLOW: [&str; 6] = [
    "--jobs",
    "1",
    "--set",
    "artifact.compression=xz",
    "--set",
    "artifact.level=9",
];

/// Names in a directory, in order.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a directory");
    let mut names: Vec<String> = entries
        .map(|e| {
            e.expect("an entry")
                .file_name()
                .into_string()
                .expect("text")
        })
        .collect();
    names.sort();
    names
}

/// The temporary files in a directory.
fn parts(dir: &Path) -> Vec<String> {
    let part = |name: &String| name.starts_with(".goldsmith-") && name.ends_with(".part");
    if dir.is_dir() {
        names(dir).into_iter().filter(part).collect()
    } else {
        Vec::new()
    }
}

/// Puts earlier results of the user into a directory.
fn earlier(dir: &Path) {
    fs::create_dir_all(dir).expect("a directory");
    for name in RESULTS {
        fs::write(dir.join(name), format!("the earlier {name}")).expect("a file");
    }
}

/// Fails unless the directory holds the earlier results and nothing else.
fn untouched(dir: &Path, when: &str) {
    assert_eq!(names(dir), RESULTS, "{when}: something was left behind");
    for name in RESULTS {
        assert_eq!(
            fs::read_to_string(dir.join(name)).expect("text"),
            format!("the earlier {name}"),
            "{when}: {name} was touched"
        );
    }
}

/// What was said on standard error.
fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Fails unless the command failed with 1 and said all of `texts`, and nothing of a panic.
fn refused(output: &Output, texts: &[&str]) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        texts.iter().all(|text| said.contains(text)) && !said.contains("panicked"),
        "not said: {texts:?}\n{said}"
    );
}

/// Fails unless the command succeeded.
fn succeeded(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", said(output));
}

/// A digest for each result.
fn digests(dir: &Path) -> BTreeMap<&'static str, String> {
    let digest = |name| {
        must("sha256sum", &[&dir.join(name)])
            .split(' ')
            .next()
            .expect("a digest")
            .to_owned()
    };
    RESULTS
        .into_iter()
        .map(|name| (name, digest(name)))
        .collect()
}

/// A conversion in the background.
struct Running(Child);

impl Running {
    /// Starts one, waits until it writes into `dir` and stops it there.
    fn start(command: &mut Command, dir: &Path) -> Self {
        let before = parts(dir);
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("goldsmith starts");
        let mut running = Self(child);
        // One that is stopped before it locks a file would have to make it again.
        let is_locked = |part: &String| {
            let file = fs::File::open(dir.join(part));
            file.is_ok_and(|file| file.try_lock().is_err())
        };
        running.wait_until(|| {
            parts(dir)
                .iter()
                .filter(|part| !before.contains(part) && is_locked(part))
                .count()
                >= 2
        });
        running.signal(Signal::STOP);
        running
    }

    fn wait_until(&mut self, reached: impl Fn() -> bool) {
        let start = Instant::now();
        while !reached() {
            assert!(
                self.0.try_wait().expect("asking").is_none(),
                "it ended before it was met"
            );
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "it did not come so far"
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.0);
        kill_process(pid, signal).expect("sending a signal");
    }

    /// Lets it run to its end.
    fn end(self) -> Output {
        self.signal(Signal::CONT);
        self.0.wait_with_output().expect("its end")
    }
}

#[test]
fn a_full_disk_leaves_nothing_behind() {
    if !root() {
        return;
    }
    let Some(small) = small() else { return };
    let scratch = scratch();
    let (mut failed, mut early) = (0, 0);
    for more in [
        &[][..],
        &["--set", "output.image=zst", "--set", "output.rootfs=true"][..],
    ] {
        for kib in [
            64,
            256,
            1 << 10,
            3 << 10,
            6 << 10,
            8 << 10,
            12 << 10,
            16 << 10,
            64 << 10,
        ] {
            let memory = Memory::new(scratch.path().join("full"), &format!("size={kib}K"));
            earlier(&memory.0);
            let output = convert(small, &memory.0)
                .args(more)
                .output()
                .expect("goldsmith starts");
            if output.status.success() {
                assert_eq!(kib, 64 << 10, "{kib} KiB are enough?");
                continue;
            }
            let said = String::from_utf8_lossy(&output.stderr);
            // What can be known is known before the first byte; `plan` knows it too.
            let beforehand = said.contains("error: the results take at least ");
            if beforehand {
                refused(&output, &[" bytes), but ", " free ", "\nhint: free "]);
                early += 1;
            } else {
                refused(
                    &output,
                    &[
                        "No space left on device",
                        "writing ",
                        "small-qemux86-64-r1.",
                    ],
                );
            }
            untouched(&memory.0, &format!("a disk of {kib} KiB with {more:?}"));
            failed += 1;
        }
    }
    assert_eq!(failed, 16);
    assert!((8..16).contains(&early), "{early} of 16");
}

/// No room for one more file: whichever it is, of the results or of the names that hold earlier
/// ones for the moment.
#[test]
fn a_filesystem_without_room_for_files_leaves_nothing_behind() {
    if !root() {
        return;
    }
    let Some(small) = small() else { return };
    let scratch = scratch();
    let mut failed = 0;
    for inodes in 5.. {
        let memory = Memory::new(
            scratch.path().join("full"),
            &format!("size=64M,nr_inodes={inodes}"),
        );
        earlier(&memory.0);
        let output = convert(small, &memory.0)
            .output()
            .expect("goldsmith starts");
        if output.status.success() {
            assert_eq!(names(&memory.0), RESULTS);
            break;
        }
        refused(
            &output,
            &["No space left on device", "the output directory"],
        );
        untouched(&memory.0, &format!("{inodes} inodes"));
        failed += 1;
    }
    assert_eq!(failed, RESULTS.len());
}

#[test]
fn a_filesystem_that_is_mounted_for_reading_is_named() {
    if !root() {
        return;
    }
    let Some(small) = small() else { return };
    let scratch = scratch();
    let memory = Memory::new(scratch.path().join("out"), "size=64M");
    earlier(&memory.0);
    must("mount", &[&"-o", &"remount,ro", &memory.0]);
    let text = [
        "the output directory",
        "Read-only file system",
        "hint: choose another one with --output-dir",
    ];
    refused(
        &convert(small, &memory.0)
            .output()
            .expect("goldsmith starts"),
        &text,
    );
    untouched(&memory.0, "mounted for reading");
    refused(
        &convert(small, &memory.0.join("below"))
            .output()
            .expect("goldsmith starts"),
        &text,
    );
    untouched(&memory.0, "mounted for reading, and a directory to be made");
}

#[test]
fn a_signal_ends_a_run_and_takes_its_files_away() {
    let Some(small) = small() else { return };
    let scratch = scratch();
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let out = scratch.path().join(format!("out-{code}"));
        earlier(&out);
        let running = Running::start(convert(small, &out).args(SLOW), &out);
        running.signal(signal);
        let output = running.end();
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        assert!(
            said(&output).contains("error: interrupted; nothing was written"),
            "{}",
            said(&output)
        );
        untouched(&out, &format!("{signal:?}"));
    }
    // While the input arrives.
    let out = scratch.path().join("out-pipe");
    fs::create_dir(&out).expect("a directory");
    let mut command = convert(Path::new("-"), &out);
    let mut running = Running(
        command
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("goldsmith starts"),
    );
    let bytes = fs::read(small).expect("the image");
    let mut stdin = running.0.stdin.take().expect("a pipe");
    io::Write::write_all(&mut stdin, &bytes[..8 << 20]).expect("the image's start");
    running.signal(Signal::TERM);
    assert_eq!(running.end().status.code(), Some(143));
    assert!(names(&out).is_empty());
}

#[test]
fn the_next_run_clears_what_a_killed_one_left_and_nothing_else() {
    let Some(small) = small() else { return };
    let scratch = scratch();
    let out = scratch.path().join("out");
    earlier(&out);
    fs::write(out.join(".goldsmith-notes"), "of the user").expect("a file");
    let killed = Running::start(convert(small, &out).args(SLOW), &out);
    killed.signal(Signal::KILL);
    killed.end();
    let left = parts(&out);
    assert!(!left.is_empty());
    let slow = Running::start(
        convert(small, &out)
            .args(SLOW)
            .args(["--set", "output.name=slow"]),
        &out,
    );
    assert!(
        left.iter().all(|part| !out.join(part).exists()),
        "the second run left files of the killed one"
    );
    slow.signal(Signal::STOP);
    succeeded(&convert(small, &out).output().expect("goldsmith starts"));
    assert!(
        parts(&out).len() == 2 && parts(&out).iter().all(|part| part.contains("slow")),
        "{:?}",
        parts(&out)
    );
    slow.signal(Signal::CONT);
    succeeded(&slow.end());
    let artifact = must(
        goldsmith(),
        &[&"artifact", &"validate", &out.join("slow.mender")],
    );
    assert!(artifact.contains("valid, not signed"), "{artifact}");
    assert_eq!(names(&out).len(), 9, "{:?}", names(&out));
}

#[test]
fn runs_at_once_into_one_directory_are_all_whole() {
    let Some(small) = small() else { return };
    let scratch = scratch();
    let [alone, shared] = ["alone", "shared"].map(|name| scratch.path().join(name));
    succeeded(&convert(small, &alone).output().expect("goldsmith starts"));
    let spawn = |_| {
        convert(small, &shared)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("goldsmith starts")
    };
    let runs: Vec<Child> = (0..4).map(spawn).collect();
    for run in runs {
        succeeded(&run.wait_with_output().expect("its end"));
    }
    assert_eq!(names(&shared), RESULTS);
    assert_eq!(digests(&shared), digests(&alone));
}

#[test]
fn a_directory_that_cannot_be_written_to_is_named() {
    let Some(small) = small() else { return };
    let workshop = UnprivilegedUser::new();
    let program = workshop.bring(goldsmith(), "goldsmith");
    let disk = workshop.bring(small, "in/small.img");
    let run = |out: &str| {
        let mut command = workshop.command(&program);
        let arguments: Vec<_> = convert(&disk, Path::new(out))
            .get_args()
            .map(ToOwned::to_owned)
            .collect();
        command.args(arguments).output().expect("goldsmith starts")
    };
    let at = |name: &str| workshop.path().join(name);
    earlier(&at("closed"));
    fs::set_permissions(at("closed"), fs::Permissions::from_mode(0o555))
        .expect("closing a directory");
    refused(&run("closed"), &["Permission denied", "closed"]);
    untouched(&at("closed"), "a closed directory");
    fs::write(at("file"), "of the user").expect("a file");
    refused(
        &run("file"),
        &["the output directory file cannot be used", "hint: "],
    );
    refused(
        &run("file/below"),
        &["the output directory file/below cannot be used"],
    );
    assert_eq!(fs::read_to_string(at("file")).expect("text"), "of the user");
    succeeded(&run("missing/parents/out"));
    assert_eq!(names(&at("missing/parents/out")), RESULTS);
}

#[test]
fn a_directory_in_the_place_of_a_result_is_refused() {
    let Some(small) = small() else { return };
    let scratch = scratch();
    for name in RESULTS {
        let out = scratch.path().join(format!("out-{name}"));
        fs::create_dir_all(out.join(name)).expect("a directory");
        refused(
            &convert(small, &out).output().expect("goldsmith starts"),
            &["would replace a directory", name],
        );
        assert_eq!(names(&out), [name]);
    }
}

#[test]
fn the_golden_image_is_never_replaced() {
    let Some(small) = small() else { return };
    let scratch = scratch();
    let disk = scratch.path().join("golden.img");
    fs::copy(small, &disk).expect("a copy");
    let mut command = convert(&disk, scratch.path());
    refused(
        &command
            .args(["--set", "output.name=golden"])
            .output()
            .expect("goldsmith starts"),
        &["would replace the golden image"],
    );
    assert_eq!(names(scratch.path()), ["golden.img"]);
    must("cmp", &[&disk, &small]);
}

#[test]
fn an_input_that_changes_is_not_converted() {
    let Some(small) = small() else { return };
    let scratch = scratch();
    type Change = fn(&fs::File) -> io::Result<()>;
    let changes: [(&str, Change); 4] = [
        ("touched", |file| {
            file.set_modified(std::time::SystemTime::UNIX_EPOCH)
        }),
        ("appended to", |file| file.write_all_at(b"more", 64 << 20)),
        ("overwritten", |file| {
            file.write_all_at(b"other", (ROOT.0 + 20) << 20)
        }),
        ("cut short", |file| file.set_len((ROOT.0 + 4) << 20)),
    ];
    for (what, change) in changes {
        let disk = scratch.path().join("small.img");
        fs::copy(small, &disk).expect("a copy");
        let out = scratch.path().join(what);
        earlier(&out);
        let running = Running::start(convert(&disk, &out).args(SLOW), &out);
        change(
            &fs::OpenOptions::new()
                .write(true)
                .open(&disk)
                .expect("the copy"),
        )
        .expect("changing it");
        refused(
            &running.end(),
            &[
                "reading the golden image: the input was changed while it was read",
                "hint: copy the image first",
            ],
        );
        untouched(&out, what);
    }
}

#[test]
fn nobody_listening_is_no_error() {
    let Some(small) = small() else { return };
    let scratch = scratch();
    for (name, redirect) in [
        ("out", ">&-"),
        ("err", "2>&-"),
        ("both", ">&- 2>&-"),
        ("pipe", "2>&1 | true"),
        ("in", "<&-"),
    ] {
        let out = scratch.path().join(name);
        let command = convert(small, &out);
        let script = format!("set -o pipefail; \"$@\" {redirect}");
        let output = Command::new("bash")
            .args(["-c", &script, "bash"])
            .arg(command.get_program())
            .args(command.get_args())
            .output();
        succeeded(&output.expect("bash starts"));
        assert_eq!(names(&out), RESULTS, "{name}");
    }
    // Here somebody would wait for the names in vain.
    let mut command = convert(small, &scratch.path().join("full"));
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .expect("a full device");
    refused(
        &command
            .stdout(full)
            .stderr(Stdio::piped())
            .output()
            .expect("goldsmith starts"),
        &["No space left on device"],
    );
    assert_eq!(names(&scratch.path().join("full")), RESULTS);
}
