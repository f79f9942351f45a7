//! What is shown on a real terminal: `script` of util-linux makes a pseudo-terminal.

use super::messages::workplace;
use crate::support::{goldsmith, tool};
use std::path::Path;
use std::process::{Command, Stdio};

/// What goldsmith shows on a terminal of this kind and of this many columns.
fn shown(dir: &Path, kind: &str, columns: usize, line: &str) -> Option<String> {
    let script = tool("script")?;
    let command = format!(
        "stty cols {columns} rows 24; exec '{}' {line}",
        goldsmith().display()
    );
    let output = Command::new(script)
        .args(["-qec", &command, "/dev/null"])
        .env("TERM", kind)
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR")
        .stdin(Stdio::null())
        .current_dir(dir)
        .output()
        .unwrap();
    Some(
        String::from_utf8(output.stdout)
            .unwrap()
            .replace("\r\n", "\n"),
    )
}

/// The text without the sequences that set colours.
fn bare(text: &str) -> String {
    let mut pieces = text.split('\x1b');
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        out.push_str(piece.split_once('m').expect("a colour").1);
    }
    out
}

const PLAN: &str = "plan -q -c qemux86-64 -s client.required=false -n r1 golden.img";

#[test]
fn lines_break_between_words_at_the_width_of_the_terminal() {
    let Some(dir) = workplace() else { return };
    let at = dir.path();
    for columns in [50, 80] {
        let Some(text) = shown(at, "xterm", columns, PLAN) else {
            return;
        };
        assert!(text.contains("Nothing is refused: "), "{text}");
        let mut broken = 0;
        for line in text.lines() {
            // Only a word that is longer itself may go over the edge.
            let is_word = !line.trim_start().contains(' ');
            assert!(
                line.chars().count() <= columns || is_word,
                "{columns}: {line}"
            );
            broken += usize::from(line.starts_with("    "));
        }
        assert!(broken > 5, "{text}");
        // Nothing but blanks and line ends was changed.
        let piped = super::stdout(&super::run(at, PLAN));
        let words = |text: &str| -> Vec<String> {
            text.split_whitespace().map(ToOwned::to_owned).collect()
        };
        assert_eq!(words(&text), words(&piped));
        assert!(piped.lines().any(|line| line.chars().count() > 80));
    }
}

#[test]
fn messages_are_coloured_and_hang_below_their_first_word() {
    let Some(dir) = workplace() else { return };
    let at = dir.path();
    let line = "plan -q -c qemux86-64 -s server.url=hosted.example.org golden.img";
    let Some(text) = shown(at, "xterm", 40, line) else {
        return;
    };
    assert!(
        text.starts_with("\x1b[31m\x1b[1merror:\x1b[0m "),
        "{text:?}"
    );
    assert_eq!(
        bare(&text),
        "error: --set server.url:\n       `hosted.example.org` is not a\n       URL: did you mean\n       \
         `https://hosted.example.org`?\n"
    );
    // What is not a terminal of that kind gets plain lines.
    let whole = "error: --set server.url: `hosted.example.org` is not a URL: did you mean `https://hosted.example.org`?\n";
    assert_eq!(shown(at, "dumb", 40, line).as_deref(), Some(whole));
    assert_eq!(super::stderr(&super::run(at, line)), whole);
}
