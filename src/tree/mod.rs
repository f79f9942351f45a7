//! The files of a filesystem as a value: directories, leaves, stat, extended attributes, hard links
//! by identity.
//!
//! Names and paths are bytes; children are ordered bytewise. Metadata is in memory, file data
//! never: a leaf says where its bytes are.

pub mod dump;
pub mod edit;
pub mod editor;
mod graft;
pub mod host;
mod ignore_case;
mod path;

pub use crate::stamp::Time;
use crate::stream::Content;
pub use path::{Node, Walk, WalkError, show};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A file name: any bytes but `/` and NUL, 1 to 255 of them.
pub type Name = Vec<u8>;

/// The inode flags that a file carries from one filesystem to the next (`FS_*_FL` of `linux/fs.h`,
/// same values as ext4's).
pub mod flags {
    /// `chattr +s`: secure deletion asked for.
    pub const SECRM: u32 = 0x1;
    /// `chattr +u`: undelete asked for.
    pub const UNRM: u32 = 0x2;
    /// `chattr +c`: compression asked for.
    pub const COMPR: u32 = 0x4;
    /// `chattr +S`: synchronous updates.
    pub const SYNC: u32 = 0x8;
    /// `chattr +i`: immutable, also for root.
    pub const IMMUTABLE: u32 = 0x10;
    /// `chattr +a`: append only.
    pub const APPEND: u32 = 0x20;
    /// `chattr +d`: no dump.
    pub const NODUMP: u32 = 0x40;
    /// `chattr +A`: no access times.
    pub const NOATIME: u32 = 0x80;
    /// `chattr +j`: data through the journal.
    pub const JOURNAL_DATA: u32 = 0x4000;
    /// `chattr +t`: no tail merging.
    pub const NOTAIL: u32 = 0x8000;
    /// `chattr +D`: synchronous directory updates.
    pub const DIRSYNC: u32 = 0x1_0000;
    /// `chattr +T`: top of a directory hierarchy.
    pub const TOPDIR: u32 = 0x2_0000;
    /// `chattr +P`: new files take the project ID of their directory.
    pub const PROJINHERIT: u32 = 0x2000_0000;
    /// All of these: what a copy keeps.
    pub const KEPT: u32 = SECRM
        | UNRM
        | COMPR
        | SYNC
        | IMMUTABLE
        | APPEND
        | NODUMP
        | NOATIME
        | JOURNAL_DATA
        | NOTAIL
        | DIRSYNC
        | TOPDIR
        | PROJINHERIT;
}

/// What every inode has besides its kind and content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Permission bits with setuid, setgid and sticky: `0o0000..=0o7777`.
    pub mode: u16,
    /// User ID of the owner.
    pub uid: u32,
    /// Group ID of the owner.
    pub gid: u32,
    /// Project ID, by which quotas count; 0 for none.
    pub project: u32,
    /// Last change of the content.
    pub mtime: Time,
    /// Last change of the inode.
    pub ctime: Time,
    /// Last access of the content.
    pub atime: Time,
    /// Creation, where the filesystem records it.
    pub crtime: Option<Time>,
    /// Inode flags, of [`flags::KEPT`] only.
    pub flags: u32,
    /// Extended attributes by full name (`user.x`, `security.capability`,
    /// `system.posix_acl_access`); values as `getxattr(2)` gives them, so an ACL is in the version
    /// 2 form of `linux/posix_acl_xattr.h`.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Stat {
    /// A stat of root's with these permission bits and this time.
    #[must_use]
    pub fn root(mode: u16, time: Time) -> Self {
        Self {
            mode,
            uid: 0,
            gid: 0,
            project: 0,
            mtime: time,
            ctime: time,
            atime: time,
            crtime: Some(time),
            flags: 0,
            xattrs: BTreeMap::new(),
        }
    }
}

/// Names a leaf of one [`Tree`]; two directory entries with the same id are hard links of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeafId(usize);

/// What a leaf is.
#[derive(Clone, Debug)]
pub enum LeafKind {
    /// A regular file and its content.
    File(Content),
    /// A symbolic link and its target.
    Symlink(Vec<u8>),
    /// A character device and its numbers.
    CharDevice {
        /// Major number, 12 bits on disk.
        major: u32,
        /// Minor number, 20 bits on disk.
        minor: u32,
    },
    /// A block device and its numbers.
    BlockDevice {
        /// Major number, 12 bits on disk.
        major: u32,
        /// Minor number, 20 bits on disk.
        minor: u32,
    },
    /// A named pipe: nothing but an inode.
    Fifo,
    /// A UNIX socket: nothing but an inode.
    Socket,
}

