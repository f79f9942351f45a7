//! `goldsmith ls`, `cat`, `extract` and `diff`, held against other readers of the same filesystems.

use super::messages::{refused, workplace};
use super::{run, stderr, stdout};
use crate::support::{images, must, noise, tool};
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::process::Command;

fn out(at: &Path, line: &str) -> String {
    let output = run(at, line);
    assert!(output.status.success(), "{line}: {}", stderr(&output));
    stdout(&output)
}

#[test]
fn files_are_found_by_number_name_and_role() {
    let Some(dir) = workplace() else { return };
    let at = dir.path();
    assert_eq!(
        out(at, "ls golden.img"),
        "1   boot        8 MiB  FAT\n2   root       16 MiB  ext4\n"
    );
    let release = fs::read_to_string(at.join("root/etc/os-release")).unwrap();
    for address in [
        "golden.img:2:/etc/os-release",
        "golden.img:root:etc/os-release",
        "golden.img:root-a:/etc/os-release",
        "golden.img:/etc/os-release",
        "root.ext4:/etc/os-release",
    ] {
        assert_eq!(out(at, &format!("cat {address}")), release, "{address}");
    }
    let listed = out(at, "ls golden.img:/usr/bin");
    let rows: Vec<&str> = listed.lines().collect();
    assert_eq!(rows.len(), 2, "{listed}");
    assert!(
        rows[0].starts_with("-rw-r--r--  ") && rows[0].ends_with(" dash"),
        "{listed}"
    );
    assert!(
        rows[1].starts_with("lrwxrwxrwx  ") && rows[1].ends_with(" sh -> dash"),
        "{listed}"
    );
    let json: serde_json::Value =
        serde_json::from_str(&out(at, "ls --json -R golden.img:/etc")).unwrap();
    let paths: Vec<&str> = json
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["path"].as_str().unwrap())
        .collect();
    assert_eq!(
        paths,
        [
            "/etc/default",
            "/etc/default/grub",
            "/etc/fstab",
            "/etc/os-release"
        ]
    );
}

/// The files below `dir` as `tar` sees them, without owners: names, types, modes, times, links and
/// content.
fn archived(dir: &Path) -> Vec<u8> {
    let output = Command::new("tar")
        .args(["--sort=name", "--owner=0", "--group=0", "--format=ustar"])
        .args(["-c", "."])
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(output.status.success());
    output.stdout
}

#[test]
fn extracted_files_are_those_that_debugfs_reads() {
    let Some(debugfs) = tool("debugfs") else {
        return;
    };
    let Some(dir) = workplace() else { return };
    let at = dir.path();
    fs::write(at.join("root/var/noise"), noise(3 << 20, 7)).unwrap();
    fs::create_dir_all(at.join("root/srv/a/b")).unwrap();
    symlink("/nowhere", at.join("root/srv/a/b/link")).unwrap();
    fs::hard_link(at.join("root/var/noise"), at.join("root/srv/second")).unwrap();
    images::ext4(&at.join("root"), &at.join("root.ext4"), 16);
    fs::create_dir(at.join("theirs")).unwrap();
    must(&debugfs, &[&"-R", &"rdump / theirs", &at.join("root.ext4")]);
    for name in ["srv", "etc", "usr", "var"] {
        out(at, &format!("extract root.ext4:/{name} ours-{name}"));
        // debugfs copies a file with several names once for each.
        must(
            "diff",
            &[
                &"-r",
                &"--no-dereference",
                &at.join("root").join(name),
                &at.join(format!("ours-{name}")),
            ],
        );
    }
    assert!(archived(&at.join("ours-etc")) == archived(&at.join("root/etc")));
    out(at, "extract root.ext4:/ whole");
    let inode = |path: &str| {
        fs::symlink_metadata(at.join("whole").join(path))
            .unwrap()
            .ino()
    };
    assert_eq!(inode("srv/second"), inode("var/noise"));
    // And a check that can fail: a byte that is another one is noticed.
    fs::write(at.join("ours-etc/fstab"), "x").unwrap();
    assert!(archived(&at.join("ours-etc")) != archived(&at.join("root/etc")));
}

