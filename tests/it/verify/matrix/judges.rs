//! The judges of a damaged filesystem: e2fsck, and the kernel that mounts it, reads everything and
//! keeps count of the errors that it meets.

use crate::support::{must, run, tool};
use std::path::{Path, PathBuf};

/// Bytes that are read of each file: more than the files of the test have.
const READ: u64 = 256 << 10;
/// Entries that are visited at most.
const VISITS: usize = 5000;

/// A place where one image after the other is judged.
pub(super) struct Court {
    image: PathBuf,
    _memory: tempfile::TempDir,
    mount: PathBuf,
    e2fsck: PathBuf,
}

impl Court {
    /// A place in `dir`; `None` without e2fsck.
    pub(super) fn new(dir: &Path, number: usize) -> Option<Self> {
        let mount = dir.join(format!("mount{number}"));
        std::fs::create_dir_all(&mount).unwrap();
        // Each mount waits for the disk otherwise.
        let memory = Path::new("/dev/shm");
        let memory = if memory.is_dir() { memory } else { dir };
        let memory = tempfile::tempdir_in(memory).unwrap();
        Some(Self {
            image: memory.path().join("image"),
            _memory: memory,
            mount,
            e2fsck: tool("e2fsck")?,
        })
    }

    /// Puts the image into a new file. A mount namespace that another program made meanwhile may
    /// keep the last one mounted for a moment, and Linux writes to that file until it is gone.
    fn put(&self, bytes: &[u8]) {
        let _ = std::fs::remove_file(&self.image);
        std::fs::write(&self.image, bytes).unwrap();
    }

    /// What e2fsck finds; `None`: nothing.
    pub(super) fn e2fsck(&self, bytes: &[u8]) -> Option<String> {
        self.put(bytes);
        let output = run(&self.e2fsck, &[&"-fn", &self.image]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        // Wrong counts do not change its status.
        (!output.status.success() || text.contains("? no")).then(|| first_words(&text))
    }

    /// Programs that other threads are about to start hold the files of this one for a moment.
    fn umount(&self) {
        for _ in 0..200 {
            if run("umount", &[&self.mount]).status.success() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        must("umount", &[&self.mount]);
    }

    /// What the kernel refuses; `None`: it reads all files without an error. The image is changed.
    pub(super) fn kernel(&self, bytes: &[u8]) -> Option<String> {
        self.put(bytes);
        let output = run(
            "mount",
            &[
                &"-t",
                &"ext4",
                &"-o",
                &"loop,errors=continue",
                &self.image,
                &self.mount,
            ],
        );
        if !output.status.success() {
            return Some("it is not mounted".into());
        }
        let mut visits = 0;
        let read = visit(&self.mount, &mut visits, 0);
        self.umount();
        if let Err(error) = read {
            return Some(error.to_string());
        }
        let after = std::fs::read(&self.image).unwrap();
        let errors = super::super::le32(&after, 1024 + 0x194);
        let before = super::super::le32(bytes, 1024 + 0x194);
        (errors != before && errors != 0).then(|| format!("{errors} errors"))
    }
}

/// The lines of e2fsck that tell what is wrong.
fn first_words(text: &str) -> String {
    let said = text.lines().filter(|line| {
        !line.is_empty() && !line.starts_with("e2fsck ") && !line.starts_with("Pass ")
    });
    said.take(2).collect::<Vec<_>>().join(" / ")
}

/// Reads a directory and what is below it.
fn visit(dir: &Path, visits: &mut usize, depth: usize) -> std::io::Result<()> {
    use std::io::Read;
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        *visits += 1;
        if *visits > VISITS || depth > 8 {
            return Ok(());
        }
        let metadata = path.symlink_metadata()?;
        let mut names = vec![0; 4096];
        rustix::fs::llistxattr(&path, &mut names[..])?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            visit(&path, visits, depth + 1)?;
        } else if kind.is_symlink() {
            std::fs::read_link(&path)?;
        } else if kind.is_file() {
            let mut bytes = Vec::new();
            std::fs::File::open(&path)?
                .take(READ)
                .read_to_end(&mut bytes)?;
        }
    }
    Ok(())
}
