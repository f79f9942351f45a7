//! The scripts of the action of GitHub and of the job of GitLab, taken from their files and run
//! with a shell and the command in a root that holds nothing else, by a user without capabilities.

use super::bare_root::bring;
use crate::support::images::{SETTINGS, small};
use crate::support::{goldsmith, must, scratch, tool};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// The block of text of a YAML file that follows the first line `key: |` (or `- |`) after the line
/// `from`, without its indentation.
fn block(file: &str, from: &str, key: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().skip_while(|line| line.trim() != from);
    let mut lines = lines
        .skip_while(|line| line.trim() != key)
        .skip(1)
        .peekable();
    let depth = |line: &str| line.len() - line.trim_start().len();
    let indent = depth(lines.peek().expect("the block"));
    let inside = lines.take_while(|line| line.trim().is_empty() || depth(line) >= indent);
    let text = inside.map(|line| format!("{}\n", line.get(indent..).unwrap_or_default()));
    text.collect()
}

/// A root with the command, a shell, and a project in `/work`; `None`, said aloud, when tools are
/// missing.
fn project() -> Option<tempfile::TempDir> {
    let (image, shell) = (small()?, tool("dash")?);
    tool("bwrap")?;
    let root = scratch();
    let dir = root.path();
    bring(goldsmith(), "goldsmith", dir);
    bring(&shell, "sh", dir);
    let work = dir.join("work");
    fs::create_dir_all(work.join("temp")).unwrap();
    must(
        "cp",
        &[&"--sparse=always", &image, &work.join("golden.img")],
    );
    let settings = SETTINGS.map(|setting| {
        let (key, value) = setting.split_once('=').unwrap();
        match value {
            "true" | "false" => format!("{key} = {value}\n"),
            _ => format!("{key} = {value:?}\n"),
        }
    });
    let config = format!("extends = [\"qemux86-64\"]\n{}", settings.concat());
    fs::write(work.join("device.toml"), config).unwrap();
    Some(root)
}

/// Runs a script as a runner does, in the root directory `root`, with these variables and no
/// others.
fn run(root: &Path, script: &str, variables: &[(&str, &str)]) -> Output {
    fs::write(root.join("script"), script).unwrap();
    let mut command = Command::new("bwrap");
    command.args(["--unshare-all", "--uid", "1000", "--gid", "1000"]);
    command.args(["--cap-drop", "ALL", "--clearenv", "--die-with-parent"]);
    command
        .arg("--bind")
        .arg(root)
        .args(["/", "--chdir", "/work"]);
    let common = [
        ("GOLDSMITH", "/goldsmith"),
        ("GOLDEN_IMAGE", "golden.img"),
        ("ARTIFACT_NAME", "release-1"),
        ("CONFIG", "device.toml"),
        ("OUTPUT_DIR", "deploy"),
        ("UPGRADE_FROM", ""),
        ("ARGUMENTS", "-s output.name=out"),
    ];
    for (name, value) in common.iter().chain(variables) {
        command.args(["--setenv", name, value]);
    }
    command.args(["/sh", "-e", "/script"]).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

#[test]
fn the_action_of_github_needs_a_shell_and_the_command_alone() {
    let Some(root) = project() else { return };
    let work = root.path().join("work");
    let script = block("configs/github/action.yml", "- id: convert", "run: |");
    let variables = [
        ("RUNNER_TEMP", "/work/temp"),
        ("GITHUB_OUTPUT", "/work/temp/output"),
        ("GITHUB_WORKSPACE", "/work"),
        ("ARTIFACT_KEY", ""),
    ];
    let output = run(root.path(), &script, &variables);
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    let outputs = fs::read_to_string(work.join("temp/output")).unwrap();
    assert_eq!(
        outputs,
        "image=deploy/out.img\nartifact=deploy/out.mender\nrecord=deploy/out.json\n"
    );
    assert!(text.contains("deploy/out.img (256 MiB): passed"), "{text}");
    assert!(text.contains("\n::warning title=goldsmith::"), "{text}");
    assert!(!text.contains("\nwarning: "), "{text}");
    let cached = fs::read_dir(work.join("temp/goldsmith-cache")).unwrap();
    assert!(cached.count() > 0);
    // A second run takes what it can from the cache.
    let again = said(&run(root.path(), &script, &variables));
    assert!(again.contains("cache"), "{again}");

    // A key of the wrong kind is refused, and its file is emptied.
    let with_key = [&variables[..3], &[("ARTIFACT_KEY", "not a key")]].concat();
    let output = run(root.path(), &script, &with_key);
    assert!(!output.status.success(), "{}", said(&output));
    let key = fs::read(work.join("temp/goldsmith-artifact.key")).unwrap();
    assert!(key.is_empty());

    // A mistake in the configuration is shown where it is.
    fs::write(
        work.join("device.toml"),
        "extends = [\"qemux86-64\"]\n\nsizes = 1\n",
    )
    .unwrap();
    let output = run(root.path(), &script, &variables);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(
        said(&output).contains("\n::error file=device.toml,line=3,title=goldsmith::")
            || said(&output).starts_with("::error file=device.toml,line=3,title=goldsmith::"),
        "{}",
        said(&output)
    );
}

#[test]
fn the_job_of_gitlab_needs_a_shell_and_the_command_alone() {
    let Some(root) = project() else { return };
    let work = root.path().join("work");
    let script = block("configs/gitlab/goldsmith.yml", "script:", "- |");
    let variables = [("CI_PROJECT_DIR", "/work")];
    let output = run(root.path(), &script, &variables);
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("deploy/out.img (256 MiB): passed"), "{text}");
    assert!(work.join(".goldsmith-cache").is_dir());
    let report = fs::read(work.join("gl-code-quality-report.json")).unwrap();
    let report: Vec<serde_json::Value> = serde_json::from_slice(&report).unwrap();
    assert!(!report.is_empty());
    for entry in &report {
        for key in ["description", "check_name", "fingerprint", "severity"] {
            assert!(entry[key].is_string(), "{entry}");
        }
        assert!(entry["location"]["path"].is_string(), "{entry}");
        assert!(entry["location"]["lines"]["begin"].is_u64(), "{entry}");
    }

    fs::write(work.join("device.toml"), "sizes = 1\n").unwrap();
    let output = run(root.path(), &script, &variables);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let report = fs::read(work.join("gl-code-quality-report.json")).unwrap();
    let report: Vec<serde_json::Value> = serde_json::from_slice(&report).unwrap();
    assert_eq!(report.len(), 1);
    assert_eq!(report[0]["location"]["path"], "device.toml");
    assert_eq!(report[0]["severity"], "critical");
}

