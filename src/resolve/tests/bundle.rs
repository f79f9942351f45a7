//! Packages of the shape of an update client's bundle: a meta package that pins its members, and
//! one that conflicts with members outside of ranges.

use super::*;

const BUNDLE: &str = "
    mender-client4 5.1.0-1 | Depends: mender-auth (= 5.1.0-1), mender-update (= 5.1.0-1), mender-flash, mender-setup | Conflicts: mender, mender-client | Replaces: mender, mender-client, mender-auth, mender-update
    mender-client4 5.0.2-1 | Depends: mender-auth (= 5.0.2-1), mender-update (= 5.0.2-1), mender-flash, mender-setup | Conflicts: mender, mender-client | Replaces: mender, mender-client, mender-auth, mender-update
    mender-auth 5.1.0-1 | Depends: dbus | Recommends: mender-setup | Conflicts: mender, mender-client
    mender-auth 5.0.2-1 | Depends: dbus | Recommends: mender-setup | Conflicts: mender, mender-client
    mender-update 5.1.0-1 | Depends: mender-auth | Recommends: mender-flash, mender-client-version-inventory-script | Conflicts: mender, mender-client
    mender-update 5.0.2-1 | Depends: mender-auth | Recommends: mender-flash | Conflicts: mender, mender-client
    mender-flash 1.1.0-1
    mender-flash 1.0.1-1
    mender-setup 1.0.3-1
    mender-connect 3.0.1-1 | Depends: dbus, mender-auth | mender-client (>> 3.2.0)
    mender-connect 3.0.0-1 | Depends: dbus, mender-auth | mender-client (>> 3.2.0)
    mender-connect 2.3.1-1 | Depends: dbus, mender-auth | mender-client (>> 3.2.0)
    mender-configure 1.1.4-1 | Architecture: all | Depends: dbus, mender-update | mender-client (>= 2.5.0)
    mender-client-version-inventory-script 6.0.0-1 | Architecture: all | Depends: mender-update | Conflicts: mender-auth (<< 5.1.0), mender-auth (>= 5.1.1), mender-update (<< 5.1.0), mender-update (>= 5.1.1), mender-connect (<< 3.0.0), mender-connect (>= 3.0.1), mender-flash (<< 1.1.0), mender-flash (>= 1.1.1)";

fn bundle(installed: &str, wanted: &str) -> Request {
    request(BUNDLE, &format!("dbus 1.14\n{installed}"), wanted)
}

#[test]
fn the_inventory_script_selects_the_older_member() {
    // The newest of each, one after the other, would be 3.0.1 and then a conflict.
    let found = answer(&bundle(
        "",
        "mender-client4 mender-client-version-inventory-script mender-connect=3.*",
    ));
    assert_eq!(
        found,
        "+mender-auth 5.1.0-1, +mender-client-version-inventory-script:all 6.0.0-1, \
         +mender-client4 5.1.0-1, +mender-connect 3.0.0-1, +mender-flash 1.1.0-1, \
         +mender-setup 1.0.3-1, +mender-update 5.1.0-1"
    );
}

#[test]
fn an_older_bundle_takes_its_own_members() {
    let found = answer(&bundle("", "mender-client4=5.0.* mender-configure"));
    assert_eq!(
        found,
        "+mender-auth 5.0.2-1, +mender-client4 5.0.2-1, +mender-configure:all 1.1.4-1, \
         +mender-flash 1.1.0-1, +mender-setup 1.0.3-1, +mender-update 5.0.2-1"
    );
}

#[test]
fn a_member_that_the_inventory_script_excludes_is_named() {
    let text = reason(&bundle(
        "",
        "mender-client-version-inventory-script mender-connect=3.0.1-1",
    ));
    assert_eq!(
        text,
        "`mender-client-version-inventory-script` and `mender-connect=3.0.1-1` cannot be installed \
         together: mender-client-version-inventory-script 6.0.0-1 conflicts with mender-connect \
         (>= 3.0.1)\nhint: `mender-connect=3.0.0-1` fits"
    );
}

#[test]
fn an_installed_client_of_the_distribution_is_named_with_the_way_out() {
    let mut request = bundle("mender-client 3.4.0+ds1-1", "mender-client4");
    assert_eq!(
        reason(&request),
        "`mender-client4` cannot be installed: mender-client4 5.1.0-1 and 5.0.2-1 conflict with \
         mender-client; mender-client 3.4.0+ds1-1 is installed\nhint: \
         `may-change = [\"mender-client\"]` allows it: mender-client would be removed"
    );
    request.may_change = vec!["mender-client".to_owned()];
    assert!(answer(&request).ends_with("-mender-client 3.4.0+ds1-1"));

    // Where nothing may be removed, listed or not, the reason says what is in the way.
    request.may_remove = false;
    for may_change in [Vec::new(), vec!["mender-client".to_owned()]] {
        request.may_change = may_change;
        let reasons = resolve(&request).unwrap_err().reasons;
        assert_eq!(reasons.len(), 1);
        assert_eq!(reasons[0].in_the_way, ["mender-client"]);
        assert_eq!(reasons[0].problem.hint, None);
    }
}

#[test]
fn recommended_members_come_if_they_fit() {
    let mut request = bundle("", "mender-update mender-connect=3.0.1-1");
    request.recommends = true;
    assert_eq!(
        answer(&request),
        "+mender-auth 5.1.0-1, +mender-connect 3.0.1-1, +mender-flash 1.1.0-1, \
         +mender-setup 1.0.3-1, +mender-update 5.1.0-1"
    );
    assert_eq!(
        resolve(&request).unwrap().notes,
        [
            "mender-update recommends mender-client-version-inventory-script, which is left out: \
          mender-connect 3.0.1-1 is to be installed; mender-client-version-inventory-script \
          6.0.0-1 conflicts with mender-connect (>= 3.0.1)"
        ]
    );
}
