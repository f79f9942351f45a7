//! The events for which a rule of udev is reached and holds: those of every start, and those of the
//! system's disk, whose name depends on the device.

use crate::golden::udev_rules::{Key, Operator, Rule, Started};

/// Names that disks of devices have, and what separates them from the number of a partition.
const DISKS: [(&str, &str); 7] = [
    ("sda", ""),
    ("vda", ""),
    ("hda", ""),
    ("xvda", ""),
    ("mmcblk0", "p"),
    ("mmcblk1", "p"),
    ("nvme0n1", "p"),
];
/// The most partitions that are looked at.
const PARTITIONS: u32 = 15;
/// The partitions that each converted disk has.
const OWN_PARTITIONS: u32 = 4;
/// Devices that every system has, whatever its hardware: subsystem and name.
const ALWAYS: [(&str, &str); 3] = [("net", "lo"), ("mem", "null"), ("tty", "tty")];
/// The actions of events that come with a start, or while a system runs.
const ACTIONS: [&str; 6] = ["add", "change", "bind", "online", "move", "offline"];

/// The events that reach a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    /// Any that is not the end of a device.
    pub(super) is_possible: bool,
    /// One that comes with each start, whatever the hardware.
    pub(super) is_sure: bool,
    /// One of the system's disk, if the disk has the name that the rule asks for, and as far as its
    /// conditions are known.
    pub(super) is_own_disk: bool,
    /// The same, and all conditions are known.
    pub(super) is_sure_on_disk: bool,
}

impl Reach {
    /// The events for which `rule` starts something in this way.
    pub(super) fn new(rule: &Rule, started: Started) -> Self {
        let own = rule.keys.iter().filter(|key| key.is_condition());
        // Programs that are conditions run before their result is looked at.
        let own = own.filter(|key| match key.name.as_str() {
            "RESULT" => started != Started::Asked,
            name if name == "PROGRAM" || name.starts_with("IMPORT") => started != Started::Asked,
            _ => true,
        });
        let own: Vec<&Key> = own.collect();
        let mut reach = Self::default();
        for way in &rule.ways {
            let conditions: Vec<&Key> = way.iter().chain(own.iter().copied()).collect();
            reach.add(&conditions);
        }
        reach
    }

    fn add(&mut self, conditions: &[&Key]) {
        let mut actions = ACTIONS.iter();
        self.is_possible |= actions.any(|action| {
            let mut asked = conditions.iter().filter(|key| key.name == "ACTION");
            asked.all(|key| holds_among(key, &[(*action).to_owned()]) == Some(true))
        });
        let is_sure = |event: &Event| conditions.iter().all(|key| event.holds(key) == Some(true));
        self.is_sure |= sure_events().iter().any(is_sure);
        let is_about = conditions.iter().any(|key| is_about_disks(key));
        for event in disk_events() {
            let answers = conditions.iter().map(|key| event.holds(key));
            let answers: Vec<Option<bool>> = answers.collect();
            if answers.contains(&Some(false)) {
                continue;
            }
            let is_known = !answers.contains(&None);
            self.is_own_disk |= is_about || is_known;
            self.is_sure_on_disk |= is_known && event.action == "add";
        }
    }
}

/// An event of a device.
#[derive(Clone, Debug)]
struct Event {
    action: &'static str,
    subsystem: &'static str,
    /// The names that the kernel may give it.
    names: Vec<String>,
    /// The names of its disk, if it is a disk or a partition.
    disks: Vec<String>,
    /// The number of a partition.
    number: Option<u32>,
}

impl Event {
    /// An event of a disk with one of these names, or of a partition of it.
    fn of_disk(action: &'static str, disks: &[(&str, &str)], number: Option<u32>) -> Self {
        let name = |(disk, separator): &(&str, &str)| match number {
            Some(number) => format!("{disk}{separator}{number}"),
            None => (*disk).to_owned(),
        };
        Self {
            action,
            subsystem: "block",
            names: disks.iter().map(name).collect(),
            disks: disks.iter().map(|(disk, _)| (*disk).to_owned()).collect(),
            number,
        }
    }

