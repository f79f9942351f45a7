//! What the serial line of a starting system tells.

use super::{Computer, left, started};
use anyhow::{Context as _, Result};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How systemd marks what it could not do.
const FAILED: [&str; 3] = ["[FAILED]", "[ TIME ]", "[DEPEND]"];
/// What systemd says of a device that it did not wait for any longer.
pub(super) const DEVICE_LATE: &str = "Timed out waiting for device";

/// How often the network is tried.
const STEP: Duration = Duration::from_secs(1);
/// How long a server has to send its banner.
const BANNER: Duration = Duration::from_secs(3);
/// The end of the output that is searched (bytes): a message that was cut in two is found.
const SEARCHED: usize = 4096;

/// How long an emulator whose serial line is closed has to end.
const GRACE: Duration = Duration::from_secs(2);
/// The reason of a machine that is off.
const OFF: &str = "the machine was switched off";

/// How a system showed that it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// A login prompt on the serial line.
    Login,
    /// Its SSH server answered.
    Ssh,
}

impl Started {
    /// How it showed, for people.
    #[must_use]
    pub fn described(self) -> &'static str {
        match self {
            Self::Login => "a login prompt on the serial line",
            Self::Ssh => "the SSH server answers",
        }
    }
}

/// The end of a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The system started, after this time.
    Started(Started, Duration),
    /// It did not: the reason, and the last lines of the serial line.
    Failed(String, Vec<String>),
}

/// Messages of firmware, boot loaders, kernels and systems after which nothing else follows.
const DEAD_ENDS: [(&str, &str); 10] = [
    ("Kernel panic - not syncing", "the kernel stopped (panic)"),
    (
        "grub rescue>",
        "GRUB found neither its files nor its configuration",
    ),
    (
        "grub>",
        "GRUB waits at its prompt: it found no configuration",
    ),
    (
        "\n=> ",
        "U-Boot waits at its prompt: it found nothing to start",
    ),
    (
        "(initramfs)",
        "the initial RAM disk did not find the root filesystem",
    ),
    ("You are in emergency mode", "systemd is in emergency mode"),
    ("You are in rescue mode", "systemd is in rescue mode"),
    (
        "No bootable option or device was found",
        "the firmware found nothing to start",
    ),
    ("No bootable device", "the firmware found nothing to start"),
    ("Security Violation", "Secure Boot refused a program"),
];

/// Switches the computer on and watches it until the system has started, has failed, or `limit` is
/// over; then cuts the power. All that the serial line says is written to `log`. `ssh` is the port
/// of this machine that leads to the SSH server, if one does.
///
/// # Errors
/// QEMU cannot be started; I/O errors of `log`.
pub fn watch(
    computer: &Computer,
    limit: Duration,
    ssh: Option<u16>,
    log: &mut dyn Write,
) -> Result<Verdict> {
    let (mut child, pieces, errors) = spawn(computer)?;
    let verdict = follow(&pieces, limit, ssh, log);
    let ended = match &verdict {
        Ok(Verdict::Failed(reason, _)) if reason == OFF => soon_ended(&mut child)?,
        _ => None,
    };
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
    left().emulator = None;
    let said = errors.said();
    match (verdict?, ended) {
        (Verdict::Failed(_, lines), Some(status)) => {
            let reason = match (said.is_empty(), status.success()) {
                (true, true) => OFF.to_owned(),
                (true, false) => format!("QEMU ended: {status}"),
                (false, _) => format!("QEMU ended: {said}"),
            };
            Ok(Verdict::Failed(reason, lines))
        }
        (verdict, _) => Ok(verdict),
    }
}

/// What an emulator says on its error output.
#[derive(Debug)]
pub(super) struct Errors(Receiver<Vec<u8>>);

impl Errors {
    /// The first of it, until there is nothing more for a moment.
    pub(super) fn said(&self) -> String {
        let mut said = Vec::new();
        // Its children may keep the pipe open.
        while let Ok(piece) = self.0.recv_timeout(GRACE / 4) {
            said.extend(piece);
        }
        plain(String::from_utf8_lossy(&said).trim())
    }
}

/// Switches the computer on. Returns the emulator, what its serial line says, and its messages.
pub(super) fn spawn(computer: &Computer) -> Result<(Child, Receiver<Vec<u8>>, Errors)> {
    let mut command = computer.command(false);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = started(&mut command)?;
    let (errors_sender, errors) = channel();
    if let Some(output) = child.stderr.take() {
        let mut len = 0;
        read_all(output, move |piece: Vec<u8>| {
            // All is read, so that it does not wait; the first of it says what is wrong.
            len += piece.len();
            len > SEARCHED || errors_sender.send(piece).is_ok()
        });
    }
    let output = child.stdout.take().context("the output of QEMU")?;
    let (sender, pieces) = channel();
    read_all(output, move |piece| sender.send(piece).is_ok());
    Ok((child, pieces, Errors(errors)))
}

