//! Expansion: from words to the fields that a command gets.

use super::arithmetic::arithmetic;
use super::ast::{Modifier, Word, WordPart};
use super::error::Flow;
use super::eval::Shell;
use super::glob::matching;
use super::host::Io;
use super::pattern::{self, PatternChar};
use super::split::{self, Class};

/// Characters of a value; that of no real script is longer.
const MAX_VALUE: usize = 1 << 20;

/// Characters of all fields of one word.
const MAX_FIELDS: usize = 8 << 20;

/// Commands whose `name=value` arguments are assignments and hence not split.
const DECLARING: [&str; 3] = ["local", "export", "readonly"];

/// Fields under construction; each character says whether it was quoted.
struct Fields {
    done: Vec<Vec<PatternChar>>,
    current: Option<Vec<PatternChar>>,
    ifs: String,
    /// Characters and fields so far.
    size: usize,
    /// Whether blanks have ended a field, to which a mark that follows belongs.
    blanks: bool,
}

impl Fields {
    fn new(ifs: String) -> Self {
        Self {
            done: Vec::new(),
            current: None,
            ifs,
            size: 0,
            blanks: false,
        }
    }

    fn push(&mut self, text: &str, quoted: bool) {
        self.blanks = false;
        self.size = self.size.saturating_add(text.len() + 1);
        self.current
            .get_or_insert_default()
            .extend(text.chars().map(|c| (c, quoted)));
    }

    fn cut(&mut self) {
        self.done.extend(self.current.take());
    }

    /// Adds unquoted text, in which the characters of `IFS` separate fields.
    fn split(&mut self, text: &str) {
        self.size = self.size.saturating_add(text.len() + 1);
        for c in text.chars() {
            match split::class(&self.ifs, c) {
                Class::Field => {
                    self.blanks = false;
                    self.current.get_or_insert_default().push((c, false));
                }
                Class::Blank => {
                    self.blanks |= self.current.is_some();
                    self.cut();
                }
                Class::Mark => {
                    if !self.blanks {
                        self.current.get_or_insert_default();
                    }
                    self.blanks = false;
                    self.cut();
                }
            }
        }
    }
}

