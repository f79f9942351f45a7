//! Commands that read and print.

use super::super::script_host::ScriptHost;
use super::arguments::{CommandResult, has, known, options};
use crate::shell::{ExitStatus, Io};
use crate::tree::show;

pub(super) fn run(
    host: &mut ScriptHost<'_, '_>,
    word: &str,
    args: &[&str],
    io: &mut Io,
) -> CommandResult {
    Ok(match word {
        "echo" => Some(echo(args, io)),
        "printf" => printf(args, io),
        "command" | "which" | "type" => which(host, word, args, io),
        "cat" => return cat(host, args, io),
        "grep" => return grep(host, args, io),
        "cut" => cut(args, io),
        "head" => head(args, io),
        "seq" => seq(args, io),
        "basename" | "dirname" => path_part(word, args, io),
        "readlink" => return readlink(host, args, io),
        "id" if args == ["-u"] || args == ["-g"] => say(io, "0"),
        "uname" if args == ["-s"] || args.is_empty() => say(io, "Linux"),
        "stat" => stat(host, args, io),
        _ => None,
    })
}

/// Prints a line; the status is 0.
pub(super) fn say(io: &mut Io, text: &str) -> Option<ExitStatus> {
    io.print_line(text);
    Some(0)
}

fn echo(args: &[&str], io: &mut Io) -> i32 {
    match args {
        ["-n", rest @ ..] => io.output.push_str(&rest.join(" ")),
        _ => io.output.push_str(&(args.join(" ") + "\n")),
    }
    0
}

/// `printf` with `%s`, `%d`, `%%` and the usual escapes; the format is repeated while arguments
/// are left.
fn printf(args: &[&str], io: &mut Io) -> Option<ExitStatus> {
    let (format, mut rest) = args.split_first()?;
    loop {
        let before = rest.len();
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            match c {
                '\\' => io.output.push(match chars.next()? {
                    'n' => '\n',
                    't' => '\t',
                    c @ ('\\' | '"' | '\'') => c,
                    _ => return None,
                }),
                '%' => match chars.next()? {
                    '%' => io.output.push('%'),
                    's' | 'd' => {
                        if let Some((first, others)) = rest.split_first() {
                            io.output.push_str(first);
                            rest = others;
                        }
                    }
                    _ => return None,
                },
                _ => io.output.push(c),
            }
        }
        if rest.is_empty() || rest.len() == before {
            return Some(0);
        }
    }
}

const BUILTIN: [&str; 14] = [
    "echo", "printf", "test", "[", "command", "type", "cd", "read", "set", "exit", "export",
    "local", "true", "false",
];

fn which(host: &ScriptHost<'_, '_>, word: &str, args: &[&str], io: &mut Io) -> Option<ExitStatus> {
    let (options, names) = options(args);
    if !(options.is_empty() || word == "command" && options == ["-v"])
        || word == "command" && options.is_empty()
    {
        return None;
    }
    let mut status = i32::from(names.is_empty());
    for name in names {
        let builtin = word != "which" && BUILTIN.contains(&name);
        match host.program(name) {
            _ if builtin => _ = say(io, name),
            Some(path) => _ = say(io, &path),
            None => status = if word == "which" { 1 } else { 127 },
        }
    }
    Some(status)
}

fn cat(host: &ScriptHost<'_, '_>, args: &[&str], io: &mut Io) -> CommandResult {
    let (options, files) = options(args);
    if !options.is_empty() {
        return Ok(None);
    }
    let mut status = 0;
    for file in if files.is_empty() { vec!["-"] } else { files } {
        let text = if file == "-" {
            Some(io.rest())
        } else {
            host.text(file)?
        };
        match text {
            Some(text) => io.output.push_str(&text),
            None => status = 1,
        }
    }
    Ok(Some(status))
}

/// A pattern of `grep`: fixed text, perhaps anchored at the start or end of the line.
struct Needle {
    text: String,
    start: bool,
    end: bool,
}

