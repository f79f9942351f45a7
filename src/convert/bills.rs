//! Bills of materials of the written root filesystem, and the statement that binds the results to
//! what they were made from.

use super::Prepared;
use super::check::Digests;
use super::outputs::Pending;
use super::record::Record;
use super::write::WrittenConversion;
use crate::digest::{Digest, hex, sha256, unhex};
use crate::fs::ext4;
use crate::plan::output::{CYCLONEDX, SPDX};
use crate::report::Report;
use crate::sbom::{self, Bill, Contact, Input, InputDigest, Output, Statement, Subject};
use crate::stream::FileSource;
use crate::tree::{DirEntry, LeafKind, host, show};
use anyhow::{Context, Result};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

/// A writer of a bill.
type Writer = fn(&Bill, &mut dyn Write) -> io::Result<()>;

/// Writes the bills that the plan asks for, under temporary names; `jobs` threads read files.
///
/// # Errors
/// I/O errors; that the golden image changed meanwhile.
pub(super) fn write(
    written: &WrittenConversion,
    digests: &Digests,
    jobs: usize,
    report: &dyn Report,
) -> Result<Vec<(&'static str, Pending)>> {
    let (prepared, plan) = (&written.prepared, &written.prepared.plan);
    if !plan.output.sbom.has_bill() {
        return Ok(Vec::new());
    }
    let bill = read(written, digests, jobs, report)
        .context("reading the files of the root filesystem")
        .map_err(|error| prepared.golden.or_input_changed(error))?;
    let unchanged = prepared.golden.input.check_unchanged();
    unchanged
        .map_err(|error| error.problem())
        .context("reading the golden image")?;
    for remark in &bill.remarks {
        report.warn(&format!("bill of materials: {remark}"));
    }
    let unclear = bill.unclear_licences();
    if unclear > 0 {
        report.note(&format!(
            "{unclear} of {} packages have no machine-readable copyright file: the bills of \
             materials name their licences by reference",
            bill.packages.len()
        ));
    }
    let sbom = &plan.output.sbom;
    let writers: [(bool, &str, &str, Writer); 2] = [
        (sbom.cyclonedx, "cyclonedx", CYCLONEDX, sbom::cyclonedx),
        (sbom.spdx, "spdx", SPDX, sbom::spdx),
    ];
    let mut out = Vec::new();
    for (_, kind, extension, writer) in writers.into_iter().filter(|(wanted, ..)| *wanted) {
        let pending = written
            .outputs
            .create(&format!("{}.{extension}", plan.name))?;
        let mut buffer = BufWriter::new(pending.file());
        let result = writer(&bill, &mut buffer).and_then(|()| buffer.flush());
        drop(buffer);
        result.map_err(|e| pending.writing(e))?;
        out.push((kind, pending));
    }
    Ok(out)
}

/// The parts of the written root filesystem.
fn read(
    written: &WrittenConversion,
    digests: &Digests,
    jobs: usize,
    report: &dyn Report,
) -> Result<Bill> {
    let (plan, edited) = (&written.prepared.plan, &written.prepared.edited);
    let root = &written.root;
    let tree = ext4::read::Filesystem::open(Arc::new(root.clone()))?.tree()?;
    let in_root = edited
        .changes
        .iter()
        .filter(|change| change.filesystem == "root");
    let reasons: BTreeMap<String, String> = in_root
        .map(|change| (change.path.clone(), change.reason.clone()))
        .collect();
    let subject = Subject {
        name: plan.stamp.family.clone(),
        version: plan.artifact.name.clone(),
        file: plan.artifact.payload_name.clone(),
        sha256: written.files.root_sha256,
        artifact: (format!("{}.mender", plan.name), digests.artifact),
        creator: plan.output.sbom.creator.as_deref().map(Contact::at),
        time: plan.stamp.time.seconds,
    };
    report.step("hashing the files for the bill of materials", None);
    let bill = Bill::read(subject, (&tree, root), &reasons, jobs, &|bytes| {
        report.advance(bytes);
    })?;
    Ok(bill)
}

