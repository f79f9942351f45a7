//! The commands of a shell script, found without running it: with their lines, and whether they run
//! always, under a condition, or as long as the script watches something.
//!
//! The reader is forgiving: it takes scripts of any shell, and what it does not understand is a
//! word like any other. Comments, quoted text, functions that nobody calls, and what comes after
//! `exit` do not run.

use super::command::{Command, Runs, running};
use super::lexer::{self, Token, TokenKind};
use super::variables::Variables;
use super::words::{
    change_directory, inner_script, is_put_off, only_asks, reads_commands, unwrapped, waits,
};
use crate::shell::matches;

/// The number of levels of scripts within scripts (`sh -c`, `$(...)`) that are read.
const MAX_NESTING: usize = 4;
/// A wait from which on an act is not part of the start (seconds).
const LONG_WAIT: u64 = 3600;

/// Finds a script by its name in a directory: its path and its text.
pub(super) type Load<'a> = &'a dyn Fn(&str, &str) -> Option<(String, String)>;

/// What a script is read with.
#[derive(Default)]
pub(super) struct Context<'a> {
    /// Its arguments.
    pub(super) arguments: &'a [String],
    /// Its variables.
    pub(super) variables: Variables,
    /// The directory in which it runs; empty: it is not known.
    pub(super) dir: String,
    /// Finds the scripts that it reads with `.`.
    pub(super) load: Option<Load<'a>>,
}

/// An open construct.
#[derive(Debug)]
enum Frame {
    /// A function's body, by its name.
    Function(String),
    /// `if`; its commands depend on a condition from `then` on.
    If { decided: bool },
    /// `while`, `until`, `select`.
    Watch,
    /// `for`.
    For,
    /// `case`, with the value that it tests, if it is known.
    Case {
        value: Option<String>,
        taken: bool,
        arm: Arm,
    },
    /// `{` or `(`, with the construct's condition.
    Group(Runs),
}

/// What is known about the current branch of a `case`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arm {
    /// Patterns are read.
    Patterns,
    /// It runs.
    Taken,
    /// It does not run.
    Skipped,
    /// It may run.
    Possible,
}

/// The commands that run when the script is called with `arguments`.
pub(super) fn commands(text: &str, arguments: &[String]) -> Vec<Command> {
    let context = Context {
        arguments,
        ..Context::default()
    };
    commands_in(text, context)
}

/// The commands that run in this context.
pub(super) fn commands_in(text: &str, context: Context<'_>) -> Vec<Command> {
    let mut reader = Reader::new(context.arguments, 0);
    reader.variables = context.variables;
    reader.dir = context.dir;
    reader.load = context.load;
    reader.read(text, 1);
    reader.finish()
}

struct Reader<'a> {
    arguments: &'a [String],
    nesting: usize,
    frames: Vec<Frame>,
    found: Vec<Command>,
    words: Vec<Token>,
    outputs: Vec<String>,
    /// Where the next word is the target of a redirection.
    redirect: Option<bool>,
    /// How the current command is joined to the one before it.
    joined: Runs,
    /// A plain `exit` was met: nothing more runs, in this function or the script.
    ended: Vec<Option<String>>,
    /// Seconds that the script has waited.
    waited: u64,
    /// The base condition, from a script around this one.
    base: Runs,
    /// What the command before a pipe prints, and its line.
    printed: Option<(String, usize)>,
    variables: Variables,
    /// The directory in which commands run.
    dir: String,
    load: Option<Load<'a>>,
    /// The file that is read with `.`.
    file: Option<String>,
}

impl<'a> Reader<'a> {
    fn new(arguments: &'a [String], nesting: usize) -> Self {
        Self {
            arguments,
            nesting,
            frames: Vec::new(),
            found: Vec::new(),
            words: Vec::new(),
            outputs: Vec::new(),
            redirect: None,
            joined: Runs::Always,
            ended: Vec::new(),
            waited: 0,
            base: Runs::Always,
            printed: None,
            variables: Variables::default(),
            dir: String::new(),
            load: None,
            file: None,
        }
    }

