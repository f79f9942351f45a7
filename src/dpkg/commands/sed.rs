//! `sed(1)`: its language without files of its own (`r`, `w`) and without `e`.

use super::super::script_host::ScriptHost;
use super::arguments::CommandResult;
use super::regex::Regex;
use super::sed_script::{self, Address, Command, Function, Substitution, Until};
use crate::shell::Io;
use crate::tree::edit::EditError;

/// Longer lines are not edited: each place of a line is tried.
const MAX_LINE: usize = 10_000;
/// Commands that are run for one text.
const MAX_STEPS: usize = 1_000_000;

/// A call of `sed`.
#[derive(Debug, Default)]
struct Call<'a> {
    script: Option<String>,
    files: Vec<&'a str>,
    quiet: bool,
    extended: bool,
    /// Files are edited in place; what is added to the name of the old one, if it is kept.
    in_place: Option<&'a str>,
}

impl<'a> Call<'a> {
    fn read(host: &ScriptHost<'_, '_>, args: &[&'a str]) -> Result<Option<Self>, EditError> {
        let mut call = Self::default();
        let mut operands = Vec::new();
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            if let Some(long) = arg.strip_prefix("--") {
                match long.split_once('=').unwrap_or((long, "")) {
                    ("quiet" | "silent", "") => call.quiet = true,
                    ("regexp-extended", "") => call.extended = true,
                    ("in-place", suffix) => call.in_place = Some(suffix),
                    ("expression", text) if !text.is_empty() => call.add(text),
                    ("" | "debug" | "unbuffered", "") => {}
                    _ => return Ok(None),
                }
                continue;
            }
            let Some(letters) = arg.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
                operands.push(*arg);
                continue;
            };
            for (at, letter) in letters.char_indices() {
                let after = letters.get(at + 1..).unwrap_or_default();
                match letter {
                    'n' => call.quiet = true,
                    'E' | 'r' => call.extended = true,
                    'u' => {}
                    'i' => {
                        call.in_place = Some(after);
                        break;
                    }
                    'e' | 'f' => {
                        let value = if after.is_empty() {
                            rest.next().copied()
                        } else {
                            Some(after)
                        };
                        let Some(value) = value else { return Ok(None) };
                        if letter == 'e' {
                            call.add(value);
                        } else {
                            let Some(text) = host.text(value)? else {
                                return Ok(None);
                            };
                            call.add(text.trim_end_matches('\n'));
                        }
                        break;
                    }
                    _ => return Ok(None),
                }
            }
        }
        if call.script.is_none() {
            if operands.is_empty() {
                return Ok(None);
            }
            call.add(operands.remove(0));
        }
        call.files = operands;
        Ok(Some(call))
    }

    fn add(&mut self, text: &str) {
        let script = self.script.get_or_insert_default();
        script.push_str(text);
        script.push('\n');
    }
}

pub(super) fn run(host: &mut ScriptHost<'_, '_>, args: &[&str], io: &mut Io) -> CommandResult {
    let Some(call) = Call::read(host, args)? else {
        return Ok(None);
    };
    let script = call.script.unwrap_or_default();
    let Some(commands) = sed_script::read(&script, call.extended) else {
        return Ok(None);
    };
    let Some(suffix) = call.in_place else {
        let (mut text, mut status) = (String::new(), 0);
        for file in &call.files {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            match host.text(file)? {
                _ if *file == "-" => text.push_str(&io.rest()),
                Some(more) => text.push_str(&more),
                None => status = 2,
            }
        }
        if call.files.is_empty() {
            text = io.rest();
        }
        let Some(done) = edited(&text, &commands, call.quiet) else {
            return Ok(None);
        };
        io.output.push_str(&done.0);
        return Ok(Some(if status == 0 { done.1 } else { status }));
    };
    if suffix.contains(['*', '/']) {
        return Ok(None);
    }
    let mut status = 0;
    for file in call.files {
        if host.link_target(file).is_some() {
            return Ok(None);
        }
        let Some(text) = host.text(file)?.filter(|_| host.is_file(file)) else {
            status = 4;
            continue;
        };
        let Some((out, done)) = edited(&text, &commands, call.quiet) else {
            return Ok(None);
        };
        status = status.max(done);
        replace(host, file, suffix, &out)?;
    }
    Ok(Some(status))
}

