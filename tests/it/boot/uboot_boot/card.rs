//! A card that a conversion made, in a machine: what is on it, and what one start makes of it.

use super::machine::Board;
use crate::boot::env_tools::number;
use crate::boot::fw_env::{bytes, read};
use crate::convert::conversions::{Converted, converted};
use crate::support::qemu::Machine;
use crate::support::{must, scratch, tool};
use goldsmith::boot::state::SerialPair;
use goldsmith::boot::state::{Environment as _, Slot};
use goldsmith::boot::uboot::environment::FILES;
use goldsmith::boot::uboot::header;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) const BOOT: Duration = Duration::from_secs(300);

/// What is in slot B; slot A is always good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
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
    /// A kernel that gzip packed.
    Packed,
}

impl Content {
    /// Whether U-Boot can start it.
    fn loads(self) -> bool {
        matches!(self, Self::Good | Self::Links | Self::Packed)
    }
}

/// Sends what a receiver of satellites says, again and again, until the line says one of `ends`.
fn talk(machine: &mut Machine, ends: &[&str]) -> Option<(usize, String)> {
    let deadline = Instant::now() + BOOT;
    while Instant::now() < deadline {
        machine.send("$GPRMC,120000.00,A,4807.038,N,01131.000,E,000.0,000.0,281126,,,A*6B");
        let found = machine.listen_for(ends, Duration::from_millis(50));
        if found.is_some() {
            return found;
        }
    }
    None
}

/// A card.
pub(crate) struct Card {
    board: Board,
    content: Content,
    made: Arc<Converted>,
    dir: tempfile::TempDir,
    program: PathBuf,
    boots: std::cell::Cell<u32>,
    /// Whether something talks on the serial line all the time.
    pub(crate) talker: bool,
}

impl Card {
    /// A copy of the converted card for `board`, with slot B as it is said. `None`, said aloud,
    /// when something is not installed.
    pub(crate) fn new(board: Board, content: Content) -> Option<Self> {
        for name in ["mcopy", "debugfs"] {
            tool(name)?;
        }
        let program = board.program()?;
        let made = converted(board.variant, "release-1")?;
        let dir = scratch();
        must(
            "cp",
            &[
                &"--sparse=always",
                &"--reflink=auto",
                &made.image,
                &dir.path().join("card.img"),
            ],
        );
        let card = Self {
            board,
            content,
            made,
            dir,
            program,
            boots: 0.into(),
            talker: false,
        };
        for name in board.files() {
            card.take_out(name);
        }
        // The conversion stores the environment of the U-Boot that it found, which is another one.
        if let Some(file) = card.stored_environment() {
            card.put_in("/uboot.env", &file);
        }
        card.spoil();
        Some(card)
    }

