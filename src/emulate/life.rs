//! The life of a device, step by step, each with a verdict: start, update, commit, an update that
//! is not committed, and power cuts.

use super::device::{Device, Driven, take};
use super::powered::{Failure, Outcome};
use super::{Computer, Verdict};
use crate::rules::{Judged, Rules};
use anyhow::Result;
use std::collections::BTreeSet;
use std::io::Write;
use std::time::{Duration, Instant};

/// The verdict of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepVerdict {
    /// All is as it must be.
    Ok,
    /// It is not.
    Failed,
    /// The step was not made, because one before it failed.
    Skipped,
}

impl StepVerdict {
    /// The word for people and programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// A step and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What was done.
    pub name: String,
    /// What became of it.
    pub verdict: StepVerdict,
    /// How long it took.
    pub time: Duration,
    /// What was found, or the reason of a failure.
    pub text: String,
    /// Lines that explain a failure: of the serial line or of a command.
    pub lines: Vec<String>,
}

/// What is done with a device.
#[derive(Debug)]
pub struct Life<'a> {
    /// The device, prepared by [`Driven::new`].
    pub driven: &'a Driven,
    /// What the running system must show.
    pub rules: &'a Rules,
    /// Whether it installs the Artifact.
    pub update: bool,
    /// How long a start may take; writing an update may take three times as long.
    pub limit: Duration,
}

/// Leads the life of a device and calls `tell` with each step when it has ended. All that the
/// serial line says is written to `log`.
///
/// # Errors
/// QEMU cannot be started; I/O errors of `log`.
pub fn live(
    computer: &Computer,
    life: &Life<'_>,
    log: &mut dyn Write,
    tell: &mut dyn FnMut(&Step),
) -> Result<()> {
    let device = Device {
        computer,
        driven: life.driven,
        limit: life.limit,
        log,
        powered: None,
        failed_before: BTreeSet::new(),
    };
    let mut story = Story {
        device,
        tell,
        failed: false,
        slot: 0,
        trial: Duration::ZERO,
        installing: None,
    };
    story.step("start", Story::start)?;
    story.judge(life.rules, "")?;
    if !life.update {
        return Ok(());
    }
    story.step("update: install", Story::install)?;
    story.trial("update: start into it")?;
    story.step("update: commit", Story::commit)?;
    story.step("update: restart", Story::stays)?;
    story.judge(life.rules, " after the update")?;
    story.step("rollback: install, without a commit", Story::install)?;
    story.trial("rollback: start into it")?;
    story.step("rollback: restart", Story::rolls_back)?;
    story.step(
        "power cut while an update is written",
        Story::cut_while_writing,
    )?;
    story.step(
        "power cut while an update starts",
        Story::cut_while_starting,
    )
}

/// A life as far as it has got.
struct Story<'a> {
    device: Device<'a>,
    tell: &'a mut dyn FnMut(&Step),
    /// Whether a step failed, so that those after it say nothing.
    failed: bool,
    /// The committed slot.
    slot: u32,
    /// How long a restart into an update took, and the least that it took to write one.
    trial: Duration,
    installing: Option<Duration>,
}

