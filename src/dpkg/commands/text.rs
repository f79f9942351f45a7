//! Commands that read and print.

use super::super::script_host::ScriptHost;
use super::super::users::Accounts;
use super::arguments::{CommandResult, has, known, options};
use crate::shell::{Dialect, ExitStatus, Io, echo};
use crate::stream::ReadAt as _;
use crate::tree::{LeafKind, show};

pub(super) fn run(
    host: &mut ScriptHost<'_, '_>,
    word: &str,
    args: &[&str],
    io: &mut Io,
) -> CommandResult {
    Ok(match word {
        // That of the shell is built in; this one is a program.
        "echo" => {
            let words: Vec<String> = args.iter().map(|word| (*word).to_owned()).collect();
            io.output.push_str(&echo(&words, Dialect::Bash));
            Some(0)
        }
        "printf" => printf(args, io),
        "command" | "which" | "type" => which(host, word, args, io),
        "cat" => return cat(host, args, io),
        "grep" => return super::grep::grep(host, args, io),
        "egrep" => return super::grep::grep(host, &[&["-E"], args].concat(), io),
        "fgrep" => return super::grep::grep(host, &[&["-F"], args].concat(), io),
        "whoami" if args.is_empty() => say(io, "root"),
        "cut" => cut(args, io),
        "head" => return super::lines::head(host, args, io),
        "seq" => seq(args, io),
        "basename" | "dirname" => path_part(word, args, io),
        "readlink" => return readlink(host, args, io),
        "realpath" => return realpath(host, args, io),
        "dpkg-realpath" => {
            return match args {
                ["--root", "", path] | ["--root=", path] | [path] if host.exists(path) => {
                    realpath(host, &["-e", "--", path], io)
                }
                _ => Ok(None),
            };
        }
        "id" => return id(host, args, io),
        "uname" => uname(host, args, io),
        "arch" if args.is_empty() => machine(host).and_then(|name| say(io, name)),
        "stat" => return stat(host, args, io),
        _ => None,
    })
}

/// Prints a line; the status is 0.
pub(super) fn say(io: &mut Io, text: &str) -> Option<ExitStatus> {
    io.print_line(text);
    Some(0)
}

/// The machine as the kernel of the image's architecture calls it.
fn machine(host: &ScriptHost<'_, '_>) -> Option<&'static str> {
    Some(match host.database.native.as_str() {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        "armhf" => "armv7l",
        "i386" => "i686",
        "riscv64" => "riscv64",
        _ => return None,
    })
}

/// `uname` with what the architecture tells. The release of the kernel that the device will run,
/// and its host name, are not known.
fn uname(host: &ScriptHost<'_, '_>, args: &[&str], io: &mut Io) -> Option<ExitStatus> {
    match args {
        [] | ["-s" | "--kernel-name"] => say(io, "Linux"),
        ["-o" | "--operating-system"] => say(io, "GNU/Linux"),
        ["-m" | "--machine"] => say(io, machine(host)?),
        _ => None,
    }
}

