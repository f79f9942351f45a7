//! The configuration as a JSON Schema (draft 2020-12, <https://json-schema.org/draft/2020-12>), by
//! which editors complete and check TOML.

use super::keys::{Fallback, Form, Key, Section, Shape, paragraph};
use super::schema::Config;
use serde_json::{Map, Value, json};

/// The JSON Schema of configuration files, generated from the definitions of the keys.
///
/// # Panics
/// Never: a schema has a form in JSON.
#[must_use]
pub fn json_schema() -> String {
    let mut schema = table(&Config::keys());
    let extends = json!({
        "description": "The files that this one builds on: built-in boards by name, other files by path.",
        "oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
    });
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.entry("extends").or_insert(extends);
    }
    let mut whole = Map::new();
    let dialect = "https://json-schema.org/draft/2020-12/schema";
    whole.insert("$schema".to_owned(), json!(dialect));
    whole.insert("title".to_owned(), json!("A configuration of goldsmith"));
    whole.extend(schema);
    let text = serde_json::to_string_pretty(&Value::Object(whole));
    format!(
        "{}\n",
        text.unwrap_or_else(|e| panic!("a schema as JSON: {e}"))
    )
}

/// A table of known keys.
fn table(keys: &[Key]) -> Map<String, Value> {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for key in keys {
        properties.insert(key.name.clone(), Value::Object(one(key)));
        if let Some(alias) = key.alias {
            let mut older = one(key);
            older.insert("deprecated".to_owned(), json!(true));
            let text = format!("An older name of `{}`.", key.name);
            older.insert("description".to_owned(), json!(text));
            properties.insert(alias.to_owned(), Value::Object(older));
        }
        if matches!(key.fallback, Fallback::Required { .. }) {
            required.push(json!(key.name));
        }
    }
    let mut out = Map::new();
    out.insert("type".to_owned(), json!("object"));
    out.insert("additionalProperties".to_owned(), json!(false));
    if !required.is_empty() {
        out.insert("required".to_owned(), Value::Array(required));
    }
    out.insert("properties".to_owned(), Value::Object(properties));
    out
}

/// The schema of one key.
fn one(key: &Key) -> Map<String, Value> {
    let (doc, schema) = match &key.shape {
        Shape::Table(doc, keys) => (*doc, table(keys)),
        Shape::Tables(doc, keys) => {
            let mut list = Map::new();
            list.insert("type".to_owned(), json!("array"));
            list.insert("items".to_owned(), Value::Object(table(keys)));
            (*doc, list)
        }
        Shape::Plain(_) | Shape::Secret => (key.doc, form(&key.form)),
    };
    let mut text = paragraph(doc);
    let mut out = Map::new();
    if let Fallback::Unset { meaning, .. } = key.fallback
        && !matches!(key.shape, Shape::Table(..) | Shape::Tables(..))
    {
        text.push_str(&format!(" If not set: {meaning}."));
    }
    out.insert("description".to_owned(), json!(text));
    out.extend(schema);
    if let (Fallback::Default(toml), Shape::Plain(_)) = (key.fallback, &key.shape)
        && let Some(value) = default(toml)
    {
        out.insert("default".to_owned(), value);
    }
    out
}

/// A default in TOML as JSON.
fn default(toml: &str) -> Option<Value> {
    let table: toml::Table = toml::from_str(&format!("value = {toml}")).ok()?;
    serde_json::to_value(table.get("value")?).ok()
}

fn form(form: &Form) -> Map<String, Value> {
    let value = match form {
        Form::Text => json!({"type": "string"}),
        Form::TextOrNumber => json!({"type": ["string", "integer"]}),
        Form::Flag => json!({"type": "boolean"}),
        Form::Number(min, max) => json!({"type": "integer", "minimum": min, "maximum": max}),
        Form::Words(words) => {
            let words = words.iter();
            let one = words.map(|(word, doc)| json!({"const": word, "description": doc}));
            json!({"oneOf": one.collect::<Vec<_>>()})
        }
        Form::List(item) => {
            let item = Value::Object(self::form(item));
            json!({"anyOf": [item, {"type": "array", "items": item}]})
        }
        Form::Map(value) => json!({
            "type": "object",
            "additionalProperties": Value::Object(self::form(value)),
        }),
        Form::Table => json!({"type": "object"}),
    };
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Value {
        serde_json::from_str(&json_schema()).unwrap()
    }

    #[test]
    fn every_key_is_a_property() {
        let schema = schema();
        let tables = |path: &str| {
            let mut at = &schema;
            for name in path.split('.') {
                let items = at.get("items").unwrap_or(at);
                at = items
                    .get("properties")
                    .and_then(|properties| properties.get(name))
                    .unwrap_or_else(|| panic!("{path} is not in the schema"));
            }
            at.clone()
        };
        for path in super::super::all_keys() {
            let found = tables(&path);
            assert!(
                found["description"]
                    .as_str()
                    .is_some_and(|text| !text.is_empty()),
                "{path}"
            );
        }
        assert_eq!(tables("root.fsck-pass")["maximum"], 2);
        assert_eq!(tables("storage.size")["default"], "8 GiB");
        assert_eq!(tables("root.slot-b")["oneOf"][0]["const"], "copy");
        assert_eq!(tables("data.grow")["type"], "boolean");
    }

    #[test]
    fn tables_take_known_keys_alone() {
        let schema = schema();
        assert_eq!(schema["additionalProperties"], false);
        let overlay = &schema["properties"]["overlay"];
        assert_eq!(overlay["type"], "array");
        assert_eq!(overlay["items"]["additionalProperties"], false);
    }
}
