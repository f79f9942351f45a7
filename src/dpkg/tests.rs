//! Every rule on tiny packages made here.

use super::*;
use crate::deb::Md5;
use crate::stream::{MemSource, Source};
use crate::tree::{Leaf, LeafKind, Node, Stat, Time};
use std::path::PathBuf;
use std::sync::Arc;

mod pam;
mod programs;

const TIME: Time = Time {
    seconds: 1_000_000_000,
    nanos: 0,
};

/// A package in the making.
#[derive(Clone)]
struct Deb {
    control: String,
    members: Vec<(&'static str, String)>,
    tar: Vec<u8>,
}

impl Deb {
    fn new(name: &str, version: &str, fields: &str) -> Self {
        let control = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: M <m@example.org>\n{fields}Description: test\n"
        );
        Self {
            control,
            members: Vec::new(),
            tar: Vec::new(),
        }
    }

    fn member(mut self, name: &'static str, text: impl Into<String>) -> Self {
        self.members.push((name, text.into()));
        self
    }

    fn postinst(self, body: &str) -> Self {
        self.member("postinst", format!("#!/bin/sh\nset -e\n{body}"))
    }

    fn entry(
        mut self,
        kind: tar::EntryType,
        name: &str,
        mode: u32,
        target: &str,
        bytes: &[u8],
    ) -> Self {
        append(&mut self.tar, kind, name, mode, target, bytes);
        self
    }

    fn file(self, name: &str, text: &str) -> Self {
        self.entry(tar::EntryType::Regular, name, 0o644, "", text.as_bytes())
    }

    fn file_bytes(self, name: &str, bytes: &[u8]) -> Self {
        self.entry(tar::EntryType::Regular, name, 0o644, "", bytes)
    }

    fn dir(self, name: &str) -> Self {
        self.entry(tar::EntryType::Directory, name, 0o755, "", b"")
    }

    fn bytes(&self) -> Vec<u8> {
        let mut control = Vec::new();
        append(
            &mut control,
            tar::EntryType::Regular,
            "./control",
            0o644,
            "",
            self.control.as_bytes(),
        );
        for (name, text) in &self.members {
            append(
                &mut control,
                tar::EntryType::Regular,
                &format!("./{name}"),
                0o755,
                "",
                text.as_bytes(),
            );
        }
        let mut out = b"!<arch>\n".to_vec();
        for (name, bytes) in [
            ("debian-binary", b"2.0\n".as_slice()),
            ("control.tar", &control),
            ("data.tar", &self.tar),
        ] {
            let mut bytes = bytes.to_vec();
            if name != "debian-binary" {
                bytes.extend([0; 1024]);
            }
            out.extend(
                format!(
                    "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
                    0,
                    0,
                    0,
                    "100644",
                    bytes.len()
                )
                .bytes(),
            );
            out.extend(&bytes);
            out.resize(out.len().next_multiple_of(2), b'\n');
        }
        out
    }
}

