//! `goldsmith help`: commands, and what else has a name: keys of the configuration, boards, and
//! codes of findings.

use super::{Cli, print};
use crate::config;
use crate::doctor::CODES;
use crate::nearest::nearest;
use crate::problem::{Problem, Usage};
use clap::{Args, CommandFactory as _};
use std::fmt::Write as _;
use std::process::ExitCode;

/// Columns of a text.
const WIDTH: usize = 80;

/// Explain a command, a key of the configuration, a board or a finding
///
/// For example: goldsmith help convert, goldsmith help root.size, goldsmith help rootfs.edit,
/// goldsmith help qemux86-64, goldsmith help startup-acts
#[derive(Args, Debug)]
pub(super) struct HelpArgs {
    /// Command, key, board, or code of a finding of `doctor` or `verify`
    #[arg(value_name = "TOPIC")]
    topic: Vec<String>,
}

/// Runs the command.
pub(super) fn run(args: &HelpArgs) -> anyhow::Result<ExitCode> {
    print(&text(&args.topic)?)?;
    Ok(ExitCode::SUCCESS)
}

fn text(topic: &[String]) -> anyhow::Result<String> {
    if let Some(text) = command(topic) {
        return Ok(text);
    }
    let name = topic.join(" ");
    let bare = name.trim_matches(['[', ']', '`']);
    if let Some(text) = config::help(bare) {
        return Ok(wrapped(&text));
    }
    if let Some(text) = config::board(bare) {
        return Ok(format!("The built-in board {bare}:\n\n{text}"));
    }
    if let Some(code) = CODES.iter().find(|code| code.name == bare) {
        let text = format!(
            "{} ({}): {}.\n\nTo do: {}.\n",
            code.name, code.severity, code.meaning, code.remedy
        );
        return Ok(wrapped(&text));
    }
    let keys = config::key_names();
    let last = keys
        .iter()
        .filter(|key| key.rsplit('.').next() == Some(bare));
    let last: Vec<String> = last.map(|key| format!("`goldsmith help {key}`")).collect();
    if let Some((code, text)) = verify_findings().find(|(code, _)| *code == bare) {
        let also = match last.is_empty() {
            true => String::new(),
            false => format!("\nThe key: {}.\n", last.join(", ")),
        };
        let text = format!(
            "{code} (finding of verify): {text}.\n\n`...` stands for what differs from case to case. To do: an image that \
             goldsmith has just converted has no such finding, so find out what changed the image since, or convert it \
             again; in the image of another converter, correct what is named. docs/reliability.md says what is checked.\n{also}"
        );
        return Ok(wrapped(&text));
    }
    let problem = Problem::new(format!(
        "`{name}` is not a command, a key of the configuration, a board or the code of a finding"
    ));
    let commands = super::commands();
    let mut names: Vec<&str> = keys.iter().chain(&commands).map(String::as_str).collect();
    let codes = CODES.iter().map(|code| code.name);
    for name in config::boards()
        .chain(codes)
        .chain(verify_findings().map(|(code, _)| code))
    {
        names.push(name);
    }
    names.retain(|name| !name.is_empty());
    Err(Usage::from(
        problem.hint(match nearest(bare, names) {
            _ if !last.is_empty() => format!("there is {}", last.join(", ")),
            Some(near) => format!("did you mean `goldsmith help {near}`?"),
            None => {
                "`goldsmith help` lists the commands, docs/configuration.md the keys, `goldsmith \
                 boards` the boards"
                    .to_owned()
            }
        }),
    )
    .into())
}

/// The codes of findings of `verify`, each with what its messages say: the table of the page, which
/// is generated from the checks.
fn verify_findings() -> impl Iterator<Item = (&'static str, String)> {
    const PAGE: &str = include_str!("../../docs/troubleshooting.md");
    let (_, rows) = PAGE
        .split_once("## Findings of `verify`")
        .unwrap_or_default();
    let rows = rows.split("\n## ").next().unwrap_or_default().lines();
    rows.filter_map(|row| {
        let (code, text) = row.strip_prefix("| `")?.split_once("` | ")?;
        let text = text.strip_suffix(" |")?;
        Some((code, text.replace("&lt;", "<").replace("\\|", "|")))
    })
}

/// The help of a command; of the program itself without a topic.
fn command(topic: &[String]) -> Option<String> {
    let mut command = &Cli::command();
    for word in topic {
        command = command.find_subcommand(word)?;
    }
    let words = ["goldsmith"]
        .into_iter()
        .chain(topic.iter().map(String::as_str));
    let help = Cli::command().try_get_matches_from(words.chain(["--help"]));
    help.err().map(|help| help.to_string())
}

/// A text whose lines have at most [`WIDTH`] columns; those of a list keep their indentation.
fn wrapped(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let indent = if line.starts_with("- ") { "  " } else { "" };
        let mut column = 0;
        for word in line.split_whitespace() {
            let len = word.chars().count();
            if column > 0 && column + 1 + len > WIDTH {
                let _ = write!(out, "\n{indent}{word}");
                column = indent.len() + len;
            } else {
                let space = if column == 0 { "" } else { " " };
                let _ = write!(out, "{space}{word}");
                column += space.len() + len;
            }
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn help(topic: &str) -> Result<String, String> {
        let topic: Vec<String> = topic.split_whitespace().map(str::to_owned).collect();
        text(&topic).map_err(|error| error.to_string())
    }

    #[test]
    fn whatever_has_a_name_is_explained() {
        for (topic, expected) in [
            ("", "Usage: goldsmith [OPTIONS] <COMMAND>"),
            ("artifact show", "Usage: goldsmith artifact show"),
            ("root.size", "root.size\n\nThe size of the root filesystem"),
            ("[[rootfs.edit]]", "- rootfs.edit.replace: "),
            ("rootfs", "- rootfs.overlays: "),
            ("qemux86-64", "The built-in board qemux86-64:\n\n"),
            (
                "startup-acts",
                "startup-acts (error): something restarts the device",
            ),
            (
                "boot-panic",
                "boot-panic (finding of verify): panic=0: a kernel",
            ),
            (
                "device-type",
                "`device_type=<type>`; or the file is missing.",
            ),
            (
                "device-type",
                "The key: `goldsmith help board.device-type`.",
            ),
        ] {
            let text = help(topic).unwrap();
            assert!(text.contains(expected), "{topic}: {text}");
        }
        for (topic, expected) in [
            (
                "alignment",
                "hint: there is `goldsmith help storage.alignment`",
            ),
            ("rot.size", "hint: did you mean `goldsmith help root.size`?"),
            ("zzzzzzzz", "hint: `goldsmith help` lists the commands"),
        ] {
            let error = help(topic).unwrap_err();
            assert!(error.contains(expected), "{topic}: {error}");
        }
    }

    #[test]
    fn texts_fit_a_terminal() {
        for key in config::key_names() {
            let text = help(&key).unwrap();
            let fits = |line: &str| line.chars().count() <= WIDTH || !line.trim().contains(' ');
            assert!(text.lines().all(fits), "{key}: {text}");
        }
    }
}
