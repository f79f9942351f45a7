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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::Time;
    use crate::tree::Stat;

    fn arguments(resume: &str, words: &str, more: &str) -> Result<Arguments, Problem> {
        let mut root = Tree::new(Stat::root(0o755, Time::default()));
        root.put_file(
            "/etc/initramfs-tools/conf.d/resume",
            resume.to_owned(),
            Stat::root(0o644, Time::default()),
        )
        .unwrap();
        let words = words.split(' ').map(str::to_owned).collect();
        Arguments::new(&root, "menu", words, more)
    }

    #[test]
    fn arguments_that_the_slot_or_the_disk_decides_are_dropped() {
        let words = "BOOT_IMAGE=/vmlinuz root=UUID=1 rw resume=/dev/sda2 resume_offset=1 $more \
                     mender.slot=2 rootwait";
        let found = arguments("", words, "").unwrap();
        assert_eq!(found.text, "rw rootwait panic=30");
        assert_eq!(found.added, ["panic=30"]);
        assert_eq!(
            found.notes,
            [
                "kernel argument dropped: resume=/dev/sda2 (swap is not carried over)",
                "kernel argument dropped: resume_offset=1 (swap is not carried over)",
                "kernel argument dropped: $more (only the menu knows it)",
            ]
        );
    }

    #[test]
    fn each_device_restarts_after_a_panic_and_waits_for_no_swap() {
        let text = |resume, words, more| arguments(resume, words, more).unwrap().text;
        assert_eq!(text("", "quiet", "panic=5"), "ro quiet panic=5");
        assert_eq!(text("", "panic=0", ""), "ro panic=0");
        for none in ["RESUME=none\n", "RESUME=auto\n", "# nothing\n"] {
            assert_eq!(text(none, "a", ""), "ro a panic=30");
        }
        let resume = "RESUME=UUID=2\n";
        assert_eq!(text(resume, "a", "b"), "ro a noresume b panic=30");
        assert_eq!(text(resume, "noresume", ""), "ro noresume panic=30");
    }

    #[test]
    fn arguments_that_a_script_would_change_are_refused() {
        for bad in ["a=\"b\"", "a='b", "a=$b", "a=`b`", "a\tb", "a\u{7}"] {
            let problem = arguments("", &format!("quiet {bad}"), "").unwrap_err();
            let expected = format!("menu: kernel argument `{}` has", bad.escape_default());
            assert!(problem.message.starts_with(&expected), "{problem}");
        }
    }
}
