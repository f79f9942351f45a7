//! Small random requests, compared with all states that there could be. The rules are written
//! down here once more, from Debian Policy and `deb-control(5)`, and share no code with the room.

use super::*;
use crate::deb::Relation;
use crate::resolve::{explain, rules, solver, universe, wants};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// What a slot (name and architecture) holds: a package, and whether it is the installed one.
type State<'a> = BTreeMap<(String, String), (&'a PackageFacts, bool)>;

fn architecture(facts: &PackageFacts) -> &str {
    match facts.architecture.as_str() {
        "all" => "amd64",
        other => other,
    }
}

fn key(facts: &PackageFacts) -> (String, String) {
    (facts.name.clone(), architecture(facts).to_owned())
}

/// Whether `by` is what `relation` of `asking` means.
fn means(relation: &Relation, asking: &PackageFacts, by: &PackageFacts, clash: bool) -> bool {
    let fits = match relation.qualifier.as_deref() {
        None => {
            clash || architecture(by) == architecture(asking) || by.multi_arch == MultiArch::Foreign
        }
        Some("any") => clash || by.multi_arch == MultiArch::Allowed,
        Some(named) => architecture(by) == named,
    };
    let real = by.name == relation.name && relation.admits(&by.version);
    let provided = by.provides.0.iter().flatten().any(|provided| {
        provided.name == relation.name
            && match (&relation.version, &provided.version) {
                (None, _) => true,
                (Some((operator, bound)), Some((_, version))) => operator.holds(version, bound),
                (Some(_), None) => false,
            }
    });
    fits && real || (fits || clash) && provided
}

fn holds(group: &[Relation], asking: &PackageFacts, state: &State) -> bool {
    let one = |relation: &Relation| {
        state
            .values()
            .any(|(by, _)| means(relation, asking, by, false))
    };
    group.iter().any(one)
}

fn groups(facts: &PackageFacts) -> impl Iterator<Item = &Vec<Relation>> {
    facts.depends.0.iter().chain(&facts.pre_depends.0)
}

fn at_first(request: &Request) -> State<'_> {
    let mut state = State::new();
    for Candidate { facts, .. } in &request.installed {
        state.entry(key(facts)).or_insert((facts, true));
    }
    state
}

fn fitting(request: &Request, state: &State) -> bool {
    let first = at_first(request);
    for (facts, old) in state.values() {
        let needs = groups(facts)
            .all(|group| holds(group, facts, state) || (*old && !holds(group, facts, &first)));
        let clashes = state.values().any(|(other, other_old)| {
            let mut relations = facts.conflicts.0.iter().chain(&facts.breaks.0).flatten();
            let clash = facts.name != other.name
                && relations.any(|relation| means(relation, facts, other, true));
            let instances = facts.name == other.name
                && architecture(facts) != architecture(other)
                && !(facts.multi_arch == MultiArch::Same
                    && other.multi_arch == MultiArch::Same
                    && facts.version == other.version);
            (clash || instances) && !(*old && *other_old)
        });
        if !needs || clashes {
            return false;
        }
    }
    true
}

fn allowed(request: &Request, state: &State) -> bool {
    let wants = |key: &(String, String)| {
        let key = key.clone();
        request.wanted.iter().filter(move |want| {
            want.package == key.0 && want.architecture.as_deref().unwrap_or("amd64") == key.1
        })
    };
    for (key, (old, _)) in at_first(request) {
        let now = state.get(&key);
        let listed = request.may_change.contains(&key.0);
        let fine = if wants(&key).next().is_some() {
            let down = wants(&key).any(|want| !want.constraint.admits(&old.version));
            now.is_some_and(|(new, _)| down || new.version >= old.version)
        } else if listed {
            now.map_or(request.may_remove && !old.essential, |(new, _)| {
                new.version >= old.version
            })
        } else {
            now.is_some_and(|(_, is_old)| *is_old)
        };
        if !fine {
            return false;
        }
    }
    request.wanted.iter().all(|want| {
        let architecture = want.architecture.as_deref().unwrap_or("amd64");
        let key = (want.package.clone(), architecture.to_owned());
        state
            .get(&key)
            .is_some_and(|(new, _)| want.constraint.admits(&new.version))
    })
}

/// All states that are allowed and in which all relations hold.
fn all_states(request: &Request) -> Vec<State<'_>> {
    let mut choices: BTreeMap<(String, String), Vec<(&PackageFacts, bool)>> = BTreeMap::new();
    for (key, installed) in at_first(request) {
        choices.entry(key).or_default().push(installed);
    }
    for Candidate { facts, .. } in &request.candidates {
        choices.entry(key(facts)).or_default().push((facts, false));
    }
    let mut states = vec![State::new()];
    for (key, list) in choices {
        let mut next = Vec::new();
        for state in states {
            for &choice in &list {
                let mut with = state.clone();
                with.insert(key.clone(), choice);
                next.push(with);
            }
            next.push(state);
        }
        states = next;
    }
    states.retain(|state| allowed(request, state) && fitting(request, state));
    states
}

