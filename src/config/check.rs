//! Rules that involve several keys, and ranges that a type cannot express.

use super::schema::Config;
use super::words::{Compression, ImageFormat, RawSource, TableChoice};
use super::{DiskId, RootFilesystemSize};
use crate::problem::{Problem, Problems};
use crate::units::{GIB, MIB, SECTOR, human};

/// Adds a problem for each broken rule.
pub(super) fn check(config: &Config) -> Result<(), Problems> {
    let mut checker = Checker {
        config,
        problems: Problems::default(),
    };
    sizes(&mut checker);
    identities(&mut checker);
    levels(&mut checker);
    for (at, raw) in config
        .raw
        .iter()
        .enumerate()
        .filter(|(_, raw)| raw.from == RawSource::Image && !raw.file.given.starts_with('/'))
    {
        checker.add(
            &format!("raw[{at}].file"),
            &format!("`{}` is not an absolute path of the image", raw.file.given),
        );
    }
    entries(&mut checker);
    text_edits(&mut checker);
    units(&mut checker);
    if config
        .output
        .name
        .as_ref()
        .is_some_and(|name| name.contains('/'))
    {
        checker.add(
            "output.name",
            "contains a `/`; use --output-dir to set the directory",
        );
    }
    checker.problems.check()
}

struct Checker<'c> {
    config: &'c Config,
    problems: Problems,
}

impl Checker<'_> {
    /// Adds a problem of `key`, at the location where it is set.
    fn add(&mut self, key: &str, what: &str) {
        let location = self.config.location(key).map_or_else(
            || format!("default: {key}"),
            |location| location.with_key(key),
        );
        self.problems
            .push(Problem::new(format!("{location}: {what}")));
    }
}

/// `[[partition]]` and `[[accept]]`.
fn entries(checker: &mut Checker<'_>) {
    let config = checker.config;
    for (at, partition) in config.partition.iter().enumerate() {
        if partition.number.is_none() && partition.label.is_none() {
            let what = "names no partition: set `number` or `label`";
            checker.add(&format!("partition[{at}].do"), what);
        }
    }
    for (at, accept) in config.accept.iter().enumerate() {
        if !accept.file.starts_with('/') {
            checker.add(
                &format!("accept[{at}].file"),
                &format!("`{}` is not an absolute path of the image", accept.file),
            );
        }
    }
}

/// `[[rootfs.edit]]`: each says one thing, and all of it.
fn text_edits(checker: &mut Checker<'_>) {
    for (at, edit) in checker.config.rootfs.edit.iter().flatten().enumerate() {
        let wrong = super::text_edit::wrong(edit);
        for (key, what) in wrong {
            checker.add(&format!("rootfs.edit[{at}].{key}"), &what);
        }
    }
}

/// `[systemd]`: one list has a unit once. Of several files, the last one counts.
fn units(checker: &mut Checker<'_>) {
    let systemd = &checker.config.systemd;
    let lists = [
        ("enable", &systemd.enable),
        ("disable", &systemd.disable),
        ("mask", &systemd.mask),
    ];
    let mut known = std::collections::BTreeMap::new();
    for (list, units) in lists {
        for unit in units.iter().flatten() {
            if let Some(other) = known.insert(unit.clone(), list) {
                let what = match other == list {
                    true => format!("{unit} is listed twice"),
                    false => format!("{unit} is in systemd.{other} too: one of them can hold"),
                };
                checker.add(&format!("systemd.{list}"), &what);
            }
        }
    }
}

