//! Images as text, a line for each field that is not zero: offset, structure and field, value.
//! Written from the specifications alone, so that it shares nothing with what it dumps; every byte
//! that is not zero is in some line.

use std::collections::BTreeMap;

/// MBR (UEFI 5.2.1): fields in order, each `name:type`. Types: a number of bytes (little-endian
/// integer), `x` hexadecimal, `b` big-endian, `o` octal, `t` text, `w` UTF-16, `h` bytes.
const MBR: &str = "boot_code:h440 disk_signature:x4 unknown:x2";
const MBR_PARTITION: &str = "status:x1 first_chs:h3 type:x1 last_chs:h3 first_lba:4 sectors:4";
/// UEFI 5.3.2 and 5.3.3.
const GPT_HEADER: &str = "signature:t8 revision:x4 header_size:4 header_crc32:x4 reserved:4 \
    my_lba:8 alternate_lba:8 first_usable_lba:8 last_usable_lba:8 disk_guid:h16 \
    partition_entry_lba:8 number_of_partition_entries:4 size_of_partition_entry:4 \
    partition_entry_array_crc32:x4";
const GPT_PARTITION: &str = "partition_type_guid:h16 unique_partition_guid:h16 starting_lba:8 \
    ending_lba:8 attributes:x8 partition_name:w72";
/// Microsoft fatgen103, sections 3, 5 and 6.
const BPB: &str = "jmp_boot:h3 oem_name:t8 byts_per_sec:2 sec_per_clus:1 rsvd_sec_cnt:2 \
    num_fats:1 root_ent_cnt:2 tot_sec16:2 media:x1 fat_sz16:2 sec_per_trk:2 num_heads:2 \
    hidd_sec:4 tot_sec32:4";
const BPB32: &str = "fat_sz32:4 ext_flags:x2 fs_ver:2 root_clus:4 fs_info:2 bk_boot_sec:2 \
    reserved:h12";
const BOOT: &str = "drv_num:x1 reserved1:1 boot_sig:x1 vol_id:x4 vol_lab:t11 fil_sys_type:t8";
const FSINFO: &str = "lead_sig:x4 reserved1:h480 struc_sig:x4 free_count:4 nxt_free:4 \
    reserved2:h12 trail_sig:x4";
const FAT_SHORT: &str = "name:t11 attr:x1 ntres:x1 crt_time_tenth:1 crt_time:x2 crt_date:x2 \
    lst_acc_date:x2 fst_clus_hi:2 wrt_time:x2 wrt_date:x2 fst_clus_lo:2 file_size:4";
const FAT_LONG: &str = "ord:x1 name1:w10 attr:x1 type:1 chksum:x1 name2:w12 fst_clus_lo:2 \
    name3:w4";
