//! `ls(1)` as scripts read it: names, one a line.

use super::super::script_host::ScriptHost;
use super::arguments::{CommandResult, has, known, options};
use crate::shell::Io;

pub(super) fn ls(host: &ScriptHost<'_, '_>, args: &[&str], io: &mut Io) -> CommandResult {
    let (options, operands) = options(args);
    let fine = known(
        &options,
        "1aAdLHrU",
        &["--all", "--almost-all", "--directory", "--dereference"],
    );
    if !fine || has(&options, 'U') || has(&options, 'r') {
        return Ok(None);
    }
    let given = |letter, long: &str| has(&options, letter) || options.contains(&long);
    let whole = given('d', "--directory");
    let operands = if operands.is_empty() {
        vec!["."]
    } else {
        operands
    };
    let (mut files, mut dirs, mut status) = (Vec::new(), Vec::new(), 0);
    for path in &operands {
        let follow = given('L', "--dereference");
        if follow && host.find(path).is_none() || host.find_nofollow(path).is_none() {
            status = 2;
        } else if host.is_dir(path) && !whole {
            dirs.push(*path);
        } else {
            files.push(*path);
        }
    }
    files.sort_unstable();
    dirs.sort_unstable();
    for file in &files {
        io.print_line(file);
    }
    for (at, dir) in dirs.iter().enumerate() {
        if operands.len() > 1 {
            if at > 0 || !files.is_empty() {
                io.print_line("");
            }
            io.print_line(&format!("{dir}:"));
        }
        if given('a', "--all") {
            io.print_line(".\n..");
        }
        let hidden = given('a', "--all") || given('A', "--almost-all");
        let found = host.editor.tree().dir(host.at(dir).as_bytes());
        for name in found.into_iter().flat_map(|dir| dir.entries.keys()) {
            let name = String::from_utf8_lossy(name);
            if hidden || !name.starts_with('.') {
                io.print_line(&name);
            }
        }
    }
    Ok(Some(status))
}
