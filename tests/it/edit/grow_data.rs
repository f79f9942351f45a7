//! The program that grows the data partition, run with stand-ins for the kernel's view of a disk
//! and for the tools that change it, and with the real ones on converted images.

use crate::convert::conversions::converted;
use crate::support::{must, root, run, scratch, tool};
use std::fs;
use std::os::unix::fs::{FileExt as _, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
    fs::write(path, text).expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("its mode");
}

/// The files of sysfs for a disk with four partitions, below `top`; returns the disk's directory.
fn sysfs(top: &Path, starts: [u32; 4]) -> PathBuf {
    let disk = top.join("devices/sda");
    write(&disk.join("size"), "2097152\n");
    fs::create_dir_all(top.join("class")).expect("a directory");
    for (number, start) in (1..=4).zip(starts) {
        let part = disk.join(format!("sda{number}"));
        write(&part.join("partition"), &format!("{number}\n"));
        write(&part.join("start"), &format!("{start}\n"));
        write(
            &part.join("size"),
            &format!(
                "{}\n",
                if number == 4 {
                    300_000 - starts[3]
                } else {
                    1_000
                }
            ),
        );
        symlink(&part, top.join(format!("class/sda{number}"))).expect("a link");
        write(&top.join(format!("dev/sda{number}")), "");
    }
    disk
}

/// The device's program, with paths below `top`.
fn adapted(top: &Path) -> String {
    include_str!("../../../configs/device/common/grow-data.sh")
        .replace("/sys/class/block", &top.join("class").display().to_string())
        .replace("flock -w 60", "flock -w 1")
        .replace(
            "disk=/dev/",
            &format!("disk={}/", top.join("dev").display()),
        )
        .replace(
            "/usr/lib/systemd/systemd-growfs",
            &top.join("bin/systemd-growfs").display().to_string(),
        )
}

