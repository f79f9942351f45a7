//! `getopts`: options of a script or function, one a call.

use super::Dialect;
use super::eval::Shell;
use super::host::ExitStatus;

impl Shell<'_> {
    /// `getopts LETTERS NAME`; `None` where it would print a message.
    pub(super) fn getopts(&mut self, arguments: &[String]) -> Option<ExitStatus> {
        let [letters, name] = arguments else {
            return None;
        };
        let number = self.variable("OPTIND").unwrap_or_else(|| "1".into());
        let mut index: usize = number.parse().ok().filter(|index| *index > 0)?;
        // A script that counts anew begins at the first letter.
        let (last, word, letter) = self.option_at;
        let within = if index == last {
            index = word;
            letter
        } else {
            1
        };
        let word = self.parameters.get(index - 1).cloned().unwrap_or_default();
        let end = word.len() < 2 || !word.starts_with('-') || word == "--";
        if end && within == 1 {
            if word == "--" {
                index += 1;
            }
            self.option_at = (index, index, 1);
            self.assign("OPTIND", index.to_string());
            self.assign(name, "?");
            return Some(1);
        }
        let letter = word.chars().nth(within)?;
        let rest: String = word.chars().skip(within + 1).collect();
        let silent = letters.starts_with(':');
        let at = letters.find(letter).filter(|_| letter != ':');
        let takes = at.is_some_and(|at| letters.get(at + 1..).is_some_and(|l| l.starts_with(':')));
        if self.dialect == Dialect::Dash {
            self.assign("OPTARG", String::new());
        } else {
            self.variables.remove("OPTARG");
        }
        let mut found = letter;
        let mut next = (index, within + 1);
        if takes {
            let value = if rest.is_empty() {
                next = (index + 2, 1);
                self.parameters.get(index).cloned()
            } else {
                next = (index + 1, 1);
                Some(rest)
            };
            match value {
                Some(value) => self.assign("OPTARG", value),
                None if silent => {
                    next = (index + 1, 1);
                    found = ':';
                    self.assign("OPTARG", letter.to_string());
                }
                None => return None,
            }
        } else if rest.is_empty() {
            next = (index + 1, 1);
        }
        if at.is_none() {
            if !silent {
                return None;
            }
            found = '?';
            self.assign("OPTARG", letter.to_string());
        }
        // Of a word that is not done, dash counts the next one already.
        let shown = next.0 + usize::from(next.1 > 1 && self.dialect == Dialect::Dash);
        self.option_at = (shown, next.0, next.1);
        self.assign("OPTIND", shown.to_string());
        self.assign(name, found.to_string());
        Some(0)
    }
}
