//! `extlinux.conf`, the boot menu that U-Boot reads by itself: of `u-boot-menu`, or of the vendor.
//!
//! Keywords have no case; the default entry is that of `DEFAULT` or `MENU DEFAULT`, else the first
//! (`boot/pxe_utils.c` of U-Boot). Paths begin at the filesystem's root, or at the menu's directory
//! without a leading `/`.

use super::model::Chain;
use super::sources::{Place, Sources};
use crate::boot::common::shell_words::split_words;

/// How deep files may include each other.
const MAX_NEST: usize = 16;

/// The places of the menu below `/` and `/boot/`.
pub(super) const MENU: &str = "extlinux/extlinux.conf";

/// An entry: keywords in lower case with their values.
#[derive(Debug, Default)]
struct Entry {
    label: String,
    lines: Vec<(String, String)>,
}

impl Entry {
    fn value(&self, names: &[&str]) -> Option<&str> {
        let line = self
            .lines
            .iter()
            .rfind(|(name, _)| names.contains(&name.as_str()));
        line.map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }
}

#[derive(Debug, Default)]
struct Menu {
    default: Option<String>,
    entries: Vec<Entry>,
    /// Files that it includes, as it names them.
    included: Vec<String>,
}

impl Menu {
    /// Reads `text`; included files are those of `read`.
    fn read(&mut self, text: &str, depth: usize, read: &dyn Fn(&str) -> Option<String>) {
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (key, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let (key, value) = (key.to_ascii_lowercase(), value.trim());
            let mut words = value.splitn(2, char::is_whitespace);
            let (first, rest) = (
                words.next().unwrap_or_default(),
                words.next().unwrap_or_default().trim(),
            );
            match (key.as_str(), first.to_ascii_lowercase().as_str()) {
                ("label", _) => self.entries.push(Entry {
                    label: value.to_owned(),
                    ..Entry::default()
                }),
                ("default" | "ontimeout", _) => self.default = Some(value.to_owned()),
                ("menu", "default") => {
                    self.default = self.entries.last().map(|entry| entry.label.clone());
                }
                ("include", _) => self.include(value, depth, read),
                ("menu", "include") => self.include(rest, depth, read),
                _ => {
                    if let Some(entry) = self.entries.last_mut() {
                        entry.lines.push((key, value.to_owned()));
                    }
                }
            }
        }
    }

    fn include(&mut self, path: &str, depth: usize, read: &dyn Fn(&str) -> Option<String>) {
        self.included.push(path.to_owned());
        if depth < MAX_NEST
            && let Some(text) = read(path)
        {
            self.read(&text, depth.saturating_add(1), read);
        }
    }

    fn chosen(&self) -> Option<&Entry> {
        let named = self
            .entries
            .iter()
            .find(|entry| Some(&entry.label) == self.default.as_ref());
        named.or(self.entries.first())
    }
}

/// What the menu at `place` starts; `None` when it has no entry.
pub(super) fn follow(sources: &Sources<'_>, place: &Place) -> Option<Chain> {
    let dir = place.path.rsplit_once('/').map_or("", |(dir, _)| dir);
    let path = |path: &str| {
        if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("{dir}/{path}")
        }
    };
    let mut menu = Menu::default();
    let read = |name: &str| sources.text(&sources.file(place.site, &path(name))?);
    menu.read(&sources.text(place)?, 0, &read);
    let entry = menu.chosen()?;
    let mut chain = Chain::new(place.clone(), sources);
    for name in &menu.included {
        if read(name).is_none() {
            chain.notes.push(format!(
                "{}: includes {name}, which does not exist",
                chain.origin
            ));
        }
    }
    chain.words = split_words(entry.value(&["append"]).unwrap_or_default());
    let name_of = |names: &[&str]| {
        // A FIT image may name its configuration: `kernel.itb#conf`.
        let name = entry.value(names)?.split('#').next()?;
        Some((name.to_owned(), sources.find(place.site, &path(name))))
    };
    for (names, is_tree) in [
        (["linux", "kernel", "fit"], false),
        (["initrd", "", ""], false),
        (["fdt", "devicetree", ""], true),
        (["fdtdir", "devicetreedir", ""], false),
    ] {
        match name_of(&names) {
            Some((name, None)) if is_tree => chain.missing.push(name),
            Some((name, None)) => chain.notes.push(format!(
                "{}: names {name}, which does not exist",
                chain.origin
            )),
            _ => {}
        }
    }
    let file = |names: &[&str]| name_of(names)?.1;
    chain.kernel = file(&["linux", "kernel", "fit"]);
    chain.initrd = file(&["initrd"]);
    chain.tree = file(&["fdt", "devicetree"]);
    chain.tree_dir = file(&["fdtdir", "devicetreedir"]).filter(|dir| sources.is_dir(dir));
    let overlays = entry
        .value(&["fdtoverlays", "devicetree-overlay", "overlays"])
        .unwrap_or_default();
    for name in overlays
        .split([' ', '\t', ','])
        .filter(|name| !name.is_empty())
    {
        match sources.file(place.site, &path(name)) {
            Some(place) => chain.overlays.push(place),
            None => chain.missing_overlay(name),
        }
    }
    Some(chain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str, name: &str) -> Option<String> {
        let mut menu = Menu::default();
        menu.read(text, 0, &|_| Some("label inc\n kernel /inc\n".into()));
        Some(menu.chosen()?.value(&[name])?.to_owned())
    }

    #[test]
    fn the_default_entry_is_the_one_named_or_the_first() {
        let menu = "# menu\nTIMEOUT 5\nDEFAULT two\nlabel one\n\tLINUX /vmlinuz-1\n\
                    label two\n  kernel   /vmlinuz-2\n  append a  b\n";
        assert_eq!(value(menu, "kernel").as_deref(), Some("/vmlinuz-2"));
        assert_eq!(value(menu, "append").as_deref(), Some("a  b"));
        assert_eq!(value(menu, "linux"), None);
        for first in [
            menu.replace("DEFAULT two\n", ""),
            menu.replace("two\nlabel", "three\nlabel"),
        ] {
            assert_eq!(value(&first, "linux").as_deref(), Some("/vmlinuz-1"));
        }
        let marked = menu.replace("DEFAULT two\n", "") + "  MENU default\n";
        assert_eq!(value(&marked, "kernel").as_deref(), Some("/vmlinuz-2"));
        let included = format!("default inc\ninclude more.conf\n{menu}").replace("DEFAULT two", "");
        assert_eq!(value(&included, "kernel").as_deref(), Some("/inc"));
        assert_eq!(value("default one\nlinux /x\n", "linux"), None);
    }
}
