//! Root filesystems under an overlay in memory: what is written is gone at the next start. That may
//! be so for the root filesystem, but not for the data partition, where the update client notes
//! what it is doing, nor for the boot partition.

use super::Judge;
use super::note::StartupNote;
use crate::golden::fstab::{FstabLine, same_dir};
use crate::tree::edit::EditError;
use crate::tree::editor::TreeEditor;
use crate::tree::{Tree, show};

/// The settings of `overlayroot`, the weaker first.
const SETTINGS: [&str; 2] = ["/etc/overlayroot.conf", "/etc/overlayroot.local.conf"];
/// Settings that are in the initial RAM disk, where they cannot be changed; those above are
/// stronger.
const IN_INITRD: &str = "/etc/initramfs-tools/conf.d/overlayroot";
/// Scripts of the initial RAM disk.
const SCRIPTS: [&str; 2] = [
    "/etc/initramfs-tools/scripts",
    "/usr/share/initramfs-tools/scripts",
];
/// Those of packages, whose settings and arguments are known; and of overlays that only the
/// argument `boot=overlay` turns on.
const KNOWN: [&str; 7] = [
    "overlayroot",
    "overlay",
    "fsprotect",
    "bilibop",
    "live",
    "casper",
    "functions",
];
/// Why values are changed.
const REASON: &str = "an overlay on the data partition would make the update client forget, at each start, that it was updating";

/// The value of `overlayroot=` that covers the root filesystem alone; `None` if it needs no change,
/// an error if changes go to a device.
pub(super) fn narrowed(value: &str) -> Result<Option<String>, String> {
    let (kind, options) = value.split_once(':').unwrap_or((value, ""));
    match kind {
        "" | "disabled" => return Ok(None),
        "tmpfs" => {}
        _ => {
            return Err(format!(
                "overlayroot={value} keeps what is written to the root filesystem on a device, where it would cover the files of each update"
            ));
        }
    }
    let mut list: Vec<&str> = options.split(',').filter(|word| !word.is_empty()).collect();
    if list.contains(&"recurse=0") {
        return Ok(None);
    }
    list.retain(|word| !word.starts_with("recurse="));
    list.push("recurse=0");
    Ok(Some(format!("tmpfs:{}", list.join(","))))
}

/// Replaces each `overlayroot=VALUE` in a text, with the lines that changed and the problems.
pub(super) fn replace(text: &str) -> (String, Vec<usize>, Vec<(usize, String)>) {
    const NAME: &str = "overlayroot=";
    let mut out = String::new();
    let (mut changed, mut problems) = (Vec::new(), Vec::new());
    for (at, line) in text.split_inclusive('\n').enumerate() {
        if line.trim_start().starts_with('#') {
            out.push_str(line);
            continue;
        }
        let mut rest = line;
        while let Some(start) = rest.find(NAME) {
            let is_word =
                !rest[..start].ends_with(|c: char| c.is_alphanumeric() || "_-.".contains(c));
            let (before, after) = rest.split_at(start + NAME.len());
            out.push_str(before);
            let value = after.trim_start_matches(['"', '\'']);
            let quotes = after.len() - value.len();
            out.push_str(&after[..quotes]);
            let end = value
                .find(|c: char| c.is_whitespace() || "\"';\\".contains(c))
                .unwrap_or(value.len());
            match narrowed(&value[..end]) {
                Ok(Some(new)) if is_word => {
                    out.push_str(&new);
                    changed.push(at + 1);
                }
                Err(why) if is_word => {
                    out.push_str(&value[..end]);
                    problems.push((at + 1, why));
                }
                _ => out.push_str(&value[..end]),
            }
            rest = &value[end..];
        }
        out.push_str(rest);
    }
    (out, changed, problems)
}

/// Edits the files of one filesystem that may name an overlay.
pub(super) fn edit(
    editor: &mut TreeEditor<'_>,
    mount: &str,
    files: &[String],
    judge: &mut Judge,
) -> Result<(), EditError> {
    for path in files {
        let bytes = editor.read(path, super::TEXT_LIMIT)?.unwrap_or_default();
        let Ok(text) = String::from_utf8(bytes) else {
            continue;
        };
        let shown = format!("{mount}{path}");
        let (new, changed, problems) = replace(&text);
        let acts = !changed.is_empty() || !problems.is_empty();
        if acts && judge.accepted(&[&shown]) {
            continue;
        }
        for (line, why) in problems {
            judge.problem(
                &shown,
                line,
                &why,
                "take the setting out of the golden image",
            );
        }
        if !changed.is_empty() {
            editor.rewrite(path, new, 0o644, REASON)?;
            let lines: Vec<String> = changed.iter().map(usize::to_string).collect();
            let note = format!(
                "{shown}:{}: recurse=0 is added to overlayroot=tmpfs: {REASON}",
                lines.join(",")
            );
            let first = changed.first().copied().unwrap_or_default();
            judge.notes.push(StartupNote::of(&shown, first, note));
        }
    }
    Ok(())
}

