//! MD5 checksums of files, by which dpkg and ucf tell whether a configuration file was changed.

use crate::deb::Md5;
use crate::stream::{Content, ReadAt};
use crate::tree::edit::EditError;
use crate::tree::{Tree, show};
use std::io;

/// The MD5 checksum of a content in hexadecimal.
pub(super) fn md5_of(content: &Content) -> io::Result<String> {
    let mut md5 = Md5::default();
    let mut buf = vec![0; 1 << 16];
    let mut at = 0;
    while at < content.len() {
        let len = usize::try_from(content.len() - at)
            .unwrap_or(usize::MAX)
            .min(buf.len());
        let (part, _) = buf.split_at_mut(len);
        content.read_exact_at(at, part)?;
        md5.update(part);
        at += len as u64;
    }
    Ok(md5.finish())
}

/// The MD5 checksum of the regular file at `path`, symlinks followed.
pub(super) fn md5_at(tree: &Tree, path: &[u8]) -> Result<Option<String>, EditError> {
    tree.file(path)
        .map(|content| md5_of(content).map_err(|e| EditError::Io(show(path), e)))
        .transpose()
}
