//! Wanted packages, and what alone shows that one cannot be had.

use super::request::Want;
use super::rules::{Fact, Rule};
use super::universe::{ItemId, Origin, Universe};
use crate::nearest::nearest;
use crate::problem::Problem;

/// How many versions and names a message lists.
const LISTED: usize = 6;

/// The rules of the wanted packages.
///
/// # Errors
/// All wanted packages that no repository has.
pub(super) fn rules(universe: &Universe) -> Result<Vec<(Fact, Rule)>, Vec<Problem>> {
    let mut rules = Vec::new();
    let mut problems = Vec::new();
    for (at, want) in universe.request.wanted.iter().enumerate() {
        match satisfying(universe, want) {
            Ok(items) => rules.push((Fact::Wanted(at), Rule::OneOf(items))),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok(rules)
    } else {
        Err(problems)
    }
}

/// The items that a wanted package means, the preferred first.
fn satisfying(universe: &Universe, want: &Want) -> Result<Vec<ItemId>, Problem> {
    let all = of_any_version(universe, want);
    let mut items = all.clone();
    items.retain(|item| want.constraint.admits(&universe.items[*item].facts.version));
    if !items.is_empty() {
        Ok(items)
    } else if all.is_empty() {
        virtual_package(universe, want)
    } else {
        let name = name(want);
        let listed: Vec<String> = all.iter().map(|item| offer(universe, *item)).collect();
        let problem = Problem::new(format!(
            "`{}` is wanted, and no repository has such a version of {name}; there is {}",
            want.text,
            list(&listed)
        ));
        let newest = &universe.items[all[0]].facts.version;
        Err(problem.hint(format!("`{name}={newest}` exists")))
    }
}

/// All versions of a wanted package.
pub(super) fn of_any_version(universe: &Universe, want: &Want) -> Vec<ItemId> {
    let native = &universe.request.architecture;
    let architecture = want.architecture.as_ref().unwrap_or(native);
    let mut slots = universe.slots_of(&want.package).iter();
    let slot = slots.find(|slot| universe.slots[**slot].architecture == architecture);
    let mut items = slot.map_or(Vec::new(), |slot| universe.slots[*slot].items.clone());
    items.retain(|item| universe.items[*item].origin != Origin::Absent);
    items
}

/// A name that no package has may be one that a single package provides.
fn virtual_package(universe: &Universe, want: &Want) -> Result<Vec<ItemId>, Problem> {
    let native = &universe.request.architecture;
    let architecture = want.architecture.as_ref().unwrap_or(native);
    let mut providers = universe.providers_of(&want.package).to_vec();
    providers.retain(|item| {
        let item = &universe.items[*item];
        let admits = |version: &Option<_>| match version {
            Some((_, version)) => want.constraint.admits(version),
            None => want.constraint.is_any(),
        };
        let mut provides = item.facts.provides.0.iter().flatten();
        universe.slots[item.slot].architecture == architecture
            && provides.any(|provided| provided.name == want.package && admits(&provided.version))
    });
    providers.sort_by_key(|item| (universe.items[*item].slot, universe.items[*item].rank));
    let mut names: Vec<String> = providers
        .iter()
        .map(|item| universe.items[*item].facts.name.clone())
        .collect();
    names.dedup();
    match names.len() {
        0 => Err(unknown(universe, want)),
        1 => Ok(providers),
        _ => Err(Problem::new(format!(
            "`{}` is wanted, which is a name that several packages provide: {}",
            want.text,
            list(&names)
        ))
        .hint("write the name of one of them instead")),
    }
}

fn unknown(universe: &Universe, want: &Want) -> Problem {
    let name = name(want);
    let problem = Problem::new(format!(
        "`{}` is wanted, and no repository has a package {name}",
        want.text
    ));
    let slots = universe.slots_of(&want.package);
    if !slots.is_empty() {
        let others: Vec<String> = slots
            .iter()
            .map(|slot| format!("`{}:{}`", want.package, universe.slots[*slot].architecture))
            .collect();
        return problem.hint(format!(
            "for other architectures there is {}",
            list(&others)
        ));
    }
    let architecture = want.architecture.as_deref();
    if let Some(architecture) = architecture.filter(|name| {
        *name != universe.request.architecture
            && !universe.request.foreign.iter().any(|a| a == name)
    }) {
        return problem.hint(format!(
            "the image's dpkg does not accept packages of {architecture}: `dpkg \
             --add-architecture {architecture}` in the golden image"
        ));
    }
    match nearest(&want.package, universe.names()) {
        Some(near) => problem.hint(format!("did you mean `{near}`?")),
        None => problem.hint("check the name, and whether the suites and components are complete"),
    }
}

fn name(want: &Want) -> String {
    match &want.architecture {
        Some(architecture) => format!("{}:{architecture}", want.package),
        None => want.package.clone(),
    }
}

/// A version, and where it comes from.
fn offer(universe: &Universe, item: ItemId) -> String {
    let item = &universe.items[item];
    let version = &item.facts.version;
    match item.origin {
        Origin::Candidate(at) => {
            let request = universe.request;
            match request.sources.get(request.candidates[at].source) {
                Some(source) if !source.name.is_empty() => format!("{version} ({})", source.name),
                _ => version.to_string(),
            }
        }
        _ => format!("{version} (installed)"),
    }
}

/// Words in a row; of many, the first.
pub(super) fn list(words: &[String]) -> String {
    match words.split_last() {
        None => "none".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, first)) if words.len() <= LISTED => format!("{} and {last}", first.join(", ")),
        Some(_) => {
            let (shown, rest) = words.split_at(LISTED - 1);
            format!("{} and {} others", shown.join(", "), rest.len())
        }
    }
}
