//! A conversion, in seven calls: read the golden image, decide, edit, lay out ([`prepare`]), then
//! write, check and publish ([`convert`]). `plan` stops after the fourth and shows what is there,
//! so that a dry run is not a second implementation.

mod artifact_draft;
mod bills;
mod check;
mod details;
mod disk_parts;
mod emit;
mod flusher;
mod frame_stream;
pub mod golden_record;
mod hooks;
mod judged;
mod known_roots;
mod layout;
#[cfg(test)]
mod odd_tests;
pub mod outputs;
mod provisioning;
mod publish;
mod record;
mod rehearsal;
mod reworded;
mod root_hash;
mod root_pass;
mod shared;
mod space;
#[cfg(test)]
mod tests;
mod write;
mod write_log;

pub use layout::DiskLayout;
use record::UpdateFacts;
pub use record::{Record, read_record};
pub use shared::SharedWork;
pub use write::WriteOptions;

use crate::artifact::{Offer, Signed};
use crate::doctor::{self, Finding, System, TriedPasswords};
use crate::edit::mender::client_programs;
use crate::edit::{self, Edited, StagedDir};
use crate::golden::Golden;
use crate::image::source::InputImage;
use crate::plan::client::WithoutClient;
use crate::plan::hooks::Stage;
use crate::plan::{Plan, PlanRequest};
use crate::problem::{Problem, Problems};
use crate::report::{Report, WithoutSaid};
use anyhow::{Context, Result};
use hooks::Staged;
use judged::Judged;
use rehearsal::Rehearsed;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A conversion that the user asks for.
#[derive(Clone)]
pub struct Request<'a> {
    /// The configuration and files of the host.
    pub plan: PlanRequest<'a>,
    /// Whether hooks run; `plan` only names them.
    pub run_hooks: bool,
    /// The record of an earlier release, and where it was read from: its devices must be able to
    /// install the new one.
    pub upgrade_from: Option<(&'a Path, &'a Value)>,
    /// Whether warnings are errors.
    pub strict: bool,
    /// What conversions of the same golden image share.
    pub shared: Option<&'a SharedWork>,
    /// Receives progress and notes.
    pub report: &'a dyn Report,
}

impl Request<'_> {
    /// These warnings as problems, if warnings are errors; each begins with `context`.
    fn refused(&self, warnings: &[String], context: &str) -> Vec<Problem> {
        let refused = warnings.iter().filter(|_| self.strict);
        let problems = refused.map(|warning| Problem::new(format!("{context}{warning}")));
        problems.collect()
    }
}

/// A conversion that is ready to be written.
#[derive(Debug)]
pub struct Prepared {
    /// The golden image, without its trees.
    pub golden: Golden,
    /// The decisions about names, identities and sizes.
    pub plan: Plan,
    /// The filesystems after all edits.
    pub edited: Edited,
    /// Where everything is on the disk.
    pub layout: DiskLayout,
    /// What decides about later updates, from the files of the release.
    update_facts: UpdateFacts,
    /// The filesystems as they are written.
    images: layout::Images,
    /// The warnings of the checks, which were reported.
    warnings: Vec<String>,
    /// What the checks read of the disk; `None` if they did not run.
    judged: Option<Arc<Judged>>,
    /// The staging directories of hooks, whose files are read when the image is written.
    _staged: Vec<Staged>,
}

/// Bytes of filesystems that are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// Of the boot filesystem.
    pub boot: u64,
    /// Of the root filesystem.
    pub root: u64,
}

/// The result of a conversion.
#[derive(Debug)]
pub struct Conversion {
    /// The record, as in `<name>.json`.
    pub record: Record,
    /// The files under their final names.
    pub files: Vec<PathBuf>,
}

/// Reads, decides, edits and lays out, and checks what would be written; writes nothing.
///
/// # Errors
/// I/O errors of the golden image; all problems of the plan or of the edits at once; everything
/// that writing and checking would refuse; that devices of the earlier release cannot install this
/// one.
pub fn prepare(request: &Request, input: InputImage) -> Result<Prepared> {
    let golden = Golden::read(input, request.plan.selection(), request.report)?;
    prepare_golden(request, golden)
}

