//! Expansion: from words to the fields that a command gets.

use super::ast::{Modifier, Part, Word};
use super::eval::{Ended, Io, Shell};
use super::pattern::{self, PatternChar};
use crate::tree::Tree;
use std::cell::Cell;

/// No value of a real script is longer (characters).
const MAX_VALUE: usize = 1 << 20;

/// Commands whose `name=value` arguments are assignments and hence not split.
const DECLARING: [&str; 3] = ["local", "export", "readonly"];

/// Fields in the making; of each character whether it was quoted.
#[derive(Default)]
struct Fields {
    done: Vec<Vec<PatternChar>>,
    current: Option<Vec<PatternChar>>,
}

impl Fields {
    fn push(&mut self, text: &str, quoted: bool) {
        self.current
            .get_or_insert_default()
            .extend(text.chars().map(|c| (c, quoted)));
    }

    fn cut(&mut self) {
        self.done.extend(self.current.take());
    }

    /// Unquoted text: blanks part fields.
    fn split(&mut self, text: &str) {
        for c in text.chars() {
            if matches!(c, ' ' | '\t' | '\n') {
                self.cut()
            } else {
                self.current.get_or_insert_default().push((c, false))
            }
        }
    }
}

impl Shell<'_, '_, '_> {
    /// The fields of words, with splitting and file names.
    pub(super) fn fields(&mut self, words: &[Word]) -> Result<Vec<String>, Ended> {
        let mut out = Vec::new();
        let declares = matches!(words.first().map(Vec::as_slice), Some([Part::Text(name)]) if DECLARING.contains(&name.as_str()));
        for word in words {
            if declares && matches!(word.first(), Some(Part::Text(text)) if text.contains('=')) {
                out.push(self.text(word)?);
                continue;
            }
            let mut fields = Fields::default();
            self.parts(word, false, &mut fields)?;
            fields.cut();
            for field in fields.done {
                let text: String = field.iter().map(|(c, _)| c).collect();
                let found = if pattern::is_wild(&field) {
                    let (found, seen) = matching(self.world.editor.tree(), &field);
                    self.works(seen.saturating_mul(pattern::cost(&field, 16)))?;
                    found
                } else {
                    Vec::new()
                };
                if found.is_empty() {
                    out.push(text)
                } else {
                    out.extend(found)
                }
            }
        }
        Ok(out)
    }

    /// A word as one text, not split.
    pub(super) fn text(&mut self, word: &Word) -> Result<String, Ended> {
        Ok(self.pattern(word)?.into_iter().map(|(c, _)| c).collect())
    }

    /// A word as a pattern.
    pub(super) fn pattern(&mut self, word: &Word) -> Result<Vec<PatternChar>, Ended> {
        let mut out = Vec::new();
        for part in word {
            match part {
                Part::Text(text) => out.extend(text.chars().map(|c| (c, false))),
                Part::Literal(text) => out.extend(text.chars().map(|c| (c, true))),
                Part::Quoted(inner) => {
                    out.extend(self.pattern(inner)?.into_iter().map(|(c, _)| (c, true)))
                }
                _ => out.extend(self.value(part)?.chars().map(|c| (c, false))),
            }
            self.bounded(out.len())?;
        }
        Ok(out)
    }

    fn bounded(&mut self, len: usize) -> Result<(), Ended> {
        self.makes(len)?;
        if len > MAX_VALUE {
            Err(Ended::Broken(format!(
                "a value of more than {MAX_VALUE} characters"
            )))
        } else {
            Ok(())
        }
    }

    fn parts(&mut self, word: &Word, quoted: bool, fields: &mut Fields) -> Result<(), Ended> {
        for part in word {
            match part {
                Part::Text(text) => fields.push(text, quoted),
                Part::Literal(text) => fields.push(text, true),
                Part::Quoted(inner) => {
                    // "$@" without parameters is no field at all; every other quoted word is one,
                    // if empty.
                    if !matches!(inner.as_slice(), [Part::Variable(name, None)] if name == "@") {
                        fields.push("", true);
                    }
                    self.parts(inner, true, fields)?;
                }
                Part::Variable(name, None) if name == "@" => self.all_parameters(fields, quoted),
                Part::Variable(name, Some((Modifier::Alternative { colon }, inner))) if !quoted => {
                    if self.is_set(name, *colon) {
                        self.parts(inner, false, fields)?;
                    }
                }
                Part::Variable(name, Some((Modifier::Alternative { colon }, inner)))
                    if name == "@" =>
                {
                    if self.is_set(name, *colon) {
                        self.parts(inner, true, fields)?;
                    }
                }
                _ => {
                    let value = self.value(part)?;
                    if quoted {
                        fields.push(&value, true)
                    } else {
                        fields.split(&value)
                    }
                }
            }
            self.bounded(
                fields
                    .current
                    .as_ref()
                    .map_or(0, Vec::len)
                    .max(fields.done.len()),
            )?;
        }
        Ok(())
    }

    fn all_parameters(&self, fields: &mut Fields, quoted: bool) {
        for (at, parameter) in self.parameters.iter().enumerate() {
            if at > 0 {
                fields.cut();
            }
            if quoted {
                fields.push(parameter, true)
            } else {
                fields.split(parameter)
            }
        }
    }

    fn is_set(&self, name: &str, colon: bool) -> bool {
        let value = self.variable(name);
        value.is_some_and(|value| !(colon && value.is_empty()))
    }

    /// The value of a variable or parameter; `None` when unset.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        match name {
            "@" | "*" => (!self.parameters.is_empty()).then(|| self.parameters.join(" ")),
            "#" => Some(self.parameters.len().to_string()),
            "?" => Some(self.status.to_string()),
            "$" => Some("1".into()),
            "-" => Some(if self.errexit {
                "e".into()
            } else {
                String::new()
            }),
            "0" => Some(format!(
                "/var/lib/dpkg/info/{}.{}",
                self.world.package.base, self.world.package.script
            )),
            _ => match name.parse::<usize>() {
                Ok(number) => self.parameters.get(number.checked_sub(1)?).cloned(),
                Err(_) => self.variables.get(name).cloned(),
            },
        }
    }

    /// What a part that is no plain text stands for.
    fn value(&mut self, part: &Part) -> Result<String, Ended> {
        match part {
            Part::Text(text) | Part::Literal(text) => Ok(text.clone()),
            Part::Quoted(inner) => self.text(inner),
            Part::Variable(name, None) => Ok(self.variable(name).unwrap_or_default()),
            Part::Variable(name, Some((modifier, word))) => self.modified(name, *modifier, word),
            Part::Command(list) => {
                let mut io = Io::default();
                self.subshell(list, &mut io)?;
                Ok(io.out.trim_end_matches('\n').to_owned())
            }
            Part::Arithmetic(word) => {
                let text = self.text(word)?;
                let value = arithmetic(&text, &|name| self.variable(name).unwrap_or_default());
                value
                    .map(|n| n.to_string())
                    .ok_or_else(|| Ended::Broken(format!("`$(({text}))` is not understood")))
            }
        }
    }

    fn modified(&mut self, name: &str, modifier: Modifier, word: &Word) -> Result<String, Ended> {
        let value = self.variable(name);
        let missing = |colon: bool| value.as_ref().is_none_or(|value| colon && value.is_empty());
        let value_text = value.clone().unwrap_or_default();
        match modifier {
            Modifier::Length => Ok(value_text.chars().count().to_string()),
            Modifier::Default { colon } if missing(colon) => self.text(word),
            Modifier::Assign { colon } if missing(colon) => {
                let text = self.text(word)?;
                self.variables.insert(name.to_owned(), text.clone());
                Ok(text)
            }
            Modifier::Require { colon } if missing(colon) => Err(Ended::Broken(format!(
                "{name} is not set, which the script requires"
            ))),
            Modifier::Default { .. } | Modifier::Assign { .. } | Modifier::Require { .. } => {
                Ok(value_text)
            }
            Modifier::Alternative { colon } if missing(colon) => Ok(String::new()),
            Modifier::Alternative { .. } => self.text(word),
            Modifier::Suffix { longest } => self.stripped(word, &value_text, |p, text| {
                pattern::strip_suffix(p, text, longest)
            }),
            Modifier::Prefix { longest } => self.stripped(word, &value_text, |p, text| {
                pattern::strip_prefix(p, text, longest)
            }),
        }
    }
}

