//! Boot chains of images, in trees.

use super::*;
use crate::boot::uboot::header;
use crate::stamp::Time;
use crate::tree::{Stat, Tree};

fn tree(files: &[(&str, &str)]) -> Tree {
    let stat = || Stat::root(0o644, Time::default());
    let mut tree = Tree::new(Stat::root(0o755, Time::default()));
    for (path, text) in files {
        let bytes = if path.ends_with(".scr") {
            header::wrap(text)
        } else {
            text.as_bytes().to_vec()
        };
        tree.put_file(path, bytes, stat()).unwrap();
    }
    tree
}

/// The files of a root filesystem (partition 2) and of a boot partition (1).
fn sources<'t>(root: &'t Tree, boot: &'t Tree) -> Sources<'t> {
    Sources {
        root,
        boot,
        mount: "/uboot",
        numbers: [2, 1],
    }
}

fn chain_of(root: &[(&str, &str)], boot: &[(&str, &str)]) -> Option<Chain> {
    let [root, boot] = [tree(root), tree(boot)];
    let sources = sources(&root, &boot);
    of_image(&sources)
}

/// The arguments of a script in `/boot`, next to these files.
fn arguments(script: &str, files: &[(&str, &str)]) -> String {
    let files = [&[("/boot/boot.scr", script)], files].concat();
    chain_of(&files, &[]).unwrap().words.join(" ")
}

fn path(place: &Option<Place>) -> &str {
    place.as_ref().map_or("", |place| place.path.as_str())
}

#[test]
fn a_menu_names_kernel_device_tree_and_overlays() {
    let menu = "DEFAULT b\nLABEL a\n LINUX /none\nLABEL b\n LINUX ../Image\n INITRD /boot/initrd\n\
                FDT /boot/board.dtb\n FDTOVERLAYS /boot/a.dtbo /boot/none.dtbo\n APPEND root=/dev/x rw a=b\n";
    let files = [
        ("/boot/extlinux/extlinux.conf", menu),
        ("/boot/Image", "k"),
        ("/boot/initrd", "i"),
        ("/boot/board.dtb", "d"),
        ("/boot/a.dtbo", "o"),
        ("/boot/boot.scr", "setenv bootargs later"),
    ];
    let chain = chain_of(&files, &[]).unwrap();
    assert_eq!(path(&chain.kernel), "/boot/Image");
    assert_eq!(path(&chain.initrd), "/boot/initrd");
    assert_eq!(path(&chain.tree), "/boot/board.dtb");
    let overlays: Vec<&str> = chain
        .overlays
        .iter()
        .map(|place| place.path.as_str())
        .collect();
    assert_eq!(overlays, ["/boot/a.dtbo"]);
    assert_eq!(chain.words, ["root=/dev/x", "rw", "a=b"]);
    let notes = chain.notes.join("\n");
    assert!(notes.contains("none.dtbo does not exist"), "{notes}");
    assert!(notes.contains("/boot/boot.scr: not read"), "{notes}");
    let missing = [("/boot/extlinux/extlinux.conf", menu)];
    let chain = chain_of(&missing, &[]).unwrap();
    assert!(chain.missing.contains(&"/boot/board.dtb".to_owned()));
}

#[test]
fn partitions_are_searched_in_their_order() {
    let script = "setenv bootargs on-root";
    let menu = "label a\n linux /k\n append on-boot\n";
    let chain = chain_of(
        &[("/boot/boot.scr", script)],
        &[("/EXTLINUX/extlinux.conf", menu), ("/k", "k")],
    );
    assert_eq!(chain.unwrap().words, ["on-boot"]);
    assert!(chain_of(&[], &[]).is_none());
    // That of an earlier conversion is not the image's own.
    let ours = "setexpr mender_slot_env 1 + 1\nsetenv bootargs ours";
    let chain = chain_of(&[("/boot/boot.scr", script)], &[("/boot.scr", ours)]);
    assert_eq!(chain.unwrap().words, ["on-root"]);
}

#[test]
fn a_script_is_followed_to_its_arguments() {
    let cases = [
        (
            "setenv bootargs console=a root=/dev/x rw",
            "console=a root=/dev/x rw",
        ),
        (
            "setenv a 'b c'\nif test -n \"${a}\"; then setenv bootargs \"x ${a}\"; else setenv bootargs no; fi",
            "x b c",
        ),
        (
            "setenv x one\nfor i in 1 2; do setenv x ${x}${i}; done\nsetenv bootargs ${x}",
            "one12",
        ),
        ("setenv go 'setenv bootargs run'\nrun go", "run"),
        (
            "if load mmc 0 1000 /none; then setenv bootargs no; elif true; then setenv bootargs yes; fi",
            "yes",
        ),
        ("test a = b || setenv bootargs joined", "joined"),
        (
            "setenv bootargs first\nload mmc 0 ${kernel_addr_r} /boot/boot.scr\nbooti ${kernel_addr_r}\nsetenv bootargs later",
            "first",
        ),
        (
            "setenv bootargs a root=PARTUUID=${uuid_addr} b=${undefined} c",
            "a c",
        ),
    ];
    for (script, expected) in cases {
        assert_eq!(arguments(script, &[]), expected, "{script}");
    }
    let text = "# x\nextra=from=file  \n";
    let script = "load mmc 0 2000 ${prefix}env.txt; env import -t 2000 ${filesize}; setenv bootargs ${extra}";
    assert_eq!(arguments(script, &[("/boot/env.txt", text)]), "from=file");
}

