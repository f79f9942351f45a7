//! The partitions of a disk, their filesystems and their roles in the A/B scheme.

use super::finding::{Location, Log};
use super::probe::{is_ext, is_fat, is_journal};
use super::request::Request;
use super::{ext4, fat, slots};
use crate::fs::ext4::read::{Error as ReadError, Filesystem, Info};
use crate::golden::facts;
use crate::image::table::{PartitionTable, types};
use crate::side_by_side::joined;
use crate::stream::{Slice, Source};
use crate::tree::Tree;
use crate::units::MIB;
use serde_json::{Map, Value};
use std::sync::Arc;

/// A filesystem on a partition.
pub(super) struct PartitionFiles {
    /// Its files; partitions with identical filesystems share them.
    pub(super) tree: Arc<Tree>,
    /// Bytes of the filesystem.
    pub(super) size: u64,
    /// Its UUID or volume ID in lower case, as `/etc/fstab` names it.
    pub(super) uuid: String,
    /// Its label; empty: none.
    pub(super) label: String,
    pub(super) is_fat: bool,
    /// The superblock of an ext filesystem.
    pub(super) ext: Option<Info>,
}

/// A partition and its filesystem.
pub(super) struct DiskPartition {
    /// Its number in the table, from 1.
    pub(super) number: u32,
    /// The bytes of the whole partition.
    pub(super) source: Source,
    /// Its filesystem; `None` without one that can be read.
    pub(super) files: Option<PartitionFiles>,
    /// The earlier partition with the same filesystem, byte for byte.
    pub(super) same_as: Option<u32>,
    /// It has the type of an EFI system partition.
    esp: bool,
}

/// A disk with all its partitions.
pub(super) struct Disk {
    pub(super) source: Source,
    pub(super) table: PartitionTable,
    pub(super) parts: Vec<DiskPartition>,
}

/// The numbers of the partitions that have a role.
#[derive(Clone, Copy, Debug)]
pub(super) struct Roles {
    pub(super) a: u32,
    pub(super) b: u32,
    pub(super) data: u32,
    pub(super) boot: Option<u32>,
}

impl Disk {
    /// Checks every filesystem that was not judged before and reads those that can be read.
    pub(super) fn read(
        disk: &Source,
        table: PartitionTable,
        request: &Request<'_>,
        log: &mut Log,
    ) -> Self {
        let mut parts: Vec<DiskPartition> = Vec::new();
        for partition in &table.partitions {
            let bytes = partition.bytes();
            let source: Source = Arc::new(Slice::new(
                Arc::clone(disk),
                bytes.start,
                bytes.end.saturating_sub(bytes.start),
            ));
            let mut same_as = None;
            let files = if is_journal(&*source) {
                log.group(format!("ext4 on partition {}", partition.number));
                ext4::check(&*source, Some(partition.number), log);
                None
            } else if is_ext(&*source) {
                let known = request
                    .identical_slots
                    .filter(|[_, second]| *second == bytes.start)
                    .map(|[first, _]| first);
                let known = table
                    .partitions
                    .iter()
                    .find(|other| Some(other.bytes().start) == known)
                    .map(|other| other.number);
                log.group(format!("ext4 on partition {}", partition.number));
                if let Some((other, files)) = identical_filesystem(&source, known, &parts) {
                    log.passed(1);
                    same_as = Some(other);
                    Some(files)
                } else {
                    let changed = request.judged_except_bootstrap;
                    if changed.is_none_or(|changed| changed == bytes.start) {
                        ext_files(&source, partition.number, log)
                    } else {
                        read_ext_files(&source, partition.number, log)
                    }
                }
            } else if is_fat(&*source) {
                fat_files(&source, partition.number, log)
            } else {
                None
            };
            let esp = partition.kind == types::GPT_ESP || partition.kind == types::MBR_ESP;
            parts.push(DiskPartition {
                number: partition.number,
                source,
                files,
                same_as,
                esp,
            });
        }
        Self {
            source: Arc::clone(disk),
            table,
            parts,
        }
    }

    /// The partition with this number.
    pub(super) fn part(&self, number: u32) -> Option<&DiskPartition> {
        self.parts.iter().find(|part| part.number == number)
    }

    /// The files of the partition with this number.
    pub(super) fn files(&self, number: u32) -> Option<&PartitionFiles> {
        self.part(number)?.files.as_ref()
    }

    /// The number of the partition that a device path names on this disk.
    pub(super) fn resolve(&self, path: &str) -> Option<u32> {
        let named = |find: &dyn Fn(u32) -> bool| {
            self.parts
                .iter()
                .map(|part| part.number)
                .find(|number| find(*number))
        };
        if let Some(id) = path.strip_prefix("/dev/disk/by-partuuid/") {
            return named(&|number| self.table.partuuid(number).as_deref() == Some(id));
        }
        if let Some(label) = path.strip_prefix("/dev/disk/by-partlabel/") {
            return named(&|number| {
                self.table
                    .partition(number)
                    .is_some_and(|partition| partition.name == label)
            });
        }
        if path == "/dev/mender-boot" {
            let links = self.boot_links();
            let (_, id) = links.first()?;
            return named(&|number| self.table.partuuid(number).as_ref() == Some(id));
        }
        let name = path
            .strip_prefix("/dev/")
            .filter(|name| !name.contains('/'))?;
        let digits = name.trim_start_matches(|c: char| !c.is_ascii_digit());
        let digits = digits
            .rsplit(|c: char| !c.is_ascii_digit())
            .next()
            .unwrap_or(digits);
        let number: u32 = digits.parse().ok()?;
        named(&|other| other == number)
    }

