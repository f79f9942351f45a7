//! Updates that are damaged, or cut short by a loss of power.

use super::*;

/// Release 2 as a filesystem, changed by `commands` of debugfs.
fn damaged(next: &Converted, dir: &Path, name: &str, commands: &[&str]) -> PathBuf {
    let image = dir.join(name);
    next.extract(2, &image);
    let script = dir.join("commands");
    fs::write(&script, commands.join("\n") + "\n").expect("a script");
    must(
        tool("debugfs").expect("looked for before"),
        &[&"-w", &"-f", &script, &image],
    );
    image
}

/// Installs damaged kinds of `next`, whose marker that is, on a device of `variant`, and cuts its
/// power.
pub(super) fn bad_updates(
    variant: &str,
    made: &Converted,
    next: &Converted,
    firmware: Firmware,
    name: &str,
    marker: &str,
) {
    if ["mke2fs", "debugfs", "mender-artifact"]
        .iter()
        .any(|name| tool(name).is_none())
    {
        return;
    }
    let dir = scratch();
    let media = bad_media(variant, next, dir.path());
    let Some(mut board) = board(name, made, firmware) else {
        return;
    };
    board.insert(&media.image());
    let mut machine = board.power_on();
    first_start(&mut machine, made);

    // Neither file system nor kernel: the boot loader itself comes back, in the same start.
    for name in ["garbage.mender", "no-kernel.mender"] {
        install(&mut machine, name);
        machine.reboot();
        runs(&mut machine, 2, "release-1", "1");
        assert_eq!(
            environment(&mut machine),
            "mender_boot_part=2 upgrade_available=0 bootcount=0 ",
            "{name}"
        );
    }

    // A kernel that starts and a system that does not: it gives up after a while and starts again.
    install(&mut machine, "no-system.mender");
    machine.send("systemctl reboot");
    machine.wait_for("Kernel panic - not syncing", crate::support::qemu::BOOT);
    machine.shell();
    runs(&mut machine, 2, "release-1", "1");
    assert_eq!(
        environment(&mut machine),
        "mender_boot_part=2 upgrade_available=0 bootcount=0 "
    );

    // The power goes while the other slot is written; the same update then goes through.
    machine.must("mount -o ro /dev/vdb /mnt");
    machine.send("mender install /mnt/release-2.mender");
    std::thread::sleep(Duration::from_secs(5));
    drop(machine);
    let mut machine = board.power_on();
    machine.shell();
    runs(&mut machine, 2, "release-1", "1");
    install(&mut machine, "release-2.mender");
    machine.reboot();
    machine.must("mender commit");

    // And it goes without a shutdown after the commit.
    machine.must("sync");
    drop(machine);
    let mut machine = board.power_on();
    machine.shell();
    runs(&mut machine, 3, "release-2", marker);
    machine.power_off();
}

/// Media with `next` as it is and as updates without a filesystem, a kernel or an init system.
fn bad_media(variant: &str, next: &Converted, dir: &Path) -> Media {
    let media = Media::new();
    media.add(&next.artifact, "release-2.mender");
    let garbage = dir.join("garbage");
    must(
        "sh",
        &[&"-c", &"yes garbage | head -c 20000000 >\"$0\"", &garbage],
    );
    media.add_filesystem(variant, &garbage, "garbage.mender");
    let listing = must(
        tool("debugfs").expect("looked for before"),
        &[&"-R", &"ls -p /boot", &slot(next, dir)],
    );
    let kernels: Vec<String> = listing
        .split(['/', '\n'])
        .filter(|name| name.starts_with("vmlinuz-"))
        .map(|name| format!("rm /boot/{name}"))
        .collect();
    assert!(!kernels.is_empty(), "release 2 has a kernel: {listing}");
    let kernels: Vec<&str> = kernels.iter().map(String::as_str).collect();
    media.add_filesystem(
        variant,
        &damaged(next, dir, "no-kernel", &kernels),
        "no-kernel.mender",
    );
    // A missing one would not do: the initial RAM disk then offers a shell.
    let init = "/usr/lib/systemd/systemd";
    let commands = [
        &format!("rm {init}"),
        &format!("write {} {init}", garbage.display()),
        &format!("sif {init} mode 0100755"),
    ];
    let no_system = damaged(next, dir, "no-system", &commands.map(String::as_str));
    media.add_filesystem(variant, &no_system, "no-system.mender");
    media
}
