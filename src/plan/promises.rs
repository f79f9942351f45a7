//! What the golden root filesystem promised and a new one keeps or does not: settings of its
//! superblock, mount options that need a feature, protections of files.

use super::filesystems::{DataPlan, RootPlan};
use super::host::HostFiles;
use super::mount_options::{LostOption, without};
use crate::config::Config;
use crate::fs::ext4::MountSettings;
use crate::fs::ext4::format::ro_compat;
use crate::fs::ext4::read::Info;
use crate::golden::Golden;
use crate::golden::fstab::{FstabLine, same_dir};
use crate::platform::Bootloader;
use crate::problem::{Problem, Problems};
use crate::stamp::Stamp;
use crate::tree::{Tree, show};

/// The size limit of `/etc/fstab` (bytes).
const TEXT_LIMIT: u64 = 4 << 20;
/// Paths that a note names.
const NAMED: usize = 3;

const NO_QUOTA: &str = "the quotas that the golden filesystem keeps in itself (feature quota) are \
                        not carried over: no limits hold and nothing is counted";
const NO_PROJECT: &str =
    "the filesystem has no feature project, and Linux refuses to mount it with this option";
const NO_ENCRYPTION: &str =
    "the filesystem has no feature encrypt, and Linux refuses to mount it with this option";
const OWN_JOURNAL: &str =
    "the filesystem has its journal in itself, and Linux refuses to mount it with this option";
const OTHER_COPY: &str = "copies of the superblock are elsewhere in the new filesystem";
const OTHER_MODE: &str = "the superblock has another default mode, and Linux cannot change the \
                          mode when it mounts the root filesystem again";

/// Options that no filesystem made here can be mounted with.
const NEVER: [LostOption; 4] = [
    LostOption::new("test_dummy_encryption", NO_ENCRYPTION),
    LostOption::new("journal_dev", OWN_JOURNAL),
    LostOption::new("journal_path", OWN_JOURNAL),
    LostOption::new("sb", OTHER_COPY),
];

/// The options that a filesystem made from one with `info` cannot be mounted with.
fn lost(info: &Info) -> Vec<LostOption> {
    let has = |bit: u32| info.ro_compat.word & bit != 0;
    let mut lost = NEVER.to_vec();
    if has(ro_compat::QUOTA) {
        let options = [
            "prjquota",
            "usrquota",
            "grpquota",
            "quota",
            "usrjquota",
            "grpjquota",
            "jqfmt",
        ];
        lost.extend(options.map(|name| LostOption::new(name, NO_QUOTA)));
    } else if !has(ro_compat::PROJECT) {
        lost.push(LostOption::new("prjquota", NO_PROJECT));
    }
    lost
}

/// The filesystems of root and data, with what they keep of the golden one and which mount options
/// they lose, and notes.
///
/// # Errors
/// Options of the configuration that the new filesystems cannot be mounted with.
pub(super) fn filesystems(
    config: &Config,
    golden: &Golden,
    host: &HostFiles,
    stamp: &Stamp,
    loader: Bootloader,
) -> Result<(RootPlan, DataPlan, Vec<String>), Problems> {
    let mut root = RootPlan::new(config, golden, host, stamp, loader);
    let mut data = DataPlan::new(config, stamp);
    let info = &golden.root.info;
    let mut notes = Vec::new();
    root.lost_options = lost(info);
    data.lost_options = NEVER.to_vec();
    data.lost_options
        .push(LostOption::new("prjquota", NO_PROJECT));
    root.filesystem.project = info.ro_compat.word & ro_compat::PROJECT != 0;
    root.filesystem.reserved_percent = reserved_percent(info);
    root.filesystem.mount = settings(info, &root.lost_options, &mut notes);
    data_mode(config, &golden.root.tree, &mut root, &mut notes);
    notes.extend(said(golden));
    let mut problems = Problems::default();
    for (key, options, lost) in [
        ("root.options", &root.options, &root.lost_options),
        ("data.options", &data.options, &data.lost_options),
    ] {
        let (_, gone) = without(options.as_deref().unwrap_or_default(), lost);
        problems.0.extend(gone.into_iter().map(|(option, why)| {
            Problem::new(format!("{key}: option {option}: {why}"))
                .hint(format!("take {option} out of {key}"))
        }));
    }
    for word in &config.root.kernel_args {
        problems.0.extend(argument(word, &root.lost_options));
    }
    problems.check()?;
    Ok((root, data, notes))
}

