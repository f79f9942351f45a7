//! The device's own `fw_printenv` and `fw_setenv`, run here under several shells: their contract
//! with the update client, damage of every kind, and the power failing at every write, each held
//! against the model and against libubootenv.

mod device;

use crate::boot::env_tools::{SHELLS, fine};
use crate::support::{must, run, scratch, tool};
use device::{Device, each_shell};
use goldsmith::boot::state::{Cut, Environment as _, Slot, Values};
use goldsmith::boot::state::{SerialCopy, SerialPair};
use goldsmith::boot::uboot::environment::{SIZE, decode, encode};
use std::fs;
use std::process::Command;

pub(crate) use device::{bytes, factory, install_text, install_tools, read, variables};

#[test]
fn the_contract_of_the_tools_for_u_boot_holds() {
    each_shell(|device| {
        assert_eq!(
            device.print(&["upgrade_available", "none", "mender_boot_part"]),
            fine("upgrade_available=0\nnone=\nmender_boot_part=2\n")
        );
        assert_eq!(
            device.print(&[]),
            fine("bootcount=0\nmender_boot_part=2\nmender_boot_part_hex=2\nupgrade_available=0\n")
        );
        assert_eq!(device.print(&["-n", "mender_boot_part"]), fine("2\n"));
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
        // How both install, commit and roll back: one write each.
        let install =
            "upgrade_available=1\nmender_boot_part=3\nmender_boot_part_hex=3\nbootcount=0\n";
        assert_eq!(device.set(&["-s", "-"], install), fine(""));
        assert_eq!(
            (device.writes(), device.pair().believed()),
            (1, Some(Values::pending(Slot::B)))
        );
        assert_eq!(device.flushed(), [device.copy(1)]);
        assert_eq!(device.set(&["upgrade_available", "0"], ""), fine(""));
        assert_eq!(device.pair().believed(), Some(Values::committed(Slot::B)));
        assert_eq!(
            device.set(
                &["-s", "-"],
                "mender_boot_part 2\nmender_boot_part_hex 2\nupgrade_available 0"
            ),
            fine("")
        );
        assert_eq!(device.pair().believed(), Some(Values::committed(Slot::A)));
        assert_eq!(device.set(&["upgrade_available", "0"], ""), fine(""));
        assert_eq!(device.writes(), 0, "nothing changes, nothing is written");
    });
}

#[test]
fn lines_of_both_forms_are_taken() {
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
        assert_eq!(
            device.set(&["-s", device.path("lines").to_str().unwrap()], ""),
            fine("")
        );
        assert_eq!(device.print(&["eq", "back"]), fine("eq=\nback=1\n"));
    });
}

