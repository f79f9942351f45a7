//! The language on a host that has a few files and knows two commands.

use super::*;
use std::collections::{BTreeMap, BTreeSet};

/// Files by path; directories are implied.
#[derive(Default)]
struct Fake {
    files: BTreeMap<String, String>,
    unknown: Vec<(usize, String)>,
    /// Whether the output of each is read.
    reads: Vec<bool>,
    /// The line that is left out on wish.
    left_out: Option<usize>,
    work: u64,
    /// The working directory; empty for the root.
    dir: String,
}

impl Fake {
    fn at(&self, path: &str) -> String {
        match path.strip_prefix("./").unwrap_or(path) {
            "." => self.dir.clone(),
            path if path.starts_with('/') => path.to_owned(),
            path => format!("{}/{path}", self.dir.trim_end_matches('/')),
        }
    }
}

impl Host for Fake {
    fn run(
        &mut self,
        name: &str,
        arguments: &[String],
        variables: &mut Variables,
        io: &mut Io,
    ) -> Result<Option<ExitStatus>, HostError> {
        Ok(match name {
            "echo" => {
                io.print_line(&arguments.join(" "));
                Some(0)
            }
            "status" => arguments.first().and_then(|n| n.parse().ok()),
            "answer" => {
                variables.insert("RET".into(), "42".into());
                Some(0)
            }
            ":" | "true" => Some(0),
            "fail" => return Err("the disk is full".into()),
            _ => None,
        })
    }

    fn unknown(&mut self, statement: UnknownStatement) {
        let text = statement.place.unwrap_or(statement.words);
        self.unknown.push((statement.line, text));
        self.reads.push(statement.read);
    }

    fn left_out(&mut self, line: usize) -> bool {
        self.left_out == Some(line)
    }

