//! Commands that apt and dpkg run around an installation.

use super::{lines, names};
use crate::tree::Tree;

/// The lists of apt, in lower case.
const LISTS: [&str; 6] = [
    "dpkg::pre-invoke",
    "dpkg::post-invoke",
    "dpkg::pre-install-pkgs",
    "apt::update::pre-invoke",
    "apt::update::post-invoke",
    "apt::update::post-invoke-success",
];

/// Whether a program runs them.
pub(super) fn is_apt(name: &str) -> bool {
    matches!(
        name,
        "apt" | "apt-get" | "aptitude" | "unattended-upgrade" | "unattended-upgrades"
    )
}

/// All commands, with file and line.
pub(super) fn commands(root: &Tree) -> Vec<(String, u32, String)> {
    let mut paths = entries(root, "/etc/apt/apt.conf.d");
    paths.push("/etc/apt/apt.conf".to_owned());
    let mut out = Vec::new();
    for path in paths {
        settings(root, &path, &mut out);
    }
    let mut paths = entries(root, "/etc/dpkg/dpkg.cfg.d");
    paths.push("/etc/dpkg/dpkg.cfg".to_owned());
    for path in paths {
        for (at, line) in lines(root, &path) {
            let line = line.trim().trim_start_matches("--");
            let value = ["pre-invoke", "post-invoke"]
                .iter()
                .find_map(|key| line.strip_prefix(key)?.strip_prefix(['=', ' ']));
            let value = value.map(|value| value.trim().trim_matches(['"', '\'']).to_owned());
            out.extend(value.map(|value| (path.clone(), at, value)));
        }
    }
    out
}

fn entries(root: &Tree, dir: &str) -> Vec<String> {
    let all = names(root, dir).into_iter();
    all.map(|name| format!("{dir}/{name}")).collect()
}

/// Reads `Name { "value"; };`, `A { B "value"; };` and `A::B:: "value";`.
fn settings(root: &Tree, path: &str, out: &mut Vec<(String, u32, String)>) {
    let mut around: Vec<String> = Vec::new();
    let mut name = String::new();
    let mut comment = false;
    for (at, line) in lines(root, path) {
        let mut quoted = false;
        let mut value = String::new();
        let mut rest = line.as_str();
        while let Some(c) = rest.chars().next() {
            let after = rest.get(c.len_utf8()..).unwrap_or_default();
            if comment || (!quoted && rest.starts_with("/*")) {
                let end = rest.split_once("*/");
                comment = end.is_none();
                rest = end.map_or("", |(_, after)| after);
                continue;
            }
            if !quoted && (rest.starts_with("//") || rest.starts_with('#')) {
                break;
            }
            match c {
                '"' => {
                    quoted = !quoted;
                    if quoted {
                        value.clear();
                    } else {
                        let full = [around.concat(), name.trim().to_owned()].concat();
                        let full = full.to_lowercase();
                        if LISTS.contains(&full.trim_end_matches("::")) {
                            out.push((path.to_owned(), at, value.clone()));
                        }
                    }
                }
                _ if quoted => value.push(c),
                '{' => {
                    around.push(format!("{}::", name.trim()));
                    name.clear();
                }
                '}' => {
                    around.pop();
                    name.clear();
                }
                ';' => name.clear(),
                c => name.push(c),
            }
            rest = after;
        }
        name.push(' ');
    }
}
