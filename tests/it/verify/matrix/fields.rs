//! The fields of all structures (names of the kernel's documentation) and where they are in an
//! image.

use super::super::ext4::Image;
use super::super::{le32, le64};
use super::seal::{Structure, odd_values, seal};
use std::fmt;

/// Name, offset in its structure, and width (bytes).
type Field = (&'static str, usize, usize);
/// The cases of an image.
pub(super) type Cases = fn(&Image) -> Vec<Case>;

/// One field set to one value.
pub(super) struct Case {
    pub(super) field: String,
    structure: Structure,
    at: usize,
    width: usize,
    value: u64,
    big_endian: bool,
}

impl Case {
    /// The bytes of the image with the field changed and the checksums right.
    pub(super) fn damaged(&self, bytes: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        let value = if self.big_endian {
            self.value.to_be_bytes()[8 - self.width..].to_vec()
        } else {
            self.value.to_le_bytes()[..self.width].to_vec()
        };
        out[self.at..self.at + self.width].copy_from_slice(&value);
        if le32(&out, 1024 + 0x64) & 0x400 != 0 || le32(bytes, 1024 + 0x64) & 0x400 != 0 {
            seal(&mut out, self.structure);
        }
        out
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {:#x}", self.field, self.value)
    }
}

#[rustfmt::skip]
const SUPERBLOCK: &[Field] = &[
    ("s_inodes_count", 0x0, 4), ("s_blocks_count_lo", 0x4, 4), ("s_r_blocks_count_lo", 0x8, 4),
    ("s_free_blocks_count_lo", 0xC, 4), ("s_free_inodes_count", 0x10, 4), ("s_first_data_block", 0x14, 4),
    ("s_log_block_size", 0x18, 4), ("s_log_cluster_size", 0x1C, 4), ("s_blocks_per_group", 0x20, 4),
    ("s_clusters_per_group", 0x24, 4), ("s_inodes_per_group", 0x28, 4), ("s_mtime", 0x2C, 4),
    ("s_wtime", 0x30, 4), ("s_mnt_count", 0x34, 2), ("s_max_mnt_count", 0x36, 2), ("s_magic", 0x38, 2),
    ("s_state", 0x3A, 2), ("s_errors", 0x3C, 2), ("s_minor_rev_level", 0x3E, 2), ("s_lastcheck", 0x40, 4),
    ("s_checkinterval", 0x44, 4), ("s_creator_os", 0x48, 4), ("s_rev_level", 0x4C, 4), ("s_def_resuid", 0x50, 2),
    ("s_def_resgid", 0x52, 2), ("s_first_ino", 0x54, 4), ("s_inode_size", 0x58, 2), ("s_block_group_nr", 0x5A, 2),
    ("s_uuid", 0x68, 4), ("s_volume_name", 0x78, 4),
    ("s_last_mounted", 0x88, 4), ("s_algorithm_usage_bitmap", 0xC8, 4), ("s_prealloc_blocks", 0xCC, 1),
    ("s_prealloc_dir_blocks", 0xCD, 1), ("s_reserved_gdt_blocks", 0xCE, 2), ("s_journal_uuid", 0xD0, 4),
    ("s_journal_inum", 0xE0, 4), ("s_journal_dev", 0xE4, 4), ("s_last_orphan", 0xE8, 4), ("s_hash_seed", 0xEC, 4),
    ("s_def_hash_version", 0xFC, 1), ("s_jnl_backup_type", 0xFD, 1), ("s_desc_size", 0xFE, 2),
    ("s_default_mount_opts", 0x100, 4), ("s_first_meta_bg", 0x104, 4), ("s_mkfs_time", 0x108, 4),
    ("s_jnl_blocks", 0x10C, 4), ("s_blocks_count_hi", 0x150, 4), ("s_r_blocks_count_hi", 0x154, 4),
    ("s_free_blocks_count_hi", 0x158, 4), ("s_min_extra_isize", 0x15C, 2), ("s_want_extra_isize", 0x15E, 2),
    ("s_flags", 0x160, 4), ("s_raid_stride", 0x164, 2), ("s_mmp_interval", 0x166, 2), ("s_mmp_block", 0x168, 8),
    ("s_raid_stripe_width", 0x170, 4), ("s_log_groups_per_flex", 0x174, 1), ("s_checksum_type", 0x175, 1),
    ("s_encryption_level", 0x176, 1), ("s_reserved_pad", 0x177, 1), ("s_kbytes_written", 0x178, 8),
    ("s_snapshot_inum", 0x180, 4), ("s_snapshot_id", 0x184, 4), ("s_snapshot_r_blocks_count", 0x188, 8),
    ("s_snapshot_list", 0x190, 4), ("s_error_count", 0x194, 4), ("s_first_error_time", 0x198, 4),
    ("s_last_error_time", 0x1CC, 4), ("s_mount_opts", 0x200, 1), ("s_usr_quota_inum", 0x240, 4),
    ("s_grp_quota_inum", 0x244, 4), ("s_overhead_clusters", 0x248, 4), ("s_backup_bgs", 0x24C, 4),
    ("s_encrypt_algos", 0x254, 1), ("s_encrypt_pw_salt", 0x258, 4), ("s_lpf_ino", 0x268, 4),
    ("s_prj_quota_inum", 0x26C, 4), ("s_checksum_seed", 0x270, 4), ("s_wtime_hi", 0x274, 1),
    ("s_encoding", 0x27C, 2), ("s_encoding_flags", 0x27E, 2), ("s_orphan_file_inum", 0x280, 4),
    ("s_reserved", 0x284, 4),
];

#[rustfmt::skip]
const FEATURES: &[Field] = &[
    ("s_feature_compat", 0x5C, 4), ("s_feature_incompat", 0x60, 4), ("s_feature_ro_compat", 0x64, 4),
];

#[rustfmt::skip]
const GROUP: &[Field] = &[
    ("bg_block_bitmap_lo", 0x0, 4), ("bg_inode_bitmap_lo", 0x4, 4), ("bg_inode_table_lo", 0x8, 4),
    ("bg_free_blocks_count_lo", 0xC, 2), ("bg_free_inodes_count_lo", 0xE, 2), ("bg_used_dirs_count_lo", 0x10, 2),
    ("bg_flags", 0x12, 2), ("bg_exclude_bitmap_lo", 0x14, 4), ("bg_block_bitmap_csum_lo", 0x18, 2),
    ("bg_inode_bitmap_csum_lo", 0x1A, 2), ("bg_itable_unused_lo", 0x1C, 2), ("bg_block_bitmap_hi", 0x20, 4),
    ("bg_inode_bitmap_hi", 0x24, 4), ("bg_inode_table_hi", 0x28, 4), ("bg_free_blocks_count_hi", 0x2C, 2),
    ("bg_free_inodes_count_hi", 0x2E, 2), ("bg_used_dirs_count_hi", 0x30, 2), ("bg_itable_unused_hi", 0x32, 2),
    ("bg_exclude_bitmap_hi", 0x34, 4), ("bg_block_bitmap_csum_hi", 0x38, 2), ("bg_inode_bitmap_csum_hi", 0x3A, 2),
    ("bg_reserved", 0x3C, 4),
];

#[rustfmt::skip]
const INODE: &[Field] = &[
    ("i_mode", 0x0, 2), ("i_uid", 0x2, 2), ("i_size_lo", 0x4, 4), ("i_atime", 0x8, 4), ("i_ctime", 0xC, 4),
    ("i_mtime", 0x10, 4), ("i_dtime", 0x14, 4), ("i_gid", 0x18, 2), ("i_links_count", 0x1A, 2),
    ("i_blocks_lo", 0x1C, 4), ("i_flags", 0x20, 4), ("i_version_lo", 0x24, 4), ("i_block[0]", 0x28, 4),
    ("i_block[1]", 0x2C, 4), ("i_block[3]", 0x34, 4), ("i_block[4]", 0x38, 4), ("i_block[5]", 0x3C, 4),
    ("i_block[12]", 0x58, 4), ("i_block[13]", 0x5C, 4), ("i_block[14]", 0x60, 4),
    ("i_file_acl_lo", 0x68, 4), ("i_size_high", 0x6C, 4), ("i_obso_faddr", 0x70, 4), ("i_blocks_high", 0x74, 2),
    ("i_file_acl_high", 0x76, 2), ("i_uid_high", 0x78, 2), ("i_gid_high", 0x7A, 2), ("i_reserved", 0x7E, 2),
    ("i_extra_isize", 0x80, 2), ("i_ctime_extra", 0x84, 4), ("i_crtime", 0x90, 4), ("i_version_hi", 0x98, 4),
    ("i_projid", 0x9C, 4),
];

#[rustfmt::skip]
const NODE: &[Field] = &[
    ("eh_magic", 0, 2), ("eh_entries", 2, 2), ("eh_max", 4, 2), ("eh_depth", 6, 2), ("eh_generation", 8, 4),
];
#[rustfmt::skip]
const LEAF: &[Field] = &[
    ("ee_block", 12, 4), ("ee_len", 16, 2), ("ee_start_hi", 18, 2), ("ee_start_lo", 20, 4), ("second ee_block", 24, 4),
    ("second ee_len", 28, 2), ("second ee_start_lo", 32, 4),
];
#[rustfmt::skip]
const INDEX: &[Field] = &[
    ("ei_block", 12, 4), ("ei_leaf_lo", 16, 4), ("ei_leaf_hi", 20, 2), ("ei_unused", 22, 2),
];

#[rustfmt::skip]
const ENTRIES: &[Field] = &[
    (". inode", 0, 4), (". rec_len", 4, 2), (". name_len", 6, 1), (". file_type", 7, 1), (". name", 8, 1),
    (". padding", 9, 1), (".. inode", 12, 4), (".. rec_len", 16, 2), (".. name_len", 18, 1), (".. file_type", 19, 1),
    (".. name", 20, 1), ("inode", 24, 4), ("rec_len", 28, 2), ("name_len", 30, 1), ("file_type", 31, 1),
    ("name", 32, 1),
];
#[rustfmt::skip]
const TAIL: &[Field] = &[
    ("det_reserved_zero1", 1012, 4), ("det_rec_len", 1016, 2), ("det_reserved_zero2", 1018, 1),
    ("det_reserved_ft", 1019, 1),
];
#[rustfmt::skip]
const HTREE: &[Field] = &[
    ("dot.inode", 0, 4), ("dot.rec_len", 4, 2), ("dotdot.inode", 12, 4), ("dotdot.rec_len", 16, 2),
    ("reserved_zero", 24, 4), ("hash_version", 28, 1), ("info_length", 29, 1), ("indirect_levels", 30, 1),
    ("unused_flags", 31, 1), ("limit", 32, 2), ("count", 34, 2), ("block", 36, 4), ("second hash", 40, 4),
    ("second block", 44, 4),
];
#[rustfmt::skip]
const ATTRIBUTES: &[Field] = &[
    ("h_magic", 0, 4), ("h_refcount", 4, 4), ("h_blocks", 8, 4), ("h_hash", 12, 4), ("h_reserved", 20, 4),
];
#[rustfmt::skip]
const ATTRIBUTE: &[Field] = &[
    ("e_name_len", 0, 1), ("e_name_index", 1, 1), ("e_value_offs", 2, 2), ("e_value_inum", 4, 4),
    ("e_value_size", 8, 4), ("e_hash", 12, 4), ("e_name", 16, 1),
];
#[rustfmt::skip]
const JOURNAL: &[Field] = &[
    ("h_magic", 0, 4), ("h_blocktype", 4, 4), ("h_sequence", 8, 4), ("s_blocksize", 12, 4), ("s_maxlen", 16, 4),
    ("s_first", 20, 4), ("s_sequence", 24, 4), ("s_start", 28, 4), ("s_errno", 32, 4), ("s_feature_compat", 36, 4),
    ("s_feature_incompat", 40, 4), ("s_feature_ro_compat", 44, 4), ("s_uuid", 48, 4), ("s_nr_users", 64, 4),
    ("s_dynsuper", 68, 4), ("s_max_transaction", 72, 4), ("s_max_trans_data", 76, 4), ("s_checksum_type", 80, 1),
    ("s_num_fc_blks", 84, 4), ("s_checksum", 252, 4),
];
#[rustfmt::skip]
const MMP: &[Field] = &[
    ("mmp_magic", 0, 4), ("mmp_seq", 4, 4), ("mmp_time", 8, 8),
];
#[rustfmt::skip]
const ORPHANS: &[Field] = &[("entry", 0, 4), ("ob_magic", 1016, 4), ("ob_checksum", 1020, 4)];
#[rustfmt::skip]
const QUOTA: &[Field] = &[
    ("dqh_magic", 0, 4), ("dqh_version", 4, 4), ("dqi_bgrace", 8, 4), ("dqi_blocks", 20, 4), ("dqi_free_blk", 24, 4),
    ("dqi_free_entry", 28, 4), ("root of the tree", 1024, 4),
];

/// Cases in the making.
struct List<'i> {
    image: &'i Image,
    cases: Vec<Case>,
}

impl List<'_> {
    /// `fields` of a structure, which begin `skip` bytes after its start, at odd values.
    fn fields(&mut self, name: &str, structure: Structure, skip: usize, fields: &[Field]) {
        for (field, offset, width) in fields {
            let at = structure.start() + skip + offset;
            for value in odd_values(&self.image.bytes, at, *width) {
                self.push(format!("{name} {field}"), structure, (at, *width), value);
            }
        }
    }

    /// One bit after the other of a word.
    fn bits(&mut self, name: &str, structure: Structure, fields: &[Field]) {
        for (field, offset, width) in fields {
            let at = structure.start() + offset;
            let now = u64::from(le32(&self.image.bytes, at as u64));
            for bit in 0..width * 8 {
                let name = format!("{name} {field} bit {:#x}", 1_u64 << bit);
                let value = (now ^ 1 << bit) & ((1 << (8 * width)) - 1);
                self.push(name, structure, (at, *width), value);
            }
        }
    }

    fn push(
        &mut self,
        field: String,
        structure: Structure,
        (at, width): (usize, usize),
        value: u64,
    ) {
        let big_endian = field.starts_with("journal ");
        self.cases.push(Case {
            field,
            structure,
            at,
            width,
            value,
            big_endian,
        });
    }

    /// The number of an inode and where it is.
    fn inode(&self, path: &str) -> (u32, usize) {
        let text = self.image.ask(&format!("stat {path}"));
        let number = text.split_whitespace().nth(1).unwrap().parse().unwrap();
        (number, self.image.inode(path) as usize)
    }

    fn block(&self, path: &str, block: u32) -> usize {
        self.image.block(path, block) as usize
    }

    fn inodes(&mut self, paths: &[(&str, &str)]) {
        for (name, path) in paths {
            let (ino, at) = self.inode(path);
            let name = format!("{name}:");
            let structure = Structure::Inode(ino, at);
            self.fields(&name, structure, 0, INODE);
            self.bits(&name, structure, &[("i_flags", 0x20, 4)]);
        }
    }

    fn extents(&mut self) {
        let (ino, at) = self.inode("/one");
        let structure = Structure::Inode(ino, at);
        self.fields("extents in an inode:", structure, 0x28, NODE);
        self.fields("extents in an inode:", structure, 0x28, &LEAF[..4]);
        let (ino, at) = self.inode("/holes");
        let structure = Structure::Inode(ino, at);
        self.fields("index in an inode:", structure, 0x28, NODE);
        self.fields("index in an inode:", structure, 0x28, INDEX);
        let leaf = le32(&self.image.bytes, at as u64 + 0x28 + 16) as usize * 1024;
        let structure = Structure::Extents(ino, at, leaf);
        self.fields("leaf:", structure, 0, NODE);
        self.fields("leaf:", structure, 0, LEAF);
    }

    fn directories(&mut self) {
        let (ino, at) = self.inode("/sub");
        let structure = Structure::Entries(ino, at, self.block("/sub", 0));
        self.fields("directory:", structure, 0, ENTRIES);
        self.fields("directory:", structure, 0, TAIL);
        let (ino, at) = self.inode("/many");
        let structure = Structure::Index(ino, at, self.block("/many", 0));
        self.fields("htree:", structure, 0, HTREE);
        let structure = Structure::Entries(ino, at, self.block("/many", 1));
        self.fields("leaf of the htree:", structure, 0, &ENTRIES[11..]);
        self.fields("leaf of the htree:", structure, 0, &ENTRIES[..5]);
    }

    fn attributes(&mut self) {
        let (_, at) = self.inode("/two");
        let block = le32(&self.image.bytes, at as u64 + 0x68) as usize * 1024;
        let structure = Structure::Attributes(block);
        self.fields("attribute block:", structure, 0, ATTRIBUTES);
        self.fields("attribute block:", structure, 32, ATTRIBUTE);
        let (ino, at) = self.inode("/null");
        let structure = Structure::Inode(ino, at);
        self.fields(
            "attributes in an inode:",
            structure,
            160,
            &[("h_magic", 0, 4)],
        );
        self.fields("attributes in an inode:", structure, 164, ATTRIBUTE);
    }
}

