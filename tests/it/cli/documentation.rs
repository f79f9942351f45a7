//! The pages that are generated from the definitions of commands and boards.

use super::{run, stdout};
use crate::support::goldsmith;
use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn the_page_of_boards_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/boards.md");
    let page = fs::read_to_string(&path).unwrap();
    let (begin, end) = (
        "<!-- boards: generated, GOLDSMITH_BLESS=1 writes it anew -->\n",
        "<!-- end of boards -->\n",
    );
    let (before, rest) = page.split_once(begin).expect("the place of the table");
    let (found, after) = rest.split_once(end).expect("the end of the table");
    let table = goldsmith::cli::boards::table().unwrap() + "\n" + &goldsmith::cli::boards::proofs();
    if std::env::var_os("GOLDSMITH_BLESS").is_some() {
        fs::write(&path, [before, begin, &table, end, after].concat()).unwrap();
    } else {
        assert!(
            found == table,
            "docs/boards.md differs from the boards; run the tests with GOLDSMITH_BLESS=1"
        );
    }
}

#[test]
fn the_page_of_fleets_has_all_keys() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/fleet.md");
    let page = fs::read_to_string(&path).unwrap();
    let (begin, end) = ("<!-- begin keys -->\n", "<!-- end keys -->\n");
    let (before, rest) = page.split_once(begin).expect("the place of the table");
    let (found, after) = rest.split_once(end).expect("the end of the table");
    let table = goldsmith::config::fleet_keys();
    if std::env::var_os("GOLDSMITH_BLESS").is_some() {
        fs::write(&path, [before, begin, &table, end, after].concat()).unwrap();
    } else {
        assert!(
            found == table,
            "docs/fleet.md differs from the keys; run the tests with GOLDSMITH_BLESS=1"
        );
    }
}

#[test]
fn help_fits_a_terminal() {
    for command in goldsmith::cli::commands() {
        for flag in ["--help", "-h"] {
            let output = Command::new(goldsmith())
                .args(command.split_whitespace())
                .arg(flag)
                .env("COLUMNS", "200")
                .output()
                .unwrap();
            assert!(
                output.status.success() && output.stderr.is_empty(),
                "{command} {flag}"
            );
            for line in stdout(&output).lines() {
                assert!(line.chars().count() <= 80, "{command} {flag}: {line}");
            }
        }
    }
}

#[test]
fn the_page_of_commands_lists_every_command() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/commands.md");
    let page = fs::read_to_string(page).unwrap();
    let commands = goldsmith::cli::commands();
    assert!(commands.iter().any(|name| name == "artifact validate"));
    for command in commands.iter().filter(|name| !name.is_empty()) {
        let row = format!("| `{command}` | ");
        // A command with subcommands is listed by these.
        let group = commands
            .iter()
            .any(|other| other.starts_with(&format!("{command} ")));
        assert!(
            group || page.contains(&row),
            "docs/commands.md does not list `{command}`"
        );
    }
}

#[test]
fn the_manual_is_up_to_date() {
    let mut text = String::from(
        "# Manual\n\nThe output of `goldsmith COMMAND --help` for every command, generated from the definitions of the arguments.\nThe \
         configuration is documented in [configuration.md](configuration.md).\n",
    );
    for command in goldsmith::cli::commands() {
        let output = run(Path::new("."), &format!("{command} --help"));
        let help = stdout(&output)
            .lines()
            .map(|line| format!("{}\n", line.trim_end()))
            .collect::<String>();
        let title = format!("goldsmith {command}");
        text.push_str(&format!(
            "\n## {}\n\n```text\n{help}```\n",
            title.trim_end()
        ));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/manual.md");
    if std::env::var_os("GOLDSMITH_BLESS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == text,
        "docs/manual.md differs from the definitions; run the tests with GOLDSMITH_BLESS=1"
    );
}

#[test]
fn configurations_of_the_pages_are_accepted() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let scratch = crate::support::scratch();
    let dir = scratch.path();
    let (mut seen, mut wrong) = (0, Vec::new());
    for entry in fs::read_dir(docs).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|kind| kind != "md") {
            continue;
        }
        let page = fs::read_to_string(&path).unwrap();
        for block in page.split("```toml\n").skip(1) {
            let text = block.split("```").next().unwrap();
            // A fleet is a file of another kind.
            if text.contains("[all]\n") || text.contains("[all] ") {
                continue;
            }
            seen += 1;
            // So are the rules of `boot --check`.
            if path.ends_with("boot-check.md") {
                let error = goldsmith::rules::Rules::parse("rules.toml", text).err();
                wrong.extend(error.map(|error| format!("{}: {error:?}\n{text}", path.display())));
                continue;
            }
            super::config::write(dir, &[("device.toml", text)]);
            if let Err(error) = super::config::load_in(dir, &["device.toml"], &[]) {
                wrong.push(format!("{}: {error}\n{text}", path.display()));
            }
        }
    }
    assert!(seen > 25, "only {seen} configurations were found");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