    fn read(&mut self, text: &str, first_line: usize) {
        for token in lexer::tokens(text, first_line) {
            self.token(token);
        }
        self.end_command(Runs::Always);
    }

    /// The function that is being read.
    fn function(&self) -> Option<String> {
        let name = |frame: &Frame| match frame {
            Frame::Function(name) => Some(name.clone()),
            _ => None,
        };
        self.frames.iter().rev().find_map(name)
    }

    /// When a command runs here; `None` when it never does.
    fn here(&self) -> Option<Runs> {
        let mut runs = self.base.max(self.joined);
        for frame in &self.frames {
            runs = runs.max(match frame {
                Frame::Function(_) | Frame::For | Frame::If { decided: false } => Runs::Always,
                Frame::If { decided: true } => Runs::If,
                Frame::Watch => Runs::Later,
                Frame::Group(runs) => *runs,
                Frame::Case { arm, .. } => match arm {
                    Arm::Taken | Arm::Patterns => Runs::Always,
                    Arm::Possible => Runs::If,
                    Arm::Skipped => return None,
                },
            });
        }
        let function = self.function();
        if self.ended.contains(&function) {
            return None;
        }
        if self.waited >= LONG_WAIT {
            runs = Runs::Later;
        }
        Some(runs)
    }

    fn token(&mut self, token: Token) {
        let patterns = |frame: &Frame| {
            matches!(
                frame,
                Frame::Case {
                    arm: Arm::Patterns,
                    ..
                }
            )
        };
        if self.frames.last().is_some_and(patterns) {
            return self.pattern(token);
        }
        match &token.kind {
            TokenKind::Word => self.word(token),
            TokenKind::Output => self.redirect = Some(true),
            TokenKind::Input => self.redirect = Some(false),
            TokenKind::Operator(operator) => self.operator(operator),
            TokenKind::Here(body) => self.here_document(body, token.line),
        }
    }

    fn operator(&mut self, operator: &str) {
        match operator {
            "(" if self.words.len() == 1 || self.is_function_word() => {
                // `name ()`, of which `)` follows at once.
                self.words.drain(..self.words.len() - 1);
                self.words.push(Token::word("(", 0));
            }
            "(" => {
                self.end_command(Runs::Always);
                let runs = self.joined;
                self.joined = Runs::Always;
                self.frames.push(Frame::Group(runs));
            }
            ")" if self.words.get(1).is_some_and(|word| word.line == 0) => {
                let name = self.words.remove(0).text;
                self.words.clear();
                self.frames.push(Frame::Function(name));
                self.joined = Runs::Always;
                // Its `{` is part of it.
                self.words.push(Token::word("", 0));
            }
            ")" => {
                self.end_command(Runs::Always);
                if matches!(self.frames.last(), Some(Frame::Group(_))) {
                    self.frames.pop();
                }
            }
            ";;" => {
                self.end_command(Runs::Always);
                if let Some(Frame::Case { arm, .. }) = self.frames.last_mut() {
                    *arm = Arm::Patterns;
                }
            }
            "&&" => {
                let tests = self.is_test();
                self.end_command(if tests { Runs::If } else { self.joined });
            }
            "||" => self.end_command(Runs::If),
            "|" => {
                let joined = self.joined;
                let printed = self.prints();
                self.end_command(joined);
                self.printed = printed;
            }
            // An operator, or the name of a function, goes on in the next line.
            "\n" if self.words.is_empty() && self.outputs.is_empty() => {}
            "\n" if self.words.len() == 1 && self.words[0].line == 0 => {}
            "\n" if self.is_function_word() => {
                let name = self.words.remove(1).text;
                self.words.clear();
                self.frames.push(Frame::Function(name));
                self.words.push(Token::word("", 0));
            }
            _ => self.end_command(Runs::Always),
        }
    }

    /// Whether `function name` was read.
    fn is_function_word(&self) -> bool {
        self.words.len() == 2 && self.words[0].text == "function"
    }

