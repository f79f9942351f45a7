//! Directories whose files do not outlive a start: filesystems of the kernel's are mounted on them,
//! or `systemd-tmpfiles` empties them (`tmpfiles.d(5)`).

use crate::golden::references::{entries, text};
use crate::shell::matches;
use crate::tree::Tree;
use std::collections::BTreeMap;

/// Where each start mounts a filesystem of the kernel's.
const MOUNTED: [&str; 4] = ["/dev", "/proc", "/run", "/sys"];
/// Directories of settings, the first one decides.
const DIRS: [&str; 3] = [
    "/etc/tmpfiles.d",
    "/usr/local/lib/tmpfiles.d",
    "/usr/lib/tmpfiles.d",
];

/// A line that removes something at each start.
#[derive(Debug)]
struct Removal {
    path: String,
    /// Whether the directory stays, without what is in it.
    empties: bool,
    file: String,
    /// The line, from 1.
    line: usize,
}

/// The directories of a system whose files do not outlive a start.
#[derive(Debug)]
pub(super) struct Volatile(Vec<Removal>);

impl Volatile {
    /// Reads the settings of a root filesystem.
    pub(super) fn new(root: &Tree) -> Self {
        let mut files: BTreeMap<String, String> = BTreeMap::new();
        for path in DIRS.iter().flat_map(|dir| entries(root, dir)) {
            let name = path.rsplit('/').next().unwrap_or_default().to_owned();
            if name.ends_with(".conf") {
                files.entry(name).or_insert(path);
            }
        }
        let mut removals = Vec::new();
        for path in files.values() {
            let body = text(root, path).unwrap_or_default();
            for (line, number) in body.lines().zip(1_usize..) {
                removals.extend(removal(line, path, number));
            }
        }
        Self(removals)
    }

    /// The reason why a file at this path is not there after a start, for the end of a sentence.
    pub(super) fn why(&self, path: &str) -> Option<String> {
        if let Some(dir) = MOUNTED.iter().find(|dir| is_below(path, dir)) {
            return Some(format!(
                ": hidden on the device, where each start mounts a filesystem of the kernel on {dir}"
            ));
        }
        let what = match self.removal(path) {
            Some(one) if one.empties => format!("empties {} ({}:{})", one.path, one.file, one.line),
            Some(one) => format!("removes it ({}:{})", one.file, one.line),
            None if is_below(path, "/tmp") => "empties /tmp".to_owned(),
            None => return None,
        };
        Some(format!(": gone on the device: each start {what}"))
    }

    /// The file and the line of the setting that removes a file at each start.
    pub(super) fn removed_by(&self, path: &str) -> Option<(String, usize)> {
        let removal = self.removal(path)?;
        Some((removal.file.clone(), removal.line))
    }

    fn removal(&self, path: &str) -> Option<&Removal> {
        self.0.iter().find(|removal| {
            let is_it = !removal.empties && matches(&removal.path, path);
            is_it || is_below(path, &removal.path)
        })
    }
}

fn is_below(path: &str, dir: &str) -> bool {
    let rest = path.strip_prefix(dir);
    rest.is_some_and(|rest| rest.starts_with('/'))
}

/// What a line removes.
fn removal(line: &str, file: &str, number: usize) -> Option<Removal> {
    let mut fields = line.split_whitespace();
    let kind = fields.next()?.chars().next()?;
    let path = fields.next()?.trim_matches('"').trim_end_matches('/');
    (matches!(kind, 'D' | 'R' | 'r') && path.starts_with('/')).then(|| Removal {
        path: path.to_owned(),
        empties: kind == 'D',
        file: file.to_owned(),
        line: number,
    })
}
