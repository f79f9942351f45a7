//! What is found in the files of a golden image that acts by itself, and what is not.

use super::StartupNote;
use super::acts::{Act, act};
use super::command::Runs;
use super::follow::Files;
use super::script::commands;
use super::{Judge, known, machine_id, one_time, overlay_root, rc_local, repair};
use crate::edit::{Trees, Workspace};
use crate::plan::accepted::AcceptedFiles;
use crate::stamp::Time;
use crate::tree::{Stat, Tree};

/// What the script does, with lines.
fn acts(text: &str, arguments: &[&str]) -> Vec<(usize, Act, Runs)> {
    let arguments: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
    let found = commands(text, &arguments);
    found
        .iter()
        .filter_map(|command| Some((command.line, act(command)?, command.runs)))
        .collect()
}

fn first(text: &str) -> Option<(Act, Runs)> {
    acts(text, &["start"])
        .into_iter()
        .map(|(_, act, runs)| (act, runs))
        .next()
}

#[test]
fn commands_that_restart_are_found_wherever_they_are() {
    for text in [
        "reboot",
        "#!/bin/sh\nset -e\n/sbin/reboot -f\n",
        "sync; shutdown -r now",
        "sleep 5 && sudo reboot",
        "(sleep 10; reboot) &",
        "nohup sh -c 'sleep 3; systemctl reboot' >/dev/null 2>&1 &",
        "FORCE=1 exec systemctl --force reboot",
        "echo b > /proc/sysrq-trigger",
        "do_it() {\n  init 6\n}\ndo_it \"$@\"",
        "function again { telinit 6; }\nagain",
        "bash <<EOF\nreboot\nEOF\n",
        "x=$(reboot)",
        "trap 'reboot' EXIT\n",
        "timeout 5 reboot",
        "for i in 1 2; do reboot; done",
        "case \"$1\" in\n  start|restart)\n    reboot\n    ;;\nesac",
        "systemctl isolate reboot.target",
        "busybox reboot -f",
        "dbus-send --system --dest=org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager.Reboot boolean:false",
        "while ! mountpoint -q /x; do sleep 1; done; reboot",
        "[ -f /x ] || exit 0 \\\n  ; reboot",
        "again()\n{\n  reboot\n}\nagain",
        "function again\n{\n  reboot\n}\nagain",
        "sync &&\n  reboot",
        "echo reboot | at now",
        "echo /sbin/reboot | sudo at now + 5 minutes",
        "printf 'sync; reboot\\n' | sh",
        "at now + 1 min <<EOF\nreboot\nEOF\n",
        "systemd-run --on-boot=30 --unit x /sbin/reboot",
        "systemd-run -u x -p A=b --on-active=5min -- reboot",
        "start-stop-daemon --start --background --exec /sbin/reboot",
        "pkexec reboot",
        "openvt -c 2 -- reboot",
        "nsenter -t 1 -m reboot",
        "taskset 1 reboot",
    ] {
        assert_eq!(first(text), Some((Act::Restart, Runs::Always)), "{text}");
    }
}

#[test]
fn words_that_only_look_like_it_are_no_commands() {
    for text in [
        "# reboot",
        "echo 'please reboot'",
        "echo \"run reboot now\"",
        "cat > /etc/motd <<EOF\nreboot\nEOF\n",
        "again() { reboot; }\nstart() { true; }\nstart",
        "exit 0\nreboot",
        "case \"$1\" in\n  start) true ;;\n  reboot) reboot ;;\nesac",
        "case $1 in start) exit 0;; *) reboot;; esac\n",
        "systemctl enable reboot-helper.service",
        "shutdown -c",
        "shutdown -r 04:00",
        "reboot --help",
        "ssh host reboot",
        "rm -f /var/run/reboot-required",
        "logger \"reboot\"; printf '%s\\n' reboot",
        "sfdisk -d /dev/sda; fdisk -l; parted -s /dev/sda print; sgdisk -p /dev/sda",
        "mkswap /dev/zram0; mkfs.ext4 /dev/loop0; dd if=/dev/zero of=/swapfile",
        "/usr/lib/systemd/systemd-growfs /data",
    ] {
        let found = acts(text, &["start"]);
        assert!(found.is_empty(), "{text}: {found:?}");
    }
}

#[test]
fn conditions_and_watches_are_told_apart() {
    let cases = [
        ("if [ ! -e /done ]; then touch /done; reboot; fi", Runs::If),
        ("[ -e /done ] || reboot", Runs::If),
        ("[ -e /todo ] && reboot", Runs::If),
        ("again() { reboot; }\nif ask; then again; fi", Runs::If),
        ("case $answer in y) reboot;; esac", Runs::If),
        (
            "while true; do ping -c1 host || reboot; sleep 60; done",
            Runs::Later,
        ),
        ("while read -r key; do reboot; done", Runs::Later),
        ("(sleep 1d; reboot) &", Runs::Later),
        ("[ -e /done ] ||\n  reboot", Runs::If),
        ("echo reboot | at 04:00", Runs::Later),
        ("echo reboot | at now + 2 hours", Runs::Later),
        ("at midnight <<EOF\nreboot\nEOF\n", Runs::Later),
        ("systemd-run --on-calendar=daily reboot", Runs::Later),
        ("systemd-run --on-active=2h reboot", Runs::Later),
        ("sleep 3600\nreboot", Runs::Later),
    ];
    for (text, runs) in cases {
        assert_eq!(first(text), Some((Act::Restart, runs)), "{text}");
    }
}

