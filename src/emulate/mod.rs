//! Starts a disk image in QEMU, with the machine and the firmware that it is for, on an overlay
//! that goes away: the image itself is never written.
//!
//! Options of QEMU are those of its manual page, "Standard options" to "Debug/Expert options".

mod boot_files;
mod device;
mod life;
mod machine;
mod powered;
mod root_shell;
mod serial;

pub use device::Driven;
pub use life::{Life, Step, StepVerdict, judged_step, live};
pub use machine::{Firmware, Machine};
pub use serial::{Started, Verdict, watch};

use crate::problem::Problem;
use crate::stream::Content;
use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What has to go when this process is ended by a signal: the emulator, and what it uses.
static LEFT: Mutex<Left> = Mutex::new(Left {
    emulator: None,
    paths: Vec::new(),
});

struct Left {
    emulator: Option<u32>,
    paths: Vec<PathBuf>,
}

fn left() -> MutexGuard<'static, Left> {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes a file or directory that [`abandon`] removes.
pub fn remember(path: &Path) {
    left().paths.push(path.to_owned());
}

/// Ends the emulator and removes what it used, just before this process is ended by a signal.
pub fn abandon() {
    let mut left = left();
    let pid = left.emulator.take().and_then(|pid| i32::try_from(pid).ok());
    if let Some(pid) = pid.and_then(Pid::from_raw) {
        // It may have ended by itself.
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
    for path in left.paths.drain(..) {
        let _ = match path.is_dir() {
            true => fs::remove_dir_all(path),
            false => fs::remove_file(path),
        };
    }
}

/// What the emulated computer has, apart from its disk and firmware.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Memory (MiB).
    pub memory: u32,
    /// Processors.
    pub processors: u32,
    /// The size that the disk is made larger to (bytes), as a card may be larger than the image.
    pub disk_size: Option<u64>,
    /// Ports of this machine and the ports of the system that they lead to (TCP).
    pub forward: Vec<(u16, u16)>,
    /// QEMU's accelerator, as in `tcg`; `None` for the hardware's help where it can be used.
    pub accelerator: Option<String>,
}

/// The format of the image for QEMU's `-drive`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFormat {
    /// The bytes of the disk, or a block device.
    Raw,
    /// QEMU's own format.
    Qcow2,
}

/// A computer with the image as its disk, without power. Its overlay and the variables of its
/// firmware are in a directory that goes away with the value.
#[derive(Debug)]
pub struct Computer {
    machine: Machine,
    arguments: Vec<String>,
    /// Arguments after those of the serial line.
    after_console: Vec<String>,
    accelerator: String,
    dir: tempfile::TempDir,
}

impl Computer {
    /// A computer of this kind with `image` as its disk.
    ///
    /// # Errors
    /// A [`Problem`] if a program or firmware is not installed; I/O errors of the overlay.
    pub fn new(
        machine: Machine,
        (image, format): (&Path, DiskFormat),
        settings: &Settings,
    ) -> Result<Self> {
        find(machine.emulator()).ok_or_else(|| machine.missing(machine.emulator()))?;
        let files = machine.firmware_files()?;
        let dir = tempfile::Builder::new()
            .prefix("goldsmith-boot-")
            .tempdir()
            .context("creating a temporary directory")?;
        remember(dir.path());
        let disk = dir.path().join("disk.qcow2");
        overlay(machine, (image, format), settings.disk_size, &disk)?;
        let accelerator = match &settings.accelerator {
            Some(one) => one.clone(),
            None if machine.has_kvm() => "kvm".to_owned(),
            None => "tcg".to_owned(),
        };
        let mut arguments = settings.arguments(&accelerator);
        arguments.extend(machine.arguments());
        match files.as_slice() {
            [code, variables] => {
                let own = dir.path().join("variables.fd");
                fs::copy(variables, &own)
                    .with_context(|| format!("copying {}", variables.display()))?;
                for (unit, mode, file) in [(0, ",readonly=on", code), (1, "", &own)] {
                    let file = file.display();
                    arguments.push("-drive".to_owned());
                    arguments.push(format!(
                        "if=pflash,format=raw,unit={unit}{mode},file={file}"
                    ));
                }
            }
            [program] => arguments.extend(["-bios".to_owned(), program.display().to_string()]),
            _ => {}
        }
        let drive = format!(
            "if=virtio,format=qcow2,cache=unsafe,file={}",
            disk.display()
        );
        arguments.extend(["-drive".to_owned(), drive]);
        Ok(Self {
            machine,
            arguments,
            after_console: Vec::new(),
            accelerator,
            dir,
        })
    }

    /// Whether it will be about as fast as this machine: KVM runs its instructions.
    #[must_use]
    pub fn is_fast(&self) -> bool {
        self.accelerator.starts_with("kvm")
    }