fn final_state<'a>(request: &'a Request, solution: &Solution) -> State<'a> {
    let mut state = at_first(request);
    for one in &solution.removed {
        state.remove(&key(&request.installed[one.installed].facts));
    }
    for one in &solution.packages {
        let facts = &request.candidates[one.candidate].facts;
        state.insert(key(facts), (facts, false));
    }
    state
}

/// Newest first, as they are listed.
fn wanted_are_the_newest(request: &Request, state: &State, states: &[State]) {
    let mut left: Vec<&State> = states.iter().collect();
    for want in &request.wanted {
        let architecture = want.architecture.as_deref().unwrap_or("amd64");
        let key = (want.package.clone(), architecture.to_owned());
        let newest = left
            .iter()
            .map(|state| &state[&key].0.version)
            .max()
            .unwrap();
        assert_eq!(&state[&key].0.version, newest, "{}", want.text);
        left.retain(|other| other[&key].0.version == state[&key].0.version);
    }
}

fn nothing_without_a_reason(request: &Request, state: &State) {
    for (key, (facts, old)) in state {
        let wanted = request.wanted.iter().any(|want| want.package == key.0);
        let was_there = at_first(request).contains_key(key);
        let needed = state.values().any(|(other, other_old)| {
            let recommends = other.recommends.0.iter().filter(|_| !other_old);
            let mut all = groups(other).chain(recommends).flatten();
            all.any(|relation| means(relation, other, facts, false))
        });
        assert!(
            *old || wanted || was_there || needed,
            "nothing needs {}",
            show(facts)
        );
    }
}

/// What is left out fits with nothing that could be added to the answer.
fn recommendations_are_taken(state: &State, states: &[State]) {
    let beyond: Vec<&State> = states
        .iter()
        .filter(|other| {
            state.iter().all(|(key, value)| {
                other
                    .get(key)
                    .is_some_and(|(facts, _)| std::ptr::eq(*facts, value.0))
            })
        })
        .collect();
    for (facts, old) in state.values() {
        for group in facts.recommends.0.iter().filter(|_| !old) {
            let fits = beyond.iter().any(|other| holds(group, facts, other));
            assert!(
                holds(group, facts, state) || !fits,
                "{} {group:?}",
                show(facts)
            );
        }
    }
}

/// Each reason is a contradiction, and none without one of its facts.
fn reasons_are_minimal(request: &Request) {
    let universe = universe::Universe::new(request);
    let Ok(mut roots) = wants::rules(&universe) else {
        return;
    };
    roots.extend(rules::of_installed(&universe));
    let found = solver::Solver::new(&universe, None)
        .solve(&roots)
        .unwrap_err();
    let fewest = explain::fewest(&universe, &roots, found);
    let without = |left_out: Option<usize>| {
        let kept = fewest
            .iter()
            .enumerate()
            .filter(|(at, _)| Some(*at) != left_out);
        let facts: BTreeSet<rules::Fact> = kept.flat_map(|(_, group)| group.clone()).collect();
        explain::contradict(&universe, &roots, &facts)
    };
    assert!(without(None).is_some());
    for (at, group) in fewest.iter().enumerate() {
        assert!(without(Some(at)).is_none(), "{group:?} is not needed");
    }
}

fn check(request: &Request) {
    // Names that no package has are judged in `relations`.
    let is_real = |want: &Want| {
        let mut all = request.candidates.iter().chain(&request.installed);
        let of_want = (
            want.package.clone(),
            want.architecture.clone().unwrap_or("amd64".into()),
        );
        all.any(|one| key(&one.facts) == of_want)
    };
    if !request.wanted.iter().all(is_real) {
        return;
    }
    let states = all_states(request);
    match resolve(request) {
        Ok(solution) => {
            let state = final_state(request, &solution);
            assert!(allowed(request, &state), "not allowed: {}", answer(request));
            assert!(
                fitting(request, &state),
                "does not fit: {}",
                answer(request)
            );
            wanted_are_the_newest(request, &state, &states);
            nothing_without_a_reason(request, &state);
            if request.recommends {
                recommendations_are_taken(&state, &states);
            }
            let mut turned = request.clone();
            turned.candidates.reverse();
            turned.installed.reverse();
            let again = resolve(&turned).unwrap();
            assert_eq!(answer(request), answer(&turned));
            assert_eq!(solution.notes, again.notes);
        }
        Err(unsolvable) => {
            assert!(states.is_empty(), "there is a solution: {unsolvable}");
            assert!(
                unsolvable
                    .reasons
                    .iter()
                    .all(|reason| !reason.problem.message.is_empty())
            );
            reasons_are_minimal(request);
        }
    }
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// A relation on one of the names or on a virtual one.
fn relation() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["a", "b", "c", "d", "v", "w"]);
    let qualifier = prop::sample::select(vec!["", "", "", "", "", ":any", ":arm64"]);
    let version = prop::sample::select(vec![
        "", "", "", " (= 1)", " (= 2)", " (>= 2)", " (<< 2)", " (<= 2)", " (>> 1)",
    ]);
    (name, qualifier, version)
        .prop_map(|(name, qualifier, version)| format!("{name}{qualifier}{version}"))
}

