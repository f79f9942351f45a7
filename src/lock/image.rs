//! What the golden image says of packages: those that are installed, and where its apt finds more.

use crate::deb::{PackageFacts, Paragraph, stanzas};
use crate::golden::Golden;
use crate::problem::Problem;
use crate::repository::{AptSource, Complaint, Keyring, SignedBy, apt_sources};
use crate::resolve::Candidate;
use crate::tree::Tree;
use std::collections::BTreeMap;

/// The largest database of dpkg that is read (bytes).
const STATUS: u64 = 256 << 20;
/// The largest file of sources or keys that is read (bytes).
const SMALL: u64 = 4 << 20;

/// The packages of the golden image.
pub(super) struct ImagePackages {
    /// Its architecture, by Debian's name.
    pub(super) architecture: String,
    /// Further architectures that its dpkg accepts.
    pub(super) foreign: Vec<String>,
    /// Its packages.
    pub(super) installed: Vec<Candidate>,
}

impl ImagePackages {
    /// # Errors
    /// An image without an architecture or a database of dpkg, or with one that is damaged.
    pub(super) fn read(golden: &Golden) -> Result<Self, Problem> {
        let root = &golden.root.tree;
        let architecture = golden.facts.architecture.ok_or_else(|| {
            Problem::new("the architecture of the golden image is unknown: it has no /bin/sh")
        })?;
        let architecture = architecture.name();
        let status = read(root, "/var/lib/dpkg/status", STATUS)?.ok_or_else(|| {
            Problem::new("the golden image has no /var/lib/dpkg/status: no packages fit it")
                .hint("remove client.bundle and client.install; bring the client by an overlay")
        })?;
        let mut installed = Vec::new();
        for stanza in stanzas(&status) {
            let problem =
                |e: String| Problem::new(format!("/var/lib/dpkg/status of the golden image: {e}"));
            let control = Paragraph::parse(stanza).map_err(|e| problem(e.to_string()))?;
            let mut words = control.text("Status").split_whitespace();
            // Interrupted packages do not satisfy relations; dpkg would refuse to go on.
            let counts = matches!(
                words.nth(2),
                Some("installed" | "triggers-awaited" | "triggers-pending")
            );
            if counts {
                installed.push(candidate(&control, 0, installed.len()).map_err(problem)?);
            }
        }
        let foreign = read(root, "/var/lib/dpkg/arch", SMALL)?.unwrap_or_default();
        let foreign = String::from_utf8_lossy(&foreign);
        let foreign = foreign.lines().map(str::trim);
        Ok(Self {
            architecture: architecture.to_owned(),
            foreign: foreign
                .filter(|name| !name.is_empty() && *name != architecture)
                .map(str::to_owned)
                .collect(),
            installed,
        })
    }
}

/// The fields of a control paragraph that relations are about.
fn candidate(control: &Paragraph, source: usize, id: usize) -> Result<Candidate, String> {
    let facts = PackageFacts::read(control)
        .map_err(|e| format!("package {}: {e}", control.text("Package")))?;
    Ok(Candidate { facts, source, id })
}

/// A repository of the golden image's apt.
pub(super) struct ImageSource {
    /// Where it is.
    pub(super) source: AptSource,
    /// The keys that may sign it.
    pub(super) keys: Keyring,
}

