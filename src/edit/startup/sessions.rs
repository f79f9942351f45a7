//! What the shells and sessions of users run that log in by themselves, and what runs in the place
//! of a login.

use super::entry::{Entry, EntryKind};
use super::follow::{Files, Found};
use super::lexer;
use super::units::{self, Unit, names_in};

/// Scripts in the home directory of a user, which the user's shells and sessions read.
const OF_HOME: [&str; 14] = [
    ".profile",
    ".bash_profile",
    ".bash_login",
    ".bashrc",
    ".zprofile",
    ".zlogin",
    ".zshrc",
    ".xinitrc",
    ".xprofile",
    ".xsession",
    ".xsessionrc",
    ".config/openbox/autostart",
    ".config/labwc/autostart",
    ".config/bspwm/bspwmrc",
];
/// The same for all users.
const OF_ALL: [&str; 6] = [
    "/etc/profile",
    "/etc/bash.bashrc",
    "/etc/zsh/zprofile",
    "/etc/X11/xinit/xinitrc",
    "/etc/xdg/openbox/autostart",
    "/etc/xdg/labwc/autostart",
];
/// Settings of window managers in which lines start commands: below the home directory and below
/// `/etc`, the form of the lines, and the section that they are in.
const SETTINGS: [(&str, Form, &str); 12] = [
    (".config/sway/config", Form::Word("exec"), ""),
    (".config/i3/config", Form::Word("exec"), ""),
    (".i3/config", Form::Word("exec"), ""),
    (".config/hypr/hyprland.conf", Form::Key("exec-once"), ""),
    (".config/weston.ini", Form::Key("path"), "autolaunch"),
    (".config/wayfire.ini", Form::Any, "autostart"),
    ("/etc/sway/config", Form::Word("exec"), ""),
    ("/etc/i3/config", Form::Word("exec"), ""),
    (
        "/etc/xdg/weston/weston.ini",
        Form::Key("path"),
        "autolaunch",
    ),
    ("/etc/wayfire/defaults.ini", Form::Any, "autostart"),
    ("/etc/lxdm/lxdm.conf", Form::Key("session"), "base"),
    ("/etc/default/nodm", Form::Key("NODM_XSESSION"), ""),
];
/// The settings of `greetd`.
const GREETD: &str = "/etc/greetd/config.toml";

/// The form of a line that starts a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// A word that begins like this, and the command: `exec_always x`.
    Word(&'static str),
    /// `key = command`.
    Key(&'static str),
    /// `anything = command`.
    Any,
}

/// What users run who log in by themselves.
pub(super) fn logins(files: &Files<'_>) -> Vec<Entry> {
    let mut out = Vec::new();
    let passwd = files.text("/etc/passwd").unwrap_or_default();
    let users = auto_users(files);
    let lingering: Vec<String> = names_in(files.root, "/var/lib/systemd/linger").collect();
    for line in passwd.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let [user, _, _, _, _, home, shell] = fields[..] else {
            continue;
        };
        let logs_in = users.iter().any(|name| name == user);
        if logs_in {
            let paths = OF_HOME.iter().map(|name| format!("{home}/{name}"));
            let paths = paths.chain([shell.to_owned()]);
            out.extend(paths.map(|path| login(path.clone(), files.script(&path, &[]))));
            out.extend(desktop_files(files, &format!("{home}/.config/autostart")));
            out.extend(lxsession(files, &format!("{home}/.config/lxsession")));
            let own = SETTINGS.iter().filter(|(path, ..)| !path.starts_with('/'));
            for (path, form, section) in own {
                out.extend(lines(files, &format!("{home}/{path}"), *form, section));
            }
        }
        if logs_in || lingering.iter().any(|name| name == user) {
            out.extend(user_units(files, &format!("{home}/.config/systemd/user")));
            out.extend(user_units(files, "/etc/systemd/user"));
        }
    }
    if !users.is_empty() {
        out.extend(of_all(files));
    }
    out.extend(instead_of_logins(files));
    out.extend(greetd(files).into_iter().map(|(entry, _)| entry));
    out
}

