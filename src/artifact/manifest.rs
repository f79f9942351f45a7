//! The manifest: a line for each file of the Artifact, `<SHA-256 in 64 lower-case digits>
//! <name>\n`. Signatures cover exactly its bytes.

use super::names::MEMBER_MAX;
use crate::digest::{Digest, hex, unhex};
use std::fmt::Write as _;

/// The text of a manifest.
pub(super) fn render(lines: &[(&str, Digest)]) -> String {
    lines.iter().fold(String::new(), |mut out, (name, digest)| {
        let _ = writeln!(out, "{}  {name}", hex(digest));
        out
    })
}

/// The fault of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineFault {
    /// It has no characters.
    Empty,
    /// It is not 64 characters, two blanks, a name without blanks.
    Form,
    /// Its digest is not of lower-case hexadecimal digits.
    Digits,
    /// Its name is too long.
    Long,
}

impl LineFault {
    /// The code of the finding and the end of the sentence "line 3 ...".
    pub(super) fn describe(self) -> (&'static str, String) {
        match self {
            Self::Empty => ("manifest-line", "is empty".into()),
            Self::Form => (
                "manifest-line",
                "is not a checksum, two blanks and a name".into(),
            ),
            Self::Digits => (
                "manifest-digits",
                "has a checksum that is not of the digits 0-9 a-f".into(),
            ),
            Self::Long => (
                "manifest-name-length",
                format!("has a name of more than {MEMBER_MAX} bytes"),
            ),
        }
    }
}

/// Reads a line without its newline.
pub(super) fn parse(line: &str) -> Result<(&str, Digest), LineFault> {
    if line.is_empty() {
        return Err(LineFault::Empty);
    }
    let (digits, rest) = line.split_at_checked(64).ok_or(LineFault::Form)?;
    let name = rest.strip_prefix("  ").ok_or(LineFault::Form)?;
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(LineFault::Form);
    }
    let digest = unhex(digits).ok_or(LineFault::Digits)?;
    if name.len() > MEMBER_MAX {
        Err(LineFault::Long)
    } else {
        Ok((name, digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_strict() {
        let digest = [0xab; 32];
        let text = render(&[("version", digest)]);
        let line = text.strip_suffix('\n').unwrap();
        assert_eq!(parse(line), Ok(("version", digest)));
        assert_eq!(parse(""), Err(LineFault::Empty));
        assert_eq!(
            parse(&line.to_uppercase().replace("VERSION", "version")),
            Err(LineFault::Digits)
        );
        for bad in [
            line.replace("  ", " "),
            line.replace("  ", "   "),
            format!("{line} "),
            format!("{line}\r"),
            "é".repeat(40),
        ] {
            assert_eq!(parse(&bad), Err(LineFault::Form), "{bad:?}");
        }
        assert_eq!(
            parse(&format!("{}  {}", hex(&digest), "x".repeat(101))),
            Err(LineFault::Long)
        );
    }
}
