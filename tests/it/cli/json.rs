//! What commands print with `--json`, held against the schemas in `docs/schemas`. A key that its
//! schema does not know is an error here, though readers have to skip it.

use super::messages::workplace;
use super::{run, stderr, stdout};
use crate::support::{goldsmith, must, scratch};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

fn schemas() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schemas")
}

/// Reads `[[name, value], ...]`, and prints a line for each value that is not of the form of its
/// schema. Closes the schemas: no object may have keys that its schema does not name.
const JUDGE: &str = r#"
import json, sys, jsonschema
def close(schema):
    if isinstance(schema, list):
        for one in schema: close(one)
    if isinstance(schema, dict):
        for one in schema.values(): close(one)
        if "properties" in schema: schema.setdefault("additionalProperties", False)
for name, value in json.load(open(sys.argv[2])):
    schema = json.load(open(f"{sys.argv[1]}/{name}.schema.json"))
    jsonschema.Draft202012Validator.check_schema(schema)
    close(schema)
    for error in jsonschema.Draft202012Validator(schema).iter_errors(value):
        print(f"{name}: {'.'.join(map(str, error.absolute_path))}: {error.message[:300]}")
"#;

/// What is wrong with values by the schemas that are named with them; `None`, said aloud, without
/// Python's judge.
fn wrong(values: &[(String, Value)]) -> Option<String> {
    let works = Command::new("python3")
        .args(["-c", "import jsonschema"])
        .output();
    if !works.is_ok_and(|output| output.status.success()) {
        assert!(
            std::env::var_os("CI").is_none(),
            "python3-jsonschema is missing; `make setup` installs it"
        );
        println!("skipped: python3-jsonschema is not installed");
        return None;
    }
    let dir = scratch();
    let file = dir.path().join("values");
    fs::write(&file, serde_json::to_string(values).unwrap()).unwrap();
    Some(must("python3", &[&"-c", &JUDGE, &schemas(), &file]))
}

/// Values, each with the name of the schema that it has to have the form of.
#[derive(Default)]
struct Seen(Vec<(String, Value)>);

impl Seen {
    fn add(&mut self, name: &str, value: Value) {
        self.0.push((name.to_owned(), value));
    }

    /// Runs `line` in `at`, and adds what it prints.
    fn prints(&mut self, at: &Path, name: &str, line: &str) -> Value {
        let output = run(at, line);
        let value: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|e| panic!("{line}: {e}: {}{}", stdout(&output), stderr(&output)));
        self.add(name, value.clone());
        value
    }
}

