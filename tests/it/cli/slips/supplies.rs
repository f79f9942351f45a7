//! What a conversion is given falls short: room on the disk, downloads, packages, names of
//! releases.

use super::super::stdout;
use super::{on, refused, run, stderr, workplace};
use crate::support::{Memory, images, must, root, tool};
use std::fs;
use std::path::Path;
use std::process::Command;

/// A conversion that is small and quick.
const SMALL: &str =
    "-c qemux86-64 -s client.required=false -s storage.size=256MiB -s data.size=16MiB";

/// The room is compared with the plan: the same words before a conversion, and in its place.
#[test]
fn too_little_room_is_said_before_anything_is_written() {
    if !root() {
        return;
    }
    let Some(dir) = workplace() else { return };
    let at = dir.path();
    let _disk = Memory::new(at.join("small"), "size=1M");
    let numbers = |text: &str| -> Vec<u64> {
        let bytes = text.split(" (").skip(1);
        let bytes = bytes.filter_map(|rest| rest.split_once(" bytes)"));
        bytes
            .filter_map(|(number, _)| number.parse().ok())
            .collect()
    };
    for command in ["plan", "convert"] {
        let output = run(
            at,
            &format!("{command} -q {SMALL} -n r1 -o small golden.img"),
        );
        let said = stderr(&output);
        let [needed, free] = numbers(&said)[..] else {
            panic!("{command}: {said}");
        };
        assert!(
            free == 1 << 20 && (5 << 20..9 << 20).contains(&needed),
            "{said}"
        );
        let human = format!("{:.1}", needed as f64 / f64::from(1 << 20));
        let human = human.trim_end_matches(".0");
        assert!(
            said.starts_with(&format!(
                "error: the results take at least {human} MiB ({needed} bytes), but small has 1 MiB free (1048576 bytes)\n\
                 hint: free "
            )) && said.ends_with(
                " MiB there (earlier results are replaced only once the new ones are complete), or name another directory \
                 with --output-dir; compressed results take less: output.image = \"zst\"\n"
            ),
            "{command}: {said}"
        );
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(fs::read_dir(at.join("small")).unwrap().count(), 0);
    }
}

#[test]
fn downloads_that_were_cut_short() {
    let Some(dir) = workplace() else { return };
    let at = dir.path();
    let hint = "hint: the file is incomplete or has other data after its end: download or copy it again, and compare its \
                checksum; if it was split, join the pieces with cat\n";
    for (name, packer, args, reasons) in [
        (
            "golden.img.gz",
            "gzip",
            ["-k", "-1"],
            [
                "gzip: incomplete deflate stream",
                "gzip: unexpected end of file",
            ],
        ),
        (
            "golden.img.xz",
            "xz",
            ["-k", "-0"],
            ["xz: premature eof", "xz: premature eof"],
        ),
        (
            "golden.img.zst",
            "zstd",
            ["-q", "-1"],
            ["zstd: incomplete frame", "zstd: incomplete frame"],
        ),
        (
            "golden.img.bz2",
            "bzip2",
            ["-k", "-1"],
            ["bzip2: decompression not finished but EOF reached"; 2],
        ),
    ] {
        let Some(packer) = tool(packer) else { continue };
        let mut pack = Command::new(packer);
        let packed = pack.args(args).arg("golden.img").current_dir(at).status();
        assert!(packed.unwrap().success());
        let whole = fs::read(at.join(name)).unwrap();
        // In the middle, and in what follows the data.
        for (len, reason) in [whole.len() / 2, whole.len() - 3].into_iter().zip(reasons) {
            fs::write(at.join(name), &whole[..len]).unwrap();
            let text = format!("error: opening {name}: damaged {reason}\n{hint}");
            let line = |what: &str| (what.replace("IMAGE", name), text.clone());
            let cases = [
                line(&on("").replace("golden.img", "IMAGE")),
                line(&format!("convert -q {SMALL} -n r1 IMAGE")),
                line("inspect IMAGE"),
                line("doctor IMAGE"),
            ];
            refused(at, 1, &cases);
        }
        fs::remove_file(at.join(name)).unwrap();
    }
    assert!(!at.join("deploy").exists());
}

