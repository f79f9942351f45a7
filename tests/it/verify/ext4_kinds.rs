//! Kinds of ext filesystems that are rare: what verification must not take for damage, and damage
//! that only they can have.

use super::ext4::{Image, make};
use super::{Patch, expect, le32, le64, patched, verify};
use crate::support::{must, root, run, scratch, tool};
use goldsmith::fs::ext4::read::Filesystem;
use goldsmith::stream::{FileSource, Source};
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn open(image: &Path) -> Source {
    Arc::new(FileSource::open(image).unwrap())
}

/// A filesystem of 16 MiB that mke2fs makes with these arguments, and commands of debugfs.
fn made(dir: &Path, args: &[&str], commands: &[&str]) -> Option<PathBuf> {
    let (mke2fs, debugfs) = (tool("mke2fs")?, tool("debugfs")?);
    let image = dir.join("image");
    std::fs::write(&image, b"").unwrap();
    std::fs::File::options()
        .write(true)
        .open(&image)
        .unwrap()
        .set_len(16 << 20)
        .unwrap();
    let mut all: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"-q", &"-F"];
    all.extend(args.iter().map(|arg| arg as &dyn AsRef<std::ffi::OsStr>));
    all.push(&image);
    must(mke2fs, &all);
    for command in commands {
        must(&debugfs, &[&"-w", &"-R", command, &image]);
    }
    Some(image)
}

#[test]
fn rare_kinds_are_not_taken_for_damage() {
    let dir = scratch();
    let file = dir.path().join("file");
    std::fs::write(&file, b"content ".repeat(1000)).unwrap();
    let bad = dir.path().join("bad");
    std::fs::write(&bad, "3000\n3001\n9000\n").unwrap();
    let write = format!("write {} file", file.display());
    let bad = bad.to_str().unwrap();
    let cases: [(&[&str], &[&str], &[&str]); 6] = [
        (
            &["-t", "ext4", "-O", "bigalloc", "-C", "65536"],
            &[&write],
            &["ext4-unchecked"],
        ),
        (&["-t", "ext4", "-b", "1024", "-l", bad], &[&write], &[]),
        (&["-t", "ext2", "-b", "1024", "-l", bad], &[&write], &[]),
        // The hashes of fs-verity come after the end of the file.
        (
            &["-t", "ext4", "-b", "1024", "-O", "verity"],
            &[&write, "sif file size 1500", "sif file flags 0x180000"],
            &[],
        ),
        (&["-r", "0", "-b", "1024"], &["mkdir sub"], &[]),
        (&["-O", "journal_dev"], &[], &["ext4-unchecked"]),
    ];
    for (args, commands, codes) in cases {
        let Some(image) = made(dir.path(), args, commands) else {
            return;
        };
        let outcome = verify(&open(&image));
        expect(&outcome, codes, &format!("{args:?}"));
        assert!(outcome.is_good(), "{args:?}");
    }
}

#[test]
fn revision_0_that_the_kernel_wrote_is_fine() {
    if !root() {
        return;
    }
    let dir = scratch();
    let Some(image) = made(dir.path(), &["-r", "0", "-b", "1024"], &[]) else {
        return;
    };
    let mount = dir.path().join("mount");
    std::fs::create_dir(&mount).unwrap();
    must("mount", &[&"-o", &"loop", &image, &mount]);
    std::fs::create_dir(mount.join("sub")).unwrap();
    for number in 0..50 {
        std::fs::write(
            mount.join(format!("sub/{number}")),
            vec![b'x'; 400 * number],
        )
        .unwrap();
    }
    std::os::unix::fs::symlink("sub/1", mount.join("link")).unwrap();
    must("umount", &[&mount]);
    expect(&verify(&open(&image)), &[], "revision 0");
}

#[test]
fn each_damage_of_protection_and_quotas_has_its_own_finding() {
    let dir = scratch();
    let Some(path) = make(dir.path(), "mmp", "metadata_csum,mmp") else {
        return;
    };
    let image = Image::new(path);
    let mmp = le64(&image.bytes, 1024 + 0x168) * 1024;
    let cases: [Patch; 3] = [
        (mmp, vec![0; 1024]),
        (mmp + 1, vec![0x55]),
        (mmp + 1020, vec![image.bytes[mmp as usize + 1020] ^ 1]),
    ];
    for patch in cases {
        let outcome = verify(&patched(&image.bytes, &[patch]));
        expect(&outcome, &["ext4-mmp"], "the block of protection");
    }
    let Some(path) = make(
        dir.path(),
        "quota",
        "^metadata_csum,^uninit_bg,quota,project",
    ) else {
        return;
    };
    let image = Image::new(path);
    expect(&verify(&open(&dir.path().join("quota"))), &[], "quotas");
    let (head, leaf) = (image.block("<3>", 0), image.block("<3>", 5));
    let cases: [Patch; 4] = [
        (head, vec![0]),
        (head + 24, vec![0xFF; 4]),
        (leaf + 16 + 24, vec![99]),
        (image.block("<3>", 1), vec![1, 0, 0, 0]),
    ];
    for patch in cases {
        let outcome = verify(&patched(&image.bytes, std::slice::from_ref(&patch)));
        expect(&outcome, &["ext4-quota"], &format!("{patch:x?}"));
    }
    let ino = (1024 + 0x240, vec![9, 0, 0, 0]);
    let outcome = verify(&patched(&image.bytes, &[ino]));
    assert!(!outcome.is_good(), "another inode of quotas");
}