/// A program in the place of QEMU that says `words` and ends.
fn machine(at: &Path, words: &str) -> Value {
    let dir = at.join("bin");
    fs::create_dir_all(&dir).unwrap();
    for (name, script) in [
        (
            "qemu-system-x86_64",
            format!("case \" $* \" in *\" -S \"*) exit 1 ;; esac\nprintf '{words}'; exec sleep 2"),
        ),
        ("qemu-img", "for last; do :; done; : >\"$last\"".to_owned()),
    ] {
        let path = dir.join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let output = Command::new(goldsmith())
        .args(["boot", "--check", "--json", "--memory", "512", "golden.img"])
        .env("PATH", format!("{}:/usr/bin:/bin", dir.display()))
        .current_dir(at)
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

/// A configuration that uses what few do, so that keys which are seldom there are there.
const RICH: &str = r##"extends = "qemux86-64"
[storage]
alignment = "1 MiB"
[client]
required = false
managed = false
[[raw]]
file = "blob"
offset = "40 s"
[[rootfs.edit]]
path = "/etc/fstab"
append = "# ours"
[output]
input-digest = true
"##;

fn conversions(at: &Path, seen: &mut Seen) {
    fs::write(at.join("blob"), "blob").unwrap();
    fs::write(at.join("rich.toml"), RICH).unwrap();
    seen.prints(at, "record", "plan -q --json -c rich.toml -n r1 golden.img");
    let line = "convert -q --json -c rich.toml --cache cache";
    let made = seen.prints(at, "convert", &format!("{line} -n r1 golden.img"));
    assert!(made["cache"].is_object(), "{made:#}");
    let more = "--upgrade-from deploy/golden-qemux86-64-r1.json -s artifact.compression=gzip";
    let next = format!("{line} {more} -n r2 golden.img");
    seen.prints(at, "convert", &next);
    let record = fs::read_to_string(at.join("deploy/golden-qemux86-64-r2.json")).unwrap();
    seen.add("record", serde_json::from_str(&record).unwrap());
}

fn results(at: &Path, seen: &mut Seen) {
    let image = "deploy/golden-qemux86-64-r1.img";
    let artifact = "deploy/golden-qemux86-64-r1.mender";
    for (name, line) in [
        ("verify", format!("verify --json -a {artifact} {image}")),
        ("verify", "verify --json golden.img".to_owned()),
        ("doctor", "doctor --json golden.img".to_owned()),
        ("inspect", "inspect --json golden.img".to_owned()),
        ("inspect", format!("inspect --json {image}")),
        ("ls-partitions", format!("ls --json {image}")),
        ("ls-files", "ls --json root.ext4".to_owned()),
        ("ls-files", "ls --json -R golden.img:/".to_owned()),
        ("diff", format!("diff --json golden.img {image}")),
        ("diff", format!("diff --json {image} {artifact}")),
        ("artifact-show", format!("artifact show --json {artifact}")),
        (
            "artifact-validate",
            format!("artifact validate --json {artifact}"),
        ),
        ("boards", "boards --json".to_owned()),
    ] {
        seen.prints(at, name, &line);
    }
    let failed = seen.prints(at, "failure", "plan --json -c none -n r1 golden.img");
    assert_eq!(failed["exit-code"], 1);
    assert!(failed["errors"][0]["hint"].is_string(), "{failed:#}");
}

const FLEET: &str = "[all]\ngolden-image = \"golden.img\"\nconfig = \"rich.toml\"\n\
                     [[board]]\nname = \"a\"\n[[board]]\nname = \"b\"\nset = { board.device-type = \"b\" }\n\
                     [[release]]\nname = \"r\"\nset = { artifact.name = \"r1\" }\n";

fn fleets(at: &Path, seen: &mut Seen) {
    fs::write(at.join("fleet.toml"), FLEET).unwrap();
    seen.prints(at, "fleet-plan", "fleet plan --json fleet.toml");
    let line = "fleet convert --json -q --cache cache fleet.toml";
    let good = seen.prints(at, "fleet-result", line);
    assert_eq!(good["failed"], 0, "{good:#}");
    let broken = FLEET.replace(
        "device-type = \"b\"",
        "device-type = \"b\", root.size = \"1 MiB\"",
    );
    fs::write(at.join("fleet.toml"), broken).unwrap();
    let bad = seen.prints(at, "fleet-result", line);
    assert_eq!(bad["failed"], 1, "{bad:#}");
}

#[test]
fn what_commands_print_has_the_form_of_its_schema() {
    let Some(dir) = workplace() else { return };
    let at = dir.path();
    let mut seen = Seen::default();
    conversions(at, &mut seen);
    results(at, &mut seen);
    fleets(at, &mut seen);
    seen.add("boot-check", machine(at, "host login: "));
    seen.add("boot-check", machine(at, "grub rescue> "));
    let locks = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/lock/expected");
    for entry in fs::read_dir(locks).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let lock: toml::Table = toml::from_str(&text).unwrap();
        seen.add("lock", serde_json::to_value(lock).unwrap());
    }
    let files = fs::read_dir(schemas()).unwrap();
    let names = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: BTreeSet<String> = names.map(|name| name.replace(".schema.json", "")).collect();
    let held: BTreeSet<String> = seen.0.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(held, names, "a schema that nothing is held against");
    if let Some(wrong) = wrong(&seen.0) {
        assert_eq!(wrong, "");
    }
}

#[test]
fn another_form_is_noticed() {
    let values = [
        json!({"errors": [{"message": "x", "hint": "y"}], "exit-code": 2}),
        json!({"errors": [{"message": "x"}]}),
        json!({"errors": [{"message": 1}], "exit-code": 2}),
        json!({"errors": [{"message": "x", "advice": "y"}], "exit-code": 2}),
        json!({"errors": {}, "exit-code": 2}),
    ];
    let values = values.map(|value| ("failure".to_owned(), value));
    let Some(wrong) = wrong(&values) else { return };
    assert_eq!(
        wrong,
        "failure: : 'exit-code' is a required property\n\
         failure: errors.0.message: 1 is not of type 'string'\n\
         failure: errors.0: Additional properties are not allowed ('advice' was unexpected)\n\
         failure: errors: {} is not of type 'array'\n"
    );
}
