//! JSON Schemas of what commands print with `--json`, made of the types that are printed, and the
//! reference page that is made of the schemas. `GOLDSMITH_BLESS=1` writes both.

use super::{
    Cli, artifact, boards, commands, convert, doctor, files, fleet, inspect, message, verify,
};
use clap::CommandFactory as _;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The output of `boot --check --json`.
///
/// In the shape of the one that is printed; the tests of the command hold it to that.
#[derive(JsonSchema)]
#[allow(dead_code)]
struct BootCheck {
    /// Whether the system started.
    good: bool,
    /// How long it took (seconds); missing if it did not start.
    #[schemars(with = "u64", extend("x-optional" = true))]
    seconds: Option<u64>,
    /// How that was seen, or why it was not.
    what: String,
    /// The last lines of the serial line; missing if the system started.
    #[schemars(extend("x-optional" = true))]
    console: Vec<String>,
}

/// An output in JSON.
struct Output {
    /// The name of its schema.
    name: &'static str,
    /// The commands that print it, or none.
    commands: &'static [&'static str],
    /// What it is: the title of its schema.
    title: &'static str,
    schema: Schema,
}

impl Output {
    /// An output of a type, as it is written.
    fn of<T: JsonSchema>(
        name: &'static str,
        commands: &'static [&'static str],
        title: &'static str,
    ) -> Self {
        let settings = SchemaSettings::draft2020_12().for_serialize();
        Self {
            name,
            commands,
            title,
            schema: settings.into_generator().into_root_schema_for::<T>(),
        }
    }
}

/// Outputs about conversions and images.
fn of_conversions() -> Vec<Output> {
    vec![
        Output::of::<message::Failure>(
            "failure",
            &[],
            "What every command prints with --json if it fails",
        ),
        Output::of::<crate::convert::Record>(
            "record",
            &["plan"],
            "A conversion: NAME.json, and the plan of one",
        ),
        Output::of::<convert::JsonOutput<'static>>(
            "convert",
            &["convert"],
            "A conversion with its use of the cache",
        ),
        Output::of::<verify::JsonOutput<'static>>(
            "verify",
            &["verify"],
            "The verdict about a finished image",
        ),
        Output::of::<doctor::JsonOutput<'static>>(
            "doctor",
            &["doctor"],
            "Findings about a golden image",
        ),
        Output::of::<inspect::Inspection>("inspect", &["inspect"], "The content of a disk image"),
        Output::of::<Vec<files::VolumeRow>>(
            "ls-partitions",
            &["ls"],
            "The partitions of a file: ls without a path",
        ),
        Output::of::<Vec<files::FileRow>>(
            "ls-files",
            &["ls"],
            "The files of a filesystem: ls with a path",
        ),
        Output::of::<crate::compare::Comparison>(
            "diff",
            &["diff"],
            "The differences between two files with filesystems",
        ),
    ]
}

/// All others.
fn of_the_rest() -> Vec<Output> {
    vec![
        Output::of::<BootCheck>("boot-check", &["boot"], "The verdict of boot --check"),
        Output::of::<artifact::Shown<'static>>(
            "artifact-show",
            &["artifact show"],
            "The header of an Artifact",
        ),
        Output::of::<artifact::Verdict<'static>>(
            "artifact-validate",
            &["artifact validate"],
            "The verdict about an Artifact",
        ),
        Output::of::<Vec<boards::Row>>("boards", &["boards"], "The built-in boards"),
        Output::of::<crate::fleet::actions::ActionList>(
            "fleet-plan",
            &["fleet plan"],
            "The conversions of a fleet as actions for any machine",
        ),
        Output::of::<fleet::Summary>(
            "fleet-result",
            &["fleet convert", "fleet run"],
            "What became of the targets of a fleet",
        ),
        Output::of::<crate::lock::LockFile>("lock", &[], "The lock file that lock writes, in TOML"),
    ]
}

/// All outputs, in the order of the page.
fn outputs() -> Vec<Output> {
    [of_conversions(), of_the_rest()]
        .into_iter()
        .flatten()
        .collect()
}

/// The text of a schema: title first, and each `BootCheck` key that may be missing not required.
fn text(output: &Output) -> String {
    let mut out = Map::new();
    let found = output.schema.as_value().as_object().unwrap();
    let dialect = found["$schema"].clone();
    out.insert("$schema".to_owned(), dialect);
    out.insert("title".to_owned(), json!(output.title));
    for (key, value) in found {
        if !["$schema", "title"].contains(&key.as_str()) {
            out.insert(key.clone(), value.clone());
        }
    }
    let mut whole = Value::Object(out);
    tidy(&mut whole);
    format!("{whole:#}\n")
}

