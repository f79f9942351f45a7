//! Messages about wrong input, word for word, with their exit codes.

use super::{PLAN, run, stderr, stdout};
use crate::support::images;
use crate::support::{goldsmith, must, scratch, tool};
use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn images_that_cannot_be_converted() {
    if !images::can_make() {
        return;
    }
    let dir = scratch();
    let at = dir.path();
    images::golden(at);
    fs::create_dir(at.join("directory")).unwrap();
    fs::write(at.join("empty.img"), "").unwrap();
    fs::write(at.join("text.img"), "no image\n".repeat(1000)).unwrap();
    fs::File::create(at.join("zeros.img"))
        .unwrap()
        .set_len(1 << 20)
        .unwrap();
    let mut iso = vec![0_u8; 1 << 20];
    iso[0x8001..0x8006].copy_from_slice(b"CD001");
    fs::write(at.join("iso.img"), iso).unwrap();
    let (root, esp) = (at.join("root.ext4"), at.join("esp.fat"));
    fs::create_dir(at.join("nothing")).unwrap();
    images::ext4(&at.join("nothing"), &at.join("nothing.ext4"), 8);
    images::disk(
        &at.join("noroot.img"),
        &[
            (images::ESP, &esp),
            (images::LINUX, &at.join("nothing.ext4")),
        ],
    );
    images::disk(
        &at.join("two.img"),
        &[(images::LINUX, &root), (images::LINUX, &root)],
    );
    let cut = fs::read(at.join("golden.img")).unwrap();
    fs::write(at.join("cut.img"), &cut[..12 << 20]).unwrap();

    let whole = "hint: convert the image of a whole disk, as read from /dev/sda or /dev/mmcblk0, not from one of its partitions\n";
    let cases = [
        ("missing.img", "error: opening missing.img: No such file or directory\n".to_owned()),
        ("directory", "error: directory is a directory, not an image\nhint: give the image file\n".to_owned()),
        ("empty.img", "error: the image is empty (0 bytes)\nhint: the file was not written to its end: download or copy it again\n".to_owned()),
        ("-", "error: the image is empty (0 bytes)\nhint: the file was not written to its end: download or copy it again\n".to_owned()),
        ("text.img", format!("error: reading the partition table: no partition table: the image contains unknown data\n{whole}")),
        ("zeros.img", format!("error: reading the partition table: no partition table: the image contains only zeros\n{whole}")),
        ("iso.img", "error: reading the partition table: no partition table: the image contains an ISO 9660 filesystem (an installer or live system)\nhint: install the system on a disk, and convert the image of a whole disk, as read from /dev/sda or /dev/mmcblk0\n".to_owned()),
        (
            "root.ext4",
            format!(
                "error: reading the partition table: no partition table: the image contains a bare ext2, ext3 or ext4 filesystem, not a disk\n{whole}"
            ),
        ),
        (
            "noroot.img",
            "error: no partition contains a root filesystem (ext2, ext3 or ext4 with an operating system on it); the disk has partition 1 \
             (8 MiB, FAT), partition 2 (8 MiB, ext2/3/4)\nhint: if one of them is the right one, select it: --set root.partition=NUMBER; a system \
             that is packed into files there has to be copied to an ext4 partition of a new image: docs/golden-image.md has the commands\n"
                .to_owned(),
        ),
        (
            "two.img",
            "error: more than one partition could be the root filesystem: partition 1 (16 MiB, ext2/3/4), partition 2 (16 MiB, \
             ext2/3/4)\nhint: select one with `root.partition`, as in --set root.partition=1\n"
                .to_owned(),
        ),
    ];
    for (image, expected) in cases {
        let output = run(at, &format!("{PLAN} {image}"));
        assert_eq!(
            (stderr(&output), output.status.code()),
            (expected, Some(1)),
            "{image}"
        );
        assert!(output.stdout.is_empty());
    }
    let output = run(at, &format!("{PLAN} cut.img"));
    assert!(
        stderr(&output).starts_with("error: reading the partition table: ")
            && output.status.code() == Some(1),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_system_in_pieces_or_doubled_is_told_as_what_it_is() {
    if !images::can_make() {
        return;
    }
    let dir = scratch();
    let at = dir.path();
    images::golden(at);

    let id = "11111111-2222-3333-4444-555555555555";
    fs::create_dir(at.join("boot")).unwrap();
    fs::write(at.join("boot/vmlinuz-6.1.0-1"), "kernel").unwrap();
    images::ext4(&at.join("boot"), &at.join("boot.ext4"), 8);
    must(
        tool("tune2fs").expect("it comes with mke2fs"),
        &[&"-U", &id, &at.join("boot.ext4")],
    );
    let fstab = format!(
        "UUID=1-2 / ext4 defaults 0 1\nUUID={id} /boot ext4 defaults 0 2\n/dev/sda4 /home ext4 defaults 0 2\n"
    );
    fs::write(at.join("root/etc/fstab"), fstab).unwrap();
    images::ext4(&at.join("root"), &at.join("pieces.ext4"), 16);
    let parts = [
        (images::ESP, "esp.fat"),
        (images::LINUX, "boot.ext4"),
        (images::LINUX, "pieces.ext4"),
    ]
    .map(|(kind, file)| (kind, at.join(file)));
    let parts: Vec<(&str, &Path)> = parts
        .iter()
        .map(|(kind, file)| (*kind, file.as_path()))
        .collect();
    images::disk(&at.join("pieces.img"), &parts);
    let output = run(at, &format!("{PLAN} pieces.img"));
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in [
        "error: partition 2 (8 MiB, ext4, ",
        ": vmlinuz-6.1.0-1) is mounted on /boot by /etc/fstab line 2: it would be left out",
        "\nhint: make its files a part of both root filesystems (or \"drop\" them):\n[[partition]]\n\
         number = 2\ndo = \"merge\"\n",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }

    let convert = PLAN.replacen(
        "plan",
        "convert -s output.name=done -s storage.size=128MiB -s data.size=16MiB",
        1,
    );
    let output = run(at, &format!("{convert} --output-dir . golden.img"));
    assert!(output.status.success(), "{}", stderr(&output));
    let output = run(at, &format!("{PLAN} done.img"));
    let said = stderr(&output);
    assert!(
        said.starts_with("error: this image was converted before: partition 2 (")
            && output.status.code() == Some(1),
        "{said}"
    );
    let output = run(at, &format!("{PLAN} -s root.partition=2 --json done.img"));
    assert!(
        stdout(&output).contains("this image was converted before"),
        "{}",
        stderr(&output)
    );
}

/// The small golden image, and files that settings name.
pub(super) fn workplace() -> Option<tempfile::TempDir> {
    if !images::can_make() {
        return None;
    }
    let dir = scratch();
    let at = dir.path();
    images::golden(at);
    fs::write(at.join("bad.toml"), "[storage\n").unwrap();
    fs::write(at.join("unknown.toml"), "[storage]\nsise = 1\n").unwrap();
    fs::write(at.join("no.key"), "no key\n").unwrap();
    Some(dir)
}

/// A plan with the arguments `what`.
pub(super) fn on(what: &str) -> String {
    format!("plan -q -c qemux86-64 -s client.required=false -n r1 {what} golden.img")
}

/// Runs each line, which must end with `code` and this message.
pub(super) fn refused(at: &Path, code: i32, cases: &[(String, String)]) {
    for (line, expected) in cases {
        let output = run(at, line);
        assert_eq!(
            (stderr(&output), output.status.code()),
            (expected.clone(), Some(code)),
            "{line}"
        );
        assert!(output.stdout.is_empty(), "{line}");
    }
}

#[test]
fn arguments_and_configurations_that_are_wrong() {
    let Some(dir) = workplace() else { return };
    let usage = |what: &str| format!("{what}\n\nFor more information, try '--help'.\n");
    let cases = [
        (
            "convert -q golden.img".to_owned(), "error: the Artifact has no name\nhint: name the release: --artifact-name release-1\n".to_owned(),
        ),
        (
            "convert -q -c qemux86-64 -s client.required=false golden.img".to_owned(), "error: the Artifact has no name\nhint: name the release: --artifact-name release-1\n".to_owned(),
        ),
        (
            "plan -q -c qemux86_64 -n r1 golden.img".to_owned(), "error: reading qemux86_64: No such file or directory\nhint: did you mean `qemux86-64`? The path of a file must end in `.toml` \
             or contain a `/`\n"
                .to_owned(),
        ),
        (on("-c none.toml"), "error: reading none.toml: No such file or directory\n".to_owned()),
        (on("-c unknown.toml"), "error: unknown.toml:2:1: unknown key `storage.sise`\nhint: did you mean `storage.size`?\n".to_owned()),
        (on("-s storage.sise=1"), "error: --set storage.sise: unknown key `storage.sise`\nhint: did you mean `storage.size`?\n".to_owned()),
        (on("-s storage.size=a"), "error: --set storage.size: `a` is not a unit of size (B, KiB, MiB, GiB, TiB, kB, MB, GB, TB)\n".to_owned()),
        (on("-s storage"), "error: --set storage: expected KEY=VALUE\nhint: for example `--set root.size=2GiB`\n".to_owned()),
        (
            on("-s storage.table=mbr -s storage.size=4TiB"), "error: --set storage.size: 4 TiB exceeds the maximum of 2 TiB\n".to_owned(),
        ),
        (
            on("-s storage.table=keep -s storage.disk-id=8f2c11d0"), "error: storage.disk-id does not fit the disk's GPT\nhint: write 8 hexadecimal digits for an MBR, a GUID for a \
             GPT, or choose the table with storage.table\n"
                .to_owned(),
        ),
    ];
    refused(dir.path(), 1, &cases);
    let cases = [
        (
            "plan -n a\u{200b}b golden.img".to_owned(),
            usage(
                "error: invalid value 'a\u{200b}b' for '--artifact-name <NAME>': an invisible character (\\u{200b})",
            ),
        ),
        (
            "convert -j 0 golden.img".to_owned(),
            usage("error: invalid value '0' for '--jobs <N>': 0 is not in 1..=1024"),
        ),
    ];
    refused(dir.path(), 2, &cases);
}

#[test]
fn settings_that_cannot_be_followed() {
    let Some(dir) = workplace() else { return };
    let cases = [
        (
            on("-s root.partition=9"), "error: root.partition is 9 but there is no partition 9; the disk has partition 1 (8 MiB, FAT), partition 2 (16 MiB, \
             ext2/3/4)\nhint: set root.partition to the number of one with ext2/3/4, or leave it out: then the partition is found by what it contains\n"
                .to_owned(),
        ),
        (
            on("-s root.partition=1"), "error: root.partition is 1 but partition 1 contains FAT, not ext2/3/4; the disk has partition 1 (8 MiB, FAT), partition 2 (16 \
             MiB, ext2/3/4)\nhint: set root.partition to the number of one with ext2/3/4, or leave it out: then the partition is found by what it contains\n"
                .to_owned(),
        ),
        (
            on("--overlay none --overlay root.ext4"), "error: reading an overlay: reading none: No such file or directory\nerror: reading an overlay: root.ext4: not a directory\n"
                .to_owned(),
        ),
        (on("-s client.packages=none.deb"), "error: opening the package none.deb: No such file or directory\n".to_owned()),
        (
            on("-s client.packages=*.deb"), "error: client.packages: *.deb matches no file\nhint: relative paths are resolved against the config file's directory\n".to_owned(),
        ),
        (on("-s artifact.key=none"), "error: reading the signing key none: No such file or directory\nhint: artifact.key takes the private key (PEM, RSA or ECDSA P-256, without a password), such as `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out artifact.key` makes; its public half belongs in server.verify-key\n".to_owned()),
        (
            on("-s artifact.scripts=no.key"), "error: making the Artifact: state script `no.key` does not begin with one of ArtifactInstall, ArtifactReboot, ArtifactCommit, \
             ArtifactRollback, ArtifactRollbackReboot, ArtifactFailure\n"
                .to_owned(),
        ),
        (on("-s server.certificate=none"), "error: server.certificate: reading none: No such file or directory\n".to_owned()),
    ];
    refused(dir.path(), 1, &cases);
}

#[test]
fn messages_of_others_name_their_place() {
    let Some(dir) = workplace() else { return };
    let at = dir.path();
    // The words of others are theirs; the place is ours.
    for (line, code, start) in [
        (on("-c bad.toml"), 1, "error: bad.toml:1:9: "),
        (
            on("-s artifact.key=no.key"),
            1,
            "error: reading the signing key no.key: ",
        ),
        (
            "conver golden.img".to_owned(),
            2,
            "error: unrecognized subcommand 'conver'\n",
        ),
        (
            on("-s boot.bootloader=u-boot"),
            1,
            "error: boot.bootloader is u-boot, which is supported on arm64 and armhf; the image is for amd64\nhint: ",
        ),
        (
            "artifact show golden.img".to_owned(),
            1,
            "error: reading golden.img: ",
        ),
    ] {
        let output = run(at, &line);
        assert!(
            stderr(&output).starts_with(start) && output.status.code() == Some(code),
            "{line}: {}",
            stderr(&output)
        );
    }
    let output = Command::new(goldsmith())
        .args(on("").split_whitespace())
        .current_dir(at)
        .env("SOURCE_DATE_EPOCH", "today")
        .output();
    let output = output.unwrap();
    assert_eq!(
        stderr(&output),
        "error: SOURCE_DATE_EPOCH is `today`, not a number of seconds since 1970\n"
    );
    assert_eq!(output.status.code(), Some(2));
}
