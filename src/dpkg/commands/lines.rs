//! Commands that pass on lines: `head`, `tail`, `wc`, `sort`, `tr`, `sed`.

use super::super::script_host::ScriptHost;
use super::arguments::{CommandResult, has, known, options};
use super::regex::Regex;
use crate::shell::{ExitStatus, Io};

/// Longer lines are not edited: each place of a line is tried.
const MAX_LINE: usize = 10_000;

pub(super) fn run(
    host: &mut ScriptHost<'_, '_>,
    word: &str,
    args: &[&str],
    io: &mut Io,
) -> CommandResult {
    match word {
        "sed" => sed(host, args, io),
        "tail" => tail(host, args, io),
        "wc" => wc(host, args, io),
        "sort" => sort(host, args, io),
        "tr" => Ok(tr(args, io)),
        _ => Ok(None),
    }
}

/// The text of all files, or of standard input; `None` if a file is missing.
fn text(
    host: &ScriptHost<'_, '_>,
    files: &[&str],
    io: &mut Io,
) -> Result<Option<String>, crate::tree::edit::EditError> {
    let mut out = String::new();
    for file in files {
        if *file == "-" {
            out.push_str(&io.rest());
            continue;
        }
        let Some(text) = host.text(file)? else {
            return Ok(None);
        };
        out.push_str(&text);
    }
    if files.is_empty() {
        out = io.rest();
    }
    Ok(Some(out))
}

/// `-n COUNT`, `-nCOUNT` or `-COUNT`, and the operands; 10 without.
fn count<'a>(args: &[&'a str]) -> Option<(usize, Vec<&'a str>)> {
    let (mut number, mut files) = (10, Vec::new());
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        match arg.strip_prefix('-') {
            Some("n") => number = rest.next()?.parse().ok()?,
            Some("") | None => files.push(*arg),
            Some(value) => number = value.strip_prefix('n').unwrap_or(value).parse().ok()?,
        }
    }
    Some((number, files))
}

pub(super) fn head(host: &ScriptHost<'_, '_>, args: &[&str], io: &mut Io) -> CommandResult {
    let Some((number, files)) = count(args).filter(|(_, files)| files.len() < 2) else {
        return Ok(None);
    };
    let Some(text) = text(host, &files, io)? else {
        return Ok(Some(1));
    };
    for line in text.split_inclusive('\n').take(number) {
        io.output.push_str(line);
    }
    Ok(Some(0))
}

fn tail(host: &ScriptHost<'_, '_>, args: &[&str], io: &mut Io) -> CommandResult {
    let Some((number, files)) = count(args).filter(|(_, files)| files.len() < 2) else {
        return Ok(None);
    };
    let Some(text) = text(host, &files, io)? else {
        return Ok(Some(1));
    };
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for line in lines.iter().skip(lines.len().saturating_sub(number)) {
        io.output.push_str(line);
    }
    Ok(Some(0))
}

fn wc(host: &ScriptHost<'_, '_>, args: &[&str], io: &mut Io) -> CommandResult {
    let (options, files) = options(args);
    if !files.is_empty() {
        return Ok(None);
    }
    let Some(text) = text(host, &files, io)? else {
        return Ok(Some(1));
    };
    let number = match options.as_slice() {
        ["-l" | "--lines"] => text.matches('\n').count(),
        ["-c" | "--bytes"] => text.len(),
        ["-w" | "--words"] => text.split_whitespace().count(),
        _ => return Ok(None),
    };
    io.print_line(&number.to_string());
    Ok(Some(0))
}

/// `sort` in the order of bytes, which is that of the locale of maintainer scripts.
fn sort(host: &ScriptHost<'_, '_>, args: &[&str], io: &mut Io) -> CommandResult {
    let (options, files) = options(args);
    if !known(&options, "ur", &["--unique", "--reverse"]) {
        return Ok(None);
    }
    let Some(text) = text(host, &files, io)? else {
        return Ok(Some(2));
    };
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    if has(&options, 'u') || options.contains(&"--unique") {
        lines.dedup();
    }
    if has(&options, 'r') || options.contains(&"--reverse") {
        lines.reverse();
    }
    for line in lines {
        io.print_line(line);
    }
    Ok(Some(0))
}

