//! Whether facts can hold together: the door to the SAT solver.
//!
//! The solver sees slots as its packages and items as their versions, of which it installs at most
//! one. It asks for the rules of an item when it first considers it, so that packages that nothing
//! leads to cost nothing.

use super::rules::{self, Fact, Rule};
use super::universe::{ItemId, SlotId, Universe};
use resolvo::{
    Candidates, Condition, ConditionId, ConditionalRequirement, Dependencies, DependencyProvider,
    HintDependenciesAvailable, Interner, KnownDependencies, NameId, Problem, Requirement,
    SolvableId, SolverCache, StringId, UnsolvableOrCancelled, VersionSetId, VersionSetUnionId,
    conflict::{ConflictCause, ConflictEdge},
};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

/// Some or all rules of a universe, to be solved with different facts about the whole.
pub(super) struct Solver<'u, 'a>(resolvo::Solver<Provider<'u, 'a>>);

/// The facts of a contradiction: enough for it, not the fewest.
pub(super) type Contradiction = BTreeSet<Fact>;

impl<'u, 'a> Solver<'u, 'a> {
    /// A solver with the rules of all items; with `only`, those that follow from these facts.
    pub(super) fn new(universe: &'u Universe<'a>, only: Option<&BTreeSet<Fact>>) -> Self {
        let only = only.map(|facts| {
            let mut of_item: BTreeMap<ItemId, BTreeSet<Fact>> = BTreeMap::new();
            for fact in facts {
                if let Fact::Need(item, _) | Fact::Clash(item, ..) | Fact::Instances(item, _) = fact
                {
                    of_item.entry(*item).or_default().insert(*fact);
                }
            }
            of_item
        });
        Self(resolvo::Solver::new(Provider {
            universe,
            only,
            sets: RefCell::default(),
            unions: RefCell::default(),
        }))
    }

    /// A set of items with which all rules hold, or the facts that prevent that.
    pub(super) fn solve<'r>(
        &mut self,
        facts: impl IntoIterator<Item = &'r (Fact, Rule)>,
    ) -> Result<BTreeSet<ItemId>, Contradiction> {
        let mut requirements = Vec::new();
        let mut constraints = Vec::new();
        for (fact, rule) in facts {
            let provider = self.0.provider();
            match rule {
                Rule::OneOf(items) => requirements.push(provider.one_of(*fact, items)),
                Rule::NoneOf(slot, items) => {
                    constraints.push(provider.none_of(*fact, *slot, items))
                }
            }
        }
        let problem = Problem::new()
            .requirements(requirements)
            .constraints(constraints);
        match self.0.solve(problem) {
            Ok(solvables) => Ok(solvables.into_iter().map(item_of).collect()),
            Err(UnsolvableOrCancelled::Unsolvable(conflict)) => {
                let graph = conflict.graph(&self.0).graph;
                let provider = self.0.provider();
                let facts = graph.edge_weights().filter_map(|edge| match edge {
                    ConflictEdge::Requires(Requirement::Single(set))
                    | ConflictEdge::Conflict(ConflictCause::Constrains(set)) => provider.fact(*set),
                    ConflictEdge::Requires(Requirement::Union(union)) => {
                        let sets = provider.unions.borrow();
                        let first = sets.get(index(union.0)).and_then(|sets| sets.first());
                        first.and_then(|set| provider.fact(*set))
                    }
                    ConflictEdge::Conflict(_) => None,
                });
                Err(facts.collect())
            }
            // Nothing cancels: the provider never asks for it.
            Err(UnsolvableOrCancelled::Cancelled(_)) => Err(BTreeSet::new()),
        }
    }
}

/// Items of one slot, and the fact that names them.
struct VersionSet {
    slot: SlotId,
    items: BTreeSet<ItemId>,
    /// Whether all others of the slot are meant.
    others: bool,
    fact: Fact,
}

struct Provider<'u, 'a> {
    universe: &'u Universe<'a>,
    /// The facts whose rules count; all without it.
    only: Option<BTreeMap<ItemId, BTreeSet<Fact>>>,
    sets: RefCell<Vec<VersionSet>>,
    unions: RefCell<Vec<Vec<VersionSetId>>>,
}

impl Provider<'_, '_> {
    fn add(&self, set: VersionSet) -> VersionSetId {
        let mut sets = self.sets.borrow_mut();
        sets.push(set);
        VersionSetId(number(sets.len() - 1))
    }

    fn fact(&self, set: VersionSetId) -> Option<Fact> {
        self.sets.borrow().get(index(set.0)).map(|set| set.fact)
    }

