//! Settings of the system: `[systemd]` and `[system]`.

use super::edits::place;
use crate::config::Config;
use crate::input_file;
use crate::keyfile;
use crate::problem::{Problem, Problems};
use std::path::Path;

/// The largest file with public keys (bytes).
const KEYS_MAX: u64 = 1 << 20;

/// A value, and where the configuration sets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The key, the file of the configuration (without directories) and the line.
    pub from: String,
    /// The value.
    pub value: String,
}

/// What becomes of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitAction {
    /// It is enabled.
    Enable,
    /// It is disabled.
    Disable,
    /// It is masked.
    Mask,
}

/// Public SSH keys of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserKeys {
    /// The key, the file of the configuration (without directories) and the line.
    pub from: String,
    /// The user's name.
    pub user: String,
    /// The lines for `authorized_keys`.
    pub keys: Vec<String>,
}

/// The settings that the configuration has; all others stay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SystemSettings {
    /// Units by name, with their suffix; those to enable come first.
    pub units: Vec<(UnitAction, Setting)>,
    /// The host name.
    pub hostname: Option<Setting>,
    /// The time zone.
    pub timezone: Option<Setting>,
    /// The locale.
    pub locale: Option<Setting>,
    /// Public keys of users.
    pub users: Vec<UserKeys>,
}

impl SystemSettings {
    /// # Errors
    /// Keys that are not public SSH keys, and files that cannot be read.
    pub(super) fn new(config: &Config) -> Result<Self, Problems> {
        let (systemd, system) = (&config.systemd, &config.system);
        let lists = [
            (UnitAction::Enable, "systemd.enable", &systemd.enable),
            (UnitAction::Disable, "systemd.disable", &systemd.disable),
            (UnitAction::Mask, "systemd.mask", &systemd.mask),
        ];
        let mut units = Vec::new();
        for (action, key, list) in lists {
            for (at, unit) in list.iter().flatten().enumerate() {
                let path = format!("{key}[{at}]");
                let path = match config.location(&path) {
                    Some(_) => path,
                    None => key.to_owned(),
                };
                let setting = Setting {
                    from: place(config, key, &path),
                    value: unit.clone(),
                };
                units.push((action, setting));
            }
        }
        let setting = |key: &str, value: &Option<String>| {
            value.clone().map(|value| Setting {
                from: place(config, key, key),
                value,
            })
        };
        let mut problems = Problems::default();
        Ok(Self {
            units,
            hostname: setting("system.hostname", &system.hostname),
            timezone: setting("system.timezone", &system.timezone),
            locale: setting("system.locale", &system.locale),
            users: {
                let users = users(config, &mut problems);
                problems.check()?;
                users
            },
        })
    }
}

/// The users with their keys.
fn users(config: &Config, problems: &mut Problems) -> Vec<UserKeys> {
    let mut out = Vec::new();
    for (at, user) in config.system.user.iter().flatten().enumerate() {
        let path = format!("system.user[{at}].name");
        let mut keys = Vec::new();
        for key in &user.authorized_keys {
            let at = format!("system.user[{at}].authorized-keys");
            let at = config
                .location(&at)
                .map_or_else(|| at.clone(), |place| place.with_key(&at));
            take(key, &at, &mut keys, problems);
        }
        for file in &user.authorized_keys_file {
            match read(file) {
                Ok(text) => {
                    for (line, number) in text.lines().zip(1..) {
                        let at = format!("{}:{number}", file.display());
                        take(line, &at, &mut keys, problems);
                    }
                }
                Err(problem) => {
                    let key = format!("system.user[{at}].authorized-keys-file");
                    let place = config.location(&key);
                    let place = place.map_or_else(|| key.clone(), |place| place.with_key(&key));
                    problems.push(Problem::new(format!("{place}: {}", problem.message)));
                }
            }
        }
        out.push(UserKeys {
            from: place(config, "system.user", &path),
            user: user.name.clone(),
            keys,
        });
    }
    out
}

fn read(path: &Path) -> Result<String, Problem> {
    let name = path.display();
    input_file::read_text(path, KEYS_MAX, "a file of public keys")
        .map_err(|e| Problem::new(format!("reading the public keys {name}: {e}")))
}

/// Takes a line of `authorized_keys`; empty lines and comments are left out.
fn take(line: &str, at: &str, keys: &mut Vec<String>, problems: &mut Problems) {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return;
    }
    match keyfile::authorized_key(line) {
        Ok(()) => keys.push(line.to_owned()),
        Err(what) => {
            let hint = "give the public key: the line in a file such as id_ed25519.pub";
            problems.push(Problem::new(format!("{at}: {what}")).hint(hint));
        }
    }
}
