//! Lines that differ in text files.

use crate::stream::{Content, ReadAt as _};
use crate::text_diff;
use std::io;

/// The longest text whose lines are compared (bytes).
const TEXT_MAX: u64 = 256 << 10;
/// The longest patch that is kept (lines).
const LINES_MAX: usize = 400;

/// The differences of two texts as a unified diff without file names; `None` if one of them is too
/// long or no text.
///
/// # Errors
/// I/O errors of both.
pub fn patch(old: &Content, new: &Content) -> io::Result<Option<String>> {
    let (Some(old), Some(new)) = (text(old)?, text(new)?) else {
        return Ok(None);
    };
    let patch = text_diff::unified(&old, &new);
    let lines = patch.lines().count();
    if lines <= LINES_MAX {
        return Ok(Some(patch));
    }
    let mut out: String = patch.split_inclusive('\n').take(LINES_MAX).collect();
    out.push_str(&format!(
        "... {} more lines\n",
        lines.saturating_sub(LINES_MAX)
    ));
    Ok(Some(out))
}

fn text(content: &Content) -> io::Result<Option<String>> {
    if content.len() > TEXT_MAX {
        return Ok(None);
    }
    let bytes = content.read_all(TEXT_MAX)?;
    let text = String::from_utf8(bytes).ok();
    Ok(text.filter(|text| !text.contains('\0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_texts_and_nothing_of_binaries() {
        let of = |bytes: &[u8]| Content::bytes(bytes.to_vec());
        let found = patch(&of(b"a\nb\nc\n"), &of(b"a\nx\nc\n"))
            .unwrap()
            .unwrap();
        assert_eq!(found, "@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n");
        assert_eq!(patch(&of(b"a\0"), &of(b"b")).unwrap(), None);
        assert_eq!(patch(&of(b"a"), &of(b"\xff")).unwrap(), None);
        let long = "line\n".repeat(1000);
        let found = patch(&of(b""), &of(long.as_bytes())).unwrap().unwrap();
        assert!(found.ends_with("+line\n... 601 more lines\n"), "{found}");
    }
}
