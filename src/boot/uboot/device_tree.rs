//! The device tree and the overlays that the golden image starts with, as each slot has them.

use super::chain::Chain;
use super::chain::sources::{Place, Site, Sources};
use super::kernel::Kernel;

/// Where files of the boot partition are copied in the slot.
const COPIES: &str = "/boot/mender-dtb";
/// How deep directories of device trees may nest.
const MAX_DEPTH: usize = 4;

/// Gives the kernel the device tree and the overlays of the chain. What is on the boot partition is
/// copied, so that each slot has its own.
pub(super) fn take(kernel: &mut Kernel, sources: &Sources<'_>, chain: &mut Chain) {
    let named = chain.tree_name.as_ref().and_then(|name| {
        let dir = kernel.tree.as_ref()?;
        sources.file(Site::Root, &format!("{dir}/{name}"))
    });
    // A name counts in the directory of the kernel that starts; a path counts as it is.
    let tree = chain.tree.clone().or(named);
    if let Some(place) = &tree {
        kernel.fdt = kernel.in_slot(sources, place, COPIES);
    } else if let Some(name) = &chain.tree_name {
        chain.missing.push(format!("the device tree {name}"));
    }
    if let Some(dir) = chain.tree_dir.clone() {
        directory(kernel, sources, &dir);
    }
    for place in &chain.overlays {
        let path = kernel.in_slot(sources, place, COPIES);
        kernel.overlays.extend(path);
    }
    if let Some(fdt) = &kernel.fdt {
        kernel
            .notes
            .push(format!("{fdt}: is the device tree, by {}", chain.origin));
    }
    if !kernel.overlays.is_empty() {
        kernel.notes.push(format!(
            "{}: its overlays are applied by the boot script: {}; U-Boot needs `fdt apply` \
             (CONFIG_OF_LIBFDT_OVERLAY) for them and starts without any where one cannot be applied",
            chain.origin,
            kernel.overlays.join(", ")
        ));
    }
}

/// The device trees that nothing in the image names, where the kernel has none: U-Boot's own
/// environment names one of them, by `fdtfile` or `fdt_file`. Those of the boot partition are
/// copied.
pub(super) fn unnamed(kernel: &mut Kernel, sources: &Sources<'_>, chain: Option<&Chain>) {
    let named = chain.is_some_and(|chain| {
        chain.tree.is_some() || chain.tree_name.is_some() || chain.tree_dir.is_some()
    });
    for (site, top) in [(Site::Boot, "/"), (Site::Root, "/boot")] {
        let Some(top) = sources.find(site, top) else {
            continue;
        };
        let (mut trees, mut overlays) = (Vec::new(), Vec::new());
        collect(sources, &top, MAX_DEPTH, ".dtb", &mut trees);
        collect(sources, &top, MAX_DEPTH, ".dtbo", &mut overlays);
        overlays.retain(|place| chain.is_none_or(|chain| !chain.overlays.contains(place)));
        if site == Site::Boot && !overlays.is_empty() && chain.is_none() {
            kernel.notes.push(format!(
                "{}: nothing in the image says whether U-Boot applies it, the new boot script does \
                 not; {} overlays of the boot partition are not applied",
                sources.name(&overlays[0]),
                overlays.len()
            ));
        }
        if trees.is_empty() || named || kernel.fdt.is_some() {
            continue;
        }
        if let Some(own) = kernel.tree.clone() {
            not_among(kernel, sources, &own, &trees);
            continue;
        }
        take_unnamed(kernel, sources, &top, &trees);
    }
}

/// A note about device trees of the boot partition that the kernel's directory has not.
fn not_among(kernel: &mut Kernel, sources: &Sources<'_>, own: &str, trees: &[Place]) {
    let mut known = Vec::new();
    if let Some(dir) = sources.find(Site::Root, own) {
        collect(sources, &dir, MAX_DEPTH, ".dtb", &mut known);
    }
    let name = |place: &Place| place.path.rsplit('/').next().unwrap_or_default().to_owned();
    let has = |place: &Place| known.iter().any(|other| name(other) == name(place));
    let lost: Vec<String> = trees
        .iter()
        .filter(|place| place.site == Site::Boot && !has(place))
        .map(|place| sources.name(place))
        .collect();
    if let Some(first) = lost.first() {
        kernel.notes.push(format!(
            "{first}: {} device trees of the boot partition are not among those of the kernel in \
             {own}, where the new boot script looks for the one that U-Boot names by fdtfile or \
             fdt_file; copy one that the device needs there in the golden image",
            lost.len()
        ));
    }
}

