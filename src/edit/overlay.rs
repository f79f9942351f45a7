//! Copies an overlay over a tree.
//!
//! | in the overlay | in the image      | result                                                  |
//! |----------------|-------------------|---------------------------------------------------------|
//! | any            | nothing           | added, with missing parents                             |
//! | directory      | directory         | merged; owner and mode stay, unless an owner rule       |
//! |                |                   | matches                                                 |
//! | directory      | link to directory | merged into that directory, inside the image's root     |
//! | directory      | dangling link     | made at the link's target, inside the image's root      |
//! | directory      | any other leaf    | problem                                                 |
//! | file, symlink  | leaf              | replaced; its other hard links stay                     |
//! | file           | link to directory | problem: half of the system may depend on it            |
//! | file, symlink  | directory         | problem                                                 |

use crate::plan::overlays::OwnerRule;
use crate::problem::{Problem, Problems};
use crate::tree::edit::EditError;
use crate::tree::editor::{Action, TreeEditor};
use crate::tree::{DirEntry, Leaf, LeafKind, Node, Stat, Tree, show};

/// Merges `overlay` into the tree; `reason` names the overlay. Each path gets the owner of the last
/// matching rule of `owners`, or else the one it has in the overlay.
///
/// # Errors
/// All conflicts; the tree then has the rest.
pub fn graft(
    editor: &mut TreeEditor<'_>,
    overlay: &Tree,
    owners: &[OwnerRule],
    reason: &str,
) -> Result<(), Problems> {
    let mut problems = Problems::default();
    let mut blocked: Option<Vec<u8>> = None;
    for (path, entry) in rows(overlay) {
        if blocked
            .as_ref()
            .is_some_and(|blocked| is_below(&path, blocked))
        {
            continue;
        }
        let rule = owners.iter().rfind(|rule| rule.path.matches(&path));
        let result = match entry {
            DirEntry::Dir(dir) => {
                directory(editor, &path, owned(&dir.stat, rule, true), rule, reason)
            }
            DirEntry::Leaf(id) => leaf(editor, &path, overlay.leaf(*id), rule, reason),
        };
        if let Err(what) = result {
            problems.push(Problem::new(format!("{reason}: {what}")));
            blocked = Some(path);
        }
    }
    problems.check()
}

/// The rules that match no path in any of the overlays: most likely mistakes.
#[must_use]
pub fn unused<'r>(overlays: &[Tree], owners: &'r [OwnerRule]) -> Vec<&'r OwnerRule> {
    let paths: Vec<Vec<u8>> = overlays
        .iter()
        .flat_map(rows)
        .map(|(path, _)| path)
        .collect();
    owners
        .iter()
        .filter(|rule| !paths.iter().any(|path| rule.path.matches(path)))
        .collect()
}

/// Every path below the root with its entry, parents first.
fn rows(tree: &Tree) -> Vec<(Vec<u8>, &DirEntry)> {
    let mut rows = Vec::new();
    tree.visit(&mut |path, entry| rows.push((path.to_vec(), entry)));
    rows
}

fn is_below(path: &[u8], dir: &[u8]) -> bool {
    path.strip_prefix(dir)
        .is_some_and(|rest| rest.first() == Some(&b'/'))
}

/// `stat` with owner and mode of `rule`.
fn owned(stat: &Stat, rule: Option<&OwnerRule>, is_dir: bool) -> Stat {
    let Some(rule) = rule else {
        return stat.clone();
    };
    let mode = rule.mode.unwrap_or(stat.mode);
    // Whoever may read a directory may search it: a mode meant for files would close it.
    let pass = if is_dir && rule.mode.is_some() {
        (mode & 0o444) >> 2
    } else {
        0
    };
    Stat {
        mode: mode | pass,
        uid: rule.uid,
        gid: rule.gid,
        ..stat.clone()
    }
}

fn directory(
    editor: &mut TreeEditor<'_>,
    path: &[u8],
    stat: Stat,
    rule: Option<&OwnerRule>,
    reason: &str,
) -> Result<(), EditError> {
    let walk = editor.tree().walk(path, true)?;
    let real = walk.path();
    match editor.tree().find(&real) {
        Some(Node::Leaf(_)) => {
            return Err(EditError::InTheWay(
                name(path, &real),
                "not a directory",
                "the directory of the overlay",
            ));
        }
        Some(Node::Dir(there)) => {
            let new = rule.map_or_else(
                || there.stat.clone(),
                |rule| owned(&there.stat, Some(rule), true),
            );
            if new == there.stat {
                return Ok(());
            }
            set_stat(editor, &real, new);
            editor.record(real, Action::Changed, reason);
        }
        None => {
            editor.dir(&real, stat.mode, reason)?;
            set_stat(editor, &real, stat);
        }
    }
    Ok(())
}

fn set_stat(editor: &mut TreeEditor<'_>, real: &[u8], stat: Stat) {
    if let Some(there) = editor.tree_mut().stat_mut(real) {
        *there = stat;
    }
}

