//! The rules, one test each; the packages of each test are lines of text.

mod architectures;
mod brute_force;
mod bundle;
mod installed;
mod recommends;
mod relations;
mod words;

use super::*;
use crate::deb::{PackageFacts, Relations};

/// A package from `name version | Field: value | ...`. `Architecture` is amd64 and `Source` 0
/// without such a field.
pub(super) fn package(line: &str) -> Candidate {
    let mut parts = line.split(" | ").flat_map(|part| part.split(" || "));
    let head: Vec<&str> = parts.next().unwrap().split_whitespace().collect();
    let mut source = 0;
    let mut out = PackageFacts {
        name: head[0].to_owned(),
        version: head[1].parse().unwrap(),
        architecture: "amd64".to_owned(),
        multi_arch: MultiArch::No,
        essential: false,
        depends: Relations::default(),
        pre_depends: Relations::default(),
        recommends: Relations::default(),
        conflicts: Relations::default(),
        breaks: Relations::default(),
        replaces: Relations::default(),
        provides: Relations::default(),
    };
    let mut fields: Vec<(String, String)> = Vec::new();
    for part in parts {
        match part.split_once(": ") {
            Some((field, value)) => fields.push((field.trim().to_owned(), value.to_owned())),
            // An alternative of the field before.
            None => fields.last_mut().unwrap().1 += &format!(" | {part}"),
        }
    }
    for (field, value) in &fields {
        let relations = || Relations::parse(value, "amd64").unwrap();
        match field.as_str() {
            "Architecture" => out.architecture = value.trim().to_owned(),
            "Multi-Arch" => {
                out.multi_arch = match value.trim() {
                    "same" => MultiArch::Same,
                    "foreign" => MultiArch::Foreign,
                    "allowed" => MultiArch::Allowed,
                    other => panic!("{other}"),
                }
            }
            "Essential" => out.essential = true,
            "Depends" => out.depends = relations(),
            "Pre-Depends" => out.pre_depends = relations(),
            "Recommends" => out.recommends = relations(),
            "Conflicts" => out.conflicts = relations(),
            "Breaks" => out.breaks = relations(),
            "Replaces" => out.replaces = relations(),
            "Provides" => out.provides = relations(),
            "Source" => source = value.trim().parse().unwrap(),
            other => panic!("{other}"),
        }
    }
    Candidate {
        facts: out,
        source,
        id: 0,
    }
}

/// A request for `wanted` (separated by blanks) from `candidates`, one package a line.
pub(super) fn request(candidates: &str, installed: &str, wanted: &str) -> Request {
    let packages = |text: &str| {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        lines.map(package).collect::<Vec<_>>()
    };
    Request {
        architecture: "amd64".to_owned(),
        foreign: vec!["arm64".to_owned()],
        candidates: packages(candidates),
        installed: packages(installed),
        wanted: wanted
            .split_whitespace()
            .map(|text| Want::parse(text).unwrap())
            .collect(),
        may_remove: true,
        ..Request::default()
    }
}

/// `name version` of a package, with its architecture if that is not amd64.
pub(super) fn show(facts: &PackageFacts) -> String {
    let architecture = match facts.architecture.as_str() {
        "amd64" => String::new(),
        other => format!(":{other}"),
    };
    format!("{}{architecture} {}", facts.name, facts.version)
}

/// The answer as a text: packages with `+`, removals with `-`; or the first reason.
pub(super) fn answer(request: &Request) -> String {
    match resolve(request) {
        Ok(solution) => {
            let new = solution.packages.iter();
            let new = new.map(|one| format!("+{}", show(&request.candidates[one.candidate].facts)));
            let gone = solution.removed.iter();
            let gone =
                gone.map(|one| format!("-{}", show(&request.installed[one.installed].facts)));
            new.chain(gone).collect::<Vec<_>>().join(", ")
        }
        Err(unsolvable) => format!("no: {unsolvable}"),
    }
}

/// The answer to a request with nothing installed.
pub(super) fn fresh(candidates: &str, wanted: &str) -> String {
    answer(&request(candidates, "", wanted))
}

/// The only reason why there is no solution.
pub(super) fn reason(request: &Request) -> String {
    let unsolvable = resolve(request).expect_err("a request without a solution");
    assert_eq!(unsolvable.reasons.len(), 1, "{unsolvable}");
    unsolvable.reasons[0].problem.to_string()
}
