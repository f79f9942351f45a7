//! Words of commands: programs that only start another one, and scripts in arguments.

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

/// Whether a program interprets shell scripts.
pub(super) fn is_shell(name: &str) -> bool {
    matches!(
        name.rsplit('/').next().unwrap_or_default(),
        "sh" | "bash" | "dash" | "ash" | "ksh" | "mksh" | "zsh"
    )
}

/// The words without assignments and programs that only start another one.
pub(super) fn unwrapped(words: &[String]) -> &[String] {
    let mut rest = words;
    while let Some(first) = rest.first() {
        let is_assignment = first
            .split_once('=')
            .is_some_and(|(name, _)| !name.is_empty() && name.chars().all(is_name_char));
        let name = first.rsplit('/').next().unwrap_or_default();
        let skip = match name {
            _ if is_assignment => 1,
            "exec" | "nohup" | "command" | "builtin" | "setsid" | "busybox" | "chronic" => {
                1 + options(&rest[1..], &["-a"])
            }
            "sudo" | "doas" => 1 + options(&rest[1..], &["-u", "-g", "-h", "-p", "-C", "-D"]),
            "env" => 1 + options(&rest[1..], &["-u", "-C"]),
            "nice" | "ionice" | "chrt" | "stdbuf" => {
                1 + options(&rest[1..], &["-n", "-c", "-p", "-o", "-i", "-e"])
            }
            "timeout" => 2 + options(&rest[1..], &["-s", "-k"]),
            "flock" => 2 + options(&rest[1..], &["-w", "-E"]),
            "systemd-inhibit" | "systemd-cat" => 1 + options(&rest[1..], &["-t", "-p"]),
            "unbuffer" | "unshare" | "dbus-run-session" | "cage" | "xinit" | "startx" => {
                1 + options(&rest[1..], &[])
            }
            "pkexec" => 1 + options(&rest[1..], &["--user"]),
            "openvt" => 1 + options(&rest[1..], &["-c"]),
            "nsenter" => 1 + options(&rest[1..], &["-t"]),
            "xargs" => 1 + options(&rest[1..], &["-n", "-I", "-P", "-L"]),
            "cloud-init-per" => 3 + options(&rest[1..], &[]),
            "taskset" => 2 + options(&rest[1..], &[]),
            "setarch" | "logsave" => 2 + options(&rest[1..], &[]),
            "systemd-run" => 1 + options(&rest[1..], &OF_SYSTEMD_RUN),
            "start-stop-daemon" => match daemon(rest) {
                Some(skip) => skip,
                None => break,
            },
            _ => break,
        };
        match rest.get(skip..) {
            Some(more) if !more.is_empty() => rest = more,
            _ => break,
        }
    }
    rest
}

/// The number of words before the program that `start-stop-daemon` starts.
fn daemon(words: &[String]) -> Option<usize> {
    let starts = words.iter().any(|word| word == "--start" || word == "-S");
    let names = ["--exec", "-x", "--startas", "-a"];
    let at = words.iter().position(|word| names.contains(&word.as_str()));
    at.filter(|_| starts).map(|at| at + 1)
}

/// Whether a command is run by the clock, or an hour or more later, by `at` or `systemd-run`.
pub(super) fn is_put_off(words: &[String]) -> bool {
    let name = |word: &String| word.rsplit('/').next().unwrap_or_default().to_owned();
    let long = |word: &&str| {
        let units = ["hour", "day", "week", "month", "year"];
        units.iter().any(|unit| word.starts_with(unit))
    };
    for (at, word) in words.iter().enumerate() {
        let mut rest = words[at + 1..].iter().map(String::as_str);
        match name(word).as_str() {
            "at" => {
                let now = rest.clone().any(|word| word.starts_with("now"));
                return !now || rest.any(|word| long(&word));
            }
            "systemd-run" => {
                return rest.any(|word| {
                    let (option, value) = word.split_once('=').unwrap_or((word, ""));
                    let delays = ["--on-boot", "--on-active", "--on-startup"];
                    let delay = delays.contains(&option);
                    option == "--on-calendar" || (delay && super::units::seconds(value) >= 3600)
                });
            }
            _ => {}
        }
    }
    false
}

/// Whether a command runs the commands that it reads.
pub(super) fn reads_commands(words: &[String]) -> bool {
    let Some((first, rest)) = words.split_first() else {
        return false;
    };
    match first.rsplit('/').next().unwrap_or_default() {
        "at" | "batch" => true,
        _ => is_shell(first) && rest.iter().all(|word| word.starts_with('-')),
    }
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The number of words that are options; those of `with_value` have a word of their own as value.
fn options(words: &[String], with_value: &[&str]) -> usize {
    let mut at = 0;
    while let Some(word) = words.get(at).filter(|word| word.starts_with('-')) {
        at += 1 + usize::from(with_value.contains(&word.as_str()));
        if word == "--" {
            break;
        }
    }
    at
}

/// The script in the words of `sh -c`, `su -c`, `eval` or `trap`.
pub(super) fn inner_script(words: &[String]) -> Option<String> {
    let name = words.first()?.rsplit('/').next()?;
    match name {
        "eval" => Some(words[1..].join(" ")),
        "trap" => words
            .iter()
            .skip(2)
            .any(|signal| matches!(signal.as_str(), "EXIT" | "0"))
            .then(|| words[1].clone()),
        "su" | "runuser" | "script" => value_of_c(words),
        _ if is_shell(name) => value_of_c(words),
        _ => None,
    }
}

/// The word after an option that ends with `c`.
fn value_of_c(words: &[String]) -> Option<String> {
    let at = words
        .iter()
        .skip(1)
        .position(|word| word.starts_with('-') && !word.starts_with("--") && word.ends_with('c'))?;
    words.get(at + 2).cloned()
}

/// Whether a command only asks something.
pub(super) fn only_asks(words: &[&str]) -> bool {
    let first = words.iter().find(|word| **word != "!");
    first.is_none_or(|word| {
        let name = word.rsplit('/').next().unwrap_or_default();
        let asks = [
            "[",
            "[[",
            "test",
            "grep",
            "ping",
            "ls",
            "cmp",
            "diff",
            "pgrep",
            "pidof",
            "command",
            "which",
            "type",
            "read",
            "false",
            "expr",
            "mountpoint",
        ];
        asks.contains(&name) || words.contains(&"is-active") || words.contains(&"is-enabled")
    })
}

/// Changes the directory as `cd` does.
pub(super) fn change_directory(dir: &mut String, words: &[String]) {
    if words.first().is_none_or(|name| name != "cd") {
        return;
    }
    match words.iter().skip(1).find(|word| !word.starts_with('-')) {
        Some(to) if to.starts_with('/') => dir.clone_from(to),
        Some(to) if !matches!(to.as_str(), "." | "") => *dir = format!("{dir}/{to}"),
        _ => {}
    }
}

/// The number of seconds that `sleep` waits; 0 for any other command.
pub(super) fn waits(words: &[String]) -> u64 {
    if words.first().is_none_or(|name| name != "sleep") {
        return 0;
    }
    let seconds = words.iter().skip(1).map(|word| {
        let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match &word[digits.len()..] {
            "m" => 60,
            "h" => 3600,
            "d" => 86400,
            _ => 1,
        };
        let number: u64 = digits.parse().unwrap_or(0);
        number.saturating_mul(unit)
    });
    seconds.fold(0, u64::saturating_add)
}
