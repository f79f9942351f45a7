//! The kernel of a root filesystem that starts first, and what belongs to it.

use super::extlinux;
use super::header::MAGIC;
use super::options::UBootOptions;
use crate::boot::common::file_names;
use crate::boot::common::version::by_version;
use crate::platform::Architecture;
use crate::problem::Problem;
use crate::stream::{Content, ReadAt as _};
use crate::tree::Tree;

/// The kernel that starts first, and its files.
#[derive(Clone, Debug, Default)]
pub(super) struct Kernel {
    /// The path of the kernel.
    pub(super) path: String,
    /// The path of the initial RAM disk that goes with it.
    pub(super) initrd: Option<String>,
    /// The directory of its device trees.
    pub(super) tree: Option<String>,
    /// The end of the names of kernels like this one.
    pub(super) flavor: String,
    /// Files to copy from the boot partition into the root filesystem: path there, content.
    pub(super) copies: Vec<(String, Content)>,
    /// Notes for the user, which the report lists.
    pub(super) notes: Vec<String>,
}

/// What is known of the kernels that suit the board.
#[derive(Debug, Default)]
pub(super) struct KernelHints {
    /// The ends of the names of kernels that suit, the best first.
    pub(super) flavors: Vec<&'static str>,
    /// Kernels of the boot partition, each with its initial RAM disk: the best first.
    pub(super) of_partition: Vec<[String; 2]>,
}

impl Kernel {
    /// Looks for the kernel: by version in `/boot`, by the image's own boot menu, by the firmware's
    /// name on the boot partition.
    pub(super) fn find(
        root: &Tree,
        boot: &Tree,
        options: &UBootOptions<'_>,
        hints: &KernelHints,
    ) -> Result<Self, Problem> {
        let found = by_versions(root, options, hints)
            .or_else(|| of_menu(root, boot))
            .or_else(|| of_partition(boot, options.arch, hints))
            .ok_or_else(|| {
                let wanted = options.flavor.map_or("vmlinuz-*".to_owned(), |flavor| {
                    format!("vmlinuz-*-{flavor}")
                });
                Problem::new(format!(
                    "no kernel: neither /boot/{wanted} nor a kernel on the boot partition"
                ))
                .hint("install a kernel package of the distribution in the golden image")
            })?;
        let copied = found
            .copies
            .iter()
            .find(|(path, _)| *path == found.path)
            .map(|(_, content)| content);
        let content = copied.or_else(|| root.file(&found.path));
        let content =
            content.ok_or_else(|| Problem::new(format!("{}: not a regular file", found.path)))?;
        check(&found.path, content, options.arch)?;
        Ok(found)
    }
}

/// The newest kernel of one flavor that has an initial RAM disk, or the newest.
fn by_versions(root: &Tree, options: &UBootOptions<'_>, hints: &KernelHints) -> Option<Kernel> {
    let names = file_names(root, "/boot");
    let mut versions: Vec<&str> = names
        .iter()
        .filter_map(|name| name.strip_prefix("vmlinuz-"))
        .collect();
    versions.sort_by(|a, b| by_version(b, a));
    let has = |flavor: &str| versions.iter().any(|version| flavor_of(version) == flavor);
    let suitable = || hints.flavors.iter().find(|flavor| has(flavor)).copied();
    let newest_of_all = || versions.first().map(|version| flavor_of(version));
    let flavor = options.flavor.or_else(suitable).or_else(newest_of_all)?;
    let flavor = flavor.to_owned();
    newest(root, versions, flavor)
}

/// The newest kernel of `flavor` among `versions` that has an initial RAM disk, or the newest.
fn newest(root: &Tree, mut versions: Vec<&str>, flavor: String) -> Option<Kernel> {
    versions.retain(|version| flavor_of(version) == flavor);
    let initrd = |version: &str| {
        Some(format!("/boot/initrd.img-{version}")).filter(|path| root.file(path).is_some())
    };
    let version = versions
        .iter()
        .find(|version| initrd(version).is_some())
        .or(versions.first())?;
    let trees = [
        "/usr/lib/linux-image-@",
        "/boot/dtbs/@",
        "/boot/dtb-@",
        "/usr/lib/firmware/@/device-tree",
    ];
    let tree = trees
        .iter()
        .map(|path| path.replace('@', version))
        .find(|path| root.dir(path).is_some());
    let path = format!("/boot/vmlinuz-{version}");
    Some(Kernel {
        path,
        initrd: initrd(version),
        tree,
        flavor,
        ..Kernel::default()
    })
}

