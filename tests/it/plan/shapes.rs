//! The disk images that people really have: a replica of each kind is made, converted by an
//! ordinary user and judged by other tools. The outcomes are the page `docs/shapes.md`.

mod judge;
mod page;

use crate::support::unprivileged::UnprivilegedUser;
use crate::support::{goldsmith, must, tool, u_boot};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// All shapes, as `fixtures/shapes/shapes.toml` has them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shapes {
    group: Vec<Group>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    title: String,
    /// An introduction on the page.
    #[serde(default)]
    text: String,
    shape: Vec<Shape>,
}

/// One replica and what goldsmith makes of it: exactly one of `converted` and `refused`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape {
    name: String,
    /// Another shape's replica is taken.
    replica: Option<String>,
    /// What it stands for.
    is: String,
    /// The board; else the image selects it.
    board: Option<String>,
    /// Arguments of all runs, separated by blanks.
    #[serde(default)]
    options: String,
    converted: Option<Conversion>,
    refused: Option<Refusal>,
}

impl Shape {
    /// The replica that it is made of.
    fn replica(&self) -> &str {
        self.replica.as_ref().unwrap_or(&self.name)
    }
}

/// What a conversion says and makes.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Conversion {
    /// More arguments, separated by blanks.
    #[serde(default)]
    options: String,
    /// More configuration.
    #[serde(default)]
    config: String,
    /// Each is part of at least one note or warning.
    #[serde(default)]
    says: Vec<String>,
    /// None is part of a message.
    #[serde(default)]
    silent: Vec<String>,
    /// Files of slot A, of the boot and of the data partition.
    #[serde(default)]
    root: BTreeMap<String, Text>,
    #[serde(default)]
    boot: BTreeMap<String, Text>,
    #[serde(default)]
    data: BTreeMap<String, Text>,
    /// Features that slot A has, or has not (`^64bit`).
    #[serde(default)]
    features: Vec<String>,
    /// Default mount options that slot A has.
    #[serde(default)]
    mount_defaults: Vec<String>,
}

/// Words of a file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    #[serde(default)]
    has: Vec<String>,
    #[serde(default)]
    lacks: Vec<String>,
    /// It does not exist.
    #[serde(default)]
    absent: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Refusal {
    /// Each is part of an error message, or of a hint.
    error: Vec<String>,
    #[serde(default)]
    hint: Vec<String>,
    /// The image is converted by these settings, which the hint names.
    way: Option<Conversion>,
    /// The configuration below the hints is taken too.
    #[serde(default)]
    as_hinted: bool,
    /// It is converted after this command, which the hint names, has made `out.img` of `in.img`.
    command: Option<String>,
    /// This replica is converted, in which was done what the hint says.
    instead: Option<String>,
}

/// What was seen of a shape, for the page.
#[derive(Debug, Default)]
struct Outcome {
    errors: Vec<String>,
    hints: Vec<String>,
    notes: Vec<String>,
    way_notes: Vec<String>,
}

fn shapes() -> Shapes {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/shapes/shapes.toml");
    toml::from_str(&std::fs::read_to_string(path).expect("shapes.toml")).expect("TOML of shapes")
}

/// The script that makes replicas.
fn maker() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/shapes.sh")
}

/// Whether all tools are there; says which is not.
fn can_run() -> bool {
    let makers = [
        "mke2fs",
        "mkfs.vfat",
        "sfdisk",
        "mcopy",
        "mattrib",
        "mkimage",
        "qemu-img",
        "zip",
    ];
    let others = ["bsdtar", "bzip2", "xz", "zstd", "sgdisk", "perl", "tune2fs"];
    let judges = ["debugfs", "e2fsck", "fsck.vfat", "mtype", "mdir"];
    makers
        .iter()
        .chain(&others)
        .chain(&judges)
        .all(|name| tool(name).is_some())
}

