//! What acts by itself. A root filesystem that an update brought has one start to prove itself:
//! whatever restarts the device on a first start makes every update fail, and whatever resizes,
//! repartitions or writes boot files undoes the layout. What known tools do so is undone and said;
//! anything else is a problem until the golden image is changed or the file accepted.

pub mod acting;
mod acts;
mod apt_conf;
mod apt_hooks;
mod arguments;
mod cloud_init;
mod command;
mod entries;
mod entry;
mod events;
mod follow;
mod kernel_config;
mod known;
mod later;
mod lexer;
mod machine_id;
mod marks;
mod needs;
mod note;
mod one_time;
mod overlay_root;
mod rc_local;
#[cfg(test)]
mod reach_tests;
mod script;
mod sessions;
#[cfg(test)]
mod tests;
mod udev;
mod udev_events;
mod units;
mod variables;
mod words;

pub(super) use arguments::check as check_arguments;
pub(super) use kernel_config::check as check_kernel;
pub use note::StartupNote;

use super::Workspace;
use super::accepting::{Used, real};
use crate::golden::bootloader::is_raspberry_pi;
use crate::golden::facts::is_started_by_units;
use crate::plan::Plan;
use crate::plan::accepted::AcceptedFiles;
use crate::plan::partitions::Fate;
use crate::problem::{Problem, Problems};
use crate::tree::Tree;
use crate::tree::edit::EditError;
use crate::tree::editor::TreeEditor;
use acts::Act;
use command::Runs;
use entry::{Entry, EntryKind};
use follow::{Files, Finding};
use known::Kind;
use std::collections::BTreeSet;

/// The size limit of text files (bytes).
const TEXT_LIMIT: u64 = 4 << 20;
/// The list of accepted files on the device, for whoever checks the image.
const ACCEPTED: &str = "/usr/lib/goldsmith/accepted";

/// Problems and notes, with the files that are accepted.
#[derive(Debug)]
struct Judge {
    /// The real paths of the accepted files, with those of the configuration.
    real: BTreeSet<(String, String)>,
    /// The entries that something was accepted by.
    used: Used,
    problems: Problems,
    notes: Vec<StartupNote>,
}

impl Judge {
    fn new(accepted: &AcceptedFiles, root: &Tree) -> Self {
        let entries = accepted.iter();
        let entries = entries.map(|(path, _)| (real(root, path), path.to_owned()));
        Self {
            real: entries.collect(),
            used: Used::default(),
            problems: Problems::default(),
            notes: Vec::new(),
        }
    }

    /// Whether one of these files is accepted.
    fn accepts(&self, paths: &[&str]) -> bool {
        self.entries(paths).next().is_some()
    }

    /// Whether one of these files, in which there is something to accept, is accepted; the entries
    /// count as needed then.
    fn accepted(&self, paths: &[&str]) -> bool {
        self.used.add(self.entries(paths));
        self.accepts(paths)
    }

    /// The entries of the configuration that accept one of these files.
    fn entries<'s>(&'s self, paths: &'s [&str]) -> impl Iterator<Item = &'s str> {
        let entries = self.real.iter();
        let entries = entries.filter(|(real, path)| {
            let is = |one: &&str| one == real || one == path;
            paths.iter().any(is)
        });
        entries.map(|(_, path)| path.as_str())
    }

    /// Adds a problem in a line of a file, or of the file as a whole (0), unless it is accepted.
    fn problem(&mut self, path: &str, line: usize, why: &str, advice: &str) {
        if self.accepted(&[path]) {
            return;
        }
        let hint = format!("{advice}; {}", AcceptedFiles::hint(path));
        let place = match line {
            0 => path.to_owned(),
            _ => format!("{path}:{line}"),
        };
        self.problems
            .push(Problem::new(format!("{place}: {why}")).hint(hint));
    }

    /// Hands everything over.
    fn finish(self, work: &mut Workspace<'_>) {
        work.notes
            .extend(self.notes.iter().map(|one| one.note.clone()));
        work.startup.extend(self.notes);
        work.problems.0.extend(self.problems.0);
        work.used.extend(&self.used);
    }

    /// The numbered lines of a file; none if it cannot be read.
    fn lines(&self, tree: &Tree, path: &str) -> Vec<(usize, String)> {
        let bytes = tree
            .read(path, TEXT_LIMIT)
            .ok()
            .flatten()
            .unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines = text.lines().enumerate();
        lines.map(|(at, line)| (at + 1, line.to_owned())).collect()
    }
}

