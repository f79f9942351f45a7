//! The two loaders: the files that they and their tools keep on the boot partition, and what they
//! make of them.

use crate::boot::medium::driver::Driver;
use crate::boot::medium::fat::Disk;
use crate::boot::{fw_env, grubenv};
use goldsmith::boot::common::{env_block, tools};
use goldsmith::boot::grub::environment as grub;
use goldsmith::boot::state::{
    Block, BlockPair, Cut, EnvCopy, Environment as _, Power, PowerCut, SerialPair, Slot, Values,
};
use goldsmith::boot::uboot::environment as uboot;
use std::collections::BTreeMap;

/// A boot loader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Loader {
    Grub,
    UBoot,
}

/// The environment as the loader reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Copies {
    Blocks(BlockPair),
    Serials(SerialPair),
}

/// The variables that U-Boot's script hands on.
const HANDED_ON: &str = "mender_systemd_machine_id";

impl Loader {
    /// The text of the tool.
    pub(super) fn tool(self) -> String {
        match self {
            Self::Grub => tools::grubenv(),
            Self::UBoot => tools::uboot_env(),
        }
    }

    /// The names of the tools that print and set.
    pub(super) fn names(self) -> [&'static str; 2] {
        match self {
            Self::Grub => ["grub-mender-grubenv-print", "grub-mender-grubenv-set"],
            Self::UBoot => ["fw_printenv", "fw_setenv"],
        }
    }

    /// A variable of the owner, which all writers keep.
    pub(super) fn owned(self) -> &'static str {
        match self {
            Self::Grub => "site",
            Self::UBoot => HANDED_ON,
        }
    }

    /// A file without which the loader does not start.
    pub(super) fn own(self) -> (&'static str, Vec<u8>) {
        match self {
            Self::Grub => ("EFI/BOOT/grub.cfg", vec![b'g'; 1300]),
            Self::UBoot => ("boot.scr", vec![b'u'; 1300]),
        }
    }

    /// A file of the second copy.
    pub(super) fn second_copy(self) -> &'static str {
        match self {
            Self::Grub => "grub-mender-grubenv/mender_grubenv2/env",
            Self::UBoot => "mender/env2/uboot.env",
        }
    }

    /// The boot partition of a new device.
    pub(super) fn factory(self) -> Disk {
        let mut driver = Driver::new(Disk::format(), false);
        let mut files = vec![(self.own().0.to_owned(), self.own().1)];
        match self {
            Self::Grub => {
                let dir = grub::DIRECTORY.trim_start_matches('/');
                let all = grub::factory(2).into_iter();
                files.extend(all.map(|(name, bytes)| (format!("{dir}/{name}"), bytes)));
            }
            Self::UBoot => {
                let pair = fw_env::factory();
                let copies = pair.copies.into_iter().enumerate();
                files.extend(copies.map(|(at, copy)| (serial_file(at), fw_env::bytes(copy))));
            }
        }
        for (path, bytes) in files {
            let dirs = path.match_indices('/').map(|(at, _)| &path[..at]);
            dirs.for_each(|dir| driver.mkdir(dir));
            driver.put(&path, &bytes);
        }
        driver.now
    }

    pub(super) fn read(self, disk: &Disk) -> Copies {
        match self {
            Self::Grub => Copies::Blocks(grubenv::medium_of(|name| {
                disk.read(&block_file(name)).unwrap_or_default()
            })),
            Self::UBoot => {
                Copies::Serials(SerialPair::new([0, 1].map(|at| {
                    fw_env::read(&disk.read(&serial_file(at)).unwrap_or_default())
                })))
            }
        }
    }

    /// All variables of the copy that is believed.
    pub(super) fn variables(self, disk: &Disk) -> BTreeMap<String, String> {
        match self.read(disk) {
            Copies::Blocks(pair) => {
                let at = usize::from(pair.copies[0].good().is_none());
                block_variables(disk, at).into_iter().collect()
            }
            Copies::Serials(pair) => {
                let bytes = disk.read(&serial_file(pair.newest().unwrap_or(0)));
                uboot::decode(&bytes.unwrap_or_default()).map_or_else(BTreeMap::new, |(_, all)| all)
            }
        }
    }

    /// The loader's part of a start: the slot that it starts, and the medium with what it wrote.
    /// With `cut`, the power fails at that write; then no slot starts.
    pub(super) fn start(self, disk: &Disk, cut: Option<(usize, Cut)>) -> (Option<Slot>, Disk) {
        let old = self.read(disk);
        let mut new = old.clone();
        new.power().fails_after = cut;
        let started = new.boot().ok().flatten();
        let mut driver = Driver::new(disk.clone(), false);
        match (&old, &new) {
            (Copies::Blocks(old), Copies::Blocks(new)) => {
                for at in 0..2 {
                    write_blocks(&mut driver, at, old.copies[at], new.copies[at]);
                }
            }
            (Copies::Serials(old), Copies::Serials(new)) => {
                let handed_on = self.variables(disk).remove(HANDED_ON);
                for at in (0..2).filter(|at| old.copies[*at] != new.copies[*at]) {
                    let bytes = new.copies[at].map_or_else(
                        || fw_env::bytes(None),
                        |copy| {
                            let mut all = fw_env::variables(copy.values);
                            let more = handed_on.clone().map(|value| (HANDED_ON.into(), value));
                            all.extend(more);
                            uboot::encode(copy.serial, &all, uboot::SIZE).unwrap()
                        },
                    );
                    driver.overwrite(&serial_file(at), &bytes);
                }
            }
            _ => unreachable!("one loader"),
        }
        (started, driver.now)
    }

    /// The writes of the loader at its next start.
    pub(super) fn writes(self, disk: &Disk) -> usize {
        let mut copies = self.read(disk);
        let _ = copies.boot();
        copies.power().writes
    }
}

