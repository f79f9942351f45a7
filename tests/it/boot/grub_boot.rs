//! The boot script in the real GRUB, behind the real shim, under emulation: which root filesystem
//! it starts and what it writes, held against the model of the state machine.
//!
//! The kernel and the boot programs are Debian's, fetched once into `target/boot-packages/`. A boot
//! ends at the kernel's first lines.

use crate::boot::grubenv::{medium, number, place};
use crate::support::qemu::{Board, Firmware};
use crate::support::{must, scratch, tool};
use goldsmith::boot::grub::{self, GrubOptions};
use goldsmith::boot::state::{Block, BlockPair, Cut, EnvCopy, Environment as _, Slot, Values};
use goldsmith::platform::Architecture;
use goldsmith::platform::TableKind;
use goldsmith::stamp::Time;
use goldsmith::stream::ReadAt as _;
use goldsmith::tree::editor::TreeEditor;
use goldsmith::tree::{DirEntry, LeafKind, Stat, Tree};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

const MIB: u64 = 1 << 20;
/// Where the partitions begin and how long they are (MiB): the boot partition, slot A, slot B.
const PARTITIONS: [(u64, u64); 3] = [(1, 32), (33, 64), (97, 64)];
const PARTUUIDS: [&str; 3] = [
    "11111111-2222-4333-8444-555555555501",
    "11111111-2222-4333-8444-555555555502",
    "11111111-2222-4333-8444-555555555503",
];
const BOOT: Duration = Duration::from_secs(180);

/// The unpacked packages of an architecture; `None`, said aloud, where they cannot be fetched.
fn packages(arch: Architecture) -> Option<PathBuf> {
    let name = if arch == Architecture::Amd64 {
        "boot-packages".to_owned()
    } else {
        format!("boot-packages-{}", arch.name())
    };
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name(name);
    if !dir.join("complete").exists() {
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        fetch(arch, &dir)?;
        fs::write(dir.join("complete"), "").unwrap();
    }
    Some(dir)
}

/// Apt, working in `dir`; for a foreign architecture with lists of its own, which do not disturb
/// the host's.
fn apt(arch: Architecture, dir: &Path) -> Option<Command> {
    let mut command = Command::new(tool("apt-get")?);
    command.arg("-q").current_dir(dir);
    if arch != Architecture::Amd64 {
        let lists = dir.join("lists");
        fs::create_dir_all(lists.join("partial")).unwrap();
        for (key, value) in [
            ("APT::Architecture", arch.name()),
            ("APT::Architectures", arch.name()),
            ("APT::Sandbox::User", "root"),
        ] {
            command.args(["-o", &format!("{key}={value}")]);
        }
        command
            .args(["-o", "Acquire::Languages=none", "-o"])
            .arg(format!("Dir::State::lists={}", lists.display()));
        command
            .arg("-o")
            .arg(format!("Dir::Cache={}", dir.display()));
    }
    Some(command)
}

fn fetch(arch: Architecture, dir: &Path) -> Option<()> {
    let dpkg_deb = tool("dpkg-deb")?;
    let debs = || {
        fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "deb"))
    };
    let names: &[&str] = match arch {
        Architecture::Amd64 => &[
            "linux-image-cloud-amd64",
            "grub-efi-amd64-signed",
            "shim-signed",
            "shim-helpers-amd64-signed",
        ],
        Architecture::Arm64 => &[
            "linux-image-cloud-arm64",
            "grub-efi-arm64-signed",
            "shim-signed",
            "shim-helpers-arm64-signed",
        ],
        Architecture::I386 => &[
            "linux-image-686-pae",
            "grub-efi-ia32-signed",
            "shim-signed",
            "shim-helpers-i386-signed",
        ],
        // Nothing is signed, and GRUB is in pieces.
        Architecture::Armhf => &["linux-image-armmp-lpae", "grub-efi-arm-bin"],
    };
    if arch != Architecture::Amd64 {
        // A list that cannot be had is missed when a package cannot.
        apt(arch, dir)?.arg("update").output().unwrap();
    }
    let download = |names: &[&str]| {
        let output = apt(arch, dir)?
            .arg("download")
            .args(names)
            .output()
            .unwrap();
        if !output.status.success() {
            assert!(
                std::env::var_os("CI").is_none(),
                "fetching {names:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            eprintln!("SKIPPED: {names:?} cannot be fetched");
        }
        output.status.success().then_some(())
    };
    download(names)?;
    let kernel = debs()
        .find(|path| path.to_str().unwrap().contains(names[0]))
        .unwrap();
    let depends = must(&dpkg_deb, &[&"-f", &kernel, &"Depends"]);
    download(&[depends.split([' ', ',']).next().unwrap()])?;
    for deb in debs().collect::<Vec<_>>() {
        must(&dpkg_deb, &[&"-x", &deb, &dir]);
        fs::remove_file(deb).unwrap();
    }
    Some(())
}

