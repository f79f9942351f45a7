//! What an imager writes onto a card with a converted image: settings survive the first update,
//! whether the system takes them from files or runs a script; words that would run that script at
//! one start alone are dropped.

use super::firmware::{PI4, Started};
use super::pi_os::{InUse, SMALL, boot_files, can_run, make, started};
use crate::plan::boards::{fine, run, text};
use crate::support::scratch;
use goldsmith::boot::common::tools::imager_settings;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What an imager does to a boot partition: files that it writes, words for `cmdline.txt`.
struct Imager {
    image: &'static str,
    /// How the manifest says that the image takes settings.
    format: &'static str,
    files: &'static [(&'static str, &'static str)],
    words: &'static str,
    /// The words that last.
    lasting: &'static [&'static str],
}

/// A script for the first start, of the form that the imager gives it: it goes on after errors, and
/// takes itself away.
const SCRIPT: &str = "#!/bin/bash\nset +e\necho kiosk >@ROOT@/hostname\necho run >>@ROOT@/runs\n\
                      rm -f @BOOT@/firstrun.sh\nexit 0\n";

const IMAGERS: [Imager; 2] = [
    Imager {
        image: "13-arm64-lite",
        format: "cloudinit-rpi",
        files: &[
            (
                "user-data",
                "#cloud-config\nhostname: kiosk\nenable_ssh: true\nusers:\n- name: someone\n",
            ),
            ("network-config", "network:\n  version: 2\n  wifis: {}\n"),
            ("meta-data", "instance-id: rpi-imager-1759300000000\n"),
        ],
        words: "cfg80211.ieee80211_regdom=GB ds=nocloud;i=rpi-imager-1759300000000",
        lasting: &[
            "cfg80211.ieee80211_regdom=GB",
            "ds=nocloud;i=rpi-imager-1759300000000",
        ],
    },
    Imager {
        image: "12-arm64-lite",
        format: "systemd",
        files: &[("firstrun.sh", SCRIPT)],
        words: "systemd.run=/boot/firstrun.sh systemd.run_success_action=reboot \
                systemd.unit=kernel-command-line.target",
        lasting: &[],
    },
];

impl Imager {
    /// Does it to the files of a boot partition.
    fn write(&self, boot: &Path) {
        for (name, content) in self.files {
            fs::write(boot.join(name), content).unwrap();
        }
        let path = boot.join("cmdline.txt");
        let line = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{} {}\n", line.trim_end(), self.words)).unwrap();
    }

    /// The files are as they were written.
    fn check_files(&self, device: &InUse<'_>, when: &str) {
        for (name, content) in self.files {
            let found = fs::read_to_string(device.path("boot").join(name));
            assert_eq!(found.unwrap(), *content, "{}: {name}, {when}", self.image);
        }
    }

    /// Whether the arguments of a start are those that last; none of them is for one start.
    fn check_words(&self, started: &Started, when: &str) {
        let words: Vec<&str> = started.cmdline.split_whitespace().collect();
        for word in self.lasting {
            assert!(words.contains(word), "{}, {when}: {words:?}", self.image);
        }
        let once = words.iter().find(|word| word.starts_with("systemd."));
        assert_eq!(once, None, "{}, {when}", self.image);
    }
}

#[test]
fn settings_of_an_imager_survive_the_first_update() {
    if !can_run() {
        return;
    }
    for imager in IMAGERS {
        let dir = scratch();
        let at = dir.path();
        let file = make(at, imager.image);
        let manifest = "-s output.imager=true -s output.imager-url=https://example.com/images";
        let line = format!("{SMALL} -c raspberrypi4-64 {manifest} {file}");
        let said = run(at, &format!("plan {line}").replace(" -q ", " "));
        let plan = text(&said.stderr);
        assert!(!plan.contains("(init_format none)"), "{plan}");
        let runs_it = imager.format == "systemd";
        let is_said = plan.contains("each root filesystem applies them once");
        assert_eq!(is_said, runs_it, "{}", imager.image);
        fine(at, &format!("convert {line} --output-dir out"));
        let manifest = fs::read_to_string(at.join("out/out.os-list.json")).unwrap();
        let format = format!("\"init_format\": \"{}\"", imager.format);
        assert!(manifest.contains(&format), "{manifest}");
        let image = at.join("out/out.img");
        boot_files(&image, &at.join("boot"));
        imager.write(&at.join("boot"));
        let Some(device) = InUse::new(&image, &at.join("boot"), imager.image) else {
            return;
        };
        // The first start has the arguments of the conversion, the second one those of the imager.
        for when in ["the first start", "the second start"] {
            let said = device.restart(2);
            assert!(!said.contains("firstrun.sh"), "{when}: {said}");
            imager.check_files(&device, when);
            let found = started(&PI4, &device.disk(), false);
            imager.check_words(&found, when);
            assert!(found.prefix.starts_with("slot-a"), "{when}");
        }
        device.install();
        imager.check_files(&device, "an update that waits");
        let trial = started(&PI4, &device.disk(), true);
        assert!(trial.prefix.starts_with("slot-b"));
        imager.check_words(&trial, "the trial");
        device.restart(3);
        device.call(3, &["upgrade_available", "0"], "");
        let after = started(&PI4, &device.disk(), false);
        assert!(after.prefix.starts_with("slot-b"));
        imager.check_words(&after, "the update");
        imager.check_files(&device, "the update");
    }
}

