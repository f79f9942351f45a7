//! Secrets in any file: private keys (see [`keyfile`]), passwords and access tokens. Files of
//! packages are left out, which everyone can have.

use super::{Finding, System, codes};
use crate::golden::packaged::packaged;
use crate::golden::traces;
use crate::keyfile;
use crate::plan::accepted::AcceptedFiles;
use crate::stream::{Content, ReadAt as _};
use crate::tree::{DirEntry, LeafKind, show};
use std::collections::BTreeSet;

/// Larger files are not searched for keys: what they hold is data (bytes).
const KEYS_LIMIT: u64 = 16 << 20;
/// Larger files are not searched for words (bytes).
const WORDS_LIMIT: u64 = 256 << 10;

/// Files by name or end of the path that hold passwords, and the words in front of them.
const FILES: [(&str, &[&str]); 14] = [
    ("/.netrc", &["password "]),
    ("/.git-credentials", &["://"]),
    ("/.pgpass", &[":"]),
    ("/.my.cnf", &["password"]),
    ("/.docker/config.json", &["\"auth\":"]),
    ("/.aws/credentials", &["aws_secret_access_key"]),
    ("/.npmrc", &["_authToken=", "_password="]),
    ("/.pypirc", &["password"]),
    ("/etc/apt/auth.conf", &["password "]),
    ("/etc/ppp/chap-secrets", &["\""]),
    ("/etc/ppp/pap-secrets", &["\""]),
    ("/.smbcredentials", &["password="]),
    ("/.config/rclone/rclone.conf", &["pass = ", "token = "]),
    ("/.kube/config", &["token:", "client-key-data:"]),
];
/// Access tokens: what they begin with, and how many letters, digits, dashes and underscores follow
/// at least.
const TOKENS: [(&str, usize, &str); 9] = [
    ("AKIA", 16, "an access key of AWS"),
    ("ghp_", 36, "a token of GitHub"),
    ("gho_", 36, "a token of GitHub"),
    ("github_pat_", 60, "a token of GitHub"),
    ("glpat-", 20, "a token of GitLab"),
    ("xoxb-", 20, "a token of Slack"),
    ("xoxp-", 20, "a token of Slack"),
    ("AIza", 35, "an API key of Google"),
    ("sk_live_", 20, "a key of Stripe"),
];
/// Where owners keep files of their own; others are not searched for words.
const OWN: [&str; 7] = [
    "/etc/",
    "/root/",
    "/home/",
    "/opt/",
    "/srv/",
    "/usr/local/",
    "/var/",
];

/// Findings about secrets in the files of a system. Files that `accepted` names are not findings.
pub(super) fn examine(system: &System<'_>, accepted: &AcceptedFiles) -> Vec<Finding> {
    let mut keys = Vec::new();
    let mut words = Vec::new();
    let packaged = packaged(system.root);
    for (dir, tree) in system.trees() {
        // These have findings of their own.
        let traces = traces::gather(tree);
        let traces: BTreeSet<Vec<u8>> = traces.into_iter().map(|trace| trace.path).collect();
        let mut seen = BTreeSet::new();
        tree.visit(&mut |path, entry| {
            let DirEntry::Leaf(id) = entry else { return };
            let LeafKind::File(content) = &tree.leaf(*id).kind else {
                return;
            };
            let known = dir.is_empty() && packaged.contains(path);
            if known || traces.contains(path) || !seen.insert(*id) {
                return;
            }
            let place = format!("{dir}{}", show(path));
            if accepted.accepts(&place) {
                return;
            }
            if content.len() <= KEYS_LIMIT
                && let Ok(Some(key)) = keyfile::private_key_in(content)
            {
                keys.push((place, key.form));
            } else if let Some(what) = secret(&place, content) {
                words.push((place, what));
            }
        });
    }
    let mut out = Vec::new();
    if !keys.is_empty() {
        let text = "every device will have these private keys";
        out.push(Finding::new(&codes::PRIVATE_KEY, text).all(keys));
    }
    if !words.is_empty() {
        let text = "every device will have these passwords or access tokens";
        out.push(Finding::new(&codes::SECRET, text).all(words));
    }
    out
}

/// What secret a file holds, if one of those that are known here. The secret itself is not in it.
fn secret(path: &str, content: &Content) -> Option<String> {
    let own = OWN.iter().any(|dir| path.starts_with(dir)) || !path.starts_with("/usr/");
    if !own || content.len() > WORDS_LIMIT {
        return None;
    }
    let named = FILES.iter().find(|(end, _)| path.ends_with(end));
    let apt = path.starts_with("/etc/apt/auth.conf.d/");
    let bytes = content.read_all(WORDS_LIMIT).ok()?;
    if bytes.contains(&0) {
        return None;
    }
    let text = String::from_utf8_lossy(&bytes);
    for (at, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.starts_with('#') {
            continue;
        }
        let words = named.map(|(_, words)| *words).unwrap_or_default();
        let words = if apt { &["password "] } else { words };
        if words.iter().any(|word| line.contains(word)) {
            return Some(format!("a password in line {at}"));
        }
        if let Some(what) = token(line) {
            return Some(format!("{what} in line {at}"));
        }
        if has_credentials(line) {
            return Some(format!("a URL with a password in line {at}"));
        }
    }
    None
}

/// The access token in a line.
fn token(line: &str) -> Option<&'static str> {
    let in_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    TOKENS.iter().find_map(|(start, len, what)| {
        let at = line.find(start)?;
        let before = line.get(..at)?;
        let rest = line.get(at + start.len()..)?;
        let count = rest.chars().take_while(|c| in_token(*c)).count();
        (count >= *len && !before.ends_with(in_token)).then_some(*what)
    })
}

/// Whether a line has a URL with a password, as in `https://user:password@host`.
fn has_credentials(line: &str) -> bool {
    line.match_indices("://").any(|(at, mark)| {
        let rest = line.get(at + mark.len()..).unwrap_or_default();
        let end = rest.find(|c: char| c == '/' || c.is_whitespace() || matches!(c, '"' | '\''));
        let host = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        let user = host.rsplit_once('@').map(|(user, _)| user);
        let password = user.and_then(|user| user.split_once(':'));
        // A variable or a word in brackets is not a password.
        password.is_some_and(|(user, password)| {
            let word = |c: char| c.is_ascii_alphanumeric() || "-_.~!%+*".contains(c);
            !user.is_empty() && !password.is_empty() && password.chars().all(word)
        })
    })
}
