//! `goldsmith init`: the configuration that it writes plans as it is, and nothing is replaced.

use super::{run, stderr, stdout};
use crate::convert::conversions::partitions;
use crate::support::{images, must, scratch, tool};
use std::fs;
use std::path::Path;

/// A directory with the golden image of most tests as `golden.img`.
fn with_golden() -> Option<tempfile::TempDir> {
    let image = images::small()?;
    let scratch = scratch();
    std::os::unix::fs::symlink(image, scratch.path().join("golden.img")).unwrap();
    Some(scratch)
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_init_writes_plans_as_it_is() {
    let Some(scratch) = with_golden() else {
        return;
    };
    let dir = scratch.path();
    let made = run(dir, "init golden.img");
    assert!(made.status.success(), "{}", stderr(&made));
    assert_eq!(stdout(&made), "device.toml\n");
    assert!(
        stderr(&made).contains("goldsmith plan -c device.toml"),
        "{}",
        stderr(&made)
    );
    let text = fs::read_to_string(dir.join("device.toml")).unwrap();
    assert!(text.contains("device-type = ["), "{text}");
    // Without a lock file, the bundle of the client is the one thing that a plan lacks.
    let plan = run(dir, "plan -c device.toml golden.img");
    assert_eq!(plan.status.code(), Some(1), "{}", stdout(&plan));
    assert!(
        stderr(&plan).contains("goldsmith lock"),
        "{}",
        stderr(&plan)
    );
    let own: String = text
        .lines()
        .map(|line| match line.starts_with("bundle = ") {
            true => "required = false\n".to_owned(),
            false => format!("{line}\n"),
        })
        .collect();
    assert_ne!(own, text);
    fs::write(dir.join("own.toml"), own).unwrap();
    let plan = run(dir, "plan -c own.toml golden.img");
    assert!(plan.status.success(), "{}", stderr(&plan));
    assert!(
        stdout(&plan).contains("Artifact        unnamed"),
        "{}",
        stdout(&plan)
    );

    // The size is the least one, with room for the client: a disk that is 512 MiB smaller is too
    // small.
    let size = text
        .lines()
        .find_map(|line| line.strip_prefix("size = \""))
        .unwrap();
    let size = goldsmith::units::parse_size(size.trim_end_matches('"')).unwrap();
    let smaller = size.saturating_sub(512 << 20).max(8 << 20);
    let plan = run(
        dir,
        &format!("plan -q -c own.toml -s storage.size={smaller} golden.img"),
    );
    assert!(!plan.status.success(), "{size}");
    assert!(stderr(&plan).contains("storage.size"), "{}", stderr(&plan));
}

#[test]
fn init_replaces_nothing() {
    let Some(scratch) = with_golden() else {
        return;
    };
    let dir = scratch.path();
    fs::write(dir.join("device.toml"), "mine").unwrap();
    let refused = run(dir, "init golden.img");
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(
        stderr(&refused),
        "error: device.toml exists; nothing is replaced\n\
         hint: name another file with --output, or - for standard output\n"
    );
    assert_eq!(fs::read_to_string(dir.join("device.toml")).unwrap(), "mine");
    let shown = run(dir, "init --output - golden.img");
    assert!(stdout(&shown).contains("[storage]"), "{}", stdout(&shown));
    let nowhere = run(dir, "init --output absent/device.toml golden.img");
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(
        stderr(&nowhere).contains("writing absent/device.toml: No such file"),
        "{}",
        stderr(&nowhere)
    );
    assert_eq!(names(dir), ["device.toml", "golden.img"]);
}

#[test]
fn a_configuration_alone_is_checked() {
    let scratch = scratch();
    let dir = scratch.path();
    let checked = |text: &str| {
        fs::write(dir.join("device.toml"), text).unwrap();
        let output = run(dir, "check -c device.toml");
        (output.status.code(), stdout(&output) + &stderr(&output))
    };
    fs::create_dir(dir.join("files")).unwrap();
    fs::write(dir.join("files/a.deb"), "").unwrap();
    let text = "[client]\npackages = [\"files/*.deb\"]\nlock-file = \"later.lock\"\n[rootfs]\noverlays = [\"files\"]\n";
    let (code, said) = checked(text);
    assert_eq!(
        said,
        "no problems found; 3 files that the configuration names are there\n\
         to be decided: the board (board.device-type is not set)\n\
         to be decided: the name of the release (--artifact-name)\n"
    );
    assert_eq!(code, Some(0));
    let (code, said) =
        checked("[artifact]\nkey = \"no.key\"\n[client]\npackages = [\"no/*.deb\"]\n");
    assert_eq!(
        said,
        "error: device.toml:2:7: artifact.key: `no.key` does not exist\n\
         error: device.toml:4:13: client.packages: `no/*.deb` matches no file\n"
    );
    assert_eq!(code, Some(1));
    // A path begins in the directory of the file that names it.
    fs::rename(dir.join("device.toml"), dir.join("files/device.toml")).unwrap();
    let said = stderr(&run(dir, "check -c files/device.toml"));
    assert!(
        said.contains("\nhint: the path is files/no.key\n"),
        "{said}"
    );
    let (code, said) = checked("[storage]\nsise = 1\n");
    assert!(said.contains("did you mean `storage.size`"), "{said}");
    assert_eq!(code, Some(1));
}

/// What an image does not decide is a comment that says so, with the hint of the error.
#[test]
fn decisions_are_marked() {
    let Some(scratch) = with_golden() else {
        return;
    };
    let dir = scratch.path();
    // Half of the image: the backup of its table, and perhaps more, is missing.
    let bytes = fs::read(dir.join("golden.img")).unwrap();
    fs::write(dir.join("half.img"), &bytes[..bytes.len() / 2]).unwrap();
    let made = run(dir, "init half.img");
    let text = fs::read_to_string(dir.join("device.toml"));
    match made.status.code() {
        Some(0) => assert!(
            text.unwrap()
                .contains("Decide: a conversion of this image is refused")
        ),
        _ => {
            assert!(stderr(&made).contains("hint: "), "{}", stderr(&made));
            assert!(
                text.is_err(),
                "nothing is written of an image that cannot be read"
            );
        }
    }
    let plain = run(
        dir,
        "plan -c qemux86-64 -s client.required=false golden.img",
    );
    assert!(plain.status.success(), "{}", stderr(&plain));
    let nameless = run(
        dir,
        "convert -c qemux86-64 -s client.required=false golden.img",
    );
    assert_eq!(nameless.status.code(), Some(1), "a conversion needs a name");
}

/// An image that a conversion refuses for one thing still says all else: its board and its client.
#[test]
fn a_decision_hides_nothing_that_the_image_says() {
    let (Some(scratch), Some(debugfs)) = (with_golden(), tool("debugfs")) else {
        return;
    };
    let dir = scratch.path();
    let image = dir.join("undecided.img");
    fs::copy(dir.join("golden.img"), &image).unwrap();
    let root = partitions(&image)[&2].start;
    let slot = format!("{}?offset={root}", image.display());
    let edit = |command: &str| must(&debugfs, &[&"-w", &"-R", &command, &slot]);
    let (status, start) = (dir.join("status"), dir.join("rc.local"));
    edit(&format!("dump /var/lib/dpkg/status {}", status.display()));
    let mut text = fs::read_to_string(&status).unwrap();
    text.push_str(
        "\nPackage: mender-client\nStatus: install ok installed\nArchitecture: amd64\n\
         Version: 3.4.0+ds1-5+b1\n",
    );
    fs::write(&status, text).unwrap();
    fs::write(&start, "#!/bin/sh\nshutdown -r now\n").unwrap();
    edit("rm /var/lib/dpkg/status");
    edit(&format!("write {} /var/lib/dpkg/status", status.display()));
    edit(&format!("write {} /etc/rc.local", start.display()));
    edit("sif /etc/rc.local mode 0100755");
    let made = run(dir, "init undecided.img");
    assert!(made.status.success(), "{}", stderr(&made));
    let text = fs::read_to_string(dir.join("device.toml")).unwrap();
    assert!(
        text.contains("Decide: a conversion of this image is refused"),
        "{text}"
    );
    assert!(text.contains("\nextends = [\""), "{text}");
    assert!(text.contains("3.4.0+ds1-5+b1"), "{text}");
    assert!(
        !text.lines().any(|line| line.starts_with("bundle")),
        "{text}"
    );
}