/// Undoes or names whatever acts by itself on a first start.
pub(super) fn integrate(work: &mut Workspace<'_>, plan: &Plan) -> Result<(), EditError> {
    let mut judge = Judge::new(&plan.accepted, work.root.tree());
    let boot_mount = plan.boot.mount.as_str();
    let by_units = is_started_by_units(work.root.tree());
    if by_units {
        judge.notes.extend(machine_id::repair(&mut work.root)?);
    }
    restore_rc_local(work, boot_mount, &mut judge)?;
    repart(work, &mut judge)?;
    growroot(work, &mut judge)?;
    for entry in everything(&files(work, boot_mount)) {
        repair(work, &entry, &mut judge)?;
    }
    later::judge(&files(work, boot_mount), by_units, &mut judge);
    let [of_root, of_boot] = overlay_root::argument_files(work.root.tree(), work.boot.tree());
    let settings = overlay_root::settings(work.root.tree());
    let of_root = [of_root, settings].concat();
    overlay_root::edit(&mut work.root, "", &of_root, &mut judge)?;
    overlay_root::edit(&mut work.boot, boot_mount, &of_boot, &mut judge)?;
    overlay_root::others(work.root.tree(), &mut judge);
    overlay_root::in_memory(work.root.tree(), boot_mount, &mut judge);
    let root = work.root.tree();
    needs::state(root, &mut judge);
    let mut warnings = Vec::new();
    if by_units {
        warnings.extend(needs::client(root, plan.client.managed, &mut judge));
    }
    warnings.extend(needs::panic(root, &mut judge));
    let moved = plan.partitions.partitions.iter();
    let moved: Vec<&str> = moved
        .filter(|partition| matches!(partition.fate, Fate::Data(_)))
        .filter_map(|partition| partition.fate.path())
        .collect();
    cloud_init::repair(
        &mut work.root,
        work.boot.tree(),
        boot_mount,
        &moved,
        &mut judge,
    )?;
    let (root, boot) = (work.root.tree(), work.boot.tree());
    let notes = one_time::notes(root, boot, boot_mount, is_raspberry_pi(boot));
    judge.notes.extend(notes);
    list_accepted(work, &plan.accepted)?;
    let sentences = warnings.iter().map(|warning| warning.note.clone());
    work.warnings.extend(sentences);
    work.startup.extend(warnings);
    judge.finish(work);
    Ok(())
}

/// Takes away whatever starts a unit.
pub(super) fn disable(
    root: &mut TreeEditor<'_>,
    name: &str,
    reason: &str,
) -> Result<(), EditError> {
    known::disable(root, name, reason)
}

/// Everything that runs by itself when the system starts.
fn everything(files: &Files<'_>) -> Vec<Entry> {
    let mut entries = entries::all(files);
    entries.extend(events::all(files));
    entries.extend(udev::rules(files));
    entries
}

/// The files as they are now.
fn files<'w>(work: &'w Workspace<'_>, boot_mount: &'w str) -> Files<'w> {
    Files {
        root: work.root.tree(),
        boot: work.boot.tree(),
        boot_mount,
    }
}

fn restore_rc_local(
    work: &mut Workspace<'_>,
    boot_mount: &str,
    judge: &mut Judge,
) -> Result<(), EditError> {
    if judge.accepts(&[rc_local::PATH]) {
        return Ok(());
    }
    let boot = work.boot.tree().clone();
    let note = rc_local::restore(&mut work.root, &|root| {
        rc_local::found(&Files {
            root: root.tree(),
            boot: &boot,
            boot_mount,
        })
    })?;
    judge.notes.extend(note);
    Ok(())
}

/// Masks `systemd-repart`, if the image has definitions for it.
fn repart(work: &mut Workspace<'_>, judge: &mut Judge) -> Result<(), EditError> {
    const NAME: &str = "systemd-repart.service";
    let definitions = known::repart_definitions(work.root.tree());
    let paths: Vec<&str> = definitions.iter().map(String::as_str).collect();
    let starts = units::started(work.root.tree()).contains(NAME);
    if definitions.is_empty() || !starts || judge.accepted(&paths) {
        return Ok(());
    }
    known::disable(
        &mut work.root,
        NAME,
        "it would change the partitions at each start",
    )?;
    let first = definitions.first().map_or("", String::as_str);
    let note = format!(
        "{NAME} is disabled: it would change the partitions at each start ({})",
        definitions.join(", ")
    );
    judge.notes.push(StartupNote::of(first, 0, note));
    Ok(())
}

/// Turns off `growroot` of the initial RAM disk, which would grow the partition of the slot.
fn growroot(work: &mut Workspace<'_>, judge: &mut Judge) -> Result<(), EditError> {
    const SCRIPT: &str = "/usr/share/initramfs-tools/scripts/local-bottom/growroot";
    const OFF: &str = "/etc/growroot-disabled";
    let tree = work.root.tree();
    if tree.file(SCRIPT).is_none() || tree.find(OFF).is_some() || judge.accepted(&[SCRIPT]) {
        return Ok(());
    }
    let reason = "the root filesystem has the size of its slot";
    work.root.file(OFF, "", 0o644, reason)?;
    let note = format!("growroot of the initial RAM disk is turned off by {OFF}: {reason}");
    judge.notes.push(StartupNote::of(SCRIPT, 0, note));
    Ok(())
}

