use super::binary::tests::program;
use super::*;
use crate::boot::common::env_block::variables;
use crate::boot::common::grub_menu::image_arguments;
use crate::stamp::Time;
use crate::tree::dump::dump;
use crate::tree::{DirEntry, LeafKind, Stat, Tree, show};
use std::collections::BTreeMap;

fn stat() -> Stat {
    Stat::root(0o644, Time::default())
}

fn tree(files: &[(&str, Vec<u8>)]) -> Tree {
    let mut tree = Tree::new(Stat::root(0o755, Time::default()));
    for (path, bytes) in files {
        tree.put_file(path, bytes.clone(), stat()).unwrap();
    }
    tree
}

const MENU: &str = "set default=\"0\"\nmenuentry 'a' {\n\
                    linux /boot/vmlinuz-6.1-amd64 root=UUID=1 ro console=ttyS0 resume=UUID=2 $vt_handoff\n}\n";

/// A golden image for `arch` with the packages' programs.
fn golden(arch: Architecture) -> [Tree; 2] {
    let (suffix, platform, machine) = (arch.efi_suffix(), arch.grub_platform(), arch.pe_machine());
    let root = tree(&[
        (
            &format!("/usr/lib/shim/shim{suffix}.efi.signed"),
            program(machine, true, None),
        ),
        (
            &format!("/usr/lib/shim/mm{suffix}.efi.signed"),
            program(machine, true, None),
        ),
        (
            &format!("/usr/lib/grub/{platform}-signed/grub{suffix}.efi.signed"),
            program(machine, true, Some("/EFI/debian")),
        ),
        (&format!("/boot/grub/{platform}/core.efi"), b"core".to_vec()),
        ("/boot/grub/grub.cfg", MENU.into()),
        ("/boot/vmlinuz-6.1-amd64", program(machine, true, None)),
        ("/boot/initrd.img-6.1-amd64", b"initrd".to_vec()),
        ("/boot/vmlinuz-6.10-amd64", program(machine, true, None)),
        ("/boot/initrd.img-6.10-amd64", b"initrd".to_vec()),
        ("/boot/vmlinuz-6.11-amd64", program(machine, true, None)),
        ("/usr/sbin/grub-install", b"#!/bin/sh\n".to_vec()),
        ("/usr/lib/systemd/systemd", b"elf".to_vec()),
        (
            "/var/lib/dpkg/diversions",
            b"/bin/sh\n/bin/sh.distrib\ndash\n".to_vec(),
        ),
        (
            "/etc/initramfs-tools/conf.d/resume",
            b"RESUME=UUID=2\n".to_vec(),
        ),
    ]);
    let boot = tree(&[
        ("/efi/Boot/bootx64.efi", b"old".to_vec()),
        ("/efi/Boot/fbx64.EFI", b"fallback".to_vec()),
        ("/efi/Debian/grub.cfg", b"old".to_vec()),
        ("/efi/Debian/grubx64.efi", b"old".to_vec()),
        ("/efi/vendor/tool.efi", b"kept".to_vec()),
    ]);
    [root, boot]
}

fn options(arch: Architecture) -> GrubOptions<'static> {
    GrubOptions {
        roots: [2, 3],
        partuuids: ["ABCD-2", "abcd-3"],
        table: TableKind::Gpt,
        boot_mount: "/boot/efi",
        arch,
        more_arguments: "panic=30",
    }
}

fn run(trees: &mut [Tree; 2], options: &GrubOptions<'_>) -> Result<InstalledGrub, Problems> {
    let [root, boot] = trees;
    let mut editors = [
        TreeEditor::new(root, Time::default()),
        TreeEditor::new(boot, Time::default()),
    ];
    let [root, boot] = &mut editors;
    integrate(root, boot, options)
}

/// All paths of a tree with the text of files, or what else they are.
fn texts(tree: &Tree) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    tree.visit(&mut |path, entry| {
        if let DirEntry::Leaf(id) = entry {
            let text = match &tree.leaf(*id).kind {
                LeafKind::File(content) => {
                    String::from_utf8_lossy(&content.read_all(1 << 20).unwrap()).into_owned()
                }
                LeafKind::Symlink(target) => format!("-> {}", show(target)),
                other => format!("{other:?}"),
            };
            out.insert(show(path), text);
        }
    });
    out
}

