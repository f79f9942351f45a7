//! What both bills of materials are written from.

use super::files::{self, DeployedFile, Digest512};
use super::packages::{Contact, DeployedPackage, Packages};
use crate::digest::{Digest, hex};
use crate::golden::facts::{self, OsRelease};
use crate::stamp::Uuid;
use crate::stream::ReadAt;
use crate::tree::{Tree, show};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io;

/// What a bill of materials is about: the root filesystem of a release.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The name of the product: the device type.
    pub name: String,
    /// The name of the release.
    pub version: String,
    /// The name of the filesystem within the Artifact.
    pub file: String,
    /// SHA-256 of the filesystem, as in both slots.
    pub sha256: Digest,
    /// The file name of the Artifact, and its SHA-256.
    pub artifact: (String, Digest),
    /// Who makes the device and the bill.
    pub creator: Option<Contact>,
    /// The time of the bill (seconds since 1970).
    pub time: i64,
}

/// The parts of a root filesystem.
#[derive(Debug)]
pub struct Bill {
    /// What it is about.
    pub subject: Subject,
    /// The operating system.
    pub os: OsRelease,
    /// The home page of the operating system, `HOME_URL` of `os-release(5)`.
    pub os_home: Option<String>,
    /// SHA-512 of the filesystem.
    pub sha512: Digest512,
    /// The installed packages, by name and architecture.
    pub packages: Vec<DeployedPackage>,
    /// The regular files, in the bytewise order of their paths.
    pub files: Vec<DeployedFile>,
    /// What could not be found out, one sentence each.
    pub remarks: Vec<String>,
}

impl Bill {
    /// Reads the files of `tree`, which are those of the filesystem `root`. `reasons` has the paths
    /// (as [`show`] gives them) that the conversion added or changed. The number of threads changes
    /// nothing; `advance` is told how many bytes were read.
    ///
    /// # Errors
    /// I/O errors of the filesystem. What its files say is not a reason to fail.
    pub fn read(
        subject: Subject,
        (tree, root): (&Tree, &dyn ReadAt),
        reasons: &BTreeMap<String, String>,
        jobs: usize,
        advance: &(dyn Fn(u64) + Sync),
    ) -> io::Result<Self> {
        let os = facts::os_release(tree).unwrap_or_default();
        let packages = Packages::read(tree, &os);
        let (mut files, sha512) = files::read(tree, root, jobs, advance)?;
        for file in &mut files {
            file.package = packages.owners.get(&file.path).copied();
            file.reason = reasons.get(&show(&file.path)).cloned();
        }
        Ok(Self {
            subject,
            os_home: home(tree),
            os,
            sha512,
            packages: packages.all,
            files,
            remarks: packages.remarks,
        })
    }

    /// The files of each package, by its index, and those of none.
    pub(super) fn by_package(&self) -> (Vec<Vec<&DeployedFile>>, Vec<&DeployedFile>) {
        let mut of = vec![Vec::new(); self.packages.len()];
        let mut rest = Vec::new();
        for file in &self.files {
            let list = file.package.and_then(|index| of.get_mut(index));
            list.unwrap_or(&mut rest).push(file);
        }
        (of, rest)
    }

    /// How many packages have no machine-readable licence.
    #[must_use]
    pub fn unclear_licences(&self) -> usize {
        let clear = |package: &&DeployedPackage| {
            let licence = package.licence.as_ref();
            licence.is_some_and(|licence| licence.machine_readable)
        };
        self.packages
            .len()
            .saturating_sub(self.packages.iter().filter(clear).count())
    }

    /// An identifier of the bill in `format`, which only another bill has otherwise: version 8 of
    /// RFC 9562, from a SHA-256 of what the bill is about.
    pub(super) fn uuid(&self, format: &str) -> Uuid {
        let Subject {
            name,
            version,
            file,
            sha256,
            artifact,
            creator,
            time,
        } = &self.subject;
        let creator = creator.as_ref().map(|creator| &creator.name);
        let parts = [
            "goldsmith",
            env!("CARGO_PKG_VERSION"),
            format,
            name,
            version,
            file,
            &hex(sha256),
            &artifact.0,
            &hex(&artifact.1),
            creator.map_or("", |name| name),
            &time.to_string(),
        ];
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let digest: Digest = hash.finalize().into();
        let mut out = [0; 16];
        out.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        let [.., version, _, variant, _, _, _, _, _, _, _] = &mut out;
        *version = *version & 0x0f | 0x80;
        *variant = *variant & 0x3f | 0x80;
        Uuid(out)
    }
}

/// `HOME_URL` of the operating system.
fn home(tree: &Tree) -> Option<String> {
    const LIMIT: u64 = 1 << 20;
    let paths = ["/etc/os-release", "/usr/lib/os-release"];
    let text = paths
        .iter()
        .find_map(|path| tree.text(path, LIMIT).ok().flatten())?;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix("HOME_URL="))?;
    let value = value.trim().trim_matches(['"', '\'']);
    super::packages::is_url(value).then(|| value.to_owned())
}