/// A package of nothing but fields.
fn package(at: &Path, name: &str, fields: &str) {
    let tree = at.join(format!("{name}.tree"));
    fs::create_dir_all(tree.join("DEBIAN")).unwrap();
    let control = format!(
        "Package: {name}\nVersion: 1.0\nArchitecture: amd64\n{fields}Maintainer: x <x@example.org>\nDescription: x\n"
    );
    fs::write(tree.join("DEBIAN/control"), control).unwrap();
    let deb = at.join(format!("{name}.deb"));
    must(
        "dpkg-deb",
        &[&"-Zgzip", &"--root-owner-group", &"--build", &tree, &deb],
    );
}

#[test]
fn packages_that_others_need_are_named_together_with_the_way_to_them() {
    let Some(dir) = workplace() else { return };
    if tool("dpkg-deb").is_none() {
        return;
    }
    let at = dir.path();
    package(at, "client", "Depends: libclient (>= 2), helper\n");
    package(
        at,
        "helper",
        "Pre-Depends: init\nDepends: libhelper | libother\n",
    );
    let install = on("-s client.packages=[\"client.deb\",\"helper.deb\"]");
    // Nothing says what the image is for, and no package is there.
    let of_image = ["client", "helper"].map(|name| {
        format!(
            "error: package {name} 1.0 is for amd64, and the image's dpkg database does not say what the image is for: \
             it has no package dpkg\n\
             hint: packages can be installed where dpkg is: check /var/lib/dpkg/status of the golden image\n"
        )
    });
    let missing = "error: package client 1.0 depends on libclient (>= 2); the image has none\n\
                   error: package helper 1.0 depends on libhelper | libother; the image has none\n\
                   error: package helper 1.0 pre-depends on init; the image has none\n\
                   hint: add them, for the image's release and architecture, to the packages: on such a system (a \
                   container is enough), `apt-get download init libclient libhelper` fetches these, and `apt-get install \
                   --download-only init libclient libhelper` what they need in turn, too; scripts of packages that lack \
                   something are judged once it is there\n";
    refused(at, 1, &[(install.clone(), of_image.concat() + missing)]);
    let status =
        "Package: dpkg\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.21\n\n";
    fs::write(at.join("root/var/lib/dpkg/status"), status).unwrap();
    change(at);
    refused(at, 1, &[(install, missing.to_owned())]);
}

/// The golden image with what is in `root/` now.
fn change(at: &Path) {
    images::ext4(&at.join("root"), &at.join("root.ext4"), 16);
    images::disk(
        &at.join("golden.img"),
        &[
            (images::ESP, &at.join("esp.fat")),
            (images::LINUX, &at.join("root.ext4")),
        ],
    );
}

#[test]
fn a_name_that_a_release_has_already() {
    let Some(dir) = workplace() else { return };
    let at = dir.path();
    let convert = |name: &str| run(at, &format!("convert {SMALL} -n {name} golden.img"));
    let replaced = |kind: &str| {
        format!(
            "note: deploy/golden-qemux86-64-r1.{kind} of an earlier conversion is replaced: its bytes were others\n"
        )
    };
    // The same again is no news.
    for _ in 0..2 {
        let output = convert("r1");
        let said = stderr(&output);
        assert!(
            output.status.success() && !said.contains(" is replaced"),
            "{said}"
        );
    }
    fs::write(at.join("root/etc/motd"), "other content\n").unwrap();
    change(at);
    let output = convert("r1");
    let said = stderr(&output);
    for kind in ["img", "mender"] {
        assert!(said.contains(&replaced(kind)), "{said}");
    }
    assert!(stdout(&output).contains("deploy/golden-qemux86-64-r1.mender\n"));
    // Devices that run it would not install it.
    let record = "deploy/golden-qemux86-64-r1.json";
    let text = format!(
        "error: comparing with {record}: the earlier release has the name r1 too: its devices take the Artifact for the \
         one that they run and do not install it (field-name)\n\
         hint: give this release another name (artifact.name), or compare it with the release that devices run\n"
    );
    let before = fs::read(at.join("deploy/golden-qemux86-64-r1.mender")).unwrap();
    let cases = ["plan", "convert"].map(|command| {
        let line = format!("{command} -q {SMALL} -n r1 --upgrade-from {record} golden.img");
        (line, text.clone())
    });
    refused(at, 1, &cases);
    let after = fs::read(at.join("deploy/golden-qemux86-64-r1.mender")).unwrap();
    assert!(before == after);
    let output = run(
        at,
        &format!("convert -q {SMALL} -n r2 --upgrade-from {record} golden.img"),
    );
    assert!(output.status.success(), "{}", stderr(&output));
}
