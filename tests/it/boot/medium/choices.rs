//! Which versions of its sectors a medium may have after a power cut.

use super::driver::Driver;
use super::fat::{Sector, is_table};
use std::collections::BTreeMap;

/// More versions of sectors than these are not combined exhaustively.
const EXHAUSTIVE: usize = 768;
/// The combinations that are drawn instead, besides the systematic ones.
const DRAWN: usize = 160;

/// The sectors that were written since the last flush, each with all its versions.
pub(crate) type Choices = Vec<(u32, Vec<Sector>)>;

pub(crate) fn choices(driver: &Driver) -> Choices {
    let mut versions: BTreeMap<u32, Vec<Sector>> = BTreeMap::new();
    for (sector, bytes) in &driver.pending {
        versions.entry(*sector).or_default().push(bytes.clone());
    }
    versions.into_iter().collect()
}

/// Combinations, each with the number of a version for each sector, 0 for what the medium has; and
/// whether they are all there are.
pub(crate) fn combinations(driver: &Driver, choices: &Choices) -> (Vec<Vec<usize>>, bool) {
    let all = choices
        .iter()
        .try_fold(1_usize, |all, (_, versions)| {
            all.checked_mul(versions.len() + 1)
        })
        .filter(|all| *all <= EXHAUSTIVE);
    match all {
        Some(all) => ((0..all).map(|number| nth(choices, number)).collect(), true),
        None => (systematic(driver, choices), false),
    }
}

/// The combination with this number.
fn nth(choices: &[(u32, Vec<Sector>)], number: usize) -> Vec<usize> {
    let mut left = number;
    choices
        .iter()
        .map(|(_, versions)| {
            let base = versions.len() + 1;
            let version = left % base;
            left /= base;
            version
        })
        .collect()
}

/// Where there are too many combinations: all cuts of the driver's own order; each sector alone,
/// and each missing alone; each pair of sectors of tables and directories; and some at random.
fn systematic(driver: &Driver, choices: &[(u32, Vec<Sector>)]) -> Vec<Vec<usize>> {
    let place: BTreeMap<u32, usize> = choices
        .iter()
        .enumerate()
        .map(|(at, (sector, _))| (*sector, at))
        .collect();
    let mut out = Vec::new();
    let mut pick = vec![0; choices.len()];
    out.push(pick.clone());
    for (sector, _) in &driver.pending {
        pick[place[sector]] += 1;
        out.push(pick.clone());
    }
    let last = pick;
    for at in 0..choices.len() {
        let mut alone = vec![0; choices.len()];
        alone[at] = last[at];
        out.push(alone);
        let mut missing = last.clone();
        missing[at] = 0;
        out.push(missing);
    }
    let tables: Vec<usize> = (0..choices.len())
        .filter(|at| is_table(choices[*at].0) || choices[*at].1.len() > 1)
        .collect();
    for one in &tables {
        for two in tables.iter().filter(|two| *two > one) {
            let mut both = vec![0; choices.len()];
            let mut neither = last.clone();
            for at in [*one, *two] {
                both[at] = last[at];
                neither[at] = 0;
            }
            out.extend([both, neither]);
        }
    }
    let mut random = (driver.pending.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for _ in 0..DRAWN {
        let drawn = choices.iter().map(|(_, versions)| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random % (versions.len() as u64 + 1)) as usize
        });
        out.push(drawn.collect());
    }
    out
}
