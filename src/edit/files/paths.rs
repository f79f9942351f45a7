//! The paths of a tree that a pattern matches.

use crate::pattern::{Part, component_matches};
use crate::tree::{Dir, DirEntry, Tree};
use std::collections::BTreeSet;

/// The real paths that `parts` match, sorted, each once. Symbolic links to directories are followed
/// within the tree, but not by `**`; the last component is followed if `follow` says so. On a FAT
/// filesystem, case does not count (`ignore_case`).
#[must_use]
pub fn matching(tree: &Tree, parts: &[Part], ignore_case: bool, follow: bool) -> Vec<Vec<u8>> {
    let Some((last, parents)) = parts.split_last() else {
        return vec![b"/".to_vec()];
    };
    let mut dirs = BTreeSet::from([Vec::new()]);
    for part in parents {
        dirs = dirs
            .iter()
            .flat_map(|dir| children(tree, dir, part, ignore_case))
            .filter_map(|path| real_dir(tree, &path))
            .collect();
    }
    let found = dirs
        .iter()
        .flat_map(|dir| children(tree, dir, last, ignore_case));
    let real = |path: Vec<u8>| match follow {
        true => tree.walk(&path, true).map_or(path, |walk| walk.path()),
        false => path,
    };
    let found: BTreeSet<Vec<u8>> = found.map(real).collect();
    found.into_iter().collect()
}

/// The real path of the directory at `path`, symlinks followed; empty for the root.
fn real_dir(tree: &Tree, path: &[u8]) -> Option<Vec<u8>> {
    tree.dir(path)?;
    let real = tree.walk(path, true).ok()?.path();
    Some(if real == b"/" { Vec::new() } else { real })
}

/// The entries of the directory `dir` (a real path without a slash at its end) that `part` matches.
/// `**` matches the directory itself and everything below it.
fn children(tree: &Tree, dir: &[u8], part: &Part, ignore_case: bool) -> Vec<Vec<u8>> {
    let here = if dir.is_empty() { b"/" } else { dir };
    let Some(entries) = tree.dir(here) else {
        return Vec::new();
    };
    let child = |name: &[u8]| [dir, b"/", name].concat();
    match part {
        Part::Any => {
            let mut out = vec![here.to_vec()];
            below(entries, dir, &mut out);
            out
        }
        Part::One(text) => {
            let lower = text.to_ascii_lowercase();
            let matches = |name: &[u8]| match ignore_case {
                true => component_matches(lower.as_bytes(), &name.to_ascii_lowercase()),
                false => component_matches(text.as_bytes(), name),
            };
            let names = entries.entries.keys().filter(|name| matches(name));
            names.map(|name| child(name)).collect()
        }
    }
}

/// Adds every path below `dir`, whose path is `at`.
fn below(dir: &Dir, at: &[u8], out: &mut Vec<Vec<u8>>) {
    for (name, entry) in &dir.entries {
        let path = [at, b"/", name].concat();
        out.push(path.clone());
        if let DirEntry::Dir(dir) = entry {
            below(dir, &path, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::Pattern;
    use crate::tree::{Stat, Time, show};

    #[test]
    fn patterns_match_what_a_shell_on_the_device_would_find() {
        let mut tree = Tree::new(Stat::root(0o755, Time::default()));
        for path in ["/usr/bin/a", "/usr/bin/ab", "/usr/lib/x/a", "/etc/a.conf"] {
            tree.put_file(path, "", Stat::root(0o644, Time::default()))
                .unwrap();
        }
        tree.put_symlink("/bin", "usr/bin", Time::default())
            .unwrap();
        tree.put_symlink("/etc/b.conf", "a.conf", Time::default())
            .unwrap();
        tree.put_symlink("/usr/loop", "/usr", Time::default())
            .unwrap();
        let found = |pattern: &str, ignore_case: bool, follow: bool| {
            let pattern: Pattern = pattern.parse().unwrap();
            let found = matching(&tree, pattern.parts(), ignore_case, follow);
            found.iter().map(|path| show(path)).collect::<Vec<_>>()
        };
        let is = |pattern: &str, expected: &[&str]| {
            assert_eq!(found(pattern, false, false), expected, "{pattern}");
        };
        is("/bin", &["/bin"]);
        is("/bin/a*", &["/usr/bin/a", "/usr/bin/ab"]);
        is("/*/a", &["/usr/bin/a"]);
        is("/**/a", &["/usr/bin/a", "/usr/lib/x/a"]);
        is("/usr/loop/bin/a", &["/usr/bin/a"]);
        is("/usr/lib/**", &["/usr/lib", "/usr/lib/x", "/usr/lib/x/a"]);
        is("/etc/*.conf", &["/etc/a.conf", "/etc/b.conf"]);
        is("/ETC/a.conf", &[]);
        is("/etc/a.conf/b", &[]);
        is("/", &["/"]);
        assert_eq!(found("/etc/*.conf", false, true), ["/etc/a.conf"]);
        assert_eq!(found("/ETC/A.conf", true, false), ["/etc/a.conf"]);
    }
}
