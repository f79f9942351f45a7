//! Packages installed into a tree, held against what dpkg itself makes of the same packages in the
//! same root.

mod upgrade;

use crate::support::{run, scratch, tool};
use goldsmith::dpkg::{InstallReport, InstallRequest, install};
use goldsmith::stream::{Content, FileSource, HostFile, ReadAt};
use goldsmith::tree::editor::TreeEditor;
use goldsmith::tree::{DirEntry, Leaf, LeafId, LeafKind, Stat, Time, Tree};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

/// The root and packages of `fixtures/minbase.sh`, made once; `None` (said aloud) without root or
/// the tools.
fn fixture() -> Option<&'static Path> {
    static FIXTURE: OnceLock<Option<PathBuf>> = OnceLock::new();
    let make = || {
        if !rustix::process::geteuid().is_root() {
            assert!(std::env::var_os("CI").is_none(), "these tests need root");
            eprintln!("SKIPPED: these tests need root");
            return None;
        }
        for name in ["mmdebstrap", "chroot", "dpkg-deb"] {
            tool(name)?;
        }
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debs");
        if !dir.join("root.tar").is_file() {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/minbase.sh");
            let made = run("sh", &[&script, &dir]);
            assert!(
                made.status.success(),
                "{}",
                String::from_utf8_lossy(&made.stderr)
            );
        }
        Some(dir)
    };
    FIXTURE.get_or_init(make).as_deref()
}

/// A tar archive as a tree; contents stay in the archive's file.
fn tree_of(tar: &Path) -> Tree {
    let len = fs::metadata(tar).unwrap().len();
    let source: Arc<dyn ReadAt> = Arc::new(FileSource::open(tar).unwrap());
    let mut tree = Tree::new(Stat::root(0o755, Time::default()));
    let mut ids: BTreeMap<Vec<u8>, LeafId> = BTreeMap::new();
    let mut archive = tar::Archive::new(fs::File::open(tar).unwrap());
    for entry in archive.entries_with_seek().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        let time = Time {
            seconds: i64::try_from(header.mtime().unwrap()).unwrap(),
            nanos: 0,
        };
        let id = |id: u64| u32::try_from(id).unwrap();
        let mode = u16::try_from(header.mode().unwrap() & 0o7777).unwrap();
        let stat = Stat {
            uid: id(header.uid().unwrap()),
            gid: id(header.gid().unwrap()),
            ..Stat::root(mode, time)
        };
        let path = [
            b"/",
            entry
                .path_bytes()
                .trim_ascii_start()
                .strip_prefix(b"./")
                .unwrap_or(b""),
        ]
        .concat();
        let path = path.strip_suffix(b"/").unwrap_or(&path).to_vec();
        let kind = match header.entry_type() {
            tar::EntryType::Directory if path.is_empty() => continue,
            tar::EntryType::Directory => {
                tree.mkdir(&path, &stat).unwrap();
                continue;
            }
            tar::EntryType::Link => {
                let target = entry.link_name_bytes().unwrap().into_owned();
                let target = [b"/", target.strip_prefix(b"./").unwrap_or(&target)].concat();
                tree.link(&path, ids[&target], &stat).unwrap();
                continue;
            }
            tar::EntryType::Symlink => {
                LeafKind::Symlink(entry.link_name_bytes().unwrap().into_owned())
            }
            tar::EntryType::Char => LeafKind::CharDevice {
                major: header.device_major().unwrap().unwrap(),
                minor: header.device_minor().unwrap().unwrap(),
            },
            _ => {
                let mut content = Content::hole(entry.size());
                let offset = entry.raw_file_position();
                assert!(offset + entry.size() <= len);
                content.push(goldsmith::stream::Run {
                    offset: 0,
                    len: entry.size(),
                    source: source.clone(),
                    source_offset: offset,
                });
                LeafKind::File(content)
            }
        };
        let id = tree.put(&path, Leaf { stat, kind }).unwrap();
        ids.insert(path, id);
    }
    tree
}