/// `tr` with plain characters, ranges of them, and the usual escapes.
fn tr(args: &[&str], io: &mut Io) -> Option<ExitStatus> {
    let text = io.rest();
    let out: String = match args {
        ["-d", set] => {
            let set = characters(set)?;
            text.chars().filter(|c| !set.contains(c)).collect()
        }
        [from, to] if !from.starts_with('-') => {
            let (from, to) = (characters(from)?, characters(to)?);
            let last = *to.last()?;
            let change = |c: char| match from.iter().rposition(|known| *known == c) {
                Some(at) => to.get(at).copied().unwrap_or(last),
                None => c,
            };
            text.chars().map(change).collect()
        }
        _ => return None,
    };
    io.output.push_str(&out);
    Some(0)
}

fn characters(set: &str) -> Option<Vec<char>> {
    match set {
        "[:upper:]" => return Some(('A'..='Z').collect()),
        "[:lower:]" => return Some(('a'..='z').collect()),
        "[:digit:]" => return Some(('0'..='9').collect()),
        _ if set.contains("[:") || set.contains("[=") => return None,
        _ => {}
    }
    let chars: Vec<char> = set.chars().collect();
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(c) = chars.get(at) {
        match (c, chars.get(at + 1), chars.get(at + 2)) {
            ('\\', Some(escaped), _) => {
                out.push(match escaped {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    '\\' => '\\',
                    _ => return None,
                });
                at += 2;
            }
            (low, Some('-'), Some(high)) => {
                if high < low {
                    return None;
                }
                out.extend(*low..=*high);
                at += 3;
            }
            _ => {
                out.push(*c);
                at += 1;
            }
        }
    }
    Some(out)
}

/// The lines that a command of `sed` is for.
enum Address {
    All,
    Line(usize),
    Last,
    Match(Regex),
}

enum Edit {
    Delete,
    Print,
    Substitute {
        regex: Regex,
        /// `None`: the match itself.
        parts: Vec<Option<String>>,
        all: bool,
        print: bool,
    },
}

struct EditCommand {
    address: Address,
    others: bool,
    edit: Edit,
}

fn sed(host: &mut ScriptHost<'_, '_>, args: &[&str], io: &mut Io) -> CommandResult {
    let (mut script, mut files) = (None::<String>, Vec::new());
    let (mut quiet, mut extended, mut in_place) = (false, false, false);
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        match *arg {
            "-e" | "--expression" => {
                let Some(more) = rest.next() else {
                    return Ok(Some(1));
                };
                let all = script.get_or_insert_default();
                all.push_str(more);
                all.push('\n');
            }
            "-n" | "--quiet" | "--silent" => quiet = true,
            "-E" | "-r" | "--regexp-extended" => extended = true,
            "-i" | "--in-place" => in_place = true,
            "-ri" | "-Ei" => (extended, in_place) = (true, true),
            "-ne" => return Ok(None),
            option if option.starts_with('-') && option.len() > 1 => return Ok(None),
            operand => files.push(operand),
        }
    }
    let script = match script {
        Some(script) => script,
        None if files.is_empty() => return Ok(Some(1)),
        None => files.remove(0).to_owned(),
    };
    let Some(commands) = commands(&script, extended) else {
        return Ok(None);
    };
    if !in_place {
        let Some(text) = text(host, &files, io)? else {
            return Ok(Some(2));
        };
        let Some(out) = edited(&text, &commands, quiet) else {
            return Ok(None);
        };
        io.output.push_str(&out);
        return Ok(Some(0));
    }
    let mut status = 0;
    for file in files {
        if host.link_target(file).is_some() {
            return Ok(None);
        }
        let Some(text) = host.text(file)? else {
            status = 4;
            continue;
        };
        let Some(out) = edited(&text, &commands, quiet) else {
            return Ok(None);
        };
        host.write_file(file, out.as_bytes(), false)?;
    }
    Ok(Some(status))
}