#[test]
fn features_that_no_kernel_knows_are_errors() {
    let dir = scratch();
    let Some(path) = make(dir.path(), "plain", "^metadata_csum,^uninit_bg") else {
        return;
    };
    let image = Image::new(path);
    for at in [1024 + 0x60 + 3, 1024 + 0x64 + 3] {
        let outcome = verify(&patched(&image.bytes, &[(at, vec![0x80])]));
        expect(&outcome, &["ext4-features"], "an unknown feature");
    }
    let outcome = verify(&patched(&image.bytes, &[(1024 + 0x15E, vec![0, 4])]));
    expect(&outcome, &["ext4-superblock"], "fields beyond the inode");
}

/// The index of an extent tree must begin where its leaf does: Linux answers reads with an error.
#[test]
fn an_index_that_does_not_begin_with_its_leaf_is_found() {
    let dir = scratch();
    let Some(path) = make(dir.path(), "plain", "^metadata_csum,^uninit_bg") else {
        return;
    };
    let image = Image::new(path);
    let inode = image.inode("/holes");
    let leaf = u64::from(le32(&image.bytes, inode + 40 + 16)) * 1024;
    let outcome = verify(&patched(&image.bytes, &[(leaf + 12, vec![1])]));
    let codes: Vec<&str> = outcome.findings.iter().map(|one| one.code).collect();
    assert!(codes.contains(&"ext4-extent-order"), "{codes:?}");
}

/// Two transactions that debugfs writes, each byte of whose blocks may be wrong: what Linux mounts
/// is read as Linux reads it, and what it refuses is refused.
#[test]
fn damaged_journals_are_read_as_linux_reads_them() {
    if !root() {
        return;
    }
    let dir = scratch();
    let content = |name: &str, byte: u8| {
        let path = dir.path().join(name);
        std::fs::write(&path, [byte; 1024]).unwrap();
        path.display().to_string()
    };
    let (old, new, last) = (
        content("old", b'O'),
        content("new", b'N'),
        content("last", b'L'),
    );
    for features in [
        "metadata_csum,64bit",
        "^metadata_csum,64bit",
        "^metadata_csum,^64bit",
    ] {
        let write = format!("write {old} f");
        let args = ["-t", "ext4", "-b", "1024", "-O", features];
        let Some(image) = made(dir.path(), &args, &[&write]) else {
            return;
        };
        let debugfs = tool("debugfs").unwrap();
        let first = |file: &str| {
            let text = must(&debugfs, &[&"-R", &format!("blocks {file}"), &image]);
            text.split_whitespace()
                .next()
                .unwrap()
                .parse::<usize>()
                .unwrap()
        };
        let target = first("f");
        let commands = dir.path().join("commands");
        let text = format!("jo -c\njw -b {target} {new}\njc\njo\njw -b {target} {last}\njc\n");
        std::fs::write(&commands, text).unwrap();
        run(&debugfs, &[&"-w", &"-f", &commands, &image]);
        let journal = first("<8>");
        let good = std::fs::read(&image).unwrap();
        let block = |number: usize, at: usize| (journal + number) * 1024 + at;
        let places = [
            None,
            Some(block(3, 16)),
            Some(block(6, 16)),
            Some(block(6, 700)),
            Some(block(3, 52)),
            Some(block(1, 900)),
            Some(block(4, 14)),
            Some(block(5, 900)),
            Some(block(6, 4 + 3)),
            Some(block(4, 3)),
            Some(block(0, 28 + 3)),
        ];
        for place in places {
            let mut bytes = good.clone();
            if let Some(at) = place {
                bytes[at] ^= 0xFF;
            }
            std::fs::write(&image, &bytes).unwrap();
            let ours = Filesystem::open(open(&image))
                .and_then(|fs| fs.tree())
                .ok()
                .map(|tree| tree.read("/f", 4096).unwrap().unwrap()[0]);
            let theirs = read_by_linux(dir.path(), &image);
            assert_eq!(ours, theirs, "{features}, {place:?} (journal at {journal})");
        }
    }
}

/// The first byte of the file `f` as Linux reads it; `None` if it does not mount the filesystem.
fn read_by_linux(dir: &Path, image: &Path) -> Option<u8> {
    let mount = dir.join("mount");
    std::fs::create_dir_all(&mount).unwrap();
    let mounted = run("mount", &[&"-t", &"ext4", &"-o", &"loop", &image, &mount]);
    if !mounted.status.success() {
        return None;
    }
    let byte = std::fs::read(mount.join("f")).unwrap()[0];
    must("umount", &[&mount]);
    Some(byte)
}
