//! A device that is driven: its slots, its update client, and what it must show.

use super::powered::{Ended, Failure, Outcome, Powered};
use super::{Computer, boot_files, root_shell};
use crate::problem::Problem;
use crate::rules::{Judged, Rules};
use crate::tree::Tree;
use crate::volume::{Opened, Role};
use anyhow::{Result, bail};
use std::collections::BTreeSet;
use std::io::Write;
use std::time::{Duration, Instant};

/// How many times longer writing an update may take than a start.
const WRITING: u32 = 3;

/// The disk that the Artifact is on, as udev and the kernel name it by its serial number.
const FIND_ARTIFACT: &str = "artifact=/dev/disk/by-id/virtio-goldsmith-artifact
if [ ! -e $artifact ]; then
  for serial in /sys/block/*/serial; do
    if [ \"$(cat $serial)\" = goldsmith-artifact ]; then
      artifact=${serial%/serial}
      artifact=/dev/${artifact##*/}
    fi
  done
fi
";

/// The client, version 4 and later or version 3 and earlier.
const FIND_CLIENT: &str = "client=$(command -v mender-update || command -v mender) || { echo 'no update client: neither mender-update nor mender is installed'; exit 127; }
";

/// What a device is made from.
#[derive(Debug)]
pub struct Driven {
    /// The numbers of its root partitions.
    pub(super) slots: [u32; 2],
    /// The name of the Artifact's release.
    pub(super) release: Option<String>,
}

impl Driven {
    /// Prepares the overlay of `computer` for being driven: its kernels start a root shell on the
    /// second serial port. `update` is the Artifact that it will install.
    ///
    /// # Errors
    /// A [`Problem`] for systems that cannot be driven; I/O errors.
    pub fn new(computer: &mut Computer, image: &Opened, update: Option<&Opened>) -> Result<Self> {
        let number = |role| {
            let mut volumes = image.volumes.iter();
            volumes.find(|one| one.role == Some(role))?.number
        };
        let slots = match (number(Role::Root), number(Role::RootB)) {
            (Some(a), Some(b)) => [a, b],
            (Some(a), None) if update.is_none() => [a, 0],
            _ => bail!(
                Problem::new("the image has not two root filesystems: it cannot be updated")
                    .hint("give a converted image")
            ),
        };
        let root = root_of(image)?;
        root_shell::check_system("the root filesystem of the image", &root)?;
        let unit = root_shell::default_unit(&root)?;
        if let Some(update) = update {
            let root = root_of(update)?;
            root_shell::check_system("the Artifact", &root)?;
            let next = root_shell::default_unit(&root)?;
            if next != unit {
                bail!(
                    Problem::new(format!(
                        "the image starts {unit}, and the Artifact {next}: the systems cannot be driven by the same arguments of the kernel"
                    ))
                    .hint("give both the same default.target")
                );
            }
        }
        let port = computer.machine.shell_port().device;
        let arguments = root_shell::arguments(&unit, port, computer.is_fast());
        let (start, content) = boot_files::boot_partition(image, &arguments)?;
        computer.write(start, &content)?;
        computer.add_shell();
        Ok(Self {
            slots,
            release: update.and_then(|update| update.release.clone()),
        })
    }
}

fn root_of(image: &Opened) -> Result<Tree> {
    let volume = image
        .volumes
        .iter()
        .find(|one| one.role == Some(Role::Root));
    let tree = volume
        .map(crate::volume::Volume::tree)
        .transpose()?
        .flatten();
    Ok(tree.ok_or_else(|| Problem::new("there is no root filesystem"))?)
}

/// A device, with or without power.
pub(super) struct Device<'a> {
    pub(super) computer: &'a Computer,
    pub(super) driven: &'a Driven,
    /// How long a start may take.
    pub(super) limit: Duration,
    pub(super) log: &'a mut dyn Write,
    pub(super) powered: Option<Powered>,
    /// Units that had failed at the first start.
    pub(super) failed_before: BTreeSet<String>,
}

