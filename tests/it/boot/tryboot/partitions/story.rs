//! Every order of events, with the power failing between any two writes to any of the three
//! partitions, and the writes arriving in any order that the medium may choose.

use super::device::{Device, Step, World, number};
use crate::boot::env_tools::Answer;
use crate::boot::medium::choices::{choices, combinations};
use crate::boot::medium::driver::Driver;
use crate::boot::medium::fat::Disk;
use crate::boot::medium::op::{Op, apply};
use crate::boot::medium::{Fsck, hash};
use crate::boot::tryboot::device::{Root, Run, content};
use crate::boot::tryboot::firmware::{self, PI4, Started};
use crate::boot::tryboot::judge::settings;
use crate::boot::tryboot::story::{EVENTS, Event, Limits, Seen};
use goldsmith::boot::state::Slot;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

/// What must be true of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Truth {
    pub(super) committed: Slot,
    /// An update in the other slot waits for its trial, or has it.
    pub(super) pending: bool,
    /// The other slot holds what was committed before.
    can_return: bool,
    /// Whether the owner changed the words on the boot partition of each slot.
    pub(super) words: [bool; 2],
}

type Ran = (World, Run, Vec<Step>);

pub(super) struct Stories<'d> {
    device: &'d Device,
    fsck: Fsck,
    limits: Limits,
    pub(super) seen: Seen,
    runs: HashMap<u64, Ran>,
    checked: HashSet<u64>,
}

impl World {
    pub(super) fn key(&self) -> u64 {
        hash((
            self.disks.each_ref().map(Disk::visible),
            (self.flag, self.deaf),
            &self.state,
            &self.others,
            self.running as usize,
            self.roots,
        ))
    }
}

/// The words of the device.
pub(super) fn words(changed: bool) -> &'static str {
    match changed {
        true => "console=tty1 rootwait quiet\n",
        false => "console=tty1 rootwait\n",
    }
}

/// A file of the owner on the boot partition.
pub(super) const EXTRA: (&str, &[u8]) = ("user-data", b"#cloud-config\n");

/// `autoboot.txt` with these numbers.
pub(super) fn autoboot(all: u32, trial: u32) -> String {
    format!("[all]\ntryboot_a_b=1\nboot_partition={all}\n[tryboot]\nboot_partition={trial}\n")
}

/// A device as it is after its first start; the second slot has a boot partition without files.
pub(super) fn first() -> (World, Truth) {
    let mut auto = Driver::new(Disk::format(), false);
    auto.put("autoboot.txt", autoboot(2, 2).as_bytes());
    let mut boot = Driver::new(Disk::format(), false);
    boot.put("start4.elf", &content("firmware", 0, 0));
    boot.put("config.txt", settings("slot-a0/").as_bytes());
    boot.put("cmdline.txt", words(false).as_bytes());
    boot.put(EXTRA.0, EXTRA.1);
    for dir in ["slot-a0", "slot-a1"] {
        boot.mkdir(dir);
        boot.mkdir(&format!("{dir}/overlays"));
    }
    let truth = Truth {
        committed: Slot::A,
        pending: false,
        can_return: false,
        words: [false; 2],
    };
    let world = World {
        disks: [auto.now, boot.now, Disk::format()],
        flag: false,
        deaf: false,
        state: None,
        others: None,
        running: Slot::A,
        roots: [Root::new(0), Root::new(0)],
    };
    (world, truth)
}

/// What the firmware starts; all three partitions are FAT.
pub(super) fn start(disks: &[Disk; 3], flag: bool) -> Result<Started, String> {
    let partitions: Vec<Option<&Disk>> = disks.iter().map(Some).chain([None; 3]).collect();
    firmware::start(&PI4, &partitions, &mut flag.clone())
}

/// The slot that the kernel was told to run, if it was started from its own boot partition.
pub(super) fn slot_of(started: &Started) -> Option<Slot> {
    [Slot::A, Slot::B].into_iter().find(|slot| {
        let id = crate::boot::tryboot::device::id(*slot);
        let own = started.partition == *slot as usize + 2;
        let root = format!("root=PARTUUID={id} ");
        own && started.cmdline.starts_with(&root)
            && started
                .cmdline
                .ends_with(&format!(" mender.slot={}", number(*slot)))
    })
}

