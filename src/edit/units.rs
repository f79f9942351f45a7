//! Units that the configuration enables, disables and masks: `[systemd]`, by the links that
//! `systemctl(1)` would make and remove.

use super::Workspace;
use crate::bundle;
use crate::dpkg::units::{UnitFiles, template};
use crate::golden::facts;
use crate::nearest::nearest;
use crate::plan::Plan;
use crate::plan::settings::{Setting, UnitAction};
use crate::problem::Problem;
use crate::tree::edit::EditError;
use crate::tree::{DirEntry, LeafKind, Tree, show};

/// The directory of what the administrator decides.
const ETC: &str = "/etc/systemd/system";
/// What is decided here for a first boot, at which systemd enables units anew
/// (`systemd.preset(5)`).
const PRESETS: &str = "/etc/systemd/system-preset/00-goldsmith.preset";
/// The size limit of the machine ID (bytes).
const ID_LIMIT: u64 = 4096;

/// Makes the changes of the plan.
pub(super) fn edit(work: &mut Workspace<'_>, plan: &Plan) -> Result<(), EditError> {
    let units = &plan.settings.units;
    if units.is_empty() {
        return Ok(());
    }
    let root = work.root.tree();
    let version = facts::installed_version(root, "systemd")?;
    let version = version.as_deref();
    for (action, setting) in units {
        let files = UnitFiles::system(work.root.tree(), version);
        if let Some(problem) = refused(plan, work.root.tree(), &files, *action, setting) {
            work.problems.push(problem);
            continue;
        }
        let done = match action {
            UnitAction::Enable => enable(work, setting, version)?,
            UnitAction::Disable => disable(work, setting, version)?,
            UnitAction::Mask => mask(work, setting)?,
        };
        work.keep(done.map_err(Into::into));
    }
    presets(work, plan)
}

/// Why a unit cannot be changed: there is none of this name, or another key decides about it.
fn refused(
    plan: &Plan,
    tree: &Tree,
    files: &UnitFiles<'_>,
    action: UnitAction,
    setting: &Setting,
) -> Option<Problem> {
    let Setting { from, value: unit } = setting;
    let client = bundle::services()
        .into_iter()
        .any(|service| format!("{service}.service") == *unit);
    let starts = action == UnitAction::Enable;
    if client && starts != plan.client.managed {
        let message = format!("{from}: {unit} belongs to the update client");
        let hint = format!("set client.managed = {starts}");
        return Some(Problem::new(message).hint(hint));
    }
    if let Some(path) = files.find(unit) {
        let target = facts::symlink(tree, &path)?;
        let name = target.rsplit('/').next().unwrap_or_default();
        let is_own = name == unit || template(unit).is_some_and(|template| template == name);
        let message = format!("{from}: {unit} is another name of {name}");
        return (!is_own).then(|| Problem::new(message).hint(format!("name the unit: `{name}`")));
    }
    let names = files.names();
    let near = nearest(unit, names.iter().map(String::as_str));
    let hint = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None if names.is_empty() => "the image has no units of systemd".to_owned(),
        None => "install its package in the golden image or by client.install, or bring the unit \
                 by an overlay"
            .to_owned(),
    };
    Some(Problem::new(format!("{from}: the image has no unit {unit}")).hint(hint))
}

/// The path of what the administrator has for a unit.
fn own(unit: &str) -> String {
    format!("{ETC}/{unit}")
}

fn is_masked(tree: &Tree, unit: &str) -> bool {
    facts::symlink(tree, &own(unit)).is_some_and(|target| target == "/dev/null")
}

type Done = Result<Result<(), Problem>, EditError>;