/// Takes the value of an [`Outcome`] in a function that returns one.
macro_rules! take {
    ($outcome:expr) => {
        match $outcome? {
            Ok(value) => value,
            Err(failure) => return Ok(Err(failure)),
        }
    };
}
pub(super) use take;

impl Device<'_> {
    /// How long writing an update may take.
    pub(super) fn writing(&self) -> Duration {
        self.limit * WRITING
    }

    /// Cuts the power, if it is on, switches it on and waits for the start.
    pub(super) fn power_cycle(&mut self) -> Outcome<()> {
        self.powered = None;
        self.powered = Some(take!(Powered::on(self.computer)));
        self.wait_for_start()
    }

    /// Waits for a start that was asked for.
    pub(super) fn wait_for_start(&mut self) -> Outcome<()> {
        match &mut self.powered {
            Some(powered) => powered.wait_for_shell(self.limit, self.log),
            None => Ok(Err(Failure::new("the machine is off", Vec::new()))),
        }
    }

    /// Starts the system again in order.
    pub(super) fn restart(&mut self) -> Outcome<()> {
        if let Some(powered) = &mut self.powered {
            powered.reboot();
        }
        self.wait_for_start()
    }

    /// Runs a command, whatever its status.
    pub(super) fn run(&mut self, command: &str, limit: Duration) -> Outcome<Ended> {
        match &mut self.powered {
            Some(powered) => powered.run(command, limit, self.log),
            None => Ok(Err(Failure::new("the machine is off", Vec::new()))),
        }
    }

    /// Runs a command that must succeed.
    pub(super) fn must(&mut self, what: &str, command: &str, limit: Duration) -> Outcome<String> {
        let ended = match self.run(command, limit)? {
            Err(failure) if failure.is_slow => {
                let reason = format!("{what} did not end within {} s", limit.as_secs());
                return Ok(Err(Failure { reason, ..failure }));
            }
            Err(failure) => return Ok(Err(failure)),
            Ok(ended) => ended,
        };
        if ended.status != 0 {
            let reason = format!("{what} ended with status {}", ended.status);
            return Ok(Err(Failure::new(reason, ended.lines())));
        }
        Ok(Ok(ended.output))
    }

    /// The partition of the root filesystem that is running.
    pub(super) fn slot(&mut self) -> Outcome<u32> {
        let command = "while read -r id parent device root mount rest; do
echo \"$mount $(cat /sys/dev/block/$device/partition 2>/dev/null)\"; done </proc/self/mountinfo";
        let text = take!(self.must("reading the mounts", command, self.limit));
        let mounted = |line: &str| {
            let (mount, number) = line.split_once(' ')?;
            let number = number.parse().ok()?;
            let is_slot = self.driven.slots.contains(&number);
            is_slot.then(|| (mount == "/", number))
        };
        let found: Vec<(bool, u32)> = text.lines().filter_map(mounted).collect();
        // Below an overlay, the slot is mounted elsewhere.
        let slot = found.iter().find(|one| one.0).or_else(|| found.first());
        Ok(slot.map(|one| one.1).ok_or_else(|| {
            let [a, b] = self.driven.slots;
            let reason = format!("the root filesystem is neither partition {a} nor {b}");
            let lines = text.lines().map(ToOwned::to_owned).collect();
            Failure::new(reason, lines)
        }))
    }

    /// The other root partition.
    pub(super) fn other(&self, slot: u32) -> u32 {
        let [a, b] = self.driven.slots;
        if slot == a { b } else { a }
    }

    /// The units that have failed.
    pub(super) fn failed_units(&mut self) -> Outcome<BTreeSet<String>> {
        let command = "systemctl --failed --plain --no-legend --no-pager";
        let text = take!(self.must("asking for failed units", command, self.limit));
        let names = text
            .lines()
            .filter_map(|line| line.split_whitespace().next());
        Ok(Ok(names.map(ToOwned::to_owned).collect()))
    }

    /// Fails if a unit has failed that had not at the first start.
    pub(super) fn no_new_failures(&mut self) -> Outcome<()> {
        let failed = take!(self.failed_units());
        let new: Vec<&String> = failed.difference(&self.failed_before).collect();
        let Some(first) = new.first() else {
            return Ok(Ok(()));
        };
        let names: Vec<&str> = new.iter().map(|name| name.as_str()).collect();
        let reason = format!("units failed that had started before: {}", names.join(", "));
        let journal = format!("systemctl status --no-pager --full --lines=8 -- '{first}'");
        let ended = take!(self.run(&journal, self.limit));
        Ok(Err(Failure::new(reason, ended.lines())))
    }

    /// The command that calls the client.
    fn client(arguments: &str) -> String {
        format!("{FIND_CLIENT}{FIND_ARTIFACT}$client {arguments}")
    }

    /// The name of the release that the client shows.
    pub(super) fn release(&mut self) -> Outcome<String> {
        let command = Self::client("show-artifact 2>/dev/null");
        let said = take!(self.must("the client's `show-artifact`", &command, self.limit));
        Ok(Ok(said
            .lines()
            .last()
            .unwrap_or_default()
            .trim()
            .to_owned()))
    }

    /// Has the client install the Artifact.
    pub(super) fn install(&mut self) -> Outcome<()> {
        let command = Self::client("install $artifact");
        take!(self.must("the client's `install`", &command, self.writing()));
        Ok(Ok(()))
    }

    /// The same, but the power goes after `after`. Returns whether it was still being installed.
    pub(super) fn install_interrupted(&mut self, after: Duration) -> Outcome<bool> {
        let Some(powered) = &mut self.powered else {
            return Ok(Err(Failure::new("the machine is off", Vec::new())));
        };
        powered.begin(&Self::client("install $artifact"));
        let begin = Instant::now();
        let mut is_written = false;
        while begin.elapsed() < after && !is_written {
            is_written = take!(powered.ended(self.log)).is_some();
        }
        self.powered = None;
        Ok(Ok(!is_written))
    }

    /// Restarts, and cuts the power after `after`.
    pub(super) fn restart_interrupted(&mut self, after: Duration) -> Outcome<()> {
        let Some(powered) = &mut self.powered else {
            return Ok(Err(Failure::new("the machine is off", Vec::new())));
        };
        powered.reboot();
        // The start may be faster this time: how it ends does not matter.
        let _ = powered.wait_for_shell(after, self.log)?;
        self.powered = None;
        Ok(Ok(()))
    }

    /// Has the client commit the update.
    pub(super) fn commit(&mut self) -> Outcome<()> {
        let command = Self::client("commit");
        take!(self.must("the client's `commit`", &command, self.limit));
        Ok(Ok(()))
    }

    /// Holds the running system against the rules.
    pub(super) fn judge(&mut self, rules: &Rules) -> Outcome<Vec<Judged>> {
        let mut out = Vec::new();
        for unit in &rules.units {
            let ended = take!(self.run(&format!("systemctl is-active '{unit}'"), self.limit));
            out.push(Judged {
                rule: format!("unit {unit}"),
                broken: (ended.status != 0).then(|| format!("it is {}", ended.output.trim())),
            });
        }
        for rule in &rules.commands {
            let judged = match self.run(&rule.run, rule.timeout)? {
                Err(failure) => Some(match failure.is_slow {
                    true => format!("it did not end within {} s", rule.timeout.as_secs()),
                    false => failure.reason,
                }),
                Ok(ended) if ended.status != rule.exit => Some(format!(
                    "it ended with status {}, not {}: {}",
                    ended.status,
                    rule.exit,
                    ended.lines().last().map_or("", String::as_str)
                )),
                Ok(ended) => rule.output_matches.as_ref().and_then(|wanted| {
                    let found = ended.output.lines().any(|line| wanted.matches(line));
                    (!found).then(|| format!("no line of its output is {wanted}"))
                }),
            };
            out.push(Judged {
                rule: format!("command {}", rule.run.lines().next().unwrap_or_default()),
                broken: judged,
            });
        }
        Ok(Ok(out))
    }
}
