//! Chooses packages from the repositories.

use super::file::{LockFile, LockedPackage, LockedRepository};
use super::image::{ImagePackages, all_keys, image_sources};
use super::request::{KeyLocation, LockRequest, RepositoryByUrl, RepositoryRequest};
use crate::bundle::{Bundle, Member};
use crate::deb::{PackageFacts, Version};
use crate::digest::hex;
use crate::golden::Golden;
use crate::golden::facts::OsRelease;
use crate::input_file;
use crate::problem::{Problem, Problems};
use crate::report::Report;
use crate::repository::{
    Fingerprint, Index, IndexPackage, Keyring, RelationField, Repository, Transport, fetch_index,
};
use crate::resolve::{Candidate, MultiArch, Reason, Request, Source, Want, Why, resolve};
use std::collections::BTreeSet;
use std::io::Read;

/// The largest file of public keys that is read (bytes).
const KEYS: u64 = 4 << 20;

/// All that a choice depends on.
pub struct LockInputs<'a> {
    /// What is asked for.
    pub request: &'a LockRequest,
    /// The image that the packages are for.
    pub golden: &'a Golden,
    /// The lock file that the new one replaces: repositories must not be older than it says.
    pub earlier: Option<&'a LockFile>,
    /// How the repositories are reached.
    pub transport: &'a dyn Transport,
    /// The present time (seconds since 1970).
    pub now: u64,
    /// Progress and messages.
    pub report: &'a dyn Report,
}

/// A new lock file.
#[derive(Clone, Debug)]
pub struct Locked {
    /// The lock file.
    pub file: LockFile,
    /// What the user should know of the choice, in words.
    pub notes: Vec<String>,
}

/// Chooses the packages of `inputs.request`.
///
/// # Errors
/// [`Problems`]: repositories that cannot be reached or trusted, and requests without a solution.
pub fn choose(inputs: &LockInputs<'_>) -> Result<Locked, Problems> {
    let image = ImagePackages::read(inputs.golden)?;
    let (repositories, mut notes) = repositories(inputs, &image.architecture)?;
    let indices = indices(inputs, &repositories, &image)?;
    let mut packages: Vec<(usize, &IndexPackage)> = Vec::new();
    for (source, index) in indices.iter().enumerate() {
        packages.extend(index.packages.iter().map(|package| (source, package)));
    }
    let with_version = inputs.request.install.iter();
    let explicit: BTreeSet<&str> = with_version
        .filter(|want| !want.constraint.is_any())
        .map(|want| want.package.as_str())
        .collect();
    members_exist(inputs.request, &explicit, &packages)?;
    let mut candidates = Vec::new();
    for (id, (source, package)) in packages.iter().enumerate() {
        if !fits_bundle(inputs.request.bundle, &explicit, package) {
            continue;
        }
        match candidate(package, &image.architecture, *source, id) {
            Ok(candidate) => candidates.push(candidate),
            // One package that cannot be read does not keep the others away.
            Err(problem) => notes.push(format!("left out: {}", problem.message)),
        }
    }
    let request = Request {
        architecture: image.architecture.clone(),
        foreign: image.foreign,
        sources: sources(&repositories, &indices),
        candidates,
        installed: image.installed,
        wanted: wanted(inputs.request, &packages)?,
        recommends: inputs.request.recommends,
        may_change: inputs.request.may_change.clone(),
        // goldsmith adds and upgrades packages.
        may_remove: false,
    };
    inputs.report.step("choosing packages", None);
    let solution = resolve(&request).map_err(|unsolvable| {
        Problems(
            unsolvable
                .reasons
                .into_iter()
                .map(without_removal)
                .collect(),
        )
    })?;
    notes.extend(solution.notes.iter().cloned());
    let locked = solution.packages.iter().map(|chosen| {
        let candidate = &request.candidates[chosen.candidate];
        let (source, package) = packages[candidate.id];
        LockedPackage {
            name: candidate.facts.name.clone(),
            version: candidate.facts.version.to_string(),
            architecture: candidate.facts.architecture.clone(),
            url: repositories[source].package_url(&package.filename),
            size: package.size,
            sha256: hex(&package.sha256),
            why: why(inputs.request, &chosen.why),
            recommended: matches!(chosen.why, Why::Recommends { .. }),
        }
    });
    Ok(Locked {
        file: LockFile::new(
            image.architecture,
            system(&inputs.golden.facts.os),
            inputs.request.record(),
            locked_repositories(&repositories, &indices),
            locked.collect(),
        ),
        notes,
    })
}

