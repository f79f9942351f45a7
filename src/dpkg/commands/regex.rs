//! Regular expressions of `grep` and `sed` (POSIX.1-2024, Base Definitions, chapter 9), basic and
//! extended, without references to groups within them. All ways to match are followed at once, so
//! that no expression takes long.

/// Steps of a compiled expression; those of scripts have a few dozen.
const MAX_STEPS: usize = 2_000;
/// How deep groups may nest.
const MAX_DEPTH: usize = 20;

/// A class of characters.
#[derive(Clone, Debug)]
pub(super) struct Set {
    negated: bool,
    ranges: Vec<(char, char)>,
}

impl Set {
    fn has(&self, c: char) -> bool {
        self.ranges
            .iter()
            .any(|(low, high)| (*low..=*high).contains(&c))
            != self.negated
    }
}

#[derive(Clone, Debug)]
pub(super) enum Node {
    Char(char),
    Any,
    Of(Set),
    Start,
    End,
    /// The beginning or the end of a word.
    Edge {
        begins: bool,
        ends: bool,
    },
    Sequence(Vec<Node>),
    OneOf(Vec<Node>),
    /// A group by its number, counted from 0.
    Group(Box<Node>, usize),
    Repeat(Box<Node>, usize, Option<usize>),
}

#[derive(Clone, Debug)]
enum Step {
    Char(char),
    Any,
    Of(Set),
    Start,
    End,
    Edge { begins: bool, ends: bool },
    Either(usize, usize),
    Goto(usize),
    Hit,
}

/// A compiled expression.
#[derive(Clone, Debug)]
pub(super) struct Regex {
    steps: Vec<Step>,
    node: Node,
    groups: usize,
    ignore_case: bool,
    literal: bool,
}

impl Regex {
    /// Reads an expression; `None` if it is not understood.
    pub(super) fn read(text: &str, extended: bool) -> Option<Self> {
        let mut reader = Reader {
            chars: text.chars().collect(),
            at: 0,
            extended,
            depth: 0,
            groups: 0,
        };
        let node = reader.choice()?;
        if reader.at < reader.chars.len() {
            return None;
        }
        let mut steps = Vec::new();
        compile(&node, &mut steps)?;
        steps.push(Step::Hit);
        let literal = steps
            .iter()
            .all(|step| matches!(step, Step::Char(_) | Step::Hit));
        Some(Self {
            steps,
            groups: reader.groups,
            node,
            ignore_case: false,
            literal,
        })
    }

    /// An expression that matches exactly this text.
    pub(super) fn literal(text: &str) -> Self {
        let mut steps: Vec<Step> = text.chars().map(Step::Char).collect();
        steps.push(Step::Hit);
        Self {
            steps,
            node: Node::Sequence(text.chars().map(Node::Char).collect()),
            groups: 0,
            ignore_case: false,
            literal: true,
        }
    }

    pub(super) fn ignoring_case(mut self, ignore: bool) -> Self {
        self.ignore_case = ignore;
        self
    }

    /// Whether it is nothing but characters.
    pub(super) fn is_literal(&self) -> bool {
        self.literal
    }

    /// Whether a line has a match: of all of it, or of whole words.
    pub(super) fn hits(&self, line: &str, whole: bool, words: bool) -> bool {
        let line: Vec<char> = line.chars().collect();
        if whole {
            return self.match_at(&line, 0) == Some(line.len());
        }
        if !words {
            return self.any(&line);
        }
        let part_of_word = |at: Option<usize>| {
            at.and_then(|at| line.get(at))
                .is_some_and(|c| c.is_alphanumeric() || *c == '_')
        };
        (0..=line.len()).any(|at| {
            self.match_at(&line, at).is_some_and(|end| {
                !part_of_word(at.checked_sub(1)) && !part_of_word(Some(end)) && end > at
            })
        })
    }

    /// The first match at or after `from`, the longest there: its start and end.
    pub(super) fn find(&self, line: &[char], from: usize) -> Option<(usize, usize)> {
        (from..=line.len()).find_map(|at| Some((at, self.match_at(line, at)?)))
    }

    /// Whether there is a match anywhere.
    fn any(&self, line: &[char]) -> bool {
        let mut now = vec![false; self.steps.len()];
        for at in 0..=line.len() {
            if self.enter(&mut now, 0, at, line) {
                return true;
            }
            let mut next = vec![false; self.steps.len()];
            if let Some(c) = line.get(at)
                && self.advance(&now, *c, &mut next, at + 1, line)
            {
                return true;
            }
            now = next;
        }
        false
    }