/// Undoes, reports or passes over one entry.
fn repair(work: &mut Workspace<'_>, entry: &Entry, judge: &mut Judge) -> Result<(), EditError> {
    let paths = entry.found.files.iter().map(String::as_str);
    let paths: Vec<&str> = paths.chain([entry.name.as_str()]).collect();
    let unread = entry.found.is_once && !entry.found.unread.is_empty();
    let acts = undone(entry).is_some_and(|(reason, _)| !reason.is_empty())
        || !entry.found.findings.is_empty()
        || unread;
    if acts && judge.accepted(&paths) {
        return Ok(());
    }
    if let Some((reason, note)) = undone(entry) {
        let file = entry.found.files.first().unwrap_or(&entry.name);
        if note {
            let note = format!("{} is disabled: {reason}", entry.name);
            judge.notes.push(StartupNote::of(file, 0, note));
            match entry.kind {
                EntryKind::Script => known::disable_sysv(&mut work.root, &entry.name, &reason)?,
                _ => known::disable(&mut work.root, &entry.name, &reason)?,
            }
        } else if !reason.is_empty() {
            judge.notes.push(StartupNote::of(file, 0, reason));
        }
        return Ok(());
    }
    for finding in &entry.found.findings {
        report(entry, finding, judge);
    }
    if entry.found.is_once {
        for path in &entry.found.unread {
            let text = format!(
                "{} runs it once, on the first start of each slot; it is not a script, so what it does is not known",
                entry.name
            );
            judge.notes.push(StartupNote::at(path, 0, &text));
        }
    }
    Ok(())
}

/// The reason why a known service is disabled, and `true`; or a note about one that is not.
fn undone(entry: &Entry) -> Option<(String, bool)> {
    if !matches!(entry.kind, EntryKind::Service | EntryKind::Script) {
        return None;
    }
    let resizing = "it would resize the root filesystem on the first start of each slot";
    match known::service(&entry.name, &entry.found.files) {
        Some((Kind::Resizer, origin)) => Some((format!("{resizing} ({origin})"), true)),
        Some((Kind::FirstBoot, origin)) => Some((
            format!(
                "it would set the system up and restart on the first start of each slot ({origin}); make its settings in the golden image"
            ),
            true,
        )),
        Some((Kind::Firmware, origin)) => Some((
            format!(
                "it would write firmware by itself, which no rollback takes back ({origin}); update it on request, with rpi-eeprom-update -a"
            ),
            true,
        )),
        Some((Kind::Wizard, _)) => Some((
            format!(
                "{} is enabled: each root filesystem asks for a user on its first start",
                entry.name
            ),
            false,
        )),
        Some((Kind::Ours, _)) => Some((String::new(), false)),
        None => {
            let mut acts = entry.found.findings.iter().map(|finding| finding.act);
            let resizes = acts.any(|act| matches!(act, Act::Resize | Act::Repartition));
            let named = known::names_resizing(&entry.name);
            (resizes && named).then(|| (resizing.to_owned(), true))
        }
    }
}

/// Adds a problem or a note about a finding.
fn report(entry: &Entry, finding: &Finding, judge: &mut Judge) {
    let Finding {
        file,
        line,
        act,
        runs,
        command,
    } = finding;
    let is_once = entry.found.is_once;
    let is_error = match runs {
        _ if *act == Act::Mount => false,
        Runs::Always => true,
        Runs::If => is_once || entry.is_own(file),
        Runs::Later | Runs::Unknown => entry.found.is_named_once,
    };
    let command: String = command.chars().take(80).collect();
    if is_error {
        let why = format!(
            "`{command}` {act} by itself when a root filesystem starts for the first time, in either slot ({})",
            entry.cause(file)
        );
        let advice = "take it out of the golden image";
        judge.problem(file, *line, &why, advice);
        return;
    }
    let is_own = follow::is_own(file);
    let is_told = match act {
        Act::Restart => *runs != Runs::Unknown || is_once || is_own,
        Act::ReadOnly => false,
        _ => is_own,
    };
    if !is_told || judge.accepted(&[file]) {
        return;
    }
    let effect = match act {
        Act::Mount => "it can be the other root filesystem, which an update overwrites",
        Act::Restart => "an update that is not committed yet would be taken back",
        _ => "each root filesystem does it for itself",
    };
    let text = format!(
        "`{command}` {act} under a condition ({}): {effect}",
        entry.cause(file)
    );
    judge.notes.push(StartupNote::at(file, *line, &text));
}

/// Lists the accepted files on the device.
fn list_accepted(work: &mut Workspace<'_>, accepted: &AcceptedFiles) -> Result<(), EditError> {
    let mut lines = BTreeSet::new();
    for (path, reason) in accepted.iter() {
        let reason = reason.replace(['\n', '\t'], " ");
        for path in [path.to_owned(), real(work.root.tree(), path)] {
            lines.insert(format!("{path}\t{reason}\n"));
        }
    }
    if lines.is_empty() {
        return Ok(());
    }
    let text: String = lines.into_iter().collect();
    let reason = "files that act by themselves and are accepted by the configuration";
    work.root.file(ACCEPTED, text, 0o644, reason)
}
