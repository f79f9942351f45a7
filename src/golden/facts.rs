//! Facts about the system in a root filesystem, found by content, never by position.

use crate::bundle;
use crate::platform::Architecture;
use crate::tree::edit::EditError;
use crate::tree::{Leaf, LeafKind, Node, Tree, show};
use serde::Serialize;

/// The fields of `os-release(5)` that are used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OsRelease {
    /// `ID`, such as `debian`; empty if missing.
    pub id: String,
    /// `VERSION_ID`, such as `12`; empty if missing.
    pub version_id: String,
    /// `VERSION_CODENAME`, such as `bookworm`; empty if missing.
    pub codename: String,
    /// `PRETTY_NAME`, for messages; empty if missing.
    pub pretty: String,
}

/// A kernel in `/boot`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Kernel {
    /// The part of its name after `vmlinuz-`.
    pub version: String,
    /// Its path, absolute.
    pub path: String,
    /// The path of the initrd of the same version.
    pub initrd: Option<String>,
}

/// Facts about the system in a root filesystem.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Facts {
    /// From the ELF header of `/bin/sh`.
    pub architecture: Option<Architecture>,
    /// The operating system, from `/etc/os-release`.
    pub os: OsRelease,
    /// The kernels in `/boot`, by name.
    pub kernels: Vec<Kernel>,
    /// The host name, from `/etc/hostname`.
    pub hostname: Option<String>,
    /// Whether systemd is installed, which starts what we add.
    pub systemd: bool,
    /// Whether there is a dpkg database.
    pub dpkg: bool,
    /// Programs that can grow a partition, by name.
    pub partition_tools: Vec<&'static str>,
    /// Remarks for the owner of the image, one sentence each.
    pub remarks: Vec<String>,
}

/// The size limit of text files that are read (bytes).
const TEXT_LIMIT: u64 = 1 << 20;

/// Gathers the facts about a root filesystem.
///
/// # Errors
/// I/O errors of the files that are read.
pub fn gather(root: &Tree) -> Result<Facts, EditError> {
    let os = os_release(root)?;
    let kernels = kernels(root);
    let systemd = has_systemd(root);
    Ok(Facts {
        architecture: architecture(root)?,
        hostname: text(root, "/etc/hostname")?
            .map(|text| text.trim().to_owned())
            .filter(|name| !name.is_empty()),
        dpkg: root.file("/var/lib/dpkg/status").is_some(),
        partition_tools: ["sfdisk", "sgdisk", "parted", "growpart"]
            .into_iter()
            .filter(|name| program(root, name))
            .collect(),
        remarks: remarks(root),
        os,
        kernels,
        systemd,
    })
}

/// The files by which a root filesystem is recognised at a look.
pub const ROOT_FILES: [&str; 9] = [
    "/etc/fstab",
    "/etc/os-release",
    "/usr/lib/os-release",
    "/sbin/init",
    "/usr/sbin/init",
    "/lib/systemd/systemd",
    "/usr/lib/systemd/systemd",
    "/bin/sh",
    "/usr/bin/sh",
];

/// Whether a filesystem of which `files` are the [`ROOT_FILES`] is worth to be read as a root
/// filesystem. Symlinks are not followed.
#[must_use]
pub fn could_be_root(files: &Tree) -> bool {
    let [_, release, usr_release, init @ ..] = ROOT_FILES;
    let any = |paths: &[&str]| paths.iter().any(|path| files.find_nofollow(path).is_some());
    any(&[release, usr_release]) && any(&init) || lacks_usr(files)
}

/// Whether a tree is a root filesystem whose `/usr` is on a partition of its own.
#[must_use]
pub fn lacks_usr(tree: &Tree) -> bool {
    let fstab = text(tree, "/etc/fstab").ok().flatten().unwrap_or_default();
    let release = tree.find_nofollow("/etc/os-release").is_some();
    release && !is_root(tree) && super::fstab::mounts(&fstab, "/usr")
}

/// Whether `tree` is the root of a system: it has an `os-release` and an init system or shell.
#[must_use]
pub fn is_root(tree: &Tree) -> bool {
    let release = ["/etc/os-release", "/usr/lib/os-release"]
        .iter()
        .any(|path| tree.file(path).is_some());
    let init = [
        "/sbin/init",
        "/lib/systemd/systemd",
        "/usr/lib/systemd/systemd",
        "/bin/sh",
    ]
    .iter()
    .any(|path| tree.find(path).is_some());
    release && init
}

/// Whether this root filesystem is the result of a conversion.
#[must_use]
pub fn is_converted(tree: &Tree) -> bool {
    ["/etc/mender_grubenv.config", "/etc/mender_ubootenv.config"]
        .iter()
        .any(|path| tree.file(path).is_some())
}

