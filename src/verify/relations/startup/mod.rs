//! What runs by itself when a slot starts: an update that restarts the device before it proves
//! itself is taken back, and what changes partitions, firmware or boot files undoes the layout.
//! Everything that a start runs is followed into the scripts that it calls. What is reported runs
//! whenever the slot starts, or was made for the first start.

mod apt;
mod cloud;
mod cutter;
mod effects;
mod joined;
mod needs;
mod reader;
mod rule_events;
mod rules;
mod sessions;
mod slot_rules;
mod start;
mod starters;
mod trace;
mod units;
mod values;
mod wrappers;

use super::super::disk::{Disk, Roles, read};
use super::super::finding::{Location, Log, Severity};
use super::{ACCEPTED, boot_mount, tryboot_partitions};
use crate::golden::facts::is_started_by_units;
use crate::tree::{Tree, show};
use reader::When;
use start::Start;
use std::collections::BTreeSet;
use trace::{Files, Found};
use units::Unit;

/// Checks slot A; slot B has the same files, or none yet.
pub(super) fn check(disk: &Disk, roles: &Roles, log: &mut Log) {
    let Some(root) = disk.files(roles.a).map(|files| &*files.tree) else {
        return;
    };
    let slot = Slot {
        root,
        number: roles.a,
        accepted: lines(root, ACCEPTED)
            .iter()
            .filter_map(|(_, line)| Some(line.split_once('\t')?.0.to_owned()))
            .collect(),
    };
    let boot = roles.boot.and_then(|number| disk.files(number));
    let files = Files {
        root,
        boot: boot.and_then(|boot| Some((&*boot.tree, boot_mount(disk, roles)?))),
    };
    slot.starts(&files, log);
    needs::check(&slot, &files, is_started_by_units(root), log);
    slot.rules(&slot_rules::all(disk, roles, &files), log);
    slot.repart(&files, log);
    slot.growroot(log);
    slot.kexec(&files, log);
    slot.machine_id(log);
    const SLOT: &str = "/boot/mender-slot.env";
    for (at, line) in lines(root, SLOT) {
        if let Some(text) = line.strip_prefix("args=") {
            slot.arguments(&files, &slot.place(SLOT).line(at), text, log);
        }
    }
    for path in [
        "/etc/overlayroot.conf",
        "/etc/overlayroot.local.conf",
        "/boot/mender-slot.env",
    ] {
        overlay(
            &slot,
            root,
            path,
            &Location::partition(roles.a).path(path),
            log,
        );
    }
    if let Some(number) = roles.boot
        && let Some(boot) = disk.files(number)
    {
        let path = show(&boot.tree.path_ignore_case("/cmdline.txt"));
        let place = Location::partition(number).path(path.clone());
        overlay(&slot, &boot.tree, &path, &place, log);
        for (at, line) in lines(&boot.tree, &path) {
            slot.arguments(&files, &place.clone().line(at), &line, log);
        }
    }
}

/// A slot, and the files in it that may act.
struct Slot<'a> {
    root: &'a Tree,
    number: u32,
    accepted: BTreeSet<String>,
}

