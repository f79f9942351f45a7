//! The reader of ext2, ext3 and ext4 against filesystems that `mke2fs` and the kernel made, and against damage.

mod facts;
mod fill;

use crate::support::{must, scratch, tool};
use facts::{Facts, compare};
use fill::{Scale, fill};
use goldsmith::fs::ext4::read::{Error, Filesystem, Info};
use goldsmith::stream::FileSource;
use goldsmith::tree::Tree;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// Whether the tests may mount. Not root: at home said aloud, in CI a failure.
fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        assert!(std::env::var_os("CI").is_none(), "the tests of the ext4 reader mount filesystems and want root");
        eprintln!("SKIPPED: not root, so no filesystem can be mounted");
    }
    root
}

/// A filesystem in a file.
struct Image {
    dir: TempDir,
    path: PathBuf,
}

impl Image {
    /// Of `mib` MiB, made by `mke2fs` with `args`.
    fn make(args: &str, mib: u64) -> Option<Self> {
        let dir = scratch();
        let path = dir.path().join("image");
        File::create(&path).unwrap().set_len(mib << 20).unwrap();
        let mut words: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"-q", &"-F"];
        let args: Vec<&str> = args.split_whitespace().collect();
        args.iter().for_each(|word| words.push(word));
        words.push(&path);
        must(tool("mke2fs")?, &words);
        Some(Self { dir, path })
    }

    fn copy(&self, name: &str) -> PathBuf {
        let to = self.dir.path().join(name);
        must("cp", &[&"--sparse=always", &self.path, &to]);
        to
    }

    fn mount(&self, options: &str) -> Mount {
        Mount::new(&self.path, self.dir.path(), options)
    }
}

/// A mounted image, unmounted with the value.
struct Mount(PathBuf);

impl Mount {
    fn new(image: &Path, dir: &Path, options: &str) -> Self {
        let at = dir.join("mount");
        std::fs::create_dir_all(&at).unwrap();
        must("mount", &[&"-t", &"ext4", &"-o", &format!("loop,{options}"), &image, &at]);
        Self(at)
    }

    fn facts(&self) -> Facts {
        facts::of_mount(&self.0)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        must("umount", &[&self.0]);
    }
}

fn open(path: &Path) -> Result<Filesystem, Error> {
    Filesystem::open(Arc::new(FileSource::open(path).unwrap()))
}

fn read(path: &Path) -> Result<(Info, Tree), Error> {
    let filesystem = open(path)?;
    Ok((filesystem.info(), filesystem.tree()?))
}

/// Makes, fills, reads and compares one filesystem; returns what the superblock says.
fn check(args: &str, mib: u64, scale: Scale, mount: &str, after: &[&str]) -> Option<(Image, Info)> {
    if !root() {
        return None;
    }
    let image = Image::make(args, mib)?;
    fill(&image.mount(mount).0, scale);
    if let [program, words @ ..] = after {
        let words: Vec<&dyn AsRef<std::ffi::OsStr>> = words.iter().map(|word| word as _).chain([&image.path as _]).collect();
        must(tool(program)?, &words);
    }
    let (info, tree) = read(&image.path).unwrap_or_else(|e| panic!("{args}: {e}"));
    compare(args, &facts::of_tree(&tree), &image.mount("ro").facts());
    Some((image, info))
}

#[test]
fn ext4_as_made_by_default() {
    let Some((_, info)) = check("-t ext4 -L goldsmith", 512, Scale::LARGE, "rw", &[]) else { return };
    assert_eq!((info.kind, info.block_size, info.label.as_slice()), ("ext4", 4096, &b"goldsmith"[..]));
    assert!(info.incompat.names.contains(&"extent".to_owned()), "{:?}", info.incompat);
    assert_eq!((info.replayed, info.has_errors), (None, false));
}