/// `id` of root, or of a named user.
fn id(host: &ScriptHost<'_, '_>, args: &[&str], io: &mut Io) -> CommandResult {
    let (options, names) = options(args);
    let letters: String = options
        .iter()
        .flat_map(|option| option.chars().skip(1))
        .collect();
    if options.iter().any(|option| option.starts_with("--")) {
        return Ok(None);
    }
    let accounts = Accounts::read(host.editor.tree())?;
    let name = match names.as_slice() {
        [] => "root",
        [name] => name,
        _ => return Ok(None),
    };
    let Some(user) = accounts.user(name).cloned() else {
        return Ok(Some(1));
    };
    let field = |at: usize| user.get(at).cloned().unwrap_or_default();
    let group_name = |gid: &str| {
        let line = accounts
            .group
            .iter()
            .find(|line| line.get(2).is_some_and(|id| id == gid));
        line.and_then(|line| line.first()).cloned()
    };
    let mut groups = vec![field(3)];
    for line in &accounts.group {
        let member = line
            .get(3)
            .is_some_and(|members| members.split(',').any(|member| member == field(0)));
        if let Some(gid) = line.get(2).filter(|gid| member && !groups.contains(gid)) {
            groups.push(gid.clone());
        }
    }
    let named = |gids: &[String]| -> Option<Vec<String>> {
        gids.iter().map(|gid| group_name(gid)).collect()
    };
    let text = match letters.as_str() {
        "u" => field(2),
        "un" | "nu" => field(0),
        "g" => field(3),
        "gn" | "ng" => match named(&groups[..1]) {
            Some(names) => names.concat(),
            None => return Ok(None),
        },
        "G" => groups.join(" "),
        "Gn" | "nG" => match named(&groups) {
            Some(names) => names.join(" "),
            None => return Ok(None),
        },
        "" if names.len() == 1 => {
            let Some(names) = named(&groups) else {
                return Ok(None);
            };
            let shown: Vec<String> = groups
                .iter()
                .zip(&names)
                .map(|(gid, name)| format!("{gid}({name})"))
                .collect();
            format!(
                "uid={}({}) gid={} groups={}",
                field(2),
                field(0),
                shown.first().cloned().unwrap_or_default(),
                shown.join(",")
            )
        }
        _ => return Ok(None),
    };
    Ok(say(io, &text))
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
                    'r' => '\r',
                    'a' => '\u{7}',
                    c @ ('\\' | '"' | '\'') => c,
                    first @ '0'..='3' => {
                        let digits: String = std::iter::once(first)
                            .chain(chars.clone().take(2).take_while(|c| c.is_digit(8)))
                            .collect();
                        for _ in 1..digits.len() {
                            chars.next();
                        }
                        let code = u8::from_str_radix(&digits, 8).ok()?;
                        code.is_ascii().then_some(char::from(code))?
                    }
                    _ => return None,
                }),
                '%' => {
                    let mut spec = String::new();
                    let kind = loop {
                        match chars.next()? {
                            c if c.is_ascii_digit() || "-.".contains(c) => spec.push(c),
                            c => break c,
                        }
                    };
                    if kind == '%' && spec.is_empty() {
                        io.output.push('%');
                        continue;
                    }
                    let first = rest.first().copied();
                    rest = rest.get(1..).unwrap_or_default();
                    let value = match (kind, first) {
                        ('s', value) => value.unwrap_or_default().to_owned(),
                        ('b', value) => {
                            let value = value.unwrap_or_default().to_owned();
                            let text = echo(&[value], Dialect::Dash);
                            text.strip_suffix('\n')?.to_owned()
                        }
                        ('d' | 'i' | 'u' | 'o' | 'x' | 'X', value) => {
                            let number: i64 = value.unwrap_or("0").trim().parse().ok()?;
                            match kind {
                                'o' => format!("{number:o}"),
                                'x' => format!("{number:x}"),
                                'X' => format!("{number:X}"),
                                _ => number.to_string(),
                            }
                        }
                        _ => return None,
                    };
                    io.output.push_str(&padded(&spec, value, kind)?);
                }
                _ => io.output.push(c),
            }
        }
        if rest.is_empty() || rest.len() == before {
            return Some(0);
        }
    }
}

/// A value in the width that a conversion of `printf` asks for.
fn padded(spec: &str, value: String, kind: char) -> Option<String> {
    let left = spec.starts_with('-');
    let width = spec.trim_start_matches('-');
    if width.contains(['.', '-']) || kind == 'b' && !width.is_empty() {
        return None;
    }
    if width.is_empty() {
        return Some(value);
    }
    let zeros = width.starts_with('0') && !left && kind != 's';
    let width: usize = width.parse().ok().filter(|width| *width <= 1000)?;
    let fill = width.saturating_sub(value.len());
    Some(match (left, zeros) {
        (true, _) => value + &" ".repeat(fill),
        (false, true) if !value.starts_with('-') => "0".repeat(fill) + &value,
        (false, true) => return None,
        (false, false) => " ".repeat(fill) + &value,
    })
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
    let at = host.at(path);
    let walk = host.editor.tree().walk(at.as_bytes(), true)?;
    let real = show(&walk.path());
    let fails = path.is_empty()
        || has(&options, 'e') && !walk.exists
        || !has(&options, 'm') && !walk.exists && !host.has_parent(&real);
    if fails {
        return Ok(Some(1));
    }
    if has(&options, 'n') {
        io.output.push_str(&real);
        return Ok(Some(0));
    }
    Ok(say(io, &real))
}