/// The lines of a file with their numbers, from 1.
fn lines(tree: &Tree, path: &str) -> Vec<(u32, String)> {
    let bytes = read(tree, path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    (1..).zip(text.lines().map(str::to_owned)).collect()
}

impl Slot<'_> {
    fn place(&self, path: &str) -> Location {
        Location::partition(self.number).path(path)
    }

    /// Whether one of these files is accepted.
    fn accepts<'p>(&self, paths: impl IntoIterator<Item = &'p str>) -> bool {
        paths.into_iter().any(|path| self.accepted.contains(path))
    }

    /// Adds a finding about a file, which is a note if it is accepted.
    fn report(
        &self,
        code: &'static str,
        place: Location,
        text: String,
        is_good: bool,
        log: &mut Log,
    ) {
        let severity = if is_good {
            Severity::Note
        } else {
            Severity::Error
        };
        log.add(severity, code, place, text);
    }

    /// Checks whatever a start runs.
    fn starts(&self, files: &Files<'_>, log: &mut Log) {
        let by_units = is_started_by_units(self.root);
        let mut all = starters::all(files, by_units);
        if by_units {
            all.extend(services(files));
        }
        all.extend(cloud::all(files));
        let mut seen = BTreeSet::new();
        for start in all {
            log.passed(1);
            for found in &start.trace.found {
                if self.is_of_an_update(&start, found) {
                    continue;
                }
                if judged(&start, found) && seen.insert((found.file.clone(), found.line)) {
                    self.found(&start, found, log);
                }
            }
        }
    }

    /// Whether this is how the tool of slots with a boot partition each makes that of the other
    /// slot anew: the tool runs at each start, too, but does that for an update alone.
    fn is_of_an_update(&self, start: &Start, found: &Found) -> bool {
        start.name == "mender-tryboot.service"
            && found.effect.code() == "startup-partitions"
            && found.file.starts_with("/usr/lib/goldsmith/")
            && tryboot_partitions::is_ours(self.root)
    }

    fn found(&self, start: &Start, found: &Found, log: &mut Log) {
        let read = start.trace.files.iter().map(String::as_str);
        let is_good = self.accepts(read.chain([start.name.as_str(), found.file.as_str()]));
        let condition = match found.when {
            When::Always => "whenever it runs",
            _ => "under a condition, which a first start may meet",
        };
        let text = format!(
            "`{}` {} {condition}{}",
            found.text,
            found.effect.does(),
            match start.name == found.file {
                true => String::new(),
                false => format!(" ({} starts it)", start.name),
            }
        );
        let place = self.place(&found.file).line(found.line);
        self.report(found.effect.code(), place, text, is_good, log);
    }

    /// Rules of udev that run something for a slot.
    fn rules(&self, rules: &[slot_rules::SlotRule], log: &mut Log) {
        for rule in rules {
            let number = rule.number;
            let place = self.place(&rule.path).line(rule.line);
            let is_good = self.accepts([rule.path.as_str()]);
            if rule.is_certain || is_good {
                let text = format!("it runs a program for partition {number}, which is a slot");
                self.report("startup-slot", place, text, is_good, log);
            } else {
                let text = format!(
                    "it runs a program for partition {number}, which is a slot where the disk of the device has this name"
                );
                log.add(Severity::Warning, "startup-slot", place, text);
            }
        }
    }

    /// Definitions by which systemd changes the partitions at each start.
    fn repart(&self, files: &Files<'_>, log: &mut Log) {
        const UNIT: &str = "systemd-repart.service";
        let installed = Unit::read(self.root, UNIT).is_some();
        let starts = installed && units::reached(self.root).contains(UNIT);
        for dir in [
            "/etc/repart.d",
            "/usr/local/lib/repart.d",
            "/usr/lib/repart.d",
        ] {
            let paths = files.entries(dir).into_iter();
            for path in paths.filter(|path| starts && path.ends_with(".conf")) {
                let text = "systemd-repart changes the partitions by it at each start".to_owned();
                let is_good = self.accepts([path.as_str()]);
                self.report("startup-partitions", self.place(&path), text, is_good, log);
            }
        }
    }

    /// The script of the initial RAM disk that grows the partition of the root filesystem.
    fn growroot(&self, log: &mut Log) {
        const SCRIPT: &str = "/usr/share/initramfs-tools/scripts/local-bottom/growroot";
        let off = self.root.find("/etc/growroot-disabled").is_some();
        if self.root.file(SCRIPT).is_none() || off {
            return log.passed(1);
        }
        let text =
            "it grows the partition of the root filesystem: /etc/growroot-disabled is missing";
        let is_good = self.accepts([SCRIPT]);
        self.report(
            "startup-partitions",
            self.place(SCRIPT),
            text.to_owned(),
            is_good,
            log,
        );
    }

    /// Restarts that pass the boot loader by.
    fn kexec(&self, files: &Files<'_>, log: &mut Log) {
        const SETTINGS: &str = "/etc/default/kexec";
        const WHY: &str =
            "restarts start the same kernel again, without the boot loader: no update ever starts";
        let programs = ["/usr/sbin/kexec", "/sbin/kexec"];
        let installed = programs.iter().any(|path| self.root.find(path).is_some());
        let value = |line: &str| {
            let value = line
                .strip_prefix("LOAD_KEXEC=")?
                .split(['#', ';', ' '])
                .next()?;
            Some(value.trim_matches(['"', '\'']) == "true")
        };
        let mut last = None;
        for (at, line) in files.lines(SETTINGS) {
            last = value(&line).map(|on| (at, on)).or(last);
        }
        if let Some((at, true)) = last.filter(|_| installed) {
            let place = self.place(SETTINGS).line(at);
            let is_good = self.accepts([SETTINGS]);
            self.report(
                "startup-kexec",
                place,
                format!("LOAD_KEXEC=true: {WHY}"),
                is_good,
                log,
            );
        }
        const TARGET: &str = "/etc/systemd/system/reboot.target";
        let walk = self.root.walk(TARGET.as_bytes(), true);
        let real = walk.map_or_else(|_| String::new(), |walk| show(&walk.path()));
        if real.ends_with("/kexec.target") {
            let is_good = self.accepts([TARGET]);
            let text = format!("it is {real}: {WHY}");
            self.report("startup-kexec", self.place(TARGET), text, is_good, log);
        }
    }

    /// Kernel arguments that run something: of the slot, and of the firmware of a Raspberry Pi.
    fn arguments(&self, files: &Files<'_>, place: &Location, text: &str, log: &mut Log) {
        for word in text.split_whitespace() {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let why = match name {
                "systemd.run" | "systemd.run_success_action" | "systemd.run_failure_action" => {
                    Some(
                        "runs a command at each start, which then restarts or stops the device"
                            .to_owned(),
                    )
                }
                "init" | "rdinit" => {
                    let trace = files.script(value, &[]);
                    trace.found.first().map(|found| {
                        format!(
                            "starts {}:{}: `{}` {}",
                            found.file,
                            found.line,
                            found.text,
                            found.effect.does()
                        )
                    })
                }
                _ => hinders(name, value),
            };
            let Some(why) = why else {
                log.passed(1);
                continue;
            };
            let is_good = self.accepts([
                "/proc/cmdline",
                place.path.as_deref().unwrap_or_default(),
                value,
            ]) || self.accepted_arguments(files, word);
            let text = format!("the kernel argument {word} {why}");
            self.report("startup-argument", place.clone(), text, is_good, log);
        }
    }

    /// Whether an accepted file has this argument: it is where the golden image had it.
    fn accepted_arguments(&self, files: &Files<'_>, word: &str) -> bool {
        let mut lines = self.accepted.iter().flat_map(|path| files.lines(path));
        lines.any(|(_, line)| line.contains(word))
    }

    /// Without an id, or an empty file, systemd takes the first start of each slot for that of a
    /// new machine.
    fn machine_id(&self, log: &mut Log) {
        const PATH: &str = "/etc/machine-id";
        let systemd = ["/usr/lib/systemd/systemd", "/lib/systemd/systemd"];
        if !systemd.iter().any(|path| self.root.find(path).is_some()) {
            return;
        }
        let id = read(self.root, PATH);
        let id = id.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
        let why = match id.as_deref() {
            Some("uninitialized") => "it says uninitialized",
            Some(_) => return log.passed(1),
            None => "it does not exist",
        };
        let text = format!("{why}: each update is a first boot to systemd");
        log.add(
            Severity::Warning,
            "startup-first-boot",
            self.place(PATH),
            text,
        );
    }
}

