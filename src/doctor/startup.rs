//! What acts by itself, and what `plan` refuses: the same judgement, with codes.

use super::{Finding, System, codes};
use crate::edit::startup_acting::{self, Acting};
use crate::plan::accepted::AcceptedFiles;
use crate::problem::{Problem, Problems};
use crate::stamp::Time;
use crate::tree::{Stat, Tree};

/// Findings about services, scripts and rules that act by themselves.
pub(super) fn examine(system: &System<'_>, accepted: &AcceptedFiles) -> Vec<Finding> {
    let none = Tree::new(Stat::root(0o755, Time::default()));
    let boot = system.boot.unwrap_or(&none);
    let acting = startup_acting::acting(system.root, boot, system.boot_mount, accepted);
    acting.into_iter().map(finding).collect()
}

fn finding(acting: Acting) -> Finding {
    if acting.undone {
        let text = "a conversion disables this";
        return Finding::new(&codes::STARTUP_UNDONE, text).at(acting.place, acting.text);
    }
    let text = "this acts by itself on devices, and a conversion refuses it";
    let finding = Finding::new(&codes::STARTUP_ACTS, text).at(acting.place, acting.text);
    match acting.hint {
        Some(hint) => finding.remedy(hint),
        None => finding,
    }
}

/// Findings for what a plan refused, without those that `found` already has.
#[must_use]
pub fn refusals(error: &anyhow::Error, found: &[Finding]) -> Vec<Finding> {
    let known = |problem: &&Problem| {
        let mut evidence = found.iter().flat_map(|finding| &finding.evidence);
        evidence.any(|one| {
            let rest = problem.message.strip_prefix(one.path.as_str());
            !one.path.is_empty() && rest.is_some_and(|rest| rest.starts_with(':'))
        })
    };
    let problems = problems(error);
    let new = problems.iter().filter(|problem| !known(problem));
    let finding = |problem: &Problem| {
        let finding = Finding::new(&codes::REFUSED, problem.message.clone());
        match &problem.hint {
            Some(hint) => finding.remedy(hint.clone()),
            None => finding.remedy("change the image or the configuration"),
        }
    };
    new.map(finding).collect()
}

/// The problems of an error; one of another kind is a problem itself.
fn problems(error: &anyhow::Error) -> Vec<Problem> {
    for cause in error.chain() {
        if let Some(problems) = cause.downcast_ref::<Problems>() {
            return problems.0.clone();
        }
        if let Some(problem) = cause.downcast_ref::<Problem>() {
            return vec![problem.clone()];
        }
    }
    vec![Problem::new(format!("{error:#}"))]
}
