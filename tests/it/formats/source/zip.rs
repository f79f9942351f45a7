//! Zip archives with an image.

use super::{image, opens, refused};
use crate::support::{must, scratch, tool};
use goldsmith::image::source::InputFormat;
use goldsmith::units::MIB;
use std::fs;
use std::path::PathBuf;

#[test]
fn a_zip_holds_one_image() {
    let Some(zip) = tool("zip") else { return };
    let dir = scratch();
    let path = dir.path().join("disk.img");
    let expected = image(&path);
    fs::write(dir.path().join("README"), "read").unwrap();
    fs::write(dir.path().join("other.IMG"), "no").unwrap();
    let pack = |name: &str, members: &[&str]| -> PathBuf {
        let out = dir.path().join(format!("{name}.zip"));
        let members = members
            .iter()
            .map(|m| dir.path().join(m).display().to_string())
            .collect::<Vec<_>>()
            .join(" ");
        must(
            "sh",
            &[
                &"-c",
                &format!("{} -q -j {} {members}", zip.display(), out.display()),
            ],
        );
        out
    };
    let form = InputFormat::Zip {
        member: "disk.img".into(),
    };
    assert!(opens(&pack("one", &["disk.img"]), &form, &expected) < 3 * MIB);
    opens(&pack("noted", &["README", "disk.img"]), &form, &expected);
    let two = refused(&pack("two", &["disk.img", "other.IMG"]));
    assert!(
        two.contains("disk.img") && two.contains("other.IMG"),
        "{two}"
    );
    let bytes = fs::read(dir.path().join("one.zip")).unwrap();
    fs::write(dir.path().join("cut.zip"), &bytes[..bytes.len() / 2]).unwrap();
    assert!(refused(&dir.path().join("cut.zip")).starts_with("damaged zip"));
}

#[test]
fn what_macos_adds_to_a_zip_is_no_image() {
    let Some(zip) = tool("zip") else { return };
    let dir = scratch();
    let disk = dir.path().join("disk.img");
    let mut expected = image(&disk);
    expected[510..512].copy_from_slice(b"\x55\xaa");
    fs::write(&disk, &expected).unwrap();
    let fork = [b"\0\x05\x16\x07\0\x02\0\0".as_slice(), &[0; 200]].concat();
    for name in ["__MACOSX/._disk.img", "._disk.img", "d/._disk.img"] {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &fork).unwrap();
    }
    fs::hard_link(dir.path().join("disk.img"), dir.path().join("d/disk.img")).unwrap();
    fs::copy(dir.path().join("disk.img"), dir.path().join("2024-11-19")).unwrap();
    fs::write(dir.path().join("notes"), vec![b'x'; 600]).unwrap();
    let pack = |name: &str, members: &str| {
        let line = format!("{} -q {name}.zip {members}", zip.display());
        let command = format!("cd {} && {line}", dir.path().display());
        must("sh", &[&"-c", &command]);
        dir.path().join(format!("{name}.zip"))
    };
    for (name, members, member) in [
        ("first", "__MACOSX/._disk.img disk.img", "disk.img"),
        ("last", "disk.img ._disk.img", "disk.img"),
        ("below", "d/disk.img d/._disk.img", "d/disk.img"),
        // Without a suffix, the content decides.
        ("bare", "notes 2024-11-19", "2024-11-19"),
    ] {
        let form = InputFormat::Zip {
            member: member.into(),
        };
        opens(&pack(name, members), &form, &expected);
    }
    fs::write(dir.path().join("README"), "read").unwrap();
    let none = refused(&pack("none", "notes ._disk.img __MACOSX/._disk.img README"));
    assert!(none.ends_with("it contains notes, README"), "{none}");
}
