//! The commands as users run them: where results and messages go, sizes, directories, options.

use super::{PLAN, run, stderr, stdout};
use crate::support::images;
use crate::support::unprivileged::UnprivilegedUser;
use crate::support::{goldsmith, must, scratch, tool};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

/// The size in quotes that a hint says is enough.
fn advised(output: &Output) -> String {
    let text = stderr(output);
    let hint = text
        .lines()
        .find(|line| line.starts_with("hint: "))
        .unwrap_or_else(|| panic!("no hint: {text}"));
    hint.split('"')
        .nth(1)
        .unwrap_or_else(|| panic!("no size: {hint}"))
        .replace(' ', "")
}

#[test]
fn sizes_that_are_said_to_be_enough_are_enough() {
    if !images::can_make() {
        return;
    }
    let dir = scratch();
    images::golden(dir.path());
    let overlay = dir.path().join("data");
    fs::create_dir(&overlay).unwrap();
    fs::write(overlay.join("filler"), vec![7; 3 << 20]).unwrap();
    for (key, small, others, begins) in [
        (
            "storage.size",
            "32MiB",
            "",
            "error: the root filesystem needs ",
        ),
        (
            "storage.size",
            "1MiB",
            "",
            "error: the root filesystem needs ",
        ),
        (
            "storage.size",
            "32MiB",
            " -s storage.alignment=16MiB",
            "error: the root filesystem needs ",
        ),
        (
            "root.size",
            "1MiB",
            "",
            "error: root.size is 1 MiB (1048576 bytes) but the files need ",
        ),
        (
            "boot.size",
            "1MiB",
            "",
            "error: boot.size is 1 MiB but its files need ",
        ),
        (
            "data.size",
            "1MiB",
            " -s data.overlay=data",
            "error: data.size is 1 MiB but its files need ",
        ),
    ] {
        let with = |size: &str| {
            run(
                dir.path(),
                &format!("{PLAN}{others} -s {key}={size} golden.img"),
            )
        };
        let refused = with(small);
        assert!(
            stderr(&refused).starts_with(begins) && refused.status.code() == Some(1),
            "{key}: {}",
            stderr(&refused)
        );
        let size = advised(&refused);
        let accepted = with(&size);
        assert!(
            accepted.status.success(),
            "{key} = {size}: {}",
            stderr(&accepted)
        );
    }
}

#[test]
fn output_directories_that_cannot_be_used() {
    if !images::can_make() {
        return;
    }
    let workshop = UnprivilegedUser::new();
    let dir = scratch();
    images::golden(dir.path());
    let golden = workshop.bring(&dir.path().join("golden.img"), "golden.img");
    fs::write(workshop.path().join("file"), "").unwrap();
    fs::create_dir(workshop.path().join("closed")).unwrap();
    fs::set_permissions(
        workshop.path().join("closed"),
        fs::Permissions::from_mode(0o555),
    )
    .unwrap();
    let program = workshop.bring(goldsmith(), "goldsmith");
    for (name, why) in [
        ("file", "not a directory"),
        ("file/below", "Not a directory"),
        ("closed", "Permission denied"),
        ("closed/below", "Permission denied"),
    ] {
        let mut command = workshop.command(&program);
        command
            .args([
                "convert",
                "-q",
                "-c",
                "qemux86-64",
                "-n",
                "r1",
                "-s",
                "storage.size=512MiB",
                "-s",
                "client.required=false",
                "--output-dir",
                name,
            ])
            .arg(&golden);
        let output = command.output().unwrap();
        let expected = format!(
            "error: the output directory {name} cannot be used: {why}\nhint: choose another one with --output-dir\n"
        );
        assert_eq!((stderr(&output), output.status.code()), (expected, Some(1)));
    }
}

#[test]
fn an_object_tells_of_failures() {
    if !images::can_make() {
        return;
    }
    let dir = scratch();
    images::golden(dir.path());
    let output = run(
        dir.path(),
        "plan --json -q -c qemux86-64 -s client.required=false -s root.partition=9 -s client.packages=x.deb golden.img",
    );
    assert_eq!(output.status.code(), Some(1));
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["exit-code"], 1);
    let first = &said["errors"][0];
    assert!(
        first["message"]
            .as_str()
            .unwrap()
            .starts_with("root.partition is 9 but")
            && first["hint"]
                .as_str()
                .unwrap()
                .starts_with("set root.partition"),
        "{said}"
    );
}

