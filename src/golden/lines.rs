//! Lines of configuration files, joined as the program that reads them joins them. A line that one
//! reader takes for a part of a comment is a setting to another: `\` at the end of a comment
//! continues it for modprobe, and does nothing for a shell, systemd or udev.

/// How a program joins the lines of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joining {
    /// Each line is one of its own, as in `crypttab(5)` and menus of extlinux.
    Never,
    /// A line that ends in `\` goes on in the next one, and a comment ends with its line, as in
    /// shell scripts and files that are read like them.
    Shell,
    /// As `systemd.syntax(7)`: `\` stands for a space, and comments between joined lines are passed
    /// over.
    Systemd,
    /// As `udev(7)`: comments between joined lines are passed over, the space before a line is left
    /// out, and what is open at the end of the file does not count.
    Udev,
    /// As `modprobe.d(5)`: lines are joined before comments are looked for.
    Modprobe,
    /// A line that begins with a space goes on with the one before it, as in `mdadm.conf(5)`.
    Indented,
}

/// A line as the program reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogicalLine {
    /// The number of its first line, from 1.
    pub first: usize,
    /// The number of its last line.
    pub last: usize,
    /// Its text, without the ends of lines.
    pub text: String,
}

/// The lines of `text` without comments, which begin with one of `comments`, and blank ones.
#[must_use]
pub fn logical_lines(text: &str, joining: Joining, comments: &[char]) -> Vec<LogicalLine> {
    let mut out: Vec<LogicalLine> = Vec::new();
    let mut open: Option<LogicalLine> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_end_matches('\r');
        let is_comment = line.trim_start().starts_with(comments);
        let skips = matches!(
            joining,
            Joining::Systemd | Joining::Udev | Joining::Indented
        );
        // modprobe joins the lines of a comment too.
        if is_comment && skips || is_comment && open.is_none() && joining != Joining::Modprobe {
            continue;
        }
        let ends = is_comment && joining == Joining::Shell && !is_quoted(open.as_ref());
        let goes_on = !ends && continues(line, joining);
        let body = match goes_on {
            true => line.strip_suffix('\\').unwrap_or(line),
            false if ends => "",
            false => line,
        };
        let mut joined = open.take().unwrap_or_else(|| LogicalLine {
            first: number,
            last: number,
            text: String::new(),
        });
        joined.last = number;
        match joining {
            Joining::Systemd | Joining::Udev => joined.text.push_str(body.trim_start()),
            _ => joined.text.push_str(body),
        }
        if goes_on && joining == Joining::Systemd {
            joined.text.push(' ');
        }
        if joining == Joining::Indented
            && line.starts_with([' ', '\t'])
            && let Some(before) = out.last_mut()
        {
            before.last = number;
            before.text.push_str(&joined.text);
            continue;
        }
        match goes_on {
            true => open = Some(joined),
            false => out.push(joined),
        }
    }
    out.extend(open.filter(|_| joining != Joining::Udev));
    out.retain(|line| {
        let text = line.text.trim_start();
        !text.is_empty() && !text.starts_with(comments)
    });
    out
}

/// Whether a line goes on in the next one. A backslash after another one is a character.
fn continues(line: &str, joining: Joining) -> bool {
    let marks = line.chars().rev().take_while(|c| *c == '\\').count();
    match joining {
        Joining::Never | Joining::Indented => false,
        Joining::Udev => marks > 0,
        Joining::Shell | Joining::Systemd | Joining::Modprobe => marks % 2 == 1,
    }
}

/// Whether a quote of the shell is open at the end of a text.
fn is_quoted(line: Option<&LogicalLine>) -> bool {
    let mut quote = None;
    let mut chars = line.map_or("", |line| line.text.as_str()).chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None | Some('"'), '\\') => {
                chars.next();
            }
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
    }
    quote.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines with their numbers.
    fn read(text: &str, joining: Joining) -> Vec<(usize, usize, String)> {
        let lines = logical_lines(text, joining, &['#', ';']).into_iter();
        lines
            .map(|line| (line.first, line.last, line.text))
            .collect()
    }

    fn texts(text: &str, joining: Joining) -> Vec<String> {
        read(text, joining).into_iter().map(|line| line.2).collect()
    }

    #[test]
    fn a_comment_that_ends_in_a_backslash() {
        let text = "# a \\\nb\n";
        for joining in [
            Joining::Never,
            Joining::Shell,
            Joining::Systemd,
            Joining::Udev,
            Joining::Indented,
        ] {
            assert_eq!(read(text, joining), [(2, 2, "b".into())], "{joining:?}");
        }
        assert_eq!(texts(text, Joining::Modprobe), [""; 0]);
    }

    #[test]
    fn comments_between_joined_lines() {
        let text = "a \\\n# b \\\n  c\nd\n";
        assert_eq!(
            read(text, Joining::Udev),
            [(1, 3, "a c".into()), (4, 4, "d".into())]
        );
        assert_eq!(texts(text, Joining::Systemd), ["a  c", "d"]);
        assert_eq!(texts(text, Joining::Shell), ["a ", "  c", "d"]);
        assert_eq!(texts(text, Joining::Modprobe), ["a # b   c", "d"]);
        assert_eq!(texts(text, Joining::Never), ["a \\", "  c", "d"]);
        // Within quotes it is a text.
        let quoted = "A=\"a \\\n# b \\\nc\"\nd\n";
        assert_eq!(texts(quoted, Joining::Shell), ["A=\"a # b c\"", "d"]);
    }

    #[test]
    fn backslashes_that_are_characters() {
        let text = "a\\\\\nb\\ \nc\\\r\nd\n";
        for joining in [Joining::Shell, Joining::Systemd, Joining::Modprobe] {
            assert_eq!(read(text, joining).len(), 3, "{joining:?}");
        }
        assert_eq!(texts(text, Joining::Udev), ["a\\b\\ ", "cd"]);
        assert_eq!(texts(text, Joining::Never).len(), 4);
    }

    #[test]
    fn lines_that_are_open_at_the_end_or_before_a_blank_one() {
        assert_eq!(texts("a\\\n\nb\\\n", Joining::Udev), ["a"]);
        assert_eq!(texts("a\\\n\nb\\\n", Joining::Shell), ["a", "b"]);
    }

    #[test]
    fn indented_lines_go_on() {
        let text = " # x\nARRAY a\n# b\n  UUID=1\n\nDEVICE c\n";
        let expected = [(2, 4, "ARRAY a  UUID=1".into()), (6, 6, "DEVICE c".into())];
        assert_eq!(read(text, Joining::Indented), expected);
    }
}