impl<'d> Stories<'d> {
    pub(super) fn new(device: &'d Device, limits: Limits) -> Self {
        Self {
            device,
            fsck: Fsck::new(),
            limits,
            seen: Seen::default(),
            runs: HashMap::new(),
            checked: HashSet::new(),
        }
    }

    fn is_enough(&self) -> bool {
        self.seen.problems() >= self.limits.problems
    }

    fn run(&mut self, world: &World, name: &str, args: &[&str], input: &str) -> Ran {
        let key = hash((world.key(), name, args, input));
        if let Some((after, run, steps)) = self.runs.get(&key) {
            let mut after = after.clone();
            after.disks = world.disks.clone();
            return (after, run.clone(), steps.clone());
        }
        let mut after = world.clone();
        let (run, steps) = self.device.run(&mut after, name, args, input);
        self.runs
            .insert(key, (after.clone(), run.clone(), steps.clone()));
        (after, run, steps)
    }

    fn drivers(&self, world: &World) -> [Driver; 3] {
        let reuses = self.limits.reuses;
        world
            .disks
            .each_ref()
            .map(|disk| Driver::new(disk.clone(), reuses))
    }

    /// Tells all stories, breadth first; a device that was seen before is not told of again.
    pub(super) fn tell(&mut self) {
        let (world, truth) = first();
        // The boot files are written by the tool itself.
        let ran = self.run(&world, "fw_setenv", &["--finish-boot"], "");
        assert_eq!(ran.1.answer.status, Some(0), "{:?}", ran.1.answer);
        let world = self.plain(&world, ran);
        let mut queue = VecDeque::from([(world, truth, Vec::new())]);
        let mut known = HashSet::new();
        while let Some((world, truth, story)) = queue.pop_front() {
            self.seen.orders += 1;
            if story.len() == self.limits.depth {
                continue;
            }
            for event in EVENTS {
                if !is_possible(&world, truth, event) || self.is_enough() {
                    continue;
                }
                let mut story: Vec<Event> = story.clone();
                story.push(event);
                self.seen.events += 1;
                let before = self.seen.problems();
                let next = self.happen(&world, truth, event);
                if self.seen.problems() > before {
                    self.seen.name(&story);
                }
                if let Some((world, truth)) = next
                    && known.insert(hash((world.key(), truth)))
                {
                    queue.push_back((world, truth, story));
                }
            }
        }
    }

    /// What an event makes of a device; power cuts within it are looked at on the way.
    fn happen(&mut self, world: &World, truth: Truth, event: Event) -> Option<(World, Truth)> {
        let (running, other) = (world.running as usize, world.running.other());
        let set = |slot: Slot, upgrade: u8| {
            let number = number(slot);
            format!(
                "mender_boot_part={number}\nmender_boot_part_hex={number}\nupgrade_available={upgrade}\n"
            )
        };
        let mut world = world.clone();
        let mut now = truth;
        let (before, ran) = match event {
            Event::Restart => return self.restart(&world, truth, world.flag),
            Event::PowerLoss => return self.restart(&world, truth, false),
            Event::Install => {
                let used = world.roots.map(|root| root.release);
                let release = (0..3).find(|release| !used.contains(release));
                world.roots[other as usize] = Root::new(release.unwrap());
                now.can_return = false;
                now.pending = true;
                now.words[other as usize] = now.words[running];
                let lines = set(other, 1) + "bootcount=0\n";
                (now, self.run(&world, "fw_setenv", &["-s", "-"], &lines))
            }
            Event::Commit => {
                now.committed = world.running;
                now.pending = false;
                now.can_return = true;
                let args = ["upgrade_available", "0"];
                (truth, self.run(&world, "fw_setenv", &args, ""))
            }
            Event::RollBack => {
                now.pending = false;
                let lines = set(truth.committed, 0);
                (truth, self.run(&world, "fw_setenv", &["-s", "-"], &lines))
            }
            Event::Return => {
                now.committed = truth.committed.other();
                let lines = set(now.committed, 0);
                (truth, self.run(&world, "fw_setenv", &["-s", "-"], &lines))
            }
            Event::Kernel | Event::KernelUnheard => {
                world.roots[running].kernel += 1;
                world.roots[running].linked = false;
                world.deaf = event == Event::KernelUnheard;
                let mut ran = self.run(&world, "zz-mender", &[], "");
                world.roots[running].linked = true;
                ran.0.roots = world.roots;
                (world.deaf, ran.0.deaf) = (false, false);
                (truth, ran)
            }
            Event::Words => {
                now.words[running] = !truth.words[running];
                let mut drivers = self.drivers(&world);
                let text = words(now.words[running]);
                drivers[running + 1].put("cmdline.txt", text.as_bytes());
                world.disks = drivers.map(|driver| driver.now);
                return Some((world, now));
            }
        };
        let world = self.through(&world, ran, [before, now], event)?;
        Some((world, now))
    }

