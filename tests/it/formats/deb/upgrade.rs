//! An upgrade of a package, next to that of dpkg.

use super::*;

/// Builds a package from `control` lines, control members and files.
fn build(dir: &Path, control: &str, members: &[(&str, &str)], files: &[(&str, &str)]) -> PathBuf {
    let root = tempfile::Builder::new().tempdir_in(dir).unwrap();
    let put = |path: &str, text: &str, mode: u32| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let control =
        format!("{control}\nArchitecture: all\nMaintainer: M <m@example.org>\nDescription: test\n");
    put("DEBIAN/control", &control, 0o644);
    for (name, text) in members {
        put(
            &format!("DEBIAN/{name}"),
            text,
            if name.contains("inst") || name.contains("rm") {
                0o755
            } else {
                0o644
            },
        );
    }
    for (path, text) in files {
        put(path, text, 0o644);
    }
    let file = dir.join(format!("{}.deb", Sha256::digest(control.as_bytes())[0]));
    assert!(
        run(
            "dpkg-deb",
            &[&"--root-owner-group", &"--build", &root.path(), &file]
        )
        .status
        .success()
    );
    file
}

/// The package `aa` in version 1, below `base`.
fn first_version(base: &Path) -> PathBuf {
    let conffiles = ["same", "edited", "gone", "both", "dropped", "renamed"]
        .map(|name| format!("/etc/a/{name}\n"))
        .concat();
    let old = [
        ("etc/a/same", "1"),
        ("etc/a/edited", "1"),
        ("etc/a/gone", "1"),
        ("etc/a/both", "1"),
        ("etc/a/dropped", "1"),
        ("etc/a/renamed", "1"),
        ("usr/share/a/old/deep/file", "x"),
        ("usr/share/a/moves", "a's"),
        ("usr/share/a/stays", "1"),
    ];
    build(
        &base.join("1"),
        "Package: aa\nVersion: 1",
        &[("conffiles", &conffiles)],
        &old,
    )
}

/// The package `aa` in version 2, and `bb`, which takes one of its files and diverts another.
fn upgrade(base: &Path) -> [PathBuf; 2] {
    let script = "#!/bin/sh\nset -e\ndpkg-maintscript-helper mv_conffile /etc/a/renamed /etc/a/new 2~ aa -- \"$@\"\n";
    let postinst = format!(
        "{script}if [ \"$1\" = configure ] && dpkg --compare-versions \"$2\" lt 2; then\n\
         adduser --quiet --system --group --home /var/lib/aa _aa\nadduser --quiet _aa adm\naddgroup --quiet --system aagrp\n\
         useradd --system --home-dir /run/ab --shell /usr/sbin/nologin _ab\ngroupadd -r _ac\n\
         chown -R _aa:aagrp /usr/share/a\nchmod 2750 /usr/share/a\nfi\n\
         update-alternatives --install /usr/bin/aa-tool aa-tool /usr/share/a/stays 50 \
         --slave /usr/share/aa.1 aa.1 /usr/share/a/new\nln -sf ../share /usr/lib/aa-link\nexit 0\n"
    );
    let new = [
        ("etc/a/same", "2"),
        ("etc/a/edited", "2"),
        ("etc/a/gone", "2"),
        ("etc/a/both", "2"),
        ("etc/a/new", "1"),
        ("usr/share/a/new", "x"),
        ("usr/share/a/stays", "2"),
    ];
    let conffiles = ["same", "edited", "gone", "both", "new"]
        .map(|name| format!("/etc/a/{name}\n"))
        .concat();
    let members = [
        ("conffiles", conffiles.as_str()),
        ("preinst", script),
        ("postinst", &postinst),
        ("postrm", script),
    ];
    let relations = "Package: aa\nVersion: 2\nDepends: bb (>=1),adduser|passwd\nMulti-Arch: foreign\nX-Own: field";
    let second = build(&base.join("2"), relations, &members, &new);
    let divert = "#!/bin/sh\nset -e\ndpkg-divert --package bb --add --rename --divert /usr/bin/tac.real /usr/bin/tac\n";
    let other = build(
        &base.join("2"),
        "Package: bb\nVersion: 1\nReplaces: aa (<< 2)\nBreaks: aa (<< 2)",
        &[("preinst", divert)],
        &[("usr/share/a/moves", "b's"), ("usr/bin/tac", "#!/bin/sh\n")],
    );
    [second, other]
}

/// An upgrade with configuration files in every state, files that move to another package, links
/// and accounts.
#[test]
fn an_upgrade_is_what_dpkg_makes() {
    let Some(fixture) = fixture() else { return };
    let scratch = scratch();
    let base = scratch.path();
    let theirs = base.join("theirs");
    for dir in ["1", "2", "theirs"] {
        fs::create_dir(base.join(dir)).unwrap();
    }
    let first = first_version(base);
    let [second, other] = upgrade(base);

    assert!(
        run("tar", &[&"-C", &theirs, &"-xf", &fixture.join("root.tar")])
            .status
            .success()
    );
    let dpkg = |debs: &[&PathBuf]| {
        let mut command = "dpkg --force-confdef --force-confold -i".to_owned();
        for (at, deb) in debs.iter().enumerate() {
            fs::copy(deb, theirs.join(format!("{at}.deb"))).unwrap();
            command += &format!(" /{at}.deb");
        }
        let (fine, said) = chroot(
            &theirs,
            &["sh", "-c", &format!("{command} && rm -f /*.deb")],
        );
        assert!(fine, "{said}");
    };
    dpkg(&[&first]);
    fs::write(theirs.join("etc/a/edited"), "mine").unwrap();
    fs::write(theirs.join("etc/a/both"), "2").unwrap();
    fs::remove_file(theirs.join("etc/a/gone")).unwrap();
    let tar = base.join("golden.tar");
    assert!(
        run(
            "tar",
            &[&"-C", &theirs, &"--numeric-owner", &"-cf", &tar, &"."]
        )
        .status
        .success()
    );

    let mut tree = tree_of(&tar);
    installed(&mut tree, &request(&[second.clone(), other.clone()], true));
    dpkg(&[&second, &other]);
    let found = differences(&tree, &listing(&theirs));
    assert!(found.is_empty(), "{}", found.join("\n"));
}