/// Appends an entry, with a name that the `tar` crate would refuse to write too.
fn append(
    tar: &mut Vec<u8>,
    kind: tar::EntryType,
    name: &str,
    mode: u32,
    target: &str,
    bytes: &[u8],
) {
    let mut header = tar::Header::new_gnu();
    let gnu = header.as_gnu_mut().unwrap();
    gnu.name[..name.len()].copy_from_slice(name.as_bytes());
    gnu.linkname[..target.len()].copy_from_slice(target.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(bytes.len() as u64);
    header.set_mtime(12345);
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    tar.extend(header.as_bytes());
    tar.extend(bytes);
    tar.resize(tar.len().next_multiple_of(512), 0);
}

/// An image with a database and a few packages.
fn image(status: &str) -> Tree {
    let mut tree = Tree::new(Stat::root(0o755, TIME));
    let mut put = |path: &str, text: &str, mode: u16| {
        tree.put_file(path, text, Stat::root(mode, TIME)).unwrap();
    };
    let dpkg =
        "Package: dpkg\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.21\n\n";
    put("/var/lib/dpkg/status", &format!("{dpkg}{status}"), 0o644);
    put("/var/lib/dpkg/arch", "amd64\narm64\n", 0o644);
    put("/var/lib/dpkg/info/format", "1\n", 0o644);
    put(
        "/etc/passwd",
        "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/:/usr/sbin/nologin\n",
        0o644,
    );
    put(
        "/etc/group",
        "root:x:0:\ndaemon:x:1:\nadm:x:4:\nusers:x:100:\nnogroup:x:65534:\n",
        0o644,
    );
    put("/etc/shadow", "root:*:1::::::\n", 0o640);
    put("/etc/gshadow", "root:*::\n", 0o640);
    put("/usr/bin/tool", "", 0o755);
    for name in [
        "deb-systemd-helper",
        "deb-systemd-invoke",
        "adduser",
        "addgroup",
        "useradd",
        "systemd-sysusers",
        "getent",
        "update-rc.d",
    ] {
        put(&format!("/usr/bin/{name}"), "", 0o755);
    }
    tree.put_symlink("/lib", "usr/lib", TIME).unwrap();
    tree.mkdir("/usr/lib", &Stat::root(0o755, TIME)).unwrap();
    tree
}

fn stanza(name: &str, version: &str, more: &str) -> String {
    format!(
        "Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n{more}\n"
    )
}

fn put(tree: &mut Tree, debs: &[Deb]) -> Result<InstallReport, String> {
    put_with(tree, debs, Vec::new(), true)
}

fn put_with(
    tree: &mut Tree,
    debs: &[Deb],
    accept: Vec<AcceptedScript>,
    managed: bool,
) -> Result<InstallReport, String> {
    let source = |(at, deb): (usize, &Deb)| -> (PathBuf, Source) {
        (
            format!("{at}.deb").into(),
            Arc::new(MemSource(deb.bytes().into())),
        )
    };
    let request = InstallRequest {
        debs: debs.iter().enumerate().map(source).collect(),
        managed,
        accept,
        ..InstallRequest::default()
    };
    let before = crate::tree::dump::dump(tree).unwrap();
    let mut editor = TreeEditor::new(tree, TIME);
    let out = install(&mut editor, &request).map_err(|problems| problems.to_string());
    let changes = editor.finish();
    if out.is_err() {
        assert!(changes.is_empty());
        assert_eq!(
            crate::tree::dump::dump(tree).unwrap(),
            before,
            "a refused request changed the tree"
        );
    }
    out
}

fn text(tree: &Tree, path: &str) -> Option<String> {
    tree.read(path, 1 << 20)
        .unwrap()
        .map(|bytes| String::from_utf8(bytes).unwrap())
}

fn link(tree: &Tree, path: &str) -> Option<String> {
    match tree.find_nofollow(path)? {
        Node::Leaf(Leaf {
            kind: LeafKind::Symlink(target),
            ..
        }) => Some(String::from_utf8(target.clone()).unwrap()),
        _ => None,
    }
}

#[test]
fn a_package_is_unpacked_and_registered() {
    let mut tree = image("");
    let deb = Deb::new(
        "a",
        "1.0-1",
        "Depends: dpkg (>=1.0)\nHomepage: h\nMulti-Arch: same\nSection: misc\n",
    )
    .dir("./")
    .dir("./lib/")
    .entry(tar::EntryType::Regular, "./lib/x", 0o4755, "", b"hello")
    .entry(tar::EntryType::Link, "./lib/y", 0o644, "./lib/x", b"")
    .entry(tar::EntryType::Symlink, "./lib/z", 0o777, "x", b"");
    let done = put(&mut tree, std::slice::from_ref(&deb)).unwrap();
    assert_eq!(
        (
            done.packages[0].name.as_str(),
            done.packages[0].version.as_str()
        ),
        ("a", "1.0-1")
    );
    assert_eq!(text(&tree, "/usr/lib/x").unwrap(), "hello");
    assert_eq!(link(&tree, "/lib").unwrap(), "usr/lib");
    assert_eq!(link(&tree, "/usr/lib/z").unwrap(), "x");
    let Some(Node::Leaf(leaf)) = tree.find("/usr/lib/y") else {
        panic!()
    };
    assert_eq!((leaf.stat.mode, leaf.stat.mtime.seconds), (0o4755, 12345));
    assert_eq!(
        text(&tree, "/var/lib/dpkg/info/a:amd64.list").unwrap(),
        "/.\n/lib\n/lib/x\n/lib/y\n/lib/z\n"
    );
    assert_eq!(
        text(&tree, "/var/lib/dpkg/info/a:amd64.md5sums").unwrap(),
        format!("{0}  lib/x\n{0}  lib/y\n", Md5::of(b"hello"))
    );
    let expected = "Package: a\nStatus: install ok installed\nSection: misc\nMaintainer: M <m@example.org>\nArchitecture: amd64\n\
        Multi-Arch: same\nVersion: 1.0-1\nDepends: dpkg (>= 1.0)\nDescription: test\nHomepage: h\n\n";
    assert!(
        text(&tree, "/var/lib/dpkg/status")
            .unwrap()
            .starts_with(expected)
    );
    let again = put(&mut tree, &[deb]).unwrap();
    assert_eq!(
        (again.packages.len(), again.notes),
        (0, vec!["a 1.0-1 is in the image already".to_owned()])
    );
}

#[test]
fn all_relations_that_do_not_hold_are_told_at_once() {
    let mut tree = image(
        &(stanza("old", "1", "Breaks: a (<< 2)\n")
            + &stanza("has", "1", "Provides: virtual (= 3), plain\n")),
    );
    let fields = "Depends: none, has (>= 2) | other, virtual (>= 3), plain, plain (>= 1), new\nPre-Depends: dpkg (>> 9)\nConflicts: plain\n";
    let said = put(
        &mut tree,
        &[Deb::new("a", "1", fields), Deb::new("new", "1", "")],
    )
    .unwrap_err();
    let expected = "package a 1 depends on none; the image has none\n\
        package a 1 depends on has (>= 2) | other; the image has has 1\n\
        package a 1 depends on plain (>= 1); the image has none\n\
        package a 1 pre-depends on dpkg (>> 9); the image has dpkg 1.21\n\
        hint: add them, for the image's release and architecture, to the packages: on such a system \
        (a container is enough), `apt-get download dpkg has none plain` fetches these, and `apt-get \
        install --download-only dpkg has none plain` what they need in turn, too; scripts of packages \
        that lack something are judged once it is there\n\
        package old 1 breaks a (<< 2), and a 1 is to be installed\n\
        package a 1 conflicts with plain, and has 1 is in the image";
    assert_eq!(said, expected);
}

#[test]
fn upgrades_may_not_break_what_stays_nor_go_backwards() {
    let status = stanza("lib", "2", "") + &stanza("app", "1", "Depends: lib (= 2)\n");
    let mut tree = image(&status);
    let said = put(&mut tree, &[Deb::new("lib", "3", "")]).unwrap_err();
    assert!(
        said.starts_with(
            "package app 1 of the image depends on lib (= 2), which would no longer hold (lib 3)"
        ),
        "{said}"
    );
    let said = put(&mut tree, &[Deb::new("lib", "1", "")]).unwrap_err();
    assert!(
        said.contains("package lib 1 would replace the newer 2 of the image"),
        "{said}"
    );
    assert!(said.contains("may-change = [\"lib\"]"), "{said}");
    let older = Deb::new("lib", "1", "").postinst("echo \"$@\" >/log\n");
    let source: Source = Arc::new(MemSource(older.bytes().into()));
    let request = |name: &str| InstallRequest {
        debs: vec![("lib.deb".into(), source.clone())],
        downgrades: vec![name.to_owned()],
        ..InstallRequest::default()
    };
    let mut alone = image(&stanza("lib", "2", ""));
    let mut back = |name| install(&mut TreeEditor::new(&mut alone, TIME), &request(name));
    assert!(back("other").is_err());
    let report = back("lib").unwrap();
    assert_eq!(report.packages[0].upgraded_from.as_deref(), Some("2"));
    assert_eq!(text(&alone, "/log").as_deref(), Some("configure 2\n"));
    let said = put(&mut tree, &[Deb::new("x", "1", ""), Deb::new("x", "2", "")]).unwrap_err();
    assert!(said.contains("package x is requested twice"), "{said}");
}

#[test]
fn architectures() {
    let arm = stanza("dep", "1", "").replace("amd64", "arm64");
    let needs = |qualifier: &str| Deb::new("a", "1", &format!("Depends: dep{qualifier}\n"));
    let with = |multi: &str, qualifier: &str| {
        let mut tree = image(&arm.replace("Version", &format!("Multi-Arch: {multi}\nVersion")));
        put(&mut tree, &[needs(qualifier)]).is_ok()
    };
    assert!(!with("same", ""));
    assert!(with("foreign", ""));
    assert!(!with("allowed", ""));
    assert!(with("allowed", ":any"));
    assert!(with("same", ":arm64"));
    assert!(!with("same", ":native"));
    let mut tree = image("");
    let mut deb = Deb::new("a", "1", "");
    deb.control = deb.control.replace("amd64", "riscv64");
    let said = put(&mut tree, &[deb]).unwrap_err();
    assert!(
        said.starts_with("package a 1 is for riscv64; the image is for amd64, arm64"),
        "{said}"
    );
    let mut tree = image("");
    for path in ["/var/lib/dpkg/status", "/var/lib/dpkg/arch"] {
        let stat = Stat::root(0o644, TIME);
        tree.put_file(path, "", stat).unwrap();
    }
    let said = put(&mut tree, &[Deb::new("a", "1", "")]).unwrap_err();
    assert!(
        said.starts_with(
            "package a 1 is for amd64, and the image's dpkg database does not say what the image is \
             for: it has no package dpkg\nhint: packages can be installed where dpkg is: "
        ),
        "{said}"
    );
}

#[test]
fn files_of_other_packages() {
    let make = || {
        let mut tree = image(&stanza("b", "1", ""));
        tree.put_file(
            "/var/lib/dpkg/info/b.list",
            "/.\n/f\n/g\n",
            Stat::root(0o644, TIME),
        )
        .unwrap();
        tree.put_file("/f", "theirs", Stat::root(0o644, TIME))
            .unwrap();
        tree
    };
    let mut tree = make();
    let said = put(&mut tree, &[Deb::new("a", "1", "").file("./f", "ours")]).unwrap_err();
    assert_eq!(
        said,
        "package a 1: /f is also in package b 1, which it does not replace"
    );
    put(
        &mut tree,
        &[Deb::new("a", "1", "Replaces: b (<< 2)\n").file("./f", "ours")],
    )
    .unwrap();
    assert_eq!(text(&tree, "/f").unwrap(), "ours");
    assert_eq!(
        text(&tree, "/var/lib/dpkg/info/b.list").unwrap(),
        "/.\n/g\n"
    );

    let mut tree = make();
    tree.put_file(
        "/var/lib/dpkg/diversions",
        "/f\n/f.moved\nb\n",
        Stat::root(0o644, TIME),
    )
    .unwrap();
    tree.put_file(
        "/var/lib/dpkg/statoverride",
        "daemon adm 4711 /h\n",
        Stat::root(0o644, TIME),
    )
    .unwrap();
    put(
        &mut tree,
        &[Deb::new("a", "1", "").file("./f", "ours").file("./h", "x")],
    )
    .unwrap();
    assert_eq!(
        (text(&tree, "/f").unwrap(), text(&tree, "/f.moved").unwrap()),
        ("theirs".into(), "ours".into())
    );
    let Some(Node::Leaf(leaf)) = tree.find("/h") else {
        panic!()
    };
    assert_eq!(
        (leaf.stat.uid, leaf.stat.gid, leaf.stat.mode),
        (1, 4, 0o4711)
    );
}

#[test]
fn nothing_leaves_the_root() {
    let root_name = ["./../x", "/etc/x", "./a/../../x", "./a\nb"];
    for name in root_name {
        let said = put(&mut image(""), &[Deb::new("a", "1", "").file(name, "x")]).unwrap_err();
        assert!(said.contains("data.tar: the name"), "{name}: {said}");
    }
    let through = Deb::new("a", "1", "")
        .entry(tar::EntryType::Symlink, "./out", 0o777, "/etc", b"")
        .file("./out/x", "x");
    let said = put(&mut image(""), &[through]).unwrap_err();
    assert_eq!(
        said,
        "package a 1: /out/x is below a symbolic link of the same package"
    );
    let hard =
        Deb::new("a", "1", "").entry(tar::EntryType::Link, "./l", 0o644, "./etc/shadow", b"");
    let said = put(&mut image(""), &[hard]).unwrap_err();
    assert!(
        said.contains(
            "/l is a hard link to /etc/shadow, which is not an earlier file of the package"
        ),
        "{said}"
    );
    let mut tree = image("");
    tree.put_symlink("/up", "../../..", TIME).unwrap();
    put(&mut tree, &[Deb::new("a", "1", "").file("./up/x", "x")]).unwrap();
    assert_eq!(text(&tree, "/x").unwrap(), "x");
    let said = put(&mut image(""), &[Deb::new("a", "1", "").file("./etc", "x")]).unwrap_err();
    assert!(
        said.contains("/etc is a file of the package and a directory of the image"),
        "{said}"
    );
    let said = put(
        &mut image(""),
        &[Deb::new("a", "1", "").dir("./etc/passwd")],
    )
    .unwrap_err();
    assert!(
        said.contains("/etc/passwd is a directory of the package and a file of the image"),
        "{said}"
    );
}

/// Upgrades a package with one configuration file: what the image has now, what it shipped, what
/// the new one ships.
fn upgraded(current: Option<&str>, old: Option<&str>, new: Option<&str>) -> Tree {
    let known = old
        .map(|old| format!("Conffiles:\n /etc/c {}\n", Md5::of(old.as_bytes())))
        .unwrap_or_default();
    let mut tree = image(&stanza("a", "1", &known));
    tree.put_file(
        "/var/lib/dpkg/info/a.list",
        "/.\n/etc\n/etc/c\n/gone/f\n/gone\n",
        Stat::root(0o644, TIME),
    )
    .unwrap();
    tree.put_file("/var/lib/dpkg/info/a.shlibs", "", Stat::root(0o644, TIME))
        .unwrap();
    tree.put_file("/gone/f", "x", Stat::root(0o644, TIME))
        .unwrap();
    if let Some(current) = current {
        tree.put_file("/etc/c", current, Stat::root(0o600, TIME))
            .unwrap();
    }
    let mut deb = Deb::new("a", "2", "").dir("./").dir("./etc/");
    if let Some(new) = new {
        deb = deb.member("conffiles", "/etc/c\n").file("./etc/c", new);
    }
    let done = put(&mut tree, &[deb]).unwrap();
    assert_eq!(done.packages[0].upgraded_from.as_deref(), Some("1"));
    assert!(tree.find("/gone").is_none(), "files of the old version go");
    assert!(tree.find("/var/lib/dpkg/info/a.shlibs").is_none());
    tree
}

#[test]
fn configuration_files_survive_as_dpkg_decides() {
    let state = |tree: &Tree| (text(tree, "/etc/c"), text(tree, "/etc/c.dpkg-dist"));
    let some = |text: &str| Some(text.to_owned());
    let md5 = |tree: &Tree| {
        text(tree, "/var/lib/dpkg/status")
            .unwrap()
            .lines()
            .find(|l| l.starts_with(" /etc/c"))
            .map(str::to_owned)
    };
    for (current, old, new, file, dist) in [
        (Some("1"), Some("1"), "2", some("2"), None),
        (Some("x"), Some("1"), "2", some("x"), some("2")),
        (Some("x"), Some("1"), "1", some("x"), None),
        (Some("2"), Some("1"), "2", some("2"), None),
        (None, Some("1"), "2", None, some("2")),
        (None, Some("1"), "1", None, None),
        (None, None, "2", some("2"), None),
        (Some("x"), None, "2", some("x"), some("2")),
    ] {
        let tree = upgraded(current, old, Some(new));
        assert_eq!(state(&tree), (file, dist), "{current:?} {old:?} {new}");
        assert_eq!(
            md5(&tree).unwrap(),
            format!(" /etc/c {}", Md5::of(new.as_bytes()))
        );
        if let Some(Node::Leaf(leaf)) = tree.find("/etc/c").filter(|_| current.is_some()) {
            assert_eq!(
                leaf.stat.mode, 0o600,
                "the file's mode is the administrator's"
            );
        }
    }
    let tree = upgraded(Some("1"), Some("1"), None);
    assert_eq!(
        md5(&tree).unwrap(),
        format!(" /etc/c {} obsolete", Md5::of(b"1"))
    );
    assert!(
        text(&tree, "/var/lib/dpkg/info/a.list")
            .unwrap()
            .ends_with("/etc/c\n")
    );
}

#[test]
fn statements_outside_of_the_model_are_problems_unless_accepted() {
    let deb = Deb::new("a", "1", "")
        .postinst("tool --all\nif false; then\n  tool never\nfi\ntool --more \"$1\"\n");
    let mut tree = image("");
    let said = put(&mut tree, std::slice::from_ref(&deb)).unwrap_err();
    let expected = "package a 1: postinst has statements whose effects are unknown:\n  line 3: tool --all\n  line 7: tool --more \"$1\"\n\
        hint: to install the package without the effects of a statement, accept that it is left out, each by an entry of its own:\n\
        [[client.accept]]\npackage = \"a\"\nscript = \"postinst\"\nstatement = \"tool --all\"\nreason = \"...\"\n\
        [[client.accept]]\npackage = \"a\"\nscript = \"postinst\"\nstatement = \"tool --more \\\"$1\\\"\"\nreason = \"...\"";
    assert_eq!(said, expected);
    let accept = |package: &str, script: &str| AcceptedScript {
        package: package.into(),
        script: script.into(),
        statement: None,
        reason: "not needed".into(),
    };
    let others = vec![accept("a", "preinst"), accept("b", "postinst")];
    let said = put_with(&mut tree, std::slice::from_ref(&deb), others, true).unwrap_err();
    assert_eq!(said, expected, "other scripts are accepted");
    let done = put_with(
        &mut tree,
        &[deb],
        vec![accept("a", "postinst"), accept("b", "postinst")],
        true,
    )
    .unwrap();
    assert_eq!(
        done.accepted[0],
        "package a 1: postinst line 3 left out: `tool --all`; accepted: not needed"
    );
    assert_eq!(done.accepted.len(), 2);
    assert_eq!((done.notes.len(), done.unused), (0, vec![1]));
    let deep = format!(
        "#!/bin/sh\nf() {{ {}f{}; }}\nf\n",
        "echo ${a-$(".repeat(15),
        ")}".repeat(15)
    );
    for (script, what) in [
        ("#!/usr/bin/perl\n", "is not a shell script"),
        ("#!/bin/sh\nif true; then\n", "line 3: `then`"),
        ("#!/bin/sh\nexit 3\n", "fails with status 3"),
        (
            "#!/bin/sh\nset -e\nfalse\ntrue\n",
            "fails with status 1 at line 3",
        ),
        (
            "#!/bin/sh\nwhile true; do :; done\n",
            "more than 100000 commands",
        ),
        ("#!/bin/sh\nf() { f; }; f\n", "deeper than"),
        (
            "#!/bin/sh\nx=abcdefgh; while true; do x=\"$x$x\"; done\n",
            "a value of more than",
        ),
        (
            "#!/bin/sh\nx=$(cat /etc/passwd); while :; do echo \"$x\" >> /f; cat /f /f >/g; cat /g >/f; done\n",
            "bytes",
        ),
        ("#!/bin/sh\ncd -L /usr\n", "line 2: cd -L /usr"),
        (deep.as_str(), "deeper than"),
        ("#!/bin/sh\nsleep 1 &\n", "line 2: sleep 1 &"),
    ] {
        let said = put(
            &mut image(""),
            &[Deb::new("a", "1", "").member("postinst", script)],
        )
        .unwrap_err();
        let what = if what.contains("`then`") {
            "is not understood: line"
        } else {
            what
        };
        assert!(said.contains(what), "{script}: {said}");
    }
}

#[test]
fn the_language_of_scripts() {
    let script = r#"
case "$1" in configure|x) a=yes;; *) exit 1;; esac
out=/out
f() { local v=$1; echo "f:$v:$#"; return 0; }
{ f "1 2" 3; } > $out
for d in one "two three"; do [ "$d" = one ] || continue; echo "$d" >> $out; done
if [ -n "$2" ] && dpkg --compare-versions "$2" lt 1; then echo no >> $out; elif ! test -e /nothing; then echo elif >> $out; fi
echo ${a%s} ${a#y} ${#a} ${none:-def} ${none:+no} $((2 + ${#a} - 1)) `basename /x/y.z .z` >> $out
cat <<-EOF >> $out
	here $a
	EOF
cat <<'EOF' >> $out
raw $a
EOF
printf '%s\n' a b | while read -r l; do echo "l=$l"; done >> $out
if echo hay needle | grep -q needle; then echo found >> $out; fi
(exit 3) || echo "status $?" >> $out
set -- p q; shift; echo "$@" "$#" >> $out
echo /etc/pass* /none* >> $out
x="$(printf 'a\n\n')"; echo "[$x]" >> $out
echo quiet >/dev/null 2>&1
echo err >&2
false || true
"#;
    let mut tree = image("");
    put(&mut tree, &[Deb::new("a", "1", "").postinst(script)]).unwrap();
    let expected = "f:1 2:2\none\nelif\nye es 3 def 4 y\nhere yes\nraw $a\nl=a\nl=b\nfound\nstatus 3\nq 1\n/etc/passwd /none*\n[a]\n";
    assert_eq!(text(&tree, "/out").unwrap(), expected);
}

