//! From decisions to an answer.

use super::choose::{Choice, LeftOut, text};
use super::rules::{self, Fact, Rule};
use super::solution::{Chosen, Removed, Solution, Why};
use super::universe::{Change, ItemId, Origin, Universe};
use super::{explain, wants, words};

/// How many recommended packages that were left out have a reason of their own.
const EXPLAINED: usize = 40;

/// What the decisions mean for the caller.
pub(super) fn solution(universe: &Universe, mut choice: Choice) -> Solution {
    let mut notes = installed_already(universe, &choice);
    if universe.request.recommends {
        let left_out = choice.recommend();
        notes.extend(left_out_notes(universe, &mut choice, &left_out));
    } else {
        notes.extend(not_asked(universe, &choice));
    }
    let mut packages = Vec::new();
    let mut removed = Vec::new();
    let mut order: Vec<&(ItemId, Why)> = choice.order.iter().collect();
    order.sort_by_key(|(item, _)| universe.items[*item].slot);
    for (item, why) in order {
        match universe.items[*item].origin {
            Origin::Candidate(candidate) => packages.push(Chosen {
                candidate,
                why: match why {
                    Why::Upgraded { from, .. } => Why::Upgraded {
                        from: from.clone(),
                        why: universe.slots[universe.items[*item].slot]
                            .installed
                            .map(|installed| why_not(universe, &choice, installed))
                            .unwrap_or_default(),
                    },
                    other => other.clone(),
                },
            }),
            Origin::Absent => removed.extend(removal(universe, &choice, *item)),
            Origin::Installed(_) => {}
        }
    }
    Solution {
        packages,
        removed,
        notes,
    }
}

/// The removal of an installed package.
fn removal(universe: &Universe, choice: &Choice, absent: ItemId) -> Option<Removed> {
    let installed = universe.slots[universe.items[absent].slot].installed?;
    let Origin::Installed(at) = universe.items[installed].origin else {
        return None;
    };
    Some(Removed {
        installed: at,
        why: why_not(universe, choice, installed),
    })
}

/// Why an installed package cannot stay with what is decided.
fn why_not(universe: &Universe, choice: &Choice, installed: ItemId) -> String {
    let of_decided = choice
        .decided()
        .find_map(|item| contradicted(universe, choice, item, installed));
    let own = || {
        let rules = rules::of_item(universe, installed).into_iter();
        rules.into_iter().find_map(|(fact, rule)| match rule {
            Rule::NoneOf(_, items) => {
                let other = choice.decided().find(|item| items.contains(item))?;
                let (fact, other) = (words::fact(universe, fact)?, words::one(universe, other));
                Some(format!("{fact}, and {other} is to be installed"))
            }
            Rule::OneOf(items) => {
                let holds = choice.decided().any(|item| items.contains(&item));
                let fact = words::fact(universe, fact)?;
                (!holds).then(|| format!("{fact}, which changes"))
            }
        })
    };
    of_decided.or_else(own).unwrap_or_default()
}

/// The fact about a decided package that an installed one contradicts.
fn contradicted(
    universe: &Universe,
    choice: &Choice,
    item: ItemId,
    installed: ItemId,
) -> Option<String> {
    let slot = universe.items[installed].slot;
    let in_its_place = choice
        .decided()
        .find(|item| universe.items[*item].slot == slot)?;
    rules::of_item(universe, item)
        .into_iter()
        .find_map(|(fact, rule)| {
            let contradicts = match rule {
                Rule::NoneOf(_, items) => items.contains(&installed),
                Rule::OneOf(items) => {
                    items.contains(&in_its_place)
                        && !items.contains(&installed)
                        && item != in_its_place
                }
            };
            contradicts.then(|| words::fact(universe, fact)).flatten()
        })
}

/// Wanted packages whose best version is installed.
fn installed_already(universe: &Universe, choice: &Choice) -> Vec<String> {
    let mut out = Vec::new();
    for item in choice.decided() {
        let slot = &universe.slots[universe.items[item].slot];
        if slot.wanted
            && matches!(slot.change, Change::Version { .. })
            && universe.is_installed(item)
        {
            let facts = universe.items[item].facts;
            out.push(format!(
                "{} {} is installed already",
                facts.name, facts.version
            ));
        }
    }
    out
}

fn left_out_notes(universe: &Universe, choice: &mut Choice, left_out: &[LeftOut]) -> Vec<String> {
    let mut out = Vec::new();
    for (at, one) in left_out.iter().enumerate() {
        // A later recommendation may have brought it.
        if choice.decided().any(|item| one.satisfying.contains(&item)) {
            continue;
        }
        let facts = universe.items[one.by].facts;
        let group = facts.recommends.0.get(one.group);
        let group = group.map(|group| text(group)).unwrap_or_default();
        let head = format!("{} recommends {group}, which is left out", facts.name);
        if one.satisfying.is_empty() {
            out.push(format!("{head}: no repository has it"));
        } else if at < EXPLAINED {
            let (roots, found) = choice.against(one);
            let reason = found.map(|found| {
                let mut groups = explain::fewest(universe, &roots, found);
                groups.retain(|group| !matches!(group[..], [Fact::Recommended(..), ..]));
                words::reason(universe, &roots, &groups)
            });
            out.push(format!("{head}: {}", reason.unwrap_or_default()));
        } else {
            out.push(head);
        }
    }
    out
}

/// The recommendations that do not hold, if none was asked for.
fn not_asked(universe: &Universe, choice: &Choice) -> Option<String> {
    let mut none = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for (item, _) in &choice.order {
        for one in choice.recommended(*item, &mut none) {
            let first = one
                .satisfying
                .first()
                .map(|item| universe.items[*item].facts.name.clone());
            names.extend(first);
        }
    }
    names.sort();
    names.dedup();
    (!names.is_empty()).then(|| {
        format!(
            "recommended packages are not asked for: {} {} left out",
            wants::list(&names),
            if names.len() == 1 { "is" } else { "are" }
        )
    })
}