impl Shell<'_> {
    /// The characters that separate fields.
    pub(super) fn ifs(&self) -> String {
        let ifs = self.variables.get("IFS");
        ifs.cloned().unwrap_or_else(|| split::DEFAULT.to_owned())
    }

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
            let mut fields = Fields::new(self.ifs());
            self.parts(word, false, &mut fields)?;
            fields.cut();
            for field in fields.done {
                let text: String = field.iter().map(|(c, _)| c).collect();
                let found = if pattern::is_wild(&field) && !self.noglob {
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

    fn parts(&mut self, word: &[WordPart], quoted: bool, fields: &mut Fields) -> Result<(), Flow> {
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
                WordPart::Variable(name, None) if name == "@" || name == "*" && !quoted => {
                    self.all_parameters(fields, quoted)?
                }
                WordPart::Variable(name, Some((modifier, inner)))
                    if self.takes_word(name, *modifier) =>
                {
                    self.inner_parts(inner, quoted, fields)?;
                }
                WordPart::Variable(name, Some((Modifier::Default { colon }, _)))
                    if name == "@" && self.is_set(name, *colon) =>
                {
                    self.all_parameters(fields, quoted)?
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
            self.bounded(fields.current.as_ref().map_or(0, Vec::len))?;
            if fields.size > MAX_FIELDS {
                return self.error(format!("a word of more than {MAX_FIELDS} characters"));
            }
        }
        Ok(())
    }

    /// The word of an expansion: unlike elsewhere, its own text is split too.
    fn inner_parts(&mut self, word: &Word, quoted: bool, fields: &mut Fields) -> Result<(), Flow> {
        for part in word {
            match part {
                WordPart::Text(text) if !quoted => fields.split(text),
                part => self.parts(std::slice::from_ref(part), quoted, fields)?,
            }
        }
        Ok(())
    }

    fn all_parameters(&mut self, fields: &mut Fields, quoted: bool) -> Result<(), Flow> {
        let sizes = self.parameters.iter().map(|parameter| parameter.len() + 1);
        let size = sizes.fold(fields.size, usize::saturating_add);
        self.count_bytes(size)?;
        if size > MAX_FIELDS {
            return self.error(format!("a word of more than {MAX_FIELDS} characters"));
        }
        self.host.reads("@");
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
        Ok(())
    }

    /// Whether an expansion is its word, with the word's own quotes.
    fn takes_word(&self, name: &str, modifier: Modifier) -> bool {
        match modifier {
            Modifier::Default { colon } => !self.is_set(name, colon),
            Modifier::Alternative { colon } => self.is_set(name, colon),
            _ => false,
        }
    }

    fn is_set(&self, name: &str, colon: bool) -> bool {
        let value = self.variable(name);
        value.is_some_and(|value| !(colon && value.is_empty()))
    }

    /// The value of a variable or parameter; `None` when unset.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        self.host.reads(name);
        match name {
            "@" => (!self.parameters.is_empty()).then(|| self.parameters.join(" ")),
            "*" => {
                let ifs = self.ifs();
                let mark = ifs.chars().next().map(String::from).unwrap_or_default();
                (!self.parameters.is_empty()).then(|| self.parameters.join(&mark))
            }
            "#" => Some(self.parameters.len().to_string()),
            "?" => Some(self.status.to_string()),
            "$" => Some("1".into()),
            "!" => (!self.background.is_empty()).then(|| "2".into()),
            "-" => {
                let letters = [
                    ("C", self.noclobber),
                    ("e", self.errexit),
                    ("f", self.noglob),
                    ("u", self.nounset),
                ];
                let on = letters.iter().filter(|(_, on)| *on);
                Some(on.map(|(letter, _)| *letter).collect())
            }
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
            WordPart::Tilde(user) => self.tilde(user),
            WordPart::Variable(name, None) => self.set_value(name),
            WordPart::Variable(name, Some((modifier, word))) => {
                self.modified(name, *modifier, word)
            }
            WordPart::Command(list) => {
                let mut io = Io::sharing(self.stdin.clone());
                (io.kept, io.read) = (true, true);
                self.subshell(list, &mut io)?;
                Ok(io.output.trim_end_matches('\n').to_owned())
            }
            WordPart::Arithmetic(word) => {
                let text = self.text(word)?;
                let value = arithmetic(&text, &|name| self.variable(name).unwrap_or_default());
                match value {
                    Some(value) => Ok(value.to_string()),
                    None => {
                        let shown: String = text.chars().take(80).collect();
                        self.error(format!("`$(({shown}))` is not understood"))
                    }
                }
            }
        }
    }

    /// The value of a variable; under `set -u`, one that is unset ends the shell.
    fn set_value(&mut self, name: &str) -> Result<String, Flow> {
        match self.variable(name) {
            Some(value) => Ok(value),
            None if self.nounset && !matches!(name, "@" | "*" | "!") => Err(Flow::Exit(2)),
            None => Ok(String::new()),
        }
    }

    /// `~`, `~USER`: a home directory.
    fn tilde(&mut self, user: &str) -> Result<String, Flow> {
        let home = if user.is_empty() {
            self.variable("HOME")
        } else {
            match self.host.home(user) {
                Ok(home) => home,
                Err(e) => return self.error(e.to_string()),
            }
        };
        Ok(home.unwrap_or_else(|| format!("~{user}")))
    }

    fn modified(&mut self, name: &str, modifier: Modifier, word: &Word) -> Result<String, Flow> {
        let value = self.variable(name);
        let missing = |colon: bool| value.as_ref().is_none_or(|value| colon && value.is_empty());
        let value_text = value.clone().unwrap_or_default();
        let reads = matches!(
            modifier,
            Modifier::Length | Modifier::Suffix { .. } | Modifier::Prefix { .. }
        );
        if reads && value.is_none() {
            self.set_value(name)?;
        }
        match modifier {
            Modifier::Length => Ok(value_text.chars().count().to_string()),
            Modifier::Default { colon } if missing(colon) => self.text(word),
            Modifier::Assign { colon } if missing(colon) => {
                let text = self.text(word)?;
                self.assign(name, text.clone());
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