const UNIT: &str = "[Unit]\nDescription=x\n[Install]\nWantedBy=multi-user.target\nAlias=other.service\nAlso=more.socket\n";
const SYSTEMD: &str = "deb-systemd-helper unmask 'U' >/dev/null || true\n\
    if deb-systemd-helper --quiet was-enabled 'U'; then deb-systemd-helper enable 'U' >/dev/null || true\n\
    else deb-systemd-helper update-state 'U' >/dev/null || true; fi\n";

fn with_unit(name: &str) -> Deb {
    let unit = format!("{name}.service");
    Deb::new(name, "1", "")
        .file(&format!("./lib/systemd/system/{unit}"), UNIT)
        .file(
            "./lib/systemd/system/more.socket",
            "[Install]\nWantedBy=sockets.target\n",
        )
        .postinst(&SYSTEMD.replace('U', &unit))
}

#[test]
fn units_are_enabled_and_remembered() {
    let mut tree = image("");
    put(&mut tree, &[with_unit("mender-x")]).unwrap();
    let wants = "/etc/systemd/system/multi-user.target.wants/mender-x.service";
    assert_eq!(
        link(&tree, wants).unwrap(),
        "/lib/systemd/system/mender-x.service"
    );
    assert_eq!(
        link(&tree, "/etc/systemd/system/other.service").unwrap(),
        "/lib/systemd/system/mender-x.service"
    );
    assert_eq!(
        link(
            &tree,
            "/etc/systemd/system/sockets.target.wants/more.socket"
        )
        .unwrap(),
        "/lib/systemd/system/more.socket"
    );
    let state = "/var/lib/systemd/deb-systemd-helper-enabled";
    assert_eq!(
        text(&tree, &format!("{state}/mender-x.service.dsh-also"))
            .unwrap()
            .lines()
            .count(),
        3
    );
    assert_eq!(
        text(
            &tree,
            &format!("{state}/multi-user.target.wants/mender-x.service")
        )
        .unwrap(),
        ""
    );

    let mut tree = image("");
    put_with(&mut tree, &[with_unit("mender-x")], Vec::new(), false).unwrap();
    assert!(link(&tree, wants).is_none());
    assert!(text(&tree, &format!("{state}/mender-x.service.dsh-also")).is_some());
    let mut tree = image("");
    tree.put_file("/usr/bin/systemctl", "", Stat::root(0o755, TIME))
        .unwrap();
    let preset = "# remark\nenable nothing.service\ndisable mender-*\n";
    tree.put_file(
        "/etc/systemd/system-preset/50.preset",
        preset,
        Stat::root(0o644, TIME),
    )
    .unwrap();
    put(&mut tree, &[with_unit("mender-x")]).unwrap();
    assert!(link(&tree, wants).is_none());
}

