//! One file, or one fact of the plan, is changed; exactly one relation breaks.

use super::image::{A, B, BOOT, Build, DATA, TIME, block, elf, put, stage1};
use super::{Patch, expect, patched};
use goldsmith::stamp::{Time, Uuid};
use goldsmith::stream::Content;
use goldsmith::tree::{Leaf, LeafKind, Stat, Tree};
use goldsmith::units::MIB;
use goldsmith::verify::{Request, Severity, image};
use std::sync::Arc;

const GRUBENV: [&str; 2] = [
    "/grub-mender-grubenv/mender_grubenv1",
    "/grub-mender-grubenv/mender_grubenv2",
];

fn env(build: &mut Build, copies: &[usize], values: &str) {
    copies.iter().for_each(|copy| {
        put(
            &mut build.boot,
            &format!("{}/env", GRUBENV[*copy]),
            block(values),
        )
    });
}

pub(crate) fn fstab(build: &mut Build, change: impl Fn(String) -> String) {
    let old = String::from_utf8(build.root.read("/etc/fstab", 4096).unwrap().unwrap()).unwrap();
    put(&mut build.root, "/etc/fstab", change(old));
}

/// A swap file with a hole, and `signature` at the end of its first page.
fn swap_file(tree: &mut Tree, path: &str, signature: &[u8]) {
    let mut content = Content::bytes([&[0; 4086], signature].concat());
    content.set_len(1 << 16);
    let (stat, kind) = (Stat::root(0o600, Time::default()), LeafKind::File(content));
    tree.put(path, Leaf { stat, kind }).unwrap();
}

/// A service with this command, and the link that starts it.
fn unit(build: &mut Build, group: &str, command: &str) {
    let text = format!("[Service]\nType=oneshot\n{command}");
    put(&mut build.root, "/etc/systemd/system/setup.service", text);
    put(&mut build.root, &format!("{group}/setup.service"), "");
}

