//! Everything that writing and checking would refuse, found while nothing is written: the
//! filesystems are composed, the disk and the Artifact around them are checked as the written ones
//! will be. Only the checksum of the root filesystem is missing, which needs all of its bytes.

use super::check::{Parts, examined};
use super::judged::{Judged, WatchedDisk, WrittenParts};
use super::{Prepared, Request, details, write};
use crate::artifact::{ArtifactReport, Draft};
use crate::plan::family::{PartitionSet, Role};
use crate::plan::hooks::Stage;
use crate::plan::output::ImageForm;
use crate::problem::Problem;
use crate::stream::{ReadAt, Source};
use crate::verify::{self, Finding, Location, Severity};
use anyhow::{Context, Result};
use std::sync::Arc;

/// Takes the place of the checksum of the root filesystem.
const NO_DIGEST: [u8; 32] = [0; 32];

/// The code of the warning about a missing update client, of which a note says what to do.
const NOTED: &str = "client-missing";

/// The codes of warnings that the edits give too, with the advice that belongs to them.
const TOLD: [&str; 2] = ["client-disabled", "startup-panic"];

/// Whether a warning of the edits is about the same place as a finding of the checks. Private keys
/// are what the doctor has looked for before, in the same files.
fn is_told(finding: &Finding, warnings: &[String], set: PartitionSet) -> bool {
    if finding.code == "private-key" {
        return true;
    }
    let place = place(&finding.place, set);
    TOLD.contains(&finding.code) && warnings.iter().any(|warning| warning.starts_with(&place))
}

/// The findings of the checks.
#[derive(Debug, Default)]
pub(super) struct Rehearsed {
    /// What must not be written: errors, and warnings too if they count as such.
    pub(super) problems: Vec<Problem>,
    /// The warnings, as `verify` words them.
    pub(super) warnings: Vec<String>,
    /// What the checks read, of an image that they will not read again.
    pub(super) judged: Option<Judged>,
}

/// Composes and checks what will be written; without `verify` it is only composed. Reports the
/// warnings of the checks, if they do not count as errors, and problems that hooks which do not run
/// here may still solve.
///
/// # Errors
/// What cannot be written.
pub(super) fn rehearse(prepared: &Prepared, verify: bool, request: &Request) -> Result<Rehearsed> {
    let unpartitioned = prepared.unpartitioned()?;
    let data = prepared.data_image(&NO_DIGEST)?;
    let artifact = artifact(prepared).context("making the Artifact")?;
    if !verify {
        return Ok(Rehearsed::default());
    }
    let images = &prepared.images;
    let disk = write::disk(prepared, &unpartitioned, &images.boot, &images.root);
    let layout = &prepared.layout.extents;
    let copies = prepared.plan.root.copy_to_b;
    let image = prepared.plan.output.image;
    let watched = Arc::new(WatchedDisk::new(
        disk.content(&data),
        WrittenParts {
            layout: *layout,
            root_len: images.root.len(),
            copy_to_b: copies,
            only_root: image == ImageForm::None,
        },
    ));
    let planned: Source = Arc::clone(&watched) as Source;
    let checks = verify::Request {
        artifact_report: Some(&artifact),
        root_sha256: Some(NO_DIGEST),
        identical_slots: copies.then_some([layout.root_a.start, layout.root_b.start]),
        searched: request.shared.map(|shared| &shared.searched),
        ..verify::Request::default()
    };
    let outcome = verify::image(&planned, &checks);
    details::checked(&outcome.groups, request.report);
    let said = &prepared.edited.warnings;
    let set = prepared.plan.family.set;
    let counts = |finding: &&Finding| match finding.severity {
        Severity::Error => true,
        Severity::Warning => request.strict && !is_told(finding, said, set),
        Severity::Note => false,
    };
    let mut problems: Vec<Problem> = outcome
        .findings
        .iter()
        .filter(counts)
        .map(|finding| problem(finding, set))
        .collect();
    let warnings = outcome.findings.iter();
    let warnings = warnings.filter(|finding| finding.severity == Severity::Warning);
    let warnings: Vec<&Finding> = warnings.collect();
    let fresh = warnings
        .iter()
        .filter(|finding| finding.code != NOTED && !is_told(finding, said, set));
    for finding in fresh.filter(|_| !request.strict) {
        request.report.warn(&problem(finding, set).message);
    }
    if !request.run_hooks && has_edit_hooks(prepared) {
        let warn = |problem: Problem| {
            let text = format!("unless a hook changes it, {}", problem.message);
            request.report.warn(&text);
        };
        problems.drain(..).for_each(warn);
    }
    if let Some(last) = problems.last_mut() {
        let hint = "change the golden image, or what the configuration adds to it; convert \
                    --no-verify leaves these checks out";
        last.hint = Some(hint.to_owned());
    }
    Ok(Rehearsed {
        problems,
        warnings: warnings.iter().map(ToString::to_string).collect(),
        judged: Some(watched.judged()),
    })
}