#[test]
fn what_does_not_fit_the_environment_is_refused() {
    each_shell(|device| {
        let before = device.print(&[]);
        let long = "x".repeat(4090);
        let refused: [(&[&str], &str, i32); 8] = [
            (&["mender_boot_part", "4"], "", 2),
            (&["-s", "-"], "known=other\nupgrade_available=2\n", 2),
            (&["bootcount"], "", 2),
            (&["long", &long], "", 2),
            (&["line", "a\nb"], "", 1),
            (&["-s", "/nowhere/lines"], "", 1),
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
    });
}

/// Every state of the two copies.
fn states() -> Vec<SerialPair> {
    let values = [
        Some(Values::committed(Slot::A)),
        Some(Values::pending(Slot::B)),
        None,
    ];
    let copies = |serial: u8| {
        values
            .map(|values| Some(SerialCopy { serial, values }))
            .into_iter()
            .chain([None])
            .collect::<Vec<_>>()
    };
    let pairs = |first: u8, second: u8| {
        let seconds = copies(second);
        copies(first)
            .into_iter()
            .flat_map(|one| {
                seconds
                    .clone()
                    .into_iter()
                    .map(move |two| SerialPair::new([one, two]))
            })
            .collect::<Vec<_>>()
    };
    [pairs(4, 5), pairs(1, 0), pairs(255, 0), pairs(0, 255)].concat()
}

#[test]
fn each_state_of_u_boots_copies_is_mended_and_finished_as_the_model_says() {
    for shell in &SHELLS[..2] {
        let Some(device) = Device::new(shell) else {
            continue;
        };
        let states = states();
        for state in if shell[0] == "dash" {
            &states[..]
        } else {
            &states[..16]
        } {
            let mut expected = state.clone();
            device.place(state);
            if state.has_values() {
                expected
                    .repair(goldsmith::boot::state::Writer::System, Slot::A)
                    .unwrap();
            }
            let said = device.print(&["mender_boot_part"]);
            assert_eq!(
                said.status,
                Some(if state.has_values() { 0 } else { 2 }),
                "{state:?}"
            );
            assert_eq!(device.pair().copies, expected.copies, "{state:?}");
            assert_eq!(
                said.err.is_empty(),
                state.is_intact(),
                "{state:?}: {}",
                said.err
            );
            for running in [Slot::A, Slot::B] {
                let mut expected = state.clone();
                device.place(state);
                expected.finish(running).unwrap();
                assert_eq!(device.finish(running).status, Some(0), "{state:?}");
                assert_eq!(
                    device.pair().copies,
                    expected.copies,
                    "{state:?} {running:?}"
                );
            }
        }
    }
}

#[test]
fn damage_of_every_kind_is_mended() {
    each_shell(|device| {
        for how in [
            "gone",
            "empty",
            "short",
            "long",
            "zeros",
            "bit",
            "directory",
        ] {
            for copy in [1, 2] {
                let truth = Values {
                    part: Slot::B,
                    upgrade: true,
                    count: true,
                };
                // The damaged copy is the newer one: what is left is believed.
                let serials = if copy == 1 { [6, 5] } else { [5, 6] };
                device.place(&SerialPair::new(
                    serials.map(|serial| Some(SerialCopy::good(serial, truth))),
                ));
                let file = device.copy(copy);
                let mut bytes = fs::read(&file).unwrap();
                match how {
                    "gone" => fs::remove_file(&file).unwrap(),
                    "empty" => fs::write(&file, "").unwrap(),
                    "short" => fs::write(&file, &bytes[..50]).unwrap(),
                    "zeros" => fs::write(&file, [0; SIZE]).unwrap(),
                    "directory" => fs::remove_dir_all(file.parent().unwrap()).unwrap(),
                    "bit" => {
                        bytes[2000] ^= 4;
                        fs::write(&file, bytes).unwrap();
                    }
                    _ => {
                        bytes[7] ^= 1;
                        fs::write(&file, [bytes, vec![0; 3000]].concat()).unwrap();
                    }
                }
                let said = device.print(&["mender_boot_part", "upgrade_available", "bootcount"]);
                let out = "mender_boot_part=3\nupgrade_available=1\nbootcount=1\n";
                assert_eq!(
                    (said.status, said.out.as_str()),
                    (Some(0), out),
                    "{how}: {}",
                    said.err
                );
                assert!(
                    said.err.contains(&format!("copy {copy} ")),
                    "{how}: {}",
                    said.err
                );
                assert_eq!(device.print(&["bootcount"]), fine("bootcount=1\n"), "{how}");
                fs::write(&file, &fs::read(&file).unwrap()[..SIZE]).unwrap();
                let mended = device.pair().copies[copy - 1];
                assert_eq!(mended, Some(SerialCopy::good(6, truth)), "{how}");
            }
        }
    });
}

#[test]
fn a_power_cut_at_a_write_of_u_boots_tools_leaves_the_old_or_the_new_variables() {
    let cuts = [
        ("before", Cut::Before),
        ("after", Cut::After),
        ("zeros", Cut::Missing),
        ("short", Cut::Missing),
        ("torn", Cut::Missing),
        ("gone", Cut::Missing),
    ];
    each_shell(|device| {
        for (old, new) in [(Slot::A, Slot::B), (Slot::B, Slot::A)]
            .map(|(old, new)| (Values::committed(old), Values::pending(new)))
        {
            let lines: String = variables(Some(new))
                .iter()
                .map(|(name, value)| format!("{name}={value}\n"))
                .collect();
            for (how, cut) in cuts {
                for serials in [[8, 9], [9, 8]] {
                    let mut model =
                        SerialPair::new(serials.map(|serial| Some(SerialCopy::good(serial, old))));
                    device.place(&model);
                    model.power.fails_after = Some((0, cut));
                    model.set(new).unwrap_err();
                    let said = device.call("fw_setenv", &["-s", "-"], &lines, Some((1, how)));
                    assert_eq!(said.status, None, "killed: {said:?}");
                    assert_eq!(device.pair().copies, model.copies, "{how}");
                    let left = model.believed().expect("one good copy is left");
                    // The power fails once more, while this is mended.
                    let repair = device.call("fw_printenv", &[], "", Some((1, "torn")));
                    assert!(matches!(repair.status, None | Some(0)), "{repair:?}");
                    assert_eq!(device.print(&["bootcount"]).status, Some(0), "{how}");
                    assert_eq!(device.pair().believed(), Some(left), "{how}");
                    assert!(device.pair().is_intact(), "{how}");
                }
            }
        }
    });
}

#[test]
fn libubootenv_reads_what_the_tools_write_and_the_other_way_round() {
    let [Some(print), Some(set)] = ["fw_printenv", "fw_setenv"].map(tool) else {
        return;
    };
    each_shell(|device| {
        let config = device.path("config");
        for round in 0..4 {
            assert_eq!(
                device.set(&["-s", "-"], &format!("round={round}\na=x=y z\n")),
                fine("")
            );
            let theirs = must(&print, &[&"-c", &config]);
            let mut lines: Vec<&str> = theirs.lines().collect();
            lines.sort_unstable();
            let ours = device.print(&[]).out;
            let mut own: Vec<&str> = ours.lines().collect();
            own.sort_unstable();
            assert_eq!(lines, own);
            must(&set, &[&"-c", &config, &"theirs", &round.to_string()]);
            assert_eq!(
                device.print(&["theirs"]),
                fine(&format!("theirs={round}\n"))
            );
        }
        // A copy that is damaged to them is damaged to us, and mended for both.
        let newest = device.pair().newest().unwrap();
        fs::write(device.copy(newest + 1), [1; SIZE]).unwrap();
        assert_eq!(device.print(&["round"]).status, Some(0));
        assert!(run(&print, &[&"-c", &config, &"round"]).status.success());
    });
}

#[test]
fn an_environment_outside_of_all_partitions_is_kept_there() {
    each_shell(|device| {
        let disk = device.path("disk");
        fs::File::create(&disk).unwrap().set_len(1 << 20).unwrap();
        fs::write(
            device.path("config"),
            format!(
                "# a comment\n{0} 0x40000 0x4000\n{0} 0x80000 0x4000\n",
                disk.display()
            ),
        )
        .unwrap();
        fs::remove_file(device.path("settings")).unwrap();
        let said = device.print(&["mender_boot_part"]);
        assert_eq!(said.status, Some(2));
        assert!(
            said.err.contains("U-Boot has not made them yet"),
            "{}",
            said.err
        );
        assert_eq!(device.set(&["a", "b"], "").status, Some(2));
        // As U-Boot saved it; it counts to two.
        let saved = [("bootcount", "2"), ("mender_boot_part", "2")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut bytes = fs::read(&disk).unwrap();
        bytes[0x40000..0x44000].copy_from_slice(&encode(7, &saved.into(), 0x4000).unwrap());
        fs::write(&disk, &bytes).unwrap();
        assert_eq!(device.print(&["bootcount"]).out, "bootcount=2\n");
        assert_eq!(device.set(&["upgrade_available", "1"], ""), fine(""));
        let now = fs::read(&disk).unwrap();
        assert_eq!(now.len(), bytes.len());
        let outside = |bytes: &[u8]| {
            [
                &bytes[..0x40000],
                &bytes[0x44000..0x80000],
                &bytes[0x84000..],
            ]
            .concat()
        };
        assert!(
            outside(&now) == outside(&bytes),
            "nothing else is written to"
        );
        let copies = [0x40000, 0x80000].map(|at| decode(&now[at..at + 0x4000]).unwrap());
        assert_eq!([copies[0].0, copies[1].0], [9, 8]);
        assert_eq!(copies[0].1["upgrade_available"], "1");
    });
}

#[test]
fn what_is_not_mounted_is_not_made() {
    each_shell(|device| {
        fs::remove_dir_all(device.path("env")).unwrap();
        for said in [
            device.print(&[]),
            device.set(&["a", "b"], ""),
            device.finish(Slot::B),
        ] {
            assert_eq!(said.status, Some(2));
            assert!(
                said.err.contains("is the boot partition mounted?"),
                "{}",
                said.err
            );
        }
        assert!(!device.path("env").exists());
    });
}

/// Runs the kernel hook in a slot with these files in `/boot`; returns what it said and the file.
fn hook(shell: &[&str], flavor: &str, files: &[&str], before: &str) -> (String, String) {
    let dir = scratch();
    let here = dir.path().display();
    for file in files {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    fs::write(
        dir.path().join("settings"),
        format!("FLAVOR=\"{flavor}\"\n"),
    )
    .unwrap();
    fs::write(dir.path().join("boot/mender-slot.env"), before).unwrap();
    let text = goldsmith::boot::common::tools::slot_env();
    let moved = text
        .replace("root=\n", &format!("root={here}\n"))
        .replace("=/etc/default/mender-slot", &format!("={here}/settings"));
    let script = dir.path().join("hook");
    fs::write(&script, moved).unwrap();
    let output = Command::new(shell[0])
        .args(&shell[1..])
        .arg(&script)
        .arg("6.1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(!dir.path().join("boot/mender-slot.env.new").exists());
    let text = fs::read_to_string(dir.path().join("boot/mender-slot.env")).unwrap();
    (
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap(),
        text,
    )
}

#[test]
fn kernel_packages_keep_the_slots_file_current() {
    let before =
        "# GRUB Environment Block\nkernel=boot/vmlinuz-6.1.0-9-arm64\nargs=ro quiet x=a\\\\b\n####";
    for shell in SHELLS.iter().filter(|shell| tool(shell[0]).is_some()) {
        let files = [
            "boot/vmlinuz-6.1.0-9-arm64",
            "boot/initrd.img-6.1.0-9-arm64",
            "boot/vmlinuz-6.1.0-21-arm64",
            "boot/initrd.img-6.1.0-21-arm64",
            "boot/vmlinuz-6.12.1-arm64",
            "boot/vmlinuz-6.13.0-1-cloud-arm64",
            "boot/initrd.img-6.13.0-1-cloud-arm64",
        ];
        let (said, text) = hook(shell, "arm64", &files, before);
        let lines = "# GRUB Environment Block\nkernel=boot/vmlinuz-6.1.0-21-arm64\ninitrd=boot/initrd.img-6.1.0-21-arm64\nargs=ro quiet x=a\\\\b\n";
        assert_eq!(
            (said.as_str(), text.trim_end_matches('#'), text.len()),
            ("", lines, 1024)
        );
        let pi = [
            "boot/vmlinuz-6.6.31+rpt-rpi-v8",
            "boot/vmlinuz-6.6.9+rpt-rpi-v8",
            "boot/vmlinuz-6.12.1+rpt-rpi-2712",
        ];
        let (_, text) = hook(shell, "rpi-v8", &pi, before);
        assert!(
            text.contains("kernel=boot/vmlinuz-6.6.31+rpt-rpi-v8\nargs=ro"),
            "{text}"
        );
        // No kernel, or none that is looked after: the file stays.
        let (said, text) = hook(shell, "rpi-v8", &["boot/vmlinuz-6.1.0-9-arm64"], before);
        assert!(said.contains("no kernel") && text == before, "{said}");
        assert_eq!(
            hook(shell, "", &files, before),
            (String::new(), before.to_owned())
        );
    }
}

/// The lines of a slot's file after its first.
fn lines(text: &str) -> Vec<&str> {
    text.trim_end_matches('#').lines().skip(1).collect()
}

#[test]
fn kernel_packages_keep_device_tree_and_overlays_of_the_slot_current() {
    let files = [
        "boot/vmlinuz-5.10.168-ti-r72",
        "boot/initrd.img-5.10.168-ti-r72",
        "boot/vmlinuz-5.10.168-ti-r80",
        "boot/initrd.img-5.10.168-ti-r80",
        "boot/vmlinuz-5.10.199-ti-rt-r90",
        "boot/initrd.img-5.10.199-ti-rt-r90",
        "boot/dtbs/5.10.168-ti-r80/board.dtb",
        "boot/dtbs/5.10.168-ti-r80/overlays/a.dtbo",
        "lib/firmware/b.dtbo",
    ];
    let before = "# GRUB Environment Block\nkernel=boot/vmlinuz-5.10.168-ti-r72\nfdtdir=boot/dtbs/5.10.168-ti-r72\n\
                  fdt=boot/dtbs/5.10.168-ti-r72/board.dtb\noverlays=boot/dtbs/5.10.168-ti-r72/overlays/a.dtbo \
                  lib/firmware/b.dtbo boot/dtbs/5.10.168-ti-r72/overlays/c.dtbo\nargs=ro\n";
    for shell in SHELLS.iter().filter(|shell| tool(shell[0]).is_some()) {
        let (said, text) = hook(shell, "ti", &files, before);
        let expected = [
            "kernel=boot/vmlinuz-5.10.168-ti-r80",
            "initrd=boot/initrd.img-5.10.168-ti-r80",
            "fdtdir=boot/dtbs/5.10.168-ti-r80",
            "fdt=boot/dtbs/5.10.168-ti-r80/board.dtb",
            "overlays=boot/dtbs/5.10.168-ti-r80/overlays/a.dtbo lib/firmware/b.dtbo",
            "args=ro",
        ];
        assert_eq!(lines(&text), expected);
        assert!(said.contains("c.dtbo does not exist"), "{said}");
    }
}

#[test]
fn a_slots_file_that_names_a_kernel_that_is_gone_is_mended() {
    let before = "# GRUB Environment Block\nkernel=boot/vmlinuz-6.1.0-9-arm64\nargs=ro\n";
    let files = [
        "boot/vmlinuz-6.1.0-21-cloud-arm64",
        "boot/initrd.img-6.1.0-21-cloud-arm64",
    ];
    for shell in SHELLS.iter().filter(|shell| tool(shell[0]).is_some()) {
        for flavor in ["arm64", ""] {
            let (said, text) = hook(shell, flavor, &files, before);
            assert!(said.contains("which is gone: naming the kernel"), "{said}");
            assert_eq!(lines(&text)[0], "kernel=boot/vmlinuz-6.1.0-21-cloud-arm64");
        }
        // Nothing is there that could be named.
        let (said, text) = hook(shell, "arm64", &["boot/config-6.1"], before);
        assert!(said.contains("there is no other kernel"), "{said}");
        assert_eq!(text, before);
        // A kernel without a version in its name stays.
        let fixed = before.replace("vmlinuz-6.1.0-9-arm64", "Image");
        let (said, text) = hook(shell, "", &["boot/Image", files[0]], &fixed);
        assert_eq!((said.as_str(), text), ("", fixed));
        // Versions without a flavor.
        let (_, text) = hook(
            shell,
            "none",
            &["boot/vmlinuz-6.6.9", "boot/vmlinuz-6.6.12"],
            before,
        );
        assert_eq!(lines(&text)[0], "kernel=boot/vmlinuz-6.6.12");
    }
}
