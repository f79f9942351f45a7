//! Device trees and overlays that a slot names, applied by the real U-Boot: the kernel says the
//! name of the machine, which an overlay changes.

use super::card::{Card, Content};
use super::machine::Board;
use super::{PI_12, VIRT_12, VIRT_13, VIRT32_12, newest};
use goldsmith::boot::state::{Slot, Values};

/// The name of the machine that the overlay sets.
const MODEL: &str = "A model of an overlay";

/// An overlay that sets the property `model` of the root node (Devicetree Specification, section
/// 5: a header, memory reservations, the structure, the names of properties).
fn overlay() -> Vec<u8> {
    let padded = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    };
    let word = |number: usize| u32::try_from(number).unwrap().to_be_bytes().to_vec();
    let node = |name: &str| [word(1), padded(format!("{name}\0").as_bytes())].concat();
    let property = |name: usize, value: &str| {
        let value = format!("{value}\0");
        [
            word(3),
            word(value.len()),
            word(name),
            padded(value.as_bytes()),
        ]
        .concat()
    };
    let names = b"target-path\0model\0";
    let structure = [
        node(""),
        node("fragment@0"),
        property(0, "/"),
        node("__overlay__"),
        property(12, MODEL),
        word(2),
        word(2),
        word(2),
        word(9),
    ]
    .concat();
    let (start, end) = (56, 56 + structure.len());
    let header = [
        0xd00d_feed,
        end + names.len(),
        start,
        end,
        40,
        17,
        16,
        0,
        names.len(),
        structure.len(),
    ];
    let header: Vec<u8> = header.into_iter().flat_map(word).collect();
    [header, vec![0; 16], structure, names.to_vec()].concat()
}

/// The part of the boot script of boards with their own U-Boot that makes the device tree.
const DEVICE_TREE: &str = include_str!("../../../../configs/device/u-boot/device-tree.cmd");

/// A card whose slot B has the overlay at two places and noise at a third.
fn card(board: Board) -> Option<Card> {
    let card = Card::new(board, Content::Good)?;
    card.put_in_slot_b("/boot/one.dtbo", &overlay());
    card.put_in_slot_b("/boot/two.dtbo", &overlay());
    card.put_in_slot_b("/boot/noise.dtbo", &[0x5a; 5000]);
    Some(card)
}

/// Starts slot B, whose file has these lines besides; returns what was said.
fn starts(card: &Card, name: &str, lines: &str) -> String {
    let slot = card.text_in_slots("/boot/mender-slot.env");
    let start = slot.find("kernel=").expect("a kernel is named");
    // The kernel says the name of its machine at this level.
    let slot = slot[start..]
        .replace("loglevel=6", "")
        .replace("args=", "args=loglevel=7 ");
    card.put_in_slot_b("/boot/mender-slot.env", format!("{lines}{slot}").as_bytes());
    card.place(&newest(1, Values::committed(Slot::B)));
    let (slot, said) = card.transcript(name);
    assert_eq!(slot, Some(Slot::B), "{said}");
    said
}

/// Raspberry Pi 3, whose U-Boot of Debian 12 has `fdt apply` (that of Debian 13 too, but it takes
/// the name of the machine from the firmware), with the script of boards that have their own
/// U-Boot: the overlays of a slot are applied; with one that cannot be applied it starts without
/// any.
#[test]
#[ignore = "boots; `make test-boot` runs it"]
fn boot_uboot_with_overlays_of_the_slot() {
    let Some(card) = card(PI_12) else { return };
    card.change_script("# mender_load:", &format!("{DEVICE_TREE}\n# mender_load:"));
    card.change_script(
        "setenv mender_tree ${fdt_addr};\n",
        "run mender_device_tree;\n",
    );
    let lines = "overlays=boot/one.dtbo boot/two.dtbo\n";
    let said = starts(&card, "overlays", lines);
    assert!(said.contains(&format!("Machine model: {MODEL}")), "{said}");
    for bad in ["boot/noise.dtbo", "boot/none.dtbo"] {
        let lines = format!("overlays=boot/one.dtbo {bad}\n");
        let said = starts(&card, "no-overlays", &lines);
        let plain = "Machine model: Raspberry Pi 3";
        assert!(said.contains(plain) && !said.contains(MODEL), "{said}");
        let message = format!("The overlay /{bad} cannot be applied: starting without");
        assert!(said.contains(&message), "{said}");
    }
}

/// QEMU virt, whose U-Boot of Debian 12 and 13 and of 32 bits has no `fdt apply`: a slot with
/// overlays and a device tree that does not exist starts all the same.
#[test]
#[ignore = "boots; `make test-boot` runs it"]
fn boot_uboot_of_a_board_that_cannot_apply_overlays() {
    for (name, board) in [("12", VIRT_12), ("13", VIRT_13), ("32", VIRT32_12)] {
        let Some(card) = card(board) else { return };
        let lines = "fdt=boot/none.dtb\noverlays=boot/one.dtbo boot/two.dtbo\n";
        let said = starts(&card, &format!("virt-overlays-{name}"), lines);
        for message in [
            "The device tree /boot/none.dtb of partition 3 does not load: trying another.",
            "The overlay /boot/one.dtbo cannot be applied: starting without overlays.",
            "Machine model: linux,dummy-virt",
        ] {
            assert!(said.contains(message), "{message}: {said}");
        }
    }
}
