//! Kernel arguments: those of the image, without those that A/B or the new disk decides.

use super::TEXT_LIMIT;
use super::shell_words::shell_variable;
use crate::problem::Problem;
use crate::tree::Tree;

/// The arguments of the initial kernel.
#[derive(Debug)]
pub(in crate::boot) struct Arguments {
    /// All but `root=`, separated by blanks.
    pub(in crate::boot) text: String,
    /// The arguments among them that the image's own settings do not have.
    pub(in crate::boot) added: Vec<String>,
    /// Notes for the user: arguments that were dropped.
    pub(in crate::boot) notes: Vec<String>,
}

impl Arguments {
    /// The image's own `words` of the file `origin`, without those that A/B or the new disk
    /// decides; then `more`, and the arguments that every device needs.
    ///
    /// # Errors
    /// A [`Problem`] when a word cannot be passed on by the boot script.
    pub(in crate::boot) fn new(
        root: &Tree,
        origin: &str,
        words: Vec<String>,
        more: &str,
    ) -> Result<Self, Problem> {
        let mut notes = Vec::new();
        let mut kept = Vec::new();
        for word in words {
            match word.split('=').next().unwrap_or_default() {
                "root" | "BOOT_IMAGE" | "mender.slot" => {}
                "resume" | "resume_offset" => notes.push(format!(
                    "kernel argument dropped: {word} (swap is not carried over)"
                )),
                _ if word.starts_with('$') => notes.push(format!(
                    "kernel argument dropped: {word} (only the menu knows it)"
                )),
                _ => kept.push(word),
            }
        }
        let mut added: Vec<String> = more.split_whitespace().map(str::to_owned).collect();
        if resumes(root) && !kept.contains(&"noresume".to_owned()) {
            added.insert(0, "noresume".into());
        }
        // A kernel or initramfs that gives up must restart, or a bad update waits for a person
        // instead of going back.
        if !kept
            .iter()
            .chain(&added)
            .any(|word| word.starts_with("panic="))
        {
            added.push("panic=30".into());
        }
        if !kept.iter().any(|word| word == "ro" || word == "rw") {
            kept.insert(0, "ro".into());
        }
        kept.extend(added.clone());
        let bad = kept.iter().find(|word| {
            word.contains(|c: char| c.is_whitespace() || c.is_control() || "'\"$`".contains(c))
        });
        if let Some(word) = bad {
            let hint = "boot scripts cannot pass it on; change the arguments in the golden image";
            return Err(Problem::new(format!(
                "{origin}: kernel argument `{}` has a blank, a quote, a dollar sign or a control character",
                word.escape_default()
            ))
            .hint(hint));
        }
        Ok(Self {
            text: kept.join(" "),
            added,
            notes,
        })
    }
}

/// Whether the initial RAM disk would wait for a swap partition (`initramfs-tools(7)`, RESUME).
fn resumes(root: &Tree) -> bool {
    let text = root
        .read("/etc/initramfs-tools/conf.d/resume", TEXT_LIMIT)
        .ok()
        .flatten()
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let device = shell_variable(&[text], "RESUME").unwrap_or_default();
    !matches!(device.as_str(), "" | "none" | "auto")
}