/// A disk `sda` of 1 GiB whose partitions 1 to 4 have the given starts; the last ends at 300,000
/// sectors. Returns what the tools were asked and what the script said. `by` is what the system has
/// to change partitions, `locked` whether another program has locked the disk.
fn grow(by: &str, starts: [u32; 4], locked: bool) -> (String, String) {
    let top = scratch();
    let top = top.path();
    let disk = sysfs(top, starts);
    let log = top.join("log");
    let device = top.join("dev/sda");
    write(&device, "boot code");
    let held = fs::File::open(&device).expect("the disk");
    if locked {
        held.lock().expect("a lock");
    }
    // Each tool says whether udev, which asks for the same lock, would keep off the disk meanwhile,
    // and whether it could wait for udev.
    write(&top.join("bin/udevadm"), "#!/bin/sh\n");
    let tool = |name: &str, then: &str| {
        let waits =
            "command -v udevadm >/dev/null && waits= || waits=' without udev'\nPATH=/usr/bin:/bin";
        let lock = format!(
            "flock -n -s {0} true && locked= || locked=' (disk locked)'",
            device.display()
        );
        let asked = format!(
            "echo \"{name} $*$locked$waits\" | sed 's|{}||' >>{}",
            top.display(),
            log.display()
        );
        write(
            &top.join("bin").join(name),
            &format!("#!/bin/sh\n{waits}\n{lock}\n{asked}\n{then}\n"),
        );
    };
    let grown = format!("echo 2000000 >{}", disk.join("sda4/size").display());
    tool("partx", &grown);
    tool(
        by,
        &if by == "parted" {
            grown
        } else {
            "cat >/dev/null".into()
        },
    );
    for name in ["sfdisk", "parted"].into_iter().filter(|name| *name != by) {
        // Hides the one of this system.
        tool(name, "exit 1");
    }
    tool("systemd-growfs", "");
    write(&top.join("script"), &adapted(top));
    let path = format!("{}:/usr/bin:/bin", top.join("bin").display());
    let output = Command::new("sh")
        .arg(top.join("script"))
        .arg(top.join("dev/sda4"))
        .arg("/data")
        .env("PATH", path)
        .output()
        .expect("a shell");
    assert!(
        output.status.success(),
        "a failure would hold up the boot: {output:?}"
    );
    (
        fs::read_to_string(log).unwrap_or_default(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

#[test]
fn the_partition_grows_and_then_what_is_mounted() {
    let (asked, said) = grow("sfdisk", [2_048, 10_000, 20_000, 30_000], false);
    assert_eq!(
        asked,
        "sfdisk --quiet --no-reread --no-tell-kernel --force -N 4 /dev/sda (disk locked)\n\
         partx --update --nr 4 /dev/sda (disk locked)\n\
         systemd-growfs /data\n",
        "{said}"
    );
}

#[test]
fn udev_keeps_off_while_parted_grows_it() {
    let (asked, said) = grow("parted", [2_048, 10_000, 20_000, 30_000], false);
    let (_, asked) = asked.split_once('\n').expect("sfdisk does not help");
    assert_eq!(
        asked,
        "parted ---pretend-input-tty /dev/sda print (disk locked) without udev\n\
         parted ---pretend-input-tty /dev/sda resizepart 4 100% (disk locked) without udev\n\
         systemd-growfs /data\n",
        "{said}"
    );
}

#[test]
fn a_disk_that_another_program_has_locked_is_left_alone() {
    for by in ["sfdisk", "parted"] {
        let (asked, said) = grow(by, [2_048, 10_000, 20_000, 30_000], true);
        assert_eq!(asked, "");
        assert!(
            said.contains("locked by another program") && !said.contains("could not be changed"),
            "{said}"
        );
    }
}

#[test]
fn it_stays_when_another_partition_lies_behind_it() {
    let (asked, said) = grow("sfdisk", [2_048, 10_000, 400_000, 30_000], false);
    assert_eq!(asked, "");
    assert!(said.contains("another partition"), "{said}");
}

/// A converted image on a larger disk, as a loop device whose data partition is mounted.
struct Disk {
    dir: tempfile::TempDir,
    device: String,
}

impl Disk {
    /// `None`, said aloud, where loop devices or tools are missing. `first` replaces the first byte
    /// of the disk.
    fn new(variant: &str, first: Option<u8>) -> Option<Self> {
        let (losetup, _) = (tool("losetup").filter(|_| root())?, tool("sfdisk")?);
        let made = converted(variant, "release-1")?;
        let dir = scratch();
        let card = dir.path().join("card");
        must("cp", &[&"--sparse=always", &made.image, &card]);
        let file = fs::OpenOptions::new()
            .write(true)
            .open(&card)
            .expect("the card");
        file.set_len(3 << 30).expect("a larger card");
        file.write_all_at(first.as_slice(), 0)
            .expect("its first byte");
        let device = must(losetup, &[&"--find", &"--show", &"--partscan", &card])
            .trim()
            .to_owned();
        let disk = Self { dir, device };
        // Not every kernel looks for partitions by itself.
        run("partx", &[&"--add", &disk.device]);
        let number =
            fs::read_to_string(disk.block().join("dev")).expect("the number of the device");
        let (major, minor) = number.trim().split_once(':').expect("two numbers");
        if !disk.part().exists() {
            must("mknod", &[&disk.part(), &"b", &major, &minor]);
        }
        fs::create_dir(disk.data()).expect("a directory");
        must("mount", &[&disk.part(), &disk.data()]);
        Some(disk)
    }

    fn part(&self) -> PathBuf {
        format!("{}p4", self.device).into()
    }

    fn block(&self) -> PathBuf {
        Path::new("/sys/class/block").join(self.part().file_name().expect("a name"))
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// MiB of the partition, as the kernel sees it.
    fn size(&self) -> u64 {
        let sectors = fs::read_to_string(self.block().join("size")).expect("a size");
        sectors.trim().parse::<u64>().expect("a number") / 2048
    }

    /// What the table says, without sizes.
    fn identity(&self) -> Vec<String> {
        let table = must(
            tool("sfdisk").expect("looked for before"),
            &[&"--dump", &self.device],
        );
        let lines = table.lines().filter(|line| !line.starts_with("last-lba"));
        lines
            .map(|line| {
                line.split(", ")
                    .filter(|field| !field.contains("size="))
                    .collect::<Vec<_>>()
                    .join(", ")
            })
            .collect()
    }

    /// Runs the program where only `tools` can change a table; `more` is searched for commands
    /// besides.
    fn grow(&self, tools: &[&str], more: &str) -> Option<String> {
        let bin = self.dir.path().join("bin");
        fs::create_dir_all(&bin).expect("a directory");
        for name in [
            "cat",
            "dd",
            "flock",
            "od",
            "partx",
            "readlink",
            "resize2fs",
            "sh",
            "tr",
        ]
        .iter()
        .chain(tools)
        {
            symlink(tool(name)?, bin.join(name)).expect("a link");
        }
        let script = self.dir.path().join("script");
        write(
            &script,
            include_str!("../../../configs/device/common/grow-data.sh"),
        );
        let path = format!("{}{more}", bin.display());
        let output = Command::new(bin.join("sh"))
            .arg(script)
            .arg(self.part())
            .arg(self.data())
            .env("PATH", path)
            .output()
            .expect("a shell");
        assert!(output.status.success(), "{output:?}");
        Some(format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &[&self.data()]);
        run("partx", &[&"--delete", &self.device]);
        run("losetup", &[&"-d", &self.device]);
        let _ = fs::remove_file(self.part());
    }
}

#[test]
fn partitions_keep_their_identities_whichever_tool_grows_the_last() {
    let cases: [(&str, &[&str], &str); 5] = [
        ("mini", &["sfdisk"], ""),
        ("mini", &["parted"], ""),
        ("mini", &["sgdisk", "growpart"], ":/usr/bin:/bin"),
        ("mbr", &["sfdisk"], ""),
        ("mbr", &["parted"], ""),
    ];
    for (variant, tools, more) in cases {
        let Some(disk) = Disk::new(variant, None) else {
            return;
        };
        let before = (disk.identity(), disk.size());
        let Some(said) = disk.grow(tools, more) else {
            return;
        };
        assert_eq!(disk.identity(), before.0, "{variant} by {tools:?}: {said}");
        assert!(
            disk.size() > before.1 + 1000,
            "{variant} by {tools:?}: {}: {said}",
            disk.size()
        );
        // That the mounted filesystem follows is seen where converted images start: it takes a
        // right that containers lack.
        must(
            tool("sfdisk").expect("looked for before"),
            &[&"--verify", &disk.device],
        );
        must("umount", &[&disk.data()]);
        must(
            tool("e2fsck").expect("of the package of resize2fs"),
            &[&"-f", &"-n", &disk.part()],
        );
    }
}

#[test]
fn a_disk_that_parted_would_take_for_a_new_one_is_left_alone() {
    let Some(disk) = Disk::new("mbr", Some(0)) else {
        return;
    };
    let before = (disk.identity(), disk.size());
    let Some(said) = disk.grow(&["parted"], "") else {
        return;
    };
    assert!(said.contains("could not be changed"), "{said}");
    assert_eq!((disk.identity(), disk.size()), before);
    // It would be another one.
    let parted = tool("parted").expect("linked before");
    run(
        parted,
        &[&"--script", &disk.device, &"set", &"1", &"boot", &"on"],
    );
    assert_ne!(
        disk.identity()[1],
        before.0[1],
        "parted keeps the identifier: is the rule still needed?"
    );
}
