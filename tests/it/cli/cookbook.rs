//! `docs/cookbook.md`, followed: files are written, commands are run, the golden image is
//! converted, and the effect of each recipe is looked for in the result.

use crate::support::{goldsmith, images, must, scratch, tool};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// What the image of a recipe has: the path, and a part of the text there.
type Effects = &'static [(&'static str, &'static str)];

/// Each section, with what its image must have. A section without effects makes no image.
const SECTIONS: &[(&str, Effects)] = &[
    (
        "A host name for each device",
        &[
            (
                "root-a:/etc/systemd/system/sysinit.target.wants/own-name.service",
                "own-name",
            ),
            ("root-b:/usr/local/sbin/own-name", ">/data/hostname"),
        ],
    ),
    (
        "Users and passwords",
        &[
            ("root-a:/etc/sysusers.d/operator.conf", "u operator 1000"),
            ("root-a:/home/operator/.profile", "EDITOR"),
        ],
    ),
    (
        "SSH keys",
        &[(
            "root-a:/home/admin/.ssh/authorized_keys",
            "ssh-ed25519 AAAA",
        )],
    ),
    (
        "Services",
        &[
            (
                "root-a:/etc/systemd/system/multi-user.target.wants/telemetry.service",
                "sensors",
            ),
            (
                "root-a:/etc/systemd/system/multi-user.target.wants/kiosk-reset.service",
                "button",
            ),
        ],
    ),
    (
        "What must survive updates",
        &[
            ("root-a:/etc/fstab", "\n/data/app  /var/lib/app  none  bind"),
            ("root-a:/etc/fstab", "/data/home"),
            ("data:/app/state.json", "{}"),
            ("data:/home/admin/letter", "dear"),
        ],
    ),
    (
        "All of /var on /data",
        &[
            (
                "root-a:/etc/fstab",
                "\noverlay  /var  overlay  lowerdir=/var,",
            ),
            ("data:/var/upper/.keep", "devices"),
        ],
    ),
    (
        "Swap",
        &[
            ("root-a:/etc/systemd/zram-generator.conf", "ram / 2"),
            (
                "root-a:/etc/systemd/system/multi-user.target.wants/data-swap.service",
                "Swap",
            ),
            ("root-a:/usr/local/sbin/data-swap", "swapon /data/swap"),
        ],
    ),
    (
        "Read-only root filesystem",
        &[
            ("root-a:/etc/fstab", "    defaults,ro 0 1\n"),
            ("root-a:/etc/fstab", "\ntmpfs  /var/log  tmpfs "),
        ],
    ),
    (
        "Watchdog",
        &[
            (
                "root-a:/etc/systemd/system.conf.d/watchdog.conf",
                "RuntimeWatchdogSec=20s",
            ),
            ("root-a:/boot/mender-slot.env", "panic=30"),
        ],
    ),
    ("Signed updates", &[]),
    ("Keys in hardware", &[]),
    ("Secrets", &[]),
    ("Several boards from one image", &[]),
    (
        "A static IP address",
        &[(
            "root-a:/etc/systemd/network/10-lan.network",
            "192.0.2.10/24",
        )],
    ),
    (
        "Wi-Fi",
        &[(
            "root-a:/etc/NetworkManager/system-connections/office.nmconnection",
            "psk=example\n",
        )],
    ),
    ("What else devices need", &[]),
];

/// What a recipe asks for, in its order.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    File(String, String),
    Command(String),
}

/// The sections of the page, with their steps.
fn recipes(page: &str) -> Vec<(String, Vec<Step>)> {
    let mut out: Vec<(String, Vec<Step>)> = Vec::new();
    let (mut named, mut block): (Option<String>, Option<(String, String)>) = (None, None);
    for line in page.lines() {
        if let Some((language, text)) = &mut block {
            if line != "```" {
                *text += &format!("{line}\n");
                continue;
            }
            let steps = &mut out.last_mut().expect("a section").1;
            match (named.take(), language.as_str()) {
                (Some(path), _) => steps.push(Step::File(path, text.clone())),
                (None, "console") => {
                    let commands = text.lines().filter_map(|line| line.strip_prefix("$ "));
                    steps.extend(commands.map(|one| Step::Command(one.to_owned())));
                }
                (None, language) => panic!("a block of {language} that is no file: {text}"),
            }
            block = None;
        } else if let Some(language) = line.strip_prefix("```") {
            block = Some((language.to_owned(), String::new()));
        } else if let Some(title) = line.strip_prefix("## ") {
            out.push((title.to_owned(), Vec::new()));
        } else if let Some(path) = line.strip_prefix('`').and_then(|l| l.strip_suffix("`:")) {
            named = Some(path.to_owned());
        }
    }
    out
}