#[test]
fn accounts_are_the_same_every_time() {
    let script = "adduser --system --group --quiet --home /var/lib/a --gecos \"A b\" _a\nadduser --quiet _a adm\n\
        addgroup --system grp\nuseradd --system --no-create-home --home-dir /run/u --shell /bin/false u\n\
        systemd-sysusers a.conf\nif ! getent group grp >/dev/null; then exit 1; fi\nchown _a:grp /var/lib/a\nchmod 0750 /var/lib/a\n";
    let conf = "# x\ng sg -\nu su - \"S u\" /var/su\nm su adm\nu fixed 333 - -\n";
    let mut tree = image("");
    put(
        &mut tree,
        &[Deb::new("a", "1", "")
            .file("./usr/lib/sysusers.d/a.conf", conf)
            .postinst(script)],
    )
    .unwrap();
    let expected = "_a:x:100:101:A b,,,:/var/lib/a:/usr/sbin/nologin\nu:x:999:999::/run/u:/bin/false\n\
        su:x:997:997:S u:/var/su:/usr/sbin/nologin\nfixed:x:333:333::/:/usr/sbin/nologin\n";
    assert!(
        text(&tree, "/etc/passwd").unwrap().ends_with(expected),
        "{}",
        text(&tree, "/etc/passwd").unwrap()
    );
    let expected = "_a:x:101:\ngrp:x:102:\nu:x:999:\nsg:x:998:\nsu:x:997:\nfixed:x:333:\n";
    assert!(
        text(&tree, "/etc/group").unwrap().ends_with(expected),
        "{}",
        text(&tree, "/etc/group").unwrap()
    );
    assert!(
        text(&tree, "/etc/group")
            .unwrap()
            .contains("adm:x:4:_a,su\n")
    );
    let shadow = "_a:!:11574::::::\nu:!:11574::::::\nsu:!*:11574::::::\nfixed:!*:11574::::::\n";
    assert!(text(&tree, "/etc/shadow").unwrap().ends_with(shadow));
    let Some(Node::Dir(dir)) = tree.find("/var/lib/a") else {
        panic!()
    };
    assert_eq!(
        (dir.stat.uid, dir.stat.gid, dir.stat.mode),
        (100, 102, 0o750)
    );
}

