//! How far what runs at a start is followed: into scripts by every way of calling them, and from
//! everything that a start sets off.

use super::tests::repaired;

const WANTS: &str = "/etc/systemd/system/multi-user.target.wants";
const REBOOT: &str = "#!/bin/sh\nreboot\n";

/// The problems and notes of a service that runs `/opt/run`, with these files.
fn of_service(unit: &str, files: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
    let link = format!("{WANTS}/site.service");
    let service = [
        ("/etc/systemd/system/site.service", unit),
        (link.as_str(), "->../site.service"),
    ];
    let (_, notes, problems) = repaired(&[&service, files].concat());
    (problems, notes)
}

const RUN: &str = "[Service]\nExecStart=/opt/run\n";

#[test]
fn scripts_are_followed_however_they_are_called() {
    let cases: [(&str, &str); 15] = [
        ("cd \"$(dirname \"$0\")\"\nbash step.sh", "/opt/step.sh:2:"),
        ("cd /opt && ./step.sh", "/opt/step.sh:2:"),
        ("\"$(dirname \"$0\")/step.sh\"", "/opt/step.sh:2:"),
        ("${0%/*}/step.sh", "/opt/step.sh:2:"),
        (
            "D=$(cd \"$(dirname \"${BASH_SOURCE[0]}\")\" && pwd)\n\"$D/step.sh\"",
            "/opt/step.sh:2:",
        ),
        ("D=/opt; sh ${D}/step.sh", "/opt/step.sh:2:"),
        ("D=/opt S=\"$D/step.sh\"\nexec $S", "/opt/step.sh:2:"),
        ("${X:-/opt}/step.sh", "/opt/step.sh:2:"),
        ("C=\"systemctl reboot\"\n$C", "/opt/run:3:"),
        ("R=/sbin/reboot\nsync\n$R -f", "/opt/run:4:"),
        ("run-parts /opt/parts", "/opt/parts/10-a:2:"),
        (
            "for f in /opt/parts/*; do sh \"$f\"; done",
            "/opt/parts/10-a:2:",
        ),
        (". ./lib.sh\nfinish", "/opt/lib.sh:2:"),
        ("python3 -u /opt/step.py", "/opt/step.py:2:"),
        ("/opt/1", "/opt/step.sh:2:"),
    ];
    for (body, place) in cases {
        let script = format!("#!/bin/bash\n{body}\n");
        let (problems, notes) = of_service(
            RUN,
            &[
                ("/opt/run", &script),
                ("/opt/step.sh", REBOOT),
                ("/opt/step.py", "import os\nos.system('reboot')\n"),
                ("/opt/lib.sh", "finish() {\n  systemctl reboot\n}\n"),
                ("/opt/parts/10-a", REBOOT),
                ("/opt/1", "#!/bin/sh\n/opt/2"),
                ("/opt/2", "#!/bin/sh\n/opt/3"),
                ("/opt/3", "#!/bin/sh\n/opt/4"),
                ("/opt/4", "#!/bin/sh\n/opt/5"),
                ("/opt/5", "#!/bin/sh\n/opt/step.sh"),
            ],
        );
        assert_eq!(problems.len(), 1, "{body}: {problems:?} {notes:?}");
        assert!(problems[0].starts_with(place), "{body}: {problems:?}");
    }
}