#[test]
fn what_only_u_boot_knows_is_not_guessed() {
    let unfollowed = |script: &str| {
        let chain = chain_of(&[("/boot/boot.scr", script)], &[]).unwrap();
        chain
            .unfollowed
            .into_iter()
            .map(|(_, reason)| reason)
            .collect::<Vec<_>>()
            .join(" ")
    };
    for script in [
        "run distro_bootcmd",
        "echo nothing",
        "if test ${board} = x; then setenv bootargs a; else setenv bootargs b; fi",
        "setenv bootargs ${vendor}",
    ] {
        assert!(
            unfollowed(script).contains("no kernel arguments"),
            "{script}"
        );
    }
    assert!(
        unfollowed("if true; then").contains("unexpected"),
        "a script that is cut"
    );
    assert!(unfollowed("setenv a 'run a'; run a").contains("deeper"));
    // A value that both branches agree on is known.
    let script =
        "if test ${board} = x; then setenv tree a; else setenv tree b; fi\nsetenv bootargs quiet";
    assert_eq!(unfollowed(script), "");
    let raw = chain_of(&[], &[("/boot.scr.uimg", "no header")]).unwrap();
    assert!(raw.unfollowed[0].1.contains("no header of mkimage"));
}

#[test]
fn a_script_names_its_files() {
    let script = "load mmc 1:2 ${fdt_addr_r} /boot/board.dtb\nfdt addr ${fdt_addr_r}\nload mmc 1:1 ${ramdisk_addr_r} a.dtbo\n\
                  fdt apply ${ramdisk_addr_r}\nfdt set /x y\nload mmc 1:2 ${kernel_addr_r} /boot/Image\nsetenv bootargs x\n\
                  booti ${kernel_addr_r} - ${fdt_addr_r}";
    let root = [("/boot/board.dtb", "d"), ("/boot/Image", "k")];
    let chain = chain_of(&root, &[("/boot.scr", script), ("/A.DTBO", "o")]).unwrap();
    assert_eq!(path(&chain.kernel), "/boot/Image");
    assert_eq!(
        (path(&chain.tree), path(&chain.initrd)),
        ("/boot/board.dtb", "")
    );
    assert_eq!(chain.overlays[0].path, "/A.DTBO");
    assert!(chain.notes.join("\n").contains("`fdt set /x y`"));
    let script =
        "load mmc 0 ${fdt_addr_r} /boot/dtb/${fdtfile}\nsetenv bootargs x\nbooti 1 2 ${fdt_addr_r}";
    let files = [("/boot/boot.scr", script), ("/boot/dtb/x.dtb", "d")];
    assert_eq!(path(&chain_of(&files, &[]).unwrap().tree_dir), "/boot/dtb");
}

#[test]
fn settings_of_a_distributions_script_are_taken() {
    let env = "verbosity=3\nconsole=serial\nfdtfile=rockchip/b.dtb\noverlay_prefix=rk\noverlays=i2c7 none\nuser_overlays=my\n\
               extraargs=cma=256M a=b\nusbstoragequirks=0x1:0x2:u\nparam_x=1\n";
    let script = "echo console=ttyS2,1500000 console=tty1\nload mmc 0 1000 ${prefix}armbianEnv.txt";
    let files = [
        ("/boot/boot.scr", script),
        ("/boot/armbianEnv.txt", env),
        ("/boot/dtb/rockchip/b.dtb", "d"),
        ("/boot/dtb/rockchip/overlay/rk-i2c7.dtbo", "o"),
        ("/boot/overlay-user/my.dtbo", "o"),
    ];
    let chain = chain_of(&files, &[]).unwrap();
    assert_eq!(chain.origin, "/boot/armbianEnv.txt");
    assert_eq!(
        chain.words.join(" "),
        "console=ttyS2,1500000 loglevel=3 usb-storage.quirks=0x1:0x2:u cma=256M a=b"
    );
    assert_eq!(path(&chain.tree), "/boot/dtb/rockchip/b.dtb");
    let overlays: Vec<&str> = chain
        .overlays
        .iter()
        .map(|place| place.path.as_str())
        .collect();
    assert_eq!(
        overlays,
        [
            "/boot/dtb/rockchip/overlay/rk-i2c7.dtbo",
            "/boot/overlay-user/my.dtbo"
        ]
    );
    let notes = chain.notes.join("\n");
    assert!(
        notes.contains("overlay none") && notes.contains("param_x"),
        "{notes}"
    );
}