#[test]
fn alternatives_overrides_diversions_and_init_scripts() {
    let script = "update-alternatives --install /usr/bin/ed ed /usr/bin/aed 10 --slave /usr/share/ed.1 ed.1 /usr/share/aed.1\n\
        dpkg-statoverride --update --add root adm 2750 /usr/bin/aed\n\
        dpkg-divert --package a --add --rename --divert /usr/bin/tool.real /usr/bin/tool\nupdate-rc.d a defaults >/dev/null\n";
    let init = "#!/bin/sh\n### BEGIN INIT INFO\n# Default-Start:  2 3\n# Default-Stop: 0\n### END INIT INFO\n";
    let mut tree = image("");
    let deb = Deb::new("a", "1", "")
        .file("./usr/bin/aed", "")
        .file("./usr/share/aed.1", "")
        .file("./etc/init.d/a", init);
    put(&mut tree, &[deb.postinst(script)]).unwrap();
    assert_eq!(link(&tree, "/usr/bin/ed").unwrap(), "/etc/alternatives/ed");
    assert_eq!(
        link(&tree, "/etc/alternatives/ed.1").unwrap(),
        "/usr/share/aed.1"
    );
    let state =
        "auto\n/usr/bin/ed\ned.1\n/usr/share/ed.1\n\n/usr/bin/aed\n10\n/usr/share/aed.1\n\n";
    assert_eq!(text(&tree, "/var/lib/dpkg/alternatives/ed").unwrap(), state);
    assert_eq!(
        text(&tree, "/var/lib/dpkg/statoverride").unwrap(),
        "root adm 2750 /usr/bin/aed\n"
    );
    assert_eq!(
        text(&tree, "/var/lib/dpkg/diversions").unwrap(),
        "/usr/bin/tool\n/usr/bin/tool.real\na\n"
    );
    assert!(tree.find("/usr/bin/tool").is_none() && tree.find("/usr/bin/tool.real").is_some());
    let links = ["/etc/rc2.d/S01a", "/etc/rc3.d/S01a", "/etc/rc0.d/K01a"]
        .map(|path| link(&tree, path).unwrap());
    assert_eq!(links, ["../init.d/a"; 3]);
}

#[test]
fn the_helper_for_dropped_files() {
    let md5 = Md5::of(b"1");
    let mut tree = image(&stanza(
        "a",
        "1",
        &format!("Conffiles:\n /etc/old {md5}\n /etc/from {md5}\n /etc/mine {md5}\n"),
    ));
    let list = "/.\n/etc/old\n/etc/from\n/etc/mine\n/usr/share/d\n";
    tree.put_file("/var/lib/dpkg/info/a.list", list, Stat::root(0o644, TIME))
        .unwrap();
    for (path, text) in [
        ("/etc/old", "1"),
        ("/etc/from", "changed"),
        ("/etc/mine", "changed"),
    ] {
        tree.put_file(path, text, Stat::root(0o644, TIME)).unwrap();
    }
    tree.put_symlink("/usr/share/d", "/usr/lib", TIME).unwrap();
    let helper = "dpkg-maintscript-helper rm_conffile /etc/old 2~ -- \"$@\"\n\
        dpkg-maintscript-helper rm_conffile /etc/mine 2~ a -- \"$@\"\n\
        dpkg-maintscript-helper mv_conffile /etc/from /etc/to 2~ -- \"$@\"\n\
        dpkg-maintscript-helper symlink_to_dir /usr/share/d /usr/lib 2~ -- \"$@\"\n";
    let deb = Deb::new("a", "2", "")
        .member("conffiles", "/etc/to\n")
        .file("./etc/to", "2")
        .dir("./usr/share/d/");
    let deb = deb
        .file("./usr/share/d/x", "")
        .member("preinst", format!("#!/bin/sh\nset -e\n{helper}"));
    put(&mut tree, &[deb.postinst(helper)]).unwrap();
    assert!(text(&tree, "/etc/old").is_none());
    assert_eq!(text(&tree, "/etc/mine.dpkg-bak").unwrap(), "changed");
    assert_eq!(
        (
            text(&tree, "/etc/to").unwrap(),
            text(&tree, "/etc/to.dpkg-new").unwrap()
        ),
        ("changed".into(), "2".into())
    );
    assert!(
        tree.dir("/usr/share/d")
            .is_some_and(|dir| dir.entries.len() == 1)
            && link(&tree, "/usr/share/d").is_none()
    );
}

#[test]
fn triggers_run_in_the_packages_that_wait_for_them() {
    let mut tree = image(&stanza("w", "1", ""));
    tree.put_file(
        "/var/lib/dpkg/triggers/File",
        "/usr/share/w w/noawait\n",
        Stat::root(0o644, TIME),
    )
    .unwrap();
    tree.put_file(
        "/var/lib/dpkg/triggers/named",
        "w\n",
        Stat::root(0o644, TIME),
    )
    .unwrap();
    let script = "#!/bin/sh\n[ \"$1\" = triggered ] || exit 1\necho \"$2\" > /ran\n";
    tree.put_file(
        "/var/lib/dpkg/info/w.postinst",
        script,
        Stat::root(0o755, TIME),
    )
    .unwrap();
    let triggers = "interest-noawait /own\nactivate named\n";
    put(
        &mut tree,
        &[Deb::new("a", "1", "")
            .file("./usr/share/w/x", "")
            .member("triggers", triggers)],
    )
    .unwrap();
    assert_eq!(text(&tree, "/ran").unwrap(), "/usr/share/w named\n");
    assert_eq!(
        text(&tree, "/var/lib/dpkg/triggers/File").unwrap(),
        "/usr/share/w w/noawait\n/own a/noawait\n"
    );
}

#[test]
fn hostile_packages_are_refused() {
    let good = Deb::new("a", "1", "")
        .postinst("true\n")
        .file("./x", "content")
        .bytes();
    let read = |bytes: Vec<u8>| {
        let source: Source = Arc::new(MemSource(bytes.into()));
        crate::deb::Package::read(
            &source,
            crate::deb::DebLimits {
                control: 10_000,
                data: 10_000,
                entries: 10,
            },
        )
    };
    assert!(read(good.clone()).is_ok());
    for len in 0..good.len() - 1024 {
        assert!(read(good[..len].to_vec()).is_err(), "{len}");
    }
    for at in 0..good.len() {
        for bit in [0x01, 0x80] {
            let mut bad = good.clone();
            bad[at] ^= bit;
            let _ = read(bad);
        }
    }
    let said = read(
        Deb::new("a", "1", "")
            .file("./x", &"x".repeat(20_000))
            .bytes(),
    )
    .unwrap_err()
    .to_string();
    assert_eq!(said, "data.tar exceeds the limit of 10000 bytes");
    let many = (0..11).fold(Deb::new("a", "1", ""), |deb, n| deb.dir(&format!("./{n}/")));
    assert_eq!(
        read(many.bytes()).unwrap_err().to_string(),
        "data.tar exceeds the limit of 10 entries"
    );
    let mut huge = good;
    huge[8 + 48..8 + 58].copy_from_slice(b"9999999999");
    assert!(
        read(huge)
            .unwrap_err()
            .to_string()
            .contains("member debian-binary has 9999999999 bytes")
    );
}

