//! The commands of a shell script, read without running it. Constructs that depend on something
//! make what is in them conditional; what cannot be read is passed over.

use super::cutter::{Cutter, Token, Word};
use super::values::Values;
use super::wrappers::bare;
use std::collections::BTreeMap;

/// How deep scripts in scripts (`sh -c`, `$(...)`, functions) are read.
const DEPTH: usize = 6;
/// The most commands of one script.
const COMMANDS: usize = 20_000;
/// A wait that is not a part of the start (seconds).
const HOUR: u64 = 3600;

/// When a command runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum When {
    /// Whenever the script runs.
    Always,
    /// If something holds.
    Maybe,
    /// As an answer to something that the script waits for, or much later.
    Waiting,
}

/// A command.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// Its line, from 1.
    pub(super) line: u32,
    /// Its words, without programs that only start another one.
    pub(super) words: Vec<String>,
    /// The files that it writes to by `>` and `>>`.
    pub(super) outputs: Vec<String>,
    pub(super) when: When,
}

impl Step {
    /// The name of the program.
    pub(super) fn name(&self) -> &str {
        let first = self.words.first().map_or("", String::as_str);
        first.rsplit('/').next().unwrap_or_default()
    }

    /// The command with the files that it writes, for people, at most 80 characters.
    pub(super) fn text(&self) -> String {
        let mut text = self.words.join(" ");
        for path in self.outputs.iter().filter(|path| path.starts_with('/')) {
            if path != "/dev/null" {
                text.push_str(&format!(" > {path}"));
            }
        }
        text.chars().take(80).collect()
    }

    /// The words after the name.
    pub(super) fn rest(&self) -> &[String] {
        self.words.get(1..).unwrap_or_default()
    }
}

/// The commands of a script that is called with these arguments, and the variables that are set.
pub(super) fn steps(
    text: &str,
    arguments: &[String],
    variables: &BTreeMap<String, String>,
) -> Vec<Step> {
    let values = Values {
        arguments: arguments.to_vec(),
        variables: variables.clone(),
    };
    let mut reader = Reader::new(values, 0);
    reader.read(text, 1);
    reader.finish()
}

/// An open construct.
enum Block {
    If { chosen: bool },
    Loop,
    For,
    Brace(When),
    Subshell(When),
    Function,
    Case(Case),
}

/// `case`: the value, if it is known, and the branch that is read.
struct Case {
    value: Option<String>,
    done: bool,
    branch: Branch,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Branch {
    Patterns,
    Runs,
    Skipped,
    Maybe,
}

struct Reader {
    values: Values,
    depth: usize,
    blocks: Vec<Block>,
    /// The commands of the script and of the functions that are open, the innermost last: name,
    /// commands, and whether nothing more runs.
    scopes: Vec<(String, Vec<Step>, bool)>,
    functions: BTreeMap<String, Vec<Step>>,
    words: Vec<Word>,
    outputs: Vec<String>,
    /// The text that the command reads: of a here document, or of `echo` before a pipe.
    fed: Option<(String, u32)>,
    /// What was printed by the command before a pipe.
    printed: Option<(String, u32)>,
    link: When,
    base: When,
    /// The next word is the target of a redirection.
    target: Option<Token>,
    /// The body of a function is to come.
    body: bool,
    waited: u64,
}

impl Reader {
    fn new(values: Values, depth: usize) -> Self {
        Self {
            values,
            depth,
            blocks: Vec::new(),
            scopes: vec![(String::new(), Vec::new(), false)],
            functions: BTreeMap::new(),
            words: Vec::new(),
            outputs: Vec::new(),
            fed: None,
            printed: None,
            link: When::Always,
            base: When::Always,
            target: None,
            body: false,
            waited: 0,
        }
    }

    fn read(&mut self, text: &str, line: u32) {
        for token in Cutter::tokens(text, line) {
            self.token(token);
        }
        self.end(When::Always);
    }