#[test]
fn other_acts_are_found() {
    let cases = [
        ("parted -s /dev/mmcblk0 resizepart 2 100%", Act::Repartition),
        ("parted /dev/mmcblk0 \"resizepart 2 -1s\"", Act::Repartition),
        (
            "printf 'd\\n2\\nn\\n' | fdisk /dev/mmcblk0",
            Act::Repartition,
        ),
        ("echo ',+' | sfdisk -N 2 /dev/mmcblk0", Act::Repartition),
        ("sgdisk -e /dev/mmcblk0", Act::Repartition),
        ("growpart /dev/sda 1", Act::Repartition),
        ("raspi-config nonint do_expand_rootfs", Act::Repartition),
        ("mkfs.ext4 -F /dev/mmcblk0p3", Act::Repartition),
        ("dd if=u-boot.bin of=/dev/mmcblk0 seek=64", Act::Repartition),
        ("resize2fs /dev/root", Act::Resize),
        ("/usr/lib/systemd/systemd-growfs /", Act::Resize),
        ("flashcp u-boot.bin /dev/mtd0", Act::Firmware),
        ("rpi-eeprom-update -a", Act::Firmware),
        ("fwupdmgr update -y", Act::Firmware),
        (
            "sed -i 's/ init=.*//' /boot/firmware/cmdline.txt",
            Act::BootFiles,
        ),
        ("echo x >> /boot/config.txt", Act::BootFiles),
        ("fw_setenv upgrade_available 0", Act::BootFiles),
        ("mount -o remount,ro /boot/firmware", Act::ReadOnly),
    ];
    for (text, act) in cases {
        assert_eq!(first(text), Some((act, Runs::Always)), "{text}");
    }
}

#[test]
fn units_or_inittab_start_a_system_as_its_init_program_says() {
    let service = [
        (
            "/etc/systemd/system/grow.service",
            "[Service]\nExecStart=/sbin/reboot\n",
        ),
        (
            "/etc/systemd/system/basic.target.wants/grow.service",
            "->../grow.service",
        ),
        (
            "/etc/inittab",
            "si::sysinit:/etc/init.d/rcS\nx:2:once:/sbin/reboot\n",
        ),
    ];
    let inits: [(&[(&str, &str)], &str); 4] = [
        (&[], "grow.service"),
        (&[("/sbin/init", "->/lib/systemd/systemd")], "grow.service"),
        (&[("/usr/lib/systemd/systemd", "ELF")], "grow.service"),
        (&[("/sbin/init", "sysvinit")], "/etc/inittab:2"),
    ];
    for (init, name) in inits {
        let (_, _, problems) = repaired(&[&service, init].concat());
        assert!(
            problems.len() == 1 && problems[0].contains(name),
            "{init:?}: {problems:?}"
        );
    }
}

/// A tree with these files, which may be executed; a target after `->` makes a link.
pub(super) fn tree(files: &[(&str, &str)]) -> Tree {
    let mut tree = Tree::new(Stat::root(0o755, Time::default()));
    for (path, text) in files {
        match text.strip_prefix("->") {
            Some(target) => drop(tree.put_symlink(path, target, Time::default()).unwrap()),
            None => {
                let stat = Stat::root(0o755, Time::default());
                tree.put_file(path, (*text).to_owned(), stat).unwrap();
            }
        }
    }
    tree
}

/// The sentences of notes.
fn sentences(notes: Vec<StartupNote>) -> Vec<String> {
    notes.into_iter().map(|one| one.note).collect()
}

/// The root after everything that acts by itself was decided, with notes and problems.
pub(super) fn repaired(files: &[(&str, &str)]) -> (Tree, Vec<String>, Vec<String>) {
    let mut trees = Trees {
        root: tree(files),
        boot: tree(&[]),
        data: tree(&[]),
    };
    let accepted = AcceptedFiles::default();
    let mut work = Workspace::new(&mut trees, Time::default());
    let mut judge = Judge::new(&accepted, work.root.tree());
    super::restore_rc_local(&mut work, "/boot/efi", &mut judge).unwrap();
    let all = super::everything(&super::files(&work, "/boot/efi"));
    for entry in all {
        repair(&mut work, &entry, &mut judge).unwrap();
    }
    let problems = judge.problems.0.iter().map(|p| p.message.clone()).collect();
    let notes = sentences(judge.notes);
    drop(work);
    (trees.root, notes, problems)
}

const WANTS: &str = "/etc/systemd/system/multi-user.target.wants";

#[test]
fn a_script_of_pishrink_gives_way_to_the_one_it_replaced() {
    let pishrink = "#!/bin/bash\n## PiShrink https://github.com/Drewsif/PiShrink ##\ndo_expand() { fdisk /dev/mmcblk0; }\ndo_expand\nreboot\n";
    let stage_two =
        "#!/bin/sh\nresize2fs /dev/mmcblk0p2\ncp -f /etc/rc.local.bak /etc/rc.local\nexit 0\n";
    for script in [pishrink, stage_two] {
        let (root, notes, problems) = repaired(&[
            ("/etc/rc.local", script),
            ("/etc/rc.local.bak", "#!/bin/sh\nexit 0\n"),
        ]);
        let text = root.text("/etc/rc.local", 99).unwrap();
        assert_eq!(text.as_deref(), Some("#!/bin/sh\nexit 0\n"));
        assert!(root.find("/etc/rc.local.bak").is_none());
        assert!(
            notes[0].contains("restored from /etc/rc.local.bak"),
            "{notes:?}"
        );
        assert_eq!(problems, [""; 0]);
    }
    let (root, notes, _) = repaired(&[("/etc/rc.local", stage_two)]);
    assert!(root.find(rc_local::PATH).is_none() && notes.len() == 1);
    let (root, notes, _) = repaired(&[("/etc/rc.local", pishrink)]);
    assert!(root.find(rc_local::PATH).is_none());
    assert!(
        notes[0].starts_with("/etc/rc.local is removed"),
        "{notes:?}"
    );
    // The restored one is judged too.
    let (_, _, problems) = repaired(&[
        ("/etc/rc.local", pishrink),
        ("/etc/rc.local.bak", "#!/bin/sh\nreboot\n"),
    ]);
    assert!(
        problems[0].starts_with("/etc/rc.local:2: `reboot`"),
        "{problems:?}"
    );
}

