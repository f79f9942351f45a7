//! The kernel of a root filesystem that starts first, and what belongs to it.

use super::chain::Chain;
use super::chain::sources::{Place, Site, Sources};
use super::header::MAGIC;
use super::options::UBootOptions;
use crate::boot::common::file_names;
use crate::boot::common::version::by_version;
use crate::platform::Architecture;
use crate::problem::Problem;
use crate::stream::{Content, ReadAt as _};
use crate::tree::{Tree, show};

/// The kernel that starts first, and its files.
#[derive(Clone, Debug, Default)]
pub(super) struct Kernel {
    /// The path of the kernel.
    pub(super) path: String,
    /// The path of the initial RAM disk that goes with it.
    pub(super) initrd: Option<String>,
    /// The directory of its device trees.
    pub(super) tree: Option<String>,
    /// The device tree, where the image names one.
    pub(super) fdt: Option<String>,
    /// The overlays that are applied to the device tree, in their order.
    pub(super) overlays: Vec<String>,
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
    /// Looks for the kernel: that of the image's own boot chain if no version names it, by version
    /// in `/boot`, by the usual names in `/boot` and on the boot partition.
    pub(super) fn find(
        sources: &Sources<'_>,
        chain: Option<&Chain>,
        options: &UBootOptions<'_>,
        hints: &KernelHints,
    ) -> Result<Self, Problem> {
        let root = sources.root;
        let own = chain.and_then(|chain| chain.kernel.as_ref());
        let version = own.filter(|place| place.site == Site::Root).map(|place| {
            let name = place.path.strip_prefix("/boot/").unwrap_or_default();
            version_of(name).map(str::to_owned)
        });
        let flavor = version.clone().flatten().map(|version| flavor_of(&version));
        // A kernel of the root filesystem whose name has no version.
        let fixed = version == Some(None) && options.flavor.is_none();
        let mut found = (fixed.then(|| of_chain(sources, chain)).flatten())
            .or_else(|| by_versions(root, options, hints, flavor.as_deref()))
            .or_else(|| of_chain(sources, chain))
            .or_else(|| by_name(sources, Site::Root, options.arch))
            .or_else(|| of_hints(sources, hints))
            .or_else(|| newest_of_partition(sources))
            .or_else(|| by_name(sources, Site::Boot, options.arch))
            .ok_or_else(|| none(sources, options))?;
        let copied = found
            .copies
            .iter()
            .find(|(path, _)| *path == found.path)
            .map(|(_, content)| content);
        let content = copied.or_else(|| root.file(&found.path));
        let content =
            content.ok_or_else(|| Problem::new(format!("{}: not a regular file", found.path)))?;
        check(&found.path, content, options.arch)?;
        let note = modules(root, &found.path, content);
        found.notes.extend(note);
        let copied = own.is_some_and(|place| place.site == Site::Boot && !found.copies.is_empty());
        if let Some(place) = own.filter(|place| place.path != found.path && !copied) {
            found.notes.push(format!(
                "{}: is the kernel that the image starts; each root filesystem starts its own, {}",
                sources.name(place),
                found.path
            ));
        }
        Ok(found)
    }

    /// The version in its name.
    pub(super) fn version(&self) -> Option<&str> {
        version_of(self.path.strip_prefix("/boot/")?)
    }
}

/// The names that kernels have in front of their version.
const PREFIXES: [&str; 5] = ["vmlinuz-", "Image-", "Image.gz-", "zImage-", "uImage-"];

/// The version in the name of a kernel.
fn version_of(name: &str) -> Option<&str> {
    let version = PREFIXES
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))?;
    version
        .starts_with(|c: char| c.is_ascii_digit())
        .then_some(version)
}

