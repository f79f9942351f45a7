//! `goldsmith migrate` evaluates statements as bash does, or says where it does not; nothing that
//! it reads keeps it waiting, and goldsmith reads what it prints.

use super::migrate::write;
use super::{run, stderr, stdout};
use crate::support::{goldsmith, images, must, scratch, tool};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// What is said of a statement that bash evaluates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The value is that of bash.
    Same,
    /// It is an error with this line.
    Refused(usize),
    /// It is left out, with a warning that names this line.
    LeftOut(usize),
}
use Outcome::{LeftOut, Refused, Same};

/// Statements of bash. `P` is a variable of mender-convert, `H` one of its lists of hooks.
const STATEMENTS: &[(&str, Outcome)] = &[
    (": ${P:=other}", Same),
    ("P=; : ${P:=other}", Same),
    ("unset P; : \"${P:=other}\"", Same),
    ("X=; Y=${X:=other}; P=$X$Y", Same),
    ("eval \"P=made\"", Same),
    ("N=P; eval \"$N='made of two'\"", Same),
    ("read P <<EOF\n two words \nEOF", Same),
    ("read X Y <<EOF\none two three\nEOF\nP=$Y", Same),
    ("read P <<< word", Refused(1)),
    ("read P < /etc/hostname", Refused(1)),
    ("read -r -a X <<EOF\na\nEOF\n", Refused(1)),
    ("P=a export P=b", Same),
    ("P=a export P", Same),
    ("P=a readonly P=b", Same),
    ("P=a :", Same),
    ("P=a eval X=\\$P; P=$X", Same),
    ("P=a declare P", Refused(1)),
    ("export P=new X=$P; P=$X", Same),
    ("declare P=new X=$P; P=$X", Same),
    ("export P+=more", Same),
    ("declare -x P+=more", Same),
    ("export \"P=quoted value\"", Same),
    ("N=P; export $N=named", Same),
    ("N=P; declare \"$N=named\"", Same),
    ("export -f nothing; P=a", Same),
    ("declare -a P=plain", Same),
    ("declare -a P; P=later", Same),
    ("P=a; declare -a P=(b c)", Same),
    ("declare -g P=global", Same),
    ("\ndeclare -u P=abc", Refused(2)),
    ("declare -l P=ABC", Refused(1)),
    ("declare -i P=1+1", Refused(1)),
    ("typeset -u P; P=abc", Refused(1)),
    ("declare -n X=P; X=a", Refused(1)),
    ("declare -A X; X[a]=b; P=${X[a]}", Refused(1)),
    ("declare +x P=a", Refused(1)),
    ("readonly P=first\nP=second", Refused(2)),
    ("declare -r P=first\n\nP=second", Refused(3)),
    (
        "P=first; readonly P\nif true; then\nP=second\nfi",
        Refused(3),
    ),
    ("local P=a", Refused(1)),
    ("P=(a b)", Same),
    ("P=(a b); P+=c", Same),
    ("P=(a b); P=z", Same),
    ("P=(a b); P+=(c)", Same),
    ("P=a; P+=(b)", Same),
    ("P=()\nP=${P-none}", Same),
    ("X=(a b); P=$X", Same),
    ("X=(a b); unset X; P=${X-none}", Same),
    ("P[0]=a", Refused(1)),
    ("P[1]+=a", Refused(1)),
    ("P=(a b); unset 'P[0]'", Refused(1)),
    ("P=(a [3]=b)", Refused(1)),
    ("P=a X=(b)", Same),
    ("true && X=(a) P=b", Refused(1)),
    ("false || X=b Y=(a)", Refused(1)),
    ("(P=(a b))", Refused(1)),
    ("H+=(one)\nH+=(two three)", Same),
    ("H=(only)", Same),
    ("H+=joined", Same),
    ("H=\"one\"", Same),
    ("unset H; H+=(new)", Same),
    ("declare -a H=(one two)", Same),
    ("export H=(one two)", Same),
    ("if true; then H+=(yes); else H+=(no); fi", Same),
    ("for name in one two; do H+=(\"$name\"); done", Same),
    ("H[1]=one", Refused(1)),
    ("P=$0", Refused(1)),
    ("P=$$", Refused(1)),
    ("P=$#", Refused(1)),
    ("P=\"$*\"", Refused(1)),
    ("P=$1", Refused(1)),
    ("P=${1:-a}", Refused(1)),
    ("false\nP=$?", Refused(2)),
    ("true; P=$_", Refused(1)),
    ("for X; do P=$X; done", Refused(1)),
    ("P='$0 $$'", Same),
    ("P=${BASH_SOURCE[0]}", Refused(1)),
    ("P=${BASH_SOURCE:-a}", Refused(1)),
    ("P=${HOSTNAME:-a}", Refused(1)),
    ("P=$RANDOM", Refused(1)),
    ("P=${UID:-a}", Refused(1)),
    ("P=$LINENO", Refused(1)),
    ("HOSTNAME=mine; P=$HOSTNAME", Same),
    ("P=$PWD/here", Same),
    ("P=$(pwd)/here", Same),
    ("P=$( pwd )/here", Same),
    ("P=${PWD##*/}", Same),
    ("cd / && P=a", Refused(1)),
    ("P=$(cd / && pwd)", Refused(1)),
    ("for X in /et*; do P=$X; done", Refused(1)),
    ("P=*", Same),
    ("P=a; return; P=b", Same),
    ("P=a\nif true; then P=b; return; fi\nP=c", Same),
    ("[ -n \"$P\" ] || return\nP=a", Same),
    ("P=a; exit; P=b", Refused(1)),
    ("if false; then exit 1; fi; P=a", Same),
    ("(exit 1); P=a", Same),
    ("set -u; P=a", Same),
    ("set -e; P=a", Same),
    ("set -- a b; P=$2", Refused(1)),
    ("(P=a)", Same),
    ("true | P=a", Same),
    ("{ P=a; }", Same),
    ("P=a && P=b || P=c", Same),
    ("! P=a", Same),
    ("false && P=a", Same),
    ("case $P in input/*) P=yes ;; *) P=no ;; esac", Same),
    (
        "while [ \"$P\" != aaa ]; do P=a${P#input/deb}; [ ${#P} -lt 9 ] || P=aaa; done",
        Same,
    ),
    ("until [ \"$P\" = done ]; do P=done; done", Same),
    ("[[ $P = input* ]] && P=a", Refused(1)),
    ("((P=5))", Refused(1)),
    ("let P=5", Refused(1)),
    ("printf -v P %s a", Refused(1)),
    ("mapfile -t P <<EOF\na\nEOF\n", Refused(1)),
    ("P=$((1 + 2))", Same),
    ("P=$((X = 3))", Refused(1)),
    ("X=3; P=$((X * 2))", Same),
    ("P=${P^^}", Refused(1)),
    ("P=${P/input/other}", Refused(1)),
    ("P=${P:0:2}", Refused(1)),
    ("P={a,b}", Refused(1)),
    ("P=$'a\\tb'", Refused(1)),
    ("P=~/a", Refused(1)),
    ("P=a:~/b", Refused(1)),
    ("P=<(true)", Refused(1)),
    ("set_it() { P=set; }\nset_it", Refused(2)),
    (
        "set_it() { eval \"P=set\"; }\nouter() {\n set_it\n}\nouter",
        Refused(5),
    ),
    ("say() { echo \"$P\"; }\nsay", LeftOut(2)),
    ("set_it() { P=set; }\ntrue && set_it", Refused(2)),
    ("if true; then set_it() { P=set; }; fi", Refused(1)),
    ("if true; then function set_it { P=set; }; fi", Refused(1)),
    (
        "f() { local X=a; P[1]=b; declare -A Y=([a]=b); Z=(<(true)); }\nP=a",
        Same,
    ),
    ("source ./gone || true", Refused(1)),
    ("[ -f gone ] && source gone\nP=a", Refused(1)),
    ("if [ -e gone ]; then P=a; fi", Refused(1)),
    ("source ./more\nP=$MORE", Same),
    ("source ./more one\nP=$MORE", Same),
    ("source ./pipe", Refused(1)),
    ("unset P; P=${P-unset}", Same),
    ("unset -v P; P=${P-unset}", Same),
    ("trap 'P=a' EXIT", LeftOut(1)),
    ("exec >log", LeftOut(1)),
    ("shopt -s extglob", LeftOut(1)),
    ("alias x=y", LeftOut(1)),
    ("cat <<EOF >file\n$P\nEOF\n", LeftOut(1)),
    (": <<'EOF'\nP=a\nEOF\n", Same),
    ("MENDER_UNKNOWN_TO_ALL=a true; P=b", Same),
    ("P=a # comment\\\nP=b", Same),
    ("P=a\\\n\\\nb", Same),
];

