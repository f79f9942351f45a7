//! The language of `sed(1)` (POSIX.1-2024, and GNU's additions that scripts use).

use super::regex::Regex;
use super::regex_groups::Groups;

/// Blocks within each other.
const MAX_DEPTH: usize = 20;

/// The lines that a command is for.
#[derive(Debug)]
pub(super) enum Address {
    Line(usize),
    Step(usize, usize),
    Last,
    /// `None`: the expression that was used last.
    Match(Option<Regex>),
}

/// The end of a range.
#[derive(Debug)]
pub(super) enum Until {
    Line(usize),
    More(usize),
    Last,
    Match(Option<Regex>),
}

#[derive(Debug)]
pub(super) enum Function {
    /// A block that ends before this command.
    Open(usize),
    Close,
    Label,
    Jump(usize),
    /// `t`, and `T` where nothing must have been replaced.
    JumpIfReplaced(usize, bool),
    Delete,
    DeleteFirst,
    Print,
    PrintFirst,
    Number,
    Next,
    Append,
    /// `q`, which prints, and `Q`, with their status.
    Quit(bool, i32),
    After(String),
    Before(String),
    Change(String),
    Hold,
    HoldMore,
    Get,
    GetMore,
    Exchange,
    Translate(Vec<(char, char)>),
    Substitute(Substitution),
}

#[derive(Debug)]
pub(super) struct Command {
    pub(super) from: Option<Address>,
    pub(super) until: Option<Until>,
    /// `!`: the command is for all other lines.
    pub(super) others: bool,
    pub(super) function: Function,
}

/// A piece of a replacement.
#[derive(Debug)]
enum Piece {
    Text(String),
    /// A group, or 0 for the whole match.
    Group(usize),
}

#[derive(Debug)]
pub(super) struct Substitution {
    /// `None`: the expression that was used last.
    pub(super) regex: Option<Regex>,
    pieces: Vec<Piece>,
    /// The first match that is replaced, counted from 1.
    first: usize,
    all: bool,
    pub(super) print: bool,
}

impl Substitution {
    /// The line with its matches replaced; the inner `None` without a match, the outer one where
    /// it is not certain what a group has.
    pub(super) fn apply(&self, regex: &Regex, line: &str) -> Option<Option<String>> {
        let chars: Vec<char> = line.chars().collect();
        let groups = self
            .pieces
            .iter()
            .any(|piece| matches!(piece, Piece::Group(1..)));
        let (mut out, mut at, mut count) = (String::new(), 0, 0_usize);
        let (mut found, mut last) = (false, None);
        while let Some((start, end)) = regex.find(&chars, at) {
            // An empty match right after another one does not count.
            let again = start == end && last == Some(start);
            count += usize::from(!again);
            let counts = !again && count >= self.first && (self.all || !found);
            out.extend(chars.get(at..start)?);
            if counts {
                found = true;
                let places = if groups {
                    Groups::of(regex, &chars, start, end)?
                } else {
                    Vec::new()
                };
                for piece in &self.pieces {
                    match piece {
                        Piece::Text(text) => out.push_str(text),
                        Piece::Group(0) => out.extend(chars.get(start..end)?),
                        Piece::Group(number) => {
                            if let Some((from, to)) = places.get(number - 1)? {
                                out.extend(chars.get(*from..*to)?);
                            }
                        }
                    }
                }
            } else {
                out.extend(chars.get(start..end)?);
            }
            at = end;
            last = (start < end).then_some(end);
            if start == end {
                let Some(c) = chars.get(at) else { break };
                out.push(*c);
                at += 1;
            }
            if found && !self.all {
                break;
            }
        }
        out.extend(chars.get(at..).unwrap_or_default());
        Some(found.then_some(out))
    }
}

struct Reader<'a> {
    rest: &'a str,
    extended: bool,
    commands: Vec<Command>,
    labels: Vec<(String, usize)>,
    /// Jumps to labels: the command, and the label.
    jumps: Vec<(usize, String)>,
    /// Blocks that are open.
    open: Vec<usize>,
}

/// The commands of a script; `None` if one is not understood.
pub(super) fn read(script: &str, extended: bool) -> Option<Vec<Command>> {
    let mut reader = Reader {
        rest: script,
        extended,
        commands: Vec::new(),
        labels: Vec::new(),
        jumps: Vec::new(),
        open: Vec::new(),
    };
    loop {
        reader.rest = reader.rest.trim_start_matches([' ', '\t', '\n', ';']);
        if reader.rest.is_empty() {
            break;
        }
        if reader.rest.starts_with('#') {
            reader.line();
            continue;
        }
        reader.command()?;
    }
    if !reader.open.is_empty() {
        return None;
    }
    let end = reader.commands.len();
    for (at, label) in std::mem::take(&mut reader.jumps) {
        let place = reader.labels.iter().find(|(name, _)| *name == label);
        let place = match place {
            Some((_, place)) => *place,
            None if label.is_empty() => end,
            None => return None,
        };
        match &mut reader.commands.get_mut(at)?.function {
            Function::Jump(to) | Function::JumpIfReplaced(to, _) => *to = place,
            _ => return None,
        }
    }
    Some(reader.commands)
}

