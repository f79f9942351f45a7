//! Judging a replica: what goldsmith says of it, and what other tools find in the result.

use super::{Conversion, Outcome, Refusal, Shape, Text, goldsmith};
use crate::convert::conversions::{Place, partitions};
use crate::support::unprivileged::UnprivilegedUser;
use crate::support::{must, run, tool};
use std::fs;
use std::path::{Path, PathBuf};

/// The settings of every run, which keep it small.
const SMALL: &str = "-n r1 -s client.required=false -s storage.size=512MiB -s data.size=16MiB -s artifact.compression=none -s output.name=out -s output.bmap=false";

/// Words of notes that say nothing about a shape.
const EVERYWHERE: [&str; 5] = [
    "using the board ",
    "device identity: MAC address",
    "into a temporary file in",
    "config.txt: enable_uart=1 is set",
    "while U-Boot waits for a key, any byte on its serial line is one",
];

/// The end of a run and its messages.
struct Said {
    success: bool,
    notes: Vec<String>,
    errors: Vec<String>,
    hints: Vec<String>,
    all: String,
}

/// A conversion under judgement: the settings, the image, and who runs it.
struct Case<'a> {
    shape: &'a Shape,
    image: &'a Path,
    user: &'a UnprivilegedUser,
    options: String,
}

/// What is wrong, or what was seen.
pub(super) fn judge(
    shape: &Shape,
    image: &Path,
    instead: Option<&Path>,
    user: &UnprivilegedUser,
) -> Result<Outcome, String> {
    match (&shape.converted, &shape.refused) {
        (Some(conversion), None) => {
            let case = Case::new(shape, conversion, image, user);
            let seen = case.run(&["inspect"])?;
            if !seen.success {
                return Err(format!("inspect fails: {}", seen.all));
            }
            Ok(Outcome {
                notes: case.converted(conversion)?,
                ..Outcome::default()
            })
        }
        (None, Some(refusal)) => refused(shape, refusal, image, instead, user),
        _ => Err("it is either converted or refused".into()),
    }
}

/// The image must be refused, and then be converted in the way that the hint names.
fn refused(
    shape: &Shape,
    refusal: &Refusal,
    image: &Path,
    instead: Option<&Path>,
    user: &UnprivilegedUser,
) -> Result<Outcome, String> {
    let case = Case::new(shape, &Conversion::default(), image, user);
    let seen = case.run(&["plan"])?;
    if seen.success {
        return Err(format!("it is not refused: {}", seen.all));
    }
    let (errors, hints) = (seen.errors.join("\n"), seen.hints.join("\n"));
    for (text, words) in [(&errors, &refusal.error), (&hints, &refusal.hint)] {
        if let Some(word) = words.iter().find(|word| !text.contains(*word)) {
            return Err(format!("no error or hint contains {word:?}: {}", seen.all));
        }
    }
    // Nothing is refused later than by plan, and nothing is said in other words.
    let convert = case.run(&["convert", "-q", "--output-dir", "out"])?;
    if convert.success || convert.errors != seen.errors {
        return Err(format!(
            "convert does not say what plan says: {}",
            convert.all
        ));
    }
    let hinted = hinted(&seen.hints);
    let mut outcome = Outcome {
        errors: seen.errors,
        hints: seen.hints,
        ..Outcome::default()
    };
    let Some(way) = &refusal.way else {
        return Ok(outcome);
    };
    let image = match &refusal.command {
        None => instead.unwrap_or(image).to_owned(),
        Some(command) => {
            let line = command
                .replace("in.img", &image.display().to_string())
                .replace(
                    "out.img",
                    &image.with_extension("raw").display().to_string(),
                );
            let output = std::process::Command::new("sh")
                .args(["-c", &line])
                .current_dir(user.path())
                .output()
                .expect("starting a shell");
            if !output.status.success() {
                return Err(format!("the command fails: {}", text(&output.stderr)));
            }
            image.with_extension("raw")
        }
    };
    let mut case = Case::new(shape, way, &image, user);
    if refusal.as_hinted {
        fs::write(user.path().join("hinted.toml"), hinted).expect("a file");
        case.options.push_str(" -c hinted.toml");
    }
    outcome.way_notes = case
        .converted(way)
        .map_err(|why| format!("the way out: {why}"))?;
    Ok(outcome)
}