/// The problem of an image without a kernel, with all that looks like one.
fn none(sources: &Sources<'_>, options: &UBootOptions<'_>) -> Problem {
    let wanted = options.flavor.map_or("vmlinuz-*".to_owned(), |flavor| {
        format!("vmlinuz-*-{flavor}")
    });
    let mut seen = Vec::new();
    for (site, dir) in [
        (Site::Root, "/boot"),
        (Site::Boot, "/"),
        (Site::Boot, "/boot"),
    ] {
        let Some(place) = sources.find(site, dir) else {
            continue;
        };
        for name in sources.names(&place) {
            let lower = name.to_lowercase();
            let signs = ["image", "vmlinu", "kernel", ".itb", ".ub"];
            if signs.iter().any(|sign| lower.contains(sign)) {
                let path = format!("{}/{name}", dir.trim_end_matches('/'));
                seen.push(sources.name(&Place { site, path }));
            }
        }
    }
    let seen = if seen.is_empty() {
        "nothing in /boot or on the boot partition looks like one".to_owned()
    } else {
        format!("seen: {}", seen.join(", "))
    };
    Problem::new(format!(
        "no kernel: neither /boot/{wanted} nor a kernel on the boot partition; {seen}"
    ))
    .hint(
        "install a kernel package of the distribution in the golden image, or copy the kernel that \
         the board starts to /boot/vmlinuz-VERSION there",
    )
}

/// The newest kernel of one flavor that has an initial RAM disk, or the newest.
fn by_versions(
    root: &Tree,
    options: &UBootOptions<'_>,
    hints: &KernelHints,
    of_chain: Option<&str>,
) -> Option<Kernel> {
    let names = file_names(root, "/boot");
    let mut versions: Vec<&str> = names.iter().filter_map(|name| version_of(name)).collect();
    versions.sort_by(|a, b| by_version(b, a));
    versions.dedup();
    let has = |flavor: &str| versions.iter().any(|version| flavor_of(version) == flavor);
    let suitable = || hints.flavors.iter().find(|flavor| has(flavor));
    let flavor = options
        .flavor
        .map(|flavor| flavor_of(&format!("0-{flavor}")))
        .or_else(|| of_chain.map(str::to_owned))
        .or_else(|| suitable().map(|flavor| (*flavor).to_owned()))
        .or_else(|| versions.first().map(|version| flavor_of(version)))?;
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
    let path = PREFIXES
        .iter()
        .map(|prefix| format!("/boot/{prefix}{version}"))
        .find(|path| root.file(path).is_some())?;
    let fdt = format!("/boot/dtb-{version}");
    Some(Kernel {
        path,
        initrd: initrd(version),
        tree,
        fdt: root.file(&fdt).and_then(|_| real(root, &fdt)),
        flavor: named_flavor(version),
        ..Kernel::default()
    })
}

/// The flavor of kernels whose name is only a version.
pub(super) const NO_FLAVOR: &str = "none";

/// The words of a kernel's name that say for which machines it is: `rpi-v8` of `6.6.31+rpt-rpi-v8`
/// and of `6.1.0-rpi4-rpi-v8`, `arm64` of `6.1.0-21-arm64`, `ti` of `5.10.168-ti-r72`. Numbers and
/// marks of a build do not belong to it.
pub(super) fn flavor_of(version: &str) -> String {
    if let Some(at) = version.rfind("-rpi-") {
        return version[at + 1..].to_owned();
    }
    let words = version.split('-').skip(1);
    let words = words.skip_while(|word| !word.starts_with(|c: char| c.is_ascii_alphabetic()));
    let words = words.filter(|word| !is_count(word)).map(without_count);
    words.collect::<Vec<_>>().join("-")
}

/// Whether a word of a kernel's name only counts builds: a number, `r72`, `g2e4f`, `dirty`.
fn is_count(word: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    let hex = |text: &str| {
        text.len() >= 4
            && text
                .bytes()
                .all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
    };
    word.is_empty()
        || word == "dirty"
        || digits(word)
        || word.strip_prefix('r').is_some_and(digits)
        || word.strip_prefix('g').is_some_and(hex)
}

/// A word without the count of builds that some vendors append: `bone` of `bone25`, `lts` of
/// `lts+g2e4f`.
fn without_count(word: &str) -> &str {
    let word = match word.split_once("+g") {
        Some((start, hash)) if is_count(&format!("g{hash}")) => start,
        _ => word,
    };
    let start = word.trim_end_matches(|c: char| c.is_ascii_digit());
    if ["bone", "kali", "parrot"].contains(&start) {
        start
    } else {
        word
    }
}

