//! The golden image's own way from U-Boot to the kernel, followed as its loader would: kernel,
//! initial RAM disk, device tree, overlays and arguments.
//!
//! U-Boot looks at each partition, first in `/`, then in `/boot/`: `extlinux/extlinux.conf` comes
//! before `boot.scr`. Boards whose U-Boot has an order of its own read `uEnv.txt` or `boot.ini`.
//! Programs for UEFI come last, and with them the entries that they read.

mod condition;
mod entries;
mod env_file;
mod eval;
mod extlinux;
mod model;
mod script;
pub(super) mod sources;
mod syntax;
mod uenv;
mod unusable;
mod words;

use sources::{Place, Site, Sources};

pub(super) use model::Chain;

/// The kind of file that says how the image starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// `extlinux.conf`
    Menu,
    /// `boot.scr` or `boot.ini`
    Script,
    /// `uEnv.txt`
    Settings,
    /// `loader/entries`
    Entries,
}

/// The chain of the image; `None` when no file shows one. Files that come later are named in
/// the notes.
pub(super) fn of_image(sources: &Sources<'_>) -> Option<Chain> {
    let mut candidates = candidates(sources).into_iter();
    let chain = candidates.find_map(|(kind, place, prefix)| {
        let mut chain = match kind {
            Origin::Menu => extlinux::follow(sources, &place)?,
            Origin::Script => script::follow(sources, &place, prefix)?,
            Origin::Settings => uenv::follow(sources, &place),
            Origin::Entries => entries::follow(sources, &place)?,
        };
        if let Some(path) = chain.tree_dir_path.take() {
            let dir = sources.find(place.site, &path);
            chain.tree_dir = dir.filter(|dir| sources.is_dir(dir));
        }
        Some(chain)
    });
    let mut sites = sources.order().into_iter();
    let chain = chain.or_else(|| sites.find_map(|site| entries::unified(sources, site)));
    let mut chain = chain.or_else(|| unusable::chain(sources))?;
    for (_, place, _) in candidates {
        if !chain.settings.contains(&place) && place != chain.place {
            chain.notes.push(format!(
                "{}: not read for the conversion: U-Boot takes {} first",
                sources.name(&place),
                sources.name(&chain.place)
            ));
        }
    }
    switches(&mut chain, sources);
    Some(chain)
}

/// `hw_intfc.conf`, which some vendors' U-Boot reads besides the menu: overlays by switches.
fn switches(chain: &mut Chain, sources: &Sources<'_>) {
    let paths = ["/hw_intfc.conf", "/boot/hw_intfc.conf"];
    let places = sources.order().into_iter().flat_map(|site| {
        paths
            .iter()
            .filter_map(move |path| sources.file(site, path))
    });
    for place in places.collect::<Vec<_>>() {
        let text = sources.text(&place).unwrap_or_default();
        let on = text
            .lines()
            .map(str::trim)
            .find(|line| line.starts_with("intfc:") && !line.ends_with("=off"));
        if let Some(line) = on {
            let reason = format!(
                "`{}` makes the vendor's U-Boot apply an overlay, which the new boot script \
                 does not",
                line.escape_default()
            );
            chain.unfollowed.push((place, reason));
        }
    }
}

/// The program of barebox on the boot partition, which reads entries as U-Boot does not, and runs
/// no script of U-Boot.
pub(super) fn barebox(sources: &Sources<'_>) -> Option<Place> {
    let names = sources.names(&sources.find(Site::Boot, "/")?).into_iter();
    let mut names = names.filter(|name| name.to_lowercase().contains("barebox"));
    let name = names.find(|name| !name.to_lowercase().ends_with(".txt"))?;
    sources.file(Site::Boot, &format!("/{name}"))
}

/// The files that may say how the image starts, in U-Boot's order, each with the directory of its
/// search.
fn candidates(sources: &Sources<'_>) -> Vec<(Origin, Place, &'static str)> {
    let mut out = Vec::new();
    for site in sources.order() {
        for prefix in ["/", "/boot/"] {
            let files = [
                (Origin::Menu, extlinux::MENU),
                (Origin::Script, "boot.scr.uimg"),
                (Origin::Script, "boot.scr"),
                (Origin::Script, "boot.ini"),
                (Origin::Settings, "uEnv.txt"),
            ];
            for (kind, name) in files {
                if let Some(place) = sources.file(site, &format!("{prefix}{name}")) {
                    out.push((kind, place, prefix));
                }
            }
            let entries = sources.find(site, &format!("{prefix}{}", entries::ENTRIES));
            if let Some(place) = entries.filter(|place| sources.is_dir(place)) {
                out.push((Origin::Entries, place, prefix));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests;