pub(crate) type Case = (&'static str, fn(&mut Build));

const CASES: &[Case] = &[
    ("data-missing", |b| drop(b.data.remove("/mender"))),
    ("root-missing", |b| drop(b.root.remove("/etc/os-release"))),
    ("client-conf", |b| {
        put(&mut b.root, "/etc/mender/mender.conf", "no JSON")
    }),
    ("client-slots", |b| {
        put(
            &mut b.data,
            "/mender/mender.conf",
            r#"{"RootfsPartA":"/dev/sda2","RootfsPartB":"/dev/sda12"}"#,
        )
    }),
    ("client-slots", |b| {
        put(
            &mut b.data,
            "/mender/mender.conf",
            r#"{"RootfsPartA":"/dev/sda2","RootfsPartB":"/dev/mmcblk0p2"}"#,
        )
    }),
    ("device-type", |b| {
        put(&mut b.data, "/mender/device_type", "device_type=a b\n")
    }),
    ("device-type", |b| {
        drop(b.data.remove("/mender/device_type"))
    }),
    ("artifact-info", |b| {
        drop(b.root.remove("/etc/mender/artifact_info"))
    }),
    ("bootstrap-invalid", |b| {
        put(&mut b.data, "/mender/bootstrap.mender", "no Artifact")
    }),
    ("bootstrap-missing", |b| b.no_bootstrap = true),
    ("bootstrap-checksum", |b| b.digest = Some([7; 32])),
    ("bootstrap-name", |b| b.bootstrap.name = "release-2".into()),
    ("bootstrap-device-type", |b| {
        b.bootstrap.device_types = vec!["other".into()]
    }),
    ("data-mount", |b| put(&mut b.root, "/data/left", "here")),
    ("client-state", |b| drop(b.root.remove("/var/lib/mender"))),
    ("client-identity", |b| {
        put(&mut b.data, "/mender/mender-agent.pem", "key")
    }),
    ("client-missing", |b| {
        drop(b.root.remove("/usr/bin/mender-update"))
    }),
    ("client-module", |b| {
        drop(b.root.remove("/usr/share/mender/modules/v3/rootfs-image"))
    }),
    ("client-module", |b| {
        let path = "/usr/share/mender/modules/v3/rootfs-image";
        drop(b.root.remove(path));
        put(&mut b.root, &format!("{path}.distrib"), "");
        b.root.put_symlink(path, "/dev/null", TIME).unwrap();
    }),
    ("client-token", |b| {
        put(
            &mut b.root,
            "/etc/mender/mender.conf",
            r#"{"TenantToken": "Paste your token here"}"#,
        )
    }),
    ("client-library", |b| {
        drop(b.root.remove("/lib/libtwo.so.2"))
    }),
    ("client-program", |b| {
        put(&mut b.root, "/usr/bin/mender-auth", "text")
    }),
    ("client-program", |b| {
        put(&mut b.root, "/lib/libtwo.so.2", {
            let mut other = elf(&[]);
            other[18] = 183;
            other
        })
    }),
    ("fstab-duplicate", |b| {
        fstab(b, |old| old + "tmpfs /tmp tmpfs defaults 0 0\n")
    }),
    ("fstab-device", |b| {
        fstab(b, |old| old + "UUID=0000 /home ext4 defaults 0 2\n")
    }),
    ("fstab-device", |b| {
        fstab(b, |old| old + "/dev/sda9 none swap sw 0 0\n")
    }),
    ("fstab-bind", |b| {
        put(&mut b.root, "/home/user/file", "x");
        fstab(b, |old| old + "/data/home /home none bind 0 0\n")
    }),
    ("fstab-mount-point", |b| {
        put(&mut b.data, "/srv/files/file", "x");
        fstab(b, |old| old + "/data/srv/files /srv/files none bind 0 0\n")
    }),
    ("fstab-mount-point", |b| {
        put(&mut b.data, "/srv/files/file", "x");
        put(&mut b.root, "/srv/files", "not a directory");
        fstab(b, |old| old + "/data/srv/files /srv/files none bind 0 0\n")
    }),
    ("fstab-option", |b| {
        fstab(b, |old| old.replace("/ auto defaults", "/ auto prjquota"))
    }),
    ("fstab-option", |b| {
        fstab(b, |old| {
            old.replace("/ auto defaults", "/ auto data=journal")
        })
    }),
    ("fstab-option", |b| {
        fstab(b, |old| {
            old.replace("/data ext4 defaults", "/data ext4 test_dummy_encryption=v2")
        })
    }),
    ("fstab-swap", |b| {
        fstab(b, |old| old + "/swapfile none swap sw 0 0\n");
        swap_file(&mut b.root, "/swapfile", b"SWAPSPACE2");
    }),
    ("fstab-swap", |b| {
        fstab(b, |old| old + "/data/swapfile none swap sw 0 0\n");
        swap_file(&mut b.data, "/swapfile", b"0000000000");
    }),
    ("kernel-rootflags", |b| {
        put(
            &mut b.root,
            "/boot/mender-slot.env",
            block("args=ro rootflags=journal_path=/dev/sdb1\n"),
        )
    }),
    ("kernel-rootfstype", |b| {
        put(
            &mut b.root,
            "/boot/mender-slot.env",
            block("args=ro rootfstype=ext3,ext2\n"),
        )
    }),
    ("fstab-data", |b| {
        fstab(b, |old| old.replace(" /data ", " /srv "))
    }),
    ("fstab-boot", |b| {
        fstab(b, |old| old.replace("/boot/efi", "/boot/none"))
    }),
    ("fstab-boot-options", |b| {
        fstab(b, |old| {
            old.replace("/boot/efi vfat defaults", "/boot/efi vfat ro,sync")
        })
    }),
    ("fstab-boot-options", |b| {
        fstab(b, |old| {
            old.replace("/boot/efi vfat defaults", "/boot/efi vfat noauto")
        })
    }),
    ("startup-restarts", |b| {
        put(
            &mut b.root,
            "/etc/rc.local",
            "#!/bin/sh\n# reboot\nif true; then\n  true\nfi\ncat <<EOF\nexit 0\nEOF\nsudo /sbin/reboot -f\nexit 0\n",
        )
    }),
    ("startup-restarts", |b| {
        unit(
            b,
            "/usr/lib/systemd/system/multi-user.target.wants",
            "ExecStart=-/bin/systemctl --no-block reboot\n",
        )
    }),
    ("startup-restarts", |b| {
        put(
            &mut b.root,
            "/opt/setup",
            "#!/bin/bash\nsleep 3\nshutdown -r now\n",
        );
        unit(
            b,
            "/etc/systemd/system/sysinit.target.wants",
            "ExecStart=/bin/true\nExecStart=\nExecStart=/opt/setup start\n",
        )
    }),
    ("startup-overlay", |b| {
        put(
            &mut b.root,
            "/etc/overlayroot.local.conf",
            "#overlayroot=tmpfs\noverlayroot=\"tmpfs:swap=1\"\n",
        )
    }),
    ("startup-overlay", |b| {
        put(
            &mut b.boot,
            "/cmdline.txt",
            "console=tty1 overlayroot=tmpfs rootwait\n",
        )
    }),
    ("startup-first-boot", |b| {
        put(&mut b.root, "/usr/lib/systemd/systemd", elf(&[]))
    }),
    ("startup-first-boot", |b| {
        put(&mut b.root, "/usr/lib/systemd/systemd", elf(&[]));
        put(&mut b.root, "/etc/machine-id", "uninitialized\n")
    }),
    ("fstab-root", |b| {
        fstab(b, |old| {
            old.replace("/dev/root", &format!("PARTUUID={}", Uuid([2; 16])))
        })
    }),
    ("reference-slot", |b| {
        fstab(b, |old| old + "/dev/sda3 /srv ext4 nofail 0 2\n")
    }),
    ("reference-slot", |b| {
        let id = Uuid([3; 16]);
        fstab(b, |old| {
            old + &format!("PARTUUID={id} none swap sw,noauto 0 0\n")
        })
    }),
    ("reference-slot", |b| {
        let line = "swap\t/dev/mmcblk0p3\t/dev/urandom\tswap\n";
        put(&mut b.root, "/etc/crypttab", line)
    }),
    ("reference-slot", |b| {
        let line = format!("swap PARTUUID={} /dev/urandom swap\n", Uuid([3; 16]));
        put(&mut b.root, "/etc/crypttab", line)
    }),
    ("reference-slot", |b| {
        let line = format!("swap PARTUUID=\"{}\" /dev/urandom swap\n", Uuid([3; 16]));
        put(&mut b.root, "/etc/crypttab", line)
    }),
    ("reference-slot", |b| {
        let line = "RESUME=/dev/disk/by-path/pci-0000:00:1f.2-ata-1-part2\n";
        put(&mut b.root, "/etc/initramfs-tools/conf.d/resume", line)
    }),
    ("reference-slot", |b| {
        let unit = "[Swap]\nWhat=/dev/sda3\n";
        put(&mut b.root, "/etc/systemd/system/dev-sda3.swap", unit)
    }),
    ("reference-slot", |b| {
        let body = "mounts:\n - [ /dev/sda3, /srv ]\n";
        put(&mut b.root, "/etc/cloud/cloud.cfg.d/9.cfg", body)
    }),
    ("reference-number", |b| {
        fstab(b, |old| old + "/dev/sda9 /srv ext4 nofail 0 2\n")
    }),
    ("reference-number", |b| {
        put(&mut b.root, "/etc/crypttab", "x /dev/nvme0n1p7 none luks\n")
    }),
    ("reference-hidden", |b| {
        let unit = "[Mount]\nWhat=/dev/disk/by-uuid/1-2\nWhere=/data\n";
        put(&mut b.root, "/etc/systemd/system/data.mount", unit)
    }),
    ("reference-hidden", |b| {
        let path = "/etc/systemd/system/boot-efi.mount";
        b.root
            .put_symlink(path, "/dev/null", Time::default())
            .unwrap();
    }),
    ("reference-hidden", |b| {
        let path = "/etc/systemd/system/data.mount.d/a.conf";
        put(&mut b.root, path, "[Mount]\nWhat = UUID=1-2\n")
    }),
    ("grubenv-format", |b| {
        put(
            &mut b.boot,
            "/grub-mender-grubenv/mender_grubenv1/env",
            "short",
        )
    }),
    ("grubenv-lock", |b| {
        put(
            &mut b.boot,
            "/grub-mender-grubenv/mender_grubenv2/lock.sha256sum",
            "0  lock\n",
        )
    }),
    ("grubenv-values", |b| {
        env(
            b,
            &[1],
            "bootcount=2\nmender_boot_part=2\nupgrade_available=0\n",
        )
    }),
    ("grubenv-copies", |b| {
        env(
            b,
            &[1],
            "bootcount=1\nmender_boot_part=2\nupgrade_available=0\n",
        )
    }),
    ("grubenv-slot", |b| {
        env(
            b,
            &[0, 1],
            "bootcount=0\nmender_boot_part=3\nupgrade_available=0\n",
        )
    }),
    ("stage1-program", |b| {
        drop(b.boot.remove("/EFI/BOOT/BOOTX64.EFI"))
    }),
    ("stage1-partuuid", |b| {
        put(
            &mut b.boot,
            "/grub-mender-grubenv/grub.cfg",
            stage1(&Uuid([2; 16]).to_string(), "0123abcd-03"),
        )
    }),
    ("stage1-slots", |b| {
        put(
            &mut b.boot,
            "/EFI/BOOT/grub.cfg",
            stage1(&Uuid([2; 16]).to_string(), ""),
        )
    }),
    ("kernel-missing", |b| {
        b.root.remove("/boot/vmlinuz-6.1.0-1").unwrap();
    }),
    ("initrd-missing", |b| {
        b.root.remove("/boot/initrd.img-6.1.0-1").unwrap();
    }),
    ("boot-missing", |b| {
        b.boot.remove("/EFI").unwrap();
        b.boot.remove("/grub-mender-grubenv").unwrap();
    }),
];

#[test]
fn each_broken_relation_has_its_own_finding() {
    for (number, (code, change)) in CASES.iter().enumerate() {
        let mut build = Build::new();
        change(&mut build);
        expect(
            &image(&build.make().source(), &Request::default()),
            &[code],
            &format!("case {number}"),
        );
    }
}

#[test]
fn a_missing_first_stage_is_one_finding_and_its_kernels_another() {
    let mut build = Build::new();
    build.boot.remove("/EFI/BOOT/grub.cfg").unwrap();
    // Without it nothing says where kernels are looked for but the names of standalone scripts.
    expect(
        &image(&build.make().source(), &Request::default()),
        &["kernel-missing", "stage1-missing"],
        "no first stage",
    );
    let mut build = Build::new();
    put(
        &mut build.boot,
        "/grub-mender-grubenv/mender_grubenv1/lock",
        block("editing=1\n"),
    );
    expect(
        &image(&build.make().source(), &Request::default()),
        &["grubenv-lock"],
        "a held lock",
    );
}

#[test]
fn slots_must_be_equal_or_b_empty() {
    let made = Build::new().make();
    let at = (B.0 + B.1) * MIB - 5;
    expect(
        &image(&patched(&made.disk, &[(at, vec![1])]), &Request::default()),
        &["slot-differs"],
        "the last block of slot B",
    );
    let empty = patched(&made.disk, &[(B.0 * MIB, vec![0; (B.1 * MIB) as usize])]);
    let outcome = image(&empty, &Request::default());
    expect(&outcome, &["slot-empty"], "no slot B");
    assert!(outcome.is_good());
    let mut build = Build::new();
    build.table.partitions[2].sectors -= 8;
    expect(
        &image(&build.make().source(), &Request::default()),
        &["ext4-superblock", "slot-size"],
        "a small slot B",
    );
}

#[test]
fn the_artifact_must_be_that_of_the_image() {
    let good = Build::new().make();
    let with = |change: fn(&mut Build)| {
        let mut build = Build::new();
        change(&mut build);
        let made = build.make();
        image(
            &good.source(),
            &Request {
                artifact: Some(Arc::clone(&made.artifact)),
                ..Default::default()
            },
        )
    };
    expect(&with(|_| ()), &[], "its own");
    expect(
        &with(|b| put(&mut b.root, "/etc/hostname", "other")),
        &["artifact-payload"],
        "another root filesystem",
    );
    expect(
        &with(|b| b.meta.device_types = vec!["other".into()]),
        &["artifact-device-type"],
        "another device type",
    );
    expect(
        &with(|b| b.meta.name = "release-2".into()),
        &["artifact-name"],
        "another name",
    );
    let wrong = |b: &mut Build| {
        drop(
            b.meta
                .provides
                .insert("rootfs-image.checksum".into(), "00".repeat(32)),
        )
    };
    expect(&with(wrong), &["artifact-checksum"], "another checksum");
    let garbage = goldsmith::stream::MemSource(b"garbage".to_vec().into());
    let outcome = image(
        &good.source(),
        &Request {
            artifact: Some(Arc::new(garbage)),
            ..Default::default()
        },
    );
    expect(&outcome, &["artifact-invalid"], "no Artifact");
}

/// Random bytes anywhere end in findings, never in a panic or an endless walk.
#[test]
fn hostile_bytes_end_in_findings() {
    let made = Build::new().make();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = |limit: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % limit
    };
    // The table, the metadata of each filesystem, the first files of each.
    let areas = [0, BOOT.0, A.0, DATA.0].map(|start| start * MIB);
    for round in 0..60 {
        let flips = 1 << (round % 8);
        let patches: Vec<Patch> = (0..flips)
            .map(|_| {
                (
                    areas[random(4) as usize] + random(MIB / 2),
                    vec![[0, 1, 0xFF, random(256) as u8][random(4) as usize]],
                )
            })
            .collect();
        let outcome = image(&patched(&made.disk, &patches), &Request::default());
        assert!(!outcome.groups.is_empty(), "round {round}");
    }
}