fn list(image: &Image) -> List<'_> {
    List {
        image,
        cases: Vec::new(),
    }
}

/// Everything that each filesystem has.
pub(super) fn common(image: &Image) -> Vec<Case> {
    let mut list = list(image);
    list.fields("superblock", Structure::Superblock, 0, SUPERBLOCK);
    list.bits("superblock", Structure::Superblock, FEATURES);
    list.bits(
        "superblock",
        Structure::Superblock,
        &[("s_flags", 0x160, 4)],
    );
    for group in [0, 1] {
        let at = 2048 + 64 * group as usize;
        list.fields(
            &format!("group {group}"),
            Structure::Group(group, at),
            0,
            GROUP,
        );
    }
    list.inodes(&[
        ("file", "/one"),
        ("directory", "/sub"),
        ("fast symlink", "/fast"),
        ("slow symlink", "/slow"),
        ("device", "/null"),
        ("journal", "<8>"),
        ("resize inode", "<7>"),
        ("root", "<2>"),
        ("unused reserved inode", "<6>"),
        ("bad blocks", "<1>"),
        ("unused inode", "<2000>"),
    ]);
    list.extents();
    list.directories();
    list.attributes();
    let journal = Structure::Plain(list.block("<8>", 0));
    list.fields("journal superblock", journal, 0, JOURNAL);
    list.cases
}