/// A new file in place of an old one, whose other names stay as they are.
fn replace(
    host: &mut ScriptHost<'_, '_>,
    file: &str,
    suffix: &str,
    text: &str,
) -> Result<(), EditError> {
    if suffix.is_empty() && host.text(file)?.as_deref() == Some(text) {
        return Ok(());
    }
    let stat = host.stat(file, true).cloned();
    if let Some(old) = host.remove(file)?
        && !suffix.is_empty()
    {
        host.insert(&format!("{file}{suffix}"), old)?;
    }
    host.write_file(file, text.as_bytes(), false)?;
    if let Some(old) = stat {
        host.change_stat(file, true, |stat| {
            (stat.mode, stat.uid, stat.gid, stat.xattrs) = (old.mode, old.uid, old.gid, old.xattrs);
        })?;
    }
    Ok(())
}

/// A text while commands work on it.
struct Machine<'a> {
    lines: Vec<&'a str>,
    /// Lines that were read.
    at: usize,
    space: String,
    hold: String,
    /// Whether the last line that was read had an end.
    ended: bool,
    out: String,
    /// What is printed after the line.
    after: String,
    /// Where each range ends that is open.
    open: Vec<Option<RangeEnd>>,
    last: Option<&'a Regex>,
    replaced: bool,
}

#[derive(Clone, Copy)]
enum RangeEnd {
    Line(usize),
    Match,
}

/// How the commands for a line end.
enum End {
    Cycle {
        print: bool,
    },
    /// The next one begins without reading a line.
    Restart,
    Quit {
        print: bool,
        status: i32,
    },
}

/// The text after the commands, and the status; `None` for what is outside of the model.
pub(super) fn edited(text: &str, commands: &[Command], quiet: bool) -> Option<(String, i32)> {
    let mut machine = Machine {
        lines: text.split_inclusive('\n').collect(),
        at: 0,
        space: String::new(),
        hold: String::new(),
        ended: true,
        out: String::new(),
        after: String::new(),
        open: vec![None; commands.len()],
        last: None,
        replaced: false,
    };
    let mut steps = 0;
    let mut restart = false;
    loop {
        if !restart && !machine.read() {
            return Some((machine.out, 0));
        }
        restart = false;
        machine.replaced = false;
        let end = machine.cycle(commands, quiet, &mut steps)?;
        let (print, status) = match end {
            End::Cycle { print } => (print, None),
            End::Restart => {
                machine.flush();
                restart = true;
                continue;
            }
            End::Quit { print, status } => (print, Some(status)),
        };
        if print && !quiet {
            let space = std::mem::take(&mut machine.space);
            machine.print(&space);
        }
        machine.flush();
        if let Some(status) = status {
            return Some((machine.out, status));
        }
    }
}

impl<'a> Machine<'a> {
    /// Reads the next line; `false` at the end.
    fn read(&mut self) -> bool {
        let Some(line) = self.lines.get(self.at) else {
            return false;
        };
        self.at += 1;
        self.ended = line.ends_with('\n');
        self.space = line.strip_suffix('\n').unwrap_or(line).to_owned();
        true
    }

    /// Prints a line. The last one has an end if it had one when it was read.
    fn print(&mut self, text: &str) {
        if !self.out.is_empty() && !self.out.ends_with('\n') {
            self.out.push('\n');
        }
        self.out.push_str(text);
        if self.ended || self.at < self.lines.len() {
            self.out.push('\n');
        }
    }

    fn print_text(&mut self, text: &str) {
        if !self.out.is_empty() && !self.out.ends_with('\n') {
            self.out.push('\n');
        }
        self.out.push_str(text);
    }

    fn flush(&mut self) {
        let after = std::mem::take(&mut self.after);
        if !after.is_empty() {
            self.print_text(&after);
        }
    }

    fn hits(&mut self, regex: &'a Option<Regex>) -> Option<bool> {
        let regex = regex.as_ref().or(self.last)?;
        self.last = Some(regex);
        Some(regex.hits(&self.space, false, false))
    }

    fn meets(&mut self, address: &'a Address) -> Option<bool> {
        Some(match address {
            Address::Line(number) => self.at == *number,
            Address::Step(first, step) => {
                self.at >= *first
                    && (self.at - first)
                        .checked_rem(*step)
                        .unwrap_or(self.at - first)
                        == 0
            }
            Address::Last => self.at == self.lines.len(),
            Address::Match(regex) => self.hits(regex)?,
        })
    }