/// Makes the links of `[Install]`.
fn enable(work: &mut Workspace<'_>, setting: &Setting, version: Option<&str>) -> Done {
    let Setting { from, value: unit } = setting;
    let files = UnitFiles::system(work.root.tree(), version);
    let file = files.find(unit).unwrap_or_default();
    let Some(links) = files.links(unit)? else {
        let message = format!("{from}: the [Install] section of {file} is not understood");
        return Ok(Err(Problem::new(message).hint(
            "make the links that enable the unit by an overlay, below /etc/systemd/system",
        )));
    };
    if links.is_empty() {
        let message = format!("{from}: {file} has nothing in [Install] to enable it by");
        return Ok(Err(Problem::new(message).hint(
            "something else starts it; to start it with the system, bring a drop-in with \
             [Install] by an overlay, or a link in multi-user.target.wants",
        )));
    }
    if is_masked(work.root.tree(), unit) {
        work.root.remove(own(unit), from)?;
    }
    for link in links {
        let name = link.target.rsplit('/').next();
        match facts::symlink(work.root.tree(), &link.path) {
            Some(target) if target.rsplit('/').next() == name => {}
            Some(target) => {
                let message = format!("{from}: {} is a link to {target} already", link.path);
                return Ok(Err(
                    Problem::new(message).hint("disable that unit by systemd.disable")
                ));
            }
            None if work.root.tree().find_nofollow(&link.path).is_some() => {
                let message = format!("{from}: {} is not a link", link.path);
                return Ok(Err(
                    Problem::new(message).hint("remove it with [[rootfs.remove]]")
                ));
            }
            None => work.root.symlink(&link.path, link.target.as_str(), from)?,
        }
    }
    Ok(Ok(()))
}

/// Whether the name of a link is that of a unit, or of an instance of this template.
fn is_of(name: &str, unit: &str) -> bool {
    name == unit || template(name).is_some_and(|template| template == unit)
}

/// The links below `dir` that make something start one of `units`, and those that are other names
/// of them.
fn links_to(tree: &Tree, dir: &str, units: &[String]) -> Vec<String> {
    let mut out = Vec::new();
    let Some(top) = tree.dir(dir) else {
        return out;
    };
    let is_unit = |name: &str| units.iter().any(|unit| is_of(name, unit));
    let target = |entry: &DirEntry| match entry {
        DirEntry::Leaf(id) => match &tree.leaf(*id).kind {
            LeafKind::Symlink(target) => Some(show(target)),
            _ => None,
        },
        DirEntry::Dir(_) => None,
    };
    for (name, entry) in &top.entries {
        let name = show(name);
        if let Some(target) = target(entry) {
            let file = target.rsplit('/').next().unwrap_or_default();
            if is_unit(file) && !is_unit(&name) {
                out.push(format!("{dir}/{name}"));
            }
        }
        let kinds = [".wants", ".requires", ".upholds"];
        let Some(group) = entry.as_dir() else {
            continue;
        };
        if !kinds.iter().any(|kind| name.ends_with(kind)) {
            continue;
        }
        for (link, entry) in &group.entries {
            let link = show(link);
            if target(entry).is_some() && is_unit(&link) {
                out.push(format!("{dir}/{name}/{link}"));
            }
        }
    }
    out
}

/// Removes all links that enable a unit and those that it names by `Also=`.
fn disable(work: &mut Workspace<'_>, setting: &Setting, version: Option<&str>) -> Done {
    let Setting { from, value: unit } = setting;
    let files = UnitFiles::system(work.root.tree(), version);
    let units = files.with_also(unit)?;
    let units = units.unwrap_or_else(|| vec![unit.clone()]);
    let links = links_to(work.root.tree(), ETC, &units);
    if links.is_empty() {
        work.notes.push(format!(
            "{from}: {unit} was not enabled: nothing to disable"
        ));
    }
    for link in links {
        work.root.remove(&link, from)?;
    }
    let vendor = ["/usr/lib/systemd/system", "/lib/systemd/system"];
    let only = [unit.clone()];
    let kept = vendor.iter().find_map(|dir| {
        links_to(work.root.tree(), dir, &only)
            .into_iter()
            .find(|link| is_group(link))
    });
    if let Some(link) = kept {
        work.warnings.push(format!(
            "{from}: {unit} still starts, by {link} of its package: only systemd.mask stops it"
        ));
    }
    Ok(Ok(()))
}

/// Whether a link is in a directory such as `multi-user.target.wants`.
fn is_group(link: &str) -> bool {
    link.rsplit('/').nth(1).is_some_and(|dir| dir != "system")
}

