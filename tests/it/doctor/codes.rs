//! Each code on an image that is healthy but for one thing.

use super::image::{Files, found};
use crate::support::{goldsmith, images, scratch};
use goldsmith::doctor::CODES;
use std::collections::BTreeSet;
use std::process::Command;

/// A code with its severity, the first place, and the files that cause it.
type Case<'a> = (&'a str, &'a str, &'a str, Files<'a>);

const RESIZE_LINK: &str =
    "etc/systemd/system/multi-user.target.wants/armbian-resize-filesystem.service";
const KEY: &str = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIIrYSSNQFaA2Hwf1duRSxKtLYX5CB04fSeQ6tF1aY/PuoAoGCCqGSM49\nAwEHoUQDQgAEPR3tU2Fta9ktY+6P9G0cWO+0kETA6SFs38GecTyudlHz6xvCdz8q\nEKTcWGekdmdDPsHloRNtsiCa697B2O9IFA==\n-----END EC PRIVATE KEY-----\n";
const RASPBERRY: &str = "root:$6$Rq9zTkQn4ZbH0aLd$upAy3dx/bnRzEGjFY7qBjMNrjjmR9rJLzrrws9xUOKxU/Ig3CNW36SLdHUfX2HEdoLWwEqq1FmuGXlRirQ51T1:1::::::\n";
const ID: &str = "0123456789abcdef0123456789abcdef\n";
const STATUS: &str = "Package: mender-client\nStatus: install ok installed\nVersion: 3.4.0+ds1-5\nArchitecture: amd64\nMaintainer: x\nDescription: x\n\n";
const SYSTEMD: &str = "Package: systemd\nStatus: install ok installed\nVersion: 260.1-1\nArchitecture: amd64\nMaintainer: x\nDescription: x\n\n";
const FSTAB_RO: &str = "UUID=1-2 / ext4 ro 0 1\n/dev/sda1 /boot/efi vfat umask=0077 0 1\n";
const FSTAB_NO_BARRIERS: &str = "UUID=1-2 / ext4 rw,discard,barrier=0,noatime 0 1\n/dev/sda1 /boot/efi vfat umask=0077,nobarrier 0 1\n";
const FSTAB_GONE: &str = "UUID=1-2 / ext4 defaults 0 1\n/dev/sda1 /boot/efi vfat umask=0077 0 1\nUUID=5e1f-0001 /srv ext4 defaults 0 2\n";

