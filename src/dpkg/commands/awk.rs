//! `awk` for fields of lines: rules of one pattern and one `print`.

use super::super::script_host::ScriptHost;
use super::arguments::CommandResult;
use super::regex::Regex;
use crate::shell::Io;

/// A value in an expression.
#[derive(Debug)]
enum Value {
    Text(String),
    /// A field; 0 is the whole line.
    Field(usize),
    LastField,
    Fields,
    Line,
}

#[derive(Debug)]
enum Pattern {
    All,
    Match(Regex, bool),
    /// A field, and whether it must match.
    FieldMatch(usize, Regex, bool),
    /// A field or number is a text.
    Equal(Value, Value, bool),
}

/// A rule: its pattern, and the texts that are printed, each of several values.
#[derive(Debug)]
struct Rule {
    pattern: Pattern,
    print: Vec<Vec<Value>>,
}

pub(super) fn awk(host: &ScriptHost<'_, '_>, args: &[&str], io: &mut Io) -> CommandResult {
    let mut separator = None;
    let mut rest = args;
    loop {
        rest = match rest {
            ["-F", value, after @ ..] => {
                separator = Some(*value);
                after
            }
            [joined, after @ ..] if joined.starts_with("-F") => {
                separator = joined.strip_prefix("-F");
                after
            }
            _ => break,
        };
    }
    let [program, files @ ..] = rest else {
        return Ok(None);
    };
    // A separator of several characters is an expression.
    if separator.is_some_and(|text| text.chars().count() != 1 || "\\ t|".contains(text))
        || files.iter().any(|file| file.contains('='))
    {
        return Ok(None);
    }
    let Some(rules) = read(program) else {
        return Ok(None);
    };
    let mut text = String::new();
    for file in files {
        match host.text(file)? {
            Some(more) => text.push_str(&more),
            None => return Ok(Some(2)),
        }
    }
    if files.is_empty() {
        text = io.rest();
    }
    for (number, line) in text.lines().enumerate() {
        let fields: Vec<&str> = match separator {
            Some(separator) if !line.is_empty() => line.split(separator).collect(),
            Some(_) => Vec::new(),
            None => line.split_ascii_whitespace().collect(),
        };
        let of = |value: &Value| match value {
            Value::Text(text) => text.clone(),
            Value::Field(0) => line.to_owned(),
            Value::Field(at) => fields.get(at - 1).copied().unwrap_or_default().to_owned(),
            Value::LastField => fields.last().copied().unwrap_or(line).to_owned(),
            Value::Fields => fields.len().to_string(),
            Value::Line => (number + 1).to_string(),
        };
        for rule in &rules {
            let concerns = match &rule.pattern {
                Pattern::All => true,
                Pattern::Match(regex, wanted) => regex.hits(line, false, false) == *wanted,
                Pattern::FieldMatch(at, regex, wanted) => {
                    regex.hits(&of(&Value::Field(*at)), false, false) == *wanted
                }
                Pattern::Equal(a, b, wanted) => (of(a) == of(b)) == *wanted,
            };
            if concerns {
                let texts = rule
                    .print
                    .iter()
                    .map(|values| values.iter().map(of).collect());
                io.print_line(&texts.collect::<Vec<String>>().join(" "));
            }
        }
    }
    Ok(Some(0))
}

/// The rules of a program; `None` if one is not understood.
fn read(program: &str) -> Option<Vec<Rule>> {
    let mut reader = Reader(program);
    let mut rules = Vec::new();
    reader.space();
    while !reader.0.is_empty() {
        rules.push(reader.rule()?);
        reader.space();
    }
    (!rules.is_empty()).then_some(rules)
}

struct Reader<'a>(&'a str);

