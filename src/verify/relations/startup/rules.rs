//! Rules of udev, which run programs for devices. Each file is gone through for the events that a
//! start brings, as `GOTO` says, and each rule answered for: whether it applies.

use super::effects::Effect;
use super::joined::Reader;
use super::rule_events::{Answer, Event, Part, any_events, disk_events, sure_events};
use super::start::Start;
use super::trace::{Files, Found, Trace};
use super::units::Unit;
use std::collections::BTreeMap;

/// The rules of a file.
pub(super) struct RuleFile {
    pub(super) path: String,
    pub(super) rules: Vec<Rule>,
}

/// A rule.
pub(super) struct Rule {
    /// Its first line, from 1.
    pub(super) line: u32,
    pub(super) parts: Vec<Part>,
    /// The rule that follows where `GOTO` holds.
    next: Option<usize>,
}

impl Rule {
    /// What it runs: values, each with whether it is a condition, and whether it names units.
    pub(super) fn runs(&self) -> impl Iterator<Item = (&str, bool, bool)> {
        self.parts.iter().filter_map(|(key, value)| {
            let sets = !key.ends_with("==") && !key.ends_with("!=") && !key.ends_with("-=");
            let name = key.trim_end_matches(['=', '!', '+', '-', ':']);
            match name {
                "RUN" | "RUN{program}" | "RUN{fail_event_on_error}" => {
                    sets.then_some((value.as_str(), false, false))
                }
                "PROGRAM" | "IMPORT{program}" => Some((value.as_str(), true, false)),
                "ENV{SYSTEMD_WANTS}" => sets.then_some((value.as_str(), false, true)),
                _ => None,
            }
        })
    }

    /// Whether its conditions hold; those that programs answer count unless they are `asked` now.
    fn holds(&self, event: &Event, asked: bool) -> Answer {
        let conditions = self.parts.iter().filter(|(key, _)| {
            let program = ["PROGRAM", "RESULT", "IMPORT"];
            let program = program.iter().any(|start| key.starts_with(start));
            match program {
                true => !asked,
                false => key.ends_with("==") || key.ends_with("!="),
            }
        });
        let answers = conditions.map(|part| event.answer(part));
        answers.min().unwrap_or(Answer::Yes)
    }
}

impl RuleFile {
    /// Whether each rule applies to an event.
    pub(super) fn applied(&self, event: &Event, asked: bool) -> Vec<Answer> {
        let mut reached = vec![Answer::No; self.rules.len().saturating_add(1)];
        let mut out = Vec::new();
        let mut here = Answer::Yes;
        for (at, rule) in self.rules.iter().enumerate() {
            here = here.max(reached.get(at).copied().unwrap_or(Answer::No));
            out.push(here.min(rule.holds(event, asked)));
            let holds = rule.holds(event, false);
            let target = rule.next.and_then(|next| reached.get_mut(next));
            if let Some(target) = target {
                *target = (*target).max(here.min(holds));
                here = here.min(holds.inverse());
            }
        }
        out
    }
}

/// The files with rules; one in `/etc` takes the place of one of the same name.
pub(super) fn files_of_rules(files: &Files<'_>) -> Vec<RuleFile> {
    let mut paths = BTreeMap::new();
    for dir in ["/lib", "/usr/lib", "/usr/local/lib", "/etc"] {
        for path in files.entries(&format!("{dir}/udev/rules.d")) {
            let name = path.rsplit('/').next().unwrap_or_default().to_owned();
            paths.insert(name, path);
        }
    }
    paths.retain(|name, _| name.ends_with(".rules"));
    let read = |path: String| {
        let lines = files.joined(&path, Reader::Rule);
        let mut rules: Vec<Rule> = lines
            .into_iter()
            .map(|(line, text)| Rule {
                line,
                parts: parts(&text),
                next: None,
            })
            .collect();
        for at in 0..rules.len() {
            let (before, after) = rules.split_at_mut(at.saturating_add(1));
            let Some(rule) = before.last_mut() else {
                continue;
            };
            let of = |rule: &Rule, name: &str| {
                let part = rule.parts.iter().find(|(key, _)| key == name);
                part.map(|(_, value)| value.clone())
            };
            let label = of(rule, "GOTO=");
            let next = after.iter().position(|rule| of(rule, "LABEL=") == label);
            let next = next.filter(|_| label.is_some());
            rule.next = next.map(|next| next.saturating_add(at).saturating_add(1));
        }
        RuleFile { path, rules }
    };
    paths.into_values().map(read).collect()
}

/// What rules of udev run.
pub(super) fn all(files: &Files<'_>) -> Vec<Start> {
    let mut out = Vec::new();
    for file in files_of_rules(files) {
        if !file.rules.iter().any(|rule| rule.runs().next().is_some()) {
            continue;
        }
        let [after, while_asked] = [false, true].map(|asked| Answers::new(&file, asked));
        for (at, rule) in file.rules.iter().enumerate() {
            for (value, asked, units) in rule.runs() {
                let applies = if asked { &while_asked } else { &after }.of(at);
                if !applies.at_all {
                    continue;
                }
                for trace in traces(files, (&file.path, rule.line), value, units) {
                    out.extend(starts(files, &file.path, trace, applies));
                }
            }
        }
    }
    out
}

