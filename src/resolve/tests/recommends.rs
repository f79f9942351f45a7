//! Recommended packages: taken where they fit, never required.

use super::*;

fn with(candidates: &str, installed: &str, wanted: &str) -> (String, Vec<String>) {
    let mut request = request(candidates, installed, wanted);
    request.recommends = true;
    let notes = resolve(&request).unwrap().notes;
    (answer(&request), notes)
}

#[test]
fn recommended_packages_come_with_theirs() {
    let all = "a 1 | Recommends: b, c | d
        b 1 | Depends: e | Recommends: f
        d 1
        e 1
        f 1";
    let (found, notes) = with(all, "", "a");
    assert_eq!(found, "+a 1, +b 1, +d 1, +e 1, +f 1");
    assert!(notes.is_empty(), "{notes:?}");
    let off = request(all, "", "a");
    assert_eq!(answer(&off), "+a 1");
    assert_eq!(
        resolve(&off).unwrap().notes,
        ["recommended packages are not asked for: b and d are left out"]
    );
}

#[test]
fn what_does_not_fit_is_left_out_with_the_reason() {
    let all = "a 1 | Recommends: missing, b, c, d
        b 1 | Depends: missing
        c 1 | Conflicts: x
        d 1";
    let (found, notes) = with(all, "x 1", "a");
    assert_eq!(found, "+a 1, +d 1");
    assert_eq!(
        notes,
        [
            "a recommends missing, which is left out: no repository has it",
            "a recommends b, which is left out: b 1 depends on missing, which no repository has",
            "a recommends c, which is left out: c 1 conflicts with x; x 1 is installed",
        ]
    );
}

#[test]
fn they_change_nothing_that_is_installed_or_chosen() {
    let all = "a 1 | Recommends: b
        b 2 | Depends: x (>= 2)
        b 1
        x 2";
    let mut wanted = request(all, "x 1", "a");
    wanted.recommends = true;
    wanted.may_change = vec!["x".to_owned()];
    assert_eq!(answer(&wanted), "+a 1, +b 1", "an older one that fits");
    let all = "a 2 | Recommends: b
        b 1 | Conflicts: a (>= 2)
        a 1";
    let (found, notes) = with(all, "", "a");
    assert_eq!(found, "+a 2");
    assert_eq!(
        notes,
        ["a recommends b, which is left out: a 2 is to be installed; b 1 conflicts with a (>= 2)"]
    );
}

#[test]
fn earlier_recommendations_come_first() {
    let all = "a 1 | Recommends: b, c, d
        b 1
        c 1 | Conflicts: b
        d 1";
    let (found, notes) = with(all, "", "a");
    assert_eq!(found, "+a 1, +b 1, +d 1");
    assert_eq!(notes.len(), 1, "{notes:?}");
}

#[test]
fn the_reason_names_the_package_that_recommends() {
    let mut request = request("a 1 | Recommends: b (>= 1)\nb 1", "", "a");
    request.recommends = true;
    let solution = resolve(&request).unwrap();
    assert_eq!(
        solution.packages[1].why.to_string(),
        "a recommends b (>= 1)"
    );
}