#[test]
fn an_image_is_integrated_with_its_own_signed_programs() {
    let mut trees = golden(Architecture::Amd64);
    let (origin, _) = image_arguments(&trees[0]).unwrap();
    let installed = run(&mut trees, &options(Architecture::Amd64)).unwrap();
    assert!(installed.secure_boot);
    assert_eq!(
        installed.grub,
        "/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"
    );
    assert_eq!(
        installed.kernel, "/boot/vmlinuz-6.10-amd64",
        "the newest with an initrd"
    );
    assert_eq!(installed.arguments, "ro console=ttyS0 noresume panic=30");
    assert_eq!(origin.as_deref(), Some("/boot/grub/grub.cfg"));
    assert_eq!(installed.notes.len(), 2, "{:?}", installed.notes);
    let [root, boot] = trees.each_ref().map(texts);
    let names: Vec<&str> = boot.keys().map(String::as_str).collect();
    let copies = ["mender_grubenv1", "mender_grubenv2"];
    let env = copies.map(|copy| {
        ["env", "lock", "lock.sha256sum"].map(|name| format!("/grub-mender-grubenv/{copy}/{name}"))
    });
    let mut expected = vec![
        "/efi/Boot/bootx64.efi",
        "/efi/Boot/grub.cfg",
        "/efi/Boot/grubx64.efi",
        "/efi/Boot/mmx64.efi",
        "/efi/Debian",
    ];
    expected.push("/efi/vendor/tool.efi");
    expected.extend(env.iter().flatten().map(String::as_str));
    assert_eq!(names, expected);
    assert_eq!(boot["/efi/vendor/tool.efi"], "kept");
    assert!(boot["/efi/Boot/bootx64.efi"].starts_with("MZ"));
    assert!(boot["/efi/Boot/grub.cfg"].contains("set uuid_a=\"abcd-2\""));
    assert!(
        !boot["/efi/Boot/grub.cfg"].contains("=\"@"),
        "every placeholder is filled in"
    );
    assert_eq!(root["/vmlinuz"], "-> boot/vmlinuz-6.10-amd64");
    assert_eq!(root["/initrd.img"], "-> boot/initrd.img-6.10-amd64");
    assert!(!root.contains_key("/boot/grub/x86_64-efi/core.efi"));
    assert_eq!(root["/usr/sbin/grub-install.distrib"], "#!/bin/sh\n");
    assert!(root["/usr/sbin/grub-install"].contains("managed for A/B"));
    let diversions = "/bin/sh\n/bin/sh.distrib\ndash\n/usr/sbin/grub-install\n/usr/sbin/grub-install.distrib\n:\n";
    assert_eq!(root["/var/lib/dpkg/diversions"], diversions);
    assert_eq!(
        root["/etc/mender_grubenv.config"],
        "ENV_DIR = /boot/efi/grub-mender-grubenv\nROOT_PARTITIONS = 2 3\n"
    );
    assert_eq!(
        root["/usr/bin/grub-mender-grubenv-set"],
        "-> grub-mender-grubenv-print"
    );
    assert!(
        root["/etc/default/grub.d/zz-mender.cfg"]
            .ends_with("GRUB_CMDLINE_LINUX=\"${GRUB_CMDLINE_LINUX-} noresume panic=30\"\n")
    );
    let slot_env = variables(root["/boot/mender-slot.env"].as_bytes()).unwrap();
    assert_eq!(slot_env, [("args".to_owned(), installed.arguments)]);
    assert!(root["/boot/grub/grub.cfg"].contains("root=${mender_kernel_root} ro console=ttyS0"));
    assert!(
        root["/etc/systemd/system/mender-grubenv.service"]
            .contains("RequiresMountsFor=/boot/efi\n")
    );
}

#[test]
fn all_architectures_take_the_same_path() {
    for arch in Architecture::ALL {
        let mut trees = golden(arch);
        let installed = run(&mut trees, &options(arch)).unwrap();
        assert!(installed.secure_boot, "{arch:?}");
        let boot = texts(&trees[1]);
        let removable = format!("/efi/boot/boot{}.efi", arch.efi_suffix());
        assert!(
            boot.iter()
                .any(|(path, text)| path.to_lowercase() == removable && text.starts_with("MZ")),
            "{boot:?}"
        );
        // Programs of another architecture are none.
        let mut trees = golden(if arch == Architecture::Amd64 {
            Architecture::Arm64
        } else {
            Architecture::Amd64
        });
        assert!(run(&mut trees, &options(arch)).is_err());
    }
}