fn leaf(
    editor: &mut TreeEditor<'_>,
    path: &[u8],
    leaf: &Leaf,
    rule: Option<&OwnerRule>,
    reason: &str,
) -> Result<(), EditError> {
    let real = editor.tree().walk(path, false)?.path();
    let what = if matches!(leaf.kind, LeafKind::Symlink(_)) {
        "the symbolic link of the overlay"
    } else {
        "the file of the overlay"
    };
    let in_the_way = |stands| Err(EditError::InTheWay(name(path, &real), stands, what));
    let brings_file = matches!(leaf.kind, LeafKind::File(_));
    match editor.tree().find_nofollow(&real) {
        Some(Node::Dir(_)) => return in_the_way("a directory"),
        Some(Node::Leaf(_)) if brings_file && editor.tree().dir(&real).is_some() => {
            return in_the_way("a symbolic link to a directory");
        }
        _ => {}
    }
    let stat = match leaf.kind {
        LeafKind::Symlink(_) => Stat {
            mode: leaf.stat.mode,
            ..owned(&leaf.stat, rule, false)
        },
        _ => owned(&leaf.stat, rule, false),
    };
    editor.put(
        &real,
        Leaf {
            stat,
            kind: leaf.kind.clone(),
        },
        reason,
    )?;
    Ok(())
}

