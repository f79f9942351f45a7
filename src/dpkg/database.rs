//! The image's dpkg database, as `dpkg(1)` keeps it below `/var/lib/dpkg`.

use crate::deb::{PackageFacts, Paragraph, stanzas};
use crate::problem::{Problem, Problems};
use crate::tree::edit::EditError;
use crate::tree::{DirEntry, Tree};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where the database is.
pub(super) const DIR: &str = "/var/lib/dpkg";
/// Largest database file in bytes; those of real systems are far smaller.
pub(super) const LIMIT: u64 = 256 << 20;

/// The state of a package: the third word of `Status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PackageState {
    /// `installed`, `triggers-awaited` and `triggers-pending`: it satisfies relations.
    Installed,
    /// Only its configuration is left.
    ConfigFiles,
    /// `unpacked`, `half-configured` or `half-installed`: dpkg was interrupted.
    Half,
    /// `not-installed`: nothing of it is left.
    Gone,
}

/// A package of the database.
#[derive(Clone, Debug)]
pub(super) struct Stanza {
    /// The bytes of its paragraph in `status`.
    pub(super) raw: Vec<u8>,
    pub(super) control: Paragraph,
    pub(super) facts: PackageFacts,
    pub(super) state: PackageState,
}

impl Stanza {
    pub(super) fn read(raw: &[u8]) -> Result<Self, String> {
        let control = Paragraph::parse(raw).map_err(|e| e.to_string())?;
        let name = control.text("Package").to_owned();
        let state = match control.text("Status").split_whitespace().nth(2) {
            Some("installed" | "triggers-awaited" | "triggers-pending") => PackageState::Installed,
            Some("config-files") => PackageState::ConfigFiles,
            Some("not-installed") => PackageState::Gone,
            _ => PackageState::Half,
        };
        let facts = match state {
            PackageState::Gone => absent(&control),
            _ => PackageFacts::read(&control),
        };
        let facts = facts.map_err(|e| format!("package {name}: {e}"))?;
        Ok(Self {
            raw: raw.to_vec(),
            control,
            facts,
            state,
        })
    }

    /// The configuration files of the field `Conffiles`.
    pub(super) fn conffiles(&self) -> Vec<Conffile> {
        let lines = self
            .control
            .text("Conffiles")
            .lines()
            .filter(|line| !line.trim().is_empty());
        let line = |line: &str| {
            let line = line.trim();
            let (line, removed) = flagged(line, " remove-on-upgrade");
            let (line, obsolete) = flagged(line, " obsolete");
            let (path, md5) = line.rsplit_once(' ')?;
            Some(Conffile {
                path: path.to_owned(),
                md5: md5.to_owned(),
                obsolete,
                removed,
            })
        };
        lines.filter_map(line).collect()
    }
}

/// A line without a word at its end, and whether it had it.
fn flagged<'a>(line: &'a str, word: &str) -> (&'a str, bool) {
    line.strip_suffix(word)
        .map_or((line, false), |rest| (rest, true))
}

/// A configuration file as `status` lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Conffile {
    pub(super) path: String,
    /// In hexadecimal; of the file as the package shipped it.
    pub(super) md5: String,
    /// Whether the installed version no longer ships it.
    pub(super) obsolete: bool,
    /// Whether the installed version asks to remove it.
    pub(super) removed: bool,
}

/// A path that is moved aside for all packages but one (`dpkg-divert(1)`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Diversion {
    pub(super) from: Vec<u8>,
    pub(super) to: Vec<u8>,
    /// The package that is not diverted; `:` in the file for a local diversion.
    pub(super) package: Option<String>,
}

/// Owner and mode set by the administrator (`dpkg-statoverride(1)`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StatOverride {
    pub(super) user: String,
    pub(super) group: String,
    pub(super) mode: u16,
    pub(super) path: Vec<u8>,
}

/// The database as a value.
#[derive(Clone, Debug, Default)]
pub(super) struct Database {
    pub(super) stanzas: Vec<Stanza>,
    pub(super) native: String,
    pub(super) foreign: Vec<String>,
    pub(super) diversions: Vec<Diversion>,
    pub(super) overrides: Vec<StatOverride>,
    /// Which packages (by [`PackageFacts::base`]) have a path in their lists.
    pub(super) owners: BTreeMap<Vec<u8>, Owners>,
    /// The states of packages that are being installed, by [`PackageFacts::base`].
    pub(super) under_way: BTreeMap<String, &'static str>,
}

/// The packages that have a path in their lists, in ascending order. There are tens of thousands of
/// paths, and most have one owner.
#[derive(Clone, Debug, Default)]
pub(super) struct Owners(Vec<Arc<str>>);