/// Makes a replica; returns the file.
fn make(replica: &str, user: &UnprivilegedUser, u_boot: &[PathBuf; 2]) -> PathBuf {
    let image = user.path().join(format!("{replica}.img"));
    let mut command = std::process::Command::new(maker());
    command
        .arg(replica)
        .arg(&image)
        .env("U_BOOT_ARM64", &u_boot[0])
        .env("U_BOOT_ARMHF", &u_boot[1]);
    let output = command.output().expect("starting the maker of replicas");
    assert!(
        output.status.success(),
        "the replica cannot be made: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    image
}

/// The directories of U-Boot programs for replicas; `None`, said aloud, where they cannot be
/// fetched.
fn u_boot_programs() -> Option<[PathBuf; 2]> {
    let dir = |arch| {
        Some(
            u_boot::program("bookworm", arch, "x")?
                .parent()?
                .parent()?
                .to_owned(),
        )
    };
    Some([dir("arm64")?, dir("armhf")?])
}

/// Judges the shapes by two threads; returns each outcome or why it is wrong.
fn judge_all(
    shapes: &[&Shape],
    u_boot: &[PathBuf; 2],
) -> BTreeMap<String, Result<Outcome, String>> {
    let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let work = || {
        while let Some(shape) = shapes.get(next.fetch_add(1, Ordering::Relaxed)) {
            let judged = catch_unwind(AssertUnwindSafe(|| {
                let user = UnprivilegedUser::new();
                user.bring(&u_boot[0].join("rpi_arm64/u-boot.bin"), "u-boot.bin");
                let image = make(shape.replica(), &user, u_boot);
                let instead = shape.refused.as_ref().and_then(|it| it.instead.as_deref());
                let instead = instead.map(|replica| make(replica, &user, u_boot));
                judge::judge(shape, &image, instead.as_deref(), &user)
            }));
            let judged = judged.unwrap_or_else(|panic| Err(panic_text(&panic)));
            outcomes
                .lock()
                .expect("no thread panics")
                .insert(shape.name.clone(), judged);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    outcomes.into_inner().expect("no thread panics")
}

fn panic_text(panic: &Box<dyn std::any::Any + Send>) -> String {
    match (
        panic.downcast_ref::<String>(),
        panic.downcast_ref::<&'static str>(),
    ) {
        (Some(text), _) => text.clone(),
        (_, Some(text)) => (*text).to_owned(),
        _ => "a panic".to_owned(),
    }
}

/// `GOLDSMITH_SHAPES=WORD,WORD` judges those whose name contains one of the words, and leaves the
/// page.
#[test]
fn every_shape_is_converted_or_refused_with_a_way_out() {
    if !can_run() {
        return;
    }
    let Some(u_boot) = u_boot_programs() else {
        return;
    };
    let shapes = shapes();
    let filter = std::env::var("GOLDSMITH_SHAPES").unwrap_or_default();
    let all = shapes.group.iter().flat_map(|group| &group.shape);
    let chosen = all.filter(|shape| filter.split(',').any(|word| shape.name.contains(word)));
    let chosen: Vec<&Shape> = chosen.collect();
    let outcomes = judge_all(&chosen, &u_boot);
    let wrong: Vec<String> = outcomes
        .iter()
        .filter_map(|(name, outcome)| Some(format!("{name}: {}", outcome.as_ref().err()?)))
        .collect();
    if filter.is_empty() && (wrong.is_empty() || std::env::var_os("GOLDSMITH_BLESS").is_some()) {
        page::compare(&shapes, &outcomes);
    }
    assert!(
        wrong.is_empty(),
        "{} of {} shapes are wrong:\n\n{}",
        wrong.len(),
        chosen.len(),
        wrong.join("\n\n")
    );
}

#[test]
fn every_replica_is_a_shape() {
    let shapes = shapes();
    let all = shapes.group.iter().flat_map(|group| &group.shape);
    let named: BTreeSet<&str> = all
        .flat_map(|shape| {
            let instead = shape.refused.as_ref().and_then(|it| it.instead.as_deref());
            [Some(shape.replica()), instead]
        })
        .flatten()
        .collect();
    let made = must(maker(), &[]);
    let made: BTreeSet<&str> = made.lines().collect();
    assert_eq!(named, made);
    let mut names = BTreeSet::new();
    for shape in shapes.group.iter().flat_map(|group| &group.shape) {
        assert!(names.insert(&shape.name), "{} occurs twice", shape.name);
        assert_ne!(
            shape.converted.is_some(),
            shape.refused.is_some(),
            "{} is converted or refused",
            shape.name
        );
        let advice = shape
            .refused
            .as_ref()
            .is_none_or(|refusal| !refusal.hint.is_empty());
        assert!(advice, "{} is refused without advice", shape.name);
    }
}
