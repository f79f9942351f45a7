//! The files of a Raspberry Pi's firmware: what each model loads from the boot partition before it
//! can start U-Boot.

use super::super::finding::Log;
use super::boot_partition::BootPartition;
use super::raspberry_config::{Settings, settings};

/// Models by what they load: names of the device trees, the mark in the names of the firmware's
/// programs, whether they need a second stage from the card, the sizes of memory in MiB.
struct Generation {
    models: &'static [&'static str],
    trees: &'static [&'static str],
    programs: Option<&'static str>,
    second_stage: bool,
    memory: &'static [&'static str],
}

/// All generations of the Raspberry Pi. The programs of the last one are not on the card.
const GENERATIONS: [Generation; 6] = [
    Generation {
        models: &["pi0", "pi0w", "cm1"],
        trees: &["bcm2708", "bcm2835"],
        programs: Some(""),
        second_stage: true,
        memory: &["512"],
    },
    Generation {
        models: &["pi1"],
        trees: &["bcm2708", "bcm2835"],
        programs: Some(""),
        second_stage: true,
        memory: &["256", "512"],
    },
    Generation {
        models: &["pi2"],
        trees: &["bcm2709", "bcm2710-rpi-2", "bcm2836", "bcm2837-rpi-2"],
        programs: Some(""),
        second_stage: true,
        memory: &["1024"],
    },
    Generation {
        models: &["pi02", "pi3", "pi3+", "cm3", "cm3+"],
        trees: &["bcm2710", "bcm2837"],
        programs: Some(""),
        second_stage: true,
        memory: &["512", "1024"],
    },
    Generation {
        models: &["pi4", "pi400", "cm4", "cm4s"],
        trees: &["bcm2711"],
        programs: Some("4"),
        second_stage: false,
        memory: &["1024"],
    },
    Generation {
        models: &["pi5", "pi500", "cm5"],
        trees: &["bcm2712"],
        programs: None,
        second_stage: false,
        memory: &[],
    },
];

/// The value that certainly counts.
fn value<'s>(settings: &'s Settings, name: &str) -> &'s str {
    let values = settings.get(name);
    values
        .and_then(|all| all.first())
        .map_or("", String::as_str)
}

/// The end of the names of the firmware's programs, without the mark of the generation.
fn variant(settings: &Settings, generation: &Generation, mark: &str) -> &'static str {
    let is_16 = |name: &str| value(settings, name) == "16";
    let of_size = |size: &&str| {
        let name = format!("gpu_mem_{size}");
        settings.contains_key(&name).then(|| is_16(&name))
    };
    let sizes: Vec<bool> = generation.memory.iter().filter_map(of_size).collect();
    let is_small = sizes.iter().all(|small| *small) && (!sizes.is_empty() || is_16("gpu_mem"));
    let is_on = |name: &str| !["", "0"].contains(&value(settings, name));
    let is_old = mark.is_empty();
    match (is_small, is_on("start_x"), is_on("start_debug")) {
        (true, _, _) if is_old => "_cd",
        (true, _, _) => "cd",
        (_, true, _) if is_old => "_x",
        (_, true, _) => "x",
        (_, _, true) if is_old => "_db",
        _ => "",
    }
}

/// What a model needs and the boot partition does not have.
fn missing(boot: &BootPartition<'_>, model: &'static str) -> Vec<String> {
    let Some(generation) = GENERATIONS.iter().find(|all| all.models.contains(&model)) else {
        return Vec::new();
    };
    let mut wanted = Vec::new();
    if generation.second_stage {
        wanted.push("bootcode.bin".to_owned());
    }
    if let Some(mark) = generation.programs {
        let early = settings(boot, model, false);
        let end = variant(&early, generation, mark);
        for (key, start, suffix) in [
            ("start_file", "start", "elf"),
            ("fixup_file", "fixup", "dat"),
        ] {
            wanted.push(match value(&early, key) {
                "" => format!("{start}{mark}{end}.{suffix}"),
                named => named.to_owned(),
            });
        }
    }
    let is_missing = |name: &String| !boot.has_content(&format!("/{name}"));
    let mut out: Vec<String> = wanted.into_iter().filter(is_missing).collect();
    let late = settings(boot, model, true);
    let prefixes = [value(&late, "os_prefix"), "", "upstream/"];
    let has_tree = prefixes
        .iter()
        .any(|prefix| match value(&late, "device_tree") {
            "" => has_one_of(boot, prefix, generation.trees),
            named => boot.has(&format!("/{prefix}{named}")),
        });
    if !has_tree {
        out.push(format!("{}*.dtb", generation.trees.join("*.dtb, ")));
    }
    out
}

/// Whether a device tree with one of the names is below a prefix.
fn has_one_of(boot: &BootPartition<'_>, prefix: &str, trees: &[&str]) -> bool {
    let (dir, start) = prefix.rsplit_once('/').unwrap_or(("", prefix));
    let names = boot.names(&format!("/{dir}"));
    names.iter().any(|name| {
        let name = name.to_ascii_lowercase();
        let rest = name.strip_prefix(&start.to_ascii_lowercase());
        rest.is_some_and(|rest| {
            rest.ends_with(".dtb") && trees.iter().any(|tree| rest.starts_with(tree))
        })
    })
}

/// Checks that the firmware of each model finds its files; with `any` that of one of them.
pub(super) fn check(boot: &BootPartition<'_>, models: &[&'static str], any: bool, log: &mut Log) {
    let all: Vec<(&str, Vec<String>)> = models
        .iter()
        .map(|model| (*model, missing(boot, model)))
        .collect();
    let first = if any {
        let least = all.iter().min_by_key(|(_, files)| files.len());
        least.filter(|(_, files)| !files.is_empty())
    } else {
        all.iter().find(|(_, files)| !files.is_empty())
    };
    log.check(first.is_none(), "uboot-firmware", || {
        let (model, files) = first.cloned().unwrap_or_default();
        let text = format!(
            "on {model}, the firmware needs {}, which the boot partition does not have",
            files.join(", ")
        );
        (boot.place("/config.txt"), text)
    });
}
