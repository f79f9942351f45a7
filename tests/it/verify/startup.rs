//! What acts by itself on the first start of a slot: each case puts a few files into slot A of a
//! good image, and the finding names the file and the line that acts.

use super::image::{Build, elf, put};
use super::{codes, expect};
use goldsmith::stream::Source;
use goldsmith::verify::{Outcome, Request, Severity, image};

/// Files of slot A.
type Files<'a> = &'a [(&'a str, &'a str)];

const AUTOLOGIN: (&str, &str) = (
    "/etc/systemd/system/getty.target.wants/getty@tty1.service",
    "[Service]\nExecStart=-/sbin/agetty --autologin pi %I\n",
);
const AUTOLOGIN_UNIT: (&str, &str) = (
    "/usr/lib/systemd/system/getty@.service",
    "[Service]\nExecStart=-/sbin/agetty --autologin pi %I\n",
);
const PASSWD: (&str, &str) = (
    "/etc/passwd",
    "root:x:0:0:root:/root:/bin/bash\npi:x:1000:1000::/home/pi:/bin/bash\n",
);

/// What a slot with these files is.
fn judged(files: Files<'_>) -> Outcome {
    let mut build = Build::new();
    for (path, text) in files {
        put(&mut build.root, path, *text);
    }
    let source: Source = build.make().source();
    image(&source, &Request::default())
}