impl Owners {
    pub(super) fn insert(&mut self, base: &Arc<str>) {
        if let Err(at) = self.0.binary_search(base) {
            self.0.reserve_exact(1);
            self.0.insert(at, Arc::clone(base));
        }
    }

    pub(super) fn remove(&mut self, base: &str) {
        self.0.retain(|owner| **owner != *base);
    }

    pub(super) fn contains(&self, base: &str) -> bool {
        self.iter().any(|owner| owner == base)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|owner| &**owner)
    }
}

impl Database {
    /// Reads the database of an image.
    pub(super) fn read(tree: &Tree) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let status = text(tree, "status").map_err(|e| Problem::new(e.to_string()))?;
        let status = status.ok_or_else(|| {
            Problem::new(format!("the image has no {DIR}/status"))
                .hint("packages can only be installed into images with a dpkg database")
        })?;
        let mut stanzas_read = Vec::new();
        for raw in stanzas(&status) {
            match Stanza::read(raw) {
                Ok(stanza) => stanzas_read.push(stanza),
                Err(e) => problems.push(Problem::new(format!("{DIR}/status: {e}"))),
            }
        }
        if tree
            .dir(format!("{DIR}/updates"))
            .is_some_and(|dir| !dir.entries.is_empty())
        {
            let hint = "run `dpkg --configure -a` on the golden system before making the image";
            problems.push(
                Problem::new(format!(
                    "{DIR}/updates is not empty: dpkg was interrupted in the image"
                ))
                .hint(hint),
            );
        }
        let mut database = Self {
            stanzas: stanzas_read,
            ..Self::default()
        };
        if let Err(e) = database.rest(tree) {
            problems.push(Problem::new(e.to_string()));
        }
        problems.check().map(|()| database)
    }

    fn rest(&mut self, tree: &Tree) -> Result<(), EditError> {
        let arch = text(tree, "arch")?.unwrap_or_default();
        let mut arch = lines(&arch).map(|line| String::from_utf8_lossy(line).into_owned());
        let of_dpkg = self
            .stanzas
            .iter()
            .find(|s| s.facts.name == "dpkg")
            .map(|s| s.facts.architecture.clone());
        self.native = of_dpkg.or_else(|| arch.next()).unwrap_or_default();
        self.foreign = arch.filter(|name| *name != self.native).collect();
        self.diversions = diversions(&text(tree, "diversions")?.unwrap_or_default());
        self.overrides = overrides(&text(tree, "statoverride")?.unwrap_or_default());
        for stanza in &self.stanzas {
            let base: Arc<str> = stanza.facts.base().into();
            for line in lines(&text(tree, &format!("info/{base}.list"))?.unwrap_or_default()) {
                let owners = self.owners.entry(line.to_vec()).or_default();
                owners.insert(&base);
            }
        }
        Ok(())
    }

    /// The index of a package in `stanzas`; `all` and the native architecture count as equal.
    pub(super) fn position(&self, name: &str, architecture: &str) -> Option<usize> {
        let same = |a: &str| self.real(a) == self.real(architecture);
        self.stanzas
            .iter()
            .position(|s| s.facts.name == name && same(&s.facts.architecture))
    }

    /// The entry of a package that is to be installed, in any version.
    pub(super) fn old(&self, new: &PackageFacts) -> Option<&Stanza> {
        self.position(&new.name, &new.architecture)
            .and_then(|at| self.stanzas.get(at))
    }

    /// A package by its name in `info`.
    pub(super) fn by_base(&self, base: &str) -> Option<&Stanza> {
        self.stanzas
            .iter()
            .find(|stanza| stanza.facts.base() == base)
    }

    /// A package as users name it: `name` or `name:architecture`.
    pub(super) fn named(&self, name: &str) -> Option<&Stanza> {
        let (name, architecture) = name.split_once(':').unwrap_or((name, &self.native));
        let at = self.position(name, architecture);
        at.and_then(|at| self.stanzas.get(at))
            .or_else(|| self.stanzas.iter().find(|s| s.facts.name == name))
    }

    /// The architecture that `all` stands for.
    pub(super) fn real<'a>(&'a self, architecture: &'a str) -> &'a str {
        if architecture == "all" {
            &self.native
        } else {
            architecture
        }
    }

    /// The path to which a diversion moves `path` of `package`.
    pub(super) fn diverted(&self, path: &[u8], package: &str) -> Option<&[u8]> {
        let found = self
            .diversions
            .iter()
            .find(|d| d.from == path && d.package.as_deref() != Some(package));
        found.map(|diversion| diversion.to.as_slice())
    }
}