impl Copies {
    fn boot(&mut self) -> Result<Option<Slot>, PowerCut> {
        match self {
            Self::Blocks(pair) => pair.boot(|_| true),
            Self::Serials(pair) => pair.boot(|_| true),
        }
    }

    fn power(&mut self) -> &mut Power {
        match self {
            Self::Blocks(pair) => &mut pair.power,
            Self::Serials(pair) => &mut pair.power,
        }
    }

    pub(super) fn is_intact(&self) -> bool {
        match self {
            Self::Blocks(pair) => pair.is_intact(),
            Self::Serials(pair) => pair.is_intact(),
        }
    }

    pub(super) fn believed(&self) -> Option<Values> {
        match self {
            Self::Blocks(pair) => pair.believed(),
            Self::Serials(pair) => pair.believed(),
        }
    }
}

fn serial_file(at: usize) -> String {
    format!("mender/env{}/uboot.env", at + 1)
}

/// A file of GRUB's environment, by its name in the directory of that.
fn block_file(name: &str) -> String {
    format!("{}/{name}", grub::DIRECTORY.trim_start_matches('/'))
}

fn block_variables(disk: &Disk, at: usize) -> Vec<(String, String)> {
    let path = block_file(&format!("mender_grubenv{}/env", at + 1));
    let bytes = disk.read(&path).unwrap_or_default();
    env_block::variables(&bytes).unwrap_or_default()
}

/// Writes the blocks of a copy that changed as GRUB does: in place, with the other variables of the
/// block.
fn write_blocks(driver: &mut Driver, at: usize, old: EnvCopy, new: EnvCopy) {
    let path = block_file(&format!("mender_grubenv{}/env", at + 1));
    let bytes = driver.now.read(&path).unwrap_or_default();
    let mut write = |name: &str, is_valid: bool, is_blank: bool, all: &[(String, String)]| {
        let pairs: Vec<(&str, &str)> = all.iter().map(|(n, v)| (&**n, &**v)).collect();
        let bytes = match (is_valid, is_blank) {
            (true, _) => env_block::block_of(&pairs, env_block::BLOCK).unwrap(),
            (_, true) => env_block::block_of(&[], env_block::BLOCK).unwrap(),
            _ => vec![0xff; env_block::BLOCK],
        };
        let path = block_file(&format!("mender_grubenv{}/{name}", at + 1));
        driver.overwrite(&path, &bytes);
    };
    if old.lock != new.lock {
        let editing = matches!(new.lock, Block::Valid(true));
        let all = [("editing".to_owned(), u8::from(editing).to_string())];
        let is_valid = matches!(new.lock, Block::Valid(_));
        write("lock", is_valid, new.lock == Block::Blank, &all);
    }
    if old.env != new.env {
        let mut all = env_block::variables(&bytes).unwrap_or_default();
        if let Block::Valid(values) = new.env {
            for (name, value) in grubenv::variables(values) {
                match all.iter_mut().find(|(known, _)| known == name) {
                    Some(entry) => entry.1 = value,
                    None => all.push((name.to_owned(), value)),
                }
            }
        }
        let is_valid = matches!(new.env, Block::Valid(_));
        write("env", is_valid, new.env == Block::Blank, &all);
    }
}