#[test]
fn other_scripts_are_problems_with_file_and_line() {
    let (_, _, problems) = repaired(&[
        ("/etc/rc.local", "#!/bin/sh -e\n/opt/setup.sh &\nexit 0\n"),
        (
            "/opt/setup.sh",
            "#!/bin/sh\n[ -e /done ] && exit\ntouch /done\nreboot\n",
        ),
    ]);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(
        problems[0].starts_with("/opt/setup.sh:4: `reboot` restarts"),
        "{problems:?}"
    );
    assert!(
        problems[0].contains("/etc/rc.local runs it"),
        "{problems:?}"
    );
    // What cannot be executed does not run.
    let mut root = tree(&[("/etc/rc.local", "#!/bin/sh\nreboot\n")]);
    root.stat_mut(b"/etc/rc.local").unwrap().mode = 0o644;
    let boot = tree(&[]);
    let files = Files {
        root: &root,
        boot: &boot,
        boot_mount: "/boot/efi",
    };
    assert!(rc_local::found(&files).findings.is_empty());
}

#[test]
fn services_that_restart_are_problems_and_watchdogs_are_not() {
    let link = format!("{WANTS}/setup.service");
    let one = |unit: &str, script: &str| {
        repaired(&[
            ("/etc/systemd/system/setup.service", unit),
            (&link, "->../setup.service"),
            ("/usr/local/bin/setup", script),
        ])
    };
    let exec = "[Service]\nType=oneshot\nExecStart=/usr/local/bin/setup start\n";
    let restarts = [
        (exec, "#!/bin/sh\nreboot\n", "/usr/local/bin/setup:2:"),
        (
            exec,
            "#!/bin/bash\nif [ ! -e /x ]; then\nsystemctl disable setup\nreboot\nfi\n",
            "/usr/local/bin/setup:4:",
        ),
        (
            exec,
            "#!/usr/bin/env bash\nmain() {\n  reboot\n}\nmain\n",
            "/usr/local/bin/setup:3:",
        ),
        (
            "[Unit]\nConditionPathExists=!/etc/done\n[Service]\nExecStart=/bin/sh -c '[ -e /a ] || reboot'\n",
            "",
            "/etc/systemd/system/setup.service:4:",
        ),
        (
            "[Service]\nExecStart=-/bin/systemctl --no-block reboot\n",
            "",
            "/etc/systemd/system/setup.service:2:",
        ),
        (
            "[Unit]\nSuccessAction=reboot\n[Service]\nExecStart=/bin/true\n",
            "",
            "/etc/systemd/system/setup.service:2:",
        ),
        (
            "[Unit]\nOnSuccess=reboot.target\n[Service]\nExecStart=/bin/true\n",
            "",
            "/etc/systemd/system/setup.service:2:",
        ),
    ];
    for (unit, script, place) in restarts {
        let (_, _, problems) = one(unit, script);
        assert_eq!(problems.len(), 1, "{unit}: {problems:?}");
        assert!(problems[0].starts_with(place), "{problems:?}");
    }
    let harmless = [
        (exec, "#!/bin/sh\nwhile :; do ping -c1 h || reboot; done\n"),
        (
            exec,
            "#!/bin/sh\ncase $1 in start) true;; reboot) reboot;; esac\n",
        ),
        (
            exec,
            "#!/usr/bin/python3\ndef again():\n    os.system('reboot')\n",
        ),
        (
            exec,
            "#!/usr/bin/python3\nRUN = ['reboot']\n@app.route(\"/reboot\", run())\n",
        ),
        (
            exec,
            "#!/bin/sh\nREBOOT=/sbin/reboot\nexport X=/sbin/poweroff\n",
        ),
        (
            "[Unit]\nConditionPathExists=/etc/todo\n[Service]\nExecStart=/sbin/reboot\n",
            "",
        ),
        (
            "[Unit]\nFailureAction=reboot\n[Service]\nExecStart=/bin/true\n",
            "",
        ),
    ];
    for (unit, script) in harmless {
        let (_, _, problems) = one(unit, script);
        assert_eq!(problems, [""; 0], "{unit} {script}");
    }
}