/// `realpath`: of each path, the one without symlinks.
fn realpath(host: &ScriptHost<'_, '_>, args: &[&str], io: &mut Io) -> CommandResult {
    let (options, paths) = options(args);
    let fine = known(
        &options,
        "emqsz",
        &[
            "--canonicalize-existing",
            "--canonicalize-missing",
            "--quiet",
            "--no-symlinks",
            "--strip",
            "--zero",
        ],
    );
    let given = |letter, long: &str| has(&options, letter) || options.contains(&long);
    let textual =
        has(&options, 's') || options.contains(&"--strip") || options.contains(&"--no-symlinks");
    if !fine || paths.is_empty() || textual && paths.iter().any(|path| path.contains("..")) {
        return Ok(None);
    }
    let mut status = 0;
    for path in paths {
        let at = host.at(path);
        let walk = host.editor.tree().walk(at.as_bytes(), true)?;
        let mut real = show(&walk.path());
        if textual {
            let names = at.split('/').filter(|name| !matches!(*name, "" | "."));
            real = names.fold(String::new(), |real, name| format!("{real}/{name}"));
        }
        if real.is_empty() {
            real.push('/');
        }
        let missing = given('m', "--canonicalize-missing");
        let exists = given('e', "--canonicalize-existing");
        let file = path.ends_with('/') && walk.exists && !host.is_dir(path);
        if path.is_empty()
            || !missing && (file || !walk.exists && (exists || !host.has_parent(&real)))
        {
            status = 1;
            continue;
        }
        io.output.push_str(&real);
        io.output
            .push(if given('z', "--zero") { '\0' } else { '\n' });
    }
    Ok(Some(status))
}

/// `stat -c FORMAT FILE` with the codes for owner, mode, size and name.
fn stat(host: &ScriptHost<'_, '_>, args: &[&str], io: &mut Io) -> CommandResult {
    let (mut format, mut follow, mut path) = (None, false, None);
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        match *arg {
            "-L" | "--dereference" => follow = true,
            "-c" | "--format" => format = rest.next().copied(),
            option => match option
                .strip_prefix("--format=")
                .or_else(|| option.strip_prefix("-c"))
            {
                Some(text) => format = Some(text),
                None if option.starts_with('-') || path.is_some() => return Ok(None),
                None => path = Some(option),
            },
        }
    }
    let (Some(format), Some(path)) = (format, path) else {
        return Ok(None);
    };
    let Some(stat) = host.stat(path, follow) else {
        return Ok(Some(1));
    };
    let accounts = Accounts::read(host.editor.tree())?;
    let name = |lines: &[Vec<String>], id: u32| {
        let id = id.to_string();
        let line = lines.iter().find(|line| line.get(2) == Some(&id));
        let name = line.and_then(|line| line.first()).cloned();
        name.unwrap_or_else(|| "UNKNOWN".to_owned())
    };
    let size = match host.leaf_id(path, follow) {
        Some(id) => match &host.editor.tree().leaf(id).kind {
            LeafKind::File(content) => Some(content.len()),
            _ => None,
        },
        None => None,
    };
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('u') => out.push_str(&stat.uid.to_string()),
            Some('g') => out.push_str(&stat.gid.to_string()),
            Some('U') => out.push_str(&name(&accounts.passwd, stat.uid)),
            Some('G') => out.push_str(&name(&accounts.group, stat.gid)),
            Some('a') => out.push_str(&format!("{:o}", stat.mode)),
            Some('s') => match size {
                Some(size) => out.push_str(&size.to_string()),
                None => return Ok(None),
            },
            Some('n') => out.push_str(path),
            Some('%') => out.push('%'),
            _ => return Ok(None),
        }
    }
    Ok(say(io, &out))
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
        assert_eq!(
            printed(&["%5d|%-3s|%03d", "1", "a", "7"]).unwrap(),
            "    1|a  |007"
        );
        assert_eq!(printed(&["%s\\n"]).unwrap(), "\n");
        assert_eq!(printed(&["%f", "1"]), None);
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
    }
}
