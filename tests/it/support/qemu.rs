//! A whole computer around an image: firmware, disk and a root shell on the serial line.
//!
//! A [`Board`] is what stays when the power goes: an overlay over the image (which itself is never
//! written) and the firmware's variables. A [`Machine`] is a board under power: its serial line is
//! read all the time, kept under `target/boot-logs/`, and searched by [`Machine::wait_for`];
//! [`Machine::run`] runs a command in the root shell. Dropping it cuts the power.
//!
//! Emulation takes all the processors there are, so one machine runs at a time.
#![allow(dead_code)]

mod firmware;

use crate::convert::conversions::partitions;
use crate::support::u_boot;
use crate::support::{must, tool};
pub(crate) use firmware::Firmware;
use goldsmith::platform::Architecture;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The longest time from power to a root shell. A rich image takes about 100 s by emulation on two
/// processors.
pub(crate) const BOOT: Duration = Duration::from_secs(900);
/// The longest time for a command that does little.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Whose turn it is.
static TURN: Mutex<()> = Mutex::new(());

/// A board without power. Its overlay and variables live in a directory that goes away with the
/// value.
#[derive(Debug)]
pub(crate) struct Board {
    name: String,
    firmware: Firmware,
    /// The firmware's files; what it writes to is in `dir`.
    files: Vec<PathBuf>,
    image: PathBuf,
    size: Option<u64>,
    dir: tempfile::TempDir,
    more_disks: Vec<PathBuf>,
    bare: Option<PathBuf>,
    cycles: std::cell::Cell<u32>,
}

impl Board {
    /// A board with `image` as its first disk (raw; never written), made larger to `size` bytes
    /// where one is given, as a user's card is larger than the image. `None`, said aloud, when QEMU
    /// or its firmware is not installed.
    pub(crate) fn new(
        name: &str,
        image: &Path,
        size: Option<u64>,
        firmware: Firmware,
    ) -> Option<Self> {
        tool(firmware.emulator())?;
        let qemu_img = tool("qemu-img")?;
        let mut files = firmware.files()?;
        let dir = crate::support::scratch();
        let image = fs::canonicalize(image).unwrap_or_else(|e| panic!("{}: {e}", image.display()));
        overlay(&qemu_img, &image, size, dir.path());
        if firmware.is_raspberry_pi() {
            u_boot::PI_3.load(&image, dir.path());
        }
        if let [_, vars] = files.as_mut_slice() {
            let own = dir.path().join("vars.fd");
            fs::copy(&*vars, &own).expect("copying the firmware's variables");
            *vars = own;
        }
        Some(Self {
            name: name.into(),
            firmware,
            files,
            image,
            size,
            dir,
            more_disks: Vec::new(),
            bare: None,
            cycles: 0.into(),
        })
    }

    /// Uses `disk` itself as the first disk instead of an overlay: all that the machine wrote is
    /// there when the power goes.
    pub(crate) fn write_to(&mut self, disk: &Path) {
        self.bare = Some(disk.to_owned());
    }

    /// Puts in one more disk (raw, read only), before the power is on for the first time. A
    /// Raspberry Pi has one slot, and what QEMU has for its USB Linux does not get along with: the
    /// disk is a file of the data partition there.
    pub(crate) fn insert(&mut self, image: &Path) {
        if self.firmware.is_raspberry_pi() {
            let card = self.dir.path().join("card.img");
            must("cp", &[&"--sparse=always", &self.image, &card]);
            let data = format!("{}?offset={}", card.display(), partitions(&card)[&4].start);
            let debugfs = tool("debugfs").expect("what makes filesystems");
            must(
                debugfs,
                &[
                    &"-w",
                    &"-R",
                    &format!("write {} media", image.display()),
                    &data,
                ],
            );
            overlay(
                &tool("qemu-img").expect("looked for before"),
                &card,
                self.size,
                self.dir.path(),
            );
            return;
        }
        self.more_disks
            .push(fs::canonicalize(image).unwrap_or_else(|e| panic!("{}: {e}", image.display())));
    }

