//! Golden images with what once made devices that never keep an update: started as they are, and
//! once converted.

use super::*;
use crate::convert::conversions::{convert_image, partitions};
use crate::support::golden::golden;

/// What they are made of: it has the packages that these images need.
const VARIANT: &str = "locked-trixie";

/// A copy of the golden image whose root filesystem is changed.
struct Shape {
    dir: tempfile::TempDir,
    name: &'static str,
}

impl Shape {
    /// A copy without changes. `None`, said aloud, when tools are missing.
    fn new(name: &'static str) -> Option<Self> {
        tool("debugfs")?;
        let golden = golden(VARIANT)?;
        let dir = scratch();
        must(
            "cp",
            &[&"--sparse=always", &golden, &dir.path().join("img")],
        );
        Some(Self { dir, name })
    }

    fn image(&self) -> PathBuf {
        self.dir.path().join("img")
    }

    /// Runs commands of debugfs on the root filesystem; returns what they said.
    fn debugfs(&self, commands: &str) -> String {
        let script = self.dir.path().join("commands");
        fs::write(&script, commands).expect("a script");
        let image = self.image();
        let root = format!(
            "{}?offset={}",
            image.display(),
            partitions(&image)[&2].start
        );
        must(
            tool("debugfs").expect("looked for before"),
            &[&"-w", &"-f", &script, &root],
        )
    }

    /// Writes a file, which may be there already.
    fn write(&self, path: &str, text: &str, mode: u32) {
        let from = self.dir.path().join("file");
        fs::write(&from, text).expect("a file");
        self.debugfs(&format!(
            "rm {path}\nwrite {} {path}\nsif {path} mode 0100{mode:o}\n",
            from.display()
        ));
        let said = self.debugfs(&format!("stat {path}\n"));
        assert!(said.contains("Type: regular"), "{said}");
    }

    /// Replaces text of a file, which has it.
    fn replace(&self, path: &str, from: &str, to: &str) {
        let copy = self.dir.path().join("copy");
        self.debugfs(&format!("dump {path} {}\n", copy.display()));
        let text = fs::read_to_string(&copy).expect("a text");
        assert!(text.contains(from), "{path}: {text}");
        self.write(path, &text.replace(from, to), 0o644);
    }

    /// A board with the golden image itself.
    fn board(&self) -> Option<Board> {
        let name = format!("shape-{}", self.name);
        Board::new(&name, &self.image(), None, Firmware::Uefi)
    }

    /// Converts it as release 1, then as release 2, and takes a device through an update, its
    /// commit and an update that is not committed. `look` looks around after each start.
    fn lives(&self, look: impl Fn(&mut Machine)) {
        let convert = |name| convert_image(&self.image(), self.name, VARIANT, name, "");
        let Some(made) = convert("release-1") else {
            return;
        };
        self.write("/etc/release-marker", "2\n", 0o644);
        let next = convert("release-2").expect("tools that were there before");
        let media = Media::new();
        media.add(&made.artifact, "release-1.mender");
        media.add(&next.artifact, "release-2.mender");
        let name = format!("shape-{}-converted", self.name);
        let Some(mut board) = board(&name, &made, Firmware::Uefi) else {
            return;
        };
        board.insert(&media.image());
        let mut machine = board.power_on();
        first_start(&mut machine, &made);
        look(&mut machine);

        install(&mut machine, "release-2.mender");
        machine.reboot();
        assert_eq!(
            environment(&mut machine),
            "mender_boot_part=3 upgrade_available=1 bootcount=1 "
        );
        look(&mut machine);
        machine.must("mender commit");
        install(&mut machine, "release-1.mender");
        machine.reboot();
        assert_eq!(
            root_device(&mut machine),
            format!("{}\n", machine.partition(2))
        );
        machine.reboot();
        runs(&mut machine, 3, "release-2", "2");
        look(&mut machine);
        assert_eq!(machine.must("cat /data/keep"), "mine\n");
        machine.power_off();
    }
}

/// The root filesystem is covered by an overlay in memory. With `ro` the overlay would be read-only
/// in Debian 13, whose `mount` changes no options of an overlay; the unit that asks for that fails,
/// so makers of such devices mask it.
fn overlay_root() -> Option<Shape> {
    let shape = Shape::new("overlay-root")?;
    let [menu, settings] = ["/boot/grub/grub.cfg", "/etc/default/grub"];
    let covered = "vendor.flag=golden overlayroot=tmpfs";
    shape.replace(menu, "ro vendor.flag=golden", covered);
    shape.replace(settings, "vendor.flag=golden", covered);
    shape.debugfs("symlink /etc/systemd/system/systemd-remount-fs.service /dev/null\n");
    Some(shape)
}

