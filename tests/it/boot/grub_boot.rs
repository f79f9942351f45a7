//! The boot script in the real GRUB, behind the real shim, under emulation: which root filesystem
//! it starts and what it writes, held against the model of the state machine.
//!
//! The kernel and the boot programs are Debian's, fetched once into `target/boot-packages/`. A boot
//! ends at the kernel's first lines.

mod disk;
mod golden;

use crate::boot::env_tools::number;
use crate::boot::grubenv::{medium, place};
use crate::support::qemu::Firmware;
use crate::support::{must, tool};
use disk::{BOOT, Content, Disk, GOOD, boots, intact};
use golden::{PARTUUIDS, golden, options};
use goldsmith::boot::grub::{self, GrubOptions};
use goldsmith::boot::state::{Block, BlockPair, Cut, EnvCopy, Environment as _, Slot, Values};
use goldsmith::platform::Architecture;
use goldsmith::platform::TableKind;
use std::fs;
use std::time::Duration;

#[test]
fn grub_boot_plain_under_secure_boot() {
    boots(
        "plain",
        Firmware::SecureBoot,
        GOOD,
        &[intact(Values::committed(Slot::A))],
    );
}

/// An update to slot B that nobody commits.
fn goes_back(name: &str, firmware: Firmware) {
    let Some(golden) = golden(firmware.architecture()) else {
        return;
    };
    let disk = Disk::new(golden, GOOD);
    let Some(board) = disk.board(name, firmware) else {
        return;
    };
    disk.place(&intact(Values::pending(Slot::B)));
    assert_eq!(disk.start(&board), Some(Slot::B));
    assert_eq!(
        disk.medium(),
        intact(Values {
            part: Slot::B,
            upgrade: true,
            count: true
        })
    );
    assert_eq!(disk.start(&board), Some(Slot::A));
    assert_eq!(disk.medium(), intact(Values::committed(Slot::A)));
}

#[test]
fn grub_boot_goes_back_without_a_commit() {
    goes_back("grub-trial", Firmware::Uefi);
}

#[test]
fn grub_boot_on_arm64_goes_back_without_a_commit() {
    goes_back("grub-arm64-trial", Firmware::ArmUefi);
}

#[test]
fn grub_boot_on_armhf_goes_back_without_a_commit() {
    goes_back("grub-armhf-trial", Firmware::ArmUefi32);
}

#[test]
fn grub_boot_goes_back_when_the_update_does_not_load() {
    boots(
        "garbage",
        Firmware::Uefi,
        [Content::Good, Content::Garbage],
        &[intact(Values::pending(Slot::B))],
    );
}

#[test]
fn grub_boot_with_nothing_left_of_the_environment() {
    let torn = EnvCopy {
        lock: Block::Missing,
        env: Block::Missing,
    };
    boots("torn", Firmware::Uefi, GOOD, &[BlockPair::new([torn; 2])]);
}

/// GRUB on all architectures, with and without Secure Boot: update, commit, rollback by the
/// first-stage script.
#[test]
#[ignore = "boots many times; `make test-boot` runs it"]
fn boot_grub_update_and_commit() {
    let commit = Values {
        part: Slot::B,
        upgrade: false,
        count: true,
    };
    use Firmware::*;
    for firmware in [
        Uefi,
        SecureBoot,
        ArmUefi,
        ArmSecureBoot,
        Uefi32,
        SecureBoot32,
        ArmUefi32,
    ] {
        let states = [
            intact(Values::committed(Slot::A)),
            intact(Values::pending(Slot::B)),
            intact(commit),
            intact(Values::pending(Slot::A)),
        ];
        boots(&format!("commit-{firmware:?}"), firmware, GOOD, &states);
    }
}