/// The end of a kernel's name that says for which machines it is: `rpi-v8` of `6.6.31+rpt-rpi-v8`
/// and of `6.1.0-rpi4-rpi-v8`, `arm64` of `6.1.0-21-arm64`. Numbers and marks of a build do not
/// belong to it.
pub(super) fn flavor_of(version: &str) -> &str {
    if let Some(at) = version.rfind("-rpi-") {
        return &version[at + 1..];
    }
    let starts = version.match_indices('-').map(|(at, _)| &version[at + 1..]);
    starts
        .into_iter()
        .find(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic()))
        .unwrap_or_default()
}

/// The kernel that the image's boot menu names.
fn of_menu(root: &Tree, boot: &Tree) -> Option<Kernel> {
    let (_, entry) = extlinux::default_entry(root, boot)?;
    // Paths are those of the filesystem that the menu is on, which may be /boot.
    let there = |path: String| {
        [path.clone(), format!("/boot{path}")]
            .into_iter()
            .find(|path| root.file(path).is_some())
    };
    let path = there(entry.value("linux").or_else(|| entry.value("kernel"))?)?;
    let initrd = entry.value("initrd").and_then(there);
    let tree = entry
        .value("fdtdir")
        .or_else(|| entry.value("devicetreedir"))
        .filter(|path| root.dir(path).is_some());
    let notes = vec![format!(
        "{path}: is the kernel of the image's boot menu; no package keeps it current"
    )];
    Some(Kernel {
        path,
        initrd,
        tree: tree.map(|path| path.trim_end_matches('/').to_owned()),
        notes,
        ..Kernel::default()
    })
}

/// A kernel that only the boot partition has: it is copied, so that each root filesystem has its
/// own.
fn of_partition(boot: &Tree, arch: Architecture, hints: &KernelHints) -> Option<Kernel> {
    let usual: &[[&str; 2]] = match arch {
        Architecture::Arm64 => &[["kernel8.img", "initramfs8"], ["vmlinuz", "initrd.img"]],
        _ => &[
            ["kernel7l.img", "initramfs7l"],
            ["kernel7.img", "initramfs7"],
            ["kernel.img", "initramfs"],
            ["vmlinuz", "initrd.img"],
        ],
    };
    let usual = usual.iter().map(|pair| pair.map(str::to_owned));
    let mut pairs = hints.of_partition.iter().cloned().chain(usual);
    pairs.find_map(|[kernel, initrd]| copied(boot, &kernel, &initrd))
}

/// The kernel and the initial RAM disk of the boot partition with these names, which are to be
/// copied into each root filesystem.
fn copied(boot: &Tree, kernel: &str, initrd: &str) -> Option<Kernel> {
    let content = |name: &str| {
        boot.file(boot.path_ignore_case(format!("/{name}")))
            .cloned()
    };
    let place = |name: &str| format!("/boot/{}", name.rsplit('/').next().unwrap_or(name));
    let mut found = Kernel {
        path: place(kernel),
        ..Kernel::default()
    };
    found.copies.push((found.path.clone(), content(kernel)?));
    if let Some(initrd_content) = content(initrd) {
        found.initrd = Some(place(initrd));
        found.copies.push((place(initrd), initrd_content));
    }
    found.notes.push(format!(
        "{}: taken from the boot partition; the device's kernel packages do not keep it current",
        found.path
    ));
    Some(found)
}

/// Checks that U-Boot can start the kernel.
fn check(path: &str, content: &Content, arch: Architecture) -> Result<(), Problem> {
    let mut head = vec![0; usize::try_from(content.len().min(64)).unwrap_or(0)];
    content
        .read_exact_at(0, &mut head)
        .map_err(|e| Problem::new(format!("reading {path}: {e}")))?;
    let at = |offset: usize, magic: &[u8]| head.get(offset..offset + magic.len()) == Some(magic);
    let image = at(0, &MAGIC.to_be_bytes()) || at(0, b"\xd0\x0d\xfe\xed");
    let fine = match arch {
        Architecture::Arm64 => image || at(0x38, b"ARM\x64") || at(0, b"\x1f\x8b"),
        _ => image || at(0x24, &0x016f_2818_u32.to_le_bytes()),
    };
    if fine {
        return Ok(());
    }
    let (what, hint) = if at(0, b"MZ") && at(4, b"zimg") {
        (
            "compressed for UEFI firmware only (CONFIG_EFI_ZBOOT)",
            "install a kernel that is an Image, uncompressed or compressed by gzip",
        )
    } else {
        (
            "not a kernel that U-Boot starts on this architecture",
            "install a kernel package of the distribution in the golden image",
        )
    };
    Err(Problem::new(format!("{path}: {what}")).hint(hint))
}
