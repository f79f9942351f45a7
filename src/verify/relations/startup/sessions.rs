//! Sessions that need nobody: users who log in by themselves, and programs in the place of a login.

use super::reader::steps;
use super::start::Start;
use super::trace::Files;
use super::units::{Unit, reached};
use std::collections::{BTreeMap, BTreeSet};

/// Scripts below the home directory.
const SCRIPTS: [&str; 14] = [
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
/// Scripts of all sessions.
const SHARED: [&str; 6] = [
    "/etc/profile",
    "/etc/bash.bashrc",
    "/etc/zsh/zprofile",
    "/etc/X11/xinit/xinitrc",
    "/etc/xdg/openbox/autostart",
    "/etc/xdg/labwc/autostart",
];
/// Lists of commands below the home directory: the file, and what begins a line with a command.
const LISTS: [(&str, &str); 6] = [
    (".config/sway/config", "exec"),
    (".config/i3/config", "exec"),
    (".i3/config", "exec"),
    (".config/hypr/hyprland.conf", "exec-once"),
    (".config/weston.ini", "path"),
    (".config/wayfire.ini", "*"),
];
/// The same of all users.
const SHARED_LISTS: [(&str, &str); 6] = [
    ("/etc/sway/config", "exec"),
    ("/etc/i3/config", "exec"),
    ("/etc/xdg/weston/weston.ini", "path"),
    ("/etc/wayfire/defaults.ini", "*"),
    ("/etc/lxdm/lxdm.conf", "session"),
    ("/etc/default/nodm", "NODM_XSESSION"),
];
const GREETD: &str = "/etc/greetd/config.toml";

/// All of them.
pub(super) fn all(files: &Files<'_>) -> Vec<Start> {
    let users = logged_in(files);
    let mut out = Vec::new();
    for (_, line) in files.lines("/etc/passwd") {
        let fields: Vec<&str> = line.split(':').collect();
        let [user, _, _, _, _, home, shell] = fields[..] else {
            continue;
        };
        let linger = format!("/var/lib/systemd/linger/{user}");
        let lingers = files.root.find(linger).is_some();
        if users.contains(user) {
            let paths = SCRIPTS.iter().map(|name| format!("{home}/{name}"));
            let paths = paths.chain([shell.to_owned()]);
            out.extend(paths.map(|path| files.own(&path, files.script(&path, &[]))));
            for (name, mark) in LISTS {
                out.extend(commands(files, &format!("{home}/{name}"), mark));
            }
            out.extend(desktop(files, &format!("{home}/.config/autostart")));
            out.extend(lists(files, &format!("{home}/.config/lxsession")));
        }
        if lingers || users.contains(user) {
            out.extend(of_user(files, &format!("{home}/.config/systemd/user")));
            out.extend(of_user(files, "/etc/systemd/user"));
        }
    }
    if !users.is_empty() {
        out.extend(shared(files));
    }
    for words in terminals(files) {
        let alone = value(&words, "--autologin", "-a").is_some()
            || words
                .iter()
                .any(|word| word == "-n" || word == "--skip-login");
        let program = value(&words, "--login-program", "-l").filter(|_| alone);
        out.extend(program.map(|path| files.own(&path, files.script(&path, &[]))));
    }
    for (section, key, at, text) in greetd(files) {
        if key == "command" && section.ends_with("_session") {
            out.push(files.own(GREETD, files.line(GREETD, at, &text)));
        }
    }
    out
}

/// What is the same in every session.
fn shared(files: &Files<'_>) -> Vec<Start> {
    let mut scripts = files.entries("/etc/profile.d");
    scripts.retain(|path| path.ends_with(".sh"));
    scripts.extend(SHARED.map(String::from));
    let scripts = scripts.iter();
    let mut out: Vec<Start> = scripts
        .map(|path| files.own(path, files.script(path, &[])))
        .collect();
    for (path, mark) in SHARED_LISTS {
        out.extend(commands(files, path, mark));
    }
    for path in files.entries("/etc/sway/config.d") {
        out.extend(commands(files, &path, "exec"));
    }
    out.extend(desktop(files, "/etc/xdg/autostart"));
    out.extend(lists(files, "/etc/xdg/lxsession"));
    let managers = [
        "/etc/lightdm/lightdm.conf",
        "/etc/sddm.conf",
        "/etc/sddm.conf.d/autologin.conf",
    ];
    for (_, line) in managers.iter().flat_map(|path| files.lines(path)) {
        if let Some((key, name)) = line.split_once('=')
            && ["autologin-session", "user-session", "Session"].contains(&key.trim())
        {
            let name = name.trim().trim_end_matches(".desktop");
            for dir in ["/usr/share/xsessions", "/usr/share/wayland-sessions"] {
                out.extend(commands(files, &format!("{dir}/{name}.desktop"), "Exec"));
            }
        }
    }
    out
}

/// The words of what terminals start.
fn terminals(files: &Files<'_>) -> Vec<Vec<String>> {
    let mut out = Vec::new();
    for name in reached(files.root) {
        let unit = Unit::read(files.root, &name).filter(|_| name.contains("getty"));
        for setting in unit.iter().flat_map(|unit| unit.values("ExecStart")) {
            let found = steps(setting.text.trim_start_matches('-'), &[], &BTreeMap::new());
            out.extend(found.into_iter().map(|step| step.words));
        }
    }
    out
}

/// The value of an option, in a word of its own or after `=`.
fn value(words: &[String], long: &str, short: &str) -> Option<String> {
    let pair = words.windows(2).find_map(|pair| match pair {
        [option, value] if option == long || option == short => Some(value.clone()),
        _ => None,
    });
    let joined = format!("{long}=");
    pair.or_else(|| {
        words
            .iter()
            .find_map(|word| Some(word.strip_prefix(&joined)?.to_owned()))
    })
}

/// Users that log in by themselves.
fn logged_in(files: &Files<'_>) -> BTreeSet<String> {
    let words = terminals(files).into_iter();
    let mut users: BTreeSet<String> = words
        .filter_map(|words| value(&words, "--autologin", "-a"))
        .collect();
    let mut paths: Vec<String> = [
        "/etc/lightdm/lightdm.conf",
        "/etc/gdm3/daemon.conf",
        "/etc/sddm.conf",
        "/etc/lxdm/lxdm.conf",
        "/etc/default/nodm",
    ]
    .map(String::from)
    .into();
    for dir in [
        "/etc/lightdm/lightdm.conf.d",
        "/usr/share/lightdm/lightdm.conf.d",
        "/etc/sddm.conf.d",
    ] {
        paths.extend(files.entries(dir));
    }
    let keys = [
        "autologin-user",
        "AutomaticLogin",
        "User",
        "autologin",
        "NODM_USER",
    ];
    for (_, line) in paths.iter().flat_map(|path| files.lines(path)) {
        if let Some((key, user)) = line.split_once('=')
            && keys.contains(&key.trim())
        {
            users.insert(user.trim().trim_matches(['"', '\'']).to_owned());
        }
    }
    let first = greetd(files).into_iter();
    users.extend(first.filter_map(|(section, key, _, user)| {
        (section == "initial_session" && key == "user").then_some(user)
    }));
    users
}

/// The settings of `greetd`: section, key, line, value.
fn greetd(files: &Files<'_>) -> Vec<(String, String, u32, String)> {
    let mut section = String::new();
    let mut out = Vec::new();
    for (at, line) in files.lines(GREETD) {
        match line.split_once('=') {
            None => line.trim_matches(['[', ']']).clone_into(&mut section),
            Some((key, value)) => {
                let value = value.trim().trim_matches(['"', '\'']).to_owned();
                out.push((section.clone(), key.trim().to_owned(), at, value));
            }
        }
    }
    out
}

/// The commands in a list whose lines begin with a mark: `exec x`, `exec-once = x`, `Exec=x`; `*`
/// is any key in a section for them.
fn commands(files: &Files<'_>, path: &str, mark: &str) -> Vec<Start> {
    let sections = ["autostart", "autolaunch", "base", "Desktop Entry"];
    let mut skipped = false;
    let mut out = Vec::new();
    for (at, line) in files.lines(path) {
        if let Some(name) = line.strip_prefix('[') {
            skipped = !sections.contains(&name.trim_end_matches(']'));
            continue;
        }
        let command = match line.split_once('=') {
            Some((key, value)) if key.trim() == mark || mark == "*" => value,
            _ => match line.split_once(char::is_whitespace) {
                Some((first, value)) if mark == "exec" && first.starts_with(mark) => value,
                _ => continue,
            },
        };
        if !skipped {
            let command = command.trim().trim_start_matches("--no-startup-id");
            out.push(files.own(path, files.line(path, at, command.trim_matches('"'))));
        }
    }
    out
}

/// The programs of a desktop's sessions that are not switched off.
fn desktop(files: &Files<'_>, dir: &str) -> Vec<Start> {
    let mut paths = files.entries(dir);
    paths.retain(|path| path.ends_with(".desktop"));
    let off = ["Hidden=true", "X-GNOME-Autostart-enabled=false"];
    paths.retain(|path| {
        !files
            .lines(path)
            .iter()
            .any(|(_, line)| off.contains(&line.as_str()))
    });
    let all = paths.iter().flat_map(|path| commands(files, path, "Exec"));
    all.collect()
}

/// The lists of LXDE's sessions: each line is a command.
fn lists(files: &Files<'_>, dir: &str) -> Vec<Start> {
    let mut out = Vec::new();
    for profile in files.entries(dir) {
        let path = format!("{profile}/autostart");
        for (at, line) in files.lines(&path) {
            let command = line.trim_start_matches('@');
            out.push(files.own(&path, files.line(&path, at, command)));
        }
    }
    out
}

/// The units that the service manager of a user starts.
fn of_user(files: &Files<'_>, dir: &str) -> Vec<Start> {
    let groups = files.entries(dir).into_iter();
    let groups = groups.filter(|path| path.ends_with(".wants"));
    let mut out = Vec::new();
    for path in groups.flat_map(|group| files.entries(&group)) {
        let name = path.rsplit('/').next().unwrap_or_default();
        let unit = Unit::in_file(files.root, &path, name);
        if let Some(unit) = unit.filter(|unit| unit.may_start(files.root)) {
            out.push(files.started(&unit.file.clone(), files.service(&unit)));
        }
    }
    out
}
