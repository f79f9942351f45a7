//! The tools for a Raspberry Pi whose firmware chooses the slot, run here against a model of that
//! firmware: their contract with the update client, and all orders of events with the power failing
//! between any two writes.

mod converted;
mod device;
mod firmware;
mod imager;
mod judge;
mod on_a_board;
mod packages;
mod partitions;
mod pi_os;
mod recorded;
mod story;

use crate::boot::env_tools::{Answer, SHELLS, fine};
use crate::boot::medium::driver::Driver;
use crate::boot::medium::op::{Op, apply};
use device::{Device, World};
use goldsmith::boot::common::tools::tryboot_env;
use goldsmith::boot::state::Slot;
use story::{Limits, Seen, Stories, first};

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
fn all_orders_of_events_with_power_cuts_leave_a_start() {
    for reuses in [true, false] {
        let limits = Limits { reuses, ..limits() };
        let Some(seen) = told(&tryboot_env(), limits) else {
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

const BROKEN: [Broken; 10] = [
    Broken {
        what: "the cache of the medium is not emptied",
        edits: &[("    sync \"$1\" 2>/dev/null\n", "")],
        seen: |seen| !seen.no_start.is_empty(),
    },
    Broken {
        what: "files of the directory that is in use are written to",
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
        what: "a directory is named before its files are on the medium",
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
        what: "config.txt is written anew instead of in place",
        edits: &[(
            r#"dd if="$state.sector" of="$boot/config.txt" bs=512 count=1 conv=notrunc 2>/dev/null"#,
            r#"cp "$state.sector" "$boot/config.txt""#,
        )],
        seen: |seen| !seen.no_start.is_empty() || !seen.lost.is_empty(),
    },
    Broken {
        what: "an update starts without a trial",
        edits: &[(
            r#"write_trial "$prefix" trial ||"#,
            r#"name_prefix "$prefix" ||"#,
        )],
        seen: |seen| !seen.uncommitted.is_empty(),
    },
    Broken {
        what: "a flag stays set when the client takes an update back",
        edits: &[
            (r#"arm 0 || [ "$chosen" != "$used" ] || exit 2"#, ":"),
            (r#"arm 0 || [ -n "$unarmed" ] || return 1"#, ":"),
            (r#"    write_trial "$chosen" || say"#, r#"    true || say"#),
        ],
        seen: |seen| !seen.failed.is_empty() || !seen.uncommitted.is_empty(),
    },
    Broken {
        what: "the hook of a kernel fails where the mailbox does not answer",
        edits: &[(r#"arm 0 || [ -n "$unarmed" ] ||"#, "arm 0 ||")],
        seen: |seen| !seen.failed.is_empty(),
    },
    Broken {
        what: "tryboot.txt names an update that failed",
        edits: &[(r#"    write_trial "$used" || say"#, "    true || say")],
        seen: |seen| !seen.uncommitted.is_empty() || !seen.no_start.is_empty(),
    },
    Broken {
        what: "a commit changes settings of the owner",
        edits: &[(
            r#"head -c 512 "$boot/config.txt" | tail -c +$((at + length + 1))"#,
            r#"head -c 512 "$boot/config.txt" | tail -c +$((at + length + 1)) | tr 1 0"#,
        )],
        seen: |seen| !seen.lost.is_empty(),
    },
    Broken {
        what: "the words of the owner are not taken",
        edits: &[(
            r#"root=* | mender.slot=*)"#,
            r#"root=* | quiet | mender.slot=*)"#,
        )],
        seen: |seen| !seen.lost.is_empty(),
    },
];

fn broken(edits: &[(&str, &str)]) -> String {
    edits.iter().fold(tryboot_env(), |text, (old, new)| {
        assert_eq!(text.matches(old).count(), 1, "{old}");
        text.replace(old, new)
    })
}

#[test]
fn tools_that_are_broken_on_purpose_are_found() {
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

/// A device on which an update waits for its trial, and then is running it.
fn each_shell(test: impl Fn(&Device, World)) {
    for shell in SHELLS {
        if let Some(device) = Device::new(shell, &tryboot_env()) {
            let (mut world, _) = first();
            go(&device, &mut world, "fw_setenv", &["--finish-boot"], "");
            test(&device, world);
        }
    }
}

/// Runs a tool, which must succeed, and takes what it does to the medium.
fn go(device: &Device, world: &mut World, name: &str, args: &[&str], input: &str) -> Answer {
    let run = device.run(world, name, args, input);
    assert_eq!(run.answer.status, Some(0), "{args:?} {:?}", run.answer);
    let mut driver = Driver::new(world.disk.clone(), true);
    for op in &run.ops {
        apply(&mut driver, op);
        if let Op::Flag(flag) = op {
            world.flag = *flag;
        }
    }
    world.disk = driver.now;
    run.answer
}

#[test]
fn the_contract_of_the_tools_for_tryboot_holds() {
    let all = ["mender_boot_part", "upgrade_available", "bootcount", "none"];
    let install = "mender_boot_part=3\nmender_boot_part_hex=3\nupgrade_available=1\nbootcount=0\n";
    each_shell(|device, mut world| {
        let print = |world: &mut World| go(device, world, "fw_printenv", &all, "").out;
        let rest = "mender_boot_part=2\nupgrade_available=0\nbootcount=0\nnone=\n";
        assert_eq!(print(&mut world), rest);
        let said = go(
            device,
            &mut world,
            "fw_printenv",
            &["-n", "mender_boot_part_hex"],
            "",
        );
        assert_eq!(said, fine("2\n"));
        // How one client finds out which separator the tool takes.
        for (line, value) in [
            ("mender_uboot_separator 1\n", "1"),
            ("mender_uboot_separator \n", ""),
        ] {
            go(device, &mut world, "fw_setenv", &["-s", "-"], line);
            let said = go(
                device,
                &mut world,
                "fw_printenv",
                &["mender_uboot_separator"],
                "",
            );
            assert_eq!(said.out, format!("mender_uboot_separator={value}\n"));
        }
        // An update, its trial, its commit; the client sets each of them in one call.
        go(device, &mut world, "fw_setenv", &["-s", "-"], install);
        let waits = "mender_boot_part=3\nupgrade_available=1\nbootcount=0\nnone=\n";
        assert_eq!(print(&mut world), waits);
        assert!(world.flag);
        (world.running, world.state, world.flag) = (Slot::B, None, false);
        go(device, &mut world, "fw_setenv", &["--finish-boot"], "");
        let trial = "mender_boot_part=3\nupgrade_available=1\nbootcount=1\nnone=\n";
        assert_eq!(print(&mut world), trial);
        go(
            device,
            &mut world,
            "fw_setenv",
            &["upgrade_available", "0"],
            "",
        );
        let rest = "mender_boot_part=3\nupgrade_available=0\nbootcount=0\nnone=\n";
        assert_eq!(print(&mut world), rest);
    });
}

#[test]
fn what_cannot_be_tried_is_refused_and_changes_nothing() {
    let install = "mender_boot_part=3\nupgrade_available=1\nbootcount=0\n";
    let refused = |device: &Device, world: &World, input: &str, why: &str| {
        let mut after = world.clone();
        let run = device.run(&mut after, "fw_setenv", &["-s", "-"], input);
        assert_eq!(run.answer.status, Some(2), "{why}: {:?}", run.answer);
        assert!(run.answer.err.contains(why), "{why}: {:?}", run.answer);
        assert!(!run.ops.contains(&Op::Flag(true)), "{why}");
        assert_eq!(after.state, world.state, "{why}");
    };
    each_shell(|device, world| {
        refused(device, &world, "mender_boot_part=4\n", "out of range");
        refused(device, &world, "upgrade_available=1\n", "running slot");
        let deaf = World {
            deaf: true,
            ..world.clone()
        };
        refused(device, &deaf, install, "does not take the flag");
        let old = device.path("loader/capabilities");
        std::fs::write(&old, [0, 0, 0, 0x73]).unwrap();
        refused(device, &world, install, "too old for trials");
        std::fs::write(&old, [0, 0, 0, 0x7f]).unwrap();
        go(
            device,
            &mut world.clone(),
            "fw_setenv",
            &["-s", "-"],
            install,
        );
        std::fs::remove_file(&old).unwrap();
        // Settings that name no slot, or two of them.
        for (text, why) in [
            ("dtparam=audio=on\n", "does not name the slot"),
            (
                "os_prefix=slot-a1/\nos_prefix=x/\n",
                "more than one os_prefix",
            ),
        ] {
            let mut driver = Driver::new(world.disk.clone(), true);
            driver.put("config.txt", text.as_bytes());
            let world = World {
                disk: driver.now,
                ..world.clone()
            };
            refused(device, &world, install, why);
        }
        // A directory with something that no tool of ours put there.
        let mut driver = Driver::new(world.disk.clone(), true);
        driver.put("slot-b0/holiday.jpeg", b"x");
        let world = World {
            disk: driver.now,
            ..world
        };
        refused(device, &world, install, "is damaged");
    });
}

/// A mailbox that does not answer keeps no package from being installed: the kernel's files are
/// written, and each start says what is wrong until it answers.
#[test]
fn a_mailbox_that_does_not_answer_is_named_until_it_does() {
    let why = "so no update can be tried";
    each_shell(|device, mut world| {
        world.deaf = true;
        let at = world.running as usize;
        world.roots[at].kernel += 1;
        world.roots[at].linked = false;
        let said = go(device, &mut world, "zz-mender", &[], "");
        assert!(said.err.contains(why) && world.noted, "{said:?}");
        world.roots[at].linked = true;
        let newest = device::content("kernel", 0, 1);
        for name in ["config.txt", "tryboot.txt"] {
            let text = String::from_utf8(world.disk.read(name).unwrap()).unwrap();
            let dir = text.lines().next().unwrap().strip_prefix("os_prefix=");
            let kernel = world.disk.read(&format!("{}kernel8.img", dir.unwrap()));
            assert_eq!(kernel.as_ref(), Some(&newest), "{name}");
        }
        for heard in [false, false, true] {
            world.deaf = !heard;
            let said = go(device, &mut world, "fw_setenv", &["--finish-boot"], "");
            assert_eq!(said.err.contains(why), !heard, "{said:?}");
            assert_eq!(world.noted, !heard);
        }
        let said = go(device, &mut world, "fw_setenv", &["--finish-boot"], "");
        assert_eq!(said.err, "");
    });
}

/// An imager writes words into `cmdline.txt` that have the next start run its script, which takes
/// them out again. In the line of a slot they would run a script that is gone, at every start.
#[test]
fn words_for_one_start_do_not_get_into_the_line_of_a_slot() {
    let dir = crate::support::scratch();
    let at = dir.path();
    let line = "console=tty1 root=PARTUUID=1-2 rootwait quiet init=/usr/lib/raspberrypi-sys-mods/firstboot \
                systemd.run=/boot/firmware/firstrun.sh systemd.run_success_action=reboot \
                systemd.unit=kernel-command-line.target init=/sbin/init\n";
    std::fs::write(at.join("cmdline.txt"), line).unwrap();
    std::fs::write(at.join("args.txt"), "panic=30\n").unwrap();
    let script = tryboot_env();
    let from = script.find("\narguments() {").unwrap();
    let function = &script[from..][..script[from..].find("\n}\n").unwrap() + 3];
    let here = at.display();
    let run = format!("boot={here} part_a=2 id_a=a id_b=b\n{function}\narguments 2 {here}\n");
    for shell in SHELLS {
        let mut command = std::process::Command::new(shell[0]);
        let output = command
            .args(&shell[1..])
            .args(["-c", &run])
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "root=PARTUUID=a console=tty1 rootwait quiet init=/sbin/init panic=30 mender.slot=2\n"
        );
    }
}
