//! `[Install]` of unit files, as systemd reads it (`systemd.syntax(7)`, `systemd.unit(5)`).

/// The settings of `[Install]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Install {
    /// The kind of directory (`wants`, `requires`, `upholds`), and a unit that has one.
    pub(super) by: Vec<(&'static str, String)>,
    pub(super) also: Vec<String>,
    pub(super) alias: Vec<String>,
    pub(super) default_instance: Option<String>,
}

impl Install {
    /// Reads the file of the unit `name`; `None` for what is not understood.
    pub(super) fn read(text: &str, name: &str) -> Option<Self> {
        let mut out = Self::default();
        let mut inside = false;
        for line in joined(text) {
            let line = line.trim();
            if let Some(section) = line.strip_prefix('[') {
                inside = section.strip_suffix(']') == Some("Install");
                continue;
            }
            let Some((key, value)) = line.split_once('=').filter(|_| inside) else {
                continue;
            };
            let (key, value) = (key.trim(), value.trim());
            let kind = match key {
                "WantedBy" => Some("wants"),
                "RequiredBy" => Some("requires"),
                "UpheldBy" => Some("upholds"),
                _ => None,
            };
            // An empty value takes back what was said before.
            match (kind, key) {
                (Some(kind), _) if value.is_empty() => out.by.retain(|(of, _)| *of != kind),
                (Some(kind), _) => {
                    out.by
                        .extend(words(value, name)?.into_iter().map(|unit| (kind, unit)));
                }
                (None, "Also") => set(&mut out.also, words(value, name)?),
                (None, "Alias") => set(&mut out.alias, words(value, name)?),
                (None, "DefaultInstance") => {
                    out.default_instance = Some(expand(value, name)?).filter(|v| !v.is_empty());
                }
                _ => {}
            }
        }
        Some(out)
    }
}

fn set(list: &mut Vec<String>, new: Vec<String>) {
    if new.is_empty() {
        list.clear();
    } else {
        list.extend(new);
    }
}

/// The lines, those that a backslash continues joined, without remarks.
fn joined(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines() {
        if line.trim_start().starts_with(['#', ';']) {
            continue;
        }
        let (line, goes_on) = match line.strip_suffix('\\') {
            Some(line) => (line, true),
            None => (line, false),
        };
        let all = match open.take() {
            Some(before) => format!("{before} {line}"),
            None => line.to_owned(),
        };
        if goes_on {
            open = Some(all);
        } else {
            out.push(all);
        }
    }
    out.extend(open);
    out
}

fn words(value: &str, name: &str) -> Option<Vec<String>> {
    value
        .split_whitespace()
        .map(|word| expand(word.trim_matches(['"', '\'']), name))
        .collect()
}

/// Replaces the specifiers that depend on the unit's name; `None` for others.
fn expand(word: &str, name: &str) -> Option<String> {
    let (stem, _) = name.rsplit_once('.').unwrap_or((name, ""));
    let (prefix, instance) = stem.split_once('@').unwrap_or((stem, ""));
    let mut out = String::new();
    let mut chars = word.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        match chars.next()? {
            '%' => out.push('%'),
            'n' => out.push_str(name),
            'N' => out.push_str(stem),
            'p' => out.push_str(prefix),
            'i' => out.push_str(instance),
            _ => return None,
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn install_sections() {
        let text = "[Unit]\nWantedBy=no.target\n[Install]\nWantedBy = a.target \\\n# remark\n  b.target\n\
            RequiredBy=x.target\nRequiredBy=\nUpheldBy=%p.target\nAlias=y-%i.service %%.service\n\
            Also=s.socket\nDefaultInstance=tty1\n[Service]\nAlias=no.service\n";
        let read = Install::read(text, "u@1.service").unwrap();
        let by = |kind, unit: &str| (kind, unit.to_owned());
        assert_eq!(
            read.by,
            [
                by("wants", "a.target"),
                by("wants", "b.target"),
                by("upholds", "u.target")
            ]
        );
        assert_eq!(read.alias, ["y-1.service", "%.service"]);
        assert_eq!(read.also, ["s.socket"]);
        assert_eq!(read.default_instance.as_deref(), Some("tty1"));
        assert_eq!(
            Install::read("[Install]\nAlias=%H.service\n", "u.service"),
            None
        );
    }
}