/// How the emulator ended, if it does within [`GRACE`].
fn soon_ended(child: &mut Child) -> Result<Option<ExitStatus>> {
    let begin = Instant::now();
    loop {
        let status = child.try_wait().context("waiting for QEMU")?;
        if status.is_some() || begin.elapsed() > GRACE {
            return Ok(status);
        }
        std::thread::sleep(GRACE / 100);
    }
}

/// Reads to the end in a thread of its own, or until `take` returns false.
fn read_all(
    mut output: impl Read + Send + 'static,
    mut take: impl FnMut(Vec<u8>) -> bool + Send + 'static,
) {
    std::thread::spawn(move || {
        let mut buf = [0; 4096];
        while let Ok(got @ 1..) = output.read(&mut buf) {
            let piece = buf.get(..got).unwrap_or_default().to_vec();
            if !take(piece) {
                break;
            }
        }
    });
}

fn follow(
    pieces: &Receiver<Vec<u8>>,
    limit: Duration,
    ssh: Option<u16>,
    log: &mut dyn Write,
) -> Result<Verdict> {
    let begin = Instant::now();
    let mut text = String::new();
    loop {
        let left = limit.saturating_sub(begin.elapsed());
        if left.is_zero() {
            let reason = format!("no login prompt after {} s", limit.as_secs());
            return Ok(Verdict::Failed(reason, explaining_lines(&text)));
        }
        match pieces.recv_timeout(left.min(STEP)) {
            Ok(piece) => {
                log.write_all(&piece).context("writing the log")?;
                text.push_str(&String::from_utf8_lossy(&piece));
            }
            Err(RecvTimeoutError::Timeout) => {
                if ssh.is_some_and(answers) {
                    return Ok(Verdict::Started(Started::Ssh, begin.elapsed()));
                }
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Ok(Verdict::Failed(OFF.to_owned(), last_lines(&text)));
            }
        }
        match judged(&text) {
            Some(Ok(())) => return Ok(Verdict::Started(Started::Login, begin.elapsed())),
            Some(Err(reason)) => return Ok(Verdict::Failed(reason, explaining_lines(&text))),
            None => {}
        }
    }
}

/// Whether the end of the output shows that the system started, or why it will not.
fn judged(text: &str) -> Option<Result<(), String>> {
    let mut from = text.len().saturating_sub(SEARCHED);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    let end = plain(&text[from..]);
    if let Some(reason) = dead_end(&end) {
        return Some(Err(reason.to_owned()));
    }
    let mut lines = end.rsplit(['\n', '\r']);
    let prompt = lines
        .next()
        .unwrap_or_default()
        .trim_end()
        .ends_with(" login:");
    // `agetty --autologin` goes on at once.
    let automatic =
        lines.any(|line| line.contains(" login: ") && line.contains("(automatic login)"));
    (prompt || automatic).then_some(Ok(()))
}

/// The reason why nothing follows, if `text` has a message that says so.
pub(super) fn dead_end(text: &str) -> Option<&'static str> {
    let text = plain(text);
    let mut messages = DEAD_ENDS.iter();
    messages
        .find(|(message, _)| text.contains(message))
        .map(|(_, reason)| *reason)
}

/// Whether an SSH server answers at a port of this machine.
fn answers(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let Ok(mut stream) = TcpStream::connect_timeout(&address, STEP) else {
        return false;
    };
    let mut banner = [0; 4];
    stream.set_read_timeout(Some(BANNER)).is_ok()
        && stream.read_exact(&mut banner).is_ok()
        && banner == *b"SSH-"
}

/// The last lines that are not empty.
pub(super) fn last_lines(text: &str) -> Vec<String> {
    const LINES: usize = 12;
    let text = plain(text);
    let lines: Vec<&str> = text
        .split(['\n', '\r'])
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .collect();
    let from = lines.len().saturating_sub(LINES);
    lines[from..].iter().map(ToString::to_string).collect()
}

/// The lines that explain why the system stopped: what systemd could not do, the first of it, and
/// the last lines.
pub(super) fn explaining_lines(text: &str) -> Vec<String> {
    const FAILURES: usize = 6;
    const LAST: usize = 4;
    let failures: Vec<String> = plain(text)
        .split(['\n', '\r'])
        .filter(|line| FAILED.iter().any(|mark| line.contains(mark)))
        .map(|line| line.trim_end().to_owned())
        .take(FAILURES)
        .collect();
    let last = last_lines(text);
    if failures.is_empty() {
        return last;
    }
    let rest = last.iter().skip(last.len().saturating_sub(LAST));
    let rest = rest.filter(|line| !failures.contains(line)).cloned();
    failures.iter().cloned().chain(rest).collect()
}

