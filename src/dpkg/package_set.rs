//! The packages of the image once the new ones are installed, and whether the relations between
//! them hold (Debian Policy chapter 7, `deb-control(5)`).

use super::database::{Database, PackageState};
use super::request::Journal;
use crate::deb::{MultiArch, PackageFacts, Relation};
use crate::problem::Problem;
use std::collections::{BTreeMap, BTreeSet};

/// Installed packages: those of the image that stay and the new ones.
pub(super) struct PackageSet<'a> {
    native: &'a str,
    /// Each package and whether it is new; the new ones come last.
    packages: Vec<(&'a PackageFacts, bool)>,
    /// Indices in `packages` by name, be it a package's own or one that it provides.
    by_name: BTreeMap<&'a str, Vec<usize>>,
    database: &'a Database,
}

impl<'a> PackageSet<'a> {
    /// The image's installed packages with `new` in place of those of the same name and
    /// architecture.
    pub(super) fn new(database: &'a Database, new: &[&'a PackageFacts]) -> Self {
        let stays = |facts: &PackageFacts| {
            let real = |a: &'a str| database.real(a);
            !new.iter().any(|n| {
                n.name == facts.name && real(&n.architecture) == database.real(&facts.architecture)
            })
        };
        let old = database
            .stanzas
            .iter()
            .filter(|s| s.state == PackageState::Installed && stays(&s.facts));
        let packages: Vec<_> = old
            .map(|s| (&s.facts, false))
            .chain(new.iter().map(|facts| (*facts, true)))
            .collect();
        let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (at, (facts, _)) in packages.iter().enumerate() {
            let provided = facts
                .provides
                .0
                .iter()
                .flatten()
                .map(|relation| relation.name.as_str());
            for name in provided.chain([facts.name.as_str()]) {
                by_name.entry(name).or_default().push(at);
            }
        }
        Self {
            native: &database.native,
            packages,
            by_name,
            database,
        }
    }

    /// The packages that have or provide a name, and whether each is new.
    fn called(&self, name: &str) -> impl Iterator<Item = (&'a PackageFacts, bool)> {
        let places = self.by_name.get(name).into_iter().flatten();
        places.filter_map(|at| self.packages.get(*at).copied())
    }

    fn real<'b>(&'b self, architecture: &'b str) -> &'b str {
        if architecture == "all" {
            self.native
        } else {
            architecture
        }
    }

    /// Whether `relation` of a package of the architecture `asking` means a package, or a name that
    /// it provides, of this architecture: without a qualifier the same architecture and what is
    /// `Multi-Arch: foreign`, with `:any` what is `Multi-Arch: allowed` (dpkg's `archsatisfied`).
    /// What packages exclude by its own name is of every architecture, unless one is named.
    fn architecture_fits(
        &self,
        relation: &Relation,
        asking: &str,
        architecture: &str,
        multi_arch: MultiArch,
        excludes: bool,
    ) -> bool {
        let (asking, has) = (self.real(asking), self.real(architecture));
        match relation.qualifier.as_deref() {
            None => excludes || asking == has || multi_arch == MultiArch::Foreign,
            Some("any") => excludes || multi_arch == MultiArch::Allowed || has == "any",
            Some(named) => named == has,
        }
    }

    /// Whether `by` is what `relation` means, by its name or by what it provides; `excludes` for
    /// conflicts, which mean what is provided for any architecture.
    fn satisfies(
        &self,
        relation: &Relation,
        asking: &str,
        by: &PackageFacts,
        excludes: bool,
    ) -> bool {
        let fits = |architecture: &str| {
            self.architecture_fits(relation, asking, architecture, by.multi_arch, excludes)
        };
        let provided = |p: &Relation| {
            p.name == relation.name
                && match (&relation.version, &p.version) {
                    (None, _) => true,
                    (Some(_), Some((_, version))) => relation.admits(version),
                    (Some(_), None) => false,
                }
                && (excludes || fits(p.qualifier.as_deref().unwrap_or(&by.architecture)))
        };
        (by.name == relation.name && relation.admits(&by.version) && fits(&by.architecture))
            || by.provides.0.iter().flatten().any(provided)
    }

    fn satisfied(&self, group: &[Relation], asking: &PackageFacts) -> bool {
        let one = |relation: &Relation| {
            self.called(&relation.name)
                .any(|(by, _)| self.satisfies(relation, &asking.architecture, by, false))
        };
        group.iter().any(one)
    }

    /// The packages with the names of a group, for messages.
    fn has(&self, group: &[Relation]) -> String {
        let found = |relation: &Relation| {
            let replaced = |facts: &PackageFacts| {
                self.packages
                    .iter()
                    .any(|(new, is_new)| *is_new && new.name == facts.name)
            };
            let known = self
                .database
                .stanzas
                .iter()
                .filter(|s| s.facts.name == relation.name && s.state != PackageState::Gone);
            let known = known.filter(|s| !replaced(&s.facts));
            let in_new = self
                .packages
                .iter()
                .filter(|(facts, new)| *new && facts.name == relation.name);
            let shown = known.map(|s| match s.state {
                PackageState::Installed => format!("{} {}", s.facts.name, s.facts.version),
                PackageState::ConfigFiles => {
                    format!("{} removed, its configuration left", s.facts.name)
                }
                _ => format!("{} {} half-installed", s.facts.name, s.facts.version),
            });
            shown
                .chain(in_new.map(|(facts, _)| format!("{} {}", facts.name, facts.version)))
                .collect::<Vec<_>>()
        };
        let all: Vec<String> = group.iter().flat_map(found).collect();
        if all.is_empty() {
            "none".into()
        } else {
            all.join(", ")
        }
    }

    /// Reports every relation that does not hold, and returns the new packages that lack something
    /// that they or what they need depend on.
    pub(super) fn check(&self, journal: &mut Journal) -> BTreeSet<String> {
        let news = self.packages.iter().filter(|(_, new)| *new);
        let mut missing: Vec<(Problem, String)> =
            news.flat_map(|(facts, _)| self.missing(facts)).collect();
        let mut names: Vec<String> = missing.iter().map(|(_, name)| name.clone()).collect();
        names.sort();
        names.dedup();
        // One way for all, after the last one.
        if let Some((last, _)) = missing.last_mut() {
            last.hint = Some(format!(
                "add them, for the image's release and architecture, to the packages: on such a \
                 system (a container is enough), `apt-get download {0}` fetches these, and `apt-get \
                 install --download-only {0}` what they need in turn, too; scripts of packages that \
                 lack something are judged once it is there",
                names.join(" ")
            ));
        }
        for (problem, _) in missing {
            journal.problem(problem);
        }
        for (facts, new) in &self.packages {
            self.check_conflicts(facts, *new, journal);
        }
        self.check_dependents(journal);
        self.check_instances(journal);
        self.incomplete()
    }

    /// The new packages that lack something, and those that need them.
    fn incomplete(&self) -> BTreeSet<String> {
        let news = || self.packages.iter().filter(|(_, new)| *new);
        let lacking = news().filter(|(facts, _)| !self.missing(facts).is_empty());
        let mut out: BTreeSet<String> = lacking.map(|(facts, _)| facts.name.clone()).collect();
        loop {
            let needs = |facts: &PackageFacts| {
                let groups = facts.depends.0.iter().chain(&facts.pre_depends.0);
                let mut by = groups.flatten().flat_map(|one| self.called(&one.name));
                by.any(|(by, new)| new && out.contains(&by.name))
            };
            let more = news().filter(|(facts, _)| !out.contains(&facts.name) && needs(facts));
            let more: Vec<String> = more.map(|(facts, _)| facts.name.clone()).collect();
            if more.is_empty() {
                return out;
            }
            out.extend(more);
        }
    }

    /// The dependencies of a package that do not hold, each with the first package that would do;
    /// several on one package are one problem.
    fn missing(&self, facts: &PackageFacts) -> Vec<(Problem, String)> {
        let mut out = Vec::new();
        for (field, relations) in [
            ("depends", &facts.depends),
            ("pre-depends", &facts.pre_depends),
        ] {
            let mut wanted: Vec<(String, String, Vec<String>)> = Vec::new();
            for group in relations
                .0
                .iter()
                .filter(|group| !self.satisfied(group, facts))
            {
                let text = group
                    .iter()
                    .map(Relation::to_string)
                    .collect::<Vec<_>>()
                    .join(" | ");
                let has = self.has(group);
                let first = group.first().map(|relation| relation.name.clone());
                let first = first.unwrap_or_default();
                match wanted
                    .iter_mut()
                    .find(|(name, there, _)| *name == first && *there == has)
                {
                    Some((_, _, texts)) => texts.push(text),
                    None => wanted.push((first, has, vec![text])),
                }
            }
            for (first, has, texts) in wanted {
                let text = format!(
                    "package {} {} {field} on {}; the image has {has}",
                    facts.name,
                    facts.version,
                    texts.join(", ")
                );
                out.push((Problem::new(text), first));
            }
        }
        out
    }

    /// Conflicts and Breaks of one package with all others, where at least one of the two is new.
    fn check_conflicts(&self, facts: &PackageFacts, new: bool, journal: &mut Journal) {
        for (verb, relations) in [
            ("conflicts with", &facts.conflicts),
            ("breaks", &facts.breaks),
        ] {
            for relation in relations.0.iter().flatten() {
                for (other, other_new) in self.called(&relation.name) {
                    let concerned = (new || other_new) && other.name != facts.name;
                    if concerned && self.satisfies(relation, &facts.architecture, other, true) {
                        let status = if other_new {
                            "is to be installed"
                        } else {
                            "is in the image"
                        };
                        journal.problem(Problem::new(format!(
                            "package {} {} {verb} {relation}, and {} {} {status}",
                            facts.name, facts.version, other.name, other.version
                        )));
                    }
                }
            }
        }
    }

    /// Installed packages whose dependencies held before and no longer do.
    fn check_dependents(&self, journal: &mut Journal) {
        let before = PackageSet::new(self.database, &[]);
        for (facts, _) in self.packages.iter().filter(|(_, new)| !new) {
            for group in facts.depends.0.iter().chain(&facts.pre_depends.0) {
                if !self.satisfied(group, facts) && before.satisfied(group, facts) {
                    let wanted = group
                        .iter()
                        .map(Relation::to_string)
                        .collect::<Vec<_>>()
                        .join(" | ");
                    let (name, version, has) = (&facts.name, &facts.version, self.has(group));
                    let text = format!(
                        "package {name} {version} of the image depends on {wanted}, \
                         which would no longer hold ({has})"
                    );
                    journal.problem(
                        Problem::new(text).hint("add a newer version of that package too"),
                    );
                }
            }
        }
    }

    /// Several packages of one name: only of different architectures, all `Multi-Arch: same` and of
    /// one version.
    fn check_instances(&self, journal: &mut Journal) {
        // The new packages come after the old ones, so each pair with a new one is visited once,
        // from its later side.
        for (at, (facts, _)) in self
            .packages
            .iter()
            .enumerate()
            .filter(|(_, (_, new))| *new)
        {
            for (other, _) in self
                .packages
                .iter()
                .take(at)
                .filter(|(other, _)| other.name == facts.name)
            {
                let (a, b) = (
                    self.real(&facts.architecture),
                    self.real(&other.architecture),
                );
                let (name, version, other_version) = (&facts.name, &facts.version, &other.version);
                let same =
                    facts.multi_arch == MultiArch::Same && other.multi_arch == MultiArch::Same;
                let text = if a == b {
                    format!("package {name} is requested twice: {other_version} and {version}")
                } else if !same {
                    format!(
                        "package {name} of {a} cannot be co-installed with that of {b}: \
                         not Multi-Arch: same"
                    )
                } else if facts.version != other.version {
                    format!(
                        "package {name}:{a} {version} cannot be co-installed with \
                         {name}:{b} {other_version}: versions differ"
                    )
                } else {
                    continue;
                };
                journal.problem(Problem::new(text));
            }
        }
    }
}
