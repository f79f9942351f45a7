//! `update-alternatives(1)`: links of one name that several packages can provide.
//!
//! The state file `/var/lib/dpkg/alternatives/<name>`: status (`auto` or `manual`), link, then name
//! and link of each slave, an empty line, then for each choice its path, priority and the slaves'
//! paths, and an empty line at the end.

use super::super::script_host::ScriptHost;
use super::arguments::CommandResult;
use super::text;
use crate::shell::Io;
use crate::tree::edit::EditError;
use std::collections::BTreeMap;

const STATE: &str = "/var/lib/dpkg/alternatives";
const LINKS: &str = "/etc/alternatives";

/// A link group (`update-alternatives(1)`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct LinkGroup {
    manual: bool,
    link: String,
    /// Links of the slaves by name.
    slaves: BTreeMap<String, String>,
    /// Priority and the slaves' targets by the choice's path.
    choices: BTreeMap<String, (i32, BTreeMap<String, String>)>,
}

impl LinkGroup {
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let mut out = Self {
            manual: lines.next()? == "manual",
            link: lines.next()?.to_owned(),
            ..Self::default()
        };
        while let Some(name) = lines.next().filter(|name| !name.is_empty()) {
            out.slaves.insert(name.to_owned(), lines.next()?.to_owned());
        }
        while let Some(path) = lines.next().filter(|path| !path.is_empty()) {
            let priority = lines.next()?.parse().ok()?;
            let mut targets = BTreeMap::new();
            for name in out.slaves.keys() {
                targets.insert(name.clone(), lines.next()?.to_owned());
            }
            targets.retain(|_, target| !target.is_empty());
            out.choices.insert(path.to_owned(), (priority, targets));
        }
        Some(out)
    }

    fn write(&self) -> String {
        let mut out = format!(
            "{}\n{}\n",
            if self.manual { "manual" } else { "auto" },
            self.link
        );
        for (name, link) in &self.slaves {
            out.push_str(&format!("{name}\n{link}\n"));
        }
        out.push('\n');
        for (path, (priority, targets)) in &self.choices {
            out.push_str(&format!("{path}\n{priority}\n"));
            for name in self.slaves.keys() {
                out.push_str(&format!(
                    "{}\n",
                    targets.get(name).map(String::as_str).unwrap_or_default()
                ));
            }
        }
        out.push('\n');
        out
    }

    /// The choice of the highest priority, the first by path among equals.
    fn best(&self) -> Option<&String> {
        let mut best: Option<(&String, i32)> = None;
        for (path, (priority, _)) in &self.choices {
            if best.is_none_or(|(_, highest)| *priority > highest) {
                best = Some((path, *priority));
            }
        }
        best.map(|(path, _)| path)
    }
}

pub(super) fn run(host: &mut ScriptHost<'_, '_>, args: &[&str], io: &mut Io) -> CommandResult {
    let args: Vec<&str> = args
        .iter()
        .copied()
        .filter(|arg| !matches!(*arg, "--quiet" | "--force" | "--verbose"))
        .collect();
    match args.as_slice() {
        ["--install", link, name, path, priority, slaves @ ..] => {
            install(host, link, name, path, priority, slaves)
        }
        ["--remove", name, path] => remove(host, name, path),
        ["--remove-all", name] => {
            let Some(group) = load(host, name)? else {
                return Ok(Some(2));
            };
            remove_group(host, name, &group)?;
            Ok(Some(0))
        }
        ["--auto", name] | ["--set", name, _] => {
            let Some(mut group) = load(host, name)? else {
                return Ok(Some(2));
            };
            let chosen = args.get(2).copied();
            if chosen.is_some_and(|path| !group.choices.contains_key(path)) {
                return Ok(Some(2));
            }
            if let Some(path) = chosen
                && group.manual
                && host.link_target(&format!("{LINKS}/{name}")).as_deref() == Some(path)
            {
                return Ok(Some(0));
            }
            group.manual = chosen.is_some();
            host.write_file(&format!("{STATE}/{name}"), group.write().as_bytes(), false)?;
            let chosen = chosen.or_else(|| group.best().map(String::as_str));
            point_all(host, name, &group, chosen)?;
            Ok(Some(0))
        }
        ["--query", name] => {
            let Some(group) = load(host, name)? else {
                return Ok(Some(2));
            };
            query(host, name, &group, io);
            Ok(Some(0))
        }
        // Its text is for people; without a group there is none.
        ["--display", name] => Ok(load(host, name)?.is_none().then_some(2)),
        ["--list", name] => {
            let Some(group) = load(host, name)? else {
                return Ok(Some(2));
            };
            for path in group.choices.keys() {
                text::say(io, path);
            }
            Ok(Some(0))
        }
        _ => Ok(None),
    }
}

fn load(host: &ScriptHost<'_, '_>, name: &str) -> Result<Option<LinkGroup>, EditError> {
    Ok(host
        .text(&format!("{STATE}/{name}"))?
        .as_deref()
        .and_then(LinkGroup::parse))
}

