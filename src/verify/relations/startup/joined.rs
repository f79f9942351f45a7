//! Lines that go on: which of them a reader takes for one.

/// Readers of files with lines that end in a backslash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// systemd: comments in between do not end a line.
    Unit,
    /// udev: the same, and the space before a line is skipped.
    Rule,
    /// Programs that read lines like a shell: a comment is the end.
    Shell,
    /// modprobe, to which a comment goes on too.
    Module,
}

/// The lines of a text by this reader, each with the number of its first, from 1; without comments
/// and blank lines.
pub(super) fn joined(text: &str, reader: Reader) -> Vec<(u32, String)> {
    let mut out: Vec<(u32, String)> = Vec::new();
    let mut goes_on = false;
    for (at, line) in (1..).zip(text.lines()) {
        let is_comment = is_comment(line, reader);
        match reader {
            Reader::Unit | Reader::Rule if is_comment => continue,
            Reader::Shell if is_comment => {
                goes_on = false;
                continue;
            }
            _ => {}
        }
        let marks = line.bytes().rev().take_while(|byte| *byte == b'\\').count();
        let more = match reader {
            Reader::Rule => marks > 0,
            _ => marks.checked_rem(2) == Some(1),
        };
        let end = line.len().saturating_sub(usize::from(more));
        let mut part = line.get(..end).unwrap_or_default();
        if matches!(reader, Reader::Unit | Reader::Rule) {
            part = part.trim_start();
        }
        match out.last_mut().filter(|_| goes_on) {
            Some((_, whole)) => whole.push_str(part),
            None => out.push((at, part.to_owned())),
        }
        if more
            && reader == Reader::Unit
            && let Some((_, whole)) = out.last_mut()
        {
            whole.push(' ');
        }
        goes_on = more;
    }
    if goes_on && reader == Reader::Rule {
        out.pop();
    }
    out.retain(|(_, line)| !line.trim().is_empty() && !is_comment(line, reader));
    out.into_iter()
        .map(|(at, line)| (at, line.trim().to_owned()))
        .collect()
}

fn is_comment(line: &str, reader: Reader) -> bool {
    let line = line.trim_start();
    line.starts_with('#') || reader == Reader::Unit && line.starts_with(';')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_differ_in_comments_and_backslashes() {
        let read = |text: &str, reader| -> Vec<String> {
            let lines = joined(text, reader).into_iter();
            lines.map(|(at, line)| format!("{at} {line}")).collect()
        };
        let text = "# a \\\nb \\\n# c \\\n d\ne\\\\\nf\n";
        assert_eq!(read(text, Reader::Unit), ["2 b  d", "5 e\\\\", "6 f"]);
        assert_eq!(read(text, Reader::Rule), ["2 b d", "5 e\\f"]);
        assert_eq!(read(text, Reader::Shell), ["2 b", "4 d", "5 e\\\\", "6 f"]);
        let text = "# a \\\nb\nc \\\n# d\n";
        assert_eq!(read(text, Reader::Module), ["3 c # d"]);
        assert_eq!(read("a\\\n\nb \\ \nc\\\n", Reader::Rule), ["1 a", "3 b \\"]);
    }
}
