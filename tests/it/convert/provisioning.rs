//! The archive for Raspberry Pi's provisioner and the manifest for its imager, judged by a program
//! that knows the public descriptions of their formats and none of our code.

use super::conversions::partitions;
use crate::plan::boards::{fine, refused, run, text, write};
use crate::support::{must, scratch, tool};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const SMALL: &str = "-q -n r1 -c raspberrypi5-64 -s client.required=false -s storage.size=768MiB -s data.size=16MiB -s artifact.compression=none -s output.name=out --output-dir out";
const BOTH: &str =
    "-s output.idp=true -s output.imager=true -s output.imager-url=https://example.com/images";

/// Debian's Python, which has Debian's modules.
const PYTHON: &str = "/usr/bin/python3";

fn place(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Whether all tools are there; says which is not.
fn can_run() -> bool {
    let mut command = Command::new(PYTHON);
    let output = command.args(["-c", "import jsonschema"]).output();
    let python = output.is_ok_and(|output| output.status.success());
    if !python {
        assert!(
            std::env::var_os("CI").is_none(),
            "python3-jsonschema is missing; `make setup` installs it"
        );
        println!("skipped: python3-jsonschema is not installed");
    }
    let tools = [
        "mke2fs",
        "mkfs.vfat",
        "sfdisk",
        "mcopy",
        "xz",
        "zstd",
        "tar",
        "perl",
    ];
    python && tools.iter().all(|name| tool(name).is_some())
}

/// A directory with a replica of Raspberry Pi OS.
fn golden(name: &str) -> tempfile::TempDir {
    let dir = scratch();
    let image = dir.path().join("pi.img");
    must(place("fixtures/pi-os.sh"), &[&name, &image]);
    dir
}

#[test]
fn the_provisioner_and_the_imager_take_what_is_written_for_them() {
    if !can_run() {
        return;
    }
    let dir = golden("13-arm64-lite");
    let at = dir.path();
    let manifest = judged(at, "");
    for part in [
        "\"init_format\": \"cloudinit-rpi\"",
        "\"url\": \"https://example.com/images/out.img.xz\"",
        "\"pi5-64bit\"",
    ] {
        assert!(manifest.contains(part), "{part}\n{manifest}");
    }
    let record = fs::read_to_string(at.join("out/out.json")).unwrap();
    for part in [
        "\"idp\"",
        "\"imager\"",
        "out.idp.tar.zst",
        "out.os-list.json",
    ] {
        assert!(record.contains(part), "{part}");
    }
    // A boot partition for each slot: what the replica lacks of a real system is laid over it.
    for name in ["usr/sbin/mkfs.vfat", "usr/lib/systemd/systemd-udevd"] {
        write(at, &format!("more/{name}"), "program");
    }
    let overlay = "[[overlay]]\ndir = \"more\"\n[boot]\ntryboot = \"partitions\"\n[storage]\ntable = \"gpt\"\n";
    write(at, "six.toml", overlay);
    fs::remove_dir_all(at.join("out")).unwrap();
    fs::remove_dir_all(at.join("unpacked")).unwrap();
    // The imager would write its settings to the partition with autoboot.txt.
    let manifest = judged(at, "-c six.toml -s boot.size=64MiB");
    assert!(manifest.contains("\"init_format\": \"none\""), "{manifest}");
}

/// Converts the image in `at`, has what is written judged, and returns the manifest.
fn judged(at: &Path, more: &str) -> String {
    fine(
        at,
        &format!("convert {SMALL} {BOTH} -s output.image=xz {more} pi.img"),
    );
    let out = at.join("out");
    let unpacked = at.join("unpacked");
    fs::create_dir(&unpacked).unwrap();
    let archive = out.join("out.idp.tar.zst");
    must("tar", &[&"--zstd", &"-C", &unpacked, &"-xf", &archive]);
    let disk = at.join("disk");
    let line = format!(
        "xz -dc {} >{}",
        out.join("out.img.xz").display(),
        disk.display()
    );
    must("sh", &[&"-c", &line]);
    let schemas = place("tests/it/convert/provisioning");
    let manifest = out.join("out.os-list.json");
    let judge = schemas.join("judge.py");
    must(PYTHON, &[&judge, &schemas, &unpacked, &disk, &manifest]);
    fs::read_to_string(manifest).unwrap()
}

#[test]
fn the_imagers_settings_are_offered_where_they_last() {
    if !can_run() {
        return;
    }
    let dir = golden("12-arm64-lite");
    let at = dir.path();
    let line = format!("plan {SMALL} {BOTH} pi.img").replace(" -q ", " ");
    let formats = |at: &Path| {
        let said = run(at, &line);
        let said = text(&said.stderr);
        let is_none = said.contains("(init_format none)");
        assert_eq!(
            said.contains("/firstrun.sh): each root"),
            !is_none,
            "{said}"
        );
        is_none
    };
    assert!(!formats(at));
    // Without the program that the imager's script calls.
    let image = at.join("pi.img");
    let slot = format!(
        "{}?offset={}",
        image.display(),
        partitions(&image)[&2].start
    );
    let remove = "rm /usr/lib/raspberrypi-sys-mods/imager_custom";
    must(tool("debugfs").unwrap(), &[&"-w", &"-R", &remove, &slot]);
    assert!(formats(at));
    for (settings, part) in [
        ("-s output.imager=true", "output.imager-url"),
        (
            "-s output.imager=true -s output.imager-url=file:///srv -s output.image=qcow2",
            "raw images",
        ),
        (
            "-s output.idp=true -s board.pi-models=[\"cm3\"]",
            "board.pi-models names no model",
        ),
    ] {
        let said = refused(at, &format!("plan {SMALL} {settings} pi.img"), 1);
        assert!(
            said.contains(part) && said.contains("hint: "),
            "{settings}: {said}"
        );
    }
}
