//! The configuration that a kernel was built with (`/boot/config-VERSION`), as far as starting one
//! of two root filesystems depends on it.

use super::Judge;
use super::note::StartupNote;
use crate::edit::Workspace;
use crate::plan::Plan;
use crate::platform::TableKind;
use crate::tree::{DirEntry, Tree};
use std::collections::BTreeMap;

/// The settings of a kernel: its value, and its line.
type Config = BTreeMap<String, (String, usize)>;

/// Judges the kernel at this path, which starts first.
pub(in crate::edit) fn check(work: &mut Workspace<'_>, plan: &Plan, kernel: &str) {
    let mut judge = Judge::new(&plan.accepted, work.root.tree());
    let root = work.root.tree();
    let Some(version) = version(root, kernel) else {
        return;
    };
    let path = format!("/boot/config-{version}");
    let config = read(&judge.lines(root, &path));
    for (name, why) in faults(&config, plan.family.scheme) {
        let line = config.get(name).map_or(0, |(_, line)| *line);
        let advice = "install a kernel that was built for it in the golden image";
        judge.problem(&path, line, &why, advice);
    }
    modules(root, &path, &version, &config, &mut judge);
    judge.finish(work);
}

/// Judges whether the modules are there by which a kernel mounts the boot partition.
fn modules(root: &Tree, path: &str, version: &str, config: &Config, judge: &mut Judge) {
    let wanted = fat_modules(config);
    let Some((setting, _, line)) = wanted.first() else {
        return;
    };
    if !has_module(root, version, "") {
        if !judge.accepted(&[path]) {
            let text = format!(
                "FAT is a module of this kernel ({setting}=m), but /lib/modules/{version} has no modules: unless the initial RAM disk loads it, the boot partition, where the boot environment is, cannot be mounted"
            );
            judge.notes.push(StartupNote::at(path, *line, &text));
        }
        return;
    }
    for (setting, module, line) in wanted {
        if !has_module(root, version, module) {
            let why = format!(
                "{module} is a module of this kernel ({setting}=m), but /lib/modules/{version} does not have it: the boot partition, where the boot environment is, could not be mounted"
            );
            let advice = "install the modules of the kernel in the golden image";
            judge.problem(path, line, &why, advice);
        }
    }
}

/// The modules without which a kernel with this configuration does not mount a FAT filesystem: the
/// setting, the name of the file up to its kind of compression, and the line. The tables of
/// characters are those that it takes without mount options.
fn fat_modules(config: &Config) -> Vec<(String, &'static str, usize)> {
    let value = |name: &str| config.get(name).map_or("", |(value, _)| value.as_str());
    let mut wanted = vec![
        ("CONFIG_FAT_FS".to_owned(), "fat.ko"),
        ("CONFIG_VFAT_FS".to_owned(), "vfat.ko"),
    ];
    if value("CONFIG_FAT_DEFAULT_CODEPAGE") == "437" {
        wanted.push(("CONFIG_NLS_CODEPAGE_437".to_owned(), "nls_cp437.ko"));
    }
    wanted.extend(match value("CONFIG_FAT_DEFAULT_IOCHARSET") {
        "ascii" => Some(("CONFIG_NLS_ASCII".to_owned(), "nls_ascii.ko")),
        "iso8859-1" => Some(("CONFIG_NLS_ISO8859_1".to_owned(), "nls_iso8859-1.ko")),
        "utf8" => Some(("CONFIG_NLS_UTF8".to_owned(), "nls_utf8.ko")),
        _ => None,
    });
    let modules = wanted.into_iter().filter_map(|(setting, module)| {
        let (value, line) = config.get(&setting)?;
        (value == "m").then_some((setting, module, *line))
    });
    modules.collect()
}

/// The version of a kernel: that in the name of its file.
fn version(root: &Tree, kernel: &str) -> Option<String> {
    let real = super::real(root, kernel);
    let name = real.rsplit('/').next()?;
    let version = name.split_once('-')?.1;
    Some(version.to_owned())
}

fn read(lines: &[(usize, String)]) -> Config {
    let mut config = Config::new();
    for (at, line) in lines {
        let off = line
            .strip_prefix("# ")
            .and_then(|line| line.strip_suffix(" is not set"));
        let set = line.split_once('=').filter(|_| line.starts_with("CONFIG_"));
        let (name, value) = match (off, set) {
            (Some(name), _) => (name, "n"),
            (_, Some((name, value))) => (name, value.trim_matches('"')),
            _ => continue,
        };
        config.insert(name.to_owned(), (value.to_owned(), *at));
    }
    config
}

