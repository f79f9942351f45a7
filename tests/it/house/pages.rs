//! The pages: links lead somewhere, commands are those of the program, and the book has them all.

use super::source::{files, strings, top};
use clap::Parser as _;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// All pages, by their path from the repository.
fn pages() -> BTreeMap<String, String> {
    fn walk(dir: &str, out: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(top().join(dir)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let path = format!("{dir}{name}");
            if entry.file_type().unwrap().is_dir() {
                if dir.is_empty() && !["docs", "configs", "fuzz"].contains(&name.as_str()) {
                    continue;
                }
                if !["target", "corpus", "artifacts"].contains(&name.as_str()) {
                    walk(&format!("{path}/"), out);
                }
            } else if name.ends_with(".md") {
                out.insert(path, fs::read_to_string(entry.path()).unwrap());
            }
        }
    }
    let mut out = BTreeMap::new();
    walk("", &mut out);
    out
}

/// The lines of a page outside of its code blocks, or the blocks with the line each begins at, its
/// language and its text.
fn parts(page: &str) -> (String, Vec<(usize, String, String)>) {
    let (mut text, mut blocks) = (String::new(), Vec::new());
    let mut open: Option<(usize, String, String)> = None;
    for (at, line) in page.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        match (&mut open, fence) {
            (None, Some(language)) => open = Some((at + 1, language.to_owned(), String::new())),
            (Some(_), Some("")) => blocks.extend(open.take()),
            (Some(block), _) => block.2 += &format!("{line}\n"),
            (None, None) => text += &format!("{line}\n"),
        }
    }
    assert!(open.is_none(), "a code block does not end");
    (text, blocks)
}

/// The names by which the headings of a page are reached.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for line in text.lines().filter(|line| line.starts_with('#')) {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let name: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let mut free = name.clone();
        for number in 1.. {
            if out.insert(free.clone()) {
                break;
            }
            free = format!("{name}-{number}");
        }
    }
    out
}

/// The targets of the links of a text.
fn links(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    for (at, _) in text.match_indices("](") {
        let rest = &text[at + 2..];
        out.extend(rest.find([')', '\n']).map(|end| &rest[..end]));
    }
    out
}

#[test]
fn links_lead_somewhere() {
    let pages = pages();
    let mut wrong = Vec::new();
    for (path, page) in &pages {
        let dir = Path::new(path).parent().unwrap();
        for link in links(&parts(page).0) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => top().join(path),
                _ => top().join(dir).join(file),
            };
            let text = match target.is_dir() {
                true => Ok(String::new()),
                false => fs::read_to_string(&target),
            };
            let found = text
                .is_ok_and(|text| anchor.is_empty() || anchors(&parts(&text).0).contains(anchor));
            if !found {
                wrong.push(format!("{path}: {link}"));
            }
        }
    }
    assert!(wrong.is_empty(), "links to nothing:\n{}", wrong.join("\n"));
}

/// The words of a command up to where the shell ends it.
fn words(command: &str) -> Vec<String> {
    let (mut out, mut word, mut quote, mut inside) = (Vec::new(), String::new(), None, false);
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(mark), _) if c == mark => quote = None,
            (Some(_), _) => word.push(c),
            (None, '\'' | '"') => (quote, inside) = (Some(c), true),
            (None, '\\') => word.extend(chars.next()),
            (None, '|' | ';' | '&' | '<' | '>' | ')' | '`') => break,
            (None, '#') if word.is_empty() && !inside => break,
            (None, c) if c.is_whitespace() => {
                if inside || !word.is_empty() {
                    out.push(std::mem::take(&mut word));
                }
                inside = false;
            }
            (None, c) => word.push(c),
        }
    }
    if inside || !word.is_empty() {
        out.push(word);
    }
    out
}

/// Where the program is called in a line, as a command and not as a word of a sentence.
fn calls(line: &str) -> Vec<&str> {
    let names = goldsmith::cli::commands();
    let found = line.match_indices("goldsmith ").map(|(at, _)| at);
    let begins = |at: &usize| {
        let before = line[..*at].chars().next_back();
        let next = words(&line[*at + 10..]).into_iter().next();
        before.is_none_or(|c| " (\"'`".contains(c))
            && next.is_some_and(|name| names.contains(&name))
    };
    found.filter(begins).map(|at| &line[at..]).collect()
}

#[test]
fn commands_of_the_pages_are_commands_of_the_program() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (path, page) in pages() {
        for (at, language, text) in parts(&page).1 {
            if !["console", "sh", "bash", "yaml"].contains(&language.as_str()) {
                continue;
            }
            for line in text.replace("\\\n", " ").lines() {
                for call in calls(line) {
                    seen += 1;
                    if let Err(error) = goldsmith::cli::Cli::try_parse_from(words(call)) {
                        let error = error.to_string();
                        let first = error.lines().next().unwrap_or_default();
                        wrong.push(format!("{path}:{at}: {call}: {first}"));
                    }
                }
            }
        }
    }
    assert!(seen > 30, "only {seen} commands were found");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// What is wrong with the commands that a text names, as in `` `goldsmith plan --edits` ``: no such
