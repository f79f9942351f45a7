//! What the image's own ways to start by U-Boot say: `extlinux.conf` of `u-boot-menu`, the settings
//! of `flash-kernel`, and the `cmdline.txt` of a Raspberry Pi. An image that GRUB starts may be
//! meant for a board with U-Boot too: then GRUB's menu says it.

use super::kernel::Kernel;
use super::pi;
use crate::boot::common::TEXT_LIMIT;
use crate::boot::common::grub_menu::image_arguments;
use crate::boot::common::shell_words::{shell_variable, split_words};
use crate::tree::Tree;
use crate::tree::edit::EditError;

/// The places of `extlinux.conf`.
const MENUS: [&str; 2] = ["/boot/extlinux/extlinux.conf", "/extlinux/extlinux.conf"];

/// The arguments that the image starts with, and the file that says so.
pub(super) fn arguments(
    root: &Tree,
    boot: &Tree,
    is_pi: bool,
) -> Result<(String, Vec<String>), EditError> {
    if is_pi {
        return Ok(("cmdline.txt".into(), split_words(&pi::kept_arguments(boot))));
    }
    if let Some((path, entry)) = menu(root, boot) {
        return Ok((
            path,
            split_words(&entry.value("append").unwrap_or_default()),
        ));
    }
    let flash = "/etc/default/flash-kernel";
    if let Some(text) = text(root, flash) {
        let value =
            |name: &str| shell_variable(std::slice::from_ref(&text), name).unwrap_or_default();
        let all = format!(
            "{} {}",
            value("LINUX_KERNEL_CMDLINE"),
            value("LINUX_KERNEL_CMDLINE_DEFAULTS")
        );
        return Ok((flash.into(), split_words(&all)));
    }
    image_arguments(root)
}

/// The kernel that the image's boot menu names.
pub(super) fn menu_kernel(root: &Tree, boot: &Tree) -> Option<Kernel> {
    let (_, entry) = menu(root, boot)?;
    // Paths are those of the filesystem that the menu is on, which may be /boot.
    let there = |path: String| {
        [path.clone(), format!("/boot{path}")]
            .into_iter()
            .find(|path| root.file(path).is_some())
    };
    let path = there(entry.value("linux").or_else(|| entry.value("kernel"))?)?;
    let initrd = entry.value("initrd").and_then(there);
    let tree = entry
        .value("fdtdir")
        .or_else(|| entry.value("devicetreedir"))
        .filter(|path| root.dir(path).is_some());
    let notes = vec![format!(
        "{path}: is the kernel of the image's boot menu; no package keeps it current"
    )];
    Some(Kernel {
        path,
        initrd,
        tree: tree.map(|path| path.trim_end_matches('/').to_owned()),
        notes,
        ..Kernel::default()
    })
}

/// An entry of a boot menu: its lines.
struct Entry(Vec<String>);

impl Entry {
    fn value(&self, name: &str) -> Option<String> {
        self.0.iter().find_map(|line| {
            let (key, value) = line.split_once(char::is_whitespace)?;
            key.eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        })
    }
}

/// The menu and its default entry.
fn menu(root: &Tree, boot: &Tree) -> Option<(String, Entry)> {
    let on_root = MENUS
        .iter()
        .find_map(|path| Some(((*path).to_owned(), text(root, path)?)));
    let on_boot = || {
        let read = |path: &str| {
            boot.read(boot.path_ignore_case(path), TEXT_LIMIT)
                .ok()
                .flatten()
        };
        let found = MENUS.iter().find_map(|path| Some((*path, read(path)?)))?;
        Some((
            format!("{} of the boot partition", found.0),
            String::from_utf8_lossy(&found.1).into_owned(),
        ))
    };
    let (path, text) = on_root.or_else(on_boot)?;
    Some((path, default_entry(&text)?))
}

/// The entry called by `default`, else the first.
fn default_entry(text: &str) -> Option<Entry> {
    let mut default = None;
    let mut entries: Vec<(String, Vec<String>)> = Vec::new();
    for line in text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let (key, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        if key.eq_ignore_ascii_case("label") {
            entries.push((value.trim().to_owned(), Vec::new()));
        } else if key.eq_ignore_ascii_case("default") && entries.is_empty() {
            default = Some(value.trim().to_owned());
        } else if let Some((_, lines)) = entries.last_mut() {
            lines.push(line.to_owned());
        }
    }
    let named = entries
        .iter()
        .position(|(label, _)| Some(label) == default.as_ref())
        .unwrap_or(0);
    entries
        .into_iter()
        .nth(named)
        .map(|(_, lines)| Entry(lines))
}

fn text(tree: &Tree, path: &str) -> Option<String> {
    tree.read(path, TEXT_LIMIT)
        .ok()
        .flatten()
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}