/// How the rules of a file apply to events.
struct Answers {
    /// Of each start.
    sure: Vec<Vec<Answer>>,
    /// Of the system's disk.
    disk: Vec<Vec<Answer>>,
    /// Of what is not a disk.
    others: Vec<Vec<Answer>>,
    /// Of anything.
    any: Vec<Vec<Answer>>,
}

/// How a rule applies.
#[derive(Clone, Copy)]
struct Applies {
    /// To an event of each start.
    surely: bool,
    /// To one of the system's disk.
    to_disk: bool,
    /// To that surely, if the disk has this name.
    to_disk_surely: bool,
    /// To anything that is not the end of a device.
    at_all: bool,
}

impl Answers {
    fn new(file: &RuleFile, asked: bool) -> Self {
        let of = |events: Vec<Event>| {
            let answers = events.iter().map(|event| file.applied(event, asked));
            answers.collect::<Vec<_>>()
        };
        let is_disk = |event: &Event| event.is_disk();
        let (disks, others) = sure_events().into_iter().partition(is_disk);
        let others = of(others);
        let mut sure = of(disks);
        sure.extend(others.iter().cloned());
        Self {
            sure,
            disk: of(disk_events()),
            others,
            any: of(any_events()),
        }
    }

    fn of(&self, rule: usize) -> Applies {
        let has = |answers: &[Vec<Answer>], wanted: Answer| {
            answers.iter().any(|one| one.get(rule) == Some(&wanted))
        };
        let about_disks = !has(&self.others, Answer::Yes) && !has(&self.others, Answer::Maybe);
        let surely = has(&self.disk, Answer::Yes);
        let to_disk = surely || about_disks && has(&self.disk, Answer::Maybe);
        Applies {
            surely: has(&self.sure, Answer::Yes),
            to_disk,
            to_disk_surely: surely,
            at_all: has(&self.any, Answer::Yes) || has(&self.any, Answer::Maybe),
        }
    }
}

fn traces(files: &Files<'_>, place: (&str, u32), value: &str, units: bool) -> Vec<Trace> {
    if units {
        let units = value.split_whitespace();
        let units = units.filter_map(|name| Unit::read(files.root, name));
        return units.map(|unit| files.service(&unit)).collect();
    }
    let program = value.split_whitespace().next().unwrap_or_default();
    let own = format!("/usr/lib/udev/{program}");
    let text = match !program.contains('/') && files.root.file(&own).is_some() {
        true => format!("/usr/lib/udev/{value}"),
        false => value.to_owned(),
    };
    vec![files.line(place.0, place.1, &text)]
}

fn starts(files: &Files<'_>, path: &str, mut trace: Trace, applies: Applies) -> Vec<Start> {
    let mine = path.starts_with("/etc/") && (applies.to_disk);
    let changes = |found: &Found| {
        let disk = matches!(found.effect, Effect::Partitions | Effect::Resizes);
        mine && (disk || applies.to_disk_surely)
    };
    let found = std::mem::take(&mut trace.found).into_iter();
    let (own, rest) = found.partition(changes);
    let of_disk = Trace {
        found: own,
        ..trace.clone()
    };
    trace.found = rest;
    vec![
        files.own(path, of_disk),
        Start {
            event: !applies.surely,
            ..files.started(path, trace)
        },
    ]
}

/// The keys of a rule with their operators, and their values.
fn parts(rule: &str) -> Vec<Part> {
    let mut out = Vec::new();
    let mut key = String::new();
    let mut chars = rule.chars();
    while let Some(c) = chars.next() {
        if c != '"' {
            key.push(c);
            continue;
        }
        let name = key.replace([',', ' ', '\t'], "");
        // Letters before the quote: `e` has escapes, `i` is about the case.
        let bare = name.trim_end_matches(|c: char| c.is_ascii_lowercase());
        let has_escapes = name
            .get(bare.len()..)
            .is_some_and(|marks| marks.contains('e'));
        let mut value = String::new();
        while let Some(c) = chars.next().filter(|c| *c != '"') {
            match c {
                '\\' if has_escapes => value.extend(escape(&mut chars)),
                '\\' => match chars.clone().next() {
                    Some('"') => value.extend(chars.next()),
                    _ => value.push('\\'),
                },
                _ => value.push(c),
            }
        }
        out.push((bare.to_owned(), value));
        key.clear();
    }
    out
}

/// The character that an escape of C stands for.
fn escape(chars: &mut std::str::Chars<'_>) -> Option<char> {
    let kind = chars.next()?;
    let (length, radix) = match kind {
        'x' => (2, 16),
        'u' => (4, 16),
        '0'..='7' => (2, 8),
        'n' | 'r' | 't' | 's' => return Some(if kind == 'n' { '\n' } else { ' ' }),
        other => return Some(other),
    };
    let mut code = kind.to_digit(radix).filter(|_| radix == 8).unwrap_or(0);
    for _ in 0..length {
        let digit = chars.next()?.to_digit(radix)?;
        code = code.checked_mul(radix)?.checked_add(digit)?;
    }
    char::from_u32(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_escapes() {
        let rule = "ACTION == \"a\\\"b\\n\", RUN+=e\"/bin/\\x73h\\t\\\"\\141\", ATTR{x}!=i\"Y\"";
        let expected = [
            ("ACTION==", "a\"b\\n"),
            ("RUN+=", "/bin/sh \"a"),
            ("ATTR{x}!=", "Y"),
        ];
        let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(parts(rule), expected);
    }
}
