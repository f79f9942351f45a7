//! One file for each rule, and neighbours that are not traces.

use super::{Removal, Trace, TraceKind, gather};
use crate::tree::{Stat, Time, Tree};

fn tree(files: &[(&str, &str)]) -> Tree {
    let mut tree = Tree::new(Stat::root(0o755, Time::default()));
    for (path, text) in files {
        let stat = Stat::root(0o644, Time::default());
        tree.put_file(path, *text, stat).unwrap();
    }
    tree
}

fn found(files: &[(&str, &str)]) -> Vec<(TraceKind, String, Removal)> {
    let short = |trace: Trace| (trace.kind, trace.shown(), trace.removal);
    gather(&tree(files)).into_iter().map(short).collect()
}

/// A machine ID.
const ID: &str = "0123456789abcdef0123456789abcdef\n";
/// The head of a core dump.
const CORE: &str = "\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x04\0\x3e\0";

/// A file for each rule, its kind, and whether it stays and becomes empty.
#[rustfmt::skip]
const CASES: [(&str, &str, TraceKind, bool); 33] = [
    ("/etc/machine-id", ID, TraceKind::MachineId, true),
    ("/var/lib/dbus/machine-id", ID, TraceKind::MachineId, false),
    ("/etc/ssh/ssh_host_rsa_key", "k", TraceKind::SshHostKeys, false),
    ("/etc/ssh/ssh_host_rsa_key.pub", "k", TraceKind::SshHostKeys, false),
    ("/srv/ssh_host_rsa_key-cert.pub", "k", TraceKind::SshHostKeys, false),
    ("/etc/dropbear/dropbear_rsa_host_key", "k", TraceKind::SshHostKeys, false),
    ("/var/lib/systemd/random-seed", "s", TraceKind::RandomSeed, false),
    ("/loader/random-seed", "s", TraceKind::RandomSeed, false),
    ("/var/lib/mender/mender-agent.pem", "k", TraceKind::ClientKeys, false),
    ("/data/mender/mender-store", "s", TraceKind::ClientKeys, false),
    ("/var/lib/systemd/credential.secret", "s", TraceKind::ServiceIds, false),
    ("/var/lib/NetworkManager/secret_key", "s", TraceKind::ServiceIds, false),
    ("/var/lib/dhcp/dhclient.eth0.leases", "l", TraceKind::DhcpLeases, false),
    ("/var/lib/dhcpcd/eth0.lease6", "l", TraceKind::DhcpLeases, false),
    ("/var/lib/NetworkManager/internal-1-eth0.lease", "l", TraceKind::DhcpLeases, false),
    ("/var/lib/NetworkManager/timestamps", "l", TraceKind::DhcpLeases, false),
    ("/var/lib/iwd/Home.psk", "p", TraceKind::WirelessKeys, false),
    ("/var/lib/connman/wifi_1_managed_psk/settings", "p", TraceKind::WirelessKeys, false),
    ("/var/lib/bluetooth/00:11/22:33/info", "p", TraceKind::WirelessKeys, false),
    ("/root/.bash_history", "ls", TraceKind::Histories, false),
    ("/home/a/.lesshst", "x", TraceKind::Histories, false),
    ("/home/a/.local/share/nano/search_history", "x", TraceKind::Histories, false),
    ("/home/a/.local/share/fish/fish_history", "x", TraceKind::Histories, false),
    ("/var/log/syslog", "x", TraceKind::Logs, true),
    ("/var/log/syslog.2.gz", "x", TraceKind::Logs, false),
    ("/var/log/journal/1/system.journal", "x", TraceKind::Logs, false),
    ("/data/mender/deployments.0001.1.log", "x", TraceKind::Logs, false),
    ("/var/cache/apt/pkgcache.bin", "x", TraceKind::AptCache, false),
    ("/var/cache/apt/archives/a.deb", "x", TraceKind::AptCache, false),
    ("/var/lib/apt/lists/a_Packages", "x", TraceKind::AptCache, false),
    ("/var/lib/systemd/coredump/core.a.zst", "x", TraceKind::CoreDumps, false),
    ("/var/crash/a.crash", "x", TraceKind::CoreDumps, false),
    ("/core", CORE, TraceKind::CoreDumps, false),
];

#[test]
fn each_rule_finds_its_file_alone() {
    for (path, text, kind, stays) in CASES {
        let removal = if stays {
            Removal::Empty
        } else {
            Removal::Remove
        };
        assert_eq!(found(&[(path, text)]), [(kind, path.to_owned(), removal)]);
    }
}

