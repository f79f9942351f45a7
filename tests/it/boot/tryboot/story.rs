//! Every order of events, with the power failing between any two writes, and the writes arriving in
//! any order that the medium may choose.

use super::device::{Device, Root, Run, World, content};
use super::firmware::{self, Board, PI4, Started};
use super::judge::{settings, slot_of, words};
use crate::boot::medium::choices::{choices, combinations};
use crate::boot::medium::driver::Driver;
use crate::boot::medium::fat::Disk;
use crate::boot::medium::op::{Op, apply};
use crate::boot::medium::{Fsck, hash};
use goldsmith::boot::state::Slot;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

/// Something that happens to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Event {
    /// The update client wrote the other slot and sets the variables.
    Install,
    /// The device restarts as asked; the unit of each boot runs.
    Restart,
    Commit,
    /// The client takes back an update, before or during its trial.
    RollBack,
    /// The client goes back to the slot before the last commit.
    Return,
    /// A new kernel is installed in the running slot.
    Kernel,
    /// The same while the mailbox does not answer.
    KernelUnheard,
    /// The owner changes the words of the kernel's command line.
    Words,
    /// The power fails while nothing is written.
    PowerLoss,
}

pub(super) const EVENTS: [Event; 9] = [
    Event::Install,
    Event::Restart,
    Event::PowerLoss,
    Event::Commit,
    Event::RollBack,
    Event::Return,
    Event::Kernel,
    Event::KernelUnheard,
    Event::Words,
];

/// What must be true of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Truth {
    pub(super) committed: Slot,
    /// An update in the other slot waits for its trial, or has it.
    pending: bool,
    /// The other slot holds what was committed before.
    can_return: bool,
    /// Whether the owner changed the words.
    pub(super) words: bool,
}

/// What was looked at, and what was wrong.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Sequences of events.
    pub(super) orders: usize,
    pub(super) events: usize,
    /// Intervals between two flushes in which the power could fail.
    pub(super) intervals: usize,
    /// Those of which all combinations were looked at.
    pub(super) exhaustive: usize,
    /// States of the medium after a power cut.
    pub(super) cuts: usize,
    /// Those that differ in what can be seen of them, each started, mended and looked at again.
    pub(super) distinct: usize,
    /// Starts with a check of the boot partition.
    pub(super) repaired: usize,
    pub(super) no_start: Vec<String>,
    pub(super) uncommitted: Vec<String>,
    pub(super) lost: Vec<String>,
    /// The tools did not do what they should.
    pub(super) failed: Vec<String>,
}

impl Seen {
    /// Says in which story the last problem of each kind was seen.
    pub(super) fn name(&mut self, story: &[Event]) {
        let [starts, lost] = [&mut self.no_start, &mut self.lost];
        for list in [starts, lost, &mut self.uncommitted, &mut self.failed] {
            if let Some(last) = list.last_mut().filter(|last| !last.contains(" in [")) {
                last.push_str(&format!(" in {story:?}"));
            }
        }
    }

    pub(super) fn problems(&self) -> usize {
        self.no_start.len() + self.uncommitted.len() + self.lost.len() + self.failed.len()
    }
}

/// How much to look at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The events in a row.
    pub(super) depth: usize,
    /// The states after a cut from which the device goes on, for each interval.
    pub(super) distinct: usize,
    /// Whether the boot partition is checked at each start.
    pub(super) fsck: bool,
    /// Whether freed clusters are taken again at once.
    pub(super) reuses: bool,
    /// The problems after which it stops.
    pub(super) problems: usize,
}

pub(super) struct Stories<'d> {
    device: &'d Device,
    fsck: Fsck,
    limits: Limits,
    board: Board,
    pub(super) seen: Seen,
    runs: HashMap<u64, (World, Run)>,
    checked: HashSet<u64>,
}

impl World {
    fn key(&self) -> u64 {
        hash((
            self.disk.visible(),
            (self.flag, self.deaf, self.noted),
            &self.state,
            &self.others,
            self.running as usize,
            self.roots,
        ))
    }
}

/// A device as it is after its first start.
pub(super) fn first() -> (World, Truth) {
    let mut driver = Driver::new(Disk::format(), false);
    let truth = Truth {
        committed: Slot::A,
        pending: false,
        can_return: false,
        words: false,
    };
    driver.put("start4.elf", b"start4.elf");
    for name in ["config.txt", "tryboot.txt"] {
        driver.put(name, settings("slot-a0/").as_bytes());
    }
    driver.put("cmdline.txt", words(truth).as_bytes());
    for dir in ["slot-a0", "slot-a1", "slot-b0", "slot-b1"] {
        driver.mkdir(dir);
        driver.mkdir(&format!("{dir}/overlays"));
    }
    let world = World {
        disk: driver.now,
        flag: false,
        deaf: false,
        noted: false,
        state: None,
        others: None,
        running: Slot::A,
        roots: [Root::new(0), Root::new(0)],
    };
    (world, truth)
}

