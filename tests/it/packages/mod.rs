//! Packages installed by goldsmith and by the real dpkg into the same root: both results must be
//! the same, or differ only as `known.txt` explains. What goldsmith does not install it must
//! refuse.

mod choice;
pub(crate) mod clients;
mod closures;
mod compare;
mod everything;
mod known;
mod page;
mod probes;
mod reason;
mod relations;
mod root;
mod upgrades;

use crate::support::must;
use compare::{Digests, Facts};
use goldsmith::dpkg::{DefaultFile, InstallReport, InstallRequest, install};
use goldsmith::problem::Problem;
use goldsmith::stream::{HostFile, ReadAt};
use goldsmith::tree::editor::TreeEditor;
use goldsmith::tree::{Stat, Time, Tree};
use known::Known;
use root::{Copy, Root};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What became of a set of packages.
enum Outcome {
    /// goldsmith refuses it, for these problems.
    Refused(Vec<Problem>),
    /// goldsmith installs it, and the result is dpkg's but for the known differences of these
    /// numbers.
    Same(BTreeSet<usize>),
    /// goldsmith installs it otherwise than dpkg does.
    Wrong(Vec<String>),
}

/// A root with what is needed to judge sets in it.
struct Judge {
    root: Root,
    digests: Digests,
    base: Facts,
    known: Known,
    /// Files that must be there before packages are configured.
    defaults: Vec<DefaultFile>,
}

impl Judge {
    fn new(root: Root) -> Self {
        let digests = Digests::new(&root.tree);
        Self {
            base: Facts::of(&root.tree, &digests),
            known: Known::read(),
            defaults: Vec::new(),
            digests,
            root,
        }
    }

    /// Installs the packages `debs` of one directory both ways.
    fn judge(&self, debs: &[PathBuf]) -> Outcome {
        let mut tree = self.root.tree.clone();
        let report = match installed(&mut tree, debs, &self.defaults, &[]) {
            Ok(report) => report,
            Err(problems) => return Outcome::Refused(problems),
        };
        let dir = debs
            .first()
            .and_then(|deb| deb.parent())
            .expect("a package");
        let ours = Facts::of(&tree, &self.digests);
        let mut found = self.complaints(&tree, &ours, dir, &report);
        let theirs = match self.dpkg(dir, &report) {
            Ok(theirs) => theirs,
            Err(said) => return Outcome::Wrong(vec![format!("dpkg fails: {said}")]),
        };
        let mut harmless = BTreeSet::new();
        for difference in ours.differences(&theirs) {
            match self.known.explain(&difference) {
                Some(number) => {
                    harmless.insert(number);
                }
                None => found.push(difference.to_string()),
            }
        }
        if found.is_empty() {
            Outcome::Same(harmless)
        } else {
            found.extend(report.notes.iter().map(|note| format!("note: {note}")));
            Outcome::Wrong(found)
        }
    }

    /// What dpkg makes of the packages that goldsmith installed, in the same order. It depends on
    /// the packages, the root and the day, so it is kept for later runs.
    fn dpkg(&self, dir: &Path, report: &InstallReport) -> Result<Facts, String> {
        let packages = report.packages.iter().map(|package| &package.sha256);
        let needed = |file: &&DefaultFile| {
            let mut packages = report.packages.iter();
            packages.any(|package| package.name == file.package)
        };
        let defaults: Vec<DefaultFile> = self.defaults.iter().filter(needed).cloned().collect();
        let paths: String = defaults.iter().map(|file| file.path.as_str()).collect();
        let start = today() + &self.root.stamp() + &paths;
        let key = packages.fold(start, |key, sha256| key + sha256);
        let name = Sha256::digest(key)
            .iter()
            .take(16)
            .fold(String::from("dpkg-"), |name, byte| {
                format!("{name}{byte:02x}")
            });
        let kept = self.root.kept().join(name);
        if let Ok(patch) = fs::read_to_string(&kept)
            && let Some(facts) = self.base.patched(&patch)
        {
            return Ok(facts);
        }
        let facts = self.dpkg_run(dir, report, &defaults)?;
        fs::write(&kept, facts.patch(&self.base)).expect("keeping what dpkg made");
        Ok(facts)
    }

