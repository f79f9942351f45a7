//! `update-rc.d`: the links of init scripts in `/etc/rc?.d` (its manual page, and the behaviour of
//! version 1.65).

use super::super::script_host::ScriptHost;
use super::arguments::{CommandResult, options};

pub(super) fn update_rc_d(host: &mut ScriptHost<'_, '_>, args: &[&str]) -> CommandResult {
    let (options, operands) = options(args);
    // insserv and OpenRC order the links by dependencies, which is beyond this model.
    let beyond = host.exists("/sbin/openrc") || host.exists("/etc/insserv.conf");
    if !options.iter().all(|option| *option == "-f") || beyond {
        return Ok(None);
    }
    let [script, action, ..] = operands.as_slice() else {
        return Ok(Some(1));
    };
    match *action {
        "defaults" | "defaults-disabled" => {
            if present(host, script).is_empty() {
                let start = if *action == "defaults" { 'S' } else { 'K' };
                let path = format!("/etc/init.d/{script}");
                let Some(text) = host.text(&path)? else {
                    return Ok(Some(1));
                };
                for (header, letter) in [("# Default-Start:", start), ("# Default-Stop:", 'K')] {
                    for level in levels(&text, header) {
                        host.symlink(
                            &format!("/etc/rc{level}.d/{letter}01{script}"),
                            &format!("../init.d/{script}"),
                        )?;
                    }
                }
            }
            Ok(Some(0))
        }
        "remove" => {
            for link in present(host, script) {
                host.remove(&link)?;
            }
            Ok(Some(0))
        }
        _ => Ok(None),
    }
}

/// The run levels in a header line of the script's LSB block.
fn levels(text: &str, header: &str) -> Vec<String> {
    let block = text
        .lines()
        .skip_while(|line| line.trim_end() != "### BEGIN INIT INFO");
    let mut block = block.take_while(|line| line.trim_end() != "### END INIT INFO");
    let line = block
        .find_map(|line| line.strip_prefix(header))
        .unwrap_or_default();
    let fine = |level: &&str| level.len() == 1 && level.chars().all(|c| c.is_ascii_alphanumeric());
    line.split_whitespace()
        .filter(fine)
        .map(str::to_owned)
        .collect()
}

/// The links that a script has.
fn present(host: &ScriptHost<'_, '_>, script: &str) -> Vec<String> {
    let mut out = Vec::new();
    for level in "0123456S".chars() {
        let dir = format!("/etc/rc{level}.d");
        let Some(entries) = host.editor.tree().dir(&dir) else {
            continue;
        };
        for name in entries
            .entries
            .keys()
            .filter_map(|name| std::str::from_utf8(name).ok())
        {
            let rest = name.strip_prefix(['S', 'K']).unwrap_or_default();
            let digits = rest
                .get(..2)
                .is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
            if digits && rest.get(2..) == Some(script) {
                out.push(format!("{dir}/{name}"));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::levels;

    #[test]
    fn run_levels_come_from_the_header_alone() {
        let text = "# Default-Start: 1\n### BEGIN INIT INFO\n# Default-Start: 2 3 S 10 -\n\
            ### END INIT INFO\n# Default-Stop: 0\n";
        assert_eq!(levels(text, "# Default-Start:"), ["2", "3", "S"]);
        assert_eq!(levels(text, "# Default-Stop:"), [""; 0]);
    }
}
