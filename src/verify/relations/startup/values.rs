//! Arguments and variables of a script, as far as it sets them itself.

use super::cutter::Word;
use std::collections::BTreeMap;

/// The values that are known.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    /// The arguments of the script.
    pub(super) arguments: Vec<String>,
    /// The variables; `0` is the path of the script.
    pub(super) variables: BTreeMap<String, String>,
}

impl Values {
    /// The value of variables and arguments that are known.
    pub(super) fn expanded(&self, text: &str, in_function: bool) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            let (name, end) = match after.strip_prefix('{').and_then(|a| a.split_once('}')) {
                Some((name, end)) => (name, end),
                None => {
                    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
                    let more = after.trim_start_matches(is_name);
                    let more = match after.starts_with(['@', '*', '#', '?', '!']) {
                        true => after.get(1..).unwrap_or_default(),
                        false => more,
                    };
                    (after.strip_suffix(more).unwrap_or(after), more)
                }
            };
            match self.value(name, in_function) {
                Some(value) => out.push_str(&value),
                None => out.push_str(&format!("${{{name}}}")),
            }
            rest = end;
        }
        out.push_str(rest);
        out
    }

    fn value(&self, name: &str, in_function: bool) -> Option<String> {
        if matches!(name, "@" | "*") && !in_function {
            return Some(self.arguments.join(" "));
        }
        if name == "0%/*" {
            let path = self.variables.get("0")?;
            return Some(path.rsplit_once('/')?.0.to_owned());
        }
        let cut = name.find(":-").or_else(|| name.find('-'));
        let (plain, default) = match cut {
            Some(at) => name.split_at(at),
            None => (name, ""),
        };
        if !plain.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return None;
        }
        if plain == "0" || plain == "BASH_SOURCE" {
            return self.variables.get("0").cloned();
        }
        if let Ok(number) = plain.parse::<usize>() {
            // In a function they are those of the function.
            if in_function {
                return None;
            }
            let found = self.arguments.get(number.checked_sub(1)?);
            return found.cloned().or_else(|| Some(default_of(default)));
        }
        let found = self.variables.get(plain).cloned();
        found.or_else(|| cut.map(|_| default_of(default)))
    }

    /// Takes assignments; `false` if the words are a command.
    pub(super) fn assigns(&mut self, words: &[Word], in_function: bool) -> bool {
        let declares = ["export", "readonly", "local", "declare", "typeset"];
        let declared = words
            .first()
            .is_some_and(|word| declares.contains(&word.text.as_str()));
        let rest = words.get(usize::from(declared)..).unwrap_or_default();
        let is_name = |name: &str| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        let all = rest.iter().all(|word| {
            word.text
                .split_once('=')
                .is_some_and(|(name, _)| is_name(name))
                || declared
        });
        if rest.is_empty() || !all {
            return false;
        }
        for word in rest {
            let Some((name, value)) = word.text.split_once('=') else {
                continue;
            };
            if word.inner.is_empty() {
                let value = self.expanded(value, in_function);
                self.variables.insert(name.to_owned(), value);
            } else {
                self.variables.remove(name);
            }
        }
        true
    }
}

/// The default of `${name:-default}` after the name.
fn default_of(text: &str) -> String {
    text.trim_start_matches(':')
        .trim_start_matches('-')
        .to_owned()
}
