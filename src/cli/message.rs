//! Error messages: the chain of causes as one sentence, then the hints, each on its own line.

use crate::config::{Config, OriginKind};
use crate::fs::ext4;
use crate::image::{output, source};
use crate::problem::{Problem, Problems, Usage};
use serde::Serialize;
use std::borrow::Cow;
use std::error::Error;
use std::io;

/// The exit code for an error: 2 if the command line itself is wrong, otherwise 1.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if error.chain().any(|cause| cause.is::<Usage>()) {
        2
    } else {
        1
    }
}

/// The text for standard error.
#[must_use]
pub fn render(error: &anyhow::Error) -> String {
    let (context, problems) = of_error(error);
    problems
        .iter()
        .map(|problem| message(&context, problem))
        .collect()
}

/// The problems of an error, each with the context of the error in its message.
#[must_use]
pub fn problems(error: &anyhow::Error) -> Vec<Problem> {
    let (context, problems) = of_error(error);
    let whole = |problem: Problem| Problem {
        message: without_number(&[&context[..], &[problem.message]].concat().join(": "))
            .into_owned(),
        hint: problem.hint,
    };
    problems.into_iter().map(whole).collect()
}

/// What standard output gets with `--json` from a command that failed.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(super) struct Failure {
    /// The problems, in the order of the messages on standard error.
    errors: Vec<FailureProblem>,
    /// The exit code: 2 for a wrong command line, else 1.
    exit_code: u8,
}

/// A problem that made a command fail.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct FailureProblem {
    /// What is wrong.
    message: String,
    /// The way out, if one is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// The object that standard output gets with `--json` for `error`.
#[must_use]
pub fn json(error: &anyhow::Error) -> String {
    object(problems(error), exit_code(error))
}

/// The object of [`json`] for `problems`.
pub(super) fn object(problems: Vec<Problem>, exit_code: u8) -> String {
    let errors = problems.into_iter().map(|problem| FailureProblem {
        message: problem.message,
        hint: problem.hint,
    });
    let failure = Failure {
        errors: errors.collect(),
        exit_code,
    };
    let text = serde_json::to_string_pretty(&failure).unwrap_or_default();
    format!("{text}\n")
}

/// The error with the place of each key that its messages name, if a file of the user sets it: a
/// value may come from a file that nobody has in mind.
#[must_use]
pub fn with_places(error: anyhow::Error, config: &Config) -> anyhow::Error {
    let found = problems(&error);
    let placed: Vec<Problem> = found.iter().map(|one| placed(one, config)).collect();
    if placed == found {
        return error;
    }
    match exit_code(&error) {
        2 => Usage(Problems(placed)).into(),
        _ => Problems(placed).into(),
    }
}

fn placed(problem: &Problem, config: &Config) -> Problem {
    let message = &problem.message;
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._".contains(c);
    let words = message.split(|c: char| !is_part(c));
    let mut places: Vec<String> = Vec::new();
    for key in words
        .map(|word| word.trim_matches('.'))
        .filter(|word| word.contains('.'))
    {
        let Some(location) = config.location(key) else {
            continue;
        };
        let place = format!("{key}: {location}");
        let named = message.contains(&format!("{}:", location.origin.name));
        let known = named || places.contains(&place);
        if location.origin.kind == OriginKind::File && !known {
            places.push(place);
        }
    }
    match places.is_empty() {
        true => problem.clone(),
        false => Problem {
            message: format!("{message} ({})", places.join(", ")),
            hint: problem.hint.clone(),
        },
    }
}

/// The context of an error, and its problems.
fn of_error(error: &anyhow::Error) -> (Vec<String>, Vec<Problem>) {
    let causes: Vec<&(dyn Error + 'static)> = error.chain().collect();
    let mut context: Vec<String> = Vec::new();
    let hint = causes.iter().find_map(|cause| hint(*cause));
    for cause in causes {
        let problems = cause
            .downcast_ref::<Problems>()
            .or_else(|| cause.downcast_ref::<Usage>().map(|usage| &usage.0))
            .map(|problems| problems.0.clone())
            .or_else(|| {
                cause
                    .downcast_ref::<Problem>()
                    .map(|problem| vec![problem.clone()])
            });
        if let Some(problems) = problems {
            return (context, problems);
        }
        let text = cause.to_string();
        // Some errors repeat their cause, and some causes repeat the context.
        match context.last() {
            Some(last) if last.ends_with(&text) => {}
            Some(last) if text.starts_with(last.as_str()) => {
                drop(context.splice(context.len() - 1.., [text]))
            }
            _ => context.push(text),
        }
    }
    let problem = Problem {
        message: context.pop().unwrap_or_default(),
        hint,
    };
    (context, vec![problem])
}

/// The hint of a format's error, which may be wrapped in an I/O error.
fn hint(cause: &(dyn Error + 'static)) -> Option<String> {
    let inner = cause
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    if let Some(inner) = inner {
        return hint(inner);
    }
    let found = cause
        .downcast_ref::<source::SourceError>()
        .and_then(source::SourceError::hint);
    let found = found.or_else(|| {
        cause
            .downcast_ref::<ext4::read::Error>()
            .and_then(ext4::read::Error::hint)
    });
    let found = found.or_else(|| {
        cause
            .downcast_ref::<output::BlockMapError>()
            .and_then(output::BlockMapError::hint)
    });
    found.map(str::to_owned)
}

/// One error as text: its context and message on a line, its hint on another.
fn message(context: &[String], problem: &Problem) -> String {
    let mut out = String::from("error: ");
    for part in context {
        out.push_str(part);
        out.push_str(": ");
    }
    out.push_str(&without_number(&problem.message));
    out.push('\n');
    if let Some(hint) = &problem.hint {
        out.push_str(&format!("hint: {hint}\n"));
    }
    out
}

/// Rust's text for an operating system error, without the error number that it appends.
fn without_number(text: &str) -> Cow<'_, str> {
    let Some((before, rest)) = text.split_once(" (os error ") else {
        return Cow::Borrowed(text);
    };
    match rest.split_once(')') {
        Some((number, after)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            Cow::Owned(format!("{before}{after}"))
        }
        _ => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn chains_read_as_one_sentence_and_hints_stand_alone() {
        let error = Err::<(), _>(std::io::Error::other("extent depth 7 exceeds 5"))
            .context("reading partition 2")
            .unwrap_err();
        assert_eq!(
            render(&error),
            "error: reading partition 2: extent depth 7 exceeds 5\n"
        );
        let problems = Problems(vec![Problem::new("a").hint("do b"), Problem::new("c")]);
        let error = Err::<(), _>(problems.clone())
            .context("planning")
            .unwrap_err();
        assert_eq!(
            render(&error),
            "error: planning: a\nhint: do b\nerror: planning: c\n"
        );
        assert_eq!(exit_code(&error), 1);
        let missing = std::io::Error::from_raw_os_error(2);
        let error = anyhow::anyhow!("opening a: {missing}").context("opening a");
        assert_eq!(
            render(&error),
            "error: opening a: No such file or directory\n"
        );
        assert_eq!(exit_code(&Usage(problems).into()), 2);
    }

    #[test]
    fn formats_give_hints_too() {
        let error = || source::SourceError::Directory("x".into());
        let text = "error: opening x: x is a directory, not an image\nhint: give the image file\n";
        assert_eq!(
            render(&anyhow::Error::new(error()).context("opening x")),
            text
        );
        assert_eq!(
            render(&anyhow::Error::new(io::Error::other(error())).context("opening x")),
            text
        );
    }
}