fn sizes(checker: &mut Checker<'_>) {
    let config = checker.config;
    let alignment = config.storage.alignment;
    // A smaller alignment leaves no room for the partition table before the first partition.
    if !alignment.is_power_of_two() || !(MIB..=GIB).contains(&alignment) {
        checker.add(
            "storage.alignment",
            &format!(
                "{} is not a power of two from 1 MiB to 1 GiB",
                human(alignment)
            ),
        );
    }
    let root = match config.root.size {
        Some(RootFilesystemSize::Bytes(size)) => Some(size),
        Some(RootFilesystemSize::Max) | None => None,
    };
    let is_max = config.root.size == Some(RootFilesystemSize::Max);
    if is_max && config.data.size.is_none() && config.root.slot_size.is_none() {
        let what = "takes what the root filesystem leaves, but root.size is \"max\": set \
                    root.slot-size, or one of them";
        checker.add("data.size", what);
    }
    let sizes = [
        ("storage.size", config.storage.size),
        ("boot.size", config.boot.size),
        ("root.size", root),
        ("data.size", config.data.size),
    ];
    for (key, size) in sizes {
        if size == Some(0) {
            checker.add(key, "the size is 0");
        }
    }
    let environment = config.boot.environment_size;
    if !environment.is_multiple_of(SECTOR) || environment == 0 || environment > MIB {
        checker.add(
            "boot.environment-size",
            &format!(
                "{} is not a multiple of {SECTOR} bytes up to 1 MiB",
                human(environment)
            ),
        );
    }
    let max = match config.storage.table {
        // Sector numbers have 32 bits in an MBR.
        TableChoice::Mbr => 2 << 40,
        TableChoice::Gpt | TableChoice::Keep => 1 << 50,
    };
    // The least size follows from sizes that fit.
    let total = config.storage.size.unwrap_or(max);
    if total > max {
        checker.add(
            "storage.size",
            &format!("{} exceeds the maximum of {}", human(total), human(max)),
        );
    } else if !total.is_multiple_of(SECTOR) {
        checker.add(
            "storage.size",
            &format!("{total} bytes is not a multiple of the sector size ({SECTOR} bytes)"),
        );
    }
    if config.boot.partition.is_some() && config.boot.partition == config.root.partition {
        checker.add("root.partition", "the same as boot.partition");
    }
}

fn identities(checker: &mut Checker<'_>) {
    let config = checker.config;
    let wrong = match (config.storage.table, config.storage.disk_id) {
        (TableChoice::Gpt, Some(DiskId::Mbr(_))) => {
            Some("an MBR disk ID, but storage.table is `gpt`")
        }
        (TableChoice::Mbr, Some(DiskId::Gpt(_))) => Some("a GUID, but storage.table is `mbr`"),
        _ => None,
    };
    if let Some(what) = wrong {
        checker.add("storage.disk-id", what);
    }
    let ids = &config.storage.ids;
    let disk = match config.storage.disk_id {
        Some(DiskId::Gpt(id)) => Some(id),
        _ => None,
    };
    let named = [
        ("storage.disk-id", disk),
        ("storage.ids.boot", ids.boot),
        ("storage.ids.root-a", ids.root_a),
        ("storage.ids.root-b", ids.root_b),
        ("storage.ids.data", ids.data),
    ];
    for (at, (key, id)) in named.iter().enumerate() {
        if let Some((other, _)) = named[..at]
            .iter()
            .find(|(_, taken)| id.is_some() && taken == id)
        {
            checker.add(key, &format!("the same as {other}"));
        }
    }
    if config.root.uuid.is_some() && config.root.uuid == config.data.uuid {
        checker.add("data.uuid", "the same as root.uuid");
    }
}

fn levels(checker: &mut Checker<'_>) {
    let (artifact, output) = (&checker.config.artifact, &checker.config.output);
    let payload = match artifact.compression {
        Compression::Gzip => Some((1, 9)),
        Compression::Xz => Some((0, 9)),
        Compression::Zstd => Some((1, 22)),
        Compression::None => None,
    };
    let image = match output.image {
        ImageFormat::Gz => Some((1, 9)),
        ImageFormat::Xz => Some((0, 9)),
        ImageFormat::Zst => Some((1, 22)),
        ImageFormat::Raw | ImageFormat::Qcow2 | ImageFormat::AndroidSparse | ImageFormat::None => {
            None
        }
    };
    let checks = [
        (
            "artifact.level",
            artifact.level,
            payload,
            artifact.compression.word(),
        ),
        ("output.level", output.level, image, output.image.word()),
    ];
    for (key, level, range, word) in checks {
        if let (Some(level), Some((min, max))) = (level, range)
            && !(min..=max).contains(&level)
        {
            checker.add(
                key,
                &format!("{level} is out of range: the levels of {word} are {min} to {max}"),
            );
        }
    }
}
