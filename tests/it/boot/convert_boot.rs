//! Converted images, started: the life of a device from its first start over updates, commits and
//! mishaps. That of a device of Debian 12 is in `command.rs`, by `goldsmith boot --check --update`.
//!
//! The first scenario runs with every `cargo test`; the others, named `boot_*`, with `make
//! test-boot`.

mod bad_updates;
mod locked;
mod shapes;
mod upgrade;

use crate::convert::conversions::{Converted, converted, device_type};
use crate::support::golden::{any_release, boot_packages, raspberry_pi_packages, release};
use crate::support::qemu::{Board, Firmware, Machine};
use crate::support::{must, scratch, tool};
use bad_updates::bad_updates;
use goldsmith::config::Proof;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use upgrade::upgrade;

/// The longest time that writing a slot takes.
const INSTALL: Duration = Duration::from_secs(1800);

/// A disk that brings Artifacts to a device.
struct Media {
    dir: tempfile::TempDir,
}

impl Media {
    /// An empty one.
    fn new() -> Self {
        let media = Self { dir: scratch() };
        fs::create_dir(media.files()).expect("a directory");
        media
    }

    fn files(&self) -> PathBuf {
        self.dir.path().join("files")
    }

    /// Puts an Artifact on it as `name`.
    fn add(&self, artifact: &Path, name: &str) {
        let to = self.files().join(name);
        if fs::hard_link(artifact, &to).is_err() {
            fs::copy(artifact, to).expect("copying an Artifact");
        }
    }

    /// Puts an Artifact for devices of `variant` on it that holds `filesystem`, whatever that is.
    fn add_filesystem(&self, variant: &str, filesystem: &Path, name: &str) {
        let to = self.files().join(name);
        let mender_artifact = tool("mender-artifact").expect("looked for before");
        let release = name.trim_end_matches(".mender");
        must(
            mender_artifact,
            &[
                &"write",
                &"rootfs-image",
                &"-t",
                &device_type(variant),
                &"-n",
                &release,
                &"-f",
                &filesystem,
                &"-o",
                &to,
            ],
        );
    }

    /// The disk.
    fn image(&self) -> PathBuf {
        let image = self.dir.path().join("media.img");
        let size = must("du", &[&"-sm", &self.files()]);
        let mib: u64 = size
            .split_whitespace()
            .next()
            .and_then(|text| text.parse().ok())
            .expect("a size");
        let mke2fs = tool("mke2fs").expect("looked for before");
        must(
            mke2fs,
            &[
                &"-q",
                &"-t",
                &"ext4",
                &"-m",
                &"0",
                &"-d",
                &self.files(),
                &image,
                &format!("{}M", mib + mib / 16 + 16),
            ],
        );
        image
    }
}

/// A board whose card has twice the size of the image.
fn board(name: &str, made: &Converted, firmware: Firmware) -> Option<Board> {
    Board::new(name, &made.image, Some(2 * image_size(made)), firmware)
}

/// The bytes in the image.
fn image_size(made: &Converted) -> u64 {
    fs::metadata(&made.image).expect("the image").len()
}

/// The device of the root filesystem, which an overlay may cover.
fn root_device(machine: &mut Machine) -> String {
    machine.must("findmnt -nro SOURCE /media/root-ro || findmnt -nro SOURCE /")
}

/// What a healthy device shows: which slot and release it runs, and that nothing is amiss.
fn runs(machine: &mut Machine, slot: u32, release: &str, marker: &str) {
    let failed = machine.must("systemctl --failed --no-legend");
    assert_eq!(
        failed,
        "",
        "failed units: {}",
        machine.run("journalctl -b --no-pager -u $(systemctl --failed --plain --no-legend | cut -d' ' -f1)").1
    );
    assert_eq!(
        root_device(machine),
        format!("{}\n", machine.partition(slot))
    );
    assert_eq!(
        machine.must("cat /etc/release-marker"),
        format!("{marker}\n")
    );
    assert_eq!(
        machine.must("findmnt -nro SOURCE /data"),
        format!("{}\n", machine.partition(4))
    );
    assert_eq!(
        machine.must("mender show-artifact").lines().last(),
        Some(release)
    );
}