    /// Puts in a disk (read only) with the bytes of an Artifact, whose length is a multiple of 512.
    ///
    /// # Errors
    /// I/O errors.
    pub fn insert_artifact(&mut self, artifact: &Path) -> Result<()> {
        let path = fs::canonicalize(artifact)
            .with_context(|| format!("opening {}", artifact.display()))?;
        // A comma in the path would end QEMU's option.
        let name = "artifact.mender";
        std::os::unix::fs::symlink(path, self.dir.path().join(name))
            .context("linking to the Artifact")?;
        self.arguments.extend([
            "-drive".to_owned(),
            format!("if=none,id=artifact,format=raw,readonly=on,file={name}"),
            // After the disk, so that the kernel names that one first.
            "-device".to_owned(),
            "virtio-blk-pci,drive=artifact,serial=goldsmith-artifact,addr=0x1d".to_owned(),
        ]);
        Ok(())
    }

    /// A second serial port, which is a socket in the directory.
    fn add_shell(&mut self) {
        let socket = "socket,id=shell,path=shell,server=on,wait=off";
        let port = self.machine.shell_port().arguments;
        let more = [["-chardev", socket], port].concat();
        self.after_console
            .extend(more.iter().map(ToString::to_string));
    }

    /// Writes `content` to the overlay from byte `start` of the disk on.
    fn write(&self, start: u64, content: &Content) -> Result<()> {
        let tool = find("qemu-io").ok_or_else(|| self.machine.missing("qemu-io"))?;
        let name = "piece";
        let piece = self.dir.path().join(name);
        let len = boot_files::save(content, &piece)?;
        let mut command = Command::new(tool);
        let write = format!("write -q -s {name} {start} {len}");
        command
            .args(["-f", "qcow2", "-c", &write, "disk.qcow2"])
            .current_dir(self.dir.path());
        quietly(&mut command, "qemu-io")?;
        fs::remove_file(&piece).context("removing a temporary file")
    }

    /// Switches the power on, with the serial line on the terminal, and waits until it is off.
    /// Returns whether QEMU ended well.
    ///
    /// # Errors
    /// QEMU cannot be started.
    pub fn run(&self) -> Result<bool> {
        let mut child = started(&mut self.command(true))?;
        let status = child.wait().context("waiting for QEMU")?;
        left().emulator = None;
        Ok(status.success())
    }

    /// The command that switches the power on; its serial line is standard input and output.
    fn command(&self, monitor: bool) -> Command {
        let mut command = Command::new(self.machine.emulator());
        let serial = if monitor { "mon:stdio" } else { "stdio" };
        command.args(&self.arguments).args(["-serial", serial]);
        command.args(&self.after_console);
        command.current_dir(self.dir.path());
        command
    }
}

impl Settings {
    fn arguments(&self, accelerator: &str) -> Vec<String> {
        let fixed = "-nodefaults -no-user-config -display none -device virtio-rng-pci";
        let mut out: Vec<String> = fixed.split(' ').map(String::from).collect();
        out.extend(["-accel", accelerator].map(String::from));
        out.extend(["-m".to_owned(), self.memory.to_string()]);
        out.extend(["-smp".to_owned(), self.processors.to_string()]);
        let mut network = "user,model=virtio-net-pci".to_owned();
        for (host, guest) in &self.forward {
            network.push_str(&format!(",hostfwd=tcp:127.0.0.1:{host}-:{guest}"));
        }
        out.extend(["-nic".to_owned(), network]);
        out
    }
}

/// Starts the emulator, which [`abandon`] ends.
fn started(command: &mut Command) -> Result<Child> {
    // Locked meanwhile: a signal finds it or nothing.
    let mut left = left();
    let child = command.spawn().context("starting QEMU")?;
    left.emulator = Some(child.id());
    Ok(child)
}

/// Makes an empty overlay over the image.
fn overlay(
    machine: Machine,
    (image, format): (&Path, DiskFormat),
    size: Option<u64>,
    disk: &Path,
) -> Result<()> {
    let tool = find("qemu-img").ok_or_else(|| machine.missing("qemu-img"))?;
    let image = fs::canonicalize(image).with_context(|| format!("opening {}", image.display()))?;
    let format = match format {
        DiskFormat::Raw => "raw",
        DiskFormat::Qcow2 => "qcow2",
    };
    let mut command = Command::new(tool);
    command.args(["create", "-q", "-f", "qcow2", "-F", format, "-b"]);
    command
        .arg(image)
        .arg(disk)
        .args(size.map(|size| size.to_string()));
    quietly(&mut command, "qemu-img")
}

/// Runs a tool, which says why it fails.
fn quietly(command: &mut Command, name: &str) -> Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("starting {name}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Problem::new(format!("{name}: {}", said.trim())).into())
}

/// The path of a program in the directories of `PATH`.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_as_arguments() {
        let settings = Settings {
            memory: 512,
            processors: 2,
            disk_size: None,
            forward: vec![(2222, 22), (8080, 80)],
            accelerator: None,
        };
        let text = settings.arguments("kvm").join(" ");
        assert!(text.contains("-accel kvm -m 512 -smp 2"), "{text}");
        let forward = ",hostfwd=tcp:127.0.0.1:2222-:22,hostfwd=tcp:127.0.0.1:8080-:80";
        assert!(text.ends_with(forward), "{text}");
    }
}