    fn concerns(&mut self, number: usize, command: &'a Command) -> Option<bool> {
        let Some(from) = &command.from else {
            return Some(true);
        };
        let Some(until) = &command.until else {
            return self.meets(from);
        };
        let open = self.open.get(number).copied().flatten();
        match open {
            Some(RangeEnd::Line(end)) => {
                if self.at >= end {
                    *self.open.get_mut(number)? = None;
                }
                // A line that a jump has passed ends the range before this one.
                return if self.at > end {
                    self.begins(number, from, until)
                } else {
                    Some(true)
                };
            }
            Some(RangeEnd::Match) => {
                if let Until::Match(regex) = until
                    && self.hits(regex)?
                {
                    *self.open.get_mut(number)? = None;
                }
                return Some(true);
            }
            None => {}
        }
        self.begins(number, from, until)
    }

    /// Whether a range begins at this line.
    fn begins(&mut self, number: usize, from: &'a Address, until: &'a Until) -> Option<bool> {
        let zero = matches!(from, Address::Line(0));
        if !(zero && self.at == 1 || !zero && self.meets(from)?) {
            return Some(false);
        }
        let end = match until {
            Until::Match(regex) if zero => (!self.hits(regex)?).then_some(RangeEnd::Match),
            Until::Match(_) => Some(RangeEnd::Match),
            Until::Line(line) => (*line > self.at).then_some(RangeEnd::Line(*line)),
            Until::More(0) => None,
            Until::More(more) => Some(RangeEnd::Line(self.at.saturating_add(*more))),
            Until::Last => {
                let last = self.lines.len();
                (last > self.at).then_some(RangeEnd::Line(last))
            }
        };
        *self.open.get_mut(number)? = end;
        Some(true)
    }

    fn cycle(&mut self, commands: &'a [Command], quiet: bool, steps: &mut usize) -> Option<End> {
        let mut next = 0;
        while let Some(command) = commands.get(next) {
            *steps += 1;
            if *steps > MAX_STEPS || self.space.len() > MAX_LINE || self.hold.len() > MAX_LINE {
                return None;
            }
            let number = next;
            next += 1;
            let concerns = self.concerns(number, command)? != command.others;
            match &command.function {
                Function::Open(end) if !concerns => next = *end,
                Function::Open(_) | Function::Close | Function::Label => {}
                _ if !concerns => {}
                Function::Jump(to) => next = *to,
                Function::JumpIfReplaced(to, wanted) => {
                    if std::mem::take(&mut self.replaced) == *wanted {
                        next = *to;
                    }
                }
                Function::Change(text) => {
                    let within = self.open.get(number).copied().flatten().is_some();
                    if !within || command.others {
                        self.print_text(text);
                    }
                    return Some(End::Cycle { print: false });
                }
                function => {
                    if let Some(end) = self.step(function, quiet)? {
                        return Some(end);
                    }
                }
            }
        }
        Some(End::Cycle { print: true })
    }

    /// One command; how the cycle ends if that ends it.
    fn step(&mut self, function: &'a Function, quiet: bool) -> Option<Option<End>> {
        match function {
            Function::Delete => return Some(Some(End::Cycle { print: false })),
            Function::DeleteFirst => {
                let Some((_, rest)) = self.space.split_once('\n') else {
                    return Some(Some(End::Cycle { print: false }));
                };
                self.space = rest.to_owned();
                return Some(Some(End::Restart));
            }
            Function::Print => {
                let space = self.space.clone();
                self.print(&space);
            }
            Function::PrintFirst => {
                let space = self.space.clone();
                match space.split_once('\n') {
                    Some((first, _)) => self.print_text(&format!("{first}\n")),
                    None => self.print(&space),
                }
            }
            Function::Number => {
                let number = self.at;
                self.print_text(&format!("{number}\n"));
            }
            Function::Next | Function::Append if self.at == self.lines.len() => {
                let print = !quiet;
                return Some(Some(End::Quit { print, status: 0 }));
            }
            Function::Next => {
                if !quiet {
                    let space = self.space.clone();
                    self.print(&space);
                }
                self.flush();
                self.read();
            }
            Function::Append => {
                let before = std::mem::take(&mut self.space);
                self.flush();
                self.read();
                self.space = format!("{before}\n{}", self.space);
            }
            Function::Quit(print, status) => {
                return Some(Some(End::Quit {
                    print: *print,
                    status: *status,
                }));
            }
            Function::After(text) => self.after.push_str(text),
            Function::Before(text) => self.print_text(text),
            Function::Hold => self.hold = self.space.clone(),
            Function::HoldMore => self.hold = format!("{}\n{}", self.hold, self.space),
            Function::Get => self.space = self.hold.clone(),
            Function::GetMore => self.space = format!("{}\n{}", self.space, self.hold),
            Function::Exchange => std::mem::swap(&mut self.space, &mut self.hold),
            Function::Translate(pairs) => {
                let change = |c| pairs.iter().find(|(a, _)| *a == c).map_or(c, |(_, b)| *b);
                self.space = self.space.chars().map(change).collect();
            }
            Function::Substitute(substitution) => self.substitute(substitution)?,
            // These were dealt with before.
            Function::Open(_)
            | Function::Close
            | Function::Label
            | Function::Jump(_)
            | Function::JumpIfReplaced(..)
            | Function::Change(_) => {}
        }
        Some(None)
    }

