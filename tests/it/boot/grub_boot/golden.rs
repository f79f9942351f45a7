//! Kernel, boot programs and root filesystem of a golden image, from Debian's packages.

use crate::support::{must, scratch, tool};
use goldsmith::boot::grub::{self, GrubOptions};
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

pub(super) const PARTUUIDS: [&str; 3] = [
    "11111111-2222-4333-8444-555555555501",
    "11111111-2222-4333-8444-555555555502",
    "11111111-2222-4333-8444-555555555503",
];

/// The unpacked packages of an architecture; `None`, said aloud, where they cannot be fetched.
pub(super) fn packages(arch: Architecture) -> Option<PathBuf> {
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
pub(super) fn apt(arch: Architecture, dir: &Path) -> Option<Command> {
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

pub(super) fn fetch(arch: Architecture, dir: &Path) -> Option<()> {
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
pub(super) struct Golden {
    pub(super) dir: tempfile::TempDir,
    pub(super) arch: Architecture,
    pub(super) version: String,
}

pub(super) fn golden(arch: Architecture) -> Option<&'static Golden> {
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
pub(super) fn serial(arch: Architecture) -> &'static str {
    if matches!(arch, Architecture::Arm64 | Architecture::Armhf) {
        "ttyAMA0"
    } else {
        "ttyS0"
    }
}

pub(super) fn options(arch: Architecture) -> GrubOptions<'static> {
    GrubOptions {
        roots: [2, 3],
        partuuids: [PARTUUIDS[1], PARTUUIDS[2]],
        table: TableKind::Gpt,
        boot_mount: "/boot/efi",
        arch,
        more_arguments: "panic=-1",
    }
}

pub(super) fn make_golden(arch: Architecture, packages: &Path) -> Golden {
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
pub(super) fn install_grub(root: &mut Tree, dir: &Path, platform: &str) {
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
pub(super) fn empty_cpio() -> Vec<u8> {
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

pub(super) fn write_tree(tree: &Tree, to: &Path) {
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
