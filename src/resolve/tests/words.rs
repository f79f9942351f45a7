//! The words of contradictions: the fewest facts, each with a way out where there is one.

use super::*;

fn why(candidates: &str, installed: &str, wanted: &str) -> String {
    reason(&request(candidates, installed, wanted))
}

#[test]
fn names_and_versions_that_no_repository_has() {
    let all = "chrony 4.3-2
        chrony 4.2-1 | Source: 1
        chromium 1";
    assert_eq!(
        why(all, "", "chorny"),
        "`chorny` is wanted, and no repository has a package chorny\nhint: did you mean `chrony`?"
    );
    let mut wanted = request(all, "", "chrony=5.*");
    wanted.sources = ["debian", "old"]
        .map(|name| Source {
            name: name.to_owned(),
            priority: 0,
        })
        .to_vec();
    assert_eq!(
        reason(&wanted),
        "`chrony=5.*` is wanted, and no repository has such a version of chrony; there is 4.3-2 \
         (debian) and 4.2-1 (old)\nhint: `chrony=4.3-2` exists"
    );
    let of_another = "a 1 | Architecture: arm64";
    assert!(why(of_another, "", "a").contains("for other architectures there is `a:arm64`"));
}

#[test]
fn all_wanted_packages_that_do_not_exist_are_told_at_once() {
    let request = request("a 1", "", "x y=1 a=2");
    let unsolvable = resolve(&request).unwrap_err();
    assert_eq!(unsolvable.reasons.len(), 3, "{unsolvable}");
}

#[test]
fn a_dependency_that_no_repository_has() {
    let all = "a 1 | Depends: b
        b 1 | Depends: libmissing1 (>= 2)";
    assert_eq!(
        why(all, "", "a"),
        "`a` cannot be installed: a 1 depends on b; b 1 depends on libmissing1 (>= 2), which no \
         repository has\nhint: add the repository, suite or component that has libmissing1"
    );
    let all = "a 1 | Depends: libc6 (>= 2.38)";
    assert_eq!(
        why(all, "libc6 2.36-9", "a"),
        "`a` cannot be installed: a 1 depends on libc6 (>= 2.38), and there is only libc6 2.36-9\n\
         hint: add the repository, suite or component that has libc6"
    );
}

#[test]
fn an_upgrade_that_is_not_allowed() {
    let all = "a 1 | Depends: b (>= 2)
        b 2";
    assert_eq!(
        why(all, "b 1", "a"),
        "`a` cannot be installed: a 1 depends on b (>= 2); b 1 is installed\n\
         hint: `may-change = [\"b\"]` allows it: b would become 2"
    );
}

#[test]
fn only_one_version_of_a_package() {
    let all = "a 1 | Depends: c (= 1)
        b 1 | Depends: c (= 2)
        c 1
        c 2";
    assert_eq!(
        why(all, "", "a b"),
        "`a` and `b` cannot be installed together: a 1 depends on c (= 1); b 1 depends on c (= 2); \
         only one version of c can be installed"
    );
    assert!(why("a 1\na 2", "", "a=1 a=2").contains("only one version of a can be installed"));
}

#[test]
fn versions_with_the_same_fault_are_one_fact() {
    let all = "a 3 | Depends: missing
        a 2 | Depends: missing
        a 1 | Depends: missing";
    assert_eq!(
        why(all, "", "a").lines().next(),
        Some("`a` cannot be installed: a 3, 2 and 1 depend on missing, which no repository has")
    );
}

#[test]
fn facts_that_have_no_part_in_it_are_not_named() {
    let all = "a 1 | Depends: n1, n2, b
        n1 1 | Depends: n2
        n2 1 | Recommends: n1
        b 1 | Depends: c | d
        c 1 | Conflicts: x
        d 1 | Depends: e
        e 1 | Breaks: x (<< 2)
        w 1";
    assert_eq!(
        why(all, "x 1\ny 1", "w a").lines().next(),
        Some(
            "`a` cannot be installed: a 1 depends on b; b 1 depends on c | d; d 1 depends on e; \
             c 1 conflicts with x; e 1 breaks x (<< 2); x 1 is installed"
        )
    );
}

#[test]
fn independent_contradictions_are_told_together() {
    let all = "a 1 | Depends: missing1
        b 1 | Conflicts: x
        c 1";
    let request = request(all, "x 1", "a b c");
    let unsolvable = resolve(&request).unwrap_err();
    assert_eq!(unsolvable.reasons.len(), 2, "{unsolvable}");
}

#[test]
fn a_provided_name_is_told() {
    let all = "x 1 | Conflicts: mail
        y 1 | Provides: mail";
    assert_eq!(
        why(all, "", "x y"),
        "`x` and `y` cannot be installed together: x 1 conflicts with mail, which y provides"
    );
}
