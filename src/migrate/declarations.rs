//! Words of statements: assignments, arrays and declarations of bash in the words of sh.

use super::quotes::CutError;
use super::statements::{Cutter, Declaration, Open};

/// The command that assigns an array: its name is an argument.
pub(super) const SET_ARRAY: &str = "array:set";
/// The command that appends to an array.
pub(super) const APPEND_ARRAY: &str = "array:append";
/// The command that forgets functions: their names are its arguments.
pub(super) const UNSET_FUNCTION: &str = "function:unset";

/// Whether a word assigns an element of an array.
fn sets_element(word: &str) -> bool {
    word.split_once('[').is_some_and(|(name, rest)| {
        let letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
        !name.is_empty()
            && name.chars().all(letter)
            && (rest.contains("]=") || rest.contains("]+="))
    })
}

impl Cutter {
    /// A word, with its meaning for what is open.
    pub(super) fn word(&mut self) -> Result<(), CutError> {
        if std::mem::take(&mut self.target) {
            let word = self.quotes.word()?;
            self.out.push_str(&word);
            return Ok(());
        }
        if self.declaring.is_some() {
            return self.declared();
        }
        if self.command && self.assignment()? {
            return Ok(());
        }
        let word = self.quotes.word()?;
        if self.command {
            if sets_element(&word) {
                self.refuse("an array with indices")?;
            }
            self.keyword(&word)?;
            self.naming = word == "function";
        } else if std::mem::take(&mut self.naming) {
            self.command = true;
        } else {
            self.command = word == "in" && self.open.last() == Some(&Open::Case);
        }
        if self.unsetting && !self.command && word == "-f" {
            let start = self.out.rfind("unset").unwrap_or_default();
            self.out.truncate(start);
            self.out.push_str(UNSET_FUNCTION);
        } else if self.declaring.is_none() {
            self.out.push_str(&word);
        }
        Ok(())
    }

    /// A word after `export`, `readonly`, `declare` or `typeset`, which become the `export` of sh:
    /// it expands all its words before it assigns, as they do.
    fn declared(&mut self) -> Result<(), CutError> {
        let Some(mut declaration) = self.declaring.take() else {
            return Ok(());
        };
        if matches!(self.quotes.cursor.peek(), Some('-' | '+')) {
            let option = self.quotes.word()?;
            // `-f` and `-p` of `export` are about functions and lists, `-a` says what `(` says.
            let harmless = match declaration.word.as_str() {
                "export" => "fnp-",
                "readonly" => "afp-",
                _ => "agrtx-",
            };
            declaration.constant |= option.starts_with('-') && option.contains('r');
            if option.starts_with('+') || !option.chars().all(|c| harmless.contains(c)) {
                self.refuse(format!("`{} {option}` is not evaluated", declaration.word))?;
            }
            self.declaring = Some(declaration);
            return Ok(());
        }
        declaration.names += 1;
        match self.quotes.assignment() {
            None => {
                // A name without a value, or a word that others make.
                let word = self.quotes.word()?;
                if sets_element(&word) {
                    self.refuse("an array with indices")?;
                }
                let name = word.split('=').next().unwrap_or_default();
                if declaration.constant {
                    self.constants.push(name.to_owned());
                }
                if word.contains(['=', '$', '`']) {
                    self.assigned.push(name.to_owned());
                }
                self.out.push_str(&word);
            }
            Some((name, appends)) => {
                let array = self.quotes.cursor.peek() == Some('(');
                if declaration.array || array && declaration.names > 1 {
                    self.refuse("an array and other values in one declaration")?;
                }
                if array {
                    declaration.array = true;
                    self.out.truncate(declaration.start);
                    self.array(&name, appends)?;
                } else {
                    self.value(&name, appends)?;
                }
                if declaration.constant {
                    self.constants.push(name.clone());
                }
                self.assigned.push(name);
            }
        }
        self.declaring = Some(declaration);
        Ok(())
    }