fn field(name: &'static str, most: usize) -> impl Strategy<Value = String> {
    let group = prop::collection::vec(relation(), 1..=2).prop_map(|all| all.join(" || "));
    let group = if name == "Conflicts" || name == "Breaks" {
        relation().boxed()
    } else {
        group.boxed()
    };
    prop::collection::vec(group, 0..=most).prop_map(move |groups| {
        if groups.is_empty() {
            String::new()
        } else {
            format!(" | {name}: {}", groups.join(", "))
        }
    })
}

fn a_package() -> impl Strategy<Value = Candidate> {
    let architecture =
        prop::sample::select(vec!["amd64", "amd64", "amd64", "amd64", "all", "arm64"]);
    let multi_arch = prop::sample::select(vec![
        "",
        "",
        "",
        " | Multi-Arch: same",
        " | Multi-Arch: same",
        " | Multi-Arch: foreign",
        " | Multi-Arch: allowed",
    ]);
    let provides = prop::sample::select(vec![
        "",
        "",
        "",
        " | Provides: v",
        " | Provides: v (= 1), w",
        " | Provides: v (= 2)",
        " | Provides: w, a (= 2)",
    ]);
    let head = (
        prop::sample::select(NAMES.to_vec()),
        1..4_u32,
        architecture,
        multi_arch,
        provides,
        prop::sample::select(vec!["", "", "", "", " | Essential: yes"]),
    );
    let fields = (
        field("Depends", 2),
        field("Pre-Depends", 1),
        field("Recommends", 2),
        field("Conflicts", 1),
        field("Breaks", 1),
    );
    (head, fields).prop_map(|(head, fields)| {
        let (name, version, architecture, multi_arch, provides, essential) = head;
        let (depends, pre, recommends, conflicts, breaks) = fields;
        package(&format!(
            "{name} {version} | Architecture: {architecture}{multi_arch}{provides}{essential}\
             {depends}{pre}{recommends}{conflicts}{breaks}"
        ))
    })
}

prop_compose! {
    fn a_request()(
        candidates in prop::collection::vec(a_package(), 1..9),
        installed in prop::collection::vec(a_package(), 0..4),
        wanted in prop::collection::vec(
            (prop::sample::select(NAMES.to_vec()),
             prop::sample::select(vec!["", "", "", "", ":arm64"]),
             prop::sample::select(vec!["", "", "", "=1", ">=2", "<<3"])),
            1..3),
        may_change in prop::collection::vec(prop::sample::select(NAMES.to_vec()), 0..3),
        may_remove in any::<bool>(),
        recommends in any::<bool>(),
    ) -> Request {
        // A version of a package is there once: what two of them would say is not defined.
        let mut seen = BTreeSet::new();
        let mut installed: Vec<Candidate> = installed;
        installed.retain(|one| seen.insert(key(&one.facts)));
        let mut seen: BTreeSet<_> = installed
            .iter()
            .map(|one| (key(&one.facts), one.facts.version.to_string()))
            .collect();
        let mut candidates: Vec<Candidate> = candidates;
        candidates.retain(|one| seen.insert((key(&one.facts), one.facts.version.to_string())));
        let wanted = wanted.into_iter();
        let wanted = wanted.map(|(name, architecture, version)| {
            Want::parse(&format!("{name}{architecture}{version}")).unwrap()
        });
        Request {
            architecture: "amd64".to_owned(),
            foreign: vec!["arm64".to_owned()],
            sources: Vec::new(),
            candidates,
            installed,
            wanted: wanted.collect(),
            recommends,
            may_change: may_change.into_iter().map(str::to_owned).collect(),
            may_remove,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("RESOLVE_CASES").map_or(150, |cases| cases.parse().unwrap()),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn answers_are_those_of_all_states(request in a_request()) {
        check(&request);
    }
}