/// Scripts that restart under a condition, at the end, or on request are not reported, and accepted
/// ones only by a note.
#[test]
fn scripts_that_do_not_restart_by_themselves_are_good() {
    let scripts = [
        "#!/bin/sh\nwhile true; do\n  ping -c1 host || reboot\ndone\n",
        "#!/bin/sh\nexit 0\nreboot\n",
        "#!/bin/sh\ncase \"$1\" in\nstop)\n  reboot\n  ;;\nesac\n",
        "#!/bin/sh\ncat >/etc/motd <<'EOF'\nreboot\nEOF\n",
    ];
    for script in scripts {
        let mut build = Build::new();
        put(&mut build.root, "/etc/rc.local", script);
        let outcome = image(&build.make().source(), &Request::default());
        expect(&outcome, &[], script);
    }
    let mut build = Build::new();
    put(&mut build.root, "/etc/rc.local", "#!/bin/sh\nreboot\n");
    put(
        &mut build.root,
        "/usr/lib/goldsmith/accepted",
        "/etc/rc.local\tkiosk\n",
    );
    unit(
        &mut build,
        "/etc/systemd/system/reboot.target.wants",
        "ExecStart=/sbin/reboot\n",
    );
    let outcome = image(&build.make().source(), &Request::default());
    let found: Vec<_> = outcome
        .findings
        .iter()
        .map(|finding| (finding.code, finding.severity))
        .collect();
    assert_eq!(found, [("startup-restarts", Severity::Note)]);
}