    /// The end of the longest match that begins here.
    fn match_at(&self, line: &[char], from: usize) -> Option<usize> {
        let mut now = vec![false; self.steps.len()];
        let mut end = self.enter(&mut now, 0, from, line).then_some(from);
        for (at, c) in line.iter().enumerate().skip(from) {
            let mut next = vec![false; self.steps.len()];
            if self.advance(&now, *c, &mut next, at + 1, line) {
                end = Some(at + 1);
            }
            if !next.contains(&true) {
                break;
            }
            now = next;
        }
        end
    }

    /// Takes a character in all ways; whether that completes a match.
    fn advance(&self, now: &[bool], c: char, next: &mut [bool], at: usize, line: &[char]) -> bool {
        let mut hit = false;
        for (number, step) in self.steps.iter().enumerate() {
            let here = now.get(number) == Some(&true);
            let takes = here
                && match step {
                    Step::Char(wanted) => self.same(*wanted, c),
                    Step::Any => true,
                    Step::Of(set) => self.among(set, c),
                    _ => false,
                };
            if takes {
                hit |= self.enter(next, number + 1, at, line);
            }
        }
        hit
    }

    pub(super) fn same(&self, a: char, b: char) -> bool {
        a == b || self.ignore_case && a.to_lowercase().eq(b.to_lowercase())
    }

    pub(super) fn among(&self, set: &Set, c: char) -> bool {
        set.has(c)
            || self.ignore_case
                && (c.to_lowercase().any(|c| set.has(c)) || c.to_uppercase().any(|c| set.has(c)))
    }

    /// The expression as it is written, and how many groups it has.
    pub(super) fn written(&self) -> (&Node, usize) {
        (&self.node, self.groups)
    }

    /// Enters a step, and those that follow without a character; whether the end is among them.
    fn enter(&self, states: &mut [bool], step: usize, at: usize, line: &[char]) -> bool {
        let mut todo = vec![step];
        let mut hit = false;
        while let Some(number) = todo.pop() {
            let Some(state) = states.get_mut(number).filter(|state| !**state) else {
                continue;
            };
            *state = true;
            match self.steps.get(number) {
                Some(Step::Either(a, b)) => todo.extend([*a, *b]),
                Some(Step::Goto(a)) => todo.push(*a),
                Some(Step::Start) if at == 0 => todo.push(number + 1),
                Some(Step::End) if at == line.len() => todo.push(number + 1),
                Some(Step::Edge { begins, ends }) if edge(line, at, *begins, *ends) => {
                    todo.push(number + 1);
                }
                Some(Step::Hit) => hit = true,
                _ => {}
            }
        }
        hit
    }
}

/// Whether a word begins or ends at a place of a line.
pub(super) fn edge(line: &[char], at: usize, begins: bool, ends: bool) -> bool {
    let word = |at: Option<usize>| {
        at.and_then(|at| line.get(at))
            .is_some_and(|c| c.is_alphanumeric() || *c == '_')
    };
    match (word(at.checked_sub(1)), word(Some(at))) {
        (false, true) => begins,
        (true, false) => ends,
        _ => false,
    }
}

fn compile(node: &Node, steps: &mut Vec<Step>) -> Option<()> {
    if steps.len() > MAX_STEPS {
        return None;
    }
    match node {
        Node::Char(c) => steps.push(Step::Char(*c)),
        Node::Any => steps.push(Step::Any),
        Node::Of(set) => steps.push(Step::Of(set.clone())),
        Node::Start => steps.push(Step::Start),
        Node::End => steps.push(Step::End),
        Node::Edge { begins, ends } => steps.push(Step::Edge {
            begins: *begins,
            ends: *ends,
        }),
        Node::Group(inner, _) => compile(inner, steps)?,
        Node::Sequence(nodes) => nodes.iter().try_for_each(|node| compile(node, steps))?,
        Node::OneOf(nodes) => {
            let mut ends = Vec::new();
            for (number, node) in nodes.iter().enumerate() {
                let last = number + 1 == nodes.len();
                let fork = steps.len();
                if !last {
                    steps.push(Step::Goto(0));
                }
                compile(node, steps)?;
                if !last {
                    ends.push(steps.len());
                    steps.push(Step::Goto(0));
                    let next = steps.len();
                    *steps.get_mut(fork)? = Step::Either(fork + 1, next);
                }
            }
            let end = steps.len();
            for at in ends {
                *steps.get_mut(at)? = Step::Goto(end);
            }
        }
        Node::Repeat(inner, least, most) => {
            for _ in 0..*least {
                compile(inner, steps)?;
            }
            match most {
                None => {
                    let fork = steps.len();
                    steps.push(Step::Goto(0));
                    compile(inner, steps)?;
                    steps.push(Step::Goto(fork));
                    let next = steps.len();
                    *steps.get_mut(fork)? = Step::Either(fork + 1, next);
                }
                Some(most) => {
                    let mut forks = Vec::new();
                    for _ in *least..*most {
                        forks.push(steps.len());
                        steps.push(Step::Goto(0));
                        compile(inner, steps)?;
                    }
                    let next = steps.len();
                    for fork in forks {
                        *steps.get_mut(fork)? = Step::Either(fork + 1, next);
                    }
                }
            }
        }
    }
    (steps.len() <= MAX_STEPS).then_some(())
}