    /// A start with or without the flag, and what the unit of each boot does.
    fn restart(&mut self, world: &World, truth: Truth, flag: bool) -> Option<(World, Truth)> {
        let started = self.started(&world.disks, flag)?;
        let mut world = World {
            flag: false,
            state: None,
            running: slot_of(&started)?,
            ..world.clone()
        };
        self.check(&mut world);
        let mut now = truth;
        now.pending &= world.running != truth.committed;
        let ran = self.run(&world, "fw_setenv", &["--finish-boot"], "");
        let world = self.through(&world, ran, [now, now], Event::Restart)?;
        self.answers(&world, now);
        if world.running == now.committed {
            let started = self.started(&world.disks, false)?;
            let due = words(now.words[world.running as usize]).trim_end();
            if !started.cmdline.contains(due) {
                let text = format!("the owner's words are not used: {}", started.cmdline);
                self.seen.lost.push(text);
            }
        }
        Some((world, now))
    }

    fn plain(&mut self, world: &World, (after, _, steps): Ran) -> World {
        let mut drivers = self.drivers(world);
        for (at, op) in &steps {
            apply(&mut drivers[*at], op);
        }
        World {
            disks: drivers.map(|driver| driver.now),
            ..after
        }
    }

    /// What the tool prints, and what a flag that somebody else sets would start.
    fn answers(&mut self, world: &World, truth: Truth) {
        let names = ["mender_boot_part", "upgrade_available"];
        let (_, run, steps) = self.run(world, "fw_printenv", &names, "");
        let trial = world.running != truth.committed;
        let expected = format!(
            "mender_boot_part={}\nupgrade_available={}\n",
            number(world.running),
            u8::from(trial)
        );
        if run.answer.out != expected || !steps.is_empty() {
            let text = format!("printed {:?}, expected {expected:?}", run.answer);
            self.seen.failed.push(text);
        }
        if !trial && let Some(started) = self.started(&world.disks, true) {
            let only = [truth.committed; 2];
            self.consistent(world, truth, &started, only, "a stray flag");
        }
    }

    fn started(&mut self, disks: &[Disk; 3], flag: bool) -> Option<Started> {
        let started = start(disks, flag);
        started
            .map_err(|reason| self.seen.no_start.push(reason))
            .ok()
    }

    /// Goes through what a tool did, with the power failing in each interval between two flushes.
    fn through(
        &mut self,
        world: &World,
        (after, run, steps): Ran,
        truths: [Truth; 2],
        event: Event,
    ) -> Option<World> {
        let mut drivers = self.drivers(world);
        let mut during = World {
            roots: after.roots,
            ..world.clone()
        };
        let mut submitted = [0; 3];
        for (at, op) in &steps {
            let driver = &mut drivers[*at];
            match op {
                Op::SyncAll => submitted[*at] = driver.pending.len(),
                Op::Flush if submitted[*at] == driver.pending.len() => {
                    self.cuts(&during, &drivers, truths, event);
                    drivers[*at].flush();
                    submitted[*at] = 0;
                }
                Op::Flush => {}
                Op::Flag(value) => {
                    self.cuts(&during, &drivers, truths, event);
                    during.flag = *value;
                }
                other => apply(driver, other),
            }
            if self.is_enough() {
                return None;
            }
        }
        self.cuts(&during, &drivers, truths, event);
        if run.answer.status != Some(0) {
            let text = format!("{event:?}: {:?}", run.answer);
            self.seen.failed.push(text);
            return None;
        }
        let world = World {
            disks: drivers.map(|driver| driver.now),
            flag: during.flag,
            ..after
        };
        self.at_rest(&world, truths[1], event, &run.answer)?;
        Some(world)
    }