/// The path in the overlay, and the one in the image if symlinks lead elsewhere.
fn name(path: &[u8], real: &[u8]) -> String {
    if path == real {
        show(path)
    } else {
        format!("{} ({} in the image)", show(path), show(real))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Time;
    use crate::tree::dump::dump;

    const OLD: Time = Time {
        seconds: 1,
        nanos: 0,
    };
    const NEW: Time = Time {
        seconds: 2,
        nanos: 0,
    };

    /// A tree of `path` (directory when it ends in `/`), `path -> target` (symlink), `path = text`
    /// (file).
    fn tree(time: Time, lines: &[&str]) -> Tree {
        let mut tree = Tree::new(Stat::root(0o755, time));
        for line in lines {
            if let Some((path, target)) = line.split_once(" -> ") {
                tree.put_symlink(path, target, time).unwrap();
            } else if let Some((path, text)) = line.split_once(" = ") {
                tree.put_file(path, text, Stat::root(0o644, time)).unwrap();
            } else {
                tree.mkdir(line, &Stat::root(0o755, time)).unwrap();
            }
        }
        tree
    }

    fn rule(path: &str, uid: u32, mode: Option<u16>) -> OwnerRule {
        OwnerRule {
            path: path.parse().unwrap(),
            uid,
            gid: uid,
            mode,
        }
    }

    /// The changes of the image, as `+` or `~` and a path, and the problems.
    fn graft_text(image: &mut Tree, overlay: &Tree, owners: &[OwnerRule]) -> (Vec<String>, String) {
        let mut editor = TreeEditor::new(image, NEW);
        let problems = graft(&mut editor, overlay, owners, "overlay x")
            .err()
            .map(|p| p.to_string())
            .unwrap_or_default();
        let mark = |action| if action == Action::Added { '+' } else { '~' };
        let changes = editor.finish();
        assert!(changes.iter().all(|change| change.reason == "overlay x"));
        (
            changes
                .iter()
                .map(|change| format!("{}{}", mark(change.action), show(&change.path)))
                .collect(),
            problems,
        )
    }

    #[test]
    fn the_table_of_merges() {
        let image = [
            "/usr/lib/",
            "/lib -> usr/lib",
            "/var/lib/mender -> /data/mender",
            "/etc/file = old",
            "/etc/to-file -> file",
            "/d/",
        ];
        for (overlay, changes, problem) in [
            ("/new/a = 1", vec!["+/new", "+/new/a"], ""),
            ("/lib/x = 1", vec!["+/usr/lib/x"], ""),
            (
                "/lib/sub/x = 1",
                vec!["+/usr/lib/sub", "+/usr/lib/sub/x"],
                "",
            ),
            (
                "/var/lib/mender/x = 1",
                vec!["+/data", "+/data/mender", "+/data/mender/x"],
                "",
            ),
            ("/etc/", vec![], ""),
            ("/etc/file = new", vec!["~/etc/file"], ""),
            ("/etc/to-file = new", vec!["~/etc/to-file"], ""),
            ("/lib -> elsewhere", vec!["~/lib"], ""),
            (
                "/etc/file/x = 1",
                vec![],
                "/etc/file: is not a directory, which the directory of the overlay cannot replace",
            ),
            (
                "/etc/to-file/",
                vec![],
                "/etc/to-file (/etc/file in the image): is not a directory, which the directory of the overlay cannot replace",
            ),
            (
                "/d = 1",
                vec![],
                "/d: is a directory, which the file of the overlay cannot replace",
            ),
            (
                "/d -> x",
                vec![],
                "/d: is a directory, which the symbolic link of the overlay cannot replace",
            ),
            (
                "/lib = 1",
                vec![],
                "/lib: is a symbolic link to a directory, which the file of the overlay cannot replace",
            ),
        ] {
            let expected = if problem.is_empty() {
                String::new()
            } else {
                format!("overlay x: {problem}")
            };
            let found = graft_text(&mut tree(OLD, &image), &tree(NEW, &[overlay]), &[]);
            assert_eq!(
                found,
                (changes.into_iter().map(str::to_owned).collect(), expected),
                "{overlay}"
            );
        }
    }

    #[test]
    fn all_problems_are_gathered_and_the_rest_is_laid_down() {
        let mut image = tree(OLD, &["/a = 1", "/b/", "/loop -> loop"]);
        let overlay = tree(
            NEW,
            &[
                "/a/x = 1",
                "/a/y = 1",
                "/ab = 1",
                "/b = 1",
                "/loop/x = 1",
                "/z = 1",
            ],
        );
        let (changes, problems) = graft_text(&mut image, &overlay, &[]);
        assert_eq!(changes, ["+/ab", "+/z"]);
        let expected = [
            "overlay x: /a: is not a directory, which the directory of the overlay cannot replace",
            "overlay x: /b: is a directory, which the file of the overlay cannot replace",
            "overlay x: /loop: too many symbolic links (more than 40)",
        ];
        assert_eq!(problems, expected.join("\n"));
    }

    #[test]
    fn directories_keep_their_owner_unless_a_rule_names_them() {
        let mut image = tree(OLD, &["/srv/", "/home/user/"]);
        image.stat_mut("/srv").unwrap().uid = 33;
        image.stat_mut("/srv").unwrap().mode = 0o2770;
        let overlay = tree(
            NEW,
            &[
                "/srv/x = 1",
                "/home/user/.ssh/",
                "/home/user/.ssh/keys = k",
                "/home/user/link -> x",
            ],
        );
        let owners = [
            rule("/home/user/**", 1000, None),
            rule("/home/user/.ssh/**", 1000, Some(0o600)),
            rule("/none", 1, None),
        ];
        let (changes, problems) = graft_text(&mut image, &overlay, &owners);
        assert_eq!(problems, "");
        let expected = [
            "~/home/user",
            "+/home/user/.ssh",
            "+/home/user/.ssh/keys",
            "+/home/user/link",
            "+/srv/x",
        ];
        assert_eq!(changes, expected);
        let stat = |path: &str| match image.find_nofollow(path).unwrap() {
            Node::Dir(dir) => (dir.stat.mode, dir.stat.uid, dir.stat.mtime),
            Node::Leaf(leaf) => (leaf.stat.mode, leaf.stat.uid, leaf.stat.mtime),
        };
        assert_eq!(stat("/srv"), (0o2770, 33, OLD));
        assert_eq!(stat("/home"), (0o755, 0, OLD));
        assert_eq!(stat("/home/user"), (0o755, 1000, OLD));
        assert_eq!(stat("/home/user/.ssh"), (0o700, 1000, NEW));
        assert_eq!(stat("/home/user/.ssh/keys"), (0o600, 1000, NEW));
        assert_eq!(stat("/home/user/link"), (0o777, 1000, NEW));
        assert_eq!(stat("/srv/x"), (0o644, 0, NEW));
        assert_eq!(unused(&[overlay], &owners), [&owners[2]]);
    }

    #[test]
    fn nothing_leaves_the_root() {
        let mut image = tree(
            OLD,
            &[
                "/etc/",
                "/up -> ../../../../etc",
                "/abs -> /etc",
                "/gone -> /../../nowhere/deep",
            ],
        );
        let overlay = tree(
            NEW,
            &[
                "/up/a = 1",
                "/abs/b = 1",
                "/gone/c = 1",
                "/out -> /../../tmp",
            ],
        );
        let (changes, problems) = graft_text(&mut image, &overlay, &[]);
        assert_eq!(problems, "");
        assert_eq!(
            changes,
            [
                "+/etc/b",
                "+/nowhere",
                "+/nowhere/deep",
                "+/nowhere/deep/c",
                "+/out",
                "+/etc/a"
            ]
        );
        // A second overlay goes through the link of the first, and still stays inside.
        let (changes, _) = graft_text(&mut image, &tree(NEW, &["/out/x = 1"]), &[]);
        assert_eq!(changes, ["+/tmp", "+/tmp/x"]);
    }

    #[test]
    fn other_hard_links_of_a_replaced_file_stay() {
        let mut image = tree(OLD, &[]);
        let id = image.put_file("/a", "old", Stat::root(0o644, OLD)).unwrap();
        image.link("/b", id, &Stat::root(0o755, OLD)).unwrap();
        graft_text(&mut image, &tree(NEW, &["/a = new"]), &[]);
        assert_eq!(image.read("/a", 9).unwrap().unwrap(), b"new");
        assert_eq!(image.read("/b", 9).unwrap().unwrap(), b"old");
        assert!(dump(&image).unwrap().contains("/b file size=3"));
    }
}