/// The problem of a kernel argument with which the root filesystem could not be mounted.
fn argument(word: &str, lost: &[LostOption]) -> Option<Problem> {
    let key = "root.kernel-args";
    if let Some(flags) = word.strip_prefix("rootflags=") {
        let (_, gone) = without(flags, lost);
        let (option, why) = gone.into_iter().next()?;
        return Some(
            Problem::new(format!("{key}: option {option} of rootflags: {why}"))
                .hint(format!("take {option} out of {key}")),
        );
    }
    let kinds = word.strip_prefix("rootfstype=")?;
    let fits = kinds.split(',').any(|kind| kind == "ext4");
    (!fits).then(|| {
        Problem::new(format!("{key}: {word}, but the root filesystem is ext4"))
            .hint("set rootfstype=ext4, or leave it out")
    })
}

/// The reserved share of a filesystem, in whole percent.
fn reserved_percent(info: &Info) -> u32 {
    let blocks = info.blocks.max(1);
    let percent = (info.reserved_blocks.saturating_mul(100) + blocks / 2) / blocks;
    u32::try_from(percent.min(50)).unwrap_or(50)
}

/// The settings of the golden superblock, without options that are lost.
fn settings(info: &Info, lost: &[LostOption], notes: &mut Vec<String>) -> MountSettings {
    let mut settings = info.mount.clone();
    if !(1..=3).contains(&settings.errors) {
        settings.errors = MountSettings::default().errors;
    }
    let text = String::from_utf8_lossy(&settings.options).into_owned();
    let (kept, gone) = without(&text, lost);
    for (option, why) in gone {
        notes.push(format!(
            "root filesystem: option {option} of the superblock is dropped: {why}"
        ));
        settings.options = kept.clone().into_bytes();
    }
    settings
}

/// Makes the mode that the mount options of root ask for the default one of the superblock: the
/// kernel has mounted the root filesystem before it sees `/etc/fstab`, and never changes the mode
/// afterwards.
fn data_mode(config: &Config, golden: &Tree, root: &mut RootPlan, notes: &mut Vec<String>) {
    let Some(options) = config.root.options.clone().or_else(|| root_options(golden)) else {
        return;
    };
    let Some(wanted) = options
        .split(',')
        .rev()
        .find_map(|option| option.strip_prefix("data="))
    else {
        return;
    };
    let mount = &mut root.filesystem.mount;
    match mount.data_mode() {
        Some(mode) if mode == wanted => {}
        Some(_) => root.lost_options.push(LostOption::new("data", OTHER_MODE)),
        None if wanted == "ordered" => {}
        None if mount.set_data_mode(wanted) => notes.push(format!(
            "root filesystem: data={wanted} of its mount options becomes a default of its \
             superblock, because Linux cannot change the mode when it mounts it again"
        )),
        None => root.lost_options.push(LostOption::new("data", OTHER_MODE)),
    }
}

/// The options of `/` in the golden `/etc/fstab`.
fn root_options(golden: &Tree) -> Option<String> {
    let text = golden.read("/etc/fstab", TEXT_LIMIT).ok().flatten()?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let mut lines = text.lines().filter_map(FstabLine::parse);
    let line = lines.find(|line| same_dir("/", line.dir))?;
    Some(line.options.to_owned())
}

/// What is lost whatever the options are.
fn said(golden: &Golden) -> Vec<String> {
    let info = &golden.root.info;
    let mut notes = Vec::new();
    if info.ro_compat.word & ro_compat::QUOTA != 0 {
        notes.push(format!("root filesystem: {NO_QUOTA}"));
    }
    let verity = &golden.root.losses.verity;
    if !verity.is_empty() {
        let named: Vec<String> = verity.iter().take(NAMED).map(|path| show(path)).collect();
        let more = match verity.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        notes.push(format!(
            "root filesystem: fs-verity of {}{more} is not carried over: the content is the same, but nothing \
             protects it; enable it again on the device",
            named.join(", ")
        ));
    }
    if !matches!(info.max_mount_count, 0 | u16::MAX) {
        notes.push(format!(
            "root filesystem: its check after {} mounts is not carried over (tune2fs -c)",
            info.max_mount_count
        ));
    }
    if info.check_interval != 0 {
        notes.push(format!(
            "root filesystem: its check every {} days is not carried over (tune2fs -i)",
            info.check_interval / 86_400
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_that_do_not_fit_the_root_filesystem_are_problems() {
        for good in [
            "quiet",
            "rootflags=noatime",
            "rootfstype=ext4",
            "rootfstype=btrfs,ext4",
        ] {
            assert_eq!(argument(good, &NEVER), None, "{good}");
        }
        for (bad, what) in [
            ("rootflags=noatime,sb=8193", "option sb=8193 of rootflags"),
            ("rootfstype=ext3", "rootfstype=ext3, but"),
        ] {
            let problem = argument(bad, &NEVER).unwrap();
            assert!(problem.message.contains(what), "{problem}");
        }
    }
}
