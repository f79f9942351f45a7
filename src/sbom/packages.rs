//! The packages of a root filesystem, from its dpkg database (`/var/lib/dpkg`).
//!
//! A bill of materials describes an image that is written already: what cannot be read in the
//! database is left out and said, and is never a reason to fail.

use super::copyright::{Licence, licence};
use super::uri::Purl;
use crate::deb::{Paragraph, Relation, Relations, Version, stanzas};
use crate::golden::facts::OsRelease;
use crate::tree::{Tree, Walk};
use std::collections::{BTreeMap, BTreeSet};

/// The directory of the database.
const DIR: &str = "/var/lib/dpkg";
/// The size limit of its files (bytes).
const LIMIT: u64 = 64 << 20;
/// The size limit of a copyright file (bytes).
const TEXT: u64 = 4 << 20;

/// A name with an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Contact {
    /// The name, or the address if there is none.
    pub name: String,
    /// The e-mail address.
    pub email: Option<String>,
    /// The URL, if there is no e-mail address.
    pub url: Option<String>,
}

impl Contact {
    /// The one with this e-mail address or URL.
    #[must_use]
    pub fn at(address: &str) -> Self {
        let email = address.contains('@').then(|| address.to_owned());
        Self {
            name: address.to_owned(),
            url: email.is_none().then(|| address.to_owned()),
            email,
        }
    }
}

/// An installed package.
#[derive(Clone, Debug)]
pub struct DeployedPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture, `all` for any.
    pub architecture: String,
    /// The name of its source.
    pub source: String,
    /// The version of its source, if it is another one.
    pub source_version: Option<String>,
    /// Its maintainer, or its home page if no address is known.
    pub creator: Option<Contact>,
    /// The home page of the program.
    pub homepage: Option<String>,
    /// Its package URL, which no other package of the image has.
    pub purl: String,
    /// What its copyright file states; `None` if the image has none.
    pub licence: Option<Licence>,
    /// The packages that it depends on, by index, ascending.
    pub depends: Vec<usize>,
    /// The relations that nothing in the image fulfils, as written.
    pub unresolved: Vec<String>,
    /// Whether its list of files could be read.
    pub listed: bool,
}

/// The packages, and which of them brought a file.
#[derive(Debug, Default)]
pub(super) struct Packages {
    /// By name and architecture.
    pub(super) all: Vec<DeployedPackage>,
    /// The first package that has a path (symbolic links followed) in its list.
    pub(super) owners: BTreeMap<Vec<u8>, usize>,
    /// What could not be read.
    pub(super) remarks: Vec<String>,
}

/// A package with the fields that relations are about.
struct Installed {
    control: Paragraph,
    name: String,
    architecture: String,
}

impl Installed {
    /// `None` for a paragraph of a package that is not installed.
    fn read(control: Paragraph) -> Option<Self> {
        let state = control.text("Status").split_whitespace().nth(2)?;
        let there = !matches!(state, "config-files" | "not-installed");
        let field = |name: &str| control.text(name).to_owned();
        let (name, architecture) = (field("Package"), field("Architecture"));
        let named = there && !name.is_empty();
        named.then_some(Self {
            control,
            name,
            architecture,
        })
    }

    /// The name of its files in `info`.
    fn base(&self) -> String {
        match self.control.text("Multi-Arch") {
            "same" => format!("{}:{}", self.name, self.architecture),
            _ => self.name.clone(),
        }
    }

    /// Whether it can fulfil `relation` of a package of `architecture` (`deb-control(5)`,
    /// "Multi-Arch").
    fn serves(&self, relation: &Relation, architecture: &str) -> bool {
        let own = &self.architecture;
        match relation.qualifier.as_deref() {
            None | Some("native") => {
                let any = |name: &str| name == "all" || name == own;
                any(architecture) || own == "all" || self.control.text("Multi-Arch") == "foreign"
            }
            Some("any") => true,
            Some(named) => own == named || own == "all",
        }
    }
}

