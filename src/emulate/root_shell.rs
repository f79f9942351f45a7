//! A root shell on the second serial port, for systems that let nobody in without a password:
//! arguments of the kernel, added to the boot partition's GRUB configuration in the overlay.
//!
//! Both root filesystems, and what an update writes, stay as they are. systemd-run-generator(8)
//! runs the command of `systemd.run=` as a unit, which starts the shell as one of its own and ends;
//! the target that the generator would start in place of the system's is overridden by
//! `systemd.unit=`, and `systemd.wants=` starts the unit besides. All of them are known to systemd
//! from version 240 on.

use crate::fs::fat;
use crate::platform::Architecture;
use crate::problem::Problem;
use crate::stream::{Content, ReadAt as _};
use crate::tree::{LeafKind, Node, Tree};
use crate::units::SECTOR;
use crate::volume::{Opened, Role, Volume};
use anyhow::{Context as _, Result, bail};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// What the shell says when it waits for a command.
pub(super) const PROMPT: &str = "goldsmith-shell-is-ready";

/// The largest GRUB configuration that is read (bytes).
const LIMIT: u64 = 1 << 20;

/// Programs of systemd that the arguments need.
const NEEDED: [&str; 3] = [
    "lib/systemd/systemd",
    "lib/systemd/system-generators/systemd-run-generator",
    "bin/systemd-run",
];

/// Fails if the shell cannot be had in the system of a root filesystem, called `what` in messages.
///
/// # Errors
/// A [`Problem`].
pub(super) fn check_system(what: &str, root: &Tree) -> Result<(), Problem> {
    let is_missing = |path: &&&str| {
        let dirs = ["/usr/", "/"];
        dirs.iter()
            .all(|dir| root.find(format!("{dir}{path}")).is_none())
    };
    match NEEDED.iter().find(is_missing) {
        None => Ok(()),
        Some(path) => Err(Problem::new(format!(
            "{what} has no /usr/{path}: only a system that systemd starts can be driven"
        ))
        .hint("check its start alone, without --update and without rules for the running system")),
    }
}

/// The unit that systemd starts in this root filesystem: that of `systemd.unit=` on the kernel's
/// command line, or the target of the link `default.target` (systemd.special(7)).
///
/// # Errors
/// I/O errors of the file with the arguments.
pub(super) fn default_unit(root: &Tree) -> Result<String> {
    let arguments = root
        .text("/boot/mender-slot.env", LIMIT)?
        .unwrap_or_default();
    let words = arguments.lines().flat_map(str::split_whitespace);
    let mut named = words.filter_map(|word| {
        let word = word.strip_prefix("args=").unwrap_or(word);
        word.strip_prefix("systemd.unit=")
    });
    if let Some(unit) = named.next_back() {
        return Ok(unit.to_owned());
    }
    let dirs = [
        "/etc/systemd/system",
        "/usr/lib/systemd/system",
        "/lib/systemd/system",
    ];
    let link =
        dirs.iter().find_map(
            |dir| match &root.find_nofollow(format!("{dir}/default.target"))? {
                Node::Leaf(leaf) => match &leaf.kind {
                    LeafKind::Symlink(target) => Some(String::from_utf8_lossy(target).into_owned()),
                    _ => None,
                },
                Node::Dir(_) => None,
            },
        );
    let name = link.as_deref().and_then(|link| link.rsplit('/').next());
    Ok(name.unwrap_or("graphical.target").to_owned())
}

/// The arguments of the kernel, for a system that starts `unit`.
fn arguments(unit: &str) -> String {
    let shell = format!(
        "systemd-run --no-block --unit=goldsmith-shell -p Restart=on-failure -p RestartSec=3 -p SendSIGHUP=yes \
         -p StandardInput=tty -p StandardOutput=tty -p StandardError=tty -p TTYPath=/dev/ttyS1 -E TERM=dumb \
         -E PS1={PROMPT} /bin/sh -i"
    );
    format!(
        " \"systemd.run={shell}\" systemd.run_success_action=none systemd.run_failure_action=none \
         systemd.unit={unit} systemd.wants=kernel-command-line.service"
    )
}

