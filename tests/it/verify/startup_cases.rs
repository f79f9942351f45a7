//! What acts by itself on the first start of a slot: files, and the finding that they cause.

/// Files of slot A.
pub(super) type Files<'a> = &'a [(&'a str, &'a str)];

pub(super) const AUTOLOGIN: (&str, &str) = (
    "/etc/systemd/system/getty.target.wants/getty@tty1.service",
    "[Service]\nExecStart=-/sbin/agetty --autologin pi %I\n",
);
pub(super) const AUTOLOGIN_UNIT: (&str, &str) = (
    "/usr/lib/systemd/system/getty@.service",
    "[Service]\nExecStart=-/sbin/agetty --autologin pi %I\n",
);
pub(super) const PASSWD: (&str, &str) = (
    "/etc/passwd",
    "root:x:0:0:root:/root:/bin/bash\npi:x:1000:1000::/home/pi:/bin/bash\n",
);

/// The code, the files, and the place: file and line.
pub(super) type Case = (&'static str, Files<'static>, (&'static str, Option<u32>));

/// Services, and how units are put together.
pub(super) const UNITS: &[Case] = &[
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
pub(super) const OTHERS: &[Case] = &[
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
        "startup-partitions",
        &[(
            "/etc/udev/rules.d/9.rules",
            "# x \\\nRUN+=e\"/sbin/sfdisk\\x20--delete /dev/sda 1\"\n",
        )],
        ("/etc/udev/rules.d/9.rules", Some(2)),
    ),
    (
        "startup-restarts",
        &[(
            "/etc/udev/rules.d/9.rules",
            "ACTION!=\"add\", GOTO=\"end\"\nSUBSYSTEM==\"net\", \\\n# between\n  PROGRAM==\"/sbin/reboot\"\nLABEL=\"end\"\n",
        )],
        ("/etc/udev/rules.d/9.rules", Some(2)),
    ),
    (
        "startup-restarts",
        &[(
            "/etc/udev/rules.d/9.rules",
            "KERNEL!=\"vda|sda\", GOTO=\"end\"\nRUN+=\"/sbin/reboot\"\nLABEL=\"end\"\n",
        )],
        ("/etc/udev/rules.d/9.rules", Some(2)),
    ),
    (
        "startup-restarts",
        &[
            (
                "/usr/lib/udev/rules.d/9.rules",
                "IMPORT{program}=\"own %k\"\n",
            ),
            ("/usr/lib/udev/own", "#!/bin/sh\nreboot\n"),
        ],
        ("/usr/lib/udev/own", Some(2)),
    ),
    (
        "startup-restarts",
        &[(
            "/etc/network/interfaces",
            "auto eth0\n# x \\\niface eth0 inet dhcp\n  post-up \\\n /sbin/reboot\n",
        )],
        ("/etc/network/interfaces", Some(4)),
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
        "startup-slot",
        &[(
            "/etc/udev/rules.d/9.rules",
            "ENV{ID_PART_ENTRY_NUMBER}==\"2\", RUN+=\"/opt/a\"\n",
        )],
        ("/etc/udev/rules.d/9.rules", Some(1)),
    ),
    (
        "startup-state",
        &[(
            "/etc/tmpfiles.d/a.conf",
            "d /data 0755 root root -\nR! /data/mender\n",
        )],
        ("/etc/tmpfiles.d/a.conf", Some(2)),
    ),
    (
        "startup-restarts",
        &[(
            "/etc/cloud/cloud.cfg",
            "#cloud-config\nruncmd:\n  - [ sh, -c, \"sync; reboot\" ]\n",
        )],
        ("/etc/cloud/cloud.cfg", Some(3)),
    ),
    (
        "startup-restarts",
        &[
            (
                "/etc/cloud/cloud.cfg",
                "#cloud-config\nbootcmd:\n  - /opt/a\n",
            ),
            ("/opt/a", "#!/bin/sh\nreboot\n"),
        ],
        ("/opt/a", Some(2)),
    ),
    (
        "startup-restarts",
        &[
            ("/usr/bin/cloud-init", "x"),
            (
                "/etc/cloud/cloud.cfg.d/9.cfg",
                "power_state:\n  delay: now\n  mode: reboot\n",
            ),
        ],
        ("/etc/cloud/cloud.cfg.d/9.cfg", Some(3)),
    ),
    (
        "startup-restarts",
        &[
            ("/etc/rc.local", "#!/bin/sh\napt-get update\n"),
            (
                "/etc/apt/apt.conf.d/9",
                "APT::Update { Post-Invoke { \"true\"; \"reboot\"; }; };\n",
            ),
        ],
        ("/etc/apt/apt.conf.d/9", Some(1)),
    ),
    (
        "startup-restarts",
        &[
            AUTOLOGIN,
            AUTOLOGIN_UNIT,
            PASSWD,
            (
                "/home/pi/.config/lxsession/LXDE-pi/autostart",
                "@lxpanel\n@/opt/a\n",
            ),
            ("/opt/a", "#!/bin/sh\nreboot\n"),
        ],
        ("/opt/a", Some(2)),
    ),
    (
        "startup-restarts",
        &[
            (
                "/etc/greetd/config.toml",
                "[initial_session]\nuser = \"pi\"\ncommand = \"/opt/a\"\n",
            ),
            ("/opt/a", "#!/bin/sh\nreboot\n"),
        ],
        ("/opt/a", Some(2)),
    ),
    (
        "startup-restarts",
        &[
            AUTOLOGIN,
            (
                "/usr/lib/systemd/system/getty@.service",
                "[Service]\nExecStart=-/sbin/agetty -n -l /opt/a %I\n",
            ),
            ("/opt/a", "#!/bin/sh\nreboot\n"),
        ],
        ("/opt/a", Some(2)),
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