impl Packages {
    /// Those of `tree`, whose `os-release` is `os`.
    pub(super) fn read(tree: &Tree, os: &OsRelease) -> Self {
        let mut out = Self::default();
        let Some(status) = out.file(tree, "status") else {
            out.remarks.push(format!(
                "the image has no {DIR}/status, so no package is known"
            ));
            return out;
        };
        let mut installed = Vec::new();
        for (number, stanza) in (1..).zip(stanzas(&status)) {
            match Paragraph::parse(stanza) {
                Ok(control) => installed.extend(Installed::read(control)),
                Err(error) => out
                    .remarks
                    .push(format!("{DIR}/status, paragraph {number}: {error}")),
            }
        }
        installed.sort_by(|a, b| (&a.name, &a.architecture).cmp(&(&b.name, &b.architecture)));
        installed.dedup_by(|a, b| (&a.name, &a.architecture) == (&b.name, &b.architecture));
        let providers = Providers::new(&installed);
        let mut licences = Licences::default();
        for package in &installed {
            let (depends, unresolved) = providers.resolve(package);
            let mut package = describe(package, os);
            package.licence = licences.of(tree, &package.name);
            package.depends = depends;
            package.unresolved = unresolved;
            out.all.push(package);
        }
        out.own(tree, &installed);
        out
    }

    /// A file of the database; `None` if it is missing.
    fn file(&mut self, tree: &Tree, name: &str) -> Option<Vec<u8>> {
        let read = tree.read(format!("{DIR}/{name}"), LIMIT);
        read.unwrap_or_else(|error| {
            self.remarks.push(error.to_string());
            None
        })
    }

    /// Reads the lists of all packages.
    fn own(&mut self, tree: &Tree, installed: &[Installed]) {
        let diversions = self.file(tree, "diversions").unwrap_or_default();
        let diversions = diversions_of(&diversions);
        let mut places = Places::new(tree);
        for (index, package) in installed.iter().enumerate() {
            let base = package.base();
            let Some(list) = self.file(tree, &format!("info/{base}.list")) else {
                if let Some(package) = self.all.get_mut(index) {
                    package.listed = false;
                }
                self.remarks.push(format!(
                    "{DIR}/info/{base}.list is missing: the files of {base} are not known as its own"
                ));
                continue;
            };
            for line in list
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
            {
                let diverted = diversions
                    .get(line)
                    .filter(|(_, by)| *by != package.name.as_bytes());
                let path = diverted.map_or(line, |(to, _)| to);
                self.owners.entry(places.real(path)).or_insert(index);
            }
        }
    }
}

/// The diverted paths: where they are, and the package that is not diverted (`dpkg-divert(1)`;
/// three lines for each).
fn diversions_of(text: &[u8]) -> BTreeMap<&[u8], (&[u8], &[u8])> {
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    let entries = lines.chunks_exact(3).filter_map(|entry| match entry {
        [from, to, by] => Some((*from, (*to, *by))),
        _ => None,
    });
    entries.collect()
}

/// Real paths: the directories of a path are followed, its last component is not.
struct Places<'t> {
    tree: &'t Tree,
    /// The real paths of directories.
    known: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl<'t> Places<'t> {
    fn new(tree: &'t Tree) -> Self {
        let known = BTreeMap::new();
        Self { tree, known }
    }

    fn real(&mut self, path: &[u8]) -> Vec<u8> {
        let at = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        let (dir, name) = path.split_at_checked(at).unwrap_or((path, b""));
        let tree = self.tree;
        let real = self.known.entry(dir.to_vec()).or_insert_with(|| {
            let walk = tree.walk(dir, true).ok().filter(|walk| walk.exists);
            let path = walk.as_ref().map_or_else(|| dir.to_vec(), Walk::path);
            if path == b"/" { Vec::new() } else { path }
        });
        [real, name].concat()
    }
}

/// The package URL of a package file that was installed.
#[must_use]
pub fn package_url(os: &OsRelease, name: &str, version: &str, architecture: &str) -> String {
    let purl = Purl {
        vendor: &os.id,
        name,
        version,
        architecture,
        upstream: None,
        distro: &distro(os),
    };
    purl.to_string()
}

/// `ID-VERSION_ID`; empty if one of them is unknown.
fn distro(os: &OsRelease) -> String {
    let parts = [os.id.as_str(), os.version_id.as_str()];
    if parts.contains(&"") {
        String::new()
    } else {
        parts.join("-")
    }
}

