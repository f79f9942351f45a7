//! The boot scripts' branches, each assigned to its row of the decision table in `boot::state`.
//!
//! The scripts name no rows, so a branch could come or go without anybody looking at the table.
//! Here each branch, and each call that reads, writes or starts something, has a row; a script with
//! another sequence of them fails.

use goldsmith::boot::state::Row::{
    self, CopiesDiffer, FailedTrial, FirstTrial, NoGoodCopy, NoUpdate, NothingLoads,
    SlotDoesNotLoad, ValueOutOfRange,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A script's functions that decide, and its own lines: the steps of each with their rows. No row
/// means that the step is how something is done, whatever the row.
type Steps = &'static [(&'static str, &'static [(&'static [Row], &'static str)])];

const GRUB: Steps = &[
    (
        "read_copy",
        &[
            (
                &[ValueOutOfRange],
                r#"if [ "$mender_boot_part" = "$slot_a" -o "$mender_boot_part" = "$slot_b" ]; then"#,
            ),
            (
                &[ValueOutOfRange],
                r#"if [ "$upgrade_available" = "0" -o "$upgrade_available" = "1" ]; then"#,
            ),
            (
                &[ValueOutOfRange],
                r#"if [ "$bootcount" = "0" -o "$bootcount" = "1" ]; then"#,
            ),
            (
                &[NoGoodCopy, CopiesDiffer],
                r#"if [ "$editing" = "0" ]; then set state="good"; else set state="sane"; fi"#,
            ),
        ],
    ),
    (
        "read_both",
        &[
            (&[], "read_copy 1"),
            (&[], "read_copy 2"),
            (
                &[CopiesDiffer],
                r#"if [ "$state2" = "good" ]; then set believed="$values2"; fi"#,
            ),
            (
                &[CopiesDiffer],
                r#"if [ "$state1" = "good" ]; then set believed="$values1"; fi"#,
            ),
        ],
    ),
    (
        "settle",
        &[
            (&[], "read_both"),
            (
                &[CopiesDiffer],
                r#"if [ -n "$believed" ]; then set truth="$believed""#,
            ),
            (
                &[NoGoodCopy],
                r#"elif [ "$state1" = "sane" ]; then set truth="$values1""#,
            ),
            (
                &[NoGoodCopy],
                r#"elif [ "$state2" = "sane" ]; then set truth="$values2""#,
            ),
            (&[NoGoodCopy], r#"else set truth="$slot_a 0 0"; fi"#),
            (
                &[],
                r#"if [ "$state1" = "good" -a "$state2" = "good" -a "$values1" = "$values2" ]; then return; fi"#,
            ),
            (
                &[NoGoodCopy, CopiesDiffer],
                r#"if [ "$state2" != "good" -o "$values2" != "$truth" ]; then write_copy 2; fi"#,
            ),
            (
                &[NoGoodCopy, CopiesDiffer],
                r#"if [ "$good1" != "good" ]; then write_copy 1; fi"#,
            ),
        ],
    ),
    (
        "start",
        &[
            (
                &[SlotDoesNotLoad],
                r#"if [ "$last_resort" = "1" ]; then store "$slot" 0 0; fi"#,
            ),
            (&[], "boot"),
        ],
    ),
    (
        MAIN,
        &[
            (&[NoGoodCopy, CopiesDiffer], "settle"),
            (
                &[FirstTrial, FailedTrial],
                r#"if [ "$upgrade" = "1" ]; then"#,
            ),
            (&[FirstTrial], r#"if [ "$count" = "0" ]; then"#),
            (&[FirstTrial], r#"store "$first" 1 1"#),
            (&[FirstTrial], r#"if [ "$saved" != "1" ]; then"#),
            (&[FailedTrial], "else"),
            (&[FailedTrial], r#"store "$first" 0 0"#),
            (&[NoUpdate], r#"elif [ "$menu_seconds" != "0" ]; then"#),
            (
                &[NoUpdate],
                r#"if sleep --interruptible "$menu_seconds"; then true; else"#,
            ),
            (
                &[NoUpdate, FirstTrial, FailedTrial],
                r#"start_slot "$first""#,
            ),
            (&[SlotDoesNotLoad], r#"start_slot "$other""#),
            (&[NothingLoads], "reboot"),
        ],
    ),
];

/// Functions of GRUB's script that do something and decide nothing of the table.
const GRUB_MEANS: [&str; 5] = ["choose", "start_slot", "store", "try", "write_copy"];

const U_BOOT: Steps = &[
    (
        "mender_read",
        &[
            (
                &[NoGoodCopy, CopiesDiffer],
                "if load ${mender_boot} ${mender_at} ${mender_file} 1000; then",
            ),
            (
                &[NoGoodCopy, CopiesDiffer],
                r#"if test "${filesize}" = 1000; then"#,
            ),
            (
                &[NoGoodCopy, CopiesDiffer],
                "if cmp.b ${mender_sum} ${mender_at} 4; then",
            ),
            (
                &[ValueOutOfRange],
                r#"if test "${mender_boot_part}-${upgrade_available}${bootcount}" = "${mender_known}-${mender_state}"; then"#,
            ),
        ],
    ),
    (
        "mender_try",
        &[
            (&[], "run mender_load;"),
            (&[SlotDoesNotLoad], "if test ${mender_loaded} = yes; then"),
            (&[SlotDoesNotLoad], "if test ${mender_last} = yes; then"),
            (&[SlotDoesNotLoad], "run mender_store;"),
            (&[], "if test ${mender_command} = bootm; then"),
            (&[], "else"),
        ],
    ),
    (
        MAIN,
        &[
            (
                &[],
                r#"if test -z "${devtype}"; then setenv devtype mmc; fi"#,
            ),
            (&[], r#"if test -z "${devnum}"; then setenv devnum 0; fi"#),
            (
                &[],
                r#"if test -z "${distro_bootpart}"; then setenv distro_bootpart 1; fi"#,
            ),
            (&[], r#"if test "${mender_order}" = d2; then"#),
            (&[], "run mender_read"),
            (&[], "run mender_read"),
            (
                &[CopiesDiffer],
                "if test ${mender_good1} = yes; then setenv mender_newest 1; fi",
            ),
            (&[CopiesDiffer], "if test ${mender_good2} = yes; then"),
            (&[CopiesDiffer], "if test ${mender_good1} = yes; then"),
            (&[CopiesDiffer], "if itest ${mender_age} -gt 0; then"),
            (
                &[CopiesDiffer],
                "if itest ${mender_age} -lt 80; then setenv mender_newest 2; fi",
            ),
            (&[CopiesDiffer], "if test ${mender_newest} = 1; then"),
            (&[CopiesDiffer], "elif test ${mender_newest} = 2; then"),
            (&[NoGoodCopy], "else"),
            (&[NoGoodCopy], "run mender_store"),
            (&[NoGoodCopy], "run mender_store"),
            (
                &[],
                "if test ${mender_first} = @ROOT_B_NUMBER@; then setenv mender_other @ROOT_A_NUMBER@; fi",
            ),
            (
                &[FirstTrial, FailedTrial],
                "if test ${upgrade_available} = 1; then",
            ),
            (&[FirstTrial], "if test ${bootcount} = 0; then"),
            (&[FirstTrial], "run mender_store"),
            (&[FirstTrial], "if test ${mender_saved} = no; then"),
            (&[FailedTrial], "else"),
            (&[FailedTrial], "run mender_store"),
            (&[NoUpdate, FirstTrial, FailedTrial], "run mender_start"),
            (&[SlotDoesNotLoad], "run mender_start"),
            (&[NothingLoads], "reset"),
        ],
    ),
];

/// The same of U-Boot's script.
const U_BOOT_MEANS: [&str; 5] = [
    "mender_crc",
    "mender_import",
    "mender_load",
    "mender_start",
    "mender_store",
];

/// The name of a script's own lines, outside of functions.
const MAIN: &str = "(main)";

/// Whether a line branches, or calls something that reads, writes or starts.
fn is_step(line: &str) -> bool {
    let mut words = line.split([' ', ';']);
    let call = match words.next().unwrap_or_default() {
        "if" | "elif" | "else" => return true,
        "run" => words.next().unwrap_or_default(),
        word => word,
    };
    [
        "boot",
        "mender_load",
        "mender_read",
        "mender_start",
        "mender_store",
        "mender_try",
        "read_both",
        "read_copy",
        "reboot",
        "reset",
        "settle",
        "start_slot",
        "store",
        "write_copy",
    ]
    .contains(&call)
}

/// The steps of each function of a script, and of its own lines. A function begins with a line that
/// `begins` knows, and ends with one that `ends` knows, which may be the same.
fn steps<'t>(
    text: &'t str,
    begins: impl Fn(&'t str) -> Option<(&'t str, &'t str)>,
    ends: impl Fn(&str) -> bool,
) -> BTreeMap<&'t str, Vec<&'t str>> {
    let mut function = MAIN;
    let mut found = BTreeMap::<_, Vec<_>>::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut rest = line;
        if let Some((name, first)) = begins(line) {
            (function, rest) = (name, first);
        }
        let steps = found.entry(function).or_default();
        steps.extend(Some(rest.trim()).filter(|line| is_step(line)));
        if ends(line) {
            function = MAIN;
        }
    }
    found
}

/// Holds the steps of a script against those that have a row here.
fn compare(script: &str, found: &BTreeMap<&str, Vec<&str>>, rows: Steps, means: &[&str]) {
    let known: BTreeSet<&str> = rows.iter().map(|(name, _)| *name).collect();
    let all: BTreeSet<&str> = known.iter().chain(means).copied().collect();
    let functions: BTreeSet<&str> = found.keys().copied().collect();
    assert_eq!(functions, all, "functions of {script}");
    for (name, steps) in rows {
        let steps: Vec<&str> = steps.iter().map(|(_, line)| *line).collect();
        assert_eq!(found[name], steps, "{name} of {script}");
    }
    let steps = rows.iter().flat_map(|(_, steps)| *steps);
    let used: BTreeSet<Row> = steps.flat_map(|(rows, _)| *rows).copied().collect();
    assert_eq!(used, BTreeSet::from(Row::ALL), "rows of {script}");
}

fn device_file(path: &str) -> String {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/device");
    fs::read_to_string(dir.join(path)).unwrap()
}

#[test]
fn each_branch_of_the_grub_script_has_a_row() {
    let text = device_file("grub/stage1.cfg");
    let begins = |line| {
        let name = str::strip_prefix(line, "function ")?.strip_suffix(" {")?;
        Some((name, ""))
    };
    let found = steps(&text, begins, |line| line == "}");
    compare("stage1.cfg", &found, GRUB, &GRUB_MEANS);
}

#[test]
fn each_branch_of_the_u_boot_script_has_a_row() {
    let text = device_file("u-boot/boot.cmd");
    let begins = |line| str::strip_prefix(line, "setenv ")?.split_once(" '");
    let found = steps(&text, begins, |line| line.ends_with('\''));
    compare("boot.cmd", &found, U_BOOT, &U_BOOT_MEANS);
}