/// An integrated root filesystem and boot partition, as directories.
struct Golden {
    dir: tempfile::TempDir,
    arch: Architecture,
    version: String,
}

fn golden(arch: Architecture) -> Option<&'static Golden> {
    static GOLDEN: Mutex<Vec<(Architecture, Option<&'static Golden>)>> = Mutex::new(Vec::new());
    let mut golden = GOLDEN.lock().unwrap();
    if let Some((_, found)) = golden.iter().find(|(known, _)| *known == arch) {
        return *found;
    }
    let tools = ["sgdisk", "mformat", "mcopy", "mke2fs"]
        .iter()
        .all(|name| tool(name).is_some());
    // Kept until the process ends, like every fixture of a run.
    let made = if tools {
        packages(arch).map(|packages| &*Box::leak(Box::new(make_golden(arch, &packages))))
    } else {
        None
    };
    golden.push((arch, made));
    made
}

/// The first serial line, as Linux calls it.
fn serial(arch: Architecture) -> &'static str {
    if matches!(arch, Architecture::Arm64 | Architecture::Armhf) {
        "ttyAMA0"
    } else {
        "ttyS0"
    }
}

fn options(arch: Architecture) -> GrubOptions<'static> {
    GrubOptions {
        roots: [2, 3],
        partuuids: [PARTUUIDS[1], PARTUUIDS[2]],
        table: TableKind::Gpt,
        boot_mount: "/boot/efi",
        arch,
        more_arguments: "panic=-1",
    }
}

fn make_golden(arch: Architecture, packages: &Path) -> Golden {
    let suffix = arch.efi_suffix();
    let kernels = fs::read_dir(packages.join("boot")).unwrap();
    let mut names = kernels.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let version = names
        .find_map(|name| Some(name.strip_prefix("vmlinuz-")?.to_owned()))
        .unwrap();
    let stat = || Stat::root(0o755, Time::default());
    let [mut root, mut boot] = [Tree::new(stat()), Tree::new(stat())];
    let platform = arch.grub_platform();
    let mut paths = vec![format!("/boot/vmlinuz-{version}")];
    if arch == Architecture::Armhf {
        install_grub(
            &mut root,
            &packages.join("usr/lib/grub").join(platform),
            platform,
        );
    } else {
        paths.extend(
            ["shim", "mm", "fb"].map(|name| format!("/usr/lib/shim/{name}{suffix}.efi.signed")),
        );
        paths.push(format!(
            "/usr/lib/grub/{platform}-signed/grub{suffix}.efi.signed"
        ));
    }
    for path in paths {
        root.put_file(&path, fs::read(packages.join(&path[1..])).unwrap(), stat())
            .unwrap();
    }
    root.put_file(format!("/boot/initrd.img-{version}"), empty_cpio(), stat())
        .unwrap();
    let menu = format!(
        "menuentry x {{\nlinux /vmlinuz root=UUID=1234 ro console={} loglevel=6\n}}\n",
        serial(arch)
    );
    root.put_file("/boot/grub/grub.cfg", menu, stat()).unwrap();
    boot.put_file("/efi/debian/grub.cfg", "echo old\n", stat())
        .unwrap();
    let mut editors = [
        TreeEditor::new(&mut root, Time::default()),
        TreeEditor::new(&mut boot, Time::default()),
    ];
    let [root_editor, boot_editor] = &mut editors;
    let installed = grub::integrate(root_editor, boot_editor, &options(arch)).unwrap();
    assert_eq!(
        installed.secure_boot,
        arch != Architecture::Armhf,
        "{installed:?}"
    );
    let _ = root.remove("/usr");
    let dir = scratch();
    write_tree(&root, &dir.path().join("root"));
    write_tree(&boot, &dir.path().join("boot"));
    Golden { dir, arch, version }
}

