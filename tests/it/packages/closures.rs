//! The update client with all that it needs: packages in the vendor's shape and Debian's own come
//! from a repository of the test, signed and served on the loopback interface. `goldsmith lock`
//! chooses them, `goldsmith fetch` downloads them, and they are installed as goldsmith does and by
//! dpkg, on the architectures of the vendor; then from one release of the client to another.

use super::root::Root;
use super::upgrades::{self, CONFOLD};
use super::{Judge, Outcome, clients, installed, installed_by_dpkg, page};
use crate::lock::device::Device;
use crate::support::images::database_disk;
use crate::support::must;
use crate::support::signed_repository::{Layout, PoolFile};
use goldsmith::dpkg::DefaultFile;
use goldsmith::lock::LockFile;
use goldsmith::problem::Problem;
use goldsmith::repository::PackageCache;
use goldsmith::tree::Tree;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Releases of Debian with architectures: all architectures of the vendor, and both releases.
pub(super) const PLATFORMS: [(&str, &str); 4] = [
    ("bookworm", "amd64"),
    ("bookworm", "arm64"),
    ("bookworm", "armhf"),
    ("trixie", "amd64"),
];

/// What a configuration asks for.
#[derive(Clone, Copy, Debug)]
struct Choice {
    bundle: &'static str,
    install: &'static [&'static str],
    recommends: bool,
}

/// A choice that is installed, over another one if the image has a client already.
#[derive(Clone, Copy, Debug)]
struct Case {
    name: &'static str,
    old: Option<Choice>,
    new: Choice,
    /// A part of the message with which it must be refused; empty if it must be done.
    refused: &'static str,
}

/// What the vendor packages for the clients 4.0 and 5.0, likewise.
const BEFORE: &[&str] = &[
    "mender-client4",
    "mender-connect",
    "mender-configure",
    "mender-configure-timezone",
];

/// Everything that the vendor packages for the client 6.0, but for the demonstration of
/// mender-configure.
const ALL: &[&str] = &[
    "mender-client4",
    "mender-client4-dev",
    "mender-connect",
    "mender-configure",
    "mender-configure-timezone",
    "mender-docker-compose",
    "mender-client-version-inventory-script",
    "mender-artifact",
    "mender-monitor",
    "mender-monitor-demo",
    "mender-gateway",
    "mender-orchestrator",
    "mender-orchestrator-support",
    "mender-orchestrator-demo",
];