#[test]
fn settings_of_units_are_expanded() {
    for unit in [
        "[Service]\nEnvironment=\"A=b\" STEP=/opt/step.sh\nExecStart=/bin/sh ${STEP}\n",
        "[Service]\nEnvironmentFile=-/etc/default/site\nExecStart=/bin/sh $STEP\n",
        "[Service]\nWorkingDirectory=/opt\nExecStart=/bin/bash step.sh\n",
        "[Service]\nExecStart=/opt/%p/%N.sh\n",
        "[Service]\nType=oneshot\nExecStart=/bin/true\nExecStopPost=-/opt/step.sh\n",
    ] {
        let (problems, _) = of_service(
            unit,
            &[
                ("/opt/step.sh", REBOOT),
                ("/opt/site/site.sh", REBOOT),
                ("/etc/default/site", "# x\nSTEP=/opt/step.sh\n"),
            ],
        );
        assert_eq!(problems.len(), 1, "{unit}: {problems:?}");
    }
    let (problems, _) = of_service(
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\nExecStop=/sbin/reboot\n",
        &[],
    );
    assert_eq!(problems, [""; 0]);
    let instance = format!("{WANTS}/setup@disk.service");
    let (_, _, problems) = repaired(&[
        (
            "/etc/systemd/system/setup@.service",
            "[Service]\nExecStart=/opt/%i-%I.sh\n",
        ),
        (&instance, "->../setup@.service"),
        ("/opt/disk-disk.sh", REBOOT),
    ]);
    assert_eq!(problems.len(), 1, "{problems:?}");
}

#[test]
fn what_notes_that_it_ran_runs_once_in_each_slot() {
    let script =
        "#!/bin/sh\nF=/etc/configured\nif [ ! -f \"$F\" ]; then\n  touch $F\n  reboot\nfi\n";
    let (problems, _) = of_service(RUN, &[("/opt/run", script)]);
    assert_eq!(problems.len(), 1, "{problems:?}");
    // It ran already.
    let (problems, notes) = of_service(RUN, &[("/opt/run", script), ("/etc/configured", "")]);
    assert_eq!((problems.len(), notes.len()), (0, 1), "{problems:?}");
}

#[test]
fn a_program_that_cannot_be_read_is_named_where_it_runs_once() {
    let once = "[Unit]\nConditionPathExists=!/etc/x\n[Service]\nExecStart=/opt/run\n";
    let (problems, notes) = of_service(once, &[("/opt/run", "\u{7f}ELF\0")]);
    assert_eq!((problems.len(), notes.len()), (0, 1), "{notes:?}");
    assert!(notes[0].starts_with("/opt/run: site.service runs it once"));
    let (_, notes) = of_service(RUN, &[("/opt/run", "\u{7f}ELF\0")]);
    assert_eq!(notes, [""; 0]);
}

#[test]
fn everything_that_a_start_sets_off_is_followed() {
    let timer = format!("{WANTS}/x.timer");
    let path = format!("{WANTS}/x.path");
    let x = (
        "/etc/systemd/system/x.service",
        "[Service]\nExecStart=/opt/act\n",
    );
    let events: [&[(&str, &str)]; 14] = [
        &[("/etc/network/if-up.d/x", REBOOT)],
        &[(
            "/etc/network/interfaces",
            "iface eth0 inet dhcp\n\tpost-up /opt/act\n",
        )],
        &[(
            "/etc/NetworkManager/dispatcher.d/9-x",
            "#!/bin/sh\ncase $2 in up) reboot;; esac\n",
        )],
        &[("/etc/networkd-dispatcher/routable.d/x", REBOOT)],
        &[("/etc/dhcp/dhclient-exit-hooks.d/x", "reboot\n")],
        &[("/etc/systemd/system-generators/x", REBOOT)],
        &[("/etc/initramfs-tools/scripts/local-premount/x", REBOOT)],
        &[
            ("/etc/cloud/cloud.cfg", ""),
            ("/var/lib/cloud/scripts/per-boot/x", REBOOT),
        ],
        &[("/etc/runit/2", "#!/bin/sh\n/opt/act\n")],
        &[("/etc/cron.d/x", "*/5 * * * * root /opt/act\n")],
        &[
            x,
            (&timer, "->../x.timer"),
            ("/etc/systemd/system/x.timer", "[Timer]\nOnCalendar=*:0/5\n"),
        ],
        &[
            x,
            (&timer, "->../x.timer"),
            (
                "/etc/systemd/system/x.timer",
                "[Timer]\nOnCalendar=daily\nPersistent=true\n",
            ),
            ("/var/lib/systemd/timers/stamp-x.timer", ""),
        ],
        &[
            x,
            (&path, "->../x.path"),
            (
                "/etc/systemd/system/x.path",
                "[Path]\nPathExistsGlob=/etc/todo/*\n",
            ),
            ("/etc/todo/1", ""),
        ],
        &[("/sbin/init", "sysvinit"), ("/etc/rcS.d/S10x", REBOOT)],
    ];
    for files in events {
        let act = [("/opt/act", REBOOT)];
        let (_, _, problems) = repaired(&[&act, files].concat());
        assert_eq!(problems.len(), 1, "{files:?}: {problems:?}");
    }
}

