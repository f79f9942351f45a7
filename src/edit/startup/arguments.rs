//! Kernel arguments that act by themselves, judged as the boot loader will pass them.

use super::follow::Files;
use super::note::StartupNote;
use super::{Judge, overlay_root};
use crate::edit::Workspace;
use crate::plan::Plan;
use crate::plan::accepted::AcceptedFiles;
use crate::problem::Problem;
use crate::tree::Tree;

/// Judges the arguments that every start of a slot has.
pub(in crate::edit) fn check(work: &mut Workspace<'_>, plan: &Plan, arguments: &str) {
    let (root, boot) = (work.root.tree(), work.boot.tree());
    let mut judge = Judge::new(&plan.accepted, root);
    let files = Files {
        root,
        boot,
        boot_mount: &plan.boot.mount,
    };
    let mut hides_root = false;
    // The last argument of this name decides, and any of them over the settings of the image.
    let decided = arguments.split_whitespace().rev().find_map(|word| {
        let value = word.strip_prefix("overlayroot=")?;
        Some(is_overlay("overlayroot", value))
    });
    for word in arguments.split_whitespace() {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let why = match name {
            "overlayroot" => match overlay_root::narrowed(value) {
                Ok(None) => None,
                Ok(Some(new)) => Some(format!("the overlay would cover the data partition too: overlayroot={new} would not")),
                Err(why) => Some(why),
            },
            "overlayroot_cfgdisk" if value != "disabled" => Some("the overlay of the root filesystem is set up by a file of another disk, which is not known".into()),
            "lockfs" => Some("bilibop-lockfs puts an overlay on every filesystem of /etc/fstab, the data partition too".into()),
            "boot" if matches!(value, "live" | "casper") => Some("it starts a live system, whose root filesystem is an image".into()),
            "root-ro-driver" | "root-ro" | "aufs" => Some("it puts an overlay on the root filesystem by a script of the initial RAM disk, and what else it covers is not known".into()),
            "systemd.volatile" if matches!(value, "yes" | "state" | "1" | "true") => Some("it puts a filesystem in memory on /var, and the update client forgets at each start that it was updating".into()),
            "systemd.run" | "systemd.run_success_action" | "systemd.run_failure_action" => Some("it runs a command at each start, which then restarts or stops the device".into()),
            "boot" => overlay_root::boot_script(root, value),
            "rd.overlay" | "rd.overlayfs" if is_device(value) => Some("it keeps what is written to the root filesystem on a device, where it would cover the files of each update".into()),
            "init" | "rdinit" => init(&files, value),
            _ => hinders(name, value, &plan.boot.mount),
        };
        hides_root |= name != "overlayroot" && is_overlay(name, value);
        if let Some(why) = why {
            argument_problem(&mut judge, &files, word, &why);
        }
    }
    let by_settings = decided.unwrap_or_else(|| overlay_settings(root));
    if by_settings && arguments.split_whitespace().any(|word| word == "ro") {
        argument_note(
            &mut judge,
            "with the kernel argument ro, overlayroot makes its overlay read-only, as on the golden image: mount of Debian 13 cannot make it writable again; take ro out of the golden image if programs must write there",
        );
    }
    if by_settings && !hides_root && !has_script(root, "overlayroot") {
        argument_note(
            &mut judge,
            "overlayroot is set, but the root filesystem has no script of initramfs-tools that reads it (package overlayroot): an initial RAM disk that is made anew covers nothing, and what is written to the root filesystem stays there",
        );
    }
    if hides_root || by_settings {
        argument_note(
            &mut judge,
            "an overlay in memory covers the root filesystem: what is written there is gone at the next start; the data and the boot partition keep what is written",
        );
        old_client(root, &mut judge);
    }
    judge.finish(work);
}

/// A note about the arguments that a kernel starts with.
fn argument_note(judge: &mut Judge, text: &str) {
    let note = StartupNote::of("/proc/cmdline", 0, text.to_owned());
    judge.notes.push(note);
}

/// Why a system with this argument does not mount what the update client needs, or does not start
/// the client.
fn hinders(name: &str, value: &str, boot_mount: &str) -> Option<String> {
    let off = matches!(value, "no" | "0" | "false" | "off");
    let boot = boot_mount
        .trim_matches('/')
        .replace('-', "\\x2d")
        .replace('/', "-");
    let boot = format!("{boot}.mount");
    let needed = [
        "data.mount",
        "local-fs.target",
        "mender-client.service",
        "mender-authd.service",
        "mender-updated.service",
        boot.as_str(),
    ];
    let rescue = ["rescue.target", "emergency.target", "rescue", "emergency"];
    match name {
        "fstab" if off => Some("nothing of /etc/fstab is mounted: neither the data partition, where the update client keeps its state, nor the boot partition with the boot environment".into()),
        "systemd.mask" if needed.contains(&value) => Some(format!("it keeps {value} from starting, which updates need")),
        "systemd.unit" if rescue.contains(&value) => Some(RESCUE.into()),
        "single" | "s" | "S" | "1" | "rescue" | "emergency" | "-b" if value.is_empty() => Some(RESCUE.into()),
        _ => None,
    }
}

