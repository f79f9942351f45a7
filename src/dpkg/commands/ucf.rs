//! `ucf(1)` and `ucfr(1)`: configuration files that are not in a package's archive but are treated
//! with the same respect.
//!
//! `/var/lib/ucf/hashfile` has a line `md5 path` for each file as last shipped, `registry` a line
//! `package <TAB> path`, each with its older forms as `.0` to `.7`; `cache` holds the shipped file
//! itself, for merging.

use super::super::md5::md5_at;
use super::super::script_host::ScriptHost;
use super::arguments::CommandResult;
use crate::stream::Content;
use crate::tree::edit::EditError;

const DIR: &str = "/var/lib/ucf";
/// Larger files are cached for a three-way merge only.
const CACHED: u64 = 25_600;

pub(super) fn run(host: &mut ScriptHost<'_, '_>, word: &str, args: &[&str]) -> CommandResult {
    if host.exists("/etc/ucf.conf")
        && host
            .text("/etc/ucf.conf")?
            .unwrap_or_default()
            .lines()
            .any(|line| line.starts_with("conf_"))
    {
        return Ok(None);
    }
    let mut three_way = false;
    let mut operands = Vec::new();
    for arg in args {
        match *arg {
            "--three-way" => three_way = true,
            "--debconf-ok" | "--force" | "-f" => {}
            option if option.starts_with('-') => return Ok(None),
            path => operands.push(path),
        }
    }
    let [first, second] = operands.as_slice() else {
        return Ok(None);
    };
    if word == "ucfr" {
        register(host, first, second)
    } else {
        install(host, first, second, three_way)
    }
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
fn install(host: &mut ScriptHost<'_, '_>, new: &str, path: &str, three_way: bool) -> CommandResult {
    if !host.is_file(new) {
        return Ok(Some(1));
    }
    let md5 = |host: &ScriptHost<'_, '_>, path: &str| {
        md5_at(host.editor.tree(), host.at(path).as_bytes())
    };
    let shipped = md5(host, new)?.unwrap_or_default();
    let hashes = host.text(&format!("{DIR}/hashfile"))?.unwrap_or_default();
    let last = hashes
        .lines()
        .find_map(|line| line.split_once("  ").filter(|(_, known)| *known == path));
    let last = last.map(|(md5, _)| md5.to_owned());
    match (md5(host, path)?, last) {
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
        (Some(now), _) if now == shipped => remember(host, new, path, &shipped, three_way)?,
        // Changed by the administrator and by the package: ucf would ask.
        _ => return Ok(None),
    }
    Ok(Some(0))
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
    let old = host.text(&file)?;
    let mut text = String::new();
    if let Some(old) = &old {
        rotate(host, &file)?;
        text = old
            .lines()
            .filter(|line| !line.ends_with(&format!(" {path}")))
            .map(|line| format!("{line}\n"))
            .collect();
    }
    text.push_str(&format!("{md5}  {path}\n"));
    host.write_file(&file, text.as_bytes(), false)?;
    if three_way || host.file_size(new) < CACHED {
        host.mkdir(&format!("{DIR}/cache"), 0o755)?;
        host.copy(new, &format!("{DIR}/cache/{}", path.replace('/', ":")))?;
    }
    Ok(())
}