/// The repositories of the golden image's apt (`sources.list(5)`) for `architecture`, and what was
/// left out of them, in words.
///
/// # Errors
/// Keys that cannot be read.
pub(super) fn image_sources(
    root: &Tree,
    architecture: &str,
) -> Result<(Vec<ImageSource>, Vec<String>), Problem> {
    let mut files = Vec::new();
    for path in source_files(root) {
        if let Some(bytes) = read(root, &path, SMALL)? {
            files.push((path, String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
    let texts: Vec<(&str, &str)> = files
        .iter()
        .map(|(path, text)| (&**path, &**text))
        .collect();
    let (sources, complaints) = apt_sources(&texts);
    let complaint = |one: &Complaint| {
        let Complaint {
            file,
            line,
            message,
        } = one;
        format!("{file}:{line} of the golden image: left out: {message}")
    };
    let mut notes: Vec<String> = complaints.iter().map(complaint).collect();
    let mut out = Vec::new();
    for source in sources {
        let architectures = &source.architectures;
        if !architectures.is_empty() && !architectures.iter().any(|one| one == architecture) {
            continue;
        }
        let keys = source_keys(root, &source, &mut notes)?;
        if keys.is_empty() {
            notes.push(format!(
                "{}: left out: the golden image has no key for it",
                place(&source)
            ));
            continue;
        }
        out.push(ImageSource { source, keys });
    }
    Ok((out, notes))
}

/// Where an entry of apt is, for a message.
fn place(source: &AptSource) -> String {
    format!("{}:{} of the golden image", source.file, source.line)
}

/// `sources.list` and the files below `sources.list.d`, in the order of apt.
fn source_files(root: &Tree) -> Vec<String> {
    let mut out = vec!["/etc/apt/sources.list".to_owned()];
    let dir = "/etc/apt/sources.list.d";
    out.extend(names(root, dir, &[".list", ".sources"]));
    out
}

/// The files of `dir` whose names end so, as absolute paths in the order of their names.
fn names(root: &Tree, dir: &str, ends: &[&str]) -> Vec<String> {
    let entries = root.dir(dir).into_iter().flat_map(|dir| dir.entries.keys());
    let names = entries.map(|name| String::from_utf8_lossy(name.as_ref()).into_owned());
    names
        .filter(|name| ends.iter().any(|end| name.ends_with(end)))
        .map(|name| format!("{dir}/{name}"))
        .collect()
}

/// The keys of `Signed-By`, otherwise those that apt trusts for every repository.
fn source_keys(
    root: &Tree,
    source: &AptSource,
    notes: &mut Vec<String>,
) -> Result<Keyring, Problem> {
    let mut out = Keyring::default();
    match &source.signed_by {
        SignedBy::Embedded(text) => return keyring(&place(source), text.as_bytes()),
        SignedBy::Default => out.merge(trusted_keys(root, notes)?),
        SignedBy::Keys {
            paths,
            fingerprints,
        } => {
            for path in paths {
                match read(root, path, SMALL)? {
                    Some(bytes) => out.merge(keyring(path, &bytes)?),
                    None => notes.push(format!("{}: {path} does not exist", place(source))),
                }
            }
            if !fingerprints.is_empty() {
                out.merge(trusted_keys(root, notes)?.restricted_to(fingerprints));
            }
        }
    }
    Ok(out)
}

/// The keys that apt trusts for every repository.
fn trusted_keys(root: &Tree, notes: &mut Vec<String>) -> Result<Keyring, Problem> {
    let mut out = Keyring::default();
    for (path, bytes) in trusted(root)? {
        match keyring(&path, &bytes) {
            Ok(keys) => out.merge(keys),
            Err(problem) => notes.push(problem.message),
        }
    }
    Ok(out)
}

/// The files of the keys that apt trusts for every repository (`apt-key(8)`), by path.
fn trusted(root: &Tree) -> Result<BTreeMap<String, Vec<u8>>, Problem> {
    let mut paths = vec!["/etc/apt/trusted.gpg".to_owned()];
    paths.extend(names(root, "/etc/apt/trusted.gpg.d", &[".gpg", ".asc"]));
    let mut out = BTreeMap::new();
    for path in paths {
        if let Some(bytes) = read(root, &path, SMALL)? {
            out.insert(path, bytes);
        }
    }
    Ok(out)
}

/// All keys of the golden image's apt: those that it trusts, and those that lie ready for
/// `Signed-By`.
///
/// # Errors
/// I/O errors.
pub(super) fn all_keys(root: &Tree) -> Result<Keyring, Problem> {
    let mut files = trusted(root)?;
    for dir in ["/usr/share/keyrings", "/etc/apt/keyrings"] {
        for path in names(root, dir, &[".gpg", ".asc", ".pgp"]) {
            if let Some(bytes) = read(root, &path, SMALL)? {
                files.insert(path, bytes);
            }
        }
    }
    let mut out = Keyring::default();
    for (path, bytes) in files {
        // A file that cannot be read has no key that could be found in it.
        if let Ok(keys) = keyring(&path, &bytes) {
            out.merge(keys);
        }
    }
    Ok(out)
}

fn keyring(path: &str, bytes: &[u8]) -> Result<Keyring, Problem> {
    Keyring::parse(bytes).map_err(|e| Problem::new(format!("{path} of the golden image: {e}")))
}

fn read(root: &Tree, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Problem> {
    root.read(path, limit)
        .map_err(|e| Problem::new(format!("reading the golden image: {e}")))
}
