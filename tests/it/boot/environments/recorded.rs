//! The tools on a FAT that a real kernel has mounted, and the model of its driver.

use super::device::{Call, Device};
use super::loader::Loader;
use super::story::{lines, owned_value};
use crate::boot::env_tools::SHELLS;
use crate::boot::medium::driver::Driver;
use crate::boot::medium::fat::Disk;
use crate::boot::medium::op::{Op, apply};
use crate::boot::medium::recorded::{Logged, compare};
use crate::boot::medium::recorder::{Recorder, recording};
use goldsmith::boot::state::Slot;

const LOADERS: [(Loader, &str); 2] = [(Loader::Grub, "grub"), (Loader::UBoot, "u-boot")];

/// A boot partition whose second copy is gone, and what the tools do to it: they mend it, take a
/// variable of the owner, an update, and the way back.
fn session(device: &Device, mut recorder: Option<&mut Recorder>) -> (Disk, Vec<Vec<Op>>) {
    let loader = device.loader;
    let mut driver = Driver::new(loader.factory(), false);
    driver.remove(loader.second_copy());
    driver.flush();
    let start = driver.now.clone();
    driver = Driver::new(start.clone(), false);
    let own = format!("{}={}\n", loader.owned(), owned_value(1));
    let calls = [
        Call::FinishBoot,
        Call::Set(own),
        Call::Set(lines(Slot::B, true)),
        Call::Set(lines(Slot::A, false)),
    ];
    let steps = calls.iter().map(|call| {
        let run = device.run(&driver.now, Slot::A, call);
        assert_eq!(run.answer.status, Some(0), "{call:?} {:?}", run.answer);
        if let Some(recorder) = &mut recorder {
            let (name, args, input) = device.command(call);
            let words = [&[name], &args[..]].concat();
            recorder.step(&device.files(), &words, input);
        }
        run.ops.iter().for_each(|op| apply(&mut driver, op));
        driver.flush();
        run.ops
    });
    let steps = steps.collect();
    (start, steps)
}

fn held(loader: Loader, logged: &[Logged], start: &Disk, steps: &[Vec<Op>]) {
    let seen = compare(logged, start, steps).unwrap_or_else(|what| panic!("{loader:?}: {what}"));
    println!("{loader:?} {seen:?}");
    assert!(seen.writes > 20 && seen.flushes > 3, "{seen:?}");
}

#[test]
fn a_real_kernel_writes_environments_as_the_model_of_its_driver_does() {
    for (loader, name) in LOADERS {
        let Some(device) = Device::new(SHELLS[0], loader, &loader.tool()) else {
            return;
        };
        let (start, steps) = session(&device, None);
        held(loader, &recording(name), &start, &steps);
    }
}

/// The environment tools of GRUB and U-Boot write to a FAT of a real kernel what the model of the
/// driver says.
#[test]
#[ignore = "a boot of its own; `make test-boot` runs it"]
fn boot_records_what_a_real_kernel_writes_for_environments() {
    for (loader, name) in LOADERS {
        let Some(device) = Device::new(SHELLS[0], loader, &loader.tool()) else {
            return;
        };
        let mut recorder = Recorder::new(device.here(), "env", "sync");
        let (start, steps) = session(&device, Some(&mut recorder));
        if let Some(logged) = recorder.record(name, &start) {
            held(loader, &logged, &start, &steps);
        }
    }
}
