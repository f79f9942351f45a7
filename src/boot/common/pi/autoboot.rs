//! `autoboot.txt`: the partition that the firmware starts from.

use super::firmware;
use crate::problem::Problem;
use crate::tree::Tree;

/// The lines that start another partition than the one with the number `golden`, which is
/// converted: `[tryboot]` and all other sections included. With 0 the firmware starts from the
/// first partition that it can.
pub(in crate::boot) fn check(boot: &Tree, golden: Option<u32>) -> Vec<Problem> {
    let text = firmware::text(boot, "autoboot.txt").unwrap_or_default();
    let mut problems = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if firmware::name(line) != "boot_partition" {
            continue;
        }
        let number = line
            .split_once('=')
            .map(|(_, value)| value.trim().parse::<u32>());
        if let (Some(Ok(number)), Some(golden)) = (number, golden)
            && number != golden
            && number != 0
        {
            let text = format!(
                "autoboot.txt:{}: boot_partition={number}: the firmware starts from partition \
                 {number}, the conversion would start from partition {golden}",
                at + 1
            );
            let hint =
                format!("set boot.partition to {number}, or remove the line in the golden image");
            problems.push(Problem::new(text).hint(hint));
        }
    }
    problems
}