    /// What a device starts after an event that ended well.
    fn at_rest(&mut self, world: &World, truth: Truth, event: Event, said: &Answer) -> Option<()> {
        let started = self.started(&world.disks, false)?;
        let only = [truth.committed; 2];
        self.consistent(world, truth, &started, only, "afterwards");
        let started = self.started(&world.disks, world.flag)?;
        let waits = truth.pending && world.running == truth.committed;
        if waits != world.flag {
            let text = format!("{event:?}: the flag is {}: {said:?}", world.flag);
            self.seen.failed.push(text);
        }
        let wanted = match waits {
            true => truth.committed.other(),
            false => truth.committed,
        };
        self.consistent(world, truth, &started, [wanted; 2], "as it was asked to");
        let root = world.roots[world.running as usize];
        let is_own = world.running == truth.committed && !waits;
        let is_kernel = [Event::Kernel, Event::KernelUnheard].contains(&event);
        let newest = content("kernel", root.release, root.kernel);
        if is_kernel && is_own && started.kernel != newest {
            let text = "the new kernel is not what starts next".to_owned();
            self.seen.failed.push(text);
        }
        Some(())
    }

    /// All that the medium may have if the power fails now. Where more than one partition has
    /// writes on the way, those of one are combined with none and with all of the others.
    fn cuts(&mut self, world: &World, drivers: &[Driver; 3], truths: [Truth; 2], event: Event) {
        let active: Vec<usize> = (0..3)
            .filter(|at| !drivers[*at].pending.is_empty())
            .collect();
        let all_of_others: &[bool] = match active.len() {
            0 | 1 => &[false],
            _ => &[false, true],
        };
        // Without any write there is one state.
        let active = if active.is_empty() { vec![0] } else { active };
        self.seen.intervals += 1;
        let mut distinct = BTreeSet::new();
        let mut exhaustive = true;
        for (at, all) in active
            .iter()
            .flat_map(|at| all_of_others.iter().map(move |all| (*at, *all)))
        {
            let choices = choices(&drivers[at]);
            let (picks, is_all) = combinations(&drivers[at], &choices);
            exhaustive &= is_all && active.len() == 1;
            for pick in picks {
                let mut disks = drivers.each_ref().map(|driver| match all {
                    true => driver.now.clone(),
                    false => driver.durable.clone(),
                });
                disks[at] = drivers[at].durable.clone();
                for ((sector, versions), version) in choices.iter().zip(pick) {
                    if version > 0 {
                        disks[at].put(*sector, versions[version - 1].clone());
                    }
                }
                self.seen.cuts += 1;
                let world = World {
                    disks,
                    ..world.clone()
                };
                let key = hash((world.key(), truths, event));
                if !distinct.insert(key) || !self.checked.insert(key) {
                    continue;
                }
                self.after(&world, truths, distinct.len(), event);
                if self.is_enough() {
                    return;
                }
            }
        }
        self.seen.exhaustive += usize::from(exhaustive);
    }

    /// A state after a power cut: what starts from it, before and after the tools and `fsck`.
    fn after(&mut self, world: &World, truths: [Truth; 2], number: usize, event: Event) {
        self.seen.distinct += 1;
        let committed = truths.map(|truth| truth.committed);
        // A reset keeps the flag, a power cut does not. Before an installation nothing waits, so
        // that even a flag that somebody else sets starts something whole meanwhile.
        let stray = event == Event::Install;
        for flag in BTreeSet::from([false, world.flag, stray]) {
            let before = self.seen.problems();
            let Some(started) = self.started(&world.disks, flag) else {
                return;
            };
            let mut allowed = committed;
            if flag && truths[0].pending {
                allowed[1] = committed[0].other();
            }
            let at = slot_of(&started).filter(|slot| allowed.contains(slot));
            let at = at.unwrap_or(committed[0]);
            // Of the two truths, that of the slot that starts.
            let truth = match truths[0].committed == at {
                true => truths[0],
                false => truths[1],
            };
            self.consistent(world, truth, &started, allowed, "after a cut");
            if self.seen.problems() > before || number > self.limits.distinct {
                continue;
            }
            self.goes_on(world, truths, &started, event);
        }
    }

