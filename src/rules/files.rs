//! The rules that files answer, without a start.

use super::{FileRule, Judged, PackageRule, Rules, SizeRules};
use crate::golden::facts;
use crate::tree::edit::EditError;
use crate::tree::{Node, Stat, Tree};
use crate::units::human;

/// The largest file whose content is searched, and the largest list of users (bytes).
const LIMIT: u64 = 64 << 20;

/// Holds the files and packages of a root filesystem against the rules.
///
/// # Errors
/// I/O errors of the files that are read.
pub fn judge_files(rules: &Rules, root: &Tree) -> Result<Vec<Judged>, EditError> {
    let mut out = Vec::new();
    for rule in &rules.files {
        out.push(Judged {
            rule: format!("file {}", rule.path),
            broken: file(rule, root)?,
        });
    }
    for rule in &rules.packages {
        out.push(Judged {
            rule: format!("package {}", rule.name),
            broken: package(rule, root)?,
        });
    }
    Ok(out)
}

/// Holds sizes (bytes) against the rules; what is `None` is not judged.
#[must_use]
pub fn judge_sizes(rules: &SizeRules, found: &SizeRules) -> Vec<Judged> {
    let pairs = [
        ("root-used", rules.root_used, found.root_used),
        ("image", rules.image, found.image),
        ("artifact", rules.artifact, found.artifact),
    ];
    let judged = |(key, limit, size): (&str, Option<u64>, Option<u64>)| {
        let (limit, size) = (limit?, size?);
        let broken = (size > limit).then(|| {
            format!(
                "{} ({size} bytes), more than {} ({limit} bytes)",
                human(size),
                human(limit)
            )
        });
        Some(Judged {
            rule: format!("size {key}"),
            broken,
        })
    };
    pairs.into_iter().filter_map(judged).collect()
}

fn file(rule: &FileRule, root: &Tree) -> Result<Option<String>, EditError> {
    let node = match rule.absent {
        // A symlink to nowhere is there.
        true => root.find_nofollow(&rule.path),
        false => root.find(&rule.path),
    };
    if rule.absent {
        return Ok(node.map(|_| "it exists".to_owned()));
    }
    let Some(node) = node else {
        return Ok(Some("there is no such file".to_owned()));
    };
    let stat = match node {
        Node::Dir(dir) => &dir.stat,
        Node::Leaf(leaf) => &leaf.stat,
    };
    if let Some(mode) = rule.mode.filter(|mode| *mode != stat.mode) {
        return Ok(Some(format!(
            "its mode is {:04o}, not {mode:04o}",
            stat.mode
        )));
    }
    if let Some(owner) = &rule.owner
        && let Some(broken) = owned(owner, stat, root)?
    {
        return Ok(Some(broken));
    }
    let Some(text) = &rule.contains else {
        return Ok(None);
    };
    let Some(bytes) = root.read(&rule.path, LIMIT)? else {
        return Ok(Some("it is not a regular file".to_owned()));
    };
    let found = bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes());
    Ok((!found).then(|| format!("it does not contain {text:?}")))
}

/// Why a file with `stat` does not belong to `owner`.
fn owned(owner: &str, stat: &Stat, root: &Tree) -> Result<Option<String>, EditError> {
    let (user, group) = match owner.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (owner, None),
    };
    let wanted = [
        (Some(user), "/etc/passwd", stat.uid, "owner"),
        (group, "/etc/group", stat.gid, "group"),
    ];
    for (name, list, id, what) in wanted {
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            continue;
        };
        let text = root.text(list, LIMIT)?.unwrap_or_default();
        let entry = |line: &str| {
            let mut fields = line.split(':');
            let found = fields.next()?.to_owned();
            Some((found, fields.nth(1)?.parse::<u32>().ok()?))
        };
        let mut entries = text.lines().filter_map(entry);
        let number = name.parse().ok();
        let number = number.or_else(|| entries.find(|one| one.0 == name).map(|one| one.1));
        let Some(number) = number else {
            return Ok(Some(format!("{list} has no {name}")));
        };
        if number != id {
            let mut entries = text.lines().filter_map(entry);
            let is = entries
                .find(|one| one.1 == id)
                .map_or(id.to_string(), |one| one.0);
            return Ok(Some(format!("its {what} is {is}, not {name}")));
        }
    }
    Ok(None)
}

