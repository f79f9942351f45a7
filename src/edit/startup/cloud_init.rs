//! `cloud-init`: what its configuration does on the first start of an instance. Each slot has a
//! state of its own, so the first start of each is that of a new instance.

use super::Judge;
use super::acts::Act;
use super::command::Runs;
use super::follow::{Files, Found};
use super::note::StartupNote;
use super::units::{self, Unit};
use crate::golden::fstab::FstabLine;
use crate::tree::edit::EditError;
use crate::tree::editor::TreeEditor;
use crate::tree::{Tree, show};

/// Where it keeps what it did.
const STATE: &str = "/var/lib/cloud";
/// Our settings; they come last.
const PATH: &str = "/etc/cloud/cloud.cfg.d/zz-mender.cfg";
const TEXT: &str = "# The root filesystem has a slot of its own size, with another partition after it.\ngrowpart:\n  mode: 'off'\nresize_rootfs: false\n";

/// Turns the growing of the root filesystem off, and judges the configuration. Directories that are
/// `moved` are on the data partition.
pub(super) fn repair(
    root: &mut TreeEditor<'_>,
    boot: &Tree,
    boot_mount: &str,
    moved: &[&str],
    judge: &mut Judge,
) -> Result<(), EditError> {
    let tree = root.tree();
    let is_installed = ["/usr/bin/cloud-init", "/etc/cloud/cloud.cfg"]
        .iter()
        .any(|path| tree.file(path).is_some());
    if !is_installed || tree.find("/etc/cloud/cloud-init.disabled").is_some() {
        return Ok(());
    }
    let mut texts: Vec<(String, Vec<(usize, String)>)> = Vec::new();
    let mut files = vec!["/etc/cloud/cloud.cfg".to_owned()];
    for dir in [
        "/etc/cloud/cloud.cfg.d",
        "/var/lib/cloud/seed/nocloud",
        "/var/lib/cloud/seed/nocloud-net",
    ] {
        files.extend(super::units::names_in(tree, dir).map(|name| format!("{dir}/{name}")));
    }
    for path in files {
        let lines = judge.lines(tree, &path);
        texts.push((path, lines));
    }
    for name in ["user-data", "vendor-data"] {
        let lines = judge.lines(boot, &format!("/{name}"));
        texts.push((format!("{boot_mount}/{name}"), lines));
    }
    let files = Files {
        root: tree,
        boot,
        boot_mount,
    };
    for (path, lines) in &texts {
        acts(&files, path, lines, judge);
    }
    if root.tree().file(PATH).is_none() {
        root.file(
            PATH,
            TEXT,
            0o644,
            "the root filesystem has the size of its slot",
        )?;
        let note = format!("cloud-init: growing the root partition is turned off by {PATH}");
        judge.notes.push(StartupNote::of(PATH, 0, note));
    }
    let state = state(root.tree(), moved, judge);
    let note = format!("cloud-init: {state}");
    judge.notes.push(StartupNote::of(STATE, 0, note));
    Ok(())
}

/// What the first start of each slot is to cloud-init, which remembers in its state what it did for
/// an instance.
fn state(tree: &Tree, moved: &[&str], judge: &Judge) -> &'static str {
    let used = tree.dir(format!("{STATE}/instances"));
    let used = used.is_some_and(|dir| !dir.entries.is_empty());
    match (is_shared(tree, moved, judge), used) {
        (true, _) => {
            "its state in /var/lib/cloud is on the data partition, which both root filesystems share: what it did for an instance (users, keys, files and commands of user-data, host keys) it does not do again at the first start of an update, though the users and files of that root filesystem are those of the image; bring them in the image, or keep the state on the root filesystem"
        }
        (false, true) => {
            "its state in /var/lib/cloud is that of the device that the golden image was made on: with the same instance ID (as of a seed in the image) nothing of user-data is applied on any device; run `cloud-init clean` on the golden image if each device is an instance of its own"
        }
        (false, false) => {
            "its state in /var/lib/cloud belongs to a root filesystem, so the first start of each update is that of a new instance: users, keys, files and commands of user-data are applied again"
        }
    }
}

/// Whether the state is on the data partition: there is a link, a mount, or a partition that was
/// mounted on it or above it.
fn is_shared(tree: &Tree, moved: &[&str], judge: &Judge) -> bool {
    let above = |dir: &str| {
        let dir = dir.trim_end_matches('/');
        let rest = STATE.strip_prefix(dir);
        !dir.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let link = tree
        .walk(STATE.as_bytes(), true)
        .map(|walk| show(&walk.path()));
    let lines = judge.lines(tree, "/etc/fstab");
    let mounted = lines.iter().any(|(_, line)| {
        FstabLine::parse(line)
            .is_some_and(|line| above(line.dir) && line.spec.starts_with("/data/"))
    });
    let units = units::started(tree).into_iter().any(|name| {
        let unit = Unit::load(tree, &name).filter(|_| name.ends_with(".mount"));
        let value = |key: &str| Some(unit.as_ref()?.last(key)?.value.clone());
        let what = value("What").unwrap_or_default();
        value("Where").is_some_and(|dir| above(&dir)) && what.starts_with("/data/")
    });
    let link = link.is_ok_and(|path| path.starts_with("/data/"));
    link || mounted || units || moved.iter().any(|dir| above(dir))
}

/// Judges the lines of a configuration that restart, or change the disk.
fn acts(files: &Files<'_>, path: &str, lines: &[(usize, String)], judge: &mut Judge) {
    const WHEN: &str = "cloud-init does it on the first start of each slot, so every update would be taken for failed";
    const ADVICE: &str = "take it out of the configuration";
    let is_script = lines
        .first()
        .is_some_and(|(_, line)| line.starts_with("#!"));
    if is_script {
        let text: Vec<&str> = lines.iter().map(|(_, line)| line.as_str()).collect();
        let found = files.commands(&text.join("\n"), path, 1);
        return commands(path, found, judge);
    }
    let mut block = String::new();
    for (at, line) in lines {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let mut rest = trimmed;
        if !line.starts_with([' ', '\t', '-'])
            && let Some((key, value)) = trimmed.split_once(':')
        {
            block = key.trim_matches(['"', '\'']).to_owned();
            rest = value.trim();
        }
        let what = match block.as_str() {
            "power_state" if rest.trim_start_matches(['{', ' ', '"']).starts_with("mode") => {
                Some("restarts the device or switches it off")
            }
            "package_reboot_if_required" | "reboot_if_required" if trimmed.ends_with("true") => {
                Some("restarts the device after an installation")
            }
            "runcmd" | "bootcmd" => {
                let text = rest
                    .trim_start_matches(['-', ' '])
                    .replace(['[', ']', ','], " ");
                commands(path, files.commands(&text, path, *at), judge);
                None
            }
            _ => None,
        };
        if let Some(what) = what {
            judge.problem(path, *at, &format!("`{trimmed}` {what}; {WHEN}"), ADVICE);
        }
    }

    /// Judges what commands do that run at once.
    fn commands(path: &str, found: Found, judge: &mut Judge) {
        for finding in found.findings {
            let matters = matches!(finding.act, Act::Restart | Act::Repartition | Act::Resize);
            if !matters || finding.runs == Runs::Later || finding.runs == Runs::Unknown {
                continue;
            }
            let (command, act) = (&finding.command, finding.act);
            let why = format!("`{command}` {act}; {WHEN}");
            if finding.file == path || !judge.accepted(&[path]) {
                judge.problem(&finding.file, finding.line, &why, ADVICE);
            }
        }
    }
}