/// As [`prepare`], with a golden image that was read with the selection of the request.
///
/// # Errors
/// As [`prepare`].
pub fn prepare_golden(request: &Request, golden: Golden) -> Result<Prepared> {
    prepare_read(request, golden, true)
}

/// As [`prepare_golden`]; without `verify` nothing is checked.
fn prepare_read(request: &Request, mut golden: Golden, verify: bool) -> Result<Prepared> {
    let plan = request.plan.plan(&golden)?;
    // Reported at once: an error of the edits is easier to understand after them.
    plan.notes.iter().for_each(|note| request.report.note(note));
    let own = TriedPasswords::default();
    let tried = request.shared.map_or(&own, |shared| &shared.tried);
    let (mut edited, staged) = edit_and_try(request, &plan, &golden, tried)?;
    golden.forget_trees();
    edited.warnings.extend(left_behind(&plan, &edited, tried));
    let read = golden.disk.read_errors.check();
    read.context("reading the files of the golden image")
        .map_err(|error| golden.or_input_changed(error))?;
    request.report.step("measuring", None);
    let (layout, root) = layout::lay_out(&plan, &golden, &edited)?;
    edited.notes.extend(layout.unused(plan.data.grow));
    let too_large = layout::check_client(&layout, &plan, &golden, &edited)?;
    if !verify {
        // Otherwise the checks find it too.
        edited.warnings.extend(too_large);
    }
    let mut prepared = Prepared {
        golden,
        plan,
        update_facts: UpdateFacts::read(&edited.trees),
        edited,
        layout,
        images: layout::Images::default(),
        warnings: Vec::new(),
        judged: None,
        _staged: staged,
    };
    details::prepared(&prepared, request.report);
    request.report.step("checking what will be written", None);
    let problems = client_missing(&prepared, request);
    if request.run_hooks {
        // Only a plan can show what is in the files, the largest value in memory.
        prepared.edited.trees.root.clear();
    }
    prepared.compose(root)?;
    let rehearsed = rehearsal::rehearse(&prepared, verify, request);
    let accepted = rehearsed.and_then(|mut rehearsed| {
        prepared.judged = rehearsed.judged.take().map(Arc::new);
        rehearsed.problems.extend(problems);
        prepared.accept(request, rehearsed)
    });
    prepared.warnings = accepted.map_err(|error| prepared.golden.or_input_changed(error))?;
    Ok(prepared)
}

/// Examines a golden image: everything that its owner should know before it is converted, and what
/// [`prepare`] refuses. Notes and warnings of the conversion are not reported.
///
/// # Errors
/// I/O errors of the golden image; that it cannot be read.
pub fn examine(request: &Request, input: InputImage) -> Result<Vec<Finding>> {
    let golden = Golden::read(input, request.plan.selection(), request.report)?;
    request.report.step("examining the golden image", None);
    let mut findings = doctor::golden(&golden, &request.plan.accepted());
    // A conversion warns of what findings say here.
    let report = WithoutSaid {
        inner: request.report,
        said: &doctor::warnings(&findings),
    };
    let quieter = Request {
        plan: request.plan.clone(),
        report: &report,
        ..*request
    };
    match prepare_read(&quieter, golden, true) {
        Ok(prepared) => {
            if !client_programs(&prepared.edited.trees.root).is_empty() {
                doctor::client_comes(&mut findings);
            }
            Ok(doctor::references(findings, &prepared.edited.references))
        }
        Err(error) => {
            if request.plan.installs_packages() {
                doctor::client_comes(&mut findings);
            }
            findings.extend(doctor::refusals(&error, &findings));
            Ok(doctor::sorted(findings))
        }
    }
}