/// A golden image with `overlayroot=tmpfs`: nothing that is written to its root filesystem stays.
#[test]
#[ignore = "takes long; `make test-boot` runs it"]
fn boot_golden_with_an_overlay_root() {
    let Some(shape) = overlay_root() else {
        return;
    };
    let Some(board) = shape.board() else {
        return;
    };
    let mut machine = board.power_on();
    machine.shell();
    assert_eq!(machine.must("findmnt -nro FSTYPE /"), "overlay\n");
    machine.must("echo lost >/root/lost && sync");
    machine.reboot();
    machine.must("test ! -e /root/lost");
    machine.power_off();
}

/// The same converted: the root filesystem is covered, `/data` is not; update, commit, and an
/// update that is not committed.
#[test]
#[ignore = "takes long; `make test-boot` runs it"]
fn boot_life_of_a_device_with_an_overlay_root() {
    let Some(shape) = overlay_root() else {
        return;
    };
    shape.lives(|machine| {
        assert_eq!(machine.must("findmnt -nro FSTYPE /"), "overlay\n");
        assert_eq!(machine.must("findmnt -nro FSTYPE /data"), "ext4\n");
    });
}

/// `/etc/rc.local` as PiShrink leaves it: it grows the root filesystem, restarts, and puts back
/// what was there before.
const PISHRINK: &str = r#"#!/bin/bash
## PiShrink https://github.com/Drewsif/PiShrink ##
do_expand_rootfs() {
  cat <<'END' >/etc/rc.local
#!/bin/sh
echo "rc.local: second stage" >/dev/console
resize2fs "$(findmnt -nro SOURCE /)"
if [ -f /etc/rc.local.bak ]; then
  cp -af /etc/rc.local.bak /etc/rc.local
  /etc/rc.local
else
  rm /etc/rc.local
fi
exit 0
END
  echo "rc.local: restarting" >/dev/console
  reboot
  exit
}
do_expand_rootfs
exit 0
"#;

/// What was in `/etc/rc.local` before.
const OWN: &str = "#!/bin/sh\ntouch /run/own-rc-local\nexit 0\n";

/// Prepared by PiShrink.
fn pishrink() -> Option<Shape> {
    let shape = Shape::new("pishrink")?;
    shape.write("/etc/rc.local", PISHRINK, 0o755);
    shape.write("/etc/rc.local.bak", OWN, 0o755);
    Some(shape)
}

/// A golden image prepared by PiShrink, whose `/etc/rc.local` restarts it once.
#[test]
#[ignore = "takes long; `make test-boot` runs it"]
fn boot_golden_prepared_by_pishrink() {
    let Some(shape) = pishrink() else {
        return;
    };
    let Some(board) = shape.board() else {
        return;
    };
    let mut machine = board.power_on();
    machine.wait_for("rc.local: restarting", crate::support::qemu::BOOT);
    machine.wait_for("rc.local: second stage", crate::support::qemu::BOOT);
    machine.shell();
    machine.must("test -e /run/own-rc-local");
    assert_eq!(machine.must("cat /etc/rc.local"), OWN);
    machine.power_off();
}

/// The same converted: it does not restart by itself, and what was in `rc.local` before runs;
/// update, commit, and an update that is not committed.
#[test]
#[ignore = "takes long; `make test-boot` runs it"]
fn boot_life_of_a_device_prepared_by_pishrink() {
    let Some(shape) = pishrink() else {
        return;
    };
    shape.lives(|machine| {
        assert!(!machine.transcript().contains("rc.local: restarting"));
        machine.must("test -e /run/own-rc-local");
    });
}

/// The swap partition gets a new key at each start, by a number that is root filesystem B's later.
fn random_key() -> Option<Shape> {
    let shape = Shape::new("random-key")?;
    let line = "cryptswap /dev/vda3 /dev/urandom cipher=aes-xts-plain64,size=256,swap\n";
    shape.write("/etc/crypttab", line, 0o644);
    shape.replace(
        "/etc/fstab",
        "UUID=c2b2f1de-0b7d-4f1b-8f6a-5f0e9f6e7c42",
        "/dev/mapper/cryptswap",
    );
    Some(shape)
}

/// A golden image with a random key for its swap partition in `/etc/crypttab`.
#[test]
#[ignore = "takes long; `make test-boot` runs it"]
fn boot_golden_with_a_random_key() {
    let Some(shape) = random_key() else {
        return;
    };
    let Some(board) = shape.board() else {
        return;
    };
    let mut machine = board.power_on();
    machine.shell();
    machine.must("swapon --show=NAME --noheadings | grep -x /dev/dm-0");
    machine.power_off();
}

/// The same converted: nothing formats root filesystem B; update, commit, and an update that is not
/// committed.
#[test]
#[ignore = "takes long; `make test-boot` runs it"]
fn boot_life_of_a_device_with_a_random_key() {
    let Some(shape) = random_key() else {
        return;
    };
    shape.lives(|machine| {
        machine.must("test ! -e /dev/mapper/cryptswap");
        machine.must("blkid -o value -s TYPE /dev/vda3 | grep -x ext4");
    });
}
