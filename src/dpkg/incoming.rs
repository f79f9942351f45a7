//! A package that is to be installed, read and checked against the database.

use super::database::{Database, PackageState, lines};
use super::request::{InstallRequest, Journal};
use crate::deb::{DebLimits, Package, PackageFacts};
use crate::digest;
use crate::problem::Problem;
use crate::stream::Source;
use std::collections::BTreeSet;

/// A package that is to be installed.
#[derive(Clone, Debug)]
pub(super) struct Incoming {
    /// The file that it was read from, for messages.
    pub(super) file: String,
    pub(super) sha256: String,
    pub(super) package: Package,
    pub(super) facts: PackageFacts,
    /// The version that is installed now.
    pub(super) upgraded_from: Option<String>,
    /// The version whose configuration is in place: the second argument of `postinst configure`.
    pub(super) configured: Option<String>,
}

/// The paths in `conffiles`.
#[derive(Debug, Default)]
pub(super) struct Conffiles {
    pub(super) kept: BTreeSet<Vec<u8>>,
    /// Paths that are marked `remove-on-upgrade`.
    pub(super) removed: BTreeSet<Vec<u8>>,
}

impl Incoming {
    /// Whether this very version is installed.
    fn is_installed(&self, database: &Database) -> bool {
        database.old(&self.facts).is_some_and(|s| {
            s.state == PackageState::Installed && s.facts.version == self.facts.version
        })
    }

    /// The lines of `conffiles` that name a file of the package.
    pub(super) fn conffile_lines(&self) -> Vec<&str> {
        let bytes = self
            .package
            .members
            .get("conffiles")
            .map(|member| member.bytes.as_slice())
            .unwrap_or_default();
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        text.lines()
            .map(str::trim)
            .map(|line| {
                line.strip_prefix("remove-on-upgrade ")
                    .unwrap_or(line)
                    .trim()
            })
            .filter(|line| line.starts_with('/'))
            .collect()
    }

    /// The configuration files that the package declares.
    pub(super) fn conffiles(&self) -> Conffiles {
        let bytes = self
            .package
            .members
            .get("conffiles")
            .map(|member| member.bytes.as_slice())
            .unwrap_or_default();
        let mut out = Conffiles::default();
        for line in lines(bytes).map(<[u8]>::trim_ascii) {
            match line.strip_prefix(b"remove-on-upgrade ") {
                Some(path) => out.removed.insert(path.trim_ascii().to_vec()),
                None => out.kept.insert(line.to_vec()),
            };
        }
        out
    }

    /// Whether the package may take files of `other`.
    pub(super) fn replaces(&self, other: &PackageFacts) -> bool {
        replaces(&self.facts, other)
    }

    /// The text of a maintainer script, when the package has it.
    pub(super) fn script(&self, name: &str) -> Option<&[u8]> {
        self.package
            .members
            .get(name)
            .map(|member| member.bytes.as_slice())
    }
}

/// Whether `facts` says that it replaces files of `other`.
pub(super) fn replaces(facts: &PackageFacts, other: &PackageFacts) -> bool {
    facts.replaces.0.iter().flatten().any(|relation| {
        let provided = relation.version.is_none()
            && other
                .provides
                .0
                .iter()
                .flatten()
                .any(|p| p.name == relation.name);
        provided || (relation.name == other.name && relation.admits(&other.version))
    })
}

/// Reads all packages of a request. Those that the image has in the same version are left out, with
/// a note.
pub(super) fn read_all(
    request: &InstallRequest,
    database: &Database,
    journal: &mut Journal,
) -> Vec<Incoming> {
    let mut out = Vec::new();
    for (path, source) in &request.debs {
        let file = path.display().to_string();
        match read(&file, source, database) {
            Ok(incoming) if incoming.is_installed(database) => {
                journal.note(format!(
                    "{} {} is in the image already",
                    incoming.facts.name, incoming.facts.version
                ));
            }
            Ok(incoming) => {
                check(&incoming, &request.downgrades, database, journal);
                out.push(incoming);
            }
            Err(e) => journal.problem(Problem::new(format!("reading {file}: {e}"))),
        }
    }
    out
}

fn read(file: &str, source: &Source, database: &Database) -> Result<Incoming, String> {
    let package = Package::read(source, DebLimits::default()).map_err(|e| e.to_string())?;
    let facts = PackageFacts::read(&package.control)?;
    let stanza = database.old(&facts);
    let installed = stanza
        .filter(|s| s.state == PackageState::Installed)
        .map(|s| s.facts.version.to_string());
    let left = stanza.filter(|s| s.state == PackageState::ConfigFiles);
    let left = left.map(|s| {
        s.control
            .get("Config-Version")
            .unwrap_or(s.control.text("Version"))
            .to_owned()
    });
    Ok(Incoming {
        file: file.to_owned(),
        sha256: digest::sha256(&**source)
            .map(|sum| digest::hex(&sum))
            .map_err(|e| e.to_string())?,
        package,
        facts,
        configured: installed.clone().or(left),
        upgraded_from: installed,
    })
}

/// Checks that the image can take the package: its architecture, and the version that is there,
/// which may be a later one of those packages that may go back.
fn check(incoming: &Incoming, downgrades: &[String], database: &Database, journal: &mut Journal) {
    let facts = &incoming.facts;
    let (name, version, architecture) = (&facts.name, &facts.version, &facts.architecture);
    let known = architecture == "all"
        || *architecture == database.native
        || database.foreign.contains(architecture);
    if !known && database.native.is_empty() {
        let text = format!(
            "package {name} {version} is for {architecture}, and the image's dpkg database does not say \
             what the image is for: it has no package dpkg"
        );
        journal.problem(Problem::new(text).hint(
            "packages can be installed where dpkg is: check /var/lib/dpkg/status of the golden image",
        ));
    } else if !known {
        let mut have = vec![database.native.as_str()];
        have.extend(database.foreign.iter().map(String::as_str));
        let text = format!(
            "package {name} {version} is for {architecture}; the image is for {}",
            have.join(", ")
        );
        journal
            .problem(Problem::new(text).hint("use the package built for the image's architecture"));
    }
    let Some(old) = database.old(facts) else {
        return;
    };
    let back = old.state == PackageState::Installed && facts.version < old.facts.version;
    if back && !downgrades.contains(name) {
        let text = format!(
            "package {name} {version} would replace the newer {} of the image",
            old.facts.version
        );
        journal.problem(Problem::new(text).hint(format!(
            "use a newer package or an older image, or allow it: client.may-change = [\"{name}\"]"
        )));
    }
    if old.state == PackageState::Half {
        let text = format!("package {name} is half-installed in the image");
        journal.problem(
            Problem::new(text)
                .hint("run `dpkg --configure -a` on the golden system before making the image"),
        );
    }
}
