//! `find(1)` with the tests and actions that maintainer scripts use.

use super::super::script_host::ScriptHost;
use super::arguments::CommandResult;
use super::files;
use crate::shell::{Io, matches};
use crate::tree::{Leaf, LeafKind, Node};

#[derive(Debug, PartialEq, Eq)]
enum Test<'a> {
    Type(&'a str),
    Name(&'a str),
    Path(&'a str),
    Empty,
}

#[derive(Debug, PartialEq, Eq)]
enum Action<'a> {
    Print,
    Print0,
    Delete,
    /// A command, and whether one call takes all paths.
    Exec(Vec<&'a str>, bool),
}

#[derive(Debug, Default)]
struct Call<'a> {
    roots: Vec<&'a str>,
    least: usize,
    most: Option<usize>,
    /// Each with whether it is negated.
    tests: Vec<(Test<'a>, bool)>,
    action: Option<Action<'a>>,
}

impl<'a> Call<'a> {
    /// `None` for what is outside of the model: the action comes last, and tests hold together.
    fn read(args: &[&'a str]) -> Option<Self> {
        let mut out = Self::default();
        let mut rest = args.iter();
        let mut negated = false;
        while let Some(arg) = rest.next() {
            if out.action.is_some() {
                return None;
            }
            let test = match *arg {
                "-maxdepth" => {
                    out.most = Some(rest.next()?.parse().ok()?);
                    continue;
                }
                "-mindepth" => {
                    out.least = rest.next()?.parse().ok()?;
                    continue;
                }
                "-xdev" | "-mount" | "-depth" => continue,
                "!" | "-not" => {
                    negated = !negated;
                    continue;
                }
                "-type" => Test::Type(
                    rest.next()
                        .filter(|kind| matches!(**kind, "f" | "d" | "l"))?,
                ),
                "-name" => Test::Name(rest.next()?),
                "-path" => Test::Path(rest.next()?),
                "-empty" => Test::Empty,
                "-print" => {
                    out.action = Some(Action::Print);
                    continue;
                }
                "-print0" => {
                    out.action = Some(Action::Print0);
                    continue;
                }
                "-delete" => {
                    out.action = Some(Action::Delete);
                    continue;
                }
                "-exec" => {
                    let words: Vec<&str> = rest.by_ref().copied().collect();
                    let (last, command) = words.split_last()?;
                    let all = *last == "+";
                    if !(all || *last == ";") || command.contains(&";") {
                        return None;
                    }
                    out.action = Some(Action::Exec(command.to_vec(), all));
                    continue;
                }
                root if !root.starts_with(['-', '(']) && out.tests.is_empty() => {
                    out.roots.push(root);
                    continue;
                }
                _ => return None,
            };
            out.tests.push((test, negated));
            negated = false;
        }
        (!out.roots.is_empty() && !negated).then_some(out)
    }

    fn takes(&self, host: &ScriptHost<'_, '_>, path: &str, depth: usize) -> bool {
        let deep = depth >= self.least && self.most.is_none_or(|most| depth <= most);
        deep && self.tests.iter().all(|(test, negated)| {
            let holds = match (test, host.find_nofollow(path)) {
                (Test::Type("d"), Some(Node::Dir(_))) => true,
                (Test::Type(kind), Some(Node::Leaf(Leaf { kind: leaf, .. }))) => match leaf {
                    LeafKind::File(_) => *kind == "f",
                    LeafKind::Symlink(_) => *kind == "l",
                    _ => false,
                },
                (Test::Type(_), _) => false,
                (Test::Name(pattern), _) => matches(
                    pattern,
                    path.trim_end_matches('/')
                        .rsplit('/')
                        .next()
                        .unwrap_or(path),
                ),
                (Test::Path(pattern), _) => matches(pattern, path),
                (Test::Empty, Some(Node::Dir(dir))) => dir.entries.is_empty(),
                (Test::Empty, _) => host.file_size(path) == 0,
            };
            holds != *negated
        })
    }
}

pub(super) fn run(host: &mut ScriptHost<'_, '_>, args: &[&str], io: &mut Io) -> CommandResult {
    let Some(call) = Call::read(args) else {
        return Ok(None);
    };
    let mut status = 0;
    let mut found = Vec::new();
    for root in &call.roots {
        if host.find_nofollow(root).is_none() {
            status = 1;
            continue;
        }
        let base = root.trim_end_matches('/').matches('/').count();
        for path in files::below(host, root, true) {
            let depth = path
                .trim_end_matches('/')
                .matches('/')
                .count()
                .saturating_sub(base);
            if call.takes(host, &path, depth) {
                found.push(path);
            }
        }
    }
    match call.action.as_ref().unwrap_or(&Action::Print) {
        Action::Print => found.iter().for_each(|path| io.print_line(path)),
        Action::Print0 => {
            for path in &found {
                io.output.push_str(path);
                io.output.push('\0');
            }
        }
        Action::Delete => {
            // What is in a directory goes first.
            found.sort_unstable();
            for path in found.iter().rev() {
                match host.find_nofollow(path) {
                    Some(Node::Dir(dir)) if !dir.entries.is_empty() => status = 1,
                    Some(_) => _ = host.remove(path)?,
                    None => {}
                }
            }
        }
        Action::Exec(command, all) => {
            let calls: Vec<&[String]> = if *all {
                Vec::from_iter((!found.is_empty()).then_some(&found[..]))
            } else {
                found.chunks(1).collect()
            };
            for paths in calls {
                let words: Vec<&str> = command
                    .iter()
                    .flat_map(|word| match *word {
                        "{}" => paths.iter().map(String::as_str).collect(),
                        word => vec![word],
                    })
                    .collect();
                match super::run_for(host, "find", &words, io)? {
                    Some(done) if *all && done != 0 => status = 1,
                    Some(_) => {}
                    None => return Ok(None),
                }
            }
        }
    }
    Ok(Some(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read_or_refused() {
        let call = Call::read(&[
            "/a",
            "-maxdepth",
            "1",
            "!",
            "-name",
            "x*",
            "-type",
            "f",
            "-delete",
        ]);
        let call = call.unwrap();
        assert_eq!(
            call.tests,
            [(Test::Name("x*"), true), (Test::Type("f"), false)]
        );
        assert_eq!((call.most, call.action), (Some(1), Some(Action::Delete)));
        let exec = Call::read(&["/a", "-exec", "chown", "root", "{}", "+"]).unwrap();
        assert_eq!(
            exec.action,
            Some(Action::Exec(vec!["chown", "root", "{}"], true))
        );
        for args in [
            &["-name", "x"][..],
            &["/a", "-mtime", "3"],
            &["/a", "-name", "x", "-o", "-name", "y"],
            &["/a", "(", "-name", "x", ")"],
            &["/a", "-delete", "-name", "x"],
            &["/a", "-exec", "rm", "{}"],
        ] {
            assert!(Call::read(args).is_none(), "{args:?}");
        }
    }
}