impl Needle {
    /// Supported expressions are fixed text between `^` and `$`.
    fn read(text: &str, fixed: bool, whole_line: bool) -> Option<Self> {
        if fixed {
            return Some(Self {
                text: text.to_owned(),
                start: whole_line,
                end: whole_line,
            });
        }
        let (start, rest) = text
            .strip_prefix('^')
            .map_or((whole_line, text), |rest| (true, rest));
        let (end, rest) = rest
            .strip_suffix('$')
            .map_or((whole_line, rest), |rest| (true, rest));
        let special = |c: char| "\\[]*^$.?+|(){}".contains(c);
        let rest_fixed = rest.replace("\\.", "\u{1}").replace("\\/", "/");
        (!rest_fixed.contains(special)).then(|| Self {
            text: rest_fixed.replace('\u{1}', "."),
            start,
            end,
        })
    }

    fn hits(&self, line: &str, ignore_case: bool) -> bool {
        let (line, text) = if ignore_case {
            (line.to_lowercase(), self.text.to_lowercase())
        } else {
            (line.to_owned(), self.text.clone())
        };
        match (self.start, self.end) {
            (true, true) => line == text,
            (true, false) => line.starts_with(&text),
            (false, true) => line.ends_with(&text),
            (false, false) => line.contains(&text),
        }
    }
}

fn grep(host: &ScriptHost<'_, '_>, args: &[&str], io: &mut Io) -> CommandResult {
    let (options, operands) = options(args);
    let long = [
        "--quiet",
        "--silent",
        "--fixed-strings",
        "--line-regexp",
        "--no-messages",
    ];
    if !known(&options, "qsFxEvie", &long) {
        return Ok(None);
    }
    let set = |letter, name: &str| has(&options, letter) || options.contains(&name);
    let Some((needle, files)) = operands.split_first() else {
        return Ok(None);
    };
    let Some(needle) = Needle::read(
        needle,
        set('F', "--fixed-strings"),
        set('x', "--line-regexp"),
    ) else {
        return Ok(None);
    };
    let mut text = String::new();
    let mut status = 1;
    for file in files {
        match host.text(file)? {
            Some(more) => text.push_str(&more),
            None => status = 2,
        }
    }
    if files.is_empty() {
        text = io.rest();
    }
    let quiet = set('q', "--quiet") || options.contains(&"--silent");
    for line in text
        .lines()
        .filter(|line| needle.hits(line, has(&options, 'i')) != has(&options, 'v'))
    {
        status = 0;
        if !quiet {
            say(io, line);
        }
    }
    Ok(Some(status))
}

/// `cut -d X -f N` and its joined forms.
fn cut(args: &[&str], io: &mut Io) -> Option<ExitStatus> {
    let mut delimiter = "\t".to_owned();
    let mut field = None;
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let (letter, value) = (arg.get(..2)?, arg.get(2..)?);
        let value = if value.is_empty() {
            rest.next()?
        } else {
            value
        };
        match letter {
            "-d" => delimiter = value.to_owned(),
            "-f" => field = value.parse::<usize>().ok(),
            _ => return None,
        }
    }
    let field = field?.checked_sub(1)?;
    while let Some(line) = io.line() {
        let part = if line.contains(&delimiter) {
            line.split(&delimiter).nth(field).unwrap_or_default()
        } else {
            &line
        };
        io.output.push_str(&format!("{part}\n"));
    }
    Some(0)
}

fn head(args: &[&str], io: &mut Io) -> Option<ExitStatus> {
    let count: usize = match args {
        ["-n", count] => count.parse().ok()?,
        [one] => one
            .strip_prefix("-n")
            .or_else(|| one.strip_prefix('-'))?
            .parse()
            .ok()?,
        _ => return None,
    };
    for _ in 0..count {
        let Some(line) = io.line() else { break };
        say(io, &line);
    }
    Some(0)
}

fn seq(args: &[&str], io: &mut Io) -> Option<ExitStatus> {
    let numbers: Vec<i64> = args
        .iter()
        .map(|arg| arg.parse().ok())
        .collect::<Option<_>>()?;
    let (first, step, last) = match numbers.as_slice() {
        [last] => (1, 1, *last),
        [first, last] => (*first, 1, *last),
        [first, step, last] if *step != 0 => (*first, *step, *last),
        _ => return None,
    };
    let count = last.checked_sub(first)?.checked_div(step)?;
    if count > 10_000 {
        return None;
    }
    for at in 0..=count.max(-1) {
        say(io, &first.checked_add(at.checked_mul(step)?)?.to_string());
    }
    Some(0)
}

