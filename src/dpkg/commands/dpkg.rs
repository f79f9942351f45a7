//! `dpkg(1)`, `dpkg-query(1)`, `dpkg-statoverride(1)`, `dpkg-divert(1)` and `dpkg-trigger(1)` as
//! scripts call them.

use super::super::database::{DIR, Diversion, LIMIT, PackageState, Stanza, StatOverride, lines};
use super::super::script_host::ScriptHost;
use super::super::users::AccountIds;
use super::arguments::{CommandResult, mode};
use super::{copies, text};
use crate::deb::{Version, VersionOperator};
use crate::shell::{ExitStatus, Io};
use crate::tree::show;

pub(super) fn run(
    host: &mut ScriptHost<'_, '_>,
    word: &str,
    args: &[&str],
    io: &mut Io,
) -> CommandResult {
    match word {
        "dpkg" => Ok(dpkg(host, args, io)),
        "dpkg-query" => Ok(query(host, args, io)),
        "dpkg-statoverride" => statoverride(host, args, io),
        "dpkg-divert" => divert(host, args, io),
        "dpkg-trigger" => {
            let names = args
                .iter()
                .filter(|arg| !arg.starts_with('-'))
                .map(|arg| (*arg).to_owned());
            host.activated.extend(names);
            Ok(Some(0))
        }
        _ => Ok(None),
    }
}

fn dpkg(host: &ScriptHost<'_, '_>, args: &[&str], io: &mut Io) -> Option<ExitStatus> {
    match args {
        ["--compare-versions", "--", rest @ ..] | ["--compare-versions", rest @ ..] => {
            let [a, operator, b] = rest else { return None };
            compare(a, operator, b).map(|holds| i32::from(!holds))
        }
        ["--validate-version", version] => Some(i32::from(version.parse::<Version>().is_err())),
        ["--print-architecture"] => text::say(io, &host.database.native),
        ["--print-foreign-architectures"] => {
            for name in &host.database.foreign {
                io.print_line(name);
            }
            Some(0)
        }
        ["-s" | "--status" | "-L" | "--listfiles", ..] => query(host, args, io),
        _ => None,
    }
}

/// Compares versions as `dpkg --compare-versions` does: for `lt`, `le`, `ge` and `gt` no version is
/// the earliest, for their `-nl` forms the latest.
pub(super) fn compare(a: &str, operator: &str, b: &str) -> Option<bool> {
    let (relation, latest) = match operator {
        "lt" | "<<" => (VersionOperator::Earlier, false),
        "le" | "<=" | "<" => (VersionOperator::EarlierEqual, false),
        "eq" | "=" => (VersionOperator::Equal, false),
        "ne" => return compare(a, "eq", b).map(|equal| !equal),
        "ge" | ">=" | ">" => (VersionOperator::LaterEqual, false),
        "gt" | ">>" => (VersionOperator::Later, false),
        "lt-nl" => (VersionOperator::Earlier, true),
        "le-nl" => (VersionOperator::EarlierEqual, true),
        "ge-nl" => (VersionOperator::LaterEqual, true),
        "gt-nl" => (VersionOperator::Later, true),
        _ => return None,
    };
    let (empty_a, empty_b) = (
        a.is_empty() || a == "<unknown>",
        b.is_empty() || b == "<unknown>",
    );
    if empty_a || empty_b {
        let equal = matches!(
            relation,
            VersionOperator::Equal | VersionOperator::EarlierEqual | VersionOperator::LaterEqual
        );
        let earlier = matches!(
            relation,
            VersionOperator::Earlier | VersionOperator::EarlierEqual
        );
        return Some(if empty_a && empty_b {
            equal
        } else {
            relation != VersionOperator::Equal && (empty_a != latest) == earlier
        });
    }
    Some(relation.holds(&a.parse().ok()?, &b.parse().ok()?))
}

