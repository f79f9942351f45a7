//! The outer archive: the common `ar` format as `deb(5)` restricts it.
//!
//! ```text
//! 0   8  "!<arch>\n"
//! then for each member a header of 60 bytes, all ASCII and padded with blanks:
//!     0  16  name, perhaps with a trailing "/"
//!    16  12  time   28 6 owner   34 6 group   40 8 mode
//!    48  10  size in bytes, decimal
//!    58   2  "`\n"
//! and `size` bytes, followed by "\n" when the size is odd
//! ```

use super::error::DebError;
use crate::stream::Source;

const MAGIC: &[u8; 8] = b"!<arch>\n";
const MAGIC_LEN: u64 = 8;
/// Bytes of a member's header.
const HEADER: u64 = 60;
/// A package has three members and may have a few of a vendor's own.
const MAX_MEMBERS: usize = 64;

/// A member and where its bytes are.
#[derive(Clone, Debug)]
pub(super) struct ArMember {
    pub(super) name: String,
    /// Bytes from the start of the archive.
    pub(super) offset: u64,
    pub(super) len: u64,
}

/// All members in order.
pub(super) fn members(source: &Source) -> Result<Vec<ArMember>, DebError> {
    let mut magic = [0; 8];
    let len = magic
        .len()
        .min(usize::try_from(source.len()).unwrap_or(usize::MAX));
    source
        .read_exact_at(0, magic.get_mut(..len).unwrap_or_default())
        .map_err(|e| DebError::Io("the archive's magic", e))?;
    if &magic != MAGIC {
        return Err(DebError::Corrupt(
            "not an ar archive: the magic `!<arch>` is missing".into(),
        ));
    }
    let mut members = Vec::new();
    let mut at = MAGIC_LEN;
    while at < source.len() {
        let member = member(source, at)?;
        at = member
            .offset
            .saturating_add(member.len)
            .saturating_add(member.len & 1);
        members.push(member);
        if members.len() > MAX_MEMBERS {
            return Err(DebError::Corrupt(format!(
                "the number of members exceeds the limit of {MAX_MEMBERS}"
            )));
        }
    }
    Ok(members)
}

fn member(source: &Source, at: u64) -> Result<ArMember, DebError> {
    let mut header = [0; 60];
    source
        .read_exact_at(at, &mut header)
        .map_err(|e| DebError::Io("a member's header", e))?;
    let size = header
        .get(48..58)
        .and_then(|size| std::str::from_utf8(size).ok())
        .and_then(|size| size.trim_end().parse().ok());
    let name = header
        .get(..16)
        .and_then(|name| std::str::from_utf8(name).ok());
    let (Some(len), Some(name), true) = (size, name, header.ends_with(b"`\n")) else {
        return Err(bad_header(at));
    };
    let offset = at.saturating_add(HEADER);
    let end = offset.checked_add(len).filter(|end| *end <= source.len());
    if end.is_none() {
        let name = name.trim_end();
        let left = source.len().saturating_sub(offset);
        return Err(DebError::Corrupt(format!(
            "member {name} has {len} bytes, but only {left} are left"
        )));
    }
    Ok(ArMember {
        name: name.trim_end().trim_end_matches('/').to_owned(),
        offset,
        len,
    })
}

fn bad_header(at: u64) -> DebError {
    DebError::Corrupt(format!("no member header at offset {at}"))
}
