//! The tables as Markdown, for `docs/from-mender-convert.md`.

use super::{BOARD_FILES, HOOKS, OPTIONS, Rule, SPECIAL_FUNCTIONS, TOPICS, Variable};
use std::fmt::Write as _;

/// Text within the cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// `name` as code; nothing for nothing.
fn code(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!("`{}`", cell(text))
    }
}

/// What becomes of a variable, as a cell.
fn becomes(variable: &Variable) -> String {
    match &variable.rule {
        Rule::Automatic => "automatic".to_owned(),
        Rule::Nothing => "none".to_owned(),
        rule => {
            let keys: Vec<String> = rule.keys().into_iter().map(code).collect();
            keys.join(", ")
        }
    }
}

/// The form of the value and the note, as a cell.
fn remarks(variable: &Variable) -> String {
    let form = variable.rule.form();
    let parts = [form.as_deref().unwrap_or_default(), variable.note];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    cell(&parts.join("; "))
}

/// A long default, shortened for the table.
fn default(variable: &Variable) -> String {
    let text = variable.default.unwrap_or_default();
    if text.len() > 40 {
        "an address or a commit".to_owned()
    } else {
        code(text)
    }
}

/// All tables.
#[must_use]
pub fn page() -> String {
    let mut out =
        String::from("### Commands and options\n\n| mender-convert | goldsmith |\n| --- | --- |\n");
    for option in OPTIONS {
        let _ = writeln!(out, "| `{}` | {} |", option.name, cell(option.instead));
    }
    for topic in TOPICS {
        let _ = writeln!(
            out,
            "\n### {}\n\n| variable | default | key | value, remarks |\n| --- | --- | --- | --- |",
            topic.title
        );
        for variable in topic.variables {
            let _ = writeln!(
                out,
                "| `{}` | {} | {} | {} |",
                variable.name,
                default(variable),
                becomes(variable),
                remarks(variable)
            );
        }
    }
    out.push_str(
        "\n### Hooks and functions\n\n| list | function | instead | remarks |\n| --- | --- | --- | --- |\n",
    );
    for hook in HOOKS {
        let _ = writeln!(
            out,
            "| `{}` | `{}` | {} | {} |",
            hook.array,
            hook.function,
            cell(&hook.instead()),
            cell(hook.note)
        );
    }
    for function in SPECIAL_FUNCTIONS {
        let _ = writeln!(out, "| | `{}` | | {} |", function.name, cell(function.note));
    }
    out.push_str(
        "\n### Board configurations\n\n| file below `configs` | board | device type | remarks |\n| --- | --- | --- | --- |\n",
    );
    for file in BOARD_FILES {
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {} |",
            file.name,
            code(file.board),
            code(file.device_type),
            cell(file.note)
        );
    }
    out
}
