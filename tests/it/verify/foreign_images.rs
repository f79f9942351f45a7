//! Images that another converter made: what it lays out differently is no finding, what it broke is
//! one.

use super::image::{Build, put, stage1};
use super::{codes, expect};
use goldsmith::image::table::{DiskId, PartitionType};
use goldsmith::stamp::{Time, Uuid};
use goldsmith::verify::{Request, image};

const TIME: Time = Time {
    seconds: 1_700_000_000,
    nanos: 0,
};

/// What all of its images have in common: devices by their names, lines of `/etc/fstab` in its
/// form, no word of ours.
fn common(build: &mut Build, base: &str, mount: &str) {
    let conf = format!("{{\n  \"RootfsPartA\": \"{base}2\",\n  \"RootfsPartB\": \"{base}3\"\n}}\n");
    put(&mut build.data, "/mender/mender.conf", conf);
    let fstab = format!(
        "proc /proc proc defaults 0 0\n{base}1  {mount}  auto  defaults,sync  0 0\n/dev/root  /  auto  defaults  1 1\n\
         {base}4  /data  auto  defaults,x-systemd.growfs  0 0\n"
    );
    put(&mut build.root, "/etc/fstab", fstab);
    put(
        &mut build.root,
        "/etc/mender/mender.conf",
        r#"{"ServerURL": "https://example.org", "UpdatePollIntervalSeconds": 1800}"#,
    );
    put(&mut build.root, "/etc/mender/scripts/version", "3");
    for link in ["/vmlinuz", "/initrd.img"] {
        build.root.remove(link).unwrap();
    }
    build.boot.remove("/EFI/BOOT/grub.cfg").unwrap();
}

/// GRUB that finds slots by the names of devices, and the kernel by fixed links.
fn by_name(build: &mut Build) {
    common(build, "/dev/sda", "/boot/efi");
    let script = "mender_rootfsa_part=2\nmender_rootfsb_part=3\nmender_kernel_root_base=/dev/sda\nkernel_imagetype=kernel\n\
                  initrd_imagetype=initrd\nset root=(${drive_gptpart},gpt${mender_boot_part})\n";
    put(&mut build.boot, "/grub-mender-grubenv/grub.cfg", script);
    build
        .root
        .put_symlink("/boot/kernel", "vmlinuz-6.1.0-1", TIME)
        .unwrap();
    build
        .root
        .put_symlink("/boot/initrd", "initrd.img-6.1.0-1", TIME)
        .unwrap();
}

/// GRUB that finds slots by their PARTUUIDs, and the kernel in a menu of the slot.
fn by_menu(build: &mut Build) {
    common(build, "/dev/disk/by-partuuid/", "/boot/efi");
    let ids = [1, 2, 3, 4].map(|number| Uuid([number; 16]).to_string());
    for (at, path) in ["/mender/mender.conf"]
        .iter()
        .map(|path| (true, *path))
        .chain([(false, "/etc/fstab")])
    {
        let tree = if at { &mut build.data } else { &mut build.root };
        let mut text = String::from_utf8(tree.read(path, 4096).unwrap().unwrap()).unwrap();
        for (number, id) in (1..).zip(&ids) {
            text = text.replace(
                &format!("by-partuuid/{number}"),
                &format!("by-partuuid/{id}"),
            );
        }
        put(tree, path, text);
    }
    let script = stage1(&ids[1], &ids[2]).replace("mender-slot.env", "grub-mender-grubenv.cfg");
    put(
        &mut build.boot,
        "/grub-mender-grubenv/grub.cfg",
        script.replace("uuid_", "mender_rootfs_uuid_"),
    );
    let menu = "menuentry 'Debian' {\n  linux /boot/vmlinuz-6.1.0-1 root=${mender_kernel_root} ro\n  initrd /boot/initrd.img-6.1.0-1\n}\n";
    put(&mut build.root, "/boot/grub-mender-grubenv.cfg", menu);
}

