//! The text of lock files, for golden images of two releases of Debian and two architectures: the
//! same wherever, whenever and by whomever it is made.

use super::device::Device;
use crate::packages::clients;
use crate::support::goldsmith;
use crate::support::images::{can_make, database_disk};
use crate::support::signed_repository::{Layout, PoolFile};
use goldsmith::golden::facts::OsRelease;
use goldsmith::lock::RepositoryRequest;
use goldsmith::stream::Compression;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

/// What the configuration asks for: members of the bundle, a package of Debian, and what these
/// recommend.
const CLIENT: &str = "bundle = \"6.0\"\n\
                      install = [\"mender-connect\", \"mender-configure\", \"chrony=4.*\"]";

/// A release of Debian for an architecture.
struct System {
    codename: &'static str,
    number: u32,
    architecture: &'static str,
    machine: u8,
    board: &'static str,
}

const SYSTEMS: [System; 4] = [
    System {
        codename: "bookworm",
        number: 12,
        architecture: "amd64",
        machine: 62,
        board: "qemux86-64",
    },
    System {
        codename: "bookworm",
        number: 12,
        architecture: "arm64",
        machine: 183,
        board: "generic-arm64",
    },
    System {
        codename: "trixie",
        number: 13,
        architecture: "amd64",
        machine: 62,
        board: "qemux86-64",
    },
    System {
        codename: "trixie",
        number: 13,
        architecture: "arm64",
        machine: 183,
        board: "generic-arm64",
    },
];

/// Packages of the golden images, without dependencies: name, version of Debian 12, of Debian 13.
const INSTALLED: [[&str; 3]; 10] = [
    ["base-files", "12.4+deb12u12", "13.8"],
    ["bash", "5.2.15-2+b8", "5.2.37-2+b5"],
    ["dbus", "1.14.10-1~deb12u1", "1.16.2-2"],
    ["dpkg", "1.21.22", "1.22.21"],
    ["libc6", "2.36-9+deb12u13", "2.41-12"],
    ["libdbus-1-3", "1.14.10-1~deb12u1", "1.16.2-2"],
    ["libgcc-s1", "12.2.0-14+deb12u1", "14.2.0-19"],
    ["libstdc++6", "12.2.0-14+deb12u1", "14.2.0-19"],
    ["systemd", "252.39-1~deb12u1", "257.8-1~deb13u2"],
    ["tzdata", "2025b-0+deb12u2", "2025b-4+deb13u1"],
];

/// Packages that the repository has besides the client's, likewise, with more of their fields.
const OFFERED: [[&str; 4]; 8] = [
    [
        "chrony",
        "4.3-2+deb12u1",
        "4.6.1-3",
        "Depends: libc6 (>= 2.34)\n",
    ],
    [
        "chrony",
        "5.0-1~exp1",
        "5.0-1~exp1",
        "Depends: libc6 (>= 2.34)\n",
    ],
    [
        "curl",
        "7.88.1-10+deb12u14",
        "8.14.1-2",
        "Depends: libcurl4, libc6 (>= 2.34)\n",
    ],
    [
        "libcurl4",
        "7.88.1-10+deb12u14",
        "8.14.1-2",
        "Multi-Arch: same\n",
    ],
    ["liblmdb0", "0.9.24-1", "0.9.31-1+b2", "Multi-Arch: same\n"],
    [
        "libarchive13{t64}",
        "3.6.2-1+deb12u3",
        "3.7.4-4",
        "Provides: libarchive13 (= {version})\n",
    ],
    [
        "libssl3{t64}",
        "3.0.17-1~deb12u3",
        "3.5.1-1",
        "Multi-Arch: same\n",
    ],
    [
        "libssl3{t64}",
        "3.0.15-1~deb12u1",
        "3.5.0-1",
        "Multi-Arch: same\n",
    ],
];

impl System {
    /// The file of the expected text.
    fn expected(&self) -> std::path::PathBuf {
        let name = format!("debian-{}-{}.lock", self.number, self.architecture);
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/it/lock/expected")
            .join(name)
    }

    fn os_release(&self) -> String {
        let Self {
            codename, number, ..
        } = self;
        format!(
            "PRETTY_NAME=\"Debian GNU/Linux {number} ({codename})\"\nNAME=\"Debian GNU/Linux\"\n\
             VERSION_ID=\"{number}\"\nVERSION=\"{number} ({codename})\"\n\
             VERSION_CODENAME={codename}\nID=debian\n"
        )
    }

    /// The first fields of a package.
    fn head(&self, name: &str, versions: [&str; 2], fields: &str) -> String {
        let version = versions[usize::from(self.number > 12)];
        let time = if self.number > 12 { "t64" } else { "" };
        let architecture = self.architecture;
        format!("Package: {name}\nVersion: {version}\nArchitecture: {architecture}\n{fields}")
            .replace("{t64}", time)
            .replace("{version}", version)
    }