/// Linux, Documentation/filesystems/ext4.
const SUPERBLOCK: &str = "s_inodes_count:4 s_blocks_count_lo:4 s_r_blocks_count_lo:4 \
    s_free_blocks_count_lo:4 s_free_inodes_count:4 s_first_data_block:4 s_log_block_size:4 \
    s_log_cluster_size:4 s_blocks_per_group:4 s_clusters_per_group:4 s_inodes_per_group:4 \
    s_mtime:4 s_wtime:4 s_mnt_count:2 s_max_mnt_count:2 s_magic:x2 s_state:2 s_errors:2 \
    s_minor_rev_level:2 s_lastcheck:4 s_checkinterval:4 s_creator_os:4 s_rev_level:4 \
    s_def_resuid:2 s_def_resgid:2 s_first_ino:4 s_inode_size:2 s_block_group_nr:2 \
    s_feature_compat:x4 s_feature_incompat:x4 s_feature_ro_compat:x4 s_uuid:h16 \
    s_volume_name:t16 s_last_mounted:t64 s_algorithm_usage_bitmap:x4 s_prealloc_blocks:1 \
    s_prealloc_dir_blocks:1 s_reserved_gdt_blocks:2 s_journal_uuid:h16 s_journal_inum:4 \
    s_journal_dev:4 s_last_orphan:4 s_hash_seed:h16 s_def_hash_version:1 s_jnl_backup_type:1 \
    s_desc_size:2 s_default_mount_opts:x4 s_first_meta_bg:4 s_mkfs_time:4 s_jnl_blocks:h68 \
    s_blocks_count_hi:4 s_r_blocks_count_hi:4 s_free_blocks_count_hi:4 s_min_extra_isize:2 \
    s_want_extra_isize:2 s_flags:x4 s_raid_stride:2 s_mmp_interval:2 s_mmp_block:8 \
    s_raid_stripe_width:4 s_log_groups_per_flex:1 s_checksum_type:1 s_reserved_pad:2 \
    s_kbytes_written:8 s_snapshot_inum:4 s_snapshot_id:4 s_snapshot_r_blocks_count:8 \
    s_snapshot_list:4 s_error_count:4 s_first_error_time:4 s_first_error_ino:4 \
    s_first_error_block:8 s_first_error_func:t32 s_first_error_line:4 s_last_error_time:4 \
    s_last_error_ino:4 s_last_error_line:4 s_last_error_block:8 s_last_error_func:t32 \
    s_mount_opts:t64 s_usr_quota_inum:4 s_grp_quota_inum:4 s_overhead_blocks:4 \
    s_backup_bgs:h8 s_encrypt_algos:h4 s_encrypt_pw_salt:h16 s_lpf_ino:4 s_prj_quota_inum:4 \
    s_checksum_seed:x4 s_time_hi:h6 s_error_codes:h2 s_encoding:2 s_encoding_flags:x2 \
    s_orphan_file_inum:4 s_reserved:h376 s_checksum:x4";
const GROUP: &str = "bg_block_bitmap_lo:4 bg_inode_bitmap_lo:4 bg_inode_table_lo:4 \
    bg_free_blocks_count_lo:2 bg_free_inodes_count_lo:2 bg_used_dirs_count_lo:2 bg_flags:x2 \
    bg_exclude_bitmap_lo:4 bg_block_bitmap_csum_lo:x2 bg_inode_bitmap_csum_lo:x2 \
    bg_itable_unused_lo:2 bg_checksum:x2 bg_block_bitmap_hi:4 bg_inode_bitmap_hi:4 \
    bg_inode_table_hi:4 bg_free_blocks_count_hi:2 bg_free_inodes_count_hi:2 \
    bg_used_dirs_count_hi:2 bg_itable_unused_hi:2 bg_exclude_bitmap_hi:4 \
    bg_block_bitmap_csum_hi:x2 bg_inode_bitmap_csum_hi:x2 bg_reserved:4";
const INODE: &str = "i_mode:o2 i_uid:2 i_size_lo:4 i_atime:4 i_ctime:4 i_mtime:4 i_dtime:4 \
    i_gid:2 i_links_count:2 i_blocks_lo:4 i_flags:x4 i_version:4";
const INODE_REST: &str = "i_generation:4 i_file_acl_lo:4 i_size_high:4 i_obso_faddr:4 \
    i_blocks_high:2 i_file_acl_high:2 i_uid_high:2 i_gid_high:2 i_checksum_lo:x2 i_reserved:2 \
    i_extra_isize:2 i_checksum_hi:x2 i_ctime_extra:x4 i_mtime_extra:x4 i_atime_extra:x4 \
    i_crtime:4 i_crtime_extra:x4 i_version_hi:4 i_projid:4";
const EXTENT_HEADER: &str = "eh_magic:x2 eh_entries:2 eh_max:2 eh_depth:2 eh_generation:4";
const EXTENT: &str = "ee_block:4 ee_len:2 ee_start_hi:2 ee_start_lo:4";
const DIR_ENTRY: &str = "inode:4 rec_len:2 name_len:1 file_type:1";
const DIR_TAIL: &str = "zero:4 rec_len:2 zero:1 reserved_ft:x1 det_checksum:x4";
const XATTR_BLOCK: &str = "h_magic:x4 h_refcount:4 h_blocks:4 h_hash:x4 h_checksum:x4";
const XATTR_ENTRY: &str = "e_name_len:1 e_name_index:1 e_value_offs:2 e_value_inum:4 \
    e_value_size:4 e_hash:x4";
