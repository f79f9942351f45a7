//! `cmdline.txt`: the first line has the kernel's arguments.

/// Whether a word is removed: the root, and words that resize, restart or run something on the
/// first start.
fn is_removed(word: &str) -> bool {
    let (name, value) = word.split_once('=').unwrap_or((word, ""));
    match name {
        "root" | "resize" | "mender.slot" => true,
        "init" => value.ends_with("/init_resize.sh") || value.ends_with("/firstboot"),
        // Set for the time of the resizing.
        "sdhci.debug_quirks2" => value == "4",
        // How an imager has its script run, which then restarts.
        "systemd.run" | "systemd.run_success_action" | "systemd.run_failure_action" => true,
        "systemd.unit" => value == "kernel-command-line.target",
        _ => false,
    }
}

/// The file as it is edited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::boot) struct Edited {
    /// Its new text.
    pub(in crate::boot) text: String,
    /// The words that were taken out.
    pub(in crate::boot) gone: Vec<String>,
    /// Changes of its form, for the user.
    pub(in crate::boot) notes: Vec<String>,
}

impl Edited {
    /// The line that the firmware passes on.
    pub(in crate::boot) fn line(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    /// Whether the file has to be written.
    pub(in crate::boot) fn is_changed(&self) -> bool {
        !self.gone.is_empty() || self.notes.iter().any(|note| !note.contains(IGNORED))
    }
}

/// The end of the note about lines that the firmware does not pass on, which stay.
const IGNORED: &str = "the firmware passes on one line";

/// The text without the words that are removed, in all lines. All other words keep their order.
pub(in crate::boot) fn edit(text: &str) -> Edited {
    let mut out = Edited::default();
    let plain = text.trim_start_matches('\u{feff}');
    if plain.len() != text.len() {
        out.notes.push(
            "its byte order mark is removed, which the kernel would take for an argument".into(),
        );
    }
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (number, line) in plain.lines().enumerate() {
        let (gone, kept): (Vec<&str>, Vec<&str>) =
            line.split_whitespace().partition(|word| is_removed(word));
        let is_empty = gone.is_empty() && kept.is_empty();
        out.gone.extend(gone.into_iter().map(str::to_owned));
        if !is_empty {
            lines.push((number + 1, kept.join(" ")));
        }
    }
    if let Some((number, _)) = lines.first().filter(|(number, _)| *number > 1) {
        out.notes.push(format!(
            "its first line is empty, and the firmware passes on no other: line {number} is the \
             first now"
        ));
    }
    for (number, line) in lines.iter().skip(1).filter(|(_, line)| !line.is_empty()) {
        out.notes
            .push(format!("line {number} does not count ({line}): {IGNORED}"));
    }
    let lines: Vec<String> = lines.into_iter().map(|(_, line)| line).collect();
    out.text = lines.join("\n") + "\n";
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_first_start_go() {
        let old = "console=serial0,115200 console=tty1 root=PARTUUID=4e639091-02 rootfstype=ext4 fsck.repair=yes rootwait quiet init=/usr/lib/raspberrypi-sys-mods/firstboot\n";
        let edited = edit(old);
        assert_eq!(
            edited.text,
            "console=serial0,115200 console=tty1 rootfstype=ext4 fsck.repair=yes rootwait quiet\n"
        );
        assert_eq!(
            edited.gone,
            [
                "root=PARTUUID=4e639091-02",
                "init=/usr/lib/raspberrypi-sys-mods/firstboot"
            ]
        );
        let trixie =
            "root=ROOTDEV rootwait resize cfg80211.ieee80211_regdom=GB ds=nocloud;i=rpi-imager-1";
        assert_eq!(
            edit(trixie).text,
            "rootwait cfg80211.ieee80211_regdom=GB ds=nocloud;i=rpi-imager-1\n"
        );
        let old = "a init=/usr/lib/raspi-config/init_resize.sh sdhci.debug_quirks2=4 systemd.run=/boot/firstrun.sh systemd.run_success_action=reboot systemd.unit=kernel-command-line.target b";
        assert_eq!(edit(old).text, "a b\n");
        let kept = edit("init=/bin/systemd systemd.unit=rescue.target resize2=1");
        assert!(kept.gone.is_empty() && !kept.is_changed());
    }

    #[test]
    fn other_forms_than_one_line_are_said() {
        for (old, text, note) in [
            ("a root=1\r\n\r\n", "a\n", None),
            ("  a\tb root=1 \n\n", "a b\n", None),
            ("\u{feff}root=1 a\n", "a\n", Some("byte order mark")),
            ("\n \na root=1\n", "a\n", Some("line 3 is the first now")),
            (
                "a root=1\n\nb root=2\n",
                "a\nb\n",
                Some("line 3 does not count (b)"),
            ),
            (
                "a root=1\na root=1\n",
                "a\na\n",
                Some("line 2 does not count"),
            ),
            ("", "\n", None),
        ] {
            let edited = edit(old);
            assert_eq!(edited.text, text, "{old:?}");
            assert_eq!(edited.notes.len(), usize::from(note.is_some()), "{old:?}");
            assert!(
                note.is_none_or(|note| edited.notes[0].contains(note)),
                "{:?}",
                edited.notes
            );
        }
        // Lines that do not count need no new file.
        assert!(!edit("a\nb\n").is_changed());
        assert!(edit("\na\n").is_changed());
    }
}