    /// The slots, and the PARTUUIDs of the partitions that a rule of udev gives the name
    /// `/dev/mender-boot` while they run.
    pub(super) fn boot_links(&self) -> Vec<(String, String)> {
        let files = self.parts.iter().filter_map(|part| part.files.as_ref());
        let mut roots = files.filter(|files| facts::is_root(&files.tree));
        let rules = "/etc/udev/rules.d/90-mender-boot.rules";
        let text = roots.next().and_then(|files| read(&files.tree, rules));
        let text = String::from_utf8_lossy(&text.unwrap_or_default()).into_owned();
        let matched = |line: &str, key: &str| {
            let (_, rest) = line.split_once(&format!("ENV{{{key}}}==\""))?;
            rest.split_once('"').map(|(value, _)| value.to_owned())
        };
        let lines = text
            .lines()
            .filter(|line| line.contains("SYMLINK+=\"mender-boot\""));
        lines
            .filter_map(|line| {
                Some((
                    matched(line, "mender.slot")?,
                    matched(line, "ID_PART_ENTRY_UUID")?,
                ))
            })
            .collect()
    }

    /// Finds slots, data and boot partition by their content and the client's configuration; a role
    /// that cannot be found is a finding.
    pub(super) fn roles(&self, log: &mut Log) -> Option<Roles> {
        let is_data = |tree: &Tree| {
            ["/mender/device_type", "/mender/mender.conf"]
                .iter()
                .any(|path| tree.file(path).is_some())
        };
        let holds = |part: &&DiskPartition, find: &dyn Fn(&Tree) -> bool| {
            part.files
                .as_ref()
                .is_some_and(|files| !files.is_fat && find(&files.tree))
        };
        let data = self.parts.iter().find(|part| holds(part, &is_data));
        let Some(data) = data else {
            log.error(
                "data-missing",
                Location::whole(),
                "no partition contains the update client's data (mender/device_type, mender/mender.conf)",
            );
            return None;
        };
        let systems: Vec<u32> = self
            .parts
            .iter()
            .filter(|part| holds(part, &facts::is_root))
            .map(|part| part.number)
            .collect();
        let Some(first) = systems.first() else {
            log.error(
                "root-missing",
                Location::whole(),
                "no partition contains a root filesystem",
            );
            return None;
        };
        let boot = self
            .parts
            .iter()
            .find(|part| part.esp && part.files.is_some());
        let any_fat = || {
            let is_fat = |part: &&DiskPartition| {
                let mut files = part.files.iter();
                files.any(|files| files.is_fat)
            };
            // With autoboot.txt alone it has the firmware look elsewhere.
            let leads_away = |part: &&DiskPartition| {
                let tree = part.files.as_ref().map(|files| &files.tree.root);
                let has =
                    |name: &str| tree.is_some_and(|root| root.get_ignore_case(name).is_some());
                has("autoboot.txt") && !has("config.txt")
            };
            let mut fats = self.parts.iter().filter(is_fat);
            fats.clone()
                .find(|part| !leads_away(part))
                .or_else(|| fats.next())
        };
        let boot = boot.or_else(any_fat).map(|part| part.number);
        let [a, b] = self.configured_slots(*first, data.number, log)?;
        Some(Roles {
            a,
            b,
            data: data.number,
            boot,
        })
    }

    /// The slots that `mender.conf` names: both on this disk, with different numbers.
    fn configured_slots(&self, root: u32, data: u32, log: &mut Log) -> Option<[u32; 2]> {
        let mut merged = self.client_config(data, "/mender/mender.conf", log);
        merged.extend(self.client_config(root, "/etc/mender/mender.conf", log));
        let mut slots = Vec::new();
        for key in ["RootfsPartA", "RootfsPartB"] {
            let value = merged.get(key).and_then(Value::as_str).unwrap_or_default();
            let number = self.resolve(value);
            log.check(number.is_some(), "client-slots", || {
                let text = if value.is_empty() {
                    format!("{key} is not set")
                } else {
                    format!(
                        "{key} is `{value}`, which is not a partition of this disk ({})",
                        self.names()
                    )
                };
                (Location::partition(data).path("/mender/mender.conf"), text)
            });
            slots.extend(number);
        }
        let slots: [u32; 2] = slots.try_into().ok()?;
        let differ = log.check(slots[0] != slots[1], "client-slots", || {
            let text = format!(
                "RootfsPartA and RootfsPartB are both partition {}",
                slots[0]
            );
            (Location::partition(data).path("/mender/mender.conf"), text)
        });
        differ.then_some(slots)
    }