fn install(
    host: &mut ScriptHost<'_, '_>,
    link: &str,
    name: &str,
    path: &str,
    priority: &str,
    slaves: &[&str],
) -> CommandResult {
    let Ok(priority) = priority.parse::<i32>() else {
        return Ok(Some(2));
    };
    if !host.exists(path) {
        return Ok(Some(2));
    }
    let mut group = load(host, name)?.unwrap_or_default();
    if !group.link.is_empty() && group.link != link {
        return Ok(None);
    }
    group.link = link.to_owned();
    let mut targets = BTreeMap::new();
    for slave in slaves.chunks(4) {
        let ["--slave", slave_link, slave_name, slave_path] = slave else {
            return Ok(None);
        };
        group
            .slaves
            .insert((*slave_name).to_owned(), (*slave_link).to_owned());
        targets.insert((*slave_name).to_owned(), (*slave_path).to_owned());
    }
    group.choices.insert(path.to_owned(), (priority, targets));
    host.write_file(&format!("{STATE}/{name}"), group.write().as_bytes(), false)?;
    apply(host, name, &group)?;
    Ok(Some(0))
}

fn remove(host: &mut ScriptHost<'_, '_>, name: &str, path: &str) -> CommandResult {
    let Some(mut group) = load(host, name)? else {
        return Ok(Some(0));
    };
    if group.choices.remove(path).is_none() {
        return Ok(Some(0));
    }
    let current = host.link_target(&format!("{LINKS}/{name}"));
    group.manual &= current.as_deref() != Some(path);
    if group.choices.is_empty() {
        remove_group(host, name, &group)?;
        return Ok(Some(0));
    }
    host.write_file(&format!("{STATE}/{name}"), group.write().as_bytes(), false)?;
    apply(host, name, &group)?;
    Ok(Some(0))
}

/// What `--query` prints.
fn query(host: &ScriptHost<'_, '_>, name: &str, group: &LinkGroup, io: &mut Io) {
    let none = "none".to_owned();
    let value = host.link_target(&format!("{LINKS}/{name}"));
    io.print_line(&format!("Name: {name}\nLink: {}", group.link));
    if !group.slaves.is_empty() {
        io.print_line("Slaves:");
        for (slave, link) in &group.slaves {
            io.print_line(&format!(" {slave} {link}"));
        }
    }
    io.print_line(&format!(
        "Status: {}",
        if group.manual { "manual" } else { "auto" }
    ));
    if let Some(best) = group.best() {
        io.print_line(&format!("Best: {best}"));
    }
    io.print_line(&format!("Value: {}", value.unwrap_or(none)));
    for (path, (priority, targets)) in &group.choices {
        io.print_line(&format!("\nAlternative: {path}\nPriority: {priority}"));
        if !group.slaves.is_empty() {
            io.print_line("Slaves:");
        }
        for (slave, target) in targets {
            io.print_line(&format!(" {slave} {target}"));
        }
    }
}

/// Removes a group with all of its links.
fn remove_group(
    host: &mut ScriptHost<'_, '_>,
    name: &str,
    group: &LinkGroup,
) -> Result<(), EditError> {
    {
        for (slave, link) in group.slaves.iter().chain([(&name.to_owned(), &group.link)]) {
            host.remove(&format!("{LINKS}/{slave}"))?;
            if host.link_target(link).is_some() {
                host.remove(link)?;
            }
        }
        host.remove(&format!("{STATE}/{name}"))?;
    }
    Ok(())
}

/// Points the links of a group in automatic mode to its best choice.
fn apply(host: &mut ScriptHost<'_, '_>, name: &str, group: &LinkGroup) -> Result<(), EditError> {
    let current = host.link_target(&format!("{LINKS}/{name}"));
    let chosen = match (&current, group.manual) {
        (Some(current), true) if group.choices.contains_key(current) => Some(current),
        _ => group.best(),
    };
    point_all(host, name, group, chosen.map(String::as_str))
}

/// Points the links of a group to one of its choices.
fn point_all(
    host: &mut ScriptHost<'_, '_>,
    name: &str,
    group: &LinkGroup,
    chosen: Option<&str>,
) -> Result<(), EditError> {
    let Some((path, (_, targets))) = chosen.and_then(|path| group.choices.get_key_value(path))
    else {
        return Ok(());
    };
    let (path, targets) = (path.clone(), targets.clone());
    point(host, name, &group.link, Some(&path))?;
    for (slave, link) in &group.slaves {
        let target = targets
            .get(slave)
            .filter(|target| host.exists(target))
            .cloned();
        point(host, slave, link, target.as_deref())?;
    }
    Ok(())
}

/// `link` -> `/etc/alternatives/<name>` -> `target`, or neither. A file that is not a link stays.
fn point(
    host: &mut ScriptHost<'_, '_>,
    name: &str,
    link: &str,
    target: Option<&str>,
) -> Result<(), EditError> {
    let middle = format!("{LINKS}/{name}");
    let Some(target) = target else {
        host.remove(&middle)?;
        if host.link_target(link).is_some_and(|to| to == middle) {
            host.remove(link)?;
        }
        return Ok(());
    };
    if host.link_target(&middle).as_deref() != Some(target) {
        host.symlink(&middle, target)?;
    }
    let taken = host.find_nofollow(link).is_some() && host.link_target(link).is_none();
    if !taken && host.link_target(link).as_deref() != Some(&middle) {
        host.symlink(link, &middle)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_file() {
        let text = "auto\n/usr/bin/pager\npager.1.gz\n/usr/share/man/man1/pager.1.gz\n\n/bin/more\n50\n/m\n/usr/bin/less\n77\n\n\n";
        let group = LinkGroup::parse(text).unwrap();
        assert_eq!(group.best().unwrap(), "/usr/bin/less");
        assert_eq!(group.write(), text);
        assert_eq!(LinkGroup::parse("auto\n/x\n\n/a\nnine\n"), None);
    }
}
