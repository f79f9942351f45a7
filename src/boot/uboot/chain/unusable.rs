//! Files that look like the way from U-Boot to the kernel, but that U-Boot does not use: a menu
//! without an entry, a broken link, the source of a script that nobody made, settings that no
//! script reads.

use super::model::Chain;
use super::sources::{Place, Site, Sources};
use super::{Origin, candidates, extlinux};

/// Names of sources of scripts.
const SOURCES: [&str; 2] = ["boot.cmd", "boot.script"];
/// How the script is made.
const COMMAND: &str = "mkimage -A arm -O linux -T script -C none -d";

/// The first such file, with the reason why it does not count.
pub(super) fn chain(sources: &Sources<'_>) -> Option<Chain> {
    let (place, reason, remedy) = of_menu(sources)
        .or_else(|| broken_link(sources))
        .or_else(|| without_script(sources))?;
    let mut chain = Chain::new(place.clone(), sources);
    chain.unfollowed.push((place, reason));
    chain.remedy = Some(remedy);
    Some(chain)
}

type Unusable = (Place, String, String);

/// A menu that has no entry to start: U-Boot stops at it.
fn of_menu(sources: &Sources<'_>) -> Option<Unusable> {
    let mut found = candidates(sources).into_iter();
    let (_, place, _) = found.find(|(kind, ..)| matches!(kind, Origin::Menu | Origin::Entries))?;
    let reason = "has no entry that starts a kernel".to_owned();
    Some((
        place,
        reason,
        "write the entry in the golden image".to_owned(),
    ))
}

/// A link with the name of a file that U-Boot looks for, to a file that does not exist.
fn broken_link(sources: &Sources<'_>) -> Option<Unusable> {
    let names = [extlinux::MENU, "boot.scr.uimg", "boot.scr", "uEnv.txt"];
    let mut paths = ["/", "/boot/"]
        .into_iter()
        .flat_map(|dir| names.iter().map(move |name| format!("{dir}{name}")));
    let path = paths.find(|path| {
        let root = sources.root;
        root.find_nofollow(path).is_some() && root.find(path).is_none()
    })?;
    let site = Site::Root;
    let reason = "is a link to a file that does not exist".to_owned();
    let remedy = "mend the link in the golden image".to_owned();
    Some((Place { site, path }, reason, remedy))
}

/// The source of a script, or settings for one, without the script.
fn without_script(sources: &Sources<'_>) -> Option<Unusable> {
    let mut settings = None;
    for site in sources.order() {
        for dir in ["/", "/boot/"] {
            let Some(names) = sources.find(site, dir).map(|place| sources.names(&place)) else {
                continue;
            };
            let is = |name: &str, wanted: &str| match site {
                Site::Boot => name.eq_ignore_ascii_case(wanted),
                Site::Root => name == wanted,
            };
            let file = |wanted: &dyn Fn(&str) -> bool| {
                let name = names.iter().find(|name| wanted(name))?;
                sources.file(site, &format!("{dir}{name}"))
            };
            let source = file(&|name| SOURCES.iter().any(|source| is(name, source)));
            if let Some(place) = source {
                let reason = "is the source of a boot script, but there is no boot.scr, which \
                              U-Boot would run"
                    .to_owned();
                let made = format!("{COMMAND} {} boot.scr", base(&place.path));
                let remedy = format!("make boot.scr next to it in the golden image: `{made}`");
                return Some((place, reason, remedy));
            }
            settings = settings.or_else(|| {
                file(&|name| name.len() > 7 && name.to_lowercase().ends_with("env.txt"))
            });
        }
    }
    let place = settings?;
    let reason = "has settings for a boot script, but there is no boot.scr that reads them, so \
                  U-Boot does not use them"
        .to_owned();
    let remedy = format!(
        "put the board's boot.scr next to it in the golden image (from its boot.cmd: `{COMMAND} \
         boot.cmd boot.scr`)"
    );
    Some((place, reason, remedy))
}

/// The name of a file.
fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// How a script that U-Boot does not run is made again: from its source, if the image has it.
pub(super) fn remedy(sources: &Sources<'_>, script: &Place) -> String {
    let dir = script.path.rsplit_once('/').map_or("", |(dir, _)| dir);
    let source = SOURCES
        .iter()
        .find_map(|name| sources.file(script.site, &format!("{dir}/{name}")));
    let from = source.map_or("SOURCE".to_owned(), |place| base(&place.path).to_owned());
    format!(
        "make it again in the golden image: `{COMMAND} {from} {}`",
        base(&script.path)
    )
}