/// A device on which the script that applies settings runs, below a directory.
struct Places {
    at: PathBuf,
    program: PathBuf,
}

impl Places {
    fn new(at: &Path) -> Self {
        let here = at.display().to_string();
        let mut text = imager_settings();
        for (name, path) in [
            ("kept", "/data/imager/firstrun.sh"),
            ("applied", "/var/lib/goldsmith/imager-settings"),
            ("hosts", "/proc/sys/kernel/hostname"),
            ("names", "/etc/hostname"),
        ] {
            let old = format!("\n{name}={path}\n");
            assert_eq!(text.matches(&old).count(), 1, "{name}");
            let place = match name {
                "kept" => "data/firstrun.sh",
                "applied" => "root/applied",
                "hosts" => "kernel",
                _ => "root/hostname",
            };
            text = text.replace(&old, &format!("\n{name}={here}/{place}\n"));
        }
        let program = at.join("imager-settings");
        fs::write(&program, text).unwrap();
        fs::create_dir(at.join("boot")).unwrap();
        fs::write(at.join("boot/config.txt"), "").unwrap();
        let places = Self {
            at: at.to_owned(),
            program,
        };
        places.new_root();
        places
    }

    fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.at.join(name)).ok()
    }

    /// Another root filesystem starts.
    fn new_root(&self) {
        let _ = fs::remove_dir_all(self.at.join("root"));
        fs::create_dir(self.at.join("root")).unwrap();
        fs::write(self.at.join("root/hostname"), "golden\n").unwrap();
        fs::write(self.at.join("kernel"), "golden\n").unwrap();
    }

    /// What the imager writes: a script that ends like this.
    fn put(&self, name: &str, end: &str) {
        let script = SCRIPT
            .replace("kiosk", name)
            .replace("exit 0", end)
            .replace("@BOOT@", &self.at.join("boot").display().to_string())
            .replace("@ROOT@", &self.at.join("root").display().to_string());
        fs::write(self.at.join("boot/firstrun.sh"), script).unwrap();
    }

    /// A start; whether it succeeded.
    fn start(&self) -> bool {
        let mut command = Command::new("sh");
        command.arg(&self.program).arg(self.at.join("boot"));
        command.output().unwrap().status.success()
    }

    /// The runs in this root filesystem, and the name that it has, for good and now.
    fn state(&self) -> (usize, String, String) {
        (
            self.read("root/runs").unwrap_or_default().lines().count(),
            self.read("root/hostname").unwrap().trim().to_owned(),
            self.read("kernel").unwrap().trim().to_owned(),
        )
    }
}

fn state(runs: usize, name: &str) -> (usize, String, String) {
    (runs, name.to_owned(), name.to_owned())
}

#[test]
fn each_root_filesystem_runs_the_script_once() {
    let dir = scratch();
    let places = Places::new(dir.path());
    assert!(places.start(), "without settings");
    assert_eq!(places.state(), state(0, "golden"));
    places.put("kiosk", "exit 0");
    for when in ["the first start", "the second start"] {
        assert!(places.start(), "{when}");
        assert_eq!(places.state(), state(1, "kiosk"), "{when}");
        assert_eq!(places.read("boot/firstrun.sh"), None, "{when}");
    }
    // The trial of an update has them before its network starts.
    places.new_root();
    assert!(places.start());
    assert_eq!(places.state(), state(1, "kiosk"));
    // Other settings count in this root filesystem, and in the next one.
    places.put("till", "exit 0");
    assert!(places.start());
    assert_eq!(places.state(), state(2, "till"));
    places.new_root();
    assert!(places.start());
    assert_eq!(places.state(), state(1, "till"));
    assert!(places.start());
    assert_eq!(places.state().0, 1);
}

#[test]
fn a_script_that_fails_or_that_the_power_cuts_runs_again() {
    let dir = scratch();
    let places = Places::new(dir.path());
    places.put("kiosk", "exit 3");
    assert!(!places.start());
    assert!(!places.start());
    assert_eq!(places.state().0, 2, "each start tries");
    // The script has taken itself away and the power fails before it is noted.
    places.put("kiosk", "exit 0");
    assert!(places.start());
    fs::remove_file(dir.path().join("root/applied")).unwrap();
    assert!(places.start());
    assert_eq!(places.state().1, "kiosk");
    assert_eq!(places.state().0, 4);
    // Nobody but root reads the network's password on the data partition, and the files that the
    // script makes have the modes that it expects.
    let mode = |name: &str| {
        use std::os::unix::fs::MetadataExt as _;
        fs::metadata(dir.path().join(name)).unwrap().mode() & 0o777
    };
    assert_eq!(mode("data/firstrun.sh"), 0o600);
    assert_eq!(mode("root/runs"), 0o644);
}