impl Story<'_> {
    /// Makes a step, unless one failed before.
    fn step(&mut self, name: &str, make: impl FnOnce(&mut Self) -> Outcome<String>) -> Result<()> {
        let mut step = Step {
            name: name.to_owned(),
            verdict: StepVerdict::Skipped,
            time: Duration::ZERO,
            text: String::new(),
            lines: Vec::new(),
        };
        if !self.failed {
            let begin = Instant::now();
            let outcome = make(self)?;
            step.time = begin.elapsed();
            (step.verdict, step.text, step.lines) = match outcome {
                Ok(text) => (StepVerdict::Ok, text, Vec::new()),
                Err(Failure { reason, lines, .. }) => {
                    self.failed = true;
                    (StepVerdict::Failed, reason, lines)
                }
            };
        }
        (self.tell)(&step);
        Ok(())
    }

    fn start(&mut self) -> Outcome<String> {
        take!(self.device.power_cycle());
        self.slot = take!(self.device.slot());
        let failed = take!(self.device.failed_units());
        let mut text = format!("partition {} runs", self.slot);
        if !failed.is_empty() {
            let names: Vec<&str> = failed.iter().map(String::as_str).collect();
            text.push_str(&format!("; units failed: {}", names.join(", ")));
        }
        self.device.failed_before = failed;
        Ok(Ok(text))
    }

    /// Holds the running system against the rules, a step for each.
    fn judge(&mut self, rules: &Rules, when: &str) -> Result<()> {
        if !rules.need_a_start() || self.failed {
            return Ok(());
        }
        match self.device.judge(rules)? {
            Ok(judged) => {
                for one in judged {
                    let step = judged_step(&one, when);
                    (self.tell)(&step);
                }
                Ok(())
            }
            Err(failure) => {
                let name = format!("rules{when}");
                self.step(&name, |_| Ok(Err(failure)))
            }
        }
    }

    fn install(&mut self) -> Outcome<String> {
        let begin = Instant::now();
        take!(self.device.install());
        // The shortest: on a machine that had other work, one takes several times as long.
        let took = begin.elapsed();
        self.installing = Some(self.installing.map_or(took, |least| least.min(took)));
        let release = self.device.driven.release.clone().unwrap_or_default();
        let other = self.device.other(self.slot);
        Ok(Ok(format!("{release} is written to partition {other}")))
    }

    /// The first start of an update. If it fails, the device must go back by itself.
    fn trial(&mut self, name: &str) -> Result<()> {
        if self.failed {
            return self.step(name, |_| Ok(Ok(String::new())));
        }
        let mut is_dead = false;
        self.step(name, |story| {
            let begin = Instant::now();
            let outcome = story.tried();
            story.trial = begin.elapsed();
            if let Ok(Err(failure)) = &outcome {
                is_dead = failure.is_dead;
            }
            outcome
        })?;
        if self.failed {
            self.failed = false;
            self.step("the device goes back by itself", |story| {
                story.goes_back(is_dead)
            })?;
            self.failed = true;
        }
        Ok(())
    }

    fn tried(&mut self) -> Outcome<String> {
        let other = self.device.other(self.slot);
        take!(self.device.restart());
        let slot = take!(self.device.slot());
        if slot != other {
            let text = format!("partition {other} did not start: partition {slot} runs");
            return Ok(Err(self.console(text)));
        }
        take!(self.device.no_new_failures());
        Ok(Ok(format!("partition {other} runs, on trial")))
    }

    /// After a trial that failed: a kernel that stopped starts again by itself if it was told so,
    /// a system that runs is started again, and one that hangs gets its power cut.
    fn goes_back(&mut self, is_dead: bool) -> Outcome<String> {
        let outcome = match is_dead {
            true => self.device.wait_for_start(),
            false => self.device.restart(),
        }?;
        let mut how = if is_dead {
            "by itself"
        } else {
            "after a restart"
        };
        if outcome.is_err() {
            how = "after a power cut";
            take!(self.device.power_cycle());
        }
        take!(self.on_committed());
        Ok(Ok(format!("partition {} runs, {how}", self.slot)))
    }

    fn console(&self, reason: String) -> Failure {
        match &self.device.powered {
            Some(powered) => powered.failure(reason),
            None => Failure::new(reason, Vec::new()),
        }
    }

    /// Fails unless the committed slot runs.
    fn on_committed(&mut self) -> Outcome<()> {
        let slot = take!(self.device.slot());
        if slot == self.slot {
            return Ok(Ok(()));
        }
        let text = format!(
            "partition {slot} runs, which was not committed; partition {} was",
            self.slot
        );
        Ok(Err(self.console(text)))
    }

    fn commit(&mut self) -> Outcome<String> {
        take!(self.device.commit());
        self.slot = take!(self.device.slot());
        let release = take!(self.device.release());
        match &self.device.driven.release {
            Some(wanted) if *wanted != release => Ok(Err(Failure::new(
                format!("the client shows the release {release:?}, not {wanted:?}"),
                Vec::new(),
            ))),
            _ => Ok(Ok(format!("the client shows {release}"))),
        }
    }

    fn stays(&mut self) -> Outcome<String> {
        take!(self.device.restart());
        take!(self.on_committed());
        take!(self.device.no_new_failures());
        Ok(Ok(format!("partition {} still runs", self.slot)))
    }

    fn rolls_back(&mut self) -> Outcome<String> {
        take!(self.device.restart());
        take!(self.on_committed());
        Ok(Ok(format!("partition {} runs again", self.slot)))
    }

    fn cut_while_writing(&mut self) -> Outcome<String> {
        // Somewhere in the middle.
        let after = self.installing.unwrap_or_default() * 2 / 5;
        let writing = take!(self.device.install_interrupted(after));
        let when = match writing {
            true => format!("{} s after its begin", after.as_secs()),
            false => "after its end".to_owned(),
        };
        self.survives(&when)
    }

    fn cut_while_starting(&mut self) -> Outcome<String> {
        take!(self.device.install());
        // The kernel has started, and the system not yet.
        let after = self.trial * 3 / 5;
        take!(self.device.restart_interrupted(after));
        self.survives(&format!("{} s after the restart", after.as_secs()))
    }

    /// After a power cut at a time that `when` says: the committed slot runs, or else an update
    /// that is on trial, which was written completely and whose trial was not noted yet. Then this
    /// was its only start.
    fn survives(&mut self, when: &str) -> Outcome<String> {
        take!(self.device.power_cycle());
        let first = take!(self.device.slot());
        let mut text = format!("the power went {when}; ");
        if first != self.slot {
            text.push_str(&format!(
                "partition {first} runs, on trial; after a restart, "
            ));
            take!(self.device.restart());
        }
        take!(self.on_committed());
        text.push_str(&format!("partition {} runs", self.slot));
        Ok(Ok(text))
    }
}

/// A rule as a step.
#[must_use]
pub fn judged_step(judged: &Judged, when: &str) -> Step {
    Step {
        name: format!("{}{when}", judged.rule),
        verdict: match judged.broken {
            None => StepVerdict::Ok,
            Some(_) => StepVerdict::Failed,
        },
        time: Duration::ZERO,
        text: judged.broken.clone().unwrap_or_default(),
        lines: Vec::new(),
    }
}

impl From<Verdict> for Step {
    fn from(verdict: Verdict) -> Self {
        let (verdict, time, text, lines) = match verdict {
            Verdict::Started(how, time) => (
                StepVerdict::Ok,
                time,
                how.described().to_owned(),
                Vec::new(),
            ),
            Verdict::Failed(reason, lines) => (StepVerdict::Failed, Duration::ZERO, reason, lines),
        };
        Self {
            name: "start".to_owned(),
            verdict,
            time,
            text,
            lines,
        }
    }
}