const JOURNAL: &str = "h_magic:xb4 h_blocktype:b4 h_sequence:b4 s_blocksize:b4 s_maxlen:b4 \
    s_first:b4 s_sequence:b4 s_start:b4 s_errno:b4 s_feature_compat:xb4 \
    s_feature_incompat:xb4 s_feature_ro_compat:xb4 s_uuid:h16 s_nr_users:b4 s_dynsuper:b4 \
    s_max_transaction:b4 s_max_trans_data:b4 s_checksum_type:1 s_padding2:h3 \
    s_num_fc_blks:b4 s_head:b4 s_padding:h160 s_checksum:xb4 s_users:h768";

/// The sector size of all of these (bytes).
const SECTOR: usize = 512;

/// An image and its lines so far.
pub(crate) struct Dump<'a> {
    bytes: &'a [u8],
    named: Vec<bool>,
    lines: BTreeMap<usize, String>,
}

/// The size of a field's type.
fn size(kind: &str) -> usize {
    kind.trim_start_matches(|c: char| c.is_ascii_alphabetic())
        .parse()
        .expect("a size")
}

/// A field's bytes as its type says.
fn value(kind: &str, bytes: &[u8]) -> String {
    let number = |big: bool| {
        let step = |sum: u64, byte: &u8| (sum << 8) | u64::from(*byte);
        if big {
            bytes.iter().fold(0, step)
        } else {
            bytes.iter().rev().fold(0, step)
        }
    };
    let text = |bytes: &[u8]| format!("{:?}", String::from_utf8_lossy(bytes));
    match kind.trim_end_matches(|c: char| c.is_ascii_digit()) {
        "" => number(false).to_string(),
        "b" => number(true).to_string(),
        "x" => format!("{:#x}", number(false)),
        "xb" => format!("{:#x}", number(true)),
        "o" => format!("{:#o}", number(false)),
        "t" => text(bytes),
        "w" => {
            let units = bytes
                .chunks(2)
                .map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
            let units: Vec<u16> = units.collect();
            text(String::from_utf16_lossy(&units).as_bytes())
        }
        _ => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

impl<'a> Dump<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let named = vec![false; bytes.len()];
        Self {
            bytes,
            named,
            lines: BTreeMap::new(),
        }
    }

    /// A little-endian integer.
    fn int(&self, at: usize, len: usize) -> usize {
        let bytes = &self.bytes[at..at + len];
        bytes
            .iter()
            .rev()
            .fold(0, |sum, byte| (sum << 8) | usize::from(*byte))
    }

    fn line(&mut self, at: usize, len: usize, name: &str, value: &str) {
        if self.bytes[at..at + len].iter().any(|byte| *byte != 0) {
            self.lines
                .insert(at, format!("{at:#010x}  {name}  {value}"));
        }
        self.named[at..at + len].fill(true);
    }

    /// The fields of a structure at `at`; the position after it.
    fn fields(&mut self, mut at: usize, structure: &str, fields: &str) -> usize {
        for field in fields.split_whitespace() {
            let (name, kind) = field.split_once(':').expect("name:type");
            let len = size(kind);
            let value = value(kind, &self.bytes[at..at + len]);
            self.line(at, len, &format!("{structure}.{name}"), &value);
            at += len;
        }
        at
    }

    fn text(&mut self, at: usize, len: usize, name: &str) {
        let value = value(&format!("t{len}"), &self.bytes[at..at + len]);
        self.line(at, len, name, &value);
    }

    /// Bytes that are content, not structure, by their checksum.
    fn data(&mut self, at: usize, len: usize, name: &str) {
        let sum = crc32fast::hash(&self.bytes[at..at + len]);
        self.line(at, len, name, &format!("{len} bytes, crc32 {sum:#010x}"));
    }

    /// A bitmap as the ranges of its ones.
    fn bitmap(&mut self, at: usize, len: usize, name: &str) {
        let bit = |n: usize| n < 8 * len && self.bytes[at + n / 8] & (1 << (n % 8)) != 0;
        let starts = (0..8 * len).filter(|n| bit(*n) && (*n == 0 || !bit(*n - 1)));
        let ranges: Vec<String> = starts
            .map(|start| {
                let end = (start..).find(|n| !bit(n + 1)).expect("an end");
                format!("{start}-{end}")
            })
            .collect();
        self.line(at, len, name, &ranges.join(","));
    }

    /// All lines; bytes without a name are given in rows of 16.
    fn finish(mut self) -> String {
        for at in (0..self.bytes.len()).step_by(16) {
            let end = (at + 16).min(self.bytes.len());
            if self.bytes[at..end] == [0; 16] {
                continue;
            }
            let free = |at: &usize| !self.named[*at] && self.bytes[*at] != 0;
            if let Some(first) = (at..end).find(free) {
                let bytes = (first..end).filter(|at| !self.named[*at]);
                let hex: String = bytes.map(|at| format!("{:02x}", self.bytes[at])).collect();
                self.lines.insert(first, format!("{first:#010x}  -  {hex}"));
            }
        }
        self.lines.into_values().map(|line| line + "\n").collect()
    }

    fn mbr(&mut self, at: usize, name: &str) {
        let mut entry = self.fields(at, name, MBR);
        for number in 0..4 {
            entry = self.fields(entry, &format!("{name}.partition[{number}]"), MBR_PARTITION);
        }
        self.fields(entry, name, "signature:x2");
    }

    fn gpt(&mut self, at: usize, name: &str) {
        self.fields(at, name, GPT_HEADER);
        let (first, count, len) = (
            self.int(at + 72, 8),
            self.int(at + 80, 4),
            self.int(at + 84, 4),
        );
        for number in 0..count {
            let entry = first * SECTOR + number * len;
            self.fields(entry, &format!("{name}.partition[{number}]"), GPT_PARTITION);
        }
    }
}

