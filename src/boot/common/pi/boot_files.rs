//! The files without which the firmware of a model starts nothing: its second stage and its
//! programs, each with the table of addresses that belongs to it, and a device tree.

use super::firmware::{self, Setting, Value, values};
use crate::platform::{Architecture, PiChip, PiModel};
use crate::problem::{Problem, Problems};
use crate::stream::ReadAt as _;
use crate::tree::Tree;
use std::collections::BTreeMap;

/// The settings that count before the firmware has loaded its program, so in `config.txt` only:
/// the loader of this program does not follow `include`.
const OF_THE_LOADER: [&str; 8] = [
    "start_file",
    "fixup_file",
    "start_x",
    "start_debug",
    "gpu_mem",
    "gpu_mem_256",
    "gpu_mem_512",
    "gpu_mem_1024",
];
/// The directories of a root filesystem that have the firmware's files.
const SOURCES: [&str; 3] = ["/usr/lib/raspi-firmware", "/boot/firmware", "/boot"];

/// A build of the firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Build {
    Usual,
    Camera,
    Debug,
    CutDown,
}

impl Build {
    /// The program and the table of its addresses.
    fn files(self, chip: PiChip) -> [String; 2] {
        let is_bcm2711 = chip == PiChip::Bcm2711;
        let ending = match self {
            Self::Usual if is_bcm2711 => "4",
            Self::Camera if is_bcm2711 => "4x",
            Self::CutDown if is_bcm2711 => "4cd",
            Self::Usual => "",
            Self::Camera => "_x",
            Self::Debug => "_db",
            Self::CutDown => "_cd",
        };
        [format!("start{ending}.elf"), format!("fixup{ending}.dat")]
    }
}

/// The sizes of a model's memory (MiB), as the names of settings have them.
fn memory(model: PiModel) -> &'static [u32] {
    match model {
        PiModel::Pi1 => &[256, 512],
        PiModel::Cm1 | PiModel::Pi0 | PiModel::Pi0W | PiModel::Pi02 => &[512],
        PiModel::Pi3Plus => &[512, 1024],
        _ => &[1024],
    }
}

/// The builds that the settings select, each with the line that does. Where only the device knows
/// whether a line counts, those of both cases.
fn builds(settings: &[Setting], model: PiModel) -> Vec<(Build, Option<Setting>)> {
    let mut out = Vec::new();
    let mut is_usual = true;
    let mut add = |build: Build, values: Vec<Value>, selects: fn(&str) -> bool| {
        is_usual &= !values.iter().all(|value| selects(&value.text));
        let selected = values.into_iter().filter(|value| selects(&value.text));
        out.extend(selected.map(|value| (build, value.setting)));
    };
    let of_sizes = memory(model).iter().flat_map(|size| {
        let of_size = values(settings, &format!("gpu_mem_{size}"), "");
        let is_set = of_size.iter().any(|value| value.setting.is_some());
        let general = || values(settings, "gpu_mem", "");
        if is_set { of_size } else { general() }
    });
    let is_16: fn(&str) -> bool = |value| value.parse() == Ok(16_u32);
    add(Build::CutDown, of_sizes.collect(), is_16);
    let is_on: fn(&str) -> bool = |value| value.parse().is_ok_and(|number: u32| number != 0);
    add(Build::Camera, values(settings, "start_x", "0"), is_on);
    // There is no short form for a BCM2711.
    if model.chip() != PiChip::Bcm2711 {
        add(Build::Debug, values(settings, "start_debug", "0"), is_on);
    }
    if is_usual {
        out.push((Build::Usual, None));
    }
    out
}

/// A file that the firmware needs, and the line of `config.txt` that selects it.
type Needed = (String, Option<String>);

