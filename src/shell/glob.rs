//! Patterns against paths of the host, and against texts.

use super::host::Host;
use super::pattern::{self, PatternChar, plain};

/// More matches than any script means: then there are none.
const MAX_MATCHES: usize = 100_000;

/// More names than any script lists: then nothing matches.
const MAX_NAMES: u64 = 1_000_000;

/// The paths that a pattern matches, sorted within each directory. A leading dot is matched only by
/// a dot, `/` only by itself, and a relative pattern is looked up from the root.
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
    let relative = pattern.first().map(|(c, _)| *c) != Some('/');
    for component in pattern
        .split(|(c, _)| *c == '/')
        .filter(|component| !component.is_empty())
    {
        let mut next = Vec::new();
        for base in &found {
            if seen > MAX_NAMES || next.len() > MAX_MATCHES {
                break;
            }
            next.extend(below(host, base, component, &mut seen));
        }
        if next.len() > MAX_MATCHES || seen > MAX_NAMES {
            return (Vec::new(), seen);
        }
        found = next;
    }
    if relative {
        for path in &mut found {
            path.remove(0);
        }
    }
    (found, seen)
}

/// The paths in the directory `base` whose name matches one component of a pattern.
fn below(host: &dyn Host, base: &str, component: &[PatternChar], seen: &mut u64) -> Vec<String> {
    let literal: String = component.iter().map(|(c, _)| c).collect();
    if !pattern::is_wild(component) {
        *seen = seen.saturating_add(1);
        let path = format!("{base}/{literal}");
        return Vec::from_iter(host.has_entry(&path).then_some(path));
    }
    let names = host
        .names(if base.is_empty() { "/" } else { base })
        .unwrap_or_default();
    *seen = seen.saturating_add(names.len() as u64);
    let hidden = literal.starts_with('.');
    let fits = |name: &String| {
        (hidden || !name.starts_with('.'))
            && pattern::matches(component, &name.chars().collect::<Vec<_>>())
    };
    let names = names.into_iter().filter(fits);
    names.map(|name| format!("{base}/{name}")).collect()
}
