//! An environment outside the partitions. No package of Debian has a U-Boot that was built for it,
//! with the update client's own scripts, for a machine that QEMU has: a few lines of variables in
//! the flash of the machine `virt` play its part, as far as the boot script asks.

use super::card::{Card, Content};
use super::machine::{FLASH, virt_raw};
use crate::boot::env_tools::number;
use crate::boot::fw_env::install_tools;
use crate::support::{must, tool};
use goldsmith::boot::state::Slot;
use goldsmith::boot::uboot::environment::{committed, crc32, decode, encode};
use std::fs;
use std::process::Command;

/// Where the copies are (bytes): the first two multiples of the alignment.
const OFFSETS: [u64; 2] = [8 << 20, 16 << 20];
/// How long each is (bytes).
const SIZE: usize = 16 << 10;
/// How long the variables in flash are with their checksum, and all of the flash (bytes).
const BUILT_IN: usize = 0x4_0000;
const FLASH_SIZE: usize = 64 << 20;

/// Reads the variables of the first copy (sector 4000 of the disk, 20 sectors; numbers are
/// hexadecimal), whose checksum the part leaves out, and lets the boot script look for the
/// partition that they name.
const VARIABLES: [(&str, &str); 8] = [
    (
        "bootcmd",
        "virtio scan; load virtio 0:1 ${scriptaddr} boot.scr && source ${scriptaddr}",
    ),
    ("bootdelay", "0"),
    ("devtype", "virtio"),
    ("kernel_addr_r", "0x40400000"),
    (
        "mender_setup",
        "virtio read 43000000 4000 20; env import -b 43000005 3ffb mender_boot_part",
    ),
    ("mender_try_to_recover", "echo Trying again in 30 seconds"),
    ("ramdisk_addr_r", "0x44000000"),
    ("scriptaddr", "0x40200000"),
];

impl Card {
    /// Gives its machine the variables.
    pub(crate) fn build_in(&self) {
        let mut data: Vec<u8> = VARIABLES
            .iter()
            .flat_map(|(name, value)| format!("{name}={value}\0").into_bytes())
            .collect();
        data.resize(BUILT_IN - 4, 0);
        let mut flash = crc32(&data).to_le_bytes().to_vec();
        flash.extend(data);
        flash.resize(FLASH_SIZE, 0xff);
        fs::write(self.path(FLASH), flash).unwrap();
    }

    /// Makes a copy as U-Boot does.
    pub(crate) fn place_raw(&self, copy: usize, serial: u8, slot: Slot) {
        self.write_at(
            OFFSETS[copy],
            &encode(serial, &committed(number(slot)), SIZE).unwrap(),
        );
    }

    /// Runs one of the device's tools on the card; returns what it said on both outputs.
    fn tool(&self, name: &str, arguments: &[&str]) -> String {
        let output = Command::new("dash")
            .arg(self.path(name))
            .args(arguments)
            .output()
            .unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    }

    /// Both copies, and all else of the card.
    fn copies(&self) -> ([Vec<u8>; 2], Vec<u8>) {
        let mut all = fs::read(self.image()).unwrap();
        let copies = OFFSETS.map(|offset| {
            let place = &mut all[offset as usize..][..SIZE];
            let copy = place.to_vec();
            place.fill(0);
            copy
        });
        (copies, all)
    }
}

#[test]
fn the_tools_of_a_converted_device_read_and_write_the_places_of_u_boot() {
    if ["dash", "flock", "fw_printenv"]
        .iter()
        .any(|name| tool(name).is_none())
    {
        return;
    }
    let Some(card) = Card::new(virt_raw("bookworm"), Content::Good) else {
        return;
    };
    let config = card.text_in_slots("/etc/fw_env.config");
    assert!(
        config.ends_with("/dev/mmcblk0 0x800000 0x4000\n/dev/mmcblk0 0x1000000 0x4000\n"),
        "{config}"
    );
    let lines = config
        .lines()
        .filter(|line| line.starts_with("/dev/mmcblk0"));
    let lines =
        lines.map(|line| line.replace("/dev/mmcblk0", &card.image().display().to_string()) + "\n");
    fs::write(card.path("config"), lines.collect::<String>()).unwrap();
    install_tools(&card.path(""));
    let (none, before) = card.copies();
    assert!(
        none.iter().flatten().all(|byte| *byte == 0),
        "U-Boot makes them"
    );
    let said = card.tool("fw_printenv", &["mender_boot_part"]);
    assert!(said.contains("U-Boot has not made them yet"), "{said}");

    // What U-Boot has saved once is mended: then there are two.
    card.place_raw(0, 255, Slot::A);
    let said = card.tool("fw_printenv", &["mender_boot_part"]);
    assert!(
        said.starts_with("mender_boot_part=2\n")
            && said.contains("copy 2 of the boot environment is damaged"),
        "{said}"
    );
    let [one, two] = card.copies().0;
    assert_eq!(
        (decode(&one), decode(&two)),
        (Some((255, committed(2))), Some((0, committed(2))))
    );

    // A write goes to the older one, and the tools of U-Boot's own project see it.
    assert_eq!(card.tool("fw_setenv", &["mender_boot_part", "3"]), "");
    let [changed, kept] = card.copies().0;
    assert_eq!(kept, two);
    let (serial, variables) = decode(&changed).expect("a whole copy");
    assert_eq!(
        (
            serial,
            variables["mender_boot_part"].as_str(),
            variables["bootcount"].as_str()
        ),
        (1, "3", "0")
    );
    assert_eq!(
        must(
            "fw_printenv",
            &[&"-c", &card.path("config"), &"mender_boot_part"]
        ),
        "mender_boot_part=3\n"
    );
    assert!(
        card.copies().1 == before,
        "something outside the environment has changed"
    );
}