#[test]
fn other_languages_count_where_the_name_is_that_of_a_first_start() {
    let exec = "[Service]\nType=oneshot\nExecStart=/usr/local/bin/setup start\n";
    let python = "#!/usr/bin/python3\nif done: subprocess.run(['systemctl', 'reboot'])\n";
    let (_, _, problems) = repaired(&[
        ("/etc/systemd/system/first-boot.service", exec),
        (
            &format!("{WANTS}/first-boot.service"),
            "->../first-boot.service",
        ),
        ("/usr/local/bin/setup", python),
    ]);
    assert!(
        problems[0].starts_with("/usr/local/bin/setup:2:"),
        "{problems:?}"
    );
    // A condition alone says less: a note.
    let condition = format!("[Unit]\nConditionPathExists=!/etc/off\n{exec}");
    let (_, notes, problems) = repaired(&[
        ("/etc/systemd/system/panel.service", &condition),
        (&format!("{WANTS}/panel.service"), "->../panel.service"),
        ("/usr/local/bin/setup", python),
    ]);
    assert_eq!((notes.len(), problems.len()), (1, 0), "{notes:?}");
}

#[test]
fn what_no_start_reaches_does_not_count() {
    let unit = "[Service]\nExecStart=/sbin/reboot\n";
    let timer = |text: &'static str| {
        repaired(&[
            ("/etc/systemd/system/again.service", unit),
            ("/etc/systemd/system/again.timer", text),
            (
                "/etc/systemd/system/timers.target.wants/again.timer",
                "->../again.timer",
            ),
        ])
        .2
    };
    assert_eq!(
        timer("[Timer]\nOnCalendar=*-*-* 04:00:00\nPersistent=true\n"),
        [""; 0]
    );
    assert_eq!(timer("[Timer]\nOnBootSec=1d\n"), [""; 0]);
    assert_eq!(timer("[Timer]\nOnBootSec=2min 30s\n").len(), 1);
    for group in ["reboot.target.wants", "system-update.target.wants"] {
        let link = format!("/etc/systemd/system/{group}/again.service");
        let (_, _, problems) = repaired(&[
            ("/etc/systemd/system/again.service", unit),
            (&link, "->../again.service"),
        ]);
        assert_eq!(problems, [""; 0], "{group}");
    }
    // Masked, or not enabled at all.
    let link = format!("{WANTS}/again.service");
    let (_, _, problems) = repaired(&[
        ("/usr/lib/systemd/system/again.service", unit),
        ("/etc/systemd/system/again.service", "->/dev/null"),
        (&link, "->/usr/lib/systemd/system/again.service"),
    ]);
    assert_eq!(problems, [""; 0]);
    // Another unit starts it.
    let (_, _, problems) = repaired(&[
        ("/usr/lib/systemd/system/again.service", unit),
        (
            "/usr/lib/systemd/system/other.service",
            "[Unit]\nWants=again.service\n[Service]\nExecStart=/bin/true\n",
        ),
        (
            &format!("{WANTS}/other.service"),
            "->/usr/lib/systemd/system/other.service",
        ),
    ]);
    assert_eq!(problems.len(), 1, "{problems:?}");
    // A drop-in takes the command away.
    let (_, _, problems) = repaired(&[
        ("/usr/lib/systemd/system/again.service", unit),
        (
            "/etc/systemd/system/again.service.d/no.conf",
            "[Service]\nExecStart=\nExecStart=/bin/true\n",
        ),
        (&link, "->/usr/lib/systemd/system/again.service"),
    ]);
    assert_eq!(problems, [""; 0]);
}

#[test]
fn services_of_known_tools_are_disabled_and_said() {
    let exec = "[Service]\nExecStart=/usr/sbin/reboot\n";
    for name in [
        "armbian-resize-filesystem",
        "sdm-firstboot",
        "rpi-eeprom-update",
        "grow_partition",
    ] {
        let unit = format!("/usr/lib/systemd/system/{name}.service");
        let link = format!("{WANTS}/{name}.service");
        let (root, notes, problems) = repaired(&[(&unit, exec), (&link, &format!("->{unit}"))]);
        assert_eq!(problems, [""; 0], "{name}");
        assert!(root.find_nofollow(&link).is_none(), "{name}");
        assert!(
            notes[0].starts_with(&format!("{name}.service is disabled: ")),
            "{notes:?}"
        );
    }
    // One that nobody knows, whose name and commands say what it is for.
    let (root, notes, problems) = repaired(&[
        (
            "/usr/lib/systemd/system/board-resize-rootfs.service",
            "[Service]\nExecStart=/usr/bin/grow\n",
        ),
        (
            "/usr/lib/systemd/system/multi-user.target.wants/board-resize-rootfs.service",
            "->../board-resize-rootfs.service",
        ),
        (
            "/usr/bin/grow",
            "#!/bin/sh\ngrowpart /dev/mmcblk0 2 && reboot\n",
        ),
    ]);
    assert_eq!(problems, [""; 0]);
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(!super::units::started(&root).is_empty());
    assert!(super::units::Unit::load(&root, "board-resize-rootfs.service").is_none());
    let (root, notes, _) = repaired(&[
        (
            "/etc/init.d/resize2fs_once",
            "#!/bin/sh\nresize2fs /dev/root\n",
        ),
        ("/etc/rc3.d/S01resize2fs_once", "->../init.d/resize2fs_once"),
    ]);
    assert!(
        notes[0].starts_with("resize2fs_once is disabled"),
        "{notes:?}"
    );
    assert!(root.find_nofollow("/etc/rc3.d/S01resize2fs_once").is_none());
}

