//! `extlinux.conf`, the boot menu that U-Boot reads by itself: of `u-boot-menu`, or of the vendor.

use crate::boot::common::TEXT_LIMIT;
use crate::tree::Tree;

/// The places of `extlinux.conf`.
const MENUS: [&str; 2] = ["/boot/extlinux/extlinux.conf", "/extlinux/extlinux.conf"];

/// An entry of `extlinux.conf`: its lines.
pub(super) struct MenuEntry(Vec<String>);

impl MenuEntry {
    /// The value of a keyword, which has no case.
    pub(super) fn value(&self, name: &str) -> Option<String> {
        self.0.iter().find_map(|line| {
            let (key, value) = line.split_once(char::is_whitespace)?;
            key.eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        })
    }
}

/// The default entry of the image's menu, and the file that the menu is in.
pub(super) fn default_entry(root: &Tree, boot: &Tree) -> Option<(String, MenuEntry)> {
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
    Some((path, parse_default_entry(&text)?))
}

/// The entry called by `default`, else the first.
fn parse_default_entry(text: &str) -> Option<MenuEntry> {
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
        .map(|(_, lines)| MenuEntry(lines))
}

fn text(tree: &Tree, path: &str) -> Option<String> {
    tree.read(path, TEXT_LIMIT)
        .ok()
        .flatten()
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_entry_is_the_one_named_or_the_first() {
        let menu = "# menu\nTIMEOUT 5\nDEFAULT two\nlabel one\n\tLINUX /vmlinuz-1\n\
                    label two\n  kernel   /vmlinuz-2\n  append a  b\n\ndefault one\n";
        let value = |menu: &str, name: &str| parse_default_entry(menu)?.value(name);
        assert_eq!(value(menu, "kernel").as_deref(), Some("/vmlinuz-2"));
        assert_eq!(value(menu, "append").as_deref(), Some("a  b"));
        assert_eq!(value(menu, "linux"), None);
        for first in [
            menu.replace("DEFAULT two\n", ""),
            menu.replace("two\nlabel", "three\nlabel"),
        ] {
            assert_eq!(value(&first, "linux").as_deref(), Some("/vmlinuz-1"));
        }
        assert!(parse_default_entry("default one\nlinux /x\n").is_none());
    }
}
