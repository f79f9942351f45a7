//! The environment tools of the device, run here under several shells: their contract with the
//! update client, damage of every kind, and the power failing after every write, each held against
//! the model of the state machine.

mod device;

use crate::boot::env_tools::{SHELLS, fine};
use crate::support::{must, scratch, tool};
use device::each_shell;
use goldsmith::boot::common::env_block::{self, BLOCK};
use goldsmith::boot::state::{Block, BlockPair, Cut, EnvCopy, Environment as _, Slot, Values};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

pub(crate) use device::{Device, install_tools, medium, medium_of, place, variables};

#[test]
fn the_contract_with_the_client_holds() {
    each_shell(|device| {
        assert_eq!(
            device.print(&["upgrade_available", "none", "mender_boot_part"]),
            { fine("upgrade_available=0\nnone=\nmender_boot_part=2\n") }
        );
        assert_eq!(
            device.print(&[]),
            fine("bootcount=0\nmender_boot_part=2\nupgrade_available=0\n")
        );
        assert_eq!(device.writes(), 0);
        // How one client finds out which separator the tool takes.
        assert_eq!(
            device.set(&["-s", "-"], "mender_uboot_separator 1\n"),
            fine("")
        );
        assert_eq!(
            device.print(&["mender_uboot_separator"]),
            fine("mender_uboot_separator=1\n")
        );
        assert_eq!(
            device.set(&["-s", "-"], "mender_uboot_separator \n"),
            fine("")
        );
        assert_eq!(
            device.print(&["mender_uboot_separator"]),
            fine("mender_uboot_separator=\n")
        );
        // How both install, commit and roll back.
        let install =
            "upgrade_available=1\nmender_boot_part=3\nmender_boot_part_hex=3\nbootcount=0\n";
        assert_eq!(device.set(&["-s", "-"], install), fine(""));
        assert_eq!(device.writes(), 6);
        let files = ["lock", "env", "lock"].into_iter();
        let written = [2, 1].map(|copy| {
            let dir = device.env().join(format!("mender_grubenv{copy}"));
            files.clone().map(move |name| dir.join(name))
        });
        assert!(
            device
                .flushed()
                .into_iter()
                .eq(written.into_iter().flatten())
        );
        device.check(Values::pending(Slot::B));
        assert_eq!(device.set(&["upgrade_available", "0"], ""), fine(""));
        device.check(Values::committed(Slot::B));
        assert_eq!(
            device.set(
                &["-s", "-"],
                "mender_boot_part 2\nmender_boot_part_hex 2\nupgrade_available 0"
            ),
            fine("")
        );
        device.check(Values::committed(Slot::A));
        assert_eq!(device.set(&["upgrade_available", "0"], ""), fine(""));
        assert_eq!(device.writes(), 0, "nothing changes, nothing is written");
    });
}

#[test]
fn lines_split_at_the_first_separator_and_clear_without_a_value() {
    each_shell(|device| {
        let lines =
            "# a comment\n\n  eq=x y\nblank x=y\ntab\tz\nback=a\\b\\\nnone\nempty=\nlast a  b";
        assert_eq!(device.set(&["-s", "-"], lines), fine(""));
        let names = ["eq", "blank", "tab", "back", "none", "empty", "last"];
        assert_eq!(
            device.print(&names),
            fine("eq=x y\nblank=x=y\ntab=z\nback=a\\b\\\nnone=\nempty=\nlast=a  b\n")
        );
        fs::write(device.path("lines"), "eq\nblank=\ntab \nback=1\nlast=\n").unwrap();
        let file = device.path("lines");
        assert_eq!(device.set(&["-s", file.to_str().unwrap()], ""), fine(""));
        assert_eq!(
            device.print(&[]),
            fine("bootcount=0\nmender_boot_part=2\nupgrade_available=0\nback=1\n")
        );
        assert_eq!(device.set(&["back"], ""), fine(""));
        assert_eq!(device.set(&["two", "words", "here"], ""), fine(""));
        assert_eq!(
            device.print(&["back", "two"]),
            fine("back=\ntwo=words here\n")
        );
    });
}

