//! Expansion: from words to the fields that a command gets.

use super::ast::{Modifier, Word, WordPart};
use super::error::Flow;
use super::eval::Shell;
use super::glob::matching;
use super::host::Io;
use super::pattern::{self, PatternChar};

/// Characters of a value; that of no real script is longer.
const MAX_VALUE: usize = 1 << 20;

/// Commands whose `name=value` arguments are assignments and hence not split.
const DECLARING: [&str; 3] = ["local", "export", "readonly"];

/// Fields under construction; each character says whether it was quoted.
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

    /// Adds unquoted text, in which blanks separate fields.
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

impl Shell<'_> {
    /// The fields of words, with splitting and file names.
    pub(super) fn fields(&mut self, words: &[Word]) -> Result<Vec<String>, Flow> {
        let mut out = Vec::new();
        let declares = match words.first().map(Vec::as_slice) {
            Some([WordPart::Text(name)]) => DECLARING.contains(&name.as_str()),
            _ => false,
        };
        for word in words {
            if declares && matches!(word.first(), Some(WordPart::Text(text)) if text.contains('='))
            {
                out.push(self.text(word)?);
                continue;
            }
            let mut fields = Fields::default();
            self.parts(word, false, &mut fields)?;
            fields.cut();
            for field in fields.done {
                let text: String = field.iter().map(|(c, _)| c).collect();
                let found = if pattern::is_wild(&field) {
                    let (found, seen) = matching(&*self.host, &field);
                    self.count_work(seen.saturating_mul(pattern::cost(&field, 16)))?;
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
    pub(super) fn text(&mut self, word: &Word) -> Result<String, Flow> {
        Ok(self.pattern(word)?.into_iter().map(|(c, _)| c).collect())
    }

    /// A word as a pattern.
    pub(super) fn pattern(&mut self, word: &Word) -> Result<Vec<PatternChar>, Flow> {
        let mut out = Vec::new();
        for part in word {
            match part {
                WordPart::Text(text) => out.extend(text.chars().map(|c| (c, false))),
                WordPart::Literal(text) => out.extend(text.chars().map(|c| (c, true))),
                WordPart::Quoted(inner) => {
                    out.extend(self.pattern(inner)?.into_iter().map(|(c, _)| (c, true)))
                }
                _ => out.extend(self.value(part)?.chars().map(|c| (c, false))),
            }
            self.bounded(out.len())?;
        }
        Ok(out)
    }

    fn bounded(&mut self, len: usize) -> Result<(), Flow> {
        self.count_bytes(len)?;
        if len > MAX_VALUE {
            self.error(format!("a value of more than {MAX_VALUE} characters"))
        } else {
            Ok(())
        }
    }

    fn parts(&mut self, word: &Word, quoted: bool, fields: &mut Fields) -> Result<(), Flow> {
        for part in word {
            match part {
                WordPart::Text(text) => fields.push(text, quoted),
                WordPart::Literal(text) => fields.push(text, true),
                WordPart::Quoted(inner) => {
                    // "$@" without parameters yields no field; every other quoted word yields one,
                    // even if it is empty.
                    if !matches!(inner.as_slice(), [WordPart::Variable(name, None)] if name == "@")
                    {
                        fields.push("", true);
                    }
                    self.parts(inner, true, fields)?;
                }
                WordPart::Variable(name, None) if name == "@" => {
                    self.all_parameters(fields, quoted)
                }
                WordPart::Variable(name, Some((Modifier::Alternative { colon }, inner)))
                    if !quoted =>
                {
                    if self.is_set(name, *colon) {
                        self.parts(inner, false, fields)?;
                    }
                }
                WordPart::Variable(name, Some((Modifier::Alternative { colon }, inner)))
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
            "0" => Some(self.name.clone()),
            _ => match name.parse::<usize>() {
                Ok(number) => self.parameters.get(number.checked_sub(1)?).cloned(),
                Err(_) => self.variables.get(name).cloned(),
            },
        }
    }

    /// The value of a part.
    fn value(&mut self, part: &WordPart) -> Result<String, Flow> {
        match part {
            WordPart::Text(text) | WordPart::Literal(text) => Ok(text.clone()),
            WordPart::Quoted(inner) => self.text(inner),
            WordPart::Variable(name, None) => Ok(self.variable(name).unwrap_or_default()),
            WordPart::Variable(name, Some((modifier, word))) => {
                self.modified(name, *modifier, word)
            }
            WordPart::Command(list) => {
                let mut io = Io::default();
                self.subshell(list, &mut io)?;
                Ok(io.output.trim_end_matches('\n').to_owned())
            }
            WordPart::Arithmetic(word) => {
                let text = self.text(word)?;
                let value = arithmetic(&text, &|name| self.variable(name).unwrap_or_default());
                match value {
                    Some(value) => Ok(value.to_string()),
                    None => self.error(format!("`$(({text}))` is not understood")),
                }
            }
        }
    }

    fn modified(&mut self, name: &str, modifier: Modifier, word: &Word) -> Result<String, Flow> {
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
            Modifier::Require { colon } if missing(colon) => {
                self.error(format!("{name} is not set, which the script requires"))
            }
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

    fn stripped(
        &mut self,
        word: &Word,
        text: &str,
        strip: impl Fn(&[PatternChar], &str) -> String,
    ) -> Result<String, Flow> {
        let pattern = self.pattern(word)?;
        self.count_work(pattern::cost(&pattern, text.len()))?;
        Ok(strip(&pattern, text))
    }
}

/// Sums and differences of numbers and variables: all that scripts are known to use.
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
