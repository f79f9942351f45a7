//! Messages as annotations of continuous integration: workflow commands of GitHub Actions
//! (`docs.github.com/actions`, "Workflow commands"), or a report of GitLab
//! (`docs.gitlab.com/ci/testing/code_quality`, "Code Quality report format").

use super::{log, terminal};
use crate::digest::{hex, sha256};
use crate::problem::Problem;
use crate::stream::MemSource;
use crate::verify::Severity;
use anyhow::Context as _;
use serde_json::{Value, json};
use std::env;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, OnceLock, PoisonError};

/// Where annotations go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Annotations {
    /// Standard error, a workflow command each.
    GitHub,
    /// A file, written at the end.
    GitLab(PathBuf),
}

impl FromStr for Annotations {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            None if text == "github" => Ok(Self::GitHub),
            Some(("gitlab", file)) if !file.is_empty() => Ok(Self::GitLab(file.into())),
            _ => Err("give `github` or `gitlab=FILE`"),
        }
    }
}

/// The annotations of this run, and what the report of GitLab will hold.
static RUN: OnceLock<(Annotations, Mutex<Vec<Value>>)> = OnceLock::new();

/// Annotates all messages from now on.
///
/// # Errors
/// That the report cannot be written, or would replace a file that is not one.
pub(super) fn start(annotations: Option<&Annotations>) -> anyhow::Result<()> {
    let Some(annotations) = annotations else {
        return Ok(());
    };
    if let Annotations::GitLab(file) = annotations {
        check_report(file)?;
    }
    let _ = RUN.set((annotations.clone(), Mutex::new(Vec::new())));
    Ok(())
}

/// Fails before the work if the report could not be written after it. Reports of earlier runs are
/// replaced, and begin as ours do.
fn check_report(path: &Path) -> anyhow::Result<()> {
    let writing = || format!("writing {}", path.display());
    let mut options = File::options();
    let file = options.read(true).append(true).create(true).open(path);
    let mut begin = Vec::new();
    let file = file.with_context(writing)?;
    if file.metadata().with_context(writing)?.is_file() {
        file.take(1).read_to_end(&mut begin).with_context(writing)?;
    }
    match begin.as_slice() {
        [] | [b'['] => Ok(()),
        _ => {
            let message = format!("{} exists and is not a report", path.display());
            Err(Problem::new(message)
                .hint("name another file with --annotate gitlab=FILE")
                .into())
        }
    }
}

