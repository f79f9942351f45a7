//! Slips of people in a hurry: the wrong file, the wrong place, a word that is nearly right. Each
//! with the text that says what is meant, or what would be.

mod supplies;

use super::messages::{on, refused, workplace};
use super::{run, stderr};
use crate::support::tool;
use std::fs;
use std::process::Command;

fn case(line: &str, text: &str) -> (String, String) {
    (line.to_owned(), text.to_owned())
}

#[test]
fn arguments_in_the_wrong_place() {
    let Some(dir) = workplace() else { return };
    let at = dir.path();
    fs::write(at.join("device.toml"), "extends = \"qemux86-64\"\n").unwrap();
    let bare = |command: &str| {
        format!(
            "error: device.toml is named without -c\nhint: write `goldsmith {command} -c device.toml ...`\n"
        )
    };
    let cases = [
        case("convert device.toml golden.img", &bare("convert")),
        case("plan device.toml golden.img", &bare("plan")),
        case("doctor device.toml golden.img", &bare("doctor")),
        case("check device.toml", &bare("check")),
        case(
            "device.toml",
            "error: `device.toml` is not a command of goldsmith\nhint: did you mean `goldsmith plan -c device.toml IMAGE`?\n",
        ),
        case(
            "fleet fleet.toml",
            "error: `fleet.toml` is not a command of goldsmith\nhint: did you mean `goldsmith fleet convert fleet.toml`?\n",
        ),
        case(
            "plan -c device.toml",
            "error: the golden image is missing\nhint: name it as the last argument, after the configuration\n",
        ),
        case(
            "check",
            "error: the configuration is missing\nhint: name it with -c, as in `-c device.toml`; `goldsmith init IMAGE` writes one\n",
        ),
        case(
            "lock golden.img",
            "error: the configuration is missing\nhint: name it with -c, as in `-c device.toml`; `goldsmith init IMAGE` writes one\n",
        ),
        case(
            "cat golden.img etc/os-release",
            "error: `etc/os-release` is an argument too many\nhint: did you mean golden.img:/etc/os-release?\n",
        ),
        case(
            "ls golden.img /etc",
            "error: `/etc` is an argument too many\nhint: did you mean golden.img:/etc?\n",
        ),
        case(
            "diff - -",
            "error: only one of the two can be standard input\n",
        ),
        case(
            "flash - device",
            "error: an image is not flashed from standard input: it would have no block map\nhint: write it to a file, and name that\n",
        ),
    ];
    refused(at, 2, &cases);
}

#[test]
fn files_of_another_kind() {
    let Some(dir) = workplace() else { return };
    let at = dir.path();
    fs::write(at.join("device.toml"), "extends = \"qemux86-64\"\n").unwrap();
    fs::write(at.join("notes.txt"), "x\n").unwrap();
    let configuration = "error: device.toml is a configuration, not an image\n\
                         hint: write -c device.toml, and the golden image as the last argument\n";
    let record =
        "hint: a record is the file NAME.json that a conversion writes next to the image\n";
    let cases = [
        case("plan -q device.toml", configuration),
        case("convert -q -n r1 device.toml", configuration),
        case("doctor device.toml", configuration),
        case("inspect device.toml", configuration),
        case(
            &on("-c golden.img"),
            "error: reading golden.img: it is larger than 1 MiB, the limit for a configuration\n\
             hint: -c names a configuration; the golden image is the last argument\n",
        ),
        case(
            "check -c golden.img",
            "error: reading golden.img: it is larger than 1 MiB, the limit for a configuration\n\
             hint: -c names a configuration; the golden image is the last argument\n",
        ),
        case(
            "fleet convert golden.img",
            "error: reading golden.img: it is larger than 128 KiB, the limit for a fleet\n\
             hint: the argument is a TOML file with boards, releases and variants (docs/fleet.md); one image is \
             converted by `goldsmith convert`\n",
        ),
        case(
            &on("--upgrade-from golden.img"),
            &format!(
                "error: reading the record golden.img: it is larger than 16 MiB, the limit for a record\n{record}"
            ),
        ),
        case(
            &on("--upgrade-from notes.txt"),
            &format!(
                "error: reading the record notes.txt: expected value at line 1 column 1\n{record}"
            ),
        ),
        case(
            "migrate device.toml",
            "error: device.toml is TOML already\nhint: name configurations of mender-convert, which are shell scripts\n",
        ),
        case(
            &on("--overlay notes.txt"),
            "error: reading an overlay: notes.txt: not a directory\n",
        ),
        case(
            &on("-s server.certificate=notes.txt"),
            "error: server.certificate: notes.txt is not a certificate\n\
             hint: name the server's certificate, or that of its authority, in PEM form\n",
        ),
    ];
    refused(at, 1, &cases);
}

