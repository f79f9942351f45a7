//! The choice of packages: which versions of which packages to install so that every relation of
//! Debian Policy chapter 7 holds.
//!
//! ```text
//! Request: packages of repositories, packages installed, what is wanted
//!   -> universe    names, providers and order of preference
//!   -> rules       what holds between packages, one fact per relation
//!   -> solver      whether facts can hold together (a SAT solver; the only file that knows it)
//!   -> choose      the first of all solutions in the order of preference
//!   -> Solution: what to install and why, what is removed, what was left out
//!      or Unsolvable: the fewest facts that contradict each other, in words
//! ```
//!
//! This room is a pure function: it reads no files, no network and no clock, and the same request
//! has the same answer, in whatever order its packages are given.

mod answer;
mod choose;
mod constraint;
mod explain;
mod request;
mod rules;
mod solution;
mod solver;
mod universe;
mod wants;
mod words;

pub use constraint::{ConstraintError, VersionConstraint};
pub use request::{Candidate, MultiArch, Request, Source, Want};
pub use solution::{Chosen, Reason, Removed, Solution, Unsolvable, Why};

use choose::Choice;
use universe::Universe;

/// Chooses the packages to install.
///
/// # Errors
/// [`Unsolvable`] with everything that makes the request impossible.
pub fn resolve(request: &Request) -> Result<Solution, Unsolvable> {
    let universe = Universe::new(request);
    let mut roots = wants::rules(&universe).map_err(|problems| Unsolvable {
        reasons: problems.into_iter().map(Into::into).collect(),
    })?;
    roots.extend(rules::of_installed(&universe));
    match Choice::new(&universe, roots.clone()) {
        Ok(choice) => Ok(answer::solution(&universe, choice)),
        Err(_) => Err(Unsolvable {
            reasons: words::problems(&universe, &roots),
        }),
    }
}

#[cfg(test)]
mod tests;
