//! Contradictions in words.

use super::explain;
use super::rules::{self, Fact, Rule};
use super::solution::Reason;
use super::solver::Solver;
use super::universe::{Item, ItemId, Origin, SlotId, Universe};
use super::wants::{self, list};
use crate::deb::Relation;
use crate::problem::Problem;
use std::collections::{BTreeMap, BTreeSet};

/// Contradicting facts as a problem, with a hint where there is a way out.
pub(super) fn problem(universe: &Universe, roots: &[(Fact, Rule)], groups: &[Vec<Fact>]) -> Reason {
    let facts: BTreeSet<Fact> = groups.iter().flatten().copied().collect();
    let wanted: Vec<String> = facts
        .iter()
        .filter_map(|fact| match fact {
            Fact::Wanted(at) => Some(format!("`{}`", universe.request.wanted[*at].text)),
            _ => None,
        })
        .collect();
    let head = match wanted.len() {
        0 => "the installed packages cannot stay as they are".to_owned(),
        1 => format!("{} cannot be installed", wanted[0]),
        _ => format!("{} cannot be installed together", list(&wanted)),
    };
    let problem = Problem::new(format!("{head}: {}", reason(universe, roots, groups)));
    match way_out(universe, roots, &facts) {
        Some(WayOut::Hint(hint)) => problem.hint(hint).into(),
        Some(WayOut::Removal(names)) => Reason {
            problem,
            in_the_way: names,
        },
        None => problem.into(),
    }
}

/// What makes a choice possible.
enum WayOut {
    /// In words.
    Hint(String),
    /// The removal of installed packages, by name.
    Removal(Vec<String>),
}

/// The facts but for what is wanted, in the order in which one leads to the next.
pub(super) fn reason(universe: &Universe, roots: &[(Fact, Rule)], groups: &[Vec<Fact>]) -> String {
    let words = Words::new(universe, roots, groups);
    let mut out: Vec<String> = Vec::new();
    for group in words.in_order() {
        out.extend(words.sentence(group));
    }
    out.extend(words.one_version());
    out.join("; ")
}

/// A fact about one package.
pub(super) fn fact(universe: &Universe, fact: Fact) -> Option<String> {
    Words::new(universe, &[], &[vec![fact]]).sentence(&[fact])
}

/// A package with its version.
pub(super) fn one(universe: &Universe, item: ItemId) -> String {
    Words::new(universe, &[], &[]).package(&[item])
}

struct Words<'u, 'a> {
    universe: &'u Universe<'a>,
    groups: &'u [Vec<Fact>],
    /// The items that some fact asks for or installs.
    mentioned: BTreeSet<ItemId>,
    /// Of each fact that asks for one of several packages: which.
    asks: BTreeMap<Fact, Vec<ItemId>>,
}

impl<'u, 'a> Words<'u, 'a> {
    fn new(universe: &'u Universe<'a>, roots: &[(Fact, Rule)], groups: &'u [Vec<Fact>]) -> Self {
        let facts: BTreeSet<Fact> = groups.iter().flatten().copied().collect();
        let mut asks = BTreeMap::new();
        let mut add = |fact: &Fact, rule: &Rule| {
            if let Rule::OneOf(items) = rule
                && facts.contains(fact)
            {
                asks.insert(*fact, items.clone());
            }
        };
        for (fact, rule) in roots {
            add(fact, rule);
        }
        let of_needs = facts.iter().filter_map(|fact| match fact {
            Fact::Need(item, _) => Some(*item),
            _ => None,
        });
        for item in of_needs.collect::<BTreeSet<_>>() {
            for (fact, rule) in rules::of_item(universe, item) {
                add(&fact, &rule);
            }
        }
        let mentioned = asks.values().flatten().copied().collect();
        Self {
            universe,
            groups,
            mentioned,
            asks,
        }
    }