/// Anything but a directory.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// Metadata of the inode, shared by all names.
    pub stat: Stat,
    /// Type, with content, target or numbers.
    pub kind: LeafKind,
}

/// A directory and everything below it.
#[derive(Clone, Debug)]
pub struct Dir {
    /// Metadata of the directory's inode.
    pub stat: Stat,
    /// Children by name, `.` and `..` left out.
    pub entries: BTreeMap<Name, DirEntry>,
}

impl Dir {
    /// A directory without entries.
    #[must_use]
    pub fn new(stat: Stat) -> Self {
        Self {
            stat,
            entries: BTreeMap::new(),
        }
    }
}

/// A child of a directory.
#[derive(Clone, Debug)]
pub enum DirEntry {
    /// A directory, which has one parent only. A copy of the tree shares it until one of them
    /// changes it.
    Dir(Arc<Dir>),
    /// A leaf of the tree, by its id.
    Leaf(LeafId),
}

impl DirEntry {
    /// The directory, if it is one.
    #[must_use]
    pub fn as_dir(&self) -> Option<&Dir> {
        match self {
            Self::Dir(dir) => Some(dir),
            Self::Leaf(_) => None,
        }
    }
}

impl From<Dir> for DirEntry {
    fn from(dir: Dir) -> Self {
        Self::Dir(Arc::new(dir))
    }
}

/// The files of one filesystem. A copy takes little memory: it shares what neither changes.
#[derive(Clone, Debug)]
pub struct Tree {
    /// The directory `/` and everything below it.
    pub root: Dir,
    leaves: Vec<Arc<Leaf>>,
}

impl Tree {
    /// A tree with an empty root directory.
    #[must_use]
    pub fn new(root: Stat) -> Self {
        Self {
            root: Dir::new(root),
            leaves: Vec::new(),
        }
    }

    /// Drops all files, and with them the memory that they take.
    pub fn clear(&mut self) {
        *self = Self::new(self.root.stat.clone());
    }

    /// Adds a leaf that no directory names yet.
    pub fn add_leaf(&mut self, leaf: Leaf) -> LeafId {
        self.leaves.push(Arc::new(leaf));
        LeafId(self.leaves.len() - 1)
    }

    /// Gives back the memory that further leaves would have taken.
    pub fn compact(&mut self) {
        self.leaves.shrink_to_fit();
    }

    /// The number of leaves, with those that have no name any more.
    #[must_use]
    pub fn leaf_count(&self) -> usize {
        self.leaves.len()
    }

    /// The leaf with this id.
    ///
    /// # Panics
    /// When the id is of another tree.
    #[must_use]
    pub fn leaf(&self, id: LeafId) -> &Leaf {
        &self.leaves[id.0]
    }

    /// The leaf with this id, to change it (all its hard links see the change).
    ///
    /// # Panics
    /// When the id is of another tree.
    pub fn leaf_mut(&mut self, id: LeafId) -> &mut Leaf {
        Arc::make_mut(&mut self.leaves[id.0])
    }

    /// How many names each leaf has, by id; a leaf without one is no longer part of the filesystem.
    #[must_use]
    pub fn link_counts(&self) -> BTreeMap<LeafId, u32> {
        let mut counts = BTreeMap::new();
        self.visit(&mut |_, entry| {
            if let DirEntry::Leaf(id) = entry {
                *counts.entry(*id).or_insert(0) += 1;
            }
        });
        counts
    }

    /// Calls `f` with every path (bytes, with a leading `/`) and entry below the root, parents
    /// before children, in bytewise order of names within each directory.
    pub fn visit<'t>(&'t self, f: &mut dyn FnMut(&[u8], &'t DirEntry)) {
        fn walk<'t>(dir: &'t Dir, path: &mut Vec<u8>, f: &mut dyn FnMut(&[u8], &'t DirEntry)) {
            for (name, entry) in &dir.entries {
                let len = path.len();
                path.push(b'/');
                path.extend_from_slice(name);
                f(path, entry);
                if let DirEntry::Dir(dir) = entry {
                    walk(dir, path, f);
                }
                path.truncate(len);
            }
        }
        walk(&self.root, &mut Vec::new(), f);
    }
}