fn query(host: &ScriptHost<'_, '_>, args: &[&str], io: &mut Io) -> Option<ExitStatus> {
    let (format, name) = match args {
        ["-L" | "--listfiles", name] => {
            let Some(stanza) = host.database.named(name) else {
                return Some(1);
            };
            let list = format!("{DIR}/info/{}.list", stanza.facts.base());
            let bytes = host.editor.read(&list, LIMIT).ok()??;
            for path in lines(&bytes) {
                io.print_line(&show(path));
            }
            return Some(0);
        }
        ["-s" | "--status", name] => ("", *name),
        ["-W", format, name] | [format, "-W", name] | ["-W", "-f", format, name] => {
            (*format, *name)
        }
        ["--show", format, name] | [format, "--show", name] | ["-f", format, "-W", name] => {
            (*format, *name)
        }
        ["-W" | "--show", name] => ("${Package}\t${Version}\n", *name),
        _ => return None,
    };
    let found = host
        .database
        .named(name)
        .filter(|stanza| stanza.state != PackageState::Gone);
    let Some(stanza) = found else { return Some(1) };
    if format.is_empty() {
        let text = String::from_utf8_lossy(&stanza.raw).into_owned();
        let now = status_of(host, stanza);
        text::say(io, &text.replace(stanza.control.text("Status"), &now));
        return Some(0);
    }
    let format = ["-f=", "--showformat=", "-f"]
        .iter()
        .find_map(|prefix| format.strip_prefix(prefix))
        .unwrap_or(format);
    let mut out = format.replace("\\n", "\n").replace("\\t", "\t");
    let status = status_of(host, stanza);
    let status = status.as_str();
    let word = |at: usize| status.split(' ').nth(at).unwrap_or_default();
    let abbreviated = word(0)
        .chars()
        .take(1)
        .chain(state_letter(word(2)).chars())
        .collect::<String>()
        + " ";
    let special = [
        ("Status", status),
        ("db:Status-Status", word(2)),
        ("db:Status-Abbrev", &abbreviated),
    ];
    for (field, value) in special.into_iter().chain(stanza.control.fields()) {
        out = out.replace(&format!("${{{field}}}"), value);
    }
    for field in ["Conffiles", "Multi-Arch", "Essential"] {
        out = out.replace(&format!("${{{field}}}"), "");
    }
    if out.contains("${") {
        return None;
    }
    io.output.push_str(&out);
    Some(0)
}

/// The status of a package while scripts run: those that are being installed are not yet.
fn status_of(host: &ScriptHost<'_, '_>, stanza: &Stanza) -> String {
    match host.database.under_way.get(&stanza.facts.base()) {
        Some(state) => format!("install ok {state}"),
        None => stanza.control.text("Status").to_owned(),
    }
}

/// The letter of a state in `db:Status-Abbrev`.
fn state_letter(state: &str) -> &'static str {
    match state {
        "installed" => "i",
        "config-files" => "c",
        "half-installed" => "H",
        "half-configured" => "F",
        "unpacked" => "U",
        "triggers-awaited" => "W",
        "triggers-pending" => "t",
        _ => "n",
    }
}

fn statoverride(host: &mut ScriptHost<'_, '_>, args: &[&str], io: &mut Io) -> CommandResult {
    let update = args.contains(&"--update");
    let args: Vec<&str> = args
        .iter()
        .copied()
        .filter(|arg| !matches!(*arg, "--update" | "--quiet" | "--force" | "--force-all"))
        .collect();
    let names = AccountIds::read(host.editor.tree())?;
    match args.as_slice() {
        ["--list", path] => {
            let found = host
                .database
                .overrides
                .iter()
                .find(|set| set.path == path.as_bytes());
            let Some(set) = found else { return Ok(Some(1)) };
            Ok(text::say(
                io,
                &format!("{} {} {:o} {path}", set.user, set.group, set.mode),
            ))
        }
        ["--add", user, group, bits, path] => {
            if host
                .database
                .overrides
                .iter()
                .any(|set| set.path == path.as_bytes())
            {
                return Ok(Some(2));
            }
            let (Some(uid), Some(gid)) = (names.user(user), names.group(group)) else {
                return Ok(Some(2));
            };
            let Some(bits) = mode(bits, 0, false) else {
                return Ok(None);
            };
            let set = StatOverride {
                user: (*user).to_owned(),
                group: (*group).to_owned(),
                mode: bits,
                path: path.as_bytes().to_vec(),
            };
            host.database.overrides.push(set);
            save_overrides(host)?;
            if update {
                host.change_stat(path, true, |stat| {
                    (stat.uid, stat.gid, stat.mode) = (uid, gid, bits)
                })?;
            }
            Ok(Some(0))
        }
        ["--remove", path] => {
            let before = host.database.overrides.len();
            host.database
                .overrides
                .retain(|set| set.path != path.as_bytes());
            if host.database.overrides.len() == before {
                return Ok(Some(2));
            }
            save_overrides(host)?;
            Ok(Some(0))
        }
        _ => Ok(None),
    }
}

