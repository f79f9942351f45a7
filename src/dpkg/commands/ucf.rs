//! `ucf(1)` and `ucfr(1)`: configuration files that are not in a package's archive but are treated
//! with the same respect.
//!
//! `/var/lib/ucf/hashfile` has a line `md5 path` for each file as last shipped, `registry` a line
//! `package <TAB> path`, each with its older forms as `.0` to `.7`; `cache` holds the shipped file
//! itself, for merging.

use super::super::database::Diversion;
use super::super::md5::md5_at;
use super::super::script_host::ScriptHost;
use super::arguments::CommandResult;
use crate::shell::Variables;
use crate::stream::Content;
use crate::tree::edit::EditError;
use crate::tree::show;

const DIR: &str = "/var/lib/ucf";
/// Larger files are cached for a three-way merge only.
const CACHED: u64 = 25_600;

/// A call of `ucf`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Call<'a> {
    three_way: bool,
    purge: bool,
    /// A file with digests of older forms, by its option.
    sums: Option<&'a str>,
    /// The directory with digests of older forms.
    source: Option<&'a str>,
    operands: Vec<&'a str>,
}

impl<'a> Call<'a> {
    /// `None` for options that are not supported.
    fn read(args: &[&'a str]) -> Option<Self> {
        let mut call = Self::default();
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            let (name, value) = match arg.split_once('=') {
                Some((name, value)) if arg.starts_with("--") => (name, Some(value)),
                _ => (*arg, None),
            };
            let mut value = || value.or_else(|| rest.next().copied());
            match name {
                "--" => {
                    call.operands.extend(rest);
                    break;
                }
                "--three-way" => call.three_way = true,
                "-p" | "--purge" => call.purge = true,
                "--debconf-ok" | "-v" | "--verbose" | "-Z" => {}
                "--debconf-template" => _ = value()?,
                "--sum-file" => call.sums = Some(value()?),
                "-s" | "--src-dir" => call.source = Some(value()?),
                _ if arg.starts_with('-') => return None,
                _ => call.operands.push(arg),
            }
        }
        Some(call)
    }
}

pub(super) fn run(
    host: &mut ScriptHost<'_, '_>,
    word: &str,
    args: &[&str],
    variables: &Variables,
) -> CommandResult {
    let configured = host
        .text("/etc/ucf.conf")?
        .unwrap_or_default()
        .lines()
        .any(|line| line.starts_with("conf_"));
    if configured || variables.keys().any(|name| name.starts_with("UCF_")) {
        return Ok(None);
    }
    if word == "ucfr" {
        let args: Vec<&str> = args
            .iter()
            .copied()
            .filter(|arg| *arg != "--force")
            .collect();
        return match args.as_slice() {
            [package, path] if !package.starts_with('-') => register(host, package, path),
            _ => Ok(None),
        };
    }
    let Some(call) = Call::read(args) else {
        return Ok(None);
    };
    let Some(path) = call.operands.last() else {
        return Ok(None);
    };
    let path = match host.editor.tree().walk(host.at(path).as_bytes(), true) {
        Ok(walk) if walk.exists => show(&walk.path()),
        _ => (*path).to_owned(),
    };
    let diverted = |diversion: &Diversion| diversion.from == path.as_bytes();
    if host.database.diversions.iter().any(diverted) {
        return Ok(None);
    }
    match call.operands.as_slice() {
        [_] if call.purge => purge(host, &path),
        [new, _] if !call.purge => install(host, &call, new, &path),
        _ => Ok(None),
    }
}

/// Forgets a file.
fn purge(host: &mut ScriptHost<'_, '_>, path: &str) -> CommandResult {
    host.mkdir(&format!("{DIR}/cache"), 0o755)?;
    let file = format!("{DIR}/hashfile");
    if let Some(old) = host.text(&file)? {
        rotate(host, &file)?;
        renew(host, &file, &others(&old, path))?;
    }
    host.remove(&cached(path))?;
    Ok(Some(0))
}

