//! Why there is no solution: the fewest facts that contradict each other.

use super::rules::{self, Fact, Rule};
use super::solver::{Contradiction, Solver};
use super::universe::{ItemId, SlotId, Universe};
use std::collections::{BTreeMap, BTreeSet};

/// What one says about all versions of a package at once: facts with the same key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Other(Fact),
    Need(SlotId, String),
    Clash(SlotId, String, SlotId),
    Instances(SlotId, SlotId),
}

fn key(universe: &Universe, fact: Fact) -> Key {
    let slot = |item: ItemId| universe.items[item].slot;
    match fact {
        Fact::Need(item, at) => {
            let group = rules::needs(universe, item).get(at).copied().unwrap_or(&[]);
            Key::Need(slot(item), super::choose::text(group))
        }
        Fact::Clash(item, at, other) => {
            let clash = rules::clashes(universe, item).get(at).copied();
            let words = clash.map(|(relation, breaks)| format!("{breaks} {relation}"));
            Key::Clash(slot(item), words.unwrap_or_default(), other)
        }
        Fact::Instances(item, other) => Key::Instances(slot(item), other),
        other => Key::Other(other),
    }
}

/// Facts that contradict each other and of which none can be left out, in groups that one sentence
/// can state: of each, the facts of all versions of a package.
///
/// `roots` is what must hold in any case, `found` what the solver met.
pub(super) fn fewest(
    universe: &Universe,
    roots: &[(Fact, Rule)],
    found: Contradiction,
) -> Vec<Vec<Fact>> {
    let mut by_key: BTreeMap<Key, Vec<Fact>> = BTreeMap::new();
    for fact in narrowed(universe, roots, found) {
        by_key.entry(key(universe, fact)).or_default().push(fact);
    }
    let all: Vec<Vec<Fact>> = by_key.into_values().collect();
    // Which facts are left depends on the order in which they are tried: the shorter list counts.
    let mut best: Option<Vec<Vec<Fact>>> = None;
    for backwards in [false, true] {
        let mut groups = all.clone();
        if backwards {
            groups.reverse();
        }
        let mut at = 0;
        while at < groups.len() {
            let removed = groups.remove(at);
            if contradict(universe, roots, &groups.concat().into_iter().collect()).is_none() {
                groups.insert(at, removed);
                at += 1;
            }
        }
        if best.as_ref().is_none_or(|best| groups.len() < best.len()) {
            best = Some(groups);
        }
    }
    best.unwrap_or_default()
}

/// Facts that contradict each other, as few as the solver names by itself.
fn narrowed(universe: &Universe, roots: &[(Fact, Rule)], found: Contradiction) -> Contradiction {
    let mut facts = found;
    // The solver names every clause that it used, but for those of the kind "one version only",
    // which always hold. If it ever named too few, all facts are taken.
    match contradict(universe, roots, &facts) {
        Some(fewer) if fewer.len() < facts.len() => facts = fewer,
        Some(_) => return facts,
        None => return everything(universe, roots),
    }
    while let Some(fewer) = contradict(universe, roots, &facts) {
        if fewer.len() >= facts.len() {
            break;
        }
        facts = fewer;
    }
    facts
}

/// The facts that the solver names if only `facts` count; `None` if they do not contradict.
pub(super) fn contradict(
    universe: &Universe,
    roots: &[(Fact, Rule)],
    facts: &BTreeSet<Fact>,
) -> Option<Contradiction> {
    let mut solver = Solver::new(universe, Some(facts));
    let roots = roots.iter().filter(|(fact, _)| facts.contains(fact));
    solver.solve(roots).err()
}

fn everything(universe: &Universe, roots: &[(Fact, Rule)]) -> Contradiction {
    let mut facts: Contradiction = roots.iter().map(|(fact, _)| *fact).collect();
    let mut reached: BTreeSet<ItemId> = BTreeSet::new();
    let mut queue: Vec<ItemId> = Vec::new();
    let mut lead = |rule: &Rule, queue: &mut Vec<ItemId>| {
        if let Rule::OneOf(items) = rule {
            queue.extend(items.iter().filter(|item| reached.insert(**item)));
        }
    };
    for (_, rule) in roots {
        lead(rule, &mut queue);
    }
    while let Some(item) = queue.pop() {
        for (fact, rule) in rules::of_item(universe, item) {
            facts.insert(fact);
            lead(&rule, &mut queue);
        }
    }
    facts
}
