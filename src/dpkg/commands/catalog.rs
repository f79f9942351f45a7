//! `update-catalog(8)`: the catalogue of SGML catalogues.

use super::super::script_host::ScriptHost;
use super::arguments::CommandResult;
use crate::shell::glob;
use crate::tree::edit::EditError;

const SUPER: &str = "/var/lib/sgml-base/supercatalog";
const DIR: &str = "/etc/sgml";

pub(super) fn run(host: &mut ScriptHost<'_, '_>, args: &[&str]) -> CommandResult {
    let words: Vec<&str> = args
        .iter()
        .copied()
        .filter(|arg| *arg != "--quiet")
        .collect();
    match words.as_slice() {
        ["--update-super"] => update(host),
        // What waits for the directory updates it.
        ["--add" | "--remove", "--super", _] | ["--super", "--add" | "--remove", _] => {
            host.activated.push(DIR.to_owned());
            Ok(Some(0))
        }
        _ => Ok(None),
    }
}

fn update(host: &mut ScriptHost<'_, '_>) -> CommandResult {
    let mut text = String::from(
        "--\n## This file is created by update-catalog with update-super.\n\
         ## Please see update-catalog(8) for how to modify this file.\n--\n",
    );
    for path in glob(host, &format!("{DIR}/*.cat")) {
        match complete(host, &path)? {
            Some(true) => text.push_str(&format!("CATALOG {path}\n")),
            Some(false) => {}
            None => return Ok(None),
        }
    }
    if !host.has_parent(SUPER) {
        return Ok(Some(2));
    }
    if host.exists(SUPER) {
        super::copies::move_path(host, SUPER, &format!("{SUPER}.old"))?;
    }
    host.write_file(SUPER, text.as_bytes(), false)?;
    Ok(Some(0))
}

/// Whether all catalogues that one names exist; `None` for one that is not of plain words.
fn complete(host: &ScriptHost<'_, '_>, path: &str) -> Result<Option<bool>, EditError> {
    let text = host.text(path)?.unwrap_or_default();
    let mut plain = String::new();
    // Remarks are between two pairs of hyphens.
    for (number, part) in text.split("--").enumerate() {
        if number % 2 == 0 {
            plain.push_str(part);
            plain.push(' ');
        }
    }
    let words: Vec<&str> = plain.split_whitespace().collect();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        match word.to_ascii_lowercase().as_str() {
            "base" => return Ok(None),
            "catalog" => {
                let Some(named) = rest.next() else { break };
                let named = named.trim_matches(['"', '\'']);
                let full = if named.starts_with('/') {
                    named.to_owned()
                } else {
                    format!("{DIR}/{named}")
                };
                if !host.is_file(&full) {
                    return Ok(Some(false));
                }
            }
            _ => {}
        }
    }
    Ok(Some(true))
}