/// The settings files that exist.
pub(super) fn settings(root: &Tree) -> Vec<String> {
    let exist = SETTINGS.iter().filter(|path| root.file(path).is_some());
    exist.map(|path| (*path).to_owned()).collect()
}

/// Judges settings of overlays that are not `overlayroot`'s, and a configuration that is read from
/// a disk.
pub(super) fn others(root: &Tree, judge: &mut Judge) {
    in_initrd(root, judge);
    for path in settings(root) {
        for (at, line) in judge.lines(root, &path) {
            let value = line.trim().strip_prefix("overlayroot_cfgdisk=");
            let value = value.map(|value| value.trim_matches(['"', '\'']));
            if value.is_some_and(|value| !matches!(value, "" | "disabled")) {
                let why = "the overlay of the root filesystem is set up by a file of another disk, which is not known";
                judge.problem(
                    &path,
                    at,
                    why,
                    "set overlayroot_cfgdisk=disabled in the golden image",
                );
            }
        }
    }
    let bilibop = "/etc/bilibop/bilibop.conf";
    for (at, line) in judge.lines(root, bilibop) {
        if line.trim().starts_with("BILIBOP_LOCKFS=") && line.contains("true") {
            let why = "bilibop-lockfs puts an overlay on every filesystem of /etc/fstab, the data partition too";
            judge.problem(bilibop, at, why, "set BILIBOP_LOCKFS=\"false\" in the golden image, or add /data and the mount point of the boot partition to BILIBOP_LOCKFS_WHITELIST and accept it");
        }
    }
    let protect = "/etc/default/fsprotect";
    for (at, line) in judge.lines(root, protect) {
        let covers = line.trim().starts_with("PROTECT=") && {
            let words = line.split(['"', '\'', ' ', '=']);
            let dirs: Vec<&str> = words.filter(|word| word.starts_with('/')).collect();
            dirs.iter()
                .any(|dir| dir.starts_with("/data") || dir.starts_with("/boot"))
        };
        if covers {
            let why = "fsprotect puts an overlay on the data or the boot partition";
            judge.problem(
                protect,
                at,
                why,
                "take it out of PROTECT in the golden image",
            );
        }
    }
}

/// Judges what the initial RAM disk does without an argument.
fn in_initrd(root: &Tree, judge: &mut Judge) {
    let assigned = settings(root).iter().any(|path| {
        let lines = judge.lines(root, path);
        lines
            .iter()
            .any(|(_, line)| line.trim().starts_with("overlayroot="))
    });
    for (at, line) in judge.lines(root, IN_INITRD) {
        let value = line.trim().strip_prefix("overlayroot=");
        let value = value.map(|value| value.trim_matches(['"', '\'']));
        if !assigned && value.is_some_and(|value| narrowed(value) != Ok(None)) {
            let why = "the initial RAM disk has this setting, and the overlay would cover the data partition too";
            let advice = "set overlayroot=\"tmpfs:recurse=0\" in /etc/overlayroot.conf of the golden image, which is stronger";
            judge.problem(IN_INITRD, at, why, advice);
        }
    }
    for dir in SCRIPTS {
        for stage in super::units::names_in(root, dir) {
            for name in super::units::names_in(root, &format!("{dir}/{stage}")) {
                let path = format!("{dir}/{stage}/{name}");
                if KNOWN.iter().any(|known| name.starts_with(known)) {
                    continue;
                }
                if let Some(at) = mounts_overlay(&judge.lines(root, &path)) {
                    judge.problem(&path, at, UNKNOWN, "take the script out of the golden image and make its initial RAM disk anew, or use overlayroot");
                }
            }
        }
    }
}

/// Why a script of the initial RAM disk is a problem.
const UNKNOWN: &str = "it puts an overlay on the root filesystem by a script of the initial RAM disk, and what else it covers is not known";