#[test]
fn what_cannot_be_kept_is_refused_and_changes_nothing() {
    each_shell(|device| {
        device.set(&["known", "value"], "");
        let before = device.print(&[]);
        let long = "x".repeat(1000);
        let refused: [(&[&str], &str, i32); 11] = [
            (&["mender_boot_part", "4"], "", 2),
            (&["-s", "-"], "known=other\nupgrade_available=2\n", 2),
            (&["bootcount"], "", 2),
            (&["long", &long], "", 2),
            (&["line", "a\nb"], "", 1),
            (&["a b", "c"], "", 1),
            (&["-s", "-"], "=x\n", 1),
            (&["-s", "/nowhere/lines"], "", 1),
            (&["-s"], "", 1),
            (&["--what"], "", 1),
            (&[], "", 1),
        ];
        for (args, input, status) in refused {
            let said = device.set(args, input);
            assert_eq!(said.status, Some(status), "{args:?} {input:?}: {said:?}");
            assert!(!said.err.is_empty());
            assert_eq!(device.writes(), 0);
        }
        assert_eq!(device.print(&[]), before);
        assert_eq!(device.print(&["-x"]).status, Some(1));
    });
}

#[test]
fn an_environment_is_read_as_grub_editenv_reads_it() {
    let Some(editenv) = tool("grub-editenv") else {
        return;
    };
    each_shell(|device| {
        let block = device.env().join("mender_grubenv1/env");
        device.set(&["-s", "-"], "a=x=y z\nb=back\\slash\n");
        assert_eq!(must(&editenv, &[&block, &"list"]), device.print(&[]).out);
        // And its own blocks are taken, second header line and all.
        for copy in ["mender_grubenv1", "mender_grubenv2"] {
            let dir = device.env().join(copy);
            for (name, sets) in [
                (
                    "env",
                    "bootcount=1 mender_boot_part=3 upgrade_available=0 x=1",
                ),
                ("lock", "editing=0"),
            ] {
                let file = dir.join(name);
                must(&editenv, &[&file, &"create"]);
                sets.split(' ')
                    .for_each(|set| drop(must(&editenv, &[&file, &"set", &set])));
            }
            let sum = must("sha256sum", &[&dir.join("lock")]);
            fs::write(dir.join("lock.sha256sum"), sum).unwrap();
        }
        let said = device.print(&[]);
        assert_eq!(
            (said.status, said.out.as_str()),
            (
                Some(0),
                "bootcount=1\nmender_boot_part=3\nupgrade_available=0\nx=1\n"
            )
        );
        device.check(Values {
            part: Slot::B,
            upgrade: false,
            count: true,
        });
        assert_eq!(must(&editenv, &[&block, &"list"]), said.out);
        assert_eq!(device.print(&[]), fine(&said.out));
    });
}

/// Damages one file of one copy.
fn damage(device: &Device, copy: usize, file: &str, how: &str) {
    let dir = device.env().join(format!("mender_grubenv{copy}"));
    let path = dir.join(file);
    match how {
        "gone" => fs::remove_file(path).unwrap(),
        "empty" => fs::write(path, "").unwrap(),
        "short" => fs::write(&path, &fs::read(&path).unwrap()[..50]).unwrap(),
        "long" => fs::write(&path, [fs::read(&path).unwrap(), vec![b'#'; 3000]].concat()).unwrap(),
        "zeros" => fs::write(path, [0; BLOCK]).unwrap(),
        "half zeros" => fs::write(
            &path,
            [&fs::read(&path).unwrap()[..24], &[0; BLOCK - 24]].concat(),
        )
        .unwrap(),
        "dirty" => fs::write(
            path,
            env_block::block_of(&[("editing", "1")], BLOCK).unwrap(),
        )
        .unwrap(),
        "range" => {
            let values = [
                ("bootcount", "0"),
                ("mender_boot_part", "4"),
                ("upgrade_available", "0"),
            ];
            fs::write(path, env_block::block_of(&values, BLOCK).unwrap()).unwrap();
        }
        "nul" => {
            let mut bytes = fs::read(&path).unwrap();
            bytes[40] = 0;
            fs::write(path, bytes).unwrap();
        }
        "directory" => fs::remove_dir_all(dir).unwrap(),
        other => panic!("{other}"),
    }
}