/// Shows a message on standard error: as a line, or as the annotation that stands for it there.
/// `prefix` is what the line begins with before its severity. Errors are ignored: there is nowhere
/// to report them.
pub(super) fn show(severity: Severity, prefix: &str, problem: &Problem) {
    let text = match RUN.get() {
        Some((Annotations::GitHub, _)) => github(severity, "goldsmith", prefix, problem),
        _ => {
            let text = line(severity, prefix, problem);
            terminal::painted(&terminal::without_controls(&text))
        }
    };
    record(severity, "goldsmith", problem);
    logged(severity, prefix, problem);
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Annotates a finding, which is also part of what standard output gets.
pub(super) fn finding(severity: Severity, code: &str, problem: &Problem) {
    if let Some((Annotations::GitHub, _)) = RUN.get() {
        let text = github(severity, code, "", problem);
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
    record(severity, code, problem);
    logged(severity, &format!("[{code}] "), problem);
}

/// Writes a message to the log.
fn logged(severity: Severity, prefix: &str, problem: &Problem) {
    log::line(&severity.to_string(), &format!("{prefix}{problem}"));
}

/// Writes the report, if there is one.
///
/// # Errors
/// I/O errors of the file.
pub(super) fn finish() -> anyhow::Result<()> {
    let Some((Annotations::GitLab(file), entries)) = RUN.get() else {
        return Ok(());
    };
    let entries = entries.lock().unwrap_or_else(PoisonError::into_inner);
    let text = serde_json::to_string_pretty(&*entries)? + "\n";
    std::fs::write(file, text).with_context(|| format!("writing {}", file.display()))
}

fn record(severity: Severity, check: &str, problem: &Problem) {
    if let Some((Annotations::GitLab(_), entries)) = RUN.get() {
        let entry = gitlab(severity, check, problem);
        let mut entries = entries.lock().unwrap_or_else(PoisonError::into_inner);
        // An entry is known by its fingerprint, so each is there once.
        if !entries.contains(&entry) {
            entries.push(entry);
        }
    }
}

/// The message on a line, its hint on another; both are wrapped on a terminal.
fn line(severity: Severity, prefix: &str, problem: &Problem) -> String {
    let message = format!("{severity}: {}", problem.message);
    let indent = severity.to_string().len() + 2;
    let message = terminal::wrapped_first(&format!("{prefix}{message}"), indent);
    match &problem.hint {
        Some(hint) => {
            let hint = terminal::wrapped_first(&format!("hint: {hint}"), "hint: ".len());
            format!("{message}\n{hint}\n")
        }
        None => format!("{message}\n"),
    }
}

/// A workflow command.
fn github(severity: Severity, title: &str, prefix: &str, problem: &Problem) -> String {
    let command = match severity {
        Severity::Note => "notice",
        Severity::Warning => "warning",
        Severity::Error => "error",
    };
    let mut properties = String::new();
    // Only files of the repository can be annotated, not those of an image.
    if let Some((path, number)) = place(&problem.message)
        && is_of_host(path)
    {
        properties.push_str(&format!("file={},", property(&in_project(path))));
        if let Some(number) = number {
            properties.push_str(&format!("line={number},"));
        }
    }
    let mut text = format!("{prefix}{}", problem.message);
    if let Some(hint) = &problem.hint {
        text.push_str(&format!("\nhint: {hint}"));
    }
    format!(
        "::{command} {properties}title={}::{}\n",
        property(title),
        data(&text)
    )
}

/// An entry of the report of GitLab, which asks for a place.
fn gitlab(severity: Severity, check: &str, problem: &Problem) -> Value {
    let level = match severity {
        Severity::Note => "info",
        Severity::Warning => "minor",
        Severity::Error => "critical",
    };
    let (path, number) = place(&problem.message).unwrap_or((check, None));
    let path = match is_of_host(path) {
        true => in_project(path),
        false => path.trim_start_matches('/').to_owned(),
    };
    let message = &problem.message;
    let description = match &problem.hint {
        Some(hint) => format!("{message} (hint: {hint})"),
        None => message.clone(),
    };
    let known_by = MemSource(format!("{check}\0{path}\0{message}").into_bytes().into());
    let fingerprint = sha256(&known_by).unwrap_or_default();
    json!({
        "description": description,
        "check_name": check,
        "fingerprint": hex(&fingerprint),
        "severity": level,
        "location": { "path": path, "lines": { "begin": number.unwrap_or(1) } },
    })
}

/// The first file that a message names before a colon, and its line: in `device.toml:3:1: unknown
/// key`, in `/etc/fstab:6: ...`, in `planning: /etc/hostname: ...`, or in brackets in `rootfs.edit
/// (device.toml:3): ...`.
fn place(message: &str) -> Option<(&str, Option<u32>)> {
    message.split(": ").find_map(|part| {
        let part = match part.strip_suffix(')') {
            Some(inner) => inner.rsplit_once('(').map_or(inner, |(_, inner)| inner),
            None => part,
        };
        // After the places of a finding, such as "partition 2, inode 12, /etc/fstab:6".
        let part = part.rsplit(", ").next().unwrap_or(part);
        let mut words = part.split(':');
        let path = words.next().filter(|path| !path.is_empty())?;
        let number = words.next().and_then(|word| word.parse().ok());
        // A path in an image that a sentence begins with.
        let path = match path.split_once(' ') {
            Some((first, _)) if number.is_none() && path.starts_with('/') => first,
            _ => path,
        };
        let names_one = number.is_some() || path.starts_with('/') || Path::new(path).is_file();
        (names_one && !path.contains('`')).then_some((path, number))
    })
}

/// Whether a file that a message names is one of this machine: `/etc/fstab` is one of an image,
/// unless the project is there.
fn is_of_host(path: &str) -> bool {
    Path::new(path).is_file() && !in_project(path).starts_with('/')
}

/// The path of a file from the directory of the project, where the system of continuous integration
/// names it.
fn in_project(path: &str) -> String {
    let named = ["GITHUB_WORKSPACE", "CI_PROJECT_DIR"];
    let top = named.iter().find_map(env::var_os);
    let inside = || {
        let top = Path::new(&top?).canonicalize().ok()?;
        let path = Path::new(path).canonicalize().ok()?;
        Some(path.strip_prefix(top).ok()?.display().to_string())
    };
    inside().unwrap_or_else(|| path.to_owned())
}

/// The text of a workflow command.
fn data(text: &str) -> String {
    let text = text.replace('%', "%25").replace('\r', "%0D");
    text.replace('\n', "%0A")
}

/// A property of a workflow command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_where_messages_name_them() {
        for (message, wanted) in [
            (
                "device.toml:3:1: unknown key",
                Some(("device.toml", Some(3))),
            ),
            ("planning: a.toml:7: bad", Some(("a.toml", Some(7)))),
            (
                "/etc/fstab:6: UUID=1 on none is commented out",
                Some(("/etc/fstab", Some(6))),
            ),
            (
                "partition 2, inode 12, /etc/fstab:6: bad",
                Some(("/etc/fstab", Some(6))),
            ),
            (
                "rootfs.edit (a.toml:3): /usr/bin/su is not a text file",
                Some(("a.toml", Some(3))),
            ),
            (
                "rootfs.edit[0].secret: w.txt is empty (rootfs.edit: a.toml:2)",
                Some(("a.toml", Some(2))),
            ),
            ("/etc is a directory", Some(("/etc", None))),
            ("/etc/a b:6: bad", Some(("/etc/a b", Some(6)))),
            ("reading /x: no space", None),
            ("the image is too large: 7 exceeds 5", None),
            ("Cargo.toml: unreadable", Some(("Cargo.toml", None))),
        ] {
            assert_eq!(place(message), wanted, "{message}");
        }
    }

    #[test]
    fn commands_are_escaped() {
        let problem = Problem::new("Cargo.toml:2: 5% of a\nb").hint("do c: d, e");
        assert_eq!(
            github(Severity::Warning, "a:b,c", "pi: ", &problem),
            "::warning file=Cargo.toml,line=2,title=a%3Ab%2Cc::pi: Cargo.toml:2: 5%25 of a%0Ab%0Ahint: do c: d, e\n"
        );
        let problem = Problem::new("/no/such/file:6: x");
        assert_eq!(
            github(Severity::Note, "t", "", &problem),
            "::notice title=t::/no/such/file:6: x\n"
        );
    }

    #[test]
    fn entries_have_what_gitlab_asks_for() {
        let entry = gitlab(
            Severity::Error,
            "fstab-device",
            &Problem::new("/etc/fstab:6: x").hint("y"),
        );
        assert_eq!(
            entry["location"],
            json!({"path": "etc/fstab", "lines": {"begin": 6}})
        );
        assert_eq!(entry["severity"], "critical");
        assert_eq!(entry["description"], "/etc/fstab:6: x (hint: y)");
        assert_eq!(entry["fingerprint"].as_str().unwrap().len(), 64);
        let other = gitlab(Severity::Error, "fstab-device", &Problem::new("z"));
        assert_ne!(entry["fingerprint"], other["fingerprint"]);
        assert_eq!(other["location"]["path"], "fstab-device");
    }

    #[test]
    fn a_report_replaces_nothing_but_a_report() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a");
        for (text, replaced) in [("", true), ("[]\n", true), ("extends = 1", false)] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(check_report(&file).is_ok(), replaced, "{text}");
            assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
        }
        assert!(check_report(&dir.path().join("none/a")).is_err());
        assert!(check_report(&dir.path().join("new")).is_ok());
    }

    #[test]
    fn formats_are_read() {
        assert_eq!("github".parse(), Ok(Annotations::GitHub));
        assert_eq!("gitlab=a".parse(), Ok(Annotations::GitLab("a".into())));
        for wrong in ["gitlab", "gitlab=", "github=x", "x"] {
            assert!(wrong.parse::<Annotations>().is_err(), "{wrong}");
        }
    }
}
