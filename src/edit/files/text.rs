//! Changes of a text: a replacement, a line at the end, the value of a key.

use crate::plan::edits::{Style, TextChange};

/// A text after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Changed {
    pub(super) text: String,
    /// The number of places that were replaced.
    pub(super) places: u64,
}

/// Makes a change, in whose new text `{secret}` stands for `secret`; a text that has it already
/// stays as it is.
///
/// # Errors
/// Why it cannot be made.
pub(super) fn changed(
    old: &str,
    change: &TextChange,
    secret: Option<&str>,
) -> Result<Changed, String> {
    let filled = |text: &str| match secret {
        Some(secret) => text.replace("{secret}", secret),
        None => text.to_owned(),
    };
    match change {
        TextChange::Replace { old: from, new, .. } => {
            let places = old.matches(from.as_str()).count();
            if places == 0 {
                return Err(format!("does not contain {from:?}, the text of `replace`"));
            }
            Ok(Changed {
                text: old.replace(from.as_str(), &filled(new)),
                places: u64::try_from(places).unwrap_or(u64::MAX),
            })
        }
        TextChange::Append(line) => Ok(plain(append(old, &filled(line)))),
        TextChange::Set { style, key, value } => set(old, style, key, &filled(value)).map(plain),
    }
}

fn plain(text: String) -> Changed {
    Changed { text, places: 0 }
}

/// Whole lines at the end, unless the text has them.
fn append(old: &str, lines: &str) -> String {
    let lines = lines.trim_end_matches('\n');
    if format!("\n{}\n", old.replace("\r\n", "\n")).contains(&format!("\n{lines}\n")) {
        return old.to_owned();
    }
    let mut text = ended(old);
    text.push_str(lines);
    text.push('\n');
    text
}

/// A text whose last line has an end.
fn ended(text: &str) -> String {
    let mut text = text.to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// A line that assigns a value: its number, and the bytes before the value.
struct Assignment {
    line: usize,
    head: usize,
}

/// The bytes of a line before the value, if it assigns one to `key`; `marks` may precede the key.
fn head(line: &str, style: &Style, key: &str, marks: &[char]) -> Option<usize> {
    let mut rest = line.trim_start_matches([' ', '\t']);
    if !marks.is_empty() {
        rest = rest.strip_prefix(marks)?;
        rest = rest.trim_start_matches([' ', '\t', '#', ';']);
    }
    if *style == Style::Shell {
        rest = rest.strip_prefix("export ").unwrap_or(rest).trim_start();
    }
    let value = rest.strip_prefix(key)?;
    let value = match style {
        Style::Ini(_) => value.trim_start_matches([' ', '\t']).strip_prefix('=')?,
        Style::Shell => value.strip_prefix('=')?,
    };
    let value = match style {
        Style::Ini(_) => value.trim_start_matches([' ', '\t']),
        Style::Shell => value,
    };
    Some(line.len() - value.len())
}

/// The name of the section that a line begins.
fn section(line: &str) -> Option<&str> {
    line.trim()
        .strip_prefix('[')?
        .strip_suffix(']')
        .map(str::trim)
}

/// The text with a value of `key`.
pub(in crate::edit) fn set(
    old: &str,
    style: &Style,
    key: &str,
    value: &str,
) -> Result<String, String> {
    let value = match style {
        Style::Ini(_) => value.to_owned(),
        Style::Shell => quoted(value),
    };
    let mut lines: Vec<String> = old.split_inclusive('\n').map(str::to_owned).collect();
    let mut here: Option<String> = None;
    let wanted = match style {
        Style::Ini(section) => section.clone(),
        Style::Shell => None,
    };
    let (mut assigned, mut commented) = (Vec::new(), None);
    let mut end = (wanted.is_none()).then_some(0);
    for (number, line) in lines.iter().enumerate() {
        let bare = line.trim_end_matches(['\n', '\r']);
        if matches!(style, Style::Ini(_))
            && let Some(name) = section(bare)
        {
            here = Some(name.to_owned());
            if here == wanted {
                end = Some(number + 1);
            }
            continue;
        }
        if here != wanted {
            continue;
        }
        if !bare.trim().is_empty() {
            end = Some(number + 1);
        }
        if let Some(head) = head(bare, style, key, &[]) {
            assigned.push(Assignment { line: number, head });
        } else if head_of_comment(bare, style, key) {
            commented = Some(number);
        }
    }
    if let [first, second, ..] = assigned.as_slice() {
        return Err(format!(
            "assigns {key} more than once (lines {} and {}): use `replace`",
            first.line + 1,
            second.line + 1
        ));
    }
    if let Some(Assignment { line, head }) = assigned.first()
        && let Some(text) = lines.get_mut(*line)
    {
        let bare = text.trim_end_matches(['\n', '\r']);
        if goes_on(bare, style) {
            return Err(format!(
                "the value of {key} in line {} goes on in the next line: use `replace`",
                line + 1
            ));
        }
        let tail = text.get(bare.len()..).unwrap_or_default();
        let start = bare.get(..*head).unwrap_or_default();
        *text = format!("{start}{value}{tail}");
        return Ok(lines.concat());
    }
    let line = format!("{key}={value}\n");
    let Some(end) = end else {
        let mut text = ended(old);
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&format!("[{}]\n{line}", wanted.unwrap_or_default()));
        return Ok(text);
    };
    let at = commented.map_or(end, |number| number + 1);
    if let Some(last) = at.checked_sub(1).and_then(|last| lines.get_mut(last)) {
        *last = ended(last);
    }
    lines.insert(at.min(lines.len()), line);
    Ok(lines.concat())
}