/// The system that a lock file is for, such as `debian trixie`.
#[must_use]
pub fn system(os: &OsRelease) -> String {
    format!("{} {}", os.id, os.codename).trim().to_owned()
}

/// What relations are about, of a package of a repository.
fn candidate(
    package: &IndexPackage,
    architecture: &str,
    source: usize,
    id: usize,
) -> Result<Candidate, Problem> {
    let relations = |field: RelationField| {
        package.relations(field, architecture).map_err(|e| {
            let (name, version) = (&package.package, &package.version);
            Problem::new(format!("package {name} {version}: {}: {e}", field.name()))
        })
    };
    let facts = PackageFacts {
        name: package.package.clone(),
        version: package.version.clone(),
        architecture: package.architecture.clone(),
        multi_arch: MultiArch::from_text(package.multi_arch.as_deref().unwrap_or_default()),
        essential: package.essential,
        depends: relations(RelationField::Depends)?,
        pre_depends: relations(RelationField::PreDepends)?,
        recommends: relations(RelationField::Recommends)?,
        conflicts: relations(RelationField::Conflicts)?,
        breaks: relations(RelationField::Breaks)?,
        replaces: relations(RelationField::Replaces)?,
        provides: relations(RelationField::Provides)?,
    };
    Ok(Candidate { facts, source, id })
}

/// The sources of the solver: earlier repositories are not preferred to later ones, so that the
/// newest version is taken wherever it is; but those that say of themselves that they are for what
/// is asked for alone (`NotAutomatic`, as backports do) come after all others.
fn sources(repositories: &[Repository], indices: &[Index]) -> Vec<Source> {
    let pairs = repositories.iter().zip(indices);
    let source = |(one, index): (&Repository, &Index)| Source {
        name: format!("{} {}", one.url, one.suite),
        priority: if index.release.not_automatic { -1 } else { 0 },
    };
    pairs.map(source).collect()
}

/// Whether a package of a repository may be chosen next to `bundle`: members in the bundle's
/// versions alone, unless the configuration names another version.
fn fits_bundle(bundle: Option<&Bundle>, explicit: &BTreeSet<&str>, package: &IndexPackage) -> bool {
    let member = bundle.and_then(|bundle| {
        let mut members = bundle.members.iter();
        members.find(|member| member.package == package.package)
    });
    match member {
        Some(member) if !explicit.contains(package.package.as_str()) => {
            is_of(member, &package.version)
        }
        _ => true,
    }
}

/// Fails if a required member of the bundle is not there in the bundle's version: a package that
/// provides its name is another one.
fn members_exist(
    request: &LockRequest,
    explicit: &BTreeSet<&str>,
    packages: &[(usize, &IndexPackage)],
) -> Result<(), Problems> {
    let mut problems = Problems::default();
    let Some(bundle) = request.bundle else {
        return Ok(());
    };
    let required = bundle.members.iter().filter(|member| member.required);
    for member in required.filter(|member| !explicit.contains(member.package.as_str())) {
        let of_name = packages.iter().map(|(_, package)| *package);
        let of_name = of_name.filter(|package| package.package == member.package);
        let versions: BTreeSet<&Version> = of_name.map(|package| &package.version).collect();
        if versions.iter().any(|version| is_of(member, version)) {
            continue;
        }
        let there = match versions.len() {
            0 => "no repository has the package".to_owned(),
            _ => {
                let names = versions.iter().rev().map(ToString::to_string);
                format!("there is {}", names.collect::<Vec<_>>().join(", "))
            }
        };
        let message = format!(
            "client.bundle {} wants {} {}: {there}",
            bundle.name, member.package, member.version
        );
        let hint = format!(
            "add the repository that has it, take another bundle, or name a version: client.install = [\"{}=VERSION\"]",
            member.package
        );
        problems.push(Problem::new(message).hint(hint));
    }
    problems.check()
}

/// Whether `version` belongs to the release of `member`.
fn is_of(member: &Member, version: &Version) -> bool {
    of_release(member, version.epoch()).is_ok_and(|want| want.constraint.admits(version))
}

