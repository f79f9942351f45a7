//! The variables of a script, as far as the script itself gives them values.

use super::lexer::Token;
use std::collections::BTreeMap;

/// Variables with known values, and where the script is.
#[derive(Clone, Debug, Default)]
pub(super) struct Variables {
    values: BTreeMap<String, String>,
    /// The path of the script; empty: it is not known.
    pub(super) path: String,
}

impl Variables {
    /// Those of a script at `path`.
    pub(super) fn of_script(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            ..Self::default()
        }
    }

    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.values.insert(name.to_owned(), value.to_owned());
    }

    /// The directory of the script; empty: it is not known.
    pub(super) fn dir(&self) -> &str {
        match self.path.rsplit_once('/') {
            Some(("", _)) => "/",
            Some((dir, _)) => dir,
            None => "",
        }
    }

    /// Takes the assignments that a command consists of; `false` if it is any other command.
    pub(super) fn assigned(&mut self, words: &[Token]) -> bool {
        let declares = ["export", "readonly", "local", "declare", "typeset"];
        let first = words.first().map_or("", |word| word.text.as_str());
        let skip = usize::from(declares.contains(&first));
        let rest = words.get(skip..).unwrap_or_default();
        let is_assignment = |word: &Token| {
            (skip == 1 && (word.text.starts_with('-') || is_name(&word.text)))
                || word
                    .text
                    .split_once('=')
                    .is_some_and(|(name, _)| is_name(name))
        };
        if rest.is_empty() || !rest.iter().all(is_assignment) {
            return false;
        }
        for word in rest {
            if let Some((name, value)) = word.text.split_once('=') {
                let value = match word.substitutions.is_empty() {
                    true => Some(self.expanded(value)),
                    false => self.substituted(word, value),
                };
                match value {
                    Some(value) => self.set(name, &value),
                    None => {
                        self.values.remove(name);
                    }
                }
            }
        }
        true
    }

    /// Takes the value of the variable of `for`, if it is one or a pattern.
    pub(super) fn set_by_loop(&mut self, words: &[String]) {
        let [keyword, name, within, values @ ..] = words else {
            return;
        };
        if keyword != "for" || within != "in" {
            return;
        }
        let value = match values {
            [only] => Some(only),
            _ => values.iter().find(|value| value.contains('*')),
        };
        if let Some(value) = value {
            self.set(name, value);
        }
    }

    /// The words that the shell makes of one; a variable without quotes can be several.
    pub(super) fn words(&self, word: &Token) -> Vec<String> {
        if !word.substitutions.is_empty() {
            let text = self.substituted(word, &word.text);
            return vec![text.unwrap_or_else(|| self.expanded(&word.text))];
        }
        let text = self.expanded(&word.text);
        let is_variable = word.text.starts_with('$') && !word.quoted;
        match is_variable && text.contains(char::is_whitespace) {
            true => text.split_whitespace().map(str::to_owned).collect(),
            false => vec![text],
        }
    }

    /// A word that begins with the output of a command which names the script or its directory.
    fn substituted(&self, word: &Token, rest: &str) -> Option<String> {
        let (command, _) = word.substitutions.first()?;
        let of_script =
            command.contains("$0") || command.contains("BASH_SOURCE") || command.contains("${0");
        if !of_script || self.path.is_empty() || word.substitutions.len() > 1 {
            return None;
        }
        let start = match command.contains("dirname") || command.contains("%/*") {
            true => self.dir(),
            false => &self.path,
        };
        Some(format!("{start}{}", self.expanded(rest)))
    }

    /// The text with the values of variables that are known.
    pub(super) fn expanded(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            let (before, from) = rest.split_at(at);
            out.push_str(before);
            let after = &from[1..];
            let (name, end) = match after.strip_prefix('{') {
                Some(inner) => match inner.find('}') {
                    Some(end) => (&inner[..end], end + 2),
                    None => break,
                },
                None => {
                    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
                    let end = after.find(|c| !is_name(c)).unwrap_or(after.len());
                    (&after[..end], end)
                }
            };
            match self.value(name) {
                Some(value) => out.push_str(&value),
                None => out.push_str(&from[..=end]),
            }
            rest = &after[end..];
        }
        out.push_str(rest);
        out
    }

    fn value(&self, name: &str) -> Option<String> {
        let of_script = |name: &str| matches!(name, "0" | "BASH_SOURCE" | "BASH_SOURCE[0]");
        if let Some(name) = name.strip_suffix("%/*")
            && of_script(name)
            && !self.path.is_empty()
        {
            return Some(self.dir().to_owned());
        }
        if of_script(name) && !self.path.is_empty() {
            return Some(self.path.clone());
        }
        if let Some(value) = self.values.get(name) {
            return Some(value.clone());
        }
        let (name, default) = name.split_once(":-").or_else(|| name.split_once('-'))?;
        is_name(name).then(|| {
            let value = self.values.get(name);
            value.cloned().unwrap_or_else(|| self.expanded(default))
        })
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