/// The statements with the whole names of `P` and `H`.
fn named(text: &str) -> String {
    let part = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    let words = text.split_inclusive(part).map(|word| {
        let (name, rest) = match word.chars().next_back() {
            Some(last) if part(last) => word.split_at(word.len() - last.len_utf8()),
            _ => (word, ""),
        };
        let name = match name {
            "P" => "MENDER_INSTALL_INPUT_PACKAGES_PATH",
            "H" => "PLATFORM_MODIFY_HOOKS",
            other => other,
        };
        format!("{name}{rest}")
    });
    words.collect()
}

/// The lists of hooks and the value that bash has after the statements.
fn by_bash(dir: &Path) -> (String, String) {
    let script = "MENDER_INSTALL_INPUT_PACKAGES_PATH=input/deb; PLATFORM_MODIFY_HOOKS=(platform_modify)\n\
         source ./probe >/dev/null 2>&1\n\
         printf '%s\\n' \"${PLATFORM_MODIFY_HOOKS[*]}\" \"${MENDER_INSTALL_INPUT_PACKAGES_PATH-}\"";
    let output = Command::new("bash")
        .args(["-c", script])
        .current_dir(dir)
        .env_remove("HOME")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (hooks, value) = text.split_once('\n').expect("two lines");
    let dir = dir.canonicalize().unwrap().display().to_string();
    let value = value.trim_end_matches('\n');
    let value = match value.strip_prefix(&dir) {
        // Paths begin where the configuration is.
        Some(rest) => format!(".{rest}"),
        None => value.to_owned(),
    };
    (hooks.to_owned(), value)
}