#[test]
fn what_no_start_sets_off_is_not_followed() {
    let timer = format!("{WANTS}/x.timer");
    let x = (
        "/etc/systemd/system/x.service",
        "[Service]\nExecStart=/opt/act\n",
    );
    let quiet: [&[(&str, &str)]; 5] = [
        &[("/etc/cron.d/x", "0 4 * * * root /opt/act\n")],
        &[
            x,
            (&timer, "->../x.timer"),
            (
                "/etc/systemd/system/x.timer",
                "[Timer]\nOnCalendar=daily\nPersistent=true\n",
            ),
        ],
        &[("/var/lib/cloud/scripts/per-boot/x", REBOOT)],
        &[
            ("/usr/lib/systemd/systemd", "ELF"),
            ("/etc/rcS.d/S10x", REBOOT),
        ],
        &[(
            "/etc/udev/rules.d/9.rules",
            "ACTION==\"remove\", RUN+=\"/opt/act\"\n",
        )],
    ];
    for files in quiet {
        let act = [("/opt/act", REBOOT)];
        let (_, notes, problems) = repaired(&[&act, files].concat());
        assert_eq!(
            (notes.len(), problems.len()),
            (0, 0),
            "{files:?}: {problems:?}"
        );
    }
}

#[test]
fn what_a_device_sets_off_is_a_note() {
    let rule = "ACTION==\"add\", SUBSYSTEM==\"net\", KERNEL==\"usb*\", \\\n  RUN+=\"/opt/act\"\n";
    let (_, notes, problems) =
        repaired(&[("/opt/act", REBOOT), ("/etc/udev/rules.d/9.rules", rule)]);
    assert_eq!((notes.len(), problems.len()), (1, 0), "{notes:?}");
    assert!(notes[0].starts_with("/opt/act:2: `reboot`"), "{notes:?}");
}

const AUTOLOGIN: [(&str, &str); 3] = [
    (
        "/etc/systemd/system/getty.target.wants/getty@tty1.service",
        "->/usr/lib/systemd/system/getty@.service",
    ),
    (
        "/usr/lib/systemd/system/getty@.service",
        "[Service]\nExecStart=-/sbin/agetty --autologin=pi %I\n",
    ),
    (
        "/etc/passwd",
        "root:x:0:0::/root:/bin/bash\npi:x:1000:1000::/home/pi:/opt/shell\n",
    ),
];

/// The problems, or the notes, of these files.
fn of_files(files: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
    let (_, notes, problems) = repaired(files);
    (problems, notes)
}

#[test]
fn sessions_that_nobody_is_asked_for_are_the_owners() {
    for (path, text, place) in [
        (
            "/etc/profile.d/a.sh",
            "[ -e ~/x ] || reboot\n",
            "/etc/profile.d/a.sh:1:",
        ),
        (
            "/home/pi/.profile",
            "if [ ! -e /data/x ]; then\n  sudo reboot\nfi\n",
            "/home/pi/.profile:2:",
        ),
        (
            "/home/pi/.config/openbox/autostart",
            "reboot\n",
            "/home/pi/.config/openbox/autostart:1:",
        ),
        ("/opt/shell", "#!/bin/sh\nreboot\n", "/opt/shell:2:"),
        ("/etc/bash.bashrc", "reboot\n", "/etc/bash.bashrc:1:"),
    ] {
        let (problems, _) = of_files(&[&AUTOLOGIN[..], &[(path, text)]].concat());
        assert!(
            problems.len() == 1 && problems[0].starts_with(place),
            "{path}: {problems:?}"
        );
        let (problems, notes) = of_files(&[(path, text)]);
        assert!(
            problems.is_empty() && notes.is_empty(),
            "{path}: {problems:?} {notes:?}"
        );
    }
    // A person is asked.
    let menu = "read -r key\nif [ \"$key\" = r ]; then reboot; fi\n";
    let (problems, notes) = of_files(&[&AUTOLOGIN[..], &[("/home/pi/.profile", menu)]].concat());
    assert!(problems.is_empty(), "{problems:?}");
    assert!(
        notes[0].starts_with("/home/pi/.profile:2: `reboot` "),
        "{notes:?}"
    );
}