/// The same on arm64; an update whose kernel has a forged signature is rolled back.
#[test]
#[ignore = "boots many times; `make test-boot` runs it"]
fn boot_grub_on_arm64_under_secure_boot() {
    use Content::*;
    goes_back("grub-arm64-secure-trial", Firmware::ArmSecureBoot);
    let tried = intact(Values {
        part: Slot::B,
        upgrade: true,
        count: true,
    });
    boots("arm64-tried", Firmware::ArmSecureBoot, GOOD, &[tried]);
    for content in [Garbage, Nothing, Forged] {
        boots(
            &format!("arm64-{content:?}"),
            Firmware::ArmSecureBoot,
            [Good, content],
            &[intact(Values::pending(Slot::B))],
        );
    }
    boots(
        "arm64-forged-unnoticed",
        Firmware::ArmUefi,
        [Good, Forged],
        &[intact(Values::pending(Slot::B))],
    );
    boots(
        "arm64-no-links",
        Firmware::ArmSecureBoot,
        [NoLinks, HalfUpgraded],
        &[intact(Values::committed(Slot::B))],
    );
}

/// Slots without a filesystem, or with damaged or half-upgraded kernels.
#[test]
#[ignore = "boots many times; `make test-boot` runs it"]
fn boot_grub_with_slots_that_do_not_load() {
    use Content::*;
    let pending = || [intact(Values::pending(Slot::B))];
    boots("nothing", Firmware::Uefi, [Good, Nothing], &pending());
    boots(
        "garbage-secure",
        Firmware::SecureBoot,
        [Good, Garbage],
        &pending(),
    );
    boots("forged", Firmware::SecureBoot, [Good, Forged], &pending());
    boots(
        "forged-unnoticed",
        Firmware::Uefi,
        [Good, Forged],
        &pending(),
    );
    boots(
        "committed",
        Firmware::Uefi,
        [Garbage, Good],
        &[intact(Values::committed(Slot::A))],
    );
    boots(
        "neither",
        Firmware::Uefi,
        [Nothing, Garbage],
        &[
            intact(Values::committed(Slot::A)),
            intact(Values::committed(Slot::B)),
        ],
    );
    boots(
        "no-links",
        Firmware::Uefi,
        [NoLinks, HalfUpgraded],
        &[
            intact(Values::committed(Slot::A)),
            intact(Values::committed(Slot::B)),
        ],
    );
}

/// Power cuts at every write of the first-stage script.
#[test]
#[ignore = "boots many times; `make test-boot` runs it"]
fn boot_grub_after_a_power_cut_at_every_write() {
    let tried = |part| Values {
        part,
        upgrade: true,
        count: true,
    };
    let mut states = Vec::new();
    for start in [
        Values::pending(Slot::B),
        tried(Slot::B),
        Values::pending(Slot::A),
        tried(Slot::A),
    ] {
        for at in 0..6 {
            let mut medium = intact(start);
            medium.power.fails_after = Some((at, Cut::Missing));
            medium.boot(|_| true).unwrap_err();
            states.push(BlockPair::new(medium.copies));
        }
    }
    boots("cuts", Firmware::Uefi, GOOD, &states);
}

/// The golden image's own GRUB menu starts in the chosen slot.
#[test]
#[ignore = "boots many times; `make test-boot` runs it"]
fn boot_grub_with_the_menu() {
    let Some(golden) = golden(Architecture::Amd64) else {
        return;
    };
    let disk = Disk::new(golden, GOOD);
    let [never, five] = [0, 5].map(|seconds| format!("set menu_seconds=\"{seconds}\"\n"));
    let script = grub::stage1(&options(Architecture::Amd64));
    assert!(script.contains(&never), "{script}");
    disk.script(&script.replace(&never, &five));
    let Some(board) = disk.board("grub-menu", Firmware::Uefi) else {
        return;
    };
    disk.place(&intact(Values::committed(Slot::B)));
    let mut machine = board.power_on();
    machine.wait_for("Press ESC for the menu", BOOT);
    machine.send("\u{1b}");
    machine.wait_for("Kernel command line:", BOOT);
    let line = machine.wait_for("\n", BOOT);
    assert!(
        line.contains(&format!(" root=PARTUUID={} ", PARTUUIDS[2])),
        "{line}"
    );
    assert!(
        !machine.transcript().contains("Loading /vmlinuz"),
        "the menu started it"
    );
}

