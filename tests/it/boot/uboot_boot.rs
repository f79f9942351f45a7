//! The boot script in the real U-Boot of Debian's packages, on emulated machines, from the card
//! that a conversion made: which root filesystem it starts and what it writes, held against the
//! model of the state machine. A boot ends at the kernel's first lines.

mod card;
mod device_tree;
mod machine;
mod raw;

use crate::support::golden::golden;
use crate::support::qemu::Machine;
use card::{BOOT, Card, Content};
use goldsmith::boot::state::{Cut, Environment as _, Slot, Values};
use goldsmith::boot::state::{SerialCopy, SerialPair};
use machine::{Board, raspberry_pi, raspberry_pi_32, virt, virt_32, virt_raw};
use std::path::Path;

/// The environment with these values, and older ones in the other copy.
fn newest(serial: u8, values: Values) -> SerialPair {
    let old = Values::committed(values.part.other());
    SerialPair::new([
        Some(SerialCopy::good(serial, values)),
        Some(SerialCopy::good(serial.wrapping_sub(1), old)),
    ])
}

fn tried(part: Slot) -> Values {
    Values {
        part,
        upgrade: true,
        count: true,
    }
}

const PI_12: Board = raspberry_pi("bookworm", "rpi_3");
const PI_13: Board = raspberry_pi("trixie", "rpi_3");
/// That of Debian 13 stops on this emulated machine before it looks at the card.
const PI32_12: Board = raspberry_pi_32("bookworm");
/// The table of one has its mark for the boot partition in an MBR, that of the other in a GPT.
const VIRT_12: Board = virt("bookworm", "extlinux");
const VIRT_13: Board = virt("trixie", "extlinux-gpt");

const VIRT32_12: Board = virt_32("bookworm");
const VIRT32_13: Board = virt_32("trixie");

fn boots(name: &str, board: Board, content: Content, states: &[SerialPair]) {
    if let Some(card) = Card::new(board, content) {
        card.boots(name, states);
    }
}

#[test]
fn uboot_boot_notes_a_trial_before_it_starts() {
    boots(
        "trial",
        PI_12,
        Content::Good,
        &[newest(255, Values::pending(Slot::B))],
    );
}

#[test]
fn uboot_boot_of_a_board_with_its_own_u_boot_notes_a_trial_before_it_starts() {
    boots(
        "virt-trial",
        VIRT_12,
        Content::Good,
        &[newest(255, Values::pending(Slot::B))],
    );
}

/// Every row of the table that needs no broken slot.
fn rows() -> Vec<SerialPair> {
    let out_of_range = Some(SerialCopy {
        serial: 9,
        values: None,
    });
    let swapped = |pair: SerialPair| SerialPair::new([pair.copies[1], pair.copies[0]]);
    vec![
        newest(1, Values::committed(Slot::A)),
        swapped(newest(1, Values::committed(Slot::B))),
        swapped(newest(0, Values::pending(Slot::B))),
        newest(7, tried(Slot::B)),
        swapped(newest(0x80, tried(Slot::A))),
        SerialPair::new([None, Some(SerialCopy::good(3, Values::pending(Slot::B)))]),
        SerialPair::new([Some(SerialCopy::good(3, Values::committed(Slot::B))), None]),
        SerialPair::new([
            Some(SerialCopy::good(8, Values::committed(Slot::B))),
            out_of_range,
        ]),
        SerialPair::new([None, None]),
    ]
}

/// Raspberry Pi 3, U-Boot of Debian 12: every state of the environment ends as in the model.
#[test]
#[ignore = "boots many times; `make test-boot` runs it"]
fn boot_uboot_by_every_row_of_the_table() {
    boots("rows-12", PI_12, Content::Good, &rows());
}

/// Raspberry Pi 3, U-Boot of Debian 13: the same.
#[test]
#[ignore = "boots many times; `make test-boot` runs it"]
fn boot_uboot_of_debian_13_by_every_row_of_the_table() {
    boots("rows-13", PI_13, Content::Good, &rows());
}

/// Board with its own U-Boot (QEMU virt, MBR) of Debian 12: every state ends as in the model.
#[test]
#[ignore = "boots many times; `make test-boot` runs it"]
fn boot_uboot_of_a_board_by_every_row_of_the_table() {
    boots("virt-rows-12", VIRT_12, Content::Good, &rows());
}