/// What grub-install puts below `/boot/grub`, from the modules in `dir`: they, and a program that
/// looks for them there.
fn install_grub(root: &mut Tree, dir: &Path, platform: &str) {
    let scratch = scratch();
    let core = scratch.path().join("core.efi");
    let grub_mkimage = tool("grub-mkimage").expect("of the same package as grub-script-check");
    must(
        grub_mkimage,
        &[
            &"-O",
            &platform,
            &"-d",
            &dir,
            &"-p",
            &"(,gpt2)/boot/grub",
            &"-o",
            &core,
            &"part_gpt",
            &"ext2",
        ],
    );
    let modules = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file());
    for path in modules.chain([core]) {
        let name = path.file_name().unwrap().to_str().unwrap();
        root.put_file(
            format!("/boot/grub/{platform}/{name}"),
            fs::read(&path).unwrap(),
            Stat::root(0o644, Time::default()),
        )
        .unwrap();
    }
}

/// An archive of no files, as `cpio -o -H newc` makes it.
fn empty_cpio() -> Vec<u8> {
    let mut out = b"070701".to_vec();
    out.extend(
        [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 11, 0]
            .iter()
            .flat_map(|field| format!("{field:08x}").into_bytes()),
    );
    out.extend(b"TRAILER!!!\0\0\0\0");
    out.resize(512, 0);
    out
}

fn write_tree(tree: &Tree, to: &Path) {
    fs::create_dir_all(to).unwrap();
    tree.visit(&mut |path, entry| {
        let path = to.join(std::str::from_utf8(&path[1..]).unwrap());
        match entry {
            DirEntry::Dir(_) => fs::create_dir_all(path).unwrap(),
            DirEntry::Leaf(id) => match &tree.leaf(*id).kind {
                LeafKind::File(content) => {
                    fs::write(path, content.read_all(content.len()).unwrap()).unwrap()
                }
                LeafKind::Symlink(target) => {
                    std::os::unix::fs::symlink(std::str::from_utf8(target).unwrap(), path).unwrap();
                }
                other => panic!("{other:?}"),
            },
        }
    });
}

/// What is in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// The integrated root filesystem.
    Good,
    /// The same without links to the kernel.
    NoLinks,
    /// An older and a newer kernel, of which the newer has no initrd, and no links.
    HalfUpgraded,
    /// A kernel of noise.
    Garbage,
    /// A kernel whose signature does not fit any more.
    Forged,
    /// No filesystem.
    Nothing,
}

impl Content {
    /// Whether the slot can be started.
    fn loads(self, firmware: Firmware) -> bool {
        match self {
            Self::Good | Self::NoLinks | Self::HalfUpgraded => true,
            Self::Garbage | Self::Nothing => false,
            Self::Forged => !firmware.is_secure(),
        }
    }

    /// Makes the slot's filesystem.
    fn write(self, golden: &Golden, scratch: &Path, disk: &Path, (start, len): (u64, u64)) {
        if self == Self::Nothing {
            return;
        }
        let dir = scratch.join(format!("slot-{start}"));
        must("cp", &[&"-a", &golden.dir.path().join("root"), &dir]);
        let kernel = dir.join(format!("boot/vmlinuz-{}", golden.version));
        if self == Self::NoLinks || self == Self::HalfUpgraded {
            ["vmlinuz", "initrd.img"]
                .iter()
                .for_each(|name| fs::remove_file(dir.join(name)).unwrap());
        }
        match self {
            Self::HalfUpgraded => {
                fs::write(dir.join("boot/vmlinuz-99.1-cloud-new"), "new").unwrap()
            }
            Self::Garbage => fs::write(&kernel, vec![0x5a; 1 << 20]).unwrap(),
            Self::Forged => {
                let mut bytes = fs::read(&kernel).unwrap();
                // The version text of the setup code: signed, and of no use to who boots.
                let at = bytes
                    .windows(7)
                    .position(|text| text == b"debian-")
                    .unwrap();
                bytes[at] = b'D';
                fs::write(&kernel, bytes).unwrap();
            }
            _ => {}
        }
        let offset = format!("offset={}", start * MIB);
        must(
            tool("mke2fs").unwrap(),
            &[
                &"-q",
                &"-F",
                &"-t",
                &"ext4",
                &"-d",
                &dir,
                &"-E",
                &offset,
                &disk,
                &format!("{len}M"),
            ],
        );
    }
}

