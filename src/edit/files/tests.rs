//! Edits of single files, on a small golden image.

use crate::edit::tests::{content, edited};
use crate::golden::Golden;
use crate::golden::example_tests::{self, Example, TIME, add, empty, esp, ext};
use crate::image::table::types;
use crate::tree::{Leaf, LeafKind, Stat, Tree};
use std::path::Path;

/// A golden image with more files.
fn golden(root: &Tree) -> Golden {
    let mut boot = empty();
    add(&mut boot, "/EFI/BOOT/BOOTX64.EFI", b"");
    add(&mut boot, "/CONFIG.TXT", b"a=1\n[pi4]\nb=1\n");
    let partitions = vec![(types::GPT_ESP, esp(&boot)), (types::GPT_LINUX, ext(root))];
    Example { partitions }.golden()
}

/// The root filesystem of the example, with a client, a second kernel and settings.
fn root() -> Tree {
    let mut root = example_tests::root();
    for (path, bytes) in [
        ("/etc/ssh/sshd_config", "#Port 22\nPermitRootLogin yes\n"),
        ("/etc/systemd/journald.conf", "[Journal]\n#SystemMaxUse=\n"),
        ("/etc/default/a", "A=1\n"),
        ("/etc/default/b", "A=2\n"),
        ("/etc/binary", "\0\u{1}"),
        ("/usr/share/doc/a/copyright", "x"),
        ("/usr/share/doc/b/copyright", "x"),
        ("/usr/bin/mender-update", "x"),
        ("/usr/share/mender/modules/v3/rootfs-image", "x"),
        ("/boot/vmlinuz-5.10.0-1", "old"),
        ("/boot/efi/hidden", "x"),
        ("/lib/modules/6.1.0-1/a.ko", "x"),
        ("/lib/modules/5.10.0-1/a.ko", "x"),
    ] {
        add(&mut root, path, bytes.as_bytes());
    }
    let stat = root.stat_mut("/etc/default/a").unwrap();
    (stat.mode, stat.uid, stat.gid) = (0o600, 7, 8);
    stat.xattrs.insert(b"user.x".to_vec(), b"y".to_vec());
    root.put_symlink("/etc/link", "../../etc/default/b", TIME)
        .unwrap();
    root
}

/// A configuration with edits of every kind.
fn many_edits(overlay: &Path) -> String {
    format!(
        r#"
rootfs.overlays = [{:?}]
client.managed = false
[[rootfs.remove]]
path = "/usr/share/doc/*"
count = 2
[[rootfs.remove]]
path = "/**/*5.10.0-1"
[[rootfs.remove]]
path = "/nothing"
optional = true
[[rootfs.edit]]
path = "/etc/brought"
append = "two"
[[rootfs.edit]]
path = "/etc/fstab"
replace = "noatime"
with = "relatime"
places = 1
[[rootfs.edit]]
path = "/etc/default/*"
count = 2
set = "A"
value = "a b"
style = "shell"
[[rootfs.edit]]
path = "/etc/link"
append = "B=1"
[[rootfs.edit]]
path = "/etc/systemd/journald.conf.d/size.conf"
set = "SystemMaxUse"
section = "Journal"
value = "64M"
create = true
[[rootfs.edit]]
path = "/boot/efi/config.txt"
set = "b"
section = "pi4"
value = "2"
[[rootfs.edit]]
path = "/etc/never"
append = "x"
arch = "arm64"
"#,
        overlay
    )
}

#[test]
fn files_are_removed_and_edited_before_the_integration() {
    let overlay = tempfile::tempdir().unwrap();
    std::fs::create_dir(overlay.path().join("etc")).unwrap();
    std::fs::write(overlay.path().join("etc/brought"), "one\n").unwrap();
    let text = many_edits(overlay.path());
    let golden = golden(&root());
    let edited = edited(&golden, &text).unwrap();
    let root = &edited.trees.root;
    let is = |path: &str, text: &str| assert_eq!(content(root, path).as_deref(), Some(text));
    is("/etc/brought", "one\ntwo\n");
    is("/etc/default/a", "A=\"a b\"\n");
    is("/etc/default/b", "A=\"a b\"\nB=1\n");
    is(
        "/etc/systemd/journald.conf.d/size.conf",
        "[Journal]\nSystemMaxUse=64M\n",
    );
    assert!(root.find_nofollow("/usr/share/doc/a").is_none());
    assert!(root.find_nofollow("/boot/vmlinuz-5.10.0-1").is_none());
    let fstab = content(root, "/etc/fstab").unwrap();
    assert!(fstab.contains("relatime"), "{fstab}");
    let boot = content(&edited.trees.boot, "/CONFIG.TXT").unwrap();
    assert_eq!(boot, "a=1\n[pi4]\nb=2\n");
    // Owner, mode and attributes stay, and so does the symbolic link.
    let mut tree = root.clone();
    let stat = tree.stat_mut("/etc/default/a").unwrap();
    assert_eq!((stat.mode, stat.uid, stat.gid), (0o600, 7, 8));
    assert_eq!(stat.xattrs.len(), 1);
    let link = tree.find_nofollow("/etc/link");
    let is_link = |leaf: &Leaf| matches!(leaf.kind, LeafKind::Symlink(_));
    assert!(matches!(link, Some(crate::tree::Node::Leaf(leaf)) if is_link(leaf)));
    // Each edit says which line of the configuration asked for it.
    let reason = |path: &str| {
        let mut changes = edited.changes.iter();
        let change = changes.find(|change| change.path == path);
        change.map(|change| change.reason.as_str())
    };
    assert_eq!(
        reason("/usr/share/doc/a"),
        Some("rootfs.remove (configuration:5)")
    );
    assert_eq!(
        reason("/etc/brought"),
        Some("rootfs.edit (configuration:13)")
    );
    assert_eq!(
        reason("/CONFIG.TXT"),
        Some("rootfs.edit (configuration:36)")
    );
    let left_out = "rootfs.edit (configuration:41): /etc/never is left out: for architecture arm64";
    assert!(
        edited.notes.iter().any(|note| note == left_out),
        "{:?}",
        edited.notes
    );
}

