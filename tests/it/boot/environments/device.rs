//! A boot partition that is a directory, the real tools that work on it, and what they did.

use super::loader::Loader;
use crate::boot::env_tools::{Answer, Shell, Tools, number};
use crate::boot::medium::driver::Driver;
use crate::boot::medium::fat::Disk;
use crate::boot::medium::op::{Op, apply};
use crate::boot::{fw_env, grubenv};
use goldsmith::boot::grub::environment as grub;
use goldsmith::boot::state::Slot;
use goldsmith::boot::uboot::environment as uboot;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Takes the place of `sync`: keeps what is on the boot partition at each call, and the call.
const KEEPER: &str = r#"#!/bin/sh
here=${0%/*}
read -r count <"$here/kept/count"
count=$((count + 1))
echo $count >"$here/kept/count"
cp -r "$here/env" "$here/kept/$count"
printf '%s\n' "$*" >"$here/kept/call$count"
"#;

/// What a tool said and did.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) answer: Answer,
    pub(super) ops: Vec<Op>,
}

/// The tools of a loader, and a boot partition.
pub(super) struct Device {
    tools: Tools,
    pub(super) loader: Loader,
}

/// Files by their paths; `None` is a directory.
type Files = BTreeMap<String, Option<Vec<u8>>>;

impl Device {
    /// A device with this text of the tool; `None`, said aloud, when its shell is not installed.
    pub(super) fn new(shell: Shell, loader: Loader, text: &str) -> Option<Self> {
        let tools = Tools::new(shell, KEEPER)?;
        let dir = tools.dir.path();
        let here = dir.display();
        match loader {
            Loader::Grub => {
                grubenv::install_tools(dir, text);
                let place = grub::DIRECTORY;
                let config = format!("ENV_DIR = {here}/env{place}\nROOT_PARTITIONS = 2 3\n");
                fs::write(dir.join("config"), config).unwrap();
            }
            Loader::UBoot => {
                fw_env::install_text(dir, text);
                let line = |file: &str| format!("{here}/env{file} 0x0 {:#x}\n", uboot::SIZE);
                fs::write(dir.join("config"), uboot::FILES.map(line).concat()).unwrap();
                fs::write(dir.join("settings"), "ROOT_PARTITIONS = 2 3\n").unwrap();
            }
        }
        Some(Self { tools, loader })
    }

    /// Prints variables, or sets them by lines, on a boot partition with what is on `disk`.
    pub(super) fn run(&self, disk: &Disk, running: Slot, call: &Call) -> Run {
        for name in ["env", "kept"] {
            let _ = fs::remove_dir_all(self.tools.path(name));
            fs::create_dir(self.tools.path(name)).unwrap();
        }
        fs::write(self.tools.path("kept/count"), "0\n").unwrap();
        for (path, entry) in disk.walk() {
            let place = self.tools.path("env").join(&path);
            if path.contains('\0') || place.exists() {
                continue;
            }
            if entry.is_dir {
                fs::create_dir_all(place).unwrap();
            } else {
                fs::write(place, disk.content(&entry).unwrap_or_default()).unwrap();
            }
        }
        let line = format!("console=tty1 mender.slot={} ro\n", number(running));
        fs::write(self.tools.path("cmdline"), line).unwrap();
        let before = files(&self.tools.path("env"));
        let (name, args, input) = self.command(call);
        let answer = self.tools.call(name, &args, input, None);
        let ops = self.ops(before);
        self.check_record(disk, &ops);
        Run { answer, ops }
    }

    /// The name of the tool for a call, its arguments and its input.
    pub(super) fn command<'c>(&self, call: &'c Call) -> (&'static str, Vec<&'static str>, &'c str) {
        let [print, set] = self.loader.names();
        match call {
            Call::Print(names) => (print, names.clone(), ""),
            Call::Set(lines) => (set, vec!["-s", "-"], lines),
            Call::FinishBoot => (set, vec!["--finish-boot"], ""),
        }
    }

    /// The directory with the tools.
    pub(super) fn here(&self) -> &Path {
        self.tools.dir.path()
    }

    /// The tools, and the files that they look for.
    pub(super) fn files(&self) -> Vec<&'static str> {
        let [print, set] = self.loader.names();
        let settings = (self.loader == Loader::UBoot).then_some("settings");
        let all = [print, set, "config", "cmdline"].into_iter();
        all.chain(settings).collect()
    }

    /// What was done between the calls of `sync`, of which each file is written by itself.
    fn ops(&self, mut before: Files) -> Vec<Op> {
        let kept = |name: &str| self.tools.path("kept").join(name);
        let count = fs::read_to_string(kept("count")).unwrap();
        let mut ops = Vec::new();
        let calls = 1..=count.trim().parse::<u32>().unwrap();
        for call in calls {
            let after = files(&kept(&call.to_string()));
            let changed = difference(&before, &after, &mut ops);
            assert!(changed <= 1, "one file is written between two flushes");
            before = after;
            let said = fs::read_to_string(kept(&format!("call{call}"))).unwrap();
            let env = self.tools.path("env");
            let inside = |path: &str| Path::new(path).starts_with(&env);
            match said.trim().split_once(' ') {
                Some(("-f", path)) if inside(path) => ops.push(Op::SyncAll),
                None if said.trim().is_empty() => ops.push(Op::SyncAll),
                None if inside(said.trim()) => ops.push(Op::Flush),
                _ => {}
            }
        }
        difference(&before, &files(&self.tools.path("env")), &mut ops);
        ops
    }

    /// Whether what was derived makes what is in the directory now.
    fn check_record(&self, disk: &Disk, ops: &[Op]) {
        let mut driver = Driver::new(disk.clone(), false);
        ops.iter().for_each(|op| apply(&mut driver, op));
        if driver.read_only {
            return;
        }
        for (path, bytes) in files(&self.tools.path("env")) {
            if let Some(bytes) = bytes {
                let there = driver.now.read(&path).unwrap_or_default();
                assert!(there == bytes, "{path} differs from the record");
            }
        }
    }
}

/// A call of a tool.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Call {
    Print(Vec<&'static str>),
    Set(String),
    FinishBoot,
}

fn files(top: &Path) -> Files {
    let mut out = Files::new();
    let mut dirs = vec![PathBuf::new()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(top.join(&dir)).unwrap() {
            let entry = entry.unwrap();
            let path = dir.join(entry.file_name());
            let name = path.display().to_string();
            if entry.file_type().unwrap().is_dir() {
                out.insert(name, None);
                dirs.push(path);
            } else {
                out.insert(name, Some(fs::read(entry.path()).unwrap()));
            }
        }
    }
    out
}

/// Adds what makes `after` of `before`; returns how many files that writes. A file that keeps its
/// size is written in place, others are written anew.
fn difference(before: &Files, after: &Files, ops: &mut Vec<Op>) -> usize {
    for path in before.keys().filter(|path| !after.contains_key(*path)) {
        ops.push(Op::Delete(path.clone()));
    }
    let mut changed = 0;
    for (path, bytes) in after {
        match (before.get(path), bytes) {
            (None, None) => ops.push(Op::Mkdir(path.clone())),
            (old, Some(bytes)) if old != Some(&Some(bytes.clone())) => {
                changed += 1;
                let same = old
                    .and_then(Option::as_ref)
                    .is_some_and(|old| old.len() == bytes.len() && !old.is_empty());
                ops.push(match same {
                    true => Op::Overwrite(path.clone(), bytes.clone()),
                    false => Op::Put(path.clone(), bytes.clone()),
                });
            }
            _ => {}
        }
    }
    changed
}