/// The package itself, without its licence and relations.
fn describe(package: &Installed, os: &OsRelease) -> DeployedPackage {
    let control = &package.control;
    let version = control.text("Version").to_owned();
    // `Source: name (version)`, only where they differ.
    let (source, rest) = control
        .text("Source")
        .split_once('(')
        .unwrap_or((control.text("Source"), ""));
    let source = Some(source.trim()).filter(|name| !name.is_empty());
    let source_version = Some(rest.trim().trim_end_matches(')').trim());
    let source_version = source_version.filter(|text| !text.is_empty() && *text != version);
    let homepage = Some(control.text("Homepage")).filter(|url| is_url(url));
    let purl = Purl {
        vendor: &os.id,
        name: &package.name,
        version: &version,
        architecture: &package.architecture,
        upstream: (source.is_some() || source_version.is_some())
            .then(|| (source.unwrap_or(&package.name), source_version)),
        distro: &distro(os),
    };
    DeployedPackage {
        purl: purl.to_string(),
        name: package.name.clone(),
        architecture: package.architecture.clone(),
        source: source.unwrap_or(&package.name).to_owned(),
        source_version: source_version.map(str::to_owned),
        creator: contact(control.text("Maintainer"), homepage),
        homepage: homepage.map(str::to_owned),
        version,
        licence: None,
        depends: Vec::new(),
        unresolved: Vec::new(),
        listed: true,
    }
}

pub(super) fn is_url(text: &str) -> bool {
    let scheme = ["https://", "http://"]
        .iter()
        .any(|scheme| text.starts_with(scheme));
    scheme
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"<>\"{}|\\^`".contains(&byte))
}

/// `Name <address>`; the home page takes the place of a missing address.
fn contact(maintainer: &str, homepage: Option<&str>) -> Option<Contact> {
    let (name, address) = match maintainer.rsplit_once('<') {
        Some((name, address)) => (name, address.trim().trim_end_matches('>')),
        None => (maintainer, maintainer),
    };
    let email = Some(address.trim()).filter(|address| is_email(address));
    let name = name.trim().trim_matches('"');
    let url = homepage.filter(|_| email.is_none());
    let first = [Some(name), email, url];
    let name = first.into_iter().flatten().find(|name| !name.is_empty())?;
    Some(Contact {
        name: name.to_owned(),
        email: email.map(str::to_owned),
        url: url.map(str::to_owned),
    })
}

/// Whether a text is an address in the form that all readers of bills accept.
fn is_email(text: &str) -> bool {
    let fine = |part: &str| {
        let letter = |c: char| c.is_ascii_alphanumeric() || "-_+.".contains(c);
        !part.is_empty()
            && part.chars().all(letter)
            && !part.starts_with('.')
            && !part.ends_with('.')
            && !part.contains("..")
    };
    text.split_once('@')
        .is_some_and(|(user, host)| fine(user) && fine(host))
}

/// The licences of packages; several packages may share a file.
#[derive(Default)]
struct Licences {
    known: BTreeMap<Vec<u8>, Option<Licence>>,
}

impl Licences {
    fn of(&mut self, tree: &Tree, package: &str) -> Option<Licence> {
        let path = format!("/usr/share/doc/{package}/copyright");
        let walk = tree
            .walk(path.as_bytes(), true)
            .ok()
            .filter(|walk| walk.exists)?;
        let owner = walk.real.iter().rev().nth(1).cloned().unwrap_or_default();
        let owner = String::from_utf8_lossy(&owner).into_owned();
        let real = walk.path();
        if let Some(known) = self.known.get(&real) {
            return known.clone();
        }
        let text = tree.read(&real, TEXT).ok().flatten();
        let read = text.map(|bytes| licence(&String::from_utf8_lossy(&bytes), &owner));
        self.known.insert(real, read.clone());
        read
    }
}

/// Which packages have a name, or provide it in a version.
struct Providers<'p> {
    /// By name; without a version, a package provides none.
    named: BTreeMap<String, Vec<(usize, Option<Version>)>>,
    installed: &'p [Installed],
}

impl<'p> Providers<'p> {
    fn new(installed: &'p [Installed]) -> Self {
        let mut out: BTreeMap<String, Vec<(usize, Option<Version>)>> = BTreeMap::new();
        for (index, package) in installed.iter().enumerate() {
            let version = package.control.text("Version").parse().ok();
            out.entry(package.name.clone())
                .or_default()
                .push((index, version));
            let provides =
                Relations::parse(package.control.text("Provides"), &package.architecture);
            for relation in provides.unwrap_or_default().0.into_iter().flatten() {
                let version = relation.version.map(|(_, version)| version);
                out.entry(relation.name).or_default().push((index, version));
            }
        }
        Self {
            named: out,
            installed,
        }
    }

