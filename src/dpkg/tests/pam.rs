//! The stacks of Linux-PAM.

use super::*;

/// A stack without its lines.
const EMPTY: &str = "# local\n\
    # here are the per-package modules (the \"Primary\" block)\n\
    # here's the fallback if no module succeeds\nfallback\n\
    # and here are more per-package modules (the \"Additional\" block)\n\
    # end of pam-auth-update config\n";
const UNIX: &str = "Name: U\nDefault: yes\nPriority: 256\nAuth-Type: Primary\nAuth:\n\
    \t[success=end default=ignore]\tpam_unix.so try\nAuth-Initial:\n\
    \t[success=end default=ignore]\tpam_unix.so\nSession-Type: Additional\nSession:\n\
    \trequired\tpam_unix.so\n";
const EXTRA: &str = "Name: E\nDefault: yes\nPriority: 300\nAuth-Type: Primary\nAuth:\n\
    \t[success=end default=ignore]\tpam_extra.so one\n\trequired pam_second.so\n\
    Session-Type: Additional\nSession-Interactive-Only: yes\nSession:\n\toptional pam_extra.so\n";

fn with_stacks() -> Tree {
    let mut tree = image("");
    let mut put = |path: &str, text: &str, mode| {
        tree.put_file(path, text, Stat::root(mode, TIME)).unwrap();
    };
    let program = "#!/usr/bin/perl\nmy %md5sums = (\n'auth' => ['00000000000000000000000000000000'],\n\
        'account' => [],\n'password' => [],\n'session' => [],\n'session-noninteractive' => [],\n);\n\
        # sub diff_profiles sub merge_one_line -Initial lines_for_module\n\
        'Session-Interactive-Only'} ne 'yes'\n";
    put("/usr/sbin/pam-auth-update", program, 0o755);
    put("/usr/share/pam-configs/unix", UNIX, 0o644);
    put("/usr/share/pam-configs/other~", "lost", 0o644);
    put("/var/lib/pam/seen", "", 0o600);
    for kind in [
        "auth",
        "account",
        "password",
        "session",
        "session-noninteractive",
    ] {
        put(&format!("/etc/pam.d/common-{kind}"), EMPTY, 0o600);
        put(&format!("/var/lib/pam/{kind}"), "", 0o644);
    }
    tree
}

fn updated(tree: &mut Tree, name: &str, arguments: &str) -> Result<InstallReport, String> {
    let script = format!("pam-auth-update --package {arguments}\n");
    put(tree, &[Deb::new(name, "1", "").postinst(&script)])
}

fn stack(tree: &Tree, kind: &str) -> String {
    text(tree, &format!("/etc/pam.d/common-{kind}")).unwrap()
}

#[test]
fn stacks_have_the_lines_of_the_enabled_profiles() {
    let mut tree = with_stacks();
    updated(&mut tree, "a", "").unwrap();
    let auth = stack(&tree, "auth");
    let line = "\nauth\t[success=1 default=ignore]\tpam_unix.so \n# here's the fallback";
    assert!(auth.contains(line), "{auth}");
    assert!(stack(&tree, "account").contains("\naccount\t[default=1]\t\t\tpam_permit.so\n"));
    assert!(stack(&tree, "session-noninteractive").contains("\nsession\trequired\tpam_unix.so \n"));
    assert_eq!(text(&tree, "/var/lib/pam/seen").unwrap(), "unix\n");
    let saved = "Module: unix\n[success=end default=ignore]\tpam_unix.so\n";
    assert_eq!(text(&tree, "/var/lib/pam/auth").unwrap(), saved);
    let null =
        "Module: null\n[default=1]\t\t\tpam_permit.so\nModule: unix\nrequired\tpam_unix.so\n";
    assert_eq!(text(&tree, "/var/lib/pam/session").unwrap(), null);

    // The administrator adds an option; another profile comes first and is jumped over.
    let changed = auth.replace("pam_unix.so ", "pam_unix.so nullok");
    for (path, text) in [
        ("/etc/pam.d/common-auth", changed.as_str()),
        ("/usr/share/pam-configs/extra", EXTRA),
    ] {
        tree.put_file(path, text, Stat::root(0o644, TIME)).unwrap();
    }
    updated(&mut tree, "b", "").unwrap();
    let auth = stack(&tree, "auth");
    let lines = "\nauth\t[success=3 default=ignore]\tpam_extra.so one\nauth\trequired pam_second.so \n\
                 auth\t[success=1 default=ignore]\tpam_unix.so try nullok\n";
    assert!(auth.contains(lines), "{auth}");
    assert!(!stack(&tree, "session-noninteractive").contains("pam_extra"));
    assert_eq!(text(&tree, "/var/lib/pam/seen").unwrap(), "extra\nunix\n");
    updated(&mut tree, "c", "--remove extra").unwrap();
    assert!(!stack(&tree, "auth").contains("pam_extra"));
    updated(&mut tree, "d", "--enable extra").unwrap();
    assert!(stack(&tree, "auth").contains("pam_extra"));
    updated(&mut tree, "e", "--disable extra").unwrap();
    assert!(!stack(&tree, "auth").contains("pam_extra"));
}

#[test]
fn stacks_with_other_changes_stay_and_other_programs_are_refused() {
    let mut tree = with_stacks();
    let lines = EMPTY.replace("# here's", "auth required pam_own.so\n# here's");
    tree.put_file(
        "/etc/pam.d/common-auth",
        lines.as_str(),
        Stat::root(0o644, TIME),
    )
    .unwrap();
    let done = updated(&mut tree, "a", "").unwrap();
    assert_eq!(stack(&tree, "auth"), lines);
    assert!(done.notes[0].contains("leaves /etc/pam.d/common-* as they are"));
    let mut tree = with_stacks();
    let both = EXTRA.replace("Name: E", "Name: E\nConflicts: unix");
    tree.put_file(
        "/usr/share/pam-configs/extra",
        both.as_str(),
        Stat::root(0o644, TIME),
    )
    .unwrap();
    let said = updated(&mut tree, "a", "").unwrap_err();
    assert!(said.contains("line 3: pam-auth-update --package"), "{said}");
    let mut tree = with_stacks();
    let said = updated(&mut tree, "a", "--force").unwrap_err();
    assert!(said.contains("line 3: pam-auth-update"), "{said}");
    tree.put_file(
        "/usr/sbin/pam-auth-update",
        "#!/usr/bin/perl\n",
        Stat::root(0o755, TIME),
    )
    .unwrap();
    let said = updated(&mut tree, "a", "").unwrap_err();
    assert!(said.contains("line 3: pam-auth-update"), "{said}");
}