/// Whether hooks change the filesystems.
pub(super) fn has_edit_hooks(prepared: &Prepared) -> bool {
    let mut hooks = prepared.plan.hooks.iter();
    hooks.any(|hook| hook.stage != Stage::AfterImage)
}

/// The Artifact as it will be but for its image, held against all rules.
fn artifact(prepared: &Prepared) -> Result<ArtifactReport> {
    let plan = &prepared.plan;
    let size = prepared.layout.root_size;
    let draft = Draft::new(&plan.artifact, size, plan.signer.as_ref())?;
    let (head, tail) = (draft.head()?, draft.tail()?);
    let data_len = (head.len() + tail.len()) as u64;
    let envelope = draft.finish(&NO_DIGEST, data_len)?;
    let parts = Parts {
        front: envelope.front,
        head,
        tail,
        back: envelope.back,
        data_len,
    };
    examined(prepared, &parts, NO_DIGEST)
}

/// A finding about the image to be, as a problem of what goes into it.
fn problem(finding: &Finding, set: PartitionSet) -> Problem {
    let place = place(&finding.place, set);
    let Finding { code, text, .. } = finding;
    Problem::new(format!("{place}{text} (check {code})"))
}

/// The place of a finding in words of the golden image, which has other partitions.
fn place(place: &Location, set: PartitionSet) -> String {
    let role = place.partition.and_then(|number| set.role(number));
    let filesystem = match role {
        Some(Role::RootA | Role::RootB) => "root filesystem",
        Some(Role::Autoboot | Role::Boot | Role::BootB) => "boot partition",
        Some(Role::Data) => "data partition",
        None => "image",
    };
    let line = place.line.map(|line| format!(":{line}"));
    let line = line.unwrap_or_default();
    match (&place.path, place.inode) {
        (Some(path), _) if filesystem == "root filesystem" => format!("{path}{line}: "),
        (Some(path), _) => format!("{path}{line} of the {filesystem}: "),
        (None, Some(inode)) => format!("{filesystem}, inode {inode}: "),
        (None, None) => format!("{filesystem}: "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_the_golden_image() {
        let set = PartitionSet::OneBoot;
        let place = |at: &Location| place(at, set);
        let root = Location::partition(set.number(Role::RootB));
        let fstab = root.clone().path("/etc/fstab");
        assert_eq!(place(&fstab), "/etc/fstab: ");
        assert_eq!(place(&fstab.line(3)), "/etc/fstab:3: ");
        assert_eq!(place(&root.inode(12)), "root filesystem, inode 12: ");
        let boot = Location::partition(set.number(Role::Boot)).path("/boot.scr");
        assert_eq!(place(&boot), "/boot.scr of the boot partition: ");
        assert_eq!(place(&Location::whole()), "image: ");
    }
}
