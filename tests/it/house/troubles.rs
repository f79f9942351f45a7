//! `docs/troubleshooting.md` is made of the source: no finding and no advice can be missing.

use super::source::{blanked, files, strings, top};
use goldsmith::doctor::CODES;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;

const START: &str =
    "<!-- generated: GOLDSMITH_BLESS=1 cargo test --test it house::troubles writes it -->\n";
const END: &str = "<!-- end of what is generated -->\n";

/// A source file without its unit tests: its text, the text with strings and comments blanked, and
/// the strings with their places.
struct File {
    text: String,
    code: String,
    strings: Vec<(Range<usize>, String)>,
}

impl File {
    fn new(text: &str) -> Self {
        let code = blanked(text);
        let end = code.find("#[cfg(test)]").unwrap_or(code.len());
        let text = text[..end].to_owned();
        Self {
            code: code[..end].to_owned(),
            strings: strings(&text),
            text,
        }
    }

    /// The end of the arguments in which `at` is.
    fn end(&self, at: usize) -> usize {
        let mut depth = 0;
        for (offset, byte) in self.code[at..].bytes().enumerate() {
            match byte {
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' | b'}' if depth == 0 => return at + offset,
                b')' | b']' | b'}' => depth -= 1,
                b';' if depth == 0 => return at + offset,
                _ => {}
            }
        }
        self.code.len()
    }

    /// The message to which the advice at `at` belongs: that of the problem before it in the same
    /// function.
    fn message(&self, at: usize) -> String {
        const NEW: &str = "Problem::new(";
        let from = self.code[..at].rfind("fn ").unwrap_or(0);
        let problem = self.code[from..at].rfind(NEW).map(|new| from + new);
        let own = problem.map(|new| self.sentences(new + NEW.len()..self.end(new + NEW.len())));
        own.and_then(|own| own.into_iter().next())
            .unwrap_or_else(|| "*(differs)*".to_owned())
    }

    /// The sentences among the strings of a range.
    fn sentences(&self, range: Range<usize>) -> Vec<String> {
        let inside = self
            .strings
            .iter()
            .filter(|(at, _)| range.start <= at.start && at.end <= range.end);
        let text = inside.filter(|(_, text)| text.trim().contains(' '));
        text.map(|(_, text)| shown(text)).collect()
    }
}

/// A format string as a reader sees it: `...` where a value is, and no line breaks.
fn shown(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        out += &rest[..at];
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("{{") {
            out.push('{');
            rest = after;
        } else {
            out += "...";
            rest = rest.split_once('}').map_or("", |(_, after)| after);
        }
    }
    out += &rest.replace("}}", "}");
    let words: Vec<&str> = out.split_whitespace().collect();
    let text = words.join(" ").replace('|', "\\|");
    // In a span of code, every character stands for itself.
    let parts = text.split('`').enumerate();
    let parts = parts.map(|(at, part)| match at % 2 {
        0 => part.replace('<', "&lt;"),
        _ => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("`")
}

/// The findings of `verify`: each code with what it says.
fn findings() -> BTreeMap<String, BTreeSet<String>> {
    let mut out: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let known = crate::verify::codes::all();
    for text in files("src/verify", ".rs").into_values() {
        let file = File::new(&text);
        for (at, word) in &file.strings {
            if known.contains(word) {
                let mut said = file.sentences(at.end..file.end(at.end));
                if said.is_empty() {
                    // Or it was written just before.
                    let near = file.code[..at.start].rfind("let text =");
                    let others = |from: usize| {
                        let between = |(other, _): &&(Range<usize>, String)| {
                            from < other.start && other.end < at.start
                        };
                        let mut words = file.strings.iter().filter(between);
                        words.any(|(_, word)| known.contains(word))
                    };
                    let near = near.filter(|from| at.start - from < 700 && !others(*from));
                    said.extend(near.and_then(|from| file.sentences(from..at.start).pop()));
                }
                out.entry(word.clone()).or_default().extend(said);
            }
        }
    }
    out
}

/// The messages that come with advice, each with it.
fn hints() -> BTreeSet<(String, String)> {
    let mut out = BTreeSet::new();
    for text in files("src", ".rs").into_values() {
        let file = File::new(&text);
        for (at, _) in file.code.match_indices(".hint(") {
            let open = at + ".hint(".len();
            let hint = file.sentences(open..file.end(open));
            if !hint.is_empty() {
                out.insert((file.message(at), hint.join("; or ")));
            }
        }
    }
    out
}

fn generated() -> String {
    let mut out =
        String::from("## Findings of `verify`\n\n| code | what it says |\n| --- | --- |\n");
    for (code, said) in findings() {
        let said: Vec<String> = said.into_iter().collect();
        let said = match said.is_empty() {
            true => "the message has what reading it said".to_owned(),
            false => said.join("; or "),
        };
        out += &format!("| `{code}` | {said} |\n");
    }
    out += "\n## Findings of `doctor`\n\n| code | severity | finding | remedy |\n| --- | --- | --- | --- |\n";
    for code in CODES {
        out += &format!(
            "| `{}` | {} | {} | {} |\n",
            code.name, code.severity, code.meaning, code.remedy
        );
    }
    out += "\n## Messages with advice\n\n| message | advice |\n| --- | --- |\n";
    for (message, hint) in hints() {
        out += &format!("| {message} | {hint} |\n");
    }
    out
}

#[test]
fn the_page_of_troubles_is_up_to_date() {
    let path = top().join("docs/troubleshooting.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(START).expect("the start of the tables");
    let (found, after) = rest.split_once(END).expect("the end of the tables");
    let tables = generated();
    if std::env::var_os("GOLDSMITH_BLESS").is_some() {
        fs::write(&path, format!("{before}{START}{tables}{END}{after}")).unwrap();
        return;
    }
    let new: Vec<&str> = tables
        .lines()
        .filter(|line| !found.contains(*line))
        .collect();
    assert!(
        found == tables,
        "docs/troubleshooting.md differs from the source; GOLDSMITH_BLESS=1 writes it anew. New lines:\n{}",
        new.join("\n")
    );
}

#[test]
fn every_code_of_verify_is_found_in_the_source() {
    let found = findings();
    for code in crate::verify::codes::all() {
        assert!(found.contains_key(&code), "{code} is not in the tables");
    }
    let silent: Vec<&String> = found
        .iter()
        .filter(|(_, said)| said.is_empty())
        .map(|(code, _)| code)
        .collect();
    assert!(
        silent.len() * 4 < found.len(),
        "no text was found for {silent:?}"
    );
}

#[test]
fn the_reader_sees_messages_and_advice() {
    let file = File::new(
        "fn a() {\n    log.check(x, \"fat-a\", || { (at(), format!(\"{} is {x:?} \\\n      and {{b}}\", 1)) });\n}\n",
    );
    let (at, code) = &file.strings[0];
    assert_eq!(code, "fat-a");
    assert_eq!(
        file.sentences(at.end..file.end(at.end)),
        ["... is ... and {b}"]
    );
    assert!(file.text.starts_with("fn a"));
}
