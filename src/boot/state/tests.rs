//! Every power cut at every write, several in a row, in every story of an update.

use super::*;
use super::{SerialCopy, SerialPair};

/// What the client wanted, and how far the story got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    /// Nothing was asked for yet that counts: the update is installed or being installed.
    Update,
    /// The client began to commit and the power failed.
    CommitBegun,
    /// The client was told that the update is committed.
    Committed,
    /// The client was told that the update is rolled back.
    RolledBack,
}

/// One device in one course of events.
#[derive(Clone, Debug)]
struct Story<E> {
    medium: E,
    new: Slot,
    wish: Wish,
    /// How often the new slot was started before it was committed.
    trials: usize,
    /// What was started after a commit that the power cut: it must never change again.
    fixed: Option<Slot>,
    faults: usize,
}

/// What was looked at.
#[derive(Default, Debug)]
struct Seen {
    runs: usize,
    violations: Vec<String>,
}

impl<E: Environment + std::fmt::Debug> Story<E> {
    fn began(new: Slot, rested: fn(Values) -> E) -> Self {
        Self {
            medium: rested(Values::committed(new.other())),
            new,
            wish: Wish::Update,
            trials: 0,
            fixed: None,
            faults: 0,
        }
    }

    /// Notes that `slot` was started and holds it against what must never happen.
    fn starts(&mut self, slot: Option<Slot>, seen: &mut Seen) {
        let Some(slot) = slot else {
            return seen.violations.push(format!("nothing starts: {self:?}"));
        };
        let is_new = slot == self.new;
        let fine = match self.wish {
            Wish::Update => {
                self.trials += usize::from(is_new);
                !is_new || self.trials == 1
            }
            Wish::CommitBegun => *self.fixed.get_or_insert(slot) == slot,
            Wish::Committed => is_new,
            Wish::RolledBack => !is_new,
        };
        if !fine {
            seen.violations.push(format!("{slot:?} starts: {self:?}"));
        }
    }
}

/// A step of a story: true when the power held.
type Step<E> = fn(&mut Story<E>, &mut Seen) -> bool;

fn install<E: Environment>(story: &mut Story<E>, _: &mut Seen) -> bool {
    story.medium.set(Values::pending(story.new)).is_ok()
}

fn commit<E: Environment>(story: &mut Story<E>, _: &mut Seen) -> bool {
    story.wish = Wish::CommitBegun;
    let done = story.medium.set(Values {
        part: story.new,
        upgrade: false,
        count: true,
    });
    if done == Ok(true) {
        story.wish = Wish::Committed;
    }
    done.is_ok()
}

fn roll_back<E: Environment>(story: &mut Story<E>, _: &mut Seen) -> bool {
    let done = story.medium.set(Values {
        part: story.new.other(),
        upgrade: false,
        count: true,
    });
    if done == Ok(true) {
        story.wish = Wish::RolledBack;
    }
    done.is_ok()
}

fn start<E: Environment + std::fmt::Debug>(story: &mut Story<E>, seen: &mut Seen) -> bool {
    let Ok(slot) = story.medium.boot(|_| true) else {
        return false;
    };
    story.starts(slot, seen);
    slot.is_some_and(|slot| story.medium.finish(slot).is_ok())
}

/// Tells `steps` in order; at every write of each the power may fail, after which the device
/// starts, and the story ends with two more starts.
fn tell<E: Environment + Clone + std::fmt::Debug>(
    story: &Story<E>,
    steps: &[Step<E>],
    seen: &mut Seen,
) {
    let Some((step, rest)) = steps.split_first() else {
        seen.runs += 1;
        let stable = !story.medium.believed().is_some_and(|values| values.upgrade);
        if !stable || !story.medium.is_intact() {
            seen.violations.push(format!("no rest: {story:?}"));
        }
        return;
    };
    let mut calm = story.clone();
    *calm.medium.power() = Power::default();
    assert!(step(&mut calm, seen));
    tell(&calm, rest, seen);
    if story.faults == 0 {
        return;
    }
    for at in 0..calm.medium.power().writes {
        for cut in Cut::ALL {
            let mut cut_short = story.clone();
            cut_short.faults -= 1;
            cut_short.medium.power().fails_after = Some((at, cut));
            assert!(!step(&mut cut_short, seen), "the power fails");
            if cut_short.medium.believed().is_none() {
                seen.violations.push(format!("no good copy: {cut_short:?}"));
            }
            tell(&cut_short, &[start, start, start], seen);
        }
    }
}

/// GRUB's environment at rest.
fn blocks(values: Values) -> BlockPair {
    BlockPair::new([EnvCopy::clean(values); 2])
}

/// U-Boot's environment at rest, its serial number about to wrap.
fn serials(values: Values) -> SerialPair {
    SerialPair::new([
        Some(SerialCopy::good(255, values)),
        Some(SerialCopy::good(254, Values::pending(values.part.other()))),
    ])
}

