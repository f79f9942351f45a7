//! Debconf as scripts use it: answers are those of the image's database, else the defaults
//! of the templates.

use super::super::script_host::ScriptHost;
use super::arguments::CommandResult;
use crate::deb::{Paragraph, stanzas};
use crate::shell::Variables;
use crate::tree::edit::EditError;

const DATABASE: &str = "/var/cache/debconf/config.dat";

/// `. confmodule` and the `db_` functions that it gives.
pub(super) fn run(
    host: &mut ScriptHost<'_, '_>,
    name: &str,
    args: &[&str],
    variables: &mut Variables,
) -> CommandResult {
    if name == "." {
        let confmodule = args
            .first()
            .is_some_and(|path| path.ends_with("/debconf/confmodule"));
        return Ok(confmodule.then_some(0));
    }
    Ok(match (name, args) {
        ("db_get", [question]) => {
            let answer = answer(host, question)?;
            let status = if answer.is_some() { 0 } else { 10 };
            variables.insert("RET".into(), answer.unwrap_or_default());
            Some(status)
        }
        ("db_set", [question, value]) => {
            host.answers
                .insert((*question).to_owned(), (*value).to_owned());
            Some(0)
        }
        ("db_reset", [question]) => {
            host.answers.remove(*question);
            Some(0)
        }
        ("db_fget", [question, flag]) => {
            let set = host.answers.get(&format!("{question} {flag}")).cloned();
            let set = match set {
                Some(set) => set,
                None => flags(host, question)?
                    .iter()
                    .any(|set| set == flag)
                    .to_string(),
            };
            variables.insert("RET".into(), set);
            Some(0)
        }
        ("db_fset", [question, flag, value]) => {
            let (name, value) = (format!("{question} {flag}"), (*value).to_owned());
            host.answers.insert(name, value);
            Some(0)
        }
        ("db_register", [template, question]) => {
            if let Some(default) = answer(host, template)? {
                host.answers
                    .entry((*question).to_owned())
                    .or_insert(default);
            }
            Some(0)
        }
        // As with the noninteractive frontend, questions are skipped.
        ("db_input", _) => Some(30),
        (
            "db_go" | "db_stop" | "db_title" | "db_settitle" | "db_capb" | "db_version"
            | "db_subst" | "db_purge" | "db_unregister" | "db_beginblock" | "db_endblock"
            | "db_progress" | "db_info",
            _,
        ) => Some(0),
        _ => None,
    })
}

/// The flags of a question in the image's database.
fn flags(host: &ScriptHost<'_, '_>, question: &str) -> Result<Vec<String>, EditError> {
    let database = host.text(DATABASE)?.unwrap_or_default();
    let find = |raw: &[u8]| {
        let read = Paragraph::parse(raw).ok()?;
        (read.text("Name") == question).then(|| read.text("Flags").to_owned())
    };
    let found = stanzas(database.as_bytes()).into_iter().find_map(find);
    let found = found.unwrap_or_default();
    Ok(found
        .split(',')
        .map(|flag| flag.trim().to_owned())
        .collect())
}

fn answer(host: &ScriptHost<'_, '_>, question: &str) -> Result<Option<String>, EditError> {
    if let Some(answer) = host.answers.get(question) {
        return Ok(Some(answer.clone()));
    }
    let database = host.text(DATABASE)?.unwrap_or_default();
    let field = |bytes: &[u8], key: &str, value: &str| {
        let find = |raw: &[u8]| {
            let read = Paragraph::parse(raw).ok()?;
            (read.text(key) == question).then(|| read.get(value).map(str::to_owned))
        };
        stanzas(bytes).into_iter().find_map(find)
    };
    let known = field(database.as_bytes(), "Name", "Value").flatten();
    Ok(known.or_else(|| {
        field(&host.package.templates, "Template", "Default").map(Option::unwrap_or_default)
    }))
}