#[test]
fn addresses_that_lead_nowhere() {
    let Some(dir) = workplace() else { return };
    let case = |line: &str, text: &str| (line.to_owned(), text.to_owned());
    let ls = "hint: `goldsmith ls` lists what is there, as in IMAGE:PART:";
    let parts = "error: there is no partition 9: 1 (boot, FAT), 2 (root, ext4)\n\
                 hint: write IMAGE:NUMBER:PATH, or the name of a partition in the place of NUMBER\n";
    let cases = [
        case("ls golden.img:9:/", parts),
        case("cat golden.img:data:/x", &parts.replacen('9', "`data`", 1)),
        case(
            "ls golden.img:/etc/none",
            &format!(
                "error: /etc/none: no such file or directory in partition 2 (root)\n{ls}/etc\n"
            ),
        ),
        case(
            "cat golden.img:/none",
            &format!("error: /none: no such file or directory in partition 2 (root)\n{ls}/\n"),
        ),
        case(
            "cat golden.img:/etc",
            "error: /etc is a directory\n\
             hint: name a file, as in golden.img:/etc/os-release; `goldsmith ls` lists directories\n",
        ),
        case(
            "extract golden.img:/etc root",
            "error: root/etc exists; nothing is replaced\nhint: name another target\n",
        ),
        case(
            "ls gone.img:2:/",
            "error: opening gone.img: No such file or directory\n",
        ),
        case(
            "diff golden.img:root golden.img",
            "error: opening golden.img:root: No such file or directory\n\
             hint: did you mean golden.img? Only `ls`, `cat` and `extract` take a partition or path after a colon\n",
        ),
        case(
            "inspect golden.img:2:/etc",
            "error: opening golden.img:2:/etc: No such file or directory\n\
             hint: did you mean golden.img? Only `ls`, `cat` and `extract` take a partition or path after a colon\n",
        ),
    ];
    refused(dir.path(), 1, &cases);
}

#[test]
fn an_artifact_has_the_files_of_its_image() {
    let Some(dir) = workplace() else { return };
    let at = dir.path();
    let convert = "convert -q -c qemux86-64 -s client.required=false -s storage.alignment=1MiB -s storage.size=128MiB \
                   -s data.size=16MiB -s output.image=gz --no-cache golden.img";
    for release in ["r1", "r2"] {
        out(
            at,
            &format!("{convert} -n {release} -s output.name={release}"),
        );
    }
    let (image, artifact) = ("deploy/r1.img.gz", "deploy/r1.mender");
    let same = out(at, &format!("diff --exit-code --blocks {image} {artifact}"));
    assert!(
        same.contains("Artifact, ") && same.contains(", release r1)"),
        "{same}"
    );
    assert!(
        same.contains(" 0 of ") && same.ends_with("nothing differs\n"),
        "{same}"
    );
    let info = out(at, &format!("cat {artifact}:/etc/mender/artifact_info"));
    assert_eq!(info, "artifact_name=r1\n");

    let output = run(at, &format!("diff --exit-code -p {image} deploy/r2.mender"));
    let said = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("    ~ /etc/mender/artifact_info (content)\n        @@ -1 +1 @@\n        -artifact_name=r1\n        +artifact_name=r2\n"),
        "{said}"
    );

    let bytes = fs::read(at.join(artifact)).unwrap();
    let mut damaged = bytes.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(at.join("damaged.mender"), damaged).unwrap();
    fs::write(at.join("cut.mender"), &bytes[..bytes.len() / 2]).unwrap();
    for name in ["damaged.mender", "cut.mender"] {
        let output = run(at, &format!("ls {name}:/"));
        let said = stderr(&output);
        assert!(
            !output.status.success() && output.stdout.is_empty(),
            "{name}"
        );
        assert!(
            said.starts_with(&format!("error: the Artifact {name} is damaged: ")),
            "{said}"
        );
        assert!(
            said.contains(&format!("`goldsmith artifact validate {name}`")),
            "{said}"
        );
    }
}

