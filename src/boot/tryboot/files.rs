//! The boot files of the golden image: what its firmware loads, on each model of the board.

use super::options::TrybootOptions;
use crate::boot::common::file_names;
use crate::boot::common::pi::firmware::{self, Taken};
use crate::boot::common::pi::ubuntu;
use crate::boot::common::version::by_version;
use crate::platform::{PiChip, PiModel};
use crate::problem::{Problem, Problems};
use crate::stream::{Content, ReadAt as _};
use crate::tree::{DirEntry, LeafKind, Tree, show};
use std::collections::{BTreeMap, BTreeSet};

/// The longest file that is compared with others (bytes).
const LIMIT: u64 = 256 << 20;

/// What the firmware of a model starts, by the names of files in a slot's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) model: PiModel,
    pub(super) kernel: String,
    /// Names of initial RAM disks, separated by commas.
    pub(super) initramfs: Option<String>,
}

/// A kernel that packages replace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Replaced {
    /// The end of the names of kernels like this one.
    pub(super) flavor: String,
    pub(super) kernel: String,
    pub(super) initramfs: Option<String>,
}

/// The boot files of the golden image.
pub(super) struct BootFiles {
    /// What starts on each model.
    pub(super) starts: Vec<Start>,
    /// The file with the arguments of the device.
    pub(super) cmdline: String,
    /// The files of a slot's directory by their names there, overlays with their directory.
    pub(super) members: BTreeMap<String, Content>,
    /// The paths of these files on the golden boot partition.
    pub(super) old_paths: BTreeSet<String>,
    /// The kernels that packages of the image replace.
    pub(super) replaced: Vec<Replaced>,
    /// Names that the tools of the device would not take: these files are left out.
    pub(super) skipped: Vec<String>,
    /// Files of the root filesystem with the same bytes, by the name of the member.
    pub(super) links: BTreeMap<String, String>,
}

