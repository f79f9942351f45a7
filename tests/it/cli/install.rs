//! `goldsmith completions` and `goldsmith man`, judged by bash and by the reader of manual pages.

use super::{run, stderr, stdout};
use crate::support::{must, scratch, tool};
use std::fs;

#[test]
fn bash_completes_commands_and_options() {
    let scratch = scratch();
    let dir = scratch.path();
    let made = run(dir, "completions bash");
    assert!(made.status.success(), "{}", stderr(&made));
    fs::write(dir.join("goldsmith.bash"), stdout(&made)).unwrap();
    let complete = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let script = format!(
            "set -e; source \"$0\"; COMP_WORDS=({line}); COMP_CWORD={}; COMP_LINE='{line}'; COMP_POINT={}; \
             _goldsmith goldsmith '{}' '{}' || true; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words.len() - 1,
            line.len(),
            words.last().unwrap(),
            words[words.len() - 2],
        );
        must("bash", &[&"-c", &script, &dir.join("goldsmith.bash")])
    };
    assert_eq!(complete("goldsmith conv").trim(), "convert");
    let options = complete("goldsmith convert --out");
    assert_eq!(options.trim(), "--output-dir");
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        let made = run(dir, &format!("completions {shell}"));
        assert!(stdout(&made).contains("artifact"), "{shell}");
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let scratch = scratch();
    let dir = scratch.path();
    let made = run(dir, "man pages/man1");
    assert!(made.status.success(), "{}", stderr(&made));
    let mut expected: Vec<String> = goldsmith::cli::commands()
        .into_iter()
        .map(|command| {
            let name = format!("goldsmith {command}").trim().replace(' ', "-");
            format!("pages/man1/{name}.1")
        })
        .collect();
    let mut found: Vec<String> = stdout(&made).lines().map(str::to_owned).collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
    assert_eq!(
        stdout(&run(dir, "man pages/man1")),
        stdout(&made),
        "a second time"
    );
    let Some(man) = tool("man") else { return };
    for path in &found {
        let page = dir.join(path);
        let text = must(&man, &[&"--warnings", &"-l", &page]);
        assert!(
            text.contains("NAME") && text.contains("SYNOPSIS"),
            "{path}: {text}"
        );
    }
}
