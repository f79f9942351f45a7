//! Every order of events, with the power failing between any two writes, and the writes arriving in
//! any order that the medium may choose.

use super::device::{Call, Device, Run};
use crate::boot::env_tools::number;
use crate::boot::medium::choices::{choices, combinations};
use crate::boot::medium::driver::Driver;
use crate::boot::medium::fat::Disk;
use crate::boot::medium::op::{Op, apply};
use crate::boot::medium::{Fsck, hash};
use goldsmith::boot::state::{Cut, Slot};
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

/// Something that happens to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Event {
    /// The update client wrote the other slot and sets the variables.
    Install,
    /// The device restarts; the unit of each boot runs.
    Restart,
    /// The power fails while the loader writes.
    PowerLoss,
    Commit,
    /// The client takes back an update, before or during its trial.
    RollBack,
    /// The client goes back to the slot before the last commit.
    Return,
    /// The owner sets a variable.
    Own,
}

const EVENTS: [Event; 7] = [
    Event::Install,
    Event::Restart,
    Event::PowerLoss,
    Event::Commit,
    Event::RollBack,
    Event::Return,
    Event::Own,
];

/// What became of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Update {
    None,
    /// It waits for its trial.
    Waits,
    /// It has its trial.
    Runs,
}

/// What must be true of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Truth {
    committed: Slot,
    update: Update,
    /// The other slot holds what was committed before.
    can_return: bool,
    /// The value of the owner's variable.
    owned: u8,
}

/// What was looked at, and what was wrong.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Sequences of events.
    pub(super) orders: usize,
    /// Intervals between two flushes in which the power could fail.
    pub(super) intervals: usize,
    /// Those of which all combinations were looked at.
    pub(super) exhaustive: usize,
    /// States of the medium after a power cut.
    pub(super) cuts: usize,
    /// Those that differ in what can be seen of them.
    pub(super) distinct: usize,
    /// Starts with a check of the partition.
    pub(super) repaired: usize,
    pub(super) no_start: Vec<String>,
    pub(super) uncommitted: Vec<String>,
    pub(super) lost: Vec<String>,
    /// The tools did not do what they should.
    pub(super) failed: Vec<String>,
}

impl Seen {
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
    /// The problems after which it stops.
    pub(super) problems: usize,
}

/// A device at one time.
#[derive(Clone, Debug)]
struct World {
    disk: Disk,
    running: Slot,
}

pub(super) struct Stories<'d> {
    device: &'d Device,
    fsck: Fsck,
    limits: Limits,
    pub(super) seen: Seen,
    runs: HashMap<u64, Run>,
    checked: HashSet<u64>,
}

/// The value of the owner's variable, longer than a sector.
pub(super) fn owned_value(number: u8) -> String {
    match number {
        0 => String::new(),
        number => format!("{number}-").repeat(300),
    }
}