#[rustfmt::skip]
const CASES: &[Case<'static>] = &[
    ("startup-acts", "error", "/etc/rc.local:2", &[("etc/rc.local", "#!/bin/sh\nreboot\n")]),
    ("startup-undone", "note", "armbian-resize-filesystem.service", &[
        ("usr/lib/systemd/system/armbian-resize-filesystem.service", "[Service]\nExecStart=/usr/bin/resize-it\n"),
        (RESIZE_LINK, "->/usr/lib/systemd/system/armbian-resize-filesystem.service"),
    ]),
    ("device-gone", "warning", "/etc/fstab:3", &[("etc/fstab", FSTAB_GONE)]),
    ("barriers-off", "warning", "/etc/fstab:1", &[("etc/fstab", FSTAB_NO_BARRIERS)]),
    ("init-missing", "warning", "/sbin/init", &[("usr/sbin/init", "-")]),
    ("init-missing", "warning", "/sbin/init", &[("usr/sbin/init", "->/usr/lib/gone")]),
    ("kernel-fhandle", "error", "/boot/config-6.1.0-1", &[("boot/config-6.1.0-1", "# CONFIG_FHANDLE is not set\n")]),
    ("kernel-config", "note", "/boot/vmlinuz-6.1.0-1", &[("boot/config-6.1.0-1", "-")]),
    ("clock-missing", "warning", "", &[("usr/sbin/chronyd", "-")]),
    ("clock-disabled", "warning", "/usr/sbin/chronyd", &[("etc/systemd/system/multi-user.target.wants/chrony.service", "-")]),
    ("client-missing", "note", "", &[("usr/bin/mender", "-")]),
    ("client-libraries", "error", "/usr/bin/mender", &[("usr/bin/mender", "damaged")]),
    ("client-modules", "note", "/usr/share/mender/modules/v3/docker", &[
        ("var/lib/dpkg/status", STATUS),
        ("usr/share/mender/modules/v3/docker", "#!/bin/sh\n"),
    ]),
    ("password-empty", "error", "/etc/shadow", &[("etc/shadow", "root::1::::::\n")]),
    ("password-default", "error", "/etc/shadow", &[("etc/shadow", RASPBERRY)]),
    ("password-shared", "note", "/etc/shadow", &[("etc/shadow", "root:$1$abcdefgh$x:1::::::\n")]),
    ("authorized-keys", "note", "/root/.ssh/authorized_keys", &[("root/.ssh/authorized_keys", "ssh-ed25519 AAAA me\n")]),
    ("private-key", "warning", "/opt/app/key.pem", &[("opt/app/key.pem", KEY)]),
    ("secret", "warning", "/root/.netrc", &[("root/.netrc", "machine h login a password b\n")]),
    ("secret", "warning", "/etc/app.conf", &[("etc/app.conf", "remote = https://me:secret@localhost/x\n")]),
    ("machine-id", "warning", "/etc/machine-id", &[("etc/machine-id", ID)]),
    ("machine-id-missing", "note", "/etc/machine-id", &[("etc/machine-id", "uninitialized\n")]),
    ("machine-id-missing", "note", "/etc/machine-id", &[("etc/machine-id", "-")]),
    ("ssh-host-keys", "warning", "/etc/ssh/ssh_host_ed25519_key", &[("etc/ssh/ssh_host_ed25519_key", "k")]),
    ("random-seed", "note", "/var/lib/systemd/random-seed", &[("var/lib/systemd/random-seed", "s")]),
    ("client-keys", "error", "/var/lib/mender/mender-agent.pem", &[("var/lib/mender/mender-agent.pem", "k")]),
    ("service-ids", "warning", "/var/lib/systemd/credential.secret", &[("var/lib/systemd/credential.secret", "s")]),
    ("dhcp-leases", "note", "/var/lib/dhcp/dhclient.leases", &[("var/lib/dhcp/dhclient.leases", "l")]),
    ("wireless-keys", "note", "/etc/wpa_supplicant/wpa_supplicant.conf", &[
        ("etc/wpa_supplicant/wpa_supplicant.conf", "network={\n  psk=\"x\"\n}\n"),
    ]),
    ("histories", "note", "/root/.bash_history", &[("root/.bash_history", "ls\n")]),
    ("logs", "note", "/var/log/syslog", &[("var/log/syslog", "x\n")]),
    ("apt-cache", "note", "/var/cache/apt/pkgcache.bin", &[("var/cache/apt/pkgcache.bin", "x")]),
    ("core-dumps", "note", "/var/crash/a.crash", &[("var/crash/a.crash", "x")]),
    ("cloud-init", "note", "/var/lib/cloud/instances", &[("var/lib/cloud/instances/i/x", "x")]),
    ("network-mac", "warning", "/etc/systemd/network/10-lan.link:2", &[
        ("etc/systemd/network/10-lan.link", "[Match]\nMACAddress=52:54:00:12:34:56\n"),
    ]),
    ("network-dhcp", "warning", "/etc/network/interfaces.d/lan:2", &[
        ("usr/sbin/ifup", "x"),
        ("etc/network/interfaces.d/lan", "auto lan\niface lan inet dhcp\n"),
    ]),
    ("network-dhcp", "warning", "/etc/network/interfaces:1", &[
        ("usr/sbin/ifup", "x"),
        ("etc/network/interfaces", "iface lan inet6 dhcp\n"),
    ]),
    ("sysv-service", "note", "/etc/init.d/own", &[
        ("etc/init.d/own", "#!/bin/sh\n"),
        ("etc/rc2.d/S01own", "->../init.d/own"),
    ]),
    ("sysv-service", "warning", "/etc/init.d/own", &[
        ("var/lib/dpkg/status", SYSTEMD),
        ("etc/init.d/own", "#!/bin/sh\n"),
        ("etc/rc2.d/S01own", "->../init.d/own"),
    ]),
    ("trim-read-only", "warning", "/etc/fstab", &[
        ("etc/fstab", FSTAB_RO),
        ("usr/lib/systemd/system/fstrim.timer", "[Timer]\nOnCalendar=weekly\n"),
        ("etc/systemd/system/timers.target.wants/fstrim.timer", "->/usr/lib/systemd/system/fstrim.timer"),
    ]),
];

#[test]
fn a_healthy_image_has_no_findings() {
    if images::can_make() {
        assert_eq!(found(&[], &[], "qemux86-64"), []);
    }
}

#[test]
fn each_code_is_found_where_its_cause_is() {
    if !images::can_make() {
        return;
    }
    for (code, severity, path, files) in CASES {
        let found = found(files, &[], "qemux86-64");
        let expected = (
            (*severity).to_owned(),
            (*code).to_owned(),
            (*path).to_owned(),
        );
        assert!(found.contains(&expected), "{code} at {path}: {found:?}");
        let others = found.iter().filter(|one| one.1 != *code);
        let others: Vec<_> = others.filter(|one| one.1 != "refused").collect();
        assert!(others.is_empty(), "{code}: {others:?}");
    }
}

