//! `config.txt` as the firmware reads it: which lines count for a model, and which files it takes.
//!
//! Lines apply to the machines that the filters above them select. A filter replaces an earlier one
//! of the same kind, filters of different kinds add up, and `[all]` ends them all. An included file
//! counts as if its lines were in place of the line that names it. The last value of a name wins.

use crate::boot::common::TEXT_LIMIT;
use crate::platform::{Architecture, PiChip, PiModel};
use crate::stream::ReadAt as _;
use crate::tree::Tree;
use std::collections::BTreeSet;

/// The characters of a line that the firmware reads.
const LINE: usize = 98;
/// How deep files that include each other are followed.
const MAX_DEPTH: usize = 5;
/// The files that are followed, each time that one is included.
const MAX_FILES: usize = 64;

/// Whether a line counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counts {
    Always,
    /// Depends on what only the device has: its serial number, its pins, its display.
    Sometimes,
    Never,
}

/// A setting that counts, or may count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::boot) struct Setting {
    pub(in crate::boot) name: String,
    pub(in crate::boot) value: String,
    /// The file and the line that set it.
    pub(in crate::boot) place: String,
    /// The filter on which it depends, if that is not one of models.
    pub(in crate::boot) condition: Option<String>,
}

/// Filters that depend on what only the device has, by the beginnings of their names: pins,
/// display, serial number, the partition that the firmware started from, settings of its boot
/// loader and fuses.
const OF_THE_DEVICE: [&str; 10] = [
    "0x",
    "board_attributes",
    "boot_arg",
    "boot_count",
    "boot_partition",
    "bootvar",
    "customer_otp",
    "edid",
    "gpio",
    "partition",
];

/// The filters above a line.
#[derive(Clone, Debug, Default)]
struct Filters {
    other_model: bool,
    /// The filter `board-type`, where it does not select all.
    board_type: Option<Counts>,
    never: BTreeSet<String>,
    unknown: BTreeSet<String>,
}

impl Filters {
    fn set(&mut self, text: &str, model: PiModel) {
        let word = text.trim().to_ascii_lowercase();
        let kind = kind_of(&word);
        if word == "all" {
            *self = Self::default();
        } else if word == "none" {
            self.other_model = true;
        } else if PiModel::ALL.iter().any(|known| known.name() == word) || is_later_model(&word) {
            self.other_model = !sees(model, &word);
        } else if word == "tryboot" {
            self.never.insert(word);
        } else if kind == "board-type" {
            let expression = word.get(kind.len()..).unwrap_or_default();
            let counts = board_type(expression, model);
            self.board_type = Some(counts).filter(|counts| *counts != Counts::Always);
            self.unknown.retain(|known| !same_kind(known, kind));
            if counts == Counts::Sometimes {
                self.unknown.insert(format!("[{word}]"));
            }
        } else if kind == "hdmi" {
            // Names the connector that the settings below are for.
        } else {
            let kind = if kind.starts_with("0x") {
                "serial"
            } else {
                kind
            };
            self.unknown.retain(|known| !same_kind(known, kind));
            self.unknown.insert(format!("[{word}]"));
        }
    }

    fn counts(&self) -> Counts {
        let other_board = self.board_type == Some(Counts::Never);
        if self.other_model || other_board || !self.never.is_empty() {
            Counts::Never
        } else if self.unknown.is_empty() {
            Counts::Always
        } else {
            Counts::Sometimes
        }
    }
}

/// Whether a filter that was kept, in brackets, is of this kind.
fn same_kind(filter: &str, kind: &str) -> bool {
    let word = filter.trim_matches(['[', ']']);
    if kind == "serial" {
        word.starts_with("0x")
    } else {
        kind_of(word) == kind
    }
}

/// The name of a filter, in front of its condition.
fn kind_of(word: &str) -> &str {
    let mut parts = word.split(['=', ':', '<', '>', '!', '&']);
    parts.next().unwrap_or_default()
}

/// Whether a condition on the type of the board holds on a model: `=0x14`, `<4`, `&0xf=4`. Some
/// models have several types.
fn board_type(expression: &str, model: PiModel) -> Counts {
    let number = |text: &str| {
        let text = text.trim();
        match text.strip_prefix("0x") {
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None => text.parse().ok(),
        }
    };
    let (mask, rest) = match expression.strip_prefix('&') {
        Some(masked) => {
            let at = masked.find(['=', '<', '>']).unwrap_or(masked.len());
            let (mask, rest) = masked.split_at(at);
            (number(mask), rest)
        }
        None => (Some(u32::MAX), expression),
    };
    let at = rest.chars().next().map_or(0, char::len_utf8);
    let (sign, value) = rest.split_at(at);
    let (Some(mask), Some(value)) = (mask, number(value)) else {
        return Counts::Sometimes;
    };
    let holds = |kind: &u32| match sign {
        "<" => kind & mask < value,
        ">" => kind & mask > value,
        _ => kind & mask == value,
    };
    let types = types(model);
    if types.iter().all(holds) {
        Counts::Always
    } else if types.iter().any(holds) {
        Counts::Sometimes
    } else {
        Counts::Never
    }
}

