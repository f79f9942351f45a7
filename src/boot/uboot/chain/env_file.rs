//! The settings that a distribution's own boot script reads from a text file: `armbianEnv.txt` and
//! its kin (`orangepiEnv.txt`, `dietpiEnv.txt`).
//!
//! The script says what becomes of most of them and is followed; what it does in ways that cannot
//! be followed is done here: the arguments of `extraargs`, the device tree of `fdtfile`, the
//! overlays of `overlays` and `user_overlays`.

use super::model::Chain;
use super::sources::{Place, Site, Sources};
use std::collections::BTreeMap;

/// The name of such a file in the text of a script.
pub(super) fn named_in(script: &str) -> Option<&str> {
    let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    script
        .split(|c| !in_name(c))
        .find(|word| word.len() > 7 && word.ends_with("Env.txt"))
}

/// Adds what the settings of `file` say and the followed script does not.
pub(super) fn apply(
    chain: &mut Chain,
    sources: &Sources<'_>,
    file: &Place,
    script: &str,
    followed: bool,
) {
    let text = sources.text(file).unwrap_or_default();
    let variables: BTreeMap<String, String> = super::eval::variables(&text).into_iter().collect();
    let value = |name: &str| variables.get(name).map(String::as_str).unwrap_or_default();
    chain.settings.push(file.clone());
    chain.origin = sources.name(file);
    if !followed {
        let consoles = consoles(script, value("console"), value("consoleargs"));
        if consoles.is_empty() && !value("console").is_empty() {
            chain.notes.push(format!(
                "{}: console={}: the script does not show which devices these are; add them to \
                 root.kernel-args where U-Boot's own console does not suffice",
                chain.origin,
                value("console")
            ));
        }
        chain.words.extend(consoles);
        for (name, argument) in [
            ("verbosity", "loglevel="),
            ("usbstoragequirks", "usb-storage.quirks="),
        ] {
            if !value(name).is_empty() {
                chain.words.push(format!("{argument}{}", value(name)));
            }
        }
        if value("docker_optimizations") == "on" {
            let words = "cgroup_enable=cpuset cgroup_memory=1 cgroup_enable=memory swapaccount=1";
            chain.words.extend(words.split(' ').map(str::to_owned));
        }
    }
    for name in ["extraargs", "extraboardargs"] {
        for word in value(name).split_whitespace() {
            if !chain.words.iter().any(|there| there == word) {
                chain.words.push(word.to_owned());
            }
        }
    }
    tree(chain, sources, file.site, value("fdtfile"));
    let names = value("overlays").split_whitespace();
    for name in names {
        overlay(chain, sources, file.site, value("overlay_prefix"), name);
    }
    for name in value("user_overlays").split_whitespace() {
        let found = below(sources, file.site, &[format!("overlay-user/{name}.dtbo")]);
        add(chain, found, name);
    }
    let parameters: Vec<&str> = variables
        .keys()
        .filter(|name| name.starts_with("param_"))
        .map(String::as_str)
        .collect();
    if !parameters.is_empty() {
        chain.notes.push(format!(
            "{}: {} are parameters that the image's own boot script gives to overlays; they are \
             not applied any more",
            chain.origin,
            parameters.join(", ")
        ));
    }
}

/// The console arguments: those of the settings, else those that the script's text has for the kind
/// of console.
fn consoles(script: &str, kind: &str, given: &str) -> Vec<String> {
    if !given.is_empty() {
        return given.split_whitespace().map(str::to_owned).collect();
    }
    let mut out: Vec<String> = Vec::new();
    for word in script.split([' ', '\t', '\n', '"', '\'', ';']) {
        let Some(device) = word.strip_prefix("console=") else {
            continue;
        };
        let display =
            device.starts_with("tty") && device[3..].starts_with(|c: char| c.is_ascii_digit());
        let wanted = match kind {
            "serial" => !display,
            "display" => display,
            _ => true,
        };
        if wanted && !device.contains('$') && !out.iter().any(|there| there == word) {
            out.push(word.to_owned());
        }
    }
    out
}

/// The places below `/boot` of the root filesystem, or below the root of a boot partition.
fn below(sources: &Sources<'_>, site: Site, paths: &[String]) -> Option<Place> {
    let tops = match site {
        Site::Root => vec![(Site::Root, "/boot/"), (Site::Boot, "/")],
        Site::Boot => vec![
            (Site::Boot, "/"),
            (Site::Boot, "/boot/"),
            (Site::Root, "/boot/"),
        ],
    };
    tops.iter().find_map(|(site, top)| {
        paths
            .iter()
            .find_map(|path| sources.file(*site, &format!("{top}{path}")))
    })
}

fn tree(chain: &mut Chain, sources: &Sources<'_>, site: Site, name: &str) {
    if name.is_empty() || chain.tree.is_some() {
        return;
    }
    chain.tree = below(
        sources,
        site,
        &[format!("dtb/{name}"), format!("dtbs/{name}")],
    );
    chain.tree_name = Some(name.to_owned());
}

fn overlay(chain: &mut Chain, sources: &Sources<'_>, site: Site, prefix: &str, name: &str) {
    let mut dirs = vec!["overlay".to_owned()];
    for top in ["/boot/dtb", "/dtb"] {
        for site in [Site::Root, Site::Boot] {
            if let Some(dir) = sources.find(site, top) {
                let names = sources.names(&dir);
                dirs.extend(names.into_iter().map(|name| format!("{name}/overlay")));
            }
        }
    }
    dirs.sort();
    dirs.dedup();
    let files = [format!("{prefix}-{name}.dtbo"), format!("{name}.dtbo")];
    let paths = dirs
        .iter()
        .flat_map(|dir| files.iter().map(move |file| format!("dtb/{dir}/{file}")));
    let found = below(sources, site, &paths.collect::<Vec<_>>());
    add(chain, found, name);
}

fn add(chain: &mut Chain, found: Option<Place>, name: &str) {
    match found {
        Some(place) if !chain.overlays.contains(&place) => chain.overlays.push(place),
        Some(_) => {}
        None => chain.missing_overlay(name),
    }
}