/// The commands of a script; `None` if one is not understood.
fn commands(script: &str, extended: bool) -> Option<Vec<EditCommand>> {
    let mut out = Vec::new();
    let mut rest = script.trim_start_matches([' ', '\t', '\n', ';']);
    while !rest.is_empty() {
        let (address, after) = address(rest, extended)?;
        let after = after.trim_start();
        let (others, after) = match after.strip_prefix('!') {
            Some(after) => (true, after.trim_start()),
            None => (false, after),
        };
        let (edit, after) = match after.chars().next()? {
            'd' => (Edit::Delete, after.get(1..)?),
            'p' => (Edit::Print, after.get(1..)?),
            's' => substitute(after.get(1..)?, extended)?,
            _ => return None,
        };
        out.push(EditCommand {
            address,
            others,
            edit,
        });
        let after = after.trim_start_matches([' ', '\t']);
        if !after.is_empty() && !after.starts_with([';', '\n']) {
            return None;
        }
        rest = after.trim_start_matches([' ', '\t', '\n', ';']);
    }
    Some(out)
}

fn address(text: &str, extended: bool) -> Option<(Address, &str)> {
    if let Some(after) = text.strip_prefix('$') {
        return Some((Address::Last, after));
    }
    if let Some(after) = text.strip_prefix('/') {
        let (pattern, after) = delimited(after, '/')?;
        if after.starts_with([',', 'I']) || pattern.is_empty() {
            return None;
        }
        return Some((Address::Match(Regex::read(&pattern, extended)?), after));
    }
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, after) = text.split_at(end);
    if after.starts_with([',', '~']) {
        return None;
    }
    match digits {
        "" => Some((Address::All, after)),
        _ => Some((Address::Line(digits.parse().ok()?), after)),
    }
}

/// The text up to a delimiter, which a backslash takes as it is.
fn delimited(text: &str, delimiter: char) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut in_set = false;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.next()?.1 {
                c if c == delimiter && !in_set => out.push(c),
                c => out.extend(['\\', c]),
            },
            '\n' => return None,
            c if c == delimiter && !in_set => {
                return Some((out, text.get(at + c.len_utf8()..)?));
            }
            c => {
                in_set = match c {
                    '[' => true,
                    ']' => false,
                    _ => in_set,
                };
                out.push(c);
            }
        }
    }
    None
}

fn substitute(text: &str, extended: bool) -> Option<(Edit, &str)> {
    let delimiter = text
        .chars()
        .next()
        .filter(|c| !c.is_alphanumeric() && *c != '\\')?;
    let text = text.get(delimiter.len_utf8()..)?;
    let (pattern, text) = delimited(text, delimiter)?;
    // Brackets are ordinary characters in the replacement.
    let mut end = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if c == delimiter && !escaped {
            end = Some(at);
            break;
        }
        escaped = c == '\\' && !escaped;
    }
    let (with, text) = text.split_at(end?);
    let mut rest = text.get(delimiter.len_utf8()..)?;
    let parts = replacement(with)?;
    let (mut all, mut print, mut ignore) = (false, false, false);
    while let Some(flag) = rest.chars().next().filter(|c| c.is_alphanumeric()) {
        match flag {
            'g' => all = true,
            'p' => print = true,
            'i' | 'I' => ignore = true,
            _ => return None,
        }
        rest = rest.get(1..)?;
    }
    if pattern.is_empty() {
        return None;
    }
    let regex = Regex::read(&pattern, extended)?.ignoring_case(ignore);
    Some((
        Edit::Substitute {
            regex,
            parts,
            all,
            print,
        },
        rest,
    ))
}

/// The parts of a replacement: texts, and `None` for the match itself.
fn replacement(with: &str) -> Option<Vec<Option<String>>> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut chars = with.chars();
    while let Some(c) = chars.next() {
        match c {
            '&' => {
                parts.push(Some(std::mem::take(&mut text)));
                parts.push(None);
            }
            '\\' => match chars.next()? {
                'n' => text.push('\n'),
                't' => text.push('\t'),
                c if c.is_alphanumeric() => return None,
                c => text.push(c),
            },
            c => text.push(c),
        }
    }
    parts.push(Some(text));
    Some(parts)
}