    /// The first disk: an overlay in QEMU's own format.
    pub(crate) fn disk(&self) -> PathBuf {
        self.dir.path().join("disk.qcow2")
    }

    /// Switches the power on. Waits until no other machine runs.
    pub(crate) fn power_on(&self) -> Machine {
        let cycle = self.cycles.get() + 1;
        self.cycles.set(cycle);
        let mut machine = Machine::start(
            &format!("{}-{cycle}", self.name),
            self.firmware.emulator(),
            &self.arguments(),
        );
        machine.comes_back = self.firmware.restarts_by_power();
        machine.firmware = self.firmware;
        machine
    }

    /// QEMU's command line.
    fn arguments(&self) -> Vec<String> {
        // Hardware's help is for those who ask: it is often there and broken where machines are
        // virtual themselves.
        let accel =
            std::env::var("GOLDSMITH_QEMU_ACCEL").unwrap_or_else(|_| "tcg,thread=multi".into());
        let fixed =
            "-nodefaults -no-user-config -display none -monitor none -net none -m 1024 -accel";
        let mut arguments: Vec<String> = fixed.split_whitespace().map(String::from).collect();
        arguments.push(accel);
        let raspberry_pi = self.firmware.is_raspberry_pi();
        let own = match (raspberry_pi, self.firmware.has_management_mode()) {
            (true, _) => u_boot::PI_3.serial,
            (_, true) => "-serial stdio -device virtio-rng-pci -smp 1",
            (_, false) => "-serial stdio -device virtio-rng-pci -smp 2",
        };
        let no_reboot = self.firmware.restarts_by_power().then_some("-no-reboot");
        arguments.extend(own.split(' ').chain(no_reboot).map(String::from));
        arguments.extend(self.firmware.arguments(&self.files));
        let first = match &self.bare {
            None => format!("format=qcow2,cache=unsafe,file={}", self.disk().display()),
            Some(disk) => format!("format=raw,file={}", disk.display()),
        };
        if raspberry_pi {
            arguments.extend(["-drive".into(), format!("if=sd,{first}")]);
            arguments.extend(u_boot::PI_3.passed_on(self.dir.path(), ""));
            return arguments;
        }
        let disks = std::iter::once(first).chain(
            self.more_disks
                .iter()
                .map(|disk| format!("format=raw,readonly=on,file={}", disk.display())),
        );
        arguments.extend(disks.flat_map(|disk| ["-drive".into(), format!("if=virtio,{disk}")]));
        arguments
    }
}

/// Makes the overlay of a board in `dir`, empty, over `image`.
fn overlay(qemu_img: &Path, image: &Path, size: Option<u64>, dir: &Path) {
    let disk = dir.join("disk.qcow2");
    must(
        qemu_img,
        &[
            &"create", &"-q", &"-f", &"qcow2", &"-F", &"raw", &"-b", &image, &disk,
        ],
    );
    if let Some(size) = size {
        must(qemu_img, &[&"resize", &"-q", &disk, &size.to_string()]);
    }
}

/// Where the log called `name` is kept.
fn log_file(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("boot-logs");
    fs::create_dir_all(&dir).expect("a directory for logs");
    dir.join(format!("{name}.log"))
}

