//! Rules of udev, which run programs for devices.

use super::effects::Effect;
use super::start::Start;
use super::trace::{Files, Found, Trace};
use super::units::Unit;

/// A key of a rule with its operator, and its value.
pub(super) type Part = (String, String);

/// What rules of udev run.
pub(super) fn all(files: &Files<'_>) -> Vec<Start> {
    let mut out = Vec::new();
    each_rule(files, |rule, path, line| {
        out.extend(of_rule(files, rule, path, line));
    });
    out
}

/// Calls `take` with each rule, its file and its first line.
pub(super) fn each_rule(files: &Files<'_>, mut take: impl FnMut(&str, &str, u32)) {
    for dir in [
        "/etc/udev/rules.d",
        "/usr/local/lib/udev/rules.d",
        "/usr/lib/udev/rules.d",
    ] {
        let paths = files.entries(dir).into_iter();
        for path in paths.filter(|path| path.ends_with(".rules")) {
            let mut rule = String::new();
            let mut first = None;
            for (at, line) in files.lines(&path) {
                let first_line = *first.get_or_insert(at);
                let part = line.strip_suffix('\\');
                rule.push_str(part.unwrap_or(&line));
                if part.is_none() {
                    take(&rule, &path, first_line);
                    rule.clear();
                    first = None;
                }
            }
        }
    }
}

fn of_rule(files: &Files<'_>, rule: &str, path: &str, line: u32) -> Vec<Start> {
    let parts = parts(rule);
    let removed = |(key, value): &Part| key == "ACTION==" && value == "remove";
    if parts.iter().any(removed) {
        return Vec::new();
    }
    let ours = path.starts_with("/etc/") && is_for_our_disk(&parts);
    let mut out = Vec::new();
    for (key, value) in parts.iter().filter(|(key, _)| !key.ends_with("==")) {
        let mut traces = Vec::new();
        if key.starts_with("RUN") && !key.starts_with("RUN{builtin}") {
            traces.push(files.line(path, line, value));
        }
        if key.starts_with("ENV{SYSTEMD_WANTS}") {
            let units = value.split_whitespace();
            let units = units.filter_map(|name| Unit::read(files.root, name));
            traces.extend(units.map(|unit| files.service(&unit)));
        }
        for mut trace in traces {
            let changes = |found: &Found| {
                ours && matches!(found.effect, Effect::Partitions | Effect::Resizes)
            };
            let (mine, rest) = std::mem::take(&mut trace.found)
                .into_iter()
                .partition(changes);
            let of_disk = Trace {
                found: mine,
                ..trace.clone()
            };
            out.push(files.own(path, of_disk));
            trace.found = rest;
            out.push(Start {
                event: true,
                ..files.started(path, trace)
            });
        }
    }
    out
}

/// Whether a rule can be for the disk of the system: it is about disks, and nothing in it is for
/// those that are plugged in, or that have other names.
fn is_for_our_disk(parts: &[Part]) -> bool {
    let about = parts.iter().any(|(key, value)| match key.as_str() {
        "SUBSYSTEM==" | "SUBSYSTEMS==" => value == "block",
        "KERNEL==" => names_our_disk(value),
        key => {
            let starts = [
                "ENV{ID_PART_",
                "ENV{ID_FS_",
                "ENV{PARTN",
                "ENV{DEVTYPE}",
                "ATTR{partition}",
            ];
            key.ends_with("==") && starts.iter().any(|start| key.starts_with(start))
        }
    });
    let others = parts.iter().any(|(key, value)| match key.as_str() {
        "KERNEL==" => !names_our_disk(value),
        "SUBSYSTEMS==" | "DRIVERS==" | "ENV{ID_BUS}==" => value.starts_with("usb"),
        "ATTR{removable}==" | "ATTRS{removable}==" => value == "1",
        "ENV{ID_PATH}==" => value.contains("usb"),
        key => key.starts_with("ENV{ID_USB_") && key.ends_with("=="),
    });
    about && !others
}

/// Whether one of several patterns fits the name of a first disk, or of a partition of it.
fn names_our_disk(patterns: &str) -> bool {
    let disks = ["sda", "vda", "hda", "xvda", "mmcblk0", "mmcblk1", "nvme0n1"];
    disks.iter().any(|disk| {
        let p = if disk.ends_with(|c: char| c.is_ascii_digit()) {
            "p"
        } else {
            ""
        };
        let mut names = (1..=15).map(|number| format!("{disk}{p}{number}"));
        patterns
            .split('|')
            .any(|pattern| fits(pattern, disk) || names.any(|name| fits(pattern, &name)))
    })
}

/// Whether a name fits a pattern of `*`, `?` and `[...]`.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    let mut rest = pattern.chars();
    let Some(first) = rest.next() else {
        return name.is_empty();
    };
    let after = name
        .chars()
        .next()
        .map(|c| (c, name.get(c.len_utf8()..).unwrap_or_default()));
    match (first, after) {
        ('*', None) => fits(rest.as_str(), name),
        ('*', Some((_, more))) => fits(rest.as_str(), name) || fits(pattern, more),
        (_, None) => false,
        ('?', Some((_, more))) => fits(rest.as_str(), more),
        ('[', Some((c, more))) => rest.as_str().split_once(']').is_some_and(|(set, rest)| {
            let set: Vec<char> = set.chars().collect();
            let within = set
                .windows(3)
                .any(|w| matches!(w, [a, '-', b] if (a..=b).contains(&&c)));
            (within || set.contains(&c)) && fits(rest, more)
        }),
        (literal, Some((c, more))) => literal == c && fits(rest.as_str(), more),
    }
}

/// The keys of a rule with their operators, and their values.
pub(super) fn parts(rule: &str) -> Vec<Part> {
    let mut out = Vec::new();
    let mut key = String::new();
    let mut chars = rule.chars();
    while let Some(c) = chars.next() {
        if c != '"' {
            key.push(c);
            continue;
        }
        let mut value = String::new();
        while let Some(c) = chars.next().filter(|c| *c != '"') {
            match c {
                '\\' => value.extend(chars.next()),
                _ => value.push(c),
            }
        }
        let name = key.trim_matches([',', ' ', '\t']).replace(' ', "");
        // `e"..."` has escapes.
        out.push((name.trim_end_matches('e').to_owned(), value));
        key.clear();
    }
    out
}