    /// The groups of facts, beginning with what is wanted or chosen, each need before what follows
    /// from it, conflicts and what is installed last.
    fn in_order(&self) -> Vec<&'u Vec<Fact>> {
        let mut open: Vec<&Vec<Fact>> = self.groups.iter().collect();
        let mut out: Vec<&Vec<Fact>> = Vec::new();
        let mut reached: BTreeSet<ItemId> = BTreeSet::new();
        let is_last = |group: &[Fact]| matches!(group, [Fact::Keep(_) | Fact::NoDowngrade(_), ..]);
        let follows = |group: &[Fact], reached: &BTreeSet<ItemId>| {
            group.iter().any(|fact| match fact {
                Fact::Need(item, _) | Fact::Clash(item, ..) | Fact::Instances(item, _) => {
                    reached.contains(item)
                }
                Fact::Keep(_) | Fact::NoDowngrade(_) => false,
                _ => true,
            })
        };
        while !open.is_empty() {
            let next = open.iter().position(|group| follows(group, &reached));
            let next = next.or_else(|| open.iter().position(|group| !is_last(group)));
            let group = open.remove(next.unwrap_or(0));
            let asked = group.iter().filter_map(|fact| self.asks.get(fact));
            reached.extend(asked.flatten().copied());
            out.push(group);
        }
        out
    }

    fn item(&self, item: ItemId) -> &Item<'a> {
        &self.universe.items[item]
    }

    /// The name of a slot, with its architecture if it is not the image's.
    fn name(&self, slot: SlotId) -> String {
        let slot = &self.universe.slots[slot];
        if slot.architecture == self.universe.request.architecture {
            slot.name.to_owned()
        } else {
            format!("{}:{}", slot.name, slot.architecture)
        }
    }

    /// A package with the versions of `items`, which are all of one slot.
    fn package(&self, items: &[ItemId]) -> String {
        let Some(first) = items.first() else {
            return String::new();
        };
        let mut items = items.to_vec();
        items.sort_by(|a, b| {
            self.item(*b)
                .facts
                .version
                .cmp(&self.item(*a).facts.version)
        });
        items.dedup();
        let versions: Vec<String> = items
            .iter()
            .map(|item| self.item(*item).facts.version.to_string())
            .collect();
        format!("{} {}", self.name(self.item(*first).slot), list(&versions))
    }

    fn sentence(&self, group: &[Fact]) -> Option<String> {
        let items = |of: fn(&Fact) -> Option<ItemId>| -> Vec<ItemId> {
            group.iter().filter_map(of).collect()
        };
        Some(match group.first()? {
            Fact::Wanted(_) => return None,
            Fact::Chosen(item) => format!("{} is to be installed", self.package(&[*item])),
            Fact::Recommended(item, at) => {
                let groups = &self.item(*item).facts.recommends.0;
                let group = groups.get(*at).map_or(&[][..], Vec::as_slice);
                format!(
                    "{} recommends {}",
                    self.item(*item).facts.name,
                    super::choose::text(group)
                )
            }
            fact @ Fact::Need(item, at) => {
                let needing = items(|fact| match fact {
                    Fact::Need(item, _) => Some(*item),
                    _ => None,
                });
                let facts = self.item(*item).facts;
                let pre = if *at < facts.depends.0.len() {
                    ""
                } else {
                    "pre-"
                };
                let verb = if needing.len() == 1 {
                    "depends"
                } else {
                    "depend"
                };
                let group = rules::needs(self.universe, *item);
                let group = group.get(*at).copied().unwrap_or(&[]);
                let asked = self.asks.get(fact).map_or(&[][..], Vec::as_slice);
                format!(
                    "{} {pre}{verb} on {}{}",
                    self.package(&needing),
                    super::choose::text(group),
                    self.missing(group, asked)
                )
            }
            Fact::Clash(item, at, slot) => {
                let clashing = items(|fact| match fact {
                    Fact::Clash(item, ..) => Some(*item),
                    _ => None,
                });
                let clash = rules::clashes(self.universe, *item);
                let (relation, breaks) = clash.get(*at).copied()?;
                let verb = match (breaks, clashing.len()) {
                    (true, 1) => "breaks",
                    (true, _) => "break",
                    (false, 1) => "conflicts with",
                    (false, _) => "conflict with",
                };
                let by = &self.universe.slots[*slot];
                let provided = if by.name == relation.name {
                    String::new()
                } else {
                    format!(", which {} provides", self.name(*slot))
                };
                format!("{} {verb} {relation}{provided}", self.package(&clashing))
            }
            Fact::Instances(item, slot) => self.instances(*item, *slot),
            Fact::Keep(slot) => self.keep(*slot)?,
            Fact::NoDowngrade(slot) => {
                let installed = self.universe.slots[*slot].installed?;
                format!(
                    "{} is installed, and an older version would be a downgrade",
                    self.package(&[installed])
                )
            }
        })
    }

    fn keep(&self, slot: SlotId) -> Option<String> {
        let installed = self.universe.slots[slot].installed?;
        let package = self.package(&[installed]);
        Some(if self.item(installed).facts.essential {
            format!("{package} is installed and essential")
        } else {
            format!("{package} is installed")
        })
    }

    fn instances(&self, item: ItemId, slot: SlotId) -> String {
        let (a, b) = (self.name(self.item(item).slot), self.name(slot));
        let same = self.item(item).facts.multi_arch == super::request::MultiArch::Same;
        if same {
            format!(
                "{} can be installed along with {b} in the same version only (Multi-Arch: same)",
                self.package(&[item])
            )
        } else {
            format!("{a} and {b} cannot be installed together (they are not Multi-Arch: same)")
        }
    }

    /// What there is of a package, if nothing satisfies a dependency on it.
    fn missing(&self, group: &[Relation], asked: &[ItemId]) -> String {
        if !asked.is_empty() {
            return String::new();
        }
        let mut there: Vec<String> = Vec::new();
        for relation in group {
            for slot in self.universe.slots_of(&relation.name) {
                let items = &self.universe.slots[*slot].items;
                let present = items.iter().copied();
                let present = present
                    .filter(|item| self.item(*item).origin != super::universe::Origin::Absent);
                let present: Vec<ItemId> = present.collect();
                if !present.is_empty() {
                    there.push(self.package(&present));
                }
            }
        }
        if there.is_empty() {
            ", which no repository has".to_owned()
        } else {
            format!(", and there is only {}", there.join(", "))
        }
    }

    /// That only one version can be installed, where nothing else in the facts says why they
    /// contradict each other.
    fn one_version(&self) -> Option<String> {
        let excludes = |fact: &Fact| {
            matches!(
                fact,
                Fact::Clash(..) | Fact::Instances(..) | Fact::Keep(_) | Fact::NoDowngrade(_)
            )
        };
        if self.groups.iter().flatten().any(excludes) || self.asks.values().any(Vec::is_empty) {
            return None;
        }
        let mut slots: BTreeMap<SlotId, BTreeSet<&[ItemId]>> = BTreeMap::new();
        for items in self.asks.values() {
            for item in items {
                slots
                    .entry(self.item(*item).slot)
                    .or_default()
                    .insert(items);
            }
        }
        let contended = slots.iter().filter(|(_, asked)| asked.len() > 1);
        let names: Vec<String> = contended.map(|(slot, _)| self.name(*slot)).collect();
        let known = self.mentioned.is_empty() || names.is_empty();
        (!known).then(|| format!("only one version of {} can be installed", list(&names)))
    }
}