fn package(rule: &PackageRule, root: &Tree) -> Result<Option<String>, EditError> {
    let Some(version) = facts::installed_version(root, &rule.name)? else {
        return Ok(Some("it is not installed".to_owned()));
    };
    let other = rule
        .version
        .as_ref()
        .filter(|wanted| !wanted.matches(&version));
    Ok(other.map(|wanted| format!("its version is {version}, not {wanted}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::Time;

    fn tree() -> Tree {
        let time = Time::default();
        let mut tree = Tree::new(Stat::root(0o755, time));
        for (path, text) in [
            (
                "/etc/passwd",
                "root:x:0:0::/:/bin/sh\napp:x:1000:1000::/:\n",
            ),
            ("/etc/group", "root:x:0:\nadm:x:4:app\n"),
            ("/etc/app.conf", "port = 1\n"),
            (
                "/var/lib/dpkg/status",
                "Package: app\nStatus: install ok installed\nVersion: 1.2-3\n",
            ),
        ] {
            tree.put_file(path, text, Stat::root(0o640, time)).unwrap();
        }
        tree.stat_mut("/etc/app.conf").unwrap().gid = 4;
        tree
    }

    #[test]
    fn files_and_packages() {
        for (text, expected) in [
            (
                "[[file]]\npath = '/etc/app.conf'\nmode = '0640'\nowner = 'root:adm'\ncontains = 'port ='",
                None,
            ),
            ("[[file]]\npath = '/etc/app.conf'\nowner = '0:4'", None),
            ("[[file]]\npath = '/etc'\nmode = '0755'", None),
            ("[[file]]\npath = '/etc/no'", Some("there is no such file")),
            ("[[file]]\npath = '/etc/no'\nabsent = true", None),
            (
                "[[file]]\npath = '/etc/group'\nabsent = true",
                Some("it exists"),
            ),
            (
                "[[file]]\npath = '/etc/group'\nmode = '0644'",
                Some("its mode is 0640, not 0644"),
            ),
            (
                "[[file]]\npath = '/etc/app.conf'\nowner = 'app'",
                Some("its owner is root, not app"),
            ),
            (
                "[[file]]\npath = '/etc/app.conf'\nowner = ':root'",
                Some("its group is adm, not root"),
            ),
            (
                "[[file]]\npath = '/etc/app.conf'\nowner = 'nobody'",
                Some("/etc/passwd has no nobody"),
            ),
            (
                "[[file]]\npath = '/etc/app.conf'\ncontains = 'port = 2'",
                Some("it does not contain \"port = 2\""),
            ),
            (
                "[[file]]\npath = '/etc'\ncontains = 'x'",
                Some("it is not a regular file"),
            ),
            ("[[package]]\nname = 'app'\nversion = '1.2-*'", None),
            (
                "[[package]]\nname = 'app'\nversion = '1.3*'",
                Some("its version is 1.2-3, not 1.3*"),
            ),
            ("[[package]]\nname = 'nano'", Some("it is not installed")),
        ] {
            let rules = Rules::parse("r", text).unwrap();
            let judged = judge_files(&rules, &tree()).unwrap();
            assert_eq!(judged.len(), 1, "{text}");
            assert_eq!(judged[0].broken.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn sizes() {
        let limit = SizeRules {
            root_used: Some(100),
            image: Some(100),
            artifact: None,
        };
        let found = SizeRules {
            root_used: Some(100),
            image: Some(101),
            artifact: Some(1),
        };
        let judged = judge_sizes(&limit, &found);
        assert_eq!(judged.len(), 2);
        assert_eq!(judged[0].broken, None);
        assert_eq!(
            judged[1].broken.as_deref(),
            Some("101 B (101 bytes), more than 100 B (100 bytes)")
        );
    }
}