fn path_part(word: &str, args: &[&str], io: &mut Io) -> Option<ExitStatus> {
    let (path, suffix) = match args {
        [path] => (*path, ""),
        [path, suffix] if word == "basename" => (*path, *suffix),
        _ => return None,
    };
    let path = path.trim_end_matches('/');
    let (dir, name) = path.rsplit_once('/').unwrap_or((".", path));
    let name = name
        .strip_suffix(suffix)
        .filter(|name| !name.is_empty())
        .unwrap_or(name);
    let dir = if dir.is_empty() { "/" } else { dir };
    say(io, if word == "basename" { name } else { dir })
}

fn readlink(host: &ScriptHost<'_, '_>, args: &[&str], io: &mut Io) -> CommandResult {
    let (options, operands) = options(args);
    let [path] = operands.as_slice() else {
        return Ok(None);
    };
    if options.is_empty() {
        let Some(target) = host.link_target(path) else {
            return Ok(Some(1));
        };
        return Ok(say(io, &target));
    }
    if !known(&options, "fmeqn", &[]) {
        return Ok(None);
    }
    let walk = host.editor.tree().walk(path.as_bytes(), true)?;
    if has(&options, 'e') && !walk.exists {
        return Ok(Some(1));
    }
    Ok(say(io, &show(&walk.path())))
}

/// `stat -c FORMAT FILE` with the codes for owner and mode.
fn stat(host: &ScriptHost<'_, '_>, args: &[&str], io: &mut Io) -> Option<ExitStatus> {
    let (format, path) = match args {
        ["-c" | "--format", format, path] | ["-L", "-c", format, path] => (*format, *path),
        _ => return None,
    };
    let Some(stat) = host.stat(path, args.first() == Some(&"-L")) else {
        return Some(1);
    };
    let mut out = format
        .replace("%u", &stat.uid.to_string())
        .replace("%g", &stat.gid.to_string());
    out = out
        .replace("%a", &format!("{:o}", stat.mode))
        .replace("%n", path);
    if out.contains('%') {
        return None;
    }
    say(io, &out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(f: impl FnOnce(&mut Io) -> Option<ExitStatus>, input: &str) -> Option<String> {
        let mut io = Io::new(input.to_owned());
        f(&mut io)?;
        Some(io.output)
    }

    #[test]
    fn printing() {
        let printed = |args: &[&str]| output(|io| printf(args, io), "");
        assert_eq!(
            printed(&["%s=%d\\n", "a", "1", "b", "2"]).unwrap(),
            "a=1\nb=2\n"
        );
        assert_eq!(printed(&["100%%"]).unwrap(), "100%");
        assert_eq!(printed(&["%5d", "1"]), None);
        assert_eq!(output(|io| seq(&["3"], io), "").unwrap(), "1\n2\n3\n");
        assert_eq!(
            output(|io| seq(&["5", "-2", "1"], io), "").unwrap(),
            "5\n3\n1\n"
        );
        assert_eq!(output(|io| seq(&["1", "99999999"], io), ""), None);
        let part = |word: &str, args: &[&str]| output(|io| path_part(word, args, io), "").unwrap();
        assert_eq!(part("basename", &["/a/b.c", ".c"]), "b\n");
        assert_eq!(
            (part("dirname", &["/a"]), part("dirname", &["a"])),
            ("/\n".into(), ".\n".into())
        );
    }

    #[test]
    fn filters() {
        let input = "a:b:c\nplain\n";
        assert_eq!(
            output(|io| cut(&["-d", ":", "-f2"], io), input).unwrap(),
            "b\nplain\n"
        );
        assert_eq!(output(|io| cut(&["-c1"], io), input), None);
        assert_eq!(output(|io| head(&["-n1"], io), input).unwrap(), "a:b:c\n");
        for (pattern, line, hit) in [
            ("^a", "ab", true),
            ("^b", "ab", false),
            ("b$", "ab", true),
            ("^ab$", "abc", false),
            ("a\\.b", "a.b", true),
            ("a\\.b", "axb", false),
        ] {
            let needle = Needle::read(pattern, false, false).unwrap();
            assert_eq!(needle.hits(line, false), hit, "{pattern} {line}");
        }
        assert!(Needle::read("a.*", false, false).is_none());
        assert!(Needle::read("a.*", true, false).is_some_and(|n| n.hits("A.*", true)));
    }
}
