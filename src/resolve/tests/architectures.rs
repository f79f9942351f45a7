//! Multi-Arch, as dpkg has it.

use super::*;

#[test]
fn a_dependency_is_for_the_own_architecture() {
    let all = "a 1 | Depends: b
        b 1 | Architecture: arm64";
    assert!(fresh(all, "a").starts_with("no: "));
    let all = "a 1 | Architecture: arm64 | Depends: b
        b 1
        b 1 | Architecture: arm64";
    assert_eq!(fresh(all, "a:arm64"), "+a:arm64 1, +b:arm64 1");
}

#[test]
fn all_is_the_architecture_of_the_image() {
    let all = "a 1 | Architecture: all | Depends: b
        b 1
        b 1 | Architecture: arm64";
    assert_eq!(fresh(all, "a"), "+a:all 1, +b 1");
    let of_another = "a 1 | Architecture: arm64 | Depends: b
        b 1 | Architecture: all";
    assert!(fresh(of_another, "a:arm64").starts_with("no: "));
    // One slot: the newer replaces the other.
    let both = "a 2 | Architecture: all
        a 1";
    assert_eq!(fresh(both, "a"), "+a:all 2");
}

#[test]
fn foreign_packages_serve_all_architectures() {
    let all = "a 1 | Architecture: arm64 | Depends: tool
        tool 1 | Multi-Arch: foreign";
    assert_eq!(fresh(all, "a:arm64"), "+a:arm64 1, +tool 1");
    let provided = "a 1 | Architecture: arm64 | Depends: virtual
        tool 1 | Multi-Arch: foreign | Provides: virtual";
    assert_eq!(fresh(provided, "a:arm64"), "+a:arm64 1, +tool 1");
}

#[test]
fn any_is_satisfied_by_packages_that_allow_it() {
    for (multi_arch, fits) in [
        ("", false),
        (" | Multi-Arch: same", false),
        (" | Multi-Arch: foreign", false),
        (" | Multi-Arch: allowed", true),
    ] {
        for architecture in ["amd64", "arm64"] {
            let all = format!(
                "a 1 | Architecture: {architecture} | Depends: p:any
                p 1{multi_arch}"
            );
            let found = fresh(&all, &format!("a:{architecture}"));
            assert_eq!(
                found.starts_with('+'),
                fits,
                "{multi_arch} {architecture}: {found}"
            );
        }
    }
}

#[test]
fn qualifiers_of_provided_names_count() {
    let all = "a 1 | Depends: p:arm64
        q 1 | Provides: p:arm64";
    assert_eq!(fresh(all, "a"), "+a 1, +q 1");
    let plain = "a 1 | Depends: p
        q 1 | Provides: p:arm64";
    assert!(fresh(plain, "a").starts_with("no: "));
    let any = "a 1 | Depends: p:any
        q 1 | Provides: p:any";
    assert_eq!(fresh(any, "a"), "+a 1, +q 1");
    // Source packages have it; dpkg finds nothing of the architecture `native`.
    let native = "a 1 | Depends: p:native
        p 1";
    assert!(fresh(native, "a").starts_with("no: "));
}

#[test]
fn an_architecture_can_be_named() {
    let of_all = "a 1 | Depends: b:amd64
        b 1 | Architecture: all";
    assert_eq!(fresh(of_all, "a"), "+a 1, +b:all 1");
    let all = "a 1 | Depends: b:arm64
        b 1
        b 1 | Architecture: arm64 ";
    assert_eq!(fresh(all, "a"), "+a 1, +b:arm64 1");
}

#[test]
fn packages_that_are_same_are_installed_in_one_version() {
    let all = "l 2 | Multi-Arch: same
        l 1 | Multi-Arch: same
        l 1 | Multi-Arch: same | Architecture: arm64";
    assert_eq!(fresh(all, "l l:arm64"), "+l 1, +l:arm64 1");
    assert!(fresh(all, "l=2 l:arm64").starts_with("no: "));
    let not_same = "l 1
        l 1 | Architecture: arm64";
    assert!(fresh(not_same, "l l:arm64").contains("not Multi-Arch: same"));
}

#[test]
fn a_same_package_follows_the_installed_one() {
    let all = "l 2 | Multi-Arch: same | Architecture: arm64
        l 1 | Multi-Arch: same | Architecture: arm64
        l 2 | Multi-Arch: same";
    let mut request = request(all, "l 1 | Multi-Arch: same", "l:arm64");
    assert_eq!(answer(&request), "+l:arm64 1");
    request.wanted = vec![Want::parse("l:arm64=2").unwrap()];
    assert!(
        reason(&request).contains("in the same version only"),
        "{}",
        reason(&request)
    );
    request.may_change = vec!["l".to_owned()];
    assert_eq!(answer(&request), "+l 2, +l:arm64 2");
}

#[test]
fn conflicts_are_with_all_architectures_unless_one_is_named() {
    let all = "a 1 | Conflicts: b
        b 1 | Architecture: arm64";
    assert!(fresh(all, "a b:arm64").starts_with("no: "));
    let named = "a 1 | Conflicts: b:amd64
        b 1 | Architecture: arm64";
    assert_eq!(fresh(named, "a b:arm64"), "+a 1, +b:arm64 1");
    let itself = "l 1 | Multi-Arch: same | Conflicts: l, v | Provides: v
        l 1 | Multi-Arch: same | Architecture: arm64 | Conflicts: l, v | Provides: v";
    assert_eq!(fresh(itself, "l l:arm64"), "+l 1, +l:arm64 1");
}

#[test]
fn architectures_that_dpkg_does_not_accept_are_not_used() {
    let all = "a 1 | Architecture: armhf";
    assert!(fresh(all, "a:armhf").contains("does not accept packages of armhf"));
}