#[test]
fn lines_of_crontabs_and_logins_count() {
    let cases: [&[(&str, &str)]; 5] = [
        &[("/etc/crontab", "SHELL=/bin/sh\n@reboot root reboot\n")],
        &[
            ("/etc/cron.d/x", "@reboot root /opt/x\n"),
            ("/opt/x", "#!/bin/sh\nreboot\n"),
        ],
        &[("/var/spool/cron/crontabs/pi", "@reboot sudo reboot\n")],
        &[
            (
                "/etc/init.d/setup",
                "#!/bin/sh\ncase $1 in start) reboot;; esac\n",
            ),
            ("/etc/rc2.d/S99setup", "->../init.d/setup"),
        ],
        &[
            ("/etc/passwd", "pi:x:1000:1000::/home/pi:/bin/bash\n"),
            (
                "/usr/lib/systemd/system/getty@.service",
                "[Service]\nExecStart=-/sbin/agetty --noclear %I\n",
            ),
            (
                "/etc/systemd/system/getty.target.wants/getty@tty1.service",
                "->/usr/lib/systemd/system/getty@.service",
            ),
            (
                "/etc/systemd/system/getty@tty1.service.d/autologin.conf",
                "[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin pi --noclear %I $TERM\n",
            ),
            ("/home/pi/.profile", "sudo reboot\n"),
        ],
    ];
    for files in cases {
        let (_, _, problems) = repaired(files);
        assert_eq!(problems.len(), 1, "{files:?}: {problems:?}");
    }
    let daily = "0 4 * * * root reboot\n@daily root reboot\n";
    assert_eq!(repaired(&[("/etc/crontab", daily)]).2, [""; 0]);
}

#[test]
fn an_overlay_root_covers_the_root_alone() {
    let narrowed = |value| overlay_root::narrowed(value);
    for value in ["", "disabled", "tmpfs:recurse=0", "tmpfs:swap=1,recurse=0"] {
        assert_eq!(narrowed(value), Ok(None), "{value}");
    }
    assert_eq!(narrowed("tmpfs"), Ok(Some("tmpfs:recurse=0".into())));
    assert_eq!(
        narrowed("tmpfs:swap=1,recurse=1"),
        Ok(Some("tmpfs:swap=1,recurse=0".into()))
    );
    assert!(narrowed("/dev/sdb1").is_err() && narrowed("crypt:dev=vdb").is_err());
    let text = "# overlayroot=tmpfs\noverlayroot=\"tmpfs\"\nGRUB=\"quiet overlayroot=tmpfs:debug=1 ro\"\nmyoverlayroot=tmpfs\noverlayroot=/dev/sdb\n";
    let (new, lines, problems) = overlay_root::replace(text);
    assert_eq!(
        new,
        "# overlayroot=tmpfs\noverlayroot=\"tmpfs:recurse=0\"\nGRUB=\"quiet overlayroot=tmpfs:debug=1,recurse=0 ro\"\nmyoverlayroot=tmpfs\noverlayroot=/dev/sdb\n"
    );
    assert_eq!((lines, problems[0].0), (vec![2, 3], 5));
}

/// What `later` says about these files: notes and problems.
fn later(files: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
    let accepted = AcceptedFiles::default();
    let (root, boot) = (tree(files), tree(&[]));
    let mut judge = Judge::new(&accepted, &root);
    let files = Files {
        root: &root,
        boot: &boot,
        boot_mount: "/boot/efi",
    };
    super::later::judge(&files, true, &mut judge);
    let problems = judge.problems.0.iter().map(|p| p.message.clone());
    (sentences(judge.notes), problems.collect())
}

#[test]
fn what_changes_or_restarts_a_system_later_is_named() {
    let timer = "[Timer]\nOnCalendar=daily\n";
    let service = "[Service]\nExecStart=/opt/nightly\n";
    let cases: [(&str, &[(&str, &str)]); 8] = [
        (
            "/etc/crontab:2: `/sbin/reboot` restarts the device or switches it off by the clock",
            &[(
                "/etc/crontab",
                "A=b c\n0 4 * * * root /sbin/reboot\n@reboot root reboot\n",
            )],
        ),
        (
            "/var/spool/cron/crontabs/root:1: `reboot`",
            &[("/var/spool/cron/crontabs/root", "@daily reboot\n")],
        ),
        (
            "/etc/cron.weekly/again:2: `shutdown -r now`",
            &[("/etc/cron.weekly/again", "#!/bin/sh\nshutdown -r now\n")],
        ),
        (
            "/opt/nightly:2: `systemctl reboot` restarts the device or switches it off by the clock (nightly.timer runs it)",
            &[
                ("/opt/nightly", "#!/bin/sh\nsystemctl reboot\n"),
                ("/etc/systemd/system/nightly.timer", timer),
                ("/etc/systemd/system/nightly.service", service),
                (
                    "/etc/systemd/system/timers.target.wants/nightly.timer",
                    "->../nightly.timer",
                ),
            ],
        ),
        (
            "snapd.service: snapd refreshes its snaps by itself",
            &[
                ("/usr/lib/systemd/system/snapd.socket", "[Socket]\n"),
                (
                    "/etc/systemd/system/sockets.target.wants/snapd.socket",
                    "->/usr/lib/systemd/system/snapd.socket",
                ),
            ],
        ),
        (
            "swupdate.service: SWUpdate is a second update client",
            &[
                ("/usr/lib/systemd/system/swupdate.service", "[Service]\n"),
                (
                    "/etc/systemd/system/multi-user.target.wants/swupdate.service",
                    "->/usr/lib/systemd/system/swupdate.service",
                ),
            ],
        ),
        (
            "/etc/cron-apt/action.d/3-all:1: cron-apt upgrades packages by itself",
            &[(
                "/etc/cron-apt/action.d/3-all",
                "dist-upgrade -y -o quiet=1\ndist-upgrade -d -y\n",
            )],
        ),
        (
            "/boot/dietpi.txt:1: DietPi upgrades packages by itself",
            &[("/boot/dietpi.txt", "CONFIG_CHECK_APT_UPDATES=2\n")],
        ),
    ];
    for (start, files) in cases {
        let (notes, problems) = later(files);
        assert_eq!(problems, [""; 0]);
        assert!(
            notes.len() == 1 && notes[0].starts_with(start),
            "{start}: {notes:?}"
        );
    }
}