fn save_overrides(host: &mut ScriptHost<'_, '_>) -> Result<(), crate::tree::edit::EditError> {
    let line = |set: &StatOverride| {
        format!(
            "{} {} {:o} {}\n",
            set.user,
            set.group,
            set.mode,
            String::from_utf8_lossy(&set.path)
        )
    };
    let text: String = host.database.overrides.iter().map(line).collect();
    host.write_file(&format!("{DIR}/statoverride"), text.as_bytes(), false)
}

/// A call of `dpkg-divert`.
#[derive(Debug, Default, PartialEq, Eq)]
struct DivertCall<'a> {
    /// The package that is not diverted; `None` for a local diversion.
    package: Option<&'a str>,
    to: Option<&'a str>,
    rename: bool,
    action: Option<&'a str>,
    path: &'a str,
}

impl<'a> DivertCall<'a> {
    /// `None` for options outside of the model, and without a path.
    /// Without `--package` and `--local`, it is for the package of the script.
    fn read(args: &[&'a str], package: &'a str) -> Option<Self> {
        let mut call = Self {
            package: Some(package).filter(|name| !name.is_empty()),
            ..Self::default()
        };
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            match *arg {
                "--package" => call.package = Some(rest.next().copied()?),
                "--divert" => call.to = Some(rest.next().copied()?),
                "--local" => call.package = None,
                "--rename" => call.rename = true,
                "--no-rename" => call.rename = false,
                "--quiet" => {}
                "--add" | "--remove" | "--list" | "--truename" | "--listpackage" => {
                    call.action = Some(arg)
                }
                path if path.starts_with('/') => call.path = path,
                _ => return None,
            }
        }
        (!call.path.is_empty()).then_some(call)
    }
}

fn divert(host: &mut ScriptHost<'_, '_>, args: &[&str], io: &mut Io) -> CommandResult {
    let package = host.package.name.clone();
    let joined: Vec<String> = args
        .iter()
        .flat_map(|arg| match arg.split_once('=') {
            Some((name @ ("--package" | "--divert"), value)) => {
                vec![name.to_owned(), value.to_owned()]
            }
            _ => vec![(*arg).to_owned()],
        })
        .collect();
    let joined: Vec<&str> = joined.iter().map(String::as_str).collect();
    let Some(call) = DivertCall::read(&joined, &package) else {
        return Ok(None);
    };
    let known = host
        .database
        .diversions
        .iter()
        .position(|d| d.from == call.path.as_bytes());
    let diversion = known
        .and_then(|at| host.database.diversions.get(at))
        .cloned();
    match call.action.unwrap_or("--add") {
        "--add" => add_diversion(host, &call, diversion),
        "--remove" => {
            let (Some(at), Some(old)) = (known, diversion) else {
                return Ok(Some(0));
            };
            // One of another package is an error, and of other names too.
            if old.package.as_deref() != call.package
                || call.to.is_some_and(|to| to.as_bytes() != old.to)
            {
                return Ok(Some(2));
            }
            host.database.diversions.remove(at);
            save_diversions(host)?;
            if call.rename && host.find_nofollow(&show(&old.to)).is_some() {
                copies::move_path(host, &show(&old.to), call.path)?;
            }
            Ok(Some(0))
        }
        action => {
            let shown = show_diversion(action, call.path, diversion, &host.package.name);
            if let Some(line) = shown {
                io.print_line(&line);
            }
            Ok(Some(0))
        }
    }
}