    /// What the conversion stores for the U-Boot of the machine, on a Raspberry Pi.
    fn stored_environment(&self) -> Option<Vec<u8>> {
        if !self.board.variant.starts_with("pi") {
            return None;
        }
        goldsmith::boot::uboot::pi::without_delay(&fs::read(&self.program).unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn image(&self) -> PathBuf {
        self.path("card.img")
    }

    /// The boot partition as mtools name it.
    fn fat(&self) -> String {
        format!("{}@@{}", self.image().display(), self.made.part(1).start)
    }

    /// Copies a file at the top of the boot partition to the card's directory; returns it.
    fn take_out(&self, name: &str) -> PathBuf {
        must(
            "mcopy",
            &[
                &"-n",
                &"-o",
                &"-i",
                &self.fat(),
                &format!("::/{name}"),
                &self.path(name),
            ],
        );
        self.path(name)
    }

    /// Puts a file of the boot partition in its place.
    fn put_in(&self, path: &str, bytes: &[u8]) {
        fs::write(self.path("put"), bytes).unwrap();
        must(
            "mcopy",
            &[
                &"-o",
                &"-i",
                &self.fat(),
                &self.path("put"),
                &format!("::{path}"),
            ],
        );
    }

    /// Changes a place of the boot script, which it has once.
    pub(crate) fn change_script(&self, from: &str, to: &str) {
        let text = header::unwrap(&fs::read(self.take_out("boot.scr")).unwrap()).unwrap();
        assert_eq!(text.matches(from).count(), 1, "{from}");
        self.put_in("/boot.scr", &header::wrap(&text.replace(from, to)));
    }

    /// Runs commands of debugfs on slot B; returns what it said.
    fn debugfs(&self, commands: &str) -> String {
        fs::write(self.path("commands"), commands).unwrap();
        let slot = format!(
            "{}?offset={}",
            self.image().display(),
            self.made.part(3).start
        );
        must(
            tool("debugfs").unwrap(),
            &[&"-w", &"-f", &self.path("commands"), &slot],
        )
    }

    /// Whether slot B, which has what slot A has, has a file.
    pub(crate) fn has_in_slots(&self, path: &str) -> bool {
        self.debugfs(&format!("stat {path}\n"))
            .contains("Type: regular")
    }

    /// A text file of slot B, which has what slot A has.
    pub(crate) fn text_in_slots(&self, path: &str) -> String {
        self.debugfs(&format!("cat {path}\n"))
    }

    /// Replaces a file of slot B.
    pub(crate) fn put_in_slot_b(&self, path: &str, bytes: &[u8]) {
        fs::write(self.path("put"), bytes).unwrap();
        self.debugfs(&format!(
            "rm {path}\nwrite {} {path}\n",
            self.path("put").display()
        ));
    }

    /// Writes bytes of the card.
    pub(crate) fn write_at(&self, offset: u64, bytes: &[u8]) {
        let file = fs::OpenOptions::new()
            .write(true)
            .open(self.image())
            .unwrap();
        file.write_all_at(bytes, offset).unwrap();
    }

    /// Makes slot B what it shall be.
    fn spoil(&self) {
        let kernel = self.made.record["boot"]["kernel"].as_str().unwrap();
        let initrd = kernel.replace("/vmlinuz-", "/initrd.img-");
        match self.content {
            Content::Good => {}
            Content::Nothing => self.write_at(self.made.part(3).start, &vec![0; 1 << 20]),
            Content::Garbage => {
                fs::write(self.path("noise"), vec![0x5a; 1 << 20]).unwrap();
                self.debugfs(&format!(
                    "rm {kernel}\nwrite {} {kernel}\n",
                    self.path("noise").display()
                ));
            }
            Content::Links => {
                let [kernel, initrd] = [kernel, &initrd].map(|path| &path[1..]);
                self.debugfs(&format!("rm /boot/mender-slot.env\nsymlink /vmlinuz {kernel}\nsymlink /initrd.img {initrd}\n"));
            }
            Content::NoInitrd => drop(self.debugfs(&format!("rm {initrd}\n"))),
            Content::Packed => {
                let plain = self.path("plain");
                self.debugfs(&format!("dump {kernel} {}\n", plain.display()));
                must("gzip", &[&"-n", &"-1", &plain]);
                self.debugfs(&format!(
                    "rm {kernel}\nwrite {}.gz {kernel}\n",
                    plain.display()
                ));
            }
        }
    }

    /// Replaces the environment.
    pub(crate) fn place(&self, state: &SerialPair) {
        for (path, copy) in FILES.iter().zip(state.copies) {
            self.put_in(path, &bytes(copy));
        }
    }

    /// The environment as it is now.
    pub(crate) fn pair(&self) -> SerialPair {
        SerialPair::new(FILES.map(|path| {
            must(
                "mcopy",
                &[
                    &"-n",
                    &"-o",
                    &"-i",
                    &self.fat(),
                    &format!("::{path}"),
                    &self.path("copy"),
                ],
            );
            read(&fs::read(self.path("copy")).unwrap())
        }))
    }

    /// Starts it; returns the slot whose kernel ran, `None` when the script gave up.
    pub(crate) fn start(&self, name: &str) -> Option<Slot> {
        self.transcript(name).0
    }

    /// The same, with all that was said on the serial line.
    pub(crate) fn transcript(&self, name: &str) -> (Option<Slot>, String) {
        self.boots.set(self.boots.get() + 1);
        let arguments = self
            .board
            .arguments(&self.program, self.dir.path(), &self.image());
        let mut machine = Machine::start(
            &format!("u-boot-{name}-{}", self.boots.get()),
            self.board.emulator(),
            &arguments,
        );
        let ends = ["Kernel command line:", "Trying again in 30 seconds"];
        let found = if self.talker {
            talk(&mut machine, &ends)
        } else {
            machine.listen_for(&ends, BOOT)
        };
        let Some((which, _)) = found else {
            panic!("no end of the boot: {}", machine.transcript())
        };
        // The script keeps its own environment; U-Boot's would freeze its defaults on the card or
        // in flash.
        assert!(
            !machine.transcript().contains("Saving Environment"),
            "{}",
            machine.transcript()
        );
        if which == 1 {
            return (None, machine.transcript());
        }
        let line = machine.wait_for("\n", BOOT);
        let slot = [Slot::A, Slot::B]
            .into_iter()
            .find(|slot| line.contains(&format!(" mender.slot={} ", number(*slot))));
        let slot = slot.unwrap_or_else(|| panic!("no slot: {line}"));
        let uuid = self.made.record["disk"]["partitions"][number(slot) as usize - 1]["partuuid"]
            .as_str()
            .unwrap();
        assert!(line.contains(&format!(" root=PARTUUID={uuid} ")), "{line}");
        // The arguments of a slot are in the file that names its kernel.
        if slot == Slot::A || self.content != Content::Links {
            assert!(
                self.board.words().iter().all(|word| line.contains(word))
                    && line.contains(" panic=-1"),
                "{line}"
            );
        }
        assert_eq!(line.matches("root=").count(), 1, "{line}");
        (Some(slot), machine.transcript())
    }

    /// Takes away what U-Boot has stored of its own environment.
    pub(crate) fn remove_stored_environment(&self) {
        must("mdel", &[&"-i", &self.fat(), &"::/uboot.env"]);
    }

    /// Whether it starts while something sends lines to its serial line all the time; if not,
    /// U-Boot is at its prompt.
    pub(crate) fn starts_with_a_talker(&self, name: &str) -> bool {
        let arguments = self
            .board
            .arguments(&self.program, self.dir.path(), &self.image());
        let mut machine =
            Machine::start(&format!("u-boot-{name}"), self.board.emulator(), &arguments);
        let ends = ["Kernel command line:", "U-Boot> "];
        for _ in 0..2 * BOOT.as_secs() {
            machine.send("$GPGGA,,,,,,0,,,,,,,,*66");
            if let Some((which, _)) = machine.listen_for(&ends, Duration::from_millis(500)) {
                return which == 0;
            }
        }
        panic!("no end of the boot: {}", machine.transcript())
    }

    /// One boot from each state, which must do what the model does.
    pub(crate) fn boots(&self, name: &str, states: &[SerialPair]) {
        for state in states {
            self.place(state);
            let mut model = state.clone();
            let expected = model
                .boot(|slot| slot == Slot::A || self.content.loads())
                .unwrap();
            assert_eq!(self.start(name), expected, "{name}: from {state:?}");
            assert_eq!(self.pair().copies, model.copies, "{name}: from {state:?}");
        }
    }
}
