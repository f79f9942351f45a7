//! `cmdline.txt`: one line, the kernel's arguments.

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

/// The text without the words that are removed, and these. All other words keep their order.
pub(super) fn edit(text: &str) -> (String, Vec<String>) {
    let line = text.lines().next().unwrap_or_default();
    let (gone, kept): (Vec<&str>, Vec<&str>) =
        line.split_whitespace().partition(|word| is_removed(word));
    (
        kept.join(" ") + "\n",
        gone.into_iter().map(str::to_owned).collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_first_start_go() {
        let old = "console=serial0,115200 console=tty1 root=PARTUUID=4e639091-02 rootfstype=ext4 fsck.repair=yes rootwait quiet init=/usr/lib/raspberrypi-sys-mods/firstboot\n";
        let (text, gone) = edit(old);
        assert_eq!(
            text,
            "console=serial0,115200 console=tty1 rootfstype=ext4 fsck.repair=yes rootwait quiet\n"
        );
        assert_eq!(
            gone,
            [
                "root=PARTUUID=4e639091-02",
                "init=/usr/lib/raspberrypi-sys-mods/firstboot"
            ]
        );
        let trixie =
            "root=ROOTDEV rootwait resize cfg80211.ieee80211_regdom=GB ds=nocloud;i=rpi-imager-1";
        assert_eq!(
            edit(trixie).0,
            "rootwait cfg80211.ieee80211_regdom=GB ds=nocloud;i=rpi-imager-1\n"
        );
        let old = "a init=/usr/lib/raspi-config/init_resize.sh sdhci.debug_quirks2=4 systemd.run=/boot/firstrun.sh systemd.run_success_action=reboot systemd.unit=kernel-command-line.target b";
        assert_eq!(edit(old).0, "a b\n");
        assert_eq!(
            edit("init=/bin/systemd systemd.unit=rescue.target resize2=1").1,
            Vec::<String>::new()
        );
    }
}
