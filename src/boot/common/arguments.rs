//! Kernel arguments: those of the image, without those that A/B or the new disk decides.

use super::TEXT_LIMIT;
use super::limits::command_line_limit;
use super::shell_words::shell_variable;
use crate::platform::Architecture;
use crate::problem::Problem;
use crate::tree::Tree;

/// The arguments of the initial kernel.
#[derive(Debug)]
pub(in crate::boot) struct Arguments {
    /// The file that the image's own are from; `None`: no file has any that could be read.
    pub(in crate::boot) origin: Option<String>,
    /// Where all of them are from, for people.
    pub(in crate::boot) from: String,
    /// All but `root=`, separated by blanks.
    pub(in crate::boot) text: String,
    /// The arguments among them that the image's own settings do not have.
    pub(in crate::boot) added: Vec<String>,
    /// Notes for the user: arguments that were dropped.
    pub(in crate::boot) notes: Vec<String>,
}

/// What passes the arguments on to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::boot) enum PassedBy {
    /// A boot loader that starts an initial RAM disk, which waits for the disk.
    Menu,
    /// Our script: the kernel itself has to wait for the disk.
    Script,
    /// The firmware of a Raspberry Pi, from a file of its own: only what is added is ours.
    Firmware,
}

impl Arguments {
    /// The image's own `words` of the file `origin`, if there is one, without those that A/B or the
    /// new disk decides; then `more`, and the arguments that every device needs.
    ///
    /// # Errors
    /// A [`Problem`] when a word cannot be passed on by the boot script.
    pub(in crate::boot) fn new(
        root: &Tree,
        origin: Option<&str>,
        words: Vec<String>,
        more: &str,
        by: PassedBy,
    ) -> Result<Self, Problem> {
        let from = from(origin, !words.is_empty(), !more.trim().is_empty());
        let place = origin.unwrap_or("kernel arguments");
        let (mut kept, mut notes) = sort_out(words);
        let mut added: Vec<String> = more.split_whitespace().map(str::to_owned).collect();
        if resumes(root) && !kept.contains(&"noresume".to_owned()) {
            added.insert(0, "noresume".into());
        }
        let has = |name: &str| {
            kept.iter()
                .chain(&added)
                .any(|word| word == name || word.starts_with("rootdelay="))
        };
        if by != PassedBy::Menu && !has("rootwait") {
            notes.push(format!(
                "{place}: has no rootwait; it is added, since the disk may appear after the kernel \
                 looks for it"
            ));
            added.push("rootwait".into());
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
        // With `ro` the script of overlayroot makes its overlay read-only as well, and the programs
        // of Debian 13 cannot make it writable again.
        let mut all = kept.iter().chain(&added);
        let decided = all.any(|word| word == "ro" || word == "rw");
        if by != PassedBy::Firmware && !decided && !covers_root(root, &kept) {
            kept.insert(0, "ro".into());
        }
        kept.extend(added.clone());
        let bad = kept.iter().find(|word| {
            word.contains(|c: char| c.is_whitespace() || c.is_control() || "'\"$`".contains(c))
        });
        if let Some(word) = bad {
            let hint = "boot scripts cannot pass it on; change the arguments in the golden image";
            return Err(Problem::new(format!(
                "{place}: kernel argument `{}` has a blank, a quote, a dollar sign or a control character",
                word.escape_default()
            ))
            .hint(hint));
        }
        Ok(Self {
            origin: origin.map(str::to_owned),
            from,
            text: kept.join(" "),
            added,
            notes,
        })
    }
}

/// Where arguments are from: the file `origin`, if the image has `words` of its own, and the
/// configuration, if it adds `more`.
fn from(origin: Option<&str>, words: bool, more: bool) -> String {
    const MORE: &str = "root.kernel-args";
    match (origin, more) {
        (Some(origin), true) if words => format!("{origin} and {MORE}"),
        (_, true) => MORE.to_owned(),
        (Some(origin), false) => origin.to_owned(),
        (None, false) => "no file of the image".to_owned(),
    }
}

/// The words that a converted system keeps, and notes on the others.
fn sort_out(words: Vec<String>) -> (Vec<String>, Vec<String>) {
    let mut notes = Vec::new();
    let mut kept = Vec::new();
    for word in words {
        match word.split('=').next().unwrap_or_default() {
            "root" | "BOOT_IMAGE" | "mender.slot" => {}
            "panic" if word == "panic=0" => notes.push(
                "kernel argument dropped: panic=0 (a kernel that gives up would wait for a person \
                 instead of going back to the other root filesystem)"
                    .to_owned(),
            ),
            "rootfstype" if !word.split(['=', ',']).any(|kind| kind == "ext4") => {
                notes.push(format!(
                    "kernel argument changed: {word} to rootfstype=ext4, which each root \
                     filesystem is"
                ));
                kept.push("rootfstype=ext4".into());
            }
            "resume" | "resume_offset" => notes.push(format!(
                "kernel argument dropped: {word} (swap is not carried over)"
            )),
            "blkdevparts" => notes.push(format!(
                "kernel argument dropped: {word} (the kernel would read the partitions of the \
                 golden disk from it instead of the new partition table)"
            )),
            name if names_device(name, &word) => notes.push(format!(
                "kernel argument dropped: {word} (it names a device of the golden disk)"
            )),
            _ if word.starts_with('$') => notes.push(format!(
                "kernel argument dropped: {word} (only the menu knows it)"
            )),
            _ => kept.push(word),
        }
    }
    (kept, notes)
}

/// Fails when the kernel would cut the arguments: those in front, of the boot loader and the slot,
/// and `text` from `origin`.
///
/// # Errors
/// A [`Problem`] with both numbers and what would be lost.
pub(in crate::boot) fn check_length(
    origin: &str,
    in_front: &str,
    text: &str,
    arch: Architecture,
) -> Result<(), Problem> {
    let all = format!("{in_front}{text}");
    let limit = command_line_limit(arch);
    if all.len() <= limit {
        return Ok(());
    }
    let lost = String::from_utf8_lossy(all.as_bytes().get(limit..).unwrap_or_default());
    let lost: String = lost.chars().take(60).collect();
    Err(Problem::new(format!(
        "{origin}: the kernel takes {limit} bytes of arguments on {}, these are {} with those that \
         choose the root filesystem; it would cut `{lost}`",
        arch.name(),
        all.len()
    ))
    .hint(format!(
        "shorten the arguments in {origin} of the golden image, or root.kernel-args, by {} bytes",
        all.len() - limit
    )))
}

/// Whether an argument makes the system open or mount a device other than the root filesystem,
/// which is a partition by itself: encrypted and logical volumes, arrays, further mounts.
fn names_device(name: &str, word: &str) -> bool {
    let volumes = [
        "rd.luks.",
        "luks.",
        "rd.lvm.lv",
        "rd.lvm.vg",
        "mount.usrhash",
        "rd.md.uuid",
        "rd.dm.uuid",
        "systemd.verity_root_",
        "systemd.verity_usr_",
        "roothash",
        "usrhash",
    ];
    if volumes.iter().any(|prefix| name.starts_with(prefix)) {
        return word.contains('=') && !name.ends_with(".crypttab");
    }
    let mounts = [
        "cryptdevice",
        "cryptkey",
        "cryptopts",
        "mount.usr",
        "rd.systemd.mount-extra",
        "systemd.mount-extra",
        "systemd.swap-extra",
        "dm-mod.create",
        "md",
    ];
    let device = ["/dev/", "UUID=", "LABEL="];
    mounts.contains(&name) && device.iter().any(|mark| word.contains(mark))
}

/// Whether the initial RAM disk would wait for a swap partition (`initramfs-tools(7)`, RESUME).
fn resumes(root: &Tree) -> bool {
    let resume = text(root, "/etc/initramfs-tools/conf.d/resume");
    let device = shell_variable(&[resume], "RESUME").unwrap_or_default();
    !matches!(device.as_str(), "" | "none" | "auto")
}

/// Whether an overlay covers the root filesystem. Of the arguments of `overlayroot` the last
/// decides, and without any its settings, of which those of later files count more.
fn covers_root(root: &Tree, words: &[String]) -> bool {
    let others = |word: &String| {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        match name {
            "boot" => !matches!(value, "local" | "nfs"),
            "systemd.volatile" => value == "overlay",
            "rd.overlay" | "rd.overlayfs" | "rd.live.overlay.overlayfs" => value != "0",
            "fsprotect" | "aufs" | "lockfs" | "root-ro" | "root-ro-driver" => true,
            _ => false,
        }
    };
    let argument = words.iter().rev();
    let argument = argument
        .filter_map(|word| word.strip_prefix("overlayroot="))
        .next();
    let value = argument.map(str::to_owned).or_else(|| {
        let files = [
            "/etc/initramfs-tools/conf.d/overlayroot",
            "/etc/overlayroot.conf",
            "/etc/overlayroot.local.conf",
        ];
        shell_variable(&files.map(|path| text(root, path)), "overlayroot")
    });
    words.iter().any(others)
        || value.is_some_and(|value| !matches!(value.as_str(), "" | "disabled"))
        || initramfs_covers(root)
}

/// Whether a script of the system's own, which the initial RAM disk runs at each start, is about
/// overlays.
fn initramfs_covers(root: &Tree) -> bool {
    const DIR: &str = "/etc/initramfs-tools/scripts";
    let entries = |dir: &str| {
        let found = root.dir(dir).into_iter();
        let names = found.flat_map(|dir| dir.entries.keys());
        let paths = names.map(|name| format!("{dir}/{}", String::from_utf8_lossy(name)));
        paths.collect::<Vec<_>>()
    };
    let scripts = entries(DIR).into_iter().flat_map(|stage| entries(&stage));
    scripts.into_iter().any(|path| {
        let text = text(root, &path);
        text.contains("overlay") || text.contains("aufs")
    })
}

fn text(root: &Tree, path: &str) -> String {
    let bytes = root.read(path, TEXT_LIMIT).ok().flatten();
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
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
        Arguments::new(&root, Some("menu"), words, more, PassedBy::Menu)
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
    fn arguments_that_name_other_devices_are_dropped() {
        let words = "a blkdevparts=mmcblk0:1M(a),-(b) md=0,/dev/sda1 roothash=1f raid=noautodetect \
                     rd.luks.uuid=1 cryptdevice=UUID=2:x systemd.mount-extra=/dev/sda3:/srv \
                     rd.lvm.lv=vg/swap rd.luks=0 luks.crypttab=0 systemd.mount-extra=tmpfs:/x";
        let found = arguments("", words, "").unwrap();
        assert_eq!(
            found.text,
            "ro a raid=noautodetect rd.luks=0 luks.crypttab=0 systemd.mount-extra=tmpfs:/x panic=30"
        );
        assert_eq!(found.notes.len(), 7, "{:?}", found.notes);
    }

    #[test]
    fn each_device_restarts_after_a_panic_and_waits_for_no_swap() {
        let text = |resume, words, more| arguments(resume, words, more).unwrap().text;
        assert_eq!(text("", "quiet", "panic=5"), "ro quiet panic=5");
        assert_eq!(text("", "panic=0", ""), "ro panic=30");
        for none in ["RESUME=none\n", "RESUME=auto\n", "# nothing\n"] {
            assert_eq!(text(none, "a", ""), "ro a panic=30");
        }
        let resume = "RESUME=UUID=2\n";
        assert_eq!(text(resume, "a", "b"), "ro a noresume b panic=30");
        assert_eq!(text(resume, "noresume", ""), "ro noresume panic=30");
    }

    #[test]
    fn a_kernel_that_waits_for_the_disk_is_told_so() {
        let root = Tree::new(Stat::root(0o755, Time::default()));
        let text = |words: &str| {
            let words = words.split(' ').map(str::to_owned).collect();
            let found = Arguments::new(&root, Some("menu"), words, "", PassedBy::Script).unwrap();
            (found.text, found.notes.len())
        };
        assert_eq!(text("a"), ("ro a rootwait panic=30".into(), 1));
        assert_eq!(text("rootwait"), ("ro rootwait panic=30".into(), 0));
        assert_eq!(text("rootdelay=5"), ("ro rootdelay=5 panic=30".into(), 0));
        let expected = "ro rootfstype=ext4 rootwait panic=30".to_owned();
        assert_eq!(text("rootwait rootfstype=f2fs").1, 1);
        assert_eq!(text("rootfstype=ext4"), (expected, 1));
    }

    #[test]
    fn the_arguments_of_the_firmware_are_those_of_its_file() {
        let root = Tree::new(Stat::root(0o755, Time::default()));
        let words = || vec!["quiet".to_owned(), "root=x".to_owned()];
        let found =
            Arguments::new(&root, Some("cmdline.txt"), words(), "a", PassedBy::Firmware).unwrap();
        assert_eq!(found.text, "quiet a rootwait panic=30");
        assert_eq!(found.added, ["a", "rootwait", "panic=30"]);
    }

    #[test]
    fn arguments_that_the_kernel_would_cut_are_refused() {
        let check = |len: usize, arch| check_length("menu", "root=x ", &"a".repeat(len), arch);
        assert_eq!(check(1016, Architecture::Armhf), Ok(()));
        assert_eq!(check(2040, Architecture::Arm64), Ok(()));
        let problem = check(1017, Architecture::Armhf).unwrap_err();
        let message = "takes 1023 bytes of arguments on armhf, these are 1024";
        assert!(problem.message.contains(message), "{problem}");
        assert!(check(2041, Architecture::Amd64).is_err());
    }

    #[test]
    fn an_overlay_over_the_root_filesystem_stays_writable() {
        let text = |words| arguments("", words, "").unwrap().text;
        let covered = "overlayroot=tmpfs:recurse=0";
        assert_eq!(text(covered), format!("{covered} panic=30"));
        let said = format!("ro {covered}");
        assert_eq!(text(&said), format!("{said} panic=30"));
        for off in ["overlayroot=", "overlayroot=disabled"] {
            assert_eq!(text(off), format!("ro {off} panic=30"));
        }
        let with_files = |files: &[&str], words: &str| {
            let mut root = Tree::new(Stat::root(0o755, Time::default()));
            let names = ["/etc/overlayroot.conf", "/etc/overlayroot.local.conf"];
            for (path, text) in names.iter().zip(files) {
                let stat = Stat::root(0o644, Time::default());
                root.put_file(path, (*text).to_owned(), stat).unwrap();
            }
            let words = vec![words.to_owned()];
            Arguments::new(&root, Some("menu"), words, "", PassedBy::Menu)
                .unwrap()
                .text
        };
        let on = "# x\noverlayroot_cfgdisk=\"disabled\"\noverlayroot=\"tmpfs:recurse=0\"\n";
        let off = "overlayroot=\"\"\n";
        assert_eq!(with_files(&[on], "a"), "a panic=30");
        assert_eq!(with_files(&[off, on], "a"), "a panic=30");
        assert_eq!(with_files(&[on, off], "a"), "ro a panic=30");
        for word in ["boot=overlay", "systemd.volatile=overlay", "rd.overlay=1"] {
            assert_eq!(text(word), format!("{word} panic=30"));
        }
        assert_eq!(text("boot=local"), "ro boot=local panic=30");
        let with_file = |path: &str, text: &str| {
            let mut root = Tree::new(Stat::root(0o755, Time::default()));
            let stat = Stat::root(0o644, Time::default());
            root.put_file(path, text.to_owned(), stat).unwrap();
            let words = vec!["a".to_owned()];
            Arguments::new(&root, Some("menu"), words, "", PassedBy::Menu)
                .unwrap()
                .text
        };
        let script = "/etc/initramfs-tools/scripts/init-bottom/cover";
        let setting = "/etc/initramfs-tools/conf.d/overlayroot";
        let mounts = "mount -t overlay -o lowerdir=/l,upperdir=/u x /root";
        assert_eq!(with_file(script, mounts), "a panic=30");
        assert_eq!(with_file(script, "true\n"), "ro a panic=30");
        assert_eq!(with_file(setting, "overlayroot=tmpfs\n"), "a panic=30");
        let said = "overlayroot=disabled";
        assert_eq!(with_files(&[on], said), format!("ro {said} panic=30"));
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
