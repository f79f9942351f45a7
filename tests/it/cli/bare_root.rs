//! A root directory with nothing but the command: no `/dev/random`, no `/dev/urandom`, no `/proc`.

use crate::support::images::{SETTINGS, small};
use crate::support::{goldsmith, must, root, scratch, tool};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Copies a program and its libraries into a root directory, under `name`.
pub(super) fn bring(program: &Path, name: &str, dir: &Path) {
    let libraries = must("ldd", &[&program]);
    let paths = libraries
        .split_whitespace()
        .filter(|word| word.starts_with('/'));
    for path in paths {
        let to = dir.join(&path[1..]);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(path, to).unwrap();
    }
    fs::copy(program, dir.join(name)).unwrap();
}

/// Runs the command in the root directory `dir`; `wrapper` starts it.
fn inside(dir: &Path, wrapper: &[&str], args: &[&str]) -> Output {
    let chroot = tool("chroot").expect("a part of coreutils");
    let mut words: Vec<&std::ffi::OsStr> = wrapper.iter().map(|word| (*word).as_ref()).collect();
    words.extend([chroot.as_os_str(), dir.as_os_str(), "/goldsmith".as_ref()]);
    words.extend(args.iter().map(|word| std::ffi::OsStr::new(*word)));
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env("TMPDIR", "/srv");
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

#[test]
fn nothing_panics_in_a_bare_root() {
    let (true, Some(small)) = (root(), small()) else {
        return;
    };
    let scratch = scratch();
    let dir = scratch.path();
    bring(goldsmith(), "goldsmith", dir);
    fs::create_dir(dir.join("srv")).unwrap();
    must("cp", &[&"--sparse=always", &small, &dir.join("srv/a.img")]);
    let settings = SETTINGS.iter().flat_map(|setting| ["-s", *setting]);
    let conversion = |verb: &'static str| -> Vec<&str> {
        let mut words = vec![verb, "-c", "qemux86-64", "-n", "r1", "-s", "output.name=r1"];
        words.extend(settings.clone());
        words.extend(["--output-dir", "/srv/out", "/srv/a.img"]);
        words
    };
    let commands: [(&[&str], Option<i32>); 8] = [
        (&conversion("plan"), Some(0)),
        (&conversion("convert"), Some(0)),
        (&["inspect", "/srv/a.img"], Some(0)),
        (
            &["verify", "/srv/out/r1.img", "-a", "/srv/out/r1.mender"],
            Some(0),
        ),
        (&["artifact", "validate", "/srv/out/r1.mender"], Some(0)),
        (&["artifact", "show", "/srv/out/r1.mender"], Some(0)),
        (&["boards"], Some(0)),
        (&["flash", "/srv/out/r1.img", "/srv/none"], Some(1)),
    ];
    for (args, code) in commands {
        let output = inside(dir, &[], args);
        assert_eq!(output.status.code(), code, "{args:?}: {}", said(&output));
        assert!(
            !said(&output).contains("panicked"),
            "{args:?}: {}",
            said(&output)
        );
    }
    // Even without the system call.
    let Some(strace) = tool("strace") else { return };
    let denied = [
        "-f",
        "-o",
        "/dev/null",
        "-e",
        "trace=getrandom",
        "-e",
        "inject=getrandom:error=ENOSYS",
    ];
    let wrapper = [&[strace.to_str().unwrap()][..], &denied].concat();
    let output = inside(dir, &wrapper, &["inspect", "/srv/a.img"]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("error: the system provides no random numbers"),
        "{text}"
    );
    assert!(!text.contains("panicked"), "{text}");
}
