//! Reading Rust source without a parser: text with strings and comments blanked, items by their
//! braces.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::Path;

/// The repository.
pub(crate) fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files below `dir` (relative to the repository) whose name ends in `end`, by their path from
/// the repository. Build outputs, hidden files and downloaded inputs are left out.
pub(crate) fn files(dir: &str, end: &str) -> BTreeMap<String, String> {
    fn walk(path: &Path, name: &str, end: &str, out: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(path).unwrap() {
            let entry = entry.unwrap();
            let file = entry.file_name().into_string().unwrap();
            let below = format!("{name}/{file}");
            if file.starts_with('.') || ["target", "corpus", "artifacts"].contains(&file.as_str()) {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                walk(&entry.path(), &below, end, out);
            } else if file.ends_with(end)
                && let Ok(text) = fs::read_to_string(entry.path())
            {
                out.insert(below, text);
            }
        }
    }
    let mut out = BTreeMap::new();
    walk(&top().join(dir), dir, end, &mut out);
    assert!(!out.is_empty(), "{dir} has no file *{end}");
    out
}

/// The source with comments and the contents of literals replaced by spaces, byte for byte, so that
/// positions and lines stay and every brace left is code.
pub(crate) fn blanked(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_or_comment(bytes, at);
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    String::from_utf8(out).expect("whole literals and comments are blanked")
}

/// The end of the comment or literal that begins at `at`; `at` itself if none does.
fn literal_or_comment(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let in_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    if rest.starts_with(b"//") {
        return at + find(rest, b"\n").unwrap_or(rest.len());
    }
    if rest.starts_with(b"/*") {
        return at + block_comment(rest);
    }
    if rest[0] == b'"' {
        return at + 1 + quoted(&rest[1..], b'"');
    }
    if rest[0] == b'\'' {
        return at + character(rest);
    }
    if rest[0] == b'r' && (!in_word || is_prefix(bytes, at)) {
        return at + raw_string(rest);
    }
    at
}

