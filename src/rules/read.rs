//! TOML to [`Rules`], with the line of every problem.

use super::{CommandRule, FileRule, Glob, PackageRule, Rules, SizeRules};
use crate::nearest::nearest;
use crate::problem::{Problem, Problems};
use crate::units::parse_size;
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The keys of the file, of a table `[size]`, and of the entries of the lists.
const TOP: [&str; 5] = ["command", "file", "package", "size", "units"];
const SIZE: [&str; 3] = ["artifact", "image", "root-used"];
const FILE: [&str; 5] = ["absent", "contains", "mode", "owner", "path"];
const PACKAGE: [&str; 2] = ["name", "version"];
const COMMAND: [&str; 4] = ["exit", "output-matches", "run", "timeout"];

/// How long a command may take without `timeout` (seconds).
const SOON: u64 = 60;
/// The longest command (bytes): a line of a terminal has 4096.
const LONGEST: usize = 3000;

/// Reads the text of the file `name`.
pub(super) fn rules(name: &str, text: &str) -> Result<Rules, Problems> {
    let mut reader = Reader {
        name,
        text,
        problems: Problems::default(),
    };
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let message: Vec<&str> = error.message().split_whitespace().collect();
        reader.problem(&error.span().unwrap_or(0..0), &message.join(" "));
    }
    if !reader.problems.0.is_empty() {
        return Err(reader.problems);
    }
    let root = root.get_ref();
    reader.known(root, "", &TOP);
    let rules = Rules {
        files: reader.entries(root, "file", |reader, table, at| reader.file(table, at)),
        packages: reader.entries(root, "package", |reader, table, at| {
            reader.package(table, at)
        }),
        sizes: reader.sizes(root),
        units: reader.units(root),
        commands: reader.entries(root, "command", |reader, table, at| {
            reader.command(table, at)
        }),
    };
    reader.problems.check()?;
    Ok(rules)
}

struct Reader<'t> {
    name: &'t str,
    text: &'t str,
    problems: Problems,
}

type Value<'t> = Spanned<DeValue<'t>>;

