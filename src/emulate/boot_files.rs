//! The files of the boot partition from which the boot loader takes the kernel's arguments, with
//! more of them: configurations of GRUB, boot scripts and `extlinux.conf` of U-Boot.
//!
//! GRUB makes one argument of what is between double quotes, and puts them around it again. U-Boot
//! passes text on as it is: a script gets the arguments as a variable, whose value is between
//! single quotes, where nothing is special to its shell; `append` of `extlinux.conf` goes to the
//! end of the line.

use crate::boot::uboot::header;
use crate::fs::fat;
use crate::problem::Problem;
use crate::stream::{Content, ReadAt as _};
use crate::tree::{Node, Tree};
use crate::units::SECTOR;
use crate::volume::{Opened, Role, Volume};
use anyhow::{Context as _, Result, bail};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// The largest file that is read (bytes).
const LIMIT: u64 = 1 << 20;

/// The variable of U-Boot that holds the arguments.
const VARIABLE: &str = "goldsmith_shell";

/// A new boot partition whose files start kernels with `arguments` besides their own, and where it
/// begins on the disk (bytes).
///
/// # Errors
/// A [`Problem`] for images without such a file; I/O errors.
pub(super) fn boot_partition(image: &Opened, arguments: &str) -> Result<(u64, Content)> {
    let mut volumes = image.volumes.iter();
    let boot = volumes.find(|one| one.role == Some(Role::Boot));
    let edited = boot.map(|boot| edited(boot, arguments)).transpose()?;
    match (boot, edited.flatten()) {
        (Some(boot), Some(content)) => Ok((boot.start, content)),
        _ => bail!(
            Problem::new(
                "the boot partition has neither a GRUB configuration nor a script of U-Boot that starts a kernel: \
                 the system cannot be driven"
            )
            .hint("give an image that was converted, with GRUB or U-Boot as its boot loader")
        ),
    }
}

/// The filesystem of `boot` with edited files; `None` if none of them starts a kernel.
fn edited(boot: &Volume, arguments: &str) -> Result<Option<Content>> {
    let (mut tree, info) =
        fat::read(boot.content.clone()).with_context(|| format!("reading {boot}"))?;
    let mut paths = Vec::new();
    tree.visit(&mut |path, _| paths.push(path.to_vec()));
    let mut changed = false;
    for path in paths {
        let Some(bytes) = with_arguments(&tree, &path, arguments)? else {
            continue;
        };
        if let Some(Node::Leaf(leaf)) = tree.find_nofollow(&path) {
            let stat = leaf.stat.clone();
            tree.put_file(&path, bytes, stat)?;
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

/// The new content of a file; `None` if it is none from which a boot loader takes arguments.
fn with_arguments(tree: &Tree, path: &[u8], arguments: &str) -> Result<Option<Vec<u8>>> {
    let name = path.to_ascii_lowercase();
    let text = || tree.text(path, LIMIT).map(Option::unwrap_or_default);
    Ok(if name.ends_with(b".cfg") {
        in_grub(&text()?, arguments).map(String::into_bytes)
    } else if name.ends_with(b"/extlinux.conf") {
        in_extlinux(&text()?, arguments).map(String::into_bytes)
    } else if name.ends_with(b".scr") || name.ends_with(b".scr.uimg") {
        let image = tree.read(path, LIMIT)?.unwrap_or_default();
        // U-Boot does not start what it finds damaged either.
        let script = header::unwrap(&image).ok();
        script
            .and_then(|script| in_script(&script, arguments))
            .map(|script| header::wrap(&script))
    } else {
        None
    })
}

/// A configuration of GRUB with `more` at the end of every command that loads a kernel; `None` if
/// there is none.
fn in_grub(text: &str, more: &str) -> Option<String> {
    each_line(text, |command| {
        let words = command.trim_start();
        let words = words.strip_prefix("if ").unwrap_or(words);
        let mut names = ["linux ", "linuxefi "].iter();
        names.find(|name| words.starts_with(**name))?;
        let at = command.rfind("; then").unwrap_or(command.len());
        let (before, after) = command.split_at(at);
        Some(format!("{before} {more}{after}"))
    })
}

/// `extlinux.conf` with `more` at the end of every line of arguments; `None` if there is none.
fn in_extlinux(text: &str, more: &str) -> Option<String> {
    each_line(text, |line| {
        let (word, _) = line.trim_start().split_once([' ', '\t'])?;
        word.eq_ignore_ascii_case("append")
            .then(|| format!("{line} {more}"))
    })
}

/// A script of U-Boot that has `more` in a variable and puts it at the end of all arguments that it
/// sets; `None` if it sets none.
fn in_script(script: &str, more: &str) -> Option<String> {
    let text = each_line(script, |line| {
        let value = line.trim_start().strip_prefix("setenv bootargs ")?;
        let start = line.len() - value.len();
        // In front of the quote that ends the value, or else of the end of the command.
        let end = match value.strip_prefix('"') {
            Some(quoted) => start + 1 + quoted.find('"')?,
            None => value.find(';').map_or(line.len(), |at| start + at),
        };
        let (before, after) = line.split_at(end);
        Some(format!("{before} ${{{VARIABLE}}}{after}"))
    })?;
    Some(format!("setenv {VARIABLE} '{more}'\n{text}"))
}

/// `text` with each line for which `edit` has another one replaced by that; `None` if there is no
/// such line.
fn each_line(text: &str, edit: impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut out = String::with_capacity(text.len() * 2);
    let mut found = false;
    for line in text.split_inclusive('\n') {
        let (command, end) = line.split_at(line.trim_end().len());
        match edit(command) {
            Some(edited) => {
                found = true;
                out.extend([&edited, end]);
            }
            None => out.push_str(line),
        }
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
    fn kernels_of_grub_get_arguments() {
        let text = "  if linux \"$1\" root=$uuid $args; then\n    boot\n  fi\nlinux /vmlinuz ro\r\n# linux\nlinux16 /x\n";
        assert_eq!(
            in_grub(text, "more").unwrap(),
            "  if linux \"$1\" root=$uuid $args more; then\n    boot\n  fi\nlinux /vmlinuz ro more\r\n# linux\nlinux16 /x\n"
        );
        assert_eq!(in_grub("configfile /x\n", "more"), None);
    }

    #[test]
    fn kernels_of_u_boot_get_arguments() {
        let script = "setenv try 'if true; then\n  setenv bootargs \"root=x ${args}\"; echo \"x\"\nfi'\nsetenv bootargs ro quiet; booti\nsetenv bootargs ro\n";
        assert_eq!(
            in_script(script, "\"a b\" c").unwrap(),
            "setenv goldsmith_shell '\"a b\" c'\nsetenv try 'if true; then\n  setenv bootargs \"root=x ${args} ${goldsmith_shell}\"; echo \"x\"\nfi'\n\
             setenv bootargs ro quiet ${goldsmith_shell}; booti\nsetenv bootargs ro ${goldsmith_shell}\n"
        );
        assert_eq!(in_script("setenv bootargs_x y\nboot\n", "x"), None);
        assert_eq!(
            in_extlinux(
                "label l0\n\tlinux /x\n\tappend root=x ro\n# append y\n",
                "more"
            )
            .unwrap(),
            "label l0\n\tlinux /x\n\tappend root=x ro more\n# append y\n"
        );
        assert_eq!(in_extlinux("label l0\n  linux /x\n", "more"), None);
    }
}