/// Whether the `r` at `at` follows the `b` or `c` of `br"` or `cr"`.
fn is_prefix(bytes: &[u8], at: usize) -> bool {
    let before = at.checked_sub(2).map(|before| bytes[before]);
    matches!(bytes[at - 1], b'b' | b'c')
        && !before.is_some_and(|c| c.is_ascii_alphanumeric() || c == b'_')
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

/// The length of a block comment, nested ones included.
fn block_comment(text: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        if text[at..].starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if text[at..].starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    at
}

/// The length of the rest of a literal up to and with its closing quote.
fn quoted(text: &[u8], quote: u8) -> usize {
    let mut at = 0;
    while at < text.len() && text[at] != quote {
        at += if text[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(text.len())
}

/// The length of the character literal at the start of `text`; 0 for a lifetime.
fn character(text: &[u8]) -> usize {
    match text.get(1) {
        Some(b'\\') => 1 + quoted(&text[1..], b'\''),
        Some(first) => {
            let length = match first {
                0..0x80 => 1,
                0x80..0xe0 => 2,
                0xe0..0xf0 => 3,
                _ => 4,
            };
            if text.get(1 + length) == Some(&b'\'') {
                length + 2
            } else {
                0
            }
        }
        None => 0,
    }
}

/// The length of the raw string at the start of `text`; 0 if there is none.
fn raw_string(text: &[u8]) -> usize {
    let hashes = text[1..].iter().take_while(|c| **c == b'#').count();
    if text.get(1 + hashes) != Some(&b'"') {
        return 0;
    }
    let end = [&b"\""[..], &vec![b'#'; hashes]].concat();
    let body = 2 + hashes;
    find(&text[body..], &end).map_or(text.len(), |at| body + at + end.len())
}

/// The position after the brace that closes the one at `open` of blanked source.
pub(crate) fn closing(blanked: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in blanked.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    blanked.len()
}

/// The items of blanked source that only tests have: from `#[cfg(test)]` to the end of the item.
pub(crate) fn test_items(blanked: &str) -> Vec<Range<usize>> {
    let mut out: Vec<Range<usize>> = Vec::new();
    for (start, mark) in blanked.match_indices("#[cfg(test)]") {
        if out.last().is_some_and(|last| start < last.end) {
            continue;
        }
        let end = item_end(blanked, start + mark.len());
        out.push(start..end);
    }
    out
}

/// The end of the item that begins after `at`: its semicolon or closing brace.
fn item_end(blanked: &str, at: usize) -> usize {
    let mut nested = 0_usize;
    for (at, byte) in blanked.bytes().enumerate().skip(at) {
        match byte {
            b'(' | b'[' => nested += 1,
            b')' | b']' => nested = nested.saturating_sub(1),
            b';' if nested == 0 => return at + 1,
            b'{' if nested == 0 => {
                // `use a::{b, c};` goes on to its semicolon.
                let end = closing(blanked, at);
                let semicolon = blanked[end..].starts_with(';');
                return end + usize::from(semicolon);
            }
            _ => {}
        }
    }
    blanked.len()
}

/// Blanked source without the items that only tests have; positions stay.
pub(crate) fn code(text: &str) -> String {
    let blanked = blanked(text);
    let mut out = blanked.clone().into_bytes();
    for range in test_items(&blanked) {
        for byte in &mut out[range] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    }
    String::from_utf8(out).expect("only whole characters are blanked")
}

/// Whether `c` may be part of an identifier.
pub(crate) fn in_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[test]
fn literals_and_comments_are_blanked() {
    let text = concat!(
        "let a = \"{ \\\" } // no\"; // {\n",
        "let b = r#\"\" { \"#; /* { /* } */ { */ let c = '{'; let d = '\\''; let e: &'a str;\n",
        "let f = br\"{\"; let g = b'}'; let r = for_r\"; let h = 'é';\n",
    );
    let expected = concat!(
        "let a =               ;     \n",
        "let b =          ;                   let c =    ; let d =     ; let e: &'a str;\n",
        "let f = b    ; let g = b   ; let r = for_r ",
    );
    let found = blanked(text);
    assert_eq!(found.len(), text.len());
    assert_eq!(found.lines().count(), 3);
    assert!(found.starts_with(expected), "{found}");
}

#[test]
fn only_what_tests_have_is_left_out() {
    let text = "fn a() { \"}\" }\n#[cfg(test)]\nuse x::{y, z};\n#[cfg(test)]\n\
                #[allow(clippy::indexing_slicing)]\nmod tests {\n    fn b() { if c {} }\n}\nfn d() {}\n";
    let left = code(text);
    assert!(left.contains("fn a") && left.contains("fn d"), "{left}");
    assert!(!left.contains("fn b") && !left.contains('y'), "{left}");
    assert_eq!(left.lines().count(), text.lines().count());
}

/// The string literals of a source text with their places, as the compiler reads them but for
/// escapes of characters by their number.
pub(crate) fn strings(text: &str) -> Vec<(Range<usize>, String)> {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let end = literal_or_comment(bytes, at);
        let quoted = text.get(at..end).filter(|word| word.ends_with(['"', '#']));
        if let Some(word) = quoted.filter(|word| word.starts_with(['"', 'r'])) {
            out.push((at..end, unquoted(word)));
        }
        at = end.max(at + 1);
    }
    out
}

/// What a string literal means.
fn unquoted(literal: &str) -> String {
    let inner = literal.trim_start_matches('r').trim_matches('#');
    let inner = inner.strip_prefix('"').unwrap_or(inner);
    let inner = inner.strip_suffix('"').unwrap_or(inner);
    if literal.starts_with('r') {
        return inner.to_owned();
    }
    let mut out = String::new();
    let mut chars = inner.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some('\n')) => while chars.next_if(|c| c.is_whitespace()).is_some() {},
            ('\\', Some(_)) => match chars.next() {
                Some('n' | 't') => out.push(' '),
                other => out.extend(other),
            },
            _ => out.push(c),
        }
    }
    out
}
