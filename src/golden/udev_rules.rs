//! Rules of udev (`udev(7)`), read as udev reads them: which files count, how lines are joined,
//! what is quoted, and by which conditions `GOTO` lets a rule be reached.

use super::lines::{Joining, logical_lines};
use crate::tree::{Tree, show};
use std::collections::BTreeMap;

/// The directories of rules; of files with the same name, the one of the first directory counts.
const DIRS: [&str; 4] = [
    "/etc/udev/rules.d",
    "/usr/local/lib/udev/rules.d",
    "/usr/lib/udev/rules.d",
    "/lib/udev/rules.d",
];
/// The size limit of a file (bytes).
const TEXT_LIMIT: u64 = 4 << 20;
/// The number of ways to a rule from which on they are not distinguished.
const MAX_WAYS: usize = 16;
/// The name of a condition of which nothing is known.
const UNKNOWN: &str = "?";

/// The operator of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `==`
    Is,
    /// `!=`
    IsNot,
    /// `=`, `+=` and `:=`
    Set,
    /// `-=`
    Remove,
}

/// A key of a rule with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name with what is in braces, such as `ENV{ID_FS_UUID}`.
    pub name: String,
    /// Its operator.
    pub operator: Operator,
    /// Its value, without quotes and escapes.
    pub value: String,
}

impl Key {
    /// Whether it is a condition of the rule.
    #[must_use]
    pub fn is_condition(&self) -> bool {
        let runs = self.name == "PROGRAM" || self.name.starts_with("IMPORT");
        matches!(self.operator, Operator::Is | Operator::IsNot) || runs
    }

    /// Whether one of the patterns of its value matches.
    #[must_use]
    pub fn fits(&self, text: &str) -> bool {
        let mut patterns = self.value.split('|');
        patterns.any(|pattern| crate::shell::matches(pattern, text))
    }

    /// The condition that holds where this one does not.
    fn negated(&self) -> Self {
        Self {
            operator: match self.operator {
                Operator::IsNot => Operator::Is,
                _ => Operator::IsNot,
            },
            ..self.clone()
        }
    }

    /// As it is written.
    #[must_use]
    pub fn text(&self) -> String {
        let operator = match self.operator {
            Operator::Is => "==",
            Operator::IsNot => "!=",
            Operator::Set => "=",
            Operator::Remove => "-=",
        };
        format!("{}{operator}\"{}\"", self.name, self.value)
    }
}

/// A rule, which is one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The path of its file.
    pub file: String,
    /// Its first line, from 1.
    pub first: usize,
    /// Its last line.
    pub last: usize,
    /// Its keys, in order.
    pub keys: Vec<Key>,
    /// The conditions by which it is reached, one list for each way; none if nothing reaches it.
    pub ways: Vec<Vec<Key>>,
}

impl Rule {
    /// The value of a key without conditions, such as `GOTO`.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        let key = self.keys.iter().find(|key| key.name == name)?;
        Some(&key.value)
    }

    /// The programs that it runs for a device, and the units that it has systemd start.
    pub fn started(&self) -> impl Iterator<Item = (Started, &str)> {
        self.keys.iter().filter_map(|key| {
            let kind = match key.name.as_str() {
                "RUN" | "RUN{program}" | "RUN{fail_event_on_error}"
                    if key.operator == Operator::Set =>
                {
                    Started::After
                }
                "PROGRAM" | "IMPORT{program}" => Started::Asked,
                "ENV{SYSTEMD_WANTS}" if key.operator == Operator::Set => Started::Unit,
                _ => return None,
            };
            Some((kind, key.value.as_str()))
        })
    }
}

/// How a rule starts something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// A program that runs after all rules.
    After,
    /// A program that runs while the rule is read, as a condition of it.
    Asked,
    /// Units of systemd, separated by spaces.
    Unit,
}

/// The rules of a system, in the order of their files.
#[must_use]
pub fn rules(root: &Tree) -> Vec<Rule> {
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for dir in DIRS {
        let names = root.dir(dir).into_iter().flat_map(|dir| dir.entries.keys());
        let names = names.map(|name| show(name));
        for name in names.filter(|name| name.ends_with(".rules")) {
            let path = format!("{dir}/{name}");
            files.entry(name).or_insert(path);
        }
    }
    let of = |path: &String| {
        let bytes = root.read(path, TEXT_LIMIT).ok().flatten();
        in_file(path, &String::from_utf8_lossy(&bytes.unwrap_or_default()))
    };
    files.values().flat_map(of).collect()
}

