//! The script that a person runs on a board, run here on a device without its hardware, with the
//! model of the firmware between its steps.

use super::device::{Device, World};
use super::firmware::{self, PI4};
use super::judge::slot_of;
use super::story::first;
use crate::boot::env_tools::SHELLS;
use crate::boot::medium::driver::Driver;
use crate::boot::medium::op::{Op, apply};
use goldsmith::boot::common::tools::tryboot_env;
use goldsmith::boot::state::Slot;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

/// What the firmware of the board does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Firmware {
    /// What its documentation says.
    Good,
    /// An ordinary restart forgets the flag.
    Forgets,
    /// Nothing resets a kernel that hangs: somebody cuts the power.
    NoWatchdog,
    /// It looks for the files elsewhere.
    NoPrefix,
}

/// The beginning of the kernel that hangs.
const LOOP: [u8; 4] = [0, 0, 0, 0x14];

struct Board {
    device: Device,
    world: World,
    firmware: Firmware,
}

impl Board {
    fn new(firmware: Firmware) -> Option<Self> {
        let device = Device::new(SHELLS[0], &tryboot_env())?;
        let here = device.dir.path().display().to_string();
        let script = include_str!("../../../../scripts/tryboot-on-a-board.sh");
        let own = format!("\nroot={here}/board\n");
        let programs = [
            ("on-a-board", script.replace("\nroot=\n", &own)),
            ("reboot", format!("#!/bin/sh\n: >{here}/rebooted\n")),
            ("vclog", format!("#!/bin/sh\ncat {here}/said\n")),
        ];
        for (name, text) in programs {
            fs::write(device.path(name), text).unwrap();
        }
        for name in ["reboot", "vclog", "fw_printenv", "fw_setenv"] {
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(device.path(name), mode).unwrap();
        }
        let mut board = Self {
            device,
            world: first().0,
            firmware,
        };
        for dir in ["etc", "data", "proc/device-tree/chosen/bootloader"] {
            fs::create_dir_all(board.path(dir)).unwrap();
        }
        let config = board.path("etc/mender_tryboot.config");
        fs::copy(board.device.path("config"), config).unwrap();
        // The boot files are written by the tool itself.
        assert!(board.run("fw_setenv", &["--finish-boot"]));
        board.start();
        Some(board)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.device.path("board").join(name)
    }

    /// Runs a tool or the script; what it does to the boot partition is done.
    fn run(&mut self, name: &str, args: &[&str]) -> bool {
        let run = self.device.run(&mut self.world, name, args, "");
        println!("{}{}", run.answer.out, run.answer.err);
        let mut driver = Driver::new(self.world.disk.clone(), true);
        for op in &run.ops {
            apply(&mut driver, op);
            if let Op::Flag(flag) = op {
                self.world.flag = *flag;
            }
        }
        self.world.disk = driver.now;
        run.answer.status == Some(0)
    }

    /// The firmware starts a slot, and the unit of each boot runs.
    fn start(&mut self) {
        let mut flag = self.world.flag && self.firmware != Firmware::Forgets;
        self.world.flag = false;
        let mut started = firmware::start(&PI4, &[Some(&self.world.disk)], &mut flag).unwrap();
        let mut resets = 0x20;
        if started.kernel.starts_with(&LOOP) {
            if self.firmware == Firmware::NoWatchdog {
                resets = 0x1000;
            }
            started = firmware::start(&PI4, &[Some(&self.world.disk)], &mut false).unwrap();
        }
        self.world.running = slot_of(&started).unwrap();
        self.world.state = None;
        let number = self.world.running as usize + 2;
        let line = format!("console=tty1 mender.slot={number} ro\n");
        fs::write(self.path("proc/cmdline"), line).unwrap();
        let chosen = |name: &str| self.path("proc/device-tree/chosen").join(name);
        let prefix = match self.firmware {
            Firmware::NoPrefix => "",
            _ => &started.prefix,
        };
        fs::write(chosen("os_prefix"), format!("{prefix}\0")).unwrap();
        let be = |number: usize| u32::to_be_bytes(number as u32);
        let length = started.initramfs.map_or(0, |bytes| bytes.len());
        for (name, number) in [
            ("linux,initrd-start", 0x2000),
            ("linux,initrd-end", 0x2000 + length),
            ("bootloader/tryboot", usize::from(started.tryboot)),
            ("bootloader/rsts", resets),
        ] {
            fs::write(chosen(name), be(number)).unwrap();
        }
        let said = format!("brcm: loading {prefix}overlays/vc4-kms-v3d.dtbo\n");
        fs::write(self.device.path("said"), said).unwrap();
        assert!(self.run("fw_setenv", &["--finish-boot"]));
    }

    /// From the first call to the last step; returns the report.
    fn check(&mut self, args: &[&str]) -> String {
        assert!(self.run("on-a-board", args));
        let rebooted = self.device.path("rebooted");
        let mut starts = 0;
        while fs::remove_file(&rebooted).is_ok() {
            starts += 1;
            assert!(starts < 10, "it goes on and on");
            self.start();
            self.run("board/data/tryboot-check/script", &["--go-on"]);
        }
        println!("{starts} restarts");
        let unit = self.path("etc/systemd/system/tryboot-check.service");
        assert!(!unit.exists(), "what goes on after a restart is gone");
        fs::read_to_string(self.path("data/tryboot-check/report.md")).unwrap()
    }
}

/// The rows of a report that say this.
fn rows<'r>(report: &'r str, word: &str) -> Vec<&'r str> {
    let word = format!("| {word} |");
    report.lines().filter(|line| line.contains(&word)).collect()
}

#[test]
fn the_script_for_a_board_confirms_what_the_firmware_should_do() {
    let Some(mut board) = Board::new(Firmware::Good) else {
        return;
    };
    let report = board.check(&[]);
    println!("{report}");
    assert_eq!(rows(&report, "confirmed").len(), 17, "{report}");
    for word in ["**not confirmed**", "not seen"] {
        assert_eq!(rows(&report, word).len(), 0, "{report}");
    }
    assert_eq!(board.world.running, Slot::A);
    // The kernels of the other slot are what they were, and the variables are those of the start.
    assert!(!board.path("data/tryboot-check/kept").exists());
    let print = ["mender_boot_part", "upgrade_available"];
    let run = board
        .device
        .run(&mut board.world, "fw_printenv", &print, "");
    assert_eq!(run.answer.out, "mender_boot_part=2\nupgrade_available=0\n");
}

#[test]
fn the_script_for_a_board_says_what_is_not_confirmed() {
    for (firmware, args, what) in [
        (
            Firmware::Forgets,
            &[][..],
            &[
                "| an ordinary reboot keeps the flag |",
                "| the steps after this |",
            ][..],
        ),
        (
            Firmware::NoWatchdog,
            &[],
            &["| the watchdog resets a kernel that hangs |"],
        ),
        (
            Firmware::NoPrefix,
            &["--no-hang"],
            &["| os_prefix counts |", "| overlays are the slot's |"],
        ),
    ] {
        let Some(mut board) = Board::new(firmware) else {
            return;
        };
        let report = board.check(args);
        let found = rows(&report, "**not confirmed**");
        for part in what {
            assert!(
                found.iter().any(|row| row.starts_with(part)),
                "{part}: {report}"
            );
        }
        let known = |row: &&&str| !what.iter().any(|part| row.starts_with(part));
        assert_eq!(found.iter().filter(known).count(), 0, "{report}");
    }
}
