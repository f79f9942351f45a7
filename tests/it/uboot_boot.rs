//! The boot script in the real U-Boot of Debian's packages, on an emulated Raspberry Pi 3, from the card that a conversion made: which
//! root filesystem it starts and what it writes, held against the model of the state machine. A boot ends at the kernel's first lines.

use super::convert::{Converted, converted};
use super::fw_env::{bytes, number, read};
use super::qemu::Machine;
use super::support::{must, scratch, tool};
use goldsmith::boot::state::serial::{Copy, Pair};
use goldsmith::boot::state::{Cut, Environment as _, Slot, Values};
use goldsmith::boot::uboot::environment::FILES;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const BOOT: Duration = Duration::from_secs(300);

/// The programs of a Debian release, unpacked once; `None`, said aloud, where they cannot be fetched.
fn programs(release: &str) -> Option<PathBuf> {
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("u-boot").join(release);
    if !dir.is_dir() {
        let mmdebstrap = tool("mmdebstrap")?;
        let part = dir.with_extension("part");
        let _ = fs::remove_dir_all(&part);
        fs::create_dir_all(&part).unwrap();
        let archive = part.join("tree.tar");
        let plain =
            ["--quiet", "--variant=extract", "--architectures=arm64", "--include=u-boot-rpi,u-boot-qemu", "--format=tar", release];
        let output = std::process::Command::new(mmdebstrap).args(plain).arg(&archive).output().unwrap();
        if !output.status.success() {
            assert!(std::env::var_os("CI").is_none(), "fetching U-Boot: {}", String::from_utf8_lossy(&output.stderr));
            eprintln!("SKIPPED: U-Boot of {release} cannot be fetched");
            return None;
        }
        must("tar", &[&"-C", &part, &"-xf", &archive, &"./usr/lib/u-boot"]);
        fs::remove_file(archive).unwrap();
        fs::rename(part, &dir).unwrap();
    }
    Some(dir.join("usr/lib/u-boot"))
}

/// What is in slot B; slot A is always good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// The converted root filesystem.
    Good,
    /// No filesystem.
    Nothing,
    /// A kernel of noise.
    Garbage,
    /// Links to the kernel instead of a file that names it.
    Links,
    /// No initial RAM disk.
    NoInitrd,
}

/// A card.
struct Card {
    made: Arc<Converted>,
    dir: tempfile::TempDir,
    program: PathBuf,
    boots: std::cell::Cell<u32>,
}