#[test]
fn what_restarts_a_system_when_something_happens_is_named() {
    let cases: [(&str, &[(&str, &str)]); 4] = [
        (
            "/etc/apt/apt.conf.d/9:1: `reboot` restarts the device or switches it off whenever packages",
            &[(
                "/etc/apt/apt.conf.d/9",
                "DPkg::Post-Invoke { \"reboot\"; };\n",
            )],
        ),
        (
            "/etc/systemd/logind.conf.d/a.conf:2: IdleAction=poweroff",
            &[
                ("/usr/lib/systemd/systemd", "x"),
                (
                    "/etc/systemd/logind.conf.d/a.conf",
                    "[Login]\nIdleAction=poweroff\n",
                ),
            ],
        ),
        (
            "/etc/watchdog.conf:2: watchdog restarts the device when its test `ping = 10.0.0.1`",
            &[
                ("/usr/sbin/watchdog", "x"),
                ("/etc/watchdog.conf", "#ping = x\nping = 10.0.0.1\n"),
            ],
        ),
        (
            "/etc/monit/conf.d/a:1: `/sbin/reboot` restarts the device or switches it off when a test",
            &[(
                "/etc/monit/conf.d/a",
                "if failed ping then exec \"/sbin/reboot\"\n",
            )],
        ),
    ];
    for (start, files) in cases {
        let (notes, problems) = later(files);
        assert_eq!(problems, [""; 0]);
        assert!(
            notes.len() == 1 && notes[0].starts_with(start),
            "{start}: {notes:?}"
        );
    }
}

#[test]
fn upgrades_that_are_not_attended_are_named_with_their_restarts() {
    let program = ("/usr/bin/unattended-upgrade", "#!/usr/bin/python3\n");
    let on = (
        "/etc/apt/apt.conf.d/20auto-upgrades",
        "APT::Periodic::Update-Package-Lists \"1\";\nAPT::Periodic::Unattended-Upgrade \"1\";\n",
    );
    let reboot = (
        "/etc/apt/apt.conf.d/52own",
        "Unattended-Upgrade { Automatic-Reboot \"true\"; Automatic-Reboot-Time \"02:00\"; };\n",
    );
    let (notes, _) = later(&[program, on, reboot]);
    assert!(
        notes[0].starts_with("/etc/apt/apt.conf.d/20auto-upgrades:2: unattended-upgrades changes")
    );
    assert!(notes[1].starts_with("/etc/apt/apt.conf.d/52own:1: unattended-upgrades restarts the device by itself at 02:00"), "{notes:?}");
    assert_eq!(later(&[program, on]).0.len(), 1);
    let off = ("/etc/apt/apt.conf", "APT::Periodic::Enable \"0\";\n");
    let masked = ("/etc/systemd/system/apt-daily-upgrade.timer", "->/dev/null");
    for files in [
        &[on, reboot][..],
        &[program, reboot],
        &[program, on, reboot, off],
        &[program, on, reboot, masked],
    ] {
        assert_eq!(later(files).0, [""; 0], "{files:?}");
    }
}

#[test]
fn restarts_without_the_boot_loader_are_problems() {
    let kexec = ("/usr/sbin/kexec", "ELF");
    let (_, problems) = later(&[kexec, ("/etc/default/kexec", "# x\nLOAD_KEXEC=true\n")]);
    assert!(
        problems[0].starts_with("/etc/default/kexec:2: LOAD_KEXEC=true: restarts start the kernel"),
        "{problems:?}"
    );
    let link = (
        "/etc/systemd/system/reboot.target",
        "->/usr/lib/systemd/system/kexec.target",
    );
    let (_, problems) = later(&[link, ("/usr/lib/systemd/system/kexec.target", "[Unit]\n")]);
    assert!(
        problems[0].starts_with("/etc/systemd/system/reboot.target: it is"),
        "{problems:?}"
    );
    let off = ("/etc/default/kexec", "LOAD_KEXEC=true\nLOAD_KEXEC=false\n");
    let on = ("/etc/default/kexec", "LOAD_KEXEC=true\n");
    for files in [&[kexec, off][..], &[on]] {
        assert_eq!(later(files).1, [""; 0], "{files:?}");
    }
}