    /// What the current command prints, if it is `echo` or `printf`, and its line.
    fn prints(&self) -> Option<(String, usize)> {
        let first = self.words.first()?;
        let words = self.words.iter().skip(1);
        let words = words.map(|word| self.variables.expanded(&word.text));
        let words: Vec<String> = words.skip_while(|word| word.starts_with('-')).collect();
        let prints = matches!(first.text.as_str(), "echo" | "printf");
        prints.then(|| (words.join(" ").replace("\\n", "\n"), first.line))
    }

    /// Whether the current command only asks something.
    fn is_test(&self) -> bool {
        let words = self.words.iter().map(|word| word.text.as_str());
        only_asks(&words.collect::<Vec<_>>())
    }

    fn word(&mut self, token: Token) {
        if let Some(output) = self.redirect.take() {
            if output {
                self.outputs.push(token.text);
            }
            return;
        }
        if self.words.first().is_some_and(|word| word.line == 0) && self.words.len() == 1 {
            // After `name ()`: the brace of the body, or a single command.
            self.words.clear();
            if token.text == "{" {
                return;
            }
        }
        if token.text == "{" && self.is_function_word() {
            let name = self.words.remove(1).text;
            self.words.clear();
            self.frames.push(Frame::Function(name));
            return;
        }
        if !self.words.is_empty() {
            let begins_case = self.words[0].text == "case" && token.text == "in";
            self.words.push(token);
            if begins_case {
                self.begin_case();
            }
            return;
        }
        if token.quoted || !self.keyword(&token.text) {
            self.words.push(token);
        }
    }

    /// Handles a reserved word at the start of a command; `false` if it is not one.
    fn keyword(&mut self, word: &str) -> bool {
        match word {
            "if" => self.frames.push(Frame::If { decided: false }),
            "then" | "else" | "elif" => {
                if let Some(Frame::If { decided }) = self.frames.last_mut() {
                    *decided = true;
                }
            }
            "while" | "until" => self.frames.push(Frame::Watch),
            "for" => {
                self.frames.push(Frame::For);
                return false;
            }
            "select" => {
                self.frames.push(Frame::Watch);
                return false;
            }
            "do" | "!" | "time" => {}
            "{" => {
                let runs = self.joined;
                self.joined = Runs::Always;
                self.frames.push(Frame::Group(runs));
            }
            "}" | "fi" | "done" | "esac" => {
                self.frames.pop();
                // What follows a construct on its line has words of its own.
                self.joined = Runs::Always;
            }
            _ => return false,
        }
        true
    }

    fn begin_case(&mut self) {
        let subject = self.words.get(1).map(|word| word.text.clone());
        let subject = subject.unwrap_or_default();
        let value = self.value(&subject);
        self.words.clear();
        self.frames.push(Frame::Case {
            value,
            taken: false,
            arm: Arm::Patterns,
        });
    }

    /// The value of `$1` and the like; `None` for anything else.
    fn value(&self, word: &str) -> Option<String> {
        let name = word.strip_prefix('$')?;
        let name = name
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
            .unwrap_or(name);
        let (name, default) = name.split_once(":-").unwrap_or((name, ""));
        let number: usize = name.parse().ok()?;
        // In a function it is an argument of the function.
        if self.function().is_some() {
            return None;
        }
        let value = self.arguments.get(number.checked_sub(1)?);
        Some(value.cloned().unwrap_or_else(|| default.to_owned()))
    }

    /// A token among the patterns of a branch.
    fn pattern(&mut self, token: Token) {
        match &token.kind {
            TokenKind::Word if token.text == "esac" && !token.quoted => {
                self.words.clear();
                self.frames.pop();
            }
            TokenKind::Word => self.words.push(token),
            TokenKind::Operator(")") => {
                let patterns: Vec<String> = self.words.drain(..).map(|word| word.text).collect();
                if let Some(Frame::Case { value, taken, arm }) = self.frames.last_mut() {
                    *arm = match value {
                        None => Arm::Possible,
                        Some(_) if *taken => Arm::Skipped,
                        Some(value) if patterns.iter().any(|pattern| matches(pattern, value)) => {
                            *taken = true;
                            Arm::Taken
                        }
                        Some(_) => Arm::Skipped,
                    };
                }
            }
            _ => {}
        }
    }