/// The golden image `golden.img` in `dir`: a user, an SSH server, and, if it is asked for, a
/// partition for `/home`.
fn golden(dir: &Path, home: bool) {
    let root = dir.join("root");
    images::debian(&root, 3 << 20);
    let passwd = "root:x:0:0::/root:/bin/sh\nadmin:x:1001:1001::/home/admin:/bin/sh\n";
    let files = [
        ("etc/passwd", passwd),
        ("etc/group", "root:x:0:\nadmin:x:1001:\n"),
        ("home/admin/.profile", "\n"),
        ("etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
        ("usr/sbin/sshd", "x"),
        ("usr/bin/ssh-keygen", "x"),
        ("usr/lib/systemd/systemd", "x"),
    ];
    for (path, text) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    if home {
        let table = "/dev/sda2 / ext4 defaults 0 1\n/dev/sda3 /home ext4 defaults 0 2\n";
        fs::write(root.join("etc/fstab"), table).unwrap();
    }
    let part = |name: &str| dir.join(name);
    fs::File::create(part("esp.fat"))
        .unwrap()
        .set_len(8 << 20)
        .unwrap();
    must(
        tool("mkfs.vfat").expect("looked for before"),
        &[&"-n", &"ESP", &part("esp.fat")],
    );
    images::ext4(&root, &part("root.ext4"), 16);
    let (esp, filesystem, third) = (part("esp.fat"), part("root.ext4"), part("home.ext4"));
    let mut partitions = vec![
        (images::ESP, esp.as_path()),
        (images::LINUX, filesystem.as_path()),
    ];
    if home {
        fs::create_dir_all(part("home/admin")).unwrap();
        fs::write(part("home/admin/letter"), "dear\n").unwrap();
        images::ext4(&part("home"), &third, 8);
        must("tune2fs", &[&"-L", &"home", &third]);
        partitions.push((images::LINUX, third.as_path()));
    }
    images::disk(&part("golden.img"), &partitions);
    fs::remove_dir_all(root).unwrap();
}

/// What a reader has before the recipe: a board, the client, and a small disk.
const BASE: &str =
    "extends = [\"qemux86-64\"]\n[storage]\nalignment = \"1 MiB\"\nsize = \"2 GiB\"\n";

/// Runs a command of the page in `dir` by bash, with goldsmith in the path, and a home of its own.
fn shell(dir: &Path, line: &str) -> String {
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", line])
        .current_dir(dir)
        .env(
            "PATH",
            format!(
                "{}:/usr/bin:/bin:/usr/sbin:/sbin",
                dir.join("bin").display()
            ),
        )
        .env("HOME", dir)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}\n{said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Follows a recipe in an empty directory. Returns what of its effects is not there.
fn follow(title: &str, steps: &[Step], effects: Effects) -> Vec<String> {
    let scratch = scratch();
    let dir = scratch.path();
    fs::create_dir(dir.join("bin")).unwrap();
    std::os::unix::fs::symlink(goldsmith(), dir.join("bin/goldsmith")).unwrap();
    golden(dir, title == "What must survive updates");
    let server = title == "Secrets";
    let client = if server {
        "[client]\nrequired = false\n"
    } else {
        "[client]\nrequired = false\nmanaged = false\n"
    };
    fs::write(dir.join("base.toml"), format!("{BASE}{client}")).unwrap();
    fs::write(dir.join("device.toml"), "").unwrap();
    for step in steps {
        match step {
            Step::File(path, text) => {
                // The image of the tests has no update client, as those of readers do.
                let more = match path.as_str() {
                    "common.toml" => "[client]\nrequired = false\n",
                    _ => "",
                };
                let path = dir.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, format!("{text}{more}")).unwrap();
            }
            // The device's configuration is over that of a board, as in the page's own words.
            Step::Command(line) => {
                shell(
                    dir,
                    &line.replace("-c device.toml", "-c base.toml -c device.toml"),
                );
            }
        }
    }
    let image = "deploy/golden-qemux86-64-release-1.img";
    if !effects.is_empty() && !dir.join(image).exists() {
        let mut line = "goldsmith convert -q --no-cache -n release-1 -c base.toml".to_owned();
        for (file, option) in [
            ("device.toml", "-c device.toml"),
            ("overlay", "--overlay overlay"),
        ] {
            if dir.join(file).exists() {
                line += &format!(" {option}");
            }
        }
        shell(dir, &format!("{line} golden.img"));
    }
    let absent = |(address, text): &&(&str, &str)| {
        !shell(dir, &format!("goldsmith cat {image}:{address}")).contains(text)
    };
    let missing = effects.iter().filter(absent);
    missing
        .map(|(address, text)| format!("{title}: {address}: {text}"))
        .collect()
}

#[test]
fn every_recipe_has_its_effect() {
    if !images::can_make() || tool("tune2fs").is_none() {
        return;
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cookbook.md");
    let recipes = recipes(&fs::read_to_string(page).unwrap());
    let titles: Vec<&str> = recipes.iter().map(|(title, _)| title.as_str()).collect();
    let known: Vec<&str> = SECTIONS.iter().map(|(title, _)| *title).collect();
    assert_eq!(
        titles, known,
        "the sections of the page and what is expected of each"
    );
    let effects: BTreeMap<&str, Effects> = SECTIONS.iter().copied().collect();
    let signer = tool("mender-artifact").is_some() && tool("openssl").is_some();
    let mut wrong = Vec::new();
    for (title, steps) in &recipes {
        let signs = ["Signed updates", "Keys in hardware"].contains(&title.as_str());
        if signer || !signs {
            wrong.extend(follow(title, steps, effects[title.as_str()]));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The steps of a whole page.
fn steps_of(page: &str) -> Vec<Step> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(page);
    let page = fs::read_to_string(path).unwrap();
    let recipes = recipes(&format!("## all\n{page}"));
    recipes.into_iter().flat_map(|(_, steps)| steps).collect()
}

#[test]
fn commands_of_other_pages_work_with_the_same_image() {
    if !images::can_make() {
        return;
    }
    for page in RUN {
        let steps = steps_of(page);
        assert!(!steps.is_empty(), "{page}");
        follow(page, &steps, &[]);
    }
}

/// Pages whose commands are run here, on the golden image of the recipes.
const RUN: &[&str] = &["delta.md", "json.md"];

/// Pages whose commands are held in another way: what they need is not here.
const HELD_ELSEWHERE: &[(&str, &str)] = &[
    ("cookbook.md", "above"),
    ("first-update.md", "make test-first-update"),
    ("boot-check.md", "boot::command, cli::boot_check"),
    ("ci.md", "boots: boot::command; the files: cli::pipelines"),
    ("client.md", "repositories: lock::device, lock::mistakes"),
    (
        "converting.md",
        "what it shows needs packages: convert::conversions, lock::device",
    ),
    ("doctor.md", "doctor::page"),
    ("fleet.md", "fleet::convert, fleet::actions"),
    ("from-mender-convert.md", "cli::migrate"),
    (
        "porting-a-board.md",
        "an image of another processor; its file: cli::documentation",
    ),
    ("raspberry-pi.md", "replicas: boot::tryboot::pi_os"),
    ("release.md", "make release, make test-release"),
    ("sbom.md", "make test-sbom"),
];

#[test]
fn commands_of_every_page_are_held_somewhere() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let mut with = Vec::new();
    for entry in fs::read_dir(docs).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name.ends_with(".md") {
            let page = fs::read_to_string(entry.path()).unwrap();
            with.extend(page.contains("```console\n").then_some(name));
        }
    }
    with.sort();
    let elsewhere = HELD_ELSEWHERE.iter().map(|(name, _)| *name);
    let mut known: Vec<&str> = RUN.iter().copied().chain(elsewhere).collect();
    known.sort_unstable();
    assert_eq!(with, known, "pages with commands, and where they are held");
}

#[test]
fn a_recipe_without_its_effect_is_noticed() {
    if !images::can_make() {
        return;
    }
    let page =
        "## x\n\n`overlay/etc/motd`:\n\n```text\nhello\n```\n\n```console\n$ true # y\n```\n";
    let recipes = recipes(page);
    let steps = [
        Step::File("overlay/etc/motd".to_owned(), "hello\n".to_owned()),
        Step::Command("true # y".to_owned()),
    ];
    assert_eq!(recipes, [("x".to_owned(), steps.into_iter().collect())]);
    let wrong = follow(
        "x",
        &recipes[0].1,
        &[("root-a:/etc/motd", "hello"), ("root-a:/etc/motd", "bye")],
    );
    assert_eq!(wrong, ["x: root-a:/etc/motd: bye"]);
}