/// A way out of a contradiction that was tried and is one.
fn way_out(universe: &Universe, roots: &[(Fact, Rule)], facts: &BTreeSet<Fact>) -> Option<WayOut> {
    let kept: Vec<&str> = facts
        .iter()
        .filter_map(|fact| match fact {
            Fact::Keep(slot) => Some(universe.slots[*slot].name),
            _ => None,
        })
        .collect();
    if !kept.is_empty()
        && let Some(way_out) = by_change(universe, facts, &kept)
    {
        return Some(way_out);
    }
    if let Some(hint) = without_constraint(universe, roots, facts) {
        return Some(WayOut::Hint(hint));
    }
    let missing = facts.iter().find_map(|fact| match fact {
        Fact::Need(item, at) => {
            let group = rules::needs(universe, *item).get(*at).copied()?;
            rules::open_need(universe, *item, group)?
                .is_empty()
                .then_some(group)
        }
        _ => None,
    })?;
    let names: Vec<&str> = missing
        .iter()
        .map(|relation| relation.name.as_str())
        .collect();
    Some(WayOut::Hint(format!(
        "add the repository, suite or component that has {}",
        names.join(" or ")
    )))
}

/// If the contradiction is none once the installed packages may change: how they would. If some
/// must go and the request does not allow that, these alone.
fn by_change(universe: &Universe, facts: &BTreeSet<Fact>, kept: &[&str]) -> Option<WayOut> {
    let changes = changed(universe, facts, kept, universe.request.may_remove);
    let changes = changes.or_else(|| changed(universe, facts, kept, true))?;
    if !universe.request.may_remove {
        let gone = changes.iter().filter(|(_, version)| version.is_none());
        let names: Vec<String> = gone.map(|(name, _)| name.clone()).collect();
        if !names.is_empty() {
            return Some(WayOut::Removal(names));
        }
    }
    let entries: Vec<String> = kept.iter().map(|name| format!("\"{name}\"")).collect();
    let results = changes.iter().map(|(name, version)| match version {
        None => format!("{name} would be removed"),
        Some(version) => format!("{name} would become {version}"),
    });
    let results: Vec<String> = results.collect();
    Some(WayOut::Hint(format!(
        "`may-change = [{}]` allows it: {}",
        entries.join(", "),
        results.join(", ")
    )))
}

