//! `uEnv.txt`, which a board's own U-Boot reads without a script: that of BeagleBoard.org names the
//! kernel by `uname_r`; others set `bootargs`, or commands in `uenvcmd`.

use super::model::Chain;
use super::sources::{Place, Site, Sources};
use std::collections::BTreeMap;

/// What the file starts.
pub(super) fn follow(sources: &Sources<'_>, place: &Place) -> Chain {
    let mut chain = Chain::new(place.clone(), sources);
    let text = sources.text(place).unwrap_or_default();
    let variables: BTreeMap<String, String> = super::eval::variables(&text).into_iter().collect();
    let value = |name: &str| {
        variables
            .get(name)
            .map(String::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    if !value("uname_r").is_empty() {
        beagle(&mut chain, sources, place.site, &value);
    } else if variables.contains_key("uenvcmd") {
        super::script::evaluated(&mut chain, sources, place.site, "run uenvcmd", variables);
    } else {
        for name in ["bootargs", "optargs", "cmdline", "extraargs"] {
            chain.add_words(&value(name));
        }
        if chain.words.is_empty() {
            let reason = "has neither uname_r nor uenvcmd nor bootargs: how the board's U-Boot \
                          uses it is unknown";
            chain.unfollowed.push((place.clone(), reason.into()));
        }
    }
    chain
}

/// The settings of BeagleBoard.org's images.
fn beagle(chain: &mut Chain, sources: &Sources<'_>, site: Site, value: &dyn Fn(&str) -> String) {
    let version = value("uname_r");
    let kernel = format!("/boot/vmlinuz-{version}");
    chain.kernel = sources.file(Site::Root, &kernel);
    if chain.kernel.is_none() {
        chain.notes.push(format!(
            "{}: names {kernel}, which does not exist",
            chain.origin
        ));
    }
    chain.initrd = sources.file(Site::Root, &format!("/boot/initrd.img-{version}"));
    if !value("console").is_empty() {
        chain.words.push(format!("console={}", value("console")));
    }
    chain.add_words("ro rootfstype=ext4 rootwait");
    for name in ["optargs", "cmdline"] {
        chain.add_words(&value(name));
    }
    let dirs = [
        format!("/boot/dtbs/{version}"),
        format!("/usr/lib/linux-image-{version}"),
    ];
    if !value("dtb").is_empty() {
        let files = dirs.iter().map(|dir| format!("{dir}/{}", value("dtb")));
        chain.tree = files
            .chain([format!("/boot/{}", value("dtb"))])
            .find_map(|path| sources.file(Site::Root, &path));
        chain.tree_name = Some(value("dtb"));
    }
    if value("enable_uboot_overlays") != "1" {
        return;
    }
    let numbered = (0..8).map(|number| format!("uboot_overlay_addr{number}"));
    for name in numbered.chain(["uboot_overlay_pru".into(), "dtb_overlay".into()]) {
        let file = value(&name);
        if file.is_empty() {
            continue;
        }
        let base = file.rsplit('/').next().unwrap_or_default();
        let more = dirs.iter().map(|dir| format!("{dir}/overlays/{base}"));
        let paths = [file.clone(), format!("/lib/firmware/{base}")]
            .into_iter()
            .chain(more);
        let found = paths
            .filter(|path| path.starts_with('/'))
            .find_map(|path| sources.file(Site::Root, &path))
            .or_else(|| sources.file(site, &format!("/overlays/{base}")));
        match found {
            Some(place) => chain.overlays.push(place),
            None => chain.missing_overlay(&file),
        }
    }
    if value("enable_uboot_cape_universal") == "1" {
        chain.notes.push(format!(
            "{}: enable_uboot_cape_universal: the overlays of the universal cape and of capes that \
             the board's own U-Boot detects are not applied any more; name those that the device \
             needs in uboot_overlay_addr0 to uboot_overlay_addr7",
            chain.origin
        ));
    }
}
