//! What is known of the way from U-Boot to the kernel.

use super::sources::{Place, Sources};
use crate::boot::common::shell_words::split_words;
use crate::problem::{Problem, accept_entry};

/// How the golden image starts.
#[derive(Clone, Debug)]
pub(in crate::boot::uboot) struct Chain {
    /// The first file of it.
    pub(in crate::boot::uboot) place: Place,
    /// The file that the arguments are from, for people.
    pub(in crate::boot::uboot) origin: String,
    /// The arguments.
    pub(in crate::boot::uboot) words: Vec<String>,
    pub(in crate::boot::uboot) kernel: Option<Place>,
    pub(in crate::boot::uboot) initrd: Option<Place>,
    /// The device tree.
    pub(in crate::boot::uboot) tree: Option<Place>,
    /// Its name as the settings have it, in whatever directory.
    pub(in crate::boot::uboot) tree_name: Option<String>,
    /// The directory in which U-Boot's own name for the board counts.
    pub(in crate::boot::uboot) tree_dir: Option<Place>,
    /// The same as a script has it, before a name that only U-Boot knows.
    pub(in crate::boot::uboot) tree_dir_path: Option<String>,
    pub(in crate::boot::uboot) overlays: Vec<Place>,
    /// Files of settings that were taken.
    pub(in crate::boot::uboot) settings: Vec<Place>,
    /// Files that it names and that do not exist: the image's own U-Boot does not start without
    /// them.
    pub(in crate::boot::uboot) missing: Vec<String>,
    /// Files whose effect cannot be known, and why.
    pub(in crate::boot::uboot) unfollowed: Vec<(Place, String)>,
    /// What makes a file of these work, if U-Boot does not use it as it is.
    pub(in crate::boot::uboot) remedy: Option<String>,
    /// The script is that of `flash-kernel`, which has settings of its own.
    pub(in crate::boot::uboot) is_flash_kernel: bool,
    pub(in crate::boot::uboot) notes: Vec<String>,
}

impl Chain {
    pub(in crate::boot::uboot) fn new(place: Place, sources: &Sources<'_>) -> Self {
        Self {
            origin: sources.name(&place),
            place,
            words: Vec::new(),
            kernel: None,
            initrd: None,
            tree: None,
            tree_name: None,
            tree_dir: None,
            tree_dir_path: None,
            overlays: Vec::new(),
            settings: Vec::new(),
            missing: Vec::new(),
            unfollowed: Vec::new(),
            remedy: None,
            is_flash_kernel: false,
            notes: Vec::new(),
        }
    }

    pub(in crate::boot::uboot) fn add_words(&mut self, text: &str) {
        self.words.extend(split_words(text));
    }

    pub(in crate::boot::uboot) fn missing_overlay(&mut self, name: &str) {
        self.notes.push(format!(
            "{}: the overlay {name} does not exist in the image: left out, as U-Boot does",
            self.origin
        ));
    }

    /// Fails when the arguments are not known, unless `known` says that the user knows, or
    /// `accepts` the file; then it is a note.
    pub(in crate::boot::uboot) fn check(
        &mut self,
        sources: &Sources<'_>,
        known: bool,
        accepts: &dyn Fn(&str) -> bool,
    ) -> Result<(), Problem> {
        let files = std::mem::take(&mut self.unfollowed);
        for (place, reason) in files {
            let path = sources.on_device(&place);
            let message = format!("{}: {reason}", sources.name(&place));
            if known || accepts(&path) || accepts(&place.path) {
                self.notes.push(message);
                continue;
            }
            return Err(Problem::new(format!(
                "{message}; the image's kernel arguments, device tree and overlays are unknown"
            ))
            .hint(format!(
                "{}set root.kernel-args to the arguments that the device needs, or accept that \
                 nothing is taken from the file:{}",
                self.remedy
                    .as_ref()
                    .map_or_else(String::new, |remedy| format!("{remedy}; or ")),
                accept_entry(&path)
            )));
        }
        for name in std::mem::take(&mut self.missing) {
            let path = sources.on_device(&self.place);
            let message = format!("{}: names {name}, which does not exist", self.origin);
            if accepts(&path) || accepts(&self.place.path) {
                self.notes.push(message);
                continue;
            }
            return Err(Problem::new(message).hint(format!(
                "correct it in the golden image, or accept that U-Boot looks for it in vain:{}",
                accept_entry(&path)
            )));
        }
        Ok(())
    }
}
