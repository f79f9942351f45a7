//! A boot partition with the environment of GRUB, the tools that work on it, and its model.

use crate::boot::env_tools::{Answer, SHELLS, Shell, Tools, number};
use goldsmith::boot::common::env_block::{self, BLOCK};
use goldsmith::boot::grub::environment;
use goldsmith::boot::state::{Block, BlockPair, EnvCopy, Slot, Values};
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;

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
[ "$at" != 0 ] || exit 0
old=$here/before/${file#"$here/env/"}
if [ "$count" = "$at" ]; then
    case $how in
        before) if [ -f "$old" ]; then cp "$old" "$file"; else rm "$file"; fi ;;
        void) printf '# GRUB Environment Block\n%0999d' 0 | tr 0 '#' >"$file" ;;
        zeros) head -c 512 "$file" >"$here/half"; head -c 512 /dev/zero >>"$here/half"; cp "$here/half" "$file" ;;
        short) head -c 512 "$file" >"$here/half"; cp "$here/half" "$file" ;;
        torn) head -c 1024 /dev/zero | tr '\0' '\377' >"$file" ;;
        gone) rm "$file" ;;
    esac
    kill -9 $PPID
fi
mkdir -p "${old%/*}"
cp "$file" "$old"
"#;

/// Puts the tools with this text into a directory, with the names of the files that they look for:
/// `config`, `cmdline` and a lock.
pub(crate) fn install_tools(dir: &Path, text: &str) {
    let here = dir.display();
    let text = text
        .replace(
            "config=/etc/mender_grubenv.config",
            &format!("config={here}/config"),
        )
        .replace("interlock=/var/lock/", &format!("interlock={here}/"))
        .replace("cmdline=/proc/cmdline", &format!("cmdline={here}/cmdline"));
    assert_eq!(
        text.matches(&*here.to_string()).count(),
        3,
        "the tool's paths"
    );
    for name in ["grub-mender-grubenv-print", "grub-mender-grubenv-set"] {
        fs::write(dir.join(name), &text).unwrap();
    }
}

/// A boot partition and the tools that work on it.
pub(crate) struct Device {
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
        let path = tools.dir.path();
        let here = path.display();
        install_tools(path, &goldsmith::boot::common::tools::grubenv());
        fs::write(
            path.join("config"),
            format!("ENV_DIR = {here}/env\nROOT_PARTITIONS = 2 3\n"),
        )
        .unwrap();
        let device = Self { tools };
        device.place(&BlockPair::new(
            [EnvCopy::clean(Values::committed(Slot::A)); 2],
        ));
        Some(device)
    }

    pub(super) fn env(&self) -> PathBuf {
        self.path("env")
    }

    /// Writes the model's state to the boot partition.
    pub(super) fn place(&self, medium: &BlockPair) {
        let _ = fs::remove_dir_all(self.path("before"));
        place(&self.env(), medium);
    }

    pub(super) fn print(&self, names: &[&str]) -> Answer {
        self.call("grub-mender-grubenv-print", names, "", None)
    }

    pub(super) fn set(&self, args: &[&str], input: &str) -> Answer {
        self.call("grub-mender-grubenv-set", args, input, None)
    }

    pub(super) fn finish(&self, running: Slot) -> Answer {
        fs::write(
            self.path("cmdline"),
            format!("BOOT_IMAGE=/vmlinuz mender.slot={} ro\n", number(running)),
        )
        .unwrap();
        self.set(&["--finish-boot"], "")
    }

    pub(super) fn medium(&self) -> BlockPair {
        medium(&self.env())
    }

    /// Both copies must be right down to the digest of the lock, and say the same.
    pub(super) fn check(&self, values: Values) {
        assert_eq!(self.medium().copies, [EnvCopy::clean(values); 2]);
        for copy in ["mender_grubenv1", "mender_grubenv2"] {
            let mut check = Command::new("sha256sum");
            let status = check
                .args(["--status", "-c", "lock.sha256sum"])
                .current_dir(self.env().join(copy))
                .status()
                .unwrap();
            assert!(status.success(), "{copy}");
        }
        let files = |name: &str| fs::read(self.env().join(name)).unwrap();
        assert_eq!(files("mender_grubenv1/env"), files("mender_grubenv2/env"));
    }
}

