//! The tools for slots with a boot partition each, run here against the same model of the firmware:
//! three FATs, of which `autoboot.txt` names one.

mod converted;
mod device;
mod story;

use super::device::content;
use super::story::{Limits, Seen};
use crate::boot::env_tools::{Answer, SHELLS};
use crate::boot::medium::driver::Driver;
use crate::boot::medium::op::{Op, apply};
use device::{Device, World};
use goldsmith::boot::common::tools::tryboot_partitions_env;
use goldsmith::boot::state::Slot;
use story::{Stories, autoboot, first};

/// What every run of the tests looks at; `TRYBOOT_DEPTH` is for more events in a row.
fn limits() -> Limits {
    let depth = std::env::var("TRYBOOT_DEPTH").ok();
    let depth = depth.and_then(|depth| depth.parse().ok());
    Limits {
        depth: depth.unwrap_or(2),
        distinct: if depth.is_some() { 12 } else { 3 },
        fsck: true,
        reuses: true,
        problems: 1,
    }
}

fn told(text: &str, limits: Limits) -> Option<Seen> {
    let device = Device::new(SHELLS[0], text)?;
    let mut stories = Stories::new(&device, limits);
    stories.tell();
    Some(stories.seen)
}

#[test]
fn all_orders_of_events_with_power_cuts_leave_a_start_from_a_whole_partition() {
    for reuses in [true, false] {
        let limits = Limits { reuses, ..limits() };
        let Some(seen) = told(&tryboot_partitions_env(), limits) else {
            return;
        };
        println!("{limits:?} {seen:#?}");
        assert_eq!(seen.problems(), 0, "{seen:#?}");
        assert!(seen.orders > 10 && seen.distinct > 100, "{seen:#?}");
    }
}

/// A tool that is broken on purpose: what is done to it, as old and new text, and what is seen.
struct Broken {
    what: &'static str,
    edits: &'static [(&'static str, &'static str)],
    seen: fn(&Seen) -> bool,
}