/// What is wrong with the script that `boot=NAME` runs instead of `local`.
pub(super) fn boot_script(root: &Tree, name: &str) -> Option<String> {
    let known = name.is_empty() || KNOWN.contains(&name);
    let mut paths = SCRIPTS.iter().map(|dir| format!("{dir}/{name}"));
    let covers = |path: String| {
        let bytes = root.read(&path, super::TEXT_LIMIT).ok().flatten()?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let lines: Vec<_> = (1..).zip(text.lines().map(str::to_owned)).collect();
        mounts_overlay(&lines)
    };
    let found = paths.find_map(covers).filter(|_| !known);
    found.map(|_| UNKNOWN.to_owned())
}

/// The line of a script that mounts an overlay.
fn mounts_overlay(lines: &[(usize, String)]) -> Option<usize> {
    let found = lines.iter().find(|(_, line)| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let kind = |word: &&str| {
            let word = word.trim_start_matches("-t").trim_matches(['"', '\'']);
            matches!(word, "overlay" | "overlayfs" | "aufs")
        };
        let mounts = words
            .iter()
            .position(|word| *word == "mount" || word.ends_with("/mount"));
        let comment = line.trim_start().starts_with('#');
        let rest = mounts.and_then(|at| words.get(at..)).unwrap_or_default();
        !comment && rest.iter().any(|word| word.starts_with("-t")) && rest.iter().any(kind)
    });
    found.map(|(at, _)| *at)
}

/// Judges filesystems in memory that `/etc/fstab` mounts over the client's state.
pub(super) fn in_memory(root: &Tree, boot_mount: &str, judge: &mut Judge) {
    const FSTAB: &str = "/etc/fstab";
    for (at, line) in judge.lines(root, FSTAB) {
        let Some(entry) = FstabLine::parse(&line) else {
            continue;
        };
        if let Some(why) = covers(entry.kind, entry.dir, boot_mount) {
            judge.problem(FSTAB, at, &why, "take the line out of the golden image");
        }
    }
    for name in super::units::started(root) {
        let Some(unit) = super::units::Unit::load(root, &name).filter(|_| name.ends_with(".mount"))
        else {
            continue;
        };
        let value = |key: &str| {
            unit.last(key)
                .map(|s| (s.value.clone(), s.file.clone(), s.line))
        };
        let Some((dir, file, line)) = value("Where") else {
            continue;
        };
        let kind = value("Type").map(|(kind, ..)| kind).unwrap_or_default();
        if let Some(why) = covers(&kind, &dir, boot_mount) {
            judge.problem(&file, line, &why, "disable the unit in the golden image");
        }
    }
}

/// The reason why a mount of this type on `dir` would hide the client's state.
fn covers(kind: &str, dir: &str, boot_mount: &str) -> Option<String> {
    let memory = matches!(kind, "tmpfs" | "ramfs");
    let overlay = matches!(kind, "overlay" | "overlayfs" | "aufs");
    // An overlay shows the link /var/lib/mender of the directory below it.
    let state = ["/data", "/data/mender", "/var/lib/mender", boot_mount];
    let around = ["/var", "/var/lib"];
    let is = |dirs: &[&str]| dirs.iter().any(|of| same_dir(of, dir));
    let hides = (memory && is(&around)) || ((memory || overlay) && is(&state));
    hides.then(|| {
        format!("{kind} on {dir} hides what the update client must keep: after an update it would not know that there was one")
    })
}

/// Files of a root filesystem and of a boot partition that may contain kernel arguments.
pub(super) fn argument_files(root: &Tree, boot: &Tree) -> [Vec<String>; 2] {
    let mut of_root: Vec<String> = [
        "/etc/default/grub",
        "/etc/default/flash-kernel",
        "/etc/default/u-boot",
        "/etc/kernel/cmdline",
        "/boot/grub/grub.cfg",
        "/boot/extlinux/extlinux.conf",
        "/boot/armbianEnv.txt",
        "/boot/orangepiEnv.txt",
        "/boot/uEnv.txt",
        "/boot/cmdline.txt",
    ]
    .map(str::to_owned)
    .to_vec();
    for name in super::units::names_in(root, "/etc/default/grub.d") {
        of_root.push(format!("/etc/default/grub.d/{name}"));
    }
    of_root.retain(|path| root.file(path).is_some());
    let mut of_boot = Vec::new();
    boot.visit(&mut |path, entry| {
        let path = show(path);
        let name = path.rsplit('/').next().unwrap_or_default().to_lowercase();
        let named = [".txt", ".conf", ".cfg"]
            .iter()
            .any(|end| name.ends_with(end));
        if entry.as_dir().is_none() && named && boot.file(&path).is_some() {
            of_boot.push(path);
        }
    });
    [of_root, of_boot]
}
