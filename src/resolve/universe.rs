//! All packages of a request, with their names, providers and order of preference.
//!
//! A *slot* is what can hold one version: a package name with an architecture (`all` is the
//! image's own, as for dpkg). Everything is sorted by what the packages say, never by the order
//! in which they are given.

use super::request::{Candidate, MultiArch, Request};
use crate::deb::{PackageFacts, Relation};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

/// Index into [`Universe::items`].
pub(super) type ItemId = usize;
/// Index into [`Universe::slots`].
pub(super) type SlotId = usize;

/// Where an item comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Index into [`Request::installed`].
    Installed(usize),
    /// Index into [`Request::candidates`].
    Candidate(usize),
    /// The removal of an installed package: the slot is empty.
    Absent,
}

/// What a slot can hold.
pub(super) struct Item<'a> {
    /// The package; the installed one if this is its removal.
    pub(super) facts: &'a PackageFacts,
    pub(super) slot: SlotId,
    /// Position in [`Slot::items`].
    pub(super) rank: usize,
    pub(super) origin: Origin,
}

/// How much the package that is installed in a slot may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Not at all, or nothing is installed.
    Kept,
    /// To another version, because it is wanted itself.
    Version {
        /// Also to an older version, because the wanted versions exclude the installed one.
        down: bool,
    },
    /// To a newer version, or removed if the request allows it and it is not essential.
    Listed,
}

/// A package name with an architecture.
pub(super) struct Slot<'a> {
    pub(super) name: &'a str,
    pub(super) architecture: &'a str,
    /// The preferred first.
    pub(super) items: Vec<ItemId>,
    pub(super) installed: Option<ItemId>,
    pub(super) change: Change,
    /// Whether it is wanted by its name.
    pub(super) wanted: bool,
}

/// The packages of a request.
pub(super) struct Universe<'a> {
    pub(super) request: &'a Request,
    pub(super) items: Vec<Item<'a>>,
    /// By name and architecture.
    pub(super) slots: Vec<Slot<'a>>,
    by_name: HashMap<&'a str, Vec<SlotId>>,
    /// The items that provide a name, by slot and rank.
    providers: HashMap<&'a str, Vec<ItemId>>,
}

impl<'a> Universe<'a> {
    pub(super) fn new(request: &'a Request) -> Self {
        Self::with_changes(request, &request.may_change, request.may_remove)
    }

