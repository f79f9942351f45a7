//! Edits of the configuration, as `plan` shows them; sizes that are words; help for whatever has a
//! name.

use super::messages::{on, refused, workplace};
use super::{run, stderr, stdout};
use crate::support::goldsmith;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const DEVICE: &str = r##"extends = "qemux86-64"
[client]
managed = false

[[rootfs.edit]]
path = "/etc/fstab"
append = "# ours"

[[rootfs.edit]]
path = "/etc/*-release"
set = "SECRET_OF_OURS"
style = "shell"
value = "a {secret}"
secret = "env:GOLDSMITH_TEST_SECRET"
"##;

/// Runs a plan with the secret of [`DEVICE`] in the environment.
fn with_secret(at: &Path, line: &str) -> Output {
    let mut command = Command::new(goldsmith());
    command.args(line.split_whitespace()).current_dir(at);
    command.env("GOLDSMITH_TEST_SECRET", "hush-hush");
    command.output().unwrap()
}

#[test]
fn a_plan_names_the_line_that_asked_for_an_edit() {
    let Some(dir) = workplace() else { return };
    let at = dir.path();
    fs::write(at.join("device.toml"), DEVICE).unwrap();
    let line = "plan -q -c device.toml -s client.required=false -n r1";
    let shown = |more: &str| {
        let output = with_secret(at, &format!("{line} {more} golden.img"));
        assert!(output.status.success(), "{}", stderr(&output));
        let all = format!("{}{}", stdout(&output), stderr(&output));
        assert!(!all.contains("hush-hush"), "{all}");
        all
    };
    let counted = shown("");
    assert!(
        counted.contains("  rootfs.edit (device.toml:10): changed /etc/os-release\n"),
        "{counted}"
    );
    assert!(counted.contains("; --edits lists every file, --diff shows changed lines)\n"));
    let listed = shown("--edits");
    let row = "  root  changed  /etc/os-release  (rootfs.edit (device.toml:10))\n";
    assert!(listed.contains(row), "{listed}");
    assert!(listed.lines().count() > counted.lines().count());
    let lines = shown("--diff");
    for expected in [
        "\n--- golden root:/etc/os-release\n+++ root:/etc/os-release  (rootfs.edit (device.toml:10))\n@@ -",
        "\n+SECRET_OF_OURS=\"a ***\"\n",
        "\n+# ours\n",
    ] {
        assert!(lines.contains(expected), "{expected}: {lines}");
    }
    assert!(shown("--json").contains("rootfs.edit (device.toml:10)"));
}

#[test]
fn edits_and_secrets_that_do_not_fit() {
    let Some(dir) = workplace() else { return };
    let at = dir.path();
    fs::write(at.join("two"), "a\nb\n").unwrap();
    fs::write(
        at.join("e.toml"),
        "[[rootfs.edit]]\npath = \"/etc/x\"\nreplace = \"a\"\nappend = \"b\"\n",
    )
    .unwrap();
    fs::write(
        at.join("r.toml"),
        "[[rootfs.remove]]\npath = \"/etc/fstab\"\n",
    )
    .unwrap();
    let usage = [(
        on("-c e.toml"),
        "error: e.toml:2:8: rootfs.edit[0].path: set one of `replace`, `append` and `set`\n"
            .to_owned(),
    )];
    refused(at, 1, &usage);
    let cases = [
        (
            on("-c r.toml"),
            "error: rootfs.remove (r.toml:2): /etc/fstab cannot be removed: the list of filesystems\n\
             hint: name the files below it that the device can do without\n",
        ),
        (
            on("-s server.tenant-token=env:GOLDSMITH_TEST_NONE"),
            "error: server.tenant-token: the environment variable GOLDSMITH_TEST_NONE is not set, or is not UTF-8\n\
             hint: export GOLDSMITH_TEST_NONE before goldsmith starts\n",
        ),
        (
            on("-s server.tenant-token-file=two"),
            "error: server.tenant-token: two is empty, or has more than one line of text\n\
             hint: write the secret alone, on one line\n",
        ),
        (
            on("-s server.tenant-token-file=two -s server.tenant-token=x"),
            "error: server.tenant-token and server.tenant-token-file are both set\nhint: set one of them\n",
        ),
    ];
    refused(at, 1, &cases.map(|(line, text)| (line, text.to_owned())));
}