#[test]
fn images_in_the_place_of_artifacts() {
    let Some(dir) = workplace() else { return };
    let at = dir.path();
    let mut images = vec!["golden.img"];
    let mut also = |name: &'static str, program: &str, args: &[&str]| {
        if let Some(program) = tool(program) {
            let mut run = Command::new(program);
            assert!(run.args(args).current_dir(at).status().unwrap().success());
            images.push(name);
        }
    };
    also("golden.img.gz", "gzip", &["-k", "golden.img"]);
    also("golden.img.xz", "xz", &["-k0", "golden.img"]);
    also("golden.img.zst", "zstd", &["-q", "golden.img"]);
    also(
        "golden.qcow2",
        "qemu-img",
        &["convert", "-O", "qcow2", "golden.img", "golden.qcow2"],
    );
    for image in images {
        for command in ["show", "validate"] {
            let output = run(at, &format!("artifact {command} {image}"));
            let said = stderr(&output);
            assert!(
                said.starts_with(&format!("error: reading {image}: "))
                    && said.ends_with(
                        "\nhint: an Artifact is a file NAME.mender; `goldsmith inspect` shows a disk image\n"
                    ),
                "{said}"
            );
            assert!(output.status.code() == Some(1) && output.stdout.is_empty());
        }
    }
    for other in ["no.key", "root.ext4"] {
        let said = stderr(&run(at, &format!("artifact show {other}")));
        assert!(
            said.starts_with(&format!("error: reading {other}: ")) && !said.contains("hint: "),
            "{said}"
        );
    }
}

#[test]
fn names_that_are_nearly_right() {
    let Some(dir) = workplace() else { return };
    let at = dir.path();
    fs::write(at.join("device.toml"), "extends = \"qemux86-64\"\n").unwrap();
    let cases = [
        case(
            &on("-c devcie.toml"),
            "error: reading devcie.toml: No such file or directory\nhint: did you mean device.toml?\n",
        ),
        case(
            "inspect goldne.img",
            "error: opening goldne.img: No such file or directory\nhint: did you mean golden.img?\n",
        ),
        case(
            "inspect golden.img.xz",
            "error: opening golden.img.xz: No such file or directory\nhint: did you mean golden.img?\n",
        ),
        case(
            "ls golden.img/etc",
            "error: opening golden.img/etc: Not a directory\nhint: did you mean golden.img:/etc?\n",
        ),
        case(
            "cat golden.img:etc/os-release",
            "error: there is no partition `etc/os-release`: 1 (boot, FAT), 2 (root, ext4)\n\
             hint: did you mean IMAGE:/etc/os-release?\n",
        ),
        case(
            "cat golden.img",
            "error: / is a directory\n\
             hint: name a file, as in golden.img:/etc/os-release; `goldsmith ls` lists directories\n",
        ),
        case(
            &on("-s boot.bootloader=grub"),
            "error: --set boot.bootloader: `grub` is not one of `auto`, `grub-efi`, `u-boot`, `rpi-tryboot`\n\
             hint: did you mean `grub-efi`?\n",
        ),
        case(
            &on("-s output.image=img.gz"),
            "error: --set output.image: `img.gz` is not one of `raw`, `gz`, `xz`, `zst`, `qcow2`, `android-sparse`, \
             `none`\nhint: did you mean `gz`?\n",
        ),
        case(
            &on("-s server.url=hosted.mender.io"),
            "error: --set server.url: `hosted.mender.io` is not a URL: did you mean `https://hosted.mender.io`?\n",
        ),
    ];
    refused(at, 1, &cases);
}

