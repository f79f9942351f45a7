//! What `cloud-init` does on the first start of an instance, which each first start of a slot is.

use super::effects::Effect;
use super::reader::When;
use super::start::Start;
use super::trace::{Files, Found, Trace};

/// All of it: commands of the configuration, and restarts that it asks for.
pub(super) fn all(files: &Files<'_>) -> Vec<Start> {
    let is_there = |path: &str| files.root.find(path).is_some();
    let installed = is_there("/usr/bin/cloud-init") || is_there("/etc/cloud/cloud.cfg");
    if !installed || is_there("/etc/cloud/cloud-init.disabled") {
        return Vec::new();
    }
    let mut paths = vec!["/etc/cloud/cloud.cfg".to_owned()];
    for dir in [
        "/etc/cloud/cloud.cfg.d",
        "/var/lib/cloud/seed/nocloud",
        "/var/lib/cloud/seed/nocloud-net",
    ] {
        paths.extend(files.entries(dir));
    }
    if let Some((_, mount)) = &files.boot {
        paths.extend(["user-data", "vendor-data"].map(|name| format!("{mount}/{name}")));
    }
    paths.iter().flat_map(|path| of_file(files, path)).collect()
}

fn of_file(files: &Files<'_>, path: &str) -> Vec<Start> {
    let lines = files.raw_lines(path);
    if lines
        .first()
        .is_some_and(|(_, line)| line.starts_with("#!"))
    {
        return vec![files.own(path, files.script(path, &[]))];
    }
    let mut key = String::new();
    let mut out = Vec::new();
    for (at, line) in lines {
        let text = line.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let mut value = text;
        if line.chars().next().is_some_and(char::is_alphanumeric)
            && let Some((name, rest)) = text.split_once(':')
        {
            name.clone_into(&mut key);
            value = rest.trim();
        }
        let restarts = match key.as_str() {
            "power_state" => value.trim_start_matches(['{', ' ']).starts_with("mode"),
            "package_reboot_if_required" | "reboot_if_required" => text.ends_with("true"),
            "runcmd" | "bootcmd" => {
                let command = value.replace(['[', ']', ','], " ");
                let command = command.trim_start_matches(['-', ' ']);
                out.push(files.own(path, files.line(path, at, command)));
                false
            }
            _ => false,
        };
        if restarts {
            let found = Found {
                file: path.to_owned(),
                line: at,
                effect: Effect::Restarts,
                when: When::Always,
                text: text.to_owned(),
            };
            let trace = Trace {
                found: vec![found],
                files: vec![path.to_owned()],
                ..Trace::default()
            };
            out.push(files.own(path, trace));
        }
    }
    // What resizes or writes other files is the golden image's to do once.
    for start in &mut out {
        let found = &mut start.trace.found;
        found.retain(|one| {
            matches!(
                one.effect,
                Effect::Restarts | Effect::Partitions | Effect::Resizes
            )
        });
    }
    out
}
