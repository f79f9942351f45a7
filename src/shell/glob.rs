//! Patterns against paths of the host, and against texts.

use super::host::Host;
use super::pattern::{self, PatternChar, plain};

/// More matches than any script means: then there are none.
const MAX_MATCHES: usize = 100_000;

/// More names than any script lists: then nothing matches.
const MAX_NAMES: u64 = 1_000_000;

/// The paths that a pattern matches, sorted within each directory. A leading dot is matched only by
/// a dot, `/` only by itself, and a relative pattern is looked up from the working directory.
#[must_use]
pub fn glob(host: &dyn Host, pattern: &str) -> Vec<String> {
    matching(host, &plain(pattern)).0
}

/// Whether a pattern matches the whole text, in which `/` and a leading dot are nothing special.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    pattern::matches(&plain(pattern), &text.chars().collect::<Vec<_>>())
}

/// The paths that a pattern matches, and how many names were compared with it.
pub(super) fn matching(host: &dyn Host, pattern: &[PatternChar]) -> (Vec<String>, u64) {
    let mut found = vec![String::new()];
    let mut seen = 0_u64;
    let top = if pattern.first().map(|(c, _)| *c) == Some('/') {
        "/"
    } else {
        "."
    };
    for component in pattern
        .split(|(c, _)| *c == '/')
        .filter(|component| !component.is_empty())
    {
        let mut next = Vec::new();
        for base in &found {
            if seen > MAX_NAMES || next.len() > MAX_MATCHES {
                break;
            }
            next.extend(below(host, top, base, component, &mut seen));
        }
        if next.len() > MAX_MATCHES || seen > MAX_NAMES {
            return (Vec::new(), seen);
        }
        found = next;
    }
    // A pattern that ends in a slash is one of directories.
    if pattern.last().map(|(c, _)| *c) == Some('/') {
        found.retain(|path| host.is_dir(path));
        found.iter_mut().for_each(|path| path.push('/'));
    }
    (found, seen)
}

/// The paths in the directory `base` whose name matches one component of a pattern.
fn below(
    host: &dyn Host,
    top: &str,
    base: &str,
    component: &[PatternChar],
    seen: &mut u64,
) -> Vec<String> {
    let literal: String = component.iter().map(|(c, _)| c).collect();
    let path = |name: &str| match (base, top) {
        ("", ".") => name.to_owned(),
        _ => format!("{base}/{name}"),
    };
    if !pattern::is_wild(component) {
        *seen = seen.saturating_add(1);
        let path = path(&literal);
        return Vec::from_iter(host.has_entry(&path).then_some(path));
    }
    let names = host
        .names(if base.is_empty() { top } else { base })
        .unwrap_or_default();
    *seen = seen.saturating_add(names.len() as u64);
    let hidden = literal.starts_with('.');
    let fits = |name: &String| {
        (hidden || !name.starts_with('.'))
            && pattern::matches(component, &name.chars().collect::<Vec<_>>())
    };
    let names = names.into_iter().filter(fits);
    names.map(|name| path(&name)).collect()
}