/// The names of the packages of `kept` that change where all of them may, each with its new
/// version, or none if it is removed.
fn changed(
    universe: &Universe,
    facts: &BTreeSet<Fact>,
    kept: &[&str],
    may_remove: bool,
) -> Option<Vec<(String, Option<String>)>> {
    let request = universe.request;
    let names = kept.iter().map(|name| (*name).to_owned());
    let may_change: Vec<String> = request.may_change.iter().cloned().chain(names).collect();
    let changed = Universe::with_changes(request, &may_change, may_remove);
    let mut roots = wants::rules(&changed).ok()?;
    roots.retain(|(fact, _)| facts.contains(fact));
    roots.extend(rules::of_installed(&changed));
    let choice = super::choose::Choice::new(&changed, roots).ok()?;
    let mut results = Vec::new();
    for item in choice.decided() {
        let item = &changed.items[item];
        let slot = &changed.slots[item.slot];
        if kept.contains(&slot.name) && slot.installed.is_some() {
            let version = match item.origin {
                Origin::Absent => None,
                Origin::Candidate(_) => Some(item.facts.version.to_string()),
                Origin::Installed(_) => continue,
            };
            results.push((slot.name.to_owned(), version));
        }
    }
    Some(results)
}

/// If another version of a wanted package would do: which.
fn without_constraint(
    universe: &Universe,
    roots: &[(Fact, Rule)],
    facts: &BTreeSet<Fact>,
) -> Option<String> {
    let mut solver = Solver::new(universe, None);
    for fact in facts {
        let Fact::Wanted(at) = fact else { continue };
        let want = &universe.request.wanted[*at];
        let items = wants::of_any_version(universe, want);
        if want.constraint.is_any() || items.is_empty() {
            continue;
        }
        let counts = |(root, _): &&(Fact, Rule)| {
            root != fact && (facts.contains(root) || !matches!(root, Fact::Wanted(_)))
        };
        let mut others: Vec<(Fact, Rule)> = roots.iter().filter(counts).cloned().collect();
        for item in items {
            others.push((*fact, Rule::OneOf(vec![item])));
            if solver.solve(&others).is_ok() {
                let facts = universe.items[item].facts;
                return Some(format!("`{}={}` fits", facts.name, facts.version));
            }
            others.pop();
        }
    }
    None
}

/// The problems of a request that has no solution: one contradiction after the other, each
/// without what earlier ones need.
pub(super) fn problems(universe: &Universe, roots: &[(Fact, Rule)]) -> Vec<Reason> {
    let mut roots = roots.to_vec();
    let mut out = Vec::new();
    let mut solver = Solver::new(universe, None);
    while let Err(found) = solver.solve(&roots) {
        let groups = explain::fewest(universe, &roots, found);
        out.push(problem(universe, &roots, &groups));
        let wanted: BTreeSet<Fact> = groups
            .into_iter()
            .flatten()
            .filter(|fact| matches!(fact, Fact::Wanted(_)))
            .collect();
        if wanted.is_empty() {
            break;
        }
        roots.retain(|(fact, _)| !wanted.contains(fact));
    }
    out
}
