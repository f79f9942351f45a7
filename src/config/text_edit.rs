//! What is wrong with an entry of `[[rootfs.edit]]`: keys that exclude or need each other, and
//! names that no file could have.

use super::edits::TextEdit;
use super::words::AssignmentStyle;

/// The keys of an entry that are wrong, each with the reason.
pub(super) fn wrong(edit: &TextEdit) -> Vec<(&'static str, String)> {
    let mut wrong = Wrong(Vec::new());
    let kinds = [
        edit.replace.is_some(),
        edit.append.is_some(),
        edit.set.is_some(),
    ];
    let count = kinds.iter().filter(|kind| **kind).count();
    wrong.when(
        count != 1,
        "path",
        "set one of `replace`, `append` and `set`",
    );
    if count == 1 {
        combined(edit, &mut wrong);
        assignment(edit, &mut wrong);
        secret(edit, &mut wrong);
    }
    wrong.0
}

struct Wrong(Vec<(&'static str, String)>);

impl Wrong {
    fn when(&mut self, is_wrong: bool, key: &'static str, what: &str) {
        if is_wrong {
            self.0.push((key, what.to_owned()));
        }
    }
}

/// Keys that go with `replace` or `append`.
fn combined(edit: &TextEdit, wrong: &mut Wrong) {
    let (replaces, sets) = (edit.replace.is_some(), edit.set.is_some());
    let is_empty = |text: &Option<String>| text.as_ref().is_some_and(String::is_empty);
    wrong.when(
        is_empty(&edit.replace),
        "replace",
        "an empty text is everywhere",
    );
    wrong.when(is_empty(&edit.append), "append", "an empty line");
    wrong.when(
        replaces && edit.with.is_none(),
        "replace",
        "`with` is missing: the text instead of it, or \"\" to delete it",
    );
    let only = "has no effect without `replace`";
    wrong.when(!replaces && edit.with.is_some(), "with", only);
    wrong.when(!replaces && edit.places.is_some(), "places", only);
    let only = "has no effect without `set`";
    wrong.when(sets && edit.value.is_none(), "set", "`value` is missing");
    wrong.when(!sets && edit.value.is_some(), "value", only);
    wrong.when(!sets && edit.section.is_some(), "section", only);
    wrong.when(
        edit.create && (replaces || !edit.path.is_literal()),
        "create",
        "needs `append` or `set`, and a path without `*` and `?`",
    );
}

/// The key, section and value of `set`.
fn assignment(edit: &TextEdit, wrong: &mut Wrong) {
    let Some(key) = &edit.set else { return };
    let has_lines = edit.value.as_ref().is_some_and(|text| text.contains('\n'));
    wrong.when(has_lines, "value", "has more than one line");
    let section = edit.section.as_deref().unwrap_or_default();
    if edit.style == AssignmentStyle::Shell {
        let is_letter = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let is_name = key.bytes().all(is_letter) && !key.starts_with(|c: char| c.is_ascii_digit());
        let what = format!("`{key}` is not the name of a variable");
        wrong.when(!is_name, "set", &what);
        let what = "has no effect with the style `shell`";
        wrong.when(edit.section.is_some(), "section", what);
        return;
    }
    let is_odd = key.contains(['=', '[', ']', '#', ';', '"']) || key.trim() != key;
    let what = "contains a character that no key has: write `section`, `set` and `value` apart";
    wrong.when(is_odd, "set", what);
    let what = "contains a bracket: write its name alone";
    wrong.when(section.contains(['[', ']']), "section", what);
}

/// `secret` and `secret-file`.
fn secret(edit: &TextEdit, wrong: &mut Wrong) {
    let (secret, file) = (edit.secret.is_some(), edit.secret_file.is_some());
    let texts = [&edit.with, &edit.append, &edit.value];
    let mut texts = texts.into_iter().flatten();
    let lacks = !texts.any(|text| text.contains("{secret}"));
    let what = "no text of the entry contains {secret}";
    wrong.when(secret && file, "secret-file", "is set along with `secret`");
    wrong.when(secret && lacks, "secret", what);
    wrong.when(!secret && file && lacks, "secret-file", what);
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn an_entry_says_one_thing_and_all_of_it() {
        for (text, expected) in [
            ("replace = \"a\"\nappend = \"b\"", "].path: set one of"),
            ("create = true", "].path: set one of"),
            ("replace = \"\"\nwith = \"b\"", "].replace: an empty text"),
            ("replace = \"a\"", "].replace: `with` is missing"),
            ("append = \"a\"\nplaces = 1", "].places: has no effect"),
            (
                "append = \"a\"\nsection = \"s\"",
                "].section: has no effect",
            ),
            ("set = \"a\"", "].set: `value` is missing"),
            (
                "set = \"a=b\"\nvalue = \"c\"",
                "].set: contains a character",
            ),
            (
                "set = \"a-b\"\nvalue = \"c\"\nstyle = \"shell\"",
                "].set: `a-b` is not the name",
            ),
            (
                "set = \"a\"\nvalue = \"c\\nd\"",
                "].value: has more than one line",
            ),
            (
                "set = \"a\"\nvalue = \"c\"\nsection = \"[s]\"",
                "].section: contains a bracket",
            ),
            ("append = \"a\"\nsecret = \"x\"", "].secret: no text"),
            (
                "replace = \"a\"\nwith = \"b\"\ncreate = true",
                "].create: needs",
            ),
        ] {
            let text = format!("[[rootfs.edit]]\npath = \"/x\"\n{text}\n");
            let error = Config::parse(&text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}{error}");
        }
        let fine = "[[rootfs.edit]]\npath = \"/x\"\nappend = \"{secret}\"\nsecret-file = \"y\"\n";
        assert!(Config::parse(fine).is_ok());
    }
}