#[test]
fn the_state_of_cloud_init_tells_what_a_first_start_is() {
    let accepted = AcceptedFiles::default();
    let said = |files: &[(&str, &str)], moved: &[&str]| {
        let mut root = tree(&[&[("/etc/cloud/cloud.cfg", "")], files].concat());
        let mut judge = Judge::new(&accepted, &root.clone());
        let mut editor = crate::tree::editor::TreeEditor::new(&mut root, Time::default());
        super::cloud_init::repair(&mut editor, &tree(&[]), "/boot", moved, &mut judge).unwrap();
        judge.notes.pop().unwrap().note
    };
    let own = "cloud-init: its state in /var/lib/cloud belongs to a root filesystem";
    let shared = "cloud-init: its state in /var/lib/cloud is on the data partition";
    assert!(said(&[], &["/srv"]).starts_with(own));
    let unit = "[Mount]\nWhat=/data/cloud\nWhere=/var/lib/cloud\nOptions=bind\n";
    let cases: [&[(&str, &str)]; 4] = [
        &[
            ("/var/lib/cloud", "->/data/cloud"),
            ("/data/cloud/instances/1/x", ""),
        ],
        &[("/var/lib/cloud", "->/data/cloud"), ("/data/cloud/x", "")],
        &[("/etc/fstab", "/data/cloud /var/lib/cloud none bind 0 0\n")],
        &[
            ("/etc/systemd/system/var-lib-cloud.mount", unit),
            (
                "/etc/systemd/system/local-fs.target.wants/var-lib-cloud.mount",
                "->../var-lib-cloud.mount",
            ),
        ],
    ];
    for files in cases {
        let note = said(files, &[]);
        assert!(note.starts_with(shared), "{files:?}: {note}");
    }
    assert!(said(&[], &["/var"]).starts_with(shared));
    let used = said(&[("/var/lib/cloud/instances/iid/sem/x", "")], &[]);
    assert!(
        used.contains("is that of the device that the golden image was made on"),
        "{used}"
    );
}

#[test]
fn overlays_of_the_initial_ram_disk_that_no_argument_turns_on_are_problems() {
    let accepted = AcceptedFiles::default();
    let problems = |files: &[(&str, &str)]| {
        let root = tree(files);
        let mut judge = Judge::new(&accepted, &root);
        overlay_root::others(&root, &mut judge);
        let messages = judge.problems.0.iter().map(|p| p.message.clone());
        messages.collect::<Vec<_>>()
    };
    let script =
        "#!/bin/sh\n# mount -t overlay\nmount -t overlay -o lowerdir=/a,upperdir=/b x ${rootmnt}\n";
    let path = "/etc/initramfs-tools/scripts/init-bottom/root-ro";
    let found = problems(&[(path, script)]);
    assert!(
        found.len() == 1 && found[0].starts_with(&format!("{path}:3: it puts an overlay")),
        "{found:?}"
    );
    let known = "/usr/share/initramfs-tools/scripts/init-bottom/overlayroot";
    assert_eq!(
        problems(&[
            (known, script),
            (path, "#!/bin/sh\nmount -t tmpfs x /run\n")
        ]),
        [""; 0]
    );
    let setting = (
        "/etc/initramfs-tools/conf.d/overlayroot",
        "overlayroot=tmpfs\n",
    );
    assert_eq!(problems(&[setting]).len(), 1);
    assert_eq!(
        problems(&[setting, ("/etc/overlayroot.conf", "overlayroot=\"\"\n")]),
        [""; 0]
    );
    let root = tree(&[
        ("/etc/initramfs-tools/scripts/cover", script),
        ("/etc/initramfs-tools/scripts/overlay", script),
    ]);
    assert!(overlay_root::boot_script(&root, "cover").is_some());
    assert_eq!(overlay_root::boot_script(&root, "overlay"), None);
    assert_eq!(overlay_root::boot_script(&root, "local"), None);
}

#[test]
fn mounts_in_memory_over_the_clients_state_are_problems() {
    let accepted = AcceptedFiles::default();
    let problems = |line: &str| {
        let root = tree(&[("/etc/fstab", line)]);
        let mut judge = Judge::new(&accepted, &root);
        overlay_root::in_memory(&root, "/boot/efi", &mut judge);
        judge.problems.0.len()
    };
    for line in [
        "tmpfs /var tmpfs defaults 0 0",
        "tmpfs /var/lib/ tmpfs x 0 0",
        "tmpfs /data tmpfs x 0 0",
        "overlay /data/mender overlay lowerdir=/a 0 0",
        "ramfs /boot/efi ramfs x",
    ] {
        assert_eq!(problems(line), 1, "{line}");
    }
    for line in [
        "tmpfs /tmp tmpfs x 0 0",
        "tmpfs /var/log tmpfs x 0 0",
        "overlay /etc overlay lowerdir=/etc 0 0",
        "#tmpfs /data tmpfs x 0 0",
        "overlay /var/lib overlay lowerdir=/var/lib 0 0",
    ] {
        assert_eq!(problems(line), 0, "{line}");
    }
}