    /// When commands run here; `None`: never.
    fn when(&self) -> Option<When> {
        if self.scopes.last().is_some_and(|(_, _, ended)| *ended) {
            return None;
        }
        let mut when = self.base.max(self.link);
        if self.waited >= HOUR {
            when = When::Waiting;
        }
        for block in &self.blocks {
            when = when.max(match block {
                Block::If { chosen: true } => When::Maybe,
                Block::If { chosen: false } | Block::For | Block::Function => When::Always,
                Block::Loop => When::Waiting,
                Block::Brace(link) | Block::Subshell(link) => *link,
                Block::Case(case) => match case.branch {
                    Branch::Skipped => return None,
                    Branch::Maybe => When::Maybe,
                    Branch::Patterns | Branch::Runs => When::Always,
                },
            });
        }
        Some(when)
    }

    fn token(&mut self, token: Token) {
        let patterns = matches!(
            self.blocks.last(),
            Some(Block::Case(Case {
                branch: Branch::Patterns,
                ..
            }))
        );
        match token {
            Token::Word(word) if patterns => self.pattern(word),
            Token::Sign(sign) if patterns => self.end_of_patterns(sign),
            Token::Word(word) => self.word(word),
            Token::Sign(sign) => self.sign(sign),
            Token::Here(text, line) => self.fed = Some((text, line)),
            redirection => self.target = Some(redirection),
        }
    }

    fn pattern(&mut self, word: Word) {
        if word.text == "esac" && !word.quoted {
            self.words.clear();
            self.blocks.pop();
        } else {
            self.words.push(word);
        }
    }

    fn end_of_patterns(&mut self, sign: &str) {
        if sign != ")" {
            return;
        }
        let patterns = std::mem::take(&mut self.words);
        let Some(Block::Case(case)) = self.blocks.last_mut() else {
            return;
        };
        case.branch = match &case.value {
            None => Branch::Maybe,
            Some(_) if case.done => Branch::Skipped,
            Some(value) => {
                let fits = |pattern: &Word| pattern.text == "*" || pattern.text == *value;
                let may = |pattern: &Word| pattern.text.contains(['*', '?', '[']);
                if patterns.iter().any(fits) {
                    Branch::Runs
                } else if patterns.iter().any(may) {
                    Branch::Maybe
                } else {
                    Branch::Skipped
                }
            }
        };
        case.done |= case.branch == Branch::Runs;
    }

    fn word(&mut self, word: Word) {
        match self.target.take() {
            Some(Token::Into) => return self.outputs.push(self.expanded(&word.text)),
            Some(Token::Text) => return self.fed = Some((self.expanded(&word.text), word.line)),
            Some(_) => return,
            None => {}
        }
        if std::mem::take(&mut self.body) && word.text == "{" {
            return;
        }
        if self.words.is_empty() && !word.quoted && self.keyword(&word.text) {
            return;
        }
        let heads = ["for", "select", "case", "function"];
        let head = self.words.first().map(|word| word.text.clone());
        let head = head.filter(|head| heads.contains(&head.as_str()));
        let count = self.words.len();
        match head.as_deref() {
            Some("case") if word.text == "in" && count > 1 => self.case(),
            Some("function") if word.text == "{" => {
                self.function();
                self.body = false;
            }
            _ => self.words.push(word),
        }
    }

    fn case(&mut self) {
        let subject = self.words.get(1).map(|word| word.text.clone());
        self.words.clear();
        let value = self.expanded(&subject.unwrap_or_default());
        self.blocks.push(Block::Case(Case {
            value: Some(value).filter(|value| !value.contains('$')),
            done: false,
            branch: Branch::Patterns,
        }));
    }

    /// The beginning of a function whose name was read.
    fn function(&mut self) {
        let words = std::mem::take(&mut self.words);
        let name = words
            .iter()
            .map(|word| word.text.as_str())
            .find(|text| *text != "function");
        let name = name.unwrap_or_default().to_owned();
        self.link = When::Always;
        self.body = true;
        self.blocks.push(Block::Function);
        self.scopes.push((name, Vec::new(), false));
    }

