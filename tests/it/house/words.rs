//! Words: a short list of those that were tried and read badly, with better ones.

use super::source::{files, in_word, top};
use std::fs;

/// Words that follow each other, what to write instead, and next words with which they are fine.
struct Rule {
    words: &'static str,
    better: &'static str,
    unless: &'static [&'static str],
}

const fn rule(words: &'static str, better: &'static str) -> Rule {
    Rule {
        words,
        better,
        unless: &[],
    }
}

/// Over all that users and newcomers read, but for `configs/device`: these files become part of
/// images, whose bytes stay.
const STYLE: &[Rule] = &[
    rule("What reading said", "I/O errors of the source"),
    Rule {
        words: "is no",
        better: "is not a",
        unless: &["longer", "more", "less", "other", "different"],
    },
    Rule {
        words: "are no",
        better: "are not",
        unless: &["longer", "more", "less", "other"],
    },
    rule("hangs on", "depends on"),
    rule("hang on", "depend on"),
    rule("beside", "next to, outside or along with"),
    rule("told apart", "distinguished"),
    rule("blame", "or_input_changed"),
    rule("Survey", "GoldenDisk"),
    rule("settle", "select, decide or repair"),
    rule("settled", "selected, decided or repaired"),
    rule("Workshop", "UnprivilegedUser"),
];

/// Over everything: the project's text speaks of the project alone.
const ALONE: &[Rule] = &[
    rule("Co-authored-by", "the author alone"),
    rule("FIXME", "an issue"),
];

/// Places (`path`, `words`) where the words are right, each with the reason.
const RIGHT: &[(&str, &str, &str)] = &[
    (
        "src/convert/reworded.rs",
        "is no",
        "the text in records stays",
    ),
    (
        "src/convert/reworded.rs",
        "beside",
        "the text in records stays",
    ),
    (
        "src/convert/reworded.rs",
        "told apart",
        "the text in records stays",
    ),
];

/// The words of a text with their lines; those that follow each other with only white space or the
/// marks of comments between have the same number of a run.
fn words(text: &str) -> Vec<(&str, usize, usize)> {
    let (mut out, mut run) = (Vec::new(), 0);
    for (at, line) in text.lines().enumerate() {
        let mut rest = line.trim_start();
        rest = rest.trim_start_matches(['/', '!', '#']);
        while !rest.is_empty() {
            let start = rest.find(in_word).unwrap_or(rest.len());
            if !rest[..start].trim().is_empty() {
                run += 1;
            }
            rest = &rest[start..];
            let end = rest.find(|c| !in_word(c)).unwrap_or(rest.len());
            if end > 0 {
                out.push((&rest[..end], at + 1, run));
            }
            rest = &rest[end..];
        }
    }
    out
}

/// The lines of a text at which a rule's words are, in any case.
fn lines_with(text: &str, rule: &Rule) -> Vec<usize> {
    if rule.words.contains(|c: char| !in_word(c) && c != ' ') {
        let found = text
            .lines()
            .enumerate()
            .filter(|(_, line)| line.contains(rule.words));
        return found.map(|(at, _)| at + 1).collect();
    }
    let sought: Vec<&str> = rule.words.split(' ').collect();
    let words = words(text);
    let mut out = Vec::new();
    for (at, window) in words.windows(sought.len()).enumerate() {
        let run = window[0].2;
        let same = |(word, sought): (&(&str, usize, usize), &&str)| {
            word.2 == run && word.0.eq_ignore_ascii_case(sought)
        };
        let next = words.get(at + sought.len()).filter(|next| next.2 == run);
        let previous = at.checked_sub(1).map(|at| words[at]);
        // "There is no" is the idiom.
        let there =
            previous.is_some_and(|word| word.2 == run && word.0.eq_ignore_ascii_case("there"));
        let fine = there || next.is_some_and(|next| rule.unless.contains(&next.0));
        if window.iter().zip(&sought).all(same) && !fine {
            out.push(window[0].1);
        }
    }
    out
}

