//! Commands that pass on lines: `head`, `tail`, `wc`, `sort`, `uniq`, `tr`.

use super::super::script_host::ScriptHost;
use super::arguments::{CommandResult, has, known, options};
use crate::shell::{ExitStatus, Io};

pub(super) fn run(
    host: &mut ScriptHost<'_, '_>,
    word: &str,
    args: &[&str],
    io: &mut Io,
) -> CommandResult {
    match word {
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

#[cfg(test)]
mod tests {
    use super::*;

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