/// Writes a tree into a directory of the host.
fn materialise(tree: &Tree, root: &Path) {
    let mut first: BTreeMap<LeafId, PathBuf> = BTreeMap::new();
    tree.visit(&mut |path, entry| {
        let to = root.join(Path::new(std::ffi::OsStr::from_bytes(&path[1..])));
        let stat = match entry {
            DirEntry::Dir(dir) => {
                fs::create_dir(&to).unwrap();
                &dir.stat
            }
            DirEntry::Leaf(id) => {
                if let Some(first) = first.get(id) {
                    return fs::hard_link(first, &to).unwrap();
                }
                first.insert(*id, to.clone());
                let leaf = tree.leaf(*id);
                match &leaf.kind {
                    LeafKind::File(content) => {
                        fs::write(&to, content.read_all(1 << 30).unwrap()).unwrap()
                    }
                    LeafKind::Symlink(target) => {
                        std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(target), &to)
                            .unwrap()
                    }
                    LeafKind::CharDevice { major, minor } => {
                        let (major, minor) = (major.to_string(), minor.to_string());
                        assert!(run("mknod", &[&to, &"c", &major, &minor]).status.success());
                    }
                    other => panic!("{other:?}"),
                }
                &leaf.stat
            }
        };
        std::os::unix::fs::lchown(&to, Some(stat.uid), Some(stat.gid)).unwrap();
        if !to.is_symlink() {
            fs::set_permissions(&to, fs::Permissions::from_mode(u32::from(stat.mode))).unwrap();
        }
    });
}

/// A line for each path below a directory: type, mode, owner, and what is in it.
fn listing(root: &Path) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for entry in walkdir::WalkDir::new(root).min_depth(1) {
        let entry = entry.unwrap();
        let meta = entry.path().symlink_metadata().unwrap();
        let path = entry
            .path()
            .strip_prefix(root)
            .unwrap()
            .display()
            .to_string();
        let what = if meta.is_symlink() {
            format!("-> {}", fs::read_link(entry.path()).unwrap().display())
        } else if meta.is_file() {
            content(&path, &fs::read(entry.path()).unwrap())
        } else {
            String::new()
        };
        out.insert(
            path,
            format!("{:o} {}:{} {what}", meta.mode(), meta.uid(), meta.gid()),
        );
    }
    out
}

/// The same of a tree.
fn tree_listing(tree: &Tree) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    tree.visit(&mut |path, entry| {
        let path = String::from_utf8_lossy(&path[1..]).into_owned();
        let (stat, kind, what) = match entry {
            DirEntry::Dir(dir) => (&dir.stat, 0o040_000, String::new()),
            DirEntry::Leaf(id) => {
                let leaf = tree.leaf(*id);
                let (kind, what) = match &leaf.kind {
                    LeafKind::File(bytes) => {
                        (0o100_000, content(&path, &bytes.read_all(1 << 30).unwrap()))
                    }
                    LeafKind::Symlink(target) => {
                        (0o120_000, format!("-> {}", String::from_utf8_lossy(target)))
                    }
                    LeafKind::CharDevice { .. } => (0o020_000, String::new()),
                    other => panic!("{path}: {other:?}"),
                };
                (&leaf.stat, kind, what)
            }
        };
        out.insert(
            path,
            format!(
                "{:o} {}:{} {what}",
                kind | u32::from(stat.mode),
                stat.uid,
                stat.gid
            ),
        );
    });
    out
}

fn content(path: &str, bytes: &[u8]) -> String {
    // dpkg writes these in the order of its hash table.
    if let Some(group) = [("statoverride", 1), ("diversions", 3)]
        .iter()
        .find(|(name, _)| path == format!("var/lib/dpkg/{name}"))
    {
        let lines: Vec<&str> = std::str::from_utf8(bytes).unwrap().lines().collect();
        let mut records: Vec<String> = lines.chunks(group.1).map(|lines| lines.join(" ")).collect();
        records.sort_unstable();
        return records.join("; ");
    }
    let small = std::str::from_utf8(bytes)
        .ok()
        .filter(|text| text.len() < 4000 && path.starts_with("var/lib/"));
    small.map_or_else(
        || {
            Sha256::digest(bytes)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect()
        },
        str::to_owned,
    )
}