/// The messages of a run, each with its kind. A hint may have lines of configuration after it;
/// lines after other messages are the names of steps.
fn messages(said: &str) -> Vec<(&'static str, String)> {
    let mut out: Vec<(&'static str, String)> = Vec::new();
    for line in said.lines() {
        let kinds = ["note", "warning", "error", "hint"];
        let message = kinds.iter().find_map(|kind| {
            Some((
                *kind,
                line.strip_prefix(kind)?.strip_prefix(": ")?.to_owned(),
            ))
        });
        match (message, out.last_mut()) {
            (Some(message), _) => out.push(message),
            (None, Some(("hint", last))) => {
                last.push('\n');
                last.push_str(line);
            }
            (None, _) => {}
        }
    }
    out
}

/// The configuration that the hints name.
fn hinted(hints: &[String]) -> String {
    let lines = hints.iter().flat_map(|hint| hint.lines().skip(1));
    lines.map(|line| format!("{line}\n")).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl<'a> Case<'a> {
    fn new(
        shape: &'a Shape,
        conversion: &Conversion,
        image: &'a Path,
        user: &'a UnprivilegedUser,
    ) -> Self {
        let mut options = format!("{} {}", shape.options, conversion.options);
        if !conversion.config.is_empty() {
            fs::write(user.path().join("more.toml"), &conversion.config).expect("a file");
            options.push_str(" -c more.toml");
        }
        Self {
            shape,
            image,
            user,
            options,
        }
    }

    /// Runs a command of goldsmith on the image.
    fn run(&self, arguments: &[&str]) -> Result<Said, String> {
        let mut command = self.user.command(goldsmith());
        command.args(arguments);
        if arguments[0] != "inspect" {
            if let Some(board) = &self.shape.board {
                command.args(["-c", board]);
            }
            command.args(SMALL.split_whitespace());
            command.args(self.options.split_whitespace());
        }
        let name = self.image.file_name().expect("a file has a name");
        let output = command.arg(name).output().expect("setpriv starts");
        let all = text(&output.stderr) + &text(&output.stdout);
        if !matches!(output.status.code(), Some(0..=2)) {
            return Err(format!("{arguments:?} ends with {}: {all}", output.status));
        }
        let said = messages(&text(&output.stderr));
        let of = |kinds: &[&str]| -> Vec<String> {
            said.iter()
                .filter(|(kind, _)| kinds.contains(kind))
                .map(|(_, message)| message.clone())
                .collect()
        };
        Ok(Said {
            success: output.status.success(),
            notes: of(&["note", "warning"]),
            errors: of(&["error"]),
            hints: of(&["hint"]),
            all,
        })
    }

    /// Converts and checks everything; returns the notes that are about this image.
    fn converted(&self, wanted: &Conversion) -> Result<Vec<String>, String> {
        let plan = self.run(&["plan"])?;
        if !plan.success {
            return Err(format!("plan refuses it: {}", plan.all));
        }
        for word in &wanted.says {
            if !plan.notes.iter().any(|note| note.contains(word)) {
                return Err(format!(
                    "no note contains {word:?}: {}",
                    plan.notes.join("\n")
                ));
            }
        }
        for word in &wanted.silent {
            if let Some(note) = plan.notes.iter().find(|note| note.contains(word)) {
                return Err(format!("a note contains {word:?}: {note}"));
            }
        }
        let convert = self.run(&["convert", "-q", "--output-dir", "out"])?;
        if !convert.success {
            return Err(format!(
                "plan accepts what convert refuses: {}",
                convert.all
            ));
        }
        let image = self.user.path().join("out/out.img");
        let verify = self
            .user
            .command(goldsmith())
            .args(["verify", "out/out.img", "-a", "out/out.mender"])
            .output()
            .expect("setpriv starts");
        if !verify.status.success() {
            return Err(format!("verify: {}", text(&verify.stderr)));
        }
        Made::open(&image)?.check(wanted)?;
        fs::remove_dir_all(self.user.path().join("out")).expect("removing the results");
        let said = plan.notes.into_iter();
        Ok(said
            .filter(|note| {
                wanted.says.iter().any(|word| note.contains(word))
                    || !EVERYWHERE.iter().any(|word| note.contains(word))
            })
            .collect())
    }
}

/// A converted image, looked at with other tools.
struct Made {
    image: PathBuf,
    boot: Place,
    root: Place,
    data: Place,
}

impl Made {
    /// Its partitions, after their filesystems were checked.
    fn open(image: &Path) -> Result<Self, String> {
        let mut places = partitions(image).into_values();
        let mut next = || places.next().expect("four partitions");
        let (boot, root, _, data) = (next(), next(), next(), next());
        let made = Self {
            image: image.to_owned(),
            boot,
            root,
            data,
        };
        for place in [&made.root, &made.data] {
            let output = run(
                tool("e2fsck").expect("looked for before"),
                &[&"-fn", &made.ext4(place)],
            );
            if !output.status.success() {
                return Err(format!("e2fsck: {}", text(&output.stdout)));
            }
        }
        let fat = image.with_extension("fat");
        let [from, to] = [
            format!("if={}", image.display()),
            format!("of={}", fat.display()),
        ];
        let skip = format!("skip={}", made.boot.start >> 20);
        let count = format!("count={}", made.boot.size >> 20);
        must(
            "dd",
            &[
                &from,
                &to,
                &"bs=1M",
                &skip,
                &count,
                &"conv=sparse",
                &"status=none",
            ],
        );
        let fsck = tool("fsck.vfat").expect("looked for before");
        let output = run(fsck, &[&"-n", &fat]);
        if !output.status.success() {
            return Err(format!("fsck.vfat: {}", text(&output.stdout)));
        }
        Ok(made)
    }

    fn ext4(&self, place: &Place) -> String {
        format!("{}?offset={}", self.image.display(), place.start)
    }

    fn debugfs(&self, place: &Place, request: &str) -> String {
        let debugfs = tool("debugfs").expect("looked for before");
        text(&run(debugfs, &[&"-R", &request, &self.ext4(place)]).stdout)
    }

    /// A file of an ext4 filesystem; `None` if it is missing.
    fn file(&self, place: &Place, path: &str) -> Option<String> {
        self.debugfs(place, &format!("stat {path}"))
            .contains("Inode:")
            .then(|| self.debugfs(place, &format!("cat {path}")))
    }

    fn boot_file(&self, path: &str) -> Option<String> {
        let mtype = tool("mtype").expect("looked for before");
        let boot = format!("{}@@{}", self.image.display(), self.boot.start);
        let output = run(mtype, &[&"-i", &boot, &format!("::{path}")]);
        output.status.success().then(|| text(&output.stdout))
    }

    fn check(&self, wanted: &Conversion) -> Result<(), String> {
        for (path, words) in &wanted.root {
            holds(path, self.file(&self.root, path), words)?;
        }
        for (path, words) in &wanted.data {
            holds(path, self.file(&self.data, path), words)?;
        }
        for (path, words) in &wanted.boot {
            holds(path, self.boot_file(path), words)?;
        }
        let features = self.debugfs(&self.root, "features");
        for feature in &wanted.features {
            let (name, there) = match feature.strip_prefix('^') {
                Some(name) => (name, false),
                None => (feature.as_str(), true),
            };
            if features.split_whitespace().any(|word| word == name) != there {
                return Err(format!("slot A should have {feature}: {features}"));
            }
        }
        let stats = self.debugfs(&self.root, "show_super_stats -h");
        let line = stats
            .lines()
            .find_map(|line| line.strip_prefix("Default mount options:"));
        for option in &wanted.mount_defaults {
            if !line.is_some_and(|line| line.split_whitespace().any(|word| word == option)) {
                return Err(format!("slot A should be mounted {option}: {line:?}"));
            }
        }
        mounts(&self.file(&self.root, "/etc/fstab").unwrap_or_default())?;
        let keys = self.file(&self.root, "/etc/crypttab").unwrap_or_default();
        match keys.lines().find(|line| names_partition(line)) {
            Some(line) => Err(format!("/etc/crypttab names a partition by number: {line}")),
            None => Ok(()),
        }
    }
}

/// Whether the words of a file are as they should be.
fn holds(path: &str, found: Option<String>, words: &Text) -> Result<(), String> {
    let Some(found) = found else {
        return if words.absent {
            Ok(())
        } else {
            Err(format!("{path} is missing"))
        };
    };
    if words.absent {
        return Err(format!("{path} should be missing"));
    }
    if let Some(word) = words.has.iter().find(|word| !found.contains(*word)) {
        return Err(format!("{path} lacks {word:?}: {found}"));
    }
    match words.lacks.iter().find(|word| found.contains(*word)) {
        Some(word) => Err(format!("{path} has {word:?}: {found}")),
        None => Ok(()),
    }
}

/// Whether a line names a partition of a disk by number.
fn names_partition(line: &str) -> bool {
    let line = line.trim_start();
    !line.starts_with('#')
        && line.split_whitespace().any(|word| {
            ["/dev/sda", "/dev/mmcblk0p", "/dev/mmcblk1p", "/dev/vda"]
                .iter()
                .any(|disk| {
                    word.strip_prefix(disk)
                        .is_some_and(|number| number.parse::<u32>().is_ok())
                })
        })
}

/// An fstab that works: the boot partition can be written, the data partition is mounted, and no
/// further partition is named by number.
fn mounts(fstab: &str) -> Result<(), String> {
    let lines = fstab
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    let fields: Vec<Vec<&str>> = lines
        .map(|line| line.split_whitespace().collect())
        .filter(|fields: &Vec<&str>| fields.len() > 3)
        .collect();
    let of = |dirs: &[&str]| {
        fields
            .iter()
            .find(|line| dirs.contains(&line[1]))
            .map(|line| line[3].split(',').collect::<Vec<_>>())
    };
    let Some(boot) = of(&["/boot/efi", "/boot/firmware", "/uboot", "/boot"]) else {
        return Err(format!(
            "/etc/fstab does not mount the boot partition: {fstab}"
        ));
    };
    if let Some(option) = boot
        .iter()
        .find(|option| ["ro", "noauto"].contains(*option))
    {
        return Err(format!("the boot partition is mounted {option}: {fstab}"));
    }
    if of(&["/data"]).is_none() {
        return Err(format!(
            "/etc/fstab does not mount the data partition: {fstab}"
        ));
    }
    let ours = ["/", "/data", "/boot/efi", "/boot/firmware", "/uboot"];
    match fields
        .iter()
        .find(|line| names_partition(line[0]) && !ours.contains(&line[1]))
    {
        Some(line) => Err(format!("/etc/fstab names a partition by number: {line:?}")),
        None => Ok(()),
    }
}