/// The rules in the text of a file.
fn in_file(path: &str, text: &str) -> Vec<Rule> {
    let lines = logical_lines(text, Joining::Udev, &['#']);
    let mut rules: Vec<Rule> = lines
        .into_iter()
        .map(|line| Rule {
            file: path.to_owned(),
            first: line.first,
            last: line.last,
            keys: keys(&line.text),
            ways: Vec::new(),
        })
        .collect();
    let targets: Vec<Option<usize>> = (0..).zip(&rules).map(|one| target(&rules, one)).collect();
    let mut here: Vec<Vec<Key>> = vec![Vec::new()];
    let mut jumps: BTreeMap<usize, Vec<Vec<Key>>> = BTreeMap::new();
    for (at, (rule, target)) in rules.iter_mut().zip(targets).enumerate() {
        here.extend(jumps.remove(&at).unwrap_or_default());
        here = possible(here);
        let own = rule.keys.iter().filter(|key| key.is_condition());
        let conditions: Vec<Key> = own.cloned().collect();
        let holds = |way: &&Vec<Key>| {
            let mut keys = way.iter();
            !keys.any(|key| conditions.iter().any(|own| contradict(key, own)))
        };
        rule.ways = here.iter().filter(holds).cloned().collect();
        let Some(target) = target else {
            continue;
        };
        let holding = here.iter().map(|way| [&way[..], &conditions[..]].concat());
        jumps.entry(target).or_default().extend(holding);
        let mut others = Vec::new();
        for way in &here {
            let mut before = way.clone();
            for condition in &conditions {
                let mut other = before.clone();
                other.push(condition.negated());
                others.push(other);
                before.push(condition.clone());
            }
        }
        here = possible(others);
    }
    rules
}

/// The rule to which one goes: the next one with the label.
fn target(rules: &[Rule], (at, rule): (usize, &Rule)) -> Option<usize> {
    let label = rule.value("GOTO")?;
    let next = rules.iter().enumerate().skip(at.saturating_add(1));
    let mut next = next.filter(|(_, rule)| rule.value("LABEL") == Some(label));
    next.next().map(|(at, _)| at)
}

/// The ways whose conditions can hold together, each once.
fn possible(ways: Vec<Vec<Key>>) -> Vec<Vec<Key>> {
    let mut out: Vec<Vec<Key>> = Vec::new();
    for mut way in ways {
        let mut seen: Vec<Key> = Vec::new();
        way.retain(|key| {
            let is_new = !seen.contains(key);
            seen.push(key.clone());
            is_new
        });
        let contradicts = |key: &Key| way.iter().any(|other| contradict(key, other));
        if !way.iter().any(contradicts) && !out.contains(&way) {
            out.push(way);
        }
    }
    while let Some((one, other, way)) = joined_ways(&out) {
        out.remove(other);
        out.splice(one..=one, [way]);
    }
    if out.len() > MAX_WAYS {
        let unknown = Key {
            name: UNKNOWN.to_owned(),
            operator: Operator::Is,
            value: String::new(),
        };
        out = vec![vec![unknown]];
    }
    out
}

/// Two of the ways that are one: the second asks for all that the first does, or they differ in a
/// condition that holds in one of them and not in the other.
fn joined_ways(ways: &[Vec<Key>]) -> Option<(usize, usize, Vec<Key>)> {
    let has = |way: &[Key], all: &[Key]| all.iter().all(|key| way.contains(key));
    for (one, first) in ways.iter().enumerate() {
        for (other, second) in ways.iter().enumerate().skip(one.saturating_add(1)) {
            if has(second, first) {
                return Some((one, other, first.clone()));
            }
            if has(first, second) {
                return Some((one, other, second.clone()));
            }
            for key in first.iter().filter(|key| second.contains(&key.negated())) {
                let rest = first.iter().filter(|one| *one != key).cloned();
                let rest: Vec<Key> = rest.collect();
                if first.len() == second.len() && has(second, &rest) {
                    return Some((one, other, rest));
                }
            }
        }
    }
    None
}