    fn status(&self) -> String {
        let one = |[name, old, new]: &[&str; 3]| {
            let head = self.head(name, [old, new], "Status: install ok installed\n");
            format!("{head}Maintainer: x <x@example.org>\nDescription: x\n\n")
        };
        INSTALLED.iter().map(one).collect()
    }

    fn pool(&self) -> Vec<PoolFile> {
        let offered = OFFERED
            .iter()
            .map(|[name, old, new, fields]| self.head(name, [old, new], fields));
        let client = clients::packages(self.codename, self.architecture)
            .into_iter()
            .map(|one| {
                format!(
                    "Package: {}\nVersion: {}\nArchitecture: {}\n{}",
                    one.name, one.version, one.architecture, one.fields
                )
            });
        offered.chain(client).map(pool_file).collect()
    }

    /// A device with the golden image.
    fn device(&self, dir: &Path) -> Device {
        let (release, status) = (self.os_release(), self.status());
        let image = database_disk(dir, self.machine, release.as_bytes(), status.as_bytes());
        let layout = Layout {
            suite: format!("debian/{}/stable", self.codename),
            architectures: vec![self.architecture.to_owned()],
            // No compressor has a say in the digests.
            forms: vec![Compression::None],
            ..Layout::default()
        };
        let device = Device::of(self.board, &image, self.pool(), &layout, &preset_suite());
        device.configure(CLIENT);
        device
    }
}

/// A package of the index: nobody opens the file.
fn pool_file(fields: String) -> PoolFile {
    let value = |name: &str| {
        let mut lines = fields.lines();
        let found = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        found.expect("a field").to_owned()
    };
    let name = [value("Package"), value("Version"), value("Architecture")].join("_");
    PoolFile {
        filename: format!("pool/main/{name}.deb"),
        bytes: name.repeat(100).into_bytes(),
        fields,
    }
}

/// The suite of the preset `mender`.
fn preset_suite() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/repositories/mender.toml");
    let preset: toml::Table = fs::read_to_string(path).unwrap().parse().unwrap();
    preset["suite"].as_str().unwrap().to_owned()
}

/// Makes the lock file once more: in another directory with another cache, as root where that is
/// possible, in another language, time zone and mode of new files.
fn made_elsewhere(device: &Device) -> String {
    let elsewhere = tempfile::tempdir().unwrap();
    for name in ["device.toml", "key.asc"] {
        fs::copy(device.path().join(name), elsewhere.path().join(name)).unwrap();
    }
    let script = "umask 077; cd \"$1\" && exec \"$2\" lock -q -c device.toml \"$3\"";
    let output = Command::new("sh")
        .args(["-c", script, "sh"])
        .args([
            elsewhere.path(),
            goldsmith(),
            &device.path().join("golden.img"),
        ])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", elsewhere.path())
        .env("XDG_CACHE_HOME", elsewhere.path().join("cache"))
        .env("LC_ALL", "tr_TR.UTF-8")
        .env("TZ", "Pacific/Auckland")
        .env("SOURCE_DATE_EPOCH", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let file = elsewhere.path().join("goldsmith.lock");
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644, "readable for others");
    fs::read_to_string(file).unwrap()
}

#[test]
fn lock_files_are_the_same_everywhere() {
    if !can_make() {
        return;
    }
    for system in &SYSTEMS {
        let dir = crate::support::scratch();
        let device = system.device(dir.path());
        device.must(&["lock", "-q"], true);
        let text = fs::read_to_string(device.lock_file()).unwrap();
        assert_eq!(text, made_elsewhere(&device));
        let text = text
            .replace(&device.url(), "{url}")
            .replace(&device.fingerprint(), "{fingerprint}");
        let path = system.expected();
        if std::env::var_os("GOLDSMITH_BLESS").is_some() {
            fs::write(&path, &text).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            text == expected,
            "{}: GOLDSMITH_BLESS=1 rewrites it\n{text}",
            path.display()
        );
    }
}

#[test]
fn the_suite_of_the_preset_follows_the_system() {
    let RepositoryRequest::Url(preset) = RepositoryRequest::mender() else {
        panic!("the preset has a URL");
    };
    let suite = |id: &str, codename: &str| {
        let os = OsRelease {
            id: id.to_owned(),
            codename: codename.to_owned(),
            ..OsRelease::default()
        };
        preset.suite_for(&os).map_err(|problem| problem.to_string())
    };
    for (id, codename, expected) in [
        ("debian", "bookworm", "debian/bookworm/stable"),
        ("debian", "trixie", "debian/trixie/stable"),
        ("raspbian", "bookworm", "debian/bookworm/stable"),
        ("ubuntu", "noble", "ubuntu/noble/stable"),
    ] {
        assert_eq!(suite(id, codename).as_deref(), Ok(expected), "{id}");
    }
    let said = suite("debian", "").unwrap_err();
    assert!(said.contains("has no VERSION_CODENAME"), "{said}");
}