#[test]
fn a_machine_id_that_would_make_a_first_boot_becomes_an_empty_file() {
    let wizard = "[Unit]\nConditionFirstBoot=yes\n[Service]\nExecStart=/usr/bin/wizard\n";
    let repaired = |files: &[(&str, &str)]| {
        let mut root = tree(files);
        let mut editor = crate::tree::editor::TreeEditor::new(&mut root, Time::default());
        let notes = machine_id::repair(&mut editor).unwrap();
        let id = root.text("/etc/machine-id", 99).unwrap();
        (id, notes)
    };
    for files in [
        &[][..],
        &[("/etc/machine-id", "uninitialized\n")],
        &[
            ("/etc/machine-id", "->/var/lib/dbus/machine-id"),
            ("/var/lib/dbus/machine-id", "->/etc/machine-id"),
        ],
    ] {
        let (id, notes) = repaired(files);
        assert_eq!(id.as_deref(), Some(""), "{files:?}");
        assert!(notes[0].note.starts_with("/etc/machine-id "), "{notes:?}");
    }
    let id = "0123456789abcdef0123456789abcdef\n";
    assert_eq!(
        repaired(&[("/etc/machine-id", id)]),
        (Some(id.into()), vec![])
    );
    assert_eq!(
        repaired(&[("/etc/machine-id", "")]),
        (Some(String::new()), vec![])
    );
    // An id of dbus would become that of every device.
    let (_, notes) = repaired(&[("/etc/machine-id", ""), ("/var/lib/dbus/machine-id", id)]);
    assert!(
        notes[0]
            .note
            .starts_with("/var/lib/dbus/machine-id is a link"),
        "{notes:?}"
    );
    let (_, notes) = repaired(&[
        ("/etc/machine-id", ""),
        ("/etc/systemd/system/wizard.service", wizard),
        (
            "/etc/systemd/system/sysinit.target.wants/wizard.service",
            "->../wizard.service",
        ),
        ("/usr/lib/systemd/system/sshd-keygen.service", wizard),
        (
            "/etc/systemd/system/ssh.service.requires/sshd-keygen.service",
            "->/usr/lib/systemd/system/sshd-keygen.service",
        ),
    ]);
    assert!(
        notes[0]
            .note
            .starts_with("sshd-keygen.service runs whenever"),
        "{notes:?}"
    );
    assert!(
        notes[1]
            .note
            .contains("wizard.service (/etc/systemd/system/wizard.service)"),
        "{notes:?}"
    );
}

#[test]
fn one_time_files_are_named() {
    let boot = tree(&[("/SSH", ""), ("/firstrun.sh", ""), ("/user-data", "")]);
    let root = tree(&[("/etc/cloud/cloud.cfg", "")]);
    let notes = one_time::notes(&root, &boot, "/boot/firmware", true);
    assert_eq!(notes.len(), 3, "{notes:?}");
    assert!(
        notes[0]
            .note
            .starts_with("/boot/firmware/firstrun.sh: it never runs")
    );
    assert!(notes[1].note.starts_with("/boot/firmware/ssh: "));
    let notes = one_time::notes(&tree(&[]), &boot, "/boot/efi", false);
    assert_eq!(notes.len(), 1, "{notes:?}");
}

#[test]
fn names_tell_what_resizes() {
    for name in [
        "resize2fs_once.service",
        "board-expand-rootfs.service",
        "grow-partition",
        "nvresizefs.service",
    ] {
        assert!(known::names_resizing(name), "{name}");
    }
    for name in [
        "growlight.service",
        "irqbalance.service",
        "expand-environment.service",
    ] {
        assert!(!known::names_resizing(name), "{name}");
    }
}

#[test]
fn files_that_the_message_quotes_are_named_as_they_are() {
    let (_, _, problems) =
        repaired(&[("/etc/rc.local", "#!/bin/sh\necho b >/proc/sysrq-trigger\n")]);
    let start = "/etc/rc.local:2: `echo b > /proc/sysrq-trigger` restarts";
    assert!(problems[0].starts_with(start), "{problems:?}");
    assert!(
        problems[0].ends_with("(each start runs it)"),
        "{problems:?}"
    );
}

#[test]
fn what_updates_need_is_there() {
    let conf = (
        "/etc/tmpfiles.d/a.conf",
        "d /data 0755 root root -\nR /data/mender\n",
    );
    let sysctl = (
        "/etc/sysctl.d/9.conf",
        "kernel.panic = 10\nkernel.panic=0\n",
    );
    let updated = "mender-updated.service";
    let installed = (
        "/usr/lib/systemd/system/mender-updated.service",
        "[Service]\nExecStart=/x\n",
    );
    let masked = ("/etc/systemd/system/mender-updated.service", "->/dev/null");
    let link = format!("{WANTS}/{updated}");
    let enabled = (
        link.as_str(),
        "->/usr/lib/systemd/system/mender-updated.service",
    );
    let of = |files: &[(&str, &str)], managed| {
        let root = tree(files);
        let accepted = AcceptedFiles::default();
        let mut judge = Judge::new(&accepted, &root);
        super::needs::state(&root, &mut judge);
        let mut warnings = super::needs::client(&root, managed, &mut judge);
        warnings.extend(super::needs::panic(&root, &mut judge));
        let problems = judge.problems.0.into_iter();
        (
            problems.map(|one| one.message).collect::<Vec<_>>(),
            warnings,
        )
    };
    let (problems, _) = of(&[conf], true);
    assert!(
        problems[0].starts_with("/etc/tmpfiles.d/a.conf:2: each start removes"),
        "{problems:?}"
    );
    let (_, warnings) = of(&[sysctl], true);
    assert!(
        warnings[0]
            .note
            .starts_with("/etc/sysctl.d/9.conf:2: kernel.panic = 0"),
        "{warnings:?}"
    );
    let (_, warnings) = of(&[installed], true);
    assert!(
        warnings[0]
            .note
            .starts_with("/usr/lib/systemd/system/mender-updated.service: nothing starts"),
        "{warnings:?}"
    );
    let (problems, _) = of(&[installed, masked], true);
    assert!(
        problems[0].contains("the update client is masked"),
        "{problems:?}"
    );
    for (files, managed) in [
        (&[installed, enabled][..], true),
        (&[installed, masked], false),
        (
            &[("/etc/sysctl.conf", "kernel.panic=0\nkernel.panic=9\n")],
            true,
        ),
        (&[("/etc/tmpfiles.d/a.conf", "D /tmp\nd /data\n")], true),
    ] {
        assert_eq!(of(files, managed), (Vec::new(), Vec::new()), "{files:?}");
    }
}
