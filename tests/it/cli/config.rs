//! Configuration as users meet it: files on disk, messages word for word, the manual.

use crate::support::scratch;
use goldsmith::config::{
    BootloaderChoice, Config, ConfigError, Device, Headroom, ImageFormat, OriginKind,
    OverlayTarget, TableChoice, boards, built_in, example, expand, json_schema, load, manual,
};
use goldsmith::platform::Firmware;
use std::fs;
use std::path::{Path, PathBuf};

/// Writes files (path and text) below `dir`.
pub(super) fn write(dir: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// Loads files below `dir`.
pub(super) fn load_in(dir: &Path, files: &[&str], sets: &[&str]) -> Result<Config, ConfigError> {
    let files: Vec<PathBuf> = files.iter().map(|file| dir.join(file)).collect();
    load(
        &files,
        &sets.iter().map(|&set| set.to_owned()).collect::<Vec<_>>(),
    )
}

/// What is wrong with `result`, the scratch directory left out of it.
pub(super) fn complaint(dir: &Path, result: Result<Config, ConfigError>) -> String {
    let text = result.map(|config| config.show()).unwrap_err().to_string();
    text.replace(&format!("{}/", dir.display()), "")
}

#[test]
fn generated_files_are_up_to_date() {
    for (file, text) in [
        ("docs/configuration.md", manual()),
        ("configs/example.toml", example()),
        ("configs/goldsmith.schema.json", json_schema()),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        if std::env::var_os("GOLDSMITH_BLESS").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &text).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == text,
            "{file} differs from the definitions of the keys; run the tests with GOLDSMITH_BLESS=1"
        );
    }
}

#[test]
fn nothing_set_means_the_defaults() {
    let config = load(&[], &[]).unwrap();
    assert_eq!(
        (
            config.storage.alignment,
            config.storage.size,
            config.boot.size
        ),
        (8 << 20, Some(8 << 30), None)
    );
    assert_eq!(
        (config.storage.table, &config.storage.device),
        (TableChoice::Keep, &Device::PartUuid)
    );
    assert_eq!(
        (config.root.headroom, config.root.size),
        (Headroom::Percent(50), None)
    );
    assert_eq!(
        (&config.boot.mount, &config.root.options, config.data.size),
        (&None, &None, Some(128 << 20))
    );
    assert!(config.client.managed && config.output.bmap && !config.output.rootfs);
    assert_eq!(config.output.image, ImageFormat::Raw);
    assert_eq!(config.location("storage.alignment"), None);
}

#[test]
fn built_in_boards_are_sound() {
    for name in boards() {
        let config = load(&[name.into()], &[]).unwrap();
        let first = config
            .board
            .device_type
            .as_ref()
            .and_then(|types| types.first());
        assert_eq!(first.map(String::as_str), Some(name));
    }
    let qemu = load(&["qemux86-64".into()], &[]).unwrap();
    assert_eq!(
        (qemu.boot.bootloader, qemu.storage.table),
        (BootloaderChoice::GrubEfi, TableChoice::Gpt)
    );
    assert_eq!(
        qemu.location("boot.bootloader").unwrap().origin.kind,
        OriginKind::Board
    );
    assert_eq!(qemu.built_upon(), ["generic-x86-64", "qemux86-64"]);
    let all: Vec<&str> = boards().collect();
    assert!(all.is_sorted(), "{all:?}");
    for (name, board) in built_in().unwrap() {
        let board = &board.board;
        assert!(
            board.title.is_some() && !board.architecture.is_empty() && board.firmware.is_some(),
            "{name}"
        );
        assert_eq!(
            board.automatic,
            name.starts_with("generic-") && board.firmware == Some(Firmware::Uefi),
            "{name}"
        );
    }
    let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/boards")).unwrap();
    let names = files.map(|file| {
        file.unwrap()
            .path()
            .file_stem()
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    });
    assert_eq!(
        names.collect::<std::collections::BTreeSet<_>>(),
        all.into_iter().map(str::to_owned).collect()
    );
}

