//! U-Boot's legacy image around a script, which is what its `source` command takes.
//!
//! ```text
//!  0 magic  4 CRC-32 of these 64 bytes with this field 0   8 time  12 length of the data   16 load  20 entry   24 CRC-32 of the data
//! 28 system 29 architecture 30 type 31 compression         32 name, 32 bytes            64 data: length of the text, 0, the text
//! ```
//! All numbers are big endian (`include/image.h` of U-Boot).

use super::environment::crc32;

/// The first bytes of every legacy image.
pub const MAGIC: u32 = 0x2705_1956;
/// The length of the header (bytes).
const HEADER: usize = 64;
/// Linux, ARM (which nothing checks for scripts), a script, not compressed.
const KIND: [u8; 4] = [5, 2, 6, 0];
/// The name in the header.
const NAME: &[u8] = b"boot script";

/// The image of a script. It carries no time: the same text gives the same bytes.
///
/// # Panics
/// When the text has 4 GiB or more.
#[must_use]
pub fn wrap(text: &str) -> Vec<u8> {
    let number = |len: usize| u32::try_from(len).expect("a script is short").to_be_bytes();
    let data = [&number(text.len())[..], &[0; 4], text.as_bytes()].concat();
    let mut header = vec![0; HEADER];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &MAGIC.to_be_bytes());
    put(12, &number(data.len()));
    put(24, &crc32(&data).to_be_bytes());
    put(28, &KIND);
    put(32, NAME);
    let checksum = crc32(&header);
    header[4..8].copy_from_slice(&checksum.to_be_bytes());
    [header, data].concat()
}

/// Reasons why a file cannot be read as a script image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// It is too short, or does not begin like one.
    #[error("not a legacy image")]
    Magic,
    /// A checksum is wrong.
    #[error("wrong checksum of its {0}")]
    Checksum(&'static str),
    /// It holds something else.
    #[error("an image of type {0}, not a script")]
    Kind(u8),
    /// The lengths in it do not fit the file.
    #[error("its lengths exceed the file")]
    Length,
}

/// The text of a script image.
///
/// # Errors
/// [`ScriptError`].
pub fn unwrap(image: &[u8]) -> Result<String, ScriptError> {
    let word = |at: usize| Some(u32::from_be_bytes(image.get(at..at + 4)?.try_into().ok()?));
    let header = image
        .get(..HEADER)
        .filter(|_| word(0) == Some(MAGIC))
        .ok_or(ScriptError::Magic)?;
    let mut blank = header.to_vec();
    blank[4..8].fill(0);
    if word(4) != Some(crc32(&blank)) {
        return Err(ScriptError::Checksum("header"));
    }
    if header[30] != KIND[2] {
        return Err(ScriptError::Kind(header[30]));
    }
    let length = |at: usize| {
        word(at)
            .and_then(|len| usize::try_from(len).ok())
            .ok_or(ScriptError::Length)
    };
    let data = image[HEADER..]
        .get(..length(12)?)
        .ok_or(ScriptError::Length)?;
    if word(24) != Some(crc32(data)) {
        return Err(ScriptError::Checksum("data"));
    }
    let text = data
        .get(8..)
        .and_then(|text| text.get(..length(HEADER).ok()?))
        .ok_or(ScriptError::Length)?;
    Ok(String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_wrapped_as_the_format_says() {
        let image = wrap("echo hello\n");
        let dump: Vec<String> = image[..32]
            .chunks(4)
            .map(|word| word.iter().map(|byte| format!("{byte:02x}")).collect())
            .collect();
        assert_eq!(dump[0], "27051956");
        assert_eq!(
            &dump[2..6],
            ["00000000", "00000013", "00000000", "00000000"]
        );
        assert_eq!(dump[7], "05020600");
        assert_eq!(&image[64..72], [0, 0, 0, 11, 0, 0, 0, 0]);
        assert_eq!(unwrap(&image).as_deref(), Ok("echo hello\n"));
    }

    #[test]
    fn damage_is_named() {
        let image = wrap("echo hello\n");
        let with = |at: usize| {
            let mut image = image.clone();
            image[at] ^= 1;
            unwrap(&image)
        };
        assert_eq!(with(0), Err(ScriptError::Magic));
        assert_eq!(with(40), Err(ScriptError::Checksum("header")));
        assert_eq!(with(75), Err(ScriptError::Checksum("data")));
        assert_eq!(unwrap(&image[..70]), Err(ScriptError::Length));
        assert_eq!(unwrap(b"echo"), Err(ScriptError::Magic));
    }
}
