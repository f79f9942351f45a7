//! A comparison as text for a terminal.

use super::html::{summary, versions};
use super::{Comparison, FileChange, FilesystemChange, Sort};
use crate::units::human;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// How many of the files of one filesystem are listed, unless all are.
const FILES_MAX: usize = 60;

/// The text for a comparison of the files called `old` and `new`; with `all`, no file is left out.
#[must_use]
pub fn text(old: &str, new: &str, comparison: &Comparison, all: bool) -> String {
    let mut out = String::new();
    for (sign, name, side) in [("---", old, &comparison.old), ("+++", new, &comparison.new)] {
        let release = side
            .release
            .iter()
            .map(|release| format!(", release {release}"));
        let release: String = release.collect();
        let _ = writeln!(
            out,
            "{sign} {name} ({}, {}{release})",
            side.form,
            human(side.size)
        );
    }
    if !comparison.partitions.is_empty() {
        out.push_str("\npartitions\n");
    }
    for one in &comparison.partitions {
        for (sign, text) in [("-", &one.old), ("+", &one.new)] {
            if let Some(text) = text {
                let _ = writeln!(out, "  {sign} {:<3} {text}", one.number);
            }
        }
    }
    for one in &comparison.filesystems {
        filesystem(&mut out, one, all);
    }
    if !comparison.not_compared.is_empty() {
        out.push_str("\nnot compared\n");
    }
    for one in &comparison.not_compared {
        let _ = writeln!(out, "  {one}");
    }
    if comparison.is_equal() {
        let rest = match comparison.not_compared.is_empty() {
            true => "",
            false => " in all else",
        };
        let _ = writeln!(out, "\nnothing differs{rest}");
    }
    out
}

fn filesystem(out: &mut String, one: &FilesystemChange, all: bool) {
    let _ = writeln!(out, "\n{}: {}", one.name, summary(one));
    if one.same_as.is_some() {
        return;
    }
    if !one.packages.is_empty() {
        out.push_str("  packages\n");
    }
    for package in &one.packages {
        let (sign, versions) = versions(package);
        let _ = writeln!(out, "    {sign} {} {versions}", package.name);
    }
    let mut of_packages: BTreeMap<&str, usize> = BTreeMap::new();
    let mut own: Vec<(&FileChange, usize)> = Vec::new();
    for change in &one.files.changes {
        match &change.package {
            Some(package) if !all && change.is_of_package() => {
                let count = of_packages.entry(package).or_default();
                *count = count.saturating_add(1);
            }
            _ if !all && is_below(own.last(), change) => {
                if let Some((_, below)) = own.last_mut() {
                    *below = below.saturating_add(1);
                }
            }
            _ => own.push((change, 0)),
        }
    }
    if !own.is_empty() || !of_packages.is_empty() {
        out.push_str("  files\n");
    }
    let shown = if all { own.len() } else { FILES_MAX };
    for (change, below) in own.iter().take(shown) {
        file(out, change, *below);
    }
    if own.len() > shown {
        let left = own.len().saturating_sub(shown);
        let _ = writeln!(out, "    ... {left} more; --all lists them");
    }
    let files: usize = of_packages.values().sum();
    if files > 0 {
        let _ = writeln!(
            out,
            "    ~ {files} files of the packages above; --all lists them"
        );
    }
}

/// Whether a path is in the directory of the last one, and both exist on the same side only.
fn is_below(last: Option<&(&FileChange, usize)>, change: &FileChange) -> bool {
    last.is_some_and(|(directory, _)| {
        let rest = change.path.strip_prefix(&directory.path);
        directory.kind == "directory"
            && directory.sort != Sort::Changed
            && directory.sort == change.sort
            && rest.is_some_and(|rest| rest.starts_with('/'))
    })
}

fn file(out: &mut String, change: &FileChange, below: usize) {
    let sign = change.sort.sign();
    let _ = write!(out, "    {sign} {}", change.path);
    match (change.kind, below) {
        ("directory", 0) => out.push('/'),
        ("directory", below) => {
            let _ = write!(out, "/ and {below} below it");
        }
        _ => {}
    }
    let described = change.described();
    if !described.is_empty() {
        let _ = write!(out, " ({described})");
    }
    out.push('\n');
    for line in change.patch.iter().flat_map(|patch| patch.lines()) {
        let _ = writeln!(out, "        {line}");
    }
}