/// Whether two conditions cannot hold together.
fn contradict(one: &Key, other: &Key) -> bool {
    if one.name != other.name {
        return false;
    }
    if one.value == other.value {
        return one.operator != other.operator;
    }
    // Of these a device has one.
    let has_one = matches!(one.name.as_str(), "ACTION" | "SUBSYSTEM" | "KERNEL");
    let is_plain = !other.value.contains(['*', '?', '[', '|']);
    let both = one.operator == Operator::Is && other.operator == Operator::Is;
    has_one && is_plain && both && !one.fits(&other.value)
}

/// The keys of a rule.
fn keys(rule: &str) -> Vec<Key> {
    let mut out = Vec::new();
    let mut rest = rule;
    while let Some((key, after)) = rest.split_once('"') {
        let key = key.trim_matches([',', ' ', '\t']);
        let at = key.find(['=', '!', '+', '-', ':']).unwrap_or(key.len());
        // The name of an attribute may contain what begins an operator.
        let at = key.find('}').map_or(at, |end| end.saturating_add(1));
        let (name, operator) = key.split_at_checked(at).unwrap_or((key, ""));
        let marks = operator.trim_start_matches(['=', '!', '+', '-', ':', ' ', '\t']);
        let operator = operator.strip_suffix(marks).unwrap_or(operator);
        let (value, end) = match marks.contains('e') {
            true => escaped(after),
            false => quoted(after),
        };
        out.push(Key {
            name: name.trim().to_owned(),
            operator: match operator.trim() {
                "==" => Operator::Is,
                "!=" => Operator::IsNot,
                "-=" => Operator::Remove,
                _ => Operator::Set,
            },
            value,
        });
        rest = after.get(end..).unwrap_or_default();
    }
    out
}

/// The value up to the quote at its end, in which only `\"` is an escape, and its length there
/// (bytes).
fn quoted(text: &str) -> (String, usize) {
    let mut value = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, at.saturating_add(1)),
            '\\' if chars.peek().is_some_and(|(_, next)| *next == '"') => {
                chars.next();
                value.push('"');
            }
            _ => value.push(c),
        }
    }
    (value, text.len())
}