    /// The packages of `request` as if `may_change` and `may_remove` were its own.
    pub(super) fn with_changes(
        request: &'a Request,
        may_change: &[String],
        may_remove: bool,
    ) -> Self {
        let native = request.architecture.as_str();
        let real = |architecture: &'a str| {
            if architecture == "all" {
                native
            } else {
                architecture
            }
        };
        let accepted = |architecture: &str| {
            architecture == native || request.foreign.iter().any(|name| name == architecture)
        };
        let mut content: BTreeMap<(&str, &str), Vec<(Origin, &Candidate)>> = BTreeMap::new();
        for (at, package) in request.installed.iter().enumerate() {
            let key = (
                package.facts.name.as_str(),
                real(&package.facts.architecture),
            );
            let slot = content.entry(key).or_default();
            if slot.is_empty() {
                slot.push((Origin::Installed(at), package));
            }
        }
        for (at, package) in request.candidates.iter().enumerate() {
            let architecture = real(&package.facts.architecture);
            if accepted(architecture) {
                let key = (package.facts.name.as_str(), architecture);
                let slot = content.entry(key).or_default();
                slot.push((Origin::Candidate(at), package));
            }
        }
        let mut universe = Self {
            request,
            items: Vec::new(),
            slots: Vec::new(),
            by_name: HashMap::new(),
            providers: HashMap::new(),
        };
        for ((name, architecture), content) in content {
            universe.add_slot(name, architecture, content, may_change, may_remove);
        }
        universe
    }

    fn add_slot(
        &mut self,
        name: &'a str,
        architecture: &'a str,
        mut content: Vec<(Origin, &'a Candidate)>,
        may_change: &[String],
        may_remove: bool,
    ) {
        let native = &self.request.architecture;
        let installed = match content.first() {
            Some((Origin::Installed(_), package)) => Some(&package.facts),
            _ => None,
        };
        let mut wants = self.request.wanted.iter().filter(|want| {
            want.package == name && want.architecture.as_ref().unwrap_or(native) == architecture
        });
        let wanted = wants.clone().next().is_some();
        let listed = may_change.iter().any(|entry| match entry.split_once(':') {
            Some((package, of)) => package == name && of == architecture,
            None => entry == name,
        });
        let change = match installed {
            Some(facts) if wanted => Change::Version {
                down: wants.any(|want| !want.constraint.admits(&facts.version)),
            },
            Some(_) if listed => Change::Listed,
            _ => Change::Kept,
        };
        // The installed package comes first, unless a newer one is wanted.
        let priority = |package: &Candidate| {
            let source = self.request.sources.get(package.source);
            source.map_or(0, |source| source.priority)
        };
        let last = matches!(change, Change::Version { .. });
        content.sort_by(|(a_origin, a), (b_origin, b)| {
            let is_new = |origin: &Origin| matches!(origin, Origin::Candidate(_)) != last;
            let position = |package: &Candidate| (Reverse(priority(package)), package.source);
            is_new(a_origin)
                .cmp(&is_new(b_origin))
                .then_with(|| Reverse(priority(a)).cmp(&Reverse(priority(b))))
                .then_with(|| b.facts.version.cmp(&a.facts.version))
                .then_with(|| position(a).cmp(&position(b)))
                .then_with(|| description(&a.facts).cmp(&description(&b.facts)))
        });
        let slot = self.slots.len();
        let mut items: Vec<ItemId> = Vec::new();
        let mut installed_item = None;
        for (origin, package) in content {
            let facts = &package.facts;
            let is_new = matches!(origin, Origin::Candidate(_));
            let double = |item: &ItemId| self.items[*item].facts.version == facts.version;
            // The same version from a repository adds nothing; that of the preferred one counts.
            let same = installed.is_some_and(|installed| installed.version == facts.version);
            if is_new && (same || items.iter().any(double)) {
                continue;
            }
            if !is_new {
                installed_item = Some(self.items.len());
            }
            items.push(self.add_item(facts, slot, items.len(), origin));
        }
        if change == Change::Listed
            && may_remove
            && let Some(facts) = installed.filter(|facts| !facts.essential)
        {
            items.push(self.add_item(facts, slot, items.len(), Origin::Absent));
        }
        self.by_name.entry(name).or_default().push(slot);
        self.slots.push(Slot {
            name,
            architecture,
            items,
            installed: installed_item,
            change,
            wanted,
        });
    }

    fn add_item(
        &mut self,
        facts: &'a PackageFacts,
        slot: SlotId,
        rank: usize,
        origin: Origin,
    ) -> ItemId {
        let id = self.items.len();
        if origin != Origin::Absent {
            for provided in facts.provides.0.iter().flatten() {
                let providers = self.providers.entry(&provided.name).or_default();
                if providers.last() != Some(&id) {
                    providers.push(id);
                }
            }
        }
        self.items.push(Item {
            facts,
            slot,
            rank,
            origin,
        });
        id
    }

    /// The architecture that a package of `architecture` counts as.
    pub(super) fn real<'b>(&'b self, architecture: &'b str) -> &'b str {
        if architecture == "all" {
            &self.request.architecture
        } else {
            architecture
        }
    }

    /// The slots of a package name.
    pub(super) fn slots_of(&self, name: &str) -> &[SlotId] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }

    /// The items that provide a name.
    pub(super) fn providers_of(&self, name: &str) -> &[ItemId] {
        self.providers.get(name).map_or(&[], Vec::as_slice)
    }

    /// All package names, in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        let mut last = None;
        self.slots.iter().filter_map(move |slot| {
            (last.replace(slot.name) != Some(slot.name)).then_some(slot.name)
        })
    }

    /// Whether an item is installed and stays.
    pub(super) fn is_kept(&self, item: ItemId) -> bool {
        let item = &self.items[item];
        matches!(item.origin, Origin::Installed(_)) && self.slots[item.slot].change == Change::Kept
    }

    /// Whether an item is installed.
    pub(super) fn is_installed(&self, item: ItemId) -> bool {
        matches!(self.items[item].origin, Origin::Installed(_))
    }

    /// The items that satisfy a dependency of a package of the architecture `asking`, the
    /// preferred first: by the order of the alternatives, real packages before those that provide
    /// the name. Installed ones need no preference, as they are decided before.
    pub(super) fn satisfying(&self, group: &[Relation], asking: &str) -> Vec<ItemId> {
        let asking = self.real(asking);
        let mut out: Vec<ItemId> = Vec::new();
        for relation in group {
            let mut found = self.matching(relation, asking, false);
            found.sort_by_key(|item| self.preference(*item, relation, asking));
            for item in found {
                if !out.contains(&item) {
                    out.push(item);
                }
            }
        }
        out
    }

    fn preference(&self, item: ItemId, relation: &Relation, asking: &str) -> impl Ord + use<> {
        let Item { slot, rank, .. } = self.items[item];
        let Slot {
            name, architecture, ..
        } = self.slots[slot];
        (
            name != relation.name,
            architecture != asking,
            architecture != self.request.architecture,
            slot,
            rank,
        )
    }

    /// The items that a relation of a package of the architecture `asking` means.
    ///
    /// As dpkg has it: a relation without a qualifier means packages of the same architecture and
    /// those that are `Multi-Arch: foreign`, but all architectures if packages exclude each other;
    /// `:any` means those that are `Multi-Arch: allowed`.
    pub(super) fn matching(&self, relation: &Relation, asking: &str, clash: bool) -> Vec<ItemId> {
        let slots = self.slots_of(&relation.name).iter();
        let real = slots.flat_map(|slot| self.slots[*slot].items.iter());
        let real = real.filter(|item| {
            let Item { facts, origin, .. } = &self.items[**item];
            let architecture = self.real(&facts.architecture);
            *origin != Origin::Absent
                && relation.admits(&facts.version)
                && self.architecture_fits(relation, asking, architecture, facts.multi_arch, clash)
        });
        let provided = self.providers_of(&relation.name).iter().filter(|item| {
            let facts = self.items[**item].facts;
            facts
                .provides
                .0
                .iter()
                .flatten()
                .any(|provided| self.provides(relation, asking, facts, provided, clash))
        });
        let mut out: Vec<ItemId> = real.chain(provided).copied().collect();
        out.sort_unstable();
        out.dedup();
        out
    }

    /// Whether `provided`, of the package `facts`, is what `relation` means: a relation with a
    /// version is not satisfied by a name that is provided without one.
    fn provides(
        &self,
        relation: &Relation,
        asking: &str,
        facts: &PackageFacts,
        provided: &Relation,
        clash: bool,
    ) -> bool {
        let version = match (&relation.version, &provided.version) {
            (None, _) => true,
            (Some(_), Some((_, version))) => relation.admits(version),
            (Some(_), None) => false,
        };
        let architecture = provided.qualifier.as_deref();
        let architecture = architecture.unwrap_or_else(|| self.real(&facts.architecture));
        // dpkg looks at no architecture where packages exclude what others provide.
        provided.name == relation.name
            && version
            && (clash
                || self.architecture_fits(relation, asking, architecture, facts.multi_arch, false))
    }

    fn architecture_fits(
        &self,
        relation: &Relation,
        asking: &str,
        architecture: &str,
        multi_arch: MultiArch,
        clash: bool,
    ) -> bool {
        match relation.qualifier.as_deref() {
            None => clash || asking == architecture || multi_arch == MultiArch::Foreign,
            Some("any") => clash || multi_arch == MultiArch::Allowed || architecture == "any",
            Some(named) => named == architecture,
        }
    }
}

/// What distinguishes two packages of one name, version and source: nothing in a sound
/// repository, but the choice must not depend on their order.
fn description(facts: &PackageFacts) -> impl Ord + use<> {
    (
        facts.architecture.clone(),
        facts.multi_arch,
        facts.essential,
        facts.depends.to_string(),
        facts.pre_depends.to_string(),
        facts.conflicts.to_string(),
        facts.breaks.to_string(),
        facts.provides.to_string(),
        facts.recommends.to_string(),
    )
}
