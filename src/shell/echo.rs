//! `echo`, which every shell has in a form of its own.

use super::Dialect;

/// The output of `echo`. That of dash reads escapes in every word; that of bash and of
/// `/bin/echo` reads them only after `-e`.
#[must_use]
pub fn echo(arguments: &[String], dialect: Dialect) -> String {
    let mut rest = arguments;
    let mut newline = true;
    let mut escapes = dialect == Dialect::Dash;
    while let Some((first, others)) = rest.split_first() {
        match dialect {
            Dialect::Dash if first == "-n" && newline => newline = false,
            Dialect::Bash if is_option(first) => {
                for letter in first.chars().skip(1) {
                    match letter {
                        'n' => newline = false,
                        other => escapes = other == 'e',
                    }
                }
            }
            _ => break,
        }
        rest = others;
    }
    let text = rest.join(" ");
    let (mut out, ended) = if escapes {
        unescape(&text)
    } else {
        (text, false)
    };
    if newline && !ended {
        out.push('\n');
    }
    out
}

fn is_option(word: &str) -> bool {
    word.len() > 1
        && word
            .strip_prefix('-')
            .is_some_and(|letters| letters.chars().all(|c| "neE".contains(c)))
}

/// Text with its escapes read, and whether `\c` ended it.
fn unescape(text: &str) -> (String, bool) {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('a') => out.push('\u{7}'),
            Some('b') => out.push('\u{8}'),
            Some('c') => return (out, true),
            Some('f') => out.push('\u{c}'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('v') => out.push('\u{b}'),
            Some('\\') => out.push('\\'),
            Some('0') => {
                let mut code = 0_u32;
                for _ in 0..3 {
                    let Some(digit) = chars.peek().and_then(|c| c.to_digit(8)) else {
                        break;
                    };
                    code = code * 8 + digit;
                    chars.next();
                }
                out.extend(char::from_u32(code & 0x7f));
            }
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    (out, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shell_echoes_in_its_own_way() {
        let out = |dialect, words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            echo(&words, dialect)
        };
        for (words, dash, bash) in [
            (&["a\\tb"][..], "a\tb\n", "a\\tb\n"),
            (&["-n", "x"], "x", "x"),
            (&["-e", "a\\nb"], "-e a\nb\n", "a\nb\n"),
            (&["-n", "-n", "x"], "-n x", "x"),
            (&["x\\\\y", "\\101"], "x\\y \\101\n", "x\\\\y \\101\n"),
            (&["a\\cb"], "a", "a\\cb\n"),
            (&["\\0101\\q"], "A\\q\n", "\\0101\\q\n"),
        ] {
            assert_eq!(out(Dialect::Dash, words), dash, "{words:?}");
            assert_eq!(out(Dialect::Bash, words), bash, "{words:?}");
        }
    }
}