    /// Takes a word of the language; `false` if it is none.
    fn keyword(&mut self, word: &str) -> bool {
        match word {
            "if" => self.blocks.push(Block::If { chosen: false }),
            "then" | "else" | "elif" => {
                if let Some(Block::If { chosen }) = self.blocks.last_mut() {
                    *chosen = true;
                }
            }
            "while" | "until" => self.blocks.push(Block::Loop),
            "for" | "select" => {
                let block = match word {
                    "for" => Block::For,
                    _ => Block::Loop,
                };
                self.blocks.push(block);
                return false;
            }
            "{" => {
                self.blocks.push(Block::Brace(self.link));
                self.link = When::Always;
            }
            "}" | "fi" | "done" | "esac" => {
                self.close();
                self.link = When::Always;
            }
            "do" | "!" | "time" => {}
            _ => return false,
        }
        true
    }

    fn close(&mut self) {
        if let Some(Block::Function) = self.blocks.pop()
            && self.scopes.len() > 1
            && let Some((name, steps, _)) = self.scopes.pop()
        {
            self.functions.insert(name, steps);
        }
    }

    fn sign(&mut self, sign: &str) {
        let one = self.words.len() == 1;
        match sign {
            "(" if self.body => self.body = false,
            "(" if one || self.words.first().is_some_and(|w| w.text == "function") => {
                // `name ()`; the body is to come.
                self.words.push(Word {
                    text: "(".into(),
                    ..Word::default()
                });
            }
            "(" => {
                self.end(self.link);
                self.blocks.push(Block::Subshell(self.link));
                self.link = When::Always;
            }
            ")" if self.words.last().is_some_and(|word| word.line == 0) => {
                self.words.pop();
                self.function();
            }
            ")" => {
                self.end(When::Always);
                if matches!(
                    self.blocks.last(),
                    Some(Block::Subshell(_) | Block::Function)
                ) {
                    self.close();
                }
            }
            "\n" if self.words.is_empty() && self.outputs.is_empty() => {}
            "\n" if self.words.len() == 2
                && self.words.first().is_some_and(|w| w.text == "function") =>
            {
                self.function();
            }
            ";;" | ";;&" | ";&" => {
                self.end(When::Always);
                if let Some(Block::Case(case)) = self.blocks.last_mut() {
                    case.branch = Branch::Patterns;
                }
            }
            "&&" => {
                let asks = self.asks();
                self.end(if asks { When::Maybe } else { self.link });
            }
            "||" => self.end(When::Maybe),
            "|" | "|&" => {
                let printed = self.prints();
                self.end(self.link);
                self.printed = printed;
            }
            _ => self.end(When::Always),
        }
    }

    /// Whether the command that was read only asks something.
    fn asks(&self) -> bool {
        let words = self.words.iter().map(|word| word.text.as_str());
        let mut words = words.filter(|word| *word != "!");
        let name = words.next().unwrap_or_default();
        let names = [
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
            "findmnt",
            "egrep",
            "id",
        ];
        names.contains(&name.rsplit('/').next().unwrap_or_default())
            || words.any(|word| matches!(word, "is-active" | "is-enabled" | "is-failed"))
    }

    /// A text with the values that are known.
    fn expanded(&self, text: &str) -> String {
        self.values.expanded(text, self.scopes.len() > 1)
    }

    /// What `echo` or `printf` prints.
    fn prints(&self) -> Option<(String, u32)> {
        let first = self.words.first()?;
        if !matches!(first.text.as_str(), "echo" | "printf") {
            return None;
        }
        let rest = self.words.iter().skip(1).map(|word| word.text.as_str());
        let rest: Vec<&str> = rest.skip_while(|word| word.starts_with('-')).collect();
        let text = rest.join(" ").replace("\\n", "\n");
        Some((self.expanded(&text), first.line))
    }

