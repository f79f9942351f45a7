//! Triggers: those that packages declare, and the files in `/var/lib/dpkg/triggers`.

use super::database::{DIR, LIMIT, text};
use super::incoming::Incoming;
use crate::tree::edit::EditError;
use crate::tree::editor::TreeEditor;
use std::collections::BTreeMap;

/// The triggers that a package declares (`deb-triggers(5)`).
#[derive(Debug, Default)]
pub(super) struct Triggers {
    /// Trigger and whether dpkg should not wait for it.
    pub(super) interests: Vec<(String, bool)>,
    pub(super) activates: Vec<String>,
}

impl Triggers {
    /// Reads the control member `triggers`.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let mut out = Self::default();
        for line in String::from_utf8_lossy(bytes).lines() {
            let mut words = line
                .split('#')
                .next()
                .unwrap_or_default()
                .split_whitespace();
            let (Some(verb), Some(name)) = (words.next(), words.next()) else {
                continue;
            };
            match verb {
                "interest" | "interest-await" => out.interests.push((name.to_owned(), false)),
                "interest-noawait" => out.interests.push((name.to_owned(), true)),
                _ if verb.starts_with("activate") => out.activates.push(name.to_owned()),
                _ => {}
            }
        }
        out
    }
}

/// Adds the interests of a package to `triggers/File` and `triggers/<name>`.
pub(super) fn register_interests(
    editor: &mut TreeEditor<'_>,
    incoming: &Incoming,
) -> Result<(), EditError> {
    let base = incoming.facts.base();
    let reason = format!("package {}", incoming.facts.name);
    let triggers = incoming
        .script("triggers")
        .map(Triggers::read)
        .unwrap_or_default();
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, noawait) in &triggers.interests {
        let suffix = if *noawait { "/noawait" } else { "" };
        let (file, line) = if name.starts_with('/') {
            ("File".to_owned(), format!("{name} {base}{suffix}"))
        } else {
            (name.clone(), format!("{base}{suffix}"))
        };
        files.entry(file).or_default().push(line);
    }
    for (file, new) in files {
        let old = text(editor.tree(), &format!("triggers/{file}"))?.unwrap_or_default();
        let owner = |line: &str| {
            line.rsplit(' ')
                .next()
                .map(|word| word.trim_end_matches("/noawait") == base)
                .unwrap_or(false)
        };
        let old = String::from_utf8_lossy(&old).into_owned();
        let mut all: Vec<&str> = old
            .lines()
            .filter(|line| !line.is_empty() && !owner(line))
            .collect();
        all.extend(new.iter().map(String::as_str));
        editor.rewrite(
            format!("{DIR}/triggers/{file}"),
            all.join("\n") + "\n",
            0o644,
            &reason,
        )?;
    }
    Ok(())
}

/// The packages interested in a trigger that is activated by name.
pub(super) fn interested(editor: &TreeEditor<'_>, name: &str) -> Vec<String> {
    if name.starts_with('/') {
        return file_interests(editor)
            .into_iter()
            .filter(|(path, _)| path == name)
            .map(|(_, base)| base)
            .collect();
    }
    let text = editor
        .read(format!("{DIR}/triggers/{name}"), LIMIT)
        .ok()
        .flatten()
        .unwrap_or_default();
    String::from_utf8_lossy(&text)
        .lines()
        .map(|line| line.trim_end_matches("/noawait").to_owned())
        .collect()
}

/// Paths, each with the package that is interested in files there.
pub(super) fn file_interests(editor: &TreeEditor<'_>) -> Vec<(String, String)> {
    let text = editor
        .read(format!("{DIR}/triggers/File"), LIMIT)
        .ok()
        .flatten()
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = |line: &str| {
        line.rsplit_once(' ').map(|(path, base)| {
            (
                path.to_owned(),
                base.trim_end_matches("/noawait").to_owned(),
            )
        })
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_of_every_kind() {
        let text = b"# remark\ninterest a\ninterest-await b # more\ninterest-noawait /c\n\
            activate d\nactivate-noawait e\nunknown f\ninterest\n";
        let triggers = Triggers::read(text);
        let expected = [("a", false), ("b", false), ("/c", true)];
        assert_eq!(
            triggers.interests,
            expected.map(|(name, noawait)| (name.to_owned(), noawait))
        );
        assert_eq!(triggers.activates, ["d", "e"]);
    }
}
