//! The files of the golden image as its boot loader names them: on the root filesystem or on the
//! boot partition.

use super::super::header;
use crate::boot::common::TEXT_LIMIT;
use crate::stream::{Content, ReadAt as _};
use crate::tree::{Node, Tree, show};

/// A filesystem that U-Boot reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::boot::uboot) enum Site {
    /// The root filesystem.
    Root,
    /// The boot partition.
    Boot,
}

/// A file or directory of the golden image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::boot::uboot) struct Place {
    pub(in crate::boot::uboot) site: Site,
    /// Its real path there, with a leading `/`.
    pub(in crate::boot::uboot) path: String,
}

/// Both filesystems.
#[derive(Clone, Copy, Debug)]
pub(in crate::boot::uboot) struct Sources<'t> {
    pub(in crate::boot::uboot) root: &'t Tree,
    pub(in crate::boot::uboot) boot: &'t Tree,
    /// Where the device mounts the boot partition.
    pub(in crate::boot::uboot) mount: &'t str,
    /// The numbers of both partitions in the golden image; the boot partition may be missing.
    pub(in crate::boot::uboot) numbers: [u32; 2],
}

impl Sources<'_> {
    /// The filesystems in the order of their partitions, as U-Boot looks through them.
    pub(super) fn order(&self) -> [Site; 2] {
        let [root, boot] = self.numbers;
        if root < boot {
            [Site::Root, Site::Boot]
        } else {
            [Site::Boot, Site::Root]
        }
    }

    /// The filesystem of a partition that a script names, such as `0:2` or `0`; `None` for one that
    /// only U-Boot knows.
    pub(super) fn site(&self, partition: &str) -> Option<Site> {
        let (_, number) = partition.split_once(':')?;
        let number = u32::from_str_radix(number, 16).ok()?;
        let [root, boot] = self.numbers;
        match number {
            _ if number == root => Some(Site::Root),
            _ if number == boot => Some(Site::Boot),
            _ => None,
        }
    }

    /// What is at `path` of `site`, links followed.
    pub(in crate::boot::uboot) fn find(&self, site: Site, path: &str) -> Option<Place> {
        let path = match site {
            Site::Root => {
                let walk = self.root.walk(path.as_bytes(), true).ok()?;
                walk.exists.then(|| show(&walk.path()))?
            }
            Site::Boot => show(&self.boot.find_ignore_case(path)?.0),
        };
        let path = if path.is_empty() { "/".into() } else { path };
        Some(Place { site, path })
    }

    /// The file at `path` of `site`, links followed.
    pub(in crate::boot::uboot) fn file(&self, site: Site, path: &str) -> Option<Place> {
        self.find(site, path)
            .filter(|place| self.content(place).is_some())
    }

    /// The content of a file.
    pub(in crate::boot::uboot) fn content(&self, place: &Place) -> Option<&Content> {
        self.tree(place.site).file(&place.path)
    }

    fn tree(&self, site: Site) -> &Tree {
        match site {
            Site::Root => self.root,
            Site::Boot => self.boot,
        }
    }

    /// Whether it is a directory.
    pub(in crate::boot::uboot) fn is_dir(&self, place: &Place) -> bool {
        matches!(self.tree(place.site).find(&place.path), Some(Node::Dir(_)))
    }

    /// The names in a directory, in bytewise order.
    pub(in crate::boot::uboot) fn names(&self, place: &Place) -> Vec<String> {
        let dir = self.tree(place.site).dir(&place.path);
        dir.map(|dir| dir.entries.keys().map(|name| show(name)).collect())
            .unwrap_or_default()
    }

    /// The bytes of a short file.
    pub(super) fn bytes(&self, place: &Place) -> Option<Vec<u8>> {
        let content = self.content(place)?;
        let len = content.len().min(TEXT_LIMIT);
        let mut bytes = vec![0; usize::try_from(len).ok()?];
        content.read_exact_at(0, &mut bytes).ok()?;
        Some(bytes)
    }

    /// The text of a short file; a byte order mark and carriage returns are dropped.
    pub(in crate::boot::uboot) fn text(&self, place: &Place) -> Option<String> {
        let text = String::from_utf8_lossy(&self.bytes(place)?).into_owned();
        Some(text.trim_start_matches('\u{feff}').replace('\r', ""))
    }

    /// The path on the device, by which `[[accept]]` names it.
    pub(in crate::boot::uboot) fn on_device(&self, place: &Place) -> String {
        match place.site {
            Site::Root => place.path.clone(),
            Site::Boot => format!("{}{}", self.mount.trim_end_matches('/'), place.path),
        }
    }

    /// The name for messages.
    pub(in crate::boot::uboot) fn name(&self, place: &Place) -> String {
        match place.site {
            Site::Root => place.path.clone(),
            Site::Boot => format!("{} of the boot partition", place.path),
        }
    }
}

/// The text of a script: of a legacy image, or plain.
pub(super) fn script_text(sources: &Sources<'_>, place: &Place) -> Result<String, String> {
    let bytes = sources
        .bytes(place)
        .ok_or_else(|| "cannot be read".to_owned())?;
    if bytes.starts_with(&header::MAGIC.to_be_bytes()) {
        return header::unwrap(&bytes)
            .map_err(|e| format!("is not a script that U-Boot runs: {e}"));
    }
    if bytes.starts_with(b"\xd0\x0d\xfe\xed") {
        return Err("is a FIT image, whose script is not read".into());
    }
    let plain = !place.path.ends_with(".scr") && !place.path.ends_with(".uimg");
    if !plain {
        return Err("is not a script that U-Boot runs: it has no header of mkimage".into());
    }
    Ok(String::from_utf8_lossy(&bytes).replace('\r', ""))
}
