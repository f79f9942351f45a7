//! `update-xmlcatalog(8)`: the XML catalogues of the system, of packages, and local ones.
//!
//! `/var/lib/xml-core` has the entries of each catalogue, a line `<KEY><VALUE>` for one, and the
//! catalogue is made anew from them between a header and a footer.

use super::super::script_host::ScriptHost;
use super::arguments::CommandResult;
use super::copies::move_path;
use crate::tree::edit::EditError;
use std::collections::BTreeMap;

const DATA: &str = "/var/lib/xml-core";
const CATALOGS: &str = "/etc/xml";
const PARTS: &str = "/usr/share/xml-core";

/// A call of the program.
#[derive(Debug, Default, PartialEq, Eq)]
struct Call<'a> {
    add: bool,
    del: bool,
    root: bool,
    sort: bool,
    file: Option<&'a str>,
    id: Option<&'a str>,
    local: Option<&'a str>,
    package: Option<&'a str>,
    kind: Option<&'a str>,
}

/// The catalogue of a call: its entry, its files.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    key: String,
    value: String,
    catalog: String,
    data: String,
}

impl<'a> Call<'a> {
    /// `None` for other options.
    fn read(args: &[&'a str]) -> Option<Self> {
        let mut call = Self::default();
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            let (name, value) = match arg.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (*arg, None),
            };
            let flag = match name {
                "--add" => &mut call.add,
                "--del" => &mut call.del,
                "--root" => &mut call.root,
                "--sort" => &mut call.sort,
                _ => {
                    let option = match name {
                        "--file" => &mut call.file,
                        "--id" => &mut call.id,
                        "--local" => &mut call.local,
                        "--package" => &mut call.package,
                        "--type" => &mut call.kind,
                        _ => return None,
                    };
                    *option = Some(value.or_else(|| rest.next().copied())?);
                    continue;
                }
            };
            if value.is_some() {
                return None;
            }
            *flag = true;
        }
        Some(call)
    }

    /// Whether the program takes the call: what it needs is given and there.
    fn is_complete(&self, host: &ScriptHost<'_, '_>) -> bool {
        let there = |path: Option<&str>| path.is_some_and(|path| host.is_file(path));
        let package = self
            .package
            .map(|package| format!("{CATALOGS}/{package}.xml"));
        let (package, none) = (package.as_deref(), self.file.is_none());
        let places = match (self.add, self.root, self.package, self.local) {
            (true, true, _, local) => there(package) && local.is_none() && none,
            (true, false, Some(_), local) => there(local) && none,
            (true, false, None, local) => local.is_some() && there(self.file),
            (false, true, None, None) => there(Some(&format!("{CATALOGS}/catalog"))) && none,
            (false, false, Some(_), None) => there(package) && none,
            (false, false, None, local) => there(local) && none,
            _ => false,
        };
        let kind = matches!(self.kind, Some("public" | "system" | "uri"));
        self.add != self.del && places && kind && self.id.is_some()
    }

    /// `None` for words that the files cannot hold.
    fn target(&self) -> Option<Target> {
        let (id, kind) = (self.id?, self.kind?);
        let words = [Some(id), self.package, self.local, self.file];
        if words
            .iter()
            .flatten()
            .any(|word| word.contains(['<', '>', '"', '\n']))
        {
            return None;
        }
        let delegate = match kind {
            "public" => "delegatePublic publicIdStartString",
            "system" => "delegateSystem systemIdStartString",
            _ => "delegateURI uriStartString",
        };
        let own = match kind {
            "public" => "public publicId",
            "system" => "system systemId",
            _ => "uri name",
        };
        let package = self.package.unwrap_or_default();
        let local = self.local.unwrap_or_default();
        let (name, catalog, key, value) = if self.root {
            let value = format!("catalog=\"file:///etc/xml/{package}.xml\"");
            (
                "catalog".to_owned(),
                format!("{CATALOGS}/catalog"),
                delegate,
                value,
            )
        } else if self.package.is_some() {
            let value = format!("catalog=\"file://{local}\"");
            (
                package.to_owned(),
                format!("{CATALOGS}/{package}.xml"),
                delegate,
                value,
            )
        } else {
            let value = format!("uri=\"{}\"", self.file.unwrap_or_default());
            (local.replace('/', "_"), local.to_owned(), own, value)
        };
        Some(Target {
            key: format!("{key}=\"{id}\""),
            value,
            catalog,
            data: format!("{DATA}/{name}"),
        })
    }
}