impl Shell<'_, '_, '_> {
    fn stripped(
        &mut self,
        word: &Word,
        text: &str,
        strip: impl Fn(&[PatternChar], &str) -> String,
    ) -> Result<String, Ended> {
        let pattern = self.pattern(word)?;
        self.works(pattern::cost(&pattern, text.len()))?;
        Ok(strip(&pattern, text))
    }
}

/// Sums and differences of numbers and variables: all that scripts were seen to use.
fn arithmetic(text: &str, variable: &dyn Fn(&str) -> String) -> Option<i64> {
    let mut total: i64 = 0;
    let mut sign = 1;
    let mut rest = text.trim();
    loop {
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        let (term, after) = rest.split_at(end);
        let number: Option<i64> = term.parse().ok().or_else(|| variable(term).parse().ok());
        total = total.checked_add(number.filter(|_| !term.is_empty())?.checked_mul(sign)?)?;
        let after = after.trim_start();
        if after.is_empty() {
            return Some(total);
        }
        sign = if after.starts_with('+') { 1 } else { -1 };
        rest = after.strip_prefix(['+', '-'])?.trim_start();
    }
}

/// More matches than any script means: then there are none.
const MAX_MATCHES: usize = 100_000;

/// More names than any script looks at: then nothing matches.
const MAX_SEEN: u64 = 1_000_000;

