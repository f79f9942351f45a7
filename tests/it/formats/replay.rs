//! Inputs that once did harm, or that show a rule: each fuzz target takes all files of
//! `tests/regressions/<target>/`, without a fuzzer, within bounded memory and time, whole and cut
//! short.

// What is public there is so for the programs of the fuzzer.
#[allow(unreachable_pub)]
#[path = "../../../fuzz/src/repository.rs"]
mod repository;
#[allow(unreachable_pub)]
#[path = "../../../fuzz/src/sparse.rs"]
mod sparse;
#[allow(unreachable_pub)]
#[path = "../../../fuzz/src/targets.rs"]
pub(crate) mod targets;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 19] = [
    ("table", targets::table),
    ("ext4", targets::ext4),
    ("carry", targets::carry),
    ("fat", targets::fat),
    ("deb", targets::deb),
    ("tar", targets::tar),
    ("script", targets::script),
    ("shell", targets::shell),
    ("artifact", targets::artifact),
    ("config", targets::config),
    ("bmap", targets::bmap),
    ("qcow2", targets::qcow2),
    ("simg", targets::simg),
    ("packed", targets::packed),
    ("plan", targets::plan),
    ("verify", targets::verify),
    ("signed", repository::signed),
    ("index", repository::index),
    ("lock", repository::lock),
];

/// What a target may take of address space (KiB) and of time (seconds), for all its inputs.
const MEMORY: &str = "1048576";
const SECONDS: &str = "120";

fn inputs(target: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/regressions")
        .join(target);
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
}

/// The list above, the programs of the fuzzer and the directories of inputs name the same targets.
#[test]
fn every_target_is_replayed() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = |dir: &str| -> Vec<String> {
        let entries = fs::read_dir(top.join(dir))
            .expect("a directory")
            .map(|entry| entry.expect("an entry").path());
        let mut names: Vec<String> = entries
            .map(|path| {
                path.file_stem()
                    .expect("a name")
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        names
    };
    let mut ours: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    ours.sort_unstable();
    assert_eq!(names("fuzz/fuzz_targets"), ours);
    assert_eq!(names("tests/regressions"), ours);
}

/// The short form of a disk is the disk.
#[test]
fn the_short_form_keeps_a_disk() {
    use goldsmith::stream::ReadAt as _;
    let decoded = sparse::Sparse::decode(b"\x0a\0\x04\0\x03\0abc\x09\0\x01\0z").expect("a disk");
    let mut disk = vec![1; 10 << 10];
    decoded.read_exact_at(0, &mut disk).expect("reading it");
    let data: Vec<(usize, u8)> = disk
        .iter()
        .copied()
        .enumerate()
        .filter(|(_, byte)| *byte != 0)
        .collect();
    assert_eq!(
        data,
        [(4096, b'a'), (4097, b'b'), (4098, b'c'), (9216, b'z')]
    );
    assert_eq!(decoded.next_data(0).expect("asking"), Some(4096..5120));
    assert_eq!(decoded.next_data(4500).expect("asking"), Some(4500..5120));
    assert_eq!(decoded.next_data(5120).expect("asking"), Some(9216..10_240));
}

#[test]
fn inputs_that_did_harm_do_none() {
    let program = std::env::current_exe().expect("this program");
    for (name, _) in TARGETS {
        assert!(!inputs(name).is_empty(), "no input for {name}");
        let script = "ulimit -v \"$0\" && exec timeout \"$1\" \"${@:2}\"";
        let mut command = Command::new("bash");
        command
            .args(["-c", script, MEMORY, SECONDS])
            .arg(&program)
            .args(["--ignored", "--exact", "formats::replay::one_target"]);
        let output = command
            .env("REPLAY", name)
            .env("MALLOC_ARENA_MAX", "1")
            .output()
            .expect("bash starts");
        let said = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && said.contains("1 passed"),
            "{name}: {}\n{said}",
            output.status
        );
    }
}

#[test]
#[ignore = "a part of the test above, in a process of its own"]
fn one_target() {
    let wanted = std::env::var("REPLAY").unwrap_or_default();
    for (_, target) in TARGETS.iter().filter(|(name, _)| *name == wanted) {
        for path in inputs(&wanted) {
            let bytes = fs::read(&path).expect("an input");
            println!("{} ({} bytes)", path.display(), bytes.len());
            target(&bytes);
            target(&bytes[..bytes.len() - bytes.len().min(3)]);
            target(&bytes[..bytes.len() / 2]);
        }
    }
}