/// Makes a unit a link to `/dev/null`.
fn mask(work: &mut Workspace<'_>, setting: &Setting) -> Done {
    let Setting { from, value: unit } = setting;
    let path = own(unit);
    let tree = work.root.tree();
    if tree.find_nofollow(&path).is_some() && !is_masked(tree, unit) {
        let message = format!("{from}: {path} is in the way of the link that masks the unit");
        let hint = "take it away with [[rootfs.remove]], or disable the unit";
        return Ok(Err(Problem::new(message).hint(hint)));
    }
    work.root.symlink(&path, "/dev/null", from)?;
    Ok(Ok(()))
}

/// Writes presets if the system takes its next start for the first one: systemd enables and
/// disables units by presets then (`machine-id(5)`).
fn presets(work: &mut Workspace<'_>, plan: &Plan) -> Result<(), EditError> {
    let id = work.root.read("/etc/machine-id", ID_LIMIT)?;
    let is_first = id.is_none_or(|id| id.trim_ascii() == b"uninitialized");
    if !is_first || !facts::is_started_by_units(work.root.tree()) {
        return Ok(());
    }
    let mut text = String::new();
    for (action, setting) in &plan.settings.units {
        let verb = match action {
            UnitAction::Enable => "enable",
            UnitAction::Disable | UnitAction::Mask => "disable",
        };
        text.push_str(&format!("{verb} {}\n", setting.value));
    }
    let reason = "systemd enables units by presets at its first start";
    work.root.file(PRESETS, text, 0o644, reason)
}

#[cfg(test)]
mod tests {
    use crate::edit::tests::{content, edited, is_link};
    use crate::golden::Golden;
    use crate::golden::example_tests::{self, Example, TIME, add, empty, esp, ext};
    use crate::image::table::types;

    /// An image with units: of them, `old` is enabled, and `held` is masked.
    fn golden(id: Option<&str>) -> Golden {
        let mut root = example_tests::root();
        let wanted = "[Install]\nWantedBy=multi-user.target\n";
        for (path, text) in [
            ("/usr/lib/systemd/systemd", ""),
            (
                "/usr/lib/systemd/system/chrony.service",
                "[Install]\nWantedBy=multi-user.target\nAlias=chronyd.service\nAlso=chrony-wait.service\n",
            ),
            ("/usr/lib/systemd/system/chrony-wait.service", wanted),
            ("/usr/lib/systemd/system/old.service", wanted),
            ("/usr/lib/systemd/system/held.service", wanted),
            ("/usr/lib/systemd/system/static.service", "[Service]\n"),
            (
                "/usr/lib/systemd/system/odd.service",
                "[Install]\nWantedBy=%H.target\n",
            ),
            (
                "/usr/lib/systemd/system/tty@.service",
                "[Install]\nWantedBy=getty.target\nDefaultInstance=tty1\n",
            ),
            ("/etc/systemd/system/own.service", wanted),
        ] {
            add(&mut root, path, text.as_bytes());
        }
        if let Some(id) = id {
            add(&mut root, "/etc/machine-id", id.as_bytes());
        }
        for (path, target) in [
            (
                "/etc/systemd/system/multi-user.target.wants/old.service",
                "/usr/lib/systemd/system/old.service",
            ),
            (
                "/etc/systemd/system/older.service",
                "/usr/lib/systemd/system/old.service",
            ),
            ("/etc/systemd/system/held.service", "/dev/null"),
            (
                "/usr/lib/systemd/system/sysinit.target.wants/static.service",
                "../static.service",
            ),
            (
                "/etc/systemd/system/getty.target.wants/tty@tty3.service",
                "/usr/lib/systemd/system/tty@.service",
            ),
        ] {
            root.put_symlink(path, target, TIME).unwrap();
        }
        let mut boot = empty();
        add(&mut boot, "/EFI/BOOT/BOOTX64.EFI", b"");
        let partitions = vec![(types::GPT_ESP, esp(&boot)), (types::GPT_LINUX, ext(&root))];
        Example { partitions }.golden()
    }

