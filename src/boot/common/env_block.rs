//! GRUB's environment block.
//!
//! ```text
//! # GRUB Environment Block\n       25 bytes
//! name=value\n ...                 a backslash or newline in a value follows a backslash
//! ####...                          up to byte 1024
//! ```
//! (GRUB manual, "The GRUB environment block"; `grub-core/lib/envblk.c`.) GRUB keeps its redundant
//! environment in such blocks, and `SLOT_ENV` (`boot::common`) is one for GRUB and for U-Boot,
//! which reads it as text.

/// The length of a block as `grub-editenv` makes it (bytes).
pub const BLOCK: usize = 1024;
/// The first line of every block.
const HEADER: &str = "# GRUB Environment Block\n";

/// The variables need this many bytes, more than the block has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("variables of {0} bytes do not fit into an environment block of {BLOCK} bytes")]
pub struct TooLong(pub usize);

/// A block of `length` bytes with these variables, in this order.
///
/// # Errors
/// [`TooLong`].
pub fn block_of(variables: &[(&str, &str)], length: usize) -> Result<Vec<u8>, TooLong> {
    let mut out = HEADER.to_owned();
    for (name, value) in variables {
        let value = value.replace('\\', "\\\\").replace('\n', "\\\n");
        out.push_str(&format!("{name}={value}\n"));
    }
    let mut out = out.into_bytes();
    if out.len() > length {
        return Err(TooLong(out.len()));
    }
    out.resize(length, b'#');
    Ok(out)
}

/// The variables of a block in their order; `None` when it does not begin as one. Accepts any
/// length and skips lines that start with `#`, as GRUB does.
#[must_use]
pub fn variables(block: &[u8]) -> Option<Vec<(String, String)>> {
    let text = std::str::from_utf8(block).ok()?.strip_prefix(HEADER)?;
    let mut out = Vec::new();
    let mut line = String::new();
    let mut escaped = false;
    for c in text.chars().chain(['\n']) {
        match c {
            _ if escaped => line.push(c),
            '\\' => {
                escaped = true;
                continue;
            }
            '\n' => {
                if let Some((name, value)) = line.split_once('=').filter(|_| !line.starts_with('#'))
                {
                    out.push((name.to_owned(), value.to_owned()));
                }
                line.clear();
            }
            c => line.push(c),
        }
        escaped = false;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_a_block() {
        let values = [
            ("a", "x=y z"),
            ("back", "\\slash\\"),
            ("two", "lines\nhere"),
            ("empty", ""),
        ];
        let block = block_of(&values, BLOCK).unwrap();
        let read = variables(&block).unwrap();
        let read: Vec<(&str, &str)> = read
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(read, values);
        assert_eq!(variables(b"# GRUB Environment Blok\n"), None);
        let long = "x".repeat(BLOCK);
        assert_eq!(block_of(&[("a", &long)], BLOCK), Err(TooLong(1024 + 28)));
    }
}