/// Maps of ext2 and ext3.
pub(super) fn block_maps(image: &Image) -> Vec<Case> {
    let mut list = list(image);
    list.inodes(&[
        ("mapped file", "/holes"),
        ("mapped directory", "/many"),
        ("mapped symlink", "/slow"),
    ]);
    let (_, at) = list.inode("/holes");
    let indirect = le32(&image.bytes, at as u64 + 0x28 + 48) as usize * 1024;
    let fields = [("first pointer", 0, 4), ("fourth pointer", 12, 4)];
    list.fields("indirect block:", Structure::Plain(indirect), 0, &fields);
    list.fields("plain superblock", Structure::Superblock, 0, SUPERBLOCK);
    list.bits("plain superblock", Structure::Superblock, FEATURES);
    list.cases
}

/// Fields of the superblock by name.
fn named(names: &[&str]) -> Vec<Field> {
    let all = SUPERBLOCK.iter().copied();
    all.filter(|(name, ..)| names.contains(name)).collect()
}

/// The orphan file.
pub(super) fn orphans(image: &Image) -> Vec<Case> {
    let mut list = list(image);
    let fields = named(&["s_orphan_file_inum"]);
    list.fields("orphan superblock", Structure::Superblock, 0, &fields);
    let orphans = format!("<{}>", le32(&image.bytes, 1024 + 0x280));
    let structure = Structure::Plain(list.block(&orphans, 0));
    list.fields("orphan file:", structure, 0, ORPHANS);
    list.inodes(&[("orphan file", &orphans)]);
    list.cases
}