    /// Whether a condition of a rule holds for it; `None` if that is not known.
    fn holds(&self, key: &Key) -> Option<bool> {
        let is_block = self.subsystem == "block";
        let one = |text: &str| holds_among(key, &[text.to_owned()]);
        let number = self.number.map_or_else(String::new, |n| n.to_string());
        match key.name.as_str() {
            "ACTION" | "ENV{ACTION}" => one(self.action),
            "SUBSYSTEM" | "ENV{SUBSYSTEM}" => one(self.subsystem),
            "KERNEL" => holds_among(key, &self.names),
            "ENV{DEVNAME}" if is_block => {
                let names = self.names.iter().map(|name| format!("/dev/{name}"));
                holds_among(key, &names.collect::<Vec<_>>())
            }
            "ENV{DEVTYPE}" if is_block => one(match self.number {
                Some(_) => "partition",
                None => "disk",
            }),
            "ATTR{partition}" | "ENV{PARTN}" | "ENV{ID_PART_ENTRY_NUMBER}" if is_block => {
                one(&number)
            }
            "ATTR{removable}" | "ATTRS{removable}" if is_block => one("0"),
            "SUBSYSTEMS" if key.fits(self.subsystem) => Some(key.operator != Operator::IsNot),
            "KERNELS" if is_block => self.parents(key),
            "DEVPATH" if is_block => self.path(key),
            name if is_block && is_for_others(name, &key.value) => {
                Some(key.operator == Operator::IsNot)
            }
            _ => None,
        }
    }

    /// Whether the name of the device, or of a device above it, fits.
    fn parents(&self, key: &Key) -> Option<bool> {
        let names = [&self.names[..], &self.disks[..]].concat();
        let fits = names.iter().any(|name| key.fits(name));
        let kinds = ["sd", "vd", "hd", "xvd", "mmcblk", "nvme"];
        let mut patterns = key.value.split('|');
        let of_disks = patterns.all(|pattern| kinds.iter().any(|kind| pattern.starts_with(kind)));
        match (fits, of_disks) {
            (true, _) if self.disks.len() == 1 => Some(key.operator != Operator::IsNot),
            (false, true) => Some(key.operator == Operator::IsNot),
            _ => None,
        }
    }

    /// Whether a path below `/sys` can be that of the device: its end is the name.
    fn path(&self, key: &Key) -> Option<bool> {
        let mut patterns = key.value.split('|');
        let can_be = patterns.any(|pattern| {
            let end = pattern.rsplit('/').next().unwrap_or(pattern);
            let mut names = self.names.iter();
            !pattern.contains("usb") && names.any(|name| crate::shell::matches(end, name))
        });
        (!can_be).then_some(key.operator == Operator::IsNot)
    }
}

/// Whether a condition holds for a device that has one of these values.
fn holds_among(key: &Key, values: &[String]) -> Option<bool> {
    let fitting = values.iter().filter(|value| key.fits(value)).count();
    let is_not = key.operator == Operator::IsNot;
    match fitting {
        0 => Some(is_not),
        all if all == values.len() => Some(!is_not),
        _ => None,
    }
}

/// The events that come with each start.
fn sure_events() -> Vec<Event> {
    let disk = Event::of_disk("add", &DISKS, None);
    let partitions = (1..=OWN_PARTITIONS).map(|number| Event::of_disk("add", &DISKS, Some(number)));
    let others = ALWAYS.iter().map(|(subsystem, name)| Event {
        action: "add",
        subsystem,
        names: vec![(*name).to_owned()],
        disks: Vec::new(),
        number: None,
    });
    [disk].into_iter().chain(partitions).chain(others).collect()
}

/// The events of a system's disk, by each name that it can have.
fn disk_events() -> Vec<Event> {
    let mut out = Vec::new();
    for disk in DISKS {
        let numbers = [None].into_iter().chain((1..=PARTITIONS).map(Some));
        for number in numbers {
            for action in ["add", "change"] {
                out.push(Event::of_disk(action, &[disk], number));
            }
        }
    }
    out
}

/// Whether a condition is about disks or partitions.
fn is_about_disks(key: &Key) -> bool {
    let is = key.operator == Operator::Is;
    match key.name.as_str() {
        "SUBSYSTEM" | "SUBSYSTEMS" => is && key.fits("block"),
        "KERNEL" | "KERNELS" | "ENV{DEVNAME}" | "DEVPATH" => is,
        "ATTR{partition}" => true,
        name => {
            let starts = ["ENV{ID_PART_", "ENV{ID_FS_", "ENV{PARTN", "ENV{DEVTYPE}"];
            starts.iter().any(|start| name.starts_with(start))
        }
    }
}

