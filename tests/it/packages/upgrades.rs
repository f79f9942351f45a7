//! The upgrades of `upgrades.txt`: the old versions are installed by dpkg, the new ones both ways.

use super::compare::{self, Facts};
use super::root::{Copy, Root};
use super::{Judge, Outcome, SAMPLE, installed, installed_by_dpkg, probes};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What dpkg would ask about configuration files is answered as goldsmith does.
pub(super) const CONFOLD: [&str; 1] = ["--force-confold"];

/// An upgrade of packages of our own.
struct Upgrade {
    name: String,
    /// Whether goldsmith must do it.
    accepted: bool,
    old: Vec<PathBuf>,
    /// What is done to the root between the versions.
    between: String,
    new: Vec<PathBuf>,
}

/// Builds the packages of all upgrades of a text like `upgrades.txt` in `dir`.
fn build(dir: &Path, text: &str) -> Vec<Upgrade> {
    let upgrade = |text: &str| {
        let (head, rest) = text.split_once('\n').expect("a name");
        let (name, accepted) = head.split_once(' ').unwrap_or((head, ""));
        let mut out = Upgrade {
            name: name.to_owned(),
            accepted: accepted == "accepted",
            old: Vec::new(),
            between: String::new(),
            new: Vec::new(),
        };
        for part in format!("\n{rest}").split("\n+++ ").skip(1) {
            let (head, body) = part.split_once('\n').unwrap_or((part, ""));
            let (kind, package) = head.split_once(' ').unwrap_or((head, name));
            match kind {
                "old" => out.old.push(probes::package(dir, package, "1", body)),
                "new" => out.new.push(probes::package(dir, package, "2", body)),
                "between" => out.between.push_str(body),
                _ => panic!("upgrades.txt: {head:?}"),
            }
        }
        out
    };
    text.split("\n=== ").skip(1).map(upgrade).collect()
}

/// Installs the new versions of a copy that has the old ones, both ways; packages named in
/// `downgrades` may go back.
pub(super) fn judge(judge: &Judge, copy: &Copy, new: &[PathBuf], downgrades: &[String]) -> Outcome {
    let dir = new.first().and_then(|deb| deb.parent()).expect("a package");
    let mut tree = copy.tree(&judge.root);
    let report = match installed(&mut tree, new, &[], downgrades) {
        Ok(report) => report,
        Err(problems) => return Outcome::Refused(problems),
    };
    let ours = Facts::of(&tree, &judge.digests);
    let mut found = Vec::new();
    // What is wrong with conffiles that were changed is said of both.
    let verified = {
        let copy = judge.root.copy();
        compare::write(&copy, &tree, &ours.differences(&judge.base));
        for command in [&["dpkg", "--audit"][..], &["apt-get", "-qq", "check"]] {
            let (fine, said) = copy.run(dir, command);
            if !fine || !said.is_empty() {
                found.push(format!("{}: {said}", command.join(" ")));
            }
        }
        copy.run(dir, &["dpkg", "--verify"])
    };
    let files: Vec<PathBuf> = report
        .packages
        .iter()
        .map(|package| PathBuf::from(&package.file))
        .collect();
    if let Err(said) = installed_by_dpkg(copy, dir, &files, &CONFOLD) {
        return Outcome::Wrong(vec![format!("dpkg fails: {said}")]);
    }
    let theirs = Facts::of(&copy.tree(&judge.root), &judge.digests);
    let mut harmless = BTreeSet::new();
    for difference in ours.differences(&theirs) {
        match judge.known.explain(&difference) {
            Some(number) => {
                harmless.insert(number);
            }
            None => found.push(difference.to_string()),
        }
    }
    let by_dpkg = copy.run(dir, &["dpkg", "--verify"]);
    if verified != by_dpkg {
        found.push(format!(
            "dpkg --verify: {} instead of {}",
            verified.1, by_dpkg.1
        ));
    }
    if found.is_empty() {
        Outcome::Same(harmless)
    } else {
        Outcome::Wrong(found)
    }
}

#[test]
fn upgrades_are_done_as_by_dpkg_or_refused() {
    let Some(root) = Root::new("bookworm", &SAMPLE) else {
        return;
    };
    let by = Judge::new(root);
    let dir = crate::support::scratch();
    let upgrades = build(dir.path(), include_str!("upgrades.txt"));
    let copy = by.root.copy();
    let old: Vec<PathBuf> = upgrades.iter().flat_map(|one| one.old.clone()).collect();
    installed_by_dpkg(&copy, dir.path(), &old, &CONFOLD).unwrap_or_else(|said| panic!("{said}"));
    for upgrade in upgrades.iter().filter(|one| !one.between.is_empty()) {
        let (fine, said) = copy.run(dir.path(), &["sh", "-ec", &upgrade.between]);
        assert!(fine, "{}: {said}", upgrade.name);
    }
    let before = copy.tree(&by.root);
    let mut accepted = Vec::new();
    for upgrade in &upgrades {
        match installed(&mut before.clone(), &upgrade.new, &[], &[]) {
            Ok(_) => accepted.extend(upgrade.new.clone()),
            Err(problems) => {
                let outcome = Outcome::Refused(problems);
                assert!(!upgrade.accepted, "{}: {outcome}", upgrade.name);
                eprintln!("{}: {outcome}", upgrade.name);
            }
        }
    }
    // Each has names of its own, so that one run of dpkg is enough.
    let outcome = judge(&by, &copy, &accepted, &[]);
    assert!(matches!(outcome, Outcome::Same(_)), "{outcome}");
}
