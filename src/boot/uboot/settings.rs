//! The kernel arguments that the image starts with by U-Boot: those of its boot chain, of the
//! settings of `flash-kernel`, of the `cmdline.txt` of a Raspberry Pi. An image that GRUB starts
//! may be meant for a board with U-Boot too: then GRUB's menu has them.

use super::chain::Chain;
use super::pi;
use crate::boot::common::env_block::variables;
use crate::boot::common::grub_menu::{ImageArguments, image_arguments};
use crate::boot::common::shell_words::{shell_variable, split_words};
use crate::boot::common::{SLOT_ENV, TEXT_LIMIT};
use crate::tree::Tree;
use crate::tree::edit::EditError;

/// The arguments that the image starts with, and the file that says so, if there is one.
pub(super) fn arguments(
    root: &Tree,
    boot: &Tree,
    chain: Option<&Chain>,
    pi: Option<&pi::GoldenStart>,
) -> Result<ImageArguments, EditError> {
    if let Some(start) = pi {
        let words = split_words(&start.kept_arguments(boot));
        return Ok((Some(start.cmdline().to_owned()), words));
    }
    if let Some(chain) = chain.filter(|chain| !chain.is_flash_kernel) {
        return Ok((Some(chain.origin.clone()), chain.words.clone()));
    }
    // An image that was converted before.
    let slot = root.read(SLOT_ENV, TEXT_LIMIT)?;
    if let Some(words) = slot.and_then(|block| {
        let variables = variables(&block)?;
        let args = variables.into_iter().find(|(name, _)| name == "args")?.1;
        Some(split_words(&args))
    }) {
        return Ok((Some(SLOT_ENV.into()), words));
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
        return Ok((Some(flash.into()), split_words(&all)));
    }
    image_arguments(root)
}