/// The three variables that boot loader and client share, by the tool that the client takes:
/// GRUB's, or else U-Boot's.
fn environment(machine: &mut Machine) -> String {
    let tool = "$(command -v grub-mender-grubenv-print || command -v fw_printenv)";
    machine
        .must(&format!(
            "{tool} mender_boot_part upgrade_available bootcount"
        ))
        .replace('\n', " ")
}

/// Installs the Artifact `name` from the media and restarts into it; the caller waits for what
/// comes.
fn install(machine: &mut Machine, name: &str) {
    machine.must(&format!(
        "mountpoint -q /mnt || mount -o ro {} /mnt",
        machine.media()
    ));
    machine.must_within(&format!("mender install /mnt/{name}"), INSTALL);
}

/// The first start of a device on a card larger than the image.
fn first_start(machine: &mut Machine, made: &Converted) {
    machine.shell();
    runs(machine, 2, "release-1", "1");
    assert_eq!(
        environment(machine),
        "mender_boot_part=2 upgrade_available=0 bootcount=0 "
    );
    let command_line = machine.must("cat /proc/cmdline");
    assert!(
        command_line.contains("root=PARTUUID=") && !command_line.contains("root=UUID="),
        "{command_line}"
    );
    assert!(
        command_line.contains("vendor.flag=golden"),
        "{command_line}"
    );
    let data: u64 = machine
        .must("findmnt -bnro SIZE /data")
        .trim()
        .parse()
        .expect("a size");
    let journal = machine
        .run("journalctl -b --no-pager -u mender-grow-data")
        .1;
    assert!(
        data > image_size(made) / 10 * 9,
        "/data has not grown: {data}\n{journal}"
    );
    assert_eq!(
        machine.must("getcap /usr/bin/ping"),
        "/usr/bin/ping cap_net_raw=ep\n"
    );
    machine.must("echo mine >/data/keep");
}

/// Holds what started the system against the firmware of its board.
fn started_by(machine: &mut Machine, firmware: Firmware) {
    if firmware.is_u_boot() {
        // What starts through GRUB, or by itself as a program for UEFI, has the firmware's
        // services.
        machine.must("test ! -e /sys/firmware/efi");
        machine
            .must("grep -q mender.slot=2 /proc/cmdline && ! command -v grub-mender-grubenv-print");
        let said = machine.transcript();
        assert!(
            said.contains("Starting /boot/vmlinuz-") && said.contains(" of partition 2 ..."),
            "{said}"
        );
        return;
    }
    let secure = machine.must("od -An -t u1 -j 4 /sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c");
    assert_eq!(secure.trim() == "1", firmware.is_secure());
}

/// What every release must go through: update, commit, restart, an update that nobody commits.
fn life(made: &Converted, next: &Converted, firmware: Firmware, name: &str, marker: &str) {
    let media = Media::new();
    media.add(&made.artifact, "release-1.mender");
    media.add(&next.artifact, "release-2.mender");
    let Some(mut board) = board(name, made, firmware) else {
        return;
    };
    board.insert(&media.image());
    let mut machine = board.power_on();
    first_start(&mut machine, made);
    started_by(&mut machine, firmware);

    install(&mut machine, "release-2.mender");
    assert_eq!(
        environment(&mut machine),
        "mender_boot_part=3 upgrade_available=1 bootcount=0 "
    );
    machine.reboot();
    assert_eq!(
        environment(&mut machine),
        "mender_boot_part=3 upgrade_available=1 bootcount=1 "
    );
    assert_eq!(machine.must("cat /data/keep"), "mine\n");
    machine.must("mender commit");
    machine.reboot();
    runs(&mut machine, 3, "release-2", marker);

    install(&mut machine, "release-1.mender");
    machine.reboot();
    assert_eq!(
        root_device(&mut machine),
        format!("{}\n", machine.partition(2))
    );
    machine.reboot();
    runs(&mut machine, 3, "release-2", marker);
    assert_eq!(
        environment(&mut machine),
        "mender_boot_part=3 upgrade_available=0 bootcount=0 "
    );
    machine.power_off();
}

/// Release 1 of `variant` and release 2 of `next`. `None`, said aloud, when tools are missing.
fn releases(variant: &str, next: &str) -> Option<[Arc<Converted>; 2]> {
    tool("mke2fs")?;
    Some([
        converted(variant, "release-1")?,
        converted(next, "release-2")?,
    ])
}

