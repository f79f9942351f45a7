//! Small tools: `awk` for fields, `diff -q`, `env`, `expr`, `md5sum`, `setcap`, `tee`, `uniq`,
//! `xargs`.

use super::super::md5::md5_of;
use super::super::script_host::ScriptHost;
use super::arguments::{CommandResult, has, known, options};
use super::regex::Regex;
use super::regex_groups::Groups;
use crate::shell::{ExitStatus, Io};
use crate::stream::Content;
use crate::tree::edit::EditError;

pub(super) fn run(
    host: &mut ScriptHost<'_, '_>,
    word: &str,
    args: &[&str],
    io: &mut Io,
) -> CommandResult {
    match word {
        "awk" | "mawk" | "gawk" => super::awk::awk(host, args, io),
        "diff" => diff(host, args, io),
        "expr" => Ok(expr(args, io)),
        "md5sum" => md5sum(host, args, io),
        "setcap" => setcap(host, args),
        "tee" => tee(host, args, io),
        "uniq" => Ok(uniq(args, io)),
        "xargs" => xargs(host, args, io),
        _ => Ok(None),
    }
}

/// `diff -q A B`.
fn diff(host: &ScriptHost<'_, '_>, args: &[&str], io: &mut Io) -> CommandResult {
    let (options, operands) = options(args);
    let (["-q" | "--brief"], [a, b]) = (options.as_slice(), operands.as_slice()) else {
        return Ok(None);
    };
    let (Some(left), Some(right)) = (host.text(a)?, host.text(b)?) else {
        return Ok(Some(2));
    };
    if left == right {
        return Ok(Some(0));
    }
    io.print_line(&format!("Files {a} and {b} differ"));
    Ok(Some(1))
}

/// `expr` with one operator, or `length`.
fn expr(args: &[&str], io: &mut Io) -> Option<ExitStatus> {
    let number = |text: &str| text.parse::<i64>().ok();
    let text = match args {
        ["length", text] => text.chars().count().to_string(),
        [text, ":", pattern] | ["match", text, pattern] => {
            let regex = Regex::read(pattern, false)?;
            let line: Vec<char> = text.chars().collect();
            let found = regex.find(&line, 0).filter(|(start, _)| *start == 0);
            let (_, groups) = regex.written();
            match (found, groups) {
                (None, 0) => "0".into(),
                (None, _) => String::new(),
                (Some((_, end)), 0) => end.to_string(),
                (Some((start, end)), _) => {
                    let places = Groups::of(&regex, &line, start, end)?;
                    let place = places.first().copied().flatten();
                    let part = place.and_then(|(from, to)| line.get(from..to));
                    part.map(String::from_iter).unwrap_or_default()
                }
            }
        }
        [a, operator, b] => {
            let (left, right) = (number(a), number(b));
            let holds = |order: fn(std::cmp::Ordering) -> bool| {
                let found = match (left, right) {
                    (Some(left), Some(right)) => left.cmp(&right),
                    _ => (*a).cmp(*b),
                };
                i32::from(order(found)).to_string()
            };
            let null = |text: &str| text.is_empty() || text == "0";
            match *operator {
                "+" => left?.checked_add(right?)?.to_string(),
                "-" => left?.checked_sub(right?)?.to_string(),
                "*" => left?.checked_mul(right?)?.to_string(),
                "/" => left?.checked_div(right?)?.to_string(),
                "%" => left?.checked_rem(right?)?.to_string(),
                "=" | "==" => holds(std::cmp::Ordering::is_eq),
                "!=" => holds(std::cmp::Ordering::is_ne),
                "<" => holds(std::cmp::Ordering::is_lt),
                "<=" => holds(std::cmp::Ordering::is_le),
                ">" => holds(std::cmp::Ordering::is_gt),
                ">=" => holds(std::cmp::Ordering::is_ge),
                "|" => if null(a) { *b } else { *a }.to_owned(),
                "&" => if null(a) || null(b) { "0" } else { *a }.to_owned(),
                _ => return None,
            }
        }
        _ => return None,
    };
    io.print_line(&text);
    Some(i32::from(text.is_empty() || text == "0"))
}