/// The problem of a result without an update client that must have one. Hooks that do not run here
/// may still bring it: then it is a warning.
fn client_missing(prepared: &Prepared, request: &Request) -> Option<Problem> {
    let exists = !client_programs(&prepared.edited.trees.root).is_empty();
    if exists || prepared.plan.client.without != WithoutClient::Refused {
        return None;
    }
    let message = "the image has no update client: nothing could be updated on its devices";
    if !request.run_hooks && rehearsal::has_edit_hooks(prepared) {
        let text = format!("unless a hook changes it, {message}");
        request.report.warn(&text);
        return None;
    }
    let hint = "set client.bundle or client.packages, or install a client in the golden image \
                (docs/client.md); client.required = false converts the image without one";
    Some(Problem::new(message).hint(hint))
}

/// Warnings about what the edited filesystems bring to every device.
fn left_behind(plan: &Plan, edited: &Edited, tried: &TriedPasswords) -> Vec<String> {
    let mut system = of_edited(plan, edited);
    system.tried = Some(tried);
    doctor::warnings(&doctor::system(&system))
}

/// The system that devices will have.
fn of_edited<'a>(plan: &'a Plan, edited: &'a Edited) -> System<'a> {
    let trees = &edited.trees;
    let mount = plan.boot.mount.as_str();
    let boot = (Some(&trees.boot), mount);
    let mut system = System::new(&trees.root, boot, Some(&trees.data), &plan.accepted);
    system.origins = edited
        .changes
        .iter()
        .filter(|change| change.is_brought())
        .map(|change| {
            let dir = match change.filesystem {
                "boot" => mount.trim_end_matches('/'),
                "data" => "/data",
                _ => "",
            };
            (format!("{dir}{}", change.path), change.reason.clone())
        })
        .collect();
    system
}

/// Converts: prepares, then writes image, Artifact and record into `dir`, checks them and gives
/// them their names.
///
/// # Errors
/// As [`prepare`]; I/O errors; results that do not pass the checks. No file then has its final
/// name, and files that had such a name before are untouched.
pub fn convert(
    request: &Request,
    input: InputImage,
    dir: &Path,
    options: WriteOptions,
) -> Result<Conversion> {
    let golden = Golden::read(input, request.plan.selection(), request.report)?;
    convert_golden(request, golden, dir, options)
}

/// As [`convert`], with a golden image that was read with the selection of the request.
///
/// # Errors
/// As [`convert`].
pub fn convert_golden(
    request: &Request,
    golden: Golden,
    dir: &Path,
    options: WriteOptions,
) -> Result<Conversion> {
    let prepared = prepare_read(request, golden, options.verify)?;
    let written = write::write(prepared, dir, options, request)?;
    let checked = check::check(written, options, request)?;
    publish::publish(checked, options.jobs, request.report)
}

impl Prepared {
    /// The bytes of both filesystems that are in use.
    pub fn used(&self) -> Used {
        Used {
            boot: self.images.boot.data_len(),
            root: self.images.root.data_len(),
        }
    }

    /// Fails when the outputs cannot be written to `dir`. Returns a warning if there may be too
    /// little room for them, or if this user cannot create `dir`, which is not there.
    ///
    /// # Errors
    /// That one would replace the golden image or a directory; that there is too little room; that
    /// this user cannot write to `dir`.
    pub fn check_outputs(&self, dir: &Path) -> Result<Option<String>> {
        write::check_names(self, dir)?;
        match outputs::refused(dir) {
            // A plan can be made where nothing can be written.
            Some(problem) if dir.symlink_metadata().is_err() => {
                return Ok(Some(format!(
                    "{}; choose another one with --output-dir",
                    problem.message
                )));
            }
            Some(problem) => return Err(problem.into()),
            None => {}
        }
        space::check(self, dir)
    }

    /// The notes of plan and edits and their warnings, for the user.
    pub fn notes(&self) -> impl Iterator<Item = &String> {
        let notes = self.plan.notes.iter().chain(&self.edited.notes);
        notes.chain(&self.edited.warnings)
    }