/// Settings by which a slot does not start, or no update is kept, with the reason.
fn faults(config: &Config, table: TableKind) -> Vec<(&'static str, String)> {
    let is = |name: &str, wanted: &str| config.get(name).is_some_and(|(value, _)| value == wanted);
    let mut out = Vec::new();
    for name in ["CONFIG_CMDLINE_FORCE", "CONFIG_CMDLINE_OVERRIDE"] {
        if is(name, "y") {
            let own = config.get("CONFIG_CMDLINE").map_or("", |(value, _)| value);
            out.push((
                name,
                format!(
                    "this kernel takes its own arguments (`{own}`) and none of the boot loader, which chooses the root filesystem by them"
                ),
            ));
        }
    }
    let needed = [
        ("CONFIG_EXT4_FS", "ext4, which both root filesystems are"),
        (
            "CONFIG_VFAT_FS",
            "FAT, which the boot partition with the boot environment is",
        ),
    ];
    let partitions = match table {
        TableKind::Gpt => ("CONFIG_EFI_PARTITION", "a GPT, which the disk has"),
        TableKind::Mbr => ("CONFIG_MSDOS_PARTITION", "an MBR, which the disk has"),
    };
    for (name, what) in needed.into_iter().chain([partitions]) {
        if is(name, "n") {
            out.push((name, format!("this kernel cannot read {what}")));
        }
    }
    out
}

/// Whether the modules of a kernel have one whose name begins so, compressed or not.
fn has_module(root: &Tree, version: &str, name: &str) -> bool {
    let Some(dir) = root.dir(format!("/lib/modules/{version}")) else {
        return false;
    };
    let mut todo = vec![dir];
    while let Some(dir) = todo.pop() {
        for (file, entry) in &dir.entries {
            match entry {
                DirEntry::Dir(below) => todo.push(below),
                DirEntry::Leaf(_) if is_named(file, name) => return true,
                DirEntry::Leaf(_) => {}
            }
        }
    }
    false
}

/// Whether a file is a module whose name begins so.
fn is_named(file: &[u8], name: &str) -> bool {
    let file = String::from_utf8_lossy(file);
    file.starts_with(name) && file.contains(".ko")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::Time;
    use crate::tree::Stat;

    #[test]
    fn modules_are_found_compressed_or_not() {
        let stat = |mode| Stat::root(mode, Time::default());
        let mut root = Tree::new(stat(0o755));
        let dir = "/lib/modules/6.1.0";
        let mut put = |path: &str| {
            let path = format!("{dir}/{path}");
            root.put_file(&path, Vec::new(), stat(0o644)).unwrap();
            ["", "vfat.ko"].map(|name| has_module(&root, "6.1.0", name))
        };
        assert_eq!(put("modules.dep"), [false, false]);
        assert_eq!(put("kernel/fs/ext4/ext4.ko"), [true, false]);
        assert_eq!(put("kernel/fs/fat/vfat.ko.xz"), [true, true]);
    }

    #[test]
    fn modules_that_mounting_the_boot_partition_takes() {
        let text = "CONFIG_FAT_FS=m\nCONFIG_VFAT_FS=m\nCONFIG_FAT_DEFAULT_CODEPAGE=437\nCONFIG_FAT_DEFAULT_IOCHARSET=\"ascii\"\nCONFIG_NLS_CODEPAGE_437=m\nCONFIG_NLS_ASCII=y\n";
        let lines: Vec<_> = (1..).zip(text.lines().map(str::to_owned)).collect();
        let found = fat_modules(&read(&lines));
        let found: Vec<_> = found
            .iter()
            .map(|(_, module, line)| (*module, *line))
            .collect();
        assert_eq!(found, [("fat.ko", 1), ("vfat.ko", 2), ("nls_cp437.ko", 5)]);
        assert!(fat_modules(&Config::new()).is_empty());
    }

    #[test]
    fn settings_by_which_a_slot_does_not_start() {
        let text = "# x\nCONFIG_CMDLINE=\"root=/dev/mmcblk0p2\"\nCONFIG_CMDLINE_FORCE=y\n# CONFIG_EXT4_FS is not set\nCONFIG_VFAT_FS=m\n# CONFIG_EFI_PARTITION is not set\n";
        let lines: Vec<_> = (1..).zip(text.lines().map(str::to_owned)).collect();
        let config = read(&lines);
        let found = |table| -> Vec<&str> {
            let found = faults(&config, table);
            found.into_iter().map(|(name, _)| name).collect()
        };
        let mbr = ["CONFIG_CMDLINE_FORCE", "CONFIG_EXT4_FS"];
        assert_eq!(found(TableKind::Mbr), mbr);
        assert_eq!(
            found(TableKind::Gpt),
            [&mbr[..], &["CONFIG_EFI_PARTITION"]].concat()
        );
        assert_eq!(config["CONFIG_EXT4_FS"].1, 4);
        assert!(faults(&Config::new(), TableKind::Gpt).is_empty());
    }
}
