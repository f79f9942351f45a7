//! `[sanitize]`: what is left in the converted image, what the record says, and what devices make
//! instead.

use super::image::{SETTINGS, golden};
use crate::support::{goldsmith, images, must, run, scratch, tool};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const KEY: &str = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIIrYSSNQFaA2Hwf1duRSxKtLYX5CB04fSeQ6tF1aY/PuoAoGCCqGSM49\nAwEHoUQDQgAEPR3tU2Fta9ktY+6P9G0cWO+0kETA6SFs38GecTyudlHz6xvCdz8q\nEKTcWGekdmdDPsHloRNtsiCa697B2O9IFA==\n-----END EC PRIVATE KEY-----\n";
/// A file of each kind, and what its slot has of it afterwards: nothing, an empty file, or a text.
const TRACES: &[(&str, &str, Option<&str>)] = &[
    (
        "etc/machine-id",
        "0123456789abcdef0123456789abcdef\n",
        Some(""),
    ),
    ("var/lib/systemd/random-seed", "s", None),
    ("var/lib/mender/mender-agent.pem", KEY, None),
    ("var/lib/systemd/credential.secret", "s", None),
    ("var/lib/dhcp/dhclient.leases", "l", None),
    (
        "etc/wpa_supplicant/wpa_supplicant.conf",
        "country=SE\nnetwork={\n  psk=\"x\"\n}\n",
        Some("country=SE\n"),
    ),
    ("root/.bash_history", "ls\n", None),
    ("var/log/syslog", "x\n", Some("")),
    ("var/log/syslog.1", "x\n", None),
    ("var/cache/apt/pkgcache.bin", "x", None),
    ("var/crash/a.crash", "x", None),
    ("var/lib/cloud/instances/i/x", "x", None),
];

/// The traces, an SSH server and its keys.
fn used() -> Vec<(&'static str, &'static str)> {
    let traces = TRACES.iter().map(|(path, text, _)| (*path, *text));
    let server = [
        ("usr/sbin/sshd", "#!/bin/sh\n"),
        ("usr/bin/ssh-keygen", "#!/bin/sh\n"),
        ("etc/ssh/ssh_host_ed25519_key", KEY),
        ("etc/ssh/ssh_host_ed25519_key.pub", "ssh-ed25519 AAAA\n"),
    ];
    traces.chain(server).collect()
}

fn convert(dir: &Path, more: &[&str]) -> Output {
    convert_into(dir, dir, more)
}

/// Converts `golden.img` in `dir`; the results are in `out`.
fn convert_into(dir: &Path, out: &Path, more: &[&str]) -> Output {
    let mut run = Command::new(goldsmith());
    run.args(["convert", "-n", "r1", "-c", "qemux86-64", "--output-dir"]);
    run.arg(out).args(more);
    run.args(SETTINGS.iter().flat_map(|set| ["--set", set]));
    run.arg(dir.join("golden.img")).output().unwrap()
}

fn record(dir: &Path) -> Value {
    serde_json::from_slice(&fs::read(dir.join("out.json")).unwrap()).unwrap()
}

/// What `debugfs` says about a path in partition `at` (from 0) of the converted image.
fn debugfs(dir: &Path, at: usize, command: &str) -> String {
    let start = record(dir)["disk"]["partitions"][at]["start"]
        .as_u64()
        .unwrap();
    let image = format!("{}?offset={start}", dir.join("out.img").display());
    let output = run(tool("debugfs").unwrap(), &[&"-R", &command, &image]);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr).replace("debugfs 1", "")
}

