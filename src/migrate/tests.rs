//! Conversions of small configurations.

use super::draft::accepted;
use super::quotes::CutError;
use super::statements::{StatementKind, statements};
use super::{Migration, MigrationRequest, migrate};
use crate::config::Config;
use crate::mender_convert::TOPICS;
use crate::problem::Problems;
use std::fs;
use std::path::{Path, PathBuf};

/// Converts the first of `files`, which are put into a directory.
fn converted(files: &[(&str, &str)]) -> Result<Migration, Problems> {
    with(files, &[], &[])
}

fn with(
    files: &[(&str, &str)],
    overlays: &[&str],
    variables: &[(&str, &str)],
) -> Result<Migration, Problems> {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, text).expect("a file");
    }
    let request = MigrationRequest {
        files: vec![dir.path().join(files[0].0)],
        overlays: overlays.iter().map(PathBuf::from).collect(),
        variables: variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
    };
    let shown = format!("{}/", dir.path().display());
    let clean = |text: String| text.replace(&shown, "");
    match migrate(&request, dir.path()) {
        Ok(Migration { text, warnings }) => Ok(Migration {
            text: clean(text),
            warnings: warnings.into_iter().map(clean).collect(),
        }),
        Err(Problems(problems)) => Err(Problems(
            problems
                .into_iter()
                .map(|mut problem| {
                    problem.message = clean(problem.message);
                    problem
                })
                .collect(),
        )),
    }
}

/// The lines of the configuration that are not comments, without their origins.
fn settings(text: &str) -> Vec<String> {
    accepted(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| {
            line.split(" # ")
                .next()
                .unwrap_or(line)
                .trim_end()
                .to_owned()
        })
        .collect()
}

fn converted_settings(text: &str) -> Vec<String> {
    let migration = converted(&[("a_config", text)]).unwrap_or_else(|error| panic!("{error}"));
    settings(&migration.text)
}

fn refused(text: &str) -> String {
    match converted(&[("a_config", text)]) {
        Ok(migration) => panic!("not refused: {}", migration.text),
        Err(problems) => problems.to_string(),
    }
}