impl Card {
    /// A copy of the converted card, with slot B as it is said; `program` is the U-Boot that starts.
    fn new(release: &str, program: &str, content: Content) -> Option<Self> {
        for name in ["qemu-system-aarch64", "mcopy", "debugfs"] {
            tool(name)?;
        }
        let made = converted("pi", "release-1")?;
        let program = programs(release)?.join(program).join("u-boot.bin");
        let dir = scratch();
        must("cp", &[&"--sparse=always", &"--reflink=auto", &made.image, &dir.path().join("card.img")]);
        let card = Self { made, dir, program, boots: 0.into() };
        for name in ["bcm2837-rpi-3-b.dtb", "cmdline.txt", "boot.scr"] {
            must("mcopy", &[&"-i", &card.fat(), &format!("::/{name}"), &card.path(name)]);
        }
        card.slot_b(content);
        Some(card)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn image(&self) -> PathBuf {
        self.path("card.img")
    }

    /// The boot partition as mtools name it.
    fn fat(&self) -> String {
        format!("{}@@{}", self.image().display(), self.made.part(1).start)
    }

    fn slot_b(&self, content: Content) {
        let start = self.made.part(3).start;
        let debugfs = |commands: &str| {
            fs::write(self.path("commands"), commands).unwrap();
            let slot = format!("{}?offset={start}", self.image().display());
            must(tool("debugfs").unwrap(), &[&"-w", &"-f", &self.path("commands"), &slot]);
        };
        let version = "6.1.0+rpt-rpi-v8";
        match content {
            Content::Good => {}
            Content::Nothing => {
                let file = fs::OpenOptions::new().write(true).open(self.image()).unwrap();
                file.write_all_at(&vec![0; 1 << 20], start).unwrap();
            }
            Content::Garbage => {
                fs::write(self.path("noise"), vec![0x5a; 1 << 20]).unwrap();
                let noise = self.path("noise");
                debugfs(&format!("rm /boot/vmlinuz-{version}\nwrite {} /boot/vmlinuz-{version}\n", noise.display()));
            }
            Content::Links => debugfs(&format!(
                "rm /boot/mender-slot.env\nsymlink /vmlinuz boot/vmlinuz-{version}\nsymlink /initrd.img boot/initrd.img-{version}\n"
            )),
            Content::NoInitrd => debugfs(&format!("rm /boot/initrd.img-{version}\n")),
        }
    }

    /// Replaces the environment.
    fn place(&self, state: &Pair) {
        for (path, copy) in FILES.iter().zip(state.copies) {
            fs::write(self.path("copy"), bytes(copy)).unwrap();
            must("mcopy", &[&"-o", &"-i", &self.fat(), &self.path("copy"), &format!("::{path}")]);
        }
    }

    /// The environment as it is now.
    fn pair(&self) -> Pair {
        Pair::new(FILES.map(|path| {
            must("mcopy", &[&"-n", &"-o", &"-i", &self.fat(), &format!("::{path}"), &self.path("copy")]);
            read(&fs::read(self.path("copy")).unwrap())
        }))
    }

    /// Starts it; returns the slot whose kernel ran, `None` when the script gave up.
    fn start(&self, name: &str) -> Option<Slot> {
        self.boots.set(self.boots.get() + 1);
        // The firmware's part: what cmdline.txt says, with the console of this machine.
        let words = fs::read_to_string(self.path("cmdline.txt")).unwrap();
        let words = words.split_whitespace().filter(|word| !word.starts_with("console=") && *word != "quiet");
        let firmware = words.chain(["console=ttyS1,115200", "loglevel=6"]).collect::<Vec<_>>().join(" ");
        let arguments = format!(
            "-M raspi3b -accel tcg -display none -monitor none -serial null -serial stdio -net none -no-reboot -kernel {} -dtb {} -drive if=sd,format=raw,file={} -append",
            self.program.display(),
            self.path("bcm2837-rpi-3-b.dtb").display(),
            self.image().display()
        );
        let arguments: Vec<String> = arguments.split(' ').map(str::to_owned).chain([firmware.clone()]).collect();
        let mut machine = Machine::start(&format!("u-boot-{name}-{}", self.boots.get()), "qemu-system-aarch64", &arguments);
        let ends = ["Kernel command line:", "Trying again in 30 seconds"];
        let Some((which, _)) = machine.listen_for(&ends, BOOT) else { panic!("no end of the boot: {}", machine.transcript()) };
        if which == 1 {
            return None;
        }
        let line = machine.wait_for("\n", BOOT);
        let slot = [Slot::A, Slot::B].into_iter().find(|slot| line.contains(&format!(" mender.slot={} ", number(*slot))));
        let slot = slot.unwrap_or_else(|| panic!("no slot: {line}"));
        let uuid = self.made.record["disk"]["partitions"][number(slot) as usize - 1]["partuuid"].as_str().unwrap();
        assert!(line.contains(&format!(" root=PARTUUID={uuid} ")), "{line}");
        assert!(line.contains("fsck.repair=yes") && line.contains("loglevel=6") && line.contains(" panic=-1"), "{line}");
        assert_eq!(line.matches("root=").count(), 1, "{line}");
        Some(slot)
    }

    /// One boot from each state, which must do what the model does.
    fn boots(&self, name: &str, content: Content, states: &[Pair]) {
        let loads = |slot| slot == Slot::A || matches!(content, Content::Good | Content::Links);
        for state in states {
            self.place(state);
            let mut model = state.clone();
            let expected = model.boot(loads).unwrap();
            assert_eq!(self.start(name), expected, "{name}: from {state:?}");
            assert_eq!(self.pair().copies, model.copies, "{name}: from {state:?}");
        }
    }
}

/// The environment with these values, and older ones in the other copy.
fn newest(serial: u8, values: Values) -> Pair {
    let old = Values::settled(values.part.other());
    Pair::new([Some(Copy::good(serial, values)), Some(Copy::good(serial.wrapping_sub(1), old))])
}

fn tried(part: Slot) -> Values {
    Values { part, upgrade: true, count: true }
}

const DEBIAN_12: [&str; 2] = ["bookworm", "rpi_3"];
const DEBIAN_13: [&str; 2] = ["trixie", "rpi_3"];

fn boots(name: &str, [release, program]: [&str; 2], content: Content, states: &[Pair]) {
    if let Some(card) = Card::new(release, program, content) {
        card.boots(name, content, states);
    }
}

#[test]
fn uboot_boot_notes_a_trial_before_it_starts() {
    boots("trial", DEBIAN_12, Content::Good, &[newest(255, Values::pending(Slot::B))]);
}

/// Every row of the table that needs no broken slot.
fn rows() -> Vec<Pair> {
    let out_of_range = Some(Copy { serial: 9, values: None });
    let swapped = |pair: Pair| Pair::new([pair.copies[1], pair.copies[0]]);
    vec![
        newest(1, Values::settled(Slot::A)),
        swapped(newest(1, Values::settled(Slot::B))),
        swapped(newest(0, Values::pending(Slot::B))),
        newest(7, tried(Slot::B)),
        swapped(newest(0x80, tried(Slot::A))),
        Pair::new([None, Some(Copy::good(3, Values::pending(Slot::B)))]),
        Pair::new([Some(Copy::good(3, Values::settled(Slot::B))), None]),
        Pair::new([Some(Copy::good(8, Values::settled(Slot::B))), out_of_range]),
        Pair::new([None, None]),
    ]
}

#[test]
#[ignore = "boots many times; `make test-boot` runs it"]
fn boot_uboot_by_every_row_of_the_table() {
    boots("rows-12", DEBIAN_12, Content::Good, &rows());
}

#[test]
#[ignore = "boots many times; `make test-boot` runs it"]
fn boot_uboot_of_debian_13_by_every_row_of_the_table() {
    boots("rows-13", DEBIAN_13, Content::Good, &rows());
}

#[test]
#[ignore = "boots many times; `make test-boot` runs it"]
fn boot_uboot_through_updates() {
    let Some(card) = Card::new(DEBIAN_12[0], DEBIAN_12[1], Content::Good) else { return };
    // As the card left the factory.
    assert_eq!(card.start("life"), Some(Slot::A));
    let mut pair = card.pair();
    assert_eq!(pair.believed(), Some(Values::settled(Slot::A)));
    // An update that is not committed, then one that is.
    for commit in [false, true] {
        pair.set(Values::pending(Slot::B)).unwrap();
        card.place(&pair);
        assert_eq!(card.start("life"), Some(Slot::B));
        pair = card.pair();
        assert_eq!(pair.believed(), Some(tried(Slot::B)));
        if commit {
            pair.set(Values { upgrade: false, ..tried(Slot::B) }).unwrap();
            card.place(&pair);
        }
        let stays = if commit { Slot::B } else { Slot::A };
        assert_eq!(card.start("life"), Some(stays));
        pair = card.pair();
        assert_eq!(pair.believed().map(|values| (values.part, values.upgrade)), Some((stays, false)));
    }
}

#[test]
#[ignore = "boots many times; `make test-boot` runs it"]
fn boot_uboot_with_a_slot_that_does_not_load() {
    let states = [newest(4, Values::pending(Slot::B)), newest(4, Values::settled(Slot::B)), newest(4, tried(Slot::A))];
    for content in [Content::Nothing, Content::Garbage, Content::NoInitrd] {
        boots(&format!("{content:?}").to_lowercase(), DEBIAN_12, content, &states);
    }
    boots("links", DEBIAN_12, Content::Links, &states[..1]);
    boots("nothing-13", DEBIAN_13, Content::Nothing, &states[..2]);
}

#[test]
#[ignore = "boots many times; `make test-boot` runs it"]
fn boot_uboot_after_a_power_cut_at_every_write() {
    let mut states = Vec::new();
    for start in [Values::pending(Slot::B), tried(Slot::A)] {
        for cut in [Cut::Torn, Cut::After] {
            let mut pair = newest(30, start);
            pair.power.fuse = Some((0, cut));
            pair.boot(|_| true).unwrap_err();
            states.push(Pair::new(pair.copies));
        }
    }
    boots("cuts", DEBIAN_12, Content::Good, &states);
}

#[test]
#[ignore = "boots; `make test-boot` runs it"]
fn boot_uboot_for_several_models() {
    boots("arm64-12", ["bookworm", "rpi_arm64"], Content::Good, &[newest(1, Values::pending(Slot::B))]);
    boots("arm64-13", ["trixie", "rpi_arm64"], Content::Good, &[newest(1, Values::pending(Slot::B))]);
}

#[test]
#[ignore = "boots; `make test-boot` runs it"]
fn boot_uboot_with_a_script_that_breaks_the_rule_is_noticed() {
    let Some(card) = Card::new(DEBIAN_12[0], DEBIAN_12[1], Content::Good) else { return };
    let text = goldsmith::boot::uboot::header::unwrap(&fs::read(card.path("boot.scr")).unwrap()).unwrap();
    let rule = "if test ${mender_newest} = 1; then\n  setenv mender_next 2;";
    assert_eq!(text.matches(rule).count(), 1);
    let broken = text.replace(rule, &rule.replace("= 1", "= 2"));
    fs::write(card.path("boot.scr"), goldsmith::boot::uboot::header::wrap(&broken)).unwrap();
    must("mcopy", &[&"-o", &"-i", &card.fat(), &card.path("boot.scr"), &"::/boot.scr"]);
    let state = newest(1, Values::pending(Slot::B));
    card.place(&state);
    assert_eq!(card.start("broken"), Some(Slot::B));
    let mut model = state;
    model.boot(|_| true).unwrap();
    assert_ne!(card.pair().copies, model.copies, "the newest copy was written to");
}