#[test]
fn rules_that_format_or_mount_what_they_are_given() {
    let rules = "/etc/udev/rules.d/9-own.rules";
    let format = ("/opt/format", "#!/bin/sh\nmkfs.ext4 -F \"/dev/$1\"\n");
    let mount = ("/opt/attach", "#!/bin/sh\nmount \"/dev/$1\" /media/x\n");
    let rule = |matches: &str, program: &str| format!("# x\n{matches}, RUN+=\"{program} %k\"\n");
    for matches in [
        "ENV{ID_PART_ENTRY_NUMBER}==\"3\"",
        "SUBSYSTEM==\"block\", ENV{ID_FS_TYPE}==\"\"",
        "ACTION==\"add\", KERNEL==\"mmcblk?p[0-9]\"",
    ] {
        let (problems, _) = of_files(&[(rules, &rule(matches, "/opt/format")), format]);
        assert!(
            problems.len() == 1 && problems[0].starts_with("/opt/format:2: `mkfs.ext4 "),
            "{matches}: {problems:?}"
        );
        let (problems, notes) = of_files(&[(rules, &rule(matches, "/opt/attach")), mount]);
        assert!(problems.is_empty(), "{problems:?}");
        assert!(
            notes[0].starts_with("/opt/attach:2: `mount /dev/$1 /media/x` mounts the device"),
            "{notes:?}"
        );
    }
    // In the rule itself.
    let (problems, _) = of_files(&[(
        rules,
        &rule("SUBSYSTEM==\"block\"", "/sbin/sfdisk --delete /dev/%k"),
    )]);
    assert!(
        problems[0].starts_with(&format!("{rules}:2: `/sbin/sfdisk ")),
        "{problems:?}"
    );
    // For sticks it is no more than a note.
    let sticks = "KERNEL==\"sd[b-z]1\", SUBSYSTEMS==\"usb\"";
    let (problems, notes) = of_files(&[(rules, &rule(sticks, "/opt/format")), format]);
    assert!(
        problems.is_empty() && notes.len() == 1,
        "{problems:?} {notes:?}"
    );
    let (problems, notes) = of_files(&[(rules, &rule(sticks, "/opt/attach")), mount]);
    assert!(
        problems.is_empty() && notes.is_empty(),
        "{problems:?} {notes:?}"
    );
}

/// Files, and the place of the problem.
type Case<'a> = (&'a [(&'a str, &'a str)], &'a str);