    fn is_file(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    fn read(&self, path: &str) -> Result<Option<String>, HostError> {
        Ok(self.files.get(path).cloned())
    }

    fn write(&mut self, path: &str, text: &str, append: bool) -> Result<(), HostError> {
        if path == "/full" {
            return Err("the disk is full".into());
        }
        let file = self.files.entry(path.to_owned()).or_default();
        if !append {
            file.clear();
        }
        file.push_str(text);
        self.work += text.len() as u64;
        Ok(())
    }

    fn size(&self, path: &str) -> u64 {
        self.files.get(path).map_or(0, |text| text.len() as u64)
    }

    fn has_entry(&self, path: &str) -> bool {
        let path = &self.at(path);
        let dir = format!("{path}/");
        let under = |file: &String| file == path || file.starts_with(&dir);
        self.files.keys().any(under)
    }

    fn names(&self, dir: &str) -> Option<Vec<String>> {
        let dir = format!("{}/", self.at(dir).trim_end_matches('/'));
        let rests = self.files.keys().filter_map(|file| file.strip_prefix(&dir));
        let names: BTreeSet<&str> = rests.filter_map(|rest| rest.split('/').next()).collect();
        (!names.is_empty()).then(|| names.into_iter().map(str::to_owned).collect())
    }

    fn real_dir(&self, path: &str) -> Option<String> {
        self.is_dir(path).then(|| self.at(path))
    }

    fn set_dir(&mut self, real: &str) {
        self.dir = real.to_owned();
    }

    fn script(&self, name: &str) -> Result<Option<ScriptFile>, HostError> {
        let text = self.files.get(name).filter(|text| text.starts_with("#!"));
        Ok(text.map(|text| ScriptFile {
            path: name.to_owned(),
            text: text.clone(),
            dialect: Dialect::Dash,
            options: vec!["-e".to_owned()],
        }))
    }

    fn home(&self, user: &str) -> Result<Option<String>, HostError> {
        Ok((user == "root").then(|| "/root".to_owned()))
    }

    fn work(&self) -> u64 {
        self.work
    }
}

fn host() -> Fake {
    let files = [
        "/etc/a.conf",
        "/etc/b.conf",
        "/etc/.hidden.conf",
        "/srv/x/y",
    ];
    Fake {
        files: files
            .iter()
            .map(|path| ((*path).to_owned(), "1\n2\n".to_owned()))
            .collect(),
        ..Fake::default()
    }
}

/// Runs a script with the arguments `configure` and `1.0`; what it echoes is in `/out`.
fn run_on(host: &mut Fake, script: &str) -> Result<Exit, ScriptError> {
    let call = Invocation {
        name: "postinst".into(),
        arguments: vec!["configure".into(), "1.0".into()],
        variables: Variables::from([("PATH".into(), "/bin".into())]),
        ..Invocation::default()
    };
    run(&format!("{{\n{script}\n}} > /out"), call, host)
}

fn said_by(host: &mut Fake, script: &str) -> String {
    run_on(host, script).unwrap_or_else(|e| panic!("{script}: {e}"));
    host.files["/out"].clone()
}

fn output(script: &str) -> String {
    let mut host = host();
    run_on(&mut host, script).unwrap_or_else(|e| panic!("{script}: {e}"));
    assert_eq!(host.unknown, [], "{script}");
    host.files.remove("/out").unwrap_or_default()
}

#[test]
fn words_are_expanded_as_posix_says() {
    for (script, expected) in [
        (
            "echo $0 $1 $# \"$@\" $PATH",
            "postinst configure 2 configure 1.0 /bin",
        ),
        ("x='a  b'; echo $x \"$x\" '$x' \\$x", "a b a  b $x $x"),
        (
            "x=a.b.c; echo ${x%.*} ${x%%.*} ${x#*.} ${x##*.} ${#x}",
            "a.b a b.c c 5",
        ),
        (
            "e=; echo ${e-1} ${e:-2} ${u:=3} $u ${u:+4} ${n+5}",
            "2 3 3 4",
        ),
        (
            "echo $((1 + $# - 2)) `echo a` $(echo b | status 0; echo c)",
            "1 a c",
        ),
        (
            "echo /etc/*.conf /none/* '/etc/*'",
            "/etc/a.conf /etc/b.conf /none/* /etc/*",
        ),
        (
            "echo /etc/.*.conf /*/x/? a*",
            "/etc/.hidden.conf /srv/x/y a*",
        ),
        ("x=1 answer; echo \"[$x]\" $RET", "[] 42"),
    ] {
        assert_eq!(output(script), format!("{expected}\n"), "{script}");
    }
}

#[test]
fn commands_flow_as_posix_says() {
    for (script, expected) in [
        (
            "if status 1; then echo a; elif status 0; then echo b; else echo c; fi",
            "b",
        ),
        (
            "for i in 1 2 3 4; do case $i in 2) continue;; 4) break;; esac; echo $i; done",
            "1\n3",
        ),
        (
            "while read -r l; do echo \"<$l>\"; done < /etc/a.conf",
            "<1>\n<2>",
        ),
        (
            "f() { local v=$1; return 3; }; v=0; f 7 || echo $? $v",
            "3 0",
        ),
        ("(x=1; exit 2) || echo $? \"[$x]\"", "2 []"),
        (
            "set -e; status 1 || status 1 && echo no; ! status 0; echo yes",
            "yes",
        ),
        (
            "set -- a b c; shift; echo $*; echo $1 >&2; echo quiet > /dev/null",
            "b c",
        ),
        ("read x < /none || echo none", "none"),
    ] {
        let mut host = host();
        run_on(&mut host, script).unwrap_or_else(|e| panic!("{script}: {e}"));
        assert_eq!(host.files["/out"], format!("{expected}\n"), "{script}");
    }
}

#[test]
fn failures_end_a_script_under_errexit_alone() {
    let exit = |script: &str| {
        let exit = run_on(&mut host(), script).unwrap();
        (exit.status, exit.line)
    };
    assert_eq!(exit("set -e\nstatus 4\necho no"), (4, 3));
    assert_eq!(exit("status 4\necho yes"), (0, 3));
    assert_eq!(
        exit("set -e\nstatus 4 | status 0\nx=$(status 5)\necho no"),
        (5, 4)
    );
    assert_eq!(exit("exit 6\necho no"), (6, 2));
}

#[test]
fn statements_without_a_known_effect_are_passed_to_the_host() {
    let mut host = host();
    host.files.insert("/etc/lib".into(), "frob\n".into());
    run_on(
        &mut host,
        "frob a \"b c\"\necho 2> /log\nstatus x\ncd -L /usr\necho 3> /log\nexec > /log\n\
         x=$(status 1 2>&1) || true\n. /etc/lib",
    )
    .unwrap();
    let expected = [
        (2, "frob a b c"),
        (4, "status x"),
        (5, "cd -L /usr"),
        (6, "descriptor 3 is opened"),
        (7, "exec with redirections of all that follows"),
        (8, "status 1, whose error message is written or read"),
        (9, "/etc/lib line 1: frob"),
    ];
    assert_eq!(
        host.unknown,
        expected.map(|(line, text)| (line, text.to_owned()))
    );
}

#[test]
fn errors_name_the_line() {
    for (script, line, reason) in [
        ("\nif status 0; then", 4, "`fi` expected"),
        ("\nfail", 3, "the disk is full"),
        ("\n\n: ${x?}", 4, "x is not set, which the script requires"),
        ("echo $((2 = 3))", 2, "`$((2 = 3))` is not understood"),
        ("echo \"${x:-'a'}\"", 2, "a single quote in an expansion"),
        ("x=/a:~root", 2, "a `~` after a colon"),
        (". /etc/a.conf; eval 'if'", 2, "its text line 1"),
        ("echo > /full", 2, "the disk is full"),
        ("status 0 & & status 1", 2, "unexpected `&`"),
    ] {
        let error = run_on(&mut host(), script).unwrap_err();
        assert_eq!(error.line, line, "{script}: {error}");
        assert!(error.reason.starts_with(reason), "{script}: {error}");
    }
}

#[test]
fn hostile_scripts_are_bounded() {
    let stars = "*a".repeat(1000);
    for (script, reason) in [
        (
            "while status 0; do status 0; done",
            "more than 100000 commands",
        ),
        ("f() { f; }; f", "functions call each other deeper than 16"),
        (
            "x=abcdefgh; while status 0; do x=$x$x; done",
            "a value of more than",
        ),
        (
            "while status 0; do echo 12345678 >> /big; x=$(echo a); done",
            "more",
        ),
        (
            &format!(
                "x={}; while status 0; do y=${{x%{stars}b}}; done",
                "a".repeat(300_000)
            ),
            "more than any script has to do",
        ),
    ] {
        let error = run_on(&mut host(), script).unwrap_err();
        assert!(error.reason.contains(reason), "{script:.40}: {error}");
    }
    let mut host = host();
    host.work = 1 << 40;
    let error = run_on(&mut host, "status 0").unwrap_err();
    assert!(
        error.reason.contains("more than any script"),
        "the host's work counts too"
    );
}

#[test]
fn patterns_match_paths_and_texts() {
    let mut host = Fake::default();
    for n in 0..320 {
        host.files.insert(format!("/d/{n}"), String::new());
    }
    assert_eq!(glob(&host, "/d/*").len(), 320);
    assert_eq!(
        glob(&host, "d/31?").first().map(String::as_str),
        Some("d/310")
    );
    assert_eq!(glob(&host, "/d/31?").len(), 10);
    assert!(matches("mender-*", "mender-x/y") && !matches("mender-?", "mender-"));
}

#[test]
fn input_is_shared_by_all_who_read_it() {
    for (script, expected) in [
        (
            "while read -r l; do status 0 >/dev/null 2>&1; echo $l; done < /etc/a.conf",
            "1\n2",
        ),
        (
            "echo a | while read -r l; do { read -r m; } 2>/dev/null; echo \"$l[$m]\"; done",
            "a[]",
        ),
        ("{ read a; read b; echo $b$a; } < /etc/a.conf", "21"),
        (
            "{ x=$(read y; echo $y); read z; echo $x$z; } < /etc/a.conf",
            "12",
        ),
        (
            "while read a; do read b || b=none; echo $a-$b; done <<EOF\n1\n2\n3\nEOF",
            "1-2\n3-none",
        ),
    ] {
        assert_eq!(output(script), format!("{expected}\n"), "{script}");
    }
    let mut host = host();
    host.files.insert("/cut".into(), "whole\npart".into());
    run_on(
        &mut host,
        "while read -r l; do echo $l; done < /cut; echo rest $l",
    )
    .unwrap();
    assert_eq!(host.files["/out"], "whole\nrest part\n");
}

#[test]
fn fields_are_split_at_ifs() {
    for (script, expected) in [
        (
            "IFS=,; x=a,b,,c; for i in $x a,b; do echo \"<$i>\"; done",
            "<a>\n<b>\n<>\n<c>\n<a,b>",
        ),
        ("x=a:b:c; IFS=:; set -- $x; echo $# \"$*\"", "3 a:b:c"),
        (
            "echo 'a:b c:d' | { IFS=: read -r x y; echo \"$x|$y\"; }",
            "a|b c:d",
        ),
        ("IFS=; x='a b'; set -- $x; echo $#", "1"),
        (
            "printf_() { echo \"$1\"; }; printf_ 'a\\\\b' | { read x; echo \"$x\"; }",
            "ab",
        ),
        ("x=' a  b '; set -- $x; echo $#", "2"),
        ("IFS=': '; x='a : b'; set -- $x; echo $#", "2"),
        ("set -- ${none:-\"a b\" c}; echo $#", "2"),
    ] {
        assert_eq!(output(script), format!("{expected}\n"), "{script}");
    }
}

#[test]
fn streams_lead_where_redirections_say() {
    for (script, expected) in [
        ("{ echo out; echo err >&2; } 2>&1", "out\nerr"),
        ("{ echo out >&2; } 2>/dev/null; echo x", "x"),
        ("{ echo a; exit 0; } > /o; echo no", ""),
        (
            "(echo a; exit 1) > /o || status 0 < /o; echo b >> /o; while read l; do echo $l; done < /o",
            "a\nb",
        ),
        (
            "while read l; do echo $l; done < /etc/a.conf > /etc/a.conf; echo empty",
            "empty",
        ),
        ("echo x > /none/dir/file || echo failed", "failed"),
        ("echo x > /srv/x || echo failed", "failed"),
    ] {
        let expected = if expected.is_empty() {
            String::new()
        } else {
            format!("{expected}\n")
        };
        assert_eq!(output(script), expected, "{script}");
    }
}

/// How a script ends in a shell with these options, and the statements that it does not know.
fn exit_in(
    dialect: Dialect,
    options: &[&str],
    script: &str,
) -> (Result<ExitStatus, ScriptError>, Vec<(usize, String)>) {
    let call = Invocation {
        dialect,
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        ..Invocation::default()
    };
    let mut host = host();
    let result = run(script, call, &mut host);
    (result.map(|exit| exit.status), host.unknown)
}

#[test]
fn options_of_the_shell_hold() {
    use Dialect::{Bash, Dash};
    for (dialect, options, script, status) in [
        (Dash, &[][..], "set -u; : $none; status 0", 2),
        (Dash, &[], "set -u; : ${none:-} \"$@\" ${none+x}", 0),
        (Dash, &["-e"], "status 3; status 0", 3),
        (Dash, &["-eu"], ": ${#none}", 2),
        (Bash, &["-eo", "pipefail"], "status 4 | status 0", 4),
        (
            Bash,
            &[],
            "set -o pipefail; status 4 | status 0; exit $?",
            4,
        ),
        (Dash, &[], "shift 2; status 0", 2),
        (Bash, &[], "shift 2; status 0", 0),
        // The failure of a compound command was looked at within.
        (
            Dash,
            &["-e"],
            "if status 0; then status 1 && status 0; fi; status 0",
            0,
        ),
        (
            Dash,
            &["-e"],
            "{ status 1 && status 0; }; for i in 1; do status 1 || status 0; done",
            0,
        ),
        (
            Dash,
            &["-e"],
            "f() { status 1 && status 0; }; f; status 0",
            1,
        ),
        (
            Dash,
            &["-e"],
            "echo x | while read l; do status 5; status 0; done; status 0",
            5,
        ),
        (Dash, &["-e"], "(status 6; status 0); status 0", 6),
        (Dash, &[], "set -f; set -- /etc/*.conf; exit $#", 1),
        (Dash, &[], "trap 'exit 7' EXIT; status 0", 7),
        (Dash, &[], "trap 'status 0' 0; trap - 0; exit 3", 3),
        (Dash, &[], "exec status 9; status 0", 9),
        (Dash, &[], ". /none; status 0", 2),
        (Dash, &[], "x='status 8; exit $?'; eval \"$x\"", 8),
        (Dash, &[], "case ~root in /root) exit 4;; esac", 4),
        (Dash, &[], "x=~root/a; case $x in /root/a) exit 4;; esac", 4),
        (Dash, &[], "case '~root' in \\~root) exit 4;; esac", 4),
        (Dash, &[], "f() { :; }; command -v f >/dev/null; exit $?", 0),
    ] {
        let (found, unknown) = exit_in(dialect, options, script);
        assert_eq!(
            (found, unknown),
            (Ok(status), vec![]),
            "{options:?} {script}"
        );
    }
}

#[test]
fn what_one_shell_alone_has_is_refused_in_the_other() {
    use Dialect::{Bash, Dash};
    assert!(
        exit_in(Dash, &["-o", "pipefail"], ":").0.is_err(),
        "dash does not have it"
    );
    assert!(exit_in(Dash, &["--posix"], ":").0.is_err());
    for script in ["[[ -d / ]]", "x+=y", "declare x", "shopt -s nullglob"] {
        assert_eq!(exit_in(Bash, &[], script).1.len(), 1, "{script}");
    }
    for script in [
        "((x++))",
        "echo a{b,c}",
        "echo $'x'",
        "a=(1 2)",
        "function f { :; }",
    ] {
        assert!(exit_in(Bash, &[], script).0.is_err(), "{script}");
    }
    assert_eq!(
        exit_in(Dash, &[], "x=a{b,c}; case $x in 'a{b,c}') exit 3;; esac").0,
        Ok(3)
    );
}

#[test]
fn the_working_directory_and_the_umask() {
    let mut host = host();
    host.files.insert("/d/e/f".into(), String::new());
    let script = "cd d; pwd; cd e/..; pwd; (cd e; echo *; pwd); echo $PWD $OLDPWD; cd -; cd /; \
                  cd /none || echo no; umask; umask 77; umask; (umask 2); umask";
    let out = "/d\n/d\nf\n/d/e\n/d /d\n/d\nno\n0022\n0077\n0077\n";
    assert_eq!(said_by(&mut host, script), out);
    assert_eq!(host.unknown, []);
}

#[test]
fn programs_that_are_scripts_see_what_is_exported() {
    let mut host = host();
    let tool = "#!/bin/sh\necho $0 $1 [$a] [$b] [$c]\na=changed\nf() { echo f; }\nfrob\n(exit 3)\necho never\n";
    host.files.insert("/tool".into(), tool.into());
    let script = "a=1; export b=2; f() { echo no; }\nc=3 /tool x || echo $? $a; f; \
                  echo $(/tool) > /log || true";
    assert_eq!(said_by(&mut host, script), "/tool x [] [2] [3]\n3 1\nno\n");
    assert_eq!(host.files["/log"], "/tool [] [2] []\n");
    assert_eq!(host.unknown[0], (3, "/tool line 5: frob".to_owned()));
}

#[test]
fn commands_in_the_background_are_waited_for() {
    let mut host = host();
    assert_eq!(
        said_by(&mut host, "status 1 & x=$(status 0) & wait; echo $?"),
        "0\n"
    );
    assert_eq!(host.unknown, []);
    run_on(&mut host, "status 0 &\nstatus 1 &\nwait $!\n").unwrap();
    let lines: Vec<usize> = host.unknown.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [4, 2, 3]);
}