/// A disk with two slots and an environment.
struct Disk {
    dir: tempfile::TempDir,
    path: PathBuf,
    esp: String,
    contents: [Content; 2],
    arch: Architecture,
    uuids: [&'static str; 2],
}

impl Disk {
    fn new(golden: &Golden, contents: [Content; 2]) -> Self {
        let dir = scratch();
        let path = dir.path().join("disk.img");
        fs::File::create(&path).unwrap().set_len(162 * MIB).unwrap();
        let sgdisk = tool("sgdisk").unwrap();
        for (at, (start, len)) in PARTITIONS.iter().enumerate() {
            let number = at + 1;
            let range = format!("{number}:{}:{}", start * 2048, (start + len) * 2048 - 1);
            let kind = if at == 0 {
                "1:ef00".to_owned()
            } else {
                format!("{number}:8300")
            };
            let uuid = format!("{number}:{}", PARTUUIDS[at]);
            must(
                &sgdisk,
                &[
                    &"-a", &"2048", &"-n", &range, &"-t", &kind, &"-u", &uuid, &path,
                ],
            );
        }
        let esp = format!("{}1M", path.display());
        must(
            "mformat",
            &[
                &"-i",
                &esp,
                &"-T",
                &(PARTITIONS[0].1 * 2048).to_string(),
                &"-h",
                &"64",
                &"-s",
                &"32",
                &"::",
            ],
        );
        for entry in fs::read_dir(golden.dir.path().join("boot")).unwrap() {
            must(
                "mcopy",
                &[&"-s", &"-i", &esp, &entry.unwrap().path(), &"::/"],
            );
        }
        for (content, place) in contents.iter().zip(&PARTITIONS[1..]) {
            content.write(golden, dir.path(), &path, *place);
        }
        Self {
            dir,
            path,
            esp,
            contents,
            arch: golden.arch,
            uuids: options(golden.arch).partuuids,
        }
    }

    /// Replaces the script.
    fn script(&self, text: &str) {
        let script = self.dir.path().join("grub.cfg");
        fs::write(&script, text).unwrap();
        if let Some(check) = tool("grub-script-check") {
            must(&check, &[&script]);
        }
        must(
            "mcopy",
            &[&"-o", &"-i", &self.esp, &script, &"::/EFI/BOOT/grub.cfg"],
        );
    }

    /// Replaces the environment.
    fn place(&self, state: &BlockPair) {
        let env = self.dir.path().join("grub-mender-grubenv");
        place(&env, state);
        must("mcopy", &[&"-s", &"-o", &"-i", &self.esp, &env, &"::/"]);
    }

    /// The environment as it is now.
    fn medium(&self) -> BlockPair {
        let out = self.dir.path().join("out");
        let _ = fs::remove_dir_all(&out);
        fs::create_dir(&out).unwrap();
        must(
            "mcopy",
            &[
                &"-s",
                &"-n",
                &"-i",
                &self.esp,
                &"::/grub-mender-grubenv",
                &out,
            ],
        );
        medium(&out.join("grub-mender-grubenv"))
    }

    fn board(&self, name: &str, firmware: Firmware) -> Option<Board> {
        let mut board = Board::new(name, &self.path, None, firmware)?;
        board.write_to(&self.path);
        Some(board)
    }