/// Installs a package with this `postinst` into an image with a few more files; what the script
/// writes to `/out`.
fn result_of(body: &str) -> Result<(Tree, String), String> {
    let mut tree = image("");
    for dir in ["/tmp", "/d", "/usr/lib/systemd/system", "/etc/skel"] {
        tree.mkdir(dir, &Stat::root(0o755, TIME)).unwrap();
    }
    tree.put_file("/etc/skel/rc", "rc", Stat::root(0o644, TIME))
        .unwrap();
    tree.put_file("/usr/bin/systemctl", "", Stat::root(0o755, TIME))
        .unwrap();
    tree.put_file("/usr/bin/update-xmlcatalog", "", Stat::root(0o755, TIME))
        .unwrap();
    let mut deb = Deb::new("a", "1", "").postinst(body);
    deb = deb.file(
        "./usr/lib/systemd/system/u.service",
        "[Unit]\nWantedBy=no.target\n[Install]\nWantedBy = x.target \\\n y.target\nAlias=%p-z.service\n",
    );
    put(&mut tree, &[deb])?;
    let out = text(&tree, "/out").unwrap_or_default();
    Ok((tree, out))
}

#[test]
fn commands_print_what_the_programs_print() {
    for (body, out) in [
        (
            "N=; for t in e d r x s f; do if [ -$t \"$N\" ]; then echo $t; fi; done > /out",
            "",
        ),
        (
            "if [ ! -e \"\" ] && [ -x \"$(command -v nope)\" ]; then echo no; else echo yes; fi > /out",
            "yes\n",
        ),
        (
            "if [ ! -e /nope -a -e /nope2 ]; then echo no; else echo yes; fi > /out",
            "yes\n",
        ),
        (
            "if [ ! 1 = 2 -a \\( a = b -o c = c \\) ]; then echo yes; fi > /out",
            "yes\n",
        ),
        (
            "uname -m > /out; arch >> /out; uname >> /out; dpkg --print-architecture >> /out",
            "x86_64\nx86_64\nLinux\namd64\n",
        ),
        (
            "id -u daemon > /out; id -gn daemon >> /out; id none || echo none >> /out; id -u >> /out",
            "1\ndaemon\nnone\n0\n",
        ),
        ("echo ~daemon > /out; echo \"a\\tb\" >> /out", "/\na\tb\n"),
        (
            "dpkg-query -W -f='${Status}|${db:Status-Abbrev}' a > /out",
            "install ok half-configured|iF ",
        ),
        (
            "grep -c ':x:' /etc/group > /out; grep -E '^(adm|users):' /etc/group >> /out",
            "5\nadm:x:4:\nusers:x:100:\n",
        ),
        (
            "sed -i 's/^root/toor/' /etc/group; sed -n '1p' /etc/group > /out",
            "toor:x:0:\n",
        ),
        (
            "t=$(mktemp); echo x > $t; u=$(mktemp -d); cat $t > /out; rm -r $t $u",
            "x\n",
        ),
        (
            "readlink -f /none/x > /out || echo no >> /out; readlink -f /lib >> /out",
            "no\n/usr/lib\n",
        ),
        (
            "mkdir /none/x 2>/dev/null || echo a > /out; touch /none/y || echo b >> /out; cp /etc/group /none/z || echo c >> /out",
            "a\nb\nc\n",
        ),
        (
            "touch /d/a /d/b; mkdir /d/c; find /d -type f -name 'a*' -exec rm {} \\;; find /d > /out",
            "/d\n/d/b\n/d/c\n",
        ),
        (
            "printf 'b\\na\\nb\\n' | sort -u | tr a-z A-Z | tail -n 1 > /out",
            "B\n",
        ),
    ] {
        let (_, found) = result_of(body).unwrap_or_else(|e| panic!("{body}: {e}"));
        assert_eq!(found, out, "{body}");
    }
    for body in [
        "uname -r > /out",
        "[ -e /proc/mounts ] && echo x",
        "[ \"\" -eq 1 ] || true",
        "echo x > /dev/kmsg",
        "sed 's/a/b/w /x' /etc/group > /out",
        "grep '\\(a\\)\\1' /etc/group || true",
        "date > /out",
    ] {
        let said = result_of(body).map(|_| ()).unwrap_err();
        assert!(said.contains("line 3"), "{body}: {said}");
    }
}

#[test]
fn files_get_the_owners_and_modes_of_the_real_commands() {
    let body = "mkdir /d/s; chgrp adm /d/s; chmod g+s /d/s; mkdir /d/s/sub; touch /d/s/f; echo x > /d/s/e\n\
        cp /etc/group /d/s/c; ln -s x /d/s/l; chmod 755 /d/s; mkdir -m 700 /d/s/m\n\
        ln -s f /d/link; cp -a /d/link /d/A; cp -P /d/link /d/P\n\
        touch /d/own; chown daemon: /d/own; touch /d/suid; chmod 4755 /d/suid; chown root:adm /d/suid\n\
        mkdir /d/keep; chmod 2755 /d/keep; chown daemon /d/keep\n\
        install -m 600 -m 640 /etc/group /d/i";
    let (tree, _) = result_of(body).unwrap();
    let stat = |path: &str| match tree.find_nofollow(path).unwrap_or_else(|| panic!("{path}")) {
        Node::Dir(dir) => (dir.stat.mode, dir.stat.uid, dir.stat.gid),
        Node::Leaf(leaf) => (leaf.stat.mode, leaf.stat.uid, leaf.stat.gid),
    };
    for (path, expected) in [
        ("/d/s", (0o2755, 0, 4)),
        ("/d/s/sub", (0o2755, 0, 4)),
        ("/d/s/f", (0o644, 0, 4)),
        ("/d/s/e", (0o644, 0, 4)),
        ("/d/s/c", (0o644, 0, 4)),
        ("/d/s/l", (0o777, 0, 4)),
        ("/d/s/m", (0o2700, 0, 4)),
        ("/d/own", (0o644, 1, 1)),
        ("/d/suid", (0o755, 0, 4)),
        ("/d/keep", (0o2755, 1, 0)),
        ("/d/i", (0o640, 0, 0)),
    ] {
        assert_eq!(stat(path), expected, "{path}");
    }
    assert_eq!(link(&tree, "/d/A").as_deref(), Some("f"));
    assert_eq!(link(&tree, "/d/P").as_deref(), Some("f"));
}

#[test]
fn capabilities_go_when_the_owner_changes() {
    let mut tree = image("");
    let mut stat = Stat::root(0o755, TIME);
    stat.xattrs.insert(b"security.capability".to_vec(), vec![1]);
    tree.put_file("/usr/bin/ping", "", stat).unwrap();
    put(
        &mut tree,
        &[Deb::new("a", "1", "").postinst("chown root:adm /usr/bin/ping\n")],
    )
    .unwrap();
    let Some(Node::Leaf(leaf)) = tree.find("/usr/bin/ping") else {
        panic!()
    };
    assert!(leaf.stat.xattrs.is_empty() && leaf.stat.gid == 4);
}