impl BootFiles {
    pub(super) fn find(
        root: &Tree,
        boot: &Tree,
        options: &TrybootOptions<'_>,
    ) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let by_turns = ubuntu::piboot_try(root).is_some();
        problems.0.extend(refused_lines(boot, by_turns));
        let models = firmware::models(options.models, options.arch).into_iter();
        let models = models.filter(|model| model.chip() >= PiChip::Bcm2837);
        let mut taken = Vec::new();
        for model in models {
            match &firmware::taken(boot, model)[..] {
                [one] => taken.push(one.clone()),
                _ => problems.push(ambiguous(model)),
            }
        }
        // A board that names no models has kernels for some of them.
        if options.models.is_empty() {
            taken.retain(|taken| firmware::has_content(boot, &taken.kernel));
        }
        let Some(first) = taken.first().cloned() else {
            let text = "the boot partition has no kernel that its firmware starts".to_owned();
            problems.push(Problem::new(text));
            return Err(problems);
        };
        let differs = |other: &&Taken| {
            other.prefix.text != first.prefix.text || other.cmdline.text != first.cmdline.text
        };
        if let Some(other) = taken.iter().find(differs) {
            let text = format!(
                "config.txt: a {} takes {} and `{}`, a {} takes {} and `{}`: the slots have one \
                 directory for all models",
                first.model.title(),
                first.cmdline.text,
                first.prefix.text,
                other.model.title(),
                other.cmdline.text,
                other.prefix.text,
            );
            let hint = "remove cmdline= and os_prefix= from the sections of models, or set \
                        boot.bootloader to \"u-boot\"";
            problems.push(Problem::new(text).hint(hint));
        }
        let mut files = Self {
            starts: Vec::new(),
            cmdline: first.cmdline.text.clone(),
            members: BTreeMap::new(),
            old_paths: BTreeSet::new(),
            replaced: Vec::new(),
            skipped: Vec::new(),
            links: BTreeMap::new(),
        };
        for taken in &taken {
            if let Err(problem) = files.start(boot, taken) {
                problems.push(problem);
            }
        }
        files.trees(boot, &first.prefix.text);
        problems.check()?;
        files.kernels_of_packages(root);
        Ok(files)
    }

    /// Adds a file of the golden boot partition.
    fn add(&mut self, boot: &Tree, path: &str, name: &str) -> bool {
        let last = name.rsplit('/').next().unwrap_or_default();
        if !is_known(last) {
            self.skipped.push(path.to_owned());
            return false;
        }
        let real = boot.path_ignore_case(format!("/{path}"));
        let Some(content) = boot.file(&real).filter(|content| content.len() > 0) else {
            return false;
        };
        self.members.insert(name.to_owned(), content.clone());
        self.old_paths.insert(show(&real));
        true
    }

    /// What a model starts.
    fn start(&mut self, boot: &Tree, taken: &Taken) -> Result<(), Problem> {
        let prefix = taken.prefix.text.as_str();
        let own = |path: &str| path.strip_prefix(prefix).unwrap_or(path).to_owned();
        let kernel = own(&taken.kernel);
        let missing = |what: &str, path: &str| {
            let text = format!(
                "on a {}, the firmware of the golden image takes {path} as the {what}, which the \
                 boot partition does not have, or not under a name of plain letters and digits that \
                 begins with kernel, vmlinuz, Image, initrd or initramfs or ends with .img",
                taken.model.title()
            );
            let hint = "correct config.txt in the golden image, or select the board with --config";
            Problem::new(text).hint(hint)
        };
        if !self.add(boot, &taken.kernel, &kernel) {
            return Err(missing("kernel", &taken.kernel));
        }
        if is_u_boot(&self.members[&kernel]) {
            let text = format!(
                "on a {}, the firmware of the golden image starts U-Boot ({}), not a kernel",
                taken.model.title(),
                taken.kernel
            );
            let hint = "set boot.bootloader to \"u-boot\", or remove kernel= from config.txt and \
                        put the kernel on the boot partition of the golden image";
            return Err(Problem::new(text).hint(hint));
        }
        let settings = firmware::settings(boot, taken.model);
        let named = settings.iter().rev().find_map(|setting| {
            let names = ["initramfs", "ramfsfile"].contains(&setting.name.as_str());
            names.then(|| setting.value.split_whitespace().next().map(str::to_owned))?
        });
        let auto = firmware::values(&settings, "auto_initramfs", "0");
        let auto = auto.iter().any(|value| value.text == "1");
        let initramfs = match named {
            Some(names) => {
                for name in names.split(',') {
                    let path = format!("{prefix}{name}");
                    if !self.add(boot, &path, name) {
                        return Err(missing("initial RAM disk", &path));
                    }
                }
                Some(names)
            }
            None => {
                let name = kernel.strip_prefix("kernel");
                let name = name.map(|rest| format!("initramfs{}", rest.trim_end_matches(".img")));
                name.filter(|name| auto && self.add(boot, &format!("{prefix}{name}"), name))
            }
        };
        self.starts.push(Start {
            model: taken.model,
            kernel,
            initramfs,
        });
        Ok(())
    }

    /// The device trees and overlays.
    fn trees(&mut self, boot: &Tree, prefix: &str) {
        for name in names_below(boot, prefix) {
            if name.to_ascii_lowercase().ends_with(".dtb") {
                self.add(boot, &format!("{prefix}{name}"), &name);
            }
        }
        let own = format!("{prefix}overlays/");
        let has_own = firmware::has(boot, &format!("{own}README"));
        let dir = if has_own { own } else { "overlays/".to_owned() };
        for name in names_below(boot, &dir) {
            self.add(boot, &format!("{dir}{name}"), &format!("overlays/{name}"));
        }
        // Without it the firmware takes the overlays of all slots.
        self.members
            .entry("overlays/README".to_owned())
            .or_insert_with(|| Content::bytes(*b"The overlays of this slot.\n"));
    }

    /// The kernels that no package of the image replaces.
    pub(super) fn not_replaced(&self) -> BTreeSet<&str> {
        let replaced = |name: &&str| self.replaced.iter().any(|kernel| kernel.kernel == *name);
        let all = self.starts.iter().map(|start| start.kernel.as_str());
        all.filter(|name| !replaced(name)).collect()
    }

    /// The versions of the kernels that are files of packages.
    pub(super) fn versions(&self) -> BTreeSet<&str> {
        let targets = self.links.values();
        targets
            .filter_map(|target| target.strip_prefix("/boot/vmlinuz-"))
            .collect()
    }

    /// Which kernels of packages these are.
    fn kernels_of_packages(&mut self, root: &Tree) {
        let names = file_names(root, "/boot");
        let mut versions: Vec<&str> = names
            .iter()
            .filter_map(|name| name.strip_prefix("vmlinuz-"))
            .filter(|version| version.starts_with(|c: char| c.is_ascii_digit()))
            .collect();
        versions.sort_by(|one, two| by_version(two, one));
        let mut done = BTreeSet::new();
        for start in self.starts.clone() {
            if !done.insert(start.kernel.clone()) {
                continue;
            }
            let same = |version: &&&str| {
                let path = format!("/boot/vmlinuz-{version}");
                root.file(path)
                    .is_some_and(|content| is_same(content, &self.members[&start.kernel]))
            };
            let flavor = match versions.iter().find(same) {
                Some(version) => {
                    let link = format!("/boot/vmlinuz-{version}");
                    self.links.insert(start.kernel.clone(), link);
                    let initrd = format!("/boot/initrd.img-{version}");
                    let own = start.initramfs.as_ref().filter(|name| {
                        let member = self.members.get(*name);
                        let file = root.file(&initrd);
                        member.zip(file).is_some_and(|(one, two)| is_same(one, two))
                    });
                    if let Some(name) = own {
                        self.links.insert(name.clone(), initrd);
                    }
                    Some(flavor_of(version))
                }
                None => usual_flavor(&start.kernel)
                    .filter(|flavor| versions.iter().any(|version| flavor_of(version) == *flavor))
                    .map(str::to_owned),
            };
            if let Some(flavor) = flavor.filter(|flavor| !flavor.is_empty()) {
                self.replaced.push(Replaced {
                    flavor,
                    kernel: start.kernel,
                    initramfs: start.initramfs.filter(|name| !name.contains(',')),
                });
            }
        }
    }
}

