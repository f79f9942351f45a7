//! All sets of `sets.txt`, for each release, and the page about them.

use super::root::Root;
use super::{Judge, Outcome, page};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What became of each set of a release.
pub(super) struct Seen {
    pub(super) release: &'static str,
    /// All packages of the sets.
    pub(super) packages: usize,
    /// What apt knows no solution for.
    pub(super) unknown: BTreeSet<String>,
    pub(super) outcomes: BTreeMap<String, Outcome>,
}

/// The sets of `release` in the list.
fn sets(release: &str) -> Vec<&'static str> {
    let lines = include_str!("sets.txt").lines();
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .filter_map(|line| match line.split_once(' ') {
            Some((set, only)) => (only == release).then_some(set),
            None => Some(line),
        })
        .collect()
}

/// Judges all sets of a release whose name contains one of the words, several at once.
fn release(release: &'static str, word: &str) -> Option<Seen> {
    let wanted = |set: &&str| word.split(',').any(|word| set.contains(word));
    let named: Vec<&str> = sets(release).into_iter().filter(wanted).collect();
    let judge = Judge::new(Root::new(release, &named)?);
    let sets = &judge.root.sets;
    let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let work = || {
        while let Some((name, files)) = sets.get(next.fetch_add(1, Ordering::Relaxed)) {
            let Ok(files) = files else { continue };
            // The root has all of some sets.
            if files.is_empty() {
                continue;
            }
            let outcome = judge.judge(files);
            eprintln!("{release} {name}: {outcome}");
            outcomes
                .lock()
                .expect("no panic")
                .insert(name.clone(), outcome);
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    let packages: BTreeSet<_> = sets
        .iter()
        .filter_map(|(_, files)| files.as_ref().ok())
        .flatten()
        .collect();
    let unknown = sets
        .iter()
        .filter(|(_, files)| files.is_err())
        .map(|(name, _)| name.clone());
    Some(Seen {
        release,
        packages: packages.len(),
        unknown: unknown.collect(),
        outcomes: outcomes.into_inner().expect("no panic"),
    })
}

#[test]
#[ignore = "hundreds of packages: make test-packages"]
fn all_packages_are_installed_as_by_dpkg_or_refused() {
    let word = std::env::var("GOLDSMITH_PACKAGES").unwrap_or_default();
    let seen: Option<Vec<Seen>> = ["bookworm", "trixie"]
        .into_iter()
        .map(|name| release(name, &word))
        .collect();
    let Some(seen) = seen else { return };
    let wrong = seen.iter().flat_map(|seen| seen.outcomes.values());
    let wrong = wrong
        .filter(|outcome| matches!(outcome, Outcome::Wrong(_)))
        .count();
    // A part of the sets says nothing about the page or the table.
    if word.is_empty() {
        page::compare(&seen);
    }
    assert_eq!(wrong, 0, "sets that are installed otherwise than by dpkg");
}