/// The packages to install: the required members of the bundle, in its version also where the
/// image has them in another one, then those of `client.install`.
fn wanted(
    request: &LockRequest,
    packages: &[(usize, &IndexPackage)],
) -> Result<Vec<Want>, Problem> {
    let members = request.bundle.into_iter().flat_map(|one| &one.members);
    let mut out = Vec::new();
    for member in members.filter(|member| member.required) {
        let named = |want: &Want| want.package == member.package;
        if !request.install.iter().any(named) {
            let versions = packages
                .iter()
                .filter(|(_, one)| one.package == member.package)
                .map(|(_, one)| &one.version);
            let newest = versions.filter(|version| is_of(member, version)).max();
            out.push(of_release(member, newest.map_or(0, Version::epoch))?);
        }
    }
    out.extend(request.install.iter().cloned());
    Ok(out)
}

/// A member in the versions of its release: `5.1` is that of `5.1.0-1+debian+trixie`, and not of
/// `5.10.0-1` or of `5.1~rc1`, which came before it; so it is from `5.1` up to the candidates of
/// `5.2`. Bundles name no epoch, which repositories differ in.
fn of_release(member: &Member, epoch: u32) -> Result<Want, Problem> {
    let Member {
        package, version, ..
    } = member;
    let (head, last) = version.rsplit_once('.').unwrap_or(("", version));
    let next = last.parse::<u32>().unwrap_or_default().saturating_add(1);
    let dot = if head.is_empty() { "" } else { "." };
    let range = format!("{package}>={epoch}:{version},<<{epoch}:{head}{dot}{next}~");
    let want = Want::parse(&range).map_err(|e| Problem::new(e.to_string()))?;
    // The version is that of the bundle, which messages name.
    Ok(Want {
        text: package.clone(),
        ..want
    })
}

/// The reason for a package, with the bundle where the solver knows of its members alone.
fn why(request: &LockRequest, why: &Why) -> String {
    let Why::Wanted(wanted) = why else {
        return why.to_string();
    };
    let install = request.install.iter().any(|want| want.text == *wanted);
    match request.bundle {
        Some(bundle) if !install => format!("client.bundle {}", bundle.name),
        _ => format!("client.install {wanted}"),
    }
}

/// The problem with a way out that goldsmith has: it removes no packages.
fn without_removal(reason: Reason) -> Problem {
    match reason.in_the_way.as_slice() {
        [] => reason.problem,
        names => reason.problem.hint(format!(
            "remove it from the golden image (`apt purge {}`), and make the image anew",
            names.join(" ")
        )),
    }
}

/// The repositories, and what was left out of them, in words.
fn repositories(
    inputs: &LockInputs<'_>,
    architecture: &str,
) -> Result<(Vec<Repository>, Vec<String>), Problems> {
    let root = &inputs.golden.root.tree;
    let mut out: Vec<Repository> = Vec::new();
    let mut notes = Vec::new();
    for one in &inputs.request.repositories {
        match one {
            RepositoryRequest::Image => {
                let (sources, more) = image_sources(root, architecture)?;
                notes.extend(more);
                out.extend(sources.into_iter().map(|one| Repository {
                    url: one.source.url.trim_end_matches('/').to_owned(),
                    suite: one.source.suite,
                    components: one.source.components,
                    keyring: one.keys,
                }));
            }
            RepositoryRequest::Url(one) => out.push(by_url(inputs, one)?),
        }
    }
    if out.is_empty() {
        let problem = Problem::new("the golden image's apt has no repository")
            .hint("name one: [[repository]] with url, suite and fingerprint");
        return Err(problem.into());
    }
    Ok((out, notes))
}

/// The repository of a `[[repository]]`.
fn by_url(inputs: &LockInputs<'_>, one: &RepositoryByUrl) -> Result<Repository, Problem> {
    let url = &one.url;
    let mut fingerprints: Vec<Fingerprint> = Vec::new();
    for text in &one.fingerprints {
        let parsed = text.parse();
        fingerprints
            .push(parsed.map_err(|e| Problem::new(format!("repository {url}: {text}: {e}")))?);
    }
    let keys = match &one.key {
        None => all_keys(&inputs.golden.root.tree)?,
        Some(location) => {
            let (place, bytes) = key_bytes(inputs.transport, location)?;
            Keyring::parse(&bytes).map_err(|e| {
                Problem::new(format!("repository {url}: key {place}: {e}"))
                    .hint("the file must hold public OpenPGP keys, as `gpg --export` writes them")
            })?
        }
    };
    let keyring = keys.restricted_to(&fingerprints);
    if keyring.is_empty() {
        let place = match &one.key {
            None => "the golden image".to_owned(),
            Some(KeyLocation::File(path)) => path.display().to_string(),
            Some(KeyLocation::Url(url)) => url.clone(),
        };
        return Err(Problem::new(format!(
            "repository {url}: {place} has no key with the fingerprint {}",
            one.fingerprints.join(" or ")
        ))
        .hint("name the file or URL of the key: repository.key"));
    }
    Ok(Repository {
        url: url.clone(),
        suite: one.suite_for(&inputs.golden.facts.os)?,
        components: one.components.clone(),
        keyring,
    })
}