/// What every session reads.
fn of_all(files: &Files<'_>) -> Vec<Entry> {
    let mut out = Vec::new();
    for (dir, end) in [("/etc/profile.d", ".sh"), ("/etc/sway/config.d", "")] {
        let names: Vec<String> = names_in(files.root, dir).collect();
        for name in names.iter().filter(|name| name.ends_with(end)) {
            let path = format!("{dir}/{name}");
            match end {
                "" => out.extend(lines(files, &path, Form::Word("exec"), "")),
                _ => out.push(login(path.clone(), files.script(&path, &[]))),
            }
        }
    }
    for path in OF_ALL {
        out.push(login(path.to_owned(), files.script(path, &[])));
    }
    for (path, form, section) in SETTINGS.iter().filter(|(path, ..)| path.starts_with('/')) {
        out.extend(lines(files, path, *form, section));
    }
    out.extend(desktop_files(files, "/etc/xdg/autostart"));
    out.extend(lxsession(files, "/etc/xdg/lxsession"));
    out.extend(chosen_session(files));
    out
}

fn login(name: String, found: Found) -> Entry {
    Entry {
        kind: EntryKind::Login,
        name,
        found,
    }
}

/// The words of the commands that terminals start (`agetty(8)`), with file and line.
fn terminals(files: &Files<'_>) -> Vec<(Vec<String>, String, usize)> {
    let mut out = Vec::new();
    for name in units::started(files.root) {
        if !name.contains("getty") {
            continue;
        }
        let Some(unit) = Unit::load(files.root, &name) else {
            continue;
        };
        for setting in unit.all("ExecStart") {
            let words = lexer::tokens(&setting.value, 1);
            let words = words.into_iter().map(|word| word.text).collect();
            out.push((words, setting.file.clone(), setting.line));
        }
    }
    out
}

/// The value of an option, which is a word of its own or joined to the name by `=`.
fn option<'w>(words: &'w [String], long: &str, short: &str) -> Option<&'w str> {
    let at = words.iter().position(|word| word == long || word == short);
    let next = at.and_then(|at| words.get(at + 1)).map(String::as_str);
    let joined = || {
        let mut values = words.iter().filter_map(|word| word.strip_prefix(long));
        values.find_map(|rest| rest.strip_prefix('='))
    };
    next.or_else(joined)
}

/// Programs that terminals start in the place of `login`, without asking for a name.
fn instead_of_logins(files: &Files<'_>) -> Vec<Entry> {
    let mut out = Vec::new();
    for (words, file, line) in terminals(files) {
        let asks = option(&words, "--autologin", "-a").is_none()
            && !words
                .iter()
                .any(|word| word == "--skip-login" || word == "-n");
        if let Some(program) = option(&words, "--login-program", "-l").filter(|_| !asks) {
            out.push(login(file.clone(), files.commands(program, &file, line)));
        }
    }
    out
}

/// Users that log in by themselves: by `agetty(8)`, or by a display manager.
fn auto_users(files: &Files<'_>) -> Vec<String> {
    let mut users: Vec<String> = terminals(files)
        .iter()
        .filter_map(|(words, ..)| Some(option(words, "--autologin", "-a")?.to_owned()))
        .collect();
    let mut configs = vec![
        "/etc/lightdm/lightdm.conf".to_owned(),
        "/etc/gdm3/daemon.conf".to_owned(),
        "/etc/sddm.conf".to_owned(),
        "/etc/lxdm/lxdm.conf".to_owned(),
        "/etc/default/nodm".to_owned(),
    ];
    for dir in [
        "/etc/lightdm/lightdm.conf.d",
        "/usr/share/lightdm/lightdm.conf.d",
        "/etc/sddm.conf.d",
    ] {
        configs.extend(names_in(files.root, dir).map(|name| format!("{dir}/{name}")));
    }
    let keys = [
        "autologin-user",
        "AutomaticLogin",
        "User",
        "autologin",
        "NODM_USER",
    ];
    for path in configs {
        for line in files.text(&path).unwrap_or_default().lines() {
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            if keys.contains(&key.trim()) {
                users.push(value.trim().trim_matches(['"', '\'']).to_owned());
            }
        }
    }
    users.extend(greetd(files).into_iter().filter_map(|(_, user)| user));
    users
}

/// The commands of `greetd`, with the user of the session that needs no person.
fn greetd(files: &Files<'_>) -> Vec<(Entry, Option<String>)> {
    let text = files.text(GREETD).unwrap_or_default();
    let mut section = String::new();
    let mut out: Vec<(Entry, Option<String>)> = Vec::new();
    let mut user = None;
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        }
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        let value = value.trim().trim_matches(['"', '\'']);
        match (section.as_str(), key.trim()) {
            ("initial_session", "user") => user = Some(value.to_owned()),
            ("initial_session" | "default_session", "command") => {
                let found = files.commands(value, GREETD, at + 1);
                out.push((login(GREETD.to_owned(), found), None));
            }
            _ => {}
        }
    }
    if let Some((_, of_first)) = out.first_mut() {
        *of_first = user;
    }
    out
}

