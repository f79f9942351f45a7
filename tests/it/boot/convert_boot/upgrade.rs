//! Packages installed on the device, and the upgrade that follows.

use super::*;

/// All programs and scripts on the boot partition, by their sums; not the environment.
fn boot_programs(machine: &mut Machine) -> String {
    let dir = "$(findmnt -nro TARGET /boot/efi || findmnt -nro TARGET /boot/firmware)";
    machine.must(&format!(
        "find {dir} -type f ! -path '*mender*/*env*' -exec sha256sum {{}} + | sort"
    ))
}

/// Installs all packages of the media, which are kernel and boot loader: the system is whole, the
/// boot partition as it was.
fn install_packages(machine: &mut Machine, firmware: Firmware) {
    let before = boot_programs(machine);
    let has_grub = !firmware.is_raspberry_pi();
    // What U-Boot starts is named in a file; GRUB has links and its menu.
    let names = if firmware.is_u_boot() {
        "sed -i s/=boot.vm/=boot.old/ /boot/mender-slot.env && "
    } else {
        ""
    };
    machine.must(&format!(
        "{names}touch /tmp/before && mount -o ro {} /mnt",
        machine.media()
    ));

    // What `apt upgrade` does once it has the packages. Their scripts run, with update-initramfs
    // and update-grub.
    let said = machine.must_within(
        "DEBIAN_FRONTEND=noninteractive dpkg --force-confold -i /mnt/*.deb",
        INSTALL,
    );
    let menu = "Generating grub configuration file";
    for part in ["update-initramfs: Generating"]
        .into_iter()
        .chain(has_grub.then_some(menu))
    {
        assert!(said.contains(part), "{said}");
    }
    // A driver in the kernel of 32-bit Arm would like firmware that no image has.
    let warnings = said.lines().filter(|line| {
        line.starts_with("W: ")
            && !line.starts_with("W: Possible missing firmware /lib/firmware/imx/")
    });
    assert_eq!(warnings.collect::<Vec<_>>(), Vec::<&str>::new(), "{said}");
    machine.must_within(
        "lsinitramfs /boot/initrd.img-* | grep -qx usr/sbin/fsck.ext4",
        INSTALL,
    );
    assert_eq!(machine.must("dpkg --audit"), "");
    names_are_current(machine, firmware);
    // What would write to the boot partition is still that which leaves it alone.
    let installer = if has_grub {
        "/usr/sbin/grub-install"
    } else {
        "/etc/kernel/postinst.d/z50-raspi-firmware"
    };
    machine.must(&format!("{installer} /dev/vda"));
    assert_eq!(
        machine.must(&format!("dpkg-divert --truename {installer}")),
        format!("{installer}.distrib\n")
    );
    assert_eq!(boot_programs(machine), before);
}

/// The packages' scripts wrote the files that name kernel and arguments, after `/tmp/before`, and
/// what these name is there.
fn names_are_current(machine: &mut Machine, firmware: Firmware) {
    let written = if !firmware.is_raspberry_pi() {
        "/boot/grub/grub.cfg\n/boot/mender-slot.env\n"
    } else {
        "/boot/mender-slot.env\n"
    };
    assert_eq!(
        machine.must(&format!(
            "find {} -newer /tmp/before",
            written.replace('\n', " ")
        )),
        written
    );
    if firmware.is_u_boot() {
        let kernel = machine.must("grep -x 'kernel=boot/vmlinuz-.*' /boot/mender-slot.env");
        machine.must(&format!(
            "test -f /{}",
            kernel.trim_start_matches("kernel=").trim()
        ));
    } else {
        assert!(
            machine
                .must("cat /boot/grub/grub.cfg")
                .contains("root=${mender_kernel_root}"),
            "the menu finds its own root filesystem"
        );
    }
    // A Raspberry Pi's firmware has them from the boot partition.
    let arguments = if firmware.is_raspberry_pi() {
        "/boot/firmware/cmdline.txt"
    } else {
        "/boot/mender-slot.env"
    };
    assert!(
        machine
            .must(&format!("cat {arguments}"))
            .contains("vendor.flag=golden"),
        "the arguments are kept"
    );
}

/// Packages of kernel and boot loader are installed on a device that runs `variant`, which is then
/// updated to `next_variant`.
pub(super) fn upgrade(variant: &str, next_variant: &str, firmware: Firmware) {
    let packages = || {
        if firmware.is_raspberry_pi() {
            raspberry_pi_packages()
        } else {
            boot_packages(firmware.architecture(), release(variant))
        }
    };
    let (Some([made, next]), Some(packages)) = (releases(variant, next_variant), packages()) else {
        return;
    };
    let media = Media::new();
    media.add(&next.artifact, "release-2.mender");
    for package in &packages {
        media.add(
            package,
            &package.file_name().expect("a name").to_string_lossy(),
        );
    }
    let Some(mut board) = board(&format!("upgrade-{variant}"), &made, firmware) else {
        return;
    };
    board.insert(&media.image());
    let mut machine = board.power_on();
    first_start(&mut machine, &made);
    started_by(&mut machine, firmware);
    install_packages(&mut machine, firmware);

    machine.reboot();
    runs(&mut machine, 2, "release-1", "1");
    assert_eq!(
        environment(&mut machine),
        "mender_boot_part=2 upgrade_available=0 bootcount=0 "
    );
    install(&mut machine, "release-2.mender");
    machine.reboot();
    assert_eq!(
        machine.must("findmnt -nro SOURCE /"),
        format!("{}\n", machine.partition(3))
    );
    machine.reboot();
    runs(&mut machine, 2, "release-1", "1");
    install(&mut machine, "release-2.mender");
    machine.reboot();
    machine.must("mender commit");
    machine.reboot();
    let marker = if any_release(next_variant) == "mini2" {
        "2"
    } else {
        "1"
    };
    runs(&mut machine, 3, "release-2", marker);
    machine.power_off();
}
