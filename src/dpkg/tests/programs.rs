//! Programs that are scripts, statements that are accepted, and scripts that do not end.

use super::*;

fn program(tree: &mut Tree, path: &str, body: &str) {
    let text = format!("#!/bin/sh\n{body}");
    tree.put_file(path, text.as_str(), Stat::root(0o755, TIME))
        .unwrap();
}

fn accept(statement: &str) -> Vec<AcceptedScript> {
    vec![AcceptedScript {
        package: "a".into(),
        script: "postinst".into(),
        statement: Some(statement.into()),
        reason: "r".into(),
    }]
}

#[test]
fn all_that_a_program_does_is_named_at_once_and_left_out_together() {
    let mut tree = image("");
    program(
        &mut tree,
        "/usr/sbin/add-thing",
        "echo begun > /begun\nx=$(tool --name \"$1\")\ntool --second \\\n  --more\ntool --third > /third\necho $x > /named\n",
    );
    let deb = Deb::new("a", "1", "").postinst("add-thing /x\ntool --own\n");
    let said = put(&mut tree, std::slice::from_ref(&deb)).unwrap_err();
    let expected = "  line 3: add-thing /x\n\
        \x20   in /usr/sbin/add-thing line 3: x=$(tool --name \"$1\")\n\
        \x20   in /usr/sbin/add-thing line 4: tool --second --more\n\
        \x20   in /usr/sbin/add-thing line 6: tool --third > /third\n\
        \x20 line 4: tool --own\nhint: ";
    assert!(said.contains(expected), "{said}");
    let said = put_with(
        &mut tree.clone(),
        std::slice::from_ref(&deb),
        accept("add-thing /x"),
        true,
    );
    let said = said.unwrap_err();
    assert!(
        said.contains("line 4: tool --own") && !said.contains("add-thing"),
        "{said}"
    );
    // What is left out is left out whole.
    let mut both = accept("add-thing /x");
    both.extend(accept("tool --own"));
    let done = put_with(&mut tree, &[deb], both, true).unwrap();
    assert_eq!(done.accepted.len(), 2);
    for path in ["/begun", "/third", "/named"] {
        assert!(tree.find(path).is_none(), "{path}");
    }
}

#[test]
fn a_statement_whose_output_the_script_reads_is_not_left_out_alone() {
    for line in ["x=$(tool --print)", "tool --print | cat > /f"] {
        let deb = [Deb::new("a", "1", "").postinst(&format!("{line}\necho \"$x\" > /out\n"))];
        let said = put_with(&mut image(""), &deb, accept(line), true).unwrap_err();
        assert!(
            said.contains(&format!("line 3: {line}"))
                && said.contains("goes on with what line 3 prints"),
            "{said}"
        );
        let whole = AcceptedScript {
            statement: None,
            ..accept("").remove(0)
        };
        put_with(&mut image(""), &deb, vec![whole], true).unwrap();
    }
}

#[test]
fn statements_are_accepted_by_all_of_their_lines() {
    let body = "tool --a \\\n  --b\ntool --a \\\n  --c\n";
    let deb = [Deb::new("a", "1", "").postinst(body)];
    let said = put_with(&mut image(""), &deb, accept("tool --a --b"), true).unwrap_err();
    assert!(
        said.contains("line 5: tool --a --c") && !said.contains("--b"),
        "{said}"
    );
    // Of a text that the script composes, its own statements are shown.
    let deb = [Deb::new("a", "1", "").postinst("c='tool --x'\neval \"$c\"\n")];
    let said = put(&mut image(""), &deb).unwrap_err();
    assert!(
        said.contains("line 4: eval \"$c\"\n    in tool --x"),
        "{said}"
    );
}

