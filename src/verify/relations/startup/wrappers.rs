//! Programs that start another one: which one, and whether at once.

/// Programs that are followed by options and then by a command: name, options that have a value of
/// their own, and the number of words before the command.
const WRAPPERS: [(&str, &[&str], usize); 32] = [
    ("cloud-init-per", &[], 2),
    ("exec", &["-a"], 0),
    ("nohup", &[], 0),
    ("command", &[], 0),
    ("builtin", &[], 0),
    ("setsid", &[], 0),
    ("busybox", &[], 0),
    ("chronic", &[], 0),
    ("sudo", &["-u", "-g", "-h", "-p", "-C", "-D", "-T"], 0),
    ("doas", &["-u", "-C"], 0),
    ("pkexec", &["--user"], 0),
    ("env", &["-u", "-C"], 0),
    ("nice", &["-n"], 0),
    ("ionice", &["-c", "-n"], 0),
    ("chrt", &["-p"], 1),
    ("taskset", &["-c"], 1),
    ("stdbuf", &["-i", "-o", "-e"], 0),
    ("unbuffer", &[], 0),
    ("timeout", &["-s", "-k"], 1),
    ("flock", &["-w", "-E"], 1),
    ("systemd-inhibit", &[], 0),
    ("systemd-cat", &["-t", "-p"], 0),
    ("dbus-run-session", &[], 0),
    ("openvt", &["-c"], 0),
    ("unshare", &[], 0),
    ("nsenter", &["-t"], 0),
    ("xargs", &["-n", "-I", "-P", "-L"], 0),
    ("cage", &[], 0),
    ("setarch", &[], 1),
    ("xinit", &[], 0),
    ("startx", &[], 0),
    ("logsave", &[], 1),
];
/// Options of `systemd-run` that have a word of their own as value.
const OF_SYSTEMD_RUN: [&str; 12] = [
    "-u",
    "--unit",
    "-p",
    "--property",
    "-E",
    "--setenv",
    "-t",
    "-M",
    "-H",
    "--uid",
    "--gid",
    "--slice",
];

/// A command without the programs that only start it.
#[derive(Debug, Default)]
pub(super) struct Bare {
    pub(super) words: Vec<String>,
    /// The script in its arguments (`sh -c`).
    pub(super) script: Option<String>,
    /// Whether it runs the commands that it reads (`sh`, `at now`).
    pub(super) reads: bool,
    /// Whether it starts the command an hour later, or at a time of day.
    pub(super) later: bool,
}

/// Looks through programs that start others.
pub(super) fn bare(words: &[String]) -> Bare {
    let mut out = Bare::default();
    let mut rest = words;
    for _ in 0..10 {
        rest = without_assignments(rest);
        let Some((first, more)) = rest.split_first() else {
            break;
        };
        let name = first.rsplit('/').next().unwrap_or_default();
        let next = if let Some((_, valued, skip)) = WRAPPERS.iter().find(|w| w.0 == name) {
            after_options(more, valued).get(*skip..)
        } else {
            match name {
                "systemd-run" => {
                    out.later |= is_late(more);
                    Some(after_options(more, &OF_SYSTEMD_RUN))
                }
                "start-stop-daemon" => daemon(more),
                _ => None,
            }
        };
        match next.filter(|next| !next.is_empty()) {
            Some(next) => rest = next,
            None => break,
        }
    }
    let name = rest.first().map_or("", String::as_str);
    let name = name.rsplit('/').next().unwrap_or_default();
    let options = rest.get(1..).unwrap_or_default();
    match name {
        "eval" => out.script = Some(options.join(" ")),
        "trap" => {
            let at_end = options.iter().skip(1).any(|s| s == "EXIT" || s == "0");
            out.script = options.first().filter(|_| at_end).cloned();
        }
        "su" | "runuser" | "script" => out.script = after_c(options),
        "at" | "batch" => {
            out.reads = true;
            out.later |= name == "at" && !at_is_soon(options);
        }
        name if is_shell(name) => {
            out.script = after_c(options);
            out.reads = options.iter().all(|word| word.starts_with('-'));
        }
        _ => {}
    }
    out.words = rest.to_vec();
    out
}

fn without_assignments(words: &[String]) -> &[String] {
    let is_assignment = |word: &String| {
        word.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        })
    };
    let count = words.iter().take_while(|word| is_assignment(word)).count();
    words.get(count..).unwrap_or_default()
}

fn after_options<'a>(words: &'a [String], valued: &[&str]) -> &'a [String] {
    let mut rest = words;
    while let Some((first, more)) = rest.split_first() {
        if !first.starts_with('-') {
            break;
        }
        let skip = usize::from(valued.contains(&first.as_str()));
        rest = more.get(skip..).unwrap_or_default();
        if first == "--" {
            break;
        }
    }
    without_assignments(rest)
}

/// Whether `systemd-run` starts a command by the clock, or after an hour or more.
fn is_late(options: &[String]) -> bool {
    options.iter().any(|word| {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let delays = ["--on-boot", "--on-active", "--on-startup"];
        name == "--on-calendar" || (delays.contains(&name) && super::units::span(value) >= 3600)
    })
}

/// The program of `start-stop-daemon --start`.
fn daemon(words: &[String]) -> Option<&[String]> {
    let starts = words.iter().any(|word| word == "--start" || word == "-S");
    let at = words
        .iter()
        .position(|word| matches!(word.as_str(), "--exec" | "-x" | "--startas" | "-a"));
    words.get(at.filter(|_| starts)?.saturating_add(1)..)
}

fn after_c(words: &[String]) -> Option<String> {
    let is_c = |word: &String| {
        word == "--command"
            || (word.starts_with('-') && !word.starts_with("--") && word.ends_with('c'))
    };
    let at = words.iter().position(is_c)?;
    words.get(at.saturating_add(1)).cloned()
}

/// Whether the time of `at` is within the hour: `now`, `now + 5 minutes`.
fn at_is_soon(words: &[String]) -> bool {
    let long = [
        "hour", "hours", "day", "days", "week", "weeks", "month", "months",
    ];
    words.iter().any(|word| word.starts_with("now"))
        && !words.iter().any(|word| long.contains(&word.as_str()))
}

/// Whether a program reads a script of shell commands.
pub(super) fn is_shell(name: &str) -> bool {
    let name = name.rsplit('/').next().unwrap_or_default();
    ["sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "rbash"].contains(&name)
}