/// Board with its own U-Boot (QEMU virt, GPT) of Debian 13: the same.
#[test]
#[ignore = "boots many times; `make test-boot` runs it"]
fn boot_uboot_of_debian_13_of_a_board_by_every_row_of_the_table() {
    boots("virt-rows-13", VIRT_13, Content::Good, &rows());
}

/// 32-bit board with its own U-Boot (QEMU virt) of Debian 12: every state ends as in the model.
#[test]
#[ignore = "boots many times; `make test-boot` runs it"]
fn boot_uboot_of_a_32_bit_board_by_every_row_of_the_table() {
    boots("virt32-rows", VIRT32_12, Content::Good, &rows());
}

/// Raspberry Pi with a 32-bit system (QEMU's model 2), U-Boot of Debian 12: every state ends as in
/// the model.
#[test]
#[ignore = "boots many times; `make test-boot` runs it"]
fn boot_uboot_of_a_32_bit_raspberry_pi_by_every_row_of_the_table() {
    boots("rows-32", PI32_12, Content::Good, &rows());
}

/// The same Raspberry Pi with a slot that does not load: no filesystem, a damaged kernel, no
/// initrd, only links.
#[test]
#[ignore = "boots many times; `make test-boot` runs it"]
fn boot_uboot_of_a_32_bit_raspberry_pi_with_a_slot_that_does_not_load() {
    for content in BROKEN {
        boots(
            &format!("pi32-{content:?}").to_lowercase(),
            PI32_12,
            content,
            &broken()[..1],
        );
    }
    boots("pi32-links", PI32_12, Content::Links, &broken()[..1]);
}

/// From the factory, over an update that is not committed, and one that is.
fn updates(name: &str, board: Board) {
    if let Some(card) = Card::new(board, Content::Good) {
        updates_of(name, &card);
    }
}

/// The same with a card.
fn updates_of(name: &str, card: &Card) {
    assert_eq!(card.start(name), Some(Slot::A));
    let mut pair = card.pair();
    assert_eq!(pair.believed(), Some(Values::committed(Slot::A)));
    for commit in [false, true] {
        pair.set(Values::pending(Slot::B)).unwrap();
        card.place(&pair);
        assert_eq!(card.start(name), Some(Slot::B));
        pair = card.pair();
        assert_eq!(pair.believed(), Some(tried(Slot::B)));
        if commit {
            pair.set(Values {
                upgrade: false,
                ..tried(Slot::B)
            })
            .unwrap();
            card.place(&pair);
        }
        let stays = if commit { Slot::B } else { Slot::A };
        assert_eq!(card.start(name), Some(stays));
        pair = card.pair();
        assert_eq!(
            pair.believed().map(|values| (values.part, values.upgrade)),
            Some((stays, false))
        );
    }
}

/// Raspberry Pi 3: an update that is not committed, and one that is.
#[test]
#[ignore = "boots many times; `make test-boot` runs it"]
fn boot_uboot_through_updates() {
    updates("life", PI_12);
}

/// [`updates`] with a talker on the serial line.
fn updates_with_a_talker(name: &str, board: Board) {
    if let Some(mut card) = Card::new(board, Content::Good) {
        card.talker = true;
        updates_of(name, &card);
    }
}

/// Raspberry Pi 3 with a talker on its UART, whose bytes U-Boot could take for keys: an update that
/// is not committed, and one that is; U-Boot of Debian 13.
#[test]
#[ignore = "boots many times; `make test-boot` runs it"]
fn boot_uboot_through_updates_with_a_talker_on_the_uart() {
    updates_with_a_talker("talker-13", PI_13);
}

/// The same with the U-Boot of Debian 12.
#[test]
#[ignore = "boots many times; `make test-boot` runs it"]
fn boot_uboot_of_debian_12_through_updates_with_a_talker_on_the_uart() {
    updates_with_a_talker("talker-12", PI_12);
}

/// QEMU virt: an update that is not committed, and one that is; U-Boot of Debian 12 and 13.
#[test]
#[ignore = "boots many times; `make test-boot` runs it"]
fn boot_uboot_of_a_board_through_updates() {
    updates("virt-life", VIRT_12);
    updates("virt-life-13", VIRT_13);
}