/// `md5sum FILE...`, and `-c` without what it prints.
fn md5sum(host: &ScriptHost<'_, '_>, args: &[&str], io: &mut Io) -> CommandResult {
    let (options, files) = options(args);
    let sum = |content: &Content| md5_of(content).map_err(|e| EditError::Io("md5sum".into(), e));
    let checks = has(&options, 'c') || options.contains(&"--check");
    if !checks {
        if !known(&options, "bt", &[]) {
            return Ok(None);
        }
        if files.is_empty() {
            let text = io.rest();
            let sum = sum(&Content::bytes(text.into_bytes()))?;
            io.print_line(&format!("{sum}  -"));
        }
        let mut status = 0;
        for file in files {
            match host.content(file) {
                Some(content) => io.print_line(&format!("{}  {file}", sum(content)?)),
                None => status = 1,
            }
        }
        return Ok(Some(status));
    }
    let silent = options.contains(&"--status");
    let lenient = options.contains(&"--ignore-missing");
    if !silent || !known(&options, "c", &["--check", "--status", "--ignore-missing"]) {
        return Ok(None);
    }
    let list = match files.as_slice() {
        [] | ["-"] => io.rest(),
        [file] => match host.text(file)? {
            Some(text) => text,
            None => return Ok(Some(1)),
        },
        _ => return Ok(None),
    };
    let (mut good, mut bad) = (0, 0);
    for line in list.lines() {
        let Some((wanted, file)) = line.split_once("  ").or_else(|| line.split_once(" *")) else {
            return Ok(None);
        };
        match host.content(file) {
            Some(content) if sum(content)? == wanted => good += 1,
            None if lenient => {}
            _ => bad += 1,
        }
    }
    Ok(Some(i32::from(bad > 0 || good == 0)))
}

/// The capabilities by their number.
const CAPABILITIES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

/// `setcap LIST FILE`, and `setcap -r FILE`.
fn setcap(host: &mut ScriptHost<'_, '_>, args: &[&str]) -> CommandResult {
    let (value, file) = match args {
        ["-q", rest @ ..] => return setcap(host, rest),
        ["-r", file] => (None, *file),
        [list, file] if !list.starts_with('-') => match capabilities(list) {
            Some(value) => (Some(value), *file),
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    if !host.is_file(file) || host.link_target(file).is_some() {
        return Ok(Some(1));
    }
    host.change_stat(file, true, |stat| {
        match value {
            Some(value) => stat.xattrs.insert(b"security.capability".to_vec(), value),
            None => stat.xattrs.remove(&b"security.capability"[..]),
        };
    })?;
    Ok(Some(0))
}

/// The attribute (`struct vfs_cap_data`, revision 2) of a list such as `cap_net_raw,cap_kill+ep`.
fn capabilities(list: &str) -> Option<Vec<u8>> {
    let (names, flags) = list.split_once(['+', '='])?;
    let mut mask = 0_u64;
    for name in names.split(',') {
        let name = name.strip_prefix("cap_")?;
        let at = CAPABILITIES.iter().position(|known| *known == name)?;
        mask |= 1_u64.checked_shl(u32::try_from(at).ok()?)?;
    }
    if flags.is_empty() || !flags.chars().all(|c| "eip".contains(c)) {
        return None;
    }
    let taken = |flag| if flags.contains(flag) { mask } else { 0 };
    let (permitted, inheritable) = (taken('p').to_le_bytes(), taken('i').to_le_bytes());
    let magic = 0x0200_0000_u32 | u32::from(flags.contains('e'));
    let (low, high) = (permitted.split_at(4), inheritable.split_at(4));
    Some([&magic.to_le_bytes()[..], low.0, high.0, low.1, high.1].concat())
}

fn tee(host: &mut ScriptHost<'_, '_>, args: &[&str], io: &mut Io) -> CommandResult {
    let (options, files) = options(args);
    if !known(&options, "a", &["--append"]) || files.iter().any(|file| file.starts_with("/dev/")) {
        return Ok(None);
    }
    let text = io.rest();
    let mut status = 0;
    for file in files {
        if host.has_parent(file) && !host.is_dir(file) {
            host.write_file(file, text.as_bytes(), !options.is_empty())?;
        } else {
            status = 1;
        }
    }
    io.output.push_str(&text);
    Ok(Some(status))
}

/// `uniq` of standard input.
fn uniq(args: &[&str], io: &mut Io) -> Option<ExitStatus> {
    let (options, files) = options(args);
    if !files.is_empty() || !known(&options, "du", &[]) || options.len() > 1 {
        return None;
    }
    let text = io.rest();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let mut count = 1;
        while lines.next_if_eq(&line).is_some() {
            count += 1;
        }
        let printed = match options.as_slice() {
            ["-d"] => count > 1,
            ["-u"] => count == 1,
            _ => true,
        };
        if printed {
            io.print_line(line);
        }
    }
    Some(0)
}

/// A call of `xargs`.
struct Xargs<'a> {
    /// Arguments end at NULs.
    zero: bool,
    /// Nothing is called without arguments.
    none: bool,
    /// Arguments of one call.
    most: usize,
    /// What one argument replaces in the command.
    mark: Option<&'a str>,
    command: &'a [&'a str],
}