const DAMAGES: [(&str, &str); 17] = [
    ("env", "gone"),
    ("env", "empty"),
    ("env", "short"),
    ("env", "long"),
    ("env", "zeros"),
    ("env", "half zeros"),
    ("env", "range"),
    ("env", "nul"),
    ("lock", "gone"),
    ("lock", "short"),
    ("lock", "zeros"),
    ("lock", "nul"),
    ("lock", "dirty"),
    ("lock.sha256sum", "gone"),
    ("lock.sha256sum", "empty"),
    ("lock.sha256sum", "short"),
    ("", "directory"),
];

#[test]
fn damage_to_one_copy_is_mended_from_the_other() {
    each_shell(|device| {
        for (file, how) in DAMAGES {
            for copy in [1, 2] {
                let values = Values {
                    part: Slot::B,
                    upgrade: true,
                    count: true,
                };
                device.place(&BlockPair::new([EnvCopy::clean(values); 2]));
                damage(device, copy, file, how);
                let said = device.print(&["mender_boot_part", "upgrade_available", "bootcount"]);
                let out = "mender_boot_part=3\nupgrade_available=1\nbootcount=1\n";
                assert_eq!(
                    (said.status, said.out.as_str()),
                    (Some(0), out),
                    "{file} {how}: {}",
                    said.err
                );
                assert!(
                    said.err.contains(&format!("copy {copy} ")),
                    "{file} {how}: {}",
                    said.err
                );
                device.check(values);
                assert_eq!(device.print(&["bootcount"]), fine("bootcount=1\n"));
                // The same when something is to be set at once.
                damage(device, copy, file, how);
                assert_eq!(device.set(&["upgrade_available", "0"], "").status, Some(0));
                device.check(Values {
                    upgrade: false,
                    ..values
                });
            }
        }
    });
}

#[test]
fn two_damaged_copies_are_believed_only_where_values_are_in_range() {
    each_shell(|device| {
        let values = Values {
            part: Slot::B,
            upgrade: false,
            count: true,
        };
        for (file, how) in DAMAGES {
            device.place(&BlockPair::new([EnvCopy::clean(values); 2]));
            damage(device, 1, file, how);
            damage(device, 2, file, how);
            let said = device.print(&["mender_boot_part"]);
            if file.starts_with("lock") {
                assert_eq!(
                    (said.status, said.out.as_str()),
                    (Some(0), "mender_boot_part=3\n"),
                    "{file} {how}"
                );
                device.check(values);
            } else {
                assert_eq!(
                    (said.status, said.out.as_str()),
                    (Some(2), ""),
                    "{file} {how}"
                );
                assert_eq!(device.set(&["upgrade_available", "0"], "").status, Some(2));
                assert_eq!(device.writes(), 0);
                if how != "directory" {
                    assert_eq!(device.finish(Slot::A).status, Some(0), "{file} {how}");
                    device.check(Values::committed(Slot::A));
                }
            }
        }
    });
}

/// Every state of the two copies.
fn states() -> Vec<BlockPair> {
    let envs = [
        Block::Valid(Values::committed(Slot::A)),
        Block::Valid(Values::pending(Slot::B)),
        Block::Blank,
        Block::Missing,
    ];
    let locks = [Block::Valid(false), Block::Valid(true), Block::Missing];
    let copies: Vec<EnvCopy> = envs
        .iter()
        .flat_map(|env| locks.map(|lock| EnvCopy { lock, env: *env }))
        .collect();
    copies
        .iter()
        .flat_map(|one| copies.iter().map(|two| BlockPair::new([*one, *two])))
        .collect()
}

#[test]
fn every_state_is_mended_and_finished_as_the_model_says() {
    let Some(device) = Device::new(SHELLS[0]) else {
        return;
    };
    for state in states() {
        let known = state.copies.iter().any(|copy| copy.sane().is_some());
        let mut expected = state.clone();
        device.place(&state);
        if known {
            expected
                .repair(goldsmith::boot::state::Writer::System, Slot::A)
                .unwrap();
        }
        let said = device.print(&["mender_boot_part"]);
        assert_eq!(said.status, Some(if known { 0 } else { 2 }), "{state:?}");
        assert_eq!(device.medium().copies, expected.copies, "{state:?}");
        for running in [Slot::A, Slot::B] {
            let mut expected = state.clone();
            device.place(&state);
            expected.finish(running).unwrap();
            assert_eq!(device.finish(running).status, Some(0), "{state:?}");
            assert_eq!(
                device.medium().copies,
                expected.copies,
                "{state:?} {running:?}"
            );
        }
    }
}