/// The paths that a pattern matches, sorted.
pub(crate) fn glob(tree: &Tree, field: &[PatternChar]) -> Vec<String> {
    matching(tree, field).0
}

/// The same, and how many names were looked at.
fn matching(tree: &Tree, field: &[PatternChar]) -> (Vec<String>, u64) {
    let mut found = vec![String::new()];
    let seen = Cell::new(0_u64);
    if field.first().map(|(c, _)| *c) != Some('/') {
        return (Vec::new(), 0);
    }
    for component in field
        .split(|(c, _)| *c == '/')
        .filter(|component| !component.is_empty())
    {
        let literal: String = component.iter().map(|(c, _)| c).collect();
        let step = |base: &String| -> Vec<String> {
            if seen.get() > MAX_SEEN {
                return Vec::new();
            }
            if !pattern::is_wild(component) {
                seen.set(seen.get() + 1);
                let path = format!("{base}/{literal}");
                return if tree.find_nofollow(&path).is_some() {
                    vec![path]
                } else {
                    Vec::new()
                };
            }
            let Some(dir) = tree.dir(if base.is_empty() { "/" } else { base }) else {
                return Vec::new();
            };
            seen.set(seen.get() + dir.entries.len() as u64);
            let names = dir
                .entries
                .keys()
                .map(|name| String::from_utf8_lossy(name).into_owned());
            let hidden = literal.starts_with('.');
            let fits = |name: &String| {
                (hidden || !name.starts_with('.'))
                    && pattern::matches(component, &name.chars().collect::<Vec<_>>())
            };
            names
                .filter(fits)
                .map(|name| format!("{base}/{name}"))
                .collect()
        };
        found = found.iter().flat_map(step).take(MAX_MATCHES + 1).collect();
        if found.len() > MAX_MATCHES || seen.get() > MAX_SEEN {
            return (Vec::new(), seen.get());
        }
    }
    (found, seen.get())
}