/// Whether a comment of a line assigns a value to `key`: a default, such as `#Storage=auto`.
fn head_of_comment(line: &str, style: &Style, key: &str) -> bool {
    head(line, style, key, &['#', ';']).is_some()
}

/// Whether the value of a line goes on in the next one.
fn goes_on(line: &str, style: &Style) -> bool {
    let open = |quote: char| line.matches(quote).count() % 2 == 1;
    line.ends_with('\\') || (*style == Style::Shell && (open('"') ^ open('\'')))
}

/// A value for a shell, in quotes if need be: without expansions.
fn quoted(value: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:@%+,".contains(&b);
    if !value.is_empty() && value.bytes().all(is_plain) {
        return value.to_owned();
    }
    let mut out = String::from("\"");
    for c in value.chars() {
        if matches!(c, '"' | '\\' | '$' | '`') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ini(old: &str, section: Option<&str>, key: &str, value: &str) -> Result<String, String> {
        let style = Style::Ini(section.map(str::to_owned));
        set(old, &style, key, value)
    }

    #[test]
    fn a_key_is_set_in_its_section() {
        for (old, section, expected) in [
            ("", None, "k=v\n"),
            ("a=1", None, "a=1\nk=v\n"),
            ("k=1\n[s]\nk=2\n", None, "k=v\n[s]\nk=2\n"),
            ("k=1\n[s]\nk=2\n", Some("s"), "k=1\n[s]\nk=v\n"),
            ("[s]\na=1\n\n[t]\n", Some("s"), "[s]\na=1\nk=v\n\n[t]\n"),
            ("[s]\n#k=1\n#a=1\n", Some("s"), "[s]\n#k=1\nk=v\n#a=1\n"),
            ("[s]\nk = old # x\r\n", Some("s"), "[s]\nk = v\r\n"),
            ("[s]\nkk=1\n", Some("s"), "[s]\nkk=1\nk=v\n"),
            ("a=1\n", Some("s"), "a=1\n\n[s]\nk=v\n"),
            ("", Some("s"), "[s]\nk=v\n"),
            ("[s]\nk=1", Some("s"), "[s]\nk=v"),
            (
                "[s]\n[t]\nk=1\n[s]\nk=2\n",
                Some("s"),
                "[s]\n[t]\nk=1\n[s]\nk=v\n",
            ),
        ] {
            let text = ini(old, section, "k", "v");
            assert_eq!(text.as_deref(), Ok(expected), "{old:?}");
            // Once more changes nothing.
            assert_eq!(ini(expected, section, "k", "v").as_deref(), Ok(expected));
        }
    }

    #[test]
    fn a_variable_is_quoted() {
        let set = |old: &str, value: &str| set(old, &Style::Shell, "K", value);
        assert_eq!(set("", "a").as_deref(), Ok("K=a\n"));
        assert_eq!(
            set("export K='x y'\n", "").as_deref(),
            Ok("export K=\"\"\n")
        );
        assert_eq!(
            set("#K=1\nB=2\n", "a $b").as_deref(),
            Ok("#K=1\nK=\"a \\$b\"\nB=2\n")
        );
        assert_eq!(
            set("[ -e x ]\nK=1\n", "2").as_deref(),
            Ok("[ -e x ]\nK=2\n")
        );
        assert_eq!(
            set("K=\"a\nb\"\n", "1").unwrap_err(),
            "the value of K in line 1 goes on in the next line: use `replace`"
        );
        assert_eq!(
            set("K=1\n\nK=2\n", "1").unwrap_err(),
            "assigns K more than once (lines 1 and 3): use `replace`"
        );
    }

    #[test]
    fn lines_are_appended_once() {
        assert_eq!(append("a\nb", "c"), "a\nb\nc\n");
        assert_eq!(append("a\nc\nb", "c\n"), "a\nc\nb");
        assert_eq!(append("xc\n", "c"), "xc\nc\n");
        assert_eq!(append("", "c\nd"), "c\nd\n");
    }
}
