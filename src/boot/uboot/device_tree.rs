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
        collect(sources, dir, MAX_DEPTH, &mut trees);
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

/// The device trees below a directory.
fn collect(sources: &Sources<'_>, dir: &Place, depth: usize, out: &mut Vec<Place>) {
    for name in sources.names(dir) {
        let path = format!("{}/{name}", dir.path.trim_end_matches('/'));
        let place = Place {
            site: dir.site,
            path,
        };
        if name.to_lowercase().ends_with(".dtb") && sources.content(&place).is_some() {
            out.push(place);
        } else if let Some(depth) = depth.checked_sub(1)
            && sources.is_dir(&place)
        {
            collect(sources, &place, depth, out);
        }
    }
}