const fn choice(bundle: &'static str, install: &'static [&'static str]) -> Choice {
    Choice {
        bundle,
        install,
        recommends: false,
    }
}

const fn fresh(name: &'static str, new: Choice) -> Case {
    Case {
        name,
        old: None,
        new,
        refused: "",
    }
}

const fn over(name: &'static str, old: Choice, new: Choice) -> Case {
    Case {
        name,
        old: Some(old),
        new,
        refused: "",
    }
}

/// Debian's own client: Debian 12 alone has one.
const DEBIANS: Choice = Choice {
    bundle: "3.4",
    install: &["mender-connect"],
    recommends: true,
};

const CASES: [Case; 14] = [
    fresh("3.4 and what it recommends", DEBIANS),
    fresh("4.0", choice("4.0", &[])),
    fresh("4.0 and every add-on", choice("4.0", BEFORE)),
    fresh("5.0", choice("5.0", &[])),
    fresh("5.0 and every add-on", choice("5.0", BEFORE)),
    fresh("6.0", choice("6.0", &[])),
    fresh(
        "6.0 and what it recommends",
        Choice {
            recommends: true,
            ..choice("6.0", &[])
        },
    ),
    fresh("6.0 and every add-on", choice("6.0", ALL)),
    Case {
        name: "6.0 and mender-configure-demo",
        old: None,
        new: choice("6.0", &["mender-configure-demo"]),
        // It depends on the device whether there is such a light.
        refused: "[ -e /sys/class/leds/led0/trigger ]",
    },
    Case {
        name: "3.4 to 5.0",
        old: Some(DEBIANS),
        new: choice("5.0", &[]),
        refused: "; mender-client 3.4.0",
    },
    over(
        "4.0 to 5.0, every add-on",
        choice("4.0", BEFORE),
        choice("5.0", BEFORE),
    ),
    over(
        "5.0 to 6.0, every add-on",
        choice("5.0", BEFORE),
        choice("6.0", ALL),
    ),
    over(
        "5.0 to 6.0 with mender-client4",
        choice("5.0", &[]),
        choice("6.0", &["mender-client4"]),
    ),
    over(
        "6.0 back to 5.0",
        choice("6.0", &["mender-client4", "mender-connect"]),
        choice(
            "5.0",
            &[
                "mender-auth=5.0.*",
                "mender-update=5.0.*",
                "mender-client4=5.0.*",
                "mender-connect=2.3.*",
            ],
        ),
    ),
];

/// What became of a case on a platform, and how many packages goldsmith chose.
pub(super) struct Judged {
    pub(super) case: &'static str,
    pub(super) packages: usize,
    pub(super) outcome: Outcome,
}

/// A platform with its repository.
struct Bench {
    judge: Judge,
    device: Device,
    machine: u8,
    os_release: Vec<u8>,
    work: tempfile::TempDir,
    /// A number for each directory of packages.
    next: usize,
}

impl Bench {
    /// `None`, said aloud, without the tools.
    fn new(codename: &'static str, architecture: &'static str) -> Option<Self> {
        let sets: &[&str] = match codename {
            "bookworm" => &[
                "libarchive13,libssl3,liblmdb0,libstdc++6,libdbus-1-3",
                "mender-client,mender-connect,libubootenv-tool",
                "jq,curl,lmdb-utils",
                "python3-paho-mqtt",
            ],
            _ => &[
                "libarchive13t64,libssl3t64,liblmdb0,libstdc++6,libdbus-1-3",
                "libubootenv-tool",
                "jq,curl,lmdb-utils",
                "python3-paho-mqtt",
            ],
        };
        let mut judge = Judge::new(Root::of(codename, architecture, sets)?);
        judge.defaults.push(DefaultFile {
            package: "mender-setup".to_owned(),
            path: "/etc/mender/mender.conf".to_owned(),
            bytes: b"{}\n".to_vec(),
            mode: 0o600,
        });
        let work = crate::support::scratch();
        let layout = Layout {
            suite: format!("debian/{codename}/stable"),
            architectures: vec![architecture.to_owned()],
            ..Layout::default()
        };
        let (board, machine) = match architecture {
            "arm64" => ("generic-arm64", 183),
            "armhf" => ("generic-armhf", 40),
            _ => ("qemux86-64", 62),
        };
        let os_release = read(&judge.root.tree, "/usr/lib/os-release");
        let pool = pool(&judge, work.path(), codename, architecture);
        let image = disk(work.path(), machine, &os_release, &judge.root.tree);
        let suite = "{family}/{codename}/stable";
        Some(Self {
            device: Device::of(board, &image, pool, &layout, suite),
            judge,
            machine,
            os_release,
            work,
            next: 0,
        })
    }

    /// The packages that goldsmith chooses for an image with these files and downloads, or what it
    /// says instead. Those of `may_change` may be changed.
    fn chosen(
        &mut self,
        tree: &Tree,
        choice: Choice,
        may_change: &[String],
    ) -> Result<(LockFile, Vec<PathBuf>), String> {
        self.next += 1;
        let dir = self.work.path().join(format!("packages-{}", self.next));
        fs::create_dir(&dir).unwrap();
        let image = disk(&dir, self.machine, &self.os_release, tree);
        self.device.take(&image);
        let _ = fs::remove_file(self.device.lock_file());
        let Choice {
            bundle,
            install,
            recommends,
        } = choice;
        self.device.configure(&format!(
            "bundle = \"{bundle}\"\ninstall = {install:?}\nrecommends = {recommends}\n\
             may-change = {may_change:?}"
        ));
        let locked = self.device.run(&["lock", "-q"], true);
        if !locked.status.success() {
            return Err(String::from_utf8_lossy(&locked.stderr).into_owned());
        }
        self.device
            .must(&["fetch", "-q", "--package-cache", "cache"], false);
        let lock = LockFile::read(&self.device.lock_file()).unwrap();
        let cache = PackageCache::open(&self.device.path().join("cache"));
        let bring = |package: &goldsmith::lock::LockedPackage| {
            let file = dir.join(package.file_name());
            fs::copy(cache.path(&package.digest().unwrap()), &file).unwrap();
            file
        };
        let files = lock.packages.iter().map(bring).collect();
        Ok((lock, files))
    }

    fn case(&mut self, case: &Case) -> Judged {
        let refused = |said: String| Judged {
            case: case.name,
            packages: 0,
            outcome: Outcome::Refused(vec![Problem::new(said)]),
        };
        let base = self.judge.root.tree.clone();
        let Some(old) = case.old else {
            return match self.chosen(&base, case.new, &[]) {
                Err(said) => refused(said),
                Ok((lock, files)) => {
                    if lock.packages.iter().any(|one| one.name == "mender-setup") {
                        self.refused_without_settings(&files);
                    }
                    Judged {
                        case: case.name,
                        packages: files.len(),
                        outcome: self.judge.judge(&files),
                    }
                }
            };
        };
        let (lock, files) = self.chosen(&base, old, &[]).expect("the older client");
        let copy = self.judge.root.copy();
        copy.put(&self.judge.defaults);
        let dir = files[0].parent().expect("a directory");
        if let Err(said) = installed_by_dpkg(&copy, dir, &files, &CONFOLD) {
            panic!("{}: dpkg fails: {said}", case.name);
        }
        let tree = copy.tree(&self.judge.root);
        let names = lock.packages.iter().map(|package| package.name.clone());
        let client: Vec<String> = names.filter(|name| name.starts_with("mender")).collect();
        match self.chosen(&tree, case.new, &client) {
            Err(said) => {
                self.refused_without_lock(case, &tree);
                refused(said)
            }
            Ok((_, files)) if files.is_empty() => Judged {
                case: case.name,
                packages: 0,
                outcome: Outcome::Wrong(vec!["nothing is chosen".to_owned()]),
            },
            Ok((_, files)) => Judged {
                case: case.name,
                packages: files.len(),
                outcome: upgrades::judge(&self.judge, &copy, &files, &client),
            },
        }
    }

    /// Without settings, `mender-setup` would ask for them, or make them up.
    fn refused_without_settings(&self, files: &[PathBuf]) {
        let mut tree = self.judge.root.tree.clone();
        let Err(problems) = installed(&mut tree, files, &[], &[]) else {
            panic!("installed without settings");
        };
        let said = Outcome::Refused(problems).to_string();
        assert!(said.contains("package mender-setup"), "{said}");
    }

    /// What the choice refuses, the installation of the files refuses too.
    fn refused_without_lock(&mut self, case: &Case, tree: &Tree) {
        let base = self.judge.root.tree.clone();
        let (_, files) = self.chosen(&base, case.new, &[]).expect("a fresh client");
        let Err(problems) = installed(&mut tree.clone(), &files, &[], &[]) else {
            panic!("{}: the files are installed", case.name)
        };
        let said = Outcome::Refused(problems).to_string();
        assert!(said.contains("mender-client"), "{said}");
    }
}

/// The disk of a device with these files, as far as packages are chosen for it.
fn disk(dir: &Path, machine: u8, os_release: &[u8], tree: &Tree) -> PathBuf {
    let status = read(tree, "/var/lib/dpkg/status");
    database_disk(dir, machine, os_release, &status)
}

fn read(tree: &Tree, path: &str) -> Vec<u8> {
    tree.read(path, 64 << 20).unwrap().expect("a file")
}

/// All packages of the vendor's shape, and Debian's that they need.
fn pool(judge: &Judge, dir: &Path, codename: &str, architecture: &str) -> Vec<PoolFile> {
    let made = clients::packages(codename, architecture);
    let built = made.iter().map(|package| package.build(dir));
    let sets = judge.root.sets.iter().map(|(name, files)| {
        let files = files.as_ref();
        files.unwrap_or_else(|said| panic!("{name}: {said}"))
    });
    let mut files: Vec<PathBuf> = sets.flatten().cloned().chain(built).collect();
    files.sort();
    files.dedup();
    files.iter().map(|file| pool_file(file)).collect()
}

/// A package as the repository has it.
fn pool_file(deb: &Path) -> PoolFile {
    let name = deb.file_name().expect("a file").display();
    PoolFile {
        fields: must("dpkg-deb", &[&"--field", &deb]),
        filename: format!("pool/main/{name}"),
        bytes: fs::read(deb).unwrap(),
    }
}

/// The cases of a platform whose name contains one of the words.
fn judged(platform: (&'static str, &'static str), words: &[&str]) -> Option<Vec<Judged>> {
    let (codename, architecture) = platform;
    let wanted = |case: &&Case| {
        let debians = |choice: Choice| choice.bundle == "3.4";
        let has = codename == "bookworm" || !(debians(case.new) || case.old.is_some_and(debians));
        let name = format!("{codename} {architecture} {}", case.name);
        has && words.iter().any(|word| name.contains(word))
    };
    let cases: Vec<&Case> = CASES.iter().filter(wanted).collect();
    if cases.is_empty() {
        return Some(Vec::new());
    }
    let mut bench = Bench::new(codename, architecture)?;
    let (mut out, mut wrong) = (Vec::new(), Vec::new());
    for case in cases {
        let judged = bench.case(case);
        let Judged {
            packages, outcome, ..
        } = &judged;
        eprintln!(
            "{codename} {architecture} {}: {packages} packages: {outcome}",
            case.name
        );
        let fine = match outcome {
            Outcome::Same(_) => case.refused.is_empty(),
            Outcome::Refused(problems) => {
                !case.refused.is_empty()
                    && problems
                        .iter()
                        .any(|one| one.message.contains(case.refused))
            }
            Outcome::Wrong(_) => false,
        };
        if !fine {
            wrong.push(format!(
                "{codename} {architecture} {}: {outcome}",
                case.name
            ));
        }
        out.push(judged);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Some(out)
}

#[test]
fn the_client_is_installed_and_upgraded_as_by_dpkg() {
    let words = ["6.0 and every", "3.4 to 5.0", "5.0 to 6.0, every"];
    judged(("bookworm", "amd64"), &words);
}

#[test]
#[ignore = "foreign architectures run by emulation: make test-packages"]
fn the_client_of_every_release_is_installed_as_by_dpkg() {
    let filter = std::env::var("GOLDSMITH_PACKAGES").unwrap_or_default();
    let words: Vec<&str> = filter.split(',').collect();
    let (next, seen) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let work = || {
        while let Some(platform) = PLATFORMS.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Some(judged) = judged(*platform, &words) {
                seen.lock().expect("no panic").insert(*platform, judged);
            }
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    let seen = seen.into_inner().expect("no panic");
    if filter.is_empty() && seen.len() == PLATFORMS.len() {
        let cases: Vec<&str> = CASES.iter().map(|case| case.name).collect();
        page::compare_client(&cases, &seen);
    }
}