#[test]
fn values_are_those_of_bash_or_are_said_to_be_unknown() {
    if tool("bash").is_none() || tool("mkfifo").is_none() {
        return;
    }
    let mut wrong = String::new();
    for (text, outcome) in STATEMENTS {
        let dir = scratch();
        let probe = named(text);
        write(dir.path(), &[("probe", &probe), ("more", "MORE=more\n")]);
        let end = ("end", "MENDER_INSTALL_INPUT_PACKAGES=y\n");
        write(dir.path(), &[end]);
        must("mkfifo", &[&dir.path().join("pipe")]);
        let mut limited = Command::new("timeout");
        let output = limited
            .arg("20")
            .arg(goldsmith())
            .args(["migrate", "probe", "end"])
            .current_dir(dir.path())
            .output()
            .unwrap();
        let said = stderr(&output);
        let found = match (output.status.code(), outcome) {
            (Some(1), Refused(line)) => said.contains(&format!("error: probe:{line}: ")),
            (Some(0), LeftOut(line)) => said.contains(&format!("warning: probe:{line}: ")),
            (Some(0), Same) => {
                let (hooks, value) = by_bash(dir.path());
                let expected = format!("packages = [{}]", toml_text(&format!("{value}/*.deb")));
                let text = stdout(&output);
                let packages = text.lines().find(|line| line.starts_with("packages ="));
                let mark = "PLATFORM_MODIFY_HOOKS calls ";
                let calls = said.lines().filter_map(|line| line.split_once(mark));
                let calls: Vec<&str> = calls
                    .map(|(_, rest)| rest.split(',').next().unwrap_or_default())
                    .collect();
                let hooks: Vec<&str> = hooks.split(' ').collect();
                let own = |name: &&&str| **name != "platform_modify" && !name.is_empty();
                let hooks: Vec<&str> = hooks.iter().filter(own).copied().collect();
                let same = packages.is_some_and(|line| line.starts_with(&expected));
                if !same || calls != hooks {
                    wrong.push_str(&format!(
                        "bash: {value:?} {hooks:?}; {packages:?} {calls:?}\n"
                    ));
                }
                same && calls == hooks
            }
            _ => false,
        };
        if !found {
            wrong.push_str(&format!(
                "{text:?} {outcome:?}: {:?}\n{said}\n",
                output.status
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// A text as TOML has it.
fn toml_text(text: &str) -> String {
    match text.contains(['"', '\\']) {
        true => format!("'{text}'"),
        false => format!("\"{text}\""),
    }
}

#[test]
fn the_result_is_never_larger_than_goldsmith_reads() {
    let dir = scratch();
    let line = "  sudo cp input/file work/rootfs/etc/file\n";
    let long = format!("big_hook() {{\n{}}}\n", line.repeat(6000));
    let small = "small_hook() {\n  true\n}\nPLATFORM_MODIFY_HOOKS+=(big_hook small_hook)\n";
    write(
        dir.path(),
        &[("a", &format!("{long}{small}MENDER_USE_BMAP=y\n"))],
    );
    let output = run(dir.path(), "migrate a");
    let warned = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{warned}");
    assert!(
        warned.contains("warning: The hook big_hook (a:1): its code is left out")
            || warned.contains("big_hook (a:1)"),
        "{warned}"
    );
    assert!(!warned.contains("contradict"), "{warned}");
    let text = stdout(&output);
    assert!(text.len() <= 128 << 10, "{}", text.len());
    assert!(
        text.contains("(6002 lines are left out"),
        "{}",
        &text[..3000]
    );
    assert!(text.contains("  true\n"), "the other one is whole");
    fs::write(dir.path().join("device.toml"), &text).unwrap();
    let plan = run(dir.path(), "plan -c device.toml -n r1 gone.img");
    assert!(stderr(&plan).contains("gone.img"), "{}", stderr(&plan));
    // Where no comment is to blame, it is an error.
    let name = "x".repeat(140 << 10);
    write(dir.path(), &[("a", &format!("MY_OWN={name}\n"))]);
    let output = run(dir.path(), "migrate a");
    let said = stderr(&output);
    assert_eq!(
        (output.status.code(), stdout(&output)),
        (Some(1), String::new())
    );
    assert!(
        said.contains("and goldsmith reads 131072\nhint: "),
        "{}",
        &said[..said.len().min(500)]
    );
}

#[test]
fn what_is_not_a_file_is_refused_without_waiting() {
    if tool("mkfifo").is_none() {
        return;
    }
    let dir = scratch();
    must("mkfifo", &[&dir.path().join("pipe")]);
    must("mkfifo", &[&dir.path().join("pipe.toml")]);
    let wait = "it is a pipe, not a regular file";
    let plan = "plan -n r1 -c qemux86-64 -s client.required=false";
    for (line, part) in [
        ("migrate pipe".to_owned(), wait),
        (
            "migrate /dev/zero".to_owned(),
            "it is a device, not a regular file",
        ),
        ("plan -c ./pipe.toml gone.img".to_owned(), wait),
        ("doctor -c ./pipe.toml gone.img".to_owned(), wait),
        ("boards --config ./pipe.toml".to_owned(), ""),
    ] {
        let mut command = Command::new("timeout");
        let output = command
            .arg("20")
            .arg(goldsmith())
            .args(line.split(' '))
            .current_dir(dir.path())
            .output()
            .unwrap();
        let code = output.status.code();
        assert!(matches!(code, Some(1 | 2)), "{line}: {code:?}");
        assert!(
            stderr(&output).contains(part),
            "{line}: {}",
            stderr(&output)
        );
    }
    if !images::can_make() {
        return;
    }
    images::golden(dir.path());
    fs::create_dir(dir.path().join("overlay")).unwrap();
    must("mkfifo", &[&dir.path().join("overlay/pipe")]);
    for set in [
        "artifact.key=\"pipe\"",
        "server.certificate=\"pipe\"",
        "server.verify-key=\"pipe\"",
        "client.packages=[\"pipe\"]",
        "rootfs.overlays=[\"overlay\"]",
    ] {
        let mut command = Command::new("timeout");
        let output = command
            .arg("60")
            .arg(goldsmith())
            .args(plan.split(' '))
            .args(["--set", set, "golden.img"])
            .current_dir(dir.path())
            .output()
            .unwrap();
        let code = output.status.code();
        assert!(matches!(code, Some(1 | 2)), "{set}: {code:?}");
        assert!(
            stderr(&output).contains("pipe"),
            "{set}: {}",
            stderr(&output)
        );
    }
}
