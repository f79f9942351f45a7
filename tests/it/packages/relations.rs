//! Which architectures satisfy and exclude each other: dpkg's verdict on packages of our own for
//! every value of `Multi-Arch` and every qualifier, and goldsmith's.

use super::root::{Copy, Root};
use super::{Outcome, SAMPLE, installed, probes};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The architecture of the root, and a foreign one.
const ARCHITECTURES: [&str; 3] = ["amd64", "all", "arm64"];

/// What may follow a name in a relation.
const QUALIFIERS: [&str; 5] = ["", ":any", ":native", ":amd64", ":arm64"];

/// Installed packages: those of each value of `Multi-Arch` and each architecture, and others that
/// provide a name, also for one architecture alone. The packages, and the names to ask for.
fn targets(dir: &Path) -> (Vec<PathBuf>, Vec<String>) {
    let (mut debs, mut names) = (Vec::new(), Vec::new());
    let mut add = |name: &str, architecture: &str, fields: &str| {
        let members = format!("--- control\n{fields}");
        debs.push(probes::package_of(dir, [name, "1", architecture], &members));
    };
    for architecture in ARCHITECTURES {
        for multi_arch in ["no", "same", "foreign", "allowed"] {
            // A package for all architectures cannot be the same.
            if (architecture, multi_arch) == ("all", "same") {
                continue;
            }
            let name = format!("real-{multi_arch}-{architecture}");
            let field = format!("Multi-Arch: {multi_arch}");
            add(&name, architecture, &field);
            let provided = format!("virtual-{multi_arch}-{architecture}");
            let fields = format!("{field}\nProvides: {provided}");
            add(&format!("gives-{name}"), architecture, &fields);
            names.extend([name, provided]);
        }
        for of in ["amd64", "arm64"] {
            let name = format!("named-{of}-{architecture}");
            let fields = format!("Provides: {name}:{of}");
            add(&format!("gives-{name}"), architecture, &fields);
            names.push(name);
        }
    }
    (debs, names)
}

/// A package for each relation of this field, by its name: the relation and the file.
fn askers(dir: &Path, field: &str, names: &[String]) -> BTreeMap<String, (String, PathBuf)> {
    let mut out = BTreeMap::new();
    let own = QUALIFIERS.map(|qualifier| ("amd64", qualifier));
    let foreign = [("arm64", "")];
    for name in names {
        for (architecture, qualifier) in own.into_iter().chain(foreign) {
            let package = format!("{}-{}", field.to_lowercase(), out.len());
            let relation = format!("{name}{qualifier}");
            let members = format!("--- control\n{field}: {relation}");
            let deb = probes::package_of(dir, [&package, "1", architecture], &members);
            let shown = format!("{field} of {architecture}: {relation}");
            out.insert(package, (shown, deb));
        }
    }
    out
}

/// A copy of a root with the targets installed, and a directory with packages.
struct Bench<'a> {
    copy: Copy,
    dir: &'a Path,
}

impl Bench<'_> {
    fn dpkg(&self, debs: &[PathBuf]) -> (bool, String) {
        let file = |deb: &PathBuf| format!("/mnt/{}", deb.file_name().expect("a file").display());
        let files: Vec<String> = debs.iter().map(file).collect();
        let options = [
            "dpkg",
            "--force-unsafe-io",
            "--abort-after=9999",
            "--install",
        ];
        let files = files.iter().map(String::as_str);
        let command: Vec<&str> = options.into_iter().chain(files).collect();
        self.copy.run(self.dir, &command)
    }

    /// The packages that dpkg has installed.
    fn states(&self) -> BTreeSet<String> {
        let query = [
            "dpkg-query",
            "-W",
            "-f",
            "${Package} ${db:Status-Status}\\n",
        ];
        let (_, states) = self.copy.run(self.dir, &query);
        let installed = states
            .lines()
            .filter_map(|line| line.strip_suffix(" installed"));
        installed.map(str::to_owned).collect()
    }
}

#[test]
fn architectures_fit_as_dpkg_has_it() {
    let Some(root) = Root::new("bookworm", &SAMPLE) else {
        return;
    };
    let scratch = crate::support::scratch();
    let dir = scratch.path();
    let (targets, names) = targets(dir);
    let mut wrong = Vec::new();
    for field in ["Depends", "Conflicts"] {
        let copy = root.copy();
        let bench = Bench { copy, dir };
        let foreign = ["dpkg", "--add-architecture", "arm64"];
        assert!(bench.copy.run(dir, &foreign).0);
        let (fine, said) = bench.dpkg(&targets);
        assert!(fine, "{said}");
        let askers = askers(dir, field, &names);
        let debs: Vec<PathBuf> = askers.values().map(|(_, deb)| deb.clone()).collect();
        let Err(problems) = installed(&mut bench.copy.tree(&root), &debs, &[], &[]) else {
            panic!("{field}: everything is accepted");
        };
        let refused = |package: &str| {
            let start = format!("package {package} ");
            problems.iter().any(|one| one.message.starts_with(&start))
        };
        bench.dpkg(&debs);
        let done = bench.states();
        let both: Vec<_> = askers
            .iter()
            .map(|(package, (shown, _))| (shown, done.contains(package), !refused(package)))
            .collect();
        // The question makes sense only if there are both answers.
        for answer in [true, false] {
            let dpkg = both.iter().filter(|(_, dpkg, _)| *dpkg == answer).count();
            let said = &problems[0].message;
            assert!(dpkg > 10, "{field}: {dpkg} are {answer}; {said}");
        }
        let differ = both.into_iter().filter(|(_, dpkg, ours)| dpkg != ours);
        let text = |(shown, dpkg, ours)| format!("{shown}: dpkg {dpkg}, goldsmith {ours}");
        wrong.extend(differ.map(text));
        if field == "Conflicts" {
            // What dpkg refuses leaves a paragraph without a version in its database.
            let more =
                probes::package(dir, "harmless", "1", "--- file /usr/share/harmless 0644\nx");
            let mut tree = bench.copy.tree(&root);
            let status = tree
                .read("/var/lib/dpkg/status", 64 << 20)
                .unwrap()
                .unwrap();
            assert!(String::from_utf8_lossy(&status).contains(" ok not-installed\n"));
            let report = installed(&mut tree, std::slice::from_ref(&more), &[], &[]);
            assert!(report.is_ok(), "{}", Outcome::Refused(report.unwrap_err()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