/// Assignments, and the keys that they become.
const CASES: &[(&str, &str)] = &[
    (
        "MENDER_STORAGE_TOTAL_SIZE_MB=16000",
        "[storage] size = \"16000 MiB\"",
    ),
    (
        "MENDER_PARTITION_ALIGNMENT=\"4194304\"",
        "[storage] alignment = \"4 MiB\"",
    ),
    ("MENDER_PARTITION_SCHEME=dos", "[storage] table = \"mbr\""),
    ("MENDER_PARTITION_SCHEME='gpt'", "[storage] table = \"gpt\""),
    (
        "MENDER_STORAGE_DEVICE_BASE=/dev/mmcblk1p",
        "[storage] device = \"/dev/mmcblk1\"",
    ),
    (
        "MENDER_STORAGE_DEVICE_BASE=/dev/sda",
        "[storage] device = \"/dev/sda\"",
    ),
    (
        "MENDER_STORAGE_DEVICE=/dev/nvme0n1",
        "[storage] device = \"/dev/nvme0n1\"",
    ),
    (
        "MENDER_ENABLE_PARTUUID=y",
        "[storage] device = \"partuuid\"",
    ),
    (
        "MENDER_ENABLE_PARTUUID=n",
        "[storage] device = \"/dev/mmcblk0\"",
    ),
    (
        "MENDER_ROOTFS_PART_A=/dev/sdb2",
        "[storage] device = \"/dev/sdb\"",
    ),
    ("MENDER_BOOT_PART_SIZE_MB=256", "[boot] size = \"256 MiB\""),
    (
        "MENDER_BOOT_PART_FSTAB_OPTS=defaults,noatime",
        "[boot] options = \"defaults,noatime\"",
    ),
    (
        "MENDER_BOOT_PART_MOUNT_LOCATION=/boot/firmware",
        "[boot] mount = \"/boot/firmware\"",
    ),
    ("MENDER_COPY_BOOT_GAP=y", "[boot] copy-gap = true"),
    (
        "MENDER_GRUB_EFI_INTEGRATION=n",
        "[boot] bootloader = \"u-boot\"",
    ),
    (
        "MENDER_GRUB_EFI_INTEGRATION=y",
        "[boot] bootloader = \"grub-efi\"",
    ),
    (
        "MENDER_GRUB_KERNEL_BOOT_ARGS='console=ttyS0,115200 quiet'",
        "[root] kernel-args = [\"console=ttyS0,115200\", \"quiet\"]",
    ),
    ("IMAGE_ROOTFS_SIZE=1048576", "[root] size = \"1 GiB\""),
    ("IMAGE_ROOTFS_SIZE=-1", "[root] size = \"max\""),
    (
        "IMAGE_ROOTFS_SIZE=1048576\nIMAGE_ROOTFS_EXTRA_SPACE=1024",
        "[root] size = \"1025 MiB\"",
    ),
    (
        "IMAGE_ROOTFS_EXTRA_SPACE=102400",
        "[root] headroom = \"100 MiB\"",
    ),
    ("IMAGE_OVERHEAD_FACTOR=1.3", "[root] headroom = \"30 %\""),
    (
        "MENDER_ROOT_PART_FSTAB_OPTS=ro,noatime",
        "[root] options = \"ro,noatime\"",
    ),
    ("MENDER_ROOT_PART_FS_PASSNO=0", "[root] fsck-pass = 0"),
    (
        "MENDER_ROOTFS_PART_B_INCLUDE=n",
        "[root] slot-b = \"empty\"",
    ),
    (
        "MENDER_DATA_PART_SIZE_MB=\"512\"",
        "[data] size = \"512 MiB\"",
    ),
    (
        "MENDER_DATA_PART_FSTAB_OPTS=defaults,nosuid",
        "[data] options = \"defaults,nosuid\"",
    ),
    ("MENDER_DATA_PART_GROWFS=n", "[data] grow = false"),
    ("MENDER_ENABLE_SYSTEMD=n", "[client] managed = false"),
    (
        "MENDER_INSTALL_INPUT_PACKAGES=y",
        "[client] packages = [\"input/deb/*.deb\"]",
    ),
    (
        "MENDER_INSTALL_INPUT_PACKAGES=y\nMENDER_INSTALL_INPUT_PACKAGES_PATH=debs/",
        "[client] packages = [\"debs/*.deb\"]",
    ),
    (
        "MENDER_ARTIFACT_NAME=release-7",
        "[artifact] name = \"release-7\"",
    ),
    (
        "MENDER_ARTIFACT_COMPRESSION=lzma",
        "[artifact] compression = \"xz\"",
    ),
    (
        "MENDER_COMPRESS_DISK_IMAGE=none",
        "[output] image = \"raw\"",
    ),
    ("MENDER_COMPRESS_DISK_IMAGE=lzma", "[output] image = \"xz\""),
    ("MENDER_COMPRESS_DISK_IMAGE=zip", "[output] image = \"gz\""),
    ("MENDER_USE_BMAP=y", "[output] bmap = true"),
    ("DEPLOY_IMAGE_NAME=gateway", "[output] name = \"gateway\""),
    (
        "MENDER_DEVICE_TYPE='gateway gateway-2'",
        "[board] device-type = [\"gateway\", \"gateway-2\"]",
    ),
    (
        "RASPBERRYPI_OS_NEEDS_64BIT=y",
        "[board] architecture = [\"arm64\"]",
    ),
    (
        "RASPBERRYPI_OS_NEEDS_32BIT=y",
        "[board] architecture = [\"armhf\"]",
    ),
    (
        "RASPBERRYPI_OS_REQUIRED_ID=debian",
        "[board] release = [\"debian\"]",
    ),
];

#[test]
fn every_variable_with_a_key_sets_it() {
    for (text, expected) in CASES {
        let mut found: Vec<String> = converted_settings(text);
        // Of the client, which is installed unless a file says otherwise.
        found.retain(|line| {
            line != "bundle = \"6.0\""
                && line != "install = [\"mender-setup\", \"mender-snapshot\"]"
        });
        let found = found.join(" ").replace("[client] [server]", "");
        let found = found.replace("[server]", "").replace("[client]  ", "");
        let found = found.trim().trim_end_matches(" [client]");
        assert_eq!(found, *expected, "{text}");
    }
    // A rule with a key must be among the cases, so that no row of the table is dead.
    for variable in TOPICS.iter().flat_map(|topic| topic.variables) {
        let asks_for_packages = ["client.bundle", "client.install", "client.packages"]
            .iter()
            .any(|key| variable.rule.keys().contains(key));
        let tried = CASES.iter().any(|(text, _)| text.contains(variable.name));
        let by_ids = [
            "MENDER_BOOT_PART",
            "MENDER_ROOTFS_PART_B",
            "MENDER_DATA_PART",
        ];
        assert!(
            tried
                || variable.rule.keys().is_empty()
                || asks_for_packages
                || by_ids.contains(&variable.name),
            "{}",
            variable.name
        );
    }
}

