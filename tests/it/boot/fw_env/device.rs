//! A boot partition with the environment of U-Boot, the tools that work on it, and its model.

use crate::boot::env_tools::{Answer, SHELLS, Shell, Tools, number};
use goldsmith::boot::state::{SerialCopy, SerialPair, Slot, Values};
use goldsmith::boot::uboot::environment::{SIZE, decode, encode};
use std::collections::BTreeMap;
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};

/// Takes the place of `sync`: at the call for a filesystem whose number is in `cut` it damages the
/// file just written and kills the tool; those for a file are counted.
pub(super) const POWER: &str = r#"#!/bin/sh
here=${0%/*}
if [ "$1" != -f ]; then
    echo "$1" >>"$here/flushed"
    exit 0
fi
file=$2
read -r count <"$here/count"
count=$((count + 1))
echo $count >"$here/count"
read -r at how <"$here/cut"
[ "$count" = "$at" ] || exit 0
case $how in
    before) cp "$here/before/${file#"$here/env/mender/"}" "$file" ;;
    zeros) head -c 20 "$file" >"$here/half"; head -c 4076 /dev/zero >>"$here/half"; cp "$here/half" "$file" ;;
    short) head -c 512 "$file" >"$here/half"; cp "$here/half" "$file" ;;
    torn) head -c 4096 /dev/zero | tr '\0' '\377' >"$file" ;;
    gone) rm "$file" ;;
esac
kill -9 $PPID
"#;

/// The variables for the model's values; what is out of range names a partition that there is not.
pub(crate) fn variables(values: Option<Values>) -> BTreeMap<String, String> {
    let part = values.map_or(4, |values| number(values.part)).to_string();
    let flag = |value: fn(Values) -> bool| u8::from(values.is_some_and(value)).to_string();
    let all = [
        ("bootcount", flag(|values| values.count)),
        ("mender_boot_part", part.clone()),
        ("mender_boot_part_hex", part),
        ("upgrade_available", flag(|values| values.upgrade)),
    ];
    all.map(|(name, value)| (name.to_owned(), value)).into()
}

/// A copy as it is stored; a damaged one is noise.
pub(crate) fn bytes(copy: Option<SerialCopy>) -> Vec<u8> {
    copy.map_or_else(
        || vec![0x5a; SIZE],
        |copy| encode(copy.serial, &variables(copy.values), SIZE).unwrap(),
    )
}

/// A copy as the model sees it. The partition's number in hexadecimal must be that in decimal.
pub(crate) fn read(bytes: &[u8]) -> Option<SerialCopy> {
    let (serial, variables) = decode(bytes).filter(|_| bytes.len() == SIZE)?;
    let get = |name: &str| variables.get(name).map(String::as_str).unwrap_or_default();
    let flag = |name: &str| {
        ["0", "1"]
            .iter()
            .position(|known| *known == get(name))
            .map(|at| at == 1)
    };
    assert_eq!(get("mender_boot_part"), get("mender_boot_part_hex"));
    let part = [Slot::A, Slot::B]
        .into_iter()
        .find(|slot| number(*slot).to_string() == get("mender_boot_part"));
    let values = (|| {
        Some(Values {
            part: part?,
            upgrade: flag("upgrade_available")?,
            count: flag("bootcount")?,
        })
    })();
    Some(SerialCopy { serial, values })
}

/// Puts the tools into a directory, with the files that they look for: `config`, `settings`,
/// `cmdline` and a lock.
pub(crate) fn install_tools(dir: &Path) {
    install_text(dir, &goldsmith::boot::common::tools::uboot_env());
}

/// The same with this text of the tools.
pub(crate) fn install_text(dir: &Path, text: &str) {
    let here = dir.display();
    let text = text
        .replace(
            "config=/etc/fw_env.config",
            &format!("config={here}/config"),
        )
        .replace(
            "settings=/etc/mender_ubootenv.config",
            &format!("settings={here}/settings"),
        )
        .replace("interlock=/var/lock/", &format!("interlock={here}/"))
        .replace("cmdline=/proc/cmdline", &format!("cmdline={here}/cmdline"));
    assert_eq!(
        text.matches(&*here.to_string()).count(),
        4,
        "the tool's paths"
    );
    for name in ["fw_printenv", "fw_setenv"] {
        fs::write(dir.join(name), &text).unwrap();
    }
}

/// A boot partition and the tools that work on it.
pub(super) struct Device {
    tools: Tools,
}

impl Deref for Device {
    type Target = Tools;

    fn deref(&self) -> &Tools {
        &self.tools
    }
}

impl Device {
    /// A new device; `None`, said aloud, when its shell is not installed.
    pub(super) fn new(shell: Shell) -> Option<Self> {
        let tools = Tools::new(shell, POWER)?;
        install_tools(tools.dir.path());
        let device = Self { tools };
        fs::write(device.path("config"), device.config()).unwrap();
        fs::write(device.path("settings"), "ROOT_PARTITIONS = 2 3\n").unwrap();
        fs::create_dir_all(device.path("env")).unwrap();
        fs::write(device.path("env/boot.scr"), "").unwrap();
        device.place(&factory());
        Some(device)
    }

    pub(super) fn config(&self) -> String {
        [1, 2]
            .map(|copy| format!("{} 0x0 {SIZE:#x}\n", self.copy(copy).display()))
            .concat()
    }

    pub(super) fn copy(&self, copy: usize) -> PathBuf {
        self.path(&format!("env/mender/env{copy}/uboot.env"))
    }

    /// Writes the model's state to the boot partition.
    pub(super) fn place(&self, pair: &SerialPair) {
        for (at, copy) in pair.copies.iter().enumerate() {
            for file in [
                self.copy(at + 1),
                self.path(&format!("before/env{}/uboot.env", at + 1)),
            ] {
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, bytes(*copy)).unwrap();
            }
        }
    }

    pub(super) fn pair(&self) -> SerialPair {
        SerialPair::new([1, 2].map(|copy| read(&fs::read(self.copy(copy)).unwrap_or_default())))
    }

    pub(super) fn print(&self, names: &[&str]) -> Answer {
        self.call("fw_printenv", names, "", None)
    }

    pub(super) fn set(&self, args: &[&str], input: &str) -> Answer {
        self.call("fw_setenv", args, input, None)
    }

    pub(super) fn finish(&self, running: Slot) -> Answer {
        fs::write(
            self.path("cmdline"),
            format!("console=tty1 mender.slot={} ro\n", number(running)),
        )
        .unwrap();
        self.set(&["--finish-boot"], "")
    }
}

/// The environment of a new device.
pub(crate) fn factory() -> SerialPair {
    SerialPair::new([0, 1].map(|serial| Some(SerialCopy::good(serial, Values::committed(Slot::A)))))
}

/// Runs `test` on a device of each shell that is installed.
pub(super) fn each_shell(test: impl Fn(&Device)) {
    SHELLS
        .iter()
        .filter_map(|shell| Device::new(shell))
        .for_each(|device| test(&device));
}
