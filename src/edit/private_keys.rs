//! Private keys that were added to the golden image: every device would share them. One that the
//! golden image has already is its owner's; one that the configuration accepts by path is meant.

use super::Trees;
use super::accepting::Used;
use crate::golden::Golden;
use crate::keyfile::{PrivateKey, private_key_in};
use crate::plan::Plan;
use crate::plan::overlays::Target;
use crate::problem::{Problem, Problems, accept_entry};
use crate::stream::{Content, ReadAt, Run, Source};
use crate::tree::editor::Change;
use crate::tree::{DirEntry, LeafKind, Tree, show};
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Refuses private keys in files that are not those of the golden image. `changes` are those of
/// each filesystem, in the order of [`Target::ALL`]; `used` gets the entries by which keys are
/// accepted.
///
/// # Errors
/// [`Problems`] with every such file; I/O errors of files.
pub(super) fn check(
    plan: &Plan,
    known: &Known<'_>,
    trees: &Trees,
    changes: &[Vec<Change>; 3],
    used: &Used,
) -> Result<()> {
    let mut problems = Problems::default();
    for (target, changes) in Target::ALL.into_iter().zip(changes) {
        let tree = match target {
            Target::Root => &trees.root,
            Target::Boot => &trees.boot,
            Target::Data => &trees.data,
        };
        for (path, content) in added(tree, known) {
            let context = || format!("reading {} of the {target:?} filesystem", show(&path));
            let Some(key) = private_key_in(content).with_context(context)? else {
                continue;
            };
            if known.has_copy(content)? {
                continue;
            }
            let device_path = device_path(plan, target, &show(&path));
            let origin = changes.iter().rfind(|change| change.path == path);
            let origin = origin.map(|change| change.reason.as_str());
            problems
                .0
                .extend(judge(plan, used, &device_path, &key, content, origin));
        }
    }
    problems.check()?;
    Ok(())
}

/// The path of a file on the device.
fn device_path(plan: &Plan, target: Target, path: &str) -> String {
    match target {
        Target::Root => path.to_owned(),
        Target::Boot => format!("{}{path}", plan.boot.mount.trim_end_matches('/')),
        Target::Data => format!("/data{path}"),
    }
}

/// The problem of one file, if it is one.
fn judge(
    plan: &Plan,
    used: &Used,
    path: &str,
    key: &PrivateKey,
    content: &Content,
    origin: Option<&str>,
) -> Option<Problem> {
    let form = &key.form;
    let origin = origin
        .map(|origin| format!(" ({origin})"))
        .unwrap_or_default();
    if is_signing_key(plan, content) {
        let message = format!(
            "{path} holds the key that signs Artifacts{origin}: whoever has a device could sign \
             updates for all of them"
        );
        return Some(Problem::new(message).hint("leave it out of the image"));
    }
    if used.accepts(&plan.accepted, path) {
        return None;
    }
    let message =
        format!("{path} holds a private key ({form}), which every device would have{origin}");
    Some(Problem::new(message).hint(format!(
        "leave it out, and have each device make or get a key of its own; if all devices are meant \
         to share it, accept it:{}",
        accept_entry(path)
    )))
}

fn is_signing_key(plan: &Plan, content: &Content) -> bool {
    const LIMIT: u64 = 64 << 10;
    let Some(signer) = &plan.signer else {
        return false;
    };
    let text = content.read_all(LIMIT).unwrap_or_default();
    crate::plan::trust::is_key_of(signer, &text)
}

/// Every file of a tree that is not of the golden image, by its path.
fn added<'t>(tree: &'t Tree, known: &Known<'_>) -> Vec<(Vec<u8>, &'t Content)> {
    let mut out = Vec::new();
    each_file(tree, &mut |path, content| {
        if !known.is_golden(content) {
            out.push((path.to_vec(), content));
        }
    });
    out
}

/// Calls `f` with the path and the content of every file of a tree.
fn each_file<'t>(tree: &'t Tree, f: &mut dyn FnMut(&[u8], &'t Content)) {
    tree.visit(&mut |path, entry| {
        if let DirEntry::Leaf(id) = entry
            && let LeafKind::File(content) = &tree.leaf(*id).kind
        {
            f(path, content);
        }
    });
}

/// The files of the golden image.
pub(super) struct Known<'g> {
    files: Vec<&'g Content>,
    /// The addresses of the sources that their bytes are read from.
    sources: BTreeSet<usize>,
}

impl<'g> Known<'g> {
    /// Those of its root and boot filesystems, and those that were `carried` over from others.
    pub(super) fn new(golden: &'g Golden, carried: &'g Tree) -> Self {
        let boot = golden.boot.as_ref().map(|boot| &boot.tree);
        let trees = [Some(&golden.root.tree), boot, Some(carried)];
        let trees = trees.into_iter().flatten();
        let mut files = Vec::new();
        trees.for_each(|tree| each_file(tree, &mut |_, content| files.push(content)));
        let sources = files
            .iter()
            .flat_map(|content: &&Content| content.runs())
            .map(|run| address(&run.source))
            .collect();
        Self { files, sources }
    }

    /// Whether all bytes of `content` are those of a file of the golden image.
    fn is_golden(&self, content: &Content) -> bool {
        let known = |run: &Run| self.sources.contains(&address(&run.source));
        content.runs().iter().all(known)
    }

    /// Whether the golden image has a file with these bytes.
    fn has_copy(&self, content: &Content) -> Result<bool> {
        const LIMIT: u64 = 64 << 20;
        let mut same_length = self.files.iter().filter(|file| file.len() == content.len());
        let Ok(bytes) = content.read_all(LIMIT) else {
            return Ok(false);
        };
        Ok(same_length.any(|file| file.read_all(LIMIT).is_ok_and(|golden| golden == bytes)))
    }
}

fn address(source: &Source) -> usize {
    Arc::as_ptr(source).cast::<()>().addr()
}