#[test]
fn keys_of_the_table_exist_and_every_default_is_converted() {
    let manual = crate::config::manual();
    let mut text = String::new();
    for variable in TOPICS.iter().flat_map(|topic| topic.variables) {
        for key in variable.rule.keys() {
            assert!(
                manual.contains(&format!("### `{key}`")),
                "{}: {key}",
                variable.name
            );
        }
        if let Some(default) = variable.default {
            text.push_str(&format!("{}=\"{default}\"\n", variable.name));
        }
    }
    let migration = converted(&[("a_config", &text)]).expect("the defaults");
    let config = Config::parse(&migration.text).expect("a configuration");
    assert_eq!(config.storage.size, Some(8 << 30));
    assert_eq!(config.storage.alignment, 8 << 20);
    assert_eq!(config.data.size, Some(128 << 20));
    assert!(!config.output.bmap);
    assert!(
        !migration.text.contains("without a key"),
        "{}",
        migration.text
    );
}

#[test]
fn partitions_by_id_set_the_ids() {
    let text = "MENDER_ENABLE_PARTUUID=y\n\
        MENDER_BOOT_PART=/dev/disk/by-partuuid/26445670-f37c-408b-be2c-3ef419866620\n\
        MENDER_ROOTFS_PART_A=/dev/disk/by-partuuid/26445670-f37c-408b-be2c-3ef419866621\n\
        MENDER_ROOTFS_PART_B=/dev/disk/by-partuuid/26445670-f37c-408b-be2c-3ef419866622\n\
        MENDER_DATA_PART=/dev/disk/by-partuuid/26445670-f37c-408b-be2c-3ef419866623\n";
    let found = converted_settings(text).join("\n");
    for line in [
        "device = \"partuuid\"",
        "boot = \"26445670-f37c-408b-be2c-3ef419866620\"",
        "root-a = \"26445670-f37c-408b-be2c-3ef419866621\"",
        "root-b = \"26445670-f37c-408b-be2c-3ef419866622\"",
        "data = \"26445670-f37c-408b-be2c-3ef419866623\"",
    ] {
        assert!(found.contains(line), "{line}\n{found}");
    }
    let text = "MENDER_ENABLE_PARTUUID=y\nMENDER_ROOTFS_PART_A=/dev/disk/by-partuuid/26445670-02\n\
        MENDER_DATA_PART=/dev/disk/by-partuuid/26445670-05\n";
    let migration = converted(&[("a_config", text)]).expect("converted");
    assert!(settings(&migration.text).contains(&"disk-id = \"26445670\"".to_owned()));
    assert!(
        migration
            .warnings
            .iter()
            .any(|warning| warning.contains("MENDER_DATA_PART") && warning.contains("always 4")),
        "{:?}",
        migration.warnings
    );
}