#[test]
fn lists_of_tables_are_joined_and_told_with_their_origins() {
    let dir = scratch();
    write(
        dir.path(),
        &[
            (
                "base/base.toml",
                "extends = \"qemux86-64\"\n[[overlay]]\ndir = \"common\"\n[[raw]]\nfile = \"a\"\noffset = \"64 s\"\n",
            ),
            (
                "top.toml",
                "extends = \"base/base.toml\"\n[[overlay]]\ndir = \"own\"\ntarget = \"data\"\nboard = \"qemux86-64\"\n",
            ),
            ("none.toml", "extends = \"base/base.toml\"\noverlay = []\n"),
        ],
    );
    let config = load_in(
        dir.path(),
        &["top.toml"],
        &["raw=[{file=\"/b\", from=\"image\", offset=\"1 MiB\"}]"],
    )
    .unwrap();
    let dirs: Vec<_> = config
        .overlay
        .iter()
        .map(|overlay| (overlay.dir.clone(), overlay.target))
        .collect();
    assert_eq!(
        dirs,
        [
            (dir.path().join("base/common"), OverlayTarget::Rootfs),
            (dir.path().join("own"), OverlayTarget::Data)
        ]
    );
    assert_eq!(
        config.raw.iter().map(|raw| raw.offset).collect::<Vec<_>>(),
        [64 * 512, 1 << 20]
    );
    // Named once more by the user, a file brings its tables no second time.
    assert_eq!(
        load_in(dir.path(), &["top.toml", "base/base.toml"], &[])
            .unwrap()
            .overlay
            .len(),
        2
    );
    assert!(
        load_in(dir.path(), &["none.toml"], &[])
            .unwrap()
            .overlay
            .is_empty()
    );

    let text = config
        .show()
        .replace(&format!("{}/", dir.path().display()), "");
    for part in [
        "[[overlay]]\ndir = \"common\"  # base/base.toml:3:7\ntarget = \"rootfs\"  # default\nboard = []  # default\n",
        "[[overlay]]\ndir = \"own\"  # top.toml:3:7\ntarget = \"data\"  # top.toml:4:10\nboard = \"qemux86-64\"  # top.toml:5:9\n",
        "[[raw]]\nfile = \"/b\"  # --set raw\nfrom = \"image\"  # --set raw\n",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let again = Config::parse(&text).unwrap();
    assert_eq!((again.overlay.len(), again.raw.len()), (2, 2));
    assert!(
        load(&[], &[])
            .unwrap()
            .show()
            .starts_with("extends = []  # default\noverlay = []  # default\nraw = []  # default\n")
    );
}

#[test]
fn later_files_win_and_sets_win_over_all() {
    let dir = scratch();
    let one = "[storage]\nsize = \"8 GiB\"\n[artifact.provides]\na = \"1\"\nb = \"1\"\n[client]\npackages = [\"a\", \"b\"]\n";
    let two =
        "[artifact]\nname = \"two\"\nprovides = { b = \"2\" }\n[client]\npackages = [\"c\"]\n";
    write(dir.path(), &[("one.toml", one), ("two.toml", two)]);
    let sets = [
        "artifact.name=1.0",
        "artifact.provides.\"c.d\"=3",
        "root.headroom=25 %",
        "storage.alignment=4194304",
    ];
    let config = load_in(dir.path(), &["one.toml", "two.toml"], &sets).unwrap();
    assert_eq!(config.storage.size, Some(8 << 30));
    assert_eq!(config.artifact.name.as_deref(), Some("1.0"));
    let provides: Vec<(&str, &str)> = config
        .artifact
        .provides
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    assert_eq!(provides, [("a", "1"), ("b", "2"), ("c.d", "3")]);
    assert_eq!(config.client.packages, [dir.path().join("c")]);
    assert_eq!(
        (config.root.headroom, config.storage.alignment),
        (Headroom::Percent(25), 4 << 20)
    );
    let turned = load_in(dir.path(), &["two.toml", "one.toml"], &[]).unwrap();
    assert_eq!(turned.client.packages.len(), 2);
}

#[test]
fn paths_stand_under_the_file_that_names_them() {
    let dir = scratch();
    write(
        dir.path(),
        &[
            (
                "base/board.toml",
                "[rootfs]\noverlays = [\"overlay\", \"/absolute\"]\n[artifact]\nkey = \"../key.pem\"\n",
            ),
            (
                "top.toml",
                "extends = \"base/board.toml\"\n[server]\nverify-key = \"verify.pem\"\n",
            ),
        ],
    );
    let config = load_in(dir.path(), &["top.toml"], &["server.certificate=a.crt"]).unwrap();
    assert_eq!(
        config.rootfs.overlays,
        [dir.path().join("base/overlay"), PathBuf::from("/absolute")]
    );
    assert_eq!(
        config.artifact.key,
        Some(dir.path().join("base/../key.pem"))
    );
    assert_eq!(config.server.verify_key, [dir.path().join("verify.pem")]);
    assert_eq!(config.server.certificate, Some(PathBuf::from("a.crt")));
}

#[test]
fn parents_come_first_and_each_once() {
    let dir = scratch();
    let file = |name: &str, extends: &str| {
        format!(
            "extends = [{extends}]\n[artifact]\nname = \"{name}\"\n[artifact.provides]\n{name} = \"x\"\n"
        )
    };
    write(
        dir.path(),
        &[
            (
                "d.toml",
                &(file("d", "\"qemux86-64\"") + "[output]\nname = \"d\"\n"),
            ),
            (
                "b.toml",
                &(file("b", "\"d.toml\"") + "[output]\nname = \"b\"\n"),
            ),
            ("c.toml", &file("c", "\"./d.toml\"")),
            ("a.toml", &file("a", "\"b.toml\", \"c.toml\"")),
        ],
    );
    let config = load_in(dir.path(), &["a.toml"], &[]).unwrap();
    assert_eq!(
        config.artifact.provides.keys().collect::<Vec<_>>(),
        ["a", "b", "c", "d"]
    );
    assert_eq!(config.artifact.name.as_deref(), Some("a"));
    // `d.toml` is named by both parents: the second time must not undo what `b.toml` changed.
    assert_eq!(config.output.name.as_deref(), Some("b"));
    assert_eq!(config.storage.table, TableChoice::Gpt);
    // Named by the user after all, it does win.
    let config = load_in(dir.path(), &["a.toml", "d.toml"], &[]).unwrap();
    assert_eq!(config.output.name.as_deref(), Some("d"));
}

#[test]
fn every_value_tells_where_it_comes_from() {
    let dir = scratch();
    write(
        dir.path(),
        &[(
            "x.toml",
            "extends = \"qemux86-64\"\n[data]\nsize = \"1 GiB\"\n[artifact.provides]\n\"a.b\" = \"c\"\n",
        )],
    );
    let config = load_in(
        dir.path(),
        &["x.toml"],
        &["storage.size=8 GiB", "server.tenant-token=secret"],
    )
    .unwrap();
    let text = config
        .show()
        .replace(&format!("{}/", dir.path().display()), "");
    for line in [
        "extends = \"qemux86-64\"  # x.toml:1:11",
        "[storage]\nsize = \"8 GiB\"  # --set storage.size",
        "alignment = \"8 MiB\"  # default",
        "table = \"gpt\"  # board generic-x86-64:12:9",
        "# disk-id: derived from the device type",
        "[data]\nsize = \"1 GiB\"  # x.toml:3:8",
        "tenant-token = \"***\"  # --set server.tenant-token",
        "[artifact.provides]\n\"a.b\" = \"c\"  # x.toml:5:9",
        "depends = {}  # default",
    ] {
        assert!(text.contains(&format!("{line}\n")), "{line}\n{text}");
    }
    assert!(
        !text.contains("secret") && !format!("{config:?}").contains("Secret(\""),
        "{text}"
    );
    // What is shown is a configuration, and means the same.
    let again = Config::parse(&text).unwrap();
    let values = |config: &Config| {
        config
            .origins()
            .into_iter()
            .map(|s| (s.key, s.value))
            .collect::<Vec<_>>()
    };
    assert_eq!(values(&config), values(&again));
    let same = (
        again.storage == config.storage,
        again.root == config.root,
        again.artifact == config.artifact,
    );
    assert_eq!(same, (true, true, true));
}

#[test]
fn older_names_of_keys_are_read_and_not_shown() {
    let dir = scratch();
    write(
        dir.path(),
        &[
            ("old.toml", "[output]\nplaces = true\n"),
            ("new.toml", "[output]\nfile-layout = false\n"),
            ("wrong.toml", "[output]\nname = \"x\"\nplaces = 1\n"),
            ("both.toml", "[output]\nfile-layout = true\nplaces = true\n"),
        ],
    );
    let load = |files: &[&str], sets: &[&str]| load_in(dir.path(), files, sets);
    let config = load(&["old.toml"], &[]).unwrap();
    assert!(config.output.file_layout);
    let shown = config
        .show()
        .replace(&format!("{}/", dir.path().display()), "");
    assert!(
        shown.contains("\nfile-layout = true  # old.toml:2:10\n"),
        "{shown}"
    );
    // Whichever name they use, later files override earlier ones.
    let overridden = load(&["old.toml", "new.toml"], &[]).unwrap();
    assert!(!overridden.output.file_layout);
    let overriding = load(&["new.toml", "old.toml"], &[]).unwrap();
    assert!(overriding.output.file_layout);
    let set = load(&["new.toml"], &["output.places=true"]).unwrap();
    assert!(set.output.file_layout);

    let refused = |files: &[&str], sets: &[&str]| complaint(dir.path(), load(files, sets));
    assert_eq!(
        refused(&["wrong.toml"], &[]),
        "wrong.toml:3:10: output.file-layout: expected true or false, found a number"
    );
    assert_eq!(
        refused(&[], &["output.places=1"]),
        "--set output.places: output.file-layout: expected true or false, found a number"
    );
    assert_eq!(
        refused(&["both.toml"], &[]),
        "both.toml:3:1: `output.places` is an older name of `output.file-layout`, which is set too\nhint: remove one of them"
    );
    for text in [manual(), example()] {
        assert!(text.contains("file-layout") && !text.contains("output.places"));
        // That of `[[rootfs.edit]]`.
        assert_eq!(text.matches("places = ").count(), 1);
    }
}

#[test]
fn a_secret_is_in_no_message() {
    let wrong = load(&[], &["server.tenant-token=hush\u{1}hush".into()])
        .unwrap_err()
        .to_string();
    assert_eq!(
        wrong,
        "--set server.tenant-token: a control character (\\u{1})"
    );
}

#[test]
fn patterns_name_files_in_order() {
    let dir = scratch();
    write(
        dir.path(),
        &[
            ("p/b.deb", ""),
            ("p/a.deb", ""),
            ("p/.c.deb", ""),
            ("p/a.txt", ""),
            ("q/d.deb", ""),
        ],
    );
    let names = |pattern: &str| -> Vec<String> {
        let found = expand(&dir.path().join(pattern)).unwrap();
        found
            .iter()
            .map(|path| path.strip_prefix(dir.path()).unwrap().display().to_string())
            .collect()
    };
    assert_eq!(names("p/*.deb"), ["p/a.deb", "p/b.deb"]);
    assert_eq!(names("?/*.deb"), ["p/a.deb", "p/b.deb", "q/d.deb"]);
    assert_eq!(names("p/.*.deb"), ["p/.c.deb"]);
    assert_eq!(names("p/missing.deb"), ["p/missing.deb"]);
    assert_eq!(names("*/missing.deb"), ["p/missing.deb", "q/missing.deb"]);
    assert!(names("p/*.rpm").is_empty() && names("none/*").is_empty());
}
