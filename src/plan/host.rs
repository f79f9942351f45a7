//! Files of the host that a conversion takes, and what the command line says of them.

use crate::config::Secret;
use crate::fs::ext4::FileLayout;
use crate::input_file;
use crate::problem::Problem;
use crate::tree::host::Modes;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Inputs from the command line, besides the configuration.
#[derive(Clone, Debug)]
pub struct HostFiles<'a> {
    /// The golden image; only its name is used.
    pub disk: &'a Path,
    /// More overlays of the root filesystem, after those of the configuration.
    pub overlays: &'a [PathBuf],
    /// The file layout of an earlier release, which is preserved.
    pub preserve_layout: Option<Arc<FileLayout>>,
    /// The permission bits of overlays that are not those of the host.
    pub modes: Arc<Modes>,
    /// The package cache of `goldsmith fetch`; it need not exist.
    pub package_cache: &'a Path,
    /// `SOURCE_DATE_EPOCH` (seconds since 1970).
    pub epoch: Option<i64>,
}

impl HostFiles<'_> {
    /// The golden image's file name, without directories: no path of the host gets into an output.
    #[must_use]
    pub fn input_name(&self) -> String {
        self.disk
            .file_name()
            .map_or_else(|| "-".into(), |name| name.to_string_lossy().into_owned())
    }

    /// The golden image's name without the extensions of images and compressors; `image` for
    /// standard input.
    #[must_use]
    pub fn stem(&self) -> String {
        const COMPRESSED: [&str; 5] = [".gz", ".xz", ".zst", ".bz2", ".zip"];
        const IMAGES: [&str; 8] = [
            ".img", ".raw", ".qcow2", ".wic", ".sdimg", ".simg", ".iso", ".bin",
        ];
        let Some(name) = self.disk.file_name().filter(|name| *name != "-") else {
            return "image".to_owned();
        };
        let mut name = name.to_string_lossy().into_owned();
        for extensions in [&COMPRESSED[..], &IMAGES[..]] {
            let stem = extensions.iter().find_map(|end| name.strip_suffix(end));
            if let Some(stem) = stem.filter(|stem| !stem.is_empty()) {
                name = stem.to_owned();
            }
        }
        name
    }
}

/// The largest file of the host that is kept in memory (bytes): a U-Boot or a state script.
const MAX: u64 = 64 << 20;

/// The file at `path`; `purpose` is what it is for, as in `the state script`.
///
/// # Errors
/// I/O errors, as a [`Problem`] that names the file.
pub(super) fn read(path: &Path, purpose: &str) -> Result<Vec<u8>, Problem> {
    input_file::read(path, MAX, "such a file")
        .map_err(|e| Problem::new(format!("reading {purpose} {}: {e}", path.display())))
}

/// A text that appears in no message, dump or record.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(String);

impl SecretText {
    /// The text, for the file that has to contain it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretText(***)")
    }
}

/// The largest file with a secret (bytes).
const SECRET_MAX: u64 = 64 << 10;

/// The secret of the key `key`: as it is written, from an environment variable (`env:NAME`), or
/// from the `file` of the key `key-file`.
///
/// # Errors
/// A variable that is not set, a file that cannot be read, and a text that is not one line.
pub(super) fn secret(
    key: &str,
    value: Option<&Secret>,
    file: Option<&Path>,
) -> Result<Option<SecretText>, Problem> {
    let (text, from) = match (value, file) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            let message = format!("{key} and {key}-file are both set");
            return Err(Problem::new(message).hint("set one of them"));
        }
        (Some(value), None) => {
            let Some(name) = value.variable() else {
                return Ok(Some(SecretText(value.expose().to_owned())));
            };
            let from = format!("the environment variable {name}");
            let text = std::env::var(name).map_err(|_| {
                let message = format!("{key}: {from} is not set, or is not UTF-8");
                Problem::new(message).hint(format!("export {name} before goldsmith starts"))
            })?;
            (text, from)
        }
        (None, Some(file)) => {
            let from = file.display().to_string();
            let text = input_file::read_text(file, SECRET_MAX, "a secret")
                .map_err(|e| Problem::new(format!("{key}-file: reading {from}: {e}")))?;
            (text, from)
        }
    };
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.trim().is_empty() || text.contains(char::is_control) {
        let message = format!("{key}: {from} is empty, or has more than one line of text");
        return Err(Problem::new(message).hint("write the secret alone, on one line"));
    }
    Ok(Some(SecretText(text.to_owned())))
}

/// The name of a file without its directory.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_file_alone() {
        let host = |disk: &'static str| HostFiles {
            disk: Path::new(disk),
            overlays: &[],
            preserve_layout: None,
            modes: Default::default(),
            package_cache: Path::new(""),
            epoch: None,
        };
        for (disk, name, stem) in [
            ("/a/b/golden.img", "golden.img", "golden"),
            ("golden.img.xz", "golden.img.xz", "golden"),
            ("golden.qcow2.zst", "golden.qcow2.zst", "golden"),
            ("golden", "golden", "golden"),
            (".img", ".img", ".img"),
            ("/dev/sda", "sda", "sda"),
            ("-", "-", "image"),
            ("/", "-", "image"),
        ] {
            assert_eq!(host(disk).input_name(), name);
            assert_eq!(host(disk).stem(), stem);
        }
    }
}