    fn here_document(&mut self, body: &str, line: usize) {
        let words: Vec<String> = self.words.iter().map(|word| word.text.clone()).collect();
        let later = is_put_off(&words);
        if reads_commands(unwrapped(&words)) {
            self.nested(body, line, later);
        }
    }

    /// Reads a script within this one.
    fn nested(&mut self, text: &str, line: usize, later: bool) {
        let Some(mut runs) = self.here().filter(|_| self.nesting < MAX_NESTING) else {
            return;
        };
        if later {
            runs = Runs::Later;
        }
        let mut reader = Reader::new(&[], self.nesting + 1);
        reader.base = runs;
        reader.waited = self.waited;
        reader.variables = self.variables.clone();
        reader.dir.clone_from(&self.dir);
        reader.file.clone_from(&self.file);
        reader.load = self.load;
        reader.read(text, line);
        let function = self.function();
        for mut command in reader.finish() {
            command.function.clone_from(&function);
            self.found.push(command);
        }
    }

    /// Ends the current command; the next one is joined to it so.
    fn end_command(&mut self, next: Runs) {
        let words = std::mem::take(&mut self.words);
        let outputs = std::mem::take(&mut self.outputs);
        let words: Vec<Token> = words.into_iter().filter(|word| word.line > 0).collect();
        for (text, line) in words.iter().flat_map(|word| word.substitutions.clone()) {
            self.nested(&text, line, false);
        }
        let printed = self.printed.take();
        if self.here().is_some() && self.variables.assigned(&words) {
            self.joined = next;
            return;
        }
        if let (Some(first), Some(runs)) = (words.first(), self.here()) {
            let line = first.line;
            let mut words: Vec<String> = words
                .iter()
                .flat_map(|word| self.variables.words(word))
                .collect();
            if words.is_empty() {
                self.joined = next;
                return;
            }
            self.variables.set_by_loop(&words);
            let later = is_put_off(&words);
            let runs = if later { Runs::Later } else { runs };
            let unwrapped = unwrapped(&words).to_vec();
            if let Some(text) = inner_script(&unwrapped) {
                self.nested(&text, line, later);
            }
            if let Some((text, line)) = printed.filter(|_| reads_commands(&unwrapped)) {
                self.nested(&text, line, later);
            }
            if runs != Runs::Later {
                self.waited = self.waited.saturating_add(waits(&unwrapped));
            }
            let grouped = self
                .frames
                .iter()
                .any(|frame| matches!(frame, Frame::Group(_)));
            let ends = matches!(words[0].as_str(), "exit" | "return");
            if ends && runs == Runs::Always && !grouped {
                let function = self.function();
                self.ended.push(function);
            }
            words = unwrapped;
            let outputs = outputs.iter().map(|path| self.variables.expanded(path));
            let outputs = outputs.collect();
            let sourced = (matches!(words[0].as_str(), "." | "source"))
                .then(|| words.get(1).cloned())
                .flatten();
            change_directory(&mut self.dir, &words);
            let function = self.function();
            self.found.push(Command {
                line,
                words,
                outputs,
                runs,
                dir: self.dir.clone(),
                file: self.file.clone(),
                function,
            });
            if let Some(name) = sourced {
                self.source(&name, runs);
            }
        }
        self.joined = next;
    }

    /// Reads the commands of another file into this script.
    fn source(&mut self, name: &str, runs: Runs) {
        let Some(load) = self.load.filter(|_| self.nesting < MAX_NESTING) else {
            return;
        };
        let dirs = [self.dir.clone(), self.variables.dir().to_owned()];
        let Some((path, text)) = dirs.iter().find_map(|dir| load(name, dir)) else {
            return;
        };
        let frames = self.frames.len();
        let ended = self.ended.clone();
        let file = self.file.replace(path);
        let base = self.base;
        self.base = base.max(runs);
        self.nesting += 1;
        self.joined = Runs::Always;
        self.read(&text, 1);
        self.nesting -= 1;
        self.base = base;
        self.file = file;
        self.ended = ended;
        self.frames.truncate(frames);
    }

    fn finish(self) -> Vec<Command> {
        running(self.found)
    }
}