#[test]
fn an_entry_that_is_refused_removes_nothing_that_later_entries_need() {
    let golden = golden(&root());
    let text = "client.managed = false\n[[rootfs.remove]]\npath = \"/**\"\n\
        [[rootfs.edit]]\npath = \"/etc/ssh/sshd_config\"\nappend = \"x\"\n\
        [[rootfs.remove]]\npath = \"/etc/none\"\n";
    let error = edited(&golden, text).map(|_| ()).unwrap_err();
    let errors: Vec<&str> = error
        .lines()
        .filter(|line| !line.starts_with("hint: "))
        .collect();
    assert_eq!(errors.len(), 5, "{error}");
    assert!(
        errors.iter().all(|one| one.contains("rootfs.remove")),
        "{error}"
    );
    assert!(
        error.contains("has no file or directory /etc/none"),
        "{error}"
    );
}

#[test]
fn what_does_not_fit_is_refused() {
    let golden = golden(&root());
    let refused = |text: &str, expected: &str| {
        let text = format!("client.managed = false\n{text}\n");
        let error = edited(&golden, &text).map(|_| ()).unwrap_err();
        assert!(error.contains(expected), "{text}{error}");
    };
    let remove = |path: &str, expected: &str| {
        refused(&format!("[[rootfs.remove]]\npath = {path:?}"), expected);
    };
    remove(
        "/none",
        "has no file or directory /none\nhint: correct the path",
    );
    remove("/", "/ cannot be removed: /bin");
    remove(
        "/**",
        "more paths that /** matches cannot be removed either\nhint: name the files",
    );
    remove(
        "/sbin",
        "/sbin cannot be removed: where programs are looked for",
    );
    remove(
        "/etc/fst*",
        "/etc/fstab cannot be removed: the list of filesystems\nhint: name the",
    );
    remove(
        "/var/lib",
        "cannot be removed: /var/lib/dpkg/status, the list of installed packages",
    );
    remove("/usr/bin/mender-*", "cannot be removed: the update client");
    remove(
        "/boot/efi",
        "cannot be removed: the mount point of the boot partition",
    );
    remove(
        "/boot/vmlinuz-*",
        "no kernel is left: 5.10.0-1, 6.1.0-1 removed from /boot",
    );
    remove(
        "/lib/modules/6*",
        "/lib/modules/6.1.0-1 is removed, but the kernel is kept",
    );
    remove(
        "/data/x",
        "/data/x is on the data partition, which starts empty",
    );
    let edit = |text: &str, expected: &str| {
        refused(&format!("[[rootfs.edit]]\n{text}"), expected);
    };
    edit(
        "path = \"/etc/default/*\"\ncount = 3\nappend = \"x\"",
        "2 paths match /etc/default/*, but count is 3",
    );
    edit(
        "path = \"/etc/ssh/sshd_config\"\nreplace = \"Port 23\"\nwith = \"\"",
        "/etc/ssh/sshd_config: does not contain \"Port 23\", the text of `replace`",
    );
    edit(
        "path = \"/etc/default/*\"\nreplace = \"A\"\nwith = \"B\"\nplaces = 1",
        "the text is at 2 places, but places is 1",
    );
    edit(
        "path = \"/etc/binary\"\nappend = \"x\"",
        "/etc/binary is not a text file in UTF-8",
    );
    edit(
        "path = \"/etc/default\"\nappend = \"x\"",
        "/etc/default is not a regular file",
    );
    edit(
        "path = \"/etc/no\"\nappend = \"x\"",
        "has no file /etc/no\nhint: correct the path; to make",
    );
}

#[test]
fn other_names_of_a_file_are_told_of() {
    let mut root = root();
    let stat = Stat::root(0o644, TIME);
    let id = root.put_file("/etc/one", "x\n", stat.clone()).unwrap();
    root.link("/etc/two", id, &stat).unwrap();
    let golden = golden(&root);
    let text = "client.managed = false\n[[rootfs.edit]]\npath = \"/etc/one\"\nappend = \"y\"\n";
    let edited = edited(&golden, text).unwrap();
    let expected = "rootfs.edit (configuration:3): /etc/one has other names, which keep the old text: /etc/two";
    assert!(
        edited.warnings.iter().any(|one| one == expected),
        "{:?}",
        edited.warnings
    );
}
