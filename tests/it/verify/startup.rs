//! What acts by itself on the first start of a slot: each case puts a few files into slot A of a
//! good image, and the finding names the file and the line that acts.

use super::image::{Build, elf, put};
use super::startup_cases::{AUTOLOGIN, AUTOLOGIN_UNIT, Files, OTHERS, PASSWD, UNITS};
use super::{codes, expect};
use goldsmith::stream::Source;
use goldsmith::verify::{Outcome, Request, Severity, image};

/// What a slot with these files is.
fn judged(files: Files<'_>) -> Outcome {
    let mut build = Build::new();
    for (path, text) in files {
        put(&mut build.root, path, *text);
    }
    let source: Source = build.make().source();
    image(&source, &Request::default())
}

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
fn rules_that_run_something_for_a_slot_by_name_are_found() {
    let rule = |rule: &str, disk: Option<&str>| {
        let mut build = Build::new();
        put(&mut build.root, "/etc/udev/rules.d/9.rules", rule);
        if let Some(disk) = disk {
            let conf =
                format!("{{\"RootfsPartA\": \"/dev/{disk}2\", \"RootfsPartB\": \"/dev/{disk}3\"}}");
            put(&mut build.data, "/mender/mender.conf", conf);
        }
        let outcome = image(&build.make().source(), &Request::default());
        let found = outcome.findings.iter();
        let found = found.map(|finding| (finding.code, finding.severity));
        found.collect::<Vec<_>>()
    };
    let slot = |severity| vec![("startup-slot", severity)];
    for name in [
        "KERNEL==\"sda3\"",
        "KERNEL==\"sd[a-z]2\"",
        "ENV{DEVNAME}==\"/dev/sda[23]\"",
        "DEVPATH==\"*/sda3\"",
    ] {
        let text = format!("{name}, RUN+=\"/opt/a\"\n");
        assert_eq!(rule(&text, Some("sda")), slot(Severity::Error), "{name}");
        assert_eq!(rule(&text, None), slot(Severity::Warning), "{name}");
        assert_eq!(rule(&text, Some("mmcblk0p")), [], "{name}");
    }
    for text in [
        "KERNEL==\"sd[a-z][0-9]\", RUN+=\"/opt/a\"\n",
        "KERNEL==\"sda3\", SYMLINK+=\"x\"\n",
        "ACTION==\"remove\", KERNEL==\"sda3\", RUN+=\"/opt/a\"\n",
        "KERNEL==\"sda4\", RUN+=\"/opt/a\"\n",
        "KERNEL==\"sda3\", IMPORT{program}=\"/sbin/blkid -o udev $devnode\"\n",
        "KERNEL==\"sda*\", GOTO=\"end\"\nKERNEL==\"sda3\", RUN+=\"/opt/a\"\nLABEL=\"end\"\n",
    ] {
        assert_eq!(rule(text, Some("sda")), [], "{text}");
    }
    for text in [
        "KERNEL!=\"sda3\", GOTO=\"end\"\nRUN+=\"/opt/a\"\nLABEL=\"end\"\n",
        "# x \\\nKERNEL==\"sda3\", RUN+=\"/opt/a\"\n",
        "KERNEL==\"sda3\", PROGRAM==\"/opt/a\"\n",
        "KERNEL==\"sda3\", IMPORT{program}=\"/opt/a\"\n",
    ] {
        assert_eq!(rule(text, Some("sda")), slot(Severity::Error), "{text}");
    }
}

