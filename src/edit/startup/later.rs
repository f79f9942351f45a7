//! What changes or restarts a system by itself long after its start: upgrades, other update
//! clients, timers and tables of cron. An update must be proven and committed before it is
//! restarted, and what one root filesystem installed is not in the next one.

use super::Judge;
use super::apt_conf::AptConf;
use super::apt_hooks;
use super::command::Runs;
use super::follow::{Files, Found};
use super::note::StartupNote;
use super::units::{self, Unit, names_in};

/// The consequence of a restart.
const TAKEN_BACK: &str = "an update that is not committed yet would be taken back";
/// The consequence of changes to a root filesystem.
const NEXT_UPDATE: &str =
    "the next update brings what the image has, and a rollback what the other root filesystem had";

/// Units of programs that install something by themselves: name, what they do, what to do.
const AGENTS: [(&str, &str, &str); 10] = [
    (
        "snapd.service",
        "snapd refreshes its snaps by itself and restarts their services, and restarts the device after a refresh that needs it; snaps and their state are in /var/lib/snapd of one root filesystem",
        "hold its refreshes in the golden image (snap set system refresh.hold=...)",
    ),
    (
        "systemd-sysupdate-reboot.timer",
        "systemd-sysupdate restarts the device when it installed a new version",
        "disable the timer in the golden image",
    ),
    (
        "systemd-sysupdate.timer",
        "systemd-sysupdate installs new versions where its definitions say",
        "disable the timer in the golden image",
    ),
    (
        "mintupdate-automation-upgrade.timer",
        "mintupdate upgrades packages by itself",
        "disable the timer in the golden image",
    ),
    (
        "packagekit-offline-update.service",
        "packagekit installs prepared upgrades at a start and restarts the device",
        "disable the unit in the golden image",
    ),
    (
        "swupdate.service",
        "SWUpdate is a second update client",
        "leave one update client in the golden image",
    ),
    (
        "rauc-hawkbit-updater.service",
        "RAUC is a second update client",
        "leave one update client in the golden image",
    ),
    (
        "aktualizr.service",
        "Aktualizr is a second update client",
        "leave one update client in the golden image",
    ),
    (
        "balena-supervisor.service",
        "balena's supervisor is a second update client",
        "leave one update client in the golden image",
    ),
    (
        "eos-autoupdater.timer",
        "the updater of Endless OS is a second update client",
        "leave one update client in the golden image",
    ),
];

/// Adds a note for each of them, and a problem for restarts that pass the boot loader by.
pub(super) fn judge(files: &Files<'_>, by_units: bool, judge: &mut Judge) {
    unattended_upgrades(files, judge);
    cron_apt(files, judge);
    dietpi(files, judge);
    if by_units {
        agents(files, judge);
        timers(files, judge);
    }
    crontabs(files, judge);
    apt_hooks(files, judge);
    watchdogs(files, by_units, judge);
    kexec(files, judge);
}

/// What apt and dpkg run when they install something, which `unattended-upgrades` or a person has
/// them do later.
fn apt_hooks(files: &Files<'_>, judge: &mut Judge) {
    for hook in apt_hooks::all(files.root) {
        let found = files.commands(&hook.value, &hook.file, hook.line);
        for finding in &found.findings {
            if finding.runs == Runs::Unknown || judge.accepted(&[&finding.file, &hook.file]) {
                continue;
            }
            let command: String = finding.command.chars().take(80).collect();
            let text = format!(
                "`{command}` {} whenever packages are installed or updated ({} runs it): {TAKEN_BACK}",
                finding.act, hook.file
            );
            judge
                .notes
                .push(StartupNote::at(&finding.file, finding.line, &text));
        }
    }
}

/// Whether a unit is enabled and not masked.
fn is_enabled(files: &Files<'_>, name: &str) -> bool {
    // Most units are not there, and what starts takes longer to find out.
    Unit::load(files.root, name).is_some() && units::started(files.root).contains(name)
}

fn note(judge: &mut Judge, file: &str, line: usize, text: &str) {
    if !judge.accepted(&[file]) {
        judge.notes.push(StartupNote::at(file, line, text));
    }
}