/// The code, the files, and the place: file and line.
type Case = (&'static str, Files<'static>, (&'static str, Option<u32>));

/// Services, and how units are put together.
const UNITS: &[Case] = &[
    (
        "startup-restarts",
        &[
            (
                "/etc/systemd/system/a.service",
                "[Service]\nExecStartPre=/sbin/reboot\nExecStart=/bin/true\n",
            ),
            ("/etc/systemd/system/multi-user.target.wants/a.service", ""),
        ],
        ("/etc/systemd/system/a.service", Some(2)),
    ),
    (
        "startup-partitions",
        &[
            (
                "/usr/lib/systemd/system/a.service",
                "[Service]\nExecStart=/bin/true\n",
            ),
            (
                "/etc/systemd/system/a.service.d/x.conf",
                "[Service]\nExecStartPost=sh -c \"sfdisk -N 2 \\\n  /dev/mmcblk0\"\n",
            ),
            ("/etc/systemd/system/multi-user.target.wants/a.service", ""),
        ],
        ("/etc/systemd/system/a.service.d/x.conf", Some(2)),
    ),
    // A drop-in for all services, and one for all whose name begins the same.
    (
        "startup-restarts",
        &[
            (
                "/usr/lib/systemd/system/a.service",
                "[Service]\nExecStart=/bin/true\n",
            ),
            (
                "/etc/systemd/system/service.d/x.conf",
                "[Service]\nExecStartPost=/sbin/poweroff\n",
            ),
            ("/etc/systemd/system/multi-user.target.wants/a.service", ""),
        ],
        ("/etc/systemd/system/service.d/x.conf", Some(2)),
    ),
    (
        "startup-resizes",
        &[
            (
                "/usr/lib/systemd/system/a-b.service",
                "[Service]\nExecStart=/bin/true\n",
            ),
            (
                "/etc/systemd/system/a-.service.d/x.conf",
                "[Service]\nExecStartPost=resize2fs /dev/sda2\n",
            ),
            (
                "/etc/systemd/system/multi-user.target.wants/a-b.service",
                "",
            ),
        ],
        ("/etc/systemd/system/a-.service.d/x.conf", Some(2)),
    ),
    (
        "startup-restarts",
        &[
            (
                "/usr/lib/systemd/system/a.service",
                "[Service]\nExecStart=/opt/a\n",
            ),
            ("/opt/a", "#!/bin/sh\nreboot\n"),
            (
                "/usr/lib/systemd/system/a.timer",
                "[Timer]\nOnBootSec=5min 30s\n",
            ),
            ("/etc/systemd/system/timers.target.wants/a.timer", ""),
        ],
        ("/opt/a", Some(2)),
    ),
    (
        "startup-restarts",
        &[
            (
                "/usr/lib/systemd/system/a.path",
                "[Path]\nPathExists=/etc/fstab\nUnit=b.service\n",
            ),
            (
                "/usr/lib/systemd/system/b.service",
                "[Unit]\nSuccessAction=reboot\n[Service]\nExecStart=/bin/true\n",
            ),
            ("/etc/systemd/system/multi-user.target.upholds/a.path", ""),
            ("/etc/systemd/system/multi-user.target.wants/c.service", ""),
        ],
        ("/usr/lib/systemd/system/b.service", Some(2)),
    ),
    (
        "startup-firmware",
        &[
            (
                "/usr/lib/systemd/system/a.target",
                "[Unit]\nWants=b@c.service\n",
            ),
            (
                "/usr/lib/systemd/system/b@.service",
                "[Service]\nEnvironment=WHAT=/opt/d\nExecStart=/bin/sh -c 'cd /opt && ./%i ${WHAT}'\n",
            ),
            (
                "/opt/c",
                "#!/bin/bash\n. \"$(dirname \"$0\")/lib\"\n\"$1\"\n",
            ),
            ("/opt/lib", "true\n"),
            ("/opt/d", "set -e\nflashcp -v u-boot.bin /dev/mtd0\n"),
            ("/etc/systemd/system/multi-user.target.wants/a.target", ""),
        ],
        ("/opt/d", Some(2)),
    ),
    // For the first start: a condition is no excuse.
    (
        "startup-restarts",
        &[
            (
                "/usr/lib/systemd/system/a.service",
                "[Unit]\nConditionPathExists=!/etc/done\n[Service]\nExecStart=/opt/a\n",
            ),
            (
                "/opt/a",
                "#!/bin/sh\nif grep -q x /etc/y; then\n  reboot\nfi\n",
            ),
            ("/etc/systemd/system/multi-user.target.wants/a.service", ""),
        ],
        ("/opt/a", Some(3)),
    ),
    (
        "startup-restarts",
        &[
            (
                "/etc/systemd/system/getty@tty1.service.d/x.conf",
                "[Service]\nExecStart=\nExecStart=-/opt/kiosk\n",
            ),
            ("/opt/kiosk", "#!/bin/sh\nexec /sbin/reboot\n"),
            AUTOLOGIN,
            (
                "/usr/lib/systemd/system/getty@.service",
                "[Service]\nExecStart=/bin/true\n",
            ),
        ],
        ("/opt/kiosk", Some(2)),
    ),
    (
        "startup-partitions",
        &[
            (
                "/usr/lib/systemd/system/systemd-repart.service",
                "[Service]\nExecStart=/usr/bin/systemd-repart --dry-run=no\n",
            ),
            (
                "/usr/lib/systemd/system/sysinit.target.wants/systemd-repart.service",
                "",
            ),
            (
                "/usr/lib/systemd/system/sysinit.target",
                "[Unit]\nDescription=x\n",
            ),
            ("/etc/repart.d/50-root.conf", "[Partition]\nType=root\n"),
        ],
        ("/etc/repart.d/50-root.conf", None),
    ),
];

/// Whatever else a start runs.
const OTHERS: &[Case] = &[
    (
        "startup-restarts",
        &[(
            "/etc/rc.local",
            "#!/bin/bash\nagain()\n{\n  touch /etc/done\n  reboot\n}\n[ -e /etc/done ] || again\n",
        )],
        ("/etc/rc.local", Some(5)),
    ),
    (
        "startup-restarts",
        &[(
            "/etc/rc.local",
            "#!/bin/sh\necho /sbin/reboot | at now + 1 minute\n",
        )],
        ("/etc/rc.local", Some(2)),
    ),
    (
        "startup-restarts",
        &[(
            "/etc/rc.local",
            "#!/bin/sh\nsystemd-run --on-boot=30 --unit x /sbin/reboot\n",
        )],
        ("/etc/rc.local", Some(2)),
    ),
    (
        "startup-restarts",
        &[
            ("/etc/rc2.d/S01a", ""),
            (
                "/etc/init.d/a",
                "#!/bin/sh\ndo_start () {\n  reboot\n}\ncase \"$1\" in\nstart) do_start ;;\nesac\n",
            ),
        ],
        ("/etc/init.d/a", Some(3)),
    ),
    (
        "startup-partitions",
        &[
            ("/etc/inittab", "# x\nsi::sysinit:/opt/a\n"),
            ("/opt/a", "dd if=/opt/x of=/dev/mmcblk0 seek=64\n"),
        ],
        ("/opt/a", Some(1)),
    ),
    (
        "startup-boot-files",
        &[(
            "/etc/cron.d/a",
            "X=y\n@reboot root sed -i s/a/b/ /boot/firmware/config.txt\n",
        )],
        ("/etc/cron.d/a", Some(2)),
    ),
    (
        "startup-restarts",
        &[
            ("/var/spool/cron/crontabs/root", "*/5 * * * * /opt/a\n"),
            ("/opt/a", "#!/bin/sh\nsudo -n reboot\n"),
        ],
        ("/opt/a", Some(2)),
    ),
    (
        "startup-restarts",
        &[
            ("/usr/sbin/atd", "x"),
            (
                "/var/spool/cron/atjobs/a0000101a2b3c4",
                "#!/bin/sh\n# atrun uid=0\nreboot\n",
            ),
        ],
        ("/var/spool/cron/atjobs/a0000101a2b3c4", Some(3)),
    ),
    (
        "startup-partitions",
        &[
            (
                "/etc/udev/rules.d/9.rules",
                "# x\nACTION==\"add\", ENV{ID_PART_ENTRY_NUMBER}==\"4\", \\\n  RUN+=\"/opt/a %k\"\n",
            ),
            ("/opt/a", "#!/bin/sh\nmkfs.ext4 -F \"/dev/$1\"\n"),
        ],
        ("/opt/a", Some(2)),
    ),
    (
        "startup-restarts",
        &[(
            "/etc/network/interfaces",
            "auto eth0\niface eth0 inet dhcp\n  post-up /sbin/reboot\n",
        )],
        ("/etc/network/interfaces", Some(3)),
    ),
    (
        "startup-restarts",
        &[(
            "/etc/NetworkManager/dispatcher.d/9",
            "#!/bin/sh\ncase \"$2\" in up) reboot;; esac\n",
        )],
        ("/etc/NetworkManager/dispatcher.d/9", Some(2)),
    ),
    (
        "startup-resizes",
        &[(
            "/etc/initramfs-tools/scripts/local-premount/a",
            "#!/bin/sh\nresize2fs ${ROOT}\n",
        )],
        ("/etc/initramfs-tools/scripts/local-premount/a", Some(2)),
    ),
    (
        "startup-restarts",
        &[(
            "/etc/systemd/system-generators/a",
            "#!/usr/bin/env bash\nsystemctl --no-block reboot\n",
        )],
        ("/etc/systemd/system-generators/a", Some(2)),
    ),
    (
        "startup-restarts",
        &[
            AUTOLOGIN,
            AUTOLOGIN_UNIT,
            PASSWD,
            ("/etc/profile.d/a.sh", "[ -e ~/x ] || reboot\n"),
        ],
        ("/etc/profile.d/a.sh", Some(1)),
    ),
    (
        "startup-restarts",
        &[
            AUTOLOGIN,
            AUTOLOGIN_UNIT,
            PASSWD,
            (
                "/home/pi/.profile",
                "[ -n \"$DISPLAY\" ] ||\n  sudo reboot\n",
            ),
        ],
        ("/home/pi/.profile", Some(2)),
    ),
    (
        "startup-restarts",
        &[
            ("/usr/bin/supervisord", "x"),
            (
                "/etc/supervisor/conf.d/a.conf",
                "[program:a]\ncommand=/opt/a\n",
            ),
            ("/opt/a", "#!/bin/sh\nexec reboot\n"),
        ],
        ("/opt/a", Some(2)),
    ),
    (
        "startup-partitions",
        &[(
            "/usr/share/initramfs-tools/scripts/local-bottom/growroot",
            "#!/bin/sh\n",
        )],
        (
            "/usr/share/initramfs-tools/scripts/local-bottom/growroot",
            None,
        ),
    ),
    (
        "startup-partitions",
        &[
            (
                "/etc/udev/rules.d/9.rules",
                "SUBSYSTEM==\"block\", KERNEL==\"mmcblk[0-9]p*\", RUN+=\"/opt/a\"\n",
            ),
            ("/opt/a", "#!/bin/sh\nmkfs.ext4 -F $DEVNAME\n"),
        ],
        ("/opt/a", Some(2)),
    ),
    (
        "startup-slot",
        &[(
            "/etc/udev/rules.d/9.rules",
            "# x\nSUBSYSTEM==\"block\", ATTR{partition}==\"3\", RUN+=\"/bin/mount /dev/%k /srv\"\n",
        )],
        ("/etc/udev/rules.d/9.rules", Some(2)),
    ),
    (
        "startup-kexec",
        &[
            ("/usr/sbin/kexec", "x"),
            ("/etc/default/kexec", "# x\nLOAD_KEXEC=true\n"),
        ],
        ("/etc/default/kexec", Some(2)),
    ),
];

#[test]
fn whatever_acts_by_itself_is_found_in_its_file_and_line() {
    for (code, files, (path, line)) in UNITS.iter().chain(OTHERS) {
        let outcome = judged(files);
        expect(&outcome, &[code], &format!("{files:?}"));
        let [finding] = &outcome.findings[..] else {
            panic!("{files:?}: {:?}", outcome.findings)
        };
        assert_eq!(finding.severity, Severity::Error);
        assert_eq!(finding.place.path.as_deref(), Some(*path), "{files:?}");
        assert_eq!(finding.place.line, *line, "{files:?}");
        // The same file is accepted.
        let accepted = format!("{path}\tby its owner\n");
        let list = ("/usr/lib/goldsmith/accepted", accepted.as_str());
        let outcome = judged(&[files, &[list][..]].concat());
        assert_eq!(codes(&outcome), [*code], "{files:?}");
        assert!(outcome.is_good(), "{files:?}: {:?}", outcome.findings);
    }
}

#[test]
fn kernel_arguments_that_run_something_are_found() {
    let arguments = |words: &str, more: Files<'_>| {
        let mut build = Build::new();
        let path = "/boot/mender-slot.env";
        let old = build.root.read(path, 4096).unwrap().unwrap_or_default();
        let old = String::from_utf8(old).unwrap();
        let new = match old.contains("args=") {
            true => old.replace("args=", &format!("args={words} ")),
            false => format!("{old}args={words}\n"),
        };
        put(&mut build.root, path, new);
        for (path, text) in more {
            put(&mut build.root, path, *text);
        }
        codes(&image(&build.make().source(), &Request::default()))
    };
    assert_eq!(arguments("quiet", &[]), [""; 0]);
    let script = ("/opt/a", "#!/bin/sh\nsfdisk /dev/sda\n");
    assert_eq!(arguments("init=/opt/a", &[script]), ["startup-argument"]);
    let init = ("/opt/a", "#!/bin/sh\nexec /sbin/init\n");
    assert_eq!(arguments("init=/opt/a", &[init]), [""; 0]);
    assert_eq!(arguments("systemd.run=/opt/a", &[]), ["startup-argument"]);
}

/// What is there but does not act on a first start.
const GOOD: &[Files<'static>] = &[
    // A rule for sticks.
    &[(
        "/etc/udev/rules.d/9.rules",
        "SUBSYSTEM==\"block\", KERNEL==\"sd[b-z]1\", RUN+=\"/sbin/mkfs.vfat /dev/%k\"\n",
    )],
    // Nobody logs in by itself.
    &[
        PASSWD,
        ("/etc/profile.d/a.sh", "reboot\n"),
        ("/home/pi/.profile", "reboot\n"),
    ],
    // A person is asked.
    &[
        AUTOLOGIN,
        AUTOLOGIN_UNIT,
        PASSWD,
        (
            "/home/pi/.profile",
            "read -r key\nif [ \"$key\" = r ]; then\n  reboot\nfi\n",
        ),
    ],
    // Not executable by name, not enabled, masked, or on a target that no start reaches.
    &[(
        "/etc/systemd/system/a.service",
        "[Service]\nExecStart=reboot\n",
    )],
    &[
        ("/etc/systemd/system/a.service", ""),
        (
            "/usr/lib/systemd/system/a.service",
            "[Service]\nExecStart=reboot\n",
        ),
        ("/etc/systemd/system/multi-user.target.wants/a.service", ""),
    ],
    &[
        (
            "/usr/lib/systemd/system/a.service",
            "[Service]\nExecStart=reboot\n",
        ),
        ("/usr/lib/systemd/system/rescue.target.wants/a.service", ""),
    ],
    // A condition that does not hold, and a timer by the clock.
    &[
        (
            "/usr/lib/systemd/system/a.service",
            "[Unit]\nConditionPathExists=/etc/none\n[Service]\nExecStart=reboot\n",
        ),
        ("/etc/systemd/system/multi-user.target.wants/a.service", ""),
    ],
    &[
        (
            "/usr/lib/systemd/system/a.service",
            "[Service]\nExecStart=reboot\n",
        ),
        (
            "/usr/lib/systemd/system/a.timer",
            "[Timer]\nOnCalendar=*-*-* 04:00\nOnBootSec=2h\n",
        ),
        ("/etc/systemd/system/timers.target.wants/a.timer", ""),
    ],
    &[(
        "/etc/cron.d/a",
        "0 4 * * * root reboot\n# @reboot root reboot\n",
    )],
    &[(
        "/etc/rc.local",
        "#!/bin/sh\nat 04:00 <<EOF\nreboot\nEOF\nsystemd-run --on-active=2h reboot\n",
    )],
    &[(
        "/etc/rc.local",
        "#!/bin/sh\nmkswap /dev/zram0\nmkfs.ext4 /data/disk.img\nsfdisk -d /dev/sda >/data/table\nreboot --help\n",
    )],
    &[(
        "/etc/udev/rules.d/9.rules",
        "ACTION==\"remove\", RUN+=\"/sbin/reboot\"\nKERNEL==\"sdb1\", RUN+=\"/sbin/reboot\"\n",
    )],
    &[
        ("/etc/rc2.d/S01a", ""),
        (
            "/etc/init.d/a",
            "#!/bin/sh\ncase \"$1\" in\nstop) reboot;;\nesac\n",
        ),
    ],
    &[(
        "/etc/rc.local",
        "#!/bin/sh\nlist=(a reboot)\nf() { reboot; }\necho \"reboot\" >/etc/motd\ncat <<-EOF\n\treboot\n\tEOF\n",
    )],
    &[
        (
            "/usr/share/initramfs-tools/scripts/local-bottom/growroot",
            "#!/bin/sh\n",
        ),
        ("/etc/growroot-disabled", ""),
    ],
];

#[test]
fn what_does_not_act_on_a_first_start_is_good() {
    for files in GOOD {
        expect(&judged(files), &[], &format!("{files:?}"));
    }
    let mut build = Build::new();
    put(&mut build.root, "/etc/machine-id", "");
    put(&mut build.root, "/usr/lib/systemd/systemd", elf(&[]));
    let text = "[Service]\nExecStart=growpart /dev/sda 4\n";
    let [unit, wanted] = [
        "/usr/lib/systemd/system",
        "/etc/systemd/system/data.mount.wants",
    ]
    .map(|dir| format!("{dir}/mender-grow-data.service"));
    put(&mut build.root, &unit, text);
    put(&mut build.root, &wanted, "");
    expect(
        &image(&build.make().source(), &Request::default()),
        &[],
        "our own service",
    );
}