fn chroot(root: &Path, command: &[&str]) -> (bool, String) {
    let output = Command::new("chroot")
        .arg(root)
        .args(command)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

fn debs(dir: &Path) -> Vec<PathBuf> {
    let mut out: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    out.retain(|path| path.extension().is_some_and(|extension| extension == "deb"));
    out.sort();
    out
}

fn request(paths: &[PathBuf], managed: bool) -> InstallRequest {
    let source = |path: &PathBuf| -> (PathBuf, Arc<dyn ReadAt>) {
        (
            path.clone(),
            Arc::new(HostFile::new(
                path.clone(),
                fs::metadata(path).unwrap().len(),
            )),
        )
    };
    InstallRequest {
        debs: paths.iter().map(source).collect(),
        managed,
        ..InstallRequest::default()
    }
}

/// The time of today, so that the day of a new account's password is that of dpkg's run.
fn today() -> Time {
    let output = Command::new("date").arg("+%s").output().unwrap();
    Time {
        seconds: String::from_utf8(output.stdout)
            .unwrap()
            .trim()
            .parse()
            .unwrap(),
        nanos: 0,
    }
}

fn installed(tree: &mut Tree, request: &InstallRequest) -> InstallReport {
    let mut editor = TreeEditor::new(tree, today());
    install(&mut editor, request).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Paths that dpkg leaves different, and why that does not matter.
const EXPECTED: [(&str, &str); 12] = [
    (
        "etc/ld.so.cache",
        "ldconfig's cache; the loader falls back to the standard directories",
    ),
    ("var/cache/ldconfig", "the same"),
    ("var/log/", "logs of the run"),
    ("var/lib/dpkg/status-old", "a backup"),
    ("var/lib/dpkg/diversions-old", "a backup"),
    ("var/lib/dpkg/statoverride-old", "a backup"),
    (
        "var/cache/debconf/",
        "debconf loads templates when it is next asked",
    ),
    ("etc/passwd-", "a backup"),
    ("etc/group-", "a backup"),
    ("etc/shadow-", "a backup"),
    ("etc/gshadow-", "a backup"),
    ("run/adduser", "a lock"),
];

#[test]
fn the_tree_is_what_dpkg_makes() {
    let Some(fixture) = fixture() else { return };
    let scratch = scratch();
    let theirs = scratch.path().join("theirs");
    let debs = debs(fixture);
    let mut tree = tree_of(&fixture.join("root.tar"));
    let done = installed(&mut tree, &request(&debs, true));
    assert_eq!(done.packages.len(), debs.len(), "{done:#?}");

    fs::create_dir(&theirs).unwrap();
    assert!(
        run("tar", &[&"-C", &theirs, &"-xf", &fixture.join("root.tar")])
            .status
            .success()
    );
    let policy = theirs.join("usr/sbin/policy-rc.d");
    fs::write(&policy, "#!/bin/sh\nexit 101\n").unwrap();
    fs::set_permissions(&policy, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = vec!["dpkg".to_owned(), "-i".to_owned()];
    for deb in &debs {
        let name = deb.file_name().unwrap().to_str().unwrap();
        fs::copy(deb, theirs.join(name)).unwrap();
        command.push(format!("/{name}"));
    }
    let (fine, said) = chroot(
        &theirs,
        &command.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    assert!(fine, "{said}");
    for deb in &debs {
        fs::remove_file(theirs.join(deb.file_name().unwrap())).unwrap();
    }
    fs::remove_file(policy).unwrap();

    let theirs = listing(&theirs);
    let found = differences(&tree, &theirs);
    assert!(found.is_empty(), "{}\n{done:#?}", found.join("\n"));
    // The comparison sees a link that is missing and a mode that is wrong.
    tree.remove("/etc/systemd/system/multi-user.target.wants/mender-client.service")
        .unwrap();
    tree.stat_mut("/usr/bin/mender").unwrap().mode = 0o700;
    tree.put_file(
        "/etc/chrony/chrony.conf",
        "",
        Stat::root(0o644, Time::default()),
    )
    .unwrap();
    assert_eq!(differences(&tree, &theirs).len(), 3);
}

fn differences(ours: &Tree, b: &BTreeMap<String, String>) -> Vec<String> {
    let a = tree_listing(ours);
    let mut out = Vec::new();
    for path in a
        .keys()
        .chain(b.keys().filter(|path| !a.contains_key(*path)))
    {
        if a.get(path) != b.get(path) && !EXPECTED.iter().any(|(known, _)| path.starts_with(known))
        {
            out.push(format!(
                "{path}\n  ours   {:?}\n  dpkg's {:?}",
                a.get(path),
                b.get(path)
            ));
        }
    }
    out
}

#[test]
fn the_image_lives_on_with_dpkg() {
    let Some(fixture) = fixture() else { return };
    let scratch = scratch();
    let root = scratch.path().join("root");
    let debs = debs(fixture);
    let mut tree = tree_of(&fixture.join("root.tar"));
    let done = installed(&mut tree, &request(&debs, false));
    fs::create_dir(&root).unwrap();
    materialise(&tree, &root);

    let said = |command: &[&str]| {
        let (fine, text) = chroot(&root, command);
        assert!(fine, "{command:?}: {text}");
        text
    };
    assert_eq!(said(&["dpkg", "--audit"]), "");
    for package in &done.packages {
        assert_eq!(said(&["dpkg", "-V", &package.name]), "", "{}", package.name);
        assert!(said(&["dpkg", "-s", &package.name]).contains("Status: install ok installed"));
    }
    said(&["apt-get", "check"]);
    assert!(said(&["mender", "--version"]).contains("3.4.0"));
    said(&["chronyd", "--version"]);
    assert!(
        !root
            .join("etc/systemd/system/multi-user.target.wants/mender-client.service")
            .is_symlink()
    );
    assert!(
        !root
            .join("etc/systemd/system/multi-user.target.wants/mender-connect.service")
            .is_symlink()
    );
    assert!(
        root.join("etc/systemd/system/multi-user.target.wants/chrony.service")
            .is_symlink()
    );
    if tool("systemctl").is_some() {
        let state = |unit: &str| {
            let root = format!("--root={}", root.display());
            String::from_utf8(run("systemctl", &[&root, &"is-enabled", &unit]).stdout).unwrap()
        };
        assert_eq!(state("chrony.service"), "enabled\n");
        assert_eq!(state("mender-client.service"), "disabled\n");
    }
    dpkg_works_on_top_of_it(&root, &debs);
}

/// The dpkg of a device sees a damaged file in `root`, and installs the same packages over ours
/// without a question.
fn dpkg_works_on_top_of_it(root: &Path, debs: &[PathBuf]) {
    let said = |command: &[&str]| {
        let (fine, text) = chroot(root, command);
        assert!(fine, "{command:?}: {text}");
        text
    };
    fs::write(root.join("usr/bin/mender"), "damaged").unwrap();
    assert!(
        chroot(root, &["dpkg", "-V", "mender-client"])
            .1
            .contains("/usr/bin/mender")
    );
    fs::write(root.join("usr/sbin/policy-rc.d"), "#!/bin/sh\nexit 101\n").unwrap();
    fs::set_permissions(
        root.join("usr/sbin/policy-rc.d"),
        fs::Permissions::from_mode(0o755),
    )
    .unwrap();
    for deb in debs.iter().filter(|deb| {
        ["chrony", "mender-c"]
            .iter()
            .any(|name| file_name(deb).starts_with(name))
    }) {
        fs::copy(deb, root.join("x.deb")).unwrap();
        said(&["dpkg", "-i", "/x.deb"]);
    }
    assert_eq!(said(&["dpkg", "--audit"]), "");
    // What was left disabled stays so.
    assert!(
        !root
            .join("etc/systemd/system/multi-user.target.wants/mender-client.service")
            .is_symlink()
    );
    said(&[
        "dpkg",
        "--purge",
        "mender-connect",
        "mender-client",
        "chrony",
    ]);
    assert!(!root.join("usr/bin/mender").exists());
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

#[test]
fn versions_stand_as_dpkg_sorts_them() {
    use goldsmith::deb::Version;
    let Some(dpkg) = tool("dpkg") else { return };
    let versions = [
        "1",
        "1~",
        "1~~",
        "1~a",
        "1.0",
        "1.0-1",
        "1.0-1~bpo12+1",
        "1.0-1+b1",
        "1.0-1+deb12u1",
        "1.0-10",
        "1.0-9",
        "0:1.0-1",
        "1:0.1",
        "1.0a",
        "1.0+ds1-5+b1",
        "1.00",
        "1.0.0",
        "2:1",
        "1.a",
        "1-1-1",
        "0",
        "00",
        "1.+",
        "1.~",
        "3.4.0+ds1-5+b1",
    ];
    for a in versions {
        for b in versions {
            let holds = |operator: &str| {
                run(&dpkg, &[&"--compare-versions", &a, &operator, &b])
                    .status
                    .success()
            };
            let order = a.parse::<Version>().unwrap().cmp(&b.parse().unwrap());
            assert_eq!(
                (order.is_lt(), order.is_eq()),
                (holds("lt"), holds("eq")),
                "{a} {b}"
            );
        }
    }
}