/// The value of `e"..."` with the escapes of C, and what it takes (bytes).
fn escaped(text: &str) -> (String, usize) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, at.saturating_add(1)),
            '\\' => {
                let Some((at, c)) = chars.next() else {
                    break;
                };
                let (digits, radix) = match c {
                    'x' => (2, 16),
                    'u' => (4, 16),
                    'U' => (8, 16),
                    '0'..='7' => (3, 8),
                    _ => (0, 0),
                };
                let from = at.saturating_add(usize::from(radix == 16));
                let to = from.saturating_add(digits);
                let code = text.get(from..to).filter(|_| digits > 0);
                let code = code.and_then(|code| u32::from_str_radix(code, radix).ok());
                match code.and_then(char::from_u32) {
                    Some(c) => {
                        value.push(c);
                        let taken = to.saturating_sub(at).saturating_sub(1);
                        chars.by_ref().take(taken).for_each(drop);
                    }
                    None => value.push(match c {
                        'n' => '\n',
                        't' => '\t',
                        'r' => '\r',
                        'a' | 'b' | 'f' | 'v' => ' ',
                        's' => ' ',
                        other => other,
                    }),
                }
            }
            _ => value.push(c),
        }
    }
    (value, text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::example_tests::{add, empty};

    /// The keys of a rule as they would be written.
    fn texts(rule: &str) -> Vec<String> {
        keys(rule).iter().map(Key::text).collect()
    }

    /// The lines of the rules that are reached, each with its ways.
    fn reached(text: &str) -> Vec<(usize, Vec<Vec<String>>)> {
        let rules = in_file("/x.rules", text).into_iter();
        let rules = rules.filter(|rule| rule.value("RUN").is_some() && !rule.ways.is_empty());
        let ways = |rule: Rule| {
            let ways = rule.ways.iter();
            let ways = ways.map(|way| way.iter().map(Key::text).collect());
            (rule.first, ways.collect())
        };
        rules.map(ways).collect()
    }

    #[test]
    fn keys_operators_and_quotes() {
        assert_eq!(
            texts(
                "ACTION==\"add\",ATTR{a=b} != \"y\", RUN += \"/bin/sh -c 'echo \\\"a, b\\\" \\n'\" NAME:=\"n\" ENV{x}-=\"z\""
            ),
            [
                "ACTION==\"add\"",
                "ATTR{a=b}!=\"y\"",
                "RUN=\"/bin/sh -c 'echo \"a, b\" \\n'\"",
                "NAME=\"n\"",
                "ENV{x}-=\"z\"",
            ]
        );
        // `e` has escapes, `i` is about the case of letters.
        assert_eq!(
            texts("RUN+=e\"/bin/\\x73h\\t-c \\\"a\\\" \\141\\n\", ATTR{e}==i\"B\""),
            ["RUN=\"/bin/sh\t-c \"a\" a\n\"", "ATTR{e}==\"B\""]
        );
    }

    #[test]
    fn rules_are_reached_as_goto_says() {
        let text = "RUN+=\"1\"\nGOTO=\"end\"\nRUN+=\"3\"\nLABEL=\"end\"\nRUN+=\"5\"\n";
        let none = || vec![Vec::<String>::new()];
        assert_eq!(reached(text), [(1, none()), (5, none())]);
        let text = "SUBSYSTEM!=\"block\", GOTO=\"end\"\nKERNEL==\"loop*\", GOTO=\"end\"\nRUN+=\"3\"\nLABEL=\"end\"\n";
        let ways = vec![vec![
            "SUBSYSTEM==\"block\"".to_owned(),
            "KERNEL!=\"loop*\"".to_owned(),
        ]];
        assert_eq!(reached(text), [(3, ways)]);
        // After the label, all ways are one.
        let text = "ACTION!=\"add\", GOTO=\"end\"\nKERNEL!=\"sda3\", GOTO=\"end\"\nRUN+=\"3\"\nLABEL=\"end\"\nRUN+=\"5\"\n";
        let ways = vec![vec!["ACTION==\"add\"".into(), "KERNEL==\"sda3\"".into()]];
        assert_eq!(reached(text), [(3, ways), (5, none())]);
        // One way leads over the label in between.
        let text = "SUBSYSTEMS==\"usb\", GOTO=\"usb\"\nGOTO=\"end\"\nRUN+=\"3\"\nLABEL=\"usb\"\nRUN+=\"5\"\nLABEL=\"end\"\n";
        let ways = vec![vec!["SUBSYSTEMS==\"usb\"".to_owned()]];
        assert_eq!(reached(text), [(5, ways)]);
        // A label that is missing, or before the rule, is none.
        let text = "LABEL=\"a\"\nGOTO=\"a\"\nGOTO=\"b\"\nRUN+=\"4\"\n";
        assert_eq!(reached(text), [(4, none())]);
        // These cannot hold together.
        let text = "ACTION==\"remove\", GOTO=\"x\"\nGOTO=\"end\"\nLABEL=\"x\"\nACTION!=\"add\", GOTO=\"end\"\nRUN+=\"5\"\nLABEL=\"end\"\n";
        assert_eq!(reached(text), []);
    }

    #[test]
    fn many_ways_are_an_unknown_condition() {
        let line = |n: u8| format!("ENV{{A{n}}}==\"1\", ENV{{B{n}}}==\"1\", GOTO=\"end\"\n");
        let text: String = (0..9).map(line).collect();
        let found = reached(&format!("{text}RUN+=\"x\"\nLABEL=\"end\"\n"));
        let ways = &found[0].1;
        let unknown = |way: &Vec<String>| way[0] == "?==\"\"";
        assert!(
            ways.len() <= MAX_WAYS && ways.iter().all(unknown),
            "{ways:?}"
        );
    }

    #[test]
    fn a_file_of_the_owner_takes_the_place_of_one_of_the_same_name() {
        let mut root = empty();
        let rule = b"RUN+=\"x\"\n";
        for (path, text) in [
            ("/usr/lib/udev/rules.d/9-a.rules", &rule[..]),
            ("/usr/lib/udev/rules.d/5-b.rules", rule),
            ("/etc/udev/rules.d/9-a.rules", b""),
            ("/etc/udev/rules.d/7-c.rules", rule),
            ("/etc/udev/rules.d/8-d.conf", rule),
        ] {
            add(&mut root, path, text);
        }
        let files: Vec<String> = rules(&root).into_iter().map(|rule| rule.file).collect();
        let expected = [
            "/usr/lib/udev/rules.d/5-b.rules",
            "/etc/udev/rules.d/7-c.rules",
        ];
        assert_eq!(files, expected);
    }
}