/// The text after the commands; `None` for lines that are too long.
fn edited(text: &str, commands: &[EditCommand], quiet: bool) -> Option<String> {
    let mut out = String::new();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for (at, whole) in lines.iter().enumerate() {
        let (line, end) = whole
            .strip_suffix('\n')
            .map_or((*whole, ""), |line| (line, "\n"));
        if line.len() > MAX_LINE {
            return None;
        }
        let mut line = line.to_owned();
        let mut kept = true;
        for command in commands {
            let concerns = match &command.address {
                Address::All => true,
                Address::Line(number) => at + 1 == *number,
                Address::Last => at + 1 == lines.len(),
                Address::Match(regex) => regex.hits(&line, false, false),
            };
            if concerns == command.others {
                continue;
            }
            match &command.edit {
                Edit::Delete => {
                    kept = false;
                    break;
                }
                Edit::Print => out.push_str(&format!("{line}\n")),
                Edit::Substitute {
                    regex,
                    parts,
                    all,
                    print,
                } => {
                    if let Some(new) = substituted(&line, regex, parts, *all) {
                        line = new;
                        if *print {
                            out.push_str(&format!("{line}\n"));
                        }
                    }
                }
            }
        }
        if kept && !quiet {
            out.push_str(&line);
            out.push_str(end);
        }
    }
    Some(out)
}

/// The line with its first match replaced, or all; `None` without a match.
fn substituted(line: &str, regex: &Regex, parts: &[Option<String>], all: bool) -> Option<String> {
    let chars: Vec<char> = line.chars().collect();
    let mut out = String::new();
    let mut at = 0;
    let mut found = false;
    let mut last = None;
    while let Some((start, end)) = regex.find(&chars, at).filter(|_| all || !found) {
        // An empty match right after another one does not count.
        let again = start == end && last == Some(start);
        out.extend(chars.get(at..start)?);
        if !again {
            for part in parts {
                match part {
                    Some(text) => out.push_str(text),
                    None => out.extend(chars.get(start..end)?),
                }
            }
        }
        found = true;
        at = end;
        last = (start < end).then_some(end);
        if start == end {
            let Some(c) = chars.get(at) else {
                at += 1;
                break;
            };
            out.push(*c);
            at += 1;
        }
    }
    out.extend(chars.get(at..).unwrap_or_default());
    found.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_edited() {
        for (script, text, out) in [
            ("s/a/b/", "aa\n", "ba\n"),
            ("s/a/b/g", "aa", "bb"),
            ("s|/x|[&]|", "a/x/y\n", "a[/x]/y\n"),
            ("s/^#*//;/^$/d", "#a\n\n##b\n", "a\nb\n"),
            ("/x/!d", "x\ny\nzx\n", "x\nzx\n"),
            ("1d;$d", "1\n2\n3\n", "2\n"),
            ("s/x*/-/g", "abc\n", "-a-b-c-\n"),
            ("s/[/]/:/", "a/b\n", "a:b\n"),
            ("s/B/x/i", "abc\n", "axc\n"),
        ] {
            let commands = commands(script, false).expect(script);
            assert_eq!(edited(text, &commands, false).unwrap(), out, "{script}");
        }
        let printed = commands("s/a/b/p", false).unwrap();
        assert_eq!(edited("a\nc\n", &printed, true).unwrap(), "b\n");
        for script in [
            "s/\\(a\\)/\\1/",
            "y/a/b/",
            "1,2d",
            "s/a/b/w f",
            "a\\ x",
            "{d}",
        ] {
            assert!(commands(script, false).is_none(), "{script}");
        }
    }

    #[test]
    fn characters_are_changed() {
        let run = |args: &[&str], text: &str| {
            let mut io = Io::new(text.to_owned());
            tr(args, &mut io).map(|_| io.output)
        };
        assert_eq!(run(&["a-c", "A-C"], "abcd").unwrap(), "ABCd");
        assert_eq!(run(&["-d", "\\n"], "a\nb").unwrap(), "ab");
        assert_eq!(run(&["[:lower:]", "[:upper:]"], "x").unwrap(), "X");
        assert_eq!(run(&["-s", "a"], "aa"), None);
    }
}
