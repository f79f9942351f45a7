//! Same input, same bytes: whoever converts, where, when, and with how many threads.

use super::nobody::Workshop;
use super::support::{goldsmith, must, scratch};
use super::tiny;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Files by name, of a directory of outputs.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entry = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.unwrap();
        (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
    };
    fs::read_dir(dir).unwrap().map(entry).collect()
}

/// The names of files that differ.
fn differing(left: &BTreeMap<String, Vec<u8>>, right: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let names: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    names.into_iter().filter(|name| left.get(*name) != right.get(*name)).cloned().collect()
}

/// An overlay and a configuration beside a golden image.
fn materials(dir: &Path) {
    tiny::golden(dir);
    fs::create_dir_all(dir.join("overlay/etc/app")).unwrap();
    for at in 0..50 {
        fs::write(dir.join(format!("overlay/etc/app/{at}.conf")), format!("n = {at}\n").repeat(at)).unwrap();
    }
    let config = "extends = \"qemux86-64\"\n[storage]\nsize = \"256 MiB\"\nalignment = \"1 MiB\"\n[rootfs]\noverlays = [\"overlay\"]\n\
                  [root]\nsize = \"48 MiB\"\n[data]\nsize = \"16 MiB\"\noverlay = [\"overlay\"]\n[output]\nrootfs = true\n";
    fs::write(dir.join("device.toml"), config).unwrap();
}

fn arguments<'a>(jobs: &'a str, image: &'a str) -> Vec<&'a str> {
    let set = if image == "raw" { "output.image=raw" } else { "output.image=zst" };
    vec!["convert", "-q", "-c", "device.toml", "-n", "r1", "-s", set, "-j", jobs, "golden.img"]
}

/// Converts in `dir` under circumstances that must not matter.
fn elsewhere(dir: &Path, image: &str) -> BTreeMap<String, Vec<u8>> {
    let workshop = Workshop::new();
    for name in ["golden.img", "device.toml"] {
        must("cp", &[&"--sparse=always", &dir.join(name), &workshop.path().join(name)]);
    }
    // Made anew, in another order, at another time.
    fs::create_dir_all(workshop.path().join("overlay/etc/app")).unwrap();
    let mut overlay: Vec<_> = fs::read_dir(dir.join("overlay/etc/app")).unwrap().map(|entry| entry.unwrap().path()).collect();
    overlay.sort_by_key(|path| std::cmp::Reverse(path.clone()));
    for file in overlay {
        fs::write(workshop.path().join("overlay/etc/app").join(file.file_name().unwrap()), fs::read(&file).unwrap()).unwrap();
    }
    must("chmod", &[&"-R", &"u+rwX,go=u-w", &workshop.path()]);
    let program = workshop.bring(goldsmith(), "goldsmith");
    let mut command = workshop.command("sh");
    command.args(["-c", "umask 077; exec \"$@\"", "sh"]).arg(program).args(arguments("4", image));
    command
        .env("TZ", "Pacific/Chatham")
        .env("LANG", "tr_TR.UTF-8")
        .env("LC_ALL", "C")
        .env("HOME", "/elsewhere")
        .env("USER", "other");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    files(&workshop.path().join("deploy"))
}

/// Converts in `dir` as the one who runs the tests.
fn here(dir: &Path, image: &str, epoch: Option<&str>) -> BTreeMap<String, Vec<u8>> {
    let mut command = Command::new(goldsmith());
    command.args(arguments("1", image)).current_dir(dir).env_remove("SOURCE_DATE_EPOCH").env("TZ", "UTC");
    if let Some(epoch) = epoch {
        command.env("SOURCE_DATE_EPOCH", epoch);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    files(&dir.join("deploy"))
}

#[test]
fn nothing_but_the_input_matters() {
    if !tiny::can_make() {
        return;
    }
    let dir = scratch();
    materials(dir.path());
    for image in ["raw", "zst"] {
        let (one, two) = (here(dir.path(), image, None), elsewhere(dir.path(), image));
        assert!(one.len() >= 4, "{:?}", one.keys());
        assert_eq!(differing(&one, &two), Vec::<String>::new(), "{image}");
        fs::remove_dir_all(dir.path().join("deploy")).unwrap();
    }
}

#[test]
fn a_different_input_is_seen() {
    if !tiny::can_make() {
        return;
    }
    let dir = scratch();
    materials(dir.path());
    let (one, two) = (here(dir.path(), "raw", Some("1700000000")), here(dir.path(), "raw", Some("1700000001")));
    assert_eq!(differing(&one, &two).len(), one.len(), "every output carries the time");
    fs::write(dir.path().join("overlay/etc/app/7.conf"), "other\n").unwrap();
    assert!(!differing(&two, &here(dir.path(), "raw", Some("1700000001"))).is_empty());
}