/// A new boot partition whose GRUB configurations start kernels with the shell, and where it
/// begins on the disk (bytes).
///
/// # Errors
/// A [`Problem`] for images without such a configuration and for machines other than PCs; I/O
/// errors.
pub(super) fn boot_partition(
    image: &Opened,
    architecture: Architecture,
    unit: &str,
) -> Result<(u64, Content)> {
    if !matches!(architecture, Architecture::Amd64 | Architecture::I386) {
        let problem = format!(
            "systems are driven on emulated PCs alone, and this one is for {}",
            architecture.name()
        );
        bail!(Problem::new(problem).hint("check its start alone: goldsmith boot --check IMAGE"));
    }
    let mut volumes = image.volumes.iter();
    let boot = volumes.find(|one| one.role == Some(Role::Boot));
    let edited = boot.map(|boot| edited(boot, unit)).transpose()?.flatten();
    match (boot, edited) {
        (Some(boot), Some(content)) => Ok((boot.start, content)),
        _ => bail!(
            Problem::new(
                "the boot partition has no GRUB configuration that starts a kernel: the system cannot be driven"
            )
            .hint("give an image that was converted, with GRUB as its boot loader")
        ),
    }
}

/// The filesystem of `boot` with edited configurations; `None` if it has none.
fn edited(boot: &Volume, unit: &str) -> Result<Option<Content>> {
    let (mut tree, info) =
        fat::read(boot.content.clone()).with_context(|| format!("reading {boot}"))?;
    let mut paths = Vec::new();
    tree.visit(&mut |path, _| {
        if path.to_ascii_lowercase().ends_with(b".cfg") {
            paths.push(path.to_vec());
        }
    });
    let mut changed = false;
    for path in paths {
        let Some(Node::Leaf(leaf)) = tree.find_nofollow(&path) else {
            continue;
        };
        let stat = leaf.stat.clone();
        let text = tree.text(&path, LIMIT)?.unwrap_or_default();
        if let Some(text) = with_arguments(&text, &arguments(unit)) {
            tree.put_file(&path, text, stat)?;
            changed = true;
        }
    }
    if !changed {
        return Ok(None);
    }
    let options = fat::Options {
        volume_id: info.volume_id,
        label: info.label,
        time: crate::stamp::Time::default(),
        kind: fat::RequestedKind::Auto,
        hidden_sectors: u32::try_from(boot.start / SECTOR).unwrap_or(0),
    };
    let content = fat::write(&tree, boot.len, &options);
    Ok(Some(content.context("making the boot partition")?))
}

/// `text` with `more` at the end of every command that loads a kernel; `None` if there is none.
fn with_arguments(text: &str, more: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len() + more.len());
    let mut found = false;
    for line in text.split_inclusive('\n') {
        let (command, end) = line.split_at(line.trim_end().len());
        let words = command.trim_start();
        let words = words.strip_prefix("if ").unwrap_or(words);
        if !["linux ", "linuxefi "]
            .iter()
            .any(|name| words.starts_with(name))
        {
            out.push_str(line);
            continue;
        }
        found = true;
        let at = command.rfind("; then").unwrap_or(command.len());
        let (before, after) = command.split_at(at);
        out.extend([before, more, after, end]);
    }
    found.then_some(out)
}

/// Writes `content` up to its last byte that is not a hole into a new file, and returns how many
/// bytes that are.
///
/// # Errors
/// I/O errors of both.
pub(super) fn save(content: &Content, path: &Path) -> Result<u64> {
    let file = File::create_new(path).with_context(|| format!("creating {}", path.display()))?;
    let len = content.runs().last().map_or(0, |run| run.end());
    let len = crate::units::align_up(len, SECTOR);
    file.set_len(len)?;
    let mut buf = vec![0; 1 << 16];
    for run in content.runs() {
        let mut at = run.offset;
        while at < run.end() {
            let left = usize::try_from(run.end() - at).unwrap_or(buf.len());
            let piece = buf.get_mut(..left.min(1 << 16)).unwrap_or_default();
            content.read_exact_at(at, piece)?;
            file.write_all_at(piece, at)?;
            at += crate::units::len_u64(piece.len());
        }
    }
    Ok(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_get_arguments() {
        let text = "  if linux \"$1\" root=$uuid $args; then\n    boot\n  fi\nlinux /vmlinuz ro\r\n# linux\nlinux16 /x\n";
        assert_eq!(
            with_arguments(text, " more").unwrap(),
            "  if linux \"$1\" root=$uuid $args more; then\n    boot\n  fi\nlinux /vmlinuz ro more\r\n# linux\nlinux16 /x\n"
        );
        assert_eq!(with_arguments("configfile /x\n", " more"), None);
        let all = arguments("multi-user.target");
        // GRUB would take it for a variable; quotes end what they began.
        assert!(!all.contains('$') && all.matches('"').count() == 2, "{all}");
        assert!(all.len() < 600);
    }
}