/// An update that does not load, the system that does not any more, and going back to what is good.
fn broken() -> [SerialPair; 3] {
    [
        newest(4, Values::pending(Slot::B)),
        newest(4, Values::committed(Slot::B)),
        newest(4, tried(Slot::A)),
    ]
}

/// Each way to be broken.
const BROKEN: [Content; 3] = [Content::Nothing, Content::Garbage, Content::NoInitrd];

/// Raspberry Pi 3: no filesystem, a damaged kernel, no initrd; the other slot starts, and this is
/// recorded.
#[test]
#[ignore = "boots many times; `make test-boot` runs it"]
fn boot_uboot_with_a_slot_that_does_not_load() {
    for content in BROKEN {
        boots(
            &format!("{content:?}").to_lowercase(),
            PI_12,
            content,
            &broken(),
        );
    }
    boots("links", PI_12, Content::Links, &broken()[..1]);
    boots("nothing-13", PI_13, Content::Nothing, &broken()[..2]);
}

/// QEMU virt: no filesystem, a damaged kernel, no initrd; the other slot starts, and this is
/// recorded.
#[test]
#[ignore = "boots many times; `make test-boot` runs it"]
fn boot_uboot_of_a_board_with_a_slot_that_does_not_load() {
    for content in BROKEN {
        boots(
            &format!("virt-{content:?}").to_lowercase(),
            VIRT_12,
            content,
            &broken(),
        );
    }
    boots("virt-links", VIRT_12, Content::Links, &broken()[..1]);
    boots("virt-nothing-13", VIRT_13, Content::Nothing, &broken()[..2]);
}

/// 32-bit QEMU virt, U-Boot of Debian 13: no filesystem, a damaged kernel, no initrd, only links.
#[test]
#[ignore = "boots many times; `make test-boot` runs it"]
fn boot_uboot_of_a_32_bit_board_with_a_slot_that_does_not_load() {
    for content in BROKEN {
        boots(
            &format!("virt32-{content:?}").to_lowercase(),
            VIRT32_13,
            content,
            &broken()[..1],
        );
    }
    boots("virt32-links", VIRT32_13, Content::Links, &broken()[..1]);
}

/// QEMU virt, whose U-Boot does not define where to decompress a kernel: an update with
/// a gzip-compressed kernel starts.
#[test]
#[ignore = "boots; `make test-boot` runs it"]
fn boot_uboot_of_a_board_with_a_kernel_that_gzip_packed() {
    boots("virt-packed", VIRT_12, Content::Packed, &broken()[..1]);
    boots("virt-packed-13", VIRT_13, Content::Packed, &broken()[..1]);
    // It is the script that says where.
    let Some(card) = Card::new(VIRT_12, Content::Packed) else {
        return;
    };
    card.change_script(
        "setexpr kernel_comp_addr_r ${ramdisk_addr_r} + 8000000",
        "setenv kernel_comp_addr_r",
    );
    card.place(&broken()[0]);
    assert_eq!(card.start("virt-packed-nowhere"), Some(Slot::A));
}

/// What is left when the power fails at each write.
fn cuts() -> Vec<SerialPair> {
    let mut states = Vec::new();
    for start in [Values::pending(Slot::B), tried(Slot::A)] {
        for cut in [Cut::Missing, Cut::After] {
            let mut pair = newest(30, start);
            pair.power.fails_after = Some((0, cut));
            pair.boot(|_| true).unwrap_err();
            states.push(SerialPair::new(pair.copies));
        }
    }
    states
}

/// Raspberry Pi 3: power cuts at every write of the boot script.
#[test]
#[ignore = "boots many times; `make test-boot` runs it"]
fn boot_uboot_after_a_power_cut_at_every_write() {
    boots("cuts", PI_12, Content::Good, &cuts());
}

/// QEMU virt: power cuts at every write of the boot script; U-Boot of Debian 12 and 13.
#[test]
#[ignore = "boots many times; `make test-boot` runs it"]
fn boot_uboot_of_a_board_after_a_power_cut_at_every_write() {
    boots("virt-cuts", VIRT_12, Content::Good, &cuts());
    boots("virt-cuts-13", VIRT_13, Content::Good, &cuts());
}

