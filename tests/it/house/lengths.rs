//! Lengths, at the width of `rustfmt.toml`: what does not fit on a page is cut by meaning.

use super::source::{blanked, closing, files, in_word, test_items};

/// Lines of a function, from its `fn` to its closing brace.
const FUNCTION: usize = 80;

/// Lines of a file without the items that only tests have.
const FILE: usize = 600;

/// Columns of a line, but for one with a literal, a URL or a part of a table, which has no place to
/// break.
const COLUMNS: usize = 100;

/// A function of blanked source: its name, first line and number of lines.
#[derive(Debug, PartialEq, Eq)]
struct Function<'a> {
    name: &'a str,
    line: usize,
    lines: usize,
}

/// All functions with a body, nested ones too.
fn functions(blanked: &str) -> Vec<Function<'_>> {
    let mut out = Vec::new();
    for (at, _) in blanked.match_indices("fn ") {
        let rest = blanked[at + 3..].trim_start();
        let name = &rest[..rest.find(|c| !in_word(c)).unwrap_or(rest.len())];
        // `Fn(..)` and `fn(..)` are types.
        if blanked[..at].ends_with(in_word) || name.is_empty() {
            continue;
        }
        if let Some(open) = body(blanked, at) {
            let line = blanked[..at].matches('\n').count() + 1;
            let lines = blanked[at..closing(blanked, open)].matches('\n').count() + 1;
            out.push(Function { name, line, lines });
        }
    }
    out
}

/// The brace that opens the body of the function at `at`; none for a declaration.
fn body(blanked: &str, at: usize) -> Option<usize> {
    let mut nested = 0_usize;
    for (at, byte) in blanked.bytes().enumerate().skip(at) {
        match byte {
            b'(' | b'[' => nested += 1,
            b')' | b']' => nested = nested.saturating_sub(1),
            b'{' if nested == 0 => return Some(at),
            b';' if nested == 0 => return None,
            _ => {}
        }
    }
    None
}

/// The lines of a file without those of items that only tests have.
fn lines_of_code(text: &str) -> usize {
    let blanked = blanked(text);
    let lines = |range: std::ops::Range<usize>| blanked[range].lines().count();
    text.lines().count() - test_items(&blanked).into_iter().map(lines).sum::<usize>()
}

/// Whether a line has a place to break: code without a literal, or a comment in words.
fn breakable(line: &str, code: &str) -> bool {
    let comment = line.trim_start();
    match comment.strip_prefix("//") {
        Some(text) => {
            !["://", " | ", "->"].iter().any(|mark| text.contains(mark)) && {
                let words = text.trim_start_matches(['/', '!']).trim_start();
                !words.contains("  ")
            }
        }
        None => code.trim_end() == line.trim_end(),
    }
}

/// A message for each function, file and line at `path` that is too long.
fn too_long(path: &str, text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let blanked = blanked(text);
    for function in functions(&blanked)
        .into_iter()
        .filter(|function| function.lines > FUNCTION)
    {
        let Function { name, line, lines } = function;
        out.push(format!(
            "{path}:{line}: {name} has {lines} lines, over {FUNCTION}: cut it by meaning"
        ));
    }
    // The file `tests.rs` of a room is its `mod tests`.
    let lines = lines_of_code(text);
    if lines > FILE && !path.ends_with("/tests.rs") {
        out.push(format!(
            "{path}: {lines} lines without tests, over {FILE}: cut it by meaning"
        ));
    }
    for (at, (line, code)) in text.lines().zip(blanked.lines()).enumerate() {
        let width = line.chars().count();
        if width > COLUMNS && breakable(line, code) {
            out.push(format!(
                "{path}:{}: {width} columns, over {COLUMNS}",
                at + 1
            ));
        }
    }
    out
}

#[test]
fn nothing_is_too_long() {
    let dirs = [
        "src",
        "tests/it",
        "fuzz/src",
        "fuzz/fuzz_targets",
        "examples",
    ];
    let files = dirs.into_iter().flat_map(|dir| files(dir, ".rs"));
    let found: Vec<String> = files
        .flat_map(|(path, text)| too_long(&path, &text))
        .collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn the_checker_measures_functions() {
    let text = concat!(
        "trait T {\n    fn declared(&self, a: [u8; 2]) -> u8;\n}\n",
        "/// fn comment() {\nfn outer(f: fn(u8) -> u8, g: impl Fn(u8)) -> [u8; { 2 }] {\n",
        "    let text = \"}\";\n    fn inner() {\n    }\n    let raw = r#\"\n fn quoted() {\n\"#;\n}\n",
        "const fn one() {}\n",
    );
    let blanked = blanked(text);
    let found: Vec<_> = functions(&blanked)
        .iter()
        .map(|f| (f.name, f.line, f.lines))
        .collect();
    assert_eq!(found, [("outer", 5, 8), ("inner", 7, 2), ("one", 13, 1)]);
}

#[test]
fn the_checker_sees_what_is_too_long() {
    let one = |text: &str| too_long("a.rs", text);
    let body = |lines: usize| format!("fn f() {{\n{}}}\n", "    g();\n".repeat(lines - 2));
    assert!(one(&body(FUNCTION)).is_empty());
    let long = one(&body(FUNCTION + 1));
    assert_eq!(long, ["a.rs:1: f has 81 lines, over 80: cut it by meaning"]);

    let file = |lines: usize| "use a::b;\n".repeat(lines);
    let tests = "#[cfg(test)]\nmod tests {\n    use a::b;\n}\n".repeat(100);
    assert!(one(&(file(FILE) + &tests)).is_empty());
    let long = one(&(file(FILE + 1) + &tests));
    assert_eq!(
        long,
        ["a.rs: 601 lines without tests, over 600: cut it by meaning"]
    );

    let wide = |end: &str| format!("{}{end}\n", "x".repeat(COLUMNS - 1));
    assert!(one(&wide(";")).is_empty());
    assert!(one(&wide("(\"a literal\")")).is_empty());
    assert_eq!(one(&wide("();")), ["a.rs:1: 102 columns, over 100"]);
    assert_eq!(
        one(&format!("// {}", wide(""))),
        ["a.rs:1: 102 columns, over 100"]
    );
}