#[test]
fn nothing_of_the_golden_machine_is_left() {
    if !images::can_make() || tool("debugfs").is_none() {
        return;
    }
    let dir = scratch();
    golden(dir.path(), &used(), &[]);
    let output = convert(dir.path(), &["--strict", "--set", "sanitize.all=true"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    assert!(
        stderr.contains("sanitize.ssh-host-keys: each device makes its own"),
        "{stderr}"
    );
    for (path, _, left) in TRACES {
        let found = debugfs(dir.path(), 1, &format!("cat /{path}"));
        match left {
            None => assert!(found.contains("not found"), "{path}: {found}"),
            Some(text) => assert_eq!(
                found
                    .lines()
                    .filter(|line| !line.starts_with('.'))
                    .collect::<Vec<_>>(),
                text.lines().collect::<Vec<_>>(),
                "{path}"
            ),
        }
    }
    assert!(debugfs(dir.path(), 3, "cat /mender/mender-agent.pem").contains("not found"));
    for end in ["", ".pub"] {
        let link = debugfs(
            dir.path(),
            1,
            &format!("stat /etc/ssh/ssh_host_ed25519_key{end}"),
        );
        let target = format!("\"/data/ssh/ssh_host_ed25519_key{end}\"");
        assert!(link.contains(&target), "{link}");
    }
    let record = record(dir.path());
    let edits = record["edits"].as_array().unwrap();
    for kind in ["histories", "logs", "client-keys", "machine-id"] {
        let reason = format!("sanitize.{kind}");
        let found = edits.iter().any(|edit| edit["reason"] == reason.as_str());
        assert!(found, "{reason} in the record");
    }
    let image = dir.path().join("out.img");
    let verified = must(goldsmith(), &[&"verify", &image]);
    assert!(!verified.contains("[identity-"), "{verified}");
    let found = Command::new(goldsmith())
        .arg("doctor")
        .arg(&image)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&found.stdout).into_owned();
    for kind in [
        "machine-id",
        "ssh-host-keys",
        "histories",
        "logs",
        "client-keys",
    ] {
        assert!(!text.contains(&format!("[{kind}]")), "{text}");
    }
}

#[test]
fn without_sanitize_warnings_say_what_devices_share() {
    if !images::can_make() {
        return;
    }
    let dir = scratch();
    // A conversion refuses the key of a client.
    let mut files = used();
    files.retain(|(path, _)| !path.contains("mender-agent"));
    golden(dir.path(), &files, &[]);
    let output = convert(dir.path(), &[]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    for code in ["machine-id", "ssh-host-keys", "service-ids"] {
        assert!(
            stderr.contains(&format!("(doctor: {code})")),
            "{code}: {stderr}"
        );
    }
    assert!(!stderr.contains("(doctor: histories)"), "{stderr}");
    let strict = convert(dir.path(), &["--strict"]);
    assert_eq!(strict.status.code(), Some(1));
}

#[test]
fn what_an_overlay_brings_stays_and_is_listed() {
    if !images::can_make() || tool("debugfs").is_none() {
        return;
    }
    let dir = scratch();
    golden(dir.path(), &used(), &[]);
    let overlay = dir.path().join("overlay");
    let file = "etc/wpa_supplicant/wpa_supplicant-wlan0.conf";
    super::image::put(&overlay, &[(file, "network={\n  psk=\"fleet\"\n}\n")]);
    let path = overlay.to_str().unwrap();
    let output = convert(
        dir.path(),
        &["--overlay", path, "--set", "sanitize.all=true"],
    );
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    let list = debugfs(dir.path(), 1, "cat /usr/lib/goldsmith/sanitized");
    assert!(
        list.contains(&format!("wireless-keys\t/{file}\n")),
        "{list}"
    );
    must(goldsmith(), &[&"verify", &dir.path().join("out.img")]);
}

#[test]
fn without_systemd_nothing_would_make_host_keys() {
    if !images::can_make() {
        return;
    }
    let dir = scratch();
    let mut files = used();
    files.extend([
        ("usr/lib/systemd/systemd", "-"),
        ("usr/sbin/init", "#!/bin/sh\n"),
        (
            "etc/systemd/system/multi-user.target.wants/chrony.service",
            "-",
        ),
    ]);
    golden(dir.path(), &files, &[]);
    let output = convert(dir.path(), &["--set", "sanitize.ssh-host-keys=true"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("nothing would make host keys"), "{stderr}");
    assert!(
        stderr.contains("hint: set sanitize.ssh-host-keys = false"),
        "{stderr}"
    );
}

#[test]
fn two_devices_make_different_keys_and_keep_them() {
    if tool("ssh-keygen").is_none() {
        return;
    }
    let dir = scratch();
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = top.join("configs/device/common/host-keys.sh");
    let start = |device: &str| -> Vec<u8> {
        let file = dir.path().join(device).join("ssh/ssh_host_ed25519_key");
        let word = format!("openssh-ed25519={}", file.display());
        must("sh", &[&script, &word]);
        fs::read(file).unwrap()
    };
    let (one, two) = (start("one"), start("two"));
    assert_ne!(one, two);
    assert_eq!(start("one"), one, "the second start changes nothing");
    let file = dir.path().join("one/ssh/ssh_host_ed25519_key");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    // A power cut left an empty file and a key that is not complete.
    fs::write(&file, "").unwrap();
    fs::write(file.with_extension("new"), "half").unwrap();
    let again = start("one");
    assert!(!again.is_empty() && again != one);
    let public = fs::read_to_string(file.with_extension("pub")).unwrap();
    let derived = must("ssh-keygen", &[&"-y", &"-f", &file]);
    assert_eq!(public.split(' ').nth(1), derived.trim().split(' ').nth(1));
}

#[test]
fn the_same_image_is_sanitized_to_the_same_bytes() {
    if !images::can_make() {
        return;
    }
    let dir = scratch();
    golden(dir.path(), &used(), &[]);
    let results = ["one", "two"].map(|name| {
        let out = dir.path().join(name);
        let output = convert_into(dir.path(), &out, &["--set", "sanitize.all=true"]);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{stderr}");
        let mut names: Vec<_> = fs::read_dir(&out)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert!(names.len() >= 3, "{names:?}");
        let bytes = |name| (format!("{name:?}"), fs::read(out.join(&name)).unwrap());
        names.into_iter().map(bytes).collect::<Vec<_>>()
    });
    let [one, two] = results;
    assert_eq!(one.len(), two.len());
    for ((name, one), (_, two)) in one.iter().zip(&two) {
        assert!(one == two, "{name} differs");
    }
}

/// The link of a host key in the converted image of `dir`, or what is there instead.
fn link(dir: &Path, path: &str) -> String {
    debugfs(dir, 1, &format!("stat {path}"))
}

const SERVER: &[(&str, &str)] = &[
    ("usr/sbin/sshd", "#!/bin/sh\n"),
    ("usr/bin/ssh-keygen", "#!/bin/sh\n"),
];

#[test]
fn devices_make_keys_for_a_server_that_is_brought() {
    if !images::can_make() || tool("debugfs").is_none() {
        return;
    }
    let dir = scratch();
    golden(dir.path(), &[], &[]);
    let overlay = dir.path().join("overlay");
    super::image::put(&overlay, SERVER);
    let path = overlay.to_str().unwrap();
    let key = "/etc/ssh/ssh_host_ed25519_key";
    let with = |more: &[&str]| {
        let all = [&["--set", "sanitize.ssh-host-keys=true"][..], more].concat();
        let output = convert(dir.path(), &all);
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (good, stderr) = with(&["--overlay", path]);
    assert!(good, "{stderr}");
    assert!(link(dir.path(), key).contains("\"/data/ssh/ssh_host_ed25519_key\""));
    let unit = "/etc/systemd/system/sysinit.target.wants/mender-host-keys.service";
    assert!(!link(dir.path(), unit).contains("not found"));
    // A hook brings it.
    let hook = dir.path().join("hook");
    fs::write(&hook, format!("#!/bin/sh\ncp -a {path}/. rootfs/\n")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&hook, mode).unwrap();
    for stage in ["before-edits", "after-edits"] {
        let set = format!("hooks.{stage}=[\"{}\"]", hook.display());
        let (good, stderr) = with(&["--set", &set]);
        assert!(good, "{stage}: {stderr}");
        assert!(
            link(dir.path(), key).contains("\"/data/ssh/ssh_host_ed25519_key\""),
            "{stage}"
        );
    }
    // What could make the keys is not there.
    fs::remove_file(overlay.join("usr/bin/ssh-keygen")).unwrap();
    let (good, stderr) = with(&["--overlay", path]);
    assert!(
        !good && stderr.contains("no /usr/bin/ssh-keygen"),
        "{stderr}"
    );
    assert!(
        stderr.contains("hint: bring /usr/bin/ssh-keygen"),
        "{stderr}"
    );
    // With the key of the overlay, none is made.
    super::image::put(&overlay, &[("etc/ssh/ssh_host_ed25519_key", KEY)]);
    let accept = format!("accept=[{{file=\"{key}\",reason=\"a fleet of one\"}}]");
    let (good, stderr) = with(&["--overlay", path, "--set", &accept]);
    assert!(good, "{stderr}");
    assert!(!stderr.contains("(doctor: ssh-host-keys)"), "{stderr}");
    assert!(!stderr.contains("has no effect"), "{stderr}");
    assert!(debugfs(dir.path(), 1, &format!("cat {key}")).contains("BEGIN EC"));
    must(goldsmith(), &[&"verify", &dir.path().join("out.img")]);
}

#[test]
fn keys_are_made_where_the_links_of_the_image_lead() {
    if !images::can_make() || tool("debugfs").is_none() {
        return;
    }
    let key = "etc/ssh/ssh_host_ed25519_key";
    let config = (
        "etc/ssh/sshd_config",
        "HostKey /etc/ssh/ssh_host_ed25519_key\n",
    );
    let own = (key, "->ssh_host_ed25519_key");
    let set = ["--set", "sanitize.ssh-host-keys=true"];
    let dir = scratch();
    golden(dir.path(), &[SERVER, &[config, own]].concat(), &[]);
    let output = convert(dir.path(), &set);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    let found = link(dir.path(), "/etc/ssh/ssh_host_ed25519_key");
    assert!(
        found.contains("\"/data/ssh/ssh_host_ed25519_key\""),
        "{found}"
    );
    // The directory itself is on the data partition.
    let files = [
        ("data/ssh/sshd_config", config.1),
        (
            "data/ssh/ssh_host_ed25519_key",
            "->/data/ssh/ssh_host_ed25519_key",
        ),
        ("etc/ssh", "->/data/ssh"),
    ];
    let dir = scratch();
    golden(dir.path(), &[SERVER, &files].concat(), &[]);
    let output = convert(dir.path(), &set);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    let found = debugfs(dir.path(), 3, "stat /ssh/ssh_host_ed25519_key");
    assert!(found.contains("not found"), "{found}");
    let unit = debugfs(
        dir.path(),
        1,
        "cat /etc/systemd/system/mender-host-keys.service",
    );
    assert!(
        unit.contains(" openssh-ed25519=/data/ssh/ssh_host_ed25519_key\n"),
        "{unit}"
    );
}

#[test]
fn the_remedy_fits_what_brought_a_file() {
    if !images::can_make() {
        return;
    }
    let dir = scratch();
    golden(dir.path(), &[], &[]);
    let overlay = dir.path().join("overlay");
    let id = "0123456789abcdef0123456789abcdef\n";
    super::image::put(&overlay, &[("etc/machine-id", id)]);
    let with = |more: &[&str]| {
        let path = overlay.to_str().unwrap();
        let all = [&["--overlay", path, "--set", "sanitize.all=true"][..], more].concat();
        let output = convert(dir.path(), &all);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{stderr}");
        stderr.replace('\n', " ")
    };
    let stderr = with(&[]);
    assert!(stderr.contains("leave it out of the overlay"), "{stderr}");
    assert!(!stderr.contains("set sanitize.machine-id"), "{stderr}");
    let accept = "accept=[{file=\"/etc/machine-id\",reason=\"all are one machine\"}]";
    let stderr = with(&["--set", accept]);
    assert!(!stderr.contains("(doctor: machine-id)"), "{stderr}");
    assert!(!stderr.contains("has no effect"), "{stderr}");
}