/// The files that the firmware of a model loads before any kernel. That of a BCM2712 is in a memory
/// of the board; so is the second stage for a BCM2711.
fn programs(boot: &Tree, model: PiModel) -> Vec<Needed> {
    let chip = model.chip();
    if chip == PiChip::Bcm2712 {
        return Vec::new();
    }
    let mut out = Vec::new();
    if chip != PiChip::Bcm2711 {
        out.push(("bootcode.bin".to_owned(), None));
    }
    let settings = firmware::settings_of_loader(boot, model);
    let builds = builds(&settings, model);
    for (at, name) in ["start_file", "fixup_file"].into_iter().enumerate() {
        for value in values(&settings, name, "") {
            if !value.text.is_empty() {
                out.push((value.text, value.setting.map(|setting| line(&setting))));
                continue;
            }
            let of_builds = builds.iter().filter_map(|(build, setting)| {
                let file = build.files(chip).get(at)?.clone();
                Some((file, setting.as_ref().map(line)))
            });
            out.extend(of_builds);
        }
    }
    out
}

/// A setting as people find it.
fn line(setting: &Setting) -> String {
    format!("{}: {}={}", setting.place, setting.name, setting.value)
}

/// The device tree that is missing for a model, if none suits its processor.
fn tree(boot: &Tree, model: PiModel) -> Option<Needed> {
    let settings = firmware::settings(boot, model);
    let named = values(&settings, "device_tree", "").remove(0);
    let taken = firmware::taken(boot, model);
    let prefix = &taken.first()?.prefix.text;
    if named.text.is_empty() {
        let chip = model.chip();
        let names = firmware::tree_prefixes(chip).iter();
        let names: Vec<String> = names.map(|start| format!("{prefix}{start}*.dtb")).collect();
        return (!firmware::has_tree(boot, prefix, chip)).then(|| (names.join(", "), None));
    }
    let name = format!("{prefix}{}", named.text);
    let place = named.setting.as_ref().map(line);
    (!firmware::has_content(boot, &name)).then_some((name, place))
}

/// What a model needs and the boot partition does not have.
fn missing(boot: &Tree, model: PiModel) -> Vec<Needed> {
    let mut out: Vec<Needed> = Vec::new();
    let programs = programs(boot, model);
    let needed = programs
        .into_iter()
        .filter(|(name, _)| !firmware::has_content(boot, name));
    for file in needed.chain(tree(boot, model)) {
        if !out.contains(&file) {
            out.push(file);
        }
    }
    out
}

/// Problems of models that cannot start for want of files. Where the board names no model, one that
/// can start is enough.
pub(in crate::boot) fn check(
    root: &Tree,
    boot: &Tree,
    models: &[PiModel],
    arch: Architecture,
) -> Result<(), Problems> {
    let all = firmware::models(models, arch).into_iter();
    let all = all.map(|model| (model, missing(boot, model)));
    let all: Vec<(PiModel, Vec<Needed>)> = if models.is_empty() {
        let least = all.min_by_key(|(_, files)| files.len());
        least.into_iter().collect()
    } else {
        all.collect()
    };
    // Models that need the same are one problem.
    let mut groups: BTreeMap<Vec<Needed>, Vec<PiModel>> = BTreeMap::new();
    for (model, files) in all {
        groups.entry(files).or_default().push(model);
    }
    groups.remove(&Vec::new());
    let mut problems = Problems::default();
    for (files, models) in groups {
        problems.push(problem(root, boot, &files, &models));
    }
    problems.check()
}