/// A disk with a GPT.
pub(crate) fn gpt(bytes: &[u8]) -> String {
    let mut dump = Dump::new(bytes);
    dump.mbr(0, "protective_mbr");
    dump.gpt(SECTOR, "gpt");
    dump.gpt(bytes.len() - SECTOR, "backup_gpt");
    dump.finish()
}

/// A disk with an MBR of primary partitions.
pub(crate) fn mbr(bytes: &[u8]) -> String {
    let mut dump = Dump::new(bytes);
    dump.mbr(0, "mbr");
    dump.finish()
}

/// A FAT filesystem's numbers.
struct Fat {
    wide: bool,
    table: usize,
    cluster: usize,
    data: usize,
}

impl Fat {
    fn next(&self, dump: &Dump<'_>, cluster: usize) -> usize {
        let len = if self.wide { 4 } else { 2 };
        dump.int(self.table + cluster * len, len)
    }

    /// The positions of the clusters of a chain.
    fn chain(&self, dump: &Dump<'_>, first: usize) -> Vec<usize> {
        let (mut out, mut cluster) = (Vec::new(), first);
        let end = if self.wide { 0x0fff_fff8 } else { 0xfff8 };
        while (2..end).contains(&cluster) {
            out.push(self.data + (cluster - 2) * self.cluster);
            cluster = self.next(dump, cluster);
        }
        out
    }
}