/// The bytes of a file of the database.
pub(super) fn text(tree: &Tree, name: &str) -> Result<Option<Vec<u8>>, EditError> {
    tree.read(format!("{DIR}/{name}"), LIMIT)
}

/// The lines that are not empty.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty())
}

fn diversions(bytes: &[u8]) -> Vec<Diversion> {
    let lines: Vec<&[u8]> = lines(bytes).collect();
    let read = |three: &[&[u8]]| match three {
        [from, to, package] => Some(Diversion {
            from: from.to_vec(),
            to: to.to_vec(),
            package: (*package != b":").then(|| String::from_utf8_lossy(package).into_owned()),
        }),
        _ => None,
    };
    lines.chunks(3).filter_map(read).collect()
}

fn overrides(bytes: &[u8]) -> Vec<StatOverride> {
    let read = |line: &[u8]| {
        let mut words = line.splitn(4, |b| *b == b' ');
        let mut word = || {
            words
                .next()
                .map(|word| String::from_utf8_lossy(word).into_owned())
        };
        let (user, group) = (word()?, word()?);
        let mode = u16::from_str_radix(&word()?, 8).ok()?;
        Some(StatOverride {
            user,
            group,
            mode,
            path: words.next()?.to_vec(),
        })
    };
    lines(bytes).filter_map(read).collect()
}

/// The facts of a package that is not installed. dpkg keeps its name and what was wanted of it, as
/// after an installation that it refused, and writes neither a version nor always an architecture.
fn absent(control: &Paragraph) -> Result<PackageFacts, String> {
    let or = |field: &str, otherwise: &str| match control.text(field) {
        "" => otherwise.to_owned(),
        text => text.to_owned(),
    };
    let text = format!(
        "Package: {}\nArchitecture: {}\nVersion: {}\n",
        control.text("Package"),
        or("Architecture", "all"),
        or("Version", "0")
    );
    let control = Paragraph::parse(text.as_bytes()).map_err(|e| e.to_string())?;
    PackageFacts::read(&control)
}

/// The names of the files in `info` that belong to a package, with their suffixes.
pub(super) fn info_files(tree: &Tree, base: &str) -> Vec<(String, Vec<u8>)> {
    let Some(dir) = tree.dir(format!("{DIR}/info")) else {
        return Vec::new();
    };
    let suffix = |name: &Vec<u8>| {
        let rest = name.strip_prefix(base.as_bytes())?.strip_prefix(b".")?;
        let fine = !rest.is_empty() && !rest.contains(&b'.') && !rest.contains(&b':');
        fine.then(|| (String::from_utf8_lossy(rest).into_owned(), name.clone()))
    };
    let leaves = dir
        .entries
        .iter()
        .filter(|(_, entry)| matches!(entry, DirEntry::Leaf(_)));
    leaves.filter_map(|(name, _)| suffix(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_small_files() {
        let read = diversions(b"/a\n/a.distrib\ndash\n/b\n/b.x\n:\n");
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].package.as_deref(), Some("dash"));
        assert_eq!(read[1].package, None);
        let read = overrides(b"root _chrony 0640 /etc/chrony/chrony.keys\nbad line\n");
        assert_eq!(read.len(), 1);
        assert_eq!(
            (read[0].mode, read[0].path.as_slice()),
            (0o640, &b"/etc/chrony/chrony.keys"[..])
        );
    }

    #[test]
    fn a_package_that_is_not_installed_has_no_version() {
        let absent = "Package: a\nStatus: install ok not-installed\n";
        let stanza = Stanza::read(absent.as_bytes()).unwrap();
        assert_eq!(stanza.state, PackageState::Gone);
        assert_eq!(stanza.facts.base(), "a");
        assert_eq!(stanza.raw, absent.as_bytes());
        let installed = absent.replace("not-installed", "installed");
        let error = Stanza::read(installed.as_bytes()).unwrap_err();
        assert!(error.starts_with("package a: "), "{error}");
    }

    #[test]
    fn conffiles_of_a_stanza() {
        let raw = b"Package: a\nStatus: install ok installed\nArchitecture: all\nVersion: 1\nConffiles:\n /etc/a 0123\n /etc/b b 4567 obsolete\n";
        let stanza = Stanza::read(raw).unwrap();
        assert_eq!(stanza.state, PackageState::Installed);
        let conffile = |path: &str, md5: &str, obsolete| Conffile {
            path: path.into(),
            md5: md5.into(),
            obsolete,
            removed: false,
        };
        let expected = [
            conffile("/etc/a", "0123", false),
            conffile("/etc/b b", "4567", true),
        ];
        assert_eq!(stanza.conffiles(), expected);
    }
}