/// The line that `--truename`, `--listpackage` or `--list` prints.
fn show_diversion(
    action: &str,
    path: &str,
    diversion: Option<Diversion>,
    package: &str,
) -> Option<String> {
    let Some(diversion) = diversion else {
        return (action == "--truename").then(|| path.to_owned());
    };
    let to = show(&diversion.to);
    Some(match action {
        "--truename" => to,
        "--listpackage" => diversion.package.unwrap_or_else(|| "LOCAL".into()),
        _ => {
            let kind = match diversion.package {
                Some(_) => "diversion",
                None => "local diversion",
            };
            format!("{kind} of {path} to {to} by {package}")
        }
    })
}

fn add_diversion(
    host: &mut ScriptHost<'_, '_>,
    call: &DivertCall<'_>,
    old: Option<Diversion>,
) -> CommandResult {
    let to = call
        .to
        .map_or_else(|| format!("{}.distrib", call.path), str::to_owned);
    let new = Diversion {
        from: call.path.into(),
        to: to.clone().into(),
        package: call.package.map(str::to_owned),
    };
    if let Some(old) = old {
        return Ok(Some(if old == new { 0 } else { 2 }));
    }
    host.database.diversions.push(new);
    save_diversions(host)?;
    if call.rename && host.find_nofollow(call.path).is_some() {
        copies::move_path(host, call.path, &to)?;
    }
    Ok(Some(0))
}

fn save_diversions(host: &mut ScriptHost<'_, '_>) -> Result<(), crate::tree::edit::EditError> {
    let mut out = Vec::new();
    for d in &host.database.diversions {
        let package = d.package.as_deref().unwrap_or(":").as_bytes();
        out.extend([&d.from[..], b"\n", &d.to, b"\n", package, b"\n"].concat());
    }
    host.write_file(&format!("{DIR}/diversions"), &out, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparing_with_nothing() {
        for (a, operator, b, holds) in [
            ("", "lt", "1", true),
            ("", "lt-nl", "1", false),
            ("1", "le-nl", "", true),
            ("1", "le", "", false),
            ("", "eq", "", true),
            ("1", "eq", "", false),
            ("1", "gt", "", true),
            ("1", "gt-nl", "", false),
            ("1", "lt", "2", true),
        ] {
            assert_eq!(compare(a, operator, b), Some(holds), "{a} {operator} {b}");
        }
        assert_eq!(compare("1", "about", "2"), None);
    }

    #[test]
    fn calls_of_dpkg_divert() {
        let args = [
            "--package",
            "a",
            "--add",
            "--rename",
            "--divert",
            "/f.a",
            "/f",
        ];
        let call = DivertCall {
            package: Some("a"),
            to: Some("/f.a"),
            rename: true,
            action: Some("--add"),
            path: "/f",
        };
        assert_eq!(DivertCall::read(&args, "b"), Some(call));
        assert_eq!(DivertCall::read(&["--add"], "b"), None);
        let package = |args: &[&'static str]| DivertCall::read(args, "b").unwrap().package;
        assert_eq!(package(&["--add", "/f"]), Some("b"));
        assert_eq!(package(&["--local", "--add", "/f"]), None);
        assert_eq!(DivertCall::read(&["--instdir", "/f"], "b"), None);
        let diversion = |package: Option<&str>| {
            Some(Diversion {
                from: b"/f".to_vec(),
                to: b"/f.a".to_vec(),
                package: package.map(str::to_owned),
            })
        };
        for (action, package, line) in [
            ("--truename", Some("b"), "/f.a"),
            ("--listpackage", Some("b"), "b"),
            ("--listpackage", None, "LOCAL"),
            ("--list", Some("b"), "diversion of /f to /f.a by a"),
            ("--list", None, "local diversion of /f to /f.a by a"),
        ] {
            let shown = show_diversion(action, "/f", diversion(package), "a");
            assert_eq!(shown.as_deref(), Some(line), "{action}");
        }
        assert_eq!(
            show_diversion("--truename", "/f", None, "a").as_deref(),
            Some("/f")
        );
        assert_eq!(show_diversion("--list", "/f", None, "a"), None);
    }
}
