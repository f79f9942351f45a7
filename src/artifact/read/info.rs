//! The JSON files of the header.

use super::super::names::{self, InvalidName, short};
use super::examiner::{Examiner, Stopped};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

type Object = Map<String, Value>;

impl Examiner<'_> {
    /// `text` as a JSON object.
    fn object(&mut self, place: &'static str, text: &[u8]) -> Result<Object, Stopped> {
        match serde_json::from_slice(text) {
            Ok(Value::Object(object)) => Ok(object),
            Ok(_) => self.stop("json", format!("{place} is not a JSON object")),
            Err(e) => self.stop("json", format!("{place} is not JSON: {e}")),
        }
    }

    /// Takes the object at `key`; an empty one if it is missing or not an object, which is an
    /// error.
    fn child(&mut self, object: &mut Object, place: &str, key: &str) -> Object {
        match object.remove(key) {
            Some(Value::Object(child)) => child,
            Some(_) => {
                self.error("json-type", format!("`{key}` in {place} is not an object"));
                Object::new()
            }
            None => {
                self.error("json-missing", format!("{place} lacks `{key}`"));
                Object::new()
            }
        }
    }

    /// Takes the array of strings at `key`, if there is one.
    fn strings(&mut self, object: &mut Object, place: &str, key: &str) -> Option<Vec<String>> {
        let value = object.remove(key).filter(|value| !value.is_null())?;
        let found = match value {
            Value::Array(values) => values.into_iter().map(string).collect::<Option<Vec<_>>>(),
            _ => None,
        };
        if found.is_none() {
            self.error(
                "json-type",
                format!("`{key}` in {place} is not an array of strings"),
            );
        }
        found
    }

    /// Takes the object from strings to strings at `key`, if there is one.
    fn pairs(&mut self, object: &mut Object, place: &str, key: &str) -> BTreeMap<String, String> {
        let mut out = BTreeMap::new();
        match object.remove(key) {
            None | Some(Value::Null) => {}
            Some(Value::Object(pairs)) => {
                for (name, value) in pairs {
                    match string(value) {
                        Some(value) => drop(out.insert(name, value)),
                        None => self.error(
                            "json-type",
                            format!(
                                "`{}` within `{key}` in {place} is not a string",
                                short(&name)
                            ),
                        ),
                    }
                }
            }
            Some(_) => self.error("json-type", format!("`{key}` in {place} is not an object")),
        }
        out
    }

    /// Reports the unknown keys of an object: those that are left after the known ones were taken.
    fn unknown(&mut self, place: &str, object: &Object) {
        for key in object.keys() {
            self.error(
                "json-key",
                format!("`{}` in {place} is unknown", short(key)),
            );
        }
    }

    /// Reports a text that tools refuse.
    fn text(&mut self, checked: Result<(), InvalidName>) {
        if let Err(invalid_name) = checked {
            self.warn("text", invalid_name.to_string());
        }
    }

    pub(super) fn header_info(&mut self, text: &[u8]) -> Result<(), Stopped> {
        let place = "header-info";
        let mut info = self.object(place, text)?;
        let payloads = info.remove("payloads");
        let mut provides = self.child(&mut info, place, "artifact_provides");
        let mut depends = self.child(&mut info, place, "artifact_depends");
        self.unknown(place, &info);
        self.payload_type(payloads)?;
        self.artifact_provides(&mut provides);
        self.unknown(place, &provides);
        self.artifact_depends(&mut depends);
        self.unknown(place, &depends);
        Ok(())
    }

    /// The one element of `payloads`.
    fn payload_type(&mut self, payloads: Option<Value>) -> Result<(), Stopped> {
        let Some(Value::Array(payloads)) = payloads else {
            return self.stop("payload-type", "`payloads` in header-info is not an array");
        };
        let [Value::Object(payload)] = payloads.as_slice() else {
            return self.stop(
                "payload-count",
                format!(
                    "header-info has {} payloads, clients accept one",
                    payloads.len()
                ),
            );
        };
        let mut payload = payload.clone();
        match payload.remove("type") {
            Some(Value::Null) => {}
            Some(Value::String(kind)) if !kind.is_empty() => {
                self.out.artifact.payload_type = Some(kind)
            }
            _ => {
                return self.stop(
                    "payload-type",
                    "the type of the payload in header-info is neither text nor null",
                );
            }
        }
        self.unknown("header-info", &payload);
        Ok(())
    }

    fn artifact_provides(&mut self, provides: &mut Object) {
        match provides.remove("artifact_name").and_then(string) {
            Some(name) if !name.is_empty() => {
                self.text(names::text("artifact name", &name));
                self.out.artifact.name = name;
            }
            _ => self.error("artifact-name", "header-info has no artifact name"),
        }
        match provides.remove("artifact_group") {
            None | Some(Value::Null) => {}
            Some(Value::String(group)) => {
                if !group.is_empty() {
                    self.text(names::text("artifact group", &group));
                    self.out.artifact.group = Some(group);
                }
            }
            Some(_) => self.error(
                "json-type",
                "`artifact_group` in header-info is not a string",
            ),
        }
    }

    fn artifact_depends(&mut self, depends: &mut Object) {
        let place = "header-info";
        let before = self.out.findings.len();
        let types = self
            .strings(depends, place, "device_type")
            .unwrap_or_default();
        if types.is_empty() && self.out.findings.len() == before {
            self.error("device-type", "header-info names no device type");
        }
        let names = self
            .strings(depends, place, "artifact_name")
            .unwrap_or_default();
        let groups = self
            .strings(depends, place, "artifact_group")
            .unwrap_or_default();
        let texts = [
            ("device type", &types),
            ("artifact name to depend on", &names),
            ("artifact group to depend on", &groups),
        ];
        for (what, values) in texts {
            for value in values {
                self.text(names::text(what, value));
            }
        }
        let artifact = &mut self.out.artifact;
        (
            artifact.device_types,
            artifact.depends_names,
            artifact.depends_groups,
        ) = (types, names, groups);
    }

    pub(super) fn type_info(&mut self, text: &[u8]) -> Result<(), Stopped> {
        let place = "type-info";
        let mut info = self.object(place, text)?;
        self.same_type(info.remove("type"));
        let provides = self.pairs(&mut info, place, "artifact_provides");
        for key in ["artifact_name", "artifact_group"]
            .into_iter()
            .filter(|key| provides.contains_key(*key))
        {
            self.error(
                "provides-conflict",
                format!("`{key}` is provided by type-info, only header-info may provide it"),
            );
        }
        let depends = self.pairs(&mut info, place, "artifact_depends");
        let clears = self.strings(&mut info, place, "clears_artifact_provides");
        self.unknown(place, &info);
        let artifact = &mut self.out.artifact;
        (artifact.provides, artifact.depends, artifact.clears) = (provides, depends, clears);
        Ok(())
    }

    /// Compares the type in type-info with that in header-info.
    fn same_type(&mut self, found: Option<Value>) {
        let due = self.out.artifact.payload_type.clone();
        let found = match found {
            Some(Value::String(found)) => Some(found),
            Some(Value::Null) => None,
            _ => {
                return self.error(
                    "type-mismatch",
                    "the type in type-info is neither text nor null",
                );
            }
        };
        if found == due {
            return;
        }
        let shown = |kind: &Option<String>| {
            kind.as_ref()
                .map_or("null".to_owned(), |kind| format!("`{}`", short(kind)))
        };
        let text = format!(
            "the type in type-info is {}, in header-info {}",
            shown(&found),
            shown(&due)
        );
        // Writers before 4.4 left it empty for root filesystems, which every client accepts.
        if found.as_deref() == Some("") {
            self.warn("type-mismatch", text)
        } else {
            self.error("type-mismatch", text)
        }
    }

    pub(super) fn meta_data(&mut self, text: &[u8]) {
        if self.out.artifact.payload_type.is_none() {
            self.error("meta-data", "there is meta-data without a payload");
        } else if !text.is_empty() && !matches!(serde_json::from_slice(text), Ok(Value::Object(_)))
        {
            self.error("meta-data", "meta-data is neither empty nor a JSON object");
        }
    }
}

/// The text of a JSON string.
fn string(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}
