//! A line of a `tmpfiles.d(5)` file.

/// How a mode, a user or a group is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given<T> {
    pub(super) value: T,
    /// `:`: only for what is made anew.
    pub(super) only_new: bool,
}

/// A line, its fields as they are written but for specifiers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) kind: char,
    /// `+`: more or with force, by the kind.
    pub(super) plus: bool,
    /// `?`: only where the target exists.
    pub(super) if_there: bool,
    /// `!`: only when the device starts.
    pub(super) at_boot: bool,
    /// `-`: failures do not count.
    pub(super) lenient: bool,
    pub(super) path: String,
    pub(super) mode: Option<Given<u16>>,
    /// `~`: the mode is taken together with the one there is.
    pub(super) masked: bool,
    pub(super) user: Option<Given<String>>,
    pub(super) group: Option<Given<String>>,
    pub(super) argument: Option<String>,
}

impl Line {
    /// Reads a line that is not a remark; `None` for what the model does not understand.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut rest = text;
        let mut field = || -> Option<String> {
            let (word, after) = word(rest)?;
            rest = after;
            Some(word)
        };
        let letters = field()?;
        let path = specifiers(&field()?)?;
        let given = |text: Option<String>| text.filter(|text| text != "-" && !text.is_empty());
        let (mode, user, group, _age) = (
            given(field()),
            given(field()),
            given(field()),
            given(field()),
        );
        let mut letters = letters.chars();
        let mut out = Self {
            kind: letters.next()?,
            plus: false,
            if_there: false,
            at_boot: false,
            lenient: false,
            path: clean(&path)?,
            mode: None,
            masked: false,
            user: user.map(|text| only_new(&text)),
            group: group.map(|text| only_new(&text)),
            argument: None,
        };
        for letter in letters {
            match letter {
                '+' => out.plus = true,
                '?' => out.if_there = true,
                '!' => out.at_boot = true,
                '-' => out.lenient = true,
                _ => return None,
            }
        }
        if out.if_there && out.kind != 'L' {
            return None;
        }
        if let Some(mut text) = mode.as_deref() {
            let mut only_new = false;
            while let Some(first) = text.strip_prefix(['~', ':']) {
                out.masked |= text.starts_with('~');
                only_new |= text.starts_with(':');
                text = first;
            }
            let value = u16::from_str_radix(text, 8)
                .ok()
                .filter(|mode| *mode <= 0o7777)?;
            out.mode = Some(Given { value, only_new });
        }
        let argument = rest.trim();
        if !argument.is_empty() && argument != "-" {
            out.argument = Some(specifiers(argument)?);
        }
        // The older names of kinds.
        match out.kind {
            'F' => (out.kind, out.plus) = ('f', true),
            'm' => out.kind = 'z',
            _ => {}
        }
        Some(out)
    }

    /// Whether the kind makes something at the path itself, and not at what a pattern matches.
    pub(super) fn makes(&self) -> bool {
        "fdDvqQpLcbC".contains(self.kind)
    }

    /// Whether a path can have one line of such kinds alone.
    pub(super) fn owns(&self) -> bool {
        self.makes() || "wexXrR".contains(self.kind)
    }

    /// The mode of what is made where the line gives none.
    pub(super) fn new_mode(&self) -> u16 {
        let default = if "dDvqQC".contains(self.kind) {
            0o755
        } else {
            0o644
        };
        self.mode.as_ref().map_or(default, |mode| mode.value)
    }
}

fn only_new(text: &str) -> Given<String> {
    let (value, only_new) = text
        .strip_prefix(':')
        .map_or((text, false), |rest| (rest, true));
    Given {
        value: value.to_owned(),
        only_new,
    }
}

/// The first word, quotes taken off, and what follows it.
fn word(text: &str) -> Option<(String, &str)> {
    let text = text.trim_start();
    let mut out = String::new();
    let mut quote = None;
    for (place, c) in text.char_indices() {
        match (c, quote) {
            ('\\', _) => return None,
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => quote = Some(c),
            (c, None) if c.is_whitespace() => return Some((out, text.get(place..)?)),
            (c, _) => out.push(c),
        }
    }
    (quote.is_none() && !text.is_empty()).then_some((out, ""))
}

/// A text with its specifiers replaced; those that depend on the running device are beyond the
/// model.
fn specifiers(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        out.push_str(match chars.next()? {
            '%' => "%",
            'S' => "/var/lib",
            'C' => "/var/cache",
            'L' => "/var/log",
            't' => "/run",
            'T' => "/tmp",
            'V' => "/var/tmp",
            'h' => "/root",
            'u' | 'g' => "root",
            'U' | 'G' => "0",
            _ => return None,
        });
    }
    Some(out)
}

/// An absolute path without empty components; `None` for one that goes upwards or is not absolute.
fn clean(path: &str) -> Option<String> {
    let rest = path.strip_prefix('/')?;
    let parts: Vec<&str> = rest
        .split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .collect();
    (!parts.contains(&"..")).then(|| format!("/{}", parts.join("/")))
}

/// An argument with its escapes, as files get it; `None` for an escape that is not one of C's.
pub(super) fn escapes(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.extend_from_slice(plain.as_bytes());
        let first = escape.chars().next()?;
        let mut len = 1;
        out.push(match first {
            'n' => b'\n',
            't' => b'\t',
            'r' => b'\r',
            's' => b' ',
            'a' => 7,
            'b' => 8,
            'f' => 12,
            'v' => 11,
            '\\' | '"' | '\'' => u8::try_from(first).ok()?,
            'x' => {
                len = 3;
                u8::from_str_radix(escape.get(1..3)?, 16).ok()?
            }
            '0'..='7' => {
                len = 3;
                u8::from_str_radix(escape.get(..3)?, 8).ok()?
            }
            _ => return None,
        });
        rest = escape.get(len..)?;
    }
    out.extend_from_slice(rest.as_bytes());
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_line() {
        let line = Line::read("d!-  \"/var//lib/a b/\" ~:2750 :root 'x y' 10d  %S/x %% ").unwrap();
        let text = |value: &str, only_new| {
            Some(Given {
                value: value.to_owned(),
                only_new,
            })
        };
        assert_eq!((line.kind, line.at_boot, line.lenient), ('d', true, true));
        assert_eq!(line.path, "/var/lib/a b");
        let mode = Given {
            value: 0o2750,
            only_new: true,
        };
        assert_eq!((line.mode, line.masked), (Some(mode), true));
        assert_eq!(
            (line.user, line.group),
            (text("root", true), text("x y", false))
        );
        assert_eq!(line.argument.as_deref(), Some("/var/lib/x %"));
        let line = Line::read("F /x").unwrap();
        assert!(line.kind == 'f' && line.plus && line.makes());
        assert_eq!((line.mode, line.argument), (None, None));
        for text in [
            "d",
            "d x",
            "d /a/../b",
            "d /%b",
            "d= /x",
            "d /x 98",
            "d /x 17777",
            "f? /x",
            "d \"/x",
            "d /x\\x20y",
        ] {
            assert_eq!(Line::read(text), None, "{text}");
        }
    }

    #[test]
    fn escapes_of_an_argument() {
        assert_eq!(escapes("a\\nb\\t\\\\\\x41\\101").unwrap(), b"a\nb\t\\AA");
        for text in ["\\", "\\q", "\\x4", "\\777"] {
            assert_eq!(escapes(text), None, "{text}");
        }
    }
}
