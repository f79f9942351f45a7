//! `goldsmith boot --check` with an update or rules: a verdict for each step.

use super::input::ContentArgs;
use super::{print, progress};
use crate::emulate::{self, Computer, Driven, Life, Step, StepVerdict};
use crate::fs::ext4;
use crate::input_file;
use crate::problem::Problem;
use crate::rules::{Rules, SizeRules, judge_files, judge_sizes};
use crate::units::counted;
use crate::volume::{Opened, Role};
use anyhow::Context as _;
use serde::Serialize;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The largest file of rules (bytes).
const MOST: u64 = 1 << 20;

/// The arguments of `boot` that matter here.
#[derive(Clone, Copy, Debug)]
pub(super) struct CheckArgs<'a> {
    /// The Artifact that is installed.
    pub(super) update: Option<&'a Path>,
    /// The file of rules.
    pub(super) rules: Option<&'a Path>,
    /// How long a start may take.
    pub(super) limit: Duration,
    /// Whether one JSON object is printed.
    pub(super) json: bool,
    /// How the Artifact is opened.
    pub(super) input: &'a ContentArgs,
}

/// What the image must do and have besides starting.
#[derive(Debug)]
pub(super) struct Demands {
    rules: Rules,
    update: Option<Opened>,
}

impl Demands {
    /// Reads the rules and opens the Artifact.
    pub(super) fn read(args: CheckArgs<'_>) -> anyhow::Result<Self> {
        let rules = match args.rules {
            None => Rules::default(),
            Some(path) => {
                let shown = path.display().to_string();
                let bytes = input_file::read(path, MOST, "file of rules")
                    .map_err(|error| Problem::new(format!("reading the rules {shown}: {error}")))?;
                let text = String::from_utf8(bytes)
                    .map_err(|_| Problem::new(format!("{shown} is not UTF-8")))?;
                Rules::parse(&shown, &text)?
            }
        };
        let report = progress::report(true);
        let update = args
            .update
            .map(|path| args.input.open(path, &*report))
            .transpose()?;
        if let (Some(path), Some(None)) = (args.update, update.as_ref().map(|one| &one.release)) {
            let problem = Problem::new(format!("{} is not an Artifact", path.display()));
            return Err(problem.hint("give the .mender file to --update").into());
        }
        Ok(Self { rules, update })
    }

    /// Whether the system is driven, and not only watched.
    pub(super) fn drive(&self) -> bool {
        self.update.is_some() || self.rules.need_a_start()
    }

    /// Whether there is more than one verdict.
    pub(super) fn have_steps(&self) -> bool {
        self.update.is_some() || self.rules != Rules::default()
    }
}

/// The output of `--json`.
#[derive(Serialize)]
struct Said<'a> {
    good: bool,
    seconds: u64,
    steps: Vec<SaidStep<'a>>,
}

#[derive(Serialize)]
struct SaidStep<'a> {
    name: &'a str,
    verdict: &'static str,
    seconds: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    text: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    console: &'a [String],
}

/// Checks rules that files answer, then leads the life of the device, and tells each step.
pub(super) fn run(
    args: CheckArgs<'_>,
    demands: &Demands,
    image: &Opened,
    (computer, ssh): (&mut Computer, Option<u16>),
    log: &mut dyn io::Write,
) -> anyhow::Result<ExitCode> {
    let begin = Instant::now();
    let update = demands.update.as_ref();
    let driven = match demands.drive() {
        true => Some(Driven::new(computer, image, update)?),
        false => None,
    };
    if let Some(path) = args.update {
        computer.insert_artifact(path)?;
    }
    if update.is_some() && !computer.is_fast() {
        let notes = progress::report(args.json);
        notes.note("without KVM, the check with an update takes 5 to 40 minutes");
    }
    let mut steps: Vec<Step> = Vec::new();
    let mut written = Ok(());
    let mut tell = |step: &Step| {
        if !args.json && written.is_ok() {
            written = print(&shown(step));
        }
        steps.push(step.clone());
    };
    for step in &judge_still(args, demands, image)? {
        tell(step);
    }
    let limit = args.limit;
    match &driven {
        Some(driven) => {
            let life = Life {
                driven,
                rules: &demands.rules,
                update: update.is_some(),
                limit,
            };
            emulate::live(computer, &life, log, &mut tell)?;
        }
        None => tell(&emulate::watch(computer, limit, ssh, log)?.into()),
    }
    written?;
    finish(args.json, &steps, begin.elapsed())
}

