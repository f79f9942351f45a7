//! The tools on a FAT that a real kernel has mounted, and the model of its driver.

use super::device::{Device, Root, World};
use super::story::first;
use crate::boot::env_tools::SHELLS;
use crate::boot::medium::driver::Driver;
use crate::boot::medium::fat::Disk;
use crate::boot::medium::op::{Op, apply};
use crate::boot::medium::recorded::{Compared, Logged, compare};
use crate::boot::medium::recorder::{Recorder, recording};
use goldsmith::boot::common::tools::tryboot_env;
use goldsmith::boot::state::Slot;

/// What of the device the tools need at each step.
const FILES: [&str; 13] = [
    "run",
    "root",
    "roots",
    "data",
    "loader",
    "config",
    "cmdline",
    "fw_printenv",
    "fw_setenv",
    "zz-mender",
    "mount",
    "umount",
    "vcmailbox",
];

/// A boot partition, and what the tools do to it in the life of a device: its first start, an
/// update that is committed with a new kernel on the way, the way back, and an update that is taken
/// back. With a recorder, each step is prepared for that.
fn session(device: &Device, mut recorder: Option<&mut Recorder>) -> (Disk, Vec<Vec<Op>>) {
    let (mut world, _) = first();
    let start = world.disk.clone();
    let mut driver = Driver::new(start.clone(), false);
    let mut steps = Vec::new();
    let mut step = |world: &mut World, name: &str, args: &[&str], input: &str| {
        device.place(world);
        if let Some(recorder) = &mut recorder {
            recorder.step(&FILES, &[&[name], args].concat(), input);
        }
        let run = device.run(world, name, args, input);
        assert_eq!(run.answer.status, Some(0), "{args:?} {:?}", run.answer);
        run.ops.iter().for_each(|op| apply(&mut driver, op));
        driver.flush();
        world.disk = driver.now.clone();
        steps.push(run.ops);
    };
    let install = "mender_boot_part=3\nupgrade_available=1\nbootcount=0\n";
    let back = "mender_boot_part=2\nupgrade_available=0\n";
    let finish = ["--finish-boot"];
    let lines = ["-s", "-"];
    step(&mut world, "fw_setenv", &finish, "");
    world.roots[1] = Root::new(1);
    step(&mut world, "fw_setenv", &lines, install);
    (world.running, world.state) = (Slot::B, None);
    step(&mut world, "fw_setenv", &finish, "");
    world.roots[1].kernel = 1;
    world.roots[1].linked = false;
    step(&mut world, "zz-mender", &[], "");
    world.roots[1].linked = true;
    step(&mut world, "fw_setenv", &["upgrade_available", "0"], "");
    step(&mut world, "fw_setenv", &lines, back);
    (world.running, world.state) = (Slot::A, None);
    step(&mut world, "fw_setenv", &finish, "");
    world.roots[1] = Root::new(2);
    step(&mut world, "fw_setenv", &lines, install);
    step(&mut world, "fw_setenv", &lines, back);
    (start, steps)
}

fn held(logged: &[Logged], start: &Disk, steps: &[Vec<Op>]) -> Compared {
    let seen = compare(logged, start, steps).unwrap_or_else(|what| panic!("{what}"));
    println!("{seen:?}");
    assert_eq!(seen.more_flushes, 0, "{seen:?}");
    assert!(seen.writes > 100 && seen.flushes > 15, "{seen:?}");
    seen
}

#[test]
fn a_real_kernel_writes_what_the_model_of_its_driver_writes() {
    let Some(device) = Device::new(SHELLS[0], &tryboot_env()) else {
        return;
    };
    let (start, steps) = session(&device, None);
    held(&recording("tryboot"), &start, &steps);
}

/// The tools for `rpi-tryboot` write to a FAT of a real kernel what the model of the driver says.
#[test]
#[ignore = "a boot of its own; `make test-boot` runs it"]
fn boot_records_what_a_real_kernel_writes_for_tryboot() {
    let Some(device) = Device::new(SHELLS[0], &tryboot_env()) else {
        return;
    };
    let mut recorder = Recorder::new(device.dir.path(), "boot", "rw");
    let (start, steps) = session(&device, Some(&mut recorder));
    if let Some(logged) = recorder.record("tryboot", &start) {
        held(&logged, &start, &steps);
    }
}