#[test]
fn settings_of_beagleboard_org_are_taken() {
    let env = "uname_r=5.10.168-ti-r72\n#dtb=\ndtb=x.dtb\nenable_uboot_overlays=1\nuboot_overlay_addr4=/lib/firmware/A.dtbo\n\
               dtb_overlay=B.dtbo\ncmdline=coherent_pool=1M quiet\nenable_uboot_cape_universal=1\n";
    let files = [
        ("/boot/uEnv.txt", env),
        ("/boot/vmlinuz-5.10.168-ti-r72", "k"),
        ("/boot/dtbs/5.10.168-ti-r72/x.dtb", "d"),
        ("/lib/firmware/A.dtbo", "o"),
    ];
    let chain = chain_of(&files, &[]).unwrap();
    assert_eq!(path(&chain.kernel), "/boot/vmlinuz-5.10.168-ti-r72");
    assert_eq!(path(&chain.tree), "/boot/dtbs/5.10.168-ti-r72/x.dtb");
    assert_eq!(
        chain.words.join(" "),
        "ro rootfstype=ext4 rootwait coherent_pool=1M quiet"
    );
    assert_eq!(chain.overlays[0].path, "/lib/firmware/A.dtbo");
    let notes = chain.notes.join("\n");
    assert!(
        notes.contains("B.dtbo") && notes.contains("cape_universal"),
        "{notes}"
    );
    let other = chain_of(&[], &[("/uEnv.txt", "bootargs=a b\n")]).unwrap();
    assert_eq!(other.words, ["a", "b"]);
    let commands = "args=x\nuenvcmd=setenv bootargs console=a ${args}; booti 1\n";
    assert_eq!(
        chain_of(&[], &[("/uEnv.txt", commands)]).unwrap().words,
        ["console=a", "x"]
    );
    let unknown = chain_of(&[], &[("/uEnv.txt", "x=y\n")]).unwrap();
    assert_eq!(unknown.unfollowed.len(), 1);
}

#[test]
fn entries_of_the_boot_loader_specification_are_followed() {
    let entry = |version: &str| {
        format!(
            "title Debian\nversion {version}\nlinux /k-{version}\ninitrd i\ndevicetree /b.dtb\n\
             devicetree-overlay a.dtbo none.dtbo\noptions root=/dev/x quiet\noptions v={version}\n"
        )
    };
    let [old, new] = ["6.1.0-9", "6.1.0-10"].map(entry);
    let files = [
        ("/loader/entries/debian-6.1.0-9.conf", old.as_str()),
        ("/loader/entries/debian-6.1.0-10.conf", &new),
        ("/loader/entries/README", "linux /none"),
        ("/k-6.1.0-9", "k"),
        ("/k-6.1.0-10", "k"),
        ("/i", "i"),
        ("/b.dtb", "d"),
        ("/a.dtbo", "o"),
    ];
    let chain = chain_of(&[], &files).unwrap();
    assert_eq!(path(&chain.kernel), "/k-6.1.0-10");
    assert_eq!((path(&chain.initrd), path(&chain.tree)), ("/i", "/b.dtb"));
    assert_eq!(chain.words, ["root=/dev/x", "quiet", "v=6.1.0-10"]);
    assert_eq!(chain.overlays.len(), 1);
    assert!(chain.missing.is_empty() && chain.unfollowed.is_empty());
    let named = [
        &files[..],
        &[("/loader/loader.conf", "timeout 3\ndefault debian-*-9\n")],
    ];
    let chain = chain_of(&[], &named.concat()).unwrap();
    assert_eq!(path(&chain.kernel), "/k-6.1.0-9");
    // In the root filesystem, as barebox has them; a menu comes first.
    let in_root: Vec<(String, &str)> = files
        .iter()
        .map(|(path, text)| (format!("/boot{path}"), *text))
        .collect();
    let in_root: Vec<(&str, &str)> = in_root
        .iter()
        .map(|(path, text)| (path.as_str(), *text))
        .collect();
    let chain = chain_of(&in_root, &[]).unwrap();
    assert_eq!(chain.missing, ["/k-6.1.0-10", "/b.dtb", "i"]);
    let menu = [(
        "/extlinux/extlinux.conf",
        "label a\n linux /i\n append menu\n",
    )];
    let chain = chain_of(&[], &[&files[..], &menu].concat()).unwrap();
    assert_eq!(chain.words, ["menu"]);
    assert!(
        chain
            .notes
            .join("\n")
            .contains("/loader/entries of the boot partition: not read")
    );
}