/// The real path of what is at `path`.
fn real(root: &Tree, path: &str) -> Option<String> {
    let walk = root.walk(path.as_bytes(), true).ok()?;
    walk.exists.then(|| show(&walk.path()))
}

/// The kernel that the image's own boot chain starts. One that only the boot partition has is
/// copied, so that each root filesystem has its own.
fn of_chain(sources: &Sources<'_>, chain: Option<&Chain>) -> Option<Kernel> {
    let chain = chain?;
    let place = chain.kernel.as_ref()?;
    let mut found = Kernel::default();
    found.path = found.in_slot(sources, place, "/boot")?;
    let initrd = chain
        .initrd
        .as_ref()
        .filter(|initrd| sources.content(initrd).is_some());
    found.initrd = initrd.and_then(|initrd| found.in_slot(sources, initrd, "/boot"));
    found.notes.push(format!(
        "{}: is the kernel that {} starts; no package keeps it current",
        found.path, chain.origin
    ));
    Some(found)
}

/// A kernel by its usual name and no version, in `/boot` or on the boot partition, or one with a
/// version on a boot partition that is `/boot`.
fn by_name(sources: &Sources<'_>, site: Site, arch: Architecture) -> Option<Kernel> {
    let arm64 = arch == Architecture::Arm64;
    let pairs: &[[&str; 2]] = match (site, arm64) {
        (Site::Root, true) => &[
            ["Image", ""],
            ["Image.gz", ""],
            ["vmlinuz", ""],
            ["uImage", ""],
        ],
        (Site::Root, false) => &[["zImage", ""], ["vmlinuz", ""], ["uImage", ""]],
        (Site::Boot, true) => &[
            ["kernel8.img", "initramfs8"],
            ["vmlinuz", "initrd.img"],
            ["Image", ""],
            ["Image.gz", ""],
            ["uImage", ""],
        ],
        (Site::Boot, false) => &[
            ["kernel7l.img", "initramfs7l"],
            ["kernel7.img", "initramfs7"],
            ["kernel.img", "initramfs"],
            ["vmlinuz", "initrd.img"],
            ["zImage", ""],
            ["uImage", ""],
        ],
    };
    let tops: &[&str] = match site {
        Site::Root => &["/boot"],
        Site::Boot => &["", "/boot"],
    };
    let mut all = tops.iter().flat_map(|top| {
        pairs
            .iter()
            .map(move |[kernel, initrd]| (format!("{top}/{kernel}"), format!("{top}/{initrd}")))
    });
    let (kernel, initrd) = all.find_map(|(kernel, initrd)| {
        let there = |path: &str| sources.file(site, path);
        let top = initrd.rsplit_once('/').map_or("", |(top, _)| top);
        let usual = || {
            ["initrd.img", "initrd", "uInitrd"]
                .iter()
                .find_map(|name| there(&format!("{top}/{name}")))
        };
        let initrd = if initrd.ends_with('/') {
            usual()
        } else {
            there(&initrd)
        };
        Some((there(&kernel)?, initrd))
    })?;
    let mut found = Kernel::default();
    found.path = found.in_slot(sources, &kernel, "/boot")?;
    found.initrd = initrd.and_then(|initrd| found.in_slot(sources, &initrd, "/boot"));
    let origin = match site {
        Site::Root => "is taken by its name",
        Site::Boot => "taken from the boot partition",
    };
    found.notes.push(format!(
        "{}: {origin}; the device's kernel packages do not keep it current",
        found.path
    ));
    Some(found)
}