    /// Both values as the client reads them.
    pub(super) fn slot_paths(&self, roles: &Roles) -> [String; 2] {
        let mut quiet = Log::default();
        let mut merged = self.client_config(roles.data, "/mender/mender.conf", &mut quiet);
        merged.extend(self.client_config(roles.a, "/etc/mender/mender.conf", &mut quiet));
        ["RootfsPartA", "RootfsPartB"].map(|key| {
            merged
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        })
    }

    fn client_config(&self, number: u32, path: &str, log: &mut Log) -> Map<String, Value> {
        let Some(bytes) = self.files(number).and_then(|files| read(&files.tree, path)) else {
            return Map::new();
        };
        match serde_json::from_slice(&bytes) {
            Ok(map) => map,
            Err(e) => {
                log.error(
                    "client-conf",
                    Location::partition(number).path(path),
                    format!("it is not a JSON object: {e}"),
                );
                Map::new()
            }
        }
    }

    fn names(&self) -> String {
        let one = |part: &DiskPartition| {
            format!(
                "{} is {}",
                part.number,
                self.table.partuuid(part.number).unwrap_or_default()
            )
        };
        self.parts.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

/// The content of a file of at most 4 MiB; `None` if it is missing, larger or unreadable.
pub(super) fn read(tree: &Tree, path: &str) -> Option<Vec<u8>> {
    tree.read(path, 4 * MIB).ok().flatten()
}

/// The partition among `others` that contains the same ext filesystem as `source`, and its files,
/// which need not be read again. If it is `known`, nothing is compared.
fn identical_filesystem(
    source: &Source,
    known: Option<u32>,
    others: &[DiskPartition],
) -> Option<(u32, PartitionFiles)> {
    others.iter().find_map(|other| {
        let files = other
            .files
            .as_ref()
            .filter(|files| !files.is_fat && source.len() >= files.size)?;
        let same = known == Some(other.number)
            || matches!(
                slots::difference(&*other.source, &**source, files.size),
                Ok(None)
            );
        let (uuid, label) = (files.uuid.clone(), files.label.clone());
        let ext = files.ext.clone();
        same.then(|| {
            (
                other.number,
                PartitionFiles {
                    tree: Arc::clone(&files.tree),
                    size: files.size,
                    uuid,
                    label,
                    is_fat: false,
                    ext,
                },
            )
        })
    })
}

/// Checks and reads an ext filesystem, both at once. That it cannot be read is a finding unless
/// there is one.
fn ext_files(source: &Source, number: u32, log: &mut Log) -> Option<PartitionFiles> {
    let before = log.errors();
    let files = std::thread::scope(|scope| {
        let files = scope.spawn(|| read_ext(source));
        ext4::check(&**source, Some(number), log);
        joined(files)
    });
    if log.errors() == before {
        readable(files, number, log)
    } else {
        files.ok()
    }
}

/// Reads an ext filesystem.
fn read_ext_files(source: &Source, number: u32, log: &mut Log) -> Option<PartitionFiles> {
    readable(read_ext(source), number, log)
}

/// The files, if they could be read; otherwise that is a finding.
fn readable(
    files: Result<PartitionFiles, ReadError>,
    number: u32,
    log: &mut Log,
) -> Option<PartitionFiles> {
    let unread = |error| {
        log.error(
            "ext4-files",
            Location::partition(number),
            format!("its files cannot be read: {error}"),
        );
    };
    files.map_err(unread).ok()
}

fn read_ext(source: &Source) -> Result<PartitionFiles, ReadError> {
    let filesystem = Filesystem::open(Arc::clone(source))?;
    let (info, tree) = (filesystem.info(), filesystem.tree()?);
    Ok(PartitionFiles {
        tree: Arc::new(tree),
        size: info.blocks.saturating_mul(info.block_size),
        uuid: info.uuid.to_string(),
        label: String::from_utf8_lossy(&info.label).into_owned(),
        is_fat: false,
        ext: Some(info),
    })
}

/// Checks and reads a FAT filesystem.
fn fat_files(source: &Source, number: u32, log: &mut Log) -> Option<PartitionFiles> {
    log.group(format!("FAT on partition {number}"));
    let before = log.errors();
    fat::check(&**source, Some(number), log);
    match crate::fs::fat::read(Arc::clone(source)) {
        Ok((tree, info)) => Some(PartitionFiles {
            tree: Arc::new(tree),
            size: info.size,
            uuid: format!(
                "{:04x}-{:04x}",
                info.volume_id >> 16,
                info.volume_id & 0xFFFF
            ),
            label: info.label.unwrap_or_default(),
            is_fat: true,
            ext: None,
        }),
        Err(e) => {
            if log.errors() == before {
                log.error(
                    "fat-files",
                    Location::partition(number),
                    format!("its files cannot be read: {e}"),
                );
            }
            None
        }
    }
}
