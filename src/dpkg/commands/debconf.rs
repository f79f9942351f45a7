//! Debconf as far as scripts ask it: answers are those of the image's database, else the defaults
//! of the templates.

use crate::deb::{Paragraph, stanzas};
use crate::shell::Shell;

const DATABASE: &str = "/var/cache/debconf/config.dat";

/// `. confmodule` and the `db_` functions that it gives.
pub(super) fn run(shell: &mut Shell<'_, '_, '_>, name: &str, args: &[&str]) -> Option<i32> {
    if name == "." {
        let confmodule = args
            .first()
            .is_some_and(|path| path.ends_with("/debconf/confmodule"));
        return confmodule.then_some(0);
    }
    match (name, args) {
        ("db_get", [question]) => {
            let answer = answer(shell, question);
            let status = if answer.is_some() { 0 } else { 10 };
            shell
                .variables
                .insert("RET".into(), answer.unwrap_or_default());
            Some(status)
        }
        ("db_set", [question, value]) => {
            shell
                .world
                .answers
                .insert((*question).to_owned(), (*value).to_owned());
            Some(0)
        }
        // Nobody is there to be asked: a question is passed over, as by the noninteractive
        // frontend.
        ("db_input", _) => Some(30),
        (
            "db_go" | "db_stop" | "db_title" | "db_settitle" | "db_capb" | "db_version" | "db_fset"
            | "db_subst" | "db_purge" | "db_unregister" | "db_register" | "db_reset"
            | "db_beginblock" | "db_endblock" | "db_progress" | "db_info",
            _,
        ) => Some(0),
        _ => None,
    }
}

fn answer(shell: &Shell<'_, '_, '_>, question: &str) -> Option<String> {
    if let Some(answer) = shell.world.answers.get(question) {
        return Some(answer.clone());
    }
    let database = shell
        .world
        .text(DATABASE)
        .ok()
        .flatten()
        .unwrap_or_default();
    let field = |bytes: &[u8], key: &str, value: &str| {
        let find = |raw: &[u8]| {
            let read = Paragraph::parse(raw).ok()?;
            (read.text(key) == question).then(|| read.get(value).map(str::to_owned))
        };
        stanzas(bytes).into_iter().find_map(find)
    };
    let known = field(database.as_bytes(), "Name", "Value").flatten();
    known.or_else(|| {
        field(&shell.world.package.templates, "Template", "Default").map(Option::unwrap_or_default)
    })
}
