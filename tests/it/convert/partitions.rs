//! Further partitions of golden images: what becomes of them, in the plan and on the disk.

use crate::support::images::{ESP, LINUX, can_make, debian, disk, ext4};
use crate::support::{goldsmith, must, scratch, tool};
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// UUIDs of further filesystems, by number of the partition.
fn uuid(number: u32) -> String {
    format!("{number:08}-2222-4333-8444-555555555555")
}

/// A golden image that is being put together.
struct Golden {
    dir: tempfile::TempDir,
    partitions: Vec<(&'static str, PathBuf)>,
    /// How many of them are in front of the boot partition.
    front: usize,
}

impl Golden {
    /// Boot and root partition of a small Debian, with these lines in `fstab`.
    fn new(fstab: &str) -> Option<Self> {
        if !can_make() || tool("debugfs").is_none() {
            return None;
        }
        let golden = Self {
            dir: scratch(),
            partitions: Vec::new(),
            front: 0,
        };
        debian(&golden.at("root"), 3 << 20);
        let path = golden.at("root/etc/fstab");
        let text = fs::read_to_string(&path).unwrap() + fstab;
        fs::write(path, text).unwrap();
        Some(golden)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file below the directory of the golden image's parts.
    fn file(&self, path: &str, text: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A further ext4 partition, with the files of `tree` and this label.
    fn add(&mut self, tree: &str, label: &str) -> &mut Self {
        let number = self.partitions.len() as u32 + 3;
        let image = self.at(&format!("{number}.ext4"));
        let mke2fs = tool("mke2fs").unwrap();
        let tree = self.at(tree);
        fs::create_dir_all(&tree).unwrap();
        must(
            mke2fs,
            &[
                &"-q",
                &"-F",
                &"-t",
                &"ext4",
                &"-L",
                &label,
                &"-U",
                &uuid(number),
                &"-d",
                &tree,
                &image,
                &"8M",
            ],
        );
        self.partitions.push((LINUX, image));
        self
    }

    /// A further partition with these bytes at its start.
    fn bytes(&mut self, kind: &'static str, bytes: &[u8], mib: u64) -> &mut Self {
        let number = self.partitions.len() + 3;
        let image = self.at(&format!("{number}.bytes"));
        fs::write(&image, bytes).unwrap();
        let file = fs::OpenOptions::new().write(true).open(&image).unwrap();
        file.set_len(mib << 20).unwrap();
        self.partitions.push((kind, image));
        self
    }

    /// Writes `golden.img`.
    fn write(&self) {
        let (root, esp) = (self.at("root.ext4"), self.at("esp.fat"));
        ext4(&self.at("root"), &root, 16);
        fs::File::create(&esp).unwrap().set_len(8 << 20).unwrap();
        must(tool("mkfs.vfat").unwrap(), &[&"-n", &"ESP", &esp]);
        let own: [(&str, &Path); 2] = [(ESP, &esp), (LINUX, &root)];
        let further = self.partitions.iter();
        let mut all: Vec<(&str, &Path)> = further
            .map(|(kind, file)| (*kind, file.as_path()))
            .collect();
        all.splice(self.front..self.front, own);
        disk(&self.at("golden.img"), &all);
    }

    /// Runs `plan` or `convert` with this configuration: whether it succeeded, and all it said.
    fn run(&self, command: &str, config: &str) -> (bool, String) {
        fs::write(self.at("config.toml"), config).unwrap();
        let mut line = Command::new(goldsmith());
        line.arg(command)
            .args(["-n", "r1", "--config", "qemux86-64"]);
        line.arg("--config").arg(self.at("config.toml"));
        for setting in [
            "client.required=false",
            "storage.size=256 MiB",
            "boot.size=36 MiB",
            "data.size=32 MiB",
            "output.name=out",
        ] {
            line.args(["--set", setting]);
        }
        if command == "convert" {
            line.arg("--output-dir").arg(self.dir.path());
        }
        let output = line.arg(self.at("golden.img")).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        (output.status.success(), text)
    }

    /// Converts, verifies, and takes the partitions of the result out: `1` to `4`.
    fn converted(&self, config: &str) -> String {
        let (done, said) = self.run("convert", config);
        assert!(done, "{said}");
        let image = self.at("out.img");
        must(goldsmith(), &[&"verify", &image]);
        let record = self.record();
        for part in record["disk"]["partitions"].as_array().unwrap() {
            let bytes = |key: &str| part[key].as_u64().unwrap() >> 20;
            let [from, to] = [
                format!("if={}", image.display()),
                format!("of={}", self.at(&part["number"].to_string()).display()),
            ];
            let (skip, count) = (
                format!("skip={}", bytes("start")),
                format!("count={}", bytes("size")),
            );
            must("dd", &[&from, &to, &"bs=1M", &skip, &count, &"status=none"]);
        }
        said
    }

    fn record(&self) -> serde_json::Value {
        serde_json::from_slice(&fs::read(self.at("out.json")).unwrap()).unwrap()
    }

    /// What `debugfs` says of the filesystem in the partition `number` of the result.
    fn ask(&self, number: u32, request: &str) -> String {
        let image = self.at(&number.to_string());
        must(tool("debugfs").unwrap(), &[&"-R", &request, &image])
    }
}

/// A golden image with `/home` by UUID and `/var/log` by a unit.
fn two() -> Option<Golden> {
    let mut golden = Golden::new(&format!(
        "UUID={}\t/home/ ext4 defaults,nosuid,data=ordered 0 2\n",
        uuid(3)
    ))?;
    golden.file("root/home/hidden", "below the mount");
    golden.file("home/user/.ssh/authorized_keys", "key");
    fs::set_permissions(golden.at("home/user"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::hard_link(
        golden.at("home/user/.ssh/authorized_keys"),
        golden.at("home/link"),
    )
    .unwrap();
    golden.file("log/syslog", "a line");
    let unit = "[Mount]\nWhat=/dev/disk/by-label/LOGS\nWhere=/var/log\nOptions=noatime\n";
    golden.file("root/etc/systemd/system/var-log.mount", unit);
    golden.file(
        "root/etc/systemd/system/local-fs.target.wants/var-log.mount",
        unit,
    );
    golden.add("home", "home").add("log", "logs").write();
    Some(golden)
}

#[test]
fn files_of_further_partitions_are_not_lost_without_a_decision() {
    let Some(golden) = two() else { return };
    let (done, said) = golden.run("plan", "");
    assert!(!done, "{said}");
    for part in [
        "partition 3 \"home\" (8 MiB, ext4, ",
        "mounted on /home by /etc/fstab line 3",
        "partition 4 \"logs\" (8 MiB, ext4, ",
        ": syslog) is mounted on /var/log by /etc/systemd/system/var-log.mount",
        "[[partition]]\nnumber = 3\ndo = \"data\"\n",
        "[[partition]]\nnumber = 4\ndo = \"data\"\n",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // The advice works as it is.
    let advice: String = said
        .split("[[partition]]")
        .skip(1)
        .map(|rest| {
            let lines: Vec<&str> = rest.lines().skip(1).take(2).collect();
            format!("[[partition]]\n{}\n", lines.join("\n"))
        })
        .collect();
    let (done, said) = golden.run("plan", &advice);
    assert!(done, "{advice}\n{said}");
    assert!(said.contains("Golden partitions"), "{said}");
}

#[test]
fn files_move_to_the_data_partition_and_are_mounted_as_before() {
    let Some(golden) = two() else { return };
    let config = "[[partition]]\nlabel = \"home\"\ndo = \"data\"\n\
                  [[partition]]\nlabel = \"LOGS\"\ndo = \"data\"\n";
    let said = golden.converted(config);
    assert!(
        said.contains("its files are moved to /data/home on the data partition"),
        "{said}"
    );
    let fstab = golden.ask(2, "cat /etc/fstab");
    for line in [
        "/data/home /home none bind,nosuid,x-systemd.requires-mounts-for=/data 0 0\n",
        "/data/var/log /var/log none bind,noatime,x-systemd.requires-mounts-for=/data 0 0\n",
    ] {
        assert!(fstab.contains(line), "{fstab}");
    }
    assert!(!fstab.contains(&uuid(3)), "{fstab}");
    let keys = golden.ask(4, "cat /home/user/.ssh/authorized_keys");
    assert_eq!(keys, "key");
    assert!(golden.ask(4, "stat /home/link").contains("Links: 2"));
    assert!(golden.ask(4, "stat /home/user").contains("Mode:  0700"));
    assert_eq!(golden.ask(4, "cat /var/log/syslog"), "a line");
    for gone in [
        "/etc/systemd/system/var-log.mount",
        "/etc/systemd/system/local-fs.target.wants/var-log.mount",
    ] {
        let stat = golden.ask(2, &format!("stat {gone}"));
        assert!(!stat.contains("Inode:"), "{stat}");
    }
    assert!(golden.ask(2, "stat /var/log").contains("directory"));
    let fates: Vec<String> = golden.record()["input"]["partitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| part["fate"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(fates, ["boot", "root", "data", "data"]);
    assert_eq!(
        golden.record()["family"]["data_dirs"],
        serde_json::json!(["/data/home", "/data/var/log"])
    );
}

#[test]
fn files_become_a_part_of_the_root_filesystem() {
    let Some(golden) = two() else { return };
    let config = "[[partition]]\nnumber = 3\ndo = \"merge\"\n\
                  [[partition]]\nnumber = 4\ndo = \"merge\"\n";
    let said = golden.converted(config);
    for part in [
        "is merged into /home of both root filesystems",
        "the entries of /home that it hid are removed: hidden",
        "is commented out: its files are a part of the root filesystem",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    for slot in [2, 3] {
        let keys = golden.ask(slot, "cat /home/user/.ssh/authorized_keys");
        assert_eq!(keys, "key");
        assert!(golden.ask(slot, "stat /home/link").contains("Links: 2"));
        assert!(!golden.ask(slot, "stat /home/hidden").contains("Inode:"));
        assert_eq!(golden.ask(slot, "cat /var/log/syslog"), "a line");
    }
    let fstab = golden.ask(2, "cat /etc/fstab");
    assert!(
        fstab.contains("\n# its files are a part of the root filesystem; the line was:\n# UUID="),
        "{fstab}"
    );
    let fates = golden.record()["input"]["partitions"][2].clone();
    assert_eq!(fates["path"], "/home");
    assert_eq!(fates["mounts"][0]["by"], "/etc/fstab line 3");
}

#[test]
fn merged_kernels_and_packages_are_those_of_the_system() {
    // `/boot` and `/var` are partitions of their own: without them there is neither a kernel nor a
    // package database.
    let lines = format!(
        "UUID={} /boot ext4 defaults 0 2\nLABEL=var /var ext4 defaults 0 2\n",
        uuid(3)
    );
    let Some(mut golden) = Golden::new(&lines) else {
        return;
    };
    let init = golden.at("root/usr/sbin/init");
    fs::copy(golden.at("root/usr/bin/dash"), init).unwrap();
    for part in ["boot", "var"] {
        fs::rename(golden.at(&format!("root/{part}")), golden.at(part)).unwrap();
        fs::create_dir(golden.at(&format!("root/{part}"))).unwrap();
    }
    golden.add("boot", "").add("var", "var").write();
    let (done, said) = golden.run("plan", "");
    assert!(!done && said.contains("do = \"merge\""), "{said}");
    let config = "[[partition]]\nnumber = 3\ndo = \"merge\"\n\
                  [[partition]]\nlabel = \"VAR\"\ndo = \"merge\"\n";
    golden.converted(config);
    let status = golden.ask(2, "stat /var/lib/dpkg/status");
    assert!(status.contains("Inode:"), "{status}");
    let kernel = golden.ask(2, "stat /boot/vmlinuz-6.1.0-1");
    assert!(kernel.contains("Inode:"), "{kernel}");
    // They cannot be on the data partition: an update replaces them.
    let data = "[[partition]]\nnumber = 3\ndo = \"merge\"\n\
                [[partition]]\nnumber = 4\ndo = \"data\"\n";
    let (done, said) = golden.run("plan", data);
    assert!(
        !done && said.contains("an update replaces the files of /var"),
        "{said}"
    );
}

#[test]
fn a_data_partition_is_carried_over() {
    let line = format!("UUID={} /data ext4 defaults,noatime 0 2\n", uuid(3));
    let Some(mut golden) = Golden::new(&line) else {
        return;
    };
    golden.file("root/data/hidden", "below the mount");
    golden.file("data/app/state", "state");
    golden.add("data", "").write();
    let said = golden.converted("");
    assert!(
        said.contains("its files are moved to the data partition"),
        "{said}"
    );
    assert!(!said.contains("is not carried over"), "{said}");
    assert_eq!(golden.ask(4, "cat /app/state"), "state");
    assert!(!golden.ask(4, "stat /hidden").contains("Inode:"));
    let fstab = golden.ask(2, "cat /etc/fstab");
    assert_eq!(fstab.matches("/data").count(), 1, "{fstab}");
    // Left out on request, and named.
    let (done, said) = golden.run("plan", "[[partition]]\nnumber = 3\ndo = \"drop\"\n");
    assert!(
        done && said.contains("is left out: as configured"),
        "{said}"
    );
}

#[test]
fn a_fat_partition_keeps_the_owner_that_its_mount_options_give_it() {
    let line = "LABEL=FILES /srv/files vfat uid=1000,gid=100,umask=027 0 0\n";
    let Some(mut golden) = Golden::new(line) else {
        return;
    };
    let Some(mcopy) = tool("mcopy") else { return };
    golden.file("note.txt", "text");
    golden.bytes(LINUX, b"", 8);
    let image = golden.at("3.bytes");
    must(tool("mkfs.vfat").unwrap(), &[&"-n", &"FILES", &image]);
    must(
        mcopy,
        &[&"-i", &image, &golden.at("note.txt"), &"::/note.txt"],
    );
    golden.write();
    golden.converted("[[partition]]\nlabel = \"FILES\"\ndo = \"merge\"\n");
    let stat = golden.ask(2, "stat /srv/files/note.txt");
    assert!(stat.contains("Mode:  0750"), "{stat}");
    assert!(stat.contains("User:  1000   Group:   100"), "{stat}");
    assert_eq!(golden.ask(2, "cat /srv/files/note.txt"), "text");
}

#[test]
fn a_boot_loader_in_a_partition_is_copied_in_place_and_other_data_is_named() {
    let Some(mut golden) = Golden::new("") else {
        return;
    };
    golden.file("root/etc/fstab", "/dev/sda3 / ext4 defaults 0 1\n");
    let loader = b"the first stage of a boot loader";
    golden.bytes(LINUX, loader, 1).front = 1;
    golden.write();
    let poke = |at: u64, bytes: &[u8]| {
        let file = fs::OpenOptions::new()
            .write(true)
            .open(golden.at("golden.img"));
        file.unwrap().write_all_at(bytes, at).unwrap();
    };
    let size = fs::metadata(golden.at("golden.img")).unwrap().len();
    poke(100 << 10, b"in front");
    poke(size - (1 << 20) + 5000, b"at the end");
    let said = golden.converted("");
    for part in [
        "partition 1 (1 MiB, unknown data) is copied in place, to bytes 1048576 to 2097151",
        "of the golden image, in front of the first partition, hold data (from byte 102400 on) that \
         is left out; boot.copy-gap = true copies it",
        ", after the last partition, hold data (from byte ",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let read = |at: u64, len: usize| {
        let mut bytes = vec![0; len];
        let image = fs::File::open(golden.at("out.img")).unwrap();
        image.read_exact_at(&mut bytes, at).unwrap();
        bytes
    };
    assert_eq!(read(1 << 20, loader.len()), loader);
    assert_eq!(read(100 << 10, 8), [0; 8]);
    let record = golden.record();
    assert_eq!(record["input"]["partitions"][0]["fate"], "copied");
    assert_eq!(record["input"]["areas"][0]["fate"], "dropped");
    assert_eq!(record["input"]["areas"].as_array().unwrap().len(), 2);
    golden.converted("[boot]\ncopy-gap = true\n");
    assert_eq!(read(100 << 10, 8), b"in front");
    assert_eq!(golden.record()["input"]["areas"][0]["fate"], "copied");
    // A blob of the configuration may not meet it.
    golden.file("blob", "blob");
    let (done, said) = golden.run(
        "plan",
        "[[partition]]\nnumber = 1\ndo = \"copy\"\n[[raw]]\nfile = \"blob\"\noffset = \"1 MiB\"\n",
    );
    assert!(
        !done && said.contains("overlaps partition 1 of the golden image at"),
        "{said}"
    );
}

#[test]
fn a_partition_that_cannot_be_read_is_shown_and_does_not_hide_root() {
    let Some(mut golden) = Golden::new("") else {
        return;
    };
    golden.file("damaged/file", "text");
    golden.add("damaged", "").write();
    // The inode of its root directory: no magic number depends on it.
    let at = (1 << 20) + (24 << 20);
    let image = fs::OpenOptions::new()
        .write(true)
        .open(golden.at("golden.img"));
    let noise = crate::support::noise(1 << 20, 3);
    image.unwrap().write_all_at(&noise, at + 4096).unwrap();
    let output = Command::new(goldsmith())
        .arg("inspect")
        .arg(golden.at("golden.img"))
        .output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && said.contains(", not readable: "),
        "{said}"
    );
    let (done, said) = golden.run("plan", "");
    assert!(done && said.contains(", not readable: "), "{said}");
    assert!(said.contains("is left out: nothing mounts it"), "{said}");
}
