//! A profile: what one package adds to the stacks.

use std::collections::{BTreeMap, BTreeSet};

/// A module without which Linux-PAM is built: profiles with it are passed over.
const GONE: &str = "pam_tally";

#[derive(Debug, Default)]
pub(super) struct Profile {
    pub(super) priority: i64,
    pub(super) default: bool,
    pub(super) conflicts: BTreeSet<String>,
    /// Whether the profile is passed over.
    pub(super) disabled: bool,
    fields: BTreeMap<String, String>,
}

impl Profile {
    /// Reads a profile: fields, each with lines that continue it. `None` for text before the first
    /// field, for a priority that is not a number, and for a block that is not known. `needs_yes`
    /// says how `Session-Interactive-Only` is read.
    pub(super) fn read(text: &str, needs_yes: bool) -> Option<Self> {
        let mut out = Self::default();
        let mut name: Option<String> = None;
        for line in text.split_inclusive('\n') {
            if let Some((field, value)) = field(line) {
                let field = field.strip_suffix("-Final").unwrap_or(field).to_owned();
                if field == "Conflicts" {
                    out.conflicts.extend(value.split(", ").map(str::to_owned));
                } else {
                    out.fields.insert(field.clone(), value.to_owned());
                }
                name = Some(field);
                continue;
            }
            let line = line.trim();
            let name = match &name {
                Some(name) if name != "Conflicts" => name,
                _ if line.is_empty() => continue,
                _ => return None,
            };
            let value = out.fields.entry(name.clone()).or_default();
            if !line.is_empty() && line != "0" {
                value.push('\n');
                value.push_str(line);
            }
            out.disabled |= value.contains(GONE);
            *value = value.trim_start().to_owned();
        }
        let block = |(name, value): (&String, &String)| {
            !name.ends_with("-Type") || matches!(value.as_str(), "Primary" | "Additional")
        };
        if !out.fields.iter().all(block) {
            return None;
        }
        out.priority = match out.field("Priority").trim() {
            "" => 0,
            number => number.parse().ok()?,
        };
        out.default = out.field("Default") == "yes";
        let only = out.fields.get("Session-Interactive-Only");
        if only.is_none_or(|only| needs_yes && only != "yes") {
            for part in ["-Type", "", "-Initial"] {
                let value = out.field(&format!("Session{part}")).to_owned();
                out.fields
                    .insert(format!("Session-noninteractive{part}"), value);
            }
        }
        Some(out)
    }

    /// The value of a field; empty without it.
    pub(super) fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

/// A line that begins a field: a name, a colon, a blank and the value.
fn field(line: &str) -> Option<(&str, &str)> {
    let word = line.split(char::is_whitespace).next().unwrap_or_default();
    let name = word.strip_suffix(':').filter(|name| !name.is_empty())?;
    let rest = line.get(word.len()..)?;
    if rest.is_empty() {
        return None;
    }
    let value = rest.trim_start();
    Some((name, value.strip_suffix('\n').unwrap_or(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_the_lines_that_continue_them() {
        let text = "Name: N\nDefault: yes\nPriority: 128\nConflicts: a, b\nSession-Final:\n\t\
                    optional  x.so o  \n\nAuth-Type: Primary\n";
        let profile = Profile::read(text, true).unwrap();
        assert_eq!((profile.priority, profile.default), (128, true));
        assert_eq!(profile.field("Session"), "optional  x.so o");
        assert_eq!(profile.field("Session-noninteractive"), "optional  x.so o");
        assert!(profile.conflicts.contains("b") && !profile.disabled);
        let only = "Session-Interactive-Only: no\nSession: x\n";
        for (needs_yes, value) in [(true, "x"), (false, "")] {
            let profile = Profile::read(only, needs_yes).unwrap();
            assert_eq!(profile.field("Session-noninteractive"), value);
        }
        assert!(
            Profile::read("Auth:\n\trequired pam_tally2.so\n", true)
                .unwrap()
                .disabled
        );
        assert!(Profile::read("\tlost\n", true).is_none());
        assert!(Profile::read("Priority: high\n", true).is_none());
        assert!(Profile::read("Auth-Type: Third\n", true).is_none());
    }
}