/// The session that a display manager starts for users who log in by themselves.
fn chosen_session(files: &Files<'_>) -> Vec<Entry> {
    let mut out = Vec::new();
    let configs = [
        "/etc/lightdm/lightdm.conf",
        "/etc/sddm.conf",
        "/etc/sddm.conf.d/autologin.conf",
    ];
    let texts = configs.iter().filter_map(|path| files.text(path));
    for line in texts.collect::<Vec<_>>().join("\n").lines() {
        let Some((key, name)) = line.split_once('=') else {
            continue;
        };
        if !["autologin-session", "user-session", "Session"].contains(&key.trim()) {
            continue;
        }
        let name = name.trim().trim_end_matches(".desktop");
        for dir in ["/usr/share/xsessions", "/usr/share/wayland-sessions"] {
            out.extend(desktop_file(files, &format!("{dir}/{name}.desktop")));
        }
    }
    out
}

/// What the sessions of a desktop start.
fn desktop_files(files: &Files<'_>, dir: &str) -> Vec<Entry> {
    let names = names_in(files.root, dir).filter(|name| name.ends_with(".desktop"));
    let paths: Vec<String> = names.map(|name| format!("{dir}/{name}")).collect();
    let all = paths.iter().map(|path| desktop_file(files, path));
    all.collect::<Vec<_>>().concat()
}

fn desktop_file(files: &Files<'_>, path: &str) -> Vec<Entry> {
    let text = files.text(path).unwrap_or_default();
    let off = ["Hidden=true", "X-GNOME-Autostart-enabled=false"];
    if text.lines().any(|line| off.contains(&line.trim())) {
        return Vec::new();
    }
    lines(files, path, Form::Key("Exec"), "Desktop Entry")
}

/// The lists of LXDE's sessions, of which each line is a command; `@` restarts what ends.
fn lxsession(files: &Files<'_>, dir: &str) -> Vec<Entry> {
    let mut out = Vec::new();
    for profile in names_in(files.root, dir) {
        let path = format!("{dir}/{profile}/autostart");
        for (at, line) in files.text(&path).unwrap_or_default().lines().enumerate() {
            let command = line.trim().trim_start_matches('@');
            if !command.is_empty() && !command.starts_with('#') {
                let found = files.commands(command, &path, at + 1);
                out.push(login(path.clone(), found));
            }
        }
    }
    out
}

/// The commands in lines of this form, in a section if it has a name.
fn lines(files: &Files<'_>, path: &str, form: Form, section: &str) -> Vec<Entry> {
    let mut out = Vec::new();
    let mut within = section.is_empty();
    for (at, line) in files.text(path).unwrap_or_default().lines().enumerate() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[').filter(|_| !section.is_empty()) {
            within = name.trim_end_matches(']') == section;
            continue;
        }
        if !within || line.starts_with(['#', ';']) {
            continue;
        }
        let pair = line.split_once('=').map(|(key, value)| (key.trim(), value));
        let command = match form {
            Form::Word(word) => {
                let pair = line.split_once(char::is_whitespace);
                let pair = pair.filter(|(first, _)| first.starts_with(word));
                pair.map(|(_, command)| command.trim().trim_start_matches("--no-startup-id"))
            }
            Form::Key(key) => pair
                .filter(|(name, _)| *name == key)
                .map(|(_, value)| value),
            Form::Any => pair.map(|(_, value)| value),
        };
        if let Some(command) = command {
            let command = command.trim();
            let quoted = command.len() > 1 && command.starts_with('"') && command.ends_with('"');
            let command = if quoted {
                command.trim_matches('"')
            } else {
                command
            };
            let found = files.commands(command, path, at + 1);
            out.push(login(path.to_owned(), found));
        }
    }
    out
}

/// The units that a user's service manager starts.
fn user_units(files: &Files<'_>, dir: &str) -> Vec<Entry> {
    let mut out = Vec::new();
    for group in names_in(files.root, dir).filter(|name| name.ends_with(".wants")) {
        for name in names_in(files.root, &format!("{dir}/{group}")) {
            let path = format!("{dir}/{group}/{name}");
            if let Some(unit) = Unit::at(files.root, &path, &name)
                && files.may_start(&unit)
            {
                let found = files.service(&unit);
                out.push(login(unit.file, found));
            }
        }
    }
    out
}