#[test]
fn standard_output_holds_the_paths_or_one_object() {
    if !images::can_make() {
        return;
    }
    let dir = scratch();
    images::golden(dir.path());
    let line =
        "convert -c qemux86-64 -s client.required=false -n r1 -s storage.size=512MiB golden.img";
    let output = run(dir.path(), line);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    let paths: Vec<&str> = text.lines().collect();
    assert!(
        paths.contains(&"deploy/golden-qemux86-64-r1.img")
            && paths.contains(&"deploy/golden-qemux86-64-r1.mender"),
        "{text}"
    );
    assert!(
        paths.iter().all(|path| dir.path().join(path).is_file()),
        "{text}"
    );
    assert!(
        stderr(&output).starts_with("reading the golden image\n"),
        "{}",
        stderr(&output)
    );

    let output = run(dir.path(), &format!("{line} --json --quiet"));
    assert_eq!(stderr(&output), "");
    let record: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(record["artifact_name"], "r1");
    let kept = fs::read(dir.path().join("deploy/golden-qemux86-64-r1.json")).unwrap();
    // But for what came from the cache, which is in no result.
    assert!(record["cache"].is_object());
    let output = run(dir.path(), &format!("{line} --json --quiet --no-cache"));
    assert!(kept == output.stdout);
    for json in [
        "plan --json -q -c qemux86-64 -s client.required=false -n r1 golden.img",
        "inspect --json golden.img",
    ] {
        let output = run(dir.path(), json);
        assert!(
            serde_json::from_slice::<serde_json::Value>(&output.stdout)
                .is_ok_and(|value| value.is_object()),
            "{json}"
        );
    }
    let boards = stdout(&run(dir.path(), "boards"));
    let first: Vec<&str> = boards
        .lines()
        .map(|line| line.split(' ').next().unwrap_or_default())
        .collect();
    assert_eq!(
        first,
        ["BOARD"]
            .into_iter()
            .chain(goldsmith::config::boards())
            .collect::<Vec<_>>()
    );
    assert!(
        boards.contains("qemux86-64             amd64   uefi > grub-efi        booted    the PC of QEMU with UEFI firmware\n"),
        "{boards}"
    );
    let boards: serde_json::Value =
        serde_json::from_slice(&run(dir.path(), "boards --json").stdout).unwrap();
    let qemu = boards
        .as_array()
        .unwrap()
        .iter()
        .find(|board| board["name"] == "qemux86-64")
        .unwrap();
    assert_eq!(
        (&qemu["architectures"][0], &qemu["boot_loader"]),
        (&"amd64".into(), &"grub-efi".into())
    );
}

#[test]
fn commands_that_read_an_image_bound_what_it_unpacks_to() {
    let Some(gzip) = tool("gzip") else { return };
    let dir = scratch();
    let image = dir.path().join("zeros.img");
    fs::File::create(&image).unwrap().set_len(2 << 20).unwrap();
    must(gzip, &[&image]);
    for command in ["inspect", "verify"] {
        let output = run(
            dir.path(),
            &format!("{command} --max-size 1MiB zeros.img.gz"),
        );
        let expected = "error: zeros.img.gz unpacks to more than the limit of 1 MiB\nhint: allow more with --max-size\n";
        assert_eq!(
            (stderr(&output), output.status.code()),
            (expected.to_owned(), Some(1)),
            "{command}"
        );
        // The limit itself is allowed.
        let output = run(
            dir.path(),
            &format!("{command} --max-size 2MiB zeros.img.gz"),
        );
        let said = stderr(&output) + &stdout(&output);
        assert!(
            said.contains("zeros") && !said.contains("limit"),
            "{command}: {said}"
        );
    }
}

#[test]
fn older_names_of_options_are_read_and_not_shown() {
    for (command, old, new) in [
        ("convert", "--like", "--preserve-layout"),
        ("convert", "--field", "--upgrade-from"),
        ("plan", "--like", "--preserve-layout"),
        ("plan", "--field", "--upgrade-from"),
        ("verify", "--field", "--upgrade-from"),
    ] {
        let help = stdout(&run(Path::new("."), &format!("{command} --help")));
        assert!(help.contains(new) && !help.contains(old), "{help}");
        let output = run(Path::new("."), &format!("{command} {old} a {new} b c"));
        assert!(
            stderr(&output).starts_with(&format!("error: the argument '{new} <")),
            "{}",
            stderr(&output)
        );
    }
}