/// What is found in the files below these paths, each with its path and words.
fn found(places: &[(&str, &str)], rules: &[Rule]) -> Vec<(String, &'static str, String)> {
    let mut out = Vec::new();
    for (dir, end) in places {
        let texts = match fs::read_to_string(top().join(dir)) {
            Ok(text) => [((*dir).to_owned(), text)].into(),
            Err(_) => files(dir, end),
        };
        for (path, text) in texts {
            for rule in rules {
                for line in lines_with(&text, rule) {
                    let Rule { words, better, .. } = rule;
                    let message = format!("{path}:{line}: \"{words}\": better {better}");
                    out.push((path.clone(), *words, message));
                }
            }
        }
    }
    out
}

#[test]
fn words_that_read_badly_are_gone() {
    let places = [
        ("src", ".rs"),
        ("README.md", ""),
        ("CONTRIBUTING.md", ""),
        ("SECURITY.md", ""),
        ("docs", ".md"),
        ("configs/boards", ""),
        ("configs/example.toml", ""),
        ("scripts", ""),
        ("fixtures", ".sh"),
        ("Makefile", ""),
        ("Cargo.toml", ""),
    ];
    let found = found(&places, STYLE);
    let right = |path: &str, words: &str| RIGHT.iter().any(|(p, w, _)| *p == path && *w == words);
    let mut messages: Vec<String> = found
        .iter()
        .filter(|(path, words, _)| !right(path, words))
        .map(|(_, _, message)| message.clone())
        .collect();
    for (path, words, why) in RIGHT {
        assert!(!why.is_empty());
        if !found.iter().any(|(p, w, _)| p == path && w == words) {
            messages.push(format!(
                "{path} has no \"{words}\" any more: take it out of RIGHT"
            ));
        }
    }
    assert!(messages.is_empty(), "\n{}\n", messages.join("\n"));
}

#[test]
fn the_text_speaks_of_the_project_alone() {
    let places = [
        ("src", ""),
        ("tests/it", ""),
        ("docs", ".md"),
        ("configs", ""),
        ("scripts", ""),
        ("fixtures", ""),
        ("fuzz", ".rs"),
        ("examples", ""),
        ("README.md", ""),
        ("CHANGELOG.md", ""),
        ("CONTRIBUTING.md", ""),
        ("SECURITY.md", ""),
        ("Makefile", ""),
    ];
    let found = found(&places, ALONE);
    let others = found
        .into_iter()
        .filter(|(path, ..)| path != "tests/it/house/words.rs");
    let messages: Vec<String> = others.map(|(_, _, message)| message).collect();
    assert!(messages.is_empty(), "\n{}\n", messages.join("\n"));
}

#[test]
fn the_checker_sees_words_across_lines_and_in_any_case() {
    let is_no = &STYLE[1];
    let hangs = rule("hangs on", "depends on");
    assert_eq!(
        lines_with(
            "/// This is\n    /// no disk. It is no longer one.\n",
            is_no
        ),
        [1]
    );
    assert_eq!(
        lines_with("what it is, no more; this_is no_name\n", is_no),
        [0_usize; 0]
    );
    assert_eq!(
        lines_with("# It hangs\n# on this\n// Hangs on\n", &hangs),
        [1, 3]
    );
    assert_eq!(
        lines_with("let x = Survey::new();", &rule("Survey", "")),
        [1]
    );
    assert_eq!(
        lines_with("let x = Surveyor::new();", &rule("Survey", "")),
        [0_usize; 0]
    );
    assert_eq!(lines_with("// fixme: later\n", &ALONE[1]), [1]);
    assert_eq!(
        lines_with("If there is no disk, and there\nare no files\n", is_no),
        [0_usize; 0]
    );
    for rule in STYLE.iter().chain(ALONE) {
        assert_eq!(
            lines_with(&format!("a {} b", rule.words), rule),
            [1],
            "{}",
            rule.words
        );
    }
}
