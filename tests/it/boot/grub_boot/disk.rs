//! A disk whose slots load or do not, and machines that start from it.

use super::golden::{Golden, PARTUUIDS, golden, options, serial};
use crate::boot::env_tools::number;
use crate::boot::grubenv::{medium, place};
use crate::support::qemu::{Board, Firmware};
use crate::support::{must, scratch, tool};
use goldsmith::boot::state::{BlockPair, EnvCopy, Environment as _, Slot, Values};
use goldsmith::platform::Architecture;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) const MIB: u64 = 1 << 20;
/// Where the partitions begin and how long they are (MiB): the boot partition, slot A, slot B.
pub(super) const PARTITIONS: [(u64, u64); 3] = [(1, 32), (33, 64), (97, 64)];
pub(super) const BOOT: Duration = Duration::from_secs(180);

/// What is in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// The integrated root filesystem.
    Good,
    /// The same without links to the kernel.
    NoLinks,
    /// An older and a newer kernel, of which the newer has no initrd, and no links.
    HalfUpgraded,
    /// A kernel of noise.
    Garbage,
    /// A kernel whose signature does not fit any more.
    Forged,
    /// No filesystem.
    Nothing,
}

impl Content {
    /// Whether the slot can be started.
    pub(super) fn loads(self, firmware: Firmware) -> bool {
        match self {
            Self::Good | Self::NoLinks | Self::HalfUpgraded => true,
            Self::Garbage | Self::Nothing => false,
            Self::Forged => !firmware.is_secure(),
        }
    }

    /// Makes the slot's filesystem.
    pub(super) fn write(
        self,
        golden: &Golden,
        scratch: &Path,
        disk: &Path,
        (start, len): (u64, u64),
    ) {
        if self == Self::Nothing {
            return;
        }
        let dir = scratch.join(format!("slot-{start}"));
        must("cp", &[&"-a", &golden.dir.path().join("root"), &dir]);
        let kernel = dir.join(format!("boot/vmlinuz-{}", golden.version));
        if self == Self::NoLinks || self == Self::HalfUpgraded {
            ["vmlinuz", "initrd.img"]
                .iter()
                .for_each(|name| fs::remove_file(dir.join(name)).unwrap());
        }
        match self {
            Self::HalfUpgraded => {
                fs::write(dir.join("boot/vmlinuz-99.1-cloud-new"), "new").unwrap()
            }
            Self::Garbage => fs::write(&kernel, vec![0x5a; 1 << 20]).unwrap(),
            Self::Forged => {
                let mut bytes = fs::read(&kernel).unwrap();
                // The version text of the setup code: signed, and of no use to who boots.
                let at = bytes
                    .windows(7)
                    .position(|text| text == b"debian-")
                    .unwrap();
                bytes[at] = b'D';
                fs::write(&kernel, bytes).unwrap();
            }
            _ => {}
        }
        let offset = format!("offset={}", start * MIB);
        must(
            tool("mke2fs").unwrap(),
            &[
                &"-q",
                &"-F",
                &"-t",
                &"ext4",
                &"-d",
                &dir,
                &"-E",
                &offset,
                &disk,
                &format!("{len}M"),
            ],
        );
    }
}

/// A disk with two slots and an environment.
pub(super) struct Disk {
    pub(super) dir: tempfile::TempDir,
    pub(super) path: PathBuf,
    pub(super) esp: String,
    pub(super) contents: [Content; 2],
    pub(super) arch: Architecture,
    pub(super) uuids: [&'static str; 2],
}

impl Disk {
    pub(super) fn new(golden: &Golden, contents: [Content; 2]) -> Self {
        let dir = scratch();
        let path = dir.path().join("disk.img");
        fs::File::create(&path).unwrap().set_len(162 * MIB).unwrap();
        let sgdisk = tool("sgdisk").unwrap();
        for (at, (start, len)) in PARTITIONS.iter().enumerate() {
            let number = at + 1;
            let range = format!("{number}:{}:{}", start * 2048, (start + len) * 2048 - 1);
            let kind = if at == 0 {
                "1:ef00".to_owned()
            } else {
                format!("{number}:8300")
            };
            let uuid = format!("{number}:{}", PARTUUIDS[at]);
            must(
                &sgdisk,
                &[
                    &"-a", &"2048", &"-n", &range, &"-t", &kind, &"-u", &uuid, &path,
                ],
            );
        }
        let esp = format!("{}@@1M", path.display());
        must(
            "mformat",
            &[
                &"-i",
                &esp,
                &"-T",
                &(PARTITIONS[0].1 * 2048).to_string(),
                &"-h",
                &"64",
                &"-s",
                &"32",
                &"::",
            ],
        );
        for entry in fs::read_dir(golden.dir.path().join("boot")).unwrap() {
            must(
                "mcopy",
                &[&"-s", &"-i", &esp, &entry.unwrap().path(), &"::/"],
            );
        }
        for (content, place) in contents.iter().zip(&PARTITIONS[1..]) {
            content.write(golden, dir.path(), &path, *place);
        }
        Self {
            dir,
            path,
            esp,
            contents,
            arch: golden.arch,
            uuids: options(golden.arch).partuuids,
        }
    }