/// A FAT16 or FAT32 filesystem.
pub(crate) fn fat(bytes: &[u8]) -> String {
    let mut dump = Dump::new(bytes);
    let wide = dump.int(22, 2) == 0;
    let boot = |dump: &mut Dump<'_>, at: usize, name: &str| {
        let mut end = dump.fields(at, name, BPB);
        if wide {
            end = dump.fields(end, name, BPB32);
        }
        end = dump.fields(end, name, BOOT);
        dump.fields(end, name, &format!("boot_code:h{}", at + 510 - end));
        dump.fields(at + 510, name, "signature:x2");
    };
    boot(&mut dump, 0, "boot_sector");
    if wide {
        let (info, backup) = (dump.int(48, 2) * SECTOR, dump.int(50, 2) * SECTOR);
        dump.fields(info, "fsinfo", FSINFO);
        boot(&mut dump, backup, "backup_boot_sector");
        dump.fields(backup + info, "backup_fsinfo", FSINFO);
    }
    let tables = dump.int(14, 2) * SECTOR;
    let table_len = SECTOR
        * if wide {
            dump.int(36, 4)
        } else {
            dump.int(22, 2)
        };
    let root = tables + dump.int(16, 1) * table_len;
    let root_len = 32 * dump.int(17, 2);
    let cluster = SECTOR * dump.int(13, 1);
    let fat = Fat {
        wide,
        table: tables,
        cluster,
        data: root + root_len,
    };
    let len = if wide { 4 } else { 2 };
    for copy in 0..dump.int(16, 1) {
        for entry in 0..table_len / len {
            let at = tables + copy * table_len + entry * len;
            let kind = format!("entry[{entry}]:x{len}");
            dump.fields(at, &format!("fat[{copy}]"), &kind);
        }
    }
    if wide {
        let first = dump.int(44, 4);
        let chain = fat.chain(&dump, first);
        fat_directory(&mut dump, &fat, &chain, cluster, "");
    } else {
        fat_directory(&mut dump, &fat, &[root], root_len, "");
    }
    dump.finish()
}

fn fat_directory(dump: &mut Dump<'_>, fat: &Fat, parts: &[usize], len: usize, path: &str) {
    let entries = parts
        .iter()
        .flat_map(|part| (*part..part + len).step_by(32));
    for (number, at) in entries.collect::<Vec<_>>().into_iter().enumerate() {
        let name = format!("dir({path}/)[{number}]");
        if dump.bytes[at + 11] == 0x0f {
            dump.fields(at, &name, FAT_LONG);
            continue;
        }
        dump.fields(at, &name, FAT_SHORT);
        let short = String::from_utf8_lossy(&dump.bytes[at..at + 11])
            .trim()
            .to_owned();
        let first = (dump.int(at + 20, 2) << 16) | dump.int(at + 26, 2);
        if short.starts_with(['.', '\0']) || first == 0 {
            continue;
        }
        let below = format!("{path}/{short}");
        let chain = fat.chain(dump, first);
        if dump.bytes[at + 11] & 0x10 != 0 {
            fat_directory(dump, fat, &chain, fat.cluster, &below);
        } else {
            chain
                .iter()
                .for_each(|at| dump.data(*at, fat.cluster, &format!("data({below})")));
        }
    }
}

/// An ext4 filesystem of one group with blocks of 4096 bytes and inodes of 256.
pub(crate) fn ext4(bytes: &[u8]) -> String {
    const BLOCK: usize = 4096;
    let mut dump = Dump::new(bytes);
    dump.fields(1024, "superblock", SUPERBLOCK);
    assert_eq!(
        (dump.int(1024 + 0x18, 4), dump.int(1024 + 0x58, 2)),
        (2, 256)
    );
    dump.fields(BLOCK, "group[0]", GROUP);
    let inodes = dump.int(1024, 4);
    let of_group = |dump: &Dump<'_>, field: usize| dump.int(BLOCK + field, 4) * BLOCK;
    let (blocks, used, table) = (of_group(&dump, 0), of_group(&dump, 4), of_group(&dump, 8));
    dump.bitmap(blocks, BLOCK, "block_bitmap");
    dump.bitmap(used, BLOCK, "inode_bitmap");
    for number in 1..=inodes {
        let at = table + (number - 1) * 256;
        if bytes[at..at + 256].iter().any(|byte| *byte != 0) {
            inode(&mut dump, at, &format!("inode[{number}]"), BLOCK);
        }
    }
    dump.finish()
}

