//! `config.txt` of a Raspberry Pi: what counts on each model.

use super::super::disk::read;
use super::boot_partition::BootPartition;
use crate::tree::Tree;
use std::collections::BTreeMap;

/// The sections of models, each with those that it counts for besides itself.
const SECTIONS: [(&str, &[&str]); 17] = [
    ("pi0", &["pi0w", "pi02"]),
    ("pi0w", &["pi02"]),
    ("pi02", &[]),
    ("pi1", &["cm1"]),
    ("cm1", &[]),
    ("pi2", &[]),
    ("pi3", &["pi3+", "cm3", "cm3+"]),
    ("pi3+", &["cm3+"]),
    ("cm3", &["cm3+"]),
    ("cm3+", &[]),
    ("pi4", &["pi400", "cm4", "cm4s"]),
    ("pi400", &[]),
    ("cm4", &[]),
    ("cm4s", &[]),
    ("pi5", &["pi500", "cm5"]),
    ("pi500", &[]),
    ("cm5", &[]),
];
/// The files that are followed, each time that one is included.
const MAX_FILES: usize = 100;
/// The possible values of each name on one model: the one that certainly counts, then those that
/// may.
pub(super) type Settings = BTreeMap<String, Vec<String>>;

/// A walk over `config.txt` and what it includes, for one model.
struct Walk<'b> {
    boot: &'b BootPartition<'b>,
    model: &'static str,
    is_other_model: bool,
    is_conditional: bool,
    settings: Settings,
    files: usize,
    follows_includes: bool,
}

impl Walk<'_> {
    fn file(&mut self, name: &str, depth: u32) {
        self.files = self.files.saturating_add(1);
        if depth == 0 || self.files > MAX_FILES {
            return;
        }
        let bytes = self.boot.read(&format!("/{name}")).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        for line in text.trim_start_matches('\u{feff}').lines().map(str::trim) {
            if let Some(section) = line.strip_prefix('[') {
                self.section(section.trim_end_matches(']'));
                continue;
            }
            if self.is_other_model || line.starts_with('#') {
                continue;
            }
            if let Some(file) = line.strip_prefix("include ") {
                if self.follows_includes {
                    self.file(file.trim(), depth.saturating_sub(1));
                }
                continue;
            }
            let (key, value) = line.split_once('=').unwrap_or((line, ""));
            let key = key.trim().to_owned();
            let value = value.trim().to_owned();
            let values = self.settings.entry(key).or_default();
            if !self.is_conditional {
                values.clear();
            } else if values.is_empty() {
                values.push(String::new());
            }
            values.push(value);
        }
    }

    fn section(&mut self, name: &str) {
        let name = name.to_ascii_lowercase();
        if let Some((section, more)) = SECTIONS.iter().find(|(section, _)| *section == name) {
            self.is_other_model = *section != self.model && !more.contains(&self.model);
        } else if name == "all" {
            self.is_other_model = false;
            self.is_conditional = false;
        } else if name == "none" || name == "tryboot" {
            self.is_other_model = true;
        } else if !name.starts_with("hdmi") {
            self.is_conditional = true;
        }
    }
}

/// What the firmware of `model` reads in `config.txt`, and in the files that it includes. The
/// loader of the firmware does not read those.
pub(super) fn settings(
    boot: &BootPartition<'_>,
    model: &'static str,
    follows_includes: bool,
) -> Settings {
    let mut walk = Walk {
        boot,
        model,
        is_other_model: false,
        is_conditional: false,
        settings: Settings::new(),
        files: 0,
        follows_includes,
    };
    walk.file("config.txt", 6);
    walk.settings
}

/// The models that the image is for, as its root filesystem says.
pub(super) fn named_models(root: &Tree) -> Vec<&'static str> {
    let bytes = read(root, "/etc/default/mender-slot").unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("PI_MODELS="));
    let named: Vec<&str> = line
        .unwrap_or_default()
        .split(['"', ' '])
        .filter(|name| !name.is_empty())
        .collect();
    let all = SECTIONS.iter().map(|(model, _)| *model);
    all.filter(|model| named.contains(model)).collect()
}

/// The models that the image is for; all if it does not say which.
pub(super) fn models(root: &Tree) -> Vec<&'static str> {
    let named = named_models(root);
    if named.is_empty() {
        return SECTIONS.iter().map(|(model, _)| *model).collect();
    }
    named
}
