//! The command line as users meet it: what it says about wrong input, word for word, with which
//! exit code, and where it says it.

use crate::support::tiny;
use crate::support::unprivileged::Workshop;
use crate::support::{goldsmith, must, scratch, tool};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs goldsmith in `dir`; `line` is split at blanks.
fn run(dir: &Path, line: &str) -> Output {
    let mut command = Command::new(goldsmith());
    command
        .args(line.split_whitespace())
        .current_dir(dir)
        .stdin(Stdio::null());
    command
        .env_remove("SOURCE_DATE_EPOCH")
        .output()
        .expect("starting goldsmith")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// What all conversions here begin with.
const PLAN: &str = "plan -q -c qemux86-64 -n r1 -s storage.alignment=1MiB";

#[test]
fn images_that_cannot_be_converted() {
    if !tiny::can_make() {
        return;
    }
    let dir = scratch();
    let at = dir.path();
    tiny::golden(at);
    fs::create_dir(at.join("directory")).unwrap();
    fs::write(at.join("empty.img"), "").unwrap();
    fs::write(at.join("text.img"), "no image\n".repeat(1000)).unwrap();
    fs::File::create(at.join("zeros.img"))
        .unwrap()
        .set_len(1 << 20)
        .unwrap();
    let mut iso = vec![0_u8; 1 << 20];
    iso[0x8001..0x8006].copy_from_slice(b"CD001");
    fs::write(at.join("iso.img"), iso).unwrap();
    let (root, esp) = (at.join("root.ext4"), at.join("esp.fat"));
    fs::create_dir(at.join("nothing")).unwrap();
    tiny::ext4(&at.join("nothing"), &at.join("nothing.ext4"), 8);
    tiny::disk(
        &at.join("noroot.img"),
        &[(tiny::ESP, &esp), (tiny::LINUX, &at.join("nothing.ext4"))],
    );
    tiny::disk(
        &at.join("two.img"),
        &[(tiny::LINUX, &root), (tiny::LINUX, &root)],
    );
    let cut = fs::read(at.join("golden.img")).unwrap();
    fs::write(at.join("cut.img"), &cut[..12 << 20]).unwrap();

    let whole = "hint: convert the image of a whole disk, as read from /dev/sda or /dev/mmcblk0 and not from one of its partitions\n";
    let cases = [
        ("missing.img", "error: opening missing.img: No such file or directory\n".to_owned()),
        ("directory", "error: directory is no image: it is a directory\nhint: name the image file\n".to_owned()),
        ("empty.img", "error: the image is empty (0 bytes)\n".to_owned()),
        ("-", "error: the image is empty (0 bytes)\n".to_owned()),
        ("text.img", format!("error: reading the partition table: no partition table: the image holds nothing that is known\n{whole}")),
        ("zeros.img", format!("error: reading the partition table: no partition table: the image holds only zeros\n{whole}")),
        ("iso.img", format!("error: reading the partition table: no partition table: the image holds an ISO 9660 filesystem (an installer or live system)\n{whole}")),
        (
            "root.ext4",
            format!(
                "error: reading the partition table: no partition table: the image holds a bare ext2, ext3 or ext4 filesystem and no disk around it\n{whole}"
            ),
        ),
        (
            "noroot.img",
            "error: no partition holds a root filesystem (ext2, ext3 or ext4 with an operating system on it); the disk has partition 1 \
             (8 MiB, FAT), partition 2 (8 MiB, ext2/3/4)\nhint: if one of them is what you mean, name it: --set root.partition=NUMBER\n"
                .to_owned(),
        ),
        (
            "two.img",
            "error: more than one partition could be the root filesystem: partition 1 (16 MiB, ext2/3/4), partition 2 (16 MiB, \
             ext2/3/4)\nhint: say which one with `root.partition`, such as --set root.partition=1\n"
                .to_owned(),
        ),
    ];
    for (image, expected) in cases {
        let output = run(at, &format!("{PLAN} {image}"));
        assert_eq!(
            (stderr(&output), output.status.code()),
            (expected, Some(1)),
            "{image}"
        );
        assert!(output.stdout.is_empty());
    }
    let output = run(at, &format!("{PLAN} cut.img"));
    assert!(
        stderr(&output).starts_with("error: reading the partition table: ")
            && output.status.code() == Some(1),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_system_in_pieces_or_doubled_is_told_as_what_it_is() {
    if !tiny::can_make() {
        return;
    }
    let dir = scratch();
    let at = dir.path();
    tiny::golden(at);

    let id = "11111111-2222-3333-4444-555555555555";
    fs::create_dir(at.join("boot")).unwrap();
    tiny::ext4(&at.join("boot"), &at.join("boot.ext4"), 8);
    must(
        tool("tune2fs").expect("it comes with mke2fs"),
        &[&"-U", &id, &at.join("boot.ext4")],
    );
    let fstab = format!(
        "UUID=1-2 / ext4 defaults 0 1\nUUID={id} /boot ext4 defaults 0 2\n/dev/sda4 /home ext4 defaults 0 2\n"
    );
    fs::write(at.join("root/etc/fstab"), fstab).unwrap();
    tiny::ext4(&at.join("root"), &at.join("pieces.ext4"), 16);
    let parts = [
        (tiny::ESP, "esp.fat"),
        (tiny::LINUX, "boot.ext4"),
        (tiny::LINUX, "pieces.ext4"),
    ]
    .map(|(kind, file)| (kind, at.join(file)));
    let parts: Vec<(&str, &Path)> = parts
        .iter()
        .map(|(kind, file)| (*kind, file.as_path()))
        .collect();
    tiny::disk(&at.join("pieces.img"), &parts);
    let output = run(at, &format!("{PLAN} pieces.img"));
    let expected = "error: partition 2 (8 MiB, ext2/3/4) is mounted on /boot by /etc/fstab, but only the root filesystem goes into the \
                    slots\nhint: copy what is on it to /boot of the root filesystem in the golden image, and take its line out of /etc/fstab\n";
    assert_eq!(
        (stderr(&output), output.status.code()),
        (expected.to_owned(), Some(1))
    );

    let convert = PLAN.replacen(
        "plan",
        "convert -s output.name=done -s storage.size=128MiB -s data.size=16MiB",
        1,
    );
    let output = run(at, &format!("{convert} --output-dir . golden.img"));
    assert!(output.status.success(), "{}", stderr(&output));
    let output = run(at, &format!("{PLAN} done.img"));
    let said = stderr(&output);
    assert!(
        said.starts_with("error: this image was converted before: partition 2 (")
            && output.status.code() == Some(1),
        "{said}"
    );
    let output = run(at, &format!("{PLAN} -s root.partition=2 --json done.img"));
    assert!(
        stdout(&output).contains("this image was converted before"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn settings_that_cannot_be_followed() {
    if !tiny::can_make() {
        return;
    }
    let dir = scratch();
    let at = dir.path();
    tiny::golden(at);
    fs::write(at.join("bad.toml"), "[storage\n").unwrap();
    fs::write(at.join("unknown.toml"), "[storage]\nsise = 1\n").unwrap();
    fs::write(at.join("no.key"), "no key\n").unwrap();
    let on = |what: &str| format!("plan -q -c qemux86-64 -n r1 {what} golden.img");
    let usage = |what: &str| format!("{what}\n\nFor more information, try '--help'.\n");
    let cases = [
        (
            "plan -q golden.img".into(),
            2,
            "error: the Artifact has no name\nhint: name the release: --artifact-name release-1\n".to_owned(),
        ),
        (
            "plan -q -c qemux86-64 golden.img".into(),
            2,
            "error: the Artifact has no name\nhint: name the release: --artifact-name release-1\n".into(),
        ),
        (
            "plan -q -c qemux86_64 -n r1 golden.img".into(),
            2,
            "error: reading qemux86_64: No such file or directory\nhint: did you mean `qemux86-64`? The path of a file must end in `.toml` \
             or contain a `/`\n"
                .into(),
        ),
        (on("-c none.toml"), 2, "error: reading none.toml: No such file or directory\n".into()),
        (on("-c unknown.toml"), 2, "error: unknown.toml:2:1: unknown key `storage.sise`\nhint: did you mean `storage.size`?\n".into()),
        (on("-s storage.sise=1"), 2, "error: --set storage.sise: unknown key `storage.sise`\nhint: did you mean `storage.size`?\n".into()),
        (on("-s storage.size=a"), 2, "error: --set storage.size: `a` is no unit of size (B, KiB, MiB, GiB, TiB, kB, MB, GB, TB)\n".into()),
        (on("-s storage"), 2, "error: --set storage: expected KEY=VALUE\nhint: for example `--set root.size=2GiB`\n".into()),
        (
            on("-s storage.table=mbr -s storage.size=4TiB"),
            2,
            "error: --set storage.size: 4 TiB exceeds the maximum of 2 TiB\n".into(),
        ),
        (
            on("-s storage.table=keep -s storage.disk-id=8f2c11d0"),
            2,
            "error: storage.disk-id does not fit the disk's GPT\nhint: write 8 hexadecimal digits for an MBR, a GUID for a \
             GPT, or choose the table with storage.table\n"
                .into(),
        ),
        (
            "plan -n a\u{200b}b golden.img".into(),
            2,
            usage("error: invalid value 'a\u{200b}b' for '--artifact-name <NAME>': an invisible character (\\u{200b})"),
        ),
        ("convert -j 0 golden.img".into(), 2, usage("error: invalid value '0' for '--jobs <N>': 0 is not in 1..=1024")),
        (
            on("-s root.partition=9"),
            1,
            "error: root.partition is 9 but there is no partition 9; the disk has partition 1 (8 MiB, FAT), partition 2 (16 MiB, \
             ext2/3/4)\n"
                .into(),
        ),
        (
            on("-s root.partition=1"),
            1,
            "error: root.partition is 1 but partition 1 holds FAT, not ext2/3/4; the disk has partition 1 (8 MiB, FAT), partition 2 (16 \
             MiB, ext2/3/4)\n"
                .into(),
        ),
        (
            on("-o none -o root.ext4"),
            1,
            "error: reading an overlay: reading none: No such file or directory\nerror: reading an overlay: root.ext4: not a directory\n"
                .into(),
        ),
        (on("-s client.packages=none.deb"), 1, "error: opening the package none.deb: No such file or directory\n".into()),
        (
            on("-s client.packages=*.deb"),
            1,
            "error: client.packages: *.deb names no file\nhint: relative paths stand under the directory of the file that names them\n".into(),
        ),
        (on("-s artifact.key=none"), 1, "error: reading the signing key none: No such file or directory\n".into()),
        (
            on("-s artifact.scripts=no.key"),
            1,
            "error: making the Artifact: state script `no.key` begins with none of ArtifactInstall, ArtifactReboot, ArtifactCommit, \
             ArtifactRollback, ArtifactRollbackReboot, ArtifactFailure\n"
                .into(),
        ),
        (on("-s server.certificate=none"), 1, "error: reading none, which [server] names: No such file or directory\n".into()),
    ];
    for (line, code, expected) in cases {
        let output = run(at, &line);
        assert_eq!(
            (stderr(&output), output.status.code()),
            (expected, Some(code)),
            "{line}"
        );
        assert!(output.stdout.is_empty(), "{line}");
    }
    // The words of others are theirs; the place is ours.
    for (line, code, start) in [
        (on("-c bad.toml"), 2, "error: bad.toml:1:9: "),
        (
            on("-s artifact.key=no.key"),
            1,
            "error: reading the signing key no.key: ",
        ),
        (
            "conver golden.img".to_owned(),
            2,
            "error: unrecognized subcommand 'conver'\n",
        ),
        (
            on("-s boot.bootloader=u-boot"),
            1,
            "error: boot.bootloader is u-boot, which is integrated for arm64 and armhf; the image is for amd64\nhint: ",
        ),
        (
            "artifact show golden.img".to_owned(),
            1,
            "error: reading golden.img: ",
        ),
    ] {
        let output = run(at, &line);
        assert!(
            stderr(&output).starts_with(start) && output.status.code() == Some(code),
            "{line}: {}",
            stderr(&output)
        );
    }
    let output = Command::new(goldsmith())
        .args(on("").split_whitespace())
        .current_dir(at)
        .env("SOURCE_DATE_EPOCH", "today")
        .output();
    let output = output.unwrap();
    assert_eq!(
        stderr(&output),
        "error: SOURCE_DATE_EPOCH is `today`, not a number of seconds since 1970\n"
    );
    assert_eq!(output.status.code(), Some(2));
}

/// The size in quotes that a hint says is enough.
fn advised(output: &Output) -> String {
    let text = stderr(output);
    let hint = text
        .lines()
        .find(|line| line.starts_with("hint: "))
        .unwrap_or_else(|| panic!("no hint: {text}"));
    hint.split('"')
        .nth(1)
        .unwrap_or_else(|| panic!("no size: {hint}"))
        .replace(' ', "")
}

#[test]
fn sizes_that_are_said_to_be_enough_are_enough() {
    if !tiny::can_make() {
        return;
    }
    let dir = scratch();
    tiny::golden(dir.path());
    let overlay = dir.path().join("data");
    fs::create_dir(&overlay).unwrap();
    fs::write(overlay.join("filler"), vec![7; 3 << 20]).unwrap();
    for (key, small, others, begins) in [
        (
            "storage.size",
            "32MiB",
            "",
            "error: the root filesystem needs ",
        ),
        (
            "storage.size",
            "1MiB",
            "",
            "error: the root filesystem needs ",
        ),
        (
            "storage.size",
            "32MiB",
            " -s storage.alignment=16MiB",
            "error: the root filesystem needs ",
        ),
        (
            "root.size",
            "1MiB",
            "",
            "error: root.size is 1 MiB (1048576 bytes) but the files need ",
        ),
        (
            "boot.size",
            "1MiB",
            "",
            "error: boot.size is 1 MiB but its files need ",
        ),
        (
            "data.size",
            "1MiB",
            " -s data.overlay=data",
            "error: data.size is 1 MiB but its files need ",
        ),
    ] {
        let with = |size: &str| {
            run(
                dir.path(),
                &format!("{PLAN}{others} -s {key}={size} golden.img"),
            )
        };
        let refused = with(small);
        assert!(
            stderr(&refused).starts_with(begins) && refused.status.code() == Some(1),
            "{key}: {}",
            stderr(&refused)
        );
        let size = advised(&refused);
        let accepted = with(&size);
        assert!(
            accepted.status.success(),
            "{key} = {size}: {}",
            stderr(&accepted)
        );
    }
}

#[test]
fn output_directories_that_cannot_be_used() {
    if !tiny::can_make() {
        return;
    }
    let workshop = Workshop::new();
    let dir = scratch();
    tiny::golden(dir.path());
    let golden = workshop.bring(&dir.path().join("golden.img"), "golden.img");
    fs::write(workshop.path().join("file"), "").unwrap();
    fs::create_dir(workshop.path().join("closed")).unwrap();
    fs::set_permissions(
        workshop.path().join("closed"),
        fs::Permissions::from_mode(0o555),
    )
    .unwrap();
    let program = workshop.bring(goldsmith(), "goldsmith");
    for (name, why) in [
        ("file", "not a directory"),
        ("file/below", "Not a directory"),
        ("closed", "Permission denied"),
        ("closed/below", "Permission denied"),
    ] {
        let mut command = workshop.command(&program);
        command
            .args([
                "convert",
                "-q",
                "-c",
                "qemux86-64",
                "-n",
                "r1",
                "-s",
                "storage.size=512MiB",
                "--output-dir",
                name,
            ])
            .arg(&golden);
        let output = command.output().unwrap();
        let expected = format!(
            "error: the output directory {name} cannot be used: {why}\nhint: name another one with --output-dir\n"
        );
        assert_eq!((stderr(&output), output.status.code()), (expected, Some(1)));
    }
}

#[test]
fn standard_output_holds_the_paths_or_one_object() {
    if !tiny::can_make() {
        return;
    }
    let dir = scratch();
    tiny::golden(dir.path());
    let line = "convert -c qemux86-64 -n r1 -s storage.size=512MiB golden.img";
    let output = run(dir.path(), line);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    let paths: Vec<&str> = text.lines().collect();
    assert!(
        paths.contains(&"deploy/golden-qemux86-64-r1.img")
            && paths.contains(&"deploy/golden-qemux86-64-r1.mender"),
        "{text}"
    );
    assert!(
        paths.iter().all(|path| dir.path().join(path).is_file()),
        "{text}"
    );
    assert!(
        stderr(&output).starts_with("reading the golden image\n"),
        "{}",
        stderr(&output)
    );

    let output = run(dir.path(), &format!("{line} --json --quiet"));
    assert_eq!(stderr(&output), "");
    let record: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(record["artifact_name"], "r1");
    let kept = fs::read(dir.path().join("deploy/golden-qemux86-64-r1.json")).unwrap();
    assert!(kept == output.stdout);
    for json in [
        "plan --json -q -c qemux86-64 -n r1 golden.img",
        "inspect --json golden.img",
    ] {
        let output = run(dir.path(), json);
        assert!(
            serde_json::from_slice::<serde_json::Value>(&output.stdout)
                .is_ok_and(|value| value.is_object()),
            "{json}"
        );
    }
    let boards = stdout(&run(dir.path(), "boards"));
    let first: Vec<&str> = boards
        .lines()
        .map(|line| line.split(' ').next().unwrap_or_default())
        .collect();
    assert_eq!(
        first,
        ["BOARD"]
            .into_iter()
            .chain(goldsmith::config::boards())
            .collect::<Vec<_>>()
    );
    assert!(
        boards.contains("qemux86-64             amd64   uefi > grub-efi        booted    the PC of QEMU with UEFI firmware\n"),
        "{boards}"
    );
    let boards: serde_json::Value =
        serde_json::from_slice(&run(dir.path(), "boards --json").stdout).unwrap();
    let qemu = boards
        .as_array()
        .unwrap()
        .iter()
        .find(|board| board["name"] == "qemux86-64")
        .unwrap();
    assert_eq!(
        (&qemu["architectures"][0], &qemu["boot_loader"]),
        (&"amd64".into(), &"grub-efi".into())
    );
}

#[test]
fn the_page_of_boards_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/boards.md");
    let page = fs::read_to_string(&path).unwrap();
    let (begin, end) = (
        "<!-- boards: generated, GOLDSMITH_BLESS=1 writes it anew -->\n",
        "<!-- end of boards -->\n",
    );
    let (before, rest) = page.split_once(begin).expect("the place of the table");
    let (found, after) = rest.split_once(end).expect("the end of the table");
    let table = goldsmith::cli::boards::table().unwrap() + "\n" + &goldsmith::cli::boards::proofs();
    if std::env::var_os("GOLDSMITH_BLESS").is_some() {
        fs::write(&path, [before, begin, &table, end, after].concat()).unwrap();
    } else {
        assert!(
            found == table,
            "docs/boards.md differs from the boards; run the tests with GOLDSMITH_BLESS=1"
        );
    }
}

#[test]
fn help_fits_a_terminal() {
    for command in goldsmith::cli::commands() {
        for flag in ["--help", "-h"] {
            let output = Command::new(goldsmith())
                .args(command.split_whitespace())
                .arg(flag)
                .env("COLUMNS", "200")
                .output()
                .unwrap();
            assert!(
                output.status.success() && output.stderr.is_empty(),
                "{command} {flag}"
            );
            for line in stdout(&output).lines() {
                assert!(line.chars().count() <= 80, "{command} {flag}: {line}");
            }
        }
    }
}

#[test]
fn readme_lists_every_command() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"));
    let readme = readme.unwrap();
    let commands = goldsmith::cli::commands();
    assert!(commands.iter().any(|name| name == "artifact validate"));
    for command in commands.iter().filter(|name| !name.is_empty()) {
        let row = format!("| `{command}` | ");
        // A command with subcommands is listed by these.
        let group = commands
            .iter()
            .any(|other| other.starts_with(&format!("{command} ")));
        assert!(
            group || readme.contains(&row),
            "README.md does not list `{command}`"
        );
    }
}

#[test]
fn commands_that_read_an_image_bound_what_it_unpacks_to() {
    let Some(gzip) = tool("gzip") else { return };
    let dir = scratch();
    let image = dir.path().join("zeros.img");
    fs::File::create(&image).unwrap().set_len(2 << 20).unwrap();
    must(gzip, &[&image]);
    for command in ["inspect", "verify"] {
        let output = run(
            dir.path(),
            &format!("{command} --max-size 1MiB zeros.img.gz"),
        );
        let expected = "error: zeros.img.gz unpacks to more than the limit of 1 MiB\nhint: allow more with --max-size\n";
        assert_eq!(
            (stderr(&output), output.status.code()),
            (expected.to_owned(), Some(1)),
            "{command}"
        );
        // The limit itself is allowed.
        let output = run(
            dir.path(),
            &format!("{command} --max-size 2MiB zeros.img.gz"),
        );
        let said = stderr(&output) + &stdout(&output);
        assert!(
            said.contains("zeros") && !said.contains("limit"),
            "{command}: {said}"
        );
    }
}

#[test]
fn older_names_of_options_are_read_and_not_shown() {
    for (command, old, new) in [
        ("convert", "--like", "--preserve-layout"),
        ("convert", "--field", "--upgrade-from"),
        ("plan", "--like", "--preserve-layout"),
        ("plan", "--field", "--upgrade-from"),
        ("verify", "--field", "--upgrade-from"),
    ] {
        let help = stdout(&run(Path::new("."), &format!("{command} --help")));
        assert!(help.contains(new) && !help.contains(old), "{help}");
        let output = run(Path::new("."), &format!("{command} {old} a {new} b c"));
        assert!(
            stderr(&output).starts_with(&format!("error: the argument '{new} <")),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn the_manual_is_up_to_date() {
    let mut text = String::from(
        "# Manual\n\nThe output of `goldsmith COMMAND --help` for every command, generated from the definitions of the arguments.\nThe \
         configuration is documented in [configuration.md](configuration.md).\n",
    );
    for command in goldsmith::cli::commands() {
        let output = run(Path::new("."), &format!("{command} --help"));
        let help = stdout(&output)
            .lines()
            .map(|line| format!("{}\n", line.trim_end()))
            .collect::<String>();
        let title = format!("goldsmith {command}");
        text.push_str(&format!(
            "\n## {}\n\n```text\n{help}```\n",
            title.trim_end()
        ));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/manual.md");
    if std::env::var_os("GOLDSMITH_BLESS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == text,
        "docs/manual.md differs from the definitions; run the tests with GOLDSMITH_BLESS=1"
    );
}
