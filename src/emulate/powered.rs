//! A computer under power, driven by the root shell on its second serial port.

use super::root_shell::PROMPT;
use super::serial::{DEVICE_LATE, Errors, dead_end, explaining_lines, last_lines, spawn};
use super::{Computer, left};
use anyhow::{Context as _, Result};
use std::io::{ErrorKind, Read as _, Write};
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

/// How long the shell is waited for before the console is looked at.
const STEP: Duration = Duration::from_millis(200);
/// How long a shell that waits has to answer.
const ANSWER: Duration = Duration::from_secs(90);
/// The most output of a command that is kept (bytes).
const OUTPUT: usize = 1 << 20;
/// The end of the console that is searched for a message that was cut in two (bytes).
const OVERLAP: usize = 64;

/// Why the system did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// The reason.
    pub(super) reason: String,
    /// Lines that explain it: of the console, or of a command.
    pub(super) lines: Vec<String>,
    /// Whether the system stopped with a message after which nothing follows.
    pub(super) is_dead: bool,
    /// Whether a command did not end in time.
    pub(super) is_slow: bool,
}

impl Failure {
    /// A failure with lines of a command.
    pub(super) fn new(reason: impl Into<String>, lines: Vec<String>) -> Self {
        Self {
            reason: reason.into(),
            lines,
            is_dead: false,
            is_slow: false,
        }
    }
}

/// An error of goldsmith's own, or a failure of the system.
pub(super) type Outcome<T> = Result<Result<T, Failure>>;

/// The end of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) status: i32,
    pub(super) output: String,
}

impl Ended {
    /// The last lines of its output.
    pub(super) fn lines(&self) -> Vec<String> {
        last_lines(&self.output)
    }
}

/// A computer under power. Dropping it cuts the power.
#[derive(Debug)]
pub(super) struct Powered {
    child: Child,
    console: Receiver<Vec<u8>>,
    errors: Errors,
    /// All that the console said.
    said: String,
    /// Where it begins since the machine was started for the last time.
    start: usize,
    /// How much of it was searched for messages.
    searched: usize,
    /// Whether the processor is real.
    is_fast: bool,
    shell: UnixStream,
    /// What the shell said and nobody has taken yet.
    heard: Vec<u8>,
    commands: u32,
}

impl Powered {
    /// Switches the power on.
    ///
    /// # Errors
    /// QEMU cannot be started.
    pub(super) fn on(computer: &Computer) -> Outcome<Self> {
        let path = computer.dir.path().join("shell");
        // Of the time before.
        let _ = std::fs::remove_file(&path);
        let (mut child, console, errors) = spawn(computer)?;
        let begin = Instant::now();
        let shell = loop {
            if let Ok(stream) = UnixStream::connect(&path) {
                break stream;
            }
            if child.try_wait().context("waiting for QEMU")?.is_some() || begin.elapsed() > ANSWER {
                let _ = child.kill();
                let _ = child.wait();
                left().emulator = None;
                let said = errors.said();
                return Ok(Err(Failure::new(format!("QEMU ended: {said}"), Vec::new())));
            }
            std::thread::sleep(STEP / 10);
        };
        shell.set_read_timeout(Some(STEP))?;
        Ok(Ok(Self {
            child,
            console,
            errors,
            said: String::new(),
            start: 0,
            searched: 0,
            is_fast: computer.is_fast(),
            shell,
            heard: Vec::new(),
            commands: 0,
        }))
    }

    /// Takes what the console and the shell have said. Returns whether the machine is on.
    fn listen(&mut self, log: &mut dyn Write) -> Result<bool> {
        let mut buf = [0; 4096];
        let closed = match self.shell.read(&mut buf) {
            Ok(0) => true,
            Ok(len) => {
                self.heard.extend(buf.get(..len).unwrap_or_default());
                false
            }
            Err(error) => !matches!(
                error.kind(),
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
            ),
        };
        loop {
            match self.console.try_recv() {
                Ok(piece) => {
                    log.write_all(&piece).context("writing the log")?;
                    self.said.push_str(&String::from_utf8_lossy(&piece));
                }
                Err(TryRecvError::Empty) => return Ok(!closed),
                Err(TryRecvError::Disconnected) => return Ok(false),
            }
        }
    }

    /// A failure with the lines of the console that explain it.
    pub(super) fn failure(&self, reason: impl Into<String>) -> Failure {
        let said = self.said.get(self.start..).unwrap_or_default();
        let mut reason = reason.into();
        if said.contains(DEVICE_LATE) {
            reason.push_str("; a device was not there in time");
            if !self.is_fast {
                reason.push_str(", which may be due to other work on this machine");
            }
        }
        Failure::new(reason, explaining_lines(said))
    }

    fn off(&self) -> Failure {
        let said = self.errors.said();
        match said.is_empty() {
            true => self.failure("the machine was switched off"),
            false => self.failure(format!("QEMU ended: {said}")),
        }
    }

    /// A message of the console after which nothing follows, since the last call.
    fn died(&mut self) -> Option<Failure> {
        let mut from = self.searched.saturating_sub(OVERLAP).min(self.said.len());
        while !self.said.is_char_boundary(from) {
            from += 1;
        }
        let reason = dead_end(self.said.get(from..).unwrap_or_default());
        // What was found is not found again.
        self.searched = match reason {
            Some(_) => self.said.len() + OVERLAP,
            None => self.searched.max(self.said.len()),
        };
        let failure = Failure {
            is_dead: true,
            ..self.failure(reason?)
        };
        // What follows is another start.
        self.start = self.said.len();
        Some(failure)
    }

