//! Debian repositories made by the test that needs them, signed by a key of its own.

use super::openpgp::{MADE, Owner};
use goldsmith::digest::hex;
use goldsmith::stream::{Codec, Compression};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// How a repository is made.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) suite: String,
    /// Forms of the indices.
    pub(crate) forms: Vec<Compression>,
    /// Only by the names of their digests.
    pub(crate) by_hash: bool,
    /// `InRelease`, else `Release` and `Release.gpg`.
    pub(crate) inline: bool,
    /// Further fields of `Release`, each with its line feed.
    pub(crate) fields: String,
    /// `Date`.
    pub(crate) date: String,
    pub(crate) architectures: Vec<String>,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            suite: "debian/trixie/stable".to_owned(),
            forms: vec![Compression::Xz],
            by_hash: false,
            inline: true,
            fields: String::new(),
            date: "Tue, 14 Nov 2023 22:13:20 UTC".to_owned(),
            architectures: vec!["amd64".to_owned()],
        }
    }
}

/// A package: the fields that `Filename`, `Size` and `SHA256` follow, and the bytes of the file.
#[derive(Clone, Debug)]
pub(crate) struct PoolFile {
    pub(crate) fields: String,
    /// Path below the repository.
    pub(crate) filename: String,
    pub(crate) bytes: Vec<u8>,
}

impl PoolFile {
    /// A file that is not really a package.
    pub(crate) fn example(name: &str, version: &str, architecture: &str) -> Self {
        Self {
            fields: format!(
                "Package: {name}\nVersion: {version}\nArchitecture: {architecture}\n\
                 Depends: libc6 (>= 2.36)\n"
            ),
            filename: format!("pool/main/{name}_{version}_{architecture}.deb"),
            bytes: format!("{name} {version} ").repeat(4000).into_bytes(),
        }
    }

    /// The paragraph of the index.
    pub(crate) fn paragraph(&self) -> String {
        format!(
            "{}Filename: {}\nSize: {}\nSHA256: {}\n",
            self.fields,
            self.filename,
            self.bytes.len(),
            hex(&Sha256::digest(&self.bytes))
        )
    }
}

/// The directory of the release of a suite.
pub(crate) fn dists(dir: &Path, layout: &Layout) -> PathBuf {
    dir.join("dists").join(&layout.suite)
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Writes a repository with the component `main`. Each index has all packages of its architecture,
/// and those of architecture `all` unless that has an index of its own.
pub(crate) fn write_repository(dir: &Path, owner: &Owner, layout: &Layout, files: &[PoolFile]) {
    let dists = dists(dir, layout);
    let mut listed = String::new();
    for file in files {
        write(&dir.join(&file.filename), &file.bytes);
    }
    let separate = layout.architectures.iter().any(|name| name == "all");
    for architecture in &layout.architectures {
        let belongs = |file: &&PoolFile| {
            let of = |name: &str| file.fields.contains(&format!("Architecture: {name}\n"));
            of(architecture) || (!separate && of("all"))
        };
        let paragraphs: Vec<String> = files
            .iter()
            .filter(belongs)
            .map(PoolFile::paragraph)
            .collect();
        let index = paragraphs.join("\n");
        let directory = format!("main/binary-{architecture}");
        for form in &layout.forms {
            let suffix = form.suffix();
            let bytes = Codec::from(*form).compress(index.as_bytes()).unwrap();
            let digest = hex(&Sha256::digest(&bytes));
            let path = format!("{directory}/Packages{suffix}");
            listed.push_str(&format!(" {digest} {} {path}\n", bytes.len()));
            let path = if layout.by_hash {
                format!("{directory}/by-hash/SHA256/{digest}")
            } else {
                path
            };
            write(&dists.join(path), &bytes);
        }
    }
    write_release(dir, owner, layout, &listed);
}

/// Writes the release that lists these files (lines of the section `SHA256`), signed.
pub(crate) fn write_release(dir: &Path, owner: &Owner, layout: &Layout, listed: &str) {
    let dists = dists(dir, layout);
    let text = format!(
        "Origin: Example\nLabel: Example\nSuite: {}\nCodename: trixie\nDate: {}\n\
         Architectures: {}\nComponents: main\nAcquire-By-Hash: {}\n{}SHA256:\n{listed}",
        layout.suite,
        layout.date,
        layout.architectures.join(" "),
        if layout.by_hash { "yes" } else { "no" },
        layout.fields
    );
    if layout.inline {
        write(
            &dists.join("InRelease"),
            owner.clear_signed(&text, MADE).as_bytes(),
        );
    } else {
        write(&dists.join("Release"), text.as_bytes());
        write(
            &dists.join("Release.gpg"),
            &owner.detached(text.as_bytes(), MADE),
        );
    }
}
