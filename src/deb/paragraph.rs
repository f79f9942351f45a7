//! Control paragraphs: `Field: value` lines with continuation lines, as `deb822(5)` has them.

/// Why a text is not a paragraph.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParagraphError {
    /// A line that is neither a field nor the continuation of one.
    #[error("line {0}: neither `Field: value` nor a continuation")]
    Line(usize),
    /// The same field twice.
    #[error("line {0}: the field {1} occurs twice")]
    Twice(usize, String),
    /// Bytes that are not UTF-8.
    #[error("not UTF-8")]
    Encoding,
}

/// The fields of a paragraph in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paragraph {
    fields: Vec<(String, String)>,
}

impl Paragraph {
    /// Reads one paragraph; comment lines (`#`) and blank lines around it are skipped.
    ///
    /// # Errors
    /// [`ParagraphError`] with the line, counted from 1.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParagraphError> {
        let text = std::str::from_utf8(bytes).map_err(|_| ParagraphError::Encoding)?;
        let mut paragraph = Self::default();
        paragraph.lines(text)?;
        // Blanks at the ends of other lines belong to the value, as for dpkg.
        for (_, value) in &mut paragraph.fields {
            value.truncate(value.trim_end().len());
        }
        Ok(paragraph)
    }

    fn lines(&mut self, text: &str) -> Result<(), ParagraphError> {
        let mut numbered = (1..).zip(text.lines());
        while let Some((number, line)) = numbered.next() {
            if line.starts_with('#') || (self.fields.is_empty() && line.trim().is_empty()) {
                continue;
            }
            if line.trim().is_empty() {
                let mut rest = numbered.filter(|(_, line)| !line.trim().is_empty());
                return match rest.next() {
                    Some((number, _)) => Err(ParagraphError::Line(number)),
                    None => Ok(()),
                };
            }
            self.line(line, number)?;
        }
        Ok(())
    }

    fn line(&mut self, line: &str, number: usize) -> Result<(), ParagraphError> {
        if line.starts_with([' ', '\t']) {
            let (_, value) = self.fields.last_mut().ok_or(ParagraphError::Line(number))?;
            value.push('\n');
            value.push_str(line);
            return Ok(());
        }
        let (name, value) = line.split_once(':').ok_or(ParagraphError::Line(number))?;
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(ParagraphError::Line(number));
        }
        if self.get(name).is_some() {
            return Err(ParagraphError::Twice(number, name.to_owned()));
        }
        self.fields
            .push((name.to_owned(), value.trim_start().to_owned()));
        Ok(())
    }

    /// The value of a field (its name in any case): the first line without the blanks around it,
    /// continuation lines as they are.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The value of a field, or an empty text.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// Names and values in order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Splits a file of paragraphs at its blank lines, which are dropped. Each paragraph keeps its line
/// feeds.
#[must_use]
pub fn stanzas(bytes: &[u8]) -> Vec<&[u8]> {
    let mut out = Vec::new();
    let mut start = 0;
    let mut at = 0_usize;
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        let end = at.saturating_add(line.len());
        if line.iter().all(u8::is_ascii_whitespace) {
            out.extend(bytes.get(start..at).filter(|piece| !piece.is_empty()));
            start = end;
        }
        at = end;
    }
    out.extend(bytes.get(start..).filter(|piece| !piece.is_empty()));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_their_continuations() {
        let p = Paragraph::parse(
            b"\nPackage: a\n# remark\nDescription: short\n long\n .\n more \nVersion:  1\n\n",
        )
        .unwrap();
        assert_eq!(p.get("description"), Some("short\n long\n .\n more"));
        assert_eq!(p.text("Version"), "1");
        assert_eq!(p.fields().count(), 3);
        assert_eq!(Paragraph::parse(b" x\n"), Err(ParagraphError::Line(1)));
        assert_eq!(
            Paragraph::parse(b"A: 1\nx y\n"),
            Err(ParagraphError::Line(2))
        );
        assert_eq!(
            Paragraph::parse(b"A: 1\na: 2\n"),
            Err(ParagraphError::Twice(2, "a".into()))
        );
        assert_eq!(
            Paragraph::parse(b"A: 1\n\nB: 2\n"),
            Err(ParagraphError::Line(3))
        );
        assert_eq!(
            Paragraph::parse(b"A: \xff\n"),
            Err(ParagraphError::Encoding)
        );
    }

    #[test]
    fn blanks_at_the_ends_of_lines_are_of_the_value_but_for_the_last() {
        let p = Paragraph::parse(b"Package:  a \nDescription: short \n long \n more \n\n").unwrap();
        assert_eq!(p.get("Package"), Some("a"));
        assert_eq!(p.get("Description"), Some("short \n long \n more"));
    }

    #[test]
    fn stanzas_keep_their_bytes() {
        assert_eq!(
            stanzas(b"A: 1\nB: 2\n\n\nC: 3"),
            [&b"A: 1\nB: 2\n"[..], b"C: 3"]
        );
        assert!(stanzas(b"\n\n").is_empty());
    }
}
