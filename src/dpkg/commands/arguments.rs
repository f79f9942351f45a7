//! Arguments and results that commands have in common.

use crate::shell::ExitStatus;
use crate::tree::edit::EditError;

/// The status of a command; `None` if the call is outside of its model.
pub(super) type CommandResult = Result<Option<ExitStatus>, EditError>;

/// Splits options from operands: an argument that begins with `-` is an option until `--`.
pub(super) fn options<'a>(args: &[&'a str]) -> (Vec<&'a str>, Vec<&'a str>) {
    let end = args
        .iter()
        .position(|arg| *arg == "--")
        .unwrap_or(args.len());
    let (before, after) = args.split_at(end);
    let (mut options, mut operands) = (Vec::new(), Vec::new());
    for arg in before {
        if arg.starts_with('-') && arg.len() > 1 {
            options.push(*arg)
        } else {
            operands.push(*arg)
        }
    }
    operands.extend(after.iter().skip(1));
    (options, operands)
}

/// Whether all options are among the known ones, where single letters may be joined (`-rf`).
pub(super) fn known(options: &[&str], letters: &str, long: &[&str]) -> bool {
    options
        .iter()
        .all(|option| match option.strip_prefix("--") {
            Some(_) => long.contains(option),
            None => option.chars().skip(1).all(|c| letters.contains(c)),
        })
}

/// Whether a letter is among joined single-letter options.
pub(super) fn has(options: &[&str], letter: char) -> bool {
    options
        .iter()
        .any(|option| !option.starts_with("--") && option.contains(letter))
}

/// Reads an octal mode or a symbolic one (`u+x,go-w`, `+x`, `a=r`) against the mode there is.
pub(super) fn mode(text: &str, old: u16, dir: bool) -> Option<u16> {
    mode_under(text, old, dir, 0)
}

/// Like [`mode`], where a clause that names no class does not give what the umask takes.
pub(super) fn mode_under(text: &str, old: u16, dir: bool, umask: u16) -> Option<u16> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        let mode = u16::from_str_radix(text, 8)
            .ok()
            .filter(|mode| *mode <= 0o7777)?;
        // Of a directory, these bits go only where a mode of five digits says so.
        let kept = if dir && text.len() < 5 {
            old & 0o6000
        } else {
            0
        };
        return Some(mode | kept);
    }
    let mut mode = old;
    for clause in text.split(',') {
        let at = clause.find(['+', '-', '='])?;
        let (class, rest) = clause.split_at(at);
        let (sign, letters) = rest.split_at(1);
        let mut mask: u16 = 0;
        for c in if class.is_empty() { "a" } else { class }.chars() {
            mask |= match c {
                'u' => 0o4700,
                'g' => 0o2070,
                'o' => 0o1007,
                'a' => 0o7777,
                _ => return None,
            };
        }
        let mut bits = 0;
        for c in letters.chars() {
            bits |= match c {
                // The permissions of another class.
                'u' if letters == "u" => (mode >> 6 & 7) * 0o111,
                'g' if letters == "g" => (mode >> 3 & 7) * 0o111,
                'o' if letters == "o" => (mode & 7) * 0o111,
                'r' => 0o444,
                'w' => 0o222,
                'x' => 0o111,
                'X' if dir || old & 0o111 != 0 => 0o111,
                'X' => 0,
                's' => 0o6000,
                't' => 0o1000,
                _ => return None,
            };
        }
        if class.is_empty() {
            bits &= !umask;
        }
        mode = match sign {
            "+" => mode | bits & mask,
            "-" => mode & !(bits & mask),
            // Of a directory, `=` leaves these bits as they are.
            _ if dir && !letters.contains('s') => mode & !(mask & !0o6000) | bits & mask,
            _ => mode & !mask | bits & mask,
        };
    }
    Some(mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        for (text, old, new) in [
            ("755", 0, 0o755),
            ("+x", 0o644, 0o755),
            ("u+s", 0o755, 0o4755),
            ("go-rwx", 0o777, 0o700),
            ("a=r", 0o777, 0o444),
        ] {
            assert_eq!(mode(text, old, false), Some(new), "{text}");
        }
        for (text, old, new) in [
            ("755", 0o2700, 0o2755),
            ("00755", 0o2700, 0o755),
            ("u=rwx,go=", 0o2755, 0o2700),
            ("g-s", 0o2755, 0o755),
        ] {
            assert_eq!(mode(text, old, true), Some(new), "{text} of a directory");
        }
        assert_eq!(mode("q+x", 0, false), None);
        assert_eq!(mode("go=u", 0o700, false), Some(0o777));
        for (text, umask, new) in [
            ("+w", 0o022, 0o644),
            ("a+w", 0o022, 0o666),
            ("+x", 0o077, 0o544),
            ("666", 0o077, 0o666),
        ] {
            assert_eq!(mode_under(text, 0o444, false, umask), Some(new), "{text}");
        }
        assert_eq!(mode("99999", 0, false), None);
    }
}