impl Reader<'_> {
    fn take(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = self.rest.get(c.len_utf8()..)?;
        Some(c)
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    /// The rest of the line.
    fn line(&mut self) -> String {
        let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        self.rest = rest;
        line.to_owned()
    }

    fn number(&mut self) -> Option<usize> {
        let end = self.rest.find(|c: char| !c.is_ascii_digit());
        let (digits, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        let number = digits.parse().ok()?;
        self.rest = rest;
        Some(number)
    }

    /// An expression up to its delimiter; `None` within for an empty one.
    fn regex(&mut self, delimiter: char) -> Option<Option<Regex>> {
        let pattern = self.delimited(delimiter)?;
        let ignore = self.rest.starts_with('I');
        if ignore {
            self.take();
        }
        self.compiled(&pattern, ignore)
    }

    fn compiled(&self, pattern: &str, ignore: bool) -> Option<Option<Regex>> {
        if pattern.is_empty() {
            return (!ignore).then_some(None);
        }
        let regex = Regex::read(&escapes(pattern)?, self.extended)?;
        Some(Some(regex.ignoring_case(ignore)))
    }

    /// The text up to a delimiter, which a backslash takes as it is.
    fn delimited(&mut self, delimiter: char) -> Option<String> {
        let mut out = String::new();
        loop {
            match self.take()? {
                '\\' => match self.take()? {
                    // What a special character then means is not the same everywhere.
                    c if c == delimiter && "^$.*[]+?(){}|\\&".contains(c) => return None,
                    c if c == delimiter => out.push(c),
                    c => out.extend(['\\', c]),
                },
                '\n' => return None,
                '[' => {
                    out.push('[');
                    self.set(&mut out)?;
                }
                c if c == delimiter => return Some(out),
                c => out.push(c),
            }
        }
    }

    /// The rest of a set of characters, in which a delimiter is one of them.
    fn set(&mut self, out: &mut String) -> Option<()> {
        if self.rest.starts_with('^') {
            out.push(self.take()?);
        }
        if self.rest.starts_with(']') {
            out.push(self.take()?);
        }
        loop {
            match self.take()? {
                '\n' => return None,
                ']' => {
                    out.push(']');
                    return Some(());
                }
                '[' if self.rest.starts_with(':') => {
                    let (class, rest) = self.rest.split_once(":]")?;
                    out.push_str(&format!("[{class}:]"));
                    self.rest = rest;
                }
                c => out.push(c),
            }
        }
    }

    fn address(&mut self) -> Option<Option<Address>> {
        Some(Some(match self.rest.chars().next()? {
            '$' => {
                self.take();
                Address::Last
            }
            '/' => {
                self.take();
                Address::Match(self.regex('/')?)
            }
            '\\' => {
                self.take();
                let delimiter = self.take()?;
                Address::Match(self.regex(delimiter)?)
            }
            c if c.is_ascii_digit() => {
                let first = self.number()?;
                if self.rest.starts_with('~') {
                    self.take();
                    Address::Step(first, self.number()?)
                } else {
                    Address::Line(first)
                }
            }
            _ => return Some(None),
        }))
    }

    fn until(&mut self) -> Option<Until> {
        self.take();
        self.blanks();
        if self.rest.starts_with('+') {
            self.take();
            return Some(Until::More(self.number()?));
        }
        Some(match self.address()?? {
            Address::Line(number) => Until::Line(number),
            Address::Last => Until::Last,
            Address::Match(regex) => Until::Match(regex),
            Address::Step(..) => return None,
        })
    }

    fn command(&mut self) -> Option<()> {
        let from = self.address()?;
        self.blanks();
        let until = if from.is_some() && self.rest.starts_with(',') {
            Some(self.until()?)
        } else {
            None
        };
        let zero = matches!(from, Some(Address::Line(0)));
        if zero && !matches!(until, Some(Until::Match(_))) {
            return None;
        }
        self.blanks();
        let mut others = false;
        while self.rest.starts_with('!') {
            self.take();
            self.blanks();
            others = true;
        }
        let at = self.commands.len();
        let function = self.function(at)?;
        if matches!(function, Function::Close | Function::Label) && from.is_some() {
            return None;
        }
        let ends = !matches!(
            function,
            Function::Open(_) | Function::After(_) | Function::Before(_) | Function::Change(_)
        );
        self.commands.push(Command {
            from,
            until,
            others,
            function,
        });
        if !ends {
            return Some(());
        }
        self.blanks();
        let fine = self.rest.is_empty() || self.rest.starts_with([';', '\n', '}', '#']);
        fine.then_some(())
    }

    fn function(&mut self, at: usize) -> Option<Function> {
        Some(match self.take()? {
            '{' => {
                if self.open.len() >= MAX_DEPTH {
                    return None;
                }
                self.open.push(at);
                Function::Open(0)
            }
            '}' => {
                let open = self.open.pop()?;
                self.commands.get_mut(open)?.function = Function::Open(at);
                Function::Close
            }
            ':' => {
                let name = self.label()?;
                if name.is_empty() {
                    return None;
                }
                self.labels.push((name, at));
                Function::Label
            }
            c @ ('b' | 't' | 'T') => {
                let name = self.label()?;
                self.jumps.push((at, name));
                match c {
                    'b' => Function::Jump(0),
                    _ => Function::JumpIfReplaced(0, c == 't'),
                }
            }
            'd' => Function::Delete,
            'D' => Function::DeleteFirst,
            'p' => Function::Print,
            'P' => Function::PrintFirst,
            '=' => Function::Number,
            'n' => Function::Next,
            'N' => Function::Append,
            'h' => Function::Hold,
            'H' => Function::HoldMore,
            'g' => Function::Get,
            'G' => Function::GetMore,
            'x' => Function::Exchange,
            c @ ('q' | 'Q') => {
                self.blanks();
                let status = match self.number() {
                    Some(status) => i32::try_from(status).ok()?,
                    None => 0,
                };
                Function::Quit(c == 'q', status)
            }
            'a' => Function::After(self.text()?),
            'i' => Function::Before(self.text()?),
            'c' => Function::Change(self.text()?),
            'y' => self.translate()?,
            's' => Function::Substitute(self.substitute()?),
            _ => return None,
        })
    }

    fn label(&mut self) -> Option<String> {
        self.blanks();
        let end = self.rest.find([';', '\n', '}']).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(name.trim().to_owned())
    }

    /// The text of `a`, `i` and `c`: the rest of the line, and the lines after a backslash.
    fn text(&mut self) -> Option<String> {
        self.blanks();
        if let Some(rest) = self.rest.strip_prefix('\\') {
            let rest = rest.trim_start_matches([' ', '\t']);
            // Of `a\` in one line, the blanks after it are kept.
            self.rest = match rest.strip_prefix('\n') {
                Some(rest) => rest,
                None => self.rest.strip_prefix('\\')?,
            };
        }
        let mut out = String::new();
        loop {
            match self.take() {
                None | Some('\n') => break,
                Some('\\') => match self.take()? {
                    c if c.is_alphanumeric() => return None,
                    c => out.push(c),
                },
                Some(c) => out.push(c),
            }
        }
        (!out.is_empty()).then(|| out + "\n")
    }

    fn translate(&mut self) -> Option<Function> {
        let delimiter = self.take().filter(|c| *c != '\\' && *c != '\n')?;
        let mut side = || {
            let mut out = Vec::new();
            loop {
                match self.take()? {
                    '\\' => out.push(match self.take()? {
                        'n' => '\n',
                        't' => '\t',
                        c if c == '\\' || c == delimiter => c,
                        _ => return None,
                    }),
                    '\n' => return None,
                    c if c == delimiter => return Some(out),
                    c => out.push(c),
                }
            }
        };
        let (from, to) = (side()?, side()?);
        (from.len() == to.len()).then(|| Function::Translate(from.into_iter().zip(to).collect()))
    }

    fn substitute(&mut self) -> Option<Substitution> {
        let delimiter = self.take().filter(|c| *c != '\\' && *c != '\n')?;
        let pattern = self.delimited(delimiter)?;
        let pieces = self.replacement(delimiter)?;
        let (mut all, mut print, mut ignore, mut first) = (false, false, false, 1);
        while let Some(flag) = self.rest.chars().next().filter(|c| c.is_alphanumeric()) {
            if flag.is_ascii_digit() {
                first = self.number().filter(|number| *number > 0)?;
                continue;
            }
            match flag {
                'g' => all = true,
                'p' => print = true,
                'i' | 'I' => ignore = true,
                _ => return None,
            }
            self.take();
        }
        Some(Substitution {
            regex: self.compiled(&pattern, ignore)?,
            pieces,
            first,
            all,
            print,
        })
    }

    fn replacement(&mut self, delimiter: char) -> Option<Vec<Piece>> {
        let mut pieces = Vec::new();
        let mut text = String::new();
        loop {
            let group = match self.take()? {
                '\n' => return None,
                c if c == delimiter => break,
                '&' => 0,
                '\\' => match self.take()? {
                    c if c == delimiter && c.is_alphanumeric() => return None,
                    'n' => {
                        text.push('\n');
                        continue;
                    }
                    't' => {
                        text.push('\t');
                        continue;
                    }
                    c if c.is_ascii_digit() => {
                        c.to_digit(10).and_then(|n| usize::try_from(n).ok())?
                    }
                    c if c.is_alphanumeric() => return None,
                    c => {
                        text.push(c);
                        continue;
                    }
                },
                c => {
                    text.push(c);
                    continue;
                }
            };
            pieces.push(Piece::Text(std::mem::take(&mut text)));
            pieces.push(Piece::Group(group));
        }
        pieces.push(Piece::Text(text));
        Some(pieces)
    }
}

/// A pattern with the characters that `\n` and `\t` stand for.
fn escapes(pattern: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next()? {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                c => out.extend(['\\', c]),
            },
            c => out.push(c),
        }
    }
    Some(out)
}