fn all<E: Environment + Clone + std::fmt::Debug>(faults: usize, rested: fn(Values) -> E) -> Seen {
    let mut seen = Seen::default();
    let stories: [&[Step<E>]; 4] = [
        &[install, start, commit, start, start],
        &[install, start, start, start],
        &[install, start, roll_back, start, start],
        &[install, roll_back, start, start],
    ];
    for new in [Slot::A, Slot::B] {
        for steps in stories {
            tell(
                &Story {
                    faults,
                    ..Story::began(new, rested)
                },
                steps,
                &mut seen,
            );
        }
    }
    seen
}

#[test]
fn up_to_three_power_cuts_anywhere_break_no_promise() {
    for (faults, runs) in [(0, 8), (1, 536), (2, 18_040), (3, 578_728)] {
        let seen = all(faults, blocks);
        assert_eq!(seen.violations, Vec::<String>::new());
        assert_eq!(seen.runs, runs, "with {faults} faults");
    }
    for (faults, runs) in [(0, 8), (1, 96), (3, 2_272), (4, 9_088)] {
        let seen = all(faults, serials);
        assert_eq!(seen.violations, Vec::<String>::new());
        assert_eq!(seen.runs, runs, "with {faults} faults");
    }
}

#[test]
fn an_update_whose_kernel_does_not_load_ends_on_the_old_slot() {
    for new in [Slot::A, Slot::B] {
        for at in 0..40 {
            for cut in Cut::ALL {
                let mut medium =
                    BlockPair::new([EnvCopy::clean(Values::committed(new.other())); 2]);
                medium.set(Values::pending(new)).unwrap();
                medium.power.fails_after = Some((at, cut));
                let _ = medium.boot(|slot| slot != new);
                medium.power.fails_after = None;
                for _ in 0..2 {
                    let started = medium.boot(|slot| slot != new).unwrap();
                    assert_eq!(started, Some(new.other()), "cut {cut:?} at write {at}");
                    medium.finish(new.other()).unwrap();
                }
                assert_eq!(medium.believed(), Some(Values::committed(new.other())));
                assert!(medium.is_intact());
            }
        }
    }
}

#[test]
fn two_slots_that_do_not_load_change_nothing() {
    for values in [Values::committed(Slot::A), Values::committed(Slot::B)] {
        let mut medium = BlockPair::new([EnvCopy::clean(values); 2]);
        assert_eq!(medium.boot(|_| false), Ok(None));
        assert_eq!(medium.power.writes, 0);
    }
}

#[test]
fn a_trial_that_cannot_be_noted_does_not_start() {
    for new in [Slot::A, Slot::B] {
        let mut medium = blocks(Values::pending(new));
        medium.power.read_only = true;
        assert_eq!(medium.boot(|_| true), Ok(Some(new.other())));
        // One copy that the loader cannot repair: the system repairs it and withdraws the update.
        for torn in [0, 1] {
            let mut medium = BlockPair::new([EnvCopy::clean(Values::pending(new)); 2]);
            medium.copies[torn].env = Block::Missing;
            assert_eq!(medium.boot(|_| true), Ok(Some(new.other())));
            medium.finish(new.other()).unwrap();
            assert_eq!(
                medium.copies,
                [EnvCopy::clean(Values::committed(new.other())); 2]
            );
        }
        // One that it can repair.
        let mut medium = BlockPair::new([EnvCopy::clean(Values::pending(new)); 2]);
        medium.copies[0].lock = Block::Blank;
        assert_eq!(medium.boot(|_| true), Ok(Some(new)));
    }
}

#[test]
fn a_lost_environment_starts_the_first_slot_and_is_made_again() {
    let torn = EnvCopy {
        lock: Block::Missing,
        env: Block::Missing,
    };
    for (loads, started) in [([true, true], Slot::A), ([false, true], Slot::B)] {
        let mut medium = BlockPair::new([torn; 2]);
        assert_eq!(medium.set(Values::pending(Slot::B)), Ok(false));
        assert_eq!(medium.boot(|slot| loads[slot as usize]), Ok(Some(started)));
        medium.finish(started).unwrap();
        assert_eq!(
            medium.copies,
            [EnvCopy::clean(Values::committed(started)); 2]
        );
    }
    // Values in range are worth more than a guess, even where a lock was left behind.
    let dirty = EnvCopy {
        lock: Block::Valid(true),
        ..EnvCopy::clean(Values::committed(Slot::B))
    };
    let mut medium = BlockPair::new([torn, dirty]);
    assert_eq!(medium.boot(|_| true), Ok(Some(Slot::B)));
    assert_eq!(medium.believed(), Some(Values::committed(Slot::B)));
}
