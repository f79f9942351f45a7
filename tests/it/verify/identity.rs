//! Traces of the golden machine that the list in the image says were taken away.

use super::expect;
use super::image::{Build, put};
use goldsmith::tree::Time;
use goldsmith::verify::{Request, image};

const LIST: &str = "/usr/lib/goldsmith/sanitized";
const UNIT: &str = "/etc/systemd/system/mender-host-keys.service";
const WANTED: &str = "/etc/systemd/system/sysinit.target.wants/mender-host-keys.service";
const KEY: &str = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIIrYSSNQFaA2Hwf1duRSxKtLYX5CB04fSeQ6tF1aY/PuoAoGCCqGSM49\nAwEHoUQDQgAEPR3tU2Fta9ktY+6P9G0cWO+0kETA6SFs38GecTyudlHz6xvCdz8q\nEKTcWGekdmdDPsHloRNtsiCa697B2O9IFA==\n-----END EC PRIVATE KEY-----\n";

/// The codes for slot A with these files.
fn judge(files: &[(&str, &str)], expected: &[&str], what: &str) {
    let mut build = Build::new();
    for (path, text) in files {
        put(&mut build.root, path, *text);
    }
    let outcome = image(&build.make().source(), &Request::default());
    expect(&outcome, expected, what);
}

#[test]
fn what_is_left_of_a_kind_is_found() {
    let cases = [
        ("machine-id", "/var/lib/dbus/machine-id", "x"),
        ("random-seed", "/var/lib/systemd/random-seed", "x"),
        ("service-ids", "/var/lib/systemd/credential.secret", "x"),
        ("dhcp-leases", "/var/lib/dhcp/dhclient.leases", "x"),
        (
            "wireless-keys",
            "/etc/wpa_supplicant/a.conf",
            "network={\n psk=x\n}\n",
        ),
        ("wireless-keys", "/var/lib/iwd/a.psk", "x"),
        ("logs", "/var/log/a/b", "x"),
        ("apt-cache", "/var/cache/apt/pkgcache.bin", "x"),
        ("core-dumps", "/var/crash/a", "x"),
        ("cloud-init", "/var/lib/cloud/instances/i/a", "x"),
    ];
    for (kind, path, text) in cases {
        let files = [(LIST, kind), (path, text)];
        judge(&files, &["identity-left"], path);
        judge(&[(LIST, "other"), (path, text)], &[], path);
        let kept = format!("{kind}\n{kind}\t{path}\n");
        judge(&[(LIST, &kept), (path, text)], &[], path);
    }
    let home = [
        (LIST, "histories\n"),
        ("/etc/passwd", "a:x:1:1::/srv/a:/bin/sh\n"),
        ("/srv/a/.bash_history", "ls\n"),
    ];
    judge(&home, &["identity-left"], "a history");
    let key = [(LIST, "ssh-host-keys\n"), ("/etc/ssh/k", KEY)];
    judge(&key, &["identity-left", "private-key"], "a host key");
}

#[test]
fn a_server_without_keys_needs_something_that_makes_them() {
    let server = ("/usr/sbin/sshd", "x");
    let list = (LIST, "ssh-host-keys\n");
    judge(&[list, server], &["identity-host-keys"], "no unit");
    let unit = "[Service]\nType=oneshot\nExecStart=/usr/sbin/sshd openssh-rsa=/data/ssh/a\n";
    judge(
        &[list, server, (UNIT, unit)],
        &["identity-host-keys"],
        "not enabled",
    );
    let program = ("/usr/bin/ssh-keygen", "x");
    let all = [list, server, program, (UNIT, unit), (WANTED, "")];
    judge(&all, &[], "enabled");
    judge(
        &[list, server, (UNIT, unit), (WANTED, "")],
        &["identity-host-keys"],
        "nothing that makes keys",
    );
    // A key that an overlay brought needs nothing.
    let brought = (LIST, "ssh-host-keys\nssh-host-keys\t/etc/ssh/own\n");
    judge(&[brought, server], &[], "a key that was brought");
}

#[test]
fn links_to_host_keys_lead_to_one_that_is_made() {
    let unit = "[Service]\nType=oneshot\nExecStart=/usr/sbin/sshd openssh-rsa=/data/ssh/a\n";
    let key = "/etc/ssh/ssh_host_rsa_key";
    type Links<'a> = &'a [(&'a str, &'a str)];
    let cases: [(Links<'_>, &[&str]); 4] = [
        (&[(key, "/data/ssh/a")], &[]),
        (&[(key, "b"), ("/etc/ssh/b", "/data/ssh/a")], &[]),
        (&[(key, "/data/ssh/c")], &["identity-host-keys"]),
        (&[(key, key)], &["identity-host-keys"]),
    ];
    for (links, expected) in cases {
        let mut build = Build::new();
        for (path, text) in [
            (LIST, "ssh-host-keys\n"),
            ("/usr/sbin/sshd", "x"),
            ("/usr/bin/ssh-keygen", "x"),
            (UNIT, unit),
            (WANTED, ""),
        ] {
            put(&mut build.root, path, text);
        }
        for (path, target) in links {
            build
                .root
                .put_symlink(path, *target, Time::default())
                .unwrap();
        }
        let outcome = image(&build.make().source(), &Request::default());
        expect(&outcome, expected, &format!("{links:?}"));
    }
}