    /// Ends a command; the next one runs so.
    fn end(&mut self, next: When) {
        let words = std::mem::take(&mut self.words);
        let outputs = std::mem::take(&mut self.outputs);
        let fed = self.fed.take().or_else(|| self.printed.take());
        self.printed = None;
        self.target = None;
        let when = self.when();
        self.link = next;
        let words: Vec<Word> = words.into_iter().filter(|word| word.line > 0).collect();
        let (Some(first), Some(when)) = (words.first(), when) else {
            return;
        };
        let line = first.line;
        for (text, line) in words.iter().flat_map(|word| &word.inner) {
            self.nested(text, *line, when);
        }
        let in_function = self.scopes.len() > 1;
        if self.values.assigns(&words, in_function) {
            return;
        }
        let mut expanded = Vec::new();
        for word in &words {
            let text = self.expanded(&word.text);
            match !word.quoted && word.text.starts_with('$') && text.contains(' ') {
                true => expanded.extend(text.split_whitespace().map(str::to_owned)),
                false => expanded.push(text),
            }
        }
        self.command(line, &expanded, outputs, fed, when);
    }

    fn command(
        &mut self,
        line: u32,
        words: &[String],
        outputs: Vec<String>,
        fed: Option<(String, u32)>,
        when: When,
    ) {
        if let [keyword, name, within, values @ ..] = words
            && keyword == "for"
            && within == "in"
        {
            let value = values.iter().find(|value| value.contains('*'));
            if let Some(value) = value.or(values.first().filter(|_| values.len() == 1)) {
                self.values.variables.insert(name.clone(), value.clone());
            }
            return;
        }
        let bare = bare(words);
        let when = match bare.later {
            true => When::Waiting,
            false => when,
        };
        if let Some(text) = &bare.script {
            self.nested(text, line, when);
        }
        if bare.reads
            && let Some((text, line)) = &fed
        {
            self.nested(text, *line, when);
        }
        let Some(name) = bare.words.first() else {
            return;
        };
        if name == "sleep" && when < When::Waiting {
            self.waited = self.waited.saturating_add(seconds(&bare.words));
        }
        let grouped = self
            .blocks
            .iter()
            .any(|block| matches!(block, Block::Brace(_) | Block::Subshell(_)));
        let ends = matches!(name.as_str(), "exit" | "return") && when == When::Always;
        let Some((_, steps, ended)) = self.scopes.last_mut() else {
            return;
        };
        *ended |= ends && !grouped;
        if steps.len() < COMMANDS {
            steps.push(Step {
                line,
                words: bare.words,
                outputs,
                when,
            });
        }
    }

    /// Reads a script within this one.
    fn nested(&mut self, text: &str, line: u32, when: When) {
        if self.depth >= DEPTH {
            return;
        }
        let mut reader = Self::new(self.values.clone(), self.depth.saturating_add(1));
        reader.base = when;
        reader.functions.clone_from(&self.functions);
        reader.read(text, line);
        let steps = reader.finish();
        if let Some((_, found, _)) = self.scopes.last_mut()
            && found.len() < COMMANDS
        {
            found.extend(steps);
        }
    }

    /// The commands that run, with those of the functions that they call.
    fn finish(mut self) -> Vec<Step> {
        while self.scopes.len() > 1 {
            self.blocks.push(Block::Function);
            self.close();
        }
        let steps = self.scopes.pop().map_or_else(Vec::new, |scope| scope.1);
        let mut out = Vec::new();
        for step in steps {
            self.call(step, 0, &mut out);
        }
        out
    }

    fn call(&self, step: Step, depth: usize, out: &mut Vec<Step>) {
        let trapped = match step.name() {
            "trap" => step.rest().first(),
            _ => step.words.first(),
        };
        let body = trapped.and_then(|name| self.functions.get(name));
        if let Some(body) = body.filter(|_| depth < DEPTH && out.len() < COMMANDS) {
            for inner in body {
                let inner = Step {
                    when: inner.when.max(step.when),
                    ..inner.clone()
                };
                self.call(inner, depth.saturating_add(1), out);
            }
        }
        out.push(step);
    }
}

/// How long `sleep` waits.
fn seconds(words: &[String]) -> u64 {
    let mut total = 0_u64;
    for word in words.iter().skip(1) {
        let digits: String = word.chars().take_while(char::is_ascii_digit).collect();
        let factor = match word.chars().last() {
            Some('m') => 60,
            Some('h') => 3600,
            Some('d') => 86_400,
            _ => 1,
        };
        let number: u64 = digits.parse().unwrap_or(0);
        total = total.saturating_add(number.saturating_mul(factor));
    }
    total
}
