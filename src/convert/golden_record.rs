//! The part of a record that says what became of the golden image's partitions.

use super::Prepared;
use serde::Serialize;

/// A partition of the golden image; offsets and sizes in bytes.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct GoldenPartitionRecord {
    /// The number in its table, from 1.
    pub number: u32,
    /// The offset of the first byte.
    pub start: u64,
    /// The length (bytes).
    pub size: u64,
    /// The type: a GUID, or the type byte of an MBR.
    #[serde(rename = "type")]
    pub kind: String,
    /// The name in a GPT.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The format of its content.
    pub content: String,
    /// The label of its filesystem.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// Bytes in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<u64>,
    /// The names in its top directory, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<String>,
    /// Why its files cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
    /// Everything that mounts it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<MountRecord>,
    /// `boot`, `root`, `copied`, `merged`, `data` or `dropped`.
    pub fate: &'static str,
    /// The directory of its files on the device, if they are merged or on the data partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Whether the configuration decided.
    pub configured: bool,
}

/// A mount of a partition.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MountRecord {
    /// The mount point; `none` for swap space.
    pub dir: String,
    /// The file and line, or the unit, that mounts it.
    pub by: String,
}

/// Bytes of the golden image outside its partitions and its table that are not all zero.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AreaRecord {
    /// The offset of the first byte.
    pub start: u64,
    /// The number of bytes.
    pub size: u64,
    /// `copied` or `dropped`.
    pub fate: &'static str,
}

/// All partitions, in the order of the table.
pub(super) fn partitions(prepared: &Prepared) -> Vec<GoldenPartitionRecord> {
    let golden = &prepared.golden;
    let plans = &prepared.plan.partitions.partitions;
    let disk = golden.disk.partitions.iter().zip(&golden.partitions);
    disk.zip(plans)
        .map(|((partition, facts), plan)| {
            let contents = &facts.contents;
            let mounts = facts.mounts.iter().map(|mount| MountRecord {
                dir: mount.dir.clone(),
                by: mount.by.clone(),
            });
            GoldenPartitionRecord {
                number: partition.number,
                start: partition.start,
                size: partition.len,
                kind: partition.kind.to_string(),
                name: partition.name.clone(),
                content: contents.format.clone(),
                label: contents.label.clone(),
                used: contents.used,
                entries: contents.entries.clone(),
                unreadable: contents.unreadable.clone(),
                mounts: mounts.collect(),
                fate: plan.fate.name(),
                path: plan.fate.path().map(str::to_owned),
                configured: plan.configured,
            }
        })
        .collect()
}

/// All areas, by offset.
pub(super) fn areas(prepared: &Prepared) -> Vec<AreaRecord> {
    let areas = prepared.plan.partitions.areas.iter();
    areas
        .map(|area| AreaRecord {
            start: area.range.start,
            size: area.range.end.saturating_sub(area.range.start),
            fate: if area.copied { "copied" } else { "dropped" },
        })
        .collect()
}