#[test]
fn values_in_another_form() {
    let Some(dir) = workplace() else { return };
    let list =
        "hint: a list is written `KEY=[\"one\", \"two\"]`, and in a shell in single quotes\n";
    let cases = [
        case(
            &on("-s client.packages=[a,b"),
            &format!(
                "error: --set client.packages: the value begins with `[`, but is not TOML\n{list}"
            ),
        ),
        case(
            &on("-s client.packages=[a,b]"),
            &format!(
                "error: --set client.packages: the value begins with `[`, but is not TOML\n{list}"
            ),
        ),
        case(
            &on("-s storage={size=8}x"),
            "error: --set storage: the value begins with `{`, but is not TOML\n\
             hint: a table is written `KEY={ a = \"one\", b = 2 }`, and in a shell in single quotes\n",
        ),
        case(
            &on("-s root.size=50%"),
            "error: --set root.size: a size has no percentage; write it with a unit, such as `2 GiB`\n",
        ),
        case(
            &on("-s storage.size=-1GiB"),
            "error: --set storage.size: `-1GiB` is negative, and a size is not\n",
        ),
        case(
            &on("-s storage.size=8"),
            "error: --set storage.size: 8 without a unit is 8 bytes: write `8 GiB` if that is meant, or `8 B`\n",
        ),
        case(
            &on("-s board.device-type="),
            "error: --set board.device-type: an empty string\n",
        ),
        case(
            &on("-s data.grow=yes"),
            "error: --set data.grow: expected true or false, found a string\n",
        ),
    ];
    refused(dir.path(), 1, &cases);
}

#[test]
fn an_image_without_a_client() {
    let Some(dir) = workplace() else { return };
    let text = "error: the image has no update client: nothing could be updated on its devices\n\
                hint: set client.bundle or client.packages, or install a client in the golden image (docs/client.md); \
                client.required = false converts the image without one\n";
    let cases = [
        case(
            "plan -q -c qemux86-64 -s client.required=true -n r1 golden.img",
            text,
        ),
        case(
            "convert -q -c qemux86-64 -s client.required=true -n r1 golden.img",
            text,
        ),
        case(
            "convert -q --no-verify -c qemux86-64 -s client.required=true -n r1 golden.img",
            text,
        ),
    ];
    refused(dir.path(), 1, &cases);
    assert!(!dir.path().join("deploy").exists());
}

/// What a plan says at its end, and a comparison that finds nothing.
#[test]
fn success_is_said() {
    let Some(dir) = workplace() else { return };
    let at = dir.path();
    let output = run(at, &on("-s storage.size=256MiB -s data.size=16MiB"));
    let text = super::stdout(&output);
    let last = text.lines().last().unwrap_or_default();
    assert!(
        last.starts_with(
            "Nothing is refused: a disk of 256 MiB and an Artifact of a root filesystem of "
        ) && last.ends_with("; the data partition has 16 MiB, which grows at the first start."),
        "{text}"
    );
    let small = "-c qemux86-64 -s client.required=false -s storage.size=256MiB -s data.size=16MiB golden.img";
    let first = run(at, &format!("convert -q -n r0 {small}"));
    assert!(first.status.success(), "{}", stderr(&first));
    let record = "deploy/golden-qemux86-64-r0.json";
    let second = run(at, &format!("plan -n r1 --upgrade-from {record} {small}"));
    let said = stderr(&second);
    let note = format!(
        "note: devices that run r0 can install this release: device types, disk and partitions, slots, boot loader, data partition, update client, Artifact and its signature were compared with {record}\n"
    );
    assert!(second.status.success() && said.contains(&note), "{said}");
}