#[test]
fn values_are_read_as_bash_reads_them() {
    let value = |text: &str| {
        let rest = "MENDER_INSTALL_INPUT_PACKAGES_PATH=\"$X\"\nMENDER_INSTALL_INPUT_PACKAGES=y\n";
        let found = converted_settings(&format!("{text}\n{rest}"));
        let found = found
            .iter()
            .find_map(|line| line.strip_prefix("packages = ["));
        found
            .unwrap_or_default()
            .trim_end_matches(']')
            .replace("/*.deb", "")
    };
    for (text, expected) in [
        ("X=plain", "\"plain\""),
        ("X='single $Y \"quoted\"'", "'single $Y \"quoted\"'"),
        ("X=\"double \\\"quoted\\\" \\$Y\"", "'double \"quoted\" $Y'"),
        ("X=with\\ blank", "\"with blank\""),
        ("X=a\"b c\"'d e'f", "\"ab cd ef\""),
        ("X=one\\\ntwo", "\"onetwo\""),
        ("X=\"one\\\ntwo\"", "\"onetwo\""),
        ("Y=in; X=${Y}ner # a remark", "\"inner\""),
        ("X=${Y:-other}", "\"other\""),
        ("Y=; X=${Y:-other}", "\"other\""),
        ("Y=; X=a${Y-other}", "\"a\""),
        (": ${X:=assigned}", "\"assigned\""),
        ("Y=file.tar.gz; X=${Y%%.*}", "\"file\""),
        ("X=a; X+=b; X+=\"c d\"", "\"abc d\""),
        ("X+=b", "\"b\""),
        ("export X=exported", "\"exported\""),
        ("declare -r X=\"de clared\"", "\"de clared\""),
        ("readonly X=constant", "\"constant\""),
        ("X=$((4 * 1024))", "\"4096\""),
        ("X=#no-remark", "\"#no-remark\""),
        ("X=a#b", "\"a#b\""),
        (
            "if [ \"$MENDER_USE_BMAP\" = n ]; then\n  X=yes # }\nelse X=no; fi",
            "\"yes\"",
        ),
        (
            "Y=2; case \"$Y\" in\n 1|3) X=odd ;;\n *) X=even;; esac",
            "\"even\"",
        ),
        ("for X in a b c; do :; done; X=$X", "\"c\""),
        ("[ -n \"$MENDER_DEVICE_TYPE\" ] || X=empty", "\"empty\""),
        ("A=(x y) X=after", "\"after\""),
        ("X=\u{e9}t\u{e9}\r", "\"\u{e9}t\u{e9}\""),
        ("X=${PWD}/here", "\"./here\""),
        ("X=$(pwd)/here", "\"./here\""),
        ("X=$(echo made)", "\"made\""),
    ] {
        assert_eq!(value(text), expected, "{text}");
    }
}

#[test]
fn what_cannot_be_read_is_an_error_with_its_place() {
    for (text, message) in [
        (
            "\nMENDER_DEVICE_TYPE=\"$(cat type)\"\n",
            "a_config:2: `cat type` is not run",
        ),
        (
            "MENDER_DEVICE_TYPE=$UNKNOWN-1",
            "a_config:1: `UNKNOWN` is not set",
        ),
        ("\n\nMENDER_DEVICE_TYPE=${X^^}\n", "a_config:3: "),
        (
            "MENDER_DEVICE_TYPE='open\n",
            "a_config:1: a single quote without its end",
        ),
        ("f() {\n  true\n", "a_config:3: the file ends before `}`"),
        (
            "source configs/gone_config\n",
            "a_config:1: `source configs/gone_config`: there is no such file",
        ),
        ("source a_config\n", "`source a_config`: more than 16 files"),
        (
            "MENDER_STORAGE_TOTAL_SIZE_MB=8GB\n",
            "a_config:1: MENDER_STORAGE_TOTAL_SIZE_MB: `8GB` is not a whole number",
        ),
        (
            "MENDER_ARTIFACT_COMPRESSION=lz4\n",
            "`lz4` is not one of gzip, lzma, none",
        ),
        ("IMAGE_OVERHEAD_FACTOR=much\n", "`much` is not a factor"),
        (
            "if [ -f /etc/x ]; then\nMENDER_USE_BMAP=y\nfi\n",
            "is not run",
        ),
        ("X=([a]=b)\n", "an array with indices"),
        ("declare -A X=([a]=b)\n", "`declare -A` is not evaluated"),
        ("fi\n", "unexpected `fi`"),
        ("X=~/input", "a_config:1: `~` is the home directory"),
    ] {
        let found = refused(text);
        assert!(found.contains(message), "{text}: {found}");
        assert!(found.contains("\nhint: "), "{text}: {found}");
    }
    // All of them together.
    let both = refused("A=$(x)\nMENDER_USE_BMAP=y\nB=$(y)\n");
    assert!(
        both.contains("a_config:1:") && both.contains("a_config:3:"),
        "{both}"
    );
}