fn inode(dump: &mut Dump<'_>, at: usize, name: &str, block: usize) {
    let map = dump.fields(at, name, INODE);
    let xattrs = dump.fields(map + 60, name, INODE_REST);
    let (mode, flags) = (dump.int(at, 2), dump.int(at + 32, 4));
    if flags & 0x8_0000 != 0 {
        for (first, len) in extents(dump, map, name) {
            for at in (first * block..(first + len) * block).step_by(block) {
                match mode & 0o170_000 {
                    0o040_000 => directory(dump, at, &format!("{name}.dir"), block),
                    _ if name == "inode[8]" && at == first * block => {
                        dump.fields(at, "journal", JOURNAL);
                    }
                    _ => dump.data(at, block, &format!("{name}.data")),
                }
            }
        }
    } else if mode & 0o170_000 == 0o120_000 {
        dump.text(map, 60, &format!("{name}.i_block"));
    } else {
        let pointers: String = (0..15).map(|n| format!("i_block[{n}]:4 ")).collect();
        dump.fields(map, name, &pointers);
        let double = dump.int(map + 13 * 4, 4) * block;
        if mode & 0o170_000 == 0o100_000 && double != 0 {
            let pointers: String = (0..block / 4)
                .map(|n| format!("indirect[{n}]:4 "))
                .collect();
            dump.fields(double, name, &pointers);
        }
    }
    if dump.int(xattrs, 4) != 0 {
        let first = dump.fields(xattrs, name, "h_magic:x4");
        attributes(dump, first, first, &format!("{name}.xattr"));
    }
    let outside = dump.int(at + 0x68, 4) * block;
    if outside != 0 {
        let name = format!("{name}.xattr_block");
        dump.fields(outside, &name, XATTR_BLOCK);
        attributes(dump, outside + 32, outside, &name);
    }
}

/// The runs of blocks of a tree of extents without inner nodes.
fn extents(dump: &mut Dump<'_>, at: usize, name: &str) -> Vec<(usize, usize)> {
    let mut entry = dump.fields(at, name, EXTENT_HEADER);
    assert_eq!(dump.int(at + 6, 2), 0, "{name} has inner nodes");
    let mut out = Vec::new();
    for number in 0..dump.int(at + 2, 2) {
        out.push((dump.int(entry + 8, 4), dump.int(entry + 4, 2)));
        entry = dump.fields(entry, &format!("{name}.extent[{number}]"), EXTENT);
    }
    out
}

fn directory(dump: &mut Dump<'_>, block: usize, name: &str, len: usize) {
    let mut at = block;
    while at < block + len {
        let (inode, next) = (dump.int(at, 4), dump.int(at + 4, 2));
        if inode == 0 && dump.bytes[at + 7] == 0xde {
            dump.fields(at, &format!("{name}.tail"), DIR_TAIL);
        } else {
            let entry = format!("{name}[{}]", at - block);
            let text = dump.fields(at, &entry, DIR_ENTRY);
            let used = dump.int(at + 6, 1);
            dump.text(text, used, &format!("{entry}.name"));
        }
        at += next.max(8);
    }
}

/// The attributes from `at` on; their values are at offsets from `base`.
fn attributes(dump: &mut Dump<'_>, mut at: usize, base: usize, name: &str) {
    while dump.int(at, 4) != 0 {
        let entry = format!("{name}[{}]", at - base);
        let text = dump.fields(at, &entry, XATTR_ENTRY);
        let (used, value, len) = (dump.int(at, 1), dump.int(at + 2, 2), dump.int(at + 8, 4));
        dump.text(text, used, &format!("{entry}.name"));
        dump.data(base + value, len, &format!("{entry}.value"));
        at = text + used.next_multiple_of(4);
    }
}
