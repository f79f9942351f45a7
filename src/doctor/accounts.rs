//! Who can log in: `/etc/passwd`, `/etc/shadow` (`shadow(5)`), `authorized_keys` (`sshd(8)`).

use super::passwords::TriedPasswords;
use super::{Finding, System, codes};
use crate::tree::Node;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;

/// Shells with which nobody logs in.
const NO_LOGIN: [&str; 4] = ["nologin", "false", "sync", "true"];

/// An account that someone can log in to.
struct Account {
    name: String,
    /// The encrypted password, empty if none is needed.
    password: String,
    home: String,
}

/// Encrypted passwords that are tried: each takes a second or more.
const TRIED: usize = 4;

/// Findings about accounts.
pub(super) fn examine(system: &System<'_>) -> Vec<Finding> {
    let accounts = accounts(system);
    let mut empty = Vec::new();
    let mut default = Vec::new();
    let mut shared = Vec::new();
    let mut tried: BTreeMap<&str, Option<String>> = BTreeMap::new();
    for account in &accounts {
        let place = |value: String| ("/etc/shadow".to_owned(), value);
        let name = &account.name;
        match account.password.as_str() {
            "" => empty.push(place(format!("{name} has no password"))),
            password if is_locked(password) => {}
            password if tried.len() == TRIED && !tried.contains_key(password) => {
                let text = format!("{name} has a password, which was not held against common ones");
                shared.push(place(text));
            }
            password => {
                let try_it = || match system.tried {
                    Some(tried) => tried.known(name, password),
                    None => TriedPasswords::default().known(name, password),
                };
                match tried.entry(password).or_insert_with(try_it) {
                    Some(known) => {
                        default.push(place(format!("the password of {name} is {known:?}")));
                    }
                    None => shared.push(place(format!("{name} has a password"))),
                }
            }
        }
    }
    let mut out = Vec::new();
    let mut add = |code, text: &str, places: Vec<(String, String)>| {
        if !places.is_empty() {
            out.push(Finding::new(code, text).all(places));
        }
    };
    add(
        &codes::PASSWORD_EMPTY,
        "an account has an empty password",
        empty,
    );
    add(
        &codes::PASSWORD_DEFAULT,
        "an account has a password that everyone knows",
        default,
    );
    add(
        &codes::PASSWORD_SHARED,
        "accounts have the same passwords on every device",
        shared,
    );
    add(
        &codes::AUTHORIZED_KEYS,
        "these SSH keys can log in to every device",
        keys(system, &accounts),
    );
    out
}

/// Whether nobody can log in with this password.
fn is_locked(encrypted: &str) -> bool {
    encrypted.starts_with(['!', '*']) || encrypted == "x"
}

/// Begins with the passwords that [`examine`] would try, until `stop` is set.
pub(super) fn begin(system: &System<'_>, tried: &TriedPasswords, stop: &AtomicBool) {
    let accounts = accounts(system);
    let mut begun = BTreeSet::new();
    for Account { name, password, .. } in &accounts {
        let is_tried = !password.is_empty() && !is_locked(password);
        if is_tried && begun.len() < TRIED && begun.insert(password) {
            tried.begin(name, password, stop);
        }
    }
}

/// The accounts with a shell to log in with.
fn accounts(system: &System<'_>) -> Vec<Account> {
    let shadow = system.text("/etc/shadow");
    let hidden = |name: &str| {
        let mut lines = shadow.lines().map(|line| line.split(':'));
        lines.find_map(|mut fields| (fields.next()? == name).then(|| fields.next())?)
    };
    let passwd = system.text("/etc/passwd");
    let mut out = Vec::new();
    for line in passwd.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, password, _, _, _, home, shell] = fields.as_slice() else {
            continue;
        };
        let shell = shell.rsplit('/').next().unwrap_or_default();
        if NO_LOGIN.contains(&shell) {
            continue;
        }
        let password = match *password {
            "x" => hidden(name).unwrap_or("*"),
            other => other,
        };
        out.push(Account {
            name: (*name).to_owned(),
            password: password.to_owned(),
            home: (*home).to_owned(),
        });
    }
    out
}

/// The SSH keys that can log in, by file.
fn keys(system: &System<'_>, accounts: &[Account]) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for account in accounts {
        for name in ["authorized_keys", "authorized_keys2"] {
            let path = format!("{}/.ssh/{name}", account.home.trim_end_matches('/'));
            let Some(Node::Leaf(_)) = system.root.find(&path) else {
                continue;
            };
            let text = system.text(&path);
            let is_key = |line: &&str| !line.trim().is_empty() && !line.trim().starts_with('#');
            let count = text.lines().filter(is_key).count();
            if count > 0 {
                out.push((path, format!("{count} keys for {}", account.name)));
            }
        }
    }
    out
}