#[test]
fn statements_of_other_texts_have_their_place_and_are_left_out_whole() {
    let script = "\n. /lib\nf x\nown\nx=$(own)\n/tool | read y\neval 'one;\ntwo'\n";
    let mut host = host();
    let lib = "\nf() {\n  inner $1 \\\n    more\n  own\n}\n";
    host.files.insert("/lib".into(), lib.into());
    let tool = "#!/bin/sh\nx=$(deep)\n(\n";
    host.files.insert("/tool".into(), tool.into());
    run_on(&mut host, script).unwrap();
    let unknown: Vec<(usize, &str)> = host
        .unknown
        .iter()
        .map(|(line, text)| (*line, text.as_str()))
        .collect();
    let expected = [
        (4, "/lib line 3: inner $1 more"),
        (4, "/lib line 5: own"),
        (5, "own"),
        (6, "own"),
        (7, "/tool line 4: unexpected end"),
        (8, "one;"),
        (8, "two'"),
    ];
    assert_eq!(unknown[..6], expected[..6]);
    assert_eq!(unknown[6].0, 8);
    assert_eq!(host.reads, [false, false, false, true, true, false, false]);
    let mut host = self::host();
    host.files.insert("/lib".into(), lib.into());
    host.left_out = Some(4);
    run_on(&mut host, ". /lib\nf x\nf() { own; }\nf\n").unwrap();
    assert_eq!(
        host.unknown[0],
        (3, "/lib line 3: inner $1 more".to_owned())
    );
    host.unknown.clear();
    host.left_out = Some(3);
    run_on(&mut host, ". /lib\nf x\n").unwrap();
    assert_eq!(host.unknown, [(3, "f x".to_owned())]);
}
