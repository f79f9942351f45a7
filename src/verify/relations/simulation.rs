//! Simulates every sequence of updates and power cuts on the model of the boot state machine, from
//! the image's own environment on: updates to either slot, good and bad ones, committed or not,
//! with a power cut at any one write.

use super::super::finding::{Location, Log};
use crate::boot::state::{Cut, Environment, Power, Slot, Values};
use std::fmt::Debug;

/// The quality of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UpdateKind {
    /// Its kernel loads and its system comes up.
    Good,
    /// Its kernel does not load.
    NoKernel,
    /// Its kernel loads, but its system never comes up.
    NoSystem,
}

/// The last action of the client, and whether it succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientState {
    Nothing,
    CommitBegun,
    Committed,
    RolledBack,
}

/// One event in the life of a device.
#[derive(Clone, Copy, Debug)]
enum Step {
    Install,
    Start,
    Commit,
    RollBack,
}

/// One device in one sequence of events.
#[derive(Clone, Debug)]
struct Device<E> {
    /// The storage of its boot environment.
    medium: E,
    /// The slot that the update is written to.
    new: Slot,
    update: UpdateKind,
    /// Whether the slot that runs before the update has a kernel.
    old_loads: bool,
    client: ClientState,
    /// Starts of the new slot before the client acts.
    trials: u32,
    /// The slot that started after an interrupted commit; from then on only it may.
    fixed: Option<Slot>,
    /// One power cut is still to come.
    fault: bool,
}

/// The result of a simulation.
#[derive(Debug, Default)]
pub(super) struct SimulationOutcome {
    /// The number of sequences that were simulated to their end.
    pub(super) runs: u64,
    /// The first violation of a guarantee.
    pub(super) violation: Option<String>,
    /// The number of violations.
    pub(super) violations: u64,
}

/// Simulates from the environment `medium` on; `loads` says whether slot A and slot B contain a
/// kernel, and `committed` makes an environment in which all copies have the given values.
pub(super) fn simulate<E: Environment + Clone + Debug>(
    mut medium: E,
    loads: [bool; 2],
    committed: fn(Values) -> E,
) -> SimulationOutcome {
    let mut outcome = SimulationOutcome::default();
    // A first start, as on every fresh device.
    let [a_loads, b_loads] = loads;
    let started = medium.boot(|slot| if slot == Slot::B { b_loads } else { a_loads });
    let Ok(Some(first)) = started else {
        outcome.record_violation(|| "on the first start neither slot boots".into());
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

/// Simulates every kind of update of a device that runs `running`.
fn updates<E: Environment + Clone + Debug>(
    running: Slot,
    medium: &E,
    outcome: &mut SimulationOutcome,
) {
    use Step::{Commit, Install, RollBack, Start};
    let sequences: [(UpdateKind, &[Step]); 6] = [
        (UpdateKind::Good, &[Install, Start, Commit, Start, Start]),
        (UpdateKind::Good, &[Install, Start, Start, Start]),
        (UpdateKind::Good, &[Install, Start, RollBack, Start, Start]),
        (UpdateKind::Good, &[Install, RollBack, Start, Start]),
        (UpdateKind::NoKernel, &[Install, Start, Start, Start]),
        (UpdateKind::NoSystem, &[Install, Start, Start, Start]),
    ];
    for (update, steps) in sequences {
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

/// Simulates the remaining steps (at most five), and again with a power cut at each write of each
/// step.
fn play<E: Environment + Clone + Debug>(
    device: &Device<E>,
    steps: &[Step],
    outcome: &mut SimulationOutcome,
) {
    let Some((step, rest)) = steps.split_first() else {
        outcome.runs = outcome.runs.saturating_add(1);
        let at_rest = device
            .medium
            .believed()
            .is_some_and(|values| !values.upgrade)
            && device.medium.is_intact();
        if !at_rest {
            outcome.record_violation(|| {
                format!("an update remains pending or a copy damaged: {device:?}")
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
            return outcome.record_violation(|| format!("neither slot boots: {self:?}"));
        };
        let is_new = slot == self.new;
        let trial = is_new && self.client == ClientState::Nothing;
        self.trials = self.trials.saturating_add(trial.into());
        let fine = match self.client {
            ClientState::Nothing => !is_new || self.trials == 1,
            ClientState::CommitBegun => *self.fixed.get_or_insert(slot) == slot,
            ClientState::Committed => is_new,
            ClientState::RolledBack => !is_new,
        };
        if !fine {
            outcome.record_violation(|| format!("slot {slot:?} boots: {self:?}"));
        }
        // A system that does not come up repairs nothing.
        if !is_new || self.update == UpdateKind::Good {
            let _ = self.medium.finish(slot);
        }
    }
}

impl SimulationOutcome {
    /// Adds the result to `log`, at the location of the environment.
    pub(super) fn report(self, place: Location, log: &mut Log) {
        log.passed(self.runs);
        log.check(self.violation.is_none(), "boot-state", || {
            let first = self.violation.clone().unwrap_or_default();
            (
                place,
                format!(
                    "{} sequences of events break a guarantee, first: {first}",
                    self.violations
                ),
            )
        });
    }

    fn record_violation(&mut self, what: impl FnOnce() -> String) {
        self.violations = self.violations.saturating_add(1);
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
            "on the first start neither slot boots"
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