#[test]
fn results_do_not_go_into_an_overlay() {
    let Some(dir) = workplace() else { return };
    let at = dir.path();
    fs::create_dir_all(at.join("files/etc")).unwrap();
    let text = "error: -o (--output-dir) is the directory of the results, but files is that of a root filesystem\n\
                hint: to copy it over the root filesystem, write --overlay files\n";
    refused(at, 2, &[(on("-o files"), text.to_owned())]);
    // A directory with more in it, such as that of a project, is none.
    fs::write(at.join("files/README"), "").unwrap();
    assert!(run(at, &on("-o files")).status.success());
    assert!(run(at, &on("-o out")).status.success());
}

/// The size of the disk, of each partition, and of the root filesystem.
fn sizes(at: &Path, more: &str) -> (u64, Vec<u64>, u64) {
    let output = run(at, &on(&format!("--json {more}")));
    assert!(output.status.success(), "{}", stderr(&output));
    let record: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    let number = |value: &serde_json::Value| value.as_u64().unwrap();
    let parts = record["disk"]["partitions"].as_array().unwrap();
    let parts = parts.iter().map(|part| number(&part["size"])).collect();
    let (disk, root) = (&record["disk"]["size"], &record["root"]["size"]);
    (number(disk), parts, number(root))
}

#[test]
fn sizes_are_what_a_person_means() {
    let Some(dir) = workplace() else { return };
    let at = dir.path();
    const MIB: u64 = 1 << 20;
    let (_, _, root) = sizes(at, "");
    // The least disk: slots as large as the root filesystem needs, data as configured.
    let (least, parts, same) = sizes(at, "-s storage.size=least");
    assert_eq!(same, root);
    assert!(parts[1] >= root && parts[1] < root + 8 * MIB, "{parts:?}");
    assert_eq!(parts[3], 128 * MIB);
    let smaller = format!("-s storage.size={}", least - 8 * MIB);
    assert!(!run(at, &on(&smaller)).status.success());
    // All that the slots do not need is data.
    let (disk, parts, same) = sizes(at, "-s data.size=rest");
    assert_eq!((disk, same), (8192 * MIB, root));
    assert!(
        parts[1] < root + 8 * MIB && parts[3] > 7000 * MIB,
        "{parts:?}"
    );
    // The root filesystem is as large as its slot.
    let (_, parts, same) = sizes(at, "-s root.size=max -s storage.size=1GiB");
    assert_eq!(parts[1], same);
    assert!(same > root);
    // A card has less than what is printed on it.
    fs::write(at.join("card.toml"), "storage.size = \"2 GB card\"\n").unwrap();
    let (disk, _, _) = sizes(at, "-c card.toml");
    assert_eq!(disk, 1_900_000_000 / MIB * MIB);
    let both = [(
        on("-s root.size=max -s data.size=rest"),
        "error: --set data.size: takes what the root filesystem leaves, but root.size is \"max\": set root.slot-size, \
         or one of them\n"
            .to_owned(),
    )];
    refused(at, 1, &both);
}

#[test]
fn help_is_about_whatever_has_a_name() {
    let here = Path::new(".");
    let help = stdout(&run(here, "help convert"));
    assert_eq!(help, stdout(&run(here, "convert --help")));
    assert!(
        stdout(&run(here, "help root.slot-size")).starts_with("root.slot-size\n\nThe size of each")
    );
    let output = run(here, "help rootfs.edits");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        stderr(&output),
        "error: `rootfs.edits` is not a command, a key of the configuration, a board or the code of a finding\n\
         hint: did you mean `goldsmith help rootfs.edit.set`?\n"
    );
}