#[test]
fn what_an_update_needs_to_prove_itself_is_there() {
    let conf = ("/etc/mender/mender.conf", "{\"ServerURL\": \"https://a\"}");
    let systemd = ("/usr/lib/systemd/systemd", "x");
    let id = ("/etc/machine-id", "");
    let unit = (
        "/usr/lib/systemd/system/mender-updated.service",
        "[Service]\nExecStart=/bin/true\n",
    );
    let enabled = (
        "/etc/systemd/system/multi-user.target.wants/mender-updated.service",
        "",
    );
    let found = |files: Files<'_>| {
        codes(&judged(files))
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(found(&[systemd, id, conf, unit]), ["client-disabled"]);
    let outcome = judged(&[systemd, id, conf, unit]);
    assert_eq!(outcome.findings[0].place.path.as_deref(), Some(unit.0));
    let list = (
        "/usr/lib/goldsmith/accepted",
        "/usr/lib/systemd/system/mender-updated.service\twhy\n",
    );
    assert_eq!(found(&[systemd, id, conf, unit, list]), [""; 0]);
    assert_eq!(found(&[systemd, id, conf, unit, enabled]), [""; 0]);
    assert_eq!(found(&[systemd, id, unit]), [""; 0]);
    assert_eq!(
        found(&[("/etc/sysctl.d/9.conf", "kernel.panic = 0\n")]),
        ["startup-panic"]
    );
    assert_eq!(
        found(&[("/etc/sysctl.d/9.conf", "kernel.panic = 9\n")]),
        [""; 0]
    );
    let config = "CONFIG_A=y\n# CONFIG_VFAT_FS is not set\nCONFIG_CMDLINE_FORCE=y\n";
    let outcome = judged(&[("/boot/config-6.1.0-1", config)]);
    assert_eq!(codes(&outcome), ["kernel-config"]);
    let lines = outcome.findings.iter().map(|finding| finding.place.line);
    assert_eq!(lines.collect::<Vec<_>>(), [Some(2), Some(3)]);
    let list = ("/usr/lib/goldsmith/accepted", "/boot/config-6.1.0-1\twhy\n");
    assert!(judged(&[("/boot/config-6.1.0-1", config), list]).is_good());
}

#[test]
fn the_modules_that_mounting_the_boot_partition_takes_are_there() {
    let config = "CONFIG_FAT_FS=m\nCONFIG_VFAT_FS=m\nCONFIG_FAT_DEFAULT_CODEPAGE=437\nCONFIG_NLS_CODEPAGE_437=m\n";
    let config = ("/boot/config-6.1.0-1", config);
    let severities = |files: Files<'_>| {
        let outcome = judged(files);
        let found = outcome.findings.iter();
        let found = found.filter(|finding| finding.code == "kernel-config");
        let found = found.map(|finding| (finding.severity, finding.place.line));
        found.collect::<Vec<_>>()
    };
    let fat = ("/lib/modules/6.1.0-1/kernel/fs/fat/fat.ko.xz", "");
    let vfat = ("/lib/modules/6.1.0-1/kernel/fs/fat/vfat.ko", "");
    let table = ("/lib/modules/6.1.0-1/kernel/fs/nls/nls_cp437.ko", "");
    assert_eq!(severities(&[config, fat, vfat, table]), []);
    assert_eq!(
        severities(&[config, fat]),
        [(Severity::Error, Some(2)), (Severity::Error, Some(4))]
    );
    let none = severities(&[config]);
    assert!(
        none.len() == 3 && none.iter().all(|(one, _)| *one == Severity::Note),
        "{none:?}"
    );
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
    for word in [
        "fstab=no",
        "systemd.mask=data.mount",
        "systemd.unit=rescue.target",
        "single",
    ] {
        assert_eq!(arguments(word, &[]), ["startup-argument"], "{word}");
    }
    assert_eq!(arguments("systemd.mask=x.service fstab=yes", &[]), [""; 0]);
    assert_eq!(arguments("panic=5 panic=0", &[]), ["boot-panic"]);
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
    // Rules that nothing reaches, or only what is plugged in.
    &[(
        "/etc/udev/rules.d/9.rules",
        "GOTO=\"end\"\nRUN+=\"/sbin/reboot\"\nLABEL=\"end\"\nSUBSYSTEMS!=\"usb\", GOTO=\"last\"\nKERNEL==\"sd*\", RUN+=\"/sbin/mkfs.vfat /dev/%k\"\nLABEL=\"last\"\n",
    )],
    &[
        ("/usr/lib/udev/rules.d/9.rules", "RUN+=\"/sbin/reboot\"\n"),
        ("/etc/udev/rules.d/9.rules", "# nothing\n"),
    ],
    &[("/etc/modprobe.d/a.conf", "# x \\\ninstall a /sbin/reboot\n")],
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