/// The types of a model's boards, as their revision codes have them.
fn types(model: PiModel) -> &'static [u32] {
    match model {
        PiModel::Pi1 => &[0x00, 0x01, 0x02, 0x03],
        PiModel::Cm1 => &[0x06],
        PiModel::Pi0 => &[0x09],
        PiModel::Pi0W => &[0x0c],
        PiModel::Pi02 => &[0x12],
        PiModel::Pi2 => &[0x04],
        PiModel::Pi3 => &[0x08],
        PiModel::Pi3Plus => &[0x0d, 0x0e],
        PiModel::Cm3 => &[0x0a],
        PiModel::Cm3Plus => &[0x10],
        PiModel::Pi4 => &[0x11],
        PiModel::Pi400 => &[0x13],
        PiModel::Cm4 => &[0x14],
        PiModel::Cm4S => &[0x15],
        PiModel::Pi5 => &[0x17],
        PiModel::Pi500 => &[0x19],
        PiModel::Cm5 => &[0x18, 0x1a],
    }
}

/// Whether a filter is one that the firmware documents.
fn is_known(filter: &str) -> bool {
    let word = filter.trim().to_ascii_lowercase();
    let kind = kind_of(&word);
    let whole = ["all", "none", "tryboot", "hdmi", "board-type"];
    whole.contains(&kind)
        || is_later_model(&word)
        || PiModel::ALL.iter().any(|model| model.name() == word)
        || OF_THE_DEVICE.iter().any(|start| kind.starts_with(start))
}

/// Notes about filters that no documentation of the firmware has.
pub(in crate::boot) fn unknown_filters(boot: &Tree) -> Vec<String> {
    let text = text(boot, "config.txt").unwrap_or_default();
    let lines = text.lines().enumerate().filter_map(|(at, line)| {
        let filter = line.trim().strip_prefix('[')?;
        let filter = filter.split(']').next().unwrap_or_default();
        (!is_known(filter)).then(|| {
            format!(
                "config.txt:{}: [{filter}] is not a filter that goldsmith knows: the lines below it \
                 are taken as such that may count",
                at + 1
            )
        })
    });
    lines.collect()
}

/// Whether a section is that of a model which is not in [`PiModel`].
fn is_later_model(word: &str) -> bool {
    let digits = word
        .strip_prefix("pi")
        .or_else(|| word.strip_prefix("cm"))
        .unwrap_or_default();
    digits.starts_with(|c: char| c.is_ascii_digit()) && digits.len() <= 4
}

/// Whether the section `word` counts on a model: its own, and that of its family.
fn sees(model: PiModel, word: &str) -> bool {
    let family: &[&str] = match model {
        PiModel::Cm1 => &["pi1"],
        PiModel::Pi0W => &["pi0"],
        PiModel::Pi02 => &["pi0w", "pi0"],
        PiModel::Pi3Plus | PiModel::Cm3 => &["pi3"],
        PiModel::Cm3Plus => &["cm3", "pi3+", "pi3"],
        PiModel::Pi400 | PiModel::Cm4 | PiModel::Cm4S => &["pi4"],
        PiModel::Pi500 | PiModel::Cm5 => &["pi5"],
        _ => &[],
    };
    model.name() == word || family.contains(&word)
}

/// The name that a line sets.
pub(in crate::boot) fn name(line: &str) -> &str {
    line.trim_start_matches('\u{feff}')
        .trim_start()
        .split(|c: char| c == '=' || c.is_whitespace())
        .next()
        .unwrap_or_default()
}

/// The text of a file of the boot partition, by its name in any case.
pub(in crate::boot) fn text(boot: &Tree, name: &str) -> Option<String> {
    let bytes = boot
        .read(boot.path_ignore_case(format!("/{name}")), TEXT_LIMIT)
        .ok()
        .flatten()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The settings of `config.txt` that count on `model`, or may count, in their order.
pub(in crate::boot) fn settings(boot: &Tree, model: PiModel) -> Vec<Setting> {
    Reading::of(boot, model, MAX_FILES)
}

/// The same as the loader of the firmware's program reads them, which follows no `include`.
pub(in crate::boot) fn settings_of_loader(boot: &Tree, model: PiModel) -> Vec<Setting> {
    Reading::of(boot, model, 1)
}

struct Reading<'t> {
    boot: &'t Tree,
    model: PiModel,
    filters: Filters,
    out: Vec<Setting>,
    files: usize,
    /// The files that are read at most.
    limit: usize,
}