    /// Starts it; returns the slot whose kernel ran, `None` when the script gave up.
    fn start(&self, board: &Board) -> Option<Slot> {
        let mut machine = board.power_on();
        let ends = ["Kernel command line:", "Trying again in 30 seconds"];
        let Some((which, _)) = machine.listen_for(&ends, BOOT) else {
            panic!("no end of the boot: {}", machine.transcript());
        };
        if which == 1 {
            return None;
        }
        let line = machine.wait_for("\n", BOOT);
        let slot = [Slot::A, Slot::B]
            .into_iter()
            .find(|slot| line.contains(&format!("mender.slot={}", number(*slot))));
        let slot = slot.unwrap_or_else(|| panic!("no slot: {line}"));
        let uuid = self.uuids[slot as usize];
        assert!(line.contains(&format!(" root=PARTUUID={uuid} ")), "{line}");
        assert!(
            line.contains(&format!(
                " ro console={} loglevel=6 panic=-1",
                serial(self.arch)
            )),
            "{line}"
        );
        Some(slot)
    }
}

/// One boot from each state, which must do what the model does.
fn boots(name: &str, firmware: Firmware, contents: [Content; 2], states: &[BlockPair]) {
    let Some(golden) = golden(firmware.architecture()) else {
        return;
    };
    let disk = Disk::new(golden, contents);
    let Some(board) = disk.board(&format!("grub-{name}"), firmware) else {
        return;
    };
    for state in states {
        disk.place(state);
        let mut model = state.clone();
        let expected = model
            .boot(|slot| disk.contents[slot as usize].loads(firmware))
            .unwrap();
        assert_eq!(disk.start(&board), expected, "{name}: from {state:?}");
        assert_eq!(disk.medium().copies, model.copies, "{name}: from {state:?}");
    }
}

fn intact(values: Values) -> BlockPair {
    BlockPair::new([EnvCopy::clean(values); 2])
}

const GOOD: [Content; 2] = [Content::Good; 2];

#[test]
fn grub_boot_plain_under_secure_boot() {
    boots(
        "plain",
        Firmware::SecureBoot,
        GOOD,
        &[intact(Values::committed(Slot::A))],
    );
}

/// An update to slot B that nobody commits.
fn goes_back(name: &str, firmware: Firmware) {
    let Some(golden) = golden(firmware.architecture()) else {
        return;
    };
    let disk = Disk::new(golden, GOOD);
    let Some(board) = disk.board(name, firmware) else {
        return;
    };
    disk.place(&intact(Values::pending(Slot::B)));
    assert_eq!(disk.start(&board), Some(Slot::B));
    assert_eq!(
        disk.medium(),
        intact(Values {
            part: Slot::B,
            upgrade: true,
            count: true
        })
    );
    assert_eq!(disk.start(&board), Some(Slot::A));
    assert_eq!(disk.medium(), intact(Values::committed(Slot::A)));
}

#[test]
fn grub_boot_goes_back_without_a_commit() {
    goes_back("grub-trial", Firmware::Uefi);
}

#[test]
fn grub_boot_on_arm64_goes_back_without_a_commit() {
    goes_back("grub-arm64-trial", Firmware::ArmUefi);
}

#[test]
fn grub_boot_on_armhf_goes_back_without_a_commit() {
    goes_back("grub-armhf-trial", Firmware::ArmUefi32);
}

#[test]
fn grub_boot_goes_back_when_the_update_does_not_load() {
    boots(
        "garbage",
        Firmware::Uefi,
        [Content::Good, Content::Garbage],
        &[intact(Values::pending(Slot::B))],
    );
}

#[test]
fn grub_boot_with_nothing_left_of_the_environment() {
    let torn = EnvCopy {
        lock: Block::Missing,
        env: Block::Missing,
    };
    boots("torn", Firmware::Uefi, GOOD, &[BlockPair::new([torn; 2])]);
}

/// GRUB on all architectures, with and without Secure Boot: update, commit, rollback by the
/// first-stage script.
#[test]
#[ignore = "boots many times; `make test-boot` runs it"]
fn boot_grub_update_and_commit() {
    let commit = Values {
        part: Slot::B,
        upgrade: false,
        count: true,
    };
    use Firmware::*;
    for firmware in [
        Uefi,
        SecureBoot,
        ArmUefi,
        ArmSecureBoot,
        Uefi32,
        SecureBoot32,
        ArmUefi32,
    ] {
        let states = [
            intact(Values::committed(Slot::A)),
            intact(Values::pending(Slot::B)),
            intact(commit),
            intact(Values::pending(Slot::A)),
        ];
        boots(&format!("commit-{firmware:?}"), firmware, GOOD, &states);
    }
}

/// The same on arm64; a kernel with a forged signature goes back.
#[test]
#[ignore = "boots many times; `make test-boot` runs it"]
fn boot_grub_on_arm64_under_secure_boot() {
    use Content::*;
    goes_back("grub-arm64-secure-trial", Firmware::ArmSecureBoot);
    let tried = intact(Values {
        part: Slot::B,
        upgrade: true,
        count: true,
    });
    boots("arm64-tried", Firmware::ArmSecureBoot, GOOD, &[tried]);
    for content in [Garbage, Nothing, Forged] {
        boots(
            &format!("arm64-{content:?}"),
            Firmware::ArmSecureBoot,
            [Good, content],
            &[intact(Values::pending(Slot::B))],
        );
    }
    boots(
        "arm64-forged-unnoticed",
        Firmware::ArmUefi,
        [Good, Forged],
        &[intact(Values::pending(Slot::B))],
    );
    boots(
        "arm64-no-links",
        Firmware::ArmSecureBoot,
        [NoLinks, HalfUpgraded],
        &[intact(Values::committed(Slot::B))],
    );
}

/// Slots without filesystem, with damaged or half-upgraded kernels.
#[test]
#[ignore = "boots many times; `make test-boot` runs it"]
fn boot_grub_with_slots_that_do_not_load() {
    use Content::*;
    let pending = || [intact(Values::pending(Slot::B))];
    boots("nothing", Firmware::Uefi, [Good, Nothing], &pending());
    boots(
        "garbage-secure",
        Firmware::SecureBoot,
        [Good, Garbage],
        &pending(),
    );
    boots("forged", Firmware::SecureBoot, [Good, Forged], &pending());
    boots(
        "forged-unnoticed",
        Firmware::Uefi,
        [Good, Forged],
        &pending(),
    );
    boots(
        "committed",
        Firmware::Uefi,
        [Garbage, Good],
        &[intact(Values::committed(Slot::A))],
    );
    boots(
        "neither",
        Firmware::Uefi,
        [Nothing, Garbage],
        &[
            intact(Values::committed(Slot::A)),
            intact(Values::committed(Slot::B)),
        ],
    );
    boots(
        "no-links",
        Firmware::Uefi,
        [NoLinks, HalfUpgraded],
        &[
            intact(Values::committed(Slot::A)),
            intact(Values::committed(Slot::B)),
        ],
    );
}

/// What a power cut leaves at each write of the first-stage script.
#[test]
#[ignore = "boots many times; `make test-boot` runs it"]
fn boot_grub_after_a_power_cut_at_every_write() {
    let tried = |part| Values {
        part,
        upgrade: true,
        count: true,
    };
    let mut states = Vec::new();
    for start in [
        Values::pending(Slot::B),
        tried(Slot::B),
        Values::pending(Slot::A),
        tried(Slot::A),
    ] {
        for at in 0..6 {
            let mut medium = intact(start);
            medium.power.fails_after = Some((at, Cut::Missing));
            medium.boot(|_| true).unwrap_err();
            states.push(BlockPair::new(medium.copies));
        }
    }
    boots("cuts", Firmware::Uefi, GOOD, &states);
}

/// The golden image's own GRUB menu starts in the chosen slot.
#[test]
#[ignore = "boots many times; `make test-boot` runs it"]
fn boot_grub_with_the_menu() {
    let Some(golden) = golden(Architecture::Amd64) else {
        return;
    };
    let disk = Disk::new(golden, GOOD);
    let [never, five] = [0, 5].map(|seconds| format!("set menu_seconds=\"{seconds}\"\n"));
    let script = grub::stage1(&options(Architecture::Amd64));
    assert!(script.contains(&never), "{script}");
    disk.script(&script.replace(&never, &five));
    let Some(board) = disk.board("grub-menu", Firmware::Uefi) else {
        return;
    };
    disk.place(&intact(Values::committed(Slot::B)));
    let mut machine = board.power_on();
    machine.wait_for("Press ESC for the menu", BOOT);
    machine.send("\u{1b}");
    machine.wait_for("Kernel command line:", BOOT);
    let line = machine.wait_for("\n", BOOT);
    assert!(
        line.contains(&format!(" root=PARTUUID={} ", PARTUUIDS[2])),
        "{line}"
    );
    assert!(
        !machine.transcript().contains("Loading /vmlinuz"),
        "the menu started it"
    );
}

/// The same from a disk with an MBR.
#[test]
#[ignore = "boots many times; `make test-boot` runs it"]
fn boot_grub_from_a_master_boot_record() {
    let Some(golden) = golden(Architecture::Amd64) else {
        return;
    };
    let mut disk = Disk::new(golden, GOOD);
    must(tool("sgdisk").unwrap(), &[&"-m", &"1:2:3", &disk.path]);
    let file = fs::File::options().write(true).open(&disk.path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &0x1234_abcd_u32.to_le_bytes(), 440).unwrap();
    disk.uuids = ["1234abcd-02", "1234abcd-03"];
    disk.script(&grub::stage1(&GrubOptions {
        table: TableKind::Mbr,
        partuuids: ["1234ABCD-02", "1234ABCD-03"],
        ..options(Architecture::Amd64)
    }));
    let Some(board) = disk.board("grub-mbr", Firmware::Uefi) else {
        return;
    };
    disk.place(&intact(Values::pending(Slot::B)));
    assert_eq!(disk.start(&board), Some(Slot::B));
    assert_eq!(disk.start(&board), Some(Slot::A));
}

/// Every state of the two copies, with every pair of slots that load or do not where both copies
/// are whole.
fn cases() -> Vec<(BlockPair, [bool; 2])> {
    let tried = |part| Values {
        part,
        upgrade: true,
        count: true,
    };
    let values = [Slot::A, Slot::B]
        .into_iter()
        .flat_map(|s| [Values::committed(s), Values::pending(s), tried(s)]);
    let whole = values
        .clone()
        .flat_map(|v| [[true, false], [false, true], [false; 2]].map(|loads| (intact(v), loads)));
    let some = [
        Values::committed(Slot::A),
        Values::committed(Slot::B),
        Values::pending(Slot::B),
        tried(Slot::B),
    ];
    let envs: Vec<Block<Values>> = some
        .into_iter()
        .map(Block::Valid)
        .chain([Block::Blank, Block::Missing])
        .collect();
    let locks = [Block::Valid(false), Block::Valid(true), Block::Missing];
    let copies: Vec<EnvCopy> = envs
        .iter()
        .flat_map(|env| locks.map(|lock| EnvCopy { lock, env: *env }))
        .collect();
    let pairs = copies.iter().flat_map(|one| {
        copies
            .iter()
            .map(|two| (BlockPair::new([*one, *two]), [true; 2]))
    });
    whole.chain(pairs).collect()
}

/// The script with its last part, which starts kernels, cut off; the rest as a function that is
/// called for each case.
fn decisions(script: &str, calls: &str) -> String {
    let (functions, main) = script.split_once("\nsettle\n").unwrap();
    let (choice, starts) = main.split_once("set last_resort=\"0\"\n").unwrap();
    let starts = starts.split_once("\necho").unwrap().0;
    let (functions, _) = functions.split_once("# start_slot SLOT").unwrap();
    let mut out = format!("{functions}\nset esp=\"$root\"\n");
    out.push_str(
        "function start_slot {\n  choose \"$1\"\n  if [ \"$started\" = \"none\" ]; then\n    if regexp \"$1\" \"$loads\"; then\n      \
         if [ \"$last_resort\" = \"1\" ]; then store \"$slot\" 0 0; fi\n      set started=\"$slot\"\n    fi\n  fi\n}\n",
    );
    out.push_str(&format!("function decide {{\nset started=\"none\"\nset root=\"$esp\"\nsettle\n{choice}\nset last_resort=\"0\"\n{starts}\necho \"case=$1=$started=\"\n}}\n"));
    out.push_str(
        "function one {\n  set dir=\"($esp)/cases/$1\"\n  set loads=\"$2\"\n  decide \"$1\"\n}\n",
    );
    out.push_str(calls);
    out.push_str("echo \"all cases\"\nsleep 1000\n");
    out
}

/// Goes through `cases` in one boot; says where script and model differ, `None` when that cannot be
/// found out here.
fn differences(name: &str, script: &str, cases: &[(BlockPair, [bool; 2])]) -> Option<Vec<String>> {
    let disk = Disk::new(golden(Architecture::Amd64)?, [Content::Nothing; 2]);
    let dir = disk.dir.path().join("cases");
    let mut calls = String::new();
    for (at, (state, loads)) in cases.iter().enumerate() {
        place(&dir.join(at.to_string()), state);
        let loads: String = [Slot::A, Slot::B]
            .iter()
            .filter(|s| loads[**s as usize])
            .map(|s| number(*s).to_string())
            .collect();
        calls.push_str(&format!("one {at} \"{loads}\"\n"));
    }
    must("mcopy", &[&"-s", &"-i", &disk.esp, &dir, &"::/"]);
    disk.script(&decisions(script, &calls));
    let board = disk.board(name, Firmware::Uefi)?;
    let said = board
        .power_on()
        .wait_for("all cases", Duration::from_secs(900));
    let said: String = said.chars().filter(|c| !c.is_whitespace()).collect();
    let out = disk.dir.path().join("out");
    fs::create_dir(&out).unwrap();
    must(
        "mcopy",
        &[&"-s", &"-n", &"-i", &disk.esp, &"::/cases", &out],
    );
    let differs = |(at, (state, loads)): (usize, &(BlockPair, [bool; 2]))| {
        let mut model = state.clone();
        let started = model.boot(|slot| loads[slot as usize]).unwrap();
        let started = started.map_or("none".to_owned(), |slot| number(slot).to_string());
        let found = medium(&out.join(format!("cases/{at}"))).copies;
        let same = said.contains(&format!("case={at}={started}=")) && found == model.copies;
        (!same).then(|| {
            format!(
                "case {at}: {state:?}, {loads:?}: not {started} and {:?} but {found:?}",
                model.copies
            )
        })
    };
    Some(cases.iter().enumerate().filter_map(differs).collect())
}

/// The decisions of the script in every state of the environment, held against the model.
#[test]
#[ignore = "goes through hundreds of states; `make test-boot` runs it"]
fn boot_grub_decides_as_the_model_in_every_state() {
    let script = grub::stage1(&options(Architecture::Amd64));
    let Some(differences) = differences("grub-decisions", &script, &cases()) else {
        return;
    };
    assert_eq!(differences, Vec::<String>::new());
}

/// A script that breaks the rule is told from the model.
#[test]
#[ignore = "boots; `make test-boot` runs it"]
fn boot_grub_with_a_script_that_breaks_the_rule_is_noticed() {
    let rule = "\"$state1\" != \"good\" -o \"$state2\" != \"good\" -o \"$values1\" != \"$values2\" ]; then return";
    let script = grub::stage1(&options(Architecture::Amd64));
    assert_eq!(script.matches(rule).count(), 1);
    let torn = EnvCopy {
        lock: Block::Valid(false),
        env: Block::Missing,
    };
    let one = BlockPair::new([torn, EnvCopy::clean(Values::pending(Slot::B))]);
    let cases = [
        (intact(Values::pending(Slot::B)), [true; 2]),
        (one, [true; 2]),
    ];
    let broken = script.replace(rule, &rule.replace("return", "true"));
    let Some(differences) = differences("grub-broken", &broken, &cases) else {
        return;
    };
    assert!(
        differences.len() == 1 && differences[0].starts_with("case 1:"),
        "{differences:?}"
    );
}