/// Whether a program of this name is in one of the usual directories of `PATH`.
#[must_use]
pub fn program(tree: &Tree, name: &str) -> bool {
    ["/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/"]
        .iter()
        .any(|dir| tree.file(format!("{dir}{name}")).is_some())
}

fn text(tree: &Tree, path: &str) -> Result<Option<String>, EditError> {
    Ok(tree
        .read(path, TEXT_LIMIT)?
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// Programs whose header shows the architecture, the first that exists.
const PROGRAMS: [&str; 3] = ["/bin/sh", "/usr/bin/env", "/sbin/init"];

/// The first bytes of the program at `path`; `None` for a shorter or missing file.
fn head(root: &Tree, path: &str) -> Result<Option<[u8; 20]>, EditError> {
    use crate::stream::ReadAt;
    let mut head = [0; 20];
    let Some(content) = root.file(path).filter(|content| content.len() >= 20) else {
        return Ok(None);
    };
    content
        .read_exact_at(0, &mut head)
        .map_err(|e| EditError::Io(path.to_owned(), e))?;
    Ok(Some(head))
}

/// The architecture of the programs of a root filesystem; `None` if it is not a supported one.
///
/// # Errors
/// I/O errors of reading their heads.
pub fn architecture(root: &Tree) -> Result<Option<Architecture>, EditError> {
    for path in PROGRAMS {
        let found = head(root, path)?.and_then(|head| Architecture::from_elf(&head));
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// A program of the image and the machine that its ELF header names (`e_machine`; System V ABI,
/// "ELF Header"), for messages; `None` if no program has such a header.
#[must_use]
pub fn elf_machine(root: &Tree) -> Option<(&'static str, String)> {
    PROGRAMS.into_iter().find_map(|path| {
        let head = head(root, path).ok()??;
        let little = head.starts_with(b"\x7fELF") && head[5] == 1;
        let machine = u16::from_le_bytes([head[18], head[19]]);
        little.then(|| {
            let name = match (machine, head[4]) {
                (243, 2) => "riscv64".to_owned(),
                (243, _) => "riscv32".to_owned(),
                (8, _) => "MIPS".to_owned(),
                (21, _) => "ppc64el".to_owned(),
                (258, _) => "loong64".to_owned(),
                (number, _) => format!("ELF machine {number}"),
            };
            (path, name)
        })
    })
}

/// The fields of `os-release(5)`; they are empty if there is no such file.
///
/// # Errors
/// I/O errors of reading it.
pub fn os_release(root: &Tree) -> Result<OsRelease, EditError> {
    let text = match text(root, "/etc/os-release")? {
        Some(text) => text,
        None => text(root, "/usr/lib/os-release")?.unwrap_or_default(),
    };
    let mut os = OsRelease::default();
    for line in text.lines() {
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        let value = value.trim().trim_matches(['"', '\'']).to_owned();
        match key.trim() {
            "ID" => os.id = value,
            "VERSION_ID" => os.version_id = value,
            "VERSION_CODENAME" => os.codename = value,
            "PRETTY_NAME" => os.pretty = value,
            _ => {}
        }
    }
    Ok(os)
}

fn kernels(root: &Tree) -> Vec<Kernel> {
    let Some(boot) = root.dir("/boot") else {
        return Vec::new();
    };
    let has = |name: String| {
        boot.entries
            .contains_key(name.as_bytes())
            .then(|| format!("/boot/{name}"))
    };
    boot.entries
        .keys()
        .filter_map(|name| {
            let version = std::str::from_utf8(name).ok()?.strip_prefix("vmlinuz-")?;
            let path = format!("/boot/vmlinuz-{version}");
            Some(Kernel {
                version: version.to_owned(),
                path,
                initrd: has(format!("initrd.img-{version}")),
            })
        })
        .collect()
}

/// The version of an installed package, from the dpkg database; `None` if it is not installed.
///
/// # Errors
/// I/O errors of reading the database.
pub fn installed_version(root: &Tree, package: &str) -> Result<Option<String>, EditError> {
    const STATUS: u64 = 64 << 20;
    let bytes = root
        .read("/var/lib/dpkg/status", STATUS)?
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let version = text.split("\n\n").find_map(|stanza| {
        let field = |name: &str| {
            let mut lines = stanza.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        let is_installed = field("Package") == Some(package)
            && field("Status").is_some_and(|status| status.ends_with(" installed"));
        is_installed.then(|| field("Version").map(str::to_owned))?
    });
    Ok(version)
}

/// The package of the update client that reads Artifacts, and its version.
///
/// # Errors
/// I/O errors of reading the database.
pub fn client(root: &Tree) -> Result<Option<(&'static str, String)>, EditError> {
    for package in bundle::packages() {
        if let Some(version) = installed_version(root, package)? {
            return Ok(Some((package, version)));
        }
    }
    Ok(None)
}

/// Whether Raspberry Pi OS is made to be set up by the script of an imager (`firstrun.sh`): it has
/// the program that the script calls, and no `cloud-init`, which imagers prefer.
///
/// # Errors
/// I/O errors of reading the database of packages.
pub fn takes_imager_script(root: &Tree) -> Result<bool, EditError> {
    let has = |path: &str| root.file(path).is_some();
    let can_run = has("/bin/bash") && has("/usr/lib/raspberrypi-sys-mods/imager_custom");
    Ok(can_run && is_started_by_units(root) && installed_version(root, "cloud-init")?.is_none())
}

/// Whether the kernel finds a program to start on its own (`init/main.c` of Linux): systemd or
/// another init system.
#[must_use]
pub fn has_init(root: &Tree) -> bool {
    ["/sbin/init", "/etc/init", "/bin/init"]
        .iter()
        .any(|path| root.find(path).is_some())
}

/// Whether units start the system: systemd is installed; or units are enabled, and there is no
/// program that the kernel would start, so that they are all that is known of the start.
#[must_use]
pub fn is_started_by_units(root: &Tree) -> bool {
    has_systemd(root) || (!has_init(root) && enables_units(root))
}

fn has_systemd(root: &Tree) -> bool {
    let systemd = ["/lib/systemd/systemd", "/usr/lib/systemd/systemd"];
    systemd.iter().any(|path| root.find(path).is_some())
}

/// Whether a unit is enabled, by the system or by a package.
fn enables_units(root: &Tree) -> bool {
    let dirs = [
        "/etc/systemd/system",
        "/usr/lib/systemd/system",
        "/lib/systemd/system",
    ];
    dirs.iter().any(|dir| {
        let names = root.dir(dir).into_iter().flat_map(|dir| dir.entries.keys());
        names.map(|name| show(name)).any(|name| {
            let group = name.ends_with(".wants") || name.ends_with(".requires");
            let group = group.then(|| root.dir(format!("{dir}/{name}"))).flatten();
            group.is_some_and(|units| !units.entries.is_empty())
        })
    })
}

/// Remarks about what would cause trouble on devices later.
fn remarks(root: &Tree) -> Vec<String> {
    let mut out = Vec::new();
    if is_converted(root) {
        out.push(
            "this image was converted before; the content of its data partition is not carried over"
                .to_owned(),
        );
    }
    if !has_init(root) {
        out.push(
            "the image has no init program (/sbin/init, /etc/init, /bin/init): it starts only if the kernel's arguments name one"
                .to_owned(),
        );
    }
    out
}

/// The target of the symlink at `path`, for reports.
#[must_use]
pub fn symlink(tree: &Tree, path: &str) -> Option<String> {
    match tree.find_nofollow(path)? {
        Node::Leaf(Leaf {
            kind: LeafKind::Symlink(target),
            ..
        }) => Some(show(target)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Stat, Time};

    #[test]
    fn a_small_debian_is_recognised() {
        let stat = |mode| Stat::root(mode, Time::default());
        let mut tree = Tree::new(stat(0o755));
        let mut elf = vec![0; 64];
        elf[..4].copy_from_slice(b"\x7fELF");
        elf[18] = 183;
        tree.put_file("/usr/bin/dash", elf, stat(0o755)).unwrap();
        tree.put_symlink("/usr/bin/sh", "dash", Time::default())
            .unwrap();
        tree.put_symlink("/bin", "usr/bin", Time::default())
            .unwrap();
        tree.put_file(
            "/etc/os-release",
            "ID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n",
            stat(0o644),
        )
        .unwrap();
        tree.put_file("/boot/vmlinuz-6.1.0-1", "k", stat(0o644))
            .unwrap();
        tree.put_file("/boot/initrd.img-6.1.0-1", "i", stat(0o644))
            .unwrap();
        let facts = gather(&tree).unwrap();
        assert_eq!(facts.architecture, Some(Architecture::Arm64));
        assert_eq!(
            (facts.os.id.as_str(), facts.os.version_id.as_str()),
            ("debian", "12")
        );
        assert_eq!(
            facts.kernels[0].initrd.as_deref(),
            Some("/boot/initrd.img-6.1.0-1")
        );
        assert!(facts.remarks.iter().any(|r| r.contains("no init program")));
        assert!(is_root(&tree));
        assert!(!is_root(&Tree::new(stat(0o755))));
    }
}