/// Why updates do not work with a kernel argument.
fn hinders(name: &str, value: &str) -> Option<String> {
    let client = ["mender-client", "mender-authd", "mender-updated"];
    let needed = |unit: &str| {
        let service = unit.strip_suffix(".service");
        ["data.mount", "local-fs.target"].contains(&unit)
            || service.is_some_and(|service| client.contains(&service))
    };
    let shell = match name {
        "systemd.unit" => value.starts_with("rescue") || value.starts_with("emergency"),
        "single" | "s" | "S" | "1" | "rescue" | "emergency" | "-b" => value.is_empty(),
        _ => false,
    };
    if shell {
        return Some("starts a rescue shell, which commits no update".to_owned());
    }
    match name {
        "fstab" if ["no", "0", "false", "off"].contains(&value) => {
            Some("leaves out all mounts of /etc/fstab, that of /data too".to_owned())
        }
        "systemd.mask" if needed(value) => Some(format!("keeps {value} from starting")),
        _ => None,
    }
}

/// The names in a directory.
fn names(root: &Tree, dir: &str) -> Vec<String> {
    root.dir(dir)
        .map(|dir| dir.entries.keys().map(|name| show(name)).collect())
        .unwrap_or_default()
}

/// Services of systemd that a start reaches, without those of converters, which grow the data
/// partition, and those that are judged by the files that they act by.
fn services(files: &Files<'_>) -> Vec<Start> {
    const OTHERS: [&str; 5] = [
        "mender-grow-data.service",
        "mender-resize-data-part.service",
        "mender-systemd-growfs-data.service",
        "rc-local.service",
        "systemd-repart.service",
    ];
    let mut out = Vec::new();
    for name in units::reached(files.root) {
        if !name.ends_with(".service") || OTHERS.contains(&name.as_str()) {
            continue;
        }
        let unit = Unit::read(files.root, &name);
        if let Some(unit) = unit.filter(|unit| unit.may_start(files.root)) {
            out.push(Start {
                trace: files.service(&unit),
                name,
                own: false,
                event: false,
            });
        }
    }
    out
}

/// Whether something is wrong by itself: it runs on each first start, or it may and was made for
/// that.
fn judged(start: &Start, found: &Found) -> bool {
    let mine = start.own && !start.trace.asks;
    match found.when {
        When::Always => !start.event || start.trace.once,
        When::Maybe => start.trace.once || mine,
        When::Waiting => false,
    }
}

/// Checks that an overlay of the root filesystem leaves the data partition alone.
fn overlay(slot: &Slot<'_>, tree: &Tree, path: &str, place: &Location, log: &mut Log) {
    for (number, line) in lines(tree, path) {
        if line.trim_start().starts_with('#') && !path.ends_with(".env") {
            continue;
        }
        for word in line.split(|c: char| c.is_whitespace() || "\"'".contains(c)) {
            let value = match word.rsplit_once("overlayroot=") {
                Some(("", "")) => line
                    .split_once("overlayroot=")
                    .map_or("", |(_, value)| value.trim_matches(['"', '\''])),
                Some(("" | "args=", value)) => value,
                _ => continue,
            };
            let covers = value.starts_with("tmpfs") && !value.contains("recurse=0");
            let accepted = slot.accepted.iter().any(|file| file.ends_with(path));
            if covers && !accepted {
                let text = format!(
                    "overlayroot={value} covers the data partition too: the update client forgets at each start that it was updating"
                );
                log.error("startup-overlay", place.clone().line(number), text);
            } else {
                log.passed(1);
            }
        }
    }
}
