//! Suggestions for unknown words.

use std::path::{Path, PathBuf};

/// The candidate most similar to `word`, if one is similar enough.
#[must_use]
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let tolerance = (word.chars().count() / 3).max(1);
    let near = candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate));
    near.filter(|(distance, _)| *distance <= tolerance)
        .min()
        .map(|(_, candidate)| candidate)
}

/// The file next to `path` whose name is most similar, if one is similar enough: a name that was
/// mistyped, or has another extension.
#[must_use]
pub fn nearest_file(path: &Path) -> Option<PathBuf> {
    let wanted = path.file_name()?.to_str()?;
    let parent = path.parent()?;
    let dir = match parent.as_os_str().is_empty() {
        true => Path::new("."),
        false => parent,
    };
    let names = dir.read_dir().ok()?.flatten();
    let mut names: Vec<String> = names
        .filter_map(|entry| entry.file_name().into_string().ok())
        .take(10_000)
        .collect();
    names.sort_unstable();
    // Of names with the same extension, only what is before it can be mistyped.
    let (stem, extension) = match wanted.rsplit_once('.') {
        Some((stem, extension)) => (stem, format!(".{extension}")),
        None => (wanted, String::new()),
    };
    let stems = names
        .iter()
        .filter_map(|name| name.strip_suffix(&*extension));
    let near = nearest(stem, stems).map(|stem| format!("{stem}{extension}"));
    let longer = |name: &&str| {
        name.strip_prefix(wanted)
            .is_some_and(|rest| rest.starts_with('.'))
            || wanted
                .strip_prefix(*name)
                .is_some_and(|rest| rest.starts_with('.'))
    };
    let other = || names.iter().map(String::as_str).find(longer);
    let near = near.or_else(|| other().map(str::to_owned));
    near.map(|name| parent.join(name))
}

/// The number of letters to insert, delete, replace or swap with their neighbour to turn `a` into
/// `b` (optimal string alignment distance).
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).collect();
    let b: Vec<char> = b.chars().take(64).collect();
    let mut rows: [Vec<usize>; 3] = [Vec::new(), Vec::new(), (0..=b.len()).collect()];
    for (i, x) in a.iter().enumerate() {
        rows.rotate_left(1);
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut best = (rows[1][j + 1] + 1)
                .min(row[j] + 1)
                .min(rows[1][j] + usize::from(x != y));
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(rows[0][j - 1] + 1);
            }
            row.push(best);
        }
        rows[2] = row;
    }
    rows[2][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised() {
        for (a, b, expected) in [
            ("", "", 0),
            ("abc", "", 3),
            ("size", "sise", 1),
            ("size", "szie", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(
                (distance(a, b), distance(b, a)),
                (expected, expected),
                "{a} {b}"
            );
        }
        let keys = ["size", "alignment", "device-type", "url"];
        assert_eq!(nearest("device_type", keys), Some("device-type"));
        assert_eq!(nearest("sizes", keys), Some("size"));
        assert_eq!(nearest("aligment", keys), Some("alignment"));
        assert_eq!(nearest("colour", keys), None);
    }

    #[test]
    fn files_whose_names_are_similar() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["golden.img", "device.toml", "missing.toml", "plain"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        for (name, expected) in [
            ("goldne.img", Some("golden.img")),
            ("golden.img.xz", Some("golden.img")),
            ("golden", Some("golden.img")),
            ("devcie.toml", Some("device.toml")),
            ("nothing.toml", None),
            ("plian", Some("plain")),
            ("other.img", None),
        ] {
            let found = nearest_file(&dir.path().join(name));
            let expected = expected.map(|name| dir.path().join(name));
            assert_eq!(found, expected, "{name}");
        }
    }
}