impl<'t> Reading<'t> {
    fn of(boot: &'t Tree, model: PiModel, limit: usize) -> Vec<Setting> {
        let mut reading = Self {
            boot,
            model,
            filters: Filters::default(),
            out: Vec::new(),
            files: 0,
            limit,
        };
        reading.file("config.txt", 0);
        reading.out
    }

    fn file(&mut self, file: &str, depth: usize) {
        self.files += 1;
        if depth > MAX_DEPTH || self.files > self.limit {
            return;
        }
        let Some(text) = text(self.boot, file) else {
            return;
        };
        for (number, line) in text.lines().enumerate() {
            let line: String = line
                .trim_start_matches('\u{feff}')
                .chars()
                .take(LINE)
                .collect();
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(filter) = line.strip_prefix('[') {
                let filter = filter.split(']').next().unwrap_or_default();
                self.filters.set(filter, self.model);
                continue;
            }
            let counts = self.filters.counts();
            if counts == Counts::Never {
                continue;
            }
            let name = name(line);
            let rest = line.get(name.len()..).unwrap_or_default().trim_start();
            if name == "include" {
                let included = rest
                    .split_whitespace()
                    .next()
                    .unwrap_or_default()
                    .to_owned();
                self.file(&included, depth + 1);
                continue;
            }
            let value = rest.strip_prefix('=').unwrap_or(rest);
            let value = value.split('#').next().unwrap_or_default().trim();
            let condition = self.filters.unknown.iter().cloned().collect::<Vec<_>>();
            self.out.push(Setting {
                name: name.to_owned(),
                value: value.to_owned(),
                place: format!("{file}:{}", number + 1),
                condition: (counts == Counts::Sometimes).then(|| condition.concat()),
            });
        }
    }
}

/// A value of a name that is, or may be, the one that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::boot) struct Value {
    pub(in crate::boot) text: String,
    /// The line that sets it; `None` for the default.
    pub(in crate::boot) setting: Option<Setting>,
}

/// The values that `wanted` may have: the one that counts without what only the device knows
/// first, `default` if no line sets it.
pub(in crate::boot) fn values(settings: &[Setting], wanted: &str, default: &str) -> Vec<Value> {
    let all: Vec<&Setting> = settings
        .iter()
        .filter(|setting| setting.name == wanted)
        .collect();
    let sure = all.iter().rposition(|setting| setting.condition.is_none());
    let first = match sure.and_then(|at| all.get(at)) {
        Some(setting) => Value {
            text: setting.value.clone(),
            setting: Some((*setting).clone()),
        },
        None => Value {
            text: default.to_owned(),
            setting: None,
        },
    };
    // Those before the last one that always counts never count.
    let later = all.iter().skip(sure.map_or(0, |at| at + 1));
    let mut out = vec![first];
    for setting in later {
        if out.iter().all(|value| value.text != setting.value) {
            out.push(Value {
                text: setting.value.clone(),
                setting: Some((*setting).clone()),
            });
        }
    }
    out
}

/// What the firmware of one model takes from the boot partition.
#[derive(Clone, Debug)]
pub(in crate::boot) struct Taken {
    pub(in crate::boot) model: PiModel,
    /// The prefix of the names of files, and its origin: empty without one that counts.
    pub(in crate::boot) prefix: Value,
    /// The kernel, with the prefix.
    pub(in crate::boot) kernel: String,
    /// The file with the arguments, with the prefix.
    pub(in crate::boot) cmdline: Value,
    /// Whether the processor runs the kernel in 64-bit mode.
    pub(in crate::boot) wide: bool,
}

/// The names that the device trees of a processor begin with.
pub(in crate::boot) fn tree_prefixes(chip: PiChip) -> &'static [&'static str] {
    match chip {
        PiChip::Bcm2835 => &["bcm2708-", "bcm2835-"],
        PiChip::Bcm2836 => &["bcm2709-", "bcm2710-rpi-2", "bcm2836-", "bcm2837-rpi-2"],
        PiChip::Bcm2837 => &["bcm2710-", "bcm2837-"],
        PiChip::Bcm2711 => &["bcm2711-"],
        PiChip::Bcm2712 => &["bcm2712"],
    }
}