#[test]
fn the_last_of_a_repeated_option_counts() {
    let body = "useradd -r -s /bin/sh -s /usr/sbin/nologin -d /x -d /y one\n\
        useradd --system -m -d /home/two two\n\
        adduser --system --group --shell /bin/sh --shell /bin/false --gecos 'A b' three";
    let (tree, _) = result_of(body).unwrap();
    let passwd = text(&tree, "/etc/passwd").unwrap();
    assert!(passwd.contains("::/y:/usr/sbin/nologin\n"), "{passwd}");
    assert!(
        passwd.contains(":A b,,,:/nonexistent:/bin/false\n"),
        "{passwd}"
    );
    assert_eq!(text(&tree, "/home/two/rc").as_deref(), Some("rc"));

    let mut tree = image(&stanza("adduser", "3.152", ""));
    let deb = Deb::new("a", "1", "").postinst("adduser --system --comment 'A b' u\n");
    put(&mut tree, &[deb]).unwrap();
    assert!(
        text(&tree, "/etc/passwd")
            .unwrap()
            .contains(":A b:/nonexistent:")
    );
}

#[test]
fn units_are_enabled_as_systemd_reads_them() {
    for body in ["deb-systemd-helper enable u.service", "systemctl enable u"] {
        let (tree, _) = result_of(body).unwrap();
        for path in [
            "x.target.wants/u.service",
            "y.target.wants/u.service",
            "u-z.service",
        ] {
            let path = format!("/etc/systemd/system/{path}");
            assert!(
                link(&tree, &path).is_some_and(|to| to.ends_with("/u.service")),
                "{body}: {path}"
            );
        }
        let wants = |target: &str| tree.dir(format!("/etc/systemd/system/{target}.wants"));
        assert!(
            wants("no.target").is_none() && wants("\\").is_none(),
            "{body}"
        );
    }
    let (tree, _) =
        result_of("systemctl enable u; systemctl disable u.service; systemctl mask v").unwrap();
    assert!(link(&tree, "/etc/systemd/system/x.target.wants/u.service").is_none());
    assert_eq!(
        link(&tree, "/etc/systemd/system/v.service").as_deref(),
        Some("/dev/null")
    );
    assert!(result_of("systemctl preset-all").is_err());
}

#[test]
fn a_diversion_of_a_script_is_for_its_package() {
    let mut tree = image("");
    let deb = Deb::new("a", "1", "")
        .member(
            "preinst",
            "#!/bin/sh\ndpkg-divert --add --no-rename /usr/share/m\n",
        )
        .file("./usr/share/m", "module");
    put(&mut tree, &[deb]).unwrap();
    assert_eq!(text(&tree, "/usr/share/m").as_deref(), Some("module"));
    let diversions = text(&tree, "/var/lib/dpkg/diversions").unwrap();
    assert_eq!(diversions, "/usr/share/m\n/usr/share/m.distrib\na\n");
}

#[test]
fn answers_of_a_config_script_reach_postinst() {
    let deb = Deb::new("a", "1", "")
        .member(
            "templates",
            "Template: a/q\nType: string\nDefault: static\n",
        )
        .member(
            "config",
            "#!/bin/sh\n. /usr/share/debconf/confmodule\ndb_set a/q computed-$(uname)\n",
        )
        .postinst(". /usr/share/debconf/confmodule\ndb_get a/q\necho $RET > /out\n");
    let mut tree = image("");
    put(&mut tree, &[deb]).unwrap();
    assert_eq!(text(&tree, "/out").as_deref(), Some("computed-Linux\n"));
    let said = put(
        &mut image(""),
        &[Deb::new("a", "1", "")
            .member("config", "#!/usr/bin/perl\n")
            .postinst(". /usr/share/debconf/confmodule\n")],
    )
    .unwrap_err();
    assert!(said.contains("a 1: config is not a shell script"), "{said}");
}

#[test]
fn libraries_that_only_a_new_loader_cache_finds_are_refused() {
    let deb = |dir: &str| {
        Deb::new("a", "1", "")
            .file("./etc/ld.so.conf.d/a.conf", "/opt/a/lib\n")
            .file(&format!("./{dir}/liba.so.1"), "")
            .postinst("ldconfig\n")
    };
    let make = |cache: &str| {
        let mut tree = image("");
        let conf = "include /etc/ld.so.conf.d/*.conf\n";
        tree.put_file("/etc/ld.so.conf", conf, Stat::root(0o644, TIME))
            .unwrap();
        tree.put_file("/etc/ld.so.cache", cache, Stat::root(0o644, TIME))
            .unwrap();
        tree
    };
    let said = put(&mut make(""), &[deb("opt/a/lib")]).unwrap_err();
    assert!(
        said.contains("/opt/a/lib/liba.so.1 is found by the loader's cache alone"),
        "{said}"
    );
    put(&mut make("\0/opt/a/lib/liba.so.1\0"), &[deb("opt/a/lib")]).unwrap();
    put(&mut make(""), &[deb("usr/lib/x86_64-linux-gnu")]).unwrap();
}

/// A shared library for amd64 that calls itself `soname`.
fn library(soname: &str) -> Vec<u8> {
    let mut elf = vec![0; 0x200];
    let mut put = |at: usize, bytes: &[u8]| elf[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"\x7fELF\x02\x01");
    put(16, &[3, 0, 62, 0]);
    put(32, &[64]);
    put(54, &[56, 0, 2, 0]);
    for (at, kind, start) in [(64, 1, 0_u16), (120, 2, 0x100)] {
        put(at, &[kind]);
        put(at + 8, &start.to_le_bytes());
        put(at + 16, &start.to_le_bytes());
        put(at + 32, &0x100_u16.to_le_bytes());
    }
    put(64 + 32, &0x200_u16.to_le_bytes());
    put(0x100, &[5, 0, 0, 0, 0, 0, 0, 0, 0x80, 1]);
    put(0x110, &[14, 0, 0, 0, 0, 0, 0, 0, 1]);
    put(0x181, soname.as_bytes());
    elf
}

#[test]
fn the_loader_cache_is_rebuilt() {
    let root = || Stat::root(0o755, TIME);
    let make = |program: &str| {
        let mut tree = image("");
        tree.put_file("/etc/ld.so.conf", "include x/*.conf\n", root())
            .unwrap();
        tree.put_file("/sbin/ldconfig", program, root()).unwrap();
        tree
    };
    let deb = |bytes: Vec<u8>| {
        Deb::new("a", "1", "")
            .file("./etc/x/a.conf", "/opt/a//\n")
            .file_bytes("./opt/a/liba.so.1.2", &bytes)
            .postinst("ldconfig\n")
    };
    let known = "\0ldconfig (X) stable release version 2.40\0";
    let mut tree = make(known);
    tree.put_symlink("/usr/lib/libold.so.1", "gone", TIME)
        .unwrap();
    put(&mut tree, &[deb(library("liba.so.1"))]).unwrap();
    let cache = tree.read("/etc/ld.so.cache", 1 << 20).unwrap().unwrap();
    let has = |cache: &[u8], text: &[u8]| cache.windows(text.len()).any(|part| part == text);
    assert!(has(&cache, b"/opt/a/liba.so.1\0"));
    assert!(cache.ends_with(b"ldconfig (X) stable release version 2.40"));
    assert!(tree.find_nofollow("/usr/lib/libold.so.1").is_none());
    assert!(matches!(
        tree.find_nofollow("/opt/a/liba.so.1"),
        Some(Node::Leaf(Leaf { kind: LeafKind::Symlink(target), .. })) if target == b"liba.so.1.2"
    ));
    // Of an older ldconfig, or with a library of another machine, nothing is made.
    let mut other = library("liba.so.1");
    other[18] = 3;
    for (program, bytes) in [("\0", library("liba.so.1")), (known, other)] {
        let said = put(&mut make(program), &[deb(bytes)]).unwrap_err();
        assert!(said.contains("/opt/a/liba.so.1.2 is found by"), "{said}");
    }
}