#[test]
fn entries_that_cannot_be_followed_are_refused() {
    for (text, why) in [
        ("efi /EFI/Linux/a.efi\n", "starts a UEFI program"),
        (
            "linux /k\ninitrd /i\ninitrd /k\n",
            "several initial RAM disks (/i, /k)",
        ),
    ] {
        let files = [("/loader/entries/a.conf", text), ("/k", "k"), ("/i", "i")];
        let chain = chain_of(&[], &files).unwrap();
        assert!(
            chain.unfollowed[0].1.contains(why),
            "{:?}",
            chain.unfollowed
        );
    }
    let chain = chain_of(&[], &[("/EFI/Linux/a.efi", "MZ")]).unwrap();
    assert!(chain.unfollowed[0].1.contains("unified kernel image"));
}

/// The reason and the way out of a chain that U-Boot does not use.
fn unusable(root: &[(&str, &str)], boot: &[(&str, &str)]) -> [String; 3] {
    let chain = chain_of(root, boot).unwrap();
    let (place, reason) = chain.unfollowed[0].clone();
    [place.path, reason, chain.remedy.unwrap()]
}

#[test]
fn files_that_u_boot_does_not_use_are_said() {
    let settings = ("/boot/armbianEnv.txt", "extraargs=a=b\n");
    let source = ("/boot/boot.cmd", "booti\n");
    for (root, boot, path, reason, remedy) in [
        (
            &[settings][..],
            &[][..],
            "/boot/armbianEnv.txt",
            "no boot.scr that reads them",
            "-d boot.cmd boot.scr`)",
        ),
        (
            &[settings, source],
            &[],
            "/boot/boot.cmd",
            "no boot.scr, which",
            "-d boot.cmd boot.scr`",
        ),
        (
            &[],
            &[("/ORANGEPIENV.TXT", "a=b\n")],
            "/ORANGEPIENV.TXT",
            "no boot.scr that",
            "put the board's boot.scr",
        ),
        (
            &[],
            &[("/BOOT.CMD", "booti\n")],
            "/BOOT.CMD",
            "is the source of a boot script",
            "-d BOOT.CMD boot.scr`",
        ),
        (
            &[("/boot/extlinux/extlinux.conf", "default x\n")],
            &[],
            "/boot/extlinux/extlinux.conf",
            "has no entry that starts",
            "write the entry",
        ),
    ] {
        let said = unusable(root, boot);
        assert_eq!(said[0], path);
        assert!(
            said[1].contains(reason) && said[2].contains(remedy),
            "{said:?}"
        );
    }
    let mut root = tree(&[]);
    root.put_symlink("/boot/boot.scr", "boot-6.1.scr", Time::default())
        .unwrap();
    let boot = tree(&[]);
    let sources = sources(&root, &boot);
    let chain = of_image(&sources).unwrap();
    assert!(
        chain.unfollowed[0]
            .1
            .contains("is a link to a file that does not exist")
    );
    // The script of an earlier conversion is none of these, nor are unrelated files.
    assert!(chain_of(&[], &[("/boot.scr", "setenv x mender_slot_env")]).is_none());
    assert!(chain_of(&[("/boot/environment.txt", "x")], &[]).is_none());
}

#[test]
fn a_script_that_u_boot_does_not_run_is_refused_with_its_source() {
    let mut image = header::wrap("booti");
    let last = image.len() - 1;
    image[last] ^= 1;
    for (bytes, reason) in [
        (image, "wrong checksum of its data"),
        (b"booti".to_vec(), "no header of mkimage"),
        (Vec::new(), "no header of mkimage"),
    ] {
        let mut root = tree(&[("/boot/boot.cmd", "booti")]);
        root.put_file("/boot/boot.scr", bytes, Stat::root(0o644, Time::default()))
            .unwrap();
        let boot = tree(&[]);
        let sources = sources(&root, &boot);
        let mut chain = of_image(&sources).unwrap();
        let problem = chain.check(&sources, false, &|_| false).unwrap_err();
        let expected = "/boot/boot.scr: is not a script that U-Boot runs: ";
        assert!(problem.message.starts_with(expected), "{problem:?}");
        assert!(problem.message.contains(reason), "{problem:?}");
        let hint = problem.hint.unwrap();
        assert!(
            hint.starts_with("make it again in the golden image: `mkimage -A arm -O linux -T script -C none -d boot.cmd boot.scr`; or set root.kernel-args"),
            "{hint}"
        );
        let mut chain = of_image(&sources).unwrap();
        assert!(chain.check(&sources, true, &|_| false).is_ok());
    }
}
