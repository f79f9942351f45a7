//! Exit codes follow one rule, with every command: 0 for what is done, 1 for what is refused or
//! found to be wrong, 2 for a wrong command line.

use super::messages::workplace;
use super::{run, stderr, stdout};
use crate::support::goldsmith;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// What a command does with three command lines. Where one is empty, no such line exists.
struct Row {
    command: &'static str,
    /// Ends with 0.
    done: &'static str,
    /// Ends with 1, and says why on standard error or in its result.
    refused: &'static str,
    /// Ends with 2.
    wrong: &'static str,
}

const fn row(
    command: &'static str,
    done: &'static str,
    refused: &'static str,
    wrong: &'static str,
) -> Row {
    Row {
        command,
        done,
        refused,
        wrong,
    }
}

/// Options that convert the golden image of the tests.
const SMALL: &str =
    "-q -c qemux86-64 -s client.required=false -s storage.size=256MiB -s data.size=16MiB";

/// All commands. `SMALL` stands for [`SMALL`].
const ROWS: [Row; 28] = [
    row("", "--version", "", "--nonsense"),
    row("init", "init -q golden.img", "init golden.img", "init"),
    row("check", "check -c qemux86-64", "check -c bad.toml", "check"),
    row(
        "plan",
        "plan SMALL golden.img",
        "plan SMALL --json -s artifact.key=none golden.img",
        "plan --json --edits golden.img",
    ),
    row(
        "convert",
        "convert SMALL -n r1 golden.img",
        "convert SMALL --json golden.img",
        "convert SMALL --json -j 0 -n r1 golden.img",
    ),
    row(
        "flash",
        "flash -q -y deploy/golden-qemux86-64-r1.img device",
        "flash -q -y none.img device",
        "flash deploy/golden-qemux86-64-r1.img device",
    ),
    row("fleet", "fleet --help", "", "fleet"),
    row(
        "fleet convert",
        "",
        "fleet convert -q --json fleet.toml",
        "fleet convert --json",
    ),
    row(
        "fleet plan",
        "",
        "fleet plan fleet.toml",
        "fleet plan --nonsense fleet.toml",
    ),
    row("fleet run", "", "", "fleet run fleet.toml"),
    row(
        "lock",
        "",
        "lock -c qemux86-64 golden.img",
        "lock golden.img",
    ),
    row("fetch", "", "fetch -c qemux86-64", "fetch -j 0 -c a"),
    row("doctor", "", "doctor --json none.img", "doctor --json"),
    row(
        "inspect",
        "inspect golden.img",
        "inspect --json none.img",
        "inspect --json",
    ),
    row(
        "ls",
        "ls golden.img",
        "ls --json golden.img:/none",
        "ls --json",
    ),
    row(
        "cat",
        "cat golden.img:/etc/os-release",
        "cat golden.img:/none",
        "cat",
    ),
    row(
        "extract",
        "extract golden.img:/etc/os-release out",
        "extract golden.img:/none",
        "extract",
    ),
    row(
        "diff",
        "diff golden.img golden.img",
        "diff --json golden.img none.img",
        "diff --json golden.img",
    ),
    row(
        "boot",
        "",
        "boot none.img",
        "boot --memory nonsense golden.img",
    ),
    row(
        "verify",
        "verify deploy/golden-qemux86-64-r1.img",
        "verify --json none.img",
        "verify --json --key a none.img",
    ),
    row("artifact", "artifact --help", "", "artifact"),
    row(
        "artifact show",
        "artifact show deploy/golden-qemux86-64-r1.mender",
        "artifact show --json golden.img",
        "artifact show --json",
    ),
    row(
        "artifact validate",
        "artifact validate deploy/golden-qemux86-64-r1.mender",
        "artifact validate --json none.mender",
        "artifact validate --json --for-client 5.0 --architecture z80 deploy/golden-qemux86-64-r1.mender",
    ),
    row("boards", "boards --json", "", "boards --json --nonsense"),
    row("migrate", "migrate -q empty", "migrate none", "migrate"),
    row(
        "completions",
        "completions bash",
        "",
        "completions nonsense",
    ),
    row("man", "man pages", "man golden.img/pages", "man"),
    row("help", "help root.size", "", "help zzzzzzzz"),
];

#[test]
fn one_rule_for_all_commands() {
    let Some(dir) = workplace() else { return };
    let at = dir.path();
    fs::write(at.join("empty"), "").unwrap();
    fs::write(at.join("fleet.toml"), "[[board]]\nnam = \"x\"\n").unwrap();
    let device = fs::File::create(at.join("device")).unwrap();
    device.set_len(256 << 20).unwrap();
    for command in goldsmith::cli::commands() {
        let known = ROWS.iter().any(|row| row.command == command);
        assert!(known, "{command}: no row says how it ends");
    }
    for row in ROWS {
        for (line, code) in [(row.done, 0), (row.refused, 1), (row.wrong, 2)] {
            if line.is_empty() {
                continue;
            }
            let line = line.replace("SMALL", SMALL);
            let output = run(at, &line);
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(code), "{line}: {said}");
            let text = stdout(&output);
            if code == 0 {
                assert!(!said.contains("error:"), "{line}: {said}");
            } else {
                assert!(
                    said.contains("error:") || said.contains("Usage:"),
                    "{line}: {said}"
                );
                tells(&line, code, &text);
            }
        }
    }
}

/// Standard output of a failure: an object with `--json`, otherwise nothing.
fn tells(line: &str, code: i32, text: &str) {
    if !line.contains("--json") {
        assert_eq!(text, "", "{line}");
        return;
    }
    let object: serde_json::Value = serde_json::from_str(text).expect(line);
    assert_eq!(object["exit-code"], code, "{line}");
    let message = object["errors"][0]["message"].as_str().expect(line);
    assert!(
        !message.is_empty() && !message.contains('\n'),
        "{line}: {message}"
    );
}

/// The word `--json` that is not the option is none.
#[test]
fn the_option_is_not_a_word_that_looks_like_it() {
    let here = Path::new(".");
    for (line, code) in [
        ("inspect -- --json", 1),
        ("cat --json", 2),
        ("inspect -- --json x", 2),
    ] {
        let output = run(here, line);
        assert_eq!(output.status.code(), Some(code), "{line}");
        assert_eq!(stdout(&output), "", "{line}");
    }
}

#[test]
fn output_that_cannot_be_written_is_a_failure() {
    for argument in ["boards", "--version", "--help"] {
        let Ok(full) = fs::OpenOptions::new().write(true).open("/dev/full") else {
            return;
        };
        let output = Command::new(goldsmith())
            .arg(argument)
            .stdin(Stdio::null())
            .stdout(full)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{argument}");
        assert_eq!(
            stderr(&output),
            "error: writing to standard output: No space left on device\n",
            "{argument}"
        );
    }
}
