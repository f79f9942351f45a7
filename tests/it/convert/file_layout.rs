//! `--preserve-layout`: a release that reuses the block layout of an earlier one, which may be
//! named in several ways.

use crate::support::images::{convert, small};
use crate::support::{must, run, scratch, tool};
use std::fs;
use std::path::Path;

/// Converts the small image into `out`, named `r`, laid out by `like` and with an overlay, where
/// there are any.
fn release(small: &Path, out: &Path, like: Option<&Path>, overlay: Option<&Path>) {
    let mut command = convert(small, out);
    command.args([
        "--quiet",
        "--set",
        "output.name=r",
        "--set",
        "output.rootfs=true",
        "--set",
        "output.file-layout=true",
    ]);
    for (option, value) in [("--preserve-layout", like), ("--overlay", overlay)] {
        command.args(
            value
                .map(|value| [option.as_ref(), value.as_os_str()])
                .into_iter()
                .flatten(),
        );
    }
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn record(dir: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(dir.join("r.json")).unwrap()).unwrap()
}

fn changed(old: &Path, new: &Path) -> usize {
    let (old, new) = (fs::read(old).unwrap(), fs::read(new).unwrap());
    assert_eq!(old.len(), new.len());
    old.chunks(4096)
        .zip(new.chunks(4096))
        .filter(|(old, new)| old != new)
        .count()
}

#[test]
fn every_way_to_name_an_older_release_gives_the_same_and_few_blocks_change() {
    let Some(small) = small() else { return };
    let scratch = scratch();
    let at = |name: &str| scratch.path().join(name);
    release(small, &at("older"), None, None);
    // A file in the first directory, and one that takes the place of another.
    fs::create_dir_all(at("overlay/bin")).unwrap();
    fs::create_dir_all(at("overlay/usr/share/many/3")).unwrap();
    fs::write(at("overlay/bin/a-new-one"), "new").unwrap();
    fs::write(at("overlay/usr/share/many/3/a-file-with-number-3"), "other").unwrap();
    let overlay = at("overlay");
    release(small, &at("alone"), None, Some(&overlay));
    for older in ["r.img", "r.ext4", "r.json"] {
        release(
            small,
            &at(older),
            Some(&at("older").join(older)),
            Some(&overlay),
        );
        for name in ["r.img", "r.mender", "r.places"] {
            assert!(
                fs::read(at(older).join(name)).unwrap()
                    == fs::read(at("r.img").join(name)).unwrap(),
                "{name} by {older}"
            );
        }
        // The record says which list of places that was.
        let outputs = record(&at("older"))["outputs"].clone();
        let places = outputs
            .as_array()
            .unwrap()
            .iter()
            .find(|output| output["kind"] == "places")
            .unwrap();
        assert_eq!(record(&at(older))["root"]["like"], places["sha256"]);
    }
    assert!(record(&at("alone"))["root"].get("like").is_none());
    let root = at("r.img").join("r.ext4");
    let (few, many) = (
        changed(&at("older/r.ext4"), &root),
        changed(&at("older/r.ext4"), &at("alone/r.ext4")),
    );
    assert!(
        few < 60 && few * 10 < many,
        "{few} blocks changed, without --preserve-layout {many}"
    );
    if let Some(e2fsck) = tool("e2fsck") {
        must(e2fsck, &[&"-fn", &root]);
    }
    if let Some(debugfs) = tool("debugfs") {
        assert_eq!(must(debugfs, &[&"-R", &"cat /bin/a-new-one", &root]), "new");
    }
}

#[test]
fn what_cannot_be_followed_is_said() {
    let Some(small) = small() else { return };
    let scratch = scratch();
    let dir = scratch.path();
    fs::write(
        dir.join("without.json"),
        r#"{"outputs": [{"kind": "image", "file": "x.img"}]}"#,
    )
    .unwrap();
    fs::write(
        dir.join("elsewhere.json"),
        r#"{"outputs": [{"kind": "places", "file": "../../x.places"}]}"#,
    )
    .unwrap();
    fs::write(
        dir.join("damaged.json"),
        r#"{"outputs": [{"kind": "places", "file": "damaged.places"}]}"#,
    )
    .unwrap();
    fs::write(
        dir.join("damaged.places"),
        "goldsmith places 1 size 4096\n12 0+1 /a\n12 0+x /b\n",
    )
    .unwrap();
    fs::write(dir.join("text.img"), "no image\n".repeat(1000)).unwrap();
    fs::write(
        dir.join("packed.img.gz"),
        [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0],
    )
    .unwrap();
    let cases = [
        (
            "without.json",
            "the record names no file layout\nhint: use the image",
        ),
        (
            "elsewhere.json",
            "elsewhere.json: reading DIR/x.places: No such file",
        ),
        (
            "damaged.json",
            "reading DIR/damaged.places: line 3 of the file layout is malformed",
        ),
        ("missing.ext4", "opening DIR/missing.ext4: No such file"),
        ("text.img", "no partition table"),
        (
            "packed.img.gz",
            "the image is compressed\nhint: decompress it",
        ),
    ];
    for (name, due) in cases {
        let output = run(
            "env",
            &[
                &crate::support::goldsmith(),
                &"plan",
                &"-q",
                &"-c",
                &"qemux86-64",
                &"-n",
                &"r",
                // The older name of --preserve-layout.
                &"--like",
                &dir.join(name),
                &small,
            ],
        );
        let said =
            String::from_utf8_lossy(&output.stderr).replace(&dir.display().to_string(), "DIR");
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.starts_with(&format!("error: reading the file layout of DIR/{name}: "))
                && said.contains(due),
            "{said}"
        );
    }
}