    /// Waits until the system has started: its shell answers, and systemd has started the units.
    pub(super) fn wait_for_shell(&mut self, limit: Duration, log: &mut dyn Write) -> Outcome<()> {
        let begin = Instant::now();
        loop {
            if !self.listen(log)? {
                return Ok(Err(self.off()));
            }
            if let Some(failure) = self.died() {
                return Ok(Err(failure));
            }
            if self.take_until(PROMPT).is_some() && self.greet(log)? {
                break;
            }
            if begin.elapsed() > limit {
                let reason = format!("not started after {} s", limit.as_secs());
                return Ok(Err(self.failure(reason)));
            }
        }
        let left = limit.saturating_sub(begin.elapsed()).max(ANSWER);
        match self.run("systemctl is-system-running --wait", left, log)? {
            Ok(_) => Ok(Ok(())),
            Err(failure) => {
                let jobs = self.run("systemctl list-jobs --no-pager", ANSWER, log)?;
                let lines = jobs.map_or(failure.lines, |ended| ended.lines());
                let reason = format!("units still start after {} s", limit.as_secs());
                Ok(Err(Failure::new(reason, lines)))
            }
        }
    }

    /// Makes the shell quiet. False if it was none that said the prompt, as firmware and kernels
    /// repeat the arguments.
    fn greet(&mut self, log: &mut dyn Write) -> Result<bool> {
        self.commands += 1;
        let mark = format!("hello{}", self.commands);
        self.send(&format!("stty -echo -onlcr; PS1=; PS2=; echo '{mark}''.'"));
        let begin = Instant::now();
        while begin.elapsed() < ANSWER {
            if !self.listen(log)? {
                return Ok(false);
            }
            if self.take_until(&format!("{mark}.")).is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Types a line. What nobody reads is lost; that is found out by who waits for the answer.
    pub(super) fn send(&mut self, line: &str) {
        let _ = self
            .shell
            .write_all(format!("{line}\n").as_bytes())
            .and_then(|()| self.shell.flush());
    }

    /// Takes what was heard up to `mark`, and the mark; `None` if it was not heard yet.
    fn take_until(&mut self, mark: &str) -> Option<Vec<u8>> {
        let mark = mark.as_bytes();
        let at = self
            .heard
            .windows(mark.len())
            .position(|window| window == mark)?;
        let rest = self.heard.split_off(at + mark.len());
        let mut taken = std::mem::replace(&mut self.heard, rest);
        taken.truncate(at);
        Some(taken)
    }

    /// Types a command, whose end is waited for with [`Powered::ended`].
    pub(super) fn begin(&mut self, command: &str) {
        self.commands += 1;
        let quoted = command.replace('\'', "'\\''");
        let n = self.commands;
        self.send(&format!(
            "echo begin'{n}='; sh -c '{quoted}' </dev/null 2>&1; echo end'{n}='$?'='"
        ));
    }

    /// The end of the last command, if it has ended by now.
    pub(super) fn ended(&mut self, log: &mut dyn Write) -> Outcome<Option<Ended>> {
        if !self.listen(log)? {
            return Ok(Err(self.off()));
        }
        let n = self.commands;
        let text = String::from_utf8_lossy(&self.heard).replace("\r\n", "\n");
        let parts = text
            .split_once(&format!("begin{n}=\n"))
            .and_then(|(_, rest)| rest.split_once(&format!("end{n}=")))
            .and_then(|(output, rest)| Some((output, rest.split_once('=')?.0)));
        if let Some((output, status)) = parts {
            let ended = Ended {
                status: status.parse().unwrap_or(-1),
                output: output.to_owned(),
            };
            self.heard.clear();
            return Ok(Ok(Some(ended)));
        }
        if text.contains(PROMPT) {
            return Ok(Err(self.failure("the system started again by itself")));
        }
        if self.heard.len() > 2 * OUTPUT {
            let marked = format!("begin{n}=\n");
            let from = self.heard.len() - OUTPUT;
            self.heard.drain(..from);
            self.heard.splice(..0, marked.into_bytes());
        }
        Ok(Ok(None))
    }

    /// Runs a command of the shell.
    pub(super) fn run(
        &mut self,
        command: &str,
        limit: Duration,
        log: &mut dyn Write,
    ) -> Outcome<Ended> {
        self.begin(command);
        let begin = Instant::now();
        loop {
            match self.ended(log)? {
                Ok(Some(ended)) => return Ok(Ok(ended)),
                Ok(None) if begin.elapsed() < limit => {}
                Ok(None) => break,
                Err(failure) => return Ok(Err(failure)),
            }
        }
        let text = String::from_utf8_lossy(&self.heard).into_owned();
        let lines = last_lines(text.split_once("=\n").map_or("", |(_, rest)| rest));
        // Ctrl-C, for the commands that follow.
        let _ = self.shell.write_all(b"\x03");
        let shown = command.lines().next().unwrap_or_default();
        let reason = format!("`{shown}` did not end within {} s", limit.as_secs());
        let failure = match lines.is_empty() {
            true => self.failure(reason),
            false => Failure::new(reason, lines),
        };
        Ok(Err(Failure {
            is_slow: true,
            ..failure
        }))
    }

    /// Asks the system to start again. The shell ends; the next one is waited for with
    /// [`Powered::wait_for_shell`].
    pub(super) fn reboot(&mut self) {
        self.heard.clear();
        self.searched = self.said.len();
        self.start = self.said.len();
        self.send("exec systemctl reboot");
    }
}

impl Drop for Powered {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        left().emulator = None;
    }
}
