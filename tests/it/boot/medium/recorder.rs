//! Records what the driver of a real kernel writes: tools of the device run in QEMU on a mounted
//! FAT, with the kernel and the programs of a golden image, and QEMU keeps a log of each write and
//! each flush.

use super::fat::{Disk, SECTOR, sectors};
use super::recorded::{Logged, MORE, parse};
use crate::convert::conversions::partitions;
use crate::support::golden::golden;
use crate::support::qemu::{BOOT, Machine};
use crate::support::{must, scratch, tool};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The first process: it mounts the root filesystem and goes on there.
const INIT: &str = r#"#!/bin/sh
mkdir -p /dev /proc /sys /root
mount -t devtmpfs none /dev
mount -t proc none /proc
mount -t sysfs none /sys
exec </dev/null >/dev/console 2>&1
modprobe virtio_pci
modprobe virtio_blk
modprobe ext4
mount -t ext4 /dev/vdb2 /root
mount -t devtmpfs none /root/dev
exec chroot /root /bin/sh -c "mount -t tmpfs none /tmp && tar -xf /dev/vdc -C /tmp && . /tmp/script"
"#;

/// A recording that is prepared: what is run, on what.
pub(crate) struct Recorder {
    dir: tempfile::TempDir,
    /// The directory with the tools and what they look for, here and there.
    here: PathBuf,
    /// How the FAT is mounted, on `here` with this name.
    mount: &'static str,
    options: &'static str,
    script: String,
    steps: u32,
}

/// Where the recording of this name is kept.
fn kept(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/boot/medium");
    dir.join(format!("{name}.log.zst"))
}

/// The entries of a log.
fn entries(log: &[u8]) -> Vec<Logged> {
    parse(log, marker())
}

fn marker() -> u32 {
    sectors() + MORE - 1
}

/// The recording that is kept under this name.
pub(crate) fn recording(name: &str) -> Vec<Logged> {
    let bytes = fs::read(kept(name)).expect("a recording");
    entries(&zstd::decode_all(&*bytes).expect("a recording"))
}

impl Recorder {
    /// Nothing to run yet, in the directory `here`, where the FAT is mounted on `mount`.
    pub(crate) fn new(here: &Path, mount: &'static str, options: &'static str) -> Self {
        let dir = scratch();
        fs::create_dir(dir.path().join("steps")).unwrap();
        Self {
            dir,
            here: here.to_owned(),
            mount,
            options,
            script: String::new(),
            steps: 0,
        }
    }

    /// One more step: `command` is run in a shell with these files of the directory and this input.
    pub(crate) fn step(&mut self, files: &[&str], command: &[&str], input: &str) {
        self.steps += 1;
        let staged = self.dir.path().join(format!("steps/{}", self.steps));
        fs::create_dir(&staged).unwrap();
        for name in files {
            must("cp", &[&"-a", &self.here.join(name), &staged]);
        }
        fs::write(staged.with_extension("input"), input).unwrap();
        let (here, number) = (self.here.display(), self.steps);
        let mut all = files.join(" ");
        if files.is_empty() {
            all = ".nothing".to_owned();
        }
        self.script.push_str(&format!(
            "(cd {here} && rm -rf {all}); cp -a /tmp/steps/{number}/. {here}/\n\
             PATH={here}:$PATH sh {here}/{} </tmp/steps/{number}.input || failed=1\n\
             echo \"step {number}, failed:$failed\"; mark\n",
            command.join(" ")
        ));
    }

