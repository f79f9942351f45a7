//! The program that grows the data partition, run with stand-ins for the kernel's view of a disk and for the tools that change it.

use super::support::scratch;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
    fs::write(path, text).expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("its mode");
}

/// A disk `sda` of 1 GiB whose partitions 1 to 4 have the given starts; the last ends at 300,000 sectors. Returns what the tools were
/// asked and what the script said.
fn grow(starts: [u32; 4]) -> (String, String) {
    let top = scratch();
    let top = top.path();
    let disk = top.join("devices/sda");
    write(&disk.join("size"), "2097152\n");
    fs::create_dir_all(top.join("class")).expect("a directory");
    for (number, start) in (1..=4).zip(starts) {
        let part = disk.join(format!("sda{number}"));
        write(&part.join("partition"), &format!("{number}\n"));
        write(&part.join("start"), &format!("{start}\n"));
        write(&part.join("size"), &format!("{}\n", if number == 4 { 300_000 - starts[3] } else { 1_000 }));
        std::os::unix::fs::symlink(&part, top.join(format!("class/sda{number}"))).expect("a link");
        write(&top.join(format!("dev/sda{number}")), "");
    }
    let log = top.join("log");
    let device = top.join("dev/sda");
    write(&device, "");
    // Each tool says whether udev, which asks for the same lock, would keep off the disk meanwhile.
    let tool = |name: &str, then: &str| {
        let lock = format!("flock -n -s {0} true && locked= || locked=' (disk locked)'", device.display());
        let asked = format!("echo \"{name} $*$locked\" | sed 's|{}||' >>{}", top.display(), log.display());
        write(&top.join("bin").join(name), &format!("#!/bin/sh\n{lock}\n{asked}\n{then}\n"));
    };
    tool("sfdisk", "cat >/dev/null");
    tool("partx", &format!("echo 2000000 >{}", disk.join("sda4/size").display()));
    tool("systemd-growfs", "");
    let script = include_str!("../../configs/device/grow-data.sh")
        .replace("/sys/class/block", &top.join("class").display().to_string())
        .replace("disk=/dev/", &format!("disk={}/", top.join("dev").display()))
        .replace("/usr/lib/systemd/systemd-growfs", &top.join("bin/systemd-growfs").display().to_string());
    write(&top.join("script"), &script);
    let path = format!("{}:/usr/bin:/bin", top.join("bin").display());
    let output = Command::new("sh")
        .arg(top.join("script"))
        .arg(top.join("dev/sda4"))
        .arg("/data")
        .env("PATH", path)
        .output()
        .expect("a shell");
    assert!(output.status.success(), "a failure would hold up the boot: {output:?}");
    (fs::read_to_string(log).unwrap_or_default(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn the_partition_grows_and_then_what_is_mounted() {
    let (asked, said) = grow([2_048, 10_000, 20_000, 30_000]);
    assert_eq!(
        asked,
        "sfdisk --quiet --no-reread --no-tell-kernel --force -N 4 /dev/sda (disk locked)\n\
         partx --update --nr 4 /dev/sda (disk locked)\n\
         systemd-growfs /data\n",
        "{said}"
    );
}

#[test]
fn it_stays_when_another_partition_lies_behind_it() {
    let (asked, said) = grow([2_048, 10_000, 400_000, 30_000]);
    assert_eq!(asked, "");
    assert!(said.contains("another partition"), "{said}");
}