/// Descriptions as one line of plain words; keys with the mark `x-optional` are not required.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(text)) = map.get_mut("description") {
                let words: Vec<&str> = text.split_whitespace().collect();
                *text = words.join(" ").replace("[`", "`").replace("`]", "`");
            }
            let optional: Vec<String> = map
                .get("properties")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
                .filter(|(_, property)| property.get("x-optional").is_some())
                .map(|(name, _)| name.clone())
                .collect();
            if let Some(Value::Array(required)) = map.get_mut("required") {
                required.retain(|name| !optional.iter().any(|one| name == one));
            }
            never_null(map);
            map.remove("x-optional");
            map.values_mut().for_each(tidy);
        }
        Value::Array(list) => list.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// A key that may be missing is missing instead of null. The key that tells the kinds of an object
/// apart is described.
fn never_null(object: &mut Map<String, Value>) {
    let required = object.get("required").cloned().unwrap_or_default();
    let required = required.as_array().cloned().unwrap_or_default();
    let Some(Value::Object(properties)) = object.get_mut("properties") else {
        return;
    };
    for (name, property) in properties {
        let Value::Object(property) = property else {
            continue;
        };
        if property.contains_key("const") && !property.contains_key("description") {
            property.insert("description".to_owned(), json!("What it is."));
        }
        if required.contains(&json!(name)) {
            continue;
        }
        if let Some(Value::Array(types)) = property.get_mut("type") {
            types.retain(|one| one != "null");
            if let [single] = &types[..] {
                let single = single.clone();
                property.insert("type".to_owned(), single);
            }
        }
        if let Some(Value::Array(all)) = property.get_mut("anyOf") {
            all.retain(|one| one.get("type") != Some(&json!("null")));
        }
    }
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

fn blessing() -> bool {
    std::env::var_os("GOLDSMITH_BLESS").is_some()
}

#[test]
fn the_schemas_are_those_of_the_types() {
    let dir = docs().join("schemas");
    let mut names = BTreeSet::new();
    for output in outputs() {
        let file = dir.join(format!("{}.schema.json", output.name));
        let text = text(&output);
        names.insert(file.clone());
        if blessing() {
            fs::create_dir_all(&dir).unwrap();
            fs::write(&file, text).unwrap();
        } else {
            let found = fs::read_to_string(&file).unwrap_or_default();
            assert!(
                found == text,
                "{} differs from the type; run the test with GOLDSMITH_BLESS=1",
                file.display()
            );
        }
    }
    let found = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    assert_eq!(found.collect::<BTreeSet<_>>(), names, "a schema of nothing");
}

/// Whether the command `name` has the option `--json`.
fn has_json(name: &str) -> bool {
    let root = Cli::command();
    let mut command = &root;
    for word in name.split_whitespace() {
        command = command.find_subcommand(word).unwrap();
    }
    command.get_arguments().any(|one| one.get_id() == "json")
}

#[test]
fn every_command_with_json_has_a_schema() {
    let with: BTreeSet<String> = commands().into_iter().filter(|one| has_json(one)).collect();
    let listed = outputs().into_iter().flat_map(|output| output.commands);
    let listed: BTreeSet<String> = listed.map(|name| (*name).to_owned()).collect();
    assert_eq!(with, listed);
}

/// A row of the page: a key by its path, its type, whether it may be missing, and its meaning.
struct Key {
    path: String,
    form: String,
    meaning: String,
}

/// Follows references of `schema` within `root`.
fn followed<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    match schema.get("$ref").and_then(Value::as_str) {
        Some("#") => root,
        Some(path) => {
            let found = root.pointer(path.trim_start_matches('#'));
            followed(root, found.expect("a reference that leads somewhere"))
        }
        None => schema,
    }
}

/// The alternatives of a schema without that of being null, and whether it may be null.
fn alternatives<'a>(root: &'a Value, schema: &'a Value) -> (Vec<&'a Value>, bool) {
    let schema = followed(root, schema);
    let listed = schema.get("anyOf").or_else(|| schema.get("oneOf"));
    let Some(listed) = listed.and_then(Value::as_array) else {
        let null = schema.get("type") == Some(&json!("null"));
        return (if null { vec![] } else { vec![schema] }, null);
    };
    let (mut others, mut null) = (Vec::new(), false);
    for one in listed {
        let (more, is_null) = alternatives(root, one);
        others.extend(more);
        null |= is_null;
    }
    (others, null)
}

/// What a value is, in a few words.
fn form(root: &Value, schema: &Value) -> String {
    let (others, mut null) = alternatives(root, schema);
    let mut words: Vec<String> = Vec::new();
    for one in others {
        if let Some(value) = one.get("const") {
            words.push(format!("`{value}`"));
            continue;
        }
        if let Some(values) = one.get("enum").and_then(Value::as_array) {
            words.extend(values.iter().map(|value| format!("`{value}`")));
            continue;
        }
        let types = match one.get("type") {
            Some(Value::Array(types)) => types.clone(),
            Some(single) => vec![single.clone()],
            None => vec![json!("any")],
        };
        for name in types.iter().filter_map(Value::as_str) {
            match name {
                "null" => null = true,
                "array" => words.push(format!("array of {}", plural(root, one))),
                "object"
                    if one
                        .get("additionalProperties")
                        .is_some_and(Value::is_object) =>
                {
                    let value = form(root, &one["additionalProperties"]);
                    words.push(format!("object, {value} by name"));
                }
                name => words.push(name.to_owned()),
            }
        }
    }
    words.dedup();
    if null {
        words.push("null".to_owned());
    }
    words.join(" or ")
}