    /// The tree that dpkg makes.
    fn dpkg_run(
        &self,
        dir: &Path,
        report: &InstallReport,
        defaults: &[DefaultFile],
    ) -> Result<Facts, String> {
        let copy = self.root.copy();
        let files: Vec<PathBuf> = report
            .packages
            .iter()
            .map(|package| PathBuf::from(&package.file))
            .collect();
        copy.put(defaults);
        installed_by_dpkg(&copy, dir, &files, &[])?;
        Ok(Facts::of(&copy.tree(&self.root), &self.digests))
    }

    /// What dpkg and apt say against the tree of ours.
    fn complaints(
        &self,
        tree: &Tree,
        ours: &Facts,
        dir: &Path,
        report: &InstallReport,
    ) -> Vec<String> {
        let copy = self.root.copy();
        compare::write(&copy, tree, &ours.differences(&self.base));
        let mut out = Vec::new();
        let mut check = |copy: &Copy, command: &[&str]| {
            let (fine, said) = copy.run(dir, command);
            if !fine || !said.is_empty() {
                out.push(format!("{}: {said}", command.join(" ")));
            }
        };
        let names = report.packages.iter().map(|package| package.name.as_str());
        let verify: Vec<&str> = ["dpkg", "--verify"].into_iter().chain(names).collect();
        check(&copy, &["dpkg", "--audit"]);
        check(&copy, &verify);
        check(&copy, &["apt-get", "-qq", "check"]);
        out
    }
}

/// What keeps services from being started while packages are installed, both ways.
const POLICY: &str = "/usr/sbin/policy-rc.d";
const NO_SERVICES: &str = "#!/bin/sh\nexit 101\n";

/// Installs packages of one directory by dpkg in a copy of the root, or returns what it says.
fn installed_by_dpkg(
    copy: &Copy,
    dir: &Path,
    debs: &[PathBuf],
    options: &[&str],
) -> Result<(), String> {
    let policy = copy.root.join(POLICY.trim_start_matches('/'));
    fs::write(&policy, NO_SERVICES).expect("a policy");
    fs::set_permissions(&policy, fs::Permissions::from_mode(0o755)).expect("a mode");
    let file = |deb: &PathBuf| format!("/mnt/{}", deb.file_name().expect("a file").display());
    let files: Vec<String> = debs.iter().map(file).collect();
    // What another package of the set must be configured before waits for the next round.
    let mut command = vec!["dpkg", "--install", "--skip-same-version"];
    command.extend(options);
    command.extend(files.iter().map(String::as_str));
    let mut done = (false, String::new());
    for _ in 0..4 {
        done = copy.run(dir, &command);
        if done.0 || !done.1.contains("pre-dependency problem") {
            break;
        }
    }
    // A round that skips what is unpacked does not configure it.
    let rest = [&["dpkg", "--configure", "--pending"], options].concat();
    done.0 = copy.run(dir, &rest).0;
    fs::remove_file(policy).expect("removing the policy");
    if done.0 { Ok(()) } else { Err(done.1) }
}

/// The day, by which dpkg's run dates new accounts.
fn today() -> String {
    must("date", &[&"+%F"])
}

/// Installs packages by goldsmith.
fn installed(
    tree: &mut Tree,
    debs: &[PathBuf],
    defaults: &[DefaultFile],
    downgrades: &[String],
) -> Result<InstallReport, Vec<Problem>> {
    // The day of a new account's password is that of dpkg's run.
    let now = must("date", &[&"+%s"]);
    let time = Time {
        seconds: now.trim_end().parse().expect("a time"),
        nanos: 0,
    };
    let source = |deb: &PathBuf| -> (PathBuf, Arc<dyn ReadAt>) {
        let len = fs::metadata(deb).expect("a package").len();
        (deb.clone(), Arc::new(HostFile::new(deb.clone(), len)))
    };
    let request = InstallRequest {
        debs: debs.iter().map(source).collect(),
        managed: true,
        accept: Vec::new(),
        defaults: defaults.to_vec(),
        downgrades: downgrades.to_vec(),
    };
    let stat = Stat::root(0o755, time);
    tree.put_file(POLICY, NO_SERVICES, stat).expect("a policy");
    let report = install(&mut TreeEditor::new(tree, time), &request);
    tree.remove(POLICY).expect("removing the policy");
    report.map_err(|problems| problems.0)
}