    /// The device starts, and the unit of each boot mends what there is to mend.
    fn goes_on(&mut self, world: &World, truths: [Truth; 2], started: &Started, event: Event) {
        let Some(running) = slot_of(started) else {
            return;
        };
        let mut world = World {
            flag: false,
            state: None,
            running,
            ..world.clone()
        };
        self.check(&mut world);
        let ran = self.run(&world, "fw_setenv", &["--finish-boot"], "");
        if ran.1.answer.status != Some(0) {
            let text = format!("{event:?}, the next boot: {:?}", ran.1.answer);
            self.seen.failed.push(text);
            return;
        }
        let world = self.plain(&world, ran);
        // What autoboot.txt says is what is committed.
        let Some(next) = self.started(&world.disks, false) else {
            return;
        };
        let truth = match slot_of(&next) {
            Some(slot) if slot == truths[1].committed => truths[1],
            _ => truths[0],
        };
        let only = [truth.committed; 2];
        self.consistent(&world, truth, &next, only, "the second start");
        self.answers(&world, truth);
    }

    /// `fsck.vfat -a`, which runs on the boot partition of the slot that starts.
    fn check(&mut self, world: &mut World) {
        if self.limits.fsck {
            self.seen.repaired += 1;
            let at = world.running as usize + 1;
            world.disks[at] = self.fsck.run(&world.disks[at]);
        }
    }

    /// Whether what was started is one of the slots, whole and of one version, with the firmware of
    /// a release and all settings of the device.
    fn consistent(
        &mut self,
        world: &World,
        truth: Truth,
        started: &Started,
        allowed: [Slot; 2],
        when: &str,
    ) {
        let Some(slot) = slot_of(started) else {
            let text = format!(
                "{when}: partition {} {} starts {:?}",
                started.partition, started.prefix, started.cmdline
            );
            return self.seen.no_start.push(text);
        };
        if !allowed.contains(&slot) {
            let text = format!("{when}: slot {slot:?} starts, {allowed:?} should");
            return self.seen.uncommitted.push(text);
        }
        let root = world.roots[slot as usize];
        let is = |bytes: Option<&Vec<u8>>, what: &str, kernel: u8| {
            bytes.is_some_and(|bytes| *bytes == content(what, root.release, kernel))
        };
        let whole = (0..=root.kernel).any(|kernel| {
            is(Some(&started.kernel), "kernel", kernel)
                && is(started.initramfs.as_ref(), "ram disk", kernel)
                && is(Some(&started.tree), "tree", kernel)
                && started.overlays.len() == 1
                && is(Some(&started.overlays[0].1), "overlay", kernel)
        });
        let release = format!(" release={}", root.release);
        let firmware = is(started.program.as_ref(), "firmware", 0);
        if !whole || !firmware || !started.cmdline.contains(&release) {
            let text = format!("{when}: {} has no whole set of {root:?}", started.prefix);
            return self.seen.no_start.push(text);
        }
        let disk = &world.disks[slot as usize + 1];
        let config = disk.read("config.txt").unwrap_or_default();
        let config = String::from_utf8_lossy(&config).into_owned();
        let due = words(truth.words[slot as usize]);
        let own = disk.read("cmdline.txt").unwrap_or_default();
        let kept = config == settings(&started.prefix)
            && own == due.as_bytes()
            && started.cmdline.contains("console=tty1 rootwait")
            && disk.read(EXTRA.0).as_deref() == Some(EXTRA.1);
        if !kept {
            let text = format!("{when}: settings of the device are lost: {config:?} {own:?}");
            self.seen.lost.push(text);
        }
    }
}

fn is_possible(world: &World, truth: Truth, event: Event) -> bool {
    let trial = world.running != truth.committed;
    let rests = world.state.is_none();
    match event {
        Event::Install => !trial && !truth.pending && rests,
        Event::Restart | Event::PowerLoss => true,
        Event::Commit => trial && truth.pending && rests,
        Event::RollBack => truth.pending,
        Event::Return => !trial && truth.can_return && rests,
        Event::Kernel | Event::KernelUnheard => {
            world.roots[world.running as usize].kernel < 1 && (!trial || (truth.pending && rests))
        }
        Event::Words => !truth.words[world.running as usize],
    }
}