    /// The packages that fulfil the relations of `package`, and the relations that none does.
    fn resolve(&self, package: &Installed) -> (Vec<usize>, Vec<String>) {
        let (mut found, mut unresolved) = (BTreeSet::new(), Vec::new());
        for field in ["Pre-Depends", "Depends"] {
            let text = package.control.text(field);
            let relations = match Relations::parse(text, &package.architecture) {
                Ok(relations) => relations,
                Err(error) => {
                    unresolved.push(error.to_string());
                    continue;
                }
            };
            for group in relations.0 {
                let fulfil: Vec<usize> = group
                    .iter()
                    .flat_map(|relation| self.fulfil(relation, package))
                    .collect();
                if fulfil.is_empty() {
                    unresolved.push(Relations(vec![group]).to_string());
                }
                found.extend(fulfil);
            }
        }
        let itself = |index: &usize| {
            self.installed.get(*index).is_some_and(|other| {
                (&other.name, &other.architecture) == (&package.name, &package.architecture)
            })
        };
        found.retain(|index| !itself(index));
        (found.into_iter().collect(), unresolved)
    }

    fn fulfil(&self, relation: &Relation, of: &Installed) -> Vec<usize> {
        let named = self.named.get(&relation.name).into_iter().flatten();
        let fits = named.filter(|(index, version)| {
            let admitted = match version {
                Some(version) => relation.admits(version),
                None => relation.version.is_none(),
            };
            let serves = |other: &Installed| other.serves(relation, &of.architecture);
            admitted && self.installed.get(*index).is_some_and(serves)
        });
        fits.map(|(index, _)| *index).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Stat, Time};

    /// A tree with these files.
    fn tree(files: &[(&str, &str)]) -> Tree {
        let stat = Stat::root(0o644, Time::default());
        let mut tree = Tree::new(stat.clone());
        for (path, text) in files {
            tree.put_file(path, *text, stat.clone()).unwrap();
        }
        tree
    }

    fn debian() -> OsRelease {
        OsRelease {
            id: "debian".into(),
            version_id: "12".into(),
            ..OsRelease::default()
        }
    }

    /// The packages of a `status` file of these paragraphs, each a name and more fields.
    fn packages(paragraphs: &[(&str, &str)]) -> Packages {
        let paragraphs = paragraphs.iter().map(|(name, more)| {
            let fields = "Status: install ok installed\nVersion: 1.0-1\nArchitecture: amd64";
            format!("Package: {name}\n{fields}\n{more}\n\n")
        });
        let status: String = paragraphs.collect();
        Packages::read(&tree(&[("/var/lib/dpkg/status", &status)]), &debian())
    }

    #[test]
    fn maintainers_have_an_address_or_a_page() {
        let email = |name: &str, email: &str| Contact {
            name: name.into(),
            email: Some(email.into()),
            url: None,
        };
        let page = Some("https://example.org/");
        for (text, wanted) in [
            ("A Team <a@x.org>", Some(email("A Team", "a@x.org"))),
            ("\"A, B\" <a+b@x.org>", Some(email("A, B", "a+b@x.org"))),
            ("a@x.org", Some(email("a@x.org", "a@x.org"))),
            ("<a@x.org>", Some(email("a@x.org", "a@x.org"))),
            ("", None),
        ] {
            assert_eq!(contact(text, None), wanted, "{text}");
        }
        for text in [
            "A Team",
            "A Team <>",
            "A Team <a at x.org>",
            "A Team <a@x..org>",
        ] {
            let found = contact(text, page).unwrap();
            assert_eq!((found.email, found.url.as_deref()), (None, page), "{text}");
            assert_eq!(found.name, "A Team");
        }
        assert_eq!(contact("", page).unwrap().name, "https://example.org/");
    }

    #[test]
    fn relations_are_resolved_as_far_as_the_image_goes() {
        let read = packages(&[
            (
                "a",
                "Depends: b (>= 1.0) | c, v (= 2), v2, a\nPre-Depends: no (>> 3) | no2",
            ),
            ("b", "Provides: v (= 2), v2"),
            ("c", "Depends: b (>= 2), v2 (>= 1)"),
            ("d", "Depends: b (= "),
            ("e", ""),
        ]);
        let depends: Vec<&[usize]> = read.all.iter().map(|p| p.depends.as_slice()).collect();
        assert_eq!(depends, [&[1, 2][..], &[], &[], &[], &[]]);
        let unresolved = |index: usize| read.all[index].unresolved.join("; ");
        assert_eq!(unresolved(0), "no (>> 3) | no2");
        // A version is neither that of another package nor of a name without one.
        assert_eq!(unresolved(2), "b (>= 2); v2 (>= 1)");
        assert!(!unresolved(3).is_empty());
        assert_eq!(unresolved(4), "");
    }

