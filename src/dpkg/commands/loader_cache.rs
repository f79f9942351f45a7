//! `ldconfig(8)`: the cache of the dynamic loader is not rebuilt. What is in the loader's own
//! directories it finds without the cache; what is only in a directory of `/etc/ld.so.conf` it
//! finds by the cache alone.

use super::super::script_host::ScriptHost;
use crate::shell::glob;
use crate::tree::edit::EditError;
use std::collections::BTreeSet;

/// Files that include each other; real systems have a few.
const MAX_FILES: usize = 1000;

/// Libraries that the loader would find by a new cache alone.
pub(super) fn unreachable(host: &ScriptHost<'_, '_>) -> Result<Vec<String>, EditError> {
    let cache = host
        .editor
        .read("/etc/ld.so.cache", 64 << 20)?
        .unwrap_or_default();
    let mut out = Vec::new();
    for dir in directories(host)? {
        if own(&dir) {
            continue;
        }
        for path in glob(host, &format!("{dir}/lib*.so*")) {
            let stem = path.split(".so").next().unwrap_or(&path);
            let entry = format!("{stem}.so");
            let cached = cache
                .windows(entry.len())
                .any(|window| window == entry.as_bytes());
            if host.is_file(&path) && !cached {
                out.push(path);
            }
        }
    }
    Ok(out)
}

/// Whether the loader looks into a directory without the cache.
fn own(dir: &str) -> bool {
    let below = dir.strip_prefix("/usr").unwrap_or(dir);
    match below
        .strip_prefix("/lib")
        .map(|rest| rest.trim_start_matches('/'))
    {
        Some("") => true,
        Some(triplet) => triplet.contains("-linux-") && !triplet.contains('/'),
        None => below == "/lib64",
    }
}

/// The directories of `/etc/ld.so.conf` and the files that it includes.
fn directories(host: &ScriptHost<'_, '_>) -> Result<BTreeSet<String>, EditError> {
    let mut out = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut todo = vec!["/etc/ld.so.conf".to_owned()];
    while let Some(file) = todo.pop().filter(|_| seen.len() < MAX_FILES) {
        if !seen.insert(file.clone()) {
            continue;
        }
        for line in host.text(&file)?.unwrap_or_default().lines() {
            let line = line.split('#').next().unwrap_or_default().trim();
            match line.strip_prefix("include ") {
                Some(pattern) => {
                    let pattern = pattern.trim();
                    let pattern = if pattern.starts_with('/') {
                        pattern.to_owned()
                    } else {
                        format!("/etc/{pattern}")
                    };
                    todo.extend(glob(host, &pattern));
                }
                None if line.starts_with('/') => {
                    out.insert(line.trim_end_matches('/').to_owned());
                }
                None => {}
            }
        }
    }
    Ok(out)
}