/// Gives the kernel these device trees, which are below `top`.
fn take_unnamed(kernel: &mut Kernel, sources: &Sources<'_>, top: &Place, trees: &[Place]) {
    let in_slot: Vec<String> = trees
        .iter()
        .filter_map(|place| kernel.in_slot(sources, place, COPIES))
        .collect();
    let copied = if top.site == Site::Boot {
        format!("copied to {COPIES} of each slot")
    } else {
        "kept".to_owned()
    };
    if let [only] = in_slot.as_slice() {
        kernel.notes.push(format!(
            "{}: nothing in the image names it; it is the only device tree and starts with the \
             kernel",
            sources.name(&trees[0])
        ));
        kernel.fdt = Some(only.clone());
        return;
    }
    let dir = directory_of(
        &in_slot,
        if top.site == Site::Boot {
            COPIES
        } else {
            "/boot"
        },
    );
    kernel.tree = Some(dir.clone());
    kernel.notes.push(format!(
        "{}: nothing in the image names it; the {} device trees there are {copied}, and the boot \
         script takes the one that U-Boot names by fdtfile or fdt_file in {}",
        sources.name(&trees[0]),
        trees.len(),
        dir
    ));
}

/// The directory that U-Boot's names for these files are relative to: the lowest that has all of
/// them, or, within `base`, a directory `dtb` or `dtbs` above it, where vendors have one each.
fn directory_of(paths: &[String], base: &str) -> String {
    let parent = |path: &str| path.rsplit_once('/').map_or("", |(dir, _)| dir).to_owned();
    let mut dir = paths.first().map(|path| parent(path)).unwrap_or_default();
    let has_all = |dir: &str| {
        paths
            .iter()
            .all(|path| path.starts_with(&format!("{dir}/")))
    };
    while dir.len() > base.len() && !has_all(&dir) {
        dir = parent(&dir);
    }
    let above = parent(&dir);
    let is_trees = |dir: &str| {
        dir.rsplit('/')
            .next()
            .is_some_and(|name| name.starts_with("dtb"))
    };
    if above.len() > base.len() && is_trees(&above) && !is_trees(&dir) {
        return above;
    }
    dir
}

/// The directory of the device trees: that of the chain, where it is for the kernel that starts.
fn directory(kernel: &mut Kernel, sources: &Sources<'_>, dir: &Place) {
    if dir.site == Site::Root {
        let other = kernel
            .version()
            .is_some_and(|version| kernel.tree.is_some() && !dir.path.contains(version));
        if !other && dir.path != "/" {
            kernel.tree = Some(dir.path.clone());
        }
    } else if kernel.tree.is_none() {
        let mut trees = Vec::new();
        collect(sources, dir, MAX_DEPTH, ".dtb", &mut trees);
        for place in &trees {
            kernel.in_slot(sources, place, COPIES);
        }
        if !trees.is_empty() {
            let path = format!("{COPIES}{}", dir.path);
            kernel.tree = Some(path.trim_end_matches('/').to_owned());
            kernel.notes.push(format!(
                "{}: the {} device trees in it are copied to {COPIES} of each slot",
                sources.name(dir),
                trees.len()
            ));
        }
    }
}

/// The files below a directory whose names end in `suffix`.
fn collect(sources: &Sources<'_>, dir: &Place, depth: usize, suffix: &str, out: &mut Vec<Place>) {
    for name in sources.names(dir) {
        let path = format!("{}/{name}", dir.path.trim_end_matches('/'));
        let place = Place {
            site: dir.site,
            path,
        };
        if name.to_lowercase().ends_with(suffix) && sources.content(&place).is_some() {
            out.push(place);
        } else if let Some(depth) = depth.checked_sub(1)
            && sources.is_dir(&place)
        {
            collect(sources, &place, depth, suffix, out);
        }
    }
}