/// `old.ext4` and `new.ext4` in `at`, with a difference of each kind.
fn two_releases(at: &Path) {
    let root = at.join("root");
    let package = |name: &str, version: &str| {
        format!(
            "Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n\n"
        )
    };
    let write = |path: &str, text: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let info = "var/lib/dpkg/info/up.list";
    write(
        "var/lib/dpkg/status",
        &(package("up", "1.0") + &package("gone", "3") + &package("same", "1")),
    );
    write(info, "/.\n/usr/bin/up\n");
    write("usr/bin/up", "1");
    write("etc/secret", "old\n");
    write("etc/removed", "");
    let chmod = |mode: &str, path: &str| must("chmod", &[&mode, &root.join(path)]);
    chmod("0600", "etc/secret");
    images::ext4(&root, &at.join("old.ext4"), 16);

    write(
        "var/lib/dpkg/status",
        &(package("up", "1.0~rc1") + &package("new", "2") + &package("same", "1")),
    );
    write("usr/bin/up", "2");
    write("etc/secret", "new\n");
    write("etc/default/grub", "GRUB_CMDLINE_LINUX=\"<b>\"\n");
    write("opt/tree/a/b", "123");
    fs::remove_file(root.join("etc/removed")).unwrap();
    fs::remove_file(root.join("usr/bin/sh")).unwrap();
    symlink("up", root.join("usr/bin/sh")).unwrap();
    chmod("4755", "usr/bin/dash");
    images::ext4(&root, &at.join("new.ext4"), 16);
}