/// The lines about other files.
fn others(hashes: &str, path: &str) -> String {
    let own = |line: &&str| {
        line.strip_suffix(path)
            .is_some_and(|rest| rest.ends_with([' ', '\t']))
    };
    let lines = hashes.lines().filter(|line| !own(line));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Writes a file that then takes the name of the old one.
fn renew(host: &mut ScriptHost<'_, '_>, path: &str, text: &str) -> Result<(), EditError> {
    host.remove(path)?;
    host.write_file(path, text.as_bytes(), false)
}

/// Where the shipped file is kept for merging.
fn cached(path: &str) -> String {
    format!("{DIR}/cache/{}", path.replace('/', ":"))
}

/// Enters a file under a package.
fn register(host: &mut ScriptHost<'_, '_>, package: &str, path: &str) -> CommandResult {
    let registry = format!("{DIR}/registry");
    let text = host.text(&registry)?.unwrap_or_default();
    let words = |line: &str| {
        line.split_once('\t')
            .map(|(owner, path)| (owner.trim().to_owned(), path.trim().to_owned()))
    };
    let held = text
        .lines()
        .filter_map(words)
        .find(|(_, known)| known == path);
    match held {
        Some((owner, _)) if owner == package => {}
        Some(_) => return Ok(None),
        None => {
            if !host.is_file(&registry) {
                host.write_file(&registry, b"", false)?;
            }
            rotate(host, &registry)?;
            host.write_file(
                &registry,
                format!("{text}{package} \t {path}\n").as_bytes(),
                false,
            )?;
        }
    }
    Ok(Some(0))
}

/// Keeps up to eight older forms of a file.
fn rotate(host: &mut ScriptHost<'_, '_>, file: &str) -> Result<(), EditError> {
    for number in (0..=6).rev() {
        let (from, to) = (format!("{file}.{number}"), format!("{file}.{}", number + 1));
        if host.exists(&from) {
            host.copy(&from, &to)?;
        }
    }
    host.copy(file, &format!("{file}.0"))?;
    Ok(())
}

/// Installs the shipped file `new` at `path`, decided as ucf does without asking.
fn install(host: &mut ScriptHost<'_, '_>, call: &Call<'_>, new: &str, path: &str) -> CommandResult {
    if !host.is_file(new) {
        return Ok(Some(1));
    }
    let three_way = call.three_way;
    let md5 = |host: &ScriptHost<'_, '_>, path: &str| {
        md5_at(host.editor.tree(), host.at(path).as_bytes())
    };
    let shipped = md5(host, new)?.unwrap_or_default();
    let hashes = host.text(&format!("{DIR}/hashfile"))?.unwrap_or_default();
    let last = hashes
        .lines()
        .find_map(|line| line.split_once("  ").filter(|(_, known)| *known == path));
    let last = last.map(|(md5, _)| md5.to_owned());
    let now = md5(host, path)?;
    let older = match (&now, &last) {
        (Some(now), None) => older(host, call, new, now)?,
        _ => Some(false),
    };
    let Some(older) = older else {
        return Ok(None);
    };
    match (now, last) {
        (None, None) => {
            host.mkdir(&format!("{DIR}/cache"), 0o755)?;
            host.copy(new, path)?;
            remember(host, new, path, &shipped, three_way)?;
        }
        // Removed by the administrator: ucf would ask if the shipped file changed.
        (None, Some(last)) if last != shipped => return Ok(None),
        (None, Some(_)) => {}
        (Some(_), Some(last)) if last == shipped => {}
        (Some(now), Some(last)) if now == last => {
            replace(host, new, path)?;
            remember(host, new, path, &shipped, three_way)?;
        }
        (Some(_), None) if older => {
            replace(host, new, path)?;
            remember(host, new, path, &shipped, three_way)?;
        }
        (Some(now), _) if now == shipped => remember(host, new, path, &shipped, three_way)?,
        // Changed by the administrator and by the package: ucf would ask.
        _ => return Ok(None),
    }
    Ok(Some(0))
}

/// Whether a digest is among those of older forms of the file; `None` if the package says what a
/// form that is not listed counts as.
fn older(
    host: &ScriptHost<'_, '_>,
    call: &Call<'_>,
    new: &str,
    now: &str,
) -> Result<Option<bool>, EditError> {
    let (dir, name) = new.rsplit_once('/').unwrap_or((".", new));
    let dir = call.source.unwrap_or(dir);
    let sums = format!("{dir}/{name}.md5sum.d");
    let file = format!("{dir}/{name}.md5sum");
    if host.is_dir(&sums) {
        return Ok(None);
    }
    let text = host.text(call.sums.unwrap_or(&file))?.unwrap_or_default();
    if text.lines().any(|line| line.starts_with(now)) {
        return Ok(Some(true));
    }
    let default = text.lines().any(|line| {
        line.strip_suffix("default")
            .is_some_and(|rest| rest.ends_with([' ', '\t']))
    });
    Ok((!default).then_some(false))
}

/// New content in a file that keeps its owner and mode.
fn replace(host: &mut ScriptHost<'_, '_>, new: &str, path: &str) -> Result<(), EditError> {
    let content = host
        .content(new)
        .cloned()
        .unwrap_or_else(|| Content::hole(0));
    host.write_content(path, content, 0o644)
}

fn remember(
    host: &mut ScriptHost<'_, '_>,
    new: &str,
    path: &str,
    md5: &str,
    three_way: bool,
) -> Result<(), EditError> {
    let file = format!("{DIR}/hashfile");
    let line = format!("{md5}  {path}\n");
    match host.text(&file)? {
        Some(old) => {
            rotate(host, &file)?;
            renew(host, &file, &(others(&old, path) + &line))?;
        }
        None => host.write_file(&file, line.as_bytes(), false)?,
    }
    if three_way || host.file_size(new) < CACHED {
        host.mkdir(&format!("{DIR}/cache"), 0o755)?;
        host.copy(new, &cached(path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read_or_refused() {
        let call = Call::read(&[
            "--sum-file=/s",
            "-p",
            "--src-dir",
            "/d",
            "--three-way",
            "/f",
        ]);
        let expected = Call {
            three_way: true,
            purge: true,
            sums: Some("/s"),
            source: Some("/d"),
            operands: vec!["/f"],
        };
        assert_eq!(call.unwrap(), expected);
        for args in [
            &["-n", "/a", "/b"][..],
            &["--state-dir", "/s", "/a"],
            &["--sum-file"],
        ] {
            assert!(Call::read(args).is_none(), "{args:?}");
        }
    }

    #[test]
    fn lines_of_other_files_stay() {
        let hashes = "a  /etc/x\nb  /etc/y\nc  /opt/etc/x\nd  /etc/x\n";
        assert_eq!(others(hashes, "/etc/x"), "b  /etc/y\nc  /opt/etc/x\n");
    }
}