    /// A word that is a command or reserved.
    fn keyword(&mut self, word: &str) -> Result<(), CutError> {
        self.names.push(word.to_owned());
        let before = std::mem::take(&mut self.prefix);
        match word {
            "declare" | "typeset" | "export" | "readonly" => {
                if before && matches!(word, "declare" | "typeset") {
                    self.refuse(format!("an assignment in front of `{word}`"))?;
                }
                self.only_assigns &= self.out.trim().is_empty();
                self.declaring = Some(Declaration {
                    word: word.to_owned(),
                    start: self.out.len(),
                    constant: word == "readonly",
                    names: 0,
                    array: false,
                });
                self.out.push_str("export");
                return Ok(());
            }
            "local" => self.refuse("`local` outside of a function")?,
            "function" => self.refuse("a function that is defined within other commands")?,
            "unset" => self.unsetting = true,
            _ => {}
        }
        self.only_assigns = false;
        let opens = match word {
            "if" => Some(Open::If),
            "case" => Some(Open::Case),
            "for" | "select" | "while" | "until" => Some(Open::Loop),
            "{" => Some(Open::Brace),
            _ => None,
        };
        let closes = match word {
            "fi" => Some(Open::If),
            "esac" => Some(Open::Case),
            "done" => Some(Open::Loop),
            "}" => Some(Open::Brace),
            _ => None,
        };
        if let Some(closed) = closes
            && self.open.pop() != Some(closed)
        {
            return self.error(format!("unexpected `{word}`"));
        }
        self.open.extend(opens);
        self.command = matches!(
            word,
            "if" | "while" | "until" | "{" | "then" | "else" | "elif" | "do" | "!" | "time"
        );
        Ok(())
    }

    /// An assignment, if one begins here: `NAME=VALUE`, `NAME+=VALUE`, `NAME=(...)`.
    fn assignment(&mut self) -> Result<bool, CutError> {
        let Some((name, appends)) = self.quotes.assignment() else {
            return Ok(false);
        };
        if self.quotes.cursor.peek() == Some('(') {
            if std::mem::take(&mut self.prefix) {
                if !self.only_assigns {
                    self.refuse("an array next to another assignment")?;
                }
                self.out.push(';');
            }
            self.array(&name, appends)?;
        } else {
            self.value(&name, appends)?;
            self.prefix = true;
        }
        self.assigned.push(name);
        Ok(true)
    }

    /// The value of an assignment, after its sign.
    fn value(&mut self, name: &str, appends: bool) -> Result<(), CutError> {
        let value = self.quotes.word()?;
        let earlier = if appends {
            format!("\"${{{name}-}}\"")
        } else {
            String::new()
        };
        self.out.push_str(&format!("{name}={earlier}{value}"));
        Ok(())
    }

    /// The value of an array, from its parenthesis on.
    fn array(&mut self, name: &str, appends: bool) -> Result<(), CutError> {
        let before = self.out.trim_end();
        let after_sign = before.ends_with(['&', '|', '!']);
        if self.open.contains(&Open::Parenthesis) {
            self.refuse("an array in a subshell")?;
        }
        self.quotes.cursor.bump();
        let command = if appends { APPEND_ARRAY } else { SET_ARRAY };
        self.out.push_str(&format!("{command} {name} "));
        self.elements()?;
        if self.quotes.more_on_line() {
            if after_sign {
                self.refuse("an array with more words after `&&` or `||`")?;
            }
            self.out.push(';');
        }
        Ok(())
    }

    /// The elements of an array, after its parenthesis.
    fn elements(&mut self) -> Result<(), CutError> {
        let mut open = 0_usize;
        loop {
            match self.quotes.cursor.peek() {
                None => return self.error("the file ends before `)`"),
                Some(')') if open > 0 => {
                    open -= 1;
                    self.take();
                }
                Some(')') => {
                    self.quotes.cursor.bump();
                    return Ok(());
                }
                Some('\n') => {
                    self.quotes.cursor.bump();
                    self.out.push_str("\\\n");
                }
                Some('\\') if self.quotes.cursor.ahead(1) == Some('\n') => {
                    self.take();
                    self.take();
                }
                Some(' ' | '\t' | '\r') => self.take(),
                Some('#') => self.quotes.skip_comment(),
                Some('[') if !self.in_body => return self.error("an array with indices"),
                Some(c) if ";&|<>(".contains(c) && !self.in_body => {
                    return self.error(format!("unexpected `{c}`"));
                }
                Some(c) if ";&|<>(".contains(c) => {
                    open += usize::from(c == '(');
                    self.take();
                }
                Some(_) => {
                    let word = self.quotes.word()?;
                    self.out.push_str(&word);
                }
            }
        }
    }
}