fn problem(root: &Tree, boot: &Tree, files: &[Needed], models: &[PiModel]) -> Problem {
    let describe = |(name, line): &Needed| {
        let is_empty = firmware::has(boot, name);
        let state = if is_empty { " (the file is empty)" } else { "" };
        match line {
            Some(line) => format!("{name}{state} ({line})"),
            None => format!("{name}{state}"),
        }
    };
    let names: Vec<String> = files.iter().map(describe).collect();
    let titles: Vec<&str> = models.iter().map(|model| model.title()).collect();
    let text = format!(
        "the boot partition does not have {}: without it the firmware of a {} starts nothing",
        names.join(", "),
        titles.join(", ")
    );
    let from = SOURCES.into_iter().find(|dir| {
        files.iter().all(|(name, _)| {
            root.file(format!("{dir}/{name}"))
                .is_some_and(|content| content.len() > 0)
        })
    });
    let from = match from {
        Some(dir) => format!("{dir} of the root filesystem has them"),
        None => "firmware: package raspi-firmware, in usr/lib/raspi-firmware; device trees: that \
                 package or the kernel's, in usr/lib/linux-image-VERSION"
            .to_owned(),
    };
    let line = if files.iter().any(|(_, line)| line.is_some()) {
        "; or remove the line of config.txt"
    } else {
        ""
    };
    Problem::new(text).hint(format!(
        "copy the missing files to the boot partition of the golden image ({from}), or put them in \
         a directory and add [[overlay]] dir = \"DIRECTORY\" target = \"boot\"{line}"
    ))
}

/// Notes about lines that the loader of the firmware's program does not read, and about models
/// whose own device tree is missing.
pub(in crate::boot) fn notes(boot: &Tree, models: &[PiModel]) -> Vec<String> {
    let mut notes = Vec::new();
    for model in models {
        let settings = firmware::settings(boot, *model);
        for setting in settings {
            let is_included = !setting.place.starts_with("config.txt:");
            let note = format!(
                "{}={} does not count: the loader reads this setting in config.txt only",
                format_args!("{}: {}", setting.place, setting.name),
                setting.value
            );
            let counts = OF_THE_LOADER.contains(&setting.name.as_str());
            if counts && is_included && !notes.contains(&note) {
                notes.push(note);
            }
        }
    }
    notes.extend(of_relatives(boot, models));
    notes
}

/// The end of the names of a model's device trees.
fn own_tree(model: PiModel) -> &'static [&'static str] {
    match model {
        PiModel::Pi1 => &["rpi-b", "rpi-a"],
        PiModel::Cm1 => &["rpi-cm"],
        PiModel::Pi0 => &["rpi-zero."],
        PiModel::Pi0W => &["rpi-zero-w"],
        PiModel::Pi02 => &["rpi-zero-2"],
        PiModel::Pi2 => &["rpi-2-b"],
        PiModel::Pi3 => &["rpi-3-b."],
        PiModel::Pi3Plus => &["rpi-3-b-plus", "rpi-3-a-plus"],
        PiModel::Cm3 | PiModel::Cm3Plus => &["rpi-cm3"],
        PiModel::Pi4 => &["rpi-4-b"],
        PiModel::Pi400 => &["rpi-400"],
        PiModel::Cm4 => &["rpi-cm4.", "rpi-cm4-io"],
        PiModel::Cm4S => &["rpi-cm4s"],
        PiModel::Pi5 => &["rpi-5-b"],
        PiModel::Pi500 => &["rpi-500"],
        PiModel::Cm5 => &["rpi-cm5"],
    }
}

/// A note about the models for which the boot partition has only device trees of others.
fn of_relatives(boot: &Tree, models: &[PiModel]) -> Option<String> {
    let lacks = |model: &&PiModel| {
        let settings = firmware::settings(boot, **model);
        let is_named = settings
            .iter()
            .any(|setting| setting.name == "device_tree" && !setting.value.is_empty());
        let taken = firmware::taken(boot, **model);
        let prefix = taken.first().map_or("", |taken| taken.prefix.text.as_str());
        let names = firmware::trees(boot, prefix, model.chip());
        let is_own = |name: &String| own_tree(**model).iter().any(|own| name.contains(own));
        !is_named && !names.is_empty() && !names.iter().any(is_own)
    };
    let titles: Vec<&str> = models
        .iter()
        .filter(lacks)
        .map(|model| model.title())
        .collect();
    (!titles.is_empty()).then(|| {
        format!(
            "the boot partition has no device tree of its own for {}: the firmware takes that of \
             another model with this processor, if it takes one",
            titles.join(", ")
        )
    })
}