#[test]
fn a_device_lives_through_updates_under_secure_boot() {
    let Some([made, next]) = releases("mini-trixie", "mini2-trixie") else {
        return;
    };
    life(&made, &next, Firmware::SecureBoot, "life-secure", "2");
}

/// A UEFI device with many packages, Debian 12: first start, update and commit, then an update that
/// is not committed.
#[test]
#[ignore = "takes long; `make test-boot` runs it"]
fn boot_life_of_a_rich_device() {
    let Some([made, next]) = releases("rich", "rich") else {
        return;
    };
    life(&made, &next, Firmware::Uefi, "life-rich", "1");
}

/// The same on a small arm64 device, with and without Secure Boot.
#[test]
#[ignore = "takes long; `make test-boot` runs it"]
fn boot_life_of_an_arm64_device() {
    let Some([made, next]) = releases("arm64", "arm64") else {
        return;
    };
    life(&made, &next, Firmware::ArmUefi, "life-arm64", "1");
    life(
        &made,
        &next,
        Firmware::ArmSecureBoot,
        "life-arm64-secure",
        "1",
    );
}

/// U-Boot of Debian 13 (QEMU virt): first start, update and commit, then an update that is not
/// committed; from an image in which U-Boot would start GRUB.
#[test]
#[ignore = "takes long; `make test-boot` runs it"]
fn boot_life_of_a_u_boot_device() {
    let Some([made, next]) = releases("arm64-u-boot", "arm64-u-boot") else {
        return;
    };
    let firmware = Firmware::UBoot("trixie");
    let Some(board) = Board::new("golden-u-boot", &made.golden, None, firmware) else {
        return;
    };
    let mut machine = board.power_on();
    machine.shell();
    machine.must("test -e /sys/firmware/efi && test -f /boot/efi/EFI/BOOT/BOOTAA64.EFI");
    drop(machine);
    life(&made, &next, firmware, "life-u-boot", "1");
}

/// The same under U-Boot of Debian 12.
#[test]
#[ignore = "takes long; `make test-boot` runs it"]
fn boot_life_of_a_u_boot_device_of_debian_12() {
    let Some([made, next]) = releases("arm64-u-boot", "arm64-u-boot") else {
        return;
    };
    life(
        &made,
        &next,
        Firmware::UBoot("bookworm"),
        "life-u-boot-12",
        "1",
    );
}

/// The same on a Raspberry Pi 3 with a card that has an MBR, under U-Boot of Debian 12.
#[test]
#[ignore = "takes long; `make test-boot` runs it"]
fn boot_life_of_a_raspberry_pi() {
    let Some([made, next]) = releases("pi-system", "pi-system") else {
        return;
    };
    life(
        &made,
        &next,
        Firmware::RaspberryPi("bookworm"),
        "life-raspberry-pi",
        "1",
    );
}

/// Upgrade of kernel, GRUB and shim on the device, followed by an update; Debian 13, Secure Boot.
#[test]
#[ignore = "takes long; `make test-boot` runs it"]
fn boot_after_an_upgrade_of_kernel_and_boot_loader_on_the_device() {
    upgrade("mini-trixie", "mini2-trixie", Firmware::SecureBoot);
}

/// The same upgrade on a device of Debian 12; Secure Boot.
#[test]
#[ignore = "takes long; `make test-boot` runs it"]
fn boot_after_an_upgrade_on_a_device_of_debian_12() {
    upgrade("mini", "mini2", Firmware::SecureBoot);
}

/// The same upgrade on an arm64 device; Secure Boot.
#[test]
#[ignore = "takes long; `make test-boot` runs it"]
fn boot_after_an_upgrade_on_an_arm64_device() {
    upgrade("arm64", "arm64", Firmware::ArmSecureBoot);
}

/// The same on a 32-bit PC, where sfdisk grows the data partition; Secure Boot.
#[test]
#[ignore = "takes long; `make test-boot` runs it"]
fn boot_after_an_upgrade_on_an_i386_device() {
    upgrade("i386", "i386", Firmware::SecureBoot32);
}

/// The same on 32-bit Arm, where nothing is signed and sfdisk grows the data partition.
#[test]
#[ignore = "takes long; `make test-boot` runs it"]
fn boot_after_an_upgrade_on_an_armhf_device() {
    upgrade("armhf", "armhf", Firmware::ArmUefi32);
}

