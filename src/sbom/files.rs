//! The regular files of a root filesystem: digests and kinds, from one pass over their bytes.

use crate::stream::{Content, ReadAt};
use crate::tree::{DirEntry, LeafId, LeafKind, Tree, show};
use sha2::{Digest as _, Sha512};
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A SHA-512 digest, in the byte order of FIPS 180-4.
pub type Digest512 = [u8; 64];

/// How many bytes are read at once.
const CHUNK: u64 = 1 << 18;
/// How many of the first bytes decide what a file is: a tar archive has its magic number in byte
/// 257.
const HEAD: usize = 262;

/// A regular file.
#[derive(Clone, Debug)]
pub struct DeployedFile {
    /// The path, with a leading `/`.
    pub path: Vec<u8>,
    /// The number of bytes.
    pub size: u64,
    /// The time of the last change (seconds since 1970).
    pub mtime: i64,
    /// Of the content.
    pub sha512: Digest512,
    /// Whether it is a program, a library or a script.
    pub executable: bool,
    /// Whether it is an archive: a file of several files.
    pub archive: bool,
    /// The package that brought it, by index.
    pub package: Option<usize>,
    /// Why the conversion added or changed it; `None` if it is as in the golden image.
    pub reason: Option<String>,
}

impl DeployedFile {
    /// The last component of the path.
    #[must_use]
    pub fn name(&self) -> String {
        let name = self.path.rsplit(|byte| *byte == b'/').next();
        show(name.unwrap_or_default())
    }
}

/// What a pass over the bytes of a file found.
#[derive(Clone, Debug)]
struct Pass {
    sha512: Digest512,
    head: Vec<u8>,
}

/// A name of a file, before its bytes are read.
struct Named {
    path: Vec<u8>,
    leaf: LeafId,
}

/// All regular files of `tree` in the bytewise order of their paths, and the SHA-512 of `root`, the
/// filesystem that they are in. `jobs` threads read.
///
/// # Errors
/// I/O errors of the contents.
pub(super) fn read(
    tree: &Tree,
    root: &dyn ReadAt,
    jobs: usize,
    advance: &(dyn Fn(u64) + Sync),
) -> io::Result<(Vec<DeployedFile>, Digest512)> {
    let mut names = Vec::new();
    tree.visit(&mut |path, entry| {
        if let DirEntry::Leaf(leaf) = entry
            && matches!(tree.leaf(*leaf).kind, LeafKind::File(_))
        {
            names.push(Named {
                path: path.to_vec(),
                leaf: *leaf,
            });
        }
    });
    names.sort_by(|a, b| a.path.cmp(&b.path));
    // Hard links are read once.
    let mut leaves: Vec<LeafId> = names.iter().map(|named| named.leaf).collect();
    leaves.sort_unstable();
    leaves.dedup();
    let mut sources: Vec<&dyn ReadAt> = vec![root];
    sources.extend(
        leaves
            .iter()
            .filter_map(|leaf| content(tree, *leaf))
            .map(as_source),
    );
    let mut passes = all(&sources, jobs, advance)?.into_iter();
    let root = passes.next().ok_or(io::ErrorKind::UnexpectedEof)?;
    let passes: BTreeMap<LeafId, Pass> = leaves.into_iter().zip(passes).collect();
    let files = names.into_iter().filter_map(|named| {
        let pass = passes.get(&named.leaf)?;
        let stat = &tree.leaf(named.leaf).stat;
        Some(DeployedFile {
            size: content(tree, named.leaf)?.len(),
            mtime: stat.mtime.seconds,
            sha512: pass.sha512,
            executable: stat.mode & 0o111 != 0 || is_program(&named.path, &pass.head),
            archive: is_archive(&named.path, &pass.head),
            path: named.path,
            package: None,
            reason: None,
        })
    });
    Ok((files.collect(), root.sha512))
}

fn as_source(content: &Content) -> &dyn ReadAt {
    content
}

fn content(tree: &Tree, leaf: LeafId) -> Option<&Content> {
    match &tree.leaf(leaf).kind {
        LeafKind::File(content) => Some(content),
        _ => None,
    }
}

/// A pass over each of `sources`, in their order; threads take the next one when they are done.
fn all(
    sources: &[&dyn ReadAt],
    jobs: usize,
    advance: &(dyn Fn(u64) + Sync),
) -> io::Result<Vec<Pass>> {
    let next = AtomicUsize::new(0);
    let work = || -> io::Result<Vec<(usize, Pass)>> {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(source) = sources.get(at) else {
                return Ok(done);
            };
            done.push((at, pass(*source, advance)?));
        }
    };
    let results: Vec<io::Result<Vec<(usize, Pass)>>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(work)).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().map(join).collect()
    });
    let mut passes = Vec::with_capacity(sources.len());
    for result in results {
        passes.extend(result?);
    }
    passes.sort_by_key(|(at, _)| *at);
    Ok(passes.into_iter().map(|(_, pass)| pass).collect())
}

fn pass(source: &dyn ReadAt, advance: &(dyn Fn(u64) + Sync)) -> io::Result<Pass> {
    let mut hash = Sha512::new();
    let mut head = Vec::new();
    let len = source.len();
    let mut buffer = vec![0; usize::try_from(len.min(CHUNK)).map_err(io::Error::other)?];
    let mut at = 0;
    while at < len {
        let next = len.min(at.saturating_add(CHUNK));
        let count = usize::try_from(next.saturating_sub(at)).map_err(io::Error::other)?;
        let part = buffer.get_mut(..count).unwrap_or_default();
        source.read_exact_at(at, part)?;
        if at == 0 {
            head.extend(part.iter().take(HEAD));
        }
        hash.update(&*part);
        advance(next.saturating_sub(at));
        at = next;
    }
    let sha512 = hash.finalize().into();
    Ok(Pass { sha512, head })
}

