//! The language on a host that has a few files and knows two commands.

use super::*;
use std::collections::{BTreeMap, BTreeSet};

/// Files by path; directories are implied.
#[derive(Default)]
struct Fake {
    files: BTreeMap<String, String>,
    unknown: Vec<(usize, String)>,
    work: u64,
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
            "fail" => return Err("the disk is full".into()),
            _ => None,
        })
    }

    fn unknown(&mut self, line: usize, statement: &str) {
        self.unknown.push((line, statement.to_owned()));
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
        let dir = format!("{path}/");
        let under = |file: &String| file == path || file.starts_with(&dir);
        self.files.keys().any(under)
    }

    fn names(&self, dir: &str) -> Option<Vec<String>> {
        let dir = format!("{}/", dir.trim_end_matches('/'));
        let rests = self.files.keys().filter_map(|file| file.strip_prefix(&dir));
        let names: BTreeSet<&str> = rests.filter_map(|rest| rest.split('/').next()).collect();
        (!names.is_empty()).then(|| names.into_iter().map(str::to_owned).collect())
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
    };
    run(&format!("{{\n{script}\n}} > /out"), call, host)
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
    run_on(&mut host, "frob a \"b c\"\necho 2> /log\nstatus x\ncd /usr").unwrap();
    let expected = [
        (2, "frob a b c"),
        (3, "standard error goes to a file"),
        (4, "status x"),
        (5, "cd /usr"),
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
        ("echo $((2 * 3))", 2, "`$((2 * 3))` is not understood"),
        ("echo > /full", 2, "the disk is full"),
        ("sleep 1 &", 2, "a command in the background"),
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
    assert_eq!(glob(&host, "d/*"), [""; 0]);
    assert_eq!(glob(&host, "/d/31?").len(), 10);
    assert!(matches("mender-*", "mender-x/y") && !matches("mender-?", "mender-"));
}
