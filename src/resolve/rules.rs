//! The rules between packages, one fact per relation.

use super::request::MultiArch;
use super::universe::{Change, Item, ItemId, Origin, SlotId, Universe};
use crate::deb::Relation;

/// What a rule follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Fact {
    /// A wanted package: index into `Request::wanted`.
    Wanted(usize),
    /// A package that was chosen already.
    Chosen(ItemId),
    /// A group of `Recommends`, by its position.
    Recommended(ItemId, usize),
    /// A group of `Depends` and then `Pre-Depends`, by its position.
    Need(ItemId, usize),
    /// A relation of `Conflicts` and then `Breaks`, by its position, with the packages of a slot.
    Clash(ItemId, usize, SlotId),
    /// Packages of one name and different architectures.
    Instances(ItemId, SlotId),
    /// An installed package stays as it is.
    Keep(SlotId),
    /// An installed package stays, or gives way to a newer one or to none.
    NoDowngrade(SlotId),
}

/// What must hold if the package of a fact is installed, or in any case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// One of these is installed; the preferred first.
    OneOf(Vec<ItemId>),
    /// None of these, which are all of one slot, is installed.
    NoneOf(SlotId, Vec<ItemId>),
}

/// The groups of `Depends` and then `Pre-Depends` of an item.
pub(super) fn needs<'u>(universe: &'u Universe, item: ItemId) -> Vec<&'u [Relation]> {
    let facts = universe.items[item].facts;
    let groups = facts.depends.0.iter().chain(&facts.pre_depends.0);
    groups.map(Vec::as_slice).collect()
}

/// The relations of `Conflicts` and then `Breaks` of an item, each with whether it is the latter.
pub(super) fn clashes<'u>(universe: &'u Universe, item: ItemId) -> Vec<(&'u Relation, bool)> {
    let facts = universe.items[item].facts;
    let conflicts = facts.conflicts.0.iter().flatten();
    let breaks = facts.breaks.0.iter().flatten();
    conflicts
        .map(|relation| (relation, false))
        .chain(breaks.map(|relation| (relation, true)))
        .collect()
}

/// Which items satisfy a group of dependencies, if it must be cared for: `None` if the group holds
/// anyway, or did not hold before in what is installed.
pub(super) fn open_need(
    universe: &Universe,
    item: ItemId,
    group: &[Relation],
) -> Option<Vec<ItemId>> {
    let satisfying = universe.satisfying(group, &universe.items[item].facts.architecture);
    let holds = |by: &ItemId| *by == item || universe.is_kept(*by);
    let held = satisfying.iter().any(|by| universe.is_installed(*by));
    let open = !satisfying.iter().any(holds) && (held || !universe.is_installed(item));
    open.then_some(satisfying)
}

/// The rules that an item brings.
pub(super) fn of_item(universe: &Universe, item: ItemId) -> Vec<(Fact, Rule)> {
    let mut out = Vec::new();
    if universe.items[item].origin == Origin::Absent {
        return out;
    }
    for (at, group) in needs(universe, item).into_iter().enumerate() {
        if let Some(satisfying) = open_need(universe, item, group) {
            out.push((Fact::Need(item, at), Rule::OneOf(satisfying)));
        }
    }
    let facts = universe.items[item].facts;
    let asking = universe.real(&facts.architecture);
    // Packages that are installed together already may stay so.
    let concerns = |other: &ItemId| !universe.is_installed(item) || !universe.is_installed(*other);
    for (at, (relation, _)) in clashes(universe, item).into_iter().enumerate() {
        let mut all = universe.matching(relation, asking, true);
        // A package never conflicts with itself, of whatever architecture.
        all.retain(|other| universe.items[*other].facts.name != facts.name && concerns(other));
        for (slot, targets) in by_slot(universe, all) {
            out.push((Fact::Clash(item, at, slot), Rule::NoneOf(slot, targets)));
        }
    }
    for slot in universe.slots_of(&facts.name) {
        if *slot == universe.items[item].slot {
            continue;
        }
        let mut others = universe.slots[*slot].items.clone();
        others.retain(|other| {
            let Item {
                facts: b, origin, ..
            } = &universe.items[*other];
            let together = facts.multi_arch == MultiArch::Same
                && b.multi_arch == MultiArch::Same
                && facts.version == b.version;
            *origin != Origin::Absent && !together && concerns(other)
        });
        if !others.is_empty() {
            out.push((Fact::Instances(item, *slot), Rule::NoneOf(*slot, others)));
        }
    }
    out
}

fn by_slot(universe: &Universe, items: Vec<ItemId>) -> Vec<(SlotId, Vec<ItemId>)> {
    let mut out: Vec<(SlotId, Vec<ItemId>)> = Vec::new();
    for item in items {
        let slot = universe.items[item].slot;
        match out.last_mut() {
            Some((last, list)) if *last == slot => list.push(item),
            _ => out.push((slot, vec![item])),
        }
    }
    out
}

/// The rules about what is installed.
pub(super) fn of_installed(universe: &Universe) -> Vec<(Fact, Rule)> {
    let mut out = Vec::new();
    for (id, slot) in universe.slots.iter().enumerate() {
        let Some(installed) = slot.installed else {
            continue;
        };
        match slot.change {
            Change::Kept => out.push((Fact::Keep(id), Rule::OneOf(vec![installed]))),
            Change::Version { down: true } => {}
            Change::Version { down: false } | Change::Listed => {
                let version = &universe.items[installed].facts.version;
                let mut older = slot.items.clone();
                older.retain(|item| universe.items[*item].facts.version < *version);
                if !older.is_empty() {
                    out.push((Fact::NoDowngrade(id), Rule::NoneOf(id, older)));
                }
            }
        }
        if slot.change == Change::Listed {
            out.push((Fact::Keep(id), Rule::OneOf(slot.items.clone())));
        }
    }
    out
}