    fn substitute(&mut self, substitution: &'a Substitution) -> Option<()> {
        let regex = substitution.regex.as_ref().or(self.last)?;
        self.last = Some(regex);
        if let Some(new) = substitution.apply(regex, &self.space)? {
            self.space = new;
            self.replaced = true;
            if substitution.print {
                let space = self.space.clone();
                self.print(&space);
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str, extended: bool, quiet: bool, text: &str) -> Option<String> {
        let commands = sed_script::read(&format!("{script}\n"), extended)?;
        edited(text, &commands, quiet).map(|(out, _)| out)
    }

    #[test]
    fn lines_are_edited() {
        for (script, text, out) in [
            ("s/a/b/", "aa\n", "ba\n"),
            ("s/a/b/g", "aa", "bb"),
            ("s/a/b/2;a end", "aa", "ab\nend\n"),
            ("s|/x|[&]|", "a/x/y\n", "a[/x]/y\n"),
            ("s/^#*//;/^$/d", "#a\n\n##b\n", "a\nb\n"),
            ("/x/!d", "x\ny\nzx\n", "x\nzx\n"),
            ("1d;$d", "1\n2\n3\n", "2\n"),
            ("s/x*/-/g", "abc\n", "-a-b-c-\n"),
            ("s/[/]/:/", "a/b\n", "a:b\n"),
            ("s/B/x/i", "abc\n", "axc\n"),
            ("s/^\\(...\\).*/\\1/", "3.11.2-1\n", "3.1\n"),
            ("2,1d", "a\nb\nc\n", "a\nc\n"),
            ("1,2c new", "a\nb\nc\n", "new\nc\n"),
            ("/a/,/c/{s/^/#/;/b/d}", "a\nb\nc\nd\n", "#a\n#c\nd\n"),
            ("0,/x/s/x/y/", "x\nx\n", "y\nx\n"),
            ("/x/,+1d", "x\n1\n2\n", "2\n"),
            ("$!N;P;D", "a\nb\nc", "a\nb\nc"),
            ("i top", "x", "top\nx"),
            ("a\\\ntwo\\\nthree", "1\n", "1\ntwo\nthree\n"),
            (":a;N;$!ba;s/\\n/,/g", "1\n2\n3\n", "1,2,3\n"),
            ("/b/s//x/", "abb\n", "axb\n"),
            ("y/abc/xyz/", "cab\n", "zxy\n"),
            ("/a/{p;q}", "a\nb\n", "a\na\n"),
            ("s/\\bb/x/g", "b ab b\n", "x ab x\n"),
            ("1!G;h;$!d", "1\n2\n3\n", "3\n2\n1\n"),
        ] {
            assert_eq!(
                run(script, false, false, text).as_deref(),
                Some(out),
                "{script}"
            );
        }
        assert_eq!(
            run("s/a/b/p", false, true, "a\nc\n").as_deref(),
            Some("b\n")
        );
        assert_eq!(
            run("s/(a|b)+(.*)$/<\\2>/", true, false, "xabc\n").as_deref(),
            Some("x<c>\n")
        );
        for script in [
            "s/a/b/w f",
            "r f",
            "{d",
            "d}",
            "b nowhere",
            "s/\\(a\\)\\1/x/",
            "s/a/\\U&/",
        ] {
            assert!(run(script, false, false, "a\n").is_none(), "{script}");
        }
        // Which of them a group gets is not the same everywhere.
        assert_eq!(
            run("s/(foo|foob)(ar|bar)/\\1/", true, false, "foobar\n"),
            None
        );
    }
}
