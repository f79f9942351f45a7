//! What is installed stays, unless it is said that it may change.

use super::*;

fn with(candidates: &str, installed: &str, wanted: &str, may_change: &[&str]) -> String {
    let mut request = request(candidates, installed, wanted);
    request.may_change = may_change.iter().map(|name| (*name).to_owned()).collect();
    answer(&request)
}

#[test]
fn an_installed_package_satisfies_dependencies_and_stays() {
    let all = "a 1 | Depends: b
        b 2";
    assert_eq!(with(all, "b 1", "a", &[]), "+a 1");
    assert_eq!(
        with(all, "b 1", "a", &["b"]),
        "+a 1",
        "also if it may change"
    );
}

#[test]
fn an_older_version_is_taken_rather_than_an_upgrade() {
    let all = "a 2 | Depends: b (>= 2)
        a 1 | Depends: b
        b 2";
    assert_eq!(with(all, "b 1", "a", &[]), "+a 1");
    assert_eq!(with(all, "b 1", "a", &["b"]), "+a 2, +b 2");
    assert!(with(all, "b 1", "a=2", &[]).starts_with("no: "));
}

#[test]
fn a_wanted_package_is_upgraded_and_never_downgraded_unless_asked() {
    let all = "a 2
        a 1";
    assert_eq!(with(all, "a 1.5", "a", &[]), "+a 2");
    assert_eq!(with("a 1", "a 1.5", "a", &[]), "");
    assert_eq!(with("a 1.5", "a 1.5", "a", &[]), "");
    assert_eq!(with(all, "a 1.5", "a=1.5", &[]), "");
    assert_eq!(with(all, "a 1.5", "a=1", &[]), "+a 1");
    let request = request("a 1", "a 1.5", "a");
    assert_eq!(
        resolve(&request).unwrap().notes,
        ["a 1.5 is installed already"]
    );
}

#[test]
fn a_listed_package_is_not_downgraded() {
    let all = "a 1 | Depends: b (<< 2)
        b 1";
    assert!(with(all, "b 2", "a", &["b"]).contains("a downgrade"));
    assert_eq!(with(all, "b 2", "a b=1", &[]), "+a 1, +b 1");
}

#[test]
fn a_listed_package_is_upgraded_before_it_is_removed() {
    let all = "a 1 | Conflicts: b (<< 2)
        b 2";
    assert!(with(all, "b 1", "a", &[]).starts_with("no: "));
    assert_eq!(with(all, "b 1", "a", &["b"]), "+a 1, +b 2");
    assert_eq!(with("a 1 | Conflicts: b", "b 1", "a", &["b"]), "+a 1, -b 1");
    assert_eq!(
        with("a 1 | Conflicts: b", "b 1", "a", &["b:amd64"]),
        "+a 1, -b 1"
    );
    assert!(with("a 1 | Conflicts: b", "b 1", "a", &["b:arm64"]).starts_with("no: "));
}

#[test]
fn replacing_alone_removes_nothing() {
    let all = "a 1 | Conflicts: b | Replaces: b | Provides: b";
    assert!(with(all, "b 1", "a", &[]).starts_with("no: "));
    assert_eq!(
        with(all, "b 1\nc 1 | Depends: b", "a", &["b"]),
        "+a 1, -b 1"
    );
    assert_eq!(with("a 1 | Replaces: b", "b 1", "a", &["b"]), "+a 1");
}

#[test]
fn what_depends_on_a_removed_package_is_heeded() {
    let all = "a 1 | Conflicts: b";
    let installed = "b 1
        c 1 | Depends: b";
    assert!(with(all, installed, "a", &["b"]).contains("c 1 depends on b"));
    assert_eq!(with(all, installed, "a", &["b", "c"]), "+a 1, -b 1, -c 1");
    let other = "a 1 | Conflicts: b
        d 1 | Provides: b";
    // What else satisfies it is installed, but for one that conflicts with it, too.
    assert!(with(other, installed, "a", &["b"]).starts_with("no: "));
    let other = "a 1 | Conflicts: b
        d 1";
    let installed = "b 1
        c 1 | Depends: b | d";
    assert_eq!(with(other, installed, "a", &["b"]), "+a 1, +d 1, -b 1");
}

#[test]
fn essential_packages_are_never_removed() {
    let all = "a 1 | Conflicts: b (<< 2)
        b 2 | Essential: yes";
    let installed = "b 1 | Essential: yes";
    assert_eq!(with(all, installed, "a", &["b"]), "+a 1, +b 2");
    let all = "a 1 | Conflicts: b";
    assert!(with(all, installed, "a", &["b"]).contains("installed and essential"));
}

#[test]
fn what_an_installed_package_breaks_is_not_installed() {
    let all = "a 2
        a 1";
    assert_eq!(with(all, "b 1 | Breaks: a (>= 2)", "a", &[]), "+a 1");
    assert!(with("a 2", "b 1 | Breaks: a (>= 2)", "a", &[]).contains("b 1 breaks a (>= 2)"));
}

#[test]
fn what_was_broken_before_is_not_held_against_the_request() {
    let all = "a 1";
    let installed = "b 1 | Depends: missing | Conflicts: c
        c 1
        l 1 | Multi-Arch: same
        l 2 | Multi-Arch: same | Architecture: arm64";
    assert_eq!(with(all, installed, "a", &[]), "+a 1");
    assert_eq!(with(all, installed, "a", &["b", "c"]), "+a 1");
    // But it is not made worse.
    let all = "a 1 | Depends: b2
        b2 1 | Conflicts: c";
    assert!(with(all, installed, "a", &[]).starts_with("no: "));
}

#[test]
fn the_reason_of_a_removal_is_told() {
    let mut request = request("a 1 | Conflicts: b", "b 1", "a");
    request.may_change = vec!["b".to_owned()];
    assert_eq!(
        resolve(&request).unwrap().removed[0].why,
        "a 1 conflicts with b"
    );
    request.candidates = vec![package("a 1")];
    request.installed = vec![package("b 1 | Breaks: a")];
    assert_eq!(
        resolve(&request).unwrap().removed[0].why,
        "b 1 breaks a, and a 1 is to be installed"
    );
}

#[test]
fn the_reason_of_an_upgrade_is_told() {
    let mut request = request(
        "a 1 | Depends: b (>= 2)
        b 2",
        "b 1",
        "a",
    );
    request.may_change = vec!["b".to_owned()];
    let why = &resolve(&request).unwrap().packages[1].why;
    assert_eq!(why.to_string(), "1 cannot stay: a 1 depends on b (>= 2)");
}
