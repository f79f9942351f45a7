//! `goldsmith migrate`: what it prints, that goldsmith takes it, and the page that is made from the
//! same tables.

use super::{run, stderr, stdout};
use crate::support::{images, scratch};
use std::fs;
use std::path::Path;

/// Writes files below `dir`.
pub(super) fn write(dir: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// A configuration as people have it: a board of mender-convert, sizes, an overlay, a hook, a
/// shared file, and values made of others.
const GATEWAY: &str = r#"# The gateway, on a 2 GB disk.
source configs/debian-qemux86-64_config
source input/config/shared

MENDER_DEVICE_TYPE="gateway"                  # not that of the board
MENDER_STORAGE_TOTAL_SIZE_MB=$((256 + 128))
MENDER_DATA_PART_SIZE_MB="${DATA_MB:-64}"
MENDER_PARTITION_ALIGNMENT=1048576
MENDER_STORAGE_DEVICE_BASE=/dev/vda
MENDER_ROOT_PART_FSTAB_OPTS="defaults,noatime,\
errors=remount-ro"
MENDER_GRUB_KERNEL_BOOT_ARGS='console=ttyS0,115200 panic=10'
IMAGE_OVERHEAD_FACTOR=1.2
MENDER_CLIENT_INSTALL="n"
MENDER_ROOT_PART_MKFS_OPTS="-O ^has_journal"
if [ "$STAGE" = production ]; then
    MENDER_ARTIFACT_COMPRESSION=lzma
else
    MENDER_ARTIFACT_COMPRESSION=none
fi

set_motd() {
    cat <<- 'EOT' > work/rootfs/etc/motd
	It's the gateway
	EOT
    run_and_log_cmd "sudo ln -sf /dev/null work/rootfs/etc/systemd/system/apt-daily.timer"
}
USER_LOCAL_MODIFY_HOOKS+=(set_motd)
"#;

const SHARED: &str = "STAGE=production\nMENDER_COMPRESS_DISK_IMAGE=none\nMENDER_USE_BMAP=y\n";

fn gateway(dir: &Path) {
    write(
        dir,
        &[
            ("input/config/gateway", GATEWAY),
            ("input/config/shared", SHARED),
            ("input/overlay/etc/gateway.conf", "id=1\n"),
        ],
    );
}

const LINE: &str =
    "migrate -o input/overlay --variable MENDER_ARTIFACT_NAME=release-1 input/config/gateway";

#[test]
fn a_configuration_is_printed_and_what_is_left_is_warned_about() {
    let dir = scratch();
    gateway(dir.path());
    let output = run(dir.path(), LINE);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    for line in [
        "extends = [\"qemux86-64\"]",
        "device-type = [\"gateway\"]",
        "size = \"384 MiB\"",
        "alignment = \"1 MiB\"",
        "device = \"/dev/vda\"",
        "options = \"defaults,noatime,errors=remount-ro\"",
        "kernel-args = [\"console=ttyS0,115200\", \"panic=10\"]",
        "headroom = \"20 %\"",
        "size = \"64 MiB\"",
        "overlays = [\"input/overlay\"]",
        "name = \"release-1\"",
        "compression = \"xz\"",
        "image = \"raw\"",
        "bmap = true",
    ] {
        assert!(
            text.lines()
                .any(|found| found.split(" # ").next().unwrap_or("").trim_end() == line),
            "{line}\n{text}"
        );
    }
    for part in [
        "# MENDER_DEVICE_TYPE (input/config/gateway:5)",
        "# The hook set_motd (input/config/gateway:22), of USER_LOCAL_MODIFY_HOOKS",
        "#     \tIt's the gateway",
        "#   MENDER_ROOT_PART_MKFS_OPTS=\"-O ^has_journal\" (input/config/gateway:15): goldsmith writes ext4",
        "#   STAGE=\"production\" (input/config/shared:1)",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let warnings = stderr(&output);
    for part in [
        "warning: input/config/gateway:2: `source configs/debian-qemux86-64_config`: there is no such file",
        "warning: input/config/gateway:22: the hook set_motd must be replaced by hand, by hooks.after-edits",
        "warning: input/config/shared:1: mender-convert has no variable STAGE",
    ] {
        assert!(warnings.contains(part), "{part}\n{warnings}");
    }
    let quiet = run(dir.path(), &format!("{LINE} -q"));
    assert_eq!((stdout(&quiet), stderr(&quiet)), (text, warnings));
}

#[test]
fn a_plan_accepts_the_converted_configuration() {
    if !images::can_make() {
        return;
    }
    let dir = scratch();
    gateway(dir.path());
    images::golden(dir.path());
    let output = run(dir.path(), LINE);
    fs::write(dir.path().join("device.toml"), &output.stdout).unwrap();
    let plan = run(dir.path(), "plan -c device.toml golden.img");
    let (shown, errors) = (stdout(&plan), stderr(&plan));
    assert_eq!(plan.status.code(), Some(0), "{errors}\n{}", stdout(&output));
    for part in [
        "Device types    gateway",
        "Artifact        release-1",
        "Disk of 384 MiB",
        "/etc/gateway.conf",
        "console=ttyS0,115200 panic=10",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    let config = run(dir.path(), "plan -c device.toml --show-config golden.img");
    assert!(stdout(&config).contains("/dev/vda"), "{}", stdout(&config));
}

#[test]
fn errors_name_file_and_line_with_a_hint_and_nothing_is_printed() {
    let dir = scratch();
    write(
        dir.path(),
        &[
            (
                "a",
                "X=1\nMENDER_DEVICE_TYPE=$(cat /etc/hostname)\nsource nowhere/b\nMENDER_DATA_PART_SIZE_MB=1G\n",
            ),
            ("binary", "\u{0}\u{1}"),
        ],
    );
    let output = run(dir.path(), "migrate a");
    assert_eq!(
        (output.status.code(), stdout(&output)),
        (Some(1), String::new())
    );
    assert_eq!(
        stderr(&output),
        "error: a:2: `cat /etc/hostname` is not run\n\
         hint: write the value itself in a copy of the file: no command is run\n\
         error: a:3: `source nowhere/b`: there is no such file\n\
         hint: run goldsmith in the directory of mender-convert, where its paths begin, or copy the file there\n\
         error: a:4: MENDER_DATA_PART_SIZE_MB: `1G` is not a whole number\n\
         hint: correct the value in a copy of the file, as mender-convert would not take it either\n"
    );
    let output = run(dir.path(), "migrate gone");
    assert_eq!(
        stderr(&output),
        "error: reading gone: No such file or directory\nhint: name a configuration file of mender-convert\n"
    );
    let output = run(dir.path(), "migrate --variable 1=2 a");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--variable 1=2: not of the form NAME=VALUE"));
}

#[test]
fn names_of_mender_convert_in_toml_have_hints() {
    let dir = scratch();
    write(
        dir.path(),
        &[
            (
                "a.toml",
                "MENDER_STORAGE_TOTAL_SIZE_MB = 8192\n[board]\nMENDER_DEVICE_TYPE = \"x\"\nIMAGE_OVERHEAD_FACTOR = 1.5\n",
            ),
            (
                "my_config",
                "MENDER_STORAGE_DEVICE_BASE=/dev/mmcblk0p\nMENDER_USE_BMAP=\"y\"\n",
            ),
        ],
    );
    let output = run(dir.path(), "plan -c a.toml golden.img");
    let errors = stderr(&output);
    assert_eq!(output.status.code(), Some(1));
    for part in [
        "a.toml:1:1: unknown key `MENDER_STORAGE_TOTAL_SIZE_MB`\nhint: this variable of mender-convert is now `storage.size`, with a unit, such as `\"8192 MiB\"`; `goldsmith migrate FILE`",
        "unknown key `board.MENDER_DEVICE_TYPE`\nhint: this variable of mender-convert is now `board.device-type`",
        "hint: this variable of mender-convert is now `root.headroom`",
    ] {
        assert!(errors.contains(part), "{part}\n{errors}");
    }
    let output = run(dir.path(), "plan -s MENDER_USE_BMAP=y golden.img");
    assert!(
        stderr(&output).contains("is now `output.bmap`"),
        "{}",
        stderr(&output)
    );
    let output = run(dir.path(), "plan -c ./my_config golden.img");
    assert!(
        stderr(&output).contains("hint: this is a configuration of mender-convert: convert it with `goldsmith migrate ./my_config`"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn the_page_about_mender_convert_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/from-mender-convert.md");
    let page = fs::read_to_string(&path).unwrap();
    let (begin, end) = (
        "<!-- mender-convert: generated, GOLDSMITH_BLESS=1 writes it anew -->\n",
        "<!-- end of mender-convert -->\n",
    );
    let (before, rest) = page.split_once(begin).expect("the place of the tables");
    let (found, after) = rest.split_once(end).expect("the end of the tables");
    let tables = goldsmith::mender_convert::page();
    if std::env::var_os("GOLDSMITH_BLESS").is_some() {
        fs::write(&path, [before, begin, &tables, end, after].concat()).unwrap();
    } else {
        assert!(
            found == tables,
            "docs/from-mender-convert.md differs from the tables; run the tests with GOLDSMITH_BLESS=1"
        );
    }
}