/// The same upgrade on an arm64 device that U-Boot starts.
#[test]
#[ignore = "takes long; `make test-boot` runs it"]
fn boot_after_an_upgrade_of_kernel_and_grub_on_a_u_boot_device() {
    upgrade("arm64-u-boot", "arm64-u-boot", Firmware::UBoot("trixie"));
}

/// The same on a Raspberry Pi 3: kernel, raspi-firmware and U-Boot of Debian 12.
#[test]
#[ignore = "takes long; `make test-boot` runs it"]
fn boot_after_an_upgrade_on_a_raspberry_pi() {
    upgrade("pi-system", "pi-system", Firmware::RaspberryPi("bookworm"));
}

#[test]
fn boards_that_are_called_booted_have_a_life_here() {
    let booted = goldsmith::config::built_in()
        .expect("boards")
        .into_iter()
        .filter(|(_, config)| config.board.proof == Proof::Booted);
    // `pi-system` has one too, with U-Boot: by default its board is started by the firmware.
    let lives = ["armhf", "arm64-u-boot", "arm64", "i386", "mini"];
    let lives: Vec<&str> = lives.into_iter().map(device_type).collect();
    assert_eq!(booted.map(|(name, _)| name).collect::<Vec<_>>(), lives);
}

/// Converts the golden image `variant` and starts it once, and again: the partitions are still
/// found after the last one has grown.
fn starts(variant: &str) {
    let Some(made) = converted(variant, "release-1") else {
        return;
    };
    let Some(board) = board(&format!("first-start-{variant}"), &made, Firmware::Uefi) else {
        return;
    };
    let mut machine = board.power_on();
    first_start(&mut machine, &made);
    machine.reboot();
    runs(&mut machine, 2, "release-1", "1");
    machine.power_off();
}

/// First start of a device made from Debian 13's cloud image.
#[test]
#[ignore = "takes long; `make test-boot` runs it"]
fn boot_first_start_of_a_cloud_image() {
    starts("cloud-trixie");
}

/// First start of a device made from Debian 12's cloud image.
#[test]
#[ignore = "takes long; `make test-boot` runs it"]
fn boot_first_start_of_a_cloud_image_of_debian_12() {
    starts("cloud");
}

/// First start of a device made from a disk with an MBR.
#[test]
#[ignore = "takes long; `make test-boot` runs it"]
fn boot_first_start_of_a_dos_disk() {
    starts("mbr");
}

/// First start of a device whose udev reads the data partition all the time that parted changes it.
#[test]
#[ignore = "takes long; `make test-boot` runs it"]
fn boot_first_start_while_udev_looks_at_the_data_partition() {
    starts("mini-busy");
}

/// Updates without a filesystem, a kernel or an init system are rolled back; so are updates that a
/// power cut interrupts while the slot is written. Debian 13.
#[test]
#[ignore = "takes long; `make test-boot` runs it"]
fn boot_bad_updates_and_power_cuts_end_where_they_began() {
    let Some([made, next]) = releases("mini-trixie", "mini2-trixie") else {
        return;
    };
    bad_updates(
        "mini-trixie",
        &made,
        &next,
        Firmware::Uefi,
        "bad-updates",
        "2",
    );
}

/// The same on a device of Debian 12.
#[test]
#[ignore = "takes long; `make test-boot` runs it"]
fn boot_bad_updates_and_power_cuts_of_a_device_of_debian_12_end_where_they_began() {
    let Some([made, next]) = releases("mini", "mini2") else {
        return;
    };
    bad_updates("mini", &made, &next, Firmware::Uefi, "bad-updates-12", "2");
}

/// The same on a device that U-Boot starts.
#[test]
#[ignore = "takes long; `make test-boot` runs it"]
fn boot_bad_updates_and_power_cuts_of_a_u_boot_device_end_where_they_began() {
    let Some([made, next]) = releases("arm64-u-boot", "arm64-u-boot") else {
        return;
    };
    bad_updates(
        "arm64-u-boot",
        &made,
        &next,
        Firmware::UBoot("trixie"),
        "bad-updates-u-boot",
        "1",
    );
}

/// Slot A of `made` as a file.
fn slot(made: &Converted, dir: &Path) -> PathBuf {
    let image = dir.join("slot");
    made.extract(2, &image);
    image
}