impl<'a> Xargs<'a> {
    fn read(args: &'a [&'a str]) -> Option<Self> {
        let mut call = Self {
            zero: false,
            none: false,
            most: usize::MAX,
            mark: None,
            command: args,
        };
        while let Some((first, rest)) = call.command.split_first() {
            if !first.starts_with('-') {
                break;
            }
            call.command = rest;
            match *first {
                "-0" | "--null" => call.zero = true,
                "-r" | "--no-run-if-empty" => call.none = true,
                "-0r" | "-r0" => (call.zero, call.none) = (true, true),
                "-n1" => call.most = 1,
                "-I{}" => call.mark = Some("{}"),
                "-n" | "-I" => {
                    let (value, rest) = rest.split_first()?;
                    call.command = rest;
                    if *first == "-I" {
                        call.mark = Some(value);
                    } else {
                        call.most = value.parse().ok().filter(|number| *number > 0)?;
                    }
                }
                _ => return None,
            }
        }
        if call.mark.is_some() {
            (call.most, call.none) = (1, true);
        }
        Some(call)
    }

    /// The arguments in a text; `None` with quotes, which `xargs` reads.
    fn words<'t>(&self, text: &'t str) -> Option<Vec<&'t str>> {
        if self.zero {
            return Some(text.split_terminator('\0').collect());
        }
        if text.contains(['\'', '"', '\\']) {
            return None;
        }
        Some(match self.mark {
            Some(_) => text
                .lines()
                .map(str::trim_start)
                .filter(|line| !line.is_empty())
                .collect(),
            None => text.split_whitespace().collect(),
        })
    }

    fn line(&self, words: &[&str]) -> Vec<String> {
        let command = if self.command.is_empty() {
            &["echo"]
        } else {
            self.command
        };
        match self.mark {
            None => {
                let all = command.iter().chain(words);
                all.map(|word| (*word).to_owned()).collect()
            }
            Some(mark) => {
                let word = words.first().copied().unwrap_or_default();
                let parts = command.iter();
                parts.map(|part| part.replace(mark, word)).collect()
            }
        }
    }
}

/// `xargs` with one command for all arguments, or for `-n` of them.
fn xargs(host: &mut ScriptHost<'_, '_>, args: &[&str], io: &mut Io) -> CommandResult {
    let Some(call) = Xargs::read(args) else {
        return Ok(None);
    };
    let text = io.rest();
    let Some(words) = call.words(&text) else {
        return Ok(None);
    };
    let most = call.most.min(words.len().max(1));
    let mut calls: Vec<&[&str]> = words.chunks(most).collect();
    if calls.is_empty() && !call.none {
        calls.push(&[]);
    }
    let mut status = 0;
    for words in calls {
        let line = call.line(words);
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        match super::run_for(host, "xargs", &line, io)? {
            Some(0) => {}
            Some(127) => return Ok(Some(127)),
            Some(255) => return Ok(Some(124)),
            Some(_) => status = 123,
            None => return Ok(None),
        }
    }
    Ok(Some(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions() {
        for (args, out, status) in [
            (&["1", "+", "2"][..], "3\n", 0),
            (&["abc", ":", "a\\(.\\)"], "b\n", 0),
            (&["abc", ":", "x"], "0\n", 1),
            (&["abc", ":", "ab*"], "2\n", 0),
            (&["10", "<", "9"], "0\n", 1),
            (&["length", "four"], "4\n", 0),
        ] {
            let mut io = Io::new(String::new());
            assert_eq!(expr(args, &mut io), Some(status), "{args:?}");
            assert_eq!(io.output, out, "{args:?}");
        }
        assert_eq!(
            expr(&["1", "+", "1", "+", "1"], &mut Io::new(String::new())),
            None
        );
    }

    #[test]
    fn capabilities_are_written_as_the_kernel_reads_them() {
        let value = capabilities("cap_net_raw+ep").unwrap();
        let expected = [&[1, 0, 0, 2, 0, 0x20][..], &[0; 14]].concat();
        assert_eq!(value, expected);
        assert_eq!(capabilities("cap_bpf=p").unwrap()[12], 0x80);
        assert_eq!(capabilities("cap_none+ep"), None);
        assert_eq!(capabilities("cap_chown+x"), None);
    }
}