#[test]
fn the_old_boot_partition_is_the_second_source() {
    let [mut root, _] = golden(Architecture::Amd64);
    root.remove("/usr/lib/grub").unwrap();
    let machine = Architecture::Amd64.pe_machine();
    let grub = |prefix| {
        (
            "/EFI/ubuntu/grubx64.efi",
            program(machine, true, Some(prefix)),
        )
    };
    let shim = ("/EFI/ubuntu/shimx64.efi", program(machine, true, None));
    let mut trees = [root.clone(), tree(&[grub("/EFI/ubuntu"), shim.clone()])];
    let installed = run(&mut trees, &options(Architecture::Amd64)).unwrap();
    assert!(installed.secure_boot);
    assert_eq!(
        installed.grub,
        "/EFI/ubuntu/grubx64.efi of the boot partition"
    );
    let boot = texts(&trees[1]);
    assert!(boot["/EFI/ubuntu"].contains("keeps grub-install"));
    assert!(
        boot.contains_key("/EFI/BOOT/BOOTX64.EFI") && boot.contains_key("/EFI/BOOT/grubx64.efi")
    );
    // What grub-install built looks into the old root filesystem and is of no use.
    let mut trees = [root, tree(&[grub("(hd0,gpt2)/boot/grub"), shim])];
    let problems = run(&mut trees, &options(Architecture::Amd64)).unwrap_err();
    assert!(
        problems.0[0]
            .hint
            .as_ref()
            .unwrap()
            .contains("grub-efi-amd64-signed and shim-signed")
    );
}

#[test]
fn without_signatures_grub_starts_without_shim() {
    let [mut root, boot] = golden(Architecture::Amd64);
    root.remove("/usr/lib/grub").unwrap();
    let path = "/usr/lib/grub/x86_64-efi/monolithic/grubx64.efi";
    root.put_file(path, program(0x8664, false, Some("/EFI/debian")), stat())
        .unwrap();
    let mut trees = [root, boot];
    let installed = run(&mut trees, &options(Architecture::Amd64)).unwrap();
    assert!(!installed.secure_boot);
    assert_eq!((installed.grub.as_str(), installed.shim), (path, None));
    assert!(!texts(&trees[1]).contains_key("/efi/Boot/mmx64.efi"));
}

#[test]
fn what_grub_install_left_is_made_into_a_grub() {
    let arch = Architecture::Armhf;
    let [mut root, mut boot] = golden(arch);
    root.remove("/usr/lib/grub").unwrap();
    root.remove("/usr/lib/shim").unwrap();
    root.remove("/boot/grub/arm-efi/core.efi").unwrap();
    let core = || assemble::tests::core(arch.pe_machine());
    root.put_file("/boot/grub/arm-efi/core.efi", core(), stat())
        .unwrap();
    boot.put_file("/efi/Vendor/GRUBARM.EFI", core(), stat())
        .unwrap();
    let mut without = [root.clone(), boot.clone()];
    let problems = run(&mut without, &options(arch)).unwrap_err().to_string();
    assert!(
        problems.contains(
            "/boot/grub/arm-efi/core.efi: cannot be made into a GRUB: the module normal is missing"
        ),
        "{problems}"
    );
    for name in assemble::NEEDED {
        root.put_file(format!("/boot/grub/arm-efi/{name}.mod"), name, stat())
            .unwrap();
    }
    let mut trees = [root, boot];
    let installed = run(&mut trees, &options(arch)).unwrap();
    assert!(!installed.secure_boot && installed.shim.is_none());
    assert_eq!(
        installed.grub,
        "made of /boot/grub/arm-efi/core.efi and its modules"
    );
    let program = trees[1]
        .file("/efi/Boot/BOOTARM.EFI")
        .unwrap()
        .read_all(1 << 20)
        .unwrap();
    assert_eq!(
        binary::Binary::parse(&program).unwrap().directory(),
        Some("BOOT")
    );
    let [_, boot] = trees.each_ref().map(texts);
    assert!(
        boot["/efi/Vendor"].contains("keeps grub-install"),
        "the old place is taken"
    );
}

