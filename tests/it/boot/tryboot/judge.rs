//! What was started, held against what should be.

use super::device::{World, content, id, letter};
use super::firmware::Started;
use super::story::{Stories, Truth};
use goldsmith::boot::state::Slot;

/// The words of the device, in the file that survives updates.
const WORDS: &str = "console=tty1 rootwait";

/// The settings of the device, with the directory that it starts from.
pub(super) fn settings(prefix: &str) -> String {
    format!(
        "os_prefix={prefix}\n[pi4]\nkernel=kernel8.img\ninitramfs initramfs8 followkernel\n[all]\n\
         dtparam=audio=on\ndtoverlay=vc4-kms-v3d\n[pi5]\nkernel=other.img\n[all]\narm_boost=1\n"
    )
}

/// The words of the device.
pub(super) fn words(truth: Truth) -> String {
    let more = if truth.words { " quiet" } else { "" };
    format!("{WORDS}{more}\n")
}

/// The slot that the kernel was told to run.
pub(super) fn slot_of(started: &Started) -> Option<Slot> {
    [Slot::A, Slot::B].into_iter().find(|slot| {
        let root = format!("root=PARTUUID={} ", id(*slot));
        let number = format!(" mender.slot={}", *slot as usize + 2);
        started.cmdline.starts_with(&root) && started.cmdline.ends_with(&number)
    })
}

impl Stories<'_> {
    /// Whether what was started is one of the slots, whole and of one version, with all settings of
    /// the device.
    pub(super) fn consistent(
        &mut self,
        world: &World,
        truth: Truth,
        started: &Started,
        allowed: [Slot; 2],
        when: &str,
    ) {
        let slot = slot_of(started);
        let is_own = slot.is_some_and(|slot| {
            started
                .prefix
                .starts_with(&format!("slot-{}", letter(slot)))
        });
        let Some(slot) = slot.filter(|_| is_own) else {
            let text = format!("{when}: {} starts {:?}", started.prefix, started.cmdline);
            return self.seen.no_start.push(text);
        };
        if !allowed.contains(&slot) {
            let text = format!("{when}: slot {slot:?} starts, {allowed:?} should");
            return self.seen.uncommitted.push(text);
        }
        let root = world.roots[slot as usize];
        let kernels = (0..=root.kernel).rev();
        let mut whole = kernels.filter(|kernel| {
            let is = |bytes: &[u8], what: &str| bytes == content(what, root.release, *kernel);
            is(&started.kernel, "kernel")
                && started
                    .initramfs
                    .as_deref()
                    .is_some_and(|bytes| is(bytes, "ram disk"))
                && is(&started.tree, "tree")
                && started.overlays.len() == 1
                && is(&started.overlays[0].1, "overlay")
        });
        let release = format!(" release={}", root.release);
        if whole.next().is_none() || !started.cmdline.contains(&release) {
            let text = format!("{when}: {} has no whole set of {root:?}", started.prefix);
            return self.seen.no_start.push(text);
        }
        let config = world.disk.read("config.txt").unwrap_or_default();
        let config = String::from_utf8_lossy(&config).into_owned();
        let mut prefixes = ["slot-a0/", "slot-a1/", "slot-b0/", "slot-b1/"].into_iter();
        let is_kept = prefixes.any(|prefix| config == settings(prefix));
        let own = world.disk.read("cmdline.txt").unwrap_or_default();
        let used = settings(&started.prefix);
        let used = used.lines().filter(|line| {
            ["dtparam", "dtoverlay", "arm_boost"]
                .iter()
                .any(|name| line.starts_with(name))
        });
        let counts = used
            .into_iter()
            .all(|line| started.others.iter().any(|other| other == line));
        let has_words = started.cmdline.contains(WORDS) && own == words(truth).as_bytes();
        if !is_kept || !counts || !has_words {
            let text = format!("{when}: settings of the device are lost: {config:?}");
            self.seen.lost.push(text);
        }
    }
}
