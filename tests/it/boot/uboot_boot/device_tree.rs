//! Device trees and overlays that a slot names, applied by the real U-Boot: the kernel says the
//! name of the machine, which an overlay changes.

use super::card::{Card, Content};
use super::machine::Board;
use super::{VIRT_12, VIRT_13, VIRT32_12, newest};
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

/// Starts slot B, whose file has these lines besides, with the overlay at two places and noise at a
/// third; returns what was said.
fn starts(name: &str, board: Board, lines: &str) -> Option<String> {
    let card = Card::new(board, Content::Good)?;
    let slot = card.text_in_slots("/boot/mender-slot.env");
    let start = slot.find("kernel=").expect("a kernel is named");
    // The kernel says the name of its machine at this level.
    let slot = slot[start..].replace("loglevel=6", "loglevel=7");
    let slot = format!("{lines}{slot}");
    card.put_in_slot_b("/boot/mender-slot.env", slot.as_bytes());
    card.put_in_slot_b("/boot/one.dtbo", &overlay());
    card.put_in_slot_b("/boot/two.dtbo", &overlay());
    card.put_in_slot_b("/boot/noise.dtbo", &[0x5a; 5000]);
    card.place(&newest(1, Values::committed(Slot::B)));
    let (slot, said) = card.transcript(name);
    assert_eq!(slot, Some(Slot::B), "{said}");
    Some(said)
}

/// QEMU virt, U-Boot of Debian 12 and 13 and of 32 bits: the overlays of a slot are applied; with
/// one that cannot be applied it starts without any.
#[test]
#[ignore = "boots; `make test-boot` runs it"]
fn boot_uboot_of_a_board_with_overlays() {
    let plain = "Machine model: linux,dummy-virt";
    for (name, board) in [("12", VIRT_12), ("13", VIRT_13), ("32", VIRT32_12)] {
        let start = |what: &str, lines: &str| starts(&format!("virt-{what}-{name}"), board, lines);
        let Some(said) = start("overlays", "overlays=boot/one.dtbo boot/two.dtbo\n") else {
            return;
        };
        assert!(said.contains(&format!("Machine model: {MODEL}")), "{said}");
        for bad in ["boot/noise.dtbo", "boot/none.dtbo"] {
            let lines = format!("fdt=boot/none.dtb\noverlays=boot/one.dtbo {bad}\n");
            let said = start("no-overlays", &lines).expect("it started before");
            assert!(said.contains(plain) && !said.contains(MODEL), "{said}");
            for message in [
                format!("The overlay /{bad} cannot be applied: starting without overlays."),
                "The device tree /boot/none.dtb of partition 3 does not load".to_owned(),
            ] {
                assert!(said.contains(&message), "{message}: {said}");
            }
        }
    }
}
