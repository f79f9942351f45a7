//! `mktemp(1)`. Names are counted, so that they are the same every time.

use super::super::script_host::ScriptHost;
use super::arguments::CommandResult;
use crate::shell::Io;

pub(super) fn mktemp(host: &mut ScriptHost<'_, '_>, args: &[&str], io: &mut Io) -> CommandResult {
    let (mut dir, mut parent, mut template) = (false, None, None);
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        match *arg {
            "-d" | "--directory" => dir = true,
            "-q" | "--quiet" => {}
            "-t" | "--tmpdir" => parent = Some("/tmp"),
            "-td" | "-dt" => (dir, parent) = (true, Some("/tmp")),
            "-p" => parent = rest.next().copied(),
            option => match option.strip_prefix("--tmpdir=") {
                Some(path) => parent = Some(path),
                None if option.starts_with('-') || template.is_some() => return Ok(None),
                None => template = Some(option),
            },
        }
    }
    let (template, parent) = match (template, parent) {
        (None, parent) => ("tmp.XXXXXXXXXX", parent.unwrap_or("/tmp")),
        (Some(template), Some(parent)) => (template, parent),
        (Some(template), None) => (template, ""),
    };
    let template = match parent {
        "" => template.to_owned(),
        parent => format!("{}/{template}", parent.trim_end_matches('/')),
    };
    let stem = template.trim_end_matches('X');
    let len = template.len() - stem.len();
    if len < 3 || !host.has_parent(&template) {
        // Characters after the last X are an option of their own.
        return Ok(if len < 3 { None } else { Some(1) });
    }
    let path = loop {
        host.temporary += 1;
        let path = format!("{stem}{:0len$}", host.temporary);
        if host.find_nofollow(&path).is_none() {
            break path;
        }
    };
    if dir {
        host.mkdir(&path, 0o700)?;
    } else {
        host.write_file(&path, b"", false)?;
        host.change_stat(&path, true, |stat| stat.mode = 0o600)?;
    }
    io.print_line(&path);
    Ok(Some(0))
}