/// Quotas.
pub(super) fn quotas(image: &Image) -> Vec<Case> {
    let mut list = list(image);
    let fields = named(&["s_usr_quota_inum", "s_grp_quota_inum", "s_prj_quota_inum"]);
    list.fields("quota superblock", Structure::Superblock, 0, &fields);
    let project = format!("<{}>", le32(&image.bytes, 1024 + 0x26C));
    list.inodes(&[("user quota", "<3>"), ("project quota", &project)]);
    for (name, path) in [("user", "<3>"), ("project", project.as_str())] {
        let structure = Structure::Plain(list.block(path, 0));
        list.fields(&format!("{name} quota file:"), structure, 0, QUOTA);
    }
    // The first entry of the user quotas: usage and limits of root.
    let entry = list.block("<3>", 5) + 16;
    let fields = [
        ("dqb_id", 0, 4),
        ("dqb_ihardlimit", 8, 8),
        ("dqb_curinodes", 24, 8),
        ("dqb_curspace", 48, 8),
    ];
    list.fields("user quota file:", Structure::Plain(entry), 0, &fields);
    list.cases
}

/// Multiple mount protection.
pub(super) fn protection(image: &Image) -> Vec<Case> {
    let mut list = list(image);
    let fields = named(&["s_mmp_block"]);
    list.fields("MMP superblock", Structure::Superblock, 0, &fields);
    let mmp = le64(&image.bytes, 1024 + 0x168) as usize * 1024;
    list.fields("MMP block", Structure::Mmp(mmp), 0, MMP);
    let sum = [("mmp_checksum", 1020, 4)];
    list.fields("MMP block", Structure::Plain(mmp), 0, &sum);
    list.cases
}