#[test]
fn files_are_found_from_the_file_upwards_and_their_places_named() {
    let migration = converted(&[
        (
            "root/input/config/my_config",
            "source configs/shared\nMENDER_USE_BMAP=y\n",
        ),
        (
            "root/configs/shared",
            "MENDER_STORAGE_TOTAL_SIZE_MB=4096\n. sub\n",
        ),
        ("root/configs/sub", "MENDER_DATA_PART_SIZE_MB=64\n"),
    ]);
    let migration = migration.expect("converted");
    let found = settings(&migration.text).join(" ");
    assert!(
        found.contains("size = \"4 GiB\"") && found.contains("size = \"64 MiB\""),
        "{found}"
    );
    assert!(
        migration.text.contains("MENDER_DATA_PART_SIZE_MB (sub:1)"),
        "{}",
        migration.text
    );
}

#[test]
fn boards_are_known_by_their_files_even_if_they_are_missing() {
    let text = "source configs/raspberrypi/uboot/debian/raspberrypi4_bookworm_64bit_config\n\
        MENDER_STORAGE_TOTAL_SIZE_MB=16000\n";
    let migration = converted(&[("a_config", text)]).expect("converted");
    let found = settings(&migration.text);
    assert_eq!(found[0], "extends = [\"raspberrypi4-64\"]");
    assert!(
        found.contains(&"device-type = [\"raspberrypi4_64\"]".to_owned()),
        "{found:?}"
    );
    assert!(
        migration
            .warnings
            .iter()
            .any(|warning| warning.contains("known by its name"))
    );
    let uefi = "source configs/raspberrypi/uefi/debian/raspberrypi4_bookworm_64bit_config\n";
    assert!(converted_settings(uefi).contains(&"extends = [\"generic-arm64\"]".to_owned()));
    // The same with the file there: what the board has is not said again.
    let there = converted(&[
        ("a_config", "source configs/raspberrypi4_64_config\n"),
        (
            "configs/raspberrypi4_64_config",
            "MENDER_DEVICE_TYPE=raspberrypi4_64\nMENDER_COPY_BOOT_GAP=n\nRASPBERRYPI_OS_NEEDS_64BIT=y\n\
             raspberrypi_64_platform_modify() {\n  true\n}\nPLATFORM_MODIFY_HOOKS+=(raspberrypi_64_platform_modify)\n",
        ),
    ]);
    let there = there.expect("converted");
    assert!(
        !there.text.contains("copy-gap") && !there.text.contains("platform_modify"),
        "{}",
        there.text
    );
}

#[test]
fn hooks_are_kept_with_what_takes_their_place() {
    let text = "my_hook() {\n  run_and_log_cmd \"sudo cp input/x work/rootfs/etc/x\"\n  cat <<- 'EOF' >> work/boot/config.txt\n\
        don't stop }\n\tEOF\n}\nPLATFORM_MODIFY_HOOKS+=(my_hook)\n\
        function user_local_modify() { log_info \"$(date)\"; }\n\
        platform_package() {\n dd if=loader of=${img_path} seek=64\n}\n\
        OVERLAY_MODIFY_HOOKS+=(nowhere)\nhelper() ( true )\nlog_info hello\n\
        mender_create_artifact() {\n mender-artifact write rootfs-image --key private.key -s scripts\n}\n";
    let migration = converted(&[("a_config", text)]).expect("converted");
    accepted(&migration.text).expect("a configuration");
    for part in [
        "# The hook my_hook (a_config:1), of PLATFORM_MODIFY_HOOKS",
        "after-edits = [\"hooks/my_hook\"]",
        "#   - files below work/boot",
        "#     don't stop }",
        "# The hook user_local_modify (a_config:8), of USER_LOCAL_MODIFY_HOOKS",
        "# The hook platform_package (a_config:9), of PLATFORM_PACKAGE_HOOKS",
        "#   - data outside the partitions: [[raw]]",
        "OVERLAY_MODIFY_HOOKS calls nowhere, which no file defines",
        "# Functions that others call:",
        "#     helper() ( true )",
        "#     log_info hello",
        "#   - --key: artifact.key",
        "#   - --script: artifact.scripts",
    ] {
        assert!(migration.text.contains(part), "{part}\n{}", migration.text);
    }
    assert!(
        migration
            .warnings
            .iter()
            .any(|warning| warning.contains("the hook my_hook must be replaced by hand"))
    );
}