/// The statement about the results in `record`, as JSON; the record itself has the digest `sha256`.
pub(super) fn statement(
    prepared: &Prepared,
    record: &Record,
    inputs: &[Input],
    sha256: Digest,
) -> String {
    let plan = &prepared.plan;
    let outputs = record.outputs.iter().filter_map(|output| {
        Some(Output {
            name: output.file.clone(),
            sha256: unhex(output.sha256.as_deref()?)?,
        })
    });
    let record = Output {
        name: format!("{}.json", plan.name),
        sha256,
    };
    let statement = Statement {
        outputs: outputs.chain([record]).collect(),
        inputs: inputs.to_vec(),
        artifact_name: plan.artifact.name.clone(),
        device_types: plan.device_types.clone(),
        boards: plan.boards.clone(),
        configuration: plan.configuration,
        time: plan.stamp.time.seconds,
    };
    statement.json()
}

/// Everything that the results were made from, as far as it has a digest of its own. `golden` is
/// the SHA-256 of the golden image as it is stored.
///
/// # Errors
/// I/O errors of reading hooks and overlays.
pub(super) fn inputs(prepared: &Prepared, golden: Option<&str>) -> Result<Vec<Input>> {
    let Prepared { plan, edited, .. } = prepared;
    let digest = |bytes: &[u8]| hex(&Sha256::digest(bytes));
    let file = |role, name: &str, sha256: String| Input {
        role,
        name: name.to_owned(),
        uri: None,
        digest: Some(InputDigest::Sha256(sha256)),
    };
    let mut out = vec![Input {
        role: "golden image",
        name: plan.input_name.clone(),
        // A pipe cannot be read again: the UUID of its root filesystem is all that names it.
        uri: golden
            .is_none()
            .then(|| format!("urn:uuid:{}", prepared.golden.root.info.uuid)),
        digest: golden.map(|digest| InputDigest::Sha256(digest.to_owned())),
    }];
    let os = &prepared.golden.facts.os;
    out.extend(edited.packages.iter().map(|package| Input {
        uri: Some(sbom::package_url(
            os,
            &package.name,
            &package.version,
            &package.architecture,
        )),
        ..file("package", &package.name, package.sha256.clone())
    }));
    for (role, dirs) in [
        ("overlay of the root filesystem", &plan.overlays.root.dirs),
        ("overlay of the boot partition", &plan.overlays.boot.dirs),
        ("overlay of the data partition", &plan.overlays.data.dirs),
    ] {
        for dir in dirs {
            out.push(Input {
                role,
                name: name_of(dir),
                uri: None,
                digest: Some(InputDigest::Directory(directory(dir)?)),
            });
        }
    }
    for hook in &plan.hooks {
        let source = FileSource::open(&hook.path);
        let sum = source.and_then(|source| sha256(&source));
        let sum = sum.with_context(|| format!("reading {}", hook.path.display()))?;
        out.push(file("hook", &hook.program, hex(&sum)));
    }
    let blobs = edited.raw.iter();
    out.extend(blobs.map(|blob| {
        file(
            "bytes outside the partitions",
            &blob.name,
            hex(&blob.sha256()),
        )
    }));
    let scripts = plan.artifact.scripts.iter();
    out.extend(scripts.map(|script| file("state script", &script.name, digest(&script.bytes))));
    if let Some(layout) = &plan.root.filesystem.preserve_layout {
        let sum = digest(layout.to_text().as_bytes());
        out.push(file("file layout of an earlier release", "places", sum));
    }
    Ok(out)
}

/// The last component of a path: no directory of the host gets into an output.
fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// The digest of the files of a directory (`dirHash` of in-toto, which is `Hash1` of Go's
/// `dirhash`): the SHA-256 of a line `<SHA-256>  <path>` for each regular file, by path.
fn directory(dir: &Path) -> Result<Digest> {
    let tree = host::read(dir, crate::stamp::Time::default())?;
    let mut files = Vec::new();
    tree.visit(&mut |path, entry| {
        if let DirEntry::Leaf(leaf) = entry
            && let LeafKind::File(content) = &tree.leaf(*leaf).kind
        {
            files.push((path.to_vec(), content));
        }
    });
    files.sort_by(|a, b| a.0.cmp(&b.0));
    let mut hash = Sha256::new();
    for (path, content) in files {
        let sum = sha256(content).with_context(|| format!("reading {}", dir.display()))?;
        let name = path.strip_prefix(b"/").unwrap_or(&path);
        hash.update(hex(&sum));
        hash.update(b"  ");
        hash.update(show(name));
        hash.update(b"\n");
    }
    Ok(hash.finalize().into())
}