#[test]
fn other_things_that_a_start_runs() {
    let cases: [Case<'_>; 4] = [
        (
            &[
                ("/usr/sbin/atd", "x"),
                ("/var/spool/cron/atjobs/a1", REBOOT),
            ],
            "/var/spool/cron/atjobs/a1:2:",
        ),
        (
            &[
                ("/usr/bin/supervisord", "x"),
                (
                    "/etc/supervisor/conf.d/a.conf",
                    "[program:a]\ncommand=/opt/a\n",
                ),
                ("/opt/a", REBOOT),
            ],
            "/opt/a:2:",
        ),
        (
            &[("/etc/dhcpcd.exit-hook", REBOOT)],
            "/etc/dhcpcd.exit-hook:2:",
        ),
        (
            &[("/etc/systemd/system-environment-generators/a", REBOOT)],
            "/etc/systemd/system-environment-generators/a:2:",
        ),
    ];
    for (files, place) in cases {
        let (problems, _) = of_files(files);
        assert!(
            problems.len() == 1 && problems[0].starts_with(place),
            "{files:?}: {problems:?}"
        );
    }
    let module = [(
        "/etc/modprobe.d/a.conf",
        "# x\ninstall usb_storage /sbin/reboot\n",
    )];
    let (problems, notes) = of_files(&module);
    assert!(
        problems.is_empty() && notes[0].starts_with("/etc/modprobe.d/a.conf:2: `/sbin/reboot` "),
        "{notes:?}"
    );
    // A comment goes on too, and a file of the owner takes the place of another.
    for files in [
        &[("/etc/modprobe.d/a.conf", "# x \\\ninstall a /sbin/reboot\n")][..],
        &[
            ("/usr/lib/modprobe.d/a.conf", "install a /sbin/reboot\n"),
            ("/etc/modprobe.d/a.conf", "# nothing\n"),
        ],
    ] {
        let (problems, notes) = of_files(files);
        assert!(
            problems.is_empty() && notes.is_empty(),
            "{files:?}: {notes:?}"
        );
    }
    let own = (
        "/usr/lib/modprobe.d/a.conf",
        "install\ta \\\n  /sbin/reboot\n",
    );
    let (_, notes) = of_files(&[own]);
    assert!(
        notes[0].starts_with("/usr/lib/modprobe.d/a.conf:1: "),
        "{notes:?}"
    );
}

#[test]
fn settings_of_units_are_joined_as_systemd_does() {
    for unit in [
        "[Service]\n# x \\\nExecStart=/opt/run\n",
        "[Service]\nExecStart=/bin/sh \\\n; between \\\n# too\n  /opt/run\n",
        "[Service]\nEnvironment=A=b\\\\\nExecStart=/opt/run\n",
    ] {
        let (problems, _) = of_service(unit, &[("/opt/run", REBOOT)]);
        assert!(problems.len() == 1, "{unit}: {problems:?}");
    }
}

#[test]
fn drop_ins_of_many_units_and_upheld_units() {
    let cases: [Case<'_>; 2] = [
        (
            &[
                (
                    "/usr/lib/systemd/system/a-b.service",
                    "[Service]\nExecStart=/bin/true\n",
                ),
                (
                    "/etc/systemd/system/a-.service.d/x.conf",
                    "[Service]\nExecStartPost=/sbin/reboot\n",
                ),
                (
                    "/etc/systemd/system/multi-user.target.upholds/a-b.service",
                    "->/usr/lib/systemd/system/a-b.service",
                ),
                (
                    "/etc/systemd/system/multi-user.target.wants/b.service",
                    "->/dev/null",
                ),
            ],
            "/etc/systemd/system/a-.service.d/x.conf:2:",
        ),
        (
            &[
                (
                    "/usr/lib/systemd/system/a.service",
                    "[Service]\nExecStart=/bin/true\n",
                ),
                (
                    "/etc/systemd/system/service.d/x.conf",
                    "[Service]\nExecStartPre=/sbin/reboot\n",
                ),
                (
                    "/etc/systemd/system/multi-user.target.wants/a.service",
                    "->/usr/lib/systemd/system/a.service",
                ),
            ],
            "/etc/systemd/system/service.d/x.conf:2:",
        ),
    ];
    for (files, place) in cases {
        let (problems, _) = of_files(files);
        assert!(
            problems.len() == 1 && problems[0].starts_with(place),
            "{files:?}: {problems:?}"
        );
    }
}

