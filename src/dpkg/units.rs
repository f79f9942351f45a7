//! Unit files of systemd in a tree: where systemd finds them, and the links that enable them
//! (`systemd.unit(5)`).

use super::install_section::Install;
use crate::deb::Version;
use crate::tree::edit::EditError;
use crate::tree::{Tree, show};
use std::collections::BTreeSet;

/// Units that one unit may draw in by `Also=`; real ones name a few.
const MAX_UNITS: usize = 100;
/// The largest unit file that is read (bytes).
const LIMIT: u64 = 1 << 20;

/// A link that enables a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitLink {
    /// The path of the link.
    pub path: String,
    /// The file of the unit.
    pub target: String,
}

/// The unit files of one manager: of the system, or of all users' sessions.
#[derive(Clone, Debug)]
pub struct UnitFiles<'t> {
    tree: &'t Tree,
    manager: &'static str,
    dirs: Vec<&'static str>,
    /// Whether systemd knows `UpheldBy=`.
    upholds: bool,
}

impl<'t> UnitFiles<'t> {
    /// The units of the system in `tree`; `version` is that of systemd's package, if it is known.
    #[must_use]
    pub fn system(tree: &'t Tree, version: Option<&str>) -> Self {
        let version = version.and_then(|version| version.parse().ok());
        Self::of(tree, "system", version.as_ref())
    }

    /// The units of `manager`, `system` or `user`. An unknown version counts as a recent one.
    pub(super) fn of(tree: &'t Tree, manager: &'static str, version: Option<&Version>) -> Self {
        let is = |least: &str| {
            let least: Option<Version> = least.parse().ok();
            version.is_none() || version >= least.as_ref()
        };
        let mut dirs = vec!["/etc", "/run", "/usr/local/lib"];
        // `/lib` has units of the system alone, and since 255 systemd does not look there.
        dirs.extend((manager == "system" && !is("255~")).then_some("/lib"));
        dirs.push("/usr/lib");
        Self {
            tree,
            manager,
            dirs,
            upholds: is("254~"),
        }
    }

    fn paths<'s>(&'s self, name: &'s str) -> impl Iterator<Item = String> + 's {
        let dirs = self.dirs.iter();
        dirs.map(move |dir| format!("{dir}/systemd/{}/{name}", self.manager))
    }

    /// The file of exactly this name.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<String> {
        self.paths(name).find(|path| self.tree.file(path).is_some())
    }

    /// The file of a unit: that of its template if an instance has none of its own.
    #[must_use]
    pub fn find(&self, unit: &str) -> Option<String> {
        let template = || self.file(&template(unit)?);
        self.file(unit).or_else(template)
    }

    /// The names of all unit files, sorted.
    #[must_use]
    pub fn names(&self) -> BTreeSet<String> {
        let dirs = self.paths("");
        let dirs: Vec<String> = dirs.collect();
        let dirs = dirs.iter().filter_map(|dir| self.tree.dir(dir));
        let names = dirs.flat_map(|dir| dir.entries.keys());
        let names = names.map(|name| show(name));
        names.filter(|name| self.file(name).is_some()).collect()
    }

    /// `[Install]` of a unit; empty without a file, `None` where it is not understood.
    ///
    /// # Errors
    /// I/O errors of the file.
    pub(super) fn install(&self, unit: &str) -> Result<Option<Install>, EditError> {
        let path = self.find(unit).unwrap_or_default();
        let bytes = match path.as_str() {
            "" => None,
            path => self.tree.read(path, LIMIT)?,
        };
        let text = String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
        Ok(Install::read(&text, unit))
    }

    /// The unit and those that it names by `Also=`; `None` where a file is not understood.
    ///
    /// # Errors
    /// I/O errors of the files.
    pub fn with_also(&self, unit: &str) -> Result<Option<Vec<String>>, EditError> {
        let units = self.installs(unit)?;
        Ok(units.map(|units| units.into_iter().map(|(unit, _)| unit).collect()))
    }

    fn installs(&self, unit: &str) -> Result<Option<Vec<(String, Install)>>, EditError> {
        let mut out = Vec::new();
        let mut seen = BTreeSet::new();
        let mut todo = vec![unit.to_owned()];
        while let Some(unit) = todo.pop().filter(|_| seen.len() < MAX_UNITS) {
            if !seen.insert(unit.clone()) {
                continue;
            }
            let Some(install) = self.install(&unit)? else {
                return Ok(None);
            };
            todo.extend(install.also.iter().cloned());
            out.push((unit, install));
        }
        Ok(Some(out))
    }

    /// The links that systemd makes for a unit and those that it names by `Also=`; `None` where a
    /// file is not understood.
    ///
    /// # Errors
    /// I/O errors of the files.
    pub fn links(&self, unit: &str) -> Result<Option<Vec<UnitLink>>, EditError> {
        let etc = format!("/etc/systemd/{}", self.manager);
        let Some(units) = self.installs(unit)? else {
            return Ok(None);
        };
        let mut out = Vec::new();
        for (name, install) in units {
            let target = self.find(&name).unwrap_or_else(|| name.clone());
            let wanted = match (&install.default_instance, name.split_once("@.")) {
                (Some(instance), Some((stem, suffix))) => format!("{stem}@{instance}.{suffix}"),
                _ => name.clone(),
            };
            let aliases = install.alias.into_iter().filter(|alias| *alias != name);
            let by = install.by.into_iter();
            let by = by.filter(|(kind, _)| *kind != "upholds" || self.upholds);
            let dirs = by.map(|(kind, by)| format!("{by}.{kind}/{wanted}"));
            out.extend(aliases.chain(dirs).map(|path| UnitLink {
                path: format!("{etc}/{path}"),
                target: target.clone(),
            }));
        }
        Ok(Some(out))
    }
}

/// The template that an instance is made from: `a@.service` of `a@b.service`.
#[must_use]
pub fn template(unit: &str) -> Option<String> {
    let (stem, rest) = unit.split_once('@')?;
    let (instance, suffix) = rest.rsplit_once('.')?;
    (!instance.is_empty()).then(|| format!("{stem}@.{suffix}"))
}