/// What `scripts/release/publisher.sh` says in a project of its own, with these variables; the
/// commit is tagged as a release if `tagged` says so.
fn publisher(tagged: bool, variables: &[(&str, &str)]) -> Output {
    let dir = scratch();
    let at = dir.path();
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::create_dir_all(at.join("scripts/release")).unwrap();
    let script = "scripts/release/publisher.sh";
    fs::copy(top.join(script), at.join(script)).unwrap();
    fs::write(at.join("Cargo.toml"), "version = \"1.2.3\"\n").unwrap();
    let tag = if tagged { "&& git tag v1.2.3" } else { "" };
    let line = format!(
        "git init -q && git -c user.name=a -c user.email=a@b.c commit -q --allow-empty -m x {tag}"
    );
    let git = Command::new("sh")
        .args(["-c", &line])
        .current_dir(at)
        .status();
    assert!(git.unwrap().success());
    Command::new("bash")
        .arg(at.join(script))
        .env_remove("MAINTAINER")
        .env_remove("HOMEPAGE")
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

#[test]
fn a_release_is_published_by_somebody() {
    if tool("git").is_none() {
        return;
    }
    let somebody = ("MAINTAINER", "A B <a@b.example>");
    let both = [somebody, ("HOMEPAGE", "https://b.example/goldsmith")];
    let output = publisher(true, &both);
    assert_eq!(
        (
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap()
        ),
        (
            "maintainer A B <a@b.example>\nhomepage https://b.example/goldsmith\n".to_owned(),
            String::new()
        )
    );
    let nobody = publisher(false, &[]);
    assert!(nobody.status.success(), "{nobody:?}");
    assert_eq!(
        String::from_utf8(nobody.stdout).unwrap(),
        "maintainer unpublished build <unpublished@packages.invalid>\nhomepage \n"
    );
    for (tagged, variables) in [
        (true, &[][..]),
        (false, &[("MAINTAINER", "somebody")][..]),
        (false, &[somebody, ("HOMEPAGE", "b.example")][..]),
    ] {
        let refused = publisher(tagged, variables);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains("\nhint: "), "{said}");
    }
}