#[test]
fn neighbours_are_left_alone() {
    for (path, text) in [
        ("/etc/machine-id", ""),
        ("/etc/machine-id", "uninitialized\n"),
        ("/usr/share/doc/ssh/ssh_host_rsa_key", "example"),
        ("/etc/ssh/sshd_config", "HostKey /etc/ssh/missing\n"),
        ("/var/log/empty", ""),
        ("/var/cache/apt/archives/lock", ""),
        ("/var/lib/apt/lists/lock", ""),
        ("/srv/core", "a text"),
        ("/etc/skel/.bash_history", ""),
        (
            "/etc/NetworkManager/system-connections/lan",
            "[connection]\ntype=ethernet\n",
        ),
        (
            "/etc/NetworkManager/system-connections/open",
            "[connection]\ntype=wifi\n",
        ),
        (
            "/etc/wpa_supplicant/wpa_supplicant.conf",
            "network={\n key_mgmt=NONE\n}\n",
        ),
        (
            "/etc/netplan/a.yaml",
            "network:\n  ethernets:\n    eth0: {}\n",
        ),
        ("/etc/network/interfaces", "iface eth0 inet dhcp\n"),
        ("/etc/iscsi/initiatorname.iscsi", "GenerateName=yes\n"),
        ("/var/lib/cloud/seed/nocloud/user-data", "#cloud-config\n"),
        ("/var/lib/cloud/scripts/per-boot/a", "#!/bin/sh\n"),
    ] {
        assert_eq!(found(&[(path, text)]), [], "{path}");
    }
}

#[test]
fn keys_that_sshd_names_are_host_keys() {
    let files = [
        (
            "/etc/ssh/sshd_config.d/a.conf",
            "hostkey = /srv/keys/mine\n",
        ),
        ("/srv/keys/mine", "k"),
        ("/srv/keys/mine.pub", "k"),
        ("/srv/keys/other", "k"),
    ];
    let paths: Vec<String> = found(&files).into_iter().map(|(_, path, _)| path).collect();
    assert_eq!(paths, ["/srv/keys/mine", "/srv/keys/mine.pub"]);
}

#[test]
fn state_of_an_instance_goes_as_a_whole() {
    let files = [
        ("/var/lib/cloud/instances/i-1/boot-finished", "x"),
        ("/var/lib/cloud/data/instance-id", "i-1\n"),
        ("/var/lib/cloud/seed/nocloud/meta-data", "x"),
    ];
    let mut tree = tree(&files);
    tree.put_symlink("/var/lib/cloud/instance", "instances/i-1", Time::default())
        .unwrap();
    let paths: Vec<String> = gather(&tree).iter().map(Trace::shown).collect();
    let expected = ["data", "instance", "instances"];
    assert_eq!(paths, expected.map(|name| format!("/var/lib/cloud/{name}")));
}

/// The text that takes the secrets out of a file.
fn rewritten(path: &str, text: &str) -> String {
    match found(&[(path, text)]).pop() {
        Some((TraceKind::WirelessKeys, _, Removal::Rewrite(text))) => text,
        other => panic!("{path}: {other:?}"),
    }
}

#[test]
fn settings_around_a_wireless_network_stay() {
    let path = "/etc/wpa_supplicant/wpa_supplicant.conf";
    let text = "country=SE\nnetwork={\n  ssid=\"a\"\n  psk=\"secret\"\n}\nnetwork={\n  ssid=\"b\"\n  key_mgmt=NONE\n}\n";
    let rest = "country=SE\nnetwork={\n  ssid=\"b\"\n  key_mgmt=NONE\n}\n";
    assert_eq!(rewritten(path, text), rest);
    let line = "update_config=1\nnetwork={ ssid=\"a\"; psk=\"b\" }\n";
    assert_eq!(rewritten("/wpa_supplicant.conf", line), "update_config=1\n");
    let text = "network:\n  version: 2\n  wifis:\n    wlan0:\n      access-points:\n        a:\n          password: x\n  ethernets:\n    eth0: {}\n";
    let rest = "network:\n  version: 2\n  ethernets:\n    eth0: {}\n";
    assert_eq!(rewritten("/etc/netplan/a.yaml", text), rest);
    assert_eq!(rewritten("/network-config", text), rest);
    let text = "iface wlan0 inet dhcp\n  wpa-ssid a\n  wpa-psk b\n";
    let rest = "iface wlan0 inet dhcp\n  wpa-ssid a\n";
    assert_eq!(rewritten("/etc/network/interfaces", text), rest);
}

#[test]
fn profiles_and_initiator_names_are_found_by_what_they_hold() {
    let wifi = "[connection]\ntype=wifi\n[wifi-security]\npsk=secret\n";
    let path = "/etc/NetworkManager/system-connections/home.nmconnection";
    let expected = (TraceKind::WirelessKeys, path.to_owned(), Removal::Remove);
    assert_eq!(found(&[(path, wifi)]), [expected]);
    let path = "/etc/iscsi/initiatorname.iscsi";
    let made = Removal::Rewrite("GenerateName=yes\n".to_owned());
    let expected = (TraceKind::ServiceIds, path.to_owned(), made);
    assert_eq!(found(&[(path, "InitiatorName=iqn.1993:a\n")]), [expected]);
}