/// What a start into a rescue shell means.
const RESCUE: &str =
    "it starts a rescue shell, without the update client: no update would ever be committed";

/// Whether initramfs-tools has a script of this name.
fn has_script(root: &Tree, name: &str) -> bool {
    let tops = ["/usr/share/initramfs-tools", "/etc/initramfs-tools"];
    let dirs = ["scripts", "scripts/init-bottom", "scripts/local-bottom"];
    tops.iter().any(|top| {
        let mut dirs = dirs.iter();
        dirs.any(|dir| root.file(format!("{top}/{dir}/{name}")).is_some())
    })
}

/// Whether an argument puts an overlay on the root filesystem.
fn is_overlay(name: &str, value: &str) -> bool {
    match name {
        "overlayroot" => !matches!(value, "" | "disabled"),
        "boot" => value == "overlay",
        "systemd.volatile" => value == "overlay",
        "rd.overlay" | "rd.overlayfs" | "rd.live.overlay.overlayfs" => value != "0",
        "fsprotect" => true,
        _ => false,
    }
}

/// Whether the settings of `overlayroot` put one there.
fn overlay_settings(root: &Tree) -> bool {
    let mut active = false;
    for path in overlay_root::settings(root) {
        let bytes = root.read(&path, super::TEXT_LIMIT).ok().flatten();
        let text = String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
        for line in text.lines() {
            if let Some(value) = line.trim().strip_prefix("overlayroot=") {
                active = is_overlay("overlayroot", value.trim_matches(['"', '\'']));
            }
        }
    }
    active
}

/// Whether a value names a device.
fn is_device(value: &str) -> bool {
    let marks = ["/dev/", "LABEL=", "UUID=", "PARTLABEL=", "PARTUUID="];
    marks.iter().any(|mark| value.starts_with(mark))
}

/// What an init program of its own does.
fn init(files: &Files<'_>, path: &str) -> Option<String> {
    let found = files.script(path, &[]);
    let finding = found.findings.into_iter().next()?;
    Some(format!(
        "{}:{}: `{}` {}",
        finding.file, finding.line, finding.command, finding.act
    ))
}

/// Adds a problem of an argument, with the file that it is from.
fn argument_problem(judge: &mut Judge, files: &Files<'_>, word: &str, why: &str) {
    let [of_root, of_boot] = overlay_root::argument_files(files.root, files.boot);
    let of_boot = of_boot
        .iter()
        .map(|path| format!("{}{path}", files.boot_mount));
    let origin = of_root.into_iter().chain(of_boot).find_map(|path| {
        let text = files.text(&path)?;
        let line = text.lines().position(|line| line.contains(word))?;
        Some((path, line + 1))
    });
    let why = format!("kernel argument {word}: {why}");
    let advice = "take the argument out of the golden image";
    match origin {
        Some((path, line)) => judge.problem(&path, line, &why, advice),
        None => {
            let path = "/proc/cmdline";
            if !judge.accepted(&[path]) {
                let hint = format!(
                    "take it out of the configuration or the golden image; {}",
                    AcceptedFiles::hint(path)
                );
                judge.problems.push(Problem::new(why).hint(hint));
            }
        }
    }
}

/// A client that finds the running root filesystem by its device does not find it under an overlay.
fn old_client(root: &Tree, judge: &mut Judge) {
    const STATUS: &str = "/var/lib/dpkg/status";
    let bytes = root
        .read(STATUS, 64 << 20)
        .ok()
        .flatten()
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let package = text
        .split("\n\n")
        .find(|package| package.lines().any(|line| line == "Package: mender-update"));
    let version = package.and_then(|package| {
        package
            .lines()
            .find_map(|line| line.strip_prefix("Version: "))
    });
    let Some(version) = version else { return };
    let mut numbers = version
        .split(['.', '-', '+', '~'])
        .map(|number| number.parse::<u32>().unwrap_or(0));
    let version_of = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version_of < (5, 1) && !judge.accepted(&[STATUS]) {
        let message = format!(
            "mender-update {version} finds the running root filesystem by its device, which the overlay of the root filesystem hides: it would refuse every update"
        );
        judge.problems.push(Problem::new(message).hint(format!(
            "install mender-update 5.1 or later, or set overlayroot=disabled; {}",
            AcceptedFiles::hint(STATUS)
        )));
    }
}