#[test]
fn unknown_variables_are_comments_and_warnings() {
    let text = "MENDER_STORAGE_TOTAL_SIZ_MB=1\nMY_OWN='a \"b'\nMENDER_ROOT_PART_MKFS_OPTS=\"-O ^has_journal\"\n";
    let migration = converted(&[("a_config", text)]).expect("converted");
    let warned = migration.warnings.join("\n");
    assert!(
        warned.contains("a_config:1: mender-convert has no variable MENDER_STORAGE_TOTAL_SIZ_MB; did you mean MENDER_STORAGE_TOTAL_SIZE_MB?"),
        "{warned}"
    );
    assert!(
        migration.text.contains("#   MY_OWN='a \"b' (a_config:2)"),
        "{}",
        migration.text
    );
    assert!(migration.text.contains(
        "#   MENDER_ROOT_PART_MKFS_OPTS=\"-O ^has_journal\" (a_config:3): goldsmith writes"
    ));
}

#[test]
fn values_that_goldsmith_refuses_become_comments() {
    let text = "MENDER_PARTITION_ALIGNMENT=1000\nMENDER_BOOT_PART_MOUNT_LOCATION=uboot\nMENDER_BOOT_PART_SIZE_MB=40\n";
    let migration = converted(&[("a_config", text)]).expect("converted");
    accepted(&migration.text).expect("a configuration");
    assert!(
        !settings(&migration.text)
            .iter()
            .any(|line| line.starts_with("alignment")
                || line.starts_with("mount")
                || line.starts_with("size"))
    );
    assert!(
        migration
            .text
            .contains("not set, from MENDER_BOOT_PART_MOUNT_LOCATION")
    );
    assert_eq!(
        migration
            .warnings
            .iter()
            .filter(|warning| warning.contains("goldsmith would refuse it"))
            .count(),
        2
    );
}

#[test]
fn overlays_and_given_variables_are_part_of_it() {
    let migration = with(
        &[(
            "a_config",
            "DEPLOY_IMAGE_NAME=image-$MENDER_ARTIFACT_NAME\n",
        )],
        &["input/rootfs overlay", "two"],
        &[("MENDER_ARTIFACT_NAME", "r1")],
    );
    let migration = migration.expect("converted");
    let found = settings(&migration.text);
    for line in [
        "overlays = [\"input/rootfs overlay\", \"two\"]",
        "name = \"r1\"",
        "name = \"image-r1\"",
    ] {
        assert!(found.contains(&line.to_owned()), "{line}: {found:?}");
    }
}

#[test]
fn add_ons_name_their_packages() {
    let text = "MENDER_ADDON_CONNECT_INSTALL=y\nMENDER_ADDON_CONNECT_VERSION=2.3.0\nMENDER_ADDON_CONFIGURE_INSTALL=y\n\
        MENDER_DOCKER_COMPOSE_INSTALL=y\nMENDER_CLIENT_VERSION=5.0.1\nMENDER_SNAPSHOT_INSTALL=n\n";
    let migration = converted(&[("a_config", text)]).expect("converted");
    let found = settings(&migration.text);
    for line in [
        "bundle = \"5.0\"",
        "install = [\"mender-auth=5.0.1-*\", \"mender-update=5.0.1-*\", \"mender-setup\", \
         \"mender-connect=2.3.0-*\", \"mender-configure\", \"mender-docker-compose\"]",
    ] {
        assert!(found.contains(&line.to_owned()), "{line}\n{found:?}");
    }
    assert!(migration.text.contains("goldsmith lock -c FILE IMAGE"));
    let none = converted(&[("a_config", "MENDER_CLIENT_INSTALL=n\n")]).expect("converted");
    let found = settings(&none.text);
    assert!(found.contains(&"required = false".to_owned()), "{found:?}");
    assert!(!none.text.contains("bundle ="), "{}", none.text);
}