/// The kernel that the firmware starts from the boot partition: it is copied, so that each root
/// filesystem has its own.
fn of_hints(sources: &Sources<'_>, hints: &KernelHints) -> Option<Kernel> {
    hints.of_partition.iter().find_map(|[kernel, initrd]| {
        let there = |name: &str| sources.file(Site::Boot, &format!("/{name}"));
        let place = |name: &str| format!("/boot/{}", name.rsplit('/').next().unwrap_or(name));
        let mut found = Kernel {
            path: place(kernel),
            ..Kernel::default()
        };
        let content = sources.content(&there(kernel)?)?.clone();
        found.copies.push((found.path.clone(), content));
        if let Some(content) = there(initrd).and_then(|place| sources.content(&place)) {
            found.initrd = Some(place(initrd));
            found.copies.push((place(initrd), content.clone()));
        }
        found.notes.push(format!(
            "{}: taken from the boot partition; the device's kernel packages do not keep it current",
            found.path
        ));
        Some(found)
    })
}

/// The newest kernel with a version in its name on the boot partition, which was `/boot`.
fn newest_of_partition(sources: &Sources<'_>) -> Option<Kernel> {
    let top = sources.find(Site::Boot, "/")?;
    let mut names = sources.names(&top);
    names.retain(|name| version_of(name).is_some());
    names.sort_by(|a, b| by_version(version_of(a).unwrap_or(a), version_of(b).unwrap_or(b)));
    let name = names.last()?;
    let version = version_of(name)?;
    let place = sources.file(Site::Boot, &format!("/{name}"))?;
    let mut found = Kernel {
        flavor: named_flavor(version),
        ..Kernel::default()
    };
    found.path = found.in_slot(sources, &place, "/boot")?;
    let initrd = sources.file(Site::Boot, &format!("/initrd.img-{version}"));
    found.initrd = initrd.and_then(|initrd| found.in_slot(sources, &initrd, "/boot"));
    found.notes.push(format!(
        "{}: taken from the boot partition, which is /boot of the image",
        found.path
    ));
    Some(found)
}

/// The flavor of a version for the settings of the device's hook.
fn named_flavor(version: &str) -> String {
    Some(flavor_of(version))
        .filter(|flavor| !flavor.is_empty())
        .unwrap_or_else(|| NO_FLAVOR.to_owned())
}

impl Kernel {
    /// The path of a file in the slot. What only the boot partition has is copied below `dir`.
    pub(super) fn in_slot(
        &mut self,
        sources: &Sources<'_>,
        place: &Place,
        dir: &str,
    ) -> Option<String> {
        let content = sources.content(place)?;
        if place.site == Site::Root {
            return Some(place.path.clone());
        }
        let path = format!("{dir}{}", place.path);
        if !self.copies.iter().any(|(there, _)| *there == path) {
            self.copies.push((path.clone(), content.clone()));
        }
        Some(path)
    }
}

/// A note when the kernel has no modules in the root filesystem, which has those of others.
fn modules(root: &Tree, path: &str, content: &Content) -> Option<String> {
    let name = path.rsplit('/').next()?;
    let version = match version_of(name) {
        Some(version) => version.to_owned(),
        None => banner(content)?,
    };
    let dir = ["/usr/lib/modules", "/lib/modules"]
        .into_iter()
        .find(|dir| root.dir(dir).is_some_and(|dir| !dir.entries.is_empty()))?;
    if root.dir(format!("{dir}/{version}")).is_some() {
        return None;
    }
    let others: Vec<String> = root
        .dir(dir)?
        .entries
        .keys()
        .map(|name| show(name))
        .collect();
    Some(format!(
        "{path}: the kernel {version} has no modules in {dir}, which has those of {}",
        others.join(", ")
    ))
}

/// The version in the text of a kernel that is not compressed.
fn banner(content: &Content) -> Option<String> {
    const SIGN: &[u8] = b"Linux version ";
    let bytes = content.read_all(64 << 20).ok()?;
    let at = bytes
        .windows(SIGN.len())
        .position(|window| window == SIGN)?;
    let rest = bytes.get(at.checked_add(SIGN.len())?..)?;
    let end = rest.iter().take(128).position(|byte| *byte == b' ')?;
    let text = std::str::from_utf8(rest.get(..end)?).ok()?;
    text.starts_with(|c: char| c.is_ascii_digit())
        .then(|| text.to_owned())
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
