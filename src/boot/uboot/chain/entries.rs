//! Entries of the Boot Loader Specification (`loader/entries/*.conf`), which systemd-boot, as a
//! program for U-Boot's UEFI, and barebox read.
//!
//! The entry is the one that `default` of `loader.conf` names, or else the newest. Paths begin at
//! the filesystem's root.

use super::model::Chain;
use super::sources::{Place, Site, Sources};
use crate::boot::common::shell_words::split_words;
use crate::boot::common::version::by_version;
use crate::pattern::component_matches;
use std::cmp::Ordering;

/// The directory of the entries, below `/` and `/boot/`.
pub(super) const ENTRIES: &str = "loader/entries";
/// The directory of kernels that are UEFI programs with their arguments in them.
const UNIFIED: &str = "/EFI/Linux";

/// An entry: its file, and its keys in lower case with their values.
struct Entry {
    place: Place,
    name: String,
    lines: Vec<(String, String)>,
}

impl Entry {
    /// All values of a key, in one line.
    fn values(&self, key: &str) -> Vec<&str> {
        let lines = self.lines.iter().filter(|(name, _)| name == key);
        lines.map(|(_, value)| value.as_str()).collect()
    }

    fn value(&self, key: &str) -> &str {
        self.values(key).last().copied().unwrap_or_default()
    }

    /// Newer ones first.
    fn order(&self, other: &Self) -> Ordering {
        let key = |entry: &Self| entry.value("sort-key").to_owned();
        let has_key = |entry: &Self| !entry.value("sort-key").is_empty();
        has_key(other)
            .cmp(&has_key(self))
            .then(key(self).cmp(&key(other)))
            .then_with(|| by_version(other.value("version"), self.value("version")))
            .then_with(|| by_version(&other.name, &self.name))
    }
}

/// The lines of a file as key and value.
fn lines(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (key, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            (key.to_ascii_lowercase(), value.trim().to_owned())
        })
        .collect()
}

/// What the entries in the directory `dir` start; `None` when there is none.
pub(super) fn follow(sources: &Sources<'_>, dir: &Place) -> Option<Chain> {
    let names = sources.names(dir).into_iter();
    let mut entries: Vec<Entry> = names
        .filter(|name| name.ends_with(".conf"))
        .filter_map(|name| {
            let place = sources.file(dir.site, &format!("{}/{name}", dir.path))?;
            let lines = lines(&sources.text(&place)?);
            Some(Entry { place, name, lines })
        })
        .collect();
    entries.sort_by(Entry::order);
    let top = dir.path.rsplit_once('/').map_or("", |(top, _)| top);
    let settings = sources.file(dir.site, &format!("{top}/loader.conf"));
    let wanted = settings.and_then(|place| {
        let lines = lines(&sources.text(&place)?);
        let found = lines.into_iter().rfind(|(key, _)| key == "default");
        found.map(|(_, value)| value)
    });
    let named = |entry: &&Entry| {
        wanted.as_ref().is_some_and(|wanted| {
            let bare = entry.name.trim_end_matches(".conf");
            [entry.name.as_str(), bare]
                .iter()
                .any(|name| component_matches(wanted.as_bytes(), name.as_bytes()))
        })
    };
    let entry = entries.iter().find(named).or(entries.first())?;
    Some(start(sources, entry))
}

fn start(sources: &Sources<'_>, entry: &Entry) -> Chain {
    let mut chain = Chain::new(entry.place.clone(), sources);
    let site = entry.place.site;
    let path = |name: &str| format!("/{}", name.trim_start_matches('/'));
    let file = |name: &str, chain: &mut Chain| {
        if name.is_empty() {
            return None;
        }
        let found = sources.file(site, &path(name));
        if found.is_none() {
            chain.missing.push(name.to_owned());
        }
        found
    };
    chain.words = split_words(&entry.values("options").join(" "));
    chain.kernel = file(entry.value("linux"), &mut chain);
    chain.tree = file(entry.value("devicetree"), &mut chain);
    let initrds = entry.values("initrd");
    chain.initrd = file(initrds.first().copied().unwrap_or_default(), &mut chain);
    if initrds.len() > 1 {
        let reason = format!(
            "names several initial RAM disks ({}), the new boot script loads one",
            initrds.join(", ")
        );
        chain.unfollowed.push((entry.place.clone(), reason));
    }
    for name in entry.value("devicetree-overlay").split_whitespace() {
        match sources.file(site, &path(name)) {
            Some(place) => chain.overlays.push(place),
            None => chain.missing_overlay(name),
        }
    }
    if !entry.value("efi").is_empty() {
        let reason = "starts a UEFI program, whose arguments are not read".to_owned();
        chain.unfollowed.push((entry.place.clone(), reason));
    }
    chain
}

/// The chain of an image that starts a kernel with its arguments in it.
pub(super) fn unified(sources: &Sources<'_>, site: Site) -> Option<Chain> {
    let dir = sources.find(site, UNIFIED)?;
    let names = sources.names(&dir).into_iter();
    let mut names = names.filter(|name| name.to_lowercase().ends_with(".efi"));
    let place = sources.file(site, &format!("{}/{}", dir.path, names.next()?))?;
    let mut chain = Chain::new(place.clone(), sources);
    let reason = "is a unified kernel image, whose arguments are not read".to_owned();
    chain.unfollowed.push((place, reason));
    Some(chain)
}