/// A Raspberry Pi: an MBR, U-Boot whose environment lies before the partitions and is made on the
/// first start.
fn raspberry(build: &mut Build) {
    common(build, "/dev/mmcblk0p", "/boot/firmware");
    build.table.disk_id = DiskId::Mbr(0x1234_5678);
    for partition in &mut build.table.partitions {
        partition.kind = PartitionType::Mbr(if partition.number == 1 { 0x0C } else { 0x83 });
        partition.id = None;
    }
    build.boot.remove("/EFI").unwrap();
    build.boot.remove("/grub-mender-grubenv").unwrap();
    put(
        &mut build.boot,
        "/config.txt",
        "enable_uart=1\nkernel=kernel8.img\n",
    );
    put(&mut build.boot, "/kernel8.img", "U-Boot 2022.10");
    put(
        &mut build.boot,
        "/cmdline.txt",
        "console=serial0,115200 root=${mender_kernel_root} rootwait\n",
    );
    put(
        &mut build.root,
        "/etc/fw_env.config",
        "/dev/mmcblk0 0x40000 0x4000\n/dev/mmcblk0 0x80000 0x4000\n",
    );
    super::uboot::tools(build);
    put(&mut build.root, "/boot/vmlinux", "kernel");
    put(&mut build.root, "/boot/firmware/.keep", "");
    build.root.remove("/boot/firmware/.keep").unwrap();
}

type Make = fn(&mut Build);

/// Makes the image in each way, with one `change`, and verifies it with its Artifact.
fn found(make: Make, change: Make) -> goldsmith::verify::Outcome {
    let mut build = Build::new();
    make(&mut build);
    change(&mut build);
    let made = build.make();
    image(
        &made.source(),
        &Request {
            artifact: Some(made.artifact.clone()),
            ..Default::default()
        },
    )
}

#[test]
fn what_another_converter_made_is_good() {
    let cases: [(Make, &[&str]); 3] = [
        (by_name, &[]),
        (by_menu, &[]),
        (raspberry, &["boot-unchecked"]),
    ];
    for (number, (make, expected)) in cases.into_iter().enumerate() {
        let outcome = found(make, |_| {});
        expect(&outcome, expected, &format!("case {number}"));
        let looked =
            |group: &goldsmith::verify::CheckGroup| group.passed > 0 || group.name == "boot";
        assert!(
            outcome.is_good() && outcome.groups.iter().all(looked),
            "{:?}",
            outcome.groups
        );
    }
}

#[test]
fn what_another_converter_broke_is_found() {
    let cases: [(Make, &str, Make); 9] = [
        (by_name, "kernel-missing", |b| {
            drop(b.root.remove("/boot/kernel"))
        }),
        (by_name, "initrd-missing", |b| {
            drop(b.root.remove("/boot/initrd.img-6.1.0-1"))
        }),
        (by_name, "fstab-device", |b| {
            let old = String::from_utf8(b.root.read("/etc/fstab", 4096).unwrap().unwrap()).unwrap();
            put(
                &mut b.root,
                "/etc/fstab",
                old + "UUID=6f1a8c1e-5a0b-4d3e-9c55-0123456789ab none swap sw 0 0\n",
            );
        }),
        // Several types on one line match no device.
        (by_name, "device-type", |b| {
            put(
                &mut b.data,
                "/mender/device_type",
                "device_type=board other\n",
            )
        }),
        (by_menu, "stage1-partuuid", |b| {
            let script = stage1(&Uuid([2; 16]).to_string(), &Uuid([7; 16]).to_string());
            put(
                &mut b.boot,
                "/grub-mender-grubenv/grub.cfg",
                script + "# mender_kernel_root_base=\n",
            );
        }),
        (by_menu, "kernel-missing", |b| {
            drop(b.root.remove("/boot/vmlinuz-6.1.0-1"))
        }),
        (by_menu, "grubenv-slot", |b| {
            for copy in [1, 2] {
                let block =
                    super::image::block("bootcount=0\nmender_boot_part=3\nupgrade_available=0\n");
                put(
                    &mut b.boot,
                    &format!("/grub-mender-grubenv/mender_grubenv{copy}/env"),
                    block,
                );
            }
        }),
        (raspberry, "client-identity", |b| {
            put(&mut b.data, "/mender/mender-agent.pem", "key")
        }),
        (raspberry, "bootstrap-checksum", |b| {
            b.digest = Some([7; 32])
        }),
    ];
    for (number, (make, code, change)) in cases.into_iter().enumerate() {
        let outcome = found(make, change);
        let errors: Vec<&str> = codes(&outcome)
            .into_iter()
            .filter(|code| *code != "boot-unchecked")
            .collect();
        assert_eq!(errors, [code], "case {number}: {:?}", outcome.findings);
        assert!(!outcome.is_good());
    }
}