#[test]
fn differences_of_every_kind_are_named() {
    let Some(dir) = workplace() else { return };
    let at = dir.path();
    two_releases(at);
    let said = out(at, "diff -p old.ext4 new.ext4 --html page.html");
    for expected in [
        "    - gone 3\n    + new 2\n    ~ up 1.0 -> 1.0~rc1 (lower)\n",
        "    - /etc/removed (0 bytes)\n",
        "    ~ /etc/secret (content)\n    + /opt/",
        "    ~ /etc/default/grub (content, 27 -> 25 bytes)\n        @@ -1 +1 @@\n        -GRUB_CMDLINE_LINUX=\"quiet\"\n",
        "    + /opt/ and 3 below it\n",
        "    ~ /usr/bin/dash (mode 0644 -> 4755)\n",
        "    ~ /usr/bin/sh (target dash -> up)\n",
        "    ~ 2 files of the packages above; --all lists them\n",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let all = out(at, "diff --all old.ext4 new.ext4");
    assert!(
        all.contains("    ~ /usr/bin/up (content)\n") && all.contains("/opt/tree/a/b"),
        "{all}"
    );
    let page = fs::read_to_string(at.join("page.html")).unwrap();
    assert!(
        page.contains("+GRUB_CMDLINE_LINUX=&quot;&lt;b&gt;&quot;") && !page.contains("old\n"),
        "{page}"
    );
    let json: serde_json::Value =
        serde_json::from_str(&out(at, "diff --json old.ext4 new.ext4")).unwrap();
    let changes = json["filesystems"][0]["changes"].as_array().unwrap();
    let up = changes
        .iter()
        .find(|one| one["path"] == "/usr/bin/up")
        .unwrap();
    assert_eq!(
        (up["package"].as_str(), up["sort"].as_str()),
        (Some("up"), Some("changed"))
    );
    let same = out(at, "diff --exit-code old.ext4 old.ext4");
    assert!(same.ends_with("nothing differs\n"), "{same}");
    let cases = [(
        "diff --html page.html old.ext4 new.ext4".to_owned(),
        "error: page.html exists; nothing is replaced\nhint: name another file with --html\n"
            .to_owned(),
    )];
    refused(at, 1, &cases);
}

/// What a comparison must not pass over: filesystems that are paired with nothing, changes too
/// small for the units of messages, and a file of a package whose mode is not the package's.
#[test]
fn what_is_not_compared_is_said() {
    let Some(dir) = workplace() else { return };
    let at = dir.path();
    let (root, esp) = (at.join("root.ext4"), at.join("esp.fat"));
    fs::create_dir(at.join("nothing")).unwrap();
    images::ext4(&at.join("nothing"), &at.join("nothing.ext4"), 16);
    let other = at.join("nothing.ext4");
    images::disk(
        &at.join("other.img"),
        &[(images::ESP, &esp), (images::LINUX, &other)],
    );
    let said = out(at, "diff golden.img other.img");
    assert!(
        said.contains("    - /etc/ and ") && !said.contains("nothing differs"),
        "{said}"
    );
    images::disk(
        &at.join("more.img"),
        &[
            (images::ESP, &esp),
            (images::LINUX, &root),
            (images::LINUX, &other),
        ],
    );
    let said = out(at, "diff golden.img more.img");
    let lines =
        "not compared\n  partition 3 (data) of the second file: the other has no such one\n";
    assert!(said.contains(lines), "{said}");
    assert!(
        said.contains("  + 3   16 MiB from 25 MiB, ext2/3/4, type "),
        "{said}"
    );

    images::ext4(&at.join("root"), &at.join("larger.ext4"), 20);
    let said = out(at, "diff --blocks --exit-code root.ext4 larger.ext4");
    assert!(
        said.contains("the blocks of root: the filesystems have different sizes"),
        "{said}"
    );
    assert!(said.ends_with("\nnothing differs in all else\n"), "{said}");

    two_releases(at);
    must("chmod", &[&"4777", &at.join("root/usr/bin/up")]);
    images::ext4(&at.join("root"), &at.join("new.ext4"), 16);
    let said = out(at, "diff old.ext4 new.ext4");
    assert!(
        said.contains("    ~ /usr/bin/up (content, mode 0644 -> 4777)\n"),
        "{said}"
    );
}

#[test]
fn nothing_half_written_is_left_and_nobody_reads_it_meanwhile() {
    let Some(dir) = workplace() else { return };
    let at = dir.path();
    let script = "ulimit -f 1024; exec \"$@\"";
    fs::write(at.join("root/opt.bin"), noise(3 << 20, 3)).unwrap();
    images::ext4(&at.join("root"), &at.join("root.ext4"), 16);
    let output = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(crate::support::goldsmith())
        .args(["extract", "root.ext4:/opt.bin", "copy"])
        .current_dir(at)
        .output()
        .unwrap();
    assert!(!output.status.success());
    let left = fs::symlink_metadata(at.join("copy"));
    // The limit ends the program by a signal where it is not an error.
    assert!(left.is_err() || left.unwrap().mode() & 0o077 == 0);
    out(at, "extract root.ext4:/opt.bin copy2");
    assert_eq!(fs::metadata(at.join("copy2")).unwrap().len(), 3 << 20);
    let full = run_to_full(at, "cat root.ext4:/etc/os-release");
    assert!(full.contains("No space left on device"), "{full}");
    // Names of FAT are found in any case.
    let fat = out(at, "ls golden.img:boot:/");
    assert_eq!(fat, "");
}

/// What a command says whose output goes to a full device.
fn run_to_full(at: &Path, line: &str) -> String {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = Command::new(crate::support::goldsmith())
        .args(line.split_whitespace())
        .current_dir(at)
        .stdout(full)
        .output()
        .unwrap();
    assert!(!output.status.success(), "{line}");
    stderr(&output)
}