    #[test]
    fn other_architectures_serve_where_they_may() {
        let read = packages(&[("a", "Depends: b, f, any:any, i:i386, all"), ("all", "")]);
        assert_eq!(read.all[0].unresolved, ["b", "f", "any:any", "i:i386"]);
        let fields = |name: &str, more: &str| {
            format!(
                "Package: {name}\nStatus: install ok installed\nVersion: 1\n\
                 Architecture: i386\n{more}\n\n"
            )
        };
        let status = [
            "Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\n\
             Depends: b, f, any:any, i:i386\n\n"
                .to_owned(),
            fields("b", "Multi-Arch: same"),
            fields("f", "Multi-Arch: foreign"),
            fields("any", "Multi-Arch: allowed"),
            fields("i", "Multi-Arch: same"),
        ];
        let tree = tree(&[("/var/lib/dpkg/status", &status.concat())]);
        let read = Packages::read(&tree, &debian());
        assert_eq!(read.all[0].unresolved, ["b"]);
        assert_eq!(read.all[0].depends.len(), 3);
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let empty = Packages::read(&tree(&[]), &debian());
        assert_eq!(empty.all.len(), 0);
        assert_eq!(
            empty.remarks,
            ["the image has no /var/lib/dpkg/status, so no package is known"]
        );
        let status = "Package: a\nStatus: install ok installed\nVersion: 1\n\nno colon\n\n\
                      Package: b\nStatus: deinstall ok config-files\n\nPackage: c\n";
        let read = Packages::read(&tree(&[("/var/lib/dpkg/status", status)]), &debian());
        let names: Vec<&str> = read
            .all
            .iter()
            .map(|package| package.name.as_str())
            .collect();
        assert_eq!(names, ["a"]);
        assert_eq!(read.remarks.len(), 2, "{:?}", read.remarks);
        assert!(read.remarks[0].starts_with("/var/lib/dpkg/status, paragraph 2: "));
        assert!(!read.all[0].listed);
    }

    #[test]
    fn files_belong_to_the_first_package_by_their_real_paths() {
        let fields = "Status: install ok installed\nVersion: 1\nArchitecture: all\n\n";
        let status = format!("Package: a\n{fields}Package: b\n{fields}");
        let mut tree = tree(&[
            ("/var/lib/dpkg/status", status.as_str()),
            ("/var/lib/dpkg/info/a.list", "/.\n/bin/x\n/etc/d\n/gone/y\n"),
            (
                "/var/lib/dpkg/info/b.list",
                "/usr/bin/x\n/etc/d\n/bin/z\n/.\n",
            ),
            ("/var/lib/dpkg/diversions", "/etc/d\n/etc/d.a\nb\n"),
            ("/usr/bin/x", ""),
        ]);
        tree.put_symlink("/bin", "usr/bin", Time::default())
            .unwrap();
        let read = Packages::read(&tree, &debian());
        let owner = |path: &str| read.owners.get(path.as_bytes()).copied();
        assert_eq!(owner("/usr/bin/x"), Some(0));
        assert_eq!(owner("/usr/bin/z"), Some(1));
        assert_eq!(owner("/bin/x"), None);
        assert_eq!(owner("/etc/d.a"), Some(0), "diverted for all but b");
        assert_eq!(owner("/etc/d"), Some(1));
        assert_eq!(owner("/gone/y"), Some(0));
    }

    #[test]
    fn sources_and_their_versions() {
        let read = packages(&[
            ("a", "Source: s (2.0)"),
            ("b", "Source: s"),
            ("c", "Homepage: x y"),
        ]);
        let all: Vec<_> = read
            .all
            .iter()
            .map(|p| (p.source.as_str(), p.source_version.as_deref()))
            .collect();
        assert_eq!(all, [("s", Some("2.0")), ("s", None), ("c", None)]);
        assert!(
            read.all[0]
                .purl
                .ends_with("?arch=amd64&distro=debian-12&upstream=s%402.0")
        );
        assert!(read.all[1].purl.ends_with("&upstream=s"));
        assert!(read.all[2].purl.ends_with("&distro=debian-12"));
        assert_eq!(read.all[2].homepage, None);
    }
}
