//! The first of all solutions in the order of preference.
//!
//! The packages are decided one after the other: the wanted ones as they are listed, then the
//! installed ones that may change, then what those need, in the order in which it is met. Each
//! decision takes the first alternative with which there still is a solution. So the answer does
//! not depend on how the solver searches, and has no package that nothing needs.

use super::rules::{self, Fact, Rule};
use super::solution::Why;
use super::solver::{Contradiction, Solver};
use super::universe::{Change, ItemId, Origin, SlotId, Universe};
use crate::deb::{Relation, Relations};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A group of relations that one of several packages must satisfy.
struct Need {
    satisfying: Vec<ItemId>,
    why: Why,
}

/// A recommended package that is not installed, and the contradiction with what is.
pub(super) struct LeftOut {
    pub(super) by: ItemId,
    pub(super) group: usize,
    /// Empty if no repository has one of the packages.
    pub(super) satisfying: Vec<ItemId>,
}

/// The decisions so far.
pub(super) struct Choice<'u, 'a> {
    universe: &'u Universe<'a>,
    solver: Solver<'u, 'a>,
    /// What must hold in any case.
    roots: Vec<(Fact, Rule)>,
    /// The last solution, of which all decisions are part.
    model: BTreeSet<ItemId>,
    decided: BTreeMap<SlotId, ItemId>,
    /// The decided items in order, with the reasons.
    pub(super) order: Vec<(ItemId, Why)>,
    /// Needs that packages of a single slot satisfy: these are decided first, since they may
    /// satisfy others.
    single: VecDeque<Need>,
    several: VecDeque<Need>,
}

impl<'u, 'a> Choice<'u, 'a> {
    /// Decides everything that must hold: `roots` and what follows.
    pub(super) fn new(
        universe: &'u Universe<'a>,
        roots: Vec<(Fact, Rule)>,
    ) -> Result<Self, Contradiction> {
        let mut solver = Solver::new(universe, None);
        let model = solver.solve(&roots)?;
        let mut choice = Self {
            universe,
            solver,
            roots,
            model,
            decided: BTreeMap::new(),
            order: Vec::new(),
            single: VecDeque::new(),
            several: VecDeque::new(),
        };
        for (fact, rule) in choice.roots.clone() {
            if let (Fact::Wanted(at), Rule::OneOf(items)) = (fact, rule) {
                let text = universe.request.wanted[at].text.clone();
                choice.decide(&items, Why::Wanted(text));
            }
        }
        for (id, slot) in universe.slots.iter().enumerate() {
            let Some(installed) = slot.installed else {
                continue;
            };
            if slot.change == Change::Kept {
                choice.decided.insert(id, installed);
                choice.open_needs(installed);
            } else if slot.change == Change::Listed {
                let from = universe.items[installed].facts.version.to_string();
                // The answer says for what.
                let why = String::new();
                choice.decide(&slot.items, Why::Upgraded { from, why });
            }
        }
        choice.finish();
        Ok(choice)
    }

    /// The decided items.
    pub(super) fn decided(&self) -> impl Iterator<Item = ItemId> {
        self.decided.values().copied()
    }

    /// What must hold, with all decisions as facts.
    fn facts(&self) -> Vec<(Fact, Rule)> {
        let chosen = |item: &ItemId| (Fact::Chosen(*item), Rule::OneOf(vec![*item]));
        let changed = self.decided.values();
        let changed = changed.filter(|item| !self.universe.is_kept(**item));
        self.roots
            .iter()
            .cloned()
            .chain(changed.map(chosen))
            .collect()
    }

    /// The facts with which a recommendation that was left out is tried, and those that
    /// contradict it.
    pub(super) fn against(&mut self, one: &LeftOut) -> (Vec<(Fact, Rule)>, Option<Contradiction>) {
        let rule = Rule::OneOf(one.satisfying.clone());
        let mut facts = vec![(Fact::Recommended(one.by, one.group), rule)];
        let all = self.facts().into_iter();
        // That a package was chosen says more than that it is wanted.
        facts.extend(all.filter(|(fact, _)| !matches!(fact, Fact::Wanted(_))));
        let found = self.solver.solve(&facts).err();
        (facts, found)
    }

    fn is_decided(&self, item: ItemId) -> bool {
        self.decided.get(&self.universe.items[item].slot) == Some(&item)
    }