/// `unattended-upgrades`, which apt's timer runs.
fn unattended_upgrades(files: &Files<'_>, judge: &mut Judge) {
    let programs = [
        "/usr/bin/unattended-upgrade",
        "/usr/bin/unattended-upgrades",
    ];
    let timer = "/etc/systemd/system/apt-daily-upgrade.timer";
    let masked = files.root.find_nofollow(timer).is_some() && files.root.file(timer).is_none();
    if programs.iter().all(|path| files.root.find(path).is_none()) || masked {
        return;
    }
    let conf = AptConf::read(files.root);
    let off = |name: &str| conf.last(name).is_some_and(|found| found.value == "0");
    let upgrades = conf
        .last("APT::Periodic::Unattended-Upgrade")
        .filter(|found| !matches!(found.value.as_str(), "" | "0"));
    let Some(upgrades) = upgrades.filter(|_| !off("APT::Periodic::Enable")) else {
        return;
    };
    let text = format!(
        "unattended-upgrades changes the root filesystem that runs: {NEXT_UPDATE}; set APT::Periodic::Unattended-Upgrade \"0\" in the golden image and bring upgrades by updates"
    );
    note(judge, &upgrades.file, upgrades.line, &text);
    if let Some(reboot) = conf.is_on("Unattended-Upgrade::Automatic-Reboot") {
        let time = conf.last("Unattended-Upgrade::Automatic-Reboot-Time");
        let at = time.map_or_else(String::new, |time| format!(" at {}", time.value));
        let text = format!(
            "unattended-upgrades restarts the device by itself{at} after upgrades that need it (Automatic-Reboot): {TAKEN_BACK}; set it to \"false\" in the golden image"
        );
        note(judge, &reboot.file, reboot.line, &text);
    }
}

/// `cron-apt`, whose actions are lines of options of apt-get.
fn cron_apt(files: &Files<'_>, judge: &mut Judge) {
    const DIR: &str = "/etc/cron-apt/action.d";
    for name in names_in(files.root, DIR) {
        let path = format!("{DIR}/{name}");
        for (at, line) in judge.lines(files.root, &path) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let has = |names: &[&str]| words.iter().any(|word| names.contains(word));
            let upgrades = has(&["upgrade", "dist-upgrade", "full-upgrade"]);
            let only_looks = has(&["-d", "--download-only", "-s", "--simulate", "--dry-run"]);
            if upgrades && !only_looks && !line.trim_start().starts_with('#') {
                let text = format!("cron-apt upgrades packages by itself: {NEXT_UPDATE}");
                note(judge, &path, at, &text);
            }
        }
    }
}

/// DietPi, which upgrades packages daily if its settings say so.
fn dietpi(files: &Files<'_>, judge: &mut Judge) {
    for path in [
        "/boot/dietpi.txt",
        &format!("{}/dietpi.txt", files.boot_mount),
    ] {
        let text = files.text(path).unwrap_or_default();
        for (at, line) in (1..).zip(text.lines()) {
            let value = line.trim().strip_prefix("CONFIG_CHECK_APT_UPDATES=");
            if value.is_some_and(|value| value.trim() == "2") {
                let text = format!("DietPi upgrades packages by itself: {NEXT_UPDATE}");
                note(judge, path, at, &text);
            }
        }
    }
}

/// Other programs that install something.
fn agents(files: &Files<'_>, judge: &mut Judge) {
    for (name, what, advice) in AGENTS {
        // A socket starts a service as well.
        let socket = name.replace(".service", ".socket");
        let started = is_enabled(files, name) || (socket != name && is_enabled(files, &socket));
        let unit = Unit::load(files.root, name).or_else(|| Unit::load(files.root, &socket));
        let file = unit.map_or_else(String::new, |unit| unit.file);
        if started && !judge.accepted(&[&file]) {
            let note = format!("{name}: {what}: {NEXT_UPDATE}; {advice}");
            judge.notes.push(StartupNote::of(&file, 0, note));
        }
    }
}

/// Timers that fire by the clock, or late.
fn timers(files: &Files<'_>, judge: &mut Judge) {
    let started = units::started(files.root);
    for name in started.iter().filter(|name| name.ends_with(".timer")) {
        let Some(timer) = Unit::load(files.root, name) else {
            continue;
        };
        let of_same_name = || name.replace(".timer", ".service");
        let service = timer
            .last("Unit")
            .map_or_else(of_same_name, |setting| setting.value.clone());
        // What a start reaches is judged as a part of it.
        if started.contains(&service) {
            continue;
        }
        if let Some(unit) = Unit::load(files.root, &service) {
            by_the_clock(name, &files.service(&unit), judge);
        }
    }
}

/// Lines of crontabs, and the scripts that run each hour, day, week and month.
fn crontabs(files: &Files<'_>, judge: &mut Judge) {
    let mut tables = vec![("/etc/crontab".to_owned(), 6)];
    for (dir, fields) in [("/etc/cron.d", 6), ("/var/spool/cron/crontabs", 5)] {
        let names = names_in(files.root, dir);
        tables.extend(names.map(|name| (format!("{dir}/{name}"), fields)));
    }
    for (path, fields) in tables {
        for (at, line) in judge.lines(files.root, &path) {
            let line = line.trim();
            // `@daily` takes the place of five fields.
            let fields = match line.starts_with('@') {
                true => fields - 4,
                false => fields,
            };
            let skipped = line.starts_with('#') || line.starts_with("@reboot");
            if !skipped && let Some(command) = after_fields(line, fields) {
                by_the_clock(&path, &files.commands(command, &path, at), judge);
            }
        }
    }
    for dir in ["hourly", "daily", "weekly", "monthly"] {
        let dir = format!("/etc/cron.{dir}");
        for name in names_in(files.root, &dir) {
            let path = format!("{dir}/{name}");
            by_the_clock(&path, &files.script(&path, &[]), judge);
        }
    }
}

