//! Services: what sets the clock, scripts of SysV init, and what touches the blocks of a read-only
//! root filesystem.

use super::{Finding, System, codes};
use crate::deb;
use crate::edit::startup_acting;
use crate::golden::bootloader::is_raspberry_pi;
use crate::golden::facts::{has_init, installed_version, is_started_by_units};
use crate::golden::fstab::{FstabLine, same_dir};
use crate::tree::{Leaf, LeafKind, Node, show};
use crate::verify::Severity;

/// The first version of systemd that does not start scripts of SysV init.
const WITHOUT_SYSV: &str = "260";
/// Services that set the clock: name of the unit, its programs.
const CLOCKS: [(&str, &[&str]); 6] = [
    (
        "systemd-timesyncd",
        &[
            "/lib/systemd/systemd-timesyncd",
            "/usr/lib/systemd/systemd-timesyncd",
        ],
    ),
    ("chrony", &["/usr/sbin/chronyd"]),
    ("ntpsec", &["/usr/sbin/ntpsec"]),
    ("ntp", &["/usr/sbin/ntpd"]),
    ("openntpd", &["/usr/sbin/openntpd", "/usr/bin/openntpd"]),
    ("ntpd-rs", &["/usr/bin/ntp-daemon"]),
];
/// Other names of the units.
const ALIASES: [(&str, &str); 4] = [
    ("chrony", "chronyd"),
    ("ntp", "ntpd"),
    ("ntp", "ntpsec"),
    ("ntpsec", "ntp"),
];

/// Findings about services.
pub(super) fn examine(system: &System<'_>) -> Vec<Finding> {
    let mut out = clock(system);
    out.extend(sysv(system));
    out.extend(trim(system));
    out
}

/// Whether there is a program that starts the system.
pub(super) fn init(system: &System<'_>) -> Option<Finding> {
    if has_init(system.root) {
        return None;
    }
    let target = match system.root.find_nofollow("/sbin/init") {
        Some(Node::Leaf(Leaf {
            kind: LeafKind::Symlink(target),
            ..
        })) => format!("a link to {}, which is missing", show(target)),
        _ => "missing".to_owned(),
    };
    let text = "the root filesystem has no init program";
    Some(Finding::new(&codes::INIT_MISSING, text).at("/sbin/init", target))
}

/// What sets the clock, and what keeps it over a restart.
fn clock(system: &System<'_>) -> Vec<Finding> {
    let root = system.root;
    let of = |(name, programs): &(&'static str, &'static [&'static str])| {
        let path = programs.iter().find(|path| root.find(path).is_some())?;
        Some((*name, *path))
    };
    let installed: Vec<(&str, &str)> = CLOCKS.iter().filter_map(of).collect();
    let mut out = Vec::new();
    if installed.is_empty() {
        let text = "nothing in the image sets the clock, and TLS to an update server fails while it is wrong";
        out.push(Finding::new(&codes::CLOCK_MISSING, text));
    } else if is_started_by_units(root) {
        let started = startup_acting::started(root);
        let scripts = startup_acting::sysv_only(root);
        let runs = |name: &str| {
            let unit = format!("{name}.service");
            started.contains(&unit) || scripts.iter().any(|(script, _)| script == name)
        };
        let is_started = |(name, _): &(&str, &str)| {
            let mut others = ALIASES.iter().filter(|(of, _)| of == name);
            runs(name) || others.any(|(_, alias)| runs(alias))
        };
        if !installed.iter().any(is_started) {
            let text = "a service that sets the clock is installed, but nothing starts it";
            let places = installed.iter();
            let places = places.map(|(name, path)| ((*path).to_owned(), format!("{name} is off")));
            out.push(Finding::new(&codes::CLOCK_DISABLED, text).all(places));
        }
    }
    let keeps = ["/sbin/fake-hwclock", "/usr/sbin/fake-hwclock"];
    let timesyncd = installed
        .iter()
        .any(|(name, _)| *name == "systemd-timesyncd");
    let kept = timesyncd || keeps.iter().any(|path| root.find(path).is_some());
    if system.boot.is_some_and(is_raspberry_pi) && !kept {
        let text = "a Raspberry Pi has no clock that runs without power, and nothing keeps the time over a restart";
        out.push(Finding::new(&codes::CLOCK_LOST, text));
    }
    out
}

/// Services that have a script of SysV init alone.
fn sysv(system: &System<'_>) -> Option<Finding> {
    if !is_started_by_units(system.root) {
        return None;
    }
    let scripts = startup_acting::sysv_only(system.root);
    if scripts.is_empty() {
        return None;
    }
    let version = installed_version(system.root, "systemd").ok().flatten();
    let parsed = |text: &str| text.parse::<deb::Version>().ok();
    let without = version
        .as_deref()
        .and_then(parsed)
        .zip(parsed(WITHOUT_SYSV))
        .is_some_and(|(version, limit)| version >= limit);
    let places = scripts.into_iter().map(|(name, path)| (path, name));
    let shown = version.unwrap_or_else(|| "of an unknown version".to_owned());
    let text = match without {
        true => format!("systemd {shown} does not start scripts of SysV init"),
        false => format!(
            "services have a script of SysV init alone, which systemd {WITHOUT_SYSV} and later do not start (the image has systemd {shown})"
        ),
    };
    let finding = Finding::new(&codes::SYSV_SERVICE, text).all(places);
    Some(match without {
        true => finding,
        false => finding.only(Severity::Note),
    })
}

/// Timers that discard or check blocks of a root filesystem that is mounted read-only.
fn trim(system: &System<'_>) -> Option<Finding> {
    let fstab = system.text("/etc/fstab");
    let mut lines = fstab.lines().filter_map(FstabLine::parse);
    let root = lines.find(|line| same_dir(line.dir, "/"))?;
    if !root.options.split(',').any(|option| option == "ro") {
        return None;
    }
    let started = startup_acting::started(system.root);
    let timers = ["fstrim.timer", "e2scrub_all.timer", "e2scrub_reap.service"];
    let places: Vec<(String, String)> = timers
        .iter()
        .filter(|timer| started.contains(**timer))
        .map(|timer| ("/etc/fstab".to_owned(), format!("{timer} is enabled")))
        .collect();
    let text = "the root filesystem is mounted read-only, but its blocks are discarded or checked";
    (!places.is_empty()).then(|| Finding::new(&codes::TRIM_READ_ONLY, text).all(places))
}