/// The same from a disk with an MBR.
#[test]
#[ignore = "boots many times; `make test-boot` runs it"]
fn boot_grub_from_a_master_boot_record() {
    let Some(golden) = golden(Architecture::Amd64) else {
        return;
    };
    let mut disk = Disk::new(golden, GOOD);
    must(tool("sgdisk").unwrap(), &[&"-m", &"1:2:3", &disk.path]);
    let file = fs::File::options().write(true).open(&disk.path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &0x1234_abcd_u32.to_le_bytes(), 440).unwrap();
    disk.uuids = ["1234abcd-02", "1234abcd-03"];
    disk.script(&grub::stage1(&GrubOptions {
        table: TableKind::Mbr,
        partuuids: ["1234ABCD-02", "1234ABCD-03"],
        ..options(Architecture::Amd64)
    }));
    let Some(board) = disk.board("grub-mbr", Firmware::Uefi) else {
        return;
    };
    disk.place(&intact(Values::pending(Slot::B)));
    assert_eq!(disk.start(&board), Some(Slot::B));
    assert_eq!(disk.start(&board), Some(Slot::A));
}

/// Every state of the two copies, with every pair of slots that load or do not where both copies
/// are whole.
fn cases() -> Vec<(BlockPair, [bool; 2])> {
    let tried = |part| Values {
        part,
        upgrade: true,
        count: true,
    };
    let values = [Slot::A, Slot::B]
        .into_iter()
        .flat_map(|s| [Values::committed(s), Values::pending(s), tried(s)]);
    let whole = values
        .clone()
        .flat_map(|v| [[true, false], [false, true], [false; 2]].map(|loads| (intact(v), loads)));
    let some = [
        Values::committed(Slot::A),
        Values::committed(Slot::B),
        Values::pending(Slot::B),
        tried(Slot::B),
    ];
    let envs: Vec<Block<Values>> = some
        .into_iter()
        .map(Block::Valid)
        .chain([Block::Blank, Block::Missing])
        .collect();
    let locks = [Block::Valid(false), Block::Valid(true), Block::Missing];
    let copies: Vec<EnvCopy> = envs
        .iter()
        .flat_map(|env| locks.map(|lock| EnvCopy { lock, env: *env }))
        .collect();
    let pairs = copies.iter().flat_map(|one| {
        copies
            .iter()
            .map(|two| (BlockPair::new([*one, *two]), [true; 2]))
    });
    whole.chain(pairs).collect()
}

/// The script with its last part, which starts kernels, cut off; the rest as a function that is
/// called for each case.
fn decisions(script: &str, calls: &str) -> String {
    let (functions, main) = script.split_once("\nsettle\n").unwrap();
    let (choice, starts) = main.split_once("set last_resort=\"0\"\n").unwrap();
    let starts = starts.split_once("\necho").unwrap().0;
    let (functions, _) = functions.split_once("# start_slot SLOT").unwrap();
    let mut out = format!("{functions}\nset esp=\"$root\"\n");
    out.push_str(
        "function start_slot {\n  choose \"$1\"\n  if [ \"$started\" = \"none\" ]; then\n    if regexp \"$1\" \"$loads\"; then\n      \
         if [ \"$last_resort\" = \"1\" ]; then store \"$slot\" 0 0; fi\n      set started=\"$slot\"\n    fi\n  fi\n}\n",
    );
    out.push_str(&format!("function decide {{\nset started=\"none\"\nset root=\"$esp\"\nsettle\n{choice}\nset last_resort=\"0\"\n{starts}\necho \"case=$1=$started=\"\n}}\n"));
    out.push_str(
        "function one {\n  set dir=\"($esp)/cases/$1\"\n  set loads=\"$2\"\n  decide \"$1\"\n}\n",
    );
    out.push_str(calls);
    out.push_str("echo \"all cases\"\nsleep 1000\n");
    out
}

