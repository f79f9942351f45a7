//! Hostile and damaged Debian packages.

use super::*;

/// The members of a small package, in a directory for `dpkg-deb`.
pub(crate) fn package(dir: &Path) {
    let write = |name: &str, text: &str| {
        fs::create_dir_all(dir.join(name).parent().expect("a parent")).expect("a directory");
        fs::write(dir.join(name), text).expect("a file");
    };
    write(
        "DEBIAN/control",
        "Package: a\nVersion: 1.0-1\nArchitecture: amd64\nMaintainer: x <x@example.org>\nDescription: a\n",
    );
    write("DEBIAN/conffiles", "/etc/a.conf\n");
    write("etc/a.conf", "a\n");
    write("usr/bin/a", "#!/bin/sh\n");
    std::os::unix::fs::symlink("a", dir.join("usr/bin/b")).expect("a link");
}

/// The arguments of `plan` or `convert` with a package.
pub(super) fn with_package(verb: &str, disk: &Path, deb: &Path, out: &Path) -> Vec<OsString> {
    let mut arguments = arguments(verb, disk, out);
    let setting = format!("client.packages=[\"{}\"]", deb.display());
    arguments.extend([
        "--set".into(),
        setting.into(),
        "--set".into(),
        "client.managed=false".into(),
    ]);
    arguments
}

#[test]
fn damaged_packages_are_refused_or_installed() {
    let (Some(small), Some(dpkg_deb)) = (small(), tool("dpkg-deb")) else {
        return;
    };
    let scratch = scratch();
    let deb = scratch.path().join("a.deb");
    package(&scratch.path().join("a"));
    must(
        dpkg_deb,
        &[
            &"--root-owner-group",
            &"-Znone",
            &"--build",
            &scratch.path().join("a"),
            &deb,
        ],
    );
    let (code, said) = bounded(
        with_package("plan", small, &deb, scratch.path()),
        "a whole package",
    );
    assert_eq!(code, 0, "{said}");
    let len = fs::metadata(&deb).expect("a file").len();
    let refused = damaged(&deb, &[0..140, 140..2048, 0..len], 14, |_, what| {
        bounded(with_package("plan", small, &deb, scratch.path()), what).0
    });
    assert!(refused > 5, "{refused}");
}

#[test]
fn a_package_that_climbs_is_refused() {
    let (Some(small), Some(dpkg_deb)) = (small(), tool("dpkg-deb")) else {
        return;
    };
    let Some(ar) = tool("ar") else { return };
    let scratch = scratch();
    let at = |name: &str| scratch.path().join(name);
    package(&at("a"));
    must(
        dpkg_deb,
        &[
            &"--root-owner-group",
            &"-Znone",
            &"--build",
            &at("a"),
            &at("a.deb"),
        ],
    );
    fs::write(at("planted"), "planted").expect("a file");
    for transform in [
        "s,.*/planted,../planted,",
        "s,.*/planted,./usr/../../planted,",
        "s,.*/planted,/planted,",
    ] {
        let tar = ["-P", "--absolute-names", "--transform", transform, "-cf"];
        let mut command = Command::new("tar");
        command.args(tar).arg(at("data.tar")).arg(at("planted"));
        assert!(command.status().expect("tar starts").success());
        must(&ar, &[&"r", &at("a.deb"), &at("data.tar")]);
        let (code, said) = bounded(
            with_package("plan", small, &at("a.deb"), &at("out")),
            transform,
        );
        let why = ["contains ..", "is absolute"];
        assert!(
            code == 1 && why.iter().any(|why| said.contains(why)),
            "{transform}: {said}"
        );
    }
}