/// What the shim of `sync` can leave behind, and what that is to the model. Half a block counts as
/// none: the tool is stricter than GRUB.
const CUTS: [(&str, Cut); 7] = [
    ("before", Cut::Before),
    ("after", Cut::After),
    ("void", Cut::Blank),
    ("zeros", Cut::Missing),
    ("short", Cut::Missing),
    ("torn", Cut::Missing),
    ("gone", Cut::Missing),
];

fn cut_every_write(device: &Device, old: Values, new: Values, cuts: &[(&str, Cut)]) {
    let lines: String = variables(new)
        .iter()
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect();
    for at in 1..=6 {
        for (how, cut) in cuts {
            let start = BlockPair::new([EnvCopy::clean(old); 2]);
            let mut model = start.clone();
            model.power.fails_after = Some((at - 1, *cut));
            model.set(new).unwrap_err();
            device.place(&start);
            must("cp", &[&"-r", &device.env(), &device.path("before")]);
            let said = device.call(
                "grub-mender-grubenv-set",
                &["-s", "-"],
                &lines,
                Some((at, how)),
            );
            assert_eq!(said.status, None, "killed: {said:?}");
            assert_eq!(device.medium().copies, model.copies, "{how} at write {at}");
            let left = model.believed().expect("one good copy is left");
            assert!(left == old || left == new);
            // The power fails once more, while this is mended.
            let repair = device.call("grub-mender-grubenv-print", &[], "", Some((2, "torn")));
            assert!(matches!(repair.status, None | Some(0)), "{repair:?}");
            assert_eq!(
                device.print(&["bootcount"]).status,
                Some(0),
                "{how} at write {at}"
            );
            device.check(left);
        }
    }
}

#[test]
fn a_power_cut_after_any_write_leaves_the_old_or_the_new_variables() {
    let running = |part| Values {
        part,
        upgrade: true,
        count: true,
    };
    let changes = |part: Slot| {
        let other = part.other();
        [
            (Values::committed(part), Values::pending(other)),
            (
                running(other),
                Values {
                    upgrade: false,
                    ..running(other)
                },
            ),
            (
                running(other),
                Values {
                    part,
                    upgrade: false,
                    count: true,
                },
            ),
        ]
    };
    if let Some(device) = Device::new(SHELLS[0]) {
        for (old, new) in [Slot::A, Slot::B].into_iter().flat_map(changes) {
            cut_every_write(&device, old, new, &CUTS);
        }
    }
    for device in SHELLS[1..].iter().filter_map(|shell| Device::new(shell)) {
        cut_every_write(
            &device,
            Values::committed(Slot::B),
            Values::pending(Slot::A),
            &CUTS[5..],
        );
    }
}

#[test]
fn several_sets_at_once_are_all_kept() {
    let Some(device) = Device::new(SHELLS[0]) else {
        return;
    };
    let spawn = |n: usize| {
        let mut command = device.command("grub-mender-grubenv-set", &[&format!("v{n}"), "x"], true);
        command.stdin(Stdio::null()).spawn().unwrap()
    };
    for mut child in (0..8).map(spawn).collect::<Vec<_>>() {
        assert!(child.wait().unwrap().success());
    }
    let out = device.print(&[]).out;
    assert!((0..8).all(|n| out.contains(&format!("v{n}=x\n"))), "{out}");
    device.check(Values::committed(Slot::A));
}

#[test]
fn an_environment_that_is_not_mounted_is_not_made() {
    each_shell(|device| {
        fs::remove_dir_all(device.env()).unwrap();
        for said in [
            device.print(&[]),
            device.set(&["a", "b"], ""),
            device.finish(Slot::B),
        ] {
            assert_eq!(said.status, Some(2));
            assert!(said.err.contains("is the boot partition mounted?"));
        }
        assert!(!device.env().exists());
    });
}