    /// What decides whether devices install the Artifact.
    fn offer(&self) -> Offer {
        let artifact = &self.plan.artifact;
        let signer = self.plan.signer.as_ref();
        Offer {
            name: artifact.name.clone(),
            demands: self.layout.demands(&self.plan),
            depends_names: artifact.depends_names.clone(),
            depends: artifact.depends.clone(),
            signed: signer.map_or(Signed::No, |signer| Signed::By(signer.verifier())),
            payload_sha256: None,
        }
    }

    /// Compares with the earlier release, and reports the notes of the edits. Returns the warnings
    /// of the checks.
    ///
    /// # Errors
    /// All problems at once: of the checks, of the comparison, and warnings if they count as such.
    fn accept(&self, request: &Request, rehearsed: Rehearsed) -> Result<Vec<String>> {
        let mut problems = request.refused(&self.edited.warnings, "");
        problems.extend(rehearsed.problems);
        if let Some((path, earlier)) = request.upgrade_from {
            let context = format!("comparing with {}: ", path.display());
            match Record::new(self).fits(earlier, self.offer()) {
                Ok(missing) => {
                    problems.extend(request.refused(&missing, &context));
                    let told = missing.iter().filter(|_| !request.strict);
                    told.for_each(|warning| request.report.warn(warning));
                }
                Err(unfit) => problems.extend(unfit.0.into_iter().map(|problem| Problem {
                    message: format!("{context}{}", problem.message),
                    ..problem
                })),
            }
        }
        Problems(problems).check()?;
        if let Some((path, earlier)) = request.upgrade_from {
            request.report.note(&compared(path, earlier));
        }
        let notes = self.edited.notes.iter();
        notes.for_each(|note| request.report.note(note));
        let warnings = self.edited.warnings.iter();
        warnings.for_each(|warning| request.report.warn(warning));
        Ok(rehearsed.warnings)
    }
}

/// What the comparison with an earlier release found.
fn compared(path: &Path, earlier: &Value) -> String {
    let name = earlier.get("artifact_name").and_then(Value::as_str);
    format!(
        "devices that run {} can install this release: device types, disk and partitions, slots, boot loader, data \
         partition, update client, Artifact and its signature were compared with {}",
        name.unwrap_or("the earlier release"),
        path.display()
    )
}

/// As [`edit`]. Meanwhile, another thread tries passwords of the golden image: most edits leave
/// them as they are.
fn edit_and_try(
    request: &Request,
    plan: &Plan,
    golden: &Golden,
    tried: &TriedPasswords,
) -> Result<(Edited, Vec<Staged>)> {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| doctor::begin(&System::of(golden, &plan.accepted), tried, &stop));
        let edited = edit(request, plan, golden);
        stop.store(true, Ordering::Relaxed);
        edited
    })
}

/// Applies all edits, with what hooks stage before and after them.
fn edit(request: &Request, plan: &Plan, golden: &Golden) -> Result<(Edited, Vec<Staged>)> {
    let hooks = |stage, edited: &[_]| -> Result<Vec<Staged>> {
        if !request.run_hooks {
            return Ok(Vec::new());
        }
        hooks::run_stage(plan, golden, stage, edited, request.report)
    };
    let dirs = |staged: &[Staged]| staged.iter().map(Staged::dir).collect::<Vec<StagedDir>>();
    let changed = |error| golden.or_input_changed(error);
    let before = hooks(Stage::BeforeEdits, &[])?;
    request.report.step("editing the filesystems", None);
    let shared = request.shared.map(|shared| &shared.edits);
    let integrated = edit::apply(plan, golden, &dirs(&before), shared).map_err(changed)?;
    let after = hooks(Stage::AfterEdits, &integrated.paths())?;
    let edited = integrated
        .finish(plan, golden, &dirs(&after))
        .map_err(changed)?;
    Ok((edited, before.into_iter().chain(after).collect()))
}