/// A function of another file is shown with that file.
#[test]
fn functions_of_other_files_have_their_own_lines() {
    let mut tree = image("");
    program(
        &mut tree,
        "/usr/share/lib.sh",
        "\n\n\n\nfrob_all() {\n  tool --in\n}\n",
    );
    let body = ". /usr/share/lib.sh\nfrob_all\nown() {\n  tool --own\n}\nown\n";
    let deb = [Deb::new("a", "1", "").postinst(body)];
    let said = put(&mut tree, &deb).unwrap_err();
    let expected =
        "  line 4: frob_all\n    in /usr/share/lib.sh line 7: tool --in\n  line 6: tool --own\n";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn shells_are_added_as_add_shell_does() {
    let mut tree = image("");
    tree.put_file(
        "/etc/shells",
        "# shells\n/bin/sh\n",
        Stat::root(0o640, TIME),
    )
    .unwrap();
    tree.stat_mut("/etc/shells").unwrap().gid = 4;
    program(
        &mut tree,
        "/usr/sbin/add-thing",
        "set -e\nfile=/etc/shells\ntmp=$file.tmp\nset -o noclobber\ntrap 'rm -f $tmp' EXIT\n\
         if ! cat $file > $tmp; then exit 1; fi\nfor i\ndo\n  real=$(dirname \"$(realpath -m \"$i\")\")/$(basename \"$i\")\n\
         for j in \"$i\" \"$real\"; do grep -q \"^$j$\" $tmp || echo \"$j\" >> $tmp; done\ndone\n\
         chmod --reference=$file $tmp || chmod $(stat -c %a $file) $tmp\n\
         chown --reference=$file $tmp || chown $(stat -c %U $file) $tmp\n\
         mv -Z $tmp $file || mv $tmp $file\ntrap '' EXIT\nexit 0\n",
    );
    put(
        &mut tree,
        &[Deb::new("a", "1", "").postinst("add-thing /lib/x/tool\n")],
    )
    .unwrap();
    assert_eq!(
        text(&tree, "/etc/shells").unwrap(),
        "# shells\n/bin/sh\n/lib/x/tool\n/usr/lib/x/tool\n"
    );
    let stat = tree.stat_mut("/etc/shells").unwrap();
    assert_eq!((stat.mode, stat.gid), (0o640, 4));
}

#[test]
fn a_file_that_is_there_is_not_written_over_under_noclobber() {
    for (body, out) in [
        (
            "set -C\necho 1 > /out\necho 2 > /out || echo no >> /out\n",
            "1\nno\n",
        ),
        ("set -o noclobber\necho 1 > /out\necho 2 >| /out\n", "2\n"),
        ("set -C\nset +C\necho 1 > /out; echo 2 > /out\n", "2\n"),
        (
            "(set -C); echo 1 > /out; echo 2 > /out; echo x > /dev/null\n",
            "2\n",
        ),
        ("echo 1 > /out; set -C; ! : > /out\n", "1\n"),
    ] {
        assert_eq!(result_of(body).unwrap().1, out, "{body}");
    }
}

#[test]
fn paths_and_stats_are_printed_as_the_programs_print_them() {
    for (command, out) in [
        ("realpath -m /no/./such/../x", "/no/x\n"),
        ("realpath /lib/systemd", "/usr/lib/systemd\n"),
        ("realpath -s /lib/systemd/", "/lib/systemd\n"),
        ("realpath -e /no || echo $?", "1\n"),
        ("realpath /no/such || echo $?", "1\n"),
        (
            "realpath /no; cd /usr; realpath lib bin",
            "/no\n/usr/lib\n/usr/bin\n",
        ),
        (
            "stat -c%a-%u-%U-%G-%s-%n%% /etc/passwd",
            "644-0-root-root-72-/etc/passwd%\n",
        ),
        ("stat -L --format=%a /lib", "755\n"),
    ] {
        assert_eq!(
            result_of(&format!("{{ {command}; }} > /out\n")).unwrap().1,
            out,
            "{command}"
        );
    }
    for command in [
        "realpath --relative-to=/ /usr",
        "stat -c %Y /usr",
        "realpath -s /a/..",
    ] {
        assert!(result_of(&format!("{command}\n")).is_err(), "{command}");
    }
}

#[test]
fn what_lacks_something_is_told_once() {
    let yaml = Deb::new(
        "python3-yaml",
        "1",
        "Depends: python3 (<< 3.14), python3 (>= 3.13~), python3:any, libyaml\n",
    );
    let yaml = yaml.postinst("py3compile -p python3-yaml\ntool --x\n");
    let user = Deb::new("user", "1", "Depends: python3-yaml\n").postinst("exit 3\n");
    let other = Deb::new("other", "1", "").postinst("exit 4\n");
    let said = put(&mut image(""), &[yaml, user, other]).unwrap_err();
    let expected = "package python3-yaml 1 depends on python3 (<< 3.14), python3 (>= 3.13~), \
                    python3:any; the image has none\npackage python3-yaml 1 depends on libyaml; the \
                    image has none\nhint: ";
    assert!(said.contains(expected), "{said}");
    assert_eq!(said.matches("package python3-yaml").count(), 2, "{said}");
    assert!(!said.contains("package user"), "{said}");
    assert!(
        said.contains("package other 1: postinst fails with status 4"),
        "{said}"
    );
}

/// An image with packages whose `postinst` runs for a named trigger.
fn triggered(packages: &[(&str, &str, &str)]) -> Tree {
    let status: String = packages
        .iter()
        .map(|(name, _, _)| stanza(name, "1", ""))
        .collect();
    let mut tree = image(&status);
    for (name, trigger, body) in packages {
        let file = format!("/var/lib/dpkg/triggers/{trigger}");
        tree.put_file(file, format!("{name}\n"), Stat::root(0o644, TIME))
            .unwrap();
        program(
            &mut tree,
            &format!("/var/lib/dpkg/info/{name}.postinst"),
            body,
        );
    }
    tree
}

#[test]
fn triggers_activate_others_but_not_without_end() {
    let mut tree = triggered(&[
        ("w", "one", "echo w >> /log\ndpkg-trigger two\n"),
        ("v", "two", "echo v $2 >> /log\n"),
    ]);
    let deb = [Deb::new("a", "1", "").postinst("dpkg-trigger one\n")];
    put(&mut tree, &deb).unwrap();
    assert_eq!(text(&tree, "/log").unwrap(), "w\nv two\n");
    let mut tree = triggered(&[
        ("w", "one", "dpkg-trigger two\n"),
        ("v", "two", "dpkg-trigger one\n"),
    ]);
    let said = put(&mut tree, &deb).unwrap_err();
    assert!(
        said.contains("activate each other after 20 rounds"),
        "{said}"
    );
}

/// For a script that ends.
const FINE: &str = "installed";

/// Installs a package with this script: the message if it is refused.
fn said_of(body: &str) -> String {
    let mut tree = image("");
    tree.put_file("/d/self", ". /d/self\n", Stat::root(0o644, TIME))
        .unwrap();
    program(&mut tree, "/usr/bin/yes", "while :; do echo y; done\n");
    program(&mut tree, "/d/loop", "/d/loop\n");
    program(&mut tree, "/d/ping", "/d/pong\n");
    program(&mut tree, "/d/pong", "exec /d/ping\n");
    match put(&mut tree, &[Deb::new("a", "1", "").postinst(body)]) {
        Ok(_) => FINE.to_owned(),
        Err(said) => {
            assert!(said.starts_with("package a 1: postinst "), "{said:.300}");
            assert!(said.len() < 2000, "{said:.300}");
            said
        }
    }
}

/// Each script is refused by package, script and line, and soon.
fn assert_ends(scripts: &[(String, &str)]) {
    for (body, why) in scripts {
        let said = said_of(body);
        assert!(said.contains(why), "{body:.70}: {said:.300}");
        assert!(*why == FINE || said.contains("line "), "{said:.300}");
    }
}

fn deep(open: &str, close: &str, times: usize) -> String {
    open.repeat(times) + ":" + &close.repeat(times) + "\n"
}

#[test]
fn scripts_without_an_end_are_refused() {
    let script = |text: &str| format!("{text}\n");
    assert_ends(&[
        (
            script("while :; do :; done"),
            "line 3: more than 100000 commands",
        ),
        (
            script("trap 'while :; do :; done' EXIT"),
            "line 3: line 1 of its text: more than",
        ),
        (
            script("while :; do trap 'trap : EXIT' EXIT; (:); done"),
            "more than 100000 commands",
        ),
        (
            script("f() { g; }; g() { f; }; f"),
            "line 3: functions call each other deeper",
        ),
        (
            script("f() { eval f; }; f"),
            "read each other deeper than 8",
        ),
        (script("f() { $(f); }; f"), "deeper than"),
        (script("f() { (f | f); }; f"), "deeper than"),
        (script("x='eval \"$x\"'; eval \"$x\""), "deeper than"),
        (
            script("trap 'eval \"$x\"' EXIT; x='trap \"eval \\$x\" 0; (exit)'"),
            FINE,
        ),
        (
            script("\n. /d/self"),
            "line 4: /d/self line 1: files that read each other",
        ),
        (
            script("/d/loop"),
            "line 3: /d/loop line 2: programs that call each other",
        ),
        (
            script("/d/ping"),
            "line 3: /d/pong line 2: programs that call each other",
        ),
        (
            script("yes | head -n 1"),
            "line 3: /usr/bin/yes line 2: more than",
        ),
        (
            script("while :; do ldconfig; done"),
            "more than any script has to do",
        ),
        (
            script("while :; do mkdir a; cd a; done"),
            "more than any script has to do",
        ),
        (
            script("mkdir -p /d/a; while :; do cd /d/a; mkdir -p a; cp -a /usr a/$i; i=x$i; done"),
            "more than any script has to do",
        ),
        (
            script("while :; do echo x & done"),
            "line 3: while :; do echo x & done",
        ),
        (script("seq 1 1000000000"), "line 3: seq"),
        (script("printf '%1000000000s' x"), "line 3: printf"),
        (script("echo a | sed ':a;s/^/x/;ba'"), "line 3"),
        (
            script("echo a | awk '{ while (1) x = x \"a\" }'"),
            "at line 3",
        ),
    ]);
}

#[test]
fn scripts_that_need_too_much_are_refused() {
    let half = "x=ab\nfor i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18; do x=$x$x; done\n";
    let script = |text: &str| format!("{half}{text}\n");
    assert_ends(&[
        (
            script("while :; do (:); done"),
            "more than any script has to do",
        ),
        (
            script("while :; do tool --x \"$x\"; done"),
            "more than 134217728 bytes",
        ),
        (
            script("set -- $x $x; while :; do set -- \"$@\" \"$@\"; done"),
            "a word of more than",
        ),
        (script("x=$x$x$x"), "a value of more than"),
        (script("echo $x | grep '\\(a*\\)*b\\1'"), "line "),
        (
            half.replace("x=ab", "x=a/") + "mkdir -p /$x\n",
            "directories within each other",
        ),
    ]);
}

#[test]
fn what_is_nested_too_deep_is_refused() {
    let arithmetic = |part: &str| format!("x=$(({}1))\n", part.repeat(50_000));
    let calls = format!("f() {{ {}f{}; }}\nf\n", "( ".repeat(30), " )".repeat(30));
    assert_ends(&[
        (deep("{ ", "; }", 39), FINE),
        (deep("( ", " )", 39), FINE),
        (deep("if ", "; then :; fi", 5000), "nested deeper than"),
        (calls, "commands within each other deeper than"),
        (arithmetic("1?"), "is not understood"),
        (arithmetic("-"), "is not understood"),
        (arithmetic("("), "line "),
        (arithmetic("1||"), FINE),
        (
            format!("x={}a\n", "${x-".repeat(30_000)),
            "nested deeper than",
        ),
        (
            format!("cat <<E\n{}\nE\n", "$(".repeat(30_000)),
            "nested deeper than",
        ),
        ("cat <<E\nno end\n".into(), "here-document without its end"),
        ("echo 'no end\n".into(), "a single quote without its end"),
        (
            "echo \"$(echo 'x\n".into(),
            "a single quote without its end",
        ),
        (
            "x=`echo \\`echo \\\\\\`echo x\n".into(),
            "a backquote without its end",
        ),
    ]);
}

#[test]
fn xml_catalogues_have_their_entries_sorted() {
    let mut tree = image("");
    for (path, text) in [
        ("/usr/sbin/update-xmlcatalog", ""),
        ("/usr/share/xml-core/catalog.header", "<head>\n"),
        ("/usr/share/xml-core/catalog.footer", "<foot>\n"),
        ("/local.xml", ""),
    ] {
        tree.put_file(path, text, Stat::root(0o755, TIME)).unwrap();
    }
    for dir in ["/var/lib/xml-core", "/etc/xml"] {
        tree.mkdir(dir, &Stat::root(0o755, TIME)).unwrap();
    }
    let add = "update-xmlcatalog --sort --add --package p --type";
    let body = format!(
        "{add} system --id s --local /local.xml\n{add} public --id p --local /local.xml\n\
         {add} public --id p --root\n! {add} public --id p --local /none\n\
         ! {add} other --id p --root\n"
    );
    put(&mut tree, &[Deb::new("a", "1", "").postinst(&body)]).unwrap();
    let public = "publicIdStartString=\"p\"";
    let expected = format!(
        "<head>\n<delegatePublic {public} catalog=\"file:///local.xml\"/>\n\
         <delegateSystem systemIdStartString=\"s\" catalog=\"file:///local.xml\"/>\n<foot>\n"
    );
    assert_eq!(text(&tree, "/etc/xml/p.xml").unwrap(), expected);
    assert!(
        text(&tree, "/etc/xml/p.xml.old")
            .unwrap()
            .contains("system")
    );
    assert_eq!(
        text(&tree, "/var/lib/xml-core/catalog").unwrap(),
        format!("<delegatePublic {public}><catalog=\"file:///etc/xml/p.xml\">\n")
    );
    let del = "update-xmlcatalog --sort --del --type public --id p --root\n";
    put(&mut tree, &[Deb::new("b", "1", "").postinst(del)]).unwrap();
    for path in ["/etc/xml/catalog", "/var/lib/xml-core/catalog"] {
        assert!(tree.find(path).is_none(), "{path}");
    }
    for line in [
        "update-xmlcatalog --add --package p --type uri --id u --local /local.xml\n",
        "update-xmlcatalog --sort --add --package p --type uri --id 'a>' --root\n",
    ] {
        let said = put(&mut tree, &[Deb::new("c", "1", "").postinst(line)]).unwrap_err();
        assert!(said.contains("line 3: update-xmlcatalog"), "{said}");
    }
}