/// The elements of an array, in a few words.
fn plural(root: &Value, array: &Value) -> String {
    let items = array.get("items").map(|items| form(root, items));
    match items.as_deref() {
        Some(name @ ("string" | "object" | "integer" | "array")) => format!("{name}s"),
        Some(name) => name.to_owned(),
        None => "anything".to_owned(),
    }
}

/// The keys of a schema and of all that it holds, as rows.
fn keys(root: &Value, schema: &Value, path: &str, out: &mut Vec<Key>) {
    for one in alternatives(root, schema).0 {
        if let Some(items) = one.get("items") {
            keys(root, items, &format!("{path}[]"), out);
        }
        if let Some(value) = one.get("additionalProperties").filter(|v| v.is_object()) {
            keys(root, value, &format!("{path}.*"), out);
        }
        let required = one.get("required").and_then(Value::as_array);
        let properties = one.get("properties").and_then(Value::as_object);
        for (name, property) in properties.into_iter().flatten() {
            let path = format!("{path}.{name}").trim_start_matches('.').to_owned();
            if let Some(key) = out.iter_mut().find(|key| key.path == path) {
                // Kinds of an object have the same keys, and one with the name of the kind.
                if property.get("const").is_some() {
                    key.form = format!("{} or {}", key.form, form(root, property));
                }
                continue;
            }
            let needed = required.is_some_and(|all| all.contains(&json!(name)));
            let meaning = property.get("description");
            let meaning = meaning.or_else(|| followed(root, property).get("description"));
            let form = form(root, property);
            out.push(Key {
                form: if needed {
                    form
                } else {
                    format!("{form}; may be missing")
                },
                meaning: meaning
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned(),
                path: path.clone(),
            });
            keys(root, property, &path, out);
        }
    }
}

#[test]
fn every_key_says_what_it_means() {
    let mut wrong = Vec::new();
    for output in outputs() {
        let root: Value = serde_json::from_str(&text(&output)).unwrap();
        let mut all = Vec::new();
        keys(&root, &root, "", &mut all);
        assert!(!all.is_empty(), "{} has no keys", output.name);
        let silent = all.iter().filter(|key| key.meaning.is_empty());
        wrong.extend(silent.map(|key| format!("{}: {}", output.name, key.path)));
    }
    assert!(
        wrong.is_empty(),
        "keys without a meaning:\n{}",
        wrong.join("\n")
    );
}

/// The part of the page that is made of the schemas.
fn reference() -> String {
    let mut out = String::new();
    for output in outputs() {
        let root: Value = serde_json::from_str(&text(&output)).unwrap();
        let commands = output
            .commands
            .iter()
            .map(|name| format!("`{name} --json`"));
        let commands: Vec<String> = commands.collect();
        let _ = write!(out, "\n### {}\n\n{}", output.name, output.title);
        if !commands.is_empty() {
            let _ = write!(out, " ({})", commands.join(", "));
        }
        let name = output.name;
        let array = if root.get("items").is_some() {
            "An array. "
        } else {
            ""
        };
        let _ = writeln!(out, ". {array}[Schema](schemas/{name}.schema.json).\n");
        if name == "convert" {
            out.push_str("All of [record](#record), and:\n\n");
        }
        out.push_str("| key | type | meaning |\n| --- | --- | --- |\n");
        let mut all = Vec::new();
        keys(&root, &root, "", &mut all);
        for key in all {
            if name == "convert" && !key.path.starts_with("cache") {
                continue;
            }
            let path = key.path.trim_start_matches('.');
            let meaning = key.meaning.replace('|', "\\|");
            let _ = writeln!(
                out,
                "| `{path}` | {} | {meaning} |",
                key.form.replace('|', "\\|")
            );
        }
    }
    out.push('\n');
    out
}

#[test]
fn the_page_of_json_is_up_to_date() {
    let file = docs().join("json.md");
    let page = fs::read_to_string(&file).unwrap();
    let (begin, end) = (
        "<!-- outputs: generated, GOLDSMITH_BLESS=1 writes it anew -->\n",
        "<!-- end of outputs -->\n",
    );
    let (before, rest) = page.split_once(begin).expect("the place of the tables");
    let (found, after) = rest.split_once(end).expect("the end of the tables");
    let tables = reference();
    if blessing() {
        fs::write(&file, [before, begin, &tables, end, after].concat()).unwrap();
    } else {
        assert!(
            found == tables,
            "docs/json.md differs from the types; run the test with GOLDSMITH_BLESS=1"
        );
    }
}
