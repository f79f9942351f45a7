//! The packages of `probes.txt`, built by dpkg-deb.

use crate::support::must;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};

/// A package of our own.
pub(super) struct Probe {
    pub(super) name: String,
    /// Whether goldsmith must install it.
    pub(super) accepted: bool,
    pub(super) deb: PathBuf,
}

/// Builds all packages of a text like `probes.txt` in `dir`.
pub(super) fn build(dir: &Path, text: &str) -> Vec<Probe> {
    let probe = |text: &str| {
        let (head, members) = text.split_once('\n').expect("a name");
        let (name, rest) = head.split_once(' ').unwrap_or((head, ""));
        Probe {
            name: name.to_owned(),
            accepted: rest == "accepted",
            deb: package(dir, name, "1", members),
        }
    };
    text.split("\n=== ").skip(1).map(probe).collect()
}

/// Builds one package for all architectures of the text of its members.
pub(super) fn package(dir: &Path, name: &str, version: &str, members: &str) -> PathBuf {
    package_of(dir, [name, version, "all"], members)
}

/// Builds one package, of a name, a version and an architecture, of the text of its members.
pub(super) fn package_of(dir: &Path, head: [&str; 3], members: &str) -> PathBuf {
    let [name, version, architecture] = head;
    let file = format!("{name}_{version}_{architecture}");
    let tree = dir.join(&file);
    let control = format!(
        "Package: {name}\nVersion: {version}\nArchitecture: {architecture}\n\
         Maintainer: x <x@example.org>\nDescription: probe\n"
    );
    fs::create_dir_all(tree.join("DEBIAN")).expect("a directory");
    fs::write(tree.join("DEBIAN/control"), control).expect("a file");
    for member in format!("\n{members}").split("\n--- ").skip(1) {
        let (head, body) = member.split_once('\n').unwrap_or((member, ""));
        let body = body.trim_end_matches('\n').to_owned() + "\n";
        add(&tree, &head.split(' ').collect::<Vec<_>>(), &body);
    }
    let deb = dir.join(format!("{file}.deb"));
    must("dpkg-deb", &[&"-Zgzip", &"-z1", &"--build", &tree, &deb]);
    deb
}

fn add(tree: &Path, head: &[&str], body: &str) {
    let at = |path: &str| {
        let path = tree.join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        path
    };
    let mode = |path: &Path, mode: &str| {
        let mode = u32::from_str_radix(mode, 8).expect("a mode");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
    };
    match head {
        ["file", path, bits] => {
            fs::write(at(path), body).expect("a file");
            mode(&at(path), bits);
        }
        ["dir", path, bits] => {
            fs::create_dir_all(at(path)).expect("a directory");
            mode(&at(path), bits);
        }
        ["link", path, target] => symlink(target, at(path)).expect("a link"),
        ["hardlink", path, target] => {
            fs::hard_link(at(path).with_file_name(target), at(path)).expect("a link");
        }
        ["owner", path, owner] => {
            let (uid, gid) = owner.split_once(':').expect("two numbers");
            let id = |id: &str| Some(id.parse().expect("a number"));
            let bits = fs::metadata(at(path)).expect("a file").permissions();
            chown(at(path), id(uid), id(gid)).expect("an owner");
            // A new owner takes the set-user-ID bit.
            fs::set_permissions(at(path), bits).expect("a mode");
        }
        ["control"] => {
            let path = tree.join("DEBIAN/control");
            let old = fs::read_to_string(&path).expect("a file");
            fs::write(path, old + body).expect("a file");
        }
        ["preinst" | "postinst" | "prerm" | "postrm" | "config"] => {
            let path = tree.join("DEBIAN").join(head[0]);
            let start = if body.starts_with("#!") {
                ""
            } else {
                "#!/bin/sh\nset -e\n"
            };
            fs::write(&path, format!("{start}{body}")).expect("a file");
            mode(&path, "755");
        }
        ["bare", script] => {
            let path = tree.join("DEBIAN").join(script);
            fs::write(&path, body).expect("a file");
            mode(&path, "755");
        }
        // Of all files but those below /etc, as dh_md5sums(1) has them.
        ["md5sums"] => {
            let sums = "cd \"$1\" && find . -type f ! -path './DEBIAN/*' ! -path './etc/*' \
                        -printf '%P\\0' | sort -z | xargs -0r md5sum >DEBIAN/md5sums";
            must("sh", &[&"-ec", &sums, &"sh", &tree]);
        }
        ["triggers" | "conffiles" | "templates"] => {
            fs::write(tree.join("DEBIAN").join(head[0]), body).expect("a file");
        }
        other => panic!("probes.txt: {other:?}"),
    }
}

#[test]
fn a_probe_is_built_as_it_is_written() {
    if crate::support::tool("dpkg-deb").is_none() || !crate::support::root() {
        return;
    }
    let dir = crate::support::scratch();
    let text = "=== a accepted\n--- dir /d 1777\n--- file /d/f 6755\nx\n--- owner /d/f 12345:8\n\
                --- hardlink /d/g f\n--- link /d/l ../x\n--- postinst\ntrue\n";
    let probes = build(dir.path(), &format!("\n{text}"));
    let [
        Probe {
            name,
            accepted,
            deb,
        },
    ] = &probes[..]
    else {
        panic!("one probe");
    };
    assert_eq!((name.as_str(), *accepted), ("a", true));
    let said = must("dpkg-deb", &[&"--contents", deb]);
    for part in [
        "-rws",
        "12345/mail",
        "link to ./d/",
        "l -> ../x",
        "drwxrwxrwt",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}