const BROKEN: [Broken; 14] = [
    Broken {
        what: "the cache of the medium is not emptied",
        edits: &[("    sync \"$1\" 2>/dev/null\n", "")],
        seen: |seen| !seen.no_start.is_empty(),
    },
    Broken {
        what: "the flag is set before the boot files are on the medium",
        edits: &[
            (
                "\"$dir/cmdline.txt\" || return 1\n    flush \"$boot/config.txt\" || return 1\n",
                "\"$dir/cmdline.txt\" || return 1\n",
            ),
            (
                r#"cp "$state.set" "$dir/set.txt" && flush "$boot/config.txt" || return 1"#,
                r#"cp "$state.set" "$dir/set.txt""#,
            ),
        ],
        seen: |seen| !seen.no_start.is_empty(),
    },
    Broken {
        what: "autoboot.txt is written anew instead of in place",
        edits: &[(
            r#"dd if="$state.sector" of="$auto/autoboot.txt" bs=512 count=1 conv=notrunc 2>/dev/null"#,
            r#"cp "$state.sector" "$auto/autoboot.txt""#,
        )],
        seen: |seen| !seen.no_start.is_empty() || !seen.uncommitted.is_empty(),
    },
    Broken {
        what: "autoboot.txt is renamed over the old one",
        edits: &[(
            r#"dd if="$state.sector" of="$auto/autoboot.txt" bs=512 count=1 conv=notrunc 2>/dev/null"#,
            r#"cp "$state.sector" "$auto/autoboot.new" && mv "$auto/autoboot.new" "$auto/autoboot.txt""#,
        )],
        seen: |seen| seen.problems() > 0,
    },
    Broken {
        what: "an update starts without a trial",
        edits: &[(
            r#"name_boots "$committed" "$slot" ||"#,
            r#"name_boots "$slot" "$slot" ||"#,
        )],
        seen: |seen| !seen.uncommitted.is_empty(),
    },
    Broken {
        what: "a commit names the wrong number",
        edits: &[(
            r#"name_boots "$part" "$part" ||"#,
            r#"name_boots "$committed" "$part" ||"#,
        )],
        seen: |seen| !seen.uncommitted.is_empty() || !seen.failed.is_empty(),
    },
    Broken {
        what: "a flag stays set when the client takes an update back",
        edits: &[("    arm 0 || true\n", "")],
        seen: |seen| !seen.failed.is_empty() || !seen.uncommitted.is_empty(),
    },
    Broken {
        what: "a partition is named before it is written",
        edits: &[(
            "    write_trial || fail 2 \"autoboot.txt cannot be written\"\n    other_slot",
            "    name_boots \"$committed\" \"$part\"\n    other_slot",
        )],
        seen: |seen| !seen.no_start.is_empty() || !seen.uncommitted.is_empty(),
    },
    Broken {
        what: "the running slot's partition is written to",
        edits: &[(
            "fill() {\n    boot_of \"$1\"\n",
            "fill() {\n    boot_of \"$running\"\n",
        )],
        seen: |seen| seen.problems() > 0,
    },
    Broken {
        what: "a kernel of a package is written to the directory in use",
        edits: &[
            (
                "    spare \"$now\"\n    new=$prefix\n",
                "    new=$now\n    keep=\n    kept=\n",
            ),
            ("    empty \"$now\"\n", ""),
        ],
        seen: |seen| !seen.no_start.is_empty(),
    },
    Broken {
        what: "[tryboot] names an update that failed",
        edits: &[(
            "write_trial() {\n    { [ \"$running\" = \"$first\" ]",
            "write_trial() {\n    return 0\n    { [ \"$running\" = \"$first\" ]",
        )],
        seen: |seen| !seen.uncommitted.is_empty(),
    },
    Broken {
        what: "files of the owner are left behind",
        edits: &[(r#"printf '%s\n' "$name"; fi"#, ":; fi")],
        seen: |seen| !seen.lost.is_empty(),
    },
    Broken {
        what: "an update starts with no firmware",
        edits: &[(
            r#"then cp "$path" "$there/${path##*/}" || return 1; fi"#,
            "then :; fi",
        )],
        seen: |seen| seen.problems() > 0,
    },
    Broken {
        what: "a kernel of a package in a trial commits it",
        edits: &[(
            "    { [ \"$running\" = \"$first\" ] && [ \"$second\" != \"$first\" ]; } || return 0\n    arm 0 || [ -n \"$unarmed\" ] || return 1\n    name_boots \"$first\" \"$first\"",
            "    name_boots \"$running\" \"$running\"",
        )],
        seen: |seen| !seen.uncommitted.is_empty(),
    },
];

fn broken(edits: &[(&str, &str)]) -> String {
    edits
        .iter()
        .fold(tryboot_partitions_env(), |text, (old, new)| {
            assert_eq!(text.matches(old).count(), 1, "{old}");
            text.replace(old, new)
        })
}

#[test]
fn tools_for_partitions_that_are_broken_on_purpose_are_found() {
    for case in BROKEN {
        let limits = Limits {
            depth: 3,
            ..limits()
        };
        let Some(seen) = told(&broken(case.edits), limits) else {
            return;
        };
        println!("{}: {seen:#?}", case.what);
        assert!((case.seen)(&seen), "{}: {seen:#?}", case.what);
    }
}

/// Runs a tool, which must succeed, and takes what it does to the partitions.
fn go(device: &Device, world: &mut World, name: &str, args: &[&str], input: &str) -> Answer {
    let (run, steps) = device.run(world, name, args, input);
    assert_eq!(run.answer.status, Some(0), "{args:?} {:?}", run.answer);
    let mut drivers = world
        .disks
        .each_ref()
        .map(|disk| Driver::new(disk.clone(), true));
    for (at, op) in &steps {
        apply(&mut drivers[*at], op);
        if let Op::Flag(flag) = op {
            world.flag = *flag;
        }
    }
    world.disks = drivers.map(|driver| driver.now);
    run.answer
}

fn each_shell(test: impl Fn(&Device, World)) {
    for shell in SHELLS {
        if let Some(device) = Device::new(shell, &tryboot_partitions_env()) {
            let (mut world, _) = first();
            go(&device, &mut world, "fw_setenv", &["--finish-boot"], "");
            test(&device, world);
        }
    }
}

const INSTALL: &str =
    "mender_boot_part=5\nmender_boot_part_hex=5\nupgrade_available=1\nbootcount=0\n";

#[test]
fn the_contract_of_the_tools_for_partitions_holds() {
    let all = ["mender_boot_part", "upgrade_available", "bootcount", "none"];
    each_shell(|device, mut world| {
        let print = |world: &mut World| go(device, world, "fw_printenv", &all, "").out;
        let named = |world: &World| {
            let text = world.disks[0].read("autoboot.txt").unwrap();
            String::from_utf8(text).unwrap()
        };
        let rest = "mender_boot_part=4\nupgrade_available=0\nbootcount=0\nnone=\n";
        assert_eq!(print(&mut world), rest);
        assert_eq!(named(&world), autoboot(2, 2));
        // An update, its trial, its commit; the client sets each of them in one call.
        go(device, &mut world, "fw_setenv", &["-s", "-"], INSTALL);
        let waits = "mender_boot_part=5\nupgrade_available=1\nbootcount=0\nnone=\n";
        assert_eq!(print(&mut world), waits);
        assert!(world.flag);
        assert_eq!(named(&world), autoboot(2, 3));
        (world.running, world.state, world.flag) = (Slot::B, None, false);
        go(device, &mut world, "fw_setenv", &["--finish-boot"], "");
        let trial = "mender_boot_part=5\nupgrade_available=1\nbootcount=1\nnone=\n";
        assert_eq!(print(&mut world), trial);
        let commit = ["upgrade_available", "0"];
        go(device, &mut world, "fw_setenv", &commit, "");
        let rest = "mender_boot_part=5\nupgrade_available=0\nbootcount=0\nnone=\n";
        assert_eq!(print(&mut world), rest);
        assert_eq!(named(&world), autoboot(3, 3));
    });
}

#[test]
fn what_cannot_be_tried_on_partitions_is_refused_and_names_nothing() {
    let refused = |device: &Device, world: &World, why: &str| {
        let mut after = world.clone();
        let (run, steps) = device.run(&mut after, "fw_setenv", &["-s", "-"], INSTALL);
        assert_eq!(run.answer.status, Some(2), "{why}: {:?}", run.answer);
        assert!(run.answer.err.contains(why), "{why}: {:?}", run.answer);
        let names = |(at, op): &(usize, Op)| *at == 0 && !matches!(op, Op::Flag(false));
        assert!(!steps.iter().any(names), "{why}: {steps:?}");
    };
    let with = |world: &World, at: usize, name: &str, text: &[u8]| {
        let mut driver = Driver::new(world.disks[at].clone(), true);
        driver.put(name, text);
        let mut world = world.clone();
        world.disks[at] = driver.now;
        world
    };
    each_shell(|device, world| {
        let deaf = World {
            deaf: true,
            ..world.clone()
        };
        refused(device, &deaf, "does not take the flag");
        let stamp = device.path("loader/build-timestamp");
        std::fs::write(&stamp, 1_666_051_199_u32.to_be_bytes()).unwrap();
        refused(device, &world, "older than 2022-10-18");
        std::fs::write(&stamp, 1_666_051_200_u32.to_be_bytes()).unwrap();
        go(
            device,
            &mut world.clone(),
            "fw_setenv",
            &["-s", "-"],
            INSTALL,
        );
        std::fs::remove_file(&stamp).unwrap();
        let edited = with(&world, 0, "autoboot.txt", b"[all]\nboot_partition=2\n");
        refused(device, &edited, "as these tools write it");
        let other = with(&world, 1, "config.txt", b"os_prefix=slot-b0/\n");
        refused(device, &other, "not the boot partition of the running slot");
    });
}

/// What apt changes on the running slot's partition is not what an update brings: its firmware and
/// its kernel are those of its root filesystem, the owner's files are those of the running slot.
#[test]
fn an_update_brings_its_firmware_and_takes_over_the_files_of_the_owner() {
    each_shell(|device, mut world| {
        world.roots[1].release = 7;
        let mut driver = Driver::new(world.disks[1].clone(), true);
        driver.put("start4.elf", b"of apt");
        driver.put("network-config", b"of the owner");
        driver.put("cmdline.txt", b"console=tty1 rootwait mine\n");
        world.disks[1] = driver.now;
        go(device, &mut world, "fw_setenv", &["-s", "-"], INSTALL);
        let other = &world.disks[2];
        let read = |name: &str| other.read(name).unwrap_or_default();
        assert_eq!(read("start4.elf"), content("firmware", 7, 0));
        assert_eq!(read("network-config"), b"of the owner");
        assert_eq!(read("slot-b0/kernel8.img"), content("kernel", 7, 0));
        let line = String::from_utf8(read("slot-b0/cmdline.txt")).unwrap();
        assert!(
            line.contains(" mine ") && line.ends_with(" mender.slot=5\n"),
            "{line}"
        );
        assert_eq!(world.disks[1].read("start4.elf").unwrap(), b"of apt");
    });
}