/// Holds files and sizes of the image, and of the Artifact, against the rules.
fn judge_still(
    args: CheckArgs<'_>,
    demands: &Demands,
    image: &Opened,
) -> anyhow::Result<Vec<Step>> {
    let mut steps = Vec::new();
    let mut judge = |opened: &Opened, sizes: SizeRules, when: &str| -> anyhow::Result<()> {
        let root = opened
            .volumes
            .iter()
            .find(|one| one.role == Some(Role::Root));
        let Some(root) = root else { return Ok(()) };
        let sizes = SizeRules {
            root_used: Some(used(root)?),
            ..sizes
        };
        let mut judged = judge_sizes(&demands.rules.sizes, &sizes);
        if let Some(tree) = root.tree()? {
            judged.extend(judge_files(&demands.rules, &tree)?);
        }
        steps.extend(judged.iter().map(|one| emulate::judged_step(one, when)));
        Ok(())
    };
    let sizes = SizeRules {
        image: Some(image.len),
        ..SizeRules::default()
    };
    judge(image, sizes, "")?;
    if let (Some(opened), Some(path)) = (&demands.update, args.update) {
        let file = std::fs::metadata(path).with_context(|| path.display().to_string())?;
        let sizes = SizeRules {
            artifact: Some(file.len()),
            ..SizeRules::default()
        };
        judge(opened, sizes, " of the Artifact")?;
    }
    Ok(steps)
}

/// The bytes in use in a root filesystem.
fn used(root: &crate::volume::Volume) -> anyhow::Result<u64> {
    let info = ext4::read::Filesystem::open(root.content.clone())
        .with_context(|| format!("reading {root}"))?
        .info();
    let blocks = info.blocks.saturating_sub(info.free_blocks);
    Ok(blocks.saturating_mul(info.block_size))
}

/// A step as a line, with those that explain it.
fn shown(step: &Step) -> String {
    let verdict = step.verdict.name();
    let time = match step.time.as_secs() {
        0 => String::new(),
        seconds => format!("{seconds} s"),
    };
    let text = match step.text.is_empty() {
        true => String::new(),
        false => format!(": {}", step.text),
    };
    let mut out = format!("{verdict:<7} {time:>6}  {}{text}\n", step.name);
    for line in &step.lines {
        out.push_str(&format!("  | {line}\n"));
    }
    out
}

fn finish(json: bool, steps: &[Step], time: Duration) -> anyhow::Result<ExitCode> {
    let count = |verdict| steps.iter().filter(|one| one.verdict == verdict).count();
    let failed = count(StepVerdict::Failed);
    let seconds = time.as_secs();
    if json {
        let steps = steps.iter().map(|step| SaidStep {
            name: &step.name,
            verdict: step.verdict.name(),
            seconds: step.time.as_secs(),
            text: &step.text,
            console: &step.lines,
        });
        let said = Said {
            good: failed == 0,
            seconds,
            steps: steps.collect(),
        };
        print(&format!("{}\n", serde_json::to_string_pretty(&said)?))?;
    } else {
        let skipped = match count(StepVerdict::Skipped) {
            0 => String::new(),
            skipped => format!(", {skipped} skipped"),
        };
        let all = counted(steps.len(), "step", "steps");
        print(&format!(
            "{all}: {failed} failed{skipped}, after {seconds} s\n"
        ))?;
    }
    Ok(match failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}
