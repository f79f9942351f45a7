//! The life of a device from this image on, in the model of the state machine: updates to either
//! slot, good ones and bad ones, committed or not, with the power failing at any one write. What
//! the image brings is where the walk begins.

use super::super::finding::{Location, Log};
use crate::boot::state::{Cut, Environment, Power, Slot, Values};
use std::fmt::Debug;

/// What an update turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UpdateKind {
    /// It starts.
    Good,
    /// Its kernel does not load.
    NoKernel,
    /// Its kernel loads, its system never comes up.
    NoSystem,
}

/// What the client was told to do, and told back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientState {
    Nothing,
    CommitBegun,
    Committed,
    RolledBack,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Install,
    Start,
    Commit,
    RollBack,
}

/// One device in one course of events.
#[derive(Clone, Debug)]
struct Device<E> {
    medium: E,
    new: Slot,
    update: UpdateKind,
    /// Whether the slot that runs before the update has a kernel.
    old_loads: bool,
    client: ClientState,
    trials: u32,
    fixed: Option<Slot>,
    /// The power may fail once more.
    fault: bool,
}

/// What all walks came to.
#[derive(Debug, Default)]
pub(super) struct SimulationOutcome {
    /// How many courses of events ended.
    pub(super) runs: u64,
    /// The first that broke a promise, and how many did.
    pub(super) violation: Option<String>,
    pub(super) violations: u64,
}

/// Walks from the image's own environment; `loads` says whether slot A and B hold a kernel now, and
/// `committed` makes the environment that has said these values for long.
pub(super) fn simulate<E: Environment + Clone + Debug>(
    mut medium: E,
    loads: [bool; 2],
    committed: fn(Values) -> E,
) -> SimulationOutcome {
    let mut outcome = SimulationOutcome::default();
    // A first start, as on every fresh device.
    let started = medium.boot(|slot| loads[usize::from(slot == Slot::B)]);
    let Ok(Some(first)) = started else {
        outcome.record_violation(|| "on the first start neither slot starts".into());
        return outcome;
    };
    let _ = medium.finish(first);
    if medium.believed() != Some(Values::committed(first)) {
        outcome.record_violation(|| {
            format!(
                "after the first start the environment is {:?}",
                medium.believed()
            )
        });
        return outcome;
    }
    for (running, medium) in [
        (first, medium.clone()),
        (first.other(), committed(Values::committed(first.other()))),
    ] {
        updates(running, &medium, &mut outcome);
    }
    outcome
}

/// Every kind of update of a device that runs `running`.
fn updates<E: Environment + Clone + Debug>(
    running: Slot,
    medium: &E,
    outcome: &mut SimulationOutcome,
) {
    use Step::{Commit, Install, RollBack, Start};
    let stories: [(UpdateKind, &[Step]); 6] = [
        (UpdateKind::Good, &[Install, Start, Commit, Start, Start]),
        (UpdateKind::Good, &[Install, Start, Start, Start]),
        (UpdateKind::Good, &[Install, Start, RollBack, Start, Start]),
        (UpdateKind::Good, &[Install, RollBack, Start, Start]),
        (UpdateKind::NoKernel, &[Install, Start, Start, Start]),
        (UpdateKind::NoSystem, &[Install, Start, Start, Start]),
    ];
    for (update, steps) in stories {
        let mut medium = medium.clone();
        *medium.power() = Power::default();
        let device = Device {
            medium,
            new: running.other(),
            update,
            old_loads: true,
            client: ClientState::Nothing,
            trials: 0,
            fixed: None,
            fault: true,
        };
        play(&device, steps, outcome);
    }
}

/// Tells the rest of a story (at most six steps), and again with the power failing at each write of
/// each step.
fn play<E: Environment + Clone + Debug>(
    device: &Device<E>,
    steps: &[Step],
    outcome: &mut SimulationOutcome,
) {
    let Some((step, rest)) = steps.split_first() else {
        outcome.runs += 1;
        let rests = device
            .medium
            .believed()
            .is_some_and(|values| !values.upgrade)
            && device.medium.is_intact();
        if !rests {
            outcome.record_violation(|| {
                format!("an update stays pending or a copy damaged: {device:?}")
            });
        }
        return;
    };
    let mut calm = device.clone();
    *calm.medium.power() = Power::default();
    calm.step(*step, outcome);
    let writes = calm.medium.power().writes;
    play(&calm, rest, outcome);
    for at in 0..if device.fault { writes } else { 0 } {
        for cut in Cut::ALL {
            let mut cut_short = Device {
                fault: false,
                ..device.clone()
            };
            cut_short.medium.power().fails_after = Some((at, cut));
            cut_short.step(*step, outcome);
            cut_short.medium.power().fails_after = None;
            play(
                &cut_short,
                &[Step::Start, Step::Start, Step::Start],
                outcome,
            );
        }
    }
}