#[test]
fn the_client_comes_from_a_bundle() {
    let migration = converted(&[("a_config", "MENDER_DEVICE_TYPE=a\n")]).expect("converted");
    let found = settings(&migration.text);
    assert!(found.contains(&"bundle = \"6.0\"".to_owned()), "{found:?}");
    assert!(
        found.contains(&"install = [\"mender-setup\", \"mender-snapshot\"]".to_owned()),
        "{found:?}"
    );
    assert!(
        migration
            .text
            .contains("MENDER_CLIENT_INSTALL (its default)"),
        "{}",
        migration.text
    );

    // An add-on for a client that the golden image has.
    let text = "MENDER_CLIENT_INSTALL=n\nMENDER_ADDON_CONNECT_INSTALL=y\nMENDER_ADDON_CONNECT_VERSION=3.0.1-2\n";
    let migration = converted(&[("a_config", text)]).expect("converted");
    let found = settings(&migration.text);
    assert!(
        found.contains(&"install = [\"mender-connect=3.0.1-2*\"]".to_owned()),
        "{found:?}"
    );
    assert!(!migration.text.contains("bundle ="), "{}", migration.text);
    assert!(
        migration.text.contains("preset = \"mender\""),
        "{}",
        migration.text
    );

    // No bundle of the vendor's repository has the client written in Go.
    for version in ["3.4.0", "2.6.1", "main", "99.0"] {
        let text = format!("MENDER_CLIENT_VERSION={version}\n");
        let migration = converted(&[("a_config", text.as_str())]).expect("converted");
        assert!(!migration.text.contains("bundle ="), "{}", migration.text);
        let says = |warning: &String| warning.contains(&format!("no bundle has version {version}"));
        assert!(
            migration.warnings.iter().any(says),
            "{:?}",
            migration.warnings
        );
    }
}

#[test]
fn hostile_files_end() {
    let deep = format!("X={}", "$(".repeat(5000));
    let quotes = format!("X={}", "\"${".repeat(5000));
    for text in [
        deep.as_str(),
        &quotes,
        &"f() {\n".repeat(3000),
        &"if ".repeat(5000),
        "X=\u{b}\u{a0}y\n",
        "\0\0=",
        "while true; do X=a; done\n",
    ] {
        let _ = converted(&[("a_config", text)]);
    }
    let sources = "source a_config\n".repeat(1000);
    assert!(converted(&[("a_config", &sources)]).is_err());
}

#[test]
fn statements_are_cut_at_their_ends() {
    let kinds = |text: &str| -> Result<Vec<String>, CutError> {
        Ok(statements(text)?
            .into_iter()
            .map(|statement| match statement.kind {
                StatementKind::Function(name) => format!("{}:{name}()", statement.line),
                StatementKind::Commands { text, .. } => {
                    format!("{}:{}", statement.line, text.trim())
                }
            })
            .collect())
    };
    let cases: [(&str, &[&str]); 10] = [
        (
            "f() {\n function g() {\n  :\n }\n h () { :; }; function i { :; }\n}\nj",
            &["1:f()", "7:j"],
        ),
        ("a=1; b=2\nc=3", &["1:a=1", "1:b=2", "2:c=3"]),
        ("a && \\\n b ||\n c\nd", &["1:a && \\\n b ||\n c", "4:d"]),
        ("f() {\n if x; then y; fi; }\ng", &["1:f()", "3:g"]),
        (
            "function f { case x in a) b;; (c) d;; esac; }\nfunction g() {\n:\n}",
            &["1:f()", "2:g()"],
        ),
        (
            "a=(1 # one\n 2)\nb+=(3)",
            &["1:array:set a 1 \\\n 2", "3:array:append b 3"],
        ),
        (
            "if a; then b+=(c); fi",
            &["1:if a; then array:append b c; fi"],
        ),
        (
            "cat <<X >f\nit's {\nX\na",
            &["1:cat <<X >f\nit's {\nX", "4:a"],
        ),
        (
            "a=\"$(b \"c)\" 'd)')\"\ne",
            &["1:a=\"$(b \"c)\" 'd)')\"", "2:e"],
        ),
        (
            "a <<<\"x\"\ndeclare -r b=1",
            &["1:a <<<\"x\"", "2:export  b=1"],
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(kinds(text).expect("statements"), expected, "{text}");
    }
}

#[test]
fn paths_of_the_tests_are_not_in_the_result() {
    let migration = converted(&[("a_config", "MENDER_USE_BMAP=y\n")]).expect("converted");
    assert!(!Path::new(&migration.text).is_absolute());
    assert!(migration.text.starts_with("# Converted from a_config by"));
}
