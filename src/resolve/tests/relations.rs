//! Dependencies, alternatives, virtual packages, conflicts.

use super::*;

#[test]
fn dependencies_are_followed_to_the_newest_versions_that_fit() {
    let all = "a 1 | Depends: b (>= 2), c (<< 3)
        b 1
        b 2
        b 3
        c 2
        c 3
        d 1";
    assert_eq!(fresh(all, "a"), "+a 1, +b 3, +c 2");
    let both = "a 1 | Pre-Depends: b
        b 1 | Depends: a";
    assert_eq!(fresh(both, "a"), "+a 1, +b 1", "a circle");
}

#[test]
fn an_older_version_is_taken_if_the_newest_cannot_be_had() {
    let all = "a 2 | Depends: missing
        a 1 | Depends: b
        b 2 | Depends: missing
        b 1";
    assert_eq!(fresh(all, "a"), "+a 1, +b 1");
}

#[test]
fn the_versions_asked_for_are_taken() {
    let all = "a 5.1.0-1
        a 5.0.9-1
        a 5.0.2-1";
    assert_eq!(fresh(all, "a=5.0.*"), "+a 5.0.9-1");
    assert_eq!(fresh(all, "a<<5.0.9"), "+a 5.0.2-1");
    assert_eq!(fresh(all, "a=5.0.2-1"), "+a 5.0.2-1");
    assert_eq!(fresh(all, "a>=5.0,<<5.1"), "+a 5.0.9-1");
}

#[test]
fn what_is_wanted_first_gets_its_newest_version() {
    let all = "a 2 | Conflicts: b (>= 2)
        a 1
        b 2
        b 1";
    assert_eq!(fresh(all, "a b"), "+a 2, +b 1");
    assert_eq!(fresh(all, "b a"), "+a 1, +b 2");
}

#[test]
fn the_first_alternative_that_can_be_had_is_taken() {
    let all = "a 1 | Depends: b | c
        b 1 | Depends: missing
        c 1";
    assert_eq!(fresh(all, "a"), "+a 1, +c 1");
    let all = "a 1 | Depends: b | c
        b 1
        c 1";
    assert_eq!(fresh(all, "a"), "+a 1, +b 1");
    assert_eq!(
        fresh(all, "a c"),
        "+a 1, +c 1",
        "one that is wanted satisfies it"
    );
    let installed = request(all, "c 0", "a");
    assert_eq!(answer(&installed), "+a 1", "and so does an installed one");
}

#[test]
fn an_alternative_that_something_else_needs_is_not_doubled() {
    let all = "a 1 | Depends: b | c, d
        b 1
        c 1
        d 1 | Depends: c";
    assert_eq!(fresh(all, "a"), "+a 1, +c 1, +d 1");
}

#[test]
fn virtual_packages_are_had_by_what_provides_them() {
    let all = "a 1 | Depends: mail
        x 1 | Provides: mail";
    assert_eq!(fresh(all, "a"), "+a 1, +x 1");
    let real_first = format!("{all}\n mail 1\n exim 1 | Provides: mail");
    assert_eq!(fresh(&real_first, "a"), "+a 1, +mail 1");
    let mut installed = request(&real_first, "x 1 | Provides: mail", "a");
    assert_eq!(answer(&installed), "+a 1");
    installed.may_change = vec!["x".to_owned()];
    assert_eq!(answer(&installed), "+a 1", "also one that may change");
}

#[test]
fn a_version_is_satisfied_by_what_is_provided_with_a_version() {
    let all = "a 1 | Depends: api (>= 2)
        u 9 | Provides: api
        v 9 | Provides: api (= 1)
        w 1 | Provides: api (= 2)";
    assert_eq!(fresh(all, "a"), "+a 1, +w 1");
    let none = "a 1 | Depends: api (>= 2)
        u 9 | Provides: api";
    assert!(fresh(none, "a").starts_with("no: "), "{}", fresh(none, "a"));
}

#[test]
fn a_wanted_name_may_be_one_that_a_single_package_provides() {
    assert_eq!(fresh("x 1 | Provides: mail", "mail"), "+x 1");
    let two = "x 1 | Provides: mail
        y 1 | Provides: mail";
    assert!(fresh(two, "mail").contains("several packages provide: x and y"));
    assert_eq!(fresh("x 1 | Provides: mail (= 3)", "mail>=3"), "+x 1");
    assert!(fresh("x 1 | Provides: mail", "mail>=3").starts_with("no: "));
}

#[test]
fn conflicts_and_breaks_hold_in_both_directions() {
    for field in ["Conflicts", "Breaks"] {
        let all = format!(
            "a 1 | {field}: b (<< 2)
            b 2
            b 1"
        );
        assert_eq!(fresh(&all, "a b"), "+a 1, +b 2");
        assert!(fresh(&all, "a b=1").starts_with("no: "));
        assert!(fresh(&all, "b=1 a").starts_with("no: "));
    }
}

#[test]
fn a_conflict_with_a_virtual_package_is_one_with_all_others_that_provide_it() {
    let all = "x 1 | Provides: mail | Conflicts: mail
        y 1 | Provides: mail | Conflicts: mail";
    assert_eq!(
        fresh(all, "x"),
        "+x 1",
        "a package never conflicts with itself"
    );
    assert!(fresh(all, "x y").starts_with("no: "));
    let versioned = "x 1 | Conflicts: api (<< 2)
        u 1 | Provides: api
        v 1 | Provides: api (= 1)";
    assert_eq!(fresh(versioned, "x u"), "+u 1, +x 1");
    assert!(fresh(versioned, "x v").starts_with("no: "));
}

#[test]
fn a_package_does_not_conflict_with_other_versions_of_itself() {
    assert_eq!(fresh("a 2 | Conflicts: a (<< 3)", "a"), "+a 2");
}

#[test]
fn two_relations_make_a_range() {
    let all = "a 1 | Conflicts: x (<< 2), x (>= 3)
        x 3
        x 2.5
        x 1";
    assert_eq!(fresh(all, "a x"), "+a 1, +x 2.5");
}

#[test]
fn a_source_of_higher_priority_is_preferred() {
    let mut request = request(
        "a 2
        a 1 | Source: 1
        a 3",
        "",
        "a",
    );
    let source = |name: &str, priority| Source {
        name: name.to_owned(),
        priority,
    };
    request.sources = vec![source("debian", 500), source("vendor", 500)];
    assert_eq!(answer(&request), "+a 3");
    request.sources[1].priority = 900;
    assert_eq!(answer(&request), "+a 1");
    request.wanted = vec![Want::parse("a>=2").unwrap()];
    assert_eq!(answer(&request), "+a 3");
    // The same version: from the preferred source, whatever the order.
    request.candidates = vec![package("a 1"), package("a 1 | Source: 1")];
    request.wanted = vec![Want::parse("a").unwrap()];
    let chosen = resolve(&request).unwrap().packages[0].candidate;
    assert_eq!(request.candidates[chosen].source, 1);
}

#[test]
fn each_package_has_the_reason_that_led_to_it() {
    let request = request(
        "a 1 | Depends: b (>= 1) | c
        b 1",
        "",
        "a=1",
    );
    let solution = resolve(&request).unwrap();
    let why: Vec<String> = solution
        .packages
        .iter()
        .map(|one| one.why.to_string())
        .collect();
    assert_eq!(why, ["wanted: a=1", "a depends on b (>= 1) | c"]);
}