#[test]
fn an_image_that_the_plan_refuses_is_examined_all_the_same() {
    if !images::can_make() {
        return;
    }
    let files: Files<'_> = &[("root/.bash_history", "ls\n")];
    let found = found(files, &[], "raspberrypi4-64");
    let codes: Vec<&str> = found.iter().map(|one| one.1.as_str()).collect();
    assert!(
        codes.contains(&"refused") && codes.contains(&"histories"),
        "{found:?}"
    );
}

#[test]
fn a_board_without_a_clock_is_known_by_its_boot_partition() {
    if !images::can_make() {
        return;
    }
    let boot: Files<'_> = &[("config.txt", "arm_64bit=1\n"), ("start4.elf", "x")];
    let found = found(&[], boot, "qemux86-64");
    assert!(found.iter().any(|one| one.1 == "clock-lost"), "{found:?}");
}

#[test]
fn an_image_without_room_is_found() {
    if !images::can_make() {
        return;
    }
    let large = "x".repeat(15 << 20);
    let files = [("usr/bin/mender", "-"), ("srv/large", large.as_str())];
    let found = found(&files, &[], "qemux86-64");
    assert!(found.iter().any(|one| one.1 == "client-room"), "{found:?}");
}

#[test]
fn a_file_that_is_too_large_is_not_passed_over() {
    if !images::can_make() {
        return;
    }
    let large = "#".repeat((4 << 20) + 1);
    let wireless = "#".repeat((1 << 20) + 1);
    let path = "etc/wpa_supplicant/wpa_supplicant.conf";
    for (files, place) in [
        ([("etc/passwd", large.as_str())], "/etc/passwd"),
        ([("etc/fstab", large.as_str())], "/etc/fstab"),
        (
            [(path, wireless.as_str())],
            "/etc/wpa_supplicant/wpa_supplicant.conf",
        ),
    ] {
        let found = found(&files, &[], "qemux86-64");
        let unread = found.iter().find(|one| one.1 == "unread");
        assert_eq!(unread.map(|one| one.2.as_str()), Some(place), "{found:?}");
    }
}

#[test]
fn without_a_configuration_no_release_has_to_be_named() {
    if !images::can_make() {
        return;
    }
    let dir = scratch();
    super::image::golden(dir.path(), &[], &[]);
    let mut run = Command::new(goldsmith());
    run.arg("doctor");
    run.args(super::image::SETTINGS.iter().flat_map(|set| ["--set", set]));
    let output = run.arg(dir.path().join("golden.img")).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let end = "golden.img: 0 errors, 0 warnings, 0 notes\n";
    assert!(output.status.success() && text.ends_with(end), "{text}");
}

#[test]
fn nothing_is_said_twice() {
    if !images::can_make() {
        return;
    }
    let dir = scratch();
    let unit = "usr/lib/systemd/system/armbian-resize-filesystem.service";
    let files: Files<'_> = &[
        ("etc/rc.local", "#!/bin/sh\nreboot\n"),
        (unit, "[Service]\nExecStart=/usr/bin/resize-it\n"),
        (
            RESIZE_LINK,
            "->/usr/lib/systemd/system/armbian-resize-filesystem.service",
        ),
        ("var/lib/mender/mender-agent.pem", KEY),
        ("etc/machine-id", "-"),
        ("usr/sbin/init", "-"),
        ("etc/fstab", FSTAB_GONE),
    ];
    super::image::golden(dir.path(), files, &[]);
    let value = super::image::doctor(dir.path(), "qemux86-64");
    for one in value["findings"].as_array().unwrap() {
        let text = one["text"].as_str().unwrap();
        for place in one["evidence"].as_array().unwrap() {
            let (path, value) = (
                place["path"].as_str().unwrap(),
                place["value"].as_str().unwrap(),
            );
            assert!(!text.contains(value) || value.is_empty(), "{one}");
            assert!(!value.contains(path) || path.is_empty(), "{one}");
        }
    }
    let refused = value["findings"].as_array().unwrap().iter();
    let refused: Vec<_> = refused.filter(|one| one["code"] == "refused").collect();
    assert!(
        refused.is_empty(),
        "the causes are findings themselves: {refused:?}"
    );
}

#[test]
fn every_code_has_a_test() {
    let mut seen: BTreeSet<&str> = CASES.iter().map(|case| case.0).collect();
    seen.extend(["refused", "clock-lost", "client-room", "unread"]);
    let all: BTreeSet<&str> = CODES.iter().map(|code| code.name).collect();
    assert_eq!(seen, all);
}