/// Text without the sequences that move the cursor and set colours (ECMA-48, section 5.4).
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' if chars.next_if_eq(&'[').is_some() => {
                while chars.next_if(|c| !('@'..='~').contains(c)).is_some() {}
                chars.next();
            }
            // A command to the terminal, such as its title, up to BEL or ST (section 5.6).
            '\x1b' if chars.next_if(|c| "]PX^_".contains(*c)).is_some() => {
                while chars.next_if(|c| !"\x07\x1b\n".contains(*c)).is_some() {}
                chars.next_if(|c| *c == '\x07');
            }
            '\n' | '\r' => out.push(c),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(pieces: &[&str], limit: Duration) -> (Verdict, Vec<u8>) {
        let (sender, receiver) = channel();
        for piece in pieces {
            sender.send(piece.as_bytes().to_vec()).unwrap();
        }
        let keep = (limit < Duration::from_secs(5)).then_some(sender);
        let mut log = Vec::new();
        let found = follow(&receiver, limit, None, &mut log).unwrap();
        drop(keep);
        (found, log)
    }

    #[test]
    fn starts_and_dead_ends() {
        let long = Duration::from_secs(60);
        let (found, log) = verdict(
            &["Debian GNU/Li", "nux 12\r\n\x1b[0mdevice log", "in: "],
            long,
        );
        assert!(
            matches!(found, Verdict::Started(Started::Login, _)),
            "{found:?}"
        );
        assert_eq!(log, b"Debian GNU/Linux 12\r\n\x1b[0mdevice login: ");
        let (found, _) = verdict(
            &[
                "device login: root (automatic login)\r\n",
                "root@device:~# ",
            ],
            long,
        );
        assert!(
            matches!(found, Verdict::Started(Started::Login, _)),
            "{found:?}"
        );
        for (text, reason) in [
            (
                "[    2.1] Kernel panic - not syncing: VFS",
                "the kernel stopped (panic)",
            ),
            (
                "\x1b[1mgrub rescue> ",
                "GRUB found neither its files nor its configuration",
            ),
            (
                "SCRIPT FAILED: continuing...\r\n=> ",
                "U-Boot waits at its prompt: it found nothing to start",
            ),
            (
                "BdsDxe: No bootable option or device was found.",
                "the firmware found nothing to start",
            ),
            (
                "You are in emer\x1b[Kgency mode",
                "systemd is in emergency mode",
            ),
        ] {
            let (found, _) = verdict(&["first\r\n", text], long);
            let Verdict::Failed(found, lines) = found else {
                panic!("{text}: {found:?}");
            };
            assert_eq!(found, reason, "{text}");
            assert!(lines.len() >= 2, "{lines:?}");
        }
    }

    #[test]
    fn what_systemd_could_not_do_explains_where_it_stopped() {
        let start = "Loading ...\r\n[  OK  ] Started a.\r\n";
        let failed = "[\x1b[0;31m TIME \x1b[0m] Timed out waiting for device x.\r\n[DEPEND] Dependency failed for /data.\r\n";
        let end = "[  OK  ] Reached target y.\r\nYou are in emergency mode.\r\n";
        let many = "[  OK  ] Started b.\r\n".repeat(20);
        let text = [start, failed, &many, end].concat();
        assert_eq!(
            explaining_lines(&text),
            [
                "[ TIME ] Timed out waiting for device x.",
                "[DEPEND] Dependency failed for /data.",
                "[  OK  ] Started b.",
                "[  OK  ] Started b.",
                "[  OK  ] Reached target y.",
                "You are in emergency mode.",
            ]
        );
        assert_eq!(explaining_lines("a\r\nb\r\n"), ["a", "b"]);
    }

    #[test]
    fn a_prompt_in_the_middle_is_not_one() {
        let (found, _) = verdict(&["last login: today\r\nworking"], Duration::from_millis(50));
        assert_eq!(
            found,
            Verdict::Failed(
                "no login prompt after 0 s".to_owned(),
                vec!["last login: today".to_owned(), "working".to_owned()]
            )
        );
        let (found, _) = verdict(&["bye\r\n"], Duration::from_secs(60));
        assert!(
            matches!(found, Verdict::Failed(reason, _) if reason == "the machine was switched off")
        );
    }
}