/// A line without its first fields; `None` if it has no more, or sets a variable.
fn after_fields(line: &str, fields: usize) -> Option<&str> {
    let mut rest = line;
    for _ in 0..fields {
        let (field, after) = rest.split_once(char::is_whitespace)?;
        if field.contains('=') {
            return None;
        }
        rest = after.trim_start();
    }
    (!rest.is_empty()).then_some(rest)
}

fn by_the_clock(name: &str, found: &Found, judge: &mut Judge) {
    for finding in &found.findings {
        if finding.runs == Runs::Unknown || judge.accepted(&[&finding.file, name]) {
            continue;
        }
        let command: String = finding.command.chars().take(80).collect();
        let act = finding.act;
        let text = format!("`{command}` {act} by the clock ({name} runs it): {TAKEN_BACK}");
        judge
            .notes
            .push(StartupNote::at(&finding.file, finding.line, &text));
    }
}

/// Programs that restart the device, or switch it off, when something does not answer or nobody
/// uses it.
fn watchdogs(files: &Files<'_>, by_units: bool, judge: &mut Judge) {
    const LOGIND: &str = "/etc/systemd/logind.conf";
    const WATCHDOG: &str = "/etc/watchdog.conf";
    let in_dir = |dir: &str| {
        let names = names_in(files.root, dir);
        names
            .map(|name| format!("{dir}/{name}"))
            .collect::<Vec<_>>()
    };
    for path in [vec![LOGIND.to_owned()], in_dir(&format!("{LOGIND}.d"))].concat() {
        for (at, line) in judge.lines(files.root, &path) {
            let value = line.trim().strip_prefix("IdleAction=").unwrap_or_default();
            let acts = [
                "poweroff",
                "reboot",
                "halt",
                "kexec",
                "soft-reboot",
                "factory-reset",
            ];
            if by_units && acts.contains(&value) {
                let text =
                    format!("IdleAction={value} acts when nobody uses the device: {TAKEN_BACK}");
                note(judge, &path, at, &text);
            }
        }
    }
    let tests = [
        "ping",
        "interface",
        "file",
        "test-binary",
        "pidfile",
        "max-temperature",
    ];
    for (at, line) in judge.lines(files.root, WATCHDOG) {
        let key = line.split('=').next().unwrap_or_default().trim().to_owned();
        let runs = files.root.find("/usr/sbin/watchdog").is_some();
        if runs && tests.contains(&key.as_str()) {
            let text = format!(
                "watchdog restarts the device when its test `{}` fails, as may be while an update proves itself: {TAKEN_BACK}",
                line.trim()
            );
            note(judge, WATCHDOG, at, &text);
        }
    }
    let of_monit = ["/etc/monit/conf.d", "/etc/monit/conf-enabled"];
    let paths = of_monit.iter().flat_map(|dir| in_dir(dir));
    for path in paths.chain(["/etc/monit/monitrc".to_owned()]) {
        for (at, line) in judge.lines(files.root, &path) {
            let command = line.split_once("exec ").map(|(_, command)| command.trim());
            let command = command.filter(|_| !line.trim_start().starts_with('#'));
            for finding in files
                .commands(command.unwrap_or_default().trim_matches('"'), &path, at)
                .findings
            {
                let text = format!(
                    "`{}` {} when a test of monit fails: {TAKEN_BACK}",
                    finding.command, finding.act
                );
                note(judge, &path, at, &text);
            }
        }
    }
}

/// Restarts that start the kernel that runs once more, without the boot loader: the device would
/// never start another root filesystem.
fn kexec(files: &Files<'_>, judge: &mut Judge) {
    const WHY: &str = "restarts start the kernel that runs once more, without the boot loader, which would choose the other root filesystem: no update would ever start";
    let programs = ["/usr/sbin/kexec", "/sbin/kexec"];
    let settings = "/etc/default/kexec";
    let mut on = None;
    for (at, line) in judge.lines(files.root, settings) {
        if let Some(value) = line.trim().strip_prefix("LOAD_KEXEC=") {
            let value = value.split(['#', ';', ' ']).next().unwrap_or_default();
            on = (value.trim_matches(['"', '\'']) == "true").then_some(at);
        }
    }
    let installed = programs.iter().any(|path| files.root.find(path).is_some());
    if let Some(at) = on.filter(|_| installed) {
        let why = format!("LOAD_KEXEC=true: {WHY}");
        judge.problem(
            settings,
            at,
            &why,
            "set LOAD_KEXEC=false in the golden image",
        );
    }
    let target = "/etc/systemd/system/reboot.target";
    let real = super::real(files.root, target);
    if real.ends_with("/kexec.target") {
        let why = format!("it is {real}: {WHY}");
        judge.problem(target, 0, &why, "take the link out of the golden image");
    }
}
