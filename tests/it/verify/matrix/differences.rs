//! Where the verdicts differ, and why that is right.

/// How verdicts differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// The kernel refuses what has no error here.
    MissOfKernel,
    /// e2fsck alone finds something.
    MissOfE2fsck,
    /// Neither e2fsck nor the kernel finds anything.
    OursAlone,
}

/// A difference that is known.
pub(super) struct Difference {
    /// The fields; `*` at the end for all that begin so.
    pub(super) fields: &'static [&'static str],
    pub(super) class: Class,
    /// Why the verdict here is right.
    pub(super) reason: &'static str,
}

impl Difference {
    /// Whether it is about this field. The images are told apart by the first word of the names of
    /// fields of the superblock.
    pub(super) fn is(&self, field: &str, class: Class) -> bool {
        let field = field.strip_prefix("plain ").unwrap_or(field);
        let is = |known: &&str| match known.strip_suffix('*') {
            Some(start) => field.starts_with(start),
            None => *known == field,
        };
        self.class == class && self.fields.iter().any(is)
    }
}

use Class::{MissOfE2fsck, MissOfKernel, OursAlone};

pub(super) const DIFFERENCES: &[Difference] = &[
    Difference {
        fields: &["superblock s_feature_ro_compat bit 0x200"],
        class: MissOfKernel,
        reason: "clusters are not checked, which a warning says",
    },
    Difference {
        fields: &[
            "superblock s_feature_ro_compat bit 0x80",
            "superblock s_feature_ro_compat bit 0x4000",
        ],
        class: MissOfKernel,
        reason: "snapshots and shared blocks are for reading alone; a warning says that they are not checked",
    },
    Difference {
        fields: &["superblock s_feature_incompat bit 0x8"],
        class: MissOfKernel,
        reason: "a journal of another filesystem, which a warning says",
    },
    Difference {
        fields: &[
            "superblock s_feature_incompat bit 0x20000",
            "superblock s_feature_ro_compat bit 0x100",
            "superblock s_feature_ro_compat bit 0x2000",
        ],
        class: MissOfKernel,
        reason: "kernels with Unicode or quotas mount it",
    },
    Difference {
        fields: &[
            "superblock s_feature_compat bit *",
            "superblock s_feature_ro_compat bit 0x4",
        ],
        class: MissOfE2fsck,
        reason: "features that may be ignored: the kernel does so, e2fsck refuses to check what it does not know",
    },
    Difference {
        fields: &[
            "superblock s_feature_ro_compat bit 0x10",
            "superblock s_feature_incompat bit 0x2000",
            "superblock s_desc_size",
        ],
        class: MissOfE2fsck,
        reason: "superfluous beside other features, which count",
    },
    Difference {
        fields: &["superblock s_mtime", "superblock s_wtime"],
        class: MissOfE2fsck,
        reason: "the clock of the host does not matter here",
    },
    Difference {
        fields: &[
            "bad blocks: i_dtime",
            "resize inode: i_dtime",
            "unused reserved inode: *",
        ],
        class: MissOfE2fsck,
        reason: "nothing reads these fields of inodes that have no name or are not in use",
    },
    Difference {
        fields: &[
            "quota superblock s_usr_quota_inum",
            "quota superblock s_grp_quota_inum",
            "user quota: i_size_*",
            "project quota: i_size_*",
        ],
        class: MissOfE2fsck,
        reason: "quotas that are not named are off; the kernel reads their blocks, whatever the size",
    },
    Difference {
        fields: &[
            "user quota file: dqh_magic",
            "project quota file: dqh_magic",
        ],
        class: OursAlone,
        reason: "kernels with quotas do not enable them, so they do not mount it for writing",
    },
    Difference {
        fields: &["directory: . padding"],
        class: MissOfE2fsck,
        reason: "bytes after a name mean nothing",
    },
    Difference {
        fields: &["journal superblock s_nr_users", "journal: i_size_lo"],
        class: MissOfE2fsck,
        reason: "the kernel does not look at the number of users of a journal inside, nor at a few bytes of its size",
    },
    Difference {
        fields: &[
            "attribute block: e_name_index",
            "attribute block: e_value_size",
            "attribute block: h_hash",
            "attributes in an inode: e_name_index",
        ],
        class: OursAlone,
        reason: "the attribute is another one, or its hash is wrong: programs miss what was stored",
    },
    Difference {
        fields: &[
            "bad blocks: *",
            "device: i_block*",
            "journal: *",
            "resize inode: *",
            "unused reserved inode: *",
            "orphan file: *",
            "user quota: *",
            "project quota: *",
        ],
        class: OursAlone,
        reason: "fields that nothing reads, and no program writes so",
    },
    Difference {
        fields: &[
            "device: i_flags bit 0x100000",
            "directory: i_flags bit 0x100000",
            "fast symlink: i_flags bit 0x100000",
            "root: i_flags bit 0x100000",
            "slow symlink: i_flags bit 0x100000",
            "mapped directory: i_flags bit 0x100000",
            "mapped symlink: i_flags bit 0x100000",
        ],
        class: OursAlone,
        reason: "fs-verity is for regular files, and the feature is off",
    },
    Difference {
        fields: &["directory: file_type", "leaf of the htree: . file_type"],
        class: OursAlone,
        reason: "entries without a type, where all have one",
    },
    Difference {
        fields: &["superblock s_state", "superblock s_error_count"],
        class: OursAlone,
        reason: "the kernel recorded errors there, which nobody repaired",
    },
    Difference {
        fields: &["superblock s_feature_incompat bit 0x4"],
        class: OursAlone,
        reason: "the journal is to be replayed: nothing to be shipped, though nothing damaged",
    },
];