/// The variables for the model's values.
pub(crate) fn variables(values: Values) -> [(&'static str, String); 3] {
    [
        ("bootcount", u8::from(values.count).to_string()),
        ("mender_boot_part", number(values.part).to_string()),
        ("upgrade_available", u8::from(values.upgrade).to_string()),
    ]
}

/// Writes the model's state to the directory of an environment.
pub(crate) fn place(dir: &Path, medium: &BlockPair) {
    for (name, bytes) in environment::factory(2) {
        let file = dir.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, bytes).unwrap();
    }
    fn bytes<T: std::marker::Copy>(
        block: Block<T>,
        whole: impl Fn(T) -> Vec<(&'static str, String)>,
    ) -> Vec<u8> {
        let values = match block {
            Block::Valid(value) => whole(value),
            Block::Blank => Vec::new(),
            Block::Missing => return vec![0xff; BLOCK],
        };
        let values: Vec<(&str, &str)> = values
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        env_block::block_of(&values, BLOCK).unwrap()
    }
    for (at, copy) in medium.copies.iter().enumerate() {
        let dir = dir.join(format!("mender_grubenv{}", at + 1));
        fs::write(
            dir.join("env"),
            bytes(copy.env, |values| variables(values).to_vec()),
        )
        .unwrap();
        fs::write(
            dir.join("lock"),
            bytes(copy.lock, |editing| {
                vec![("editing", u8::from(editing).to_string())]
            }),
        )
        .unwrap();
    }
}

/// The state on the boot partition as the model sees it.
pub(crate) fn medium(dir: &Path) -> BlockPair {
    medium_of(|name| fs::read(dir.join(name)).unwrap_or_default())
}

/// The state as the model sees it, of files that are read by their names.
pub(crate) fn medium_of(file: impl Fn(&str) -> Vec<u8>) -> BlockPair {
    fn block<T>(bytes: &[u8], value: impl Fn(&dyn Fn(&str) -> String) -> Option<T>) -> Block<T> {
        let whole = bytes.len() == BLOCK && bytes.is_ascii() && !bytes.contains(&0);
        let Some(variables) = env_block::variables(bytes).filter(|_| whole) else {
            return Block::Missing;
        };
        let get = |name: &str| {
            variables
                .iter()
                .find(|(known, _)| known == name)
                .map_or(String::new(), |(_, v)| v.clone())
        };
        value(&get).map_or(Block::Blank, Block::Valid)
    }
    fn flag(text: &str) -> Option<bool> {
        ["0", "1"]
            .iter()
            .position(|known| *known == text)
            .map(|at| at == 1)
    }
    let copies = [1, 2].map(|copy| {
        let bytes = |name: &str| file(&format!("mender_grubenv{copy}/{name}"));
        let lock = block(&bytes("lock"), |get| flag(&get("editing")));
        let env = block(&bytes("env"), |get| {
            let part = [Slot::A, Slot::B]
                .into_iter()
                .find(|slot| number(*slot).to_string() == get("mender_boot_part"))?;
            Some(Values {
                part,
                upgrade: flag(&get("upgrade_available"))?,
                count: flag(&get("bootcount"))?,
            })
        });
        EnvCopy { lock, env }
    });
    BlockPair::new(copies)
}

/// Runs `test` on a device of each shell that is installed.
pub(super) fn each_shell(test: impl Fn(&Device)) {
    SHELLS
        .iter()
        .filter_map(|shell| Device::new(shell))
        .for_each(|device| test(&device));
}
