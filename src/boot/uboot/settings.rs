//! The kernel arguments that the image starts with by U-Boot: those of `extlinux.conf`, of the
//! settings of `flash-kernel`, of the `cmdline.txt` of a Raspberry Pi. An image that GRUB starts
//! may be meant for a board with U-Boot too: then GRUB's menu has them.

use super::{extlinux, pi};
use crate::boot::common::TEXT_LIMIT;
use crate::boot::common::grub_menu::image_arguments;
use crate::boot::common::shell_words::{shell_variable, split_words};
use crate::tree::Tree;
use crate::tree::edit::EditError;

/// The arguments that the image starts with, and the file that says so.
pub(super) fn arguments(
    root: &Tree,
    boot: &Tree,
    pi: Option<&pi::GoldenStart>,
) -> Result<(String, Vec<String>), EditError> {
    if let Some(start) = pi {
        let words = split_words(&start.kept_arguments(boot));
        return Ok((start.cmdline().to_owned(), words));
    }
    if let Some((path, entry)) = extlinux::default_entry(root, boot) {
        return Ok((
            path,
            split_words(&entry.value("append").unwrap_or_default()),
        ));
    }
    let flash = "/etc/default/flash-kernel";
    if let Ok(Some(bytes)) = root.read(flash, TEXT_LIMIT) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let value =
            |name: &str| shell_variable(std::slice::from_ref(&text), name).unwrap_or_default();
        let all = format!(
            "{} {}",
            value("LINUX_KERNEL_CMDLINE"),
            value("LINUX_KERNEL_CMDLINE_DEFAULTS")
        );
        return Ok((flash.into(), split_words(&all)));
    }
    image_arguments(root)
}