/// Raspberry Pi 3 with Debian's U-Boot for all 64-bit models: a trial is recorded before it starts.
#[test]
#[ignore = "boots; `make test-boot` runs it"]
fn boot_uboot_for_several_models() {
    boots(
        "arm64-12",
        raspberry_pi("bookworm", "rpi_arm64"),
        Content::Good,
        &[newest(1, Values::pending(Slot::B))],
    );
    boots(
        "arm64-13",
        raspberry_pi("trixie", "rpi_arm64"),
        Content::Good,
        &[newest(1, Values::pending(Slot::B))],
    );
}

/// Raspberry Pi 3 with something that talks on its serial line: it starts, since U-Boot's stored
/// environment makes it look for no key; without that, it stops at U-Boot's prompt.
#[test]
#[ignore = "boots many times; `make test-boot` runs it"]
fn boot_uboot_with_a_talker_on_the_serial_line() {
    for (name, board) in [
        ("talker-12", PI_12),
        ("talker-13", PI_13),
        ("talker-arm64-12", raspberry_pi("bookworm", "rpi_arm64")),
        ("talker-32", PI32_12),
    ] {
        let Some(card) = Card::new(board, Content::Good) else {
            return;
        };
        assert!(card.starts_with_a_talker(name), "{name}");
        card.remove_stored_environment();
        assert!(!card.starts_with_a_talker(name), "{name}");
    }
}

/// That a script which writes to the newest copy is seen.
fn notices(name: &str, board: Board) {
    let Some(card) = Card::new(board, Content::Good) else {
        return;
    };
    let rule = "if test ${mender_newest} = 1; then\n  setenv mender_next 2;";
    card.change_script(rule, &rule.replace("= 1", "= 2"));
    let state = newest(1, Values::pending(Slot::B));
    card.place(&state);
    assert_eq!(card.start(name), Some(Slot::B));
    let mut model = state;
    model.boot(|_| true).unwrap();
    assert_ne!(
        card.pair().copies,
        model.copies,
        "the newest copy was written to"
    );
}

/// A script that writes to the only good copy is found to differ from the model, on both machines.
#[test]
#[ignore = "boots; `make test-boot` runs it"]
fn boot_uboot_with_a_script_that_breaks_the_rule_is_noticed() {
    notices("broken", PI_12);
    notices("virt-broken", VIRT_12);
}

/// QEMU virt: a golden image that u-boot-menu's extlinux.conf starts; once converted, our script
/// starts it, whether or not the menu exists.
#[test]
#[ignore = "boots; `make test-boot` runs it"]
fn boot_uboot_of_a_board_whose_golden_image_starts_by_extlinux_conf() {
    for (board, variant) in [
        (VIRT_12, "extlinux"),
        (VIRT_13, "extlinux"),
        (VIRT32_12, "extlinux-armhf"),
    ] {
        let (Some(program), Some(image)) = (board.program(), golden(variant)) else {
            return;
        };
        let mut arguments = board.arguments(&program, Path::new(""), &image);
        arguments.push("-snapshot".into());
        let mut machine = Machine::start("virt-golden", board.emulator(), &arguments);
        machine.wait_for("Kernel command line:", BOOT);
        let line = machine.wait_for("\n", BOOT);
        assert!(
            line.contains("root=PARTUUID=5b1f7e2d-01 ro rootwait") && !line.contains("mender"),
            "{line}"
        );
        assert!(
            machine.transcript().contains("extlinux"),
            "{}",
            machine.transcript()
        );
        drop(machine);
        let Some(card) = Card::new(board, Content::Good) else {
            return;
        };
        assert!(card.has_in_slots("/boot/extlinux/extlinux.conf"));
        assert_eq!(card.start("virt-converted"), Some(Slot::A));
    }
}

/// QEMU virt with an environment outside the partitions, where a few variables replace a U-Boot
/// built for it: the slot that it names starts.
#[test]
#[ignore = "boots; `make test-boot` runs it"]
fn boot_uboot_of_a_board_with_a_raw_environment() {
    for board in [virt_raw("bookworm"), virt_raw("trixie")] {
        for (content, starts) in [(Content::Good, Some(Slot::B)), (Content::Garbage, None)] {
            let Some(card) = Card::new(board, content) else {
                return;
            };
            card.build_in();
            for (slot, starts) in [(Slot::A, Some(Slot::A)), (Slot::B, starts)] {
                card.place_raw(0, 1, slot);
                assert_eq!(card.start("virt-raw"), starts, "{content:?}");
            }
        }
    }
}