    /// Runs all steps on a FAT with what is on `disk`; keeps the recording as `name` where results
    /// are blessed. `None`, said aloud, when something for it is not installed.
    pub(crate) fn record(self, name: &str, disk: &Disk) -> Option<Vec<Logged>> {
        let image = golden("mini")?;
        for program in ["qemu-system-x86_64", "debugfs", "bsdtar"] {
            tool(program)?;
        }
        let fat = File::create_new(self.at("fat")).unwrap();
        disk.write_to(&fat).unwrap();
        let length = u64::from(sectors() + MORE) * SECTOR as u64;
        fat.set_len(length).unwrap();
        let log = File::create_new(self.at("log")).unwrap();
        log.set_len(64 << 20).unwrap();
        fs::write(self.at("script"), self.whole_script()).unwrap();
        self.pack(&["script", "steps"], "steps.tar", "gnutar");
        self.take_kernel(&image);
        let arguments = self.arguments(&image);
        let mut machine = Machine::start(&format!("vfat-{name}"), "qemu-system-x86_64", &arguments);
        let said = machine.wait_for("recorded", BOOT);
        let last = format!("step {}, failed:0", self.steps);
        assert!(said.contains(&last), "{said}");
        drop(machine);
        let log = fs::read(self.at("log")).unwrap();
        let used = log.iter().rposition(|byte| *byte != 0).unwrap();
        let log = &log[..(used + 1).next_multiple_of(SECTOR) + SECTOR];
        if std::env::var_os("GOLDSMITH_BLESS").is_some() {
            fs::write(kept(name), zstd::encode_all(log, 19).unwrap()).unwrap();
        }
        Some(entries(log))
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Packs files of the own directory.
    fn pack(&self, names: &[&str], to: &str, format: &str) {
        let (top, to) = (self.dir.path(), self.at(to));
        let mut all: Vec<&dyn AsRef<OsStr>> = vec![&"--format", &format, &"-C", &top, &"-cf", &to];
        all.extend(names.iter().map(|name| name as &dyn AsRef<OsStr>));
        must("bsdtar", &all);
    }

    /// Takes the kernel of a golden image and its initial RAM disk, with a first process of ours.
    fn take_kernel(&self, image: &Path) {
        let start = partitions(image)[&2].start;
        let root = format!("{}?offset={start}", image.display());
        let list = must("debugfs", &[&"-R", &"ls -p /boot", &root]);
        for name in ["vmlinuz", "initrd.img"] {
            let found = list.split('/').find(|word| word.starts_with(name));
            let to = self.at(name);
            let command = format!("dump /boot/{} {}", found.unwrap(), to.display());
            must("debugfs", &[&"-R", &command, &root]);
        }
        fs::write(self.at("record"), INIT).unwrap();
        must("chmod", &[&"755", &self.at("record")]);
        self.pack(&["record"], "own.cpio", "newc");
        let mut both = fs::read(self.at("own.cpio")).unwrap();
        both.resize(both.len().next_multiple_of(512), 0);
        both.extend(fs::read(self.at("initrd.img")).unwrap());
        fs::write(self.at("initrd"), both).unwrap();
    }

    /// QEMU's command line.
    fn arguments(&self, image: &Path) -> Vec<String> {
        let at = |name: &str| self.at(name).display().to_string();
        // Time goes on with the instructions, however little of the processor there is.
        let fixed = "-nodefaults -no-user-config -display none -monitor none -net none -m 768 \
             -accel tcg,thread=single -icount shift=3,sleep=off -cpu max -machine q35 \
             -serial stdio -device virtio-rng-pci -no-reboot -append";
        let mut arguments: Vec<String> = fixed.split_whitespace().map(String::from).collect();
        arguments.push("console=ttyS0 quiet no_timer_check panic=-1 rdinit=/record".into());
        let disk = format!(
            "driver=blklogwrites,node-name=fat,file.driver=file,file.filename={},\
             log.driver=file,log.filename={},log-sector-size=512,log-append=off",
            at("fat"),
            at("log")
        );
        let drive = |how: &str, file: String| format!("if=virtio,format=raw,{how}=on,file={file}");
        for (option, value) in [
            ("-kernel", at("vmlinuz")),
            ("-initrd", at("initrd")),
            ("-blockdev", disk),
            ("-device", "virtio-blk-pci,drive=fat,write-cache=on".into()),
            ("-drive", drive("snapshot", image.display().to_string())),
            ("-drive", drive("readonly", at("steps.tar"))),
        ] {
            arguments.extend([option.into(), value]);
        }
        arguments
    }

    fn whole_script(&self) -> String {
        let (here, mount) = (self.here.display(), self.mount);
        format!(
            "mount -t proc none /proc; mount -t sysfs none /sys; modprobe vfat; failed=0\n\
             mkdir -p {here}/{mount} /var/lock\n\
             mark() {{ printf '%-512s' x | dd of=/dev/vda bs=512 seek={} oflag=direct conv=notrunc 2>/dev/null; }}\n\
             mount -t vfat -o {} /dev/vda {here}/{mount}; mark\n\
             {}umount {here}/{mount}\necho recorded\nsleep 1000\n",
            marker(),
            self.options,
            self.script
        )
    }
}