#[test]
fn problems_are_told_together() {
    let mut trees = [
        tree(&[(
            "/boot/grub/grub.cfg",
            MENU.replace("ro ", "ro \"a=b c\" ").into(),
        )]),
        tree(&[]),
    ];
    let problems = run(&mut trees, &options(Architecture::Amd64))
        .unwrap_err()
        .to_string();
    for expected in [
        "no GRUB for UEFI",
        "no kernel",
        "kernel argument `a=b c` has a blank",
    ] {
        assert!(problems.contains(expected), "{problems}");
    }
    let mut trees = golden(Architecture::Amd64);
    trees[0]
        .put_file("/boot/vmlinuz-6.10-amd64", "\x7fELF", stat())
        .unwrap();
    let problems = run(&mut trees, &options(Architecture::Amd64))
        .unwrap_err()
        .to_string();
    assert!(
        problems.contains("/boot/vmlinuz-6.10-amd64: cannot be started on UEFI: not a PE program"),
        "{problems}"
    );
}

#[test]
fn the_kernel_is_the_one_that_the_script_will_take() {
    type Case<'c> = (&'c [(&'c str, &'c str)], &'c [&'c str], &'c str, bool);
    let cases: [Case<'_>; 5] = [
        (
            &[
                ("/vmlinuz", "boot/vmlinuz-6.1-amd64"),
                ("/initrd.img", "boot/initrd.img-6.1-amd64"),
            ],
            &[],
            "/vmlinuz",
            false,
        ),
        (
            &[
                ("/boot/vmlinuz", "vmlinuz-6.1-amd64"),
                ("/boot/initrd.img", "initrd.img-6.1-amd64"),
            ],
            &[],
            "/boot/vmlinuz",
            false,
        ),
        (
            &[("/vmlinuz", "boot/gone"), ("/initrd.img", "boot/gone")],
            &[],
            "/boot/vmlinuz-6.10-amd64",
            true,
        ),
        (
            &[],
            &["do_symlinks = No\n"],
            "/boot/vmlinuz-6.10-amd64",
            false,
        ),
        (
            &[],
            &["link_in_boot = no\n"],
            "/boot/vmlinuz-6.10-amd64",
            true,
        ),
    ];
    for (links, settings, kernel, links_made) in cases {
        let mut trees = golden(Architecture::Amd64);
        for (path, target) in links {
            trees[0]
                .put_symlink(path, *target, Time::default())
                .unwrap();
        }
        for text in settings {
            trees[0]
                .put_file("/etc/kernel-img.conf", *text, stat())
                .unwrap();
        }
        let installed = run(&mut trees, &options(Architecture::Amd64)).unwrap();
        assert_eq!(installed.kernel, kernel);
        let made = texts(&trees[0])
            .get("/vmlinuz")
            .is_some_and(|text| text == "-> boot/vmlinuz-6.10-amd64");
        assert_eq!(made, links_made, "{links:?} {settings:?}");
    }
    // A kernel without an initrd is named, so that the script does not wait for one.
    let mut trees = golden(Architecture::Amd64);
    for version in ["6.1", "6.10"] {
        trees[0]
            .remove(format!("/boot/initrd.img-{version}-amd64"))
            .unwrap();
    }
    run(&mut trees, &options(Architecture::Amd64)).unwrap();
    let block = variables(texts(&trees[0])["/boot/mender-slot.env"].as_bytes()).unwrap();
    assert_eq!(
        block[0],
        ("kernel".to_owned(), "boot/vmlinuz-6.11-amd64".to_owned())
    );
}

#[test]
fn without_a_menu_the_settings_are_the_source() {
    let mut trees = golden(Architecture::Amd64);
    trees[0].remove("/boot/grub/grub.cfg").unwrap();
    let settings = "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\nGRUB_CMDLINE_LINUX=rw\n";
    trees[0]
        .put_file("/etc/default/grub", settings, stat())
        .unwrap();
    trees[0]
        .put_file(
            "/etc/default/grub.d/15_cloud.cfg",
            "GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX a\"\n",
            stat(),
        )
        .unwrap();
    let (origin, _) = image_arguments(&trees[0]).unwrap();
    let installed = run(&mut trees, &options(Architecture::Amd64)).unwrap();
    assert_eq!(installed.arguments, "rw a quiet noresume panic=30");
    assert_eq!(origin.as_deref(), Some("/etc/default/grub"));
}

#[test]
fn the_same_image_gives_the_same_trees() {
    let made = || {
        let mut trees = golden(Architecture::Amd64);
        run(&mut trees, &options(Architecture::Amd64)).unwrap();
        trees.map(|tree| dump(&tree).unwrap())
    };
    assert_eq!(made(), made());
}