struct Reader {
    chars: Vec<char>,
    at: usize,
    extended: bool,
    depth: usize,
    groups: usize,
}

impl Reader {
    fn peek(&self, by: usize) -> Option<char> {
        self.chars.get(self.at + by).copied()
    }

    /// Whether an operator follows: bare in an extended expression, else after a backslash.
    fn operator(&self, c: char) -> Option<usize> {
        match (self.extended, self.peek(0)?) {
            (true, first) if first == c => Some(1),
            (false, '\\') if self.peek(1) == Some(c) => Some(2),
            _ => None,
        }
    }

    fn eat(&mut self, c: char) -> bool {
        let len = self.operator(c);
        self.at += len.unwrap_or(0);
        len.is_some()
    }

    fn choice(&mut self) -> Option<Node> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return None;
        }
        let mut all = vec![self.sequence()?];
        while self.eat('|') {
            all.push(self.sequence()?);
        }
        self.depth -= 1;
        if all.len() == 1 {
            all.pop()
        } else {
            Some(Node::OneOf(all))
        }
    }

    fn sequence(&mut self) -> Option<Node> {
        let mut out: Vec<Node> = Vec::new();
        while self.peek(0).is_some() && self.operator('|').is_none() && self.operator(')').is_none()
        {
            let first = out.is_empty();
            let node = self.one(first)?;
            let node = self.repeated(node)?;
            out.push(node);
        }
        if self.operator(')').is_some() && self.depth == 1 {
            return None;
        }
        Some(Node::Sequence(out))
    }

    fn one(&mut self, first: bool) -> Option<Node> {
        if self.eat('(') {
            let number = self.groups;
            self.groups += 1;
            let inner = self.choice()?;
            return self.eat(')').then(|| Node::Group(Box::new(inner), number));
        }
        let c = self.peek(0)?;
        self.at += 1;
        let ends =
            self.peek(0).is_none() || self.operator(')').is_some() || self.operator('|').is_some();
        Some(match c {
            '.' => Node::Any,
            '^' if first || self.extended => Node::Start,
            '$' if ends || self.extended => Node::End,
            '[' => Node::Of(self.set()?),
            '*' if first && !self.extended => Node::Char('*'),
            '*' => return None,
            '+' | '?' | '{' if self.extended => return None,
            '\\' => {
                let c = self.peek(0)?;
                self.at += 1;
                match c {
                    's' | 'S' => Node::Of(Set {
                        negated: c == 'S',
                        ranges: vec![('\t', '\r'), (' ', ' ')],
                    }),
                    'w' | 'W' => Node::Of(Set {
                        negated: c == 'W',
                        ranges: vec![('a', 'z'), ('A', 'Z'), ('0', '9'), ('_', '_')],
                    }),
                    'b' | '<' | '>' => Node::Edge {
                        begins: c != '>',
                        ends: c != '<',
                    },
                    't' | 'n' => return None,
                    c if c.is_alphanumeric() || c == '`' || c == '\'' => return None,
                    '+' | '?' | '{' if !self.extended => return None,
                    c => Node::Char(c),
                }
            }
            c => Node::Char(c),
        })
    }

    fn repeated(&mut self, mut node: Node) -> Option<Node> {
        loop {
            let (least, most) = if self.peek(0) == Some('*') {
                self.at += 1;
                (0, None)
            } else if self.eat('+') {
                (1, None)
            } else if self.eat('?') {
                (0, Some(1))
            } else if self.eat('{') {
                self.bounds()?
            } else {
                return Some(node);
            };
            if matches!(node, Node::Start | Node::End | Node::Edge { .. }) {
                return None;
            }
            node = Node::Repeat(Box::new(node), least, most);
        }
    }

    fn bounds(&mut self) -> Option<(usize, Option<usize>)> {
        let least = self.number().unwrap_or(0);
        let most = if self.peek(0) == Some(',') {
            self.at += 1;
            self.number()
        } else {
            Some(least)
        };
        let fine =
            self.eat('}') && least <= 255 && most.is_none_or(|most| most >= least && most <= 255);
        fine.then_some((least, most))
    }

    fn number(&mut self) -> Option<usize> {
        let mut digits = String::new();
        while let Some(c) = self.peek(0).filter(char::is_ascii_digit) {
            digits.push(c);
            self.at += 1;
        }
        digits.parse().ok()
    }

    fn set(&mut self) -> Option<Set> {
        let negated = self.peek(0) == Some('^');
        self.at += usize::from(negated);
        let mut ranges = Vec::new();
        let mut first = true;
        loop {
            let c = self.peek(0)?;
            self.at += 1;
            match c {
                ']' if !first => return Some(Set { negated, ranges }),
                '[' if self.peek(0) == Some(':') => ranges.extend(self.class()?),
                '[' if matches!(self.peek(0), Some('.' | '=')) => return None,
                low => match (self.peek(0), self.peek(1)) {
                    (Some('-'), Some(high)) if high != ']' => {
                        self.at += 2;
                        ranges.push((low, high));
                    }
                    _ => ranges.push((low, low)),
                },
            }
            first = false;
        }
    }

    /// A class by its name, after `[`.
    fn class(&mut self) -> Option<Vec<(char, char)>> {
        let rest: String = self.chars.get(self.at + 1..)?.iter().collect();
        let (name, _) = rest.split_once(":]")?;
        self.at += name.chars().count() + 3;
        Some(match name {
            "digit" => vec![('0', '9')],
            "alpha" => vec![('a', 'z'), ('A', 'Z')],
            "alnum" => vec![('a', 'z'), ('A', 'Z'), ('0', '9')],
            "upper" => vec![('A', 'Z')],
            "lower" => vec![('a', 'z')],
            "space" => vec![('\t', '\r'), (' ', ' ')],
            "blank" => vec![('\t', '\t'), (' ', ' ')],
            "xdigit" => vec![('a', 'f'), ('A', 'F'), ('0', '9')],
            "punct" => vec![('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_and_extended_expressions() {
        for (pattern, extended, line, hit) in [
            ("^a", false, "ab", true),
            ("^b", false, "ab", false),
            ("b$", false, "ab", true),
            ("^ab$", false, "abc", false),
            ("a\\.b", false, "a.b", true),
            ("a\\.b", false, "axb", false),
            ("a.c", false, "abc", true),
            ("^[[:space:]]*x", false, " \tx", true),
            ("a*b", false, "b", true),
            ("a+b", false, "aab", false),
            ("a+b", false, "a+b", true),
            ("a\\+b", false, "aab", true),
            ("a+b", true, "aab", true),
            ("(x|yz)+$", true, "ayzx", true),
            ("\\(x\\|y\\)z", false, "yz", true),
            ("[^:]*:x", false, "root:x", true),
            ("[]a]", false, "]", true),
            ("a{2,3}$", true, "baaa", true),
            ("^a{2}$", true, "aaa", false),
            ("^#?x", true, "x", true),
            ("", false, "anything", true),
            ("a^b$c", false, "a^b$c", true),
        ] {
            let regex = Regex::read(pattern, extended).expect(pattern);
            assert_eq!(regex.hits(line, false, false), hit, "{pattern} {line}");
        }
        for pattern in ["\\(a", "[a", "\\`a", "a\\1", "\\(a\\)\\1"] {
            assert!(Regex::read(pattern, false).is_none(), "{pattern}");
        }
        assert!(Regex::read(&"(".repeat(1000), true).is_none());
        assert!(Regex::read("((a{200}){200}){200}", true).is_none());
        assert!(
            Regex::literal("a.*")
                .ignoring_case(true)
                .hits("xA.*", false, false)
        );
        assert!(!Regex::literal("ab").hits("xab", false, true));
        assert!(Regex::literal("ab").hits("x ab", false, true));
        let line: Vec<char> = "xaab".chars().collect();
        assert_eq!(
            Regex::read("a*", false).unwrap().find(&line, 1),
            Some((1, 3))
        );
    }
}
