//! Settings of apt (`apt.conf(5)`).

use super::units::names_in;
use crate::tree::Tree;

/// A setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// Its value.
    pub(super) value: String,
    /// The file.
    pub(super) file: String,
    /// The line, from 1.
    pub(super) line: usize,
}

/// The settings of a system, in the order in which apt reads them.
#[derive(Debug, Default)]
pub(super) struct AptConf(Vec<(String, Setting)>);

impl AptConf {
    /// Reads the files of a system.
    pub(super) fn read(root: &Tree) -> Self {
        const DIR: &str = "/etc/apt/apt.conf.d";
        let names = names_in(root, DIR);
        let read = names.filter(|name| !name.contains('.') || name.ends_with(".conf"));
        let mut paths: Vec<String> = read.map(|name| format!("{DIR}/{name}")).collect();
        paths.push("/etc/apt/apt.conf".into());
        let mut conf = Self::default();
        for path in paths {
            let text = text(root, &path);
            let lines = (1..).zip(text.lines().map(str::to_owned));
            conf.add(&path, &lines.collect::<Vec<_>>());
        }
        conf
    }

    fn add(&mut self, file: &str, lines: &[(usize, String)]) {
        let mut scopes: Vec<String> = Vec::new();
        let mut words: Vec<String> = Vec::new();
        for (line, word) in words_of(lines) {
            match word.as_str() {
                "{" => scopes.push(std::mem::take(&mut words).concat()),
                "}" => {
                    scopes.pop();
                    words.clear();
                }
                ";" => {
                    // A value without a name is an item of a list: `Name { "value"; };`.
                    let (name, value) = match &words[..] {
                        [name, value] => (name.trim_end_matches("::"), Some(value)),
                        [value] if !scopes.is_empty() => ("", Some(value)),
                        _ => ("", None),
                    };
                    if let Some(value) = value {
                        let mut path = scopes.clone();
                        path.extend(Some(name.to_owned()).filter(|name| !name.is_empty()));
                        let setting = Setting {
                            value: value.clone(),
                            file: file.to_owned(),
                            line,
                        };
                        self.0.push((path.join("::").to_lowercase(), setting));
                    }
                    words.clear();
                }
                _ => words.push(word),
            }
        }
    }

    /// All settings of this name, whose case does not count: the items of a list.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &Setting> {
        let name = name.to_lowercase();
        let found = self.0.iter().filter(move |(other, _)| *other == name);
        found.map(|(_, setting)| setting)
    }

    /// The last setting of this name, whose case does not count.
    pub(super) fn last(&self, name: &str) -> Option<&Setting> {
        let name = name.to_lowercase();
        let mut found = self.0.iter().rev();
        found
            .find(|(other, _)| *other == name)
            .map(|(_, setting)| setting)
    }

    /// The last setting of this name, if it is true.
    pub(super) fn is_on(&self, name: &str) -> Option<&Setting> {
        self.last(name).filter(|setting| {
            let value = setting.value.to_lowercase();
            matches!(
                value.as_str(),
                "1" | "true" | "yes" | "with" | "on" | "enable"
            )
        })
    }
}

/// The text of a file of settings; empty without one.
pub(super) fn text(root: &Tree, path: &str) -> String {
    let bytes = root.read(path, super::TEXT_LIMIT).ok().flatten();
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}

/// The words of a file with their lines, without comments: names, values without their quotes,
/// braces and semicolons.
fn words_of(lines: &[(usize, String)]) -> Vec<(usize, String)> {
    let mut out = Vec::new();
    let mut in_comment = false;
    for (number, line) in lines {
        let mut rest = line.as_str();
        loop {
            rest = rest.trim_start();
            if in_comment {
                let Some((_, after)) = rest.split_once("*/") else {
                    break;
                };
                (rest, in_comment) = (after, false);
            } else if let Some(after) = rest.strip_prefix("/*") {
                (rest, in_comment) = (after, true);
            } else if rest.is_empty() || rest.starts_with('#') || rest.starts_with("//") {
                break;
            } else if let Some(quoted) = rest.strip_prefix('"') {
                let (value, after) = quoted.split_once('"').unwrap_or((quoted, ""));
                out.push((*number, value.to_owned()));
                rest = after;
            } else if rest.starts_with(['{', '}', ';']) {
                let (mark, after) = rest.split_at(1);
                out.push((*number, mark.to_owned()));
                rest = after;
            } else {
                let ends = |c: char| c.is_whitespace() || "{};\"".contains(c);
                let (word, after) = rest.split_at(rest.find(ends).unwrap_or(rest.len()));
                out.push((*number, word.to_owned()));
                rest = after;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_lists_comments_and_later_files_count() {
        let text = "// Unattended-Upgrade::Automatic-Reboot \"true\";\n/* x \"1\";\n y */ APT { Periodic { Enable \"1\"; };\n};\n\
                    Unattended-Upgrade::Allowed {\n  \"a\";\n  \"b\";\n}\nunattended-upgrade::automatic-reboot true; # x\n";
        let lines: Vec<_> = (1..).zip(text.lines().map(str::to_owned)).collect();
        let mut conf = AptConf::default();
        conf.add("/a", &lines);
        assert_eq!(conf.0.len(), 4, "{conf:?}");
        let items: Vec<&str> = conf
            .all("Unattended-Upgrade::Allowed")
            .map(|item| item.value.as_str())
            .collect();
        assert_eq!(items, ["a", "b"]);
        let append = "DPkg::Post-Invoke:: \"c\";".to_owned();
        conf.add("/c", &[(1, append)]);
        assert_eq!(conf.all("dpkg::post-invoke").count(), 1);
        assert_eq!(conf.last("APT::Periodic::Enable").unwrap().line, 3);
        let reboot = "Unattended-Upgrade::Automatic-Reboot";
        assert_eq!(conf.is_on(reboot).unwrap().line, 9);
        let off = "Unattended-Upgrade::Automatic-Reboot \"false\";".to_owned();
        conf.add("/b", &[(1, off)]);
        assert_eq!(conf.is_on(reboot), None);
    }
}