impl Reader<'_> {
    fn space(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t', '\n', ';']);
    }

    fn blanks(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }

    fn eat(&mut self, text: &str) -> bool {
        let rest = self.0.strip_prefix(text);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn rule(&mut self) -> Option<Rule> {
        let pattern = if self.0.starts_with('{') {
            Pattern::All
        } else {
            self.pattern()?
        };
        self.blanks();
        let whole = vec![vec![Value::Field(0)]];
        if !self.eat("{") {
            let fine = self.0.is_empty() && !matches!(pattern, Pattern::All);
            return fine.then_some(Rule {
                pattern,
                print: whole,
            });
        }
        self.space();
        if !self.eat("print")
            || self
                .0
                .starts_with(|c: char| c.is_alphanumeric() || c == '_')
        {
            return None;
        }
        self.blanks();
        let mut print = Vec::new();
        while !self.0.starts_with(['}', ';', '\n']) {
            let mut values = vec![self.value()?];
            self.blanks();
            while !self.0.starts_with([',', '}', ';', '\n']) {
                values.push(self.value()?);
                self.blanks();
            }
            print.push(values);
            if self.eat(",") {
                self.blanks();
                if self.0.starts_with(['}', ';', '\n']) {
                    return None;
                }
            }
        }
        self.space();
        let print = if print.is_empty() { whole } else { print };
        self.eat("}").then_some(Rule { pattern, print })
    }

    fn pattern(&mut self) -> Option<Pattern> {
        let wanted = !self.eat("!");
        if self.0.starts_with('/') {
            return Some(Pattern::Match(self.regex()?, wanted));
        }
        if !wanted {
            return None;
        }
        let left = self.value()?;
        self.blanks();
        if self.eat("==") || self.0.starts_with("!=") {
            let wanted = !self.eat("!=");
            self.blanks();
            let right = self.value()?;
            // Two numbers that are written differently may be equal.
            return matches!(right, Value::Text(_)).then_some(Pattern::Equal(left, right, wanted));
        }
        let wanted = !self.eat("!");
        let Value::Field(at) = left else { return None };
        if !self.eat("~") {
            return None;
        }
        self.blanks();
        Some(Pattern::FieldMatch(at, self.regex()?, wanted))
    }

    fn regex(&mut self) -> Option<Regex> {
        self.0 = self.0.strip_prefix('/')?;
        let (pattern, rest) = self.0.split_once('/')?;
        if pattern.ends_with('\\') || pattern.contains('[') && pattern.contains('\\') {
            return None;
        }
        self.0 = rest;
        Regex::read(pattern, true)
    }

    fn value(&mut self) -> Option<Value> {
        if self.eat("$NF") {
            return Some(Value::LastField);
        }
        if self.eat("$") {
            return Some(Value::Field(self.number()?));
        }
        for (name, value) in [("NF", Value::Fields), ("NR", Value::Line)] {
            if self.eat(name) {
                let compared = self.0.starts_with("==");
                let ends = compared
                    || !self
                        .0
                        .starts_with(|c: char| c.is_alphanumeric() || "_=+-*/".contains(c));
                return ends.then_some(value);
            }
        }
        if self.eat("\"") {
            let (text, rest) = self.0.split_once('"')?;
            if text.contains('\\') {
                return None;
            }
            self.0 = rest;
            return Some(Value::Text(text.to_owned()));
        }
        Some(Value::Text(self.number()?.to_string()))
    }

    fn number(&mut self) -> Option<usize> {
        let end = self.0.find(|c: char| !c.is_ascii_digit());
        let (digits, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        let number = digits.parse().ok()?;
        let ends = !rest.starts_with(|c: char| c.is_alphanumeric() || "._+-*/%^".contains(c));
        self.0 = rest;
        ends.then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn programs_are_read_or_refused() {
        for program in [
            "{ print $1 }",
            "{print $NF}",
            "/^15 / { print $2 }",
            "!/x/",
            "$1 == \"a\" { print $2, \"-\" $3; }",
            "NR==2{print}",
            "$3 ~ /^x/ { print $1 }",
        ] {
            assert!(read(program).is_some(), "{program}");
        }
        for program in [
            "",
            "{ exit }",
            "{ x += $1 } END { print x }",
            "{ printf \"%s\", $1 }",
            "BEGIN { print 1 }",
            "{ print $1 > \"/x\" }",
            "{ print substr($1, 2) }",
            "$1 > 3",
            "{ print $1 + 1 }",
            "{ print $(NF-1) }",
        ] {
            assert!(read(program).is_none(), "{program}");
        }
    }
}