#[test]
fn sessions_of_all_kinds_are_followed() {
    let script = ("/opt/run", REBOOT);
    for (path, text) in [
        (
            "/home/pi/.config/lxsession/LXDE-pi/autostart",
            "@lxpanel\n@/opt/run\n",
        ),
        ("/etc/xdg/lxsession/LXDE/autostart", "/opt/run now\n"),
        (
            "/home/pi/.config/sway/config",
            "# exec x\nexec_always /opt/run\n",
        ),
        (
            "/home/pi/.config/wayfire.ini",
            "[core]\na = /x\n[autostart]\nb = /opt/run\n",
        ),
        (
            "/home/pi/.config/weston.ini",
            "[autolaunch]\npath=/opt/run\n",
        ),
        (
            "/home/pi/.config/hypr/hyprland.conf",
            "exec-once = /opt/run\n",
        ),
        ("/etc/xdg/labwc/autostart", "/opt/run &\n"),
        (
            "/etc/xdg/autostart/a.desktop",
            "[Desktop Entry]\nExec=/opt/run\n",
        ),
        ("/home/pi/.zlogin", "/opt/run\n"),
    ] {
        let (problems, _) = of_files(&[&AUTOLOGIN[..], &[script, (path, text)]].concat());
        assert_eq!(problems.len(), 1, "{path}: {problems:?}");
        assert!(
            problems[0].starts_with("/opt/run:2: `reboot`"),
            "{problems:?}"
        );
        let (problems, _) = of_files(&[script, (path, text)]);
        assert_eq!(problems, [""; 0], "{path}");
    }
    let hidden = (
        "/etc/xdg/autostart/a.desktop",
        "[Desktop Entry]\nExec=/opt/run\nHidden=true\n",
    );
    let (problems, _) = of_files(&[&AUTOLOGIN[..], &[script, hidden]].concat());
    assert_eq!(problems, [""; 0]);
}

#[test]
fn programs_in_the_place_of_a_login_are_followed() {
    let passwd = ("/etc/passwd", "kiosk:x:1000:1000::/home/kiosk:/bin/bash\n");
    let terminal = |options: &str| format!("[Service]\nExecStart=-/sbin/agetty {options} %I\n");
    let of_terminal = |options: &str| {
        let unit = terminal(options);
        let files = [
            ("/usr/lib/systemd/system/getty@.service", unit.as_str()),
            AUTOLOGIN[0],
            ("/opt/run", REBOOT),
        ];
        of_files(&files).0.len()
    };
    assert_eq!(of_terminal("-n -l /opt/run"), 1);
    assert_eq!(of_terminal("--autologin root --login-program=/opt/run"), 1);
    assert_eq!(of_terminal("--login-program /opt/run"), 0);
    let greetd = "[terminal]\nvt = 1\n[default_session]\ncommand = \"agreety\"\n[initial_session]\ncommand = \"/opt/run\"\nuser = \"kiosk\"\n";
    let (problems, _) = of_files(&[
        ("/etc/greetd/config.toml", greetd),
        passwd,
        ("/opt/run", REBOOT),
    ]);
    assert_eq!(problems.len(), 1, "{problems:?}");
    let profile = ("/home/kiosk/.profile", "reboot\n");
    let (problems, _) = of_files(&[("/etc/greetd/config.toml", greetd), passwd, profile]);
    assert!(
        problems[0].contains("(a login that needs no person runs it)"),
        "{problems:?}"
    );
}

#[test]
fn what_apt_runs_is_followed_from_scripts_that_call_it() {
    let hook = (
        "/etc/apt/apt.conf.d/99own",
        "DPkg::Post-Invoke { \"true\"; \"[ -e /run/x ]; reboot\"; };\nAPT::Update { Post-Invoke-Success:: \"/opt/after\"; };\n",
    );
    let after = ("/opt/after", "#!/bin/sh\nresize2fs /dev/sda2\n");
    let calls = ("/opt/run", "#!/bin/sh\napt-get -y update\n");
    let (problems, _) = of_service(RUN, &[calls, hook, after]);
    let places: Vec<&str> = problems
        .iter()
        .filter_map(|one| one.split(": ").next())
        .collect();
    assert_eq!(
        places,
        ["/etc/apt/apt.conf.d/99own:1", "/opt/after:2"],
        "{problems:?}"
    );
    let dpkg = ("/etc/dpkg/dpkg.cfg.d/own", "post-invoke=\"poweroff\"\n");
    let (problems, _) = of_service(RUN, &[calls, dpkg]);
    assert_eq!(problems.len(), 1, "{problems:?}");
    let (problems, _) = of_files(&[hook, after]);
    assert_eq!(problems, [""; 0]);
}
