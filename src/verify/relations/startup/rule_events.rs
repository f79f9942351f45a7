//! Events of devices that rules of udev are answered for.

/// A key of a rule with its operator, and its value.
pub(super) type Part = (String, String);

/// Names of first disks up to the number of a partition.
pub(super) const DISKS: [&str; 7] = [
    "sda", "vda", "hda", "xvda", "mmcblk0p", "mmcblk1p", "nvme0n1p",
];

/// Whether something holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Answer {
    No,
    Maybe,
    Yes,
}

impl Answer {
    pub(super) fn inverse(self) -> Self {
        match self {
            Self::No => Self::Yes,
            Self::Maybe => Self::Maybe,
            Self::Yes => Self::No,
        }
    }

    fn of(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

/// An event: of a partition, a whole disk or another device.
#[derive(Clone, Debug)]
pub(super) struct Event {
    action: &'static str,
    subsystem: &'static str,
    /// The names that it can have, each with that of its disk.
    names: Vec<(String, String)>,
    partition: Option<u32>,
}

impl Event {
    /// An event of a partition, or of the whole disk, with one of these names.
    pub(super) fn disk(action: &'static str, disks: &[&str], partition: Option<u32>) -> Self {
        let names = disks.iter().map(|disk| {
            let whole = match disk.strip_suffix('p') {
                Some(whole) if disk.contains(char::is_numeric) => whole,
                _ => disk,
            };
            let name = match partition {
                Some(number) => format!("{disk}{number}"),
                None => whole.to_owned(),
            };
            (name, whole.to_owned())
        });
        Self {
            action,
            subsystem: "block",
            names: names.collect(),
            partition,
        }
    }

    pub(super) fn is_disk(&self) -> bool {
        self.subsystem == "block"
    }

    /// Whether a condition of a rule holds.
    pub(super) fn answer(&self, (key, value): &Part) -> Answer {
        let (name, negated) = match key.strip_suffix("!=") {
            Some(name) => (name, true),
            None => (key.trim_end_matches('='), false),
        };
        let answer = self.equals(name, value);
        if negated { answer.inverse() } else { answer }
    }

    fn equals(&self, name: &str, value: &str) -> Answer {
        let one = |text: &str| Answer::of(any_fits(value, text));
        let number = self.partition.map(|number| number.to_string());
        let number = number.unwrap_or_default();
        let name = match name
            .strip_prefix("ENV{")
            .and_then(|rest| rest.strip_suffix('}'))
        {
            Some(variable @ ("ACTION" | "SUBSYSTEM")) => variable,
            _ => name,
        };
        match name {
            "ACTION" => one(self.action),
            _ if self.subsystem.is_empty() => Answer::Maybe,
            "SUBSYSTEM" => one(self.subsystem),
            "SUBSYSTEMS" if any_fits(value, self.subsystem) => Answer::Yes,
            "KERNEL" => self.named(|(name, _)| any_fits(value, name)),
            "ENV{DEVNAME}" => self.named(|(name, _)| any_fits(value, &format!("/dev/{name}"))),
            "KERNELS" => {
                let above =
                    self.named(|(name, disk)| any_fits(value, name) || any_fits(value, disk));
                let other = ["sd", "vd", "mmcblk", "nvme"];
                let other = value
                    .split('|')
                    .all(|one| other.iter().any(|kind| one.starts_with(kind)));
                if other {
                    above
                } else {
                    above.max(Answer::Maybe)
                }
            }
            "DEVPATH" => {
                let ends = |name: &str| {
                    let mut ends = value
                        .split('|')
                        .map(|one| one.rsplit('/').next().unwrap_or(one));
                    ends.any(|end| fits(end, name))
                };
                let fits = self.names.iter().any(|(name, _)| ends(name));
                if fits && !value.contains("usb") {
                    Answer::Maybe
                } else {
                    Answer::No
                }
            }
            _ if self.is_disk() => self.of_disk(name, value, &number),
            name => {
                let disks = ["ENV{ID_FS_", "ENV{ID_PART_", "ENV{PARTN", "ENV{DEVTYPE}"];
                if disks.iter().any(|start| name.starts_with(start)) {
                    return one("");
                }
                // An attribute that it does not have never matches.
                if name == "ATTR{partition}" {
                    Answer::No
                } else {
                    Answer::Maybe
                }
            }
        }
    }

    fn of_disk(&self, name: &str, value: &str, number: &str) -> Answer {
        let one = |text: &str| Answer::of(any_fits(value, text));
        let usb = || {
            value
                .split('|')
                .all(|one| one.contains("usb") || one == "uas")
        };
        match name {
            "ATTR{partition}" | "ENV{PARTN}" | "ENV{ID_PART_ENTRY_NUMBER}" => one(number),
            "ENV{DEVTYPE}" if number.is_empty() => one("disk"),
            "ENV{DEVTYPE}" => one("partition"),
            "ATTR{removable}" | "ATTRS{removable}" => one("0"),
            "SUBSYSTEMS" | "DRIVERS" | "ENV{ID_BUS}" | "ENV{ID_PATH}" if usb() => Answer::No,
            "ATTR{idVendor}" | "ATTRS{idVendor}" | "ATTR{idProduct}" | "ATTRS{idProduct}" => {
                Answer::No
            }
            _ => {
                let others = ["ENV{ID_USB_", "ENV{ID_INPUT", "ENV{ID_NET_"];
                let others = others.iter().any(|start| name.starts_with(start));
                if others { one("") } else { Answer::Maybe }
            }
        }
    }

    /// Whether all of its names pass, or some.
    fn named(&self, passes: impl Fn(&(String, String)) -> bool) -> Answer {
        let count = self.names.iter().filter(|name| passes(name)).count();
        match count {
            0 => Answer::No,
            all if all == self.names.len() => Answer::Yes,
            _ => Answer::Maybe,
        }
    }
}

/// Events of each start: the disk, the partitions that each has, and devices of every kernel.
pub(super) fn sure_events() -> Vec<Event> {
    let mut out = vec![Event::disk("add", &DISKS, None)];
    out.extend((1..=4).map(|number| Event::disk("add", &DISKS, Some(number))));
    for (subsystem, name) in [("net", "lo"), ("mem", "null"), ("tty", "tty")] {
        out.push(Event {
            action: "add",
            subsystem,
            names: vec![(name.to_owned(), String::new())],
            partition: None,
        });
    }
    out
}

/// Events of a device of which nothing is known.
pub(super) fn any_events() -> Vec<Event> {
    let of = |action| Event {
        action,
        subsystem: "",
        names: Vec::new(),
        partition: None,
    };
    ["add", "change", "bind", "online", "move"].map(of).into()
}

/// Events of the first disk, by each of its names.
pub(super) fn disk_events() -> Vec<Event> {
    let numbers = || (1..=15).map(Some).chain([None]);
    let of = |disk: &&'static str| {
        let disk = *disk;
        numbers().map(move |number| Event::disk("add", &[disk], number))
    };
    DISKS.iter().flat_map(of).collect()
}

/// Whether a text fits one of several patterns.
fn any_fits(patterns: &str, text: &str) -> bool {
    patterns.split('|').any(|pattern| fits(pattern, text))
}

/// Whether a name fits a pattern of `*`, `?` and `[...]`.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    let mut rest = pattern.chars();
    let Some(first) = rest.next() else {
        return name.is_empty();
    };
    let after = name
        .chars()
        .next()
        .map(|c| (c, name.get(c.len_utf8()..).unwrap_or_default()));
    match (first, after) {
        ('*', None) => fits(rest.as_str(), name),
        ('*', Some((_, more))) => fits(rest.as_str(), name) || fits(pattern, more),
        (_, None) => false,
        ('?', Some((_, more))) => fits(rest.as_str(), more),
        ('[', Some((c, more))) => rest.as_str().split_once(']').is_some_and(|(set, rest)| {
            let (set, other) = match set.strip_prefix(['!', '^']) {
                Some(set) => (set, true),
                None => (set, false),
            };
            let set: Vec<char> = set.chars().collect();
            let within = set
                .windows(3)
                .any(|w| matches!(w, [a, '-', b] if (a..=b).contains(&&c)));
            (within || set.contains(&c)) != other && fits(rest, more)
        }),
        (literal, Some((c, more))) => literal == c && fits(rest.as_str(), more),
    }
}