    /// Decides which of `items` is installed, unless that follows from earlier decisions.
    fn decide(&mut self, items: &[ItemId], why: Why) {
        if items.iter().any(|item| self.is_decided(*item)) {
            return;
        }
        let free = |item: &&ItemId| !self.decided.contains_key(&self.universe.items[**item].slot);
        let items: Vec<ItemId> = items.iter().filter(free).copied().collect();
        for item in items {
            if !self.model.contains(&item) {
                let mut facts = self.facts();
                facts.push((Fact::Chosen(item), Rule::OneOf(vec![item])));
                match self.solver.solve(&facts) {
                    Ok(model) => self.model = model,
                    Err(_) => continue,
                }
            }
            self.decided.insert(self.universe.items[item].slot, item);
            self.order.push((item, why));
            self.open_needs(item);
            return;
        }
    }

    /// Queues what an item needs.
    fn open_needs(&mut self, item: ItemId) {
        let universe = self.universe;
        if universe.items[item].origin == Origin::Absent {
            return;
        }
        for group in rules::needs(universe, item) {
            let Some(satisfying) = rules::open_need(universe, item, group) else {
                continue;
            };
            let why = Why::Depends {
                by: universe.items[item].facts.name.clone(),
                relation: text(group),
            };
            let mut slots = satisfying.iter().map(|item| universe.items[*item].slot);
            let first = slots.next();
            let queue = if slots.all(|slot| Some(slot) == first) {
                &mut self.single
            } else {
                &mut self.several
            };
            queue.push_back(Need { satisfying, why });
        }
    }

    /// Decides all that is queued.
    fn finish(&mut self) {
        while let Some(need) = self.single.pop_front().or_else(|| self.several.pop_front()) {
            self.decide(&need.satisfying, need.why);
        }
    }

    /// Adds the recommended packages that fit to what is decided, and theirs in turn. Returns those
    /// that do not.
    pub(super) fn recommend(&mut self) -> Vec<LeftOut> {
        let mut left_out = Vec::new();
        let mut done = 0;
        while done < self.order.len() {
            let mut round = Vec::new();
            for (item, _) in &self.order[done..] {
                round.extend(self.recommended(*item, &mut left_out));
            }
            done = self.order.len();
            self.take(&round, &mut left_out);
        }
        left_out
    }

    /// The recommendations of an item that do not hold yet.
    pub(super) fn recommended(&self, item: ItemId, left_out: &mut Vec<LeftOut>) -> Vec<LeftOut> {
        let mut out = Vec::new();
        if !matches!(self.universe.items[item].origin, Origin::Candidate(_)) {
            return out;
        }
        let facts = self.universe.items[item].facts;
        for (at, group) in facts.recommends.0.iter().enumerate() {
            let satisfying = self.universe.satisfying(group, &facts.architecture);
            if satisfying
                .iter()
                .any(|by| *by == item || self.is_decided(*by))
            {
                continue;
            }
            let list = if satisfying.is_empty() {
                &mut *left_out
            } else {
                &mut out
            };
            list.push(LeftOut {
                by: item,
                group: at,
                satisfying,
            });
        }
        out
    }

    /// Takes as many recommendations as fit together, earlier ones first.
    fn take(&mut self, round: &[LeftOut], left_out: &mut Vec<LeftOut>) {
        let open = |one: &&LeftOut| !one.satisfying.iter().any(|by| self.is_decided(*by));
        let open: Vec<&LeftOut> = round.iter().filter(open).collect();
        if open.is_empty() {
            return;
        }
        let mut facts = self.facts();
        facts.extend(open.iter().map(|one| {
            let rule = Rule::OneOf(one.satisfying.clone());
            (Fact::Recommended(one.by, one.group), rule)
        }));
        match self.solver.solve(&facts) {
            Ok(model) => {
                self.model = model;
                let before = self.roots.len();
                self.roots.extend(
                    facts
                        .into_iter()
                        .filter(|(fact, _)| matches!(fact, Fact::Recommended(..))),
                );
                for one in open {
                    let facts = self.universe.items[one.by].facts;
                    let why = Why::Recommends {
                        by: facts.name.clone(),
                        relation: facts
                            .recommends
                            .0
                            .get(one.group)
                            .map(|g| text(g))
                            .unwrap_or_default(),
                    };
                    self.decide(&one.satisfying, why);
                    self.finish();
                }
                self.roots.truncate(before);
            }
            Err(_) if round.len() == 1 => left_out.extend(round.iter().map(|one| LeftOut {
                by: one.by,
                group: one.group,
                satisfying: one.satisfying.clone(),
            })),
            Err(_) => {
                let (first, second) = round.split_at(round.len() / 2);
                self.take(first, left_out);
                self.take(second, left_out);
            }
        }
    }
}

/// A group of alternatives as a field has it.
pub(super) fn text(group: &[Relation]) -> String {
    Relations(vec![group.to_vec()]).to_string()
}