impl<'d> Stories<'d> {
    pub(super) fn new(device: &'d Device, limits: Limits) -> Self {
        Self {
            device,
            fsck: Fsck::new(),
            limits,
            board: PI4,
            seen: Seen::default(),
            runs: HashMap::new(),
            checked: HashSet::new(),
        }
    }

    fn is_enough(&self) -> bool {
        self.seen.problems() >= self.limits.problems
    }

    fn run(&mut self, world: &World, name: &str, args: &[&str], input: &str) -> (World, Run) {
        let key = hash((world.key(), name, args, input));
        if let Some(done) = self.runs.get(&key) {
            let mut after = done.0.clone();
            after.disk = world.disk.clone();
            return (after, done.1.clone());
        }
        let mut after = world.clone();
        let run = self.device.run(&mut after, name, args, input);
        self.runs.insert(key, (after.clone(), run.clone()));
        (after, run)
    }

    /// Tells all stories, breadth first; a device that was seen before is not told of again.
    pub(super) fn tell(&mut self) {
        let (world, truth) = first();
        // The boot files are written by the tool itself.
        let run = self.run(&world, "fw_setenv", &["--finish-boot"], "");
        let world = self.plain(&world, run);
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
                let Some((world, truth)) = self.happen(&world, truth, event) else {
                    continue;
                };
                if self.seen.problems() > before {
                    self.seen.name(&story);
                }
                if known.insert(hash((world.key(), truth))) {
                    queue.push_back((world, truth, story));
                }
            }
        }
    }

    /// What an event makes of a device; power cuts within it are looked at on the way.
    fn happen(&mut self, world: &World, truth: Truth, event: Event) -> Option<(World, Truth)> {
        let other = world.running.other();
        let set = |slot: Slot, upgrade: u8| {
            let number = slot as usize + 2;
            format!(
                "mender_boot_part={number}\nmender_boot_part_hex={number}\nupgrade_available={upgrade}\n"
            )
        };
        let mut world = world.clone();
        let mut now = truth;
        let (before, run) = match event {
            Event::Restart => return self.restart(&world, truth, world.flag),
            Event::PowerLoss => return self.restart(&world, truth, false),
            Event::Install => {
                let used = world.roots.map(|root| root.release);
                let release = (0..3).find(|release| !used.contains(release));
                world.roots[other as usize] = Root::new(release.unwrap());
                now.can_return = false;
                now.pending = true;
                let lines = set(other, 1) + "bootcount=0\n";
                (now, self.run(&world, "fw_setenv", &["-s", "-"], &lines))
            }
            Event::Commit => {
                now = Truth {
                    committed: world.running,
                    pending: false,
                    can_return: true,
                    ..truth
                };
                let run = self.run(&world, "fw_setenv", &["upgrade_available", "0"], "");
                (truth, run)
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
                let at = world.running as usize;
                world.roots[at].kernel += 1;
                world.roots[at].linked = false;
                world.deaf = event == Event::KernelUnheard;
                let (mut after, run) = self.run(&world, "zz-mender", &[], "");
                self.unheard(&after, &run);
                world.roots[at].linked = true;
                after.roots = world.roots;
                (world.deaf, after.deaf) = (false, false);
                (truth, (after, run))
            }
            Event::Words => {
                now.words = !truth.words;
                let mut driver = Driver::new(world.disk.clone(), self.limits.reuses);
                driver.put("cmdline.txt", words(now).as_bytes());
                world.disk = driver.now;
                return Some((world, now));
            }
        };
        let world = self.through(&world, run, [before, now], event)?;
        Some((world, now))
    }

    /// A start with or without the flag, and what the unit of each boot does.
    fn restart(&mut self, world: &World, truth: Truth, flag: bool) -> Option<(World, Truth)> {
        let started = self.start(&world.disk, flag)?;
        let world = World {
            disk: self.checked(&world.disk),
            flag: false,
            state: None,
            running: slot_of(&started)?,
            ..world.clone()
        };
        let mut now = truth;
        now.pending &= world.running != truth.committed;
        let run = self.run(&world, "fw_setenv", &["--finish-boot"], "");
        let world = self.through(&world, run, [now, now], Event::Restart)?;
        if world.noted && world.running == now.committed {
            let text = "a mailbox that answers is still said not to".to_owned();
            self.seen.failed.push(text);
        }
        self.answers(&world, now);
        if world.running == now.committed {
            let started = self.start(&world.disk, false)?;
            if !started.cmdline.contains(words(now).trim_end()) {
                let text = format!("the owner's words are not used: {}", started.cmdline);
                self.seen.lost.push(text);
            }
        }
        Some((world, now))
    }

    /// A mailbox that did not answer is named, and kept in mind, where it was needed.
    fn unheard(&mut self, after: &World, run: &Run) {
        let asked = run.answer.err.contains("does not take the flag");
        if asked != (after.deaf && after.noted) {
            let text = format!("the mailbox is not named: {:?}", run.answer);
            self.seen.failed.push(text);
        }
    }

    fn plain(&mut self, world: &World, (after, run): (World, Run)) -> World {
        assert_eq!(run.answer.status, Some(0), "{:?}", run.answer);
        let mut driver = Driver::new(world.disk.clone(), self.limits.reuses);
        for op in &run.ops {
            apply(&mut driver, op);
        }
        World {
            disk: driver.now,
            ..after
        }
    }

    /// What the tool prints, and what a flag that somebody else sets would start.
    fn answers(&mut self, world: &World, truth: Truth) {
        let (_, run) = self.run(
            world,
            "fw_printenv",
            &["mender_boot_part", "upgrade_available"],
            "",
        );
        let trial = world.running != truth.committed;
        let expected = format!(
            "mender_boot_part={}\nupgrade_available={}\n",
            world.running as usize + 2,
            u8::from(trial)
        );
        if run.answer.out != expected {
            let text = format!("printed {:?}, expected {expected:?}", run.answer);
            self.seen.failed.push(text);
        }
        if !trial && let Some(started) = self.start(&world.disk, true) {
            self.consistent(world, truth, &started, [truth.committed; 2], "a stray flag");
        }
    }

    fn start(&mut self, disk: &Disk, flag: bool) -> Option<Started> {
        let mut flag = flag;
        match firmware::start(&self.board, &[Some(disk)], &mut flag) {
            Ok(started) => Some(started),
            Err(reason) => {
                self.seen.no_start.push(reason);
                None
            }
        }
    }

    /// Goes through what a tool did, with the power failing in each interval between two flushes.
    fn through(
        &mut self,
        world: &World,
        (after, run): (World, Run),
        truths: [Truth; 2],
        event: Event,
    ) -> Option<World> {
        let mut driver = Driver::new(world.disk.clone(), self.limits.reuses);
        let mut flag = world.flag;
        let mut submitted = 0;
        // What the tool has written for the system that runs is true of all states after it.
        let during = World {
            roots: after.roots,
            ..world.clone()
        };
        for op in &run.ops {
            match op {
                Op::SyncAll => submitted = driver.pending.len(),
                Op::Flush if submitted == driver.pending.len() => {
                    self.cuts(&during, &driver, truths, flag, event);
                    driver.flush();
                    submitted = 0;
                }
                Op::Flush => {}
                Op::Flag(value) => {
                    self.cuts(&during, &driver, truths, flag, event);
                    flag = *value;
                }
                other => apply(&mut driver, other),
            }
            if self.is_enough() {
                return None;
            }
        }
        self.cuts(&during, &driver, truths, flag, event);
        if run.answer.status != Some(0) {
            let text = format!("{event:?}: {:?}", run.answer);
            self.seen.failed.push(text);
            return None;
        }
        let world = World {
            disk: driver.now,
            flag,
            ..after
        };
        self.at_rest(&world, truths[1], event)?;
        Some(world)
    }

    /// What a device starts after an event that ended well.
    fn at_rest(&mut self, world: &World, truth: Truth, event: Event) -> Option<()> {
        let started = self.start(&world.disk, false)?;
        self.consistent(world, truth, &started, [truth.committed; 2], "afterwards");
        let started = self.start(&world.disk, world.flag)?;
        let waits = truth.pending && world.running == truth.committed;
        let wanted = if waits {
            truth.committed.other()
        } else {
            truth.committed
        };
        if waits != world.flag {
            let text = format!("{event:?}: the flag is {}", world.flag);
            self.seen.failed.push(text);
        }
        self.consistent(world, truth, &started, [wanted; 2], "as it was asked to");
        let root = world.roots[world.running as usize];
        let newest = content("kernel", root.release, root.kernel);
        let is_own = world.running == truth.committed && !waits;
        let is_kernel = [Event::Kernel, Event::KernelUnheard].contains(&event);
        if is_kernel && is_own && started.kernel != newest {
            let text = "the new kernel is not what starts next".to_owned();
            self.seen.failed.push(text);
        }
        Some(())
    }

    /// All that the medium may have if the power fails now.
    fn cuts(
        &mut self,
        world: &World,
        driver: &Driver,
        truths: [Truth; 2],
        flag: bool,
        event: Event,
    ) {
        self.seen.intervals += 1;
        let choices = choices(driver);
        let (picks, is_all) = combinations(driver, &choices);
        self.seen.exhaustive += usize::from(is_all);
        let mut distinct = BTreeSet::new();
        for pick in picks {
            let mut disk = driver.durable.clone();
            for ((sector, versions), version) in choices.iter().zip(pick) {
                if version > 0 {
                    disk.put(*sector, versions[version - 1].clone());
                }
            }
            self.seen.cuts += 1;
            let key = disk.visible();
            let context = hash((world.key(), key, truths, flag, event));
            if !distinct.insert(key) || !self.checked.insert(context) {
                continue;
            }
            self.after(world, &disk, truths, flag, distinct.len(), event);
            if self.is_enough() {
                return;
            }
        }
    }

    /// A state after a power cut: what starts from it, before and after the tools and `fsck`.
    fn after(
        &mut self,
        world: &World,
        disk: &Disk,
        truths: [Truth; 2],
        flag: bool,
        number: usize,
        event: Event,
    ) {
        self.seen.distinct += 1;
        let committed = truths.map(|truth| truth.committed);
        // A reset keeps the flag, a power cut does not.
        for flag in BTreeSet::from([false, flag]) {
            let before = self.seen.problems();
            let Some(started) = self.start(disk, flag) else {
                return;
            };
            let mut allowed = committed;
            if flag && truths[0].pending {
                allowed[1] = committed[0].other();
            }
            let world = World {
                disk: disk.clone(),
                ..world.clone()
            };
            self.consistent(&world, truths[1], &started, allowed, "after a cut");
            if self.seen.problems() > before || number > self.limits.distinct {
                continue;
            }
            self.goes_on(&world, truths, &started, event);
        }
    }

    /// The device starts, and the unit of each boot mends what there is to mend.
    fn goes_on(&mut self, world: &World, truths: [Truth; 2], started: &Started, event: Event) {
        let Some(running) = slot_of(started) else {
            return;
        };
        let world = World {
            disk: self.checked(&world.disk),
            flag: false,
            state: None,
            running,
            ..world.clone()
        };
        let (after, run) = self.run(&world, "fw_setenv", &["--finish-boot"], "");
        let mut driver = Driver::new(world.disk.clone(), self.limits.reuses);
        for op in &run.ops {
            apply(&mut driver, op);
        }
        if run.answer.status != Some(0) {
            let text = format!("{event:?}, the next boot: {:?}", run.answer);
            self.seen.failed.push(text);
            return;
        }
        let world = World {
            disk: driver.now,
            ..after
        };
        // What config.txt says is what is committed.
        let Some(next) = self.start(&world.disk, false) else {
            return;
        };
        let truth = match slot_of(&next) {
            Some(slot) if slot == truths[1].committed => truths[1],
            _ => truths[0],
        };
        self.consistent(
            &world,
            truth,
            &next,
            [truth.committed; 2],
            "the second start",
        );
        self.answers(&world, truth);
    }

    /// What `fsck.vfat -a`, which runs at each start, makes of a medium.
    fn checked(&mut self, disk: &Disk) -> Disk {
        if !self.limits.fsck {
            return disk.clone();
        }
        self.seen.repaired += 1;
        self.fsck.run(disk)
    }
}

fn is_possible(world: &World, truth: Truth, event: Event) -> bool {
    let trial = world.running != truth.committed;
    match event {
        Event::Install => !trial && !truth.pending && world.state.is_none(),
        Event::Restart | Event::PowerLoss => true,
        Event::Commit => trial && truth.pending && world.state.is_none(),
        Event::RollBack => truth.pending,
        Event::Return => !trial && truth.can_return && world.state.is_none(),
        Event::Kernel | Event::KernelUnheard => {
            world.roots[world.running as usize].kernel < 1
                && (!trial || (truth.pending && world.state.is_none()))
        }
        Event::Words => !truth.words,
    }
}