/// Runs the hook of update-grub with these settings and what the slot's file said before; returns
/// its message and the new file.
fn hook(shell: &[&str], settings: [&str; 2], before: Option<&[u8]>) -> (String, Option<Vec<u8>>) {
    let dir = scratch();
    let file = dir.path().join("mender-slot.env");
    let text = goldsmith::boot::common::tools::grub_hook();
    let moved = text.replace(
        "file=/boot/mender-slot.env",
        &format!("file={}", file.display()),
    );
    assert_ne!(moved, text);
    let script = dir.path().join("42_mender");
    fs::write(&script, moved).unwrap();
    if let Some(before) = before {
        fs::write(&file, before).unwrap();
    }
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).arg(script);
    let output = command
        .env("GRUB_CMDLINE_LINUX", settings[0])
        .env("GRUB_CMDLINE_LINUX_DEFAULT", settings[1])
        .output()
        .unwrap();
    assert!(
        output.status.success() && output.stdout.is_empty(),
        "its output would be part of grub.cfg: {output:?}"
    );
    assert!(!dir.path().join("mender-slot.env.new").exists());
    (
        String::from_utf8(output.stderr).unwrap(),
        fs::read(file).ok(),
    )
}

#[test]
fn update_grub_hands_kernel_arguments_to_the_boot_script() {
    for shell in SHELLS.iter().filter(|shell| tool(shell[0]).is_some()) {
        let hook = |settings: [&str; 2], before: Option<&[u8]>| hook(shell, settings, before);
        let block =
            |variables: &[(&str, &str)]| Some(env_block::block_of(variables, BLOCK).unwrap());
        let settings = [
            "root=/dev/sda1 console=ttyS0,115200",
            "quiet  resume=UUID=1 x=* y=a\\b",
        ];
        let args = ("args", "ro console=ttyS0,115200 quiet x=* y=a\\b");
        assert_eq!(hook(settings, None), (String::new(), block(&[args])));
        // The kernel's place is not forgotten, the old arguments are.
        let before = block(&[("kernel", "boot/vmlinuz-1"), ("args", "old ro")]);
        assert_eq!(
            hook(settings, before.as_deref()),
            (String::new(), block(&[("kernel", "boot/vmlinuz-1"), args]))
        );
        // Nor is `ro` added where it was not: overlayroot would make its overlay read-only.
        for (old, new) in [
            ("overlayroot=tmpfs", "a b"),
            ("ro a", "ro a b"),
            ("a=ro", "a b"),
        ] {
            let before = block(&[("args", old)]);
            let said = hook(["a", "b"], before.as_deref());
            assert_eq!(said, (String::new(), block(&[("args", new)])), "{old}");
        }
        // Many arguments make a longer block.
        let long = "x".repeat(1500);
        let (said, file) = hook([&long, ""], None);
        let read = env_block::variables(&file.unwrap()).unwrap();
        assert_eq!(
            (said, read),
            (
                String::new(),
                vec![("args".to_owned(), format!("ro {long}"))]
            )
        );
        // What cannot be passed on is said, and nothing is lost.
        let (said, file) = hook(["dyndbg=\"file x +p\"", ""], before.as_deref());
        assert!(said.contains("hold quotes"), "{said}");
        assert_eq!(file, before);
    }
}

#[test]
fn the_scripts_please_their_checkers() {
    let file = |name: &str| {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("configs/device/grub")
            .join(name)
    };
    if let Some(shellcheck) = tool("shellcheck") {
        for name in [
            "grubenv-tool.sh",
            "42_mender",
            "../common/stand-in.sh",
            "zz-mender.cfg",
        ] {
            must(&shellcheck, &[&"-x", &"-s", &"sh", &file(name)]);
        }
    }
    if let Some(check) = tool("grub-script-check") {
        must(&check, &[&file("stage1.cfg")]);
        let broken = scratch();
        let broken = broken.path().join("broken.cfg");
        fs::write(
            &broken,
            include_str!("../../../configs/device/grub/stage1.cfg").replacen("fi\n", "\n", 1),
        )
        .unwrap();
        assert!(
            !crate::support::run(&check, &[&broken]).status.success(),
            "a broken script is noticed"
        );
    }
}