    #[test]
    fn units_are_enabled_disabled_and_masked_by_links() {
        let text = "client.managed = false\n[systemd]\nenable = [\"chrony\", \"held\", \"tty@tty2\", \"tty@.service\"]\n\
                    disable = [\"old\", \"static\"]\nmask = \"tty@tty9.service\"\n";
        let edited = edited(&golden(Some("0123\n")), text).unwrap();
        let root = &edited.trees.root;
        let etc = |path: &str| format!("/etc/systemd/system/{path}");
        for (path, target) in [
            (
                "multi-user.target.wants/chrony.service",
                "/usr/lib/systemd/system/chrony.service",
            ),
            ("chronyd.service", "/usr/lib/systemd/system/chrony.service"),
            (
                "multi-user.target.wants/chrony-wait.service",
                "/usr/lib/systemd/system/chrony-wait.service",
            ),
            (
                "multi-user.target.wants/held.service",
                "/usr/lib/systemd/system/held.service",
            ),
            (
                "getty.target.wants/tty@tty2.service",
                "/usr/lib/systemd/system/tty@.service",
            ),
            (
                "getty.target.wants/tty@tty1.service",
                "/usr/lib/systemd/system/tty@.service",
            ),
            ("tty@tty9.service", "/dev/null"),
        ] {
            assert!(is_link(root, &etc(path), target), "{path}");
        }
        for path in [
            "multi-user.target.wants/old.service",
            "older.service",
            "held.service",
        ] {
            assert!(root.find_nofollow(etc(path)).is_none(), "{path}");
        }
        let mut changes = edited.changes.iter();
        let reason = changes.find(|change| change.path == etc("chronyd.service"));
        assert_eq!(reason.unwrap().reason, "systemd.enable (configuration:3)");
        let warning = "systemd.disable (configuration:4): static.service still starts, by \
                       /usr/lib/systemd/system/sysinit.target.wants/static.service of its package: \
                       only systemd.mask stops it";
        assert!(
            edited.warnings.iter().any(|one| one == warning),
            "{:?}",
            edited.warnings
        );
        assert!(root.find_nofollow(super::PRESETS).is_none());
    }

    #[test]
    fn a_first_start_keeps_what_was_decided() {
        let text =
            "client.managed = false\n[systemd]\nenable = \"held\"\ndisable = \"tty@.service\"\n";
        let edited = edited(&golden(Some("uninitialized\n")), text).unwrap();
        let presets = content(&edited.trees.root, super::PRESETS);
        assert_eq!(
            presets.as_deref(),
            Some("enable held.service\ndisable tty@.service\n")
        );
        let link = "/etc/systemd/system/getty.target.wants/tty@tty3.service";
        assert!(edited.trees.root.find_nofollow(link).is_none());
    }

    #[test]
    fn units_that_cannot_be_changed_are_told_of() {
        let golden = golden(Some("0123\n"));
        for (line, expected) in [
            (
                "enable = \"crony\"",
                "the image has no unit crony.service\nhint: did you mean `chrony.service`?",
            ),
            (
                "mask = \"zzzzzzzzzzz\"",
                "the image has no unit zzzzzzzzzzz.service\nhint: install its package",
            ),
            (
                "enable = \"static\"",
                "static.service has nothing in [Install] to enable it by",
            ),
            (
                "enable = \"odd\"",
                "the [Install] section of /usr/lib/systemd/system/odd.service is not understood",
            ),
            (
                "disable = \"older\"",
                "older.service is another name of old.service\nhint: name the unit: `old.service`",
            ),
            (
                "mask = \"own\"",
                "/etc/systemd/system/own.service is in the way",
            ),
            (
                "enable = \"mender-updated\"",
                "belongs to the update client\nhint: set client.managed = true",
            ),
        ] {
            let text = format!("client.managed = false\n[systemd]\n{line}\n");
            let error = edited(&golden, &text).map(|_| ()).unwrap_err();
            assert!(error.contains(expected), "{line}: {error}");
        }
    }
}
