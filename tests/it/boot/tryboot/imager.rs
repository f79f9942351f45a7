//! What an imager writes onto a card with a converted image: settings that the system takes from
//! the boot partition survive the first update; words that would run a script of one start are
//! dropped.

use super::firmware::{PI4, Started};
use super::pi_os::{InUse, SMALL, boot_files, can_run, make, started};
use crate::plan::boards::{fine, run, text};
use crate::support::scratch;
use std::fs;
use std::path::Path;

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
    // Debian 12 has no way to take them that lasts: the manifest says so. An imager that asks
    // nevertheless writes this.
    Imager {
        image: "12-arm64-lite",
        format: "none",
        files: &[(
            "firstrun.sh",
            "#!/bin/bash\nset +e\nrm -f /boot/firstrun.sh\nexit 0\n",
        )],
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
        let is_said = text(&said.stderr).contains("(init_format none)");
        assert_eq!(is_said, imager.format == "none", "{}", imager.image);
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
            let named = said.contains("firstrun.sh");
            assert_eq!(named, imager.format == "none", "{when}: {said}");
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