    /// Replaces the script.
    pub(super) fn script(&self, text: &str) {
        let script = self.dir.path().join("grub.cfg");
        fs::write(&script, text).unwrap();
        if let Some(check) = tool("grub-script-check") {
            must(&check, &[&script]);
        }
        must(
            "mcopy",
            &[&"-o", &"-i", &self.esp, &script, &"::/EFI/BOOT/grub.cfg"],
        );
    }

    /// Replaces the environment.
    pub(super) fn place(&self, state: &BlockPair) {
        let env = self.dir.path().join("grub-mender-grubenv");
        place(&env, state);
        must("mcopy", &[&"-s", &"-o", &"-i", &self.esp, &env, &"::/"]);
    }

    /// The environment as it is now.
    pub(super) fn medium(&self) -> BlockPair {
        let out = self.dir.path().join("out");
        let _ = fs::remove_dir_all(&out);
        fs::create_dir(&out).unwrap();
        must(
            "mcopy",
            &[
                &"-s",
                &"-n",
                &"-i",
                &self.esp,
                &"::/grub-mender-grubenv",
                &out,
            ],
        );
        medium(&out.join("grub-mender-grubenv"))
    }

    pub(super) fn board(&self, name: &str, firmware: Firmware) -> Option<Board> {
        let mut board = Board::new(name, &self.path, None, firmware)?;
        board.write_to(&self.path);
        Some(board)
    }

    /// Starts it; returns the slot whose kernel ran, `None` when the script gave up.
    pub(super) fn start(&self, board: &Board) -> Option<Slot> {
        let mut machine = board.power_on();
        let ends = ["Kernel command line:", "Trying again in 30 seconds"];
        let Some((which, _)) = machine.listen_for(&ends, BOOT) else {
            panic!("no end of the boot: {}", machine.transcript());
        };
        if which == 1 {
            return None;
        }
        let line = machine.wait_for("\n", BOOT);
        let slot = [Slot::A, Slot::B]
            .into_iter()
            .find(|slot| line.contains(&format!("mender.slot={}", number(*slot))));
        let slot = slot.unwrap_or_else(|| panic!("no slot: {line}"));
        let uuid = self.uuids[slot as usize];
        assert!(line.contains(&format!(" root=PARTUUID={uuid} ")), "{line}");
        assert!(
            line.contains(&format!(
                " ro console={} loglevel=6 panic=-1",
                serial(self.arch)
            )),
            "{line}"
        );
        Some(slot)
    }
}

/// One boot from each state, which must do what the model does.
pub(super) fn boots(name: &str, firmware: Firmware, contents: [Content; 2], states: &[BlockPair]) {
    let Some(golden) = golden(firmware.architecture()) else {
        return;
    };
    let disk = Disk::new(golden, contents);
    let Some(board) = disk.board(&format!("grub-{name}"), firmware) else {
        return;
    };
    for state in states {
        disk.place(state);
        let mut model = state.clone();
        let expected = model
            .boot(|slot| disk.contents[slot as usize].loads(firmware))
            .unwrap();
        assert_eq!(disk.start(&board), expected, "{name}: from {state:?}");
        assert_eq!(disk.medium().copies, model.copies, "{name}: from {state:?}");
    }
}

pub(super) fn intact(values: Values) -> BlockPair {
    BlockPair::new([EnvCopy::clean(values); 2])
}

pub(super) const GOOD: [Content; 2] = [Content::Good; 2];