/// Whether a path ends with one of these.
fn ends(path: &[u8], suffixes: &[&str]) -> bool {
    suffixes
        .iter()
        .any(|suffix| path.ends_with(suffix.as_bytes()))
}

/// Whether the bytes or the name are those of a program, library or script: ELF (System V ABI), PE
/// and the kernel (`MZ`), WebAssembly, an interpreter (`#!`), or a source or bytecode file that an
/// interpreter loads.
fn is_program(path: &[u8], head: &[u8]) -> bool {
    let magic: [&[u8]; 4] = [b"\x7fELF", b"MZ", b"\0asm", b"#!"];
    let names = [
        ".class", ".elc", ".jar", ".js", ".lua", ".php", ".pl", ".pm", ".py", ".pyc", ".rb", ".sh",
        ".tcl",
    ];
    magic.iter().any(|magic| head.starts_with(magic)) || ends(path, &names)
}

/// Whether the bytes or the name are those of an archive: tar (`ustar`), ar (`!<arch>`), cpio
/// (newc), zip, 7z, RPM, cabinet, SquashFS; a compressed tar or cpio archive by its name alone.
fn is_archive(path: &[u8], head: &[u8]) -> bool {
    let magic: [&[u8]; 9] = [
        b"!<arch>\n",
        b"070701",
        b"070702",
        b"PK\x03\x04",
        b"PK\x05\x06",
        b"7z\xbc\xaf\x27\x1c",
        b"\xed\xab\xee\xdb",
        b"MSCF",
        b"hsqs",
    ];
    let names = [
        ".tar.bz2",
        ".tar.gz",
        ".tar.lz",
        ".tar.lzma",
        ".tar.xz",
        ".tar.zst",
        ".tbz2",
        ".tgz",
        ".txz",
        ".cpio.gz",
        ".cpio.xz",
        ".cpio.zst",
    ];
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let initrd = name.starts_with(b"initrd.img-") || name.starts_with(b"initramfs-");
    let tar = head
        .get(257..)
        .is_some_and(|rest| rest.starts_with(b"ustar"));
    magic.iter().any(|magic| head.starts_with(magic)) || tar || initrd || ends(path, &names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::hex;
    use crate::stream::MemSource;
    use crate::tree::{Stat, Time};

    #[test]
    fn each_file_once_and_the_same_with_any_number_of_threads() {
        let stat = |mode| Stat::root(mode, Time::default());
        let mut tree = Tree::new(stat(0o755));
        for number in 0..20_usize {
            let bytes = vec![b'x'; number.saturating_mul(20_000)];
            tree.put_file(format!("/d/{number}"), bytes, stat(0o644))
                .unwrap();
        }
        let id = tree.put_file("/z", "abc", stat(0o755)).unwrap();
        tree.link("/a", id, &stat(0o755)).unwrap();
        tree.put_symlink("/link", "z", Time::default()).unwrap();
        let root = MemSource(b"root".as_slice().into());
        let read_bytes = std::sync::atomic::AtomicU64::new(0);
        let advance = |bytes| {
            read_bytes.fetch_add(bytes, Ordering::Relaxed);
        };
        let (one, sum) = read(&tree, &root, 1, &advance).unwrap();
        let total = one.iter().map(|file| file.size).sum::<u64>();
        assert_eq!(
            read_bytes.into_inner(),
            total - 3 + 4,
            "the hard link is read once"
        );
        assert_eq!(one.len(), 22);
        let (many, same) = read(&tree, &root, 7, &|_| ()).unwrap();
        assert_eq!(sum, same);
        assert_eq!(format!("{one:?}"), format!("{many:?}"));
        // FIPS 180-2, appendix C.1.
        let abc = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a8\
                   36ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
        assert_eq!(one[0].path, b"/a");
        for at in [0, 21] {
            assert_eq!(hex(&one[at].sha512), abc);
            assert!(one[at].executable && !one[at].archive);
        }
        assert!(!one[1].executable);
    }

    #[test]
    fn programs_and_archives() {
        let mut tar = vec![0; 300];
        tar[257..262].copy_from_slice(b"ustar");
        for (path, head, program, archive) in [
            ("/usr/lib/libx.so", &b"\x7fELF..."[..], true, false),
            ("/boot/vmlinuz-6", b"MZ\xea", true, false),
            ("/etc/init.d/x", b"#!/bin/sh", true, false),
            ("/usr/lib/python3/x.py", b"import os", true, false),
            ("/usr/lib/libx.a", b"!<arch>\n", false, true),
            ("/x", &tar, false, true),
            ("/usr/share/x.tar.gz", b"\x1f\x8b", false, true),
            ("/usr/share/x.gz", b"\x1f\x8b", false, false),
            ("/boot/initrd.img-6.1", b"\x28\xb5\x2f\xfd", false, true),
            ("/usr/share/java/x.jar", b"PK\x03\x04", true, true),
            ("/etc/hosts", b"127.0.0.1", false, false),
            ("/empty", b"", false, false),
        ] {
            assert_eq!(is_program(path.as_bytes(), head), program, "{path}");
            assert_eq!(is_archive(path.as_bytes(), head), archive, "{path}");
        }
    }
}