    /// One of `items`, in their order: a set for each run of items that the order within their
    /// slot agrees with.
    fn one_of(&self, fact: Fact, items: &[ItemId]) -> ConditionalRequirement {
        let mut runs: Vec<(SlotId, Vec<ItemId>)> = Vec::new();
        for item in items {
            let of = |item: ItemId| &self.universe.items[item];
            let slot = of(*item).slot;
            match runs.last_mut() {
                Some((last, run))
                    if *last == slot
                        && run
                            .last()
                            .is_some_and(|last| of(*last).rank < of(*item).rank) =>
                {
                    run.push(*item);
                }
                _ => runs.push((slot, vec![*item])),
            }
        }
        if runs.is_empty() {
            // A name that nothing has.
            runs.push((self.universe.slots.len(), Vec::new()));
        }
        let sets = runs.into_iter().map(|(slot, items)| {
            self.add(VersionSet {
                slot,
                items: items.into_iter().collect(),
                others: false,
                fact,
            })
        });
        let sets: Vec<VersionSetId> = sets.collect();
        if let [only] = sets[..] {
            return only.into();
        }
        let mut unions = self.unions.borrow_mut();
        unions.push(sets);
        VersionSetUnionId(number(unions.len() - 1)).into()
    }

    fn none_of(&self, fact: Fact, slot: SlotId, items: &[ItemId]) -> VersionSetId {
        self.add(VersionSet {
            slot,
            items: items.iter().copied().collect(),
            others: true,
            fact,
        })
    }

    fn counts(&self, item: ItemId, fact: Fact) -> bool {
        let listed = |only: &BTreeMap<ItemId, BTreeSet<Fact>>| {
            only.get(&item).is_some_and(|facts| facts.contains(&fact))
        };
        self.only.as_ref().is_none_or(listed)
    }

    fn show(&self, item: ItemId) -> String {
        let facts = self.universe.items[item].facts;
        format!("{} {}", facts.name, facts.version)
    }
}

impl Interner for Provider<'_, '_> {
    type NameId = NameId;
    type SolvableId = SolvableId;

    fn display_solvable(&self, solvable: SolvableId) -> impl Display + '_ {
        self.show(item_of(solvable))
    }

    fn display_name(&self, name: NameId) -> impl Display + '_ {
        let slot = self.universe.slots.get(index(name.into_raw()));
        slot.map_or("", |slot| slot.name)
    }

    fn display_version_set(&self, set: VersionSetId) -> impl Display + '_ {
        set.0
    }

    fn display_string(&self, string: StringId) -> impl Display + '_ {
        string.0
    }

    fn version_set_name(&self, set: VersionSetId) -> NameId {
        NameId::from_raw(number(self.sets.borrow()[index(set.0)].slot))
    }

    fn solvable_name(&self, solvable: SolvableId) -> NameId {
        NameId::from_raw(number(self.universe.items[item_of(solvable)].slot))
    }

    fn version_sets_in_union(
        &self,
        union: VersionSetUnionId,
    ) -> impl Iterator<Item = VersionSetId> {
        self.unions.borrow()[index(union.0)].clone().into_iter()
    }

    fn resolve_condition(&self, _: ConditionId) -> Condition {
        unreachable!("no rule has a condition")
    }
}

impl DependencyProvider for Provider<'_, '_> {
    async fn filter_candidates(
        &self,
        candidates: &[SolvableId],
        set: VersionSetId,
        inverse: bool,
    ) -> Vec<SolvableId> {
        let sets = self.sets.borrow();
        let set = &sets[index(set.0)];
        let meant = |solvable: &&SolvableId| {
            set.items.contains(&item_of(**solvable)) != (set.others != inverse)
        };
        candidates.iter().filter(meant).copied().collect()
    }

    async fn get_candidates(&self, name: NameId) -> Option<Candidates<SolvableId>> {
        let slot = self.universe.slots.get(index(name.into_raw()))?;
        let solvable = |item: &ItemId| SolvableId::from_raw(number(*item));
        Some(Candidates {
            candidates: slot.items.iter().map(solvable).collect(),
            hint_dependencies_available: HintDependenciesAvailable::None,
            ..Candidates::default()
        })
    }

    async fn sort_candidates(&self, _: &SolverCache<Self>, solvables: &mut [SolvableId]) {
        solvables.sort_by_key(|solvable| self.universe.items[item_of(*solvable)].rank);
    }

    async fn get_dependencies(&self, solvable: SolvableId) -> Dependencies {
        let item = item_of(solvable);
        let mut known = KnownDependencies::default();
        for (fact, rule) in rules::of_item(self.universe, item) {
            if !self.counts(item, fact) {
                continue;
            }
            match rule {
                Rule::OneOf(items) => known.requirements.push(self.one_of(fact, &items)),
                Rule::NoneOf(slot, items) => {
                    known.constrains.push(self.none_of(fact, slot, &items));
                }
            }
        }
        Dependencies::Known(known)
    }
}

fn item_of(solvable: SolvableId) -> ItemId {
    index(solvable.into_raw())
}

/// The solver's numbers have 32 bits: more packages than that do not fit in memory.
fn number(index: usize) -> u32 {
    u32::try_from(index).expect("fewer than 2^32 packages and relations")
}

fn index(number: u32) -> usize {
    usize::try_from(number).expect("32 bits fit in an index")
}