/// Small packages of Debian that each need something else of dpkg.
const SAMPLE: [&str; 7] = [
    "dnsmasq",
    "fontconfig",
    "fonts-dejavu-core",
    "nftables",
    "uidmap",
    "vim-tiny",
    "wireguard-tools",
];

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(problems) => {
                f.write_str("refused")?;
                problems
                    .iter()
                    .try_for_each(|problem| write!(f, "\n  {}", problem.message))
            }
            Self::Same(known) if known.is_empty() => f.write_str("same"),
            Self::Same(known) => write!(f, "same but for {} known differences", known.len()),
            Self::Wrong(found) => write!(f, "WRONG\n  {}", found.join("\n  ")),
        }
    }
}

#[test]
fn a_sample_is_installed_as_by_dpkg_or_refused() {
    for release in ["bookworm", "trixie"] {
        let Some(root) = Root::new(release, &SAMPLE) else {
            return;
        };
        let judge = Judge::new(root);
        let mut accepted = 0;
        for (name, debs) in &judge.root.sets {
            let debs = debs
                .as_ref()
                .unwrap_or_else(|said| panic!("{name}: {said}"));
            let outcome = judge.judge(debs);
            assert!(
                !matches!(outcome, Outcome::Wrong(_)),
                "{release} {name}: {outcome}"
            );
            accepted += usize::from(matches!(outcome, Outcome::Same(_)));
        }
        assert!(
            accepted >= 4,
            "{release}: {accepted} of {} sets",
            SAMPLE.len()
        );
    }
}

#[test]
fn probes_are_installed_as_by_dpkg_or_refused() {
    let Some(root) = Root::new("bookworm", &SAMPLE) else {
        return;
    };
    let judge = Judge::new(root);
    let dir = crate::support::scratch();
    let mut accepted = Vec::new();
    for probe in probes::build(dir.path(), include_str!("probes.txt")) {
        match installed(
            &mut judge.root.tree.clone(),
            std::slice::from_ref(&probe.deb),
            &[],
            &[],
        ) {
            Ok(_) => accepted.push(probe.deb),
            Err(problems) => {
                let outcome = Outcome::Refused(problems);
                assert!(!probe.accepted, "{}: {outcome}", probe.name);
                eprintln!("{}: {outcome}", probe.name);
            }
        }
    }
    // Each has names of its own, so that one run of dpkg is enough.
    let outcome = judge.judge(&accepted);
    assert!(matches!(outcome, Outcome::Same(_)), "{outcome}");
}

/// The comparison sees what is not as dpkg makes it.
#[test]
fn a_wrong_mode_link_owner_or_file_is_seen() {
    let stat = |mode| Stat::root(mode, Time::default());
    let mut tree = Tree::new(stat(0o755));
    tree.mkdir("/d", &stat(0o755)).unwrap();
    tree.put_file("/d/f", "text", stat(0o644)).unwrap();
    let id = tree.put_file("/d/g", "text", stat(0o644)).unwrap();
    tree.link("/d/h", id, &stat(0o644)).unwrap();
    tree.put_symlink("/d/l", "f", Time::default()).unwrap();
    let digests = Digests::new(&tree);
    type Change = (&'static str, fn(&mut Tree));
    let changes: [Change; 7] = [
        ("/d", |tree| tree.stat_mut("/d").unwrap().mode = 0o2755),
        ("/d/f", |tree| tree.stat_mut("/d/f").unwrap().gid = 4),
        ("/d/f", |tree| {
            let attributes = &mut tree.stat_mut("/d/f").unwrap().xattrs;
            attributes.insert(b"security.capability".to_vec(), vec![1]);
        }),
        ("/d/f", |tree| {
            tree.put_file("/d/f", "other", Stat::root(0o644, Time::default()))
                .unwrap();
        }),
        ("/d/l", |tree| {
            tree.put_symlink("/d/l", "g", Time::default()).unwrap();
        }),
        ("/d/h", |tree| {
            tree.remove("/d/h").unwrap();
            tree.put_file("/d/h", "text", Stat::root(0o644, Time::default()))
                .unwrap();
        }),
        ("/d/l", |tree| tree.remove("/d/l").map(drop).unwrap()),
    ];
    let base = Facts::of(&tree, &digests);
    for (path, change) in changes {
        let mut changed = tree.clone();
        change(&mut changed);
        let changed = Facts::of(&changed, &digests);
        let found = changed.differences(&base);
        let again = base.patched(&changed.patch(&base)).unwrap();
        assert!(again.differences(&changed).is_empty(), "{path}");
        let paths: Vec<&str> = found.iter().map(|found| found.path.as_str()).collect();
        assert_eq!(paths, [path]);
    }
}
