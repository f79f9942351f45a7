//! Files without an end, and an Artifact that unpacks to one.

use super::{arguments, bounded};
use crate::formats::replay::targets::claimed as member;
use crate::support::images::small;
use crate::support::{goldsmith, scratch, tool};
use std::ffi::OsString;
use std::fs;
use std::process::Command;

#[test]
fn an_artifact_whose_header_is_a_bomb_is_not_unpacked() {
    let Some(gzip) = tool("gzip") else { return };
    let scratch = scratch();
    let at = |name: &str| scratch.path().join(name);
    const SIZE: u64 = 4 << 30;
    // Members of a stream may stand beside each other: one for the start, and one for each 64 MiB
    // of zeros.
    fs::write(at("start"), member("header-info", SIZE, b"")).expect("a file");
    fs::File::create(at("zeros"))
        .and_then(|file| file.set_len(64 << 20))
        .expect("zeros");
    let packed = |name: &str| {
        Command::new(&gzip)
            .args(["-9", "-n", "-c"])
            .arg(at(name))
            .output()
            .expect("gzip starts")
            .stdout
    };
    let header = [packed("start"), packed("zeros").repeat(64)].concat();
    let version = b"{\"format\":\"mender\",\"version\":3}";
    let manifest = format!("{}  version\n", "0".repeat(64));
    let members = [
        member("version", version.len() as u64, version),
        member("manifest", manifest.len() as u64, manifest.as_bytes()),
        member("header.tar.gz", header.len() as u64, &header),
        vec![0; 1024],
    ];
    fs::write(at("bomb.mender"), members.concat()).expect("a file");
    for verb in ["show", "validate"] {
        let script = "ulimit -v 200000 && exec timeout 20 \"$@\"";
        let mut command = Command::new("bash");
        command
            .args(["-c", script, "bash"])
            .arg(goldsmith())
            .args(["artifact", verb])
            .arg(at("bomb.mender"));
        let output = command.output().expect("bash starts");
        let said = [output.stdout, output.stderr]
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .concat();
        let text = format!("`header-info` has {SIZE} bytes, more than 1048576");
        assert!(
            output.status.code() == Some(1) && said.contains(&text),
            "{verb}: {}: {said}",
            output.status
        );
    }
}

/// Whatever a file is taken for, it need not end.
#[test]
fn files_without_an_end_are_refused() {
    let Some(small) = small() else { return };
    let scratch = scratch();
    let endless = || OsString::from("/dev/zero");
    let set = |setting: &str| {
        let mut arguments = arguments("plan", small, scratch.path());
        arguments.extend(["--set".into(), setting.into()]);
        arguments
    };
    let small = || small.as_os_str().to_owned();
    let cases: [(Vec<OsString>, &str); 9] = [
        (
            vec!["plan".into(), "-c".into(), endless(), small()],
            "reading /dev/zero: it is a device, not a regular file",
        ),
        (
            vec![
                "plan".into(),
                "-c".into(),
                "qemux86-64".into(),
                "-n".into(),
                "r".into(),
                "--like".into(),
                endless(),
                small(),
            ],
            "/dev/zero",
        ),
        (
            vec![
                "plan".into(),
                "-c".into(),
                "qemux86-64".into(),
                "-n".into(),
                "r".into(),
                "--field".into(),
                endless(),
                small(),
            ],
            "it is a device, not a regular file",
        ),
        (
            vec!["artifact".into(), "show".into(), endless()],
            "reading /dev/zero",
        ),
        (
            vec![
                "verify".into(),
                "--artifact".into(),
                endless(),
                "--key".into(),
                endless(),
                small(),
            ],
            "it is a device, not a regular file",
        ),
        (
            set("artifact.key=\"/dev/zero\""),
            "it is a device, not a regular file",
        ),
        (
            set("client.packages=[\"/dev/zero\"]"),
            "it is a device, not a regular file",
        ),
        (set("rootfs.overlays=[\"/dev\"]"), "a character device"),
        (set("client.packages=[\"/dev/full\"]"), "/dev/full"),
    ];
    for (arguments, why) in cases {
        let what = format!("{arguments:?}");
        let (code, said) = bounded(arguments, &what);
        assert!(code != 0 && said.contains(why), "{what}: {said}");
    }
}
