//! Configuration as users meet it: files on disk, messages word for word, the manual.

use crate::support::scratch;
use goldsmith::config::{
    BootloaderChoice, Config, ConfigError, Device, Headroom, ImageFormat, OriginKind,
    OverlayTarget, TableChoice, boards, built_in, example, expand, load, manual,
};
use goldsmith::platform::Firmware;
use std::fs;
use std::path::{Path, PathBuf};

/// Writes files (path and text) below `dir`.
fn write(dir: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// Loads files below `dir`.
fn load_in(dir: &Path, files: &[&str], sets: &[&str]) -> Result<Config, ConfigError> {
    let files: Vec<PathBuf> = files.iter().map(|file| dir.join(file)).collect();
    load(
        &files,
        &sets.iter().map(|&set| set.to_owned()).collect::<Vec<_>>(),
    )
}

/// What is wrong with `result`, the scratch directory left out of it.
fn complaint(dir: &Path, result: Result<Config, ConfigError>) -> String {
    let text = result.map(|config| config.show()).unwrap_err().to_string();
    text.replace(&format!("{}/", dir.display()), "")
}

#[test]
fn generated_files_are_up_to_date() {
    for (file, text) in [
        ("docs/configuration.md", manual()),
        ("configs/example.toml", example()),
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
        (8 << 20, 8 << 30, None)
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
        (&None, &None, 128 << 20)
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
    assert_eq!(config.storage.size, 8 << 30);
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
fn cycles_and_strangers_are_refused() {
    let dir = scratch();
    write(
        dir.path(),
        &[
            ("a.toml", "extends = [\n  \"b.toml\",\n]\n"),
            ("b.toml", "extends = [\"./a.toml\"]\n"),
            ("self.toml", "extends = \"self.toml\"\n"),
            ("missing.toml", "extends = \"nowhere/x.toml\"\n"),
            ("board.toml", "extends = [\"qemux86_64\", \"toaster\"]\n"),
            ("deep/0.toml", "[board]\n"),
        ],
    );
    for at in 1..20 {
        write(
            dir.path(),
            &[(
                &format!("deep/{at}.toml"),
                &format!("extends = \"{}.toml\"", at - 1),
            )],
        );
    }
    let wrong = |file| complaint(dir.path(), load_in(dir.path(), &[file], &[]));
    assert_eq!(
        wrong("a.toml"),
        "b.toml:1:12: extends itself: a.toml -> b.toml -> ./a.toml"
    );
    assert_eq!(
        wrong("self.toml"),
        "self.toml:1:11: extends itself: self.toml -> self.toml"
    );
    assert_eq!(
        wrong("missing.toml"),
        "missing.toml:1:11: reading nowhere/x.toml: No such file or directory (os error 2)"
    );
    assert_eq!(
        wrong("nothing.toml"),
        "reading nothing.toml: No such file or directory (os error 2)"
    );
    let all = boards().collect::<Vec<_>>().join(", ");
    assert_eq!(
        wrong("board.toml"),
        format!(
            "board.toml:1:12: no built-in board is named `qemux86_64`\n\
         hint: did you mean `qemux86-64`? The path of a file must end in `.toml` or contain a `/`\n\
         board.toml:1:26: no built-in board is named `toaster`\n\
         hint: the built-in boards are {all}; the path of a file must end in `.toml` or contain a `/`"
        )
    );
    assert_eq!(
        complaint(
            dir.path(),
            load_in(dir.path(), &[], &["extends=qemux86-64"])
        ),
        "--set extends: only a file can extend others\nhint: name the board or file with --config"
    );
    assert_eq!(
        wrong("deep/19.toml"),
        "deep/4.toml:1:11: `extends` is nested more than 16 files deep"
    );
}

#[test]
fn messages_word_for_word() {
    let dir = scratch();
    for (text, expected) in [
        (
            "[storage]\nsise = 1\n",
            "x.toml:2:1: unknown key `storage.sise`\nhint: did you mean `storage.size`?",
        ),
        (
            "[strage]\n",
            "x.toml:1:2: unknown key `strage`\nhint: did you mean `storage`?",
        ),
        (
            "[board]\ndevice_type = \"a\"\n",
            "x.toml:2:1: unknown key `board.device_type`\nhint: did you mean `board.device-type`?",
        ),
        (
            "[board]\nheadroom = 1\n",
            "x.toml:2:1: unknown key `board.headroom`\nhint: there is a key `root.headroom`",
        ),
        (
            "[storage.ids]\n\"a b\" = 1\n",
            "x.toml:2:1: unknown key `storage.ids.\"a b\"`\nhint: the keys of this table are boot, root-a, root-b, data",
        ),
        (
            "[[rootfs.owner]]\npath = \"/a\"\nuser = 1\n",
            "x.toml:3:1: unknown key `rootfs.owner.user`\nhint: the keys of this table are path, uid, gid, mode",
        ),
        (
            "[storage]\nsize = \"8 GiBs\"\n",
            "x.toml:2:8: storage.size: `GiBs` is no unit of size (B, KiB, MiB, GiB, TiB, kB, MB, GB, TB)",
        ),
        (
            "[storage]\nsize = -1\n",
            "x.toml:2:8: storage.size: -1 is negative",
        ),
        (
            "[storage]\nsize = 1000000001\n",
            "x.toml:2:8: storage.size: 1000000001 bytes is not a multiple of the sector size (512 bytes)",
        ),
        (
            "[storage]\nsize = \"2 PiB\"\n",
            "x.toml:2:8: storage.size: `PiB` is no unit of size (B, KiB, MiB, GiB, TiB, kB, MB, GB, TB)",
        ),
        (
            "[storage]\nsize = \"1025 TiB\"\n",
            "x.toml:2:8: storage.size: 1025 TiB exceeds the maximum of 1024 TiB",
        ),
        (
            "[storage]\nsize = \"3 TiB\"\ntable = \"mbr\"\n",
            "x.toml:2:8: storage.size: 3 TiB exceeds the maximum of 2 TiB",
        ),
        (
            "[storage]\nsize = 1.5\n",
            "x.toml:2:8: storage.size: expected a size, found a fraction",
        ),
        (
            "storage = 3\n",
            "x.toml:1:11: storage: expected a table, found a number",
        ),
        (
            "[storage]\ntable = \"gtp\"\n",
            "x.toml:2:9: storage.table: `gtp` is not one of `keep`, `gpt`, `mbr`\nhint: did you mean `gpt`?",
        ),
        (
            "[storage]\ntable = 1\n",
            "x.toml:2:9: storage.table: expected one of `keep`, `gpt`, `mbr`, found a number",
        ),
        (
            "[storage]\ndevice = \"/dev/sda1\"\n",
            "x.toml:2:10: storage.device: `/dev/sda1` is a partition; the disk is `/dev/sda`",
        ),
        (
            "[storage]\nalignment = 1000\n",
            "x.toml:2:13: storage.alignment: 1000 B is not a power of two from 1 MiB to 1 GiB",
        ),
        (
            "[root]\nheadroom = \"1001 %\"\n",
            "x.toml:2:12: root.headroom: `1001 %` is not a percentage from 0 % to 1000 %",
        ),
        ("[data]\nsize = 0\n", "x.toml:2:8: data.size: the size is 0"),
        (
            "[boot]\nmount = \"boot\"\n",
            "x.toml:2:9: boot.mount: `boot` is not an absolute path of a directory, such as `/boot/efi`",
        ),
        (
            "[boot]\npartition = 0\n",
            "x.toml:2:13: boot.partition: 0 is not between 1 and 128",
        ),
        (
            "[boot]
partition = 1
[root]
partition = 1
",
            "x.toml:4:13: root.partition: the same as boot.partition",
        ),
        (
            "[storage]
table = \"mbr\"
disk-id = \"0c5ac1a6-33d4-4f2e-9e0b-6a3f7a1d5b01\"
",
            "x.toml:3:11: storage.disk-id: a GUID, but storage.table is `mbr`",
        ),
        (
            "[artifact]
depends = { a = [\"b\"] }
",
            "x.toml:2:17: artifact.depends.a: expected a string, found a list",
        ),
        (
            "[board]\ndevice-type = [\"a\", \"b c\"]\n",
            "x.toml:2:21: board.device-type: `b c` contains white space",
        ),
        (
            "[board]\ndevice-type = []\n",
            "x.toml:2:15: board.device-type: an empty list",
        ),
        (
            "[artifact]\nname = \"\"\n",
            "x.toml:2:8: artifact.name: an empty string",
        ),
        (
            "[artifact]\nprovides = { \"a b\" = \"c\" }\n",
            "x.toml:2:14: artifact.provides.\"a b\": `a b` contains white space",
        ),
        (
            "[output]\nname = \"a/b\"\n",
            "x.toml:2:8: output.name: contains a `/`; use --output-dir to set the directory",
        ),
        (
            "[artifact]\nlevel = 12\n",
            "x.toml:2:9: artifact.level: 12 is out of range: the levels of gzip are 1 to 9",
        ),
        (
            "[client]\nmanaged = \"yes\"\n",
            "x.toml:2:11: client.managed: expected true or false, found a string",
        ),
        (
            "[[client.accept]]\npackage = \"a\"\nscript = \"postinst\"\n",
            "x.toml:1:1: client.accept.reason is missing",
        ),
        ("[[overlay]]\n", "x.toml:1:1: overlay.dir is missing"),
        (
            "[[overlay]]\ndir = \"a\"\narch = \"x86\"\n",
            "x.toml:3:8: overlay.arch: `x86` is not one of `amd64`, `i386`, `arm64`, `armhf`",
        ),
        (
            "[[raw]]\nfile = \"a\"\noffset = \"64 sectors\"\n",
            "x.toml:3:10: raw.offset: `sectors` is no unit of size (B, KiB, MiB, GiB, TiB, kB, MB, GB, TB)",
        ),
        (
            "[[raw]]\nfile = \"a\"\noffset = \"99999999999999999999 s\"\n",
            "x.toml:3:10: raw.offset: `99999999999999999999 s` is not a number of sectors",
        ),
        (
            "[[raw]]\nfile = \"/a\"\noffset = 0\n[[raw]]\nfile = \"a\"\nfrom = \"image\"\noffset = 0\n",
            "x.toml:5:8: raw[1].file: `a` is not an absolute path of the image",
        ),
        (
            "[client]\naccept = 1\n",
            "x.toml:2:10: client.accept: expected tables (`[[client.accept]]`), found a number",
        ),
        (
            "[server]\nurl = \"mender\"\n",
            "x.toml:2:7: server.url: `mender` is not a URL such as `https://mender.example.com`",
        ),
        (
            "[[rootfs.owner]]\npath = \"a/b\"\n",
            "x.toml:2:8: rootfs.owner.path: `a/b` does not begin with `/`",
        ),
        (
            "[[rootfs.owner]]\npath = \"/a\"\nmode = \"rw\"\n",
            "x.toml:3:8: rootfs.owner.mode: `rw` is not a file mode such as `\"0644\"`",
        ),
    ] {
        write(dir.path(), &[("x.toml", text)]);
        assert_eq!(
            complaint(dir.path(), load_in(dir.path(), &["x.toml"], &[])),
            expected,
            "{text}"
        );
    }
    // The words for what is no TOML are those of its reader; the places are ours.
    for (text, places) in [
        ("a = 1\na = 2\n", vec!["2:1"]),
        ("[storage\n", vec!["1:9"]),
        ("# é\n é = \n[a]\nb = 'x\n", vec!["2:2", "4:7"]),
    ] {
        write(dir.path(), &[("x.toml", text)]);
        let found = complaint(dir.path(), load_in(dir.path(), &["x.toml"], &[]));
        for place in places {
            assert!(
                found
                    .lines()
                    .any(|line| line.starts_with(&format!("x.toml:{place}: "))),
                "{text}: {found}"
            );
        }
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let dir = scratch();
    write(
        dir.path(),
        &[
            (
                "x.toml",
                "[storage]\nsise = 1\ntable = \"x\"\n[root]\nsize = \"a\"\n",
            ),
            ("y.toml", "[root]\nsize = 1\n[oot]\n"),
            ("z.toml", "extends = \"toaster\"\n"),
        ],
    );
    let sets = ["root.size=b", "nonsense"];
    let text = complaint(
        dir.path(),
        load_in(dir.path(), &["x.toml", "y.toml", "z.toml"], &sets),
    );
    let all = boards().collect::<Vec<_>>().join(", ");
    let expected = format!(
        "\
z.toml:1:11: no built-in board is named `toaster`
hint: the built-in boards are {all}; the path of a file must end in `.toml` or contain a `/`
--set nonsense: expected KEY=VALUE
hint: for example `--set root.size=2GiB`
x.toml:2:1: unknown key `storage.sise`
hint: did you mean `storage.size`?
x.toml:3:9: storage.table: `x` is not one of `keep`, `gpt`, `mbr`
x.toml:5:8: root.size: `a` is no unit of size (B, KiB, MiB, GiB, TiB, kB, MB, GB, TB)
y.toml:3:2: unknown key `oot`
hint: did you mean `boot`?
--set root.size: `b` is no unit of size (B, KiB, MiB, GiB, TiB, kB, MB, GB, TB)"
    );
    assert_eq!(text, expected);
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
        assert!(text.contains("file-layout") && !text.contains("places = "));
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