/// Whether a condition with this value is for disks that are plugged in, or for what is not a disk.
fn is_for_others(name: &str, value: &str) -> bool {
    let all = |test: &dyn Fn(&str) -> bool| value.split('|').all(test);
    match name {
        "SUBSYSTEMS" | "DRIVERS" | "DRIVER" | "ENV{ID_BUS}" | "ENV{ID_USB_DRIVER}" => {
            all(&|one| one.starts_with("usb") || one.starts_with("uas"))
        }
        "ENV{ID_PATH}" => all(&|one| one.contains("usb")),
        "ATTR{idVendor}" | "ATTRS{idVendor}" | "ATTR{idProduct}" | "ATTRS{idProduct}" => true,
        _ => {
            let starts = ["ENV{ID_USB_", "ENV{ID_INPUT", "ENV{ID_NET_"];
            !value.is_empty() && starts.iter().any(|start| name.starts_with(start))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::example_tests::{add, empty};
    use crate::golden::udev_rules::rules;

    /// The events that reach the last rule of a file.
    fn reach(text: &str) -> Reach {
        let mut root = empty();
        add(&mut root, "/etc/udev/rules.d/9.rules", text.as_bytes());
        let rules = rules(&root);
        let rule = rules.iter().rfind(|rule| rule.started().next().is_some());
        let rule = rule.unwrap();
        Reach::new(rule, rule.started().last().unwrap().0)
    }

    #[test]
    fn rules_for_the_disk_of_the_system_and_for_others() {
        let cases = [
            ("SUBSYSTEM==\"block\", ENV{ID_FS_TYPE}==\"\"", true),
            ("ENV{ID_PART_ENTRY_NUMBER}==\"3\"", true),
            ("KERNEL==\"sd[a-z][0-9]\"", true),
            ("KERNEL==\"mmcblk0p3\"", true),
            ("ACTION==\"add\"", true),
            ("ACTION==\"change|add\", KERNEL!=\"loop*\"", true),
            ("SUBSYSTEMS!=\"usb\", KERNEL==\"sd*\"", true),
            ("KERNEL==\"sd[b-z]?\", SUBSYSTEM==\"block\"", false),
            ("SUBSYSTEM==\"block\", SUBSYSTEMS==\"usb\"", false),
            (
                "SUBSYSTEM==\"block\", ENV{ID_USB_DRIVER}==\"usb-storage\"",
                false,
            ),
            ("SUBSYSTEM==\"block\", ATTR{removable}==\"1\"", false),
            ("KERNELS==\"sdb\", KERNEL==\"sd*\"", false),
            ("SUBSYSTEM==\"net\"", false),
            ("ATTRS{idVendor}==\"1234\"", false),
            ("ENV{ID_INPUT_KEY}==\"1\"", false),
            ("TEST==\"/opt/x\"", false),
        ];
        for (rule, expected) in cases {
            let found = reach(&format!("{rule}, RUN+=\"x\"\n"));
            assert!(found.is_possible, "{rule}");
            assert_eq!(found.is_own_disk, expected, "{rule}");
        }
    }

    #[test]
    fn rules_of_every_start() {
        let sure = |rule: &str| reach(&format!("{rule}RUN+=\"x\"\nLABEL=\"end\"\n")).is_sure;
        for rule in [
            "",
            "ACTION==\"add\", ",
            "ACTION==\"add|change\", SUBSYSTEM==\"block\", ",
            "ATTR{partition}==\"2\", ",
            "SUBSYSTEM==\"net\", ",
            "ACTION!=\"add\", GOTO=\"end\"\nENV{DEVTYPE}!=\"partition\", GOTO=\"end\"\n",
            "KERNEL!=\"loop*\", SUBSYSTEM==\"block\", ",
        ] {
            assert!(sure(rule), "{rule}");
        }
        for rule in [
            "ACTION==\"change\", ",
            "KERNEL==\"sda\", ",
            "SUBSYSTEM==\"net\", KERNEL==\"usb*\", ",
            "ATTR{partition}==\"7\", ",
            "SUBSYSTEM==\"block\", PROGRAM==\"/opt/x\", ",
            "GOTO=\"end\"\n",
            "SUBSYSTEM!=\"gpio\", GOTO=\"end\"\n",
        ] {
            assert!(!sure(rule), "{rule}");
        }
        let disk = |rule: &str| reach(&format!("{rule}, RUN+=\"x\"\n")).is_sure_on_disk;
        assert!(disk("KERNEL==\"sda\""));
        assert!(disk("KERNEL==\"mmcblk*\", ENV{DEVTYPE}==\"disk\""));
        assert!(!disk("KERNEL==\"sda\", ENV{ID_FS_LABEL}==\"x\""));
        assert!(!disk("ACTION==\"change\", KERNEL==\"sda\""));
    }

    #[test]
    fn programs_that_are_conditions_run_before_their_result() {
        let found = reach("SUBSYSTEM==\"block\", PROGRAM==\"x\", RESULT==\"1\"\n");
        assert!(found.is_sure && found.is_own_disk);
        assert!(reach("KERNEL==\"sda\", IMPORT{program}=\"x\"\n").is_sure_on_disk);
        assert!(!reach("ACTION==\"remove\", PROGRAM==\"x\"\n").is_possible);
        assert!(!reach("GOTO=\"end\"\nPROGRAM==\"x\"\nLABEL=\"end\"\n").is_possible);
    }
}