/// The place and the bytes of public keys.
fn key_bytes(
    transport: &dyn Transport,
    location: &KeyLocation,
) -> Result<(String, Vec<u8>), Problem> {
    Ok(match location {
        KeyLocation::File(path) => {
            let shown = path.display().to_string();
            let bytes = input_file::read(path, KEYS, "a file of keys");
            let bytes = bytes.map_err(|e| Problem::new(format!("reading the key {shown}: {e}")))?;
            (shown, bytes)
        }
        KeyLocation::Url(url) => {
            let mut bytes = Vec::new();
            let response = transport.get(url, 0, KEYS).map_err(|e| {
                Problem::new(format!("downloading the key {url}: {e}"))
                    .hint("download it in another way, and name the file: repository.key")
            })?;
            let body = response.body.take(KEYS).read_to_end(&mut bytes);
            body.map_err(|e| Problem::new(format!("downloading the key {url}: {e}")))?;
            (url.clone(), bytes)
        }
    })
}

/// The verified index of each repository. All that fail are named.
fn indices(
    inputs: &LockInputs<'_>,
    repositories: &[Repository],
    image: &ImagePackages,
) -> Result<Vec<Index>, Problems> {
    let mut problems = Problems::default();
    let mut out = Vec::new();
    for one in repositories {
        let earlier = inputs
            .earlier
            .into_iter()
            .flat_map(|lock| &lock.repositories);
        let mut earlier = earlier.filter(|old| old.url == one.url && old.suite == one.suite);
        let not_before = earlier.next().map(|old| old.date);
        let index = fetch_index(
            one,
            &image.architecture,
            inputs.transport,
            inputs.now,
            not_before,
            inputs.report,
        );
        match index {
            Ok(index) => out.push(index),
            Err(e) => problems.push(e.problem()),
        }
    }
    problems.check()?;
    Ok(out)
}

/// The repositories as the lock file has them.
fn locked_repositories(repositories: &[Repository], indices: &[Index]) -> Vec<LockedRepository> {
    let pairs = repositories.iter().zip(indices);
    let locked = pairs.map(|(one, index)| LockedRepository {
        url: one.url.clone(),
        suite: one.suite.clone(),
        components: one.components.clone(),
        date: index.release.date,
        release_sha256: hex(&index.release.sha256),
        signed_by: index.release.signer.to_string(),
    });
    locked.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_way_is_removed_by_hand() {
        let reason = Reason {
            problem: Problem::new("x"),
            in_the_way: vec!["a".to_owned(), "b".to_owned()],
        };
        let hint = without_removal(reason).hint.unwrap();
        assert!(hint.contains("`apt purge a b`"), "{hint}");
        let problem = Problem::new("x").hint("y");
        assert_eq!(without_removal(problem.clone().into()), problem);
    }

    #[test]
    fn members_are_wanted_in_the_version_of_their_release() {
        for (release, inside, outside) in [
            ("5.1", ["5.1", "5.1.4-1+debian"], ["5.0.9-1", "5.2~rc1"]),
            ("5", ["5.0-1", "5.9"], ["4.9", "6~beta"]),
        ] {
            let member = Member {
                package: "mender-update".into(),
                version: release.into(),
                required: true,
            };
            let want = of_release(&member, 0).unwrap();
            assert_eq!(want.package, "mender-update");
            let admits = |text: &str| want.constraint.admits(&text.parse().unwrap());
            assert!(inside.into_iter().all(admits), "{release}");
            assert!(!outside.into_iter().any(admits), "{release}");
        }
    }

    #[test]
    fn members_have_the_version_of_their_release() {
        let member = Member {
            package: "mender-update".into(),
            version: "5.1".into(),
            required: true,
        };
        for (version, fits) in [
            ("5.1.0-1+debian+trixie", true),
            ("1:5.1.4-1", true),
            ("5.1", true),
            ("5.10.0-1", false),
            ("5.0.9-1", false),
            ("5.1~rc1", false),
            ("1:5.2-1", false),
            ("15.1.0-1", false),
        ] {
            assert_eq!(is_of(&member, &version.parse().unwrap()), fits, "{version}");
        }
    }
}