/// Goes through `cases` in one boot; says where script and model differ, `None` when that cannot be
/// found out here.
fn differences(name: &str, script: &str, cases: &[(BlockPair, [bool; 2])]) -> Option<Vec<String>> {
    let disk = Disk::new(golden(Architecture::Amd64)?, [Content::Nothing; 2]);
    let dir = disk.dir.path().join("cases");
    let mut calls = String::new();
    for (at, (state, loads)) in cases.iter().enumerate() {
        place(&dir.join(at.to_string()), state);
        let loads: String = [Slot::A, Slot::B]
            .iter()
            .filter(|s| loads[**s as usize])
            .map(|s| number(*s).to_string())
            .collect();
        calls.push_str(&format!("one {at} \"{loads}\"\n"));
    }
    must("mcopy", &[&"-s", &"-i", &disk.esp, &dir, &"::/"]);
    disk.script(&decisions(script, &calls));
    let board = disk.board(name, Firmware::Uefi)?;
    let said = board
        .power_on()
        .wait_for("all cases", Duration::from_secs(900));
    let said: String = said.chars().filter(|c| !c.is_whitespace()).collect();
    let out = disk.dir.path().join("out");
    fs::create_dir(&out).unwrap();
    must(
        "mcopy",
        &[&"-s", &"-n", &"-i", &disk.esp, &"::/cases", &out],
    );
    let differs = |(at, (state, loads)): (usize, &(BlockPair, [bool; 2]))| {
        let mut model = state.clone();
        let started = model.boot(|slot| loads[slot as usize]).unwrap();
        let started = started.map_or("none".to_owned(), |slot| number(slot).to_string());
        let found = medium(&out.join(format!("cases/{at}"))).copies;
        let same = said.contains(&format!("case={at}={started}=")) && found == model.copies;
        (!same).then(|| {
            format!(
                "case {at}: {state:?}, {loads:?}: not {started} and {:?} but {found:?}",
                model.copies
            )
        })
    };
    Some(cases.iter().enumerate().filter_map(differs).collect())
}

/// Decisions of the script in every state of the environment, compared with the model.
#[test]
#[ignore = "goes through hundreds of states; `make test-boot` runs it"]
fn boot_grub_decides_as_the_model_in_every_state() {
    let script = grub::stage1(&options(Architecture::Amd64));
    let Some(differences) = differences("grub-decisions", &script, &cases()) else {
        return;
    };
    assert_eq!(differences, Vec::<String>::new());
}

/// A script that breaks the rule is found to differ from the model.
#[test]
#[ignore = "boots; `make test-boot` runs it"]
fn boot_grub_with_a_script_that_breaks_the_rule_is_noticed() {
    let rule = "\"$state1\" != \"good\" -o \"$state2\" != \"good\" -o \"$values1\" != \"$values2\" ]; then return";
    let script = grub::stage1(&options(Architecture::Amd64));
    assert_eq!(script.matches(rule).count(), 1);
    let torn = EnvCopy {
        lock: Block::Valid(false),
        env: Block::Missing,
    };
    let one = BlockPair::new([torn, EnvCopy::clean(Values::pending(Slot::B))]);
    let cases = [
        (intact(Values::pending(Slot::B)), [true; 2]),
        (one, [true; 2]),
    ];
    let broken = script.replace(rule, &rule.replace("return", "true"));
    let Some(differences) = differences("grub-broken", &broken, &cases) else {
        return;
    };
    assert!(
        differences.len() == 1 && differences[0].starts_with("case 1:"),
        "{differences:?}"
    );
}