impl Reader<'_> {
    /// The file with the line and the column, both from 1.
    fn place(&self, span: &Range<usize>) -> String {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        format!("{}:{line}:{column}", self.name)
    }

    fn problem(&mut self, span: &Range<usize>, what: &str) {
        let place = self.place(span);
        self.problems.push(Problem::new(format!("{place}: {what}")));
    }

    /// Refuses the keys of `table` that are not among `keys`.
    fn known(&mut self, table: &DeTable<'_>, at: &str, keys: &[&str]) {
        let mut unknown: Vec<_> = table
            .iter()
            .filter(|(key, _)| !keys.contains(&key.get_ref().as_ref()))
            .map(|(key, _)| (key.span(), key.get_ref().to_string()))
            .collect();
        unknown.sort_by_key(|(span, _)| span.start);
        for (span, key) in unknown {
            let problem = Problem::new(format!("{}: unknown key `{at}{key}`", self.place(&span)));
            self.problems
                .push(problem.hint(match nearest(&key, keys.iter().copied()) {
                    Some(near) => format!("did you mean `{at}{near}`?"),
                    None => format!("known here: {}", keys.join(", ")),
                }));
        }
    }

    /// The value of a key that `take` accepts, or a problem that says what is expected.
    fn value<T>(
        &mut self,
        table: &DeTable<'_>,
        (at, key): (&str, &str),
        expected: &str,
        take: impl FnOnce(&DeValue<'_>) -> Option<T>,
    ) -> Option<T> {
        let value: &Value<'_> = table.get(key)?;
        let taken = take(value.get_ref());
        if taken.is_none() {
            self.problem(&value.span(), &format!("{at}{key}: expected {expected}"));
        }
        taken
    }

    fn text(&mut self, table: &DeTable<'_>, place: (&str, &str)) -> Option<String> {
        self.value(table, place, "a string that is not empty", |value| {
            value
                .as_str()
                .filter(|text| !text.is_empty())
                .map(ToOwned::to_owned)
        })
    }

    /// The same for a key that an entry cannot be without.
    fn needed(
        &mut self,
        table: &DeTable<'_>,
        span: &Range<usize>,
        place: (&str, &str),
    ) -> Option<String> {
        if !table.contains_key(place.1) {
            self.problem(span, &format!("{}{} is missing", place.0, place.1));
        }
        self.text(table, place)
    }

    /// The entries of the list `[[key]]`.
    fn entries<T>(
        &mut self,
        root: &DeTable<'_>,
        key: &str,
        mut entry: impl FnMut(&mut Self, &DeTable<'_>, &Range<usize>) -> Option<T>,
    ) -> Vec<T> {
        let Some(value) = root.get(key) else {
            return Vec::new();
        };
        let mut out = Vec::new();
        let items: &[Value<'_>] = match value.get_ref() {
            DeValue::Array(items) => items,
            _ => &[],
        };
        let are_tables = items.iter().all(|item| item.get_ref().is_table());
        if items.is_empty() || !are_tables {
            self.problem(
                &value.span(),
                &format!("{key}: expected tables; write [[{key}]] with two brackets"),
            );
            return out;
        }
        for item in items {
            if let DeValue::Table(table) = item.get_ref() {
                out.extend(entry(self, table, &item.span()));
            }
        }
        out
    }

    fn file(&mut self, table: &DeTable<'_>, span: &Range<usize>) -> Option<FileRule> {
        self.known(table, "file.", &FILE);
        let path = self.needed(table, span, ("file.", "path"))?;
        if !path.starts_with('/') {
            self.problem(span, &format!("file.path: {path} does not begin with /"));
        }
        let mode = self.value(
            table,
            ("file.", "mode"),
            "an octal number as a string, as in \"0644\"",
            |value| {
                u16::from_str_radix(value.as_str()?, 8)
                    .ok()
                    .filter(|mode| *mode <= 0o7777)
            },
        );
        let absent = self.value(table, ("file.", "absent"), "true or false", |value| {
            value.as_bool()
        });
        let rule = FileRule {
            path,
            mode,
            owner: self.text(table, ("file.", "owner")),
            contains: self.text(table, ("file.", "contains")),
            absent: absent.unwrap_or(false),
        };
        let more = rule.mode.is_some() || rule.owner.is_some() || rule.contains.is_some();
        if rule.absent && more {
            self.problem(
                span,
                "file.absent: a file that is absent has no mode, owner or content",
            );
        }
        Some(rule)
    }

    fn package(&mut self, table: &DeTable<'_>, span: &Range<usize>) -> Option<PackageRule> {
        self.known(table, "package.", &PACKAGE);
        let name = self.needed(table, span, ("package.", "name"))?;
        let version = self.text(table, ("package.", "version"));
        Some(PackageRule {
            name,
            version: version.map(|text| Glob::new(&text)),
        })
    }

    fn sizes(&mut self, root: &DeTable<'_>) -> SizeRules {
        let Some(value) = root.get("size") else {
            return SizeRules::default();
        };
        let DeValue::Table(table) = value.get_ref() else {
            self.problem(&value.span(), "size: expected a table; write [size]");
            return SizeRules::default();
        };
        self.known(table, "size.", &SIZE);
        let mut size = |key| {
            self.value(
                table,
                ("size.", key),
                "a size, as in \"900 MiB\"",
                |value| parse_size(value.as_str()?).ok(),
            )
        };
        SizeRules {
            root_used: size("root-used"),
            image: size("image"),
            artifact: size("artifact"),
        }
    }

    fn units(&mut self, root: &DeTable<'_>) -> Vec<String> {
        // A shell gets them as words.
        let plain = |name: &str| {
            let known = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
            !name.starts_with('-') && name.contains('.') && name.chars().all(known)
        };
        let names = self.value(
            root,
            ("", "units"),
            "a list of names of units, as in [\"ssh.service\"]",
            |value| {
                let names = value.as_array()?.iter().map(|item| {
                    let name = item.get_ref().as_str().filter(|name| plain(name));
                    name.map(ToOwned::to_owned)
                });
                names.collect()
            },
        );
        names.unwrap_or_default()
    }

    fn command(&mut self, table: &DeTable<'_>, span: &Range<usize>) -> Option<CommandRule> {
        self.known(table, "command.", &COMMAND);
        let run = self.needed(table, span, ("command.", "run"))?;
        if run.len() > LONGEST || run.contains(|c: char| c.is_control() && c != '\n') {
            self.problem(
                span,
                &format!(
                    "command.run: {} bytes; expected at most {LONGEST}, and no control characters",
                    run.len()
                ),
            );
        }
        let number = |value: &DeValue<'_>| {
            let number = value.as_integer()?;
            i64::from_str_radix(number.as_str(), number.radix()).ok()
        };
        let exit = self.value(
            table,
            ("command.", "exit"),
            "a number from 0 to 255",
            |value| number(value).and_then(|number| u8::try_from(number).ok()),
        );
        let timeout = self.value(
            table,
            ("command.", "timeout"),
            "a number of seconds, at least 1",
            |value| number(value).and_then(|number| u32::try_from(number).ok().filter(|n| *n > 0)),
        );
        let matches = self.text(table, ("command.", "output-matches"));
        Some(CommandRule {
            run,
            exit: exit.unwrap_or(0).into(),
            output_matches: matches.map(|text| Glob::new(&text)),
            timeout: Duration::from_secs(timeout.map_or(SOON, u64::from)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keys() {
        let rules = rules(
            "rules.toml",
            r#"
units = ["ssh.service", "getty@tty1.service"]
[size]
root-used = "900 MiB"
artifact = "300 MiB"
[[file]]
path = "/etc/app.conf"
mode = "0640"
owner = "root:adm"
contains = "port = 1"
[[file]]
path = "/etc/secret"
absent = true
[[package]]
name = "openssh-server"
version = "1:9.*"
[[command]]
run = "true"
[[command]]
run = """
echo one
echo two"""
exit = 0x3
output-matches = "t*"
timeout = 5
"#,
        )
        .unwrap();
        assert_eq!(rules.units.len(), 2);
        assert_eq!(rules.files[0].mode, Some(0o640));
        assert!(rules.files[1].absent && !rules.files[0].absent);
        assert_eq!(rules.sizes.artifact, Some(300 << 20));
        assert_eq!(rules.sizes.image, None);
        assert_eq!(rules.packages[0].version, Some(Glob::new("1:9.*")));
        let [first, second] = &rules.commands[..] else {
            panic!("{rules:?}")
        };
        assert_eq!((first.exit, first.timeout.as_secs()), (0, 60));
        assert_eq!((second.exit, second.timeout.as_secs()), (3, 5));
        assert!(rules.need_a_start());
        assert_eq!(super::rules("", ""), Ok(Rules::default()));
    }

    #[test]
    fn mistakes_have_their_line() {
        for (text, expected) in [
            ("[[file]", "r:1:8: unclosed array table, expected `]`"),
            (
                "\nfiles = 1",
                "r:2:1: unknown key `files`\nhint: did you mean `file`?",
            ),
            (
                "[size]\nroot_used = '1 MiB'",
                "r:2:1: unknown key `size.root_used`\nhint: did you mean `size.root-used`?",
            ),
            (
                "[[command]]\nrun = 'x'\nshell = 'y'",
                "r:3:1: unknown key `command.shell`\nhint: known here: exit, output-matches, run, timeout",
            ),
            (
                "[file]\npath = '/x'",
                "r:1:1: file: expected tables; write [[file]] with two brackets",
            ),
            (
                "[[package]]\nversion = '1'",
                "r:1:1: package.name is missing",
            ),
            (
                "[[file]]\npath = 'x'",
                "r:1:1: file.path: x does not begin with /",
            ),
            (
                "[[file]]\npath = '/x'\nmode = 644",
                "r:3:8: file.mode: expected an octal number as a string, as in \"0644\"",
            ),
            (
                "[[file]]\npath = '/x'\nabsent = true\nmode = '0644'",
                "r:1:1: file.absent: a file that is absent has no mode, owner or content",
            ),
            (
                "[size]\nimage = 4",
                "r:2:9: size.image: expected a size, as in \"900 MiB\"",
            ),
            (
                "units = ['ssh; reboot.x']",
                "r:1:9: units: expected a list of names of units, as in [\"ssh.service\"]",
            ),
            (
                "[[command]]\nrun = 'x'\nexit = 256",
                "r:3:8: command.exit: expected a number from 0 to 255",
            ),
            (
                "[[command]]\nrun = 'x'\ntimeout = 0",
                "r:3:11: command.timeout: expected a number of seconds, at least 1",
            ),
        ] {
            let found = rules("r", text).unwrap_err().to_string();
            assert_eq!(found, expected, "{text}");
        }
    }
}
