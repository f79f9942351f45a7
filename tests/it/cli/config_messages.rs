//! Messages about wrong configurations, word for word.

use super::config::{complaint, load_in, write};
use crate::support::scratch;
use goldsmith::config::boards;

/// Each text must be refused with this message.
fn refused(cases: &[(&str, &str)]) {
    let dir = scratch();
    for (text, expected) in cases {
        write(dir.path(), &[("x.toml", text)]);
        assert_eq!(
            &complaint(dir.path(), load_in(dir.path(), &["x.toml"], &[])),
            expected,
            "{text}"
        );
    }
}

#[test]
fn messages_word_for_word_about_unknown_keys() {
    refused(&[
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
    ]);
}

#[test]
fn messages_word_for_word_about_storage() {
    refused(&[
        (
            "[storage]\nsize = \"8 GiBs\"\n",
            "x.toml:2:8: storage.size: `GiBs` is not a unit of size (B, KiB, MiB, GiB, TiB, kB, MB, GB, TB): did you mean GiB?",
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
            "x.toml:2:8: storage.size: `PiB` is not a unit of size (B, KiB, MiB, GiB, TiB, kB, MB, GB, TB)",
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
    ]);
}

/// A number without a unit that cannot be meant in bytes, wherever there is a size.
#[test]
fn messages_word_for_word_about_numbers_without_a_unit() {
    refused(&[
        (
            "[storage]\nsize = 8192\n",
            "x.toml:2:8: storage.size: 8192 without a unit is 8192 bytes (8 KiB): write `8192 MiB` (8 GiB) if that is meant, or `8192 B`",
        ),
        (
            "[storage]\nsize = \"8\"\n",
            "x.toml:2:8: storage.size: 8 without a unit is 8 bytes: write `8 GiB` if that is meant, or `8 B`",
        ),
        (
            "[storage]\nsize = \"1.5\"\n",
            "x.toml:2:8: storage.size: `1.5` has a fraction of a byte: write a unit, as in `1.5 GiB`",
        ),
        (
            "[storage]\nalignment = 8\n",
            "x.toml:2:13: storage.alignment: 8 without a unit is 8 bytes: write `8 MiB` if that is meant, or `8 B`",
        ),
        (
            "[boot]\nsize = 40\n",
            "x.toml:2:8: boot.size: 40 without a unit is 40 bytes: write `40 MiB` if that is meant, or `40 B`",
        ),
        (
            "[boot]\nenvironment-size = 16\n",
            "x.toml:2:20: boot.environment-size: 16 without a unit is 16 bytes: write `16 KiB` if that is meant, or `16 B`",
        ),
        (
            "[root]\nsize = 2048\n",
            "x.toml:2:8: root.size: 2048 without a unit is 2048 bytes (2 KiB): write `2048 MiB` (2 GiB) if that is meant, or `2048 B`",
        ),
        (
            "[data]\nsize = 128\n",
            "x.toml:2:8: data.size: 128 without a unit is 128 bytes: write `128 MiB` if that is meant, or `128 B`",
        ),
        (
            "[root]\nheadroom = 1.5\n",
            "x.toml:2:12: root.headroom: 1.5 is neither a size nor a percentage: write `50 %` for a filesystem of 1.5 times the size of its files, or a size such as `1.5 GiB`",
        ),
        (
            "[root]\nheadroom = \"0.25\"\n",
            "x.toml:2:12: root.headroom: 0.25 is neither a size nor a percentage: write `25 %` for a filesystem of 1.25 times the size of its files, or a size such as `0.25 GiB`",
        ),
        (
            "[root]\nheadroom = 50\n",
            "x.toml:2:12: root.headroom: 50 without a unit is 50 bytes: write `50 %` or `50 MiB`, or `50 B` if that is meant",
        ),
        (
            "[[raw]]\nfile = \"a\"\noffset = 64\n",
            "x.toml:3:10: raw.offset: 64 without a unit is byte 64 of the first sector: write `64 s` for sectors, `64 KiB`, or `64 B` if that is meant",
        ),
    ]);
}

#[test]
fn messages_word_for_word_about_values_of_several_keys() {
    refused(&[
        (
            "[storage]\nalignment = 1000\n",
            "x.toml:2:13: storage.alignment: 1000 without a unit is 1000 bytes: write `1000 MiB` if that is meant, or `1000 B`",
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
    ]);
}

#[test]
fn messages_word_for_word_about_lists_and_names() {
    refused(&[
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
            "x.toml:3:10: raw.offset: `sectors` is not a unit of size (B, KiB, MiB, GiB, TiB, kB, MB, GB, TB)",
        ),
    ]);
}

#[test]
fn messages_word_for_word_about_tables_of_lists() {
    refused(&[
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
    ]);
}

#[test]
fn messages_about_what_is_not_toml_name_the_place() {
    let dir = scratch();
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
fn boards_that_contradict_each_other_are_refused() {
    let dir = scratch();
    let own = "[board]\ndevice-type = [\"own\"]\narchitecture = [\"arm64\"]\nfirmware = \"raspberrypi\"\npi-models = [\"pi5\"]\n";
    write(
        dir.path(),
        &[
            ("three.toml", "extends = [\"raspberrypi3-64\"]\n"),
            ("four.toml", "extends = [\"raspberrypi4-64\"]\n"),
            ("pc.toml", "extends = [\"qemux86-64\"]\n"),
            ("three32.toml", "extends = [\"raspberrypi3\"]\n"),
            ("uefi.toml", "extends = [\"generic-arm64\"]\n"),
            ("both.toml", "extends = [\"three.toml\", \"four.toml\"]\n"),
            (
                "fleet.toml",
                "extends = [\"three.toml\", \"four.toml\"]\n[board]\ndevice-type = [\"fleet\"]\npi-models = [\"pi3\", \"pi4\"]\n",
            ),
            (
                "product.toml",
                "[board]\ndevice-type = [\"product\"]\npi-models = [\"cm4\"]\n",
            ),
            ("other.toml", "[board]\npi-models = [\"pi2\"]\n"),
            ("own.toml", own),
            (
                "below.toml",
                &format!("extends = [\"raspberrypi4-64\"]\n{own}"),
            ),
        ],
    );
    for files in [&["three.toml", "four.toml"][..], &["both.toml"]] {
        assert_eq!(
            complaint(dir.path(), load_in(dir.path(), files, &[])),
            "board raspberrypi3-64:8:13 and board raspberrypi4-64:8:13 set board.pi-models, and neither builds on the other: \
             only the last would count (pi4, pi400, cm4), not the first (pi3, pi3+, cm3, cm3+)\n\
             hint: give one of them, for an image for its devices; for one image that serves both, say so: \
             --set 'board.device-type=[\"raspberrypi3-64\", \"raspberrypi3_64\", \"raspberrypi4-64\", \"raspberrypi4_64\"]' \
             --set 'board.pi-models=[\"pi3\", \"pi3+\", \"cm3\", \"cm3+\", \"pi4\", \"pi400\", \"cm4\"]' \
             (or the same in a file that extends both)",
            "{files:?}"
        );
    }
    for (files, key) in [
        (&["four.toml", "own.toml"][..], "pi-models"),
        (&["four.toml", "other.toml"], "pi-models"),
        (&["three32.toml", "three.toml"], "architecture"),
        (&["four.toml", "pc.toml"], "architecture"),
        (&["four.toml", "uefi.toml"], "firmware"),
    ] {
        let said = complaint(dir.path(), load_in(dir.path(), files, &[]));
        assert!(said.contains(&format!(" set board.{key}, ")), "{said}");
    }
    let sets = [
        r#"board.device-type=["a", "b"]"#.to_owned(),
        r#"board.pi-models=["pi3", "pi4"]"#.to_owned(),
    ];
    for (files, sets) in [
        (&["both.toml"][..], &sets[..]),
        (&["three.toml", "four.toml"], &sets),
        (&["fleet.toml"], &[]),
        (&["four.toml", "product.toml"], &[]),
        (&["below.toml"], &[]),
        (&["four.toml", "four.toml"], &[]),
    ] {
        let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
        let loaded = load_in(dir.path(), files, &sets);
        assert!(loaded.is_ok(), "{files:?}");
    }
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
x.toml:5:8: root.size: `a` is not a unit of size (B, KiB, MiB, GiB, TiB, kB, MB, GB, TB)
y.toml:3:2: unknown key `oot`
hint: did you mean `boot`?
y.toml:2:8: root.size: 1 without a unit is 1 byte: write `1 MiB` if that is meant, or `1 B`
--set root.size: `b` is not a unit of size (B, KiB, MiB, GiB, TiB, kB, MB, GB, TB)"
    );
    assert_eq!(text, expected);
}