/// The lines by which the client sets slot and update.
pub(super) fn lines(slot: Slot, upgrade: bool) -> String {
    let part = number(slot);
    let upgrade = u8::from(upgrade);
    format!("mender_boot_part={part}\nmender_boot_part_hex={part}\nupgrade_available={upgrade}\n")
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

    /// Tells all stories, breadth first; a device that was seen before is not told of again.
    pub(super) fn tell(&mut self) {
        let truth = Truth {
            committed: Slot::A,
            update: Update::None,
            can_return: false,
            owned: 0,
        };
        let world = World {
            disk: self.device.loader.factory(),
            running: Slot::A,
        };
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
                let Some((world, truth)) = self.happen(&world, truth, event) else {
                    self.name_story(&story);
                    continue;
                };
                self.name_story(&story);
                let key = (world.disk.visible(), world.running as usize, truth);
                if known.insert(hash(key)) {
                    queue.push_back((world, truth, story));
                }
            }
        }
    }

    /// Adds to the last problem in which story it was.
    fn name_story(&mut self, story: &[Event]) {
        let seen = &mut self.seen;
        for list in [
            &mut seen.no_start,
            &mut seen.uncommitted,
            &mut seen.lost,
            &mut seen.failed,
        ] {
            if let Some(last) = list.last_mut().filter(|last| !last.contains(" in [")) {
                last.push_str(&format!(" in {story:?}"));
            }
        }
    }

    /// What an event makes of a device; power cuts within it are looked at on the way. `None` after
    /// a problem.
    fn happen(&mut self, world: &World, truth: Truth, event: Event) -> Option<(World, Truth)> {
        let mut now = truth;
        let lines = match event {
            Event::Restart => return self.restart(world, truth),
            Event::PowerLoss => return self.cut_loader(world, truth),
            Event::Install => {
                now.update = Update::Waits;
                now.can_return = false;
                lines(world.running.other(), true) + "bootcount=0\n"
            }
            Event::Commit => {
                now.update = Update::None;
                now.committed = world.running;
                now.can_return = true;
                "upgrade_available=0\n".to_owned()
            }
            Event::RollBack => {
                now.update = Update::None;
                lines(truth.committed, false)
            }
            Event::Return => {
                now.committed = truth.committed.other();
                lines(now.committed, false)
            }
            Event::Own => {
                now.owned += 1;
                let name = self.device.loader.owned();
                format!("{name}={}\n", owned_value(now.owned))
            }
        };
        let world = self.through(world, [truth, now], &Call::Set(lines), true)?;
        self.answers(&world, now)?;
        Some((world, now))
    }

    /// A start, and what the unit of each boot does.
    fn restart(&mut self, world: &World, truth: Truth) -> Option<(World, Truth)> {
        let (started, disk) = self.device.loader.start(&world.disk, None);
        let mut now = truth;
        let expected = match truth.update {
            Update::Waits => {
                now.update = Update::Runs;
                truth.committed.other()
            }
            _ => {
                now.update = Update::None;
                truth.committed
            }
        };
        if started != Some(expected) {
            self.fault_of_start(truth, started, &format!("{expected:?} should start"));
            return None;
        }
        let world = World {
            disk: self.checked(&disk),
            running: expected,
        };
        let world = self.through(&world, [now, now], &Call::FinishBoot, true)?;
        self.answers(&world, now)?;
        Some((world, now))
    }

    /// The power fails at each write of the loader, in each way; then the device starts.
    fn cut_loader(&mut self, world: &World, truth: Truth) -> Option<(World, Truth)> {
        for at in 0..self.device.loader.writes(&world.disk) {
            // A loader keeps the length of each line: no block comes of it without its values.
            for cut in [Cut::Before, Cut::Missing, Cut::After] {
                let (_, disk) = self.device.loader.start(&world.disk, Some((at, cut)));
                self.seen.cuts += 1;
                self.goes_on(&disk, [truth; 2], "the loader was cut", true)?;
            }
        }
        self.restart(world, truth)
    }

    fn fault_of_start(&mut self, truth: Truth, started: Option<Slot>, why: &str) {
        let text = format!("{started:?} starts: {why}; {truth:?}");
        match started {
            None => self.seen.no_start.push(text),
            Some(slot) if slot != truth.committed => self.seen.uncommitted.push(text),
            Some(_) => self.seen.failed.push(text),
        }
    }

    /// What the tool prints, while nothing is wrong.
    fn answers(&mut self, world: &World, truth: Truth) -> Option<()> {
        let name = self.device.loader.owned();
        let names = vec!["mender_boot_part", "upgrade_available", name];
        let run = self.run(world, &Call::Print(names));
        let (part, upgrade) = match truth.update {
            Update::None => (truth.committed, 0),
            _ => (truth.committed.other(), 1),
        };
        let expected = format!(
            "mender_boot_part={}\nupgrade_available={upgrade}\n{name}={}\n",
            number(part),
            owned_value(truth.owned)
        );
        if run.answer.out == expected {
            return Some(());
        }
        let text = format!("printed {:?}, expected {expected:?}", run.answer);
        let known = |list: &str| {
            expected
                .lines()
                .nth(2)
                .is_some_and(|line| list.contains(line))
        };
        match known(&run.answer.out) {
            false if run.answer.status == Some(0) => self.seen.lost.push(text),
            _ => self.seen.failed.push(text),
        }
        None
    }

    fn run(&mut self, world: &World, call: &Call) -> Run {
        let key = hash((world.disk.visible(), world.running as usize, call));
        if let Some(run) = self.runs.get(&key) {
            return run.clone();
        }
        let run = self.device.run(&world.disk, world.running, call);
        self.runs.insert(key, run.clone());
        run
    }

    /// Runs a tool, with the power failing in each interval between two flushes, and after it.
    fn through(
        &mut self,
        world: &World,
        truths: [Truth; 2],
        call: &Call,
        cuts: bool,
    ) -> Option<World> {
        let run = self.run(world, call);
        let mut driver = Driver::new(world.disk.clone(), true);
        let mut submitted = 0;
        for op in &run.ops {
            match op {
                Op::SyncAll => submitted = driver.pending.len(),
                Op::Flush if submitted == driver.pending.len() => {
                    if cuts {
                        self.cuts(&driver, truths, call)?;
                    }
                    driver.flush();
                    submitted = 0;
                }
                Op::Flush => {}
                other => apply(&mut driver, other),
            }
        }
        if run.answer.status != Some(0) {
            let text = format!("{call:?}: {:?}", run.answer);
            self.seen.failed.push(text);
            return None;
        }
        // Whoever called it goes by what it said.
        if cuts {
            self.cuts(&driver, [truths[1]; 2], call)?;
        }
        Some(World {
            disk: driver.now,
            ..world.clone()
        })
    }

    /// All that the medium may have if the power fails now.
    fn cuts(&mut self, driver: &Driver, truths: [Truth; 2], call: &Call) -> Option<()> {
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
            if !distinct.insert(key) || !self.checked.insert(hash((key, truths, call))) {
                continue;
            }
            self.seen.distinct += 1;
            let goes_on = distinct.len() <= self.limits.distinct;
            self.goes_on(&disk, truths, "after a cut", goes_on)?;
        }
        Some(())
    }

    /// A state after a power cut: what starts from it, and with `all`, what the unit of each boot
    /// and the start after it make of it.
    fn goes_on(&mut self, disk: &Disk, truths: [Truth; 2], when: &str, all: bool) -> Option<()> {
        let loader = self.device.loader;
        let (own, bytes) = loader.own();
        if disk.read(own) != Some(bytes) || loader.read(disk).believed().is_none() {
            let text = format!("{when}: no good copy, or no loader; {truths:?}");
            self.seen.no_start.push(text);
            return None;
        }
        let (started, after) = loader.start(disk, None);
        let trial = |disk: &Disk| loader.read(disk).believed().is_some_and(|all| all.upgrade);
        let is_trial = trial(&after);
        let fits = |truth: &&Truth| match started {
            // Also where the loader could not write that it does: the system does that.
            Some(slot) if slot == truth.committed => true,
            Some(_) => truth.update == Update::Waits && is_trial,
            None => false,
        };
        let Some(truth) = truths.iter().find(fits).copied() else {
            self.fault_of_start(truths[1], started, &format!("{when}, trial: {is_trial}"));
            return None;
        };
        let owned = loader.variables(&after).remove(loader.owned());
        let owned = owned.unwrap_or_default();
        if !truths.iter().any(|truth| owned == owned_value(truth.owned)) {
            let text = format!("{when}: the owner's variable is {owned:?}; {truths:?}");
            self.seen.lost.push(text);
            return None;
        }
        if !all {
            return Some(());
        }
        let slot = started?;
        let world = World {
            disk: self.checked(&after),
            running: slot,
        };
        let update = match slot == truth.committed {
            true => Update::None,
            false => Update::Runs,
        };
        let now = Truth { update, ..truth };
        let world = self.through(&world, [now; 2], &Call::FinishBoot, false)?;
        if !loader.read(&world.disk).is_intact() {
            let text = format!("{when}: a copy stays damaged");
            self.seen.failed.push(text);
            return None;
        }
        // The start after it: what was not committed is gone, all else stays.
        let (second, _) = loader.start(&world.disk, None);
        if second != Some(truth.committed) {
            self.fault_of_start(truth, second, &format!("{when}, at the second start"));
            return None;
        }
        Some(())
    }

    /// What `fsck.vfat -a` makes of a medium.
    fn checked(&mut self, disk: &Disk) -> Disk {
        if !self.limits.fsck {
            return disk.clone();
        }
        self.seen.repaired += 1;
        self.fsck.run(disk)
    }
}

fn is_possible(world: &World, truth: Truth, event: Event) -> bool {
    let rests = truth.update == Update::None && world.running == truth.committed;
    match event {
        Event::Install => rests,
        Event::Restart | Event::PowerLoss => true,
        Event::Commit => truth.update == Update::Runs,
        Event::RollBack => truth.update != Update::None,
        Event::Return => rests && truth.can_return,
        Event::Own => truth.owned < 2,
    }
}
