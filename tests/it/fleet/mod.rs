//! Many conversions in one run, and as actions for other machines.

mod actions;
mod convert;

use crate::support::goldsmith;
use crate::support::images::{SETTINGS, small};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A fleet of two boards with two variants in `dir`, whose golden image is a link to `small.img`.
/// `more` is added to its file.
fn fleet(dir: &Path, more: &str) -> Option<PathBuf> {
    fs::create_dir_all(dir.join("boards")).unwrap();
    if fs::hard_link(small()?, dir.join("golden.img")).is_err() {
        fs::copy(small()?, dir.join("golden.img")).unwrap();
    }
    let mut common = "extends = \"qemux86-64\"\n".to_owned();
    for setting in SETTINGS {
        let (key, value) = setting.split_once('=').unwrap();
        let value = match value {
            "false" => value.to_owned(),
            text => format!("{text:?}"),
        };
        common += &format!("{key} = {value}\n");
    }
    common += "output.image = \"gz\"\n";
    fs::write(dir.join("common.toml"), common).unwrap();
    let overlay = dir.join("overlay/lab/etc/lab");
    fs::create_dir_all(overlay.join("empty")).unwrap();
    for (name, mode) in [("secret", 0o600), ("tool", 0o755), ("plain", 0o644)] {
        fs::write(overlay.join(name), name).unwrap();
        fs::set_permissions(overlay.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::set_permissions(&overlay, fs::Permissions::from_mode(0o750)).unwrap();
    std::os::unix::fs::symlink("plain", overlay.join("link")).unwrap();
    fs::write(
        dir.join("boards/atlas.toml"),
        "board.device-type = \"atlas\"\n",
    )
    .unwrap();
    let text = "\
[all]
golden-image = \"golden.img\"
config = \"common.toml\"
set = { artifact.name = \"r1\" }

[[board]]
name = \"atlas\"
config = \"boards/atlas.toml\"

[[board]]
name = \"boreas\"
set = { board.device-type = \"boreas\", output.image = \"zst\" }

[[variant]]
name = \"plain\"

[[variant]]
name = \"lab\"
overlay = \"overlay/lab\"
set = { output.rootfs = true, output.sbom = [\"cyclonedx\", \"provenance\"], output.file-layout = true }
";
    let file = dir.join("fleet.toml");
    fs::write(&file, format!("{text}{more}")).unwrap();
    Some(file)
}

/// `goldsmith fleet` with these arguments, run in `dir`.
fn command(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(goldsmith());
    command.arg("fleet").args(arguments).current_dir(dir);
    command.output().unwrap()
}

/// Standard output of a command that succeeds.
fn said(output: Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The files of a directory by name.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    entries
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read(&path).unwrap())
        })
        .collect()
}

/// Fails with the names of files that differ.
fn assert_same(found: &BTreeMap<String, Vec<u8>>, wanted: &BTreeMap<String, Vec<u8>>, what: &str) {
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(found), names(wanted), "{what}");
    let differ = found
        .iter()
        .filter(|(name, bytes)| wanted[*name] != **bytes);
    let differ: Vec<&String> = differ.map(|(name, _)| name).collect();
    assert!(differ.is_empty(), "{what}: {differ:?} have other bytes");
}