/// What came out of the serial line so far, and whether more may come.
#[derive(Debug, Default)]
struct Line {
    heard: Mutex<Heard>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct Heard {
    bytes: Vec<u8>,
    ended: bool,
}

/// Copies all that comes out of the line into `line` and `log` until the machine stops.
fn listen(mut from: impl Read, line: &Line, mut log: File) {
    let mut buffer = [0; 4096];
    loop {
        let read = from.read(&mut buffer).unwrap_or(0);
        let mut heard = line.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.bytes.extend_from_slice(&buffer[..read]);
        heard.ended = read == 0;
        line.news.notify_all();
        if log.write_all(&buffer[..read]).is_err() || read == 0 {
            return;
        }
    }
}

/// An emulator whose serial line is copied into `line` and behind the end of `log`.
fn spawn(
    emulator: &Path,
    arguments: &[String],
    line: &Arc<Line>,
    log: &Path,
) -> (Child, ChildStdin) {
    let mut child = Command::new(emulator)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(
            File::create(log.with_extension("qemu")).expect("a file for the emulator's messages"),
        )
        .spawn()
        .expect("starting QEMU");
    let stdin = child.stdin.take().expect("piped");
    let stdout = child.stdout.take().expect("piped");
    let log = File::options()
        .create(true)
        .append(true)
        .open(log)
        .expect("a log file");
    let line = Arc::clone(line);
    std::thread::spawn(move || listen(stdout, &line, log));
    (child, stdin)
}

/// A board under power.
#[derive(Debug)]
pub(crate) struct Machine {
    name: String,
    emulator: PathBuf,
    arguments: Vec<String>,
    /// Whether the power comes back when the machine stops by itself.
    comes_back: bool,
    firmware: Firmware,
    child: Child,
    stdin: ChildStdin,
    line: Arc<Line>,
    log: PathBuf,
    /// How much of the line was searched already.
    seen: usize,
    commands: u32,
    _turn: MutexGuard<'static, ()>,
}

impl Machine {
    /// Starts an emulator whose standard input and output are the serial line. Waits until no other
    /// machine runs.
    pub(crate) fn start(name: &str, emulator: &str, arguments: &[String]) -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let log = log_file(name);
        eprintln!("boot: {name} (serial line in {})", log.display());
        let emulator = tool(emulator).expect("looked for before");
        let _ = fs::remove_file(&log);
        let line = Arc::new(Line::default());
        let (child, stdin) = spawn(&emulator, arguments, &line, &log);
        let arguments = arguments.to_vec();
        let name = name.into();
        let firmware = Firmware::Uefi;
        Self {
            name,
            emulator,
            arguments,
            comes_back: false,
            firmware,
            child,
            stdin,
            line,
            log,
            seen: 0,
            commands: 0,
            _turn: turn,
        }
    }

    /// Starts the emulator again after it stopped in order, where the machine comes back.
    fn again(&mut self) -> bool {
        let again = self.comes_back && self.child.wait().is_ok_and(|status| status.success());
        if again {
            self.line
                .heard
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .ended = false;
            (self.child, self.stdin) =
                spawn(&self.emulator, &self.arguments, &self.line, &self.log);
        }
        again
    }

    /// Waits until the line says one of `patterns` after what was waited for before; returns which,
    /// and what came before it. `None` when the time is up or the machine has stopped.
    pub(crate) fn listen_for(
        &mut self,
        patterns: &[&str],
        timeout: Duration,
    ) -> Option<(usize, String)> {
        let deadline = Instant::now() + timeout;
        loop {
            let found = self.listen_once(patterns, deadline);
            if found.is_some() || Instant::now() >= deadline || !self.again() {
                return found;
            }
        }
    }