/// command, or none of its options. Words in capitals and braces stand for others.
fn wrong_commands(text: &str) -> Vec<String> {
    let names = goldsmith::cli::commands();
    let mut wrong = Vec::new();
    for (at, _) in text.match_indices("`goldsmith ") {
        let rest = text[at + 1..].split('`').next().unwrap();
        let words = words(rest);
        let plain = |word: &&String| {
            let letter = |c: u8| c.is_ascii_lowercase() || c == b'-';
            !word.starts_with('-') && word.bytes().all(letter)
        };
        let called: Vec<&str> = words[1..].iter().take_while(plain).map(|w| &**w).collect();
        let group = |name: &str| names.iter().any(|one| one.starts_with(&format!("{name} ")));
        let command = match called.as_slice() {
            [] => Some(String::new()),
            [first, second, ..] if group(first) => Some(format!("{first} {second}")),
            [first, ..] => Some((*first).to_owned()),
        };
        let command = command.filter(|name| names.contains(name) || group(name));
        let known = |command: &str| {
            let options = words.iter().filter(|word| word.starts_with("--"));
            let mut options = options.map(|word| word.split('=').next().unwrap());
            options.all(|option| is_option(command, option))
        };
        if !command.is_some_and(|command| known(&command)) {
            wrong.push(rest.to_owned());
        }
    }
    wrong
}

/// Whether `command` has the option.
fn is_option(command: &str, option: &str) -> bool {
    use clap::CommandFactory as _;
    let mut found = goldsmith::cli::Cli::command();
    found.build();
    let found = command.split_whitespace().try_fold(&found, |at, name| {
        at.get_subcommands().find(|one| one.get_name() == name)
    });
    found.is_some_and(|found| {
        let mut longs = found.get_arguments().filter_map(clap::Arg::get_long);
        longs.any(|long| option.strip_prefix("--") == Some(long))
    })
}

#[test]
fn commands_that_sentences_name_exist() {
    let mut wrong = Vec::new();
    for (path, page) in pages() {
        if path == "CHANGELOG.md" {
            continue;
        }
        let found = wrong_commands(&parts(&page).0);
        wrong.extend(found.iter().map(|rest| format!("{path}: {rest}")));
    }
    for (path, text) in files("src", ".rs") {
        for (_, literal) in strings(&text) {
            let found = wrong_commands(&literal);
            wrong.extend(found.iter().map(|rest| format!("{path}: {rest}")));
        }
    }
    assert!(wrong.is_empty(), "no such commands:\n{}", wrong.join("\n"));
}

#[test]
fn commands_that_do_not_exist_are_noticed() {
    let good = "`goldsmith`, `goldsmith plan`, `goldsmith plan --edits`, `goldsmith artifact show F`, \
                `goldsmith lock -c FILE IMAGE`, `goldsmith --version`, `goldsmith artifact`";
    assert_eq!(wrong_commands(good), Vec::<String>::new());
    for bad in [
        "artifact sign",
        "plans",
        "plan --edit",
        "fleet plan --remote x",
    ] {
        assert_eq!(
            wrong_commands(&format!("with `goldsmith {bad}`")),
            [format!("goldsmith {bad}")]
        );
    }
}

#[test]
fn configurations_of_the_pages_are_toml() {
    let mut wrong = Vec::new();
    for (path, page) in pages() {
        for (at, language, text) in parts(&page).1 {
            if language == "toml"
                && let Err(error) = toml::from_str::<toml::Table>(&text)
            {
                wrong.push(format!("{path}:{at}: {}", error.message()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The rows of tables of a page that have another number of cells than the head, by their lines.
fn uneven(page: &str) -> Vec<usize> {
    let (mut out, mut head, mut code) = (Vec::new(), None, false);
    for (at, line) in page.lines().enumerate() {
        let line = line.trim();
        code ^= line.starts_with("```");
        if code || !line.starts_with('|') {
            head = None;
            continue;
        }
        let bars = line.matches('|').count() - line.matches("\\|").count();
        if *head.get_or_insert(bars) != bars {
            out.push(at + 1);
        }
    }
    out
}

#[test]
fn tables_have_no_row_with_more_or_less_cells() {
    assert_eq!(
        uneven("| a | b |\n| --- | --- |\n| `x | y` | z |\n| `x \\| y` | z |\n"),
        [3]
    );
    let mut wrong = Vec::new();
    for (path, page) in pages() {
        wrong.extend(uneven(&page).iter().map(|line| format!("{path}:{line}")));
    }
    assert!(
        wrong.is_empty(),
        "a bar in a cell, or a cell too few:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn the_book_has_every_page() {
    let summary = fs::read_to_string(top().join("docs/SUMMARY.md")).unwrap();
    let listed: Vec<&str> = links(&summary);
    let unique: BTreeSet<&str> = listed.iter().copied().collect();
    assert_eq!(unique.len(), listed.len(), "a page is there twice");
    let pages = pages();
    let missing: Vec<&str> = pages
        .keys()
        .filter_map(|path| path.strip_prefix("docs/"))
        .filter(|path| *path != "SUMMARY.md" && !unique.contains(path))
        .collect();
    assert!(missing.is_empty(), "docs/SUMMARY.md lacks {missing:?}");
}

#[test]
fn the_readers_of_pages_see_what_is_there() {
    let page = "# A `b`: c\n\n## D\n## D\n[x](y.md#z)\n```toml\na = 1\n```\n";
    let (text, blocks) = parts(page);
    assert_eq!(blocks, [(6, "toml".to_owned(), "a = 1\n".to_owned())]);
    let names: Vec<String> = anchors(&text).into_iter().collect();
    assert_eq!(names, ["a-b-c", "d", "d-1"]);
    assert_eq!(links(&text), ["y.md#z"]);
    assert_eq!(
        words("a 'b c' -s x=\"d e\" f\\ g # h"),
        ["a", "b c", "-s", "x=d e", "f g"]
    );
    assert_eq!(words("a b >c"), ["a", "b"]);
    assert_eq!(
        calls("$ goldsmith plan x | goldsmith-x y goldsmith is"),
        ["goldsmith plan x | goldsmith-x y goldsmith is"]
    );
    assert_eq!(calls("run: echo \"m=$(goldsmith boards)\"").len(), 1);
}