/// Lines of the golden settings that two slots cannot keep. With Ubuntu's own trials, the directory
/// of the files to be tried is none of them: no line names it any more.
fn refused_lines(boot: &Tree, by_turns: bool) -> Vec<Problem> {
    let mut out = Vec::new();
    let text = firmware::text(boot, "config.txt").unwrap_or_default();
    let mut filter = String::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[') {
            filter = name.trim_end_matches(']').to_ascii_lowercase();
            continue;
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let name = firmware::name(line);
        let value = line.get(name.len()..).unwrap_or_default();
        let value = value.trim_start_matches(['=', ' ', '\t']);
        let is_file = ["kernel", "initramfs", "ramfsfile", "cmdline", "device_tree"];
        let reason = if filter == "tryboot" && by_turns && name == "os_prefix" {
            continue;
        } else if filter == "tryboot" {
            "it is in the section [tryboot], which counts in the trial of an update alone: the \
             update would not run with the settings that it was tried with"
        } else if is_file.contains(&name) && value.starts_with('/') {
            "its path begins with a slash: both slots would share that file"
        } else if name == "overlay_prefix" && !value.is_empty() {
            "each slot has its overlays in overlays/"
        } else {
            continue;
        };
        let text = format!("config.txt:{number}: `{line}`: {reason}");
        out.push(Problem::new(text).hint("remove the line in the golden image"));
    }
    out
}

fn ambiguous(model: PiModel) -> Problem {
    let text = format!(
        "config.txt: what a {} starts depends on what only the device knows (its pins, its serial \
         number, its display): a slot has one directory for all of that",
        model.title()
    );
    let hint = "remove kernel=, cmdline= and os_prefix= from such sections in the golden image, or \
                set boot.bootloader to \"u-boot\"";
    Problem::new(text).hint(hint)
}

/// The names of the regular files in a directory of the boot partition, by a prefix that ends with
/// a slash or is empty.
fn names_below(boot: &Tree, prefix: &str) -> Vec<String> {
    let (dir, start) = prefix.rsplit_once('/').unwrap_or(("", prefix));
    let Some(found) = boot.dir_ignore_case(format!("/{dir}")) else {
        return Vec::new();
    };
    let files = found.entries.iter().filter(|(_, entry)| match entry {
        DirEntry::Leaf(id) => matches!(boot.leaf(*id).kind, LeafKind::File(_)),
        DirEntry::Dir(_) => false,
    });
    let names = files.map(|(name, _)| show(name));
    names
        .filter_map(|name| name.strip_prefix(start).map(str::to_owned))
        .collect()
}

/// Whether the tool of the device takes a name for that of a boot file: `known` there.
pub(super) fn is_known(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._+,-".contains(c);
    let ends = [".img", ".dtb", ".dtbo", ".bin", ".elf", ".dat", ".txt"];
    let starts = [
        "kernel", "vmlinuz", "vmlinux", "Image", "zImage", "initr", "armstub",
    ];
    let is_own = ends.iter().any(|end| name.ends_with(end))
        || starts.iter().any(|start| name.starts_with(start))
        || name == "README";
    is_own && !name.starts_with('.') && name.chars().all(plain)
}

pub(super) fn is_same(one: &Content, two: &Content) -> bool {
    one.len() == two.len()
        && one
            .read_all(LIMIT)
            .is_ok_and(|one| two.read_all(LIMIT).is_ok_and(|two| one == two))
}

fn is_u_boot(content: &Content) -> bool {
    let mark = b"U-Boot 20";
    content.len() < 8 << 20
        && content
            .read_all(LIMIT)
            .is_ok_and(|bytes| bytes.windows(mark.len()).any(|window| window == mark))
}

/// The flavor of a kernel of this version, as the tool of the device has it.
pub(super) fn flavor_of(version: &str) -> String {
    if let Some((_, flavor)) = version.rsplit_once("-rpi-") {
        return format!("rpi-{flavor}");
    }
    let words = version.split('-').skip(1);
    let from_first = words.skip_while(|word| !word.starts_with(|c: char| c.is_ascii_alphabetic()));
    from_first.collect::<Vec<_>>().join("-")
}

/// The flavor of the kernels that Raspberry Pi OS copies to a name.
fn usual_flavor(kernel: &str) -> Option<&'static str> {
    Some(match kernel {
        "kernel8.img" => "rpi-v8",
        "kernel_2712.img" => "rpi-2712",
        "kernel7l.img" => "rpi-v7l",
        "kernel7.img" => "rpi-v7",
        _ => return None,
    })
}
