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
        notes.extend(left_out_notes(universe, &choice, &left_out));
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
                why: why.clone(),
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

/// The removal of an installed package, with what it is in the way of.
fn removal(universe: &Universe, choice: &Choice, absent: ItemId) -> Option<Removed> {
    let slot = universe.items[absent].slot;
    let installed = universe.slots[slot].installed?;
    let Origin::Installed(at) = universe.items[installed].origin else {
        return None;
    };
    let name = universe.slots[slot].name;
    let of = |item: ItemId| {
        let facts = universe.items[item].facts;
        format!("{} {}", facts.package, facts.version)
    };
    let against = choice.decided().find_map(|item| {
        rules::of_item(universe, item)
            .into_iter()
            .find_map(|(fact, rule)| {
                let Fact::Clash(_, at, _) = fact else {
                    return None;
                };
                let (relation, breaks) = rules::clashes(universe, item).get(at).copied()?;
                let verb = if breaks { "breaks" } else { "conflicts with" };
                let hit = matches!(rule, Rule::NoneOf(_, items) if items.contains(&installed));
                hit.then(|| format!("{} {verb} {relation}", of(item)))
            })
    });
    // Or the removed package is the one that cannot be along with the new ones.
    let against = against.or_else(|| {
        rules::of_item(universe, installed)
            .into_iter()
            .find_map(|(fact, rule)| match (fact, rule) {
                (Fact::Clash(_, at, _), Rule::NoneOf(_, items)) => {
                    let other = choice.decided().find(|item| items.contains(item))?;
                    let (relation, breaks) =
                        rules::clashes(universe, installed).get(at).copied()?;
                    let verb = if breaks { "breaks" } else { "conflicts with" };
                    Some(format!(
                        "{} {verb} {relation}, and {} is to be installed",
                        of(installed),
                        of(other)
                    ))
                }
                (Fact::Need(_, at), Rule::OneOf(items)) => {
                    let holds = choice.decided().any(|item| items.contains(&item));
                    let group = rules::needs(universe, installed).get(at).copied()?;
                    (!holds).then(|| {
                        format!(
                            "{} depends on {}, which changes",
                            of(installed),
                            text(group)
                        )
                    })
                }
                _ => None,
            })
    });
    Some(Removed {
        installed: at,
        why: against.unwrap_or_else(|| format!("{name} cannot stay with what is to be installed")),
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
                facts.package, facts.version
            ));
        }
    }
    out
}

fn left_out_notes(universe: &Universe, choice: &Choice, left_out: &[LeftOut]) -> Vec<String> {
    let mut out = Vec::new();
    for (at, one) in left_out.iter().enumerate() {
        // A later recommendation may have brought it.
        if choice.decided().any(|item| one.satisfying.contains(&item)) {
            continue;
        }
        let facts = universe.items[one.by].facts;
        let group = facts.recommends.0.get(one.group);
        let group = group.map(|group| text(group)).unwrap_or_default();
        let head = format!("{} recommends {group}, which is left out", facts.package);
        if one.satisfying.is_empty() {
            out.push(format!("{head}: no repository has it"));
        } else if at < EXPLAINED {
            let roots = choice.facts_against(one);
            let found = super::solver::Solver::new(universe, None).solve(&roots);
            let reason = found.err().map(|found| {
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
                .map(|item| universe.items[*item].facts.package.clone());
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