/// The names, in lower case, of the device trees of a processor below a prefix, which may end in a
/// part of a name. Empty files do not count.
pub(in crate::boot) fn trees(boot: &Tree, prefix: &str, chip: PiChip) -> Vec<String> {
    let (dir, start) = prefix.rsplit_once('/').unwrap_or(("", prefix));
    let Some(found) = boot.dir_ignore_case(format!("/{dir}")) else {
        return Vec::new();
    };
    let start = start.to_ascii_lowercase();
    let names = found.lowercase_names().into_iter();
    names
        .filter(|name| {
            let rest = name.strip_prefix(&start).unwrap_or_default();
            let mut prefixes = tree_prefixes(chip).iter();
            let is_tree = rest.ends_with(".dtb") && prefixes.any(|start| rest.starts_with(start));
            is_tree && has_content(boot, &format!("{dir}/{name}"))
        })
        .collect()
}

/// Whether the boot partition has a device tree of the processor below a prefix.
pub(in crate::boot) fn has_tree(boot: &Tree, prefix: &str, chip: PiChip) -> bool {
    !trees(boot, prefix, chip).is_empty()
}

/// Whether the boot partition has a regular file, by its name in any case.
pub(in crate::boot) fn has(boot: &Tree, name: &str) -> bool {
    boot.file(boot.path_ignore_case(format!("/{name}")))
        .is_some()
}

/// Whether the boot partition has a regular file that is not empty, by its name in any case.
pub(in crate::boot) fn has_content(boot: &Tree, name: &str) -> bool {
    let file = boot.file(boot.path_ignore_case(format!("/{name}")));
    file.is_some_and(|content| content.len() > 0)
}

/// All combinations of prefix and arguments that the firmware of `model` may take, the one that
/// counts without what only the device knows first.
pub(in crate::boot) fn taken(boot: &Tree, model: PiModel) -> Vec<Taken> {
    let settings = settings(boot, model);
    let value = |name: &str, default: &str| values(&settings, name, default);
    let upstream = value("upstream_kernel", "0")
        .first()
        .is_some_and(|value| value.text == "1");
    let default_prefix = if upstream { "upstream/" } else { "" };
    let kernel = value("kernel", "").remove(0);
    let wide = value("arm_64bit", "").remove(0).text;
    let tree = value("device_tree", "").remove(0).text;
    let mut out = Vec::new();
    for prefix in value("os_prefix", default_prefix) {
        let name_of = |prefix: &str| {
            let wide = is_wide(boot, prefix, model, &wide);
            let name = if kernel.text.is_empty() {
                default_kernel(boot, prefix, model, wide).to_owned()
            } else {
                kernel.text.clone()
            };
            (format!("{prefix}{name}"), wide)
        };
        let (named, _) = name_of(&prefix.text);
        let tree = if tree.is_empty() {
            has_tree(boot, &prefix.text, model.chip())
        } else {
            has(boot, &format!("{}{tree}", prefix.text))
        };
        // A prefix without a kernel and a device tree does not count.
        let prefix = if has(boot, &named) && tree {
            prefix
        } else {
            Value {
                text: String::new(),
                setting: None,
            }
        };
        let (kernel_file, wide) = name_of(&prefix.text);
        for cmdline in value("cmdline", "cmdline.txt") {
            out.push(Taken {
                model,
                prefix: prefix.clone(),
                kernel: kernel_file.clone(),
                cmdline: Value {
                    text: format!("{}{}", prefix.text, cmdline.text),
                    setting: cmdline.setting,
                },
                wide,
            });
        }
    }
    out
}

/// Whether the processor runs the kernel in 64-bit mode.
fn is_wide(boot: &Tree, prefix: &str, model: PiModel, set: &str) -> bool {
    match model.chip() {
        PiChip::Bcm2835 => false,
        PiChip::Bcm2712 => true,
        // Recent firmware prefers a kernel of 64 bits that exists.
        PiChip::Bcm2711 if set.is_empty() => has(boot, &format!("{prefix}kernel8.img")),
        _ => set
            .trim_start_matches('0')
            .starts_with(|c: char| c.is_ascii_digit()),
    }
}

/// The kernel that the firmware takes if `config.txt` names none.
fn default_kernel(boot: &Tree, prefix: &str, model: PiModel, wide: bool) -> &'static str {
    match model.chip() {
        PiChip::Bcm2712 if has(boot, &format!("{prefix}kernel_2712.img")) => "kernel_2712.img",
        _ if wide => "kernel8.img",
        PiChip::Bcm2835 => "kernel.img",
        PiChip::Bcm2711 => "kernel7l.img",
        _ => "kernel7.img",
    }
}

/// The models to read `config.txt` for: those of the board, or all that run the architecture.
pub(in crate::boot) fn models(of_board: &[PiModel], arch: Architecture) -> Vec<PiModel> {
    if !of_board.is_empty() {
        return of_board.to_vec();
    }
    let fits = |model: &PiModel| match arch {
        Architecture::Arm64 => model.chip() >= PiChip::Bcm2837,
        _ => true,
    };
    PiModel::ALL.into_iter().filter(fits).collect()
}