#[test]
fn lines_of_tmpfiles_are_done_or_refused() {
    let deb = |lines: &str| {
        Deb::new("a", "1", "")
            .file("./usr/lib/tmpfiles.d/a.conf", lines)
            .postinst("systemd-tmpfiles --create a.conf || true\n")
    };
    let make = || {
        let mut tree = image("");
        tree.put_file("/bin/systemd-tmpfiles", "", Stat::root(0o755, TIME))
            .unwrap();
        tree
    };
    let mut tree = make();
    let lines = "# x\nd /var/lib/a 2750 0 4\nf /var/lib/a/f - - - - x\\ny\nh /run/x - - - - +C\n";
    put(&mut tree, &[deb(lines)]).unwrap();
    let stat = &tree.dir("/var/lib/a").unwrap().stat;
    assert_eq!((stat.mode, stat.uid, stat.gid), (0o2750, 0, 4));
    assert_eq!(text(&tree, "/var/lib/a/f").as_deref(), Some("x\ny"));
    for line in ["h /etc - - - - +C", "d /var/lib/%b", "q^ /x"] {
        let said = put(&mut make(), &[deb(&format!("#\n{line}\n"))]).unwrap_err();
        let place = format!("line 2 of /usr/lib/tmpfiles.d/a.conf (`{line}`) is unknown");
        assert!(said.contains(&place), "{said}");
    }
}

#[test]
fn a_package_of_which_nothing_is_left_is_refused() {
    let debs = [
        Deb::new("a", "1", "").dir("./usr/").file("./usr/x", "1"),
        Deb::new("b", "1", "Replaces: a\n")
            .dir("./usr/")
            .file("./usr/x", "2"),
    ];
    let said = put(&mut image(""), &debs).unwrap_err();
    assert!(said.contains("b 1 replaces every file of a"), "{said}");
}

#[test]
fn what_is_left_out_is_said_and_promises_nothing() {
    let mut tree = image("");
    for name in ["gtk-update-icon-cache", "update-mime-database"] {
        tree.put_file(format!("/usr/bin/{name}"), "", Stat::root(0o755, TIME))
            .unwrap();
    }
    let deb = |name: &str, line: &str| [Deb::new(name, "1", "").postinst(line)];
    let done = put(&mut tree, &deb("a", "gtk-update-icon-cache -q /x\n")).unwrap();
    assert_eq!(
        done.notes,
        [
            "package a: postinst: `gtk-update-icon-cache -q /x` is left out: the cache of icons \
             stays that of the golden image"
        ]
    );
    let said = put(&mut tree, &deb("b", "update-mime-database /x\n")).unwrap_err();
    assert!(
        said.contains("update-mime-database /x (the database of MIME types cannot be made here)"),
        "{said}"
    );
}

#[test]
fn catalogues_of_sgml_are_listed_where_all_that_they_name_is_there() {
    let mut tree = image("");
    let stat = || Stat::root(0o755, TIME);
    tree.put_file("/usr/sbin/update-catalog", "", stat())
        .unwrap();
    tree.mkdir("/var/lib/sgml-base", &stat()).unwrap();
    for (path, text) in [
        (
            "/etc/sgml/a.cat",
            "-- x CATALOG none --\nCATALOG /x/y\ncatalog \"b.cat\"\n",
        ),
        ("/etc/sgml/b.cat", "CATALOG /x/missing\n"),
        ("/x/y", ""),
    ] {
        tree.put_file(path, text, stat()).unwrap();
    }
    let deb = |line: &str| [Deb::new("a", "1", "").postinst(line)];
    put(&mut tree, &deb("update-catalog --quiet --update-super\n")).unwrap();
    let made = text(&tree, "/var/lib/sgml-base/supercatalog").unwrap();
    assert!(made.ends_with("\n--\nCATALOG /etc/sgml/a.cat\n"), "{made}");
    tree.put_file("/etc/sgml/c.cat", "BASE /x\n", stat())
        .unwrap();
    let said = put(
        &mut tree,
        &[Deb::new("b", "1", "").postinst("update-catalog --update-super\n")],
    );
    assert!(said.unwrap_err().contains("line 3: update-catalog"));
}

#[test]
fn one_statement_can_be_accepted_alone() {
    let deb = || Deb::new("a", "1", "").postinst("tool --one\ntool --two\n");
    let accept = |statement: &str| {
        vec![AcceptedScript {
            package: "a".into(),
            script: "postinst".into(),
            statement: Some(statement.into()),
            reason: "r".into(),
        }]
    };
    let said = put_with(&mut image(""), &[deb()], accept("tool --one"), true).unwrap_err();
    assert!(
        said.contains("line 4: tool --two") && !said.contains("tool --one"),
        "{said}"
    );
    let fails = Deb::new("a", "1", "").postinst("tool --one\nfalse\n");
    let said = put_with(&mut image(""), &[fails], accept("tool --one"), true).unwrap_err();
    assert!(said.contains("fails with status 1 at line 4"), "{said}");
}

#[test]
fn triggers_of_removed_files_run_and_those_before_configuration_do_not() {
    let script = "#!/bin/sh\necho \"$*\" >> /log\n";
    let interest = || {
        Deb::new("i", "1", "")
            .member(
                "triggers",
                "interest-noawait /usr/share/t\ninterest named\n",
            )
            .member("postinst", script)
    };
    let mut tree = image("");
    let act = Deb::new("b", "1", "")
        .file("./usr/share/t/x", "1")
        .postinst("dpkg-trigger named\n");
    put(&mut tree, &[interest(), act]).unwrap();
    assert_eq!(
        text(&tree, "/log").unwrap(),
        "configure \ntriggered named\n"
    );
    let gone = Deb::new("b", "2", "").file("./usr/share/other", "1");
    put(&mut tree, &[gone]).unwrap();
    assert!(
        text(&tree, "/log")
            .unwrap()
            .ends_with("triggered /usr/share/t\n")
    );
}

#[test]
fn files_that_a_package_needs_are_there_when_it_is_configured() {
    let deb = Deb::new("setup", "1", "").postinst("[ -f /etc/mender/mender.conf ] || exit 1\n");
    let source: Source = Arc::new(MemSource(deb.bytes().into()));
    let mut request = InstallRequest {
        debs: vec![("setup.deb".into(), source)],
        managed: true,
        ..InstallRequest::default()
    };
    let mut tree = image("");
    assert!(install(&mut TreeEditor::new(&mut tree, TIME), &request).is_err());
    request.defaults = vec![DefaultFile {
        package: "setup".into(),
        path: "/etc/mender/mender.conf".into(),
        bytes: b"{}".to_vec(),
        mode: 0o600,
    }];
    install(&mut TreeEditor::new(&mut tree, TIME), &request).unwrap();
    assert_eq!(
        text(&tree, "/etc/mender/mender.conf").as_deref(),
        Some("{}")
    );
    request.defaults[0].package = "other".into();
    assert!(install(&mut TreeEditor::new(&mut image(""), TIME), &request).is_err());
}