impl<E: Environment + Debug> Device<E> {
    fn step(&mut self, step: Step, outcome: &mut SimulationOutcome) {
        match step {
            Step::Install => drop(self.medium.set(Values::pending(self.new))),
            Step::Commit => {
                self.client = ClientState::CommitBegun;
                if self.medium.set(Values {
                    part: self.new,
                    upgrade: false,
                    count: true,
                }) == Ok(true)
                {
                    self.client = ClientState::Committed;
                }
            }
            Step::RollBack => {
                if self.medium.set(Values {
                    part: self.new.other(),
                    upgrade: false,
                    count: true,
                }) == Ok(true)
                {
                    self.client = ClientState::RolledBack;
                }
            }
            Step::Start => self.start(outcome),
        }
    }

    fn start(&mut self, outcome: &mut SimulationOutcome) {
        let (new, update, old_loads) = (self.new, self.update, self.old_loads);
        let Ok(started) = self.medium.boot(|slot| {
            if slot == new {
                update != UpdateKind::NoKernel
            } else {
                old_loads
            }
        }) else {
            return;
        };
        let Some(slot) = started else {
            return outcome.record_violation(|| format!("nothing starts: {self:?}"));
        };
        let is_new = slot == self.new;
        self.trials += u32::from(is_new && self.client == ClientState::Nothing);
        let fine = match self.client {
            ClientState::Nothing => !is_new || self.trials == 1,
            ClientState::CommitBegun => *self.fixed.get_or_insert(slot) == slot,
            ClientState::Committed => is_new,
            ClientState::RolledBack => !is_new,
        };
        if !fine {
            outcome.record_violation(|| format!("slot {slot:?} starts: {self:?}"));
        }
        // A system that does not come up repairs nothing.
        if !is_new || self.update == UpdateKind::Good {
            let _ = self.medium.finish(slot);
        }
    }
}

impl SimulationOutcome {
    /// Says what was found, at the place of the environment.
    pub(super) fn report(self, place: Location, log: &mut Log) {
        log.passed(self.runs);
        log.check(self.violation.is_none(), "boot-state", || {
            let first = self.violation.clone().unwrap_or_default();
            (
                place,
                format!(
                    "{} courses of events break a promise, first: {first}",
                    self.violations
                ),
            )
        });
    }

    fn record_violation(&mut self, what: impl FnOnce() -> String) {
        self.violations += 1;
        self.violation.get_or_insert_with(what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::state::{Block, BlockPair, EnvCopy};
    use crate::boot::state::{SerialCopy, SerialPair};

    fn blocks(values: Values) -> BlockPair {
        BlockPair::new([EnvCopy::clean(values); 2])
    }

    fn serials(values: Values) -> SerialPair {
        SerialPair::new([0, 1].map(|serial| Some(SerialCopy::good(serial, values))))
    }

    #[test]
    fn from_a_fresh_image_no_promise_is_broken() {
        let outcome = simulate(blocks(Values::committed(Slot::A)), [true, true], blocks);
        assert_eq!((outcome.violations, outcome.violation), (0, None));
        assert!(outcome.runs > 500, "{} runs", outcome.runs);
        let outcome = simulate(serials(Values::committed(Slot::A)), [true, true], serials);
        assert_eq!((outcome.violations, outcome.violation), (0, None));
        assert!(outcome.runs > 100, "{} runs", outcome.runs);
        assert_eq!(
            simulate(SerialPair::new([None; 2]), [true, true], serials).violation,
            None
        );
        // Nor from one whose slot B is empty, or one of whose copies is damaged.
        let torn = EnvCopy {
            lock: Block::Missing,
            env: Block::Missing,
        };
        for (copies, loads) in [
            (
                [EnvCopy::clean(Values::committed(Slot::A)); 2],
                [true, false],
            ),
            (
                [torn, EnvCopy::clean(Values::committed(Slot::B))],
                [true, true],
            ),
            ([torn; 2], [true, true]),
        ] {
            assert_eq!(
                simulate(BlockPair::new(copies), loads, blocks).violation,
                None
            );
        }
    }

    #[test]
    fn what_does_not_start_is_found() {
        let outcome = simulate(blocks(Values::committed(Slot::A)), [false, false], blocks);
        assert_eq!(
            outcome.violation.unwrap(),
            "on the first start neither slot starts"
        );
        let outcome = simulate(blocks(Values::pending(Slot::B)), [true, true], blocks);
        assert!(
            outcome
                .violation
                .unwrap()
                .starts_with("after the first start the environment is")
        );
        let mut broken = SimulationOutcome::default();
        let mut medium = blocks(Values::pending(Slot::B));
        medium.power.read_only = true;
        let device = Device {
            medium,
            new: Slot::B,
            update: UpdateKind::Good,
            old_loads: false,
            client: ClientState::Nothing,
            trials: 1,
            fixed: None,
            fault: false,
        };
        play(&device, &[Step::Start, Step::Start], &mut broken);
        assert!(broken.violations > 0);
    }
}