    /// The same until the machine stops.
    fn listen_once(&mut self, patterns: &[&str], deadline: Instant) -> Option<(usize, String)> {
        let mut heard = self
            .line
            .heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        loop {
            let new = &heard.bytes[self.seen..];
            let hit = patterns
                .iter()
                .enumerate()
                .filter_map(|(which, text)| Some((find(new, text.as_bytes())?, which)))
                .min();
            if let Some((at, which)) = hit {
                let before = String::from_utf8_lossy(&new[..at]).into_owned();
                self.seen += at + patterns[which].len();
                return Some((which, before));
            }
            let left = deadline
                .checked_duration_since(Instant::now())
                .filter(|_| !heard.ended)?;
            heard = self
                .line
                .news
                .wait_timeout(heard, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits until the line says `pattern`, which it must; returns what came before it.
    pub(crate) fn wait_for(&mut self, pattern: &str, timeout: Duration) -> String {
        let found = self.listen_for(&[pattern], timeout);
        let Some((_, before)) = found else {
            self.give_up(&format!("no {pattern:?} within {timeout:?}"))
        };
        before
    }

    /// Types a line.
    pub(crate) fn send(&mut self, line: &str) {
        let sent = self
            .stdin
            .write_all(line.as_bytes())
            .and_then(|()| self.stdin.write_all(b"\n"))
            .and_then(|()| self.stdin.flush());
        if let Err(e) = sent {
            self.give_up(&format!("typing {line:?}: {e}"));
        }
    }

    /// Waits for the root shell that the golden images start on the serial line, and makes it
    /// quiet: no echo, no prompt, no messages of the kernel or of the service manager between the
    /// lines of a command's output.
    pub(crate) fn shell(&mut self) {
        self.wait_for("root@", BOOT);
        self.wait_for("# ", SOON);
        self.send("exec env PS1= TERM=dumb sh");
        self.send("stty -echo; dmesg -n 1; kill -s RTMIN+21 1; echo \"ready\"ready");
        self.wait_for("readyready", SOON);
        self.run_within("systemctl is-system-running --wait", BOOT);
    }

    /// Runs one line of shell; returns its status and what it said on both outputs.
    pub(crate) fn run(&mut self, command: &str) -> (i32, String) {
        self.run_within(command, SOON)
    }

    /// [`Machine::run`] for a command that takes longer.
    pub(crate) fn run_within(&mut self, command: &str, timeout: Duration) -> (i32, String) {
        assert!(
            !command.contains('\n') && command.len() < 3800,
            "one line that a terminal takes: {command}"
        );
        self.commands += 1;
        // The quotes keep an echo of the line from looking like its output.
        let mark = format!("=={}==", self.commands);
        self.send(&format!(
            "echo \"begin\"{mark}; {{ {command} ; }} 2>&1 </dev/null; echo \"end\"{mark}$?\".\""
        ));
        self.wait_for(&format!("begin{mark}"), timeout);
        let said = self.wait_for(&format!("end{mark}"), timeout);
        let status = self.wait_for(".", SOON);
        let said = said.replace("\r\n", "\n");
        let said = said.strip_prefix('\n').unwrap_or(&said).to_owned();
        (status.trim().parse().unwrap_or(-1), said)
    }

    /// Runs one line of shell that must succeed; returns what it said.
    pub(crate) fn must(&mut self, command: &str) -> String {
        self.must_within(command, SOON)
    }

    /// [`Machine::must`] for a command that takes longer.
    pub(crate) fn must_within(&mut self, command: &str, timeout: Duration) -> String {
        let (status, said) = self.run_within(command, timeout);
        if status != 0 {
            self.give_up(&format!("{command:?} ended with {status}: {said}"));
        }
        said
    }

    /// Restarts the system and waits for its shell.
    pub(crate) fn reboot(&mut self) {
        self.send("systemctl reboot");
        self.shell();
    }

    /// Stops the system in order and waits until the machine is off.
    pub(crate) fn power_off(mut self) {
        self.send("systemctl poweroff");
        let deadline = Instant::now() + BOOT;
        while !matches!(self.child.try_wait(), Ok(Some(_))) {
            if Instant::now() > deadline {
                self.give_up("the system does not stop");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// What its kernel calls partition `number` of the first disk.
    pub(crate) fn partition(&self, number: u32) -> String {
        format!("{}{number}", self.firmware.partition())
    }

    /// How `mount` is told of the disk that was put in.
    pub(crate) fn media(&self) -> &'static str {
        self.firmware.media()
    }

    /// All that the line said so far.
    pub(crate) fn transcript(&self) -> String {
        let heard = self
            .line
            .heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&heard.bytes).into_owned()
    }

    /// Fails the test with the last lines that the machine said.
    fn give_up(&self, why: &str) -> ! {
        let all = self.transcript();
        let lines: Vec<&str> = all.lines().collect();
        let last = lines[lines.len().saturating_sub(40)..].join("\n");
        panic!(
            "{}: {why}\n--- the last lines of {} ---\n{last}",
            self.name,
            self.log.display()
        )
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where `needle` begins in `haystack`.
fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}