pub(super) fn update(host: &mut ScriptHost<'_, '_>, args: &[&str]) -> CommandResult {
    let Some(call) = Call::read(args) else {
        return Ok(None);
    };
    if !call.is_complete(host) {
        return Ok(Some(1));
    }
    let Some(target) = call.target() else {
        return Ok(None);
    };
    let data = host.text(&target.data)?;
    let Some(mut entries) = entries(data.as_deref().unwrap_or_default()) else {
        return Ok(None);
    };
    if call.add {
        let old = entries.insert(target.key.clone(), target.value.clone());
        if old.is_some_and(|old| old != target.value) {
            return Ok(Some(1));
        }
    } else if entries.remove(&target.key).is_none() {
        return Ok(data.map(|_| 1));
    }
    // Without the option, the order is that of a table of Perl, which differs from run to run.
    let parts = (
        host.text(&format!("{PARTS}/catalog.header"))?,
        host.text(&format!("{PARTS}/catalog.footer"))?,
    );
    let (Some(header), Some(footer)) = parts else {
        return Ok(None);
    };
    if !call.sort && entries.len() > 1 || !host.is_dir(DATA) || !host.has_parent(&target.catalog) {
        return Ok(None);
    }
    write(host, &target, &entries, &header, &footer)?;
    Ok(Some(0))
}

/// The entries of a catalogue; `None` for lines of another form.
fn entries(data: &str) -> Option<BTreeMap<String, String>> {
    let entry = |line: &str| {
        let (key, value) = line.strip_prefix('<')?.split_once("><")?;
        Some((key.to_owned(), value.strip_suffix('>')?.to_owned()))
    };
    data.lines().map(entry).collect()
}

/// Writes a catalogue and its entries; without any, both go.
fn write(
    host: &mut ScriptHost<'_, '_>,
    target: &Target,
    entries: &BTreeMap<String, String>,
    header: &str,
    footer: &str,
) -> Result<(), EditError> {
    if host.is_file(&target.catalog) {
        move_path(host, &target.catalog, &format!("{}.old", target.catalog))?;
    }
    if entries.is_empty() {
        host.remove(&target.data)?;
        return Ok(());
    }
    let lines = |form: fn(&String, &String) -> String| -> String {
        entries
            .iter()
            .map(|(key, value)| form(key, value))
            .collect()
    };
    let data = lines(|key, value| format!("<{key}><{value}>\n"));
    host.write_file(&target.data, data.as_bytes(), false)?;
    let body = lines(|key, value| format!("<{key} {value}/>\n"));
    let text = format!("{header}{body}{footer}");
    host.write_file(&target.catalog, text.as_bytes(), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_the_form_of_their_catalogue() {
        let target = |args: &[&str]| Call::read(args).unwrap().target().unwrap();
        let root = target(&[
            "--add",
            "--root",
            "--type=uri",
            "--id",
            "u",
            "--package",
            "p",
        ]);
        assert_eq!(root.key, "delegateURI uriStartString=\"u\"");
        assert_eq!(root.value, "catalog=\"file:///etc/xml/p.xml\"");
        assert_eq!(root.data, "/var/lib/xml-core/catalog");
        let args = [
            "--add",
            "--type",
            "public",
            "--id",
            "-//X",
            "--package",
            "p",
            "--local",
            "/l",
        ];
        let package = target(&args);
        assert_eq!(package.key, "delegatePublic publicIdStartString=\"-//X\"");
        assert_eq!(package.catalog, "/etc/xml/p.xml");
        let args = [
            "--add", "--type", "system", "--id", "i", "--local", "/a/l", "--file", "f",
        ];
        let local = target(&args);
        assert_eq!(
            (local.key.as_str(), local.value.as_str()),
            ("system systemId=\"i\"", "uri=\"f\"")
        );
        assert_eq!(local.data, "/var/lib/xml-core/_a_l");
        assert_eq!(Call::read(&["--verbose"]), None);
        assert_eq!(Call::read(&["--id"]), None);
        let odd = Call::read(&["--type", "uri", "--id", "a>b", "--root"]).unwrap();
        assert_eq!(odd.target(), None);
    }

    #[test]
    fn entries_are_read() {
        let read = entries("<a b=\"c\"><d=\"e\">\n").unwrap();
        assert_eq!(read["a b=\"c\""], "d=\"e\"");
        assert!(entries("a\n").is_none());
    }
}
